//! Every bound of `Limits` and `Config` that is a time: kept until then, ended then.

use std::time::Duration;

use sansip::{
    ClientEnd, CloseHow, Config, ConnId, DialogEnd, DnsError, Input, IoKind, Method, Outgoing, Output, Proto,
    Reply, StatusCode, Void,
};
use sansip_tests::{
    ByHand, Conduct, Note, Phone, Raw, answer, closes, invite, messages, methods, statuses, uri, uri_of,
};

const JUST_BEFORE: Duration = Duration::from_millis(1);

fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

#[test]
fn half_message() {
    let time = Duration::from_secs(7);
    let mut hand = ByHand::new(config(|config| config.limits.half_message = time), Phone::new());
    let (conn, _) = hand.accept();
    hand.received(conn, "OPTIONS sip:us");
    // One more byte now and then buys no time.
    assert!(closes(&hand.pass(time - JUST_BEFORE)).is_empty());
    assert!(hand.received(conn, "@").is_empty());
    assert_eq!(closes(&hand.pass(JUST_BEFORE)), [(conn, CloseHow::Reset)]);
}

#[test]
fn half_message_begins_anew_with_each() {
    let time = Duration::from_secs(7);
    let mut hand = ByHand::new(config(|config| config.limits.half_message = time), Phone::new());
    let (conn, _) = hand.accept();
    let text = Raw::new("OPTIONS", 1).tcp().text();
    let (first, rest) = text.split_at(100);
    hand.received(conn, first);
    hand.pass(time - JUST_BEFORE);
    assert_eq!(statuses(&hand.received(conn, format!("{rest}{first}"))), [200], "one ends, one begins");
    assert!(closes(&hand.pass(time - JUST_BEFORE)).is_empty());
    assert_eq!(closes(&hand.pass(JUST_BEFORE)), [(conn, CloseHow::Reset)]);
}

#[test]
fn idle() {
    let time = Duration::from_secs(60);
    let mut hand = ByHand::new(config(|config| config.limits.idle = time), Phone::new());
    let (conn, _) = hand.accept();
    assert!(hand.pass(time - JUST_BEFORE).is_empty());
    hand.received(conn, Raw::new("OPTIONS", 1).tcp().text());
    assert!(closes(&hand.pass(time - JUST_BEFORE)).is_empty(), "it was used");
    assert_eq!(closes(&hand.pass(JUST_BEFORE)), [(conn, CloseHow::Flush)]);
    hand.feed(Input::Closed { conn, error: None });
    assert_eq!(hand.host.endpoint().connections(), 0);
}

/// A peer that does not end a connection that was closed is not waited for long.
#[test]
fn linger() {
    let time = Duration::from_secs(3);
    let mut hand = ByHand::new(config(|config| config.limits.linger = time), Phone::new());
    let (conn, _) = hand.accept();
    assert_eq!(closes(&hand.pass(Config::default().limits.idle)), [(conn, CloseHow::Flush)]);
    assert!(hand.received(conn, Raw::new("OPTIONS", 1).tcp().text()).is_empty(), "nothing is read any more");
    assert!(hand.pass(time - JUST_BEFORE).is_empty());
    assert_eq!(closes(&hand.pass(JUST_BEFORE)), [(conn, CloseHow::Reset)]);
    assert_eq!(hand.host.endpoint().connections(), 0);
}

#[test]
fn connect() {
    let time = Duration::from_secs(3);
    let mut hand = ByHand::new(config(|config| config.limits.connect = time), Phone::new());
    let (client, wanted) = hand.act(|_, cx| cx.request(Outgoing::options(uri(ByHand::PEER, Proto::Tcp))));
    let client = client.expect("it can be sent");
    assert!(matches!(wanted[..], [Output::Connect { conn: ConnId(2), .. }]), "{wanted:?}");
    assert!(hand.pass(time - JUST_BEFORE).is_empty());
    assert_eq!(closes(&hand.pass(JUST_BEFORE)), [(ConnId(2), CloseHow::Reset)]);
    assert_eq!(hand.host.service().end_of(client), Some(ClientEnd::Transport(IoKind::TimedOut)));
    assert!(hand.host.endpoint().is_idle());
}

#[test]
fn connect_in_time() {
    let time = Duration::from_secs(3);
    let mut hand = ByHand::new(config(|config| config.limits.connect = time), Phone::new());
    let (client, _) = hand.act(|_, cx| cx.request(Outgoing::options(uri(ByHand::PEER, Proto::Tcp))));
    hand.pass(time - JUST_BEFORE);
    let peer = sansip::PeerInfo::default();
    let wanted = hand.feed(Input::Connected { conn: ConnId(2), local: ByHand::ADDR, peer });
    assert_eq!(methods(&wanted), ["OPTIONS"]);
    assert!(closes(&hand.pass(time)).is_empty());
    let response = answer(&messages(&wanted)[0], 200, "them", &[]);
    hand.received(ConnId(2), response);
    let client = client.expect("it can be sent");
    assert_eq!(hand.host.service().end_of(client), Some(ClientEnd::Final(StatusCode::OK)));
}

#[test]
fn resolve() {
    let time = Duration::from_secs(4);
    let mut hand = ByHand::new(config(|config| config.limits.resolve = time), Phone::new());
    let (client, wanted) = hand.act(|_, cx| cx.request(invite(uri_of("sip:them@peer.example.com"))));
    let client = client.expect("it can be sent");
    let [Output::Resolve { query, .. }] = wanted[..] else { panic!("one family is bound: {wanted:?}") };
    assert!(hand.pass(time - JUST_BEFORE).is_empty());
    assert_eq!(hand.host.service().end_of(client), None);
    hand.pass(JUST_BEFORE);
    assert_eq!(hand.host.service().end_of(client), Some(ClientEnd::Transport(IoKind::TimedOut)));
    // The answer comes too late and reaches nothing.
    assert!(hand.feed(Input::Resolved { query, result: Err(DnsError::Failed) }).is_empty());
    assert!(hand.host.endpoint().is_idle());
}

/// C078, RFC 3261 §21.4.9: nobody answers an INVITE, so it gets 408, and the question is void.
#[test]
fn invite_answer() {
    let time = Duration::from_secs(50);
    for conduct in [Conduct::Defer, Conduct::Forget] {
        let config = config(|config| config.limits.invite_answer = time);
        let mut hand = ByHand::new(config, Phone::new().invites(conduct));
        hand.datagram(Raw::new("INVITE", 1).text());
        let ask = hand.host.service().asked(&Method::Invite)[0];
        let before = statuses(&hand.pass(time - JUST_BEFORE));
        assert!(before.iter().all(|status| *status == 100), "{before:?}");
        assert_eq!(statuses(&hand.pass(JUST_BEFORE)), [408]);
        assert!(hand.host.service().notes.contains(&Note::Voided(ask, Void::Deadline)));
        hand.pass(Duration::from_secs(64));
        assert!(hand.host.endpoint().is_idle());
    }
}

/// RFC 4320 §4.2: what is no INVITE gets 500 rather than 408, before its sender gives up.
#[test]
fn answer_to_others() {
    let time = Duration::from_secs(20);
    let limit = |config: &mut Config| config.limits.answer = time;
    let mut hand = ByHand::new(config(limit), Phone::new().others(Conduct::Defer));
    hand.datagram(Raw::new("OPTIONS", 1).text());
    let ask = hand.host.service().asked(&Method::Options)[0];
    let before = statuses(&hand.pass(time - JUST_BEFORE));
    assert!(before.iter().all(|status| *status == 100), "{before:?}");
    assert_eq!(statuses(&hand.pass(JUST_BEFORE)), [500]);
    assert!(hand.host.service().notes.contains(&Note::Voided(ask, Void::Deadline)));
    let (late, wanted) = hand.act(|phone, cx| cx.answer(phone.pending.remove(0), Reply::ok()));
    assert_eq!((late, wanted.len()), (Err(sansip::Gone), 0));
    hand.pass(Duration::from_secs(64));
    assert!(hand.host.endpoint().is_idle());
}

/// A question that was dropped by the service meets the same end.
#[test]
fn answer_that_was_dropped() {
    let mut hand = ByHand::new(Config::default(), Phone::new().others(Conduct::Forget));
    hand.datagram(Raw::new("OPTIONS", 1).text());
    let late = statuses(&hand.pass(Config::default().limits.answer));
    assert_eq!(late.last(), Some(&500));
    hand.pass(Duration::from_secs(64));
    assert!(hand.host.endpoint().is_idle());
}

/// C078, IC-09: an INVITE that rings for too long is cancelled (RFC 3261 §9.1, §13.2.1).
#[test]
fn ringing() {
    let time = Duration::from_secs(40);
    let mut hand = ByHand::new(config(|config| config.ringing = time), Phone::new());
    let (client, wanted) = hand.act(|_, cx| cx.request(invite(uri(ByHand::PEER, Proto::Udp))));
    let client = client.expect("it can be sent");
    let request = messages(&wanted).remove(0);
    hand.datagram(answer(&request, 180, "them", &["Contact: <sip:peer@192.0.2.9>"]));
    assert!(methods(&hand.pass(time - JUST_BEFORE)).is_empty());
    let wanted = hand.pass(JUST_BEFORE);
    assert_eq!(methods(&wanted), ["CANCEL"]);
    hand.datagram(answer(&messages(&wanted)[0], 200, "them", &[]));
    assert_eq!(methods(&hand.datagram(answer(&request, 487, "them", &[]))), ["ACK"]);
    let end = hand.host.service().end_of(client);
    assert_eq!(end, Some(ClientEnd::Final(StatusCode::REQUEST_TERMINATED)));
    assert_eq!(hand.host.service().dialog_ends(), [DialogEnd::Cancelled]);
    hand.pass(Duration::from_secs(64));
    assert!(hand.host.endpoint().is_idle());
}

/// A dialog does not live for ever (P9): at its longest life it is ended with BYE.
#[test]
fn dialog() {
    let time = Duration::from_secs(100);
    for silent in [false, true] {
        let mut hand = ByHand::new(config(|config| config.dialog = time), Phone::new());
        let (_, wanted) = hand.act(|_, cx| cx.request(invite(uri(ByHand::PEER, Proto::Udp))));
        let request = messages(&wanted).remove(0);
        hand.datagram(answer(&request, 200, "them", &["Contact: <sip:peer@192.0.2.9>"]));
        assert!(methods(&hand.pass(time - JUST_BEFORE)).is_empty());
        let wanted = hand.pass(JUST_BEFORE);
        assert_eq!(methods(&wanted), ["BYE"]);
        if !silent {
            hand.datagram(answer(&messages(&wanted)[0], 200, "", &[]));
        }
        hand.pass(Duration::from_secs(64));
        assert_eq!(hand.host.service().dialog_ends(), [DialogEnd::Expired], "silent: {silent}");
        assert!(hand.host.endpoint().is_idle());
    }
}
