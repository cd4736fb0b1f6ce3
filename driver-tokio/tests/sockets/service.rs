use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use sansip::{
    ClientEnd, Config, Cx, DialogChange, DialogEnd, DialogHandle, Endpoint, IoKind, MethodFacts, Outgoing,
    Proto, Reply, SendError, SocketId, StatusCode,
};
use sansip_tokio::{Asked, AsyncNode, AsyncService, NodeError, RequestError, now, seed, spawn_async};
use tokio::sync::{Notify, mpsc};

/// Answers each method in another way, and tells a test what it lives through.
#[derive(Debug)]
struct Bob {
    told: mpsc::UnboundedSender<Told>,
    picked_up: Arc<Notify>,
}

#[derive(Debug, PartialEq)]
enum Told {
    Bound(SocketAddr),
    Dropped,
    Ended(DialogEnd),
}

impl AsyncService for Bob {
    fn init(&self, cx: &mut Cx<'_>) {
        cx.listen(Proto::Udp, (Ipv4Addr::LOCALHOST, 0).into()).expect("it is the first socket");
    }

    async fn invite(&self, asked: Asked<Self, MethodFacts>) -> Reply {
        let _told = TellDrop(self.told.clone());
        asked.provisional(Reply::ringing()).await.expect("the INVITE is fresh");
        self.picked_up.notified().await;
        Reply::ok().sdp("v=0\r\n")
    }

    async fn message(&self, asked: Asked<Self, MethodFacts>) -> Reply {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!asked.request.view().request_uri_text().starts_with("sip:broken@"), "on purpose");
        Reply::ok()
    }

    fn dialog(&self, _: &mut Cx<'_>, _: DialogHandle, change: DialogChange) {
        if let DialogChange::Ended(end) = change {
            let _ = self.told.send(Told::Ended(end));
        }
    }

    fn bound(&self, _: &mut Cx<'_>, _: SocketId, proto: Proto, result: Result<SocketAddr, IoKind>) {
        if proto == Proto::Udp {
            let _ = self.told.send(Told::Bound(result.expect("loopback can be bound")));
        }
    }
}

struct TellDrop(mpsc::UnboundedSender<Told>);

impl Drop for TellDrop {
    fn drop(&mut self) {
        let _ = self.0.send(Told::Dropped);
    }
}

/// A node with a [`Bob`], and what a test needs to follow him.
struct Node {
    node: AsyncNode<Bob>,
    addr: SocketAddr,
    told: mpsc::UnboundedReceiver<Told>,
    picked_up: Arc<Notify>,
}

impl Node {
    async fn start() -> Self {
        let (tell, mut told) = mpsc::unbounded_channel();
        let picked_up = Arc::new(Notify::new());
        let seed = seed().expect("the system has randomness");
        let endpoint = Endpoint::new(Config::default(), &seed, now()).expect("the default is usable");
        let node = spawn_async(endpoint, Bob { told: tell, picked_up: Arc::clone(&picked_up) });
        let Some(Told::Bound(addr)) = in_time(told.recv()).await else { panic!("it is bound first") };
        Self { node, addr, told, picked_up }
    }

    /// Lets all that is left run out in the node's own time, in which nobody answers any more.
    async fn rest(&self) {
        let idle = self.node.with(|host, now| {
            sansip_sim::silence(host, now);
            host.endpoint().is_idle()
        });
        assert_eq!(in_time(idle).await, Ok(true));
    }

    fn uri(&self) -> sansip::UriBuf {
        format!("sip:bob@{}", self.addr).parse().expect("it is a URI")
    }
}

#[tokio::test]
async fn requests_get_their_final_response() {
    let (alice, bob) = (Node::start().await, Node::start().await);
    let options = in_time(alice.node.request(Outgoing::options(bob.uri()))).await;
    assert_eq!(options.map(|response| response.status()), Ok(StatusCode::OK), "answered at once");
    let message = Outgoing::new(sansip::Method::Message, bob.uri());
    let message = in_time(alice.node.request(message)).await;
    assert_eq!(message.map(|response| response.status()), Ok(StatusCode::OK), "answered by a task");
    let running = bob.node.with_service(|bob, _| format!("{bob:?}").contains("running: 0")).await;
    assert_eq!(running, Ok(true), "nothing is kept of what was answered");
    for node in [alice, bob] {
        node.rest().await;
    }
}

#[tokio::test]
async fn a_call_rings_is_answered_and_ends() {
    let (alice, mut bob) = (Node::start().await, Node::start().await);
    let mut sent = in_time(alice.node.send(Outgoing::invite(bob.uri()))).await.expect("it can be sent");
    let ringing = in_time(sent.provisional()).await.expect("it rings");
    assert_eq!(ringing.response.status(), StatusCode::RINGING);
    bob.picked_up.notify_one();
    let answered = in_time(sent.finish()).await.expect("it is answered");
    assert_eq!(answered.response.status(), StatusCode::OK);
    assert_eq!(answered.response.view().body(), b"v=0\r\n");
    let dialog = answered.dialog.expect("a 2xx to INVITE makes a dialog");
    let bye = alice.node.with_service(move |_, cx| cx.ack(dialog, None).and_then(|()| cx.bye(dialog)));
    in_time(bye).await.expect("the node runs").expect("the dialog lives");
    assert_eq!(in_time(bob.told.recv()).await, Some(Told::Dropped), "the future ran to its end");
    assert_eq!(in_time(bob.told.recv()).await, Some(Told::Ended(DialogEnd::RemoteBye)));
    for node in [alice, bob] {
        node.rest().await;
    }
}

#[tokio::test]
async fn a_cancelled_invite_drops_its_future() {
    let (alice, mut bob) = (Node::start().await, Node::start().await);
    let mut sent = in_time(alice.node.send(Outgoing::invite(bob.uri()))).await.expect("it can be sent");
    in_time(sent.provisional()).await.expect("it rings");
    alice.node.cancel(sent.client()).await.expect("the node runs");
    assert!(in_time(sent.provisional()).await.is_none(), "nothing provisional follows the end");
    let end = in_time(sent.finish()).await.map(|received| received.response.status());
    assert_eq!(end, Ok(StatusCode::REQUEST_TERMINATED));
    assert_eq!(in_time(bob.told.recv()).await, Some(Told::Ended(DialogEnd::Cancelled)));
    assert_eq!(in_time(bob.told.recv()).await, Some(Told::Dropped));
    for node in [alice, bob] {
        node.rest().await;
    }
}

#[tokio::test]
async fn a_future_that_panics_gets_500() {
    let (alice, bob) = (Node::start().await, Node::start().await);
    let uri = format!("sip:broken@{}", bob.addr).parse().expect("it is a URI");
    let message = in_time(alice.node.request(Outgoing::new(sansip::Method::Message, uri))).await;
    assert_eq!(message.map(|response| response.status()), Ok(StatusCode::SERVER_INTERNAL_ERROR));
    for node in [alice, bob] {
        node.rest().await;
    }
}

#[tokio::test]
async fn requests_that_get_no_response_tell_why() {
    let alice = Node::start().await;
    let v6 = Outgoing::options("sip:bob@[::1]:5060".parse().expect("it is a URI"));
    let refused = in_time(alice.node.request(v6)).await;
    assert_eq!(refused, Err(RequestError::Send(SendError::NoSocket(Proto::Udp))));
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
    let addr = free.local_addr().expect("it is bound");
    drop(free);
    let tcp = format!("sip:bob@{addr};transport=tcp").parse().expect("it is a URI");
    let refused = in_time(alice.node.request(Outgoing::options(tcp))).await;
    assert_eq!(refused, Err(RequestError::Ended(ClientEnd::Transport(IoKind::Refused))));
    // A peer that never answers, until the node goes.
    let silent = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
    let uri = format!("sip:{}", silent.local_addr().expect("it is bound")).parse().expect("it is a URI");
    let sent = in_time(alice.node.send(Outgoing::options(uri))).await.expect("it can be sent");
    in_time(alice.node.stop(Duration::ZERO)).await;
    let gone = in_time(sent.finish()).await.map(|received| received.response);
    assert_eq!(gone, Err(RequestError::Node(NodeError::Gone)));
}

#[tokio::test]
async fn requests_run_over_tcp_and_through_names() {
    let (alice, bob) = (Node::start().await, Node::start().await);
    for host in [format!("{};transport=tcp", bob.addr), format!("localhost:{}", bob.addr.port())] {
        let uri = format!("sip:bob@{host}").parse().expect("it is a URI");
        let response = in_time(alice.node.request(Outgoing::options(uri))).await;
        assert_eq!(response.map(|response| response.status()), Ok(StatusCode::OK), "{host}");
    }
    for node in [alice, bob] {
        node.rest().await;
    }
}

#[tokio::test]
async fn shutting_down_ends_calls_and_node() {
    let (alice, mut bob) = (Node::start().await, Node::start().await);
    let mut sent = in_time(alice.node.send(Outgoing::invite(bob.uri()))).await.expect("it can be sent");
    in_time(sent.provisional()).await.expect("it rings");
    in_time(bob.node.shutdown(Duration::from_secs(1))).await;
    assert!(bob.node.is_gone());
    let ended = in_time(bob.told.recv()).await;
    assert!(matches!(ended, Some(Told::Ended(_))), "{ended:?}");
    assert_eq!(in_time(bob.told.recv()).await, Some(Told::Dropped), "no future outlives its node");
    let end = in_time(sent.finish()).await.expect("the caller is told").response.status();
    assert!(end.is_final() && !end.is_success(), "{end}");
    alice.rest().await;
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("it takes no 10 seconds")
}
