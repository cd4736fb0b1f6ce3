use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use sansip::{
    Instant, Limits,
    syntax::Message,
    transport::{Frame, Framer},
};
use sansip_sim::{NodeId, Passage, Sim, StreamEvent, What};

/// A SIP message that a node sent or got, with what tells it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: Instant,
    /// The node that sent it.
    pub from: NodeId,
    /// The node that it was sent to.
    pub to: Option<NodeId>,
    /// Whether it went over a stream.
    pub on_stream: bool,
    /// The number of that stream.
    pub stream: Option<u64>,
    /// The method of a request; of a response the one that it answers.
    pub method: String,
    /// The status of a response.
    pub status: Option<u16>,
    /// The CSeq number.
    pub cseq: u32,
    /// The branch of the topmost Via.
    pub branch: String,
    /// The Call-ID.
    pub call_id: String,
    /// The tag of From.
    pub from_tag: String,
    /// The tag of To, empty if there is none.
    pub to_tag: String,
    /// All of it.
    pub bytes: Bytes,
}

impl Seen {
    fn read(
        at: Instant,
        from: NodeId,
        to: Option<NodeId>,
        stream: Option<u64>,
        bytes: Bytes,
    ) -> Option<Self> {
        let message = Message::parse(&bytes, &Limits::default()).ok()?;
        let view = message.view();
        Some(Self {
            at,
            from,
            to,
            on_stream: stream.is_some(),
            stream,
            method: view.cseq_method_text().to_owned(),
            status: view.status().map(sansip::StatusCode::as_u16),
            cseq: view.cseq_number(),
            branch: view.branch().unwrap_or_default().to_owned(),
            call_id: view.call_id().to_owned(),
            from_tag: view.from_tag().unwrap_or_default().to_owned(),
            to_tag: view.to_tag().unwrap_or_default().to_owned(),
            bytes: bytes.clone(),
        })
    }

    /// Tells whether it is what `INVITE`, `200` or `200 INVITE` says.
    pub fn is(&self, pattern: &str) -> bool {
        match (self.status, pattern.split_once(' ')) {
            (None, None) => self.method == pattern,
            (Some(status), None) => pattern.parse() == Ok(status),
            (Some(status), Some((number, method))) => number.parse() == Ok(status) && self.method == method,
            (None, Some(_)) => false,
        }
    }

    /// Returns the values of all header fields of a name.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let Ok(message) = Message::parse(&self.bytes, &Limits::default()) else { return Vec::new() };
        let fields = message.view().headers(sansip::syntax::HeaderId::of(name));
        fields.map(str::to_owned).collect()
    }

    /// Returns the value of the first header field of a name.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers(name).into_iter().next()
    }

    /// Returns the Request-URI of a request.
    pub fn uri(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        text.split(' ').nth(1).unwrap_or_default().to_owned()
    }
}

/// Returns all SIP messages that left a node, lost ones too, in order. The trace has to be kept whole.
pub fn sent(sim: &Sim) -> Vec<Seen> {
    let mut streams = Streams::default();
    let mut seen = Vec::new();
    for row in sim.trace().rows() {
        match &row.what {
            What::Datagram { hop, passage: Passage::Sent } => {
                seen.extend(Seen::read(row.at, hop.from, hop.to, None, hop.payload.clone()));
            }
            What::Stream { hop, event: StreamEvent::Wrote } => {
                let messages = streams.write((hop.number, hop.from), &hop.payload);
                seen.extend(
                    messages
                        .into_iter()
                        .filter_map(|m| Seen::read(row.at, hop.from, hop.to, Some(hop.number), m)),
                );
            }
            _ => {}
        }
    }
    seen
}

/// Returns all SIP messages that reached a node, copies too, in order. The trace has to be kept whole.
pub fn arrived(sim: &Sim) -> Vec<Seen> {
    let (mut written, mut read) = (BTreeMap::<_, BytesMut>::new(), Streams::default());
    let mut seen = Vec::new();
    for row in sim.trace().rows() {
        match &row.what {
            What::Datagram { hop, passage: Passage::Delivered | Passage::Copied } => {
                seen.extend(Seen::read(row.at, hop.from, hop.to, None, hop.payload.clone()));
            }
            What::Stream { hop, event: StreamEvent::Wrote } => {
                written.entry((hop.number, hop.from)).or_default().extend_from_slice(&hop.payload);
            }
            What::Stream { hop, event: StreamEvent::Read(count) } => {
                let key = (hop.number, hop.from);
                let buffer = written.entry(key).or_default();
                let piece = buffer.split_to((*count).min(buffer.len()));
                let messages = read.write(key, &piece);
                seen.extend(
                    messages
                        .into_iter()
                        .filter_map(|m| Seen::read(row.at, hop.from, hop.to, Some(hop.number), m)),
                );
            }
            _ => {}
        }
    }
    seen
}

/// Returns when a node sent what a pattern says, in milliseconds.
pub fn times(sim: &Sim, from: impl Into<NodeId>, pattern: &str) -> Vec<u64> {
    let from = from.into();
    let messages = sent(sim).into_iter().filter(|seen| seen.from == from && seen.is(pattern));
    messages.map(|seen| seen.at.as_millis()).collect()
}

/// The streams' bytes that are no whole message yet.
#[derive(Default)]
struct Streams(BTreeMap<(u64, NodeId), Framer>);

impl Streams {
    /// Adds bytes to a stream and takes the messages that are whole then.
    fn write(&mut self, key: (u64, NodeId), mut bytes: &[u8]) -> Vec<Bytes> {
        let framer = self.0.entry(key).or_default();
        let mut messages = Vec::new();
        while let Frame::Message(message) = framer.next(&mut bytes, &Limits::default()) {
            messages.push(Bytes::copy_from_slice(message));
        }
        messages
    }
}
