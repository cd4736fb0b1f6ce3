//! Datagrams and streams to messages, targets to outputs (RFC 3261 §18).

mod conn;
mod flow;
mod frame;
mod io;
mod resolve;
mod via;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use bytes::Bytes;

use crate::{
    base::{Instant, Limits, Seed, TimerQueue},
    syntax::Leniency,
};

use self::conn::Conn;
pub(crate) use self::{
    flow::{Flow, Outbound, Owner, Target, is_wildcard},
    resolve::NotBegun,
    via::{ResponseTarget, WayBack},
};
pub use frame::{Frame, FrameError, Framer};
pub use io::{
    BadDnsName, CloseHow, ConnId, DnsError, DnsName, Input, IoKind, Naptr, Output, PeerInfo, Proto, QueryId,
    RecordData, RecordKind, Records, SocketId, Srv, UnknownProto, Unreachable,
};
pub use resolve::{BadDestination, Destination, Place, Preference, Reach, Resolver};

/// Sockets, connections and look-ups: everything between a driver and whole messages.
#[derive(Clone)]
pub(crate) struct Transport {
    sockets: BTreeMap<SocketId, Socket>,
    next_socket: u32,
    conns: BTreeMap<ConnId, Conn>,
    /// The connection to use towards a peer.
    by_peer: BTreeMap<(Proto, SocketAddr), ConnId>,
    /// The connection over which a transaction waits for its answer.
    waiting: BTreeMap<Owner, ConnId>,
    next_conn: u64,
    resolver: Resolver<Owner>,
    timers: TimerQueue<Timeout>,
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

#[derive(Clone, Copy, Debug)]
enum Timeout {
    Conn(ConnId),
}

/// What a transaction has to be told.
#[derive(Clone)]
pub(crate) enum News {
    /// The connection broke over which it waits for an answer.
    Broken { owner: Owner, error: IoKind },
    /// The search for its servers has ended.
    Found { owner: Owner, places: Result<Vec<Place>, DnsError> },
}

impl Transport {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self {
            sockets: BTreeMap::new(),
            next_socket: 0,
            conns: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            waiting: BTreeMap::new(),
            // Even numbers are ours, odd ones the driver's.
            next_conn: 2,
            resolver: Resolver::new(seed),
            timers: TimerQueue::new(),
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

    /// Gives a socket up.
    pub(crate) fn unlisten(&mut self, socket: SocketId, out: &mut VecDeque<Output>) {
        if self.sockets.remove(&socket).is_some() {
            out.push_back(Output::Unbind { socket });
        }
    }

    /// Gives all sockets and connections up; the latter may linger.
    pub(crate) fn close(&mut self, now: Instant, limits: &Limits, out: &mut VecDeque<Output>) {
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
                }
            }
            Err(_) => {
                self.sockets.remove(&socket);
            }
        }
        Some(proto)
    }

    /// Chooses the socket to send from towards `remote`: the first bound one of its family.
    ///
    /// For TCP it is the listener whose address Via shows; without one, a UDP socket lends its own.
    pub(crate) fn local(&self, proto: Proto, remote: SocketAddr) -> Option<(SocketId, SocketAddr)> {
        let bound = |want: Proto| {
            self.sockets.iter().find_map(|(id, socket)| {
                let addr = socket.bound.filter(|addr| addr.is_ipv4() == remote.is_ipv4())?;
                (socket.proto == want).then_some((*id, addr))
            })
        };
        match proto {
            Proto::Udp => bound(Proto::Udp),
            _ => bound(proto).or_else(|| bound(Proto::Tcp)).or_else(|| bound(Proto::Udp)),
        }
    }

    /// Sends a message, opening a connection if there is none.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        limits: &Limits,
        message: Outbound,
        out: &mut VecDeque<Output>,
    ) -> Result<(), IoKind> {
        let Outbound { target, bytes, owner, awaits } = message;
        let user = awaits.then_some(owner);
        match target {
            Target::Back { flow: Flow::Datagram { socket, local, .. }, fallback } => {
                out.push_back(Output::Transmit { socket, local, remote: fallback, payload: bytes });
                Ok(())
            }
            Target::Peer { proto: Proto::Udp, socket, local, remote } => {
                out.push_back(Output::Transmit { socket, local, remote, payload: bytes });
                Ok(())
            }
            Target::Back { flow: Flow::Stream { conn, proto, .. }, fallback } => {
                let conn = match self.conns.get(&conn).is_some_and(Conn::takes_messages) {
                    true => conn,
                    false => self.conn_to(now, limits, proto, fallback, out)?,
                };
                self.write(now, limits, conn, bytes, user, out)
            }
            Target::Peer { proto, remote, .. } => {
                let conn = self.conn_to(now, limits, proto, remote, out)?;
                self.write(now, limits, conn, bytes, user, out)
            }
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        [self.timers.next(), self.resolver.next_timeout()].into_iter().flatten().min()
    }

    /// Fires one timer that is due; tells whether there was one.
    pub(crate) fn expire(&mut self, now: Instant, limits: &Limits, out: &mut VecDeque<Output>) -> bool {
        match self.timers.pop_due(now) {
            Some((_, Timeout::Conn(conn))) => self.expire_conn(now, limits, conn, out),
            None => return self.resolver.expire(now, limits),
        }
        true
    }

    /// Returns the next thing that a transaction has to be told.
    pub(crate) fn poll_news(&mut self) -> Option<News> {
        let found = |(owner, places)| News::Found { owner, places };
        self.news.pop_front().or_else(|| self.resolver.poll_found().map(found))
    }

    /// Tells whether nothing is on its way: no look-up, no connection opening, no byte unsent.
    pub(crate) fn is_idle(&self) -> bool {
        self.resolver.is_idle() && self.news.is_empty() && self.conns.values().all(Conn::is_quiet)
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
        self.resolver.begin(now, limits, (owner, to), (reach, preference), out)
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
        out: &mut VecDeque<Output>,
    ) -> Result<ConnId, IoKind> {
        if let Some(conn) = self.by_peer.get(&(proto, remote)) {
            return Ok(*conn);
        }
        if self.conns.len() >= limits.connections {
            return Err(IoKind::Limit);
        }
        let conn = ConnId(self.next_conn);
        self.next_conn += 2;
        let opened = Conn::opening(now, limits, proto, remote);
        self.timers.schedule(opened.wake(), Timeout::Conn(conn));
        self.conns.insert(conn, opened);
        self.by_peer.insert((proto, remote), conn);
        out.push_back(Output::Connect { conn, proto, remote, name: None });
        Ok(conn)
    }

    fn write(
        &mut self,
        now: Instant,
        limits: &Limits,
        conn: ConnId,
        bytes: Bytes,
        user: Option<Owner>,
        out: &mut VecDeque<Output>,
    ) -> Result<(), IoKind> {
        // Whoever sends again waits where it was sent last.
        user.into_iter().for_each(|owner| self.release(owner));
        let Some(entry) = self.conns.get_mut(&conn) else { return Err(IoKind::Reset) };
        if entry.unsent() + bytes.len() > limits.unsent {
            // A reader this slow keeps nothing but memory busy.
            self.reset(conn, IoKind::Limit, out);
            return Err(IoKind::Limit);
        }
        entry.write(now, limits, conn, bytes, user, out);
        self.waiting.extend(user.map(|owner| (owner, conn)));
        Ok(())
    }
}
