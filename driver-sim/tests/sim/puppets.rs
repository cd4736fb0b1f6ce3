//! Puppets: raw messages by hand over UDP and TCP, and the diagrams of what they do.

use crate::scripted::{ms, secs};
use sansip::{CloseHow, IoKind, Proto};
use sansip_sim::{Puppet, Setup, Sim, Verdict};

const INVITE: &str = "
    INVITE sip:bob@[remote] SIP/2.0
    Via: SIP/2.0/[transport] [local];branch=[branch];rport
    Record-Route: <sip:edge.example;lr>
    From: <sip:alice@example.com>;tag=1
    To: <sip:bob@example.com>
    Call-ID: one@example.com
    CSeq: 1 INVITE
    Max-Forwards: 70
    Content-Type: text/plain
    Content-Length: [len]

    hello
    there
";

fn pair() -> (Sim, Puppet, Puppet) {
    let mut sim = Sim::new(1);
    let (alice, bob) = (sim.puppet("alice"), sim.puppet("bob"));
    (sim, alice, bob)
}

#[test]
fn messages_are_composed_as_the_wire_wants_them() {
    let (mut sim, alice, bob) = pair();
    let to = bob.addr(&sim);
    alice.send_to(&mut sim, to, INVITE);
    let heard = bob.expect(&mut sim, "INVITE");
    assert_eq!(heard.body(), b"hello\r\nthere\r\n");
    assert_eq!(heard.header("Content-Length").as_deref(), Some("14"));
    assert_eq!(
        heard.header("via").as_deref(),
        Some("SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK-alice-1;rport")
    );
    assert_eq!(heard.uri(), Some("sip:bob@10.0.0.2:5060"));
    assert!(heard.text().starts_with("INVITE sip:bob@10.0.0.2:5060 SIP/2.0\r\nVia: "));
    alice.send(&mut sim, "OPTIONS sip:a SIP/2.0\nCSeq: 1 OPTIONS");
    let heard = bob.expect(&mut sim, "OPTIONS");
    assert_eq!(heard.text(), "OPTIONS sip:a SIP/2.0\r\nCSeq: 1 OPTIONS\r\n\r\n");
}

/// RFC 3261 §8.2.6: a response copies Via, From, To, Call-ID and CSeq; §12.1.1: Record-Route and a Contact.
#[test]
fn replies_follow_their_request() {
    let (mut sim, alice, bob) = pair();
    let to = bob.addr(&sim);
    alice.send_to(&mut sim, to, INVITE);
    bob.expect(&mut sim, "INVITE");
    bob.reply(&mut sim, 100);
    bob.reply(&mut sim, 180);
    bob.reply(&mut sim, 200);
    let trying = alice.expect(&mut sim, "100 INVITE");
    assert_eq!(trying.header("To").as_deref(), Some("<sip:bob@example.com>"), "no tag in a 100");
    let ringing = alice.expect(&mut sim, "1xx");
    let ok = alice.expect(&mut sim, "200");
    let to = ok.header("To").expect("it has one");
    assert!(to.starts_with("<sip:bob@example.com>;tag=") && ringing.header("To").as_ref() == Some(&to));
    for (field, value) in [
        ("From", "<sip:alice@example.com>;tag=1"),
        ("Call-ID", "one@example.com"),
        ("CSeq", "1 INVITE"),
        ("Record-Route", "<sip:edge.example;lr>"),
        ("Contact", "<sip:bob@10.0.0.2:5060>"),
        ("Via", "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK-alice-1;received=10.0.0.1;rport=5060"),
        ("Content-Length", "0"),
    ] {
        assert_eq!(ok.header(field).as_deref(), Some(value));
    }
    let request = ok.clone();
    assert_eq!((request.status(), request.method()), (Some(200), None));
    let bye = bob_request(&mut sim, alice, bob);
    bob.reply_with(&mut sim, &bye, 486, "Retry-After: 5\nWarning: x", b"busy");
    let busy = alice.expect(&mut sim, "4xx");
    assert_eq!(busy.header("Retry-After").as_deref(), Some("5"));
    assert_eq!(busy.body(), b"busy");
    assert_eq!(busy.header("Contact"), None);
}

fn bob_request(sim: &mut Sim, alice: Puppet, bob: Puppet) -> sansip_sim::Heard {
    alice.send(sim, "BYE sip:b SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.9:1;branch=z9hG4bK1\nCSeq: 2 BYE");
    bob.expect(sim, "BYE")
}

/// RFC 3261 §18.2.1: received is added when the packet came from elsewhere than sent-by says.
#[test]
fn replies_note_where_the_request_came_from() {
    let (mut sim, alice, bob) = pair();
    let to = bob.addr(&sim);
    alice.send_to(&mut sim, to, "OPTIONS sip:b SIP/2.0\nCSeq: 1 OPTIONS");
    let request = bob_request(&mut sim, alice, bob);
    bob.reply_with(&mut sim, &request, 200, "", b"");
    let ok = alice.expect(&mut sim, "200 BYE");
    let via = "SIP/2.0/UDP 192.0.2.9:1;branch=z9hG4bK1;received=10.0.0.1";
    assert_eq!(ok.header("Via").as_deref(), Some(via));
}

#[test]
fn puppets_speak_over_ipv6() {
    let mut sim = Sim::new(1);
    let at = |address: &str| Setup::new().address(address.parse::<std::net::IpAddr>().expect("an address"));
    let alice = sim.puppet_with("alice", at("2001:db8::1"), 5060);
    let bob = sim.puppet_with("bob", at("2001:db8::2"), 5070);
    let to = bob.addr(&sim);
    assert_eq!(to.to_string(), "[2001:db8::2]:5070");
    for stream in [false, true] {
        if stream {
            alice.connect(&mut sim, to);
            alice.send(&mut sim, INVITE);
        } else {
            alice.send_to(&mut sim, to, INVITE);
        }
        bob.expect(&mut sim, "INVITE");
        bob.reply(&mut sim, 200);
        let ok = alice.expect(&mut sim, "200");
        let contact = ok.header("Contact").expect("it has one").into_owned();
        assert!(contact.starts_with("<sip:bob@[2001:db8::2]:5070"), "{contact}");
    }
}

#[test]
fn messages_are_framed_on_streams() {
    let (mut sim, alice, bob) = pair();
    let to = bob.addr(&sim);
    alice.connect(&mut sim, to);
    alice.send(&mut sim, INVITE);
    alice.send_bytes(&mut sim, "\r\n\r\n");
    alice.send(&mut sim, "ACK sip:b SIP/2.0\nCSeq: 1 ACK\nl: 0");
    let invite = bob.expect(&mut sim, "INVITE");
    assert_eq!((invite.proto(), invite.body()), (Proto::Tcp, &b"hello\r\nthere\r\n"[..]));
    bob.expect(&mut sim, "ACK");
    bob.reply(&mut sim, 200);
    assert_eq!(bob.take_all(&mut sim), []);
    bob.reply_with(&mut sim, &invite, 200, "", b"body");
    let ok = alice.expect(&mut sim, "200 INVITE");
    assert_eq!(ok.body(), b"body");
    assert_eq!(ok.header("Contact").as_deref(), Some("<sip:bob@10.0.0.2:5060;transport=tcp>"));
    assert_eq!((alice.connections(&sim), bob.connections(&sim)), (1, 1));
    alice.close(&mut sim, CloseHow::Flush);
    sim.settle();
    assert_eq!((alice.connections(&sim), bob.connections(&sim)), (0, 0));
    sim.crash(bob);
    assert_eq!(alice.try_connect(&mut sim, to), Err(IoKind::Refused));
}

#[test]
fn expectations_take_messages_in_any_order_and_silence_is_kept() {
    let (mut sim, alice, bob) = pair();
    let to = bob.addr(&sim);
    for method in ["A", "B", "A"] {
        alice.send_to(&mut sim, to, &format!("{method} sip:b SIP/2.0\nCSeq: 1 {method}"));
    }
    bob.expect(&mut sim, "B");
    sim.settle();
    let rest = bob.take_all(&mut sim);
    assert_eq!(rest.iter().map(|heard| heard.method()).collect::<Vec<_>>(), [Some("A"); 2]);
    bob.expect_none(&mut sim, secs(5));
    bob.mute(&mut sim, true);
    alice.send(&mut sim, "C sip:b SIP/2.0\nCSeq: 1 C");
    bob.expect_none(&mut sim, secs(5));
    bob.mute(&mut sim, false);
    alice.send(&mut sim, "D sip:b SIP/2.0\nCSeq: 1 D");
    let none = sim.addr(bob, 1);
    alice.send_bytes_to(&mut sim, none, "x");
    let heard = bob.expect_within(&mut sim, "D", ms(1));
    assert_eq!(heard.at, sim.now());
    sim.settle();
    assert_eq!(alice.unreachable(&sim), 1);
}

#[test]
#[should_panic(expected = "bob waited 1s for BYE in vain; it heard [\"INVITE (1)\"]")]
fn what_does_not_come_is_an_error() {
    let (mut sim, alice, bob) = pair();
    let to = bob.addr(&sim);
    alice.send_to(&mut sim, to, INVITE);
    bob.expect_within(&mut sim, "BYE", secs(1));
}

#[test]
#[should_panic(expected = "bob heard INVITE (1) when nothing was to come")]
fn what_is_not_to_come_is_an_error() {
    let (mut sim, alice, bob) = pair();
    let to = bob.addr(&sim);
    alice.send_to(&mut sim, to, INVITE);
    bob.expect_none(&mut sim, secs(1));
}

/// Plays a forked call with every mark that a diagram knows.
fn call() -> Sim {
    let mut sim = Sim::new(1);
    let (alice, proxy) = (sim.puppet("alice"), sim.puppet("proxy"));
    let (desk, cell) = (sim.puppet("bob-desk"), sim.puppet("bob-cell"));
    let mut first = true;
    let _ = sim.net().rule(move |packet| {
        if packet.is("INVITE") && packet.to == cell.id() && std::mem::take(&mut first) {
            return Verdict::Drop;
        }
        Verdict::Pass
    });
    let (to_proxy, to_desk, to_cell) = (proxy.addr(&sim), desk.addr(&sim), cell.addr(&sim));
    alice.send_to(&mut sim, to_proxy, INVITE);
    let request = proxy.expect(&mut sim, "INVITE");
    proxy.reply(&mut sim, 100);
    proxy.send_bytes_to(&mut sim, to_desk, request.bytes.clone());
    proxy.send_bytes_to(&mut sim, to_cell, request.bytes.clone());
    desk.expect(&mut sim, "INVITE");
    desk.reply(&mut sim, 180);
    sim.run_for(ms(498));
    proxy.send_bytes_to(&mut sim, to_cell, request.bytes.clone());
    cell.expect(&mut sim, "INVITE");
    sim.net().toward(cell, proxy).duplicate(1.0);
    cell.reply(&mut sim, 200);
    proxy.expect(&mut sim, "200");
    proxy.reply_with(&mut sim, &request, 200, "", b"");
    alice.expect(&mut sim, "200");
    let partition = sim.net().partition([alice], [proxy, cell]);
    alice.send(&mut sim, "ACK sip:b SIP/2.0\nCSeq: 1 ACK");
    sim.run_for(ms(20));
    sim.net().heal(partition);
    proxy.connect(&mut sim, to_desk);
    proxy.send(&mut sim, "CANCEL sip:b SIP/2.0\nCSeq: 1 CANCEL\nContent-Length: 0");
    desk.expect(&mut sim, "CANCEL");
    sim.net().toward(cell, alice).delay(ms(700));
    let to_alice = alice.addr(&sim);
    cell.send_to(&mut sim, to_alice, "BYE sip:alice SIP/2.0\nCSeq: 7 BYE");
    sim
}

#[test]
fn ladders_show_what_happened() {
    let sim = call();
    insta::assert_snapshot!(sim.ladder(), @r"
            alice                        proxy                      bob-desk                     bob-cell
    0.000  * rule
    0.000     |-------- INVITE (1) ------->|                            |                            |
    0.001     |<- 100 Trying (1 INVITE) ---|                            |                            |
    0.001     |                            |-------- INVITE (1) ------->|                            |
    0.001     |                            |---------------------- INVITE (1) --------------------x  |  rule
    0.002     |                            |<- 180 Ringing (1 INVITE) --|                            |
    0.500     |                            |---------------------- INVITE (1) ---------------------->|  again
    0.501     |                            |<------------------ 200 OK (1 INVITE) -------------------|
    0.501     |                            |<------------------ 200 OK (1 INVITE) -------------------|  copy
    0.502     |<--- 200 OK (1 INVITE) -----|                            |                            |
    0.503  * partition alice from proxy, bob-cell
    0.503     |--------- ACK (1) -------x  |                            |                            |  partition
    0.523  * no more partition alice from proxy, bob-cell
    0.525     |                            |-------- CANCEL (1) ------->|                            |  tcp
    0.526     |<------------------------------------- BYE (7) ---------------------------------------|  on its way
    ");
}

#[test]
fn ladders_are_cut_to_what_is_asked() {
    let sim = call();
    insta::assert_snapshot!(sim.ladder().only(["INVITE", "CANCEL"]).without_times(), @r"
    alice                        proxy                      bob-desk                     bob-cell
      |-------- INVITE (1) ------->|                            |                            |
      |<- 100 Trying (1 INVITE) ---|                            |                            |
      |                            |-------- INVITE (1) ------->|                            |
      |                            |---------------------- INVITE (1) --------------------x  |  rule
      |                            |<- 180 Ringing (1 INVITE) --|                            |
      |                            |---------------------- INVITE (1) ---------------------->|  again
      |                            |<------------------ 200 OK (1 INVITE) -------------------|
      |                            |<------------------ 200 OK (1 INVITE) -------------------|  copy
      |<--- 200 OK (1 INVITE) -----|                            |                            |
      |                            |-------- CANCEL (1) ------->|                            |  tcp
    ");
    insta::assert_snapshot!(sim.ladder().connections().delays().by_arrival().last(6), @r"
            alice             proxy           bob-desk          bob-cell
    0.503  * partition alice from proxy, bob-cell
    0.503     |---- ACK (1) -x  |                 |                 |  partition
    0.523  * no more partition alice from proxy, bob-cell
    0.523     |                 |---- connect --->|                 |  tcp
    0.525     |                 |-- CANCEL (1) -->|                 |  tcp
    0.526     |<--------------------- BYE (7) ----------------------|  on its way
    ");
}

#[test]
fn ladders_are_written_as_mermaid() {
    let sim = call();
    insta::assert_snapshot!(sim.ladder().only(["INVITE"]).mermaid(), @r"
    sequenceDiagram
        participant n0 as alice
        participant n1 as proxy
        participant n2 as bob-desk
        participant n3 as bob-cell
        n0->>n1: INVITE (1)
        n1-->>n0: 100 Trying (1 INVITE)
        n1->>n2: INVITE (1)
        n1-xn3: INVITE (1) [rule]
        n2-->>n1: 180 Ringing (1 INVITE)
        n1->>n3: INVITE (1) [again]
        n3-->>n1: 200 OK (1 INVITE)
        n3-->>n1: 200 OK (1 INVITE) [copy]
        n1-->>n0: 200 OK (1 INVITE)
    ");
}

#[test]
fn ladders_of_few_nodes_fit_a_page() {
    let sim = call();
    let widest = sim.ladder().to_string().lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(120), "{widest:?}");
}
