use std::fmt;

use super::{
    super::{ParseErrorKind as Kind, Reader},
    item::{Text, headers},
    typed::Header,
};
use crate::syntax::{HeaderName, scan};

headers! { Software;
    /// The software of who answers (RFC 3261 §20.35).
    Server SERVER alone Software::read;
    /// The software of who asks (RFC 3261 §20.41).
    UserAgent USER_AGENT alone Software::read;
}

/// Products and comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Software<'a>(&'a str);

/// A part of what names a software.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerValue<'a> {
    /// A product and its version.
    Product(&'a str, Option<&'a str>),
    /// A comment, with its parentheses.
    Comment(&'a str),
}

impl<'a> Software<'a> {
    /// Reads `server-val *( LWS server-val )`.
    fn read(reader: &mut Reader<'a>) -> Result<Self, Kind> {
        reader.space();
        let start = reader.position();
        loop {
            server_value(reader)?;
            if reader.at_end() {
                return Ok(Self(reader.since(start)));
            }
        }
    }

    /// Returns the parts in order.
    pub fn values(&self) -> impl Iterator<Item = ServerValue<'a>> + use<'a> {
        let mut reader = Reader::new(self.0).ok();
        std::iter::from_fn(move || {
            let reader = reader.as_mut()?;
            if reader.at_end() { None } else { server_value(reader).ok() }
        })
    }

    /// Returns the whole as it is written.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

fn server_value<'a>(reader: &mut Reader<'a>) -> Result<ServerValue<'a>, Kind> {
    reader.space();
    if reader.peek() == Some(b'(') {
        return reader.comment().map(ServerValue::Comment);
    }
    let product = reader.token()?;
    let version = if reader.eat_separator(b'/') { Some(reader.token()?) } else { None };
    Ok(ServerValue::Product(product, version))
}

impl fmt::Display for Software<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

headers! { Text;
    /// What the call is about (RFC 3261 §20.36).
    Subject SUBJECT alone |reader| Ok(Text(reader.rest()));
    /// Whom the sender belongs to (RFC 3261 §20.25).
    Organization ORGANIZATION alone |reader| Ok(Text(reader.rest()));
}

/// What was not quite right (RFC 3261 §20.43).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning<'a> {
    code: u16,
    agent: &'a str,
    text: &'a str,
}

impl<'a> Warning<'a> {
    /// Returns the code of three digits.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// Returns who warns: host and port, or a pseudonym.
    pub fn agent(&self) -> &'a str {
        self.agent
    }

    /// Returns the explanation for people, with its quotes.
    pub fn text(&self) -> &'a str {
        self.text
    }
}

impl<'a> Header<'a> for Warning<'a> {
    const NAME: HeaderName = HeaderName::WARNING;
    const LIST: bool = true;

    fn read(reader: &mut Reader<'a>) -> Result<Self, Kind> {
        let digits = reader.digits()?;
        let code = digits.parse().ok().filter(|_| digits.len() == 3).ok_or(Kind::Number)?;
        if !reader.space() {
            return Err(Kind::Number);
        }
        let agent = reader.take(scan::VALUE, Kind::Host)?;
        Ok(Self { code, agent, text: reader.quoted()? })
    }
}

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} {} {}", self.code, self.agent, self.text)
    }
}
