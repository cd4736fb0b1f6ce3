//! Matching and transport as a peer sees them: RFC 3261 §17.1.3, §17.2.3, §18; RFC 3581; RFC 5626 §4.4.1.

use std::time::Duration;

use sansip::{Body, Method, Outgoing, Reply};
use sansip_sim::{Segments, Sim};
use sansip_tests::simulated::{Manner, News, Phone, Ua, rest, sent, times, uri_of};

use crate::script::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn bob(sim: &mut Sim) -> Ua {
    Ua::new(sim, "bob", Phone::new("10.1.0.2"))
}

/// MT-05: requests whose branch is nothing but the cookie never meet, and are answered.
#[test]
fn mt_05_bare_cookie() {
    let mut sim = world();
    let bob = bob(&mut sim);
    let alice = sim.puppet("alice");
    for call_id in ["one", "two"] {
        let text = request("OPTIONS", call_id, "").replace(&format!("z9hG4bK-{call_id}"), "z9hG4bK");
        alice.send_to(&mut sim, bob.addr(), &text);
        let answer = alice.expect(&mut sim, "200");
        assert_eq!(field(&answer, "Call-ID"), call_id);
    }
    rest(&mut sim, &[bob]);
}

/// MT-03, C075: a request of RFC 2543, without the cookie, is told from others by its fields; so is its ACK.
#[test]
fn mt_03_old_branches() {
    let mut sim = world();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2").invite(Manner::Now(Reply::busy())));
    let alice = sim.puppet("alice");
    let old = |text: String| text.replace(";branch=z9hG4bK-one", "");
    alice.send_to(&mut sim, bob.addr(), &old(invite("one")));
    let refusal = alice.expect(&mut sim, "486");
    alice.send(&mut sim, &old(invite("one")));
    assert_eq!(alice.expect(&mut sim, "486").bytes, refusal.bytes);
    assert_eq!(bob.endpoint(&sim).stats().retransmissions, 1);
    alice.send(&mut sim, &old(ack_refusal(&refusal)));
    rest(&mut sim, &[bob]);
    assert_eq!(times(&sim, bob, "486").len(), 2, "the ACK matched");
}

/// MT-06: the ACK for a 2xx has a branch of its own and reaches the dialog; an ACK of nothing is never answered.
#[test]
fn mt_06_acks() {
    let mut sim = world();
    let bob = bob(&mut sim);
    let alice = sim.puppet("alice");
    let ok = caller(&mut sim, alice, bob);
    assert!(bob.news(&sim).iter().any(|news| matches!(news, News::Ack(_))));
    alice.send(&mut sim, &in_call(&ok, "ACK", 7, ""));
    alice.send(&mut sim, &request("ACK", "other", ""));
    alice.expect_none(&mut sim, Duration::from_secs(33));
    hang_up(&mut sim, bob, alice);
    rest(&mut sim, &[bob]);
}

/// MT-07, TP-11: a response to nothing, or with another's sent-by, is dropped and counted.
#[test]
fn mt_07_stray_responses() {
    let mut sim = world();
    let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
    let bob = sim.puppet("bob");
    let options = to(&sim, bob, Method::Options);
    alice.send(&mut sim, options);
    let request = bob.expect(&mut sim, "OPTIONS");
    let answer = branch_says(&request, 200, "b", "");
    let strays = [
        answer.replace("z9hG4bK", "z9hG4bK0"),
        answer.replace("10.1.0.1:5060", "10.1.0.1:5062"),
        answer.replace("10.1.0.1:5060", "10.1.0.9:5060"),
        answer.replace("1 OPTIONS", "1 INVITE"),
        answer.replace("Call-ID: ", "Call-ID: x"),
    ];
    for stray in &strays {
        assert_ne!(*stray, answer);
        bob.send(&mut sim, stray);
    }
    sim.run_for(ms(100));
    assert_eq!((alice.news(&sim), alice.endpoint(&sim).stats().stray_responses), (vec![], 5));
    bob.send(&mut sim, &answer);
    rest(&mut sim, &[alice]);
    assert_eq!(alice.news(&sim).len(), 2);
}

/// MT-08, C088: the same request on a second way gets 482, while the first is open and when it has its answer.
#[test]
fn mt_08_merged_requests() {
    for (manner, method) in
        [(Manner::Later, "INVITE"), (Manner::Now(Phone::accept()), "INVITE"), (Manner::Later, "MESSAGE")]
    {
        let mut sim = world();
        let phone = Phone::new("10.1.0.2").invite(manner.clone()).other(manner.clone());
        let bob = Ua::new(&mut sim, "bob", phone);
        let alice = sim.puppet("alice");
        let text = request(method, "one", "Contact: <sip:alice@[local]>\n");
        alice.send_to(&mut sim, bob.addr(), &text);
        sim.run_for(ms(10));
        alice.send(&mut sim, &text.replace("z9hG4bK-one", "z9hG4bK-other"));
        let merged = alice.expect(&mut sim, "482");
        if method == "INVITE" {
            alice.send(&mut sim, &ack_refusal(&merged).replace("z9hG4bK-one", "z9hG4bK-other"));
        }
        if matches!(manner, Manner::Later) {
            bob.answer(&mut sim, Reply::ok());
        }
        let ok = alice.expect(&mut sim, "200");
        if method == "INVITE" {
            alice.send(&mut sim, &in_call(&ok, "ACK", 1, ""));
            sim.run_for(ms(10));
            hang_up(&mut sim, bob, alice);
        }
        rest(&mut sim, &[bob]);
    }
}

/// RFC 3263 §4.3: who got a 503 may come again on another way, with the same number; that is no merged request.
#[test]
fn mt_08_failover_is_not_merged() {
    let mut sim = world();
    let phone = Phone::new("10.1.0.2").other(Manner::Now(Reply::service_unavailable()));
    let bob = Ua::new(&mut sim, "bob", phone);
    let alice = sim.puppet("alice");
    for branch in ["z9hG4bK-one", "z9hG4bK-other"] {
        let text = request("MESSAGE", "one", "").replace("z9hG4bK-one", branch);
        alice.send_to(&mut sim, bob.addr(), &text);
        alice.expect_within(&mut sim, "503", ms(10));
    }
    rest(&mut sim, &[bob]);
}

/// TP-01: a request of more than 1300 bytes goes over TCP, and its Via says so; one that fits stays on UDP.
#[test]
fn tp_01_large_requests_take_tcp() {
    let mut sim = world();
    let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
    let bob = bob(&mut sim);
    let message = |size: usize| {
        let body = Body::new(sansip::HeaderValue::from_static("text/plain"), vec![b'x'; size]);
        Outgoing::new(Method::Message, uri_of(&bob.uri())).body(body)
    };
    alice.send(&mut sim, message(500));
    sim.run_for(ms(50));
    let size = sent(&sim)[0].bytes.len();
    let fits = 1300 - (size - 500);
    // Content-Length grows with the body.
    let fits = fits - usize::from(fits > 1000);
    for (size, on_stream) in [(fits, false), (fits + 1, true)] {
        alice.send(&mut sim, message(size));
        sim.run_for(ms(50));
        let all = sent(&sim);
        let last = all.iter().rfind(|seen| seen.is("MESSAGE")).expect("it was sent");
        assert_eq!(last.on_stream, on_stream, "{}", last.bytes.len());
        assert_eq!(last.bytes.len(), 1300 + usize::from(on_stream));
        let via = last.header("Via").expect("a Via");
        assert!(via.starts_with(if on_stream { "SIP/2.0/TCP" } else { "SIP/2.0/UDP" }));
    }
    rest(&mut sim, &[alice, bob]);
}

/// TP-02, TP-03: `received` and `rport` tell where a request came from, and responses go there, or to the port in sent-by
/// without `rport`, or to `maddr`.
#[test]
fn tp_03_way_of_responses() {
    let mut sim = world();
    let bob = bob(&mut sim);
    let alice = sim.puppet_with("alice", sansip_sim::Setup::new().address([10, 2, 0, 1]), 7000);
    let other = sim.puppet_with("other", sansip_sim::Setup::new().address([10, 2, 0, 2]), 7001);
    for (via, by_other, received, rport) in [
        ("10.2.0.1:7000;rport", false, Some("10.2.0.1"), Some("7000")),
        ("10.2.0.1:7000", false, None, None),
        ("10.9.9.9:7000", false, Some("10.2.0.1"), None),
        ("alice.example.com:7000", false, Some("10.2.0.1"), None),
        ("10.9.9.9:5060;rport", false, Some("10.2.0.1"), Some("7000")),
        ("10.2.0.1:7001;maddr=10.2.0.2", true, None, None),
    ] {
        let call_id = via.replace([':', ';', '.', '='], "-");
        let text = request("OPTIONS", &call_id, "").replace("[local];rport", via);
        alice.send_to(&mut sim, bob.addr(), &text);
        let listener = if by_other { other } else { alice };
        let answer = listener.expect_within(&mut sim, "200", ms(10));
        assert_eq!(param(&answer, "Via", "received").as_deref(), received, "{via}");
        assert_eq!(param(&answer, "Via", "rport").as_deref(), rport, "{via}");
        assert_eq!(answer.remote, bob.addr(), "from where it was heard");
    }
    rest(&mut sim, &[bob]);
}

/// TP-03: over a stream the response takes the same connection, and another to sent-by if that one is gone.
#[test]
fn tp_03_way_of_responses_on_streams() {
    for gone in [false, true] {
        let mut sim = world();
        let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2").other(Manner::Later));
        let alice = sim.puppet("alice");
        alice.connect(&mut sim, bob.addr());
        alice.send(&mut sim, &request("MESSAGE", "one", ""));
        sim.run_for(ms(10));
        if gone {
            alice.close(&mut sim, sansip::CloseHow::Reset);
            sim.run_for(ms(10));
        }
        bob.answer(&mut sim, Reply::ok());
        let answer = alice.expect(&mut sim, "200");
        assert_eq!(answer.proto(), sansip::Proto::Tcp);
        assert_eq!(answer.local.port() == 5060, gone, "a new connection goes to the port in sent-by");
        rest(&mut sim, &[bob]);
    }
}

/// TP-04: octets beyond Content-Length do not count; a body that is too short is answered 400; without Content-Length it
/// reaches to the end.
#[test]
fn tp_04_bodies_of_datagrams() {
    let mut sim = world();
    let bob = bob(&mut sim);
    let alice = sim.puppet("alice");
    let with = |id: &str, length: &str| {
        request("MESSAGE", id, "").replace("Content-Length: 0\n", &format!("{length}\nhello\n"))
    };
    for (id, length, status) in
        [("more", "Content-Length: 5\n", 200), ("less", "Content-Length: 100\n", 400), ("none", "", 200)]
    {
        alice.send_to(&mut sim, bob.addr(), &with(id, length));
        alice.expect_within(&mut sim, &status.to_string(), ms(10));
    }
    rest(&mut sim, &[bob]);
}

/// TP-04: a response whose body is too short is dropped.
#[test]
fn tp_04_short_responses_are_dropped() {
    let mut sim = world();
    let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
    let bob = sim.puppet("bob");
    let options = to(&sim, bob, Method::Options);
    alice.send(&mut sim, options);
    let request = bob.expect(&mut sim, "OPTIONS");
    let answer = branch_says(&request, 200, "b", "");
    bob.send(&mut sim, &answer.replace("Content-Length: 0", "Content-Length: 9"));
    sim.run_for(ms(10));
    assert_eq!(alice.news(&sim), []);
    bob.send(&mut sim, &answer);
    rest(&mut sim, &[alice]);
    assert_eq!(alice.news(&sim).len(), 2);
}

/// TP-05: a stream is cut anywhere, CRLFs before a message mean nothing, and what is read at once is served in order; without
/// Content-Length it ends with 400.
#[test]
fn tp_05_messages_on_streams() {
    for segments in [Segments::Fixed(1), Segments::Fixed(7), Segments::Whole] {
        let mut sim = world();
        let bob = bob(&mut sim);
        let alice = sim.puppet("alice");
        sim.net().everywhere().segments(segments);
        alice.connect(&mut sim, bob.addr());
        let text = |id: &str| {
            let text =
                request("OPTIONS", id, "").replace("[transport]", "TCP").replace("[local]", "10.0.0.2:5060");
            text.replace("[remote]", "10.1.0.2:5060").replace('\n', "\r\n") + "\r\n"
        };
        let three = format!("\r\n\r\n{}\r\n{}{}", text("one"), text("two"), text("three"));
        alice.send_bytes(&mut sim, three);
        for id in ["one", "two", "three"] {
            assert_eq!(field(&alice.expect(&mut sim, "2xx"), "Call-ID"), id);
        }
        alice.send_bytes(&mut sim, text("four").replace("Content-Length: 0\r\n", ""));
        alice.expect(&mut sim, "400");
        sim.run_for(Duration::from_secs(5));
        assert_eq!(alice.connections(&sim), 0);
        rest(&mut sim, &[bob]);
    }
}

/// TP-06: a double CRLF between messages is answered with one CRLF, over a stream only.
#[test]
fn tp_06_keep_alive() {
    let mut sim = world();
    let bob = bob(&mut sim);
    let alice = sim.puppet("alice");
    alice.send_bytes_to(&mut sim, bob.addr(), "\r\n\r\n");
    alice.expect_none(&mut sim, Duration::from_secs(1));
    alice.connect(&mut sim, bob.addr());
    let pongs = |sim: &Sim| {
        let wrote = sim.trace().rows().filter(|row| match &row.what {
            sansip_sim::What::Stream { hop, event: sansip_sim::StreamEvent::Wrote } => {
                hop.from == bob.id() && &hop.payload[..] == b"\r\n"
            }
            _ => false,
        });
        wrote.count()
    };
    alice.send_bytes(&mut sim, "\r\n\r\n");
    sim.run_for(ms(10));
    assert_eq!(pongs(&sim), 1);
    alice.send_bytes(&mut sim, "\r\n");
    sim.run_for(ms(10));
    assert_eq!(pongs(&sim), 1, "a pong is swallowed");
    alice.send(&mut sim, &request("OPTIONS", "one", ""));
    alice.expect(&mut sim, "200");
    rest(&mut sim, &[bob]);
}

/// TP-12: each UDP port listens on TCP too, and takes the largest datagram there is.
#[test]
fn tp_12_both_transports() {
    let mut sim = world();
    let bob = bob(&mut sim);
    let alice = sim.puppet("alice");
    let text = request("MESSAGE", "large", "");
    let body = "x".repeat(60_000);
    let large = text.replace("Content-Length: 0\n", &format!("Content-Length: {}\n\n{body}", body.len() + 2));
    alice.send_to(&mut sim, bob.addr(), &large);
    alice.expect(&mut sim, "200");
    alice.connect(&mut sim, bob.addr());
    alice.send(&mut sim, &request("OPTIONS", "two", ""));
    alice.expect(&mut sim, "200");
    rest(&mut sim, &[bob]);
}

/// UA-13, NC-08, IC-04: a peer that refuses the connection, or hangs up, fails the requests that wait for it.
#[test]
fn broken_connections_fail_requests() {
    let mut sim = world();
    let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
    let bob = sim.puppet("bob");
    let there = format!("sip:{};transport=tcp", bob.addr(&sim));
    let nowhere = format!("sip:{}:9;transport=tcp", bob.addr(&sim).ip());
    alice.dial(&mut sim, &nowhere);
    let failed = |news: &&News| matches!(news, News::Ended(_, sansip::ClientEnd::Transport(_)));
    sim.run_for(Duration::from_secs(12));
    assert_eq!(alice.news(&sim).iter().filter(failed).count(), 1);
    alice.dial(&mut sim, &there);
    alice.send(&mut sim, Outgoing::options(uri_of(&there)));
    bob.expect(&mut sim, "OPTIONS");
    bob.close(&mut sim, sansip::CloseHow::Reset);
    sim.run_for(ms(10));
    assert_eq!(alice.news(&sim).iter().filter(failed).count(), 3);
    rest(&mut sim, &[alice]);
}
