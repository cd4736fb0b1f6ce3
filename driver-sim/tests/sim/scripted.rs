//! A machine that does what a test tells it and remembers what it heard.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use bytes::Bytes;
use sansip::{
    CloseHow, ConnId, DnsError, Input, Instant, IoKind, Machine, Output, PeerInfo, Proto, QueryId,
    RecordKind, Records, SocketId, Unreachable,
};

pub(crate) const UDP: SocketId = SocketId(0);
pub(crate) const TCP: SocketId = SocketId(1);

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What the machine heard, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Woke,
    Wall(u64),
    Bound(SocketId, Result<SocketAddr, IoKind>),
    Datagram(SocketAddr, Vec<u8>),
    Unreachable(SocketAddr, Unreachable),
    Accepted(ConnId, SocketAddr),
    Connected(ConnId),
    Received(ConnId, Vec<u8>),
    Drained(ConnId, usize),
    Closed(ConnId, Option<IoKind>),
    Resolved(QueryId, Result<Records, DnsError>),
}

type Reaction = Box<dyn FnMut(&mut VecDeque<Output>, Instant, &Event)>;

#[derive(Default)]
pub(crate) struct Scripted {
    pub(crate) heard: Vec<(Instant, Event)>,
    /// What was told of the other side of each connection, in turn.
    pub(crate) peers: Vec<PeerInfo>,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) deadline: Option<Instant>,
    reaction: Option<Reaction>,
    /// Keeps the deadline when it comes.
    pub(crate) stubborn: bool,
    sent: u64,
}

impl Scripted {
    /// Makes a machine that listens on UDP and TCP port 5060.
    pub(crate) fn new() -> Self {
        let any = SocketAddr::from(([0, 0, 0, 0], 5060));
        let outputs = [
            Output::Bind { socket: UDP, proto: Proto::Udp, addr: any },
            Output::Bind { socket: TCP, proto: Proto::Tcp, addr: any },
        ];
        Self { outputs: outputs.into(), ..Self::default() }
    }

    /// Makes a machine that has no sockets.
    pub(crate) fn silent() -> Self {
        Self::default()
    }

    pub(crate) fn reacting(
        mut self,
        reaction: impl FnMut(&mut VecDeque<Output>, Instant, &Event) + 'static,
    ) -> Self {
        self.reaction = Some(Box::new(reaction));
        self
    }

    pub(crate) fn send(&mut self, remote: SocketAddr, payload: impl Into<Bytes>) {
        let local = SocketAddr::from(([0, 0, 0, 0], 5060));
        self.outputs.push_back(Output::Transmit { socket: UDP, local, remote, payload: payload.into() });
    }

    /// Sends a datagram that no other equals.
    pub(crate) fn send_next(&mut self, remote: SocketAddr) {
        self.sent += 1;
        self.send(remote, format!("datagram {}", self.sent));
    }

    pub(crate) fn connect(&mut self, conn: u64, remote: SocketAddr) -> ConnId {
        let conn = ConnId(conn);
        self.outputs.push_back(Output::Connect { conn, proto: Proto::Tcp, remote, name: None });
        conn
    }

    pub(crate) fn write(&mut self, conn: ConnId, data: impl Into<Bytes>) {
        self.outputs.push_back(Output::Send { conn, data: data.into() });
    }

    pub(crate) fn close(&mut self, conn: ConnId, how: CloseHow) {
        self.outputs.push_back(Output::Close { conn, how });
    }

    pub(crate) fn resolve(&mut self, query: u64, name: &str, kind: RecordKind) {
        let name = name.parse().expect("a domain name");
        self.outputs.push_back(Output::Resolve { query: QueryId(query), name, kind });
    }

    pub(crate) fn datagrams(&self) -> Vec<String> {
        let texts = self.heard.iter().filter_map(|(_, event)| match event {
            Event::Datagram(_, payload) => Some(String::from_utf8_lossy(payload).into_owned()),
            _ => None,
        });
        texts.collect()
    }

    /// Returns all bytes that came on a connection.
    pub(crate) fn received(&self, conn: ConnId) -> Vec<u8> {
        let pieces = self.heard.iter().filter_map(|(_, event)| match event {
            Event::Received(other, data) if *other == conn => Some(data.as_slice()),
            _ => None,
        });
        pieces.collect::<Vec<_>>().concat()
    }

    pub(crate) fn drained(&self, conn: ConnId) -> usize {
        let counts = self.heard.iter().map(|(_, event)| match event {
            Event::Drained(other, bytes) if *other == conn => *bytes,
            _ => 0,
        });
        counts.sum()
    }

    /// Returns how a connection ended.
    pub(crate) fn closed(&self, conn: ConnId) -> Option<(Instant, Option<IoKind>)> {
        self.heard.iter().find_map(|(at, event)| match event {
            Event::Closed(other, error) if *other == conn => Some((*at, *error)),
            _ => None,
        })
    }

    /// Returns when the first event came for which a condition holds.
    pub(crate) fn first(&self, condition: impl Fn(&Event) -> bool) -> Option<Instant> {
        self.heard.iter().find(|(_, event)| condition(event)).map(|(at, _)| *at)
    }
}

impl Machine for Scripted {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        if let Input::Accepted { peer, .. } | Input::Connected { peer, .. } = &input {
            self.peers.push(peer.clone());
        }
        let event = match input {
            Input::Timeout => Event::Woke,
            Input::Wall(wall) => Event::Wall(wall.as_millis()),
            // What it binds and where is up to the test.
            Input::Interfaces(_) => return,
            Input::Bound { socket, result } => Event::Bound(socket, result),
            Input::Datagram { remote, payload, .. } => Event::Datagram(remote, payload.to_vec()),
            Input::Unreachable { remote, why, .. } => Event::Unreachable(remote, why),
            Input::Accepted { conn, remote, .. } => Event::Accepted(conn, remote),
            Input::Connected { conn, .. } => Event::Connected(conn),
            Input::Received { conn, data } => Event::Received(conn, data.to_vec()),
            Input::Drained { conn, bytes } => Event::Drained(conn, bytes),
            Input::Closed { conn, error } => Event::Closed(conn, error),
            Input::Resolved { query, result } => Event::Resolved(query, result),
            other => panic!("{other:?} is new"),
        };
        if event == Event::Woke && !self.stubborn {
            self.deadline = self.deadline.filter(|deadline| *deadline > now);
        }
        if let Some(reaction) = &mut self.reaction {
            reaction(&mut self.outputs, now, &event);
        }
        self.heard.push((now, event));
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }
}
