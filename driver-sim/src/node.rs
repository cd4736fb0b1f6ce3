use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    fmt,
    marker::PhantomData,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use sansip::{ConnId, Input, Instant, Interface, IoKind, Machine, Proto, SocketId, UnixTime};

use crate::{
    draw,
    nat::Mappings,
    proof::Proof,
    wired::{Run, Wiring},
    world::Sim,
};

/// Names a node of one simulation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// Returns the node's number: nodes count from 0 in the order in which they were made.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}

/// Names a node and remembers what machine it runs.
pub struct Node<M> {
    id: NodeId,
    machine: PhantomData<fn() -> M>,
}

impl<M> Node<M> {
    pub(crate) const fn new(id: NodeId) -> Self {
        Self { id, machine: PhantomData }
    }

    /// Returns the node's name without the machine.
    pub const fn id(self) -> NodeId {
        self.id
    }
}

impl<M> Clone for Node<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Node<M> {}

impl<M> fmt::Debug for Node<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl<M> From<Node<M>> for NodeId {
    fn from(node: Node<M>) -> Self {
        node.id
    }
}

/// How a node is set up: addresses and clock.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    addresses: Vec<IpAddr>,
    clock_start: Instant,
    drift_ppm: i32,
    wall: Option<UnixTime>,
    pub(crate) wiring: Option<Wiring>,
    behind: Option<NodeId>,
}

impl Setup {
    /// Makes the usual setup: one address each of 10.0.0.0/16 and fd00::/64, and a clock like the simulation's own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the node an address instead of the usual ones; may be called again for more.
    #[must_use]
    pub fn address(mut self, address: impl Into<IpAddr>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// Puts the node behind a NAT: it reaches the others behind it as they are, and all else through it.
    #[must_use]
    pub fn behind(mut self, nat: impl Into<NodeId>) -> Self {
        self.behind = Some(nat.into());
        self
    }

    /// Sets what the node's clock shows when the node starts.
    #[must_use]
    pub const fn clock(mut self, start: Instant) -> Self {
        self.clock_start = start;
        self
    }

    /// Sets how much faster than true the node's clock goes, in millionths.
    #[must_use]
    pub const fn drift(mut self, ppm: i32) -> Self {
        self.drift_ppm = ppm;
        self
    }

    /// Sets the wall clock that the node is told at its start.
    #[must_use]
    pub const fn wall(mut self, wall: UnixTime) -> Self {
        self.wall = Some(wall);
        self
    }
}

/// How fast a node takes bytes from its streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// As they come.
    #[default]
    Full,
    /// So many bytes a second.
    Rate(u64),
    /// Not at all.
    Paused,
}

/// How nodes come and go.
impl Sim {
    /// Kills a node's process: its sockets are gone, its connections break, and its host says so.
    ///
    /// The machine can still be looked at, but gets no more input.
    pub fn crash(&mut self, node: impl Into<NodeId>) {
        let node = node.into();
        self.note(format!("{} crashes", self.name(node)));
        self.break_streams(node);
        self.take_down(node, Power::Crashed);
    }

    /// Switches a node's host off: its peers hear nothing more of it.
    pub fn power_off(&mut self, node: impl Into<NodeId>) {
        let node = node.into();
        self.note(format!("{} goes off", self.name(node)));
        self.silence_streams(node);
        self.take_down(node, Power::Off);
    }

    /// Starts a node again with a new machine; a node that runs is crashed before.
    pub fn restart<M: Machine + Any>(&mut self, node: Node<M>, machine: M) {
        let id = node.id();
        if self.nodes[id.index()].power == Power::Up {
            self.crash(id);
        }
        self.note(format!("{} starts again", self.name(id)));
        let slot = &mut self.nodes[id.index()];
        slot.wall = slot.wall_at(self.now);
        slot.born = self.now;
        slot.machine = Wiring::wrap(slot.wiring.as_ref(), machine);
        slot.power = Power::Up;
        self.start(id);
    }

    /// Tells whether a node runs.
    pub fn is_up(&self, node: impl Into<NodeId>) -> bool {
        self.nodes[node.into().index()].power == Power::Up
    }

    /// Sets how much faster than true a node's clock goes from now on, in millionths.
    pub fn set_drift(&mut self, node: impl Into<NodeId>, ppm: i32) {
        let node = node.into();
        let now = self.now;
        self.nodes[node.index()].clock.set_drift(now, ppm);
        self.drop_deadline(node);
        self.attend(node);
    }

    /// Sets a node's wall clock and tells it.
    pub fn set_wall(&mut self, node: impl Into<NodeId>, wall: UnixTime) {
        let node = node.into();
        let slot = &mut self.nodes[node.index()];
        (slot.wall, slot.born) = (wall, self.now);
        if slot.power == Power::Up {
            self.give(node, Input::Wall(wall));
        }
    }

    fn take_down(&mut self, node: NodeId, power: Power) {
        self.drop_deadline(node);
        let slot = &mut self.nodes[node.index()];
        slot.lose_all();
        slot.power = power;
    }
}

/// Whether a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    Up,
    /// The process is gone, its host answers for it: resets, and ports that are not there.
    Crashed,
    /// The host is gone too: silence.
    Off,
}

/// All that the world knows of one node.
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) machine: Box<dyn Run>,
    pub(crate) wiring: Option<Wiring>,
    pub(crate) power: Power,
    pub(crate) clock: Clock,
    /// The wall clock when the node was started or last told of it, and when that was.
    pub(crate) wall: UnixTime,
    born: Instant,
    /// Counts starts, so that what was meant for an earlier one is not given to a later.
    pub(crate) life: u32,
    pub(crate) sockets: Sockets,
    pub(crate) conns: BTreeMap<ConnId, (u64, usize)>,
    next_accepted: u64,
    pub(crate) reading: Reading,
    pub(crate) proof: Proof,
    /// The NAT between the node and the world, if any.
    pub(crate) behind: Option<NodeId>,
    /// What makes the node a NAT.
    pub(crate) nat: Option<Box<Mappings>>,
    /// The machine's deadline in the simulation's own time.
    pub(crate) deadline: Option<Instant>,
    /// Answers to give before anything else happens.
    pub(crate) soon: VecDeque<Input<'static>>,
    pub(crate) wakes: (Instant, u32),
}

impl Slot {
    /// 2026-01-01 00:00:00 UTC.
    const WALL: UnixTime = UnixTime::from_millis(1_767_225_600_000);

    pub(crate) fn new<M: Machine + Any>(
        index: u32,
        name: &str,
        setup: Setup,
        machine: M,
        now: Instant,
    ) -> Self {
        let usual = || vec![usual_v4(index).into(), usual_v6(index).into()];
        let wall =
            setup.wall.unwrap_or_else(|| UnixTime::from_millis(Self::WALL.as_millis() + now.as_millis()));
        Self {
            name: name.into(),
            addresses: if setup.addresses.is_empty() { usual() } else { setup.addresses },
            machine: Wiring::wrap(setup.wiring.as_ref(), machine),
            wiring: setup.wiring,
            power: Power::Up,
            clock: Clock { here: setup.clock_start, there: now, ppm: setup.drift_ppm },
            wall,
            born: now,
            life: 0,
            sockets: Sockets::default(),
            conns: BTreeMap::new(),
            next_accepted: 1,
            reading: Reading::Full,
            proof: Proof::default(),
            behind: setup.behind,
            nat: None,
            deadline: None,
            soon: VecDeque::new(),
            wakes: (now, 0),
        }
    }

    /// Gives the machine an input.
    pub(crate) fn input(&mut self, now: Instant, input: Input<'_>) {
        self.machine.set_wall(self.wall_at(now));
        self.machine.handle_input(self.clock.at(now), input);
    }

    /// Returns the wall clock at a moment of the simulation.
    fn wall_at(&self, now: Instant) -> UnixTime {
        let passed = Instant::EPOCH + now.since(self.born);
        UnixTime::from_millis(self.wall.as_millis() + passed.as_millis())
    }

    /// Returns the first address of the same family.
    pub(crate) fn address_like(&self, other: IpAddr) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| address.is_ipv4() == other.is_ipv4())
    }

    /// Returns the addresses with their networks, those that nodes have without being told; the first of each family is
    /// the usual one.
    pub(crate) fn interfaces(&self) -> Vec<Interface> {
        let interface = |own: &IpAddr| {
            let prefix = if own.is_ipv4() { 16 } else { 64 };
            Interface::new(*own, prefix, self.address_like(*own) == Some(*own))
        };
        self.addresses.iter().map(interface).collect()
    }

    pub(crate) fn accepted_id(&mut self) -> ConnId {
        let id = ConnId(self.next_accepted);
        self.next_accepted += 2;
        id
    }

    /// Forgets what a process loses when it dies.
    pub(crate) fn lose_all(&mut self) {
        self.sockets = Sockets { next_port: self.sockets.next_port, ..Sockets::default() };
        self.conns.clear();
        self.soon.clear();
        self.life += 1;
    }
}

/// A node's clock: what it showed at some moment, and how fast it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    here: Instant,
    there: Instant,
    ppm: i32,
}

impl Clock {
    const MILLION: u128 = 1_000_000;

    /// Returns what the clock shows at a moment of the simulation.
    pub(crate) fn at(&self, now: Instant) -> Instant {
        let passed = u128::from(nanos(now.since(self.there)));
        self.here + duration(passed * self.speed() / Self::MILLION)
    }

    /// Returns the first moment of the simulation at which the clock shows `local` or more.
    pub(crate) fn when(&self, local: Instant) -> Instant {
        let passed = u128::from(nanos(local.since(self.here)));
        self.there + duration((passed * Self::MILLION).div_ceil(self.speed()))
    }

    /// Changes the speed from now on.
    pub(crate) fn set_drift(&mut self, now: Instant, ppm: i32) {
        *self = Self { here: self.at(now), there: now, ppm };
    }

    fn speed(&self) -> u128 {
        u128::try_from(1_000_000 + i64::from(self.ppm)).unwrap_or(1).max(1)
    }
}

fn nanos(duration: Duration) -> u64 {
    draw::nanos(duration)
}

fn duration(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The sockets of one node.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    named: BTreeMap<SocketId, (Proto, SocketAddr)>,
    bound: BTreeMap<(Proto, SocketAddr), SocketId>,
    next_port: u16,
}

impl Sockets {
    const EPHEMERAL: u16 = 49152;

    /// Opens a socket, as an operating system would.
    pub(crate) fn bind(
        &mut self,
        socket: SocketId,
        proto: Proto,
        mut addr: SocketAddr,
        own: &[IpAddr],
    ) -> Result<SocketAddr, IoKind> {
        if !addr.ip().is_unspecified() && !own.contains(&addr.ip()) {
            return Err(IoKind::AddressNotAvailable);
        }
        if addr.port() == 0 {
            addr.set_port(self.free_port(proto, addr.ip()).ok_or(IoKind::Exhausted)?);
        } else if self.is_taken(proto, addr) {
            return Err(IoKind::AddressInUse);
        }
        self.named.insert(socket, (proto, addr));
        self.bound.insert((proto, addr), socket);
        Ok(addr)
    }

    pub(crate) fn unbind(&mut self, socket: SocketId) -> bool {
        let Some((proto, addr)) = self.named.remove(&socket) else { return false };
        self.bound.remove(&(proto, addr));
        true
    }

    pub(crate) fn get(&self, socket: SocketId) -> Option<(Proto, SocketAddr)> {
        self.named.get(&socket).copied()
    }

    /// Returns the socket that takes what is sent to an address.
    pub(crate) fn at(&self, proto: Proto, addr: SocketAddr) -> Option<SocketId> {
        let any = SocketAddr::new(unspecified_like(addr.ip()), addr.port());
        self.bound.get(&(proto, addr)).or_else(|| self.bound.get(&(proto, any))).copied()
    }

    /// Returns who listens on a port, which may be for another of the protocols that share it.
    pub(crate) fn listener(&self, proto: Proto, addr: SocketAddr) -> Option<(SocketId, Proto)> {
        let mut sharing = Proto::ALL.into_iter().filter(|other| shares_ports(*other, proto));
        sharing.find_map(|other| self.at(other, addr).map(|socket| (socket, other)))
    }

    /// Returns a port of the dynamic range that nobody has; ports are given in turn.
    pub(crate) fn free_port(&mut self, proto: Proto, ip: IpAddr) -> Option<u16> {
        (Self::EPHEMERAL..=u16::MAX).find_map(|_| {
            let port = self.next_port.max(Self::EPHEMERAL);
            self.next_port = port.checked_add(1).unwrap_or(Self::EPHEMERAL);
            (!self.is_taken(proto, SocketAddr::new(ip, port))).then_some(port)
        })
    }

    fn is_taken(&self, proto: Proto, addr: SocketAddr) -> bool {
        let mut taken =
            self.named.values().filter(|(other, at)| shares_ports(*other, proto) && at.port() == addr.port());
        taken.any(|(_, at)| {
            let same_family = at.is_ipv4() == addr.is_ipv4();
            same_family && (at.ip() == addr.ip() || at.ip().is_unspecified() || addr.ip().is_unspecified())
        })
    }
}

/// Tells whether two transports draw on the same ports: all but UDP and SCTP run over TCP.
fn shares_ports(a: Proto, b: Proto) -> bool {
    let over_tcp = |proto| !matches!(proto, Proto::Udp | Proto::Sctp);
    a == b || over_tcp(a) && over_tcp(b)
}

fn unspecified_like(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn usual_v4(index: u32) -> Ipv4Addr {
    let (high, low) = (index / 250, index % 250 + 1);
    Ipv4Addr::from_bits(0x0a00_0000 | (high & 0xff) << 8 | low)
}

fn usual_v6(index: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(index + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2))];

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn sockets_are_bound_as_by_an_operating_system() {
        let mut sockets = Sockets::default();
        let mut bind = |id, proto, at| sockets.bind(SocketId(id), proto, addr(at), &OWN);
        assert_eq!(bind(0, Proto::Udp, "10.0.0.1:5060"), Ok(addr("10.0.0.1:5060")));
        assert_eq!(bind(1, Proto::Udp, "10.0.0.1:5060"), Err(IoKind::AddressInUse));
        assert_eq!(bind(1, Proto::Udp, "0.0.0.0:5060"), Err(IoKind::AddressInUse));
        assert_eq!(bind(1, Proto::Udp, "10.0.0.2:5060"), Ok(addr("10.0.0.2:5060")));
        assert_eq!(bind(2, Proto::Tcp, "0.0.0.0:5060"), Ok(addr("0.0.0.0:5060")));
        assert_eq!(bind(3, Proto::Tcp, "10.9.9.9:5060"), Err(IoKind::AddressNotAvailable));
        assert_eq!(bind(3, Proto::Udp, "0.0.0.0:0"), Ok(addr("0.0.0.0:49152")));
        assert_eq!(bind(4, Proto::Udp, "10.0.0.1:0"), Ok(addr("10.0.0.1:49153")));
        assert_eq!(bind(5, Proto::Udp, "[::]:5060"), Ok(addr("[::]:5060")), "families do not meet");
        assert_eq!(sockets.at(Proto::Udp, addr("10.0.0.2:5060")), Some(SocketId(1)));
        assert_eq!(
            sockets.at(Proto::Tcp, addr("10.0.0.2:5060")),
            Some(SocketId(2)),
            "by the unspecified address"
        );
        assert_eq!(sockets.at(Proto::Udp, addr("10.0.0.2:5061")), None);
        assert!(sockets.unbind(SocketId(0)) && !sockets.unbind(SocketId(0)));
        assert_eq!(sockets.at(Proto::Udp, addr("10.0.0.1:5060")), None);
    }

    #[test]
    fn dynamic_ports_run_out() {
        let mut sockets = Sockets::default();
        let first = sockets.free_port(Proto::Tcp, OWN[0]);
        let rest = (49153..=65535).filter(|_| sockets.free_port(Proto::Tcp, OWN[0]).is_some()).count();
        assert_eq!((first, rest), (Some(49152), 16383));
        assert_eq!(sockets.free_port(Proto::Tcp, OWN[0]), Some(49152), "starts again");
        assert_eq!(
            sockets.bind(SocketId(0), Proto::Tcp, addr("0.0.0.0:49153"), &OWN),
            Ok(addr("0.0.0.0:49153"))
        );
        assert_eq!(sockets.free_port(Proto::Tcp, OWN[0]), Some(49154), "skips what is taken");
    }

    #[test]
    fn addresses_differ() {
        assert_eq!(usual_v4(0), Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(usual_v4(250), Ipv4Addr::new(10, 0, 1, 1));
        assert_eq!(usual_v6(1), "fd00::2".parse::<Ipv6Addr>().expect("an address"));
    }

    proptest! {
        /// A deadline mapped to the simulation's time is due then, and not a nanosecond earlier.
        #[test]
        fn clocks_map_deadlines_exactly(
            start in 0_u64..1 << 50,
            begin in 0_u64..1 << 50,
            ppm in -500_000_i32..500_000,
            ahead in 0_u64..1 << 50,
        ) {
            let clock = Clock { here: Instant::from_nanos(start), there: Instant::from_nanos(begin), ppm };
            let deadline = Instant::from_nanos(start + ahead);
            let when = clock.when(deadline);
            prop_assert!(clock.at(when) >= deadline);
            if ahead > 0 {
                prop_assert!(clock.at(Instant::from_nanos(when.as_nanos() - 1)) < deadline);
            }
        }
    }
}
