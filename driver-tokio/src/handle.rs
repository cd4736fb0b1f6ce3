use std::time::Duration;

use sansip::{
    ClientEnd, ClientHandle, ClientUpdate, Cx, DialogHandle, Host, Outgoing, Response, SendError, Service,
};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::{NodeError, NodeHandle};

impl<S: Service + Send + 'static> NodeHandle<Host<S>> {
    /// Runs a closure with the service and its endpoint, and returns its result.
    pub async fn with_service<R, F>(&self, f: F) -> Result<R, NodeError>
    where
        F: FnOnce(&mut S, &mut Cx<'_>) -> R + Send + 'static,
        R: Send + 'static,
    {
        self.with(move |host, now| host.with(now, f)).await
    }

    /// Sends a request and returns its final response.
    pub async fn request(&self, outgoing: Outgoing) -> Result<Response, RequestError> {
        let sent = self.send(outgoing).await?;
        Ok(sent.finish().await?.response)
    }

    /// Sends a request, and returns the means to follow what becomes of it.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Sent, RequestError> {
        let (provisional, provisionals) = mpsc::channel(PROVISIONALS);
        let (end, ended) = oneshot::channel();
        let mut watch = Watch { provisional: Some(provisional), end: Some(end) };
        let client =
            self.with(move |host, now| host.request(now, outgoing, move |update| watch.take(update)));
        Ok(Sent { client: client.await??, provisionals, ended })
    }

    /// Cancels an INVITE that was sent. It still comes to an end of its own, with 487 as a rule.
    pub async fn cancel(&self, client: ClientHandle) -> Result<(), NodeError> {
        // One that has ended needs no cancelling.
        let _gone = self.with_service(move |_, cx| cx.cancel(client)).await?;
        Ok(())
    }

    /// Ends all calls, then the node: when the last call is over, or when `grace` has passed.
    pub async fn shutdown(&self, grace: Duration) {
        // If the node has ended already, so has all else.
        let _ = self.with_service(move |_, cx| cx.shutdown(grace)).await;
        // The machine stops by itself at the end of its grace; a little more lets it.
        self.stop(grace + Duration::from_millis(500)).await;
    }
}

/// A request that was sent. Dropping it changes nothing for the request.
#[derive(Debug)]
pub struct Sent {
    client: ClientHandle,
    provisionals: mpsc::Receiver<Received>,
    ended: oneshot::Receiver<Result<Received, ClientEnd>>,
}

/// A response and the dialog that it belongs to.
#[derive(Clone, Debug)]
pub struct Received {
    /// The response.
    pub response: Response,
    /// The dialog, if the request makes or uses one.
    pub dialog: Option<DialogHandle>,
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
        self.provisionals.recv().await
    }

    /// Returns the first final response.
    pub async fn finish(self) -> Result<Received, RequestError> {
        match self.ended.await {
            Ok(Ok(received)) => Ok(received),
            Ok(Err(end)) => Err(RequestError::Ended(end)),
            Err(_) => Err(NodeError::Gone.into()),
        }
    }
}

/// Why a request got no final response.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It cannot be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// It ended without one.
    #[error("the request ended without a final response: {0:?}")]
    Ended(ClientEnd),
    /// The node did not do it.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// Carries the news of a request out of the node.
struct Watch {
    provisional: Option<mpsc::Sender<Received>>,
    end: Option<oneshot::Sender<Result<Received, ClientEnd>>>,
}

impl Watch {
    fn take(&mut self, update: ClientUpdate<'_>) {
        // Whoever sent it may not listen any more, or not keep up.
        match update {
            ClientUpdate::Response(response, dialog) => {
                let received = Received { response: response.clone(), dialog };
                if response.status().is_final() {
                    self.provisional = None;
                    self.tell(Ok(received));
                } else if let Some(provisional) = &self.provisional {
                    let _ = provisional.try_send(received);
                }
            }
            ClientUpdate::Ended(end) => self.tell(Err(end)),
        }
    }

    fn tell(&mut self, end: Result<Received, ClientEnd>) {
        if let Some(ended) = self.end.take() {
            let _ = ended.send(end);
        }
    }
}

/// Provisional responses kept for one request.
const PROVISIONALS: usize = 16;
