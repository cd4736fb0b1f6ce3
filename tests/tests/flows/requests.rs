//! Requests and responses of user agents: RFC 3261 §8, §11, §13, §15, §17.1.1.3; RFC 4320.

use std::time::Duration;

use sansip::{
    Body, ClientEnd, DialogChange, DialogEnd, DialogError, HeaderName, HeaderValue, Method, Outgoing,
    ProvisionalError, Reply, Routing, ServerEnd, StatusCode,
};
use sansip_sim::Sim;
use sansip_tests::simulated::{Manner, News, Phone, Ua, rest, sent, times, uri_of};

use crate::script::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn alice(sim: &mut Sim) -> Ua {
    Ua::new(sim, "alice", Phone::new("10.1.0.1"))
}

/// Returns the methods that a phone's configuration allows.
fn allowed(sim: &Sim, ua: Ua) -> String {
    let methods = ua.endpoint(sim).config().allow.iter();
    methods.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// UA-01: every request has what RFC 3261 §8.1.1 demands, and To no tag.
#[test]
fn ua_01_fields_of_requests() {
    let mut sim = world();
    let (alice, bob) = (alice(&mut sim), sim.puppet("bob"));
    let uri = uri(&sim, bob);
    alice.dial(&mut sim, &uri);
    let invite = bob.expect(&mut sim, "INVITE");
    assert_eq!(invite.uri(), Some(&*uri));
    assert_eq!(field(&invite, "To"), format!("<{uri}>"));
    assert_eq!(field(&invite, "Max-Forwards"), "70");
    assert!(param(&invite, "From", "tag").is_some_and(|tag| tag.len() >= 8));
    assert!(param(&invite, "Via", "branch").is_some_and(|branch| branch.starts_with("z9hG4bK")));
    assert_eq!(field(&invite, "Contact"), "<sip:10.1.0.1:5060>");
    assert_eq!(invite.headers("Contact").len(), 1);
    assert_eq!(field(&invite, "CSeq"), "1 INVITE");
    assert!(!field(&invite, "Call-ID").is_empty());
    bob.reply(&mut sim, 486);
    let message = to(&sim, bob, Method::Message);
    alice.send(&mut sim, message);
    let message = bob.expect(&mut sim, "MESSAGE");
    assert_eq!(message.headers("Contact").len(), 0, "only what makes or refreshes a dialog needs one");
    bob.reply(&mut sim, 200);
    rest(&mut sim, &[alice]);
}

/// UA-02: what responses copy, the tag that all but 100 have, and what a response that makes a dialog adds.
#[test]
fn ua_02_fields_of_responses() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2").invite(Manner::Later));
    let alice = sim.puppet("alice");
    let fields = "Via: SIP/2.0/UDP far.example.com;branch=z9hG4bK-far\n\
        Record-Route: <sip:p2.example.com;lr;x=1>, <sip:p1.example.com;lr>\n\
        Record-Route: <sip:p0.example.com>;y=2\n\
        Timestamp: 54\n\
        Contact: <sip:alice@[local]>\n";
    alice.send_to(&mut sim, bob.addr(), &request("INVITE", "one", fields));
    let trying = alice.expect(&mut sim, "100");
    assert_eq!(param(&trying, "To", "tag"), None);
    assert!(field(&trying, "Timestamp").starts_with("54"));
    assert_eq!(trying.headers("Record-Route").len() + trying.headers("Contact").len(), 0);
    bob.progress(&mut sim, Reply::ringing());
    bob.answer(&mut sim, Phone::accept());
    let ringing = alice.expect(&mut sim, "180");
    let ok = alice.expect(&mut sim, "200");
    for response in [&trying, &ringing, &ok] {
        let vias = response.headers("Via");
        assert_eq!(vias.len(), 2);
        assert!(vias[0].contains("branch=z9hG4bK-one"));
        assert_eq!(vias[1], "SIP/2.0/UDP far.example.com;branch=z9hG4bK-far");
        assert!(field(response, "From").ends_with(";tag=a"));
        assert_eq!(field(response, "Call-ID"), "one");
        assert_eq!(field(response, "CSeq"), "1 INVITE");
    }
    for response in [&ringing, &ok] {
        assert_eq!(param(response, "To", "tag"), param(&ok, "To", "tag"));
        assert!(param(response, "To", "tag").is_some());
        assert_eq!(field(response, "Contact"), "<sip:10.1.0.2:5060>");
        let routes = response.headers("Record-Route").join(", ");
        assert_eq!(routes, "<sip:p2.example.com;lr;x=1>, <sip:p1.example.com;lr>, <sip:p0.example.com>;y=2");
    }
    alice.send(&mut sim, &in_call(&ok, "ACK", 1, ""));
    alice.send(&mut sim, &in_call(&ok, "BYE", 2, ""));
    alice.expect(&mut sim, "200 BYE");
    rest(&mut sim, &[bob]);
}

/// UA-03, C091, C093: method, then scheme, then what the request requires; a strange To is no reason to refuse.
#[test]
fn ua_03_order_of_checks() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2"));
    let alice = sim.puppet("alice");
    let odd = |method: &str, id: &str, uri: &str, fields: &str| {
        request(method, id, fields).replacen("sip:bob@[remote]", uri, 1)
    };
    let wants = "Require: foo, bar\n";
    for (text, status) in [
        (odd("REGISTER", "a", "odd:uri", wants), 405),
        (odd("OPTIONS", "b", "odd:uri", wants), 416),
        (odd("OPTIONS", "c", "sip:bob@[remote]", wants), 420),
        (odd("OPTIONS", "d", "sip:bob@[remote]", "X-Unknown: 1\n"), 200),
        (odd("OPTIONS", "e", "sip:bob@[remote]", "").replace("To: <sip:bob@", "To: <odd:carol@"), 200),
    ] {
        alice.send_to(&mut sim, bob.addr(), &text);
        let response = alice.expect(&mut sim, &status.to_string());
        assert_eq!(response.status(), Some(status));
        if status == 405 {
            assert_eq!(field(&response, "Allow"), allowed(&sim, bob));
        }
        if status == 420 {
            assert_eq!(response.headers("Unsupported").join(", "), "foo, bar");
        }
    }
    rest(&mut sim, &[bob]);
}

/// UA-04: an unknown method gets 501, a known one that is not served 405 with Allow; ACK is never answered.
#[test]
fn ua_04_methods() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2"));
    let alice = sim.puppet("alice");
    alice.send_to(&mut sim, bob.addr(), &request("FROBNICATE", "a", ""));
    alice.expect(&mut sim, "501");
    alice.send_to(&mut sim, bob.addr(), &request("PUBLISH", "b", ""));
    assert!(alice.expect(&mut sim, "405").header("Allow").is_some());
    alice.send_to(&mut sim, bob.addr(), &request("ACK", "c", ""));
    alice.send_to(&mut sim, bob.addr(), "ACK sip:bob@[remote] SIP/2.0\nVia: broken\n");
    alice.expect_none(&mut sim, Duration::from_secs(40));
    assert_eq!(bob.endpoint(&sim).stats().stray_acks, 1);
    rest(&mut sim, &[bob]);
}

/// UA-05, C081, C083, P1: each copy of the 2xx gets the ACK, with a branch of its own, the dialog's route set, and the
/// credentials of the INVITE.
#[test]
fn ua_05_ack_for_2xx() {
    let mut sim = world();
    let (alice, bob) = (alice(&mut sim), sim.puppet("bob"));
    let credentials = |text: &'static str| HeaderValue::from_static(text);
    let uri = uri(&sim, bob);
    let outgoing = Phone::offer(&uri)
        .header(HeaderName::AUTHORIZATION, credentials("Digest username=\"a\""))
        .header(HeaderName::PROXY_AUTHORIZATION, credentials("Digest username=\"b\""))
        .header(HeaderName::PROXY_AUTHORIZATION, credentials("Digest username=\"c\""));
    alice.send(&mut sim, outgoing);
    let invite = bob.expect(&mut sim, "INVITE");
    let route = format!("Record-Route: <sip:far.example.com;lr>, <sip:{};lr>\n", bob.addr(&sim));
    let contact = "Contact: <sip:bob@192.0.2.7:5070>\n";
    let ok = branch_says(&invite, 200, "b", &format!("{route}{contact}"));
    let mut acks = Vec::new();
    for _ in 0..3 {
        bob.send(&mut sim, &ok);
        acks.push(bob.expect_within(&mut sim, "ACK", ms(100)));
    }
    assert_eq!(acks[0].bytes, acks[1].bytes);
    assert_eq!(acks[0].bytes, acks[2].bytes);
    let ack = &acks[0];
    assert_eq!(ack.uri(), Some("sip:bob@192.0.2.7:5070"));
    let routes = ack.headers("Route").join(", ");
    assert_eq!(routes, format!("<sip:{};lr>, <sip:far.example.com;lr>", bob.addr(&sim)));
    assert_ne!(param(ack, "Via", "branch"), param(&invite, "Via", "branch"));
    assert_eq!(field(ack, "CSeq"), "1 ACK");
    assert_eq!(ack.headers("Authorization"), invite.headers("Authorization"));
    assert_eq!(ack.headers("Proxy-Authorization"), invite.headers("Proxy-Authorization"));
    assert_eq!(field(ack, "To"), format!("<{uri}>;tag=b"));
    hang_up(&mut sim, alice, bob);
    rest(&mut sim, &[alice]);
}

/// UA-11, RFC 3261 §15: a callee that hangs up before the ACK has to wait for it; nobody ends an early dialog with BYE.
#[test]
fn ua_11_bye_waits_for_the_ack() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2").invite(Manner::Later));
    let alice = sim.puppet("alice");
    alice.send_to(&mut sim, bob.addr(), &invite("one"));
    sim.run_for(ms(10));
    bob.progress(&mut sim, Reply::ringing());
    let early = bob.news(&sim).into_iter().find_map(|news| match news {
        News::Dialog(dialog, DialogChange::Started) => Some(dialog),
        _ => None,
    });
    let early = early.expect("the 180 made it");
    assert_eq!(bob.act(&mut sim, |_, cx| cx.bye(early)), Err(DialogError::Early));
    bob.answer(&mut sim, Phone::accept());
    let ok = alice.expect(&mut sim, "200");
    bob.hang_up(&mut sim);
    sim.run_for(Duration::from_secs(5));
    assert_eq!(times(&sim, bob, "BYE"), [], "not before the ACK");
    alice.send(&mut sim, &in_call(&ok, "ACK", 1, ""));
    alice.expect_within(&mut sim, "BYE", ms(10));
    alice.reply(&mut sim, 200);
    rest(&mut sim, &[bob]);
}

/// UA-12: BYE is answered 481 outside of a dialog, 200 in one; what is pending in it then gets 487.
#[test]
fn ua_12_bye_received() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2").other(Manner::Later).reinvite(Manner::Later));
    let alice = sim.puppet("alice");
    alice.send_to(&mut sim, bob.addr(), &request("BYE", "zero", ""));
    alice.expect(&mut sim, "481");
    let ok = caller(&mut sim, alice, bob);
    alice.send(&mut sim, &in_call(&ok, "BYE", 2, "").replace(";tag=a", ";tag=other"));
    alice.expect(&mut sim, "481");
    alice.send(&mut sim, &in_call(&ok, "INVITE", 3, "Contact: <sip:alice@[local]>\n"));
    alice.send(&mut sim, &in_call(&ok, "INFO", 4, ""));
    sim.run_for(ms(50));
    alice.send(&mut sim, &in_call(&ok, "BYE", 5, ""));
    alice.expect(&mut sim, "200 BYE");
    alice.expect(&mut sim, "487 INFO");
    let refusal = alice.expect(&mut sim, "487 INVITE");
    let to = field(&refusal, "To");
    assert_eq!(to, field(&ok, "To"));
    let ack = sent(&sim).into_iter().rfind(|seen| seen.is("INVITE")).expect("the re-INVITE").branch;
    alice.send(&mut sim, &in_call(&ok, "ACK", 3, "").replace("[branch]", &ack));
    let voided = bob.news(&sim).into_iter().filter(|news| *news == News::Voided(sansip::Void::Died));
    assert_eq!(voided.count(), 2);
    rest(&mut sim, &[bob]);
}

/// UA-12: the session is over once BYE is sent, whatever the answer, and if there is none.
#[test]
fn ua_12_bye_sent() {
    for answer in [Some(200), Some(481), Some(408), Some(500), None] {
        let mut sim = world();
        let (alice, bob) = (alice(&mut sim), sim.puppet("bob"));
        callee(&mut sim, alice, bob);
        let dialog = alice.dialog(&sim);
        alice.hang_up(&mut sim);
        assert!(alice.endpoint(&sim).dialog(dialog).is_ok_and(|view| view.is_ending()));
        assert!(alice.act(&mut sim, |_, cx| cx.request(Outgoing::in_dialog(Method::Info, dialog))).is_err());
        bob.expect(&mut sim, "BYE");
        if let Some(status) = answer {
            bob.reply(&mut sim, status);
        }
        rest(&mut sim, &[alice]);
        assert!(alice.heard(&sim, &News::Dialog(dialog, DialogChange::Ended(DialogEnd::LocalBye))));
    }
}

/// UA-13: a 1xx that nobody knows counts as 183: it makes an early dialog; an unknown final status is a final one.
#[test]
fn ua_13_unknown_statuses() {
    let mut sim = world();
    let (alice, bob) = (alice(&mut sim), sim.puppet("bob"));
    let uri = uri(&sim, bob);
    let call = alice.dial(&mut sim, &uri);
    let invite = bob.expect(&mut sim, "INVITE");
    bob.send(&mut sim, &branch_says(&invite, 177, "x", "Contact: <sip:bob@[local]>\n"));
    bob.send(&mut sim, &branch_says(&invite, 499, "x", ""));
    bob.expect(&mut sim, "ACK");
    rest(&mut sim, &[alice]);
    let status = StatusCode::new(499).expect("a status");
    let news = alice.news(&sim);
    let [News::Dialog(early, DialogChange::Started), News::Response(_, 177, Some(told)), ..] = news[..]
    else {
        panic!("{news:?}")
    };
    assert_eq!(early, told);
    assert!(news.contains(&News::Dialog(early, DialogChange::Ended(DialogEnd::Refused(status)))));
    assert_eq!(news.last(), Some(&News::Ended(call, ClientEnd::Final(status))));
}

/// UA-14: a response with a second Via is not for a UA; after a refusal, other refusals and late answers mean nothing.
#[test]
fn ua_14_responses_that_do_not_count() {
    let mut sim = world();
    let (alice, bob) = (alice(&mut sim), sim.puppet("bob"));
    let uri = uri(&sim, bob);
    let call = alice.dial(&mut sim, &uri);
    let invite = bob.expect(&mut sim, "INVITE");
    let two_vias = branch_says(&invite, 486, "x", "Via: SIP/2.0/UDP b.example.com;branch=z9hG4bK-b\n");
    bob.send(&mut sim, &two_vias);
    sim.run_for(ms(50));
    assert_eq!(alice.news(&sim), []);
    assert_eq!(alice.endpoint(&sim).stats().stray_responses, 1);
    bob.send(&mut sim, &branch_says(&invite, 486, "x", ""));
    bob.expect(&mut sim, "ACK");
    bob.send(&mut sim, &branch_says(&invite, 603, "y", ""));
    bob.send(&mut sim, &branch_says(&invite, 180, "y", "Contact: <sip:bob@[local]>\n"));
    rest(&mut sim, &[alice]);
    assert_eq!(alice.news(&sim).len(), 2, "one response, one end");
    assert!(alice.heard(&sim, &News::Ended(call, ClientEnd::Final(StatusCode::BUSY_HERE))));
}

/// UA-17, C102, C103: the next hop is the Request-URI, the top Route, or the strict router that replaces the Request-URI.
#[test]
fn ua_17_next_hop() {
    let mut sim = world();
    let (alice, bob) = (alice(&mut sim), sim.puppet("bob"));
    let proxy = uri(&sim, bob);
    let far = "sip:carol@192.0.2.9";
    let loose = Outgoing::options(uri_of(far)).route(uri_of(&format!("{proxy};lr")));
    alice.send(&mut sim, loose.route(uri_of("sip:p2.example.com;lr")));
    let request = bob.expect(&mut sim, "OPTIONS");
    assert_eq!(request.uri(), Some(far));
    let routes = request.headers("Route").join(", ");
    assert_eq!(routes, format!("<{proxy};lr>, <sip:p2.example.com;lr>"));
    bob.reply(&mut sim, 200);
    let strict = Outgoing::options(uri_of(far)).route(uri_of(&proxy)).route(uri_of("sip:p2.example.com;lr"));
    alice.send(&mut sim, strict);
    let request = bob.expect(&mut sim, "OPTIONS");
    assert_eq!(request.uri(), Some(&*proxy));
    assert_eq!(request.headers("Route").join(", "), format!("<sip:p2.example.com;lr>, <{far}>"));
    assert_eq!(field(&request, "To"), format!("<{far}>"));
    bob.reply(&mut sim, 200);
    rest(&mut sim, &[alice]);
}

/// UA-18: a 2xx to INVITE tells Allow and Supported and carries the answer; without an offer in the INVITE the ACK
/// carries the answer, and is the application's to send.
#[test]
fn ua_18_offer_in_the_2xx() {
    let mut sim = world();
    let (alice, bob) = (alice(&mut sim), Ua::new(&mut sim, "bob", Phone::new("10.1.0.2")));
    alice.send(&mut sim, Outgoing::invite(uri_of(&bob.uri())));
    sim.run_for(Duration::from_secs(1));
    assert_eq!(times(&sim, alice, "ACK"), [], "the answer is not known yet");
    let dialog = alice.dialog(&sim);
    assert_eq!(alice.act(&mut sim, |_, cx| cx.bye(dialog)), Err(DialogError::NotAcked));
    let answer = Body::sdp(Phone::SDP);
    alice.act(&mut sim, |_, cx| cx.ack(dialog, Some(answer))).expect("the 2xx waits for it");
    assert_eq!(alice.act(&mut sim, |_, cx| cx.ack(dialog, None)), Err(DialogError::NothingToAck));
    sim.run_for(Duration::from_secs(5));
    let all = sent(&sim);
    let ok = all.iter().find(|seen| seen.is("200 INVITE")).expect("the 2xx");
    assert!(ok.header("Allow").is_some() && ok.header("Supported").is_some());
    let ack = all.iter().find(|seen| seen.is("ACK")).expect("the ACK");
    assert!(ack.bytes.ends_with(Phone::SDP.as_bytes()));
    bob.hang_up(&mut sim);
    rest(&mut sim, &[alice, bob]);
}

/// UA-19, C095: a stateless server answers each copy afresh, with one tag; it sends nothing by itself and ignores ACK
/// and CANCEL.
#[test]
fn ua_19_stateless_server() {
    let mut sim = world();
    let phone = Phone::new("10.1.0.2").routing(Routing::ReplyStateless(Reply::forbidden()));
    let bob = Ua::new(&mut sim, "bob", phone);
    let alice = sim.puppet("alice");
    let mut answers = Vec::new();
    for _ in 0..2 {
        alice.send_to(&mut sim, bob.addr(), &invite("one"));
        answers.push(alice.expect(&mut sim, "403"));
        assert!(bob.endpoint(&sim).is_idle(), "nothing is kept");
    }
    assert_eq!(answers[0].bytes, answers[1].bytes);
    alice.send(&mut sim, &ack_refusal(&answers[0]));
    alice.expect_none(&mut sim, Duration::from_secs(40));
    alice.send(&mut sim, &cancel("one"));
    alice.expect(&mut sim, "481");
    rest(&mut sim, &[bob]);
}

/// OP-01, C117: OPTIONS is answered with what an INVITE would get, and says what is understood; it makes no dialog.
#[test]
fn op_01_options() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2"));
    let alice = sim.puppet("alice");
    alice.send_to(&mut sim, bob.addr(), &request("OPTIONS", "one", ""));
    let ok = alice.expect(&mut sim, "200");
    assert_eq!(field(&ok, "Allow"), allowed(&sim, bob));
    assert_eq!(field(&ok, "Accept"), "application/sdp");
    assert!(ok.header("Supported").is_some());
    let call = caller(&mut sim, alice, bob);
    bob.act(&mut sim, |phone, _| phone.other = Manner::Now(Reply::busy()));
    alice.send(&mut sim, &in_call(&call, "OPTIONS", 2, ""));
    alice.expect(&mut sim, "486");
    bob.dialog(&sim);
    hang_up(&mut sim, bob, alice);
    rest(&mut sim, &[bob]);
}

/// IC-18, IC-19, IC-20, C080: the ACK for a refusal.
#[test]
fn ic_18_ack_for_refusals() {
    let mut sim = world();
    let (alice, bob) = (alice(&mut sim), sim.puppet("bob"));
    let proxy = uri_of(&format!("{};lr", uri(&sim, bob)));
    let outgoing = Phone::offer("sip:bob@192.0.2.9")
        .route(proxy)
        .header(HeaderName::AUTHORIZATION, HeaderValue::from_static("Digest username=\"a\""))
        .header(HeaderName::PROXY_AUTHORIZATION, HeaderValue::from_static("Digest username=\"b\""))
        .header(HeaderName::REQUIRE, HeaderValue::from_static("foo"));
    alice.send(&mut sim, outgoing);
    let invite = bob.expect(&mut sim, "INVITE");
    let refusal = branch_says(&invite, 420, "b", "Record-Route: <sip:other.example.com;lr>\n");
    bob.send(&mut sim, &refusal);
    let ack = bob.expect(&mut sim, "ACK");
    assert_eq!(ack.uri(), invite.uri());
    for name in ["Call-ID", "From", "Via"] {
        assert_eq!(ack.headers(name), invite.headers(name), "{name}");
    }
    for name in ["Route", "Authorization", "Proxy-Authorization"] {
        assert_eq!(ack.headers(name), invite.headers(name), "{name}");
        assert_eq!(ack.headers(name).len(), 1, "{name}");
    }
    assert_eq!(field(&ack, "To"), format!("{};tag=b", field(&invite, "To")));
    assert_eq!((field(&ack, "CSeq"), field(&ack, "Max-Forwards")), ("1 ACK".into(), "70".into()));
    assert_eq!((ack.headers("Require").len(), ack.body().len()), (0, 0));
    bob.send(&mut sim, &refusal);
    assert_eq!(bob.expect(&mut sim, "ACK").bytes, ack.bytes, "IC-10");
    rest(&mut sim, &[alice]);
}

/// NS-11, NS-12, NS-13, C077: nothing provisional answers a request other than INVITE but a 100 after 3.5 s.
#[test]
fn ns_11_no_provisionals() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2").other(Manner::Later));
    let alice = sim.puppet("alice");
    alice.send_to(&mut sim, bob.addr(), &request("MESSAGE", "one", ""));
    sim.run_for(ms(3400));
    let refused = bob.act(&mut sim, |phone, cx| phone.progress(cx, Reply::ringing()));
    assert_eq!(refused, Err(ProvisionalError::NotInvite));
    alice.expect_none(&mut sim, ms(100));
    alice.expect_within(&mut sim, "100", ms(2));
    bob.answer(&mut sim, Reply::ok());
    alice.expect(&mut sim, "200");
    rest(&mut sim, &[bob]);
}

/// NS-14, RFC 4320 §4.2: 408 never answers a request other than INVITE, at once or later; the peer gets 500.
#[test]
fn ns_14_no_408() {
    for manner in [Manner::Now(Reply::status(StatusCode::REQUEST_TIMEOUT)), Manner::Later] {
        let mut sim = world();
        let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2").other(manner.clone()));
        let alice = sim.puppet("alice");
        alice.send_to(&mut sim, bob.addr(), &request("MESSAGE", "one", ""));
        if matches!(manner, Manner::Later) {
            sim.run_for(ms(1000));
            bob.answer(&mut sim, Reply::status(StatusCode::REQUEST_TIMEOUT));
        }
        alice.expect_within(&mut sim, "500", ms(10));
        rest(&mut sim, &[bob]);
    }
}

/// A provisional status is no answer: the INVITE gets 500 instead of nothing for ever.
#[test]
fn provisional_is_no_answer() {
    for manner in [Manner::Now(Reply::ringing()), Manner::Later] {
        let mut sim = world();
        let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2").invite(manner.clone()));
        let alice = sim.puppet("alice");
        alice.send_to(&mut sim, bob.addr(), &invite("one"));
        if matches!(manner, Manner::Later) {
            sim.run_for(ms(1000));
            bob.answer(&mut sim, Reply::ringing());
        }
        let refusal = alice.expect_within(&mut sim, "500", ms(10));
        alice.send(&mut sim, &ack_refusal(&refusal));
        rest(&mut sim, &[bob]);
        assert!(!bob.heard(&sim, &News::ServerEnded(ServerEnd::NoAck)));
    }
}

/// C076: T1 and T2 are configured, and what began keeps what it began with.
#[test]
fn c076_configured_timers() {
    let mut sim = world();
    let mut config = sansip::Config::default();
    config.timing.t1 = ms(100);
    config.timing.t2 = ms(400);
    config.limits.answer = Duration::from_secs(6);
    let alice = Ua::configured(&mut sim, "alice", config, Phone::new("10.1.0.1"));
    let bob = sim.puppet("bob");
    let options = to(&sim, bob, Method::Options);
    alice.send(&mut sim, options);
    sim.run_for(ms(1));
    alice.act(&mut sim, |_, cx| cx.configure(sansip::Config::default())).expect("it is valid");
    rest(&mut sim, &[alice]);
    let steady = (0..).map(|n| 700 + 400 * n).take_while(|at| *at < 6400);
    let expected: Vec<u64> = [0, 100, 300].into_iter().chain(steady).collect();
    assert_eq!(times(&sim, alice, "OPTIONS"), expected);
}
