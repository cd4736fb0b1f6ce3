use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

use bytes::Bytes;
use sansip::{SocketId, Unreachable};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// A bound UDP socket and the datagrams for which the kernel had no room.
pub(crate) struct Udp {
    pub(crate) id: SocketId,
    pub(crate) local: SocketAddr,
    socket: UdpSocket,
    waiting: VecDeque<(SocketAddr, Bytes)>,
}

impl Udp {
    pub(crate) fn bind(id: SocketId, addr: SocketAddr) -> io::Result<Self> {
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
        Ok(Self { id, local: socket.local_addr()?, socket, waiting: VecDeque::new() })
    }

    /// Reads one datagram; `None` after an error that concerns one datagram only.
    pub(crate) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Option<(usize, SocketAddr)>> {
        loop {
            match self.socket.try_recv_from(buffer) {
                Ok(received) => return Poll::Ready(Some(received)),
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
    pub(crate) fn send(&mut self, remote: SocketAddr, payload: Bytes) -> Result<(), Unreachable> {
        if self.waiting.is_empty() {
            match self.socket.try_send_to(&payload, remote) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(unreachable(&error)),
            }
        }
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((remote, payload));
        Ok(())
    }

    /// Sends what waits, and returns a datagram that could not be delivered, if any.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Option<(SocketAddr, Unreachable)> {
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
                    let failed = (*remote, unreachable(&error));
                    self.waiting.pop_front();
                    return Some(failed);
                }
            }
        }
        None
    }
}

fn unreachable(error: &io::Error) -> Unreachable {
    if error.raw_os_error() == Some(EMSGSIZE) { Unreachable::TooBig } else { Unreachable::Icmp }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const EMSGSIZE: i32 = 90;
#[cfg(windows)]
const EMSGSIZE: i32 = 10_040;
#[cfg(not(any(target_os = "linux", target_os = "android", windows)))]
const EMSGSIZE: i32 = 40;

/// Bytes asked of the kernel for each direction: 4 MiB hold some 4,000 requests.
const BUFFER: usize = 4 << 20;

/// Datagrams kept while the kernel has no room.
const WAITING: usize = 1024;
