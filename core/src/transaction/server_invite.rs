//! The INVITE server transaction: RFC 3261 §17.2.1, figure 7 of RFC 6026.

use super::{
    Actions, ServerState, Timer,
    server::ServerEvent,
    table::{Step, again, enter, stay},
};
use ServerState::{Accepted, Completed, Confirmed, Proceeding, Terminated, Trying};

#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// The INVITE again, before any response to it was sent.
    EarlyInvite,
    /// The INVITE again.
    Invite,
    Ack,
    SendProvisional,
    SendSuccess,
    /// The transaction user sends a 300–699.
    SendFailure,
    TransportError,
    /// 200 ms have passed without a response.
    TimerTrying,
    TimerG,
    TimerH,
    TimerI,
    TimerL,
}

impl Event {
    pub(super) fn read(event: ServerEvent) -> Option<Self> {
        match event {
            ServerEvent::Request { answered: false } => Some(Self::EarlyInvite),
            ServerEvent::Request { answered: true } => Some(Self::Invite),
            ServerEvent::Ack => Some(Self::Ack),
            ServerEvent::Respond(100..=199) => Some(Self::SendProvisional),
            ServerEvent::Respond(200..=299) => Some(Self::SendSuccess),
            ServerEvent::Respond(300..=699) => Some(Self::SendFailure),
            ServerEvent::Respond(_) => None,
            ServerEvent::TransportError => Some(Self::TransportError),
            ServerEvent::Fired(timer) => match timer {
                Timer::Trying => Some(Self::TimerTrying),
                Timer::G => Some(Self::TimerG),
                Timer::H => Some(Self::TimerH),
                Timer::I => Some(Self::TimerI),
                Timer::L => Some(Self::TimerL),
                Timer::A | Timer::B | Timer::D | Timer::E | Timer::F | Timer::J | Timer::K | Timer::M => None,
            },
        }
    }
}

pub(super) const fn start() -> Step<ServerState> {
    enter(Proceeding, Actions::PASS, &[Timer::Trying])
}

pub(super) const fn step(state: ServerState, event: Event) -> Step<ServerState> {
    use Event as E;
    match (state, event) {
        (Proceeding, E::TimerTrying) => enter(Proceeding, Actions::TRYING, &[]),
        (Proceeding, E::SendProvisional) => enter(Proceeding, Actions::SEND, &[]),
        (Proceeding | Completed, E::Invite) => stay(state, Actions::SEND),
        (Proceeding, E::SendSuccess) => enter(Accepted, Actions::SEND, &[Timer::L]),
        (Proceeding, E::SendFailure) => enter(Completed, Actions::SEND, &[Timer::G, Timer::H]),
        (Completed, E::TimerG) => again(Completed, Actions::SEND),
        (Completed, E::Ack) => enter(Confirmed, Actions::NONE, &[Timer::I]),
        (Completed, E::TimerH) => enter(Terminated, Actions::NO_ACK.and(Actions::TERMINATED), &[]),
        (Accepted, E::SendSuccess) => stay(Accepted, Actions::SEND),
        (Accepted, E::Ack) => stay(Accepted, Actions::PASS),
        // A response that cannot be sent does not end the transaction: it still absorbs the INVITE (RFC 6026 §7.1).
        (Proceeding | Completed | Accepted, E::TransportError) => stay(state, Actions::TRANSPORT_ERROR),
        (Confirmed, E::TimerI) | (Accepted, E::TimerL) => enter(Terminated, Actions::TERMINATED, &[]),

        // 2xx are retransmitted by the transaction user alone, so Accepted absorbs the INVITE.
        (Proceeding, E::EarlyInvite | E::Ack | E::TimerG | E::TimerH | E::TimerI | E::TimerL)
        | (Completed, E::EarlyInvite | E::TimerTrying | E::TimerI | E::TimerL)
        | (Completed, E::SendProvisional | E::SendSuccess | E::SendFailure)
        | (Confirmed, E::EarlyInvite | E::Invite | E::Ack | E::TransportError)
        | (Confirmed, E::SendProvisional | E::SendSuccess | E::SendFailure)
        | (Confirmed, E::TimerTrying | E::TimerG | E::TimerH | E::TimerL)
        | (Accepted, E::EarlyInvite | E::Invite | E::SendProvisional | E::SendFailure)
        | (Accepted, E::TimerTrying | E::TimerG | E::TimerH | E::TimerI)
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
        let states = [Proceeding, Completed, Confirmed, Accepted, Terminated];
        let events = [
            Event::EarlyInvite,
            Event::Invite,
            Event::Ack,
            Event::SendProvisional,
            Event::SendSuccess,
            Event::SendFailure,
            Event::TransportError,
            Event::TimerTrying,
            Event::TimerG,
            Event::TimerH,
            Event::TimerI,
            Event::TimerL,
        ];
        let printed = print::table(start(), &states, &events, step);
        assert_eq!(printed, include_str!("server_invite.txt"), "the table changed to:\n{printed}");
    }
}
