use std::{
    collections::VecDeque,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use sansip::{Input, SocketId, Unreachable};
use sansip_net::{complaint, transmit};
use tokio::{io::Interest, net::UdpSocket};

/// A bound UDP socket and the datagrams for which the kernel had no room.
pub(crate) struct Udp {
    pub(crate) id: SocketId,
    local: SocketAddr,
    socket: Arc<UdpSocket>,
    waiting: VecDeque<(SocketAddr, Bytes)>,
    /// Ends when the kernel has complaints about datagrams sent before.
    complains: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// It had some, and not all of them are read.
    complained: bool,
}

impl Udp {
    pub(crate) fn bind(id: SocketId, addr: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        let socket = Arc::new(UdpSocket::from_std(sansip_net::udp(addr)?)?);
        let (local, complains) = (socket.local_addr()?, complains(&socket));
        Ok((Self { id, local, socket, waiting: VecDeque::new(), complains, complained: false }, local))
    }

    /// Reads one datagram; `None` after an error that concerns one datagram only.
    pub(crate) fn poll_receive<'b>(
        &self,
        cx: &mut Context<'_>,
        buffer: &'b mut [u8],
    ) -> Poll<Option<Input<'b>>> {
        loop {
            match self.socket.try_recv_from(buffer) {
                Ok((len, remote)) => {
                    let payload = &buffer[..len];
                    let input = Input::Datagram { socket: self.id, local: self.local, remote, payload };
                    return Poll::Ready(Some(input));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.socket.poll_recv_ready(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                Err(_) => return Poll::Ready(None),
            }
        }
    }

    /// Returns a complaint about a datagram sent before.
    pub(crate) fn poll_complaint(&mut self, cx: &mut Context<'_>) -> Poll<Input<'static>> {
        loop {
            if let Some((remote, why)) = self.complained.then(|| complaint(&*self.socket)).flatten() {
                return Poll::Ready(Input::Unreachable { socket: self.id, remote, why });
            }
            self.complained = self.complains.as_mut().poll(cx).is_ready();
            if !self.complained {
                return Poll::Pending;
            }
            self.complains = complains(&self.socket);
        }
    }

    /// Sends a datagram, or keeps it until the kernel has room. Beyond [`WAITING`] the oldest is lost, as UDP may.
    ///
    /// Returns why it cannot be delivered, if that is known.
    pub(crate) fn send(&mut self, remote: SocketAddr, payload: Bytes) -> Option<Unreachable> {
        if self.waiting.is_empty()
            && let Ok(sent) = transmit(|| self.socket.try_send_to(&payload, remote))
        {
            return sent;
        }
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((remote, payload));
        None
    }

    /// Tells whether datagrams wait for room. Nobody wakes for it: tokio holds a socket that had an error to be
    /// writable ever after.
    pub(crate) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sends what waits, and returns what has become of a datagram that cannot be delivered, if any.
    pub(crate) fn flush(&mut self) -> Option<Input<'static>> {
        while let Some((remote, payload)) = self.waiting.front() {
            let sent = transmit(|| self.socket.try_send_to(payload, *remote)).ok()?;
            let socket = self.id;
            let told = sent.map(|why| Input::Unreachable { socket, remote: *remote, why });
            self.waiting.pop_front();
            if told.is_some() {
                return told;
            }
        }
        None
    }
}

fn complains(socket: &Arc<UdpSocket>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let socket = Arc::clone(socket);
    // What it knows of before is forgotten, so that only a new complaint ends the wait.
    let _ = socket.try_io(Interest::ERROR, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    Box::pin(async move { drop(socket.ready(Interest::ERROR).await) })
}

/// Datagrams kept while the kernel has no room.
const WAITING: usize = 1024;
