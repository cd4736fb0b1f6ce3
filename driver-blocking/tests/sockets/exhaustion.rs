use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::Ipv4Addr,
    os::unix::fs::FileExt as _,
    process::Command,
    time::{Duration, Instant},
};

use sansip::Proto;
use socket2::{Domain, Socket, Type};

use crate::probe::{Probe, Seen, await_seen, bind, limited, peer};

/// Runs itself again, alone in a process that may open 64 files only.
#[test]
fn accepting_survives_a_lack_of_files() {
    if std::env::var_os(FEW_FILES).is_some() {
        return accept_with_few_files();
    }
    let this = std::env::current_exe().expect("a running program has a path");
    let name = "exhaustion::accepting_survives_a_lack_of_files";
    let child = Command::new("sh")
        .args(["-c", r#"ulimit -n 64 && exec "$0" --exact "$1""#])
        .args([this.as_os_str(), name.as_ref()])
        .env(FEW_FILES, "1")
        .output()
        .expect("there is a shell");
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && text.contains("1 passed"), "{text}");
}

fn accept_with_few_files() {
    let node = sansip_blocking::spawn(Probe::echo()).expect("there are threads");
    let addr = bind(&node, 1, Proto::Tcp, (Ipv4Addr::LOCALHOST, 0).into()).expect("loopback can be bound");
    let open = || Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are files left");
    let (early, late) = (open(), open());
    // Absent where there is no such file system.
    let stat = File::open("/proc/self/stat").ok();
    let mut early = peer(move || early.connect(&addr.into()).map(|()| limited(early.into())));
    await_seen(&node, |seen| matches!(seen, Seen::Accepted(_)).then_some(()));
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    assert!(files.len() < 64, "the limit is in force");
    // The system completes it; only accepting it fails.
    let mut late = peer(move || late.connect(&addr.into()).map(|()| limited(late.into())));
    let spent = stat.as_ref().map(cpu_ticks);
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(30));
        early = echo(early);
    }
    let accepted = |seen: &&Seen| matches!(seen, Seen::Accepted(_));
    let count = move |probe: &mut Probe| probe.seen.iter().filter(accepted).count();
    assert_eq!(node.with(|probe, _| count(probe)), Ok(1));
    if let (Some(before), Some(stat)) = (spent, &stat) {
        let ticks = cpu_ticks(stat) - before;
        assert!(ticks < 15, "waiting for 300 ms took {ticks}0 ms of processor time");
    }
    drop(files);
    let freed = Instant::now();
    late = echo(late);
    assert!(
        freed.elapsed() < Duration::from_secs(4),
        "accepted {:?} after there were files again",
        freed.elapsed()
    );
    drop((early, late));
}

fn echo(mut stream: std::net::TcpStream) -> std::net::TcpStream {
    peer(move || {
        stream.write_all(b"ping")?;
        stream.read_exact(&mut [0; 4])?;
        Ok(stream)
    })
}

/// Returns the processor time of this process in ticks of 10 ms, from an open `/proc/self/stat`.
fn cpu_ticks(stat: &File) -> u64 {
    let mut text = [0; 1024];
    let len = stat.read_at(&mut text, 0).expect("it is readable");
    let text = String::from_utf8_lossy(&text[..len]);
    let fields = text.rsplit(") ").next().expect("a split has a part");
    // The 14th and 15th field of proc_pid_stat(5); the third is the first here.
    fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

const FEW_FILES: &str = "SANSIP_TEST_FEW_FILES";
