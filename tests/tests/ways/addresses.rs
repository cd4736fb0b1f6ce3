use sansip::{ConnId, HeaderValue, Input, Interface, Outgoing, PeerInfo, Proto, SendError, SocketId};

use crate::hand::*;

fn text(outputs: &[sansip::Output]) -> String {
    String::from_utf8_lossy(&datagrams(outputs).first().expect("a datagram").2).into_owned()
}

/// Returns the host and port of Via, and those of Contact.
fn shown(message: &str) -> (String, String) {
    let via = field(message, "Via");
    let via = via.split(' ').nth(1).and_then(|rest| rest.split(';').next()).expect("a sent-by").to_owned();
    let contact = field(message, "Contact");
    (via, contact.trim_matches(['<', '>']).trim_start_matches("sip:").to_owned())
}

fn told(hand: &mut Hand, interfaces: &[(&str, u8, bool)]) {
    let all = interfaces.iter().map(|(addr, prefix, is_default)| {
        Interface::new(addr.parse().expect("an address"), *prefix, *is_default)
    });
    hand.feed(Input::Interfaces(all.collect()));
}

/// Returns an endpoint that listens on all addresses.
fn wildcard(change: impl FnOnce(&mut sansip::Config)) -> Hand {
    let mut hand = Hand::new(change);
    hand.listen(Proto::Udp, "0.0.0.0:5060");
    hand.listen(Proto::Udp, "[::]:5060");
    hand.listen(Proto::Tcp, "0.0.0.0:5070");
    hand
}

const MACHINE: [(&str, u8, bool); 3] =
    [("192.0.2.1", 24, true), ("10.0.0.1", 8, false), ("2001:db8::1", 64, true)];

/// C059, C057, P18: a socket bound to all addresses shows the one that leads to the peer, in its family and in brackets
/// where it is IPv6, in Via and Contact, and sends from it. No host has to be configured.
#[test]
fn c059_via_and_contact_lead_back_to_a_wildcard_socket() {
    let mut hand = wildcard(|_| ());
    let refused =
        hand.endpoint.at(hand.now).request(Outgoing::options("sip:10.0.0.9".parse().expect("a URI")));
    assert_eq!(refused, Err(SendError::NoHost), "no address is known yet");
    told(&mut hand, &MACHINE);
    for (uri, host) in [
        ("sip:10.0.0.9", "10.0.0.1:5060"),
        ("sip:203.0.113.9", "192.0.2.1:5060"),
        ("sip:[2001:db8:5::9]", "[2001:db8::1]:5060"),
    ] {
        let outputs = hand.options(uri);
        assert_eq!(shown(&text(&outputs)), (host.into(), host.into()), "{uri}");
        assert_eq!(datagrams(&outputs)[0].0, host, "{uri}");
    }
    let conn = connect(&hand.options("sip:10.0.0.9;transport=tcp"));
    let sent = sends(&hand.connected(conn, PeerInfo::default()));
    assert_eq!(shown(&sent[0].1), ("10.0.0.1:5070".into(), "10.0.0.1:5070;transport=tcp".into()));
}

/// C059: the answer to a request shows the address that it was sent to, or where the driver cannot tell, the one that leads
/// to the peer; it leaves from there.
#[test]
fn c059_answers_show_the_address_that_was_used() {
    let mut hand = wildcard(|_| ());
    told(&mut hand, &MACHINE);
    for (local, host) in [("0.0.0.0:5060", "10.0.0.1:5060"), ("192.0.2.1:5060", "192.0.2.1:5060")] {
        let via = format!("SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK{}", host.len());
        let payload = request("OPTIONS", &via, "", "");
        let (local, remote) = (address(local), address("10.0.0.9:5060"));
        hand.feed(Input::Datagram { socket: SocketId(0), local, remote, payload: payload.as_bytes() });
        let ask = hand.events.drain(..).find_map(|event| match event {
            sansip::Event::Ask(sansip::Ask::Routing(question)) => Some(question.ask()),
            _ => None,
        });
        let verdict = sansip::Verdict::Routing(sansip::Routing::Reply(sansip::Reply::ok()));
        let command = sansip::Command::Answer { ask: ask.expect("a question"), verdict };
        hand.endpoint.command(hand.now, command).expect("the question is open");
        let outputs = hand.outputs();
        assert_eq!(field(&text(&outputs), "Contact"), format!("<sip:{host}>"));
        assert_eq!(datagrams(&outputs)[0].0, host);
    }
}

/// C060, T01.10: what Via and Contact show can be set for all messages and for one, for each family.
#[test]
fn c060_hosts_can_be_set() {
    let value = |text| Some(HeaderValue::from_static(text));
    for (host, host6, own, v4, v6) in [
        (value("sip.example.com"), None, None, "sip.example.com:5060", "sip.example.com:5060"),
        (value("203.0.113.1"), None, None, "203.0.113.1:5060", "[2001:db8::1]:5060"),
        (None, value("[2001:db8::ff]"), None, "192.0.2.1:5060", "[2001:db8::ff]:5060"),
        (value("a.example"), value("b.example"), None, "a.example:5060", "b.example:5060"),
        (value("a.example"), value("b.example"), value("c.example"), "c.example:5060", "c.example:5060"),
    ] {
        let mut hand = wildcard(|config| (config.host, config.host6) = (host, host6));
        told(&mut hand, &MACHINE);
        for (uri, host) in [("sip:203.0.113.9", v4), ("sip:[2001:db8:5::9]", v6)] {
            let outgoing = Outgoing::options(uri.parse().expect("a URI"));
            let outgoing = own.iter().fold(outgoing, |outgoing, own| outgoing.host(own.clone()));
            let sent = text(&hand.send(outgoing).1);
            assert_eq!(shown(&sent), (host.into(), host.into()), "{uri}");
            let payload = response(&sent, 200);
            let socket = SocketId(u32::from(uri.contains('[')));
            let (local, remote) = (address("192.0.2.1:5060"), address("203.0.113.9:5060"));
            hand.events.clear();
            hand.feed(Input::Datagram { socket, local, remote, payload: payload.as_bytes() });
            assert_eq!(hand.ends().len(), 1, "the answer is known by what was shown");
        }
    }
    let mut hand = wildcard(|_| ());
    let outgoing = Outgoing::options("sip:203.0.113.9".parse().expect("a URI"));
    let refused = hand.endpoint.at(hand.now).request(outgoing.host(HeaderValue::from_static("no host")));
    assert_eq!(refused, Err(SendError::Host("no host".into())));
}

/// RFC 7118 §5, TP-07: a WebSocket client that nobody can connect to goes by a random name that leads nowhere, the same in
/// all its requests; one that listens shows where.
#[test]
fn tp_07_websocket_clients_go_by_no_address() {
    let mut hand = Hand::new(|_| ());
    let conn = connect(&hand.options("sip:192.0.2.9;transport=ws"));
    let sent = sends(&hand.connected(conn, PeerInfo::default()));
    let (via, contact) = shown(&sent[0].1);
    assert!(via.ends_with(".invalid") && via.len() > 16, "{via}");
    assert_eq!(contact, format!("{via};transport=ws"));
    hand.events.clear();
    hand.received(conn, &response(&sent[0].1, 200));
    assert_eq!(hand.ends().len(), 1, "its answer is known");
    let again = sends(&hand.options("sip:192.0.2.9;transport=ws"));
    assert_eq!((again[0].0, shown(&again[0].1).0), (conn, via));
    let mut hand = Hand::new(|_| ());
    hand.listen(Proto::Ws, "192.0.2.1:80");
    let conn = connect(&hand.options("sip:192.0.2.9;transport=ws"));
    assert_eq!(conn, ConnId(2));
    let sent = sends(&hand.connected(conn, PeerInfo::default()));
    assert_eq!(shown(&sent[0].1), ("192.0.2.1:80".into(), "192.0.2.1:80;transport=ws".into()));
}

/// C055, RFC 3263 §4: `maddr` of a URI says where a request goes, in both families.
#[test]
fn c055_maddr_in_uris() {
    let mut hand = wildcard(|_| ());
    told(&mut hand, &MACHINE);
    for (uri, remote) in [
        ("sip:a.example.com;maddr=10.0.0.9", "10.0.0.9:5060"),
        ("sip:a.example.com:5080;maddr=10.0.0.9", "10.0.0.9:5080"),
        ("sip:10.0.0.7;maddr=[2001:db8::9]", "[2001:db8::9]:5060"),
    ] {
        assert_eq!(datagrams(&hand.options(uri))[0].1, remote, "{uri}");
    }
}

/// C060, P15: what Via and Contact show, and the size at which requests leave UDP, can be set for one listener alone, and
/// hold for the TCP listener beside it.
#[test]
fn c060_p15_listeners_can_differ() {
    let mut hand = Hand::new(|config| config.tcp_beside_udp = true);
    let custom = sansip::Listener::new(Proto::Udp, address("10.0.0.1:5060"))
        .host(HeaderValue::from_static("inside.example"))
        .udp_size(sansip::UdpSize::UpTo(600));
    let bad = custom.clone().host(HeaderValue::from_static("no host"));
    assert_eq!(hand.endpoint.at(hand.now).listen_as(bad), Err(sansip::CommandError::Host("no host".into())));
    for listener in [custom, sansip::Listener::new(Proto::Udp, address("192.0.2.1:5060"))] {
        let socket = hand.endpoint.at(hand.now).listen_as(listener).expect("listening is not refused");
        let bound = |output: &sansip::Output| match output {
            sansip::Output::Bind { socket, addr, .. } => Some((*socket, *addr)),
            _ => None,
        };
        let (udp, addr) = hand.outputs().iter().find_map(bound).expect("a bind");
        assert_eq!(udp, socket);
        let (tcp, addr) =
            hand.feed(Input::Bound { socket, result: Ok(addr) }).iter().find_map(bound).expect("beside");
        hand.feed(Input::Bound { socket: tcp, result: Ok(addr) });
    }
    let large = |uri: &str| {
        let body = sansip::Body::new(HeaderValue::from_static("text/plain"), vec![b'x'; 400]);
        Outgoing::options(uri.parse().expect("a URI")).body(body)
    };
    assert_eq!(shown(&text(&hand.options("sip:10.0.0.9"))).0, "inside.example:5060");
    assert_eq!(
        shown(&text(&hand.send(large("sip:192.0.2.9")).1)).0,
        "192.0.2.1:5060",
        "larger than 600 bytes"
    );
    let conn = connect(&hand.send(large("sip:10.0.0.9")).1);
    let sent = sends(&hand.connected(conn, PeerInfo::default()));
    let own = "inside.example:5060";
    assert_eq!(shown(&sent[0].1), (own.into(), format!("{own};transport=tcp")));
}
