use std::{
    fmt,
    future::poll_fn,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use sansip::{Instant, Machine, NodeError};
use sansip_net::Lookups;
use tokio::sync::{mpsc, oneshot};

use crate::reactor::Reactor;

/// Starts a task on the current runtime that runs `machine` until it stops, every handle is gone, or one asks for the end.
///
/// # Panics
///
/// Panics outside of a tokio runtime with I/O and time enabled.
pub fn spawn<M: Machine + Send + 'static>(machine: M) -> NodeHandle<M> {
    let (node, handle) = node();
    tokio::spawn(node.run(machine));
    handle
}

/// Makes a node that has no machine yet, and its handle, for machines that want to know their handle.
pub fn node<M: Machine>() -> (Node<M>, NodeHandle<M>) {
    let (sender, mailbox) = mpsc::channel(MAILBOX);
    (Node { mailbox, servers: Vec::new() }, NodeHandle { sender })
}

/// A mailbox waiting for a machine to serve.
#[derive(Debug)]
pub struct Node<M> {
    mailbox: mpsc::Receiver<Letter<M>>,
    servers: Vec<SocketAddr>,
}

impl<M: Machine> Node<M> {
    /// Sets the name servers to ask instead of the system's.
    #[must_use]
    pub fn name_servers(self, servers: Vec<SocketAddr>) -> Self {
        Self { servers, ..self }
    }

    /// Runs `machine` with sockets and time of the current runtime, and returns it in the end.
    ///
    /// It ends when the machine stops, when all handles are gone, or when one asked for [`NodeHandle::stop`].
    pub async fn run(self, machine: M) -> M {
        let mut reactor = Reactor::new(machine, self.mailbox, Lookups::asking(self.servers));
        poll_fn(|cx| reactor.poll(cx)).await;
        reactor.into_machine()
    }
}

/// Reaches a running node from anywhere. Cheap to clone; the node ends when the last one is dropped.
pub struct NodeHandle<M> {
    sender: mpsc::Sender<Letter<M>>,
}

impl<M: Machine> NodeHandle<M> {
    /// Runs a closure on the machine, at the node's time, and returns its result.
    ///
    /// A panic in the closure is caught: the node goes on, and the caller gets [`NodeError::Panicked`].
    pub async fn with<R, F>(&self, f: F) -> Result<R, NodeError>
    where
        F: FnOnce(&mut M, Instant) -> R + Send + 'static,
        R: Send + 'static,
    {
        let (result, outcome) = oneshot::channel();
        let run = move |machine: &mut M, now| {
            let outcome = catch_unwind(AssertUnwindSafe(|| f(machine, now)));
            // The caller may have stopped waiting.
            let _ = result.send(outcome.map_err(|_| NodeError::Panicked));
        };
        self.sender.send(Letter::Run(Box::new(run))).await.map_err(|_| NodeError::Gone)?;
        outcome.await.unwrap_or(Err(NodeError::Gone))
    }

    /// Ends the node when `grace` has passed, or before if its machine stops by itself, and returns when it has ended.
    ///
    /// Connections that the machine has not brought to their end are dropped.
    pub async fn stop(&self, grace: Duration) {
        // If the mailbox is closed, the node has ended already.
        let _ = self.sender.send(Letter::Stop { grace }).await;
        self.sender.closed().await;
    }

    /// Tells whether the node has ended.
    pub fn is_gone(&self) -> bool {
        self.sender.is_closed()
    }

    /// Returns a handle that does not keep the node alive.
    pub fn downgrade(&self) -> WeakNodeHandle<M> {
        WeakNodeHandle { sender: self.sender.downgrade() }
    }
}

impl<M> Clone for NodeHandle<M> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone() }
    }
}

impl<M> fmt::Debug for NodeHandle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeHandle")
    }
}

/// A handle that does not keep its node alive.
pub struct WeakNodeHandle<M> {
    sender: mpsc::WeakSender<Letter<M>>,
}

impl<M> WeakNodeHandle<M> {
    /// Returns a full handle, unless none is left.
    pub fn upgrade(&self) -> Option<NodeHandle<M>> {
        self.sender.upgrade().map(|sender| NodeHandle { sender })
    }
}

impl<M> Clone for WeakNodeHandle<M> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone() }
    }
}

impl<M> fmt::Debug for WeakNodeHandle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakNodeHandle")
    }
}

/// What handles put into the mailbox.
pub(crate) enum Letter<M> {
    Run(Run<M>),
    Stop { grace: Duration },
}

/// What a letter does to the machine at the node's time.
type Run<M> = Box<dyn FnOnce(&mut M, Instant) + Send>;

/// Letters under way before callers wait.
const MAILBOX: usize = 256;
