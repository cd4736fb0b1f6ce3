//! Phones and tools that others wrote, over TLS, IPv4 and IPv6.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::Command,
    time::Duration,
};

use sansip_tests::{
    Authority, Baresip, Driver, Finished, Process, Program, SecuredServer, TlsFiles, require_tool,
};

const LIMIT: Duration = Duration::from_secs(60);

/// Both families, and both drivers with them.
const WAYS: [(IpAddr, Driver); 2] =
    [(IpAddr::V4(Ipv4Addr::LOCALHOST), Driver::Tokio), (IpAddr::V6(Ipv6Addr::LOCALHOST), Driver::Blocking)];

/// Starts baresip with a certificate by `authority`, believing `trusted`.
fn baresip(test: &str, address: IpAddr, authority: &Authority, trusted: &Authority) -> Option<Baresip> {
    let (certificate, key) = (authority.file("baresip.pem"), authority.file("baresip.key"));
    authority.certify(&certificate, &key);
    let authorities = trusted.file("ca.pem");
    let files = TlsFiles { certificate: &certificate, key: &key, authorities: &authorities };
    Baresip::start(test, address, files).expect("it starts")
}

fn established(text: &str) -> usize {
    text.matches("Call established").count()
}

/// C035, C044, RFC 3261 §15: baresip calls over TLS and hangs up; it calls once more, and the server, which has no reason to
/// believe its certificate, hangs up over the connection that it opened.
#[test]
fn baresip_calls_over_tls() {
    for (address, driver) in WAYS {
        let server = SecuredServer::start_at(address, driver, "").expect("the server starts");
        let test = "baresip_calls_over_tls";
        let Some(baresip) = baresip(test, address, &Authority::new(), server.authority()) else { return };
        let at = server.at(server.tls);
        baresip.dial(at).expect("it dials");
        baresip.wait_for(|text| established(text) == 1).expect("it is answered");
        baresip.hang_up().expect("it hangs up");
        server.wait_until_idle().expect("the server sees it end");
        baresip.dial(at).expect("it dials");
        baresip.wait_for(|text| established(text) == 2).expect("it is answered");
        let ended = server.stop().expect("it ends when asked to");
        let told = baresip.wait_for(|text| text.contains("\nBYE sip:bob-")).expect("the BYE arrives");
        assert!(
            ended.printed.contains("calls answered: 2, ended: 2, still open: 0"),
            "{}\n{told}",
            ended.printed
        );
        let connected = format!("-> {}\nBYE sip:bob-", baresip.at());
        assert!(!told.contains(&connected), "{told}");
    }
}

/// C035, RFC 3261 §15: our client calls baresip over TLS and hangs up; it calls once more, and baresip hangs up, over a
/// connection that it opens to where our Contact says.
#[test]
fn baresip_is_called_over_tls() {
    for (address, driver) in WAYS {
        let authority = Authority::new();
        let Some(baresip) = baresip("baresip_is_called_over_tls", address, &authority, &authority) else {
            return;
        };
        let (certificate, key) = (authority.file("own.pem"), authority.file("own.key"));
        authority.certify(&certificate, &key);
        let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
        let (uri, driver, ca) = (baresip.uri(), driver.to_string(), authority.ca());
        let call = |duration: &str| {
            let words = ["call", &uri, "--driver", &driver, "--duration", duration, "--tls-ca", &ca];
            let mut command = Program::built().command(&words);
            Process::start(command.args(["--tls-cert", &certificate, "--tls-key", &key])).expect("it starts")
        };
        let Finished { status, printed } = call("200ms").finish(LIMIT).expect("it ends");
        assert!(status.success() && printed.contains("call ended"), "{printed}");
        let told = baresip.wait_for(|text| text.contains("session closed")).expect("the BYE arrives");
        let long = call("50s");
        baresip.wait_for(|text| established(text) == 2).expect("it is called");
        baresip.hang_up().expect("it hangs up");
        let Finished { status, printed } = long.finish(LIMIT).expect("it ends");
        assert!(status.success() && printed.contains("the other side hung up"), "{printed}\n{told}");
    }
}

/// P17: baresip, whom nobody known vouches for, is not called.
#[test]
fn a_baresip_that_nobody_vouches_for_is_not_called() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (address, _) = WAYS[0];
    let test = "a_baresip_that_nobody_vouches_for_is_not_called";
    let Some(baresip) = baresip(test, address, &stranger, &authority) else { return };
    let words = ["call", &baresip.uri(), "--tls-ca", &authority.ca()];
    let call = Process::start(&mut Program::built().command(&words)).and_then(|call| call.finish(LIMIT));
    let Finished { status, printed } = call.expect("it ends");
    assert_eq!(status.code(), Some(4), "{printed}");
    assert!(printed.contains("UnknownIssuer"), "{printed}");
}

/// C035, RFC 3261 §11.2: `sip-options` of Sofia-SIP is answered over TLS, TCP and UDP, in both families.
#[test]
fn sip_options_is_answered() {
    let Some(tool) = require_tool("sip-options", "sip_options_is_answered") else { return };
    for (address, driver) in WAYS {
        let server = SecuredServer::start_at(address, driver, "").expect("the server starts");
        let host = if address.is_ipv4() { "127.0.0.1" } else { "[::1]" };
        for (from, uri) in [
            (format!("sips:{host}:*"), format!("sips:{}", server.at(server.tls))),
            (format!("sip:{host}:*"), format!("sip:{};transport=tcp", server.at(server.udp))),
            (format!("sip:{host}:*"), format!("sip:{}", server.at(server.udp))),
        ] {
            // Without `--all` it prints the status alone.
            let mut command = Command::new(&tool);
            let asked = Process::start(command.args(["--all", "-m", &from, &uri]))
                .and_then(|tool| tool.finish(LIMIT));
            let Finished { status, printed } = asked.expect("it ends");
            assert!(status.success() && printed.contains("SIP/2.0 200 OK"), "{uri}: {printed}");
            assert!(
                printed.contains("Allow: INVITE") && printed.contains("Server: sansip/"),
                "{uri}: {printed}"
            );
        }
        let ended = server.stop().expect("it ends when asked to");
        assert!(
            ended.printed.contains("TLS and WebSocket: 1 connections opened, 0 failed"),
            "{}",
            ended.printed
        );
    }
}
