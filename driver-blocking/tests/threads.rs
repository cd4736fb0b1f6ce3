//! What a node leaves behind: nothing. Alone in its process, so that it may count threads and files.
#![cfg(target_os = "linux")]

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use sansip::{CloseHow, ConnId, Input, Machine, Output, Proto, SocketId};

/// Holds connections in every state, some of them stuck.
#[derive(Default)]
struct Busy {
    outputs: Vec<Output>,
    bound: Arc<Mutex<Vec<SocketAddr>>>,
    accepted: usize,
    stuck: Option<SocketAddr>,
}

impl Machine for Busy {
    fn handle_input(&mut self, _: sansip::Instant, input: Input<'_>) {
        match input {
            Input::Bound { result, .. } => {
                self.bound.lock().expect("nobody panics").push(result.expect("loopback can be bound"));
            }
            Input::Accepted { conn, .. } => {
                self.accepted += 1;
                // One idles, one has a writer stuck, one is closing with a writer stuck.
                if self.accepted > 1 {
                    self.outputs.push(Output::Send { conn, data: Bytes::from(vec![0; 32 << 20]) });
                }
                if self.accepted > 2 {
                    self.outputs.push(Output::Close { conn, how: CloseHow::Flush });
                }
            }
            _ => {}
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        if let Some(remote) = self.stuck.take() {
            return Some(Output::Connect { conn: ConnId(2), proto: Proto::Tcp, remote, name: None });
        }
        (!self.outputs.is_empty()).then(|| self.outputs.remove(0))
    }

    fn poll_timeout(&self) -> Option<sansip::Instant> {
        None
    }
}

#[test]
fn a_node_leaves_no_thread_and_no_file() {
    let (threads, files) = (count("task"), count("fd"));
    let bound = Arc::default();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let full = full_listener();
    let machine = Busy {
        outputs: [(1, Proto::Udp), (2, Proto::Tcp)]
            .map(|(id, proto)| Output::Bind { socket: SocketId(id), proto, addr: any })
            .into(),
        bound: Arc::clone(&bound),
        accepted: 0,
        stuck: Some(full.0),
    };
    let node = sansip_blocking::spawn(machine).expect("there are threads");
    let addr = bound.lock().expect("nobody panics")[1];
    let peers: Vec<_> = (0..3).map(|_| TcpStream::connect(addr).expect("it listens")).collect();
    (&peers[0]).write_all(b"hello").expect("it is open");
    let deadline = Instant::now() + Duration::from_secs(10);
    // Timer, datagrams, accepting, connecting, three readers, two writers.
    while count("task") < threads + 9 {
        assert!(Instant::now() < deadline, "{} threads", count("task") - threads);
        std::thread::sleep(Duration::from_millis(5));
    }
    let began = Instant::now();
    node.stop(Duration::ZERO);
    assert!(began.elapsed() < Duration::from_secs(8), "stuck peers held it up for {:?}", began.elapsed());
    drop((node, peers, full));
    // A thread tells its end a moment before the kernel sees it.
    let deadline = Instant::now() + Duration::from_secs(2);
    while count("task") > threads || count("fd") > files {
        assert!(Instant::now() < deadline, "{} threads, {} files", count("task"), count("fd"));
        std::thread::sleep(Duration::from_millis(5));
    }
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

fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).expect("Linux has it").count()
}
