use std::fmt;

use super::{
    Params, ParseErrorKind as Kind, Uri, UriError,
    error::ParseError,
    params::scan_param,
    scan::{self, Cursor, Span},
};

/// An address with its parameters: the value of From, To, and one of Contact, Route, Record-Route and the like.
///
/// It is `name-addr` or `addr-spec` (RFC 3261 §25.1). The URI is not looked into before [`uri`](Self::uri) is called.
#[derive(Clone, Copy)]
pub struct NameAddr<'a> {
    text: &'a str,
    spans: NameAddrSpans,
}

/// Where the parts of an address stand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NameAddrSpans {
    whole: Span,
    display: Span,
    uri: Span,
    params: Span,
    tag: Span,
}

impl<'a> NameAddr<'a> {
    /// Reads one address, which must be all of the text.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        let mut cursor = Cursor::new(text.as_bytes());
        let outcome =
            if text.len() > usize::from(u16::MAX) { Err(Kind::TooLong) } else { scan_single(&mut cursor) };
        match outcome {
            Ok(spans) => Ok(Self { text, spans }),
            Err(kind) => Err(ParseError { kind, offset: cursor.pos, header: None }),
        }
    }

    pub(crate) fn new(text: &'a str, spans: NameAddrSpans) -> Self {
        Self { text, spans }
    }

    /// Returns the whole address as it is written.
    pub fn as_str(&self) -> &'a str {
        self.spans.whole.of(self.text)
    }

    /// Returns the display name as it is written, with its quotes.
    pub fn display(&self) -> Option<&'a str> {
        self.spans.display.opt(self.text)
    }

    /// Returns the text of the URI, without angle brackets.
    pub fn uri_text(&self) -> &'a str {
        self.spans.uri.of(self.text)
    }

    /// Returns the URI, or why it is none.
    pub fn uri(&self) -> Result<Uri<'a>, UriError> {
        Uri::parse(self.uri_text())
    }

    /// Tells whether there is white space between the angle brackets and the URI.
    pub(crate) fn is_padded(&self) -> bool {
        let (uri, bytes) = (self.spans.uri, self.text.as_bytes());
        let is = |at: Option<usize>, byte| at.and_then(|at| bytes.get(at)) == Some(&byte);
        let bracketed = uri.start() > self.spans.whole.start();
        bracketed && !(is(uri.start().checked_sub(1), b'<') && is(Some(uri.end()), b'>'))
    }

    /// Returns the parameters of the header field, not those of the URI.
    pub fn params(&self) -> Params<'a> {
        Params::new(self.spans.params.of(self.text))
    }

    /// Returns a header parameter by its name in any case: `Some(None)` if it has no value.
    pub fn param(&self, name: &str) -> Option<Option<&'a str>> {
        self.params().get(name)
    }

    /// Returns the `tag` parameter of a From or To.
    pub fn tag(&self) -> Option<&'a str> {
        self.spans.tag.opt(self.text)
    }
}

/// Prints the address as it is written.
impl fmt::Display for NameAddr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for NameAddr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NameAddr({:?})", self.as_str())
    }
}

/// Equality of the text.
impl PartialEq for NameAddr<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for NameAddr<'_> {}

impl NameAddrSpans {
    pub(crate) fn tag(&self) -> Span {
        self.tag
    }

    pub(crate) fn is_none(&self) -> bool {
        self.whole.is_none()
    }
}

/// Reads one address and nothing after it.
pub(crate) fn scan_single(cursor: &mut Cursor<'_>) -> Result<NameAddrSpans, Kind> {
    let spans = scan(cursor)?;
    cursor.finish()?;
    Ok(spans)
}

/// Reads one address, up to the end or to a comma.
pub(crate) fn scan(cursor: &mut Cursor<'_>) -> Result<NameAddrSpans, Kind> {
    cursor.skip_lws();
    let start = cursor.pos;
    let (display, uri) = match cursor.peek() {
        Some(b'<') => (Span::NONE, bracketed(cursor)?),
        Some(b'"') => {
            let display = cursor.quoted()?;
            cursor.skip_lws();
            (display, bracketed(cursor)?)
        }
        _ => unquoted(cursor)?,
    };
    let after = cursor.pos;
    let mut end = after;
    let mut tag = Span::NONE;
    while let Some((name, value)) = scan_param(cursor)? {
        end = if value.is_none() { name.end() } else { value.end() };
        if name.len() == 3 && name.bytes(cursor.bytes()).eq_ignore_ascii_case(b"tag") && tag.is_none() {
            // RFC 3261 §19.3: a tag is a token, never empty and never quoted.
            if value.is_none() {
                return Err(Kind::Param);
            }
            tag = value;
        }
    }
    // `scan_param` went past the white space.
    if cursor.peek().is_some_and(|byte| byte != b',') {
        return Err(if end == after { Kind::Trailing } else { Kind::Param });
    }
    Ok(NameAddrSpans { whole: Span::new(start, end), display, uri, params: Span::new(after, end), tag })
}

fn bracketed(cursor: &mut Cursor<'_>) -> Result<Span, Kind> {
    if !cursor.eat(b'<') {
        return Err(Kind::DisplayName);
    }
    let start = cursor.pos;
    let length = memchr::memchr3(b'>', b'<', b'"', cursor.rest()).ok_or(Kind::Uri)?;
    cursor.pos += length;
    // RFC 4475 §3.1.2.14: white space has no place here, yet folds and stray spaces are sent. At the ends it does no
    // harm; within, the URI is not usable, which is for those to say who need it.
    let uri = Span::new(start, cursor.pos).trimmed(cursor.bytes());
    if has_scheme(uri.bytes(cursor.bytes())) && cursor.eat(b'>') { Ok(uri) } else { Err(Kind::Uri) }
}

/// Reads a display name of tokens and a URI in brackets, or a URI without brackets.
fn unquoted(cursor: &mut Cursor<'_>) -> Result<(Span, Span), Kind> {
    let mut ahead = *cursor;
    let words = ahead.take(scan::DISPLAY);
    if ahead.peek() == Some(b'<') {
        let display = words.trimmed(cursor.bytes());
        *cursor = ahead;
        return Ok((display, bracketed(cursor)?));
    }
    if ahead.peek() != Some(b':') {
        *cursor = ahead;
        return Err(if ahead.at_end() { Kind::Uri } else { Kind::DisplayName });
    }
    // RFC 3261 §20.10: without brackets, what follows a semicolon belongs to the header field, not to the URI.
    let uri = cursor.take(scan::BARE_URI);
    let good = has_scheme(uri.bytes(cursor.bytes())) && cursor.peek() != Some(b'?');
    if good { Ok((Span::NONE, uri)) } else { Err(Kind::Uri) }
}

/// Tells whether there is a scheme, a colon and something; the rest is left to [`Uri::parse`].
#[inline]
fn has_scheme(uri: &[u8]) -> bool {
    if uri.len() > 4 && (uri.starts_with(b"sip:") || uri.starts_with(b"sips:")) {
        return true;
    }
    let colon = memchr::memchr(b':', uri).unwrap_or(0);
    colon > 0 && colon + 1 < uri.len() && uri.first().is_some_and(u8::is_ascii_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Option<&str>, &str, &str, Option<&str>) {
        let address = NameAddr::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        (address.display(), address.uri_text(), address.params().as_str(), address.tag())
    }

    /// RFC 3261 §20.10, §20.20 and §20.39; RFC 4475 §3.1.1.1 and §3.1.1.6.
    #[test]
    fn reads_every_form() {
        assert_eq!(parts("sip:a@b"), (None, "sip:a@b", "", None));
        assert_eq!(parts("sip:a@b;tag=1"), (None, "sip:a@b", ";tag=1", Some("1")));
        assert_eq!(parts(" <sip:a@b;x> ; TAG = 1 "), (None, "sip:a@b;x", " ; TAG = 1", Some("1")));
        assert_eq!(parts("caller<sip:a@b>;tag=1"), (Some("caller"), "sip:a@b", ";tag=1", Some("1")));
        assert_eq!(parts("A B \t<tel:+1>"), (Some("A B"), "tel:+1", "", None));
        let quoted = r#""J \\\"<sip:x>, ;tag=2" <sip:a@b>"#;
        assert_eq!(parts(quoted), (Some(r#""J \\\"<sip:x>, ;tag=2""#), "sip:a@b", "", None));
        assert_eq!(parts("< sip:a@b\r\n >").1, "sip:a@b");
        let folded = NameAddr::parse("<sip:a@b\r\n ;lr>").expect("an address");
        assert_eq!(folded.uri(), Err(UriError::Character));
        assert_eq!(parts("<sip:a@b;tag=3>").3, None, "of the URI, not of the header field");
    }

    /// RFC 4475 §3.1.2.6, §3.1.2.13–15.
    #[test]
    fn refuses_what_is_no_address() {
        let bad = [
            "",
            "sip",
            "<>",
            "<sip:>",
            "<sip:a@b",
            "<sip:a@b<>",
            "< >",
            "sip:a@b?Route=x",
            "\"Mr. J. User <sip:a@b>",
            "Bell, Alexander <sip:a@b>",
            "\"A\" sip:a@b",
            "<sip:a@b>;",
            "<sip:a@b>;;x",
            "<sip:a@b>;tag",
            "<sip:a@b>;tag=",
            "<sip:a@b> x",
            "<sip:a@b>, <sip:c@d>",
            ":a",
            "1x:a",
        ];
        for text in bad {
            assert!(NameAddr::parse(text).is_err(), "{text}");
        }
        let long = format!("<sip:{}>", "a".repeat(65_529));
        assert!(NameAddr::parse(&long).is_ok(), "65,535 bytes");
        let long = format!("<sip:{}>", "a".repeat(65_530));
        assert_eq!(NameAddr::parse(&long).map_err(|error| error.kind), Err(Kind::TooLong));
    }
}
