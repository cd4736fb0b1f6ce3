use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use crate::{
    syntax::{Host, Uri},
    transport::{DnsName, Flow, Proto, RecordKind},
};

/// What a URI says about the servers that it leads to (RFC 3263 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    pub(crate) host: DestinationHost,
    pub(crate) port: Option<u16>,
    /// The transport that is asked for.
    pub(crate) proto: Option<Proto>,
    /// Whether TLS is a must.
    pub(crate) secure: bool,
}

/// The host of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DestinationHost {
    Addr(IpAddr),
    Name(DnsName),
}

/// A URI that leads to no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadDestination {
    /// It is no SIP URI.
    #[error("only sip URIs can be sent to")]
    Scheme,
    /// Its `maddr` is neither an address nor a name.
    #[error("its maddr is no host")]
    Maddr,
    /// Its host is no name that DNS has.
    #[error("its host is no domain name")]
    Host,
    /// Its transport is not known.
    #[error("its transport is not known")]
    Transport,
    /// SIPS with a transport that has no TLS.
    #[error("its transport has no TLS, which sips needs")]
    Insecure,
}

/// One server: where it is, how to talk to it, and what its certificate has to prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The transport.
    pub proto: Proto,
    /// Address and port.
    pub addr: SocketAddr,
    /// The domain before any look-up, which TLS asks for and verifies (RFC 5922 §4); none for a numeric host.
    pub name: Option<DnsName>,
}

/// The family of addresses that comes first where a host has both (RFC 7984 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Preference {
    /// IPv4.
    #[default]
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// The transports and families that this side can use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    v4: u8,
    v6: u8,
    chosen: u8,
}

impl Destination {
    /// Reads host, port and transport; `maddr` counts before the host (RFC 3263 §4).
    pub fn of(uri: Uri<'_>) -> Result<Self, BadDestination> {
        let named = uri.host().ok_or(BadDestination::Scheme)?;
        let host = match uri.maddr() {
            Some(maddr) => Host::parse(maddr).map_err(|_| BadDestination::Maddr)?,
            None => named,
        };
        let host = match (host.ip(), host) {
            (Some(ip), _) => DestinationHost::Addr(ip),
            (None, Host::Name(name)) => {
                DestinationHost::Name(name.parse().map_err(|_| BadDestination::Host)?)
            }
            (None, _) => return Err(BadDestination::Host),
        };
        let proto = match uri.transport() {
            Some(name) => Some(name.parse().map_err(|_| BadDestination::Transport)?),
            None => None,
        };
        let secure = uri.is_sips();
        // RFC 3261 §26.2.2: sips means TLS on every hop; RFC 7118 §5.3 says secure WebSocket with it.
        let proto = match proto {
            proto if !secure => proto,
            None => None,
            Some(Proto::Tcp | Proto::Tls) => Some(Proto::Tls),
            Some(Proto::Ws | Proto::Wss) => Some(Proto::Wss),
            Some(Proto::Udp | Proto::Sctp) => return Err(BadDestination::Insecure),
        };
        Ok(Self { host, port: uri.port(), proto, secure })
    }

    /// Makes the one where a response goes that the sent-by of its request names (RFC 3263 §5).
    pub(crate) const fn served(name: DnsName, port: Option<u16>, proto: Proto) -> Self {
        Self { host: DestinationHost::Name(name), port, proto: Some(proto), secure: proto.is_secure() }
    }

    /// Returns the name that leads there, before any look-up.
    pub(crate) const fn name(&self) -> Option<&DnsName> {
        match &self.host {
            DestinationHost::Addr(_) => None,
            DestinationHost::Name(name) => Some(name),
        }
    }

    /// Tells whether a connection over which a message came leads there: it has the peer's very address, or a name that
    /// leads nowhere else (RFC 7118 §5). Of a connection that the peer has opened the port says nothing.
    pub(crate) fn is_at(&self, flow: &Flow, accepted: bool) -> bool {
        let proto = match self.proto.or_else(|| self.secure.then_some(Proto::Tls)) {
            // RFC 7118 §5.3: a SIP URI says `ws` for both.
            Some(Proto::Ws) => matches!(flow.proto(), Proto::Ws | Proto::Wss),
            proto => proto == Some(flow.proto()),
        };
        let port = self.port.unwrap_or_else(|| flow.proto().default_port());
        proto
            && match &self.host {
                // The port that a caller listens at is not the one that it calls from; nor need it listen at all.
                DestinationHost::Addr(ip) => {
                    *ip == flow.remote().ip() && (accepted || port == flow.remote().port())
                }
                DestinationHost::Name(name) => name.leads_nowhere(),
            }
    }

    /// Returns the server of a numeric host, which needs no look-up (RFC 3263 §4.1, §4.2).
    pub(crate) fn place(&self, reach: &Reach) -> Option<Place> {
        let DestinationHost::Addr(ip) = self.host else { return None };
        let proto = self.proto.unwrap_or_else(|| reach.default_for(self.secure));
        let port = self.port.unwrap_or_else(|| proto.default_port());
        Some(Place { proto, addr: (ip, port).into(), name: None })
    }
}

impl Reach {
    /// Adds a transport that can be used in a family.
    #[must_use]
    pub const fn with(mut self, proto: Proto, ipv4: bool) -> Self {
        let bit = 1 << proto as u8;
        if ipv4 {
            self.v4 |= bit;
        } else {
            self.v6 |= bit;
        }
        self
    }

    /// Adds a transport that is chosen where a URI leaves it open.
    #[must_use]
    pub const fn choosing(mut self, proto: Proto) -> Self {
        self.chosen |= 1 << proto as u8;
        self
    }

    /// Tells whether a transport is chosen where a URI leaves it open; SIPS leaves TLS alone.
    pub(super) const fn offers(&self, proto: Proto, secure: bool) -> bool {
        let chosen = self.chosen & (1 << proto as u8) != 0;
        if secure { matches!(proto, Proto::Tls) || proto.is_secure() && chosen } else { chosen }
    }

    pub(super) const fn reaches(&self, proto: Proto, ip: IpAddr) -> bool {
        let families = if ip.is_ipv4() { self.v4 } else { self.v6 };
        families & (1 << proto as u8) != 0
    }

    /// Returns the types of address records that are of use.
    pub(super) fn families(&self, proto: Proto) -> impl Iterator<Item = RecordKind> {
        let bit = 1 << proto as u8;
        let kinds = [(RecordKind::A, self.v4 & bit != 0), (RecordKind::Aaaa, self.v6 & bit != 0)];
        kinds.into_iter().filter_map(|(kind, wanted)| wanted.then_some(kind))
    }

    /// Returns the transport where nothing says which: UDP, or TLS for SIPS (RFC 3263 §4.1).
    pub(super) fn default_for(&self, secure: bool) -> Proto {
        let usual = if secure { Proto::Tls } else { Proto::Udp };
        // One that cannot use it at all takes what it has.
        let own = Proto::ALL.into_iter().find(|proto| self.offers(*proto, secure));
        if self.offers(usual, secure) { usual } else { own.unwrap_or(usual) }
    }

    /// Tells whether a transport can be used at all.
    pub(crate) const fn has(&self, proto: Proto) -> bool {
        (self.v4 | self.v6) & (1 << proto as u8) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach() -> Reach {
        let all = |reach: Reach, proto| reach.with(proto, true).with(proto, false);
        let reach = Proto::ALL.into_iter().fold(Reach::default(), all);
        reach.choosing(Proto::Udp).choosing(Proto::Tcp)
    }

    fn read(text: &str) -> Result<Destination, BadDestination> {
        Destination::of(Uri::parse(text).expect("a URI"))
    }

    /// DN-01, DN-02, DN-03, TU.08: transport, address and port of numeric hosts.
    #[test]
    fn tu_08_numeric_hosts() {
        for (uri, proto, addr) in [
            ("sip:192.0.2.1", Proto::Udp, "192.0.2.1:5060"),
            ("sip:192.0.2.1:5070", Proto::Udp, "192.0.2.1:5070"),
            ("sip:192.0.2.1;transport=tcp", Proto::Tcp, "192.0.2.1:5060"),
            ("sip:192.0.2.1;transport=TLS", Proto::Tls, "192.0.2.1:5061"),
            ("sip:192.0.2.1;transport=ws", Proto::Ws, "192.0.2.1:80"),
            ("sip:192.0.2.1;transport=sctp", Proto::Sctp, "192.0.2.1:5060"),
            ("sips:192.0.2.1", Proto::Tls, "192.0.2.1:5061"),
            ("sips:192.0.2.1;transport=tcp", Proto::Tls, "192.0.2.1:5061"),
            ("sips:192.0.2.1;transport=ws", Proto::Wss, "192.0.2.1:443"),
            ("sips:[2001:db8::1]:5080", Proto::Tls, "[2001:db8::1]:5080"),
            ("sip:a.example;maddr=192.0.2.9", Proto::Udp, "192.0.2.9:5060"),
            ("sip:a.example:5070;maddr=[2001:db8::9];transport=tcp", Proto::Tcp, "[2001:db8::9]:5070"),
        ] {
            let place = read(uri).ok().and_then(|to| to.place(&reach())).expect(uri);
            assert_eq!(
                (place.proto, place.addr, place.name),
                (proto, addr.parse().expect("one"), None),
                "{uri}"
            );
        }
    }

    /// DN-02, TU.08: what leads nowhere is refused.
    #[test]
    fn tu_08_refused() {
        for (uri, error) in [
            ("sips:a.example;transport=udp", BadDestination::Insecure),
            ("sips:a.example;transport=sctp", BadDestination::Insecure),
            ("sip:a.example;transport=pigeon", BadDestination::Transport),
            ("sip:a.example;maddr=a..b", BadDestination::Maddr),
            ("tel:+1", BadDestination::Scheme),
        ] {
            assert_eq!(read(uri), Err(error), "{uri}");
        }
    }

    /// RFC 3263 §4.1: who has no UDP socket takes what there is.
    #[test]
    fn the_default_is_what_can_be_used() {
        let tcp = Reach::default().with(Proto::Tcp, true).choosing(Proto::Tcp);
        assert_eq!((tcp.default_for(false), tcp.default_for(true)), (Proto::Tcp, Proto::Tls));
        assert_eq!((reach().default_for(false), reach().default_for(true)), (Proto::Udp, Proto::Tls));
    }
}
