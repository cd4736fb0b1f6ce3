use std::time::Duration;

use sansip::{
    Body, ClientEnd, Event, HeaderValue, Input, IoKind, Method, Outgoing, PeerInfo, Proto, UdpSize,
    Unreachable,
};

use crate::hand::*;

/// Returns an endpoint with UDP and TCP.
fn both(size: UdpSize) -> Hand {
    let mut hand = Hand::new(|config| config.udp_size = size);
    hand.listen(Proto::Udp, "192.0.2.1:5060");
    hand.listen(Proto::Tcp, "192.0.2.1:5060");
    hand
}

fn message(uri: &str, size: usize) -> Outgoing {
    let body = Body::new(HeaderValue::from_static("text/plain"), vec![b'x'; size]);
    Outgoing::new(Method::Message, uri.parse().expect("a URI")).body(body)
}

fn network_says(hand: &mut Hand, remote: &str, why: Unreachable) -> Vec<sansip::Output> {
    hand.feed(Input::Unreachable { socket: sansip::SocketId(0), remote: address(remote), why })
}

/// How many requests were said to have changed their transport.
fn switched(hand: &Hand) -> usize {
    hand.events.iter().filter(|event| matches!(event, Event::Switched { .. })).count()
}

/// TP-13, RFC 3261 §18.4, §17.1.4: what the network says of a peer fails the requests that wait for it, and no others.
#[test]
fn tp_13_an_unreachable_peer_fails_its_requests() {
    let mut hand = both(UdpSize::Rfc);
    hand.options("sip:192.0.2.9");
    hand.options("sip:192.0.2.9");
    hand.options("sip:192.0.2.9:5070");
    hand.options("sip:192.0.2.10");
    network_says(&mut hand, "192.0.2.9:5060", Unreachable::Icmp);
    assert_eq!(hand.ends(), [ClientEnd::Transport(IoKind::Unreachable); 2]);
    network_says(&mut hand, "192.0.2.9:5060", Unreachable::Icmp);
    assert_eq!(hand.ends(), [], "nobody waits any more");
    assert_eq!(hand.endpoint.stats().undelivered, 2);
}

/// TP-13: anybody can forge what the network says, so a peer that has answered is not believed to be unreachable; nor
/// does it concern a request that is over.
#[test]
fn tp_13_an_answered_request_goes_on() {
    let mut hand = both(UdpSize::Rfc);
    let invite = datagrams(&hand.send(Outgoing::invite("sip:192.0.2.9".parse().expect("a URI"))).1);
    let invite = String::from_utf8_lossy(&invite[0].2).into_owned();
    let answer = |hand: &mut Hand, status| {
        let payload = response(&invite, status);
        let (local, remote) = (address("192.0.2.1:5060"), address("192.0.2.9:5060"));
        let socket = sansip::SocketId(0);
        hand.feed(Input::Datagram { socket, local, remote, payload: payload.as_bytes() })
    };
    answer(&mut hand, 180);
    network_says(&mut hand, "192.0.2.9:5060", Unreachable::Icmp);
    assert_eq!(hand.ends(), []);
    answer(&mut hand, 486);
    assert!(matches!(hand.ends().as_slice(), [ClientEnd::Final(_)]));
    network_says(&mut hand, "192.0.2.9:5060", Unreachable::Icmp);
    assert_eq!(hand.ends(), []);
}

/// C041, C042, RFC 3261 §18.1.1: a datagram that is too large for the path goes over TCP, with Via and Contact written anew,
/// and it is the same request for the application.
#[test]
fn c041_c042_too_large_for_the_path_goes_over_tcp() {
    let mut hand = both(UdpSize::Rfc);
    let large = message("sip:192.0.2.9", 600);
    let (client, outputs) =
        hand.send(large.header(sansip::HeaderName::SUBJECT, HeaderValue::from_static("s")));
    let datagram = datagrams(&outputs)[0].2.clone();
    let datagram = String::from_utf8_lossy(&datagram).into_owned();
    let conn = connect(&network_says(&mut hand, "192.0.2.9:5060", Unreachable::TooBig));
    assert_eq!(switched(&hand), 1);
    let sent = sends(&hand.connected(conn, PeerInfo::default()));
    let (over_udp, over_tcp) = (field(&datagram, "Via"), field(&sent[0].1, "Via"));
    assert!(
        over_udp.starts_with("SIP/2.0/UDP 192.0.2.1:5060;")
            && over_tcp.starts_with("SIP/2.0/TCP 192.0.2.1:5060;")
    );
    assert_ne!(over_udp.split_once("branch"), over_tcp.split_once("branch"), "another transaction");
    for name in ["From", "To", "Call-ID", "CSeq", "Subject"] {
        assert_eq!(field(&sent[0].1, name), field(&datagram, name));
    }
    assert_eq!(hand.pass(Duration::from_secs(5)), [], "no copies over TCP, and no more over UDP");
    hand.received(conn, &response(&sent[0].1, 200));
    let ended = |event: &Event| matches!(event, Event::ClientEnded { client: of, .. } if *of == client);
    assert!(hand.events.iter().any(ended));
}

/// C041: a small request is not what was too large, and one whose URI names UDP stays there: it fails.
#[test]
fn c041_what_cannot_go_over_tcp_fails_or_stays() {
    let mut hand = both(UdpSize::Rfc);
    hand.options("sip:192.0.2.9");
    assert_eq!(network_says(&mut hand, "192.0.2.9:5060", Unreachable::TooBig), []);
    assert_eq!(hand.ends(), []);
    hand.send(message("sip:192.0.2.10;transport=udp", 600));
    network_says(&mut hand, "192.0.2.10:5060", Unreachable::TooBig);
    assert_eq!(hand.ends(), [ClientEnd::Transport(IoKind::Unreachable)]);
}

/// C041, P15: the size at which requests leave UDP is a policy; each request is judged by itself, and the application is
/// told of each that goes over TCP.
#[test]
fn c041_p15_the_size_is_a_policy() {
    for (size, large) in [(UdpSize::Rfc, 1300), (UdpSize::UpTo(4000), 4000), (UdpSize::Any, usize::MAX)] {
        let mut hand = both(size);
        let length = |outputs: &[sansip::Output]| datagrams(outputs).first().map(|datagram| datagram.2.len());
        let head = length(&hand.send(message("sip:192.0.2.9", 500)).1).expect("a datagram") - 500;
        // Content-Length grows with the body.
        let fits = large.min(30_000) - head - usize::from(large > 1300) - usize::from(large > 9999);
        assert_eq!(length(&hand.send(message("sip:192.0.2.9", fits)).1), Some(large.min(30_000)));
        assert_eq!(switched(&hand), 0);
        let over = hand.send(message("sip:192.0.2.9", fits + 1)).1;
        assert_eq!((connects(&over).len(), switched(&hand)), if large > 30_000 { (0, 0) } else { (1, 1) });
        assert!(length(&hand.send(message("sip:192.0.2.9", 10)).1).is_some(), "nothing is remembered");
    }
}

/// TP-01, RFC 3261 §18.1.1: what went over TCP for its size alone goes over UDP if nobody listens there.
#[test]
fn tp_01_without_tcp_it_is_udp() {
    for (uri, falls_back) in [("sip:192.0.2.9", true), ("sip:192.0.2.9;transport=tcp", false)] {
        let mut hand = both(UdpSize::Rfc);
        let conn = connect(&hand.send(message(uri, 2000)).1);
        let outputs = hand.feed(Input::Closed { conn, error: Some(IoKind::Refused) });
        let datagrams = datagrams(&outputs);
        assert_eq!(datagrams.len(), usize::from(falls_back), "{uri}");
        let failed = if falls_back { vec![] } else { vec![ClientEnd::Transport(IoKind::Refused)] };
        assert_eq!(hand.ends(), failed);
        if falls_back {
            let text = String::from_utf8_lossy(&datagrams[0].2).into_owned();
            assert!(field(&text, "Via").starts_with("SIP/2.0/UDP "));
            // It does not go to and fro.
            assert_eq!(connects(&network_says(&mut hand, "192.0.2.9:5060", Unreachable::TooBig)), []);
            assert_eq!(hand.ends(), [ClientEnd::Transport(IoKind::Unreachable)]);
        }
    }
}

/// DN-11, TP-01, P13, RFC 3261 §18.1.1: a large request whose server has no TCP goes there over UDP, and is passed on when
/// that fails too; a TCP connection that is merely not answered leads to the next server at once. What DNS itself gives for
/// TCP is tried at last, without a way back to UDP. Each attempt is a transaction of its own.
#[test]
fn dn_11_a_failed_change_of_transport_leads_on() {
    let mut hand = both(UdpSize::Rfc);
    let served =
        |priority, port| sansip::Srv { priority, weight: 0, port, target: "s.example.com".parse().ok() };
    hand.srv = vec![served(1, 5071), served(2, 5072)];
    let mut vias = Vec::new();
    let mut outputs = hand.send(message("sip:example.com", 2000)).1;
    for (place, error) in [
        ("192.0.2.9:5071", IoKind::Refused),
        ("192.0.2.9:5072", IoKind::TimedOut),
        ("192.0.2.9:5071", IoKind::Refused),
    ] {
        assert_eq!((dialled(&outputs), datagrams(&outputs)), (vec![place.to_owned()], vec![]));
        outputs = hand.feed(Input::Closed { conn: connect(&outputs), error: Some(error) });
        if let [(_, remote, datagram)] = &datagrams(&outputs)[..] {
            assert_eq!((remote.as_str(), vias.len()), ("192.0.2.9:5071", 0), "to the same server, once");
            vias.push(field(&String::from_utf8_lossy(datagram), "Via"));
            assert!(vias[0].starts_with("SIP/2.0/UDP "));
            outputs = network_says(&mut hand, remote, Unreachable::Icmp);
        }
    }
    assert_eq!((vias.len(), switched(&hand)), (1, 2));
    assert_eq!(dialled(&outputs), ["192.0.2.9:5072"]);
    let conn = connect(&outputs);
    let sent = sends(&hand.connected(conn, PeerInfo::default()));
    let via = field(&sent[0].1, "Via");
    assert!(via.starts_with("SIP/2.0/TCP ") && !vias.contains(&via));
    hand.received(conn, &response(&sent[0].1, 200));
    assert_eq!(hand.ends(), [ClientEnd::Final(sansip::StatusCode::OK)]);
}
