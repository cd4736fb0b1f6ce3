use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use sansip::{
    Answer, ClientEnd, Config, Cx, DialogChange, DialogEnd, DialogHandle, Endpoint, Host, IoKind, Method,
    Outgoing, Pending, Proto, Question, Reply, SendError, Service, SocketId, StatusCode,
};
use sansip_blocking::{NodeError, NodeHandle, RequestError, now, seed, spawn};

/// Leaves its calls to another thread, and tells a test what it lives through.
struct Bob {
    told: Sender<Told>,
}

#[derive(Debug)]
enum Told {
    Bound(Result<SocketAddr, IoKind>),
    Rings(Pending<Reply>),
    Ended(DialogEnd),
}

impl Service for Bob {
    fn init(&mut self, cx: &mut Cx<'_>) {
        cx.listen(Proto::Udp, (Ipv4Addr::LOCALHOST, 0).into()).expect("it is the first socket");
    }

    fn invite(&mut self, _: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        let (pending, later) = question.defer();
        let _ = self.told.send(Told::Rings(pending));
        later
    }

    fn dialog(&mut self, _: &mut Cx<'_>, _: DialogHandle, change: DialogChange) {
        if let DialogChange::Ended(end) = change {
            let _ = self.told.send(Told::Ended(end));
        }
    }

    fn bound(&mut self, _: &mut Cx<'_>, _: SocketId, proto: Proto, result: Result<SocketAddr, IoKind>) {
        if proto == Proto::Tcp {
            let _ = self.told.send(Told::Bound(result));
        }
    }
}

struct Node {
    node: NodeHandle<Host<Bob>>,
    addr: SocketAddr,
    told: Receiver<Told>,
}

impl Node {
    fn start() -> Self {
        let seed = seed().expect("the system has randomness");
        // TCP cannot follow UDP to a port that another program of this host has taken meanwhile.
        let found = (0..10).find_map(|_| {
            let (tell, told) = channel();
            let endpoint = Endpoint::new(Config::default(), &seed, now()).expect("the default is usable");
            let node = spawn(Host::new(endpoint, Bob { told: tell })).expect("there are threads");
            match next(&told) {
                Told::Bound(Ok(addr)) => Some(Self { node, addr, told }),
                Told::Bound(Err(IoKind::AddressInUse)) => None,
                other => panic!("it is bound first, not {other:?}"),
            }
        });
        found.expect("one of ten ports is free")
    }

    /// Lets all that is left run out in the node's own time, in which nobody answers any more.
    fn rest(&self) {
        let idle = self.node.with(|host, now| {
            sansip_sim::silence(host, now);
            host.endpoint().is_idle()
        });
        assert_eq!(idle, Ok(true));
    }

    fn uri(&self) -> sansip::UriBuf {
        format!("sip:bob@{}", self.addr).parse().expect("it is a URI")
    }
}

#[test]
fn requests_get_their_final_response() {
    let (alice, bob) = (Node::start(), Node::start());
    let port = bob.addr.port();
    for host in
        [format!("127.0.0.1:{port}"), format!("127.0.0.1:{port};transport=tcp"), format!("localhost:{port}")]
    {
        let uri = format!("sip:bob@{host}").parse().expect("it is a URI");
        let response = alice.node.request(Outgoing::options(uri));
        assert_eq!(response.map(|response| response.status()), Ok(StatusCode::OK), "{host}");
    }
    let declined = alice.node.request(Outgoing::new(Method::Message, bob.uri()));
    assert_eq!(declined.map(|response| response.status()), Ok(StatusCode::DECLINE));
    for node in [alice, bob] {
        node.rest();
    }
}

#[test]
fn a_call_is_answered_from_another_thread() {
    let (alice, bob) = (Node::start(), Node::start());
    let sent = alice.node.send(Outgoing::invite(bob.uri())).expect("it can be sent");
    let Told::Rings(pending) = next(&bob.told) else { panic!("it rings first") };
    let node = bob.node.clone();
    let answering = thread::spawn(move || {
        node.with_service(|_, cx| cx.provisional(&pending, Reply::ringing()))
            .expect("the node runs")
            .expect("it rings");
        node.with_service(|_, cx| cx.answer(pending, Reply::ok().sdp("v=0\r\n"))).expect("the node runs")
    });
    assert_eq!(sent.provisional().map(|ringing| ringing.response.status()), Some(StatusCode::RINGING));
    let answered = sent.finish().expect("it is answered");
    assert_eq!(answered.response.status(), StatusCode::OK);
    assert_eq!(answering.join().expect("it does not panic"), Ok(()));
    let dialog = answered.dialog.expect("a 2xx to INVITE makes a dialog");
    let bye = alice.node.with_service(|_, cx| cx.ack(dialog, None).and_then(|()| cx.bye(dialog)));
    assert_eq!(bye, Ok(Ok(())));
    let ended = next(&bob.told);
    assert!(matches!(ended, Told::Ended(DialogEnd::RemoteBye)), "{ended:?}");
    for node in [alice, bob] {
        node.rest();
    }
}

#[test]
fn a_cancelled_invite_ends_with_487() {
    let (alice, bob) = (Node::start(), Node::start());
    let sent = alice.node.send(Outgoing::invite(bob.uri())).expect("it can be sent");
    let Told::Rings(pending) = next(&bob.told) else { panic!("it rings first") };
    let rings = bob.node.with_service(|_, cx| cx.provisional(&pending, Reply::ringing()));
    assert_eq!(rings, Ok(Ok(())));
    assert!(sent.provisional().is_some());
    alice.node.cancel(sent.client()).expect("the node runs");
    assert!(sent.provisional().is_none(), "nothing provisional follows the end");
    let end = sent.finish().map(|received| received.response.status());
    assert_eq!(end, Ok(StatusCode::REQUEST_TERMINATED));
    let late = bob.node.with_service(|_, cx| cx.answer(pending, Reply::ok()));
    assert_eq!(late, Ok(Err(sansip::Gone)));
    for node in [alice, bob] {
        node.rest();
    }
}

#[test]
fn requests_that_get_no_response_tell_why() {
    let alice = Node::start();
    let v6 = Outgoing::options("sip:bob@[::1]:5060".parse().expect("it is a URI"));
    let refused = alice.node.request(v6);
    assert_eq!(refused, Err(RequestError::Send(SendError::NoSocket(Proto::Udp))));
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
    let addr = free.local_addr().expect("it is bound");
    drop(free);
    let tcp = format!("sip:bob@{addr};transport=tcp").parse().expect("it is a URI");
    let refused = alice.node.request(Outgoing::options(tcp));
    assert_eq!(refused, Err(RequestError::Ended(ClientEnd::Transport(IoKind::Refused))));
    // A peer that never answers, until the node goes.
    let silent = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
    let uri = format!("sip:{}", silent.local_addr().expect("it is bound")).parse().expect("it is a URI");
    let sent = alice.node.send(Outgoing::options(uri)).expect("it can be sent");
    alice.node.stop(Duration::ZERO);
    let gone = sent.finish().map(|received| received.response);
    assert_eq!(gone, Err(RequestError::Node(NodeError::Gone)));
}

#[test]
fn shutting_down_ends_calls_and_node() {
    let (alice, bob) = (Node::start(), Node::start());
    let sent = alice.node.send(Outgoing::invite(bob.uri())).expect("it can be sent");
    let Told::Rings(_pending) = next(&bob.told) else { panic!("it rings first") };
    bob.node.shutdown(Duration::from_secs(1));
    assert!(bob.node.is_gone());
    let end = sent.finish().expect("the caller is told").response.status();
    assert!(end.is_final() && !end.is_success(), "{end}");
    alice.rest();
}

fn next(told: &Receiver<Told>) -> Told {
    told.recv_timeout(Duration::from_secs(10)).expect("it takes no 10 seconds")
}
