use std::{
    collections::VecDeque,
    net::{IpAddr, ToSocketAddrs as _},
    sync::{Arc, Weak},
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
    pub(crate) fn look_up(
        self: &Arc<Self>,
        engine: &mut Engine<M>,
        query: QueryId,
        name: DnsName,
        kind: RecordKind,
    ) -> Result<(), DnsError> {
        let dns = &mut engine.dns;
        if dns.waiting.len() >= WAITING {
            return Err(DnsError::Failed);
        }
        if dns.running < RUNNING {
            // The system may take long, so these threads do not keep the node from ending.
            let shared = Arc::downgrade(self);
            let started = thread::Builder::new().name("sansip-dns".into()).spawn(move || serve(&shared));
            match started {
                Ok(_) => dns.running += 1,
                Err(_) if dns.running == 0 => return Err(DnsError::Failed),
                Err(_) => {}
            }
        }
        dns.waiting.push_back((query, name, kind));
        Ok(())
    }
}

/// Takes one query after the other until none waits.
fn serve<M: Machine + Send + 'static>(shared: &Weak<Shared<M>>) {
    loop {
        let Some((query, name, kind)) = shared.upgrade().and_then(|shared| {
            let dns = &mut shared.lock().dns;
            let next = dns.waiting.pop_front();
            if next.is_none() {
                dns.running -= 1;
            }
            next
        }) else {
            return;
        };
        let result = resolve(&name, kind);
        if let Some(shared) = shared.upgrade() {
            shared.run(|machine, now| machine.handle_input(now, Input::Resolved { query, result }));
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
