//! Golden ladders: what goes over the wire, and when.

use std::time::Duration;

use sansip::{ClientEnd, DialogChange, DialogEnd, Method, Outgoing, Reply, ServerEnd, Void};
use sansip_sim::{Packet, Sim, Verdict};
use sansip_tests::simulated::{Manner, News, Phone, Ua, rest, times, uri_of};

use crate::script::{ack_refusal, invite, request, world};

/// Compares a ladder with the file of its name.
fn golden(name: &str, sim: &Sim) {
    insta::with_settings!({ snapshot_path => "ladders", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, sim.ladder().to_string());
    });
}

fn two(sim: &mut Sim, bob: Phone) -> [Ua; 2] {
    [Ua::new(sim, "alice", Phone::new("10.1.0.1")), Ua::new(sim, "bob", bob)]
}

/// Loses the first `count` datagrams that are what a pattern says.
fn lose(sim: &mut Sim, pattern: &'static str, mut count: u32) {
    sim.net().rule(move |packet: &Packet| {
        let hit = count > 0 && packet.is(pattern);
        count -= u32::from(hit);
        if hit { Verdict::Drop } else { Verdict::Pass }
    });
}

/// TMR-02, IC-02, IC-03, UA-13: an INVITE that nobody answers goes out seven times; Timer B ends it, without an ACK.
#[test]
fn tmr_02_invite_without_answer() {
    let mut sim = world();
    let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
    let bob = sim.puppet("bob");
    let uri = format!("sip:{}", bob.addr(&sim));
    let call = alice.dial(&mut sim, &uri);
    rest(&mut sim, &[alice]);
    assert_eq!(times(&sim, alice, "INVITE"), [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
    assert_eq!(alice.news(&sim), [News::Ended(call, ClientEnd::Timeout)]);
    assert_eq!(sim.now().as_millis(), 32_000);
    golden("tmr_02", &sim);
}

/// TMR-03, NC-02, NC-07: any other request goes out eleven times, at last every 4 s; Timer F ends it.
#[test]
fn tmr_03_options_without_answer() {
    let mut sim = world();
    let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
    let bob = sim.puppet("bob");
    let options = Outgoing::options(uri_of(&format!("sip:{}", bob.addr(&sim))));
    let client = alice.send(&mut sim, options);
    rest(&mut sim, &[alice]);
    let steady = [7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    assert_eq!(times(&sim, alice, "OPTIONS"), [[0, 500, 1500, 3500].as_slice(), &steady].concat());
    assert_eq!(alice.news(&sim), [News::Ended(client, ClientEnd::Timeout)]);
    assert_eq!(sim.now().as_millis(), 32_000);
    golden("tmr_03", &sim);
}

/// TMR-04, IS-08, IS-10, CF-03: a refusal that is not acknowledged goes out eleven times; Timer H ends it, and tells.
#[test]
fn tmr_04_refusal_without_ack() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2").invite(Manner::Now(Reply::busy())));
    let alice = sim.puppet("alice");
    alice.send_to(&mut sim, bob.addr(), &invite("one"));
    rest(&mut sim, &[bob]);
    let steady = [7501, 11_501, 15_501, 19_501, 23_501, 27_501, 31_501];
    assert_eq!(times(&sim, bob, "486"), [[1, 501, 1501, 3501].as_slice(), &steady].concat());
    assert!(bob.heard(&sim, &News::ServerEnded(ServerEnd::NoAck)));
    assert_eq!(sim.now().as_millis(), 32_001);
    golden("tmr_04", &sim);
}

/// Lets a puppet call over UDP or TCP and never acknowledge the 2xx; it answers the BYE.
fn never_acks(over_tcp: bool) -> (Sim, Ua) {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2"));
    let alice = sim.puppet("alice");
    if over_tcp {
        alice.connect(&mut sim, bob.addr());
        alice.send(&mut sim, &invite("one").replace("@[local]>\n", "@[local];transport=tcp>\n"));
    } else {
        alice.send_to(&mut sim, bob.addr(), &invite("one"));
    }
    alice.expect(&mut sim, "BYE");
    alice.reply(&mut sim, 200);
    rest(&mut sim, &[bob]);
    (sim, bob)
}

/// TMR-05, UA-11, C082: a 2xx is sent again by the core, over UDP and over TCP alike, and then the session ends with BYE.
#[test]
fn tmr_05_success_without_ack() {
    for over_tcp in [false, true] {
        let (sim, bob) = never_acks(over_tcp);
        let copies = times(&sim, bob, "200 INVITE");
        let begin = copies[0];
        let after: Vec<u64> = copies.iter().map(|at| at - begin).collect();
        let steady = [7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
        assert_eq!(after, [[0, 500, 1500, 3500].as_slice(), &steady].concat(), "tcp: {over_tcp}");
        let [bye] = times(&sim, bob, "BYE")[..] else { panic!("one BYE") };
        // C044: over TCP it takes the caller's own connection.
        assert_eq!(bye - begin, 32_000, "not before: UA-11");
        assert!(bob.heard(&sim, &News::ServerEnded(ServerEnd::NoAck)));
        let ends = bob.news(&sim).into_iter().filter_map(|news| match news {
            News::Dialog(_, DialogChange::Ended(end)) => Some(end),
            _ => None,
        });
        assert_eq!(ends.collect::<Vec<_>>(), [DialogEnd::NoAck]);
        golden(if over_tcp { "tmr_05_tcp" } else { "tmr_05" }, &sim);
    }
}

/// TMR-06, RFC 3262 §3: a reliable 180 goes out seven times, without a cap; then the INVITE is refused with a 5xx.
#[test]
fn tmr_06_ringing_without_prack() {
    let mut sim = world();
    let rings = Manner::Rings(Duration::from_secs(60), Phone::accept());
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2").invite(rings).rings_reliably(true));
    let alice = sim.puppet("alice");
    let fields = "Contact: <sip:alice@[local]>\nSupported: 100rel\n";
    alice.send_to(&mut sim, bob.addr(), &request("INVITE", "one", fields));
    let refusal = alice.expect_where(&mut sim, "a refusal", Duration::from_secs(40), |heard| {
        heard.status().is_some_and(|status| status >= 200)
    });
    alice.send(&mut sim, &ack_refusal(&refusal));
    rest(&mut sim, &[bob]);
    assert_eq!(times(&sim, bob, "180"), [1, 501, 1501, 3501, 7501, 15_501, 31_501]);
    assert_eq!((refusal.status(), times(&sim, bob, "504")), (Some(504), vec![32_001]));
    assert!(bob.heard(&sim, &News::Voided(Void::NoPrack)));
    golden("tmr_06", &sim);
}

/// TMR-08, NC-03, NC-04: a 1xx does not touch the Timer E that runs; after it the request goes out every 4 s.
#[test]
fn tmr_08_options_with_100_only() {
    let mut sim = world();
    let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
    let bob = sim.puppet("bob");
    let options = Outgoing::options(uri_of(&format!("sip:{}", bob.addr(&sim))));
    let client = alice.send(&mut sim, options);
    bob.expect(&mut sim, "OPTIONS");
    sim.run_for(Duration::from_millis(98));
    bob.reply(&mut sim, 100);
    rest(&mut sim, &[alice]);
    let sends = [0, 500, 4500, 8500, 12_500, 16_500, 20_500, 24_500, 28_500];
    assert_eq!(times(&sim, alice, "OPTIONS"), sends);
    assert!(alice.heard(&sim, &News::Ended(client, ClientEnd::Timeout)));
    assert_eq!(sim.now().as_millis(), 32_000);
    golden("tmr_08", &sim);
}

/// C070, C071, C072, C073, C081, RFC 3665 §3.1: ringing, answer, ACK, BYE.
#[test]
fn a_call() {
    let mut sim = world();
    let rings = Manner::Rings(Duration::from_secs(2), Phone::accept());
    let [alice, bob] = two(&mut sim, Phone::new("10.1.0.2").invite(rings));
    alice.dial(&mut sim, &bob.uri());
    sim.run_for(Duration::from_secs(10));
    alice.hang_up(&mut sim);
    rest(&mut sim, &[alice, bob]);
    golden("call", &sim);
}

/// The same over one TCP connection, on which nothing is sent twice and no 100 is needed.
#[test]
fn a_call_over_tcp() {
    let mut sim = world();
    let rings = Manner::Rings(Duration::from_secs(2), Phone::accept());
    let [alice, bob] = two(&mut sim, Phone::new("10.1.0.2").invite(rings));
    alice.dial(&mut sim, &bob.tcp_uri());
    sim.run_for(Duration::from_secs(10));
    bob.hang_up(&mut sim);
    rest(&mut sim, &[alice, bob]);
    golden("call_tcp", &sim);
}

/// RC-08, P1: of each message from the caller the first two are lost; all of them are sent until they arrive.
#[test]
fn a_call_under_loss_toward_the_callee() {
    let mut sim = world();
    let [alice, bob] = two(&mut sim, Phone::new("10.1.0.2"));
    for pattern in ["INVITE", "ACK", "BYE"] {
        lose(&mut sim, pattern, 2);
    }
    alice.dial(&mut sim, &bob.uri());
    sim.run_for(Duration::from_secs(20));
    alice.hang_up(&mut sim);
    rest(&mut sim, &[alice, bob]);
    let invited = 1501;
    assert_eq!(times(&sim, bob, "200 INVITE"), [invited, invited + 500, invited + 1500]);
    assert_eq!(times(&sim, alice, "ACK").len(), 3, "one for each copy");
    golden("loss_toward_callee", &sim);
}

/// RC-07, RC-08: of each response the first two are lost; copies of requests get the same responses again.
#[test]
fn a_call_under_loss_toward_the_caller() {
    let mut sim = world();
    let [alice, bob] = two(&mut sim, Phone::new("10.1.0.2"));
    for pattern in ["200 INVITE", "200 BYE"] {
        lose(&mut sim, pattern, 2);
    }
    alice.dial(&mut sim, &bob.uri());
    sim.run_for(Duration::from_secs(20));
    alice.hang_up(&mut sim);
    rest(&mut sim, &[alice, bob]);
    let asked = bob.news(&sim).into_iter().filter(|news| matches!(news, News::Asked(..)));
    assert_eq!(asked.count(), 2, "copies are no new requests: one INVITE, one BYE");
    golden("loss_toward_caller", &sim);
}

/// CN-01, CN-03, C085, RFC 3665 §3.8: a CANCEL while it rings; 200 for it, 487 for the INVITE, ACK.
#[test]
fn cancelled_while_ringing() {
    let mut sim = world();
    let rings = Manner::Rings(Duration::from_secs(60), Phone::accept());
    let [alice, bob] = two(&mut sim, Phone::new("10.1.0.2").invite(rings));
    let call = alice.dial(&mut sim, &bob.uri());
    sim.run_for(Duration::from_secs(3));
    alice.cancel(&mut sim, call).expect("it rings");
    rest(&mut sim, &[alice, bob]);
    assert!(bob.heard(&sim, &News::Cancelled));
    golden("cancel_while_ringing", &sim);
}

/// The same INVITE refused: ACK by the transaction, RFC 3665 §3.11.
#[test]
fn refused_as_busy() {
    let mut sim = world();
    let [alice, bob] = two(&mut sim, Phone::new("10.1.0.2").invite(Manner::Now(Reply::busy())));
    alice.dial(&mut sim, &bob.uri());
    rest(&mut sim, &[alice, bob]);
    golden("busy", &sim);
}

/// IS-13: over a stream a refusal is over with its ACK, since Timer I is zero.
#[test]
fn refused_over_tcp() {
    let mut sim = world();
    let [alice, bob] = two(&mut sim, Phone::new("10.1.0.2").invite(Manner::Now(Reply::busy())));
    alice.dial(&mut sim, &bob.tcp_uri());
    sim.run_for(Duration::from_millis(10));
    assert!(alice.endpoint(&sim).is_idle() && bob.endpoint(&sim).is_idle());
    rest(&mut sim, &[alice, bob]);
    golden("busy_tcp", &sim);
}

/// RFC 3428: a MESSAGE whose answer takes longer than 3.5 s gets a 100 then (NS-13, RFC 4320 §4.1).
#[test]
fn a_message_answered_late() {
    let mut sim = world();
    let [alice, bob] = two(&mut sim, Phone::new("10.1.0.2").other(Manner::Later));
    alice.send(&mut sim, Outgoing::new(Method::Message, uri_of(&bob.uri())));
    sim.run_for(Duration::from_secs(6));
    bob.answer(&mut sim, Reply::ok());
    rest(&mut sim, &[alice, bob]);
    assert_eq!(times(&sim, bob, "100"), [3501, 3501], "the second for the copy that comes at that moment");
    golden("late_message", &sim);
}
