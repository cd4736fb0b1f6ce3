//! Session descriptions, and how one answers another (RFC 3264, RFC 8866).
//!
//! The model and the codec are those of `sdp-types`; what is here chooses.

mod answer;

use std::net::IpAddr;

use sdp_types::{Attribute, Connection, Media, Origin, Session, Time, attributes::RtpMap};

pub use answer::{SdpError, answer};

/// What this side brings into a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    address: IpAddr,
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
        let origin = Origin::with_ip_addr(self.session, self.version, self.address);
        let mut session = Session::new(origin, "-");
        session.connection = Some(Connection::from_ip_addr(self.address));
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
