//! Requests that URIs describe, and what the endpoint adds to them.

use sansip::{FormError, Outgoing, Proto, syntax::Uri};

use crate::node::Node;

fn formed(uri: &str) -> Result<String, FormError> {
    let request = Outgoing::of_uri(Uri::parse(uri).expect("a URI"))?;
    let mut node = Node::new(|_| {});
    node.listen(Proto::Udp, 5060, None);
    Ok(node.request(request))
}

/// C012, C013, TU.03; RFC 3261 §19.1.5: method, header fields and body are the request's, and leave its URI.
#[test]
fn a_uri_forms_a_request() {
    let text = formed(
        "sip:bob@198.51.100.7;method=MESSAGE;x=y?Subject=two%20words&Priority=urgent&to=%3Csip:carol%40example.com%3E&\
         body=at%20noon%3F%0D%0AX:%20no",
    )
    .expect("it is harmless");
    assert!(text.starts_with("MESSAGE sip:bob@198.51.100.7;x=y SIP/2.0\r\n"), "{text}");
    for line in
        ["Subject: two words", "Priority: urgent", "To: <sip:carol@example.com>", "Content-Type: text/plain"]
    {
        assert_eq!(text.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line}: {text}");
    }
    assert!(text.ends_with("\r\n\r\nat noon?\r\nX: no"), "{text}");
    let text = formed("sip:bob@198.51.100.7?Content-Type=a/b&body=x").expect("it is harmless");
    assert!(text.starts_with("INVITE sip:bob@198.51.100.7 SIP/2.0\r\n"), "{text}");
    assert!(text.contains("\r\nContent-Type: a/b\r\n") && text.ends_with("\r\n\r\nx"), "{text}");
    let text = formed("sip:bob@198.51.100.7;method=PING").expect("a method that we do not know");
    assert!(text.starts_with("PING sip:bob@198.51.100.7 SIP/2.0\r\n"), "{text}");
}

/// C012; RFC 3261 §19.1.5: a URI makes nobody lie or go astray.
#[test]
fn dangerous_header_fields_are_left_out() {
    let plain = formed("sip:bob@198.51.100.7").expect("it is harmless");
    for name in [
        "From",
        "Call-ID",
        "CSeq",
        "Via",
        "Record-Route",
        "Route",
        "Accept",
        "Allow",
        "Contact",
        "Organization",
        "Supported",
        "User-Agent",
        "f",
        "v",
        "m",
        "l",
        "Max-Forwards",
        "Authorization",
        "Date",
    ] {
        let text = formed(&format!("sip:bob@198.51.100.7?{name}=%3Csip:evil%40198.51.100.66%3E"))
            .expect("it is left out");
        assert_eq!(text, plain, "{name}");
    }
    for (uri, error) in [
        ("sip:bob@b;method=ACK", FormError::Method("ACK".into())),
        ("sip:bob@b;method=BYE", FormError::Method("BYE".into())),
        ("sip:bob@b;method=a%20b", FormError::Method("a b".into())),
        ("sip:bob@b?Require=x", FormError::Extension("x".into())),
        ("sip:bob@b?Subject=a%0D%0AVia:%20x", FormError::Header("Subject".into())),
        ("sip:bob@b?a%20b=c", FormError::Header("a b".into())),
        ("sip:bob@b?To=%3C", FormError::Header("To".into())),
    ] {
        assert_eq!(formed(uri), Err(error), "{uri}");
    }
}

/// C015; RFC 3261 §8.1.1.6, §20.22, RFC 4475 §3.1.2.4: 70 is sent; what comes in may say 0 to 299 hops, or none.
#[test]
fn max_forwards() {
    assert!(formed("sip:bob@198.51.100.7").expect("it is harmless").contains("\r\nMax-Forwards: 70\r\n"));
    let answer = |hops: &str| {
        let mut node = Node::new(|_| {});
        let socket = node.listen(Proto::Udp, 5060, None);
        let text = format!(
            "OPTIONS sip:bob@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK1\r\n{hops}\
             From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@192.0.2.1>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        );
        node.datagram(socket, 5060, text.as_bytes())
    };
    for hops in [
        "",
        "Max-Forwards: 0\r\n",
        "Max-Forwards: 0068\r\n",
        "Max-Forwards: 255\r\n",
        "Max-Forwards: 299\r\n",
    ] {
        assert_eq!(answer(hops), ["200 OK"], "{hops}");
    }
    for hops in [
        "Max-Forwards: -1\r\n",
        "Max-Forwards: 300\r\n",
        "Max-Forwards: 4294967296\r\n",
        "Max-Forwards: x\r\n",
        "Max-Forwards:\r\n",
    ] {
        assert_eq!(answer(hops), ["400 Invalid Max-Forwards"], "{hops}");
    }
}
