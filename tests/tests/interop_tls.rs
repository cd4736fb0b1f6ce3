//! TLS with software that is not ours.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    time::Duration,
};

use sansip_tests::{
    Authority, Driver, Kamailio, Ports, Process, Program, SecuredServer, TlsFiles, options, require_tool,
};

const LIMIT: Duration = Duration::from_secs(60);

/// C035: OpenSSL's client, which trusts nobody else, gets OPTIONS answered.
#[test]
fn openssl_is_answered() {
    let Some(openssl) = require_tool("openssl", "openssl_is_answered") else { return };
    for (driver, version) in [(Driver::Tokio, "-tls1_3"), (Driver::Blocking, "-tls1_2")] {
        let server = SecuredServer::start(driver, "").expect("the server starts");
        let at = format!("127.0.0.1:{}", server.tls);
        let ca = server.authority().ca();
        let mut client = Command::new(&openssl)
            .args([
                "s_client",
                "-connect",
                &at,
                "-CAfile",
                &ca,
                "-verify_return_error",
                "-verify_ip",
                "127.0.0.1",
            ])
            .args(["-alpn", "sip/2", "-quiet", version])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let request = "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:9;branch=z9hG4bKa\r\nMax-Forwards: 70\r\n\
            From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
        let stdin = client.stdin.as_mut().expect("it is piped");
        stdin.write_all(request.as_bytes()).expect("it takes a request");
        let mut first = String::new();
        // Without an answer it ends when the server closes what is idle.
        BufReader::new(client.stdout.take().expect("it is piped")).read_line(&mut first).expect("it is text");
        client.kill().expect("it runs");
        client.wait().expect("it was started");
        let ended = server.stop().expect("it ends when asked to");
        assert_eq!(first, "SIP/2.0 200 OK\r\n", "{}", ended.printed);
    }
}

/// Starts Kamailio in front of a server, with a certificate that `authority` vouches for.
fn kamailio(test: &str, authority: &Authority, server: &SecuredServer, next: &str) -> Option<Kamailio> {
    let (certificate, key) = (authority.file("kamailio.pem"), authority.file("kamailio.key"));
    authority.certify(&certificate, &key);
    let authorities = server.authority().file("ca.pem");
    let files = TlsFiles { certificate: &certificate, key: &key, authorities: &authorities };
    Kamailio::start(test, next, files).expect("it starts")
}

/// Returns where a caller reaches bob through Kamailio: over WebSocket and over TLS.
fn ways(kamailio: &Kamailio) -> [String; 2] {
    let Ports { ws, tls, .. } = kamailio.ports();
    [format!("sip:bob@127.0.0.1:{ws};transport=ws"), format!("sips:bob@127.0.0.1:{tls}")]
}

/// C035: Kamailio serves our client over TLS, and is a client of our server over TLS, each proving who it is.
#[test]
fn kamailio_speaks_tls_both_ways() {
    let server = SecuredServer::start(Driver::Tokio, "").expect("the server starts");
    let authority = server.authority();
    let next = format!("sip:127.0.0.1:{};transport=tls", server.tls);
    let Some(kamailio) = kamailio("kamailio_speaks_tls_both_ways", authority, &server, &next) else { return };
    let ports = kamailio.ports();
    let itself = options(&format!("sips:127.0.0.1:{}", ports.tls), &["--tls-ca", &authority.ca()]);
    assert!(itself.status.success() && itself.printed.contains("200 Proxy"), "{}", itself.printed);
    let stranger = options(&format!("sips:127.0.0.1:{}", ports.tls), &[]);
    assert_eq!(stranger.status.code(), Some(4), "{}", stranger.printed);
    let through = options(&format!("sip:bob@127.0.0.1:{}", ports.udp), &[]);
    assert!(through.status.success(), "{} {}", through.printed, kamailio.printed());
    assert!(through.printed.contains("Server: sansip/"), "{}", through.printed);
    let ended = server.stop().expect("it ends when asked to");
    assert!(ended.printed.contains("TLS and WebSocket: 1 connections opened, 0 failed"), "{}", ended.printed);
}

/// C038, C039: our client calls through Kamailio over WebSocket and over TLS; it forwards to our server over UDP, and the
/// call that our client hangs up ends at both sides.
#[test]
fn calls_go_through_kamailio() {
    let server = SecuredServer::start(Driver::Blocking, "").expect("the server starts");
    let next = format!("sip:127.0.0.1:{}", server.udp);
    let Some(kamailio) = kamailio("calls_go_through_kamailio", server.authority(), &server, &next) else {
        return;
    };
    for uri in &ways(&kamailio) {
        let words = ["call", uri, "--duration", "200ms", "--tls-ca", &server.authority().ca()];
        let call = Process::start(&mut Program::built().command(&words)).and_then(|call| call.finish(LIMIT));
        let call = call.expect("it ends");
        assert!(
            call.status.success() && call.printed.contains("call ended"),
            "{}\n{}",
            call.printed,
            kamailio.printed()
        );
    }
    let ended = server.stop().expect("it ends when asked to");
    assert!(ended.printed.contains("calls answered: 2, ended: 2, still open: 0"), "{}", ended.printed);
}

/// C035, C038, C039, RFC 3261 §16.12.1: the server, to which Kamailio forwards over TLS, hangs up: each BYE goes back through
/// Kamailio, and from there over the connection that our client opened, WebSocket or TLS.
#[test]
fn the_server_hangs_up_through_kamailio() {
    let known = Authority::new();
    let trusting = format!("ca = {:?}\n", known.ca());
    let server = SecuredServer::start(Driver::Tokio, &trusting).expect("the server starts");
    let test = "the_server_hangs_up_through_kamailio";
    let next = format!("sip:127.0.0.1:{};transport=tls", server.tls);
    let Some(kamailio) = kamailio(test, &known, &server, &next) else { return };
    let ca = known.ca();
    let calls = ways(&kamailio).map(|uri| {
        let words = ["call", &uri, "--duration", "50s", "--tls-ca", &ca];
        let call = Process::start(&mut Program::built().command(&words)).expect("it starts");
        call.wait_for(LIMIT, |text| text.contains("in the call")).expect("it is answered");
        call
    });
    let ended = server.stop().expect("it ends when asked to");
    for call in calls {
        let call = call.finish(LIMIT).expect("it ends");
        assert!(
            call.status.success() && call.printed.contains("the other side hung up"),
            "{}\n{}\n{}",
            call.printed,
            ended.printed,
            kamailio.printed()
        );
    }
    assert!(ended.printed.contains("calls answered: 2, ended: 2, still open: 0"), "{}", ended.printed);
}
