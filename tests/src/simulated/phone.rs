use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use sansip::{
    AlarmId, Answer, AskId, ClientEnd, ClientHandle, Config, Cx, DialogChange, DialogHandle, Endpoint, Gone,
    Host, Instant, Outgoing, Pending, Proto, ProvisionalError, Question, Reply, Request, Response, Routing,
    SendError, ServerEnd, ServerHandle, Service, UriBuf, Void,
};
use sansip_sim::{Node, NodeId, Setup, Sim};

use crate::resting::{Calls, Resting};

/// A phone: a service that answers as a test says, keeps what it is told, and notes what it must not be told.
pub struct Phone {
    addr: SocketAddr,
    /// How an INVITE that starts a call is answered.
    pub invite: Manner,
    /// How an INVITE in a dialog is answered.
    pub reinvite: Manner,
    /// How all else is answered.
    pub other: Manner,
    /// Where requests go.
    pub routing: Routing,
    /// Whether it rings reliably.
    pub rings_reliably: bool,
    news: Vec<(Instant, News)>,
    waiting: VecDeque<Pending<Reply>>,
    alarms: BTreeMap<AlarmId, Reply>,
    /// Deferred questions; false once they have ended.
    questions: BTreeMap<AskId, bool>,
    /// Requests sent; false once they have ended.
    clients: BTreeMap<ClientHandle, bool>,
    dialogs: BTreeMap<DialogHandle, Life>,
    faults: Vec<String>,
}

/// How a phone answers.
#[derive(Clone, Debug)]
pub enum Manner {
    /// At once.
    Now(Reply),
    /// It rings, and answers after a time.
    Rings(Duration, Reply),
    /// When the test says so.
    Later,
}

/// What a phone was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A request is to be answered; `true` if it is in a dialog.
    Asked(String, bool),
    /// A response arrived.
    Response(ClientHandle, u16, Option<DialogHandle>),
    /// A request that was sent has ended.
    Ended(ClientHandle, ClientEnd),
    /// An answer was not delivered or not acknowledged.
    ServerEnded(ServerEnd),
    /// The ACK for a 2xx arrived.
    Ack(DialogHandle),
    /// An INVITE was cancelled.
    Cancelled,
    /// A deferred question has ended without an answer.
    Voided(Void),
    /// A dialog has changed.
    Dialog(DialogHandle, DialogChange),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Early,
    Confirmed,
    Ended,
}

impl Phone {
    /// A body for offers and answers.
    pub const SDP: &'static str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
        m=audio 49170 RTP/AVP 0\r\n";

    /// Makes a phone that accepts all calls at once.
    pub fn new(ip: &str) -> Self {
        let ip: IpAddr = ip.parse().expect("a test writes an address");
        Self {
            addr: SocketAddr::new(ip, 5060),
            invite: Manner::Now(Self::accept()),
            reinvite: Manner::Now(Self::accept()),
            other: Manner::Now(Reply::ok()),
            routing: Routing::Process,
            rings_reliably: false,
            news: Vec::new(),
            waiting: VecDeque::new(),
            alarms: BTreeMap::new(),
            questions: BTreeMap::new(),
            clients: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    /// Sets how an INVITE that starts a call is answered.
    #[must_use]
    pub fn invite(mut self, manner: Manner) -> Self {
        self.invite = manner;
        self
    }

    /// Sets how an INVITE in a dialog is answered.
    #[must_use]
    pub fn reinvite(mut self, manner: Manner) -> Self {
        self.reinvite = manner;
        self
    }

    /// Sets how all else is answered.
    #[must_use]
    pub fn other(mut self, manner: Manner) -> Self {
        self.other = manner;
        self
    }

    /// Sets where requests go.
    #[must_use]
    pub fn routing(mut self, routing: Routing) -> Self {
        self.routing = routing;
        self
    }

    /// Has it ring reliably.
    #[must_use]
    pub const fn rings_reliably(mut self, reliably: bool) -> Self {
        self.rings_reliably = reliably;
        self
    }

    /// Returns the answer that accepts an INVITE.
    pub fn accept() -> Reply {
        Reply::ok().sdp(Self::SDP)
    }

    /// Returns an INVITE with an offer.
    pub fn offer(uri: &str) -> Outgoing {
        Outgoing::invite(uri_of(uri)).body(sansip::Body::sdp(Self::SDP))
    }

    /// Returns what was told, in order, with times.
    pub fn news(&self) -> &[(Instant, News)] {
        &self.news
    }

    /// Sends a request and keeps an eye on it.
    pub fn request(&mut self, cx: &mut Cx<'_>, outgoing: Outgoing) -> Result<ClientHandle, SendError> {
        let client = cx.request(outgoing)?;
        if self.clients.insert(client, true).is_some() {
            self.faults.push(format!("{client} was given twice"));
        }
        Ok(client)
    }

    /// Answers the question that waits longest.
    pub fn answer(&mut self, cx: &mut Cx<'_>, reply: Reply) -> Result<(), Gone> {
        let pending = self.waiting.pop_front().ok_or(Gone)?;
        let ask = pending.ask();
        let answered = cx.answer(pending, reply);
        match (answered, self.questions.insert(ask, false)) {
            (Ok(()), Some(true)) | (Err(Gone), Some(false)) => {}
            (result, open) => self.faults.push(format!("{ask} answered {result:?} while open was {open:?}")),
        }
        answered
    }

    /// Sends a provisional response to the question that waits longest.
    pub fn progress(&self, cx: &mut Cx<'_>, reply: Reply) -> Result<(), ProvisionalError> {
        let pending = self.waiting.front().ok_or(Gone)?;
        cx.provisional(pending, reply)
    }

    /// Returns the confirmed dialogs that have not ended.
    pub fn dialogs(&self) -> Vec<DialogHandle> {
        let confirmed = self.dialogs.iter().filter(|(_, life)| **life == Life::Confirmed);
        confirmed.map(|(dialog, _)| *dialog).collect()
    }

    /// Returns what is wrong: things told twice or never, by what the endpoint promises at rest.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.faults.clone();
        let open = |what: &str, name: &dyn std::fmt::Display| format!("{what} {name} has not ended");
        faults.extend(self.questions.iter().filter(|(_, open)| **open).map(|(ask, _)| open("question", ask)));
        faults.extend(self.clients.iter().filter(|(_, open)| **open).map(|(c, _)| open("request", c)));
        let alive = self.dialogs.iter().filter(|(_, life)| **life != Life::Ended);
        faults.extend(alive.map(|(dialog, _)| open("dialog", dialog)));
        faults
    }

    fn tell(&mut self, cx: &Cx<'_>, news: News) {
        self.news.push((cx.now(), news));
    }

    fn decide(&mut self, cx: &mut Cx<'_>, question: Question<Reply>, manner: Manner) -> Answer<Reply> {
        let method = question.request.method().to_string();
        self.tell(cx, News::Asked(method, question.facts.dialog.is_some()));
        match manner {
            Manner::Now(reply) => question.answer(reply),
            Manner::Later => self.defer(question),
            Manner::Rings(time, reply) => {
                let ringing = Reply::ringing();
                let ringing = if self.rings_reliably { ringing.reliable() } else { ringing };
                match cx.provisional(question.pending(), ringing) {
                    // A BYE or CANCEL may have come with the request; then the news of the end follows.
                    Ok(()) | Err(ProvisionalError::Gone(Gone)) => {}
                    Err(error) => self.faults.push(format!("cannot ring: {error}")),
                }
                let alarm = cx.alarm(time).expect("the limit of alarms is far");
                self.alarms.insert(alarm, reply);
                self.defer(question)
            }
        }
    }

    fn defer(&mut self, question: Question<Reply>) -> Answer<Reply> {
        let (pending, answer) = question.defer();
        self.questions.insert(pending.ask(), true);
        self.waiting.push_back(pending);
        answer
    }
}

impl Calls for Phone {
    fn calls_up(&self) -> Vec<DialogHandle> {
        self.dialogs()
    }
}

impl Service for Phone {
    fn init(&mut self, cx: &mut Cx<'_>) {
        cx.listen(Proto::Udp, self.addr).expect("a socket can always be asked for");
    }

    fn routing(&mut self, _: &mut Cx<'_>, question: Question<Routing>) -> Answer<Routing> {
        question.answer(self.routing.clone())
    }

    fn invite(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        let manner = self.invite.clone();
        self.decide(cx, question, manner)
    }

    fn reinvite(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        let manner = self.reinvite.clone();
        self.decide(cx, question, manner)
    }

    fn options(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        self.other(cx, question)
    }

    fn register(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        self.other(cx, question)
    }

    fn info(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        self.other(cx, question)
    }

    fn message(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        self.other(cx, question)
    }

    fn bye(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        self.tell(cx, News::Asked("BYE".into(), true));
        question.answer(Reply::ok())
    }

    fn other(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        let manner = self.other.clone();
        self.decide(cx, question, manner)
    }

    fn ack(&mut self, cx: &mut Cx<'_>, dialog: DialogHandle, _: &Request) {
        self.tell(cx, News::Ack(dialog));
    }

    fn cancelled(&mut self, cx: &mut Cx<'_>, _: ServerHandle, _: &Request) {
        self.tell(cx, News::Cancelled);
    }

    fn voided(&mut self, cx: &mut Cx<'_>, ask: AskId, why: Void) {
        if self.questions.insert(ask, false) == Some(false) {
            self.faults.push(format!("question {ask} ended twice"));
        }
        self.waiting.retain(|pending| pending.ask() != ask);
        self.tell(cx, News::Voided(why));
    }

    fn response(
        &mut self,
        cx: &mut Cx<'_>,
        client: ClientHandle,
        response: &Response,
        dialog: Option<DialogHandle>,
    ) {
        self.tell(cx, News::Response(client, response.status().as_u16(), dialog));
    }

    fn client_ended(&mut self, cx: &mut Cx<'_>, client: ClientHandle, end: ClientEnd) {
        // A request may end before the phone has its handle: then it is noted when it gets it.
        match self.clients.insert(client, false) {
            Some(true) => {}
            seen => self.faults.push(format!("request {client} ended with {end:?} when it was {seen:?}")),
        }
        self.tell(cx, News::Ended(client, end));
    }

    fn server_ended(&mut self, cx: &mut Cx<'_>, _: ServerHandle, end: ServerEnd) {
        self.tell(cx, News::ServerEnded(end));
    }

    fn dialog(&mut self, cx: &mut Cx<'_>, dialog: DialogHandle, change: DialogChange) {
        let before = self.dialogs.get(&dialog).copied();
        let after = match change {
            DialogChange::Started if before.is_none() => Some(Life::Early),
            DialogChange::Confirmed if before == Some(Life::Early) => Some(Life::Confirmed),
            DialogChange::TargetRefreshed | DialogChange::AddressGone => {
                before.filter(|life| *life != Life::Ended)
            }
            DialogChange::Ended(_) => before.filter(|life| *life != Life::Ended).map(|_| Life::Ended),
            _ => None,
        };
        match after {
            Some(life) => {
                self.dialogs.insert(dialog, life);
            }
            None => self.faults.push(format!("dialog {dialog}: {change:?} after {before:?}")),
        }
        self.tell(cx, News::Dialog(dialog, change));
    }

    fn alarm(&mut self, cx: &mut Cx<'_>, alarm: AlarmId) {
        // The question may have ended meanwhile.
        if let Some(reply) = self.alarms.remove(&alarm).filter(|_| !self.waiting.is_empty()) {
            let _late = self.answer(cx, reply);
        }
    }
}

/// A phone in the simulator.
#[derive(Clone, Copy, Debug)]
pub struct Ua {
    node: Node<Resting<Phone>>,
    addr: SocketAddr,
}

impl Ua {
    /// Adds a phone with the usual configuration, at the address that it listens on.
    pub fn new(sim: &mut Sim, name: &str, phone: Phone) -> Self {
        Self::configured(sim, name, Config::default(), phone)
    }

    /// Adds a phone with a configuration of its own.
    pub fn configured(sim: &mut Sim, name: &str, config: Config, phone: Phone) -> Self {
        Self::placed(sim, name, Setup::new(), config, phone)
    }

    /// Adds a phone behind a NAT.
    pub fn behind(sim: &mut Sim, nat: NodeId, name: &str, config: Config, phone: Phone) -> Self {
        Self::placed(sim, name, Setup::new().behind(nat), config, phone)
    }

    fn placed(sim: &mut Sim, name: &str, setup: Setup, config: Config, phone: Phone) -> Self {
        let addr = phone.addr;
        let endpoint = Endpoint::new(config, &sim.seed_of(name), Instant::EPOCH);
        let host = Host::new(endpoint.expect("a test's configuration is valid"), phone);
        let node = sim.node_with(name, setup.address(addr.ip()), Resting::new(host));
        Self { node, addr }
    }

    /// Returns its node, for links and rules.
    pub const fn id(self) -> NodeId {
        self.node.id()
    }

    /// Returns where it listens.
    pub const fn addr(self) -> SocketAddr {
        self.addr
    }

    /// Returns the URI that it is reached by over UDP.
    pub fn uri(self) -> String {
        format!("sip:{}", self.addr)
    }

    /// Returns the URI that it is reached by over TCP.
    pub fn tcp_uri(self) -> String {
        format!("sip:{};transport=tcp", self.addr)
    }

    /// Runs a piece of the application.
    pub fn act<R>(self, sim: &mut Sim, run: impl FnOnce(&mut Phone, &mut Cx<'_>) -> R) -> R {
        sim.on(self.node, |host, now| host.with(now, run))
    }

    /// Calls somebody, with an offer.
    pub fn dial(self, sim: &mut Sim, uri: &str) -> ClientHandle {
        self.send(sim, Phone::offer(uri))
    }

    /// Sends a request.
    pub fn send(self, sim: &mut Sim, outgoing: Outgoing) -> ClientHandle {
        self.act(sim, |phone, cx| phone.request(cx, outgoing)).expect("the request can be sent")
    }

    /// Answers the question that waits longest.
    pub fn answer(self, sim: &mut Sim, reply: Reply) {
        self.act(sim, |phone, cx| phone.answer(cx, reply)).expect("a question waits");
    }

    /// Sends a provisional response to the question that waits longest.
    pub fn progress(self, sim: &mut Sim, reply: Reply) {
        self.act(sim, |phone, cx| phone.progress(cx, reply)).expect("a question waits");
    }

    /// Cancels an INVITE.
    pub fn cancel(self, sim: &mut Sim, client: ClientHandle) -> Result<(), Gone> {
        self.act(sim, |_, cx| cx.cancel(client))
    }

    /// Ends the only call.
    pub fn hang_up(self, sim: &mut Sim) {
        let dialog = self.dialog(sim);
        self.act(sim, |_, cx| cx.bye(dialog)).expect("the call can be ended");
    }

    /// Returns the only confirmed dialog.
    pub fn dialog(self, sim: &Sim) -> DialogHandle {
        let dialogs = self.phone(sim).dialogs();
        assert_eq!(dialogs.len(), 1, "one call of {} is up", self.addr);
        dialogs[0]
    }

    /// Returns what it was told.
    pub fn news(self, sim: &Sim) -> Vec<News> {
        self.phone(sim).news().iter().map(|(_, news)| news.clone()).collect()
    }

    /// Tells whether it was told something.
    pub fn heard(self, sim: &Sim, news: &News) -> bool {
        self.phone(sim).news().iter().any(|(_, told)| told == news)
    }

    /// Returns the phone to look at.
    pub fn phone(self, sim: &Sim) -> &Phone {
        sim.peek(self.node).service()
    }

    /// Returns the endpoint to look at.
    pub fn endpoint(self, sim: &Sim) -> &Endpoint {
        sim.peek(self.node).endpoint()
    }
}

impl From<Ua> for NodeId {
    fn from(ua: Ua) -> Self {
        ua.id()
    }
}

/// Lets everything come to its end, and checks that nothing is left at any phone.
pub fn rest(sim: &mut Sim, uas: &[Ua]) {
    sim.settle();
    for ua in uas {
        let (name, faults) = (sim.name(*ua).to_owned(), ua.phone(sim).faults());
        assert!(faults.is_empty(), "{name}: {faults:?}\n{}", sim.replay());
        assert!(ua.endpoint(sim).is_idle(), "{name} is not idle\n{}", sim.replay());
        assert_eq!(ua.endpoint(sim).stats().panics, 0, "{name}: callbacks panicked");
    }
}

/// Parses a URI that a test writes.
pub fn uri_of(text: &str) -> UriBuf {
    text.parse().expect("a test writes a URI")
}
