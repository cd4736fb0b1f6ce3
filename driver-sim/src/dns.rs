use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use sansip::{DnsError, DnsName, Naptr, RecordKind, Records, Srv};

use crate::{draw::Draws, link::Delay};

/// The name server that all nodes ask: its names, and how slow or broken it is.
#[derive(Debug)]
pub struct Dns {
    names: BTreeMap<DnsName, Zone>,
    latency: Delay,
    silent: bool,
    asked: BTreeMap<(DnsName, RecordKind), usize>,
    draws: Draws,
}

/// What the server says of one name.
#[derive(Clone, Debug)]
struct Zone {
    addresses: Vec<IpAddr>,
    srv: Vec<Srv>,
    naptr: Vec<Naptr>,
    ttl: Duration,
    /// The name that it is another name for.
    alias: Option<DnsName>,
    mood: Mood,
    latency: Option<Delay>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Answers,
    Fails(DnsError),
    Silent,
}

impl Dns {
    pub(crate) fn new(draws: Draws) -> Self {
        let (names, asked) = (BTreeMap::new(), BTreeMap::new());
        Self { names, latency: Delay::fixed(Duration::from_millis(5)), silent: false, asked, draws }
    }

    /// Gives a name its addresses, in the order in which they are answered, with a time to live of 300 s.
    ///
    /// # Panics
    /// If `name` is no domain name; so do all methods that take a name.
    pub fn name<A: Into<IpAddr>>(&mut self, name: &str, addresses: impl IntoIterator<Item = A>) {
        self.name_with_ttl(name, addresses, TTL);
    }

    /// Gives a name its addresses and the time to live of all its records.
    pub fn name_with_ttl<A>(&mut self, name: &str, addresses: impl IntoIterator<Item = A>, ttl: Duration)
    where
        A: Into<IpAddr>,
    {
        let zone = self.zone(name);
        zone.addresses = addresses.into_iter().map(Into::into).collect();
        zone.ttl = ttl;
        zone.mood = Mood::Answers;
    }

    /// Adds a host to a service, such as `_sip._udp.example.com`; the target `.` says that there is no such service.
    pub fn srv(&mut self, service: &str, (priority, weight): (u16, u16), target: &str, port: u16) {
        let target = (target != ".").then(|| parse(target));
        self.zone(service).srv.push(Srv { priority, weight, port, target });
    }

    /// Adds a transport to a domain: a service such as `SIP+D2U`, and the name of its SRV records.
    pub fn naptr(
        &mut self,
        domain: &str,
        (order, preference): (u16, u16),
        services: &str,
        replacement: &str,
    ) {
        let replacement = Some(parse(replacement));
        let (flags, services) = ("s".into(), services.into());
        let record = Naptr { order, preference, flags, services, has_regexp: false, replacement };
        self.zone(domain).naptr.push(record);
    }

    /// Makes a name another name for `target` (CNAME), whose records are answered.
    pub fn alias(&mut self, name: &str, target: &str) {
        self.zone(name).alias = Some(parse(target));
    }

    /// Sets the time to live of all records of a name.
    pub fn ttl(&mut self, name: &str, ttl: Duration) {
        self.zone(name).ttl = ttl;
    }

    /// Takes a name away; it has no records then.
    pub fn forget(&mut self, name: &str) {
        self.names.remove(&parse(name));
    }

    /// Makes look-ups of a name fail.
    pub fn fails(&mut self, name: &str, error: DnsError) {
        self.zone(name).mood = Mood::Fails(error);
    }

    /// Makes look-ups of a name stay without any answer.
    pub fn never_answers(&mut self, name: &str) {
        self.zone(name).mood = Mood::Silent;
    }

    /// Sets whether look-ups of all names stay without any answer.
    pub fn silent(&mut self, on: bool) {
        self.silent = on;
    }

    /// Sets how long answers take; 5 ms unless told otherwise.
    pub fn latency(&mut self, latency: impl Into<Delay>) {
        self.latency = latency.into();
    }

    /// Sets how long answers about one name take.
    pub fn latency_of(&mut self, name: &str, latency: impl Into<Delay>) {
        self.zone(name).latency = Some(latency.into());
    }

    /// Counts the questions for records of a name so far.
    pub fn asked(&self, name: &str, kind: RecordKind) -> usize {
        self.asked.get(&(parse(name), kind)).copied().unwrap_or(0)
    }

    /// Returns the answer and when it comes, `None` if it never does.
    pub(crate) fn ask(
        &mut self,
        name: &DnsName,
        kind: RecordKind,
    ) -> Option<(Duration, Result<Records, DnsError>)> {
        *self.asked.entry((name.clone(), kind)).or_default() += 1;
        let drawn = self.draws.next_u64();
        let own = self.names.get(name).and_then(|zone| zone.latency.as_ref());
        let delay = own.unwrap_or(&self.latency).draw(drawn);
        if self.silent {
            return None;
        }
        let mut zone = self.names.get(name);
        // A chain that leads back to itself is a failure, as real resolvers say.
        for _ in 0..ALIASES {
            let Some(alias) = zone.and_then(|zone| zone.alias.as_ref()) else { break };
            zone = self.names.get(alias);
        }
        let Some(zone) = zone else { return Some((delay, Ok(Records::none(kind, NONE_TTL)))) };
        let mood = if zone.alias.is_some() { Mood::Fails(DnsError::Failed) } else { zone.mood };
        match mood {
            Mood::Answers => Some((delay, Ok(zone.records(kind)))),
            Mood::Fails(error) => Some((delay, Err(error))),
            Mood::Silent => None,
        }
    }

    fn zone(&mut self, name: &str) -> &mut Zone {
        self.names.entry(parse(name)).or_insert_with(|| Zone {
            addresses: Vec::new(),
            srv: Vec::new(),
            naptr: Vec::new(),
            ttl: TTL,
            alias: None,
            mood: Mood::Answers,
            latency: None,
        })
    }
}

impl Zone {
    fn records(&self, kind: RecordKind) -> Records {
        let ttl = self.ttl;
        let addresses = |v4: bool| {
            let addresses = self.addresses.iter().copied().filter(|ip| ip.is_ipv4() == v4).collect();
            Records::Addresses { addresses, ttl }
        };
        match kind {
            RecordKind::A => addresses(true),
            RecordKind::Aaaa => addresses(false),
            RecordKind::Srv => Records::Srv { records: self.srv.clone(), ttl },
            RecordKind::Naptr => Records::Naptr { records: self.naptr.clone(), ttl },
            kind => Records::none(kind, ttl),
        }
    }
}

fn parse(name: &str) -> DnsName {
    match name.parse() {
        Ok(name) => name,
        Err(error) => panic!("{error}"),
    }
}

/// The time to live of what a test says nothing else of.
const TTL: Duration = Duration::from_secs(300);

/// For how long it is true that there is no such name.
const NONE_TTL: Duration = Duration::from_secs(60);

/// Aliases that are followed.
const ALIASES: usize = 8;
