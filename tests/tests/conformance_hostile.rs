//! Hostile peers and broken services: each meets a limit and a clear outcome, while a call in progress goes on (P20, P29).

use std::{net::SocketAddr, time::Duration};

use sansip::{ClientEnd, CloseHow, Config, Method, Outgoing, Proto, Reply, StatusCode, Void};
use sansip_sim::{Node, Puppet, Reading, Sim};
use sansip_tests::{ByHand, Conduct, Note, Phone, Raw, Resting, invite, offer, statuses, uri};

/// A call between two endpoints, and a stranger who wants to spoil it.
struct Stage {
    sim: Sim,
    alice: Node<Resting<Phone>>,
    bob: Node<Resting<Phone>>,
    mallory: Puppet,
}

impl Stage {
    fn new(config: Config, bob: Phone) -> Self {
        let mut sim = Sim::new(sansip_sim::seed());
        let alice = party(&mut sim, "alice", 1, Config::default(), Phone::new());
        let bob = party(&mut sim, "bob", 2, config, bob);
        let mallory = sim.puppet("mallory");
        let mut stage = Self { sim, alice, bob, mallory };
        let to = uri(stage.target(), Proto::Udp);
        stage.alice_asks(invite(to));
        stage
    }

    fn target(&self) -> SocketAddr {
        self.sim.addr(self.bob, 5060)
    }

    fn bob(&self) -> &Resting<Phone> {
        self.sim.peek(self.bob)
    }

    /// Sends a request of alice's and expects that it succeeds within a second.
    fn alice_asks(&mut self, request: Outgoing) {
        let alice = self.alice;
        let client = self
            .sim
            .on(alice, |host, now| host.with(now, |_, cx| cx.request(request)))
            .expect("it can be sent");
        let ended = |sim: &Sim| sim.peek(alice).service().end_of(client);
        self.sim.run_until(|sim| ended(sim).is_some(), Duration::from_secs(1));
        assert_eq!(ended(&self.sim), Some(ClientEnd::Final(StatusCode::OK)), "{}", self.sim.ladder());
    }

    /// Expects that the call still works, ends it, and lets all come to rest.
    fn finish(mut self) -> Sim {
        let dialog = self.sim.peek(self.alice).service().confirmed()[0];
        self.alice_asks(Outgoing::in_dialog(Method::Invite, dialog).body(offer()));
        self.sim.on(self.alice, |host, now| host.with(now, |_, cx| cx.bye(dialog))).expect("it is confirmed");
        self.sim.settle();
        for node in [self.alice, self.bob] {
            let host = self.sim.peek(node);
            assert!(host.endpoint().is_idle() && host.endpoint().calls() == 0, "{}", self.sim.ladder());
            assert_eq!(host.endpoint().connections(), 0, "none is kept for ever");
            assert_eq!(host.service().dialog_ends().len(), host.service().confirmed().len());
        }
        self.sim
    }
}

fn party(sim: &mut Sim, name: &str, number: u8, config: Config, phone: Phone) -> Node<Resting<Phone>> {
    let addr = SocketAddr::from(([10, 0, 0, number], 5060));
    let host = phone.listens(Proto::Udp, addr).host(config, &sim.seed_of(name));
    let node = sim.node(name, Resting::new(host));
    assert_eq!(sim.addr(node, 5060), addr);
    node
}

fn usual() -> Stage {
    Stage::new(Config::default(), Phone::new())
}

#[test]
fn garbage_datagrams() {
    let mut stage = usual();
    let (target, mallory) = (stage.target(), stage.mallory);
    let whole = Raw::new("OPTIONS", 1).text();
    for round in 0..500 {
        let mut draw = || stage.sim.workload().next_u64();
        let length = draw() % 1500;
        let mut bytes: Vec<u8> = (0..length).map(|_| draw().to_le_bytes()[0]).collect();
        if round % 2 == 0 {
            // Half of them begin like a request.
            let cut = draw() as usize % whole.len();
            bytes.splice(..0, whole.as_bytes()[..cut].iter().copied());
        }
        mallory.send_bytes_to(&mut stage.sim, target, bytes);
    }
    stage.sim.run_for(Duration::from_secs(1));
    let stats = *stage.bob().endpoint().stats();
    assert!(stats.unreadable > 400, "{stats:?}");
    assert_eq!(stage.bob().endpoint().calls(), 1, "nothing is left of them");
    stage.finish();
}

/// UDP carries 65,507 bytes; what a driver hands over beyond that is refused like anything too large.
#[test]
fn the_largest_datagrams() {
    let mut config = Config::default();
    config.limits.head = 60_000;
    let mut stage = Stage::new(config.clone(), Phone::new());
    let (target, mallory) = (stage.target(), stage.mallory);
    let back = mallory.addr(&stage.sim).to_string();
    let of = |length: usize, peer: &str| {
        let bare = Raw::new("OPTIONS", 1).field("Subject", "").text().replace("192.0.2.9:5060", peer).len();
        let raw = Raw::new("OPTIONS", 1).field("Subject", &"x".repeat(length - bare));
        raw.text().replace("192.0.2.9:5060", peer)
    };
    mallory.send_bytes_to(&mut stage.sim, target, vec![b'x'; 65_507]);
    mallory.expect_none(&mut stage.sim, Duration::from_secs(1));
    mallory.send_bytes_to(&mut stage.sim, target, of(65_507, &back));
    mallory.expect(&mut stage.sim, "513");
    assert_eq!(stage.bob().endpoint().stats().unreadable, 2);
    stage.finish();

    let mut hand = ByHand::new(config, Phone::new());
    assert_eq!(statuses(&hand.datagram(of(70_000, "192.0.2.9:5060"))), [513]);
    assert!(hand.datagram(vec![b'x'; 70_000]).is_empty());
}

#[test]
fn a_header_without_end_on_a_connection() {
    let mut stage = usual();
    let (target, mallory) = (stage.target(), stage.mallory);
    mallory.connect(&mut stage.sim, target);
    let text = Raw::new("OPTIONS", 1).tcp().text();
    let (start, _) = text.split_once("Content-Length").expect("it has one");
    mallory.send_bytes(&mut stage.sim, start.to_owned());
    let mut sent = start.len();
    while mallory.connections(&stage.sim) > 0 {
        assert!(sent < 80_000, "the limit is 65,535");
        let line = format!("Subject: {}\r\n", "x".repeat(990));
        sent += line.len();
        mallory.send_bytes(&mut stage.sim, line);
        stage.sim.run_for(Duration::from_millis(10));
    }
    assert!(sent > 65_535);
    mallory.expect(&mut stage.sim, "513");
    stage.finish();
}

#[test]
fn one_byte_a_second() {
    let mut stage = usual();
    let (target, mallory) = (stage.target(), stage.mallory);
    mallory.connect(&mut stage.sim, target);
    let text = Raw::new("OPTIONS", 1).tcp().text();
    let begun = stage.sim.now();
    for byte in text.bytes() {
        if mallory.connections(&stage.sim) == 0 {
            break;
        }
        mallory.send_bytes(&mut stage.sim, vec![byte]);
        stage.sim.run_for(Duration::from_secs(1));
    }
    let lasted = stage.sim.now().since(begun);
    let limit = Config::default().limits.half_message;
    assert!(lasted >= limit && lasted <= limit + Duration::from_secs(1), "{lasted:?}");
    stage.finish();
}

#[test]
fn a_message_without_end() {
    let mut stage = usual();
    let (target, mallory) = (stage.target(), stage.mallory);
    mallory.connect(&mut stage.sim, target);
    let text = Raw::new("MESSAGE", 1).tcp().body("x".repeat(1000)).text();
    mallory.send_bytes(&mut stage.sim, text[..text.len() - 1].to_owned());
    let limit = Config::default().limits.half_message;
    stage.sim.run_for(limit - Duration::from_millis(10));
    assert_eq!(mallory.connections(&stage.sim), 1);
    stage.sim.run_for(Duration::from_secs(1));
    assert_eq!(mallory.connections(&stage.sim), 0);
    assert!(stage.bob().service().asked(&Method::Message).is_empty(), "half a message is none");
    stage.finish();
}

#[test]
fn a_thousand_requests_in_one_segment() {
    let mut stage = usual();
    let (target, mallory) = (stage.target(), stage.mallory);
    mallory.connect(&mut stage.sim, target);
    let burst: String = (0..1000).map(|number| Raw::new("OPTIONS", number).tcp().text()).collect();
    mallory.send_bytes(&mut stage.sim, burst);
    stage.sim.run_for(Duration::from_secs(5));
    let heard = mallory.take_all(&mut stage.sim);
    let calls: Vec<String> =
        heard.iter().filter(|heard| heard.is("200")).map(|h| h.header("Call-ID").unwrap().into()).collect();
    let expected: Vec<String> = (0..1000).map(|number| format!("call-{number}")).collect();
    assert_eq!(calls, expected, "each is answered, in order");
    stage.finish();
}

#[test]
fn a_reader_that_does_not_read() {
    let mut config = Config::default();
    config.limits.unsent = 100_000;
    let mut stage = Stage::new(config, Phone::new());
    let (target, mallory) = (stage.target(), stage.mallory);
    mallory.connect(&mut stage.sim, target);
    stage.sim.set_reading(mallory, Reading::Paused);
    for number in 0..10_000 {
        if stage.bob().endpoint().connections() == 0 {
            break;
        }
        mallory.send_bytes(&mut stage.sim, Raw::new("OPTIONS", number).tcp().text());
        stage.sim.run_for(Duration::from_millis(1));
    }
    assert_eq!(stage.bob().endpoint().connections(), 0, "what it does not take is not kept");
    stage.finish();
}

#[test]
fn ten_thousand_idle_connections() {
    let mut config = Config::default();
    config.limits.connections = 9_999;
    let mut stage = Stage::new(config, Phone::new());
    let (target, mallory) = (stage.target(), stage.mallory);
    for _ in 0..10_000 {
        mallory.connect(&mut stage.sim, target);
    }
    stage.sim.run_for(Duration::from_secs(1));
    assert_eq!(stage.bob().endpoint().connections(), 9_999);
    assert_eq!(stage.bob().endpoint().stats().refused_connections, 1);
    let dialog = stage.sim.peek(stage.alice).service().confirmed()[0];
    stage.alice_asks(Outgoing::in_dialog(Method::Info, dialog));
    stage.sim.run_for(Config::default().limits.idle);
    assert_eq!((stage.bob().endpoint().connections(), mallory.connections(&stage.sim)), (0, 0));
    stage.finish();
}

#[test]
fn connections_that_come_and_go() {
    let mut stage = usual();
    let (target, mallory) = (stage.target(), stage.mallory);
    for round in 0..200 {
        mallory.connect(&mut stage.sim, target);
        let text = Raw::new("MESSAGE", round).tcp().text();
        mallory.send_bytes(&mut stage.sim, text[..text.len() - round % 3].to_owned());
        mallory.close(&mut stage.sim, if round % 2 == 0 { CloseHow::Reset } else { CloseHow::Flush });
    }
    stage.sim.run_for(Duration::from_secs(1));
    assert_eq!(stage.bob().endpoint().connections(), 0);
    stage.finish();
}

/// A callback that panics costs its own question alone.
#[test]
fn a_service_that_panics() {
    let mut stage = Stage::new(Config::default(), Phone::new().others(Conduct::Panic));
    let to = uri(stage.target(), Proto::Udp);
    let alice = stage.alice;
    let client = stage
        .sim
        .on(alice, |host, now| host.with(now, |_, cx| cx.request(Outgoing::options(to.clone()))))
        .expect("it can be sent");
    stage.sim.run_for(Duration::from_secs(1));
    let end = stage.sim.peek(alice).service().end_of(client);
    assert_eq!(end, Some(ClientEnd::Final(StatusCode::SERVER_INTERNAL_ERROR)));
    let said = stage.sim.ladder().to_string();
    assert!(said.contains("500 Service Error"), "{said}");
    assert_eq!(stage.bob().endpoint().stats().panics, 1);
    // The next call is as any other.
    stage.alice_asks(invite(to));
    let dialog = *stage.sim.peek(alice).service().confirmed().last().expect("there are two calls");
    stage.sim.on(alice, |host, now| host.with(now, |_, cx| cx.bye(dialog))).expect("it is confirmed");
    stage.finish();
}

/// P29: a service that never answers holds up its own requests alone, and those have their deadlines.
#[test]
fn p29_a_service_that_never_answers() {
    for conduct in [Conduct::Defer, Conduct::Forget] {
        let mut stage = Stage::new(Config::default(), Phone::new().others(conduct));
        let (target, mallory) = (stage.target(), stage.mallory);
        let back = mallory.addr(&stage.sim).to_string();
        for number in 0..50 {
            let text = Raw::new("MESSAGE", number).text().replace("192.0.2.9:5060", &back);
            mallory.send_bytes_to(&mut stage.sim, target, text);
        }
        let dialog = stage.sim.peek(stage.alice).service().confirmed()[0];
        stage.sim.run_for(Duration::from_secs(1));
        stage.alice_asks(Outgoing::in_dialog(Method::Info, dialog));
        stage.sim.run_for(Config::default().limits.answer);
        let heard = mallory.take_all(&mut stage.sim);
        let refused = heard.iter().filter(|heard| heard.is("500")).count();
        assert_eq!(refused, 50, "RFC 4320 §4.2: 500 before the sender gives up");
        let notes = &stage.bob().service().notes;
        let voided = notes.iter().filter(|note| matches!(note, Note::Voided(_, Void::Deadline))).count();
        assert_eq!(voided, 50);
        stage.finish();
    }
}

/// A pending question that is dropped is an INVITE's 408 in the end; others come through meanwhile.
#[test]
fn a_pending_question_that_is_dropped() {
    let mut stage = Stage::new(Config::default(), Phone::new());
    let (target, mallory) = (stage.target(), stage.mallory);
    let back = mallory.addr(&stage.sim).to_string();
    let silent = party(&mut stage.sim, "carol", 4, Config::default(), Phone::new().invites(Conduct::Forget));
    let carol = stage.sim.addr(silent, 5060);
    let text = Raw::new("INVITE", 1).text().replace("192.0.2.9:5060", &back);
    mallory.send_bytes_to(&mut stage.sim, carol, text);
    mallory.expect(&mut stage.sim, "100");
    mallory.send_bytes_to(
        &mut stage.sim,
        target,
        Raw::new("OPTIONS", 2).text().replace("192.0.2.9:5060", &back),
    );
    mallory.expect(&mut stage.sim, "200");
    mallory.expect_within(&mut stage.sim, "408", Config::default().limits.invite_answer);
    let sim = stage.finish();
    assert!(sim.peek(silent).endpoint().is_idle());
}

/// A reply that is no final one does not leave the request without an answer.
#[test]
fn a_service_that_answers_with_a_provisional() {
    let phone = Phone::new().others(Conduct::Answer(Reply::ringing()));
    let mut stage = Stage::new(Config::default(), phone);
    let to = uri(stage.target(), Proto::Udp);
    let alice = stage.alice;
    let client = stage
        .sim
        .on(alice, |host, now| host.with(now, |_, cx| cx.request(Outgoing::options(to))))
        .expect("it can be sent");
    stage.sim.run_for(Duration::from_secs(1));
    let end = stage.sim.peek(alice).service().end_of(client);
    assert_eq!(end, Some(ClientEnd::Final(StatusCode::SERVER_INTERNAL_ERROR)));
    stage.finish();
}
