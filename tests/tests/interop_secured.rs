//! The `sansip` program over TLS and WebSocket: with itself, while its certificates change, and with hostile peers.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use sansip::{Config, DialogHandle, Host, Outgoing, Proto, wire::Wire};
use sansip_blocking::NodeHandle;
use sansip_tests::{
    Authority, Driver, Finished, Phone, Process, Program, SecuredServer, invite, options, uri,
};

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
    let listen = ["serve", "--listen", "sip:127.0.0.1:0;transport=tls"];
    let [a_pem, a_key, b_key, empty, none] = ["a.pem", "a.key", "b.key", "empty", "none"].map(path);
    for (words, piece) in [
        (vec![], "sip:127.0.0.1:0;transport=tls needs a certificate: give --tls-cert FILE".to_owned()),
        (vec!["--tls-cert", &a_pem], "a certificate needs its private key".into()),
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

/// A client with its calls, one connection for all of them.
struct Caller {
    node: NodeHandle<Wire<Host<Phone>>>,
    calls: Vec<DialogHandle>,
}

impl Caller {
    fn call(authority: &Authority, server: SocketAddr, proto: Proto, calls: usize, seed: u64) -> Self {
        let phone = Phone::new().listens(Proto::Udp, (Ipv4Addr::LOCALHOST, 0).into());
        let machine = authority.phone(phone, Config::default(), seed);
        let node = sansip_blocking::spawn(machine).expect("the system has threads");
        let end = Instant::now() + LIMIT;
        while node.with_service(|phone, _| phone.address(Proto::Udp)).expect("it runs").is_none() {
            assert!(Instant::now() < end, "its socket does not open");
            std::thread::yield_now();
        }
        let call = |_| {
            let sent = node.send(invite(uri(server, proto))).expect("it is sent");
            let answered = sent.finish().expect("it is answered");
            assert_eq!(answered.response.status().as_u16(), 200);
            answered.dialog.expect("a call")
        };
        let calls = (0..calls).map(call).collect();
        Self { node, calls }
    }

    /// Requires that every call still goes on at both sides, over the connection that it began on.
    fn assert_up(&self) {
        for dialog in &self.calls {
            let info = Outgoing::in_dialog(sansip::Method::Info, *dialog);
            let response = self.node.request(info).expect("it is answered");
            assert_eq!(response.status().as_u16(), 200);
        }
        let ends = self.node.with_service(|phone, _| phone.dialog_ends()).expect("it runs");
        assert_eq!(ends, []);
        assert_eq!(self.node.with(|wire, _| wire.stats().opened).expect("it runs"), 1);
    }

    fn hang_up(self) {
        for dialog in self.calls {
            self.node.with_service(move |_, cx| cx.bye(dialog)).expect("it runs").expect("it is up");
        }
        self.node.shutdown(LIMIT);
    }
}

/// P17: certificates are swapped while 50 calls are up: none of them ends, and who comes later sees the new one.
#[test]
fn certificates_change_while_calls_go_on() {
    for driver in [Driver::Tokio, Driver::Blocking] {
        let server = SecuredServer::start(driver, "").expect("the server starts");
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let callers: Vec<Caller> = [(server.tls, Proto::Tls), (server.wss, Proto::Wss)]
            .into_iter()
            .cycle()
            .take(10)
            .zip(1..)
            .map(|((port, proto), seed)| Caller::call(server.authority(), at(port), proto, 5, seed))
            .collect();
        server.wait_for("calls open: 50").expect("all are up");
        let successor = Authority::new();
        server.renew(&successor).expect("it reads its files");
        let uri = format!("sips:127.0.0.1:{}", server.tls);
        let (old, new) = (server.authority().ca(), successor.ca());
        assert_eq!(options(&uri, &["--tls-ca", &old]).status.code(), Some(4), "the old one is not shown");
        assert!(options(&uri, &["--tls-ca", &new]).status.success(), "the new one is");
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

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it accepts connections");
    stream.set_read_timeout(Some(LIMIT)).expect("sockets have time-outs");
    stream.set_write_timeout(Some(LIMIT)).expect("sockets have time-outs");
    stream
}

/// Reads to the end, which may be a reset.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            panic!("the connection stays open")
        }
        _ => bytes,
    }
}

/// Runs `attack` on a server with two calls up, and requires that it then answers others and has both calls still.
fn survives(config: &str, attack: impl Fn(&SecuredServer)) {
    for driver in [Driver::Tokio, Driver::Blocking] {
        let server = SecuredServer::start(driver, config).expect("the server starts");
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let calls = [(server.tls, Proto::Tls, 1), (server.ws, Proto::Ws, 2)];
        let calls =
            calls.map(|(port, proto, seed)| Caller::call(server.authority(), at(port), proto, 1, seed));
        attack(&server);
        server.assert_answers();
        for call in calls {
            call.assert_up();
            call.hang_up();
        }
        let ended = server.stop().expect("it ends when asked to");
        assert!(ended.printed.contains("calls answered: 2, ended: 2, still open: 0"), "{}", ended.printed);
    }
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n";

/// The head of a TLS record that announces 512 bytes of a handshake.
const RECORD: [u8; 5] = [22, 3, 1, 2, 0];

/// Handshakes that stop, or go on byte by byte for longer than they may, are ended while others are served.
#[test]
fn handshakes_that_never_end() {
    survives("[limits]\nhandshake = \"1s\"\n", |server| {
        let begin = Instant::now();
        let begun = [(server.tls, &RECORD[..]), (server.ws, b"GET / HTT"), (server.wss, &RECORD)];
        let mut stopped = begun.map(|(port, bytes)| {
            let mut stream = connect(port);
            stream.write_all(bytes).expect("it takes a beginning");
            stream
        });
        let mut slow =
            [(server.tls, &RECORD[..], 0_u8), (server.ws, b"GET /", b'a')].map(|(port, bytes, byte)| {
                let mut stream = connect(port);
                stream.write_all(bytes).expect("it takes a beginning");
                stream.set_read_timeout(Some(Duration::from_millis(50))).expect("sockets have time-outs");
                (stream, byte)
            });
        server.assert_answers();
        for (stream, byte) in &mut slow {
            let ended = (0..400).any(|_| {
                let written = stream.write_all(&[*byte]).is_ok();
                // Waiting for the end is what paces it.
                let open = stream.read(&mut [0]).is_err_and(|error| {
                    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
                });
                !(written && open)
            });
            assert!(ended, "the connection stays open");
        }
        for stream in &mut stopped {
            assert_eq!(rest(stream), b"", "nothing is said");
        }
        assert!(begin.elapsed() >= Duration::from_secs(1));
    });
}

/// More connections that only begin than there may be: those over the limit are refused at once, and room comes back.
#[test]
fn floods_of_handshakes() {
    survives("[limits]\nhandshakes = 8\nhandshake = \"2s\"\n", |server| {
        let mut flood: Vec<TcpStream> = (0..40).map(|_| connect(server.tls)).collect();
        for stream in &mut flood {
            stream.set_read_timeout(Some(Duration::from_millis(500))).expect("sockets have time-outs");
        }
        let refused = |stream: &mut TcpStream| {
            let waits = stream.read(&mut [0]).is_err_and(|error| {
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
            });
            !waits
        };
        // The last ones came when there was no room any more.
        assert!(flood.iter_mut().rev().take(32).all(refused));
        for stream in flood.iter_mut().take(8) {
            stream.set_read_timeout(Some(LIMIT)).expect("sockets have time-outs");
            assert_eq!(rest(stream), b"");
        }
    });
}

/// RFC 6455 §5.2: a frame of 2^63 bytes is refused by its head, with the code for it.
#[test]
fn a_frame_of_half_the_world() {
    survives("", |server| {
        let mut stream = connect(server.ws);
        stream.write_all(UPGRADE.as_bytes()).expect("it takes a request");
        let frame = [&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0][..], &[0; 4]].concat();
        stream.write_all(&frame).expect("it takes a head");
        let answer = rest(&mut stream);
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{:?}", String::from_utf8_lossy(&answer));
        assert!(answer.ends_with(&[0x88, 2, 0x03, 0xf1]), "{answer:x?}");
    });
}

/// Whoever speaks another protocol is told so as far as there is a way, and left.
#[test]
fn other_protocols_are_turned_away() {
    survives("[websocket]\npaths = [\"/\"]\norigins = [\"https://a.example\"]\n", |server| {
        let sip = "OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n";
        let xmpp = UPGRADE.replace("Protocol: sip", "Protocol: xmpp");
        let page = UPGRADE.replace("Host: a", "Host: a\r\nOrigin: https://b.example");
        for (port, said, answer) in [
            (server.tls, sip, ""),
            (server.wss, UPGRADE, ""),
            (server.ws, sip, "HTTP/1.1 400 "),
            (server.ws, &xmpp, "HTTP/1.1 400 "),
            (server.ws, &page, "HTTP/1.1 403 "),
            (server.ws, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 426 "),
        ] {
            let mut stream = connect(port);
            stream.write_all(said.as_bytes()).expect("it takes that much");
            let told = rest(&mut stream);
            assert!(told.starts_with(answer.as_bytes()), "{:?}", String::from_utf8_lossy(&told));
            if port == server.tls {
                server.wait_for(": the peer does not speak TLS").expect("it is told");
            }
        }
    });
}
