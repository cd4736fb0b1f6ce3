use std::{
    any::Any,
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque},
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use sansip::{DnsError, Input, Instant, IoKind, Machine, Output, QueryId, Records, Seed, Unreachable};
use thiserror::Error;

use crate::{
    dns::Dns,
    draw::Draws,
    ladder::Ladder,
    net::{Net, Network},
    node::{Node, NodeId, Power, Setup, Slot},
    runner::{self, Place},
    stream::{StreamStep, Streams},
    trace::{Hop, Trace, What},
    wired::is_layered,
};

/// A world of machines: nodes with addresses, the network between them, and time that passes only in events.
///
/// Everything is decided by the seed and by what a test does, so that a run can be repeated exactly.
pub struct Sim {
    seed: u64,
    pub(crate) place: Option<Place>,
    pub(crate) now: Instant,
    queue: BinaryHeap<Reverse<Event>>,
    queued: u64,
    /// The deadline of every node that has one; what is due at the same moment goes by the nodes' order.
    deadlines: BTreeSet<(Instant, NodeId)>,
    pub(crate) nodes: Vec<Slot>,
    by_address: BTreeMap<IpAddr, NodeId>,
    pub(crate) network: Network,
    pub(crate) streams: Streams,
    pub(crate) datagrams: u64,
    dns: Dns,
    pub(crate) trace: Trace,
    workload: Draws,
    rest: Rest,
    /// Steps since time moved on.
    standstill: u32,
    standstill_limit: u32,
    stuck: Option<Stuck>,
}

/// How long [`Sim::settle`] waits for rest.
#[derive(Clone, Copy, Debug)]
struct Rest {
    time: Duration,
    steps: u64,
}

impl Sim {
    /// Wakes of one node at one moment, after which it counts as a livelock.
    const WAKES: u32 = 1_000;
    /// Outputs of one node at one moment in answer to one input, after which it counts as a livelock.
    const OUTPUTS: u32 = 100_000;

    /// Makes an empty world.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            place: None,
            now: Instant::EPOCH,
            queue: BinaryHeap::new(),
            queued: 0,
            deadlines: BTreeSet::new(),
            nodes: Vec::new(),
            by_address: BTreeMap::new(),
            network: Network::new(seed),
            streams: Streams::new(seed),
            datagrams: 0,
            dns: Dns::new(Draws::new(seed, "dns")),
            trace: Trace::new(),
            workload: Draws::new(seed, "workload"),
            rest: Rest { time: Duration::from_secs(3600), steps: 1_000_000 },
            standstill: 0,
            standstill_limit: 1_000_000,
            stuck: None,
        }
    }

    /// Returns the seed.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns a seed for a machine, to be given to its constructor; it depends on the name only.
    pub fn seed_of(&self, name: &str) -> Seed {
        Seed::from_u64(self.seed).derive("node").derive(name)
    }

    /// Returns the numbers for what a test does. They are those of nobody else.
    pub const fn workload(&mut self) -> &mut Draws {
        &mut self.workload
    }

    /// Opens a stream of random numbers of its own, such as for a fault.
    pub fn draws(&self, name: &str) -> Draws {
        Draws::new(self.seed, &format!("test {name}"))
    }

    /// Adds a node with the usual addresses and starts it.
    ///
    /// # Panics
    /// If another node has the name or an address.
    pub fn node<M: Machine + Any>(&mut self, name: &str, machine: M) -> Node<M> {
        self.node_with(name, Setup::new(), machine)
    }

    /// Adds a node with addresses and a clock of its own and starts it.
    ///
    /// # Panics
    /// If another node has the name or an address.
    pub fn node_with<M: Machine + Any>(&mut self, name: &str, setup: Setup, machine: M) -> Node<M> {
        assert!(self.nodes.iter().all(|slot| slot.name != name), "there is a node {name:?} already");
        let index = u32::try_from(self.nodes.len()).expect("memory ends before the numbers do");
        let id = NodeId(index);
        let slot = Slot::new(index, name, setup, machine, self.now);
        for address in &slot.addresses {
            let other = self.by_address.insert(*address, id);
            assert!(other.is_none(), "the address {address} of {name:?} is taken by {other:?}");
        }
        self.nodes.push(slot);
        self.network.add_node();
        self.start(id);
        Node::new(id)
    }

    /// Lets a test act on a machine as its application, and carries out what the machine wants then.
    ///
    /// # Panics
    /// If the node is down, or does not come to rest.
    pub fn on<M, R>(&mut self, node: Node<M>, act: impl FnOnce(&mut M, Instant) -> R) -> R
    where
        M: Machine + Any,
    {
        let id = node.id();
        let slot = &mut self.nodes[id.index()];
        assert_eq!(slot.power, Power::Up, "{} is down", slot.name);
        let now = slot.clock.at(self.now);
        let machine = slot.machine.own_mut().downcast_mut();
        let machine = machine.expect("a handle is typed by the machine that it was made for");
        let result = act(machine, now);
        self.attend(id);
        self.check_stuck();
        result
    }

    /// Returns a machine to look at, also that of a node that is down.
    pub fn peek<M: Machine + Any>(&self, node: Node<M>) -> &M {
        let machine = self.nodes[node.id().index()].machine.own().downcast_ref();
        machine.expect("a handle is typed by the machine that it was made for")
    }

    /// Acts on the world later.
    pub fn after(&mut self, delay: Duration, act: impl FnOnce(&mut Self) + 'static) {
        self.schedule(self.now + delay, Happening::Act(Box::new(act)));
    }

    /// Opens the network for changes.
    pub fn net(&mut self) -> Net<'_> {
        Net { network: &mut self.network, nodes: &self.nodes, trace: &mut self.trace, now: self.now }
    }

    /// Opens the name server for changes.
    pub const fn dns(&mut self) -> &mut Dns {
        &mut self.dns
    }

    /// Returns the time; it is 0 at first.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Returns what happened.
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Opens the trace, to say how much of it is kept.
    pub const fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// Returns what happened as a diagram.
    pub fn ladder(&self) -> Ladder<'_> {
        let names = self.nodes.iter().map(|slot| slot.name.as_str()).collect();
        Ladder::new(&self.trace, names)
    }

    /// Returns a node's name.
    pub fn name(&self, node: impl Into<NodeId>) -> &str {
        &self.nodes[node.into().index()].name
    }

    /// Returns all addresses of a node.
    pub fn addresses(&self, node: impl Into<NodeId>) -> &[IpAddr] {
        &self.nodes[node.into().index()].addresses
    }

    /// Returns the first address of a node with a port.
    pub fn addr(&self, node: impl Into<NodeId>, port: u16) -> SocketAddr {
        let addresses = self.addresses(node);
        SocketAddr::new(*addresses.first().expect("a node has an address"), port)
    }

    /// Does the next thing, and moves time to it; returns false if there is none.
    ///
    /// # Panics
    /// If a machine does not let time pass.
    pub fn step(&mut self) -> bool {
        let stepped = self.step_before(None);
        self.check_stuck();
        stepped
    }

    /// Does all that happens within a time, and moves time to its end.
    ///
    /// # Panics
    /// If a machine does not let time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step_before(Some(end)) {}
        self.check_stuck();
        self.now = end;
    }

    /// Does what happens until a condition holds, for `limit` at most; returns whether it holds.
    ///
    /// # Panics
    /// If a machine does not let time pass.
    pub fn run_until(&mut self, mut condition: impl FnMut(&Self) -> bool, limit: Duration) -> bool {
        let end = self.now + limit;
        loop {
            if condition(self) {
                return true;
            }
            if !self.step_before(Some(end)) {
                self.check_stuck();
                self.now = end;
                return condition(self);
            }
        }
    }

    /// Does all that happens until nothing is on its way and no node has a deadline.
    ///
    /// # Panics
    /// If that is not reached in an hour of simulated time and a million steps, or as
    /// [`settle_limits`](Self::settle_limits) says.
    pub fn settle(&mut self) {
        self.settle_for(self.rest.time);
    }

    /// Does the same as [`settle`](Self::settle) with another limit of time.
    ///
    /// # Panics
    /// If rest is not reached.
    pub fn settle_for(&mut self, limit: Duration) {
        if let Err(stuck) = self.try_settle(limit) {
            self.fail(&stuck);
        }
    }

    /// Does the same as [`settle_for`](Self::settle_for), but returns why rest was not reached.
    pub fn try_settle(&mut self, limit: Duration) -> Result<(), Stuck> {
        let end = self.now + limit;
        for _ in 0..self.rest.steps {
            if !self.step_before(Some(end)) {
                let stuck = self.stuck.take();
                return match stuck.or_else(|| self.what_remains(limit)) {
                    Some(stuck) => Err(stuck),
                    None => Ok(()),
                };
            }
        }
        Err(Stuck::TooManySteps { steps: self.rest.steps })
    }

    /// Sets how much simulated time and how many steps [`settle`](Self::settle) may take.
    pub const fn settle_limits(&mut self, time: Duration, steps: u64) {
        self.rest = Rest { time, steps };
    }

    /// Sets how many steps at one moment count as a livelock; a million unless told otherwise.
    pub const fn standstill_limit(&mut self, steps: u32) {
        self.standstill_limit = steps;
    }

    /// Tells whether nothing is on its way and no node has a deadline.
    pub fn is_at_rest(&self) -> bool {
        self.queue.is_empty() && self.deadlines.is_empty()
    }

    /// Returns the command that runs this test again in the same way.
    pub fn replay(&self) -> String {
        runner::replay(self.place.as_ref(), self.seed)
    }

    pub(crate) fn note(&mut self, text: String) {
        self.trace.push(self.now, What::Note { text });
    }

    pub(crate) fn host(&self, address: IpAddr) -> Option<NodeId> {
        self.by_address.get(&address).copied()
    }

    pub(crate) fn schedule(&mut self, at: Instant, what: Happening) {
        self.queued += 1;
        self.queue.push(Reverse(Event { at, number: self.queued, what }));
    }

    /// Gives a machine one input and carries out what it wants then.
    pub(crate) fn give(&mut self, node: NodeId, input: Input<'_>) {
        self.nodes[node.index()].input(self.now, input);
        self.attend(node);
    }

    /// Carries out what a machine wants until it wants nothing more, and notes its deadline.
    pub(crate) fn attend(&mut self, node: NodeId) {
        if self.nodes[node.index()].power != Power::Up {
            return;
        }
        for _ in 0..Self::OUTPUTS {
            let output = self.nodes[node.index()].machine.poll_output();
            self.trace_wire(node);
            let slot = &mut self.nodes[node.index()];
            if let Some(output) = output {
                self.perform(node, output);
            } else if let Some(input) = slot.soon.pop_front() {
                slot.input(self.now, input);
            } else {
                // What is still unknown was refused.
                slot.machine.news().into_iter().for_each(VecDeque::clear);
                self.note_deadline(node);
                return;
            }
        }
        let name = self.nodes[node.index()].name.clone();
        self.stuck = Some(Stuck::Chatter { node: name, outputs: Self::OUTPUTS });
    }

    /// Takes the deadline of a node that is down from the list.
    pub(crate) fn drop_deadline(&mut self, node: NodeId) {
        if let Some(deadline) = self.nodes[node.index()].deadline.take() {
            self.deadlines.remove(&(deadline, node));
        }
    }

    /// Gives a machine its first input.
    pub(crate) fn start(&mut self, node: NodeId) {
        let wall = self.nodes[node.index()].wall;
        self.trace.push(self.now, What::Started { node });
        self.give(node, Input::Wall(wall));
    }

    /// Ends the test with the way to repeat it.
    pub(crate) fn fail(&self, why: &dyn fmt::Display) -> ! {
        panic!("at {}: {why}\nreplay: {}", self.now, self.replay())
    }

    fn note_deadline(&mut self, node: NodeId) {
        let slot = &mut self.nodes[node.index()];
        let deadline = slot.machine.poll_timeout().map(|local| slot.clock.when(local).max(self.now));
        if deadline == slot.deadline {
            return;
        }
        if let Some(old) = std::mem::replace(&mut slot.deadline, deadline) {
            self.deadlines.remove(&(old, node));
        }
        if let Some(new) = deadline {
            self.deadlines.insert((new, node));
        }
    }

    fn check_stuck(&mut self) {
        if let Some(stuck) = self.stuck.take() {
            self.fail(&stuck);
        }
    }

    /// Does the next thing unless it lies after `end`; returns whether it did.
    fn step_before(&mut self, end: Option<Instant>) -> bool {
        let event = self.queue.peek().map(|Reverse(event)| event.at);
        let wake = self.deadlines.first().copied();
        let wakes = wake.is_some_and(|(due, _)| event.is_none_or(|at| due < at));
        let Some(at) = (if wakes { wake.map(|(due, _)| due) } else { event }) else { return false };
        if self.stuck.is_some() || end.is_some_and(|end| at > end) {
            return false;
        }
        self.standstill = if at > self.now { 0 } else { self.standstill + 1 };
        if self.standstill > self.standstill_limit {
            self.stuck = Some(Stuck::Standstill { steps: self.standstill_limit });
            return false;
        }
        self.now = at;
        match wake {
            Some((_, node)) if wakes => self.wake(node),
            _ => self.happen(),
        }
        true
    }

    fn wake(&mut self, node: NodeId) {
        self.drop_deadline(node);
        let slot = &mut self.nodes[node.index()];
        slot.wakes = if slot.wakes.0 == self.now { (self.now, slot.wakes.1 + 1) } else { (self.now, 1) };
        if slot.wakes.1 > Self::WAKES {
            let deadline = slot.machine.poll_timeout().unwrap_or(self.now);
            self.stuck = Some(Stuck::Livelock { node: slot.name.clone(), deadline, wakes: Self::WAKES });
            return;
        }
        self.trace.push(self.now, What::Woke { node });
        self.give(node, Input::Timeout);
    }

    fn happen(&mut self) {
        let Some(Reverse(event)) = self.queue.pop() else { return };
        match event.what {
            Happening::Datagram { hop, copy, back } => self.arrive(hop, copy, back),
            Happening::Unreachable { node, source, remote, why } => {
                self.tell_unreachable(node, source, remote, why)
            }
            Happening::Resolved { node, life, query, result } => self.resolved(node, life, query, result),
            Happening::Stream { stream, step } => self.stream_step(stream, step),
            Happening::Act(act) => act(self),
        }
    }

    fn perform(&mut self, node: NodeId, output: Output) {
        match output {
            Output::Bind { socket, proto, addr } => {
                let slot = &mut self.nodes[node.index()];
                let named_before = slot.sockets.get(socket).is_some();
                assert!(!named_before, "{} binds {socket:?} twice", slot.name);
                let result = match slot.wiring.is_some() && is_layered(proto) {
                    true => Err(IoKind::Unsupported),
                    false => slot.sockets.bind(socket, proto, addr, &slot.addresses),
                };
                if addr.ip().is_unspecified() {
                    slot.soon.push_back(Input::Interfaces(slot.interfaces()));
                }
                slot.soon.push_back(Input::Bound { socket, result });
                self.trace.push(self.now, What::Bound { node, socket, result });
            }
            Output::Unbind { socket } => {
                if !self.nodes[node.index()].sockets.unbind(socket) {
                    self.ignore(node, "unbind of an unknown socket");
                }
            }
            Output::Transmit { socket, local, remote, payload } => {
                self.transmit(node, socket, local, remote, payload);
            }
            Output::Connect { conn, proto, remote, name } => self.connect(node, conn, proto, remote, name),
            Output::Send { conn, data } => self.write(node, conn, data),
            Output::Close { conn, how } => self.close(node, conn, how),
            Output::Resolve { query, name, kind } => {
                let answer = self.dns.ask(&name, kind);
                self.trace.push(self.now, What::Resolving { node, name, kind });
                if let Some((delay, result)) = answer {
                    let life = self.nodes[node.index()].life;
                    self.schedule(self.now + delay, Happening::Resolved { node, life, query, result });
                }
            }
            other => self.fail(&format!("the simulator has no {other:?}")),
        }
    }

    pub(crate) fn ignore(&mut self, node: NodeId, what: &'static str) {
        self.trace.push(self.now, What::Ignored { node, what });
    }

    fn resolved(&mut self, node: NodeId, life: u32, query: QueryId, result: Result<Records, DnsError>) {
        let slot = &self.nodes[node.index()];
        if slot.power != Power::Up || slot.life != life {
            return;
        }
        let count = result.as_ref().map_or_else(
            |error| Err(*error),
            |records| match records {
                Records::Addresses { addresses, .. } => Ok(addresses.len()),
                _ => Ok(0),
            },
        );
        self.trace.push(self.now, What::Resolved { node, result: count });
        self.give(node, Input::Resolved { query, result });
    }

    fn what_remains(&self, limit: Duration) -> Option<Stuck> {
        if self.is_at_rest() {
            return None;
        }
        let waiting =
            self.deadlines.iter().take(5).map(|(due, node)| format!("{} until {due}", self.name(*node)));
        let mut what: Vec<String> = waiting.collect();
        what.push(format!("{} things on their way", self.queue.len()));
        Some(Stuck::TooLong { limit, what: what.join(", ") })
    }
}

/// Says how to repeat a test that fails.
impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.report());
        }
    }
}

impl Sim {
    /// Returns what one wants to see of a test that failed: how to repeat it, and the end of the ladder.
    pub(crate) fn report(&self) -> String {
        let rows = 40;
        let ladder = self.ladder().connections().delays().last(rows);
        format!("replay: {}\ntime: {}, last {rows} rows:\n{ladder}", self.replay(), self.now)
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.nodes.iter().map(|slot| slot.name.as_str()).collect();
        f.debug_struct("Sim")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .field("nodes", &names)
            .finish_non_exhaustive()
    }
}

/// Why a simulation does not come to rest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Stuck {
    /// A machine's deadline stays in the past.
    #[error(
        "livelock: {node} was woken {wakes} times at one moment and still wants to be woken at {deadline}"
    )]
    Livelock {
        /// The node's name.
        node: String,
        /// The deadline, by the node's clock.
        deadline: Instant,
        /// How often it was woken.
        wakes: u32,
    },
    /// A machine never stops to want things.
    #[error("livelock: {node} wanted {outputs} things after one input")]
    Chatter {
        /// The node's name.
        node: String,
        /// How many things.
        outputs: u32,
    },
    /// Things happen, but no time passes.
    #[error("livelock: {steps} steps at one moment")]
    Standstill {
        /// How many steps.
        steps: u32,
    },
    /// Rest was not reached in the time allowed.
    #[error("not at rest after {limit:?}: {what}")]
    TooLong {
        /// The time allowed.
        limit: Duration,
        /// What goes on.
        what: String,
    },
    /// Rest was not reached in the steps allowed.
    #[error("not at rest after {steps} steps")]
    TooManySteps {
        /// The steps allowed.
        steps: u64,
    },
}

/// One thing that will happen. Ordered by time, then by the order in which it was caused.
struct Event {
    at: Instant,
    number: u64,
    what: Happening,
}

pub(crate) enum Happening {
    Datagram { hop: Hop, copy: bool, back: u64 },
    Unreachable { node: NodeId, source: SocketAddr, remote: SocketAddr, why: Unreachable },
    Resolved { node: NodeId, life: u32, query: QueryId, result: Result<Records, DnsError> },
    Stream { stream: u64, step: StreamStep },
    Act(Box<dyn FnOnce(&mut Sim)>),
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
