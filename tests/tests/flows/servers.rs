//! Finding servers and going from one to the next: RFC 3263, as callers and servers see it.

use std::time::Duration;

use sansip::{
    ClientEnd, Config, DialogChange, DialogEnd, DnsError, IoKind, Method, Outgoing, RecordKind, Reply,
    StatusCode,
};
use sansip_sim::{Puppet, Sim};
use sansip_tests::simulated::{Manner, News, Phone, Ua, rest, sent, uri_of};

use crate::script::*;

const URI: &str = "sip:bob@example.com";

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// A caller, and servers of example.com over UDP, the first of them first.
fn served(phones: impl IntoIterator<Item = Phone>) -> (Sim, Ua, Vec<Ua>) {
    let mut sim = world();
    let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
    let mut servers = Vec::new();
    for (n, phone) in (1_u16..).zip(phones) {
        let server = Ua::new(&mut sim, &format!("server{n}"), phone);
        let host = format!("s{n}.example.com");
        sim.dns().name(&host, [server.addr().ip()]);
        sim.dns().srv("_sip._udp.example.com", (n, 0), &host, 5060);
        servers.push(server);
    }
    (sim, alice, servers)
}

fn two() -> (Sim, Ua, Vec<Ua>) {
    served(["10.1.0.2", "10.1.0.3"].map(Phone::new))
}

/// A caller, and puppets that serve example.com over UDP, the first of them first.
fn scripted() -> (Sim, Ua, [Puppet; 2]) {
    let mut sim = world();
    let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
    let servers = ["first", "second"].map(|name| sim.puppet(name));
    for (n, server) in (1_u16..).zip(servers) {
        let (host, addr) = (format!("s{n}.example.com"), server.addr(&sim));
        sim.dns().name(&host, [addr.ip()]);
        sim.dns().srv("_sip._udp.example.com", (n, 0), &host, addr.port());
    }
    (sim, alice, servers)
}

fn message() -> Outgoing {
    Outgoing::new(Method::Message, uri_of(URI))
}

/// Returns the servers that the requests of one method were sent to, copies left out.
fn asked(sim: &Sim, from: Ua, method: &str) -> Vec<String> {
    let mut asked: Vec<(String, String)> = Vec::new();
    for seen in sent(sim).into_iter().filter(|seen| seen.from == from.id() && seen.is(method)) {
        let server = seen.to.map_or_else(String::new, |to| sim.name(to).to_owned());
        if !asked.iter().any(|(branch, _)| *branch == seen.branch) {
            asked.push((seen.branch, server));
        }
    }
    asked.into_iter().map(|(_, server)| server).collect()
}

fn ok(sim: &Sim, alice: Ua) -> usize {
    let ended = |news: &News| matches!(news, News::Ended(_, ClientEnd::Final(StatusCode::OK)));
    alice.news(sim).iter().filter(|news| ended(news)).count()
}

/// TU.10, C063: SRV weights 1:9:90 share out requests as they say.
#[test]
fn tu_10_weights_share_out_requests() {
    let mut sim = world();
    let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
    let weights = [1_u16, 9, 90];
    let mut servers = Vec::new();
    for (n, weight) in (1_u8..).zip(weights) {
        let ip = format!("10.1.1.{n}");
        servers.push(Ua::new(&mut sim, &format!("server{n}"), Phone::new(&ip)));
        let host = format!("s{n}.example.com");
        sim.dns().name(&host, [[10, 1, 1, n]]);
        sim.dns().srv("_sip._udp.example.com", (1, weight), &host, 5060);
    }
    for _ in 0..400 {
        alice.send(&mut sim, message());
        sim.run_for(Duration::from_millis(50));
    }
    let asked = asked(&sim, alice, "MESSAGE");
    let count = |n: usize| asked.iter().filter(|name| **name == format!("server{n}")).count();
    assert_eq!(asked.len(), 400);
    // Means 8, 36 and 356; bounds of at least four standard deviations.
    assert!(count(1) <= 22 && (12..=62).contains(&count(2)) && (328..=384).contains(&count(3)), "{asked:?}");
    assert_eq!(sim.dns().asked("_sip._udp.example.com", RecordKind::Srv), 1);
    servers.push(alice);
    rest(&mut sim, &servers);
}

/// DN-11, C067, C068, P13: a server that is silent is passed over, in a new transaction and under the same handle.
#[test]
fn dn_11_a_silent_server_is_passed_over() {
    for (method, request) in [("MESSAGE", message()), ("INVITE", Phone::offer(URI))] {
        let (mut sim, alice, servers) = two();
        let fault = sim.net().isolate(servers[0]);
        let client = alice.send(&mut sim, request);
        sim.run_for(secs(31));
        assert_eq!(asked(&sim, alice, method), ["server1"]);
        sim.run_for(secs(3));
        assert_eq!(asked(&sim, alice, method), ["server1", "server2"]);
        assert!(alice.heard(&sim, &News::Ended(client, ClientEnd::Final(StatusCode::OK))));
        let tries: Vec<_> =
            sent(&sim).into_iter().filter(|seen| seen.from == alice.id() && seen.is(method)).collect();
        let (first, last) = (&tries[0], tries.last().expect("there are two"));
        assert_ne!(first.branch, last.branch);
        assert_eq!((&first.call_id, first.cseq, &first.from_tag), (&last.call_id, last.cseq, &last.from_tag));
        assert_eq!(ok(&sim, alice), 1);
        assert!(sim.net().heal(fault));
        if method == "INVITE" {
            alice.hang_up(&mut sim);
        }
        rest(&mut sim, &[alice, servers[0], servers[1]]);
    }
}

/// C069: a server that was silent is left alone for a while, by address, and then tried first again.
#[test]
fn c069_back_off_is_remembered_and_forgotten() {
    let (mut sim, alice, servers) = two();
    let fault = sim.net().isolate(servers[0]);
    alice.send(&mut sim, message());
    sim.run_for(secs(33));
    assert!(sim.net().heal(fault));
    alice.send(&mut sim, message());
    sim.run_for(secs(1));
    assert_eq!(asked(&sim, alice, "MESSAGE"), ["server1", "server2", "server2"]);
    sim.run_for(secs(30));
    alice.send(&mut sim, message());
    sim.run_for(secs(1));
    assert_eq!(asked(&sim, alice, "MESSAGE"), ["server1", "server2", "server2", "server1"]);
    assert_eq!(ok(&sim, alice), 3);
    rest(&mut sim, &[alice, servers[0], servers[1]]);
}

/// DN-11, C068: a 503 leads to the next server; the one that sent it is left alone for as long as it said.
#[test]
fn dn_11_an_overloaded_server_is_passed_over() {
    let busy = || {
        Manner::Now(
            Reply::service_unavailable()
                .header(sansip::HeaderName::RETRY_AFTER, sansip::HeaderValue::from_static("100")),
        )
    };
    let phones = [Phone::new("10.1.0.2").invite(busy()).other(busy()), Phone::new("10.1.0.3")];
    let (mut sim, alice, servers) = served(phones);
    let client = alice.dial(&mut sim, URI);
    sim.run_for(secs(1));
    assert_eq!(asked(&sim, alice, "INVITE"), ["server1", "server2"]);
    let told =
        |status| alice.news(&sim).iter().any(|news| matches!(news, News::Response(_, s, _) if *s == status));
    assert!(!told(503) && told(200), "the application hears of the server that took it");
    assert!(alice.heard(&sim, &News::Ended(client, ClientEnd::Final(StatusCode::OK))));
    // The refusal was acknowledged where it came from.
    let acks: Vec<_> = asked(&sim, alice, "ACK");
    assert_eq!(acks, ["server1", "server2"]);
    alice.hang_up(&mut sim);
    alice.send(&mut sim, message());
    sim.run_for(secs(98));
    assert_eq!(asked(&sim, alice, "MESSAGE"), ["server2"]);
    sim.run_for(secs(2));
    alice.send(&mut sim, message());
    sim.run_for(secs(1));
    assert_eq!(asked(&sim, alice, "MESSAGE"), ["server2", "server1", "server2"]);
    rest(&mut sim, &[alice, servers[0], servers[1]]);
}

/// RFC 3261 §17.1.1.2: copies of a 503 are acknowledged although the INVITE has gone on.
#[test]
fn copies_of_a_503_are_acknowledged() {
    let (mut sim, alice, [first, second]) = scripted();
    let client = alice.dial(&mut sim, URI);
    let invite = first.expect(&mut sim, "INVITE");
    let refusal = branch_says(&invite, 503, "b", "");
    first.send(&mut sim, &refusal);
    let ack = first.expect(&mut sim, "ACK");
    first.send(&mut sim, &refusal);
    assert_eq!(first.expect(&mut sim, "ACK").bytes, ack.bytes);
    let invite = second.expect(&mut sim, "INVITE");
    second.send(&mut sim, &branch_says(&invite, 486, "c", ""));
    second.expect(&mut sim, "ACK");
    rest(&mut sim, &[alice]);
    assert!(alice.heard(&sim, &News::Ended(client, ClientEnd::Final(StatusCode::BUSY_HERE))));
}

/// DN-11: a server that has said anything is there: when it leaves its request without an answer, no other one gets it.
#[test]
fn dn_11_a_server_that_has_begun_to_answer_keeps_its_request() {
    let (mut sim, alice, [first, second]) = scripted();
    let client = alice.send(&mut sim, message());
    let request = first.expect(&mut sim, "MESSAGE");
    first.reply_with(&mut sim, &request, 100, "", b"");
    second.expect_none(&mut sim, secs(40));
    rest(&mut sim, &[alice]);
    assert!(alice.heard(&sim, &News::Ended(client, ClientEnd::Timeout)));
}

/// DN-11, P13: no other refusal leads to another server.
#[test]
fn dn_11_other_refusals_are_final() {
    for reply in [Reply::busy(), Reply::internal_error()] {
        let phones = [Phone::new("10.1.0.2").other(Manner::Now(reply)), Phone::new("10.1.0.3")];
        let (mut sim, alice, servers) = served(phones);
        alice.send(&mut sim, message());
        rest(&mut sim, &[alice, servers[0], servers[1]]);
        assert_eq!(asked(&sim, alice, "MESSAGE"), ["server1"]);
    }
}

/// C067, P12: a connection that cannot be opened leads to the next server.
#[test]
fn c067_a_connection_that_fails() {
    let (mut sim, alice, servers) = two();
    for (n, host) in [(1, "nobody.example.com"), (2, "s2.example.com")] {
        sim.dns().srv("_sip._tcp.example.com", (n, 0), host, 5060);
    }
    sim.dns().name("nobody.example.com", [[10, 9, 9, 9]]);
    alice.send(&mut sim, Outgoing::new(Method::Message, uri_of("sip:example.com;transport=tcp")));
    sim.run_for(secs(40));
    assert_eq!((asked(&sim, alice, "MESSAGE"), ok(&sim, alice)), (vec!["server2".into()], 1));
    rest(&mut sim, &[alice, servers[0], servers[1]]);
}

/// RFC 3263 §4.3, §12.2.1 of RFC 3261: requests in a dialog are passed on as well, to a peer whose Contact is a domain.
#[test]
fn dn_11_requests_in_a_dialog_are_passed_on() {
    let (mut sim, alice, [first, second]) = scripted();
    alice.dial(&mut sim, URI);
    let invite = first.expect(&mut sim, "INVITE");
    first.send(&mut sim, &branch_says(&invite, 200, "b", "Contact: <sip:bob@example.com>\n"));
    first.expect(&mut sim, "ACK");
    alice.hang_up(&mut sim);
    let bye = first.expect(&mut sim, "BYE");
    first.reply_with(&mut sim, &bye, 503, "", b"");
    let again = second.expect(&mut sim, "BYE");
    let field = |heard: &sansip_sim::Heard, name| heard.header(name).map(std::borrow::Cow::into_owned);
    for name in ["Call-ID", "CSeq", "From", "To"] {
        assert_eq!(field(&bye, name), field(&again, name), "{name}");
    }
    assert_ne!(field(&bye, "Via"), field(&again, "Via"));
    second.reply_with(&mut sim, &again, 200, "", b"");
    rest(&mut sim, &[alice]);
    let over = |news: &News| matches!(news, News::Dialog(_, DialogChange::Ended(DialogEnd::LocalBye)));
    assert_eq!(alice.news(&sim).iter().filter(|news| over(news)).count(), 1);
}

/// When all servers have failed, so has the request, and the application is told once, of the last.
#[test]
fn all_servers_fail() {
    let (mut sim, alice, servers) = two();
    let faults = [0, 1].map(|n| sim.net().isolate(servers[n]));
    let client = alice.send(&mut sim, message());
    sim.run_for(secs(66));
    assert_eq!(asked(&sim, alice, "MESSAGE"), ["server1", "server2"]);
    assert_eq!(alice.news(&sim), [News::Ended(client, ClientEnd::Timeout)]);
    assert!(faults.into_iter().all(|fault| sim.net().heal(fault)));
    rest(&mut sim, &[alice, servers[0], servers[1]]);
}

/// `attempts` at its limit and one over.
#[test]
fn attempts_are_bounded() {
    let busy = |ip: &str| Phone::new(ip).other(Manner::Now(Reply::service_unavailable()));
    for (limit, count) in [(2, 2), (3, 3), (4, 3)] {
        let (mut sim, _, servers) = served(["10.1.0.2", "10.1.0.3", "10.1.0.4"].map(busy));
        let mut config = Config::default();
        config.limits.attempts = limit;
        let carol = Ua::configured(&mut sim, "carol", config, Phone::new("10.1.0.9"));
        let client = carol.send(&mut sim, message());
        sim.run_for(secs(1));
        assert_eq!(asked(&sim, carol, "MESSAGE").len(), count);
        assert!(carol.heard(&sim, &News::Ended(client, ClientEnd::Final(StatusCode::SERVICE_UNAVAILABLE))));
        rest(&mut sim, &[carol, servers[0], servers[1], servers[2]]);
    }
}

/// DN-12: CANCEL goes to the server that rings; one that waits for a ring goes nowhere else.
#[test]
fn dn_12_cancel_stays_with_its_invite() {
    let rings = |ip: &str| Phone::new(ip).invite(Manner::Rings(secs(60), Phone::accept()));
    let (mut sim, alice, servers) = served(["10.1.0.2", "10.1.0.3"].map(rings));
    let fault = sim.net().isolate(servers[0]);
    let client = alice.dial(&mut sim, URI);
    sim.run_for(secs(34));
    alice.cancel(&mut sim, client).expect("it rings");
    sim.run_for(secs(1));
    assert_eq!(asked(&sim, alice, "CANCEL"), ["server2"]);
    assert!(sim.net().heal(fault));
    rest(&mut sim, &[alice, servers[0], servers[1]]);

    let (mut sim, alice, servers) = served(["10.1.0.2", "10.1.0.3"].map(rings));
    let fault = sim.net().isolate(servers[0]);
    let client = alice.dial(&mut sim, URI);
    sim.run_for(secs(1));
    alice.cancel(&mut sim, client).expect("it is under way");
    sim.run_for(secs(60));
    assert_eq!(asked(&sim, alice, "INVITE"), ["server1"]);
    assert!(sim.net().heal(fault));
    rest(&mut sim, &[alice, servers[0], servers[1]]);
}

/// P29, C061: a name server that is silent about one name ends one call, in time, and no other.
#[test]
fn p29_a_dead_name_ends_one_call() {
    let (mut sim, alice, servers) = two();
    sim.dns().never_answers("dead.example");
    sim.dns().fails("broken.example", DnsError::Failed);
    let dead = alice.dial(&mut sim, "sip:dead.example");
    let broken = alice.dial(&mut sim, "sip:broken.example");
    let none = alice.dial(&mut sim, "sip:none.example");
    let well = alice.send(&mut sim, message());
    sim.run_for(secs(1));
    assert!(alice.heard(&sim, &News::Ended(broken, ClientEnd::NoAddress)));
    assert!(alice.heard(&sim, &News::Ended(none, ClientEnd::NoAddress)));
    assert!(alice.heard(&sim, &News::Ended(well, ClientEnd::Final(StatusCode::OK))));
    let end = News::Ended(dead, ClientEnd::Transport(IoKind::TimedOut));
    sim.run_for(Duration::from_millis(8_900));
    assert!(!alice.heard(&sim, &end));
    sim.run_for(Duration::from_millis(200));
    assert!(alice.heard(&sim, &end));
    rest(&mut sim, &[alice, servers[0], servers[1]]);
}

/// DN-14, C066: a domain that moves is found at its new place when the time to live of the old one is over.
#[test]
fn dn_14_a_domain_moves() {
    let (mut sim, alice, servers) = two();
    let hop =
        |sim: &mut Sim, server: &Ua| sim.dns().name_with_ttl("moves.example", [server.addr().ip()], secs(20));
    let options = || Outgoing::new(Method::Message, uri_of("sip:moves.example:5060"));
    hop(&mut sim, &servers[0]);
    alice.send(&mut sim, options());
    sim.run_for(secs(1));
    hop(&mut sim, &servers[1]);
    sim.run_for(secs(18));
    alice.send(&mut sim, options());
    sim.run_for(secs(2));
    assert_eq!(asked(&sim, alice, "MESSAGE"), ["server1", "server1"]);
    assert_eq!(sim.dns().asked("moves.example", RecordKind::A), 1);
    alice.send(&mut sim, options());
    sim.run_for(secs(1));
    assert_eq!(asked(&sim, alice, "MESSAGE"), ["server1", "server1", "server2"]);
    assert_eq!(sim.dns().asked("moves.example", RecordKind::A), 2);
    rest(&mut sim, &[alice, servers[0], servers[1]]);
}

/// DN-05, DN-17, C064: NAPTR leads to TCP, over an alias; a chain of aliases without end is a failure.
#[test]
fn dn_17_aliases() {
    let (mut sim, alice, servers) = two();
    sim.dns().naptr("n.example", (1, 1), "SIP+D2T", "_sip._tcp.n.example");
    sim.dns().srv("_sip._tcp.n.example", (1, 1), "alias.example", 5060);
    sim.dns().alias("alias.example", "s2.example.com");
    sim.dns().alias("loop.example", "loop.example");
    sim.dns().latency_of("alias.example", secs(2));
    alice.send(&mut sim, Outgoing::new(Method::Message, uri_of("sip:n.example")));
    let lost = alice.send(&mut sim, Outgoing::new(Method::Message, uri_of("sip:loop.example")));
    sim.run_for(secs(3));
    assert_eq!(asked(&sim, alice, "MESSAGE"), ["server2"]);
    assert!(sent(&sim).iter().any(|seen| seen.is("MESSAGE") && seen.on_stream));
    assert!(alice.heard(&sim, &News::Ended(lost, ClientEnd::NoAddress)));
    rest(&mut sim, &[alice, servers[0], servers[1]]);
}
