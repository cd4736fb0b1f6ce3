//! What becomes of calls when this machine loses an address and gets another one (P28).

use std::{net::IpAddr, time::Duration};

use sansip::{
    Body, ClientEnd, CloseHow, DialogChange, Event, FlowChange, FlowId, HeaderValue, Input, Interface,
    IoKind, Method, Outgoing, Output, PeerInfo, Proto, StatusCode,
};

use crate::hand::*;

const OLD: &str = "192.0.2.1";
const NEW: &str = "192.0.2.5";

fn now_at(hand: &mut Hand, ip: &str) -> Vec<Output> {
    let addr: IpAddr = ip.parse().expect("an address");
    hand.feed(Input::Interfaces(vec![Interface::new(addr, 24, true)]))
}

/// Returns an endpoint that listens on all addresses of a machine which has the old one.
fn wildcard() -> Hand {
    let mut hand = Hand::new(|_| ());
    now_at(&mut hand, OLD);
    hand.listen(Proto::Udp, "0.0.0.0:5060");
    hand.listen(Proto::Tcp, "0.0.0.0:5060");
    hand
}

fn text(outputs: &[Output]) -> String {
    let all = datagrams(outputs);
    assert_eq!(all.len(), 1, "{outputs:?}");
    String::from_utf8_lossy(&all[0].2).into_owned()
}

/// Feeds a response to a request of ours.
fn answer_with(hand: &mut Hand, request: &str, status: u16, fields: &str) -> Vec<Output> {
    let text = response(request, status).replace("Content-Length", &format!("{fields}Content-Length"));
    let (local, remote) = (address("0.0.0.0:5060"), address("192.0.2.9:5060"));
    hand.feed(Input::Datagram { socket: sansip::SocketId(0), local, remote, payload: text.as_bytes() })
}

fn large(uri: &str) -> Outgoing {
    let body = Body::new(HeaderValue::from_static("text/plain"), vec![b'x'; 2000]);
    Outgoing::new(Method::Message, uri.parse().expect("a URI")).body(body)
}

/// P28, C059: a request without an answer leaves again from the address that the machine has now, as a transaction of its own
/// that Via and Contact show so; an answer to the first is nobody's. Another family is not concerned, nor what has ended.
#[test]
fn p28_requests_move_with_the_machine() {
    let mut hand = wildcard();
    let first = text(&hand.options("sip:192.0.2.9"));
    let second = text(&now_at(&mut hand, NEW));
    for (message, ip) in [(&first, OLD), (&second, NEW)] {
        assert!(field(message, "Via").starts_with(&format!("SIP/2.0/UDP {ip}:5060;")));
        assert_eq!(field(message, "Contact"), format!("<sip:{ip}:5060>"));
    }
    for name in ["Call-ID", "CSeq", "From"] {
        assert_eq!(field(&first, name), field(&second, name));
    }
    assert!(hand.events.iter().any(|event| matches!(event, Event::AddressesGone { addresses } if addresses == &[OLD.parse::<IpAddr>().expect("one")])));
    answer_with(&mut hand, &first, 200, "");
    assert_eq!(hand.ends(), []);
    answer_with(&mut hand, &second, 200, "");
    assert_eq!(hand.ends(), [ClientEnd::Final(StatusCode::OK)]);
    assert_eq!(now_at(&mut hand, OLD), [], "nothing waits any more");
}

/// P28: a connection over an address that is gone is dead at once, and its users learn of it: a request that can be written
/// anew takes another connection, one that cannot has failed, and so has one whose peer had begun to answer.
#[test]
fn p28_connections_over_a_lost_address_end() {
    for (uri, moves) in [("sip:192.0.2.9", true), ("sip:192.0.2.9;transport=tcp", false)] {
        let mut hand = wildcard();
        let conn = connect(&hand.options("sip:192.0.2.9;transport=tcp"));
        let sent = sends(&hand.connected(conn, PeerInfo::default()));
        hand.received(conn, &response(&sent[0].1, 200));
        let sent = sends(&hand.send(large(uri)).1);
        assert_eq!(sent[0].0, conn);
        hand.events.clear();
        let outputs = now_at(&mut hand, NEW);
        assert_eq!(outputs[0], Output::Close { conn, how: CloseHow::Reset });
        let ended = FlowChange::Ended(IoKind::AddressNotAvailable);
        let told = |event: &Event| matches!(event, Event::Flow { flow, change } if *flow == FlowId::Connection(conn) && *change == ended);
        assert!(hand.events.iter().any(told));
        if moves {
            let conn = connect(&outputs);
            let again = sends(&hand.connected(conn, PeerInfo::default()));
            assert!(field(&again[0].1, "Via").starts_with("SIP/2.0/TCP 192.0.2.5:5060;"));
            hand.received(conn, &response(&again[0].1, 200));
            assert_eq!(hand.ends(), [ClientEnd::Final(StatusCode::OK)]);
        } else {
            assert_eq!(connects(&outputs), []);
            assert_eq!(hand.ends(), [ClientEnd::Transport(IoKind::AddressNotAvailable)]);
        }
    }
}

/// P28, RFC 3261 §12.2.1: a dialog survives; the application is told, and its re-INVITE tells the peer the new address.
#[test]
fn p28_a_dialog_moves_with_a_reinvite() {
    let mut hand = wildcard();
    let invite = text(
        &hand.send(Outgoing::invite("sip:192.0.2.9".parse().expect("a URI")).body(Body::sdp("v=0\r\n"))).1,
    );
    answer_with(&mut hand, &invite, 200, "Contact: <sip:peer@192.0.2.9>\r\n");
    let dialog = dialog(&hand);
    hand.events.clear();
    assert_eq!(now_at(&mut hand, NEW), []);
    let changes = hand.events.iter().filter_map(|event| match event {
        Event::Dialog { dialog: of, change } if *of == dialog => Some(*change),
        _ => None,
    });
    assert_eq!(changes.collect::<Vec<_>>(), [DialogChange::AddressGone]);
    let outputs = hand.send(Outgoing::in_dialog(Method::Invite, dialog)).1;
    assert_eq!(datagrams(&outputs)[0].0, "192.0.2.5:5060", "it leaves from there");
    let reinvite = text(&outputs);
    assert_eq!(field(&reinvite, "Contact"), "<sip:192.0.2.5:5060>");
    answer_with(&mut hand, &reinvite, 488, "");
    hand.events.clear();
    assert_eq!(now_at(&mut hand, OLD), []);
    assert!(
        hand.events.iter().any(|event| matches!(event, Event::Dialog { .. })),
        "its answer showed where it is"
    );
}

/// P28: an INVITE that rings cannot be answered any more where it was sent from: it is cancelled from the new address, and
/// ends in time.
#[test]
fn p28_a_ringing_call_ends() {
    let mut hand = wildcard();
    let invite = text(&hand.send(Outgoing::invite("sip:192.0.2.9".parse().expect("a URI"))).1);
    answer_with(&mut hand, &invite, 180, "");
    hand.events.clear();
    let outputs = now_at(&mut hand, NEW);
    assert!(text(&outputs).starts_with("CANCEL ") && datagrams(&outputs)[0].0 == "192.0.2.5:5060");
    hand.pass(Duration::from_secs(33));
    assert_eq!(hand.ends(), [ClientEnd::Cancelled]);
}

/// P28, C059: a socket bound to an address that is gone is not sent from, until the address is back.
#[test]
fn p28_a_socket_without_its_address_is_not_used() {
    let mut hand = Hand::new(|_| ());
    for ip in [OLD, "10.0.0.1"] {
        hand.listen(Proto::Udp, &format!("{ip}:5060"));
    }
    let from = |hand: &mut Hand| datagrams(&hand.options("sip:192.0.2.9")).remove(0).0;
    let both = [OLD, "10.0.0.1"].map(|ip| Interface::new(ip.parse().expect("one"), 24, ip == OLD));
    hand.feed(Input::Interfaces(both.to_vec()));
    assert_eq!(from(&mut hand), "192.0.2.1:5060");
    hand.feed(Input::Interfaces(both[1..].to_vec()));
    assert_eq!(from(&mut hand), "10.0.0.1:5060");
    hand.feed(Input::Interfaces(both.to_vec()));
    assert_eq!(from(&mut hand), "192.0.2.1:5060");
}
