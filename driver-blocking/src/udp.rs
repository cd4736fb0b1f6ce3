use std::{
    io,
    net::{Shutdown, SocketAddr, UdpSocket},
    sync::Arc,
    thread,
    time::Duration,
};

use sansip::{Input, Machine, SocketId, Unreachable};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::engine::{Engine, Shared};

/// A bound UDP socket.
pub(crate) struct Udp {
    pub(crate) id: SocketId,
    socket: Arc<UdpSocket>,
}

impl<M: Machine + Send + 'static> Shared<M> {
    pub(crate) fn bind(
        self: &Arc<Self>,
        engine: &mut Engine<M>,
        id: SocketId,
        addr: SocketAddr,
    ) -> io::Result<SocketAddr> {
        let socket = Arc::new(open(addr)?);
        let (local, reader) = (socket.local_addr()?, Arc::clone(&socket));
        self.spawn(engine, "sansip-udp", move |shared| shared.receive(id, local, &reader))?;
        engine.udp.push(Udp { id, socket });
        Ok(local)
    }

    fn receive(self: &Arc<Self>, id: SocketId, local: SocketAddr, socket: &UdpSocket) {
        let mut buffer = vec![0; BUFFER];
        loop {
            let received = socket.recv_from(&mut buffer);
            let bound = self.enter(|engine| {
                let bound = engine.udp.iter().any(|udp| udp.id == id);
                if let (true, Ok((len, remote))) = (bound, &received) {
                    let (remote, payload) = (*remote, &buffer[..*len]);
                    engine.feed(Input::Datagram { socket: id, local, remote, payload });
                }
                bound
            });
            if bound != Some(true) {
                return;
            }
            // Nothing came for a while, or an error that concerns one datagram: but never spin.
            if received.is_err_and(|error| !is_timeout(&error)) {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

impl Udp {
    /// Sends a datagram. If the kernel has no room for long, it is lost, as UDP may.
    pub(crate) fn send(&self, remote: SocketAddr, payload: &[u8]) -> Result<(), Unreachable> {
        match self.socket.send_to(payload, remote) {
            Err(error) if !is_timeout(&error) => Err(Unreachable::from(&error)),
            _ => Ok(()),
        }
    }

    /// Closes the socket, whose thread ends at once where the system wakes it, else after [`IDLE`].
    pub(crate) fn close(self) {
        // It always reports that there is no peer, and yet wakes the reader.
        let _ = SockRef::from(&*self.socket).shutdown(Shutdown::Both);
    }
}

fn open(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Best effort: the system may cap it.
    let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
    let _ = socket.set_send_buffer_size(KERNEL_BUFFER);
    socket.set_read_timeout(Some(IDLE))?;
    socket.set_write_timeout(Some(FULL))?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// More than any datagram: UDP cannot carry 65,508 bytes.
const BUFFER: usize = 65_536;

/// Bytes asked of the kernel for each direction: 4 MiB hold some 4,000 requests.
const KERNEL_BUFFER: usize = 4 << 20;

/// How often an idle reader looks whether its socket is still bound.
const IDLE: Duration = Duration::from_secs(1);

/// For how long a full kernel buffer may hold up the machine.
const FULL: Duration = Duration::from_millis(50);
