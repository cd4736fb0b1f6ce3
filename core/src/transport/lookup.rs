use std::{collections::VecDeque, net::IpAddr};

use crate::{
    base::{Instant, Limits},
    transport::{
        DnsError, DnsName, News, Output, Owner, Proto, QueryId, RecordKind, Records, Timeout, Transport,
    },
};

/// A host name on its way to addresses: one query a family that a socket could reach.
#[derive(Clone)]
pub(super) struct Lookup {
    owner: Owner,
    open: u8,
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
    error: Option<DnsError>,
}

impl Lookup {
    /// Ends it: no addresses if the name has none, an error if that could not be learnt.
    fn finish(self) -> News {
        let Self { owner, v4, v6, error, .. } = self;
        let addresses: Vec<IpAddr> = v4.into_iter().chain(v6).collect();
        // One family that answers is enough.
        let addresses = match error {
            Some(error) if addresses.is_empty() => Err(error),
            _ => Ok(addresses),
        };
        News::Found { owner, addresses }
    }
}

impl Transport {
    /// Looks up the addresses of a host, in the families that a bound socket can reach.
    pub(crate) fn look_up(
        &mut self,
        now: Instant,
        limits: &Limits,
        name: &DnsName,
        proto: Proto,
        owner: Owner,
        out: &mut VecDeque<Output>,
    ) -> bool {
        let bound = |v4: bool| {
            let mut sockets = self.sockets.values().filter(|s| s.proto == proto || proto != Proto::Udp);
            sockets.any(|socket| socket.bound.is_some_and(|addr| addr.is_ipv4() == v4))
        };
        let kinds = [(RecordKind::A, bound(true)), (RecordKind::Aaaa, bound(false))];
        let serial = self.next_query;
        let mut open = 0;
        for (kind, _) in kinds.into_iter().filter(|(_, wanted)| *wanted) {
            let query = QueryId(self.next_query);
            self.next_query += 1;
            self.queries.insert(query, serial);
            out.push_back(Output::Resolve { query, name: name.clone(), kind });
            open += 1;
        }
        if open == 0 {
            return false;
        }
        self.lookups.insert(serial, Lookup { owner, open, v4: Vec::new(), v6: Vec::new(), error: None });
        self.timers.schedule(now + limits.resolve, Timeout::Lookup(serial));
        true
    }

    /// Notes the answer to a query; the last one open ends the look-up.
    pub(crate) fn resolved(&mut self, query: QueryId, result: Result<Records, DnsError>) {
        let Some(serial) = self.queries.remove(&query) else { return };
        let Some(lookup) = self.lookups.get_mut(&serial) else { return };
        match result {
            Ok(Records::Addresses { addresses, .. }) => {
                for addr in addresses {
                    if addr.is_ipv4() { lookup.v4.push(addr) } else { lookup.v6.push(addr) }
                }
            }
            // An answer to something else than was asked says nothing of addresses.
            Ok(Records::Srv { .. } | Records::Naptr { .. }) => lookup.error = Some(DnsError::Failed),
            Err(error) => lookup.error = Some(error),
        }
        lookup.open -= 1;
        if lookup.open == 0 {
            self.news.extend(self.lookups.remove(&serial).map(Lookup::finish));
        }
    }

    pub(super) fn expire_lookup(&mut self, serial: u64) {
        let Some(mut lookup) = self.lookups.remove(&serial) else { return };
        // The look-up bears the number of its first query; there are two at most.
        self.queries.remove(&QueryId(serial));
        if self.queries.get(&QueryId(serial + 1)) == Some(&serial) {
            self.queries.remove(&QueryId(serial + 1));
        }
        lookup.error = Some(DnsError::TimedOut);
        self.news.push_back(lookup.finish());
    }
}
