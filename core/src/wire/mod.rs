//! TLS and WebSocket around any machine (RFC 3261 §26.2, RFC 5922, RFC 7118).
//!
//! [`Wire`] stands between a machine and its driver. The machine opens sockets and connections of
//! [`Proto::Tls`], [`Proto::Ws`] and [`Proto::Wss`], and gets plain bytes or whole messages; the driver sees nothing but TCP.
//! What is random here, keys and masks, comes from the libraries underneath: the machine inside stays a function of
//! its inputs, and recordings are taken there.
//!
//! ```
//! # #[cfg(feature = "ws")] {
//! use sansip::{
//!     Config, Endpoint, Host, Instant, Proto, Seed, Service,
//!     wire::{WebSocket, Wire},
//! };
//!
//! struct Phone;
//!
//! impl Service for Phone {
//!     fn init(&mut self, cx: &mut sansip::Cx<'_>) {
//!         let _ = cx.listen(Proto::Ws, "192.0.2.1:80".parse().unwrap());
//!     }
//! }
//!
//! let config = Config::default();
//! let limits = config.limits.clone();
//! let endpoint = Endpoint::new(config, &Seed::from_u64(1), Instant::EPOCH).unwrap();
//! let mut phone = Wire::new(Host::new(endpoint, Phone), &limits);
//! phone.set_websocket(WebSocket::new().serve_path("/sip").unwrap().serve_origin("https://example.com"));
//! // From here on it goes to a driver as the host would.
//! # let _ = phone;
//! # }
//! ```

#[cfg(feature = "tls")]
mod certificate;
mod error;
#[cfg(feature = "ws")]
mod frame;
#[cfg(feature = "ws")]
mod paths;
mod stage;
#[cfg(all(test, feature = "tls", feature = "ws"))]
mod tests;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod verify;
#[cfg(feature = "ws")]
mod ws;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
};

use bytes::Bytes;

use crate::{
    base::{Instant, Limits},
    decision::Record,
    endpoint::{Machine, Nested},
    transport::{CloseHow, ConnId, DnsName, Input, IoKind, Output, PeerInfo, Proto, SocketId, count_down},
};

pub use self::error::{WireError, WireFailure, WireStats};
use self::stage::{Layer, Rise, Stage, State};
#[cfg(feature = "tls")]
pub use self::{
    certificate::{Certificate, CertificateError, trust_pem},
    tls::{ClientCertificates, Tls},
};
#[cfg(feature = "ws")]
pub use self::{
    paths::{Paths, PathsError},
    ws::{BadPath, WebSocket, WebSocketError},
};

/// A machine with TLS and WebSocket around it.
pub struct Wire<M> {
    machine: M,
    limits: Limits,
    #[cfg(feature = "tls")]
    tls: Option<tls::Configs>,
    #[cfg(feature = "ws")]
    websocket: Option<WebSocket>,
    listeners: BTreeMap<SocketId, Proto>,
    stages: BTreeMap<ConnId, Stage>,
    /// When to give up on connections, in order.
    deadlines: BTreeSet<(Instant, ConnId)>,
    outside: Outside,
    outputs: VecDeque<Output>,
    /// What the machine has to be told.
    news: VecDeque<Input<'static>>,
    now: Instant,
    stats: WireStats,
    last_failure: Option<WireFailure>,
}

/// How many of the connections the machine does not reckon with, and how many of those are of which peer.
#[derive(Default)]
struct Outside {
    all: usize,
    of_peer: BTreeMap<IpAddr, usize>,
}

impl Outside {
    fn has_room(&self, limits: &Limits, peer: IpAddr) -> bool {
        let of_peer = self.of_peer.get(&peer).copied().unwrap_or_default();
        self.all < limits.handshakes && of_peer < limits.handshakes_per_peer
    }

    fn add(&mut self, peer: IpAddr) {
        self.all += 1;
        *self.of_peer.entry(peer).or_default() += 1;
    }

    fn remove(&mut self, peer: IpAddr) {
        self.all -= 1;
        count_down(&mut self.of_peer, peer);
    }
}

/// Which end of a connection this is.
#[derive(Clone, Copy, Debug)]
enum End<'a> {
    /// With its listener.
    #[cfg_attr(not(feature = "ws"), expect(dead_code, reason = "only WebSocket has paths"))]
    Server(SocketId),
    /// With the name that led there, if it was not an address.
    Client { name: Option<&'a DnsName>, remote: SocketAddr },
}

impl<M: Machine> Wire<M> {
    /// Stands around a machine. Without [`set_tls`](Self::set_tls) and [`set_websocket`](Self::set_websocket) nothing changes for
    /// it. These limits hold for a machine that has none of its own; those of an endpoint are its own, as they are now.
    pub fn new(machine: M, limits: &Limits) -> Self {
        Self {
            machine,
            limits: limits.clone(),
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "ws")]
            websocket: None,
            listeners: BTreeMap::new(),
            stages: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            outside: Outside::default(),
            outputs: VecDeque::new(),
            news: VecDeque::new(),
            now: Instant::EPOCH,
            stats: WireStats::default(),
            last_failure: None,
        }
    }

    /// Does TLS from now on, or does it with other certificates or other trust. Open connections go on with theirs.
    #[cfg(feature = "tls")]
    pub fn set_tls(&mut self, tls: &Tls) -> Result<(), CertificateError> {
        self.tls = Some(tls.configs()?);
        Ok(())
    }

    /// Does WebSocket from now on, or with other paths and origins. Open connections go on with theirs.
    #[cfg(feature = "ws")]
    pub fn set_websocket(&mut self, websocket: WebSocket) {
        self.websocket = Some(websocket);
    }

    /// Borrows the machine.
    pub const fn machine(&self) -> &M {
        &self.machine
    }

    /// Borrows the machine to be told something. What it wants comes out of [`Machine::poll_output`] of the whole.
    pub const fn machine_mut(&mut self) -> &mut M {
        &mut self.machine
    }

    /// Returns what was counted so far.
    pub const fn stats(&self) -> &WireStats {
        &self.stats
    }

    /// Returns why a connection came to nothing, or broke, the last time.
    pub const fn last_failure(&self) -> Option<&WireFailure> {
        self.last_failure.as_ref()
    }

    /// Returns the limits that hold now.
    fn limits(&self) -> &Limits {
        self.machine.limits().unwrap_or(&self.limits)
    }

    /// Builds the layers of a connection; `None` for what passes through, because it needs none or is not set up.
    fn layers(&self, proto: Proto, end: End<'_>) -> Option<Vec<Box<dyn Layer>>> {
        #[cfg(feature = "tls")]
        let tls = || self.tls.as_ref()?.layer(proto, end, self.limits());
        #[cfg(not(feature = "tls"))]
        let tls = || None;
        #[cfg(feature = "ws")]
        let ws = || {
            let paths = match end {
                End::Server(socket) => self.machine.paths(socket),
                End::Client { .. } => None,
            };
            Some(self.websocket.as_ref()?.layer((proto, end), paths, self.limits()))
        };
        #[cfg(not(feature = "ws"))]
        let ws = || None;
        match proto {
            Proto::Tls => Some(vec![tls()?]),
            Proto::Ws => Some(vec![ws()?]),
            Proto::Wss => Some(vec![tls()?, ws()?]),
            Proto::Udp | Proto::Tcp | Proto::Sctp => None,
        }
    }

    /// Turns all that the machine wants into what the driver does, and tells it what comes of that.
    fn pump(&mut self) {
        loop {
            while let Some(output) = self.machine.poll_output() {
                self.translate(output);
            }
            // Each of these ends something, so it comes to an end.
            let Some(input) = self.news.pop_front() else { return };
            self.machine.handle_input(self.now, input);
        }
    }

    fn translate(&mut self, output: Output) {
        match output {
            Output::Bind { socket, proto, addr } if self.layers(proto, End::Server(socket)).is_some() => {
                self.listeners.insert(socket, proto);
                self.outputs.push_back(Output::Bind { socket, proto: Proto::Tcp, addr });
            }
            Output::Unbind { socket } => {
                self.listeners.remove(&socket);
                self.outputs.push_back(Output::Unbind { socket });
            }
            Output::Connect { conn, proto, remote, name } => {
                let layers = self.layers(proto, End::Client { name: name.as_ref(), remote });
                let Some(layers) = layers else {
                    return self.outputs.push_back(Output::Connect { conn, proto, remote, name });
                };
                self.stages.insert(conn, Stage::new(State::Connecting, None, (remote, remote), layers));
                self.outputs.push_back(Output::Connect { conn, proto: Proto::Tcp, remote, name });
            }
            Output::Send { conn, data } if self.stages.contains_key(&conn) => self.send(conn, data),
            Output::Close { conn, how } if self.stages.contains_key(&conn) => self.close(conn, how),
            output => self.outputs.push_back(output),
        }
    }

    fn send(&mut self, conn: ConnId, data: Bytes) {
        let Some(stage) = self.stages.get_mut(&conn) else { return };
        let plain = data.len();
        stage.send(data);
        if stage.state == State::Open {
            self.flush(conn, plain);
        }
    }

    /// Hands the driver the bytes that a connection has for it; tells whether the connection still is.
    fn flush(&mut self, conn: ConnId, plain: usize) -> bool {
        let Some(stage) = self.stages.get_mut(&conn) else { return false };
        let bytes = stage.drain();
        if bytes.is_empty() || stage.state == State::Told {
            return true;
        }
        stage.sent.push(bytes.len(), plain);
        let overhead = stage.sent.overhead();
        if overhead > self.limits().unsent {
            // A peer that makes answers due without reading them.
            self.give_up(conn, WireError::Unread);
            return false;
        }
        self.outputs.push_back(Output::Send { conn, data: bytes.into() });
        true
    }

    /// Does what the machine wants of a connection's end.
    fn close(&mut self, conn: ConnId, how: CloseHow) {
        let Some(stage) = self.stages.get_mut(&conn).filter(|stage| stage.is_held()) else { return };
        match (how, stage.state) {
            (CloseHow::Reset, _) => {
                self.remove(conn);
                self.outputs.push_back(Output::Close { conn, how });
            }
            (CloseHow::Flush, State::Open) => {
                stage.state = State::Closing;
                let over = stage.close();
                self.set_deadline(conn, None);
                if self.flush(conn, 0) && over {
                    self.tell_end(conn);
                }
            }
            (CloseHow::Flush, State::Connecting | State::Handshake) => {
                stage.abandon();
                self.set_deadline(conn, None);
                self.tell_end(conn);
            }
            (CloseHow::Flush, State::Closing | State::Told | State::Ending) => {}
        }
    }

    /// Ends TCP from this side, once the layers have ended.
    fn tell_end(&mut self, conn: ConnId) {
        if let Some(stage) = self.stages.get_mut(&conn) {
            stage.state = State::Told;
            self.outputs.push_back(Output::Close { conn, how: CloseHow::Flush });
        }
    }

    /// Begins with a connection that a peer has opened, unless there are too many that have come no further.
    fn accept(&mut self, socket: SocketId, conn: ConnId, addrs: (SocketAddr, SocketAddr), proto: Proto) {
        let peer = addrs.1.ip();
        let room = self.outside.has_room(self.limits(), peer);
        let Some(layers) = room.then(|| self.layers(proto, End::Server(socket))).flatten() else {
            self.stats.refused += 1;
            return self.outputs.push_back(Output::Close { conn, how: CloseHow::Reset });
        };
        self.outside.add(peer);
        self.stages.insert(conn, Stage::new(State::Handshake, Some(socket), addrs, layers));
        self.begin(conn);
    }

    /// Begins with a connection that TCP has opened for the machine.
    fn connected(&mut self, conn: ConnId, local: SocketAddr) {
        let Some(stage) = self.stages.get_mut(&conn).filter(|stage| stage.state == State::Connecting) else {
            return;
        };
        stage.local = local;
        stage.state = State::Handshake;
        self.begin(conn);
    }

    fn begin(&mut self, conn: ConnId) {
        self.set_deadline(conn, Some(self.now + self.limits().handshake));
        if let Some(stage) = self.stages.get_mut(&conn) {
            stage.open();
        }
        self.flush(conn, 0);
    }

    fn received(&mut self, conn: ConnId, data: &[u8]) {
        let Some(stage) = self.stages.get_mut(&conn) else { return };
        match stage.state {
            State::Handshake | State::Open => stage.receive(data),
            // What the machine has closed is still read for the sake of the peer's end.
            State::Closing | State::Told => stage.receive(data),
            State::Connecting | State::Ending => return,
        }
        // The machine may end the connection in between.
        while let Some(stage) = self.stages.get_mut(&conn) {
            let rise = stage.poll();
            if !self.flush(conn, 0) {
                return;
            }
            match rise {
                None => return self.await_rest(conn),
                Some(Rise::Open(peer)) => self.opened(conn, peer),
                Some(Rise::Data(data)) => {
                    self.machine.handle_input(self.now, Input::Received { conn, data: &data });
                    self.pump();
                }
                Some(Rise::Ended(how)) => return self.ended(conn, how),
            }
        }
    }

    /// Gives each message that stays unfinished its time.
    fn await_rest(&mut self, conn: ConnId) {
        let Some(stage) = self.stages.get_mut(&conn).filter(|stage| stage.state == State::Open) else {
            return;
        };
        let unfinished = stage.unfinished();
        if std::mem::replace(&mut stage.awaited, unfinished) != unfinished {
            self.set_deadline(conn, unfinished.map(|_| self.now + self.limits().half_message));
        }
    }

    /// Hands an open connection to the machine.
    fn opened(&mut self, conn: ConnId, peer: PeerInfo) {
        let Some(stage) = self.stages.get_mut(&conn).filter(|stage| stage.state == State::Handshake) else {
            return;
        };
        stage.state = State::Open;
        let (local, remote) = (stage.local, stage.remote);
        let early = stage.take_early();
        let input = match stage.socket {
            Some(socket) => Input::Accepted { socket, conn, local, remote, peer },
            None => Input::Connected { conn, local, peer },
        };
        if stage.socket.is_some() {
            self.outside.remove(remote.ip());
        }
        self.set_deadline(conn, None);
        self.stats.opened += 1;
        for data in early {
            self.send(conn, data);
        }
        self.machine.handle_input(self.now, input);
        self.pump();
    }

    /// Ends a connection that the peer, or a fault of the peer, has ended.
    fn ended(&mut self, conn: ConnId, how: Result<(), WireError>) {
        let Some(stage) = self.stages.get_mut(&conn) else { return };
        let remote = stage.remote;
        stage.close();
        let (state, held) = (stage.state, stage.is_held());
        if !self.flush(conn, 0) {
            return;
        }
        let how = match (how, state) {
            // Nobody has spoken SIP yet.
            (Ok(()), State::Handshake) => Err(WireError::Closed),
            (how, _) => how,
        };
        let error = how.as_ref().err().map(WireError::kind);
        if let Err(error) = how {
            self.fail(remote, error, state);
        }
        match state {
            State::Closing => self.tell_end(conn),
            State::Connecting | State::Handshake | State::Open => {
                if held {
                    self.news.push_back(Input::Closed { conn, error });
                }
                self.linger(conn, held);
            }
            State::Told | State::Ending => {}
        }
        self.pump();
    }

    /// Lets what was sent last leave, if there is room for it.
    fn linger(&mut self, conn: ConnId, held: bool) {
        let Some(remote) = self.stages.get(&conn).map(|stage| stage.remote) else { return };
        let room = !held || self.outside.has_room(self.limits(), remote.ip());
        let Some(stage) = self.stages.get_mut(&conn).filter(|_| room) else {
            self.remove(conn);
            return self.outputs.push_back(Output::Close { conn, how: CloseHow::Reset });
        };
        stage.state = State::Ending;
        if held {
            self.outside.add(remote.ip());
        }
        self.set_deadline(conn, Some(self.now + self.limits().linger));
        self.outputs.push_back(Output::Close { conn, how: CloseHow::Flush });
    }

    /// Breaks a connection off.
    fn give_up(&mut self, conn: ConnId, error: WireError) {
        let Some(stage) = self.remove(conn) else { return };
        if stage.is_held() {
            self.news.push_back(Input::Closed { conn, error: Some(error.kind()) });
        }
        self.outputs.push_back(Output::Close { conn, how: CloseHow::Reset });
        self.fail(stage.remote, error, stage.state);
    }

    fn fail(&mut self, remote: SocketAddr, error: WireError, state: State) {
        match state {
            State::Connecting | State::Handshake => self.stats.count_failure(&error),
            State::Open | State::Closing => self.stats.broken += 1,
            // It had failed already, or has ended.
            State::Told | State::Ending => return,
        }
        self.last_failure = Some(WireFailure { remote, error });
    }

    /// Forgets a connection that TCP has ended.
    fn closed(&mut self, conn: ConnId, error: Option<IoKind>) {
        let Some(stage) = self.remove(conn) else { return };
        let cut_off = match stage.state {
            State::Handshake => {
                self.fail(stage.remote, WireError::Closed, stage.state);
                true
            }
            // Without the end that the layers have: the rest may be missing.
            State::Open => true,
            State::Connecting | State::Closing | State::Told | State::Ending => false,
        };
        if stage.is_held() {
            let error = error.or_else(|| cut_off.then_some(IoKind::Reset));
            self.machine.handle_input(self.now, Input::Closed { conn, error });
        }
    }

    fn drained(&mut self, conn: ConnId, bytes: usize) {
        let Some(stage) = self.stages.get_mut(&conn) else { return };
        let plain = stage.sent.pop(bytes);
        if plain > 0 && stage.is_held() {
            self.machine.handle_input(self.now, Input::Drained { conn, bytes: plain });
        }
    }

    fn expire(&mut self) {
        // What is left over is due at once afterwards.
        for _ in 0..self.limits().expiries_per_input {
            match self.deadlines.first() {
                Some((at, conn)) if *at <= self.now => self.expire_conn(*conn),
                _ => return,
            }
        }
    }

    fn expire_conn(&mut self, conn: ConnId) {
        let Some(stage) = self.stages.get(&conn) else { return };
        let error = match stage.state {
            State::Open => WireError::HalfMessage,
            State::Connecting | State::Handshake | State::Closing | State::Told | State::Ending => {
                WireError::TimedOut
            }
        };
        self.give_up(conn, error);
    }

    fn set_deadline(&mut self, conn: ConnId, deadline: Option<Instant>) {
        let Some(stage) = self.stages.get_mut(&conn) else { return };
        if let Some(old) = std::mem::replace(&mut stage.deadline, deadline) {
            self.deadlines.remove(&(old, conn));
        }
        self.deadlines.extend(deadline.map(|at| (at, conn)));
    }

    fn remove(&mut self, conn: ConnId) -> Option<Stage> {
        self.set_deadline(conn, None);
        let stage = self.stages.remove(&conn)?;
        if !stage.is_held() {
            self.outside.remove(stage.remote.ip());
        }
        Some(stage)
    }
}

impl<M: Machine> Machine for Wire<M> {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.now = self.now.max(now);
        // The application may have wanted something in between.
        self.pump();
        self.expire();
        match input {
            Input::Accepted { socket, conn, local, remote, .. } if self.listeners.contains_key(&socket) => {
                let proto = self.listeners[&socket];
                self.accept(socket, conn, (local, remote), proto);
            }
            Input::Connected { conn, local, .. } if self.stages.contains_key(&conn) => {
                self.connected(conn, local);
            }
            Input::Received { conn, data } if self.stages.contains_key(&conn) => self.received(conn, data),
            Input::Drained { conn, bytes } if self.stages.contains_key(&conn) => self.drained(conn, bytes),
            Input::Closed { conn, error } if self.stages.contains_key(&conn) => self.closed(conn, error),
            Input::Bound { socket, result: Err(error) } => {
                self.listeners.remove(&socket);
                self.machine.handle_input(self.now, Input::Bound { socket, result: Err(error) });
            }
            input => self.machine.handle_input(self.now, input),
        }
        self.pump();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.pump();
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let own = self.deadlines.first().map(|(at, _)| *at);
        [own, self.machine.poll_timeout()].into_iter().flatten().min()
    }

    fn limits(&self) -> Option<&Limits> {
        Some(Self::limits(self))
    }

    fn poll_record(&mut self) -> Option<Record> {
        self.machine.poll_record()
    }

    fn is_stopped(&self) -> bool {
        self.machine.is_stopped()
    }
}

impl<M: Nested> Nested for Wire<M> {
    type Inner = M::Inner;

    fn inner(&mut self) -> &mut M::Inner {
        self.machine.inner()
    }
}
