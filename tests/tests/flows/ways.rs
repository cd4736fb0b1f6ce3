//! Which way requests take through networks that are small, broken, or of two families: RFC 3261 §18.1.1, §18.4; RFC 5626.

use std::{net::SocketAddr, time::Duration};

use sansip::{
    Body, ClientEnd, Config, Cx, Endpoint, FlowChange, FlowId, HeaderValue, Host, Instant, IoKind, Method,
    NatPolicy, Outgoing, Proto, Service, SocketId, StatusCode,
};
use sansip_sim::Setup;
use sansip_tests::simulated::{News, Phone, Ua, arrived, rest, sent, times, uri_of};

use crate::script::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A pair of phones in one family.
fn pair(ips: [&str; 2], change: impl Fn(&mut Config)) -> (sansip_sim::Sim, Ua, Ua) {
    let mut sim = world();
    let mut ua = |name: &str, ip: &str| {
        let mut config = Config::default();
        change(&mut config);
        Ua::configured(&mut sim, name, config, Phone::new(ip))
    };
    let (alice, bob) = (ua("alice", ips[0]), ua("bob", ips[1]));
    (sim, alice, bob)
}

fn message(bob: Ua, size: usize) -> Outgoing {
    let text = (0..size).map(|at| b"0123456789abcdef"[at % 16]).collect::<Vec<u8>>();
    let body = Body::new(HeaderValue::from_static("text/plain"), text);
    Outgoing::new(Method::Message, uri_of(&bob.uri())).body(body)
}

/// Returns how the requests of a phone ended.
fn ends(sim: &sansip_sim::Sim, ua: Ua) -> Vec<ClientEnd> {
    let end = |news| match news {
        News::Ended(_, end) => Some(end),
        _ => None,
    };
    ua.news(sim).into_iter().filter_map(end).collect()
}

const FINE: ClientEnd = ClientEnd::Final(StatusCode::OK);

/// T01.09, C041, C042, P15: a body of 24 KB goes over TCP by itself and arrives whole, with a Via that says so; the answer
/// takes the same connection, and the next small request is a datagram again.
#[test]
fn t01_09_c042_large_bodies_go_over_tcp() {
    let (mut sim, alice, bob) = pair(["10.1.0.1", "10.1.0.2"], |_| ());
    alice.send(&mut sim, message(bob, 24_000));
    sim.run_for(ms(200));
    alice.send(&mut sim, message(bob, 10));
    sim.run_for(ms(200));
    assert_eq!(ends(&sim, alice), [FINE, FINE]);
    let seen = arrived(&sim);
    let requests: Vec<_> = seen.iter().filter(|seen| seen.is("MESSAGE")).collect();
    assert_eq!(requests.iter().map(|seen| seen.on_stream).collect::<Vec<_>>(), [true, false]);
    let body = requests[0].bytes.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
    assert_eq!(
        &requests[0].bytes[body..],
        (0..24_000).map(|at| b"0123456789abcdef"[at % 16]).collect::<Vec<_>>()
    );
    assert!(requests[0].header("Via").expect("a Via").starts_with("SIP/2.0/TCP 10.1.0.1:5060;"));
    assert!(
        seen.iter()
            .filter(|seen| seen.is("200"))
            .zip(&requests)
            .all(|(ok, request)| ok.on_stream == request.on_stream)
    );
    rest(&mut sim, &[alice, bob]);
}

/// C041, TP-13: a datagram that is too large for the path goes over TCP as soon as the network says so; where it says
/// nothing, the request ends by its timer.
#[test]
fn c041_paths_that_are_too_small() {
    for tells in [true, false] {
        let (mut sim, alice, bob) = pair(["10.1.0.1", "10.1.0.2"], |_| ());
        sim.net().everywhere().mtu(1000).tell_too_big(tells);
        alice.send(&mut sim, message(bob, 800));
        sim.run_for(secs(40));
        assert_eq!(ends(&sim, alice), [if tells { FINE } else { ClientEnd::Timeout }]);
        assert_eq!(
            sent(&sim).iter().filter(|seen| seen.is("MESSAGE") && seen.on_stream).count(),
            usize::from(tells)
        );
        rest(&mut sim, &[alice, bob]);
    }
}

/// TP-13, RFC 3261 §8.1.3.1: a peer whose port is closed fails the request at once; where ICMP is blocked, by its timer.
#[test]
fn tp_13_closed_ports() {
    for icmp in [true, false] {
        let (mut sim, alice, bob) = pair(["10.1.0.1", "10.1.0.2"], |_| ());
        sim.net().icmp(icmp);
        alice.send(&mut sim, Outgoing::options(uri_of("sip:10.1.0.2:5099")));
        sim.run_for(secs(1));
        let failed = ClientEnd::Transport(IoKind::Unreachable);
        assert_eq!(ends(&sim, alice), vec![failed; usize::from(icmp)]);
        sim.run_for(secs(40));
        assert_eq!(ends(&sim, alice), [if icmp { failed } else { ClientEnd::Timeout }]);
        rest(&mut sim, &[alice, bob]);
    }
}

/// T22.01, T22.02, C057, P18: requests and answers over IPv6, with UDP and TCP: brackets in Via, Contact and Request-URI,
/// none in `received`.
#[test]
fn t22_01_t22_02_c057_ipv6() {
    for tcp in [false, true] {
        let (mut sim, alice, bob) = pair(["fd00:1::1", "fd00:1::2"], |_| ());
        let uri = if tcp { bob.tcp_uri() } else { bob.uri() };
        alice.dial(&mut sim, &uri);
        sim.run_for(ms(200));
        alice.hang_up(&mut sim);
        sim.run_for(ms(200));
        assert_eq!(ends(&sim, alice)[0], FINE);
        let seen = arrived(&sim);
        let find =
            |pattern: &str| seen.iter().find(|seen| seen.is(pattern)).unwrap_or_else(|| panic!("{pattern}"));
        let (via, param) = if tcp { ("TCP", ";transport=tcp") } else { ("UDP", "") };
        assert!(
            find("INVITE")
                .header("Via")
                .expect("a Via")
                .starts_with(&format!("SIP/2.0/{via} [fd00:1::1]:5060;"))
        );
        assert_eq!(find("INVITE").header("Contact"), Some(format!("<sip:[fd00:1::1]:5060{param}>")));
        let ok = find("200 INVITE");
        assert_eq!(ok.header("Contact"), Some(format!("<sip:[fd00:1::2]:5060{param}>")));
        assert!(ok.header("Via").expect("a Via").contains(";received=fd00:1::1"), "{:?}", ok.header("Via"));
        assert_eq!(find("BYE").uri(), format!("sip:[fd00:1::2]:5060{param}"));
        assert!(find("BYE").on_stream == tcp && find("200 BYE").on_stream == tcp);
        rest(&mut sim, &[alice, bob]);
    }
}

/// T22.03, P18: a call over IPv6 with a re-INVITE from either side and a BYE, over UDP and TCP: each goes to the Contact of
/// the other, and over TCP all take the caller's connection.
#[test]
fn t22_03_an_ipv6_call_changed_from_both_sides() {
    for tcp in [false, true] {
        let (mut sim, alice, bob) = pair(["fd00:1::1", "fd00:1::2"], |_| ());
        alice.dial(&mut sim, &if tcp { bob.tcp_uri() } else { bob.uri() });
        sim.run_for(ms(200));
        for ua in [alice, bob] {
            let reinvite = Outgoing::in_dialog(Method::Invite, ua.dialog(&sim)).body(Body::sdp(Phone::SDP));
            ua.send(&mut sim, reinvite);
            sim.run_for(ms(200));
        }
        bob.hang_up(&mut sim);
        sim.run_for(ms(200));
        let (seen, param) = (arrived(&sim), if tcp { ";transport=tcp" } else { "" });
        let requests = |method: &str, of: Ua| {
            let all = seen.iter().filter(|seen| seen.is(method) && seen.from == of.id());
            all.map(|seen| (seen.uri(), seen.on_stream)).collect::<Vec<_>>()
        };
        let to = |host: &str| (format!("sip:[{host}]:5060{param}"), tcp);
        assert_eq!(requests("INVITE", alice)[1..], [to("fd00:1::2")]);
        assert_eq!(requests("INVITE", bob), [to("fd00:1::1")]);
        assert_eq!(requests("BYE", bob), [to("fd00:1::1")]);
        assert_eq!(seen.iter().filter(|seen| seen.is("200 INVITE")).count(), 3);
        assert_eq!(bob.endpoint(&sim).connections(), usize::from(tcp));
        rest(&mut sim, &[alice, bob]);
    }
}

/// C059: a phone that listens on all addresses of a machine with two networks shows each peer the address in the peer's
/// own, and a call works both ways.
#[test]
fn c059_two_networks() {
    let mut sim = world();
    let setup = Setup::new().address([10, 1, 0, 1]).address([10, 2, 0, 1]);
    let endpoint = Endpoint::new(Config::default(), &sim.seed_of("alice"), Instant::EPOCH);
    let host = Host::new(endpoint.expect("the default"), Phone::new("0.0.0.0"));
    let alice = sim.node_with("alice", setup, host);
    for (at, own) in [("10.1.0.9", "10.1.0.1"), ("10.2.0.9", "10.2.0.1")] {
        let bob = Ua::new(&mut sim, at, Phone::new(at));
        sim.on(alice, |host, now| host.with(now, |phone, cx| phone.request(cx, Phone::offer(&bob.uri()))))
            .expect("it can be sent");
        sim.run_for(ms(200));
        let invite = sent(&sim).into_iter().rfind(|seen| seen.is("INVITE")).expect("an INVITE");
        assert!(invite.header("Via").expect("a Via").starts_with(&format!("SIP/2.0/UDP {own}:5060;")));
        assert_eq!(invite.header("Contact"), Some(format!("<sip:{own}:5060>")));
        bob.hang_up(&mut sim);
        sim.run_for(ms(200));
        let answered = arrived(&sim).iter().any(|seen| seen.is("200 BYE") && seen.to == Some(bob.id()));
        assert!(answered, "the BYE found its way by the Contact");
    }
}

/// C050, C046: connections that are pinged outlive the time after which an idle one is closed, on both sides.
#[test]
fn c050_pings_keep_connections() {
    for (ping, kept) in [(Some(secs(50)), true), (None, false)] {
        let (mut sim, alice, bob) = pair(["10.1.0.1", "10.1.0.2"], |config| {
            config.keep_alive = ping;
            config.limits.idle = secs(60);
        });
        alice.send(&mut sim, Outgoing::options(uri_of(&bob.tcp_uri())));
        sim.run_for(secs(3600));
        let open = usize::from(kept);
        assert_eq!((alice.endpoint(&sim).connections(), bob.endpoint(&sim).connections()), (open, open));
    }
}

/// C050, RFC 5626 §4.4.1: a peer that has become silent is found out within the time of a ping and its pong, and the next
/// request takes a new connection as soon as the network is back.
#[test]
fn c050_silence_is_found_out() {
    let (mut sim, alice, bob) = pair(["10.1.0.1", "10.1.0.2"], |config| config.keep_alive = Some(secs(30)));
    alice.send(&mut sim, Outgoing::options(uri_of(&bob.tcp_uri())));
    sim.run_for(secs(1));
    let fault = sim.net().isolate(bob.id());
    sim.run_for(secs(41));
    assert_eq!(alice.endpoint(&sim).connections(), 0);
    sim.net().heal(fault);
    alice.send(&mut sim, Outgoing::options(uri_of(&bob.tcp_uri())));
    sim.run_for(secs(5));
    assert_eq!(ends(&sim, alice), [FINE, FINE]);
    assert_eq!(times(&sim, alice.id(), "OPTIONS").len(), 2);
}

/// P14, C054: with the policy for NAT, requests in a dialog, its ACK among them, go where the peer sent from, whichever side
/// called; without it, where its Contact says.
#[test]
fn p14_peers_behind_nat() {
    for (policy, reached) in [(NatPolicy::SymmetricSource, true), (NatPolicy::Off, false)] {
        for calls in [true, false] {
            let mut sim = world();
            let mut config = Config::default();
            config.nat = policy;
            let alice = Ua::configured(&mut sim, "alice", config, Phone::new("10.1.0.1"));
            let bob = sim.puppet("bob");
            let private = "Contact: <sip:bob@10.99.0.1:5060>\n";
            if calls {
                let there = uri(&sim, bob);
                alice.dial(&mut sim, &there);
                let invite = bob.expect(&mut sim, "INVITE");
                bob.send(&mut sim, &branch_says(&invite, 200, "b", private));
                if reached {
                    bob.expect(&mut sim, "ACK");
                }
            } else {
                let text =
                    request("INVITE", "one", private).replace("sip:bob@[remote]", "sip:alice@10.1.0.1");
                bob.send_to(&mut sim, alice.addr(), &text);
                let ok = bob.expect(&mut sim, "200");
                bob.send(&mut sim, &in_call(&ok, "ACK", 1, ""));
            }
            sim.run_for(ms(50));
            alice.hang_up(&mut sim);
            if reached {
                let bye = bob.expect_within(&mut sim, "BYE", ms(100));
                assert!(
                    bye.text().starts_with("BYE sip:bob@10.99.0.1:5060 SIP/2.0"),
                    "the Request-URI stays"
                );
            } else {
                bob.expect_none(&mut sim, secs(1));
            }
        }
    }
}

/// A service that notes the addresses that it is told.
#[derive(Default)]
struct Probing {
    socket: Option<SocketId>,
    mapped: Vec<SocketAddr>,
}

impl Service for Probing {
    fn bound(&mut self, _: &mut Cx<'_>, socket: SocketId, proto: Proto, _: Result<SocketAddr, IoKind>) {
        if proto == Proto::Udp {
            self.socket = Some(socket);
        }
    }

    fn flow(&mut self, _: &mut Cx<'_>, _: FlowId, change: &FlowChange) {
        if let FlowChange::Mapped { mapped, .. } = change {
            self.mapped.push(*mapped);
        }
    }
}

/// T01.16, T01.17, C051, C052: two endpoints ask one another by STUN, from their SIP ports to the other's, over both
/// families; what is lost on the way is asked again.
#[test]
fn t01_16_t01_17_stun_at_sip_ports() {
    for any in ["0.0.0.0", "::"] {
        let mut sim = world();
        sim.net().everywhere().loss(0.3);
        let nodes = [5060, 5070].map(|port| {
            let endpoint = Endpoint::new(Config::default(), &sim.seed_of(any), Instant::EPOCH);
            let mut host = Host::new(endpoint.expect("the default"), Probing::default());
            let addr = SocketAddr::new(any.parse().expect("an address"), port);
            host.with(Instant::EPOCH, |_, cx| cx.listen(Proto::Udp, addr)).expect("it is the first");
            sim.node(if port == 5060 { "one" } else { "other" }, host)
        });
        sim.run_for(ms(10));
        let own = |sim: &sansip_sim::Sim, at: usize| {
            let own = sim.addresses(nodes[at]).iter().find(|ip| ip.is_ipv6() == (any == "::"));
            SocketAddr::new(*own.expect("both families"), [5060, 5070][at])
        };
        for at in [0, 1] {
            let server = own(&sim, 1 - at);
            let asked = sim.on(nodes[at], |host, now| {
                host.with(now, |probing, cx| cx.stun(probing.socket.expect("it is bound"), server))
            });
            assert_eq!(asked, Ok(()));
            sim.run_for(secs(60));
            assert_eq!(sim.peek(nodes[at]).service().mapped, [own(&sim, at)]);
        }
    }
}
