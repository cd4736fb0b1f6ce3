//! The messages of RFC 5118: IPv6 addresses where they may stand and where not, and what an endpoint does with them.

use std::net::IpAddr;

use sansip::{
    Config, Limits,
    sdp::{self, Local, sdp_types},
    syntax::Message,
};
use sansip_tests::{ByHand, Phone, field, only};

/// An OPTIONS to a URI, with more Via values after the first, a body, and what the first Via ends in.
fn options(uri: &str, received: &str, more: &str, body: &str) -> String {
    format!(
        "OPTIONS {uri} SIP/2.0\r\nTo: sip:user@example.com\r\nFrom: sip:user@example.com;tag=81x2\r\n\
         Via: SIP/2.0/UDP [2001:db8::9:1]{received};branch=z9hG4bKas3-111\r\n{more}\
         Call-ID: SSG9559905523997077@hlau_4100\r\nMax-Forwards: 70\r\nCSeq: 98176 OPTIONS\r\n\
         Contact: \"Caller\" <sip:caller@[2001:db8::1]>\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Returns what an endpoint answers.
fn answer(request: &str) -> String {
    only(&ByHand::new(Config::default(), Phone::new()).datagram(request))
}

/// Returns the first line of what an endpoint answers.
fn status(request: &str) -> String {
    answer(request).lines().next().unwrap_or_default().to_owned()
}

/// Returns the host and the port of a Request-URI as they are read.
fn target(request: &str) -> (String, Option<u16>) {
    let message = Message::parse(request.as_bytes(), &Limits::default()).expect("it is valid");
    let uri = message.view().request_uri().expect("a URI");
    (uri.host().expect("a host").to_string(), uri.port())
}

/// T22.06, RFC 5118 §4.1: a reference in brackets is served.
#[test]
fn t22_06_a_valid_reference() {
    let request = options("sip:[2001:db8::10]", "", "", "");
    assert_eq!(status(&request), "SIP/2.0 200 OK");
    assert_eq!(target(&request), ("[2001:db8::10]".into(), None));
}

/// T22.07, RFC 5118 §4.2: without brackets it is no URI, and the answer says so.
#[test]
fn t22_07_a_reference_without_brackets() {
    let request = options("sip:2001:db8::10", "", "", "");
    assert_eq!(status(&request), "SIP/2.0 400 Invalid Request-URI");
}

/// T22.08, T22.09, RFC 5118 §4.3, §4.4: what looks like a port is a part of the address inside of the brackets, and a port
/// outside.
#[test]
fn t22_08_t22_09_ports_and_brackets() {
    let inside = options("sip:[2001:db8::10:5070]", "", "", "");
    assert_eq!(status(&inside), "SIP/2.0 200 OK");
    assert_eq!(target(&inside), ("[2001:db8::10:5070]".into(), None));
    let outside = options("sip:[2001:db8::10]:5070", "", "", "");
    assert_eq!(status(&outside), "SIP/2.0 200 OK");
    assert_eq!(target(&outside), ("[2001:db8::10]".into(), Some(5070)));
}

/// T22.10, T22.11, RFC 5118 §4.5: `received` is read with brackets and without. One that came with a request names nothing to
/// us: the answer shows where it really came from.
#[test]
fn t22_10_t22_11_received() {
    for received in ["[2001:db8::9:255]", "2001:db8::9:255"] {
        let request = options("sip:[2001:db8::10]", &format!(";received={received}"), "", "");
        let message = Message::parse(request.as_bytes(), &Limits::default()).expect("it is valid");
        assert_eq!(message.view().via().received(), Some(received));
        let answer = answer(&request);
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        let via = field(&answer, "Via");
        assert!(via.starts_with("SIP/2.0/UDP [2001:db8::9:1]"), "{via}");
        assert!(via.contains(";received=192.0.2.9;") && !via.contains("2001:db8::9:255"), "{via}");
    }
}

/// The session of an IPv6 host, with a second stream elsewhere.
const OFFER: &str = "v=0\r\no=assistant 971731711378798081 0 IN IP6 2001:db8::20\r\ns=Live video feed\r\n\
    c=IN IP6 2001:db8::20\r\nt=3338481189 3370017201\r\nm=audio 6000 RTP/AVP 2 0\r\na=rtpmap:2 G726-32/8000\r\n\
    m=video 6024 RTP/AVP 107\r\n";

/// Returns the connection addresses of a session and of its streams.
fn connections(sdp: &[u8]) -> Vec<Option<String>> {
    let session = sdp_types::Session::parse(sdp).expect("it is valid");
    let streams = session.medias.iter().map(|media| media.connections.first());
    let shown = |connection: &sdp_types::Connection| {
        format!("{} {}", connection.addrtype, connection.connection_address)
    };
    [session.connection.as_ref()].into_iter().chain(streams).map(|connection| connection.map(shown)).collect()
}

fn accept(offer: &str, own: &str) -> Vec<u8> {
    let address: IpAddr = own.parse().expect("an address");
    let local = Local::new(address, 1, 1).audio(4000);
    sdp::answer(offer.as_bytes(), &local, &Limits::default()).expect("there is something in common")
}

/// T22.12, RFC 5118 §4.6: a session with IPv6 addresses is read and answered with one.
#[test]
fn t22_12_sessions_over_ipv6() {
    let request = options("sip:user@[2001:db8::10]", "", "Content-Type: application/sdp\r\n", OFFER);
    let message = Message::parse(request.as_bytes(), &Limits::default()).expect("it is valid");
    assert_eq!(connections(message.view().body()), [Some("IP6 2001:db8::20".into()), None, None]);
    let answer = accept(OFFER, "2001:db8::10");
    assert_eq!(connections(&answer)[0], Some("IP6 2001:db8::10".into()));
    let text = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        text.contains("IN IP6 2001:db8::10\r\n") && text.contains("m=audio 4000 RTP/AVP 0\r\n"),
        "{text}"
    );
}

/// T22.13, RFC 5118 §4.7: Via values of both families are kept in their order, and the answer goes back to where the request
/// came from.
#[test]
fn t22_13_vias_of_both_families() {
    let more = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKas3-112, SIP/2.0/TCP [::ffff:192.0.2.7];branch=z9hG4bK3\r\n";
    let answer = answer(&options("sip:user@[2001:db8::10]", "", more, ""));
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    let message = Message::parse(answer.as_bytes(), &Limits::default()).expect("it is valid");
    let hosts: Vec<String> = message.view().vias().map(|via| via.host().to_string()).collect();
    assert_eq!(hosts, ["[2001:db8::9:1]", "192.0.2.1", "[::ffff:192.0.2.7]"]);
}

/// T22.14, RFC 5118 §4.8: streams of one session may be at addresses of different families, and are answered each.
#[test]
fn t22_14_streams_of_both_families() {
    let mixed = format!("{OFFER}c=IN IP4 192.0.2.1\r\n");
    let expected =
        [Some("IP6 2001:db8::20"), None, Some("IP4 192.0.2.1")].map(|text| text.map(str::to_owned));
    assert_eq!(connections(mixed.as_bytes()), expected);
    let text = String::from_utf8_lossy(&accept(&mixed, "2001:db8::10")).into_owned();
    assert!(
        text.contains("m=audio 4000 RTP/AVP 0\r\n") && text.contains("m=video 0 RTP/AVP 107\r\n"),
        "{text}"
    );
}

/// T22.15, RFC 5118 §4.9, §4.10: an IPv4 address may be mapped into an IPv6 one; three colons before it are an error.
#[test]
fn t22_15_mapped_addresses_and_colons() {
    let mapped = options("sip:user@[::ffff:192.0.2.10]:19823", "", "", "");
    assert_eq!(status(&mapped), "SIP/2.0 200 OK");
    assert_eq!(target(&mapped).1, Some(19_823));
    let colons = options("sip:user@[2001:db8:::192.0.2.1]", "", "", "");
    assert_eq!(status(&colons), "SIP/2.0 400 Invalid Request-URI");
}
