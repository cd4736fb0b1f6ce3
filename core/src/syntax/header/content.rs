use std::fmt;

use super::{
    super::{Params, ParseErrorKind as Kind, Reader},
    item::{Item, Text, Word, headers, numbers, quality},
    typed::Header,
};
use crate::syntax::HeaderName;

/// A media type or range with its parameters, such as `multipart/mixed;boundary=x` or `text/*;q=0.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media<'a> {
    item: Item<'a>,
    kind: &'a str,
    subtype: &'a str,
}

impl<'a> Media<'a> {
    /// Reads `m-type SLASH m-subtype *( SEMI m-parameter )`.
    fn read(reader: &mut Reader<'a>) -> Result<Self, Kind> {
        let (mut kind, mut subtype) = ("", "");
        let item = Item::read(reader, |reader| {
            let start = reader.position();
            kind = reader.token()?;
            if !reader.eat_separator(b'/') {
                return Err(Kind::Token);
            }
            subtype = reader.token()?;
            Ok(reader.since(start))
        })?;
        Ok(Self { item, kind, subtype })
    }

    /// Returns the type, such as `application`; `*` means any.
    pub fn kind(&self) -> &'a str {
        self.kind
    }

    /// Returns the subtype, such as `sdp`; `*` means any.
    pub fn subtype(&self) -> &'a str {
        self.subtype
    }

    /// Tells whether it is that type and subtype, in any case and whatever the parameters.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }

    /// Tells whether it is a range that the other type is within.
    pub fn includes(&self, other: &Media<'_>) -> bool {
        let fits = |range: &str, name: &str| range == "*" || range.eq_ignore_ascii_case(name);
        fits(self.kind, other.kind) && fits(self.subtype, other.subtype)
    }

    /// Returns the parameters.
    pub fn params(&self) -> Params<'a> {
        self.item.params()
    }

    /// Returns a parameter by its name in any case, a quoted string with its quotes.
    pub fn param_value(&self, name: &str) -> Option<&'a str> {
        self.item.param_value(name)
    }

    /// Returns the whole as it is written.
    pub fn as_str(&self) -> &'a str {
        self.item.as_str()
    }
}

impl fmt::Display for Media<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.item.fmt(f)
    }
}

headers! { Media;
    /// The media type of the body (RFC 3261 §20.15).
    ContentType CONTENT_TYPE alone |reader| {
        let media = Media::read(reader)?;
        if media.kind == "*" || media.subtype == "*" { Err(Kind::Value) } else { Ok(media) }
    };
    /// A range of media types that the sender takes (RFC 3261 §20.1).
    Accept ACCEPT list |reader| {
        let media = Media::read(reader)?;
        let range = media.kind != "*" || media.subtype == "*";
        if range && quality(media.params()).is_some() { Ok(media) } else { Err(Kind::Value) }
    };
}

impl ContentType<'_> {
    /// Returns the `boundary` parameter of a multipart type, without quotes (RFC 2046 §5.1.1).
    pub fn boundary(&self) -> Option<&str> {
        let value = self.param_value("boundary")?;
        Some(value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value))
    }
}

impl Accept<'_> {
    /// Returns the `q` in thousandths, 1000 if there is none.
    pub fn q(&self) -> u16 {
        quality(self.params()).unwrap_or(1000)
    }
}

headers! { Item;
    /// An encoding that the sender takes, or `*` (RFC 3261 §20.2).
    AcceptEncoding ACCEPT_ENCODING list |reader| with_quality(Item::read(reader, Reader::token)?);
    /// A language that the sender takes, or `*` (RFC 3261 §20.3).
    AcceptLanguage ACCEPT_LANGUAGE list |reader| with_quality(Item::read(reader, language_range)?);
    /// How the body is to be taken (RFC 3261 §20.11).
    ContentDisposition CONTENT_DISPOSITION alone |reader| Item::read(reader, Reader::token);
}

/// Refuses a malformed `q`.
fn with_quality(item: Item<'_>) -> Result<Item<'_>, Kind> {
    if quality(item.params()).is_some() { Ok(item) } else { Err(Kind::Number) }
}

impl AcceptEncoding<'_> {
    /// Returns the `q` in thousandths, 1000 if there is none.
    pub fn q(&self) -> u16 {
        quality(self.params()).unwrap_or(1000)
    }
}

impl AcceptLanguage<'_> {
    /// Returns the `q` in thousandths, 1000 if there is none.
    pub fn q(&self) -> u16 {
        quality(self.params()).unwrap_or(1000)
    }
}

impl ContentDisposition<'_> {
    /// Tells whether the request must be refused if the body is not understood: so it is unless `handling=optional`
    /// says otherwise (RFC 3261 §20.11).
    pub fn is_required(&self) -> bool {
        !self.param_value("handling").is_some_and(|value| value.eq_ignore_ascii_case("optional"))
    }
}

headers! { Word;
    /// An encoding that was applied to the body (RFC 3261 §20.12).
    ContentEncoding CONTENT_ENCODING list |reader| reader.token().map(Word);
    /// A language of the body (RFC 3261 §20.13).
    ContentLanguage CONTENT_LANGUAGE list |reader| language(reader).map(Word);
}

headers! { Text;
    /// The name by which the body is referred to, in angle brackets (RFC 8262 §3.2).
    ContentId CONTENT_ID alone |reader| content_id(reader).map(Text);
}

fn language_range<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Kind> {
    reader.space();
    if reader.peek() == Some(b'*') {
        reader.token().and_then(|star| only("*", star))
    } else {
        language(reader)
    }
}

fn only<'a>(wanted: &str, found: &'a str) -> Result<&'a str, Kind> {
    if found == wanted { Ok(found) } else { Err(Kind::Value) }
}

/// Reads `1*8ALPHA *( "-" 1*8ALPHA )`; digits pass in subtags, as later rules have them (RFC 5646 §2.1).
fn language<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Kind> {
    let tag = reader.token()?;
    let mut parts = tag.split('-');
    let primary = parts.next().unwrap_or("");
    let good = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let alphabetic = primary.bytes().all(|byte| byte.is_ascii_alphabetic());
    if good(primary) && alphabetic && parts.all(good) { Ok(tag) } else { Err(Kind::Value) }
}

/// Reads `"<" id-left "@" id-right ">"`.
fn content_id<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Kind> {
    let id =
        reader.take_while(|&byte| byte > b' ' && byte != 0x7f && !b",;\"".contains(&byte), Kind::Token)?;
    let inner = id.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).ok_or(Kind::Value)?;
    let at = inner.split_once('@').filter(|(left, right)| !left.is_empty() && !right.is_empty());
    if at.is_some() && !inner.contains(['<', '>']) { Ok(id) } else { Err(Kind::Value) }
}

numbers! {
    /// The bytes of the body (RFC 3261 §20.14).
    ContentLength CONTENT_LENGTH u32::MAX;
}

/// The version of MIME that the body follows (RFC 3261 §20.24).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MimeVersion {
    /// The number before the dot.
    pub major: u32,
    /// The number behind the dot.
    pub minor: u32,
}

impl Header<'_> for MimeVersion {
    const NAME: HeaderName = HeaderName::MIME_VERSION;
    const LIST: bool = false;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Kind> {
        let major = reader.number(u32::MAX)?;
        if !reader.eat(b'.') {
            return Err(Kind::Number);
        }
        let digit = reader.peek().is_some_and(|byte| byte.is_ascii_digit());
        if digit { Ok(Self { major, minor: reader.number(u32::MAX)? }) } else { Err(Kind::Number) }
    }
}

impl fmt::Display for MimeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
