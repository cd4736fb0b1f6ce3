//! Second opinions: what two other parsers both take, and where ours does not, why.

use std::{fs, path::PathBuf};

use sansip::{
    Limits,
    auth::{Challenge, Credentials},
    syntax::{
        Header, HeaderId as H, Leniency, Message, NameAddr, ParseErrorKind as Kind, Uri, Via, header as typed,
    },
};

use crate::{
    files::{corpus, ran},
    messages::{indexed, judged_ok_by_both},
};

/// What a message is refused for although two others take it: the part of its path, what is wrong, how often, and why.
type Refusal = (&'static str, Fault, usize, &'static str);

/// What is wrong, and with which header field.
type Fault = (Kind, Option<H>);

const REFUSED: &[Refusal] = &[
    ("jain/006", (Kind::RequestUri, None), 1, "header fields in a Request-URI (RFC 3261 §19.1.1)"),
    ("jain/061", (Kind::Version, None), 1, "SIP/02.00 is not SIP/2.0 (RFC 3261 §7.1)"),
    ("jain/375", (Kind::RequestUri, None), 1, "header fields in a Request-URI (RFC 3261 §19.1.1)"),
    ("jain/380", (Kind::Version, None), 1, "SIP/7.0 (RFC 4475 §3.1.2.16)"),
    (
        "jain/38",
        (Kind::MethodMismatch, Some(H::CSeq)),
        2,
        "another method in the CSeq (RFC 4475 §3.1.2.17, §3.1.2.18)",
    ),
    ("libosip/sip37", (Kind::Missing, Some(H::Via)), 1, "no Via (RFC 3261 §8.1.1)"),
    ("libosip/sip44", (Kind::Missing, Some(H::Via)), 1, "no Via (RFC 3261 §8.1.1)"),
    (
        "libosip/sip45",
        (Kind::Field, None),
        1,
        "a fold before the colon, where HCOLON has SP and HTAB only (RFC 3261 §25.1)",
    ),
    (
        "libosip/sip52",
        (Kind::MethodMismatch, Some(H::CSeq)),
        1,
        "another method in the CSeq (RFC 4475 §3.1.2.18)",
    ),
    ("libosip/torture_hgs", (Kind::Field, None), 1, "a fold before the colon (RFC 3261 §25.1)"),
    (
        "libosip/torture_msgs2",
        (Kind::LineBreak, None),
        1,
        "bare line feeds (RFC 3261 §28.1: this specification only allows CRLF)",
    ),
    (
        "sipnab/metasploit",
        (Kind::RequestUri, None),
        1,
        "`sip:@host`: a user is at least one character (RFC 3261 §25.1)",
    ),
    (
        "rfc-flows/rfc8262",
        (Kind::Protocol, Some(H::Via)),
        1,
        "SIPS/2.0 where SIP and 2.0 MUST stand (RFC 3261 §8.1.1.7)",
    ),
    (
        "rfc-flows/",
        (Kind::MethodMismatch, Some(H::CSeq)),
        6,
        "printed with the method of another request (RFC 3261 §8.1.1.5)",
    ),
    ("rfc-flows/", (Kind::Missing, Some(H::Via)), 52, "printed without a Via (RFC 3261 §8.1.1)"),
];

/// The same of messages whose end was repaired.
const REFUSED_WHEN_ENDED: &[Refusal] = &[
    (
        "SIP-Via-Host/ipv4-ascii",
        (Kind::Host, Some(H::Via)),
        13,
        "a label begins with no hyphen (RFC 3261 §25.1, domainlabel)",
    ),
    (
        "SIP-Via-Hostcolon/empty",
        (Kind::Host, Some(H::Via)),
        1,
        "192.0.2.105060 is neither an address nor a name, whose last label begins with a letter",
    ),
    (
        "SIP-Via/disorder",
        (Kind::LineBreak, None),
        1,
        "the Via stands behind the bare line feed that ends the head",
    ),
    ("SIP-Via/miss", (Kind::Missing, Some(H::Via)), 2, "no Via (RFC 3261 §8.1.1)"),
    ("SIP-Method/overflow-general", (Kind::MethodMismatch, Some(H::CSeq)), 7, "RFC 3261 §8.1.1.5"),
    ("SIP-Cseq-String/overflow-general", (Kind::MethodMismatch, Some(H::CSeq)), 7, "RFC 3261 §8.1.1.5"),
    ("SIP-Cseq-Integer/integer-ascii", (Kind::Number, Some(H::CSeq)), 1, "2**31 (RFC 3261 §8.1.1.5)"),
    ("SIP-Call-Id-Ip/UTF-8", (Kind::NotUtf8, None), 56, "no UTF-8, and no word either (RFC 3261 §25.1)"),
    ("SIP-Call-Id-Value/UTF-8", (Kind::NotUtf8, None), 56, "no UTF-8, and no word either (RFC 3261 §25.1)"),
    (
        "SIP-Call-Id-Value/ansi-escape",
        (Kind::Token, Some(H::CallId)),
        8,
        "a word has no control characters (RFC 3261 §25.1)",
    ),
    (
        "SIP-Call-Id-Value/overflow-space",
        (Kind::Trailing, Some(H::CallId)),
        7,
        "a word has no spaces (RFC 3261 §25.1)",
    ),
];

fn verdict(bytes: &[u8]) -> Result<(), Fault> {
    match Message::parse(bytes, &Limits::default()) {
        Ok(_) => Ok(()),
        Err(refused) => Err((refused.error.kind, refused.error.header)),
    }
}

/// Holds the refusals among messages against a table whose every row must be right to the number.
fn assert_refusals(files: &[(PathBuf, Result<(), Fault>)], table: &[Refusal]) {
    let mut counts = vec![0; table.len()];
    let mut surprises = Vec::new();
    for (path, verdict) in files {
        let Err(found) = verdict else { continue };
        let name = path.to_string_lossy();
        match table.iter().position(|(part, known, ..)| name.contains(part) && known == found) {
            Some(row) => counts[row] += 1,
            None => surprises.push(format!("{name}: {found:?}")),
        }
    }
    assert!(surprises.is_empty(), "{}\n{}", surprises.len(), surprises.join("\n"));
    for (count, (part, _, expected, why)) in counts.into_iter().zip(table) {
        assert_eq!(count, *expected, "{part}: {why}");
    }
}

/// C029, C030: what both take, we take, or RFC 3261 forbids it.
#[test]
fn taken_by_both() {
    let mut files = Vec::new();
    for part in ["jain", "libosip", "rfc-flows", "sipgo-fuzz", "sipnab", "zeek"] {
        for path in judged_ok_by_both(part) {
            let verdict = verdict(&fs::read(&path).expect("the index is right"));
            files.push((path, verdict));
        }
    }
    if files.is_empty() {
        return;
    }
    assert_refusals(&files, REFUSED);
    let refused = files.iter().filter(|file| file.1.is_err()).count();
    ran(
        "two other parsers",
        &format!("{} that both take, {refused} of them refused with reason", files.len()),
    );
}

/// C030; RFC 3261 §7, §28.1: this part ends each head with a bare line feed, which hides what else is odd about a
/// message. So each is judged twice: as it is, and with that line feed made a line break.
#[test]
fn anomalies_behind_bare_line_feeds() {
    let all: Vec<_> = indexed("protos-like").into_iter().map(|row| row.0).collect();
    if all.is_empty() {
        return;
    }
    let read = |path: &PathBuf| fs::read(path).expect("the index is right");
    let bare = |bytes: &[u8]| bytes.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r');
    let (mut bare_ones, mut accepted) = (0, 0);
    for path in &all {
        let bytes = read(path);
        let verdict = verdict(&bytes);
        accepted += usize::from(verdict.is_ok());
        if bare(&bytes) {
            bare_ones += 1;
            assert!(
                verdict.is_err_and(|found| found.0 == Kind::LineBreak),
                "{}: {verdict:?}",
                path.display()
            );
        }
    }
    let by_both = judged_ok_by_both("protos-like");
    let ended: Vec<_> = by_both
        .iter()
        .map(|path| {
            let mut bytes = read(path);
            if bytes.ends_with(b"\n\n") {
                bytes.pop();
                bytes.extend_from_slice(b"\r\n");
            }
            (path.clone(), verdict(&bytes))
        })
        .collect();
    assert_refusals(&ended, REFUSED_WHEN_ENDED);
    let refused = ended.iter().filter(|file| file.1.is_err()).count();
    assert_eq!((by_both.len(), bare_ones), (345, 908));
    ran(
        "protos-like",
        &format!(
            "{} as they are, {accepted} accepted; {} that both others take, ended with CRLF, {refused} refused with reason",
            all.len(),
            ended.len(),
        ),
    );
}

/// Messages without a verdict that one of the two refuses and we take, and why.
const TAKEN: &[(&str, &str)] = &[
    ("sip4", "the message has all that RFC 3261 §8.1.1 asks for"),
    ("sip42", "a Warning without an agent is not looked at (RFC 4475 §3.1.2.12)"),
    ("sip58", "an Expires that is no number is not looked at (RFC 4475 §3.1.2.12)"),
    ("sip69", "a Warning without code is not looked at (RFC 4475 §3.1.2.12)"),
    ("sip71", "a Request-URI of an unknown scheme is answered with 416 (RFC 3261 §8.2.2.1)"),
    ("sip72", "a Warning without code; no space before the bracket (RFC 4475 §3.1.1.6)"),
    ("sip73", "a Warning without code; spaces before the bracket (RFC 3261 §25.1, name-addr)"),
    ("sip76", "a Warning without code; Max-Forwards is 0 (RFC 4475 §3.3.4)"),
    ("sip84", "a Warning without code; a display name of several tokens (RFC 3261 §25.1)"),
];

/// C030: messages of libosip that come without a verdict and that one of the two others refuses.
#[test]
fn without_a_verdict() {
    let by_both = judged_ok_by_both("libosip");
    let mut taken = Vec::new();
    let mut looked_at = 0;
    for (path, expect) in indexed("libosip") {
        let is_message = path.extension().is_some_and(|kind| kind == "sip");
        if !expect.is_empty() || !is_message || by_both.contains(&path) {
            continue;
        }
        looked_at += 1;
        let bytes = fs::read(&path).expect("the index is right");
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or("").to_owned();
        match verdict(&bytes) {
            Ok(()) => taken.push(name),
            // Empty values everywhere, and a tag without one (RFC 3261 §25.1: a tag is a token).
            Err(found) => {
                let known = [
                    ("sip0", (Kind::Duplicate, Some(H::ContentType))),
                    ("sip2", (Kind::Param, Some(H::From))),
                ];
                assert!(known.contains(&(&*name, found)), "{name}: {found:?}");
            }
        }
    }
    if looked_at == 0 {
        return;
    }
    taken.sort_by_key(|name| TAKEN.iter().position(|known| known.0 == name));
    assert_eq!(taken, TAKEN.iter().map(|known| known.0).collect::<Vec<_>>());
    ran(
        "libosip",
        &format!("{looked_at} that one of two takes, {} of them accepted with reason", taken.len()),
    );
}

/// The lines of a list of values, without comments; bytes that are no UTF-8 never reach who reads a value.
fn lines(name: &str) -> Vec<String> {
    let Some(path) = corpus(&format!("libosip/{name}.txt")) else { return Vec::new() };
    let bytes = fs::read(path).expect("it is there");
    let lines = bytes.split(|&byte| byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines.filter(|line| !line.starts_with('#') && !line.trim().is_empty()).map(str::to_owned).collect()
}

/// Reads all values of a list and returns those refused.
fn refused(name: &str, read: impl Fn(&str) -> bool) -> Vec<String> {
    let lines = lines(name);
    if !lines.is_empty() {
        ran(&format!("libosip/{name}"), &format!("{} values", lines.len()));
    }
    lines.into_iter().filter(|line| !read(line)).collect()
}

/// Begin as no scheme does, or have no host.
const NO_URIS: [&str; 3] = ["si", "<si>", "sip:;qsde"];

/// C006, C010; RFC 3261 §20.10, §25.1: addresses. A URI in brackets is read by who asks for it.
#[test]
fn listed_addresses() {
    let read = |line: &str| NameAddr::parse(line).is_ok();
    // An odd number of backslashes before the last quote, or what follows the second quote.
    const UNBALANCED: [&str; 16] = [
        r#""\"\""abb""#,
        r#""\""\"""#,
        r#""\""#,
        r#""\\\""#,
        r#"""\"""#,
        r#""\\\\\\\""#,
        r#""j.doe\\\""#,
        r#""a\""#,
        r#""a\\\""#,
        r#""a"\"""#,
        r#""a\\\\\\\""#,
        r#""j.doe\\\""#,
        r#"""\"ab""#,
        r#""a\"\a"""#,
        r#""a\"\a"a""#,
        r#""a\"\\"a""#,
    ];
    let (froms, tos) = (refused("froms", read), refused("tos", read));
    if froms.is_empty() {
        return;
    }
    let unbalanced = UNBALANCED.iter().map(|name| format!("{name} <sip:j.doe:secret@big.com;transport=tcp>"));
    assert_eq!(froms, unbalanced.chain(NO_URIS.map(str::to_owned)).collect::<Vec<_>>());
    let unbalanced = r#""j.doe\\\" <sip:j.doe:secret@big.com;transport=tcp>"#;
    let none = [unbalanced, NO_URIS[0], NO_URIS[1], NO_URIS[2]];
    assert_eq!(tos, none);
    // The star is no address but all of the row.
    assert_eq!(refused("contacts", read), ["*", none[0], none[1], none[2], none[3]]);
    for rows in ["routes", "recordroutes"] {
        let read = |line: &str| {
            typed::Typed::<typed::Route>::of(line).is_ok_and(|mut all| all.all(|one| one.is_ok()))
        };
        assert!(refused(rows, read).is_empty());
    }
}

/// C014, P18; RFC 3261 §25.1: URIs.
#[test]
fn listed_uris() {
    let refused = refused("urls", |line| Uri::parse(line).is_ok());
    if refused.is_empty() {
        return;
    }
    // `q` is no digit of IPv6; a name of one label begins with a letter; a port alone is no host.
    let (hosts, others): (Vec<_>, Vec<_>) = refused.iter().partition(|uri| {
        uri.contains("[q")
            || uri.contains("[::q")
            || uri.contains("sip:2?")
            || uri.contains("@2;")
            || **uri == "sip::5070"
    });
    assert_eq!((hosts.len(), others.len()), (22, 14));
    let why = |uri: &str| {
        let known = [
            ("<sip:kubi6@>", "brackets are of no URI"),
            ("sip:kubi6@", "no host"),
            ("si", "no scheme"),
            ("sip:@@", "no user, and an @ in the host"),
            ("sip:;", "no host"),
            ("to[to?", "a header field without `=`, or an @ behind what a password may have"),
            ("%3A%40@big.com;", "a semicolon without a parameter"),
            ("@big.com;", "`[`, `]`, `/`, `:`, `?` and `@` are no part of a password"),
            ("; cd-", "a space"),
            ("= -_", "a space"),
            ("&Call-ID%3D", "a header field without `=`"),
        ];
        known.iter().find(|known| uri.contains(known.0)).map(|known| known.1)
    };
    for uri in others {
        assert!(why(uri).is_some(), "{uri}");
    }
}

/// TU.07; RFC 3261 §20.15, §20.42; RFC 7616 §3.3, §3.4.
#[test]
fn listed_vias_types_and_credentials() {
    let vias = refused("vias", |line| Via::parse(line).is_ok());
    if vias.is_empty() {
        return;
    }
    // RFC 2543 had comments; the second is the rest of a row that the list broke in two; the third has an open quote.
    let begins: Vec<_> = vias.iter().map(|via| via.get(..22).unwrap_or("")).collect();
    assert_eq!(begins, ["SIP/2.0/UDP my.ex.fr :", ";maddr=239.128.16.254;", "SIP/2.0/UDP my.ex.fr:4"]);
    assert!(refused("contenttypes", |line| typed::ContentType::parse(line).is_ok()).is_empty());
    let call_id = |line: &str| around(&format!("Call-ID: {line}"));
    let is_call_id = |line: &str| Message::parse(call_id(line).as_bytes(), &Limits::default()).is_ok();
    assert!(refused("callids", is_call_id).is_empty());
    // RFC 7616 §3.3: no realm. A challenge of another scheme than Digest is kept as it is.
    let no_realm = ["", ", algorithm=MD5", ", stale=true, algorithm=MD5"];
    let no_realm = no_realm.map(|rest| format!("Digest nonce=\"??????????\"{rest}"));
    for name in ["auths", "wwwas"] {
        assert_eq!(refused(name, |line| Challenge::parse(line).is_ok()), no_realm, "{name}");
    }
    // RFC 7616 §3.4: credentials need a user name, a URI and a response.
    let digests = lines("auths").into_iter().filter(|line| Credentials::parse(line).is_ok());
    assert_eq!(digests.filter(|line| line.starts_with("Digest")).count(), 1);
}

/// C001, C009: the cases of JAIN that are one header field or one URI; nothing about them needs to be forgiven.
#[test]
fn bare_header_fields_and_uris() {
    let (mut fields, mut uris) = (0, 0);
    for (path, expect) in indexed("jain") {
        let text = |path: &PathBuf| fs::read_to_string(path).expect("it is text").trim_end().to_owned();
        let name = path.display();
        match path.extension().and_then(|kind| kind.to_str()) {
            Some("uri") => {
                let text = text(&path);
                assert_eq!(Uri::parse(&text).is_ok(), expect == "parse-ok", "{name}: {text}");
                uris += 1;
            }
            Some("hdr") => {
                let message = around(&text(&path));
                let read = Message::parse_with(message.as_bytes(), &Limits::default(), Leniency::NONE);
                let read = read.map(drop).map_err(|refused| refused.error);
                assert_eq!(read.is_ok(), expect == "parse-ok", "{name}: {read:?}: {message}");
                fields += 1;
            }
            _ => {}
        }
    }
    if fields + uris > 0 {
        assert_eq!((fields, uris), (9, 6));
        ran("jain", &format!("{fields} header fields and {uris} URIs alone"));
    }
}

/// Returns a message with that header field.
fn around(field: &str) -> String {
    let name = field.split(':').next().unwrap_or("");
    let mut text =
        "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n".to_owned();
    for row in ["From: <sip:d@e>;tag=1", "To: <sip:a@b>", "Call-ID: x", "CSeq: 1 OPTIONS"] {
        if row.split(':').next() != Some(name) {
            text.push_str(row);
            text.push_str("\r\n");
        }
    }
    format!("{text}{}\r\n\r\n", field.replace('\n', "\r\n"))
}
