//! Session descriptions: how one is changed, and how one answers another (RFC 3264, RFC 8866).
//!
//! The model and the codec are those of [`sdp_types`]. They drop lines of unknown kinds and write the others in their
//! own way; so what is changed here is a [`Description`], which keeps every other line as it was.
//!
//! ```
//! use sansip::{Limits, sdp::{self, Description, Local}};
//!
//! let limits = Limits::default();
//! let mut offer = Description::new(&Local::new([192, 0, 2, 1].into(), 1, 0).audio(4000), &limits)?;
//! // PCMA before PCMU, and no digits.
//! offer.retain_codecs(0, |codec| !codec.is("telephone-event"))?.sort_codecs(0, |codec| !codec.is("PCMA"))?;
//! assert_eq!(offer.media(0)?, "audio 4000 RTP/AVP 8 0");
//!
//! let callee = Local::new([192, 0, 2, 9].into(), 2, 0).audio(5000);
//! let answer = Description::parse(&sdp::answer(&offer.to_bytes(), &callee, &limits)?, &limits)?;
//! assert_eq!(answer.media(0)?, "audio 5000 RTP/AVP 8 0");
//! # Ok::<(), sdp::SdpError>(())
//! ```

mod address;
mod answer;
mod codec;
mod description;
mod direction;
mod error;

use std::net::IpAddr;

use sdp_types::{Attribute, Connection, Media, Origin, Session, Time, attributes::RtpMap};

pub(crate) use address::with_local_address;
pub use answer::{answer, answer_without_media};
pub use codec::Codec;
pub use description::Description;
pub use direction::Held;
pub use error::SdpError;
pub use sdp_types::{self, attributes::Direction};

/// What this side brings into a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// `None` if the endpoint knows it best.
    address: Option<IpAddr>,
    session: u64,
    version: u64,
    streams: Vec<Stream>,
}

/// A stream that this side takes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stream {
    media: &'static str,
    port: u16,
    formats: &'static [Format],
}

/// An encoding and the payload number under which this side offers it.
#[derive(Debug, PartialEq, Eq)]
struct Format {
    payload: u8,
    encoding: &'static str,
    clock_rate: u32,
    parameters: Option<&'static str>,
}

impl Local {
    /// Makes a session without streams at the address where media is received.
    ///
    /// `session` stays the same for the life of the session; `version` counts up by one whenever the description changes
    /// (RFC 3264 §5, §8). Both are written as 62-bit numbers.
    pub const fn new(address: IpAddr, session: u64, version: u64) -> Self {
        Self::at(Some(address), session, version)
    }

    /// Makes a session without streams at [`LOCAL_ADDRESS`], for a [`Body::local_sdp`](crate::Body::local_sdp).
    pub const fn unaddressed(session: u64, version: u64) -> Self {
        Self::at(None, session, version)
    }

    const fn at(address: Option<IpAddr>, session: u64, version: u64) -> Self {
        Self { address, session: session & NUMBER, version: version & NUMBER, streams: Vec::new() }
    }

    /// Adds a stream of speech: PCMU, PCMA, and dialled digits as events (RFC 3551 §6, RFC 4733).
    #[must_use]
    pub fn audio(mut self, port: u16) -> Self {
        self.streams.push(Stream { media: "audio", port, formats: &SPEECH });
        self
    }

    /// Starts a description: all but its streams.
    fn describe(&self) -> Session {
        let mut origin = Origin::with_ip_addr(self.session, self.version, self.address.unwrap_or(NOWHERE));
        let mut connection = Connection::from_ip_addr(self.address.unwrap_or(NOWHERE));
        if self.address.is_none() {
            origin.unicast_address = LOCAL_ADDRESS.into();
            connection.connection_address = LOCAL_ADDRESS.into();
        }
        let mut session = Session::new(origin, "-");
        session.connection = Some(connection);
        session
    }
}

/// Returns an offer of all that this side has (RFC 3264 §5).
pub fn offer(local: &Local) -> Vec<u8> {
    let mut session = local.describe();
    session.times.push(Time::new(0, 0));
    for stream in &local.streams {
        let formats = stream.formats.iter().map(|format| (format.payload, format));
        session.medias.push(describe_stream(stream, RTP, formats));
    }
    write(&session)
}

fn describe_stream<'f>(
    stream: &Stream,
    proto: &str,
    formats: impl Iterator<Item = (u8, &'f Format)>,
) -> Media {
    let mut media = empty_media(stream.media, stream.port, proto);
    for (payload, format) in formats {
        if !media.fmt.is_empty() {
            media.fmt.push(' ');
        }
        media.fmt.push_str(&payload.to_string());
        media.attributes.push(RtpMap::new(payload, format.encoding, format.clock_rate).into());
        if let Some(parameters) = format.parameters {
            media.attributes.push(Attribute::with_value("fmtp", format_args!("{payload} {parameters}")));
        }
    }
    media
}

fn empty_media(kind: &str, port: u16, proto: &str) -> Media {
    Media {
        media: kind.into(),
        port,
        num_ports: None,
        proto: proto.into(),
        fmt: String::new(),
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes: Vec::<Attribute>::new(),
    }
}

fn write(session: &Session) -> Vec<u8> {
    let mut bytes = Vec::new();
    session.write(&mut bytes).expect("a Vec takes everything");
    bytes
}

/// The host that stands for the address at which peers reach the endpoint, in the `o=` and `c=` lines of a
/// [`Body::local_sdp`](crate::Body::local_sdp). No other host has such a name (RFC 6761 §6.4).
///
/// Only when a message goes out is it known from which socket, and so from which address.
pub const LOCAL_ADDRESS: &str = "local.invalid";

/// Gives a description the family that [`LOCAL_ADDRESS`] is written with.
const NOWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// RFC 3264 §5: numbers of the origin fit a signed 64-bit integer, with room to count.
const NUMBER: u64 = (1 << 62) - 1;

/// Plain RTP, the only protocol that needs no keys.
const RTP: &str = "RTP/AVP";

const EVENTS: &str = "telephone-event";

static SPEECH: [Format; 3] = [
    Format { payload: 0, encoding: "PCMU", clock_rate: 8000, parameters: None },
    Format { payload: 8, encoding: "PCMA", clock_rate: 8000, parameters: None },
    Format { payload: 101, encoding: EVENTS, clock_rate: 8000, parameters: Some("0-16") },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3264 §5.
    #[test]
    fn an_offer_has_all_streams() {
        let local = Local::new([192, 0, 2, 1].into(), 7, 2).audio(4000);
        let expected = "v=0\r\no=- 7 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
            m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
            a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n";
        assert_eq!(String::from_utf8_lossy(&offer(&local)), expected);
    }

    /// OA-18; RFC 3264 §5: the numbers stay below 2^62.
    #[test]
    fn the_origin_fits_a_signed_integer() {
        let local = Local::new("2001:db8::1".parse().expect("an address"), u64::MAX, u64::MAX);
        let text = String::from_utf8(offer(&local)).expect("it is ASCII");
        let number = (1_u64 << 62) - 1;
        assert!(text.contains(&format!("o=- {number} {number} IN IP6 2001:db8::1\r\n")), "{text}");
        assert!(text.contains("c=IN IP6 2001:db8::1\r\n"), "{text}");
    }
}
