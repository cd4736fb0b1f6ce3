use std::{net::SocketAddr, sync::Arc};

use hickory_resolver::{
    Resolver, TokioResolver,
    config::{NameServerConfig, ResolverConfig},
    net::{DnsError as Refusal, NetError, runtime::TokioRuntimeProvider},
    proto::rr::{RData, RecordType},
};
use sansip::{DnsError, DnsName, Input, QueryId, RecordData, RecordKind, Records};
use tokio::runtime::{Builder, Handle, Runtime};

/// The look-ups of one node that are under way.
#[derive(Debug, Default)]
pub struct Lookups {
    /// The name servers to ask; without any, the system's.
    servers: Vec<SocketAddr>,
    /// Opened by the first one.
    dns: Option<Dns>,
    /// Held by each of them.
    running: Arc<()>,
}

impl Lookups {
    /// Asks these name servers; without any, the system's.
    pub fn asking(servers: Vec<SocketAddr>) -> Self {
        Self { servers, ..Self::default() }
    }

    /// Starts a look-up on a runtime, which hands the answer to `tell`.
    ///
    /// # Errors
    ///
    /// [`DnsError::Failed`] if too many run already, or the system does not let it.
    pub fn start(
        &mut self,
        runtime: &Handle,
        query: QueryId,
        name: DnsName,
        kind: RecordKind,
        tell: impl FnOnce(Input<'static>) + Send + 'static,
    ) -> Result<(), DnsError> {
        if Arc::strong_count(&self.running) > RUNNING {
            return Err(DnsError::Failed);
        }
        let dns = match &self.dns {
            Some(dns) => dns.clone(),
            None => {
                let _inside = runtime.enter();
                self.dns.insert(Dns::open(&self.servers)?).clone()
            }
        };
        let runs = Arc::clone(&self.running);
        runtime.spawn(async move {
            let result = dns.look_up(&name, kind).await;
            drop(runs);
            tell(Input::Resolved { query, result });
        });
        Ok(())
    }
}

/// Look-ups of a node that has no runtime of tokio: they run on a thread of their own, from the first of them on.
#[derive(Debug, Default)]
pub struct OwnLookups {
    lookups: Lookups,
    runtime: Option<Runtime>,
}

impl OwnLookups {
    /// Asks these name servers; without any, the system's.
    pub fn asking(servers: Vec<SocketAddr>) -> Self {
        Self { lookups: Lookups::asking(servers), runtime: None }
    }

    /// Starts a look-up, which hands the answer to `tell` on that thread.
    ///
    /// # Errors
    ///
    /// As [`Lookups::start`].
    pub fn start(
        &mut self,
        query: QueryId,
        name: DnsName,
        kind: RecordKind,
        tell: impl FnOnce(Input<'static>) + Send + 'static,
    ) -> Result<(), DnsError> {
        let runtime = match &self.runtime {
            Some(runtime) => runtime,
            None => {
                let mut builder = Builder::new_multi_thread();
                let builder = builder.worker_threads(1).thread_name("sansip-dns").enable_all();
                self.runtime.insert(builder.build().map_err(|_| DnsError::Failed)?)
            }
        };
        self.lookups.start(runtime.handle(), query, name, kind, tell)
    }

    /// Ends all of them without waiting for the thread.
    pub fn leave(self) {
        self.runtime.into_iter().for_each(Runtime::shutdown_background);
    }
}

/// Looks names up with the system's name servers and hosts file. Cheap to clone.
#[derive(Clone, Debug)]
struct Dns {
    resolver: TokioResolver,
}

impl Dns {
    /// Opens a resolver, inside of a runtime; without a readable configuration it knows the hosts file only.
    fn open(servers: &[SocketAddr]) -> Result<Self, DnsError> {
        let with = |config| Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        let own = servers.iter().map(|server| {
            let mut own = NameServerConfig::udp_and_tcp(server.ip());
            own.connections.iter_mut().for_each(|connection| connection.port = server.port());
            own
        });
        let mut builder = match servers {
            [] => TokioResolver::builder_tokio().unwrap_or_else(|_| with(ResolverConfig::default())),
            _ => with(ResolverConfig::from_name_servers(own.collect())),
        };
        // The machine caches by itself.
        builder.options_mut().cache_size = 0;
        Ok(Self { resolver: builder.build().map_err(|_| DnsError::Failed)? })
    }

    async fn look_up(&self, name: &DnsName, kind: RecordKind) -> Answer {
        let answer = ask(&self.resolver, format!("{name}."), kind).await;
        // The system's search list applies to a name without a dot that is nothing by itself.
        let bare = !name.as_str().contains('.');
        match answer {
            Ok(Records::Addresses { ref addresses, .. }) if bare && addresses.is_empty() => {
                ask(&self.resolver, name.to_string(), kind).await
            }
            _ => answer,
        }
    }
}

async fn ask(resolver: &TokioResolver, name: String, kind: RecordKind) -> Answer {
    match resolver.lookup(name, RecordType::from(kind.number())).await {
        Ok(lookup) => {
            let ttl_s = lookup.answers().iter().map(|record| record.ttl).min();
            // Aliases on the way (CNAME) are of no interest, but for their time to live.
            let found = lookup.answers().iter().filter_map(|record| match &record.data {
                RData::A(a) => Some(RecordData::Address(a.0.into())),
                RData::AAAA(aaaa) => Some(RecordData::Address(aaaa.0.into())),
                RData::SRV(s) => RecordData::srv((s.priority, s.weight, s.port), &s.target.to_ascii()),
                RData::NAPTR(n) => {
                    let texts = [&*n.flags, &*n.services, &*n.regexp];
                    RecordData::naptr((n.order, n.preference), texts, &n.replacement.to_ascii())
                }
                _ => None,
            });
            Ok(Records::collect(kind, found, ttl_s))
        }
        // A name that does not exist and one without such records (RFC 2308 §5).
        Err(NetError::Dns(Refusal::NoRecordsFound(no))) => Ok(Records::collect(kind, [], no.negative_ttl)),
        Err(NetError::Timeout) => Err(DnsError::TimedOut),
        Err(_) => Err(DnsError::Failed),
    }
}

type Answer = Result<Records, DnsError>;

/// Look-ups at once, since each holds a socket.
const RUNNING: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_ups_at_once_are_bounded() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("the system has what it needs");
        let mut lookups = Lookups::default();
        // Nobody drives the runtime, so none of them ends.
        let mut start = |query| {
            let name = "localhost".parse().expect("it is a name");
            lookups.start(runtime.handle(), QueryId(query), name, RecordKind::A, drop)
        };
        assert!((0..RUNNING as u64).all(|query| start(query) == Ok(())));
        assert_eq!(start(RUNNING as u64), Err(DnsError::Failed));
        drop(runtime);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("the system has what it needs");
        let name = "localhost".parse().expect("it is a name");
        let again = lookups.start(runtime.handle(), QueryId(0), name, RecordKind::A, drop);
        assert_eq!(again, Ok(()), "those that are gone do not count");
    }
}
