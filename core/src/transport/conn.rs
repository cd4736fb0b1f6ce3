use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use crate::{
    base::{Instant, Limits},
    syntax::Leniency,
    transport::{
        CloseHow, ConnId, DnsName, Flow, FlowChange, FlowId, Framer, IoKind, News, Output, Owner, PeerInfo,
        Proto, SocketId, Timeout, Transport, backup::Queued,
    },
};

/// One stream connection.
#[derive(Clone)]
pub(super) struct Conn {
    proto: Proto,
    remote: SocketAddr,
    origin: Origin,
    state: State,
    framer: Framer,
    /// What its listener forgives; `None` for a connection from this side.
    leniency: Option<Leniency>,
    /// Bytes handed to the driver or queued that have not left yet.
    unsent: usize,
    /// The transactions that wait for an answer over this connection, and whether it was open when they came.
    users: BTreeSet<(Owner, bool)>,
    idle_at: Instant,
    half_at: Option<Instant>,
    ping: Option<Ping>,
    /// What is known of the peer beyond its address, if anything.
    peer: Option<Arc<PeerInfo>>,
    /// The address of the peer's that it asked to be reached at over this connection (RFC 5923).
    alias: Option<SocketAddr>,
    /// The wake that is queued; one that comes up at another time is stale.
    wake: Instant,
}

/// Who opened a connection.
#[derive(Clone)]
enum Origin {
    /// This side, for this name unless it was for an address.
    Own(Option<DnsName>),
    /// The peer, to this listener.
    Listener(SocketId),
}

#[derive(Clone)]
enum State {
    Opening(Vec<Queued>),
    Open {
        local: SocketAddr,
    },
    /// Closed from this side: its bytes leave, and the peer's end is awaited.
    Closing,
}

/// The keep-alive of a connection (RFC 5626 §4.4.1).
#[derive(Clone, Copy)]
struct Ping {
    every: Duration,
    next: Instant,
    /// When the answer to the last one has to be there.
    pong_by: Option<Instant>,
}

/// How long the answer to a ping may take (RFC 5626 §4.4.1).
const PONG: Duration = Duration::from_secs(10);

impl Conn {
    pub(super) fn opening(
        now: Instant,
        limits: &Limits,
        proto: Proto,
        remote: SocketAddr,
        name: Option<DnsName>,
    ) -> Self {
        let deadline = now + limits.connect;
        Self::new(proto, remote, Origin::Own(name), State::Opening(Vec::new()), deadline)
    }

    fn new(proto: Proto, remote: SocketAddr, origin: Origin, state: State, deadline: Instant) -> Self {
        Self {
            proto,
            remote,
            origin,
            state,
            framer: Framer::new(),
            leniency: None,
            unsent: 0,
            users: BTreeSet::new(),
            idle_at: deadline,
            half_at: None,
            ping: None,
            peer: None,
            alias: None,
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

    /// Returns the listener that accepted it.
    pub(super) const fn listener(&self) -> Option<SocketId> {
        match &self.origin {
            Origin::Own(_) => None,
            Origin::Listener(socket) => Some(*socket),
        }
    }

    /// Tells whether nothing is on its way through it.
    pub(super) fn is_quiet(&self) -> bool {
        !matches!(self.state, State::Opening(_)) && self.unsent == 0 && self.users.is_empty()
    }

    /// Tells whether messages may be sent over it, at once or when it is open.
    pub(super) const fn takes_messages(&self) -> bool {
        !matches!(self.state, State::Closing)
    }

    /// Returns the way that its messages take, if it is open.
    pub(super) const fn flow(&self, conn: ConnId) -> Option<Flow> {
        match self.state {
            State::Open { local } => {
                Some(Flow::Stream { conn, proto: self.proto, local, remote: self.remote })
            }
            State::Opening(_) | State::Closing => None,
        }
    }

    /// Tells whether a request for this name may take it (RFC 5922 §7.3, RFC 5923 §8): under TLS only if it was opened
    /// for that name, or the peer's certificate proves it. A certificate proves no address.
    pub(super) fn serves(&self, name: Option<&DnsName>) -> bool {
        if !self.proto.is_secure() {
            return true;
        }
        if let Origin::Own(own) = &self.origin
            && own.as_ref() == name
        {
            return true;
        }
        let proved = |name| self.peer.as_ref().is_some_and(|peer| peer.identities.contains(name));
        name.is_some_and(proved)
    }

    pub(super) fn write(
        &mut self,
        now: Instant,
        limits: &Limits,
        conn: ConnId,
        message: Queued,
        awaits: bool,
        out: &mut VecDeque<Output>,
    ) {
        self.unsent += message.bytes.len();
        if awaits {
            self.users.insert((message.owner, matches!(self.state, State::Open { .. })));
        }
        match &mut self.state {
            State::Opening(queue) => queue.push(message),
            State::Open { .. } => {
                self.idle_at = now + limits.idle_over(self.proto);
                out.push_back(Output::Send { conn, data: message.bytes });
            }
            State::Closing => {}
        }
    }

    pub(super) fn forget_user(&mut self, owner: Owner) {
        self.users.remove(&(owner, true));
        self.users.remove(&(owner, false));
    }

    /// Tells whether an answer over it is waited for.
    fn is_awaited(&self) -> bool {
        matches!(self.state, State::Open { .. }) && !self.users.is_empty()
    }

    /// Returns when something has to be done about it next.
    fn deadline(&self) -> Instant {
        let ping = self.ping.map(|ping| ping.pong_by.unwrap_or(ping.next));
        [self.half_at, ping].into_iter().flatten().fold(self.idle_at, Instant::min)
    }
}

impl Limits {
    /// Returns how long a connection may lie idle.
    const fn idle_over(&self, proto: Proto) -> Duration {
        match proto {
            Proto::Udp | Proto::Tcp => self.idle,
            Proto::Tls => self.idle_tls,
            Proto::Ws | Proto::Wss => self.idle_ws,
            Proto::Sctp => self.idle_sctp,
        }
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
        peer: PeerInfo,
        out: &mut VecDeque<Output>,
    ) -> bool {
        let listener = self.sockets.get(&socket).filter(|_| !self.conns.contains_key(&conn));
        let of_listener = self.of_listener.get(&socket).copied().unwrap_or_default();
        let of_peer = self.of_peer.get(&remote.ip()).copied().unwrap_or_default();
        let room = self.conns.len() < limits.connections
            && of_listener < limits.connections_per_listener
            && of_peer < limits.connections_per_peer;
        let listener = listener.map(|listener| (listener.proto, listener.leniency));
        let Some((proto, leniency)) = listener.filter(|_| room) else {
            out.push_back(Output::Close { conn, how: CloseHow::Reset });
            return false;
        };
        self.of_listener.insert(socket, of_listener + 1);
        self.of_peer.insert(remote.ip(), of_peer + 1);
        let origin = Origin::Listener(socket);
        let opened = Conn::new(proto, remote, origin, State::Open { local }, now + limits.idle_over(proto));
        let opened = Conn { leniency, ..opened };
        self.timers.schedule(opened.wake, Timeout::Conn(conn));
        self.conns.insert(conn, opened);
        // The newest connection from a peer is the one most likely alive.
        self.by_peer.entry((proto, remote)).or_default().push(conn);
        self.note_open(conn, local, peer);
        true
    }

    /// Notes that a connection is open, and sends what has waited for it.
    pub(crate) fn connected(
        &mut self,
        now: Instant,
        limits: &Limits,
        (conn, local): (ConnId, SocketAddr),
        (peer, keep_alive): (PeerInfo, Option<Duration>),
        out: &mut VecDeque<Output>,
    ) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        let State::Opening(queue) = &mut entry.state else { return };
        let queue = std::mem::take(queue);
        entry.state = State::Open { local };
        entry.idle_at = now + limits.idle_over(entry.proto);
        for Queued { bytes: data, stranded, .. } in queue {
            stranded.into_iter().for_each(|serial| self.stranded.forget(serial));
            out.push_back(Output::Send { conn, data });
        }
        self.note_open(conn, local, peer);
        // RFC 5626 §4.4.1: pinging is for the side that opened it.
        self.ping_every(now, conn, keep_alive);
    }

    fn note_open(&mut self, conn: ConnId, local: SocketAddr, peer: PeerInfo) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        if peer != PeerInfo::default() {
            entry.peer = Some(Arc::new(peer.clone()));
        }
        let (proto, remote) = (entry.proto, entry.remote);
        let change = FlowChange::Opened { proto, local, remote, peer };
        self.news.push_back(News::Flow { flow: FlowId::Connection(conn), change });
    }

    /// Notes that a peer asks to be reached over its own connection under the port of its sent-by (RFC 5923 §8.2).
    ///
    /// Only one that its certificate has authenticated may, and then for the names alone that the certificate proves
    /// (RFC 5923 §9.2). Anybody else's wish counts as not spoken.
    pub(crate) fn alias(&mut self, conn: ConnId, port: u16) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        let proved = entry.peer.as_ref().is_some_and(|peer| !peer.identities.is_empty());
        let addr = SocketAddr::new(entry.remote.ip(), port);
        if !entry.proto.is_secure() || !proved || !entry.takes_messages() || entry.alias == Some(addr) {
            return;
        }
        let proto = entry.proto;
        let before = entry.alias.replace(addr);
        let own = entry.remote;
        before.filter(|before| *before != own).into_iter().for_each(|before| self.leave(proto, before, conn));
        if addr != own {
            self.by_peer.entry((proto, addr)).or_default().push(conn);
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
        let flow = entry.flow(conn)?;
        Some((std::mem::take(&mut entry.framer), flow))
    }

    /// Takes the framer back. A message that stays unfinished starts its deadline.
    pub(crate) fn return_framer(&mut self, now: Instant, limits: &Limits, conn: ConnId, mut framer: Framer) {
        let Some(entry) = self.conns.get_mut(&conn).filter(|entry| entry.takes_messages()) else { return };
        entry.idle_at = now + limits.idle_over(entry.proto);
        entry.half_at = match (framer.unfinished() == 0, entry.half_at) {
            (true, _) => None,
            (false, None) => Some(now + limits.half_message),
            (false, begun) => begun,
        };
        if framer.take_pong() {
            entry.ping.iter_mut().for_each(|ping| ping.pong_by = None);
        }
        entry.framer = framer;
        self.rearm(conn);
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
        let _closed = self.write_keep_alive(now, limits, conn, b"\r\n", out);
    }

    /// Pings from now on, or no more. Tells whether the connection is open.
    pub(crate) fn ping_every(&mut self, now: Instant, conn: ConnId, every: Option<Duration>) -> bool {
        let jitter = self.jitter(every.unwrap_or_default());
        let Some(entry) = self.conns.get_mut(&conn).filter(|entry| entry.flow(conn).is_some()) else {
            return false;
        };
        entry.ping = every.map(|every| Ping { every, next: now + jitter, pong_by: None });
        self.rearm(conn);
        true
    }

    pub(crate) fn drained(&mut self, conn: ConnId, bytes: usize) {
        if let Some(entry) = self.conns.get_mut(&conn) {
            entry.unsent = entry.unsent.saturating_sub(bytes);
        }
    }

    /// Forgets a connection that has ended; those who wait for answers over it are told.
    pub(crate) fn closed(&mut self, limits: &Limits, conn: ConnId, error: IoKind) {
        self.retire(limits, conn, error);
        let Some(entry) = self.conns.remove(&conn) else { return };
        let Some(socket) = entry.listener() else { return };
        count_down(&mut self.of_listener, socket);
        count_down(&mut self.of_peer, entry.remote.ip());
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
        let State::Open { .. } = entry.state else { return self.reset(limits, conn, error, out) };
        self.retire(limits, conn, error);
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        entry.state = State::Closing;
        (entry.half_at, entry.ping) = (None, None);
        entry.idle_at = now + limits.linger;
        // The wake that is queued comes too late, or is the one that has just come up.
        if entry.idle_at < entry.wake || entry.wake <= now {
            entry.wake = entry.idle_at;
            self.timers.schedule(entry.wake, Timeout::Conn(conn));
        }
        out.push_back(Output::Close { conn, how: CloseHow::Flush });
    }

    /// Breaks a connection off.
    pub(super) fn reset(&mut self, limits: &Limits, conn: ConnId, error: IoKind, out: &mut VecDeque<Output>) {
        out.push_back(Output::Close { conn, how: CloseHow::Reset });
        self.closed(limits, conn, error);
    }

    /// Takes a connection out of use, and tells those who wait for answers over it.
    fn retire(&mut self, limits: &Limits, conn: ConnId, error: IoKind) {
        let Some(entry) = self.conns.get_mut(&conn).filter(|entry| entry.takes_messages()) else { return };
        let (proto, remote, alias, was_open) =
            (entry.proto, entry.remote, entry.alias.take(), entry.flow(conn).is_some());
        let users = std::mem::take(&mut entry.users);
        let queue = match &mut entry.state {
            State::Opening(queue) => std::mem::take(queue),
            State::Open { .. } | State::Closing => Vec::new(),
        };
        self.stranded.take(limits.resolutions, (proto, remote), queue, error);
        self.leave(proto, remote, conn);
        alias.into_iter().for_each(|alias| self.leave(proto, alias, conn));
        for (owner, stale) in users {
            self.waiting.remove(&owner);
            self.news.push_back(News::Broken { owner, error, stale });
        }
        if was_open {
            let change = FlowChange::Ended(error);
            self.news.push_back(News::Flow { flow: FlowId::Connection(conn), change });
        }
    }

    /// Takes a connection off those that lead to an address.
    fn leave(&mut self, proto: Proto, addr: SocketAddr, conn: ConnId) {
        let Some(conns) = self.by_peer.get_mut(&(proto, addr)) else { return };
        conns.retain(|other| *other != conn);
        if conns.is_empty() {
            self.by_peer.remove(&(proto, addr));
        }
    }

    /// Queues a wake for a connection whose deadline comes before the one that is queued.
    fn rearm(&mut self, conn: ConnId) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        let deadline = entry.deadline();
        if deadline < entry.wake {
            entry.wake = deadline;
            self.timers.schedule(deadline, Timeout::Conn(conn));
        }
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
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if passed(entry.half_at) || passed(entry.ping.and_then(|ping| ping.pong_by)) {
            // RFC 5626 §4.4.1: without its pong the flow has failed.
            self.reset(limits, conn, IoKind::TimedOut, out);
        } else if entry.idle_at <= now && entry.is_awaited() {
            // RFC 5923 §8.3: open transactions are waited for. Their own timers end them.
            entry.idle_at = now + limits.idle_over(entry.proto);
            entry.wake = entry.deadline();
            self.timers.schedule(entry.wake, Timeout::Conn(conn));
        } else if entry.idle_at <= now {
            self.hang_up(now, limits, conn, IoKind::TimedOut, out);
        } else {
            self.ping(now, limits, conn, out);
        }
    }

    /// Sends a ping that is due (RFC 5626 §4.4.1).
    fn ping(&mut self, now: Instant, limits: &Limits, conn: ConnId, out: &mut VecDeque<Output>) {
        let Some(every) = self.conns.get(&conn).and_then(|entry| entry.ping).map(|ping| ping.every) else {
            return;
        };
        let next = now + self.jitter(every).max(PONG);
        if self.write_keep_alive(now, limits, conn, b"\r\n\r\n", out).is_err() {
            return;
        }
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        entry.framer.await_pong();
        entry.ping = Some(Ping { every, next, pong_by: Some(now + PONG) });
        entry.wake = entry.deadline();
        self.timers.schedule(entry.wake, Timeout::Conn(conn));
    }

    fn write_keep_alive(
        &mut self,
        now: Instant,
        limits: &Limits,
        conn: ConnId,
        bytes: &'static [u8],
        out: &mut VecDeque<Output>,
    ) -> Result<(), IoKind> {
        let message = Queued { bytes: Bytes::from_static(bytes), owner: Owner::NOBODY, stranded: None };
        self.write(now, limits, conn, message, false, out)
    }

    /// Draws a time between 80 and 100 percent of the longest, lest many clients ping at once (RFC 5626 §4.4).
    pub(super) fn jitter(&mut self, longest: Duration) -> Duration {
        longest.saturating_mul(80 + u32::try_from(self.rng.below(21)).unwrap_or_default()) / 100
    }
}

/// Takes one off a count, and forgets one that is nothing.
pub(crate) fn count_down<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    match counts.get_mut(&key) {
        Some(count) if *count > 1 => *count -= 1,
        Some(_) => drop(counts.remove(&key)),
        None => {}
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
        assert!(transport.accepted(at(0), limits, (socket, CONN), (addr, addr), PeerInfo::default(), out));
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
        let target = Target::Stream { proto: Proto::Tcp, remote: addr, name: None };
        for serial in [1, 2] {
            let bytes = Bytes::from_static(b"request");
            let message = Outbound { target: &target, bytes, owner: owner(serial), awaits: true };
            assert_eq!(transport.send(at(0), &limits, message, &mut out), Ok(()));
        }
        transport.drained(CONN, 14);
        let newer = (SocketId(0), ConnId(3));
        assert!(transport.accepted(at(10), &limits, newer, (addr, addr), PeerInfo::default(), &mut out));
        transport.release(owner(1));
        assert!(!transport.is_idle(), "one still waits");
        transport.release(owner(2));
        let owners_told = |transport: &mut Transport| {
            let news = std::iter::from_fn(|| transport.poll_news());
            news.filter(|news| !matches!(news, News::Flow { .. })).count()
        };
        assert_eq!((owners_told(&mut transport), transport.is_idle()), (0, true));
        transport.closed(&limits, CONN, IoKind::Reset);
        assert_eq!(owners_told(&mut transport), 0);
    }

    #[test]
    fn a_socket_that_cannot_be_bound_leaves_nothing() {
        let (addr, mut out) = (SocketAddr::from(([192, 0, 2, 1], 5060)), VecDeque::new());
        let mut transport = Transport::new(&crate::base::Seed::from_u64(1));
        let socket = transport.listen(Proto::Udp, addr, true, &mut out);
        let host = Some(crate::syntax::HeaderValue::from_static("pc.example.com"));
        transport.set_custom(socket, crate::transport::Custom { host, udp_size: None });
        transport.bound(socket, Err(IoKind::AddressInUse), &mut out);
        assert!(transport.sockets.is_empty() && transport.custom(socket).is_none());
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
        transport.closed(&limits, CONN, IoKind::Reset);
        assert!(transport.is_disconnected());
        while transport.expire(at(1_000_000), &limits, &mut out) {}
        assert!(out.is_empty());
        let addr = SocketAddr::from(([192, 0, 2, 1], 5060));
        let late = (SocketId(0), ConnId(3));
        assert!(
            !transport.accepted(at(300), &limits, late, (addr, addr), PeerInfo::default(), &mut out),
            "its socket is gone"
        );
        assert_eq!(out, [Output::Close { conn: ConnId(3), how: CloseHow::Reset }]);
    }
}
