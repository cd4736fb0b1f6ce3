//! `sansip serve` and `sansip call` against SIPp over loopback.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sansip_tests::{CallCounts, Driver, Process, Program, Running, Server, Sipp, Transport, free_port};

const LIMIT: Duration = Duration::from_secs(120);

/// Has one SIPp run at a time: two that start together may choose one local port for TCP, and then one makes no call.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Two thousand calls at 200 a second: none may fail, and none may stay open.
fn calls_end_well(test: &str, driver: Driver, transport: Transport) {
    let _alone = alone();
    let server = Server::start(driver).expect("the server starts");
    let Some(sipp) = Sipp::uac(test, server.port(), transport) else { return };
    let counts = sipp.calls(2000).rate(200).run(LIMIT).expect("SIPp ends");
    assert_eq!(counts, CallCounts { successful: 2000, failed: 0 });
    server.wait_until_idle(LIMIT).expect("no call stays open");
    let ended = server.stop().expect("it ends when asked to");
    assert!(ended.status.success(), "{}", ended.printed);
}

/// C033.
#[test]
fn calls_over_udp_to_the_tokio_driver() {
    calls_end_well("calls_over_udp_to_the_tokio_driver", Driver::Tokio, Transport::Udp);
}

/// C034, C040: the server is told to listen on UDP only.
#[test]
fn calls_over_tcp_to_the_tokio_driver() {
    calls_end_well("calls_over_tcp_to_the_tokio_driver", Driver::Tokio, Transport::Tcp);
}

/// C033.
#[test]
fn calls_over_udp_to_the_blocking_driver() {
    calls_end_well("calls_over_udp_to_the_blocking_driver", Driver::Blocking, Transport::Udp);
}

/// C034, C040: the server is told to listen on UDP only.
#[test]
fn calls_over_tcp_to_the_blocking_driver() {
    calls_end_well("calls_over_tcp_to_the_blocking_driver", Driver::Blocking, Transport::Tcp);
}

/// With one packet of ten lost each way, retransmission (RFC 3261 §17) brings at least 297 of 300 calls through.
fn lossy_calls_end(test: &str, driver: Driver) {
    let _alone = alone();
    let server = Server::start(driver).expect("the server starts");
    let Some(sipp) = Sipp::uac(test, server.port(), Transport::Udp) else { return };
    let counts = sipp.calls(300).rate(50).lost(10).run(LIMIT).expect("SIPp ends");
    assert!(counts.successful >= 297, "{counts:?}");
    assert_eq!(counts.successful + counts.failed, 300);
    server.wait_until_idle(LIMIT).expect("no call stays open at this side");
}

#[test]
fn lossy_calls_to_the_tokio_driver() {
    lossy_calls_end("lossy_calls_to_the_tokio_driver", Driver::Tokio);
}

#[test]
fn lossy_calls_to_the_blocking_driver() {
    lossy_calls_end("lossy_calls_to_the_blocking_driver", Driver::Blocking);
}

/// `sansip call` sends INVITE, ACK and, a second later, BYE; SIPp as the called side sees one whole call.
fn sipp_is_called(test: &str, transport: Transport) {
    let _alone = alone();
    let port = free_port().expect("loopback has ports");
    let Some(sipp) = Sipp::uas(test, port, transport) else { return };
    let sipp = sipp.calls(1).start(LIMIT).and_then(Running::ready).expect("SIPp starts");
    let uri = format!("sip:service@127.0.0.1:{port};transport={transport}");
    let call = Process::start(&mut Program::built().command(&["call", &uri, "--duration", "1s"]));
    let ended = call.and_then(|call| call.finish(LIMIT)).expect("the call ends");
    assert!(ended.status.success(), "{}", ended.printed);
    assert_eq!(sipp.finish().expect("SIPp ends"), CallCounts { successful: 1, failed: 0 });
}

#[test]
fn a_call_to_sipp_over_udp() {
    sipp_is_called("a_call_to_sipp_over_udp", Transport::Udp);
}

#[test]
fn a_call_to_sipp_over_tcp() {
    sipp_is_called("a_call_to_sipp_over_tcp", Transport::Tcp);
}
