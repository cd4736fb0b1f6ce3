//! Reliable provisional responses (RFC 3262), between hosts and against a scripted peer.

use std::time::Duration;

use sansip::{
    Answer, Body, ClientHandle, Config, Cx, DialogHandle, Endpoint, Host, Instant, Outgoing, Pending, Proto,
    Question, Reply, Request, Response, Seed, Service, Void,
};
use sansip_sim::{Node, Puppet, Sim};
use sansip_tests::{Calls, Resting};

/// Sends a reliable 183 with a session description to each INVITE, and answers when told.
#[derive(Default)]
struct Callee {
    bodies: usize,
    pending: Option<Pending<Reply>>,
    voided: Option<Void>,
    acknowledged: usize,
    acked: usize,
}

impl Service for Callee {
    fn invite(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        for n in 0..self.bodies.max(1) {
            let reply = Reply::session_progress().reliable();
            let reply = if n < self.bodies { reply.sdp("v=0\r\n") } else { reply };
            cx.provisional(question.pending(), reply).expect("the peer supports 100rel");
        }
        let (pending, later) = question.defer();
        self.pending = Some(pending);
        later
    }

    fn prack(&mut self, _: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        self.acknowledged += 1;
        question.answer(Reply::ok())
    }

    fn ack(&mut self, _: &mut Cx<'_>, _: DialogHandle, _: &Request) {
        self.acked += 1;
    }

    fn voided(&mut self, _: &mut Cx<'_>, _: sansip::AskId, why: Void) {
        self.voided = Some(why);
    }
}

impl Calls for Callee {}

#[derive(Default)]
struct Caller {
    heard: Vec<u16>,
    dialog: Option<DialogHandle>,
}

impl Service for Caller {
    fn response(
        &mut self,
        _: &mut Cx<'_>,
        _: ClientHandle,
        response: &Response,
        dialog: Option<DialogHandle>,
    ) {
        self.heard.push(response.status().as_u16());
        self.dialog = dialog;
    }
}

impl Calls for Caller {
    fn calls_up(&self) -> Vec<DialogHandle> {
        self.dialog.into_iter().collect()
    }
}

fn host<S: Calls + 'static>(sim: &mut Sim, name: &str, service: S) -> Node<Resting<S>> {
    let seed: Seed = sim.seed_of(name);
    let endpoint = Endpoint::new(Config::default(), &seed, Instant::EPOCH).expect("the defaults");
    let node = sim.node(name, Resting::new(Host::new(endpoint, service)));
    let addr = sim.addr(node, 5060);
    sim.on(node, |host, now| host.with(now, |_, cx| cx.listen(Proto::Udp, addr).map(|_| ())))
        .expect("a socket");
    sim.run_for(Duration::from_millis(10));
    node
}

fn invite(sim: &Sim, from: Puppet, to: Node<Resting<Callee>>, supported: &str) -> String {
    format!(
        "INVITE sip:bob@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKrel1\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@example.com>;tag=a1\r\nTo: <sip:bob@example.com>\r\nCall-ID: rel@example.com\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:alice@{from}>\r\n{supported}Content-Length: 0\r\n\r\n",
        to = sim.addr(to, 5060),
        from = from.addr(sim),
    )
}

fn prack(
    sim: &Sim,
    from: Puppet,
    to: Node<Resting<Callee>>,
    to_field: &str,
    rack: &str,
    cseq: u32,
) -> String {
    format!(
        "PRACK sip:bob@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKprack{cseq}\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@example.com>;tag=a1\r\nTo: {to_field}\r\nCall-ID: rel@example.com\r\nRAck: {rack}\r\n\
         CSeq: {cseq} PRACK\r\nContent-Length: 0\r\n\r\n",
        to = sim.addr(to, 5060),
        from = from.addr(sim),
    )
}

/// TMR-06, RL-02, RL-09: sends at 0, .5, 1.5, 3.5, 7.5, 15.5, 31.5 s; at 32 s the INVITE is rejected with 5xx.
#[test]
fn tmr_06_without_prack() {
    let mut sim = Sim::new(1);
    let bob = host(&mut sim, "bob", Callee { bodies: 1, ..Callee::default() });
    let alice = sim.puppet("alice");
    let request = invite(&sim, alice, bob, "Supported: 100rel\r\n");
    let addr = sim.addr(bob, 5060);
    let begun = sim.now();
    alice.send_to(&mut sim, addr, &request);
    let mut times = Vec::new();
    loop {
        let heard = alice
            .expect_where(&mut sim, "a response", Duration::from_secs(40), |heard| heard.status().is_some());
        let delay = sim.now() - begun;
        if heard.status() == Some(504) {
            break;
        }
        assert_eq!(heard.header("Require").as_deref(), Some("100rel"));
        assert!(heard.header("RSeq").is_some());
        times.push((delay.as_millis() + 50) / 100);
    }
    assert_eq!(times, [0, 5, 15, 35, 75, 155, 315]);
    assert_eq!(sim.peek(bob).service().voided, Some(Void::NoPrack));
    sim.settle();
    assert!(sim.peek(bob).endpoint().is_idle());
}

/// RL-01: without 100rel at the peer the application is told.
#[test]
fn rl_01_not_supported() {
    struct Tries(Option<sansip::ProvisionalError>);
    impl Service for Tries {
        fn invite(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
            self.0 = cx.provisional(question.pending(), Reply::ringing().reliable()).err();
            question.answer(Reply::busy())
        }
    }
    impl Calls for Tries {}
    let mut sim = Sim::new(1);
    let bob = host(&mut sim, "bob", Tries(None));
    let alice = sim.puppet("alice");
    let to = sim.addr(bob, 5060);
    let text = format!(
        "INVITE sip:bob@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKrel2\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@example.com>;tag=a1\r\nTo: <sip:bob@example.com>\r\nCall-ID: rel2@example.com\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:alice@{from}>\r\nContent-Length: 0\r\n\r\n",
        from = alice.addr(&sim),
    );
    alice.send_to(&mut sim, to, &text);
    alice.expect(&mut sim, "486");
    assert_eq!(sim.peek(bob).service().0, Some(sansip::ProvisionalError::NotSupported));
    sim.settle();
    assert!(sim.peek(bob).endpoint().is_idle());
}

/// C119, C121, RL-01, RL-03, RL-04, RL-08, OA-13: one at a time; a PRACK that matches nothing gets 481; a 2xx waits for the PRACK.
#[test]
fn rl_03_one_at_a_time_and_the_2xx_waits() {
    let mut sim = Sim::new(2);
    let bob = host(&mut sim, "bob", Callee { bodies: 2, ..Callee::default() });
    let alice = sim.puppet("alice");
    let addr = sim.addr(bob, 5060);
    let request = invite(&sim, alice, bob, "Require: 100rel\r\n");
    alice.send_to(&mut sim, addr, &request);
    let first = alice.expect(&mut sim, "183");
    let rseq: u32 = first.header("RSeq").expect("RSeq").parse().expect("a number");
    let to = first.header("To").expect("To").into_owned();
    // The second 183 and the 200 both wait.
    sim.on(bob, |host, now| {
        host.with(now, |callee, cx| {
            cx.answer(callee.pending.take().expect("deferred"), Reply::ok().sdp("v=0\r\n"))
        })
    })
    .expect("still open");
    let wrong = prack(&sim, alice, bob, &to, &format!("{} 1 INVITE", rseq + 5), 2);
    alice.send_to(&mut sim, addr, &wrong);
    alice.expect(&mut sim, "481");
    let right = prack(&sim, alice, bob, &to, &format!("{rseq} 1 INVITE"), 3);
    alice.send_to(&mut sim, addr, &right);
    let heard: Vec<_> = [alice.expect(&mut sim, "200"), alice.expect(&mut sim, "200")]
        .iter()
        .map(|h| h.header("CSeq").map(|c| c.into_owned()))
        .collect();
    assert!(heard.contains(&Some("1 INVITE".into())) && heard.contains(&Some("3 PRACK".into())), "{heard:?}");
    // The INVITE's 2xx overtook the second 183, which is not sent any more; a second PRACK acknowledges nothing.
    let late = prack(&sim, alice, bob, &to, &format!("{rseq} 1 INVITE"), 4);
    alice.send_to(&mut sim, addr, &late);
    alice.expect_where(&mut sim, "an answer to the late PRACK", Duration::from_secs(2), |heard| {
        heard.header("CSeq").as_deref() == Some("4 PRACK") && heard.status() == Some(481)
    });
    // Without an ACK the session ends with BYE, which is answered.
    let bye = alice.expect_within(&mut sim, "BYE", Duration::from_secs(40));
    alice.reply_with(&mut sim, &bye, 200, "", b"");
    sim.settle();
    assert!(sim.peek(bob).endpoint().is_idle());
}

/// C120, RL-04, RL-05, RL-07, P5: two endpoints over a lossy link acknowledge every reliable response exactly as often as it is new.
#[test]
fn rl_05_between_endpoints_under_loss() {
    for seed in 0..50 {
        let mut sim = Sim::new(seed);
        let bob = host(&mut sim, "bob", Callee { bodies: 1, ..Callee::default() });
        let alice = host(&mut sim, "alice", Caller::default());
        sim.net().between(alice, bob).loss(0.3);
        let uri = format!("sip:bob@{}", sim.addr(bob, 5060)).parse().expect("a URI");
        let outgoing = Outgoing::invite(uri).body(Body::sdp("v=0\r\n"));
        sim.on(alice, |host, now| host.with(now, |_, cx| cx.request(outgoing).map(|_| ()))).expect("sent");
        let rang = sim.run_until(|sim| sim.peek(bob).service().acknowledged > 0, Duration::from_secs(40));
        if rang && sim.peek(bob).service().voided.is_none() {
            let _late = sim.on(bob, |host, now| {
                host.with(now, |callee, cx| cx.answer(callee.pending.take().expect("deferred"), Reply::ok()))
            });
        }
        sim.run_until(|sim| sim.peek(bob).service().acked > 0, Duration::from_secs(40));
        if let Some(dialog) = sim.peek(alice).service().dialog {
            // Ended already where every copy of something was lost.
            let _ended = sim.on(alice, |host, now| host.with(now, |_, cx| cx.bye(dialog)));
        }
        sim.settle();
        let heard = &sim.peek(alice).service().heard;
        assert!(heard.iter().filter(|status| **status == 183).count() <= 1, "seed {seed}: {heard:?}");
        assert!(sim.peek(bob).service().acknowledged <= 1, "seed {seed}");
        assert!(sim.peek(alice).endpoint().is_idle() && sim.peek(bob).endpoint().is_idle(), "seed {seed}");
    }
}

/// Limits: `limits.reliable_queue` responses may wait, one more may not.
#[test]
fn the_queue_is_bounded() {
    struct Many(Vec<bool>);
    impl Service for Many {
        fn invite(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
            let queue = cx.config().limits.reliable_queue;
            let send = |_| cx.provisional(question.pending(), Reply::ringing().reliable()).is_ok();
            self.0 = (0..queue + 2).map(send).collect();
            question.answer(Reply::busy())
        }
    }
    impl Calls for Many {}
    let mut sim = Sim::new(1);
    let bob = host(&mut sim, "bob", Many(Vec::new()));
    let alice = host(&mut sim, "alice", Caller::default());
    let uri = format!("sip:bob@{}", sim.addr(bob, 5060)).parse().expect("a URI");
    sim.on(alice, |host, now| host.with(now, |_, cx| cx.request(Outgoing::invite(uri)).map(|_| ())))
        .expect("sent");
    sim.settle();
    let sent = &sim.peek(bob).service().0;
    assert_eq!(sent.iter().filter(|ok| **ok).count(), sent.len() - 1);
    assert_eq!(sent.last(), Some(&false));
    assert!(sim.peek(bob).endpoint().is_idle());
}
