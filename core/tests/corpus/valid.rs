//! RFC 4475 §3.1.1: valid messages, their fields one by one.

use sansip::{
    Limits,
    body::multipart,
    sdp::{Description, SdpError},
    syntax::{self, HeaderId, Message, Method, StatusCode, View, header::Date},
};

use crate::{files::torture, messages::with};

/// T05.01, C001, C002, C003; RFC 4475 §3.1.1.1.
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
        assert_eq!(contact.display(), Some(r#""Quoted string \"\"""#));
        assert_described(view);
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

/// What every one of those bodies describes.
fn assert_described(view: View<'_>) {
    let description =
        Description::of(view, &Limits::default()).expect("the type says so").expect("it is one");
    assert_eq!(description.to_bytes(), view.body());
    assert_eq!(description.version(), Some(7_272_939));
    assert_eq!((description.media(0), description.streams()), (Ok("audio 49217 RTP/AVP 0 12"), 2));
    assert_eq!(description.media(1), Ok("video 3227 RTP/AVP 31"));
}

/// T05.03, C006; RFC 4475 §3.1.1.3: nothing that is escaped is undone.
#[test]
fn esc01() {
    with("esc01", |view| {
        assert_eq!(view.request_uri_text(), "sip:sips%3Auser%40example.com@example.net");
        let uri = view.request_uri().expect("a URI");
        assert_eq!((uri.user(), uri.host_text()), (Some("sips%3Auser%40example.com"), Some("example.net")));
        assert_eq!(view.to().uri().map(|uri| uri.user()), Ok(Some("%75se%72")));
        assert_eq!(view.from().uri().map(|uri| uri.user()), Ok(Some("I%20have%20spaces")));
        let contact = view.contacts().next().expect("a contact");
        assert_eq!(contact.uri_text(), "sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31");
        let uri = contact.uri().expect("a URI");
        let params: Vec<_> = uri.params().collect();
        assert_eq!(params, [("%6C%72", None), ("n%61me", Some("v%61lue%25%34%31"))]);
        assert_eq!(syntax::unescape("v%61lue%25%34%31"), "value%41", "once");
        assert_described(view);
    });
}

/// T05.04, C006; RFC 4475 §3.1.1.4.
#[test]
fn escnull() {
    with("escnull", |view| {
        for address in [view.to(), view.from()] {
            assert_eq!(address.uri().map(|uri| uri.user()), Ok(Some("null-%00-null")));
        }
        let users: Vec<_> = view.contacts().filter_map(|contact| contact.uri().ok()?.user()).collect();
        assert_eq!(users, ["%00", "%00%00"]);
        assert_eq!((view.from_tag(), view.cseq_number()), (Some("839923423"), 14_398_234));
    });
}

/// T05.05, C004, C005, C006; RFC 4475 §3.1.1.5.
#[test]
fn esc02() {
    with("esc02", |view| {
        assert!(matches!(view.method(), Some(Method::Other(_))) && !view.is(&Method::Register));
        assert_eq!((view.method_text(), view.cseq_method_text()), ("RE%47IST%45R", "RE%47IST%45R"));
        assert_eq!(view.to().display(), Some("\"%Z%45\""));
        assert_eq!(view.branch(), Some("z9hG4bK209%fzsnel234"));
        let contacts: Vec<_> = view.contacts().map(|contact| contact.uri_text()).collect();
        assert_eq!(contacts, ["sip:alias1@host1.example.com", "sip:alias3@host3.example.com"]);
        assert_eq!(view.header_named("C%6Fntact"), Some("<sip:alias2@host2.example.com>"));
    });
}

/// T05.06; RFC 4475 §3.1.1.6.
#[test]
fn lwsdisp() {
    with("lwsdisp", |view| {
        assert_eq!(
            (view.from().display(), view.from().uri_text()),
            (Some("caller"), "sip:caller@example.com")
        );
        assert_eq!((view.from_tag(), view.to().display()), (Some("323"), None));
    });
}

/// T05.07, C001, C003, C009; RFC 4475 §3.1.1.7: thirty-four rows of Via, written in ten ways, are one list.
#[test]
fn longreq() {
    with("longreq", |view| {
        let hosts: Vec<_> = view.vias().map(|via| via.host_text().to_owned()).collect();
        let expected: Vec<_> = (1..=33).rev().map(|number| format!("sip{number}.example.com")).collect();
        assert_eq!(hosts[..33], expected);
        assert_eq!(hosts[33], "host.example.com");
        let last = view.vias().last().and_then(|via| via.branch()).expect("a branch");
        assert!(last.starts_with("very") && last.ends_with("branchvalue"), "{last}");
        let name = format!("Unknown-{}-Name", "Long".repeat(20));
        let value = view.header_named(&name).expect("it is there");
        let (token, param) = value.split_once(';').expect("a parameter");
        assert_eq!(token, format!("unknown-{}-value", "long".repeat(20)));
        let (name, value) = param.split_once('=').expect("a value");
        assert_eq!(name.trim(), format!("unknown-{}-parameter-name", "long".repeat(20)));
        assert_eq!(value.trim(), format!("unknown-{}-parameter-value", "long".repeat(20)));
        let name = format!("I have a user name of {} proportion", "extreme".repeat(10));
        assert_eq!(syntax::unquote(view.to().display().expect("a name")), name);
        let uri = view.to().uri().expect("a URI");
        assert_eq!((uri.port(), uri.params().count()), (Some(6000), 3));
        let caller = "amazinglylongcallername".repeat(5);
        assert_eq!(view.from().uri_text(), format!("sip:{caller}@example.net"));
        assert_eq!(view.from_tag(), Some(&*format!("12{}424", "982".repeat(50))));
        assert_eq!(view.call_id(), format!("longreq.one{}longcallid", "really".repeat(20)));
        assert_described(view);
    });
}

/// T05.08, C022; RFC 4475 §3.1.1.8: the tail is left, and is a message of its own; its body is no description.
#[test]
fn dblreq() {
    with("dblreq", |view| {
        assert!(view.is(&Method::Register) && view.body().is_empty());
        assert_eq!(view.contacts().count(), 1);
    });
    let Some(bytes) = torture("dblreq") else { return };
    let first = bytes.windows(4).position(|end| end == b"\r\n\r\n").expect("a blank line") + 4;
    let tail = Message::parse(&bytes[first..], &Limits::default()).map_err(|refused| refused.error);
    let tail = tail.expect("a message behind an empty line");
    assert!(tail.view().is(&Method::Invite) && tail.view().call_id().starts_with("dblreq.0ha0isnda977"));
    let described = Description::of(tail.view(), &Limits::default());
    assert!(matches!(described, Some(Err(SdpError::Malformed(_)))), "`m =` is no line: {described:?}");
    assert_eq!(tail.view().body().len(), 150, "and yet the body is there");
}

/// T05.09, C006, C009; RFC 4475 §3.1.1.9.
#[test]
fn semiuri() {
    with("semiuri", |view| {
        let uri = view.request_uri().expect("a URI");
        assert_eq!((uri.user(), uri.params().count()), (Some("user;par=u%40example.net"), 0));
        let accepted: Vec<_> = view.list(HeaderId::Accept).collect();
        assert_eq!(
            accepted,
            [
                "application/sdp",
                "application/pkcs7-mime",
                "multipart/mixed",
                "multipart/signed",
                "message/sip",
                "message/sipfrag"
            ]
        );
    });
}

/// T05.10, C009; RFC 4475 §3.1.1.10.
#[test]
fn transports() {
    with("transports", |view| {
        let vias: Vec<_> = view.vias().map(|via| (via.transport(), via.host_text(), via.branch())).collect();
        assert_eq!(
            vias,
            [
                ("UDP", "t1.example.com", Some("z9hG4bKkdjuw")),
                ("SCTP", "t2.example.com", Some("z9hG4bKklasjdhf")),
                ("TLS", "t3.example.com", Some("z9hG4bK2980unddj")),
                ("UNKNOWN", "t4.example.com", Some("z9hG4bKasd0f3en")),
                ("TCP", "t5.example.com", Some("z9hG4bK0a9idfnee")),
            ]
        );
    });
}

/// T05.11, C021; RFC 4475 §3.1.1.11.
#[test]
fn mpart01() {
    with("mpart01", |view| {
        let kind = view.content_type().expect("a type");
        assert_eq!(kind, "multipart/mixed;boundary=7a9cbec02ceef655");
        assert!(view.body().len() == 553 && view.body().contains(&0));
        let limits = Limits::default();
        let parts: Vec<_> = multipart::parts(kind, view.body(), &limits)
            .expect("it has parts")
            .map(|part| part.expect("a good part"))
            .collect();
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0].body(), b"Hello");
        assert!(parts[1].body().contains(&0), "octets");
        assert_eq!(view.header(HeaderId::Date), Some("Sat, 15 Oct 2005 04:44:56 GMT"));
        let date = view.typed::<Date>().expect("it is there").expect("it is one");
        assert_eq!(date.to_string(), "Sat, 15 Oct 2005 04:44:56 GMT");
        let identity = view.header(HeaderId::Identity).expect("it is there");
        assert!(identity.starts_with("r5mwreLuyDRYBi/0TiPw") && identity.len() > 150);
        assert_eq!(view.routes().next().map(|route| route.uri_text()), Some("sip:127.0.0.1:5080"));
    });
}

/// T05.12, C007; RFC 4475 §3.1.1.12.
#[test]
fn unreason() {
    with("unreason", |view| {
        assert_eq!(view.status(), Some(StatusCode::OK));
        assert_eq!(view.reason(), "= 2**3 * 5**2 но сто девяносто девять - простое");
        assert_described(view);
    });
}

/// T05.13, C008; RFC 4475 §3.1.1.13: the phrase may be empty, and is when it is written again.
#[test]
fn noreason() {
    with("noreason", |view| {
        assert_eq!((view.status(), view.reason()), (Some(StatusCode::TRYING), ""));
        assert!(view.head_text().starts_with("SIP/2.0 100 \r\n"));
    });
}
