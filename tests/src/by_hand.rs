use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use sansip::{
    CloseHow, Config, ConnId, DialogHandle, Input, Instant, Machine as _, Outgoing, Output, Proto, Seed,
    SocketId,
};

use crate::{
    phone::{Note, Phone},
    resting::Resting,
};

/// An endpoint that a test feeds input by input, to be exact about what it does at which moment.
///
/// It has a UDP and a TCP socket at [`ByHand::ADDR`]; nothing lies between it and the test.
pub struct ByHand {
    /// The endpoint and its service.
    pub host: Resting<Phone>,
    now: Instant,
    accepted: u64,
}

impl ByHand {
    /// Where the endpoint listens.
    pub const ADDR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 5060);
    /// Where its peer is, unless told otherwise.
    pub const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)), 5060);
    const UDP: SocketId = SocketId(0);
    const TCP: SocketId = SocketId(1);

    /// Makes an endpoint whose sockets are open.
    pub fn new(config: Config, phone: Phone) -> Self {
        let phone = phone.listens(Proto::Udp, Self::ADDR);
        let mut hand = Self {
            host: Resting::new(phone.host(config, &Seed::from_u64(1))),
            now: Instant::EPOCH,
            accepted: 0,
        };
        for socket in [Self::UDP, Self::TCP] {
            hand.feed(Input::Bound { socket, result: Ok(Self::ADDR) });
        }
        hand
    }

    /// Returns the time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Gives it one input and returns what it wants then.
    pub fn feed(&mut self, input: Input<'_>) -> Vec<Output> {
        self.host.handle_input(self.now, input);
        self.outputs()
    }

    /// Gives it a datagram from its usual peer.
    pub fn datagram(&mut self, payload: impl AsRef<[u8]>) -> Vec<Output> {
        let payload = payload.as_ref();
        self.feed(Input::Datagram { socket: Self::UDP, local: Self::ADDR, remote: Self::PEER, payload })
    }

    /// Opens a connection to it, and returns its name and what the endpoint wants then.
    pub fn accept(&mut self) -> (ConnId, Vec<Output>) {
        self.accepted += 1;
        let conn = ConnId(self.accepted * 2 - 1);
        let port = u16::try_from(10_000 + self.accepted).expect("there are not so many connections");
        let remote = SocketAddr::new(Self::PEER.ip(), port);
        let peer = sansip::PeerInfo::default();
        let wanted = self.feed(Input::Accepted { socket: Self::TCP, conn, local: Self::ADDR, remote, peer });
        (conn, wanted)
    }

    /// Gives it bytes of a connection.
    pub fn received(&mut self, conn: ConnId, data: impl AsRef<[u8]>) -> Vec<Output> {
        self.feed(Input::Received { conn, data: data.as_ref() })
    }

    /// Lets time pass, with a wake at each of its deadlines, and returns all that it wants meanwhile.
    ///
    /// # Panics
    /// If it does not let time pass.
    pub fn pass(&mut self, time: Duration) -> Vec<Output> {
        let mut wanted = Vec::new();
        self.now = sansip_sim::pass(&mut self.host, self.now, time, |host| wanted.extend(drain(host)));
        wanted
    }

    /// Lets time pass without waking it.
    pub fn stall(&mut self, time: Duration) {
        self.now += time;
    }

    /// Acts as its application and returns what it wants then.
    pub fn act<R>(&mut self, act: impl FnOnce(&mut Phone, &mut sansip::Cx<'_>) -> R) -> (R, Vec<Output>) {
        let result = self.host.with(self.now, act);
        (result, self.outputs())
    }

    /// Sends a request and returns its text.
    ///
    /// # Panics
    /// If it sends anything else, or nothing.
    pub fn send(&mut self, outgoing: Outgoing) -> String {
        let (sent, wanted) = self.act(|_, cx| cx.request(outgoing));
        sent.expect("there is a socket");
        only(&wanted)
    }

    /// Returns the dialog that began first.
    ///
    /// # Panics
    /// If none has begun.
    pub fn first_dialog(&self) -> DialogHandle {
        let dialog = |note: &Note| match note {
            Note::Dialog(dialog, _) => Some(*dialog),
            _ => None,
        };
        self.host.service().notes.iter().find_map(dialog).expect("a dialog has begun")
    }

    fn outputs(&mut self) -> Vec<Output> {
        drain(&mut self.host).collect()
    }
}

fn drain(host: &mut Resting<Phone>) -> impl Iterator<Item = Output> {
    std::iter::from_fn(|| host.poll_output())
}

/// Returns the messages among outputs, whole, as text.
pub fn messages(outputs: &[Output]) -> Vec<String> {
    let bytes = |output: &Output| -> Option<Bytes> {
        match output {
            Output::Transmit { payload, .. } => Some(payload.clone()),
            Output::Send { data, .. } => Some(data.clone()),
            _ => None,
        }
    };
    outputs.iter().filter_map(bytes).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}

/// Returns the status codes of the responses among outputs.
pub fn statuses(outputs: &[Output]) -> Vec<u16> {
    let status = |text: &String| text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok();
    messages(outputs).iter().filter_map(status).collect()
}

/// Returns the methods of the requests among outputs.
pub fn methods(outputs: &[Output]) -> Vec<String> {
    let method = |text: &String| text.split(' ').next().filter(|word| *word != "SIP/2.0").map(str::to_owned);
    messages(outputs).iter().filter_map(method).collect()
}

/// Returns the one message among outputs.
///
/// # Panics
/// If there are more, or none.
pub fn only(outputs: &[Output]) -> String {
    let mut texts = messages(outputs);
    assert_eq!(texts.len(), 1, "{texts:?}");
    texts.remove(0)
}

/// Returns the message with this method among outputs.
///
/// # Panics
/// If there is none.
pub fn of_method(outputs: &[Output], method: &str) -> String {
    let found = messages(outputs).into_iter().find(|text| text.starts_with(&format!("{method} ")));
    found.unwrap_or_else(|| panic!("no {method} among {:?}", methods(outputs)))
}

/// Returns the first value of a header field.
///
/// # Panics
/// If the message has none.
pub fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// Returns the connections that outputs end, and how.
pub fn closes(outputs: &[Output]) -> Vec<(ConnId, CloseHow)> {
    let close = |output: &Output| match output {
        Output::Close { conn, how } => Some((*conn, *how)),
        _ => None,
    };
    outputs.iter().filter_map(close).collect()
}

/// A request to be sent raw.
#[derive(Clone, Debug)]
pub struct Raw {
    method: &'static str,
    /// The number that makes Call-ID, branch and From tag its own.
    number: usize,
    from: usize,
    call_id: Option<String>,
    transport: &'static str,
    cseq: u32,
    to_tag: String,
    fields: String,
    body: String,
}

impl Raw {
    /// Makes a request whose Call-ID, branch and From tag show a number.
    pub fn new(method: &'static str, number: usize) -> Self {
        let (to_tag, fields, body) = (String::new(), String::new(), String::new());
        Self { method, number, from: number, call_id: None, transport: "UDP", cseq: 1, to_tag, fields, body }
    }

    /// Has it go over TCP.
    #[must_use]
    pub const fn tcp(mut self) -> Self {
        self.transport = "TCP";
        self
    }

    /// Sets its Call-ID.
    #[must_use]
    pub fn call_id(mut self, call_id: &str) -> Self {
        self.call_id = Some(call_id.into());
        self
    }

    /// Sets its CSeq number.
    #[must_use]
    pub const fn cseq(mut self, cseq: u32) -> Self {
        self.cseq = cseq;
        self
    }

    /// Sets the tag of To.
    #[must_use]
    pub fn to_tag(mut self, tag: &str) -> Self {
        self.to_tag = format!(";tag={tag}");
        self
    }

    /// Puts it in the dialog that request `number` and a To tag of the endpoint's have made.
    #[must_use]
    pub fn within(mut self, number: usize, tag: &str) -> Self {
        self.from = number;
        self.call_id(&format!("call-{number}")).to_tag(tag)
    }

    /// Adds a header field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields += &format!("{name}: {value}\r\n");
        self
    }

    /// Sets its body.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// Writes it.
    pub fn text(&self) -> String {
        let Self { method, number, from, transport, cseq, to_tag, fields, body, .. } = self;
        let call_id = self.call_id.clone().unwrap_or_else(|| format!("call-{number}"));
        let contact = match *method {
            "INVITE" => format!("Contact: <sip:peer@{}>\r\n", ByHand::PEER),
            _ => String::new(),
        };
        format!(
            "{method} sip:us@{us} SIP/2.0\r\nVia: SIP/2.0/{transport} {peer};branch=z9hG4bK-{number}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:peer@example.com>;tag=from-{from}\r\n\
             To: <sip:us@example.com>{to_tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
             {contact}{fields}Content-Length: {length}\r\n\r\n{body}",
            us = ByHand::ADDR,
            peer = ByHand::PEER,
            length = body.len(),
        )
    }
}

/// Writes a response to a request that an endpoint sent, with a To tag and more header fields (`Name: value` lines).
pub fn answer(request: &str, status: u16, tag: &str, fields: &[&str]) -> String {
    let copied =
        |line: &&str| ["Via:", "From:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name));
    let mut lines = vec![format!("SIP/2.0 {status} Answer")];
    lines.extend(request.lines().take_while(|line| !line.is_empty()).filter(copied).map(str::to_owned));
    let to = request.lines().find(|line| line.starts_with("To:")).unwrap_or_default();
    let tagged = if to.contains(";tag=") || tag.is_empty() { to.into() } else { format!("{to};tag={tag}") };
    lines.push(tagged);
    lines.extend(fields.iter().map(|field| (*field).to_owned()));
    lines.push("Content-Length: 0\r\n\r\n".into());
    lines.join("\r\n")
}

/// Writes a request of the peer in the dialog that an INVITE of the endpoint's and the peer's tag make.
pub fn from_peer(invite: &str, tag: &str, method: &str, cseq: u32, fields: &str) -> String {
    format!(
        "{method} sip:us@{us} SIP/2.0\r\nVia: SIP/2.0/UDP {peer};branch=z9hG4bK-{method}-{cseq}\r\nMax-Forwards: 70\r\n\
         From: {to};tag={tag}\r\nTo: {from}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n{fields}\
         Content-Length: 0\r\n\r\n",
        us = ByHand::ADDR,
        peer = ByHand::PEER,
        to = field(invite, "To"),
        from = field(invite, "From"),
        call_id = field(invite, "Call-ID"),
    )
}
