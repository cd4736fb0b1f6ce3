use thiserror::Error;

use crate::{
    base::Instant,
    decision::{ClientEnd, ClientHandle, DialogHandle, Outgoing, SendError},
    service::{ClientUpdate, Host, Service},
    syntax::Response,
};

impl<S: Service> Host<S> {
    /// Sends a request, and tells a caller that lives outside of the machine what becomes of it.
    ///
    /// `end` is called once, with the first final response or what came in its stead. `provisional` is dropped before.
    pub fn follow(
        &mut self,
        now: Instant,
        outgoing: Outgoing,
        provisional: impl FnMut(Received) + Send + 'static,
        end: impl FnOnce(Result<Received, RequestError>) + Send + 'static,
    ) -> Result<ClientHandle, SendError> {
        let mut waiting = Some((provisional, end));
        self.request(now, outgoing, move |update| {
            let outcome = match update {
                ClientUpdate::Response(response, dialog) => {
                    let received = Received { response: response.clone(), dialog };
                    if !response.status().is_final() {
                        if let Some((provisional, _)) = &mut waiting {
                            provisional(received);
                        }
                        return;
                    }
                    Ok(received)
                }
                ClientUpdate::Ended(end) => Err(RequestError::Ended(end)),
            };
            if let Some((provisional, end)) = waiting.take() {
                drop(provisional);
                end(outcome);
            }
        })
    }
}

/// A response and the dialog that it belongs to.
#[derive(Clone, Debug)]
pub struct Received {
    /// The response.
    pub response: Response,
    /// The dialog, if the request makes or uses one.
    pub dialog: Option<DialogHandle>,
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

/// Why a node, which is a machine run by a driver, did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The node has ended.
    #[error("the node has ended")]
    Gone,
    /// The closure panicked.
    #[error("the closure panicked")]
    Panicked,
    /// The caller is inside of the machine, which would wait for itself.
    #[error("called from inside of the machine")]
    Inside,
}
