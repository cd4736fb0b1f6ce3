//! TLS and WebSocket in earnest: handshakes, records and frames over the simulated TCP.

use std::{cell::Cell, rc::Rc, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use rustls::{crypto::ring, time_provider::DefaultTimeProvider};
use sansip::{
    CloseHow, ConnId, DnsName, Host, IoKind, Limits, Output, Proto, SocketId, UnixTime,
    wire::{Certificate, ClientCertificates, Tls, WebSocket, WireError, WireFailure, trust_pem},
};
use sansip_sim::{Node, Segments, Setup, Sim, StreamEvent, Verdict, What};

use crate::{
    endpoints::{Phone, call, phone_with},
    scripted::{Event, Scripted, ms, secs},
};

const OUT: ConnId = ConnId(0);
const IN: ConnId = ConnId(1);
const SOCKET: SocketId = SocketId(1);

/// One who vouches for others, always with the same key: runs of one seed are compared.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = key(1);
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(1.into());
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Makes a certificate for domains and addresses that holds until the end of 2026.
    fn certificate(&self, names: &[&str]) -> Certificate {
        let key = key(2);
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        let name = |name: &&str| match name.parse() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName((*name).try_into().expect("a name")),
        };
        params.subject_alt_names = names.iter().map(name).collect();
        params.serial_number = Some(2.into());
        params.not_after = date_time_ymd(2027, 1, 1);
        let chain = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        let provider = ring::default_provider();
        Certificate::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes(), &provider).expect("a pair")
    }

    /// Trusts this authority, and shows a certificate for these names.
    fn tls(&self, names: &[&str]) -> Tls {
        let certificates = if names.is_empty() { Vec::new() } else { vec![self.certificate(names)] };
        let roots = trust_pem(self.pem.as_bytes()).expect("its own certificate");
        // The node's clock takes the place of this one.
        let provider = Arc::new(ring::default_provider());
        Tls::new(provider, Arc::new(DefaultTimeProvider)).roots(roots).certificates(certificates)
    }
}

/// Returns an Ed25519 key (RFC 8410 §7) that depends on a number only.
fn key(number: u8) -> KeyPair {
    let mut der =
        vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend([number; 32]);
    KeyPair::try_from(der).expect("a key")
}

fn setup(names: &[&str]) -> Setup {
    Setup::new().tls(Authority::new("one").tls(names)).websocket(WebSocket::new())
}

/// Has `a` connect to a listener at `b`, both with wires, and lets nothing happen.
fn pair(
    seed: u64,
    proto: Proto,
    a: Setup,
    b: Setup,
    name: Option<&str>,
) -> (Sim, Node<Scripted>, Node<Scripted>) {
    let mut sim = Sim::new(seed);
    let a = sim.node_with("a", a, Scripted::silent());
    let b = sim.node_with("b", b, Scripted::silent());
    let addr = "0.0.0.0:5060".parse().expect("an address");
    sim.on(b, |m, _| m.outputs.push_back(Output::Bind { socket: SOCKET, proto, addr }));
    let (remote, name) = (sim.addr(b, 5060), name.map(|name| name.parse().expect("a name")));
    sim.on(a, |m, _| m.outputs.push_back(Output::Connect { conn: OUT, proto, remote, name }));
    (sim, a, b)
}

fn failure(sim: &Sim, node: Node<Scripted>) -> Option<IoKind> {
    sim.peek(node).closed(OUT).and_then(|(_, error)| error)
}

fn opened(sim: &Sim, node: Node<Scripted>) -> bool {
    sim.peek(node).heard.iter().any(|(_, event)| matches!(event, Event::Connected(_) | Event::Accepted(..)))
}

fn phones(sim: &mut Sim) -> [Node<Host<Phone>>; 2] {
    ["alice", "bob"].map(|name| phone_with(sim, name, setup(&["10.0.0.1", "10.0.0.2"])))
}

/// RFC 3261 §26.2, RFC 7118: a call comes about and ends over each transport, however TCP cuts the bytes. Over TLS no
/// message is readable there, and the ladder shows each.
#[test]
fn calls_come_about_however_the_bytes_are_cut() {
    for proto in [Proto::Tls, Proto::Ws, Proto::Wss] {
        for segments in [Segments::Fixed(1), Segments::Random, Segments::Whole] {
            let mut sim = Sim::new(3);
            let [alice, bob] = phones(&mut sim);
            sim.net().everywhere().segments(segments).delay(ms(5)..ms(60));
            let pieces = Rc::new(Cell::new(0));
            let count = Rc::clone(&pieces);
            sim.net().rule(move |packet| {
                assert_eq!(packet.proto, Proto::Tcp);
                let readable = packet.payload.windows(7).any(|seven| seven == b"SIP/2.0");
                assert!(proto == Proto::Ws || !readable, "TLS hides what is said");
                count.set(count.get() + 1);
                Verdict::Pass
            });
            call(&mut sim, alice, bob, proto);
            sim.settle();
            assert_eq!(sim.peek(alice).service().finals, [200], "{proto} {segments:?}");
            let ladder = sim.ladder().to_string();
            for message in ["INVITE (1)", "200 OK (1 INVITE)", "ACK (1)", "BYE (2)", "200 OK (2 BYE)"] {
                let row = ladder.lines().find(|row| row.contains(&format!(" {message} ")));
                assert!(row.is_some_and(|row| row.ends_with(&format!("|  {proto}"))), "{message}: {ladder}");
            }
            assert!(segments != Segments::Fixed(1) || pieces.get() > 2_000, "{} pieces", pieces.get());
            let opened = [alice, bob].map(|node| sim.wire_stats(node).map(|stats| stats.opened));
            assert_eq!(opened, [Some(1), Some(1)]);
            assert!(sim.peek(alice).endpoint().calls() == 0 && sim.peek(bob).endpoint().calls() == 0);
        }
    }
}

/// The round trips of TCP, TLS 1.3 (RFC 8446 §2) and the WebSocket handshake (RFC 6455 §4) take their time.
#[test]
fn handshakes_take_round_trips() {
    for (proto, trips) in [(Proto::Tls, 2), (Proto::Ws, 2), (Proto::Wss, 3)] {
        let (mut sim, a, _) = pair(1, proto, setup(&[]), setup(&["10.0.0.2"]), None);
        sim.net().everywhere().delay(ms(100)).segments(Segments::Whole);
        sim.reset_streams(a, a);
        sim.settle();
        let at = sim.peek(a).first(|event| matches!(event, Event::Connected(_))).expect("it is open");
        // The first packet left before the link was made slow.
        assert_eq!(at.as_millis(), trips * 200 - 99, "{proto}");
    }
}

/// The bytes that go over TCP are random; the same seed gives the same run nevertheless.
#[test]
fn runs_repeat_exactly() {
    let run = |seed, proto| {
        let mut sim = Sim::new(seed);
        let [alice, bob] = phones(&mut sim);
        sim.net().everywhere().delay(ms(1)..ms(90)).loss(0.1).rate(100_000, secs(1));
        call(&mut sim, alice, bob, proto);
        call(&mut sim, bob, alice, proto);
        sim.settle();
        (sim.trace().hash(), sim.trace().rows().cloned().collect::<Vec<_>>())
    };
    for proto in [Proto::Tls, Proto::Ws, Proto::Wss] {
        let (one, two) = (run(5, proto), run(5, proto));
        assert!(one == two, "{proto}");
        assert_ne!(one.0, run(6, proto).0);
    }
}

/// RFC 5922 §7.3: what a server cannot prove by its certificate, it is not.
#[test]
fn wrong_certificates_are_refused() {
    let judge = |name: &str, own: &[&str], trusted: &str| {
        let client = Setup::new().tls(Authority::new(trusted).tls(&[]));
        let (mut sim, a, b) = pair(1, Proto::Tls, client, setup(own), Some(name));
        sim.settle();
        assert_eq!(
            opened(&sim, b),
            failure(&sim, a).is_none(),
            "nothing is accepted that the client refuses"
        );
        (failure(&sim, a), sim.wire_failure(a).map(|failure| failure.error.to_string()))
    };
    let names = ["example.com", "example.org"];
    assert_eq!(judge("example.org", &names, "one"), (None, None));
    assert_eq!(judge("EXAMPLE.com", &names, "one"), (None, None));
    for (name, trusted) in [("sip.example.com", "one"), ("example.com", "two")] {
        let (kind, error) = judge(name, &names, trusted);
        assert_eq!(kind, Some(IoKind::Untrusted), "{name} {trusted}: {error:?}");
    }
}

/// Certificates are judged by the wall clock of the node that looks, as far as time has passed there.
#[test]
fn certificates_are_judged_by_the_nodes_clock() {
    // A minute before the end of 2026, and the first moment after it.
    let (before, after) =
        (UnixTime::from_millis(1_798_761_540_000), UnixTime::from_millis(1_798_761_601_000));
    let open = |wall: UnixTime, wait: u64| {
        let (mut sim, a, _) = pair(1, Proto::Tls, setup(&[]).wall(wall), setup(&["10.0.0.2"]), None);
        sim.settle();
        sim.run_for(secs(wait));
        let remote = sim.addresses(a)[0];
        assert!(remote.is_ipv4());
        let remote = "10.0.0.2:5060".parse().expect("an address");
        let again = Output::Connect { conn: ConnId(2), proto: Proto::Tls, remote, name: None };
        sim.on(a, |m, _| m.outputs.push_back(again));
        sim.settle();
        let second = sim.peek(a).closed(ConnId(2)).and_then(|(_, error)| error);
        (failure(&sim, a), second)
    };
    assert_eq!(open(before, 30), (None, None));
    assert_eq!(open(before, 61), (None, Some(IoKind::Untrusted)), "it expires as time passes");
    assert_eq!(open(after, 0), (Some(IoKind::Untrusted), Some(IoKind::Untrusted)));
    assert_eq!(open(UnixTime::from_millis(4_000_000_000_000), 0).0, Some(IoKind::Untrusted));
}

/// RFC 5922 §7.4: a server learns who its client is, and may insist on knowing.
#[test]
fn clients_prove_who_they_are() {
    for (own, kind) in [(&["phone.example.com"][..], None), (&[], Some(IoKind::Protocol))] {
        let server = Authority::new("one").tls(&["10.0.0.2"]).clients(ClientCertificates::Required);
        let (mut sim, a, b) = pair(1, Proto::Tls, setup(own), Setup::new().tls(server), None);
        sim.settle();
        assert_eq!(failure(&sim, a), kind);
        let learnt = sim.peek(b).peers.first().map(|peer| peer.identities.to_vec());
        let phone: DnsName = "phone.example.com".parse().expect("a name");
        assert_eq!(learnt, kind.is_none().then(|| vec![phone]));
    }
}

/// RFC 6455 §4.2.2: a WebSocket server serves its path only, and says so in the handshake.
#[test]
fn paths_are_served_or_not() {
    for (path, refusal) in [("/sip", None), ("/other", Some("WebSocket: the server refuses with 404"))] {
        let server = WebSocket::new().serve_path("/sip").expect("a path");
        let client = WebSocket::new().target(path).expect("a path");
        let setups = [client, server].map(|websocket| Setup::new().websocket(websocket));
        let [client, server] = setups;
        let (mut sim, a, b) = pair(1, Proto::Ws, client, server, None);
        sim.settle();
        assert_eq!(sim.wire_failure(a).map(|failure| failure.error.to_string()).as_deref(), refusal);
        let path = sim.peek(b).peers.first().and_then(|peer| peer.path.clone());
        assert_eq!(path.as_deref(), refusal.is_none().then_some("/sip"));
    }
}

/// A stream that breaks in the handshake, wherever, is a failed connection for the one that wanted it and nothing for the other.
#[test]
fn a_reset_breaks_the_handshake() {
    for proto in [Proto::Tls, Proto::Ws, Proto::Wss] {
        let mut points = 0;
        for bytes in (1..3_000).step_by(97) {
            let (mut sim, a, b) = pair(1, proto, setup(&[]), setup(&["10.0.0.2"]), None);
            sim.net().everywhere().segments(Segments::Fixed(40)).delay(ms(10));
            let read = |sim: &Sim| {
                let counts = sim.trace().rows().filter_map(|row| match &row.what {
                    What::Stream { event: StreamEvent::ReadSealed(count), .. } => Some(*count),
                    _ => None,
                });
                counts.sum::<usize>()
            };
            sim.run_until(|sim| read(sim) >= bytes, secs(5));
            if opened(&sim, a) {
                break;
            }
            points += 1;
            sim.reset_streams(a, b);
            sim.settle();
            let accepted = opened(&sim, b);
            assert_eq!(failure(&sim, a), Some(IoKind::Reset), "{proto} after {bytes} bytes");
            let lost = Some(WireFailure { remote: sim.addr(b, 5060), error: WireError::Closed });
            assert_eq!(sim.wire_failure(a), lost.as_ref());
            assert!(sim.wire_stats(b).is_some_and(|stats| stats.failed + stats.opened == 1));
            assert_eq!(sim.peek(b).closed(IN).is_some(), accepted, "{proto} after {bytes} bytes");
            assert!(sim.is_at_rest());
        }
        assert!(points >= 4, "{proto}: {points} points");
    }
}

/// A handshake that no byte gets through of ends after `Limits::handshake`, on both sides.
#[test]
fn a_silent_handshake_ends_in_time() {
    let mut limits = Limits::default();
    limits.handshake = secs(3);
    let [client, server] = [&[][..], &["10.0.0.2"]].map(|names| setup(names).wire_limits(limits.clone()));
    let (mut sim, a, b) = pair(1, Proto::Tls, client, server, None);
    sim.net().rule(|_| Verdict::Drop);
    sim.settle();
    let (at, error) = sim.peek(a).closed(OUT).expect("it ends");
    assert_eq!((at.as_millis(), error), (3_002, Some(IoKind::TimedOut)));
    assert!(!opened(&sim, b));
    assert_eq!(sim.wire_stats(a).map(|stats| stats.timed_out), Some(1));
}

/// Who speaks no TLS is turned away, and hears it as any other client would.
#[test]
fn a_stranger_is_turned_away() {
    let mut sim = Sim::new(1);
    let b = sim.node_with("b", setup(&["10.0.0.1"]), Scripted::silent());
    let puppet = sim.puppet("stranger");
    let (proto, addr) = (Proto::Tls, sim.addr(b, 5061));
    sim.on(b, |m, _| m.outputs.push_back(Output::Bind { socket: SOCKET, proto, addr }));
    puppet.connect(&mut sim, addr);
    puppet.send_bytes(&mut sim, "OPTIONS sip:b SIP/2.0\r\n\r\n");
    sim.settle();
    assert_eq!(puppet.connections(&sim), 0);
    assert_eq!(sim.wire_stats(b).map(|stats| stats.not_tls), Some(1));
}

/// What a node is not set up for it does not do, and one that does it in earnest is none for one that does not.
#[test]
fn what_is_not_set_up_is_unsupported() {
    let plain = || Setup::new().websocket(WebSocket::new());
    let (mut sim, a, b) = pair(1, Proto::Tls, plain(), setup(&[]), None);
    sim.settle();
    assert_eq!(failure(&sim, a), Some(IoKind::Unsupported));
    let bound = sim.peek(b).first(|event| *event == Event::Bound(SOCKET, Err(IoKind::Unsupported)));
    assert!(bound.is_some(), "a server needs a certificate");

    let (mut sim, a, _) = pair(1, Proto::Tls, setup(&[]), Setup::new(), None);
    sim.settle();
    assert_eq!(failure(&sim, a), Some(IoKind::Protocol), "{}", sim.ladder());
}

/// A node that starts again does it with TLS as before, or as set since.
#[test]
fn certificates_may_change() {
    let (mut sim, a, b) = pair(1, Proto::Tls, setup(&[]), setup(&["example.com"]), Some("example.com"));
    sim.settle();
    assert_eq!(failure(&sim, a), None);
    let wanted = sim.addr(b, 5060);
    let again = |sim: &mut Sim, number: u64| {
        let (conn, name) = (ConnId(number), Some("example.com".parse().expect("a name")));
        let connect = Output::Connect { conn, proto: Proto::Tls, remote: wanted, name };
        sim.on(a, |m, _| m.outputs.push_back(connect));
        sim.settle();
        sim.peek(a).closed(conn).and_then(|(_, error)| error)
    };
    sim.set_tls(b, Authority::new("one").tls(&["example.org"]));
    assert_eq!(again(&mut sim, 2), Some(IoKind::Untrusted));
    sim.restart(b, Scripted::silent());
    sim.on(b, |m, _| m.outputs.push_back(Output::Bind { socket: SOCKET, proto: Proto::Tls, addr: wanted }));
    assert_eq!(again(&mut sim, 4), Some(IoKind::Untrusted));
    sim.set_tls(b, Authority::new("one").tls(&["example.com"]));
    assert_eq!(again(&mut sim, 6), None);
}

/// The trace tells what the machines wrote and read, and below it how many bytes went.
#[test]
fn the_trace_tells_both_sides_of_the_wire() {
    let (mut sim, a, b) = pair(1, Proto::Wss, setup(&[]), setup(&["10.0.0.2"]), None);
    // Before it is open, as for TCP.
    sim.on(a, |m, _| m.write(OUT, "early"));
    sim.settle();
    sim.on(b, |m, _| m.write(IN, "answer"));
    sim.settle();
    sim.on(a, |m, _| m.close(OUT, CloseHow::Flush));
    sim.settle();
    let above = sim.trace().rows().filter_map(|row| match &row.what {
        What::Stream { hop, event } if hop.proto == Proto::Wss => {
            Some((hop.from, *event, hop.payload.clone()))
        }
        _ => None,
    });
    use StreamEvent::{Read, Secured, Wrote};
    let (a, b) = (a.id(), b.id());
    let row = |node, event, payload: &'static str| (node, event, payload.into());
    let rows = [
        row(a, Wrote, "early"),
        row(b, Secured, ""),
        row(a, Secured, ""),
        row(a, Read(5), ""),
        row(b, Wrote, "answer"),
        row(b, Read(6), ""),
    ];
    assert_eq!(above.collect::<Vec<_>>(), rows);
    let below = |wanted: fn(&StreamEvent) -> Option<usize>| {
        let counts = sim.trace().rows().filter_map(|row| match &row.what {
            What::Stream { hop, event } if hop.proto == Proto::Tcp => wanted(event),
            _ => None,
        });
        counts.sum::<usize>()
    };
    let wrote = below(|event| if let StreamEvent::WroteSealed(count) = event { Some(*count) } else { None });
    let read = below(|event| if let StreamEvent::ReadSealed(count) = event { Some(*count) } else { None });
    assert!(wrote > 1_000 && wrote == read, "{wrote} {read}");
    let ladder = sim.ladder().connections().to_string();
    assert!(ladder.contains(" bytes "), "{ladder}");
    assert!(ladder.lines().any(|line| line.contains(" open ") && line.ends_with("wss")), "{ladder}");
}
