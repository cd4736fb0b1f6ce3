use std::{
    sync::mpsc::{Receiver, sync_channel},
    time::Duration,
};

use sansip::{ClientHandle, Cx, Host, Nested, Outgoing, Response, Service};

use crate::{NodeError, NodeHandle, Received, RequestError};

impl<S: Service + Send + 'static, M: Nested<Inner = Host<S>> + Send + 'static> NodeHandle<M> {
    /// Runs a closure with the service and its endpoint, and returns its result.
    pub fn with_service<R>(&self, f: impl FnOnce(&mut S, &mut Cx<'_>) -> R) -> Result<R, NodeError> {
        self.with(|machine, now| machine.inner().with(now, f))
    }

    /// Sends a request and waits for its final response.
    pub fn request(&self, outgoing: Outgoing) -> Result<Response, RequestError> {
        Ok(self.send(outgoing)?.finish()?.response)
    }

    /// Sends a request, and returns the means to follow what becomes of it.
    pub fn send(&self, outgoing: Outgoing) -> Result<Sent, RequestError> {
        let (provisional, provisionals) = sync_channel(PROVISIONALS);
        let (end, ended) = sync_channel(1);
        // Whoever sent it may not listen any more, or not keep up.
        let provisional = move |received| drop(provisional.try_send(received));
        let end = move |outcome| drop(end.try_send(outcome));
        let client = self.with(|machine, now| machine.inner().follow(now, outgoing, provisional, end))??;
        Ok(Sent { client, provisionals, ended })
    }

    /// Cancels an INVITE that was sent. It still comes to an end of its own, with 487 as a rule.
    pub fn cancel(&self, client: ClientHandle) -> Result<(), NodeError> {
        // One that has ended needs no cancelling.
        let _gone = self.with_service(|_, cx| cx.cancel(client))?;
        Ok(())
    }

    /// Ends all calls when they are over or `grace` has passed, then all connections in order, then the node, and
    /// returns when all have ended.
    pub fn shutdown(&self, grace: Duration) {
        // If the node has ended already, so has all else.
        let longest = self.with(|machine, now| machine.inner().shut_down(now, grace));
        self.stop(longest.unwrap_or(grace));
    }
}

/// A request that was sent. Dropping it changes nothing for the request.
///
/// Not to be waited for inside of the machine, which meanwhile takes nothing in.
#[derive(Debug)]
pub struct Sent {
    client: ClientHandle,
    provisionals: Receiver<Received>,
    ended: Receiver<Result<Received, RequestError>>,
}

impl Sent {
    /// Returns the handle of the client transaction.
    pub const fn client(&self) -> ClientHandle {
        self.client
    }

    /// Waits for the next provisional response, `None` when no more will come.
    ///
    /// Only so many are kept for one who does not ask: 16, then newer ones are lost.
    pub fn provisional(&self) -> Option<Received> {
        self.provisionals.recv().ok()
    }

    /// Waits for the first final response.
    pub fn finish(self) -> Result<Received, RequestError> {
        self.ended.recv().unwrap_or(Err(RequestError::Node(NodeError::Gone)))
    }
}

/// Provisional responses kept for one request.
const PROVISIONALS: usize = 16;
