//! RFC 4475: verdicts at both ends of leniency, and the parts of valid messages compared with another reader's.

use std::{fs, path::Path};

use sansip::{
    Limits,
    syntax::{
        HeaderId, Leniency, Message, NameAddr, Params, ParseErrorKind as Kind, Uri, View,
        header::ContentLength,
    },
};
use serde_json::Value;

use crate::files::{corpus, ran};

fn json(path: &Path) -> Value {
    // One file holds the bytes of a binary body.
    let bytes = fs::read(path).expect("the set is whole");
    serde_json::from_str(&String::from_utf8_lossy(&bytes))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What is wrong only if nothing is forgiven.
const FORGIVEN: [(&str, Kind); 3] =
    [("lwsstart", Kind::Space), ("badaspec", Kind::Space), ("baddate", Kind::Date)];

/// C029–C031; RFC 4475 §3: every message, with all forgiven and with nothing.
#[test]
fn verdicts() {
    let Some(folder) = corpus("rfc4475") else { return };
    let rows = json(&folder.join("expectations.json"));
    let rows = rows.as_array().expect("a list of messages");
    assert_eq!(rows.len(), 50, "all of the archive");
    ran("rfc4475", &format!("{} with and without leniency", rows.len()));
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or("");
        let (name, parse) = (text("name"), text("parse"));
        let bytes = fs::read(folder.join(text("file"))).expect("the set is whole");
        let limits = Limits::default();
        let kind =
            |leniency| Message::parse_with(&bytes, &limits, leniency).map_err(|refused| refused.error.kind);
        let (lenient, strict) = (kind(Leniency::ALL).err(), kind(Leniency::NONE).err());
        match parse {
            "accept" => assert_eq!(lenient, None, "{name}"),
            "reject" | "discard" | "framing-error" => {
                let forgiven = FORGIVEN.iter().any(|known| known.0 == name);
                assert!(forgiven || lenient.is_some(), "{name}");
                assert!(strict.is_some(), "{name}");
            }
            _ => {}
        }
        let known = FORGIVEN.iter().find(|known| known.0 == name).map(|known| known.1);
        assert_eq!(strict, lenient.or(known), "{name}");
    }
}

/// C001–C010; RFC 4475 §3.1: fifteen messages, field by field.
#[test]
fn parts() {
    let (Some(golden), Some(messages)) = (corpus("rfc4475-json"), corpus("rfc4475")) else { return };
    let mut compared = 0;
    for entry in fs::read_dir(&golden).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|kind| kind != "json") {
            continue;
        }
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        let file = format!("{name}.dat");
        let of_both = [golden.join(&file), messages.join(&file)];
        let bytes =
            of_both.iter().find_map(|path| fs::read(path).ok()).expect("the message of the golden file");
        let mut expected = json(&path);
        if name == "esc02" {
            // RFC 4475 §3.1.1.5: escapes mean nothing in methods and names; the other reader undoes them.
            expected["method"] = "RE%47IST%45R".into();
            expected["headers"]["cseq"]["method"] = "RE%47IST%45R".into();
            expected["headers"]["contact"].as_array_mut().expect("three contacts").remove(1);
        }
        if name == "dblreq" {
            // RFC 3261 §18.3, RFC 4475 §3.1.1.8: what follows the body is not the body.
            expected["content"] = "".into();
        }
        match Message::parse(&bytes, &Limits::default()) {
            Ok(message) => compare(name, message.view(), &expected),
            // The other reader takes a malformed CSeq for none; RFC 3261 §8.1.1.5 wants one.
            Err(refused) => {
                assert_eq!((name, refused.error.header), ("badcseq", Some(HeaderId::CSeq)));
                compare(name, refused.message.expect("all but the CSeq").view(), &expected);
            }
        }
        compared += 1;
    }
    assert_eq!(compared, 14, "all there are");
    ran("rfc4475-json", &format!("{compared} field by field"));
}

fn compare(name: &str, view: View<'_>, expected: &Value) {
    if let Some(method) = expected["method"].as_str() {
        assert_eq!(view.method_text(), method, "{name}");
        assert_eq!(view.request_uri_text(), expected["uri"].as_str().unwrap_or(""), "{name}");
    } else {
        let status = view.status().map(|status| u64::from(status.as_u16()));
        assert_eq!(status, expected["status"].as_u64(), "{name}");
        assert_eq!(view.reason(), expected["reason"].as_str().unwrap_or(""), "{name}");
    }
    for (header, value) in expected["headers"].as_object().expect("header fields") {
        let at = format!("{name}: {header}");
        compare_header(&at, view, header, value);
    }
    if let Some(content) = expected["content"].as_str() {
        assert!(String::from_utf8_lossy(view.body()).starts_with(content.trim_end()), "{name}: body");
    }
}

fn compare_header(at: &str, view: View<'_>, header: &str, value: &Value) {
    match header {
        "from" => compare_address(at, view.from(), value),
        "to" => compare_address(at, view.to(), value),
        "contact" | "route" | "record-route" => {
            let addresses: Vec<_> = view.list(HeaderId::of(header)).map(NameAddr::parse).collect();
            let values = value.as_array().expect(at);
            assert_eq!(addresses.len(), values.len(), "{at}");
            for (address, value) in addresses.into_iter().zip(values) {
                compare_address(at, address.expect(at), value);
            }
        }
        "via" => {
            let values = value.as_array().expect(at);
            assert_eq!(view.vias().count(), values.len(), "{at}");
            for (via, value) in view.vias().zip(values) {
                assert_eq!(via.transport(), value["protocol"].as_str().expect(at), "{at}");
                assert_eq!(via.host_text(), value["host"].as_str().expect(at), "{at}");
                assert_eq!(via.port().map(u64::from), value["port"].as_u64(), "{at}");
                compare_params(at, via.params(), &value["params"]);
            }
        }
        "cseq" => {
            assert_eq!(u64::from(view.cseq_number()), value["seq"].as_u64().unwrap_or(0), "{at}");
            assert_eq!(view.cseq_method_text(), value["method"].as_str().unwrap_or(""), "{at}");
        }
        "content-length" => {
            let length = view.typed::<ContentLength>().map(|length| length.expect(at).0);
            assert_eq!(length.map(u64::from), value.as_u64(), "{at}");
        }
        _ => compare_text(at, &view.get_all(header).collect::<Vec<_>>().join(","), value),
    }
}

/// White space at folds and around commas is a matter of taste.
fn compare_text(at: &str, found: &str, value: &Value) {
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    match value {
        Value::String(text) => assert_eq!(bare(found), bare(text), "{at}"),
        Value::Number(number) => assert_eq!(found.parse().ok(), number.as_u64(), "{at}"),
        other => panic!("{at}: {other}"),
    }
}

fn compare_address(at: &str, address: NameAddr<'_>, value: &Value) {
    assert_eq!(address.display(), value["name"].as_str(), "{at}");
    match &value["uri"] {
        Value::String(uri) => assert_eq!(address.uri_text(), uri, "{at}"),
        parts => compare_uri(at, address.uri().expect(at), parts),
    }
    compare_params(at, address.params(), &value["params"]);
}

fn compare_uri(at: &str, uri: Uri<'_>, parts: &Value) {
    assert!(uri.as_str().starts_with(&format!("{}:", parts["schema"].as_str().expect(at))), "{at}");
    assert_eq!(uri.user(), parts["user"].as_str(), "{at}");
    assert_eq!(uri.host_text(), parts["host"].as_str(), "{at}");
    assert_eq!(uri.port().map(u64::from), parts["port"].as_u64(), "{at}");
    compare_params(at, uri.params(), &parts["params"]);
    assert_eq!(
        uri.headers().count(),
        parts["headers"].as_object().map_or(0, |headers| headers.len()),
        "{at}"
    );
}

fn compare_params(at: &str, params: Params<'_>, expected: &Value) {
    let expected = expected.as_object().expect(at);
    assert_eq!(params.count(), expected.len(), "{at}");
    for (name, value) in expected {
        assert_eq!(params.get(name), Some(value.as_str()), "{at}: {name}");
    }
}
