//! What a node takes and leaves behind. Alone in its process, so that it may count threads and files.
#![cfg(target_os = "linux")]

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use sansip::{CloseHow, ConnId, Input, Machine, Output, Proto, QueryId, RecordKind, SocketId};
use sansip_blocking::NodeHandle;

/// Holds connections in every state, some of them stuck.
#[derive(Default)]
struct Busy {
    outputs: Vec<Output>,
    bound: Arc<Mutex<Vec<SocketAddr>>>,
    accepted: usize,
    resolved: usize,
}

impl Machine for Busy {
    fn handle_input(&mut self, _: sansip::Instant, input: Input<'_>) {
        match input {
            Input::Bound { result, .. } => {
                self.bound.lock().expect("nobody panics").push(result.expect("loopback can be bound"));
            }
            Input::Accepted { conn, .. } => {
                self.accepted += 1;
                // One idles, one has more to write than its peer reads, one is closing with as much unsent.
                if let 2 | 3 = self.accepted {
                    self.outputs.push(Output::Send { conn, data: Bytes::from(vec![0; 32 << 20]) });
                }
                if self.accepted == 3 {
                    self.outputs.push(Output::Close { conn, how: CloseHow::Flush });
                }
            }
            Input::Received { conn, data } => {
                self.outputs.push(Output::Send { conn, data: Bytes::copy_from_slice(data) });
            }
            Input::Resolved { .. } => self.resolved += 1,
            _ => {}
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        (!self.outputs.is_empty()).then(|| self.outputs.remove(0))
    }

    fn poll_timeout(&self) -> Option<sansip::Instant> {
        None
    }
}

#[test]
fn a_node_is_one_thread_and_leaves_nothing() {
    let limit = rlimit::increase_nofile_limit(4096).expect("a process may ask");
    assert!(limit > 2 * PEERS as u64 + 100, "{limit} files are too few");
    let threads = count("task");
    // The first look-up opens what the runtime under it keeps for the whole process.
    look_a_name_up(&sansip_blocking::spawn(Busy::default()).expect("there are threads"));
    eventually("the first node is gone", || count("task") == threads);
    let files = count("fd");
    let bound = Arc::default();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let full = full_listener();
    let mut outputs: Vec<_> = [(1, Proto::Udp), (2, Proto::Tcp)]
        .map(|(id, proto)| Output::Bind { socket: SocketId(id), proto, addr: any })
        .into();
    outputs.push(Output::Connect { conn: ConnId(2), proto: Proto::Tcp, remote: full.0, name: None });
    let machine = Busy { outputs, bound: Arc::clone(&bound), ..Busy::default() };
    let node = sansip_blocking::spawn(machine).expect("there are threads");
    let addr = bound.lock().expect("nobody panics")[1];
    let mut peers: Vec<_> = (0..3).map(|_| TcpStream::connect(addr).expect("it listens")).collect();
    eventually("three are accepted", || node.with(|busy, _| busy.accepted).expect("it runs") == 3);
    for _ in 3..PEERS {
        let mut peer = TcpStream::connect(addr).expect("it listens");
        peer.write_all(b"hello").expect("it is open");
        peers.push(peer);
    }
    for mut peer in peers.iter().skip(3) {
        peer.set_read_timeout(Some(Duration::from_secs(10))).expect("the time is not zero");
        peer.read_exact(&mut [0; 5]).expect("each is served");
    }
    assert_eq!(count("task"), threads + 1, "one thread for {PEERS} connections");
    look_a_name_up(&node);
    assert_eq!(count("task"), threads + 2, "one more for look-ups");
    let began = Instant::now();
    node.stop(Duration::ZERO);
    assert!(began.elapsed() < Duration::from_secs(8), "stuck peers held it up for {:?}", began.elapsed());
    // Resets leave no ports in TIME-WAIT to those who come next.
    for peer in &peers {
        socket2::SockRef::from(peer).set_linger(Some(Duration::ZERO)).expect("it is open");
    }
    drop((node, peers, full));
    // A thread tells its end a moment before the kernel sees it.
    eventually("nothing is left", || count("task") == threads && count("fd") == files);
}

fn look_a_name_up(node: &NodeHandle<Busy>) {
    let name = "localhost".parse().expect("it is a name");
    let query = Output::Resolve { query: QueryId(1), name, kind: RecordKind::A };
    node.with(|busy, _| busy.outputs.push(query)).expect("it runs");
    eventually("a name is looked up", || node.with(|busy, _| busy.resolved).expect("it runs") == 1);
}

/// Returns a listener whose queue is full, so that connecting to it hangs.
fn full_listener() -> (SocketAddr, socket2::Socket, Vec<socket2::Socket>) {
    let open =
        || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("there are files");
    let listener = open();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("loopback can be bound");
    listener.listen(0).expect("it is bound");
    let addr = listener.local_addr().expect("it is bound").as_socket().expect("it is IPv4");
    let fill = |_| {
        let socket = open();
        let _ = socket.connect_timeout(&addr.into(), Duration::from_millis(100));
        socket
    };
    (addr, listener, (0..3).map(fill).collect())
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(
            Instant::now() < deadline,
            "not so: {what}; {} threads, {} files",
            count("task"),
            count("fd")
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).expect("Linux has it").count()
}

const PEERS: usize = 1000;
