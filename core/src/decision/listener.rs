use std::net::SocketAddr;

use crate::{
    syntax::{HeaderValue, Leniency},
    transport::{Proto, UdpSize},
};

/// A socket that the application wants, and what is said of it alone instead of by [`Config`](crate::Config).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[must_use]
pub struct Listener {
    pub(crate) proto: Proto,
    pub(crate) addr: SocketAddr,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) udp_size: Option<UdpSize>,
    pub(crate) leniency: Option<Leniency>,
}

impl Listener {
    /// Makes one that follows the configuration.
    pub const fn new(proto: Proto, addr: SocketAddr) -> Self {
        Self { proto, addr, host: None, udp_size: None, leniency: None }
    }

    /// Sets the name or address that Via and Contact show where it is used, and the TCP listener beside it.
    pub fn host(mut self, host: HeaderValue) -> Self {
        self.host = Some(host);
        self
    }

    /// Sets what is forgiven in the messages that come in there, over the connections that it accepts, and at the TCP
    /// listener beside it.
    pub const fn leniency(mut self, leniency: Leniency) -> Self {
        self.leniency = Some(leniency);
        self
    }

    /// Sets how large a request may be to leave from it.
    pub const fn udp_size(mut self, size: UdpSize) -> Self {
        self.udp_size = Some(size);
        self
    }
}
