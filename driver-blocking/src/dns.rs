use std::{
    collections::VecDeque,
    net::{IpAddr, ToSocketAddrs as _},
    sync::Arc,
    thread,
    time::Duration,
};

use sansip::{DnsError, DnsName, Input, Machine, QueryId, RecordKind, Records};

use crate::engine::{Engine, Shared};

/// The look-ups that wait for a thread, and how many threads there are.
#[derive(Default)]
pub(crate) struct Dns {
    waiting: VecDeque<Query>,
    running: usize,
}

type Query = (QueryId, DnsName, RecordKind);

impl<M: Machine + Send + 'static> Shared<M> {
    /// Has the system's resolver look a name up, which knows addresses only and no times to live.
    pub(crate) fn look_up(self: &Arc<Self>, engine: &mut Engine<M>, query: Query) {
        let (dns, id) = (&mut engine.dns, query.0);
        if dns.running >= RUNNING && dns.waiting.len() < WAITING {
            return dns.waiting.push_back(query);
        }
        // The system may take long, so these threads do not keep the node from ending.
        let shared = Arc::downgrade(self);
        let run = move || {
            let mut next = Some(query);
            while let Some((query, name, kind)) = next {
                let result = resolve(&name, kind);
                let Some(shared) = shared.upgrade() else { return };
                let told = shared.enter(|engine| {
                    engine.feed(Input::Resolved { query, result });
                    let next = engine.dns.waiting.pop_front();
                    engine.dns.running -= usize::from(next.is_none());
                    next
                });
                next = told.flatten();
            }
        };
        let builder = thread::Builder::new().name("sansip-dns".into());
        if dns.running < RUNNING && builder.spawn(run).is_ok() {
            dns.running += 1;
        } else {
            engine.feed(Input::Resolved { query: id, result: Err(DnsError::Failed) });
        }
    }
}

fn resolve(name: &DnsName, kind: RecordKind) -> Result<Records, DnsError> {
    let wanted = |addr: &IpAddr| match kind {
        RecordKind::A => addr.is_ipv4(),
        RecordKind::Aaaa => addr.is_ipv6(),
        _ => false,
    };
    // Its error does not tell a name that does not exist from a server that fails.
    let found = (name.as_str(), 0).to_socket_addrs().map_err(|_| DnsError::Failed)?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for addr in found.map(|addr| addr.ip()).filter(wanted) {
        if !addresses.contains(&addr) {
            addresses.push(addr);
        }
    }
    Ok(Records::Addresses { addresses, ttl: TTL })
}

/// Threads for look-ups at once.
const RUNNING: usize = 16;

/// Look-ups that may wait for one.
const WAITING: usize = 1024;

/// For how long an answer holds, as the system does not say.
const TTL: Duration = Duration::from_secs(30);
