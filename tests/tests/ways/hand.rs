use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use sansip::{
    Ask, ClientHandle, CloseHow, Config, ConnId, DialogHandle, Endpoint, Event, FlowChange, FlowId, Input,
    Instant, Machine as _, Outgoing, Output, PeerInfo, Proto, RecordKind, Records, Reply, Routing, Seed,
    SocketId, Srv, Verdict,
};
use sansip_tests::come_to_rest;

/// An endpoint without a service, fed by hand. It answers nothing but look-ups of addresses by itself.
pub(crate) struct Hand {
    pub(crate) endpoint: Endpoint,
    pub(crate) now: Instant,
    /// All that happened and was not taken out yet.
    pub(crate) events: Vec<Event>,
    accepted: u64,
    dialogs: Vec<DialogHandle>,
    /// The hosts that serve every domain.
    pub(crate) srv: Vec<Srv>,
}

/// Where every name leads.
pub(crate) const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9));

impl Hand {
    pub(crate) fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.tcp_beside_udp = false;
        change(&mut config);
        let endpoint =
            Endpoint::new(config, &Seed::from_u64(1), Instant::EPOCH).expect("a good configuration");
        Self {
            endpoint,
            now: Instant::EPOCH,
            events: Vec::new(),
            accepted: 0,
            dialogs: Vec::new(),
            srv: Vec::new(),
        }
    }

    /// Opens a socket at once.
    pub(crate) fn listen(&mut self, proto: Proto, addr: &str) -> SocketId {
        let addr = address(addr);
        let socket = self.endpoint.at(self.now).listen(proto, addr).expect("listening is not refused");
        self.feed(Input::Bound { socket, result: Ok(addr) });
        socket
    }

    pub(crate) fn feed(&mut self, input: Input<'_>) -> Vec<Output> {
        self.endpoint.handle_input(self.now, input);
        self.outputs()
    }

    pub(crate) fn outputs(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Resolve { query, kind, .. } => {
                    let ttl = Duration::from_secs(60);
                    let result = Ok(match kind {
                        RecordKind::A => Records::Addresses { addresses: vec![PEER], ttl },
                        RecordKind::Srv => Records::Srv { records: self.srv.clone(), ttl },
                        kind => Records::none(kind, ttl),
                    });
                    self.endpoint.handle_input(self.now, Input::Resolved { query, result });
                }
                output => outputs.push(output),
            }
        }
        while let Some(event) = self.endpoint.poll_event() {
            if let Event::Dialog { dialog, change: sansip::DialogChange::Started } = event {
                self.dialogs.push(dialog);
            }
            self.events.push(event);
        }
        outputs
    }

    /// Lets time pass, with a wake at each deadline.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<Output> {
        let end = self.now + time;
        let mut outputs = Vec::new();
        while let Some(due) = self.endpoint.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            outputs.extend(self.feed(Input::Timeout));
        }
        self.now = end;
        outputs
    }

    pub(crate) fn send(&mut self, outgoing: Outgoing) -> (ClientHandle, Vec<Output>) {
        let client = self.endpoint.at(self.now).request(outgoing).expect("it can be sent");
        (client, self.outputs())
    }

    /// Sends an OPTIONS to a URI.
    pub(crate) fn options(&mut self, uri: &str) -> Vec<Output> {
        self.send(Outgoing::options(uri.parse().expect("a URI"))).1
    }

    pub(crate) fn connected(&mut self, conn: ConnId, peer: PeerInfo) -> Vec<Output> {
        self.feed(Input::Connected { conn, local: address("192.0.2.1:40000"), peer })
    }

    /// Has a peer open a connection; `None` if it is refused.
    pub(crate) fn accept(&mut self, socket: SocketId, remote: &str, peer: PeerInfo) -> Option<ConnId> {
        self.accepted += 1;
        let conn = ConnId(self.accepted * 2 - 1);
        let (local, remote) = (address("192.0.2.1:5061"), address(remote));
        let outputs = self.feed(Input::Accepted { socket, conn, local, remote, peer });
        let refused = outputs.contains(&Output::Close { conn, how: CloseHow::Reset });
        (!refused).then_some(conn)
    }

    pub(crate) fn received(&mut self, conn: ConnId, text: &str) -> Vec<Output> {
        self.feed(Input::Received { conn, data: text.as_bytes() })
    }

    /// Takes out what has become of flows.
    pub(crate) fn changes(&mut self) -> Vec<(FlowId, FlowChange)> {
        let change = |event| match event {
            Event::Flow { flow, change } => Some((flow, change)),
            _ => None,
        };
        self.events.drain(..).filter_map(change).collect()
    }

    /// Takes out how requests ended.
    pub(crate) fn ends(&mut self) -> Vec<sansip::ClientEnd> {
        let end = |event| match event {
            Event::ClientEnded { end, .. } => Some(end),
            _ => None,
        };
        self.events.drain(..).filter_map(end).collect()
    }
}

/// What is left of an endpoint at the end of its test, its calls hung up, has to end by itself.
impl Drop for Hand {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let dialogs = std::mem::take(&mut self.dialogs);
            let hang_up = |endpoint: &mut Endpoint, now| {
                // Those that have ended already need no BYE.
                dialogs.into_iter().filter(|dialog| endpoint.at(now).bye(*dialog).is_ok()).count();
            };
            come_to_rest(&mut self.endpoint, self.now, |endpoint| endpoint, hang_up);
        }
    }
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Returns the connections that are asked for, with their names.
pub(crate) fn connects(outputs: &[Output]) -> Vec<(ConnId, Proto, Option<String>)> {
    let connect = |output: &Output| match output {
        Output::Connect { conn, proto, name, .. } => {
            Some((*conn, *proto, name.as_ref().map(ToString::to_string)))
        }
        _ => None,
    };
    outputs.iter().filter_map(connect).collect()
}

/// Returns what is written to connections.
pub(crate) fn sends(outputs: &[Output]) -> Vec<(ConnId, String)> {
    let send = |output: &Output| match output {
        Output::Send { conn, data } => Some((*conn, String::from_utf8_lossy(data).into_owned())),
        _ => None,
    };
    outputs.iter().filter_map(send).collect()
}

/// Returns the datagrams, and from where to where they go.
pub(crate) fn datagrams(outputs: &[Output]) -> Vec<(String, String, Vec<u8>)> {
    let datagram = |output: &Output| match output {
        Output::Transmit { local, remote, payload, .. } => {
            Some((local.to_string(), remote.to_string(), payload.to_vec()))
        }
        _ => None,
    };
    outputs.iter().filter_map(datagram).collect()
}

/// Returns the addresses that connections are asked for to.
pub(crate) fn dialled(outputs: &[Output]) -> Vec<String> {
    let remote = |output: &Output| match output {
        Output::Connect { remote, .. } => Some(remote.to_string()),
        _ => None,
    };
    outputs.iter().filter_map(remote).collect()
}

/// Returns the one connection that is asked for.
pub(crate) fn connect(outputs: &[Output]) -> ConnId {
    match connects(outputs).as_slice() {
        [(conn, ..)] => *conn,
        other => panic!("one connection is wanted, not {other:?}"),
    }
}

/// Returns the value of the first header field of this name.
pub(crate) fn field(message: &str, name: &str) -> String {
    let line = message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {message}")).to_owned()
}

/// Writes a request with a whole Via.
pub(crate) fn request(method: &str, via: &str, to_tag: &str, fields: &str) -> String {
    format!(
        "{method} sip:us@192.0.2.1 SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\n\
         From: <sip:peer@example.com>;tag=peer\r\nTo: <sip:us@example.com>{to_tag}\r\nCall-ID: call\r\n\
         CSeq: 1 {method}\r\n{fields}Content-Length: 0\r\n\r\n"
    )
}

/// Writes the response to a request.
pub(crate) fn response(request: &str, status: u16) -> String {
    let copied =
        ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| format!("{name}: {}\r\n", field(request, name)));
    let tagged = copied.concat().replace("\r\nCall-ID", ";tag=them\r\nCall-ID");
    format!("SIP/2.0 {status} Answer\r\n{tagged}Content-Length: 0\r\n\r\n")
}

pub(crate) fn proved(names: &[&str]) -> PeerInfo {
    PeerInfo::proved(names.iter().map(|name| name.parse().expect("a name")))
}

/// Answers all questions until a 2xx goes out; returns it and the connection that it takes.
pub(crate) fn answer(hand: &mut Hand) -> Option<(ConnId, String)> {
    for _ in 0..2 {
        let ask = hand.events.iter().rev().find_map(|event| match event {
            Event::Ask(Ask::Routing(question)) => Some((question.ask(), Verdict::Routing(Routing::Process))),
            Event::Ask(Ask::Method(question)) => Some((question.ask(), Verdict::Reply(Reply::ok()))),
            _ => None,
        });
        let (ask, verdict) = ask?;
        let command = sansip::Command::Answer { ask, verdict };
        hand.endpoint.command(hand.now, command).expect("the question is open");
        let outputs = hand.outputs();
        let opened = connects(&outputs).first().map(|(conn, ..)| *conn);
        let outputs = match opened {
            Some(conn) => hand.connected(conn, PeerInfo::default()),
            None => outputs,
        };
        let ok = sends(&outputs).into_iter().find(|(_, text)| text.starts_with("SIP/2.0 200"));
        if ok.is_some() {
            return ok;
        }
    }
    None
}

/// Answers the only question with 486; returns what goes out.
pub(crate) fn refuse(hand: &mut Hand) -> Vec<Output> {
    let ask = hand.events.iter().find_map(|event| match event {
        Event::Ask(Ask::Routing(question)) => Some(question.ask()),
        _ => None,
    });
    let verdict = Verdict::Routing(Routing::Reply(Reply::busy()));
    let command = sansip::Command::Answer { ask: ask.expect("a question"), verdict };
    hand.endpoint.command(hand.now, command).expect("the question is open");
    hand.outputs()
}

/// Has a peer call over a connection and accepts it; returns the 200.
pub(crate) fn called(hand: &mut Hand, conn: ConnId, via: &str, contact: &str) -> String {
    hand.received(conn, &request("INVITE", via, "", &format!("Contact: <{contact}>\r\n")));
    let (_, ok) = answer(hand).expect("the call is accepted");
    let to = field(&ok, "To");
    let (_, tag) = to.split_once(";tag=").expect("a tag");
    let ack = request("ACK", via, &format!(";tag={tag}"), "").replace("z9hG4bK1", "z9hG4bK2");
    hand.received(conn, &ack);
    ok
}

/// Returns the only dialog.
pub(crate) fn dialog(hand: &Hand) -> sansip::DialogHandle {
    let dialog = hand.events.iter().find_map(|event| match event {
        Event::Dialog { dialog, .. } => Some(*dialog),
        _ => None,
    });
    dialog.expect("a dialog")
}
