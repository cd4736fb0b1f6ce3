use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use bytes::Bytes;
use sansip::{
    CloseHow, ConnId, DnsError, IoKind, Output, Proto, QueryId, RecordKind, Records, SocketId, Unreachable,
};
use sansip_tokio::{NodeError, NodeHandle};

use crate::probe::{self, Probe, Seen, await_seen, bind, limited, peer};

#[tokio::test]
async fn datagrams_come_back() {
    let node = sansip_tokio::spawn(Probe::echo());
    for (id, any) in [(1, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))), (2, (Ipv6Addr::LOCALHOST, 0).into())] {
        let addr = bind(&node, id, Proto::Udp, any).await.expect("loopback can be bound");
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
        assert_eq!(got.await, 200);
    }
}

#[tokio::test]
async fn a_burst_is_answered_whole() {
    let node = sansip_tokio::spawn(Probe::echo());
    let addr =
        bind(&node, 1, Proto::Udp, (Ipv4Addr::LOCALHOST, 0).into()).await.expect("loopback can be bound");
    // More than one round takes, and within the smallest receive buffer of the client.
    let answers = peer(move || {
        let socket = limited(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
        for n in 0..150_u8 {
            socket.send_to(&[n], addr)?;
        }
        let mut buffer = [0; 10];
        (0..150).map(|_| socket.recv_from(&mut buffer).map(|_| buffer[0])).collect::<Result<Vec<_>, _>>()
    });
    assert_eq!(answers.await, (0..150).collect::<Vec<u8>>(), "each once, in order");
}

/// RFC 3261 §18.2.2, RFC 3581 §4: one at a time and in a burst.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_socket_bound_to_all_addresses_answers_from_the_one_asked() {
    let node = sansip_tokio::spawn(Probe::echo());
    let any = (Ipv4Addr::UNSPECIFIED, 0).into();
    let port = bind(&node, 1, Proto::Udp, any).await.expect("it can be bound").port();
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
    assert_eq!(answered.await, expected);
}

#[tokio::test]
async fn a_taken_address_is_told() {
    let node = sansip_tokio::spawn(Probe::echo());
    for (id, proto) in [(1, Proto::Udp), (3, Proto::Tcp)] {
        let addr =
            bind(&node, id, proto, (Ipv4Addr::LOCALHOST, 0).into()).await.expect("loopback can be bound");
        assert_eq!(bind(&node, id + 1, proto, addr).await, Err(IoKind::AddressInUse), "{proto}");
    }
    let foreign = SocketAddr::from(([192, 0, 2, 1], 0));
    assert_eq!(bind(&node, 5, Proto::Udp, foreign).await, Err(IoKind::AddressNotAvailable));
}

#[tokio::test]
async fn datagrams_too_big_are_told() {
    let node = sansip_tokio::spawn(Probe::echo());
    let addr =
        bind(&node, 1, Proto::Udp, (Ipv4Addr::LOCALHOST, 0).into()).await.expect("loopback can be bound");
    let remote = addr;
    let send = move |probe: &mut Probe, len: usize| {
        let payload = Bytes::from(vec![b'x'; len]);
        probe.ask(Output::Transmit { socket: SocketId(1), local: addr, remote, payload });
    };
    node.with(move |probe, _| send(probe, 65_508)).await.expect("the node runs");
    assert_eq!(unreachable(&node).await, (remote, Unreachable::TooBig));
}

/// TP-13. The socket goes on, also for what is sent while a complaint about something else is pending.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn datagrams_to_a_closed_port_are_told() {
    for any in [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), (Ipv6Addr::LOCALHOST, 0).into()] {
        let node = sansip_tokio::spawn(Probe::echo());
        let local = bind(&node, 1, Proto::Udp, any).await.expect("loopback can be bound");
        let open = || limited(UdpSocket::bind(any).expect("loopback can be bound"));
        let (dead, alive) = (open(), open());
        let addr = |socket: &UdpSocket| socket.local_addr().expect("it is bound");
        let (nobody, somebody) = (addr(&dead), addr(&alive));
        drop(dead);
        let transmit = move |remote| Output::Transmit {
            socket: SocketId(1),
            local,
            remote,
            payload: Bytes::from_static(b"ping"),
        };
        let outputs = [nobody, somebody, nobody, somebody].map(transmit);
        node.with(move |probe, _| outputs.into_iter().for_each(|output| probe.ask(output)))
            .await
            .expect("the node runs");
        assert_eq!(unreachable(&node).await, (nobody, Unreachable::Icmp));
        let got = peer(move || {
            for _ in 0..2 {
                alive.recv_from(&mut [0; 9])?;
            }
            alive.send_to(b"pong", local)?;
            alive.recv_from(&mut [0; 9])
        });
        assert_eq!(got.await, (4, local), "what comes is read and answered as before");
        // Once more, when the socket has had an error already.
        node.with(move |probe, _| probe.ask(transmit(nobody))).await.expect("the node runs");
        let about = Seen::Unreachable(nobody, Unreachable::Icmp);
        let all = move |probe: &Probe| {
            let told = probe.seen.iter().filter(|seen| matches!(seen, Seen::Unreachable(..)));
            (told.clone().count() == 3 && told.clone().all(|seen| *seen == about)).then_some(())
        };
        probe::await_state(&node, all).await;
    }
}

#[tokio::test]
async fn streams_come_back_in_any_size() {
    let node = sansip_tokio::spawn(Probe::echo());
    let addr =
        bind(&node, 1, Proto::Tcp, (Ipv4Addr::LOCALHOST, 0).into()).await.expect("loopback can be bound");
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
    })
    .await;
    let odd = |seen: &Seen| matches!(seen, Seen::Accepted(ConnId(id)) if id % 2 == 1);
    let accepted = node.with(move |probe, _| probe.seen.iter().filter(|seen| odd(seen)).count()).await;
    assert_eq!(accepted, Ok(4), "accepted connections have odd names");
}

#[tokio::test]
async fn connections_open_or_are_refused() {
    let node = sansip_tokio::spawn(Probe::echo());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
    let addr = listener.local_addr().expect("it is bound");
    connect(&node, 2, addr).await;
    await_seen(&node, |seen| (*seen == Seen::Connected(ConnId(2))).then_some(())).await;
    drop(listener);
    connect(&node, 4, addr).await;
    assert_eq!(closed(&node, 4).await, Some(IoKind::Refused));
}

#[tokio::test]
async fn a_peer_that_leaves_is_told() {
    let node = sansip_tokio::spawn(Probe::echo());
    let addr =
        bind(&node, 1, Proto::Tcp, (Ipv4Addr::LOCALHOST, 0).into()).await.expect("loopback can be bound");
    peer(move || TcpStream::connect(addr).map(drop)).await;
    assert_eq!(closed(&node, 1).await, None, "in order");
    peer(move || {
        let stream = TcpStream::connect(addr)?;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
    })
    .await;
    assert_eq!(closed(&node, 3).await, Some(IoKind::Reset));
}

#[tokio::test]
async fn what_was_asked_before_the_end_is_still_answered() {
    let node = sansip_tokio::spawn(Probe::echo());
    let addr =
        bind(&node, 1, Proto::Tcp, (Ipv4Addr::LOCALHOST, 0).into()).await.expect("loopback can be bound");
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
    assert_eq!(got.await, 4 << 20, "a half-closed peer gets all of its answer");
}

#[tokio::test]
async fn a_slow_reader_holds_up_nobody() {
    const TOTAL: usize = 16 << 20;
    let node = sansip_tokio::spawn(Probe::echo());
    let addr =
        bind(&node, 1, Proto::Tcp, (Ipv4Addr::LOCALHOST, 0).into()).await.expect("loopback can be bound");
    let mut slow = peer(move || TcpStream::connect(addr).map(limited)).await;
    await_seen(&node, |seen| (*seen == Seen::Accepted(ConnId(1))).then_some(())).await;
    let fill = move |probe: &mut Probe| {
        for _ in 0..TOTAL / 65_536 {
            probe.ask(Output::Send { conn: ConnId(1), data: Bytes::from(vec![9; 65_536]) });
        }
    };
    node.with(move |probe, _| fill(probe)).await.expect("the node runs");
    // Another connection is served while the first one is stuck.
    peer(move || {
        let mut quick = limited(TcpStream::connect(addr)?);
        quick.write_all(b"ping")?;
        quick.read_exact(&mut [0; 4])
    })
    .await;
    let drained = node.with(|probe, _| probe.drained(ConnId(1))).await.expect("the node runs");
    assert!(drained < TOTAL, "{drained} bytes cannot have left yet");
    peer(move || slow.read_exact(&mut vec![0; TOTAL]).map(|()| slow)).await;
    let all = move |probe: &Probe| (probe.drained(ConnId(1)) == TOTAL).then_some(());
    probe::await_state(&node, all).await;
}

#[tokio::test]
async fn closing_flushes_or_resets() {
    let node = sansip_tokio::spawn(Probe::silent());
    let addr =
        bind(&node, 1, Proto::Tcp, (Ipv4Addr::LOCALHOST, 0).into()).await.expect("loopback can be bound");
    for (conn, how) in [(1, CloseHow::Flush), (3, CloseHow::Reset)] {
        let conn = ConnId(conn);
        let mut stream = peer(move || {
            let mut stream = limited(TcpStream::connect(addr)?);
            // Bytes that nobody reads must not turn an orderly end into a reset.
            stream.write_all(&[1; 10_000])?;
            Ok(stream)
        })
        .await;
        await_seen(&node, move |seen| (*seen == Seen::Accepted(conn)).then_some(())).await;
        let end = move |probe: &mut Probe| {
            probe.ask(Output::Send { conn, data: Bytes::from(vec![5; 8 << 20]) });
            probe.ask(Output::Close { conn, how });
        };
        node.with(move |probe, _| end(probe)).await.expect("the node runs");
        let got = peer(move || {
            std::thread::sleep(Duration::from_millis(100));
            let mut got = Vec::new();
            let end = stream.read_to_end(&mut got).map_err(|error| error.kind());
            Ok((got.len(), end.is_err()))
        })
        .await;
        match how {
            CloseHow::Flush => {
                assert_eq!(got, (8 << 20, false));
                assert_eq!(closed(&node, conn.0).await, None, "its end is told when the peer's has come");
            }
            CloseHow::Reset => assert!(got.0 < 8 << 20 && got.1, "{got:?}"),
        }
    }
}

#[tokio::test]
async fn timers_fire_in_time() {
    let node = sansip_tokio::spawn(Probe::silent());
    let set = |probe: &mut Probe, now| {
        probe.deadlines = (1..=3).map(|n| now + Duration::from_millis(40) * n).collect()
    };
    node.with(set).await.expect("the node runs");
    probe::await_state(&node, |probe| (probe.fired.len() == 3).then_some(())).await;
    let fired = node.with(|probe, _| probe.fired.clone()).await.expect("the node runs");
    for (due, at) in fired {
        assert!(at >= due, "not early");
        assert!(at.since(due) < Duration::from_millis(500), "{:?} late", at.since(due));
    }
}

#[tokio::test]
async fn the_wall_clock_is_told_first() {
    let node = sansip_tokio::spawn(Probe::silent());
    let first = node.with(|probe, _| probe.seen.first().cloned()).await.expect("the node runs");
    let Some(Seen::Wall(unix)) = first else { panic!("{first:?} came first") };
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("it is after 1970");
    assert!(since.as_millis() as u64 - unix.as_millis() < 10_000);
}

#[tokio::test]
async fn names_of_the_hosts_file_resolve() {
    let node = sansip_tokio::spawn(Probe::silent());
    let name = "localhost".parse().expect("it is a name");
    let ask = move |probe: &mut Probe| {
        probe.ask(Output::Resolve { query: QueryId(1), name, kind: RecordKind::A });
    };
    node.with(move |probe, _| ask(probe)).await.expect("the node runs");
    let answer = await_seen(&node, |seen| match seen {
        Seen::Resolved(result) => Some(result.clone()),
        _ => None,
    });
    let answer: Result<Records, DnsError> = answer.await;
    let Ok(Records::Addresses { addresses, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(addresses, [Ipv4Addr::LOCALHOST]);
}

#[tokio::test]
async fn a_panic_in_a_closure_reaches_its_caller_only() {
    let node = sansip_tokio::spawn(Probe::silent());
    let outcome = node
        .with(|_, _| {
            if true {
                panic!("on purpose")
            }
        })
        .await;
    assert_eq!(outcome, Err(NodeError::Panicked));
    assert_eq!(node.with(|_, _| 7).await, Ok(7), "the node goes on");
}

#[tokio::test]
async fn stopping_waits_for_the_machine_and_leaves_nothing() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let node = sansip_tokio::spawn(Probe::echo());
    let addr =
        bind(&node, 1, Proto::Tcp, (Ipv4Addr::LOCALHOST, 0).into()).await.expect("loopback can be bound");
    let mut stream = peer(move || TcpStream::connect(addr).map(limited)).await;
    await_seen(&node, |seen| (*seen == Seen::Accepted(ConnId(1))).then_some(())).await;
    let set = |probe: &mut Probe, now| {
        probe.deadlines = [now + Duration::from_millis(50)].into();
        probe.stops_after = Some(1);
    };
    node.with(set).await.expect("the node runs");
    let other = node.clone();
    let reading = peer(move || stream.read_to_end(&mut Vec::new()));
    let ending = node.stop(Duration::from_secs(20));
    let began = std::time::Instant::now();
    let (len, ()) = tokio::join!(reading, ending);
    assert_eq!(len, 0, "open connections end in order");
    assert!(began.elapsed() >= Duration::from_millis(45), "not before the machine was done");
    assert!(began.elapsed() < Duration::from_secs(4), "no longer than needed");
    assert_eq!(other.with(|_, _| ()).await, Err(NodeError::Gone));
    assert!(other.is_gone());
    TcpListener::bind(addr).expect("the port is free again");
    probe::eventually(|| tasks() == before).await;
}

#[tokio::test]
async fn stopping_ends_after_its_grace() {
    let node = sansip_tokio::spawn(Probe::silent());
    let began = std::time::Instant::now();
    node.stop(Duration::from_millis(100)).await;
    assert!((95..4000).contains(&began.elapsed().as_millis()));
}

#[tokio::test]
async fn the_last_handle_ends_the_node() {
    let (node, handle) = sansip_tokio::node();
    let weak = handle.downgrade();
    let running = tokio::spawn(node.run(Probe::silent()));
    assert_eq!(weak.upgrade().map(|handle| handle.is_gone()), Some(false));
    drop(handle);
    let machine = tokio::time::timeout(Duration::from_secs(4), running).await;
    let machine = machine.expect("it ends by itself").expect("it does not panic");
    assert!(!machine.seen.is_empty(), "it ran, and comes back");
    assert!(weak.upgrade().is_none());
}

#[tokio::test]
async fn a_flood_does_not_starve_the_mailbox() {
    let node = sansip_tokio::spawn(Probe::echo());
    let addr =
        bind(&node, 1, Proto::Udp, (Ipv4Addr::LOCALHOST, 0).into()).await.expect("loopback can be bound");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let flood = std::thread::spawn(move || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
        while stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
            let _ = socket.send_to(&[0; 400], addr);
        }
    });
    let began = std::time::Instant::now();
    for _ in 0..20 {
        node.with(|_, _| ()).await.expect("the node runs");
    }
    assert!(began.elapsed() < Duration::from_secs(4), "20 letters took {:?}", began.elapsed());
    drop(stop);
    flood.join().expect("the flood does not panic");
}

async fn unreachable(node: &NodeHandle<Probe>) -> (SocketAddr, Unreachable) {
    let told = |seen: &Seen| match seen {
        Seen::Unreachable(remote, why) => Some((*remote, *why)),
        _ => None,
    };
    await_seen(node, told).await
}

async fn connect(node: &NodeHandle<Probe>, conn: u64, remote: SocketAddr) {
    let output = Output::Connect { conn: ConnId(conn), proto: Proto::Tcp, remote, name: None };
    node.with(move |probe, _| probe.ask(output)).await.expect("the node runs");
}

async fn closed(node: &NodeHandle<Probe>, conn: u64) -> Option<IoKind> {
    let end = move |seen: &Seen| match seen {
        Seen::Closed(id, error) if *id == ConnId(conn) => Some(*error),
        _ => None,
    };
    await_seen(node, end).await
}
