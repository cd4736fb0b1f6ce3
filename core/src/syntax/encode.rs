use std::{
    fmt::{self, Write as _},
    net::IpAddr,
};

use bytes::{BufMut as _, BytesMut};

use super::{
    Header, HeaderId, HeaderName, HeaderValue, Host, Method, StatusCode, View,
    message::Field,
    scan::{Cursor, Span},
};

/// Writes one message to the end of a buffer: first the start line, then header fields in the order of the calls.
///
/// Line breaks in values become spaces, so no value can start another header field. That a message has all the header
/// fields it needs is up to the caller; [`RequestBuilder`](super::RequestBuilder) sees to it.
#[must_use = "a message is complete only after `end`"]
pub struct Encoder<'o> {
    out: &'o mut BytesMut,
}

/// What a server writes into the topmost Via of a response (RFC 3261 §18.2.1, RFC 3581 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViaStamp {
    /// The `received` parameter, added or replaced.
    pub received: Option<IpAddr>,
    /// The value of an `rport` parameter that has none.
    pub rport: Option<u16>,
}

const GROWS: &str = "a buffer grows as it is written to";

impl<'o> Encoder<'o> {
    /// Begins a response (RFC 3261 §8.2.6): status line, all Vias, From, To, Call-ID and CSeq of the request.
    ///
    /// The topmost Via is stamped. `to_tag` is added to a To that has none. A 100 gets the request's Timestamp, too.
    /// The request may be one that was refused; what is malformed is copied as it is.
    pub fn response(
        out: &'o mut BytesMut,
        request: View<'_>,
        status: StatusCode,
        reason: Option<&str>,
        to_tag: Option<&str>,
        stamp: ViaStamp,
    ) -> Self {
        // Room for all that is copied and some more, so that a short response grows its buffer once.
        out.reserve(copied_size(request) + 160);
        let mut encoder = Self::status_line(out, status, reason);
        let mut first = true;
        for field in request.rows(HeaderId::Via) {
            encoder.put(b"Via: ");
            if first && request.has_via() {
                encoder.stamped(request, field, stamp);
            } else {
                encoder.put(field.value.bytes(request.head_bytes()));
            }
            encoder.put(b"\r\n");
            first = false;
        }
        encoder.copy_first(request, HeaderId::From);
        let to = request.rows(HeaderId::To).next();
        if let Some(field) = to {
            encoder.put(b"To: ");
            encoder.put(field.value.bytes(request.head_bytes()));
            if let (Some(tag), None, false) = (to_tag, request.to_tag(), request.facts().to.is_none()) {
                encoder.put(b";tag=");
                encoder.text(tag);
            }
            encoder.put(b"\r\n");
        }
        encoder.copy_first(request, HeaderId::CallId);
        encoder.copy_first(request, HeaderId::CSeq);
        if status == StatusCode::TRYING {
            // RFC 3261 §8.2.6.1.
            encoder.copy_first(request, HeaderId::Timestamp);
        }
        encoder
    }

    /// Begins a response with nothing but its status line.
    pub fn status_line(out: &'o mut BytesMut, status: StatusCode, reason: Option<&str>) -> Self {
        let mut encoder = Self { out };
        encoder.put(b"SIP/2.0 ");
        encoder.number(status.as_u16().into());
        encoder.put(b" ");
        encoder.text(reason.unwrap_or_else(|| status.reason()));
        encoder.put(b"\r\n");
        encoder
    }

    /// Begins a request. What cannot stand in a Request-URI is escaped.
    pub fn request(out: &'o mut BytesMut, method: &Method, uri: &str) -> Self {
        let mut encoder = Self { out };
        encoder.put(method.as_str().as_bytes());
        encoder.put(b" ");
        if uri.bytes().all(|byte| byte > b' ' && byte != 0x7f) {
            encoder.put(uri.as_bytes());
        } else {
            for byte in uri.bytes() {
                if byte > b' ' && byte != 0x7f {
                    encoder.out.put_u8(byte);
                } else {
                    write!(encoder.out, "%{byte:02X}").expect(GROWS);
                }
            }
        }
        encoder.put(b" SIP/2.0\r\n");
        encoder
    }

    /// Adds a header field; [`HeaderId::Other`], which has no name, adds nothing.
    pub fn field(mut self, id: HeaderId, value: &str) -> Self {
        if id != HeaderId::Other {
            self.put(id.with_colon().as_bytes());
            self.text(value);
            self.put(b"\r\n");
        }
        self
    }

    /// Adds a header field whose value holds no line break.
    pub(crate) fn value(mut self, id: HeaderId, value: &HeaderValue) -> Self {
        self.put(id.with_colon().as_bytes());
        self.put(value.as_str().as_bytes());
        self.put(b"\r\n");
        self
    }

    /// Adds a header field with a SIP or SIPS URI in angle brackets.
    ///
    /// Nearly each response has one, and `fmt` would take more time for it than all else in the response.
    pub(crate) fn sip_uri(
        mut self,
        id: HeaderId,
        sips: bool,
        user: Option<&HeaderValue>,
        (host, port): (Host<'_>, Option<u16>),
        transport: Option<&str>,
    ) -> Self {
        self.put(id.with_colon().as_bytes());
        self.put(if sips { b"<sips:".as_slice() } else { b"<sip:" });
        if let Some(user) = user {
            self.put(user.as_str().as_bytes());
            self.put(b"@");
        }
        match host {
            Host::Name(name) => self.text(name),
            Host::V4(address) => self.ip(address.into()),
            Host::V6(address) => write!(self.out, "[{address}]").expect(GROWS),
        }
        if let Some(port) = port {
            self.put(b":");
            self.number(port.into());
        }
        if let Some(transport) = transport {
            self.put(b";transport=");
            self.put(transport.as_bytes());
        }
        self.put(b">\r\n");
        self
    }

    /// Adds a header field of any name.
    pub fn field_name(mut self, name: &HeaderName, value: &str) -> Self {
        self.put(name.as_str().as_bytes());
        self.put(b": ");
        self.text(value);
        self.put(b"\r\n");
        self
    }

    /// Adds a header field whose value is formatted in place.
    pub fn field_fmt(mut self, id: HeaderId, value: fmt::Arguments<'_>) -> Self {
        if id != HeaderId::Other {
            self.put(id.with_colon().as_bytes());
            self.write_fmt(value).expect(GROWS);
            self.put(b"\r\n");
        }
        self
    }

    /// Adds a header field with a value of its type.
    pub fn typed<'h, H: Header<'h>>(mut self, value: &H) -> Self {
        self.put(H::NAME.as_str().as_bytes());
        self.put(b": ");
        write!(self, "{value}").expect(GROWS);
        self.put(b"\r\n");
        self
    }

    /// Adds a header field with a number.
    pub fn field_number(mut self, id: HeaderId, value: u32) -> Self {
        if id != HeaderId::Other {
            self.put(id.with_colon().as_bytes());
            self.number(value);
            self.put(b"\r\n");
        }
        self
    }

    /// Copies all rows of a header field as they are, folds included, under the name's usual spelling.
    pub fn copy(mut self, view: View<'_>, id: HeaderId) -> Self {
        for field in view.rows(id) {
            self.row(view, field);
        }
        self
    }

    /// Copies all rows that `keep` chooses, in order.
    pub fn copy_if(mut self, view: View<'_>, mut keep: impl FnMut(HeaderId) -> bool) -> Self {
        for field in view.all_rows().iter().filter(|field| keep(field.id)) {
            self.row(view, field);
        }
        self
    }

    /// Ends the message: Content-Type if there is a body, Content-Length, the blank line and the body.
    pub fn end(mut self, body: Option<(&str, &[u8])>) {
        let Some((content_type, body)) = body else {
            self.put(b"Content-Length: 0\r\n\r\n");
            return;
        };
        self.put(b"Content-Type: ");
        self.text(content_type);
        self.put(b"\r\n");
        self.end_raw(body);
    }

    /// Ends the message with a body whose Content-Type, if it has one, was added before.
    pub fn end_raw(mut self, body: &[u8]) {
        self.put(b"Content-Length: ");
        self.number(u32::try_from(body.len()).unwrap_or(u32::MAX));
        self.put(b"\r\n\r\n");
        self.put(body);
    }

    fn copy_first(&mut self, view: View<'_>, id: HeaderId) {
        if let Some(field) = view.rows(id).next() {
            self.row(view, field);
        }
    }

    fn row(&mut self, view: View<'_>, field: &Field) {
        if field.id == HeaderId::Other {
            self.put(field.name.bytes(view.head_bytes()));
            self.put(b": ");
        } else {
            self.put(field.id.with_colon().as_bytes());
        }
        self.put(field.value.bytes(view.head_bytes()));
        self.put(b"\r\n");
    }

    /// Writes the first Via row, its first element stamped. Of a parameter that stands there twice, the first counts.
    fn stamped(&mut self, view: View<'_>, field: &Field, stamp: ViaStamp) {
        let (head, via) = (view.head_bytes(), view.facts().via);
        let bare = via.rport.has_no_value();
        let port = stamp.rport.filter(|_| bare).map(|port| (via.rport.name_end(), Stamp::Port(port)));
        let address = stamp.received.map(|address| match via.received.is_absent() {
            true => (via.whole().end(), Stamp::Address(";received=", address)),
            false => (via.received.name_end(), Stamp::Address("=", address)),
        });
        let mut stamps = [port, address];
        stamps.sort_by_key(|stamp| stamp.as_ref().map(|&(at, _)| at));
        let mut copied = field.value.start();
        for (at, stamp) in stamps.into_iter().flatten() {
            self.put(Span::new(copied, at).bytes(head));
            copied = at;
            match stamp {
                Stamp::Port(port) => {
                    self.put(b"=");
                    self.number(port.into());
                }
                Stamp::Address(lead, address) => {
                    self.put(lead.as_bytes());
                    self.ip(address);
                    copied = copied.max(via.received.end());
                }
            }
        }
        self.put(Span::new(copied, field.value.end()).bytes(head));
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Writes text in which line breaks, and the white space behind them, become a space (RFC 3261 §7.3.1).
    #[inline]
    fn text(&mut self, text: &str) {
        match memchr::memchr2(b'\r', b'\n', text.as_bytes()) {
            None => self.put(text.as_bytes()),
            Some(_) => self.unfolded(text),
        }
    }

    #[cold]
    fn unfolded(&mut self, text: &str) {
        let mut cursor = Cursor::new(text.as_bytes());
        while let Some(byte) = cursor.peek() {
            if byte == b'\r' || byte == b'\n' {
                cursor.skip_lws();
                self.put(b" ");
            } else {
                cursor.pos += 1;
                self.out.put_u8(byte);
            }
        }
    }

    fn number(&mut self, number: u32) {
        let mut digits = [0; 10];
        let mut rest = number;
        let mut start = digits.len();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            start -= 1;
            if rest == 0 {
                break;
            }
        }
        self.put(digits.get(start..).unwrap_or(&[]));
    }

    /// Writes an address without brackets, as `received` has it.
    fn ip(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                for (octet, dot) in [(a, &b"."[..]), (b, b"."), (c, b"."), (d, b"")] {
                    self.number(octet.into());
                    self.put(dot);
                }
            }
            IpAddr::V6(address) => write!(self.out, "{address}").expect(GROWS),
        }
    }
}

/// For values that are formatted in place.
impl fmt::Write for Encoder<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text(text);
        Ok(())
    }
}

impl fmt::Debug for Encoder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoder({} bytes)", self.out.len())
    }
}

/// What is written into a Via.
#[derive(Clone, Copy)]
enum Stamp {
    Port(u16),
    /// Behind this text.
    Address(&'static str, IpAddr),
}

/// Bytes of the rows that a response takes from its request.
fn copied_size(request: View<'_>) -> usize {
    let copied =
        |id| matches!(id, HeaderId::Via | HeaderId::From | HeaderId::To | HeaderId::CallId | HeaderId::CSeq);
    request.all_rows().iter().filter(|field| copied(field.id)).map(|field| field.value.len() + 12).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::Limits,
        syntax::{Message, Request},
    };

    const REQUEST: &str = "OPTIONS sip:bob@example.com SIP/2.0\r\n\
        v: SIP/2.0/UDP pc.example.com;rport ; branch=z9hG4bKa;received=9.9.9.9, SIP/2.0/TCP b\r\n\
        Via: SIP/2.0/UDP c;\r\n branch=z9hG4bKb\r\n\
        t: <sip:bob@example.com>\r\n\
        f: \"A\" <sip:alice@example.com>;tag=1\r\n\
        i: x@y\r\n\
        Timestamp: 54\r\n\
        CSeq: 7 OPTIONS\r\n\
        X-A: 1\r\n\r\n";

    fn request() -> Request {
        Request::parse(REQUEST.as_bytes(), &Limits::default()).expect("a good request")
    }

    fn response(status: StatusCode, to_tag: Option<&str>, stamp: ViaStamp) -> String {
        let mut out = BytesMut::new();
        Encoder::response(&mut out, request().view(), status, None, to_tag, stamp).end(None);
        String::from_utf8(out.to_vec()).expect("text")
    }

    /// RFC 3261 §8.2.6.2, §18.2.1; RFC 3581 §4; C054.
    #[test]
    fn responses_copy_and_stamp() {
        let stamp = ViaStamp { received: Some(IpAddr::from([192, 0, 2, 7])), rport: Some(40_000) };
        assert_eq!(
            response(StatusCode::OK, Some("t1"), stamp),
            "SIP/2.0 200 OK\r\n\
             Via: SIP/2.0/UDP pc.example.com;rport=40000 ; branch=z9hG4bKa;received=192.0.2.7, SIP/2.0/TCP b\r\n\
             Via: SIP/2.0/UDP c;\r\n branch=z9hG4bKb\r\n\
             From: \"A\" <sip:alice@example.com>;tag=1\r\n\
             To: <sip:bob@example.com>;tag=t1\r\n\
             Call-ID: x@y\r\n\
             CSeq: 7 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let trying = response(StatusCode::TRYING, None, ViaStamp::default());
        assert!(trying.contains(";rport ; branch=z9hG4bKa;received=9.9.9.9,"), "{trying}");
        assert!(trying.contains("Timestamp: 54\r\n") && trying.contains("To: <sip:bob@example.com>\r\n"));
    }

    /// P18: IPv6 stands without brackets in `received` (RFC 5118 §4.5).
    #[test]
    fn received_is_added_behind_the_first_element() {
        let text = REQUEST.replace(";received=9.9.9.9", "");
        let request = Request::parse(text.as_bytes(), &Limits::default()).expect("a good request");
        let mut out = BytesMut::new();
        let stamp = ViaStamp { received: "2001:db8::1".parse().ok(), rport: None };
        Encoder::response(&mut out, request.view(), StatusCode::OK, Some("Fine"), None, stamp).end(None);
        let text = String::from_utf8(out.to_vec()).expect("text");
        assert!(text.contains("branch=z9hG4bKa;received=2001:db8::1, SIP/2.0/TCP b\r\n"), "{text}");
        assert!(text.starts_with("SIP/2.0 200 Fine\r\n"));
    }

    /// No value can start another header field or message.
    #[test]
    fn line_breaks_in_values_become_spaces() {
        let mut out = BytesMut::new();
        let parts = ["a\r".to_owned(), "\n b".to_owned()];
        Encoder::request(&mut out, &Method::Options, "sip:a b@c\r\nX: y")
            .field(HeaderId::Subject, "a\r\nVia: b\r\n\r\nc")
            .field_name(&"X-B".parse().expect("a token"), "a\n\n b")
            .field_fmt(HeaderId::Reason, format_args!("{}{}", parts[0], parts[1]))
            .field_number(HeaderId::Expires, 4_294_967_295)
            .field(HeaderId::Other, "nothing")
            .end(Some(("text/plain\r\n", b"hi")));
        assert_eq!(
            std::str::from_utf8(&out),
            Ok("OPTIONS sip:a%20b@c%0D%0AX:%20y SIP/2.0\r\nSubject: a Via: b c\r\nX-B: a b\r\n\
                Reason: a  b\r\nExpires: 4294967295\r\nContent-Type: text/plain \r\nContent-Length: 2\r\n\r\nhi")
        );
    }

    /// A proxy copies what it does not know, names and folds included (C004).
    #[test]
    fn rows_are_copied_verbatim() {
        let mut out = BytesMut::new();
        let request = request();
        let view = request.view();
        Encoder::request(&mut out, &Method::Options, "sip:x")
            .copy(view, HeaderId::Via)
            .copy_if(view, |id| id != HeaderId::Via)
            .end(None);
        let again = Message::parse(&out, &Limits::default()).expect("a good request");
        let pairs = |view: View<'_>| -> Vec<String> {
            view.fields().map(|(_, value, id)| format!("{id}={value}")).collect()
        };
        let mut expected = pairs(view);
        expected.push("Content-Length=0".into());
        assert_eq!(pairs(again.view()), expected);
    }

    /// RFC 4475 §3.1.2.6: a request with a broken To can still be answered.
    #[test]
    fn refused_requests_can_be_answered() {
        let text = REQUEST.replace("t: <sip:bob@example.com>", "t: \"bob <sip:bob@example.com>");
        let refused = Message::parse(text.as_bytes(), &Limits::default()).expect_err("a broken To");
        let message = refused.message.expect("it could be split");
        let mut out = BytesMut::new();
        let phrase = refused.error.reason().to_string();
        let (status, stamp) = (refused.error.status(), ViaStamp::default());
        Encoder::response(&mut out, message.view(), status, Some(&phrase), Some("x"), stamp).end(None);
        let text = std::str::from_utf8(&out).expect("text");
        assert!(text.starts_with("SIP/2.0 400 Invalid To\r\nVia: SIP/2.0/UDP pc.example.com"), "{text}");
        assert!(
            text.contains("To: \"bob <sip:bob@example.com>\r\nCall-ID: x@y\r\nCSeq: 7 OPTIONS\r\n"),
            "{text}"
        );
    }
}
