//! The `sansip` program as people use it: what it prints, and the code with which it ends.

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    time::Duration,
};

use sansip_tests::{Driver, Finished, Process, Program, Server, free_port};

const LIMIT: Duration = Duration::from_secs(60);

fn run(words: &[&str]) -> Finished {
    let process = Process::start(&mut Program::built().command(words)).expect("it starts");
    process.finish(LIMIT).expect("it ends")
}

/// Requires a code, and a piece of what is printed.
fn assert_ends(words: &[&str], code: i32, piece: &str) {
    let Finished { status, printed } = run(words);
    assert_eq!(status.code(), Some(code), "{words:?}: {printed}");
    assert!(printed.contains(piece), "{words:?}: {printed}");
}

#[test]
fn options_are_asked_for_over_both_transports() {
    for driver in [Driver::Tokio, Driver::Blocking] {
        let server = Server::start(driver).expect("the server starts");
        for transport in ["udp", "tcp"] {
            let uri = format!("sip:127.0.0.1:{};transport={transport}", server.port());
            assert_ends(&["options", &uri], 0, "Allow: INVITE");
        }
    }
}

/// The caller hangs up, or the called side does because it is asked to end; both are a success.
#[test]
fn a_call_ends_from_either_side() {
    let server = Server::start(Driver::Blocking).expect("the server starts");
    let uri = format!("sip:bob@127.0.0.1:{};transport=tcp", server.port());
    assert_ends(&["call", &uri, "--duration", "200ms"], 0, "call ended");
    let call = Process::start(&mut Program::built().command(&["call", &uri, "--duration", "50s"]))
        .expect("it starts");
    call.wait_for(LIMIT, |text| text.contains("200 OK")).expect("it is answered");
    let ended = server.stop().expect("it ends when asked to");
    assert!(ended.printed.contains("calls answered: 2, ended: 2, still open: 0"), "{}", ended.printed);
    let call = call.finish(LIMIT).expect("it ends");
    assert!(call.status.success() && call.printed.contains("the other side hung up"), "{}", call.printed);
}

/// Ctrl-C cancels a call that rings: the other side sees no answered call.
#[test]
fn an_interrupt_cancels_a_call_that_rings() {
    let server = Server::start_with(Driver::Tokio, &["--ring", "50s"]).expect("the server starts");
    let uri = format!("sip:bob@127.0.0.1:{}", server.port());
    let call = Process::start(&mut Program::built().command(&["call", &uri])).expect("it starts");
    call.wait_for(LIMIT, |text| text.contains("180 Ringing")).expect("it rings");
    call.interrupt().expect("kill runs");
    let call = call.finish(LIMIT).expect("it ends");
    assert_eq!(call.status.code(), Some(3), "{}", call.printed);
    server.wait_until_idle(LIMIT).expect("nothing rings any more");
    let ended = server.stop().expect("it ends when asked to");
    assert!(ended.printed.contains("calls answered: 0, ended: 0, still open: 0"), "{}", ended.printed);
}

/// Nobody there, nobody who answers, nobody who takes the call, no such host: each has its code and says what to do.
#[test]
fn failures_have_codes() {
    let refused = format!("sip:127.0.0.1:{};transport=tcp", free_port().expect("loopback has ports"));
    assert_ends(&["options", &refused], 4, "connection refused: nobody listens there");
    assert_ends(&["call", &refused], 4, "connection refused: nobody listens there");
    assert_ends(&["options", "sip:nowhere.invalid"], 4, "has no address: check the name");
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has ports");
    let silent = format!("sip:{}", silent.local_addr().expect("it is bound"));
    assert_ends(&["options", &silent, "--timeout", "1s"], 3, "no answer in time");
    assert_ends(&["call", &silent, "--timeout", "1s"], 3, "no answer after 1s");
    assert_ends(&["call", "sips:127.0.0.1;transport=udp"], 1, "has no TLS, which sips needs");
    assert_ends(
        &["call", "sip:127.0.0.1;transport=pigeon"],
        1,
        "names no transport that there is: use udp, tcp",
    );
    assert_ends(&["call", "tel:+1"], 1, "write sip:USER@HOST");
    for command in ["call", "options", "resolve"] {
        assert_ends(&[command, "192.0.2.1"], 1, "begins with a scheme and a colon: write sip:USER@HOST");
    }
    assert_ends(&["dance"], 1, "unrecognized subcommand");
}

/// A call that is rejected says with what, and whom to call instead.
#[test]
fn a_rejection_is_told() {
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has ports");
    let uri = format!("sip:bob@{}", peer.local_addr().expect("it is bound"));
    let call = Process::start(&mut Program::built().command(&["call", &uri])).expect("it starts");
    peer.set_read_timeout(Some(LIMIT)).expect("sockets have time-outs");
    let mut buffer = [0; 4096];
    let (len, from) = peer.recv_from(&mut buffer).expect("the INVITE comes");
    let invite = String::from_utf8_lossy(&buffer[..len]).into_owned();
    let copied = |name: &str| {
        let line = invite.lines().find(|line| line.starts_with(name)).expect("every request has one");
        line.to_owned()
    };
    let [via, from_line, to, id, cseq] = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].map(copied);
    let moved = format!(
        "SIP/2.0 302 Moved\r\n{via}\r\n{from_line}\r\n{to};tag=x\r\n{id}\r\n{cseq}\r\n\
         Contact: <sip:bob@192.0.2.7>\r\nContent-Length: 0\r\n\r\n"
    );
    peer.send_to(moved.as_bytes(), from).expect("the answer leaves");
    let call = call.finish(LIMIT).expect("it ends");
    assert_eq!(call.status.code(), Some(2), "{}", call.printed);
    assert!(
        call.printed.contains("rejected with 302 Moved; call sip:bob@192.0.2.7 instead"),
        "{}",
        call.printed
    );
}

/// A socket that is taken, a bad key and a bad address are told with what to do.
#[test]
fn a_server_that_cannot_start_says_why() {
    let server = Server::start(Driver::Tokio).expect("the server starts");
    let taken = format!("sip:127.0.0.1:{}", server.port());
    for driver in ["tokio", "blocking"] {
        assert_ends(
            &["serve", "--driver", driver, "--listen", &taken],
            1,
            "choose another port with --listen",
        );
    }
    assert_ends(&["serve", "--listen", "sip:127.0.0.1;transport=sctp"], 1, "not built into this version yet");
    let file = std::env::temp_dir().join(format!("sansip-config-{}.toml", std::process::id()));
    fs::write(&file, "[limits]\ncals = 3\n").expect("there is room");
    let path = file.to_str().expect("a plain path");
    assert_ends(
        &["serve", "--config", path],
        1,
        ".toml:2:1: unknown field `cals`, expected one of `head`, `headers`",
    );
    let defaults =
        run(&["config"]).printed.replace("127.0.0.1:5060", &format!("127.0.0.1:{}", server.port()));
    fs::write(&file, defaults).expect("there is room");
    assert_ends(&["serve", "--config", path], 1, "address already in use");
    fs::remove_file(&file).expect("it was written");
}

/// Lists are checked line by line, whatever the files hold.
#[test]
fn lists_of_messages_are_checked() {
    let folder = std::env::temp_dir().join(format!("sansip-parse-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("there is room");
    let good = "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:a>;tag=1\r\n\
        To: <sip:a>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    let list = folder.join("list");
    let files = [("good", good.as_bytes()), ("empty", b""), ("bytes", &[0xff, 0, 13, 10, 13, 10])];
    let mut lines = String::new();
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).expect("there is room");
        lines.push_str(&format!("\t{}\n", folder.join(name).display()));
    }
    fs::write(&list, &lines).expect("there is room");
    let Finished { status, printed } = run(&["parse", "--list", &list.to_string_lossy()]);
    assert!(status.success(), "{printed}");
    let verdicts: Vec<&str> = printed.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(verdicts, ["ok", "err", "err"], "{printed}");
    fs::write(&list, format!("{lines}ok\t{}\n", folder.join("absent").display())).expect("there is room");
    assert_ends(&["parse", "--list", &list.to_string_lossy()], 1, "cannot read");
    fs::remove_dir_all(&folder).expect("it was made");
}

/// D6: the demonstration ends well, and is the same for the same seed.
#[test]
fn the_demonstration_is_repeatable() {
    let first = run(&["demo", "--seed", "11"]);
    assert!(first.status.success() && first.printed.contains("INVITE (1)"), "{}", first.printed);
    assert_eq!(first.printed, run(&["demo", "--seed", "11"]).printed);
}
