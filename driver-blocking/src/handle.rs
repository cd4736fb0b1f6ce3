use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    time::Duration,
};

use sansip::{
    ClientEnd, ClientHandle, ClientUpdate, Cx, DialogHandle, Host, Outgoing, Response, SendError, Service,
};
use thiserror::Error;

use crate::{NodeError, NodeHandle};

impl<S: Service + Send + 'static> NodeHandle<Host<S>> {
    /// Runs a closure with the service and its endpoint, and returns its result.
    pub fn with_service<R>(&self, f: impl FnOnce(&mut S, &mut Cx<'_>) -> R) -> Result<R, NodeError> {
        self.with(|host, now| host.with(now, f))
    }

    /// Sends a request and waits for its final response.
    pub fn request(&self, outgoing: Outgoing) -> Result<Response, RequestError> {
        let sent = self.send(outgoing)?;
        Ok(sent.finish()?.response)
    }

    /// Sends a request, and returns the means to follow what becomes of it.
    pub fn send(&self, outgoing: Outgoing) -> Result<Sent, RequestError> {
        let (provisional, provisionals) = sync_channel(PROVISIONALS);
        let (end, ended) = sync_channel(1);
        let mut watch = Watch { provisional: Some(provisional), end: Some(end) };
        let client =
            self.with(|host, now| host.request(now, outgoing, move |update| watch.take(update)))??;
        Ok(Sent { client, provisionals, ended })
    }

    /// Cancels an INVITE that was sent. It still comes to an end of its own, with 487 as a rule.
    pub fn cancel(&self, client: ClientHandle) -> Result<(), NodeError> {
        // One that has ended needs no cancelling.
        let _gone = self.with_service(|_, cx| cx.cancel(client))?;
        Ok(())
    }

    /// Ends all calls, then the node, and returns when both have ended: when the last call is over, or when `grace` has passed.
    pub fn shutdown(&self, grace: Duration) {
        // If the node has ended already, so has all else.
        let _ = self.with_service(|_, cx| cx.shutdown(grace));
        // The machine stops by itself at the end of its grace; a little more lets it.
        self.stop(grace + Duration::from_millis(500));
    }
}

/// A request that was sent. Dropping it changes nothing for the request.
///
/// Not to be waited for inside of the machine, which meanwhile takes nothing in.
#[derive(Debug)]
pub struct Sent {
    client: ClientHandle,
    provisionals: Receiver<Received>,
    ended: Receiver<Result<Received, ClientEnd>>,
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

    /// Waits for the next provisional response, `None` when no more will come.
    ///
    /// Only so many are kept for one who does not ask: 16, then newer ones are lost.
    pub fn provisional(&self) -> Option<Received> {
        self.provisionals.recv().ok()
    }

    /// Waits for the first final response.
    pub fn finish(self) -> Result<Received, RequestError> {
        match self.ended.recv() {
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
    provisional: Option<SyncSender<Received>>,
    end: Option<SyncSender<Result<Received, ClientEnd>>>,
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
            let _ = ended.try_send(end);
        }
    }
}

/// Provisional responses kept for one request.
const PROVISIONALS: usize = 16;
