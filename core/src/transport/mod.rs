//! Datagrams and streams to messages, targets to outputs (RFC 3261 §18).

mod frame;
mod io;

pub use frame::{Frame, FrameError, Framer};
pub use io::{
    CloseHow, ConnId, DnsError, DnsName, Input, IoKind, Output, PeerInfo, Proto, QueryId, RecordKind,
    Records, SocketId, Unreachable,
};
