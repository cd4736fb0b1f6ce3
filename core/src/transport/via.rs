use std::net::{IpAddr, SocketAddr};

use super::{DnsName, Proto};
use crate::syntax::{Host, Via, ViaStamp};

/// Where a response goes that does not go back over the connection of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseTarget<'a> {
    /// To this address.
    Address(SocketAddr),
    /// Wherever RFC 3263 §5 finds the host: with a port by its addresses alone, without one by SRV first.
    Locate {
        /// A domain name.
        host: Host<'a>,
        /// The port, if the Via names one or may not be asked for another.
        port: Option<u16>,
    },
}

/// What the top Via of a message says about the way back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WayBack<'a> {
    sent_by: Host<'a>,
    port: Option<u16>,
    maddr: Option<&'a str>,
    received: Option<Option<&'a str>>,
    rport: Option<Option<&'a str>>,
}

impl<'a> WayBack<'a> {
    pub(crate) fn of(via: Via<'a>) -> Self {
        Self {
            sent_by: via.host(),
            port: via.port(),
            maddr: via.maddr(),
            received: via.received_param(),
            rport: via.rport_param(),
        }
    }

    /// Returns the name that the sender goes by, if it is not an address.
    pub(crate) fn name(&self) -> Option<DnsName> {
        match self.sent_by {
            Host::Name(name) => name.parse().ok(),
            Host::V4(_) | Host::V6(_) => None,
        }
    }

    /// Returns what is to be written into the Via of a request from `remote` (RFC 3261 §18.2.1, RFC 3581 §4).
    ///
    /// A `received` that the request brought along is always replaced: believed, it would send responses to a stranger.
    pub(crate) fn stamp(&self, remote: SocketAddr) -> ViaStamp {
        let source = remote.ip().to_canonical();
        let same = self.sent_by.ip().is_some_and(|host| host.to_canonical() == source);
        let asks_port = self.rport == Some(None);
        ViaStamp {
            received: (!same || asks_port || self.received.is_some()).then_some(source),
            rport: asks_port.then_some(remote.port()),
        }
    }

    /// Returns where a response goes over an unreliable transport (RFC 3261 §18.2.2, RFC 3581 §4).
    ///
    /// What `stamp` has counts before what the Via says; for a Via that was stamped when the request came, it is empty.
    pub(crate) fn response_target(&self, stamp: ViaStamp) -> ResponseTarget<'a> {
        let port = self.port_over(Proto::Udp);
        if let Some(maddr) = self.maddr.and_then(host) {
            return match maddr.ip() {
                Some(ip) => ResponseTarget::Address(SocketAddr::new(ip, port)),
                None => ResponseTarget::Locate { host: maddr, port: Some(port) },
            };
        }
        match self.received(stamp) {
            Some(ip) => {
                let rport = || self.rport.flatten()?.parse().ok();
                ResponseTarget::Address(SocketAddr::new(ip, stamp.rport.or_else(rport).unwrap_or(port)))
            }
            None => self.sent_by(Proto::Udp),
        }
    }

    /// Returns where to open a connection for a response whose own is gone (RFC 3261 §18.2.2); `rport` plays no part.
    pub(crate) fn connection_target(&self, stamp: ViaStamp, proto: Proto) -> ResponseTarget<'a> {
        match self.received(stamp) {
            Some(ip) => ResponseTarget::Address(SocketAddr::new(ip, self.port_over(proto))),
            None => self.sent_by(proto),
        }
    }

    /// Returns the place that the sent-by names (RFC 3263 §5).
    pub(super) fn sent_by(&self, proto: Proto) -> ResponseTarget<'a> {
        match self.sent_by.ip() {
            Some(ip) => ResponseTarget::Address(SocketAddr::new(ip, self.port_over(proto))),
            None => ResponseTarget::Locate { host: self.sent_by, port: self.port },
        }
    }

    /// Returns the port of the sent-by, or the usual one.
    pub(crate) fn port_over(&self, proto: Proto) -> u16 {
        self.port.unwrap_or_else(|| proto.default_port())
    }

    fn received(&self, stamp: ViaStamp) -> Option<IpAddr> {
        stamp.received.or_else(|| host(self.received.flatten()?)?.ip())
    }
}

/// Reads a host of a parameter, where IPv6 addresses come with and without brackets.
fn host(text: &str) -> Option<Host<'_>> {
    text.parse::<IpAddr>().map(Host::from).or_else(|_| Host::parse(text)).ok()
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::{
        base::Limits,
        syntax::{Encoder, Message, StatusCode},
    };

    fn via(text: &str) -> WayBack<'_> {
        WayBack::of(Via::parse(text).expect("a Via"))
    }

    fn stamped(text: &str, remote: &str) -> (Option<String>, Option<u16>) {
        let ViaStamp { received, rport } = via(text).stamp(remote.parse().expect("an address"));
        (received.map(|ip| ip.to_string()), rport)
    }

    fn address(text: &str) -> ResponseTarget<'_> {
        ResponseTarget::Address(text.parse().expect("an address"))
    }

    fn name(name: &str, port: Option<u16>) -> ResponseTarget<'_> {
        ResponseTarget::Locate { host: Host::Name(name), port }
    }

    const NOTHING: ViaStamp = ViaStamp { received: None, rport: None };

    #[test]
    fn tp_02_received() {
        let ip = |ip: &str| (Some(ip.to_owned()), None);
        let z = ";branch=z9hG4bKx";
        assert_eq!(
            stamped(&format!("SIP/2.0/UDP bobspc.biloxi.com:5060{z}"), "192.0.2.4:5060"),
            ip("192.0.2.4"),
            "a name"
        );
        assert_eq!(
            stamped(&format!("SIP/2.0/UDP 10.0.0.1{z}"), "192.0.2.4:5060"),
            ip("192.0.2.4"),
            "another address"
        );
        assert_eq!(
            stamped(&format!("SIP/2.0/UDP 192.0.2.4{z}"), "192.0.2.4:9"),
            (None, None),
            "the port does not count"
        );
        assert_eq!(stamped(&format!("SIP/2.0/TCP [2001:db8::1]:5070{z}"), "[2001:db8::1]:9"), (None, None));
        assert_eq!(stamped(&format!("SIP/2.0/TCP [2001:db8::2]{z}"), "[2001:db8::1]:9"), ip("2001:db8::1"));
        assert_eq!(
            stamped(&format!("SIP/2.0/UDP 192.0.2.4{z}"), "[::ffff:192.0.2.4]:5060"),
            (None, None),
            "a mapped address is the IPv4 address"
        );
        assert_eq!(
            stamped(&format!("SIP/2.0/UDP 192.0.2.4;received=203.0.113.9{z}"), "192.0.2.4:5060"),
            ip("192.0.2.4"),
            "a forged one is replaced"
        );
    }

    #[test]
    fn tp_02_rport() {
        // RFC 3581 §4: filled on any transport, and then `received` is always added. The first is the example of §6.
        for (text, remote, received, rport) in [
            (
                "SIP/2.0/UDP 10.1.1.1:4540;rport;branch=z9hG4bKkjshdyff",
                "192.0.2.1:9988",
                Some("192.0.2.1"),
                Some(9988),
            ),
            ("SIP/2.0/TCP 192.0.2.1;rport;branch=z9hG4bKx", "192.0.2.1:9988", Some("192.0.2.1"), Some(9988)),
            ("SIP/2.0/UDP 192.0.2.1;RPORT;branch=z9hG4bKx", "192.0.2.1:5060", Some("192.0.2.1"), Some(5060)),
            ("SIP/2.0/UDP 192.0.2.1;rport=7;branch=z9hG4bKx", "192.0.2.1:5060", None, None),
        ] {
            assert_eq!(stamped(text, remote), (received.map(str::to_owned), rport), "{text}");
        }
    }

    #[test]
    fn tp_02_tp_03_a_response_goes_back_where_the_request_came_from() {
        let remote: SocketAddr = "192.0.2.1:9988".parse().expect("an address");
        for params in
            [";rport", ";received=203.0.113.9;rport", ";rport;received=203.0.113.9", ";rport;received"]
        {
            let request = format!(
                "OPTIONS sip:b SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.1.1:4540{params};branch=z9hG4bKx\r\nMax-Forwards: 70\r\n\
                 From: <sip:a>;tag=1\r\nTo: <sip:b>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            );
            let request = Message::parse(request.as_bytes(), &Limits::default()).expect("a request");
            let view = request.view();
            let mut out = BytesMut::new();
            Encoder::response(
                &mut out,
                view,
                StatusCode::OK,
                None,
                Some("t"),
                WayBack::of(view.via()).stamp(remote),
            )
            .end(None);
            let response = Message::parse(&out, &Limits::default()).expect("a response");
            let target = WayBack::of(response.view().via()).response_target(NOTHING);
            assert_eq!(target, ResponseTarget::Address(remote), "{params}: {:?}", response.view().via());
        }
    }

    #[test]
    fn tp_03_unreliable() {
        for (text, target) in [
            (
                "SIP/2.0/UDP 10.1.1.1:4540;received=192.0.2.1;rport=9988;branch=z9hG4bKx",
                address("192.0.2.1:9988"),
            ),
            ("SIP/2.0/UDP 10.1.1.1:4540;received=192.0.2.1;rport;branch=z9hG4bKx", address("192.0.2.1:4540")),
            ("SIP/2.0/UDP a.example.com:4540;received=192.0.2.1", address("192.0.2.1:4540")),
            ("SIP/2.0/UDP a.example.com;received=192.0.2.1", address("192.0.2.1:5060")),
            ("SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255", address("[2001:db8::9:255]:5060")),
            ("SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255]", address("[2001:db8::9:255]:5060")),
            ("SIP/2.0/UDP 192.0.2.1:4540;rport=9988", address("192.0.2.1:4540")),
            ("SIP/2.0/UDP 192.0.2.1", address("192.0.2.1:5060")),
            ("SIP/2.0/UDP a.example.com", name("a.example.com", None)),
            ("SIP/2.0/UDP a.example.com:5060", name("a.example.com", Some(5060))),
            ("SIP/2.0/UDP a.example.com;received=nonsense", name("a.example.com", None)),
            // `maddr` comes before all others.
            (
                "SIP/2.0/UDP 10.1.1.1:4540;maddr=224.2.0.1;ttl=16;received=192.0.2.1;rport=9",
                address("224.2.0.1:4540"),
            ),
            ("SIP/2.0/UDP 10.1.1.1;maddr=224.2.0.1", address("224.2.0.1:5060")),
            ("SIP/2.0/UDP 10.1.1.1;maddr=m.example.com", name("m.example.com", Some(5060))),
        ] {
            assert_eq!(via(text).response_target(NOTHING), target, "{text}");
        }
    }

    #[test]
    fn tp_03_the_stamp_counts_before_the_text() {
        let remote = "192.0.2.1:9988".parse().expect("an address");
        for (text, target) in [
            ("SIP/2.0/UDP 10.1.1.1:4540;rport;branch=z9hG4bKx", "192.0.2.1:9988"),
            ("SIP/2.0/UDP 10.1.1.1:4540;branch=z9hG4bKx", "192.0.2.1:4540"),
            ("SIP/2.0/UDP 10.1.1.1:4540;received=203.0.113.9;branch=z9hG4bKx", "192.0.2.1:4540"),
            ("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx", "192.0.2.1:5060"),
        ] {
            let via = via(text);
            assert_eq!(via.response_target(via.stamp(remote)), address(target), "{text}");
        }
    }

    #[test]
    fn tp_03_reliable_without_its_connection() {
        for (text, target) in [
            ("SIP/2.0/TCP 10.1.1.1:4540;received=192.0.2.1;rport=9988", address("192.0.2.1:4540")),
            ("SIP/2.0/TCP 10.1.1.1;received=192.0.2.1;rport=9988", address("192.0.2.1:5060")),
            ("SIP/2.0/TCP 192.0.2.1:4540", address("192.0.2.1:4540")),
            ("SIP/2.0/TCP a.example.com", name("a.example.com", None)),
        ] {
            assert_eq!(via(text).connection_target(NOTHING, Proto::Tcp), target, "{text}");
        }
    }
}
