//! Fragments of messages: `message/sipfrag` (RFC 3420).

use thiserror::Error;

use super::{FieldsError, PartFields, fields::split_head};
use crate::{
    base::Limits,
    syntax::{CSeq, HeaderId, Method, NameAddr, StatusCode, Uri, Via, scan},
};

/// A fragment of a message: any subset of a start line, header fields and a body.
#[derive(Clone, Debug)]
pub struct SipFrag<'a> {
    start: Option<FragStart<'a>>,
    fields: PartFields<'a>,
    body: &'a [u8],
}

/// The start line of a fragment.
#[derive(Clone, Debug)]
pub enum FragStart<'a> {
    /// A Request-Line.
    Request {
        /// The method.
        method: Method,
        /// The Request-URI.
        uri: Uri<'a>,
    },
    /// A Status-Line.
    Status {
        /// The status code.
        code: StatusCode,
        /// The reason phrase, which may be empty.
        reason: &'a str,
    },
}

/// Why bytes are no fragment of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SipFragError {
    /// The first line is neither a header field nor a whole Request-Line or Status-Line of SIP/2.0.
    #[error("malformed start line")]
    StartLine,
    /// The header fields are malformed or too large.
    #[error(transparent)]
    Fields(#[from] FieldsError),
    /// A header field's value is malformed.
    #[error("malformed {0}")]
    Value(HeaderId),
    /// A header field that may stand once stands again.
    #[error("{0} is given more than once")]
    Duplicate(HeaderId),
    /// There is a body without a Content-Type (RFC 3420 §2).
    #[error("a body without a Content-Type")]
    UntypedBody,
    /// The body is shorter than the Content-Length tells.
    #[error("body shorter than announced")]
    ShortBody,
}

/// Reads a fragment and checks the start line and the header fields that [`Message`](crate::syntax::Message) checks.
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<SipFrag<'a>, SipFragError> {
    let (head, body) = split_head(bytes);
    let (line, rest) = split_start_line(head);
    let start = match line {
        None => None,
        Some(_) if head.len() > limits.head => return Err(FieldsError::TooLarge.into()),
        Some(line) => {
            let line = std::str::from_utf8(line).map_err(|_| FieldsError::NotUtf8)?;
            Some(FragStart::parse(line).ok_or(SipFragError::StartLine)?)
        }
    };
    let fields = PartFields::parse(rest, limits)?;
    check_fields(fields)?;
    let body = match fields.get(HeaderId::ContentLength) {
        None => body,
        Some(text) => {
            let length: usize = text.parse().map_err(|_| SipFragError::Value(HeaderId::ContentLength))?;
            body.get(..length).ok_or(SipFragError::ShortBody)?
        }
    };
    if !body.is_empty() && fields.get(HeaderId::ContentType).is_none() {
        return Err(SipFragError::UntypedBody);
    }
    Ok(SipFrag { start, fields, body })
}

impl<'a> SipFrag<'a> {
    /// Returns the start line.
    pub fn start(&self) -> Option<&FragStart<'a>> {
        self.start.as_ref()
    }

    /// Returns the status code, if it is a fragment of a response that tells it: what a NOTIFY of a REFER has.
    pub fn status(&self) -> Option<StatusCode> {
        match self.start {
            Some(FragStart::Status { code, .. }) => Some(code),
            _ => None,
        }
    }

    /// Returns the header fields.
    pub fn headers(&self) -> PartFields<'a> {
        self.fields
    }

    /// Returns the body.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }
}

impl<'a> FragStart<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let is_sip2 = |text: &str| text.eq_ignore_ascii_case("SIP/2.0");
        let (first, rest) = line.split_once(' ')?;
        if is_sip2(first) {
            let (code, reason) = rest.split_at_checked(3)?;
            let good = code.bytes().all(|byte| byte.is_ascii_digit());
            let code = code.parse().ok().filter(|_| good).and_then(StatusCode::new)?;
            // The space stands there even without a phrase, but some leave it out.
            let reason = if reason.is_empty() { reason } else { reason.strip_prefix(' ')? };
            return Some(Self::Status { code, reason });
        }
        let method = first.parse().ok()?;
        let (uri, version) = rest.split_once(' ')?;
        // RFC 3261 §19.1.1: header fields have no place in a Request-URI.
        let uri = Uri::parse(uri).ok().filter(|uri| uri.headers_text().is_none() && is_sip2(version))?;
        Some(Self::Request { method, uri })
    }
}

/// Parts a head into its start line, if the first line is no header field, and the rest.
fn split_start_line(head: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let end = memchr::memmem::find(head, b"\r\n").unwrap_or(head.len());
    let (line, rest) = head.split_at_checked(end).unwrap_or((head, &[]));
    let name = line.iter().position(|&byte| !scan::is(byte, scan::TOKEN)).unwrap_or(line.len());
    let after = line.get(name..).unwrap_or(&[]).trim_ascii_start();
    if line.is_empty() || name > 0 && after.starts_with(b":") {
        return (None, head);
    }
    (Some(line), rest.strip_prefix(b"\r\n").unwrap_or(rest))
}

/// Reads the values that every element has to understand.
fn check_fields(fields: PartFields<'_>) -> Result<(), SipFragError> {
    let mut seen = 0u128;
    for (_, value, id) in fields {
        let bit = 1 << id as u32;
        if seen & bit != 0 && id.is_single() {
            return Err(SipFragError::Duplicate(id));
        }
        seen |= bit;
        if !is_good(id, value) {
            return Err(SipFragError::Value(id));
        }
    }
    Ok(())
}

fn is_good(id: HeaderId, value: &str) -> bool {
    let is_address = |text| NameAddr::parse(text).is_ok();
    match id {
        HeaderId::From | HeaderId::To => is_address(value),
        HeaderId::CSeq => value.parse::<CSeq>().is_ok(),
        HeaderId::CallId => !value.is_empty() && value.bytes().all(|byte| scan::is(byte, scan::VISIBLE)),
        HeaderId::MaxForwards => {
            value.bytes().all(|byte| byte.is_ascii_digit()) && value.parse::<u32>().is_ok()
        }
        HeaderId::ContentLength => value.bytes().all(|byte| byte.is_ascii_digit()),
        HeaderId::Contact if value == "*" => true,
        HeaderId::Contact | HeaderId::Route | HeaderId::RecordRoute => items(value).all(is_address),
        HeaderId::Via => items(value).all(|text| Via::parse(text).is_ok()),
        _ => true,
    }
}

/// Returns what stands between the commas that are not in quotes or angle brackets.
fn items(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut bracketed, mut escaped) = (false, false, false);
        let comma = text.bytes().position(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' if !bracketed => quoted = !quoted,
                b'<' if !quoted => bracketed = true,
                b'>' if !quoted => bracketed = false,
                b',' => return !quoted && !bracketed,
                _ => {}
            }
            false
        });
        rest = comma.and_then(|at| text.get(at + 1..));
        text.get(..comma.unwrap_or(text.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SipFrag<'_>, SipFragError> {
        parse(text.as_bytes(), &Limits::default())
    }

    /// RFC 3420 §3.1: every valid fragment there.
    #[test]
    fn any_subset_of_a_message_is_a_fragment() {
        let frag = read("INVITE sip:alice@atlanta.com SIP/2.0").unwrap();
        let Some(FragStart::Request { method: Method::Invite, uri }) = frag.start() else {
            panic!("{frag:?}")
        };
        assert_eq!((uri.as_str(), frag.status()), ("sip:alice@atlanta.com", None));
        for text in ["SIP/2.0 603 Declined", "SIP/2.0 603 Declined\r\n", "SIP/2.0 603 Declined\r\n\r\n"] {
            let frag = read(text).unwrap();
            assert_eq!(frag.status(), Some(StatusCode::DECLINE));
            assert!(matches!(frag.start(), Some(FragStart::Status { reason: "Declined", .. })));
            assert_eq!((frag.headers().count(), frag.body()), (0, &b""[..]));
        }
        let frag = read(
            "REGISTER sip:atlanta.com SIP/2.0\r\nTo: sip:alice@atlanta.com\r\n\
             Contact: <sip:alicepc@atlanta.com>;q=0.9,\r\n         <sip:alicemobile@atlanta.com>;q=0.1",
        );
        assert_eq!(frag.unwrap().headers().count(), 2);
        let frag =
            read("SIP/2.0 400 Bad Request\r\nWarning: 399 atlanta.com Your Event was malformed\r\n").unwrap();
        let warning = frag.headers().get(HeaderId::Warning);
        assert_eq!(warning, Some("399 atlanta.com Your Event was malformed"));
        let frag = read(
            "From: Alice <sip:alice@atlanta.com>\r\nTo: Bob <sip:bob@biloxi.com>\r\n\
             Contact: <sip:alice@pc33.atlanta.com>\r\nDate: Thu, 21 Feb 2002 13:02:03 GMT\r\n\
             Call-ID: a84b4c76e66710\r\nCseq: 314159 INVITE\r\n",
        )
        .unwrap();
        assert!(frag.start().is_none());
        assert_eq!(frag.headers().get(HeaderId::CSeq), Some("314159 INVITE"));
        let frag = read("Content-Type: text/plain\r\nContent-Length: 11\r\n\r\nHi There!\r\n").unwrap();
        assert_eq!(frag.body(), b"Hi There!\r\n");
        assert_eq!(read("").unwrap().headers().count(), 0);
        assert_eq!(read("SIP/2.0 200").unwrap().status(), Some(StatusCode::OK));
    }

    /// RFC 3420 §3.2: every invalid fragment there but the one with two tags, which messages are forgiven too.
    #[test]
    fn what_no_message_could_have_is_no_fragment() {
        for bad in [
            "INVITE",
            "INVITE sip:alice@atlanta.com SIP/1.09",
            "SIP/2.0",
            "404 Not Found",
            "SIP/2.0 99 x",
            "SIP/2.0 700 x",
            "SIP/2.0 +20 x",
            "SIP/2.0 2000 x",
            "INVITE sip:a@b?x=y SIP/2.0",
            "INVITE  sip:a@b SIP/2.0",
        ] {
            assert_eq!(read(bad).err(), Some(SipFragError::StartLine), "{bad}");
        }
        for (bad, id) in [
            ("INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP ;branch=z9hG4bK29342a\r\n", HeaderId::Via),
            ("To: <>;tag=39234", HeaderId::To),
            ("From: sip:bob@biloxi.com;tag=1\r\nCall-ID: this is invalid", HeaderId::CallId),
            ("Call-ID:", HeaderId::CallId),
            ("CSeq: INVITE", HeaderId::CSeq),
            ("Max-Forwards: +1", HeaderId::MaxForwards),
            ("Contact: <sip:a@b>, <>", HeaderId::Contact),
            ("Route: <sip:a;lr>,", HeaderId::Route),
            ("Content-Length: x", HeaderId::ContentLength),
            ("Content-Length: +0", HeaderId::ContentLength),
            ("Content-Length:", HeaderId::ContentLength),
        ] {
            assert_eq!(read(bad).err(), Some(SipFragError::Value(id)), "{bad}");
        }
        let twice = "To: <sip:a@b>\r\nt: <sip:a@b>";
        assert_eq!(read(twice).err(), Some(SipFragError::Duplicate(HeaderId::To)));
        let unparted = "MESSAGE sip:alice@atlanta.com SIP/2.0\r\nHi There!\r\n";
        assert_eq!(read(unparted).err(), Some(SipFragError::Fields(FieldsError::Field)));
        let untyped = "SIP/2.0 200 OK\r\n\r\nHi There!";
        assert_eq!(read(untyped).err(), Some(SipFragError::UntypedBody));
        let short = "Content-Type: a/b\r\nContent-Length: 3\r\n\r\nHi";
        assert_eq!(read(short).err(), Some(SipFragError::ShortBody));
    }

    #[test]
    fn start_lines_count_for_the_limit_of_the_head() {
        let text = b"SIP/2.0 200 OK\r\nA: 1\r\n";
        let with = |head| parse(text, &Limits { head, ..Limits::default() }).err();
        assert_eq!(with(22), None);
        assert_eq!(with(21), Some(SipFragError::Fields(FieldsError::TooLarge)));
    }

    #[test]
    fn commas_in_quotes_and_brackets_part_nothing() {
        let all: Vec<_> = items("\"a,\\\"b\" <sip:c,d>,<e>, f").collect();
        assert_eq!(all, ["\"a,\\\"b\" <sip:c,d>", "<e>", " f"]);
    }
}
