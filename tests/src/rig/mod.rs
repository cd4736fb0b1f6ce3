//! Parties that talk to each other on any driver, so that one test serves all of them.

mod party;
mod simulator;
mod sockets;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use sansip::{Config, Host, Instant, Proto, Seed};

pub(crate) use self::party::Bell;
pub use self::{
    party::secured,
    simulator::Simulated,
    sockets::{OnAsyncStd, OnSmol, OnThreads, OnTokio},
};
use crate::{
    phone::Phone,
    stranger::{Log, Manner},
};

/// Which kind of addresses a test runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    const fn loopback(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Self::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        }
    }
}

/// What a test runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// The transport.
    pub proto: Proto,
    /// The kind of addresses.
    pub family: Family,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} over {:?}", self.proto, self.family)
    }
}

/// Endpoints that run on one driver, with TLS and WebSocket around each, and what a test wants of them.
///
/// A party is named by its number. On real sockets time goes twenty times as fast for the parties as for the test. Each
/// party has a certificate for its address and for `localhost`, and trusts that of the others.
pub trait Rig {
    /// Makes a rig without parties.
    fn new(over: Over) -> Self;

    /// Returns what it runs over.
    fn over(&self) -> Over;

    /// Starts a party. It is made for an address of its own with port 0, to listen there.
    fn start(&mut self, config: Config, phone: impl FnOnce(SocketAddr) -> Phone) -> usize;

    /// Starts a machine that knows nothing of SIP, and returns its log.
    fn stranger(&mut self, conduct: Manner) -> Log;

    /// Acts on a party as its application.
    fn on<R: Send + 'static>(
        &mut self,
        party: usize,
        act: impl FnOnce(&mut Host<Phone>, Instant) -> R + Send + 'static,
    ) -> R;

    /// Acts on a party from elsewhere, later: from another thread, another task, or a later event.
    fn elsewhere(&mut self, party: usize, act: impl FnOnce(&mut Host<Phone>, Instant) + Send + 'static);

    /// Waits until `look` finds what it looks for in a party.
    ///
    /// # Panics
    /// If that takes too long.
    fn wait<R: Send + 'static>(
        &mut self,
        party: usize,
        what: &str,
        look: impl Fn(&Host<Phone>) -> Option<R> + Send + Sync + 'static,
    ) -> R;

    /// Waits until `look` finds what it looks for.
    ///
    /// # Panics
    /// If that takes too long.
    fn wait_for<R>(&mut self, what: &str, look: impl FnMut() -> Option<R>) -> R;

    /// Waits until a party has stopped for good.
    ///
    /// # Panics
    /// If that takes too long.
    fn wait_for_end(&mut self, party: usize);

    /// Returns a host name that leads to a party's address. Over real sockets there is none for IPv6, as the hosts file need
    /// not have one.
    fn name_of(&mut self, party: usize) -> Option<String>;

    /// Returns the seed that a party was made with.
    fn seed_of(&self, party: usize) -> Seed {
        Seed::from_u64(party as u64 + 1)
    }
}

/// How long a test waits for anything on real sockets: more than Timer D at the parties' speed.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a test waits in the simulator.
const SIMULATED_PATIENCE: Duration = Duration::from_secs(400);
