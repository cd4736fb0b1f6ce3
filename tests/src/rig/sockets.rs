use std::{future::Future, marker::PhantomData, net::SocketAddr, sync::Arc, thread, time::Instant as Clock};

use sansip::{Config, Host, Instant, Limits, Machine, wire::Wire};
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
pub type OnTokio = OnSockets<Tokio>;

/// Parties on plain threads.
pub type OnThreads = OnSockets<Threads>;

/// Parties on async-io, under smol.
pub type OnSmol = OnSockets<AsyncIo<Smol>>;

/// Parties on async-io, under async-std.
pub type OnAsyncStd = OnSockets<AsyncIo<AsyncStd>>;

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

    /// Waits for a node's end, which it comes to in [`PATIENCE`] at the latest.
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

/// The driver for tokio, with a runtime of its own.
pub struct Tokio(Runtime);

impl Sockets for Tokio {
    type Handle<M: Machine + Send + 'static> = sansip_tokio::NodeHandle<M>;

    fn open() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self(runtime.expect("the system has a thread"))
    }

    fn spawn<M: Machine + Send + 'static>(&self, machine: M) -> Self::Handle<M> {
        let _inside = self.0.enter();
        sansip_tokio::spawn(machine)
    }

    fn with<M: Machine + Send + 'static, R: Send + 'static>(
        &self,
        node: &Self::Handle<M>,
        act: impl FnOnce(&mut M, Instant) -> R + Send + 'static,
    ) -> R {
        self.0.block_on(node.with(act)).expect("the node runs")
    }

    fn elsewhere<M: Machine + Send + 'static>(
        &self,
        node: Self::Handle<M>,
        act: impl FnOnce(&mut M, Instant) + Send + 'static,
        then: impl FnOnce() + Send + 'static,
    ) {
        self.0.spawn(async move {
            node.with(act).await.expect("the node runs");
            then();
        });
    }

    fn stop<M: Machine + Send + 'static>(&self, node: &Self::Handle<M>) {
        self.0.block_on(node.stop(PATIENCE));
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

/// The driver for async-io, under the executor `E`.
pub struct AsyncIo<E>(PhantomData<E>);

/// What runs futures.
pub trait Executor {
    /// Runs a future beside all else.
    fn spawn(future: impl Future<Output = ()> + Send + 'static);

    /// Waits for a future.
    fn block_on<R>(future: impl Future<Output = R>) -> R;
}

/// The global executor of smol.
pub enum Smol {}

impl Executor for Smol {
    fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(future).detach();
    }

    fn block_on<R>(future: impl Future<Output = R>) -> R {
        smol::block_on(future)
    }
}

/// The executor of async-std.
pub enum AsyncStd {}

impl Executor for AsyncStd {
    fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        drop(async_std::task::spawn(future));
    }

    fn block_on<R>(future: impl Future<Output = R>) -> R {
        async_std::task::block_on(future)
    }
}

impl<E: Executor> Sockets for AsyncIo<E> {
    type Handle<M: Machine + Send + 'static> = sansip_smol::NodeHandle<M>;

    fn open() -> Self {
        Self(PhantomData)
    }

    fn spawn<M: Machine + Send + 'static>(&self, machine: M) -> Self::Handle<M> {
        let (node, handle) = sansip_smol::node();
        E::spawn(async move { drop(node.run(machine).await) });
        handle
    }

    fn with<M: Machine + Send + 'static, R: Send + 'static>(
        &self,
        node: &Self::Handle<M>,
        act: impl FnOnce(&mut M, Instant) -> R + Send + 'static,
    ) -> R {
        E::block_on(node.with(act)).expect("the node runs")
    }

    fn elsewhere<M: Machine + Send + 'static>(
        &self,
        node: Self::Handle<M>,
        act: impl FnOnce(&mut M, Instant) + Send + 'static,
        then: impl FnOnce() + Send + 'static,
    ) {
        E::spawn(async move {
            node.with(act).await.expect("the node runs");
            then();
        });
    }

    fn stop<M: Machine + Send + 'static>(&self, node: &Self::Handle<M>) {
        E::block_on(node.stop(PATIENCE));
    }
}
