//! Limits of lists and parameters, what is forgiven, and time that grows with the input alone.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "the rules are for the core; this counts instructions in another process"
)]

use std::{env, hint::black_box, process::Command};

use sansip::{
    Limits,
    syntax::{HeaderId, Leniency, Message, ParseErrorKind as Kind, Request, StatusCode, header::Contact},
};

fn request(uri: &str, fields: &str) -> String {
    format!(
        "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\nf: <sip:d@e>;tag=1\r\n\
         t: <sip:a@b>\r\ni: x\r\nCSeq: 1 INVITE\r\n{fields}\r\n"
    )
}

fn outcome(text: &str, change: impl FnOnce(&mut Limits)) -> Option<(Kind, Option<HeaderId>, StatusCode)> {
    let mut limits = Limits::default();
    change(&mut limits);
    let refused = Message::parse(text.as_bytes(), &limits).err()?;
    Some((refused.error.kind, refused.error.header, refused.error.status()))
}

/// Limits::list, at the limit and one over; empty elements and commas in quotes or brackets are none.
#[test]
fn lists_are_limited() {
    for (name, id, value) in [
        ("Supported", HeaderId::Supported, "a"),
        ("m", HeaderId::Contact, "\"a,b\" <sip:a@b,c>;x=\",\""),
        ("Via", HeaderId::Via, "SIP/2.0/UDP d;branch=x"),
        ("Route", HeaderId::Route, "<sip:a>"),
    ] {
        for limit in [1, 5, 64] {
            let text = |count| request("sip:a@b", &format!("{name}: {}\r\n", vec![value; count].join(",")));
            assert_eq!(outcome(&text(limit), |limits| limits.list = limit), None, "{name} {limit}");
            let over = Some((Kind::TooManyValues, Some(id), StatusCode::BAD_REQUEST));
            assert_eq!(outcome(&text(limit + 1), |limits| limits.list = limit), over, "{name} {limit}");
        }
    }
    let commas =
        request("sip:a@b", "Supported: a,,,,,,,,,,,,,,b\r\nSubject: a,b,c,d,e,f,g\r\nX-Y: ,,,,;;;;,,,,\r\n");
    assert_eq!(outcome(&commas, |limits| (limits.list, limits.params) = (2, 2)), None);
}

/// Limits::params, at the limit and one over, of a header field, its URI and the Request-URI.
#[test]
fn parameters_are_limited() {
    for limit in [1, 5, 64] {
        for count in [limit, limit + 1] {
            let over = |id| (count > limit).then_some((Kind::TooManyParams, id, StatusCode::BAD_REQUEST));
            let params = ";p=1".repeat(count);
            let contact = request("sip:a@b", &format!("m: <sip:a@b>;x=\";;\"{}\r\n", ";p".repeat(count - 1)));
            assert_eq!(outcome(&contact, |limits| limits.params = limit), over(Some(HeaderId::Contact)));
            let inside = request("sip:a@b", &format!("Route: <sip:a>, <sip:a@b{params}>\r\n"));
            assert_eq!(outcome(&inside, |limits| limits.params = limit), over(Some(HeaderId::Route)));
            let lazy = request("sip:a@b", &format!("Event: presence{params}\r\n"));
            assert_eq!(outcome(&lazy, |limits| limits.params = limit), over(Some(HeaderId::Event)));
            let target = request(&format!("sip:a@b{params}"), "");
            assert_eq!(outcome(&target, |limits| limits.params = limit), over(None));
        }
    }
}

/// RFC 4475 §3.1.2, C016: each form is forgiven alone.
#[test]
fn each_form_is_forgiven_alone() {
    type Set = fn(&mut Leniency);
    let plain = request("sip:a@b", "");
    let response = plain.replace("INVITE sip:a@b SIP/2.0", "SIP/2.0 200");
    let ack = plain.replace("INVITE sip:a@b", "ACK sip:a@b");
    let cases: [(String, Kind, Set); 9] = [
        (plain.replace(" SIP/2.0\r", "  SIP/2.0\r"), Kind::Space, |l| l.spaces = true),
        (response.replace("0 200", "0  200 OK"), Kind::Space, |l| l.spaces = true),
        (response.clone(), Kind::StartLine, |l| l.bare_status = true),
        (plain.replace("<sip:a@b>", "< sip:a@b>"), Kind::Space, |l| l.padded_uris = true),
        (plain.replace("tag=1", "tag=a/b"), Kind::Token, |l| l.wide_tokens = true),
        (plain.replace("bK1", "bK/1"), Kind::Token, |l| l.wide_tokens = true),
        (ack, Kind::MethodMismatch, |l| l.ack_as_invite = true),
        (request("sip:a@b", "Subject: a\r\ns: b\r\n"), Kind::Duplicate, |l| l.repeated_rows = true),
        (request("sip:a@b", "Expires: soon\r\n"), Kind::Number, |l| l.malformed_values = true),
    ];
    let limits = Limits::default();
    for (text, kind, set) in cases {
        let parse = |leniency| Message::parse_with(text.as_bytes(), &limits, leniency).map_err(Box::new);
        assert!(parse(Leniency::default()).is_ok(), "{text}");
        let refused = parse(Leniency::NONE).expect_err(&text);
        assert_eq!(refused.error.kind, kind, "{text}");
        // Good enough to be answered, not to be kept.
        assert!(
            refused
                .message
                .is_some_and(|message| message.to_request().is_none() && message.to_response().is_none())
        );
        let mut leniency = Leniency::NONE;
        set(&mut leniency);
        assert!(parse(leniency).is_ok(), "{text}");
    }
    for good in [plain.clone(), plain.replace("INVITE sip:a@b SIP/2.0", "SIP/2.0 200 O  K")] {
        assert!(Message::parse_with(good.as_bytes(), &limits, Leniency::NONE).is_ok(), "{good}");
    }
    let spaced = request(
        "sip:a@b",
        "m: \"sip:x\"  <sip:x> , sip:x;a, x <sip:x>\r\nSupported: a\r\nk: b\r\n\
         Identity: a.b.c;info=<https://a/b>\r\ny: d.e.f;info=<https://a/c>\r\n",
    );
    assert!(Message::parse_with(spaced.as_bytes(), &limits, Leniency::NONE).is_ok());
}

/// Inputs that tempt a reader to look again and again at what it has seen, about `size` bytes each.
fn hostile(size: usize) -> Vec<String> {
    let field = |name: &str, unit: &str, end: &str| {
        request("sip:a@b", &format!("{name}: {}{end}\r\n", unit.repeat(size / unit.len())))
    };
    vec![
        field("Supported", "a,", "a"),
        field("Supported", ",", "a"),
        field("m", "<sip:a@b>,", "<sip:a>"),
        field("m", "<sip:a@b>,\"", "x"),
        field("Event", ";a", ""),
        field("Event", "\"", ""),
        field("User-Agent", "(", ""),
        field("User-Agent", "(a) ", "b"),
        field("Accept", "a/b;q=x,", "a/b"),
        field("Alert-Info", "<", ""),
        field("Warning", "\"\\", ""),
        field("P-Charging-Vector", "a=b;", "c"),
        field("Accept-Contact", "*;+a=\"x,y\",", "*"),
        field("Subject", "\r\n ", "x"),
        field("X", "%", ""),
        request("sip:a@b", &"k: a\r\n".repeat(size / 6)),
        request(&format!("sip:a@b{}", ";p".repeat(size / 2)), ""),
        request(&format!("sip:a@b{}", ";p".repeat(size / 2)), "m: <sip:%61@b?a=b>\r\n"),
    ]
}

fn widest() -> Limits {
    let mut limits = Limits::default();
    let most = usize::MAX;
    (limits.header_value, limits.headers, limits.list, limits.params) = (most, most, most, most);
    limits
}

fn read(text: &str) {
    if let Ok(request) = Request::parse(text.as_bytes(), &widest()) {
        let view = request.view();
        let _ = black_box(view.check_typed());
        black_box(
            view.typed_all::<Contact>()
                .filter_map(Result::ok)
                .map(|contact| contact.features().count())
                .sum::<usize>(),
        );
        black_box(view.list(HeaderId::Supported).count());
        let _ = black_box(view.request_uri().map(|uri| uri.is_equivalent(&uri)));
    }
    black_box(Message::parse(text.as_bytes(), &Limits::default()).is_ok());
}

/// P1: twice the input takes at most twice the instructions, and a little.
#[test]
fn time_is_linear() {
    const ASKED: &str = "SANSIP_BOUNDS";
    if let Ok(size) = env::var(ASKED) {
        hostile(size.parse().expect("a size")).iter().for_each(|text| read(text));
        return;
    }
    let count = |size: usize| -> Option<u64> {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(env::current_exe().ok()?)
            .args(["--exact", "time_is_linear", "--test-threads=1"])
            .env(ASKED, size.to_string())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        text.split_once("Collected : ")?.1.split_whitespace().next()?.parse().ok()
    };
    let Some(idle) = count(0) else {
        println!("skipped: no valgrind");
        return;
    };
    let [small, large] = [2_000, 60_000].map(|size| count(size).expect("it ran before").saturating_sub(idle));
    println!("{small} instructions, {large} for thirty times the input");
    // If one case of a hundredth of the work grew as the square, this would not hold.
    assert!(small > 0 && large <= 36 * small, "{small} instructions, then {large}");
}
