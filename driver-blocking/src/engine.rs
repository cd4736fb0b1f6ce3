use std::{
    convert::Infallible,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use sansip::{Input, Instant, IoKind, Machine, Output, Proto};

use crate::{
    clock::{now, wall},
    dns::Dns,
    tcp::Tcp,
    udp::Udp,
};

/// A machine and its sockets behind one lock, and the threads that wait for them.
pub(crate) struct Shared<M> {
    engine: Mutex<Engine<M>>,
    /// Wakes the thread that keeps the time.
    timer: Condvar,
    /// The thread inside of the machine, see [`this_thread`].
    inside: AtomicUsize,
    /// When the node is to end at the latest; apart so that it can be set from inside.
    until: Mutex<Option<Instant>>,
    /// Fails when no thread is left.
    ended: Mutex<Receiver<Infallible>>,
}

/// What the lock protects.
pub(crate) struct Engine<M> {
    /// Absent when the node has ended, so that whoever waits for the machine's word learns of it.
    machine: Option<M>,
    /// The node is to end, or has ended: the machine gets nothing more.
    over: bool,
    pub(crate) udp: Vec<Udp>,
    pub(crate) tcp: Tcp,
    pub(crate) dns: Dns,
    /// When to look at the wall clock again.
    wall: Instant,
    /// What the thread that keeps the time waits for.
    armed: Option<Instant>,
    /// Held by every thread while it lives.
    alive: Option<Sender<Infallible>>,
}

impl<M: Machine + Send + 'static> Shared<M> {
    pub(crate) fn start(machine: M) -> io::Result<Arc<Self>> {
        let (alive, ended) = channel();
        let engine = Engine {
            machine: Some(machine),
            over: false,
            udp: Vec::new(),
            tcp: Tcp::default(),
            dns: Dns::default(),
            wall: Instant::EPOCH,
            armed: None,
            alive: Some(alive),
        };
        let shared = Arc::new(Self {
            engine: Mutex::new(engine),
            timer: Condvar::new(),
            inside: AtomicUsize::new(0),
            until: Mutex::default(),
            ended: Mutex::new(ended),
        });
        shared.spawn(&lock(&shared.engine), "sansip-timer", Self::keep_time)?;
        shared.enter(|_| ());
        Ok(shared)
    }

    /// Runs `f` on the machine and does what the machine wants; `None` if the node has ended, or ends by a panic.
    pub(crate) fn run<R>(self: &Arc<Self>, f: impl FnOnce(&mut M, Instant) -> R) -> Option<R> {
        self.enter(|engine| engine.machine.as_mut().map(|machine| f(machine, now()))).flatten()
    }

    /// Runs `f` on the engine and does what the machine wants; `None` if the node has ended, or ends by a panic.
    pub(crate) fn enter<R>(self: &Arc<Self>, f: impl FnOnce(&mut Engine<M>) -> R) -> Option<R> {
        let mut engine = lock(&self.engine);
        if engine.over {
            return None;
        }
        self.inside.store(this_thread(), Ordering::Relaxed);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let now = now();
            if engine.wall <= now {
                engine.wall = now + WALL;
                engine.feed(Input::Wall(wall()));
            }
            let result = f(&mut engine);
            self.drain(&mut engine);
            result
        }));
        self.inside.store(0, Ordering::Relaxed);
        // A machine that panicked is broken.
        engine.over = result.is_err();
        let sooner = |due| engine.armed.is_none_or(|armed| due < armed);
        if engine.is_over() || engine.due().is_some_and(sooner) {
            self.timer.notify_one();
        }
        result.ok()
    }

    /// Runs `work` on a thread of its own.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        engine: &Engine<M>,
        name: &str,
        work: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> io::Result<()> {
        let (alive, shared) = (engine.alive.clone(), Arc::clone(self));
        let run = move || {
            let _alive = alive;
            work(&shared);
        };
        thread::Builder::new().name(name.into()).stack_size(STACK).spawn(run)?;
        Ok(())
    }

    /// Tells whether the calling thread is inside of the machine, where it must not wait for the lock.
    pub(crate) fn is_inside(&self) -> bool {
        self.inside.load(Ordering::Relaxed) == this_thread()
    }

    /// Has the node end when `grace` has passed.
    pub(crate) fn stop(&self, grace: Duration) {
        *lock(&self.until) = Some(now() + grace);
        if !self.is_inside() {
            // The timer's thread either sees the wish when it next takes the lock, or waits already.
            drop(lock(&self.engine));
        }
        self.timer.notify_one();
    }

    /// Waits until all threads have ended.
    pub(crate) fn await_end(&self) {
        let Err(_ended) = lock(&self.ended).recv();
    }

    pub(crate) fn is_gone(&self) -> bool {
        lock(&self.engine).over
    }

    fn keep_time(self: &Arc<Self>) {
        loop {
            let due = lock(&self.engine).due();
            if due.is_some_and(|due| due <= now()) {
                self.enter(|engine| engine.feed(Input::Timeout));
            }
            let mut engine = lock(&self.engine);
            let (until, now) = (*lock(&self.until), now());
            if engine.is_over() || until.is_some_and(|until| until <= now) {
                let machine = engine.end();
                // The machine may use the node's handles when it is dropped.
                drop(engine);
                return drop(machine);
            }
            engine.armed = [engine.due(), until].into_iter().flatten().min();
            match engine.armed {
                Some(next) => drop(self.timer.wait_timeout(engine, next.since(now))),
                None => drop(self.timer.wait(engine)),
            }
        }
    }

    /// Does all that the machine wants, until it wants nothing more.
    pub(crate) fn drain(self: &Arc<Self>, engine: &mut Engine<M>) {
        while let Some(output) = engine.machine.as_mut().and_then(Machine::poll_output) {
            self.perform(engine, output);
        }
    }

    fn perform(self: &Arc<Self>, engine: &mut Engine<M>, output: Output) {
        match output {
            Output::Transmit { socket, remote, payload, .. } => {
                let udp = engine.udp.iter().find(|udp| udp.id == socket);
                if let Some(Err(why)) = udp.map(|udp| udp.send(remote, &payload)) {
                    engine.feed(Input::Unreachable { socket, remote, why });
                }
            }
            Output::Send { conn, data } => self.send(engine, conn, data),
            Output::Close { conn, how } => engine.close(conn, how),
            Output::Connect { conn, proto, remote, .. } => {
                if let Err(error) = self.connect(engine, conn, proto, remote) {
                    engine.closed(conn, Some(IoKind::from(&error)));
                }
            }
            Output::Bind { socket, proto, addr } => {
                if addr.ip().is_unspecified() {
                    engine.feed(Input::Interfaces(sansip_interfaces::interfaces()));
                }
                let result = match proto {
                    Proto::Udp => self.bind(engine, socket, addr),
                    Proto::Tcp => self.listen(engine, socket, addr),
                    _ => Err(io::ErrorKind::Unsupported.into()),
                };
                let result = result.map_err(|error| IoKind::from(&error));
                engine.feed(Input::Bound { socket, result });
            }
            Output::Unbind { socket } => {
                engine.udp.extract_if(.., |udp| udp.id == socket).for_each(Udp::close);
                engine.tcp.unlisten(socket);
            }
            Output::Resolve { query, name, kind } => self.look_up(engine, (query, name, kind)),
            _ => {}
        }
    }
}

impl<M: Machine> Engine<M> {
    pub(crate) fn feed(&mut self, input: Input<'_>) {
        if let Some(machine) = &mut self.machine {
            machine.handle_input(now(), input);
        }
    }

    fn due(&self) -> Option<Instant> {
        self.machine.as_ref().filter(|_| !self.over).and_then(Machine::poll_timeout)
    }

    fn is_over(&self) -> bool {
        self.over || self.machine.as_ref().is_none_or(Machine::is_stopped)
    }

    /// Closes all sockets, which ends all threads.
    fn end(&mut self) -> Option<M> {
        self.over = true;
        self.alive = None;
        self.udp.drain(..).for_each(Udp::close);
        self.tcp.end();
        self.machine.take()
    }
}

/// Takes a lock. What it protects is whole even after a panic, which ends the node in `enter`.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a number that no other running thread has, and never zero.
fn this_thread() -> usize {
    thread_local!(static PLACE: u8 = const { 0 });
    PLACE.with(|place| std::ptr::from_ref(place) as usize)
}

/// How often the wall clock is told.
const WALL: Duration = Duration::from_secs(60);

/// Threads only move bytes and run the machine, whose own depth is bounded.
const STACK: usize = 256 * 1024;
