//! TLS, WebSocket and SCTP between nodes: whole messages, who the peers are, and ports.

use std::net::SocketAddr;

use sansip::{ConnId, IoKind, Output, Proto, SocketId};
use sansip_sim::{Node, Segments, Sim};

use crate::scripted::{Event, Scripted, ms};

const OUT: ConnId = ConnId(0);
const IN: ConnId = ConnId(1);

/// Has `a` connect to a listener for `listens` at `b`.
fn open(
    listens: Proto,
    opens: Proto,
    name: Option<&str>,
    own: &[&str],
) -> (Sim, Node<Scripted>, Node<Scripted>) {
    let mut sim = Sim::new(7);
    let (a, b) = (sim.node("a", Scripted::silent()), sim.node("b", Scripted::silent()));
    sim.identify(a, ["phone.example.com"]);
    sim.identify(b, own.iter().copied());
    sim.browse(a, "https://example.com", "/sip");
    sim.net().between(a, b).segments(Segments::Random).buffer(1_000).delay(ms(1)..ms(9));
    let addr = SocketAddr::from(([0, 0, 0, 0], 5060));
    sim.on(b, |m, _| m.outputs.push_back(Output::Bind { socket: SocketId(1), proto: listens, addr }));
    let (remote, name) = (sim.addr(b, 5060), name.map(|name| name.parse().expect("a domain name")));
    sim.on(a, |m, _| m.outputs.push_back(Output::Connect { conn: OUT, proto: opens, remote, name }));
    sim.settle();
    (sim, a, b)
}

fn failure(sim: &Sim, a: Node<Scripted>) -> Option<IoKind> {
    sim.peek(a).closed(OUT).and_then(|(_, error)| error)
}

/// RFC 7118 §5, RFC 4168: one message of the application is one of the transport, however long, and in order.
#[test]
fn messages_stay_whole() {
    for proto in [Proto::Ws, Proto::Wss, Proto::Sctp] {
        let (mut sim, a, b) = open(proto, proto, None, &[]);
        let sent: Vec<Vec<u8>> = [1, 999, 1_000, 1_001, 5_000, 2].map(|size| vec![b'x'; size]).into();
        sim.on(a, |m, _| sent.iter().for_each(|message| m.write(OUT, message.clone())));
        sim.settle();
        let heard = sim.peek(b).heard.iter().filter_map(|(_, event)| match event {
            Event::Received(IN, data) => Some(data.clone()),
            _ => None,
        });
        assert!(heard.collect::<Vec<_>>() == sent, "{proto}");
        assert_eq!(sim.peek(a).drained(OUT), sent.concat().len());
    }
}

/// TLS has no messages: its bytes are cut as those of TCP.
#[test]
fn tls_carries_bytes() {
    let (mut sim, a, b) = open(Proto::Tls, Proto::Tls, None, &[]);
    sim.on(a, |m, _| m.write(OUT, vec![b'x'; 5_000]));
    sim.settle();
    assert_eq!(sim.peek(b).received(IN).len(), 5_000);
    assert!(sim.peek(b).heard.iter().filter(|(_, event)| matches!(event, Event::Received(..))).count() > 1);
}

#[test]
fn listeners_take_their_own_transport_only() {
    let over_tcp = [Proto::Tcp, Proto::Tls, Proto::Ws, Proto::Wss];
    for listens in [Proto::Tcp, Proto::Tls, Proto::Ws, Proto::Wss, Proto::Sctp] {
        for opens in [Proto::Tcp, Proto::Tls, Proto::Ws, Proto::Wss, Proto::Sctp] {
            let (sim, a, b) = open(listens, opens, None, &[]);
            let expected = match () {
                () if listens == opens => None,
                () if over_tcp.contains(&listens) && over_tcp.contains(&opens) => Some(IoKind::Protocol),
                () => Some(IoKind::Refused),
            };
            assert_eq!(failure(&sim, a), expected, "{opens} to {listens}");
            assert_eq!(sim.peek(b).peers.len(), usize::from(expected.is_none()), "{opens} to {listens}");
        }
    }
}

/// RFC 5922 §7.2: a certificate names whole domains, in any case, and wildcards count for nothing.
#[test]
fn names_are_proved() {
    for proto in [Proto::Tls, Proto::Wss] {
        for (name, proved) in
            [("EXAMPLE.com", true), ("example.org", true), ("sip.example.com", false), ("com", false)]
        {
            let (sim, a, _) = open(proto, proto, Some(name), &["example.com", "example.org"]);
            let expected = (!proved).then_some(IoKind::Untrusted);
            assert_eq!(failure(&sim, a), expected, "{name} over {proto}");
        }
        let (sim, a, _) = open(proto, proto, Some("example.com"), &[]);
        assert_eq!(failure(&sim, a), Some(IoKind::Untrusted), "no certificate");
    }
    let (sim, a, _) = open(Proto::Ws, Proto::Ws, Some("example.com"), &[]);
    assert_eq!(failure(&sim, a), None, "nothing is proved without TLS");
}

#[test]
fn each_side_learns_who_the_other_is() {
    for proto in [Proto::Tcp, Proto::Tls, Proto::Ws, Proto::Wss, Proto::Sctp] {
        let (sim, a, b) = open(proto, proto, None, &["example.com"]);
        let (server, client) = (&sim.peek(a).peers[0], &sim.peek(b).peers[0]);
        let names = |names: &[sansip::DnsName]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let secured = matches!(proto, Proto::Tls | Proto::Wss);
        let web = matches!(proto, Proto::Ws | Proto::Wss);
        assert_eq!(names(&server.identities), if secured { vec!["example.com"] } else { vec![] }, "{proto}");
        assert_eq!(names(&client.identities), if secured { vec!["phone.example.com"] } else { vec![] });
        assert_eq!(client.origin.as_deref(), web.then_some("https://example.com"));
        assert_eq!(client.path.as_deref(), web.then_some("/sip"));
        assert_eq!((&server.origin, &server.path), (&None, &None), "only a client states them");
    }
}
