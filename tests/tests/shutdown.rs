//! An endpoint that is asked to end: calls are ended in order, and nothing else is waited for.

use std::time::Duration;

use sansip::{
    Answer, Body, Config, Cx, DialogChange, DialogEnd, DialogHandle, Endpoint, Host, Instant, Machine as _,
    Method, Outgoing, Proto, Question, Reply, Service,
};
use sansip_sim::{Node, Sim};
use sansip_tests::{Calls, Resting};

/// Answers every call, and notes how calls end.
#[derive(Default)]
struct Party {
    confirmed: Option<DialogHandle>,
    ended: Vec<DialogEnd>,
}

impl Service for Party {
    fn invite(&mut self, _: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        question.answer(Reply::ok().sdp("v=0\r\n"))
    }

    fn dialog(&mut self, _: &mut Cx<'_>, dialog: DialogHandle, change: DialogChange) {
        match change {
            DialogChange::Confirmed => self.confirmed = Some(dialog),
            DialogChange::Ended(end) => self.ended.push(end),
            _ => {}
        }
    }
}

impl Calls for Party {
    fn calls_up(&self) -> Vec<DialogHandle> {
        self.confirmed.filter(|_| self.ended.is_empty()).into_iter().collect()
    }
}

fn party(sim: &mut Sim, name: &str) -> Node<Resting<Party>> {
    let endpoint =
        Endpoint::new(Config::default(), &sim.seed_of(name), Instant::EPOCH).expect("the defaults");
    let node = sim.node(name, Resting::new(Host::new(endpoint, Party::default())));
    let addr = sim.addr(node, 5060);
    sim.on(node, |host, now| host.with(now, |_, cx| cx.listen(Proto::Udp, addr).map(|_| ())))
        .expect("a socket");
    node
}

/// Lets Alice call Bob, and waits until both are in the call.
fn call(sim: &mut Sim, alice: Node<Resting<Party>>, bob: Node<Resting<Party>>) -> DialogHandle {
    let uri = format!("sip:bob@{}", sim.addr(bob, 5060)).parse().expect("a URI");
    let invite = Outgoing::new(Method::Invite, uri).body(Body::sdp("v=0\r\n"));
    sim.on(alice, |host, now| host.with(now, |_, cx| cx.request(invite).map(|_| ()))).expect("it is sent");
    sim.run_for(Duration::from_secs(1));
    sim.peek(alice).service().confirmed.expect("the call is up")
}

fn shut_down(sim: &mut Sim, node: Node<Resting<Party>>) {
    sim.on(node, |host, now| host.with(now, |_, cx| cx.shutdown(Duration::from_secs(5))));
    sim.run_for(Duration::from_millis(500));
}

/// RFC 3261 §15: calls that are up end with BYE, and the endpoint ends with the last of them.
#[test]
fn calls_end_with_bye() {
    let mut sim = Sim::new(1);
    let (alice, bob) = (party(&mut sim, "alice"), party(&mut sim, "bob"));
    call(&mut sim, alice, bob);
    shut_down(&mut sim, bob);
    assert!(sim.peek(bob).is_stopped(), "well before the five seconds have passed");
    assert_eq!(sim.peek(bob).service().ended, [DialogEnd::Shutdown]);
    assert_eq!(sim.peek(alice).service().ended, [DialogEnd::RemoteBye]);
}

/// A transaction that only answers copies (Timers D, I, J, K, L, M) holds up nobody.
#[test]
fn copies_are_not_waited_for() {
    let mut sim = Sim::new(1);
    let (alice, bob) = (party(&mut sim, "alice"), party(&mut sim, "bob"));
    let dialog = call(&mut sim, alice, bob);
    sim.on(alice, |host, now| host.with(now, |_, cx| cx.bye(dialog))).expect("the call is up");
    sim.run_for(Duration::from_secs(1));
    for node in [alice, bob] {
        assert_eq!(sim.peek(node).endpoint().calls(), 1, "Timers K and J run");
        shut_down(&mut sim, node);
        assert!(sim.peek(node).is_stopped());
    }
}

/// What is still to be acknowledged by the peer is waited for, as long as the grace allows.
#[test]
fn a_peer_that_is_gone_is_waited_for_as_long_as_allowed() {
    let mut sim = Sim::new(1);
    let (alice, bob) = (party(&mut sim, "alice"), party(&mut sim, "bob"));
    call(&mut sim, alice, bob);
    sim.power_off(alice);
    shut_down(&mut sim, bob);
    assert!(!sim.peek(bob).is_stopped(), "its BYE has no answer");
    sim.run_for(Duration::from_millis(4_600));
    assert!(sim.peek(bob).is_stopped());
    assert_eq!(sim.peek(bob).service().ended, [DialogEnd::Shutdown]);
}
