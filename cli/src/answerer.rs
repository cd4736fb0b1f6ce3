use std::{
    collections::{HashMap, VecDeque},
    fmt,
    net::SocketAddr,
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
    /// The program is asked to read its files again.
    Reload,
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
    /// Makes one that opens `listen` and lets calls ring so long.
    pub(crate) fn new(listen: Vec<Listen>, sessions: Sessions, ring: Duration, news: Sender<News>) -> Self {
        Self {
            listen,
            sockets: HashMap::new(),
            beside: VecDeque::new(),
            news,
            ring,
            sessions,
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
        let browser = matches!(question.facts.source.proto, Proto::Ws | Proto::Wss);
        match self.sessions.describe(question.facts.dialog, (invite, browser), &cx.config().limits) {
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
            match cx.listen_as(listen.listener()) {
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
                let known = self.dialogs.insert(dialog, true);
                if known != Some(true) {
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use sansip::{Config, Endpoint, Host, Instant, Seed};
    use sansip_sim::{Heard, Node, Puppet, Sim};

    use super::*;

    const OFFER: &str = "v=0\r\no=a 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 0\r\n";
    const SDP: &str = "application/sdp";

    struct World {
        sim: Sim,
        node: Node<Host<Answerer>>,
        peer: Puppet,
    }

    /// A request from the peer; `{to_tag}` and more stand in `more`.
    fn request(method: &str, cseq: u32, to: &str, kind: &str, body: &str) -> String {
        format!(
            "{method} sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-{cseq}\r\nMax-Forwards: 70\r\n\
             From: <sip:a@192.0.2.9>;tag=a\r\nTo: {to}\r\nCall-ID: one\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:a@192.0.2.9>\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    impl World {
        fn new(ring: Duration) -> Self {
            let mut sim = Sim::new(1);
            let (sender, _) = mpsc::channel();
            let listen = "sip:192.0.2.2:5060".parse().expect("an address");
            let sessions = Sessions::new(vec![[192, 0, 2, 2].into()], 7);
            let answerer = Answerer::new(vec![listen], sessions, ring, sender);
            let endpoint =
                Endpoint::new(Config::default(), &Seed::from_u64(1), Instant::EPOCH).expect("defaults");
            let setup = sansip_sim::Setup::new();
            let node =
                sim.node_with("bob", setup.clone().address([192, 0, 2, 2]), Host::new(endpoint, answerer));
            let peer = sim.puppet_with("alice", setup.address([192, 0, 2, 9]), 5060);
            Self { sim, node, peer }
        }

        fn ask(&mut self, text: &str) {
            let bob = self.sim.addr(self.node, 5060);
            self.peer.send_bytes_to(&mut self.sim, bob, text.as_bytes().to_vec());
        }

        fn hear(&mut self, what: &str, status: u16) -> Heard {
            let wanted = |heard: &Heard| heard.status() == Some(status);
            self.peer.expect_where(&mut self.sim, what, Puppet::PATIENCE, wanted)
        }

        fn invite(&mut self, cseq: u32, to: &str, offer: &str) {
            self.ask(&request("INVITE", cseq, to, SDP, offer));
        }

        /// Has the peer accepted, and returns the To of its dialog and the description it got.
        fn accepted(&mut self, cseq: u32) -> (String, String) {
            let ok = self.hear("the call is accepted", 200);
            let to = ok.header("To").expect("every response has one").into_owned();
            self.ask(&request("ACK", cseq, &to, SDP, ""));
            (to, String::from_utf8_lossy(ok.body()).into_owned())
        }

        /// Ends the test: its calls are hung up while nobody answers, and then nothing is left.
        fn rest(mut self) {
            self.sim.on(self.node, |host, now| {
                let now = sansip_sim::silence(host, now);
                host.shut_down(now, Duration::from_secs(1));
                sansip_sim::silence(host, now);
                assert!(host.endpoint().is_idle());
            });
        }

        fn tally(&self) -> String {
            self.sim.peek(self.node).service().tally.to_string()
        }
    }

    /// RFC 3261 §13.3.1: 180, 200 with an answer, and BYE ends it.
    #[test]
    fn a_call_is_answered_and_ends() {
        let mut world = World::new(Duration::ZERO);
        world.invite(1, "<sip:bob@192.0.2.2>", OFFER);
        world.hear("it rings", 180);
        let (to, answer) = world.accepted(1);
        assert!(
            answer.contains("o=- 7 0 IN IP4 192.0.2.2\r\n") && answer.contains("m=audio 9 RTP/AVP 8 0\r\n"),
            "{answer}"
        );
        assert_eq!(world.tally(), "calls answered: 1, ended: 0, still open: 1");
        world.ask(&request("BYE", 2, &to, SDP, ""));
        world.hear("the end is confirmed", 200);
        world.sim.settle();
        assert_eq!(world.tally(), "calls answered: 1, ended: 1, still open: 0");
        world.rest();
    }

    /// OA-18: a description that stays the same keeps its version, a changed one counts up, and the session keeps its number.
    #[test]
    fn versions_count_changes() {
        let mut world = World::new(Duration::ZERO);
        world.invite(1, "<sip:bob@192.0.2.2>", OFFER);
        let (to, first) = world.accepted(1);
        world.invite(2, &to, OFFER);
        assert_eq!(world.accepted(2).1, first);
        world.invite(3, &to, &format!("{OFFER}a=sendonly\r\n"));
        let held = world.accepted(3).1;
        assert!(held.contains("o=- 7 1 IN IP4") && held.contains("a=recvonly\r\n"), "{held}");
        world.invite(4, &to, &format!("{OFFER}a=sendonly\r\n"));
        assert_eq!(world.accepted(4).1, held);
        world.invite(5, &to, OFFER);
        assert!(world.accepted(5).1.contains("o=- 7 2 IN IP4"));
        world.rest();
    }

    /// OA-02: an INVITE without offer gets one in the 200.
    #[test]
    fn an_invite_without_offer_gets_one() {
        let mut world = World::new(Duration::ZERO);
        world.invite(1, "<sip:bob@192.0.2.2>", "");
        let (_, offer) = world.accepted(1);
        assert!(offer.contains("m=audio 9 RTP/AVP 0 8 101\r\n"), "{offer}");
        world.rest();
    }

    /// OA-15, RFC 3261 §21.4.13, §21.4.26: what cannot be taken is refused before it rings, and leaves nothing.
    #[test]
    fn an_unusable_offer_is_refused() {
        for (kind, body, status) in
            [(SDP, &OFFER.replace("8 0", "18")[..], 488), (SDP, "hello", 488), ("text/plain", "hello", 415)]
        {
            let mut world = World::new(Duration::ZERO);
            world.ask(&request("INVITE", 1, "<sip:bob@192.0.2.2>", kind, body));
            let refused = world.hear("it is refused", status);
            assert_eq!(refused.header("Warning").is_some(), status == 488);
            assert_eq!(refused.header("Accept").is_some(), status == 415);
            let to = refused.header("To").expect("every response has one").into_owned();
            world.ask(&request("ACK", 1, &to, SDP, ""));
            world.sim.settle();
            assert!(world.peer.take_all(&mut world.sim).is_empty(), "no 180");
            assert_eq!(world.tally(), "calls answered: 0, ended: 0, still open: 0");
            world.rest();
        }
    }

    /// RFC 3261 §9.2: a call that rings can be cancelled, and nothing of it is left.
    #[test]
    fn a_ringing_call_is_cancelled() {
        let mut world = World::new(Duration::from_secs(20));
        world.invite(1, "<sip:bob@192.0.2.2>", OFFER);
        world.hear("it rings", 180);
        assert_eq!(world.tally(), "calls answered: 0, ended: 0, still open: 1");
        world.ask(&request("CANCEL", 1, "<sip:bob@192.0.2.2>", SDP, ""));
        let ended = world.hear("the INVITE ends", 487);
        let to = ended.header("To").expect("every response has one").into_owned();
        world.ask(&request("ACK", 1, &to, SDP, ""));
        world.sim.settle();
        assert_eq!(world.tally(), "calls answered: 0, ended: 0, still open: 0");
        let service = world.sim.peek(world.node).service();
        assert!(service.ringing.is_empty() && service.alarms.is_empty());
        world.rest();
    }

    /// It rings as long as it is told to.
    #[test]
    fn a_call_rings_for_a_while() {
        let mut world = World::new(Duration::from_secs(2));
        world.invite(1, "<sip:bob@192.0.2.2>", OFFER);
        world.hear("it rings", 180);
        let rang = world.sim.now();
        world.accepted(1);
        assert_eq!((world.sim.now() - rang).as_secs(), 2);
        world.rest();
    }
}
