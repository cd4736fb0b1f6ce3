//! The `sansip` program over TLS and WebSocket: with itself, and while its certificates change.

use std::{fs, time::Duration};

use sansip::Proto;
use sansip_tests::{Authority, Caller, Driver, Finished, Process, Program, SecuredServer, options};

const LIMIT: Duration = Duration::from_secs(20);

fn run(words: &[&str]) -> Finished {
    let process = Process::start(&mut Program::built().command(words)).expect("it starts");
    process.finish(LIMIT).expect("it ends")
}

fn assert_ends(words: &[&str], code: i32, piece: &str) {
    let Finished { status, printed } = run(words);
    assert_eq!(status.code(), Some(code), "{words:?}: {printed}");
    assert!(printed.contains(piece), "{words:?}: {printed}");
}

/// C035, C037, C038, C039: OPTIONS and a call over each transport, on both drivers.
#[test]
fn calls_are_made_over_tls_and_websocket() {
    for driver in [Driver::Tokio, Driver::Blocking] {
        let server = SecuredServer::start(driver, "").expect("the server starts");
        server.assert_answers();
        let (ca, driver) = (server.authority().ca(), driver.to_string());
        for uri in [
            format!("sip:bob@127.0.0.1:{};transport=tls", server.tls),
            format!("sips:bob@127.0.0.1:{}", server.tls),
            format!("sip:bob@127.0.0.1:{};transport=ws", server.ws),
            format!("sips:bob@127.0.0.1:{};transport=ws", server.wss),
        ] {
            let words = ["call", &uri, "--duration", "100ms", "--tls-ca", &ca, "--driver", &driver];
            assert_ends(&words, 0, "call ended");
        }
        let ended = server.stop().expect("it ends when asked to");
        assert!(ended.printed.contains("calls answered: 4, ended: 4, still open: 0"), "{}", ended.printed);
    }
}

/// P17: who cannot prove to be who is called is not called, unless it is said so by name.
#[test]
fn a_server_that_nobody_vouches_for_is_not_called() {
    let server = SecuredServer::start(Driver::Tokio, "").expect("the server starts");
    let uri = format!("sips:127.0.0.1:{}", server.tls);
    let stranger = Authority::new();
    for words in [&[][..], &["--tls-ca", &stranger.ca()]] {
        let Finished { status, printed } = options(&uri, words);
        assert_eq!(status.code(), Some(4), "{printed}");
        assert!(printed.contains("UnknownIssuer; name who vouches for it with --tls-ca FILE"), "{printed}");
    }
    let careless = options(&uri, &["--tls-insecure"]);
    assert!(careless.status.success(), "{}", careless.printed);
}

/// What is wrong with the files of TLS is told at the start, with the file.
#[test]
fn a_server_says_what_is_wrong_with_its_certificate() {
    let authority = Authority::new();
    let path = |name: &str| authority.file(name).display().to_string();
    authority.certify(&authority.file("a.pem"), &authority.file("a.key"));
    authority.certify(&authority.file("b.pem"), &authority.file("b.key"));
    fs::write(authority.file("empty"), "").expect("there is room");
    let key = fs::read_to_string(authority.file("a.key")).expect("it was written");
    let fields = "KEY-----\nProc-Type: 4,ENCRYPTED\n";
    fs::write(authority.file("locked"), key.replacen("KEY-----", fields, 1)).expect("there is room");
    let listen = ["serve", "--listen", "sip:127.0.0.1:0;transport=tls"];
    let [a_pem, a_key, b_key, empty, none, locked] =
        ["a.pem", "a.key", "b.key", "empty", "none", "locked"].map(path);
    for (words, piece) in [
        (vec![], "sip:127.0.0.1:0;transport=tls needs a certificate: give --tls-cert FILE".to_owned()),
        (vec!["--tls-cert", &a_pem], "a certificate needs its private key".into()),
        (vec!["--tls-cert", &a_pem, "--tls-key", &locked], format!("{locked}: the private key is encrypted")),
        (vec!["--tls-cert", &none, "--tls-key", &a_key], format!("cannot read {none}: No such file")),
        (vec!["--tls-cert", &a_pem, "--tls-key", &none], format!("cannot read {none}: No such file")),
        (vec!["--tls-cert", &empty, "--tls-key", &a_key], format!("{empty}: there is no certificate in it")),
        (vec!["--tls-cert", &a_pem, "--tls-key", &empty], format!("{empty}: there is no private key in it")),
        (vec!["--tls-cert", &a_pem, "--tls-key", &a_pem], format!("{a_pem}: there is no private key in it")),
        (
            vec!["--tls-cert", &a_pem, "--tls-key", &b_key],
            format!("{b_key}: the private key does not belong"),
        ),
        (
            vec!["--tls-cert", &a_pem, "--tls-key", &a_key, "--tls-ca", &empty],
            format!("{empty}: there is no certificate in it"),
        ),
        (
            vec!["--tls-cert", &a_pem, "--tls-key", &a_key, "--tls-clients", "required"],
            "give --tls-ca FILE".into(),
        ),
        (vec!["--tls-cert", &a_pem, "--tls-key", &a_key, "--ws-path", "x"], "\"x\" is no path".into()),
    ] {
        let words: Vec<&str> = listen.into_iter().chain(words).collect();
        assert_ends(&words, 1, &piece);
    }
}

/// Clients that have to show a certificate show one, or are turned away.
#[test]
fn clients_show_certificates() {
    let authority = Authority::new();
    let config = format!("ca = {:?}\nclients = \"required\"\n", authority.ca());
    let server = SecuredServer::start(Driver::Tokio, &config).expect("the server starts");
    authority.certify(&authority.file("own.pem"), &authority.file("own.key"));
    let [own, key] = ["own.pem", "own.key"].map(|name| authority.file(name).display().to_string());
    let uri = format!("sips:127.0.0.1:{}", server.tls);
    let ca = server.authority().ca();
    let proved = options(&uri, &["--tls-ca", &ca, "--tls-cert", &own, "--tls-key", &key]);
    assert!(proved.status.success(), "{}", proved.printed);
    let unknown = options(&uri, &["--tls-ca", &ca]);
    assert_eq!(unknown.status.code(), Some(4), "{}", unknown.printed);
}

/// P17: certificates are swapped while 50 calls are up: none of them ends, and who comes later sees the new one.
#[test]
fn certificates_change_while_calls_go_on() {
    for driver in [Driver::Tokio, Driver::Blocking] {
        let server = SecuredServer::start(driver, "").expect("the server starts");
        let callers: Vec<Caller> = [(server.tls, Proto::Tls), (server.wss, Proto::Wss)]
            .into_iter()
            .cycle()
            .take(10)
            .zip(1..)
            .map(|((port, proto), seed)| Caller::call(server.authority(), (server.at(port), proto), 5, seed))
            .collect();
        server.wait_for("calls open: 50").expect("all are up");
        let successor = Authority::new();
        server.renew(&successor).expect("it reads its files");
        let uri = format!("sips:127.0.0.1:{}", server.tls);
        let (old, new) = (server.authority().ca(), successor.ca());
        for uri in [&uri, &format!("sips:127.0.0.1:{};transport=ws", server.wss)] {
            assert_eq!(options(uri, &["--tls-ca", &old]).status.code(), Some(4), "the old one is not shown");
            assert!(options(uri, &["--tls-ca", &new]).status.success(), "the new one is");
        }
        // A file that cannot be used changes nothing.
        fs::write(server.authority().file("server.key"), "").expect("there is room");
        server.hang_up().expect("kill runs");
        let said =
            server.wait_for("server.key: there is no private key in it").expect("it says what is wrong");
        assert!(said.contains("the certificates stay as they were"), "{said}");
        assert!(options(&uri, &["--tls-ca", &new]).status.success(), "the new one is still shown");
        for caller in &callers {
            caller.assert_up();
        }
        for caller in callers {
            caller.hang_up();
        }
        let ended = server.stop().expect("it ends when asked to");
        assert!(ended.printed.contains("calls answered: 50, ended: 50, still open: 0"), "{}", ended.printed);
    }
}
