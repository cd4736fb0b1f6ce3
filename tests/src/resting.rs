use std::{
    ops::{Deref, DerefMut},
    thread,
};

use sansip::{DialogHandle, Endpoint, Host, Input, Instant, Limits, Machine, Output, Record, Service};
use sansip_sim::silence;

/// A host that has to come to rest when its test is over.
///
/// When it is dropped, its peers are silent from then on: all that waits runs out, its calls are hung up, and then
/// nothing may be left; at last it is shut down, and has to stop.
pub struct Resting<S: Calls> {
    host: Host<S>,
    now: Instant,
}

/// A service that can say which calls of its are up.
pub trait Calls: Service {
    /// Returns the confirmed dialogs that have not ended; none, unless a service says otherwise.
    fn calls_up(&self) -> Vec<DialogHandle> {
        Vec::new()
    }
}

impl<S: Calls> Resting<S> {
    /// Watches over a host.
    pub const fn new(host: Host<S>) -> Self {
        Self { host, now: Instant::EPOCH }
    }
}

impl<S: Calls> Drop for Resting<S> {
    fn drop(&mut self) {
        // A test that fails has said what there is to say.
        if thread::panicking() {
            return;
        }
        let hang_up = |host: &mut Host<S>, now| {
            let calls = host.service().calls_up();
            host.with(now, |_, cx| calls.into_iter().filter(|call| cx.bye(*call).is_ok()).count());
        };
        come_to_rest(&mut self.host, self.now, Host::endpoint, hang_up);
    }
}

/// Lets a machine whose peers are silent come to rest: waits, has its calls hung up, and waits again.
///
/// # Panics
/// If anything is left.
pub fn come_to_rest<M: Machine>(
    machine: &mut M,
    now: Instant,
    endpoint: impl Fn(&M) -> &Endpoint,
    hang_up: impl FnOnce(&mut M, Instant),
) {
    let now = silence(machine, now);
    hang_up(machine, now);
    silence(machine, now);
    let endpoint = endpoint(machine);
    assert!(endpoint.is_idle(), "{} calls do not come to rest", endpoint.calls());
    assert_eq!(endpoint.calls(), 0);
}

impl<S: Calls> Machine for Resting<S> {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.now = self.now.max(now);
        self.host.handle_input(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.host.poll_output()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.host.poll_timeout()
    }

    fn limits(&self) -> Option<&Limits> {
        self.host.limits()
    }

    fn poll_record(&mut self) -> Option<Record> {
        self.host.poll_record()
    }

    fn is_stopped(&self) -> bool {
        self.host.is_stopped()
    }
}

impl<S: Calls> Deref for Resting<S> {
    type Target = Host<S>;

    fn deref(&self) -> &Host<S> {
        &self.host
    }
}

impl<S: Calls> DerefMut for Resting<S> {
    fn deref_mut(&mut self) -> &mut Host<S> {
        &mut self.host
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        time::Duration,
    };

    use sansip::Config;

    use super::*;
    use crate::{ByHand, Phone, Raw, field, only};

    /// A call that is up is hung up at the end; one that nobody ends is found out.
    #[test]
    fn calls_are_ended_and_leaks_are_found() {
        let mut hand = ByHand::new(Config::default(), Phone::new());
        let accepted = only(&hand.datagram(Raw::new("INVITE", 1).text()));
        let (_, tag) = field(&accepted, "To").rsplit_once("tag=").expect("a tag");
        hand.datagram(Raw::new("ACK", 2).within(1, tag).text());
        hand.pass(Duration::from_secs(3600));
        let nobody = |_: &mut Resting<Phone>, _| ();
        let now = hand.now();
        let leak = catch_unwind(AssertUnwindSafe(|| {
            come_to_rest(&mut hand.host, now, |host| host.endpoint(), nobody);
        }));
        assert!(leak.is_err());
    }
}
