use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use sansip::{Input, Proto, SocketId, Unreachable};

use crate::{
    link::Fate,
    nat::Translated,
    node::{NodeId, Power},
    rule::{Packet, Verdict},
    trace::{Hop, Passage, What, Why},
    world::{Happening, Sim},
};

/// The largest UDP payload of IPv4.
const LARGEST: usize = 65_507;

/// How a datagram travels.
impl Sim {
    /// Sends a datagram as a machine wants it.
    pub(crate) fn transmit(
        &mut self,
        node: NodeId,
        socket: SocketId,
        local: SocketAddr,
        remote: SocketAddr,
        payload: Bytes,
    ) {
        self.datagrams += 1;
        let source = self.source(node, socket, local, remote.ip());
        let hop = Hop {
            number: self.datagrams,
            proto: Proto::Udp,
            from: node,
            to: self.next_hop(node, remote.ip()),
            source: source.unwrap_or(local),
            target: remote,
            sent: self.now,
            payload,
        };
        self.trace.push(self.now, What::Datagram { hop: hop.clone(), passage: Passage::Sent });
        if source.is_none() {
            self.drop_datagram(hop, Why::NoRoute);
        } else if hop.payload.len() > LARGEST {
            let why = Unreachable::TooBig;
            self.nodes[node.index()].soon.push_back(Input::Unreachable { socket, remote, why });
            self.drop_datagram(hop, Why::TooBig);
        } else {
            self.depart(hop);
        }
    }

    /// Takes a datagram at its end.
    pub(crate) fn arrive(&mut self, hop: Hop, copy: bool, back: u64) {
        let Some(to) = hop.to else { return };
        let slot = &self.nodes[to.index()];
        let socket = match slot.power {
            Power::Off => return self.drop_datagram(hop, Why::Off),
            Power::Crashed => None,
            Power::Up if slot.nat.is_some() => return self.pass_on(hop, to, copy),
            Power::Up => slot.sockets.at(Proto::Udp, hop.target),
        };
        let Some(socket) = socket else {
            let (node, source, remote) = (hop.from, hop.source, hop.target);
            self.drop_datagram(hop, Why::NoSocket);
            if self.network.icmp {
                let delay = self.network.path(to, node).link.delay.draw(back);
                self.say_unreachable(Some(to), node, source, remote, Unreachable::Icmp, delay);
            }
            return;
        };
        let passage = if copy { Passage::Copied } else { Passage::Delivered };
        let (local, remote, payload) = (hop.target, hop.source, hop.payload.clone());
        self.trace.push(self.now, What::Datagram { hop, passage });
        self.give(to, Input::Datagram { socket, local, remote, payload: &payload });
    }

    /// Tells the socket that has the sending address now that a datagram did not arrive.
    pub(crate) fn tell_unreachable(
        &mut self,
        node: NodeId,
        source: SocketAddr,
        remote: SocketAddr,
        why: Unreachable,
    ) {
        let slot = &self.nodes[node.index()];
        if let Some(mappings) = slot.nat.as_ref().filter(|_| slot.power == Power::Up) {
            let inner = mappings.inner(Proto::Udp, source);
            let host = inner.and_then(|inner| Some((self.next_hop(node, inner.ip())?, inner)));
            if let Some((host, inner)) = host {
                let delay = self.network.path(node, host).link.delay.draw(0);
                self.say_unreachable(Some(node), host, inner, remote, why, delay);
            }
            return;
        }
        let Some(socket) = slot.sockets.at(Proto::Udp, source).filter(|_| slot.power == Power::Up) else {
            return;
        };
        self.trace.push(self.now, What::Unreachable { node, remote, why });
        self.give(node, Input::Unreachable { socket, remote, why });
    }

    /// Has a datagram leave a node or a NAT.
    fn depart(&mut self, hop: Hop) {
        match hop.to {
            Some(to) => self.travel(hop, to),
            None => self.miss(hop),
        }
    }

    /// Sends on what has arrived at a NAT.
    fn pass_on(&mut self, hop: Hop, nat: NodeId, copy: bool) {
        let translated = self.translate(nat, hop.from, Proto::Udp, hop.source, hop.target);
        let Some(Translated { source, target, .. }) = translated else {
            return self.drop_datagram(hop, Why::Filtered);
        };
        let passage = if copy { Passage::Copied } else { Passage::Delivered };
        self.trace.push(self.now, What::Datagram { hop: hop.clone(), passage });
        self.datagrams += 1;
        let to = self.next_hop(nat, target.ip());
        let hop = Hop { number: self.datagrams, from: nat, to, source, target, sent: self.now, ..hop };
        self.trace.push(self.now, What::Datagram { hop: hop.clone(), passage: Passage::Sent });
        self.depart(hop);
    }

    /// Returns the address to send from, `None` if the socket or the node has none that fits.
    fn source(
        &self,
        node: NodeId,
        socket: SocketId,
        local: SocketAddr,
        remote: IpAddr,
    ) -> Option<SocketAddr> {
        let slot = &self.nodes[node.index()];
        let (_, bound) = slot.sockets.get(socket).filter(|(proto, _)| *proto == Proto::Udp)?;
        let ip = if !bound.ip().is_unspecified() {
            bound.ip()
        } else if local.ip().is_unspecified() {
            slot.address_like(bound.ip())?
        } else {
            slot.addresses.iter().copied().find(|address| *address == local.ip())?
        };
        (ip.is_ipv4() == remote.is_ipv4()).then(|| SocketAddr::new(ip, bound.port()))
    }

    /// Puts a datagram on the way to the node that has its address.
    fn travel(&mut self, mut hop: Hop, to: NodeId) {
        let size = hop.payload.len() + if hop.target.is_ipv4() { 28 } else { 48 };
        let path = self.network.path(hop.from, to);
        let fate = path.datagram(self.now, size);
        let too_big = path.link.mtu.is_some_and(|mtu| size > mtu);
        let tells = path.link.tells_too_big;
        if self.network.faults.cuts(hop.from, to) {
            return self.drop_datagram(hop, Why::Partition);
        }
        let Fate { mut lost, mut delay, mut copy, back } = fate;
        match self.judge(&hop, to) {
            Verdict::Pass => (),
            Verdict::Deliver(after) => (lost, delay, copy) = (None, after, None),
            Verdict::Drop => lost = Some(Why::Rule),
            Verdict::Replace(payload) => {
                hop.payload = payload;
                self.trace.push(self.now, What::Datagram { hop: hop.clone(), passage: Passage::Replaced });
            }
        }
        let extra = self.network.faults.extra(hop.from, to);
        if too_big {
            if tells {
                let way_back = self.network.path(to, hop.from).link.delay.draw(back);
                let why = Unreachable::TooBig;
                self.say_unreachable(Some(to), hop.from, hop.source, hop.target, why, delay + way_back);
            }
            return self.drop_datagram(hop, Why::TooBig);
        }
        if let Some(why) = lost {
            return self.drop_datagram(hop, why);
        }
        let arrival = self.now + delay + extra;
        if let Some(copy) = copy {
            self.schedule(arrival, Happening::Datagram { hop: hop.clone(), copy: false, back });
            self.schedule(self.now + copy + extra, Happening::Datagram { hop, copy: true, back });
        } else {
            self.schedule(arrival, Happening::Datagram { hop, copy: false, back });
        }
    }

    fn judge(&mut self, hop: &Hop, to: NodeId) -> Verdict {
        if !self.network.faults.has_rules() {
            return Verdict::Pass;
        }
        self.network.faults.judge(&Packet {
            at: self.now,
            from: hop.from,
            to,
            proto: Proto::Udp,
            source: hop.source,
            target: hop.target,
            payload: hop.payload.clone(),
        })
    }

    /// Loses a datagram whose address no node has.
    fn miss(&mut self, hop: Hop) {
        if self.network.icmp {
            let delay = self.network.usual_delay().draw(0) * 2;
            self.say_unreachable(None, hop.from, hop.source, hop.target, Unreachable::Icmp, delay);
        }
        self.drop_datagram(hop, Why::NoHost);
    }

    fn say_unreachable(
        &mut self,
        from: Option<NodeId>,
        node: NodeId,
        source: SocketAddr,
        remote: SocketAddr,
        why: Unreachable,
        delay: Duration,
    ) {
        if from.is_some_and(|from| self.network.faults.cuts(from, node)) {
            return;
        }
        self.schedule(self.now + delay, Happening::Unreachable { node, source, remote, why });
    }

    fn drop_datagram(&mut self, hop: Hop, why: Why) {
        self.trace.push(self.now, What::Datagram { hop, passage: Passage::Dropped(why) });
    }
}
