use std::hint::black_box;

use sansip::{
    Limits,
    auth::{Challenge, Credentials},
    body::{multipart, sipfrag},
    sdp,
    syntax::{HeaderId, Message, Uri, View, header},
    transport::{Frame, Framer},
};

/// A piece that is repeated until an input is full of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood {
    name: &'static str,
    piece: &'static str,
}

const fn flood(name: &'static str, piece: &'static str) -> Flood {
    Flood { name, piece }
}

/// What parsers are known to go back over: separators, and openers that nothing closes.
pub const FLOODS: [Flood; 20] = [
    flood("commas", ","),
    flood("items", "a,"),
    flood("parameters", ";a"),
    flood("parameters with values", ";a=\"b\""),
    flood("folds", "\r\n "),
    flood("items and folds", "a,\r\n\t"),
    flood("blanks", " "),
    flood("quotes", "\""),
    flood("open quotes in items", "\"a,"),
    flood("escapes", "\\"),
    flood("angle brackets", "<"),
    flood("open angle brackets in items", "<a,"),
    flood("addresses", "<sip:a>,"),
    flood("URI parameters", "sip:a;b"),
    flood("parentheses", "("),
    flood("open parentheses in items", "(a,"),
    flood("percents", "%"),
    flood("square brackets", "["),
    flood("lines", "a:\r\n"),
    flood("boundaries", "\r\n--a"),
];

/// Header fields, one or more of each grammar.
const ROWS: [&str; 24] = [
    "Via",
    "From",
    "Call-ID",
    "CSeq",
    "Contact",
    "Route",
    "Supported",
    "Accept",
    "Warning",
    "Server",
    "Reason",
    "Date",
    "Retry-After",
    "Timestamp",
    "Replaces",
    "Security-Client",
    "History-Info",
    "Accept-Contact",
    "Feature-Caps",
    "Identity",
    "P-Charging-Vector",
    "P-Access-Network-Info",
    "Call-Info",
    "X-Any",
];

impl Flood {
    /// The sizes that are compared; twice as many bytes.
    pub const SIZES: [usize; 2] = [10_000, 20_000];

    /// Returns what it is a flood of.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Makes all inputs of about that size: each row of a message, a URI, a body.
    pub(crate) fn inputs(self, size: usize) -> Inputs {
        let text = self.piece.repeat(size / self.piece.len());
        let rows = ROWS.map(|name| format!("OPTIONS sip:a SIP/2.0\r\n{name}: {text}\r\n\r\n"));
        Inputs { rows: rows.into(), text }
    }
}

/// What one flood is read as.
pub(crate) struct Inputs {
    rows: Vec<String>,
    text: String,
}

impl Inputs {
    /// Reads them all, and all of them: nothing ends at a limit.
    pub(crate) fn read(&self) {
        let mut limits = Limits::default();
        let most = usize::MAX;
        (limits.headers, limits.header_value, limits.list, limits.params) = (most, most, most, most);
        (limits.body_parts, limits.streams) = (most, most);
        for row in &self.rows {
            if let Ok(mut message) = Message::split(row.as_bytes(), &limits) {
                let _ = black_box(message.check());
                look(message.view());
            }
            let _ = black_box(Message::parse(row.as_bytes(), &limits));
            stream(row.as_bytes(), &limits);
        }
        let text = &*self.text;
        let uris =
            [format!("sip:{text}"), format!("sip:a@b{text}"), format!("sip:a?{text}"), format!("tel:{text}")];
        for uri in &uris {
            let _ = black_box(Uri::parse(uri).map(|uri| uri.is_equivalent(&uri)));
        }
        let _ = black_box(Challenge::parse(&format!("Digest {text}")).is_ok());
        let _ = black_box(Credentials::parse(&format!("Digest a={text}")).is_ok());
        let _ = black_box(sipfrag::parse(text.as_bytes(), &limits).is_ok());
        if let Ok(leaves) = multipart::leaves("multipart/mixed;boundary=a", text.as_bytes(), &limits) {
            black_box(leaves.count());
        }
        let local = sdp::Local::new([192, 0, 2, 1].into(), 1, 1).audio(49_170);
        for start in ["", "v=0\r\no=- 1 1 IN IP4 a\r\ns=-\r\nt=0 0\r\nm=audio 1 RTP/AVP 0\r\na="] {
            let _ = black_box(sdp::answer(format!("{start}{text}").as_bytes(), &local, &limits).is_ok());
        }
    }
}

fn look(view: View<'_>) {
    let _ = black_box(view.check_typed());
    black_box((view.vias().count(), view.contacts().count(), view.routes().count()));
    // These go on behind what is malformed.
    black_box((view.typed_all::<header::Contact>().count(), view.typed_all::<header::Warning>().count()));
    black_box((view.typed_all::<header::Server>().count(), view.typed_all::<header::HistoryInfo>().count()));
    for id in [HeaderId::Contact, HeaderId::Supported, HeaderId::CallInfo] {
        black_box((view.list(id).count(), view.has_token(id, "b"), view.addresses(id).count()));
    }
}

/// The way that costs most: the bytes come by threes.
fn stream(bytes: &[u8], limits: &Limits) {
    let mut framer = Framer::new();
    for mut piece in bytes.chunks(3) {
        while !matches!(framer.next(&mut piece, limits), Frame::Incomplete | Frame::Broken { .. }) {}
    }
    black_box(framer.unfinished());
}
