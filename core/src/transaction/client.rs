use std::time::Duration;

use super::{
    Actions, Kind, Timer, Timing, client_invite, client_non_invite,
    deadlines::Deadlines,
    table::{Step, Timers},
};
use crate::base::Instant;

/// A client transaction without its messages (RFC 3261 §17.1, RFC 6026).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ClientMachine {
    deadlines: Deadlines,
    state: ClientState,
    kind: Kind,
    reliable: bool,
}

/// The states of client transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ClientState {
    /// The INVITE is sent, no response has come.
    Calling,
    /// The non-INVITE request is sent, no response has come.
    Trying,
    /// A provisional response has come.
    Proceeding,
    /// A final response has come; to INVITE: a non-2xx.
    Completed,
    /// A 2xx to the INVITE has come (RFC 6026).
    Accepted,
    /// The transaction has ended.
    Terminated,
}

/// What happens to a client transaction.
#[derive(Clone, Copy, Debug)]
pub(super) enum ClientEvent {
    Response(u16),
    TransportError,
    Fired(Timer),
}

impl ClientMachine {
    /// Makes a transaction whose request its owner sends now.
    pub fn start(kind: Kind, now: Instant, reliable: bool, timing: &Timing) -> Self {
        let start = match kind {
            Kind::Invite => client_invite::start(),
            Kind::NonInvite => client_non_invite::start(),
        };
        let mut machine = Self { deadlines: Deadlines::NONE, state: start.state, kind, reliable };
        let _sent_by_the_owner = machine.apply(start, now, timing);
        machine
    }

    /// Takes the status of a response that matches. Numbers outside 100–699 are ignored.
    pub fn response(&mut self, now: Instant, status: u16, timing: &Timing) -> Actions {
        self.take(ClientEvent::Response(status), now, timing)
    }

    /// Learns that the last message sent, the request or the ACK, could not be delivered.
    pub fn transport_error(&mut self) -> Actions {
        // The tables arm no timer here, so neither time nor timing matters.
        self.take(ClientEvent::TransportError, Instant::EPOCH, &Timing::default())
    }

    /// Fires the earliest timer that is due. Call it until it returns `None`.
    pub fn expire(&mut self, now: Instant, timing: &Timing) -> Option<(Timer, Actions)> {
        let (timer, due) = self.deadlines.take_due(now)?;
        let Some(step) = self.step(ClientEvent::Fired(timer)) else { return Some((timer, Actions::NONE)) };
        if step.timers == Timers::Again {
            let state = self.state;
            self.deadlines.again(timer, due, now, |interval| next_interval(timer, state, interval, timing));
        }
        Some((timer, self.apply(step, now, timing)))
    }

    /// Lists the running timers.
    pub fn timers(&self, f: impl FnMut(Timer, Instant)) {
        self.deadlines.each(f);
    }

    /// Returns the earliest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Returns the state.
    pub const fn state(&self) -> ClientState {
        self.state
    }

    /// Tells whether no response has come yet.
    pub const fn is_unanswered(&self) -> bool {
        matches!(self.state, ClientState::Calling | ClientState::Trying)
    }

    /// Returns which kind of request it carries.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    fn take(&mut self, event: ClientEvent, now: Instant, timing: &Timing) -> Actions {
        self.step(event).map_or(Actions::NONE, |step| self.apply(step, now, timing))
    }

    fn step(&self, event: ClientEvent) -> Option<Step<ClientState>> {
        match self.kind {
            Kind::Invite => client_invite::Event::read(event).map(|e| client_invite::step(self.state, e)),
            Kind::NonInvite => {
                client_non_invite::Event::read(event).map(|e| client_non_invite::step(self.state, e))
            }
        }
    }

    fn apply(&mut self, step: Step<ClientState>, now: Instant, timing: &Timing) -> Actions {
        self.state = step.state;
        let Timers::Only(timers) = step.timers else { return step.actions };
        match self.deadlines.replace(timers, now, |timer| timing.of(timer, self.kind, self.reliable)) {
            Some(zero) => step.actions.and(self.take(ClientEvent::Fired(zero), now, timing)),
            None => step.actions,
        }
    }
}

/// Returns what timer A or E is set to after it was set to `interval` and fired.
fn next_interval(timer: Timer, state: ClientState, interval: Duration, timing: &Timing) -> Duration {
    match timer {
        // RFC 3261 §17.1.1.2: A doubles without a bound but timer B.
        Timer::A => interval.saturating_mul(2),
        _ if state == ClientState::Proceeding => timing.t2,
        _ => interval.saturating_mul(2).min(timing.t2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::Kind::{Invite, NonInvite};

    const UDP: bool = false;
    const TCP: bool = true;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn rfc() -> Timing {
        Timing::default()
    }

    fn start(kind: Kind, reliable: bool) -> ClientMachine {
        ClientMachine::start(kind, at(0), reliable, &rfc())
    }

    /// A machine that had this response at 100 ms.
    fn after(kind: Kind, reliable: bool, status: u16) -> ClientMachine {
        let mut machine = start(kind, reliable);
        let _ = machine.response(at(100), status, &rfc());
        machine
    }

    fn armed(machine: &ClientMachine) -> Vec<(Timer, u64)> {
        let mut timers = Vec::new();
        machine.timers(|timer, at| timers.push((timer, at.as_millis())));
        timers
    }

    /// Fires all timers on time; returns when something was sent, beginning with the start at zero, and the last firing.
    fn run(machine: &mut ClientMachine, timing: &Timing) -> (Vec<u64>, Option<(u64, Timer, Actions)>) {
        let (mut sends, mut last) = (vec![0], None);
        while let Some(now) = machine.next() {
            let (timer, actions) = machine.expire(now, timing).expect("next() is due");
            if actions.send() {
                sends.push(now.as_millis());
            }
            last = Some((now.as_millis(), timer, actions));
        }
        (sends, last)
    }

    fn timeout() -> Actions {
        Actions::TIMEOUT.and(Actions::TERMINATED)
    }

    #[test]
    fn is_small() {
        assert!(size_of::<ClientMachine>() <= 48);
    }

    #[test]
    fn ic_01_start() {
        let machine = start(Invite, UDP);
        assert_eq!((machine.state(), machine.kind()), (ClientState::Calling, Invite));
        assert_eq!(armed(&machine), [(Timer::A, 500), (Timer::B, 32_000)]);
        assert_eq!(machine.next(), Some(at(500)));
        assert_eq!(armed(&start(Invite, TCP)), [(Timer::B, 32_000)]);
    }

    #[test]
    fn ic_02_ic_03_tmr_02_invite_without_answer() {
        let mut machine = start(Invite, UDP);
        let (sends, last) = run(&mut machine, &rfc());
        assert_eq!(sends, [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
        assert_eq!(last, Some((32_000, Timer::B, timeout())), "no ACK, no pass");
        assert_eq!(machine.state(), ClientState::Terminated);

        let (sends, last) = run(&mut start(Invite, TCP), &rfc());
        assert_eq!((sends, last), (vec![0], Some((32_000, Timer::B, timeout()))));
    }

    #[test]
    fn ic_04_transport_error_in_calling() {
        let mut machine = start(Invite, UDP);
        assert_eq!(machine.transport_error(), Actions::TRANSPORT_ERROR.and(Actions::TERMINATED));
        assert_eq!((machine.state(), machine.next()), (ClientState::Terminated, None));
    }

    #[test]
    fn ic_05_ic_08_ic_09_provisional() {
        for status in [100, 180, 199] {
            let mut machine = start(Invite, UDP);
            assert_eq!(machine.response(at(100), status, &rfc()), Actions::PASS);
            assert_eq!(machine.state(), ClientState::Proceeding);
            assert_eq!(machine.response(at(200), 183, &rfc()), Actions::PASS, "IC-08: every one");
            assert_eq!(machine.next(), None, "IC-09: neither retransmission nor time-out");
            assert_eq!(machine.transport_error(), Actions::NONE, "nothing was sent that could fail");
        }
    }

    #[test]
    fn ic_06_ic_14_ic_16_success() {
        for reliable in [UDP, TCP] {
            for mut machine in [start(Invite, reliable), after(Invite, reliable, 180)] {
                assert_eq!(machine.response(at(1000), 200, &rfc()), Actions::PASS, "no ACK from here");
                assert_eq!(armed(&machine), [(Timer::M, 33_000)], "M runs over all transports");
                assert_eq!(machine.response(at(2000), 299, &rfc()), Actions::PASS, "IC-14: each one");
                assert_eq!((machine.state(), machine.next()), (ClientState::Accepted, Some(at(33_000))));
                assert_eq!(machine.expire(at(32_999), &rfc()), None);
                assert_eq!(
                    machine.expire(at(33_000), &rfc()),
                    Some((Timer::M, Actions::TERMINATED)),
                    "IC-16"
                );
                assert_eq!(machine.state(), ClientState::Terminated);
            }
        }
    }

    /// CF-04: D is 32 s, not more.
    #[test]
    fn ic_07_ic_13_failure() {
        for status in [300, 486, 699] {
            for mut machine in [start(Invite, UDP), after(Invite, UDP, 180)] {
                let actions = machine.response(at(1000), status, &rfc());
                assert_eq!(actions, Actions::ACK.and(Actions::PASS));
                assert_eq!(machine.state(), ClientState::Completed);
                assert_eq!(armed(&machine), [(Timer::D, 33_000)]);
                assert_eq!(
                    machine.expire(at(33_000), &rfc()),
                    Some((Timer::D, Actions::TERMINATED)),
                    "IC-13"
                );
            }
            let mut machine = start(Invite, TCP);
            let actions = machine.response(at(1000), status, &rfc());
            assert!(actions.ack() && actions.pass() && actions.terminated(), "D is zero: {actions:?}");
            assert_eq!((machine.state(), machine.next()), (ClientState::Terminated, None));
        }
    }

    #[test]
    fn ic_10_ic_11_ic_12_completed() {
        let mut machine = after(Invite, UDP, 486);
        let before = machine;
        assert_eq!(machine.response(at(200), 486, &rfc()), Actions::ACK, "IC-10: not passed");
        assert_eq!(machine.response(at(200), 503, &rfc()), Actions::ACK, "any 300-699 is a retransmission");
        for status in [100, 180, 200] {
            assert_eq!(machine.response(at(300), status, &rfc()), Actions::NONE, "IC-11: {status}");
        }
        assert_eq!(machine, before, "D is not restarted");
        assert_eq!(machine.transport_error(), Actions::TRANSPORT_ERROR.and(Actions::TERMINATED), "IC-12");
    }

    #[test]
    fn ic_15_ic_17_absorbed() {
        let mut machine = after(Invite, UDP, 200);
        let before = machine;
        for status in [100, 180, 302, 486, 603] {
            assert_eq!(machine.response(at(200), status, &rfc()), Actions::NONE, "IC-15: {status}");
        }
        assert_eq!(machine.transport_error(), Actions::NONE);
        assert_eq!(machine, before);
        let _ = run(&mut machine, &rfc());
        for status in [180, 200, 486] {
            assert_eq!(machine.response(at(40_000), status, &rfc()), Actions::NONE, "IC-17: {status}");
        }
        assert_eq!((machine.state(), machine.next()), (ClientState::Terminated, None));
    }

    #[test]
    fn nc_01_start() {
        let machine = start(NonInvite, UDP);
        assert_eq!((machine.state(), machine.kind()), (ClientState::Trying, NonInvite));
        assert_eq!(armed(&machine), [(Timer::E, 500), (Timer::F, 32_000)]);
        assert_eq!(armed(&start(NonInvite, TCP)), [(Timer::F, 32_000)]);
    }

    #[test]
    fn nc_02_nc_07_tmr_03_request_without_answer() {
        let mut machine = start(NonInvite, UDP);
        let (sends, last) = run(&mut machine, &rfc());
        assert_eq!(sends, [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
        assert_eq!(last, Some((32_000, Timer::F, timeout())));
        assert_eq!(machine.state(), ClientState::Terminated);
    }

    #[test]
    fn nc_03_nc_04_nc_07_tmr_08_provisional_only() {
        let mut machine = start(NonInvite, UDP);
        assert_eq!(machine.response(at(100), 100, &rfc()), Actions::PASS);
        assert_eq!(machine.state(), ClientState::Proceeding);
        assert_eq!(armed(&machine), [(Timer::E, 500), (Timer::F, 32_000)], "NC-03: neither is touched");
        let (sends, last) = run(&mut machine, &rfc());
        assert_eq!(sends, [0, 500, 4500, 8500, 12_500, 16_500, 20_500, 24_500, 28_500]);
        assert_eq!(last, Some((32_000, Timer::F, timeout())), "NC-07: also in Proceeding");
    }

    #[test]
    fn nc_05_provisional_again() {
        let mut machine = after(NonInvite, UDP, 100);
        let before = machine;
        assert_eq!(machine.response(at(200), 100, &rfc()), Actions::PASS);
        assert_eq!(machine, before);
    }

    #[test]
    fn nc_06_nc_09_nc_10_nc_11_final() {
        for status in [200, 302, 408, 699] {
            for mut machine in [start(NonInvite, UDP), after(NonInvite, UDP, 100)] {
                assert_eq!(machine.response(at(1000), status, &rfc()), Actions::PASS);
                assert_eq!(machine.state(), ClientState::Completed);
                assert_eq!(armed(&machine), [(Timer::K, 6000)]);
                for late in [100, 200, 500] {
                    assert_eq!(machine.response(at(2000), late, &rfc()), Actions::NONE, "NC-09");
                }
                assert_eq!(machine.transport_error(), Actions::NONE);
                assert_eq!(machine.expire(at(6000), &rfc()), Some((Timer::K, Actions::TERMINATED)), "NC-10");
                assert_eq!(machine.response(at(7000), 200, &rfc()), Actions::NONE, "NC-11");
            }
            let mut machine = start(NonInvite, TCP);
            assert_eq!(machine.response(at(1000), status, &rfc()), Actions::PASS.and(Actions::TERMINATED));
        }
    }

    #[test]
    fn nc_08_transport_error() {
        for mut machine in [start(NonInvite, UDP), after(NonInvite, TCP, 100)] {
            assert_eq!(machine.transport_error(), Actions::TRANSPORT_ERROR.and(Actions::TERMINATED));
            assert_eq!(machine.next(), None);
        }
    }

    #[test]
    fn no_status_is_no_event() {
        for status in [0, 99, 700, u16::MAX] {
            for kind in [Invite, NonInvite] {
                let mut machine = start(kind, UDP);
                assert_eq!(machine.response(at(1), status, &rfc()), Actions::NONE);
                assert_eq!(machine, start(kind, UDP));
            }
        }
    }

    #[test]
    fn tmr_07_a_missed_series_is_one_sending() {
        // (now, sends before the one that is late, next deadline after it)
        for (kind, now, next) in [
            (Invite, 500, 1500),
            (Invite, 1499, 1500),
            (Invite, 1500, 3500),
            (Invite, 8000, 15_500),
            (Invite, 31_500, 32_000),
            (NonInvite, 3499, 3500),
            (NonInvite, 7499, 7500),
            (NonInvite, 7500, 11_500),
            (NonInvite, 20_000, 23_500),
            (NonInvite, 31_500, 32_000),
        ] {
            let mut machine = start(kind, UDP);
            let (timer, actions) = machine.expire(at(now), &rfc()).expect("due since 500 ms");
            assert!(matches!(timer, Timer::A | Timer::E) && actions == Actions::SEND);
            assert_eq!(machine.expire(at(now), &rfc()), None, "once only at {now}");
            assert_eq!(machine.next(), Some(at(next)), "derived from the missed deadlines at {now}");
        }
    }

    #[test]
    fn tmr_07_stalled_beyond_the_end() {
        for kind in [Invite, NonInvite] {
            for moment in [at(32_000), at(1 << 40), Instant::from_nanos(u64::MAX)] {
                let mut machine = start(kind, UDP);
                let fired: Vec<_> = std::iter::from_fn(|| machine.expire(moment, &rfc())).collect();
                let [(first, send), (second, end)] = fired[..] else { panic!("{fired:?}") };
                assert!(matches!(first, Timer::A | Timer::E) && send == Actions::SEND);
                assert!(matches!(second, Timer::B | Timer::F) && end == timeout());
            }
        }
    }

    #[test]
    fn tmr_09_other_values_of_t1() {
        let timing = Timing { t1: Duration::from_millis(100), ..rfc() };
        let mut machine = ClientMachine::start(Invite, at(0), UDP, &timing);
        let (sends, last) = run(&mut machine, &timing);
        assert_eq!(sends, [0, 100, 300, 700, 1500, 3100, 6300], "the doubling stays");
        assert_eq!(last, Some((6400, Timer::B, timeout())));

        let mut machine = ClientMachine::start(Invite, at(0), UDP, &timing);
        let _ = machine.response(at(0), 486, &timing);
        assert_eq!(armed(&machine), [(Timer::D, 32_000)], "D is absolute");

        // T2 below T1: E is capped from its first re-arming on; of E and F for one moment, F ends it.
        let timing = Timing { t2: Duration::from_millis(400), t1: Duration::from_millis(800), ..rfc() };
        let mut machine = ClientMachine::start(NonInvite, at(0), UDP, &timing);
        let (sends, last) = run(&mut machine, &timing);
        assert_eq!((&sends[..4], sends.last()), (&[0, 800, 1200, 1600][..], Some(&50_800)));
        assert_eq!(last, Some((51_200, Timer::F, timeout())));
    }
}
