//! Properties of the parser over arbitrary and mutated input, and its limits.

use bytes::BytesMut;
use proptest::{prelude::*, sample::Index};
use sansip::{
    Limits,
    syntax::{
        self, CSeq, Edit, EditError, HeaderId, HeaderName, Host, Message, Method, NameAddr,
        ParseErrorKind as Kind, StatusCode, Uri, Via, View,
    },
};

const INVITE: &str = "INVITE sip:bob@biloxi.example.com;transport=tcp SIP/2.0\r\n\
    Via: SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bKnashds8;rport, SIP/2.0/TCP b;branch=\"x\"\r\n\
    v: SIP / 2.0 / TLS c : 5061 ; ttl=1\r\n\
    Route: <sip:p1.example.com;lr>,\"a, b\" <sip:p2.example.com;lr>\r\n\
    Record-Route: <sip:p3.example.com;lr>\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice \\\" <x>\" <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n\
    To: Bob B\r\n\t<sip:bob@biloxi.example.com>\r\n\
    i: 3848276298220188511@atlanta.example.com\r\n\
    CSeq: 1 INVITE\r\n\
    m: sip:alice@192.0.2.33;expires=60\r\n\
    Supported: 100rel, timer\r\n\
    X-Other: anything\r\n\
    Content-Type: application/sdp\r\n\
    l: 5\r\n\r\nv=0\r\n";

const RESPONSE: &str = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1;received=192.0.2.1\r\n\
    f: <sip:a@b>;tag=1\r\nt: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 2 OPTIONS\r\nContact: *\r\nl:0\r\n\r\n";

fn limits() -> Limits {
    Limits::default()
}

fn with(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = limits();
    change(&mut limits);
    limits
}

/// Asks a message for everything.
fn look(view: View<'_>) {
    let _ = (view.start_line(), view.method(), view.request_uri(), view.status(), view.reason());
    let _ = (view.call_id(), view.from_tag(), view.to_tag(), view.cseq_number(), view.cseq_method());
    let _ = (view.via().host(), view.via().rport(), view.via().ttl(), view.branch(), view.max_forwards());
    let addresses = view.contacts().chain(view.routes()).chain(view.record_routes());
    for address in addresses.chain([view.from(), view.to()]) {
        let _ = (address.display().map(syntax::unquote), address.params().count(), address.tag());
        if let Ok(uri) = address.uri() {
            let _ = (uri.user(), uri.host(), uri.port(), uri.params().count(), uri.header_pairs().count());
            assert!(uri.is_equivalent(&uri), "{uri}");
        }
    }
    for (name, value, id) in view.fields() {
        let _ = (view.header_named(name), view.list(id).count(), view.has_token(id, value));
        let _ = view.addresses(id).count();
    }
}

/// Reads bytes at both levels and compares them.
fn read(bytes: &[u8]) {
    let peeked = syntax::call_id(bytes);
    let split = Message::split(bytes, &limits());
    match Message::parse(bytes, &limits()) {
        Ok(message) => {
            let view = message.view();
            look(view);
            assert_eq!(peeked, Some(view.call_id().as_bytes()));
            assert_eq!(view.header(HeaderId::CallId), Some(view.call_id()));
            assert!(
                split
                    .is_ok_and(|mut split| split.check().is_ok() && split.view().call_id() == view.call_id())
            );
            let rows = view.headers(HeaderId::Via).count();
            assert!(view.vias().count() >= rows && rows > 0);
            assert_eq!(view.vias().next(), Some(view.via()));
            // What is kept is what arrived, and reads the same.
            let owned = message.to_request().map(|owned| owned.to_bytes());
            let owned = owned.or_else(|| message.to_response().map(|owned| owned.to_bytes()));
            let owned = owned.expect("a checked message is one of the two");
            let again = Message::parse(&owned, &limits()).expect("it was good before");
            assert_eq!(again.view().head_text(), view.head_text());
            assert_eq!(again.view().body(), view.body());
        }
        Err(refused) => {
            assert!(refused.error.offset <= bytes.len());
            let _ = (refused.error.to_string(), refused.error.reason().to_string(), refused.error.status());
            if let Some(message) = refused.message {
                look(message.view());
                assert!(message.to_request().is_none() && message.to_response().is_none());
                let mut out = bytes::BytesMut::new();
                let stamp = syntax::ViaStamp { received: Some([192, 0, 2, 1].into()), rport: Some(1) };
                let status = StatusCode::BAD_REQUEST;
                syntax::Encoder::response(&mut out, message.view(), status, None, Some("t"), stamp).end(None);
            }
        }
    }
}

/// A piece of text that matters to some grammar.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "\r\n",
        "\r\n ",
        "\r",
        "\n",
        "\r\n\r\n",
        ":",
        ";",
        ",",
        "<",
        ">",
        "\"",
        "\\",
        "=",
        "@",
        "*",
        "[",
        "]",
        "%",
        " ",
        "\t",
        "\0",
        "ä",
        "sip:",
        "SIP/2.0",
        "Via",
        "v:",
        "l: 99",
        "tag=",
        ";;",
        "0",
        "99999999999",
        "?",
    ]);
    prop_oneof![
        4 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read(&bytes);
    }

    #[test]
    fn mutated_messages_do_not_panic(
        request: bool,
        edits in prop::collection::vec((any::<Index>(), 0usize..6, piece()), 0..5),
    ) {
        let mut bytes = if request { INVITE } else { RESPONSE }.as_bytes().to_vec();
        for (place, removed, piece) in edits {
            let start = place.index(bytes.len() + 1);
            let end = (start + removed).min(bytes.len());
            bytes.splice(start..end, piece);
        }
        read(&bytes);
    }

    #[test]
    fn values_alone_do_not_panic(pieces in prop::collection::vec(piece(), 0..12)) {
        let text = String::from_utf8_lossy(&pieces.concat()).into_owned();
        for text in [text.clone(), format!("SIP/2.0/UDP {text}"), format!("<sip:a{text}>"), format!("sip:{text}")] {
            if let Ok(via) = Via::parse(&text) {
                prop_assert_eq!(Via::parse(via.as_str()).map(|via| via.to_string()), Ok(via.to_string()));
            }
            if let Ok(address) = NameAddr::parse(&text) {
                prop_assert_eq!(NameAddr::parse(address.as_str()).map(|a| a.to_string()), Ok(address.to_string()));
            }
            if let Ok(uri) = Uri::parse(&text) {
                prop_assert!(!uri.as_str().contains(['\r', '\n', ' ', '<', '>', '"']));
                prop_assert!(uri.is_equivalent(&uri));
            }
            if let Ok(host) = Host::parse(&text) {
                // P18.
                let printed = host.to_string();
                prop_assert_eq!(Host::parse(&printed), Ok(host));
            }
            let _ = (text.parse::<CSeq>(), text.parse::<Method>(), syntax::unquote(&text));
        }
    }

    /// A message is the same whatever stands around its header fields (RFC 3261 §7.3.1).
    #[test]
    fn white_space_and_case_do_not_matter(spaces in "[ \t]{0,3}", fold in any::<bool>(), upper in any::<bool>()) {
        let mut text = String::new();
        let (head, body) = INVITE.split_once("\r\n\r\n").expect("a head");
        for (number, line) in head.split("\r\n").enumerate() {
            match line.split_once(": ") {
                // That of the To is folded already.
                Some((name, value)) if number > 0 && name != "To" => {
                    let name = if upper { name.to_uppercase() } else { name.to_lowercase() };
                    let gap = if fold { "\r\n " } else { "" };
                    text += &format!("{name}{spaces}:{spaces}{gap}{value}{spaces}\r\n");
                }
                _ => text += &format!("{line}\r\n"),
            }
        }
        text += &format!("\r\n{body}");
        let limits = limits();
        let (a, b) = (Message::parse(INVITE.as_bytes(), &limits), Message::parse(text.as_bytes(), &limits));
        let (a, b) = (a.map_err(|r| r.error).expect("good"), b.map_err(|r| r.error).expect("good"));
        prop_assert!(a.view().fields().map(|f| (f.1, f.2)).eq(b.view().fields().map(|f| (f.1, f.2))));
    }
}

/// Every prefix of a message is refused or cut short, never a panic.
#[test]
fn prefixes_do_not_panic() {
    for text in [INVITE, RESPONSE] {
        for end in 0..text.len() {
            read(&text.as_bytes()[..end]);
        }
        read(text.as_bytes());
    }
}

fn outcome(bytes: &[u8], limits: &Limits) -> Result<(), (Kind, StatusCode)> {
    Message::parse(bytes, limits).map(|_| ()).map_err(|refused| (refused.error.kind, refused.error.status()))
}

/// Limits::head, at the limit and one over.
#[test]
fn heads_are_limited() {
    let head = INVITE.len() - 5;
    let at = with(|limits| limits.head = head);
    assert_eq!(outcome(INVITE.as_bytes(), &at), Ok(()));
    let over = with(|limits| limits.head = head - 1);
    assert_eq!(outcome(INVITE.as_bytes(), &over), Err((Kind::HeadTooLarge, StatusCode::MESSAGE_TOO_LARGE)));
    // Offsets end at 65,535, whatever is configured.
    let padded = |size: usize| {
        let bare = INVITE.replace("anything", "");
        bare.replace("X-Other: ", &format!("X-Other: {}", "x".repeat(size - (bare.len() - 5))))
    };
    let wide = with(|limits| (limits.head, limits.header_value) = (usize::MAX, usize::MAX));
    assert_eq!(outcome(padded(65_535).as_bytes(), &wide), Ok(()));
    let too_large = Err((Kind::HeadTooLarge, StatusCode::MESSAGE_TOO_LARGE));
    assert_eq!(outcome(padded(65_536).as_bytes(), &wide), too_large);
    assert_eq!(outcome(padded(200_000).as_bytes(), &wide), too_large);
}

/// Limits::headers, at the limit and one over.
#[test]
fn header_fields_are_limited() {
    let headers = INVITE.split("\r\n").filter(|line| line.contains(": ") && !line.starts_with('\t')).count();
    assert_eq!(outcome(INVITE.as_bytes(), &with(|limits| limits.headers = headers)), Ok(()));
    let over = with(|limits| limits.headers = headers - 1);
    assert_eq!(outcome(INVITE.as_bytes(), &over), Err((Kind::TooManyHeaders, StatusCode::BAD_REQUEST)));
}

/// Limits::header_value, at the limit and one over.
#[test]
fn values_are_limited() {
    let text = RESPONSE.replace("Call-ID: x", &format!("Call-ID: {}", "x".repeat(100)));
    assert_eq!(outcome(text.as_bytes(), &with(|limits| limits.header_value = 100)), Ok(()));
    let over = with(|limits| limits.header_value = 99);
    assert_eq!(outcome(text.as_bytes(), &over), Err((Kind::HeaderTooLong, StatusCode::BAD_REQUEST)));
}

/// Limits::body, at the limit and one over, with and without a Content-Length.
#[test]
fn bodies_are_limited() {
    for text in [INVITE.to_owned(), INVITE.replace("l: 5\r\n", "")] {
        assert_eq!(outcome(text.as_bytes(), &with(|limits| limits.body = 5)), Ok(()));
        let over = with(|limits| limits.body = 4);
        let too_large = Err((Kind::BodyTooLarge, StatusCode::REQUEST_ENTITY_TOO_LARGE));
        assert_eq!(outcome(text.as_bytes(), &over), too_large);
    }
}

/// RFC 3261 §18.3: what lies behind the body is dropped, what is missing is an error.
#[test]
fn content_length_frames_the_body() {
    let limits = limits();
    let body = |text: &str| Message::parse(text.as_bytes(), &limits).map(|m| m.view().body().to_vec()).ok();
    assert_eq!(body(&format!("\r\n\r\n{INVITE}trailing")).as_deref(), Some(&b"v=0\r\n"[..]));
    assert_eq!(body(&INVITE.replace("l: 5", "l: 0")).as_deref(), Some(&b""[..]));
    assert_eq!(body(&INVITE.replace("l: 5\r\n", "")).as_deref(), Some(&b"v=0\r\n"[..]));
    assert_eq!(body(&INVITE.replace("l: 5", "l: 5\r\nContent-Length: 05")).as_deref(), Some(&b"v=0\r\n"[..]));
    for (bad, kind) in [
        ("l: 6", Kind::BodyTooShort),
        ("l: -5", Kind::Number),
        ("l: 5x", Kind::Trailing),
        ("l:", Kind::Number),
        ("l: 4294967296", Kind::Number),
        ("l: 5\r\nContent-Length: 4", Kind::Duplicate),
    ] {
        let text = INVITE.replace("l: 5", bad);
        let error = Message::parse(text.as_bytes(), &limits).expect_err(bad).error;
        assert_eq!((error.kind, error.header), (kind, Some(HeaderId::ContentLength)), "{bad}");
        assert_eq!(Message::split(text.as_bytes(), &limits).expect_err(bad).kind, kind, "{bad}");
    }
}

/// The errors that end all reading, and the place they name.
#[test]
fn errors_name_their_place() {
    let error = |text: &[u8]| {
        let refused = Message::parse(text, &limits()).expect_err("it is malformed");
        (refused.error.kind, refused.error.offset, refused.message.is_some())
    };
    assert_eq!(error(b""), (Kind::Empty, 0, false));
    assert_eq!(error(b"\r\n\r\n"), (Kind::Empty, 4, false));
    assert_eq!(error(b"\0"), (Kind::Unfinished, 1, false));
    let bare = INVITE.replace("Max-Forwards: 70\r\n", "Max-Forwards: 70\n");
    let place = bare.find("70\n").map_or(0, |at| at + 2);
    assert_eq!(error(bare.as_bytes()), (Kind::LineBreak, place, false));
    let bare = INVITE.replace("Max-Forwards: 70\r\n", "Max-Forwards: 7\r0\r\n");
    assert_eq!(error(bare.as_bytes()).0, Kind::LineBreak);
    let mut latin = INVITE.as_bytes().to_vec();
    let place = INVITE.find("anything").unwrap_or(0);
    latin[place] = 0xe4;
    assert_eq!(error(&latin), (Kind::NotUtf8, place, false));
    let text = format!("\r\n{}", INVITE.replace("CSeq: 1 INVITE", "CSeq: 1 BYE"));
    let place = text.find("BYE").unwrap_or(0);
    assert_eq!(error(text.as_bytes()), (Kind::MethodMismatch, place, true));
    let refused = Message::parse(text.as_bytes(), &limits()).expect_err("a mismatch");
    assert_eq!(refused.error.to_string(), format!("CSeq: not the method of the request at byte {place}"));
    assert_eq!(refused.error.reason().to_string(), "Invalid CSeq");
    let unfinished = INVITE.split("\r\n\r\n").next().unwrap_or("").to_owned() + "\r\n";
    assert_eq!(error(unfinished.as_bytes()), (Kind::Unfinished, unfinished.len(), true));
}

/// C016; RFC 3261 §8.1.1: what every message has, and has once.
#[test]
fn mandatory_header_fields() {
    for (line, id) in [
        ("f: <sip:a@b>;tag=1\r\n", HeaderId::From),
        ("t: <sip:c@d>;tag=2\r\n", HeaderId::To),
        ("Call-ID: x\r\n", HeaderId::CallId),
        ("CSeq: 2 OPTIONS\r\n", HeaderId::CSeq),
    ] {
        let error =
            |text: String| Message::parse(text.as_bytes(), &limits()).expect_err("it is malformed").error;
        let missing = error(RESPONSE.replace(line, ""));
        assert_eq!((missing.kind, missing.header), (Kind::Missing, Some(id)));
        assert_eq!(missing.reason().to_string(), format!("Missing {id}"));
        let twice = error(RESPONSE.replace(line, &line.repeat(2)));
        assert_eq!((twice.kind, twice.header), (Kind::Duplicate, Some(id)));
    }
    let twice = INVITE.replace("Max-Forwards: 70\r\n", "Max-Forwards: 70\r\nmax-forwards: 69\r\n");
    assert_eq!(outcome(twice.as_bytes(), &limits()), Err((Kind::Duplicate, StatusCode::BAD_REQUEST)));
    let none = INVITE.replace("Max-Forwards: 70\r\n", "");
    assert_eq!(outcome(none.as_bytes(), &limits()), Ok(()), "RFC 2543 had none");
}

/// RFC 3261 §10.2.2: a `*` stands alone.
#[test]
fn star_contacts() {
    let message = Message::parse(RESPONSE.as_bytes(), &Limits::default()).map_err(|r| r.error).expect("good");
    assert!(message.view().contact_is_star());
    assert_eq!(message.view().contacts().count(), 0);
    for bad in ["*\r\nm: <sip:a@b>", "<sip:a@b>\r\nm: *"] {
        let text = RESPONSE.replace("Contact: *", &format!("Contact: {bad}"));
        assert_eq!(outcome(text.as_bytes(), &limits()), Err((Kind::Star, StatusCode::BAD_REQUEST)), "{bad}");
    }
    for bad in ["*, <sip:a@b>", "<sip:a@b>, *", "*;expires=0"] {
        let text = RESPONSE.replace("Contact: *", &format!("Contact: {bad}"));
        assert!(outcome(text.as_bytes(), &limits()).is_err(), "{bad}");
    }
}

/// C020: another version is told apart from junk.
#[test]
fn start_lines() {
    for (line, kind) in [
        ("INVITE sip:a@b SIP/3.0", Some(Kind::Version)),
        ("INVITE sip:a@b SIP/2.1", Some(Kind::Version)),
        ("INVITE sip:a@b SIP/2", Some(Kind::StartLine)),
        ("INVITE sip:a@b HTTP/1.1", Some(Kind::StartLine)),
        ("INVITE sip:a@b SIP/2.0 ", Some(Kind::StartLine)),
        ("INVITE sip:a@b", Some(Kind::StartLine)),
        ("INVITE\tsip:a@b SIP/2.0", Some(Kind::StartLine)),
        ("INVITE sip:a@b?x=y SIP/2.0", Some(Kind::RequestUri)),
        ("INVITE sip: SIP/2.0", Some(Kind::RequestUri)),
        ("INVITE a SIP/2.0", Some(Kind::RequestUri)),
        ("INVITE sip:a@b sip/2.0", None),
        ("INVITE tel:+1 SIP/2.0", None),
    ] {
        let text = INVITE.replace("INVITE sip:bob@biloxi.example.com;transport=tcp SIP/2.0", line);
        let found = Message::parse(text.as_bytes(), &limits()).map_err(|refused| refused.error.kind).err();
        assert_eq!(found, kind, "{line}");
    }
    for (line, good) in [
        ("SIP/2.0 200", true),
        ("SIP/2.0 200 ", true),
        ("SIP/2.0  200 Ä", true),
        ("SIP/2.0 099 x", false),
        ("SIP/2.0 700 x", false),
        ("SIP/2.0 2000 x", false),
        ("SIP/2.0 20", false),
        ("SIP/2.0", false),
        ("SIP/2.0 200 a\r\n b", false),
    ] {
        let text = RESPONSE.replace("SIP/2.0 200 OK", line);
        assert_eq!(outcome(text.as_bytes(), &limits()).is_ok(), good, "{line}");
    }
}

/// D12; RFC 3261 §7.3.1, §8.1.1: no edit leaves a message that nobody can read.
#[test]
fn edits_leave_what_every_message_has() {
    use HeaderName as N;
    let bad = [
        (N::VIA, "x"),
        (N::FROM, "Bell, A <sip:a@b>"),
        (N::TO, "<sip:a"),
        (N::CALL_ID, "a b"),
        (N::CSEQ, "7"),
        (N::CSEQ, "7 BYE"),
        (N::MAX_FORWARDS, "300"),
        (N::CONTACT, "*, <sip:a@b>"),
        (N::ROUTE, "<>"),
        (N::RECORD_ROUTE, ""),
    ];
    let pieces = bad.clone().map(|(_, value)| [value, ""]);
    let message = Message::parse(INVITE.as_bytes(), &limits()).map_err(|r| r.error).expect("good");
    let mut edit = Edit::new(message.view()).expect("a checked request");
    for name in [N::VIA, N::FROM, N::TO, N::CALL_ID, N::CSEQ] {
        let needed = Some(EditError::Needed(name.id()));
        assert_eq!(edit.remove(&name).err(), needed);
        assert_eq!(edit.remove_first(&name).err(), needed);
    }
    for ((name, value), pieces) in bad.iter().zip(&pieces) {
        let outcomes = [
            edit.add(name, *value).err(),
            edit.replace(name, *value).err(),
            edit.replace_first(name, pieces).err(),
        ];
        for outcome in outcomes {
            let malformed = matches!(outcome, Some(EditError::Malformed(id, _)) if id == name.id());
            assert!(malformed, "{name}: {value}: {outcome:?}");
        }
    }
    let mut out = BytesMut::new();
    edit.write(&mut out);
    assert_eq!(out, INVITE, "what is refused changes nothing");
    edit.add(&N::FROM, "sip:c@d;tag=2").and_then(|edit| edit.add(&N::CSEQ, "8 INVITE")).expect("good");
    edit.add(&N::EXPIRES, "1").and_then(|edit| edit.add(&N::EXPIRES, "2")).expect("good");
    out.clear();
    edit.write(&mut out);
    let again = Message::parse(&out, &limits()).map_err(|refused| refused.error).expect("a message");
    let view = again.view();
    assert_eq!((view.from_tag(), view.cseq_number(), view.get("Expires")), (Some("2"), 8, Some("2")));
    assert_eq!(view.fields().len(), message.view().fields().len() + 1);
}
