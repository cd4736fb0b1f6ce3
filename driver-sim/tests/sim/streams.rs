//! Connections: opening, order, segmentation, back-pressure, endings, and faults.

use crate::scripted::{Event, Scripted, TCP, ms, secs};
use sansip::{CloseHow, ConnId, Input, Instant, IoKind, Machine as _};
use sansip_sim::{Node, Reading, Segments, Sim, StreamEvent, Verdict, What};

const IN: ConnId = ConnId(1);
const OUT: ConnId = ConnId(0);

fn pair(seed: u64) -> (Sim, Node<Scripted>, Node<Scripted>) {
    let mut sim = Sim::new(seed);
    let a = sim.node("a", Scripted::new());
    let b = sim.node("b", Scripted::new());
    (sim, a, b)
}

fn connected(seed: u64) -> (Sim, Node<Scripted>, Node<Scripted>) {
    let (mut sim, a, b) = pair(seed);
    connect(&mut sim, a, b);
    sim.settle();
    assert!(sim.peek(a).first(|event| *event == Event::Connected(OUT)).is_some());
    (sim, a, b)
}

fn connect(sim: &mut Sim, a: Node<Scripted>, b: Node<Scripted>) {
    let remote = sim.addr(b, 5060);
    sim.on(a, |m, _| m.connect(0, remote));
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i % 251) as u8).collect()
}

fn closed(sim: &Sim, node: Node<Scripted>, conn: ConnId) -> Option<Option<IoKind>> {
    sim.peek(node).closed(conn).map(|(_, error)| error)
}

#[test]
fn connections_open_in_one_and_a_half_round_trips() {
    let (mut sim, a, b) = pair(1);
    sim.net().between(a, b).delay(ms(10));
    connect(&mut sim, a, b);
    sim.settle();
    assert_eq!(sim.peek(a).first(|event| *event == Event::Connected(OUT)), Some(Instant::from_millis(20)));
    let accepted = sim.peek(b).heard.last().expect("it was accepted");
    let from = "10.0.0.1:49152".parse().expect("an address");
    assert_eq!(*accepted, (Instant::from_millis(30), Event::Accepted(IN, from)));
}

#[test]
fn connections_fail_by_refusal_silence_or_want_of_a_host() {
    let (mut sim, a, b) = pair(1);
    let (port, host) = (sim.addr(b, 9), "10.9.9.9:5060".parse().expect("an address"));
    sim.net().connect_timeout(secs(30));
    sim.on(a, |m, _| {
        m.connect(0, port);
        m.connect(2, host);
    });
    sim.settle();
    assert_eq!(closed(&sim, a, ConnId(0)), Some(Some(IoKind::Refused)));
    assert_eq!(closed(&sim, a, ConnId(2)), Some(Some(IoKind::Unreachable)));
    let remote = sim.addr(b, 5060);
    let begin = sim.now();
    sim.net().isolate(b);
    sim.on(a, |m, _| m.connect(4, remote));
    sim.settle();
    let (at, error) = sim.peek(a).closed(ConnId(4)).expect("it was given up");
    assert_eq!((at.since(begin), error), (secs(30), Some(IoKind::TimedOut)));
    sim.net().heal_all();
    sim.on(b, |m, _| m.outputs.push_back(sansip::Output::Unbind { socket: TCP }));
    sim.on(a, |m, _| m.connect(6, remote));
    sim.settle();
    assert_eq!(closed(&sim, a, ConnId(6)), Some(Some(IoKind::Refused)), "nobody listens any more");
}

#[test]
fn connections_open_late_after_a_partition() {
    let (mut sim, a, b) = pair(1);
    let partition = sim.net().partition([a], [b]);
    connect(&mut sim, a, b);
    sim.run_for(ms(2500));
    sim.net().heal(partition);
    sim.settle();
    assert_eq!(sim.peek(a).first(|event| *event == Event::Connected(OUT)), Some(Instant::from_millis(3_002)));
}

#[test]
fn bytes_arrive_in_order_in_pieces_of_all_sizes() {
    let (mut sim, a, b) = connected(3);
    let data = bytes(100_000);
    for piece in data.chunks(700) {
        sim.on(a, |m, _| m.write(OUT, piece.to_vec()));
    }
    sim.settle();
    assert!(sim.peek(b).received(IN) == data);
    assert_eq!(sim.peek(a).drained(OUT), data.len());
    let sizes: Vec<usize> = sim
        .peek(b)
        .heard
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Received(_, data) => Some(data.len()),
            _ => None,
        })
        .collect();
    assert!(sizes.contains(&1) && sizes.contains(&1460), "single bytes, and several writes at once");
    assert!(sizes.iter().all(|size| *size <= 1460));
}

#[test]
fn segmentation_is_what_a_link_is_told() {
    for (segments, expected) in
        [(Segments::Whole, vec![100, 1460, 540]), (Segments::Fixed(900), vec![900, 900, 300])]
    {
        let (mut sim, a, b) = connected(1);
        sim.net().between(a, b).segments(segments);
        sim.on(a, |m, _| {
            m.write(OUT, bytes(100));
            m.write(OUT, bytes(2000));
        });
        sim.settle();
        let sizes: Vec<usize> = sim
            .peek(b)
            .heard
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Received(_, data) => Some(data.len()),
                _ => None,
            })
            .collect();
        assert_eq!(sizes, expected, "{segments:?}");
    }
}

#[test]
fn loss_on_a_stream_costs_time_and_nothing_else() {
    let (mut sim, a, b) = pair(9);
    sim.net().between(a, b).loss(0.2).delay(ms(5)..ms(50));
    connect(&mut sim, a, b);
    sim.run_for(secs(60));
    let begin = sim.now();
    let data = bytes(50_000);
    sim.on(a, |m, _| m.write(OUT, data.clone()));
    sim.on(b, |m, _| m.write(IN, data.clone()));
    sim.settle();
    assert!(sim.peek(b).received(IN) == data && sim.peek(a).received(OUT) == data);
    assert!(sim.now().since(begin) > ms(400), "some pieces were sent again");
}

#[test]
fn a_reader_that_stops_holds_the_writer_back() {
    let (mut sim, a, b) = connected(1);
    sim.net().toward(a, b).buffer(4096);
    sim.set_reading(b, Reading::Paused);
    sim.on(a, |m, _| m.write(OUT, bytes(10_000)));
    sim.settle();
    assert_eq!((sim.peek(a).drained(OUT), sim.peek(b).received(IN).len()), (4096, 0));
    sim.set_reading(b, Reading::Rate(1000));
    let begin = sim.now();
    sim.run_for(secs(5));
    let read = sim.peek(b).received(IN).len();
    assert!((4000..=6500).contains(&read), "{read} bytes in 5 s");
    assert_eq!(sim.peek(a).drained(OUT), (read + 4096).min(10_000));
    sim.settle();
    assert!((secs(8)..secs(11)).contains(&sim.now().since(begin)));
    assert!(sim.peek(b).received(IN) == bytes(10_000));
    assert_eq!(sim.peek(a).drained(OUT), 10_000);
}

#[test]
fn a_flush_lets_everything_out_and_a_reset_nothing_more() {
    for how in [CloseHow::Flush, CloseHow::Reset] {
        let (mut sim, a, b) = connected(1);
        sim.net().toward(a, b).buffer(1000);
        sim.on(a, |m, _| {
            m.write(OUT, bytes(20_000));
        });
        sim.step();
        sim.on(a, |m, _| m.close(OUT, how));
        sim.settle();
        let got = sim.peek(b).received(IN);
        let expected = if how == CloseHow::Flush { (20_000, None) } else { (1000, Some(IoKind::Reset)) };
        assert!(bytes(20_000).starts_with(&got));
        assert_eq!((got.len(), closed(&sim, b, IN)), (expected.0, Some(expected.1)));
        let told = (how == CloseHow::Flush).then_some(None);
        assert_eq!(closed(&sim, a, OUT), told, "who flushes is told the end, who resets knows it");
        assert_eq!(sim.peek(a).drained(OUT), if how == CloseHow::Flush { 20_000 } else { 1000 });
    }
}

#[test]
fn a_slow_reader_gets_all_before_the_end() {
    let (mut sim, a, b) = connected(1);
    sim.set_reading(b, Reading::Rate(500));
    sim.on(a, |m, _| {
        m.write(OUT, bytes(3000));
        m.close(OUT, CloseHow::Flush);
    });
    sim.settle();
    assert!(sim.peek(b).received(IN) == bytes(3000));
    assert!(matches!(sim.peek(b).heard.last(), Some((_, Event::Closed(IN, None)))));
}

/// [`CloseHow::Flush`] ends one direction; a peer whose direction ends is answered, then ended too.
#[test]
fn a_peer_that_ends_still_gets_what_was_written() {
    let (mut sim, a, b) = connected(1);
    sim.net().toward(b, a).buffer(1000);
    sim.set_reading(a, Reading::Rate(1000));
    sim.on(b, |m, _| m.write(IN, bytes(5000)));
    sim.on(a, |m, _| m.close(OUT, CloseHow::Flush));
    sim.run_for(secs(2));
    assert_eq!((closed(&sim, a, OUT), closed(&sim, b, IN)), (None, None), "bytes are on their way");
    sim.settle();
    assert!(sim.peek(a).received(OUT) == bytes(5000));
    assert_eq!((closed(&sim, a, OUT), closed(&sim, b, IN)), (Some(None), Some(None)));
}

#[test]
fn a_flush_that_takes_too_long_may_be_reset() {
    let (mut sim, a, b) = connected(1);
    sim.set_reading(b, Reading::Paused);
    sim.on(a, |m, _| {
        m.write(OUT, bytes(3000));
        m.close(OUT, CloseHow::Flush);
    });
    sim.run_for(secs(5));
    assert_eq!(closed(&sim, a, OUT), None);
    sim.on(a, |m, _| m.close(OUT, CloseHow::Reset));
    sim.settle();
    assert_eq!((closed(&sim, a, OUT), closed(&sim, b, IN)), (None, Some(Some(IoKind::Reset))));
}

#[test]
fn what_is_written_before_the_connection_is_open_goes_out() {
    for close in [false, true] {
        let (mut sim, a, b) = pair(1);
        let remote = sim.addr(b, 5060);
        sim.on(a, |m, _| {
            let conn = m.connect(0, remote);
            m.write(conn, "early");
            if close {
                m.close(conn, CloseHow::Flush);
            }
        });
        sim.settle();
        assert_eq!(sim.peek(b).received(IN), b"early");
        assert_eq!(closed(&sim, b, IN), close.then_some(None));
        let opened = |event: &Event| *event == Event::Connected(OUT);
        assert_eq!(closed(&sim, a, OUT), close.then_some(None));
        let drained = |event: &Event| matches!(event, Event::Drained(..));
        let position = |of: &dyn Fn(&Event) -> bool| sim.peek(a).heard.iter().position(|(_, e)| of(e));
        assert!(position(&opened).is_some() && position(&opened) < position(&drained));
    }
}

#[test]
fn a_connection_that_is_abandoned_leaves_nothing() {
    let (mut sim, a, b) = pair(1);
    let remote = sim.addr(b, 5060);
    sim.on(a, |m, _| {
        let conn = m.connect(0, remote);
        m.close(conn, CloseHow::Reset);
        m.write(conn, "ignored");
    });
    sim.settle();
    assert!(sim.peek(b).first(|event| matches!(event, Event::Accepted(..))).is_none());
    let ignored = sim.trace().rows().filter(|row| matches!(row.what, What::Ignored { .. })).count();
    assert_eq!(ignored, 1);
}

#[test]
fn both_ends_may_close_at_once() {
    let (mut sim, a, b) = connected(1);
    sim.on(a, |m, _| m.close(OUT, CloseHow::Flush));
    sim.on(b, |m, _| m.close(IN, CloseHow::Flush));
    sim.settle();
    assert_eq!((closed(&sim, a, OUT), closed(&sim, b, IN)), (Some(None), Some(None)));
    let remote = sim.addr(b, 5060);
    sim.on(a, |m, _| m.connect(2, remote));
    sim.settle();
    assert!(
        sim.peek(b).first(|event| matches!(event, Event::Accepted(ConnId(3), _))).is_some(),
        "a number of its own"
    );
}

#[test]
fn a_partition_stalls_and_then_lets_go_or_ends_it() {
    let (mut sim, a, b) = connected(1);
    let partition = sim.net().partition([a], [b]);
    sim.on(a, |m, _| m.write(OUT, bytes(5000)));
    sim.run_for(secs(10));
    assert_eq!(sim.peek(b).received(IN).len(), 0);
    sim.net().heal(partition);
    sim.settle();
    assert!(sim.peek(b).received(IN) == bytes(5000));

    sim.net().stall_timeout(secs(100));
    sim.net().isolate(b);
    let begin = sim.now();
    sim.on(a, |m, _| m.write(OUT, "lost"));
    sim.settle();
    let (at, error) = sim.peek(a).closed(OUT).expect("it was given up");
    assert_eq!((at.since(begin), error), (secs(100), Some(IoKind::TimedOut)));
    assert_eq!(closed(&sim, b, IN), None, "the other end knows nothing");
}

#[test]
fn a_crash_resets_and_silence_is_found_out_later() {
    let (mut sim, a, b) = connected(1);
    sim.crash(b);
    sim.settle();
    assert_eq!(closed(&sim, a, OUT), Some(Some(IoKind::Reset)));

    let (mut sim, a, b) = connected(1);
    sim.power_off(b);
    sim.settle();
    assert_eq!(closed(&sim, a, OUT), None, "nothing was sent, so nothing is known");
    sim.on(a, |m, _| m.write(OUT, "hello?"));
    sim.run_for(secs(5));
    assert_eq!(closed(&sim, a, OUT), None);
    sim.restart(b, Scripted::new());
    sim.settle();
    assert_eq!(closed(&sim, a, OUT), Some(Some(IoKind::Reset)), "the new one knows nothing of it");
    assert!(sim.peek(b).heard.len() == 3);
}

#[test]
fn a_node_that_stays_off_times_out() {
    let (mut sim, a, b) = connected(1);
    sim.net().stall_timeout(secs(60));
    sim.power_off(b);
    sim.on(a, |m, _| m.write(OUT, "hello?"));
    sim.settle();
    assert_eq!(closed(&sim, a, OUT), Some(Some(IoKind::TimedOut)));
    let remote = sim.addr(b, 5060);
    sim.on(a, |m, _| m.connect(2, remote));
    sim.settle();
    assert_eq!(closed(&sim, a, ConnId(2)), Some(Some(IoKind::TimedOut)));
}

#[test]
fn a_reset_as_a_fault_is_told_to_both() {
    let (mut sim, a, b) = connected(1);
    sim.on(a, |m, _| m.write(OUT, "never read"));
    sim.reset_streams(b, a);
    assert_eq!(closed(&sim, a, OUT), Some(Some(IoKind::Reset)));
    assert_eq!(closed(&sim, b, IN), Some(Some(IoKind::Reset)));
    sim.settle();
    assert_eq!(sim.peek(b).received(IN), b"");
}

#[test]
fn rules_see_pieces_of_streams() {
    let (mut sim, a, b) = connected(1);
    sim.net().between(a, b).segments(Segments::Whole);
    let mut count = 0;
    let _ = sim.net().rule(move |packet| {
        count += 1;
        assert_eq!(packet.proto, sansip::Proto::Tcp);
        if count == 1 { Verdict::Drop } else { Verdict::Replace("other".into()) }
    });
    let begin = sim.now();
    sim.on(a, |m, _| m.write(OUT, "bytes"));
    sim.settle();
    assert_eq!(sim.peek(b).received(IN), b"other");
    assert_eq!(sim.now().since(begin), ms(201), "sent again after 200 ms");
}

#[test]
fn every_end_is_told_once_in_any_weather() {
    for seed in 0..200 {
        let (mut sim, a, b) = pair(seed);
        sim.trace_mut().keep_last(0);
        sim.net().everywhere().loss(0.1).delay(ms(1)..ms(80)).buffer(2000);
        sim.net().stall_timeout(secs(60));
        let mut draws = sim.draws("weather");
        for conn in 0..5 {
            let remote = sim.addr(b, 5060);
            sim.on(a, |m, _| m.connect(conn * 2, remote));
            sim.run_for(draws.within(ms(0)..ms(900)));
            sim.on(a, |m, _| m.write(ConnId(conn * 2), bytes(3000)));
            match draws.below(5) {
                0 => sim.on(a, |m, _| m.close(ConnId(conn * 2), CloseHow::Flush)),
                1 => sim.on(b, |m, _| m.close(ConnId(conn * 2 + 1), CloseHow::Reset)),
                2 => sim.reset_streams(a, b),
                3 => {
                    let partition = sim.net().partition([a], [b]);
                    sim.after(draws.within(secs(0)..secs(90)), move |sim| {
                        sim.net().heal(partition);
                    });
                }
                _ => sim.crash(b),
            }
            sim.run_for(draws.within(ms(0)..ms(900)));
            if !sim.is_up(b) {
                sim.restart(b, Scripted::new());
            }
        }
        sim.settle();
        for (node, parity) in [(a, 0), (b, 1)] {
            let heard = &sim.peek(node).heard;
            for conn in (parity..12).step_by(2).map(ConnId) {
                let end =
                    heard.iter().position(|(_, event)| matches!(event, Event::Closed(c, _) if *c == conn));
                let of = |(_, event): &(Instant, Event)| matches!(event, Event::Received(c, _) | Event::Drained(c, _) | Event::Closed(c, _) if *c == conn);
                assert!(
                    end.is_none_or(|end| !heard[end + 1..].iter().any(of)),
                    "seed {seed}: {conn:?} goes on"
                );
                assert!(
                    bytes(3000).starts_with(&sim.peek(node).received(conn)),
                    "seed {seed}: {conn:?} is garbled"
                );
            }
        }
    }
}

#[test]
fn the_trace_tells_of_streams() {
    let (mut sim, a, _) = connected(1);
    sim.on(a, |m, _| m.write(OUT, "x"));
    sim.settle();
    let events: Vec<StreamEvent> = sim
        .trace()
        .rows()
        .filter_map(|row| match &row.what {
            What::Stream { event, .. } => Some(*event),
            _ => None,
        })
        .collect();
    use StreamEvent::{Accepted, Connected, Connecting, Read, Wrote};
    assert_eq!(events, [Connecting, Connected, Accepted, Wrote, Read(1)]);
}

/// The scripted machine itself: inputs are kept in order.
#[test]
fn the_script_keeps_what_it_heard() {
    let mut machine = Scripted::silent();
    machine.handle_input(Instant::EPOCH, Input::Timeout);
    assert_eq!(machine.heard, [(Instant::EPOCH, Event::Woke)]);
}
