//! What the driver does with real sockets. Each test is written once, and runs under smol and under async-std.

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    time::Duration,
};

use async_channel::{Receiver, Sender, unbounded};
use bytes::Bytes;
use futures_lite::FutureExt as _;
use sansip::{
    CloseHow, ConnId, Input, Instant, IoKind, Machine, Output, Proto, QueryId, RecordKind, Records, SocketId,
    Unreachable,
};
use sansip_smol::{NodeError, NodeHandle, node};

/// Sends back what it gets, and tells of all else.
struct Echo {
    outputs: Vec<Output>,
    told: Sender<Told>,
}

#[derive(Debug, PartialEq)]
enum Told {
    Bound(SocketAddr),
    Datagram(Vec<u8>),
    Connected,
    Received(Vec<u8>),
    Closed(Option<IoKind>),
    Unreachable(SocketAddr, Unreachable),
    Found(Records),
}

impl Machine for Echo {
    fn handle_input(&mut self, _: Instant, input: Input<'_>) {
        let told = match input {
            Input::Bound { result, .. } => Told::Bound(result.expect("loopback can be bound")),
            Input::Datagram { socket, local, remote, payload } => {
                if payload == b"ask" {
                    let payload = Bytes::from_static(b"answer");
                    self.outputs.push(Output::Transmit { socket, local, remote, payload });
                }
                Told::Datagram(payload.to_vec())
            }
            Input::Connected { .. } => Told::Connected,
            Input::Received { conn, data } => {
                if data == b"ask" {
                    self.outputs.push(Output::Send { conn, data: Bytes::from_static(b"answer") });
                }
                Told::Received(data.to_vec())
            }
            Input::Closed { error, .. } => Told::Closed(error),
            Input::Unreachable { remote, why, .. } => Told::Unreachable(remote, why),
            Input::Resolved { result, .. } => Told::Found(result.expect("the hosts file knows it")),
            _ => return,
        };
        // The test may have ended.
        let _ = self.told.try_send(told);
    }

    fn poll_output(&mut self) -> Option<Output> {
        (!self.outputs.is_empty()).then(|| self.outputs.remove(0))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// A node and what it tells.
struct Party {
    node: NodeHandle<Echo>,
    told: Receiver<Told>,
}

impl Party {
    fn start(spawn: Spawn) -> Self {
        Self::asking(spawn, Vec::new())
    }

    /// Starts one that asks these name servers.
    fn asking(spawn: Spawn, servers: Vec<SocketAddr>) -> Self {
        let (told, tells) = unbounded();
        let (waiting, handle) = node();
        let running = waiting.name_servers(servers).run(Echo { outputs: Vec::new(), told });
        spawn(async move { drop(running.await) }.boxed());
        Self { node: handle, told: tells }
    }

    async fn wants(&self, output: Output) {
        self.node.with(move |echo, _| echo.outputs.push(output)).await.expect("it runs");
    }

    async fn bind(&self, proto: Proto) -> SocketAddr {
        self.wants(Output::Bind { socket: ID, proto, addr: any() }).await;
        match self.next().await {
            Told::Bound(addr) => addr,
            other => panic!("not bound but {other:?}"),
        }
    }

    async fn connect(&self, remote: SocketAddr) {
        self.wants(Output::Connect { conn: CONN, proto: Proto::Tcp, remote, name: None }).await;
    }

    async fn transmit(&self, local: SocketAddr, remote: SocketAddr) {
        let payload = Bytes::from_static(b"ask");
        self.wants(Output::Transmit { socket: ID, local, remote, payload }).await;
    }

    async fn next(&self) -> Told {
        let late = async {
            async_io::Timer::after(Duration::from_secs(10)).await;
            panic!("nothing came")
        };
        async { self.told.recv().await.expect("it runs") }.or(late).await
    }
}

async fn udp_asks_and_answers(spawn: Spawn) {
    let (alice, bob) = (Party::start(spawn), Party::start(spawn));
    let (from, to) = (alice.bind(Proto::Udp).await, bob.bind(Proto::Udp).await);
    alice.transmit(from, to).await;
    assert_eq!(bob.next().await, Told::Datagram(b"ask".into()));
    assert_eq!(alice.next().await, Told::Datagram(b"answer".into()));
}

async fn tcp_asks_answers_and_ends(spawn: Spawn) {
    let (alice, bob) = (Party::start(spawn), Party::start(spawn));
    alice.connect(bob.bind(Proto::Tcp).await).await;
    assert_eq!(alice.next().await, Told::Connected);
    alice.wants(Output::Send { conn: CONN, data: Bytes::from_static(b"ask") }).await;
    assert_eq!(bob.next().await, Told::Received(b"ask".into()));
    assert_eq!(alice.next().await, Told::Received(b"answer".into()));
    alice.wants(Output::Close { conn: CONN, how: CloseHow::Flush }).await;
    assert_eq!((bob.next().await, alice.next().await), (Told::Closed(None), Told::Closed(None)));
}

async fn a_refused_connection_is_told(spawn: Spawn) {
    let alice = Party::start(spawn);
    let listener = TcpListener::bind(any()).expect("loopback can be bound");
    let nobody = listener.local_addr().expect("it is bound");
    drop(listener);
    alice.connect(nobody).await;
    assert_eq!(alice.next().await, Told::Closed(Some(IoKind::Refused)));
}

/// TP-13.
async fn a_closed_port_is_told(spawn: Spawn) {
    let alice = Party::start(spawn);
    let from = alice.bind(Proto::Udp).await;
    let socket = UdpSocket::bind(any()).expect("loopback can be bound");
    let nobody = socket.local_addr().expect("it is bound");
    drop(socket);
    alice.transmit(from, nobody).await;
    assert_eq!(alice.next().await, Told::Unreachable(nobody, Unreachable::Icmp));
}

async fn a_name_is_looked_up(spawn: Spawn) {
    let alice = Party::start(spawn);
    let name = "localhost".parse().expect("it is a name");
    alice.wants(Output::Resolve { query: QueryId(1), name, kind: RecordKind::A }).await;
    match alice.next().await {
        Told::Found(Records::Addresses { addresses, .. }) => assert_eq!(addresses, [any().ip()]),
        other => panic!("not found but {other:?}"),
    }
}

async fn name_servers_of_ones_own_are_asked(spawn: Spawn) {
    let server = UdpSocket::bind(any()).expect("loopback has ports");
    server.set_read_timeout(Some(Duration::from_secs(10))).expect("it is more than none");
    let alice = Party::asking(spawn, vec![server.local_addr().expect("it is bound")]);
    let name = "pc.example.com".parse().expect("it is a name");
    alice.wants(Output::Resolve { query: QueryId(1), name, kind: RecordKind::A }).await;
    let mut query = [0; 512];
    let (len, from) = server.recv_from(&mut query).expect("it is asked");
    // RFC 1035 §4.1: the query's id, an answer, and its question, which ends with type and class A and IN.
    let question = query[12..len].windows(5).position(|end| end == [0, 0, 1, 0, 1]).expect("for an A record");
    let mut answer = [&query[..2], &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0], &query[12..17 + question]].concat();
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
    server.send_to(&answer, from).expect("loopback takes it");
    match alice.next().await {
        Told::Found(Records::Addresses { addresses, .. }) => {
            assert_eq!(addresses, [std::net::IpAddr::from([192, 0, 2, 7])]);
        }
        other => panic!("not found but {other:?}"),
    }
}

async fn a_stopped_node_is_gone(spawn: Spawn) {
    let alice = Party::start(spawn);
    let addr = alice.bind(Proto::Tcp).await;
    assert!(!alice.node.is_gone());
    alice.node.stop(Duration::ZERO).await;
    assert!(alice.node.is_gone());
    assert_eq!(alice.node.with(|_, _| ()).await, Err(NodeError::Gone));
    assert!(std::net::TcpStream::connect(addr).is_err(), "nobody listens any more");
}

async fn a_letter_to_a_node_that_never_runs_comes_back(_: Spawn) {
    let (waiting, handle) = node::<Echo>();
    let asking = handle.with(|_, _| ());
    let dropping = async {
        drop(waiting);
        std::future::pending().await
    };
    assert_eq!(asking.or(dropping).await, Err(NodeError::Gone));
}

type Spawn = fn(futures_lite::future::Boxed<()>);

macro_rules! under_both {
    ($($test:ident)*) => {
        mod under_smol {
            $(#[test] fn $test() {
                smol::block_on(super::$test(|future| smol::spawn(future).detach()));
            })*
        }
        mod under_async_std {
            $(#[test] fn $test() {
                async_std::task::block_on(super::$test(|future| drop(async_std::task::spawn(future))));
            })*
        }
    };
}

under_both! {
    udp_asks_and_answers
    tcp_asks_answers_and_ends
    a_refused_connection_is_told
    a_name_is_looked_up
    name_servers_of_ones_own_are_asked
    a_stopped_node_is_gone
    a_letter_to_a_node_that_never_runs_comes_back
}

#[cfg(target_os = "linux")]
mod on_linux {
    use super::*;

    /// RFC 3261 §18.2.2, RFC 3581 §4.
    async fn the_address_asked_answers(spawn: Spawn) {
        let bob = Party::start(spawn);
        let all = SocketAddr::from(([0, 0, 0, 0], 0));
        bob.wants(Output::Bind { socket: ID, proto: Proto::Udp, addr: all }).await;
        let Told::Bound(bound) = bob.next().await else { panic!("not bound") };
        let asked = SocketAddr::from(([127, 0, 0, 2], bound.port()));
        let alice = UdpSocket::bind(any()).expect("loopback can be bound");
        alice.set_read_timeout(Some(Duration::from_secs(10))).expect("it is not zero");
        alice.send_to(b"ask", asked).expect("loopback takes it");
        assert_eq!(bob.next().await, Told::Datagram(b"ask".into()));
        let answer = smol::unblock(move || alice.recv_from(&mut [0; 9])).await;
        assert_eq!(answer.ok(), Some((6, asked)));
    }

    #[test]
    fn the_address_asked_answers_under_smol() {
        smol::block_on(the_address_asked_answers(|future| smol::spawn(future).detach()));
    }

    #[test]
    fn a_closed_port_is_told_under_smol() {
        smol::block_on(a_closed_port_is_told(|future| smol::spawn(future).detach()));
    }

    #[test]
    fn a_closed_port_is_told_under_async_std() {
        async_std::task::block_on(a_closed_port_is_told(|future| drop(async_std::task::spawn(future))));
    }
}

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

const ID: SocketId = SocketId(1);
const CONN: ConnId = ConnId(2);
