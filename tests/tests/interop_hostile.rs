//! What a live `sansip serve` receives from broken or hostile peers leaves it answering others.

use std::{
    env,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpStream},
    process::Command,
    time::Duration,
};

use sansip_tests::{Driver, Peer, Process, Server, rfc4475};

const LIMIT: Duration = Duration::from_secs(20);

/// Runs `attack` against a server on each driver, then asks for OPTIONS, as `attack` goes on for as long as what it returned lives.
fn survives<T>(attack: impl Fn(u16, &Peer) -> T) {
    for driver in [Driver::Tokio, Driver::Blocking] {
        let server = Server::start(driver).expect("the server starts");
        let mut peer = Peer::new(server.port()).expect("loopback has ports");
        assert_eq!(peer.options(LIMIT).expect("it answers before"), 200, "{driver}");
        let attack = attack(server.port(), &peer);
        assert_eq!(peer.options(LIMIT).expect("it answers after"), 200, "{driver}");
        drop(attack);
        let ended = server.stop().expect("it ends when asked to");
        assert!(ended.status.success(), "{driver}: {}", ended.printed);
    }
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it accepts connections");
    stream.set_read_timeout(Some(LIMIT)).expect("sockets have time-outs");
    stream.set_write_timeout(Some(LIMIT)).expect("sockets have time-outs");
    stream
}

/// RFC 4475: every message as a datagram of its own.
#[test]
fn torture_datagrams() {
    let Some(messages) = rfc4475("torture_datagrams") else { return };
    survives(|_, peer| {
        for (name, message) in &messages {
            peer.send(message).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    });
}

/// RFC 4475: every message on a connection of its own, which the server may close.
#[test]
fn torture_streams() {
    let Some(messages) = rfc4475("torture_streams") else { return };
    survives(|port, _| {
        for (_, message) in &messages {
            let mut stream = connect(port);
            // The server may refuse the rest of a message whose beginning was wrong.
            drop(stream.write_all(message));
            drop(stream.shutdown(Shutdown::Write));
        }
    });
}

#[test]
fn garbage_datagrams() {
    survives(|_, peer| {
        let mut state = 1_u64;
        for len in (0..2000).chain([65_507]) {
            let garbage: Vec<u8> = (0..len).map(|_| garbage_byte(&mut state)).collect();
            peer.send(&garbage).expect("loopback takes it");
        }
    });
}

/// Xorshift: the same bytes in each run.
fn garbage_byte(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    state.to_le_bytes()[3]
}

/// A head of 70 KB is over the limit: the server ends the connection and does not wait for more.
#[test]
fn a_head_too_large() {
    survives(|port, _| {
        let head = format!("OPTIONS sip:x SIP/2.0\r\nSubject: {}\r\n\r\n", "a".repeat(70_000));
        assert_ends(connect(port), head.as_bytes(), 1);
    });
}

/// A header field that never ends is cut off, no later than after 16 MB.
#[test]
fn an_endless_header() {
    survives(|port, _| {
        let mut stream = connect(port);
        stream.write_all(b"OPTIONS sip:x SIP/2.0\r\nSubject: ").expect("it takes a beginning");
        assert_ends(stream, &[b'a'; 65_536], 256);
    });
}

/// Sends `chunk` so many times at most, and requires that the server ends the connection.
fn assert_ends(mut stream: TcpStream, chunk: &[u8], times: usize) {
    let cut = (0..times).any(|_| stream.write_all(chunk).is_err());
    let ended = cut || ends(&mut stream);
    assert!(ended, "the connection is still open after {} bytes", chunk.len() * times);
}

fn ends(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => {
                return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
            }
        }
    }
}

/// A peer that has sent half a message holds up nobody else.
#[test]
fn half_a_message() {
    survives(|port, _| {
        let mut stream = connect(port);
        stream.write_all(b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP ").expect("it takes a beginning");
        stream
    });
}

/// A peer that asks and asks and reads no answer fills its own buffers, then its own limit, and holds up nobody else.
#[test]
fn a_peer_that_does_not_read() {
    survives(|port, _| {
        let mut stream = connect(port);
        stream.set_write_timeout(Some(Duration::from_secs(1))).expect("sockets have time-outs");
        let written = (0..1024).take_while(|batch| stream.write_all(&questions(batch * 64)).is_ok()).count();
        assert!(written < 1024, "64 k requests were taken from a peer that reads nothing");
        stream
    });
}

/// Returns 64 OPTIONS, each with a transaction of its own, since a copy of a request in work needs no answer.
fn questions(first: u32) -> Vec<u8> {
    let question = |number| {
        format!(
            "OPTIONS sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK-full{number}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:x@127.0.0.1>\r\n\
             Call-ID: full{number}@127.0.0.1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
    };
    (first..first + 64).map(question).collect::<String>().into_bytes()
}

const IDLE: usize = 10_000;
const RAISED: &str = "SANSIP_FILES_RAISED";

/// Ten thousand connections that say nothing. The test starts itself once more, with as many open files as the system allows.
#[test]
fn idle_connections() {
    if env::var_os(RAISED).is_some() {
        return survives(|port, _| (0..IDLE).map(|_| connect(port)).collect::<Vec<_>>());
    }
    let test = env::current_exe().expect("a test knows its program");
    let script = "ulimit -n \"$(ulimit -H -n)\"; exec \"$0\" --exact idle_connections --nocapture";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(test).env(RAISED, "1");
    let ended = Process::start(&mut command).and_then(|run| run.finish(LIMIT * 9)).expect("it ends");
    assert!(ended.status.success(), "{}", ended.printed);
}
