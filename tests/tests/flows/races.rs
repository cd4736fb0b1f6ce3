//! Messages that cross: RFC 5407.

use std::time::Duration;

use sansip::{Body, ClientEnd, DialogChange, DialogEnd, Method, Outgoing, Reply, StatusCode};
use sansip_sim::{Packet, Sim, Verdict};
use sansip_tests::simulated::{Manner, News, Phone, Ua, rest, sent, times};

use crate::script::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn phones(sim: &mut Sim, bob: Phone) -> (Ua, Ua) {
    (Ua::new(sim, "alice", Phone::new("10.1.0.1")), Ua::new(sim, "bob", bob))
}

/// Calls, waits a second, and makes the way 50 ms long in both directions, so that messages can cross.
fn call_with_long_ways(sim: &mut Sim, bob: Phone) -> (Ua, Ua) {
    let (alice, bob) = phones(sim, bob);
    alice.dial(sim, &bob.uri());
    sim.run_for(Duration::from_secs(1));
    sim.net().everywhere().delay(ms(50));
    (alice, bob)
}

/// Returns all responses, without copies, in the order in which they were sent.
fn responses(sim: &Sim, method: &str) -> Vec<u16> {
    let mut seen: Vec<(String, u16)> = Vec::new();
    for message in sent(sim).into_iter().filter(|message| message.method == method) {
        let Some(status) = message.status else { continue };
        if !seen.contains(&(message.branch.clone(), status)) {
            seen.push((message.branch, status));
        }
    }
    seen.into_iter().map(|(_, status)| status).collect()
}

/// RC-01 (RFC 5407 §3.1.2), CN-03, CN-04, P2: the 2xx crosses the CANCEL: 200 to the CANCEL, ACK, then BYE.
#[test]
fn rc_01_success_crosses_cancel() {
    let mut sim = world();
    let (alice, bob) = phones(&mut sim, Phone::new("10.1.0.2").invite(Manner::Later));
    sim.net().everywhere().delay(ms(50));
    let call = alice.dial(&mut sim, &bob.uri());
    sim.run_for(ms(60));
    bob.progress(&mut sim, Reply::ringing());
    sim.run_for(ms(60));
    alice.cancel(&mut sim, call).expect("it rings");
    bob.answer(&mut sim, Phone::accept());
    rest(&mut sim, &[alice, bob]);
    assert_eq!(responses(&sim, "INVITE"), [180, 200]);
    assert_eq!(responses(&sim, "CANCEL"), [200]);
    let (ack, bye) = (times(&sim, alice, "ACK"), times(&sim, alice, "BYE"));
    assert_eq!((ack.len(), bye.len()), (1, 1));
    assert!(ack <= bye);
    assert!(alice.heard(&sim, &News::Ended(call, ClientEnd::Cancelled)));
    assert!(!bob.heard(&sim, &News::Cancelled));
}

/// RC-02 (RFC 5407 §3.2.1): BYE crosses BYE: both get 200.
#[test]
fn rc_02_bye_crosses_bye() {
    let mut sim = world();
    let (alice, bob) = call_with_long_ways(&mut sim, Phone::new("10.1.0.2"));
    alice.hang_up(&mut sim);
    bob.hang_up(&mut sim);
    rest(&mut sim, &[alice, bob]);
    assert_eq!(responses(&sim, "BYE"), [200, 200]);
}

/// RC-03 without the retry (RFC 5407 §3.3.1): re-INVITE crosses re-INVITE: both get 491 and an ACK, the call stays.
#[test]
fn rc_03_reinvite_crosses_reinvite() {
    let mut sim = world();
    let (alice, bob) = call_with_long_ways(&mut sim, Phone::new("10.1.0.2"));
    for ua in [alice, bob] {
        let dialog = ua.dialog(&sim);
        let offer = Outgoing::in_dialog(Method::Invite, dialog).body(Body::sdp(Phone::SDP));
        ua.send(&mut sim, offer);
    }
    sim.run_for(ms(400));
    assert_eq!(&responses(&sim, "INVITE")[1..], [491, 491]);
    assert_eq!(times(&sim, bob, "ACK").len(), 1);
    alice.hang_up(&mut sim);
    rest(&mut sim, &[alice, bob]);
}

/// RC-04 (RFC 5407 §3.2.2): BYE crosses a re-INVITE, which gets 481 from who sent the BYE.
#[test]
fn rc_04_bye_crosses_reinvite() {
    let mut sim = world();
    let (alice, bob) = call_with_long_ways(&mut sim, Phone::new("10.1.0.2"));
    let dialog = bob.dialog(&sim);
    let offer = Outgoing::in_dialog(Method::Invite, dialog).body(Body::sdp(Phone::SDP));
    alice.hang_up(&mut sim);
    let reinvite = bob.send(&mut sim, offer);
    rest(&mut sim, &[alice, bob]);
    assert_eq!(&responses(&sim, "INVITE")[1..], [481]);
    assert_eq!(responses(&sim, "BYE"), [200]);
    let gone = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
    assert!(bob.heard(&sim, &News::Ended(reinvite, ClientEnd::Final(gone))));
}

/// RC-04 (RFC 5407 §3.2.3), P1: the 2xx to a re-INVITE is acknowledged also after one's own BYE, and also when the dialog
/// is over by then.
#[test]
fn rc_04_success_to_reinvite_after_bye() {
    for bye_first in [false, true] {
        let mut sim = world();
        let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
        let bob = sim.puppet("bob");
        callee(&mut sim, alice, bob);
        let dialog = alice.dialog(&sim);
        let offer = Outgoing::in_dialog(Method::Invite, dialog).body(Body::sdp(Phone::SDP));
        let reinvite = alice.send(&mut sim, offer);
        let invite = bob.expect(&mut sim, "INVITE");
        alice.hang_up(&mut sim);
        let bye = bob.expect(&mut sim, "BYE");
        let ok = |sim: &mut Sim| bob.reply_with(sim, &invite, 200, "", b"");
        if bye_first {
            bob.reply_with(&mut sim, &bye, 200, "", b"");
            sim.run_for(ms(10));
            assert!(alice.heard(&sim, &News::Dialog(dialog, DialogChange::Ended(DialogEnd::LocalBye))));
        }
        for _ in 0..2 {
            ok(&mut sim);
            let ack = bob.expect_within(&mut sim, "ACK", ms(10));
            assert_eq!(field(&ack, "CSeq"), "2 ACK");
            assert_ne!(param(&ack, "Via", "branch"), param(&invite, "Via", "branch"));
        }
        if !bye_first {
            bob.reply_with(&mut sim, &bye, 200, "", b"");
        }
        rest(&mut sim, &[alice]);
        assert!(alice.heard(&sim, &News::Ended(reinvite, ClientEnd::Final(StatusCode::OK))));
    }
}

/// RC-06 (RFC 5407 §3.1.6): BYE arrives before the ACK: 200, and neither a copy of the 2xx nor the late ACK revives anything.
#[test]
fn rc_06_bye_before_ack() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2"));
    let alice = sim.puppet("alice");
    alice.send_to(&mut sim, bob.addr(), &invite("one"));
    let ok = alice.expect(&mut sim, "200");
    alice.send(&mut sim, &in_call(&ok, "BYE", 2, ""));
    alice.expect(&mut sim, "200 BYE");
    alice.send(&mut sim, &in_call(&ok, "ACK", 1, ""));
    sim.run_for(ms(10));
    assert_eq!(bob.phone(&sim).dialogs(), []);
    rest(&mut sim, &[bob]);
    assert_eq!(times(&sim, bob, "200 INVITE").len(), 1, "P1: until ACK or BYE");
}

/// RC-06: the caller acknowledges a copy of the 2xx also after its BYE was answered.
#[test]
fn rc_06_copy_of_the_2xx_after_bye() {
    let mut sim = world();
    let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
    let bob = sim.puppet("bob");
    let uri = uri(&sim, bob);
    alice.dial(&mut sim, &uri);
    let invite = bob.expect(&mut sim, "INVITE");
    bob.reply(&mut sim, 200);
    let ack = bob.expect(&mut sim, "ACK");
    hang_up(&mut sim, alice, bob);
    sim.run_for(ms(10));
    bob.reply_with(&mut sim, &invite, 200, "", b"");
    assert_eq!(bob.expect_within(&mut sim, "ACK", ms(10)).bytes, ack.bytes);
    assert_eq!(alice.phone(&sim).dialogs(), []);
    rest(&mut sim, &[alice]);
}

/// RC-07 (RFC 5407 §3.1.1), C074: a copy of the INVITE after the 2xx is absorbed, and starts no call.
#[test]
fn rc_07_invite_copy_after_success() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2"));
    let alice = sim.puppet("alice");
    let ok = caller(&mut sim, alice, bob);
    for _ in 0..3 {
        alice.send(&mut sim, &invite("one"));
        alice.expect_none(&mut sim, Duration::from_secs(1));
    }
    assert_eq!(bob.endpoint(&sim).stats().retransmissions, 3);
    alice.send(&mut sim, &in_call(&ok, "BYE", 2, ""));
    alice.expect(&mut sim, "200 BYE");
    rest(&mut sim, &[bob]);
}

/// RC-09 (RFC 5407 §3.1.4), RC-13: the ACK is lost and a re-INVITE comes: it is no ACK, the 2xx goes on, and an ACK with
/// the old number counts.
#[test]
fn rc_13_old_ack_counts() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2"));
    let alice = sim.puppet("alice");
    alice.send_to(&mut sim, bob.addr(), &invite("one"));
    let ok = alice.expect(&mut sim, "200");
    alice.send(&mut sim, &in_call(&ok, "INFO", 9, ""));
    alice.expect(&mut sim, "200 INFO");
    sim.run_for(ms(600));
    assert_eq!(times(&sim, bob, "200 INVITE").len(), 2);
    alice.send(&mut sim, &in_call(&ok, "ACK", 1, ""));
    sim.run_for(Duration::from_secs(10));
    assert_eq!(times(&sim, bob, "200 INVITE").len(), 2, "the ACK was taken");
    assert!(bob.news(&sim).iter().any(|news| matches!(news, News::Ack(_))));
    hang_up(&mut sim, bob, alice);
    rest(&mut sim, &[bob]);
}

/// RC-11 (RFC 5407 §3.1.3): the caller's BYE in the early dialog: 200 to it, 487 to the INVITE; if it crosses the 2xx, no
/// session is left.
#[test]
fn rc_11_bye_in_the_early_dialog() {
    for accepted in [false, true] {
        let mut sim = world();
        let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2").invite(Manner::Later));
        let alice = sim.puppet("alice");
        alice.send_to(&mut sim, bob.addr(), &invite("one"));
        sim.run_for(ms(10));
        bob.progress(&mut sim, Reply::ringing());
        let ringing = alice.expect(&mut sim, "180");
        if accepted {
            bob.answer(&mut sim, Phone::accept());
        }
        alice.send(&mut sim, &in_call(&ringing, "BYE", 2, ""));
        alice.expect(&mut sim, "200 BYE");
        if accepted {
            let ok = alice.expect(&mut sim, "200 INVITE");
            alice.send(&mut sim, &in_call(&ok, "ACK", 1, ""));
        } else {
            let refusal = alice.expect(&mut sim, "487 INVITE");
            alice.send(&mut sim, &ack_refusal(&refusal));
        }
        sim.run_for(ms(10));
        assert_eq!(bob.phone(&sim).dialogs(), []);
        rest(&mut sim, &[bob]);
    }
}

/// P1: the first ACK is lost while the caller re-INVITEs at once: each of the two 2xx gets its own ACK.
#[test]
fn p1_reinvite_while_the_ack_is_lost() {
    let mut sim = world();
    let (alice, bob) = phones(&mut sim, Phone::new("10.1.0.2"));
    let mut lost = false;
    sim.net().rule(move |packet: &Packet| {
        let first = !lost && packet.is("ACK");
        lost |= first;
        if first { Verdict::Drop } else { Verdict::Pass }
    });
    alice.dial(&mut sim, &bob.uri());
    sim.run_for(ms(100));
    let dialog = alice.dialog(&sim);
    let offer = || Outgoing::in_dialog(Method::Invite, dialog).body(Body::sdp(Phone::SDP));
    alice.send(&mut sim, offer());
    sim.run_for(Duration::from_secs(3));
    assert_eq!(responses(&sim, "INVITE"), [200, 500], "the callee waits for the ACK still");
    alice.send(&mut sim, offer());
    sim.run_for(Duration::from_secs(3));
    assert_eq!(responses(&sim, "INVITE"), [200, 500, 200]);
    let acks = sent(&sim).into_iter().filter(|seen| seen.from == alice.id() && seen.is("ACK"));
    assert_eq!(acks.map(|ack| ack.cseq).collect::<Vec<_>>(), [1, 2, 1, 3]);
    bob.hang_up(&mut sim);
    rest(&mut sim, &[alice, bob]);
}
