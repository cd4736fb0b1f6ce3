//! Every bound of `Limits` that counts something, at the limit and one over.

use std::time::Duration;

use sansip::{
    ClientEnd, CloseHow, Command, CommandError, Config, ConnId, Input, IoKind, Outgoing, Output, Proto,
    Reply, SendError, StatusCode,
};
use sansip_tests::{
    ByHand, Conduct, Note, Phone, Raw, answer, closes, invite, messages, methods, statuses, uri, uri_of,
};

fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

/// Sends the same request as a datagram and over a connection; returns both answers and whether the connection ended.
fn both_ways(config: &Config, request: &Raw) -> (Vec<u16>, Vec<u16>, bool) {
    let mut hand = ByHand::new(config.clone(), Phone::new());
    let datagram = statuses(&hand.datagram(request.text()));
    let (conn, _) = hand.accept();
    let wanted = hand.received(conn, request.clone().tcp().text());
    let next = hand.received(conn, Raw::new("OPTIONS", 99).tcp().text());
    let closed = closes(&wanted);
    assert!(closed.iter().all(|close| *close == (conn, CloseHow::Flush)), "the answer still goes out");
    assert_eq!(statuses(&next).is_empty(), !closed.is_empty(), "nothing is read after the end");
    (datagram, statuses(&wanted), !closed.is_empty())
}

#[test]
fn head() {
    let limit = |config: &mut Config| config.limits.head = 1000;
    let padded = |length: usize| {
        let bare = Raw::new("OPTIONS", 1).field("Subject", "").text().len();
        Raw::new("OPTIONS", 1).field("Subject", &"x".repeat(length - bare))
    };
    assert_eq!(padded(1000).text().len(), 1000);
    assert_eq!(both_ways(&config(limit), &padded(1000)), (vec![200], vec![200], false));
    assert_eq!(both_ways(&config(limit), &padded(1001)), (vec![513], vec![513], true));
}

#[test]
fn headers() {
    let limit = |config: &mut Config| config.limits.headers = 20;
    let with = |fields: usize| {
        let bare = Raw::new("OPTIONS", 1).text().matches("\r\n").count() - 2;
        (bare..fields).fold(Raw::new("OPTIONS", 1), |raw, _| raw.field("Subject", "x"))
    };
    assert_eq!(both_ways(&config(limit), &with(20)), (vec![200], vec![200], false));
    assert_eq!(both_ways(&config(limit), &with(21)), (vec![400], vec![400], false));
}

#[test]
fn header_value() {
    let limit = |config: &mut Config| config.limits.header_value = 100;
    let with = |length: usize| Raw::new("OPTIONS", 1).field("Subject", &"x".repeat(length));
    assert_eq!(both_ways(&config(limit), &with(100)), (vec![200], vec![200], false));
    assert_eq!(both_ways(&config(limit), &with(101)), (vec![400], vec![400], false));
}

#[test]
fn body() {
    let limit = |config: &mut Config| config.limits.body = 500;
    let with = |length: usize| Raw::new("MESSAGE", 1).body("x".repeat(length));
    assert_eq!(both_ways(&config(limit), &with(500)), (vec![200], vec![200], false));
    assert_eq!(both_ways(&config(limit), &with(501)), (vec![413], vec![413], true));
}

fn retry_after(outputs: &[Output]) -> bool {
    messages(outputs).iter().all(|text| text.contains("\r\nRetry-After: "))
}

#[test]
fn calls() {
    let mut hand = ByHand::new(config(|config| config.limits.calls = 2), Phone::new());
    let invite_or_not = |number| Raw::new("OPTIONS", number);
    assert_eq!(statuses(&hand.datagram(invite_or_not(1).text())), [200]);
    assert_eq!(statuses(&hand.datagram(invite_or_not(2).text())), [200]);
    let shed = hand.datagram(invite_or_not(3).text());
    assert_eq!(statuses(&shed), [503]);
    assert!(retry_after(&shed));
    assert_eq!((hand.host.endpoint().calls(), hand.host.endpoint().stats().shed), (2, 1));
    let (refused, _) = hand.act(|_, cx| cx.request(Outgoing::options(uri(ByHand::PEER, Proto::Udp))));
    assert_eq!(refused, Err(SendError::Limit("calls")));
    // What has begun goes on: a copy is answered again.
    assert_eq!(statuses(&hand.datagram(invite_or_not(1).text())), [200]);
    hand.pass(Duration::from_secs(33));
    assert_eq!(statuses(&hand.datagram(invite_or_not(4).text())), [200], "there is room again");
    let (sent, _) = hand.act(|_, cx| cx.request(Outgoing::options(uri(ByHand::PEER, Proto::Udp))));
    sent.expect("for one more");
    let (refused, _) = hand.act(|_, cx| cx.request(Outgoing::options(uri(ByHand::PEER, Proto::Udp))));
    assert_eq!(refused, Err(SendError::Limit("calls")));
}

#[test]
fn transactions_per_call() {
    let mut hand = ByHand::new(config(|config| config.limits.transactions_per_call = 2), Phone::new());
    let mut ask = |number: u32| {
        let request = Raw::new("OPTIONS", number as usize).call_id("one").cseq(number);
        hand.datagram(request.text())
    };
    assert_eq!(statuses(&ask(1)), [200]);
    assert_eq!(statuses(&ask(2)), [200]);
    let shed = ask(3);
    assert_eq!((statuses(&shed), retry_after(&shed)), (vec![503], true));
    let out = || Outgoing::options(uri(ByHand::PEER, Proto::Udp)).call_id("two".try_into().expect("a value"));
    for _ in 0..2 {
        let (sent, _) = hand.act(|_, cx| cx.request(out()));
        sent.expect("there is room");
    }
    let (refused, wanted) = hand.act(|_, cx| cx.request(out()));
    assert_eq!(refused, Err(SendError::Limit("transactions_per_call")));
    assert!(wanted.is_empty());
    assert_eq!(statuses(&hand.datagram(Raw::new("OPTIONS", 4).text())), [200], "other calls go on");
}

#[test]
fn dialogs_per_call_of_a_client() {
    let mut hand = ByHand::new(config(|config| config.limits.dialogs_per_call = 2), Phone::new());
    let (client, wanted) = hand.act(|_, cx| cx.request(invite(uri(ByHand::PEER, Proto::Udp))));
    let client = client.expect("it can be sent");
    let request = messages(&wanted).remove(0);
    for tag in ["a", "b", "c"] {
        hand.datagram(answer(&request, 180, tag, &["Contact: <sip:peer@192.0.2.9>"]));
    }
    let dialogs = |hand: &ByHand| -> Vec<bool> {
        let made = |note: &Note| match note {
            Note::Response(_, 180, dialog) => Some(dialog.is_some()),
            _ => None,
        };
        hand.host.service().notes.iter().filter_map(made).collect()
    };
    assert_eq!(dialogs(&hand), [true, true, false], "the third is told, but makes no dialog");
    let ok = answer(&request, 200, "c", &["Contact: <sip:peer@192.0.2.9>"]);
    assert_eq!(methods(&hand.datagram(ok.clone())), ["ACK", "BYE"], "what has no place is ended");
    assert_eq!(methods(&hand.datagram(ok)), ["ACK"], "and its copies are acknowledged");
    assert_eq!(hand.host.service().end_of(client), Some(ClientEnd::Final(StatusCode::OK)));
    assert_eq!(hand.host.service().statuses(client), [180, 180, 180, 200], "it is told once");
    let wanted = hand.datagram(answer(&request, 200, "b", &["Contact: <sip:peer@192.0.2.9>"]));
    assert_eq!(methods(&wanted), ["ACK"], "a dialog that is there goes on");
    let ends = hand.host.service().notes.iter().filter(|note| matches!(note, Note::Ended(..))).count();
    assert_eq!(ends, 1);
}

#[test]
fn dialogs_per_call_of_a_server() {
    let config = config(|config| config.limits.dialogs_per_call = 2);
    let mut hand = ByHand::new(config, Phone::new().invites(Conduct::Defer));
    let ask = |number: u32| Raw::new("INVITE", number as usize).call_id("one").cseq(number).text();
    assert_eq!(statuses(&hand.datagram(ask(1))), [0_u16; 0]);
    assert_eq!(statuses(&hand.datagram(ask(2))), [0_u16; 0]);
    assert_eq!(statuses(&hand.datagram(ask(3))), [0_u16; 0]);
    let mut accept = || {
        let (done, wanted) = hand.act(|phone, cx| cx.answer(phone.pending.remove(0), Reply::ok()));
        done.expect("it is in time");
        statuses(&wanted)
    };
    assert_eq!(accept(), [200]);
    assert_eq!(accept(), [200]);
    assert_eq!(accept(), [503], "it cannot be accepted without a dialog");
    let shed = hand.datagram(ask(4));
    assert_eq!((statuses(&shed), retry_after(&shed)), (vec![503], true), "nobody is asked any more");
    assert_eq!(hand.host.service().asked(&sansip::Method::Invite).len(), 3);
}

#[test]
fn questions() {
    let config = config(|config| config.limits.questions = 2);
    let mut hand = ByHand::new(config, Phone::new().others(Conduct::Defer));
    assert!(hand.datagram(Raw::new("MESSAGE", 1).text()).is_empty());
    assert!(hand.datagram(Raw::new("MESSAGE", 2).text()).is_empty());
    let shed = hand.datagram(Raw::new("MESSAGE", 3).text());
    assert_eq!((statuses(&shed), retry_after(&shed)), (vec![503], true));
    let (answered, wanted) = hand.act(|phone, cx| cx.answer(phone.pending.remove(0), Reply::ok()));
    assert_eq!((answered, statuses(&wanted)), (Ok(()), vec![200]));
    assert!(hand.datagram(Raw::new("MESSAGE", 4).text()).is_empty(), "there is room again");
    hand.pass(Duration::from_secs(70));
    assert!(hand.host.endpoint().is_idle());
}

/// Questions count in all calls together, also where the call of one more is there already.
#[test]
fn questions_of_one_call() {
    let config = config(|config| config.limits.questions = 2);
    let mut hand = ByHand::new(config, Phone::new().others(Conduct::Defer));
    let mut ask = |number: u32| {
        let request = Raw::new("MESSAGE", number as usize).call_id("one").cseq(number);
        hand.datagram(request.text())
    };
    assert!(ask(1).is_empty());
    assert!(ask(2).is_empty());
    let shed = ask(3);
    assert_eq!((statuses(&shed), retry_after(&shed)), (vec![503], true));
    hand.pass(Duration::from_secs(70));
    assert!(hand.host.endpoint().is_idle());
}

#[test]
fn connections() {
    let mut hand = ByHand::new(config(|config| config.limits.connections = 2), Phone::new());
    let [(first, one), (_, two), (third, three)] = [hand.accept(), hand.accept(), hand.accept()];
    assert_eq!((one, two), (vec![], vec![]));
    assert_eq!(closes(&three), [(third, CloseHow::Reset)]);
    assert_eq!(hand.host.endpoint().stats().refused_connections, 1);
    let (client, wanted) = hand.act(|_, cx| cx.request(Outgoing::options(uri(ByHand::PEER, Proto::Tcp))));
    assert!(wanted.is_empty(), "{wanted:?}");
    let end = hand.host.service().end_of(client.expect("it is told by an event"));
    assert_eq!(end, Some(ClientEnd::Transport(IoKind::Limit)));
    assert_eq!(statuses(&hand.received(first, Raw::new("OPTIONS", 1).tcp().text())), [200]);
    hand.feed(Input::Closed { conn: first, error: None });
    assert!(hand.accept().1.is_empty(), "there is room again");
}

/// Asks a peer over TCP; returns the connection that was opened for it, if one was.
fn connect(hand: &mut ByHand, to: std::net::SocketAddr) -> (sansip::ClientHandle, Option<ConnId>) {
    let (client, wanted) = hand.act(|_, cx| cx.request(Outgoing::options(uri(to, Proto::Tcp))));
    let opened = wanted.iter().find_map(|output| match output {
        Output::Connect { conn, .. } => Some(*conn),
        _ => None,
    });
    let peer = sansip::PeerInfo::default();
    if let Some(conn) = opened {
        hand.feed(Input::Connected { conn, local: ByHand::ADDR, peer });
    }
    (client.expect("it can be sent"), opened)
}

#[test]
fn unsent() {
    let mut size = ByHand::new(Config::default(), Phone::new());
    let (_, wanted) = size.act(|_, cx| cx.request(Outgoing::options(uri(ByHand::PEER, Proto::Tcp))));
    let opened = wanted.iter().find_map(|output| match output {
        Output::Connect { conn, .. } => Some(*conn),
        _ => None,
    });
    let peer = sansip::PeerInfo::default();
    let conn = opened.expect("a connection was opened");
    let one = messages(&size.feed(Input::Connected { conn, local: ByHand::ADDR, peer }))[0].len();

    // Every request is as long as the next: only tags, branch and Call-ID differ.
    let mut hand = ByHand::new(config(|config| config.limits.unsent = 3 * one), Phone::new());
    let other_peer = "192.0.2.77:5060".parse().expect("an address");
    let (elsewhere, other) = connect(&mut hand, other_peer);
    let (slow, conn) = connect(&mut hand, ByHand::PEER);
    let conn = conn.expect("a connection was opened");
    let more: Vec<_> = (0..2).map(|_| connect(&mut hand, ByHand::PEER)).collect();
    assert!(more.iter().all(|(_, opened)| opened.is_none()), "the connection is shared");
    assert!(hand.host.service().notes.iter().all(|note| !matches!(note, Note::Ended(..))), "at the limit");
    let (last, wanted) = hand.act(|_, cx| cx.request(Outgoing::options(uri(ByHand::PEER, Proto::Tcp))));
    assert_eq!(closes(&wanted), [(conn, CloseHow::Reset)], "one byte over");
    let last = last.expect("it is told by an event");
    for client in [slow, more[0].0, more[1].0, last] {
        assert_eq!(hand.host.service().end_of(client), Some(ClientEnd::Transport(IoKind::Limit)));
    }
    assert_eq!(hand.host.service().end_of(elsewhere), None, "others go on");
    assert!(other.is_some_and(|other| other != conn));
    // What has left counts no more.
    let (_, conn) = connect(&mut hand, ByHand::PEER);
    for _ in 0..5 {
        hand.feed(Input::Drained { conn: conn.expect("a new connection"), bytes: one });
        assert_eq!(connect(&mut hand, ByHand::PEER).1, None);
    }
}

/// A peer that pings without reading is a slow reader, too.
#[test]
fn unsent_pongs() {
    let mut hand = ByHand::new(config(|config| config.limits.unsent = 4), Phone::new());
    let (conn, _) = hand.accept();
    assert_eq!(messages(&hand.received(conn, "\r\n\r\n\r\n\r\n")), ["\r\n", "\r\n"]);
    assert_eq!(closes(&hand.received(conn, "\r\n\r\n")), [(conn, CloseHow::Reset)]);
    assert!(hand.received(conn, "\r\n\r\n").is_empty(), "nothing is read after the end");
}

#[test]
fn expiries_per_input() {
    let mut hand = ByHand::new(config(|config| config.limits.expiries_per_input = 3), Phone::new());
    let (_, _) = hand.act(|_, cx| {
        for _ in 0..7 {
            cx.alarm(Duration::from_secs(1)).expect("there is room");
        }
    });
    let late = hand.now() + Duration::from_secs(2);
    let mut rung = Vec::new();
    for _ in 0..4 {
        sansip::Machine::handle_input(&mut hand.host, late, Input::Timeout);
        rung.push(hand.host.service().notes.iter().filter(|note| matches!(note, Note::Alarm(_))).count());
        let due = sansip::Machine::poll_timeout(&hand.host);
        assert_eq!(due.is_some_and(|due| due <= late), rung.len() < 3, "the rest is due at once");
    }
    assert_eq!(rung, [3, 6, 7, 7]);
}

#[test]
fn events_per_input() {
    let config = config(|config| {
        config.limits.events_per_input = 3;
        config.limits.expiries_per_input = 100;
    });
    let mut hand = ByHand::new(config, Phone::new());
    hand.act(|_, cx| {
        for _ in 0..7 {
            cx.alarm(Duration::from_secs(1)).expect("there is room");
        }
    });
    let late = hand.now() + Duration::from_secs(2);
    let mut rung = Vec::new();
    for _ in 0..4 {
        sansip::Machine::handle_input(&mut hand.host, late, Input::Timeout);
        rung.push(hand.host.service().notes.iter().filter(|note| matches!(note, Note::Alarm(_))).count());
        let due = sansip::Machine::poll_timeout(&hand.host);
        assert_eq!(due.is_some_and(|due| due <= late), rung.len() < 3, "the rest is due at once");
    }
    assert_eq!(rung, [3, 6, 7, 7]);
}

#[test]
fn alarms() {
    let mut hand = ByHand::new(config(|config| config.limits.alarms = 2), Phone::new());
    let set = |hand: &mut ByHand| hand.act(|_, cx| cx.alarm(Duration::from_secs(5)).map(drop)).0;
    assert_eq!((set(&mut hand), set(&mut hand)), (Ok(()), Ok(())));
    assert_eq!(set(&mut hand), Err(CommandError::Limit("alarms")));
    hand.pass(Duration::from_secs(5));
    let rung = hand.host.service().notes.iter().filter(|note| matches!(note, Note::Alarm(_))).count();
    assert_eq!((rung, set(&mut hand)), (2, Ok(())), "there is room again");
}

/// A request of ours that is larger than a message may be is refused before it is sent.
#[test]
fn requests_of_our_own_are_bounded() {
    let limit = |config: &mut Config| (config.limits.head, config.limits.body) = (1000, 500);
    let mut hand = ByHand::new(config(limit), Phone::new());
    let plain = sansip::HeaderValue::from_static("text/plain");
    let send = |hand: &mut ByHand, bytes: usize| {
        let body = sansip::Body::new(plain.clone(), vec![b'x'; bytes]);
        let request =
            Outgoing::new(sansip::Method::Message, uri_of("sip:192.0.2.9;transport=udp")).body(body);
        hand.act(|_, cx| cx.command(Command::Request(Box::new(request))).map(drop)).0
    };
    assert_eq!(send(&mut hand, 500), Ok(()));
    assert_eq!(send(&mut hand, 1500), Err(CommandError::Send(SendError::TooLarge)));
    assert_eq!(hand.host.endpoint().calls(), 1, "nothing is left of it");
}
