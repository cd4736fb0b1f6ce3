//! Every typed header field: what it takes, what it refuses, what it tells, and that it prints what it read.

use std::fmt::Debug;

use sansip::{
    Limits,
    syntax::{
        CSeq, Header, HeaderId, HeaderName, Host, Message, Method, ParseErrorKind as Kind, Request,
        RequestBuilder, View, header::*,
    },
};

/// Reads a good value, and what it prints again.
fn good<'a, H: Header<'a> + PartialEq + Debug>(text: &'a str) -> H {
    let value = H::parse(text).unwrap_or_else(|error| panic!("{:?} {text:?}: {error}", H::NAME));
    let printed: &'static str = value.to_string().leak();
    // One lifetime for both, so that they can be compared.
    fn again<'s, H: Header<'s>>(printed: &'s str) -> H {
        H::parse(printed).unwrap_or_else(|error| panic!("printed {printed:?}: {error}"))
    }
    assert_eq!(again::<H>(printed), value, "{text:?} prints as {printed:?}");
    value
}

/// Reads values that are good and such that are not.
fn table<'a, H: Header<'a> + PartialEq + Debug>(goods: &[&'a str], bads: &[&'a str]) {
    for text in goods {
        good::<H>(text);
    }
    for text in bads {
        let error = H::parse(text).expect_err(text);
        assert_eq!(error.header, Some(H::NAME.id()), "{text:?}");
        assert!(error.offset <= text.len(), "{text:?}: {error}");
    }
}

/// A request with these header fields besides those that all have.
fn request(fields: &str) -> Request {
    let text = format!(
        "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\nf: <sip:d@e>;tag=1\r\n\
         t: <sip:a@b>\r\ni: x\r\nCSeq: 1 OPTIONS\r\n{fields}l: 0\r\n\r\n"
    );
    Request::parse(text.as_bytes(), &Limits::default()).expect(fields)
}

fn all<'a, H: Header<'a> + Debug>(view: View<'a>) -> Vec<Result<String, Kind>> {
    view.typed_all::<H>().map(|value| value.map(|v| v.to_string()).map_err(|e| e.kind)).collect()
}

/// C001, C009; RFC 3261 §7.3.1: rows and commas are one list, compact or not, in any case.
#[test]
fn lists_go_on_over_rows() {
    let request = request("Supported: a, b\r\nk:c\r\nsUPPORTED :\r\nSupported: d , ,e,\r\n");
    let tags: Vec<_> = all::<Supported>(request.view());
    assert_eq!(tags, ["a", "b", "c", "d", "e"].map(|tag| Ok(tag.to_owned())));
    assert_eq!(request.view().typed::<Require>(), None);
}

/// A malformed element hides none of the others, and its place is told.
#[test]
fn a_malformed_element_stands_alone() {
    let request =
        request("Alert-Info: <sip:a>, sip:b, \"x,y\" <sip:c>, <sip:d>;x=\"1,2\"\r\nAlert-Info: <e:f>\r\n");
    let found = all::<AlertInfo>(request.view());
    let uri = || Err(Kind::Uri);
    assert_eq!(
        found,
        [Ok("<sip:a>".into()), uri(), uri(), Ok("<sip:d>;x=\"1,2\"".into()), Ok("<e:f>".into())]
    );
    let error = request.view().typed_all::<AlertInfo>().nth(1).expect("five").expect_err("no brackets");
    assert!(request.view().head_text()[error.offset..].starts_with("sip:b"), "{error}");
    // Where quotes do not end, nothing can be told apart behind them.
    assert_eq!(Typed::<Warning>::of("399 a \"x, 399 b \"y\"").expect("short").count(), 1);
}

/// C002: folds are white space in a value.
#[test]
fn folds_are_white_space() {
    let request = request("Event: presence\r\n ;\r\n\tid=7\r\nSubject: a\r\n b\r\n");
    let event = request.view().typed::<Event>().expect("there").expect("good");
    assert_eq!((event.package(), event.id()), ("presence", Some("7")));
    let subject = request.view().typed::<Subject>().expect("there").expect("good");
    assert_eq!(subject.as_str(), "a\r\n b");
    let built = RequestBuilder::new(Method::Options, "sip:a@b".parse().expect("a URI"))
        .via("SIP/2.0/UDP c;branch=z9hG4bK1")
        .from("<sip:d@e>;tag=1")
        .to("<sip:a@b>")
        .call_id("x")
        .typed(&Expires(60))
        .typed(&SessionExpires::new(90, Some(Refresher::Uas)))
        .build()
        .expect("a request");
    assert_eq!(built.view().get("x"), Some("90;refresher=uas"));
    assert_eq!(built.view().typed(), Some(Ok(Expires(60))));
}

/// C004: header fields of other names can be looked up like known ones.
#[test]
fn looks_up_by_name() {
    let request = request("X-A: 1\r\nx-a: 2\r\nX-B: 3\r\nSubject:\r\n");
    let view = request.view();
    let name: HeaderName = "x-A".parse().expect("a name");
    assert_eq!(view.get_all(&name).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(
        (view.get("x-b"), view.get(HeaderId::Subject), view.get("s")),
        (Some("3"), Some(""), Some(""))
    );
    assert!(view.contains("X-A") && !view.contains("X-C") && !view.contains(HeaderId::Other));
    assert_eq!(view.fields().len(), 10);
    assert_eq!(view.fields().next_back().map(|field| field.0), Some("l"));
}

/// RFC 3261 §20.1–§20.3, §20.11–§20.15, §20.24; RFC 8262 §3.2.
#[test]
fn content() {
    table::<ContentType>(
        &["application/sdp", "text / plain ; charset=\"utf-8\"", "multipart/mixed;boundary=--x", "a/b;c"],
        &["", "text", "text/", "/plain", "text/*", "*/*", "text/plain x", "text/plain,", "text/plain;=x"],
    );
    let kind: ContentType = good("Multipart/Mixed;BOUNDARY=\"a b\"");
    assert!(kind.is("multipart", "mixed") && kind.boundary() == Some("a b"));
    table::<Accept>(
        &["*/*", "text/*;q=0.3", "application/sdp;level=1;q=1.000"],
        &["*/plain", "text", "a/b;q=2", "a/b;q", "a/b;q=0.0001"],
    );
    let range: Accept = good("text/*;q=0.5");
    assert!(range.includes(&good::<ContentType>("TEXT/html")) && !range.includes(&kind));
    assert_eq!((range.q(), good::<Accept>("a/b").q()), (500, 1000));
    table::<AcceptEncoding>(&["gzip", "*;q=0", "identity;q=0.5;x"], &["", "gzip;q=1.1", "a b", ";q=1"]);
    assert_eq!(good::<AcceptEncoding>("gzip;q=0.25").q(), 250);
    table::<AcceptLanguage>(
        &["da", "en-gb;q=0.8", "*", "zh-Hant-TW"],
        &["", "1a", "abcdefghi", "a-", "**", "en;q=x"],
    );
    assert_eq!(good::<AcceptLanguage>("en;q=0.7").q(), 700);
    table::<ContentLanguage>(&["fr", "en-US"], &["*", "", "a_b"]);
    table::<ContentEncoding>(&["gzip", "tar"], &["", "a/b"]);
    table::<ContentDisposition>(&["session", "render;handling=optional"], &["", "a;", "a b"]);
    assert!(good::<ContentDisposition>("icon").is_required());
    assert!(!good::<ContentDisposition>("icon;Handling=OPTIONAL").is_required());
    table::<ContentLength>(&["0", "007", "4294967295"], &["", "-1", "+1", "4294967296", "1 2"]);
    table::<MimeVersion>(&["1.0", "11.22"], &["", "1", "1.", ".1", "1. 0", "1.0.0", "a.b"]);
    table::<ContentId>(
        &["<a@b>", "<1.2$x@c.d>"],
        &["a@b", "<a>", "<@b>", "<a@>", "<a@b", "<a@<b>>", "<a b@c>"],
    );
    assert!(good::<ContentEncoding>("GZIP") == good::<ContentEncoding>("gzip"));
    assert!(good::<ContentId>("<A@b>") != good::<ContentId>("<a@b>"));
}

/// RFC 3261 §20.5, §20.29, §20.32, §20.37, §20.40; RFC 3841 §10; RFC 5373 §2.
#[test]
fn options() {
    table::<Supported>(&["100rel", "x.y-z"], &["", "a b", "a;b", "a,b", "\"a\""]);
    table::<Require>(&["timer"], &["a/b"]);
    table::<ProxyRequire>(&["sec-agree"], &[""]);
    table::<Unsupported>(&["foo"], &["@"]);
    table::<RequestDisposition>(&["no-fork", "proxy"], &["", "no fork"]);
    table::<Priority>(&["emergency", "X-mine"], &["", "very urgent"]);
    table::<Allow>(&["INVITE", "Invite", "FOO"], &["", "A/B", "INVITE ACK"]);
    let method: Allow = good("PRACK");
    assert!(
        method.is(&Method::Prack)
            && method.method() == Method::Prack
            && !good::<Allow>("Prack").is(&Method::Prack)
    );
    table::<AnswerMode>(&["Auto", "manual;require"], &["", ";require"]);
    assert!(good::<AnswerMode>("Auto;REQUIRE").is_required());
    assert!(!good::<PrivAnswerMode>("Auto").is_required());
    assert!(good::<Supported>("Path").is("path"));
}

/// RFC 3261 §20.4, §20.9, §20.18; RFC 6442 §4; RFC 6794 §4.4.5; RFC 8876 §5.2.
#[test]
fn references() {
    let bad =
        ["", "http://a", "<>", "<a b:c>", "<http://a", "<http://a>x", "\"a\" <http://a>", "<no scheme>"];
    table::<AlertInfo>(&["<http://a/b?c#d>", " <urn:alert:source:external> ;x=\"y\""], &bad);
    table::<CallInfo>(&["<http://a>;purpose=icon"], &bad);
    assert_eq!(good::<CallInfo>("<http://a,b> ;Purpose=card").purpose(), Some("card"));
    table::<ErrorInfo>(&["<sip:not-in-service@a.com>"], &bad);
    table::<Geolocation>(&["<cid:a@b>", "<https://a>;inserted-by=\"b\""], &bad);
    assert_eq!(good::<Geolocation>("<cid:a@b>").uri().map(|uri| uri.as_str().len()), Ok(7));
    table::<PolicyContact>(&["<sip:a@b>;non-cacheable"], &bad);
    table::<PolicyId>(&["sip:a@b;token=x", "<sip:a@b>;token=x"], &["", "a"]);
    table::<GeolocationRouting>(&["yes", "no", "maybe;x=y"], &["", "a b"]);
    assert!(good::<GeolocationRouting>("YES").is_allowed() && !good::<GeolocationRouting>("no").is_allowed());
    table::<GeolocationError>(&["1", "100;code=\"x\""], &["", "1000", "x"]);
    assert_eq!(good::<GeolocationError>("300;code=\"no\"").text(), Some("\"no\""));
    table::<AlertMsgError>(&["100;message=\"x\""], &["10", "1000"]);
}

/// RFC 3261 §20.10, §20.31; RFC 3840 §9; RFC 5626 §10; RFC 5627 §7.
#[test]
fn contacts() {
    table::<Contact>(
        &[
            "sip:a@b",
            "sip:a@b;q=0.5",
            "\"Mr. Watson\" <sip:w@b>;q=0.7; expires=3600",
            "<mailto:w@b>;q=0.1",
            "<sip:a@[2001:db8::1]:5060;ob>;reg-id=2147483647",
        ],
        &[
            "",
            "*",
            "sip",
            "<sip:a@b>;q=1.1",
            "<sip:a@b>;q",
            "<sip:a@b>;reg-id=0",
            "<sip:a@b>;reg-id",
            "<sip:a@b>;reg-id=2147483648",
            "<sip:a@b",
            "sip:a@b?x=y",
            "<sip:a@b>;",
        ],
    );
    let contact: Contact = good(
        "<sip:a@b;ob;gr>;q=0.33;expires=60;+sip.instance=\"<urn:uuid:0>\";reg-id=1;pub-gruu=\"sip:a@b;gr=x\";\
         temp-gruu=\"sip:t@b;gr\";audio;+sip.ice;methods=\"INVITE,BYE\"",
    );
    assert_eq!((contact.q(), contact.expires(), contact.reg_id()), (330, Some(60), Some(1)));
    assert_eq!((contact.instance(), contact.is_outbound()), (Some("urn:uuid:0"), true));
    assert_eq!(contact.pub_gruu().as_deref(), Some("sip:a@b;gr=x"));
    assert_eq!(contact.temp_gruu().as_deref(), Some("sip:t@b;gr"));
    let features: Vec<_> = contact.features().map(|feature| feature.name()).collect();
    assert_eq!(features, ["+sip.instance", "audio", "+sip.ice", "methods"]);
    // RFC 3261 §20.10: a malformed `expires` is 3600.
    for (text, expires) in [
        ("", None),
        (";expires", Some(3600)),
        (";expires=x", Some(3600)),
        (";expires=4294967296", Some(3600)),
        (";expires=0", Some(0)),
    ] {
        assert_eq!(
            Contact::parse(&format!("<sip:a@b>{text}")).map(|contact| contact.expires()),
            Ok(expires),
            "{text}"
        );
    }
    assert_eq!((good::<Contact>("sip:a@b").q(), good::<Contact>("sip:a@b").instance()), (1000, None));
    table::<ReplyTo>(&["Bob <sip:bob@b>"], &["", "<sip:a@b>, <sip:c@d>"]);
}

/// C010: what stands in a URI's brackets is the URI's, what stands behind is the header field's.
#[test]
fn several_addresses_in_a_row() {
    let request =
        request("m: \"A, B\" <sip:a@b;x=1?s=,>;y=2, sip:c@d;z=3,<sip:e@f,g>;p=\"1,2\"\r\nm: <tel:+1>\r\n");
    let contacts: Vec<_> =
        request.view().typed_all::<Contact>().map(|contact| contact.expect("good")).collect();
    assert_eq!(contacts.len(), request.view().contacts().count());
    let uris: Vec<_> = contacts.iter().map(|contact| contact.uri_text()).collect();
    assert_eq!(uris, ["sip:a@b;x=1?s=,", "sip:c@d", "sip:e@f,g", "tel:+1"]);
    let params: Vec<_> = contacts.iter().map(|contact| contact.params().as_str()).collect();
    assert_eq!(params, [";y=2", ";z=3", ";p=\"1,2\"", ""]);
}

/// RFC 3261 §20.22, §20.30, §20.34; RFC 3327; RFC 3608; RFC 5360; RFC 5393; RFC 5626.
#[test]
fn routes() {
    let (goods, bads) = (["<sip:p.example.com;lr>", "P <sips:[::1];lr>;x=y"], ["", "p", "<sip:p;lr", "<>"]);
    table::<Route>(&goods, &bads);
    table::<RecordRoute>(&goods, &bads);
    table::<Path>(&goods, &bads);
    table::<ServiceRoute>(&goods, &bads);
    table::<PermissionMissing>(&goods, &bads);
    table::<TriggerConsent>(&["sip:a@b;target-uri=\"sip:c@d\""], &bads);
    table::<MaxForwards>(&["70", "0068", "299"], &["", "-1", "7x", "300"]);
    table::<MaxBreadth>(&["60"], &["x"]);
    table::<FlowTimer>(&["126"], &["1.5"]);
    assert_eq!(good::<FlowTimer>("126").0, 126);
    let via: Via = good("SIP/2.0/TLS [::1]:5061;branch=z9hG4bKa");
    assert_eq!(via.port(), Some(5061));
    assert_eq!(good::<CSeq>("1 INVITE").method, Method::Invite);
}

type Via<'a> = sansip::syntax::Via<'a>;

/// RFC 6665 §8.2, RFC 3903 §12, RFC 5839.
#[test]
fn events() {
    table::<Event>(
        &["presence", "presence.winfo;id=1", "refer ; id=93809824"],
        &["", ".", "a.", ".a", "a..b", "a;id=", "a b"],
    );
    let event: Event = good("conference.a.b;id=x");
    assert_eq!((event.package(), event.templates().collect::<Vec<_>>()), ("conference", vec!["a", "b"]));
    assert!(event.is_same(&good("conference.a.b;x=y;id=x")) && !event.is_same(&good("conference.a.b")));
    table::<AllowEvents>(&["presence.winfo", "dialog"], &["", "a.", "a;b"]);
    table::<SubscriptionState>(
        &["active;expires=60", "terminated;reason=noresource", "x"],
        &["", ";expires=1", "a b"],
    );
    let state: SubscriptionState = good("Terminated ;reason=probation;retry-after=5");
    assert_eq!((state.state(), state.reason()), (SubstateValue::Terminated, Some("probation")));
    assert_eq!((state.retry_after(), state.expires()), (Some(5), None));
    assert_eq!(good::<SubscriptionState>("ACTIVE;expires=7").expires(), Some(7));
    assert_eq!(good::<SubscriptionState>("pending").state(), SubstateValue::Pending);
    assert_eq!(good::<SubscriptionState>("else").state(), SubstateValue::Other("else"));
    table::<SipEtag>(&["dx200xyz"], &["", "a b", "\"a\""]);
    table::<SipIfMatch>(&["dx200xyz"], &["a;b"]);
    table::<SuppressIfMatch>(&["*", "x"], &[""]);
    assert_ne!(good::<SipEtag>("a"), good::<SipEtag>("A"), "opaque");
}

/// RFC 4028 §4, §5; RFC 3262 §7; RFC 3261 §20.21; RFC 3891; RFC 3911; RFC 4538; RFC 6086; RFC 7989; RFC 7433; RFC 3326.
#[test]
fn sessions() {
    table::<SessionExpires>(
        &["1800", "1800 ; Refresher = UAC", "90;x=\"y\";refresher=uas;z"],
        &["", "x", "-1", "90;refresher=me", "90;refresher", "90 80", "4294967296"],
    );
    let expires: SessionExpires = good("90;x;refresher=uas");
    assert_eq!((expires.seconds, expires.refresher), (90, Some(Refresher::Uas)));
    assert_eq!(expires.to_string(), "90;refresher=uas;x");
    table::<MinSe>(&["90", "120;x=y"], &["", "a", "90;"]);
    assert_eq!(MinSe::new(90).to_string(), "90");
    table::<RSeq>(&["1", "4294967295"], &["", "4294967296", "x"]);
    table::<RAck>(
        &["776656 1 INVITE", "1\r\n 2\t ACK"],
        &["", "1", "1 2", "1 2INVITE", "1 x INVITE", "1 2 INVITE x"],
    );
    assert_eq!(
        good::<RAck>("3 4 FOO"),
        RAck { response: 3, cseq: 4, method: "FOO".parse().expect("a method") }
    );
    table::<InReplyTo>(&["70710@saturn.bell-tel.com"], &["", "a b"]);
    let bads = [
        "",
        "x",
        "x;to-tag=1",
        "x;from-tag=1",
        "x;to-tag=1;from-tag=2;to-tag=3",
        "x;to-tag;from-tag=1",
        "x;to-tag=a/b;from-tag=1",
    ];
    table::<Replaces>(&["98732@sip.example.com;from-tag=r33th4x0r;to-tag=ff87ff"], &bads);
    table::<Join>(&["x;to-tag=0;from-tag=0"], &bads);
    table::<TargetDialog>(&["x;local-tag=1;remote-tag=2"], &["", "x;local-tag=1", "x;to-tag=1;from-tag=2"]);
    let replaces: Replaces = good("a@b;to-tag=1;From-Tag=2;early-only");
    assert_eq!((replaces.call_id(), replaces.to_tag(), replaces.from_tag()), ("a@b", "1", "2"));
    assert!(replaces.is_early_only() && !good::<Replaces>("a;to-tag=1;from-tag=2").is_early_only());
    let join: Join = good("a@b;to-tag=1;from-tag=2");
    assert_eq!((join.call_id(), join.to_tag(), join.from_tag()), ("a@b", "1", "2"));
    let target: TargetDialog = good("a;local-tag=1;remote-tag=2");
    assert_eq!((target.call_id(), target.local_tag(), target.remote_tag()), ("a", "1", "2"));
    table::<InfoPackage>(&["conf", "foo;x=y"], &["", "a/b"]);
    table::<RecvInfo>(&["conf"], &[";"]);
    let uuid = "ab30317f1a784dc48ff824d0d3715d86";
    assert_eq!(good::<SessionId>(uuid).local(), uuid);
    let both = format!("{uuid};remote=47755a9de7794ba387653f2099600ef2");
    assert_eq!(SessionId::parse(&both).map(|id| id.remote()), Ok(Some("47755a9de7794ba387653f2099600ef2")));
    table::<SessionId>(
        &[],
        &[
            "",
            "ab",
            "AB30317f1a784dc48ff824d0d3715d86",
            "ab30317f1a784dc48ff824d0d3715d860",
            "ab30317f1a784dc48ff824d0d3715d86;remote",
            "ab30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600EF2",
        ],
    );
    table::<UserToUser>(
        &["56a390f3;encoding=hex", "\"a, b\";purpose=isdn-uui"],
        &["", ";encoding=hex", "a b"],
    );
    table::<Reason>(
        &["SIP;cause=200;text=\"Call completed elsewhere\"", "Q.850;cause=16", "foo"],
        &["", ";cause=1", "SIP;cause=x"],
    );
    let reason: Reason = good("sip ;cause=600 ;text=\"Busy Everywhere\"");
    assert!(reason.is("SIP") && reason.cause() == Some(600) && reason.text() == Some("\"Busy Everywhere\""));
    assert_eq!((reason.protocol(), reason.params().count()), ("sip", 2));
}

/// RFC 3515, RFC 3892, RFC 4488.
#[test]
fn referrals() {
    table::<ReferTo>(
        &["<sip:bob@b?Replaces=x%3Bto-tag%3D1>", "sip:a@b;method=INVITE"],
        &["", "<sip:a@b>, <sip:c@d>", "a"],
    );
    assert_eq!(
        good::<ReferTo>("<sip:b@c;method=BYE>").uri().map(|uri| uri.param("method")),
        Ok(Some(Some("BYE")))
    );
    table::<ReferredBy>(&["<sip:r@ref.example>;cid=\"20398823.2UWQFN309shb3@ref.example\""], &["", "x"]);
    assert_eq!(good::<ReferredBy>("<sip:r@b>;cid=\"a@b\"").cid(), Some("\"a@b\""));
    table::<ReferSub>(&["true", "false;x"], &["", "maybe", "true false"]);
    assert!(good::<ReferSub>("TRUE").is_wanted() && !good::<ReferSub>("false").is_wanted());
}

/// RFC 3323, RFC 3325, RFC 3329, RFC 4474, RFC 5806, RFC 7044, RFC 8224.
#[test]
fn identities() {
    table::<PAssertedIdentity>(
        &["\"Cullen Jennings\" <sip:fluffy@cisco.com>", "tel:+14085264000"],
        &["", "x"],
    );
    table::<PPreferredIdentity>(&["sip:a@b"], &["<sip:a@b"]);
    table::<RemotePartyId>(&["\"A\" <sip:a@b>;party=calling;privacy=off"], &["a"]);
    table::<Privacy>(&["id", "header;user;critical", "none"], &["", ";", "id;", "id,user", "a b"]);
    let privacy: Privacy = good("Header ; ID");
    assert!(privacy.has("id") && !privacy.has("user"));
    assert_eq!(privacy.values().collect::<Vec<_>>(), ["Header", "ID"]);
    table::<HistoryInfo>(
        &["<sip:a@b>;index=1", "<sip:a@b?Reason=SIP%3Bcause%3D302>;index=1.10.2;mp=1"],
        &[
            "",
            "<sip:a@b>;index=",
            "<sip:a@b>;index",
            "<sip:a@b>;index=1..2",
            "<sip:a@b>;index=01",
            "<sip:a@b>;rc=x",
        ],
    );
    let entry: HistoryInfo = good("<sip:a@b>;index=1.2.3;rc=1.2");
    assert_eq!((entry.index(), entry.target()), (Some("1.2.3"), Some(HiTarget::Registered("1.2"))));
    assert_eq!(entry.index_numbers().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(good::<HistoryInfo>("<a:b>;index=1;np=1").target(), Some(HiTarget::Unchanged("1")));
    table::<Diversion>(&["<tel:+1>;reason=user-busy;counter=2"], &["", "x"]);
    let diversion: Diversion = good("<tel:+1>;reason=no-answer");
    assert_eq!((diversion.reason(), diversion.counter()), (Some("no-answer"), 1));
    assert_eq!(good::<Diversion>("<tel:+1>;counter=3").counter(), 3);
    let text = "eyJ.eyJ-_.sig+/==;info=<https://a.com/b;c>;alg=ES256;ppt=\"shaken\";x";
    table::<Identity>(&[text, "\"abc=\""], &["", ";info=<a:b>", "a;info=<a b>", "a;info=<a:b", "a;", "a b"]);
    let identity: Identity = good(text);
    assert_eq!((identity.digest(), identity.info()), ("eyJ.eyJ-_.sig+/==", Some("https://a.com/b;c")));
    assert_eq!((identity.alg(), identity.ppt()), (Some("ES256"), Some("\"shaken\"")));
    assert_eq!(good::<Identity>("\"abc=\"").digest(), "abc=");
    table::<IdentityInfo>(&["<https://a/b.cer>;alg=rsa-sha1"], &["", "https://a"]);
    let (goods, bads) =
        (["digest;d-alg=md5;q=0.1", "tls;q=0.2", "ipsec-3gpp;alg=hmac-sha-1-96;spi-c=1"], ["", "tls;q=2"]);
    table::<SecurityClient>(&goods, &bads);
    table::<SecurityServer>(&goods, &bads);
    table::<SecurityVerify>(&goods, &bads);
    let q = (
        good::<SecurityServer>("tls;q=0.2").q(),
        good::<SecurityClient>("tls").q(),
        good::<SecurityVerify>("a;q=0").q(),
    );
    assert_eq!(q, (200, 1000, 0));
}

/// RFC 3841 §10, RFC 4412 §3, RFC 6809 §6.3.2.
#[test]
fn preferences() {
    table::<AcceptContact>(
        &["*", "*;audio;require", "* ; mobility=\"fixed\";explicit"],
        &["", "a;audio", "*x", "* *"],
    );
    table::<RejectContact>(&["*;actor=\"msg-taker\";video"], &["x"]);
    table::<FeatureCaps>(&["*;+3gpp.feature=\"<a>\""], &["+x"]);
    assert_eq!(good::<RejectContact>("*;actor=\"msg-taker\";video;other").features().count(), 2);
    assert_eq!(good::<FeatureCaps>("*;+a;+b=\"x\"").features().count(), 2);
    table::<ResourcePriority>(&["ets.0", "dsn.flash-override"], &["", "ets", "ets.", ".0", "a.b.c", "a.b c"]);
    table::<AcceptResourcePriority>(&["q735.4"], &["x"]);
    let value: ResourcePriority = good("DSN.flash");
    assert_eq!((value.namespace(), value.priority()), ("DSN", "flash"));
    assert_eq!(value, good("dsn.FLASH"));
}

/// RFC 3261 §20.17, §20.19, §20.23, §20.25, §20.33, §20.35, §20.36, §20.38, §20.41, §20.43.
#[test]
fn times_and_texts() {
    table::<Expires>(&["0", "4294967295"], &["", "4294967296", "-1", "5 6"]);
    table::<MinExpires>(&["60"], &["1h"]);
    table::<Date>(&["Sat, 13 Nov 2010 23:29:00 GMT"], &["", "Fri, 01 Jan 2010 16:00:00 EST"]);
    table::<Timestamp>(&["54", "54.", "54.3 0.5", "1 ."], &["", ".5", "5x", "5.5.5", "a", "5 b", "5 6 7"]);
    table::<RetryAfter>(
        &["18000;duration=3600", "120 (I'm in a meeting)", "5"],
        &["", "x", "5 (", "5 x", "(a) 5", "949302838503028349304023988"],
    );
    assert_eq!(good::<RetryAfter>("5;duration=7").duration(), Some(7));
    table::<Subject>(&["", "Need more boxes", "a,b;c"], &[]);
    table::<Organization>(&["Boxes by Bob"], &[]);
    let (goods, bads) =
        (["HomeServer v2", "a/1.0 (x (y)) b", "Softphone Beta1.5"], ["", "a/", "(a", "[a]", "a,b", "\"a\""]);
    table::<Server>(&goods, &bads);
    table::<UserAgent>(&goods, &bads);
    let values: Vec<_> = good::<UserAgent>("a / 1.0 (x) b").values().collect();
    let expected = [
        ServerValue::Product("a", Some("1.0")),
        ServerValue::Comment("(x)"),
        ServerValue::Product("b", None),
    ];
    assert_eq!(values, expected);
    table::<Warning>(
        &["307 isi.edu \"Session parameter 'foo' not understood\"", "301 [::1]:5060 \"x\"", "399 me \"\""],
        &[
            "",
            "1812 overture \"In Progress\"",
            "30 a \"x\"",
            "307 isi.edu",
            "307 isi.edu x",
            "307 \"x\"",
            "307isi \"x\"",
        ],
    );
    let warning: Warning = good("301 isi.edu:5060 \"a, b\"");
    assert_eq!((warning.code(), warning.agent(), warning.text()), (301, "isi.edu:5060", "\"a, b\""));
}

/// RFC 3313, RFC 4964, RFC 5002, RFC 5009, RFC 5318, RFC 5502, RFC 6050, RFC 7315, RFC 7316, RFC 8496.
#[test]
fn private_headers() {
    table::<PAssociatedUri>(&["<sip:a@b>", "A <sip:a@b>;x"], &["", "x"]);
    table::<PCalledPartyId>(&["<sip:a@b>"], &["<sip:a@b>, <sip:c@d>"]);
    table::<PProfileKey>(&["<sip:chatroom-!.*!@example.com>"], &[""]);
    table::<PRefusedUriList>(&["sip:a@b;members=\"<cid:c@d>\""], &["x"]);
    table::<PChargeInfo>(&["<sip:a@b;noa=1>;npi=ISDN"], &["x"]);
    let user: PServedUser = good("<sip:a@b>;sescase=orig;regstate=reg;orig-cdiv");
    assert_eq!(
        (user.session_case(), user.registration_state(), user.is_diverting()),
        (Some("orig"), Some("reg"), true)
    );
    table::<PVisitedNetworkId>(&["other.net", "\"Visited network number 1\";x"], &["", "a b"]);
    table::<PAccessNetworkInfo>(
        &["3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=\"0F\"", "ADSL;network-provided"],
        &["", ";x"],
    );
    let access: PAccessNetworkInfo = good("IEEE-802.11;i-wlan-node-id=001;network-provided");
    assert_eq!((access.location(), access.is_network_provided()), (Some(("i-wlan-node-id", "001")), true));
    table::<PAnswerState>(&["Unconfirmed"], &[""]);
    table::<PPrivateNetworkIndication>(&["example.com;x=y"], &["", "192.0.2.1", "a..b"]);
    table::<PEarlyMedia>(&["sendrecv", "gated"], &["", "a b"]);
    table::<PMediaAuthorization>(&["0123abCD"], &["", "xyz"]);
    table::<PAssertedService>(
        &["urn:urn-7:3gpp-service.exampletelephony.version1"],
        &["", "urn:urn-7:", "urn:urn-7:a..b", "urn:x:a", "urn:urn-7:a:b"],
    );
    assert!(good::<PPreferredService>("URN:urn-7:a.b").is("urn:urn-7:A.B"));
    assert!(good::<PAssertedService>("urn:urn-7:a").uri().is_ok());
    table::<PChargingVector>(
        &["icid-value=1234bc9876e;icid-generated-at=192.0.6.8;orig-ioi=home1.net"],
        &["", "icid-value", "orig-ioi=x", "icid-value=1;", ";icid-value=1", "icid-value=1,x=2"],
    );
    let vector: PChargingVector = good(
        "ICID-value = \"a;b\" ; icid-generated-at=[::1];orig-ioi=o;term-ioi=t;transit-ioi=\"a.1, void,b.22\"",
    );
    assert_eq!((vector.icid(), vector.generated_at()), ("\"a;b\"", Some("[::1]")));
    assert_eq!((vector.orig_ioi(), vector.term_ioi()), (Some("o"), Some("t")));
    assert_eq!(vector.transit_iois().collect::<Vec<_>>(), [Some(("a", 1)), None, Some(("b", 22))]);
    table::<PChargingFunctionAddresses>(
        &["ccf=192.1.1.1;ccf-2=192.1.1.2;ecf=[5555::1]"],
        &["", ";ccf=x", "ccf="],
    );
    let addresses: PChargingFunctionAddresses = good("ccf=a;ecf-2=d;ecf=c;ccf-2=b");
    assert_eq!(addresses.ccf().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((addresses.ecf().collect::<Vec<_>>(), addresses.pairs().count()), (vec!["c", "d"], 4));
}

/// RFC 4475 §3.1.2.12: a message with a malformed Date passes, and who asks learns of it.
#[test]
fn all_types_can_be_checked_at_once() {
    let good = request("Date: Sat, 13 Nov 2010 23:29:00 GMT\r\nX-X: ;;,,\r\nAllow: INVITE,, ACK\r\n");
    assert_eq!(good.view().check_typed(), Ok(()));
    let bad = request("Date: Fri, 01 Jan 2010 16:00:00 EST\r\n");
    let error = bad.view().check_typed().expect_err("a foreign zone");
    assert_eq!((error.kind, error.header), (Kind::Date, Some(HeaderId::Date)));
    for id in ["Warning: 1812 a \"b\"", "Expires: 1x", "Content-Type: a", "Accept: a/b, c", "RAck: 1", "e: @"]
    {
        let text = format!("{id}\r\n");
        let request = request(&text);
        let error = request.view().check_typed().expect_err(id);
        assert!(error.header.is_some() && request.view().head_text().is_char_boundary(error.offset), "{id}");
    }
}

/// A type whose name is none of the known ones.
#[derive(Debug, PartialEq)]
struct Color<'a>(&'a str);

impl<'a> Header<'a> for Color<'a> {
    const NAME: HeaderName = HeaderName::from_static("X-Color");
    const LIST: bool = true;

    fn read(reader: &mut sansip::syntax::Reader<'a>) -> Result<Self, Kind> {
        reader.token().map(Self)
    }
}

impl std::fmt::Display for Color<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// Anybody can add a header field.
#[test]
fn own_header_fields() {
    let request = request("x-color: red, green\r\nX-Colour: x\r\nX-Color: /, blue\r\n");
    let colors: Vec<_> = request.view().typed_all::<Color>().filter_map(Result::ok).collect();
    assert_eq!(colors, [Color("red"), Color("green"), Color("blue")]);
    let error = Color::parse("").expect_err("empty");
    assert_eq!((error.kind, error.header), (Kind::Token, None));
    assert_eq!(Color::parse("a b").map_err(|error| error.offset), Err(2));
    assert_eq!(Host::parse("a"), Ok(Host::Name("a")));
    let message = Message::parse(b"SIP/2.0 200 OK\r\n\r\n", &Limits::default());
    assert!(
        message.is_err_and(|refused| refused.message.is_some_and(|m| m.view().typed::<Color>().is_none()))
    );
}
