use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    str::FromStr,
};

use bytes::Bytes;
use thiserror::Error;
use tungstenite::{
    Error as E, Message,
    error::{CapacityError, ProtocolError},
    handshake::{
        client::{Response, generate_key},
        derive_accept_key,
        machine::TryParse as _,
        server::Request,
    },
    http::{HeaderMap, HeaderValue, StatusCode},
    protocol::{
        CloseFrame, Role, WebSocketConfig, WebSocketContext,
        frame::{Utf8Bytes, coding::CloseCode},
    },
};

use crate::{
    base::Limits,
    transport::{DnsName, PeerInfo, Proto},
    wire::{
        End, WireError,
        frame::{CONTROL_MOST, Head},
        stage::{Layer, Rise},
    },
};

/// How WebSocket is done (RFC 6455, RFC 7118): which paths are served and to whom, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocket {
    paths: Vec<Path>,
    origins: Vec<Box<str>>,
    target: Path,
}

/// A path that begins with a slash and holds nothing that an HTTP request could not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(Box<str>);

/// A text that is no path of a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no path: write / and then letters, digits or others that may stand in a URI")]
pub struct BadPath(Box<str>);

/// Why WebSocket fails.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WebSocketError {
    /// A client's request is none that a WebSocket begins with; it gets this status.
    #[error("{why}, refused with {status}")]
    Request {
        /// The status of the answer.
        status: u16,
        /// What is wrong.
        why: &'static str,
    },
    /// The server answers with another status than 101.
    #[error("the server refuses with {0}")]
    Refused(u16),
    /// The server's answer is none that a WebSocket begins with.
    #[error("{0}")]
    Answer(&'static str),
    /// A message is longer than [`Limits::ws_message`], or says that it will be.
    #[error("a message is too long")]
    MessageTooLong,
    /// A frame breaks the rules.
    #[error("{0}")]
    Frame(Box<str>),
}

impl WebSocket {
    /// Serves every path and every origin, and asks servers for the path `/`.
    pub fn new() -> Self {
        Self { paths: Vec::new(), origins: Vec::new(), target: Path("/".into()) }
    }

    /// Serves this path and what lies below it; requests for others get 404. May be called for several.
    pub fn serve_path(mut self, path: &str) -> Result<Self, BadPath> {
        self.paths.push(Path::of_server(path)?);
        Ok(self)
    }

    /// Serves browsers that run a page of this origin, such as `https://example.com` (RFC 6455 §10.2); those with others get
    /// 403. May be called for several. Whoever states no origin is no browser, and is served.
    #[must_use]
    pub fn serve_origin(mut self, origin: &str) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Asks servers for this path.
    pub fn target(mut self, path: &str) -> Result<Self, BadPath> {
        self.target = path.parse()?;
        Ok(self)
    }

    /// Makes the layer of a connection. A listener may have paths of its own.
    pub(super) fn layer(
        &self,
        (proto, end): (Proto, End<'_>),
        paths: Option<Vec<Box<str>>>,
        limits: &Limits,
    ) -> Box<dyn Layer> {
        let phase = match end {
            End::Server(_) => Phase::Request { served: self.clone(), here: paths.map(all_paths) },
            End::Client { name, remote } => Phase::Answer {
                host: host(proto, name, remote),
                path: self.target.clone(),
                key: generate_key(),
            },
        };
        Box::new(Session {
            phase,
            peer: PeerInfo::default(),
            buffer: Vec::new(),
            used: 0,
            out: Vec::new(),
            room: limits.handshake_bytes,
            longest: limits.ws_message,
            gathered: None,
            finished: 0,
        })
    }
}

impl Default for WebSocket {
    fn default() -> Self {
        Self::new()
    }
}

impl FromStr for Path {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>' | b'\\');
        match text.starts_with('/') && text.bytes().all(fits) {
            true => Ok(Self(text.into())),
            false => Err(BadPath(text.into())),
        }
    }
}

fn all_paths(texts: Vec<Box<str>>) -> Vec<Path> {
    texts.into_iter().map(Path).collect()
}

impl Path {
    /// Reads a path to be served. What follows a question mark is no part of one.
    pub(super) fn of_server(text: &str) -> Result<Self, BadPath> {
        if text.contains('?') { Err(BadPath(text.into())) } else { text.parse() }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether they serve the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.covers(&other.0) && other.covers(&self.0)
    }

    /// Tells whether `path` is this one or lies below it.
    pub(super) fn covers(&self, path: &str) -> bool {
        let own = self.0.trim_end_matches('/');
        path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Returns the Host of a request: the port is shown if it is not the usual one.
fn host(proto: Proto, name: Option<&DnsName>, remote: SocketAddr) -> String {
    let host = match (name, remote) {
        (Some(name), _) => name.to_string(),
        (None, SocketAddr::V4(addr)) => addr.ip().to_string(),
        (None, SocketAddr::V6(addr)) => format!("[{}]", addr.ip()),
    };
    if remote.port() == proto.default_port() { host } else { format!("{host}:{}", remote.port()) }
}

/// WebSocket on one connection.
struct Session {
    phase: Phase,
    /// What is known from the layer below.
    peer: PeerInfo,
    /// What has come and is not used yet: a head, or frames.
    buffer: Vec<u8>,
    /// How much of the buffer the frames before have used, or is known not to hold the head's end.
    used: usize,
    out: Vec<u8>,
    room: usize,
    longest: usize,
    /// How long the parts are that have come of a message, while others are missing.
    gathered: Option<u64>,
    /// How many messages have come to their end, control frames between them included.
    finished: u64,
}

enum Phase {
    /// The client's request is awaited.
    Request {
        served: WebSocket,
        /// The paths of the listener, if it has some of its own.
        here: Option<Vec<Path>>,
    },
    /// The server's answer is awaited.
    Answer {
        host: String,
        path: Path,
        key: String,
    },
    Open(Box<WebSocketContext>),
    /// The end was sent, and the peer's is awaited.
    Closing(Box<WebSocketContext>),
    Ended,
}

impl Layer for Session {
    fn open(&mut self, peer: PeerInfo) {
        self.peer = peer;
        if let Phase::Answer { host, path, key } = &self.phase {
            let Path(path) = path;
            self.out = format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SIP}\r\n\r\n"
            )
            .into_bytes();
        }
    }

    fn receive(&mut self, data: &[u8]) {
        if !matches!(self.phase, Phase::Ended) {
            self.buffer.extend_from_slice(data);
        }
    }

    fn poll(&mut self) -> Option<Rise> {
        match &self.phase {
            Phase::Request { .. } | Phase::Answer { .. } => self.begin(),
            Phase::Open(_) | Phase::Closing(_) => self.read(),
            Phase::Ended => None,
        }
    }

    fn send(&mut self, data: Bytes) {
        let Phase::Open(context) = &mut self.phase else { return };
        // RFC 7118 §4.2: what is no UTF-8 goes as binary.
        let message = match Utf8Bytes::try_from(data.clone()) {
            Ok(text) => Message::Text(text),
            Err(_) => Message::Binary(data),
        };
        // Writing to memory fails only after the end, when nobody reads it any more.
        let _late = context.write(&mut Pipe { buffer: &[], used: &mut 0, out: &mut self.out }, message);
    }

    fn close(&mut self) {
        self.say_end(CloseCode::Normal);
        self.phase = match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Open(context) | Phase::Closing(context) => Phase::Closing(context),
            Phase::Request { .. } | Phase::Answer { .. } | Phase::Ended => Phase::Ended,
        };
    }

    fn awaits_end(&self) -> bool {
        matches!(self.phase, Phase::Closing(_))
    }

    fn drain(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    fn unfinished(&self) -> Option<u64> {
        let is_begun = self.gathered.is_some() || !self.buffer.is_empty();
        (is_begun && matches!(self.phase, Phase::Open(_))).then_some(self.finished)
    }
}

impl Session {
    /// Looks for the head that the peer begins with.
    fn begin(&mut self) -> Option<Rise> {
        let window = &self.buffer[..self.buffer.len().min(self.room)];
        let Some(end) = memchr::memmem::find(&window[self.used..], b"\r\n\r\n") else {
            // It may have begun in the last three bytes.
            self.used = window.len().saturating_sub(3);
            if self.buffer.len() <= self.room {
                return None;
            }
            if matches!(self.phase, Phase::Request { .. }) {
                refuse(&mut self.out, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "");
            }
            return Some(self.end(Err(WireError::HandshakeTooLong)));
        };
        let head = self.used + end + 4;
        let rest = self.buffer.split_off(head);
        let head = std::mem::replace(&mut self.buffer, rest);
        self.used = 0;
        let (role, judged) = match &self.phase {
            Phase::Answer { key, .. } => (Role::Client, judge_answer(&head, key)),
            Phase::Request { served, here } => {
                (Role::Server, judge_request(&head, (served, here.as_deref()), &mut self.out, &mut self.peer))
            }
            Phase::Open(_) | Phase::Closing(_) | Phase::Ended => return None,
        };
        if let Err(error) = judged {
            return Some(self.end(Err(error.into())));
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(READ)
            .write_buffer_size(0)
            .max_message_size(Some(self.longest))
            .max_frame_size(Some(self.longest));
        self.phase = Phase::Open(Box::new(WebSocketContext::new(role, Some(config))));
        Some(Rise::Open(std::mem::take(&mut self.peer)))
    }

    /// Reads frames until they make something for above.
    fn read(&mut self) -> Option<Rise> {
        loop {
            let rest = &self.buffer[self.used..];
            let Some(head) = Head::read(rest) else { return self.keep_rest() };
            if let Err(refusal) = self.judge(&head) {
                return Some(self.fail(refusal));
            }
            // The library gets whole frames, and holds nothing for what has not come.
            if rest.len() < head.whole() {
                return self.keep_rest();
            }
            let begin = self.used;
            self.used += head.whole();
            self.count(&head);
            let (Phase::Open(context) | Phase::Closing(context)) = &mut self.phase else { return None };
            let frame = &self.buffer[begin..self.used];
            let pipe = &mut Pipe { buffer: frame, used: &mut 0, out: &mut self.out };
            let error = match context.read(pipe) {
                Ok(Message::Text(text)) => return Some(Rise::Data(text.into())),
                Ok(Message::Binary(data)) => return Some(Rise::Data(data)),
                Ok(Message::Ping(_) | Message::Pong(_)) => {
                    // The answer is still inside.
                    let _late = context.flush(pipe);
                    // RFC 7118 §6: they keep the connection alive.
                    return Some(Rise::Data(Bytes::new()));
                }
                Ok(Message::Frame(_)) => continue,
                Ok(Message::Close(_)) => {
                    // The answer may still be inside. A server learns here that it was the last.
                    let _over = context.flush(pipe);
                    return Some(self.end(Ok(())));
                }
                // A part of a message.
                Err(E::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(E::ConnectionClosed | E::AlreadyClosed) => return Some(self.end(Ok(()))),
                Err(error) => error,
            };
            return Some(self.fail(match error {
                E::Capacity(CapacityError::MessageTooLong { .. }) => TOO_LONG,
                E::Utf8(why) => (CloseCode::Invalid, WebSocketError::Frame(why.into())),
                error => (CloseCode::Protocol, WebSocketError::Frame(error.to_string().into())),
            }));
        }
    }

    /// Refuses a frame for what it says, before any of the rest is held.
    fn judge(&self, head: &Head) -> Result<(), (CloseCode, WebSocketError)> {
        if head.is_control {
            let too_long =
                || (CloseCode::Protocol, WebSocketError::Frame("a control frame is too long".into()));
            return if head.payload > CONTROL_MOST { Err(too_long()) } else { Ok(()) };
        }
        let length = self.gathered.unwrap_or(0).saturating_add(head.payload);
        if usize::try_from(length).is_ok_and(|length| length <= self.longest) {
            Ok(())
        } else {
            Err(TOO_LONG)
        }
    }

    fn count(&mut self, head: &Head) {
        if !head.is_control {
            let length = self.gathered.unwrap_or(0).saturating_add(head.payload);
            self.gathered = (!head.is_last).then_some(length);
        }
        self.finished += u64::from(self.gathered.is_none());
    }

    /// Keeps what is not used yet. What is idle holds nothing.
    fn keep_rest(&mut self) -> Option<Rise> {
        self.buffer = self.buffer.split_off(self.used);
        self.used = 0;
        None
    }

    fn fail(&mut self, (code, error): (CloseCode, WebSocketError)) -> Rise {
        self.say_end(code);
        self.end(Err(error.into()))
    }

    /// Sends a frame that ends it, unless one was sent.
    fn say_end(&mut self, code: CloseCode) {
        if let Phase::Open(context) = &mut self.phase {
            let pipe = &mut Pipe { buffer: &[], used: &mut 0, out: &mut self.out };
            // Nobody waits for it.
            let _late = context.close(pipe, Some(CloseFrame { code, reason: Utf8Bytes::default() }));
        }
    }

    fn end(&mut self, how: Result<(), WireError>) -> Rise {
        self.phase = Phase::Ended;
        (self.buffer, self.used) = (Vec::new(), 0);
        Rise::Ended(how)
    }
}

/// Judges a client's request, writes the answer, and notes what it says of the client (RFC 6455 §4.2, RFC 7118 §4.1).
fn judge_request(
    head: &[u8],
    served: (&WebSocket, Option<&[Path]>),
    out: &mut Vec<u8>,
    peer: &mut PeerInfo,
) -> Result<(), WebSocketError> {
    let (refused, more, why) = match read_request(head, served) {
        Ok(request) => {
            let key = once(request.headers(), "sec-websocket-key").unwrap_or_default();
            let accept = derive_accept_key(key.as_bytes());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {SIP}\r\n\r\n"
            );
            out.extend_from_slice(answer.as_bytes());
            peer.origin = once(request.headers(), "origin").map(Into::into);
            peer.path = request.uri().path_and_query().map(|path| path.as_str().into());
            return Ok(());
        }
        Err(refused) => refused,
    };
    refuse(out, refused, more);
    Err(WebSocketError::Request { status: refused.as_u16(), why })
}

/// The status that refuses a request, the header fields that it needs, and why.
type Refusal = (StatusCode, &'static str, &'static str);

fn read_request(head: &[u8], (served, here): (&WebSocket, Option<&[Path]>)) -> Result<Request, Refusal> {
    use StatusCode as S;
    let request = match Request::try_parse(head) {
        Ok(Some((_, request))) => request,
        Err(E::Protocol(ProtocolError::WrongHttpMethod)) => {
            return Err((S::METHOD_NOT_ALLOWED, "Allow: GET\r\n", "the method is not GET"));
        }
        Err(E::Capacity(_)) => {
            return Err((S::REQUEST_HEADER_FIELDS_TOO_LARGE, "", "too many header fields"));
        }
        Ok(None) | Err(_) => return Err((S::BAD_REQUEST, "", "not an HTTP/1.1 request")),
    };
    let headers = request.headers();
    // RFC 9112 §3.2: one, neither none nor two.
    if headers.get_all("host").iter().count() != 1 {
        return Err((S::BAD_REQUEST, "", "no Host, or more than one"));
    }
    let covers = |paths: &[Path]| paths.iter().any(|path| path.covers(request.uri().path()));
    if !(served.paths.is_empty() || covers(&served.paths)) || !here.is_none_or(covers) {
        return Err((S::NOT_FOUND, "", "the path is not served"));
    }
    let is_served = |origin: &HeaderValue| served.origins.iter().any(|own| origin == own.as_ref());
    if !served.origins.is_empty() && !headers.get_all("origin").iter().all(is_served) {
        return Err((S::FORBIDDEN, "", "the origin is not served"));
    }
    if !upgrades(headers) {
        return Err((S::UPGRADE_REQUIRED, "Upgrade: websocket\r\n", "no upgrade to WebSocket is asked for"));
    }
    if once(headers, "sec-websocket-version") != Some("13") {
        // RFC 6455 §4.4.
        return Err((S::UPGRADE_REQUIRED, "Sec-WebSocket-Version: 13\r\n", "the version is not 13"));
    }
    if !once(headers, "sec-websocket-key").is_some_and(is_key) {
        return Err((S::BAD_REQUEST, "", "no usable Sec-WebSocket-Key"));
    }
    // RFC 7118 §4.1.
    if !tokens(headers, "sec-websocket-protocol").any(|protocol| protocol == SIP) {
        return Err((S::BAD_REQUEST, "", "the subprotocol sip is not asked for"));
    }
    Ok(request)
}

/// Tells whether a text may be the base64 of 16 bytes (RFC 6455 §4.2.1).
fn is_key(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    text.strip_suffix("==").is_some_and(|digits| digits.len() == 22 && digits.bytes().all(digit))
}

fn refuse(out: &mut Vec<u8>, status: StatusCode, more: &str) {
    let answer = format!("HTTP/1.1 {status}\r\n{more}Connection: close\r\nContent-Length: 0\r\n\r\n");
    out.extend_from_slice(answer.as_bytes());
}

/// Judges a server's answer (RFC 6455 §4.1, RFC 7118 §4.1).
fn judge_answer(head: &[u8], key: &str) -> Result<(), WebSocketError> {
    use WebSocketError::Answer;
    let Ok(Some((_, response))) = Response::try_parse(head) else {
        return Err(Answer("the server does not answer in HTTP/1.1"));
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(WebSocketError::Refused(response.status().as_u16()));
    }
    let headers = response.headers();
    let accept = derive_accept_key(key.as_bytes());
    if !upgrades(headers) || once(headers, "sec-websocket-accept") != Some(&accept) {
        return Err(Answer("the server does not upgrade to WebSocket"));
    }
    if headers.contains_key("sec-websocket-extensions") {
        return Err(Answer("the server uses an extension that it was not asked for"));
    }
    if !tokens(headers, "sec-websocket-protocol").eq([SIP]) {
        return Err(Answer("the server does not speak the subprotocol sip"));
    }
    Ok(())
}

/// Tells whether a connection becomes a WebSocket (RFC 6455 §4.1, §4.2.1).
fn upgrades(headers: &HeaderMap) -> bool {
    let has = |name, what| tokens(headers, name).any(|token| token.eq_ignore_ascii_case(what));
    has("upgrade", "websocket") && has("connection", "upgrade")
}

/// Returns the value of a header field that may be there no more than once.
fn once<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Returns what stands between the commas of all header fields of a name.
fn tokens<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// The memory that frames are read from and written to.
struct Pipe<'a> {
    buffer: &'a [u8],
    used: &'a mut usize,
    out: &'a mut Vec<u8>,
}

impl Read for Pipe<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let rest = &self.buffer[*self.used..];
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let part = rest.len().min(into.len());
        into[..part].copy_from_slice(&rest[..part]);
        *self.used += part;
        Ok(part)
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.out.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The subprotocol (RFC 7118 §4).
const SIP: &str = "sip";

const TOO_LONG: (CloseCode, WebSocketError) = (CloseCode::Size, WebSocketError::MessageTooLong);

/// What is read at a time, and kept for each connection.
const READ: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_covers_itself_and_what_lies_below() {
        let path = "/sip".parse::<Path>().expect("a path");
        for (other, covered) in
            [("/sip", true), ("/sip/", true), ("/sip/a", true), ("/sips", false), ("/", false)]
        {
            assert_eq!(path.covers(other), covered, "{other}");
        }
        let root = "/".parse::<Path>().expect("a path");
        assert!(root.covers("/") && root.covers("/any/thing"));
        for bad in ["", "sip", "/a b", "/a\r\nHost: x"] {
            assert!(bad.parse::<Path>().is_err(), "{bad:?}");
        }
        assert!(WebSocket::new().serve_path("/a?b").is_err(), "what follows a question mark is no path");
        assert!(WebSocket::new().target("/a?b").is_ok());
    }
}
