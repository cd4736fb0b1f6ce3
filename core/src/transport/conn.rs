use std::{
    collections::{BTreeSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    base::{Instant, Limits},
    syntax::Leniency,
    transport::{
        CloseHow, ConnId, Flow, Framer, IoKind, News, Output, Owner, PeerInfo, Proto, SocketId, Timeout,
        Transport,
    },
};

/// One stream connection.
#[derive(Clone)]
pub(super) struct Conn {
    proto: Proto,
    remote: SocketAddr,
    state: State,
    framer: Framer,
    /// What its listener forgives; `None` for a connection from this side.
    leniency: Option<Leniency>,
    /// Bytes handed to the driver or queued that have not left yet.
    unsent: usize,
    /// The transactions that wait for an answer over this connection.
    users: BTreeSet<Owner>,
    idle_at: Instant,
    half_at: Option<Instant>,
    /// What is known of the peer beyond its address, if anything.
    peer: Option<Arc<PeerInfo>>,
    /// The wake that is queued; one that comes up at another time is stale.
    wake: Instant,
}

#[derive(Clone)]
enum State {
    Opening(Vec<Bytes>),
    Open {
        local: SocketAddr,
    },
    /// Closed from this side: its bytes leave, and the peer's end is awaited.
    Closing,
}

impl Conn {
    pub(super) fn opening(now: Instant, limits: &Limits, proto: Proto, remote: SocketAddr) -> Self {
        let deadline = now + limits.connect;
        Self::new(proto, remote, State::Opening(Vec::new()), deadline)
    }

    fn open(now: Instant, limits: &Limits, proto: Proto, (local, remote): (SocketAddr, SocketAddr)) -> Self {
        Self::new(proto, remote, State::Open { local }, now + limits.idle)
    }

    fn new(proto: Proto, remote: SocketAddr, state: State, deadline: Instant) -> Self {
        let users = BTreeSet::new();
        Self {
            proto,
            remote,
            state,
            framer: Framer::new(),
            leniency: None,
            unsent: 0,
            users,
            idle_at: deadline,
            half_at: None,
            peer: None,
            wake: deadline,
        }
    }

    pub(super) const fn leniency(&self) -> Option<Leniency> {
        self.leniency
    }

    pub(super) const fn unsent(&self) -> usize {
        self.unsent
    }

    pub(super) const fn wake(&self) -> Instant {
        self.wake
    }

    /// Tells whether nothing is on its way through it.
    pub(super) fn is_quiet(&self) -> bool {
        !matches!(self.state, State::Opening(_)) && self.unsent == 0 && self.users.is_empty()
    }

    /// Tells whether messages may be sent over it, at once or when it is open.
    pub(super) const fn takes_messages(&self) -> bool {
        !matches!(self.state, State::Closing)
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
            State::Closing => {}
        }
    }

    fn deadline(&self) -> Instant {
        self.half_at.map_or(self.idle_at, |half| half.min(self.idle_at))
    }
}

impl Transport {
    /// Takes a connection in, unless there are too many, or its socket was given up meanwhile.
    pub(crate) fn accepted(
        &mut self,
        now: Instant,
        limits: &Limits,
        (socket, conn): (SocketId, ConnId),
        (local, remote): (SocketAddr, SocketAddr),
        out: &mut VecDeque<Output>,
    ) -> bool {
        let listener = self.sockets.get(&socket).filter(|_| !self.conns.contains_key(&conn));
        let Some((proto, leniency)) = listener
            .map(|listener| (listener.proto, listener.leniency))
            .filter(|_| self.conns.len() < limits.connections)
        else {
            out.push_back(Output::Close { conn, how: CloseHow::Reset });
            return false;
        };
        let opened = Conn { leniency, ..Conn::open(now, limits, proto, (local, remote)) };
        self.timers.schedule(opened.wake, Timeout::Conn(conn));
        self.conns.insert(conn, opened);
        // The newest connection from a peer is the one most likely alive.
        self.by_peer.insert((proto, remote), conn);
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
        let State::Opening(queue) = &mut entry.state else { return };
        let queue = std::mem::take(queue);
        entry.state = State::Open { local };
        entry.idle_at = now + limits.idle;
        out.extend(queue.into_iter().map(|data| Output::Send { conn, data }));
    }

    /// Notes what is known of the peer of an open connection.
    pub(crate) fn note_peer(&mut self, conn: ConnId, peer: PeerInfo) {
        if let Some(entry) = self.conns.get_mut(&conn).filter(|_| peer != PeerInfo::default()) {
            entry.peer = Some(Arc::new(peer));
        }
    }

    /// Returns what is known of the peer at the other end of a way, if anything.
    pub(crate) fn peer(&self, flow: &Flow) -> Option<Arc<PeerInfo>> {
        match flow {
            Flow::Datagram { .. } => None,
            Flow::Stream { conn, .. } => self.conns.get(conn)?.peer.clone(),
        }
    }

    /// Lends the framer of a connection while its bytes are read, and tells the way that its messages take.
    pub(crate) fn lend_framer(&mut self, conn: ConnId) -> Option<(Framer, Flow)> {
        let entry = self.conns.get_mut(&conn)?;
        let State::Open { local } = entry.state else { return None };
        let flow = Flow::Stream { conn, proto: entry.proto, local, remote: entry.remote };
        Some((std::mem::take(&mut entry.framer), flow))
    }

    /// Takes the framer back. A message that stays unfinished starts its deadline.
    pub(crate) fn return_framer(&mut self, now: Instant, limits: &Limits, conn: ConnId, framer: Framer) {
        let Some(entry) = self.conns.get_mut(&conn).filter(|entry| entry.takes_messages()) else { return };
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

    /// Notes that a transaction waits for no more answers.
    pub(crate) fn release(&mut self, owner: Owner) {
        if let Some(entry) = self.waiting.remove(&owner).and_then(|conn| self.conns.get_mut(&conn)) {
            entry.users.remove(&owner);
        }
    }

    /// Forgets a connection that has ended; those who wait for answers over it are told.
    pub(crate) fn closed(&mut self, conn: ConnId, error: IoKind) {
        self.retire(conn, error);
        self.conns.remove(&conn);
    }

    /// Closes a connection from this side: in order, which may take [`Limits::linger`], as long as bytes may flow.
    pub(crate) fn hang_up(
        &mut self,
        now: Instant,
        limits: &Limits,
        conn: ConnId,
        error: IoKind,
        out: &mut VecDeque<Output>,
    ) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        let State::Open { .. } = entry.state else { return self.reset(conn, error, out) };
        entry.state = State::Closing;
        entry.half_at = None;
        entry.idle_at = now + limits.linger;
        // The wake that is queued comes too late, or is the one that has just come up.
        if entry.idle_at < entry.wake || entry.wake <= now {
            entry.wake = entry.idle_at;
            self.timers.schedule(entry.wake, Timeout::Conn(conn));
        }
        out.push_back(Output::Close { conn, how: CloseHow::Flush });
        self.retire(conn, error);
    }

    /// Breaks a connection off.
    pub(super) fn reset(&mut self, conn: ConnId, error: IoKind, out: &mut VecDeque<Output>) {
        out.push_back(Output::Close { conn, how: CloseHow::Reset });
        self.closed(conn, error);
    }

    /// Takes a connection out of use, and tells those who wait for answers over it.
    fn retire(&mut self, conn: ConnId, error: IoKind) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        let peer = (entry.proto, entry.remote);
        if self.by_peer.get(&peer) == Some(&conn) {
            self.by_peer.remove(&peer);
        }
        let users = std::mem::take(&mut entry.users);
        for owner in &users {
            self.waiting.remove(owner);
        }
        self.news.extend(users.into_iter().map(|owner| News::Broken { owner, error }));
    }

    pub(super) fn expire_conn(
        &mut self,
        now: Instant,
        limits: &Limits,
        conn: ConnId,
        out: &mut VecDeque<Output>,
    ) {
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
        if entry.half_at.is_some() {
            self.reset(conn, IoKind::TimedOut, out);
        } else {
            self.hang_up(now, limits, conn, IoKind::TimedOut, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{Outbound, Target};

    const CONN: ConnId = ConnId(1);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    /// Returns a transport with one connection, accepted at the beginning.
    fn accepted(limits: &Limits, out: &mut VecDeque<Output>) -> Transport {
        let mut transport = Transport::new(&crate::base::Seed::from_u64(1));
        let addr = SocketAddr::from(([192, 0, 2, 1], 5060));
        let socket = transport.listen(Proto::Tcp, addr, false, out);
        assert!(transport.accepted(at(0), limits, (socket, CONN), (addr, addr), out));
        out.clear();
        transport
    }

    #[test]
    fn a_connection_lingers_for_its_limit_and_no_longer() {
        let limits = Limits { linger: std::time::Duration::from_millis(700), ..Limits::default() };
        let mut out = VecDeque::new();
        let mut transport = accepted(&limits, &mut out);
        transport.hang_up(at(100), &limits, CONN, IoKind::Reset, &mut out);
        assert_eq!(out.pop_front(), Some(Output::Close { conn: CONN, how: CloseHow::Flush }));
        assert!(transport.lend_framer(CONN).is_none(), "what still comes is dropped");
        while transport.expire(at(799), &limits, &mut out) {}
        assert_eq!((out.pop_front(), transport.is_disconnected()), (None, false));
        assert_eq!(transport.next_timeout(), Some(at(800)));
        while transport.expire(at(800), &limits, &mut out) {}
        let reset = Output::Close { conn: CONN, how: CloseHow::Reset };
        assert_eq!((out.pop_front(), transport.is_disconnected()), (Some(reset), true));
    }

    /// Who waits for an answer is let go where it waits, though the peer has opened a newer connection meanwhile.
    #[test]
    fn a_newer_connection_from_a_peer_keeps_nobody_waiting_on_the_old_one() {
        let (limits, mut out) = (Limits::default(), VecDeque::new());
        let mut transport = accepted(&limits, &mut out);
        let addr = SocketAddr::from(([192, 0, 2, 1], 5060));
        let owner = |serial| Owner { call: 1, serial };
        let target = Target::Peer { proto: Proto::Tcp, socket: SocketId(0), local: addr, remote: addr };
        for serial in [1, 2] {
            let bytes = Bytes::from_static(b"request");
            let message = Outbound { target, bytes, owner: owner(serial), awaits: true };
            assert_eq!(transport.send(at(0), &limits, message, &mut out), Ok(()));
        }
        transport.drained(CONN, 14);
        let newer = (SocketId(0), ConnId(3));
        assert!(transport.accepted(at(10), &limits, newer, (addr, addr), &mut out));
        transport.release(owner(1));
        assert!(!transport.is_idle(), "one still waits");
        transport.release(owner(2));
        assert!(transport.is_idle());
        transport.closed(CONN, IoKind::Reset);
        assert!(transport.poll_news().is_none(), "nobody has to be told");
    }

    #[test]
    fn a_peer_that_ends_in_time_is_not_reset() {
        let (limits, mut out) = (Limits::default(), VecDeque::new());
        let mut transport = accepted(&limits, &mut out);
        transport.close(at(100), &limits, &mut out);
        transport.close(at(200), &limits, &mut out);
        let ends =
            [Output::Unbind { socket: SocketId(0) }, Output::Close { conn: CONN, how: CloseHow::Flush }];
        assert_eq!(out.drain(..).collect::<Vec<_>>(), ends, "once");
        assert!(!transport.is_disconnected());
        transport.closed(CONN, IoKind::Reset);
        assert!(transport.is_disconnected());
        while transport.expire(at(1_000_000), &limits, &mut out) {}
        assert!(out.is_empty());
        let addr = SocketAddr::from(([192, 0, 2, 1], 5060));
        let late = (SocketId(0), ConnId(3));
        assert!(!transport.accepted(at(300), &limits, late, (addr, addr), &mut out), "its socket is gone");
        assert_eq!(out, [Output::Close { conn: ConnId(3), how: CloseHow::Reset }]);
    }
}
