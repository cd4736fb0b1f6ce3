//! What outlives a session (RFC 5407 §3.1.6).

use std::time::Duration;

use sansip::{Config, Endpoint, Host, Instant, Outgoing, Proto, Service};
use sansip_sim::Sim;

struct Silent;

impl Service for Silent {}

/// RC-06, UA-05: a BYE overtakes the ACK that the application owes; copies of the 2xx that come later are acknowledged,
/// and none of them starts the session again.
#[test]
fn rc_06_a_2xx_after_the_bye_starts_nothing() {
    let mut sim = Sim::new(1);
    let endpoint =
        Endpoint::new(Config::default(), &sim.seed_of("alice"), Instant::EPOCH).expect("the defaults");
    let alice = sim.node("alice", Host::new(endpoint, Silent));
    let addr = sim.addr(alice, 5060);
    sim.on(alice, |host, now| host.with(now, |_, cx| cx.listen(Proto::Udp, addr))).expect("a socket");
    let bob = sim.puppet("bob");
    let uri = format!("sip:bob@{}", bob.addr(&sim)).parse().expect("a URI");
    // Without an offer the ACK has to carry the answer, so it is the application's to send; this one never does.
    sim.on(alice, |host, now| host.with(now, |_, cx| cx.request(Outgoing::invite(uri)))).expect("sent");
    let invite = bob.expect(&mut sim, "INVITE");
    let field = |name: &str| invite.header(name).expect("a mandatory field").into_owned();
    let (via, from, to, call_id) = (field("Via"), field("From"), field("To"), field("Call-ID"));
    let ok = format!(
        "SIP/2.0 200 OK\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to};tag=b1\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:bob@[local]>\r\nContent-Length: 0\r\n\r\n"
    );
    let bye = format!(
        "BYE sip:{addr} SIP/2.0\r\nVia: SIP/2.0/UDP [local];branch=[branch]\r\nMax-Forwards: 70\r\nFrom: {to};tag=b1\r\n\
         To: {from}\r\nCall-ID: {call_id}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
    );
    bob.send_to(&mut sim, addr, &ok);
    bob.expect_none(&mut sim, Duration::from_millis(100));
    bob.send(&mut sim, &bye);
    bob.expect(&mut sim, "ACK");
    bob.expect(&mut sim, "200 BYE");
    bob.send(&mut sim, &ok);
    bob.expect(&mut sim, "ACK");
    sim.settle();
    assert!(sim.peek(alice).endpoint().is_idle());
}
