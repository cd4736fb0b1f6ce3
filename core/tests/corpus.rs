//! Messages from RFCs, torture tests and real traffic, read in place.
//!
//! The corpus is looked for at `$SANSIP_CORPUS` or beside the repository; without it the tests say so and pass.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "the rules are for the core; this reads files that may not be there"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use sansip::{
    Limits,
    syntax::{self, HeaderId, Message, Method, ParseErrorKind as Kind, Scheme, StatusCode, View},
};

fn corpus(part: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("SANSIP_CORPUS") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/torture"),
    };
    let path = root.join(part);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: no corpus at {}", path.display());
    None
}

/// Returns a string of a flat JSON object; the index files escape nothing in those asked for.
fn text_of<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    let rest = object.split_once(&format!("\"{key}\": \""))?.1;
    rest.split_once('"').map(|(text, _)| text)
}

/// The files of an index with what is expected of them.
fn indexed(part: &str) -> Vec<(PathBuf, String)> {
    let Some(path) = corpus(part) else { return Vec::new() };
    let root = path.parent().expect("a part has a parent").to_owned();
    let index = fs::read_to_string(path.join("index.jsonl")).expect("every part has an index");
    let row = |line: &str| {
        let file = text_of(line, "file").expect("every row names a file");
        let full = [root.join(file), path.join(file)].into_iter().find(|full| full.exists());
        (
            full.unwrap_or_else(|| panic!("{file} is missing")),
            text_of(line, "expect").unwrap_or("").to_owned(),
        )
    };
    index.lines().filter(|line| !line.is_empty()).map(row).collect()
}

fn torture(name: &str) -> Option<Vec<u8>> {
    let path = corpus("rfc4475")?.join(format!("{name}.dat"));
    Some(fs::read(path).expect("the set is whole"))
}

fn with(name: &str, look: impl FnOnce(View<'_>)) {
    let Some(bytes) = torture(name) else { return };
    match Message::parse(&bytes, &Limits::default()) {
        Ok(message) => look(message.view()),
        Err(refused) => panic!("{name}: {}", refused.error),
    }
}

fn refused(name: &str) -> Option<(Kind, Option<HeaderId>, StatusCode)> {
    let bytes = torture(name)?;
    match Message::parse(&bytes, &Limits::default()) {
        Ok(_) => panic!("{name} was accepted"),
        Err(refused) => Some((refused.error.kind, refused.error.header, refused.error.status())),
    }
}

/// T05.01, C001–C003; RFC 4475 §3.1.1.1.
#[test]
fn wsinv() {
    with("wsinv", |view| {
        assert_eq!(view.method(), Some(Method::Invite));
        assert_eq!(view.request_uri_text(), "sip:vivekg@chair-dnrc.example.com;unknownparam");
        assert_eq!(view.request_uri().expect("a URI").param("UnknownParam"), Some(None));
        assert_eq!((view.to_tag(), view.from_tag()), (Some("1918181833n"), Some("98asjd8")));
        assert_eq!(view.from().display(), Some(r#""J Rosenberg \\\"""#));
        assert_eq!(syntax::unquote(view.from().display().unwrap_or("")), r#"J Rosenberg \""#);
        assert_eq!((view.max_forwards(), view.cseq_number()), (Some(68), 9));
        assert!(view.cseq_is(&Method::Invite));
        assert_eq!(view.call_id(), "wsinv.ndaksdj@192.0.2.1");
        let vias: Vec<_> = view.vias().map(|via| (via.transport(), via.host_text(), via.branch())).collect();
        assert_eq!(
            vias,
            [
                ("UDP", "192.0.2.2", Some("390skdjuw")),
                ("TCP", "spindle.example.com", Some("z9hG4bK9ikj8")),
                ("UDP", "192.168.255.111", Some("z9hG4bK30239")),
            ]
        );
        assert!(!view.via().has_magic_cookie());
        assert_eq!(view.header(HeaderId::Subject), Some(""));
        assert_eq!(view.header_named("unknownheaderwithunusualvalue"), Some(";;,,;;,;"));
        assert_eq!(
            view.header_named("NewFangledHeader"),
            Some("newfangled value\r\n continued newfangled value")
        );
        let contact = view.contacts().next().expect("a contact");
        assert_eq!(contact.param("newparam"), Some(Some("newvalue")));
        assert_eq!((contact.param("secondparam"), contact.param("q")), (Some(None), Some(Some("0.33"))));
        let route = view.routes().next().and_then(|route| route.uri().ok()).expect("a route");
        assert!(route.is_loose_router());
        assert_eq!(view.body().len(), 150);
        assert!(view.body().starts_with(b"v=0\r\n"));
    });
}

/// T05.02, C005, C007; RFC 4475 §3.1.1.2.
#[test]
fn intmeth() {
    with("intmeth", |view| {
        let method = view.method().expect("a request");
        assert_eq!(method.as_str(), "!interesting-Method0123456789_*+`.%indeed'~");
        assert!(matches!(method, Method::Other(_)) && view.cseq_is(&method));
        let uri = view.request_uri().expect("a URI");
        assert_eq!(uri.user(), Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"));
        assert_eq!(uri.password(), Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"));
        assert_eq!(view.branch(), Some("z9hG4bK-.!%66*_+`'~"));
        assert_eq!(view.max_forwards(), Some(255));
        assert_eq!(view.from().param("fromParam''~+*_!.-%"), Some(Some("\"работающий\"")));
        assert_eq!(view.from_tag(), Some("_token~1'+`*%!-."));
        assert_eq!(view.call_id(), "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{");
        assert!(view.header_named("extensionHeader-!.%*+_`'~").is_some_and(|value| value.contains("大停電")));
    });
}

/// T05.03–T05.05, C006; RFC 4475 §3.1.1.3–§3.1.1.5.
#[test]
fn escapes_stay_as_they_are() {
    with("esc01", |view| {
        let uri = view.request_uri().expect("a URI");
        assert_eq!(uri.user(), Some("sips%3Auser%40example.com"));
        assert_eq!(uri.host().map(|host| host.to_string()).as_deref(), Some("example.net"));
    });
    with("escnull", |view| {
        let users: Vec<_> = view.contacts().filter_map(|contact| contact.uri().ok()?.user()).collect();
        assert_eq!(users, ["%00", "%00%00"]);
    });
    with("esc02", |view| {
        assert_eq!(view.method_text(), "RE%47IST%45R");
        assert_eq!(view.contacts().count(), 2);
        assert_eq!(view.fields().filter(|field| field.0 == "C%6Fntact").count(), 1);
    });
}

/// T05.06–T05.13, C007–C009; RFC 4475 §3.1.1.6–§3.1.1.13.
#[test]
fn other_valid_messages() {
    with("lwsdisp", |view| assert_eq!(view.from().display(), Some("caller")));
    with("longreq", |view| {
        assert_eq!(view.vias().count(), 34);
        assert!(view.call_id().len() > 100);
    });
    with("dblreq", |view| assert!(view.is(&Method::Register) && view.body().is_empty()));
    with("semiuri", |view| {
        let uri = view.request_uri().expect("a URI");
        assert_eq!((uri.user(), uri.params().count()), (Some("user;par=u%40example.net"), 0));
        assert_eq!(view.list(HeaderId::Accept).count(), 6);
    });
    with("transports", |view| {
        let transports: Vec<_> = view.vias().map(|via| via.transport()).collect();
        assert_eq!(transports, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
    });
    with("mpart01", |view| {
        assert_eq!(view.body().len(), 553);
        assert!(view.body().contains(&0));
        assert!(view.content_type().is_some_and(|kind| kind.starts_with("multipart/mixed")));
    });
    with("unreason", |view| {
        assert_eq!(view.status(), Some(StatusCode::OK));
        assert!(view.reason().starts_with("= 2**3 * 5**2 но"), "{}", view.reason());
    });
    with("noreason", |view| assert_eq!((view.status(), view.reason()), (Some(StatusCode::TRYING), "")));
}

/// T06, C017, C018, C020, C030; RFC 4475 §3.1.2: what is malformed is refused, and the answer names the culprit.
#[test]
fn invalid_messages() {
    use HeaderId as H;
    let bad = StatusCode::BAD_REQUEST;
    for (name, kind, header, status) in [
        ("badinv01", Kind::Param, Some(H::Via), bad),
        ("clerr", Kind::BodyTooShort, Some(H::ContentLength), bad),
        ("ncl", Kind::Number, Some(H::ContentLength), bad),
        ("scalar02", Kind::Number, Some(H::CSeq), bad),
        ("scalarlg", Kind::Number, Some(H::CSeq), bad),
        ("quotbal", Kind::Quote, Some(H::To), bad),
        ("ltgtruri", Kind::RequestUri, None, bad),
        ("lwsruri", Kind::StartLine, None, bad),
        ("trws", Kind::StartLine, None, bad),
        ("escruri", Kind::RequestUri, None, bad),
        ("regbadct", Kind::Uri, Some(H::Contact), bad),
        ("badvers", Kind::Version, None, StatusCode::VERSION_NOT_SUPPORTED),
        ("mismatch01", Kind::MethodMismatch, Some(H::CSeq), bad),
        ("mismatch02", Kind::MethodMismatch, Some(H::CSeq), bad),
        ("bigcode", Kind::StartLine, None, bad),
    ] {
        if let Some(found) = refused(name) {
            assert_eq!(found, (kind, header, status), "{name}");
        }
    }
    // The archive's own file lacks the blank line at its end.
    if let Some(mut bytes) = torture("baddn") {
        bytes.extend_from_slice(b"\r\n");
        let error = Message::parse(&bytes, &Limits::default()).map_err(|refused| refused.error);
        assert!(error.is_err_and(|error| (error.kind, error.header) == (Kind::DisplayName, Some(H::From))));
    }
    // RFC 4475 §3.1.2.9 and §3.1.2.14 allow to look past spaces.
    with("lwsstart", |view| {
        let start = (view.method(), view.request_uri_text());
        assert_eq!(start, (Some(Method::Invite), "sip:user@example.com"));
    });
    with("badaspec", |view| assert_eq!(view.to().uri_text(), "sip:t.watson@example.org"));
    // RFC 4475 §3.1.2.12: a Date in a foreign zone harms nobody who does not ask for it.
    with("baddate", |view| assert!(view.header(HeaderId::Date).is_some_and(|date| date.ends_with("EST"))));
}

/// T07, C016, C031; RFC 4475 §3.2–§3.4, as far as the parser has a say.
#[test]
fn transaction_and_application_messages() {
    use HeaderId as H;
    for (name, kind, header) in [
        ("insuf", Kind::Missing, H::From),
        ("multi01", Kind::Duplicate, H::CSeq),
        ("mcl01", Kind::Duplicate, H::ContentLength),
    ] {
        if let Some(found) = refused(name) {
            assert_eq!((found.0, found.1), (kind, Some(header)), "{name}");
        }
    }
    with("badbranch", |view| assert_eq!(view.branch(), Some("z9hG4bK")));
    with("unkscm", |view| {
        let uri = view.request_uri().expect("a URI");
        assert_eq!(uri.scheme(), Scheme::Other("nobodyKnowsThisScheme"));
    });
    with("novelsc", |view| {
        assert_eq!(view.request_uri().map(|uri| uri.scheme()), Ok(Scheme::Other("soap.beep")));
    });
    with("unksm2", |view| assert_eq!(view.to().uri().map(|uri| uri.scheme()), Ok(Scheme::Other("isbn"))));
    with("bext01", |view| assert!(view.has_token(H::Require, "NOTHINGSUPPORTSTHIS")));
    with("zeromf", |view| assert_eq!(view.max_forwards(), Some(0)));
    with("bcast", |view| assert_eq!(view.vias().nth(1).map(|via| via.host_text()), Some("255.255.255.255")));
    with("cparam01", |view| {
        let contact = view.contacts().next().expect("a contact");
        assert_eq!(contact.param("unknownparam"), Some(None));
        assert_eq!(contact.uri().map(|uri| uri.params().count()), Ok(0));
    });
    with("cparam02", |view| {
        let contact = view.contacts().next().expect("a contact");
        assert_eq!(contact.uri().map(|uri| uri.param("unknownparam")), Ok(Some(None)));
    });
    with("regescrt", |view| {
        let contact = view.contacts().next().expect("a contact");
        assert_eq!(contact.uri().map(|uri| uri.headers_text()), Ok(Some("Route=%3Csip:sip.example.com%3E")));
    });
    with("inv2543", |view| {
        assert!(view.branch().is_none() && view.from_tag().is_none() && !view.body().is_empty())
    });
    for name in ["invut", "regaut01", "sdp01"] {
        with(name, |view| assert!(view.is_request()));
    }
}

/// C029: the messages that RFCs print must parse, and an owned copy has the very bytes.
#[test]
fn flows_of_the_rfcs() {
    let rows = indexed("rfc-flows");
    let good: Vec<_> = rows.iter().filter(|row| row.1 == "parse-ok").collect();
    let mut failures = Vec::new();
    for (path, _) in &good {
        let bytes = fs::read(path).expect("the index is right");
        match Message::parse(&bytes, &Limits::default()) {
            Ok(message) => {
                let owned = match message.view().is_request() {
                    true => message.to_request().map(|request| request.to_bytes()),
                    false => message.to_response().map(|response| response.to_bytes()),
                };
                assert_eq!(owned.as_deref(), bytes.get(..owned.as_ref().map_or(0, |owned| owned.len())));
            }
            Err(refused) => failures.push(format!("{}: {}", path.display(), refused.error)),
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), good.len(), failures.join("\n"));
    assert!(rows.is_empty() || good.len() >= 785);
}

/// Where our verdict is another one, and why.
const CONTESTED: &[(&str, &str)] = &[
    ("007", "a Request-URI of an unknown scheme is well-formed, and answered with 416"),
    ("025", "a response without a From"),
    ("092", "an ACK with the method of its INVITE in the CSeq, which several RFCs print"),
    ("362", "a body shorter than its Content-Length (RFC 3261 §18.3)"),
    ("376", "a Date is not looked at unless somebody asks for it (RFC 4475 §3.1.2.12)"),
    ("392", "CSeq given twice (RFC 4475 §3.3.8)"),
    ("sip-malformed1", "no From"),
    ("sip-malformed5", "a negative Content-Length (RFC 4475 §3.1.2.3)"),
    ("sip-malformed8", "two spaces before the version (RFC 4475 §3.1.2.9)"),
    ("sip70", "header fields in a Request-URI (RFC 3261 §19.1.1)"),
    ("sip77", "SIP/7.0 (RFC 4475 §3.1.2.16)"),
    ("sip78", "a question mark in a URI without brackets (RFC 3261 §20.10)"),
    ("sip79", "spaces in a Call-ID"),
    ("sip81", "a malformed tel URI as Request-URI"),
];

/// Verdicts of other parsers on requests and responses, and where ours differs, why.
#[test]
fn verdicts_of_others() {
    let whole = |path: &Path| path.extension().is_some_and(|kind| kind == "sip");
    let mut surprises = Vec::new();
    for (path, expect) in indexed("jain").into_iter().chain(indexed("libosip")).filter(|row| whole(&row.0)) {
        let bytes = fs::read(&path).expect("the index is right");
        let ours = Message::parse(&bytes, &Limits::default());
        let differs = match expect.as_str() {
            "parse-ok" => ours.is_err(),
            "parse-error" => ours.is_ok(),
            _ => false,
        };
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or("");
        if differs && !CONTESTED.iter().any(|known| known.0 == name) {
            let why = ours.map_or_else(|refused| refused.error.to_string(), |_| "accepted".into());
            surprises.push(format!("{}: {why}", path.display()));
        }
    }
    assert!(surprises.is_empty(), "{}\n{}", surprises.len(), surprises.join("\n"));
}

/// All files: no panic, the same verdict twice, and the Call-ID peeked at is the one parsed.
#[test]
fn nothing_panics() {
    for part in ["jain", "libosip", "protos-like", "rfc-flows", "sipgo-fuzz", "sipnab", "zeek"] {
        let mut accepted = 0;
        let rows = indexed(part);
        for (path, _) in &rows {
            let bytes = fs::read(path).expect("the index is right");
            let peeked = syntax::call_id(&bytes);
            let verdict = |bytes| Message::parse(bytes, &Limits::default()).map_err(|refused| refused.error);
            match (verdict(&bytes), verdict(&bytes)) {
                (Ok(message), Ok(again)) => {
                    accepted += 1;
                    assert_eq!(peeked, Some(message.view().call_id().as_bytes()), "{}", path.display());
                    assert_eq!(message.to_request(), again.to_request());
                }
                (Err(first), Err(second)) => assert_eq!(first, second),
                _ => panic!("{}: two verdicts", path.display()),
            }
        }
        println!("{part}: {accepted} of {} accepted", rows.len());
    }
}
