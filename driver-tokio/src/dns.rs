use std::{
    net::IpAddr,
    task::{Context, Poll},
    time::Duration,
};

use hickory_resolver::{
    Resolver, TokioResolver,
    config::ResolverConfig,
    net::{DnsError as Refusal, NetError, runtime::TokioRuntimeProvider},
    proto::rr::{RData, RecordType},
};
use sansip::{DnsError, DnsName, Input, QueryId, RecordKind, Records};
use tokio::task::JoinSet;

/// The look-ups under way.
#[derive(Default)]
pub(crate) struct Dns {
    resolver: Option<TokioResolver>,
    running: JoinSet<(QueryId, Answer)>,
}

type Answer = Result<Records, DnsError>;

impl Dns {
    /// Starts a look-up with the system's name servers and hosts file.
    pub(crate) fn start(&mut self, query: QueryId, name: DnsName, kind: RecordKind) -> Result<(), DnsError> {
        if self.running.len() >= RUNNING {
            return Err(DnsError::Failed);
        }
        if self.resolver.is_none() {
            self.resolver = open().ok();
        }
        let resolver = self.resolver.clone().ok_or(DnsError::Failed)?;
        self.running.spawn(async move { (query, look_up(&resolver, &name, kind).await) });
        Ok(())
    }

    /// Returns an answer that has come. To be polled until pending, after anything that may start a look-up.
    pub(crate) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Input<'static>> {
        loop {
            match self.running.poll_join_next(cx) {
                Poll::Ready(Some(Ok((query, result)))) => {
                    return Poll::Ready(Input::Resolved { query, result });
                }
                // A task that panicked answers nobody; the machine gives up at its own deadline.
                Poll::Ready(Some(Err(_))) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Opens a resolver; without a readable configuration it knows the hosts file only.
fn open() -> Result<TokioResolver, NetError> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = Resolver::builder(provider.clone())
        .unwrap_or_else(|_| Resolver::builder_with_config(ResolverConfig::default(), provider));
    // The machine caches by itself.
    builder.options_mut().cache_size = 0;
    builder.build()
}

async fn look_up(resolver: &TokioResolver, name: &DnsName, kind: RecordKind) -> Answer {
    let answer = ask(resolver, format!("{name}."), kind).await;
    // The system's search list applies to a name without a dot that is nothing by itself.
    let bare = !name.as_str().contains('.');
    match answer {
        Ok(Records::Addresses { ref addresses, .. }) if bare && addresses.is_empty() => {
            ask(resolver, name.to_string(), kind).await
        }
        _ => answer,
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

/// Look-ups at once, since each holds a socket.
const RUNNING: usize = 1024;

/// For how long an answer without any time to live holds.
const NO_TTL_S: u64 = 30;
