use std::{
    io,
    net::{SocketAddr, UdpSocket},
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
    local: SocketAddr,
    socket: Arc<UdpSocket>,
}

impl<M: Machine + Send + 'static> Shared<M> {
    pub(crate) fn bind(
        self: &Arc<Self>,
        engine: &mut Engine<M>,
        id: SocketId,
        addr: SocketAddr,
    ) -> io::Result<SocketAddr> {
        let udp = Udp::bind(id, addr)?;
        let (local, socket) = (udp.local, Arc::clone(&udp.socket));
        engine.udp.push(udp);
        let reader = self.spawn(engine, "sansip-udp", move |shared| shared.receive(id, local, &socket));
        if let Err(error) = reader {
            engine.udp.pop();
            return Err(error);
        }
        Ok(local)
    }

    fn receive(self: &Arc<Self>, id: SocketId, local: SocketAddr, socket: &UdpSocket) {
        let mut buffer = vec![0; BUFFER];
        loop {
            match socket.recv_from(&mut buffer) {
                Ok((len, remote)) => {
                    let payload = &buffer[..len];
                    let fed = self.enter(|engine, _| {
                        let bound = engine.udp.iter().any(|udp| udp.id == id);
                        if bound {
                            let input = Input::Datagram { socket: id, local, remote, payload };
                            engine.feed(input);
                        }
                        bound
                    });
                    if fed != Some(true) {
                        return;
                    }
                }
                Err(error) => {
                    if !self.lock().udp.iter().any(|udp| udp.id == id) {
                        return;
                    }
                    // Nothing came for a while, or an error that concerns one datagram: but never spin.
                    if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            }
        }
    }
}

impl Udp {
    fn bind(id: SocketId, addr: SocketAddr) -> io::Result<Self> {
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
        let socket = UdpSocket::from(socket);
        Ok(Self { id, local: socket.local_addr()?, socket: Arc::new(socket) })
    }

    /// Sends a datagram. If the kernel has no room for long, it is lost, as UDP may.
    pub(crate) fn send(&self, remote: SocketAddr, payload: &[u8]) -> Result<(), Unreachable> {
        match self.socket.send_to(payload, remote) {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(())
            }
            Err(error) if error.raw_os_error() == Some(EMSGSIZE) => Err(Unreachable::TooBig),
            Err(_) => Err(Unreachable::Icmp),
        }
    }

    /// Closes the socket, whose thread ends at once where the system wakes it, else after [`IDLE`].
    pub(crate) fn close(self) {
        // It always reports that there is no peer, and yet wakes the reader.
        let _ = SockRef::from(&*self.socket).shutdown(std::net::Shutdown::Both);
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const EMSGSIZE: i32 = 90;
#[cfg(windows)]
const EMSGSIZE: i32 = 10_040;
#[cfg(not(any(target_os = "linux", target_os = "android", windows)))]
const EMSGSIZE: i32 = 40;

/// More than any datagram: UDP cannot carry 65,508 bytes.
const BUFFER: usize = 65_536;

/// Bytes asked of the kernel for each direction: 4 MiB hold some 4,000 requests.
const KERNEL_BUFFER: usize = 4 << 20;

/// How often an idle reader looks whether its socket is still bound.
const IDLE: Duration = Duration::from_secs(1);

/// For how long a full kernel buffer may hold up the machine.
const FULL: Duration = Duration::from_millis(50);
