use std::time::Duration;

use proptest::prelude::*;

use super::{
    rig::*,
    socket::{BINARY, CLOSE, PING, TEXT, frame, raw, request},
};
use crate::{
    Input, Output,
    base::{Instant, Limits},
    endpoint::Machine as _,
    transport::{CloseHow, ConnId, IoKind, Proto},
    wire::{Tls, WebSocket, WebSocketError, Wire, WireError},
};

/// Returns what a TLS server needs, and a client that trusts it.
fn pair() -> (Tls, Tls) {
    let authority = Authority::new();
    let server = tls().certificates(vec![authority.certificate(&["example.com"])]);
    (server, tls().roots(authority.roots()))
}

fn limited(limits: &Limits) -> Rig {
    let (server, client) = pair();
    Rig::with(limits, &server, &client, WebSocket::new(), WebSocket::new())
}

fn failure(rig: &Rig) -> Option<WireError> {
    rig.server.wire.last_failure().map(|failure| failure.error.clone())
}

/// Returns the first bytes of a client.
fn client_hello() -> Vec<u8> {
    let mut rig = limited(&Limits::default());
    let remote = addr(1, 5061);
    rig.client.want(Output::Connect { conn: NEAR, proto: Proto::Tls, remote, name: name("example.com") });
    while rig.client.wire.poll_output().is_some() {}
    rig.client.input(rig.now, Input::Connected { conn: NEAR, local: addr(2, 9), peer: Default::default() });
    match rig.client.wire.poll_output() {
        Some(Output::Send { data, .. }) => data.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn plain_sip_where_tls_is_spoken_is_closed_and_counted() {
    let mut rig = limited(&Limits::default());
    rig.connect_raw(Proto::Tls, b"OPTIONS sip:example.com SIP/2.0\r\n");
    assert_eq!((rig.server.peer(), rig.server.wire.stats().not_tls), (None, 1));
    assert_eq!(failure(&rig), Some(WireError::NotTls));
}

#[test]
fn a_handshake_that_never_ends_is_ended() {
    for (proto, hello) in [(Proto::Tls, client_hello()), (Proto::Ws, request("/", "sip", ""))] {
        let limits = Limits { handshake: Duration::from_millis(700), ..Limits::default() };
        let mut rig = limited(&limits);
        rig.connect_raw(proto, &hello[..1]);
        // Coming byte by byte wins no time.
        for byte in &hello[1..7] {
            rig.pass(Duration::from_millis(100));
            rig.raw(&[*byte]);
        }
        rig.now += Duration::from_millis(99);
        assert_eq!(rig.server.wire.poll_timeout(), Some(rig.now + Duration::from_millis(1)));
        rig.server.input(rig.now, Input::Timeout);
        assert_eq!((rig.server.wire.poll_output(), rig.server.wire.stats().timed_out), (None, 0));
        rig.now += Duration::from_millis(1);
        rig.server.input(rig.now, Input::Timeout);
        let reset = Output::Close { conn: FAR, how: CloseHow::Reset };
        assert_eq!((rig.server.wire.poll_output(), rig.server.wire.stats().timed_out), (Some(reset), 1));
        assert_eq!((rig.server.peer(), rig.server.wire.poll_timeout()), (None, None));
        assert_eq!(failure(&rig), Some(WireError::TimedOut));
    }
}

/// Many that are due at once are ended in turns, so that one input does no more than its share.
#[test]
fn handshakes_that_are_due_are_ended_in_turns() {
    let limits = Limits { expiries_per_input: 2, ..Limits::default() };
    let mut rig = limited(&limits);
    rig.connect_raw(Proto::Ws, b"");
    rig.accept_raw(ConnId(3));
    rig.accept_raw(ConnId(5));
    rig.now += Duration::from_secs(10);
    for (ended, left) in [(2, true), (3, false)] {
        rig.server.input(rig.now, Input::Timeout);
        let due = rig.server.wire.poll_timeout();
        assert_eq!((rig.server.wire.stats().timed_out, due.is_some_and(|due| due <= rig.now)), (ended, left));
    }
}

/// The machine that opened a connection is told when its handshake takes too long.
#[test]
fn a_server_that_never_answers_is_left() {
    for proto in [Proto::Tls, Proto::Ws, Proto::Wss] {
        let limits = Limits { handshake: Duration::from_secs(2), ..Limits::default() };
        let mut rig = limited(&limits);
        rig.client.want(Output::Connect { conn: NEAR, proto, remote: addr(1, 5), name: None });
        while rig.client.wire.poll_output().is_some() {}
        rig.client
            .input(rig.now, Input::Connected { conn: NEAR, local: addr(2, 9), peer: Default::default() });
        rig.client.input(rig.now + Duration::from_millis(1999), Input::Timeout);
        assert_eq!(rig.client.closed(), None);
        rig.client.input(rig.now + Duration::from_millis(2000), Input::Timeout);
        assert_eq!(rig.client.closed(), Some(Some(IoKind::TimedOut)));
    }
}

#[test]
fn handshakes_at_once_have_a_limit() {
    let limits = Limits { handshakes: 3, ..Limits::default() };
    let mut rig = limited(&limits);
    rig.connect_raw(Proto::Ws, b"");
    let resets = |rig: &mut Rig| {
        let outputs = std::iter::from_fn(|| rig.server.wire.poll_output());
        outputs.filter(|output| matches!(output, Output::Close { how: CloseHow::Reset, .. })).count()
    };
    rig.accept_raw(ConnId(3));
    rig.accept_raw(ConnId(5));
    assert_eq!((resets(&mut rig), rig.server.wire.stats().refused), (0, 0), "at the limit");
    rig.accept_raw(ConnId(7));
    assert_eq!((resets(&mut rig), rig.server.wire.stats().refused), (1, 1), "one over");
    // One that is through makes room for another.
    rig.server.input(rig.now, Input::Received { conn: ConnId(3), data: &request("/", "sip", "") });
    rig.accept_raw(ConnId(9));
    rig.accept_raw(ConnId(11));
    assert_eq!((resets(&mut rig), rig.server.wire.stats().refused), (1, 2));
    // So does one that is given up.
    rig.server.input(rig.now, Input::Closed { conn: ConnId(5), error: None });
    rig.accept_raw(ConnId(13));
    assert_eq!((resets(&mut rig), rig.server.wire.stats().opened), (0, 1));
}

/// One peer cannot take the place of all others, neither by beginning nor by ending slowly.
#[test]
fn handshakes_of_one_peer_have_a_limit() {
    let limits = Limits { handshakes: 3, handshakes_per_peer: 2, ..Limits::default() };
    let mut rig = limited(&limits);
    rig.connect_raw(Proto::Ws, b"");
    rig.accept_raw(ConnId(3));
    assert_eq!(rig.server.wire.stats().refused, 0, "at the limit");
    rig.accept_raw(ConnId(5));
    assert_eq!(rig.server.wire.stats().refused, 1, "one over");
    rig.accept_raw_from(3, ConnId(7));
    assert_eq!(rig.server.wire.stats().refused, 1, "another peer has room");
    rig.server.input(rig.now, Input::Closed { conn: FAR, error: None });
    rig.accept_raw(ConnId(9));
    assert_eq!(rig.server.wire.stats().refused, 1, "what has ended makes room");
    rig.accept_raw(ConnId(11));
    assert_eq!(rig.server.wire.stats().refused, 2);
}

/// What an endpoint is configured with anew holds for its TLS and WebSocket too.
#[test]
fn limits_change_with_those_of_the_endpoint() {
    let config = crate::Config::default();
    let endpoint = crate::Endpoint::new(config.clone(), &crate::Seed::from_u64(1), Instant::EPOCH);
    let mut wire = Wire::new(endpoint.expect("the defaults"), &Limits::default());
    wire.set_websocket(WebSocket::new());
    let local = addr(1, 80);
    let socket = wire.machine_mut().at(Instant::EPOCH).listen(Proto::Ws, local).expect("it is the first");
    while wire.poll_output().is_some() {}
    wire.handle_input(Instant::EPOCH, Input::Bound { socket, result: Ok(local) });
    let accept = |wire: &mut Wire<crate::Endpoint>, conn| {
        let (remote, peer) = (addr(2, 9), Default::default());
        wire.handle_input(Instant::EPOCH, Input::Accepted { socket, conn, local, remote, peer });
        std::iter::from_fn(|| wire.poll_output()).last()
    };
    assert_eq!(accept(&mut wire, FAR), None);
    assert_eq!(wire.poll_timeout(), Some(Instant::EPOCH + Limits::default().handshake));
    let mut changed = config;
    (changed.limits.handshakes, changed.limits.handshake) = (2, Duration::from_secs(3));
    let configure = crate::Command::Configure(Box::new(changed));
    wire.machine_mut().at(Instant::EPOCH).command(configure).expect("it is valid");
    assert_eq!(accept(&mut wire, ConnId(3)), None);
    assert_eq!(wire.poll_timeout(), Some(Instant::EPOCH + Duration::from_secs(3)));
    let third = ConnId(5);
    assert_eq!(accept(&mut wire, third), Some(Output::Close { conn: third, how: CloseHow::Reset }));
}

/// Those that the machine has done with count among them, and are not waited for any longer than [`Limits::linger`].
#[test]
fn ends_that_take_long_have_the_same_limit() {
    let limits = Limits { handshakes: 1, linger: Duration::from_secs(3), ..Limits::default() };
    let mut rig = limited(&limits);
    rig.connect_raw(Proto::Ws, &request("/", "sip", ""));
    rig.accept_raw(ConnId(3));
    rig.server.input(rig.now, Input::Received { conn: ConnId(3), data: &request("/", "sip", "") });
    while rig.server.wire.poll_output().is_some() {}
    let end = |rig: &mut Rig, conn| {
        rig.server
            .input(rig.now, Input::Received { conn, data: &frame(0x88, &1000_u16.to_be_bytes(), true) });
        std::iter::from_fn(|| rig.server.wire.poll_output()).last()
    };
    assert_eq!(end(&mut rig, FAR), Some(Output::Close { conn: FAR, how: CloseHow::Flush }));
    let second = ConnId(3);
    assert_eq!(end(&mut rig, second), Some(Output::Close { conn: second, how: CloseHow::Reset }));
    rig.server.input(rig.now + Duration::from_millis(2999), Input::Timeout);
    assert_eq!(rig.server.wire.poll_output(), None);
    rig.server.input(rig.now + Duration::from_millis(3000), Input::Timeout);
    assert_eq!(rig.server.wire.poll_output(), Some(Output::Close { conn: FAR, how: CloseHow::Reset }));
    assert_eq!(rig.server.wire.poll_timeout(), None);
}

#[test]
fn handshakes_have_a_limit_in_bytes() {
    let head = request("/", "sip", "");
    for (room, opened) in [(head.len(), 1), (head.len() - 1, 0)] {
        let limits = Limits { handshake_bytes: room, ..Limits::default() };
        for piece in [1, usize::MAX] {
            let mut rig = limited(&limits).in_pieces(move || piece);
            rig.connect_raw(Proto::Ws, &head);
            assert_eq!(rig.server.wire.stats().opened, opened, "{room} in pieces of {piece}");
            if opened == 0 {
                assert!(rig.server.left.starts_with(b"HTTP/1.1 431 "));
                assert_eq!(failure(&rig), Some(WireError::HandshakeTooLong));
            }
        }
    }
    let hello = client_hello();
    let mut rig = limited(&Limits { handshake_bytes: hello.len() - 1, ..Limits::default() });
    rig.connect_raw(Proto::Tls, &hello);
    assert_eq!(failure(&rig), Some(WireError::HandshakeTooLong), "one over");
    let mut rig = limited(&Limits { handshake_bytes: hello.len(), ..Limits::default() });
    rig.connect_raw(Proto::Tls, &hello);
    assert_eq!((failure(&rig), rig.server.left.is_empty()), (None, false), "at the limit it is answered");
}

#[test]
fn messages_have_a_limit() {
    let limits = Limits { ws_message: 1000, ..Limits::default() };
    let at = [b'x'; 1000];
    let parts = |last: usize| [frame(0x01, &at[..600], true), frame(0x80, &at[..last], true)].concat();
    for bytes in [frame(TEXT, &at, true), frame(BINARY, &at, true), parts(400)] {
        let mut rig = raw(&limits);
        rig.raw(&bytes);
        assert_eq!((rig.server.received(), rig.server.closed()), (vec![at.to_vec()], None));
    }
    for bytes in [frame(TEXT, &[b'x'; 1001], true), frame(BINARY, &[b'x'; 1001], true), parts(401)] {
        let mut rig = raw(&limits);
        rig.raw(&bytes);
        assert_eq!((rig.server.received().len(), rig.server.closed()), (0, Some(Some(IoKind::Limit))));
        assert_eq!(rig.server.left, frame(0x88, &1009_u16.to_be_bytes(), false));
    }
}

/// A length of 2^63 is refused for what it says: by its head alone, before any of it has come.
#[test]
fn a_frame_of_half_the_world_is_refused() {
    for length in [1_u64 << 63, u64::MAX, (1 << 20) + 65_536] {
        let mut rig = raw(&Limits::default());
        rig.raw(&[&[BINARY, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat());
        assert_eq!(rig.server.closed(), Some(Some(IoKind::Limit)), "{length}");
        let too_long = WireError::WebSocket(WebSocketError::MessageTooLong);
        assert_eq!(failure(&rig), Some(too_long));
    }
}

/// So is what the parts of a message come to, and a control frame (RFC 6455 §5.5): before any of the rest is held.
#[test]
fn a_part_is_refused_for_what_it_says() {
    let limits = Limits { ws_message: 1000, ..Limits::default() };
    for (first, told, code) in [(0x80, 401_u16, 1009_u16), (0x00, 401, 1009), (PING, 126, 1002)] {
        let mut rig = raw(&limits);
        rig.raw(&frame(0x01, &[b'x'; 600], true));
        let head = |told: u16| [&[first, 0xfe][..], &told.to_be_bytes()].concat();
        let mask = [0; 4];
        rig.raw(&head(told));
        rig.raw(&mask);
        let kind = if code == 1009 { IoKind::Limit } else { IoKind::Protocol };
        assert_eq!(rig.server.closed(), Some(Some(kind)), "{first:x}");
        assert_eq!(rig.server.left, frame(CLOSE, &code.to_be_bytes(), false));
    }
}

/// A message has its time from its first byte to its last, in one frame or in fragments, whatever control frames come between; the
/// next one has its own.
#[test]
fn a_message_that_does_not_end_is_ended() {
    let (long, second) = (Duration::from_secs(32), Duration::from_secs(1));
    let limits = Limits { half_message: long, ..Limits::default() };
    let half = frame(BINARY, b"OPTIONS", true);
    let fragment = frame(0x01, b"OPTIONS", true);
    for (begin, more) in [
        (&half[..1], &half[1..2]),
        (&half[..8], &half[8..9]),
        (&fragment, &frame(PING, b"?", true)[..]),
        (&fragment, &frame(0x00, b" ", true)),
    ] {
        let mut rig = raw(&limits);
        // Whole ones do not count, however close they follow.
        for _ in 0..40 {
            rig.raw(&[&frame(TEXT, b"\r\n\r\n", true), &half[..3]].concat());
            rig.pass(second);
            rig.raw(&half[3..]);
        }
        assert_eq!((rig.server.received().len(), rig.server.closed()), (80, None));
        rig.raw(begin);
        rig.pass(long - second);
        rig.raw(more);
        assert_eq!(rig.server.closed(), None, "at the limit");
        rig.pass(second);
        assert_eq!((rig.server.closed(), rig.server.reset), (Some(Some(IoKind::TimedOut)), true));
        assert_eq!(failure(&rig), Some(WireError::HalfMessage));
        assert_eq!(rig.server.wire.stats().broken, 1);
    }
}

/// Once our end is told nothing follows, whatever still comes.
#[test]
fn nothing_is_sent_after_the_end() {
    for proto in [Proto::Tls, Proto::Wss] {
        let mut rig = limited(&Limits::default());
        let remote = addr(1, 5061);
        rig.server.want(Output::Bind { socket: LISTENER, proto, addr: remote });
        rig.client.want(Output::Connect { conn: NEAR, proto, remote, name: name("example.com") });
        while rig.client.wire.poll_output().is_some() {}
        let connected = Input::Connected { conn: NEAR, local: addr(2, 9), peer: Default::default() };
        rig.client.input(rig.now, connected);
        let Some(Output::Send { data: hello, .. }) = rig.client.wire.poll_output() else {
            panic!("no hello")
        };
        rig.drain_raw();
        rig.accept_raw(FAR);
        rig.raw(&hello);
        rig.client.close(CloseHow::Flush);
        let end = Output::Close { conn: NEAR, how: CloseHow::Flush };
        assert_eq!(rig.client.wire.poll_output(), Some(end));
        let answer = rig.server.left.clone();
        rig.client.input(rig.now, Input::Received { conn: NEAR, data: &answer });
        assert_eq!((rig.client.wire.poll_output(), rig.client.peer()), (None, None));
        rig.client.input(rig.now, Input::Closed { conn: NEAR, error: None });
        assert_eq!(rig.client.closed(), Some(None));
    }
}

/// Whoever ends in order without having read what it made due is told of once.
#[test]
fn an_end_that_is_over_the_limit_is_told_once() {
    let limits = Limits { unsent: 1000, ..Limits::default() };
    for ended_here in [false, true] {
        let mut rig = raw(&limits);
        rig.server.drains = false;
        rig.raw(&frame(PING, &[0; 98], true).repeat(10));
        if ended_here {
            rig.server.close(CloseHow::Flush);
        } else {
            let end = frame(CLOSE, &1000_u16.to_be_bytes(), true);
            rig.server.input(rig.now, Input::Received { conn: FAR, data: &end });
        }
        let ends: Vec<Output> = std::iter::from_fn(|| rig.server.wire.poll_output()).collect();
        assert_eq!(ends, [Output::Close { conn: FAR, how: CloseHow::Reset }], "{ended_here}");
        let heard = rig.server.wire.machine().heard.iter();
        let told = heard.filter(|input| matches!(input.as_input(), Input::Closed { .. })).count();
        assert_eq!(told, 1, "{ended_here}");
    }
}

/// A peer that asks for answers and reads none of them cannot fill the memory.
#[test]
fn answers_that_nobody_reads_have_the_limit_of_all_bytes() {
    let limits = Limits { unsent: 1000, ..Limits::default() };
    let mut rig = raw(&limits);
    rig.server.drains = false;
    let ping = frame(PING, &[0; 98], true);
    for _ in 0..10 {
        rig.raw(&ping);
    }
    assert_eq!((rig.server.left.len(), rig.server.closed()), (1000, None), "at the limit");
    rig.raw(&frame(PING, b"", true));
    assert_eq!((rig.server.closed(), rig.server.reset), (Some(Some(IoKind::Limit)), true));
    assert_eq!(failure(&rig), Some(WireError::Unread));
}

/// What waits in a stage counts as unsent until it has left under its cover.
#[test]
fn bytes_count_as_unsent_until_their_cover_has_left() {
    let mut rig = limited(&Limits::default());
    rig.connect(Proto::Wss, name("example.com"));
    rig.client.drains = false;
    rig.client.send(&[b'x'; 5000]);
    rig.client.send(b"y");
    rig.run();
    let (waiting, drained) = (rig.client.unsent, rig.client.drained());
    assert!(waiting > 5001 && drained == 0);
    let drain = |rig: &mut Rig, bytes| rig.client.input(rig.now, Input::Drained { conn: NEAR, bytes });
    drain(&mut rig, 5000);
    assert_eq!(rig.client.drained(), 0, "the last byte of its cover has not left");
    drain(&mut rig, waiting - 5001);
    assert_eq!(rig.client.drained(), 5000);
    drain(&mut rig, 1);
    assert_eq!(rig.client.drained(), 5001);
}

/// What the machine sends early goes out when it can.
#[test]
fn what_is_sent_before_the_handshake_waits_for_it() {
    let mut rig = limited(&Limits::default());
    let remote = addr(1, 443);
    rig.server.want(Output::Bind { socket: LISTENER, proto: Proto::Wss, addr: remote });
    rig.client.want(Output::Connect { conn: NEAR, proto: Proto::Wss, remote, name: name("example.com") });
    rig.client.send(b"early");
    rig.run();
    assert_eq!(rig.server.received(), [b"early"]);
    assert_eq!(rig.client.drained(), 5);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 256, ..ProptestConfig::default() })]

    /// No bytes at all make it fail, hold on to a connection, or hear of a peer that was none.
    #[test]
    fn garbage_ends_in_order(
        proto in prop::sample::select(vec![Proto::Tls, Proto::Ws, Proto::Wss]),
        begin in prop::sample::select(vec![client_hello(), request("/", "sip", ""), Vec::new()]),
        cut in any::<prop::sample::Index>(),
        garbage in prop::collection::vec(any::<u8>(), 0..400),
        seed in any::<u64>(),
    ) {
        let mut rig = limited(&Limits::default()).in_pieces(uneven(seed));
        let begin = &begin[..cut.index(begin.len() + 1)];
        rig.connect_raw(proto, begin);
        rig.raw(&garbage);
        prop_assert!(proto == Proto::Ws || rig.server.peer().is_none());
        rig.pass(Duration::from_secs(10));
        rig.drain_raw();
        rig.pass(Duration::from_secs(10));
        rig.drain_raw();
        let open = rig.server.peer().is_some() && rig.server.closed().is_none();
        prop_assert!(open || rig.server.wire.poll_timeout().is_none());
    }

    /// Frames of any kind and length end in a message or in order.
    #[test]
    fn garbage_in_an_open_socket_ends_in_order(
        frames in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..200), any::<bool>()), 1..6),
        rest in prop::collection::vec(any::<u8>(), 0..40),
        seed in any::<u64>(),
    ) {
        let mut rig = raw(&Limits { ws_message: 300, ..Limits::default() }).in_pieces(uneven(seed));
        let frames = frames.iter().map(|(first, payload, masked)| frame(*first, payload, *masked));
        rig.raw(&[frames.collect::<Vec<_>>().concat(), rest].concat());
        prop_assert!(rig.server.received().iter().all(|message| message.len() <= 300));
    }
}
