//! The non-INVITE client transaction: RFC 3261 §17.1.2.

use super::{
    Actions, ClientState, Timer,
    client::ClientEvent,
    table::{Step, again, enter, stay},
};
use ClientState::{Accepted, Calling, Completed, Proceeding, Terminated, Trying};

#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Provisional,
    /// 200–699.
    Final,
    TransportError,
    TimerE,
    TimerF,
    TimerK,
}

impl Event {
    pub(super) fn read(event: ClientEvent) -> Option<Self> {
        match event {
            ClientEvent::Response(100..=199) => Some(Self::Provisional),
            ClientEvent::Response(200..=699) => Some(Self::Final),
            ClientEvent::Response(_) => None,
            ClientEvent::TransportError => Some(Self::TransportError),
            ClientEvent::Fired(timer) => match timer {
                Timer::E => Some(Self::TimerE),
                Timer::F => Some(Self::TimerF),
                Timer::K => Some(Self::TimerK),
                Timer::A
                | Timer::B
                | Timer::D
                | Timer::G
                | Timer::H
                | Timer::I
                | Timer::J
                | Timer::L
                | Timer::M
                | Timer::Trying => None,
            },
        }
    }
}

pub(super) const fn start() -> Step<ClientState> {
    enter(Trying, Actions::SEND, &[Timer::E, Timer::F])
}

pub(super) const fn step(state: ClientState, event: Event) -> Step<ClientState> {
    use Event as E;
    match (state, event) {
        (Trying | Proceeding, E::TimerE) => again(state, Actions::SEND),
        (Trying | Proceeding, E::TimerF) => {
            enter(Terminated, Actions::TIMEOUT.and(Actions::TERMINATED), &[])
        }
        (Trying | Proceeding, E::TransportError) => {
            enter(Terminated, Actions::TRANSPORT_ERROR.and(Actions::TERMINATED), &[])
        }
        // E and F go on: a 1xx neither ends retransmission nor gives the transaction more time.
        (Trying | Proceeding, E::Provisional) => stay(Proceeding, Actions::PASS),
        (Trying | Proceeding, E::Final) => enter(Completed, Actions::PASS, &[Timer::K]),
        (Completed, E::TimerK) => enter(Terminated, Actions::TERMINATED, &[]),

        (Trying | Proceeding, E::TimerK)
        | (Completed, E::Provisional | E::Final | E::TransportError | E::TimerE | E::TimerF)
        // Calling and Accepted belong to the other kind.
        | (Calling | Accepted | Terminated, _) => stay(state, Actions::NONE),
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
            Event::Provisional,
            Event::Final,
            Event::TransportError,
            Event::TimerE,
            Event::TimerF,
            Event::TimerK,
        ];
        let printed = print::table(start(), &states, &events, step);
        assert_eq!(printed, include_str!("client_non_invite.txt"), "the table changed to:\n{printed}");
    }
}
