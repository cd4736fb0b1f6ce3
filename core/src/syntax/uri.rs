use std::{borrow::Cow, fmt, hash::Hash, hash::Hasher, str::FromStr};

use nom::{
    Parser as _,
    branch::alt,
    bytes::complete::{tag, take_while_m_n, take_while1},
    combinator::{all_consuming, opt, recognize},
    multi::many1_count,
};
use thiserror::Error;

use super::{
    Host, Mailto, Params, Tel, Urn,
    escape::unescape,
    host::scan_host,
    scan::{self, Cursor, Span},
};

/// A URI in a borrowed text (RFC 3261 §19.1, RFC 3966, RFC 3986).
///
/// `sip`, `sips` and `tel` URIs are checked against their grammars, others only for characters that no URI has.
/// [`UriBuf`] is the owned form.
#[derive(Clone, Copy)]
pub struct Uri<'a> {
    text: &'a str,
    spans: UriSpans,
}

/// Where the parts of a URI stand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UriSpans {
    kind: SchemeKind,
    scheme: Span,
    user: Span,
    password: Span,
    host: Span,
    port: Option<u16>,
    params: Span,
    headers: Span,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SchemeKind {
    Sip,
    Sips,
    Tel,
    #[default]
    Other,
}

/// What a URI begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheme<'a> {
    /// `sip:` (RFC 3261 §19.1).
    Sip,
    /// `sips:` (RFC 3261 §19.1).
    Sips,
    /// `tel:` (RFC 3966).
    Tel,
    /// Any other, as it is written.
    Other(&'a str),
}

/// Why a text is no URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UriError {
    /// It does not begin with a scheme and a colon.
    #[error("a URI begins with a scheme and a colon")]
    Scheme,
    /// The part before the `@` is malformed.
    #[error("malformed user part")]
    User,
    /// The host is malformed.
    #[error("malformed host")]
    Host,
    /// The port is no number below 65,536.
    #[error("malformed port")]
    Port,
    /// A parameter is malformed.
    #[error("malformed URI parameter")]
    Param,
    /// A header field behind the `?` is malformed.
    #[error("malformed header field of a URI")]
    Header,
    /// A telephone number is malformed.
    #[error("malformed telephone number")]
    Number,
    /// A character that has no place in a URI.
    #[error("a character that has no place in a URI")]
    Character,
    /// Longer than 65,535 bytes.
    #[error("URI longer than 65,535 bytes")]
    TooLong,
}

impl<'a> Uri<'a> {
    /// Reads a URI, which must be all of the text.
    pub fn parse(text: &'a str) -> Result<Self, UriError> {
        Ok(Self { text, spans: scan_uri(text)? })
    }

    pub(crate) fn new(text: &'a str, spans: UriSpans) -> Self {
        Self { text, spans }
    }

    pub(crate) fn spans(&self) -> UriSpans {
        self.spans
    }

    /// Returns the whole URI.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// Returns the scheme.
    pub fn scheme(&self) -> Scheme<'a> {
        match self.spans.kind {
            SchemeKind::Sip => Scheme::Sip,
            SchemeKind::Sips => Scheme::Sips,
            SchemeKind::Tel => Scheme::Tel,
            SchemeKind::Other => Scheme::Other(self.spans.scheme.of(self.text)),
        }
    }

    /// Tells whether it is a `sip` or `sips` URI, the only ones that have a host here.
    pub fn is_sip(&self) -> bool {
        matches!(self.spans.kind, SchemeKind::Sip | SchemeKind::Sips)
    }

    /// Tells whether it is a `sips` URI.
    pub fn is_sips(&self) -> bool {
        self.spans.kind == SchemeKind::Sips
    }

    /// Returns the user, escapes left in; of a `tel` URI the number.
    pub fn user(&self) -> Option<&'a str> {
        self.spans.user.opt(self.text)
    }

    /// Returns the password, escapes left in.
    pub fn password(&self) -> Option<&'a str> {
        self.spans.password.opt(self.text)
    }

    /// Returns the host; none unless it is a `sip` or `sips` URI.
    pub fn host(&self) -> Option<Host<'a>> {
        self.host_text().map(Host::of_checked)
    }

    /// Returns the host as it is written.
    pub fn host_text(&self) -> Option<&'a str> {
        self.spans.host.opt(self.text)
    }

    /// Returns the port, if one is written.
    pub fn port(&self) -> Option<u16> {
        self.spans.port
    }

    /// Returns the parameters.
    pub fn params(&self) -> Params<'a> {
        Params::new(self.spans.params.of(self.text))
    }

    /// Returns a parameter by its name in any case: `Some(None)` if it has no value.
    pub fn param(&self, name: &str) -> Option<Option<&'a str>> {
        self.params().get(name)
    }

    /// Returns what stands behind the `?`.
    pub fn headers_text(&self) -> Option<&'a str> {
        self.spans.headers.opt(self.text)
    }

    /// Returns the header fields behind the `?`, without escapes.
    pub fn headers(&self) -> UriHeaders<'a> {
        UriHeaders::new(self.headers_text().unwrap_or(""))
    }

    /// Returns the header fields behind the `?`, escapes left in.
    pub fn header_pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let pairs = self.headers_text().unwrap_or("").split('&');
        pairs.filter_map(|pair| pair.split_once('='))
    }

    /// Returns the parts of a `tel` URI.
    pub fn tel(self) -> Option<Tel<'a>> {
        Tel::of(self)
    }

    /// Returns the parts of a `urn` URI.
    pub fn urn(self) -> Option<Urn<'a>> {
        Urn::of(self)
    }

    /// Returns the parts of a `mailto` URI.
    pub fn mailto(self) -> Option<Mailto<'a>> {
        Mailto::of(self)
    }

    /// Returns the `transport` parameter.
    pub fn transport(&self) -> Option<&'a str> {
        self.param("transport").flatten()
    }

    /// Returns the `maddr` parameter.
    pub fn maddr(&self) -> Option<&'a str> {
        self.param("maddr").flatten()
    }

    /// Tells whether there is an `lr` parameter, with any value or none (RFC 3261 §19.1.1).
    pub fn is_loose_router(&self) -> bool {
        self.param("lr").is_some()
    }
}

/// The header fields of a URI: name and value without escapes.
#[derive(Clone, Debug)]
pub struct UriHeaders<'a> {
    rest: &'a str,
}

impl<'a> UriHeaders<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }
}

impl<'a> Iterator for UriHeaders<'a> {
    type Item = (Cow<'a, str>, Cow<'a, str>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let (pair, rest) = self.rest.split_once('&').unwrap_or((self.rest, ""));
            self.rest = rest;
            if let Some((name, value)) = pair.split_once('=') {
                return Some((unescape(name), unescape(value)));
            }
        }
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text)
    }
}

impl fmt::Debug for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uri({:?})", self.text)
    }
}

/// Equality of the text; for that of RFC 3261 §19.1.4 see [`Uri::is_equivalent`].
impl PartialEq for Uri<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Uri<'_> {}

impl Hash for Uri<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// An owned [`Uri`]. It is always a valid one, so it has no spaces, line breaks or angle brackets.
#[derive(Clone)]
pub struct UriBuf {
    text: Box<str>,
    spans: UriSpans,
}

impl UriBuf {
    /// Returns the borrowed form.
    pub fn as_uri(&self) -> Uri<'_> {
        Uri { text: &self.text, spans: self.spans }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<Uri<'_>> for UriBuf {
    fn from(uri: Uri<'_>) -> Self {
        Self { text: uri.text.into(), spans: uri.spans }
    }
}

impl FromStr for UriBuf {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Uri::parse(text).map(Self::from)
    }
}

impl TryFrom<&str> for UriBuf {
    type Error = UriError;

    fn try_from(text: &str) -> Result<Self, UriError> {
        text.parse()
    }
}

impl fmt::Display for UriBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for UriBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UriBuf({:?})", self.text)
    }
}

impl PartialEq for UriBuf {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for UriBuf {}

impl Hash for UriBuf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for UriBuf {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for UriBuf {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn scan_uri(text: &str) -> Result<UriSpans, UriError> {
    if text.len() > usize::from(u16::MAX) {
        return Err(UriError::TooLong);
    }
    let bytes = text.as_bytes();
    if bytes.starts_with(b"sip:") {
        return scan_sip(bytes, 3, SchemeKind::Sip);
    }
    let length = memchr::memchr(b':', bytes).ok_or(UriError::Scheme)?;
    let scheme = bytes.get(..length).unwrap_or(&[]);
    if scheme.eq_ignore_ascii_case(b"sip") {
        scan_sip(bytes, length, SchemeKind::Sip)
    } else if scheme.eq_ignore_ascii_case(b"sips") {
        scan_sip(bytes, length, SchemeKind::Sips)
    } else if scheme.eq_ignore_ascii_case(b"tel") {
        scan_tel(text, length)
    } else {
        scan_other(text, length)
    }
}

/// Reads what follows `sip` or `sips`, a scheme of `length` bytes.
fn scan_sip(bytes: &[u8], length: usize, kind: SchemeKind) -> Result<UriSpans, UriError> {
    let mut spans = UriSpans { kind, scheme: Span::new(0, length), ..UriSpans::default() };
    let mut cursor = Cursor::new(bytes);
    cursor.pos = length + 1;
    // The grammar has no other place for an `@`, so the user may hold what ends a host.
    if memchr::memchr(b'@', cursor.rest()).is_some() {
        spans.user = cursor.take_escaped(scan::USER);
        if cursor.eat(b':') {
            spans.password = cursor.take_escaped(scan::PASSWORD);
        }
        if spans.user.len() == 0 || !cursor.eat(b'@') {
            return Err(UriError::User);
        }
    }
    spans.host = scan_host(&mut cursor).map_err(|_| UriError::Host)?;
    if cursor.eat(b':') {
        spans.port = Some(cursor.number(u16::MAX.into()).map_err(|_| UriError::Port)? as u16);
    }
    spans.params = scan_params(&mut cursor)?;
    if cursor.eat(b'?') {
        spans.headers = scan_headers(&mut cursor)?;
    }
    if cursor.at_end() { Ok(spans) } else { Err(UriError::Character) }
}

/// Reads `uri-parameters`.
fn scan_params(cursor: &mut Cursor<'_>) -> Result<Span, UriError> {
    let start = cursor.pos;
    while cursor.eat(b';') {
        let name = cursor.take_escaped(scan::PARAM);
        let filled = !cursor.eat(b'=') || cursor.take_escaped(scan::PARAM_VALUE).len() > 0;
        if name.len() == 0 || !filled {
            return Err(UriError::Param);
        }
    }
    Ok(Span::new(start, cursor.pos))
}

/// Reads `headers` behind the question mark.
fn scan_headers(cursor: &mut Cursor<'_>) -> Result<Span, UriError> {
    let start = cursor.pos;
    loop {
        let name = cursor.take_escaped(scan::HNV);
        if name.len() == 0 || !cursor.eat(b'=') {
            return Err(UriError::Header);
        }
        cursor.take_escaped(scan::HNV);
        if !cursor.eat(b'&') {
            return Ok(Span::new(start, cursor.pos));
        }
    }
}

/// Reads `telephone-uri` (RFC 3966 §3). A local number without `phone-context` passes, for many are sent.
fn scan_tel(text: &str, length: usize) -> Result<UriSpans, UriError> {
    let body = text.get(length + 1..).unwrap_or("");
    let is_global = |char: char| char.is_ascii_digit() || "-.()".contains(char);
    let is_local = |char: char| char.is_ascii_hexdigit() || "-.()*#".contains(char);
    let global = recognize((tag("+"), take_while1(is_global)));
    let number = alt((global, take_while1(is_local)));
    let mut number = nom::combinator::verify(number, |number: &str| {
        number.contains(|c: char| c.is_ascii_hexdigit() || "*#".contains(c))
    });
    let found: Result<(&str, &str), nom::Err<nom::error::Error<&str>>> = number.parse(body);
    let (_, number) = found.map_err(|_| UriError::Number)?;
    let mut cursor = Cursor::new(text.as_bytes());
    let user = Span::new(length + 1, length + 1 + number.len());
    cursor.pos = user.end();
    let params = scan_params(&mut cursor)?;
    if !cursor.at_end() {
        return Err(UriError::Number);
    }
    Ok(UriSpans { kind: SchemeKind::Tel, scheme: Span::new(0, length), user, params, ..UriSpans::default() })
}

/// Reads `absoluteURI` (RFC 3261 §25.1) without telling its parts.
fn scan_other(text: &str, length: usize) -> Result<UriSpans, UriError> {
    let first = take_while_m_n(1, 1, |char: char| char.is_ascii_alphabetic());
    let more = |char: char| char.is_ascii_alphanumeric() || "+-.".contains(char);
    let scheme = (first, opt(take_while1(more)));
    let uric = take_while1(|char: char| u8::try_from(char).is_ok_and(|byte| scan::is(byte, scan::URIC)));
    let escaped = recognize((tag("%"), take_while_m_n(2, 2, |char: char| char.is_ascii_hexdigit())));
    let mut uri = all_consuming((scheme, tag(":"), many1_count(alt((uric, escaped)))));
    let read: Result<_, nom::Err<nom::error::Error<&str>>> = uri.parse(text);
    match read {
        Ok(_) => Ok(UriSpans { scheme: Span::new(0, length), ..UriSpans::default() }),
        Err(nom::Err::Error(error) | nom::Err::Failure(error)) if text.len() - error.input.len() > length => {
            Err(UriError::Character)
        }
        Err(_) => Err(UriError::Scheme),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// C006, C010; RFC 3261 §19.1.1 and §19.1.3.
    #[test]
    fn reads_every_part() {
        let uri = uri(
            "sip:alice;day=tuesday:se$cret@[2001:db8::1]:5070;Transport=TCP;lr=on;maddr=239.1.1.1?to=a%40b&x=",
        );
        assert_eq!((uri.scheme(), uri.is_sips(), uri.is_sip()), (Scheme::Sip, false, true));
        assert_eq!((uri.user(), uri.password()), (Some("alice;day=tuesday"), Some("se$cret")));
        assert_eq!(uri.host().map(|host| host.to_string()).as_deref(), Some("[2001:db8::1]"));
        assert_eq!((uri.port(), uri.transport(), uri.maddr()), (Some(5070), Some("TCP"), Some("239.1.1.1")));
        assert!(uri.is_loose_router());
        assert_eq!(uri.headers_text(), Some("to=a%40b&x="));
        assert_eq!(uri.header_pairs().collect::<Vec<_>>(), [("to", "a%40b"), ("x", "")]);
        assert_eq!(uri.headers().collect::<Vec<_>>(), [("to".into(), "a@b".into()), ("x".into(), "".into())]);
    }

    #[test]
    fn parts_may_be_absent() {
        let plain = uri("SIPS:example.com");
        assert!(plain.is_sips());
        assert_eq!(
            (plain.user(), plain.password(), plain.port(), plain.headers_text()),
            (None, None, None, None)
        );
        assert!(!plain.is_loose_router() && !uri("sip:a;lrx").is_loose_router());
        assert_eq!(uri("sip:*67%23#@b").user(), Some("*67%23#"));
        assert_eq!(uri("sip:a:@b").password(), Some(""));
    }

    /// C011; RFC 3966 §3, RFC 4475 §3.3.2–§3.3.4.
    #[test]
    fn reads_other_schemes() {
        let tel = uri("tel:+1-201-555-0123;ext=7;phone-context=a.com");
        assert_eq!((tel.scheme(), tel.user(), tel.host()), (Scheme::Tel, Some("+1-201-555-0123"), None));
        assert_eq!(tel.param("ext"), Some(Some("7")));
        assert_eq!(uri("TEL:*21#").user(), Some("*21#"));
        for (text, scheme) in [
            ("mailto:a@b", "mailto"),
            ("soap.beep://192.0.2.103:3002", "soap.beep"),
            ("urn:service:sos", "urn"),
            ("http://a/b?c#d", "http"),
        ] {
            let uri = uri(text);
            assert_eq!((uri.scheme(), uri.host(), uri.user()), (Scheme::Other(scheme), None, None));
        }
    }

    #[test]
    fn refuses_what_is_no_uri() {
        use UriError as E;
        for (text, error) in [
            ("", E::Scheme),
            ("sip", E::Scheme),
            (":a", E::Scheme),
            ("1a:b", E::Scheme),
            ("a b:c", E::Scheme),
            ("a:", E::Character),
            ("a:b c", E::Character),
            ("a:b%4", E::Character),
            ("sip:", E::Host),
            ("sip:@b", E::User),
            ("sip:a%4@b", E::User),
            ("sip:a b@c", E::User),
            ("sip:a@b@c", E::Character),
            ("sip:a@", E::Host),
            ("sip:a@b..c", E::Character),
            ("sip:a@[::1", E::Host),
            ("sip:a@b:", E::Port),
            ("sip:a@b:65536", E::Port),
            ("sip:a@b;", E::Param),
            ("sip:a@b;;lr", E::Param),
            ("sip:a@b;x=", E::Param),
            ("sip:a@b; lr", E::Param),
            ("sip:a@b?", E::Header),
            ("sip:a@b?x", E::Header),
            ("sip:a@b?x=1&", E::Header),
            ("sip:a@b>", E::Character),
            ("sip:a@b\r\n", E::Character),
            ("tel:", E::Number),
            ("tel:+", E::Number),
            ("tel:--", E::Number),
            ("tel:+1;", E::Param),
            ("tel:+1 2", E::Number),
        ] {
            assert_eq!(Uri::parse(text).err(), Some(error), "{text:?}");
        }
    }

    #[test]
    fn length_is_limited() {
        let long = |length: usize| format!("sip:{}", "a".repeat(length - 4));
        assert!(Uri::parse(&long(65_535)).is_ok());
        assert_eq!(Uri::parse(&long(65_536)), Err(UriError::TooLong));
    }

    #[test]
    fn owned_uris_are_valid_ones() {
        let owned: UriBuf = "sip:a@b;lr".parse().expect("a URI");
        assert_eq!(owned.as_uri().param("lr"), Some(None));
        assert_eq!(UriBuf::from(owned.as_uri()), owned);
        assert_eq!(owned.to_string(), "sip:a@b;lr");
        for bad in ["sip:a@b\r\nVia: x", "<sip:a@b>", "sip:a@b ", ""] {
            assert!(UriBuf::try_from(bad).is_err(), "{bad:?}");
        }
    }
}
