use std::{future::Future, net::SocketAddr, sync::Arc, thread, time::Instant as Clock};

use sansip::{Config, Host, Instant, Limits, Machine, wire::Wire};
use sansip_tokio::NodeHandle;
use tokio::runtime::{Builder, Runtime};

use super::{
    Bell, Family, Over, PATIENCE, Rig,
    party::{Hurried, party, secured},
};
use crate::{
    phone::Phone,
    stranger::{Log, Manner, Stranger},
};

/// Parties on loopback sockets, on the driver `D`.
pub struct OnSockets<D: Sockets> {
    driver: D,
    over: Over,
    parties: Vec<D::Handle<Hurried>>,
    strangers: Vec<D::Handle<Wire<Stranger>>>,
    bell: Arc<Bell>,
}

/// Parties on tokio.
pub type OnTokio = OnSockets<Tasks<Tokio>>;

/// Parties on plain threads.
pub type OnThreads = OnSockets<Threads>;

/// Parties on async-io, under smol.
pub type OnSmol = OnSockets<Tasks<Smol>>;

/// Parties on async-io, under async-std.
pub type OnAsyncStd = OnSockets<Tasks<AsyncStd>>;

/// What the drivers with sockets can all do, each in its own way.
pub trait Sockets {
    /// Reaches a running node.
    type Handle<M: Machine + Send + 'static>: Clone + Send;

    /// Opens what nodes run on.
    fn open() -> Self;

    /// Starts a node.
    fn spawn<M: Machine + Send + 'static>(&self, machine: M) -> Self::Handle<M>;

    /// Runs a closure on a machine.
    fn with<M: Machine + Send + 'static, R: Send + 'static>(
        &self,
        node: &Self::Handle<M>,
        act: impl FnOnce(&mut M, Instant) -> R + Send + 'static,
    ) -> R;

    /// Runs a closure on a machine from another task or thread, and then another one there.
    fn elsewhere<M: Machine + Send + 'static>(
        &self,
        node: Self::Handle<M>,
        act: impl FnOnce(&mut M, Instant) + Send + 'static,
        then: impl FnOnce() + Send + 'static,
    );

    /// Waits for a node's end, for as long as a test waits for anything.
    fn stop<M: Machine + Send + 'static>(&self, node: &Self::Handle<M>);
}

impl<D: Sockets> Rig for OnSockets<D> {
    fn new(over: Over) -> Self {
        Self { driver: D::open(), over, parties: Vec::new(), strangers: Vec::new(), bell: Arc::default() }
    }

    fn over(&self) -> Over {
        self.over
    }

    fn start(&mut self, config: Config, phone: impl FnOnce(SocketAddr) -> Phone) -> usize {
        let number = self.parties.len();
        let phone = phone(SocketAddr::new(self.over.family.loopback(), 0));
        let party = Hurried::new(party(config, &self.seed_of(number), phone), Arc::clone(&self.bell));
        self.parties.push(self.driver.spawn(party));
        number
    }

    fn stranger(&mut self, conduct: Manner) -> Log {
        let addr = SocketAddr::new(self.over.family.loopback(), 0);
        let stranger = Stranger::new(addr, self.over.proto, conduct, Arc::clone(&self.bell));
        let log = stranger.log();
        self.strangers.push(self.driver.spawn(secured(stranger, &Limits::default())));
        log
    }

    fn on<R: Send + 'static>(
        &mut self,
        party: usize,
        act: impl FnOnce(&mut Host<Phone>, Instant) -> R + Send + 'static,
    ) -> R {
        self.driver.with(&self.parties[party], |machine, now| machine.act(now, act))
    }

    fn elsewhere(&mut self, party: usize, act: impl FnOnce(&mut Host<Phone>, Instant) + Send + 'static) {
        let (node, bell) = (self.parties[party].clone(), Arc::clone(&self.bell));
        self.driver.elsewhere(node, |machine, now| machine.act(now, act), move || bell.ring());
    }

    fn wait<R: Send + 'static>(
        &mut self,
        party: usize,
        what: &str,
        look: impl Fn(&Host<Phone>) -> Option<R> + Send + Sync + 'static,
    ) -> R {
        let (bell, look) = (Arc::clone(&self.bell), Arc::new(look));
        bell.wait(what, || {
            let look = Arc::clone(&look);
            self.on(party, move |host, _| look(host))
        })
    }

    fn wait_for<R>(&mut self, what: &str, look: impl FnMut() -> Option<R>) -> R {
        self.bell.wait(what, look)
    }

    fn wait_for_end(&mut self, party: usize) {
        let begun = Clock::now();
        self.driver.stop(&self.parties[party]);
        assert!(begun.elapsed() < PATIENCE, "it stops in time");
    }

    fn name_of(&mut self, _: usize) -> Option<String> {
        (self.over.family == Family::V4).then(|| "localhost".into())
    }
}

/// The driver for plain threads.
pub struct Threads;

impl Sockets for Threads {
    type Handle<M: Machine + Send + 'static> = sansip_blocking::NodeHandle<M>;

    fn open() -> Self {
        Self
    }

    fn spawn<M: Machine + Send + 'static>(&self, machine: M) -> Self::Handle<M> {
        sansip_blocking::spawn(machine).expect("the system has a thread")
    }

    fn with<M: Machine + Send + 'static, R: Send + 'static>(
        &self,
        node: &Self::Handle<M>,
        act: impl FnOnce(&mut M, Instant) -> R + Send + 'static,
    ) -> R {
        node.with(act).expect("the node runs")
    }

    fn elsewhere<M: Machine + Send + 'static>(
        &self,
        node: Self::Handle<M>,
        act: impl FnOnce(&mut M, Instant) + Send + 'static,
        then: impl FnOnce() + Send + 'static,
    ) {
        thread::spawn(move || {
            node.with(act).expect("the node runs");
            then();
        });
    }

    fn stop<M: Machine + Send + 'static>(&self, node: &Self::Handle<M>) {
        node.stop(PATIENCE);
    }
}

/// The drivers that are a task, under the executor `E`.
pub struct Tasks<E>(E);

/// What runs futures, and starts nodes.
pub trait Executor {
    /// Opens it.
    fn open() -> Self;

    /// Starts a node.
    fn start<M: Machine + Send + 'static>(&self, machine: M) -> NodeHandle<M>;

    /// Runs a future beside all else.
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static);

    /// Waits for a future.
    fn block_on<R>(&self, future: impl Future<Output = R>) -> R;
}

/// A runtime of tokio, with the driver for it.
pub struct Tokio(Runtime);

impl Executor for Tokio {
    fn open() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self(runtime.expect("the system has a thread"))
    }

    fn start<M: Machine + Send + 'static>(&self, machine: M) -> NodeHandle<M> {
        let _inside = self.0.enter();
        sansip_tokio::spawn(machine)
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(future);
    }

    fn block_on<R>(&self, future: impl Future<Output = R>) -> R {
        self.0.block_on(future)
    }
}

/// The global executor of smol, with the driver for async-io.
pub struct Smol;

impl Executor for Smol {
    fn open() -> Self {
        Self
    }

    fn start<M: Machine + Send + 'static>(&self, machine: M) -> NodeHandle<M> {
        start_on_async_io(self, machine)
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(future).detach();
    }

    fn block_on<R>(&self, future: impl Future<Output = R>) -> R {
        smol::block_on(future)
    }
}

/// The executor of async-std, with the driver for async-io.
pub struct AsyncStd;

impl Executor for AsyncStd {
    fn open() -> Self {
        Self
    }

    fn start<M: Machine + Send + 'static>(&self, machine: M) -> NodeHandle<M> {
        start_on_async_io(self, machine)
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(async_std::task::spawn(future));
    }

    fn block_on<R>(&self, future: impl Future<Output = R>) -> R {
        async_std::task::block_on(future)
    }
}

fn start_on_async_io<M: Machine + Send + 'static>(executor: &impl Executor, machine: M) -> NodeHandle<M> {
    let (node, handle) = sansip_smol::node();
    executor.spawn(async move { drop(node.run(machine).await) });
    handle
}

impl<E: Executor> Sockets for Tasks<E> {
    type Handle<M: Machine + Send + 'static> = NodeHandle<M>;

    fn open() -> Self {
        Self(E::open())
    }

    fn spawn<M: Machine + Send + 'static>(&self, machine: M) -> NodeHandle<M> {
        self.0.start(machine)
    }

    fn with<M: Machine + Send + 'static, R: Send + 'static>(
        &self,
        node: &NodeHandle<M>,
        act: impl FnOnce(&mut M, Instant) -> R + Send + 'static,
    ) -> R {
        self.0.block_on(node.with(act)).expect("the node runs")
    }

    fn elsewhere<M: Machine + Send + 'static>(
        &self,
        node: NodeHandle<M>,
        act: impl FnOnce(&mut M, Instant) + Send + 'static,
        then: impl FnOnce() + Send + 'static,
    ) {
        self.0.spawn(async move {
            node.with(act).await.expect("the node runs");
            then();
        });
    }

    fn stop<M: Machine + Send + 'static>(&self, node: &NodeHandle<M>) {
        self.0.block_on(node.stop(PATIENCE));
    }
}
