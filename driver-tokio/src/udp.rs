use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use sansip::{Input, SocketId};
use sansip_net::{Buffer, Calls, Datagrams};
use tokio::{io::Interest, net::UdpSocket};

/// What wakes a node for one of its UDP sockets.
pub(crate) struct Watch {
    pub(crate) id: SocketId,
    socket: Arc<UdpSocket>,
    /// Ends when the kernel has complaints about datagrams sent before.
    complains: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// It had some, and not all of them are read.
    complained: bool,
}

/// Binds a socket, and returns its address and what wakes for it.
pub(crate) fn bind(udp: &mut Udp, id: SocketId, addr: SocketAddr) -> io::Result<(SocketAddr, Watch)> {
    let calls: Calls<Arc<UdpSocket>> = (
        |socket, bytes| socket.try_recv_from(bytes),
        |socket, payload, remote| socket.try_send_to(payload, remote),
    );
    let mut opened = None;
    let open = |socket| {
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        Ok(Arc::clone(opened.insert(socket)))
    };
    let bound = udp.bind(id, addr, open, calls)?;
    let socket = opened.ok_or(io::ErrorKind::NotConnected)?;
    let complains = complains(&socket);
    Ok((bound, Watch { id, socket, complains, complained: false }))
}

/// The sockets themselves.
pub(crate) type Udp = Datagrams<Arc<UdpSocket>>;

impl Watch {
    /// Reads datagrams.
    pub(crate) fn poll_receive(&self, cx: &mut Context<'_>, udp: &mut Udp, buffer: &mut Buffer) -> Poll<()> {
        let Some(udp) = udp.get(self.id) else { return Poll::Pending };
        loop {
            if self.socket.try_io(Interest::READABLE, || udp.receive(buffer)).is_ok() {
                return Poll::Ready(());
            }
            if self.socket.poll_recv_ready(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Returns a complaint about a datagram sent before.
    pub(crate) fn poll_complaint(&mut self, cx: &mut Context<'_>, udp: &mut Udp) -> Poll<Input<'static>> {
        let Some(udp) = udp.get(self.id) else { return Poll::Pending };
        loop {
            if let Some(complaint) = self.complained.then(|| udp.complaint()).flatten() {
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
