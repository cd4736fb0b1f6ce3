//! Dialogs: RFC 3261 §12, §14, RFC 5057, RFC 6141.

use std::time::Duration;

use sansip::{ClientEnd, DialogChange, DialogEnd, Method, Outgoing, Reply, SendError, StatusCode};
use sansip_sim::Sim;
use sansip_tests::simulated::{Manner, News, Phone, Ua, rest, sent, times, uri_of};

use crate::script::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn phones(sim: &mut Sim, bob: Phone) -> (Ua, Ua) {
    (Ua::new(sim, "alice", Phone::new("10.1.0.1")), Ua::new(sim, "bob", bob))
}

/// DL-01, DL-02, C096: both ends name the dialog by mirrored tags, early at the 180, confirmed at the 2xx.
#[test]
fn dl_01_ids_and_states() {
    let mut sim = world();
    let rings = Manner::Rings(Duration::from_secs(2), Phone::accept());
    let (alice, bob) = phones(&mut sim, Phone::new("10.1.0.2").invite(rings));
    alice.dial(&mut sim, &bob.uri());
    sim.run_for(Duration::from_secs(1));
    for ua in [alice, bob] {
        let started = ua.news(&sim).into_iter().filter_map(|news| match news {
            News::Dialog(dialog, change) => Some((dialog, change)),
            _ => None,
        });
        let [(early, DialogChange::Started)] = started.collect::<Vec<_>>()[..] else { panic!("one, early") };
        assert!(ua.endpoint(&sim).dialog(early).is_ok_and(|view| view.is_early()));
    }
    sim.run_for(Duration::from_secs(5));
    let view = |ua: Ua| ua.endpoint(&sim).dialog(ua.dialog(&sim)).expect("it is up");
    let (one, two) = (view(alice), view(bob));
    assert_eq!((one.local_tag(), one.remote_tag()), (two.remote_tag(), two.local_tag()));
    assert_eq!(one.call_id(), two.call_id());
    assert!(!one.is_early() && !two.is_early());
    bob.hang_up(&mut sim);
    rest(&mut sim, &[alice, bob]);
}

/// DL-01: a caller of RFC 2543 sends no From tag; requests to it go without one in To.
#[test]
fn dl_01_no_from_tag() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2"));
    let alice = sim.puppet("alice");
    alice.send_to(&mut sim, bob.addr(), &invite("one").replace(";tag=a", ""));
    let ok = alice.expect(&mut sim, "200");
    alice.send(&mut sim, &in_call(&ok, "ACK", 1, ""));
    sim.run_for(ms(10));
    bob.hang_up(&mut sim);
    let bye = alice.expect(&mut sim, "BYE");
    assert_eq!(param(&bye, "To", "tag"), None);
    alice.reply(&mut sim, 200);
    rest(&mut sim, &[bob]);
}

/// DL-03, DL-05, C101, C103: the callee's route set is Record-Route in its order, with a strict router in front.
#[test]
fn dl_03_route_set_of_the_callee() {
    for lr in [";lr", ""] {
        let mut sim = world();
        let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2"));
        let alice = sim.puppet("alice");
        let proxy = format!("sip:{}{lr};x=1", alice.addr(&sim));
        let fields =
            format!("Record-Route: <{proxy}>\nRecord-Route: <sip:p1;lr>\nContact: <sip:alice@192.0.2.9>\n");
        alice.send_to(&mut sim, bob.addr(), &request("INVITE", "one", &fields));
        let ok = alice.expect(&mut sim, "200");
        alice.send(&mut sim, &in_call(&ok, "ACK", 1, ""));
        sim.run_for(ms(10));
        bob.hang_up(&mut sim);
        let bye = alice.expect(&mut sim, "BYE");
        let routes = bye.headers("Route").join(", ");
        if lr.is_empty() {
            assert_eq!(bye.uri(), Some(&*proxy), "DL-05: a strict router gets the Request-URI");
            assert_eq!(routes, "<sip:p1;lr>, <sip:alice@192.0.2.9>");
        } else {
            assert_eq!(bye.uri(), Some("sip:alice@192.0.2.9"));
            assert_eq!(routes, format!("<{proxy}>, <sip:p1;lr>"));
        }
        alice.reply(&mut sim, 200);
        rest(&mut sim, &[bob]);
    }
}

/// DL-03, C101: the caller's route set is Record-Route reversed; that of the 2xx replaces that of the 180, and an empty one the
/// pre-loaded set. CSeq goes on.
#[test]
fn dl_03_route_set_of_the_caller() {
    let mut sim = world();
    let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
    let bob = sim.puppet("bob");
    let uri = uri(&sim, bob);
    let outgoing = Phone::offer(&uri).route(uri_of(&format!("{uri};lr")));
    alice.send(&mut sim, outgoing);
    let invite = bob.expect(&mut sim, "INVITE");
    assert_eq!(invite.headers("Route").len(), 1);
    let contact = format!("Contact: <{uri}>\n");
    let early = format!("Record-Route: <sip:far;lr>, <{uri};lr>\n{contact}");
    bob.send(&mut sim, &branch_says(&invite, 180, "b", &early));
    sim.run_for(ms(10));
    let early = alice.news(&sim).into_iter().find_map(|news| match news {
        News::Dialog(dialog, DialogChange::Started) => Some(dialog),
        _ => None,
    });
    let info = Outgoing::in_dialog(Method::Info, early.expect("the 180 made it"));
    alice.send(&mut sim, info);
    let info = bob.expect(&mut sim, "INFO");
    assert_eq!(info.headers("Route").join(", "), format!("<{uri};lr>, <sip:far;lr>"));
    assert_eq!(field(&info, "CSeq"), "2 INFO");
    bob.reply(&mut sim, 200);
    bob.send(&mut sim, &branch_says(&invite, 200, "b", &contact));
    let ack = bob.expect(&mut sim, "ACK");
    assert_eq!((field(&ack, "CSeq"), ack.headers("Route").len()), ("1 ACK".into(), 0));
    alice.hang_up(&mut sim);
    assert_eq!(field(&bob.expect(&mut sim, "BYE"), "CSeq"), "3 BYE", "DL-06");
    bob.reply(&mut sim, 200);
    rest(&mut sim, &[alice]);
}

/// DL-04, DL-06: the callee's numbers are its own; each request in the dialog has the next one.
#[test]
fn dl_06_sequence_numbers() {
    let mut sim = world();
    let (alice, bob) = phones(&mut sim, Phone::new("10.1.0.2"));
    alice.dial(&mut sim, &bob.uri());
    sim.run_for(Duration::from_secs(1));
    for (ua, numbers) in [(alice, [2, 3, 4]), (bob, [1, 2, 3])] {
        for _ in numbers {
            let dialog = ua.dialog(&sim);
            ua.send(&mut sim, Outgoing::in_dialog(Method::Info, dialog));
            sim.run_for(ms(20));
        }
        let infos = sent(&sim).into_iter().filter(|seen| seen.from == ua.id() && seen.is("INFO"));
        assert_eq!(infos.map(|seen| seen.cseq).collect::<Vec<_>>(), numbers);
    }
    let (a, b) = (alice.dialog(&sim), bob.dialog(&sim));
    let (one, two) = (alice.endpoint(&sim).dialog(a), bob.endpoint(&sim).dialog(b));
    let (one, two) = (one.expect("up"), two.expect("up"));
    assert_eq!((Some(one.local_seq()), Some(two.local_seq())), (two.remote_seq(), one.remote_seq()));
    alice.hang_up(&mut sim);
    rest(&mut sim, &[alice, bob]);
}

/// DL-07, C105: a lower CSeq gets 500, a gap is fine.
#[test]
fn dl_07_order_of_requests() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2"));
    let alice = sim.puppet("alice");
    let ok = caller(&mut sim, alice, bob);
    for (cseq, status) in [(50, 200), (49, 500), (51, 200)] {
        alice.send(&mut sim, &in_call(&ok, "INFO", cseq, ""));
        let answer = alice.expect(&mut sim, &format!("{status} INFO"));
        assert_eq!(field(&answer, "CSeq"), format!("{cseq} INFO"));
    }
    alice.send(&mut sim, &in_call(&ok, "BYE", 52, ""));
    alice.expect(&mut sim, "200 BYE");
    rest(&mut sim, &[bob]);
}

/// DL-08: a To tag without a dialog gets 481; an ACK is dropped.
#[test]
fn dl_08_no_dialog() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2"));
    let alice = sim.puppet("alice");
    for method in ["INVITE", "INFO", "BYE", "OPTIONS"] {
        let text = request(method, method, "Contact: <sip:alice@[local]>\n");
        alice.send_to(
            &mut sim,
            bob.addr(),
            &text.replace("To: <sip:bob@[remote]>", "To: <sip:bob@[remote]>;tag=x"),
        );
        let refusal = alice.expect(&mut sim, "481");
        if method == "INVITE" {
            alice.send(&mut sim, &ack_refusal(&refusal));
        }
    }
    let ack = request("ACK", "ack", "").replace("To: <sip:bob@[remote]>", "To: <sip:bob@[remote]>;tag=x");
    alice.send_to(&mut sim, bob.addr(), &ack);
    alice.expect_none(&mut sim, Duration::from_secs(40));
    rest(&mut sim, &[bob]);
}

/// DL-09, DL-10, CF-08, C104: the Contact of a re-INVITE is taken with its 2xx and not with a refusal; an INFO changes nothing.
#[test]
fn dl_09_target_refresh() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2").reinvite(Manner::Later));
    let alice = sim.puppet("alice");
    let ok = caller(&mut sim, alice, bob);
    let dialog = bob.dialog(&sim);
    let target = |sim: &Sim| bob.endpoint(sim).dialog(dialog).expect("it is up").remote_target().to_string();
    let before = target(&sim);
    let mut cseq = 1;
    for (answer, moves) in [(Reply::not_acceptable(), false), (Phone::accept(), true)] {
        cseq += 1;
        let moved = format!("Contact: <sip:moved@{}>\n", alice.addr(&sim));
        alice.send(&mut sim, &in_call(&ok, "INVITE", cseq, &moved));
        sim.run_for(ms(10));
        bob.progress(&mut sim, Reply::session_progress());
        assert_eq!(target(&sim), before, "DL-10");
        bob.answer(&mut sim, answer);
        let response = alice.expect_where(&mut sim, "a final", Duration::from_secs(1), |heard| {
            heard.status().is_some_and(|status| status >= 200) && heard.is(if moves { "2xx" } else { "4xx" })
        });
        assert_eq!(target(&sim) != before, moves);
        let branch = param(&response, "Via", "branch").expect("a branch");
        let ack = in_call(&ok, "ACK", cseq, "");
        alice.send(&mut sim, &if moves { ack } else { ack.replace("[branch]", &branch) });
        sim.run_for(ms(10));
    }
    assert!(bob.heard(&sim, &News::Dialog(dialog, DialogChange::TargetRefreshed)));
    hang_up(&mut sim, bob, alice);
    rest(&mut sim, &[bob]);
}

/// DL-09: the caller takes the Contact of the 2xx to its re-INVITE, and a 180 changes nothing (DL-10).
#[test]
fn dl_09_target_refresh_at_the_caller() {
    let mut sim = world();
    let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
    let bob = sim.puppet("bob");
    callee(&mut sim, alice, bob);
    let dialog = alice.dialog(&sim);
    let reinvite = Outgoing::in_dialog(Method::Invite, dialog).body(sansip::Body::sdp(Phone::SDP));
    alice.send(&mut sim, reinvite);
    let invite = bob.expect(&mut sim, "INVITE");
    let moved = |port: u16| format!("Contact: <sip:bob@192.0.2.1:{port}>\n");
    let text = |status, port| branch_says(&invite, status, "x", &moved(port)).replace(";tag=x", "");
    let target =
        |sim: &Sim| alice.endpoint(sim).dialog(dialog).expect("it is up").remote_target().to_string();
    let before = target(&sim);
    bob.send(&mut sim, &text(180, 1));
    sim.run_for(ms(10));
    assert_eq!(target(&sim), before);
    bob.send(&mut sim, &text(200, 2));
    sim.run_for(ms(10));
    assert_eq!(target(&sim), "sip:bob@192.0.2.1:2");
    let ack = sent(&sim).into_iter().rfind(|seen| seen.is("ACK")).expect("the ACK");
    assert_eq!(ack.uri(), "sip:bob@192.0.2.1:2");
    alice.hang_up(&mut sim);
    rest(&mut sim, &[alice]);
}

/// DL-11: a refusal ends all early dialogs of the INVITE.
#[test]
fn dl_11_early_dialogs_end_together() {
    let mut sim = world();
    let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
    let bob = sim.puppet("bob");
    let uri = uri(&sim, bob);
    alice.dial(&mut sim, &uri);
    let invite = bob.expect(&mut sim, "INVITE");
    for tag in ["x", "y", "z"] {
        bob.send(&mut sim, &branch_says(&invite, 180, tag, "Contact: <sip:bob@[local]>\n"));
    }
    bob.send(&mut sim, &branch_says(&invite, 486, "w", ""));
    rest(&mut sim, &[alice]);
    let ended = alice.news(&sim).into_iter().filter(|news| {
        matches!(news, News::Dialog(_, DialogChange::Ended(DialogEnd::Refused(StatusCode::BUSY_HERE))))
    });
    assert_eq!(ended.count(), 3);
}

/// DL-12, DL-17, C100, RFC 5057 §5.1: which refusals of a request in a dialog end it, and which leave it.
#[test]
fn dl_12_refusals_in_a_dialog() {
    let ends = [404, 405, 408, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 502, 604];
    let stays = [400, 401, 403, 406, 407, 413, 415, 420, 486, 487, 488, 491, 500, 503, 513, 600, 603, 606];
    for (status, method) in ends.iter().chain(&stays).map(|status| (*status, Method::Invite)).chain([
        (405, Method::Info),
        (501, Method::Info),
        (481, Method::Info),
        (408, Method::Info),
        (500, Method::Info),
    ]) {
        let mut sim = world();
        let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
        let bob = sim.puppet("bob");
        callee(&mut sim, alice, bob);
        let dialog = alice.dialog(&sim);
        let client = alice.send(&mut sim, Outgoing::in_dialog(method.clone(), dialog));
        bob.expect(&mut sim, method.as_str());
        bob.reply(&mut sim, status);
        sim.run_for(ms(100));
        let code = StatusCode::new(status).expect("a status");
        assert!(alice.heard(&sim, &News::Ended(client, ClientEnd::Final(code))));
        // Note 3: 405 and 501 say something about the session only if it cannot do without the method.
        let ends = ends.contains(&status) && (method == Method::Invite || ![405, 501].contains(&status));
        assert_eq!(times(&sim, alice, "BYE").len(), usize::from(ends), "{method} {status}");
        if ends {
            bob.expect(&mut sim, "BYE");
            bob.reply(&mut sim, 481);
        } else {
            hang_up(&mut sim, alice, bob);
        }
        rest(&mut sim, &[alice]);
        let why = if ends { DialogEnd::Refused(code) } else { DialogEnd::LocalBye };
        assert!(alice.heard(&sim, &News::Dialog(dialog, DialogChange::Ended(why))), "{method} {status}");
    }
}

/// DL-15, DL-18, C106: of two INVITEs in one dialog the second gets 491 or 500 with Retry-After, or is refused at home.
#[test]
fn dl_15_one_invite_at_a_time() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2").reinvite(Manner::Later));
    let alice = sim.puppet("alice");
    let contact = "Contact: <sip:alice@[local]>\n";
    let ok = caller(&mut sim, alice, bob);
    let dialog = bob.dialog(&sim);
    let reinvite = || Outgoing::in_dialog(Method::Invite, dialog).body(sansip::Body::sdp(Phone::SDP));
    // The peer's is open.
    alice.send(&mut sim, &in_call(&ok, "INVITE", 2, contact));
    sim.run_for(ms(10));
    alice.send(&mut sim, &in_call(&ok, "INVITE", 3, contact));
    let refusal = alice.expect(&mut sim, "500");
    assert!((0..=10).contains(&field(&refusal, "Retry-After").parse::<u32>().expect("seconds")));
    let branch = param(&refusal, "Via", "branch").expect("a branch");
    alice.send(&mut sim, &in_call(&ok, "ACK", 3, "").replace("[branch]", &branch));
    let refused = bob.act(&mut sim, |_, cx| cx.request(reinvite()));
    assert_eq!(refused, Err(SendError::InviteUnderWay));
    bob.answer(&mut sim, Phone::accept());
    alice.expect(&mut sim, "200 INVITE");
    let refused = bob.act(&mut sim, |_, cx| cx.request(reinvite()));
    assert_eq!(refused, Err(SendError::InviteUnderWay), "DL-18: until the ACK");
    alice.send(&mut sim, &in_call(&ok, "ACK", 2, ""));
    sim.run_for(ms(10));
    // Ours is open.
    bob.send(&mut sim, reinvite());
    alice.expect(&mut sim, "INVITE");
    alice.send(&mut sim, &in_call(&ok, "INVITE", 4, contact));
    let refusal = alice.expect(&mut sim, "491");
    let branch = param(&refusal, "Via", "branch").expect("a branch");
    alice.send(&mut sim, &in_call(&ok, "ACK", 4, "").replace("[branch]", &branch));
    alice.reply(&mut sim, 200);
    alice.expect(&mut sim, "ACK");
    // With the ACK sent nothing is under way, long before Timer M.
    bob.send(&mut sim, reinvite());
    alice.expect(&mut sim, "INVITE");
    alice.reply(&mut sim, 488);
    alice.expect(&mut sim, "ACK");
    hang_up(&mut sim, bob, alice);
    rest(&mut sim, &[bob]);
}

/// DL-21: once BYE is sent, requests from the peer get 481, but a BYE gets 200.
#[test]
fn dl_21_mortal_dialogs() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2"));
    let alice = sim.puppet("alice");
    let ok = caller(&mut sim, alice, bob);
    bob.hang_up(&mut sim);
    let bye = alice.expect(&mut sim, "BYE");
    alice.send(&mut sim, &in_call(&ok, "INFO", 2, ""));
    alice.expect(&mut sim, "481 INFO");
    alice.send(&mut sim, &in_call(&ok, "BYE", 3, ""));
    alice.expect(&mut sim, "200 BYE");
    alice.reply_with(&mut sim, &bye, 200, "", b"");
    rest(&mut sim, &[bob]);
}

/// DL-21, RFC 5407 §2: a re-INVITE that waits for the application when it hangs up gets 487, and cannot be accepted later.
#[test]
fn dl_21_open_requests_end_with_the_dialog() {
    let mut sim = world();
    let phone = Phone::new("10.1.0.2").reinvite(Manner::Later).other(Manner::Later);
    let bob = Ua::new(&mut sim, "bob", phone);
    let alice = sim.puppet("alice");
    let ok = caller(&mut sim, alice, bob);
    alice.send(&mut sim, &in_call(&ok, "INVITE", 2, "Contact: <sip:alice@[local]>\n"));
    alice.send(&mut sim, &in_call(&ok, "INFO", 3, ""));
    sim.run_for(ms(10));
    bob.hang_up(&mut sim);
    let bye = alice.expect(&mut sim, "BYE");
    alice.expect(&mut sim, "487 INFO");
    let refusal = alice.expect(&mut sim, "487 INVITE");
    assert!(bob.act(&mut sim, |phone, cx| phone.answer(cx, Phone::accept())).is_err());
    let branch = param(&refusal, "Via", "branch").expect("a branch");
    alice.send(&mut sim, &in_call(&ok, "ACK", 2, "").replace("[branch]", &branch));
    alice.reply_with(&mut sim, &bye, 200, "", b"");
    rest(&mut sim, &[bob]);
}

/// C108: a dialog lives no longer than the configuration allows, and nothing of a call outlasts it.
#[test]
fn dialogs_expire() {
    let mut sim = world();
    let mut config = sansip::Config::default();
    config.dialog = Duration::from_secs(100);
    let alice = Ua::configured(&mut sim, "alice", config, Phone::new("10.1.0.1"));
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2"));
    alice.dial(&mut sim, &bob.uri());
    sim.run_for(Duration::from_secs(99));
    let dialog = alice.dialog(&sim);
    rest(&mut sim, &[alice, bob]);
    assert!(alice.heard(&sim, &News::Dialog(dialog, DialogChange::Ended(DialogEnd::Expired))));
    assert_eq!(times(&sim, alice, "BYE"), [100_002]);
}

/// A call of hours leaves no wake behind that keeps the endpoint's clock running.
#[test]
fn long_calls_leave_no_wake() {
    let mut sim = world();
    let (alice, bob) = phones(&mut sim, Phone::new("10.1.0.2"));
    alice.dial(&mut sim, &bob.uri());
    sim.run_for(Duration::from_secs(1800));
    alice.hang_up(&mut sim);
    rest(&mut sim, &[alice, bob]);
}

/// C098: a dialog with oneself.
#[test]
fn c098_dialog_with_oneself() {
    let mut sim = world();
    let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
    alice.dial(&mut sim, &alice.uri());
    sim.run_for(Duration::from_secs(1));
    let dialogs = alice.phone(&sim).dialogs();
    let [caller, callee] = dialogs[..] else { panic!("two ends: {dialogs:?}") };
    let view = |dialog| alice.endpoint(&sim).dialog(dialog).expect("it is up");
    assert_eq!(view(caller).local_tag(), view(callee).remote_tag());
    assert_eq!(view(caller).remote_tag(), view(callee).local_tag());
    alice.act(&mut sim, |_, cx| cx.bye(caller)).expect("it is confirmed");
    rest(&mut sim, &[alice]);
}
