use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::icmp;

/// Opens a UDP socket that does not block, with large buffers, and has the kernel keep the network's complaints.
pub(crate) fn udp(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = open(addr, Type::DGRAM, Protocol::UDP)?;
    // Best effort: the system may cap the buffers, and need not know of complaints.
    let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
    let _ = socket.set_send_buffer_size(KERNEL_BUFFER);
    let _ = icmp::keep(&socket, addr.is_ipv6());
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// Opens a listener that does not block.
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(addr, Type::STREAM, Protocol::TCP)?;
    // On Windows the option would let two programs share the port.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn open(addr: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// More than any datagram: UDP cannot carry 65,508 bytes.
pub(crate) const BUFFER: usize = 65_536;

/// Bytes asked of the kernel for each direction: 4 MiB hold some 4,000 requests.
const KERNEL_BUFFER: usize = 4 << 20;

const BACKLOG: i32 = 1024;
