use std::{
    fmt,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _, UdpSocket},
    str::FromStr,
};

use sansip::{
    IoKind, Listener, Proto,
    syntax::{Leniency, Uri},
};
use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

/// A socket to open, written as a URI: `sip:127.0.0.1:5060;transport=udp;leniency=none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) proto: Proto,
    pub(crate) addr: SocketAddr,
    /// What is forgiven in messages that come in here, if it differs from the configuration.
    pub(crate) leniency: Option<Leniency>,
}

/// Why a text names no socket.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum BadListen {
    #[error("{0:?} is no address to listen on: write sip:HOST:PORT or sip:HOST:PORT;transport=tcp")]
    Form(String),
    #[error("transport {0} is not built into this version yet: use udp, tcp, tls, ws or wss")]
    Transport(String),
    #[error("there is no transport {0}: use udp, tcp, tls, ws or wss")]
    Unknown(String),
    #[error("{0:?} has no TLS: write sips:HOST:PORT, or sips:HOST:PORT;transport=ws")]
    Insecure(String),
    #[error("leniency {0:?} is not known: use all or none")]
    Leniency(String),
    #[error("{0:?} is no address of a host: use an IP address, such as 127.0.0.1 or [::1]")]
    Host(String),
}

impl Listen {
    /// Returns what is opened if nothing else is said: the loopback address, for UDP and with it TCP.
    pub(crate) fn usual() -> Self {
        let addr = SocketAddr::from(([127, 0, 0, 1], Proto::Udp.default_port()));
        Self { proto: Proto::Udp, addr, leniency: None }
    }

    /// Returns what the endpoint is asked for.
    pub(crate) fn listener(self) -> Listener {
        let listener = Listener::new(self.proto, self.addr);
        match self.leniency {
            Some(leniency) => listener.leniency(leniency),
            None => listener,
        }
    }
}

impl FromStr for Listen {
    type Err = BadListen;

    fn from_str(text: &str) -> Result<Self, BadListen> {
        let form = || BadListen::Form(text.into());
        let uri = Uri::parse(text).map_err(|_| form())?;
        let host = uri.host_text().filter(|_| uri.is_sip() || uri.is_sips()).ok_or_else(form)?;
        let is_known =
            |name: &str| ["transport", "leniency"].iter().any(|known| known.eq_ignore_ascii_case(name));
        let only_known = uri.params().all(|(name, _)| is_known(name));
        if uri.user().is_some() || uri.headers_text().is_some() || !only_known {
            return Err(form());
        }
        let proto = proto_of(uri).map_err(|fault| match fault {
            BadTransport::Unknown => BadListen::Unknown(uri.transport().unwrap_or_default().into()),
            BadTransport::Insecure => BadListen::Insecure(text.into()),
        })?;
        if proto == Proto::Sctp {
            return Err(BadListen::Transport(proto.to_string()));
        }
        let port = uri.port().unwrap_or_else(|| proto.default_port());
        let ip = resolve(host, port).ok_or_else(|| BadListen::Host(host.into()))?;
        Ok(Self { proto, addr: SocketAddr::new(ip, port), leniency: leniency_of(uri)? })
    }
}

/// Returns the rule that a URI names.
fn leniency_of(uri: Uri<'_>) -> Result<Option<Leniency>, BadListen> {
    let Some(rule) = uri.param("leniency") else { return Ok(None) };
    let rule = rule.unwrap_or("");
    match rule.to_ascii_lowercase().as_str() {
        "all" => Ok(Some(Leniency::ALL)),
        "none" => Ok(Some(Leniency::NONE)),
        _ => Err(BadListen::Leniency(rule.into())),
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sip:{};transport={}", self.addr, self.proto)?;
        match self.leniency {
            None => Ok(()),
            Some(Leniency::NONE) => f.write_str(";leniency=none"),
            Some(_) => f.write_str(";leniency=all"),
        }
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Why a URI names no transport.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadTransport {
    Unknown,
    Insecure,
}

/// Returns the transport of a URI. With sips it is one under TLS (RFC 3261 §26.2.2, RFC 7118 §5.3).
pub(crate) fn proto_of(uri: Uri<'_>) -> Result<Proto, BadTransport> {
    let named = uri.transport().map(str::parse).transpose().map_err(|_| BadTransport::Unknown)?;
    match (uri.is_sips(), named) {
        (false, named) => Ok(named.unwrap_or(Proto::Udp)),
        (true, None | Some(Proto::Tcp | Proto::Tls)) => Ok(Proto::Tls),
        (true, Some(Proto::Ws | Proto::Wss)) => Ok(Proto::Wss),
        (true, Some(_)) => Err(BadTransport::Insecure),
    }
}

/// Returns the first address of a host, IPv4 before IPv6.
pub(crate) fn resolve(host: &str, port: u16) -> Option<IpAddr> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let mut addresses: Vec<IpAddr> = match bare.parse() {
        Ok(ip) => vec![ip],
        Err(_) => (host, port).to_socket_addrs().ok()?.map(|addr| addr.ip()).collect(),
    };
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.into_iter().next()
}

/// Returns the address that this machine sends from towards another. Nothing is sent.
pub(crate) fn address_towards(remote: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if remote.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(remote).ok()?;
    socket.local_addr().ok().map(|addr| addr.ip())
}

/// Says what to do about a socket that cannot be opened.
pub(crate) const fn advice(error: IoKind) -> &'static str {
    match error {
        IoKind::AddressInUse => "end the program that has it, or choose another port with --listen",
        IoKind::AddressNotAvailable => "choose an address of this machine with --listen, or 0.0.0.0 for all",
        IoKind::Denied => "choose a port from 1024 on with --listen, or run with the right to open this one",
        IoKind::Exhausted => "close other programs, or raise the limit of open files (ulimit -n)",
        _ => "choose another address with --listen",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_name_sockets() {
        for (text, expected) in [
            ("sip:127.0.0.1:5070", "sip:127.0.0.1:5070;transport=udp"),
            ("sip:127.0.0.1", "sip:127.0.0.1:5060;transport=udp"),
            ("sip:0.0.0.0:0;transport=TCP", "sip:0.0.0.0:0;transport=tcp"),
            ("sip:[::1]:5080;transport=udp", "sip:[::1]:5080;transport=udp"),
            ("sips:127.0.0.1", "sip:127.0.0.1:5061;transport=tls"),
            ("sip:127.0.0.1;transport=TLS", "sip:127.0.0.1:5061;transport=tls"),
            ("sips:127.0.0.1:8443;transport=ws", "sip:127.0.0.1:8443;transport=wss"),
            ("sip:127.0.0.1;transport=wss", "sip:127.0.0.1:443;transport=wss"),
            ("sip:127.0.0.1:8080;transport=ws", "sip:127.0.0.1:8080;transport=ws"),
            ("sip:127.0.0.1;Leniency=NONE", "sip:127.0.0.1:5060;transport=udp;leniency=none"),
            ("sip:127.0.0.1;transport=tcp;leniency=all", "sip:127.0.0.1:5060;transport=tcp;leniency=all"),
        ] {
            assert_eq!(
                text.parse::<Listen>().map(|listen| listen.to_string()),
                Ok(expected.into()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_socket_is_refused() {
        for bad in
            ["", "127.0.0.1:5060", "sip:bob@127.0.0.1", "sip:127.0.0.1;lr", "tel:5", "sip:127.0.0.1:70000"]
        {
            assert!(matches!(bad.parse::<Listen>(), Err(BadListen::Form(_))), "{bad}");
        }
        let later = "sip:127.0.0.1;transport=sctp".parse::<Listen>().expect_err("it is no part of it");
        assert!(later.to_string().contains("not built into this version yet"), "{later}");
        // T01.03: the transport is named.
        let other = "sip:127.0.0.1;transport=other".parse::<Listen>().expect_err("there is none");
        assert_eq!(other.to_string(), "there is no transport other: use udp, tcp, tls, ws or wss");
        let bare = "sips:127.0.0.1;transport=udp".parse::<Listen>();
        assert!(matches!(bare, Err(BadListen::Insecure(_))), "{bare:?}");
        for bad in ["sip:127.0.0.1;leniency", "sip:127.0.0.1;leniency=some"] {
            assert!(matches!(bad.parse::<Listen>(), Err(BadListen::Leniency(_))), "{bad}");
        }
        let nowhere = "sip:nowhere.invalid".parse::<Listen>();
        assert!(matches!(nowhere, Err(BadListen::Host(_))), "{nowhere:?}");
    }
}
