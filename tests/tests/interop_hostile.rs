//! What a live `sansip serve` receives from broken or hostile peers, over each of its transports, costs it little memory, has a
//! clear outcome, and leaves calls up and others answered.

use std::{
    env,
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use sansip::Proto;
use sansip_tests::{Intruder, Peer, Process, STREAMS, Siege, UPGRADE, frame, rfc4475};

const LIMIT: Duration = Duration::from_secs(20);
const MB: u64 = 1 << 20;

/// Runs an attack as [`Siege::survives`], and requires that the calls that were up are all there were.
fn survives<T>(config: &str, room: u64, attack: impl Fn(&Siege) -> T) {
    for printed in Siege::survives(config, room, attack) {
        assert!(printed.contains("calls answered: 5, ended: 5, still open: 0"), "{printed}");
    }
}

fn open(siege: &Siege, proto: Proto) -> Intruder {
    Intruder::open(&siege.server, proto).expect("it is let in")
}

fn bare(siege: &Siege, proto: Proto) -> Intruder {
    Intruder::bare(siege.server.at(siege.server.port(proto))).expect("it accepts connections")
}

fn peer(siege: &Siege) -> Peer {
    Peer::new(siege.server.udp).expect("loopback has ports")
}

/// RFC 4475: every message as a datagram of its own. Some are calls, which the server answers.
#[test]
fn torture_datagrams() {
    let Some(messages) = rfc4475("torture_datagrams") else { return };
    Siege::survives("", 8 * MB, |siege| {
        for (name, message) in &messages {
            peer(siege).send(message).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    });
}

/// RFC 4475: every message on a connection of its own, of each transport, which the server may close.
#[test]
fn torture_streams() {
    let Some(messages) = rfc4475("torture_streams") else { return };
    Siege::survives("", 8 * MB, |siege| {
        for (_, message) in &messages {
            for proto in STREAMS {
                // The server may refuse the rest of a message whose beginning was wrong.
                drop(open(siege, proto).say(message));
            }
        }
    });
}

#[test]
fn garbage() {
    survives("", 8 * MB, |siege| {
        let mut state = 1_u64;
        let peer = peer(siege);
        for len in (0..2000).chain([65_507]) {
            peer.send(&noise(&mut state, len)).expect("loopback takes it");
        }
        for proto in STREAMS {
            for _ in 0..20 {
                drop(bare(siege, proto).write(&noise(&mut state, 10_000)));
                drop(open(siege, proto).write(&noise(&mut state, 10_000)));
                drop(open(siege, proto).say(&noise(&mut state, 10_000)));
            }
        }
    });
}

/// Xorshift: the same bytes in each run.
fn noise(state: &mut u64, len: usize) -> Vec<u8> {
    let byte = |_| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(byte).collect()
}

/// Writes OPTIONS with a transaction of its own, since a copy of a request in work needs no answer.
fn question(proto: Proto, number: u64, fields: &str) -> String {
    format!(
        "OPTIONS sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{} 127.0.0.1;branch=z9hG4bK-q{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:x@127.0.0.1>\r\n\
         Call-ID: q{number}@127.0.0.1\r\nCSeq: 1 OPTIONS\r\n{fields}\r\n",
        proto.via_name()
    )
}

/// C048: whoever declares a body of 4 GB is answered 413 by a stream, which ends then; where a message has bounds of its own, a
/// wrong length is a bad request (RFC 3261 §18.3).
#[test]
fn bodies_of_4_gb() {
    survives("", 4 * MB, |siege| {
        let lengths = ["4294967296", "18446744073709551616"];
        for (number, length) in (0..).zip(lengths) {
            let declared = format!("Content-Length: {length}\r\n");
            for proto in STREAMS {
                let mut intruder = open(siege, proto);
                intruder.say(question(proto, number, &declared).as_bytes()).expect("it takes a head");
                match proto {
                    Proto::Tcp | Proto::Tls => {
                        let told = String::from_utf8_lossy(&intruder.rest()).into_owned();
                        assert!(told.starts_with("SIP/2.0 413 "), "{proto}: {told}");
                    }
                    _ => drop(intruder.hear("SIP/2.0 400 ")),
                }
            }
            peer(siege).send(question(Proto::Udp, number, &declared).as_bytes()).expect("loopback takes it");
        }
    });
}

/// C048, RFC 6455 §5.2: a frame of 4 GB, or of 2^63 bytes, is refused by its head, with the code for it.
#[test]
fn frames_of_half_the_world() {
    survives("", 4 * MB, |siege| {
        for proto in [Proto::Ws, Proto::Wss] {
            for len in [1 << 32, 1 << 63_u64] {
                let mut intruder = open(siege, proto);
                let head = [&[0x82, 0xff][..], &u64::to_be_bytes(len), &[0; 4]].concat();
                intruder.write(&head).expect("it takes a head");
                assert_eq!(intruder.rest(), [0x88, 2, 0x03, 0xf1], "{proto}: 1009, too big");
            }
        }
    });
}

/// RFC 6455 §5.4: a message in fragments that never end is refused when it is too large, with pings between them or without.
#[test]
fn a_message_of_endless_fragments() {
    survives("", 8 * MB, |siege| {
        for (proto, pings) in [(Proto::Ws, false), (Proto::Wss, true)] {
            let mut intruder = open(siege, proto);
            intruder.write(&frame(0x02, &[b'a'; 60_000])).expect("it takes a beginning");
            let cut = (0..100).any(|_| {
                let ping = if pings { intruder.write(&frame(0x89, b"?")) } else { Ok(()) };
                ping.and_then(|()| intruder.write(&frame(0x00, &[b'a'; 60_000]))).is_err()
            });
            assert!(cut || intruder.rest().ends_with(&[0x88, 2, 0x03, 0xf1]), "{proto}: 1009, too big");
        }
    });
}

/// A head of 70 KB is over the limit, and a header field that never ends as well: the server ends the connection, no later than
/// after 16 MB.
#[test]
fn heads_without_end() {
    survives("", 4 * MB, |siege| {
        for proto in [Proto::Tcp, Proto::Tls] {
            let mut intruder = open(siege, proto);
            // It may be refused before it has been written.
            drop(
                intruder
                    .write(question(proto, 1, &format!("Subject: {}\r\n", "a".repeat(70_000))).as_bytes()),
            );
            drop(intruder.rest());
            let mut intruder = open(siege, proto);
            intruder.write(b"OPTIONS sip:x SIP/2.0\r\nSubject: ").expect("it takes a beginning");
            let cut = (0..256).any(|_| intruder.write(&[b'a'; 65_536]).is_err());
            assert!(cut || intruder.is_over(LIMIT), "{proto}: the connection stays open");
        }
    });
}

/// A peer that has sent half a message, in whatever way, holds up nobody else.
#[test]
fn half_a_message() {
    survives("", 4 * MB, |siege| {
        STREAMS.map(|proto| {
            let mut intruder = open(siege, proto);
            let half = b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP ";
            match proto {
                Proto::Tcp | Proto::Tls => intruder.write(half),
                // A frame without its end.
                _ => intruder.write(&frame(0x82, &[half, &[b'a'; 100][..]].concat())[..100]),
            }
            .expect("it takes a beginning");
            intruder
        })
    });
}

/// Slow-loris: a message that comes byte by byte for longer than it may is cut off, however it is wrapped.
#[test]
fn messages_that_trickle_in() {
    survives("[limits]\nhalf_message = \"1s\"\n", 4 * MB, |siege| {
        let begin = Instant::now();
        let pace = Duration::from_millis(50);
        for proto in STREAMS {
            let mut intruder = open(siege, proto);
            match proto {
                Proto::Tcp | Proto::Tls => intruder.write(b"OPTIONS sip:x SIP/2.0\r\nSubject: "),
                _ => intruder.write(&frame(0x82, &[b'a'; 2000])[..100]),
            }
            .expect("it takes a beginning");
            intruder.trickle(b'a', pace, 200);
        }
        // Fragments that come one by one, with pings between them, are one message that does not end.
        let mut intruder = open(siege, Proto::Ws);
        intruder.write(&frame(0x02, b"OPTIONS")).expect("it takes a beginning");
        let over = (0..100).any(|_| {
            let said = intruder.write(&[frame(0x89, b"?"), frame(0x00, b"a")].concat());
            said.is_err() || intruder.is_over(pace * 2)
        });
        assert!(over, "the connection stays open");
        assert!(begin.elapsed() >= Duration::from_secs(5), "each had its time");
    });
}

/// A peer that asks and asks and reads no answer fills its own buffers, then its own limit, and holds up nobody else.
#[test]
fn peers_that_do_not_read() {
    survives("", 8 * MB, |siege| {
        STREAMS.map(|proto| {
            let mut intruder = open(siege, proto);
            let questions = |batch: u64| match proto {
                Proto::Tcp | Proto::Tls => {
                    let questions =
                        (batch..batch + 64).map(|number| question(proto, number, "Content-Length: 0\r\n"));
                    questions.collect::<String>().into_bytes()
                }
                _ => {
                    let frames =
                        (batch..batch + 64).map(|number| frame(0x82, question(proto, number, "").as_bytes()));
                    frames.collect::<Vec<_>>().concat()
                }
            };
            intruder.hurry(Duration::from_secs(1));
            let written =
                (0..1024).take_while(|batch| intruder.write(&questions(batch * 64)).is_ok()).count();
            assert!(written < 1024, "{proto}: 64 k requests were taken from a peer that reads nothing");
            intruder
        })
    });
}

/// More connections than there may be: those over the limit are ended at once, calls go on meanwhile, and room comes back.
#[test]
fn floods_of_connections() {
    survives("[limits]\nconnections = 24\nconnections_per_peer = 1000\n", 8 * MB, |siege| {
        for proto in STREAMS {
            // Each of the four callers with a connection has taken one place.
            let flood: Vec<_> = (0..100).map(|_| Intruder::open(&siege.server, proto)).collect();
            siege.assert_calls_are_up();
            let open = flood.into_iter().flatten().filter_map(|mut intruder| {
                (!intruder.is_over(Duration::from_millis(20))).then_some(intruder)
            });
            let open: Vec<Intruder> = open.collect();
            assert!((1..=20).contains(&open.len()), "{proto}: {} are open", open.len());
            drop(open);
            // Whoever has gone leaves room, as soon as the server knows.
            let room = (0..200).any(|_| {
                Intruder::open(&siege.server, proto)
                    .is_ok_and(|mut intruder| !intruder.is_over(Duration::from_millis(50)))
            });
            assert!(room, "{proto}: no room comes back");
        }
    });
}

/// The same for those that come from one address, and to one listener.
#[test]
fn floods_from_one_address_and_to_one_listener() {
    for limit in ["connections_per_peer = 20", "connections_per_listener = 20"] {
        survives(&format!("[limits]\n{limit}\n"), 8 * MB, |siege| {
            let flood: Vec<_> = (0..60).map(|_| open(siege, Proto::Tcp)).collect();
            siege.assert_calls_are_up();
            let open = flood.into_iter().filter_map(|mut intruder| {
                (!intruder.is_over(Duration::from_millis(20))).then_some(intruder)
            });
            let open = open.count();
            assert!((1..20).contains(&open), "{limit}: {open} are open");
        });
    }
}

/// The head of a TLS record that announces 512 bytes of a handshake.
const RECORD: [u8; 5] = [22, 3, 1, 2, 0];

/// Handshakes that stop, or go on byte by byte for longer than they may, are ended while others are served.
#[test]
fn handshakes_that_never_end() {
    survives("[limits]\nhandshake = \"1s\"\n", 4 * MB, |siege| {
        let begin = Instant::now();
        let begun = |(proto, bytes): (Proto, &[u8])| {
            let mut intruder = bare(siege, proto);
            intruder.write(bytes).expect("it takes a beginning");
            intruder
        };
        let mut stopped =
            [(Proto::Tls, &RECORD[..]), (Proto::Ws, b"GET / HTT"), (Proto::Wss, &RECORD)].map(begun);
        let slow = [(Proto::Tls, &RECORD[..]), (Proto::Ws, b"GET /")].map(begun);
        siege.server.assert_answers();
        for (mut intruder, byte) in slow.into_iter().zip([0, b'a']) {
            intruder.trickle(byte, Duration::from_millis(50), 400);
        }
        for intruder in &mut stopped {
            assert_eq!(intruder.rest(), b"", "nothing is said");
        }
        assert!(begin.elapsed() >= Duration::from_secs(1));
    });
}

/// More connections that only begin than there may be: those over the limit are refused at once, and room comes back.
#[test]
fn floods_of_handshakes() {
    survives("[limits]\nhandshakes = 8\nhandshake = \"2s\"\n", 4 * MB, |siege| {
        for proto in [Proto::Tls, Proto::Ws, Proto::Wss] {
            let mut flood: Vec<_> = (0..40).map(|_| bare(siege, proto)).collect();
            // The last ones came when there was no room any more.
            let refused = |intruder: &mut Intruder| intruder.is_over(Duration::from_millis(500));
            assert!(flood.iter_mut().rev().take(32).all(refused), "{proto}");
            siege.assert_calls_are_up();
            for intruder in flood.iter_mut().take(8) {
                assert_eq!(intruder.rest(), b"", "{proto}");
            }
        }
    });
}

/// Whoever speaks another protocol is told so as far as there is a way, and left.
#[test]
fn other_protocols_are_turned_away() {
    let config = "[websocket]\npaths = [\"/\"]\norigins = [\"https://a.example\"]\n";
    survives(config, 4 * MB, |siege| {
        let sip = "OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n";
        let xmpp = UPGRADE.replace("Protocol: sip", "Protocol: xmpp");
        let page = UPGRADE.replace("Host: a", "Host: a\r\nOrigin: https://b.example");
        for (proto, said, answer) in [
            (Proto::Tls, sip, ""),
            (Proto::Wss, UPGRADE, ""),
            (Proto::Ws, sip, "HTTP/1.1 400 "),
            (Proto::Ws, &xmpp, "HTTP/1.1 400 "),
            (Proto::Ws, &page, "HTTP/1.1 403 "),
            (Proto::Ws, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 426 "),
        ] {
            let mut intruder = bare(siege, proto);
            intruder.write(said.as_bytes()).expect("it takes that much");
            let told = intruder.rest();
            assert!(told.starts_with(answer.as_bytes()), "{:?}", String::from_utf8_lossy(&told));
            if proto == Proto::Tls {
                siege.server.wait_for(": the peer does not speak TLS").expect("it is told");
            }
        }
    });
}

/// A connection that the peer has only half closed after half a message is closed.
#[test]
fn half_a_message_and_half_a_close() {
    survives("", 4 * MB, |siege| {
        for proto in STREAMS {
            let mut intruder = open(siege, proto);
            intruder.write(b"OPTIONS").expect("it takes a beginning");
            intruder.half_close();
            assert!(intruder.is_over(LIMIT), "{proto}: the connection stays open");
        }
    });
}

const IDLE: usize = 10_000;
const RAISED: &str = "SANSIP_FILES_RAISED";

/// Ten thousand connections that say nothing. The test starts itself once more, with as many open files as the system allows.
#[test]
fn idle_connections() {
    if env::var_os(RAISED).is_some() {
        let config = "[limits]\nconnections_per_peer = 20000\n";
        return survives(config, 24 * MB, |siege| {
            let connect = |_| TcpStream::connect(siege.server.at(siege.server.udp));
            (0..IDLE).map(|n| connect(n).expect("it accepts connections")).collect::<Vec<_>>()
        });
    }
    let test = env::current_exe().expect("a test knows its program");
    let script = "ulimit -n \"$(ulimit -H -n)\"; exec \"$0\" --exact idle_connections --nocapture";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(test).env(RAISED, "1");
    let ended = Process::start(&mut command).and_then(|run| run.finish(LIMIT * 9)).expect("it ends");
    assert!(ended.status.success(), "{}", ended.printed);
    print!("{}", ended.printed);
}
