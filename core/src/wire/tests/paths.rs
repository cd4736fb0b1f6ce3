use super::{
    rig::*,
    socket::{CLOSE, TEXT, frame, request},
};
use crate::{
    base::{Instant, Limits},
    endpoint::Machine,
    transport::{CloseHow, ConnId, Input, IoKind, Output, PeerInfo, Proto, QueryId, RecordKind, SocketId},
    wire::{Paths, PathsError, WebSocket, Wire},
};

const PORT: u16 = 80;

/// Returns machines with these paths, that all listen at one address, and what left so far.
fn shared(paths: &[&str]) -> (Wire<Paths<Probe>>, Vec<Output>) {
    let mut machines = Paths::new();
    for path in paths {
        let mut probe = Probe::default();
        probe.out.push_back(Output::Bind { socket: LISTENER, proto: Proto::Ws, addr: addr(1, PORT) });
        machines = machines.with(path, probe).expect("each has its own");
    }
    let mut wire = Wire::new(machines, &Limits::default());
    wire.set_websocket(WebSocket::new());
    let outputs = outputs(&mut wire);
    (wire, outputs)
}

fn outputs(wire: &mut impl Machine) -> Vec<Output> {
    std::iter::from_fn(|| wire.poll_output()).collect()
}

fn input(wire: &mut impl Machine, input: Input<'_>) -> Vec<Output> {
    wire.handle_input(Instant::EPOCH, input);
    outputs(wire)
}

/// Opens a WebSocket, and returns the first line of the answer.
fn open(wire: &mut Wire<Paths<Probe>>, conn: ConnId, path: &str) -> String {
    let (socket, local, remote) = (SocketId(0), addr(1, PORT), addr(2, 9));
    input(wire, Input::Accepted { socket, conn, local, remote, peer: PeerInfo::default() });
    let left = input(wire, Input::Received { conn, data: &request(path, "sip", "") });
    let Some(Output::Send { data, .. }) = left.first() else { panic!("{left:?}") };
    String::from_utf8_lossy(data).lines().next().unwrap_or_default().into()
}

fn heard(wire: &Wire<Paths<Probe>>, path: &str) -> Vec<String> {
    let heard = wire.machine().machine(path).expect("it is there").heard.iter();
    heard
        .filter_map(|input| match input.as_input() {
            Input::Received { data, .. } => Some(String::from_utf8_lossy(data).into_owned()),
            Input::Bound { result, .. } => Some(format!("bound {}", result.is_ok())),
            Input::Accepted { socket, peer, .. } => {
                assert_eq!(socket, LISTENER, "under its own name");
                Some(format!("accepted {}", peer.path.unwrap_or_default()))
            }
            Input::Closed { .. } => Some("closed".into()),
            _ => None,
        })
        .collect()
}

/// T23.06, C037: services share a WebSocket listener; the longest path decides, and other paths get 404.
#[test]
fn the_longest_path_of_a_shared_listener_decides() {
    let (mut wire, left) = shared(&["/sip", "/sip/office", "/other"]);
    let bind = Output::Bind { socket: SocketId(0), proto: Proto::Tcp, addr: addr(1, PORT) };
    assert_eq!(left, [bind], "one for all");
    input(&mut wire, Input::Bound { socket: SocketId(0), result: Ok(addr(1, PORT)) });
    for (number, path, machine) in [
        (1, "/sip", "/sip"),
        (3, "/sip/offices", "/sip"),
        (5, "/sip/office", "/sip/office"),
        (7, "/sip/office/2?x=/other", "/sip/office"),
        (9, "/other/", "/other"),
    ] {
        let conn = ConnId(number);
        assert!(open(&mut wire, conn, path).starts_with("HTTP/1.1 101 "), "{path}");
        input(&mut wire, Input::Received { conn, data: &frame(TEXT, path.as_bytes(), true) });
        let heard = heard(&wire, machine);
        assert_eq!(heard[heard.len() - 2..], [format!("accepted {path}"), path.to_owned()]);
        let probe = wire.machine_mut().machine_mut(machine).expect("it is there");
        probe.out.push_back(Output::Send { conn, data: "answer".into() });
        assert_eq!(outputs(&mut wire), [Output::Send { conn, data: frame(TEXT, b"answer", false).into() }]);
    }
    for path in ["/", "/sipping", "/othe", "/nobody"] {
        assert!(open(&mut wire, ConnId(99), path).starts_with("HTTP/1.1 404 "), "{path}");
        input(&mut wire, Input::Closed { conn: ConnId(99), error: None });
    }
    assert_eq!(heard(&wire, "/other").len(), 3, "bound, accepted, received");
}

/// T23.01: who stops leaves the listener and the connections of the others alone.
#[test]
fn a_machine_that_stops_listening_leaves_the_others_theirs() {
    let (mut wire, _) = shared(&["/", "/a"]);
    input(&mut wire, Input::Bound { socket: SocketId(0), result: Ok(addr(1, PORT)) });
    assert!(open(&mut wire, ConnId(1), "/a").starts_with("HTTP/1.1 101 "));
    let unbind = |wire: &mut Wire<Paths<Probe>>, path| {
        let probe = wire.machine_mut().machine_mut(path).expect("it is there");
        probe.out.push_back(Output::Unbind { socket: LISTENER });
        outputs(wire)
    };
    assert_eq!(unbind(&mut wire, "/"), []);
    assert!(open(&mut wire, ConnId(3), "/").starts_with("HTTP/1.1 404 "));
    assert!(open(&mut wire, ConnId(5), "/a").starts_with("HTTP/1.1 101 "));
    assert_eq!(unbind(&mut wire, "/a"), [Output::Unbind { socket: SocketId(0) }], "the last one");
    let end = frame(CLOSE, &1000_u16.to_be_bytes(), true);
    input(&mut wire, Input::Received { conn: ConnId(1), data: &end });
    assert_eq!(heard(&wire, "/a"), ["bound true", "accepted /a", "accepted /a", "closed"], "they live on");
}

/// A listener that is there already is there for who comes later; one that failed is asked for again.
#[test]
fn a_listener_is_joined_while_it_is_there() {
    let (mut wire, _) = shared(&["/a", "/b"]);
    input(&mut wire, Input::Bound { socket: SocketId(0), result: Err(IoKind::AddressInUse) });
    assert_eq!(
        (heard(&wire, "/a"), heard(&wire, "/b")),
        (vec!["bound false".into()], vec!["bound false".into()])
    );
    let again = |wire: &mut Wire<Paths<Probe>>, path| {
        let bind = Output::Bind { socket: LISTENER, proto: Proto::Ws, addr: addr(1, PORT) };
        wire.machine_mut().machine_mut(path).expect("it is there").out.push_back(bind);
        outputs(wire)
    };
    let bind = Output::Bind { socket: SocketId(1), proto: Proto::Tcp, addr: addr(1, PORT) };
    assert_eq!(again(&mut wire, "/a"), [bind]);
    input(&mut wire, Input::Bound { socket: SocketId(1), result: Ok(addr(1, PORT)) });
    assert_eq!(again(&mut wire, "/b"), []);
    assert_eq!(heard(&wire, "/b"), ["bound false", "bound true"]);
}

/// What machines name alike has names of its own outside, and answers find their way back.
#[test]
fn names_of_machines_do_not_clash() {
    let mut machines = Paths::new();
    for path in ["/a", "/b"] {
        let mut probe = Probe::default();
        let (socket, query) = (LISTENER, QueryId(4));
        let name = name("example.com").expect("a name");
        probe.out.extend([
            Output::Bind { socket, proto: Proto::Udp, addr: addr(1, 5060) },
            Output::Connect { conn: NEAR, proto: Proto::Tcp, remote: addr(3, 5060), name: None },
            Output::Resolve { query, name, kind: RecordKind::A },
            Output::Transmit { socket, local: addr(1, 5060), remote: addr(3, 5060), payload: "x".into() },
        ]);
        machines = machines.with(path, probe).expect("each has its own");
    }
    let left = outputs(&mut machines);
    let conns = left.iter().filter_map(|output| match output {
        Output::Connect { conn, .. } => Some(conn.0),
        _ => None,
    });
    assert_eq!((left.len(), conns.collect::<Vec<_>>()), (8, vec![2, 4]), "even ones");
    let socket = SocketId(1);
    assert!(matches!(left[7], Output::Transmit { socket: of, .. } if of == socket));
    let (local, remote) = (addr(1, 5060), addr(3, 5060));
    for input in [
        Input::Bound { socket, result: Ok(local) },
        Input::Datagram { socket, local, remote, payload: b"x" },
        Input::Connected { conn: ConnId(4), local, peer: PeerInfo::default() },
        Input::Resolved { query: QueryId(1), result: Err(crate::DnsError::Failed) },
        Input::Received { conn: ConnId(4), data: b"x" },
        Input::Closed { conn: ConnId(4), error: None },
        Input::Received { conn: ConnId(4), data: b"late" },
        Input::Resolved { query: QueryId(1), result: Err(crate::DnsError::Failed) },
    ] {
        machines.handle_input(Instant::EPOCH, input);
    }
    let heard = |path| machines.machine(path).expect("it is there").heard.len();
    assert_eq!((heard("/a"), heard("/b")), (0, 6), "each once");
    let probe = &machines.machine("/b").expect("it is there").heard;
    assert!(matches!(probe[5].as_input(), Input::Closed { conn: NEAR, .. }), "under its own name");
    assert!(matches!(probe[3].as_input(), Input::Resolved { query: QueryId(4), .. }));
    let probe = machines.machine_mut("/a").expect("it is there");
    probe.out.push_back(Output::Close { conn: NEAR, how: CloseHow::Reset });
    probe.out.push_back(Output::Send { conn: NEAR, data: "late".into() });
    assert_eq!(outputs(&mut machines), [Output::Close { conn: ConnId(2), how: CloseHow::Reset }]);
}

#[test]
fn each_machine_has_a_path_of_its_own() {
    let one = || Paths::new().with("/a", Probe::default()).expect("it is the first");
    assert_eq!(one().with("/a/", Probe::default()).err(), Some(PathsError::Taken("/a/".into())));
    for bad in ["a", "/a?b", "/a b"] {
        assert!(matches!(one().with(bad, Probe::default()).err(), Some(PathsError::Bad(_))), "{bad}");
    }
    assert!(one().machine("/b").is_none() && one().machine("/a/b").is_some());
}
