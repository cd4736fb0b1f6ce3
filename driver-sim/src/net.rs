use std::{collections::BTreeMap, time::Duration};

use sansip::Instant;

use crate::{
    draw::{Chance, Draws},
    link::{Bursts, Delay, Link, Loss, Path, Segments},
    node::{NodeId, Slot},
    rule::{Fault, FaultId, Faults, Group, Packet, Verdict},
    trace::{Trace, What},
};

/// All of the network between the nodes.
#[derive(Debug)]
pub(crate) struct Network {
    seed: u64,
    nodes: u32,
    usual: Link,
    paths: BTreeMap<(NodeId, NodeId), Path>,
    pub(crate) faults: Faults,
    pub(crate) icmp: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) stall_timeout: Duration,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            nodes: 0,
            usual: Link::new(Duration::from_millis(1)),
            paths: BTreeMap::new(),
            faults: Faults::default(),
            icmp: true,
            connect_timeout: Duration::from_secs(127),
            stall_timeout: Duration::from_secs(924),
        }
    }

    pub(crate) fn add_node(&mut self) {
        self.nodes += 1;
    }

    /// Returns the way from one node to another, made at its first use.
    pub(crate) fn path(&mut self, from: NodeId, to: NodeId) -> &mut Path {
        let (seed, usual) = (self.seed, &self.usual);
        self.paths.entry((from, to)).or_insert_with(|| {
            let link = if from == to { Link::new(Duration::from_micros(10)) } else { usual.clone() };
            Path::new(link, Draws::new(seed, &format!("network {}>{}", from.0, to.0)))
        })
    }

    /// Returns the delay of a link that has no target.
    pub(crate) const fn usual_delay(&self) -> Delay {
        self.usual.delay
    }
}

/// The network of a simulation, open for changes.
pub struct Net<'a> {
    pub(crate) network: &'a mut Network,
    pub(crate) nodes: &'a [Slot],
    pub(crate) trace: &'a mut Trace,
    pub(crate) now: Instant,
}

impl<'a> Net<'a> {
    /// Opens both directions between two nodes.
    pub fn between(self, a: impl Into<NodeId>, b: impl Into<NodeId>) -> Links<'a> {
        let (a, b) = (a.into(), b.into());
        Links { network: self.network, which: Which::These(vec![(a, b), (b, a)]) }
    }

    /// Opens the one direction between two nodes.
    pub fn toward(self, from: impl Into<NodeId>, to: impl Into<NodeId>) -> Links<'a> {
        Links { network: self.network, which: Which::These(vec![(from.into(), to.into())]) }
    }

    /// Opens all directions from and to a node, as far as there are nodes yet.
    pub fn around(self, node: impl Into<NodeId>) -> Links<'a> {
        let node = node.into();
        let others = (0..self.network.nodes).map(NodeId).filter(|other| *other != node);
        let which = Which::These(others.flat_map(|other| [(node, other), (other, node)]).collect());
        Links { network: self.network, which }
    }

    /// Opens all directions between different nodes, also those that come later.
    pub fn everywhere(self) -> Links<'a> {
        Links { network: self.network, which: Which::All }
    }

    /// Adds a rule: it sees every datagram and every piece of a stream that no partition stops.
    pub fn rule(self, rule: impl FnMut(&Packet) -> Verdict + 'static) -> FaultId {
        self.add("rule".into(), vec![Fault::Rule(Box::new(rule))])
    }

    /// Separates two groups of nodes: datagrams between them are lost, streams stall.
    pub fn partition<A, B>(self, left: A, right: B) -> FaultId
    where
        A: IntoIterator<Item: Into<NodeId>>,
        B: IntoIterator<Item: Into<NodeId>>,
    {
        let (left, right) = (group(left), group(right));
        let words = format!("partition {} from {}", self.names(&left), self.names(&right));
        let there = Fault::Cut { from: left.clone(), to: right.clone() };
        self.add(words, vec![there, Fault::Cut { from: right, to: left }])
    }

    /// Stops what goes from one group of nodes to another, but not what comes back.
    pub fn cut<A, B>(self, from: A, to: B) -> FaultId
    where
        A: IntoIterator<Item: Into<NodeId>>,
        B: IntoIterator<Item: Into<NodeId>>,
    {
        let (from, to) = (group(from), group(to));
        let words = format!("cut {} to {}", self.names(&from), self.names(&to));
        self.add(words, vec![Fault::Cut { from, to }])
    }

    /// Separates a node from all others, also those that come later.
    pub fn isolate(self, node: impl Into<NodeId>) -> FaultId {
        let node = node.into();
        let one = Group::These([node].into());
        let words = format!("isolate {}", self.names(&one));
        let there = Fault::Cut { from: one.clone(), to: Group::AllBut(node) };
        self.add(words, vec![there, Fault::Cut { from: Group::AllBut(node), to: one }])
    }

    /// Makes everything from one group of nodes to another take longer.
    pub fn clog<A, B>(self, from: A, to: B, extra: Duration) -> FaultId
    where
        A: IntoIterator<Item: Into<NodeId>>,
        B: IntoIterator<Item: Into<NodeId>>,
    {
        let (from, to) = (group(from), group(to));
        let words = format!("clog {} to {} by {extra:?}", self.names(&from), self.names(&to));
        self.add(words, vec![Fault::Clog { from, to, extra }])
    }

    /// Takes a fault back; returns whether it was still in force.
    pub fn heal(self, fault: FaultId) -> bool {
        let healed = self.network.faults.remove(fault);
        if let Some(words) = &healed {
            let text = format!("no more {words}");
            self.trace.push(self.now, What::Note { text });
        }
        healed.is_some()
    }

    /// Takes all rules, partitions and clogs back. Links keep their properties.
    pub fn heal_all(self) {
        self.network.faults.clear();
        self.trace.push(self.now, What::Note { text: "no more faults".into() });
    }

    /// Sets whether senders are told that a port or host is not there; they are unless told otherwise.
    pub fn icmp(self, on: bool) {
        self.network.icmp = on;
    }

    /// Sets after what time a connection that nobody answers is given up; 127 s unless told otherwise.
    pub fn connect_timeout(self, timeout: Duration) {
        self.network.connect_timeout = timeout;
    }

    /// Sets after what time a connection whose bytes do not get through is given up; 924 s unless told otherwise.
    pub fn stall_timeout(self, timeout: Duration) {
        self.network.stall_timeout = timeout;
    }

    fn names(&self, group: &Group) -> String {
        let indexed = (0..).map(NodeId).zip(self.nodes);
        let names: Vec<&str> =
            indexed.filter(|(id, _)| group.has(*id)).map(|(_, slot)| slot.name.as_str()).collect();
        names.join(", ")
    }

    fn add(self, words: String, faults: Vec<Fault>) -> FaultId {
        self.trace.push(self.now, What::Note { text: words.clone() });
        self.network.faults.add(words, faults)
    }
}

/// Links between nodes, open for changes, which hold for what is sent from now on.
#[derive(Debug)]
pub struct Links<'a> {
    network: &'a mut Network,
    which: Which,
}

#[derive(Debug)]
enum Which {
    All,
    These(Vec<(NodeId, NodeId)>),
}

impl Links<'_> {
    /// Sets how long a packet travels: a duration, or a range to draw from. Draws are independent, so packets of a
    /// range overtake one another unless [`in_order`](Self::in_order) is set.
    pub fn delay(self, delay: impl Into<Delay>) -> Self {
        let delay = delay.into();
        self.edit(|link| link.delay = delay)
    }

    /// Sets the probability that a packet is lost. On a stream a loss costs time.
    pub fn loss(self, p: f64) -> Self {
        self.edit(|link| link.loss = Loss::Uniform(Chance::new(p)))
    }

    /// Makes losses come in bursts.
    pub fn bursts(self, bursts: Bursts) -> Self {
        self.edit(|link| link.loss = bursts.into())
    }

    /// Sets the probability that a datagram arrives twice.
    pub fn duplicate(self, p: f64) -> Self {
        self.edit(|link| link.duplicate = Chance::new(p))
    }

    /// Sets the probability that a packet is held back by an extra delay.
    pub fn reorder(self, p: f64, extra: impl Into<Delay>) -> Self {
        let extra = extra.into();
        self.edit(|link| {
            link.reorder = Chance::new(p);
            link.reorder_by = extra;
        })
    }

    /// Sets whether first copies of datagrams arrive in the order in which they were sent, whatever their delays.
    pub fn in_order(self, on: bool) -> Self {
        self.edit(|link| link.in_order = on)
    }

    /// Sets the largest IP packet in bytes, headers counted (28 for IPv4, 48 for IPv6); larger datagrams are lost.
    pub fn mtu(self, bytes: usize) -> Self {
        self.edit(|link| link.mtu = Some(bytes))
    }

    /// Sets whether the sender of a datagram that is too big is told so.
    pub fn tell_too_big(self, on: bool) -> Self {
        self.edit(|link| link.tells_too_big = on)
    }

    /// Sets how many bytes pass a second, and how long a packet may wait for that before it is dropped.
    pub fn rate(self, bytes_per_second: u64, queue: Duration) -> Self {
        self.edit(|link| {
            link.rate = Some(bytes_per_second);
            link.queue = queue;
        })
    }

    /// Sets how streams are cut.
    pub fn segments(self, segments: Segments) -> Self {
        self.edit(|link| link.segments = segments)
    }

    /// Sets how many bytes of one stream may be between the writer and the reader; at least 1.
    pub fn buffer(self, bytes: usize) -> Self {
        self.edit(|link| link.buffer = bytes.max(1))
    }

    /// Makes the links clean again: 1 ms, nothing lost or changed.
    pub fn clean(self) -> Self {
        self.edit(|link| *link = Link::new(Duration::from_millis(1)))
    }

    fn edit(self, edit: impl Fn(&mut Link)) -> Self {
        match &self.which {
            Which::All => {
                edit(&mut self.network.usual);
                let others = self.network.paths.iter_mut().filter(|((from, to), _)| from != to);
                others.for_each(|(_, path)| edit(&mut path.link));
            }
            Which::These(pairs) => {
                pairs.iter().for_each(|(from, to)| edit(&mut self.network.path(*from, *to).link));
            }
        }
        self
    }
}

fn group<I: IntoIterator<Item: Into<NodeId>>>(nodes: I) -> Group {
    Group::These(nodes.into_iter().map(Into::into).collect())
}
