use std::{collections::VecDeque, time::Duration};

use super::*;
use crate::{
    syntax::Uri,
    transport::{Naptr, Srv},
};

const TTL: Duration = Duration::from_secs(60);

/// A zone, and a resolver that is asked about it.
struct Bench {
    resolver: Resolver<u32>,
    limits: Limits,
    reach: Reach,
    prefer: Preference,
    zone: BTreeMap<(String, RecordKind), Result<Records, DnsError>>,
    /// A name of which nothing is ever told.
    silent: &'static str,
    /// The questions that went out, in order.
    asked: Vec<String>,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let own = [Proto::Udp, Proto::Tcp, Proto::Tls, Proto::Wss];
        let with = |reach: Reach, proto| reach.with(proto, true).with(proto, false).choosing(proto);
        Self {
            resolver: Resolver::new(&Seed::from_u64(1)),
            limits: Limits::default(),
            reach: own.into_iter().fold(Reach::default(), with),
            prefer: Preference::Ipv4,
            zone: BTreeMap::new(),
            silent: "",
            asked: Vec::new(),
            now: Instant::EPOCH,
        }
    }

    fn host(mut self, name: &str, addresses: &[&str]) -> Self {
        for (kind, v4) in [(RecordKind::A, true), (RecordKind::Aaaa, false)] {
            let all = addresses.iter().map(|text| text.parse::<std::net::IpAddr>().expect("an address"));
            let addresses = all.filter(|ip| ip.is_ipv4() == v4).collect();
            self.zone.insert((name.into(), kind), Ok(Records::Addresses { addresses, ttl: TTL }));
        }
        self
    }

    /// Takes `priority weight port target`.
    fn srv(mut self, name: &str, records: &[(u16, u16, u16, &str)]) -> Self {
        let read = |(priority, weight, port, target): &(u16, u16, u16, &str)| Srv {
            priority: *priority,
            weight: *weight,
            port: *port,
            target: target.parse().ok(),
        };
        let records = records.iter().map(read).collect();
        self.zone.insert((name.into(), RecordKind::Srv), Ok(Records::Srv { records, ttl: TTL }));
        self
    }

    /// Takes `order preference flags services replacement`.
    fn naptr(mut self, name: &str, records: &[(u16, u16, &str, &str, &str)]) -> Self {
        let read = |(order, preference, flags, services, to): &(u16, u16, &str, &str, &str)| Naptr {
            order: *order,
            preference: *preference,
            flags: (*flags).into(),
            services: (*services).into(),
            has_regexp: *to == "regexp",
            replacement: to.parse().ok(),
        };
        let records = records.iter().map(read).collect();
        self.zone.insert((name.into(), RecordKind::Naptr), Ok(Records::Naptr { records, ttl: TTL }));
        self
    }

    fn fails(mut self, name: &str, kind: RecordKind, error: DnsError) -> Self {
        self.zone.insert((name.into(), kind), Err(error));
        self
    }

    fn begin(&mut self, key: u32, uri: &str, out: &mut VecDeque<Output>) -> bool {
        let to = Destination::of(Uri::parse(uri).expect("a URI")).expect("a destination");
        self.resolver.resolve(self.now, &self.limits, (key, &to), (self.reach, self.prefer), out)
    }

    /// Answers all questions, and those that follow from the answers.
    fn answer(&mut self, out: &mut VecDeque<Output>) {
        while let Some(output) = out.pop_front() {
            let Output::Resolve { query, name, kind } = output else { panic!("{output:?}") };
            self.asked.push(format!("{kind:?} {name}"));
            if name.as_str() == self.silent {
                continue;
            }
            let none = Ok(Records::none(kind, TTL));
            let answer = self.zone.get(&(name.to_string(), kind)).cloned().unwrap_or(none);
            self.resolver.resolved(self.now, &self.limits, query, answer, out);
        }
    }

    fn found(&mut self, uri: &str) -> Result<Vec<String>, DnsError> {
        let mut out = VecDeque::new();
        self.asked.clear();
        assert!(self.begin(0, uri, &mut out), "{uri}");
        self.answer(&mut out);
        let (_, places) = self.resolver.poll_found().expect("it has ended");
        places.map(|places| places.iter().map(|place| format!("{} {}", place.proto, place.addr)).collect())
    }

    fn assert(&mut self, uri: &str, places: &[&str]) {
        let found = self.found(uri).map_err(|error| format!("{uri}: {error}"));
        assert_eq!(found, Ok(places.iter().map(|place| (*place).into()).collect()), "{uri}");
    }
}

/// A domain with all kinds of records, much as the example of RFC 3263 §4.1.
fn example() -> Bench {
    Bench::new()
        .naptr(
            "example.com",
            &[
                (90, 50, "s", "SIP+D2T", "_sip._tcp.example.com"),
                (100, 50, "S", "sip+d2u", "_sip._udp.example.com"),
                (50, 50, "s", "SIPS+D2T", "_sips._tcp.example.com"),
                (10, 50, "s", "SIP+D2S", "_sip._sctp.example.com"),
                (10, 50, "u", "SIP+D2U", "_sip._udp.wrong.example"),
                (10, 50, "s", "SIP+D2U", "regexp"),
                (10, 50, "s", "E2U+sip", "_sip._udp.wrong.example"),
            ],
        )
        .srv("_sip._tcp.example.com", &[(0, 1, 5060, "s1.example.com"), (1, 1, 5070, "s2.example.com")])
        .srv("_sip._udp.example.com", &[(0, 1, 5060, "s1.example.com")])
        .srv("_sips._tcp.example.com", &[(0, 1, 5081, "s2.example.com")])
        .host("s1.example.com", &["192.0.2.1", "2001:db8::1"])
        .host("s2.example.com", &["192.0.2.2"])
        .host("example.com", &["192.0.2.9"])
}

/// DN-04: a port leads to addresses without SRV, even the usual one.
#[test]
fn dn_04_a_port_needs_addresses_only() {
    let mut bench = example();
    bench.assert("sip:example.com:5060", &["udp 192.0.2.9:5060"]);
    assert_eq!(bench.asked, ["A example.com", "Aaaa example.com"]);
    bench.assert("sips:example.com:5071", &["tls 192.0.2.9:5071"]);
    bench.assert("sip:example.com:5070;transport=tcp", &["tcp 192.0.2.9:5070"]);
}

/// DN-05, DN-06, C064, TU.09: NAPTR says which transports, in its order; what cannot be used is left out.
#[test]
fn dn_05_naptr_chooses_the_transport() {
    let mut bench = example();
    let tls = "tls 192.0.2.2:5081";
    let tcp = ["tcp 192.0.2.1:5060", "tcp [2001:db8::1]:5060", "tcp 192.0.2.2:5070"];
    let udp = ["udp 192.0.2.1:5060", "udp [2001:db8::1]:5060"];
    bench.assert("sip:example.com", &[tls, tcp[0], tcp[1], tcp[2], udp[0], udp[1]]);
    assert_eq!(bench.asked[0], "Naptr example.com");
    assert!(!bench.asked.iter().any(|asked| asked.contains("wrong") || asked.contains("sctp")));
    bench.assert("sips:example.com", &[tls]);
    bench.reach = Reach::default().with(Proto::Udp, true).choosing(Proto::Udp);
    bench.assert("sip:example.com", &["udp 192.0.2.1:5060"]);
}

/// DN-05: within one order it is the preference that counts.
#[test]
fn dn_05_preference() {
    let mut bench = Bench::new()
        .naptr("a.example", &[(1, 9, "s", "SIP+D2U", "u.example"), (1, 2, "s", "SIP+D2T", "t.example")])
        .srv("u.example", &[(0, 0, 1, "h.example")])
        .srv("t.example", &[(0, 0, 2, "h.example")])
        .host("h.example", &["192.0.2.1"]);
    bench.assert("sip:a.example", &["tcp 192.0.2.1:2", "udp 192.0.2.1:1"]);
}

/// DN-07, C063: without NAPTR the SRV records of each transport tell; SIP does not look at those of SIPS.
#[test]
fn dn_07_srv_without_naptr() {
    let mut bench = Bench::new()
        .srv("_sip._udp.a.example", &[(0, 0, 5060, "h.example")])
        .srv("_sip._tcp.a.example", &[(0, 0, 5070, "h.example")])
        .srv("_sips._tcp.a.example", &[(0, 0, 5061, "h.example")])
        .host("h.example", &["192.0.2.1"]);
    bench.assert("sip:a.example", &["udp 192.0.2.1:5060", "tcp 192.0.2.1:5070"]);
    assert!(!bench.asked.iter().any(|asked| asked.contains("_sips")), "{:?}", bench.asked);
    bench.assert("sips:a.example", &["tls 192.0.2.1:5061"]);
    assert!(!bench.asked.iter().any(|asked| asked.contains("_sip.")), "{:?}", bench.asked);
}

/// DN-08, C062: without SRV the domain itself is the host, at the default port.
#[test]
fn dn_08_addresses_without_srv() {
    let mut bench = Bench::new().host("a.example", &["192.0.2.1", "192.0.2.2"]);
    bench.assert("sip:a.example", &["udp 192.0.2.1:5060", "udp 192.0.2.2:5060"]);
    bench.assert("sips:a.example", &["tls 192.0.2.1:5061", "tls 192.0.2.2:5061"]);
}

/// DN-09: a transport that is asked for leads to its SRV records at once; without them to the default port.
#[test]
fn dn_09_a_transport_is_asked_for() {
    let mut bench = example();
    bench.assert("sip:example.com;transport=udp", &["udp 192.0.2.1:5060", "udp [2001:db8::1]:5060"]);
    assert_eq!(bench.asked[0], "Srv _sip._udp.example.com");
    bench.assert("sips:example.com;transport=tcp", &["tls 192.0.2.2:5081"]);
    bench.assert("sips:example.com;transport=ws", &["wss 192.0.2.9:443"]);
    assert_eq!(bench.asked[0], "Srv _sips._ws.example.com");
    bench.assert("sip:s2.example.com;transport=tcp", &["tcp 192.0.2.2:5060"]);
}

/// DN-10: a target that is the root says that there is no such service, and then nothing is made up.
#[test]
fn dn_10_no_such_service() {
    let mut bench = Bench::new()
        .srv("_sip._udp.a.example", &[(0, 0, 0, ".")])
        .host("a.example", &["192.0.2.1"])
        .srv("_sip._udp.b.example", &[(0, 0, 0, ".")])
        .srv("_sip._tcp.b.example", &[(0, 0, 5060, "a.example")]);
    bench.assert("sip:a.example", &[]);
    bench.assert("sip:b.example", &["tcp 192.0.2.1:5060"]);
}

/// DN-13, P18: families are put in order inside of one SRV target, never across; one that cannot be used is not asked for.
#[test]
fn dn_13_families() {
    let mut bench = Bench::new()
        .srv("_sip._udp.a.example", &[(0, 0, 1, "six.example"), (1, 0, 2, "both.example")])
        .host("six.example", &["2001:db8::6"])
        .host("both.example", &["2001:db8::1", "192.0.2.1"]);
    let uri = "sip:a.example;transport=udp";
    bench.assert(uri, &["udp [2001:db8::6]:1", "udp 192.0.2.1:2", "udp [2001:db8::1]:2"]);
    bench.prefer = Preference::Ipv6;
    bench.assert(uri, &["udp [2001:db8::6]:1", "udp [2001:db8::1]:2", "udp 192.0.2.1:2"]);
    bench.reach = Reach::default().with(Proto::Udp, false);
    bench.now = Instant::from_millis(100_000);
    bench.assert(uri, &["udp [2001:db8::6]:1", "udp [2001:db8::1]:2"]);
    assert!(!bench.asked.iter().any(|asked| asked.starts_with("A ")), "{:?}", bench.asked);
}

/// DN-14, C065, C066: what is known is not asked again until its time to live is over.
#[test]
fn dn_14_answers_are_kept() {
    let mut bench = example();
    bench.found("sip:example.com").expect("it is served");
    bench.now = Instant::from_millis(59_999);
    bench.found("sip:example.com").expect("it is served");
    assert_eq!(bench.asked, [""; 0]);
    bench.now = Instant::from_millis(60_000);
    bench.found("sip:example.com").expect("it is served");
    assert_eq!(bench.asked[0], "Naptr example.com");
}

/// DN-16: TLS verifies the domain of the URI, not the target of SRV.
#[test]
fn dn_16_the_name_before_dns() {
    let mut bench = example();
    let mut out = VecDeque::new();
    assert!(bench.begin(0, "sips:example.com", &mut out));
    bench.answer(&mut out);
    let (_, places) = bench.resolver.poll_found().expect("it has ended");
    let names =
        places.expect("it is served").into_iter().map(|place| place.name.map(|name| name.to_string()));
    assert_eq!(names.collect::<Vec<_>>(), [Some("example.com".into())]);
}

/// DN-17: a failure is told, and nothing is made up of it; another host that is known is enough.
#[test]
fn dn_17_failures() {
    let host = || Bench::new().host("a.example", &["192.0.2.1"]);
    for kind in [RecordKind::Naptr, RecordKind::A] {
        let mut bench = Bench::new().fails("a.example", kind, DnsError::Failed);
        assert_eq!(bench.found("sip:a.example"), Err(DnsError::Failed), "{kind:?}");
    }
    let mut bench = host().fails("_sip._udp.a.example", RecordKind::Srv, DnsError::TimedOut);
    assert_eq!(bench.found("sip:a.example"), Err(DnsError::TimedOut));
    let mut bench = host().fails("a.example", RecordKind::Aaaa, DnsError::Failed);
    bench.assert("sip:a.example", &["udp 192.0.2.1:5060"]);
    let mut bench = host()
        .srv("_sip._udp.b.example", &[(0, 0, 1, "dead.example"), (1, 0, 2, "a.example")])
        .fails("dead.example", RecordKind::A, DnsError::Failed);
    bench.assert("sip:b.example", &["udp 192.0.2.1:2"]);
    bench.zone.insert(("c.example".into(), RecordKind::A), Ok(Records::none(RecordKind::Srv, TTL)));
    assert_eq!(bench.found("sip:c.example:5060"), Err(DnsError::Failed), "an answer to something else");
}

/// P29: a question that is never answered ends only who asked it, after `resolve`, with all that was learnt meanwhile.
#[test]
fn p29_silence_ends_in_time() {
    let mut bench = Bench::new()
        .srv("_sip._udp.b.example", &[(0, 0, 1, "dead.example"), (1, 0, 2, "a.example")])
        .host("a.example", &["192.0.2.1"]);
    bench.silent = "dead.example";
    let mut out = VecDeque::new();
    assert!(bench.begin(1, "sip:b.example;transport=udp", &mut out));
    bench.answer(&mut out);
    assert!(bench.begin(2, "sip:dead.example:5060", &mut out) && out.is_empty(), "the question is shared");
    assert!(
        bench.begin(3, "sip:a.example:5060", &mut out) && out.is_empty(),
        "what is known needs no question"
    );
    assert_eq!(bench.resolver.poll_found().map(|(key, found)| (key, found.is_ok())), Some((3, true)));
    assert_eq!(bench.resolver.next_timeout(), Some(Instant::EPOCH + bench.limits.resolve));
    bench.now = Instant::EPOCH + bench.limits.resolve;
    while bench.resolver.expire(bench.now, &bench.limits) {}
    let (key, found) = bench.resolver.poll_found().expect("it has ended");
    assert_eq!((key, found.map(|places| places.len())), (1, Ok(1)));
    assert_eq!(bench.resolver.poll_found(), Some((2, Err(DnsError::TimedOut))));
    assert!(bench.resolver.is_idle() && bench.resolver.asked.is_empty() && bench.resolver.open.is_empty());
}

/// One question at a time for all who want the same; one that had all its time is not waited for by those who come later.
#[test]
fn questions_are_shared() {
    let mut bench = Bench::new().host("a.example", &["192.0.2.1"]);
    let mut out = VecDeque::new();
    assert!(bench.begin(1, "sip:a.example:5060", &mut out));
    bench.now = Instant::from_millis(9_000);
    assert!(bench.begin(2, "sip:a.example:5070", &mut out));
    assert_eq!(out.len(), 2, "two families, once");
    bench.now = Instant::from_millis(10_000);
    assert!(bench.begin(3, "sip:a.example:5080", &mut out));
    assert_eq!(out.len(), 4, "asked anew");
    bench.answer(&mut out);
    let keys: Vec<u32> = std::iter::from_fn(|| bench.resolver.poll_found()).map(|(key, _)| key).collect();
    assert_eq!(keys, [1, 2, 3]);
    assert!(bench.resolver.asked.is_empty() && bench.resolver.open.is_empty());
}

/// `resolutions`, `dns_questions`, `dns_records` and `attempts` at their limits and one over.
#[test]
fn resolutions_are_bounded() {
    let mut bench = Bench::new();
    bench.limits.resolutions = 2;
    let mut out = VecDeque::new();
    assert!(bench.begin(1, "sip:a.example", &mut out) && bench.begin(2, "sip:b.example", &mut out));
    assert!(!bench.begin(3, "sip:c.example", &mut out));
    assert!(bench.begin(3, "sip:192.0.2.1", &mut out), "what needs no look-up is no resolution");

    let hosts = |count: u16| -> Vec<(u16, u16, u16, String)> {
        (1..=count).map(|n| (n, 0, n, format!("h{n}.example"))).collect()
    };
    let served = |count: u16| {
        let hosts = hosts(count);
        let records: Vec<_> = hosts.iter().map(|(p, w, port, host)| (*p, *w, *port, host.as_str())).collect();
        let bench = Bench::new().srv("_sip._udp.a.example", &records);
        let mut bench = hosts.iter().fold(bench, |bench, (_, _, _, host)| bench.host(host, &["192.0.2.1"]));
        bench.reach = Reach::default().with(Proto::Udp, true);
        bench
    };
    let uri = "sip:a.example;transport=udp";
    for (questions, records, attempts, count) in
        [(5, 9, 9, 4), (4, 9, 9, 3), (9, 4, 9, 4), (9, 3, 9, 3), (9, 9, 4, 4), (9, 9, 3, 3)]
    {
        let mut bench = served(4);
        (bench.limits.dns_questions, bench.limits.dns_records) = (questions, records);
        bench.limits.attempts = attempts;
        assert_eq!(bench.found(uri).map(|found| found.len()), Ok(count), "{questions} {records} {attempts}");
    }
}

/// DN-17: what points to itself is asked once.
#[test]
fn dn_17_loops_end() {
    let mut bench = Bench::new()
        .naptr("a.example", &[(1, 1, "s", "SIP+D2U", "a.example")])
        .srv("a.example", &[(0, 0, 1, "a.example")]);
    bench.assert("sip:a.example", &[]);
    assert_eq!(bench.asked, ["Naptr a.example", "Srv a.example", "A a.example", "Aaaa a.example"]);
}

/// DN-10: the same seed leads to the same order, another seed to another one somewhere.
#[test]
fn weights_follow_the_seed() {
    let order = |seed| {
        let records: Vec<_> = (1..=8).map(|port| (0, 1, port, "h.example")).collect();
        let mut bench = Bench::new().srv("_sip._udp.a.example", &records).host("h.example", &["192.0.2.1"]);
        bench.resolver = Resolver::new(&Seed::from_u64(seed));
        bench.found("sip:a.example;transport=udp").expect("it is served")
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
}
