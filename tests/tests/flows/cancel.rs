//! CANCEL: RFC 3261 §9, and the races around it.

use std::time::Duration;

use sansip::{ClientEnd, ClientHandle, Gone, HeaderName, HeaderValue, Reply, StatusCode};
use sansip_sim::{Heard, Puppet, Sim};
use sansip_tests::simulated::{Manner, News, Phone, Ua, rest, sent, times, uri_of};

use crate::script::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn dial(sim: &mut Sim) -> (Ua, Puppet, ClientHandle) {
    let alice = Ua::new(sim, "alice", Phone::new("10.1.0.1"));
    let bob = sim.puppet("bob");
    let uri = uri(sim, bob);
    let call = alice.dial(sim, &uri);
    (alice, bob, call)
}

/// CN-01: no CANCEL before a provisional response: it waits for one, and goes out with it.
#[test]
fn cn_01_cancel_waits_for_a_provisional() {
    let mut sim = world();
    let (alice, bob, call) = dial(&mut sim);
    let invite = bob.expect(&mut sim, "INVITE");
    alice.cancel(&mut sim, call).expect("it is open");
    assert_eq!(alice.cancel(&mut sim, call), Err(Gone), "once");
    sim.run_for(Duration::from_secs(5));
    assert_eq!(times(&sim, alice, "CANCEL"), []);
    bob.reply_with(&mut sim, &invite, 100, "", b"");
    let cancel = bob.expect_within(&mut sim, "CANCEL", ms(5));
    bob.reply_with(&mut sim, &cancel, 200, "", b"");
    bob.reply_with(&mut sim, &invite, 487, "", b"");
    bob.expect(&mut sim, "ACK");
    assert_eq!(alice.cancel(&mut sim, call), Err(Gone), "not after the final response");
    rest(&mut sim, &[alice]);
}

/// CN-02: the CANCEL is the INVITE's twin in all that identifies it, and goes the same way.
#[test]
fn cn_02_fields_of_cancel() {
    let mut sim = world();
    let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
    let bob = sim.puppet("bob");
    let outgoing = Phone::offer("sip:carol@192.0.2.9")
        .route(uri_of(&format!("{};lr", uri(&sim, bob))))
        .header(HeaderName::REQUIRE, HeaderValue::from_static("foo"))
        .header(HeaderName::PROXY_REQUIRE, HeaderValue::from_static("bar"));
    let call = alice.send(&mut sim, outgoing);
    let invite = bob.expect(&mut sim, "INVITE");
    bob.reply(&mut sim, 180);
    sim.run_for(ms(10));
    alice.cancel(&mut sim, call).expect("it rings");
    let cancel = bob.expect(&mut sim, "CANCEL");
    assert_eq!(cancel.uri(), invite.uri());
    for name in ["Call-ID", "From", "To", "Via", "Route"] {
        assert_eq!(cancel.headers(name), invite.headers(name), "{name}");
    }
    assert_eq!((field(&cancel, "CSeq"), cancel.headers("Via").len()), ("1 CANCEL".into(), 1));
    assert_eq!(cancel.headers("Require").len() + cancel.headers("Proxy-Require").len(), 0);
    bob.reply_with(&mut sim, &cancel, 200, "", b"");
    bob.reply_with(&mut sim, &invite, 487, "", b"");
    rest(&mut sim, &[alice]);
}

/// CN-03, MT-04: the CANCEL has a transaction of its own; a match gets 200 with the INVITE's tag, no match 481.
#[test]
fn cn_03_cancel_received() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2").invite(Manner::Later));
    let alice = sim.puppet("alice");
    alice.send_to(&mut sim, bob.addr(), &cancel("none"));
    alice.expect(&mut sim, "481");
    alice.send_to(&mut sim, bob.addr(), &invite("one"));
    sim.run_for(ms(10));
    bob.progress(&mut sim, Reply::ringing());
    let ringing = alice.expect(&mut sim, "180");
    alice.send(&mut sim, &cancel("one").replace("branch=z9hG4bK-one", "branch=z9hG4bK-two"));
    alice.expect(&mut sim, "481");
    for _ in 0..2 {
        alice.send(&mut sim, &cancel("one"));
        let ok = alice.expect(&mut sim, "200 CANCEL");
        assert_eq!(param(&ok, "To", "tag"), param(&ringing, "To", "tag"));
    }
    let refusal = alice.expect(&mut sim, "487 INVITE");
    assert_eq!(times(&sim, bob, "487").len(), 1, "the copy of the CANCEL did nothing more");
    alice.send(&mut sim, &ack_refusal(&refusal));
    let cancelled = bob.news(&sim).into_iter().filter(|news| *news == News::Cancelled);
    assert_eq!(cancelled.count(), 1);
    rest(&mut sim, &[bob]);
}

/// C086: a CANCEL from elsewhere than the INVITE came from does nothing.
#[test]
fn c086_cancel_of_a_stranger() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2").invite(Manner::Later));
    let (alice, mallory) = (sim.puppet("alice"), sim.puppet("mallory"));
    alice.send_to(&mut sim, bob.addr(), &invite("one"));
    sim.run_for(ms(10));
    let forged = cancel("one").replace("[local]", &alice.addr(&sim).to_string());
    mallory.send_to(&mut sim, bob.addr(), &forged);
    mallory.expect(&mut sim, "481");
    assert!(!bob.heard(&sim, &News::Cancelled));
    bob.answer(&mut sim, Phone::accept());
    let ok = alice.expect(&mut sim, "200");
    alice.send(&mut sim, &in_call(&ok, "ACK", 1, ""));
    hang_up(&mut sim, bob, alice);
    rest(&mut sim, &[bob]);
}

/// CN-04: a cancelled INVITE without a final response is over 64·T1 after the CANCEL.
#[test]
fn cn_04_no_final_after_cancel() {
    let mut sim = world();
    let (alice, bob, call) = dial(&mut sim);
    bob.expect(&mut sim, "INVITE");
    bob.reply(&mut sim, 180);
    sim.run_for(Duration::from_secs(1));
    alice.cancel(&mut sim, call).expect("it rings");
    let cancelled = sim.now().as_millis();
    bob.expect(&mut sim, "CANCEL");
    bob.reply(&mut sim, 200);
    rest(&mut sim, &[alice]);
    let told = alice.phone(&sim).news().iter().find(|(_, news)| matches!(news, News::Ended(..)));
    let (at, news) = told.expect("it is told");
    assert_eq!((at.as_millis() - cancelled, news), (32_000, &News::Ended(call, ClientEnd::Cancelled)));
}

/// CN-06: a CANCEL for another method than INVITE gets 200 and does nothing.
#[test]
fn cn_06_cancel_of_other_methods() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2").other(Manner::Later));
    let alice = sim.puppet("alice");
    alice.send_to(&mut sim, bob.addr(), &request("MESSAGE", "one", ""));
    sim.run_for(ms(10));
    alice.send(&mut sim, &cancel("one"));
    alice.expect(&mut sim, "200 CANCEL");
    bob.answer(&mut sim, Reply::ok());
    alice.expect(&mut sim, "200 MESSAGE");
    rest(&mut sim, &[bob]);
}

/// When the application cancels.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    /// Calling: nothing has come.
    Calling,
    /// Proceeding after a 100.
    Trying,
    /// Proceeding after a 180.
    Ringing,
    /// Completed or Accepted: the final response has come.
    Final,
}

/// What the peer does with a message: sends it, sends it twice, or the network loses it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Once,
    Twice,
    Never,
}

const FATES: [Fate; 3] = [Fate::Once, Fate::Twice, Fate::Never];

fn answer(sim: &mut Sim, bob: Puppet, request: &Heard, status: u16, fate: Fate) {
    for _ in 0..(match fate {
        Fate::Never => 0,
        Fate::Once => 1,
        Fate::Twice => 2,
    }) {
        bob.reply_with(sim, request, status, "", b"");
        sim.run_for(ms(5));
    }
}

/// P2, the caller's side: CANCEL in every state × the final response × what becomes of both answers. All end, and a 2xx
/// after the CANCEL yields ACK, then BYE.
#[test]
fn p2_cancel_sent() {
    for when in [When::Calling, When::Trying, When::Ringing, When::Final] {
        for status in [Some(200), Some(487), Some(404), None] {
            for (to_cancel, to_invite) in FATES.into_iter().flat_map(|one| FATES.map(|two| (one, two))) {
                let name = format!("{when:?} {status:?} {to_cancel:?} {to_invite:?}");
                cancel_sent(when, status, to_cancel, to_invite, &name);
            }
        }
    }
}

fn cancel_sent(when: When, status: Option<u16>, to_cancel: Fate, to_invite: Fate, name: &str) {
    let mut sim = world();
    let (alice, bob, call) = dial(&mut sim);
    let invite = bob.expect(&mut sim, "INVITE");
    match when {
        When::Trying => bob.reply_with(&mut sim, &invite, 100, "", b""),
        When::Ringing => bob.reply_with(&mut sim, &invite, 180, "", b""),
        _ => {}
    }
    if let (When::Final, Some(status)) = (when, status) {
        answer(&mut sim, bob, &invite, status, to_invite);
    }
    sim.run_for(ms(10));
    let ended = when == When::Final && status.is_some() && to_invite != Fate::Never;
    assert_eq!(alice.cancel(&mut sim, call).is_err(), ended, "{name}");
    sim.run_for(ms(10));
    for cancel in bob.take_all(&mut sim).into_iter().filter(|heard| heard.is("CANCEL")) {
        answer(&mut sim, bob, &cancel, 200, to_cancel);
    }
    if let (true, Some(status)) = (when != When::Final, status) {
        answer(&mut sim, bob, &invite, status, to_invite);
    }
    sim.run_for(ms(100));
    let accepted = status == Some(200) && to_invite != Fate::Never;
    let after_cancel = accepted && !ended;
    let (acks, byes) = (times(&sim, alice, "ACK"), times(&sim, alice, "BYE"));
    assert_eq!(byes.len(), usize::from(after_cancel), "{name}: BYE");
    let got_final = status.is_some() && to_invite != Fate::Never;
    let copies = if to_invite == Fate::Twice { 2 } else { 1 };
    assert_eq!(acks.len(), if got_final { copies } else { 0 }, "{name}: ACK");
    if after_cancel {
        assert!(acks[0] <= byes[0], "{name}: ACK, then BYE");
    }
    if accepted && !after_cancel {
        alice.hang_up(&mut sim);
    }
    rest(&mut sim, &[alice]);
    let expected = match status.and_then(StatusCode::new).filter(|_| got_final) {
        Some(_) if after_cancel => ClientEnd::Cancelled,
        Some(status) => ClientEnd::Final(status),
        None if matches!(when, When::Calling | When::Final) => ClientEnd::Timeout,
        None => ClientEnd::Cancelled,
    };
    assert!(alice.heard(&sim, &News::Ended(call, expected)), "{name}: {:?}", alice.news(&sim));
    assert_eq!(alice.phone(&sim).dialogs(), [], "{name}");
}

/// What the callee has done when the CANCEL comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// It was just asked.
    Asked,
    /// A 100 was sent.
    Trying,
    Ringing,
    Answered(u16),
    /// The final response was acknowledged.
    Confirmed(u16),
}

/// P2, the callee's side: CANCEL received in every state × its fate × whether the ACK comes. All end.
#[test]
fn p2_cancel_received() {
    let finals = [200, 487, 404];
    let answered = finals.map(Stage::Answered).into_iter().chain(finals.map(Stage::Confirmed));
    for stage in [Stage::Asked, Stage::Trying, Stage::Ringing].into_iter().chain(answered) {
        for (fate, acks) in FATES.into_iter().flat_map(|fate| [(fate, true), (fate, false)]) {
            cancel_received(stage, fate, acks, &format!("{stage:?} {fate:?} {acks}"));
        }
    }
}

fn cancel_received(stage: Stage, fate: Fate, acks: bool, name: &str) {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2").invite(Manner::Later));
    let alice = sim.puppet("alice");
    alice.send_to(&mut sim, bob.addr(), &invite("one"));
    sim.run_for(if stage == Stage::Trying { ms(300) } else { ms(5) });
    if stage == Stage::Ringing {
        bob.progress(&mut sim, Reply::ringing());
    }
    let status = match stage {
        Stage::Answered(status) | Stage::Confirmed(status) => Some(status),
        _ => None,
    };
    if let Some(status) = status {
        bob.answer(&mut sim, Reply::status(StatusCode::new(status).expect("a status")));
    }
    if let Stage::Confirmed(_) = stage {
        acknowledge(&mut sim, alice);
    }
    for _ in 0..(match fate {
        Fate::Never => 0,
        Fate::Once => 1,
        Fate::Twice => 2,
    }) {
        alice.send(&mut sim, &cancel("one"));
        alice.expect_within(&mut sim, "200 CANCEL", ms(10));
    }
    let cancels = status.is_none() && fate != Fate::Never;
    if status.is_none() && !cancels {
        // The CANCEL was lost: the callee answers as it likes.
        bob.answer(&mut sim, Reply::busy());
    }
    sim.run_for(ms(5));
    if acks && !matches!(stage, Stage::Confirmed(_)) {
        acknowledge(&mut sim, alice);
    }
    assert_eq!(bob.heard(&sim, &News::Cancelled), cancels, "{name}");
    if status == Some(200) {
        let ok = sent(&sim).into_iter().find(|seen| seen.is("200 INVITE")).expect("the 2xx");
        assert!(!ok.to_tag.is_empty());
        if matches!(stage, Stage::Confirmed(_)) || acks {
            bob.hang_up(&mut sim);
        }
        // Else it ends the session itself, when no ACK has come.
        alice.expect(&mut sim, "BYE");
        alice.reply(&mut sim, 200);
    }
    rest(&mut sim, &[bob]);
    let finals = sent(&sim).into_iter().filter(|seen| seen.method == "INVITE" && seen.status >= Some(200));
    let mut finals: Vec<_> = finals.filter_map(|seen| seen.status).collect();
    finals.dedup();
    assert_eq!(finals, [status.unwrap_or(if cancels { 487 } else { 486 })], "{name}: one final response");
}

/// Acknowledges the final response that came.
fn acknowledge(sim: &mut Sim, alice: Puppet) {
    let is_final = |heard: &Heard| {
        heard.status().is_some_and(|status| status >= 200)
            && heard.header("CSeq").is_some_and(|cseq| cseq.ends_with("INVITE"))
    };
    let response = alice.expect_where(sim, "a final response", ms(100), is_final);
    let accepted = response.is("2xx");
    let ack = if accepted { in_call(&response, "ACK", 1, "") } else { ack_refusal(&response) };
    alice.send(sim, &ack);
    sim.run_for(ms(5));
}
