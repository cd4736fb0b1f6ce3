//! Messages from RFCs, torture tests and real traffic, read in place.
//!
//! The corpus is looked for at `$SANSIP_CORPUS` or beside the repository; without it the tests say so and pass.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "the rules are for the core; this reads files that may not be there"
)]

mod digest;
mod files;
mod golden;
mod messages;
mod opinions;
mod streams;
mod valid;

use std::{fs, path::Path};

use files::{ran, torture};
use messages::{indexed, refused, with};
use sansip::{
    Limits,
    auth::{self, Credentials},
    sdp::Description,
    syntax::{self, HeaderId, Message, Method, ParseErrorKind as Kind, Scheme, StatusCode},
};

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

/// T07.02, T07.03, T07.04, T07.09, T07.10, T07.11, T07.13, T07.14, T07.15, C016, C031; RFC 4475 §3.2–§3.4, as far as the
/// parser has a say.
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
}

/// T07.07, T07.08, T07.16; RFC 4475 §3.3.6, §3.3.7, §3.3.15: what nobody knows is kept as it is.
#[test]
fn unknown_values_are_kept() {
    with("invut", |view| {
        assert_eq!(view.content_type(), Some("application/unknownformat"));
        assert_eq!(view.body(), b"<audio>\r\n <pcmu port=\"443\"/>\r\n</audio>\r\n");
        assert!(Description::of(view, &Limits::default()).is_none());
    });
    with("regaut01", |view| {
        let found: Vec<_> = auth::credentials(view, HeaderId::Authorization).collect();
        let [Ok(Credentials::Other(other))] = &found[..] else { panic!("{found:?}") };
        assert_eq!((other.name, other.rest), ("NoOneKnowsThisScheme", "opaque-data=here"));
    });
    with("sdp01", |view| {
        assert_eq!(view.header(HeaderId::Accept), Some("text/nobodyKnowsThis"));
        let described = Description::of(view, &Limits::default()).expect("the type says so");
        assert_eq!(described.map(|description| description.streams()), Ok(2));
    });
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
    ran("rfc-flows", &format!("{} that must parse", good.len()));
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
    let (mut surprises, mut judged, mut contested) = (Vec::new(), 0, 0);
    for (path, expect) in indexed("jain").into_iter().chain(indexed("libosip")).filter(|row| whole(&row.0)) {
        let bytes = fs::read(&path).expect("the index is right");
        let ours = Message::parse(&bytes, &Limits::default());
        let differs = match expect.as_str() {
            "parse-ok" => ours.is_err(),
            "parse-error" => ours.is_ok(),
            _ => false,
        };
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or("");
        judged += usize::from(!expect.is_empty());
        contested += usize::from(differs);
        if differs && !CONTESTED.iter().any(|known| known.0 == name) {
            let why = ours.map_or_else(|refused| refused.error.to_string(), |_| "accepted".into());
            surprises.push(format!("{}: {why}", path.display()));
        }
    }
    assert!(surprises.is_empty(), "{}\n{}", surprises.len(), surprises.join("\n"));
    ran("jain and libosip", &format!("{judged} with verdicts, {contested} of them contested"));
    // An entry that contests nothing any more has to go.
    assert!(judged == 0 || contested == CONTESTED.len(), "{contested} of {}", CONTESTED.len());
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
        ran(part, &format!("{}, {accepted} of them accepted", rows.len()));
    }
}
