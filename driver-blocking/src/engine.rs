use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use sansip::{Input, Instant, IoKind, Machine, Output, Proto};

use crate::{
    clock::{Wall, now},
    dns::Dns,
    tcp::{LINGER, Tcp},
    udp::Udp,
};

/// A machine and its sockets behind one lock, and the threads that wait for them.
pub(crate) struct Shared<M> {
    engine: Mutex<Engine<M>>,
    /// Wakes the thread that keeps the time.
    timer: Condvar,
    /// Tells that a thread has ended.
    ended: Condvar,
    /// The thread inside of the machine, see [`this_thread`].
    inside: AtomicUsize,
    /// A wish to stop, apart so that it can be uttered from inside.
    wish: Mutex<Option<Instant>>,
}

/// What the lock protects.
pub(crate) struct Engine<M> {
    /// Absent when the node has ended, so that whoever waits for the machine's word learns of it.
    machine: Option<M>,
    pub(crate) udp: Vec<Udp>,
    pub(crate) tcp: Tcp,
    pub(crate) dns: Dns,
    phase: Phase,
    wall: Wall,
    armed: Option<Instant>,
    threads: usize,
}

#[derive(Clone, Copy)]
enum Phase {
    Running {
        /// When the machine is to be done at the latest.
        until: Option<Instant>,
    },
    /// The machine is left alone; what was sent still goes out.
    Closing {
        deadline: Instant,
    },
    Ended,
}

impl<M: Machine + Send + 'static> Shared<M> {
    pub(crate) fn start(machine: M) -> io::Result<Arc<Self>> {
        let engine = Engine {
            machine: Some(machine),
            udp: Vec::new(),
            tcp: Tcp::default(),
            dns: Dns::default(),
            phase: Phase::Running { until: None },
            wall: Wall::default(),
            armed: None,
            threads: 0,
        };
        let shared = Arc::new(Self {
            engine: Mutex::new(engine),
            timer: Condvar::new(),
            ended: Condvar::new(),
            inside: AtomicUsize::new(0),
            wish: Mutex::default(),
        });
        shared.spawn(&mut shared.lock(), "sansip-timer", Self::keep_time)?;
        shared.run(|_, _| ());
        Ok(shared)
    }

    /// Runs `f` on the machine and does what the machine wants; `None` if the node has ended.
    pub(crate) fn run<R>(self: &Arc<Self>, f: impl FnOnce(&mut M, Instant) -> R) -> Option<R> {
        self.enter(|engine, now| engine.machine.as_mut().map(|machine| f(machine, now))).flatten()
    }

    /// Runs `f` on the engine and does what the machine wants; `None` if the node has ended.
    pub(crate) fn enter<R>(self: &Arc<Self>, f: impl FnOnce(&mut Engine<M>, Instant) -> R) -> Option<R> {
        let mut engine = self.lock();
        if engine.is_closing() {
            return None;
        }
        self.inside.store(this_thread(), Ordering::Relaxed);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let now = now();
            if let Some(wall) = engine.wall.news(now) {
                engine.feed(Input::Wall(wall));
            }
            let result = f(&mut engine, now);
            self.drain(&mut engine);
            result
        }));
        self.inside.store(0, Ordering::Relaxed);
        let result = result.unwrap_or_else(|panic| {
            // The machine is broken.
            engine.end();
            self.timer.notify_one();
            resume_unwind(panic)
        });
        let next = [engine.due(), engine.tcp.lingers_until()].into_iter().flatten().min();
        let sooner = next.is_some_and(|next| engine.armed.is_none_or(|armed| next < armed));
        if sooner || engine.is_stopped() {
            self.timer.notify_one();
        }
        Some(result)
    }

    /// Takes the lock without entering the machine.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Engine<M>> {
        // A machine that panicked has been put to its end in `enter`.
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on a thread of its own, which counts until it ends.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        engine: &mut Engine<M>,
        name: &str,
        work: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> io::Result<()> {
        let shared = Arc::clone(self);
        let run = move || {
            let leaving = Leaving(shared);
            work(&leaving.0);
        };
        thread::Builder::new().name(name.into()).stack_size(STACK).spawn(run)?;
        engine.threads += 1;
        Ok(())
    }

    /// Tells whether the calling thread is inside of the machine, where it must not wait for the lock.
    pub(crate) fn is_inside(&self) -> bool {
        self.inside.load(Ordering::Relaxed) == this_thread()
    }

    /// Has the node end when `grace` has passed.
    pub(crate) fn stop(&self, grace: Duration) {
        *self.wish.lock().unwrap_or_else(PoisonError::into_inner) = Some(now() + grace);
        if !self.is_inside() {
            // The timer's thread either sees the wish when it next takes the lock, or waits already.
            drop(self.lock());
        }
        self.timer.notify_one();
    }

    /// Waits until all threads have ended.
    pub(crate) fn await_end(&self) {
        let mut engine = self.lock();
        while engine.threads > 0 {
            engine = self.ended.wait(engine).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.lock().phase, Phase::Ended)
    }

    /// Wakes the timer's thread to look whether anything is left to wait for.
    pub(crate) fn look_again(&self) {
        self.timer.notify_one();
    }

    fn keep_time(self: &Arc<Self>) {
        loop {
            let due = self.lock().due();
            if due.is_some_and(|due| due <= now()) {
                self.run(|machine, now| machine.handle_input(now, Input::Timeout));
            }
            let mut engine = self.lock();
            let Some(next) = self.settle(&mut engine) else {
                let machine = engine.machine.take();
                // The machine may use the node's handles when it is dropped.
                drop(engine);
                return drop(machine);
            };
            engine.armed = next;
            match next.map(|next| next.since(now())) {
                Some(Duration::ZERO) => {}
                Some(left) => drop(self.timer.wait_timeout(engine, left)),
                None => drop(self.timer.wait(engine)),
            }
        }
    }

    /// Moves on with stopping, and returns when to look again; `None` when the node has ended.
    fn settle(&self, engine: &mut Engine<M>) -> Option<Option<Instant>> {
        let now = now();
        if let Phase::Running { until } = &mut engine.phase {
            *until = self.wish.lock().unwrap_or_else(PoisonError::into_inner).or(*until);
            if until.is_some_and(|until| until <= now) || engine.is_stopped() {
                engine.close(now);
            }
        }
        let lingering = engine.tcp.expire(now);
        let (machine, phase) = match engine.phase {
            Phase::Running { until } => (engine.due(), until),
            Phase::Closing { deadline } if deadline > now && !engine.tcp.is_empty() => (None, Some(deadline)),
            Phase::Closing { .. } | Phase::Ended => {
                engine.end();
                return None;
            }
        };
        Some([machine, phase, lingering].into_iter().flatten().min())
    }

    /// Does all that the machine wants, until it wants nothing more.
    fn drain(self: &Arc<Self>, engine: &mut Engine<M>) {
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
            Output::Close { conn, how } => engine.tcp.close(conn, how),
            Output::Connect { conn, proto, remote, .. } => {
                if let Err(error) = self.connect(engine, conn, proto, remote) {
                    engine.feed(Input::Closed { conn, error: Some(error) });
                }
            }
            Output::Bind { socket, proto, addr } => {
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
            Output::Resolve { query, name, kind } => {
                if let Err(error) = self.look_up(engine, query, name, kind) {
                    engine.feed(Input::Resolved { query, result: Err(error) });
                }
            }
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
        self.machine.as_ref().and_then(Machine::poll_timeout)
    }

    fn is_stopped(&self) -> bool {
        self.machine.as_ref().is_none_or(Machine::is_stopped)
    }
}

impl<M> Engine<M> {
    /// Tells whether the machine is done and connections only flush.
    pub(crate) fn is_closing(&self) -> bool {
        !matches!(self.phase, Phase::Running { .. })
    }

    fn close(&mut self, now: Instant) {
        self.phase = Phase::Closing { deadline: now + LINGER };
        self.udp.drain(..).for_each(Udp::close);
        self.tcp.close_all();
    }

    fn end(&mut self) {
        self.phase = Phase::Ended;
        self.udp.drain(..).for_each(Udp::close);
        self.tcp.abandon();
    }
}

/// Held by every thread: counts it off when it ends.
struct Leaving<M: Machine + Send + 'static>(Arc<Shared<M>>);

impl<M: Machine + Send + 'static> Drop for Leaving<M> {
    fn drop(&mut self) {
        // It was counted under the lock.
        self.0.lock().threads -= 1;
        self.0.ended.notify_all();
    }
}

/// Returns a number that no other running thread has, and never zero.
fn this_thread() -> usize {
    thread_local!(static PLACE: u8 = const { 0 });
    PLACE.with(|place| std::ptr::from_ref(place) as usize)
}

/// Threads only move bytes and run the machine, whose own depth is bounded.
const STACK: usize = 256 * 1024;
