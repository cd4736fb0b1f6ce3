use std::{future::poll_fn, net::SocketAddr};

use sansip::{Endpoint, Host, Machine, Nested};
use sansip_net::{Async, AsyncService, Lookups, Mailbox, NodeHandle, mailbox};

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

/// A handle of a node that runs an [`AsyncService`].
pub type AsyncNode<A> = NodeHandle<Host<Async<A>>>;

/// Starts a task on the current runtime that runs an endpoint with an asynchronous service.
///
/// # Panics
///
/// As [`spawn`].
pub fn spawn_async<A: AsyncService>(endpoint: Endpoint, service: A) -> AsyncNode<A> {
    spawn_async_inside(endpoint, service, |host| host)
}

/// Like [`spawn_async`], inside of what `around` puts around it, such as TLS and WebSocket (`Wire`).
///
/// # Panics
///
/// As [`spawn`].
pub fn spawn_async_inside<A, M>(
    endpoint: Endpoint,
    service: A,
    around: impl FnOnce(Host<Async<A>>) -> M,
) -> NodeHandle<M>
where
    A: AsyncService,
    M: Nested<Inner = Host<Async<A>>> + Send + 'static,
{
    let (node, handle) = node();
    let service = Async::new(service, &handle.inner(), |task| drop(tokio::spawn(task)));
    tokio::spawn(node.run(around(Host::new(endpoint, service))));
    handle
}

/// Makes a node that has no machine yet, and its handle, for machines that want to know their handle.
pub fn node<M: Machine + 'static>() -> (Node<M>, NodeHandle<M>) {
    let (mailbox, handle) = mailbox();
    (Node { mailbox, servers: Vec::new() }, handle)
}

/// A mailbox waiting for a machine to serve.
#[derive(Debug)]
pub struct Node<M> {
    mailbox: Mailbox<M>,
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
