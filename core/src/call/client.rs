use std::{collections::VecDeque, sync::Arc};

use crate::{
    base::{Instant, Limits},
    call::{
        CallCx, Draft,
        request::{SENT_BY_PORT, Size, Written},
    },
    decision::{AckMode, ClientHandle, ExtraForks, Settings},
    syntax::{Message, Method, View},
    transaction::{ClientMachine, ClientState, Kind, answers},
    transport::{Destination, DnsError, IoKind, Outbound, Owner, Place, Target},
};

/// A client transaction (RFC 3261 §17.1), from the moment that the application asked for it.
pub(super) struct ClientTransaction {
    pub(super) serial: u64,
    pub(super) method: Method,
    pub(super) cseq: u32,
    pub(super) dialog: Option<u64>,
    pub(super) stage: Sending,
    pub(super) invite: Option<Box<Invite>>,
    /// Whether the application knows nothing of it.
    pub(super) silent: bool,
    /// What it takes to write it anew, as long as that may be needed.
    pub(super) attempts: Option<Box<Attempts>>,
    pub(super) settings: Arc<Settings>,
}

/// What it takes to write a request anew: for its next server (RFC 3263 §4.3), or for another transport.
pub(super) struct Attempts {
    pub(super) draft: Draft,
    pub(super) to: Destination,
    /// The servers that are left to try.
    pub(super) rest: VecDeque<Place>,
}

/// How far a request has come on its way out.
pub(super) enum Sending {
    /// The servers of its next hop are being found, or those of a request before it in its dialog.
    Waiting(Box<Waiting>),
    Sent(Box<Sent>),
}

#[derive(Clone)]
pub(super) struct Waiting {
    pub(super) draft: Draft,
    pub(super) to: Destination,
    /// The servers, once they are known.
    pub(super) found: Option<Result<Vec<Place>, DnsError>>,
}

pub(super) struct Sent {
    pub(super) machine: ClientMachine,
    pub(super) branch: Box<str>,
    pub(super) sent_by: (Box<str>, u16),
    pub(super) target: Target,
    /// Whether it may be written anew for another transport.
    pub(super) rewritable: bool,
    /// Whether it was sent again because its connection turned out to be dead.
    pub(super) resent: bool,
    /// The request as it went out: for copies, and for its CANCEL and ACK.
    pub(super) request: Box<[u8]>,
}

/// What an INVITE needs beyond its machine.
pub(super) struct Invite {
    pub(super) ack: AckMode,
    pub(super) forks: ExtraForks,
    /// Whether it carried a body, so that its ACK needs none.
    pub(super) offered: bool,
    pub(super) cancel: Cancel,
    pub(super) rings_until: Instant,
    /// The dialog that its first 2xx made.
    pub(super) accepted: Option<u64>,
    /// Whether the application was told of a 2xx.
    pub(super) told: bool,
    /// The To tags of 2xx responses that could have no dialog and were ended at once, or whose dialog ended before an
    /// ACK was kept.
    pub(super) given_up: Vec<Box<str>>,
    /// The ACKs sent so far, one a To tag, for copies of what they acknowledge.
    pub(super) acks: Vec<SentAck>,
}

/// How a wish to cancel stands (RFC 3261 §9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancel {
    No,
    /// It waits for the first provisional response.
    Wanted,
    /// It is sent; the INVITE has until then to end.
    Sent(Instant),
}

pub(super) struct SentAck {
    pub(super) to_tag: Box<str>,
    pub(super) bytes: Box<[u8]>,
    pub(super) target: Target,
}

impl Sent {
    /// Sends a request for the first time.
    pub(super) fn start(
        cx: &mut CallCx,
        owner: Owner,
        settings: &Settings,
        kind: Kind,
        written: Written,
    ) -> (Self, Result<(), IoKind>) {
        let Written { bytes, branch, sent_by, target, size } = written;
        let rewritable = size != Size::Fixed;
        let machine = ClientMachine::start(kind, cx.now, target.is_reliable(), settings.timing());
        let request = bytes.as_ref().into();
        let result = cx.send(Outbound { target: &target, bytes, owner, awaits: true });
        (Self { machine, branch, sent_by, target, rewritable, resent: false, request }, result)
    }

    /// Lends the request in parsed form.
    pub(super) fn with_request<R>(&self, read: impl FnOnce(View<'_>) -> R) -> Option<R> {
        Message::parse(&self.request, &Limits::unbounded()).ok().map(|message| read(message.view()))
    }
}

impl ClientTransaction {
    pub(super) const fn handle(&self, call: u64) -> ClientHandle {
        ClientHandle::new(call, self.serial)
    }

    pub(super) const fn owner(&self, call: u64) -> Owner {
        Owner { call, serial: self.serial }
    }

    pub(super) fn waiting_mut(&mut self) -> Option<&mut Waiting> {
        match &mut self.stage {
            Sending::Waiting(waiting) => Some(waiting),
            Sending::Sent(_) => None,
        }
    }

    /// Tells whether it has not left yet and comes in this order.
    pub(super) fn waits_in(&self, order: u64) -> bool {
        match &self.stage {
            Sending::Waiting(waiting) => waiting.draft.order == Some(order),
            Sending::Sent(_) => false,
        }
    }

    /// Lets go of what it takes to write the request anew if that is not needed any more.
    pub(super) fn settle_attempts(&mut self) {
        let rewritable = self.sent().is_some_and(|sent| sent.rewritable);
        self.attempts.take_if(|attempts| attempts.rest.is_empty() && !rewritable);
    }

    pub(super) fn sent(&self) -> Option<&Sent> {
        match &self.stage {
            Sending::Sent(sent) => Some(sent),
            Sending::Waiting(_) => None,
        }
    }

    pub(super) fn sent_mut(&mut self) -> Option<&mut Sent> {
        match &mut self.stage {
            Sending::Sent(sent) => Some(sent),
            Sending::Waiting(_) => None,
        }
    }

    /// Tells whether a response is one to this request (RFC 3261 §17.1.3, §18.1.2).
    pub(super) fn matches(&self, response: View<'_>) -> bool {
        let Some(sent) = self.sent() else { return false };
        let via = response.via();
        let port = via.port().unwrap_or(SENT_BY_PORT);
        answers(response, &sent.branch, self.method.as_str())
            && via.host_text().eq_ignore_ascii_case(&sent.sent_by.0)
            && port == sent.sent_by.1
    }

    /// Tells whether the request waits for its final response.
    pub(super) fn is_open(&self) -> bool {
        self.sent().is_none_or(|sent| {
            matches!(
                sent.machine.state(),
                ClientState::Calling | ClientState::Trying | ClientState::Proceeding
            )
        })
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let machine = self.sent().and_then(|sent| sent.machine.next());
        [machine, self.patience()].into_iter().flatten().min()
    }

    /// Returns when the core gives an INVITE up that has no final response (RFC 3261 §17.1.1.2 leaves that to it).
    pub(super) fn patience(&self) -> Option<Instant> {
        let invite = self.invite.as_ref().filter(|_| self.is_open())?;
        Some(match invite.cancel {
            Cancel::Sent(until) => until,
            Cancel::No => invite.rings_until,
            // Timer B ends an INVITE without any response.
            Cancel::Wanted => return None,
        })
    }
}
