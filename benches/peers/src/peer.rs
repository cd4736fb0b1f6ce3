use std::{convert::TryFrom as _, hint::black_box};

use bytes::Bytes;
use ezk_sip_types::{
    Headers, Name,
    header::typed as ezk,
    msg::{Line, MessageLine, PullParser},
    parse::Parse as _,
};
use rsipstack::sip::{Header, SipMessage, headers::ToTypedHeader as _, typed};
use sansip::Limits;
use sansip_benches::{Parser, Shape};

/// What reads a message, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// sansip, the floor, and what its own benchmarks compare it with.
    Known(Parser),
    /// rsipstack.
    Rsipstack(Level),
    /// ezk-sip-types.
    Ezk(Level),
}

/// How far a message is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Start line, header fields apart, names known.
    L1,
    /// Also every Via, From, To, Call-ID, CSeq, Max-Forwards, Contact, Route and Record-Route as what the library has for it.
    L2,
    /// Also every other header field that the library has a type for and that the messages contain.
    L3,
}

const LEVELS: [Level; 3] = [Level::L1, Level::L2, Level::L3];

impl Peer {
    /// Returns all, sansip first.
    pub fn all() -> impl Iterator<Item = Self> {
        let known = Parser::ALL.into_iter().map(Self::Known);
        known.chain(LEVELS.map(Self::Rsipstack)).chain(LEVELS.map(Self::Ezk))
    }

    /// Returns a short name.
    pub fn name(self) -> String {
        match self {
            Self::Known(parser) => parser.name().into(),
            Self::Rsipstack(level) => format!("rsipstack {level:?}"),
            Self::Ezk(level) => format!("ezk-sip-types {level:?}"),
        }
    }

    /// Returns the bytes of a shape that it reads.
    pub fn input(self, shape: Shape) -> Bytes {
        match self {
            Self::Known(parser) => parser.input(shape).into(),
            Self::Rsipstack(_) | Self::Ezk(_) => shape.bytes().into(),
        }
    }

    /// Reads a message; `None` if it is refused.
    pub fn read(self, bytes: &Bytes, limits: &Limits) -> Option<()> {
        match self {
            Self::Known(parser) => parser.read(bytes, limits),
            Self::Rsipstack(level) => rsipstack(bytes, level),
            Self::Ezk(level) => ezk(bytes, level),
        }
    }
}

fn rsipstack(bytes: &Bytes, level: Level) -> Option<()> {
    let message = SipMessage::try_from(&bytes[..]).ok()?;
    let headers = match &message {
        SipMessage::Request(request) => &request.headers,
        SipMessage::Response(response) => &response.headers,
    };
    for header in headers.iter().filter(|_| level >= Level::L2) {
        match header {
            Header::Via(via) => drop(black_box(via.typed().ok()?)),
            Header::From(from) => drop(black_box(from.typed().ok()?)),
            Header::To(to) => drop(black_box(to.typed().ok()?)),
            Header::CSeq(cseq) => drop(black_box(cseq.typed().ok()?)),
            Header::Contact(contact) => {
                drop(black_box(typed::Contact::parse_header_list(contact.value()).ok()?));
            }
            Header::Route(route) => drop(black_box(typed::Route::parse_header_list(route.value()).ok()?)),
            Header::RecordRoute(route) => {
                drop(black_box(typed::RecordRoute::parse_header_list(route.value()).ok()?));
            }
            Header::MaxForwards(number) => drop(black_box(number.value().trim().parse::<u32>().ok()?)),
            Header::Allow(allow) if level == Level::L3 => {
                drop(black_box(typed::Allow::parse(allow.value()).ok()?));
            }
            Header::Authorization(credentials) if level == Level::L3 => {
                drop(black_box(typed::Authorization::parse(credentials.value()).ok()?));
            }
            _ => {}
        }
    }
    black_box(&message);
    Some(())
}

/// The library has no message, only its parts; so does its endpoint put them together.
fn ezk(bytes: &Bytes, level: Level) -> Option<()> {
    let mut lines = PullParser::new(bytes, 0);
    let text = |line: Option<Result<_, _>>| std::str::from_utf8(line?.ok()?).ok();
    let (rest, start) = MessageLine::parse(bytes)(text(lines.next())?).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let mut headers = Headers::with_capacity(16);
    for line in lines.by_ref() {
        let (_, line) = Line::parse(bytes, text(Some(line))?).ok()?;
        headers.insert(line.name, line.value);
    }
    black_box((&start, bytes.slice(lines.head_end()..)));
    if level >= Level::L2 {
        black_box(headers.get_named::<Vec<ezk::Via>>().ok().filter(|vias| !vias.is_empty())?);
        black_box(headers.get::<ezk::FromTo>(Name::FROM).ok()?);
        black_box(headers.get::<ezk::FromTo>(Name::TO).ok()?);
        black_box((headers.get_named::<ezk::CallID>().ok()?, headers.get_named::<ezk::CSeq>().ok()?));
        optional(headers.try_get_named::<ezk::MaxForwards>())?;
        optional(headers.try_get_named::<Vec<ezk::Contact>>())?;
        optional(headers.try_get::<Vec<ezk::Routing>>(Name::ROUTE))?;
        optional(headers.try_get::<Vec<ezk::Routing>>(Name::RECORD_ROUTE))?;
    }
    if level == Level::L3 {
        optional(headers.try_get_named::<Vec<ezk::Accept>>())?;
        optional(headers.try_get_named::<Vec<ezk::Allow>>())?;
        optional(headers.try_get_named::<Vec<ezk::Supported>>())?;
        optional(headers.try_get_named::<ezk::ContentType>())?;
        optional(headers.try_get_named::<ezk::ContentLength>())?;
        optional(headers.try_get_named::<ezk::Expires>())?;
        optional(headers.try_get_named::<ezk::SessionExpires>())?;
        optional(headers.try_get::<ezk::AuthResponse>(Name::AUTHORIZATION))?;
    }
    black_box(headers);
    Some(())
}

/// A header field that is absent is no fault, one that cannot be read is.
fn optional<T, E>(value: Option<Result<T, E>>) -> Option<()> {
    value.transpose().ok().map(|value| drop(black_box(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_read_the_invite() {
        for peer in Peer::all() {
            let read = peer.read(&peer.input(Shape::Invite), &Limits::default());
            assert_eq!(read, Some(()), "{}", peer.name());
        }
    }
}
