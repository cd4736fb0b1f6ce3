use std::{
    future::Future,
    marker::PhantomData,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant as Clock},
};

use sansip::{Config, Host, Input, Instant, Machine, Output, Record, Seed};
use sansip_sim::{Node, Setup, Sim};
use tokio::runtime::Runtime;

use crate::{
    phone::Phone,
    stranger::{Log, Manner, Stranger},
};

/// Which kind of addresses a test runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Endpoints that run on one driver, and what a test wants of them, so that one test serves all drivers.
///
/// A party is named by its number. On real sockets time goes twenty times as fast for the parties as for the test.
pub trait Rig {
    /// Makes a rig without parties.
    fn new(family: Family) -> Self;

    /// Starts a party. It is made for an address of its own with port 0, to listen there.
    fn start(&mut self, config: Config, phone: impl FnOnce(SocketAddr) -> Phone) -> usize;

    /// Starts a machine that knows nothing of SIP, and returns its log.
    fn stranger(&mut self, conduct: Manner) -> Log;

    /// Acts on a party as its application.
    fn on<R: Send + 'static>(
        &mut self,
        party: usize,
        act: impl FnOnce(&mut Host<Phone>, Instant) -> R + Send + 'static,
    ) -> R;

    /// Acts on a party from elsewhere, later: from another thread, another task, or a later event.
    fn elsewhere(&mut self, party: usize, act: impl FnOnce(&mut Host<Phone>, Instant) + Send + 'static);

    /// Waits until `look` finds what it looks for in a party.
    ///
    /// # Panics
    /// If that takes too long.
    fn wait<R: Send + 'static>(
        &mut self,
        party: usize,
        what: &str,
        look: impl Fn(&Host<Phone>) -> Option<R> + Send + Sync + 'static,
    ) -> R;

    /// Waits until `look` finds what it looks for.
    ///
    /// # Panics
    /// If that takes too long.
    fn wait_for<R>(&mut self, what: &str, look: impl FnMut() -> Option<R>) -> R;

    /// Waits until a party has stopped for good.
    ///
    /// # Panics
    /// If that takes too long.
    fn wait_for_end(&mut self, party: usize);

    /// Returns a host name that leads to a party's address.
    fn name_of(&mut self, party: usize) -> String;

    /// Returns the seed that a party was made with.
    fn seed_of(&self, party: usize) -> Seed {
        Seed::from_u64(party as u64 + 1)
    }
}

/// Rings whenever a machine was told something, so that nobody has to sleep to learn of it.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    count: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
    /// Tells all who wait that something may have changed.
    pub(crate) fn ring(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.rung.notify_all();
    }

    fn count(&self) -> u64 {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `look` after each ring until it finds something.
    fn wait<R>(&self, what: &str, mut look: impl FnMut() -> Option<R>) -> R {
        let end = Clock::now() + PATIENCE;
        loop {
            let before = self.count();
            if let Some(found) = look() {
                return found;
            }
            let left = end.saturating_duration_since(Clock::now());
            assert!(!left.is_zero(), "waited {PATIENCE:?} in vain for {what}");
            let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
            // Whether it rang or time is up shows in the next round.
            drop(self.rung.wait_timeout_while(count, left, |count| *count == before));
        }
    }
}

/// A machine whose time goes faster than its driver's, and whose every input rings a bell.
pub(crate) struct Hurried {
    host: Host<Phone>,
    bell: Arc<Bell>,
}

impl Hurried {
    const TIMES: u64 = 20;

    fn fast(now: Instant) -> Instant {
        Instant::from_nanos(now.as_nanos() * Self::TIMES)
    }

    fn act<R>(&mut self, now: Instant, act: impl FnOnce(&mut Host<Phone>, Instant) -> R) -> R {
        act(&mut self.host, Self::fast(now))
    }
}

impl Machine for Hurried {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.host.handle_input(Self::fast(now), input);
        self.bell.ring();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.host.poll_output()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let fast = self.host.poll_timeout()?;
        Some(Instant::from_nanos(fast.as_nanos().div_ceil(Self::TIMES)))
    }

    fn poll_record(&mut self) -> Option<Record> {
        self.host.poll_record()
    }

    fn is_stopped(&self) -> bool {
        self.host.is_stopped()
    }
}

/// Parties in the simulator.
pub struct Simulated {
    sim: Sim,
    family: Family,
    parties: Vec<Node<Host<Phone>>>,
    strangers: usize,
    bell: Arc<Bell>,
}

impl Simulated {
    /// Opens the simulation.
    pub const fn sim(&mut self) -> &mut Sim {
        &mut self.sim
    }

    /// Returns the node of a party.
    pub fn node(&self, party: usize) -> Node<Host<Phone>> {
        self.parties[party]
    }

    fn fresh(&self) -> IpAddr {
        let number = u16::try_from(self.parties.len() + self.strangers + 1).expect("tests are small");
        match self.family {
            Family::V4 => Ipv4Addr::new(10, 9, 0, u8::try_from(number).expect("tests are small")).into(),
            Family::V6 => Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, number).into(),
        }
    }
}

impl Rig for Simulated {
    fn new(family: Family) -> Self {
        let sim = Sim::new(sansip_sim::seed());
        Self { sim, family, parties: Vec::new(), strangers: 0, bell: Arc::default() }
    }

    fn start(&mut self, config: Config, phone: impl FnOnce(SocketAddr) -> Phone) -> usize {
        let ip = self.fresh();
        let name = format!("party{}", self.parties.len());
        let mut host = phone(SocketAddr::new(ip, 0)).host(config, &self.seed_of(self.parties.len()));
        host.record();
        self.parties.push(self.sim.node_with(&name, Setup::new().address(ip), host));
        self.parties.len() - 1
    }

    fn stranger(&mut self, conduct: Manner) -> Log {
        let ip = self.fresh();
        self.strangers += 1;
        let stranger = Stranger::new(ip, conduct, Arc::clone(&self.bell));
        let log = stranger.log();
        self.sim.node_with(&format!("stranger{}", self.strangers), Setup::new().address(ip), stranger);
        log
    }

    fn on<R: Send + 'static>(
        &mut self,
        party: usize,
        act: impl FnOnce(&mut Host<Phone>, Instant) -> R + Send + 'static,
    ) -> R {
        self.sim.on(self.parties[party], act)
    }

    fn elsewhere(&mut self, party: usize, act: impl FnOnce(&mut Host<Phone>, Instant) + Send + 'static) {
        let node = self.parties[party];
        self.sim.after(Duration::from_millis(50), move |sim| sim.on(node, act));
    }

    fn wait<R: Send + 'static>(
        &mut self,
        party: usize,
        what: &str,
        look: impl Fn(&Host<Phone>) -> Option<R> + Send + Sync + 'static,
    ) -> R {
        let node = self.parties[party];
        let found = self.sim.run_until(|sim| look(sim.peek(node)).is_some(), SIMULATED_PATIENCE);
        assert!(found, "waited {SIMULATED_PATIENCE:?} in vain for {what}\n{}", self.sim.ladder());
        look(self.sim.peek(node)).expect("it was just found")
    }

    fn wait_for<R>(&mut self, what: &str, mut look: impl FnMut() -> Option<R>) -> R {
        let mut found = None;
        self.sim.run_until(
            |_| {
                found = look();
                found.is_some()
            },
            SIMULATED_PATIENCE,
        );
        found.unwrap_or_else(|| panic!("waited in vain for {what}\n{}", self.sim.ladder()))
    }

    fn wait_for_end(&mut self, party: usize) {
        self.wait(party, "its end", |host| host.is_stopped().then_some(()));
    }

    fn name_of(&mut self, party: usize) -> String {
        let address = self.sim.addresses(self.parties[party])[0];
        self.sim.dns().name("localhost", [address]);
        "localhost".into()
    }
}

/// Parties on tokio, on loopback sockets.
pub struct OnTokio {
    runtime: Runtime,
    family: Family,
    parties: Vec<sansip_tokio::NodeHandle<Hurried>>,
    strangers: Vec<sansip_tokio::NodeHandle<Stranger>>,
    bell: Arc<Bell>,
}

impl Rig for OnTokio {
    fn new(family: Family) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("the system has a thread");
        Self { runtime, family, parties: Vec::new(), strangers: Vec::new(), bell: Arc::default() }
    }

    fn start(&mut self, config: Config, phone: impl FnOnce(SocketAddr) -> Phone) -> usize {
        let machine = hurried(self.family, &self.seed_of(self.parties.len()), config, phone, &self.bell);
        let _inside = self.runtime.enter();
        self.parties.push(sansip_tokio::spawn(machine));
        self.parties.len() - 1
    }

    fn stranger(&mut self, conduct: Manner) -> Log {
        let stranger = Stranger::new(loopback(self.family), conduct, Arc::clone(&self.bell));
        let log = stranger.log();
        let _inside = self.runtime.enter();
        self.strangers.push(sansip_tokio::spawn(stranger));
        log
    }

    fn on<R: Send + 'static>(
        &mut self,
        party: usize,
        act: impl FnOnce(&mut Host<Phone>, Instant) -> R + Send + 'static,
    ) -> R {
        let acting = self.parties[party].with(|machine, now| machine.act(now, act));
        self.runtime.block_on(acting).expect("the node runs")
    }

    fn elsewhere(&mut self, party: usize, act: impl FnOnce(&mut Host<Phone>, Instant) + Send + 'static) {
        let (handle, bell) = (self.parties[party].clone(), Arc::clone(&self.bell));
        self.runtime.spawn(async move {
            handle.with(|machine, now| machine.act(now, act)).await.expect("the node runs");
            bell.ring();
        });
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
        let handle = self.parties[party].clone();
        // It ends by itself; the wish alone would wait for longer than a test may.
        let ended =
            self.runtime.block_on(async { tokio::time::timeout(PATIENCE, handle.stop(PATIENCE * 2)).await });
        ended.expect("it stops in time");
    }

    fn name_of(&mut self, _: usize) -> String {
        "localhost".into()
    }
}

/// Parties on plain threads, on loopback sockets.
pub struct OnThreads {
    family: Family,
    parties: Vec<sansip_blocking::NodeHandle<Hurried>>,
    strangers: Vec<sansip_blocking::NodeHandle<Stranger>>,
    bell: Arc<Bell>,
}

impl Rig for OnThreads {
    fn new(family: Family) -> Self {
        Self { family, parties: Vec::new(), strangers: Vec::new(), bell: Arc::default() }
    }

    fn start(&mut self, config: Config, phone: impl FnOnce(SocketAddr) -> Phone) -> usize {
        let machine = hurried(self.family, &self.seed_of(self.parties.len()), config, phone, &self.bell);
        self.parties.push(sansip_blocking::spawn(machine).expect("the system has a thread"));
        self.parties.len() - 1
    }

    fn stranger(&mut self, conduct: Manner) -> Log {
        let stranger = Stranger::new(loopback(self.family), conduct, Arc::clone(&self.bell));
        let log = stranger.log();
        self.strangers.push(sansip_blocking::spawn(stranger).expect("the system has a thread"));
        log
    }

    fn on<R: Send + 'static>(
        &mut self,
        party: usize,
        act: impl FnOnce(&mut Host<Phone>, Instant) -> R + Send + 'static,
    ) -> R {
        self.parties[party].with(|machine, now| machine.act(now, act)).expect("the node runs")
    }

    fn elsewhere(&mut self, party: usize, act: impl FnOnce(&mut Host<Phone>, Instant) + Send + 'static) {
        let (handle, bell) = (self.parties[party].clone(), Arc::clone(&self.bell));
        std::thread::spawn(move || {
            handle.with(|machine, now| machine.act(now, act)).expect("the node runs");
            bell.ring();
        });
    }

    fn wait<R: Send + 'static>(
        &mut self,
        party: usize,
        what: &str,
        look: impl Fn(&Host<Phone>) -> Option<R> + Send + Sync + 'static,
    ) -> R {
        let handle = self.parties[party].clone();
        self.bell.wait(what, || handle.with(|machine, _| look(&machine.host)).expect("the node runs"))
    }

    fn wait_for<R>(&mut self, what: &str, look: impl FnMut() -> Option<R>) -> R {
        self.bell.wait(what, look)
    }

    fn wait_for_end(&mut self, party: usize) {
        let begun = Clock::now();
        self.parties[party].stop(PATIENCE);
        assert!(begun.elapsed() < PATIENCE, "it stops in time");
    }

    fn name_of(&mut self, _: usize) -> String {
        "localhost".into()
    }
}

/// Parties on async-io, on loopback sockets, under the executor of `E`.
pub struct OnAsyncIo<E> {
    family: Family,
    parties: Vec<sansip_smol::NodeHandle<Hurried>>,
    strangers: Vec<sansip_smol::NodeHandle<Stranger>>,
    bell: Arc<Bell>,
    executor: PhantomData<E>,
}

/// Parties under smol.
pub type OnSmol = OnAsyncIo<Smol>;

/// Parties under async-std.
pub type OnAsyncStd = OnAsyncIo<AsyncStd>;

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

fn spawn_on<E: Executor, M: Machine + Send + 'static>(machine: M) -> sansip_smol::NodeHandle<M> {
    let (node, handle) = sansip_smol::node();
    E::spawn(async move { drop(node.run(machine).await) });
    handle
}

impl<E: Executor> Rig for OnAsyncIo<E> {
    fn new(family: Family) -> Self {
        let (parties, strangers) = (Vec::new(), Vec::new());
        Self { family, parties, strangers, bell: Arc::default(), executor: PhantomData }
    }

    fn start(&mut self, config: Config, phone: impl FnOnce(SocketAddr) -> Phone) -> usize {
        let machine = hurried(self.family, &self.seed_of(self.parties.len()), config, phone, &self.bell);
        self.parties.push(spawn_on::<E, _>(machine));
        self.parties.len() - 1
    }

    fn stranger(&mut self, conduct: Manner) -> Log {
        let stranger = Stranger::new(loopback(self.family), conduct, Arc::clone(&self.bell));
        let log = stranger.log();
        self.strangers.push(spawn_on::<E, _>(stranger));
        log
    }

    fn on<R: Send + 'static>(
        &mut self,
        party: usize,
        act: impl FnOnce(&mut Host<Phone>, Instant) -> R + Send + 'static,
    ) -> R {
        let acting = self.parties[party].with(|machine, now| machine.act(now, act));
        E::block_on(acting).expect("the node runs")
    }

    fn elsewhere(&mut self, party: usize, act: impl FnOnce(&mut Host<Phone>, Instant) + Send + 'static) {
        let (handle, bell) = (self.parties[party].clone(), Arc::clone(&self.bell));
        E::spawn(async move {
            handle.with(|machine, now| machine.act(now, act)).await.expect("the node runs");
            bell.ring();
        });
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
        E::block_on(self.parties[party].stop(PATIENCE));
        assert!(begun.elapsed() < PATIENCE, "it stops in time");
    }

    fn name_of(&mut self, _: usize) -> String {
        "localhost".into()
    }
}

fn hurried(
    family: Family,
    seed: &Seed,
    config: Config,
    phone: impl FnOnce(SocketAddr) -> Phone,
    bell: &Arc<Bell>,
) -> Hurried {
    let phone = phone(SocketAddr::new(loopback(family), 0));
    let mut host = phone.host(config, seed);
    host.record();
    Hurried { host, bell: Arc::clone(bell) }
}

const fn loopback(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    }
}

/// How long a test waits for anything on real sockets: more than Timer D at the parties' speed.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a test waits in the simulator.
const SIMULATED_PATIENCE: Duration = Duration::from_secs(400);
