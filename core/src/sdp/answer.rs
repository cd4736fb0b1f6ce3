use sdp_types::{Attribute, Media, Session, Time, attributes::Direction, attributes::RtpMap};

use super::{EVENTS, Format, Local, RTP, SdpError, Stream, describe_stream, description, empty_media, write};
use crate::base::Limits;

/// Answers an offer (RFC 3264 §6).
///
/// Each stream of `local` takes the first offered one that it fits; other offered streams are refused. An offer that
/// wants no stream, such as one that ends them all, is answered alike.
pub fn answer(offer: &[u8], local: &Local, limits: &Limits) -> Result<Vec<u8>, SdpError> {
    let (session, wanted) = answer_with(offer, local, local.streams.iter().collect(), limits)?;
    if wanted && session.medias.iter().all(|media| media.port == 0) {
        return Err(SdpError::NothingInCommon);
    }
    Ok(write(&session))
}

/// Answers an offer by refusing each of its streams (RFC 3264 §6), for a session whose signalling alone counts.
pub fn answer_without_media(offer: &[u8], local: &Local, limits: &Limits) -> Result<Vec<u8>, SdpError> {
    answer_with(offer, local, Vec::new(), limits).map(|(session, _)| write(&session))
}

/// Answers with the streams that are `free`, and tells whether any was wanted.
fn answer_with(
    offer: &[u8],
    local: &Local,
    mut free: Vec<&Stream>,
    limits: &Limits,
) -> Result<(Session, bool), SdpError> {
    description::check(offer, limits)?;
    let offer = Session::parse(offer).map_err(|error| SdpError::Malformed(error.to_string()))?;
    let default = direction(&offer.attributes).unwrap_or_default();
    let mut session = local.describe();
    for offered in &offer.medias {
        session.medias.push(take(offered, default, &mut free).unwrap_or_else(|| refuse(offered)));
    }
    let wanted = offer.medias.iter().any(|media| media.port != 0);
    // RFC 3264 §6: the time is that of the offer.
    session.times = offer.times;
    if session.times.is_empty() {
        session.times.push(Time::new(0, 0));
    }
    Ok((session, wanted))
}

/// Accepts a stream with one of those that are left, or returns `None`.
fn take(offered: &Media, default: Direction, free: &mut Vec<&Stream>) -> Option<Media> {
    let plain = offered.proto.eq_ignore_ascii_case(RTP) && offered.num_ports.is_none_or(|ports| ports == 1);
    if offered.port == 0 || !plain {
        return None;
    }
    let fits = |stream: &&Stream| {
        stream.media.eq_ignore_ascii_case(&offered.media) && has_speech(common(offered, stream))
    };
    let stream = free.remove(free.iter().position(fits)?);
    let mut media = describe_stream(stream, &offered.proto, common(offered, stream));
    let direction = direction(&offered.attributes).unwrap_or(default).reverse();
    if direction != Direction::default() {
        media.attributes.push(Attribute::new(direction));
    }
    Some(media)
}

/// Refuses a stream: its formats stay, since there has to be one.
fn refuse(offered: &Media) -> Media {
    let mut media = empty_media(&offered.media, 0, &offered.proto);
    media.fmt.clone_from(&offered.fmt);
    media
}

/// Returns what both sides have, in the offer's order and with its payload numbers.
fn common<'a>(offered: &'a Media, stream: &Stream) -> impl Iterator<Item = (u8, &'static Format)> + use<'a> {
    let formats = stream.formats;
    offered.fmt.split_ascii_whitespace().filter_map(move |payload| {
        let payload = payload.parse().ok()?;
        let mapped = offered.attributes_typed::<RtpMap>().flatten().find(|map| map.payload_type == payload);
        let same = |format: &&Format| match &mapped {
            Some(map) => is_same(map, format),
            // RFC 3551 §6: numbers below 96 need no rtpmap.
            None => payload < 96 && format.payload == payload,
        };
        Some((payload, formats.iter().find(same)?))
    })
}

fn is_same(map: &RtpMap, format: &Format) -> bool {
    map.encoding_name.eq_ignore_ascii_case(format.encoding)
        && map.clock_rate == format.clock_rate
        && map.encoding_params.as_deref().is_none_or(|channels| channels == "1")
}

/// Digits alone are no conversation.
fn has_speech(mut formats: impl Iterator<Item = (u8, &'static Format)>) -> bool {
    formats.any(|(_, format)| format.encoding != EVENTS)
}

fn direction(attributes: &[Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|attribute| attribute.attribute.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> Local {
        Local::new([192, 0, 2, 9].into(), 5, 1).audio(4000)
    }

    fn offer_with(lines: &str) -> String {
        let head = "v=0\r\no=alice 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
        format!("{head}{}", lines.replace('\n', "\r\n"))
    }

    /// RFC 3264 §6: a refused stream keeps its place and a format, and has port zero.
    #[test]
    fn a_session_may_have_no_media() {
        let offer =
            offer_with("m=audio 9 UDP/TLS/RTP/SAVPF 111 0\na=mid:0\nm=video 9 UDP/TLS/RTP/SAVPF 96\n");
        let limits = Limits::default();
        assert_eq!(answer(offer.as_bytes(), &local(), &limits), Err(SdpError::NothingInCommon));
        let bytes = answer_without_media(offer.as_bytes(), &local(), &limits).expect("a good offer");
        let text = String::from_utf8(bytes).expect("it is ASCII");
        let media = "m=audio 0 UDP/TLS/RTP/SAVPF 111 0\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\n";
        assert!(text.ends_with(media), "{text}");
        assert!(answer_without_media(b"hello", &local(), &limits).is_err());
    }

    fn answer_to(lines: &str) -> Result<String, SdpError> {
        let bytes = answer(offer_with(lines).as_bytes(), &local(), &Limits::default())?;
        Ok(String::from_utf8(bytes).expect("it is ASCII"))
    }

    fn media_lines(answer: &str) -> Vec<&str> {
        answer.lines().filter(|line| line.starts_with("m=")).collect()
    }

    /// OA-17: number, order, type and protocol of streams stay; what is not taken has port 0, and so has what had it.
    #[test]
    fn streams_mirror_the_offer() {
        let answer = answer_to(
            "m=video 5000 RTP/AVP 96 97\na=rtpmap:96 H264/90000\nm=audio 0 RTP/AVP 0\nm=audio 5002 RTP/AVP 0\n\
             m=audio 5004 RTP/AVP 8\nm=application 5006 UDP/DTLS/SCTP webrtc-datachannel\n",
        )
        .expect("one stream fits");
        let expected = [
            "m=video 0 RTP/AVP 96 97",
            "m=audio 0 RTP/AVP 0",
            "m=audio 4000 RTP/AVP 0",
            "m=audio 0 RTP/AVP 8",
            "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
        ];
        assert_eq!(media_lines(&answer), expected);
        assert!(answer.starts_with("v=0\r\no=- 5 1 IN IP4 192.0.2.9\r\n"), "an origin of its own: {answer}");
        assert!(answer.contains("\r\nc=IN IP4 192.0.2.9\r\n"), "{answer}");
    }

    /// OA-17: the time is the offer's, whatever it is.
    #[test]
    fn the_time_is_that_of_the_offer() {
        let offer = offer_with("m=audio 5000 RTP/AVP 0\n").replace("t=0 0", "t=3000000000 3000003600");
        let bytes = answer(offer.as_bytes(), &local(), &Limits::default()).expect("it fits");
        assert!(String::from_utf8_lossy(&bytes).contains("\r\nt=3000000000 3000003600\r\n"));
        let timeless = offer_with("m=audio 5000 RTP/AVP 0\n").replace("t=0 0\r\n", "");
        let bytes = answer(timeless.as_bytes(), &local(), &Limits::default()).expect("it fits");
        assert!(String::from_utf8_lossy(&bytes).contains("\r\nt=0 0\r\n"));
    }

    /// OA-19: directions are mirrored, those of the session hold where a stream says nothing, and none is sendrecv.
    #[test]
    fn directions_are_mirrored() {
        let audio = "m=audio 5000 RTP/AVP 0\n";
        let pairs = [
            ("sendonly", Some("recvonly")),
            ("recvonly", Some("sendonly")),
            ("inactive", Some("inactive")),
            ("sendrecv", None),
        ];
        for (offered, answered) in pairs {
            for lines in [
                format!("{audio}a={offered}\n"),
                format!("a={offered}\n{audio}"),
                format!("a=inactive\n{audio}a={offered}\n"),
            ] {
                let answer = answer_to(&lines).expect("it fits");
                let found = ["sendonly", "recvonly", "inactive", "sendrecv"]
                    .into_iter()
                    .find(|direction| answer.contains(&format!("\r\na={direction}\r\n")));
                assert_eq!(found, answered, "{lines}");
            }
        }
        assert!(!answer_to(audio).expect("it fits").contains("a=send"));
    }

    /// OA-20: common formats in the offer's order, under the offer's numbers; a number with another meaning is none of ours.
    #[test]
    fn formats_are_those_in_common() {
        let answer = answer_to(
            "m=audio 5000 RTP/AVP 96 8 0 97 98\na=rtpmap:96 opus/48000/2\na=rtpmap:97 pcmu/8000/1\n\
             a=rtpmap:98 telephone-event/8000\na=rtpmap:0 G722/8000\n",
        )
        .expect("one fits");
        assert_eq!(media_lines(&answer), ["m=audio 4000 RTP/AVP 8 97 98"]);
        let maps: Vec<_> = answer.lines().filter(|line| line.starts_with("a=")).collect();
        assert_eq!(
            maps,
            [
                "a=rtpmap:8 PCMA/8000",
                "a=rtpmap:97 PCMU/8000",
                "a=rtpmap:98 telephone-event/8000",
                "a=fmtp:98 0-16"
            ]
        );
    }

    /// OA-15, OA-20: without a common format there is nothing to answer, whatever the reason.
    #[test]
    fn nothing_in_common_is_an_error() {
        for lines in [
            "m=audio 5000 RTP/AVP 3 18\n",
            "m=audio 5000 RTP/AVP 101\na=rtpmap:101 telephone-event/8000\n",
            "m=audio 5000 RTP/SAVP 0\n",
            "m=audio 5000/2 RTP/AVP 0\n",
            "m=audio 5000 RTP/AVP 0\na=rtpmap:0 PCMU/16000\n",
            "m=image 5000 udptl t38\n",
        ] {
            assert_eq!(answer_to(lines), Err(SdpError::NothingInCommon), "{lines}");
        }
    }

    /// OA-17, RFC 3264 §5, §8.2: an offer may have no stream, or end them all.
    #[test]
    fn no_stream_wanted_is_no_error() {
        assert!(media_lines(&answer_to("").expect("none is wanted")).is_empty());
        let ended = answer_to("m=audio 0 RTP/AVP 0\n").expect("none is wanted");
        assert_eq!(media_lines(&ended), ["m=audio 0 RTP/AVP 0"]);
    }

    #[test]
    fn streams_are_limited() {
        let limits = Limits { streams: 3, ..Limits::default() };
        let answer = |count| {
            answer(offer_with(&"m=audio 5000 RTP/AVP 0\n".repeat(count)).as_bytes(), &local(), &limits)
        };
        assert!(answer(3).is_ok());
        assert_eq!(answer(4), Err(SdpError::TooManyStreams(4)));
    }

    #[test]
    fn what_is_no_description_is_refused() {
        for bytes in [&b""[..], b"hello", b"v=0\r\nm=audio x RTP/AVP 0\r\n", b"\xff\xfe"] {
            let refused = answer(bytes, &local(), &Limits::default());
            assert!(matches!(refused, Err(SdpError::Malformed(_))), "{refused:?}");
        }
    }
}
