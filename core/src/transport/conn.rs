use std::{
    collections::{BTreeSet, VecDeque},
    net::SocketAddr,
};

use bytes::Bytes;

use crate::{
    base::{Instant, Limits},
    transport::{
        CloseHow, ConnId, Flow, Framer, IoKind, News, Output, Owner, Proto, Target, Timeout, Transport,
    },
};

/// One stream connection.
#[derive(Clone)]
pub(super) struct Conn {
    remote: SocketAddr,
    state: State,
    framer: Framer,
    /// Bytes handed to the driver or queued that have not left yet.
    unsent: usize,
    /// The transactions that wait for an answer over this connection.
    users: BTreeSet<Owner>,
    idle_at: Instant,
    half_at: Option<Instant>,
    /// The wake that is queued; one that comes up at another time is stale.
    wake: Instant,
}

#[derive(Clone)]
enum State {
    Opening(Vec<Bytes>),
    Open { local: SocketAddr },
}

impl Conn {
    pub(super) fn opening(now: Instant, limits: &Limits, remote: SocketAddr) -> Self {
        let deadline = now + limits.connect;
        Self::new(remote, State::Opening(Vec::new()), deadline)
    }

    fn open(now: Instant, limits: &Limits, local: SocketAddr, remote: SocketAddr) -> Self {
        Self::new(remote, State::Open { local }, now + limits.idle)
    }

    fn new(remote: SocketAddr, state: State, deadline: Instant) -> Self {
        let users = BTreeSet::new();
        Self {
            remote,
            state,
            framer: Framer::new(),
            unsent: 0,
            users,
            idle_at: deadline,
            half_at: None,
            wake: deadline,
        }
    }

    pub(super) const fn unsent(&self) -> usize {
        self.unsent
    }

    pub(super) const fn wake(&self) -> Instant {
        self.wake
    }

    /// Tells whether nothing is on its way through it.
    pub(super) fn is_quiet(&self) -> bool {
        matches!(self.state, State::Open { .. }) && self.unsent == 0 && self.users.is_empty()
    }

    pub(super) fn write(
        &mut self,
        now: Instant,
        limits: &Limits,
        conn: ConnId,
        bytes: Bytes,
        user: Option<Owner>,
        out: &mut VecDeque<Output>,
    ) {
        self.unsent += bytes.len();
        self.users.extend(user);
        match &mut self.state {
            State::Opening(queue) => queue.push(bytes),
            State::Open { .. } => {
                self.idle_at = now + limits.idle;
                out.push_back(Output::Send { conn, data: bytes });
            }
        }
    }

    fn deadline(&self) -> Instant {
        self.half_at.map_or(self.idle_at, |half| half.min(self.idle_at))
    }
}

impl Transport {
    /// Takes a connection in, unless there are too many.
    pub(crate) fn accepted(
        &mut self,
        now: Instant,
        limits: &Limits,
        conn: ConnId,
        (local, remote): (SocketAddr, SocketAddr),
        out: &mut VecDeque<Output>,
    ) -> bool {
        if self.conns.len() >= limits.connections || self.conns.contains_key(&conn) {
            out.push_back(Output::Close { conn, how: CloseHow::Reset });
            return false;
        }
        let opened = Conn::open(now, limits, local, remote);
        self.timers.schedule(opened.wake, Timeout::Conn(conn));
        self.conns.insert(conn, opened);
        // The newest connection from a peer is the one most likely alive.
        self.by_peer.insert(remote, conn);
        true
    }

    /// Notes that a connection is open, and sends what has waited for it.
    pub(crate) fn connected(
        &mut self,
        now: Instant,
        limits: &Limits,
        conn: ConnId,
        local: SocketAddr,
        out: &mut VecDeque<Output>,
    ) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        let State::Opening(queue) = std::mem::replace(&mut entry.state, State::Open { local }) else {
            return;
        };
        entry.idle_at = now + limits.idle;
        out.extend(queue.into_iter().map(|data| Output::Send { conn, data }));
    }

    /// Lends the framer of a connection while its bytes are read, and tells the way that its messages take.
    pub(crate) fn lend_framer(&mut self, conn: ConnId) -> Option<(Framer, Flow)> {
        let entry = self.conns.get_mut(&conn)?;
        let State::Open { local } = entry.state else { return None };
        let flow = Flow::Stream { conn, local, remote: entry.remote };
        Some((std::mem::take(&mut entry.framer), flow))
    }

    /// Takes the framer back. A message that stays unfinished starts its deadline.
    pub(crate) fn return_framer(&mut self, now: Instant, limits: &Limits, conn: ConnId, framer: Framer) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        entry.idle_at = now + limits.idle;
        entry.half_at = match (framer.unfinished() == 0, entry.half_at) {
            (true, _) => None,
            (false, None) => Some(now + limits.half_message),
            (false, begun) => begun,
        };
        entry.framer = framer;
        let deadline = entry.deadline();
        if deadline < entry.wake {
            entry.wake = deadline;
            self.timers.schedule(deadline, Timeout::Conn(conn));
        }
    }

    /// Notes that a whole message went by: the next unfinished one gets a deadline of its own.
    pub(crate) fn message_done(&mut self, conn: ConnId) {
        if let Some(entry) = self.conns.get_mut(&conn) {
            entry.half_at = None;
        }
    }

    /// Answers a keep-alive (RFC 5626 §4.4.1).
    pub(crate) fn pong(&mut self, now: Instant, limits: &Limits, conn: ConnId, out: &mut VecDeque<Output>) {
        // A peer that pings without reading is closed like any other slow reader.
        let _closed = self.write(now, limits, conn, Bytes::from_static(b"\r\n"), None, out);
    }

    pub(crate) fn drained(&mut self, conn: ConnId, bytes: usize) {
        if let Some(entry) = self.conns.get_mut(&conn) {
            entry.unsent = entry.unsent.saturating_sub(bytes);
        }
    }

    /// Notes that a transaction waits for no more answers from a peer.
    pub(crate) fn release(&mut self, target: &Target, owner: Owner) {
        let Target::Peer { proto: Proto::Tcp, remote, .. } = target else { return };
        if let Some(entry) = self.by_peer.get(remote).and_then(|conn| self.conns.get_mut(conn)) {
            entry.users.remove(&owner);
        }
    }

    /// Forgets a connection that has ended; those who wait for answers over it are told.
    pub(crate) fn closed(&mut self, conn: ConnId, error: IoKind) {
        let Some(entry) = self.conns.remove(&conn) else { return };
        if self.by_peer.get(&entry.remote) == Some(&conn) {
            self.by_peer.remove(&entry.remote);
        }
        self.news.extend(entry.users.into_iter().map(|owner| News::Broken { owner, error }));
    }

    /// Closes a connection from this side.
    pub(crate) fn hang_up(&mut self, conn: ConnId, how: CloseHow, error: IoKind, out: &mut VecDeque<Output>) {
        if self.conns.contains_key(&conn) {
            out.push_back(Output::Close { conn, how });
            self.closed(conn, error);
        }
    }

    pub(super) fn expire_conn(&mut self, now: Instant, conn: ConnId, out: &mut VecDeque<Output>) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        if entry.wake > now {
            return;
        }
        let deadline = entry.deadline();
        if deadline > now {
            entry.wake = deadline;
            self.timers.schedule(deadline, Timeout::Conn(conn));
            return;
        }
        let opening = matches!(entry.state, State::Opening(_));
        let how = if opening || entry.half_at.is_some() { CloseHow::Reset } else { CloseHow::Flush };
        self.hang_up(conn, how, IoKind::TimedOut, out);
    }
}
