use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use bytes::Bytes;
use sansip::{
    CloseHow, ConnId, DnsError, Input, Instant, IoKind, Machine, Output, Proto, QueryId, RecordKind, Records,
    SocketId, Unreachable,
};
use sansip_blocking::{NodeError, NodeHandle, WeakNodeHandle};

use crate::probe::{self, Probe, Seen, await_seen, bind, limited, peer};

#[test]
fn datagrams_come_back() {
    let node = sansip_blocking::spawn(Probe::echo()).expect("there are threads");
    for (id, any) in [(1, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))), (2, (Ipv6Addr::LOCALHOST, 0).into())] {
        let addr = bind(&node, id, Proto::Udp, any).expect("loopback can be bound");
        assert_ne!(addr.port(), 0, "port 0 is told as the port chosen");
        let got = peer(move || {
            let socket = limited(UdpSocket::bind((any.ip(), 0))?);
            let mut buffer = [0; 100];
            let mut count = 0;
            for n in 0..200_u8 {
                socket.send_to(&[n; 50], addr)?;
                let (len, from) = socket.recv_from(&mut buffer)?;
                assert_eq!((&buffer[..len], from), (&[n; 50][..], addr));
                count += 1;
            }
            Ok(count)
        });
        assert_eq!(got, 200);
    }
}

#[test]
fn a_burst_is_answered_whole() {
    let node = sansip_blocking::spawn(Probe::echo()).expect("there are threads");
    let addr = bind(&node, 1, Proto::Udp, (Ipv4Addr::LOCALHOST, 0).into()).expect("loopback can be bound");
    // More than one round takes, and within the smallest receive buffer of the client.
    let answers = peer(move || {
        let socket = limited(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
        for n in 0..150_u8 {
            socket.send_to(&[n], addr)?;
        }
        let mut buffer = [0; 10];
        (0..150).map(|_| socket.recv_from(&mut buffer).map(|_| buffer[0])).collect::<Result<Vec<_>, _>>()
    });
    assert_eq!(answers, (0..150).collect::<Vec<u8>>(), "each once, in order");
}

/// RFC 3261 §18.2.2, RFC 3581 §4: one at a time and in a burst.
#[test]
#[cfg(target_os = "linux")]
fn a_socket_bound_to_all_addresses_answers_from_the_one_asked() {
    let node = sansip_blocking::spawn(Probe::echo()).expect("there are threads");
    let any = (Ipv4Addr::UNSPECIFIED, 0).into();
    let port = bind(&node, 1, Proto::Udp, any).expect("it can be bound").port();
    let asked = [1, 2, 77].map(|last| SocketAddr::from(([127, 0, 0, last], port)));
    let answered = peer(move || {
        let socket = limited(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
        let mut answered = Vec::new();
        for addr in asked {
            for count in [1, 40] {
                for _ in 0..count {
                    socket.send_to(b"ask", addr)?;
                }
                for _ in 0..count {
                    answered.push(socket.recv_from(&mut [0; 9])?.1);
                }
            }
        }
        Ok(answered)
    });
    let expected: Vec<_> = asked.into_iter().flat_map(|addr| [addr; 41]).collect();
    assert_eq!(answered, expected);
}

#[test]
fn a_taken_address_is_told() {
    let node = sansip_blocking::spawn(Probe::echo()).expect("there are threads");
    for (id, proto) in [(1, Proto::Udp), (3, Proto::Tcp)] {
        let addr = bind(&node, id, proto, (Ipv4Addr::LOCALHOST, 0).into()).expect("loopback can be bound");
        assert_eq!(bind(&node, id + 1, proto, addr), Err(IoKind::AddressInUse), "{proto}");
    }
    let foreign = SocketAddr::from(([192, 0, 2, 1], 0));
    assert_eq!(bind(&node, 5, Proto::Udp, foreign), Err(IoKind::AddressNotAvailable));
}

#[test]
fn datagrams_too_big_are_told() {
    let node = sansip_blocking::spawn(Probe::echo()).expect("there are threads");
    let addr = bind(&node, 1, Proto::Udp, (Ipv4Addr::LOCALHOST, 0).into()).expect("loopback can be bound");
    let remote = addr;
    let send = move |probe: &mut Probe, len: usize| {
        let payload = Bytes::from(vec![b'x'; len]);
        probe.ask(Output::Transmit { socket: SocketId(1), local: addr, remote, payload });
    };
    node.with(move |probe, _| send(probe, 65_508)).expect("the node runs");
    assert_eq!(unreachable(&node), (remote, Unreachable::TooBig));
}

/// TP-13. The socket goes on, also for what is sent while a complaint about something else is pending.
#[test]
#[cfg(target_os = "linux")]
fn datagrams_to_a_closed_port_are_told() {
    for any in [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), (Ipv6Addr::LOCALHOST, 0).into()] {
        let node = sansip_blocking::spawn(Probe::echo()).expect("there are threads");
        let local = bind(&node, 1, Proto::Udp, any).expect("loopback can be bound");
        let open = || limited(UdpSocket::bind(any).expect("loopback can be bound"));
        let (dead, alive) = (open(), open());
        let addr = |socket: &UdpSocket| socket.local_addr().expect("it is bound");
        let (nobody, somebody) = (addr(&dead), addr(&alive));
        drop(dead);
        let transmit = |remote| Output::Transmit {
            socket: SocketId(1),
            local,
            remote,
            payload: Bytes::from_static(b"ping"),
        };
        let outputs = [nobody, somebody, nobody, somebody].map(transmit);
        node.with(move |probe, _| outputs.into_iter().for_each(|output| probe.ask(output)))
            .expect("the node runs");
        assert_eq!(unreachable(&node), (nobody, Unreachable::Icmp));
        let got = peer(move || {
            for _ in 0..2 {
                alive.recv_from(&mut [0; 9])?;
            }
            alive.send_to(b"pong", local)?;
            alive.recv_from(&mut [0; 9])
        });
        assert_eq!(got, (4, local), "what comes is read and answered as before");
        // Once more, when the socket has had an error already.
        node.with(|probe, _| probe.ask(transmit(nobody))).expect("the node runs");
        let about = Seen::Unreachable(nobody, Unreachable::Icmp);
        probe::await_state(&node, |probe| {
            let told = probe.seen.iter().filter(|seen| matches!(seen, Seen::Unreachable(..)));
            (told.clone().count() == 3 && told.clone().all(|seen| *seen == about)).then_some(())
        });
    }
}

#[test]
fn streams_come_back_in_any_size() {
    let node = sansip_blocking::spawn(Probe::echo()).expect("there are threads");
    let addr = bind(&node, 1, Proto::Tcp, (Ipv4Addr::LOCALHOST, 0).into()).expect("loopback can be bound");
    peer(move || {
        let data: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
        for size in [1, 1000, 65_536, 300_000] {
            let mut stream = limited(TcpStream::connect(addr)?);
            let mut writer = stream.try_clone()?;
            let sent = data[..size].to_vec();
            let writing = std::thread::spawn(move || writer.write_all(&sent));
            let mut got = vec![0; size];
            stream.read_exact(&mut got)?;
            assert!(got == data[..size], "{size} bytes come back as they were");
            writing.join().expect("the writer does not panic")?;
        }
        Ok(())
    });
    let odd = |seen: &Seen| matches!(seen, Seen::Accepted(ConnId(id)) if id % 2 == 1);
    let accepted = node.with(move |probe, _| probe.seen.iter().filter(|seen| odd(seen)).count());
    assert_eq!(accepted, Ok(4), "accepted connections have odd names");
}

#[test]
fn connections_open_or_are_refused() {
    let node = sansip_blocking::spawn(Probe::echo()).expect("there are threads");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
    let addr = listener.local_addr().expect("it is bound");
    connect(&node, 2, addr);
    await_seen(&node, |seen| (*seen == Seen::Connected(ConnId(2))).then_some(()));
    drop(listener);
    connect(&node, 4, addr);
    assert_eq!(closed(&node, 4), Some(IoKind::Refused));
}

#[test]
fn a_peer_that_leaves_is_told() {
    let node = sansip_blocking::spawn(Probe::echo()).expect("there are threads");
    let addr = bind(&node, 1, Proto::Tcp, (Ipv4Addr::LOCALHOST, 0).into()).expect("loopback can be bound");
    peer(move || TcpStream::connect(addr).map(drop));
    assert_eq!(closed(&node, 1), None, "in order");
    peer(move || {
        let stream = TcpStream::connect(addr)?;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
    });
    assert_eq!(closed(&node, 3), Some(IoKind::Reset));
}

#[test]
fn what_was_asked_before_the_end_is_still_answered() {
    let node = sansip_blocking::spawn(Probe::echo()).expect("there are threads");
    let addr = bind(&node, 1, Proto::Tcp, (Ipv4Addr::LOCALHOST, 0).into()).expect("loopback can be bound");
    let got = peer(move || {
        let mut stream = limited(TcpStream::connect(addr)?);
        let mut writer = stream.try_clone()?;
        let writing = std::thread::spawn(move || {
            writer.write_all(&vec![7; 4 << 20])?;
            writer.shutdown(std::net::Shutdown::Write)
        });
        std::thread::sleep(Duration::from_millis(100));
        let mut got = Vec::new();
        stream.read_to_end(&mut got)?;
        writing.join().expect("the writer does not panic")?;
        Ok(got.len())
    });
    assert_eq!(got, 4 << 20, "a half-closed peer gets all of its answer");
}

#[test]
fn a_slow_reader_holds_up_nobody() {
    const TOTAL: usize = 16 << 20;
    let node = sansip_blocking::spawn(Probe::echo()).expect("there are threads");
    let addr = bind(&node, 1, Proto::Tcp, (Ipv4Addr::LOCALHOST, 0).into()).expect("loopback can be bound");
    let mut slow = peer(move || TcpStream::connect(addr).map(limited));
    await_seen(&node, |seen| (*seen == Seen::Accepted(ConnId(1))).then_some(()));
    let fill = move |probe: &mut Probe| {
        for _ in 0..TOTAL / 65_536 {
            probe.ask(Output::Send { conn: ConnId(1), data: Bytes::from(vec![9; 65_536]) });
        }
    };
    node.with(move |probe, _| fill(probe)).expect("the node runs");
    // Another connection is served while the first one is stuck.
    peer(move || {
        let mut quick = limited(TcpStream::connect(addr)?);
        quick.write_all(b"ping")?;
        quick.read_exact(&mut [0; 4])
    });
    let drained = node.with(|probe, _| probe.drained(ConnId(1))).expect("the node runs");
    assert!(drained < TOTAL, "{drained} bytes cannot have left yet");
    peer(move || slow.read_exact(&mut vec![0; TOTAL]).map(|()| slow));
    let all = move |probe: &Probe| (probe.drained(ConnId(1)) == TOTAL).then_some(());
    probe::await_state(&node, all);
}

#[test]
fn closing_flushes_or_resets() {
    let node = sansip_blocking::spawn(Probe::silent()).expect("there are threads");
    let addr = bind(&node, 1, Proto::Tcp, (Ipv4Addr::LOCALHOST, 0).into()).expect("loopback can be bound");
    for (conn, how) in [(1, CloseHow::Flush), (3, CloseHow::Reset)] {
        let conn = ConnId(conn);
        let mut stream = peer(move || {
            let mut stream = limited(TcpStream::connect(addr)?);
            // Bytes that nobody reads must not turn an orderly end into a reset.
            stream.write_all(&[1; 10_000])?;
            Ok(stream)
        });
        await_seen(&node, move |seen| (*seen == Seen::Accepted(conn)).then_some(()));
        let end = move |probe: &mut Probe| {
            probe.ask(Output::Send { conn, data: Bytes::from(vec![5; 8 << 20]) });
            probe.ask(Output::Close { conn, how });
        };
        node.with(move |probe, _| end(probe)).expect("the node runs");
        let got = peer(move || {
            std::thread::sleep(Duration::from_millis(100));
            let mut got = Vec::new();
            let end = stream.read_to_end(&mut got).map_err(|error| error.kind());
            Ok((got.len(), end.is_err()))
        });
        match how {
            CloseHow::Flush => {
                assert_eq!(got, (8 << 20, false));
                assert_eq!(closed(&node, conn.0), None, "its end is told when the peer's has come");
            }
            CloseHow::Reset => assert!(got.0 < 8 << 20 && got.1, "{got:?}"),
        }
    }
}

#[test]
fn timers_fire_in_time() {
    let node = sansip_blocking::spawn(Probe::silent()).expect("there are threads");
    let set = |probe: &mut Probe, now| {
        probe.deadlines = (1..=3).map(|n| now + Duration::from_millis(40) * n).collect()
    };
    node.with(set).expect("the node runs");
    probe::await_state(&node, |probe| (probe.fired.len() == 3).then_some(()));
    let fired = node.with(|probe, _| probe.fired.clone()).expect("the node runs");
    for (due, at) in fired {
        assert!(at >= due, "not early");
        assert!(at.since(due) < Duration::from_millis(500), "{:?} late", at.since(due));
    }
}

#[test]
fn the_wall_clock_is_told_first() {
    let node = sansip_blocking::spawn(Probe::silent()).expect("there are threads");
    let first = node.with(|probe, _| probe.seen.first().cloned()).expect("the node runs");
    let Some(Seen::Wall(unix)) = first else { panic!("{first:?} came first") };
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("it is after 1970");
    assert!(since.as_millis() as u64 - unix.as_millis() < 10_000);
}

#[test]
fn names_of_the_hosts_file_resolve() {
    let node = sansip_blocking::spawn(Probe::silent()).expect("there are threads");
    let name = "localhost".parse().expect("it is a name");
    let ask = move |probe: &mut Probe| {
        probe.ask(Output::Resolve { query: QueryId(1), name, kind: RecordKind::A });
    };
    node.with(move |probe, _| ask(probe)).expect("the node runs");
    let answer = await_seen(&node, |seen| match seen {
        Seen::Resolved(result) => Some(result.clone()),
        _ => None,
    });
    let answer: Result<Records, DnsError> = answer;
    let Ok(Records::Addresses { addresses, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(addresses, [Ipv4Addr::LOCALHOST]);
}

#[test]
fn a_panic_in_a_closure_reaches_its_caller_only() {
    let node = sansip_blocking::spawn(Probe::silent()).expect("there are threads");
    let outcome = node.with(|_, _| {
        if true {
            panic!("on purpose")
        }
    });
    assert_eq!(outcome, Err(NodeError::Panicked));
    assert_eq!(node.with(|_, _| 7), Ok(7), "the node goes on");
}

#[test]
fn stopping_waits_for_the_machine() {
    let node = sansip_blocking::spawn(Probe::echo()).expect("there are threads");
    let addr = bind(&node, 1, Proto::Tcp, (Ipv4Addr::LOCALHOST, 0).into()).expect("loopback can be bound");
    let mut stream = limited(TcpStream::connect(addr).expect("it listens"));
    await_seen(&node, |seen| (*seen == Seen::Accepted(ConnId(1))).then_some(()));
    let set = |probe: &mut Probe, now| {
        probe.deadlines = [now + Duration::from_millis(50)].into();
        probe.stops_after = Some(1);
    };
    node.with(set).expect("the node runs");
    let other = node.clone();
    let reading = std::thread::spawn(move || stream.read_to_end(&mut Vec::new()));
    let began = std::time::Instant::now();
    node.stop(Duration::from_secs(20));
    let len = reading.join().expect("the reader does not panic").expect("open connections end in order");
    assert_eq!(len, 0);
    assert!(began.elapsed() >= Duration::from_millis(45), "not before the machine was done");
    assert!(began.elapsed() < Duration::from_secs(4), "no longer than needed");
    assert_eq!(other.with(|_, _| ()), Err(NodeError::Gone));
    assert!(other.is_gone());
    TcpListener::bind(addr).expect("the port is free again");
}

#[test]
fn stopping_ends_after_its_grace() {
    let node = sansip_blocking::spawn(Probe::silent()).expect("there are threads");
    let began = std::time::Instant::now();
    node.stop(Duration::from_millis(100));
    assert!((95..4000).contains(&began.elapsed().as_millis()));
}

#[test]
fn the_last_handle_ends_the_node() {
    let node = sansip_blocking::spawn(Probe::silent()).expect("there are threads");
    let addr = bind(&node, 1, Proto::Tcp, (Ipv4Addr::LOCALHOST, 0).into()).expect("loopback can be bound");
    let weak = node.downgrade();
    assert_eq!(weak.upgrade().map(|node| node.is_gone()), Some(false));
    drop(node);
    assert!(weak.upgrade().is_none());
    probe::eventually(|| TcpStream::connect(addr).is_err());
}

#[test]
fn a_handle_used_inside_does_not_wait_for_itself() {
    let node = sansip_blocking::spawn(Probe::silent()).expect("there are threads");
    let inside = node.clone();
    assert_eq!(node.with(|_, _| inside.with(|_, _| 7)), Ok(Err(NodeError::Inside)));
    // The last handle may go inside, and ends the node all the same.
    let weak = node.downgrade();
    drop(node);
    let outside = inside.clone();
    outside.with(move |_, _| inside.stop(Duration::ZERO)).expect("the node runs");
    probe::eventually(|| outside.is_gone());
    drop(outside);
    assert!(weak.upgrade().is_none());
}

#[test]
fn a_machine_that_panics_ends_its_node() {
    let node = sansip_blocking::spawn(Probe::fragile()).expect("there are threads");
    let addr = bind(&node, 1, Proto::Udp, (Ipv4Addr::LOCALHOST, 0).into()).expect("loopback can be bound");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
    socket.send_to(b"boo", addr).expect("it is bound");
    probe::eventually(|| node.is_gone());
    assert_eq!(node.with(|_, _| ()), Err(NodeError::Gone));
    node.stop(Duration::ZERO);
}

/// A machine that knows its own handle.
#[derive(Default)]
struct Selfish {
    node: Option<WeakNodeHandle<Self>>,
    panics: bool,
    told: Option<std::sync::mpsc::Sender<Result<(), NodeError>>>,
}

impl Machine for Selfish {
    fn handle_input(&mut self, _: Instant, input: Input<'_>) {
        assert!(!self.panics || !matches!(input, Input::Bound { .. }), "on purpose");
    }

    fn poll_output(&mut self) -> Option<Output> {
        let addr = (Ipv4Addr::LOCALHOST, 0).into();
        self.panics.then_some(Output::Bind { socket: SocketId(1), proto: Proto::Udp, addr })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

impl Drop for Selfish {
    fn drop(&mut self) {
        if let (Some(node), Some(told)) = (self.node.as_ref().and_then(WeakNodeHandle::upgrade), &self.told) {
            let _ = told.send(node.with(|_, _| ()));
        }
    }
}

#[test]
fn a_machine_that_goes_may_use_its_handle() {
    for panics in [false, true] {
        let node = sansip_blocking::spawn(Selfish::default()).expect("there are threads");
        let (tell, told) = std::sync::mpsc::channel();
        let own = node.downgrade();
        let wait = |grace| {
            let node = node.clone();
            std::thread::spawn(move || node.stop(grace))
        };
        let before = panics.then(|| wait(Duration::from_secs(60)));
        node.with(|machine, _| {
            (machine.node, machine.panics, machine.told) = (Some(own), panics, Some(tell))
        })
        .expect("the node runs");
        let after = (!panics).then(|| wait(Duration::ZERO));
        assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(Err(NodeError::Gone)), "{panics}");
        let waiting = before.or(after).expect("there is one");
        waiting.join().expect("whoever waits for the end learns of it");
        assert!(node.is_gone());
    }
}

#[test]
fn a_flood_does_not_starve_the_mailbox() {
    let node = sansip_blocking::spawn(Probe::echo()).expect("there are threads");
    let addr = bind(&node, 1, Proto::Udp, (Ipv4Addr::LOCALHOST, 0).into()).expect("loopback can be bound");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let flood = std::thread::spawn(move || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
        while stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
            let _ = socket.send_to(&[0; 400], addr);
        }
    });
    let began = std::time::Instant::now();
    for _ in 0..20 {
        node.with(|_, _| ()).expect("the node runs");
    }
    assert!(began.elapsed() < Duration::from_secs(4), "20 letters took {:?}", began.elapsed());
    drop(stop);
    flood.join().expect("the flood does not panic");
}

fn unreachable(node: &NodeHandle<Probe>) -> (SocketAddr, Unreachable) {
    await_seen(node, |seen| match seen {
        Seen::Unreachable(remote, why) => Some((*remote, *why)),
        _ => None,
    })
}

fn connect(node: &NodeHandle<Probe>, conn: u64, remote: SocketAddr) {
    let output = Output::Connect { conn: ConnId(conn), proto: Proto::Tcp, remote, name: None };
    node.with(move |probe, _| probe.ask(output)).expect("the node runs");
}

fn closed(node: &NodeHandle<Probe>, conn: u64) -> Option<IoKind> {
    let end = move |seen: &Seen| match seen {
        Seen::Closed(id, error) if *id == ConnId(conn) => Some(*error),
        _ => None,
    };
    await_seen(node, end)
}
