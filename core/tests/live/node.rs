//! A live endpoint under the simplest service, fed with bytes by hand.

use std::net::SocketAddr;

use sansip::{
    Answer, Body, Config, ConnId, Cx, Endpoint, Host, Input, Instant, Limits, Machine, Outgoing, Output,
    PeerInfo, Proto, Question, Reply, Seed, Service, SocketId,
    syntax::{Leniency, Message},
};

/// Takes what the defaults of a service decline, with this body.
struct Takes(Option<Body>);

impl Service for Takes {
    fn invite(&mut self, _: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        let reply = Reply::ok();
        question.answer(match self.0.take() {
            Some(body) => reply.body(body),
            None => reply,
        })
    }

    fn register(&mut self, _: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        question.answer(Reply::ok())
    }
}

pub(crate) struct Node {
    host: Host<Takes>,
    next_conn: u64,
    clock_ms: u64,
}

pub(crate) const PEER: ([u8; 4], u16) = ([198, 51, 100, 7], 5070);

impl Node {
    pub(crate) fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.tcp_beside_udp = false;
        change(&mut config);
        let endpoint =
            Endpoint::new(config, &Seed::from_u64(1), Instant::EPOCH).expect("a good configuration");
        Self { host: Host::new(endpoint, Takes(None)), next_conn: 1, clock_ms: 0 }
    }

    /// Opens a listener, with a rule of its own or without.
    pub(crate) fn listen(&mut self, proto: Proto, port: u16, leniency: Option<Leniency>) -> SocketId {
        let addr = local(port);
        let socket = match leniency {
            Some(leniency) => self.unbound(proto, port, leniency),
            None => {
                self.host.with(self.now(), |_, cx| cx.listen(proto, addr)).expect("listening is not refused")
            }
        };
        self.input(Input::Bound { socket, result: Ok(addr) });
        self.outputs();
        socket
    }

    /// Asks for a listener with a rule of its own, and tells the endpoint nothing of it yet.
    pub(crate) fn unbound(&mut self, proto: Proto, port: u16, leniency: Leniency) -> SocketId {
        let asked = self.host.with(self.now(), |_, cx| cx.listen_with(proto, local(port), leniency));
        self.outputs();
        asked.expect("listening is not refused")
    }

    /// Opens a listener at an address.
    pub(crate) fn listen_at(&mut self, proto: Proto, addr: &str) {
        let addr = addr.parse().expect("an address");
        let socket =
            self.host.with(self.now(), |_, cx| cx.listen(proto, addr)).expect("listening is not refused");
        self.input(Input::Bound { socket, result: Ok(addr) });
        self.outputs();
    }

    /// Accepts the next INVITE with this body.
    pub(crate) fn accept_with(&mut self, body: Body) {
        self.host.with(self.now(), |service, _| service.0 = Some(body));
    }

    /// Sends a request, opening a connection if it asks for one, and returns what leaves.
    pub(crate) fn request(&mut self, outgoing: Outgoing) -> String {
        let (now, addr) = (self.now(), local(5060));
        self.host.with(now, |_, cx| cx.request(outgoing)).expect("it can be sent");
        let mut outputs = self.outputs();
        if let Some(Output::Connect { conn, .. }) = outputs.first() {
            self.input(Input::Connected { conn: *conn, local: addr, peer: PeerInfo::default() });
            outputs = self.outputs();
        }
        let sent = outputs.iter().find_map(payload).expect("a message");
        String::from_utf8(sent.to_vec()).expect("text")
    }

    /// Gives the endpoint a datagram and returns the first answer whole.
    pub(crate) fn datagram_text(&mut self, socket: SocketId, port: u16, payload: &[u8]) -> String {
        self.input(Input::Datagram { socket, local: local(port), remote: PEER.into(), payload });
        let outputs = self.outputs();
        let sent = outputs.iter().find_map(self::payload).expect("an answer");
        String::from_utf8(sent.to_vec()).expect("text")
    }

    /// Gives the endpoint a datagram and returns the status lines of what it answers at once.
    pub(crate) fn datagram(&mut self, socket: SocketId, port: u16, payload: &[u8]) -> Vec<String> {
        self.input(Input::Datagram { socket, local: local(port), remote: PEER.into(), payload });
        self.answers()
    }

    /// Opens a connection, gives the endpoint its bytes, and returns the status lines of what it answers at once.
    pub(crate) fn stream(&mut self, socket: SocketId, port: u16, data: &[u8]) -> Vec<String> {
        let conn = ConnId(self.next_conn);
        self.next_conn += 2;
        let remote = SocketAddr::from((PEER.0, PEER.1 + u16::try_from(self.next_conn).expect("few")));
        self.input(Input::Accepted { socket, conn, local: local(port), remote, peer: PeerInfo::default() });
        self.input(Input::Received { conn, data });
        self.answers()
    }

    pub(crate) fn retransmissions(&mut self) -> u64 {
        self.host.with(self.now(), |_, cx| cx.stats().retransmissions)
    }

    /// Returns the Bind that the endpoint asks for next.
    pub(crate) fn asked_for(&mut self) -> Option<(SocketId, Proto)> {
        self.outputs().into_iter().find_map(|output| match output {
            Output::Bind { socket, proto, .. } => Some((socket, proto)),
            _ => None,
        })
    }

    pub(crate) fn input(&mut self, input: Input<'_>) {
        self.host.handle_input(self.now(), input);
    }

    fn answers(&mut self) -> Vec<String> {
        self.outputs().iter().filter_map(payload).map(status_line).collect()
    }

    fn outputs(&mut self) -> Vec<Output> {
        self.clock_ms += 1;
        std::iter::from_fn(|| self.host.poll_output()).collect()
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.clock_ms)
    }
}

fn payload(output: &Output) -> Option<&[u8]> {
    match output {
        Output::Transmit { payload, .. } => Some(payload),
        Output::Send { data, .. } => Some(data),
        _ => None,
    }
}

pub(crate) fn local(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

/// Returns code and phrase of a response. What it copies of a malformed request is malformed, too.
fn status_line(bytes: &[u8]) -> String {
    let message = Message::split(bytes, &Limits::default()).expect("a message");
    let view = message.view();
    let line = view.start_line().strip_prefix("SIP/2.0 ");
    line.expect("an endpoint that is asked sends responses alone").to_owned()
}
