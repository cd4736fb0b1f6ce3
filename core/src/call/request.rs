use std::time::Duration;

use bytes::Bytes;

use crate::{
    call::{CallCx, Tag, response::OwnContact},
    decision::{Body, Outgoing, SendError, Settings},
    dialog::Itinerary,
    syntax::{Encoder, HeaderId, HeaderName, HeaderValue, Host, Method, Uri, View},
    transport::{Destination, Place, Proto, Target, is_wildcard},
};

use super::response::is_owned;

/// A request that lacks nothing but the transport's part: Via, and Contact where one is due.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) method: Method,
    pub(crate) way: Itinerary,
    pub(crate) from: Box<str>,
    pub(crate) to: Box<str>,
    pub(crate) call_id: Box<str>,
    pub(crate) cseq: u32,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Option<Body>,
    /// Requests with the same number here leave in the order in which they were made: those of one dialog.
    pub(crate) order: Option<u64>,
}

/// A request as it goes out.
pub(super) struct Written {
    pub(super) bytes: Bytes,
    pub(super) branch: Box<str>,
    /// The host and port that its Via shows.
    pub(super) sent_by: (Box<str>, u16),
    pub(super) target: Target,
}

/// Requests beyond this size go over TCP, unless the URI says otherwise (RFC 3261 §18.1.1).
const UDP_SIZE: usize = 1300;

/// Reads where a URI leads to (RFC 3263 §4).
pub(super) fn destination(uri: Uri<'_>) -> Result<Destination, SendError> {
    Destination::of(uri).map_err(|why| SendError::Uri { uri: uri.as_str().into(), why })
}

impl Draft {
    /// Writes the request for one server, over the transport that suits its size (RFC 3261 §18.1.1).
    ///
    /// What the URI says of the transport counts before the size.
    pub(super) fn write(
        &self,
        cx: &mut CallCx,
        settings: &Settings,
        place: &Place,
        to: &Destination,
    ) -> Result<Written, SendError> {
        let written = self.write_over(cx, settings, place.proto, place.addr)?;
        if place.proto == Proto::Udp && to.proto.is_none() && written.bytes.len() > UDP_SIZE {
            return self.write_over(cx, settings, Proto::Tcp, place.addr);
        }
        let room = settings.limits();
        if written.bytes.len() > room.head + room.body {
            return Err(SendError::TooLarge);
        }
        Ok(written)
    }

    fn write_over(
        &self,
        cx: &mut CallCx,
        settings: &Settings,
        proto: Proto,
        remote: std::net::SocketAddr,
    ) -> Result<Written, SendError> {
        let (socket, local) = cx.transport.local(proto, remote).ok_or(SendError::NoSocket(proto))?;
        let host = own_host(settings, local.ip())?;
        let branch = new_branch(cx);
        let contact = OwnContact { settings, host: Host::Name(&host), port: local.port(), proto };
        let target = Target::Peer { proto, socket, local, remote };
        let body = self.body.as_ref();
        let body = body.map(|body| (&body.content_type, body.bytes_from(&host, local.ip())));
        let bytes = cx.render(|chunk| {
            let mut out = Encoder::request(chunk, &self.method, self.way.request_uri.as_str());
            let via =
                format_args!("SIP/2.0/{} {host}:{};rport;branch={branch}", proto.via_name(), local.port());
            out = out.field_fmt(HeaderId::Via, via);
            out = out.field(HeaderId::MaxForwards, "70");
            for route in &self.way.routes {
                out = out.field(HeaderId::Route, route);
            }
            out = out.field(HeaderId::From, &self.from);
            out = out.field(HeaderId::To, &self.to);
            out = out.field(HeaderId::CallId, &self.call_id);
            out = out.field_fmt(HeaderId::CSeq, format_args!("{} {}", self.cseq, self.method));
            out = self.write_optional(out, &contact);
            out.end(body.as_ref().map(|(kind, bytes)| (kind.as_str(), &**bytes)));
        });
        let sent_by = (host.into(), local.port());
        Ok(Written { bytes, branch: branch.into(), sent_by, target })
    }

    fn write_optional<'o>(&self, mut out: Encoder<'o>, contact: &OwnContact<'_>) -> Encoder<'o> {
        let settings = contact.settings;
        let unset = |name: HeaderName| !self.headers.iter().any(|(own, _)| *own == name);
        // RFC 3261 §8.1.1.8: what makes or refreshes a dialog names where its answers reach us.
        let reachable = matches!(
            self.method,
            Method::Invite
                | Method::Update
                | Method::Subscribe
                | Method::Notify
                | Method::Refer
                | Method::Options
        );
        if reachable && unset(HeaderName::CONTACT) {
            out = contact.write(out);
        }
        let tells = matches!(self.method, Method::Invite | Method::Options | Method::Update);
        if tells && unset(HeaderName::ALLOW) {
            out = out.value(HeaderId::Allow, &settings.allow);
        }
        if tells && !settings.supported.as_str().is_empty() && unset(HeaderName::SUPPORTED) {
            out = out.value(HeaderId::Supported, &settings.supported);
        }
        if let Some(product) = settings.config.product.as_ref().filter(|_| unset(HeaderName::USER_AGENT)) {
            out = out.value(HeaderId::UserAgent, product);
        }
        for (name, value) in &self.headers {
            out = out.field_name(name, value.as_str());
        }
        out
    }
}

/// Reads how long an INVITE is to ring at most (RFC 3261 §20.19); what is malformed counts as absent.
pub(crate) fn expires(message: View<'_>) -> Option<Duration> {
    message.header(HeaderId::Expires).and_then(seconds)
}

/// Reads how long an INVITE of the application's is to ring at most.
pub(super) fn expires_of(headers: &[(HeaderName, HeaderValue)]) -> Option<Duration> {
    let field = headers.iter().find(|(name, _)| *name == HeaderName::EXPIRES);
    field.and_then(|(_, value)| seconds(value.as_str()))
}

fn seconds(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse::<u32>().ok()).flatten().map(|seconds| Duration::from_secs(seconds.into()))
}

/// Refuses header fields that the endpoint writes itself, and methods that are no request of their own.
pub(super) fn check_outgoing(outgoing: &Outgoing) -> Result<(), SendError> {
    match outgoing.method {
        Method::Ack => return Err(SendError::Method("ACK")),
        Method::Cancel => return Err(SendError::Method("CANCEL")),
        Method::Bye => return Err(SendError::Method("BYE")),
        _ => {}
    }
    match outgoing.headers.iter().find(|(name, _)| is_owned(name)) {
        Some((name, _)) => Err(SendError::OwnedHeader(name.clone())),
        None => Ok(()),
    }
}

/// Writes the CANCEL of a request, or the ACK for its non-2xx final response (RFC 3261 §9.1, §17.1.1.3).
pub(super) fn write_hop_by_hop(
    cx: &mut CallCx,
    method: &Method,
    invite: View<'_>,
    response: Option<View<'_>>,
) -> Bytes {
    cx.render(|chunk| {
        let mut out = Encoder::request(chunk, method, invite.request_uri_text());
        // One Via, with the branch of the request.
        if let Some(via) = invite.header(HeaderId::Via) {
            out = out.field(HeaderId::Via, via);
        }
        out = out.field(HeaderId::MaxForwards, "70");
        out = out.copy(invite, HeaderId::Route);
        out = out.copy(invite, HeaderId::From);
        match response.and_then(|response| response.header(HeaderId::To)) {
            Some(to) => out = out.field(HeaderId::To, to),
            None => out = out.copy(invite, HeaderId::To),
        }
        out = out.field(HeaderId::CallId, invite.call_id());
        out = out.field_fmt(HeaderId::CSeq, format_args!("{} {method}", invite.cseq_number()));
        if response.is_some() {
            // RFC 3261 §22.1: the ACK repeats the credentials of the INVITE.
            out = out.copy(invite, HeaderId::Authorization).copy(invite, HeaderId::ProxyAuthorization);
        }
        out.end(None);
    })
}

/// Returns the host that Via and Contact show for a socket.
fn own_host(settings: &Settings, local: std::net::IpAddr) -> Result<String, SendError> {
    match &settings.config.host {
        Some(host) => Ok(host.to_string()),
        None if is_wildcard(&local) => Err(SendError::NoHost),
        None => Ok(Host::from(local).to_string()),
    }
}

/// Draws a branch that is unique and says so (RFC 3261 §8.1.1.7).
fn new_branch(cx: &mut CallCx) -> String {
    format!("z9hG4bK{}", Tag::from_number(cx.streams.branch.next_u64()).as_str())
}
