use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use crate::{
    base::{Instant, Limits},
    decision::{
        Answer, Ask, AskId, ClientEnd, ClientHandle, Command, Decision, DialogHandle, Event, Outgoing,
        Question, Record, Reply, SendError, Verdict,
    },
    endpoint::{Cx, Endpoint, Machine, Nested},
    service::Service,
    syntax::{HeaderValue, Method, Response},
    transport::{Input, Output},
};

/// An endpoint and the service that decides for it, as one machine.
///
/// Callbacks run while the endpoint is at rest, so they may command it freely. One that panics costs its own question,
/// which gets a 500, and nothing else.
pub struct Host<S> {
    endpoint: Endpoint,
    service: S,
    watches: BTreeMap<ClientHandle, Watch>,
    started: bool,
    now: Instant,
    /// Whether events are left for the next input.
    behind: bool,
}

/// What is called with the news of one request.
type Watch = Box<dyn FnMut(ClientUpdate<'_>) + Send>;

/// News of a request that was sent.
#[derive(Clone, Copy, Debug)]
pub enum ClientUpdate<'a> {
    /// A response arrived.
    Response(&'a Response, Option<DialogHandle>),
    /// It has come to its end; nothing follows.
    Ended(ClientEnd),
}

impl<S: Service> Host<S> {
    /// Joins an endpoint and a service. The service starts with the first input or the first use of [`with`](Self::with).
    pub const fn new(endpoint: Endpoint, service: S) -> Self {
        Self {
            endpoint,
            service,
            watches: BTreeMap::new(),
            started: false,
            now: Instant::EPOCH,
            behind: false,
        }
    }

    /// Runs a piece of the application: the mailbox through which anything outside talks to it.
    pub fn with<R>(&mut self, now: Instant, run: impl FnOnce(&mut S, &mut Cx<'_>) -> R) -> R {
        self.start(now);
        let result = run(&mut self.service, &mut self.endpoint.at(self.now));
        self.run_events();
        result
    }

    /// Sends a request, and calls `watch` with all news of it, beside the service's own callbacks.
    pub fn request(
        &mut self,
        now: Instant,
        outgoing: Outgoing,
        watch: impl FnMut(ClientUpdate<'_>) + Send + 'static,
    ) -> Result<ClientHandle, SendError> {
        self.start(now);
        // The watch has to be there before the first news, which may be part of sending.
        let client = self.endpoint.at(self.now).request(outgoing)?;
        self.watches.insert(client, Box::new(watch));
        self.run_events();
        Ok(client)
    }

    /// Ends all calls, then all connections, and returns how long that may take.
    pub fn shut_down(&mut self, now: Instant, grace: Duration) -> Duration {
        self.with(now, |_, cx| cx.shutdown(grace));
        grace + self.endpoint.config().limits.linger + SLACK
    }

    /// Borrows the endpoint.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Borrows the service.
    pub const fn service(&self) -> &S {
        &self.service
    }

    /// Turns recording on; see [`Endpoint::record`].
    pub fn record(&mut self) {
        self.endpoint.record();
    }

    fn start(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if !self.started {
            self.started = true;
            self.guarded(None, |service, cx| service.init(cx));
            self.run_events();
        }
    }

    fn run_events(&mut self) {
        // A service that answers each event with one more would never come to rest.
        for _ in 0..self.endpoint.config().limits.events_per_input {
            let Some(event) = self.endpoint.poll_event() else {
                self.behind = false;
                return;
            };
            self.run(event);
        }
        self.behind = true;
    }

    fn run(&mut self, event: Event) {
        match event {
            Event::Ask(ask) => self.ask(ask),
            Event::Response { client, response, dialog } => {
                self.tell_watch(client, ClientUpdate::Response(&response, dialog));
                self.guarded(None, |service, cx| service.response(cx, client, &response, dialog));
            }
            Event::ClientEnded { client, end } => {
                self.tell_watch(client, ClientUpdate::Ended(end));
                self.watches.remove(&client);
                self.guarded(None, |service, cx| service.client_ended(cx, client, end));
            }
            Event::ServerEnded { server, end } => {
                self.guarded(None, |service, cx| service.server_ended(cx, server, end))
            }
            Event::Ack { dialog, request } => {
                self.guarded(None, |service, cx| service.ack(cx, dialog, &request))
            }
            Event::Cancelled { server, request } => {
                self.guarded(None, |service, cx| service.cancelled(cx, server, &request));
            }
            Event::Voided { ask, why } => self.guarded(None, |service, cx| service.voided(cx, ask, why)),
            Event::Dialog { dialog, change } => {
                self.guarded(None, |service, cx| service.dialog(cx, dialog, change))
            }
            Event::Alarm { alarm } => self.guarded(None, |service, cx| service.alarm(cx, alarm)),
            Event::Bound { socket, proto, result } => {
                self.guarded(None, |service, cx| service.bound(cx, socket, proto, result));
            }
            Event::Flow { flow, change } => {
                self.guarded(None, |service, cx| service.flow(cx, flow, &change));
            }
            Event::AddressesGone { addresses } => {
                self.guarded(None, |service, cx| service.addresses_gone(cx, &addresses));
            }
            Event::Switched { client } => self.guarded(None, |service, cx| service.switched(cx, client)),
        }
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Routing(question) => {
                let failed = crate::decision::Routing::Reply(crashed()).into();
                self.decide(question, failed, |service, cx, question| service.routing(cx, question));
            }
            Ask::Method(question) => self.decide(question, crashed().into(), answer_method),
        }
    }

    fn decide<T: Decision>(
        &mut self,
        question: Question<T>,
        failed: Verdict,
        callback: impl FnOnce(&mut S, &mut Cx<'_>, Question<T>) -> Answer<T>,
    ) {
        let open = (question.ask(), failed);
        self.guarded(Some(open), |service, cx| {
            if let (ask, Some(verdict)) = callback(service, cx, question).into_verdict() {
                // The question may have been voided by what the callback itself did.
                let _gone = cx.command(Command::Answer { ask, verdict });
            }
        });
    }

    /// Runs a callback; a panic ends the question that it was to answer.
    fn guarded(&mut self, open: Option<(AskId, Verdict)>, run: impl FnOnce(&mut S, &mut Cx<'_>)) {
        let (service, endpoint, now) = (&mut self.service, &mut self.endpoint, self.now);
        let outcome = catch_unwind(AssertUnwindSafe(|| run(service, &mut endpoint.at(now))));
        if outcome.is_err() {
            self.endpoint.count_panic();
            if let Some((ask, verdict)) = open {
                let _gone = self.endpoint.command(now, Command::Answer { ask, verdict });
            }
        }
    }

    fn tell_watch(&mut self, client: ClientHandle, update: ClientUpdate<'_>) {
        let Some(watch) = self.watches.get_mut(&client) else { return };
        if catch_unwind(AssertUnwindSafe(|| watch(update))).is_err() {
            self.endpoint.count_panic();
            self.watches.remove(&client);
        }
    }
}

fn answer_method<S: Service>(service: &mut S, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
    match question.request.method() {
        Method::Invite if question.facts.dialog.is_some() => service.reinvite(cx, question),
        Method::Invite => service.invite(cx, question),
        Method::Options => service.options(cx, question),
        Method::Register => service.register(cx, question),
        Method::Bye => service.bye(cx, question),
        Method::Info => service.info(cx, question),
        Method::Message => service.message(cx, question),
        Method::Prack => service.prack(cx, question),
        _ => service.other(cx, question),
    }
}

/// What a timer may be late.
const SLACK: Duration = Duration::from_millis(500);

fn crashed() -> Reply {
    Reply::internal_error().reason(HeaderValue::from_static("Service Error"))
}

impl<S: Service> Machine for Host<S> {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.start(now);
        self.endpoint.handle_input(self.now, input);
        self.run_events();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.endpoint.poll_output()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        // A service that has not started yet, or has events left, wants its next input at once.
        if self.behind || !self.started { Some(self.now) } else { self.endpoint.poll_timeout() }
    }

    fn limits(&self) -> Option<&Limits> {
        self.endpoint.limits()
    }

    fn poll_record(&mut self) -> Option<Record> {
        self.endpoint.poll_record()
    }

    fn is_stopped(&self) -> bool {
        self.endpoint.is_stopped()
    }
}

impl<S: Service> Nested for Host<S> {
    type Inner = Self;

    fn inner(&mut self) -> &mut Self {
        self
    }
}
