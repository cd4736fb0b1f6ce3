//! What every driver has to do, as one set of tests for all of them: the simulator, tokio, plain threads, smol, and async-std.
//!
//! Each test runs over IPv4 and IPv6 and ends with all endpoints idle.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use sansip::{
    Body, ClientEnd, ClientHandle, Config, DialogEnd, Host, IoKind, Method, Outgoing, Proto, Reply,
    StatusCode,
};
use sansip_tests::{
    Conduct, Family, Manner, Note, OnAsyncStd, OnSmol, OnThreads, OnTokio, Phone, Rig, Simulated, invite,
    uri, uri_of,
};

macro_rules! on_every_driver {
    ($($test:ident)*) => {
        mod simulated {
            use super::*;
            $(#[test] fn $test() { over_both_families::<Simulated>(super::$test); })*
        }
        mod on_tokio {
            use super::*;
            $(#[test] fn $test() { over_both_families::<OnTokio>(super::$test); })*
        }
        mod on_threads {
            use super::*;
            $(#[test] fn $test() { over_both_families::<OnThreads>(super::$test); })*
        }
        mod on_smol {
            use super::*;
            $(#[test] fn $test() { over_both_families::<OnSmol>(super::$test); })*
        }
        mod on_async_std {
            use super::*;
            $(#[test] fn $test() { over_both_families::<OnAsyncStd>(super::$test); })*
        }
    };
}

on_every_driver! {
    options_over_udp
    options_over_tcp
    a_call_over_udp_that_the_caller_ends
    a_call_over_udp_that_the_callee_ends
    a_call_over_tcp_that_the_caller_ends
    a_call_over_tcp_that_the_callee_ends
    a_call_cancelled_while_ringing
    an_answer_from_elsewhere
    a_refused_connection
    no_answer
    a_host_name
    a_large_body_goes_over_tcp
    two_requests_share_a_connection
    a_peer_that_hangs_up_in_a_transaction
    a_ping_on_a_connection
    a_shutdown_sends_bye
    port_zero
    an_address_in_use
    calls_in_parallel
}

fn over_both_families<R: Rig>(test: fn(&mut R, Family)) {
    std::thread::scope(|scope| {
        for family in [Family::V4, Family::V6] {
            scope.spawn(move || test(&mut R::new(family), family));
        }
    });
}

fn options_over_udp<R: Rig>(rig: &mut R, _: Family) {
    options_over(rig, Proto::Udp);
}

fn options_over_tcp<R: Rig>(rig: &mut R, _: Family) {
    options_over(rig, Proto::Tcp);
}

fn options_over<R: Rig>(rig: &mut R, proto: Proto) {
    let [alice, bob] = two(rig, Phone::new);
    let to = uri(address(rig, bob, proto), proto);
    let client = send(rig, alice, Outgoing::options(to));
    assert_eq!(end_of(rig, alice, client), ClientEnd::Final(StatusCode::OK));
    assert_eq!(rig.on(bob, |host, _| host.service().asked(&Method::Options).len()), 1);
    idle(rig, &[alice, bob]);
}

fn a_call_over_udp_that_the_caller_ends<R: Rig>(rig: &mut R, _: Family) {
    a_call(rig, Proto::Udp, Ends::Caller);
}

fn a_call_over_udp_that_the_callee_ends<R: Rig>(rig: &mut R, _: Family) {
    a_call(rig, Proto::Udp, Ends::Callee);
}

fn a_call_over_tcp_that_the_caller_ends<R: Rig>(rig: &mut R, _: Family) {
    a_call(rig, Proto::Tcp, Ends::Caller);
}

fn a_call_over_tcp_that_the_callee_ends<R: Rig>(rig: &mut R, _: Family) {
    a_call(rig, Proto::Tcp, Ends::Callee);
}

/// Who sends the BYE.
#[derive(PartialEq)]
enum Ends {
    Caller,
    Callee,
}

fn a_call<R: Rig>(rig: &mut R, proto: Proto, ends: Ends) {
    let [alice, bob] = two(rig, || Phone::new().invites(Conduct::RingAndAnswer(Reply::ok())));
    let to = uri(address(rig, bob, proto), proto);
    let client = send(rig, alice, invite(to));
    assert_eq!(end_of(rig, alice, client), ClientEnd::Final(StatusCode::OK));
    assert_eq!(rig.on(alice, move |host, _| host.service().statuses(client)), [180, 200]);
    rig.wait(bob, "the ACK", |host| (host.service().acked() == 1).then_some(()));
    let (from, other) = if ends == Ends::Caller { (alice, bob) } else { (bob, alice) };
    hang_up(rig, from);
    dialog_ends(rig, from, 1, DialogEnd::LocalBye);
    dialog_ends(rig, other, 1, DialogEnd::RemoteBye);
    idle(rig, &[alice, bob]);
}

fn a_call_cancelled_while_ringing<R: Rig>(rig: &mut R, _: Family) {
    let [alice, bob] = two(rig, || Phone::new().invites(Conduct::RingAndDefer));
    let to = uri(address(rig, bob, Proto::Udp), Proto::Udp);
    let client = send(rig, alice, invite(to));
    rig.wait(alice, "ringing", move |host| (host.service().statuses(client) == [180]).then_some(()));
    rig.on(alice, move |host, now| host.with(now, |_, cx| cx.cancel(client))).expect("it rings");
    assert_eq!(end_of(rig, alice, client), ClientEnd::Final(StatusCode::REQUEST_TERMINATED));
    dialog_ends(rig, alice, 1, DialogEnd::Cancelled);
    dialog_ends(rig, bob, 1, DialogEnd::Cancelled);
    idle(rig, &[alice, bob]);
}

fn an_answer_from_elsewhere<R: Rig>(rig: &mut R, _: Family) {
    let [alice, bob] = two(rig, || Phone::new().invites(Conduct::Defer));
    let to = uri(address(rig, bob, Proto::Udp), Proto::Udp);
    let client = send(rig, alice, invite(to));
    rig.wait(bob, "the question", |host| (host.service().pending.len() == 1).then_some(()));
    rig.elsewhere(bob, |host, now| {
        host.with(now, |phone, cx| {
            let pending = phone.pending.remove(0);
            cx.answer(pending, Reply::busy()).expect("it is in time");
        });
    });
    assert_eq!(end_of(rig, alice, client), ClientEnd::Final(StatusCode::BUSY_HERE));
    idle(rig, &[alice, bob]);
}

fn a_refused_connection<R: Rig>(rig: &mut R, _: Family) {
    let alice = one(rig, Phone::new);
    // Its port is open for UDP alone.
    let deaf = stranger_at(rig, Manner::Deaf);
    let client = send(rig, alice, Outgoing::options(uri(deaf, Proto::Tcp)));
    assert_eq!(end_of(rig, alice, client), ClientEnd::Transport(IoKind::Refused));
    idle(rig, &[alice]);
}

fn no_answer<R: Rig>(rig: &mut R, _: Family) {
    let alice = one(rig, Phone::new);
    let deaf = stranger_at(rig, Manner::Deaf);
    let client = send(rig, alice, Outgoing::options(uri(deaf, Proto::Udp)));
    assert_eq!(end_of(rig, alice, client), ClientEnd::Timeout);
    idle(rig, &[alice]);
}

fn a_host_name<R: Rig>(rig: &mut R, family: Family) {
    // The hosts file need not give that name an IPv6 address.
    if family == Family::V6 {
        return;
    }
    let [alice, bob] = two(rig, Phone::new);
    let port = address(rig, bob, Proto::Udp).port();
    let name = rig.name_of(bob);
    let client = send(rig, alice, Outgoing::options(uri_of(&format!("sip:{name}:{port}"))));
    assert_eq!(end_of(rig, alice, client), ClientEnd::Final(StatusCode::OK));
    idle(rig, &[alice, bob]);
}

/// RFC 3261 §18.1.1: what is over 1,300 bytes goes over a congestion-controlled transport.
fn a_large_body_goes_over_tcp<R: Rig>(rig: &mut R, _: Family) {
    let [alice, bob] = two(rig, Phone::new);
    let to = address(rig, bob, Proto::Tcp);
    let text = |bytes: usize| Body::new("text/plain".try_into().expect("a value"), vec![b'x'; bytes]);
    let to = uri_of(&format!("sip:{to}"));
    let small = Outgoing::new(Method::Message, to.clone()).body(text(100));
    let client = send(rig, alice, small);
    assert_eq!(end_of(rig, alice, client), ClientEnd::Final(StatusCode::OK));
    assert_eq!(connections(rig, alice), 0);
    let client = send(rig, alice, Outgoing::new(Method::Message, to).body(text(200_000)));
    assert_eq!(end_of(rig, alice, client), ClientEnd::Final(StatusCode::OK));
    assert_eq!((connections(rig, alice), connections(rig, bob)), (1, 1));
    idle(rig, &[alice, bob]);
}

fn two_requests_share_a_connection<R: Rig>(rig: &mut R, _: Family) {
    let [alice, bob] = two(rig, Phone::new);
    let to = uri(address(rig, bob, Proto::Tcp), Proto::Tcp);
    for _ in 0..2 {
        let client = send(rig, alice, Outgoing::options(to.clone()));
        assert_eq!(end_of(rig, alice, client), ClientEnd::Final(StatusCode::OK));
    }
    assert_eq!((connections(rig, alice), connections(rig, bob)), (1, 1));
    idle(rig, &[alice, bob]);
}

fn a_peer_that_hangs_up_in_a_transaction<R: Rig>(rig: &mut R, _: Family) {
    let alice = one(rig, Phone::new);
    let peer = stranger_at(rig, Manner::HangsUp);
    let client = send(rig, alice, invite(uri(peer, Proto::Tcp)));
    assert_eq!(end_of(rig, alice, client), ClientEnd::Transport(IoKind::Reset));
    assert_eq!(connections(rig, alice), 0);
    idle(rig, &[alice]);
}

/// RFC 5626 §4.4.1: a double CRLF is answered by a single one.
fn a_ping_on_a_connection<R: Rig>(rig: &mut R, _: Family) {
    let bob = one(rig, Phone::new);
    let to = address(rig, bob, Proto::Tcp);
    let log = rig.stranger(Manner::Says(to, Bytes::from_static(b"\r\n\r\n")));
    let seen = log.clone();
    let bytes = rig.wait_for("the pong", || {
        let bytes = seen.seen().bytes.clone();
        (!bytes.is_empty()).then_some(bytes)
    });
    assert_eq!(bytes, b"\r\n");
    idle(rig, &[bob]);
}

fn a_shutdown_sends_bye<R: Rig>(rig: &mut R, _: Family) {
    let [alice, bob] = two(rig, Phone::new);
    let to = uri(address(rig, bob, Proto::Udp), Proto::Udp);
    let client = send(rig, alice, invite(to));
    assert_eq!(end_of(rig, alice, client), ClientEnd::Final(StatusCode::OK));
    rig.wait(bob, "the ACK", |host| (host.service().acked() == 1).then_some(()));
    rig.on(bob, |host, now| host.with(now, |_, cx| cx.shutdown(Duration::from_secs(60))));
    dialog_ends(rig, alice, 1, DialogEnd::RemoteBye);
    rig.wait_for_end(bob);
    idle(rig, &[alice]);
}

fn port_zero<R: Rig>(rig: &mut R, _: Family) {
    let alice = one(rig, Phone::new);
    let udp = address(rig, alice, Proto::Udp);
    assert_ne!(udp.port(), 0);
    assert_eq!(address(rig, alice, Proto::Tcp), udp, "TCP takes the same port (RFC 3261 §18.2.1)");
    idle(rig, &[alice]);
}

fn an_address_in_use<R: Rig>(rig: &mut R, _: Family) {
    let alice = one(rig, Phone::new);
    let taken = address(rig, alice, Proto::Tcp);
    for proto in [Proto::Udp, Proto::Tcp] {
        rig.on(alice, move |host, now| host.with(now, |_, cx| cx.listen(proto, taken).map(drop)))
            .expect("listening is not refused");
        let refused = Note::Bound(proto, Err(IoKind::AddressInUse));
        rig.wait(alice, "the refusal", move |host| host.service().notes.contains(&refused).then_some(()));
    }
    // The socket that was there first still works.
    let client = send(rig, alice, Outgoing::options(uri(taken, Proto::Udp)));
    assert_eq!(end_of(rig, alice, client), ClientEnd::Final(StatusCode::OK));
    idle(rig, &[alice]);
}

fn calls_in_parallel<R: Rig>(rig: &mut R, _: Family) {
    const CALLS: usize = 200;
    let [alice, bob] = two(rig, || Phone::new().invites(Conduct::RingAndAnswer(Reply::ok())));
    let to = [Proto::Udp, Proto::Tcp].map(|proto| uri(address(rig, bob, proto), proto));
    rig.on(alice, move |host, now| {
        host.with(now, |_, cx| {
            for call in 0..CALLS {
                cx.request(invite(to[call % 2].clone())).expect("it can be sent");
            }
        });
    });
    rig.wait(alice, "all answers", |host| (host.service().confirmed().len() == CALLS).then_some(()));
    rig.wait(bob, "all ACKs", |host| (host.service().acked() == CALLS).then_some(()));
    assert_eq!(rig.on(bob, |host, _| host.endpoint().calls()), CALLS);
    let calls = rig.on(alice, |host, _| call_ids(host));
    for (party, half) in [(alice, 0), (bob, 1)] {
        let own: Vec<String> = calls.iter().skip(half).step_by(2).cloned().collect();
        rig.on(party, move |host, now| {
            host.with(now, |phone, cx| {
                for dialog in phone.confirmed() {
                    // What the other side has ended already is not among the own ones.
                    if cx.dialog(dialog).is_ok_and(|view| own.iter().any(|call| call == view.call_id())) {
                        cx.bye(dialog).expect("it is confirmed");
                    }
                }
            });
        });
    }
    for party in [alice, bob] {
        rig.wait(party, "all ends", |host| (host.service().dialog_ends().len() == CALLS).then_some(()));
        let ends = rig.on(party, |host, _| host.service().dialog_ends());
        assert_eq!(ends.iter().filter(|end| **end == DialogEnd::LocalBye).count(), CALLS / 2);
    }
    idle(rig, &[alice, bob]);
}

/// Starts a caller that declines all calls, and a callee.
fn two<R: Rig>(rig: &mut R, callee: impl Fn() -> Phone) -> [usize; 2] {
    [one(rig, || Phone::new().invites(Conduct::Answer(Reply::decline()))), one(rig, callee)]
}

/// Starts a party that listens on UDP and TCP, on one port that the system chooses.
fn one<R: Rig>(rig: &mut R, phone: impl Fn() -> Phone) -> usize {
    loop {
        let party = rig.start(Config::default(), |addr| phone().listens(Proto::Udp, addr));
        let tcp = rig.wait(party, "its sockets", |host| {
            let bound = |note: &Note| match note {
                Note::Bound(Proto::Tcp, result) => Some(*result),
                _ => None,
            };
            host.service().notes.iter().find_map(bound)
        });
        match tcp {
            Ok(_) => return party,
            // The port that the system chose for UDP may have another owner for TCP, as tests run beside each other.
            Err(error) => assert_eq!(error, IoKind::AddressInUse),
        }
    }
}

fn address<R: Rig>(rig: &mut R, party: usize, proto: Proto) -> SocketAddr {
    rig.wait(party, "its socket", move |host| host.service().address(proto))
}

fn stranger_at<R: Rig>(rig: &mut R, conduct: Manner) -> SocketAddr {
    let log = rig.stranger(conduct);
    rig.wait_for("the stranger's socket", || log.address())
}

fn send<R: Rig>(rig: &mut R, party: usize, request: Outgoing) -> ClientHandle {
    rig.on(party, |host, now| host.with(now, |_, cx| cx.request(request))).expect("it can be sent")
}

fn end_of<R: Rig>(rig: &mut R, party: usize, client: ClientHandle) -> ClientEnd {
    rig.wait(party, "the end of a request", move |host| host.service().end_of(client))
}

fn hang_up<R: Rig>(rig: &mut R, party: usize) {
    let bye = |host: &mut Host<Phone>, now| {
        host.with(now, |phone, cx| {
            let dialog = *phone.confirmed().first().expect("there is a call");
            cx.bye(dialog)
        })
    };
    rig.on(party, bye).expect("the call is confirmed");
}

fn call_ids(host: &Host<Phone>) -> Vec<String> {
    let dialogs = host.service().confirmed().into_iter();
    dialogs.filter_map(|dialog| Some(host.endpoint().dialog(dialog).ok()?.call_id().to_owned())).collect()
}

fn dialog_ends<R: Rig>(rig: &mut R, party: usize, count: usize, why: DialogEnd) {
    let ends = rig.wait(party, "the end of a call", move |host| {
        let ends = host.service().dialog_ends();
        (ends.len() >= count).then_some(ends)
    });
    assert_eq!(ends, vec![why; count]);
}

fn connections<R: Rig>(rig: &mut R, party: usize) -> usize {
    rig.on(party, |host, _| host.endpoint().connections())
}

fn idle<R: Rig>(rig: &mut R, parties: &[usize]) {
    for party in parties {
        rig.wait(*party, "idleness", |host| host.endpoint().is_idle().then_some(()));
        rig.on(*party, |host, _| assert_eq!(host.endpoint().calls(), 0));
    }
}
