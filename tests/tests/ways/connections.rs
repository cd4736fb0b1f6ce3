use std::time::Duration;

use sansip::{
    Ask, CloseHow, ConnId, Event, FlowChange, FlowId, Input, IoKind, Method, Outgoing, Output, PeerInfo,
    Proto, Reply, Routing, SocketId, Verdict,
};

use crate::hand::*;

fn tls() -> Hand {
    let mut hand = Hand::new(|_| ());
    hand.listen(Proto::Tls, "192.0.2.1:5061");
    hand
}

/// C043, P17, RFC 5922 §7.3: a connection under TLS is used again for the name that it was opened for, and for others
/// that its certificate proves; never for another name at the same address, nor for the address.
#[test]
fn c043_p17_connections_are_reused_by_name() {
    let mut hand = tls();
    let first = connect(&hand.options("sips:example.com:5061"));
    assert!(connects(&hand.options("sips:example.com:5061")).is_empty(), "it is opening already");
    let other = hand.options("sips:other.example:5061");
    assert_eq!(connects(&other)[0].2.as_deref(), Some("other.example"), "the name before the look-up");
    assert_eq!(sends(&hand.connected(first, proved(&["example.com", "third.example"]))).len(), 2);
    let third = hand.options("sips:third.example:5061");
    assert_eq!(sends(&third).first().map(|(conn, _)| *conn), Some(first), "proved");
    let second = connect(&other);
    hand.connected(second, proved(&["other.example"]));
    assert_eq!(sends(&hand.options("sips:other.example:5061"))[0].0, second);
    assert_eq!(sends(&hand.options("sips:example.com:5061"))[0].0, first);
    let plain = hand.options("sips:192.0.2.9:5061");
    assert_eq!(connects(&plain), [(ConnId(6), Proto::Tls, None)], "no certificate proves an address");
}

/// C043: over TCP, where nothing is proved, one connection serves all names at an address.
#[test]
fn c043_tcp_is_reused_by_address() {
    let mut hand = Hand::new(|_| ());
    hand.listen(Proto::Tcp, "192.0.2.1:5060");
    let conn = connect(&hand.options("sip:example.com:5060;transport=tcp"));
    hand.connected(conn, PeerInfo::default());
    assert_eq!(sends(&hand.options("sip:other.example:5060;transport=tcp"))[0].0, conn);
}

/// C045, TP-09, RFC 5923 §8.2, §9.2: a connection of a peer with a certificate serves requests to the address in its Via
/// and to names that the certificate proves, if the Via offers it.
#[test]
fn c045_tp_09_alias() {
    let offers = "SIP/2.0/TLS 192.0.2.9:5061;branch=z9hG4bK1;alias";
    let plain = "SIP/2.0/TLS 192.0.2.9:5061;branch=z9hG4bK1";
    let known = || proved(&["p1.example.com"]);
    for (via, peer, uri, reused) in [
        (offers, known(), "sips:p1.example.com:5061", true),
        (plain, known(), "sips:p1.example.com:5061", false),
        (offers, PeerInfo::default(), "sips:p1.example.com:5061", false),
        (offers, known(), "sips:mallory.example:5061", false),
        (offers, known(), "sips:p1.example.com:5071", false),
        (offers, known(), "sips:192.0.2.9:5061", false),
    ] {
        let mut hand = tls();
        let conn = hand.accept(SocketId(0), "192.0.2.9:33333", peer).expect("there is room");
        hand.received(conn, &request("OPTIONS", via, "", ""));
        let outputs = hand.options(uri);
        assert_eq!(connects(&outputs).is_empty(), reused, "{via} {uri}");
        assert_eq!(sends(&outputs).first().map(|(conn, _)| *conn), reused.then_some(conn), "{via} {uri}");
        if reused {
            let again = hand.feed(Input::Closed { conn, error: Some(IoKind::Reset) });
            assert_eq!(connects(&again)[0].2.as_deref(), Some("p1.example.com"), "gone with its connection");
        }
    }
}

/// C045, RFC 5923 §8.1: a client offers its connection if it is told to, under TLS only.
#[test]
fn c045_clients_offer_their_connection() {
    for (alias, uri, offered) in [
        (true, "sips:192.0.2.9", true),
        (true, "sip:192.0.2.9;transport=tcp", false),
        (false, "sips:192.0.2.9", false),
    ] {
        let mut hand = Hand::new(|config| config.alias = alias);
        hand.listen(Proto::Tls, "192.0.2.1:5061");
        hand.listen(Proto::Tcp, "192.0.2.1:5060");
        let conn = connect(&hand.options(uri));
        let sent = sends(&hand.connected(conn, PeerInfo::default()));
        assert_eq!(field(&sent[0].1, "Via").ends_with(";alias"), offered, "{uri}");
    }
}

/// C044, RFC 7118 §5: a request in a dialog takes the connection of the peer's if its Contact is that very host, or a name
/// that leads nowhere; once that is gone, it goes where the Contact says.
#[test]
fn c044_requests_in_a_dialog_take_the_peers_connection() {
    for (proto, contact, reused) in [
        (Proto::Tcp, "sip:peer@192.0.2.9:33333;transport=tcp", true),
        (Proto::Tcp, "sip:peer@192.0.2.8:33333;transport=tcp", false),
        (Proto::Tls, "sips:peer@192.0.2.9:33333", true),
        (Proto::Ws, "sip:peer@df7jal23ls0d.invalid;transport=ws", true),
        (Proto::Wss, "sip:peer@df7jal23ls0d.invalid;transport=ws", true),
    ] {
        let mut hand = Hand::new(|_| ());
        let socket = hand.listen(proto, "192.0.2.1:5061");
        let conn = hand.accept(socket, "192.0.2.9:33333", PeerInfo::default()).expect("there is room");
        let via = format!("SIP/2.0/{} df7jal23ls0d.invalid;branch=z9hG4bK1", proto.via_name());
        called(&mut hand, conn, &via, contact);
        let info = Outgoing::in_dialog(Method::Info, dialog(&hand));
        let (_, outputs) = hand.send(info.clone());
        assert_eq!(sends(&outputs).first().map(|(conn, _)| *conn), reused.then_some(conn), "{contact}");
        assert_eq!(connects(&outputs).is_empty(), reused, "{contact}");
        if proto == Proto::Tcp && reused {
            let answered = response(&sends(&outputs)[0].1, 200);
            hand.received(conn, &answered);
            hand.feed(Input::Closed { conn, error: None });
            assert_eq!(connects(&hand.send(info).1).len(), 1, "a new one to the same address");
        }
    }
}

/// RFC 5626 §5.3: the application names the connection that a request takes, whatever its URI says.
#[test]
fn requests_take_the_connection_that_is_named() {
    let mut hand = Hand::new(|_| ());
    let socket = hand.listen(Proto::Ws, "192.0.2.1:80");
    let conn = hand.accept(socket, "192.0.2.9:33333", PeerInfo::default()).expect("there is room");
    let outgoing = Outgoing::options("sip:bob@example.com".parse().expect("a URI")).over(conn);
    let sent = sends(&hand.send(outgoing).1);
    assert_eq!((sent[0].0, field(&sent[0].1, "Via").starts_with("SIP/2.0/WS 192.0.2.1:80;")), (conn, true));
}

/// P12, RFC 3261 §18.4: a request over a connection that turns out to be dead is sent once more over a fresh one, the same
/// bytes; that one's end is the request's.
#[test]
fn p12_dead_connections_are_tried_anew_once() {
    let mut hand = Hand::new(|_| ());
    hand.listen(Proto::Tcp, "192.0.2.1:5060");
    let uri = "sip:192.0.2.9;transport=tcp";
    let first = connect(&hand.options(uri));
    let sent = sends(&hand.connected(first, PeerInfo::default()));
    hand.received(first, &response(&sent[0].1, 200));
    hand.events.clear();
    let stale = sends(&hand.options(uri));
    assert_eq!(stale[0].0, first);
    let outputs = hand.feed(Input::Closed { conn: first, error: Some(IoKind::Reset) });
    let second = connect(&outputs);
    assert_eq!(hand.ends(), []);
    let again = sends(&hand.connected(second, PeerInfo::default()));
    assert_eq!(again, [(second, stale[0].1.clone())]);
    let outputs = hand.feed(Input::Closed { conn: second, error: Some(IoKind::Reset) });
    assert_eq!(connects(&outputs), [], "once");
    assert_eq!(hand.ends(), [sansip::ClientEnd::Transport(IoKind::Reset)]);
}

/// P12: a connection that never opened is not tried again; nor is one whose peer has begun to answer.
#[test]
fn p12_fresh_connections_and_answered_requests_are_not_tried_again() {
    let mut hand = Hand::new(|_| ());
    hand.listen(Proto::Tcp, "192.0.2.1:5060");
    let uri = "sip:192.0.2.9;transport=tcp";
    let conn = connect(&hand.options(uri));
    let outputs = hand.feed(Input::Closed { conn, error: Some(IoKind::Refused) });
    assert_eq!(
        (connects(&outputs), hand.ends()),
        (vec![], vec![sansip::ClientEnd::Transport(IoKind::Refused)])
    );
    let conn = connect(&hand.options(uri));
    hand.connected(conn, PeerInfo::default());
    let invite = Outgoing::invite(uri.parse().expect("a URI"));
    let sent = sends(&hand.send(invite).1);
    hand.received(conn, &response(&sent[0].1, 180));
    hand.events.clear();
    let outputs = hand.feed(Input::Closed { conn, error: Some(IoKind::Reset) });
    let ends = hand.ends();
    assert_eq!(connects(&outputs), [], "{ends:?}");
    assert!(ends.contains(&sansip::ClientEnd::Transport(IoKind::Reset)));
}

/// P11: a response takes the connection of its request, and under TLS, when that is gone, one to the name in its Via.
#[test]
fn p11_a_new_connection_for_a_response_leads_to_the_name() {
    let mut hand = tls();
    let conn = hand.accept(SocketId(0), "192.0.2.9:33333", PeerInfo::default()).expect("there is room");
    hand.received(conn, &request("OPTIONS", "SIP/2.0/TLS p1.example.com;branch=z9hG4bK1", "", ""));
    let ask = hand.events.iter().find_map(|event| match event {
        Event::Ask(Ask::Routing(question)) => Some(question.ask()),
        _ => None,
    });
    hand.feed(Input::Closed { conn, error: None });
    let verdict = Verdict::Routing(Routing::Reply(Reply::ok()));
    let command = sansip::Command::Answer { ask: ask.expect("a question"), verdict };
    hand.endpoint.command(hand.now, command).expect("the question is open");
    let outputs = hand.outputs();
    let Some(Output::Connect { proto, remote, name, .. }) = outputs.first() else { panic!("{outputs:?}") };
    assert_eq!((*proto, *remote), (Proto::Tls, address("192.0.2.9:5061")));
    assert_eq!(name.as_ref().map(ToString::to_string).as_deref(), Some("p1.example.com"));
}

/// C047: so many connections a listener and a peer address may have, and not one more; an end makes room.
#[test]
fn c047_connections_are_capped_by_listener_and_peer() {
    let mut hand = Hand::new(|config| {
        config.limits.connections_per_listener = 3;
        config.limits.connections_per_peer = 2;
    });
    let first = hand.listen(Proto::Tcp, "192.0.2.1:5060");
    let second = hand.listen(Proto::Tcp, "192.0.2.1:5070");
    let mut accept = |socket, remote| hand.accept(socket, remote, PeerInfo::default());
    let one = accept(first, "192.0.2.9:1").expect("the first of its peer");
    assert!(accept(first, "192.0.2.9:2").is_some(), "the limit");
    assert_eq!(accept(first, "192.0.2.9:3"), None, "one over, of this peer");
    assert_eq!(accept(second, "192.0.2.9:3"), None, "at any listener");
    assert!(accept(first, "192.0.2.10:1").is_some());
    assert_eq!(accept(first, "192.0.2.11:1"), None, "one over, of this listener");
    assert!(accept(second, "192.0.2.11:1").is_some());
    hand.feed(Input::Closed { conn: one, error: None });
    assert!(hand.accept(second, "192.0.2.9:3", PeerInfo::default()).is_some());
    assert_eq!(hand.endpoint.stats().refused_connections, 3);
}

/// The application learns of each connection, who is at its other end, and why it has ended.
#[test]
fn flows_are_told() {
    let mut hand = tls();
    let conn =
        hand.accept(SocketId(0), "192.0.2.9:33333", proved(&["p1.example.com"])).expect("there is room");
    let (flow, opened) = (FlowId::Connection(conn), hand.changes());
    let (local, remote) = (address("192.0.2.1:5061"), address("192.0.2.9:33333"));
    let peer = proved(&["p1.example.com"]);
    assert_eq!(opened, [(flow, FlowChange::Opened { proto: Proto::Tls, local, remote, peer })]);
    let outputs = hand.pass(Duration::from_secs(180));
    assert_eq!(outputs, [Output::Close { conn, how: CloseHow::Flush }], "idle");
    assert_eq!(hand.changes(), [(flow, FlowChange::Ended(IoKind::TimedOut))]);
    hand.feed(Input::Closed { conn, error: None });
    assert_eq!(hand.changes(), [], "once");
}

/// T24.01, T24.02, T23.03, C036, RFC 4168 §3: SCTP and WebSocket keep messages whole; Via names the transport, both directions
/// share one association, and a second request opens no other.
#[test]
fn t24_02_t23_03_one_association_for_both_directions() {
    for (proto, param) in [(Proto::Sctp, "sctp"), (Proto::Ws, "ws")] {
        let mut hand = Hand::new(|_| ());
        hand.listen(proto, "192.0.2.1:5060");
        let uri = format!("sip:192.0.2.9:5060;transport={param}");
        let conn = connect(&hand.options(&uri));
        let sent = sends(&hand.connected(conn, PeerInfo::default()));
        assert!(
            field(&sent[0].1, "Via").starts_with(&format!("SIP/2.0/{} 192.0.2.1:5060;", proto.via_name()))
        );
        hand.events.clear();
        // A body without Content-Length reaches to the end of its message.
        let answered = response(&sent[0].1, 200).replace("Content-Length: 0\r\n\r\n", "\r\nbody");
        hand.received(conn, &answered);
        assert_eq!(hand.ends().len(), 1);
        assert_eq!(sends(&hand.options(&uri))[0].0, conn);
        let via = format!("SIP/2.0/{} 192.0.2.9:5060;branch=z9hG4bK1", proto.via_name());
        hand.received(conn, &request("OPTIONS", &via, "", ""));
        assert_eq!(hand.endpoint.stats().messages, 2);
        assert_eq!(hand.endpoint.connections(), 1);
    }
}

/// T23.05, T01.08, TP-07: `sips` makes WebSocket and TCP secure ones, at their own ports.
#[test]
fn t23_05_sips_is_secure() {
    for (uri, proto, port) in [
        ("sips:192.0.2.9;transport=ws", Proto::Wss, 443),
        ("sip:192.0.2.9;transport=ws", Proto::Ws, 80),
        ("sips:192.0.2.9;transport=tcp", Proto::Tls, 5061),
        ("sips:192.0.2.9", Proto::Tls, 5061),
    ] {
        let mut hand = tls();
        let outputs = hand.options(uri);
        let Some(Output::Connect { proto: found, remote, .. }) = outputs.first() else {
            panic!("{outputs:?}")
        };
        assert_eq!((*found, remote.port()), (proto, port), "{uri}");
    }
}

/// C048: a message that says it has 4 GB of body, or more than there are numbers, is answered 413 and its connection
/// closed, before any of it is kept; a request on another connection is served.
#[test]
fn c048_four_gigabytes_are_refused_at_once() {
    for length in ["4294967296", "18446744073709551616"] {
        let mut hand = Hand::new(|_| ());
        let socket = hand.listen(Proto::Tcp, "192.0.2.1:5061");
        let mut accept = |remote| hand.accept(socket, remote, PeerInfo::default()).expect("there is room");
        let (good, bad) = (accept("192.0.2.8:1"), accept("192.0.2.9:1"));
        let text = request("MESSAGE", "SIP/2.0/TCP 192.0.2.9;branch=z9hG4bK1", "", "");
        let outputs =
            hand.received(bad, &text.replace("Content-Length: 0", &format!("Content-Length: {length}")));
        assert!(sends(&outputs)[0].1.starts_with("SIP/2.0 413 "), "{outputs:?}");
        assert!(outputs.contains(&Output::Close { conn: bad, how: CloseHow::Flush }));
        assert_eq!(hand.received(bad, &"x".repeat(65_536)), [], "nothing is read any more");
        hand.received(good, &request("OPTIONS", "SIP/2.0/TCP 192.0.2.8;branch=z9hG4bK2", "", ""));
        assert!(hand.events.iter().any(|event| matches!(event, Event::Ask(_))));
    }
}

/// C047: connections beyond the cap are refused one by one, whatever their number, and those that are open are served.
#[test]
fn c047_a_flood_harms_no_open_connection() {
    let mut hand = Hand::new(|config| config.limits.connections = 1);
    let socket = hand.listen(Proto::Tcp, "192.0.2.1:5061");
    let open = hand.accept(socket, "192.0.2.8:1", PeerInfo::default()).expect("the limit");
    for port in 1..=1000 {
        assert_eq!(hand.accept(socket, &format!("192.0.2.9:{port}"), PeerInfo::default()), None);
    }
    hand.received(open, &request("OPTIONS", "SIP/2.0/TCP 192.0.2.8;branch=z9hG4bK2", "", ""));
    assert!(hand.events.iter().any(|event| matches!(event, Event::Ask(_))));
    assert_eq!((hand.endpoint.connections(), hand.endpoint.stats().refused_connections), (1, 1000));
}

/// C046, RFC 5923 §8.3: a connection is closed when it is idle, but not while a request waits for its answer over it.
#[test]
fn c046_a_connection_in_use_is_not_idle() {
    for answered in [false, true] {
        let mut hand = Hand::new(|config| config.ringing = Duration::from_secs(3600));
        hand.listen(Proto::Tcp, "192.0.2.1:5060");
        let outputs = hand.send(Outgoing::invite("sip:192.0.2.9;transport=tcp".parse().expect("a URI"))).1;
        let conn = connect(&outputs);
        let sent = sends(&hand.connected(conn, PeerInfo::default()));
        hand.received(conn, &response(&sent[0].1, 180));
        if answered {
            hand.received(conn, &response(&sent[0].1, 486));
        }
        let outputs = hand.pass(Duration::from_secs(1000));
        assert_eq!(outputs.contains(&Output::Close { conn, how: CloseHow::Flush }), answered);
    }
}

/// C046: each transport has a time of its own after which its idle connections are closed.
#[test]
fn c046_idle_times_by_transport() {
    for (proto, idle) in
        [(Proto::Tcp, 10), (Proto::Tls, 20), (Proto::Ws, 30), (Proto::Wss, 30), (Proto::Sctp, 40)]
    {
        let mut hand = Hand::new(|config| {
            let secs = Duration::from_secs;
            (config.limits.idle, config.limits.idle_tls) = (secs(10), secs(20));
            (config.limits.idle_ws, config.limits.idle_sctp) = (secs(30), secs(40));
        });
        let socket = hand.listen(proto, "192.0.2.1:5061");
        let conn = hand.accept(socket, "192.0.2.9:33333", PeerInfo::default()).expect("there is room");
        let via = format!("SIP/2.0/{} 192.0.2.9;branch=z9hG4bK1", proto.via_name());
        hand.pass(Duration::from_secs(5));
        hand.received(conn, &request("ACK", &via, "", ""));
        assert_eq!(hand.pass(Duration::from_millis(idle * 1000 - 1)), [], "{proto}");
        assert_eq!(
            hand.pass(Duration::from_millis(1)),
            [Output::Close { conn, how: CloseHow::Flush }],
            "{proto}"
        );
    }
}
