//! The INVITE client transaction: RFC 3261 §17.1.1, figure 5 of RFC 6026.

use super::{
    Actions, ClientState, Timer,
    client::ClientEvent,
    table::{Step, again, enter, stay},
};
use ClientState::{Accepted, Calling, Completed, Proceeding, Terminated, Trying};

#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Provisional,
    Success,
    /// 300–699.
    Failure,
    TransportError,
    TimerA,
    TimerB,
    TimerD,
    TimerM,
}

impl Event {
    pub(super) fn read(event: ClientEvent) -> Option<Self> {
        match event {
            ClientEvent::Response(100..=199) => Some(Self::Provisional),
            ClientEvent::Response(200..=299) => Some(Self::Success),
            ClientEvent::Response(300..=699) => Some(Self::Failure),
            ClientEvent::Response(_) => None,
            ClientEvent::TransportError => Some(Self::TransportError),
            ClientEvent::Fired(timer) => match timer {
                Timer::A => Some(Self::TimerA),
                Timer::B => Some(Self::TimerB),
                Timer::D => Some(Self::TimerD),
                Timer::M => Some(Self::TimerM),
                Timer::E
                | Timer::F
                | Timer::G
                | Timer::H
                | Timer::I
                | Timer::J
                | Timer::K
                | Timer::L
                | Timer::Trying => None,
            },
        }
    }
}

pub(super) const fn start() -> Step<ClientState> {
    enter(Calling, Actions::SEND, &[Timer::A, Timer::B])
}

pub(super) const fn step(state: ClientState, event: Event) -> Step<ClientState> {
    use Event as E;
    match (state, event) {
        (Calling, E::TimerA) => again(Calling, Actions::SEND),
        (Calling, E::TimerB) => enter(Terminated, Actions::TIMEOUT.and(Actions::TERMINATED), &[]),
        (Calling, E::Provisional) => enter(Proceeding, Actions::PASS, &[]),
        (Proceeding, E::Provisional) => stay(Proceeding, Actions::PASS),
        (Calling | Proceeding, E::Success) => enter(Accepted, Actions::PASS, &[Timer::M]),
        // The ACK also goes out over a reliable transport (RFC 3261 §17.1.1.2).
        (Calling | Proceeding, E::Failure) => enter(Completed, Actions::ACK.and(Actions::PASS), &[Timer::D]),
        (Calling | Completed, E::TransportError) => {
            enter(Terminated, Actions::TRANSPORT_ERROR.and(Actions::TERMINATED), &[])
        }
        (Completed, E::Failure) => stay(Completed, Actions::ACK),
        (Accepted, E::Success) => stay(Accepted, Actions::PASS),
        (Completed, E::TimerD) | (Accepted, E::TimerM) => enter(Terminated, Actions::TERMINATED, &[]),

        // Nothing is sent in Proceeding and Accepted that could fail; a 1xx or 2xx after a non-2xx, and a non-2xx after a
        // 2xx, have no arc in the figure.
        (Calling, E::TimerD | E::TimerM)
        | (Proceeding, E::TransportError | E::TimerA | E::TimerB | E::TimerD | E::TimerM)
        | (Completed, E::Provisional | E::Success | E::TimerA | E::TimerB | E::TimerM)
        | (Accepted, E::Provisional | E::Failure | E::TransportError | E::TimerA | E::TimerB | E::TimerD)
        // Trying belongs to the other kind.
        | (Trying | Terminated, _) => stay(state, Actions::NONE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::table::print;

    #[test]
    fn table() {
        let states = [Calling, Proceeding, Completed, Accepted, Terminated];
        let events = [
            Event::Provisional,
            Event::Success,
            Event::Failure,
            Event::TransportError,
            Event::TimerA,
            Event::TimerB,
            Event::TimerD,
            Event::TimerM,
        ];
        let printed = print::table(start(), &states, &events, step);
        assert_eq!(printed, include_str!("client_invite.txt"), "the table changed to:\n{printed}");
    }
}
