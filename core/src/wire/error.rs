use std::{fmt, net::SocketAddr};

use thiserror::Error;

use crate::transport::IoKind;

/// Why TLS or WebSocket ends a connection.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// The first byte begins no TLS record.
    #[error("the peer does not speak TLS")]
    NotTls,
    /// TLS has failed.
    #[cfg(feature = "tls")]
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// WebSocket has failed.
    #[cfg(feature = "ws")]
    #[error("WebSocket: {0}")]
    WebSocket(#[from] crate::wire::WebSocketError),
    /// The peer needs more than [`Limits::handshake_bytes`](crate::Limits::handshake_bytes) for its handshake.
    #[error("the handshake is too long")]
    HandshakeTooLong,
    /// The handshake took longer than [`Limits::handshake`](crate::Limits::handshake).
    #[error("the handshake took too long")]
    TimedOut,
    /// A message stayed unfinished for longer than [`Limits::half_message`](crate::Limits::half_message).
    #[error("a message stayed unfinished for too long")]
    HalfMessage,
    /// The peer hung up during the handshake.
    #[error("the peer ended the connection during the handshake")]
    Closed,
    /// The peer does not read the answers of the protocol that it makes due.
    #[error("the peer does not read")]
    Unread,
}

impl WireError {
    /// Returns what the machine is told.
    pub fn kind(&self) -> IoKind {
        match self {
            Self::NotTls => IoKind::Protocol,
            #[cfg(feature = "tls")]
            Self::Tls(rustls::Error::InvalidCertificate(_)) => IoKind::Untrusted,
            #[cfg(feature = "tls")]
            Self::Tls(_) => IoKind::Protocol,
            #[cfg(feature = "ws")]
            Self::WebSocket(crate::wire::WebSocketError::MessageTooLong) => IoKind::Limit,
            #[cfg(feature = "ws")]
            Self::WebSocket(_) => IoKind::Protocol,
            Self::HandshakeTooLong | Self::Unread => IoKind::Limit,
            Self::TimedOut | Self::HalfMessage => IoKind::TimedOut,
            Self::Closed => IoKind::Reset,
        }
    }
}

/// A connection that came to nothing or broke.
#[derive(Clone, Debug, PartialEq)]
pub struct WireFailure {
    /// The peer.
    pub remote: SocketAddr,
    /// Why.
    pub error: WireError,
}

/// What TLS and WebSocket count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WireStats {
    /// Connections whose handshakes were completed.
    pub opened: u64,
    /// Connections refused because too many were in a handshake.
    pub refused: u64,
    /// Handshakes that failed, those below included.
    pub failed: u64,
    /// Handshakes that took too long.
    pub timed_out: u64,
    /// Peers that spoke no TLS where TLS is spoken.
    pub not_tls: u64,
    /// Open connections that ended because of a fault of the peer.
    pub broken: u64,
}

impl fmt::Display for WireStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { opened, refused, failed, timed_out, not_tls, broken } = self;
        write!(
            f,
            "{opened} connections opened, {failed} failed ({timed_out} took too long, {not_tls} spoke no TLS), \
             {refused} refused, {broken} broken"
        )
    }
}

impl WireStats {
    pub(super) const fn count_failure(&mut self, error: &WireError) {
        self.failed += 1;
        match error {
            WireError::TimedOut => self.timed_out += 1,
            WireError::NotTls => self.not_tls += 1,
            _ => {}
        }
    }
}
