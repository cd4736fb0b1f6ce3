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
