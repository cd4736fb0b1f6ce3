use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use sansip::{DnsError, DnsName, RecordKind, Records};

use crate::{draw::Draws, link::Delay};

/// The name server that all nodes ask: a few names, and how slow or broken it is.
#[derive(Debug)]
pub struct Dns {
    names: BTreeMap<DnsName, Entry>,
    latency: Delay,
    silent: bool,
    draws: Draws,
}

/// What the server says of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Addresses(Vec<IpAddr>, Duration),
    Fails(DnsError),
    Silent,
}

impl Dns {
    pub(crate) fn new(draws: Draws) -> Self {
        Self { names: BTreeMap::new(), latency: Delay::fixed(Duration::from_millis(5)), silent: false, draws }
    }

    /// Gives a name its addresses, in the order in which they are answered, with a time to live of 300 s.
    ///
    /// # Panics
    /// If `name` is no domain name; so do all methods that take a name.
    pub fn name<A: Into<IpAddr>>(&mut self, name: &str, addresses: impl IntoIterator<Item = A>) {
        self.name_with_ttl(name, addresses, Duration::from_secs(300));
    }

    /// Gives a name its addresses and their time to live.
    pub fn name_with_ttl<A>(&mut self, name: &str, addresses: impl IntoIterator<Item = A>, ttl: Duration)
    where
        A: Into<IpAddr>,
    {
        let addresses = addresses.into_iter().map(Into::into).collect();
        self.names.insert(parse(name), Entry::Addresses(addresses, ttl));
    }

    /// Takes a name away; it has no records then.
    pub fn forget(&mut self, name: &str) {
        self.names.remove(&parse(name));
    }

    /// Makes look-ups of a name fail.
    pub fn fails(&mut self, name: &str, error: DnsError) {
        self.names.insert(parse(name), Entry::Fails(error));
    }

    /// Makes look-ups of a name stay without any answer.
    pub fn never_answers(&mut self, name: &str) {
        self.names.insert(parse(name), Entry::Silent);
    }

    /// Sets whether look-ups of all names stay without any answer.
    pub fn silent(&mut self, on: bool) {
        self.silent = on;
    }

    /// Sets how long answers take; 5 ms unless told otherwise.
    pub fn latency(&mut self, latency: impl Into<Delay>) {
        self.latency = latency.into();
    }

    /// Returns the answer and when it comes, `None` if it never does.
    pub(crate) fn ask(
        &mut self,
        name: &DnsName,
        kind: RecordKind,
    ) -> Option<(Duration, Result<Records, DnsError>)> {
        let delay = self.latency.draw(self.draws.next_u64());
        if self.silent {
            return None;
        }
        let (addresses, ttl) = match self.names.get(name) {
            Some(Entry::Silent) => return None,
            Some(Entry::Fails(error)) => return Some((delay, Err(*error))),
            Some(Entry::Addresses(addresses, ttl)) => (addresses.as_slice(), *ttl),
            None => (&[][..], Duration::from_secs(60)),
        };
        let wanted = |address: &IpAddr| match kind {
            RecordKind::A => address.is_ipv4(),
            RecordKind::Aaaa => address.is_ipv6(),
            _ => false,
        };
        let addresses = addresses.iter().copied().filter(wanted).collect();
        Some((delay, Ok(Records::Addresses { addresses, ttl })))
    }
}

fn parse(name: &str) -> DnsName {
    match name.parse() {
        Ok(name) => name,
        Err(error) => panic!("{error}"),
    }
}
