use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_channel::{Receiver, Sender, WeakSender, bounded};
use futures_lite::Stream;
use sansip::{Instant, Machine, Nested, NodeError};

/// Makes the mailbox of a node, and its handle.
pub fn mailbox<M: Machine + 'static>() -> (Mailbox<M>, NodeHandle<M>) {
    let (sender, letters) = bounded(MAILBOX);
    (Mailbox(Box::pin(letters)), NodeHandle { way: Arc::new(sender) })
}

/// Reaches a running node from anywhere. Cheap to clone; the node ends when the last one is dropped.
pub struct NodeHandle<M> {
    way: Arc<dyn Way<M>>,
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
        self.way.post(Letter::Run(Box::new(run))).await?;
        outcome.recv().await.unwrap_or(Err(NodeError::Gone))
    }

    /// Ends the node when `grace` has passed, or before if its machine stops by itself, and returns when it has ended.
    ///
    /// Connections that the machine has not brought to their end are dropped.
    pub async fn stop(&self, grace: Duration) {
        // If the mailbox is closed, the node has ended already.
        let _ = self.way.post(Letter::Stop { grace }).await;
        self.way.closed().await;
    }

    /// Tells whether the node has ended.
    pub fn is_gone(&self) -> bool {
        self.way.is_closed()
    }

    /// Returns a handle that does not keep the node alive.
    pub fn downgrade(&self) -> WeakNodeHandle<M> {
        WeakNodeHandle { way: self.way.downgrade() }
    }
}

impl<M: Nested<Inner: Sized + 'static> + 'static> NodeHandle<M> {
    /// Returns a handle to the innermost machine, of the same node.
    pub fn inner(&self) -> NodeHandle<M::Inner> {
        NodeHandle { way: Arc::new(Inward(Arc::clone(&self.way))) }
    }
}

impl<M> Clone for NodeHandle<M> {
    fn clone(&self) -> Self {
        Self { way: Arc::clone(&self.way) }
    }
}

impl<M> fmt::Debug for NodeHandle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeHandle")
    }
}

/// A handle that does not keep its node alive.
pub struct WeakNodeHandle<M> {
    way: Arc<dyn WeakWay<M>>,
}

impl<M> WeakNodeHandle<M> {
    /// Returns a full handle, unless none is left.
    pub fn upgrade(&self) -> Option<NodeHandle<M>> {
        self.way.upgrade().map(|way| NodeHandle { way })
    }
}

impl<M> Clone for WeakNodeHandle<M> {
    fn clone(&self) -> Self {
        Self { way: Arc::clone(&self.way) }
    }
}

impl<M> fmt::Debug for WeakNodeHandle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakNodeHandle")
    }
}

/// What handles have sent. It is closed when it goes, by which they see that the node has ended.
pub struct Mailbox<M>(Pin<Box<Receiver<Letter<M>>>>);

impl<M> Mailbox<M> {
    /// Returns the next letter, `None` when all handles are gone.
    pub fn poll_letter(&mut self, cx: &mut Context<'_>) -> Poll<Option<Letter<M>>> {
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
pub enum Letter<M> {
    /// Do this to the machine at the node's time.
    Run(Run<M>),
    /// End when this has passed.
    Stop {
        /// How long the machine may go on.
        grace: Duration,
    },
}

/// What a letter does to the machine.
pub type Run<M> = Box<dyn FnOnce(&mut M, Instant) + Send>;

/// The way into a mailbox for letters to a machine, or to one that stands around it.
trait Way<M>: Send + Sync {
    fn post(&self, letter: Letter<M>) -> Waiting<'_, Result<(), NodeError>>;
    fn closed(&self) -> Waiting<'_, ()>;
    fn is_closed(&self) -> bool;
    fn downgrade(&self) -> Arc<dyn WeakWay<M>>;
}

/// A way that does not keep the node alive.
trait WeakWay<M>: Send + Sync {
    fn upgrade(&self) -> Option<Arc<dyn Way<M>>>;
}

type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl<M: 'static> Way<M> for Sender<Letter<M>> {
    fn post(&self, letter: Letter<M>) -> Waiting<'_, Result<(), NodeError>> {
        Box::pin(async move { self.send(letter).await.map_err(|_| NodeError::Gone) })
    }

    fn closed(&self) -> Waiting<'_, ()> {
        Box::pin(Self::closed(self))
    }

    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }

    fn downgrade(&self) -> Arc<dyn WeakWay<M>> {
        Arc::new(Self::downgrade(self))
    }
}

impl<M: 'static> WeakWay<M> for WeakSender<Letter<M>> {
    fn upgrade(&self) -> Option<Arc<dyn Way<M>>> {
        Some(Arc::new(Self::upgrade(self)?))
    }
}

/// The way through a machine to the innermost.
struct Inward<W: ?Sized>(Arc<W>);

impl<M: Nested<Inner: Sized + 'static> + 'static> Way<M::Inner> for Inward<dyn Way<M>> {
    fn post(&self, letter: Letter<M::Inner>) -> Waiting<'_, Result<(), NodeError>> {
        self.0.post(match letter {
            Letter::Run(run) => Letter::Run(Box::new(|machine, now| run(machine.inner(), now))),
            Letter::Stop { grace } => Letter::Stop { grace },
        })
    }

    fn closed(&self) -> Waiting<'_, ()> {
        self.0.closed()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn downgrade(&self) -> Arc<dyn WeakWay<M::Inner>> {
        Arc::new(Inward(self.0.downgrade()))
    }
}

impl<M: Nested<Inner: Sized + 'static> + 'static> WeakWay<M::Inner> for Inward<dyn WeakWay<M>> {
    fn upgrade(&self) -> Option<Arc<dyn Way<M::Inner>>> {
        Some(Arc::new(Inward(self.0.upgrade()?)))
    }
}

/// Letters under way before callers wait.
const MAILBOX: usize = 256;
