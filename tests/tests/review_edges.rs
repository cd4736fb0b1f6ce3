//! What only an odd peer, or an odd moment, brings about; each fed by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sansip::{
    ClientUpdate, Config, DialogEnd, Input, Method, Outgoing, Output, Records, Reply, SendError, Void,
};
use sansip_tests::{
    ByHand, Conduct, Note, Phone, Raw, answer, field, from_peer, invite, methods, of_method, offer, only,
    statuses, uri_of,
};

const CONTACT: &str = "Contact: <sip:bob@192.0.2.9:5060>";

fn hand(change: impl FnOnce(&mut Config)) -> ByHand {
    let mut config = Config::default();
    change(&mut config);
    ByHand::new(config, Phone::new())
}

fn bob() -> sansip::UriBuf {
    uri_of("sip:bob@192.0.2.9:5060")
}

/// RFC 3261 §8.1.1.8, §12.1.1: an INVITE whose Contact no request can be sent to makes no dialog, so it is not accepted.
#[test]
fn an_invite_without_a_usable_contact_is_refused() {
    for contact in ["<tel:+15551234>", "<mailto:bob@example.com>"] {
        let mut hand = hand(|_| ());
        let text = Raw::new("INVITE", 1).text().replace("<sip:peer@192.0.2.9:5060>", contact);
        assert!(text.contains(contact));
        assert_eq!(statuses(&hand.datagram(text)), [400], "{contact}");
    }
}

/// RFC 3261 §14.1: no INVITE in a dialog whose first one is still under way.
#[test]
fn no_reinvite_before_the_first_invite_is_answered() {
    let mut hand = hand(|_| ());
    let request = hand.send(invite(bob()));
    hand.datagram(answer(&request, 180, "b1", &[CONTACT]));
    let dialog = hand.first_dialog();
    let (again, wanted) = hand.act(|_, cx| cx.request(Outgoing::in_dialog(Method::Invite, dialog)));
    assert_eq!((again, methods(&wanted).len()), (Err(SendError::InviteUnderWay), 0));
}

/// RFC 3261 §14.2: an INVITE of the peer's in that dialog gets 491.
#[test]
fn an_invite_that_crosses_the_first_one_gets_491() {
    let mut hand = hand(|_| ());
    let request = hand.send(invite(bob()));
    hand.datagram(answer(&request, 180, "b1", &[CONTACT]));
    let crossing = from_peer(&request, "b1", "INVITE", 5, &format!("{CONTACT}\r\n"));
    assert_eq!(statuses(&hand.datagram(crossing)), [491]);
}

/// RFC 3262 §7.1: RSeq counts within one transaction, so a re-INVITE's provisional responses begin anew.
#[test]
fn rl_05_rseq_begins_anew_with_each_invite() {
    let mut hand = hand(|_| ());
    let request = hand.send(invite(bob()));
    let reliable = |rseq: &'static str| [CONTACT, "Require: 100rel", rseq];
    let wanted = hand.datagram(answer(&request, 183, "b1", &reliable("RSeq: 900")));
    assert_eq!(field(&of_method(&wanted, "PRACK"), "RAck"), "900 1 INVITE");
    hand.datagram(answer(&of_method(&wanted, "PRACK"), 200, "b1", &[]));
    hand.datagram(answer(&request, 200, "b1", &[CONTACT]));
    let dialog = hand.first_dialog();
    for rseq in ["RSeq: 7", "RSeq: 5000"] {
        let again = hand.send(Outgoing::in_dialog(Method::Invite, dialog).body(offer()));
        let wanted = hand.datagram(answer(&again, 183, "b1", &reliable(rseq)));
        let rack = format!("{} {}", &rseq["RSeq: ".len()..], field(&again, "CSeq"));
        assert_eq!(field(&of_method(&wanted, "PRACK"), "RAck"), rack);
        let copy = hand.datagram(answer(&again, 183, "b1", &reliable(rseq)));
        assert!(methods(&copy).is_empty(), "a copy is not acknowledged again");
        hand.datagram(answer(&again, 200, "b1", &[CONTACT]));
    }
}

/// RFC 3261 §13.2.2.4: a peer that makes up forks is acknowledged, but only so often; what is kept of it has a bound.
#[test]
fn forks_of_one_invite_are_bounded() {
    for limit in [1, 3] {
        let mut hand = hand(|config| config.limits.dialogs_per_call = limit);
        let request = hand.send(invite(bob()));
        let mut acked = 0;
        for fork in 0..20 {
            let wanted = hand.datagram(answer(&request, 200, &format!("b{fork}"), &[CONTACT]));
            acked += methods(&wanted).iter().filter(|method| *method == "ACK").count();
            if methods(&wanted).contains(&"BYE".to_owned()) {
                hand.datagram(answer(&of_method(&wanted, "BYE"), 200, "", &[]));
            }
        }
        assert_eq!(acked, 2 * limit, "as many with a dialog as without");
        let copy = hand.datagram(answer(&request, 200, "b0", &[CONTACT]));
        assert_eq!(methods(&copy), ["ACK"], "those heard once are acknowledged on");
    }
}

/// RFC 5407 §3.1.6: a fork that was ended for want of room stays ended when there is room again.
#[test]
fn a_fork_given_up_does_not_come_back() {
    let mut hand = hand(|config| config.limits.dialogs_per_call = 1);
    let request = hand.send(invite(bob()).keep_forks());
    hand.datagram(answer(&request, 200, "b1", &[CONTACT]));
    let other = hand.datagram(answer(&request, 200, "b2", &[CONTACT]));
    assert_eq!(methods(&other), ["ACK", "BYE"]);
    let dialog = hand.first_dialog();
    let (_, wanted) = hand.act(|_, cx| cx.bye(dialog));
    hand.datagram(answer(&of_method(&wanted, "BYE"), 200, "", &[]));
    let copy = hand.datagram(answer(&request, 200, "b2", &[CONTACT]));
    assert_eq!(methods(&copy), ["ACK"]);
    assert_eq!(hand.host.service().confirmed(), [dialog]);
    hand.pass(Duration::from_secs(70));
    assert!(hand.host.endpoint().is_idle());
}

/// RC-06, RFC 5407 §3.1.6: nor does a session that ended before its ACK had found its way.
#[test]
fn rc_06_a_session_that_ended_before_its_ack_left_does_not_come_back() {
    let mut hand = hand(|_| ());
    let request = hand.send(invite(bob()));
    let named = ["Contact: <sip:bob@pc.example.com:5060>"];
    let wanted = hand.datagram(answer(&request, 200, "b1", &named));
    let [Output::Resolve { query, .. }] = wanted[..] else { panic!("{wanted:?}") };
    assert_eq!(statuses(&hand.datagram(from_peer(&request, "b1", "BYE", 1, ""))), [200]);
    let records = Records::Addresses { addresses: vec![ByHand::PEER.ip()], ttl: Duration::from_secs(60) };
    let found = hand.feed(Input::Resolved { query, result: Ok(records) });
    assert_eq!(methods(&found), ["ACK"]);
    hand.datagram(answer(&request, 200, "b1", &named));
    assert_eq!(hand.host.service().confirmed().len(), 1);
    hand.pass(Duration::from_secs(70));
    assert!(hand.host.endpoint().is_idle());
}

/// RFC 3261 §13.3.1.4: an INVITE whose early dialog has run out of time is not accepted afterwards, since its ACK would
/// belong to nothing.
#[test]
fn an_invite_ends_with_its_early_dialog() {
    let mut config = Config::default();
    config.dialog = Duration::from_secs(5);
    let mut hand = ByHand::new(config, Phone::new().invites(Conduct::RingAndDefer));
    assert_eq!(statuses(&hand.datagram(Raw::new("INVITE", 1).text())), [180]);
    let wanted = hand.pass(Duration::from_millis(5100));
    assert_eq!(statuses(&wanted), [487]);
    assert_eq!(hand.host.service().dialog_ends(), [DialogEnd::Expired]);
    assert!(hand.host.service().notes.iter().any(|note| matches!(note, Note::Voided(_, Void::Died))));
    let (late, wanted) = hand.act(|phone, cx| {
        let pending = phone.pending.pop().expect("it was asked");
        cx.answer(pending, Reply::ok())
    });
    assert!(late.is_err() && wanted.is_empty());
}

/// Design §2.5: a panic costs what it happened in, and nothing else; watches are callbacks too.
#[test]
fn a_watch_that_panics_costs_itself_only() {
    let mut hand = hand(|_| ());
    let calls = Arc::new(AtomicUsize::new(0));
    let (counted, now) = (calls.clone(), hand.now());
    let watch = move |_: ClientUpdate<'_>| {
        counted.fetch_add(1, Ordering::Relaxed);
        panic!("a watch that panics");
    };
    hand.host.request(now, Outgoing::options(bob()), watch).expect("there is a socket");
    let request = only(&hand.feed(Input::Timeout));
    hand.datagram(answer(&request, 200, "b1", &[]));
    assert_eq!(calls.load(Ordering::Relaxed), 1, "it is not called again");
    assert_eq!(hand.host.endpoint().stats().panics, 1);
    assert_eq!(statuses(&hand.datagram(Raw::new("OPTIONS", 1).text())), [200]);
}

/// RFC 3261 §15, RFC 5407 §2: a re-INVITE is not accepted in a dialog that ended while its question was open.
#[test]
fn a_reinvite_is_not_accepted_in_a_dialog_that_is_ending() {
    let mut config = Config::default();
    config.limits.connections = 0;
    let mut hand = ByHand::new(config, Phone::new().invites(Conduct::Defer));
    let over_tcp =
        |raw: Raw| raw.text().replace("<sip:peer@192.0.2.9:5060>", "<sip:peer@192.0.2.9;transport=tcp>");
    let accept = |phone: &mut Phone, cx: &mut sansip::Cx<'_>| {
        cx.answer(phone.pending.pop().expect("it was asked"), Reply::ok()).expect("it is open");
    };
    hand.datagram(over_tcp(Raw::new("INVITE", 1)));
    let (_, wanted) = hand.act(accept);
    let tag = field(&only(&wanted), "To").rsplit_once("tag=").expect("a tag").1.to_owned();
    let in_dialog = |method, number, cseq| over_tcp(Raw::new(method, number).cseq(cseq).within(1, &tag));
    hand.datagram(in_dialog("ACK", 2, 1));
    assert_eq!(hand.host.service().acked(), 1);
    hand.datagram(in_dialog("INVITE", 3, 2));
    let dialog = hand.first_dialog();
    // There is no room for the connection, so the BYE ends the dialog at once.
    let (_, wanted) = hand.act(|_, cx| cx.bye(dialog));
    assert_eq!(statuses(&wanted), [487]);
    let (late, wanted) =
        hand.act(|phone, cx| cx.answer(phone.pending.pop().expect("it was asked"), Reply::ok()));
    assert_eq!((late, statuses(&wanted)), (Err(sansip::Gone), vec![]));
}
