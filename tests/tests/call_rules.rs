//! Rules of INVITE, of dialogs and of reliable provisional responses, each shown on one endpoint fed by hand.

use std::time::Duration;

use sansip::{
    ClientEnd, Config, DialogEnd, DialogHandle, HeaderName, HeaderValue, IoKind, Method, Outgoing,
    ProvisionalError, Reply, StatusCode, Void,
};
use sansip_tests::{
    ByHand, Conduct, Note, Phone, Raw, answer, field, from_peer, invite, messages, methods, of_method, offer,
    only, statuses, uri_of,
};

const CONTACT: &str = "Contact: <sip:bob@192.0.2.9:5060>";

fn hand(phone: Phone) -> ByHand {
    ByHand::new(Config::default(), phone)
}

fn bob() -> sansip::UriBuf {
    uri_of("sip:bob@192.0.2.9:5060")
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Calls the peer, who accepts; returns the INVITE and the dialog.
fn called(hand: &mut ByHand) -> (String, DialogHandle) {
    let request = hand.send(invite(bob()));
    hand.datagram(answer(&request, 200, "b1", &[CONTACT]));
    let dialog = hand.first_dialog();
    (request, dialog)
}

fn lines<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.starts_with(name)).collect()
}

fn tag_of(response: &str) -> String {
    field(response, "To").rsplit_once("tag=").expect("a tag").1.to_owned()
}

/// Rings the oldest question.
fn ring(hand: &mut ByHand, reply: Reply) -> (Result<(), ProvisionalError>, Vec<String>) {
    let (rung, wanted) = hand.act(|phone, cx| cx.provisional(&phone.pending[0], reply));
    (rung, messages(&wanted))
}

/// C079, IS-02, UA-02: an INVITE that nobody answers within 200 ms gets a 100 with its Timestamp and without a To tag; one
/// that rings in time gets none.
#[test]
fn c079_trying() {
    for rings in [false, true] {
        let mut hand = hand(Phone::new().invites(Conduct::Defer));
        assert!(hand.datagram(Raw::new("INVITE", 1).field("Timestamp", "54").text()).is_empty());
        hand.pass(ms(199));
        if rings {
            assert!(ring(&mut hand, Reply::ringing()).0.is_ok());
        }
        let wanted = hand.pass(ms(1));
        assert_eq!(statuses(&wanted).len(), usize::from(!rings));
        if !rings {
            let trying = only(&wanted);
            assert!(trying.starts_with("SIP/2.0 100 "));
            assert_eq!((field(&trying, "Timestamp"), field(&trying, "To")), ("54", "<sip:us@example.com>"));
        }
        assert_eq!(statuses(&hand.pass(Duration::from_secs(30))), [0; 0], "once");
    }
}

/// C087, UA-09, RFC 3261 §13.3.1: an INVITE that expires by its own word gets 487, and what is malformed counts as absent.
#[test]
fn c087_an_invite_expires_at_the_callee() {
    let mut hand = hand(Phone::new().invites(Conduct::RingAndDefer));
    hand.datagram(Raw::new("INVITE", 1).field("Expires", "2").text());
    assert_eq!(statuses(&hand.pass(ms(1999))), [0; 0]);
    assert_eq!(statuses(&hand.pass(ms(1))), [487]);
    assert_eq!(hand.host.service().dialog_ends(), [DialogEnd::Cancelled]);
    assert!(hand.host.service().notes.iter().any(|note| matches!(note, Note::Voided(_, Void::Deadline))));
    hand.datagram(Raw::new("INVITE", 2).field("Expires", "soon").text());
    // The refusal of the first one has no ACK and is repeated.
    assert!(statuses(&hand.pass(Duration::from_secs(20))).iter().all(|status| *status == 487));
    assert_eq!(hand.host.service().dialog_ends().len(), 1, "the second one still rings");
}

/// C087, UA-09, CN-01, RFC 3261 §13.2.1: so does one of ours, which is cancelled then.
#[test]
fn c087_an_invite_expires_at_the_caller() {
    let mut hand = hand(Phone::new());
    let expires = HeaderValue::from_static("3");
    let request = hand.send(invite(bob()).header(HeaderName::EXPIRES, expires));
    assert_eq!(field(&request, "Expires"), "3");
    hand.datagram(answer(&request, 180, "b1", &[CONTACT]));
    assert_eq!(methods(&hand.pass(ms(2999))), [""; 0]);
    let wanted = hand.pass(ms(1));
    let cancel = of_method(&wanted, "CANCEL");
    hand.datagram(answer(&cancel, 200, "b1", &[]));
    assert_eq!(methods(&hand.datagram(answer(&request, 487, "b1", &[]))), ["ACK"]);
    assert_eq!(hand.host.service().dialog_ends(), [DialogEnd::Cancelled]);
}

/// UA-15, RL-01, RL-11: a reliable provisional response goes only to who supports that, says what it requires, and has all
/// that a dialog is made of.
#[test]
fn ua_15_reliable_responses_go_to_who_supports_them() {
    let mut hand = hand(Phone::new().invites(Conduct::Defer));
    let route = "<sip:192.0.2.8;lr>";
    hand.datagram(Raw::new("INVITE", 1).field("Record-Route", route).text());
    assert_eq!(ring(&mut hand, Reply::ringing().reliable()).0, Err(ProvisionalError::NotSupported));
    let (_, plain) = ring(&mut hand, Reply::ringing());
    assert!(lines(&plain[0], "Require").is_empty() && lines(&plain[0], "RSeq").is_empty());
    hand.act(|phone, _| phone.pending.clear());
    hand.datagram(Raw::new("INVITE", 2).field("Record-Route", route).field("Supported", "100rel").text());
    let (_, reliable) = ring(&mut hand, Reply::ringing().reliable());
    assert_eq!(field(&reliable[0], "Require"), "100rel");
    assert_eq!(field(&reliable[0], "Record-Route"), route);
    assert!(field(&reliable[0], "Contact").contains("192.0.2.1") && !tag_of(&reliable[0]).is_empty());
}

/// UA-16, RFC 3261 §8.2: a request that is refused changes nothing.
#[test]
fn ua_16_a_refused_request_changes_nothing() {
    let mut hand = hand(Phone::new());
    let (request, dialog) = called(&mut hand);
    let before = hand.host.service().notes.len();
    for method in ["BYE", "INVITE"] {
        let refused = from_peer(&request, "b1", method, 5, &format!("{CONTACT}\r\nRequire: magic\r\n"));
        assert_eq!(statuses(&hand.datagram(refused)), [420]);
    }
    let view = hand.host.endpoint().dialog(dialog).expect("it lives");
    assert!(!view.is_ending());
    assert_eq!(view.remote_seq(), None);
    assert_eq!(hand.host.service().notes.len(), before);
}

/// DL-19, RFC 3261 §12.2.1.1: From and To stay what they were; only tags tell dialogs.
#[test]
fn dl_19_names_stay_as_established() {
    let mut hand = hand(Phone::new());
    let (request, dialog) = called(&mut hand);
    let (to, from) = (field(&request, "To").to_owned(), field(&request, "From").to_owned());
    let tag = from.rsplit_once("tag=").expect("a tag").1;
    let info = from_peer(&request, "b1", "INFO", 5, "")
        .replace(&format!("From: {to}"), "From: \"New\" <sip:new@example.net>")
        .replace(&format!("To: {from}"), &format!("To: <sip:else@example.net>;tag={tag}"));
    assert_eq!(statuses(&hand.datagram(info)), [200]);
    let bye = of_method(&hand.act(|_, cx| cx.bye(dialog)).1, "BYE");
    assert_eq!((field(&bye, "From"), field(&bye, "To")), (&*from, &*format!("{to};tag=b1")));
}

/// RL-06, CF-13: each early dialog of a fork counts its RSeq for itself, and a 100 is never reliable.
#[test]
fn rl_06_rseq_counts_in_each_early_dialog() {
    let mut hand = hand(Phone::new());
    let request = hand.send(invite(bob()));
    let reliable = |tag: &str, status, rseq: &str| {
        answer(&request, status, tag, &[CONTACT, "Require: 100rel", &format!("RSeq: {rseq}")])
    };
    assert!(methods(&hand.datagram(reliable("", 100, "5"))).is_empty());
    for (tag, rseq) in [("b1", "10"), ("b2", "500"), ("b1", "11"), ("b2", "501")] {
        let prack = of_method(&hand.datagram(reliable(tag, 183, rseq)), "PRACK");
        assert_eq!(field(&prack, "RAck"), format!("{rseq} 1 INVITE"));
        assert!(field(&prack, "To").ends_with(&format!(";tag={tag}")));
    }
    assert!(methods(&hand.datagram(reliable("b1", 183, "501"))).is_empty(), "there it leaves a gap");
}

/// RL-12, IC-11, IC-15: reliable provisional responses that come after the final one are dropped.
#[test]
fn rl_12_reliable_responses_after_the_final_one() {
    for status in [200, 486] {
        let mut hand = hand(Phone::new());
        let request = hand.send(invite(bob()));
        let late = answer(&request, 183, "b1", &[CONTACT, "Require: 100rel", "RSeq: 1"]);
        assert_eq!(methods(&hand.datagram(answer(&request, status, "b1", &[CONTACT]))), ["ACK"]);
        assert_eq!(methods(&hand.datagram(late)), [""; 0], "{status}");
    }
}

/// RC-12, RL-08: a 2xx that carries no session description may pass the PRACK of a provisional response without one; the
/// PRACK gets 200 all the same, once.
#[test]
fn rc_12_a_prack_after_the_2xx() {
    let mut hand = hand(Phone::new().invites(Conduct::Defer));
    hand.datagram(Raw::new("INVITE", 1).field("Supported", "100rel").text());
    let (_, sent) = ring(&mut hand, Reply::ringing().reliable());
    let (rseq, tag) = (field(&sent[0], "RSeq").to_owned(), tag_of(&sent[0]));
    let (_, wanted) = hand.act(|phone, cx| cx.answer(phone.pending.pop().expect("asked"), Reply::ok()));
    assert_eq!(statuses(&wanted), [200]);
    let copies = messages(&hand.pass(ms(600)));
    assert_eq!(copies.iter().filter(|text| text.contains("RSeq")).count(), 0, "the series has ended");
    let prack = |number, cseq| {
        let rack = format!("{rseq} 1 INVITE");
        Raw::new("PRACK", number).within(1, &tag).cseq(cseq).field("RAck", &rack).text()
    };
    assert_eq!(statuses(&hand.datagram(prack(2, 2))), [200]);
    assert_eq!(statuses(&hand.datagram(prack(3, 3))), [481]);
}

/// CF-10, DL-18: an INVITE is under way until the ACK, not until Timer L or M: the next one may follow at once, either way.
#[test]
fn cf_10_the_next_invite_follows_the_ack() {
    let mut hand = hand(Phone::new());
    let (request, dialog) = called(&mut hand);
    let theirs = from_peer(&request, "b1", "INVITE", 5, &format!("{CONTACT}\r\n"));
    assert_eq!(statuses(&hand.datagram(theirs)), [200]);
    let refused = hand.act(|_, cx| cx.request(Outgoing::in_dialog(Method::Invite, dialog))).0;
    assert!(refused.is_err(), "theirs waits for its ACK");
    hand.datagram(from_peer(&request, "b1", "ACK", 5, ""));
    let ours = hand.send(Outgoing::in_dialog(Method::Invite, dialog).body(offer()));
    assert!(ours.starts_with("INVITE "));
}

/// CF-09, DL-12, DL-17, RFC 3261 §12.2.1.2: the session ends with BYE when the peer leaves a request in it without answer.
#[test]
fn cf_09_silence_in_a_dialog_ends_the_session() {
    let mut hand = hand(Phone::new());
    let (_, dialog) = called(&mut hand);
    let (client, _) = hand.act(|_, cx| cx.request(Outgoing::in_dialog(Method::Info, dialog)));
    assert!(!methods(&hand.pass(ms(31_999))).contains(&"BYE".to_owned()));
    let bye = of_method(&hand.pass(ms(1)), "BYE");
    assert_eq!(hand.host.service().end_of(client.expect("it was sent")), Some(ClientEnd::Timeout));
    hand.datagram(answer(&bye, 200, "", &[]));
    assert_eq!(hand.host.service().dialog_ends(), [DialogEnd::Unreachable]);
}

/// CF-02, IS-18: a response that cannot be sent is told, and the transaction goes on.
#[test]
fn cf_02_a_response_that_cannot_be_sent_is_told() {
    let mut config = Config::default();
    config.limits.connections = 1;
    let mut hand = ByHand::new(config, Phone::new().invites(Conduct::Defer));
    let (conn, _) = hand.accept();
    hand.received(conn, Raw::new("INVITE", 1).tcp().text());
    // The connection is gone, and there is no room for the one that would take its place.
    hand.feed(sansip::Input::Closed { conn, error: Some(IoKind::Reset) });
    hand.accept();
    hand.act(|phone, cx| cx.answer(phone.pending.pop().expect("asked"), Reply::busy()))
        .0
        .expect("it is open");
    let told = |note: &&Note| matches!(note, Note::Undelivered(..));
    assert_eq!(hand.host.service().notes.iter().filter(told).count(), 1);
    assert_eq!(hand.host.endpoint().calls(), 1, "it waits for the ACK");
    hand.pass(Duration::from_secs(33));
    assert_eq!(hand.host.endpoint().calls(), 0);
}

/// C109, RFC 5057 §5.1: why a dialog has ended is told.
#[test]
fn c109_why_a_dialog_has_ended() {
    for (status, end) in [(481, Some(481)), (404, Some(404)), (500, None), (486, None)] {
        let mut hand = hand(Phone::new());
        let (_, dialog) = called(&mut hand);
        let info = hand.send(Outgoing::in_dialog(Method::Info, dialog));
        let wanted = hand.datagram(answer(&info, status, "b1", &[]));
        assert_eq!(methods(&wanted).len(), usize::from(end.is_some()), "{status}");
        if end.is_some() {
            hand.datagram(answer(&of_method(&wanted, "BYE"), 200, "", &[]));
        }
        let status = |code| StatusCode::new(code).expect("a status");
        let ends: Vec<DialogEnd> = end.map(|code| DialogEnd::Refused(status(code))).into_iter().collect();
        assert_eq!(hand.host.service().dialog_ends(), ends);
    }
}
