//! Everything with one Call-ID: its transactions, dialogs and open questions.

mod client;
mod cx;
mod dialogs;
mod failover;
mod reliable;
mod request;
mod resend;
mod response;
mod server;
mod uac;
mod uas;
mod walk;

use std::time::Duration;

use smallvec::SmallVec;

use crate::base::{Hashed, Instant, Table};

use self::{client::ClientTransaction, dialogs::DialogEntry, server::ServerTransaction};
pub(crate) use self::{
    cx::CallCx,
    request::{Draft, expires},
    response::{Rendered, Tag, reply_to},
    uas::{Placed, WrongVerdict, ask_routing, render, route},
    walk::{Stage, Walk},
};

/// All state of one Call-ID.
///
/// It never sees the endpoint; what it needs of the world comes with each call in a [`CallCx`]. It is freed as soon as
/// nothing in it lives.
pub(crate) struct Call {
    hash: u64,
    /// The wake that is queued for it.
    wake: Option<Instant>,
    servers: SmallVec<[ServerTransaction; 1]>,
    rest: Option<Box<Rest>>,
}

/// The calls of an endpoint, by the hash of their Call-ID.
pub(crate) type CallTable = Table<Call>;

/// How far ahead a wake is queued at most: twice as long as most transactions live.
const LONGEST_WAKE: Duration = Duration::from_secs(64);

/// What a call that only answers OPTIONS or REGISTER never needs.
#[derive(Default)]
struct Rest {
    clients: Vec<ClientTransaction>,
    dialogs: Vec<DialogEntry>,
}

impl Hashed for Call {
    fn new(hash: u64) -> Self {
        Self { hash, wake: None, servers: SmallVec::new(), rest: None }
    }
}

impl Call {
    /// Tells whether nothing in it lives.
    pub(crate) fn is_over(&self) -> bool {
        self.servers.is_empty()
            && self.rest.as_ref().is_none_or(|rest| rest.clients.is_empty() && rest.dialogs.is_empty())
    }

    /// Tells whether nothing in it waits for the peer any more: what lives only answers copies.
    pub(crate) fn is_lingering(&self) -> bool {
        self.dialogs().is_empty()
            && self.servers.iter().all(ServerTransaction::is_lingering)
            && !self.clients().iter().any(ClientTransaction::is_open)
    }

    pub(crate) fn transactions(&self) -> usize {
        self.servers.len() + self.rest.as_ref().map_or(0, |rest| rest.clients.len())
    }

    /// Returns the wake to queue now, if the one that is queued comes too late.
    ///
    /// One that lies far ahead, such as the end of a dialog, is reached in steps: a wake stays queued after its call has
    /// ended, and must not do so for hours.
    pub(crate) fn new_wake(&mut self, now: Instant) -> Option<Instant> {
        let next = self.next_timeout()?.min(now + LONGEST_WAKE);
        if self.wake.is_some_and(|wake| wake <= next) {
            return None;
        }
        self.wake = Some(next);
        Some(next)
    }

    /// Notes that a queued wake came up; tells whether it is the one that counts.
    pub(crate) fn wakes_at(&mut self, at: Instant) -> bool {
        let counts = self.wake == Some(at);
        if counts {
            self.wake = None;
        }
        counts
    }

    /// Fires the timer that is due first; tells whether there was one.
    pub(crate) fn expire(&mut self, cx: &mut CallCx) -> bool {
        let Some(first) = self.next_timeout().filter(|first| *first <= cx.now) else { return false };
        self.expire_server(cx, first) || self.expire_client(cx, first) || self.expire_dialog(cx, first)
    }

    /// Ends everything in it at once, with what the application has to know.
    pub(crate) fn drop_all(&mut self, cx: &mut CallCx) {
        self.drop_servers(cx);
        self.drop_clients(cx);
        self.drop_dialogs(cx);
    }

    fn next_timeout(&self) -> Option<Instant> {
        let servers = self.servers.iter().filter_map(ServerTransaction::next_timeout);
        let clients = self.clients().iter().filter_map(ClientTransaction::next_timeout);
        let dialogs = self.dialogs().iter().map(DialogEntry::expires_at);
        servers.chain(clients).chain(dialogs).min()
    }

    fn clients(&self) -> &[ClientTransaction] {
        self.rest.as_ref().map_or(&[], |rest| &rest.clients)
    }

    fn dialogs(&self) -> &[DialogEntry] {
        self.rest.as_ref().map_or(&[], |rest| &rest.dialogs)
    }

    fn rest(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }
}
