use thiserror::Error;

use super::{
    Actions, Kind, Timer, Timing,
    deadlines::Deadlines,
    server_invite, server_non_invite,
    table::{Step, Timers},
};
use crate::base::Instant;

/// A server transaction without its messages (RFC 3261 §17.2, RFC 6026, RFC 4320).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ServerMachine {
    deadlines: Deadlines,
    state: ServerState,
    kind: Kind,
    reliable: bool,
}

/// The states of server transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ServerState {
    /// The non-INVITE request has come, no response is sent.
    Trying,
    /// A provisional response is sent; to INVITE: also before it.
    Proceeding,
    /// A final response is sent; to INVITE: a non-2xx.
    Completed,
    /// The non-2xx to INVITE is acknowledged.
    Confirmed,
    /// A 2xx to INVITE is sent (RFC 6026).
    Accepted,
    /// The transaction has ended.
    Terminated,
}

/// Why a transaction does not send a response of its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The transaction is past it: a final response was sent already.
    #[error("a final response was sent before")]
    Discarded,
    /// No such response may answer the request: to a non-INVITE one 101–199 and 408 (RFC 4320 §4.1, §4.2), to any a number
    /// outside 100–699.
    #[error("no such status may answer this request")]
    NotAllowed,
    /// A 100 to a non-INVITE request over an unreliable transport, before the client has slowed down (RFC 4320 §4.1).
    #[error("too early for a 100 to a non-INVITE request")]
    TooEarly,
}

/// What happens to a server transaction.
#[derive(Clone, Copy, Debug)]
pub(super) enum ServerEvent {
    Request { answered: bool },
    Ack,
    Respond(u16),
    TransportError,
    Fired(Timer),
}

impl ServerMachine {
    /// Makes a transaction for a request that its owner passes to the transaction user now.
    pub fn start(kind: Kind, now: Instant, reliable: bool, timing: &Timing) -> Self {
        let start = match kind {
            Kind::Invite => server_invite::start(),
            Kind::NonInvite => server_non_invite::start(),
        };
        let mut machine = Self { deadlines: Deadlines::NONE, state: start.state, kind, reliable };
        let _passed_by_the_owner = machine.apply(start, now, timing);
        machine
    }

    /// Takes a retransmission of the request.
    pub fn request(&mut self, now: Instant, timing: &Timing) -> Actions {
        // The automatic 100 is armed as long as nothing was sent.
        let answered = self.deadlines.get(Timer::Trying).is_none();
        self.take(ServerEvent::Request { answered }, now, timing)
    }

    /// Takes an ACK that matches.
    pub fn ack(&mut self, now: Instant, timing: &Timing) -> Actions {
        self.take(ServerEvent::Ack, now, timing)
    }

    /// Takes the status of a response that the transaction user wants sent, or says why it must not be.
    pub fn respond(&mut self, now: Instant, status: u16, timing: &Timing) -> Result<Actions, Refusal> {
        if !(100..=699).contains(&status) || self.kind == Kind::NonInvite && matches!(status, 101..=199 | 408)
        {
            return Err(Refusal::NotAllowed);
        }
        let early = self.deadlines.get(Timer::Trying).is_some_and(|due| now < due);
        if self.kind == Kind::NonInvite && status == 100 && early && !self.reliable {
            return Err(Refusal::TooEarly);
        }
        match self.take(ServerEvent::Respond(status), now, timing) {
            Actions::NONE => Err(Refusal::Discarded),
            actions => Ok(actions),
        }
    }

    /// Learns that the last response could not be delivered, nor to any backup (RFC 3263 §5).
    pub fn transport_error(&mut self) -> Actions {
        // The tables arm no timer here, so neither time nor timing matters.
        self.take(ServerEvent::TransportError, Instant::EPOCH, &Timing::default())
    }

    /// Fires the earliest timer that is due. Call it until it returns `None`.
    pub fn expire(&mut self, now: Instant, timing: &Timing) -> Option<(Timer, Actions)> {
        let (timer, due) = self.deadlines.take_due(now)?;
        let Some(step) = self.step(ServerEvent::Fired(timer)) else { return Some((timer, Actions::NONE)) };
        if step.timers == Timers::Again {
            self.deadlines.again(timer, due, now, |interval| interval.saturating_mul(2).min(timing.t2));
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
    pub const fn state(&self) -> ServerState {
        self.state
    }

    /// Returns which kind of request it serves.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    fn take(&mut self, event: ServerEvent, now: Instant, timing: &Timing) -> Actions {
        self.step(event).map_or(Actions::NONE, |step| self.apply(step, now, timing))
    }

    fn step(&self, event: ServerEvent) -> Option<Step<ServerState>> {
        match self.kind {
            Kind::Invite => server_invite::Event::read(event).map(|e| server_invite::step(self.state, e)),
            Kind::NonInvite => {
                server_non_invite::Event::read(event).map(|e| server_non_invite::step(self.state, e))
            }
        }
    }

    fn apply(&mut self, step: Step<ServerState>, now: Instant, timing: &Timing) -> Actions {
        self.state = step.state;
        let Timers::Only(timers) = step.timers else { return step.actions };
        match self.deadlines.replace(timers, now, |timer| timing.of(timer, self.kind, self.reliable)) {
            Some(zero) => step.actions.and(self.take(ServerEvent::Fired(zero), now, timing)),
            None => step.actions,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

    fn start(kind: Kind, reliable: bool) -> ServerMachine {
        ServerMachine::start(kind, at(0), reliable, &rfc())
    }

    /// A machine whose user sent this response at 100 ms.
    fn after(kind: Kind, reliable: bool, status: u16) -> ServerMachine {
        let mut machine = start(kind, reliable);
        assert!(machine.respond(at(100), status, &rfc()).is_ok_and(Actions::send));
        machine
    }

    fn armed(machine: &ServerMachine) -> Vec<(Timer, u64)> {
        let mut timers = Vec::new();
        machine.timers(|timer, at| timers.push((timer, at.as_millis())));
        timers
    }

    #[test]
    fn is_small() {
        assert!(size_of::<ServerMachine>() <= 48);
    }

    #[test]
    fn is_01_is_02_trying_after_200_ms() {
        for reliable in [UDP, TCP] {
            let mut machine = start(Invite, reliable);
            assert_eq!((machine.state(), machine.kind()), (ServerState::Proceeding, Invite));
            assert_eq!(armed(&machine), [(Timer::Trying, 200)]);
            assert_eq!(machine.expire(at(199), &rfc()), None);
            assert_eq!(machine.expire(at(200), &rfc()), Some((Timer::Trying, Actions::TRYING)));
            assert_eq!((machine.state(), machine.next()), (ServerState::Proceeding, None));
        }
    }

    #[test]
    fn is_02_is_03_a_response_in_time_makes_the_100_needless() {
        for status in [100, 180, 199] {
            let mut machine = start(Invite, UDP);
            assert_eq!(machine.respond(at(199), status, &rfc()), Ok(Actions::SEND));
            assert_eq!((machine.state(), machine.next()), (ServerState::Proceeding, None));
            assert_eq!(machine.respond(at(300), 183, &rfc()), Ok(Actions::SEND), "each one");
        }
    }

    #[test]
    fn is_04_invite_again_in_proceeding() {
        let mut machine = start(Invite, UDP);
        assert_eq!(machine.request(at(150), &rfc()), Actions::NONE, "nothing was sent yet");
        let _ = machine.expire(at(200), &rfc());
        assert_eq!(machine.request(at(500), &rfc()), Actions::SEND, "the transaction's own 100");
        assert_eq!(after(Invite, UDP, 180).request(at(500), &rfc()), Actions::SEND);
        assert_eq!(after(Invite, UDP, 180).ack(at(500), &rfc()), Actions::NONE, "an ACK means nothing here");
    }

    #[test]
    fn is_05_is_14_is_15_is_16_is_17_accepted() {
        for reliable in [UDP, TCP] {
            let mut machine = start(Invite, reliable);
            assert_eq!(machine.respond(at(1000), 200, &rfc()), Ok(Actions::SEND));
            assert_eq!(machine.state(), ServerState::Accepted);
            assert_eq!(armed(&machine), [(Timer::L, 33_000)], "no retransmission by the transaction");
            let before = machine;
            assert_eq!(machine.request(at(1500), &rfc()), Actions::NONE, "IS-14");
            assert_eq!(machine.respond(at(1500), 200, &rfc()), Ok(Actions::SEND), "IS-15");
            assert_eq!(machine.ack(at(1600), &rfc()), Actions::PASS, "IS-16");
            assert_eq!(machine, before, "L is not restarted");
            assert_eq!(machine.expire(at(33_000), &rfc()), Some((Timer::L, Actions::TERMINATED)), "IS-17");
            assert_eq!(machine.state(), ServerState::Terminated);
        }
    }

    #[test]
    fn is_06_is_08_is_10_tmr_04_failure_without_ack() {
        for status in [300, 486, 699] {
            let mut machine = start(Invite, UDP);
            assert_eq!(machine.respond(at(0), status, &rfc()), Ok(Actions::SEND));
            assert_eq!(machine.state(), ServerState::Completed);
            assert_eq!(armed(&machine), [(Timer::G, 500), (Timer::H, 32_000)]);
            let (mut sends, mut last) = (vec![0], None);
            while let Some(now) = machine.next() {
                let (timer, actions) = machine.expire(now, &rfc()).expect("next() is due");
                if actions.send() {
                    sends.push(now.as_millis());
                }
                last = Some((now.as_millis(), timer, actions));
            }
            assert_eq!(sends, [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
            assert_eq!(last, Some((32_000, Timer::H, Actions::NO_ACK.and(Actions::TERMINATED))), "IS-10");
            assert_eq!(machine.state(), ServerState::Terminated);
        }
        assert_eq!(armed(&after(Invite, TCP, 486)), [(Timer::H, 32_100)], "H runs over all transports");
    }

    #[test]
    fn is_07_is_09_is_12_is_13_failure_acknowledged() {
        let mut machine = after(Invite, UDP, 486);
        assert_eq!(machine.request(at(200), &rfc()), Actions::SEND, "IS-07");
        assert_eq!(machine.ack(at(1000), &rfc()), Actions::NONE, "IS-09: not passed");
        assert_eq!(machine.state(), ServerState::Confirmed);
        assert_eq!(armed(&machine), [(Timer::I, 6000)], "G and H are stopped");
        assert_eq!(machine.ack(at(1100), &rfc()), Actions::NONE, "IS-12");
        assert_eq!(machine.request(at(1100), &rfc()), Actions::NONE, "IS-12");
        assert_eq!(machine.transport_error(), Actions::NONE);
        assert_eq!(machine.expire(at(6000), &rfc()), Some((Timer::I, Actions::TERMINATED)), "IS-13");

        let mut machine = after(Invite, TCP, 486);
        assert_eq!(machine.ack(at(1000), &rfc()), Actions::TERMINATED, "I is zero");
        assert_eq!((machine.state(), machine.next()), (ServerState::Terminated, None));
    }

    #[test]
    fn is_11_is_19_responses_after_the_final_one() {
        let mut confirmed = after(Invite, UDP, 486);
        let _ = confirmed.ack(at(200), &rfc());
        let mut terminated = after(Invite, TCP, 486);
        let _ = terminated.ack(at(200), &rfc());
        for (machine, discarded) in [
            (after(Invite, UDP, 486), &[100, 180, 200, 486, 603][..]),
            (after(Invite, UDP, 200), &[100, 180, 302, 486, 603]),
            (confirmed, &[180, 200, 486]),
            (terminated, &[180, 200, 486]),
        ] {
            for &status in discarded {
                let mut after = machine;
                assert_eq!(after.respond(at(300), status, &rfc()), Err(Refusal::Discarded), "{status}");
                assert_eq!(after, machine);
            }
        }
    }

    #[test]
    fn is_18_transport_error_keeps_the_state() {
        for machine in [start(Invite, UDP), after(Invite, UDP, 486), after(Invite, UDP, 200)] {
            let mut after = machine;
            assert_eq!(after.transport_error(), Actions::TRANSPORT_ERROR);
            assert_eq!(after, machine);
        }
    }

    #[test]
    fn ns_01_ns_02_ns_13_trying() {
        for reliable in [UDP, TCP] {
            let mut machine = start(NonInvite, reliable);
            assert_eq!((machine.state(), machine.kind()), (ServerState::Trying, NonInvite));
            assert_eq!(machine.request(at(500), &rfc()), Actions::NONE, "NS-02");
            assert_eq!(machine.transport_error(), Actions::NONE, "nothing was sent");
            assert_eq!(machine.ack(at(600), &rfc()), Actions::NONE, "no ACK belongs to it");
            assert_eq!(machine.expire(at(3499), &rfc()), None);
            assert_eq!(machine.expire(at(3500), &rfc()), Some((Timer::Trying, Actions::TRYING)), "NS-13");
            assert_eq!((machine.state(), machine.next()), (ServerState::Proceeding, None));
            assert_eq!(machine.request(at(7500), &rfc()), Actions::SEND, "NS-05: the 100 made here");
        }
    }

    #[test]
    fn ns_03_ns_04_ns_05_ns_12_provisional() {
        let mut machine = start(NonInvite, UDP);
        assert_eq!(machine.respond(at(3499), 100, &rfc()), Err(Refusal::TooEarly), "NS-12");
        assert_eq!(machine, start(NonInvite, UDP));
        assert_eq!(machine.respond(at(3500), 100, &rfc()), Ok(Actions::SEND), "NS-03");
        assert_eq!((machine.state(), machine.next()), (ServerState::Proceeding, None));
        assert_eq!(machine.respond(at(3600), 100, &rfc()), Ok(Actions::SEND), "NS-04");
        assert_eq!(machine.request(at(7500), &rfc()), Actions::SEND, "NS-05");
        assert_eq!(start(NonInvite, TCP).respond(at(0), 100, &rfc()), Ok(Actions::SEND), "NS-13: reliable");
    }

    #[test]
    fn ns_12_follows_the_client_s_timer_e() {
        let ms = Duration::from_millis;
        for (t1, t2, early) in
            [(500, 4000, 3500), (500, 3000, 3500), (500, 2000, 1500), (100, 4000, 6300), (500, 100, 500)]
        {
            let timing = Timing { t1: ms(t1), t2: ms(t2), ..rfc() };
            assert_eq!(timing.e_reaches_t2(), ms(early), "T1 {t1}, T2 {t2}");
        }
    }

    #[test]
    fn ns_06_ns_07_ns_08_ns_09_ns_15_final() {
        for status in [200, 302, 404, 699] {
            let mut proceeding = start(NonInvite, UDP);
            let _ = proceeding.expire(at(3500), &rfc());
            for mut machine in [start(NonInvite, UDP), proceeding] {
                assert_eq!(machine.respond(at(4000), status, &rfc()), Ok(Actions::SEND));
                assert_eq!(machine.state(), ServerState::Completed);
                assert_eq!(armed(&machine), [(Timer::J, 36_000)]);
                assert_eq!(machine.request(at(5000), &rfc()), Actions::SEND, "NS-07");
                for another in [100, 200, 500] {
                    assert_eq!(machine.respond(at(6000), another, &rfc()), Err(Refusal::Discarded), "NS-08");
                }
                assert_eq!(machine.next(), Some(at(36_000)));
                assert_eq!(
                    machine.expire(at(36_000), &rfc()),
                    Some((Timer::J, Actions::TERMINATED)),
                    "NS-09"
                );
            }
            let mut machine = start(NonInvite, TCP);
            assert_eq!(
                machine.respond(at(0), status, &rfc()),
                Ok(Actions::SEND.and(Actions::TERMINATED)),
                "J is zero"
            );
            assert_eq!(machine.respond(at(1), status, &rfc()), Err(Refusal::Discarded), "NS-15: late");
        }
    }

    #[test]
    fn ns_10_transport_error_keeps_the_state() {
        let mut proceeding = start(NonInvite, UDP);
        let _ = proceeding.expire(at(3500), &rfc());
        for machine in [proceeding, after(NonInvite, UDP, 200)] {
            let mut after = machine;
            assert_eq!(after.transport_error(), Actions::TRANSPORT_ERROR);
            assert_eq!(after, machine);
        }
    }

    #[test]
    fn ns_11_ns_14_refused_statuses() {
        for machine in [start(NonInvite, TCP), after(NonInvite, UDP, 200)] {
            for status in [0, 99, 101, 180, 199, 408, 700] {
                let mut after = machine;
                assert_eq!(after.respond(at(4000), status, &rfc()), Err(Refusal::NotAllowed), "{status}");
                assert_eq!(after, machine);
            }
        }
        let mut invite = start(Invite, UDP);
        assert_eq!(invite.respond(at(0), 99, &rfc()), Err(Refusal::NotAllowed));
        assert_eq!(invite.respond(at(0), 408, &rfc()), Ok(Actions::SEND), "408 may answer an INVITE");
    }

    #[test]
    fn tmr_07_a_missed_series_is_one_sending() {
        for (now, next) in [(500, 1500), (8000, 11_500), (11_500, 15_500), (31_500, 32_000)] {
            let mut machine = start(Invite, UDP);
            let _ = machine.respond(at(0), 486, &rfc());
            assert_eq!(machine.expire(at(now), &rfc()), Some((Timer::G, Actions::SEND)));
            assert_eq!((machine.expire(at(now), &rfc()), machine.next()), (None, Some(at(next))), "at {now}");
        }
    }
}
