use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use if_addrs::{IfAddr, get_if_addrs};
use sansip::Interface;

/// Returns the addresses of this machine with their networks. The usual ones are those that lead out of all of them.
pub(crate) fn interfaces() -> Vec<Interface> {
    let usual = [
        usual(Ipv4Addr::UNSPECIFIED.into(), OUTSIDE.into()),
        usual(Ipv6Addr::UNSPECIFIED.into(), OUTSIDE6.into()),
    ];
    let interface = |addr: IfAddr| {
        let prefix = match &addr {
            IfAddr::V4(addr) => addr.prefixlen,
            IfAddr::V6(addr) => addr.prefixlen,
        };
        Interface::new(addr.ip(), prefix, usual.contains(&Some(addr.ip())))
    };
    // Without them the application has to say what Via and Contact show.
    get_if_addrs().unwrap_or_default().into_iter().map(|found| interface(found.addr)).collect()
}

/// Returns the address that the system would send from; nothing is sent.
fn usual(any: IpAddr, outside: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(outside, 9)).ok()?;
    socket.local_addr().ok().map(|addr| addr.ip())
}

/// Addresses for examples (RFC 5737, RFC 3849), which are in no network of a machine's.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const OUTSIDE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);
