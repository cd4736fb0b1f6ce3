//! What a connection tells of its peer is told with each request that comes over it.

use std::net::SocketAddr;

use sansip::{
    Ask, Config, ConnId, DnsName, Endpoint, Event, Input, Instant, Machine as _, Outgoing, Output, PeerInfo,
    Proto, Seed, Source,
};

const NOW: Instant = Instant::EPOCH;

fn addr(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 5061))
}

fn proved() -> PeerInfo {
    PeerInfo::proved(["edge.example".parse::<DnsName>().expect("a name")])
}

fn endpoint() -> Endpoint {
    let mut endpoint = Endpoint::new(Config::default(), &Seed::from_u64(1), NOW).expect("the defaults");
    let socket = endpoint.at(NOW).listen(Proto::Tls, addr(1)).expect("it is the first");
    endpoint.handle_input(NOW, Input::Bound { socket, result: Ok(addr(1)) });
    assert!(matches!(endpoint.poll_output(), Some(Output::Bind { proto: Proto::Tls, .. })));
    while endpoint.poll_event().is_some() {}
    endpoint
}

/// Has a request come over a connection, and returns where the first question says that it came from.
fn source(endpoint: &mut Endpoint, conn: ConnId) -> Source {
    let request = b"OPTIONS sip:a@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.2:5061;branch=z9hG4bK1\r\n\
        Max-Forwards: 70\r\nFrom: <sip:b@example.com>;tag=1\r\nTo: <sip:a@example.com>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\
        Content-Length: 0\r\n\r\n";
    endpoint.handle_input(NOW, Input::Received { conn, data: request });
    // That the flow has opened is told first.
    let mut told = std::iter::from_fn(|| endpoint.poll_event());
    match told.find(|event| !matches!(event, Event::Flow { .. })) {
        Some(Event::Ask(Ask::Routing(question))) => question.facts.source,
        other => panic!("{other:?}"),
    }
}

/// RFC 5922 §7.4: the names that a client's certificate proves are there for the application's policy.
#[test]
fn the_names_that_a_client_proves_come_with_its_requests() {
    for peer in [proved(), PeerInfo::default()] {
        let mut endpoint = endpoint();
        let (socket, conn) = (sansip::SocketId(0), ConnId(1));
        let (local, remote) = (addr(1), addr(2));
        endpoint.handle_input(NOW, Input::Accepted { socket, conn, local, remote, peer: peer.clone() });
        let source = source(&mut endpoint, conn);
        assert_eq!((source.proto, source.local, source.remote), (Proto::Tls, local, remote));
        let expected = (peer != PeerInfo::default()).then_some(peer);
        assert_eq!(source.peer.as_deref(), expected.as_ref());
    }
}

/// RFC 5922 §7.3: so do those of a server that was called, with what it asks in turn.
#[test]
fn the_names_that_a_server_proves_come_with_its_requests() {
    let mut endpoint = endpoint();
    let to = "sips:bob@192.0.2.2".parse().expect("a URI");
    endpoint.at(NOW).request(Outgoing::options(to)).expect("it is sent");
    let Some(Output::Connect { conn, proto: Proto::Tls, .. }) = endpoint.poll_output() else {
        panic!("no connection is opened");
    };
    endpoint.handle_input(NOW, Input::Connected { conn, local: addr(1), peer: proved() });
    assert_eq!(source(&mut endpoint, conn).peer.as_deref(), Some(&proved()));
}
