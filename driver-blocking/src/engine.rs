use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};

use mio::Waker;
use sansip::{Instant, Machine};
use sansip_net::{Buffer, drain, flush, hand_over, now, tell_time};

use crate::sources::Sources;

/// A machine between the thread that serves it and its handles: whoever is inside has it alone.
pub(crate) struct Shared<M> {
    /// Absent when the node has ended, so that whoever waits for the machine learns of it.
    machine: Mutex<Option<M>>,
    /// Held while waiting for the machine: who comes out of it and wants in again has to queue.
    queue: Mutex<()>,
    inside: Mutex<Option<ThreadId>>,
    until: Mutex<Option<Instant>>,
    waker: Arc<Waker>,
    /// Told when everything is closed and the machine is gone.
    pub(crate) ended: OnceLock<()>,
}

impl<M> Shared<M> {
    pub(crate) fn new(machine: M, waker: Arc<Waker>) -> Self {
        let (machine, queue, inside, until) =
            (Mutex::new(Some(machine)), Mutex::default(), Mutex::default(), Mutex::default());
        Self { machine, queue, inside, until, waker, ended: OnceLock::new() }
    }

    /// Runs `f` on the machine; `None` if the node has ended, or ends because the machine panics and is broken now.
    pub(crate) fn enter<R>(&self, f: impl FnOnce(&mut M) -> R) -> Option<R> {
        let queue = lock(&self.queue);
        let mut slot = lock(&self.machine);
        drop(queue);
        let machine = slot.as_mut()?;
        *lock(&self.inside) = Some(thread::current().id());
        let outcome = catch_unwind(AssertUnwindSafe(|| f(machine)));
        *lock(&self.inside) = None;
        if outcome.is_err() {
            Self::discard(slot);
        }
        outcome.ok()
    }

    /// Lets go of the machine, which may use its handles when it goes.
    fn discard(mut slot: MutexGuard<'_, Option<M>>) {
        let machine = slot.take();
        drop(slot);
        let _ = catch_unwind(AssertUnwindSafe(|| drop(machine)));
    }

    /// Tells whether the calling thread is inside of the machine, and must not wait for it.
    pub(crate) fn is_inside(&self) -> bool {
        *lock(&self.inside) == Some(thread::current().id())
    }

    /// Has the node end when `grace` has passed.
    pub(crate) fn stop(&self, grace: Duration) {
        *lock(&self.until) = Some(now() + grace);
        self.wake();
    }

    /// Has the thread that serves the machine look at it.
    pub(crate) fn wake(&self) {
        // It fails only if the wake-ups waiting are too many to count.
        let _ = self.waker.wake();
    }
}

/// Serves a machine with everything that it touches.
pub(crate) struct Engine {
    sources: Sources,
    /// When to look at the wall clock again.
    wall: Instant,
    buffer: Buffer,
}

impl Engine {
    /// Makes one, and what ends its wait from elsewhere.
    pub(crate) fn new() -> io::Result<(Self, Arc<Waker>)> {
        let (sources, waker) = Sources::new()?;
        Ok((Self { sources, wall: Instant::EPOCH, buffer: Buffer::default() }, waker))
    }

    /// Runs round after round until the node is to end, and ends it.
    pub(crate) fn run<M: Machine>(mut self, shared: &Shared<M>) {
        // Whatever happens, those who wait for the end learn of it.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            while let Some(due) = self.round(shared) {
                self.sources.wait(due);
            }
        }));
        drop(self);
        Shared::discard(lock(&shared.machine));
        let _ = shared.ended.set(());
    }

    /// Runs one round, and returns when the next one is due; `None` if the node is to end.
    ///
    /// A round is bounded, and the machine is free between them. What is left has its turn in the next one.
    pub(crate) fn round<M: Machine>(&mut self, shared: &Shared<M>) -> Option<Instant> {
        let due = shared.enter(|machine| {
            self.serve(machine);
            flush(machine, &mut self.sources, now);
            (!machine.is_stopped()).then(|| machine.poll_timeout())
        });
        let (due, until) = (due??, *lock(&shared.until));
        let due = [due, until].into_iter().flatten().fold(self.wall, Instant::min);
        until.is_none_or(|until| until > now()).then_some(due)
    }

    fn serve(&mut self, machine: &mut impl Machine) {
        drain(machine, &mut self.sources, now);
        tell_time(machine, &mut self.sources, &mut self.wall, now);
        let mut done = 0;
        while done < BURST {
            let Some(source) = self.sources.ready.pop_front() else { return };
            if let Some(input) = self.sources.step(source, &mut self.buffer) {
                machine.handle_input(now(), input);
                drain(machine, &mut self.sources, now);
            }
            done += 1 + hand_over(machine, &mut self.sources, &mut self.buffer, now);
        }
    }
}

/// Takes a lock. What it protects is whole even after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Things done for sockets in one round.
const BURST: usize = 64;
