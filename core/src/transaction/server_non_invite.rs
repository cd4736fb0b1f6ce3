//! The non-INVITE server transaction: RFC 3261 §17.2.2, RFC 4320 §4.

use super::{
    Actions, ServerState, Timer,
    server::ServerEvent,
    table::{Step, enter, stay},
};
use ServerState::{Accepted, Completed, Confirmed, Proceeding, Terminated, Trying};

#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// The request again.
    Request,
    SendProvisional,
    /// The transaction user sends a 200–699.
    SendFinal,
    TransportError,
    /// So much time has passed without a response that a 100 is due.
    TimerTrying,
    TimerJ,
}

impl Event {
    pub(super) fn read(event: ServerEvent) -> Option<Self> {
        match event {
            ServerEvent::Request { .. } => Some(Self::Request),
            ServerEvent::Ack => None,
            ServerEvent::Respond(100..=199) => Some(Self::SendProvisional),
            ServerEvent::Respond(200..=699) => Some(Self::SendFinal),
            ServerEvent::Respond(_) => None,
            ServerEvent::TransportError => Some(Self::TransportError),
            ServerEvent::Fired(timer) => match timer {
                Timer::Trying => Some(Self::TimerTrying),
                Timer::J => Some(Self::TimerJ),
                Timer::A
                | Timer::B
                | Timer::D
                | Timer::E
                | Timer::F
                | Timer::G
                | Timer::H
                | Timer::I
                | Timer::K
                | Timer::L
                | Timer::M => None,
            },
        }
    }
}

pub(super) const fn start() -> Step<ServerState> {
    enter(Trying, Actions::PASS, &[Timer::Trying])
}

pub(super) const fn step(state: ServerState, event: Event) -> Step<ServerState> {
    use Event as E;
    match (state, event) {
        (Trying, E::TimerTrying) => enter(Proceeding, Actions::TRYING, &[]),
        (Trying | Proceeding, E::SendProvisional) => enter(Proceeding, Actions::SEND, &[]),
        (Trying | Proceeding, E::SendFinal) => enter(Completed, Actions::SEND, &[Timer::J]),
        (Proceeding | Completed, E::Request) => stay(state, Actions::SEND),
        // RFC 6026 §8.8 keeps the state after a transport error, unlike figure 8 of RFC 3261.
        (Proceeding | Completed, E::TransportError) => stay(state, Actions::TRANSPORT_ERROR),
        (Completed, E::TimerJ) => enter(Terminated, Actions::TERMINATED, &[]),

        (Trying, E::Request | E::TransportError | E::TimerJ)
        | (Proceeding, E::TimerTrying | E::TimerJ)
        | (Completed, E::SendProvisional | E::SendFinal | E::TimerTrying)
        // Confirmed and Accepted belong to the other kind.
        | (Confirmed | Accepted | Terminated, _) => stay(state, Actions::NONE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::table::print;

    #[test]
    fn table() {
        let states = [Trying, Proceeding, Completed, Terminated];
        let events = [
            Event::Request,
            Event::SendProvisional,
            Event::SendFinal,
            Event::TransportError,
            Event::TimerTrying,
            Event::TimerJ,
        ];
        let printed = print::table(start(), &states, &events, step);
        assert_eq!(printed, include_str!("server_non_invite.txt"), "the table changed to:\n{printed}");
    }
}
