use std::{future::poll_fn, net::SocketAddr};

use sansip::{Endpoint, Host, Machine, Nested};
use sansip_net::{Async, AsyncService, Mailbox, NodeHandle, OwnLookups, Task, mailbox};

use crate::reactor::Reactor;

/// Makes a node that has no machine yet, and its handle, for machines that want to know their handle.
pub fn node<M: Machine + 'static>() -> (Node<M>, NodeHandle<M>) {
    let (mailbox, handle) = mailbox();
    (Node { mailbox, servers: Vec::new() }, handle)
}

/// Starts a node that runs an endpoint with an asynchronous service, inside of what `around` puts around it. All of it runs in tasks
/// that `spawn` spawns.
pub fn spawn_async<A, M>(
    endpoint: Endpoint,
    service: A,
    around: impl FnOnce(Host<Async<A>>) -> M,
    spawn: impl Fn(Task) + Clone + Send + 'static,
) -> NodeHandle<M>
where
    A: AsyncService,
    M: Nested<Inner = Host<Async<A>>> + Send + 'static,
{
    let (node, handle) = node();
    let service = Async::new(service, &handle.inner(), spawn.clone());
    let machine = around(Host::new(endpoint, service));
    spawn(Box::pin(async move { drop(node.run(machine).await) }));
    handle
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

    /// Runs `machine` with sockets and time of async-io, and returns it in the end.
    ///
    /// It ends when the machine stops, when all handles are gone, or when one asked for [`NodeHandle::stop`].
    pub async fn run(self, machine: M) -> M {
        let mut reactor = Reactor::new(machine, self.mailbox, OwnLookups::asking(self.servers));
        poll_fn(|cx| reactor.poll(cx)).await;
        reactor.into_machine()
    }
}
