use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

use bytes::Bytes;
use sansip::{Input, SocketId, Unreachable};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// A bound UDP socket and the datagrams for which the kernel had no room.
pub(crate) struct Udp {
    pub(crate) id: SocketId,
    local: SocketAddr,
    socket: UdpSocket,
    waiting: VecDeque<(SocketAddr, Bytes)>,
}

impl Udp {
    pub(crate) fn bind(id: SocketId, addr: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Best effort: the system may cap it.
        let _ = socket.set_recv_buffer_size(BUFFER);
        let _ = socket.set_send_buffer_size(BUFFER);
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let local = socket.local_addr()?;
        Ok((Self { id, local, socket, waiting: VecDeque::new() }, local))
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

    /// Sends a datagram, or keeps it until the kernel has room. Beyond [`WAITING`] the oldest is lost, as UDP may.
    ///
    /// Returns what has become of one that cannot be delivered.
    pub(crate) fn send(&mut self, remote: SocketAddr, payload: Bytes) -> Option<Input<'static>> {
        if self.waiting.is_empty() {
            match self.socket.try_send_to(&payload, remote) {
                Ok(_) => return None,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Some(self.unreachable(remote, &error)),
            }
        }
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((remote, payload));
        None
    }

    /// Sends what waits, and returns what has become of a datagram that cannot be delivered, if any.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Option<Input<'static>> {
        while let Some((remote, payload)) = self.waiting.front() {
            match self.socket.try_send_to(payload, *remote) {
                Ok(_) => {
                    self.waiting.pop_front();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.socket.poll_send_ready(cx).is_pending() {
                        return None;
                    }
                }
                Err(error) => {
                    let failed = self.unreachable(*remote, &error);
                    self.waiting.pop_front();
                    return Some(failed);
                }
            }
        }
        None
    }

    fn unreachable(&self, remote: SocketAddr, error: &io::Error) -> Input<'static> {
        Input::Unreachable { socket: self.id, remote, why: Unreachable::from(error) }
    }
}

/// Bytes asked of the kernel for each direction: 4 MiB hold some 4,000 requests.
const BUFFER: usize = 4 << 20;

/// Datagrams kept while the kernel has no room.
const WAITING: usize = 1024;
