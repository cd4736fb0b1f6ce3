use std::{
    collections::{HashMap, VecDeque},
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::Sender,
    },
    time::Duration,
};

use sansip::{
    AlarmId, Answer, AskId, Cx, DialogChange, DialogHandle, HeaderName, HeaderValue, IoKind, Pending, Proto,
    Question, Reply, Request, ServerEnd, ServerHandle, Service, SocketId, StatusCode, Void, sdp::SdpError,
};
use tracing::{debug, info, warn};

use crate::{listen::Listen, session::Sessions};

/// A called side that answers every call it can.
pub(crate) struct Answerer {
    listen: Vec<Listen>,
    sockets: HashMap<SocketId, SocketAddr>,
    /// Addresses on which the endpoint opens TCP beside UDP by itself, in the order of opening.
    beside: VecDeque<SocketAddr>,
    news: Sender<News>,
    ring: Duration,
    sessions: Sessions,
    ringing: HashMap<AlarmId, Ringing>,
    alarms: HashMap<AskId, AlarmId>,
    /// Whether each dialog is confirmed.
    dialogs: HashMap<DialogHandle, bool>,
    tally: Arc<Tally>,
}

/// What the program has to know.
#[derive(Debug)]
pub(crate) enum News {
    /// A socket is open, or why not.
    Bound { proto: Proto, addr: SocketAddr, result: Result<SocketAddr, IoKind> },
    /// The program is asked to end.
    Interrupt,
}

/// What is counted, for who looks on from outside of the machine.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    answered: AtomicU64,
    ended: AtomicU64,
    open: AtomicUsize,
}

impl Tally {
    /// Returns how many calls ring or are answered.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// Sums up what was counted.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [answered, ended] = [&self.answered, &self.ended].map(|count| count.load(Ordering::Relaxed));
        write!(f, "calls answered: {answered}, ended: {ended}, still open: {}", self.open())
    }
}

/// A call that is to be answered later.
struct Ringing {
    pending: Pending<Reply>,
    reply: Reply,
}

impl Answerer {
    /// Makes one that opens `listen`, and takes media at `media` if it says where.
    pub(crate) fn new(listen: Vec<Listen>, media: Vec<IpAddr>, ring: Duration, news: Sender<News>) -> Self {
        Self {
            listen,
            sockets: HashMap::new(),
            beside: VecDeque::new(),
            news,
            ring,
            sessions: Sessions::new(media),
            ringing: HashMap::new(),
            alarms: HashMap::new(),
            dialogs: HashMap::new(),
            tally: Arc::default(),
        }
    }

    /// Returns what is being counted.
    pub(crate) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Answers the offer of an INVITE, or refuses it.
    fn accept(&mut self, cx: &Cx<'_>, question: &Question<Reply>) -> Reply {
        let invite = question.request.view();
        if !invite.body().is_empty() && !invite.content_type().is_some_and(is_sdp) {
            return Reply::status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        match self.sessions.describe(question.facts.dialog, invite, &cx.config().limits) {
            Ok(sdp) => Reply::ok().sdp(sdp),
            Err(error) => {
                info!(call = invite.call_id(), "the offer is refused: {error}");
                refusal(&error)
            }
        }
    }

    /// Has an accepted call ring, and answers it when the time has come.
    fn ring(&mut self, cx: &mut Cx<'_>, question: Question<Reply>, reply: Reply) -> Answer<Reply> {
        if let Err(error) = cx.provisional(question.pending(), Reply::ringing()) {
            warn!("no 180 was sent: {error}");
        }
        if self.ring.is_zero() {
            return question.answer(reply);
        }
        match cx.alarm(self.ring) {
            Ok(alarm) => {
                self.alarms.insert(question.ask(), alarm);
                let (pending, later) = question.defer();
                self.ringing.insert(alarm, Ringing { pending, reply });
                later
            }
            Err(error) => {
                warn!("a call does not ring: {error}");
                question.answer(reply)
            }
        }
    }
}

impl Service for Answerer {
    fn init(&mut self, cx: &mut Cx<'_>) {
        for listen in self.listen.clone() {
            match cx.listen(listen.proto, listen.addr) {
                Ok(socket) => {
                    self.sockets.insert(socket, listen.addr);
                }
                Err(error) => warn!("{listen} is not opened: {error}"),
            }
        }
    }

    fn bound(&mut self, cx: &mut Cx<'_>, socket: SocketId, proto: Proto, result: Result<SocketAddr, IoKind>) {
        let asked = self.sockets.get(&socket).copied();
        if let (Some(_), Proto::Udp, Ok(addr), true) = (asked, proto, result, cx.config().tcp_beside_udp) {
            self.beside.push_back(addr);
        }
        if let Some(addr) = asked.or_else(|| self.beside.pop_front()) {
            // The program may have given up because of another socket.
            let _told = self.news.send(News::Bound { proto, addr, result });
        }
    }

    fn invite(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        let reply = self.accept(cx, &question);
        match reply.code() {
            StatusCode::OK => self.ring(cx, question, reply),
            _ => question.answer(reply),
        }
    }

    fn reinvite(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        let reply = self.accept(cx, &question);
        question.answer(reply)
    }

    fn alarm(&mut self, cx: &mut Cx<'_>, alarm: AlarmId) {
        if let Some(Ringing { pending, reply }) = self.ringing.remove(&alarm) {
            self.alarms.remove(&pending.ask());
            // Who has cancelled needs no answer.
            let _gone = cx.answer(pending, reply);
        }
    }

    fn voided(&mut self, _: &mut Cx<'_>, ask: AskId, why: Void) {
        debug!("a call ends before it is answered: {why:?}");
        if let Some(alarm) = self.alarms.remove(&ask) {
            self.ringing.remove(&alarm);
        }
    }

    fn dialog(&mut self, cx: &mut Cx<'_>, dialog: DialogHandle, change: DialogChange) {
        match change {
            DialogChange::Started => {
                self.dialogs.insert(dialog, false);
                if let Ok(view) = cx.dialog(dialog) {
                    debug!(call = view.call_id(), "ringing");
                    self.sessions.started(dialog, view.call_id(), view.remote_tag());
                }
            }
            DialogChange::Confirmed => {
                if self.dialogs.insert(dialog, true) != Some(true) {
                    self.tally.answered.fetch_add(1, Ordering::Relaxed);
                    debug!(%dialog, "answered");
                }
            }
            DialogChange::Ended(why) => {
                self.sessions.ended(dialog);
                if self.dialogs.remove(&dialog) == Some(true) {
                    self.tally.ended.fetch_add(1, Ordering::Relaxed);
                    debug!(%dialog, "ended: {why:?}");
                }
            }
            _ => {}
        }
        self.tally.open.store(self.dialogs.len(), Ordering::Relaxed);
    }

    fn cancelled(&mut self, _: &mut Cx<'_>, server: ServerHandle, request: &Request) {
        debug!(call = request.view().call_id(), %server, "cancelled");
    }

    fn server_ended(&mut self, _: &mut Cx<'_>, server: ServerHandle, end: ServerEnd) {
        debug!(%server, "an answer did not arrive: {end:?}");
    }
}

fn is_sdp(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/sdp")
}

/// RFC 3261 §21.4.26: what is wrong with the offer is told in a Warning.
fn refusal(error: &SdpError) -> Reply {
    let text = match error {
        SdpError::NothingInCommon => "305 sansip \"Incompatible media format\"",
        _ => "399 sansip \"Session description not understood\"",
    };
    let reply = Reply::not_acceptable();
    match HeaderName::try_from("Warning") {
        Ok(name) => reply.header(name, HeaderValue::from_static(text)),
        Err(_) => reply,
    }
}
