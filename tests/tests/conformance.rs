//! What every driver has to do, as one set of tests for all of them: the simulator, tokio, plain threads, smol, and async-std.
//!
//! Each test runs over every transport that it is about, each with IPv4 and IPv6, and ends with all endpoints idle.

use std::{net::SocketAddr, thread, time::Duration};

use bytes::Bytes;
use sansip::{
    Body, ClientEnd, ClientHandle, Config, DialogEnd, Host, IoKind, Method, Outgoing, Proto, Reply,
    StatusCode, UriBuf,
};
use sansip_tests::{
    Conduct, Family, Manner, Note, OnAsyncStd, OnSmol, OnThreads, OnTokio, Over, Phone, Rig, Simulated,
    invite, uri, uri_at, uri_of,
};

/// What endpoints do whatever carries their messages.
const ALL: &[Proto] = &[Proto::Udp, Proto::Tcp, Proto::Tls, Proto::Ws, Proto::Wss];

/// What is about connections: UDP has none that could be refused, shared, kept alive or hung up.
const CONNECTIONS: &[Proto] = &[Proto::Tcp, Proto::Tls, Proto::Ws, Proto::Wss];

/// What is about handshakes after that of TCP: UDP and TCP have none.
const HANDSHAKES: &[Proto] = &[Proto::Tls, Proto::Ws, Proto::Wss];

/// What RFC 7118 lets a browser do: over the other transports an endpoint needs a socket of its own to send from.
const WEBSOCKET: &[Proto] = &[Proto::Ws, Proto::Wss];

/// What RFC 3261 §18 has for UDP and TCP together: a message too large for UDP goes over TCP, and both share a port. The
/// other transports stand for themselves.
const DATAGRAMS: &[Proto] = &[Proto::Udp];

macro_rules! on_every_driver {
    ($($test:ident over $protos:ident)*) => {
        on_every_driver! { @ [$($test $protos)*] simulated Simulated }
        on_every_driver! { @ [$($test $protos)*] on_tokio OnTokio }
        on_every_driver! { @ [$($test $protos)*] on_threads OnThreads }
        on_every_driver! { @ [$($test $protos)*] on_smol OnSmol }
        on_every_driver! { @ [$($test $protos)*] on_async_std OnAsyncStd }
    };
    (@ [$($test:ident $protos:ident)*] $driver:ident $Rig:ident) => {
        mod $driver {
            use super::*;
            $(#[test] fn $test() { over::<$Rig>($protos, super::$test); })*
        }
    };
}

on_every_driver! {
    options over ALL
    a_call_that_the_caller_ends over ALL
    a_call_that_the_callee_ends over ALL
    a_caller_that_does_not_listen over WEBSOCKET
    a_call_cancelled_while_ringing over ALL
    an_answer_from_elsewhere over ALL
    no_answer over ALL
    a_host_name over ALL
    a_large_body over CONNECTIONS
    a_large_body_goes_over_tcp over DATAGRAMS
    a_refused_connection over CONNECTIONS
    no_handshake over HANDSHAKES
    two_requests_share_a_connection over CONNECTIONS
    a_peer_that_hangs_up_in_a_transaction over CONNECTIONS
    a_ping_on_a_connection over CONNECTIONS
    a_shutdown_sends_bye over ALL
    port_zero over ALL
    one_port_for_udp_and_tcp over DATAGRAMS
    an_address_in_use over ALL
    calls_in_parallel over ALL
}

/// Runs a test over each of these transports and both kinds of addresses, all beside each other, as most of it is waiting.
fn over<R: Rig>(protos: &[Proto], test: fn(&mut R)) {
    thread::scope(|scope| {
        for proto in protos {
            for family in Family::ALL {
                let over = Over { proto: *proto, family };
                let run = move || test(&mut R::new(over));
                // The thread's name is in what a failure says.
                let named = thread::Builder::new().name(over.to_string());
                named.spawn_scoped(scope, run).expect("the system has a thread");
            }
        }
    });
}

fn options<R: Rig>(rig: &mut R) {
    let [alice, bob] = two(rig, Phone::new);
    let to = target(rig, bob);
    let client = send(rig, alice, Outgoing::options(to));
    assert_eq!(end_of(rig, alice, client), ClientEnd::Final(StatusCode::OK));
    assert_eq!(rig.on(bob, |host, _| host.service().asked(&Method::Options).len()), 1);
    idle(rig, &[alice, bob]);
}

fn a_call_that_the_caller_ends<R: Rig>(rig: &mut R) {
    let parties = two(rig, ringing);
    a_call(rig, parties, Ends::Caller);
}

fn a_call_that_the_callee_ends<R: Rig>(rig: &mut R) {
    let parties = two(rig, ringing);
    a_call(rig, parties, Ends::Callee);
}

/// RFC 7118 §5: what the callee sends goes over the caller's connection.
fn a_caller_that_does_not_listen<R: Rig>(rig: &mut R) {
    let parties = [rig.start(patient(), |_| Phone::new()), one(rig, ringing)];
    a_call(rig, parties, Ends::Callee);
    assert_eq!(parties.map(|party| connections(rig, party)), [1, 1]);
}

/// Who sends the BYE.
#[derive(PartialEq)]
enum Ends {
    Caller,
    Callee,
}

fn a_call<R: Rig>(rig: &mut R, [alice, bob]: [usize; 2], ends: Ends) {
    let to = target(rig, bob);
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

fn a_call_cancelled_while_ringing<R: Rig>(rig: &mut R) {
    let [alice, bob] = two(rig, || Phone::new().invites(Conduct::RingAndDefer));
    let to = target(rig, bob);
    let client = send(rig, alice, invite(to));
    rig.wait(alice, "ringing", move |host| (host.service().statuses(client) == [180]).then_some(()));
    rig.on(alice, move |host, now| host.with(now, |_, cx| cx.cancel(client))).expect("it rings");
    assert_eq!(end_of(rig, alice, client), ClientEnd::Final(StatusCode::REQUEST_TERMINATED));
    dialog_ends(rig, alice, 1, DialogEnd::Cancelled);
    dialog_ends(rig, bob, 1, DialogEnd::Cancelled);
    idle(rig, &[alice, bob]);
}

fn an_answer_from_elsewhere<R: Rig>(rig: &mut R) {
    let [alice, bob] = two(rig, || Phone::new().invites(Conduct::Defer));
    let to = target(rig, bob);
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

fn no_answer<R: Rig>(rig: &mut R) {
    let alice = one(rig, Phone::new);
    let deaf = stranger_at(rig, Manner::Deaf);
    let client = send(rig, alice, Outgoing::options(uri(deaf, rig.over().proto)));
    assert_eq!(end_of(rig, alice, client), ClientEnd::Timeout);
    idle(rig, &[alice]);
}

fn a_host_name<R: Rig>(rig: &mut R) {
    let [alice, bob] = two(rig, Phone::new);
    let proto = rig.over().proto;
    let port = address(rig, bob, proto).port();
    if let Some(name) = rig.name_of(bob) {
        let to = uri_at(&format!("{name}:{port}"), proto);
        let client = send(rig, alice, Outgoing::options(to));
        assert_eq!(end_of(rig, alice, client), ClientEnd::Final(StatusCode::OK));
    }
    idle(rig, &[alice, bob]);
}

/// More than a connection takes at once, or a record of TLS or the usual WebSocket frame has room for.
fn a_large_body<R: Rig>(rig: &mut R) {
    let [alice, bob] = two(rig, Phone::new);
    let to = target(rig, bob);
    let client = send(rig, alice, Outgoing::new(Method::Message, to).body(text(200_000)));
    assert_eq!(end_of(rig, alice, client), ClientEnd::Final(StatusCode::OK));
    assert_eq!((connections(rig, alice), connections(rig, bob)), (1, 1));
    idle(rig, &[alice, bob]);
}

/// RFC 3261 §18.1.1: what is over 1,300 bytes goes over a congestion-controlled transport.
fn a_large_body_goes_over_tcp<R: Rig>(rig: &mut R) {
    let [alice, bob] = two(rig, Phone::new);
    let to = address(rig, bob, Proto::Tcp);
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

fn a_refused_connection<R: Rig>(rig: &mut R) {
    let alice = one(rig, Phone::new);
    // Its port is open for UDP alone.
    let deaf = stranger_at(rig, Manner::NoListener);
    let client = send(rig, alice, Outgoing::options(uri(deaf, rig.over().proto)));
    assert_eq!(end_of(rig, alice, client), ClientEnd::Transport(IoKind::Refused));
    idle(rig, &[alice]);
}

/// A server that accepts connections and then is silent is given up before the transaction is.
fn no_handshake<R: Rig>(rig: &mut R) {
    let alice = one(rig, Phone::new);
    let silent = stranger_at(rig, Manner::NoHandshake);
    let client = send(rig, alice, Outgoing::options(uri(silent, rig.over().proto)));
    assert_eq!(end_of(rig, alice, client), ClientEnd::Transport(IoKind::TimedOut));
    assert_eq!(connections(rig, alice), 0);
    idle(rig, &[alice]);
}

fn two_requests_share_a_connection<R: Rig>(rig: &mut R) {
    let [alice, bob] = two(rig, Phone::new);
    let to = target(rig, bob);
    for _ in 0..2 {
        let client = send(rig, alice, Outgoing::options(to.clone()));
        assert_eq!(end_of(rig, alice, client), ClientEnd::Final(StatusCode::OK));
    }
    assert_eq!((connections(rig, alice), connections(rig, bob)), (1, 1));
    idle(rig, &[alice, bob]);
}

fn a_peer_that_hangs_up_in_a_transaction<R: Rig>(rig: &mut R) {
    let alice = one(rig, Phone::new);
    let peer = stranger_at(rig, Manner::HangsUp);
    let client = send(rig, alice, invite(uri(peer, rig.over().proto)));
    assert_eq!(end_of(rig, alice, client), ClientEnd::Transport(IoKind::Reset));
    assert_eq!(connections(rig, alice), 0);
    idle(rig, &[alice]);
}

/// RFC 5626 §4.4.1, and RFC 7118 §6 for WebSocket: a double CRLF is answered by a single one.
fn a_ping_on_a_connection<R: Rig>(rig: &mut R) {
    let bob = one(rig, Phone::new);
    let to = address(rig, bob, rig.over().proto);
    let log = rig.stranger(Manner::Says(to, Bytes::from_static(b"\r\n\r\n")));
    let seen = log.clone();
    let bytes = rig.wait_for("the pong", || {
        let bytes = seen.seen().bytes.clone();
        (!bytes.is_empty()).then_some(bytes)
    });
    assert_eq!(bytes, b"\r\n");
    idle(rig, &[bob]);
}

fn a_shutdown_sends_bye<R: Rig>(rig: &mut R) {
    let [alice, bob] = two(rig, Phone::new);
    let to = target(rig, bob);
    let client = send(rig, alice, invite(to));
    assert_eq!(end_of(rig, alice, client), ClientEnd::Final(StatusCode::OK));
    rig.wait(bob, "the ACK", |host| (host.service().acked() == 1).then_some(()));
    rig.on(bob, |host, now| host.with(now, |_, cx| cx.shutdown(Duration::from_secs(60))));
    dialog_ends(rig, alice, 1, DialogEnd::RemoteBye);
    rig.wait_for_end(bob);
    idle(rig, &[alice]);
}

fn port_zero<R: Rig>(rig: &mut R) {
    let alice = one(rig, Phone::new);
    assert_ne!(address(rig, alice, rig.over().proto).port(), 0);
    idle(rig, &[alice]);
}

/// RFC 3261 §18.2.1.
fn one_port_for_udp_and_tcp<R: Rig>(rig: &mut R) {
    let alice = one(rig, Phone::new);
    assert_eq!(address(rig, alice, Proto::Tcp), address(rig, alice, Proto::Udp));
    idle(rig, &[alice]);
}

fn an_address_in_use<R: Rig>(rig: &mut R) {
    let alice = one(rig, Phone::new);
    let proto = rig.over().proto;
    let taken = address(rig, alice, proto);
    rig.on(alice, move |host, now| host.with(now, |_, cx| cx.listen(proto, taken).map(drop)))
        .expect("listening is not refused");
    let refused = Note::Bound(proto, Err(IoKind::AddressInUse));
    rig.wait(alice, "the refusal", move |host| host.service().notes.contains(&refused).then_some(()));
    // The socket that was there first still works.
    let client = send(rig, alice, Outgoing::options(uri(taken, proto)));
    assert_eq!(end_of(rig, alice, client), ClientEnd::Final(StatusCode::OK));
    idle(rig, &[alice]);
}

fn calls_in_parallel<R: Rig>(rig: &mut R) {
    const CALLS: usize = 100;
    let [alice, bob] = two(rig, ringing);
    let to = target(rig, bob);
    rig.on(alice, move |host, now| {
        host.with(now, |_, cx| {
            for _ in 0..CALLS {
                cx.request(invite(to.clone())).expect("it can be sent");
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

/// Starts a party that listens on a port that the system chooses, for TCP too if it is UDP.
fn one<R: Rig>(rig: &mut R, phone: impl Fn() -> Phone) -> usize {
    let proto = rig.over().proto;
    let last = if proto == Proto::Udp { Proto::Tcp } else { proto };
    loop {
        let party = rig.start(patient(), |addr| phone().listens(proto, addr));
        let bound = rig.wait(party, "its sockets", move |host| {
            let bound = |note: &Note| match note {
                Note::Bound(proto, result) if *proto == last => Some(*result),
                _ => None,
            };
            host.service().notes.iter().find_map(bound)
        });
        match bound {
            Ok(_) => return party,
            // The port that the system chose for UDP may have another owner for TCP, as tests run beside each other.
            Err(error) => assert_eq!((proto, error), (Proto::Udp, IoKind::AddressInUse)),
        }
    }
}

/// Gives handshakes almost as long as transactions have, as time goes fast and many tests run beside each other.
fn patient() -> Config {
    let mut config = Config::default();
    config.limits.handshake = Duration::from_secs(20);
    config.limits.connect = Duration::from_secs(25);
    config
}

fn ringing() -> Phone {
    Phone::new().invites(Conduct::RingAndAnswer(Reply::ok()))
}

fn target<R: Rig>(rig: &mut R, party: usize) -> UriBuf {
    let proto = rig.over().proto;
    uri(address(rig, party, proto), proto)
}

fn text(bytes: usize) -> Body {
    Body::new("text/plain".try_into().expect("a value"), vec![b'x'; bytes])
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
