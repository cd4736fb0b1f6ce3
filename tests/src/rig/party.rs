use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Condvar, LazyLock, Mutex, PoisonError},
    time::Instant as Clock,
};

use sansip::{
    Config, Host, Input, Instant, Limits, Machine, Output, Record, Seed,
    wire::{Tls, WebSocket, Wire},
};

use super::PATIENCE;
use crate::{phone::Phone, secured::Issuer};

/// Rings whenever a machine was told something, so that nobody has to sleep to learn of it.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    count: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
    /// Tells all who wait that something may have changed.
    pub(crate) fn ring(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.rung.notify_all();
    }

    fn count(&self) -> u64 {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `look` after each ring until it finds something.
    pub(super) fn wait<R>(&self, what: &str, mut look: impl FnMut() -> Option<R>) -> R {
        let end = Clock::now() + PATIENCE;
        loop {
            let before = self.count();
            if let Some(found) = look() {
                return found;
            }
            let left = end.saturating_duration_since(Clock::now());
            assert!(!left.is_zero(), "waited {PATIENCE:?} in vain for {what}");
            let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
            // Whether it rang or time is up shows in the next round.
            drop(self.rung.wait_timeout_while(count, left, |count| *count == before));
        }
    }
}

/// Makes a phone with all that it needs to speak over any transport, recording.
pub(super) fn party(config: Config, seed: &Seed, phone: Phone) -> Wire<Host<Phone>> {
    let limits = config.limits.clone();
    let mut host = phone.host(config, seed);
    host.record();
    secured(host, &limits)
}

/// Puts TLS and WebSocket around a machine. All that have gone through here trust each other, on loopback and in the
/// simulator.
///
/// # Panics
/// If the system has no randomness.
pub fn secured<M: Machine>(machine: M, limits: &Limits) -> Wire<M> {
    static TLS: LazyLock<Tls> = LazyLock::new(|| {
        let issuer = Issuer::new("sansip-rig");
        let certificate = issuer.certificate(&addresses(), &["localhost"]);
        issuer.client().certificates(vec![certificate])
    });
    let mut wire = Wire::new(machine, limits);
    wire.set_tls(&TLS).expect("its certificate is its own");
    wire.set_websocket(WebSocket::new());
    wire
}

/// Returns the address of a party, or of a stranger, in the simulator.
pub(super) fn simulated_address(number: u8) -> [IpAddr; 2] {
    assert!(number < PARTIES, "tests are small");
    let [v4, v6] = [
        Ipv4Addr::new(10, 9, 0, number).into(),
        Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, number.into()).into(),
    ];
    [v4, v6]
}

/// Returns all addresses that a party may have.
fn addresses() -> Vec<IpAddr> {
    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    (1..PARTIES).flat_map(simulated_address).chain(loopback).collect()
}

/// One more than a simulation may have.
const PARTIES: u8 = 9;

/// A party whose time goes faster than its driver's, and whose every input rings a bell.
pub(super) struct Hurried {
    wire: Wire<Host<Phone>>,
    bell: Arc<Bell>,
}

impl Hurried {
    const TIMES: u64 = 20;

    pub(super) const fn new(wire: Wire<Host<Phone>>, bell: Arc<Bell>) -> Self {
        Self { wire, bell }
    }

    pub(super) fn act<R>(&mut self, now: Instant, act: impl FnOnce(&mut Host<Phone>, Instant) -> R) -> R {
        act(self.wire.machine_mut(), Self::fast(now))
    }

    fn fast(now: Instant) -> Instant {
        Instant::from_nanos(now.as_nanos() * Self::TIMES)
    }
}

impl Machine for Hurried {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.wire.handle_input(Self::fast(now), input);
        self.bell.ring();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.wire.poll_output()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let fast = self.wire.poll_timeout()?;
        Some(Instant::from_nanos(fast.as_nanos().div_ceil(Self::TIMES)))
    }

    fn poll_record(&mut self) -> Option<Record> {
        self.wire.poll_record()
    }

    fn is_stopped(&self) -> bool {
        self.wire.is_stopped()
    }
}
