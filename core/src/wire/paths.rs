use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use thiserror::Error;

use crate::{
    base::{Instant, Limits},
    endpoint::Machine,
    transport::{CloseHow, ConnId, Input, Output, Proto, QueryId, SocketId},
    wire::ws::{BadPath, Path},
};

/// Machines that share WebSocket listeners, and are told apart there by path.
///
/// Where several ask for a WebSocket listener at one address, there is one for all of them. Who opens a WebSocket there
/// reaches the machine with the longest path that is the one asked for or lies above it; [`Wire`](super::Wire), which stands
/// around them all, turns a path away with 404 that none has there. Everything else is each machine's own.
///
/// Limits of [`Wire`](super::Wire) are those of the first machine. Recordings are asked of each machine.
///
/// ```
/// use sansip::wire::Paths;
/// # use sansip::{Config, Endpoint, Instant, Seed, wire::{WebSocket, Wire}};
/// # let [office, home] = [1, 2].map(|seed| Endpoint::new(Config::default(), &Seed::from_u64(seed), Instant::EPOCH).unwrap());
/// # let limits = Config::default().limits;
/// let machines = Paths::new().with("/", home)?.with("/office", office)?;
/// let mut wire = Wire::new(machines, &limits);
/// wire.set_websocket(WebSocket::new());
/// # Ok::<_, sansip::wire::PathsError>(())
/// ```
pub struct Paths<M> {
    machines: Vec<Member<M>>,
    listeners: BTreeMap<SocketId, Listener>,
    conns: BTreeMap<ConnId, (usize, ConnId)>,
    queries: BTreeMap<QueryId, (usize, QueryId)>,
    next_socket: u32,
    next_conn: u64,
    next_query: u64,
    outputs: VecDeque<Output>,
    /// What a machine has to be told.
    news: VecDeque<(usize, Input<'static>)>,
    now: Instant,
}

/// Why a machine cannot be told apart from others.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathsError {
    /// Its path is none.
    #[error(transparent)]
    Bad(#[from] BadPath),
    /// Another machine has its path.
    #[error("two machines have the path {0}")]
    Taken(Box<str>),
}

/// A machine with what its names are outside.
struct Member<M> {
    path: Path,
    machine: M,
    sockets: BTreeMap<SocketId, SocketId>,
    conns: BTreeMap<ConnId, ConnId>,
}

/// A socket, and who asked for it under which name.
struct Listener {
    proto: Proto,
    addr: SocketAddr,
    is_bound: bool,
    members: Vec<(usize, SocketId)>,
}

impl<M: Machine> Paths<M> {
    /// Begins with no machine.
    pub fn new() -> Self {
        Self {
            machines: Vec::new(),
            listeners: BTreeMap::new(),
            conns: BTreeMap::new(),
            queries: BTreeMap::new(),
            next_socket: 0,
            // Even numbers are ours, odd ones the driver's.
            next_conn: 2,
            next_query: 0,
            outputs: VecDeque::new(),
            news: VecDeque::new(),
            now: Instant::EPOCH,
        }
    }

    /// Adds a machine with its path, `/` for all that no other has.
    pub fn with(mut self, path: &str, machine: M) -> Result<Self, PathsError> {
        let path = Path::of_server(path)?;
        if self.machines.iter().any(|member| member.path.is_same(&path)) {
            return Err(PathsError::Taken(path.as_str().into()));
        }
        let (sockets, conns) = (BTreeMap::new(), BTreeMap::new());
        self.machines.push(Member { path, machine, sockets, conns });
        Ok(self)
    }

    /// Borrows the machine that a WebSocket with this path reaches, wherever it listens.
    pub fn machine(&self, path: &str) -> Option<&M> {
        let who = self.longest(0..self.machines.len(), path)?;
        Some(&self.machines[who].machine)
    }

    /// Borrows that machine to be told something.
    pub fn machine_mut(&mut self, path: &str) -> Option<&mut M> {
        let who = self.longest(0..self.machines.len(), path)?;
        Some(&mut self.machines[who].machine)
    }

    fn longest(&self, among: impl Iterator<Item = usize>, path: &str) -> Option<usize> {
        let covers = |who: &usize| self.machines[*who].path.covers(path);
        among.filter(covers).max_by_key(|who| self.machines[*who].path.as_str().len())
    }

    /// Gives what a machine wants its names outside; `None` if nothing is left to do.
    fn outward(&mut self, who: usize, output: Output) -> Option<Output> {
        match output {
            Output::Bind { socket, proto, addr } => self.bind(who, socket, proto, addr),
            Output::Unbind { socket } => self.unbind(who, socket),
            Output::Transmit { socket, local, remote, payload } => {
                let socket = *self.machines[who].sockets.get(&socket)?;
                Some(Output::Transmit { socket, local, remote, payload })
            }
            Output::Connect { conn: inner, proto, remote, name } => {
                let conn = ConnId(self.next_conn);
                self.next_conn += 2;
                self.conns.insert(conn, (who, inner));
                self.machines[who].conns.insert(inner, conn);
                Some(Output::Connect { conn, proto, remote, name })
            }
            Output::Send { conn, data } => {
                let conn = *self.machines[who].conns.get(&conn)?;
                Some(Output::Send { conn, data })
            }
            Output::Close { conn: inner, how } => {
                let conn = *self.machines[who].conns.get(&inner)?;
                if how == CloseHow::Reset {
                    self.forget(conn);
                }
                Some(Output::Close { conn, how })
            }
            Output::Resolve { query: inner, name, kind } => {
                let query = QueryId(self.next_query);
                self.next_query += 1;
                self.queries.insert(query, (who, inner));
                Some(Output::Resolve { query, name, kind })
            }
        }
    }

    fn bind(&mut self, who: usize, inner: SocketId, proto: Proto, addr: SocketAddr) -> Option<Output> {
        let is_shared = |listener: &Listener| {
            has_paths(proto) && (listener.proto, listener.addr) == (proto, addr) && addr.port() != 0
        };
        if let Some((socket, listener)) = self.listeners.iter_mut().find(|(_, listener)| is_shared(listener))
        {
            listener.members.push((who, inner));
            self.machines[who].sockets.insert(inner, *socket);
            if listener.is_bound {
                self.news.push_back((who, Input::Bound { socket: inner, result: Ok(addr) }));
            }
            return None;
        }
        let socket = SocketId(self.next_socket);
        self.next_socket += 1;
        self.machines[who].sockets.insert(inner, socket);
        let members = vec![(who, inner)];
        self.listeners.insert(socket, Listener { proto, addr, is_bound: false, members });
        Some(Output::Bind { socket, proto, addr })
    }

    fn unbind(&mut self, who: usize, inner: SocketId) -> Option<Output> {
        let socket = self.machines[who].sockets.remove(&inner)?;
        let listener = self.listeners.get_mut(&socket)?;
        listener.members.retain(|member| *member != (who, inner));
        if !listener.members.is_empty() {
            return None;
        }
        self.listeners.remove(&socket);
        Some(Output::Unbind { socket })
    }

    fn bound(&mut self, socket: SocketId, input: &Input<'_>) {
        let Input::Bound { result, .. } = *input else { return };
        let Some(listener) = self.listeners.get_mut(&socket) else { return };
        if let Ok(addr) = result {
            (listener.addr, listener.is_bound) = (addr, true);
        }
        let members = listener.members.clone();
        if result.is_err() {
            self.listeners.remove(&socket);
        }
        for (who, inner) in members {
            if result.is_err() {
                self.machines[who].sockets.remove(&inner);
            }
            self.tell(who, Input::Bound { socket: inner, result });
        }
    }

    /// Returns the machine that a socket is for, and its name there; by the path if it has one.
    fn member(&self, socket: SocketId, path: Option<&str>) -> Option<(usize, SocketId)> {
        let listener = self.listeners.get(&socket)?;
        if !has_paths(listener.proto) {
            return listener.members.first().copied();
        }
        // What follows a question mark is no part of the path.
        let path = path.and_then(|path| path.split('?').next()).unwrap_or("/");
        let who = self.longest(listener.members.iter().map(|(who, _)| *who), path)?;
        listener.members.iter().find(|member| member.0 == who).copied()
    }

    fn tell(&mut self, who: usize, input: Input<'_>) {
        self.machines[who].machine.handle_input(self.now, input);
    }

    fn tell_all(&mut self, input: &Input<'static>) {
        for who in 0..self.machines.len() {
            self.tell(who, input.clone());
        }
    }

    fn forget(&mut self, conn: ConnId) -> Option<(usize, ConnId)> {
        let (who, inner) = self.conns.remove(&conn)?;
        self.machines[who].conns.remove(&inner);
        Some((who, inner))
    }
}

impl<M: Machine> Default for Paths<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Machine> Machine for Paths<M> {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.now = self.now.max(now);
        let conn = |conn: &ConnId| self.conns.get(conn).copied();
        match input {
            Input::Timeout => self.tell_all(&Input::Timeout),
            Input::Wall(time) => self.tell_all(&Input::Wall(time)),
            Input::Interfaces(all) => self.tell_all(&Input::Interfaces(all)),
            Input::Bound { socket, .. } => self.bound(socket, &input),
            Input::Datagram { socket, local, remote, payload } => {
                let Some((who, socket)) = self.member(socket, None) else { return };
                self.tell(who, Input::Datagram { socket, local, remote, payload });
            }
            Input::Unreachable { socket, remote, why } => {
                let Some((who, socket)) = self.member(socket, None) else { return };
                self.tell(who, Input::Unreachable { socket, remote, why });
            }
            Input::Accepted { socket, conn, local, remote, peer } => {
                let Some((who, socket)) = self.member(socket, peer.path.as_deref()) else {
                    return self.outputs.push_back(Output::Close { conn, how: CloseHow::Reset });
                };
                // The driver's names are odd, and so none that a machine gives.
                self.conns.insert(conn, (who, conn));
                self.machines[who].conns.insert(conn, conn);
                self.tell(who, Input::Accepted { socket, conn, local, remote, peer });
            }
            Input::Connected { conn: outer, local, peer } => {
                let Some((who, conn)) = conn(&outer) else { return };
                self.tell(who, Input::Connected { conn, local, peer });
            }
            Input::Received { conn: outer, data } => {
                let Some((who, conn)) = conn(&outer) else { return };
                self.tell(who, Input::Received { conn, data });
            }
            Input::Drained { conn: outer, bytes } => {
                let Some((who, conn)) = conn(&outer) else { return };
                self.tell(who, Input::Drained { conn, bytes });
            }
            Input::Closed { conn, error } => {
                let Some((who, conn)) = self.forget(conn) else { return };
                self.tell(who, Input::Closed { conn, error });
            }
            Input::Resolved { query, result } => {
                let Some((who, query)) = self.queries.remove(&query) else { return };
                self.tell(who, Input::Resolved { query, result });
            }
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        let mut who = 0;
        while who < self.machines.len() {
            match self.machines[who].machine.poll_output() {
                Some(output) => {
                    if let Some(output) = self.outward(who, output) {
                        return Some(output);
                    }
                }
                None => who += 1,
            }
            // Each tells of a listener that was asked for, so it comes to an end.
            if let Some((told, input)) = self.news.pop_front() {
                self.tell(told, input);
                who = who.min(told);
            }
        }
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machines.iter().filter_map(|member| member.machine.poll_timeout()).min()
    }

    fn limits(&self) -> Option<&Limits> {
        self.machines.first()?.machine.limits()
    }

    fn paths(&self, socket: SocketId) -> Option<Vec<Box<str>>> {
        let members = self.listeners.get(&socket)?.members.iter();
        Some(members.map(|(who, _)| self.machines[*who].path.as_str().into()).collect())
    }

    fn is_stopped(&self) -> bool {
        self.machines.iter().all(|member| member.machine.is_stopped())
    }
}

fn has_paths(proto: Proto) -> bool {
    matches!(proto, Proto::Ws | Proto::Wss)
}
