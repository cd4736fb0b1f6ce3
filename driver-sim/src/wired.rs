use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rustls::{pki_types, time_provider::TimeProvider};
use sansip::{
    CloseHow, ConnId, Input, Instant, Limits, Machine, Output, Proto, SocketId, UnixTime,
    wire::{CertificateError, Tls, WebSocket, Wire, WireFailure, WireStats},
};

use crate::{
    node::{NodeId, Setup},
    trace::StreamEvent,
    world::Sim,
};

/// TLS and WebSocket in earnest.
///
/// A node set up with either has a [`Wire`] around its machine: handshakes, records and frames go over the simulated
/// TCP, with all that the network does to that. What it is not set up for is [`IoKind::Unsupported`](sansip::IoKind)
/// there, as on a real host, and [`identify`](Sim::identify) and [`browse`](Sim::browse) do nothing for it. Handles
/// stay those of the machine inside.
impl Setup {
    /// Does TLS, with these certificates and this trust. Certificates are judged by the node's wall clock, whatever
    /// clock `tls` was made with.
    ///
    /// Keys and signatures are random, and a run must not depend on that: the trace has the lengths of what goes over
    /// TCP, so give certificates keys whose signatures are all of one length, such as Ed25519 or RSA, not ECDSA.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.wiring.get_or_insert_default().tls = Some(tls);
        self
    }

    /// Does WebSocket, with these paths and origins.
    #[must_use]
    pub fn websocket(mut self, websocket: WebSocket) -> Self {
        self.wiring.get_or_insert_default().websocket = Some(websocket);
        self
    }

    /// Sets the limits that TLS and WebSocket keep; the default ones unless told otherwise.
    #[must_use]
    pub fn wire_limits(mut self, limits: Limits) -> Self {
        self.wiring.get_or_insert_default().limits = limits;
        self
    }
}

/// What a node's TLS and WebSocket did.
impl Sim {
    /// Returns what was counted, `None` if the node was not set up for either.
    pub fn wire_stats(&self, node: impl Into<NodeId>) -> Option<&WireStats> {
        self.nodes[node.into().index()].machine.stats()
    }

    /// Returns why a connection came to nothing, or broke, the last time.
    pub fn wire_failure(&self, node: impl Into<NodeId>) -> Option<&WireFailure> {
        self.nodes[node.into().index()].machine.failure()
    }

    /// Has a node do TLS with other certificates or other trust from now on, also when it starts again.
    ///
    /// # Panics
    /// If the node was not set up for TLS or WebSocket, or the certificates cannot be used.
    pub fn set_tls(&mut self, node: impl Into<NodeId>, tls: Tls) {
        let slot = &mut self.nodes[node.into().index()];
        let wiring = slot.wiring.as_mut().expect("only a node set up for TLS or WebSocket has a wire");
        let tls = wiring.tls.insert(tls);
        slot.machine.set_tls(tls).expect("the certificates can be used");
    }

    /// Traces what a machine wrote and read above TLS and WebSocket, as far as its connections are known.
    pub(crate) fn trace_wire(&mut self, node: NodeId) {
        let slot = &mut self.nodes[node.index()];
        let Some(news) = slot.machine.news().filter(|news| !news.is_empty()) else { return };
        let news = std::mem::take(news);
        // A connection is known when the world has opened it, which it does after the machine wants it.
        let (known, unknown) = news.into_iter().partition(|item: &News| slot.conns.contains_key(&item.conn));
        if let Some(later) = slot.machine.news() {
            *later = unknown;
        }
        let known: VecDeque<News> = known;
        for News { conn, proto, what } in known {
            let Some(&(id, side)) = self.nodes[node.index()].conns.get(&conn) else { continue };
            match what {
                Above::Opened => self.trace_above(id, side, proto, Bytes::new(), StreamEvent::Secured),
                Above::Wrote(data) => self.trace_above(id, side, proto, data, StreamEvent::Wrote),
                Above::Read(count) => {
                    self.trace_above(id, 1 - side, proto, Bytes::new(), StreamEvent::Read(count));
                }
            }
        }
    }
}

/// What a node needs for TLS and WebSocket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wiring {
    tls: Option<Tls>,
    websocket: Option<WebSocket>,
    limits: Limits,
}

/// A machine as the world drives it, and in it the one that the test knows.
pub(crate) trait Run: Machine {
    fn own(&self) -> &dyn Any;

    fn own_mut(&mut self) -> &mut dyn Any;

    /// Sets the clock that certificates are judged by.
    fn set_wall(&self, _wall: UnixTime) {}

    /// Tells whether the bytes of a connection are those of TLS or WebSocket.
    fn seals(&self, _conn: ConnId) -> bool {
        false
    }

    /// Borrows what the machine did above TLS and WebSocket and is not traced.
    fn news(&mut self) -> Option<&mut VecDeque<News>> {
        None
    }

    fn set_tls(&mut self, _tls: &Tls) -> Result<(), CertificateError> {
        Ok(())
    }

    fn stats(&self) -> Option<&WireStats> {
        None
    }

    fn failure(&self) -> Option<&WireFailure> {
        None
    }
}

impl Wiring {
    /// Puts a wire around a machine, if there is to be one.
    pub(crate) fn wrap<M: Machine + Any>(wiring: Option<&Self>, machine: M) -> Box<dyn Run> {
        let Some(wiring) = wiring else { return Box::new(Bare(machine)) };
        let mut wire = Wire::new(Tap::new(machine), &wiring.limits);
        let time = Arc::new(NodeTime::default());
        if let Some(tls) = &wiring.tls {
            let tls = tls.clone().time(Arc::<NodeTime>::clone(&time));
            wire.set_tls(&tls).expect("the certificates can be used");
        }
        if let Some(websocket) = &wiring.websocket {
            wire.set_websocket(websocket.clone());
        }
        Box::new(Wired { wire, time, listeners: BTreeSet::new(), sealed: BTreeSet::new() })
    }
}

/// Tells whether a transport is TCP with something on it, which a wire does.
pub(crate) const fn is_layered(proto: Proto) -> bool {
    matches!(proto, Proto::Tls | Proto::Ws | Proto::Wss)
}

/// A machine without anything around it.
struct Bare<M>(M);

impl<M: Machine> Machine for Bare<M> {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.0.handle_input(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.0.poll_output()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }
}

impl<M: Machine + Any> Run for Bare<M> {
    fn own(&self) -> &dyn Any {
        &self.0
    }

    fn own_mut(&mut self) -> &mut dyn Any {
        &mut self.0
    }
}

/// A machine with a wire around it.
struct Wired<M> {
    wire: Wire<Tap<M>>,
    time: Arc<NodeTime>,
    /// The sockets whose connections are sealed, and the connections.
    listeners: BTreeSet<SocketId>,
    sealed: BTreeSet<ConnId>,
}

impl<M: Machine> Machine for Wired<M> {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match &input {
            Input::Accepted { socket, conn, .. } if self.listeners.contains(socket) => {
                self.sealed.insert(*conn);
            }
            Input::Closed { conn, .. } => {
                self.sealed.remove(conn);
            }
            _ => (),
        }
        self.wire.handle_input(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        let output = self.wire.poll_output()?;
        match &output {
            Output::Bind { socket, .. } if self.wire.machine().binds.contains_key(socket) => {
                self.listeners.insert(*socket);
            }
            Output::Unbind { socket } => {
                self.listeners.remove(socket);
            }
            Output::Connect { conn, .. } if self.wire.machine().conns.contains_key(conn) => {
                self.sealed.insert(*conn);
            }
            Output::Close { conn, how: CloseHow::Reset } => {
                self.sealed.remove(conn);
            }
            _ => (),
        }
        Some(output)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.wire.poll_timeout()
    }
}

impl<M: Machine + Any> Run for Wired<M> {
    fn own(&self) -> &dyn Any {
        &self.wire.machine().machine
    }

    fn own_mut(&mut self) -> &mut dyn Any {
        &mut self.wire.machine_mut().machine
    }

    fn set_wall(&self, wall: UnixTime) {
        self.time.0.store(wall.as_millis(), Ordering::Relaxed);
    }

    fn seals(&self, conn: ConnId) -> bool {
        self.sealed.contains(&conn)
    }

    fn news(&mut self) -> Option<&mut VecDeque<News>> {
        Some(&mut self.wire.machine_mut().news)
    }

    fn set_tls(&mut self, tls: &Tls) -> Result<(), CertificateError> {
        self.wire.set_tls(&tls.clone().time(Arc::<NodeTime>::clone(&self.time)))
    }

    fn stats(&self) -> Option<&WireStats> {
        Some(self.wire.stats())
    }

    fn failure(&self) -> Option<&WireFailure> {
        self.wire.last_failure()
    }
}

/// A node's wall clock in milliseconds, as certificates are judged by it.
#[derive(Debug, Default)]
struct NodeTime(AtomicU64);

impl TimeProvider for NodeTime {
    fn current_time(&self) -> Option<pki_types::UnixTime> {
        let passed = Duration::from_millis(self.0.load(Ordering::Relaxed));
        Some(pki_types::UnixTime::since_unix_epoch(passed))
    }
}

/// Stands between a wire and the machine and notes what passes.
struct Tap<M> {
    machine: M,
    /// What the machine wants of sockets and connections that have something on TCP.
    binds: BTreeMap<SocketId, Proto>,
    conns: BTreeMap<ConnId, Proto>,
    news: VecDeque<News>,
}

/// Something that happened above TLS and WebSocket.
pub(crate) struct News {
    conn: ConnId,
    proto: Proto,
    what: Above,
}

enum Above {
    Opened,
    Wrote(Bytes),
    Read(usize),
}

impl<M> Tap<M> {
    const fn new(machine: M) -> Self {
        Self { machine, binds: BTreeMap::new(), conns: BTreeMap::new(), news: VecDeque::new() }
    }

    fn note(&mut self, conn: ConnId, what: Above) {
        if let Some(&proto) = self.conns.get(&conn) {
            self.news.push_back(News { conn, proto, what });
        }
    }
}

impl<M: Machine> Machine for Tap<M> {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match &input {
            Input::Accepted { socket, conn, .. } => {
                if let Some(&proto) = self.binds.get(socket) {
                    self.conns.insert(*conn, proto);
                    self.note(*conn, Above::Opened);
                }
            }
            Input::Connected { conn, .. } => self.note(*conn, Above::Opened),
            Input::Received { conn, data } if !data.is_empty() => self.note(*conn, Above::Read(data.len())),
            Input::Closed { conn, .. } => {
                self.conns.remove(conn);
            }
            _ => (),
        }
        self.machine.handle_input(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        let output = self.machine.poll_output()?;
        match &output {
            Output::Bind { socket, proto, .. } if is_layered(*proto) => {
                self.binds.insert(*socket, *proto);
            }
            Output::Unbind { socket } => {
                self.binds.remove(socket);
            }
            Output::Connect { conn, proto, .. } if is_layered(*proto) => {
                self.conns.insert(*conn, *proto);
            }
            Output::Send { conn, data } => self.note(*conn, Above::Wrote(data.clone())),
            Output::Close { conn, how: CloseHow::Reset } => {
                self.conns.remove(conn);
            }
            _ => (),
        }
        Some(output)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }
}
