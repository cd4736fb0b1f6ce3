use std::{fmt, marker::PhantomData, net::SocketAddr, sync::Arc};

use crate::{
    decision::{AskId, DialogHandle, Reply, ServerHandle},
    syntax::Request,
    transport::{PeerInfo, Proto},
};

/// A kind of decision that the application takes.
pub trait Decision: Into<Verdict> {
    /// What the application is told beside the request.
    type Facts;
}

/// Where a request goes: the first decision about every request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Routing {
    /// This endpoint is the server: a server transaction is made, and the method's question follows.
    Process,
    /// This endpoint is the server and keeps nothing: retransmissions are answered afresh (RFC 3261 §8.2.7).
    ///
    /// An INVITE cannot be accepted so; it is processed with a transaction as soon as it gets a provisional or 2xx.
    ProcessStateless,
    /// The request is answered at once, by a server transaction.
    Reply(Reply),
    /// The request is answered at once and nothing is kept.
    ReplyStateless(Reply),
}

/// Where a request came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// The transport that it came over.
    pub proto: Proto,
    /// The address at which it was received.
    pub local: SocketAddr,
    /// The address from which it came.
    pub remote: SocketAddr,
    /// What the connection tells of the peer, such as the names that its certificate proves; none if it tells nothing.
    pub peer: Option<Arc<PeerInfo>>,
}

impl Source {
    pub(crate) const fn new(
        proto: Proto,
        (local, remote): (SocketAddr, SocketAddr),
        peer: Option<Arc<PeerInfo>>,
    ) -> Self {
        Self { proto, local, remote, peer }
    }
}

/// What a [`Routing`] question shows beside the request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoutingFacts {
    /// Where the request came from.
    pub source: Source,
}

impl Decision for Routing {
    type Facts = RoutingFacts;
}

/// What the question about a method shows beside the request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MethodFacts {
    /// The dialog that the request belongs to, if any.
    pub dialog: Option<DialogHandle>,
    /// Where the request came from.
    pub source: Source,
}

impl Decision for Reply {
    type Facts = MethodFacts;
}

/// A decision of any kind, as a command carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Verdict {
    /// Answers a routing question.
    Routing(Routing),
    /// Answers a method's question.
    Reply(Reply),
}

impl From<Routing> for Verdict {
    fn from(routing: Routing) -> Self {
        Self::Routing(routing)
    }
}

impl From<Reply> for Verdict {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// A decision that waits for the application.
///
/// It owns what it shows, so it may go to another thread. Exactly one of [`answer`](Self::answer) and
/// [`defer`](Self::defer) ends it; a question that is dropped meets its deadline and then its default.
#[must_use = "a question that is dropped is answered by its default, at its deadline"]
#[derive(Debug)]
pub struct Question<T: Decision> {
    /// The request to decide on.
    pub request: Request,
    /// What else is known.
    pub facts: T::Facts,
    server: ServerHandle,
    pending: Pending<T>,
}

impl<T: Decision> Question<T> {
    pub(crate) const fn new(request: Request, facts: T::Facts, ask: AskId, server: ServerHandle) -> Self {
        Self { request, facts, server, pending: Pending::new(ask) }
    }

    /// Returns the name of the question.
    pub const fn ask(&self) -> AskId {
        self.pending.ask
    }

    /// Returns the handle of the server transaction that the request has, or will have once one is made.
    pub const fn server(&self) -> ServerHandle {
        self.server
    }

    /// Borrows the ticket, to send provisional responses before the answer.
    pub const fn pending(&self) -> &Pending<T> {
        &self.pending
    }

    /// Answers now.
    pub fn answer(self, value: impl Into<T>) -> Answer<T> {
        Answer { ask: self.pending.ask, value: Some(value.into()) }
    }

    /// Answers later: keep the ticket for [`Cx::answer`](crate::Cx::answer), return the rest.
    pub fn defer(self) -> (Pending<T>, Answer<T>) {
        let answer = Answer { ask: self.pending.ask, value: None };
        (self.pending, answer)
    }

    /// Takes the question apart: what it shows, and the ticket.
    pub fn into_parts(self) -> (Request, T::Facts, Pending<T>) {
        (self.request, self.facts, self.pending)
    }
}

/// The move-only right to answer one question, once.
#[must_use = "a pending question that is dropped is answered by its default, at its deadline"]
pub struct Pending<T> {
    ask: AskId,
    _answer: PhantomData<fn(T)>,
}

impl<T> Pending<T> {
    const fn new(ask: AskId) -> Self {
        Self { ask, _answer: PhantomData }
    }

    /// Returns the name of the question.
    pub const fn ask(&self) -> AskId {
        self.ask
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending({})", self.ask)
    }
}

/// Proof that a question was answered or deferred; it comes from a [`Question`] only.
#[must_use = "return it from the callback"]
#[derive(Debug)]
pub struct Answer<T> {
    ask: AskId,
    value: Option<T>,
}

impl<T: Decision> Answer<T> {
    /// Returns the question's name and the answer, unless it was deferred.
    pub(crate) fn into_verdict(self) -> (AskId, Option<Verdict>) {
        (self.ask, self.value.map(Into::into))
    }
}
