use proptest::prelude::*;

use super::rig::*;
use crate::{
    base::{Instant, Limits},
    endpoint::Machine as _,
    transport::{CloseHow, Input, IoKind, Output, PeerInfo, Proto},
    wire::{WebSocket, WebSocketError, Wire, WireError},
};

fn served(limits: &Limits) -> Rig {
    Rig::with(limits, &tls(), &tls(), WebSocket::new(), WebSocket::new())
}

/// Returns a rig with an open WebSocket, and what has left the server so far thrown away.
pub(super) fn raw(limits: &Limits) -> Rig {
    let mut rig = served(limits);
    rig.connect_raw(Proto::Ws, &request("/", "sip", ""));
    assert!(rig.server.peer().is_some());
    rig.server.left.clear();
    rig
}

pub(super) fn request(path: &str, protocol: &str, more: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: {protocol}\r\n{more}\r\n"
    )
    .into_bytes()
}

/// Writes a frame as a client does, masked with zeros, or as a server does.
pub(super) fn frame(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(mask | len as u8),
        len @ 126..65_536 => frame.extend([&[mask | 126][..], &(len as u16).to_be_bytes()].concat()),
        len => frame.extend([&[mask | 127][..], &(len as u64).to_be_bytes()].concat()),
    }
    if masked {
        frame.extend([0; 4]);
    }
    frame.extend(payload);
    frame
}

pub(super) const TEXT: u8 = 0x81;
pub(super) const BINARY: u8 = 0x82;
pub(super) const CLOSE: u8 = 0x88;
pub(super) const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

fn answer(rig: &Rig) -> String {
    let text = String::from_utf8_lossy(&rig.server.left).into_owned();
    text.lines().next().unwrap_or_default().into()
}

/// C037, C038, C039: whole messages over WebSocket, plain and secured, both roles.
#[test]
fn messages_stay_whole_in_pieces_of_any_size() {
    let authority = Authority::new();
    let server = tls().certificates(vec![authority.certificate(&["example.com"])]);
    let client = tls().roots(authority.roots());
    for proto in [Proto::Ws, Proto::Wss] {
        let sizes: [Box<dyn FnMut() -> usize>; 3] =
            [Box::new(|| 1), Box::new(uneven(9)), Box::new(|| usize::MAX)];
        for pieces in sizes {
            let target = WebSocket::new().target("/sip?x=1").expect("a path");
            let limits = Limits::default();
            let mut rig = Rig::with(&limits, &server, &client, WebSocket::new(), target).in_pieces(pieces);
            rig.connect(proto, name("example.com"));
            let seen = rig.server.peer().expect("it is open");
            assert_eq!((seen.path.as_deref(), seen.origin), (Some("/sip?x=1"), None));
            let identities = rig.client.peer().expect("it is open").identities;
            assert_eq!(identities.len(), usize::from(proto == Proto::Wss));
            let long = vec![b'y'; 70_000];
            for message in [&b"OPTIONS"[..], b"\r\n\r\n", b"\xff\xfe", &long, "\u{fc}ber".as_bytes()] {
                rig.client.send(message);
                rig.server.send(message);
            }
            rig.run();
            let all =
                [b"OPTIONS".to_vec(), b"\r\n\r\n".to_vec(), b"\xff\xfe".to_vec(), long, "\u{fc}ber".into()];
            assert_eq!(rig.server.received(), all);
            assert_eq!(rig.client.received(), all);
            assert_eq!(rig.client.drained(), all.concat().len(), "frames do not count");
            rig.client.close(CloseHow::Flush);
            rig.run();
            assert_eq!((rig.client.closed(), rig.server.closed()), (Some(None), Some(None)));
        }
    }
}

/// RFC 7118 §4.2: text if it is UTF-8, else binary; both are accepted.
#[test]
fn what_is_no_text_goes_as_binary() {
    let mut rig = raw(&Limits::default());
    rig.server.send("gr\u{fc}n".as_bytes());
    rig.server.send(b"\xfc");
    rig.drain_raw();
    let expected = [frame(TEXT, "gr\u{fc}n".as_bytes(), false), frame(BINARY, b"\xfc", false)].concat();
    assert_eq!(rig.server.left, expected);
    rig.raw(&[frame(TEXT, b"a", true), frame(BINARY, b"b", true)].concat());
    assert_eq!(rig.server.received(), [b"a", b"b"]);
}

/// RFC 6455 §1.3 has this key and this answer; RFC 7118 §4.1: the subprotocol is named in the answer.
#[test]
fn the_answer_to_a_request_is_that_of_the_rfc() {
    let mut rig = served(&Limits::default());
    let wanted = request("/ws", "xmpp, sip", "Origin: https://a.example\r\n");
    rig.connect_raw(Proto::Ws, &wanted);
    let left = String::from_utf8(rig.server.left.clone()).expect("text");
    assert!(left.starts_with("HTTP/1.1 101 "), "{left}");
    assert!(left.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{left}");
    assert!(left.contains("\r\nSec-WebSocket-Protocol: sip\r\n"), "{left}");
    let peer = rig.server.peer().expect("it is open");
    assert_eq!((peer.path.as_deref(), peer.origin.as_deref()), (Some("/ws"), Some("https://a.example")));
}

/// RFC 6455 §4.2.2, RFC 7118 §4.1.
#[test]
fn a_request_that_is_none_is_refused_with_a_status() {
    let good = String::from_utf8(request("/", "sip", "")).expect("text");
    let without = |part: &str, other: &str| good.replace(part, other).into_bytes();
    for (wanted, status) in [
        (without("GET", "POST"), 405),
        (without("HTTP/1.1", "HTTP/1.0"), 400),
        (without("Host: example.com\r\n", ""), 400),
        (without("Host: example.com\r\n", "Host: example.com\r\nHost: other.example\r\n"), 400),
        (
            without("Sec-WebSocket-Key", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Key"),
            400,
        ),
        (without("Version: 13", "Version: 13\r\nSec-WebSocket-Version: 8"), 426),
        (without("Upgrade: websocket\r\n", ""), 426),
        (without("keep-alive, Upgrade", "close"), 426),
        (without("Version: 13", "Version: 8"), 426),
        (without("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), 400),
        (without("Sec-WebSocket-Protocol: sip", "X: y"), 400),
        (without("Protocol: sip", "Protocol: xmpp"), 400),
        (without("Protocol: sip", "Protocol: sipping"), 400),
        (b"OPTIONS sip:a SIP/2.0\r\n\r\n".to_vec(), 400),
        (b"\x16\x03\x01\x00\xff\r\n\r\n".to_vec(), 400),
        (good.replace("\r\n\r\n", &format!("{}\r\n\r\n", "\r\nA: b".repeat(130))).into_bytes(), 431),
    ] {
        let mut rig = served(&Limits::default());
        rig.connect_raw(Proto::Ws, &wanted);
        assert!(answer(&rig).starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {}", answer(&rig));
        assert_eq!((rig.server.peer(), rig.server.wire.stats().failed), (None, 1), "{status}");
        let failure = rig.server.wire.last_failure().map(|failure| failure.error.clone());
        let told = matches!(failure, Some(WireError::WebSocket(WebSocketError::Request { status: told, .. }))
            if told == status);
        assert!(told, "{failure:?}");
    }
}

/// RFC 9110 §5.3, §7.8: a list may come in one row or in several, with others in it.
#[test]
fn an_upgrade_is_found_among_others() {
    let good = String::from_utf8(request("/", "sip", "")).expect("text");
    for (part, other) in [
        ("Connection: keep-alive, Upgrade", "Connection: keep-alive\r\nConnection: upgrade"),
        ("Upgrade: websocket", "Upgrade: h2c, WebSocket"),
    ] {
        let mut rig = served(&Limits::default());
        rig.connect_raw(Proto::Ws, good.replace(part, other).as_bytes());
        assert!(answer(&rig).starts_with("HTTP/1.1 101 "), "{other}: {}", answer(&rig));
    }
}

/// C037: other paths get 404, other origins 403.
#[test]
fn paths_and_origins_are_served_as_it_was_said() {
    let served = || {
        let paths = WebSocket::new().serve_path("/sip").and_then(|served| served.serve_path("/ws/a"));
        paths.expect("paths").serve_origin("https://a.example")
    };
    for (path, origin, status) in [
        ("/sip", "", 101),
        ("/sip/below?q", "", 101),
        ("/ws/a", "Origin: https://a.example\r\n", 101),
        ("/ws", "", 404),
        ("/", "", 404),
        ("/sipping", "", 404),
        ("/sip", "Origin: https://b.example\r\n", 403),
        ("/sip", "Origin: null\r\n", 403),
        ("/sip", "Origin: https://a.example\r\nOrigin: https://b.example\r\n", 403),
    ] {
        let mut rig = Rig::with(&Limits::default(), &tls(), &tls(), served(), WebSocket::new());
        rig.connect_raw(Proto::Ws, &request(path, "sip", origin));
        assert!(answer(&rig).starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {}", answer(&rig));
    }
    let mut rig = Rig::with(&Limits::default(), &tls(), &tls(), served(), WebSocket::new());
    rig.connect(Proto::Ws, None);
    assert_eq!(rig.client.closed(), Some(Some(IoKind::Protocol)), "the client is told");
    let failure = rig.client.wire.last_failure().map(|failure| failure.error.clone());
    assert_eq!(failure, Some(WireError::WebSocket(WebSocketError::Refused(404))));
}

/// RFC 6455 §4.1: a client takes no other answer.
#[test]
fn a_client_refuses_an_answer_that_is_none() {
    let accept = "Sec-WebSocket-Accept: KEY\r\n";
    let good = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n{accept}Sec-WebSocket-Protocol: sip\r\n\r\n"
    );
    for (answer, accepted) in [
        (good.clone(), true),
        (good.replace("101", "200"), false),
        (good.replace("Upgrade: WebSocket\r\n", ""), false),
        (good.replace("Connection: upgrade\r\n", ""), false),
        (good.replace(accept, ""), false),
        (good.replace("KEY", "c2hvcnQ="), false),
        (good.replace("Sec-WebSocket-Protocol: sip\r\n", ""), false),
        (good.replace("Protocol: sip", "Protocol: xmpp"), false),
        (good.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"), false),
        (good.replace("HTTP/1.1", "SIP/2.0"), false),
    ] {
        let mut rig = served(&Limits::default());
        let remote = addr(1, 8080);
        rig.client.want(Output::Connect { conn: NEAR, proto: Proto::Ws, remote, name: name("example.com") });
        while rig.client.wire.poll_output().is_some() {}
        let connected = Input::Connected { conn: NEAR, local: addr(2, 9), peer: Default::default() };
        rig.client.input(rig.now, connected);
        let Some(Output::Send { data, .. }) = rig.client.wire.poll_output() else { panic!("no request") };
        let asked = String::from_utf8(data.to_vec()).expect("text");
        assert!(asked.starts_with("GET / HTTP/1.1\r\nHost: example.com:8080\r\n"), "{asked}");
        let key = asked.split("Sec-WebSocket-Key: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let key = tungstenite::handshake::derive_accept_key(key.expect("a key").as_bytes());
        let answer = answer.replace("KEY", &key);
        rig.client.input(rig.now, Input::Received { conn: NEAR, data: answer.as_bytes() });
        assert_eq!(rig.client.peer().is_some(), accepted, "{answer}");
        let closed = (!accepted).then_some(Some(IoKind::Protocol));
        assert_eq!(rig.client.closed(), closed, "{answer}");
    }
}

/// P16: fragments are put together, also with pings in between, and pings are answered and keep the connection alive.
#[test]
fn fragments_are_put_together_and_pings_answered() {
    let mut rig = raw(&Limits::default()).in_pieces(|| 1);
    let parts = [
        frame(0x01, b"OPT", true),
        frame(PING, b"alive?", true),
        frame(0x00, b"IO", true),
        frame(0x80, b"NS", true),
        frame(PONG, b"", true),
    ];
    rig.raw(&parts.concat());
    assert_eq!(rig.server.received(), [&b""[..], b"OPTIONS", b""], "what is empty is a sign of life");
    assert_eq!(rig.server.left, frame(PONG, b"alive?", false));
}

/// RFC 6455 §5.1, §5.2, §5.4, §5.5, §7.4.1: each of these ends the connection with the code for it.
#[test]
fn frames_that_break_the_rules_end_the_connection() {
    let (protocol, invalid) = (1002_u16, 1007_u16);
    for (bytes, code) in [
        (frame(TEXT, b"bare", false), protocol),
        (frame(0x80, b"nothing begun", true), protocol),
        ([frame(0x01, b"a", true), frame(TEXT, b"b", true)].concat(), protocol),
        (frame(0xc1, b"extended", true), protocol),
        (frame(0x83, b"unknown", true), protocol),
        (frame(0x8b, b"unknown", true), protocol),
        (frame(0x09, b"part of a ping", true), protocol),
        (frame(PING, &[b'x'; 126], true), protocol),
        (frame(TEXT, b"\xff", true), invalid),
    ] {
        let mut rig = raw(&Limits::default());
        rig.raw(&bytes);
        assert_eq!(rig.server.closed(), Some(Some(IoKind::Protocol)), "{bytes:x?}");
        assert_eq!(rig.server.left, frame(CLOSE, &code.to_be_bytes(), false), "{bytes:x?}");
        assert_eq!(rig.server.wire.stats().broken, 1);
    }
}

/// RFC 6455 §5.1: a server that masks is left.
#[test]
fn a_client_takes_no_masked_frame() {
    let mut rig = served(&Limits::default());
    rig.connect(Proto::Ws, None);
    assert!(rig.client.peer().is_some());
    rig.client.input(rig.now, Input::Received { conn: NEAR, data: &frame(TEXT, b"masked", true) });
    assert_eq!(rig.client.closed(), Some(Some(IoKind::Protocol)));
}

/// RFC 6455 §5.5.1 and §7.1.1: whoever ends waits for the answer, and the server ends TCP.
#[test]
fn both_ends_say_that_it_is_over() {
    let mut rig = raw(&Limits::default());
    rig.server.close(CloseHow::Flush);
    rig.drain_raw();
    assert_eq!(rig.server.left, frame(CLOSE, &1000_u16.to_be_bytes(), false));
    rig.raw(&frame(TEXT, b"crossing", true));
    assert_eq!((rig.server.received(), rig.server.closed()), (vec![b"crossing".to_vec()], None));
    rig.raw(&frame(CLOSE, &1000_u16.to_be_bytes(), true));
    rig.server.input(rig.now, Input::Closed { conn: FAR, error: None });
    assert_eq!(rig.server.closed(), Some(None));

    let mut rig = raw(&Limits::default());
    rig.raw(&frame(CLOSE, &1001_u16.to_be_bytes(), true));
    assert_eq!(rig.server.left, frame(CLOSE, &1001_u16.to_be_bytes(), false));
    assert_eq!(rig.server.closed(), Some(None));
}

/// P16: a keep-alive of RFC 5626 §4.4.1 in a message is answered in one, and a ping keeps the connection from being idle.
#[test]
fn keep_alives_reach_the_endpoint() {
    let config = crate::Config::default();
    let limits = config.limits.clone();
    let endpoint =
        crate::Endpoint::new(config, &crate::Seed::from_u64(1), Instant::EPOCH).expect("the defaults");
    let mut wire = Wire::new(endpoint, &limits);
    wire.set_websocket(WebSocket::new());
    let local = addr(1, 80);
    let socket = wire.machine_mut().at(Instant::EPOCH).listen(Proto::Ws, local).expect("it is the first");
    let bind = Output::Bind { socket, proto: Proto::Tcp, addr: local };
    assert_eq!(wire.poll_output(), Some(bind), "the driver knows TCP only");
    wire.handle_input(Instant::EPOCH, Input::Bound { socket, result: Ok(local) });
    let accepted =
        Input::Accepted { socket, conn: FAR, local, remote: addr(2, 9), peer: PeerInfo::default() };
    wire.handle_input(Instant::EPOCH, accepted);
    wire.handle_input(Instant::EPOCH, Input::Received { conn: FAR, data: &request("/", "sip", "") });
    assert!(matches!(wire.poll_output(), Some(Output::Send { .. })), "the answer to the handshake");
    let ping = frame(TEXT, b"\r\n\r\n", true);
    wire.handle_input(Instant::EPOCH, Input::Received { conn: FAR, data: &ping });
    let pong = Output::Send { conn: FAR, data: frame(TEXT, b"\r\n", false).into() };
    assert_eq!(wire.poll_output(), Some(pong));
    let at = |seconds| Instant::EPOCH + std::time::Duration::from_secs(seconds);
    wire.handle_input(at(100), Input::Received { conn: FAR, data: &frame(PING, b"", true) });
    assert!(matches!(wire.poll_output(), Some(Output::Send { .. })), "its answer");
    wire.handle_input(at(279), Input::Timeout);
    assert_eq!(wire.poll_output(), None, "it was not idle for the 180 seconds of the limit");
    wire.handle_input(at(280), Input::Timeout);
    let end = Output::Send { conn: FAR, data: frame(CLOSE, &1000_u16.to_be_bytes(), false).into() };
    assert_eq!(wire.poll_output(), Some(end));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// Whatever is sent arrives whole and in order, however it is cut.
    #[test]
    fn messages_arrive_whole(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..8),
        seed in any::<u64>(),
        secured in any::<bool>(),
    ) {
        let authority = Authority::new();
        let server = tls().certificates(vec![authority.certificate(&["example.com"])]);
        let client = tls().roots(authority.roots());
        let mut rig = Rig::new(&server, &client).in_pieces(uneven(seed));
        rig.connect(if secured { Proto::Wss } else { Proto::Ws }, name("example.com"));
        for message in &messages {
            rig.client.send(message);
        }
        rig.run();
        prop_assert_eq!(rig.server.received(), messages);
    }
}
