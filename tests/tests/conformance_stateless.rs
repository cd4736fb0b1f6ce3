//! Requests that leave nothing behind, and when something is kept after all (RFC 3261 §8.2.7).

use std::time::Duration;

use sansip::{Config, Method, Reply, Routing, StatusCode, Void};
use sansip_tests::{ByHand, Conduct, Note, Phone, Raw, messages, statuses};

fn to_tag(text: &str) -> String {
    let to = text.lines().find(|line| line.starts_with("To:")).expect("a To");
    to.split_once(";tag=").expect("a tag").1.to_owned()
}

/// UA-19, C095: nothing is kept of an OPTIONS, and its copy gets the same answer with the same To tag.
#[test]
fn ua_19_c095_options_leaves_no_call() {
    let routings = [Routing::ProcessStateless, Routing::ReplyStateless(Reply::status(StatusCode::OK))];
    for routing in routings {
        let mut hand = ByHand::new(Config::default(), Phone::new().routes(routing.clone()));
        let request = Raw::new("OPTIONS", 1).text();
        let first = hand.datagram(&request);
        assert_eq!((statuses(&first), hand.host.endpoint().calls()), (vec![200], 0), "{routing:?}");
        assert_eq!(sansip::Machine::poll_timeout(&hand.host), None, "no timer is left");
        assert!(hand.host.endpoint().is_idle());
        hand.pass(Duration::from_millis(500));
        let copy = hand.datagram(&request);
        assert_eq!(messages(&copy), messages(&first), "the same bytes");
        let other = hand.datagram(Raw::new("OPTIONS", 2).text());
        assert_ne!(to_tag(&messages(&other)[0]), to_tag(&messages(&first)[0]));
        assert_eq!(hand.host.endpoint().stats().retransmissions, 0, "nobody can tell a copy");
    }
}

/// The To tag depends on the endpoint's seed, so that another one that answers shows another tag (§12.1.1).
#[test]
fn c095_tags_depend_on_the_seed() {
    let answered = |seed: u64| {
        let phone = Phone::new().routes(Routing::ProcessStateless).listens(sansip::Proto::Udp, ByHand::ADDR);
        let mut host = phone.host(Config::default(), &sansip::Seed::from_u64(seed));
        let text = Raw::new("OPTIONS", 1).text();
        let input = sansip::Input::Datagram {
            socket: sansip::SocketId(0),
            local: ByHand::ADDR,
            remote: ByHand::PEER,
            payload: text.as_bytes(),
        };
        sansip::Machine::handle_input(&mut host, sansip::Instant::EPOCH, input);
        let outputs: Vec<_> = std::iter::from_fn(|| sansip::Machine::poll_output(&mut host)).collect();
        to_tag(&messages(&outputs)[0])
    };
    assert_eq!(answered(1), answered(1));
    assert_ne!(answered(1), answered(2));
}

/// UA-19: the ACK for a stateless refusal is absorbed, and a CANCEL finds nothing.
#[test]
fn ua_19_a_stateless_refusal_of_an_invite() {
    let refuse = Routing::ReplyStateless(Reply::status(StatusCode::FORBIDDEN));
    let mut hand = ByHand::new(Config::default(), Phone::new().routes(refuse));
    let refused = hand.datagram(Raw::new("INVITE", 1).text());
    assert_eq!((statuses(&refused), hand.host.endpoint().calls()), (vec![403], 0));
    let tag = to_tag(&messages(&refused)[0]);
    assert!(hand.datagram(Raw::new("ACK", 1).to_tag(&tag).text()).is_empty());
    assert_eq!(statuses(&hand.datagram(Raw::new("CANCEL", 1).text())), [481]);
    assert_eq!(hand.host.endpoint().calls(), 0);
    assert!(hand.pass(Duration::from_secs(64)).is_empty(), "nothing is sent again");
}

/// An INVITE cannot be accepted without a transaction, so one is made.
#[test]
fn an_accepted_invite_is_never_stateless() {
    let mut hand = ByHand::new(Config::default(), Phone::new().routes(Routing::ProcessStateless));
    assert_eq!(statuses(&hand.datagram(Raw::new("INVITE", 1).text())), [200]);
    assert_eq!(hand.host.endpoint().calls(), 1);
    assert!(statuses(&hand.pass(Duration::from_secs(2))).contains(&200), "the 2xx is sent again");
}

/// A request in a dialog changes it, so it is processed with a transaction whatever the application wants.
#[test]
fn requests_in_a_dialog_are_never_stateless() {
    let mut hand = ByHand::new(Config::default(), Phone::new().routes(Routing::ProcessStateless));
    let accepted = hand.datagram(Raw::new("INVITE", 1).text());
    let tag = to_tag(&messages(&accepted)[0]);
    hand.datagram(Raw::new("ACK", 1).to_tag(&tag).text());
    let bye = Raw::new("BYE", 1).cseq(2).to_tag(&tag).text().replace("4bK-1", "4bK-bye");
    assert_eq!(statuses(&hand.datagram(&bye)), [200]);
    assert_eq!(hand.host.service().dialog_ends(), [sansip::DialogEnd::RemoteBye]);
    assert_eq!(statuses(&hand.datagram(&bye)), [200], "its copy is told by the transaction");
    hand.pass(Duration::from_secs(100));
    assert!(hand.host.endpoint().is_idle());
}

/// What is still open at the next input is held by a transaction: its copy is not asked about again.
#[test]
fn deferred_past_the_next_input_it_is_held() {
    for routing in [Routing::Process, Routing::ProcessStateless] {
        let phone = Phone::new().routes(routing.clone()).others(Conduct::Defer);
        let mut hand = ByHand::new(Config::default(), phone);
        let request = Raw::new("OPTIONS", 1).text();
        assert!(hand.datagram(&request).is_empty());
        assert_eq!(hand.host.endpoint().calls(), 0, "it is judged outside of any call");
        assert!(!hand.host.endpoint().is_idle());
        assert!(hand.datagram(&request).is_empty(), "a copy of what is being judged");
        assert_eq!(hand.host.endpoint().calls(), 1);
        assert_eq!(hand.host.endpoint().stats().retransmissions, 1);
        assert_eq!(hand.host.service().asked(&Method::Options).len(), 1);
        let (answered, wanted) = hand.act(|phone, cx| cx.answer(phone.pending.remove(0), Reply::ok()));
        assert_eq!((answered, statuses(&wanted)), (Ok(()), vec![200]));
        let stateless = routing == Routing::ProcessStateless;
        assert_eq!(hand.host.endpoint().calls(), usize::from(!stateless), "{routing:?}");
        hand.datagram(&request);
        assert_eq!(hand.host.service().asked(&Method::Options).len(), if stateless { 2 } else { 1 });
        hand.pass(Duration::from_secs(100));
        assert!(hand.host.endpoint().is_idle());
    }
}

/// A late stateless refusal of an INVITE takes its transaction away, unless something was sent in it.
#[test]
fn a_late_stateless_refusal() {
    for (conduct, rang) in [(Conduct::Defer, false), (Conduct::RingAndDefer, true)] {
        let phone = Phone::new().routes(Routing::ProcessStateless).invites(conduct);
        let mut hand = ByHand::new(Config::default(), phone);
        hand.datagram(Raw::new("INVITE", 1).text());
        hand.datagram(Raw::new("INVITE", 1).text());
        assert_eq!(hand.host.endpoint().calls(), 1);
        let (answered, wanted) = hand.act(|phone, cx| cx.answer(phone.pending.remove(0), Reply::busy()));
        assert_eq!((answered, statuses(&wanted)), (Ok(()), vec![486]));
        assert_eq!(hand.host.endpoint().calls(), usize::from(rang));
        let again = statuses(&hand.pass(Duration::from_secs(1)));
        assert_eq!(again.is_empty(), !rang, "a transaction sends its refusal until the ACK comes");
        hand.pass(Duration::from_secs(100));
        assert!(hand.host.endpoint().is_idle());
    }
}

/// MT-08, C088: the same request on another way is refused with 482, before and after the first is answered.
#[test]
fn mt_08_c088_merged_requests() {
    for method in ["OPTIONS", "INVITE", "MESSAGE"] {
        for conduct in [Conduct::Defer, Conduct::Accept, Conduct::Answer(Reply::busy())] {
            let phone = Phone::new().invites(conduct.clone()).others(conduct.clone());
            let mut hand = ByHand::new(Config::default(), phone);
            let first = Raw::new(method, 1).text();
            hand.datagram(&first);
            let other_way = first.replace("branch=z9hG4bK-1", "branch=z9hG4bK-other");
            assert_eq!(statuses(&hand.datagram(&other_way)), [482], "{method} {conduct:?}");
            let asked = hand.host.service().notes.iter().filter(|note| matches!(note, Note::Asked(..)));
            assert_eq!(asked.count(), 1, "{method} {conduct:?}");
            let next = first.replace("CSeq: 1 ", "CSeq: 2 ").replace("branch=z9hG4bK-1", "branch=z9hG4bK-2");
            assert_ne!(statuses(&hand.datagram(next)), [482], "another CSeq is another request");
            let tagged = first.replace("tag=from-1", "tag=from-2").replace("4bK-1", "4bK-3");
            assert_ne!(statuses(&hand.datagram(tagged)), [482], "another From tag is another sender");
            hand.pass(Duration::from_secs(300));
            assert!(hand.host.endpoint().is_idle(), "{method} {conduct:?}");
        }
    }
}

/// A stateless server cannot tell a merged request, and a forwarded verdict does not look for one.
#[test]
fn mt_08_replies_by_routing_are_not_merged() {
    let mut hand = ByHand::new(Config::default(), Phone::new().routes(Routing::Reply(Reply::unavailable())));
    let first = Raw::new("OPTIONS", 1).text();
    let other_way = first.replace("branch=z9hG4bK-1", "branch=z9hG4bK-other");
    assert_eq!(statuses(&hand.datagram(first)), [480]);
    assert_eq!(statuses(&hand.datagram(other_way)), [480]);
}

/// A question still open when the endpoint shuts down is void, also one that no transaction holds yet.
#[test]
fn a_question_open_at_shutdown_is_void() {
    let mut hand = ByHand::new(Config::default(), Phone::new().others(Conduct::Defer));
    hand.datagram(Raw::new("OPTIONS", 1).text());
    let ask = hand.host.service().asked(&Method::Options)[0];
    let ((), wanted) = hand.act(|_, cx| cx.shutdown(Duration::from_secs(1)));
    assert_eq!(statuses(&wanted), [503]);
    assert!(hand.host.service().notes.contains(&Note::Voided(ask, Void::Died)));
    hand.pass(Duration::from_secs(2));
    assert!(hand.host.endpoint().is_stopped() && hand.host.endpoint().is_idle());
}
