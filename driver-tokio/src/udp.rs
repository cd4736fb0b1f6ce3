use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use sansip::{Input, SocketId};
use sansip_net::Buffer;
use tokio::{io::Interest, net::UdpSocket};

/// A bound UDP socket that wakes its node.
pub(crate) struct Udp {
    pub(crate) udp: sansip_net::Udp<Arc<UdpSocket>>,
    socket: Arc<UdpSocket>,
    /// Ends when the kernel has complaints about datagrams sent before.
    complains: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// It had some, and not all of them are read.
    complained: bool,
}

impl Udp {
    pub(crate) fn bind(id: SocketId, addr: SocketAddr) -> io::Result<Self> {
        let open = |socket| UdpSocket::from_std(socket).map(Arc::new);
        let calls: sansip_net::Calls<Arc<UdpSocket>> = (
            |socket, bytes| socket.try_recv_from(bytes),
            |socket, payload, remote| socket.try_send_to(payload, remote),
        );
        let udp = sansip_net::Udp::bind(id, addr, open, calls)?;
        let (socket, complains) = (Arc::clone(udp.socket()), complains(udp.socket()));
        Ok(Self { udp, socket, complains, complained: false })
    }

    /// Reads datagrams.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<()> {
        loop {
            if self.socket.try_io(Interest::READABLE, || self.udp.receive(buffer)).is_ok() {
                return Poll::Ready(());
            }
            if self.socket.poll_recv_ready(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Returns a complaint about a datagram sent before.
    pub(crate) fn poll_complaint(&mut self, cx: &mut Context<'_>) -> Poll<Input<'static>> {
        loop {
            if let Some(complaint) = self.complained.then(|| self.udp.complaint()).flatten() {
                return Poll::Ready(complaint);
            }
            self.complained = self.complains.as_mut().poll(cx).is_ready();
            if !self.complained {
                return Poll::Pending;
            }
            self.complains = complains(&self.socket);
        }
    }
}

fn complains(socket: &Arc<UdpSocket>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let socket = Arc::clone(socket);
    // What it knows of before is forgotten, so that only a new complaint ends the wait.
    let _ = socket.try_io(Interest::ERROR, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    Box::pin(async move { drop(socket.ready(Interest::ERROR).await) })
}
