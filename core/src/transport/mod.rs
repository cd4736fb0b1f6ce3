//! Datagrams and streams to messages, targets to outputs (RFC 3261 §18).

mod backup;
mod conn;
mod flow;
mod frame;
mod io;
mod resolve;
mod source;
mod stun;
mod via;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::{
    base::{Instant, Limits, Rng, Seed, TimerQueue},
    syntax::{HeaderValue, Leniency},
};

#[cfg(any(feature = "tls", feature = "ws"))]
pub(crate) use self::conn::count_down;
use self::{
    backup::{Queued, Stranded},
    conn::Conn,
    resolve::Seeker,
    stun::Probe,
};
pub(crate) use self::{
    flow::{Flow, Outbound, Owner, Target, is_wildcard},
    resolve::NotBegun,
    stun::{Class, StunMessage, is_stun},
    via::{ResponseTarget, WayBack},
};
pub use flow::{FlowChange, FlowId};
pub use frame::{Frame, FrameError, Framer};
pub use io::{
    BadDnsName, CloseHow, ConnId, DnsError, DnsName, Input, IoKind, Naptr, Output, PeerInfo, Proto, QueryId,
    RecordData, RecordKind, Records, SocketId, Srv, UnknownProto, Unreachable,
};
pub use resolve::{BadDestination, Destination, Place, Preference, Reach, Resolver};
pub use source::{Interface, UdpSize};

/// Sockets, connections and look-ups: everything between a driver and whole messages.
#[derive(Clone)]
pub(crate) struct Transport {
    sockets: BTreeMap<SocketId, Socket>,
    next_socket: u32,
    customs: BTreeMap<SocketId, Custom>,
    /// The addresses of this machine, as far as the driver has told them.
    interfaces: Vec<Interface>,
    /// The addresses that sockets are bound to and that this machine has no more.
    lost: BTreeSet<IpAddr>,
    conns: BTreeMap<ConnId, Conn>,
    /// The connections to use towards a peer, the newest last.
    by_peer: BTreeMap<(Proto, SocketAddr), SmallVec<[ConnId; 1]>>,
    /// How many connections each listener has accepted, closing ones included.
    of_listener: BTreeMap<SocketId, usize>,
    /// How many accepted connections each peer has.
    of_peer: BTreeMap<IpAddr, usize>,
    next_conn: u64,
    /// Where each transaction waits for its answer.
    waiting: BTreeMap<Owner, Waits>,
    /// The transactions that wait for datagrams of a peer.
    unanswered: BTreeSet<(SocketAddr, Owner)>,
    probes: BTreeMap<u64, Probe>,
    next_probe: u64,
    resolver: Resolver<Seeker>,
    stranded: Stranded,
    timers: TimerQueue<Timeout>,
    rng: Rng,
    news: VecDeque<News>,
}

/// A socket asked for, or bound.
#[derive(Clone, Debug)]
struct Socket {
    proto: Proto,
    bound: Option<SocketAddr>,
    /// Whether a TCP listener on the same port is wanted once this UDP socket has one.
    tcp_beside: bool,
    /// What is forgiven in messages that come in here, if it is not what the endpoint forgives.
    leniency: Option<Leniency>,
}

/// What is said of a socket alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Custom {
    /// What Via and Contact show.
    pub(crate) host: Option<HeaderValue>,
    pub(crate) udp_size: Option<UdpSize>,
}

#[derive(Clone, Copy, Debug)]
enum Timeout {
    Conn(ConnId),
    Probe(u64),
}

/// Where a transaction waits for its answer.
#[derive(Clone, Copy, Debug)]
enum Waits {
    Connection(ConnId),
    Datagrams(SocketAddr),
}

/// What a transaction, or the application, has to be told.
#[derive(Clone)]
pub(crate) enum News {
    /// The connection broke over which it waits for an answer, or the network says that its peer cannot be reached.
    /// If `stale`, the connection was an old one, and may have been dead for long.
    Broken { owner: Owner, error: IoKind, stale: bool },
    /// A response could be sent nowhere (RFC 3261 §17.2.4).
    Undelivered { owner: Owner, error: IoKind },
    /// Its datagram is too large for the path.
    TooBig { owner: Owner },
    /// The search for its servers has ended.
    Found { owner: Owner, places: Result<Vec<Place>, DnsError> },
    /// A flow has changed. This is for the application.
    Flow { flow: FlowId, change: FlowChange },
}

impl Transport {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self {
            sockets: BTreeMap::new(),
            next_socket: 0,
            customs: BTreeMap::new(),
            interfaces: Vec::new(),
            lost: BTreeSet::new(),
            conns: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            of_listener: BTreeMap::new(),
            of_peer: BTreeMap::new(),
            waiting: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            probes: BTreeMap::new(),
            next_probe: 1,
            // Even numbers are ours, odd ones the driver's.
            next_conn: 2,
            resolver: Resolver::new(seed),
            stranded: Stranded::default(),
            timers: TimerQueue::new(),
            rng: seed.stream("transport"),
            news: VecDeque::new(),
        }
    }

    /// Asks for a socket.
    pub(crate) fn listen(
        &mut self,
        proto: Proto,
        addr: SocketAddr,
        tcp_beside: bool,
        out: &mut VecDeque<Output>,
    ) -> SocketId {
        let socket = SocketId(self.next_socket);
        self.next_socket += 1;
        self.sockets.insert(socket, Socket { proto, bound: None, tcp_beside, leniency: None });
        out.push_back(Output::Bind { socket, proto, addr });
        socket
    }

    /// Sets what is forgiven in messages that come in at a socket, over its connections, and at the TCP listener beside
    /// it; `None` is what the endpoint forgives.
    pub(crate) fn forgive(&mut self, socket: SocketId, leniency: Option<Leniency>) {
        if let Some(entry) = self.sockets.get_mut(&socket) {
            entry.leniency = leniency;
        }
    }

    /// Returns what the listener forgives that a message came in at, if it has a rule of its own.
    pub(crate) fn leniency(&self, flow: &Flow) -> Option<Leniency> {
        match flow {
            Flow::Datagram { socket, .. } => self.sockets.get(socket)?.leniency,
            Flow::Stream { conn, .. } => self.conns.get(conn)?.leniency(),
        }
    }

    /// Sets what is said of a socket alone.
    pub(crate) fn set_custom(&mut self, socket: SocketId, custom: Custom) {
        if custom.host.is_some() || custom.udp_size.is_some() {
            self.customs.insert(socket, custom);
        }
    }

    /// Returns what is said of a socket alone.
    pub(crate) fn custom(&self, socket: SocketId) -> Option<&Custom> {
        // Few have anything said of them, and each response asks.
        if self.customs.is_empty() { None } else { self.customs.get(&socket) }
    }

    /// Returns the socket that a flow came in by.
    pub(crate) fn socket_of(&self, flow: &Flow) -> Option<SocketId> {
        match flow {
            Flow::Datagram { socket, .. } => Some(*socket),
            Flow::Stream { conn, .. } => self.conns.get(conn)?.listener(),
        }
    }

    /// Gives a socket up.
    pub(crate) fn unlisten(&mut self, socket: SocketId, out: &mut VecDeque<Output>) {
        if self.sockets.remove(&socket).is_some() {
            self.customs.remove(&socket);
            self.probes.retain(|_, probe| !probe.is_from(socket));
            out.push_back(Output::Unbind { socket });
        }
    }

    /// Gives all sockets and connections up; the latter may linger.
    pub(crate) fn close(&mut self, now: Instant, limits: &Limits, out: &mut VecDeque<Output>) {
        self.probes.clear();
        let sockets = std::mem::take(&mut self.sockets);
        out.extend(sockets.into_keys().map(|socket| Output::Unbind { socket }));
        let in_use = self.conns.iter().filter(|(_, entry)| entry.takes_messages());
        for conn in in_use.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            self.hang_up(now, limits, conn, IoKind::Reset, out);
        }
    }

    /// Notes the outcome of a bind; returns what the socket is, unless it was given up meanwhile.
    pub(crate) fn bound(
        &mut self,
        socket: SocketId,
        result: Result<SocketAddr, IoKind>,
        out: &mut VecDeque<Output>,
    ) -> Option<Proto> {
        let entry = self.sockets.get_mut(&socket)?;
        let proto = entry.proto;
        match result {
            Ok(addr) => {
                entry.bound = Some(addr);
                if std::mem::take(&mut entry.tcp_beside) {
                    let leniency = entry.leniency;
                    let beside = self.listen(Proto::Tcp, addr, false, out);
                    self.forgive(beside, leniency);
                    if let Some(custom) = self.customs.get(&socket).cloned() {
                        self.customs.insert(beside, custom);
                    }
                }
            }
            Err(_) => {
                self.sockets.remove(&socket);
                self.customs.remove(&socket);
            }
        }
        Some(proto)
    }

    /// Sends a message, opening a connection if there is none.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        limits: &Limits,
        message: Outbound<'_>,
        out: &mut VecDeque<Output>,
    ) -> Result<(), IoKind> {
        let Outbound { target, bytes, owner, awaits } = message;
        match *target {
            Target::Back { flow: Flow::Datagram { socket, local, remote }, fallback, .. } => {
                let way = (socket, local, fallback.unwrap_or(remote));
                self.transmit(way, bytes, awaits.then_some(owner), out);
                Ok(())
            }
            Target::Datagram { socket, local, remote } => {
                self.transmit((socket, local, remote), bytes, awaits.then_some(owner), out);
                Ok(())
            }
            Target::Back { flow: Flow::Stream { conn, proto, .. }, fallback, ref name } => {
                let conn = if self.takes_messages(conn) {
                    conn
                } else {
                    let remote = fallback.ok_or(IoKind::Reset)?;
                    self.conn_to(now, limits, proto, remote, name.as_ref(), out)?
                };
                self.write(now, limits, conn, Queued { bytes, owner, stranded: None }, awaits, out)
            }
            Target::Stream { proto, remote, ref name } => {
                let conn = self.conn_to(now, limits, proto, remote, name.as_ref(), out)?;
                self.write(now, limits, conn, Queued { bytes, owner, stranded: None }, awaits, out)
            }
        }
    }

    #[inline]
    fn transmit(
        &mut self,
        (socket, local, remote): (SocketId, SocketAddr, SocketAddr),
        payload: Bytes,
        waits: Option<Owner>,
        out: &mut VecDeque<Output>,
    ) {
        if let Some(owner) = waits {
            self.wait(owner, Waits::Datagrams(remote));
        }
        out.push_back(Output::Transmit { socket, local, remote, payload });
    }

    /// Tells whether messages can be sent over a connection.
    pub(crate) fn takes_messages(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_some_and(Conn::takes_messages)
    }

    /// Notes that a transaction waits for no more answers.
    pub(crate) fn release(&mut self, owner: Owner) {
        match self.waiting.remove(&owner) {
            Some(Waits::Connection(conn)) => {
                self.conns.get_mut(&conn).into_iter().for_each(|entry| entry.forget_user(owner));
            }
            Some(Waits::Datagrams(remote)) => drop(self.unanswered.remove(&(remote, owner))),
            None => {}
        }
    }

    /// Notes where a transaction waits: whoever sends again waits where it was sent last.
    fn wait(&mut self, owner: Owner, place: Waits) {
        let before = self.waiting.insert(owner, place);
        match (before, place) {
            (Some(Waits::Datagrams(before)), Waits::Datagrams(remote)) if before == remote => return,
            (Some(Waits::Datagrams(before)), _) => drop(self.unanswered.remove(&(before, owner))),
            (Some(Waits::Connection(before)), Waits::Connection(conn)) if before == conn => {}
            (Some(Waits::Connection(before)), _) => {
                self.conns.get_mut(&before).into_iter().for_each(|entry| entry.forget_user(owner));
            }
            (None, _) => {}
        }
        if let Waits::Datagrams(remote) = place {
            self.unanswered.insert((remote, owner));
        }
    }

    /// Takes what the network says of datagrams to a peer: everybody who waits for it is told (RFC 3261 §18.4).
    pub(crate) fn unreachable(&mut self, socket: SocketId, remote: SocketAddr, why: Unreachable) {
        self.probe_unreachable(socket, remote);
        let first = (remote, Owner { call: 0, serial: 0 });
        let last = (remote, Owner { call: u64::MAX, serial: u64::MAX });
        for (_, owner) in self.unanswered.range(first..=last) {
            let owner = *owner;
            self.news.push_back(match why {
                Unreachable::Icmp => News::Broken { owner, error: IoKind::Unreachable, stale: false },
                Unreachable::TooBig => News::TooBig { owner },
            });
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match (self.timers.next(), self.resolver.next_timeout()) {
            (Some(timer), Some(search)) => Some(timer.min(search)),
            (timer, search) => timer.or(search),
        }
    }

    /// Fires one timer that is due; tells whether there was one.
    pub(crate) fn expire(&mut self, now: Instant, limits: &Limits, out: &mut VecDeque<Output>) -> bool {
        match self.timers.pop_due(now) {
            Some((_, Timeout::Conn(conn))) => self.expire_conn(now, limits, conn, out),
            Some((_, Timeout::Probe(serial))) => self.expire_probe(now, serial, out),
            None => return self.resolver.expire(now, limits),
        }
        true
    }

    /// Returns the next thing that somebody has to be told.
    pub(crate) fn poll_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// Tells whether nothing is on its way: no look-up, no connection opening, no byte unsent, no answer awaited.
    pub(crate) fn is_idle(&self) -> bool {
        let nothing_awaited = self.waiting.is_empty() && self.unanswered.is_empty();
        nothing_awaited
            && self.resolver.is_idle()
            && self.stranded.is_empty()
            && self.news.is_empty()
            && self.conns.values().all(Conn::is_quiet)
    }

    /// Begins to find the servers of a destination, whose owner is told of them.
    pub(crate) fn resolve(
        &mut self,
        now: Instant,
        limits: &Limits,
        (owner, to): (Owner, &Destination),
        preference: Preference,
        out: &mut VecDeque<Output>,
    ) -> Result<(), NotBegun> {
        let reach = self.reach();
        self.resolver.begin(now, limits, (Seeker::Transaction(owner), to), (reach, preference), out)
    }

    /// Takes the answer to a question of DNS.
    pub(crate) fn resolved(
        &mut self,
        now: Instant,
        limits: &Limits,
        (query, result): (QueryId, Result<Records, DnsError>),
        out: &mut VecDeque<Output>,
    ) {
        self.resolver.resolved(now, limits, query, result, out);
    }

    /// Leaves a server alone for a while: it has failed.
    pub(crate) fn avoid(
        &mut self,
        now: Instant,
        limits: &Limits,
        server: (Proto, SocketAddr),
        time: Duration,
    ) {
        self.resolver.avoid(now, limits, server, time);
    }

    /// Notes that a server has answered.
    pub(crate) fn trust(&mut self, server: (Proto, SocketAddr)) {
        self.resolver.trust(server);
    }

    /// Returns the transports and families that the bound sockets can use.
    pub(crate) fn reach(&self) -> Reach {
        let mut reach = Reach::default();
        for socket in self.sockets.values() {
            let Some(addr) = socket.bound else { continue };
            // Connections can be opened without a listener of their kind; datagrams need a socket.
            for proto in Proto::ALL.into_iter().filter(|proto| *proto != Proto::Udp) {
                reach = reach.with(proto, addr.is_ipv4());
            }
            reach = reach.choosing(Proto::Tcp).choosing(socket.proto).with(socket.proto, addr.is_ipv4());
        }
        reach
    }

    /// Counts the connections in use; closing ones are not.
    pub(crate) fn connections(&self) -> usize {
        self.conns.values().filter(|entry| entry.takes_messages()).count()
    }

    /// Tells whether no connection is left, not even a closing one.
    pub(crate) fn is_disconnected(&self) -> bool {
        self.conns.is_empty()
    }

    fn conn_to(
        &mut self,
        now: Instant,
        limits: &Limits,
        proto: Proto,
        remote: SocketAddr,
        name: Option<&DnsName>,
        out: &mut VecDeque<Output>,
    ) -> Result<ConnId, IoKind> {
        if let Some(conn) = self.conn_that_serves(proto, remote, name) {
            return Ok(conn);
        }
        if self.conns.len() >= limits.connections {
            return Err(IoKind::Limit);
        }
        let conn = ConnId(self.next_conn);
        self.next_conn += 2;
        let opened = Conn::opening(now, limits, proto, remote, name.cloned());
        self.timers.schedule(opened.wake(), Timeout::Conn(conn));
        self.conns.insert(conn, opened);
        self.by_peer.entry((proto, remote)).or_default().push(conn);
        out.push_back(Output::Connect { conn, proto, remote, name: name.cloned() });
        Ok(conn)
    }

    /// Finds a connection to a peer that a request for this name may take, the newest first.
    fn conn_that_serves(&self, proto: Proto, remote: SocketAddr, name: Option<&DnsName>) -> Option<ConnId> {
        let mut conns = self.by_peer.get(&(proto, remote))?.iter().rev();
        conns.find(|conn| self.conns.get(conn).is_some_and(|entry| entry.serves(name))).copied()
    }

    /// Returns the way over an open connection.
    pub(crate) fn flow_of(&self, conn: ConnId) -> Option<Flow> {
        self.conns.get(&conn)?.flow(conn)
    }

    fn write(
        &mut self,
        now: Instant,
        limits: &Limits,
        conn: ConnId,
        message: Queued,
        awaits: bool,
        out: &mut VecDeque<Output>,
    ) -> Result<(), IoKind> {
        let (owner, size) = (message.owner, message.bytes.len());
        if size > limits.unsent {
            // No connection will ever take it.
            return Err(IoKind::Limit);
        }
        // Whoever sends again waits where it was sent last.
        if awaits {
            self.release(owner);
        }
        let Some(entry) = self.conns.get_mut(&conn) else { return Err(IoKind::Reset) };
        if entry.unsent() + size > limits.unsent {
            // A reader this slow keeps nothing but memory busy.
            self.reset(limits, conn, IoKind::Limit, out);
            return Err(IoKind::Limit);
        }
        entry.write(now, limits, conn, message, awaits, out);
        if awaits {
            self.wait(owner, Waits::Connection(conn));
        }
        Ok(())
    }
}
