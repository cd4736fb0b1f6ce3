use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    net::{SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use bytes::Bytes;
use sansip::{
    ConnId, DnsError, Input, Instant, IoKind, Machine, Output, Proto, Records, SocketId, UnixTime,
    Unreachable,
};
use sansip_blocking::NodeHandle;

/// A machine that notes what it is told, does what it is asked, and may send everything back.
#[derive(Default)]
pub(crate) struct Probe {
    pub(crate) seen: Vec<Seen>,
    pub(crate) deadlines: BTreeSet<Instant>,
    pub(crate) fired: Vec<(Instant, Instant)>,
    /// Stops when so many timers have fired.
    pub(crate) stops_after: Option<usize>,
    drained: BTreeMap<ConnId, usize>,
    outputs: VecDeque<Output>,
    echoes: bool,
    fragile: bool,
}

/// The part of an input that tests look at.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Wall(UnixTime),
    Bound(SocketId, Result<SocketAddr, IoKind>),
    Unreachable(SocketAddr, Unreachable),
    Accepted(ConnId),
    Connected(ConnId),
    Closed(ConnId, Option<IoKind>),
    Resolved(Result<Records, DnsError>),
}

impl Probe {
    pub(crate) fn echo() -> Self {
        Self { echoes: true, ..Self::default() }
    }

    pub(crate) fn silent() -> Self {
        Self::default()
    }

    pub(crate) fn fragile() -> Self {
        Self { fragile: true, ..Self::default() }
    }

    pub(crate) fn ask(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn drained(&self, conn: ConnId) -> usize {
        self.drained.get(&conn).copied().unwrap_or(0)
    }
}

impl Machine for Probe {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        while let Some(due) = self.deadlines.first().copied().filter(|due| *due <= now) {
            self.deadlines.remove(&due);
            self.fired.push((due, now));
        }
        match input {
            Input::Wall(unix) => self.seen.push(Seen::Wall(unix)),
            Input::Bound { socket, result } => self.seen.push(Seen::Bound(socket, result)),
            Input::Unreachable { remote, why, .. } => self.seen.push(Seen::Unreachable(remote, why)),
            Input::Accepted { conn, .. } => self.seen.push(Seen::Accepted(conn)),
            Input::Connected { conn, .. } => self.seen.push(Seen::Connected(conn)),
            Input::Closed { conn, error } => self.seen.push(Seen::Closed(conn, error)),
            Input::Resolved { result, .. } => self.seen.push(Seen::Resolved(result)),
            Input::Drained { conn, bytes } => *self.drained.entry(conn).or_default() += bytes,
            Input::Datagram { .. } if self.fragile => panic!("on purpose"),
            Input::Datagram { socket, local, remote, payload } if self.echoes => {
                let payload = Bytes::copy_from_slice(payload);
                self.ask(Output::Transmit { socket, local, remote, payload });
            }
            Input::Received { conn, data } if self.echoes => {
                self.ask(Output::Send { conn, data: Bytes::copy_from_slice(data) });
            }
            _ => {}
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().copied()
    }

    fn is_stopped(&self) -> bool {
        self.stops_after.is_some_and(|count| self.fired.len() >= count)
    }
}

/// Binds a socket and returns what the machine was told.
pub(crate) fn bind(
    node: &NodeHandle<Probe>,
    id: u32,
    proto: Proto,
    addr: SocketAddr,
) -> Result<SocketAddr, IoKind> {
    let socket = SocketId(id);
    node.with(|probe, _| probe.ask(Output::Bind { socket, proto, addr })).expect("the node runs");
    let bound = |seen: &Seen| match seen {
        Seen::Bound(id, result) if *id == socket => Some(*result),
        _ => None,
    };
    await_seen(node, bound)
}

/// Waits until the machine has been told something that `pick` picks.
pub(crate) fn await_seen<R>(node: &NodeHandle<Probe>, pick: impl Fn(&Seen) -> Option<R>) -> R {
    await_state(node, |probe| probe.seen.iter().find_map(&pick))
}

/// Waits until `pick` finds what it looks for in the machine.
pub(crate) fn await_state<R>(node: &NodeHandle<Probe>, pick: impl Fn(&Probe) -> Option<R>) -> R {
    for _ in 0..WAIT_MS / 5 {
        if let Some(found) = node.with(|probe, _| pick(probe)).expect("the node runs") {
            return found;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let seen = node.with(|probe, _| format!("{:?}", probe.seen));
    panic!("it did not come in {WAIT_MS} ms: {seen:?}");
}

/// Waits until `holds` holds.
pub(crate) fn eventually(holds: impl Fn() -> bool) {
    for _ in 0..WAIT_MS / 5 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("it does not hold after {WAIT_MS} ms");
}

/// Runs a peer on this thread.
pub(crate) fn peer<R>(run: impl FnOnce() -> io::Result<R>) -> R {
    run().expect("the peer's sockets work")
}

/// Bounds how long a peer's socket waits.
pub(crate) fn limited<S: Limited>(socket: S) -> S {
    socket.limit(Duration::from_millis(WAIT_MS)).expect("the time is not zero");
    socket
}

pub(crate) trait Limited {
    fn limit(&self, time: Duration) -> io::Result<()>;
}

impl Limited for TcpStream {
    fn limit(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
}

impl Limited for UdpSocket {
    fn limit(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }
}

const WAIT_MS: u64 = 10_000;
