//! Calls through NATs of every kind (RFC 4787, RFC 3581, RFC 5626).

use std::{net::SocketAddr, time::Duration};

use sansip::{
    ClientEnd, Config, Cx, Endpoint, FlowChange, FlowId, Host, Instant, NatPolicy, Proto, Service, SocketId,
    StatusCode,
};
use sansip_sim::{Behavior, Nat, NodeId, Ports, Setup, Sim};
use sansip_tests::simulated::{News, Phone, Ua, rest, times};

use crate::script::*;

const BEHAVIORS: [Behavior; 3] =
    [Behavior::EndpointIndependent, Behavior::AddressDependent, Behavior::AddressAndPortDependent];

/// Alice is behind a NAT, and Bob answers peers where they send from.
fn street(nat: Nat, alice: impl FnOnce(&mut Config)) -> (Sim, NodeId, Ua, Ua) {
    let mut sim = world();
    let home = sim.nat("home", nat);
    let (mut inside, mut outside) = (Config::default(), Config::default());
    alice(&mut inside);
    outside.nat = NatPolicy::SymmetricSource;
    outside.limits.idle = secs(3000);
    let alice = Ua::behind(&mut sim, home, "alice", inside, Phone::new("192.168.0.2"));
    let bob = Ua::configured(&mut sim, "bob", outside, Phone::new("198.51.100.1"));
    (sim, home, alice, bob)
}

fn nat() -> Nat {
    Nat::new([[203, 0, 113, 1]]).ports(Ports::InTurn)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Returns whether a BYE of Bob's was answered by Alice.
fn bob_hangs_up(sim: &mut Sim, alice: Ua, bob: Ua) -> bool {
    let dialog = bob.dialog(sim);
    bob.act(sim, |_, cx| cx.bye(dialog)).expect("the call is up");
    sim.run_for(secs(1));
    !times(sim, alice.id(), "200 BYE").is_empty()
}

/// P14, C054, RFC 3581: a call between a phone behind a NAT and one outside comes about and ends from either side, whatever
/// the NAT maps and filters by; responses find the way by `rport`, requests by where the peer sent from.
#[test]
fn p14_calls_pass_every_nat() {
    for (mapping, filtering) in BEHAVIORS.into_iter().flat_map(|mapping| BEHAVIORS.map(|by| (mapping, by))) {
        for alice_ends in [true, false] {
            let (mut sim, _, alice, bob) = street(nat().mapping(mapping).filtering(filtering), |_| ());
            let call = alice.dial(&mut sim, &bob.uri());
            sim.run_for(secs(5));
            let up = News::Ended(call, ClientEnd::Final(StatusCode::OK));
            assert!(alice.heard(&sim, &up), "{mapping:?} {filtering:?}\n{}", sim.ladder());
            if alice_ends {
                alice.hang_up(&mut sim);
            } else {
                assert!(bob_hangs_up(&mut sim, alice, bob), "{mapping:?} {filtering:?}\n{}", sim.ladder());
            }
            rest(&mut sim, &[alice, bob]);
        }
    }
}

/// P16, C050, RFC 5626 §4.4.2: without traffic the NAT forgets a phone, and the BYE of the other side is lost; asking the
/// other side by STUN from the SIP port keeps the way open.
#[test]
fn p16_stun_keeps_the_mapping() {
    for keeps in [false, true] {
        let (mut sim, home, alice, bob) = street(nat().udp_lifetime(secs(60)), |_| ());
        alice.dial(&mut sim, &bob.uri());
        sim.run_for(secs(5));
        if keeps {
            let flow = FlowId::Datagrams { socket: SocketId(0), remote: bob.addr() };
            alice.act(&mut sim, |_, cx| cx.keep_alive(flow, Some(secs(25)))).expect("Bob is asked");
        }
        sim.run_for(secs(600));
        assert_eq!(sim.mapped(home, Proto::Udp, alice.addr()).len(), usize::from(keeps));
        assert_eq!(bob_hangs_up(&mut sim, alice, bob), keeps, "{}", sim.ladder());
    }
}

/// C050, C044, RFC 5626 §4.4.1: the same over TCP, where pings on the connection keep it, and the BYE comes back on it.
#[test]
fn c050_pings_keep_the_mapping() {
    for ping in [None, Some(secs(90))] {
        let (mut sim, _, alice, bob) = street(nat().tcp_lifetime(secs(120)), |config| {
            config.keep_alive = ping;
            config.limits.idle = secs(3000);
        });
        alice.dial(&mut sim, &bob.tcp_uri());
        sim.run_for(secs(600));
        assert_eq!(bob_hangs_up(&mut sim, alice, bob), ping.is_some(), "{}", sim.ladder());
    }
}

/// A service that keeps its mapping alive and notes the addresses that it is told.
#[derive(Default)]
struct Probing(Vec<(Option<SocketAddr>, SocketAddr)>);

impl Service for Probing {
    fn flow(&mut self, _: &mut Cx<'_>, _: FlowId, change: &FlowChange) {
        if let FlowChange::Mapped { before, mapped } = change {
            self.0.push((*before, *mapped));
        }
    }
}

/// C053, RFC 5626 §4.4.2: when the NAT starts again, the next answer shows another address, and the service is told both.
#[test]
fn c053_a_nat_that_starts_again_is_noticed() {
    let mut sim = world();
    let home = sim.nat("home", nat());
    let bob = Ua::new(&mut sim, "bob", Phone::new("198.51.100.1"));
    let endpoint = Endpoint::new(Config::default(), &sim.seed_of("alice"), Instant::EPOCH);
    let mut host = Host::new(endpoint.expect("the default"), Probing::default());
    let own = SocketAddr::from(([192, 168, 0, 2], 5060));
    let socket = host.with(Instant::EPOCH, |_, cx| cx.listen(Proto::Udp, own)).expect("it is the first");
    let alice = sim.node_with("alice", Setup::new().address(own.ip()).behind(home), host);
    let flow = FlowId::Datagrams { socket, remote: bob.addr() };
    sim.on(alice, |host, now| host.with(now, |_, cx| cx.keep_alive(flow, Some(secs(25)))))
        .expect("Bob is asked");
    sim.run_for(secs(100));
    let outer = |port| SocketAddr::from(([203, 0, 113, 1], port));
    assert_eq!(sim.peek(alice).service().0, [(None, outer(1024))], "told once");
    sim.forget_mappings(home);
    sim.run_for(secs(30));
    assert_eq!(sim.peek(alice).service().0[1..], [(Some(outer(1024)), outer(1025))]);
    sim.on(alice, |host, now| host.with(now, |_, cx| cx.keep_alive(flow, None))).expect("it is known");
    sim.settle();
    assert!(sim.peek(alice).endpoint().is_idle());
}
