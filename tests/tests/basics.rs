//! What a service and its peers begin with: requests that arrive as they were written, where answers come from, hosts, names, and
//! services that are asked, changed and ended.

use std::{net::Ipv4Addr, thread, time::Duration};

use sansip::{
    Body, Config, Endpoint, HeaderName, HeaderValue, Host, Instant, Outgoing, Proto, Reply, Routing, Service,
    UriBuf,
};
use sansip_blocking::{NodeError, NodeHandle};
use sansip_sim::{Node, Sim};
use sansip_tests::{ByHand, Phone, Raw, Recorder, field, messages, statuses};

type Machine<S> = Node<Host<S>>;

/// Starts a service at port 5060, over UDP and TCP.
fn start<S: Service + 'static>(sim: &mut Sim, name: &str, service: S) -> Machine<S> {
    let endpoint =
        Endpoint::new(Config::default(), &sim.seed_of(name), Instant::EPOCH).expect("the defaults");
    let node = sim.node(name, Host::new(endpoint, service));
    let addr = sim.addr(node, 5060);
    sim.on(node, |host, now| host.with(now, |_, cx| cx.listen(Proto::Udp, addr))).expect("a socket");
    sim.run_for(Duration::from_millis(10));
    node
}

fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

fn uri(text: &str) -> UriBuf {
    text.parse().expect("a URI")
}

/// T01.06: OPTIONS over TCP with header fields of all kinds, two Contacts and a body arrive as they were written.
#[test]
fn t01_06_a_request_arrives_whole() {
    let mut sim = Sim::new(1);
    let alice = start(&mut sim, "alice", Recorder::default());
    let bob = start(&mut sim, "bob", Recorder::default());
    let custom = |name: &'static str| HeaderName::try_from(name).expect("a name");
    let fields = [
        (custom("X-Nk-Op"), value("reply-request")),
        (custom("X-Nk-Op"), value("second, third")),
        (HeaderName::USER_AGENT, value("My user agent")),
        (
            HeaderName::CONTACT,
            value("<sip:alice@192.0.2.1:7000>;q=0.5, \"Alice\" <sips:alice@example.com;ob>"),
        ),
    ];
    let target = uri(&format!("sip:bob@{};transport=tcp", sim.addr(bob, 5060)));
    let body = Body::new(value("text/plain"), &b"one\r\n\0\xff\r\n\r\ntwo"[..]);
    let outgoing = fields.iter().fold(Outgoing::options(target).body(body), |outgoing, (name, value)| {
        outgoing.header(name.clone(), value.clone())
    });
    sim.on(alice, |host, now| host.with(now, |_, cx| cx.request(outgoing))).expect("it is sent");
    sim.settle();
    let asked = &sim.peek(bob).service().asked;
    let [(request, source)] = &asked[..] else { panic!("{} requests", asked.len()) };
    assert_eq!((source.proto, source.local), (Proto::Tcp, sim.addr(bob, 5060)));
    assert_eq!(source.remote.ip(), sim.addr(alice, 5060).ip());
    let view = request.view();
    let named = |name: &str| -> Vec<String> {
        let fields = view.fields().filter(|(own, ..)| own.eq_ignore_ascii_case(name));
        fields.map(|(_, value, _)| value.to_owned()).collect()
    };
    assert_eq!(named("X-Nk-Op"), ["reply-request", "second, third"]);
    assert_eq!(named("User-Agent"), ["My user agent"]);
    let contacts: Vec<String> =
        view.contacts().map(|contact| contact.uri().expect("a URI").as_str().to_owned()).collect();
    assert_eq!(contacts, ["sip:alice@192.0.2.1:7000", "sips:alice@example.com;ob"]);
    assert_eq!(view.content_type(), Some("text/plain"));
    assert_eq!(view.body(), b"one\r\n\0\xff\r\n\r\ntwo");
}

/// T01.10: the host that is set shows in Contact, with the user that is configured and the listener's port; Routes go out in the
/// order in which they were given, as they were written.
#[test]
fn t01_10_hosts_and_routes() {
    let mut config = Config::default();
    config.user = Some(value("alice"));
    let mut hand = ByHand::new(config, Phone::new());
    let routes = ["sip:192.0.2.9;lr", "sip:b.example.com:5080;lr;transport=udp", "sips:c.example.com;lr;x=1"];
    let outgoing = routes
        .iter()
        .fold(Outgoing::options(uri("sip:bob@example.com")), |outgoing, route| outgoing.route(uri(route)));
    let sent = hand.send(outgoing.host(value("mihost.example")));
    assert_eq!(field(&sent, "Contact"), "<sip:alice@mihost.example:5060>");
    let written: Vec<&str> = sent.lines().filter_map(|line| line.strip_prefix("Route: ")).collect();
    assert_eq!(written, routes.map(|route| format!("<{route}>")));
    assert!(sent.starts_with("OPTIONS sip:bob@example.com SIP/2.0\r\n"), "{sent}");
}

/// T01.11, T01.12: a service answers 200 without keeping anything, or with a transaction that knows the request's copies.
#[test]
fn t01_11_t01_12_stateless_and_stateful_answers() {
    for (routing, calls) in [(Routing::ReplyStateless(Reply::ok()), 0), (Routing::Process, 1)] {
        let mut hand = ByHand::new(Config::default(), Phone::new().routes(routing.clone()));
        let request = Raw::new("OPTIONS", 1).text();
        let first = hand.datagram(&request);
        assert_eq!((statuses(&first), hand.host.endpoint().calls()), (vec![200], calls), "{routing:?}");
        assert_eq!(messages(&hand.datagram(&request)), messages(&first));
        assert_eq!(hand.host.endpoint().stats().retransmissions, calls as u64, "{routing:?}");
    }
}

/// T01.13: a domain is found through DNS, by NAPTR, SRV and address, and the server there is asked.
#[test]
fn t01_13_a_domain_is_found_and_asked() {
    let mut sim = Sim::new(1);
    let alice = start(&mut sim, "alice", Recorder::default());
    let bob = start(&mut sim, "bob", Recorder::default());
    let address = sim.addr(bob, 5060);
    sim.dns().naptr("example.com", (10, 10), "SIP+D2T", "_sip._tcp.example.com");
    sim.dns().srv("_sip._tcp.example.com", (0, 0), "server.example.com", 5060);
    sim.dns().name("server.example.com", [address.ip()]);
    let outgoing = Outgoing::options(uri("sip:bob@example.com"));
    sim.on(alice, |host, now| host.with(now, |_, cx| cx.request(outgoing))).expect("it is sent");
    sim.settle();
    let asked: Vec<(Proto, String)> = sim
        .peek(bob)
        .service()
        .asked
        .iter()
        .map(|(request, source)| (source.proto, request.view().request_uri_text().to_owned()))
        .collect();
    assert_eq!(asked, [(Proto::Tcp, "sip:bob@example.com".into())]);
}

/// A service with a state.
struct Counter(u64);

impl Service for Counter {}

fn node(state: u64) -> NodeHandle<Host<Counter>> {
    let (seed, now) = (sansip_blocking::seed().expect("there is chance"), sansip_blocking::now());
    let endpoint = Endpoint::new(Config::default(), &seed, now).expect("the defaults");
    sansip_blocking::spawn(Host::new(endpoint, Counter(state))).expect("there are threads")
}

/// T01.14, T01.15: whoever has a service's handle reads its state and changes it, and waits for that or, on a thread of its own,
/// does not.
#[test]
fn t01_14_t01_15_services_are_asked_and_told() {
    let node = node(1);
    let before = node.with_service(|counter, cx| {
        let listens = cx.listen(Proto::Udp, (Ipv4Addr::LOCALHOST, 0).into()).is_ok();
        (std::mem::replace(&mut counter.0, 2), listens)
    });
    assert_eq!(before, Ok((1, true)));
    let other = node.clone();
    let told = thread::spawn(move || other.with_service(|counter, _| counter.0 += 40));
    assert_eq!(told.join().expect("no panic"), Ok(()));
    assert_eq!(node.with_service(|counter, _| counter.0), Ok(42));
}

/// T01.18: what is ended says that it has ended, to each who has its handle, and ending it again does no harm. The others go on.
#[test]
fn t01_18_services_that_have_ended_say_so() {
    let nodes = [1, 2, 3].map(node);
    let copies = nodes.clone();
    for (ended, node) in nodes.iter().enumerate() {
        let answers = copies.each_ref().map(|copy| copy.with_service(|counter, _| counter.0));
        let expected = [0, 1, 2].map(|at| if at < ended { Err(NodeError::Gone) } else { Ok(at as u64 + 1) });
        assert_eq!(answers, expected);
        node.shutdown(Duration::ZERO);
        node.shutdown(Duration::ZERO);
        assert!(node.is_gone());
    }
    assert!(copies.iter().all(|copy| copy.with_service(|_, _| ()) == Err(NodeError::Gone)));
}
