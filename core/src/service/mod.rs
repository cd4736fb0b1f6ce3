//! Services with optional callbacks: the usual way to write an application.

mod follow;
mod host;

pub use follow::{NodeError, Received, RequestError};
pub use host::{ClientUpdate, Host};

use std::net::{IpAddr, SocketAddr};

use crate::{
    decision::{
        AlarmId, Answer, AskId, ClientEnd, ClientHandle, DialogChange, DialogHandle, Question, Reply,
        Routing, ServerEnd, ServerHandle, Void,
    },
    endpoint::Cx,
    syntax::{Request, Response},
    transport::{FlowChange, FlowId, IoKind, Proto, SocketId},
};

/// An application as callbacks, all of them optional.
///
/// A decision is answered at once, with [`Question::answer`], or later, with [`Question::defer`] and
/// [`Cx::answer`]. While it waits, everything else goes on.
#[allow(unused_variables)]
pub trait Service {
    /// Starts: the place to open sockets.
    fn init(&mut self, cx: &mut Cx<'_>) {}

    /// Decides where a request goes. By default it is processed here.
    fn routing(&mut self, cx: &mut Cx<'_>, question: Question<Routing>) -> Answer<Routing> {
        question.answer(Routing::Process)
    }

    /// Answers an INVITE that starts a call. By default it is declined with 603.
    fn invite(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        question.answer(Reply::decline())
    }

    /// Answers an INVITE in a dialog. By default like one that starts a call.
    fn reinvite(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        self.invite(cx, question)
    }

    /// Answers OPTIONS. By default with 200, which the endpoint completes with Allow, Accept and Supported.
    fn options(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        question.answer(Reply::ok())
    }

    /// Answers REGISTER. By default with 405.
    fn register(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        question.answer(Reply::method_not_allowed())
    }

    /// Answers BYE. By default with 200. The dialog ends whatever the answer is.
    fn bye(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        question.answer(Reply::ok())
    }

    /// Answers INFO. By default with 200.
    fn info(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        question.answer(Reply::ok())
    }

    /// Answers MESSAGE. By default it is declined with 603.
    fn message(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        question.answer(Reply::decline())
    }

    /// Answers the PRACK of a reliable provisional response. By default with 200.
    fn prack(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        question.answer(Reply::ok())
    }

    /// Answers any other method that the configuration allows. By default with 501.
    fn other(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        question.answer(Reply::not_implemented())
    }

    /// Learns of the first ACK for each 2xx.
    fn ack(&mut self, cx: &mut Cx<'_>, dialog: DialogHandle, request: &Request) {}

    /// Learns that an INVITE was cancelled.
    fn cancelled(&mut self, cx: &mut Cx<'_>, server: ServerHandle, request: &Request) {}

    /// Learns that a deferred question needs no answer any more.
    fn voided(&mut self, cx: &mut Cx<'_>, ask: AskId, why: Void) {}

    /// Learns of a response to a request that was sent.
    fn response(
        &mut self,
        cx: &mut Cx<'_>,
        client: ClientHandle,
        response: &Response,
        dialog: Option<DialogHandle>,
    ) {
    }

    /// Learns how a request that was sent has ended.
    fn client_ended(&mut self, cx: &mut Cx<'_>, client: ClientHandle, end: ClientEnd) {}

    /// Learns that an answer was not delivered or not acknowledged.
    fn server_ended(&mut self, cx: &mut Cx<'_>, server: ServerHandle, end: ServerEnd) {}

    /// Learns of a change in a dialog.
    fn dialog(&mut self, cx: &mut Cx<'_>, dialog: DialogHandle, change: DialogChange) {}

    /// Learns that an alarm rings.
    fn alarm(&mut self, cx: &mut Cx<'_>, alarm: AlarmId) {}

    /// Learns that a socket is open, or why it cannot be opened.
    fn bound(&mut self, cx: &mut Cx<'_>, socket: SocketId, proto: Proto, result: Result<SocketAddr, IoKind>) {
    }

    /// Learns that a connection was opened or has ended, or what a STUN server has told of another flow.
    fn flow(&mut self, cx: &mut Cx<'_>, flow: FlowId, change: &FlowChange) {}

    /// Learns that this machine has lost addresses.
    fn addresses_gone(&mut self, cx: &mut Cx<'_>, addresses: &[IpAddr]) {}

    /// Learns that a request was too large for UDP, and goes over TCP.
    fn switched(&mut self, cx: &mut Cx<'_>, client: ClientHandle) {}
}
