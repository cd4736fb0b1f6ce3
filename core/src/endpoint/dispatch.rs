use std::net::SocketAddr;

use crate::{
    base::Limits,
    call::{Rendered, Stage, Tag, Walk, ask_routing, expires, render, reply_to},
    decision::{Event, Reply},
    endpoint::{Endpoint, Life},
    syntax::{HeaderId, HeaderValue, Message, Method, ParseErrorKind, Refused, StatusCode, ViaStamp, View},
    transaction::server_key,
    transport::{
        Class, ConnId, Flow, Frame, FrameError, Input, Interface, IoKind, Outbound, Output, Owner,
        ResponseTarget, SocketId, StunMessage, Target, WayBack, is_stun,
    },
};

impl Endpoint {
    pub(super) fn dispatch(&mut self, input: Input<'_>) {
        let (now, limits) = (self.cx.now, self.cx.settings.limits());
        match input {
            Input::Timeout | Input::Wall(_) => {}
            Input::Interfaces(all) => self.interfaces(all),
            Input::Datagram { socket, local, remote, payload } => {
                let local = self.cx.transport.specific(local, remote);
                if is_stun(payload) {
                    self.stun(socket, local, remote, payload);
                } else {
                    self.message(Flow::Datagram { socket, local, remote }, payload);
                }
            }
            Input::Received { conn, data } => self.stream(conn, data),
            Input::Bound { socket, result } => {
                if let Some(proto) = self.cx.transport.bound(socket, result, &mut self.cx.outputs) {
                    self.cx.events.push_back(Event::Bound { socket, proto, result });
                }
            }
            Input::Accepted { socket, conn, local, remote, peer } => {
                let (names, addrs) = ((socket, conn), (local, remote));
                if !self.cx.transport.accepted(now, limits, names, addrs, peer, &mut self.cx.outputs) {
                    self.stats.refused_connections += 1;
                }
            }
            Input::Connected { conn, local, peer } => {
                let peer = (peer, self.cx.settings.config.keep_alive);
                self.cx.transport.connected(now, limits, (conn, local), peer, &mut self.cx.outputs);
            }
            Input::Drained { conn, bytes } => self.cx.transport.drained(conn, bytes),
            Input::Closed { conn, error } => {
                self.cx.transport.closed(limits, conn, error.unwrap_or(IoKind::Reset))
            }
            Input::Resolved { query, result } => {
                let settings = self.cx.settings.clone();
                let (now, limits) = (self.cx.now, settings.limits());
                self.cx.transport.resolved(now, limits, (query, result), &mut self.cx.outputs);
            }
            Input::Unreachable { socket, remote, why } => {
                self.stats.undelivered += 1;
                self.cx.transport.unreachable(socket, remote, why);
            }
        }
    }

    /// Takes the addresses of this machine: what goes over one that is gone has to find another way.
    fn interfaces(&mut self, all: Vec<Interface>) {
        let limits = self.cx.settings.limits();
        let gone = self.cx.transport.set_interfaces(limits, all, &mut self.cx.outputs);
        if gone.is_empty() {
            return;
        }
        for hash in self.calls.sorted() {
            if let Some(call) = self.calls.get_mut(hash) {
                call.leave(&mut self.cx, &gone);
            }
            self.touch(hash);
        }
        self.cx.events.push_back(Event::AddressesGone { addresses: gone });
    }

    /// Answers a STUN request, or takes the answer to ours (RFC 8489 §6.3).
    fn stun(&mut self, socket: SocketId, local: SocketAddr, remote: SocketAddr, payload: &[u8]) {
        let Some(message) = StunMessage::parse(payload) else {
            self.stats.unreadable += 1;
            return;
        };
        match message.class {
            Class::Request => {
                self.stats.stun += 1;
                let payload = self.cx.render(|chunk| message.write_answer(chunk, remote));
                self.cx.outputs.push_back(Output::Transmit { socket, local, remote, payload });
            }
            Class::Success | Class::Error => {
                self.cx.transport.probe_answered(self.cx.now, (socket, remote), &message);
            }
            // It keeps a binding of NAT open, and wants no answer.
            Class::Indication => {}
        }
    }

    /// Cuts a stream into messages, unless its transport keeps them whole.
    fn stream(&mut self, conn: ConnId, mut data: &[u8]) {
        let settings = self.cx.settings.clone();
        let limits = settings.limits();
        let Some((mut framer, flow)) = self.cx.transport.lend_framer(conn) else { return };
        if flow.proto().keeps_messages() {
            match data {
                // RFC 7118 §6 and RFC 5626 §4.4.1: the keep-alive is a message of its own.
                b"\r\n\r\n" => self.cx.transport.pong(self.cx.now, limits, conn, &mut self.cx.outputs),
                b"\r\n" => framer.note_pong(),
                message => self.message(flow, message),
            }
            return self.cx.transport.return_framer(self.cx.now, limits, conn, framer);
        }
        loop {
            match framer.next(&mut data, limits) {
                Frame::Message(bytes) => {
                    self.cx.transport.message_done(conn);
                    self.message(flow, bytes);
                }
                Frame::Ping => self.cx.transport.pong(self.cx.now, limits, conn, &mut self.cx.outputs),
                Frame::Incomplete => break,
                Frame::Broken { error, head } => {
                    self.broken_frame(flow, conn, error, head);
                    break;
                }
            }
        }
        self.cx.transport.return_framer(self.cx.now, limits, conn, framer);
    }

    /// Where messages begin and end cannot be told any more: says so if there is a request to answer, and hangs up.
    fn broken_frame(&mut self, flow: Flow, conn: ConnId, error: FrameError, head: &[u8]) {
        let settings = self.cx.settings.clone();
        self.stats.unreadable += 1;
        if let Some(message) = read_for_refusal(head, settings.limits()) {
            let reason = error.reason().map(HeaderValue::from_static);
            self.refuse(flow, message.view(), error.status(), reason);
        }
        let outputs = &mut self.cx.outputs;
        self.cx.transport.hang_up(self.cx.now, settings.limits(), conn, IoKind::Reset, outputs);
    }

    fn message(&mut self, flow: Flow, bytes: &[u8]) {
        // What came before may be what this is a copy of.
        self.settle();
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            // A keep-alive of RFC 3261 §7.5 and RFC 5626 §3.5.1, or nothing.
            return;
        }
        let leniency = self.cx.transport.leniency(&flow).unwrap_or(self.cx.settings.config.leniency);
        match Message::parse_with(bytes, self.cx.settings.limits(), leniency) {
            Ok(message) => {
                self.stats.messages += 1;
                if message.view().is_request() {
                    self.request(flow, &message);
                } else {
                    self.response(flow, &message);
                }
            }
            Err(Refused { error, message }) => {
                self.stats.unreadable += 1;
                let message = message.or_else(|| {
                    let too_large = error.kind == ParseErrorKind::HeadTooLarge;
                    too_large.then(|| read_for_refusal(bytes, self.cx.settings.limits())).flatten()
                });
                if let Some(message) = message {
                    let reason = HeaderValue::try_from(error.reason().to_string()).ok();
                    self.refuse(flow, message.view(), error.status(), reason);
                }
            }
        }
    }

    /// Answers a request that cannot be read whole, if it has a Via.
    fn refuse(&mut self, flow: Flow, request: View<'_>, status: StatusCode, reason: Option<HeaderValue>) {
        if !request.is_request() || request.is(&Method::Ack) {
            return;
        }
        let (target, stamp) = match request.vias().next().map(WayBack::of) {
            Some(way) => {
                let stamp = way.stamp(flow.remote());
                (back(flow, way, stamp), stamp)
            }
            // A Via that cannot be read names no place; the one that the request came from is left.
            None if request.contains(HeaderId::Via) => {
                (Target::Back { flow, fallback: Some(flow.remote()), name: None }, ViaStamp::default())
            }
            None => return,
        };
        let mut reply = Reply::status(status);
        reply.reason = reason;
        let tag = Tag::of_request(&self.cx.key, request);
        let settings = self.cx.settings.clone();
        let rendered =
            Rendered { request, flow: &flow, stamp: &stamp, tag: &tag, settings: &settings, rseq: None };
        let bytes = reply_to(&mut self.cx, rendered, &reply);
        self.send_back(&target, bytes);
    }

    fn request(&mut self, flow: Flow, message: &Message<'_>) {
        let view = message.view();
        let Some(method) = view.method() else { return };
        let hash = self.cx.key.hash(view.call_id().as_bytes());
        let way = WayBack::of(view.via());
        // RFC 5923 §8.1: the peer offers its connection for requests to it.
        if let Flow::Stream { conn, proto, .. } = flow
            && proto.is_secure()
            && view.via().params().get("alias").is_some()
        {
            self.cx.transport.alias(conn, way.port_over(proto));
        }
        let stamp = way.stamp(flow.remote());
        let back = back(flow, way, stamp);
        let key = server_key(&self.cx.key, view);
        if method == Method::Ack {
            match self.calls.get_mut(hash) {
                Some(call) => call.acknowledge(&mut self.cx, key, view, || message.to_request()),
                None => self.stats.stray_acks += 1,
            }
            self.touch(hash);
            return;
        }
        if let Some(call) = self.calls.get_mut(hash)
            && call.retransmitted(&mut self.cx, key, &back, view)
        {
            self.stats.retransmissions += 1;
            self.touch(hash);
            return;
        }
        let Some(walk) = self.new_walk(flow, (back, stamp), (hash, key), method, message) else { return };
        if walk.method == Method::Cancel {
            self.cancel(walk);
        } else if self.is_full(hash) {
            self.stats.shed += 1;
            self.reply_stateless(&walk, &Reply::shed());
        } else {
            let mut walk = walk;
            ask_routing(&mut self.cx, &mut walk);
            self.walks.push(walk);
        }
    }

    fn response(&mut self, flow: Flow, message: &Message<'_>) {
        let view = message.view();
        // RFC 3261 §8.1.3.3: a response with several Via is not for us.
        let ours = view.vias().count() == 1;
        let hash = self.cx.key.hash(view.call_id().as_bytes());
        self.cx.arrived = Some(flow);
        let taken = match self.calls.get_mut(hash).filter(|_| ours) {
            Some(call) => call.respond(&mut self.cx, view, || message.to_response()),
            None => false,
        };
        self.cx.arrived = None;
        if !taken {
            self.stats.stray_responses += 1;
        }
        self.touch(hash);
    }

    /// Answers a CANCEL (RFC 3261 §9.2).
    fn cancel(&mut self, walk: Walk) {
        let hash = walk.call;
        let call = self.calls.get_mut(hash);
        let reply = call.and_then(|call| call.cancel(&mut self.cx, &walk));
        match reply {
            Some(reply) => self.calls.get_or_insert(hash).answer_new(&mut self.cx, walk, reply),
            None => self.reply_stateless(&walk, &Reply::no_dialog()),
        }
        self.touch(hash);
    }

    fn new_walk(
        &mut self,
        flow: Flow,
        (back, stamp): (Target, ViaStamp),
        (hash, key): (u64, u64),
        method: Method,
        message: &Message<'_>,
    ) -> Option<Walk> {
        let view = message.view();
        let expires = expires(view).filter(|_| method == Method::Invite);
        Some(Walk {
            serial: self.cx.serial(),
            call: hash,
            key,
            arrived: self.cx.now,
            method,
            request: message.to_request()?,
            flow,
            back,
            stamp,
            tag: Tag::of_request(&self.cx.key, view),
            stage: Stage::Routing,
            stateless: false,
            ask: None,
            expires: expires.map(|after| self.cx.now + after),
            dialog: None,
            settings: self.cx.settings.clone(),
        })
    }

    /// Tells whether a request with this Call-ID would break a limit.
    fn is_full(&self, hash: u64) -> bool {
        let limits = self.cx.settings.limits();
        match self.calls.get(hash) {
            Some(call) => {
                call.transactions() >= limits.transactions_per_call || self.cx.questions >= limits.questions
            }
            None => {
                self.calls.len() >= limits.calls
                    || self.cx.questions >= limits.questions
                    || self.life != Life::Running
            }
        }
    }

    /// Answers a request of which nothing is kept.
    pub(super) fn reply_stateless(&mut self, walk: &Walk, reply: &Reply) {
        let bytes = render(&mut self.cx, walk, reply, None);
        self.send_back(&walk.back, bytes);
    }

    fn send_back(&mut self, target: &Target, bytes: bytes::Bytes) {
        let owner = Owner::NOBODY;
        // The peer asks again if this is lost, and gets the same answer.
        let _lost = self.cx.send(Outbound { target, bytes, owner, awaits: false });
    }

    /// Ends the walk of a request that no call holds with its final answer.
    pub(super) fn conclude(&mut self, walk: Walk, reply: Reply) {
        let reply = reply.into_final(walk.is_invite());
        let accepts = walk.is_invite() && reply.status.is_success();
        if walk.stateless && !accepts {
            self.reply_stateless(&walk, &reply);
            return;
        }
        let hash = walk.call;
        self.calls.get_or_insert(hash).answer_new(&mut self.cx, walk, reply);
        self.touch(hash);
    }
}

/// Reads as much of a message that is refused anyway as its answer needs: the lines that are whole within the limit.
fn read_for_refusal<'b>(bytes: &'b [u8], limits: &Limits) -> Option<Message<'b>> {
    let head = &bytes[..bytes.len().min(limits.head)];
    let whole = memchr::memmem::rfind(head, b"\r\n")? + 2;
    match Message::parse(&head[..whole], limits) {
        Ok(message) => Some(message),
        Err(Refused { message, .. }) => message,
    }
}

/// Tells where a response goes (RFC 3261 §18.2.2).
fn back(flow: Flow, way: WayBack<'_>, stamp: ViaStamp) -> Target {
    let target = match flow {
        Flow::Datagram { .. } => way.response_target(stamp),
        Flow::Stream { .. } => way.connection_target(stamp, flow.proto()),
    };
    let fallback: SocketAddr = match target {
        ResponseTarget::Address(address) => address,
        // Only a maddr can name a host here; whoever sent the request listens where it came from.
        ResponseTarget::Locate { .. } => flow.remote(),
    };
    // A new connection under TLS has to lead to the name that the peer goes by.
    let name = if flow.proto().is_secure() { way.name() } else { None };
    Target::Back { flow, fallback: Some(fallback), name }
}
