use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use sansip::{Instant, Machine, NodeError};
use sansip_net::now;

use crate::engine::{Engine, Shared};

/// Starts a thread that runs `machine` until it stops, every handle is gone, or one asks for the end.
///
/// What the machine wants from the start is done, or begun, when this returns.
///
/// # Errors
///
/// If the system has no thread or no file to give.
pub fn spawn<M: Machine + Send + 'static>(machine: M) -> io::Result<NodeHandle<M>> {
    let (mut engine, waker) = Engine::new()?;
    let shared = Arc::new(Shared::new(machine, waker));
    let handle = NodeHandle { owner: Arc::new(Owner { shared: Arc::clone(&shared) }) };
    engine.round(&shared);
    thread::Builder::new().name("sansip".into()).spawn(move || engine.run(&shared))?;
    Ok(handle)
}

/// Reaches a running node from any thread. Cheap to clone; the node ends when the last one is dropped.
pub struct NodeHandle<M: Machine + Send + 'static> {
    owner: Arc<Owner<M>>,
}

impl<M: Machine + Send + 'static> NodeHandle<M> {
    /// Runs a closure on the machine, at the node's time, and returns its result.
    ///
    /// The machine waits while it runs. A panic in the closure is caught: the node goes on, and the caller gets
    /// [`NodeError::Panicked`]. From inside the machine or of another closure it is [`NodeError::Inside`].
    pub fn with<R>(&self, f: impl FnOnce(&mut M, Instant) -> R) -> Result<R, NodeError> {
        let shared = &self.owner.shared;
        if shared.is_inside() {
            return Err(NodeError::Inside);
        }
        let outcome = shared.enter(|machine| catch_unwind(AssertUnwindSafe(|| f(machine, now()))));
        shared.wake();
        outcome.ok_or(NodeError::Gone)?.map_err(|_| NodeError::Panicked)
    }

    /// Ends the node when `grace` has passed, or before if its machine stops by itself; returns when it has ended.
    ///
    /// Connections that the machine has not brought to their end are dropped. From inside the machine it returns at once.
    pub fn stop(&self, grace: Duration) {
        self.owner.shared.stop(grace);
        if !self.owner.shared.is_inside() {
            self.owner.shared.ended.wait();
        }
    }

    /// Tells whether the node has ended.
    pub fn is_gone(&self) -> bool {
        self.owner.shared.ended.get().is_some()
    }

    /// Returns a handle that does not keep the node alive.
    pub fn downgrade(&self) -> WeakNodeHandle<M> {
        WeakNodeHandle { owner: Arc::downgrade(&self.owner) }
    }
}

impl<M: Machine + Send + 'static> Clone for NodeHandle<M> {
    fn clone(&self) -> Self {
        Self { owner: Arc::clone(&self.owner) }
    }
}

impl<M: Machine + Send + 'static> fmt::Debug for NodeHandle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeHandle")
    }
}

/// A handle that does not keep its node alive.
pub struct WeakNodeHandle<M: Machine + Send + 'static> {
    owner: Weak<Owner<M>>,
}

impl<M: Machine + Send + 'static> WeakNodeHandle<M> {
    /// Returns a full handle, unless none is left.
    pub fn upgrade(&self) -> Option<NodeHandle<M>> {
        self.owner.upgrade().map(|owner| NodeHandle { owner })
    }
}

impl<M: Machine + Send + 'static> Clone for WeakNodeHandle<M> {
    fn clone(&self) -> Self {
        Self { owner: Weak::clone(&self.owner) }
    }
}

impl<M: Machine + Send + 'static> fmt::Debug for WeakNodeHandle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakNodeHandle")
    }
}

/// What all handles share, so that the last one ends the node.
struct Owner<M> {
    shared: Arc<Shared<M>>,
}

impl<M> Drop for Owner<M> {
    fn drop(&mut self) {
        self.shared.stop(Duration::ZERO);
    }
}
