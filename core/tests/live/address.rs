//! The address of a session description that is known only when the message leaves.

use sansip::{
    Body, Config, HeaderValue, Method, Outgoing, Proto,
    sdp::{self, LOCAL_ADDRESS, Local},
};

use crate::node::{Node, PEER};

const fn offer() -> Local {
    Local::unaddressed(1, 2)
}

/// Sends an INVITE to `uri` and returns the `o=` and `c=` lines of its body.
fn sent(change: impl FnOnce(&mut Config), uri: &str, body: Body, proto: Proto) -> Vec<String> {
    let mut node = Node::new(change);
    node.listen(proto, 5060, None);
    node.listen_at(proto, "[2001:db8::1]:5060");
    let invite = Outgoing::new(Method::Invite, uri.parse().expect("a URI")).body(body);
    let text = node.request(invite);
    addresses(&text)
}

fn addresses(text: &str) -> Vec<String> {
    text.lines().filter(|line| line.starts_with("o=") || line.starts_with("c=")).map(str::to_owned).collect()
}

/// C026: the address is that of the socket that the message leaves from, of its family, or the configured host.
#[test]
fn requests_are_completed() {
    let body = || Body::local_sdp(sdp::offer(&offer().audio(4000)));
    let v4 = ["o=- 1 2 IN IP4 192.0.2.1", "c=IN IP4 192.0.2.1"];
    let v6 = ["o=- 1 2 IN IP6 2001:db8::1", "c=IN IP6 2001:db8::1"];
    let named = ["o=- 1 2 IN IP4 phone.example.com", "c=IN IP4 phone.example.com"];
    assert_eq!(sent(|_| {}, "sip:bob@198.51.100.7", body(), Proto::Udp), v4);
    assert_eq!(sent(|_| {}, "sip:bob@198.51.100.7;transport=tcp", body(), Proto::Tcp), v4);
    assert_eq!(sent(|_| {}, "sip:bob@[2001:db8::7]", body(), Proto::Udp), v6);
    let host = |config: &mut Config| config.host = Some(HeaderValue::from_static("phone.example.com"));
    assert_eq!(sent(host, "sip:bob@198.51.100.7", body(), Proto::Udp), named);
    let bracketed = |config: &mut Config| config.host = Some(HeaderValue::from_static("[2001:db8::1]"));
    assert_eq!(sent(bracketed, "sip:bob@198.51.100.7", body(), Proto::Udp), v6);
}

/// C026: only bodies that ask for it are completed, and only where an address stands.
#[test]
fn nothing_else_is_touched() {
    let offer = sdp::offer(&offer().audio(4000));
    let plain = [format!("o=- 1 2 IN IP4 {LOCAL_ADDRESS}"), format!("c=IN IP4 {LOCAL_ADDRESS}")];
    assert_eq!(sent(|_| {}, "sip:bob@198.51.100.7", Body::sdp(offer.clone()), Proto::Udp), plain);
    let odd =
        String::from_utf8(offer).expect("it is ASCII").replace("s=-", &format!("s=IN IP4 {LOCAL_ADDRESS}"));
    let mut node = Node::new(|_| {});
    node.listen(Proto::Udp, 5060, None);
    let uri = "sip:bob@198.51.100.7".parse().expect("a URI");
    let text = node.request(Outgoing::invite(uri).body(Body::local_sdp(odd.clone())));
    assert!(
        text.ends_with(
            &odd.replacen(LOCAL_ADDRESS, "192.0.2.1", 1)
                .replace(&format!("c=IN IP4 {LOCAL_ADDRESS}"), "c=IN IP4 192.0.2.1")
        ),
        "{text}"
    );
}

/// C026: a response is completed with the address that the request came to.
#[test]
fn responses_are_completed() {
    let mut node = Node::new(|_| {});
    node.accept_with(Body::local_sdp(sdp::offer(&offer().audio(4000))));
    let socket = node.listen(Proto::Udp, 5060, None);
    let invite = format!(
        "INVITE sip:bob@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {}:{};branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@192.0.2.1>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:alice@198.51.100.7>\r\nContent-Length: 0\r\n\r\n",
        "198.51.100.7", PEER.1
    );
    let text = node.datagram_text(socket, 5060, invite.as_bytes());
    assert!(text.starts_with("SIP/2.0 200 OK"), "{text}");
    assert_eq!(addresses(&text), ["o=- 1 2 IN IP4 192.0.2.1", "c=IN IP4 192.0.2.1"]);
}
