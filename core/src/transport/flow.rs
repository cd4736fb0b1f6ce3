use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::transport::{ConnId, DnsName, IoKind, PeerInfo, Proto, SocketId};

/// The way that a message took, and that its answer takes back.
///
/// Over UDP it is a mere value, so that forged sources cost no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Datagram { socket: SocketId, local: SocketAddr, remote: SocketAddr },
    Stream { conn: ConnId, proto: Proto, local: SocketAddr, remote: SocketAddr },
}

impl Flow {
    pub(crate) const fn proto(&self) -> Proto {
        match self {
            Self::Datagram { .. } => Proto::Udp,
            Self::Stream { proto, .. } => *proto,
        }
    }

    pub(crate) const fn conn(&self) -> Option<ConnId> {
        match self {
            Self::Datagram { .. } => None,
            Self::Stream { conn, .. } => Some(*conn),
        }
    }

    pub(crate) const fn local(&self) -> SocketAddr {
        match self {
            Self::Datagram { local, .. } | Self::Stream { local, .. } => *local,
        }
    }

    pub(crate) const fn remote(&self) -> SocketAddr {
        match self {
            Self::Datagram { remote, .. } | Self::Stream { remote, .. } => *remote,
        }
    }
}

/// Names a flow (RFC 5626): a connection, or what goes between a socket and one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum FlowId {
    /// A connection.
    Connection(ConnId),
    /// The datagrams between a socket and a peer.
    Datagrams {
        /// Our socket.
        socket: SocketId,
        /// The peer's address.
        remote: SocketAddr,
    },
}

/// What has become of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlowChange {
    /// A connection is open, from whichever side.
    Opened {
        /// What kind.
        proto: Proto,
        /// Our end.
        local: SocketAddr,
        /// The peer's end.
        remote: SocketAddr,
        /// What is known of the peer.
        peer: PeerInfo,
    },
    /// A STUN server has told which address it sees us at (RFC 8489 §6). The first time, and each time that it is
    /// another one: then bindings made over the flow lead nowhere any more (RFC 5626 §4.4.2).
    Mapped {
        /// The address seen before.
        before: Option<SocketAddr>,
        /// The address seen now.
        mapped: SocketAddr,
    },
    /// It has ended, or its keep-alive got no answer (RFC 5626 §4.4).
    Ended(IoKind),
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// To a peer, as a datagram.
    Datagram { socket: SocketId, local: SocketAddr, remote: SocketAddr },
    /// To a peer, over a connection that is open already or a new one. The name is the one that led to the address.
    Stream { proto: Proto, remote: SocketAddr, name: Option<DnsName> },
    /// Over the way that a message came; a datagram, or when that connection is gone, to `fallback` (RFC 3261 §18.2.2).
    Back { flow: Flow, fallback: Option<SocketAddr>, name: Option<DnsName> },
}

impl Target {
    /// Returns the server that it leads to.
    pub(crate) const fn server(&self) -> (Proto, SocketAddr) {
        (self.proto(), self.remote())
    }

    /// Returns the way that it takes back, if it does.
    pub(crate) const fn flow(&self) -> Option<&Flow> {
        match self {
            Self::Back { flow, .. } => Some(flow),
            Self::Datagram { .. } | Self::Stream { .. } => None,
        }
    }

    pub(crate) const fn proto(&self) -> Proto {
        match self {
            Self::Datagram { .. } => Proto::Udp,
            Self::Stream { proto, .. } => *proto,
            Self::Back { flow, .. } => flow.proto(),
        }
    }

    pub(crate) const fn remote(&self) -> SocketAddr {
        match self {
            Self::Datagram { remote, .. } | Self::Stream { remote, .. } => *remote,
            Self::Back { flow, .. } => flow.remote(),
        }
    }

    pub(crate) const fn is_reliable(&self) -> bool {
        self.proto().is_reliable()
    }
}

/// The transaction that a message or a look-up belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    pub(crate) call: u64,
    pub(crate) serial: u64,
}

impl Owner {
    /// What belongs to no transaction.
    pub(crate) const NOBODY: Self = Self { call: 0, serial: 0 };
}

/// A message on its way out.
#[derive(Debug)]
pub(crate) struct Outbound<'a> {
    pub(crate) target: &'a Target,
    pub(crate) bytes: Bytes,
    pub(crate) owner: Owner,
    /// Whether the owner waits for an answer and so wants to know when the way breaks.
    pub(crate) awaits: bool,
}

/// Tells whether an address stands for all addresses of its family.
pub(crate) const fn is_wildcard(addr: &IpAddr) -> bool {
    addr.is_unspecified()
}
