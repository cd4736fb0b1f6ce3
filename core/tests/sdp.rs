//! Session descriptions: what is changed, what stays byte for byte, and limits.

use std::cmp::Ordering;

use proptest::{prelude::*, sample::Index};
use sansip::{
    Limits,
    sdp::{Description, Direction, LOCAL_ADDRESS, Local, SdpError, answer, sdp_types::Session},
    syntax::Message,
};

/// Lines that `sdp-types` drops or writes in another way: unknown kinds, odd spaces, `b=` among attributes.
const ODD: &str = "v=0\r\no=-  1 7   IN IP4 192.0.2.1\r\ns= \r\nx=unknown\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    r=604800 3600 0 90000\r\nk=clear:x\r\na=group:BUNDLE a v\r\n\
    m=audio 49170/2  RTP/AVP 0 96  97 101\r\ni=x\r\na=mid:a\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n\
    b=AS:64\r\na=rtcp-fb:96 nack\r\na=rtpmap:97 rtx/48000\r\na=fmtp:97 apt=96\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=candidate:1 1 UDP 2130706431 192.0.2.1 49170 typ host\r\na=rtcp-fb:* ccm fir\r\na=recvonly \r\n\
    m=video 0 RTP/AVP 31\r\na=mid:v\r\n\
    m=application 5000 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d\r\na=sctp-port:5000";

fn parse(text: &str) -> Description {
    Description::parse(text.as_bytes(), &Limits::default()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// C023, TU.04: what is read is written again, in every form of line end.
#[test]
fn the_round_trip_is_exact() {
    for text in [ODD.to_owned(), format!("{ODD}\r\n"), ODD.replace("\r\n", "\n"), format!("{ODD}\r\n\r\n")] {
        assert_eq!(parse(&text).to_string(), text);
        assert_eq!(parse(&text).to_bytes(), text.as_bytes());
    }
    // The model alone would not do.
    let mut model = Vec::new();
    Session::parse(ODD.as_bytes()).expect("it is one").write(&mut model).expect("a Vec takes everything");
    assert_ne!(model, ODD.as_bytes());
}

/// C023: what is left when the last line goes is read again as it is, though a blank line without an end would be none.
#[test]
fn the_last_line_can_go() {
    for (blank, left) in [("", "m=audio 1 RTP/AVP 0"), ("\r\n", "m=audio 1 RTP/AVP 0\r\n")] {
        let head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n";
        let mut description = parse(&format!("{head}m=audio 1 RTP/AVP 0\r\n{blank}a=last"));
        assert_eq!(description.remove_attributes(0, "last"), Ok(vec![String::new()]));
        assert_eq!(description.to_string(), format!("{head}{left}"));
        assert_eq!(parse(&description.to_string()), description);
    }
}

/// C022: the Content-Type tells what a body is; one that cannot be read is an error of its own, and stays as it is.
#[test]
fn bodies_are_read_by_their_type() {
    let of = |fields: &str, body: &str| {
        let text = format!(
            "INFO sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\nf: <sip:d@e>;tag=1\r\nt: <sip:a@b>\r\n\
             i: x\r\nCSeq: 1 INFO\r\n{fields}\r\n{body}"
        );
        let message = Message::parse(text.as_bytes(), &Limits::default()).expect("a good message");
        assert_eq!(message.view().body(), body.as_bytes());
        Description::of(message.view(), &Limits::default())
    };
    assert_eq!(of("c: Application/SDP;a=b\r\n", ODD), Some(Ok(parse(ODD))));
    assert_eq!(of("c: application/sdp\r\ne: identity\r\n", ODD), Some(Ok(parse(ODD))));
    assert!(matches!(of("c: application/sdp\r\n", "hello"), Some(Err(SdpError::Malformed(_)))));
    assert_eq!(of("c: application/sdp\r\ne: gzip\r\n", "xyz"), None);
    assert_eq!(of("c: text/plain\r\n", ODD), None);
    assert_eq!(of("c: application/sdp\r\n", ""), None);
    assert_eq!(of("", ODD), None);
}

/// C024; RFC 3264 §8: one more, nothing else changed, and comparable only within the session.
#[test]
fn versions_grow_by_one() {
    let before = parse(ODD);
    let mut after = before.clone();
    after.increment().expect("there is room");
    assert_eq!(after.to_string(), ODD.replace("1 7   IN", "1 8   IN"));
    assert_eq!((before.version(), after.version()), (Some(7), Some(8)));
    assert_eq!(after.compare_version(&before), Some(Ordering::Greater));
    assert_eq!(before.compare_version(&after), Some(Ordering::Less));
    assert_eq!(before.compare_version(&before), Some(Ordering::Equal));
    for other in ["o=a  1 7   IN IP4 192.0.2.1", "o=-  2 7   IN IP4 192.0.2.1", "o=-  1 7   IN IP4 192.0.2.2"]
    {
        let other = parse(&ODD.replace("o=-  1 7   IN IP4 192.0.2.1", other));
        assert_eq!(after.compare_version(&other), None, "another session");
    }
    let mut same_digits = parse(&ODD.replace("o=-  1 7", "o=7 7 7"));
    same_digits.increment().expect("there is room");
    assert!(same_digits.to_string().contains("o=7 7 8   IN"));
    let mut last = parse(&ODD.replace("1 7", "1 18446744073709551615"));
    assert_eq!(last.increment().err(), Some(SdpError::LastVersion));
    let mut none = parse(&ODD.replace("o=-  1 7   IN IP4 192.0.2.1\r\n", ""));
    assert_eq!((none.version(), none.increment().err()), (None, Some(SdpError::NoOrigin)));
}

/// C025; RFC 3264 §8.4: who listened only goes quiet, all others only send; what is refused stays.
#[test]
fn holding_keeps_the_rest() {
    let mut held = parse(ODD);
    let token = held.hold();
    let expected = ODD
        .replace("a=recvonly ", "a=inactive")
        .replace("a=sctp-port:5000", "a=sctp-port:5000\r\na=sendonly");
    assert_eq!(held.to_string(), expected);
    let directions: Vec<_> = (0..3).map(|stream| held.direction(stream)).collect();
    assert_eq!(directions, [Ok(Direction::Inactive), Ok(Direction::SendRecv), Ok(Direction::SendOnly)]);
    held.increment().expect("there is room").resume(&token);
    assert_eq!(held.to_string(), ODD.replace("1 7   IN", "1 8   IN"));

    for (session, stream) in
        [("", ""), ("a=sendonly\r\n", ""), ("a=inactive\r\n", "a=sendrecv\r\n"), ("", "a=recvonly\r\n")]
    {
        let text =
            format!("v=0\r\no=- 1 1 IN IP4 a\r\ns=-\r\nt=0 0\r\n{session}m=audio 5 RTP/AVP 0\r\n{stream}");
        for direction in [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
        {
            let mut changed = parse(&text);
            changed.direct_all(direction).expect("there is room");
            assert_eq!(parse(&changed.to_string()).direction(0), Ok(direction), "{text}");
            assert!(changed.to_string().starts_with(text.trim_end_matches(stream)), "{text}");
            assert!(changed.to_string().matches(&format!("a={direction}\r\n")).count() <= 2);
        }
        assert_eq!(parse(&text).direction(1), Err(SdpError::NoStream(1)));
    }
}

/// C027; RFC 8839 §5.1, RFC 8840: candidates of each stream, found by its identification or its number.
#[test]
fn candidates_come_and_go() {
    const MORE: &str = "2 1 UDP 1694498815 198.51.100.7 40000 typ srflx raddr 192.0.2.1 rport 49170";
    let mut description = parse(ODD);
    assert_eq!(
        ["a", "v", "d", "x"].map(|mid| description.stream_of_mid(mid)),
        [Some(0), Some(1), Some(2), None]
    );
    description
        .add_candidate(1, MORE)
        .expect("there is room")
        .add_attribute(1, "end-of-candidates")
        .expect("as well");
    let expected =
        ODD.replace("a=mid:v\r\n", &format!("a=mid:v\r\na=candidate:{MORE}\r\na=end-of-candidates\r\n"));
    assert_eq!(description.to_string(), expected);
    let found = |description: &Description, stream| {
        description.candidates(stream).expect("a stream").map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(found(&description, 0), ["1 1 UDP 2130706431 192.0.2.1 49170 typ host"]);
    assert_eq!(found(&description, 1), [MORE]);
    assert!(found(&description, 2).is_empty());
    assert_eq!(description.remove_candidates(1).expect("a stream"), [MORE]);
    assert_eq!(description.remove_attributes(1, "end-of-candidates").expect("a stream"), [""]);
    assert_eq!(description.to_string(), ODD);
    // At the end of a description without a last line break.
    description.add_candidate(2, MORE).expect("there is room");
    assert_eq!(description.to_string(), format!("{ODD}\r\na=candidate:{MORE}"));
    assert_eq!(description.remove_candidates(2).expect("a stream"), [MORE]);
    assert_eq!(description.to_string(), ODD);
    for bad in ["", "1\r\na=x", "1\n", "\0"] {
        assert!(matches!(description.add_attribute(0, bad).err(), Some(SdpError::NotOneLine(_))), "{bad:?}");
    }
    assert_eq!(description.add_candidate(3, MORE).err(), Some(SdpError::NoStream(3)));
    assert_eq!(description.to_string(), ODD, "what is refused changes nothing");
}

/// C028, TU.05: formats with what is said of them; a repair goes with what it repairs.
#[test]
fn codecs_are_listed_kept_and_sorted() {
    let mut description = parse(ODD);
    let listed: Vec<_> = description.codecs(0).expect("a stream");
    let listed: Vec<_> = listed.iter().map(|codec| (codec.payload, codec.name(), codec.parameters)).collect();
    assert_eq!(
        listed,
        [
            ("0", "PCMU", None),
            ("96", "opus", Some("useinbandfec=1")),
            ("97", "rtx", Some("apt=96")),
            ("101", "telephone-event", None)
        ]
    );
    assert_eq!(description.codecs(1).map(|codecs| codecs[0].encoding), Ok(Some("H261/90000")));
    assert_eq!(description.codecs(2).map(|codecs| codecs[0].encoding), Ok(None), "not RTP");

    description.sort_codecs(0, |codec| !codec.is("telephone-event")).expect("a stream");
    assert_eq!(
        description.to_string(),
        ODD.replace("49170/2  RTP/AVP 0 96  97 101", "49170/2 RTP/AVP 101 0 96 97")
    );
    let mut same = parse(ODD);
    same.sort_codecs(0, |_| 0).and_then(|same| same.retain_codecs(0, |_| true)).expect("a stream");
    assert_eq!(same.to_string(), ODD, "an order that is right already costs no byte");

    let mut no_opus = parse(ODD);
    no_opus.retain_codecs(0, |codec| !codec.is("OPUS")).expect("others are left");
    let expected = ODD
        .replace("49170/2  RTP/AVP 0 96  97 101", "49170/2 RTP/AVP 0 101")
        .replace("a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n", "")
        .replace("a=rtcp-fb:96 nack\r\na=rtpmap:97 rtx/48000\r\na=fmtp:97 apt=96\r\n", "");
    assert_eq!(no_opus.to_string(), expected);
    assert_eq!(no_opus.retain_codecs(0, |_| false).err(), Some(SdpError::NoFormatLeft));
    assert_eq!(no_opus.to_string(), expected);

    let mut added = no_opus.clone();
    added.add_codec(0, 96, "G7221/16000", Some("bitrate=24000")).expect("it is free");
    let codec = added.codecs(0).expect("a stream")[2];
    assert_eq!((codec.encoding, codec.parameters), (Some("G7221/16000"), Some("bitrate=24000")));
    assert_eq!(added.add_codec(0, 96, "x/1", None).err(), Some(SdpError::PayloadTaken(96)));
    assert!(matches!(added.add_codec(0, 98, "x\r\n", None).err(), Some(SdpError::NotOneLine(_))));
    added.retain_codecs(0, |codec| codec.payload != "96").expect("others are left");
    assert_eq!(added, no_opus);
}

/// C026: a description without an address of its own names the one that stands for it.
#[test]
fn an_unaddressed_description_says_so() {
    let description =
        Description::new(&Local::unaddressed(3, 4).audio(4000), &Limits::default()).expect("it is one");
    let expected = format!(
        "v=0\r\no=- 3 4 IN IP4 {LOCAL_ADDRESS}\r\ns=-\r\nc=IN IP4 {LOCAL_ADDRESS}\r\nt=0 0\r\nm=audio"
    );
    assert!(description.to_string().starts_with(&expected), "{description}");
    let model = description.to_model().expect("it is one");
    assert_eq!(Description::from_model(&model, &Limits::default()), Ok(description));
}

/// RFC 8866 §9: one space parts fields, and nothing else does. Where others would find other fields than this side,
/// changes would be to something else than what they read.
#[test]
fn fields_are_parted_by_spaces_alone() {
    let text = |origin: &str, media: &str| {
        format!(
            "v=0\r\no={origin}\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm={media}\r\na=rtpmap:0 PCMU/8000\r\n"
        )
    };
    let parsed = |text: &str| Description::parse(text.as_bytes(), &Limits::default());
    let (origin, media) = ("- 1 1 IN IP4 192.0.2.1", "audio 4000 RTP/AVP 0 8");
    assert!(parsed(&text(origin, media)).is_ok());
    for odd in [
        "au\tdio 4000 RTP/AVP 0 8",
        " 4000 RTP/AVP 0 8",
        "audio 0  ",
        "audio 4000 RTP/\x0cAVP 0 8",
        "audio 4000 RTP/AVP 0\t8",
    ] {
        assert!(matches!(parsed(&text(origin, odd)), Err(SdpError::Malformed(_))), "{odd:?}");
    }
    for odd in ["-\t1 1 IN IP4 192.0.2.1", "- 1 1\t IN IP4 192.0.2.1", "a\tb 1 1 IN IP4 192.0.2.1"] {
        assert!(matches!(parsed(&text(odd, media)), Err(SdpError::Malformed(_))), "{odd:?}");
    }
    assert!(parsed("v=0\na=recvonly\nm=audio 0  \n").is_err(), "no protocol");
}

/// Limits::streams, Limits::sdp_lines and Limits::formats, at the limit and one over, read and added.
#[test]
fn counts_are_limited() {
    let mut limits = Limits::default();
    limits.sdp_lines = ODD.lines().count();
    limits.streams = 3;
    limits.formats = 4;
    let read = |limits: &Limits| Description::parse(ODD.as_bytes(), limits);
    let answered = |limits: &Limits| {
        answer(ODD.as_bytes(), &Local::new([192, 0, 2, 9].into(), 1, 1).audio(4000), limits).err()
    };
    let mut at = read(&limits).expect("it is at every limit");
    assert_eq!(answered(&limits), Some(SdpError::NothingInCommon), "it is looked at");
    let lines = limits.sdp_lines + 1;
    assert_eq!(at.add_candidate(0, "x").err(), Some(SdpError::TooManyLines(lines)));
    assert_eq!(at.add_codec(1, 98, "x/1", None).err(), Some(SdpError::TooManyLines(lines)));
    at.hold();
    assert_eq!(at.direction(2), Ok(Direction::SendRecv), "there was no room");
    limits.sdp_lines += 1;
    let mut roomy = read(&limits).expect("it is one");
    assert_eq!(roomy.add_codec(0, 98, "x/1", None).err(), Some(SdpError::TooManyFormats(5)));
    assert!(roomy.add_codec(1, 98, "x/1", None).is_ok());

    limits.sdp_lines -= 2;
    assert_eq!(read(&limits).err(), Some(SdpError::TooManyLines(lines - 1)));
    assert_eq!(answered(&limits), Some(SdpError::TooManyLines(lines - 1)));
    limits.sdp_lines += 1;
    limits.streams = 2;
    assert_eq!(
        (read(&limits).err(), answered(&limits)),
        (Some(SdpError::TooManyStreams(3)), Some(SdpError::TooManyStreams(3)))
    );
    limits.streams = 3;
    limits.formats = 3;
    assert_eq!(
        (read(&limits).err(), answered(&limits)),
        (Some(SdpError::TooManyFormats(4)), Some(SdpError::TooManyFormats(4)))
    );
}

/// A description of known and odd lines, with either line end and with or without the last one.
fn description() -> impl Strategy<Value = String> {
    let attribute = prop::sample::select(vec![
        "a=sendonly",
        "a=recvonly",
        "a=inactive",
        "a=sendrecv",
        "a=ptime:20",
        "a=rtpmap:96 opus/48000/2",
        "a=fmtp:96 x=1",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
        "a=candidate:1 1 UDP 1 192.0.2.1 9 typ host",
        "a=x",
        "q=what",
        "a=mid:1",
        "a=rtcp-fb:96 nack",
        "a=rtcp-fb:* nack",
        "y=unknown",
    ]);
    let attributes = || prop::collection::vec(attribute.clone(), 0..8);
    let media = (
        prop::sample::select(vec![
            "m=audio 4000 RTP/AVP 0",
            "m=audio 0 RTP/AVP 0 96",
            "m=video 1/2 RTP/SAVPF 96 97 0",
        ]),
        attributes(),
    );
    let head = (any::<u32>(), attributes());
    (head, prop::collection::vec(media, 0..4), any::<bool>(), any::<bool>()).prop_map(
        |((version, head), media, lf, cut)| {
            let mut lines = vec![
                "v=0".to_owned(),
                format!("o=- 1 {version} IN IP4 192.0.2.1"),
                "s=-".into(),
                "t=0 0".into(),
            ];
            lines.extend(head.iter().filter(|line| line.starts_with("a=")).map(|line| (*line).to_owned()));
            lines.extend(media.into_iter().flat_map(|(media, attributes)| {
                std::iter::once(media).chain(attributes).map(str::to_owned).collect::<Vec<_>>()
            }));
            let end = if lf { "\n" } else { "\r\n" };
            lines.join(end) + if cut { "" } else { end }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 500, ..ProptestConfig::default() })]

    /// C023, C025: to hold and to resume is to do nothing.
    #[test]
    fn hold_and_resume_is_identity(text in description()) {
        let mut changed = parse(&text);
        let held = changed.hold();
        for stream in 0..changed.streams() {
            let off = changed.media(stream).expect("a stream").contains(" 0 RTP");
            prop_assert!(off || !changed.direction(stream).expect("a stream").has_recv());
        }
        prop_assert_eq!(&parse(&changed.to_string()), &changed);
        changed.resume(&held);
        prop_assert_eq!(changed.to_string(), text);
    }

    /// C024: each increment is greater than all before, and changes one line.
    #[test]
    fn versions_strictly_increase(text in description(), count in 1_usize..5) {
        let first = parse(&text);
        let mut last = first.clone();
        for _ in 0..count {
            let before = last.clone();
            last.increment().expect("there is room");
            prop_assert_eq!(last.compare_version(&before), Some(Ordering::Greater));
        }
        let again = parse(&last.to_string());
        prop_assert_eq!(again.version(), first.version().map(|version| version + count as u64));
        let (a, b) = (first.to_string(), again.to_string());
        let differing = a.split_inclusive('\n').zip(b.split_inclusive('\n')).filter(|(a, b)| a != b).count();
        prop_assert_eq!(differing, 1);
    }

    /// C023, C028: what goes is about the codec that goes, and all other lines stay byte for byte.
    #[test]
    fn edits_keep_other_lines(text in description(), which in any::<Index>()) {
        let mut changed = parse(&text);
        prop_assume!(changed.streams() > 0);
        let stream = which.index(changed.streams());
        let had = changed.codecs(stream).expect("a stream").iter().any(|codec| codec.payload == "96");
        let gone = changed.retain_codecs(stream, |codec| codec.payload != "96").is_ok();
        changed.add_candidate(stream, "9 9 UDP 1 a 1 typ host").expect("there is room");
        let again = parse(&changed.to_string());
        prop_assert_eq!(&again, &changed);
        if had && gone {
            prop_assert!(again.codecs(stream).expect("a stream").iter().all(|codec| codec.payload != "96"));
            prop_assert!(!again.attributes(stream).expect("a stream").any(|line| line.starts_with("rtpmap:96 ")));
        }
        let may_go = |line: &str| line.starts_with("m=") || line.contains(":96 ") || line.contains(":97 ");
        let left = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !may_go(line) && !line.contains(":9 9 ")).map(str::to_owned).collect()
        };
        prop_assert_eq!(left(&text), left(&changed.to_string()));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), tail in description()) {
        for bytes in [bytes.clone(), [b"v=0\r\n".as_slice(), &bytes].concat(), [tail.as_bytes(), &bytes].concat()] {
            if let Ok(mut description) = Description::parse(&bytes, &Limits::default()) {
                prop_assert_eq!(description.to_bytes(), bytes);
                let held = description.hold();
                description.resume(&held);
                let _ = description.increment().err();
                for stream in 0..description.streams() {
                    let _ = description.retain_codecs(stream, |codec| codec.payload.len() > 1).err();
                    let _ = description.remove_candidates(stream);
                }
            }
        }
    }
}
