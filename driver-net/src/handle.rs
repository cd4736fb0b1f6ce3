use std::time::Duration;

use async_channel::{Receiver, bounded};
use sansip::{
    ClientHandle, Cx, Host, Nested, NodeError, Outgoing, Received, RequestError, Response, SendError, Service,
};

use crate::NodeHandle;

impl<S, M> NodeHandle<M>
where
    S: Service + Send + 'static,
    M: Nested<Inner = Host<S>> + Send + 'static,
{
    /// Runs a closure with the service and its endpoint, and returns its result.
    pub async fn with_service<R, F>(&self, f: F) -> Result<R, NodeError>
    where
        F: FnOnce(&mut S, &mut Cx<'_>) -> R + Send + 'static,
        R: Send + 'static,
    {
        self.with(move |machine, now| machine.inner().with(now, f)).await
    }

    /// Sends a request and returns its final response.
    pub async fn request(&self, outgoing: Outgoing) -> Result<Response, RequestError> {
        Ok(self.send(outgoing).await?.finish().await?.response)
    }

    /// Sends a request, and returns the means to follow what becomes of it.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Sent, RequestError> {
        let (provisional, provisionals) = bounded(PROVISIONALS);
        let (end, ended) = bounded(1);
        // Whoever sent it may not listen any more, or not keep up.
        let provisional = move |received| drop(provisional.try_send(received));
        let end = move |outcome| drop(end.try_send(outcome));
        let sent = self.with(move |machine, now| machine.inner().follow(now, outgoing, provisional, end));
        let sent: Result<_, SendError> = sent.await?;
        Ok(Sent { client: sent?, provisionals, ended })
    }

    /// Cancels an INVITE that was sent. It still comes to an end of its own, with 487 as a rule.
    pub async fn cancel(&self, client: ClientHandle) -> Result<(), NodeError> {
        // One that has ended needs no cancelling.
        let _gone = self.with_service(move |_, cx| cx.cancel(client)).await?;
        Ok(())
    }

    /// Ends all calls when they are over or `grace` has passed, then all connections in order, then the node.
    pub async fn shutdown(&self, grace: Duration) {
        // If the node has ended already, so has all else.
        let longest = self.with(move |machine, now| machine.inner().shut_down(now, grace)).await;
        self.stop(longest.unwrap_or(grace)).await;
    }
}

/// A request that was sent. Dropping it changes nothing for the request.
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

    /// Returns the next provisional response, `None` when no more will come.
    ///
    /// Only so many are kept for one who does not ask: 16, then newer ones are lost.
    pub async fn provisional(&mut self) -> Option<Received> {
        self.provisionals.recv().await.ok()
    }

    /// Returns the first final response.
    pub async fn finish(self) -> Result<Received, RequestError> {
        self.ended.recv().await.unwrap_or(Err(RequestError::Node(NodeError::Gone)))
    }
}

/// Provisional responses kept for one request.
const PROVISIONALS: usize = 16;
