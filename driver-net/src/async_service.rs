use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    future::{Future, poll_fn},
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use async_channel::{Sender, bounded};
use futures_lite::future::or;
use sansip::{
    AlarmId, Answer, AskId, Command, CommandError, Cx, DialogChange, DialogHandle, Host, IoKind, MethodFacts,
    Pending, Proto, Question, Reply, Request, Routing, RoutingFacts, ServerEnd, ServerHandle, Service,
    SocketId, Verdict, Void, decision::Decision,
};

use crate::{NodeHandle, WeakNodeHandle};

/// An application whose decisions may wait for something, written with `async fn`. All methods are optional.
///
/// An answer that is ready at once costs no task. One that waits holds up its own request only; if the request is
/// cancelled, or the answer's time is up, the future is dropped at its next point of waiting. A panic gets a 500.
#[allow(unused_variables)]
pub trait AsyncService: Send + Sync + Sized + 'static {
    /// Starts: the place to open sockets.
    fn init(&self, cx: &mut Cx<'_>) {}

    /// Decides where a request goes. By default it is processed here.
    fn routing(&self, asked: Asked<Self, RoutingFacts>) -> impl Future<Output = Routing> + Send {
        async { Routing::Process }
    }

    /// Answers an INVITE that starts a call. By default it is declined with 603.
    fn invite(&self, asked: Asked<Self, MethodFacts>) -> impl Future<Output = Reply> + Send {
        async { Reply::decline() }
    }

    /// Answers an INVITE in a dialog. By default like one that starts a call.
    fn reinvite(&self, asked: Asked<Self, MethodFacts>) -> impl Future<Output = Reply> + Send {
        self.invite(asked)
    }

    /// Answers OPTIONS. By default with 200.
    fn options(&self, asked: Asked<Self, MethodFacts>) -> impl Future<Output = Reply> + Send {
        async { Reply::ok() }
    }

    /// Answers REGISTER. By default with 405.
    fn register(&self, asked: Asked<Self, MethodFacts>) -> impl Future<Output = Reply> + Send {
        async { Reply::method_not_allowed() }
    }

    /// Answers BYE. By default with 200.
    fn bye(&self, asked: Asked<Self, MethodFacts>) -> impl Future<Output = Reply> + Send {
        async { Reply::ok() }
    }

    /// Answers INFO. By default with 200.
    fn info(&self, asked: Asked<Self, MethodFacts>) -> impl Future<Output = Reply> + Send {
        async { Reply::ok() }
    }

    /// Answers MESSAGE. By default it is declined with 603.
    fn message(&self, asked: Asked<Self, MethodFacts>) -> impl Future<Output = Reply> + Send {
        async { Reply::decline() }
    }

    /// Answers any other method that the configuration allows. By default with 501.
    fn other(&self, asked: Asked<Self, MethodFacts>) -> impl Future<Output = Reply> + Send {
        async { Reply::not_implemented() }
    }

    /// Learns of the first ACK for each 2xx.
    fn ack(&self, cx: &mut Cx<'_>, dialog: DialogHandle, request: &Request) {}

    /// Learns that an answer was not delivered or not acknowledged.
    fn server_ended(&self, cx: &mut Cx<'_>, server: ServerHandle, end: ServerEnd) {}

    /// Learns of a change in a dialog.
    fn dialog(&self, cx: &mut Cx<'_>, dialog: DialogHandle, change: DialogChange) {}

    /// Learns that an alarm rings.
    fn alarm(&self, cx: &mut Cx<'_>, alarm: AlarmId) {}

    /// Learns that a socket is open, or why it cannot be opened.
    fn bound(&self, cx: &mut Cx<'_>, socket: SocketId, proto: Proto, result: Result<SocketAddr, IoKind>) {}
}

/// A question as an [`AsyncService`] sees it.
#[derive(Debug)]
pub struct Asked<A: AsyncService, F> {
    /// The request to decide on.
    pub request: Request,
    /// What else is known.
    pub facts: F,
    /// The server transaction that the request has, or will have once one is made.
    pub server: ServerHandle,
    /// The node, for requests of one's own. Closures for it run after the future has waited once.
    pub node: WeakNodeHandle<Host<Async<A>>>,
    ask: AskId,
}

impl<A: AsyncService> Asked<A, MethodFacts> {
    /// Sends a provisional response, 101 to 199, before the answer.
    pub async fn provisional(&self, reply: Reply) -> Result<(), CommandError> {
        let command = Command::Provisional { ask: self.ask, reply };
        let node = self.node.upgrade().ok_or(sansip::Gone)?;
        match node.with_service(move |_, cx| cx.command(command)).await {
            Ok(outcome) => outcome.map(drop),
            Err(_) => Err(sansip::Gone.into()),
        }
    }
}

/// The [`Service`] that an [`AsyncService`] becomes: it spawns what cannot be answered at once.
pub struct Async<A: AsyncService> {
    inner: Arc<A>,
    node: WeakNodeHandle<Host<Self>>,
    spawn: Box<dyn Fn(Task) + Send>,
    /// Those that wait for an answer; each ends when its sender goes.
    running: HashMap<AskId, Sender<Infallible>>,
}

/// What an executor is given to run.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<A: AsyncService> Async<A> {
    /// Makes a service of an asynchronous one, for the node of a handle, with what spawns its tasks.
    pub fn new(service: A, node: &NodeHandle<Host<Self>>, spawn: impl Fn(Task) + Send + 'static) -> Self {
        let node = node.downgrade();
        Self { inner: Arc::new(service), node, spawn: Box::new(spawn), running: HashMap::new() }
    }

    /// Borrows the service.
    pub fn service(&self) -> &A {
        &self.inner
    }

    fn decide<T, Fut>(
        &mut self,
        question: Question<T>,
        failed: T,
        decide: impl FnOnce(Arc<A>, Asked<A, T::Facts>) -> Fut,
    ) -> Answer<T>
    where
        T: Decision + Send + 'static,
        T::Facts: Clone,
        Verdict: From<T>,
        Fut: Future<Output = T> + Send + 'static,
    {
        let asked = Asked {
            request: question.request.clone(),
            facts: question.facts.clone(),
            server: question.server(),
            node: self.node.clone(),
            ask: question.ask(),
        };
        let mut future = Box::pin(decide(Arc::clone(&self.inner), asked));
        // Its waker need not work: if it waits, the task polls it again.
        if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return question.answer(answer);
        }
        let (pending, later) = question.defer();
        let ask = pending.ask();
        let (running, ended) = bounded::<Infallible>(1);
        let finish = finish(future, failed, pending, self.node.clone());
        let until_ended = async move {
            // Nothing is sent: it ends with the sender.
            let _ended = ended.recv().await;
        };
        (self.spawn)(Box::pin(or(finish, until_ended)));
        self.running.insert(ask, running);
        later
    }

    fn decide_reply<Fut>(
        &mut self,
        question: Question<Reply>,
        decide: impl FnOnce(Arc<A>, Asked<A, MethodFacts>) -> Fut,
    ) -> Answer<Reply>
    where
        Fut: Future<Output = Reply> + Send + 'static,
    {
        self.decide(question, Reply::internal_error(), decide)
    }
}

/// Waits for an answer and posts it.
async fn finish<A: AsyncService, T: Decision + Send + 'static>(
    mut future: Pin<Box<impl Future<Output = T> + Send>>,
    failed: T,
    pending: Pending<T>,
    node: WeakNodeHandle<Host<Async<A>>>,
) {
    let poll = |cx: &mut Context<'_>| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    };
    let answer = poll_fn(poll).await.unwrap_or(failed);
    let Some(node) = node.upgrade() else { return };
    let post = move |service: &mut Async<A>, cx: &mut Cx<'_>| {
        service.running.remove(&pending.ask());
        // It may have been voided on its way here.
        let _ = cx.answer(pending, answer);
    };
    // If the node has ended, nobody waits for the answer.
    let _ = node.with_service(post).await;
}

macro_rules! methods {
    ($($method:ident)*) => {$(
        fn $method(&mut self, _: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
            self.decide_reply(question, |service, asked| async move { service.$method(asked).await })
        }
    )*};
}

impl<A: AsyncService> Service for Async<A> {
    methods! { invite reinvite options register bye info message other }

    fn routing(&mut self, _: &mut Cx<'_>, question: Question<Routing>) -> Answer<Routing> {
        let failed = Routing::Reply(Reply::internal_error());
        self.decide(question, failed, |service, asked| async move { service.routing(asked).await })
    }

    fn voided(&mut self, _: &mut Cx<'_>, ask: AskId, _: Void) {
        self.running.remove(&ask);
    }

    fn init(&mut self, cx: &mut Cx<'_>) {
        self.inner.init(cx);
    }

    fn ack(&mut self, cx: &mut Cx<'_>, dialog: DialogHandle, request: &Request) {
        self.inner.ack(cx, dialog, request);
    }

    fn server_ended(&mut self, cx: &mut Cx<'_>, server: ServerHandle, end: ServerEnd) {
        self.inner.server_ended(cx, server, end);
    }

    fn dialog(&mut self, cx: &mut Cx<'_>, dialog: DialogHandle, change: DialogChange) {
        self.inner.dialog(cx, dialog, change);
    }

    fn alarm(&mut self, cx: &mut Cx<'_>, alarm: AlarmId) {
        self.inner.alarm(cx, alarm);
    }

    fn bound(&mut self, cx: &mut Cx<'_>, socket: SocketId, proto: Proto, result: Result<SocketAddr, IoKind>) {
        self.inner.bound(cx, socket, proto, result);
    }
}

impl<A: AsyncService> fmt::Debug for Async<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Async").field("running", &self.running.len()).finish_non_exhaustive()
    }
}
