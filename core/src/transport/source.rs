use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
};

use crate::{
    base::Limits,
    transport::{IoKind, Output, Proto, SocketId, Transport, is_wildcard},
};

/// An address of this machine and the network that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Interface {
    /// The address.
    pub addr: IpAddr,
    /// How many of its first bits all addresses of the network share.
    pub prefix: u8,
    /// Whether the system sends from it to whatever no network of its own has.
    pub is_default: bool,
}

/// How large a request may be to go over UDP (RFC 3261 §18.1.1). Each request is judged by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum UdpSize {
    /// 1300 bytes, since the size that the path takes is not known. Larger ones go over TCP.
    #[default]
    Rfc,
    /// So many bytes: 200 less than the path takes. Larger ones go over TCP.
    UpTo(usize),
    /// As large as a datagram can be.
    Any,
}

impl UdpSize {
    /// Returns the number of bytes that may still go over UDP.
    pub(crate) const fn most(self) -> usize {
        match self {
            Self::Rfc => 1300,
            Self::UpTo(bytes) => bytes,
            Self::Any => usize::MAX,
        }
    }
}

impl Interface {
    /// Makes an interface.
    pub const fn new(addr: IpAddr, prefix: u8, is_default: bool) -> Self {
        Self { addr, prefix, is_default }
    }

    /// Returns how many bits of its network an address shares with it, if it is in that network.
    fn reaches(&self, remote: IpAddr) -> Option<u32> {
        let prefix = u32::from(self.prefix);
        (self.addr.is_ipv4() == remote.is_ipv4() && common_bits(self.addr, remote) >= prefix)
            .then_some(prefix)
    }
}

impl Transport {
    /// Notes the addresses of this machine, all of them; returns those that it has no more. Connections over one of them
    /// are dead, and whoever waits there is told.
    pub(crate) fn set_interfaces(
        &mut self,
        limits: &Limits,
        interfaces: Vec<Interface>,
        out: &mut VecDeque<Output>,
    ) -> Vec<IpAddr> {
        let before = std::mem::replace(&mut self.interfaces, interfaces);
        let has = |ip: &IpAddr| self.interfaces.iter().any(|interface| interface.addr == *ip);
        let mut gone: Vec<IpAddr> =
            before.iter().map(|interface| interface.addr).filter(|ip| !has(ip)).collect();
        gone.sort_unstable();
        gone.dedup();
        self.lost.retain(|ip| !has(ip));
        let bound = |ip: &IpAddr| {
            self.sockets.values().any(|socket| socket.bound.is_some_and(|bound| bound.ip() == *ip))
        };
        self.lost.extend(gone.iter().copied().filter(bound));
        let dead = self.conns.keys().filter(|conn| {
            self.flow_of(**conn).is_some_and(|flow| gone.binary_search(&flow.local().ip()).is_ok())
        });
        for conn in dead.copied().collect::<Vec<_>>() {
            self.reset(limits, conn, IoKind::AddressNotAvailable, out);
        }
        gone
    }

    /// Chooses the socket to send from towards `remote`, and the address that leads back to it: the socket bound to the
    /// address that the system would send from, else one bound to all addresses, else the nearest one.
    ///
    /// For connections it is the listener whose address Via shows; without one, another socket lends its own.
    pub(crate) fn local(&self, proto: Proto, remote: SocketAddr) -> Option<(SocketId, SocketAddr)> {
        let source = self.source(remote.ip());
        let nearness = |bound: IpAddr| match source {
            Some(source) if bound == source => 300,
            Some(_) if is_wildcard(&bound) => 200,
            _ if is_wildcard(&bound) => 1,
            _ if bound.is_loopback() != remote.ip().is_loopback() => 0,
            _ => 2 + common_bits(bound, remote.ip()),
        };
        let bound = |want: Proto| {
            let fitting =
                self.sockets.iter().filter(|(_, socket)| socket.proto == want).filter_map(|(id, socket)| {
                    let addr = socket.bound.filter(|addr| addr.is_ipv4() == remote.is_ipv4())?;
                    if self.lost.contains(&addr.ip()) {
                        return None;
                    }
                    Some((*id, addr))
                });
            // Of several that are equally near it is the first.
            fitting
                .reduce(|best, next| if nearness(next.1.ip()) > nearness(best.1.ip()) { next } else { best })
        };
        let (socket, addr) = match proto {
            Proto::Udp => bound(Proto::Udp),
            _ => bound(proto).or_else(|| bound(Proto::Tcp)).or_else(|| bound(Proto::Udp)),
        }?;
        Some((socket, self.specific(addr, remote)))
    }

    /// Tells whether peers can open connections of this kind to this machine.
    pub(crate) fn listens(&self, proto: Proto) -> bool {
        self.sockets.values().any(|socket| socket.proto == proto && socket.bound.is_some())
    }

    /// Replaces an address that stands for all by the one that leads to `remote`, as far as that is known.
    pub(crate) fn specific(&self, local: SocketAddr, remote: SocketAddr) -> SocketAddr {
        if !is_wildcard(&local.ip()) {
            return local;
        }
        let source = self.source(remote.ip()).filter(|source| source.is_ipv4() == local.is_ipv4());
        source.map_or(local, |source| SocketAddr::new(source, local.port()))
    }

    /// Returns the address that the system sends from towards `remote`: the one in the same, smallest network, else the
    /// usual one.
    fn source(&self, remote: IpAddr) -> Option<IpAddr> {
        let of_family =
            || self.interfaces.iter().filter(|interface| interface.addr.is_ipv4() == remote.is_ipv4());
        let near = of_family().filter_map(|interface| Some((interface.reaches(remote)?, interface)));
        let near = near.reduce(|best, next| {
            let nearer = next.0 > best.0 || next.0 == best.0 && next.1.is_default && !best.1.is_default;
            if nearer { next } else { best }
        });
        let usual = || of_family().find(|interface| interface.is_default);
        near.map(|(_, interface)| interface).or_else(usual).map(|interface| interface.addr)
    }
}

/// Counts the first bits that two addresses of one family share.
fn common_bits(one: IpAddr, other: IpAddr) -> u32 {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// Returns a transport with UDP sockets at these addresses.
    fn bound_to(addresses: &[&str]) -> Transport {
        let mut transport = Transport::new(&crate::base::Seed::from_u64(1));
        let mut out = VecDeque::new();
        for text in addresses {
            let socket = transport.listen(Proto::Udp, addr(text), false, &mut out);
            transport.bound(socket, Ok(addr(text)), &mut out);
        }
        transport
    }

    fn interfaces(transport: &mut Transport, all: &[(&str, u8, bool)]) {
        let read = |(text, prefix, is_default): &(&str, u8, bool)| {
            Interface::new(text.parse().expect("an address"), *prefix, *is_default)
        };
        let all = all.iter().map(read).collect();
        transport.set_interfaces(&Limits::default(), all, &mut VecDeque::new());
    }

    fn chosen(transport: &Transport, remote: &str) -> Option<String> {
        transport.local(Proto::Udp, addr(remote)).map(|(_, local)| local.to_string())
    }

    const MACHINE: [(&str, u8, bool); 6] = [
        ("127.0.0.1", 8, false),
        ("10.0.0.5", 8, true),
        ("10.1.0.5", 16, false),
        ("::1", 128, false),
        ("2001:db8:1::5", 64, true),
        ("fe80::5", 64, false),
    ];

    /// C059: a socket bound to all addresses shows the one that leads to the peer, in its family.
    #[test]
    fn c059_the_address_shown_leads_to_the_peer() {
        let mut transport = bound_to(&["0.0.0.0:5060", "[::]:5060"]);
        assert_eq!(chosen(&transport, "192.0.2.9:5060"), Some("0.0.0.0:5060".into()), "nothing is known yet");
        interfaces(&mut transport, &MACHINE);
        for (remote, local) in [
            ("192.0.2.9:5060", "10.0.0.5:5060"),
            ("10.2.0.9:5060", "10.0.0.5:5060"),
            ("10.1.0.9:5060", "10.1.0.5:5060"),
            ("127.0.0.1:5070", "127.0.0.1:5060"),
            ("[2001:db8:9::1]:5060", "[2001:db8:1::5]:5060"),
            ("[fe80::1]:5060", "[fe80::5]:5060"),
            ("[::1]:5070", "[::1]:5060"),
        ] {
            assert_eq!(chosen(&transport, remote), Some(local.into()), "{remote}");
        }
        interfaces(&mut transport, &[("10.0.0.6", 8, true)]);
        assert_eq!(
            chosen(&transport, "192.0.2.9:5060"),
            Some("10.0.0.6:5060".into()),
            "the network has changed"
        );
    }

    /// C059: of several sockets, the one in the peer's network sends, whatever the order in which they were opened.
    #[test]
    fn c059_the_socket_suits_the_network() {
        for order in [
            ["127.0.0.1:5060", "10.0.0.5:5060", "10.1.0.5:5060"],
            ["10.1.0.5:5060", "10.0.0.5:5060", "127.0.0.1:5060"],
        ] {
            let mut transport = bound_to(&order);
            for (remote, local) in [
                ("10.1.0.9:5060", "10.1.0.5:5060"),
                ("10.0.3.9:5060", "10.0.0.5:5060"),
                ("127.0.0.1:5070", "127.0.0.1:5060"),
            ] {
                assert_eq!(chosen(&transport, remote), Some(local.into()), "{remote} by likeness");
            }
            interfaces(&mut transport, &MACHINE);
            assert_eq!(
                chosen(&transport, "192.0.2.9:5060"),
                Some("10.0.0.5:5060".into()),
                "by the usual way"
            );
            assert_eq!(chosen(&transport, "10.1.0.9:5060"), Some("10.1.0.5:5060".into()));
            assert_eq!(chosen(&transport, "[2001:db8::1]:5060"), None, "of another family");
        }
    }
}
