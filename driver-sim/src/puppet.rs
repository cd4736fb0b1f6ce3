use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    hash::Hasher as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use sansip::{CloseHow, ConnId, Input, Instant, IoKind, Machine, Output, Proto, SocketId};
use siphasher::sip::SipHasher13;

use crate::{
    node::{Node, NodeId, Setup},
    text::{self, Start},
    world::Sim,
};

/// A peer that a test plays by hand: it sends the bytes that it is told to, and waits for messages by name.
///
/// It listens on UDP and TCP and does nothing by itself: no retransmission, no automatic response. Its methods take
/// the simulation because waiting makes time pass.
///
/// Text to send may be indented and have plain line ends; see [`send`](Self::send).
#[derive(Clone, Copy, Debug)]
pub struct Puppet {
    node: Node<Actor>,
    port: u16,
}

impl Sim {
    /// Adds a puppet with the usual addresses on port 5060.
    ///
    /// # Panics
    /// If another node has the name.
    pub fn puppet(&mut self, name: &str) -> Puppet {
        self.puppet_with(name, Setup::new(), 5060)
    }

    /// Adds a puppet with addresses and a port of its own.
    ///
    /// # Panics
    /// If another node has the name or an address.
    pub fn puppet_with(&mut self, name: &str, setup: Setup, port: u16) -> Puppet {
        Puppet { node: self.node_with(name, setup, Actor::new(port)), port }
    }
}

impl Puppet {
    /// How long [`expect`](Self::expect) waits: longer than any transaction's 64·T1 (RFC 3261 §17).
    pub const PATIENCE: Duration = Duration::from_secs(40);

    /// Returns its node, for links and rules.
    pub const fn id(self) -> NodeId {
        self.node.id()
    }

    /// Returns its first address.
    pub fn addr(self, sim: &Sim) -> SocketAddr {
        sim.addr(self.node, self.port)
    }

    /// Sends a message to whom it spoke or listened to last.
    ///
    /// Indentation that all lines share is taken away, line ends become CRLF, and the empty line after the header is
    /// added if there is none. `[local]`, `[remote]` and `[transport]` become addresses with ports and `UDP` or `TCP`,
    /// `[branch]` a new branch, `[len]` the length of the body.
    ///
    /// # Panics
    /// If it has spoken to nobody yet.
    pub fn send(self, sim: &mut Sim, message: &str) {
        let line = self.line(sim);
        self.send_text(sim, line, message);
    }

    /// Sends a message as a datagram to an address; text as in [`send`](Self::send).
    pub fn send_to(self, sim: &mut Sim, remote: SocketAddr, message: &str) {
        self.send_text(sim, Line::Datagram { remote }, message);
    }

    /// Sends bytes as they are to whom it spoke or listened to last.
    ///
    /// # Panics
    /// If it has spoken to nobody yet.
    pub fn send_bytes(self, sim: &mut Sim, bytes: impl Into<Bytes>) {
        let line = self.line(sim);
        self.put(sim, line, bytes.into());
    }

    /// Sends bytes as they are as a datagram to an address.
    pub fn send_bytes_to(self, sim: &mut Sim, remote: SocketAddr, bytes: impl Into<Bytes>) {
        self.put(sim, Line::Datagram { remote }, bytes.into());
    }

    /// Opens a connection, over which it speaks from then on.
    ///
    /// # Panics
    /// If the connection does not come about.
    pub fn connect(self, sim: &mut Sim, remote: SocketAddr) {
        if let Err(error) = self.try_connect(sim, remote) {
            sim.fail(&format!("{} cannot connect to {remote}: {error}", sim.name(self.node)));
        }
    }

    /// Opens a connection, over which it speaks from then on, or returns why not.
    pub fn try_connect(self, sim: &mut Sim, remote: SocketAddr) -> Result<(), IoKind> {
        let conn = sim.on(self.node, |actor, _| actor.connect(remote));
        let limit = Duration::from_secs(3600);
        sim.run_until(|sim| sim.peek(self.node).conns.get(&conn).is_none_or(|stream| stream.open), limit);
        let actor = sim.peek(self.node);
        match actor.ended.iter().rev().find(|(other, _)| *other == conn) {
            Some((_, error)) => Err(error.unwrap_or(IoKind::Other)),
            None => Ok(()),
        }
    }

    /// Ends the connection over which it speaks.
    ///
    /// # Panics
    /// If it does not speak over a connection.
    pub fn close(self, sim: &mut Sim, how: CloseHow) {
        let line = self.line(sim);
        let Line::Stream { conn, .. } = line else {
            sim.fail(&format!("{} speaks over no connection", sim.name(self.node)));
        };
        sim.on(self.node, |actor, _| actor.close(conn, how));
    }

    /// Returns how many connections it has.
    pub fn connections(self, sim: &Sim) -> usize {
        sim.peek(self.node).conns.len()
    }

    /// Waits for a message and takes it: `INVITE`, `180`, `2xx`, or `200 INVITE` for one that answers an INVITE.
    ///
    /// Other messages stay to be expected later, in any order.
    ///
    /// # Panics
    /// If it does not come within [`PATIENCE`](Self::PATIENCE).
    pub fn expect(self, sim: &mut Sim, pattern: &str) -> Heard {
        self.expect_within(sim, pattern, Self::PATIENCE)
    }

    /// Waits for a message for some time and takes it.
    ///
    /// # Panics
    /// If it does not come.
    pub fn expect_within(self, sim: &mut Sim, pattern: &str, limit: Duration) -> Heard {
        self.expect_where(sim, pattern, limit, |heard| heard.is(pattern))
    }

    /// Waits for a message for which a condition holds and takes it; `what` names it in case it does not come.
    ///
    /// # Panics
    /// If it does not come.
    pub fn expect_where(
        self,
        sim: &mut Sim,
        what: &str,
        limit: Duration,
        condition: impl Fn(&Heard) -> bool,
    ) -> Heard {
        sim.run_until(|sim| sim.peek(self.node).inbox.iter().any(&condition), limit);
        let taken = sim.on(self.node, |actor, _| actor.take(condition));
        match taken {
            Some(heard) => heard,
            None => {
                let inbox = sim.peek(self.node).inbox.iter();
                let others: Vec<String> = inbox.map(|heard| text::label(&heard.bytes)).collect();
                let name = sim.name(self.node);
                sim.fail(&format!("{name} waited {limit:?} for {what} in vain; it heard {others:?}"))
            }
        }
    }

    /// Lets time pass in which no message may come.
    ///
    /// # Panics
    /// If one comes.
    pub fn expect_none(self, sim: &mut Sim, time: Duration) {
        let before = sim.peek(self.node).count;
        let heard = sim.run_until(|sim| sim.peek(self.node).count > before, time);
        if let (true, Some(heard)) = (heard, sim.peek(self.node).inbox.back()) {
            let name = sim.name(self.node);
            sim.fail(&format!("{name} heard {} when nothing was to come", text::label(&heard.bytes)));
        }
    }

    /// Takes all messages that came and were not expected, in order.
    pub fn take_all(self, sim: &mut Sim) -> Vec<Heard> {
        sim.on(self.node, |actor, _| actor.inbox.drain(..).collect())
    }

    /// Returns how many of its datagrams the network called undeliverable.
    pub fn unreachable(self, sim: &Sim) -> usize {
        sim.peek(self.node).unreachable
    }

    /// Answers the request that it took last, or if it took none the one that came last.
    ///
    /// # Panics
    /// If there was no request.
    pub fn reply(self, sim: &mut Sim, status: u16) {
        let actor = sim.peek(self.node);
        let is_request = |heard: &&Heard| heard.method().is_some();
        let request = actor.taken_request.as_ref().or_else(|| actor.inbox.iter().rev().find(is_request));
        let Some(request) = request.cloned() else {
            sim.fail(&format!("{} has no request to answer", sim.name(self.node)));
        };
        self.reply_with(sim, &request, status, "", b"");
    }

    /// Answers a request, with more header fields (`Name: value` lines) and a body.
    ///
    /// Via, From, To, Call-ID, CSeq and Record-Route are the request's; To gets a tag that is always the same for one
    /// Call-ID, the topmost Via what RFC 3261 §18.2.1 and RFC 3581 §4 ask for, and a response that makes a dialog its
    /// Contact (RFC 3261 §12.1.1).
    pub fn reply_with(self, sim: &mut Sim, request: &Heard, status: u16, fields: &str, body: &[u8]) {
        let response = response(sim.name(self.node), request, status, fields, body);
        self.put(sim, request.line, response);
    }

    /// Sets whether it neither hears nor says anything. What comes meanwhile is lost to it.
    pub fn mute(self, sim: &mut Sim, on: bool) {
        sim.on(self.node, |actor, _| actor.muted = on);
    }

    fn line(self, sim: &Sim) -> Line {
        match sim.peek(self.node).line {
            Some(line) => line,
            None => sim.fail(&format!("{} has spoken to nobody yet", sim.name(self.node))),
        }
    }

    fn send_text(self, sim: &mut Sim, line: Line, message: &str) {
        let remote = line.remote();
        let like = |ip: &&IpAddr| ip.is_ipv4() == remote.is_ipv4();
        let ip = sim.addresses(self.node).iter().find(like).copied();
        let local = SocketAddr::new(ip.unwrap_or_else(|| Ipv4Addr::UNSPECIFIED.into()), self.port);
        let name = sim.name(self.node).to_owned();
        let branch = sim.on(self.node, |actor, _| {
            actor.branches += 1;
            format!("z9hG4bK-{name}-{}", actor.branches)
        });
        let (head, body) = compose(message);
        let filled = |text: &str| {
            text.replace("[local]", &local.to_string())
                .replace("[remote]", &remote.to_string())
                .replace("[transport]", line.proto().via_name())
                .replace("[branch]", &branch)
        };
        let body = filled(&body);
        let head = filled(&head).replace("[len]", &body.len().to_string());
        self.put(sim, line, Bytes::from(head + &body));
    }

    fn put(self, sim: &mut Sim, line: Line, payload: Bytes) {
        sim.on(self.node, |actor, _| actor.put(line, payload));
    }
}

impl From<Puppet> for NodeId {
    fn from(puppet: Puppet) -> Self {
        puppet.id()
    }
}

/// A message that a puppet got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When, by the puppet's clock.
    pub at: Instant,
    /// The address that it was sent from.
    pub remote: SocketAddr,
    /// The address that it was sent to.
    pub local: SocketAddr,
    /// All of it.
    pub bytes: Bytes,
    line: Line,
}

impl Heard {
    /// Tells whether it is what a pattern of [`Puppet::expect`] says.
    pub fn is(&self, pattern: &str) -> bool {
        text::matches(&self.bytes, pattern)
    }

    /// Returns all of it as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// Returns the method of a request.
    pub fn method(&self) -> Option<&str> {
        match text::start(&self.bytes) {
            Some(Start::Request { method, .. }) => Some(method),
            _ => None,
        }
    }

    /// Returns the Request-URI of a request.
    pub fn uri(&self) -> Option<&str> {
        match text::start(&self.bytes) {
            Some(Start::Request { uri, .. }) => Some(uri),
            _ => None,
        }
    }

    /// Returns the status code of a response.
    pub fn status(&self) -> Option<u16> {
        match text::start(&self.bytes) {
            Some(Start::Response { status, .. }) => Some(status),
            _ => None,
        }
    }

    /// Returns the value of the first header field of a name, which may stand in its compact form.
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        text::header(&self.bytes, name)
    }

    /// Returns the values of all header fields of a name, in order.
    pub fn headers(&self, name: &str) -> Vec<Cow<'_, str>> {
        text::headers(&self.bytes, name)
    }

    /// Returns the body.
    pub fn body(&self) -> &[u8] {
        text::body(&self.bytes)
    }

    /// Returns what it came over.
    pub const fn proto(&self) -> Proto {
        self.line.proto()
    }
}

/// Over what, and with whom, a puppet speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Datagram { remote: SocketAddr },
    Stream { conn: ConnId, remote: SocketAddr },
}

impl Line {
    const fn remote(self) -> SocketAddr {
        match self {
            Self::Datagram { remote } | Self::Stream { remote, .. } => remote,
        }
    }

    const fn proto(self) -> Proto {
        match self {
            Self::Datagram { .. } => Proto::Udp,
            Self::Stream { .. } => Proto::Tcp,
        }
    }
}

/// The machine behind a puppet.
struct Actor {
    port: u16,
    outputs: VecDeque<Output>,
    inbox: VecDeque<Heard>,
    count: u64,
    taken_request: Option<Heard>,
    line: Option<Line>,
    conns: BTreeMap<ConnId, Stream>,
    ended: Vec<(ConnId, Option<IoKind>)>,
    next_conn: u64,
    branches: u64,
    unreachable: usize,
    muted: bool,
    bound: bool,
}

/// A connection of a puppet.
struct Stream {
    local: SocketAddr,
    remote: SocketAddr,
    open: bool,
    received: BytesMut,
}

impl Actor {
    const SOCKETS: [(SocketId, Proto, IpAddr); 4] = [
        (SocketId(0), Proto::Udp, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        (SocketId(1), Proto::Tcp, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        (SocketId(2), Proto::Udp, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        (SocketId(3), Proto::Tcp, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    ];

    const fn new(port: u16) -> Self {
        Self {
            port,
            outputs: VecDeque::new(),
            inbox: VecDeque::new(),
            count: 0,
            taken_request: None,
            line: None,
            conns: BTreeMap::new(),
            ended: Vec::new(),
            next_conn: 0,
            branches: 0,
            unreachable: 0,
            muted: false,
            bound: false,
        }
    }

    fn bind(&mut self) {
        if std::mem::replace(&mut self.bound, true) {
            return;
        }
        let binds = Self::SOCKETS.map(|(socket, proto, ip)| {
            let addr = SocketAddr::new(ip, self.port);
            Output::Bind { socket, proto, addr }
        });
        self.outputs.extend(binds);
    }

    fn connect(&mut self, remote: SocketAddr) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 2;
        self.conns.insert(conn, Stream { local: remote, remote, open: false, received: BytesMut::new() });
        self.line = Some(Line::Stream { conn, remote });
        self.outputs.push_back(Output::Connect { conn, proto: Proto::Tcp, remote, name: None });
        conn
    }

    fn close(&mut self, conn: ConnId, how: CloseHow) {
        self.conns.remove(&conn);
        self.outputs.push_back(Output::Close { conn, how });
    }

    fn put(&mut self, line: Line, payload: Bytes) {
        self.line = Some(line);
        if self.muted {
            return;
        }
        self.outputs.push_back(match line {
            Line::Stream { conn, .. } => Output::Send { conn, data: payload },
            Line::Datagram { remote } => {
                let like = |(_, proto, ip): &&(SocketId, Proto, IpAddr)| {
                    *proto == Proto::Udp && ip.is_ipv4() == remote.is_ipv4()
                };
                let (socket, _, ip) =
                    *Self::SOCKETS.iter().find(like).expect("there is a socket for each family");
                Output::Transmit { socket, local: SocketAddr::new(ip, self.port), remote, payload }
            }
        });
    }

    fn take(&mut self, condition: impl Fn(&Heard) -> bool) -> Option<Heard> {
        let position = self.inbox.iter().position(condition)?;
        let heard = self.inbox.remove(position)?;
        if heard.method().is_some() {
            self.taken_request = Some(heard.clone());
        }
        self.line = Some(heard.line);
        Some(heard)
    }

    fn hear(&mut self, at: Instant, line: Line, local: SocketAddr, bytes: Bytes) {
        if self.muted {
            return;
        }
        self.count += 1;
        self.line = Some(line);
        self.inbox.push_back(Heard { at, remote: line.remote(), local, bytes, line });
    }

    fn received(&mut self, at: Instant, conn: ConnId, data: &[u8]) {
        let Some(stream) = self.conns.get_mut(&conn) else { return };
        stream.received.extend_from_slice(data);
        let (local, remote) = (stream.local, stream.remote);
        let mut messages = Vec::new();
        loop {
            // RFC 3261 §7.5: empty lines before a start line mean nothing.
            let blank = stream.received.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            stream.received.advance(blank);
            let Some(length) = text::frame(&stream.received) else { break };
            messages.push(stream.received.split_to(length).freeze());
        }
        for message in messages {
            self.hear(at, Line::Stream { conn, remote }, local, message);
        }
    }
}

impl Machine for Actor {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Wall(_) => self.bind(),
            Input::Datagram { local, remote, payload, .. } => {
                self.hear(now, Line::Datagram { remote }, local, Bytes::copy_from_slice(payload));
            }
            Input::Unreachable { .. } => self.unreachable += 1,
            Input::Accepted { conn, local, remote, .. } => {
                self.conns.insert(conn, Stream { local, remote, open: true, received: BytesMut::new() });
            }
            Input::Connected { conn, local, .. } => {
                if let Some(stream) = self.conns.get_mut(&conn) {
                    (stream.local, stream.open) = (local, true);
                }
            }
            Input::Received { conn, data } => self.received(now, conn, data),
            Input::Closed { conn, error } => {
                self.conns.remove(&conn);
                self.ended.push((conn, error));
            }
            _ => (),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// Makes text for the wire: the header with its empty line, and the body.
fn compose(text: &str) -> (String, String) {
    let text = text.strip_prefix("\r\n").or_else(|| text.strip_prefix('\n')).unwrap_or(text);
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    // The indentation of a closing quote is no line.
    if !text.ends_with('\n') && lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let shared = lines.iter().filter(|line| !line.is_empty()).map(indent).min().unwrap_or(0);
    let mut parts = lines.iter().map(|line| line.get(shared..).unwrap_or_default());
    let mut head: String =
        parts.by_ref().take_while(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect();
    head += "\r\n";
    (head, parts.map(|line| format!("{line}\r\n")).collect())
}

/// Makes a response to a request.
fn response(name: &str, request: &Heard, status: u16, fields: &str, body: &[u8]) -> Bytes {
    let mut lines = vec![format!("SIP/2.0 {status} {}", reason(status))];
    for (index, via) in request.headers("Via").iter().enumerate() {
        let via = if index == 0 { with_source(via, request.remote) } else { via.to_string() };
        lines.push(format!("Via: {via}"));
    }
    lines.extend(request.headers("Record-Route").iter().map(|route| format!("Record-Route: {route}")));
    for field in ["From", "To", "Call-ID", "CSeq"] {
        let Some(value) = request.header(field) else { continue };
        let tagged = field == "To" && status > 100 && !value.contains(";tag=");
        let tag = if tagged { format!(";tag={}", tag(name, request)) } else { String::new() };
        lines.push(format!("{field}: {value}{tag}"));
    }
    let makes_dialog = matches!(request.method(), Some("INVITE" | "SUBSCRIBE" | "REFER" | "UPDATE"));
    if makes_dialog && (101..300).contains(&status) {
        let transport = if request.proto() == Proto::Tcp { ";transport=tcp" } else { "" };
        lines.push(format!("Contact: <sip:{name}@{}{transport}>", request.local));
    }
    lines.extend(fields.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
    lines.push(format!("Content-Length: {}", body.len()));
    let mut bytes = BytesMut::from((lines.join("\r\n") + "\r\n\r\n").as_bytes());
    bytes.extend_from_slice(body);
    bytes.freeze()
}

/// Notes in a Via where a request came from (RFC 3261 §18.2.1, RFC 3581 §4).
fn with_source(via: &str, source: SocketAddr) -> String {
    let end = via.find(',').unwrap_or(via.len());
    let (top, rest) = via.split_at(end);
    let mut params: Vec<String> = top.split(';').map(|param| param.trim().to_owned()).collect();
    let Some(rport) = params.iter().position(|param| param == "rport") else {
        let sent_by = params.first().and_then(|first| first.split_whitespace().last()).unwrap_or_default();
        let host = sent_by.parse::<SocketAddr>().map(|addr| addr.ip()).or_else(|_| sent_by.parse());
        let same = host == Ok(source.ip());
        return if same { via.to_owned() } else { format!("{top};received={}{rest}", source.ip()) };
    };
    params[rport] = format!("received={};rport={}", source.ip(), source.port());
    params.join(";") + rest
}

fn tag(name: &str, request: &Heard) -> String {
    let mut hasher = SipHasher13::new();
    hasher.write(name.as_bytes());
    hasher.write(request.header("Call-ID").unwrap_or_default().as_bytes());
    format!("{:08x}", hasher.finish() >> 32)
}

/// Returns the usual words for a status code (RFC 3261 §21).
const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        420 => "Bad Extension",
        423 => "Interval Too Brief",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => match status / 100 {
            1 => "Progress",
            2 => "Success",
            3 => "Redirection",
            4 => "Client Error",
            5 => "Server Error",
            _ => "Global Failure",
        },
    }
}
