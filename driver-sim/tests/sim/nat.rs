//! NATs, one behaviour of RFC 4787 and RFC 5382 after the other.

use std::net::SocketAddr;

use sansip::{ConnId, IoKind, Output, Proto, SocketId, Unreachable};
use sansip_sim::{Behavior, Nat, Node, NodeId, Ports, Setup, Sim};

use crate::scripted::{Event, Scripted, ms, secs};

const BEHAVIORS: [Behavior; 3] =
    [Behavior::EndpointIndependent, Behavior::AddressDependent, Behavior::AddressAndPortDependent];
const OTHER: SocketId = SocketId(2);

/// Alice and Carol at home behind a NAT, Bob and Dave outside; Bob also has a socket at port 5070.
struct Street {
    sim: Sim,
    home: NodeId,
    alice: Node<Scripted>,
    carol: Node<Scripted>,
    bob: Node<Scripted>,
    dave: Node<Scripted>,
}

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn usual() -> Nat {
    Nat::new([[203, 0, 113, 1]])
}

impl Street {
    fn new(nat: Nat) -> Self {
        Self::seeded(1, nat)
    }

    fn seeded(seed: u64, nat: Nat) -> Self {
        let mut sim = Sim::new(seed);
        let home = sim.nat("home", nat);
        let inside = |last: u8| Setup::new().address([192, 168, 0, last]).behind(home);
        let alice = sim.node_with("alice", inside(2), Scripted::new());
        let carol = sim.node_with("carol", inside(3), Scripted::new());
        let bob = sim.node_with("bob", Setup::new().address([198, 51, 100, 1]), Scripted::new());
        let dave = sim.node_with("dave", Setup::new().address([198, 51, 100, 2]), Scripted::new());
        let bind = Output::Bind { socket: OTHER, proto: Proto::Udp, addr: addr("0.0.0.0:5070") };
        sim.on(bob, |m, _| m.outputs.push_back(bind));
        Self { sim, home, alice, carol, bob, dave }
    }

    fn send(&mut self, from: Node<Scripted>, to: &str) {
        let to = addr(to);
        self.sim.on(from, |m, _| m.send_next(to));
        self.sim.run_for(ms(10));
    }

    fn send_from_other_port(&mut self, to: SocketAddr) {
        let local = addr("0.0.0.0:5070");
        let output = Output::Transmit { socket: OTHER, local, remote: to, payload: "other port".into() };
        self.sim.on(self.bob, |m, _| m.outputs.push_back(output));
        self.sim.run_for(ms(10));
    }

    /// Returns how many datagrams a node has heard.
    fn heard(&self, node: Node<Scripted>) -> usize {
        self.sim.peek(node).datagrams().len()
    }

    /// Returns from where a node heard its last datagram.
    fn source(&self, node: Node<Scripted>) -> String {
        let heard = self.sim.peek(node).heard.iter().rev().find_map(|(_, event)| match event {
            Event::Datagram(source, _) => Some(source.to_string()),
            _ => None,
        });
        heard.expect("a datagram came")
    }

    fn mapped(&self, node: Node<Scripted>) -> Vec<String> {
        let inner = self.sim.addr(node, 5060);
        self.sim.mapped(self.home, Proto::Udp, inner).iter().map(ToString::to_string).collect()
    }
}

/// RFC 4787 §4.1: for how many peers one inside address gets one outside address.
#[test]
fn mappings_depend_on_what_they_are_told() {
    for (behavior, count) in BEHAVIORS.into_iter().zip([1, 2, 3]) {
        let mut street = Street::new(usual().mapping(behavior));
        for to in ["198.51.100.1:5060", "198.51.100.1:5070", "198.51.100.2:5060"] {
            street.send(street.alice, to);
        }
        assert_eq!(street.mapped(street.alice).len(), count, "{behavior:?}");
        assert_eq!((street.heard(street.bob), street.heard(street.dave)), (2, 1));
        let shown = street.source(street.dave);
        assert!(street.mapped(street.alice).contains(&shown), "{shown}");
    }
}

/// RFC 4787 §5: who may answer.
#[test]
fn filters_depend_on_what_they_are_told() {
    for (behavior, passes) in BEHAVIORS.into_iter().zip([3, 2, 1]) {
        let mut street = Street::new(usual().filtering(behavior));
        street.send(street.alice, "198.51.100.1:5060");
        assert_eq!(street.source(street.bob), "203.0.113.1:5060");
        street.send(street.bob, "203.0.113.1:5060");
        street.send_from_other_port(addr("203.0.113.1:5060"));
        street.send(street.dave, "203.0.113.1:5060");
        assert_eq!(street.heard(street.alice), passes, "{behavior:?}");
        assert_eq!(street.sim.ladder().to_string().matches("filtered").count(), 3 - passes);
        street.send(street.bob, "203.0.113.1:6000");
        assert_eq!((street.heard(street.alice), street.heard(street.carol)), (passes, 0), "no such mapping");
    }
}

/// RFC 4787 §4.3, REQ-5, REQ-6: a mapping ends without traffic; what goes out keeps it, what comes in only if told so.
#[test]
fn mappings_end_without_traffic() {
    for inbound in [false, true] {
        let mut street = Street::new(usual().udp_lifetime(secs(60)).inbound_refresh(inbound));
        street.send(street.alice, "198.51.100.1:5060");
        street.sim.run_for(secs(50));
        street.send(street.alice, "198.51.100.1:5060");
        street.sim.run_for(secs(50));
        street.send(street.bob, "203.0.113.1:5060");
        assert_eq!(street.heard(street.alice), 1, "what went out has kept it");
        street.sim.run_for(secs(50));
        street.send(street.bob, "203.0.113.1:5060");
        assert_eq!(street.heard(street.alice), 1 + usize::from(inbound));
        street.sim.run_for(secs(60));
        assert!(street.mapped(street.alice).is_empty());
    }
}

/// RFC 4787 §4.2.1, §4.2.3: ports are kept where that is possible, and no two inside addresses share one.
#[test]
fn ports_are_given_as_told() {
    let ports = |seed, ports| {
        let mut street = Street::seeded(seed, usual().ports(ports));
        street.send(street.alice, "198.51.100.1:5060");
        street.send(street.carol, "198.51.100.1:5060");
        [street.mapped(street.alice), street.mapped(street.carol)].concat()
    };
    assert_eq!(ports(1, Ports::Preserved), ["203.0.113.1:5060", "203.0.113.1:5061"]);
    assert_eq!(ports(1, Ports::InTurn), ["203.0.113.1:1024", "203.0.113.1:1025"]);
    assert_eq!(ports(1, Ports::Random), ports(1, Ports::Random), "the seed decides");
    assert_ne!(ports(1, Ports::Random), ports(2, Ports::Random));
}

/// What needs one mapping more than there may be is dropped, until another has ended.
#[test]
fn mappings_are_limited() {
    let mut street = Street::new(usual().limit(1).udp_lifetime(secs(60)));
    street.send(street.alice, "198.51.100.1:5060");
    street.send(street.carol, "198.51.100.1:5060");
    assert_eq!((street.heard(street.bob), street.mapped(street.carol).len()), (1, 0));
    street.sim.run_for(secs(60));
    street.send(street.carol, "198.51.100.1:5060");
    assert_eq!((street.heard(street.bob), street.mapped(street.carol).len()), (2, 1));
}

/// RFC 4787 §4.1, REQ-2: all mappings of one inside address have one outside address, unless the NAT does not pair.
#[test]
fn addresses_are_paired() {
    for paired in [true, false] {
        let nat = Nat::new([[203, 0, 113, 1], [203, 0, 113, 2]]).paired(paired);
        let mut street = Street::new(nat.mapping(Behavior::AddressAndPortDependent));
        for port in 6000..6020 {
            street.send(street.alice, &format!("198.51.100.1:{port}"));
        }
        street.send(street.carol, "198.51.100.1:5060");
        let first = |mapped: &str| mapped.starts_with("203.0.113.1:");
        let here = street.mapped(street.alice).iter().filter(|mapped| first(mapped)).count();
        assert_eq!(here == 20, paired, "{here}");
        if paired {
            assert_eq!(street.mapped(street.carol), ["203.0.113.2:5060"], "the next gets the next");
        }
    }
}

/// RFC 4787 §6: inside nodes reach one another by outside addresses, and show theirs.
#[test]
fn hairpins_turn() {
    for on in [true, false] {
        let mut street = Street::new(usual().hairpinning(on).filtering(Behavior::EndpointIndependent));
        street.send(street.carol, "198.51.100.1:5060");
        street.send(street.alice, "203.0.113.1:5060");
        assert_eq!(street.heard(street.carol), usize::from(on));
        if on {
            assert_eq!(street.source(street.carol), "203.0.113.1:5061");
        }
    }
    let mut street = Street::new(usual());
    street.send(street.alice, "192.168.0.3:5060");
    assert_eq!(street.source(street.carol), "192.168.0.2:5060", "those behind one NAT need it not");
    street.send(street.bob, "192.168.0.2:5060");
    assert_eq!(street.heard(street.alice), 0, "an inside address leads nowhere from outside");
}

/// A NAT that starts again has no mappings; what goes out makes new ones.
#[test]
fn mappings_are_forgotten() {
    let mut street = Street::new(usual().ports(Ports::InTurn));
    street.send(street.alice, "198.51.100.1:5060");
    street.sim.forget_mappings(street.home);
    street.send(street.bob, "203.0.113.1:1024");
    assert_eq!(street.heard(street.alice), 0);
    street.send(street.alice, "198.51.100.1:5060");
    assert_eq!(street.source(street.bob), "203.0.113.1:1025");
    street.sim.power_off(street.home);
    street.send(street.alice, "198.51.100.1:5060");
    assert_eq!(street.heard(street.bob), 2);
}

/// RFC 5508 §4: what the network says of a datagram reaches who sent it.
#[test]
fn errors_come_back_inside() {
    let mut street = Street::new(usual());
    street.send(street.alice, "198.51.100.1:9");
    street.send(street.alice, "198.51.100.99:5060");
    let told = street.sim.peek(street.alice).heard.iter().filter_map(|(_, event)| match event {
        Event::Unreachable(remote, Unreachable::Icmp) => Some(remote.to_string()),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), ["198.51.100.1:9", "198.51.100.99:5060"]);
}

/// RFC 5382: connections go out and show the outside address; they come in where the NAT leads them.
#[test]
fn connections_cross() {
    let forward = usual().forward(Proto::Tcp, addr("203.0.113.1:5060"), addr("192.168.0.3:5060"));
    let mut street = Street::new(forward);
    let (alice, bob, carol) = (street.alice, street.bob, street.carol);
    let begin = street.sim.now();
    street.sim.on(alice, |m, _| m.connect(0, addr("198.51.100.1:5060")));
    street.sim.on(alice, |m, _| m.write(ConnId(0), "out"));
    street.sim.on(bob, |m, _| m.connect(0, addr("203.0.113.1:5060")));
    street.sim.on(bob, |m, _| m.connect(2, addr("203.0.113.1:6000")));
    street.sim.run_for(secs(1));
    let accepted = |node: Node<Scripted>| {
        street.sim.peek(node).heard.iter().find_map(|(at, event)| match event {
            Event::Accepted(conn, remote) => Some((*at, *conn, remote.to_string())),
            _ => None,
        })
    };
    let (at, conn, remote) = accepted(bob).expect("it is led out");
    assert_eq!(remote, "203.0.113.1:49152");
    assert_eq!(at.since(begin), ms(6), "two links there, back, and there");
    assert_eq!(street.sim.peek(bob).received(conn), b"out");
    assert_eq!(accepted(carol).expect("it is led in").2, "198.51.100.1:49152");
    street.sim.run_for(secs(200));
    let closed = street.sim.peek(bob).closed(ConnId(2)).expect("nothing leads there");
    assert_eq!(closed.1, Some(IoKind::TimedOut));
}

/// RFC 5382 REQ-5: a connection without traffic loses its mapping, and then nothing passes in either direction.
#[test]
fn connections_lose_their_mapping() {
    for forgets in [false, true] {
        let mut street = Street::new(usual().tcp_lifetime(secs(600)));
        let (alice, bob) = (street.alice, street.bob);
        street.sim.net().stall_timeout(secs(60));
        street.sim.on(alice, |m, _| m.connect(0, addr("198.51.100.1:5060")));
        street.sim.run_for(secs(500));
        street.sim.on(alice, |m, _| m.write(ConnId(0), "alive"));
        street.sim.run_for(secs(500));
        street.sim.on(bob, |m, _| m.write(ConnId(1), "alive too"));
        street.sim.run_for(secs(50));
        assert_eq!(street.sim.peek(alice).received(ConnId(0)), b"alive too");
        if forgets {
            street.sim.forget_mappings(street.home);
        } else {
            street.sim.run_for(secs(600));
        }
        street.sim.on(bob, |m, _| m.write(ConnId(1), "lost"));
        street.sim.on(alice, |m, _| m.write(ConnId(0), "lost"));
        street.sim.run_for(secs(100));
        assert_eq!(street.sim.peek(alice).received(ConnId(0)), b"alive too");
        for (node, conn) in [(alice, ConnId(0)), (bob, ConnId(1))] {
            let (_, error) = street.sim.peek(node).closed(conn).expect("it was given up");
            assert_eq!(error, Some(IoKind::TimedOut));
        }
    }
}

/// A NAT behind a NAT: both map, and both have to let in.
#[test]
fn nats_stand_behind_nats() {
    let mut sim = Sim::new(1);
    let carrier = sim.nat("carrier", Nat::new([[203, 0, 113, 1]]).ports(Ports::InTurn));
    let home = sim.nat("home", Nat::new([[100, 64, 0, 1]]).behind(carrier));
    let alice = Setup::new().address([192, 168, 0, 2]).behind(home);
    let alice = sim.node_with("alice", alice, Scripted::new());
    let bob = sim.node_with("bob", Setup::new().address([198, 51, 100, 1]), Scripted::new());
    sim.on(alice, |m, _| m.send_next(addr("198.51.100.1:5060")));
    sim.settle();
    sim.on(alice, |m, _| m.connect(0, addr("198.51.100.1:5060")));
    sim.settle();
    let sources: Vec<String> = sim
        .peek(bob)
        .heard
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Datagram(source, _) | Event::Accepted(_, source) => Some(source.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(sources, ["203.0.113.1:1024", "203.0.113.1:1025"]);
    sim.on(bob, |m, _| m.send_next(addr("203.0.113.1:1024")));
    sim.settle();
    assert_eq!(sim.peek(alice).datagrams().len(), 1);
    assert_eq!(sim.mapped(home, Proto::Udp, addr("192.168.0.2:5060")), [addr("100.64.0.1:5060")]);
    assert_eq!(sim.mapped(carrier, Proto::Udp, addr("100.64.0.1:5060")), [addr("203.0.113.1:1024")]);
}

/// A NAT lets nothing out of a family of which it has no outside address.
#[test]
fn families_need_an_outside_address() {
    let mut sim = Sim::new(1);
    let home = sim.nat("home", usual());
    let alice = sim.node_with("alice", Setup::new().behind(home), Scripted::silent());
    let bob = sim.node("bob", Scripted::new());
    let any = addr("[::]:5060");
    let v6 = SocketAddr::new(sim.addresses(bob)[1], 5060);
    sim.on(alice, |m, _| {
        m.outputs.push_back(Output::Bind { socket: OTHER, proto: Proto::Udp, addr: any });
        m.outputs.push_back(Output::Transmit { socket: OTHER, local: any, remote: v6, payload: "x".into() });
    });
    sim.settle();
    assert!(sim.ladder().to_string().contains("filtered"), "{}", sim.ladder());
}
