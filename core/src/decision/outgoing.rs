use crate::{
    decision::{Body, DialogHandle},
    syntax::{HeaderName, HeaderValue, Method, UriBuf},
    transport::ConnId,
};

/// A request that the application wants to send, outside of a dialog or in one.
///
/// The endpoint owns Via, From and To tags, Call-ID, CSeq, Max-Forwards, Contact, Route and Content-Length; it refuses
/// them as header fields set by the application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[must_use]
pub struct Outgoing {
    pub(crate) method: Method,
    pub(crate) recipient: Recipient,
    pub(crate) from: Option<UriBuf>,
    pub(crate) to: Option<UriBuf>,
    pub(crate) call_id: Option<HeaderValue>,
    pub(crate) routes: Vec<UriBuf>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Option<Body>,
    pub(crate) ack: AckMode,
    pub(crate) forks: ExtraForks,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) over: Option<ConnId>,
}

/// Whom a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Recipient {
    /// Whoever the Request-URI names.
    Uri(UriBuf),
    /// The peer of a dialog.
    Dialog(DialogHandle),
}

/// Who sends the ACK for a 2xx (RFC 3261 §13.2.2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum AckMode {
    /// The endpoint, at once, if the INVITE carried a body; else the application, since the ACK has to carry one.
    #[default]
    Auto,
    /// The application, with [`Cx::ack`](crate::Cx::ack).
    Manual,
}

/// What becomes of 2xx responses beyond the first, which other branches of a fork may send (RFC 3261 §13.2.2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ExtraForks {
    /// Each is acknowledged and ended with BYE.
    #[default]
    End,
    /// Each becomes a dialog of the application's.
    Keep,
}

impl Outgoing {
    /// Makes a request outside of any dialog.
    pub const fn new(method: Method, uri: UriBuf) -> Self {
        Self::to_recipient(method, Recipient::Uri(uri))
    }

    /// Makes an INVITE.
    pub const fn invite(uri: UriBuf) -> Self {
        Self::new(Method::Invite, uri)
    }

    /// Makes an OPTIONS.
    pub const fn options(uri: UriBuf) -> Self {
        Self::new(Method::Options, uri)
    }

    /// Makes a request in a dialog. For BYE and ACK see [`Cx::bye`](crate::Cx::bye) and [`Cx::ack`](crate::Cx::ack).
    pub const fn in_dialog(method: Method, dialog: DialogHandle) -> Self {
        Self::to_recipient(method, Recipient::Dialog(dialog))
    }

    const fn to_recipient(method: Method, recipient: Recipient) -> Self {
        Self {
            method,
            recipient,
            from: None,
            to: None,
            call_id: None,
            routes: Vec::new(),
            headers: Vec::new(),
            body: None,
            ack: AckMode::Auto,
            forks: ExtraForks::End,
            host: None,
            over: None,
        }
    }

    /// Sets the URI of From; else it is the one of the configuration. Not used in a dialog.
    pub fn from(mut self, uri: UriBuf) -> Self {
        self.from = Some(uri);
        self
    }

    /// Sets the URI of To; else it is the Request-URI. Not used in a dialog.
    pub fn to(mut self, uri: UriBuf) -> Self {
        self.to = Some(uri);
        self
    }

    /// Sets the Call-ID; else a fresh one is drawn. Not used in a dialog.
    pub fn call_id(mut self, call_id: HeaderValue) -> Self {
        self.call_id = Some(call_id);
        self
    }

    /// Adds a proxy to pass, after those added before. Not used in a dialog, which has its own route set.
    pub fn route(mut self, uri: UriBuf) -> Self {
        self.routes.push(uri);
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

    /// Sets the name or address that Via and Contact show, instead of what the configuration says or the socket has.
    pub fn host(mut self, host: HeaderValue) -> Self {
        self.host = Some(host);
        self
    }

    /// Sends it over this connection if that is still open, whatever its next hop is: the way to a peer that can only be
    /// reached over the connection that it opened (RFC 5626 §5.3).
    pub const fn over(mut self, conn: ConnId) -> Self {
        self.over = Some(conn);
        self
    }

    /// Leaves the ACK for a 2xx to the application.
    pub const fn manual_ack(mut self) -> Self {
        self.ack = AckMode::Manual;
        self
    }

    /// Keeps every dialog that a forked INVITE makes, instead of the first one only.
    pub const fn keep_forks(mut self) -> Self {
        self.forks = ExtraForks::Keep;
        self
    }
}
