//! IPv6 in every place of a message: the cases of RFC 5118 §4 and RFC 5954.

use sansip::{
    Limits,
    syntax::{Host, Message, ParseErrorKind as Kind, Uri, View},
};

/// A REGISTER to `uri` with a Via that ends in `via`, and more header fields and a body.
fn message(uri: &str, via: &str, rest: &str) -> String {
    format!(
        "REGISTER {uri} SIP/2.0\r\nTo: sip:user@example.com\r\nFrom: sip:user@example.com;tag=81x2\r\n\
         Via: SIP/2.0/UDP [2001:db8::9:1]{via};branch=z9hG4bKas3-111\r\n\
         Call-ID: SSG9559905523997077@hlau_4100\r\nMax-Forwards: 70\r\nCSeq: 98176 REGISTER\r\n{rest}"
    )
}

fn with(text: &str, look: impl FnOnce(View<'_>)) {
    match Message::parse(text.as_bytes(), &Limits::default()) {
        Ok(message) => look(message.view()),
        Err(refused) => panic!("{text}: {}", refused.error),
    }
}

fn refused(text: &str) -> (Kind, String) {
    let refused = Message::parse(text.as_bytes(), &Limits::default()).expect_err(text);
    (refused.error.kind, refused.error.reason().to_string())
}

const CONTACT: &str = "Contact: \"Caller\" <sip:caller@[2001:db8::1]>\r\nContent-Length: 0\r\n\r\n";

/// T22.06–T22.09, C032; RFC 5118 §4.1–§4.4.
#[test]
fn references_in_uris() {
    with(&message("sip:[2001:db8::10]", "", CONTACT), |view| {
        let uri = view.request_uri().expect("a URI");
        assert_eq!((uri.host_text(), uri.port()), (Some("[2001:db8::10]"), None));
        let contact = view.contacts().next().and_then(|contact| contact.uri().ok()).expect("a contact");
        assert_eq!(contact.host(), Some(Host::parse("[2001:DB8:0:0:0:0:0:1]").expect("an address")));
    });
    let bare = refused(&message("sip:2001:db8::10", "", CONTACT));
    assert_eq!(bare, (Kind::RequestUri, "Invalid Request-URI".into()));
    // Within the brackets, 5070 is a part of the address.
    with(&message("sip:[2001:db8::10:5070]", "", CONTACT), |view| {
        let uri = view.request_uri().expect("a URI");
        assert_eq!(
            (uri.host().map(|host| host.to_string()), uri.port()),
            (Some("[2001:db8::10:5070]".into()), None)
        );
    });
    with(&message("sip:[2001:db8::10]:5070", "", CONTACT), |view| {
        assert_eq!(view.request_uri().map(|uri| uri.port()), Ok(Some(5070)));
    });
}

/// T22.10, T22.11; RFC 5118 §4.5: `received` with and without brackets.
#[test]
fn references_in_vias() {
    for (parameter, received) in
        [("[2001:db8::9:255]", "[2001:db8::9:255]"), ("2001:db8::9:255", "2001:db8::9:255")]
    {
        with(&message("sip:[2001:db8::10]", &format!(";received={parameter}"), CONTACT), |view| {
            assert_eq!(view.via().received(), Some(received));
            assert_eq!(view.sent_by().to_string(), "[2001:db8::9:1]");
            assert_eq!(view.branch(), Some("z9hG4bKas3-111"));
        });
    }
    with(&message("sip:a", ":6050;maddr=[ff02::1];rport=1", CONTACT), |view| {
        assert_eq!((view.via().port(), view.via().maddr()), (Some(6050), Some("[ff02::1]")));
    });
}

/// RFC 5118 §4.6–§4.8: addresses of both kinds side by side, in header fields and in the body.
#[test]
fn both_kinds_in_one_message() {
    let body = "v=0\r\no=assistant 971731711378798081 0 IN IP6 2001:db8::20\r\ns=x\r\nc=IN IP6 2001:db8::20\r\n\
        t=0 0\r\nm=audio 6000 RTP/AVP 0\r\nm=video 6024 RTP/AVP 107\r\nc=IN IP4 192.0.2.1\r\n";
    let rest = format!(
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKas3-112, SIP/2.0/TCP [::ffff:192.0.2.7];branch=z9hG4bK3\r\n\
         Route: <sip:[2001:db8::9]:5060;lr>, <sip:192.0.2.9;lr>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    with(&message("sip:user@[2001:db8::10]", "", &rest), |view| {
        let hosts: Vec<_> = view.vias().map(|via| via.host().ip().map(|ip| ip.is_ipv6())).collect();
        assert_eq!(hosts, [Some(true), Some(false), Some(true)]);
        let routes: Vec<_> = view.routes().filter_map(|route| route.uri().ok()?.host_text()).collect();
        assert_eq!(routes, ["[2001:db8::9]", "192.0.2.9"]);
        let session = sdp_types::Session::parse(view.body());
        assert!(session.is_ok_and(|session| session.medias.len() == 2));
    });
}

/// T22, RFC 5118 §4.9 and §4.10; RFC 5954 §4.1: two colons before an IPv4 address, never three.
#[test]
fn mapped_addresses() {
    let host = |text: &str| Uri::parse(text).ok().and_then(|uri| uri.host()?.ip());
    assert_eq!(host("sip:user@[::ffff:192.0.2.10]:19823"), "::ffff:192.0.2.10".parse().ok());
    assert_eq!(host("sip:user@[2001:db8::192.0.2.1]"), "2001:db8::192.0.2.1".parse().ok());
    assert_eq!(host("sip:user@[2001:db8:::192.0.2.1]"), None);
    for bad in ["[::1%eth0]", "[:::]", "[1::2::3]", "[::256.0.0.1]", "[1:2:3:4:5:6:7]", "[::12345]", "[v1.a]"]
    {
        assert_eq!(host(&format!("sip:{bad}")), None, "{bad}");
    }
    assert_eq!(refused(&message("sip:user@[2001:db8:::192.0.2.1]", "", CONTACT)).0, Kind::RequestUri);
}

/// RFC 3261 §19.1.4, RFC 5952: other spellings of one address are equal.
#[test]
fn spellings_compare() {
    let parse = |text: &'static str| Uri::parse(text).expect("a URI");
    let equal = |a, b| parse(a).is_equivalent(&parse(b));
    assert!(equal("sip:[2001:db8::1]", "sip:[2001:0DB8:0:0::0001]"));
    assert!(!equal("sip:[2001:db8::1]", "sip:[2001:db8::1]:5060"));
    assert!(!equal("sip:[::ffff:192.0.2.1]", "sip:192.0.2.1"));
}
