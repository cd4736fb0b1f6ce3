use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    call::{
        CallCx, Tag,
        response::{OwnContact, nowhere},
    },
    decision::{Body, Outgoing, SendError, Settings},
    dialog::Itinerary,
    syntax::{Encoder, HeaderId, HeaderName, HeaderValue, Host, Method, Uri, View},
    transport::{ConnId, Destination, Flow, Place, Proto, SocketId, Target, is_wildcard},
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
    /// What Via and Contact show, if the application has said so.
    pub(crate) host: Option<HeaderValue>,
    /// The connection that it has to take, if that is open.
    pub(crate) over: Option<ConnId>,
}

/// A request as it goes out.
pub(super) struct Written {
    pub(super) bytes: Bytes,
    pub(super) branch: Box<str>,
    /// The host and port that its Via shows.
    pub(super) sent_by: (Box<str>, u16),
    pub(super) target: Target,
    pub(super) size: Size,
}

/// How the size of a request has settled its transport (RFC 3261 §18.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// It has not: something else did.
    Fixed,
    /// It is small enough for UDP, as far as is known.
    Fits,
    /// It is too large for UDP, so it goes over TCP.
    Switched,
}

/// Where the peer reaches this side, as Via and Contact show it.
struct Shown {
    host: String,
    port: Option<u16>,
    /// The address that its packets have.
    ip: IpAddr,
}

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
        let written = self.write_over(cx, settings, place)?;
        match (to.proto, &written.target) {
            (None, Target::Datagram { socket, .. }) => {
                let custom = cx.transport.custom(*socket).and_then(|custom| custom.udp_size);
                if written.bytes.len() > custom.unwrap_or(settings.config.udp_size).most() {
                    let place = Place { proto: Proto::Tcp, ..place.clone() };
                    let switched = self.write_over(cx, settings, &place)?;
                    return Ok(Written { size: Size::Switched, ..switched });
                }
                Ok(Written { size: Size::Fits, ..written })
            }
            _ => Ok(written),
        }
    }

    /// Writes the request for one server and its transport.
    pub(super) fn write_over(
        &self,
        cx: &mut CallCx,
        settings: &Settings,
        place: &Place,
    ) -> Result<Written, SendError> {
        let &Place { proto, addr: remote, ref name } = place;
        if matches!(proto, Proto::Ws | Proto::Wss) && !cx.transport.listens(proto) {
            let target = Target::Stream { proto, remote, name: name.clone() };
            return self.write_to(cx, settings, target, self.nowhere(cx, remote));
        }
        let (socket, local) = cx.transport.local(proto, remote).ok_or(SendError::NoSocket(proto))?;
        let shown = self.shown(cx, settings, Some(socket), local)?;
        let target = match proto {
            Proto::Udp => Target::Datagram { socket, local, remote },
            proto => Target::Stream { proto, remote, name: name.clone() },
        };
        self.write_to(cx, settings, target, shown)
    }

    /// Writes the request for a way that a message of the peer's took. When that is gone, the address that the URI names
    /// is left, if it is reached over the same transport: Via and Contact show it.
    pub(super) fn write_back(
        &self,
        cx: &mut CallCx,
        settings: &Settings,
        flow: Flow,
        to: &Destination,
    ) -> Result<Written, SendError> {
        let proto = flow.proto();
        let shown = match cx.transport.local(proto, flow.remote()) {
            _ if proto == Proto::Udp => {
                self.shown(cx, settings, cx.transport.socket_of(&flow), flow.local())?
            }
            _ if matches!(proto, Proto::Ws | Proto::Wss) && !cx.transport.listens(proto) => {
                self.nowhere(cx, flow.remote())
            }
            // Our end of the connection is an address that the peer knows; the port is where we listen.
            Some((socket, listener)) => {
                let local = SocketAddr::new(flow.local().ip(), listener.port());
                self.shown(cx, settings, Some(socket), local)?
            }
            None => self.shown(cx, settings, None, flow.local())?,
        };
        let named =
            to.place(&cx.transport.reach()).filter(|place| place.proto == proto && flow.conn().is_some());
        let target = Target::Back { flow, fallback: named.map(|place| place.addr), name: None };
        self.write_to(cx, settings, target, shown)
    }

    fn write_to(
        &self,
        cx: &mut CallCx,
        settings: &Settings,
        target: Target,
        Shown { host, port, ip }: Shown,
    ) -> Result<Written, SendError> {
        let branch = new_branch(cx);
        let proto = target.proto();
        let sips = self.way.request_uri.as_uri().is_sips() || self.way.next_hop.as_uri().is_sips();
        let contact = OwnContact { settings, host: Host::Name(&host), port, proto, sips };
        let port_text = port.map(|port| format!(":{port}")).unwrap_or_default();
        // RFC 5923 §8.1: the offer is for connections under TLS.
        let alias = if settings.config.alias && proto.is_secure() { ";alias" } else { "" };
        let body = self.body.as_ref();
        let body = body.map(|body| (&body.content_type, body.bytes_from(&host, ip)));
        let bytes = cx.render(|chunk| {
            let mut out = Encoder::request(chunk, &self.method, self.way.request_uri.as_str());
            let via =
                format_args!("SIP/2.0/{} {host}{port_text};rport;branch={branch}{alias}", proto.via_name());
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
        let room = settings.limits();
        if bytes.len() > room.head + room.body {
            return Err(SendError::TooLarge);
        }
        let sent_by = (host.into(), port.unwrap_or(SENT_BY_PORT));
        Ok(Written { bytes, branch: branch.into(), sent_by, target, size: Size::Fixed })
    }

    /// Returns what Via and Contact show for a socket.
    fn shown(
        &self,
        cx: &CallCx,
        settings: &Settings,
        socket: Option<SocketId>,
        local: SocketAddr,
    ) -> Result<Shown, SendError> {
        let custom = socket.and_then(|socket| cx.transport.custom(socket)?.host.as_ref());
        let said = self.host.as_ref().or(custom).or_else(|| settings.host(local.is_ipv4()));
        let host = match said {
            Some(host) => host.to_string(),
            None if is_wildcard(&local.ip()) => return Err(SendError::NoHost),
            None => Host::from(local.ip()).to_string(),
        };
        Ok(Shown { host, port: Some(local.port()), ip: local.ip() })
    }

    /// Returns what Via and Contact show where the peer cannot open a connection (RFC 7118 §5): a random name that leads
    /// nowhere, the same for all requests, unless the application has said another one.
    fn nowhere(&self, cx: &CallCx, remote: SocketAddr) -> Shown {
        let host = match &self.host {
            Some(host) => host.to_string(),
            None => nowhere(cx),
        };
        let any: IpAddr = match remote {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        Shown { host, port: None, ip: cx.transport.specific(SocketAddr::new(any, 0), remote).ip() }
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

/// The port that a Via without one stands for, when a response is compared with its request.
pub(super) const SENT_BY_PORT: u16 = 5060;

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
    if let Some(host) = outgoing.host.as_ref().filter(|host| Host::parse(host.as_str()).is_err()) {
        return Err(SendError::Host(host.as_str().into()));
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

/// Draws a branch that is unique and says so (RFC 3261 §8.1.1.7).
fn new_branch(cx: &mut CallCx) -> String {
    format!("z9hG4bK{}", Tag::from_number(cx.streams.branch.next_u64()).as_str())
}
