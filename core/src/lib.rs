//! sansip: a sans-IO SIP framework.
#![forbid(unsafe_code)]

pub mod base;
pub mod endpoint;
pub mod transaction;
pub mod transport;

#[doc(inline)]
pub use crate::{
    base::{Instant, Limits, Seed, UnixTime},
    endpoint::Machine,
    transport::{
        CloseHow, ConnId, DnsError, DnsName, Input, IoKind, Output, PeerInfo, Proto, QueryId, RecordKind,
        Records, SocketId, Unreachable,
    },
};
