use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::transport::{ConnId, Proto, SocketId};

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

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// To a peer, over a connection that is open already or a new one.
    Peer { proto: Proto, socket: SocketId, local: SocketAddr, remote: SocketAddr },
    /// Back over the way that a request came; when that connection is gone, to `fallback` (RFC 3261 §18.2.2).
    Back { flow: Flow, fallback: SocketAddr },
}

impl Target {
    /// Returns the server that it leads to.
    pub(crate) const fn server(&self) -> (Proto, SocketAddr) {
        match self {
            Self::Peer { proto, remote, .. } => (*proto, *remote),
            Self::Back { flow, .. } => (flow.proto(), flow.remote()),
        }
    }

    pub(crate) const fn is_reliable(&self) -> bool {
        match self {
            Self::Peer { proto, .. } => proto.is_reliable(),
            Self::Back { flow, .. } => flow.proto().is_reliable(),
        }
    }
}

/// The transaction that a message or a look-up belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    pub(crate) call: u64,
    pub(crate) serial: u64,
}

/// A message on its way out.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) target: Target,
    pub(crate) bytes: Bytes,
    pub(crate) owner: Owner,
    /// Whether the owner waits for an answer and so wants to know when the connection breaks.
    pub(crate) awaits: bool,
}

/// Tells whether an address stands for all addresses of its family.
pub(crate) const fn is_wildcard(addr: &IpAddr) -> bool {
    addr.is_unspecified()
}
