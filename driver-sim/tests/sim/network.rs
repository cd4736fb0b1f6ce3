//! Datagrams: addresses, links, rules, partitions, and what senders are told.

use std::net::{IpAddr, SocketAddr};

use crate::scripted::{Event, Scripted, UDP, ms, secs};
use bytes::Bytes;
use sansip::{Instant, IoKind, Output, Proto, SocketId, Unreachable};
use sansip_sim::{Bursts, Node, Setup, Sim, Verdict};

fn pair(seed: u64) -> (Sim, Node<Scripted>, Node<Scripted>) {
    let mut sim = Sim::new(seed);
    let a = sim.node("a", Scripted::new());
    let b = sim.node("b", Scripted::new());
    (sim, a, b)
}

fn send(sim: &mut Sim, from: Node<Scripted>, to: Node<Scripted>, count: usize) {
    let remote = sim.addr(to, 5060);
    for _ in 0..count {
        sim.on(from, |m, _| m.send_next(remote));
    }
}

fn unreachable(sim: &Sim, node: Node<Scripted>) -> Vec<Unreachable> {
    let heard = sim.peek(node).heard.iter();
    heard
        .filter_map(|(_, event)| if let Event::Unreachable(_, why) = event { Some(*why) } else { None })
        .collect()
}

#[test]
fn datagrams_arrive_with_their_addresses() {
    let (mut sim, a, b) = pair(1);
    assert_eq!(sim.addr(a, 5060), "10.0.0.1:5060".parse().expect("an address"));
    send(&mut sim, a, b, 1);
    sim.settle();
    let from = sim.addr(a, 5060);
    assert_eq!(
        sim.peek(b).heard.last(),
        Some(&(Instant::from_millis(1), Event::Datagram(from, b"datagram 1".into())))
    );
}

#[test]
fn sockets_are_bound_at_once_and_refused_as_by_a_system() {
    let mut sim = Sim::new(1);
    let a = sim.node("a", Scripted::new());
    let bind = |socket, proto, addr: &str| Output::Bind {
        socket: SocketId(socket),
        proto,
        addr: addr.parse().expect("an address"),
    };
    sim.on(a, |m, _| {
        m.outputs.extend([
            bind(2, Proto::Udp, "10.0.0.1:5060"),
            bind(3, Proto::Udp, "10.0.0.99:5060"),
            bind(4, Proto::Udp, "[fd00::1]:5060"),
            bind(5, Proto::Udp, "10.0.0.1:0"),
            Output::Unbind { socket: UDP },
            bind(6, Proto::Udp, "10.0.0.1:5060"),
        ]);
    });
    let results = sim.peek(a).heard.iter().filter_map(|(_, event)| match event {
        Event::Bound(socket, result) => Some((socket.0, result.map(|addr| addr.to_string()))),
        _ => None,
    });
    let results: Vec<_> = results.collect();
    let ok = |addr: &str| Ok(addr.to_owned());
    assert_eq!(
        results,
        [
            (0, ok("0.0.0.0:5060")),
            (1, ok("0.0.0.0:5060")),
            (2, Err(IoKind::AddressInUse)),
            (3, Err(IoKind::AddressNotAvailable)),
            (4, ok("[fd00::1]:5060")),
            (5, ok("10.0.0.1:49152")),
            (6, ok("10.0.0.1:5060")),
        ]
    );
}

#[test]
fn nodes_may_have_several_addresses_of_both_families() {
    let mut sim = Sim::new(1);
    let addresses: [IpAddr; 3] =
        ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(|a| a.parse().expect("an address"));
    let setup = addresses.into_iter().fold(Setup::new(), Setup::address);
    let a = sim.node_with("a", setup, Scripted::new());
    let b = sim.node("b", Scripted::new());
    let remote = sim.addr(b, 5060);
    sim.on(a, |m, _| {
        // RFC 3581 §4: an answer leaves from the address that was asked.
        let local = SocketAddr::new(addresses[1], 5060);
        m.outputs.push_back(Output::Transmit { socket: UDP, local, remote, payload: Bytes::from("x") });
    });
    sim.settle();
    let second = SocketAddr::new(addresses[1], 5060);
    assert!(sim.peek(b).heard.iter().any(|(_, event)| *event == Event::Datagram(second, b"x".into())));
}

#[test]
fn nobody_at_a_port_or_address_is_told_unless_switched_off() {
    for icmp in [true, false] {
        let (mut sim, a, b) = pair(1);
        sim.net().icmp(icmp);
        let (port, host) = (sim.addr(b, 9), "10.9.9.9:5060".parse().expect("an address"));
        sim.on(a, |m, _| {
            m.send(port, "x");
            m.send(host, "x");
        });
        sim.settle();
        assert_eq!(unreachable(&sim, a), vec![Unreachable::Icmp; if icmp { 2 } else { 0 }]);
        assert_eq!(sim.peek(b).datagrams().len(), 0);
        if icmp {
            assert_eq!(sim.now(), Instant::from_millis(2), "there and back again");
        }
    }
}

#[test]
fn datagrams_beyond_the_mtu_are_lost_or_told() {
    for tells in [false, true] {
        let (mut sim, a, b) = pair(1);
        sim.net().between(a, b).mtu(1500).tell_too_big(tells);
        let remote = sim.addr(b, 5060);
        sim.on(a, |m, _| {
            m.send(remote, vec![b'x'; 1472]);
            m.send(remote, vec![b'y'; 1473]);
        });
        sim.settle();
        let sizes: Vec<usize> = sim.peek(b).datagrams().iter().map(String::len).collect();
        assert_eq!(sizes, [1472]);
        assert_eq!(unreachable(&sim, a), vec![Unreachable::TooBig; usize::from(tells)]);
    }
}

#[test]
fn no_datagram_is_larger_than_udp_allows() {
    let (mut sim, a, b) = pair(1);
    let remote = sim.addr(b, 5060);
    sim.on(a, |m, _| {
        m.send(remote, vec![b'x'; 65_507]);
        m.send(remote, vec![b'y'; 65_508]);
    });
    assert_eq!(unreachable(&sim, a), [Unreachable::TooBig], "at once");
    sim.settle();
    assert_eq!(sim.peek(b).datagrams().len(), 1);
}

#[test]
fn links_lose_duplicate_and_delay_one_direction() {
    let (mut sim, a, b) = pair(7);
    sim.net().toward(a, b).loss(0.3).delay(ms(40)..ms(200)).duplicate(0.05);
    send(&mut sim, a, b, 2000);
    send(&mut sim, b, a, 2000);
    sim.settle();
    let (at_a, at_b) = (sim.peek(a).datagrams(), sim.peek(b).datagrams());
    assert_eq!(at_a.len(), 2000, "the way back is clean");
    assert!(at_a.is_sorted_by_key(|text| text.split(' ').nth(1).and_then(|n| n.parse::<u32>().ok())));
    assert!((1350..1600).contains(&at_b.len()), "{} of 1400 and copies", at_b.len());
    let mut distinct = at_b.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!((40..110).contains(&(at_b.len() - distinct.len())), "5 % of 1400 twice");
    let times = sim.peek(b).heard.iter().filter(|(_, event)| matches!(event, Event::Datagram(..)));
    assert!(times.clone().all(|(at, _)| (40..=200).contains(&at.as_millis())));
    assert!(
        times.clone().any(|(at, _)| at.as_millis() < 50) && times.clone().any(|(at, _)| at.as_millis() > 190)
    );
}

#[test]
fn reordering_is_what_a_link_is_told() {
    let (mut sim, a, b) = pair(7);
    sim.net().toward(a, b).reorder(0.2, ms(5));
    for _ in 0..100 {
        send(&mut sim, a, b, 1);
        sim.run_for(ms(1));
    }
    sim.settle();
    let order: Vec<u32> =
        sim.peek(b).datagrams().iter().map(|text| text[9..].parse().expect("a number")).collect();
    assert_eq!(order.len(), 100);
    assert!(!order.is_sorted());
}

#[test]
fn changes_hold_everywhere_also_for_pairs_of_their_own_and_nodes_to_come() {
    let (mut sim, a, b) = pair(1);
    sim.net().between(a, b).delay(ms(7));
    sim.net().everywhere().loss(1.0);
    let c = sim.node("c", Scripted::new());
    for (from, to) in [(a, b), (b, c), (c, a)] {
        send(&mut sim, from, to, 1);
    }
    sim.settle();
    assert!([a, b, c].iter().all(|node| sim.peek(*node).datagrams().is_empty()));
    sim.net().around(a).clean().bursts(Bursts { enter: 0.0, leave: 1.0, good: 0.0, bad: 1.0 });
    send(&mut sim, a, c, 1);
    send(&mut sim, c, b, 1);
    sim.settle();
    assert_eq!((sim.peek(c).datagrams().len(), sim.peek(b).datagrams().len()), (1, 0));
}

#[test]
fn rules_decide_before_the_link_until_they_are_taken_back() {
    let (mut sim, a, b) = pair(1);
    sim.net().between(a, b).loss(1.0);
    let mut seen = 0;
    let rule = sim.net().rule(move |packet| {
        seen += 1;
        match seen {
            1 => Verdict::Deliver(ms(30)),
            2 => Verdict::Drop,
            3 => Verdict::Replace(Bytes::from("lost all the same")),
            _ => {
                assert_eq!(packet.first_line(), Some("datagram 4"));
                Verdict::Pass
            }
        }
    });
    send(&mut sim, a, b, 4);
    sim.settle();
    assert_eq!(sim.peek(b).datagrams(), ["datagram 1"]);
    assert_eq!(sim.now(), Instant::from_millis(30));
    assert!(sim.net().heal(rule));
    assert!(!sim.net().heal(rule), "only once");
    sim.net().between(a, b).clean();
    let _ = sim.net().rule(|_| Verdict::Replace(Bytes::from("changed")));
    send(&mut sim, a, b, 1);
    sim.settle();
    assert_eq!(sim.peek(b).datagrams(), ["datagram 1", "changed"]);
}

#[test]
fn partitions_and_clogs_come_and_go() {
    let (mut sim, a, b) = pair(1);
    let c = sim.node("c", Scripted::new());
    let partition = sim.net().partition([a], [b]);
    let clog = sim.net().clog([a], [c], ms(100));
    for (from, to) in [(a, b), (b, a), (a, c), (c, a)] {
        send(&mut sim, from, to, 1);
    }
    sim.settle();
    assert_eq!([a, b, c].map(|node| sim.peek(node).datagrams().len()), [1, 0, 1]);
    assert_eq!(sim.now(), Instant::from_millis(101));
    sim.net().heal(partition);
    sim.net().heal(clog);
    let cut = sim.net().cut([b], [a]);
    send(&mut sim, a, b, 1);
    send(&mut sim, b, a, 1);
    sim.settle();
    assert_eq!([a, b].map(|node| sim.peek(node).datagrams().len()), [1, 1], "one way only");
    sim.net().heal(cut);
    sim.net().isolate(c);
    send(&mut sim, c, a, 1);
    send(&mut sim, a, a, 1);
    sim.settle();
    assert_eq!(sim.peek(a).datagrams().len(), 2, "its own, but not those of c");
    sim.net().heal_all();
    send(&mut sim, c, a, 1);
    sim.settle();
    assert_eq!(sim.peek(a).datagrams().len(), 3);
}

/// A fault added to a run changes nothing for packets that it does not touch.
#[test]
fn a_fault_does_not_shift_the_draws_of_others() {
    let run = |faulty: bool| {
        let (mut sim, a, b) = pair(5);
        let c = sim.node("c", Scripted::new());
        sim.net().everywhere().delay(ms(1)..ms(500));
        if faulty {
            sim.net().toward(a, b).loss(0.5).duplicate(0.5);
            let mut draws = sim.draws("fault");
            let _ = sim
                .net()
                .rule(move |_| if draws.chance(0.1) { Verdict::Deliver(ms(1)) } else { Verdict::Pass });
            sim.net().heal_all();
        }
        for _ in 0..50 {
            send(&mut sim, a, b, 1);
            send(&mut sim, b, c, 1);
        }
        sim.settle();
        (sim.peek(c).datagrams(), sim.workload().next_u64())
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn time_is_the_only_thing_that_decides_arrival() {
    let (mut sim, a, b) = pair(1);
    sim.net().between(a, b).delay(secs(10));
    send(&mut sim, a, b, 1);
    sim.run_for(ms(9_999));
    assert_eq!(sim.peek(b).datagrams().len(), 0);
    sim.run_for(ms(1));
    assert_eq!(sim.peek(b).datagrams().len(), 1);
}
