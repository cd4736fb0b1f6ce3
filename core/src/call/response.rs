use bytes::Bytes;

use crate::{
    base::HashKey,
    call::CallCx,
    decision::{Body, Reply, Settings},
    syntax::{Encoder, HeaderId, HeaderName, HeaderValue, Host, Method, StatusCode, ViaStamp, View},
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

    pub(crate) const fn from_number(number: u64) -> Self {
        let mut text = [0; 16];
        let (high, low) = text.split_at_mut(8);
        high.copy_from_slice(&hexadecimal((number >> 32) as u32));
        low.copy_from_slice(&hexadecimal(number as u32));
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }
}

/// Writes a number in eight digits, all at once.
const fn hexadecimal(number: u32) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Halves, bytes and digits are moved apart, until each digit has a byte.
    let mut digits = number as u64;
    digits = (digits | digits << 16) & 0x0000_ffff_0000_ffff;
    digits = (digits | digits << 8) & 0x00ff_00ff_00ff_00ff;
    digits = (digits | digits << 4) & (0x0f * ONES);
    // Six more than nine leave the low half of a byte.
    let letters = ((digits + 6 * ONES) >> 4) & ONES;
    (digits + b'0' as u64 * ONES + (b'a' - b'9' - 1) as u64 * letters).to_be_bytes()
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
    let own = Own::of(cx, to.flow);
    cx.render(|chunk| {
        let status = reply.status;
        // RFC 3261 §8.2.6.2: a 100 gets no tag from us.
        let tag = (status != StatusCode::TRYING).then(|| to.tag.as_str());
        let reason = reply.reason.as_ref().map(|reason| reason.as_str());
        let mut out = Encoder::response(chunk, to.request, status, reason, tag, *to.stamp);
        if status != StatusCode::TRYING {
            out = add_protocol_fields(out, to, reply, &own);
        }
        for (name, value) in reply.headers.iter().filter(|(name, _)| !is_owned(name)) {
            out = out.field_name(name, value.as_str());
        }
        let body = reply.body.as_ref().map(|body| (body.content_type.as_str(), completed(body, to, &own)));
        out.end(body.as_ref().map(|(kind, bytes)| (*kind, &**bytes)));
    })
}

fn add_protocol_fields<'o>(mut out: Encoder<'o>, to: Rendered<'_>, reply: &Reply, own: &Own) -> Encoder<'o> {
    let status = reply.status;
    let settings = to.settings;
    let invite = to.request.is(&Method::Invite);
    let options = to.request.is(&Method::Options);
    let early_or_ok = status.as_u16() < 300;
    if invite && early_or_ok {
        out = out.copy(to.request, HeaderId::RecordRoute);
    }
    // RFC 3311 §4: UPDATE refreshes the target in both directions, as INVITE does.
    let reachable = invite || options || to.request.is(&Method::Update);
    if reachable && early_or_ok && !reply.has(&HeaderName::CONTACT) {
        out = write_contact(out, to, own);
    }
    let unset = |name: &HeaderName| !reply.has(name);
    let told = (invite || options) && early_or_ok || status == StatusCode::METHOD_NOT_ALLOWED;
    if told && unset(&HeaderName::ALLOW) {
        out = out.value(HeaderId::Allow, &settings.allow);
    }
    if (invite || options) && early_or_ok && unset(&HeaderName::SUPPORTED) {
        out = out.value(HeaderId::Supported, &settings.supported);
    }
    let accepts = options && status.is_success() || status == StatusCode::UNSUPPORTED_MEDIA_TYPE;
    if accepts && unset(&HeaderName::ACCEPT) {
        out = out.value(HeaderId::Accept, &settings.config.accept);
    }
    if let Some(rseq) = to.rseq {
        out = out.field(HeaderId::Require, "100rel").field_number(HeaderId::RSeq, rseq);
    }
    if let Some(product) = settings.config.product.as_ref().filter(|_| unset(&HeaderName::SERVER)) {
        out = out.value(HeaderId::Server, product);
    }
    out
}

/// Writes the Contact by which the peer reaches us.
fn write_contact<'o>(out: Encoder<'o>, to: Rendered<'_>, own: &Own) -> Encoder<'o> {
    let (port, proto) = (own.port, to.flow.proto());
    // RFC 3261 §12.1.1: who was asked by SIPS is reached by SIPS.
    let sips = proto.is_secure() && to.request.request_uri().is_ok_and(|uri| uri.is_sips());
    OwnContact { settings: to.settings, host: own_host(to, own), port, proto, sips }.write(out)
}

/// Returns the host at which the peer reaches us.
fn own_host<'a>(to: Rendered<'a>, own: &'a Own) -> Host<'a> {
    let local = to.flow.local().ip();
    let named = || to.request.request_uri().ok()?.host();
    match own.host.as_ref().or_else(|| to.settings.host(local.is_ipv4())) {
        Some(own) => Host::Name(own.as_str()),
        // A socket bound to all addresses does not know which one the peer used; the peer does.
        None if is_wildcard(&local) => named().unwrap_or_else(|| Host::from(local)),
        None => Host::from(local),
    }
}

/// Returns the octets of a body, with the address that they leave from where it asks for that.
fn completed(body: &Body, to: Rendered<'_>, own: &Own) -> Bytes {
    body.bytes_from(own_host(to, own), to.flow.local().ip())
}

/// Where this side is reached by the peer at the other end of a way.
struct Own {
    /// What is shown instead of the address.
    host: Option<HeaderValue>,
    port: Option<u16>,
}

impl Own {
    /// The port is the one that a listener has: a connection of ours may be gone when the peer wants to reach us.
    fn of(cx: &CallCx, flow: &Flow) -> Self {
        let proto = flow.proto();
        let (socket, port) = match cx.transport.socket_of(flow) {
            Some(socket) => (Some(socket), flow.local().port()),
            None if matches!(proto, Proto::Ws | Proto::Wss) && !cx.transport.listens(proto) => {
                return Self { host: HeaderValue::try_from(nowhere(cx)).ok(), port: None };
            }
            None => match cx.transport.local(proto, flow.remote()) {
                Some((socket, listener)) => (Some(socket), listener.port()),
                None => (None, flow.local().port()),
            },
        };
        let custom = socket.and_then(|socket| cx.transport.custom(socket));
        Self { host: custom.and_then(|custom| custom.host.clone()), port: Some(port) }
    }
}

/// Returns the name that an endpoint goes by where the peer cannot open a connection (RFC 7118 §5): a random one that leads
/// nowhere, the same for all its messages.
pub(super) fn nowhere(cx: &CallCx) -> String {
    format!("{}.invalid", Tag::from_number(cx.nowhere).as_str())
}

/// The Contact by which a peer reaches us: over the transport and at the address that it used.
pub(super) struct OwnContact<'a> {
    pub(super) settings: &'a Settings,
    pub(super) host: Host<'a>,
    pub(super) port: Option<u16>,
    pub(super) proto: Proto,
    pub(super) sips: bool,
}

impl OwnContact<'_> {
    pub(super) fn write<'o>(&self, out: Encoder<'o>) -> Encoder<'o> {
        let user = self.settings.config.user.as_ref();
        // RFC 7118 §5.2: a URI says `ws` for both, and the scheme whether it is secure.
        let transport = match self.proto {
            Proto::Udp => None,
            Proto::Tls if self.sips => None,
            Proto::Wss => Some(Proto::Ws.param()),
            Proto::Tcp | Proto::Tls | Proto::Ws | Proto::Sctp => Some(self.proto.param()),
        };
        out.sip_uri(HeaderId::Contact, self.sips, user, (self.host, self.port), transport)
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use bytes::BytesMut;

    use super::*;
    use crate::decision::Config;

    #[test]
    fn tags_are_hexadecimal() {
        for number in [0, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX, 0x9a9a_0f0f_a0a0_9999] {
            assert_eq!(Tag::from_number(number).as_str(), format!("{number:016x}"));
        }
    }

    #[test]
    fn contacts_name_host_port_and_transport() {
        let shown = |user: Option<&'static str>, host: Host<'_>, port, proto| {
            let user = user.map(HeaderValue::from_static);
            let settings = Settings::new(Config { user, ..Config::default() }).expect("a good configuration");
            let mut out = BytesMut::new();
            let (proto, sips) = proto;
            let contact = OwnContact { settings: &settings, host, port: Some(port), proto, sips };
            contact.write(Encoder::status_line(&mut out, StatusCode::OK, None)).end(None);
            let text = std::str::from_utf8(&out).expect("text");
            let (_, value) = text.split_once("Contact: ").expect("it is there");
            value.split("\r\n").next().expect("a first line").to_owned()
        };
        let v4 = |a, b, c, d| Host::V4(Ipv4Addr::new(a, b, c, d));
        assert_eq!(shown(None, v4(192, 0, 2, 10), 5060, (Proto::Udp, false)), "<sip:192.0.2.10:5060>");
        assert_eq!(
            shown(Some("bob"), v4(255, 255, 255, 255), 65_535, (Proto::Tcp, false)),
            "<sip:bob@255.255.255.255:65535;transport=tcp>"
        );
        assert_eq!(
            shown(None, Host::Name("pc.example.com"), 7, (Proto::Udp, false)),
            "<sip:pc.example.com:7>"
        );
        let v6 = Host::V6("2001:db8::1".parse().expect("an address"));
        assert_eq!(shown(None, v6, 10_000, (Proto::Tcp, false)), "<sip:[2001:db8::1]:10000;transport=tcp>");
        // T01.08, TP-07: what was reached by SIPS is so again, and a URI has no `wss`.
        for (proto, sips, text) in [
            (Proto::Tls, true, "<sips:[2001:db8::1]:7>"),
            (Proto::Tls, false, "<sip:[2001:db8::1]:7;transport=tls>"),
            (Proto::Wss, true, "<sips:[2001:db8::1]:7;transport=ws>"),
            (Proto::Wss, false, "<sip:[2001:db8::1]:7;transport=ws>"),
            (Proto::Sctp, false, "<sip:[2001:db8::1]:7;transport=sctp>"),
        ] {
            assert_eq!(shown(None, v6, 7, (proto, sips)), text);
        }
    }
}
