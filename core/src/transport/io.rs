use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use bytes::Bytes;
use thiserror::Error;

use crate::{base::UnixTime, transport::Interface};

/// What a driver tells a machine.
///
/// With feature `serde` it is read back without the bytes that it borrows; [`InputBuf`](crate::InputBuf) keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Input<'a> {
    /// Nothing but time has passed.
    Timeout,
    /// The wall clock, before anything else and then from time to time, since it may be set.
    Wall(UnixTime),
    /// The outcome of [`Output::Bind`]: the address really bound, or why not.
    Bound {
        /// The socket asked for.
        socket: SocketId,
        /// Its address with the port filled in.
        result: Result<SocketAddr, IoKind>,
    },
    /// The addresses of this machine: before the outcome of a bind to all addresses, and whenever they have changed.
    Interfaces(Vec<Interface>),
    /// A datagram arrived on a UDP socket.
    Datagram {
        /// The socket it arrived on.
        socket: SocketId,
        /// The address it was sent to; the socket's own when the driver cannot tell.
        local: SocketAddr,
        /// The address it was sent from.
        remote: SocketAddr,
        /// All of it.
        #[cfg_attr(feature = "serde", serde(skip_deserializing))]
        payload: &'a [u8],
    },
    /// A datagram sent before could not be delivered.
    Unreachable {
        /// The socket it was sent from.
        socket: SocketId,
        /// The address it was sent to.
        remote: SocketAddr,
        /// What the network said.
        why: Unreachable,
    },
    /// A peer opened a connection to a listening socket.
    Accepted {
        /// The listening socket.
        socket: SocketId,
        /// The connection, named by the driver: an odd number never used before.
        conn: ConnId,
        /// Our end.
        local: SocketAddr,
        /// The peer's end.
        remote: SocketAddr,
        /// What is known of the peer.
        peer: PeerInfo,
    },
    /// A connection asked for by [`Output::Connect`] is open.
    Connected {
        /// The connection.
        conn: ConnId,
        /// Our end.
        local: SocketAddr,
        /// What is known of the peer.
        peer: PeerInfo,
    },
    /// Bytes arrived on a connection.
    Received {
        /// The connection.
        conn: ConnId,
        /// The next bytes of the stream.
        #[cfg_attr(feature = "serde", serde(skip_deserializing))]
        data: &'a [u8],
    },
    /// Bytes of [`Output::Send`] were handed to the kernel.
    Drained {
        /// The connection.
        conn: ConnId,
        /// How many.
        bytes: usize,
    },
    /// A connection has ended in both directions and all that was sent has left, or it broke, or could not be opened.
    Closed {
        /// The connection.
        conn: ConnId,
        /// Why, unless the peer closed it in order.
        error: Option<IoKind>,
    },
    /// The answer to [`Output::Resolve`].
    Resolved {
        /// The question.
        query: QueryId,
        /// Its answer.
        result: Result<Records, DnsError>,
    },
}

impl Input<'_> {
    /// Copies all but the bytes of a datagram or stream.
    pub(crate) fn without_bytes(&self) -> Input<'static> {
        match self {
            Self::Timeout => Input::Timeout,
            Self::Wall(time) => Input::Wall(*time),
            Self::Interfaces(all) => Input::Interfaces(all.clone()),
            Self::Bound { socket, result } => Input::Bound { socket: *socket, result: *result },
            Self::Datagram { socket, local, remote, .. } => {
                Input::Datagram { socket: *socket, local: *local, remote: *remote, payload: &[] }
            }
            Self::Unreachable { socket, remote, why } => {
                Input::Unreachable { socket: *socket, remote: *remote, why: *why }
            }
            Self::Accepted { socket, conn, local, remote, peer } => Input::Accepted {
                socket: *socket,
                conn: *conn,
                local: *local,
                remote: *remote,
                peer: peer.clone(),
            },
            Self::Connected { conn, local, peer } => {
                Input::Connected { conn: *conn, local: *local, peer: peer.clone() }
            }
            Self::Received { conn, .. } => Input::Received { conn: *conn, data: &[] },
            Self::Drained { conn, bytes } => Input::Drained { conn: *conn, bytes: *bytes },
            Self::Closed { conn, error } => Input::Closed { conn: *conn, error: *error },
            Self::Resolved { query, result } => Input::Resolved { query: *query, result: result.clone() },
        }
    }
}

/// What a machine wants of a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Output {
    /// Open a UDP socket or a listening socket, and answer with [`Input::Bound`].
    Bind {
        /// Its name from now on.
        socket: SocketId,
        /// What kind.
        proto: Proto,
        /// Where; port 0 lets the system choose.
        addr: SocketAddr,
    },
    /// Close a socket; connections accepted by it live on.
    Unbind {
        /// The socket.
        socket: SocketId,
    },
    /// Send a datagram.
    Transmit {
        /// The socket to send from.
        socket: SocketId,
        /// The address to send from, for a socket bound to all addresses (RFC 3581 §4).
        local: SocketAddr,
        /// The address to send to.
        remote: SocketAddr,
        /// The datagram.
        payload: Bytes,
    },
    /// Open a connection, and answer with [`Input::Connected`] or [`Input::Closed`].
    Connect {
        /// Its name: an even number never used before.
        conn: ConnId,
        /// What kind.
        proto: Proto,
        /// Where to.
        remote: SocketAddr,
        /// The name that led there, for TLS.
        name: Option<DnsName>,
    },
    /// Write bytes to a connection, and report with [`Input::Drained`] as they leave.
    Send {
        /// The connection.
        conn: ConnId,
        /// The bytes.
        data: Bytes,
    },
    /// End a connection.
    Close {
        /// The connection.
        conn: ConnId,
        /// In what way.
        how: CloseHow,
    },
    /// Look a name up, and answer with [`Input::Resolved`].
    Resolve {
        /// The question's name.
        query: QueryId,
        /// The domain name.
        name: DnsName,
        /// The record type.
        kind: RecordKind,
    },
}

/// Names a socket of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SocketId(pub u32);

/// Names a connection of one machine: even if the machine opened it, odd if the driver accepted it. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ConnId(pub u64);

/// Names a look-up of one machine. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct QueryId(pub u64);

/// A transport protocol under SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Proto {
    /// Datagrams (RFC 3261 §18).
    Udp,
    /// A byte stream (RFC 3261 §18).
    Tcp,
    /// A byte stream under TLS (RFC 3261 §26.2).
    Tls,
    /// WebSocket messages (RFC 7118).
    Ws,
    /// WebSocket messages under TLS (RFC 7118).
    Wss,
    /// SCTP messages (RFC 4168).
    Sctp,
}

impl Proto {
    /// Every transport, the one without a connection first.
    pub const ALL: [Self; 6] = [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss, Self::Sctp];

    /// Tells whether the transport delivers or reports failure by itself, so that transactions need not retransmit.
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Tells whether TLS protects it, as SIPS asks for (RFC 3261 §26.2.2).
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Tells whether a driver hands over whole messages ([`Input::Received`]), so that nothing has to be framed.
    pub const fn keeps_messages(self) -> bool {
        matches!(self, Self::Udp | Self::Ws | Self::Wss | Self::Sctp)
    }

    /// Returns the name as a Via header field shows it.
    pub const fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
            Self::Sctp => "SCTP",
        }
    }

    /// Returns the name as a URI's `transport` parameter shows it.
    ///
    /// Secure WebSocket is said with `ws` in a SIPS URI (RFC 7118 §5.3); `wss` stands where there is no scheme to say it.
    pub const fn param(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Sctp => "sctp",
        }
    }

    /// Returns the port used when none is given (RFC 3261 §19.1.2, RFC 7118 §8).
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp | Self::Sctp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.param())
    }
}

/// Reads a `transport` parameter or the last part of a Via's protocol, in any case.
impl FromStr for Proto {
    type Err = UnknownProto;

    fn from_str(text: &str) -> Result<Self, UnknownProto> {
        Self::ALL
            .into_iter()
            .find(|proto| proto.param().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownProto(text.into()))
    }
}

/// A transport that SIP does not have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("transport {0:?} is not known: use udp, tcp, tls, ws, wss or sctp")]
pub struct UnknownProto(Box<str>);

/// What is known of a connection's peer beyond its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct PeerInfo {
    /// The SIP domains and host names that the peer's certificate proves (RFC 5922 §7.1); empty without a certificate.
    pub identities: Vec<DnsName>,
    /// The origin that a browser states in its handshake (RFC 6455 §10.2).
    pub origin: Option<Box<str>>,
    /// The path that a WebSocket was opened at.
    pub path: Option<Box<str>>,
}

impl PeerInfo {
    /// Returns what the certificate with these names proves.
    pub fn proved(identities: impl IntoIterator<Item = DnsName>) -> Self {
        Self { identities: identities.into_iter().collect(), ..Self::default() }
    }
}

/// How a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum CloseHow {
    /// What was sent before still goes out, then our end is told; all else goes on as before until
    /// [`Input::Closed`] comes, which waits for the peer's end too. A driver does the same by itself for a peer
    /// that ends first. How long that may take is the machine's to decide: it may still be [`Reset`](Self::Reset).
    Flush,
    /// At once; what has not left is lost, and nothing more is told of the connection.
    Reset,
}

/// Why the system could not do what was asked, reduced to what a machine may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum IoKind {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// The peer broke the connection.
    #[error("connection reset by the peer")]
    Reset,
    /// Nothing came back in time.
    #[error("timed out")]
    TimedOut,
    /// There is no way to that network or host.
    #[error("network or host unreachable")]
    Unreachable,
    /// The address is taken by another socket.
    #[error("address already in use")]
    AddressInUse,
    /// The address is not one of this machine.
    #[error("address not available on this machine")]
    AddressNotAvailable,
    /// The system forbids it.
    #[error("permission denied")]
    Denied,
    /// The system does not have it.
    #[error("not supported by this system")]
    Unsupported,
    /// Files, memory or another of the system's resources ran out.
    #[error("the system is out of resources")]
    Exhausted,
    /// A bound of [`Limits`](crate::Limits) was met.
    #[error("a configured limit was reached")]
    Limit,
    /// The peer's certificate does not prove who it should be, or is not valid.
    #[error("the peer's certificate is not accepted")]
    Untrusted,
    /// The peer does not speak the protocol of the connection, TLS or WebSocket, or not as it should.
    #[error("the peer does not speak the protocol of the connection")]
    Protocol,
    /// Anything else.
    #[error("input/output error")]
    Other,
}

/// Drivers reduce the system's errors in one way.
impl From<&std::io::Error> for IoKind {
    fn from(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as E;
        // No kind of the standard library tells that the process or the system has no file left (ENFILE, EMFILE).
        if cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24)) {
            return Self::Exhausted;
        }
        match error.kind() {
            E::ConnectionRefused => Self::Refused,
            E::ConnectionReset | E::ConnectionAborted | E::BrokenPipe | E::UnexpectedEof => Self::Reset,
            E::TimedOut => Self::TimedOut,
            E::HostUnreachable | E::NetworkUnreachable | E::NetworkDown => Self::Unreachable,
            E::AddrInUse => Self::AddressInUse,
            E::AddrNotAvailable => Self::AddressNotAvailable,
            E::PermissionDenied => Self::Denied,
            E::Unsupported => Self::Unsupported,
            E::OutOfMemory | E::QuotaExceeded => Self::Exhausted,
            _ => Self::Other,
        }
    }
}

/// What the network said of a datagram (RFC 3261 §18.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Unreachable {
    /// Host, network, port or protocol unreachable, or a parameter problem.
    Icmp,
    /// Larger than the path takes.
    TooBig,
}

/// Drivers reduce the system's errors in one way.
impl From<&std::io::Error> for Unreachable {
    fn from(error: &std::io::Error) -> Self {
        // No kind of the standard library tells that a datagram is too long (EMSGSIZE).
        let too_big = if cfg!(windows) {
            10_040
        } else if cfg!(any(target_os = "linux", target_os = "android")) {
            90
        } else {
            40
        };
        if error.raw_os_error() == Some(too_big) { Self::TooBig } else { Self::Icmp }
    }
}

/// The type of a DNS record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum RecordKind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// The hosts and ports of a service (RFC 2782).
    Srv,
    /// The transports that a domain prefers (RFC 3403, RFC 3263 §4.1).
    Naptr,
}

impl RecordKind {
    /// Returns the number of the type in a DNS message (RFC 1035 §3.2.2, RFC 3596 §2.1, RFC 2782, RFC 3403 §4.1).
    pub const fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
            Self::Srv => 33,
            Self::Naptr => 35,
        }
    }
}

/// The records of a name, in the order in which the server gave them. Empty if there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Records {
    /// Addresses and how long they stay true.
    Addresses {
        /// IPv4 for [`RecordKind::A`], IPv6 for [`RecordKind::Aaaa`].
        addresses: Vec<IpAddr>,
        /// The smallest time to live.
        ttl: Duration,
    },
    /// The answer to [`RecordKind::Srv`].
    Srv {
        /// The records.
        records: Vec<Srv>,
        /// The smallest time to live.
        ttl: Duration,
    },
    /// The answer to [`RecordKind::Naptr`].
    Naptr {
        /// The records.
        records: Vec<Naptr>,
        /// The smallest time to live.
        ttl: Duration,
    },
}

/// One record, as a resolver found it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordData {
    /// Of A or AAAA.
    Address(IpAddr),
    /// Of SRV.
    Srv(Srv),
    /// Of NAPTR.
    Naptr(Naptr),
}

impl RecordData {
    /// Takes priority, weight and port of an SRV record, and its target, the root as a dot; none if no host can have it.
    pub fn srv((priority, weight, port): (u16, u16, u16), target: &str) -> Option<Self> {
        Some(Self::Srv(Srv { priority, weight, port, target: target_of(target)? }))
    }

    /// Takes order and preference of a NAPTR record, its flags, services and regular expression, and its replacement.
    pub fn naptr(
        (order, preference): (u16, u16),
        [flags, services, regexp]: [&[u8]; 3],
        replacement: &str,
    ) -> Option<Self> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into();
        let (flags, services, has_regexp) = (text(flags), text(services), !regexp.is_empty());
        let replacement = target_of(replacement)?;
        Some(Self::Naptr(Naptr { order, preference, flags, services, has_regexp, replacement }))
    }
}

/// Reads the name that a record leads to, none for the root.
fn target_of(text: &str) -> Option<Option<DnsName>> {
    if text == "." { Some(None) } else { text.parse().ok().map(Some) }
}

impl Records {
    /// Collects what a resolver found; what was not asked for is left out. Without any time to live it holds for 30 s.
    pub fn collect(
        kind: RecordKind,
        found: impl IntoIterator<Item = RecordData>,
        ttl_s: Option<u32>,
    ) -> Self {
        let mut all = Self::none(kind, Duration::from_secs(ttl_s.map_or(30, u64::from)));
        for data in found {
            match (&mut all, data) {
                (Self::Addresses { addresses, .. }, RecordData::Address(ip))
                    if ip.is_ipv4() == (kind == RecordKind::A) =>
                {
                    addresses.push(ip);
                }
                (Self::Srv { records, .. }, RecordData::Srv(srv)) => records.push(srv),
                (Self::Naptr { records, .. }, RecordData::Naptr(naptr)) => records.push(naptr),
                (
                    Self::Addresses { .. } | Self::Srv { .. } | Self::Naptr { .. },
                    RecordData::Address(_) | RecordData::Srv(_) | RecordData::Naptr(_),
                ) => {}
            }
        }
        all
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Addresses { addresses, .. } => addresses.is_empty(),
            Self::Srv { records, .. } => records.is_empty(),
            Self::Naptr { records, .. } => records.is_empty(),
        }
    }

    /// Returns how long they stay true; without any, how long that does (RFC 2308 §5).
    pub const fn ttl(&self) -> Duration {
        match self {
            Self::Addresses { ttl, .. } | Self::Srv { ttl, .. } | Self::Naptr { ttl, .. } => *ttl,
        }
    }

    /// Returns the answer that says that a name has no records of a type.
    pub const fn none(kind: RecordKind, ttl: Duration) -> Self {
        match kind {
            RecordKind::A | RecordKind::Aaaa => Self::Addresses { addresses: Vec::new(), ttl },
            RecordKind::Srv => Self::Srv { records: Vec::new(), ttl },
            RecordKind::Naptr => Self::Naptr { records: Vec::new(), ttl },
        }
    }

    /// Tells whether they answer a question for this type.
    pub(crate) fn answers(&self, kind: RecordKind) -> bool {
        match (self, kind) {
            (Self::Addresses { addresses, .. }, RecordKind::A) => addresses.iter().all(IpAddr::is_ipv4),
            (Self::Addresses { addresses, .. }, RecordKind::Aaaa) => addresses.iter().all(IpAddr::is_ipv6),
            (Self::Srv { .. }, RecordKind::Srv) | (Self::Naptr { .. }, RecordKind::Naptr) => true,
            _ => false,
        }
    }

    /// Keeps the first few.
    pub(crate) fn truncate(&mut self, most: usize) {
        match self {
            Self::Addresses { addresses, .. } => addresses.truncate(most),
            Self::Srv { records, .. } => records.truncate(most),
            Self::Naptr { records, .. } => records.truncate(most),
        }
    }
}

/// A host that serves a domain (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Srv {
    /// The lowest is tried first.
    pub priority: u16,
    /// The share among those of one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; none where the record has the root, which says that there is no such service.
    pub target: Option<DnsName>,
}

/// A transport of a domain (RFC 3403 §4.1), with the fields that SIP uses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Naptr {
    /// The lowest is looked at first.
    pub order: u16,
    /// The lowest of one order is liked best.
    pub preference: u16,
    /// What the replacement is: `s` for a name with SRV records.
    pub flags: Box<str>,
    /// The service, such as `SIP+D2U` or `SIPS+D2T`.
    pub services: Box<str>,
    /// Whether there is a regular expression, which SIP does not use here (RFC 3263 §4.1).
    pub has_regexp: bool,
    /// The name to go on with; none where the record has the root.
    pub replacement: Option<DnsName>,
}

/// Why a name could not be looked up. A name without records is no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum DnsError {
    /// No server answered in time.
    #[error("no name server answered in time")]
    TimedOut,
    /// The server failed or refused.
    #[error("the name server failed")]
    Failed,
}

/// A domain name: letters, digits, hyphens, underscores and dots, at most 253 bytes, lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DnsName(Box<str>);

impl DnsName {
    /// Returns the text, without a final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether no name server knows it, by its very nature (RFC 6761 §6.4).
    pub(crate) fn leads_nowhere(&self) -> bool {
        self.0.ends_with(".invalid")
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a name, with or without its final dot.
impl FromStr for DnsName {
    type Err = BadDnsName;

    fn from_str(text: &str) -> Result<Self, BadDnsName> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let label_ok = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if name.len() <= 253 && name.split('.').all(label_ok) {
            Ok(Self(name.to_ascii_lowercase().into()))
        } else {
            Err(BadDnsName(text.into()))
        }
    }
}

/// A text that is no domain name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a domain name")]
pub struct BadDnsName(Box<str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        assert_eq!("Example.COM.".parse::<DnsName>().map(|n| n.to_string()), Ok("example.com".into()));
        let label = "a".repeat(63);
        assert!(label.parse::<DnsName>().is_ok());
        assert!(format!("{label}a").parse::<DnsName>().is_err());
        let long = format!("{label}.{label}.{label}.{}", "b".repeat(61));
        assert!(long.parse::<DnsName>().is_ok(), "253 bytes");
        assert!(format!("{long}b").parse::<DnsName>().is_err());
        for bad in ["", ".", "a..b", "a b", "a\r\nb"] {
            assert!(bad.parse::<DnsName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn records_are_collected() {
        let addresses: Vec<IpAddr> = ["192.0.2.1", "2001:db8::1"].map(|ip| ip.parse().expect("one")).into();
        let srv = Srv { priority: 1, weight: 2, port: 3, target: None };
        assert_eq!(RecordData::srv((1, 2, 3), "."), Some(RecordData::Srv(srv.clone())));
        let found =
            || addresses.iter().copied().map(RecordData::Address).chain([RecordData::Srv(srv.clone())]);
        for (kind, at) in [(RecordKind::A, 0), (RecordKind::Aaaa, 1)] {
            let ttl = Duration::from_secs(7);
            let expected = Records::Addresses { addresses: vec![addresses[at]], ttl };
            assert_eq!(Records::collect(kind, found(), Some(7)), expected);
        }
        let expected = Records::Srv { records: vec![srv.clone()], ttl: Duration::from_secs(30) };
        assert_eq!(Records::collect(RecordKind::Srv, found(), None), expected);
        assert_eq!(RecordData::srv((1, 2, 3), "a..b"), None);
        let naptr = RecordData::naptr((1, 2), [b"s", b"SIP+D2U", b"!"], "a.example.");
        let Some(RecordData::Naptr(naptr)) = naptr else { panic!("{naptr:?}") };
        assert_eq!((&*naptr.flags, &*naptr.services, naptr.has_regexp), ("s", "SIP+D2U", true));
    }

    #[test]
    fn protos_read_any_case() {
        assert_eq!("TCP".parse(), Ok(Proto::Tcp));
        assert_eq!(Proto::ALL.map(|proto| proto.param().parse()), Proto::ALL.map(Ok));
        assert!("dccp".parse::<Proto>().is_err());
    }
}
