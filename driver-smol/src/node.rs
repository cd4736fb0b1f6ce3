use std::{
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use async_channel::{Receiver, Sender, WeakSender, bounded};
use futures_lite::Stream;
use sansip::{Instant, Machine, NodeError};

use crate::reactor::Reactor;

/// Makes a node that has no machine yet, and its handle, for machines that want to know their handle.
pub fn node<M: Machine>() -> (Node<M>, NodeHandle<M>) {
    let (sender, letters) = bounded(MAILBOX);
    (Node { mailbox: Mailbox(Box::pin(letters)) }, NodeHandle { sender })
}

/// A mailbox waiting for a machine to serve.
#[derive(Debug)]
pub struct Node<M> {
    mailbox: Mailbox<M>,
}

impl<M: Machine> Node<M> {
    /// Runs `machine` with sockets and time of async-io, and returns it in the end.
    ///
    /// It ends when the machine stops, when all handles are gone, or when one asked for [`NodeHandle::stop`].
    pub async fn run(self, machine: M) -> M {
        let mut reactor = Reactor::new(machine, self.mailbox);
        poll_fn(|cx| reactor.poll(cx)).await;
        reactor.into_machine()
    }
}

/// Reaches a running node from anywhere. Cheap to clone; the node ends when the last one is dropped.
pub struct NodeHandle<M> {
    sender: Sender<Letter<M>>,
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
        let (result, outcome) = bounded(1);
        let run = move |machine: &mut M, now| {
            let outcome = catch_unwind(AssertUnwindSafe(|| f(machine, now)));
            // The caller may have stopped waiting.
            let _ = result.try_send(outcome.map_err(|_| NodeError::Panicked));
        };
        self.sender.send(Letter::Run(Box::new(run))).await.map_err(|_| NodeError::Gone)?;
        outcome.recv().await.unwrap_or(Err(NodeError::Gone))
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
    sender: WeakSender<Letter<M>>,
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

/// What handles have sent. It is closed when it goes, by which they see that the node has ended.
pub(crate) struct Mailbox<M>(Pin<Box<Receiver<Letter<M>>>>);

impl<M> Mailbox<M> {
    /// Returns the next letter, `None` when all handles are gone.
    pub(crate) fn poll_letter(&mut self, cx: &mut Context<'_>) -> Poll<Option<Letter<M>>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox")
    }
}

impl<M> Drop for Mailbox<M> {
    fn drop(&mut self) {
        self.0.close();
        // Letters left would stay as long as a handle does, and their senders wait for an answer.
        while self.0.try_recv().is_ok() {}
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
