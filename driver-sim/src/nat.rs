use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use sansip::{Input, Instant, Machine, Output, Proto};

use crate::{
    draw::Draws,
    node::{NodeId, Setup},
    world::Sim,
};

/// How a NAT behaves, in the words of RFC 4787 for UDP and RFC 5382 for connections.
///
/// Unless told otherwise it maps independently of the endpoint, lets in what comes from an address that was written to,
/// keeps ports where it can, pairs inside with outside addresses, and turns around what is meant for its own inside.
#[derive(Clone, Debug)]
pub struct Nat {
    outside: Vec<IpAddr>,
    behind: Option<NodeId>,
    mapping: Behavior,
    filtering: Behavior,
    ports: Ports,
    paired: bool,
    hairpinning: bool,
    inbound_refresh: bool,
    udp_lifetime: Duration,
    tcp_lifetime: Duration,
    limit: usize,
    forwards: Vec<(Proto, SocketAddr, SocketAddr)>,
}

/// What of the peer matters to a NAT (RFC 4787 §4.1, §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behavior {
    /// Nothing.
    EndpointIndependent,
    /// Its address.
    AddressDependent,
    /// Its address and port.
    AddressAndPortDependent,
}

/// Which outside port a mapping gets (RFC 4787 §4.2). No two mappings share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// The inside port, or the next free one if another mapping has it.
    Preserved,
    /// One after the other.
    InTurn,
    /// Any.
    Random,
}

impl Nat {
    /// Makes a NAT with these addresses on its outside.
    ///
    /// # Panics
    /// If there are none.
    pub fn new<A: Into<IpAddr>>(outside: impl IntoIterator<Item = A>) -> Self {
        let outside: Vec<IpAddr> = outside.into_iter().map(Into::into).collect();
        assert!(!outside.is_empty(), "a NAT has an address on its outside");
        Self {
            outside,
            behind: None,
            mapping: Behavior::EndpointIndependent,
            filtering: Behavior::AddressDependent,
            ports: Ports::Preserved,
            paired: true,
            hairpinning: true,
            inbound_refresh: false,
            udp_lifetime: Duration::from_secs(300),
            tcp_lifetime: Duration::from_secs(7440),
            limit: 65_536,
            forwards: Vec::new(),
        }
    }

    /// Puts it behind another NAT, as those of carriers are.
    #[must_use]
    pub fn behind(mut self, nat: impl Into<NodeId>) -> Self {
        self.behind = Some(nat.into());
        self
    }

    /// Sets for what the same inside address gets another outside address.
    #[must_use]
    pub const fn mapping(mut self, mapping: Behavior) -> Self {
        self.mapping = mapping;
        self
    }

    /// Sets what is let in: what comes from anywhere, from an address, or from an address and port that was written to.
    #[must_use]
    pub const fn filtering(mut self, filtering: Behavior) -> Self {
        self.filtering = filtering;
        self
    }

    /// Sets which ports mappings get.
    #[must_use]
    pub const fn ports(mut self, ports: Ports) -> Self {
        self.ports = ports;
        self
    }

    /// Sets whether all mappings of one inside address have one outside address.
    #[must_use]
    pub const fn paired(mut self, paired: bool) -> Self {
        self.paired = paired;
        self
    }

    /// Sets whether inside nodes reach one another by outside addresses.
    #[must_use]
    pub const fn hairpinning(mut self, on: bool) -> Self {
        self.hairpinning = on;
        self
    }

    /// Sets whether what comes in keeps a mapping alive; what goes out always does.
    #[must_use]
    pub const fn inbound_refresh(mut self, on: bool) -> Self {
        self.inbound_refresh = on;
        self
    }

    /// Sets how long a mapping of UDP lives without traffic; 5 minutes unless told otherwise.
    #[must_use]
    pub const fn udp_lifetime(mut self, lifetime: Duration) -> Self {
        self.udp_lifetime = lifetime;
        self
    }

    /// Sets how long a mapping of a connection lives without traffic; 2 hours and 4 minutes unless told otherwise.
    #[must_use]
    pub const fn tcp_lifetime(mut self, lifetime: Duration) -> Self {
        self.tcp_lifetime = lifetime;
        self
    }

    /// Sets how many mappings there may be; what needs one more is dropped.
    #[must_use]
    pub const fn limit(mut self, mappings: usize) -> Self {
        self.limit = mappings;
        self
    }

    /// Leads all that comes to an outside address inside, as a server behind a NAT needs it. All transports over TCP
    /// count as one.
    #[must_use]
    pub fn forward(mut self, proto: Proto, outer: SocketAddr, inner: SocketAddr) -> Self {
        self.forwards.push((carrier(proto), outer, inner));
        self
    }
}

/// NATs in a world.
impl Sim {
    /// Adds a NAT. It is a node: links lead to it, partitions cut it off, it can be switched off. Nodes get behind it by
    /// [`Setup::behind`].
    ///
    /// # Panics
    /// If another node has the name or an address.
    pub fn nat(&mut self, name: &str, nat: Nat) -> NodeId {
        let setup = nat.outside.iter().fold(Setup::new(), |setup, address| setup.address(*address));
        let setup = nat.behind.into_iter().fold(setup, Setup::behind);
        let id = self.node_with(name, setup, Silent).id();
        let draws = Draws::new(self.seed(), &format!("nat {}", id.index()));
        self.nodes[id.index()].nat = Some(Box::new(Mappings::new(nat, draws)));
        id
    }

    /// Has a NAT forget all mappings, as when it starts again.
    ///
    /// # Panics
    /// If the node is no NAT.
    pub fn forget_mappings(&mut self, nat: NodeId) {
        self.note(format!("{} forgets its mappings", self.name(nat)));
        self.mappings(nat).forget();
    }

    /// Returns the outside addresses that an inside address has at a NAT now.
    ///
    /// # Panics
    /// If the node is no NAT.
    pub fn mapped(&self, nat: NodeId, proto: Proto, inner: SocketAddr) -> Vec<SocketAddr> {
        let mappings = self.nodes[nat.index()].nat.as_ref().expect("the node is a NAT");
        mappings.of(carrier(proto), inner, self.now())
    }

    pub(crate) fn mappings(&mut self, nat: NodeId) -> &mut Mappings {
        self.nodes[nat.index()].nat.as_mut().expect("the node is a NAT")
    }

    /// Returns who takes next what a node, or a NAT that has translated it, sends to an address.
    pub(crate) fn next_hop(&self, at: NodeId, target: IpAddr) -> Option<NodeId> {
        let (slot, owner) = (&self.nodes[at.index()], self.host(target));
        let realm = |node: NodeId| self.nodes[node.index()].behind;
        let inside = owner.filter(|owner| slot.nat.is_some() && realm(*owner) == Some(at));
        inside.or_else(|| owner.filter(|owner| realm(*owner) == slot.behind)).or(slot.behind)
    }

    /// Translates at a NAT what came from a node, and returns the new source and target, `None` if it may not pass.
    pub(crate) fn translate(
        &mut self,
        nat: NodeId,
        from: NodeId,
        proto: Proto,
        source: SocketAddr,
        target: SocketAddr,
    ) -> Option<Translated> {
        let (now, from_inside) = (self.now(), self.nodes[from.index()].behind == Some(nat));
        let turns = self.host(target.ip()) == Some(nat);
        let mappings = self.mappings(nat);
        let mut translated = Translated { source, target, outward: None, inward: None };
        if from_inside {
            let outer = mappings.outbound(carrier(proto), source, target, now)?;
            translated.outward = Some(Crossing { nat, inner: source, outer, peer: target });
            translated.source = outer;
        }
        if !from_inside || turns {
            let peer = translated.source;
            let may_turn = !from_inside || mappings.nat.hairpinning;
            let inner = mappings.inbound(carrier(proto), target, peer, now).filter(|_| may_turn)?;
            translated.inward = Some(Crossing { nat, inner, outer: target, peer });
            translated.target = inner;
        }
        Some(translated)
    }
}

/// What has passed a NAT.
#[derive(Debug)]
pub(crate) struct Translated {
    pub(crate) source: SocketAddr,
    pub(crate) target: SocketAddr,
    /// How it went out, if it did.
    pub(crate) outward: Option<Crossing>,
    /// How it came in, if it did.
    pub(crate) inward: Option<Crossing>,
}

/// Where a connection crosses a NAT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crossing {
    pub(crate) nat: NodeId,
    inner: SocketAddr,
    outer: SocketAddr,
    /// The other end, as the NAT's outside sees it.
    peer: SocketAddr,
}

/// The mappings of one NAT.
#[derive(Debug)]
pub(crate) struct Mappings {
    nat: Nat,
    live: BTreeMap<Key, Mapping>,
    by_outer: BTreeMap<(Proto, SocketAddr), Key>,
    pairs: BTreeMap<IpAddr, IpAddr>,
    next_address: usize,
    next_port: u16,
    draws: Draws,
}

/// What has a mapping of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    proto: Proto,
    inner: SocketAddr,
    peer_address: Option<IpAddr>,
    peer_port: Option<u16>,
}

#[derive(Debug)]
struct Mapping {
    outer: SocketAddr,
    used: Instant,
    /// Who was written to, and when last.
    peers: BTreeMap<SocketAddr, Instant>,
}

impl Mappings {
    const FIRST_PORT: u16 = 1024;

    fn new(nat: Nat, draws: Draws) -> Self {
        let (live, by_outer, pairs) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { nat, live, by_outer, pairs, next_address: 0, next_port: Self::FIRST_PORT, draws }
    }

    /// Returns the address that what goes out shows, through a new mapping if there is none.
    fn outbound(
        &mut self,
        proto: Proto,
        inner: SocketAddr,
        peer: SocketAddr,
        now: Instant,
    ) -> Option<SocketAddr> {
        if let Some(outer) = self.forwarded_from(proto, inner) {
            return Some(outer);
        }
        let key = self.key(proto, inner, peer);
        if !self.live.contains_key(&key) || !self.is_alive(&key, now) {
            self.drop_expired(now);
            if self.live.len() >= self.nat.limit {
                return None;
            }
            let outer = self.choose(proto, inner)?;
            self.by_outer.insert((proto, outer), key);
            self.live.insert(key, Mapping { outer, used: now, peers: BTreeMap::new() });
        }
        let lifetime = self.lifetime(proto);
        let mapping = self.live.get_mut(&key)?;
        mapping.used = now;
        mapping.peers.retain(|_, written| now.since(*written) < lifetime);
        mapping.peers.insert(peer, now);
        Some(mapping.outer)
    }

    /// Returns where what comes in goes, `None` if nothing lets it in.
    fn inbound(
        &mut self,
        proto: Proto,
        outer: SocketAddr,
        peer: SocketAddr,
        now: Instant,
    ) -> Option<SocketAddr> {
        let forward = self.nat.forwards.iter().find(|(of, from, _)| (*of, *from) == (proto, outer));
        if let Some((.., inner)) = forward {
            return Some(*inner);
        }
        let key = *self.by_outer.get(&(proto, outer))?;
        if !self.is_alive(&key, now) {
            return None;
        }
        let (lifetime, filtering, refreshes) =
            (self.lifetime(proto), self.nat.filtering, self.nat.inbound_refresh);
        let mapping = self.live.get_mut(&key)?;
        let known = |(other, written): (&SocketAddr, &Instant)| {
            let alike = match filtering {
                Behavior::EndpointIndependent => true,
                Behavior::AddressDependent => other.ip() == peer.ip(),
                Behavior::AddressAndPortDependent => *other == peer,
            };
            alike && now.since(*written) < lifetime
        };
        if filtering != Behavior::EndpointIndependent && !mapping.peers.iter().any(known) {
            return None;
        }
        if refreshes {
            mapping.used = now;
            if let Some(written) = mapping.peers.get_mut(&peer) {
                *written = now;
            }
        }
        Some(key.inner)
    }

    /// Tells whether a piece of a connection passes, and keeps its mapping alive as it does. Unlike a datagram it makes none.
    pub(crate) fn carries(&mut self, proto: Proto, crossing: Crossing, outward: bool, now: Instant) -> bool {
        let proto = carrier(proto);
        let Crossing { inner, outer, peer, .. } = crossing;
        if !outward {
            return self.inbound(proto, outer, peer, now) == Some(inner);
        }
        let key = self.key(proto, inner, peer);
        let mapped = self.live.get(&key).is_some_and(|mapping| mapping.outer == outer);
        let forwarded = self.forwarded_from(proto, inner) == Some(outer);
        (forwarded || mapped && self.is_alive(&key, now))
            && self.outbound(proto, inner, peer, now) == Some(outer)
    }

    /// Returns whose mapping an outside address is, to pass on what the network says of it.
    pub(crate) fn inner(&self, proto: Proto, outer: SocketAddr) -> Option<SocketAddr> {
        let forward = self.nat.forwards.iter().find(|(of, from, _)| (*of, *from) == (proto, outer));
        forward.map(|(.., inner)| *inner).or_else(|| Some(self.by_outer.get(&(proto, outer))?.inner))
    }

    fn of(&self, proto: Proto, inner: SocketAddr, now: Instant) -> Vec<SocketAddr> {
        let own = |key: &Key| (key.proto, key.inner) == (proto, inner) && self.is_alive(key, now);
        self.live.iter().filter(|(key, _)| own(key)).map(|(_, mapping)| mapping.outer).collect()
    }

    fn forget(&mut self) {
        self.live.clear();
        self.by_outer.clear();
        self.pairs.clear();
    }

    fn forwarded_from(&self, proto: Proto, inner: SocketAddr) -> Option<SocketAddr> {
        self.nat.forwards.iter().find(|(of, _, to)| (*of, *to) == (proto, inner)).map(|(_, outer, _)| *outer)
    }

    fn key(&self, proto: Proto, inner: SocketAddr, peer: SocketAddr) -> Key {
        let (address, port) = match self.nat.mapping {
            Behavior::EndpointIndependent => (None, None),
            Behavior::AddressDependent => (Some(peer.ip()), None),
            Behavior::AddressAndPortDependent => (Some(peer.ip()), Some(peer.port())),
        };
        Key { proto, inner, peer_address: address, peer_port: port }
    }

    const fn lifetime(&self, proto: Proto) -> Duration {
        match proto {
            Proto::Udp => self.nat.udp_lifetime,
            _ => self.nat.tcp_lifetime,
        }
    }

    fn is_alive(&self, key: &Key, now: Instant) -> bool {
        let lifetime = self.lifetime(key.proto);
        self.live.get(key).is_some_and(|mapping| now.since(mapping.used) < lifetime)
    }

    fn drop_expired(&mut self, now: Instant) {
        let (udp, tcp) = (self.nat.udp_lifetime, self.nat.tcp_lifetime);
        let lifetime = |proto| if proto == Proto::Udp { udp } else { tcp };
        self.live.retain(|key, mapping| now.since(mapping.used) < lifetime(key.proto));
        let live = &self.live;
        self.by_outer.retain(|_, key| live.contains_key(key));
    }

    /// Chooses the outside address of a new mapping, `None` if all are taken.
    fn choose(&mut self, proto: Proto, inner: SocketAddr) -> Option<SocketAddr> {
        let ip = self.choose_address(inner.ip())?;
        let first = match self.nat.ports {
            Ports::Preserved => inner.port(),
            Ports::InTurn => self.next_port,
            Ports::Random => {
                let offset = self.draws.below(u64::from(u16::MAX - Self::FIRST_PORT) + 1);
                Self::FIRST_PORT.saturating_add(u16::try_from(offset).unwrap_or(0))
            }
        };
        let taken = |port| {
            let outer = SocketAddr::new(ip, port);
            let forwards = self.nat.forwards.iter().any(|(of, from, _)| (*of, *from) == (proto, outer));
            forwards || self.by_outer.contains_key(&(proto, outer))
        };
        let port = (first..=u16::MAX).chain(Self::FIRST_PORT..first.max(Self::FIRST_PORT));
        let port = port.into_iter().find(|port| !taken(*port))?;
        self.next_port = port.checked_add(1).unwrap_or(Self::FIRST_PORT);
        Some(SocketAddr::new(ip, port))
    }

    fn choose_address(&mut self, inner: IpAddr) -> Option<IpAddr> {
        let own: Vec<IpAddr> =
            self.nat.outside.iter().copied().filter(|own| own.is_ipv4() == inner.is_ipv4()).collect();
        if !self.nat.paired {
            return self.draws.pick(&own).copied();
        }
        if let Some(paired) = self.pairs.get(&inner) {
            return Some(*paired);
        }
        let chosen = *own.get(self.next_address % own.len().max(1))?;
        self.next_address += 1;
        self.pairs.insert(inner, chosen);
        Some(chosen)
    }
}

/// Names the protocol whose ports a transport uses.
const fn carrier(proto: Proto) -> Proto {
    match proto {
        Proto::Udp => Proto::Udp,
        Proto::Sctp => Proto::Sctp,
        _ => Proto::Tcp,
    }
}

/// The machine of a NAT: it has no sockets.
struct Silent;

impl Machine for Silent {
    fn handle_input(&mut self, _: Instant, _: Input<'_>) {}

    fn poll_output(&mut self) -> Option<Output> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
