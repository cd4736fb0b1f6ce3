use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::transport::{DnsError, DnsName, Naptr, Proto, RecordKind, Records, Srv};

use super::{Destination, Place, Preference, Question, Reach, order};
use crate::base::Rng;

/// What a resolution has learnt so far.
pub(super) type Known = BTreeMap<Question, Result<Records, DnsError>>;

/// What a resolution does next.
#[derive(Debug)]
pub(super) enum Plan {
    /// These answers are lacking, the most wanted first.
    Ask(Vec<Question>),
    /// Nothing is lacking.
    Done(Vec<Group>),
}

/// The hosts of one transport.
#[derive(Debug)]
pub(super) struct Group {
    proto: Proto,
    hosts: Vec<Srv>,
}

/// Decides what a resolution needs to know next: it is asked again whenever an answer has come (RFC 3263 §4).
///
/// It comes to an end, since each answer is awaited or made up as a failure by who asks.
pub(super) fn plan(to: &Destination, name: &DnsName, reach: &Reach, known: &Known) -> Plan {
    let mut planner = Planner { known, missing: Vec::new() };
    let groups = planner.groups(to, name, reach);
    if planner.missing.is_empty() {
        for group in &groups {
            planner.addresses(group, reach);
        }
    }
    if planner.missing.is_empty() { Plan::Done(groups) } else { Plan::Ask(planner.missing) }
}

/// Puts all that was learnt in order (RFC 3263 §4.2, RFC 2782): transports, then priorities and weights, then families.
pub(super) fn places(
    groups: Vec<Group>,
    name: &DnsName,
    reach: &Reach,
    preference: Preference,
    known: &Known,
    rng: &mut Rng,
) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    let mut seen = BTreeSet::new();
    for Group { proto, hosts } in groups {
        for host in order::by_weight(hosts, rng) {
            let Some(target) = &host.target else { continue };
            let mut addresses: Vec<IpAddr> = Vec::new();
            for kind in [RecordKind::A, RecordKind::Aaaa] {
                match known.get(&Question { name: target.clone(), kind }) {
                    Some(Ok(Records::Addresses { addresses: found, .. })) => addresses.extend(found),
                    // An answer to something else than was asked says nothing of addresses.
                    Some(Ok(Records::Srv { .. } | Records::Naptr { .. }) | Err(_)) | None => {}
                }
            }
            // RFC 7984 §4: families are put in order inside of one target only. The sort is stable.
            addresses.sort_by_key(|ip| ip.is_ipv4() != (preference == Preference::Ipv4));
            for ip in addresses.into_iter().filter(|ip| reach.reaches(proto, *ip)) {
                let addr = (ip, host.port).into();
                if seen.insert((proto, addr)) {
                    places.push(Place { proto, addr, name: Some(name.clone()) });
                }
            }
        }
    }
    places
}

struct Planner<'a> {
    known: &'a Known,
    missing: Vec<Question>,
}

impl Planner<'_> {
    fn groups(&mut self, to: &Destination, name: &DnsName, reach: &Reach) -> Vec<Group> {
        let default = to.proto.unwrap_or_else(|| reach.default_for(to.secure));
        // RFC 3263 §4.2: a port leads straight to addresses, even the usual one.
        if let Some(port) = to.port {
            return vec![Group::single(default, name, port)];
        }
        let services = match to.proto {
            Some(proto) => vec![(proto, service_name(proto, to.secure, name))],
            None => self.transports(to, name, reach),
        };
        if !self.missing.is_empty() {
            return Vec::new();
        }
        let mut found = Vec::new();
        for (proto, service) in services {
            let Some(service) = service else { continue };
            let hosts = self.srv(&service);
            if !hosts.is_empty() {
                found.push(Group { proto, hosts });
            }
        }
        // RFC 3263 §4.2: without any SRV record the domain itself is the host. A record that declines is one.
        if found.is_empty() && self.missing.is_empty() && !self.has_failed() {
            found.push(Group::single(default, name, default.default_port()));
        }
        found
    }

    /// Returns the transports to be tried, each with the name of its SRV records (RFC 3263 §4.1).
    fn transports(
        &mut self,
        to: &Destination,
        name: &DnsName,
        reach: &Reach,
    ) -> Vec<(Proto, Option<DnsName>)> {
        let question = Question { name: name.clone(), kind: RecordKind::Naptr };
        let usable = match self.answer(question) {
            Some(Records::Naptr { records, .. }) => usable(&records, to.secure, reach),
            Some(Records::Addresses { .. } | Records::Srv { .. }) | None => Vec::new(),
        };
        if !usable.is_empty() || !self.missing.is_empty() || self.has_failed() {
            return usable;
        }
        let own = |proto: &Proto| reach.offers(*proto, to.secure) && proto.is_secure() == to.secure;
        let protos = Proto::ALL.into_iter().filter(own);
        protos.map(|proto| (proto, service_name(proto, to.secure, name))).collect()
    }

    fn srv(&mut self, service: &DnsName) -> Vec<Srv> {
        match self.answer(Question { name: service.clone(), kind: RecordKind::Srv }) {
            Some(Records::Srv { records, .. }) => records,
            Some(Records::Addresses { .. } | Records::Naptr { .. }) | None => Vec::new(),
        }
    }

    fn addresses(&mut self, group: &Group, reach: &Reach) {
        let mut hosts: Vec<&Srv> = group.hosts.iter().collect();
        // What is tried first is asked for first, lest the bound on questions hit it.
        hosts.sort_by_key(|host| host.priority);
        for target in hosts.into_iter().filter_map(|host| host.target.as_ref()) {
            for kind in reach.families(group.proto) {
                let question = Question { name: target.clone(), kind };
                if !self.missing.contains(&question) {
                    self.answer(question);
                }
            }
        }
    }

    /// Returns what is known, or notes that it is not.
    fn answer(&mut self, question: Question) -> Option<Records> {
        match self.known.get(&question) {
            Some(answer) => answer.clone().ok(),
            None => {
                self.missing.push(question);
                None
            }
        }
    }

    /// Tells whether it could not be learnt how the domain is served: then nothing may be made up (DN-17).
    fn has_failed(&self) -> bool {
        let mut failed = self.known.iter().filter(|(_, answer)| answer.is_err());
        failed.any(|(question, _)| matches!(question.kind, RecordKind::Srv | RecordKind::Naptr))
    }
}

impl Group {
    fn single(proto: Proto, host: &DnsName, port: u16) -> Self {
        let hosts = vec![Srv { priority: 0, weight: 0, port, target: Some(host.clone()) }];
        Self { proto, hosts }
    }
}

/// Picks the records that SIP uses and this side can follow, the best first (RFC 3263 §4.1, RFC 3403 §4.1).
///
/// All of them are kept: the transports behind are alternatives (the exception that RFC 3403 grants to a client that knows
/// its services), and a request whose first servers are down is better sent over another transport than not at all.
fn usable(records: &[Naptr], secure: bool, reach: &Reach) -> Vec<(Proto, Option<DnsName>)> {
    let mut found: Vec<(&Naptr, Proto)> = Vec::new();
    for record in records {
        let service = service_of(&record.services);
        let Some((proto, sips)) = service.filter(|_| record.flags.eq_ignore_ascii_case("s")) else {
            continue;
        };
        let fits = reach.offers(proto, secure) && (sips || !secure);
        if fits && !record.has_regexp && record.replacement.is_some() {
            found.push((record, proto));
        }
    }
    found.sort_by_key(|(record, _)| (record.order, record.preference));
    found.into_iter().map(|(record, proto)| (proto, record.replacement.clone())).collect()
}

/// Reads a service field: the transport, and whether it is one of SIPS (RFC 3263 §4.1, RFC 7118 §10.2).
fn service_of(services: &str) -> Option<(Proto, bool)> {
    let known = [
        ("SIP+D2U", Proto::Udp),
        ("SIP+D2T", Proto::Tcp),
        ("SIP+D2S", Proto::Sctp),
        ("SIP+D2W", Proto::Ws),
        ("SIPS+D2T", Proto::Tls),
        ("SIPS+D2W", Proto::Wss),
    ];
    let found = known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(services));
    found.map(|(_, proto)| (proto, proto.is_secure()))
}

/// Returns the name of the SRV records of a transport (RFC 3263 §4.1); none if the domain's name has no room for it.
fn service_name(proto: Proto, secure: bool, name: &DnsName) -> Option<DnsName> {
    let prefix = match proto {
        Proto::Udp => "_sip._udp",
        Proto::Tcp => "_sip._tcp",
        Proto::Tls => "_sips._tcp",
        Proto::Ws if secure => "_sips._ws",
        Proto::Ws => "_sip._ws",
        Proto::Wss => "_sips._ws",
        Proto::Sctp => "_sip._sctp",
    };
    format!("{prefix}.{name}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dn_05_services() {
        for (text, service) in [
            ("SIP+D2U", Some((Proto::Udp, false))),
            ("sips+d2t", Some((Proto::Tls, true))),
            ("SIPS+D2W", Some((Proto::Wss, true))),
            ("SIPS+D2U", None),
            ("E2U+sip", None),
            ("", None),
        ] {
            assert_eq!(service_of(text), service, "{text}");
        }
    }
}
