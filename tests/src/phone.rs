use std::net::SocketAddr;

use sansip::{
    AlarmId, Answer, AskId, Body, ClientEnd, ClientHandle, Config, Cx, DialogChange, DialogEnd, DialogHandle,
    Endpoint, Host, Instant, IoKind, Method, Outgoing, Pending, Proto, Question, Reply, Request, Response,
    Routing, Seed, ServerEnd, ServerHandle, Service, SocketId, UriBuf, Void,
};

use crate::resting::Calls;

/// A service that a test directs: it answers as it was told, and notes all that it learns.
#[derive(Debug, Default)]
pub struct Phone {
    listens: Vec<(Proto, SocketAddr)>,
    routing: Option<Routing>,
    invite: Conduct,
    other: Conduct,
    /// All that it learnt, in order.
    pub notes: Vec<Note>,
    /// The questions that wait for their answers, oldest first.
    pub pending: Vec<Pending<Reply>>,
}

/// What a phone does with a question about a method.
#[derive(Clone, Debug, Default)]
pub enum Conduct {
    /// Answers 200.
    #[default]
    Accept,
    /// Answers at once.
    Answer(Reply),
    /// Sends 180, then answers at once.
    RingAndAnswer(Reply),
    /// Keeps the question for [`Phone::pending`].
    Defer,
    /// Sends 180 and keeps the question.
    RingAndDefer,
    /// Drops the question.
    Forget,
    /// Panics.
    Panic,
}

/// Something that a phone learnt.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// A socket was opened or not.
    Bound(Proto, Result<SocketAddr, IoKind>),
    /// A request came.
    Asked(Method, AskId),
    /// A response came.
    Response(ClientHandle, u16, Option<DialogHandle>),
    /// A request that it sent has ended.
    Ended(ClientHandle, ClientEnd),
    /// An answer did not arrive.
    Undelivered(ServerHandle, ServerEnd),
    /// The ACK for a 2xx came.
    Acked(DialogHandle),
    /// An INVITE was cancelled.
    Cancelled(ServerHandle),
    /// A question needs no answer any more.
    Voided(AskId, Void),
    /// A dialog changed.
    Dialog(DialogHandle, DialogChange),
    /// An alarm rang.
    Alarm(AlarmId),
}

impl Phone {
    /// Makes a phone that listens nowhere and answers everything with 200.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has it listen.
    #[must_use]
    pub fn listens(mut self, proto: Proto, addr: SocketAddr) -> Self {
        self.listens.push((proto, addr));
        self
    }

    /// Sets what it does with an INVITE.
    #[must_use]
    pub fn invites(mut self, conduct: Conduct) -> Self {
        self.invite = conduct;
        self
    }

    /// Sets what it does with OPTIONS, MESSAGE and methods that have no callback.
    #[must_use]
    pub fn others(mut self, conduct: Conduct) -> Self {
        self.other = conduct;
        self
    }

    /// Sets where it has requests go.
    #[must_use]
    pub fn routes(mut self, routing: Routing) -> Self {
        self.routing = Some(routing);
        self
    }

    /// Makes it the service of an endpoint.
    ///
    /// # Panics
    /// If the configuration is refused.
    pub fn host(self, config: Config, seed: &Seed) -> Host<Self> {
        let endpoint =
            Endpoint::new(config, seed, Instant::EPOCH).expect("the test's configuration is valid");
        Host::new(endpoint, self)
    }

    /// Returns the address of its socket of a kind, once that is open.
    pub fn address(&self, proto: Proto) -> Option<SocketAddr> {
        self.notes.iter().find_map(|note| match note {
            Note::Bound(kind, Ok(addr)) if *kind == proto => Some(*addr),
            _ => None,
        })
    }

    /// Returns how a request that it sent has ended.
    pub fn end_of(&self, client: ClientHandle) -> Option<ClientEnd> {
        self.notes.iter().find_map(|note| match note {
            Note::Ended(ended, end) if *ended == client => Some(*end),
            _ => None,
        })
    }

    /// Returns the statuses of the responses to a request that it sent.
    pub fn statuses(&self, client: ClientHandle) -> Vec<u16> {
        let status = |note: &Note| match note {
            Note::Response(of, status, _) if *of == client => Some(*status),
            _ => None,
        };
        self.notes.iter().filter_map(status).collect()
    }

    /// Returns the dialogs that were confirmed, in order.
    pub fn confirmed(&self) -> Vec<DialogHandle> {
        let confirmed = |note: &Note| match note {
            Note::Dialog(dialog, DialogChange::Confirmed) => Some(*dialog),
            _ => None,
        };
        self.notes.iter().filter_map(confirmed).collect()
    }

    /// Returns how dialogs have ended, in order.
    pub fn dialog_ends(&self) -> Vec<DialogEnd> {
        let ended = |note: &Note| match note {
            Note::Dialog(_, DialogChange::Ended(end)) => Some(*end),
            _ => None,
        };
        self.notes.iter().filter_map(ended).collect()
    }

    /// Returns the dialogs whose 2xx was acknowledged.
    pub fn acked(&self) -> usize {
        self.notes.iter().filter(|note| matches!(note, Note::Acked(_))).count()
    }

    /// Returns the questions that it was asked about a method.
    pub fn asked(&self, method: &Method) -> Vec<AskId> {
        let asked = |note: &Note| match note {
            Note::Asked(of, ask) if of == method => Some(*ask),
            _ => None,
        };
        self.notes.iter().filter_map(asked).collect()
    }

    fn conduct(&mut self, cx: &mut Cx<'_>, question: Question<Reply>, conduct: &Conduct) -> Answer<Reply> {
        self.notes.push(Note::Asked(question.request.method().clone(), question.ask()));
        if matches!(conduct, Conduct::RingAndAnswer(_) | Conduct::RingAndDefer) {
            cx.provisional(question.pending(), Reply::ringing()).expect("a question just asked is open");
        }
        match conduct {
            Conduct::Accept => question.answer(Reply::ok()),
            Conduct::Answer(reply) | Conduct::RingAndAnswer(reply) => question.answer(reply.clone()),
            Conduct::Forget => question.defer().1,
            Conduct::Panic => panic!("a service that panics"),
            Conduct::Defer | Conduct::RingAndDefer => {
                let (pending, later) = question.defer();
                self.pending.push(pending);
                later
            }
        }
    }
}

impl Calls for Phone {
    fn calls_up(&self) -> Vec<DialogHandle> {
        let ended = |call: &DialogHandle| {
            let end =
                |note: &Note| matches!(note, Note::Dialog(dialog, DialogChange::Ended(_)) if dialog == call);
            self.notes.iter().any(end)
        };
        self.confirmed().into_iter().filter(|call| !ended(call)).collect()
    }
}

impl Service for Phone {
    fn init(&mut self, cx: &mut Cx<'_>) {
        for (proto, addr) in &self.listens {
            cx.listen(*proto, *addr).expect("listening is not refused");
        }
    }

    fn routing(&mut self, _: &mut Cx<'_>, question: Question<Routing>) -> Answer<Routing> {
        question.answer(self.routing.clone().unwrap_or(Routing::Process))
    }

    fn invite(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        let conduct = self.invite.clone();
        self.conduct(cx, question, &conduct)
    }

    fn options(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        let conduct = self.other.clone();
        self.conduct(cx, question, &conduct)
    }

    fn message(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        let conduct = self.other.clone();
        self.conduct(cx, question, &conduct)
    }

    fn other(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        let conduct = self.other.clone();
        self.conduct(cx, question, &conduct)
    }

    fn ack(&mut self, _: &mut Cx<'_>, dialog: DialogHandle, _: &Request) {
        self.notes.push(Note::Acked(dialog));
    }

    fn cancelled(&mut self, _: &mut Cx<'_>, server: ServerHandle, _: &Request) {
        self.notes.push(Note::Cancelled(server));
    }

    fn voided(&mut self, _: &mut Cx<'_>, ask: AskId, why: Void) {
        self.notes.push(Note::Voided(ask, why));
    }

    fn response(
        &mut self,
        _: &mut Cx<'_>,
        client: ClientHandle,
        response: &Response,
        dialog: Option<DialogHandle>,
    ) {
        self.notes.push(Note::Response(client, response.status().as_u16(), dialog));
    }

    fn client_ended(&mut self, _: &mut Cx<'_>, client: ClientHandle, end: ClientEnd) {
        self.notes.push(Note::Ended(client, end));
    }

    fn server_ended(&mut self, _: &mut Cx<'_>, server: ServerHandle, end: ServerEnd) {
        self.notes.push(Note::Undelivered(server, end));
    }

    fn dialog(&mut self, _: &mut Cx<'_>, dialog: DialogHandle, change: DialogChange) {
        self.notes.push(Note::Dialog(dialog, change));
    }

    fn alarm(&mut self, _: &mut Cx<'_>, alarm: AlarmId) {
        self.notes.push(Note::Alarm(alarm));
    }

    fn bound(&mut self, _: &mut Cx<'_>, _: SocketId, proto: Proto, result: Result<SocketAddr, IoKind>) {
        self.notes.push(Note::Bound(proto, result));
    }
}

/// Makes the URI by which an endpoint at an address is reached over a transport. What says secure WebSocket is `sips` and
/// `ws` together (RFC 7118 §5.3).
///
/// # Panics
/// If the transport has no such URI.
pub fn uri(addr: SocketAddr, proto: Proto) -> UriBuf {
    uri_at(&addr.to_string(), proto)
}

/// Makes such a URI for a host and a port.
///
/// # Panics
/// If the transport has no such URI.
pub fn uri_at(place: &str, proto: Proto) -> UriBuf {
    match proto {
        Proto::Wss => uri_of(&format!("sips:{place};transport=ws")),
        proto => uri_of(&format!("sip:{place};transport={proto}")),
    }
}

/// Reads a URI.
///
/// # Panics
/// If it is none.
pub fn uri_of(text: &str) -> UriBuf {
    text.parse().expect("a URI that a test wrote")
}

/// Makes an INVITE with an offer, so that the endpoint sends the ACK.
pub fn invite(to: UriBuf) -> Outgoing {
    Outgoing::invite(to).body(offer())
}

/// Makes a session description.
pub fn offer() -> Body {
    Body::sdp(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0\r\n",
    )
}
