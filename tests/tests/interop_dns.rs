//! `sansip resolve` against Knot DNS on loopback, and beside `sip-dig` of Sofia-SIP.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command, time::Duration};

use sansip_tests::{Finished, Process, Program, free_port, require_tool};

const LIMIT: Duration = Duration::from_secs(60);

/// What is served: all kinds of records under `sip.test`.
const ZONE: &str = r#"$ORIGIN sip.test.
$TTL 60
@ SOA ns admin 1 60 60 60 5
@ NS ns
ns A 127.0.0.1
full NAPTR 20 60 "s" "SIP+D2U" "" _sip._udp.full
full NAPTR 20 50 "s" "SIP+D2T" "" _sip._tcp.full
full NAPTR 10 50 "s" "SIPS+D2T" "" _sips._tcp.full
full NAPTR 5 50 "u" "E2U+sip" "!^.*$!sip:nobody@sip.test!" .
_sips._tcp.full SRV 0 10 5061 a
_sip._tcp.full SRV 1 10 5070 b
_sip._tcp.full SRV 0 10 5060 a
_sip._udp.full SRV 0 10 5060 b
_sip._udp.plain SRV 10 10 5062 a
_sip._udp.plain SRV 10 30 5064 b
_sip._udp.plain SRV 20 10 5066 six
_sip._udp.none SRV 0 0 0 .
none A 127.0.1.9
a A 127.0.1.1
b A 127.0.1.2
six AAAA ::1
alias CNAME a
"#;

/// Records of one name, far more than a datagram takes.
const MANY: u16 = 60;

/// A name server that has the zone, until it is dropped.
struct Knot {
    _process: Process,
    folder: PathBuf,
    port: u16,
}

impl Knot {
    /// Starts it; `None` if it is not installed.
    fn start(test: &str) -> Option<Self> {
        let program = require_tool_of_root("knotd", test)?;
        let port = free_port().expect("loopback has ports");
        let folder = std::env::temp_dir().join(format!("sansip-{test}-{}", std::process::id()));
        let db = folder.join("db");
        fs::create_dir_all(&db).expect("the folder for temporary files can be written");
        let many = (0..MANY).map(|n| format!("_sip._tcp.many SRV {n} 1 {} a\n", 6000 + n));
        let zone = ZONE.to_owned() + &many.collect::<String>();
        fs::write(folder.join("zone"), zone).expect("it can be written");
        let config = format!(
            "server:\n    listen: 127.0.0.1@{port}\n    rundir: {folder}\n\
             database:\n    storage: {db}\n\
             log:\n  - target: stdout\n    any: info\n\
             zone:\n  - domain: sip.test\n    file: {folder}/zone\n",
            folder = folder.display(),
            db = db.display(),
        );
        fs::write(folder.join("knot.conf"), config).expect("it can be written");
        let resolv = format!("nameserver 127.0.0.1\nport {port}\n");
        fs::write(folder.join("resolv.conf"), resolv).expect("it can be written");
        let mut command = Command::new(program);
        command.arg("-c").arg(folder.join("knot.conf"));
        let process = Process::start(&mut command).expect("it starts");
        process.wait_for(LIMIT, |text| text.contains("server started")).expect("it comes up");
        Some(Self { _process: process, folder, port })
    }

    fn sansip(&self, words: &[&str]) -> Finished {
        let server = format!("127.0.0.1:{}", self.port);
        let words = [&["resolve", "--server", &server], words].concat();
        let process = Process::start(&mut Program::built().command(&words)).expect("it starts");
        process.finish(LIMIT).expect("it ends")
    }

    /// Returns the servers that `sansip resolve` prints.
    fn servers(&self, words: &[&str]) -> Vec<String> {
        let Finished { status, printed } = self.sansip(words);
        assert!(status.success(), "{words:?}: {printed}");
        printed.lines().map(str::to_owned).collect()
    }

    /// Returns what `sip-dig` prints, in the same form.
    fn sip_dig(&self, program: &PathBuf, words: &[&str]) -> Vec<String> {
        let mut command = Command::new(program);
        command.args(words).env("SRESOLV_CONF", self.folder.join("resolv.conf"));
        let process = Process::start(&mut command).expect("it starts");
        let Finished { printed, .. } = process.finish(LIMIT).expect("it ends");
        let line = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, _, proto, port, host] = fields[..] else { panic!("{printed}") };
            format!("{proto} {host} {port}")
        };
        printed.lines().map(line).collect()
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        // It is only a folder for temporary files.
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

/// DN-05–DN-10, DN-13, DN-17: NAPTR, SRV with priorities, no such service, aliases and IPv6, from a server that others wrote.
#[test]
fn servers_are_found_in_a_real_zone() {
    let Some(knot) = Knot::start("servers_are_found_in_a_real_zone") else { return };
    let all = ["tls 127.0.1.1 5061", "tcp 127.0.1.1 5060", "tcp 127.0.1.2 5070", "udp 127.0.1.2 5060"];
    assert_eq!(knot.servers(&["sip:full.sip.test"]), all);
    assert_eq!(knot.servers(&["sips:full.sip.test"]), all[..1]);
    assert_eq!(knot.servers(&["sip:full.sip.test;transport=tcp"]), all[1..3]);
    assert_eq!(knot.servers(&["sip:alias.sip.test"]), ["udp 127.0.1.1 5060"]);
    assert_eq!(knot.servers(&["sip:six.sip.test:5080"]), ["udp ::1 5080"]);
    let plain = knot.servers(&["sip:plain.sip.test"]);
    let first: BTreeSet<&str> = plain[..2].iter().map(String::as_str).collect();
    assert_eq!(first, ["udp 127.0.1.1 5062", "udp 127.0.1.2 5064"].into());
    assert_eq!(plain[2..], ["udp ::1 5066"]);
    // RFC 2782: no service at all, although the host has an address.
    for uri in ["sip:none.sip.test", "sip:nobody.sip.test"] {
        let Finished { status, printed } = knot.sansip(&[uri]);
        assert_eq!(status.code(), Some(4), "{printed}");
        assert!(printed.contains("has no server"), "{printed}");
    }
    // Nobody serves this one: the server refuses.
    let Finished { status, printed } = knot.sansip(&["sip:elsewhere.example"]);
    assert_eq!(status.code(), Some(4), "{printed}");
    assert!(printed.contains("the name server failed: check the network"), "{printed}");
}

/// RFC 1035 §4.2.1: an answer too large for a datagram is asked for again over TCP.
#[test]
fn truncated_answers_are_asked_for_over_tcp() {
    let Some(knot) = Knot::start("truncated_answers_are_asked_for_over_tcp") else { return };
    let expected: Vec<String> = (0..MANY).map(|n| format!("tcp 127.0.1.1 {}", 6000 + n)).collect();
    assert_eq!(knot.servers(&["sip:many.sip.test;transport=tcp"]), expected);
}

/// `sip-dig` finds the same servers. It stops at the first order of NAPTR, so it is asked for one transport at a time.
#[test]
fn sip_dig_agrees() {
    let test = "sip_dig_agrees";
    let (Some(knot), Some(sip_dig)) = (Knot::start(test), require_tool("sip-dig", test)) else { return };
    for (uri, transport) in [
        ("sip:full.sip.test", "udp"),
        ("sip:full.sip.test", "tcp"),
        ("sips:full.sip.test", "tls"),
        ("sip:plain.sip.test", "udp"),
        ("sip:a.sip.test", "udp"),
        ("sip:alias.sip.test", "udp"),
        ("sip:b.sip.test:5070", "udp"),
    ] {
        let ours: BTreeSet<String> = knot.servers(&["--transport", transport, uri]).into_iter().collect();
        let theirs: BTreeSet<String> = knot.sip_dig(&sip_dig, &["-p", transport, uri]).into_iter().collect();
        assert_eq!(ours, theirs, "{uri} over {transport}");
    }
}

/// Finds a program that may lie where only the superuser looks.
fn require_tool_of_root(tool: &str, test: &str) -> Option<PathBuf> {
    let usual = PathBuf::from("/usr/sbin").join(tool);
    if usual.is_file() { Some(usual) } else { require_tool(tool, test) }
}
