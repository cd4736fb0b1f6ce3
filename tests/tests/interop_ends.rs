//! How the program begins and ends: the sockets that it names, signals, its configuration file, and calls that come to nothing.

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    process::Command,
    time::Duration,
};

use sansip_tests::{Driver, Finished, Process, Program, free_port, rfc4475};

const LIMIT: Duration = Duration::from_secs(60);
const DRIVERS: [Driver; 2] = [Driver::Tokio, Driver::Blocking];

fn start(words: &[&str]) -> Process {
    Process::start(&mut Program::built().command(words)).expect("it starts")
}

fn run(words: &[&str]) -> Finished {
    start(words).finish(LIMIT).expect("it ends")
}

/// Starts a server, and returns it with the ports that it says it listens on, over UDP and TCP.
fn serve(driver: Driver, words: &[&str]) -> (Process, [u16; 2]) {
    let driver = driver.to_string();
    let server = start(&[&["serve", "--driver", &driver], words].concat());
    let printed = server.wait_for(LIMIT, |text| text.matches("listening").count() == 2).expect("two sockets");
    let port = |proto: &str| {
        let end = format!(" ({proto})");
        let line = printed.lines().find(|line| line.ends_with(&end)).expect("a line for each socket");
        let port = line.strip_prefix("listening on sip:127.0.0.1:").and_then(|line| line.strip_suffix(&end));
        port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{line}"))
    };
    let ports = [port("udp"), port("tcp")];
    (server, ports)
}

fn terminate(process: &Process) {
    let killed = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
    assert!(killed.expect("kill runs").success());
}

/// RFC 3261 §18.2.1: a UDP socket has TCP beside it; where the system chooses the port, the line says which.
#[test]
fn sockets_are_named_as_they_are_bound() {
    for driver in DRIVERS {
        let given = free_port().expect("loopback has ports");
        let (_server, ports) = serve(driver, &["--listen", &format!("sip:127.0.0.1:{given}")]);
        assert_eq!(ports, [given; 2], "{driver}");
        let (_server, [udp, tcp]) = serve(driver, &["--listen", "sip:127.0.0.1:0"]);
        assert!(udp == tcp && udp != 0, "{driver}: {udp}, {tcp}");
    }
}

/// SIGTERM ends calls with BYE, then the program, with success.
#[test]
fn a_server_that_is_terminated_ends_its_calls() {
    for driver in DRIVERS {
        let (server, [port, _]) = serve(driver, &["--listen", "sip:127.0.0.1:0"]);
        let calls = ["udp", "tcp"].map(|transport| {
            let uri = format!("sip:bob@127.0.0.1:{port};transport={transport}");
            let call = start(&["call", &uri, "--duration", "50s"]);
            call.wait_for(LIMIT, |text| text.contains("in the call")).expect("it is answered");
            call
        });
        terminate(&server);
        let ended = server.finish(LIMIT).expect("it ends");
        let tally = "calls answered: 2, ended: 2, still open: 0";
        assert!(ended.status.success() && ended.printed.contains(tally), "{driver}: {}", ended.printed);
        for call in calls {
            let ended = call.finish(LIMIT).expect("it ends");
            let told = ended.printed.contains("the other side hung up");
            assert!(ended.status.success() && told, "{driver}: {}", ended.printed);
        }
    }
}

/// A caller that is terminated hangs up.
#[test]
fn a_caller_that_is_terminated_hangs_up() {
    let (server, [port, _]) = serve(Driver::Tokio, &["--listen", "sip:127.0.0.1:0"]);
    let call = start(&["call", &format!("sip:bob@127.0.0.1:{port}"), "--duration", "50s"]);
    call.wait_for(LIMIT, |text| text.contains("in the call")).expect("it is answered");
    terminate(&call);
    let ended = call.finish(LIMIT).expect("it ends");
    assert!(ended.status.success() && ended.printed.contains("call ended"), "{}", ended.printed);
    terminate(&server);
    let ended = server.finish(LIMIT).expect("it ends");
    assert!(ended.printed.contains("calls answered: 1, ended: 1, still open: 0"), "{}", ended.printed);
}

/// What the file says is done, but for what the command line says.
#[test]
fn a_server_does_what_its_file_says() {
    let file = std::env::temp_dir().join(format!("sansip-serve-{}.toml", std::process::id()));
    let text = "[serve]\nlisten = [\"sip:127.0.0.1:0\"]\nring = \"50s\"\ngrace = \"1s\"\n\
        [endpoint]\nproduct = \"file/1\"\nallow = [\"INVITE\", \"ACK\", \"CANCEL\", \"BYE\"]\n";
    fs::write(&file, text).expect("there is room");
    for driver in DRIVERS {
        let (server, [port, _]) = serve(driver, &["--config", &file.to_string_lossy(), "--ring", "0s"]);
        let asked = run(&["options", &format!("sip:127.0.0.1:{port}")]);
        assert_eq!(asked.status.code(), Some(2), "{driver}: {}", asked.printed);
        assert!(asked.printed.contains("rejected with 405"), "{driver}: {}", asked.printed);
        let call = run(&["call", &format!("sip:bob@127.0.0.1:{port}"), "--duration", "100ms"]);
        assert!(call.status.success() && call.printed.contains("call ended"), "{driver}: {}", call.printed);
        terminate(&server);
        assert!(server.finish(LIMIT).expect("it ends").status.success(), "{driver}");
    }
    fs::remove_file(&file).expect("it was written");
}

/// A 408 is no answer, and nobody at a UDP port is a failure that is told at once; each says what to do.
#[test]
fn calls_that_come_to_nothing_have_codes() {
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has ports");
    peer.set_read_timeout(Some(LIMIT)).expect("sockets have time-outs");
    let uri = format!("sip:bob@{}", peer.local_addr().expect("it is bound"));
    let call = start(&["call", &uri]);
    let mut buffer = [0; 4096];
    let (len, from) = peer.recv_from(&mut buffer).expect("the INVITE comes");
    let invite = String::from_utf8_lossy(&buffer[..len]).into_owned();
    let copied =
        |name: &str| invite.lines().find(|line| line.starts_with(name)).expect("every request has it");
    let [via, from_line, to, id, cseq] = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].map(copied);
    let response = format!(
        "SIP/2.0 408 Request Timeout\r\n{via}\r\n{from_line}\r\n{to};tag=x\r\n{id}\r\n{cseq}\r\n\
         Content-Length: 0\r\n\r\n"
    );
    peer.send_to(response.as_bytes(), from).expect("the answer leaves");
    let ended = call.finish(LIMIT).expect("it ends");
    assert_eq!(ended.status.code(), Some(3), "{}", ended.printed);
    assert!(ended.printed.contains("rejected with 408 Request Timeout"), "{}", ended.printed);

    if cfg!(target_os = "linux") {
        drop(peer);
        let ended = run(&["call", &uri]);
        assert_eq!(ended.status.code(), Some(4), "{}", ended.printed);
        assert!(ended.printed.contains("nobody listens there; check host and port"), "{}", ended.printed);
    }
}

/// RFC 4475 §3.1.1: the messages that are valid.
const VALID: [&str; 13] = [
    "wsinv",
    "intmeth",
    "esc01",
    "escnull",
    "esc02",
    "lwsdisp",
    "longreq",
    "dblreq",
    "semiuri",
    "transports",
    "mpart01",
    "unreason",
    "noreason",
];

/// RFC 4475: every message gets its verdict, one line each, and the valid ones are found to be so.
#[test]
fn torture_messages_are_parsed() {
    let Some(messages) = rfc4475("torture_messages_are_parsed") else { return };
    let folder = std::env::temp_dir().join(format!("sansip-torture-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("there is room");
    let mut list = String::new();
    for (name, bytes) in &messages {
        fs::write(folder.join(name), bytes).expect("there is room");
        list.push_str(&format!("\t{}\n", folder.join(name).display()));
    }
    fs::write(folder.join("list"), list).expect("there is room");
    let ended = run(&["parse", "--list", &folder.join("list").to_string_lossy()]);
    fs::remove_dir_all(&folder).expect("it was made");
    assert!(ended.status.success(), "{}", ended.printed);
    let lines: Vec<&str> = ended.printed.lines().collect();
    assert_eq!(lines.len(), messages.len(), "{}", ended.printed);
    for ((name, _), line) in messages.iter().zip(lines) {
        let verdict = line.split_once('\t').map(|(verdict, rest)| (verdict, rest.contains(name.as_str())));
        assert!(matches!(verdict, Some(("ok" | "err", true))), "{name}: {line}");
        assert!(!VALID.contains(&name.as_str()) || line.starts_with("ok"), "{name}: {line}");
    }
    let found = VALID.iter().filter(|valid| messages.iter().any(|(name, _)| name == *valid));
    assert_eq!(found.count(), VALID.len(), "all of them are there");
}
