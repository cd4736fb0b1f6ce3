use std::{net::SocketAddr, time::Duration};

use sansip::{
    CloseHow, CommandError, ConnId, FlowChange, FlowId, Input, IoKind, Output, PeerInfo, Proto, SocketId,
};

use crate::hand::*;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Opens a connection to a peer that will be pinged.
fn client(proto: Proto, keep_alive: Option<Duration>) -> (Hand, ConnId) {
    let mut hand = Hand::new(|config| config.keep_alive = keep_alive);
    hand.listen(proto, "192.0.2.1:5060");
    let uri = format!("sip:192.0.2.9:5060;transport={}", if proto == Proto::Wss { Proto::Ws } else { proto });
    let conn = connect(&hand.options(&uri));
    let sent = sends(&hand.connected(conn, PeerInfo::default()));
    hand.received(conn, &response(&sent[0].1, 200));
    hand.events.clear();
    (hand, conn)
}

/// C050, P16, RFC 5626 §4.4.1: the side that opened a connection pings it with a double CRLF, at 80 to 100 percent of the
/// time; a pong keeps it, for hours.
#[test]
fn c050_p16_connections_are_kept_alive() {
    for proto in [Proto::Tcp, Proto::Ws, Proto::Sctp] {
        let (mut hand, conn) = client(proto, Some(secs(100)));
        let mut intervals = Vec::new();
        for _ in 0..50 {
            let before = hand.now;
            let ping = (0..100).map(|_| hand.pass(secs(1))).find(|outputs| !outputs.is_empty());
            assert_eq!(sends(&ping.expect("within 100 s")), [(conn, "\r\n\r\n".into())], "{proto}");
            intervals.push(hand.now.since(before));
            hand.received(conn, "\r\n");
        }
        let (shortest, longest) = (intervals.iter().min(), intervals.iter().max());
        assert!(shortest >= Some(&secs(80)) && longest <= Some(&secs(100)), "{intervals:?}");
        assert_ne!(shortest, longest, "not all clients at once");
        assert_eq!(hand.changes(), []);
    }
}

/// C050, RFC 5626 §4.4.1: without its pong within 10 s the flow has failed. A message of the peer's is no pong.
#[test]
fn c050_a_missing_pong_fails_the_flow() {
    let (mut hand, conn) = client(Proto::Tcp, Some(secs(100)));
    while sends(&hand.pass(secs(1))).is_empty() {}
    hand.received(conn, &request("OPTIONS", "SIP/2.0/TCP 192.0.2.9;branch=z9hG4bK1", "", ""));
    hand.events.clear();
    assert!(!hand.pass(secs(8)).contains(&Output::Close { conn, how: CloseHow::Reset }));
    assert!(hand.pass(secs(2)).contains(&Output::Close { conn, how: CloseHow::Reset }));
    assert_eq!(hand.changes(), [(FlowId::Connection(conn), FlowChange::Ended(IoKind::TimedOut))]);
}

/// C050: the application begins and ends the pings of a connection; a message between pong and ping changes nothing.
#[test]
fn c050_the_application_decides() {
    let (mut hand, conn) = client(Proto::Tcp, None);
    assert_eq!(hand.pass(secs(100)), []);
    let flow = FlowId::Connection(conn);
    hand.endpoint.at(hand.now).keep_alive(flow, Some(secs(30))).expect("it is open");
    assert_eq!(sends(&hand.pass(secs(30))), [(conn, "\r\n\r\n".into())]);
    hand.received(conn, "\r\n");
    hand.endpoint.at(hand.now).keep_alive(flow, None).expect("it is open");
    assert_eq!(hand.pass(secs(100)), []);
    hand.feed(Input::Closed { conn, error: None });
    let gone = hand.endpoint.at(hand.now).keep_alive(flow, Some(secs(30)));
    assert!(matches!(gone, Err(CommandError::Gone(_))), "{gone:?}");
}

/// C049, P16, RFC 5626 §4.4.1, RFC 7118 §6: a ping is answered by a pong, which is a message of its own on WebSocket.
#[test]
fn c049_p16_pings_are_answered() {
    for proto in [Proto::Tcp, Proto::Tls, Proto::Ws, Proto::Wss] {
        let mut hand = Hand::new(|_| ());
        let socket = hand.listen(proto, "192.0.2.1:5061");
        let conn = hand.accept(socket, "192.0.2.9:33333", PeerInfo::default()).expect("there is room");
        assert_eq!(sends(&hand.received(conn, "\r\n\r\n")), [(conn, "\r\n".into())], "{proto}");
    }
}

/// Writes the answer to a STUN request, with an IPv4 address.
fn answer(request: &[u8], mapped: &str) -> Vec<u8> {
    let SocketAddr::V4(mapped) = address(mapped) else { panic!("{mapped} is not IPv4") };
    let port = (mapped.port() ^ 0x2112).to_be_bytes();
    let ip = (mapped.ip().to_bits() ^ 0x2112_A442).to_be_bytes();
    let head = [1, 1, 0, 12, 0x21, 0x12, 0xA4, 0x42];
    [head.as_slice(), &request[8..20], &[0, 0x20, 0, 8, 0, 1], &port, &ip].concat()
}

fn datagram(hand: &mut Hand, socket: SocketId, remote: &str, payload: &[u8]) -> Vec<Output> {
    let local = address("192.0.2.1:5060");
    hand.feed(Input::Datagram { socket, local, remote: address(remote), payload })
}

/// C051, T01.16, RFC 8489 §6.3.1: a STUN request at a SIP port is answered from there with the address that it came from.
#[test]
fn c051_stun_requests_are_answered_beside_sip() {
    let mut hand = Hand::new(|_| ());
    let socket = hand.listen(Proto::Udp, "192.0.2.1:5060");
    let id = *b"0123456789ab";
    let request = [&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42], id.as_slice()].concat();
    let answers = datagrams(&datagram(&mut hand, socket, "203.0.113.7:7000", &request));
    let expected = answer(&request, "203.0.113.7:7000");
    assert_eq!(answers, [("192.0.2.1:5060".into(), "203.0.113.7:7000".into(), expected)]);
    let sip = request_over_udp();
    assert!(datagrams(&datagram(&mut hand, socket, "203.0.113.7:7000", sip.as_bytes())).is_empty());
    assert_eq!(hand.endpoint.stats().messages, 1, "SIP is still SIP");
    let indication = [&[0, 0x11, 0, 0, 0x21, 0x12, 0xA4, 0x42], id.as_slice()].concat();
    assert_eq!(datagram(&mut hand, socket, "203.0.113.7:7000", &indication), [], "it wants no answer");
    assert_eq!((hand.endpoint.stats().stun, hand.endpoint.stats().unreadable), (1, 0));
    datagram(&mut hand, socket, "203.0.113.7:7000", &request[..19]);
    assert_eq!(hand.endpoint.stats().unreadable, 1);
}

fn request_over_udp() -> String {
    request("OPTIONS", "SIP/2.0/UDP 203.0.113.7:7000;branch=z9hG4bK1", "", "")
}

/// Asks a server once, and returns the request.
fn asked(hand: &mut Hand, socket: SocketId, server: &str) -> Vec<u8> {
    hand.endpoint.at(hand.now).stun(socket, address(server)).expect("it can be asked");
    let requests = datagrams(&hand.outputs());
    assert_eq!(requests.len(), 1);
    assert_eq!(
        (requests[0].1.as_str(), &requests[0].2[..8]),
        (server, [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42].as_slice())
    );
    requests[0].2.clone()
}

/// C052, T01.17: a server's answer tells the address, once; a stranger's tells nothing.
#[test]
fn c052_a_stun_server_is_asked() {
    let mut hand = Hand::new(|_| ());
    let socket = hand.listen(Proto::Udp, "192.0.2.1:5060");
    let server = "198.51.100.1:3478";
    let request = asked(&mut hand, socket, server);
    hand.events.clear();
    let right = answer(&request, "203.0.113.7:32853");
    datagram(&mut hand, socket, "198.51.100.2:3478", &right);
    let mut wrong = right.clone();
    wrong[19] ^= 1;
    datagram(&mut hand, socket, server, &wrong);
    assert_eq!(hand.changes(), [], "from elsewhere, or to another request");
    datagram(&mut hand, socket, server, &right);
    let flow = FlowId::Datagrams { socket, remote: address(server) };
    let mapped = address("203.0.113.7:32853");
    assert_eq!(hand.changes(), [(flow, FlowChange::Mapped { before: None, mapped })]);
    datagram(&mut hand, socket, server, &right);
    assert_eq!((hand.changes(), hand.pass(secs(100)).len()), (vec![], 0), "once");
}

/// C053, RFC 5626 §4.4.2: a flow over UDP is kept by asking again; another address than before is told.
#[test]
fn c053_a_changed_address_is_told() {
    let mut hand = Hand::new(|_| ());
    let socket = hand.listen(Proto::Udp, "192.0.2.1:5060");
    let server = address("192.0.2.9:5060");
    let flow = FlowId::Datagrams { socket, remote: server };
    hand.endpoint.at(hand.now).keep_alive(flow, Some(secs(29))).expect("it can be asked");
    hand.events.clear();
    let mut requests = datagrams(&hand.outputs());
    let (one, other) = ("203.0.113.7:1024", "203.0.113.7:1025");
    let told = |before: Option<&str>, mapped| {
        (flow, FlowChange::Mapped { before: before.map(address), mapped: address(mapped) })
    };
    for (mapped, expected) in
        [(one, vec![told(None, one)]), (one, vec![]), (other, vec![told(Some(one), other)])]
    {
        datagram(&mut hand, socket, "192.0.2.9:5060", &answer(&requests[0].2, mapped));
        assert_eq!(hand.changes(), expected);
        requests = datagrams(&hand.pass(secs(29)));
        assert!(!requests.is_empty(), "80 to 100 percent of the time later");
    }
    // RFC 8489 §6.2.1: seven requests, the last one waited for 16 times as long as the first.
    requests.extend(datagrams(&hand.pass(secs(45))));
    assert_eq!(requests.len(), 7);
    assert!(requests.iter().all(|copy| copy.2 == requests[0].2));
    assert_eq!(hand.changes(), [(flow, FlowChange::Ended(IoKind::TimedOut))]);
    assert_eq!(hand.pass(secs(1000)), []);
}

/// C052: so many servers are asked at once, and not one more; an IPv6 one from an IPv6 socket only.
#[test]
fn c052_limits_and_families() {
    let mut hand = Hand::new(|config| config.limits.probes = 2);
    let socket = hand.listen(Proto::Udp, "192.0.2.1:5060");
    asked(&mut hand, socket, "198.51.100.1:3478");
    asked(&mut hand, socket, "198.51.100.2:3478");
    asked(&mut hand, socket, "198.51.100.2:3478");
    let over = hand.endpoint.at(hand.now).stun(socket, address("198.51.100.3:3478"));
    assert_eq!(over, Err(CommandError::Limit("probes")));
    let family = hand.endpoint.at(hand.now).stun(socket, address("[2001:db8::1]:3478"));
    assert_eq!(family, Err(CommandError::Flow(IoKind::AddressNotAvailable)));
    let socket6 = hand.listen(Proto::Udp, "[2001:db8::5]:5060");
    let flow = FlowId::Datagrams { socket, remote: address("198.51.100.1:3478") };
    hand.endpoint.at(hand.now).keep_alive(flow, None).expect("it is asked");
    asked(&mut hand, socket6, "[2001:db8::1]:3478");
    hand.events.clear();
    let why = sansip::Unreachable::Icmp;
    hand.feed(Input::Unreachable { socket: socket6, remote: address("[2001:db8::1]:3478"), why });
    let flow = FlowId::Datagrams { socket: socket6, remote: address("[2001:db8::1]:3478") };
    assert_eq!(hand.changes(), [(flow, FlowChange::Ended(IoKind::Unreachable))]);
}
