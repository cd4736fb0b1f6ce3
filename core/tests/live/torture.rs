//! RFC 4475: what a live endpoint answers, and that it lives on.

use sansip::{Method, Proto, syntax::Leniency};

use crate::{
    files::{corpus, torture},
    node::Node,
};

/// Feeds one message to an endpoint that serves every method of the set, and returns the status lines of its answers.
fn answers(name: &str, bytes: &[u8], proto: Proto) -> Vec<String> {
    let mut node = Node::new(|config| {
        config.allow.extend([Method::Register, Method::Update]);
    });
    let socket = node.listen(proto, 5060, None);
    let found = match proto {
        Proto::Tcp => node.stream(socket, 5060, bytes),
        _ => node.datagram(socket, 5060, bytes),
    };
    // It goes on.
    let alive = node.listen(Proto::Udp, 5080, Some(Leniency::NONE));
    let ping = "OPTIONS sip:a@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKping\r\n\
        Max-Forwards: 70\r\nFrom: <sip:b@c>;tag=1\r\nTo: <sip:a@192.0.2.1>\r\nCall-ID: ping\r\nCSeq: 1 OPTIONS\r\n\
        Content-Length: 0\r\n\r\n";
    assert_eq!(node.datagram(alive, 5080, ping.as_bytes()), ["200 OK"], "after {name}");
    found
}

fn assert_answered(rows: &[(&str, Proto, &[&str])]) {
    for (name, proto, expected) in rows {
        let Some(mut bytes) = torture(name) else { return };
        if *name == "baddn" {
            // The archive's own file lacks the blank line at its end.
            bytes.extend_from_slice(b"\r\n");
        }
        assert_eq!(answers(name, &bytes, *proto), *expected, "{name}");
    }
}

const UDP: Proto = Proto::Udp;
const TCP: Proto = Proto::Tcp;

/// T06.01, T06.03, T06.04, T06.07, T06.15, T06.17, T06.18, C017, C018, C030: over a stream, 400 names the culprit.
#[test]
fn malformed_on_a_stream() {
    assert_answered(&[
        ("badinv01", TCP, &["400 Invalid Via"]),
        ("ncl", TCP, &["400 Invalid Content-Length"]),
        ("scalar02", TCP, &["400 Invalid CSeq"]),
        ("ltgtruri", TCP, &["400 Invalid Request-URI"]),
        ("baddn", TCP, &["400 Invalid From"]),
        ("mismatch01", TCP, &["400 Invalid CSeq"]),
        ("mismatch02", TCP, &["400 Invalid CSeq"]),
    ]);
}

/// T06.02, T06.06, C018; RFC 4475 §3.1.2.2, §3.1.2.6: as datagrams.
#[test]
fn malformed_datagrams() {
    assert_answered(&[
        ("clerr", UDP, &["400 Invalid Content-Length"]),
        ("ncl", UDP, &["400 Invalid Content-Length"]),
        ("quotbal", UDP, &["400 Invalid To"]),
        ("badinv01", UDP, &["400 Invalid Via"]),
    ]);
}

/// T06.08, T06.10; RFC 4475 §3.1.2.8, §3.1.2.10: white space that splits a start line wrongly.
#[test]
fn start_lines_with_white_space() {
    assert_answered(&[
        ("lwsruri", UDP, &["400 Invalid Request-Line"]),
        ("trws", UDP, &["400 Invalid Request-Line"]),
    ]);
}

/// T06.09; RFC 4475 §3.1.2.9: it may be rejected or understood, and the listener decides.
#[test]
fn lwsstart() {
    let Some(bytes) = torture("lwsstart") else { return };
    let mut node = Node::new(|_| {});
    let (strict, lenient) = (node.listen(UDP, 5060, Some(Leniency::NONE)), node.listen(UDP, 5062, None));
    assert_eq!(node.datagram(strict, 5060, &bytes), ["400 Bad Request"]);
    assert_eq!(node.datagram(lenient, 5062, &bytes), ["200 OK"]);
}

/// T06.05, T06.19; RFC 4475 §3.1.2.5, §3.1.2.19: nobody answers a response.
#[test]
fn malformed_responses() {
    assert_answered(&[
        ("scalarlg", UDP, &[]),
        ("bigcode", UDP, &[]),
        ("scalarlg", TCP, &[]),
        ("bigcode", TCP, &[]),
        ("bcast", UDP, &[]),
    ]);
}

/// T06.12, T06.14; RFC 4475 §3.1.2.12, §3.1.2.14: taken, since neither the date nor the spaces matter.
#[test]
fn taken_all_the_same() {
    assert_answered(&[("baddate", UDP, &["200 OK"]), ("badaspec", UDP, &["200 OK"])]);
}

/// T06.11; RFC 4475 §3.1.2.11, RFC 3261 §19.1.1: header fields have no place in a Request-URI, and a 400 is what the RFC
/// asks for. Taking it means to cut them off before anybody acts on them or passes the request on: a URI that is not the
/// one that was sent, at each of those places. No known sender needs it, so there is no leniency for it.
///
/// T06.13; RFC 4475 §3.1.2.13, RFC 3261 §20.10: without brackets a URI has no question mark. The RFC says that inferring
/// them is not possible in general, for what follows may be of the URI or of the Contact; a binding must not rest on a
/// guess.
#[test]
fn refused_where_the_rfc_leaves_the_choice() {
    assert_answered(&[
        ("escruri", UDP, &["400 Invalid Request-URI"]),
        ("escruri", TCP, &["400 Invalid Request-URI"]),
        ("regbadct", UDP, &["400 Invalid Contact"]),
        ("regbadct", TCP, &["400 Invalid Contact"]),
    ]);
}

/// T06.16, C020; RFC 4475 §3.1.2.16.
#[test]
fn another_version() {
    assert_answered(&[("badvers", UDP, &["505 Version Not Supported"])]);
}

/// T07.02, T07.03, T07.04, T07.06, T07.09, T07.10, C016, C019, C031; RFC 4475 §3.2, §3.3.
#[test]
fn transaction_and_application_layer() {
    assert_answered(&[
        ("badbranch", UDP, &["200 OK"]),
        ("insuf", UDP, &["400 Missing From"]),
        ("unkscm", UDP, &["416 Unsupported URI Scheme"]),
        ("novelsc", UDP, &["416 Unsupported URI Scheme"]),
        ("bext01", UDP, &["420 Bad Extension"]),
        ("multi01", UDP, &["400 Duplicate CSeq"]),
        ("mcl01", UDP, &["400 Duplicate Content-Length"]),
        ("zeromf", UDP, &["200 OK"]),
        ("cparam01", UDP, &["200 OK"]),
        ("cparam02", UDP, &["200 OK"]),
        ("regescrt", UDP, &["200 OK"]),
        ("regaut01", UDP, &["200 OK"]),
    ]);
}

/// T07.01; RFC 4475 §3.2.1, RFC 3261 §17.2.3: a branch that is nothing but the cookie tells no transaction from another;
/// the other parts do.
#[test]
fn badbranch() {
    let Some(bytes) = torture("badbranch") else { return };
    let text = String::from_utf8(bytes).expect("text");
    let mut node = Node::new(|_| {});
    let socket = node.listen(UDP, 5060, None);
    assert_eq!(node.datagram(socket, 5060, text.as_bytes()), ["200 OK"]);
    assert_eq!(node.datagram(socket, 5060, text.as_bytes()), ["200 OK"], "again");
    assert_eq!(node.retransmissions(), 1);
    let other = text.replace("badbranch.", "another.");
    assert_eq!(node.datagram(socket, 5060, other.as_bytes()), ["200 OK"]);
    let next = text.replace("CSeq: 8", "CSeq: 9");
    assert_eq!(node.datagram(socket, 5060, next.as_bytes()), ["200 OK"]);
    assert_eq!(node.retransmissions(), 1, "these are requests of their own");
}

/// RFC 4475 §2: whatever of the set comes in over whatever transport, the endpoint answers at most once and lives on.
#[test]
fn all_are_survived() {
    let Some(folder) = corpus("rfc4475") else { return };
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".dat")?.to_owned()))
        .collect();
    names.sort();
    assert_eq!(names.len(), 50);
    for name in &names {
        let bytes = torture(name).expect("it is listed");
        for proto in [UDP, TCP] {
            let found = answers(name, &bytes, proto);
            // One of them is two requests on a stream.
            assert!(found.len() <= 1 + usize::from(name == "dblreq" && proto == TCP), "{name}: {found:?}");
        }
    }
    crate::files::ran("rfc4475", &format!("{} fed to an endpoint over UDP and TCP", names.len()));
}
