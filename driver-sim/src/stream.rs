use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use sansip::{CloseHow, ConnId, DnsName, Input, Instant, IoKind, Proto};

use crate::{
    draw::Draws,
    link::Segments,
    nat::Crossing,
    node::{NodeId, Power, Reading},
    rule::{Packet, Verdict},
    trace::{Hop, StreamEvent, What},
    wired::is_layered,
    world::{Happening, Sim},
};

/// All connections of a world.
#[derive(Debug)]
pub(crate) struct Streams {
    seed: u64,
    next: u64,
    live: BTreeMap<u64, Stream>,
}

impl Streams {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed, next: 0, live: BTreeMap::new() }
    }
}

/// What may happen to a connection. A side is 0 for the node that opened it and 1 for the other; it is the side that
/// sent, or whose bytes it is about.
#[derive(Debug)]
pub(crate) enum StreamStep {
    /// The opener asks (again).
    Ask,
    /// The question is at the listener.
    Asked,
    /// The answer is at the opener.
    Answered { refusal: Option<IoKind> },
    /// The opener confirms (again).
    Confirm,
    /// The confirmation is at the listener.
    Confirmed,
    /// Nobody answered in time, or no host is there.
    GiveUpOpening(IoKind),
    /// What was written at one moment is taken together.
    Pump { side: usize },
    /// Bytes are at the other end; they took so many of the buffer.
    Segment { side: usize, data: Bytes, held: usize },
    /// The end of the bytes is at the other end.
    Fin { side: usize },
    /// A reset is at the other end.
    Rst { side: usize },
    /// What did not get through is sent again.
    Retry { side: usize },
    /// What does not get through is given up.
    GiveUp { side: usize },
    /// The other node takes bytes that arrived.
    Read { side: usize },
}

#[derive(Debug)]
struct Stream {
    proto: Proto,
    /// Whom the listener must prove to be.
    name: Option<DnsName>,
    ends: [End; 2],
    /// The address of each end, as the other sees it.
    seen: [SocketAddr; 2],
    /// The NATs between them, from the opener on; `true` where the opener is on the inside.
    nats: Vec<(Crossing, bool)>,
    /// The bytes that each end sends.
    ways: [Way; 2],
    stage: Stage,
    tries: u32,
    give_up: Instant,
    draws: Draws,
}

/// Where a new connection leads.
struct NatWay {
    to: Option<NodeId>,
    /// The opener's address at the end of the way.
    source: SocketAddr,
    /// The listener's own address.
    target: SocketAddr,
    nats: Vec<(Crossing, bool)>,
    /// Whether a NAT did not let it pass.
    filtered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Asking,
    /// The opener may use it; its confirmation is not yet on its way.
    Confirming,
    Open,
}

#[derive(Clone, Copy, Debug)]
struct End {
    node: NodeId,
    /// The number is not known at the listener before the connection is accepted.
    conn: ConnId,
    addr: SocketAddr,
    state: EndState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndState {
    Opening,
    /// Its node has closed it before it was open.
    OpeningToFlush,
    Open,
    /// It ends when its bytes are taken: its node has closed it, or the other end has come.
    Flushing,
    Gone,
}

/// The bytes from one end to the other.
#[derive(Debug, Default)]
struct Way {
    /// Not yet taken by the system: what the node is not told of as drained.
    waiting: VecDeque<Bytes>,
    /// Taken, but not sent.
    unsent: VecDeque<Bytes>,
    /// Arrived, but not taken by the reader, each with the room it takes in the buffer.
    unread: VecDeque<(Bytes, usize)>,
    /// All that is taken and not read, in bytes.
    held: usize,
    fin: Fin,
    last_arrival: Instant,
    stall: Stall,
    read: Readiness,
    /// A pump is on its way.
    pumps: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fin {
    #[default]
    None,
    Wanted,
    Sent,
    Arrived,
}

/// Whether bytes get through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stall {
    #[default]
    Flows,
    /// Not since `since`, in as many tries; `waits` until the next try.
    Since { since: Instant, tries: u32, waits: bool },
}

#[derive(Clone, Copy, Debug, Default)]
struct Readiness {
    queued: bool,
    not_before: Instant,
}

const SEGMENT: usize = 1460;
const HEADERS: usize = 40;
const FIRST_RETRY: Duration = Duration::from_millis(200);
const FIRST_ASK: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(120);

/// What machines and tests do with connections.
impl Sim {
    /// Opens a connection as a machine wants it.
    pub(crate) fn connect(
        &mut self,
        node: NodeId,
        conn: ConnId,
        proto: Proto,
        remote: SocketAddr,
        name: Option<DnsName>,
    ) {
        let slot = &mut self.nodes[node.index()];
        assert!(conn.0.is_multiple_of(2), "{} opens a connection with the odd number {}", slot.name, conn.0);
        assert!(!slot.conns.contains_key(&conn), "{} opens connection {} twice", slot.name, conn.0);
        let unsupported = proto == Proto::Udp || slot.wiring.is_some() && is_layered(proto);
        let local = slot.address_like(remote.ip()).filter(|_| !unsupported);
        let port = local.and_then(|ip| slot.sockets.free_port(proto, ip));
        let (Some(ip), Some(port)) = (local, port) else {
            let kind = if unsupported { IoKind::Unsupported } else { IoKind::Unreachable };
            slot.soon.push_back(Input::Closed { conn, error: Some(kind) });
            return;
        };
        let (id, local) = (self.streams.next, SocketAddr::new(ip, port));
        self.streams.next += 1;
        slot.conns.insert(conn, (id, 0));
        let way = self.way(node, proto, local, remote);
        let (to, target, source) = (way.to, way.target, way.source);
        let end = |node, conn, addr| End { node, conn, addr, state: EndState::Opening };
        let stream = Stream {
            proto,
            name,
            ends: [end(node, conn, local), end(to.unwrap_or(node), ConnId(0), target)],
            seen: [source, remote],
            nats: way.nats,
            ways: [Way::default(), Way::default()],
            stage: Stage::Asking,
            tries: 0,
            give_up: self.now + self.network.connect_timeout,
            draws: Draws::new(self.streams.seed, &format!("stream {id}")),
        };
        let give_up = stream.give_up;
        self.streams.live.insert(id, stream);
        self.trace_stream(id, 0, Bytes::new(), StreamEvent::Connecting);
        match to {
            Some(_) => self.ask(id),
            None if self.network.icmp && !way.filtered => {
                let at = self.now + self.network.usual_delay().draw(0) * 2;
                self.schedule_stream(at, id, StreamStep::GiveUpOpening(IoKind::Unreachable));
            }
            None => self.schedule_stream(give_up, id, StreamStep::GiveUpOpening(IoKind::TimedOut)),
        }
    }

    /// Writes as a machine wants it.
    pub(crate) fn write(&mut self, node: NodeId, conn: ConnId, data: Bytes) {
        let Some(&(id, side)) = self.nodes[node.index()].conns.get(&conn) else {
            return self.ignore(node, "write to a connection that has ended");
        };
        match self.nodes[node.index()].machine.seals(conn) {
            true => self.trace_stream(id, side, Bytes::new(), StreamEvent::WroteSealed(data.len())),
            false => self.trace_stream(id, side, data.clone(), StreamEvent::Wrote),
        }
        if let Some(stream) = self.streams.live.get_mut(&id).filter(|_| !data.is_empty()) {
            stream.ways[side].waiting.push_back(data);
            self.queue_pump(id, side);
        }
    }

    /// Ends a connection as a machine wants it.
    pub(crate) fn close(&mut self, node: NodeId, conn: ConnId, how: CloseHow) {
        let Some(&(id, side)) = self.nodes[node.index()].conns.get(&conn) else {
            return self.ignore(node, "close of a connection that has ended");
        };
        self.trace_stream(id, side, Bytes::new(), StreamEvent::Closing(how));
        if how == CloseHow::Flush {
            return self.flush(id, side);
        }
        self.nodes[node.index()].conns.remove(&conn);
        let Some(stream) = self.streams.live.get(&id) else { return };
        if !matches!(stream.ends[side].state, EndState::Opening | EndState::OpeningToFlush) {
            self.send_reset(id, side);
        }
        self.lose_end(id, side);
    }

    /// Has an end tell the other one that no more bytes come, once they are taken.
    fn flush(&mut self, id: u64, side: usize) {
        let Some(stream) = self.streams.live.get_mut(&id) else { return };
        stream.ends[side].state = match stream.ends[side].state {
            EndState::Opening => EndState::OpeningToFlush,
            EndState::Open => EndState::Flushing,
            EndState::OpeningToFlush | EndState::Flushing | EndState::Gone => return,
        };
        stream.ways[side].fin = Fin::Wanted;
        self.queue_pump(id, side);
    }

    /// Breaks all connections between two nodes; both ends are told at once.
    pub fn reset_streams(&mut self, a: impl Into<NodeId>, b: impl Into<NodeId>) {
        let (a, b) = (a.into(), b.into());
        self.note(format!("reset streams between {} and {}", self.name(a), self.name(b)));
        let between = |stream: &Stream| {
            let nodes = stream.ends.map(|end| end.node);
            nodes == [a, b] || nodes == [b, a]
        };
        let broken = self.streams.live.iter().filter(|(_, stream)| between(stream));
        let broken: Vec<u64> = broken.map(|(id, _)| *id).collect();
        for id in broken {
            self.end(id, 0, Some(IoKind::Reset));
            self.end(id, 1, Some(IoKind::Reset));
        }
        self.attend(a);
        self.attend(b);
    }

    /// Sets how fast a node takes bytes from its streams.
    pub fn set_reading(&mut self, node: impl Into<NodeId>, reading: Reading) {
        let node = node.into();
        let slot = &mut self.nodes[node.index()];
        slot.reading = reading;
        let streams: Vec<(u64, usize)> = slot.conns.values().copied().collect();
        for (id, side) in streams {
            self.queue_read(id, 1 - side);
        }
    }

    /// Breaks the connections of a node whose process dies; what it has closed before still goes out.
    pub(crate) fn break_streams(&mut self, node: NodeId) {
        let streams: Vec<(u64, usize)> = self.nodes[node.index()].conns.values().copied().collect();
        for (id, side) in streams {
            if self.streams.live.get(&id).is_some_and(|stream| stream.ends[side].state != EndState::Flushing)
            {
                self.send_reset(id, side);
                self.lose_end(id, side);
            }
        }
    }

    /// Ends the connections of a node that falls silent; their other ends hear nothing of it.
    pub(crate) fn silence_streams(&mut self, node: NodeId) {
        let has = |stream: &Stream, side: usize| stream.ends[side].node == node;
        let ends = self.streams.live.iter().flat_map(|(id, stream)| {
            (0..2).filter(move |side| has(stream, *side)).map(move |side| (*id, side))
        });
        let ends: Vec<(u64, usize)> = ends.collect();
        for (id, side) in ends {
            self.lose_end(id, side);
        }
    }
}

/// What happens to connections.
impl Sim {
    pub(crate) fn stream_step(&mut self, id: u64, step: StreamStep) {
        if !self.streams.live.contains_key(&id) {
            return;
        }
        match step {
            StreamStep::Ask => self.ask(id),
            StreamStep::Asked => self.asked(id),
            StreamStep::Answered { refusal: None } => self.opened(id),
            StreamStep::Answered { refusal } => self.end_and_attend(id, 0, refusal),
            StreamStep::Confirm => self.confirm(id),
            StreamStep::Confirmed => self.confirmed(id),
            StreamStep::GiveUpOpening(kind) => self.end_and_attend(id, 0, Some(kind)),
            StreamStep::Pump { side } => self.pump_now(id, side),
            StreamStep::Segment { side, data, held } => self.segment(id, side, data, held),
            StreamStep::Fin { side } => self.fin(id, side),
            StreamStep::Rst { side } => self.reset(id, 1 - side),
            StreamStep::Retry { side } => self.retry(id, side),
            StreamStep::GiveUp { side } => self.end_and_attend(id, side, Some(IoKind::TimedOut)),
            StreamStep::Read { side } => self.read(id, side),
        }
    }

    fn ask(&mut self, id: u64) {
        match self.pass(id, 0, Bytes::new()) {
            Some((delay, _)) => self.schedule_stream(self.now + delay, id, StreamStep::Asked),
            None => self.ask_again(id),
        }
    }

    fn ask_again(&mut self, id: u64) {
        let Some(stream) = self.streams.live.get_mut(&id) else { return };
        let next = self.now + FIRST_ASK * (1 << stream.tries.min(6));
        stream.tries += 1;
        let give_up = stream.give_up;
        if next < give_up {
            self.schedule_stream(next, id, StreamStep::Ask);
        } else {
            self.schedule_stream(give_up, id, StreamStep::GiveUpOpening(IoKind::TimedOut));
        }
    }

    fn asked(&mut self, id: u64) {
        let Some(stream) = self.streams.live.get(&id) else { return };
        let slot = &self.nodes[stream.ends[1].node.index()];
        let refusal = match slot.power {
            Power::Off => return self.ask_again(id),
            Power::Crashed => Some(IoKind::Refused),
            Power::Up => match slot.sockets.listener(stream.proto, stream.ends[1].addr) {
                None => Some(IoKind::Refused),
                Some((_, proto)) if proto != stream.proto => Some(IoKind::Protocol),
                Some(_) => slot.proof.refuses(stream.proto, stream.name.as_ref()),
            },
        };
        match self.pass(id, 1, Bytes::new()) {
            Some((delay, _)) => self.schedule_stream(self.now + delay, id, StreamStep::Answered { refusal }),
            None => self.ask_again(id),
        }
    }

    fn opened(&mut self, id: u64) {
        let Some(stream) = self.streams.live.get_mut(&id) else { return };
        let end = &mut stream.ends[0];
        end.state = if end.state == EndState::Opening { EndState::Open } else { EndState::Flushing };
        stream.stage = Stage::Confirming;
        let End { node, conn, addr, .. } = *end;
        let peer = self.nodes[stream.ends[1].node.index()].proof.as_server(stream.proto);
        self.trace_stream(id, 0, Bytes::new(), StreamEvent::Connected);
        let input = Input::Connected { conn, local: addr, peer };
        self.nodes[node.index()].soon.push_back(input);
        self.confirm(id);
    }

    fn confirm(&mut self, id: u64) {
        let passed = self.pass(id, 0, Bytes::new());
        let Some(stream) = self.streams.live.get_mut(&id) else { return };
        let opener = stream.ends[0].node;
        match passed {
            Some((delay, _)) => {
                let at = self.now + delay;
                stream.stage = Stage::Open;
                stream.ways[0].last_arrival = at;
                self.schedule_stream(at, id, StreamStep::Confirmed);
                self.pump(id, 0);
            }
            None if self.now >= stream.give_up => self.end(id, 0, Some(IoKind::TimedOut)),
            None => self.schedule_stream(self.now + FIRST_ASK, id, StreamStep::Confirm),
        }
        self.attend(opener);
    }

    fn confirmed(&mut self, id: u64) {
        let Some(stream) = self.streams.live.get(&id) else { return };
        let (proto, end) = (stream.proto, stream.ends[1]);
        let peer = self.nodes[stream.ends[0].node.index()].proof.as_client(proto);
        let slot = &mut self.nodes[end.node.index()];
        let socket = slot.sockets.at(proto, end.addr).filter(|_| slot.power == Power::Up);
        let Some(socket) = socket else {
            if slot.power != Power::Off {
                self.send_reset(id, 1);
            }
            return self.lose_end(id, 1);
        };
        let conn = slot.accepted_id();
        slot.conns.insert(conn, (id, 1));
        let Some(stream) = self.streams.live.get_mut(&id) else { return };
        stream.ends[1] = End { conn, state: EndState::Open, ..end };
        let remote = stream.seen[0];
        self.trace_stream(id, 1, Bytes::new(), StreamEvent::Accepted);
        self.give(end.node, Input::Accepted { socket, conn, local: end.addr, remote, peer });
    }

    fn segment(&mut self, id: u64, side: usize, data: Bytes, held: usize) {
        let Some(stream) = self.streams.live.get_mut(&id) else { return };
        let (writer, end) = (stream.ends[side].node, stream.ends[1 - side]);
        let slot = &self.nodes[end.node.index()];
        if slot.power == Power::Off {
            return self.stall(id, side);
        }
        let way = &mut stream.ways[side];
        match end.state {
            EndState::Open | EndState::Flushing => {
                let stalled = matches!(way.stall, Stall::Since { waits: false, .. });
                if stalled {
                    way.stall = Stall::Flows;
                }
                way.unread.push_back((data, held));
                if slot.reading == Reading::Full && !way.read.queued {
                    return self.read(id, side);
                }
                self.queue_read(id, side);
                if stalled {
                    self.pump(id, side);
                    self.attend(writer);
                }
            }
            EndState::Opening | EndState::OpeningToFlush | EndState::Gone => self.send_reset(id, 1 - side),
        }
    }

    fn fin(&mut self, id: u64, side: usize) {
        let Some(stream) = self.streams.live.get_mut(&id) else { return };
        let end = stream.ends[1 - side];
        if self.nodes[end.node.index()].power == Power::Off {
            stream.ways[side].fin = Fin::Wanted;
            return self.stall(id, side);
        }
        if end.state == EndState::Gone {
            return self.send_reset(id, 1 - side);
        }
        stream.ways[side].fin = Fin::Arrived;
        self.end_if_over(id, 1 - side);
        self.attend(end.node);
    }

    fn reset(&mut self, id: u64, side: usize) {
        let Some(end) = self.streams.live.get(&id).map(|stream| stream.ends[side]) else { return };
        match end.state {
            EndState::Open | EndState::Flushing => self.end_and_attend(id, side, Some(IoKind::Reset)),
            EndState::Opening | EndState::OpeningToFlush => {
                self.end_and_attend(id, side, Some(IoKind::Refused))
            }
            EndState::Gone => self.lose_end(id, side),
        }
    }

    /// Gives the reader the next piece that arrived.
    fn read(&mut self, id: u64, side: usize) {
        let Some(stream) = self.streams.live.get_mut(&id) else { return };
        let (writer, end) = (stream.ends[side].node, stream.ends[1 - side]);
        let way = &mut stream.ways[side];
        way.read.queued = false;
        let reading = self.nodes[end.node.index()].reading;
        if !matches!(end.state, EndState::Open | EndState::Flushing) || reading == Reading::Paused {
            return;
        }
        let Some((data, held)) = way.unread.pop_front() else { return };
        way.held -= held.min(way.held);
        if let Reading::Rate(rate) = reading {
            let takes = data.len() as u64 * 1_000_000_000 / rate.max(1);
            way.read.not_before = self.now + Duration::from_nanos(takes);
        }
        let known = self.nodes[end.node.index()].conns.get(&end.conn) == Some(&(id, 1 - side));
        if known && !data.is_empty() {
            let event = match self.nodes[end.node.index()].machine.seals(end.conn) {
                true => StreamEvent::ReadSealed(data.len()),
                false => StreamEvent::Read(data.len()),
            };
            self.trace_stream(id, side, Bytes::new(), event);
            self.give(end.node, Input::Received { conn: end.conn, data: &data });
        }
        self.pump(id, side);
        self.attend(writer);
        self.queue_read(id, side);
        self.end_if_over(id, 1 - side);
        self.attend(end.node);
    }

    /// Ends one end in order if the other's has come and been read: it flushes, and its node is told when that is done.
    fn end_if_over(&mut self, id: u64, side: usize) {
        let Some(stream) = self.streams.live.get(&id) else { return };
        if stream.ways[1 - side].fin == Fin::Arrived && stream.ways[1 - side].unread.is_empty() {
            match stream.ways[side].fin {
                Fin::None | Fin::Wanted => self.flush(id, side),
                Fin::Sent | Fin::Arrived => self.end(id, side, None),
            }
        }
    }

    fn queue_read(&mut self, id: u64, side: usize) {
        let Some(stream) = self.streams.live.get_mut(&id) else { return };
        let reading = self.nodes[stream.ends[1 - side].node.index()].reading;
        let way = &mut stream.ways[side];
        if way.read.queued || way.unread.is_empty() || reading == Reading::Paused {
            return;
        }
        way.read.queued = true;
        let at = if reading == Reading::Full { self.now } else { way.read.not_before.max(self.now) };
        self.schedule_stream(at, id, StreamStep::Read { side });
    }

    fn queue_pump(&mut self, id: u64, side: usize) {
        let Some(stream) = self.streams.live.get_mut(&id) else { return };
        if !std::mem::replace(&mut stream.ways[side].pumps, true) {
            self.schedule_stream(self.now, id, StreamStep::Pump { side });
        }
    }

    fn pump_now(&mut self, id: u64, side: usize) {
        let Some(stream) = self.streams.live.get_mut(&id) else { return };
        stream.ways[side].pumps = false;
        let writer = stream.ends[side].node;
        self.pump(id, side);
        self.attend(writer);
    }

    fn retry(&mut self, id: u64, side: usize) {
        let Some(stream) = self.streams.live.get_mut(&id) else { return };
        let writer = stream.ends[side].node;
        if let Stall::Since { waits, .. } = &mut stream.ways[side].stall {
            *waits = false;
        }
        self.pump(id, side);
        self.attend(writer);
    }
}

/// How bytes move.
impl Sim {
    /// Takes bytes from the writer as there is room, and sends what is taken. The caller attends to the writer.
    fn pump(&mut self, id: u64, side: usize) {
        let mut drained = 0;
        loop {
            let Some(stream) = self.streams.live.get_mut(&id) else { return };
            let [from, to] = [stream.ends[side].node, stream.ends[1 - side].node];
            let link = &self.network.path(from, to).link;
            let (segments, buffer) = (link.segments, link.buffer);
            if !stream.may_send(side) {
                break;
            }
            let whole = carries_messages(stream.proto);
            drained += stream.ways[side].fill(buffer, whole);
            if !self.send_piece(id, side, segments) {
                break;
            }
        }
        let Some(end) = self.streams.live.get(&id).map(|stream| stream.ends[side]) else { return };
        let slot = &mut self.nodes[end.node.index()];
        if drained > 0 && slot.conns.get(&end.conn) == Some(&(id, side)) {
            slot.soon.push_back(Input::Drained { conn: end.conn, bytes: drained });
        }
        self.end_if_over(id, side);
    }

    /// Sends one segment, the end, or a probe; returns whether there may be more to send.
    fn send_piece(&mut self, id: u64, side: usize, segments: Segments) -> bool {
        let Some(stream) = self.streams.live.get_mut(&id) else { return false };
        let way = &mut stream.ways[side];
        let probes = matches!(way.stall, Stall::Since { .. });
        let data = if carries_messages(stream.proto) {
            way.unsent.pop_front().unwrap_or_default()
        } else {
            way.cut(segments, &mut stream.draws)
        };
        let ends = data.is_empty() && way.waiting.is_empty() && way.fin == Fin::Wanted;
        if data.is_empty() && !ends && !probes {
            return false;
        }
        let held = data.len();
        let passed = self.pass(id, side, data.clone());
        let Some(stream) = self.streams.live.get_mut(&id) else { return false };
        let way = &mut stream.ways[side];
        let Some((delay, sent)) = passed else {
            if held > 0 {
                way.unsent.push_front(data);
            }
            self.stall(id, side);
            return false;
        };
        let at = (self.now + delay).max(way.last_arrival);
        way.last_arrival = at;
        if ends {
            way.fin = Fin::Sent;
            self.schedule_stream(at, id, StreamStep::Fin { side });
            return false;
        }
        self.schedule_stream(at, id, StreamStep::Segment { side, data: sent, held });
        // After a stall one piece goes alone, to see whether it gets through.
        held > 0 && !probes
    }

    /// Lets a piece pass the network: how long it takes and what is left of it, `None` if it does not get through.
    fn pass(&mut self, id: u64, side: usize, data: Bytes) -> Option<(Duration, Bytes)> {
        let stream = self.streams.live.get_mut(&id)?;
        let (proto, end, other, target) =
            (stream.proto, stream.ends[side], stream.ends[1 - side], stream.seen[1 - side]);
        let mut through = Some(Duration::ZERO);
        for (from, to) in self.legs(id, side)? {
            let stream = self.streams.live.get_mut(&id)?;
            let fate = self.network.path(from, to).fate(self.now, data.len() + HEADERS, stream.draws.eight());
            let faults = &self.network.faults;
            if faults.cuts(from, to) {
                return None;
            }
            let extra = faults.extra(from, to);
            through = through.filter(|_| fate.lost.is_none()).map(|before| before + fate.delay + extra);
        }
        let faults = &mut self.network.faults;
        if data.is_empty() || !faults.has_rules() {
            return through.map(|delay| (delay, data));
        }
        let verdict = faults.judge(&Packet {
            at: self.now,
            from: end.node,
            to: other.node,
            proto,
            source: end.addr,
            target,
            payload: data.clone(),
        });
        match verdict {
            Verdict::Pass => through.map(|delay| (delay, data)),
            Verdict::Deliver(delay) => Some((delay, data)),
            Verdict::Drop => None,
            Verdict::Replace(data) => through.map(|delay| (delay, data)),
        }
    }

    /// Finds the way of a new connection, and makes the mappings that it needs.
    fn way(&mut self, opener: NodeId, proto: Proto, source: SocketAddr, target: SocketAddr) -> NatWay {
        let mut way = NatWay { to: None, source, target, nats: Vec::new(), filtered: false };
        let mut at = opener;
        while let Some(next) = self.next_hop(at, way.target.ip()) {
            if self.nodes[next.index()].nat.is_none() {
                way.to = Some(next);
                break;
            }
            let Some(translated) = self.translate(next, at, proto, way.source, way.target) else {
                way.filtered = true;
                break;
            };
            let (outward, inward) = (translated.outward, translated.inward);
            way.nats.extend(outward.map(|crossing| (crossing, true)));
            way.nats.extend(inward.map(|crossing| (crossing, false)));
            (way.source, way.target, at) = (translated.source, translated.target, next);
        }
        way
    }

    /// Returns the links that a piece takes, one after the other, `None` if a NAT lets it not pass.
    fn legs(&mut self, id: u64, side: usize) -> Option<Vec<(NodeId, NodeId)>> {
        let stream = self.streams.live.get(&id)?;
        let (proto, ends) = (stream.proto, [stream.ends[0].node, stream.ends[1].node]);
        if stream.nats.is_empty() {
            return Some(vec![(ends[side], ends[1 - side])]);
        }
        let nats = stream.nats.clone();
        let mut stops = vec![ends[0]];
        for (crossing, opener_inside) in nats {
            let nat = crossing.nat;
            let (now, outward) = (self.now, (side == 0) == opener_inside);
            let is_up = self.nodes[nat.index()].power == Power::Up;
            if !is_up || !self.mappings(nat).carries(proto, crossing, outward, now) {
                return None;
            }
            if stops.last() != Some(&nat) {
                stops.push(nat);
            }
        }
        stops.push(ends[1]);
        if side == 1 {
            stops.reverse();
        }
        Some(stops.windows(2).map(|pair| (pair[0], pair[1])).collect())
    }

    /// Notes that a piece did not get through, and tries again later.
    fn stall(&mut self, id: u64, side: usize) {
        let limit = self.network.stall_timeout;
        let Some(stream) = self.streams.live.get_mut(&id) else { return };
        if stream.ends[side].state == EndState::Gone {
            return;
        }
        let (since, tries) = match stream.ways[side].stall {
            Stall::Flows => (self.now, 0),
            Stall::Since { waits: true, .. } => return,
            Stall::Since { since, tries, .. } => (since, tries + 1),
        };
        stream.ways[side].stall = Stall::Since { since, tries, waits: true };
        let retry = self.now + LAST_RETRY.min(FIRST_RETRY * (1 << tries.min(10)));
        if retry < since + limit {
            self.schedule_stream(retry, id, StreamStep::Retry { side });
        } else {
            self.schedule_stream((since + limit).max(self.now), id, StreamStep::GiveUp { side });
        }
    }

    /// Sends a reset, which is lost if the network loses it.
    fn send_reset(&mut self, id: u64, side: usize) {
        let Some((delay, _)) = self.pass(id, side, Bytes::new()) else { return };
        let Some(stream) = self.streams.live.get(&id) else { return };
        let at = (self.now + delay).max(stream.ways[side].last_arrival);
        self.schedule_stream(at, id, StreamStep::Rst { side });
    }

    fn end_and_attend(&mut self, id: u64, side: usize, error: Option<IoKind>) {
        let Some(node) = self.streams.live.get(&id).map(|stream| stream.ends[side].node) else { return };
        self.end(id, side, error);
        self.attend(node);
    }

    /// Tells a node that its connection has ended, unless it has ended it itself.
    fn end(&mut self, id: u64, side: usize, error: Option<IoKind>) {
        let Some(end) = self.streams.live.get(&id).map(|stream| stream.ends[side]) else { return };
        let slot = &mut self.nodes[end.node.index()];
        // The number may be another connection's if the node has started again.
        if slot.conns.get(&end.conn) == Some(&(id, side)) {
            slot.conns.remove(&end.conn);
            slot.soon.push_back(Input::Closed { conn: end.conn, error });
            self.trace_stream(id, side, Bytes::new(), StreamEvent::Ended(error));
        }
        self.lose_end(id, side);
    }

    /// Forgets one end, and the connection with the second.
    fn lose_end(&mut self, id: u64, side: usize) {
        let Some(stream) = self.streams.live.get_mut(&id) else { return };
        stream.ways[1 - side].unread.clear();
        stream.ends[side].state = EndState::Gone;
        stream.ways[side].waiting.clear();
        stream.ways[side].unsent.clear();
        let never_open = side == 0 && stream.stage != Stage::Open;
        if never_open || stream.ends[1 - side].state == EndState::Gone {
            self.streams.live.remove(&id);
        }
    }

    fn schedule_stream(&mut self, at: Instant, stream: u64, step: StreamStep) {
        self.schedule(at, Happening::Stream { stream, step });
    }

    fn trace_stream(&mut self, id: u64, side: usize, payload: Bytes, event: StreamEvent) {
        let Some(proto) = self.streams.live.get(&id).map(|stream| stream.proto) else { return };
        self.trace_above(id, side, proto, payload, event);
    }

    /// Traces what happens on a connection as a machine sees it that speaks `proto` over it.
    pub(crate) fn trace_above(
        &mut self,
        id: u64,
        side: usize,
        proto: Proto,
        payload: Bytes,
        event: StreamEvent,
    ) {
        let Some(stream) = self.streams.live.get(&id) else { return };
        let (end, other) = (stream.ends[side], stream.ends[1 - side]);
        let to = Some(other.node).filter(|_| self.host(other.addr.ip()) == Some(other.node));
        let target = stream.seen[1 - side];
        let hop =
            Hop { number: id, proto, from: end.node, to, source: end.addr, target, sent: self.now, payload };
        self.trace.push(self.now, What::Stream { hop, event });
    }
}

impl Stream {
    fn may_send(&self, side: usize) -> bool {
        let state_lets = matches!(self.ends[side].state, EndState::Open | EndState::Flushing);
        let waits = matches!(self.ways[side].stall, Stall::Since { waits: true, .. });
        self.stage == Stage::Open && state_lets && !waits
    }
}

impl Way {
    /// Takes waiting bytes as far as there is room; returns how many. A message goes whole as soon as there is any.
    fn fill(&mut self, buffer: usize, whole: bool) -> usize {
        let before = self.held;
        while self.held < buffer
            && let Some(mut data) = self.waiting.pop_front()
        {
            let room = if whole { data.len() } else { buffer - self.held };
            let taken = data.split_to(data.len().min(room));
            self.held += taken.len();
            self.unsent.push_back(taken);
            if !data.is_empty() {
                self.waiting.push_front(data);
            }
        }
        self.held - before
    }

    /// Cuts off the next segment, empty if there is nothing to send.
    fn cut(&mut self, segments: Segments, draws: &mut Draws) -> Bytes {
        let Some(first) = self.unsent.front() else { return Bytes::new() };
        let size = match segments {
            Segments::Whole => first.len().min(SEGMENT),
            Segments::Fixed(size) => size.max(1),
            Segments::Random => match draws.below(8) {
                0 => 1,
                1 => 2 + index(draws.below(15)),
                2 | 3 => SEGMENT,
                _ => 1 + index(draws.below(first.len().min(SEGMENT) as u64)),
            },
        };
        self.take(size)
    }

    /// Takes up to `size` bytes that are not yet sent; they are copied only if they were written apart.
    fn take(&mut self, size: usize) -> Bytes {
        if let Some(first) = self.unsent.front_mut().filter(|first| first.len() > size) {
            return first.split_to(size);
        }
        let first = self.unsent.pop_front().unwrap_or_default();
        if first.len() >= size || self.unsent.is_empty() {
            return first;
        }
        let mut gathered = BytesMut::from(first);
        while gathered.len() < size
            && let Some(mut next) = self.unsent.pop_front()
        {
            gathered.extend_from_slice(&next.split_to(next.len().min(size - gathered.len())));
            if !next.is_empty() {
                self.unsent.push_front(next);
            }
        }
        gathered.freeze()
    }
}

/// Tells whether what is sent at once arrives at once: these transports keep the bounds of messages.
const fn carries_messages(proto: Proto) -> bool {
    matches!(proto, Proto::Ws | Proto::Wss | Proto::Sctp)
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
