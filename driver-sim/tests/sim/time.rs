//! Virtual time: order, rest, livelocks, clocks, crashes, names.

use crate::scripted::{Event, Scripted, UDP, ms, secs};
use sansip::{DnsError, Instant, QueryId, RecordKind, Records, UnixTime};
use sansip_sim::{Node, Setup, Sim, Stuck};

#[test]
fn deadlines_wake_their_node_in_time_and_in_order_of_nodes() {
    let mut sim = Sim::new(1);
    let nodes = ["a", "b", "c"].map(|name| sim.node(name, Scripted::silent()));
    for node in nodes.iter().rev() {
        sim.on(*node, |m, now| m.deadline = Some(now + secs(5)));
    }
    sim.on(nodes[1], |m, now| m.deadline = Some(now + secs(2)));
    sim.settle();
    let woke = |node: Node<Scripted>| sim.peek(node).first(|event| *event == Event::Woke);
    assert_eq!(nodes.map(woke), [5, 2, 5].map(|s| Some(Instant::from_millis(s * 1000))));
    let order: Vec<String> = sim.trace().rows().map(|row| format!("{:?}", row.what)).collect();
    let wakes: Vec<&String> = order.iter().filter(|what| what.starts_with("Woke")).collect();
    assert_eq!(wakes, ["Woke { node: node 1 }", "Woke { node: node 0 }", "Woke { node: node 2 }"]);
}

#[test]
fn a_deadline_that_is_taken_back_wakes_nobody() {
    let mut sim = Sim::new(1);
    let a = sim.node("a", Scripted::silent());
    sim.on(a, |m, now| m.deadline = Some(now + secs(5)));
    sim.on(a, |m, _| m.deadline = None);
    sim.settle();
    assert_eq!((sim.now(), sim.peek(a).first(|event| *event == Event::Woke)), (Instant::EPOCH, None));
    sim.on(a, |m, now| m.deadline = Some(now + secs(5)));
    sim.on(a, |m, now| m.deadline = Some(now + secs(9)));
    sim.settle();
    assert_eq!(
        sim.peek(a).heard.iter().filter(|(_, event)| *event == Event::Woke).count(),
        1,
        "once, at 9 s"
    );
    assert_eq!(sim.now(), Instant::from_millis(9_000));
}

#[test]
fn a_machine_that_does_not_let_time_pass_is_an_error() {
    let mut sim = Sim::new(1);
    let a = sim.node("a", Scripted::silent());
    sim.on(a, |m, now| (m.stubborn, m.deadline) = (true, Some(now + secs(1))));
    let stuck = sim.try_settle(secs(60));
    let deadline = Instant::from_millis(1000);
    assert_eq!(stuck, Err(Stuck::Livelock { node: "a".into(), deadline, wakes: 1000 }));
    assert_eq!(sim.now(), deadline);
}

#[test]
fn a_machine_that_never_stops_to_want_things_is_an_error() {
    let mut sim = Sim::new(1);
    let chatter = Scripted::new().reacting(|outputs, _, event| {
        if let Event::Bound(socket, Ok(addr)) = event {
            outputs.push_back(sansip::Output::Unbind { socket: *socket });
            outputs.push_back(sansip::Output::Bind {
                socket: *socket,
                proto: sansip::Proto::Udp,
                addr: *addr,
            });
        }
    });
    let a = sim.node("a", chatter);
    sim.trace_mut().keep_last(0);
    let stuck = sim.try_settle(secs(60));
    assert!(matches!(stuck, Err(Stuck::Chatter { .. })), "{stuck:?}");
    assert!(sim.is_up(a));
}

#[test]
fn rest_that_is_not_reached_is_an_error_with_its_reason() {
    let mut sim = Sim::new(1);
    let ticker = Scripted::silent();
    let a = sim.node("ticker", ticker);
    sim.on(a, |m, now| m.deadline = Some(now + secs(7200)));
    let stuck = sim.try_settle(secs(3600)).expect_err("a deadline lies beyond");
    assert_eq!(stuck.to_string(), "not at rest after 3600s: ticker until 7200.000, 0 things on their way");
    sim.settle_limits(secs(9000), 1_000_000);
    sim.settle();
    assert!(sim.is_at_rest());
}

#[test]
#[should_panic(expected = "replay: SANSIP_SEED=42 cargo test -p sansip-sim")]
fn rest_that_is_not_reached_says_how_to_repeat_it() {
    let mut sim = Sim::new(42);
    let a = sim.node("a", Scripted::silent());
    sim.on(a, |m, now| m.deadline = Some(now + secs(7200)));
    sim.settle();
}

#[test]
fn steps_without_an_end_are_counted() {
    let mut sim = Sim::new(1);
    let echo = || {
        Scripted::new().reacting(|outputs, _, event| {
            if let Event::Datagram(remote, payload) = event {
                let local = ([0, 0, 0, 0], 5060).into();
                let payload = payload.clone().into();
                let socket = UDP;
                outputs.push_back(sansip::Output::Transmit { socket, local, remote: *remote, payload });
            }
        })
    };
    let (a, b) = (sim.node("a", echo()), sim.node("b", echo()));
    let remote = sim.addr(b, 5060);
    sim.settle_limits(secs(3600), 1000);
    sim.on(a, |m, _| m.send(remote, "x"));
    assert_eq!(sim.try_settle(secs(3600)), Err(Stuck::TooManySteps { steps: 1000 }));
    sim.net().between(a, b).delay(ms(0));
    sim.trace_mut().keep_last(0);
    sim.settle_limits(secs(3600), u64::MAX);
    sim.standstill_limit(5000);
    assert_eq!(sim.try_settle(secs(3600)), Err(Stuck::Standstill { steps: 5000 }));
}

#[test]
fn conditions_are_waited_for() {
    let mut sim = Sim::new(1);
    let a = sim.node("a", Scripted::silent());
    sim.on(a, |m, now| m.deadline = Some(now + secs(3)));
    let woke = |sim: &Sim| sim.peek(a).first(|event| *event == Event::Woke).is_some();
    assert!(!sim.run_until(woke, secs(2)));
    assert_eq!(sim.now(), Instant::from_millis(2_000));
    assert!(sim.run_until(woke, secs(2)));
    assert_eq!(sim.now(), Instant::from_millis(3_000), "stops when it holds");
}

#[test]
fn tests_act_later() {
    let mut sim = Sim::new(1);
    let a = sim.node("a", Scripted::silent());
    sim.after(secs(4), move |sim| sim.on(a, |m, now| m.deadline = Some(now + secs(1))));
    sim.settle();
    assert_eq!(sim.now(), Instant::from_millis(5_000));
}

#[test]
fn clocks_start_where_they_are_set_and_drift() {
    let mut sim = Sim::new(1);
    let setup = Setup::new().clock(Instant::from_millis(100)).drift(100_000).wall(UnixTime::from_millis(777));
    let a = sim.node_with("a", setup, Scripted::silent());
    assert_eq!(sim.peek(a).heard, [(Instant::from_millis(100), Event::Wall(777))]);
    sim.on(a, |m, now| m.deadline = Some(now + secs(11)));
    sim.run_for(secs(5));
    assert_eq!(sim.on(a, |_, now| now), Instant::from_millis(5_600));
    sim.set_drift(a, -500_000);
    sim.settle();
    assert_eq!(sim.now(), Instant::from_millis(16_000), "5.5 s in 5 s, then 5.5 s in 11 s");
    sim.set_wall(a, UnixTime::from_millis(888));
    assert_eq!(sim.peek(a).heard.last().map(|(_, event)| event.clone()), Some(Event::Wall(888)));
}

#[test]
fn a_crashed_node_is_forgotten_and_starts_afresh() {
    let mut sim = Sim::new(1);
    let (a, b) = (sim.node("a", Scripted::new()), sim.node("b", Scripted::new()));
    let remote = sim.addr(b, 5060);
    sim.on(b, |m, now| {
        m.deadline = Some(now + secs(5));
        m.resolve(1, "example.com", RecordKind::A);
    });
    sim.crash(b);
    sim.on(a, |m, _| m.send(remote, "to a crashed process"));
    sim.settle();
    let told = |sim: &Sim| sim.peek(a).first(|event| matches!(event, Event::Unreachable(..))).is_some();
    assert!(told(&sim), "its host answers");
    assert!(
        !sim.is_up(b) && sim.peek(b).heard.len() == 3,
        "a wall clock and two sockets, but no deadline or answer"
    );
    sim.run_for(secs(1));
    sim.restart(b, Scripted::new());
    sim.on(a, |m, _| m.send(remote, "to a new one"));
    sim.settle();
    assert_eq!(sim.peek(b).datagrams(), ["to a new one"]);
    let wall = sim.peek(b).heard.first().map(|(_, event)| event.clone());
    assert_eq!(wall, Some(Event::Wall(1_767_225_600_000 + 1_005)));
}

#[test]
fn a_node_that_is_off_is_silent() {
    let mut sim = Sim::new(1);
    let (a, b) = (sim.node("a", Scripted::new()), sim.node("b", Scripted::new()));
    let remote = sim.addr(b, 5060);
    sim.power_off(b);
    sim.on(a, |m, _| m.send(remote, "x"));
    sim.settle();
    assert_eq!(sim.peek(a).first(|event| matches!(event, Event::Unreachable(..))), None);
}

#[test]
fn names_are_answered_late_never_or_not_at_all() {
    let mut sim = Sim::new(1);
    let a = sim.node("a", Scripted::silent());
    let address = |text: &str| text.parse::<std::net::IpAddr>().expect("an address");
    let all = ["192.0.2.1", "2001:db8::1", "192.0.2.2"].map(address);
    sim.dns().name("example.com", all);
    sim.dns().fails("broken.example", DnsError::Failed);
    sim.dns().never_answers("silent.example");
    sim.dns().latency(ms(30));
    sim.on(a, |m, _| {
        m.resolve(1, "example.com", RecordKind::A);
        m.resolve(2, "Example.com.", RecordKind::Aaaa);
        m.resolve(3, "unknown.example", RecordKind::A);
        m.resolve(4, "broken.example", RecordKind::A);
        m.resolve(5, "silent.example", RecordKind::A);
    });
    sim.settle();
    assert_eq!(sim.now(), Instant::from_millis(30));
    let answers: Vec<_> = sim
        .peek(a)
        .heard
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Resolved(query, Ok(Records::Addresses { addresses, .. })) => {
                Some((*query, Ok(addresses.clone())))
            }
            Event::Resolved(query, Err(error)) => Some((*query, Err(*error))),
            _ => None,
        })
        .collect();
    let expected = [
        (QueryId(1), Ok(vec![all[0], all[2]])),
        (QueryId(2), Ok(vec![all[1]])),
        (QueryId(3), Ok(vec![])),
        (QueryId(4), Err(DnsError::Failed)),
    ];
    assert_eq!(answers, expected);
    sim.dns().silent(true);
    sim.on(a, |m, _| m.resolve(6, "example.com", RecordKind::A));
    sim.settle();
    assert_eq!(sim.now(), Instant::from_millis(30), "no answer is on its way");
}
