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
    /// No such response may answer a non-INVITE request: 101–199, 408 (RFC 4320 §4.1, §4.2), or no status at all.
    #[error("a non-INVITE request must not be answered with 101-199 or 408")]
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
