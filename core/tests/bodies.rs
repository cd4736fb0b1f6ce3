//! Multipart bodies and fragments of messages: the RFCs' examples, limits, and properties over arbitrary input.

use proptest::prelude::*;
use sansip::{
    HeaderValue, Limits,
    body::{
        DispositionType, FieldsError, Handling, MultipartBuf, MultipartBuildError, PartBuf,
        multipart::{self, MultipartError, Part},
        sipfrag,
    },
    syntax::HeaderId,
};

fn read<'a>(
    content_type: &'a str,
    body: &'a str,
    limits: &'a Limits,
) -> Result<Vec<Part<'a>>, MultipartError> {
    multipart::parts(content_type, body.as_bytes(), limits)?.collect()
}

/// Returns the bodies of the parts with the boundary `b`.
fn bodies(body: &str) -> Result<Vec<String>, MultipartError> {
    let limits = Limits::default();
    let parts = read("multipart/mixed;boundary=b", body, &limits)?;
    Ok(parts.iter().map(|part| String::from_utf8(part.body().to_vec()).expect("it was text")).collect())
}

/// C021, RFC 2046 §5.1.1: the example there, with preamble and epilogue.
#[test]
fn the_example_of_rfc_2046() {
    let body = "This is the preamble.  It is to be ignored, though it\r\nis a handy place.\r\n\r\n\
        --simple boundary\r\n\r\nThis is implicitly typed plain US-ASCII text.\r\n\
        It does NOT end with a linebreak.\r\n--simple boundary\r\n\
        Content-type: text/plain; charset=us-ascii\r\n\r\nThis is explicitly typed plain US-ASCII text.\r\n\
        It DOES end with a linebreak.\r\n\r\n--simple boundary--\r\n\r\nThis is the epilogue.\r\n--simple boundary\r\n";
    let limits = Limits::default();
    let parts = read("multipart/mixed; boundary=\"simple boundary\"", body, &limits).unwrap();
    let [first, second] = &parts[..] else { panic!("{parts:?}") };
    assert_eq!((first.headers().count(), first.content_type()), (0, "text/plain"));
    assert!(first.body().ends_with(b"It does NOT end with a linebreak."));
    assert_eq!(second.content_type(), "text/plain; charset=us-ascii");
    assert!(second.body().ends_with(b"It DOES end with a linebreak.\r\n"));
}

/// C021, RFC 5621 §3.1 and §8.1: a session description beside a list, each with its disposition.
#[test]
fn the_example_of_rfc_5621() {
    let body = "--boundary1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--boundary1\r\n\
        Content-Type: application/resource-lists+xml\r\nContent-Disposition: recipient-list;handling=optional\r\n\
        Content-ID: <x@y>\r\n\r\n<?xml version=\"1.0\"?>\r\n--boundary1--";
    let limits = Limits::default();
    let parts = read("multipart/mixed;boundary=\"boundary1\"", body, &limits).unwrap();
    let dispositions: Vec<_> = parts.iter().map(|part| part.disposition().unwrap()).collect();
    assert_eq!(dispositions[0].kind, DispositionType::Session);
    assert_eq!(dispositions[0].handling, Handling::Required);
    assert_eq!(dispositions[1].kind, DispositionType::Other("recipient-list"));
    assert_eq!(dispositions[1].handling, Handling::Optional);
    assert_eq!((parts[0].body(), parts[1].body()), (&b"v=0\r\n"[..], &b"<?xml version=\"1.0\"?>"[..]));
    assert_eq!((parts[0].content_id(), parts[1].content_id()), (None, Some("<x@y>")));
}

/// RFC 2046 §5.1.1: what is a boundary and what is not.
#[test]
fn boundaries_are_whole_lines() {
    let one = |body: &str| bodies(body).map(|all| all.join("|"));
    assert_eq!(one("--b\r\n\r\nx\r\n--b--").as_deref(), Ok("x"));
    assert_eq!(one("--b \t\r\n\r\nx\r\n--b-- \t").as_deref(), Ok("x"));
    assert_eq!(one("--b\r\n\r\n\r\n--b--").as_deref(), Ok(""));
    assert_eq!(one("--b\r\n\r\n--b--").as_deref(), Ok(""));
    assert_eq!(one("--b\r\n--b\r\n\r\nx\r\n--b--\r\n").as_deref(), Ok("|x"));
    assert_eq!(one("--b\r\nA: 1\r\n\r\n--b--").as_deref(), Ok(""));
    assert_eq!(one("--b\r\nA: 1\r\n--b--").as_deref(), Ok(""));
    for inner in ["--bb", "--b x", "--b--x", "-- b", " --b", "--b-", "\n--b", "\r--b", "--b\n", "---b"] {
        let body = format!("--b\r\n\r\n{inner}\r\n--b--");
        assert_eq!(one(&body).as_deref(), Ok(inner), "{inner:?}");
    }
}

#[test]
fn malformed_bodies_are_told_apart() {
    for (body, error) in [
        ("", MultipartError::Empty),
        ("x", MultipartError::Empty),
        ("--b--\r\n", MultipartError::Empty),
        ("--b", MultipartError::Empty),
        ("--b\r\n", MultipartError::Unfinished),
        ("--b\r\n\r\nx\r\n--b", MultipartError::Unfinished),
        ("--b\r\n\r\nx--b--", MultipartError::Unfinished),
        ("--b\r\nx\r\n--b--", MultipartError::Fields(FieldsError::Field)),
    ] {
        assert_eq!(bodies(body), Err(error), "{body:?}");
    }
    // What stands before the error is returned, and after it nothing.
    let limits = Limits::default();
    let body = b"--b\r\n\r\nx\r\n--b\r\nbad\r\n\r\n--b\r\n\r\ny\r\n--b--";
    let all: Vec<_> = multipart::parts("multipart/mixed;boundary=b", body, &limits).unwrap().collect();
    assert_eq!((all.len(), all[0].is_ok(), all[1].is_err()), (2, true, true));
    for (content_type, error) in [
        ("text/plain;boundary=b", MultipartError::NotMultipart),
        ("multipart", MultipartError::NotMultipart),
        ("multipart/mixed", MultipartError::Boundary),
        ("multipart/mixed;boundary", MultipartError::Boundary),
        ("multipart/mixed;boundary=\"\"", MultipartError::Boundary),
        ("multipart/mixed;boundary=\"a \"", MultipartError::Boundary),
        ("multipart/mixed;boundary=\"a\r\n b\"", MultipartError::Boundary),
    ] {
        assert_eq!(read(content_type, "--b\r\n\r\n--b--", &limits).err(), Some(error), "{content_type}");
    }
}

/// RFC 2046 §5.1.1: a boundary has at most 70 characters.
#[test]
fn boundaries_have_at_most_70_characters() {
    let limits = Limits::default();
    let with = |length: usize| {
        let boundary = "x".repeat(length);
        let body = format!("--{boundary}\r\n\r\ny\r\n--{boundary}--");
        read(&format!("multipart/mixed;boundary={boundary}"), &body, &limits).map(|parts| parts.len())
    };
    assert_eq!(with(70), Ok(1));
    assert_eq!(with(71), Err(MultipartError::Boundary));
}

/// RFC 2046 §5.1.5: without a Content-Type, a part of a digest is a message.
#[test]
fn the_subtype_gives_the_default() {
    let limits = Limits::default();
    let body = "--b\r\n\r\nx\r\n--b--";
    assert_eq!(
        read("Multipart/Digest;boundary=b", body, &limits).unwrap()[0].content_type(),
        "message/rfc822"
    );
    assert_eq!(read("multipart/unknown;boundary=b", body, &limits).unwrap()[0].content_type(), "text/plain");
}

/// Puts a body into `depth` multipart bodies, the innermost with the boundary `b1`.
fn nested(depth: usize) -> (String, String) {
    let mut content_type = "text/plain".to_owned();
    let mut body = "x".to_owned();
    for level in 1..=depth {
        body = format!("--b{level}\r\nContent-Type: {content_type}\r\n\r\n{body}\r\n--b{level}--");
        content_type = format!("multipart/mixed;boundary=b{level}");
    }
    (content_type, body)
}

#[test]
fn depth_is_limited() {
    let limits = Limits::default();
    let depth = limits.body_depth;
    let (content_type, body) = nested(depth);
    let leaves: Vec<_> = multipart::leaves(&content_type, body.as_bytes(), &limits).unwrap().collect();
    assert_eq!(leaves.len(), 1);
    assert_eq!(leaves[0].as_ref().map(Part::body), Ok(&b"x"[..]));
    let (content_type, body) = nested(depth + 1);
    let leaves: Vec<_> = multipart::leaves(&content_type, body.as_bytes(), &limits).unwrap().collect();
    assert_eq!(leaves.len(), 1);
    assert_eq!(leaves[0].as_ref().err(), Some(&MultipartError::TooDeep));
    let mut part = read(&content_type, &body, &limits).unwrap()[0];
    for _ in 1..depth {
        part = part.parts().unwrap().next().unwrap().unwrap();
    }
    assert!(part.is_multipart());
    assert_eq!(part.parts().err(), Some(MultipartError::TooDeep));
}

#[test]
fn the_number_of_parts_is_limited() {
    let with = |parts: usize| format!("{}--b--", "--b\r\n\r\nx\r\n".repeat(parts));
    let limits = Limits::default();
    let most = limits.body_parts;
    assert_eq!(bodies(&with(most)).map(|all| all.len()), Ok(most));
    assert_eq!(bodies(&with(most + 1)), Err(MultipartError::TooMany));
    // Leaves count those at all depths.
    let wrapped = |parts: usize| {
        format!("--a\r\nc: multipart/mixed;boundary=b\r\n\r\n{}\r\n--a\r\n\r\ny\r\n--a--", with(parts))
    };
    let leaves = |body: &str| {
        let leaves = multipart::leaves("multipart/mixed;boundary=a", body.as_bytes(), &limits);
        leaves.unwrap().collect::<Result<Vec<_>, _>>().map(|all| all.len())
    };
    assert_eq!(leaves(&wrapped(most - 2)), Ok(most - 1));
    assert_eq!(leaves(&wrapped(most - 1)), Err(MultipartError::TooMany));
}

/// C021, RFC 5621 §4: nested parts come in order as if they were not nested.
#[test]
fn leaves_come_in_order() {
    let limits = Limits::default();
    let body = "--a\r\n\r\n1\r\n--a\r\nContent-Type: multipart/alternative;boundary=b\r\n\r\n\
        --b\r\n\r\n2\r\n--b\r\n\r\n3\r\n--b--\r\n--a\r\n\r\n4\r\n--a--";
    let leaves = multipart::leaves("multipart/mixed;boundary=a", body.as_bytes(), &limits).unwrap();
    let bodies: Vec<_> = leaves.map(|part| part.unwrap().body()).collect();
    assert_eq!(bodies, [b"1", b"2", b"3", b"4"]);
}

/// A mebibyte of what would take hours if any of it were read again and again.
#[test]
fn hostile_bodies_take_linear_time() {
    let mut limits = Limits::default();
    (limits.body_parts, limits.head, limits.headers) = (usize::MAX, usize::MAX, usize::MAX);
    let boundary = "-".repeat(70);
    let content_type = format!("multipart/mixed;boundary=\"{boundary}\"");
    let near = format!("\r\n{}", "-".repeat(71));
    let padded = format!("\r\n{} ", "-".repeat(72));
    let open = format!("--{boundary}\r\n");
    let unit = |piece: &str| piece.repeat((1 << 20) / piece.len());
    for piece in ["-", "\r", "\n", "\r\n", " ", "\r\n--", &near, &padded, &open, "A:\r\n", "A:\r\n "] {
        for body in
            [unit(piece), open.clone() + &unit(piece), format!("{open}{}\r\n--{boundary}--", unit(piece))]
        {
            let parts = multipart::parts(&content_type, body.as_bytes(), &limits).unwrap();
            assert!(parts.count() <= body.len());
            let _ = sipfrag::parse(body.as_bytes(), &limits);
        }
    }
    let params = format!("multipart/mixed{}", ";a=\"\\\"\"".repeat(7000));
    assert_eq!(multipart::parts(&params, b"", &limits).err(), Some(MultipartError::Boundary));
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        "--b",
        "--",
        "\r\n",
        "--b\r\n",
        "\r\n--b\r\n",
        "\r\n--b--",
        "\r\n\r\n",
        "Content-Type: multipart/mixed;boundary=c",
        "--c\r\n",
        "\r\n--c--",
        "c: text/plain",
        "SIP/2.0 200 OK",
        "INVITE sip:a SIP/2.0",
        "To: <sip:a@b>",
        "l: 3",
        " ",
        "\t",
        ":",
        ",",
        "<",
        "\"",
        "\\",
        "\n",
        "\r",
        "ä",
    ];
    prop_oneof![
        5 => prop::sample::select(known.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ]
}

fn junk() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    /// What is built reads the same, whatever bytes the parts are made of.
    #[test]
    fn built_bodies_read_the_same(
        boundary in "[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z-]",
        parts in prop::collection::vec((junk(), "[!-~]{0,9}"), 1..5),
    ) {
        let mut buf = MultipartBuf::mixed(&*boundary);
        for (body, id) in &parts {
            let id = HeaderValue::try_from(&**id).expect("visible");
            let kind = HeaderValue::from_static("application/octet-stream");
            buf = buf.part(PartBuf::new(kind, body.clone()).header("Content-ID".parse().expect("a token"), id));
        }
        match buf.build() {
            Ok((content_type, body)) => {
                let limits = Limits::default();
                let read = multipart::parts(content_type.as_str(), &body, &limits).expect("multipart");
                let read: Result<Vec<_>, _> = read.collect();
                let read = read.expect("good parts");
                prop_assert_eq!(read.len(), parts.len());
                for (part, (body, id)) in read.iter().zip(&parts) {
                    prop_assert_eq!(part.body(), &body[..]);
                    prop_assert_eq!(part.content_id(), Some(&**id));
                    prop_assert_eq!(part.headers().get(HeaderId::ContentType), Some("application/octet-stream"));
                }
            }
            Err(error) => {
                prop_assert_eq!(error, MultipartBuildError::BoundaryInPart);
                let needle = format!("--{boundary}");
                let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|at| at == needle.as_bytes());
                let known = b"Content-Type: application/octet-stream\r\nContent-ID: \r\n\r\n";
                let found = parts.iter().any(|(body, id)| {
                    let part = [&known[..], id.as_bytes(), b"\r\n\r\n", body].concat();
                    holds(&part)
                });
                prop_assert!(found, "{boundary:?} does not occur");
            }
        }
    }

    #[test]
    fn nothing_panics(body in junk(), content_type in "multipart/mixed;boundary=[bc]{1,2}|.{0,30}") {
        let limits = Limits::default();
        if let Ok(leaves) = multipart::leaves(&content_type, &body, &limits) {
            for part in leaves.flatten() {
                let _ = (part.disposition(), part.content_id(), part.headers().count(), part.is_multipart());
            }
        }
        let whole = sansip::body::disposition(Some(&content_type), &content_type);
        prop_assert!(whole.is_err() || !content_type.is_empty());
    }

    /// RFC 3420 §2: what is read are pieces of the input, in order.
    #[test]
    fn fragments_are_pieces_of_the_input(bytes in junk()) {
        if let Ok(frag) = sipfrag::parse(&bytes, &Limits::default()) {
            let _ = (frag.status(), frag.start());
            let read: usize = frag.headers().map(|(name, value, _)| name.len() + value.len()).sum();
            prop_assert!(read + frag.body().len() <= bytes.len());
        }
    }
}
