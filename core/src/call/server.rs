use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    base::{HashKey, Instant, Limits},
    call::{Call, CallCx, Walk, reliable::Provisionals},
    decision::{Event, Reply, ServerEnd, ServerHandle, Settings},
    dialog::Acceptance,
    syntax::{Message, View},
    transaction::{ServerMachine, ServerState},
    transport::{IoKind, Outbound, Owner, Target},
};

/// A server transaction (RFC 3261 §17.2).
pub(super) enum ServerTransaction {
    Active(Box<ActiveServer>),
    /// A request other than INVITE whose final response is kept until Timer J (RFC 3261 §17.2.2).
    Answered(Answered),
}

pub(super) struct Answered {
    pub(super) key: u64,
    pub(super) merge: u64,
    pub(super) until: Instant,
    /// The response: branch, sent-by and method are compared in it.
    pub(super) response: Box<[u8]>,
}

pub(super) struct ActiveServer {
    pub(super) serial: u64,
    pub(super) key: u64,
    pub(super) merge: u64,
    pub(super) machine: ServerMachine,
    pub(super) back: Target,
    /// The request and what is asked about it, until its final response.
    pub(super) walk: Option<Walk>,
    /// The most recent response; empty before the first.
    pub(super) last: Box<[u8]>,
    /// Copies of a 2xx until its ACK.
    pub(super) acceptance: Option<Acceptance>,
    /// Reliable provisional responses, once one was sent.
    pub(super) provisionals: Option<Box<Provisionals>>,
    pub(super) ring_again: Option<RingAgain>,
    pub(super) dialog: Option<u64>,
    pub(super) cseq: u32,
    pub(super) invite: bool,
    pub(super) settings: Arc<Settings>,
}

/// When and how a provisional response is repeated lest proxies forget an INVITE, which they do after three minutes (RFC
/// 3261 §13.3.1.1).
pub(super) struct RingAgain {
    pub(super) at: Instant,
    /// The next one, where they are reliable; else it is the last one once more.
    pub(super) next: Option<Box<Reply>>,
}

impl ServerTransaction {
    pub(super) const fn key(&self) -> u64 {
        match self {
            Self::Active(active) => active.key,
            Self::Answered(answered) => answered.key,
        }
    }

    /// Lends the most recent response, once there is one.
    pub(super) fn answer(&self) -> &[u8] {
        match self {
            Self::Active(active) => &active.last,
            Self::Answered(answered) => &answered.response,
        }
    }

    /// Tells whether it is another transaction for the same request, which came on another way.
    pub(super) fn is_merged_with(&self, merge: u64, walk: &Walk) -> bool {
        let (own, same) = match self {
            Self::Active(active) => (active.merge, active.serial == walk.serial),
            Self::Answered(answered) => (answered.merge, false),
        };
        merge != 0 && own == merge && !same
    }

    /// Lends what is kept to tell copies by: the request, or its most recent response.
    pub(super) fn with_kept<R>(&self, read: impl FnOnce(View<'_>) -> R) -> Option<R> {
        let response = match self {
            Self::Active(active) => match &active.walk {
                Some(walk) => return Some(read(walk.request.view())),
                None => &active.last,
            },
            Self::Answered(answered) => &answered.response,
        };
        Message::parse(response, &Limits::unbounded()).ok().map(|message| read(message.view()))
    }

    /// Tells whether it only answers copies any more: the final response is sent, and acknowledged if it has to be.
    pub(super) fn is_lingering(&self) -> bool {
        let Self::Active(active) = self else { return true };
        match active.machine.state() {
            ServerState::Trying | ServerState::Proceeding => false,
            ServerState::Completed => !active.invite,
            ServerState::Accepted => active.acceptance.is_none(),
            ServerState::Confirmed | ServerState::Terminated => true,
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match self {
            Self::Active(active) => active.next_timeout(),
            Self::Answered(answered) => Some(answered.until),
        }
    }
}

impl RingAgain {
    /// What is reliable need not be sent as often as what may be lost (RFC 3262 §3).
    const fn period(reliable: bool) -> Duration {
        Duration::from_secs(if reliable { 150 } else { 60 })
    }

    /// Repeats what is sent now. A description of the session is not sent twice.
    pub(super) fn of(now: Instant, reply: &Reply, reliable: bool) -> Self {
        let next = reliable.then(|| Box::new(Reply { body: None, ..reply.clone() }));
        Self { at: now + Self::period(reliable), next }
    }

    /// Moves to the next beat after `now`; those that were missed are left out.
    pub(super) fn skip_to(&mut self, now: Instant) {
        let period = Self::period(self.next.is_some());
        let missed = (now - self.at).as_secs() / period.as_secs();
        self.at += Duration::from_secs((missed + 1) * period.as_secs());
    }
}

impl ActiveServer {
    pub(super) fn new(key: &HashKey, walk: Walk) -> Self {
        let invite = walk.is_invite();
        let kind = walk.kind();
        let reliable = walk.back.is_reliable();
        Self {
            serial: walk.serial,
            key: walk.key,
            merge: walk.merge_key(key),
            machine: ServerMachine::start(kind, walk.arrived, reliable, walk.settings.timing()),
            back: walk.back.clone(),
            last: Box::default(),
            acceptance: None,
            provisionals: None,
            ring_again: None,
            dialog: walk.dialog,
            cseq: walk.request.view().cseq_number(),
            settings: walk.settings.clone(),
            walk: Some(walk),
            invite,
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let ask = self.walk.as_ref().and_then(|walk| walk.ask).map(|ask| ask.deadline);
        let copy = self.acceptance.as_ref().map(Acceptance::due);
        let reliable = self.provisionals.as_ref().and_then(|sent| sent.next_timeout());
        let ring = self.ring_again.as_ref().map(|again| again.at);
        [self.machine.next(), ask, copy, reliable, ring].into_iter().flatten().min()
    }

    pub(super) const fn handle(&self, call: u64) -> ServerHandle {
        ServerHandle::new(call, self.serial)
    }

    /// Sends the response kept last.
    pub(super) fn resend(&mut self, cx: &mut CallCx, call: u64) {
        if !self.last.is_empty() {
            let bytes = cx.copy(&self.last);
            self.transmit(cx, call, bytes);
        }
    }

    /// Sends a response; that it cannot be sent is told to the application and changes no state (CF-02).
    pub(super) fn transmit(&mut self, cx: &mut CallCx, call: u64, bytes: Bytes) {
        let owner = Owner { call, serial: self.serial };
        if let Err(error) = cx.send(Outbound { target: &self.back, bytes, owner, awaits: false }) {
            self.report(cx, call, error);
        }
    }

    fn report(&mut self, cx: &mut CallCx, call: u64, error: IoKind) {
        if self.machine.transport_error().transport_error() {
            let end = ServerEnd::Transport(error);
            cx.events.push_back(Event::ServerEnded { server: self.handle(call), end });
        }
    }
}

impl Call {
    /// Takes the news that a response of ours could be sent nowhere.
    pub(crate) fn undelivered(&mut self, cx: &mut CallCx, serial: u64, error: IoKind) {
        let hash = self.hash;
        if let Some(server) = self.active_servers().find(|server| server.serial == serial) {
            server.report(cx, hash, error);
        }
    }

    pub(super) fn active_servers(&mut self) -> impl Iterator<Item = &mut ActiveServer> {
        self.servers.iter_mut().filter_map(|server| match server {
            ServerTransaction::Active(active) => Some(&mut **active),
            ServerTransaction::Answered(_) => None,
        })
    }
}
