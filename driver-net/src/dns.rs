use std::{net::IpAddr, sync::Arc, time::Duration};

use hickory_resolver::{
    Resolver, TokioResolver,
    config::ResolverConfig,
    net::{DnsError as Refusal, NetError, runtime::TokioRuntimeProvider},
    proto::rr::{RData, RecordType},
};
use sansip::{DnsError, DnsName, Input, QueryId, RecordKind, Records};
use tokio::runtime::Handle;

/// The look-ups of one node that are under way.
#[derive(Debug, Default)]
pub struct Lookups {
    /// Opened by the first one.
    dns: Option<Dns>,
    /// Held by each of them.
    running: Arc<()>,
}

impl Lookups {
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
                self.dns.insert(Dns::open()?).clone()
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

/// Looks names up with the system's name servers and hosts file. Cheap to clone.
#[derive(Clone, Debug)]
struct Dns {
    resolver: TokioResolver,
}

impl Dns {
    /// Opens a resolver, inside of a runtime; without a readable configuration it knows the hosts file only.
    fn open() -> Result<Self, DnsError> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = Resolver::builder(provider.clone())
            .unwrap_or_else(|_| Resolver::builder_with_config(ResolverConfig::default(), provider));
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
    let record_type = match kind {
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
        _ => return Err(DnsError::Failed),
    };
    match resolver.lookup(name, record_type).await {
        Ok(lookup) => {
            let found = lookup.answers().iter().filter_map(|record| match &record.data {
                RData::A(a) => Some((IpAddr::V4(a.0), record.ttl)),
                RData::AAAA(aaaa) => Some((IpAddr::V6(aaaa.0), record.ttl)),
                _ => None,
            });
            let (addresses, ttls): (Vec<_>, Vec<_>) = found.unzip();
            Ok(addresses_for(addresses, ttls.into_iter().min()))
        }
        // A name that does not exist and one without such records (RFC 2308 §5).
        Err(NetError::Dns(Refusal::NoRecordsFound(none))) => Ok(addresses_for(Vec::new(), none.negative_ttl)),
        Err(NetError::Timeout) => Err(DnsError::TimedOut),
        Err(_) => Err(DnsError::Failed),
    }
}

fn addresses_for(addresses: Vec<IpAddr>, ttl_s: Option<u32>) -> Records {
    Records::Addresses { addresses, ttl: Duration::from_secs(ttl_s.map_or(NO_TTL_S, u64::from)) }
}

type Answer = Result<Records, DnsError>;

/// Look-ups at once, since each holds a socket.
const RUNNING: usize = 1024;

/// For how long an answer without any time to live holds.
const NO_TTL_S: u64 = 30;

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
