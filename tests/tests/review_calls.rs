//! What dialogs and transactions owe to rules that few peers ever put to the test; each fed by hand.

use std::{net::IpAddr, time::Duration};

use sansip::{
    Body, Config, DialogChange, DialogHandle, Input, Method, Outgoing, Output, QueryId, Records, Reply,
};
use sansip_tests::{
    ByHand, Conduct, Note, Phone, Raw, answer, field, from_peer, invite, messages, methods, of_method, only,
    statuses, uri_of,
};

const CONTACT: &str = "Contact: <sip:bob@192.0.2.9:5060>";
const MOVED: &str = "Contact: <sip:bob@192.0.2.9:5070>";
const AGAIN: &str = "Contact: <sip:bob@192.0.2.9:5080>";

fn hand(phone: Phone) -> ByHand {
    let mut config = Config::default();
    config.allow.push(Method::Update);
    ByHand::new(config, phone)
}

fn bob() -> sansip::UriBuf {
    uri_of("sip:bob@192.0.2.9:5060")
}

/// Calls the peer, who accepts; returns the INVITE and the dialog.
fn called(hand: &mut ByHand, contact: &str) -> (String, DialogHandle) {
    let request = hand.send(invite(bob()));
    hand.datagram(answer(&request, 200, "b1", &[contact]));
    let dialog = hand.first_dialog();
    (request, dialog)
}

/// Takes a call of the peer's; returns the tag and the dialog.
fn taken(hand: &mut ByHand) -> (String, DialogHandle) {
    let wanted = hand.datagram(Raw::new("INVITE", 1).text());
    let wanted = match hand.host.service().pending.is_empty() {
        true => wanted,
        false => accept(hand),
    };
    let tag = tag_of(&only(&wanted));
    hand.datagram(Raw::new("ACK", 2).within(1, &tag).text());
    (tag, hand.first_dialog())
}

fn accept(hand: &mut ByHand) -> Vec<Output> {
    let (_, wanted) = hand.act(|phone, cx| {
        cx.answer(phone.pending.pop().expect("it was asked"), Reply::ok()).expect("it is open");
    });
    wanted
}

fn tag_of(response: &str) -> String {
    field(response, "To").rsplit_once("tag=").expect("a tag").1.to_owned()
}

/// Returns the peer's Contact, in angle brackets.
fn target(hand: &ByHand, dialog: DialogHandle) -> String {
    let view = hand.host.endpoint().dialog(dialog).expect("the dialog lives");
    format!("Contact: <{}>", view.remote_target())
}

fn refreshes(hand: &ByHand) -> usize {
    let refreshed = |note: &&Note| matches!(note, Note::Dialog(_, DialogChange::TargetRefreshed));
    hand.host.service().notes.iter().filter(refreshed).count()
}

/// DL-09, CF-08, RFC 6141 §4.6: an UPDATE moves the peer when it is accepted, and not when it is refused.
#[test]
fn dl_09_an_update_moves_the_peer() {
    for (status, now) in [(200, MOVED), (504, CONTACT)] {
        let reply = Reply::status(sansip::StatusCode::new(status).expect("a status"));
        let mut hand = hand(Phone::new().others(Conduct::Answer(reply)));
        let (request, dialog) = called(&mut hand, CONTACT);
        let wanted = hand.datagram(from_peer(&request, "b1", "UPDATE", 5, &format!("{MOVED}\r\n")));
        assert_eq!(statuses(&wanted), [status]);
        assert_eq!(target(&hand, dialog), now);
        assert_eq!(refreshes(&hand), usize::from(now == MOVED));
        if now == MOVED {
            // RFC 3311 §4: a 2xx to UPDATE has a Contact.
            assert!(field(&only(&wanted), "Contact").contains(&ByHand::ADDR.to_string()));
        }
    }
}

/// DL-09, RFC 6141 §4.7: so does the 2xx to an UPDATE of ours, and no refusal.
#[test]
fn dl_09_an_accepted_update_of_ours_moves_the_peer() {
    let mut hand = hand(Phone::new());
    let (_, dialog) = called(&mut hand, CONTACT);
    for (status, now) in [(500, CONTACT), (200, MOVED)] {
        let update = hand.send(Outgoing::in_dialog(Method::Update, dialog));
        hand.datagram(answer(&update, status, "b1", &[MOVED]));
        assert_eq!(target(&hand, dialog), now, "{status}");
    }
    let info = hand.send(Outgoing::in_dialog(Method::Info, dialog));
    assert!(info.starts_with("INFO sip:bob@192.0.2.9:5070 SIP/2.0"), "{info}");
    hand.datagram(answer(&info, 200, "b1", &[AGAIN]));
    assert_eq!(target(&hand, dialog), MOVED, "INFO refreshes nothing");
}

/// DL-09, DL-10, RFC 6141 §4.7, §4.9: of the provisional responses only the reliable ones move the peer, in an early
/// dialog too.
#[test]
fn dl_10_reliable_provisional_responses_move_the_peer() {
    let mut hand = hand(Phone::new());
    let request = hand.send(invite(bob()));
    hand.datagram(answer(&request, 180, "b1", &[CONTACT]));
    let dialog = hand.first_dialog();
    hand.datagram(answer(&request, 180, "b1", &[MOVED]));
    assert_eq!(target(&hand, dialog), CONTACT, "an unreliable one");
    let wanted = hand.datagram(answer(&request, 183, "b1", &[MOVED, "Require: 100rel", "RSeq: 1"]));
    assert_eq!(target(&hand, dialog), MOVED);
    assert!(of_method(&wanted, "PRACK").starts_with("PRACK sip:bob@192.0.2.9:5070 "));
    assert_eq!(refreshes(&hand), 1);
    hand.datagram(answer(&request, 183, "b1", &[AGAIN, "Require: 100rel", "RSeq: 3"]));
    assert_eq!(target(&hand, dialog), MOVED, "one that is out of order counts for nothing");
}

/// DL-09, RFC 6141 §4.4, §4.6: the reliable provisional response to a re-INVITE takes its Contact over, and a refusal
/// afterwards does not undo that; the unreliable one takes nothing over.
#[test]
fn dl_09_a_reinvite_moves_the_peer_with_its_reliable_provisional_response() {
    let mut hand = hand(Phone::new().invites(Conduct::Defer));
    let (tag, dialog) = taken(&mut hand);
    let old = target(&hand, dialog);
    let again = Raw::new("INVITE", 3).within(1, &tag).cseq(2).field("Supported", "100rel").text();
    hand.datagram(again.replace("<sip:peer@192.0.2.9:5060>", "<sip:bob@192.0.2.9:5070>"));
    let ring = |reply: Reply| {
        move |phone: &mut Phone, cx: &mut sansip::Cx<'_>| {
            cx.provisional(&phone.pending[0], reply).expect("it is open");
        }
    };
    hand.act(ring(Reply::ringing()));
    assert_eq!(target(&hand, dialog), old, "an unreliable one");
    hand.act(ring(Reply::ringing().reliable()));
    assert_eq!(target(&hand, dialog), MOVED);
    hand.act(|phone, cx| {
        cx.answer(phone.pending.pop().expect("it was asked"), Reply::busy()).expect("it is open");
    });
    assert_eq!(target(&hand, dialog), MOVED, "a refusal does not undo it");
}

/// DL-09, RFC 6141 §4.8: of two requests that move the peer the one with the higher CSeq is the newer one, whichever is
/// answered first.
#[test]
fn dl_09_the_newest_request_that_moves_the_peer_wins() {
    let mut hand = hand(Phone::new().invites(Conduct::Defer));
    let (tag, dialog) = taken(&mut hand);
    let again = Raw::new("INVITE", 3).within(1, &tag).cseq(2).text();
    hand.datagram(again.replace("<sip:peer@192.0.2.9:5060>", "<sip:bob@192.0.2.9:5070>"));
    let update = Raw::new("UPDATE", 4).within(1, &tag).cseq(3).field("Contact", "<sip:bob@192.0.2.9:5080>");
    assert_eq!(statuses(&hand.datagram(update.text())), [200]);
    assert_eq!(target(&hand, dialog), AGAIN);
    assert_eq!(statuses(&accept(&mut hand)), [200]);
    assert_eq!(target(&hand, dialog), AGAIN);
}

/// DL-04, DL-19, RFC 3261 §12.1.2: what is local in a dialog is as it was sent, whatever the peer made of it in its
/// response.
#[test]
fn dl_04_what_is_local_is_not_the_peers_to_say() {
    let mut hand = hand(Phone::new());
    let request = hand.send(invite(bob()));
    let mangled = answer(&request, 200, "b1", &[MOVED])
        .replace("CSeq: 1 INVITE", "CSeq: 2147483647 INVITE")
        .replace(field(&request, "From"), "<sip:other@example.com>;tag=other")
        .replace(field(&request, "To"), "<sip:bobby@example.net>");
    let ack = of_method(&hand.datagram(mangled), "ACK");
    let dialog = hand.first_dialog();
    let (_, wanted) = hand.act(|_, cx| cx.bye(dialog));
    for (text, cseq) in [(ack, "1 ACK"), (of_method(&wanted, "BYE"), "2 BYE")] {
        assert_eq!(field(&text, "CSeq"), cseq);
        assert_eq!(field(&text, "From"), field(&request, "From"));
        assert_eq!(field(&text, "To"), format!("{};tag=b1", field(&request, "To")));
    }
}

/// DL-11, RFC 3261 §12.2.1.2: nor do responses to one request make one dialog twice, or a second one out of a re-INVITE.
#[test]
fn dl_11_a_peer_that_changes_tags_makes_no_more_dialogs() {
    let mut hand = hand(Phone::new());
    let request = hand.send(invite(bob()));
    for tag in ["x", "y", "z"] {
        let from = field(&request, "From").to_owned();
        let ringing = answer(&request, 180, "b1", &[CONTACT]);
        hand.datagram(ringing.replace(&from, &format!("<sip:a@example.com>;tag={tag}")));
    }
    hand.datagram(answer(&request, 200, "b1", &[CONTACT]));
    let dialog = hand.first_dialog();
    let again = hand.send(Outgoing::in_dialog(Method::Invite, dialog));
    let to = field(&again, "To").to_owned();
    hand.datagram(answer(&again, 180, "", &[CONTACT]).replace(&to, "<sip:bob@192.0.2.9:5060>;tag=b2"));
    let started = |note: &&Note| matches!(note, Note::Dialog(_, DialogChange::Started));
    assert_eq!(hand.host.service().notes.iter().filter(started).count(), 1);
}

/// Answers a look-up with the peer's address.
fn found(hand: &mut ByHand, query: QueryId) -> Vec<Output> {
    let addresses: Vec<IpAddr> = vec![ByHand::PEER.ip()];
    let records = Records::Addresses { addresses, ttl: Duration::from_secs(60) };
    hand.feed(Input::Resolved { query, result: Ok(records) })
}

/// Returns the one look-up among outputs.
fn looked_up(outputs: &[Output]) -> QueryId {
    let query = |output: &Output| match output {
        Output::Resolve { query, .. } => Some(*query),
        _ => None,
    };
    let queries: Vec<_> = outputs.iter().filter_map(query).collect();
    assert_eq!(queries.len(), 1, "{outputs:?}");
    queries[0]
}

const NAMED: &str = "Contact: <sip:bob@pc.example.com:5060>";

fn begin(hand: &mut ByHand, outgoing: Outgoing) -> Vec<Output> {
    let (sent, wanted) = hand.act(|_, cx| cx.request(outgoing));
    sent.expect("there is a socket");
    wanted
}

fn cseqs(outputs: &[Output]) -> Vec<String> {
    messages(outputs).iter().map(|text| field(text, "CSeq").to_owned()).collect()
}

/// Calls the peer, who accepts and whose Contact is a name; the ACK has found its way.
fn called_by_name(hand: &mut ByHand) -> (String, DialogHandle) {
    let request = hand.send(invite(bob()));
    let query = looked_up(&hand.datagram(answer(&request, 200, "b1", &[NAMED])));
    assert_eq!(cseqs(&found(hand, query)), ["1 ACK"]);
    let dialog = hand.first_dialog();
    (request, dialog)
}

/// Has the peer move to a host that was not looked up before.
fn moves_to(hand: &mut ByHand, request: &str, cseq: u32, host: &str) {
    let contact = format!("Contact: <sip:bob@{host}:5060>\r\n");
    hand.datagram(from_peer(request, "b1", "UPDATE", cseq, &contact));
}

/// DL-06, RFC 3261 §12.2.1.1: requests in a dialog leave in the order of their CSeq, however long each look-up takes.
#[test]
fn dl_06_requests_leave_in_order_whenever_their_look_ups_end() {
    let mut hand = hand(Phone::new());
    let (request, dialog) = called_by_name(&mut hand);
    let info = || Outgoing::in_dialog(Method::Info, dialog);
    moves_to(&mut hand, &request, 5, "pc1.example.com");
    let first = looked_up(&begin(&mut hand, info()));
    moves_to(&mut hand, &request, 6, "pc2.example.com");
    let second = looked_up(&begin(&mut hand, info()));
    moves_to(&mut hand, &request, 7, "pc3.example.com");
    let (_, wanted) = hand.act(|_, cx| cx.bye(dialog));
    let third = looked_up(&wanted);
    assert_eq!(cseqs(&found(&mut hand, third)), [""; 0], "the BYE waits");
    assert_eq!(cseqs(&found(&mut hand, first)), ["2 INFO"]);
    assert_eq!(cseqs(&found(&mut hand, second)), ["3 INFO", "4 BYE"]);
}

/// DL-06: nor does one that needs no look-up overtake them, once the peer has moved to an address.
#[test]
fn dl_06_a_request_to_an_address_waits_for_one_to_a_name() {
    let mut hand = hand(Phone::new());
    let (request, dialog) = called_by_name(&mut hand);
    moves_to(&mut hand, &request, 5, "pc1.example.com");
    let query = looked_up(&begin(&mut hand, Outgoing::in_dialog(Method::Info, dialog)));
    hand.datagram(from_peer(&request, "b1", "UPDATE", 6, &format!("{MOVED}\r\n")));
    let (_, wanted) = hand.act(|_, cx| cx.bye(dialog));
    assert_eq!(cseqs(&wanted), [""; 0]);
    assert_eq!(cseqs(&found(&mut hand, query)), ["2 INFO", "3 BYE"]);
}

/// DL-06: those that wait go on when the one before them gives up, in whatever way.
#[test]
fn dl_06_who_gives_up_keeps_nobody_waiting() {
    for cancels in [true, false] {
        let mut hand = hand(Phone::new());
        let (request, dialog) = called_by_name(&mut hand);
        moves_to(&mut hand, &request, 5, "pc1.example.com");
        let (client, _) = hand.act(|_, cx| cx.request(Outgoing::in_dialog(Method::Invite, dialog)));
        moves_to(&mut hand, &request, 6, "pc2.example.com");
        let second = looked_up(&begin(&mut hand, Outgoing::in_dialog(Method::Info, dialog)));
        assert_eq!(cseqs(&found(&mut hand, second)), [""; 0]);
        let wanted = match cancels {
            true => hand.act(|_, cx| cx.cancel(client.expect("it was begun"))).1,
            false => hand.pass(Config::default().limits.resolve),
        };
        assert_eq!(cseqs(&wanted), ["3 INFO"]);
        for request in messages(&wanted) {
            hand.datagram(answer(&request, 481, "b1", &[]));
        }
        hand.pass(Duration::from_secs(120));
        assert!(hand.host.endpoint().is_idle());
    }
}

/// DL-06, UA-06: the ACK of a session that is not wanted leaves before its BYE.
#[test]
fn dl_06_the_ack_leaves_before_the_bye() {
    let mut hand = ByHand::new(
        {
            let mut config = Config::default();
            config.limits.dialogs_per_call = 1;
            config
        },
        Phone::new(),
    );
    let request = hand.send(invite(bob()));
    hand.datagram(answer(&request, 200, "b1", &[CONTACT]));
    let wanted = hand.datagram(answer(&request, 200, "b2", &[NAMED]));
    let query = looked_up(&wanted);
    assert_eq!(methods(&found(&mut hand, query)), ["ACK", "BYE"]);
}

/// RL-04, RL-08, RFC 3262 §3: a PRACK that acknowledges what has been acknowledged matches nothing; one for what was
/// outstanding when the INVITE was refused does.
#[test]
fn rl_04_a_second_prack_matches_nothing() {
    let mut hand = hand(Phone::new().invites(Conduct::Defer));
    let (tag, _) = taken(&mut hand);
    hand.datagram(Raw::new("INVITE", 3).within(1, &tag).cseq(2).field("Supported", "100rel").text());
    let ring = |hand: &mut ByHand| {
        let (_, wanted) = hand.act(|phone, cx| {
            cx.provisional(&phone.pending[0], Reply::ringing().reliable()).expect("it is open");
        });
        field(&only(&wanted), "RSeq").to_owned()
    };
    let prack = |number, cseq, rseq: &str| {
        Raw::new("PRACK", number).within(1, &tag).cseq(cseq).field("RAck", &format!("{rseq} 2 INVITE")).text()
    };
    let rseq = ring(&mut hand);
    assert_eq!(statuses(&hand.datagram(prack(4, 3, &rseq))), [200]);
    assert_eq!(statuses(&hand.datagram(prack(4, 3, &rseq))), [200], "a copy");
    assert_eq!(statuses(&hand.datagram(prack(5, 4, &rseq))), [481]);
    let rseq = ring(&mut hand);
    hand.act(|phone, cx| {
        cx.answer(phone.pending.pop().expect("it was asked"), Reply::busy()).expect("it is open");
    });
    assert_eq!(statuses(&hand.datagram(prack(6, 5, &rseq))), [200], "it was outstanding");
    assert_eq!(statuses(&hand.datagram(prack(7, 6, &rseq))), [481]);
}

/// UA-09, TMR-07, RFC 3261 §13.3.1.1: an INVITE that rings for long is told so each minute, and once only after the
/// endpoint was not woken for minutes.
#[test]
fn ua_09_long_ringing() {
    let mut config = Config::default();
    config.limits.invite_answer = Duration::from_secs(3600);
    let mut hand = ByHand::new(config, Phone::new().invites(Conduct::RingAndDefer));
    assert_eq!(statuses(&hand.datagram(Raw::new("INVITE", 1).text())), [180]);
    assert_eq!(statuses(&hand.pass(Duration::from_millis(59_999))), [0; 0]);
    assert_eq!(statuses(&hand.pass(Duration::from_millis(1))), [180]);
    hand.stall(Duration::from_secs(200));
    assert_eq!(statuses(&hand.pass(Duration::ZERO)), [180], "one stands for three");
    assert_eq!(statuses(&hand.pass(Duration::from_millis(39_999))), [0; 0], "the series keeps its beat");
    assert_eq!(statuses(&hand.pass(Duration::from_millis(1))), [180]);
}

/// UA-09, RFC 3262 §3: where provisional responses are reliable, an INVITE that rings for long is told so every two and a
/// half minutes, each time with an RSeq of its own and without the session description.
#[test]
fn ua_09_long_ringing_reliably() {
    let mut config = Config::default();
    config.limits.invite_answer = Duration::from_secs(3600);
    let mut hand = ByHand::new(config, Phone::new().invites(Conduct::Defer));
    hand.datagram(Raw::new("INVITE", 1).field("Require", "100rel").text());
    let reply = Reply::session_progress().sdp("v=0\r\n");
    let (_, mut wanted) = hand.act(|phone, cx| cx.provisional(&phone.pending[0], reply));
    for number in 0..3 {
        let response = only(&wanted);
        let rseq: u32 = field(&response, "RSeq").parse().expect("a number");
        assert_eq!(response.ends_with("v=0\r\n"), number == 0, "{response}");
        let prack = Raw::new("PRACK", 10 + number).within(1, &tag_of(&response)).cseq(10 + number as u32);
        assert_eq!(statuses(&hand.datagram(prack.field("RAck", &format!("{rseq} 1 INVITE")).text())), [200]);
        assert_eq!(statuses(&hand.pass(Duration::from_millis(149_999))), [0; 0]);
        wanted = hand.pass(Duration::from_millis(1));
        assert_eq!(field(&only(&wanted), "RSeq"), (rseq + 1).to_string());
    }
}

/// C076, design §1.1: a transaction keeps the timers it was born with; a new configuration counts for what comes later.
#[test]
fn c076_transactions_keep_the_timers_they_were_born_with() {
    for accepts in [false, true] {
        let mut hand = hand(Phone::new().invites(Conduct::Defer));
        hand.datagram(Raw::new("INVITE", 1).text());
        hand.act(|phone, cx| {
            let reply = if accepts { Reply::ok() } else { Reply::busy() };
            cx.answer(phone.pending.pop().expect("it was asked"), reply).expect("it is open");
            let mut config = cx.config().clone();
            config.timing.t1 = Duration::from_secs(2);
            config.timing.t2 = Duration::from_millis(500);
            config.timing.t4 = Duration::from_secs(25);
            cx.configure(config).expect("it is in range");
        });
        let copies = |hand: &mut ByHand, seconds| statuses(&hand.pass(Duration::from_secs(seconds))).len();
        assert_eq!(copies(&mut hand, 8), 4, "at .5, 1.5, 3.5, 7.5");
        assert_eq!(copies(&mut hand, 8), 2, "then every 4 s");
        if !accepts {
            hand.datagram(Raw::new("ACK", 1).text());
            hand.pass(Duration::from_millis(4999));
            assert_eq!(hand.host.endpoint().calls(), 1);
            hand.pass(Duration::from_millis(1));
            assert_eq!(hand.host.endpoint().calls(), 0, "Timer I is the T4 of then");
        }
    }
}

/// Design §1.1: so does a request whose answer is made late.
#[test]
fn an_answer_keeps_the_linger_of_its_request() {
    let mut hand = hand(Phone::new().others(Conduct::Defer));
    hand.datagram(Raw::new("OPTIONS", 1).text());
    hand.act(|phone, cx| {
        let mut config = cx.config().clone();
        config.timing.t1 = Duration::from_secs(2);
        cx.configure(config).expect("it is in range");
        cx.answer(phone.pending.pop().expect("it was asked"), Reply::ok()).expect("it is open");
    });
    hand.pass(Duration::from_millis(31_999));
    assert_eq!(hand.host.endpoint().calls(), 1);
    hand.pass(Duration::from_millis(1));
    assert_eq!(hand.host.endpoint().calls(), 0, "Timer J is 64 times the T1 of then");
}

/// OA-04, RFC 3262 §5: a PRACK of ours carries the answer to what the provisional response offered.
#[test]
fn oa_04_the_prack_carries_the_answer() {
    let mut hand = hand(Phone::new());
    let request = hand.send(Outgoing::invite(bob()));
    let offered = answer(&request, 183, "b1", &[CONTACT, "Require: 100rel", "RSeq: 9"]).replace(
        "Content-Length: 0\r\n\r\n",
        "Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n",
    );
    assert!(methods(&hand.datagram(offered)).is_empty(), "the application answers");
    let dialog = hand.first_dialog();
    let (_, wanted) = hand.act(|_, cx| cx.prack(dialog, Body::sdp("v=0\r\n")).expect("it waits"));
    let prack = of_method(&wanted, "PRACK");
    assert_eq!(field(&prack, "RAck"), "9 1 INVITE");
    assert!(prack.ends_with("v=0\r\n"));
}

/// P2, RC-06, RFC 5407 §3.1.6: an INVITE ends for the application although the peer's BYE came before its 2xx.
#[test]
fn rc_06_a_bye_before_the_2xx_leaves_no_request_open() {
    let mut hand = hand(Phone::new());
    let (client, wanted) = hand.act(|_, cx| cx.request(invite(bob())));
    let (client, request) = (client.expect("there is a socket"), only(&wanted));
    hand.datagram(answer(&request, 180, "b1", &[CONTACT]));
    assert_eq!(statuses(&hand.datagram(from_peer(&request, "b1", "BYE", 1, ""))), [200]);
    for _ in 0..2 {
        assert_eq!(methods(&hand.datagram(answer(&request, 200, "b1", &[CONTACT]))), ["ACK"]);
    }
    let ends = |note: &&Note| matches!(note, Note::Ended(..));
    assert_eq!(hand.host.service().notes.iter().filter(ends).count(), 1);
    assert!(hand.host.service().end_of(client).is_some());
    hand.pass(Duration::from_secs(70));
    assert!(hand.host.endpoint().is_idle());
}

/// UA-05: each copy of the 2xx to a re-INVITE is acknowledged, whatever tag the peer gives it.
#[test]
fn ua_05_copies_of_the_2xx_to_a_reinvite_are_acknowledged() {
    let mut hand = hand(Phone::new());
    let (_, dialog) = called(&mut hand, CONTACT);
    let again = hand.send(Outgoing::in_dialog(Method::Invite, dialog).body(sansip_tests::offer()));
    for _ in 0..3 {
        let ok = answer(&again, 200, "", &[CONTACT]).replace(";tag=b1", ";tag=other");
        assert_eq!(methods(&hand.datagram(ok)), ["ACK"]);
    }
}

/// RC-04, DL-21, RFC 5407 §3.2.2: who has sent BYE answers a re-INVITE with 481, though one of its own is open.
#[test]
fn rc_04_a_reinvite_after_our_bye_gets_481() {
    let mut hand = hand(Phone::new());
    let (request, dialog) = called(&mut hand, CONTACT);
    hand.send(Outgoing::in_dialog(Method::Invite, dialog).body(sansip_tests::offer()));
    hand.act(|_, cx| cx.bye(dialog)).0.expect("the dialog lives");
    let crossing = from_peer(&request, "b1", "INVITE", 5, &format!("{CONTACT}\r\n"));
    assert_eq!(statuses(&hand.datagram(crossing)), [481]);
}

/// UA-05, UA-12: a limit on transactions keeps no session from its ACK and its BYE.
#[test]
fn ua_05_a_limit_on_transactions_leaves_room_for_ack_and_bye() {
    let mut config = Config::default();
    config.limits.transactions_per_call = 1;
    let mut hand = ByHand::new(config, Phone::new());
    let request = hand.send(invite(bob()));
    assert_eq!(methods(&hand.datagram(answer(&request, 200, "b1", &[CONTACT]))), ["ACK"]);
    let dialog = hand.first_dialog();
    let (info, _) = hand.act(|_, cx| cx.request(Outgoing::in_dialog(Method::Info, dialog)));
    assert!(info.is_err(), "one more is too much");
    let (_, wanted) = hand.act(|_, cx| cx.bye(dialog));
    assert_eq!(methods(&wanted), ["BYE"]);
}

/// RC-04, DL-03, RFC 5407 §3.2.3: the 2xx to a re-INVITE whose dialog has ended is acknowledged along the dialog's route,
/// which such a 2xx need not repeat.
#[test]
fn rc_04_the_ack_of_a_reinvite_takes_the_route_of_its_dialog() {
    let mut hand = hand(Phone::new());
    let request = hand.send(invite(bob()));
    let routed = [CONTACT, "Record-Route: <sip:192.0.2.8;lr>"];
    hand.datagram(answer(&request, 200, "b1", &routed));
    let dialog = hand.first_dialog();
    let again = hand.send(Outgoing::in_dialog(Method::Invite, dialog).body(sansip_tests::offer()));
    let (_, wanted) = hand.act(|_, cx| cx.bye(dialog));
    hand.datagram(answer(&of_method(&wanted, "BYE"), 200, "", &[]));
    let ack = of_method(&hand.datagram(answer(&again, 200, "", &[CONTACT])), "ACK");
    assert_eq!(field(&ack, "Route"), "<sip:192.0.2.8;lr>");
}

/// DL-06, RL-05, RFC 5407 §3.1.6: an early dialog that the peer's BYE has ended does not begin anew with a provisional
/// response that comes late.
#[test]
fn dl_06_an_early_dialog_that_has_ended_stays_ended() {
    let mut hand = hand(Phone::new());
    let request = hand.send(invite(bob()));
    let ringing = || answer(&request, 180, "b1", &[CONTACT, "Require: 100rel", "RSeq: 1"]);
    let prack = of_method(&hand.datagram(ringing()), "PRACK");
    hand.datagram(answer(&prack, 200, "", &[]));
    assert_eq!(statuses(&hand.datagram(from_peer(&request, "b1", "BYE", 1, ""))), [200]);
    assert_eq!(methods(&hand.datagram(ringing())), [""; 0], "no second PRACK with the same CSeq");
    let started = |note: &&Note| matches!(note, Note::Dialog(_, DialogChange::Started));
    assert_eq!(hand.host.service().notes.iter().filter(started).count(), 1);
}
