use std::{fmt::Display, net::IpAddr};

use bytes::Bytes;

use crate::{
    sdp::with_local_address,
    syntax::{HeaderName, HeaderValue, Method, StatusCode},
};

/// A body and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Body {
    /// The Content-Type header field.
    pub content_type: HeaderValue,
    /// The octets, exactly as sent.
    pub bytes: Bytes,
    /// Whether it is completed when it goes out: see [`Body::local_sdp`].
    #[cfg_attr(feature = "serde", serde(default))]
    local: bool,
}

impl Body {
    /// Makes a body of the given type.
    pub fn new(content_type: HeaderValue, bytes: impl Into<Bytes>) -> Self {
        Self { content_type, bytes: bytes.into(), local: false }
    }

    /// Makes a body of type `application/sdp`.
    pub fn sdp(bytes: impl Into<Bytes>) -> Self {
        Self::new(HeaderValue::from_static("application/sdp"), bytes)
    }

    /// Makes a body of type `application/sdp` in which [`LOCAL_ADDRESS`](crate::sdp::LOCAL_ADDRESS) becomes the host
    /// that the message shows in its Contact: only then is it known which socket it leaves from.
    pub fn local_sdp(bytes: impl Into<Bytes>) -> Self {
        Self { local: true, ..Self::sdp(bytes) }
    }

    /// Returns the octets to send in a message whose Contact has this host, from a socket of this address.
    pub(crate) fn bytes_from(&self, host: impl Display, local: IpAddr) -> Bytes {
        match self.local {
            true => with_local_address(&self.bytes, &host.to_string(), local),
            false => self.bytes.clone(),
        }
    }
}

/// A response as the application wants it: status, phrase, header fields of its own, body.
///
/// The endpoint adds what the protocol demands: Via, From, To with its tag, Call-ID, CSeq, Contact, Record-Route,
/// Allow, Supported, Content-Length. Header fields that the endpoint owns and the application sets all the same are
/// left out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[must_use]
pub struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) reason: Option<HeaderValue>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Option<Body>,
    pub(crate) reliable: bool,
}

impl Reply {
    /// Makes a reply with any status.
    pub const fn status(status: StatusCode) -> Self {
        Self { status, reason: None, headers: Vec::new(), body: None, reliable: false }
    }

    /// Makes a 180 (Ringing).
    pub const fn ringing() -> Self {
        Self::status(StatusCode::RINGING)
    }

    /// Makes a 183 (Session Progress).
    pub const fn session_progress() -> Self {
        Self::status(StatusCode::SESSION_PROGRESS)
    }

    /// Makes a 200 (OK).
    pub const fn ok() -> Self {
        Self::status(StatusCode::OK)
    }

    /// Makes a 302 (Moved Temporarily) that names other places to try, each a URI or name-addr.
    pub fn redirect(contacts: impl IntoIterator<Item = HeaderValue>) -> Self {
        let reply = Self::status(StatusCode::MOVED_TEMPORARILY);
        contacts.into_iter().fold(reply, |reply, contact| reply.header(HeaderName::CONTACT, contact))
    }

    /// Makes a 400 (Bad Request).
    pub const fn bad_request() -> Self {
        Self::status(StatusCode::BAD_REQUEST)
    }

    /// Makes a 403 (Forbidden).
    pub const fn forbidden() -> Self {
        Self::status(StatusCode::FORBIDDEN)
    }

    /// Makes a 404 (Not Found).
    pub const fn not_found() -> Self {
        Self::status(StatusCode::NOT_FOUND)
    }

    /// Makes a 405 (Method Not Allowed); the endpoint adds Allow.
    pub const fn method_not_allowed() -> Self {
        Self::status(StatusCode::METHOD_NOT_ALLOWED)
    }

    /// Makes a 420 (Bad Extension) that lists the extensions not supported.
    pub fn bad_extension(unsupported: impl IntoIterator<Item = HeaderValue>) -> Self {
        let reply = Self::status(StatusCode::BAD_EXTENSION);
        unsupported.into_iter().fold(reply, |reply, tag| reply.header(HeaderName::UNSUPPORTED, tag))
    }

    /// Makes a 480 (Temporarily Unavailable).
    pub const fn unavailable() -> Self {
        Self::status(StatusCode::TEMPORARILY_UNAVAILABLE)
    }

    /// Makes a 481 (Call/Transaction Does Not Exist).
    pub const fn no_dialog() -> Self {
        Self::status(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST)
    }

    /// Makes a 486 (Busy Here).
    pub const fn busy() -> Self {
        Self::status(StatusCode::BUSY_HERE)
    }

    /// Makes a 487 (Request Terminated).
    pub const fn terminated() -> Self {
        Self::status(StatusCode::REQUEST_TERMINATED)
    }

    /// Makes a 488 (Not Acceptable Here).
    pub const fn not_acceptable() -> Self {
        Self::status(StatusCode::NOT_ACCEPTABLE_HERE)
    }

    /// Makes a 500 (Server Internal Error).
    pub const fn internal_error() -> Self {
        Self::status(StatusCode::SERVER_INTERNAL_ERROR)
    }

    /// Makes a 501 (Not Implemented).
    pub const fn not_implemented() -> Self {
        Self::status(StatusCode::NOT_IMPLEMENTED)
    }

    /// Makes a 503 (Service Unavailable).
    pub const fn service_unavailable() -> Self {
        Self::status(StatusCode::SERVICE_UNAVAILABLE)
    }

    /// Makes a 603 (Decline).
    pub const fn decline() -> Self {
        Self::status(StatusCode::DECLINE)
    }

    /// Sets the reason phrase.
    pub fn reason(mut self, reason: HeaderValue) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Adds a header field.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: Body) -> Self {
        self.body = Some(body);
        self
    }

    /// Sets a body of type `application/sdp`.
    pub fn sdp(self, sdp: impl Into<Bytes>) -> Self {
        self.body(Body::sdp(sdp))
    }

    /// Asks for a provisional response that is sent again until the peer acknowledges it with PRACK (RFC 3262).
    pub const fn reliable(mut self) -> Self {
        self.reliable = true;
        self
    }

    /// Returns the status.
    pub const fn code(&self) -> StatusCode {
        self.status
    }

    /// Tells whether a header field of this name was set.
    pub(crate) fn has(&self, name: &HeaderName) -> bool {
        self.headers.iter().any(|(own, _)| own == name)
    }

    /// Returns what is sent as a final response: a provisional one given for it is the service's error, and so is a 408
    /// to anything but INVITE (RFC 4320 §4.2).
    pub(crate) fn into_final(self, invite: bool) -> Self {
        if self.status.is_final() && (invite || self.status != StatusCode::REQUEST_TIMEOUT) {
            return self;
        }
        Self::internal_error().reason(HeaderValue::from_static("Invalid Service Response"))
    }

    /// Makes the reply to a request that a limit leaves no room for (RFC 3261 §21.5.4).
    pub(crate) fn shed() -> Self {
        Self::service_unavailable().header(HeaderName::RETRY_AFTER, HeaderValue::from_static("10"))
    }

    /// Makes the reply that answers a method nobody handles (RFC 3261 §8.2.1).
    pub(crate) const fn unhandled(method: &Method) -> Self {
        match method {
            Method::Other(_) => Self::not_implemented(),
            _ => Self::method_not_allowed(),
        }
    }
}

impl From<StatusCode> for Reply {
    fn from(status: StatusCode) -> Self {
        Self::status(status)
    }
}
