//! Asynchronous services with TLS and WebSocket around them, on tokio, smol and async-std.

use std::{net::SocketAddr, sync::LazyLock, time::Duration};

use async_channel::{Receiver, Sender, bounded, unbounded};
use sansip::{
    Config, Cx, Endpoint, Host, Instant, IoKind, Method, MethodFacts, Outgoing, Proto, Reply, SocketId,
    StatusCode, wire::Wire,
};
use sansip_sim::silence;
use sansip_smol::{Asked, Async, AsyncService, NodeHandle, seed};
use sansip_tests::{secured, uri};

/// Answers each method in another way, and tells a test what it lives through.
struct Bob {
    proto: Proto,
    told: Sender<Told>,
    picked_up: Receiver<()>,
}

#[derive(Debug, PartialEq)]
enum Told {
    Bound(SocketAddr),
    Dropped,
}

impl AsyncService for Bob {
    fn init(&self, cx: &mut Cx<'_>) {
        cx.listen(self.proto, ([127, 0, 0, 1], 0).into()).expect("it is the first socket");
    }

    async fn invite(&self, asked: Asked<Self, MethodFacts>) -> Reply {
        let _told = TellDrop(self.told.clone());
        asked.provisional(Reply::ringing()).await.expect("the INVITE is fresh");
        self.picked_up.recv().await.expect("the test goes on");
        Reply::busy()
    }

    /// Asks its own node, and then panics or not.
    async fn message(&self, asked: Asked<Self, MethodFacts>) -> Reply {
        let node = asked.node.upgrade().expect("the node runs");
        let idle = node.with(|host, _| host.endpoint().is_idle()).await;
        assert_eq!(idle, Ok(false), "the question is open");
        assert!(asked.request.view().body().is_empty(), "on purpose");
        Reply::ok()
    }

    fn bound(&self, _: &mut Cx<'_>, _: SocketId, proto: Proto, result: Result<SocketAddr, IoKind>) {
        if proto == self.proto {
            let bound = Told::Bound(result.expect("loopback can be bound"));
            self.told.try_send(bound).expect("the test listens");
        }
    }
}

struct TellDrop(Sender<Told>);

impl Drop for TellDrop {
    fn drop(&mut self) {
        // The test may be over.
        let _ = self.0.try_send(Told::Dropped);
    }
}

type Inside = Wire<Host<Async<Bob>>>;

/// Starts a node under some executor.
type Start = fn(Bob) -> NodeHandle<Inside>;

fn endpoint(now: Instant) -> Endpoint {
    let seed = seed().expect("the system has randomness");
    Endpoint::new(Config::default(), &seed, now).expect("the default is usable")
}

fn around(host: Host<Async<Bob>>) -> Inside {
    secured(host, &Config::default().limits)
}

fn on_smol(bob: Bob) -> NodeHandle<Inside> {
    let spawn = |task| smol::spawn(task).detach();
    sansip_smol::spawn_async(endpoint(sansip_smol::now()), bob, around, spawn)
}

fn on_async_std(bob: Bob) -> NodeHandle<Inside> {
    let spawn = |task| drop(async_std::task::spawn(task));
    sansip_smol::spawn_async(endpoint(sansip_smol::now()), bob, around, spawn)
}

fn on_tokio(bob: Bob) -> NodeHandle<Inside> {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Runtime::new().expect("the system has threads"));
    let _inside = RUNTIME.enter();
    sansip_tokio::spawn_async_inside(endpoint(sansip_tokio::now()), bob, around)
}

/// A node with a [`Bob`], and what a test needs to follow him.
struct Node {
    node: NodeHandle<Inside>,
    told: Receiver<Told>,
    pick_up: Sender<()>,
    to: sansip::UriBuf,
}

impl Node {
    async fn start(start: Start, proto: Proto) -> Self {
        let (tell, told) = unbounded();
        let (pick_up, picked_up) = bounded(1);
        let node = start(Bob { proto, told: tell, picked_up });
        let Ok(Told::Bound(addr)) = told.recv().await else { panic!("it is bound first") };
        Self { node, told, pick_up, to: uri(addr, proto) }
    }

    /// Lets all that is left run out in the node's own time, in which nobody answers any more.
    async fn rest(self) {
        let idle = self.node.with(|wire, now| {
            silence(wire, now);
            wire.machine().endpoint().is_idle()
        });
        assert_eq!(idle.await, Ok(true));
        self.node.stop(Duration::ZERO).await;
        assert!(self.node.inner().is_gone());
    }
}

async fn statuses(alice: &Node, bob: &Node, requests: [Outgoing; 3]) -> Vec<StatusCode> {
    let mut statuses = Vec::new();
    for request in requests {
        let answered = alice.node.request(request).await.expect("it is answered");
        statuses.push(answered.status());
    }
    let running = bob.node.with_service(|bob, _| format!("{bob:?}").contains("running: 0")).await;
    assert_eq!(running, Ok(true), "nothing is kept of what was answered");
    statuses
}

/// Answers at once, after having asked the node, and after a panic.
async fn answers(start: Start, proto: Proto) {
    let (alice, bob) = (Node::start(start, proto).await, Node::start(start, proto).await);
    let message = || Outgoing::new(Method::Message, bob.to.clone());
    let broken = message().body(sansip_tests::offer());
    let answers = statuses(&alice, &bob, [Outgoing::options(bob.to.clone()), message(), broken]).await;
    assert_eq!(answers, [StatusCode::OK, StatusCode::OK, StatusCode::SERVER_INTERNAL_ERROR]);
    for node in [alice, bob] {
        node.rest().await;
    }
}

/// Rings and waits; the answer comes when it is time for it, and none does if the INVITE is cancelled before.
async fn waits(start: Start, proto: Proto) {
    let (alice, bob) = (Node::start(start, proto).await, Node::start(start, proto).await);
    for cancelled in [false, true] {
        let mut sent = alice.node.send(Outgoing::invite(bob.to.clone())).await.expect("it can be sent");
        let ringing = sent.provisional().await.expect("it rings");
        assert_eq!(ringing.response.status(), StatusCode::RINGING);
        let end = if cancelled {
            alice.node.cancel(sent.client()).await.expect("the node runs");
            StatusCode::REQUEST_TERMINATED
        } else {
            bob.pick_up.send(()).await.expect("bob waits");
            StatusCode::BUSY_HERE
        };
        assert_eq!(sent.finish().await.expect("it is answered").response.status(), end);
        assert_eq!(bob.told.recv().await, Ok(Told::Dropped), "the future is gone");
    }
    for node in [alice, bob] {
        node.rest().await;
    }
}

/// A future that waits is dropped with its node.
async fn ends(start: Start, proto: Proto) {
    let (alice, bob) = (Node::start(start, proto).await, Node::start(start, proto).await);
    let mut sent = alice.node.send(Outgoing::invite(bob.to.clone())).await.expect("it can be sent");
    sent.provisional().await.expect("it rings");
    bob.node.stop(Duration::ZERO).await;
    assert_eq!(bob.told.recv().await, Ok(Told::Dropped));
    alice.rest().await;
}

macro_rules! over_each_transport {
    ($($start:ident)*) => {$(
        mod $start {
            #[test]
            fn answers() {
                super::over_each(|proto| smol::block_on(super::answers(super::$start, proto)));
            }

            #[test]
            fn waits() {
                super::over_each(|proto| smol::block_on(super::waits(super::$start, proto)));
            }

            #[test]
            fn ends() {
                super::over_each(|proto| smol::block_on(super::ends(super::$start, proto)));
            }
        }
    )*};
}

over_each_transport! { on_tokio on_smol on_async_std }

fn over_each(test: fn(Proto)) {
    std::thread::scope(|scope| {
        for proto in [Proto::Udp, Proto::Tcp, Proto::Tls, Proto::Ws, Proto::Wss] {
            scope.spawn(move || test(proto));
        }
    });
}
