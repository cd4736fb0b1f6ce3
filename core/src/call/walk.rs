use std::sync::Arc;

use crate::{
    base::{HashKey, Instant},
    call::{CallCx, Tag},
    decision::{AskId, ServerHandle, Settings},
    syntax::{Method, Request, ViaStamp},
    transaction::Kind,
    transport::{Flow, Target},
};

/// A request that is being judged, before or beside its server transaction.
pub(crate) struct Walk {
    /// The serial that its server transaction has or will have.
    pub(crate) serial: u64,
    /// The hash of the Call-ID.
    pub(crate) call: u64,
    /// The key that its retransmissions match by.
    pub(crate) key: u64,
    pub(crate) arrived: Instant,
    pub(crate) method: Method,
    pub(crate) request: Request,
    pub(crate) flow: Flow,
    /// Where its responses go.
    pub(crate) back: Target,
    pub(crate) stamp: ViaStamp,
    /// The To tag of its responses, should To have none.
    pub(crate) tag: Tag,
    pub(crate) stage: Stage,
    /// Whether nothing is to be kept of it.
    pub(crate) stateless: bool,
    pub(crate) ask: Option<Asked>,
    /// When an INVITE expires by its own word (RFC 3261 §20.19).
    pub(crate) expires: Option<Instant>,
    /// The dialog that it was found to be in.
    pub(crate) dialog: Option<u64>,
    pub(crate) settings: Arc<Settings>,
}

/// How far a walk has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Where does it go?
    Routing,
    /// What is it answered with?
    Method,
}

/// An open question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) serial: u64,
    pub(crate) deadline: Instant,
}

impl Walk {
    /// Makes the key that the same request on another way has too; zero in a dialog (RFC 3261 §8.2.2.2).
    ///
    /// Only transactions are told apart by it, and what is answered without one never needs it.
    pub(super) fn merge_key(&self, key: &HashKey) -> u64 {
        let request = self.request.view();
        if request.to_tag().is_some() {
            return 0;
        }
        let from_tag = request.from_tag().unwrap_or_default();
        let cseq = request.cseq_number().to_be_bytes();
        key.hash_parts(&[b"merge", &cseq, request.method_text().as_bytes(), from_tag.as_bytes()])
    }

    pub(crate) fn is_invite(&self) -> bool {
        self.method == Method::Invite
    }

    /// Returns when it moves into its call at the latest: when a 100 falls due, or its question's default.
    pub(crate) fn settles_at(&self) -> Instant {
        let trying = self.arrived + self.settings.timing().trying_after(self.kind());
        self.ask.map_or(trying, |ask| ask.deadline.min(trying))
    }

    pub(crate) fn ask_id(&self) -> Option<AskId> {
        self.ask.map(|ask| AskId::new(self.call, ask.serial))
    }

    pub(crate) fn kind(&self) -> Kind {
        if self.is_invite() { Kind::Invite } else { Kind::NonInvite }
    }

    pub(crate) const fn handle(&self) -> ServerHandle {
        ServerHandle::new(self.call, self.serial)
    }

    /// Opens the next question and returns its name.
    pub(crate) fn open(&mut self, cx: &mut CallCx, stage: Stage) -> AskId {
        let (within, _) = self.settings.answer_within(self.is_invite());
        let serial = cx.serial();
        self.stage = stage;
        let deadline = self.arrived + within;
        let deadline = self.expires.map_or(deadline, |expires| expires.min(deadline));
        self.ask = Some(Asked { serial, deadline });
        cx.questions += 1;
        AskId::new(self.call, serial)
    }

    /// Closes the open question.
    pub(crate) fn close(&mut self, cx: &mut CallCx) -> Option<AskId> {
        let ask = self.ask_id();
        if self.ask.take().is_some() {
            cx.questions -= 1;
        }
        ask
    }
}
