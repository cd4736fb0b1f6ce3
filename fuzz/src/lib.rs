//! What is done with bytes from nowhere. One function for each target; libFuzzer and the replaying test share them.
//!
//! A target panics if something is wrong. What the bytes are does not matter.

mod body;
mod dns;
mod header;
mod machine;
mod sdp_edits;
mod seed;
mod stun;
mod wire;

use bytes::BytesMut;
use sansip::{
    Limits,
    syntax::{self, Edit, HeaderId, Host, Message, Uri, UriBuilder, View},
    transport::{Frame, Framer},
};

pub use crate::{
    body::body,
    dns::dns_answers,
    header::{COUNT, family, header},
    machine::endpoint_bytes,
    sdp_edits::sdp_edits,
    seed::{Input, files, inputs_of},
    stun::stun,
    wire::{tls_records, ws},
};

/// A target: its name, which is that of its corpus, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 13] = [
    ("message", message),
    ("uri", uri),
    ("header", header),
    ("body", body),
    ("sdp", sdp),
    ("sdp_edits", sdp_edits),
    ("stream_frame", stream_frame),
    ("rsip", rsip),
    ("endpoint_bytes", endpoint_bytes),
    ("dns_answers", dns_answers),
    ("ws", ws),
    ("tls_records", tls_records),
    ("stun", stun),
];

/// Reads a message, asks for everything, and writes it again, changed and not (D12).
pub fn message(bytes: &[u8]) {
    let limits = Limits::default();
    let peeked = syntax::call_id(bytes);
    match Message::parse(bytes, &limits) {
        Ok(message) => {
            let view = message.view();
            look(view);
            assert_eq!(peeked, Some(view.call_id().as_bytes()));
            unchanged(view);
            changed(view);
        }
        Err(refused) => {
            let _ = (refused.error.to_string(), refused.error.reason().to_string());
            if let Some(message) = refused.message {
                look(message.view());
                assert!(Edit::new(message.view()).is_none());
            }
        }
    }
}

/// Reads a URI: its text comes back and it equals itself (RFC 3261 §19.1.4).
pub fn uri(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(uri) = Uri::parse(text) else { return };
    assert_eq!(uri.as_str(), text);
    assert!(uri.is_equivalent(&uri), "{uri}");
    let _ = (uri.user(), uri.password(), uri.port(), uri.params().count(), uri.header_pairs().count());
    let _ = (uri.tel().map(|tel| tel.context().is_some()), uri.urn(), uri.mailto());
    if let Some(builder) = UriBuilder::of(uri) {
        let _ = builder.param("lr", "1").without_headers().build();
    }
    if let Some(host) = uri.host() {
        let printed = host.to_string();
        assert_eq!(Host::parse(&printed), Ok(host), "{uri}");
    }
}

/// Reads an offer and answers it; the answer is a good offer itself (RFC 3264 §6).
pub fn sdp(bytes: &[u8]) {
    use sansip::sdp::{Local, answer};
    let local = Local::new([192, 0, 2, 1].into(), 1, 1).audio(49_170);
    let limits = Limits::default();
    if let Ok(answered) = answer(bytes, &local, &limits) {
        assert!(answer(&answered, &local, &limits).is_ok(), "{}", String::from_utf8_lossy(&answered));
    }
}

/// Cuts a stream in pieces, and at once, and gets the same messages (RFC 3261 §18.3). The first bytes say where to cut.
pub fn stream_frame(bytes: &[u8]) {
    let Some((cuts, stream)) = bytes.split_at_checked(4) else { return };
    let limits = Limits::default();
    let whole = frames(&mut [stream].into_iter(), &limits);
    assert_eq!(frames(&mut pieces(cuts, stream), &limits), whole);
}

/// Cuts a stream in pieces of these sizes, again and again.
fn pieces<'a>(sizes: &'a [u8], mut rest: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut sizes = sizes.iter().cycle();
    std::iter::from_fn(move || {
        let size = usize::from(*sizes.next()?) % 61 + 1;
        let (piece, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Compares with another parser where both accept: method, Call-ID and CSeq.
pub fn rsip(bytes: &[u8]) {
    use rsip::headers::UntypedHeader as _;
    use rsip::message::HeadersExt as _;
    let Ok(message) = Message::parse(bytes, &Limits::default()) else { return };
    let view = message.view();
    let Ok(rsip::SipMessage::Request(other)) = rsip::SipMessage::try_from(bytes) else { return };
    assert!(view.is_request());
    assert_eq!(view.method_text(), other.method.to_string());
    // It may find header fields in the body.
    if other.body != view.body() {
        return;
    }
    // It keeps white space around values, and folds, and takes the last of what we take the first of.
    if let (Ok(call_id), 1) = (other.call_id_header(), view.headers(HeaderId::CallId).count()) {
        assert_eq!(view.call_id(), trimmed(call_id.value()));
    }
    if let Some((number, method)) =
        other.cseq_header().ok().and_then(|cseq| trimmed(cseq.value()).split_once(' '))
    {
        assert_eq!(trimmed(number).parse(), Ok(view.cseq_number()));
        assert_eq!(trimmed(method), view.cseq_method_text());
    }
}

/// Returns a value without the white space of SIP around it, which is not all that Unicode has.
fn trimmed(value: &str) -> &str {
    value.trim_matches([' ', '\t', '\r', '\n'])
}

fn frames(pieces: &mut dyn Iterator<Item = &[u8]>, limits: &Limits) -> Vec<String> {
    let mut framer = Framer::new();
    let mut found = Vec::new();
    for mut piece in pieces {
        loop {
            match framer.next(&mut piece, limits) {
                Frame::Incomplete => break,
                Frame::Broken { error, .. } => {
                    found.push(format!("{error}"));
                    return found;
                }
                Frame::Ping => found.push("ping".into()),
                Frame::Message(message) => found.push(format!("{message:?}")),
            }
        }
    }
    found
}

fn look(view: View<'_>) {
    let _ = (view.start_line(), view.method(), view.request_uri(), view.status(), view.reason());
    let _ = (view.from_tag(), view.to_tag(), view.cseq_method(), view.via().rport(), view.max_forwards());
    for address in view.contacts().chain(view.routes()).chain(view.record_routes()) {
        let _ = (address.uri().map(|uri| uri.is_equivalent(&uri)), address.params().count());
    }
    for (name, value, id) in view.fields() {
        assert_eq!(HeaderId::of(name), id);
        let _ = (
            view.header_named(name),
            view.list(id).count(),
            view.has_token(id, value),
            view.addresses(id).count(),
        );
    }
}

fn unchanged(view: View<'_>) {
    let mut out = BytesMut::new();
    Edit::new(view).expect("it was checked").write(&mut out);
    assert_eq!(out, [view.head_text().as_bytes(), view.body()].concat());
}

/// What a proxy does leaves a message that can be read, with all other rows as they were.
fn changed(view: View<'_>) {
    let mut edit = Edit::new(view).expect("it was checked");
    edit.max_forwards(69).pop_route();
    edit.push_via("SIP/2.0/UDP p;branch=z9hG4bKp").expect("a value");
    edit.push_record_route("<sip:p;lr>").expect("a value");
    edit.content_length();
    let mut out = BytesMut::new();
    edit.write(&mut out);
    assert_eq!(out.len(), edit.size());
    // What is added may exceed the format's own 65,535 bytes.
    if view.head_text().len() > 65_000 {
        return;
    }
    // Nor is what is added part of what the limits allowed.
    let mut limits = Limits::default();
    limits.headers += 8;
    limits.list += 8;
    let again = Message::parse(&out, &limits).expect("what was good stays good");
    let kept = |view: View<'_>| -> Vec<String> {
        use HeaderId as H;
        let touched = [H::Via, H::Route, H::RecordRoute, H::MaxForwards, H::ContentLength];
        view.fields().filter(|field| !touched.contains(&field.2)).map(|field| format!("{field:?}")).collect()
    };
    assert_eq!(kept(again.view()), kept(view));
    assert_eq!(again.view().vias().count(), view.vias().count() + 1);
    assert_eq!(again.view().routes().count(), view.routes().count().saturating_sub(1));
    assert_eq!((again.view().body(), again.view().max_forwards()), (view.body(), Some(69)));
}
