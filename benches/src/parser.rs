use std::{convert::TryFrom as _, hint::black_box};

use rsip::headers::{Header, ToTypedHeader as _};
use sansip::{
    Limits,
    auth::{challenges, credentials},
    syntax::{HeaderId, Message},
};

use crate::Shape;

/// What reads a message, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parser {
    /// A search for line ends and colons into a fixed array: the floor.
    Scan,
    /// httparse on the same bytes as HTTP.
    Httparse,
    /// sansip, L1: start line, header fields with their names resolved, body.
    Split,
    /// sansip, L2: also what every element needs, typed.
    Check,
    /// sansip, L3: also every other header field that has a type.
    Types,
    /// rsip, L1.
    RsipSplit,
    /// rsip, L2.
    RsipCheck,
}

impl Parser {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Scan, Self::Httparse, Self::Split, Self::Check, Self::Types, Self::RsipSplit, Self::RsipCheck];

    /// Returns a short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Httparse => "httparse",
            Self::Split => "sansip L1",
            Self::Check => "sansip L2",
            Self::Types => "sansip L3",
            Self::RsipSplit => "rsip L1",
            Self::RsipCheck => "rsip L2",
        }
    }

    /// Returns the bytes of a shape that this parser reads.
    pub fn input(self, shape: Shape) -> Vec<u8> {
        match self {
            Self::Httparse => shape.as_http(),
            _ => shape.bytes(),
        }
    }

    /// Reads a message; `None` if it is refused.
    pub fn read(self, bytes: &[u8], limits: &Limits) -> Option<()> {
        match self {
            Self::Scan => scan(bytes),
            Self::Httparse => httparse(bytes),
            Self::Split => black_box(Message::split(bytes, limits)).is_ok().then_some(()),
            Self::Check => black_box(Message::parse(bytes, limits)).is_ok().then_some(()),
            Self::Types => types(bytes, limits),
            Self::RsipSplit => black_box(rsip::SipMessage::try_from(bytes)).is_ok().then_some(()),
            Self::RsipCheck => rsip_check(bytes),
        }
    }
}

fn types(bytes: &[u8], limits: &Limits) -> Option<()> {
    let message = Message::parse(bytes, limits).ok()?;
    let view = message.view();
    black_box(view.check_typed()).ok()?;
    for id in [HeaderId::Authorization, HeaderId::ProxyAuthorization] {
        for value in credentials(view, id) {
            black_box(value.ok()?);
        }
    }
    for id in [HeaderId::WwwAuthenticate, HeaderId::ProxyAuthenticate] {
        for value in challenges(view, id) {
            black_box(value.ok()?);
        }
    }
    Some(())
}

fn scan(bytes: &[u8]) -> Option<()> {
    let mut lines = [(0, 0); 64];
    let mut start = 0;
    for line in &mut lines {
        let end = start + memchr::memchr(b'\n', bytes.get(start..)?)?;
        if end <= start + 1 {
            black_box(&lines);
            return Some(());
        }
        *line = (start, memchr::memchr(b':', bytes.get(start..end)?).unwrap_or(0));
        start = end + 1;
    }
    None
}

fn httparse(bytes: &[u8]) -> Option<()> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let status = if bytes.starts_with(b"HTTP/") {
        black_box(httparse::Response::new(&mut headers).parse(bytes))
    } else {
        black_box(httparse::Request::new(&mut headers).parse(bytes))
    };
    status.is_ok_and(|status| status.is_complete()).then_some(())
}

/// Types what level 2 types: every Via, From, To, Call-ID, CSeq, Max-Forwards, Contact, Route, Record-Route.
fn rsip_check(bytes: &[u8]) -> Option<()> {
    let message = rsip::SipMessage::try_from(bytes).ok()?;
    let headers = match &message {
        rsip::SipMessage::Request(request) => &request.headers,
        rsip::SipMessage::Response(response) => &response.headers,
    };
    for header in headers.iter() {
        match header {
            Header::Via(via) => drop(black_box(via.typed().ok()?)),
            Header::From(from) => drop(black_box(from.typed().ok()?)),
            Header::To(to) => drop(black_box(to.typed().ok()?)),
            Header::CSeq(cseq) => drop(black_box(cseq.typed().ok()?)),
            Header::Contact(contact) => drop(black_box(contact.typed().ok()?)),
            Header::Route(route) => drop(black_box(route.typed().ok()?)),
            Header::RecordRoute(route) => drop(black_box(route.typed().ok()?)),
            Header::MaxForwards(number) => drop(black_box(number.num().ok()?)),
            _ => {}
        }
    }
    black_box(&message);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_read_the_invite() {
        let limits = Limits::default();
        for parser in Parser::ALL {
            assert_eq!(parser.read(&parser.input(Shape::Invite), &limits), Some(()), "{}", parser.name());
        }
    }

    #[test]
    fn sansip_reads_all() {
        for shape in Shape::ALL {
            for parser in [Parser::Split, Parser::Check, Parser::Types] {
                let read = parser.read(&shape.bytes(), &Limits::default());
                assert_eq!(read, Some(()), "{} {}", parser.name(), shape.name());
            }
        }
    }
}
