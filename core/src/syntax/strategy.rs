//! Strategies for `proptest`: valid messages and their parts, as peers spell them.
//!
//! They shrink towards short texts in their usual spelling. All are boxed: as values inside each other they would fill the
//! stack of a test's thread.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{Request, Response, Uri, UriBuf, parse::widest};

/// Generates hosts: names, IPv4 addresses, and IPv6 addresses in brackets (RFC 3261 §25.1).
pub fn host() -> BoxedStrategy<String> {
    let name = "[a-z]([a-z0-9-]{0,6}[a-z0-9])?(\\.[A-Za-z]([a-z0-9-]{0,6}[a-z0-9])?){0,3}\\.?";
    prop_oneof![
        3 => name,
        1 => any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).to_string()),
        1 => any::<u128>().prop_map(|bits| format!("[{}]", Ipv6Addr::from(bits))),
    ]
    .boxed()
}

/// Generates a host and, perhaps, a port, as `sent-by` and `hostport` have them.
pub fn hostport() -> BoxedStrategy<String> {
    (host(), option::weighted(0.3, any::<u16>()))
        .prop_map(|(host, port)| match port {
            Some(port) => format!("{host}:{port}"),
            None => host,
        })
        .boxed()
}

/// Generates `sip` and `sips` URIs without header fields, as they may stand in a Request-URI (RFC 3261 §19.1.1).
pub fn sip_uri() -> BoxedStrategy<UriBuf> {
    let scheme = prop_oneof![8 => Just("sip"), 1 => Just("sips"), 1 => Just("SIP")];
    let user = option::of("([a-zA-Z0-9_.!~*'()&=+$,;?/-]|%[0-9a-fA-F]{2}){1,8}(:[a-z0-9&=+$,-]{0,4})?");
    (scheme, user, hostport(), uri_params())
        .prop_map(|(scheme, user, host, params)| {
            let user = user.map(|user| user + "@").unwrap_or_default();
            buf(&format!("{scheme}:{user}{host}{params}"))
        })
        .boxed()
}

/// Generates URIs: `sip`, `sips`, with and without header fields, `tel` and others.
pub fn uri() -> BoxedStrategy<UriBuf> {
    let pair = "([a-zA-Z-]|%[0-9A-F]{2}){1,5}=([a-z0-9+$]|%[0-9A-F]{2}){0,5}";
    let headers = vec(pair, 1..4).prop_map(|pairs| pairs.join("&"));
    prop_oneof![
        6 => sip_uri(),
        2 => (sip_uri(), headers).prop_map(|(uri, headers)| buf(&format!("{uri}?{headers}"))),
        1 => "tel:\\+?[0-9]([0-9.()-]{0,9}[0-9])?(;phone-context=[a-z]{1,6})?".prop_map(|text| buf(&text)),
        1 => "(urn:service:|mailto:a@|http://)[a-z0-9.]{1,8}".prop_map(|text| buf(&text)),
    ]
    .boxed()
}

/// Generates one Via value (RFC 3261 §20.42).
pub fn via() -> BoxedStrategy<String> {
    let transport = select(vec!["UDP", "TCP", "TLS", "WS", "SCTP", "x-new"]);
    let slash = prop_oneof![8 => Just("/"), 1 => Just(" / ")];
    let branch = option::weighted(0.9, "z9hG4bK[a-zA-Z0-9.~-]{1,12}");
    (slash, transport, hostport(), branch, header_params())
        .prop_map(|(slash, transport, sent_by, branch, params)| {
            let branch = branch.map(|branch| format!(";branch={branch}")).unwrap_or_default();
            format!("SIP{slash}2.0{slash}{transport} {sent_by}{branch}{params}")
        })
        .boxed()
}

/// Generates one address with header parameters, but no tag (RFC 3261 §25.1, `name-addr` and `addr-spec`).
pub fn name_addr() -> BoxedStrategy<String> {
    let display = prop_oneof![
        Just(String::new()),
        "[A-Za-z]{1,6}( [A-Za-z.]{1,6}){0,2} ",
        "\"([ !#-\\[\\]-~\u{e4}\u{4e16}]|\\\\[\"\\\\]){0,10}\" ",
    ];
    let bare = "sip:[a-z]{1,5}@[a-z]{1,5}";
    (
        prop_oneof![4 => (display, uri()).prop_map(|(display, uri)| format!("{display}<{uri}>")), 1 => bare],
        header_params(),
    )
        .prop_map(|(address, params)| address + &params)
        .boxed()
}

/// Generates values of header fields that have no grammar here: text without control characters at the line's length.
pub fn header_value() -> BoxedStrategy<String> {
    "([!-~\u{e9}\u{4e16}]([ -~\u{e9}\u{4e16}]{0,20}[!-~\u{e9}])?)?".boxed()
}

/// Generates names of header fields that are not known.
pub fn unknown_name() -> BoxedStrategy<String> {
    "[XYZ]-[a-zA-Z0-9.!%*_+`'~-]{1,10}".boxed()
}

/// Generates bodies, with bytes of all kinds.
pub fn body() -> BoxedStrategy<Vec<u8>> {
    prop_oneof![2 => Just(Vec::new()), 1 => "[ -~\r\n]{1,40}".prop_map(String::into_bytes), 1 => vec(any::<u8>(), 1..40)]
    .boxed()
}

/// Generates requests.
pub fn request() -> BoxedStrategy<Request> {
    request_bytes()
        .prop_map(|bytes| match Request::parse(&bytes, &widest()) {
            Ok(request) => request,
            Err(error) => panic!("{error} in {:?}", String::from_utf8_lossy(&bytes)),
        })
        .boxed()
}

/// Generates responses.
pub fn response() -> BoxedStrategy<Response> {
    response_bytes()
        .prop_map(|bytes| match Response::parse(&bytes, &widest()) {
            Ok(response) => response,
            Err(error) => panic!("{error} in {:?}", String::from_utf8_lossy(&bytes)),
        })
        .boxed()
}

/// Generates the bytes of requests.
pub fn request_bytes() -> BoxedStrategy<Vec<u8>> {
    let method = prop_oneof![3 => select(vec!["INVITE", "OPTIONS", "BYE", "REGISTER"]).prop_map(str::to_owned), 1 => "[A-Z]{1,8}"];
    (method, sip_uri())
        .prop_flat_map(|(method, uri)| message(format!("{method} {uri} SIP/2.0"), Just(method)))
        .boxed()
}

/// Generates the bytes of responses.
pub fn response_bytes() -> BoxedStrategy<Vec<u8>> {
    let line = (100..700u16, "( [A-Za-z\u{e9}]{1,8}){0,3} ?");
    line.prop_flat_map(|(code, reason)| {
        message(format!("SIP/2.0 {code} {}", reason.trim_start()), "[A-Z]{3,8}")
    })
    .boxed()
}

fn message(line: String, method: impl Strategy<Value = String> + 'static) -> BoxedStrategy<Vec<u8>> {
    let needed = (vec(vias(), 1..4), addressed("From", "f"), addressed("To", "t"), call_id(), cseq(method));
    let max_forwards = option::of((0..300u32).prop_map(|hops| format!("Max-Forwards: {hops}")));
    let other = vec(other_row(), 0..6);
    let body = (body(), any::<bool>());
    (needed, max_forwards, other, body)
        .prop_flat_map(move |(needed, max_forwards, other, (body, told))| {
            let (vias, from, to, call_id, cseq) = needed;
            let mut rows = vias;
            rows.extend([from, to, call_id, cseq]);
            rows.extend(max_forwards);
            rows.extend(other);
            if told || body.is_empty() {
                rows.push(format!("Content-Length: {}", body.len()));
            }
            let line = line.clone();
            Just(rows).prop_shuffle().prop_map(move |rows| {
                let mut bytes = format!("{line}\r\n{}\r\n\r\n", rows.join("\r\n")).into_bytes();
                bytes.extend_from_slice(&body);
                bytes
            })
        })
        .boxed()
}

/// A row with a name in one of its spellings.
fn row(
    long: &'static str,
    compact: &'static str,
    value: impl Strategy<Value = String> + 'static,
) -> BoxedStrategy<String> {
    let name = prop_oneof![4 => Just(long.to_owned()), 1 => Just(compact.to_owned()), 1 => Just(long.to_uppercase())];
    let colon = prop_oneof![6 => Just(": "), 1 => Just(":"), 1 => Just(" : "), 1 => Just(":\r\n\t")];
    (name, colon, value).prop_map(|(name, colon, value)| format!("{name}{colon}{value}")).boxed()
}

fn list(item: impl Strategy<Value = String> + 'static) -> BoxedStrategy<String> {
    let comma = prop_oneof![4 => Just(", "), 1 => Just(","), 1 => Just(",\r\n ")];
    (vec(item, 1..4), comma).prop_map(|(items, comma)| items.join(comma)).boxed()
}

fn vias() -> BoxedStrategy<String> {
    row("Via", "v", list(via())).boxed()
}

fn addressed(long: &'static str, compact: &'static str) -> BoxedStrategy<String> {
    let value = (name_addr(), option::of("[a-z0-9]{1,8}"));
    row(
        long,
        compact,
        value.prop_map(|(address, tag)| match tag {
            Some(tag) => format!("{address};tag={tag}"),
            None => address,
        }),
    )
    .boxed()
}

fn call_id() -> BoxedStrategy<String> {
    row("Call-ID", "i", "[a-zA-Z0-9.!%*_+`'~()<>:\\\\\"/?{}-]{1,12}(@[a-z.]{1,8})?").boxed()
}

fn cseq(method: impl Strategy<Value = String> + 'static) -> BoxedStrategy<String> {
    (0..1u32 << 31, method)
        .prop_flat_map(|(number, method)| row("CSeq", "CSeq", Just(format!("{number} {method}"))))
        .boxed()
}

fn other_row() -> BoxedStrategy<String> {
    prop_oneof![
        1 => row("Contact", "m", list(name_addr())),
        1 => row("Route", "Route", list(name_addr())),
        1 => row("Record-Route", "Record-Route", list(name_addr())),
        1 => row("Supported", "k", list("[a-z0-9-]{1,8}")),
        2 => (unknown_name(), header_value()).prop_map(|(name, value)| format!("{name}: {value}")),
    ]
    .boxed()
}

fn uri_params() -> BoxedStrategy<String> {
    let param = prop_oneof![
        select(vec![
            "lr",
            "transport=tcp",
            "transport=UDP",
            "user=phone",
            "ttl=15",
            "maddr=239.255.255.1",
            "method=INVITE"
        ])
        .prop_map(str::to_owned),
        "x[a-z0-9]{0,4}(=([a-zA-Z0-9.!~*'()\\[\\]/:&+$-]|%[0-9A-F]{2}){1,6})?",
    ];
    vec(param, 0..3).prop_map(joined).boxed()
}

/// Parameters whose names are none of those that are looked for.
fn header_params() -> BoxedStrategy<String> {
    vec("x[a-z0-9]{0,4}(=([a-zA-Z0-9.!%*_+`'~-]{1,6}|\"([ !#-\\[\\]-~]|\\\\[\"\\\\]){0,6}\"))?", 0..3)
        .prop_map(joined)
        .boxed()
}

fn joined(params: Vec<String>) -> String {
    params.into_iter().map(|param| ";".to_owned() + &param).collect()
}

fn buf(text: &str) -> UriBuf {
    match Uri::parse(text) {
        Ok(uri) => uri.into(),
        Err(error) => panic!("{error}: {text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::{
        base::Limits,
        syntax::{self, Edit, Encoder, HeaderId, HeaderName, Host, Message, NameAddr, Via, View},
    };

    fn few() -> ProptestConfig {
        ProptestConfig { failure_persistence: None, cases: 256, ..ProptestConfig::default() }
    }

    fn message_bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![request_bytes(), response_bytes()]
    }

    fn parse(bytes: &[u8]) -> Message<'_> {
        let parsed = Message::parse(bytes, &Limits::default());
        parsed.unwrap_or_else(|refused| panic!("{} in {:?}", refused.error, String::from_utf8_lossy(bytes)))
    }

    fn rows(view: View<'_>) -> Vec<(String, String)> {
        view.fields().map(|(name, value, _)| (name.to_owned(), value.to_owned())).collect()
    }

    /// What can be done to a message, for the model.
    #[derive(Clone, Debug)]
    enum Change {
        PushVia(String),
        PopVia,
        PopRoute,
        MaxForwards(u32),
        Add(String),
        Replace(String),
        Remove(bool),
        Body(Vec<u8>),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            via().prop_map(Change::PushVia),
            Just(Change::PopVia),
            Just(Change::PopRoute),
            (0..300u32).prop_map(Change::MaxForwards),
            header_value().prop_map(Change::Add),
            header_value().prop_map(Change::Replace),
            any::<bool>().prop_map(Change::Remove),
            body().prop_map(Change::Body),
        ]
    }

    /// Does one change to the rows of a message by hand: only one, for several are changes to what arrived.
    fn model(view: View<'_>, change: &Change) -> Vec<(String, String)> {
        let mut rows = rows(view);
        let at = |rows: &[(String, String)], id| rows.iter().position(|(name, _)| HeaderId::of(name) == id);
        let all = |rows: &mut Vec<(String, String)>, id| rows.retain(|(name, _)| HeaderId::of(name) != id);
        let below_vias =
            rows.iter().rposition(|(name, _)| HeaderId::of(name) == HeaderId::Via).map_or(0, |row| row + 1);
        let mut pop = |id, all: Vec<String>, rest: &dyn Fn(&str) -> String| {
            if let Some(row) = at(&rows, id) {
                if all.len() > 1 { rows[row].1 = rest(&rows[row].1.clone()) } else { drop(rows.remove(row)) }
            }
        };
        let behind = |second: &str, value: &str| {
            let first_comma = value.find(second).expect("the second element is in the row");
            value[first_comma..].to_owned()
        };
        match change {
            Change::PopVia => {
                let row = view.headers(HeaderId::Via).next().unwrap_or("");
                let cut = syntax_items(row);
                pop(HeaderId::Via, cut.clone(), &|value| behind_first(value, &cut, behind));
            }
            Change::PopRoute => {
                let row = view.headers(HeaderId::Route).next().unwrap_or("");
                let cut = syntax_items(row);
                pop(HeaderId::Route, cut.clone(), &|value| behind_first(value, &cut, behind));
            }
            Change::PushVia(value) => {
                let row = at(&rows, HeaderId::Via).unwrap_or(0);
                rows.insert(row, ("Via".into(), value.trim().to_owned()));
            }
            Change::MaxForwards(hops) => match at(&rows, HeaderId::MaxForwards) {
                Some(row) => rows[row].1 = hops.to_string(),
                None => rows.insert(below_vias, ("Max-Forwards".into(), hops.to_string())),
            },
            Change::Add(value) => rows.push(("Subject".into(), value.trim().to_owned())),
            Change::Replace(value) => match at(&rows, HeaderId::Supported) {
                Some(row) => {
                    let name = rows[row].0.clone();
                    all(&mut rows, HeaderId::Supported);
                    rows.insert(row, (name, value.trim().to_owned()));
                }
                None => rows.push(("Supported".into(), value.trim().to_owned())),
            },
            Change::Remove(true) => all(&mut rows, HeaderId::Contact),
            Change::Remove(false) => drop(at(&rows, HeaderId::Contact).map(|row| rows.remove(row))),
            Change::Body(body) => {
                rows.extend([("Content-Type".into(), "a/b".into())]);
                match at(&rows, HeaderId::ContentLength) {
                    Some(row) => rows[row].1 = body.len().to_string(),
                    None => rows.push(("Content-Length".into(), body.len().to_string())),
                }
            }
        }
        rows
    }

    /// What stands between the commas of one row.
    fn syntax_items(row: &str) -> Vec<String> {
        let text = format!("X sip:a SIP/2.0\r\nRequire: {row}\r\n\r\n");
        let message = Message::split(text.as_bytes(), &Limits::default()).expect("a row");
        message.view().list(HeaderId::Require).map(str::to_owned).collect()
    }

    fn behind_first(value: &str, items: &[String], behind: impl Fn(&str, &str) -> String) -> String {
        let skipped = items[0].len();
        behind(&items[1], &value[skipped..])
    }

    fn apply<'m>(edit: &mut Edit<'m>, change: &'m Change) {
        match change {
            Change::PushVia(value) => _ = edit.push_via(value.as_str()).expect("a value"),
            Change::PopVia => drop(edit.pop_via()),
            Change::PopRoute => drop(edit.pop_route()),
            Change::MaxForwards(hops) => _ = edit.max_forwards(*hops),
            Change::Add(value) => _ = edit.add(&HeaderName::SUBJECT, value.as_str()).expect("a value"),
            Change::Replace(value) => {
                _ = edit.replace(&HeaderName::SUPPORTED, value.as_str()).expect("a value")
            }
            Change::Remove(true) => _ = edit.remove(&HeaderName::CONTACT).expect("allowed"),
            Change::Remove(false) => _ = edit.remove_first(&HeaderName::CONTACT).expect("allowed"),
            Change::Body(body) => _ = edit.body(Some(("a/b", body))).expect("a value"),
        }
    }

    /// Another spelling of a URI that RFC 3261 §19.1.4 takes for the same.
    fn respelled(uri: &UriBuf, how: u8) -> UriBuf {
        let text = uri.as_str();
        let (head, params) = text.split_at(text.rfind('@').unwrap_or(0));
        let end = params.find(';').unwrap_or(params.len());
        let (host, params) = params.split_at(end);
        let host = if how & 1 == 0 || head.is_empty() { host.to_owned() } else { host.to_uppercase() };
        let mut params: Vec<_> = params.split(';').skip(1).map(str::to_owned).collect();
        params.dedup_by(|a, b| a == b);
        let names: Vec<_> =
            params.iter().map(|param| param.split('=').next().unwrap_or("").to_lowercase()).collect();
        let unique = names.iter().all(|name| names.iter().filter(|other| *other == name).count() == 1);
        if how & 2 != 0 && unique {
            params.reverse();
        }
        if how & 4 != 0 {
            params.iter_mut().for_each(|param| *param = param.replace("transport", "Transport"));
        }
        buf(&format!("{head}{host}{}", joined(params)))
    }

    proptest! {
        #![proptest_config(few())]

        /// D12: what is not changed goes out as it came in, owned or edited.
        #[test]
        fn no_change_is_identity(bytes in message_bytes()) {
            let message = parse(&bytes);
            let mut out = BytesMut::new();
            Edit::new(message.view()).expect("a checked message").write(&mut out);
            prop_assert_eq!(&out[..], &bytes[..]);
            let owned = message.to_request().map(|owned| owned.to_bytes());
            let owned = owned.or_else(|| message.to_response().map(|owned| owned.to_bytes()));
            prop_assert_eq!(&owned.expect("one of the two")[..], &bytes[..]);
        }

        /// D12: an edited message is the one that the model expects, and nothing else of it is touched.
        #[test]
        fn edits_follow_the_model(bytes in message_bytes(), change in change()) {
            let message = parse(&bytes);
            let view = message.view();
            if matches!(change, Change::PopVia) && view.vias().count() == 1 {
                return Ok(());
            }
            let mut edit = Edit::new(view).expect("a checked message");
            apply(&mut edit, &change);
            let mut out = BytesMut::new();
            edit.write(&mut out);
            prop_assert_eq!(edit.size(), out.len());
            let again = parse(&out);
            prop_assert_eq!(rows(again.view()), model(view, &change));
            prop_assert_eq!(again.view().start_line(), view.start_line());
            let body = if let Change::Body(body) = &change { body } else { view.body() };
            prop_assert_eq!(again.view().body(), body);
        }

        /// Any edits together still make a message.
        #[test]
        fn edits_together_make_a_message(bytes in message_bytes(), changes in vec(change(), 0..8)) {
            let message = parse(&bytes);
            let mut edit = Edit::new(message.view()).expect("a checked message");
            edit.push_via("SIP/2.0/UDP last").expect("a value");
            changes.iter().for_each(|change| apply(&mut edit, change));
            let mut out = BytesMut::new();
            edit.write(&mut out);
            prop_assert_eq!(edit.size(), out.len());
            let view = parse(&out);
            prop_assert_eq!(view.view().call_id(), message.view().call_id());
        }

        /// C004, P19: copied by an encoder, all rows keep their order and values, known or not.
        #[test]
        fn encoding_and_parsing_is_identity(request in request()) {
            let view = request.view();
            let mut out = BytesMut::new();
            Encoder::request(&mut out, &request.method(), view.request_uri_text())
                .copy_if(view, |id| id != HeaderId::ContentLength)
                .end_raw(view.body());
            let again = Request::parse(&out, &Limits::default()).expect("a request");
            let kept = |view: View<'_>| -> Vec<_> {
                let fields = view.fields().filter(|field| field.2 != HeaderId::ContentLength);
                fields.map(|(name, value, id)| (id, if id == HeaderId::Other { name } else { "" }.to_owned(), value.to_owned())).collect()
            };
            prop_assert_eq!(kept(again.view()), kept(view));
            prop_assert_eq!(again.view().body(), view.body());
            prop_assert_eq!(again.view().request_uri_text(), view.request_uri_text());
        }

        /// What is peeked at is what is parsed.
        #[test]
        fn peeking_finds_the_call_id(bytes in message_bytes()) {
            let message = parse(&bytes);
            prop_assert_eq!(syntax::call_id(&bytes), Some(message.view().call_id().as_bytes()));
        }

        /// P18: every place for a host gives back the host that was put there.
        #[test]
        fn hosts_come_back(host in host(), port in option::of(any::<u16>())) {
            let expected = Host::parse(&host).expect("a host");
            let printed = expected.to_string();
            prop_assert_eq!(Host::parse(&printed), Ok(expected));
            let place = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
            let address = format!("<sip:u@{place};maddr={host}>");
            let text = format!(
                "INVITE sip:u@{place};maddr={host} SIP/2.0\r\nVia: SIP/2.0/UDP {place};received={host};maddr={host}\r\n\
                 From: {address};tag=1\r\nTo: {address}\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContact: {address}\r\n\
                 Route: {address}\r\nRecord-Route: {address}\r\nPath: {address}\r\nService-Route: {address}\r\n\
                 Refer-To: {address}\r\nReferred-By: {address}\r\nReply-To: {address}\r\nP-Asserted-Identity: {address}\r\n\r\n"
            );
            let message = parse(text.as_bytes());
            let view = message.view();
            let via = view.via();
            prop_assert_eq!((via.host(), via.port(), via.received(), via.maddr()), (expected, port, Some(&host[..]), Some(&host[..])));
            let routes = view.contacts().chain(view.routes()).chain(view.record_routes()).chain([view.from(), view.to()]);
            let mut uris: Vec<_> = routes.map(|address| address.uri()).collect();
            uris.push(view.request_uri());
            for id in [HeaderId::Path, HeaderId::ServiceRoute, HeaderId::ReferTo, HeaderId::ReferredBy, HeaderId::ReplyTo, HeaderId::PAssertedIdentity] {
                let address = view.addresses(id).next().expect("it is there");
                uris.push(address.expect("an address").uri());
            }
            prop_assert_eq!(uris.len(), 12);
            for uri in uris {
                let uri = uri.expect("a URI");
                prop_assert_eq!((uri.host(), uri.port(), uri.maddr()), (Some(expected), port, Some(&host[..])));
            }
        }

        /// C014; RFC 3261 §19.1.4: reflexive and symmetric always. Transitive among spellings of one URI only: a URI
        /// without a parameter equals two that have different values for it.
        #[test]
        fn equivalence_of_uris(a in sip_uri(), b in uri(), how in (0..8u8, 0..8u8, 0..8u8)) {
            prop_assert!(b.as_uri().is_equivalent(&b.as_uri()) && a.as_uri().is_equivalent(&a.as_uri()));
            prop_assert_eq!(a.as_uri().is_equivalent(&b.as_uri()), b.as_uri().is_equivalent(&a.as_uri()));
            let [x, y, z] = [how.0, how.1, how.2].map(|how| respelled(&a, how));
            let same = |a: &UriBuf, b: &UriBuf| a.as_uri().is_equivalent(&b.as_uri());
            prop_assert!(same(&x, &y) && same(&y, &x) && same(&y, &z) && same(&x, &z), "{x} {y} {z}");
        }

        /// The parts are valid alone.
        #[test]
        fn parts_are_valid(via in via(), address in name_addr(), host in host()) {
            prop_assert_eq!(Via::parse(&via).map(|via| via.as_str().to_owned()), Ok(via.clone()));
            let read = NameAddr::parse(&address);
            prop_assert_eq!(read.map(|read| read.as_str().to_owned()), Ok(address.clone()));
            prop_assert!(read.is_ok_and(|read| read.uri().is_ok()) && Host::parse(&host).is_ok());
        }

        #[test]
        fn responses_are_valid(response in response()) {
            prop_assert!(response.view().status().is_some());
        }
    }
}
