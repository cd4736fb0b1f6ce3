use bytes::Bytes;

use crate::{
    base::HashKey,
    call::CallCx,
    decision::{Reply, Settings},
    syntax::{Encoder, HeaderId, HeaderName, Host, Method, StatusCode, ViaStamp, View},
    transport::{Flow, Proto, is_wildcard},
};

/// A tag made by hashing, so that it costs no draw and a retransmission gets it again (RFC 3261 §8.2.7).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag([u8; 16]);

impl Tag {
    /// Makes the To tag of the responses to a request.
    pub(crate) fn of_request(key: &HashKey, request: View<'_>) -> Self {
        let branch = request.branch().unwrap_or_default();
        let from_tag = request.from_tag().unwrap_or_default();
        let cseq = request.cseq_number().to_be_bytes();
        let parts =
            [b"tag".as_slice(), request.call_id().as_bytes(), from_tag.as_bytes(), branch.as_bytes(), &cseq];
        Self::from_number(key.hash_parts(&parts))
    }

    pub(crate) const fn from_number(mut number: u64) -> Self {
        let mut text = [0; 16];
        let mut at = 0;
        while at < text.len() {
            number = number.rotate_left(4);
            text[at] = b"0123456789abcdef"[(number & 15) as usize];
            at += 1;
        }
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }
}

/// What a response is made for.
#[derive(Clone, Copy)]
pub(crate) struct Rendered<'a> {
    pub(crate) request: View<'a>,
    pub(crate) flow: &'a Flow,
    pub(crate) stamp: &'a ViaStamp,
    pub(crate) tag: &'a Tag,
    pub(crate) settings: &'a Settings,
    /// The RSeq of a reliable provisional response (RFC 3262 §7.1).
    pub(crate) rseq: Option<u32>,
}

/// Writes a response: what the request demands, what the protocol adds, what the application wants (RFC 3261 §8.2.6).
pub(crate) fn reply_to(cx: &mut CallCx, to: Rendered<'_>, reply: &Reply) -> Bytes {
    cx.render(|chunk| {
        let status = reply.status;
        // RFC 3261 §8.2.6.2: a 100 gets no tag from us.
        let tag = (status != StatusCode::TRYING).then(|| to.tag.as_str());
        let reason = reply.reason.as_ref().map(|reason| reason.as_str());
        let mut out = Encoder::response(chunk, to.request, status, reason, tag, *to.stamp);
        if status != StatusCode::TRYING {
            out = add_protocol_fields(out, to, reply);
        }
        for (name, value) in reply.headers.iter().filter(|(name, _)| !is_owned(name)) {
            out = out.field_name(name, value.as_str());
        }
        let body = reply.body.as_ref().map(|body| (body.content_type.as_str(), &*body.bytes));
        out.end(body);
    })
}

fn add_protocol_fields<'o>(mut out: Encoder<'o>, to: Rendered<'_>, reply: &Reply) -> Encoder<'o> {
    let status = reply.status;
    let settings = to.settings;
    let invite = to.request.is(&Method::Invite);
    let options = to.request.is(&Method::Options);
    let early_or_ok = status.as_u16() < 300;
    if invite && early_or_ok {
        out = out.copy(to.request, HeaderId::RecordRoute);
    }
    if (invite || options) && early_or_ok && !reply.has(&HeaderName::CONTACT) {
        out = write_contact(out, to);
    }
    let unset = |name: &HeaderName| !reply.has(name);
    let told = (invite || options) && early_or_ok || status == StatusCode::METHOD_NOT_ALLOWED;
    if told && unset(&HeaderName::ALLOW) {
        out = out.field(HeaderId::Allow, &settings.allow);
    }
    if (invite || options) && early_or_ok && unset(&HeaderName::SUPPORTED) {
        out = out.field(HeaderId::Supported, &settings.supported);
    }
    let accepts = options && status.is_success() || status == StatusCode::UNSUPPORTED_MEDIA_TYPE;
    if accepts && unset(&HeaderName::ACCEPT) {
        out = out.field(HeaderId::Accept, settings.config.accept.as_str());
    }
    if let Some(rseq) = to.rseq {
        out = out.field(HeaderId::Require, "100rel").field_number(HeaderId::RSeq, rseq);
    }
    if let Some(product) = settings.config.product.as_ref().filter(|_| unset(&HeaderName::SERVER)) {
        out = out.field(HeaderId::Server, product.as_str());
    }
    out
}

/// Writes the Contact by which the peer reaches us.
fn write_contact<'o>(out: Encoder<'o>, to: Rendered<'_>) -> Encoder<'o> {
    let named = to.request.request_uri().ok().and_then(|uri| uri.host());
    out.field_fmt(HeaderId::Contact, format_args!("<{}>", own_uri(to.settings, to.flow, named)))
}

/// Makes the URI by which the peer of a flow reaches us: over the transport and at the address that it used.
///
/// `named` is the host that the peer believes us to be.
fn own_uri(settings: &Settings, flow: &Flow, named: Option<Host<'_>>) -> String {
    let local = flow.local();
    let host = match (&settings.config.host, named) {
        (Some(own), _) => own.to_string(),
        // A socket bound to all addresses does not know which one the peer used; the peer does.
        (None, Some(named)) if is_wildcard(&local.ip()) => named.to_string(),
        (None, _) => Host::from(local.ip()).to_string(),
    };
    contact_uri(settings, &host, local.port(), flow.proto())
}

/// Makes the URI of a Contact.
pub(super) fn contact_uri(settings: &Settings, host: &str, port: u16, proto: Proto) -> String {
    let user = settings.config.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
    match proto {
        Proto::Udp => format!("sip:{user}{host}:{port}"),
        other => format!("sip:{user}{host}:{port};transport={other}"),
    }
}

/// Tells whether the endpoint writes a header field itself.
pub(super) fn is_owned(name: &HeaderName) -> bool {
    use HeaderId as H;
    matches!(
        name.id(),
        H::Via
            | H::From
            | H::To
            | H::CallId
            | H::CSeq
            | H::MaxForwards
            | H::Route
            | H::RecordRoute
            | H::ContentLength
            | H::ContentType
    )
}
