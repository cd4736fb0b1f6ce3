//! What is forgiven, for each listener (RFC 4475 §3.1.2).

use sansip::{Input, Proto, syntax::Leniency};

use crate::node::{Node, local};

/// An OPTIONS with two spaces where one belongs, the `number`th.
fn doubtful(number: u32, transport: &str) -> Vec<u8> {
    format!(
        "OPTIONS  sip:bob@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/{transport} 198.51.100.7:5070;branch=z9hG4bK{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@192.0.2.1>\r\nCall-ID: {number}@x\r\n\
         CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

const TAKEN: &str = "200 OK";
const REFUSED: &str = "400 Bad Request";

/// The same datagram at two listeners of one endpoint gets two verdicts; a third one follows the configuration.
#[test]
fn two_listeners_give_two_verdicts() {
    for (default, third) in [(Leniency::ALL, TAKEN), (Leniency::NONE, REFUSED)] {
        let mut node = Node::new(|config| config.leniency = default);
        let strict = node.listen(Proto::Udp, 5060, Some(Leniency::NONE));
        let lenient = node.listen(Proto::Udp, 5062, Some(Leniency::ALL));
        let plain = node.listen(Proto::Udp, 5064, None);
        let bytes = doubtful(1, "UDP");
        assert_eq!(node.datagram(strict, 5060, &bytes), [REFUSED]);
        assert_eq!(node.datagram(lenient, 5062, &bytes), [TAKEN]);
        assert_eq!(node.datagram(plain, 5064, &doubtful(2, "UDP")), [third]);
    }
}

/// On a stream the listener decides that accepted the connection.
#[test]
fn the_listener_of_a_stream_decides() {
    for (default, third) in [(Leniency::ALL, TAKEN), (Leniency::NONE, REFUSED)] {
        let mut node = Node::new(|config| config.leniency = default);
        let strict = node.listen(Proto::Tcp, 5060, Some(Leniency::NONE));
        let lenient = node.listen(Proto::Tcp, 5062, Some(Leniency::ALL));
        let plain = node.listen(Proto::Tcp, 5064, None);
        assert_eq!(node.stream(strict, 5060, &doubtful(1, "TCP")), [REFUSED]);
        assert_eq!(node.stream(lenient, 5062, &doubtful(2, "TCP")), [TAKEN]);
        assert_eq!(node.stream(plain, 5064, &doubtful(3, "TCP")), [third]);
    }
}

/// The TCP listener beside a UDP socket has the rule of that socket.
#[test]
fn the_listener_beside_has_the_same_rule() {
    let mut node = Node::new(|config| config.tcp_beside_udp = true);
    let udp = node.unbound(Proto::Udp, 5060, Leniency::NONE);
    node.input(Input::Bound { socket: udp, result: Ok(local(5060)) });
    let (tcp, proto) = node.asked_for().expect("a listener beside");
    assert_eq!(proto, Proto::Tcp);
    node.input(Input::Bound { socket: tcp, result: Ok(local(5060)) });
    assert_eq!(node.stream(tcp, 5060, &doubtful(1, "TCP")), [REFUSED]);
    assert_eq!(node.datagram(udp, 5060, &doubtful(2, "UDP")), [REFUSED]);
}
