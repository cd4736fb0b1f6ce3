//! What becomes of requests and answers whose connection is gone, or must not be taken.

use std::time::Duration;

use sansip::{
    ClientEnd, Command, DialogHandle, Event, HeaderValue, Input, IoKind, Machine as _, Method, NatPolicy,
    Outgoing, Output, PeerInfo, Proto, SocketId,
};

use crate::hand::*;

const WS: &str = "SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK1";

/// Returns an endpoint with a listener of one kind, which a peer has connected to.
fn accepted(proto: Proto, peer: PeerInfo) -> (Hand, sansip::ConnId) {
    let mut hand = Hand::new(|_| ());
    let socket = hand.listen(proto, "192.0.2.1:5061");
    let conn = hand.accept(socket, "192.0.2.9:33333", peer).expect("there is room");
    (hand, conn)
}

fn info(dialog: DialogHandle) -> Outgoing {
    Outgoing::in_dialog(Method::Info, dialog)
}

/// RFC 5626 §5.3, P12: a request that had to take a connection which turns out to be dead is sent again only where its URI
/// leads over the same transport, never to the port that the peer happened to connect from.
#[test]
fn p12_a_named_connection_that_dies_leads_where_the_uri_says() {
    for (uri, again) in [
        ("sip:bob@192.0.2.7:5070;transport=tcp", Some("192.0.2.7:5070")),
        ("sip:bob@192.0.2.7:5070;transport=tls", None),
        ("sip:bob@example.com", None),
    ] {
        let (mut hand, conn) = accepted(Proto::Tcp, PeerInfo::default());
        hand.send(Outgoing::options(uri.parse().expect("a URI")).over(conn));
        let outputs = hand.feed(Input::Closed { conn, error: Some(IoKind::Reset) });
        assert_eq!(dialled(&outputs).first().map(String::as_str), again, "{uri}");
        let failed = if again.is_some() { vec![] } else { vec![ClientEnd::Transport(IoKind::Reset)] };
        assert_eq!(hand.ends(), failed, "{uri}");
    }
}

/// RFC 7118 §5: when the connection of a peer without an address is gone, so is the way to it: nothing is dialled, and no
/// name server is asked for what ends in `.invalid` (RFC 6761 §6.4).
#[test]
fn requests_to_a_peer_without_an_address_end_with_its_connection() {
    for waits in [true, false] {
        let (mut hand, conn) = accepted(Proto::Ws, PeerInfo::default());
        called(&mut hand, conn, WS, "sip:peer@df7jal23ls0d.invalid;transport=ws");
        let dialog = dialog(&hand);
        hand.events.clear();
        if waits {
            assert_eq!(sends(&hand.send(info(dialog)).1).len(), 1);
        }
        assert_eq!(connects(&hand.feed(Input::Closed { conn, error: None })), []);
        if !waits {
            hand.endpoint.at(hand.now).request(info(dialog)).expect("the dialog is there");
            while let Some(output) = hand.endpoint.poll_output() {
                assert!(!matches!(output, Output::Resolve { .. } | Output::Connect { .. }), "{output:?}");
            }
            hand.outputs();
        }
        let end = if waits { ClientEnd::Transport(IoKind::Reset) } else { ClientEnd::NoAddress };
        assert_eq!(hand.ends(), [end]);
    }
}

/// UA-13, DL-12, RFC 5057 §5.1: a way that is broken fails the request, as a 503 would, and leaves its dialog alone, which
/// the next request finds; a BYE ends it all the same.
#[test]
fn dl_12_a_broken_way_ends_no_dialog() {
    let (mut hand, conn) = accepted(Proto::Tcp, PeerInfo::default());
    let via = "SIP/2.0/TCP 192.0.2.9:5060;branch=z9hG4bK1";
    called(&mut hand, conn, via, "sip:peer@192.0.2.9:5060;transport=tcp");
    hand.feed(Input::Closed { conn, error: None });
    let dialog = dialog(&hand);
    hand.events.clear();
    let ended = |hand: &Hand| hand.events.iter().any(|event| matches!(event, Event::Dialog { .. }));
    for attempt in 0..2 {
        let conn = connect(&hand.send(info(dialog)).1);
        hand.feed(Input::Closed { conn, error: Some(IoKind::Refused) });
        assert!(!ended(&hand), "{attempt}");
        assert_eq!(hand.ends(), [ClientEnd::Transport(IoKind::Refused)]);
    }
    hand.endpoint.command(hand.now, Command::Bye { dialog }).expect("it is confirmed");
    let conn = connect(&hand.outputs());
    hand.feed(Input::Closed { conn, error: Some(IoKind::Refused) });
    assert!(ended(&hand) && hand.endpoint.calls() == 1, "its INVITE lingers");
}

/// RFC 3261 §26.2.2: what SIPS names goes over TLS, whatever connection the application names, and wherever a peer behind
/// NAT called from.
#[test]
fn sips_never_takes_a_plain_way() {
    let (mut hand, conn) = accepted(Proto::Tcp, PeerInfo::default());
    let outputs = hand.send(Outgoing::options("sips:192.0.2.7".parse().expect("a URI")).over(conn)).1;
    assert_eq!(connects(&outputs)[0].1, Proto::Tls);

    let mut hand = Hand::new(|config| config.nat = NatPolicy::SymmetricSource);
    let socket = hand.listen(Proto::Tcp, "192.0.2.1:5061");
    let conn = hand.accept(socket, "192.0.2.9:33333", PeerInfo::default()).expect("there is room");
    let via = "SIP/2.0/TCP 192.0.2.9:5060;branch=z9hG4bK1";
    called(&mut hand, conn, via, "sips:peer@10.0.0.9:5061");
    let outputs = hand.send(info(dialog(&hand))).1;
    assert_eq!(connects(&outputs)[0].1, Proto::Tls);
}

/// C044, T13.26: requests in a dialog take the connection over which the peer called, although its Contact names the port
/// that it listens at; over TLS too. Another host, a name or another transport is where the Contact says.
#[test]
fn c044_t13_26_a_callers_connection_is_used_backwards() {
    for (proto, contact, reused) in [
        (Proto::Tcp, "sip:peer@192.0.2.9:5060;transport=tcp", true),
        (Proto::Tcp, "sip:peer@192.0.2.9;transport=tcp", true),
        (Proto::Tls, "sips:peer@192.0.2.9:5061", true),
        (Proto::Tls, "sip:peer@192.0.2.9:5060;transport=tls", true),
        (Proto::Wss, "sips:peer@192.0.2.9;transport=ws", true),
        (Proto::Tls, "sips:peer@p1.example.com:5061", false),
        (Proto::Tcp, "sip:peer@192.0.2.10:5060;transport=tcp", false),
        (Proto::Tcp, "sips:peer@192.0.2.9:5061", false),
    ] {
        let (mut hand, conn) = accepted(proto, PeerInfo::default());
        let via = format!("SIP/2.0/{} 192.0.2.9:5060;branch=z9hG4bK1", proto.via_name());
        called(&mut hand, conn, &via, contact);
        let command = Command::Bye { dialog: dialog(&hand) };
        hand.endpoint.command(hand.now, command).expect("it is confirmed");
        let outputs = hand.outputs();
        let over = sends(&outputs).first().map(|(conn, _)| *conn);
        assert_eq!((over, connects(&outputs).is_empty()), (reused.then_some(conn), reused), "{contact}");
    }
}

/// C044, C042, TP-14, RFC 3261 §12.1.1: an answer over a connection that this side has opened shows where it listens, not
/// the port of that connection, which may be gone when the peer wants to reach it; over WebSocket, the name that leads
/// nowhere, as its requests did.
#[test]
fn c044_answers_show_where_this_side_listens() {
    for (proto, listens, contact) in [
        (Proto::Tcp, Some(Proto::Tcp), "<sip:192.0.2.1:5060;transport=tcp>"),
        (Proto::Wss, Some(Proto::Wss), "<sip:192.0.2.1:5060;transport=ws>"),
        (Proto::Wss, None, ""),
    ] {
        let mut hand = Hand::new(|_| ());
        hand.listen(listens.unwrap_or(Proto::Tcp), "192.0.2.1:5060");
        let param =
            if proto == Proto::Wss { "sips:192.0.2.9;transport=ws" } else { "sip:192.0.2.9;transport=tcp" };
        let conn = connect(&hand.options(param));
        let sent = sends(&hand.connected(conn, PeerInfo::default()));
        let via = format!("SIP/2.0/{} 192.0.2.9;branch=z9hG4bK1", proto.via_name());
        let theirs = "sip:peer@192.0.2.9;transport=tcp";
        let ok = called(&mut hand, conn, &via, theirs);
        let shown = if contact.is_empty() {
            field(&sent[0].1, "Contact").replace("sips:", "sip:")
        } else {
            contact.to_owned()
        };
        assert_eq!(field(&ok, "Contact"), shown);
    }
}

/// RFC 3261 §12.2.1.1: a connection that this side has opened leads to one port; a callee whose Contact names another one is
/// reached there.
#[test]
fn a_callee_at_another_port_is_reached_there() {
    for (contact, dialled_then) in [("192.0.2.9:5060", None), ("192.0.2.9:5070", Some("192.0.2.9:5070"))] {
        let mut hand = Hand::new(|_| ());
        hand.listen(Proto::Tcp, "192.0.2.1:5060");
        let invite = Outgoing::invite("sip:192.0.2.9;transport=tcp".parse().expect("a URI"));
        let conn = connect(&hand.send(invite.body(sansip::Body::sdp("v=0\r\n"))).1);
        let sent = sends(&hand.connected(conn, PeerInfo::default()));
        let fields = format!("Contact: <sip:peer@{contact};transport=tcp>\r\nContent-Length");
        let outputs = hand.received(conn, &response(&sent[0].1, 200).replace("Content-Length", &fields));
        assert_eq!(dialled(&outputs).first().map(String::as_str), dialled_then, "the ACK");
    }
}

/// RFC 3261 §17.2, P11: who repeats a request over a new connection, since its own has died, gets the answer there.
#[test]
fn p11_an_answer_follows_a_repeated_request() {
    let (mut hand, first) = accepted(Proto::Ws, PeerInfo::default());
    let text = request("INVITE", WS, "", "Contact: <sip:peer@df7jal23ls0d.invalid;transport=ws>\r\n");
    hand.received(first, &text);
    hand.feed(Input::Closed { conn: first, error: Some(IoKind::Reset) });
    let second = hand.accept(SocketId(0), "192.0.2.9:33334", PeerInfo::default()).expect("there is room");
    hand.received(second, &text);
    let ok = answer(&mut hand).expect("it is accepted");
    assert_eq!(ok.0, second);
}

/// `unsent`: one message beyond the limit is refused, and does not take the connection with it.
#[test]
fn a_message_beyond_all_bounds_harms_no_connection() {
    let mut hand = Hand::new(|config| config.limits.unsent = 2000);
    hand.listen(Proto::Tcp, "192.0.2.1:5060");
    let uri = "sip:192.0.2.9;transport=tcp";
    let conn = connect(&hand.options(uri));
    let sent = sends(&hand.connected(conn, PeerInfo::default()));
    hand.received(conn, &response(&sent[0].1, 200));
    hand.feed(Input::Drained { conn, bytes: sent[0].1.len() });
    hand.events.clear();
    let body = sansip::Body::new(HeaderValue::from_static("text/plain"), vec![b'x'; 2001]);
    let large = Outgoing::new(Method::Message, uri.parse().expect("a URI")).body(body);
    assert_eq!(hand.send(large).1, []);
    assert_eq!(hand.ends(), [ClientEnd::Transport(IoKind::Limit)]);
    assert_eq!(sends(&hand.options(uri))[0].0, conn);
}

/// RFC 5923 §8.2: a peer that offers its connection for another port than before is still reached at the address that it
/// connected from.
#[test]
fn c045_an_alias_moves_and_leaves_the_peers_own_address() {
    let (mut hand, conn) = accepted(Proto::Tls, proved(&["p1.example.com"]));
    for port in [33333, 5061] {
        let via = format!("SIP/2.0/TLS 192.0.2.9:{port};branch=z9hG4bK{port};alias");
        hand.received(conn, &request("OPTIONS", &via, "", ""));
    }
    for port in [33333, 5061] {
        let outputs = hand.options(&format!("sips:p1.example.com:{port}"));
        assert_eq!(sends(&outputs).first().map(|(conn, _)| *conn), Some(conn), "{port}");
    }
}

/// RFC 5626 §4.4: to ask once where a flow is seen does not end its keep-alive.
#[test]
fn c053_asking_once_leaves_the_keep_alive_alone() {
    let mut hand = Hand::new(|_| ());
    let socket = hand.listen(Proto::Udp, "192.0.2.1:5060");
    let server = address("198.51.100.1:3478");
    let flow = sansip::FlowId::Datagrams { socket, remote: server };
    hand.endpoint.at(hand.now).keep_alive(flow, Some(Duration::from_secs(29))).expect("it can be asked");
    hand.endpoint.at(hand.now).stun(socket, server).expect("it can be asked");
    let requests = datagrams(&hand.outputs());
    let last = &requests.last().expect("a request").2;
    let answer =
        [&[1, 1, 0, 12], &last[4..20], &[0, 0x20, 0, 8, 0, 1, 0x11, 0, 0xEA, 0x12, 0xD5, 0x45]].concat();
    let local = address("192.0.2.1:5060");
    hand.feed(Input::Datagram { socket, local, remote: server, payload: &answer });
    assert!(!datagrams(&hand.pass(Duration::from_secs(29))).is_empty(), "asked again in time");
    assert!(hand.events.iter().any(|event| matches!(event, Event::Flow { .. })));
}

/// Has a peer ask over a connection that dies before it is refused; returns what the endpoint does.
fn refused_late(via: &str, srv: &[(u16, u16, &str)]) -> (Hand, Vec<Output>) {
    let mut hand = Hand::new(|_| ());
    let record = |(priority, port, target): &(u16, u16, &str)| sansip::Srv {
        priority: *priority,
        weight: 0,
        port: *port,
        target: target.parse().ok(),
    };
    hand.srv = srv.iter().map(record).collect();
    let socket = hand.listen(Proto::Tcp, "192.0.2.1:5060");
    let conn = hand.accept(socket, "192.0.2.8:33333", PeerInfo::default()).expect("there is room");
    hand.received(conn, &request("INVITE", via, "", "Contact: <sip:peer@192.0.2.8>\r\n"));
    hand.feed(Input::Closed { conn, error: Some(IoKind::Reset) });
    let outputs = refuse(&mut hand);
    (hand, outputs)
}

/// DN-15, IS-18, TP-03, RFC 3261 §18.2.2, RFC 3263 §5: a response whose connection is gone goes to the address that its
/// request came from, and when nobody listens there, to what the sent-by names: a host with a port by its addresses, one
/// without by SRV, one after the other. When all have failed, the application is told, once.
#[test]
fn dn_15_responses_find_another_way() {
    let served = [(2, 5072, "s2.example.com"), (1, 5071, "s1.example.com")];
    for (via, first, then) in [
        ("p1.example.com:5070", "192.0.2.8:5070", &["192.0.2.9:5070"][..]),
        ("p1.example.com", "192.0.2.8:5060", &["192.0.2.9:5071", "192.0.2.9:5072"]),
        ("192.0.2.7:5070", "192.0.2.8:5070", &["192.0.2.7:5070"]),
        ("192.0.2.8:5070", "192.0.2.8:5070", &[]),
        ("127.0.0.1:5070", "192.0.2.8:5070", &[]),
        ("p1.invalid:5070", "192.0.2.8:5070", &[]),
    ] {
        for fails in [true, false] {
            let via = format!("SIP/2.0/TCP {via};branch=z9hG4bK1");
            let (mut hand, mut outputs) = refused_late(&via, &served);
            hand.events.clear();
            for (at, place) in [&first].into_iter().chain(then).enumerate() {
                assert_eq!(dialled(&outputs), [*place], "{via}");
                let conn = connect(&outputs);
                if at == then.len() && !fails {
                    let sent = sends(&hand.connected(conn, PeerInfo::default()));
                    assert!(sent[0].1.starts_with("SIP/2.0 486 ") && sent.len() == 1, "{via}");
                } else {
                    outputs = hand.feed(Input::Closed { conn, error: Some(IoKind::Refused) });
                }
            }
            let told = sansip::ServerEnd::Transport(IoKind::Refused);
            let told = |event: &Event| matches!(event, Event::ServerEnded { end, .. } if *end == told);
            assert_eq!(hand.events.iter().filter(|event| told(event)).count(), usize::from(fails), "{via}");
            hand.pass(Duration::from_secs(400));
            assert!(hand.endpoint.is_idle(), "{via}");
        }
    }
}
