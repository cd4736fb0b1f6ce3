use std::collections::{BTreeMap, BTreeSet};

use crate::{
    base::{Instant, Limits},
    transport::Records,
};

use super::Question;

/// Answers that are still true (RFC 1035 §3.2.1, RFC 2308 §5). Failures are not kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache {
    entries: BTreeMap<Question, (Instant, Records)>,
    by_end: BTreeSet<(Instant, Question)>,
}

impl Cache {
    /// Returns an answer that still holds.
    pub(super) fn get(&self, now: Instant, question: &Question) -> Option<&Records> {
        let (end, records) = self.entries.get(question)?;
        (*end > now).then_some(records)
    }

    /// Keeps an answer for as long as it says, within the limits; where there is no room, what ends first has to go.
    pub(super) fn insert(&mut self, now: Instant, limits: &Limits, question: Question, records: Records) {
        let most = if records.is_empty() { limits.dns_negative_ttl } else { limits.dns_ttl };
        let end = now + records.ttl().max(limits.dns_ttl_least).min(most);
        self.remove(&question);
        if end <= now || limits.dns_entries == 0 {
            return;
        }
        while self
            .by_end
            .first()
            .is_some_and(|(end, _)| *end <= now || self.entries.len() >= limits.dns_entries)
        {
            let Some((_, first)) = self.by_end.pop_first() else { break };
            self.entries.remove(&first);
        }
        self.by_end.insert((end, question.clone()));
        self.entries.insert(question, (end, records));
    }

    fn remove(&mut self, question: &Question) {
        if let Some((end, _)) = self.entries.remove(question) {
            self.by_end.remove(&(end, question.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::transport::RecordKind;

    fn question(name: &str) -> Question {
        Question { name: name.parse().expect("a name"), kind: RecordKind::A }
    }

    fn answer(count: u8, ttl_s: u64) -> Records {
        let addresses = (0..count).map(|n| [192, 0, 2, n].into()).collect();
        Records::Addresses { addresses, ttl: Duration::from_secs(ttl_s) }
    }

    fn secs(s: u64) -> Instant {
        Instant::from_millis(s * 1000)
    }

    /// DN-14, C066: an answer holds as long as its time to live says, to the moment, and an answer of 0 s not at all.
    #[test]
    fn dn_14_time_to_live() {
        let (mut cache, limits) = (Cache::default(), Limits::default());
        cache.insert(secs(0), &limits, question("a"), answer(1, 30));
        assert!(cache.get(Instant::from_millis(29_999), &question("a")).is_some());
        assert!(cache.get(secs(30), &question("a")).is_none());
        cache.insert(secs(0), &limits, question("a"), answer(1, 0));
        assert!(cache.get(secs(0), &question("a")).is_none(), "what was there before is gone, too");
    }

    /// DN-14, RFC 2308 §5: that there is nothing is kept, too, with a bound of its own; so is what lives for long.
    #[test]
    fn dn_14_bounds() {
        let mut limits = Limits::default();
        (limits.dns_negative_ttl, limits.dns_ttl) = (Duration::from_secs(10), Duration::from_secs(20));
        let mut cache = Cache::default();
        cache.insert(secs(0), &limits, question("none"), answer(0, 1000));
        cache.insert(secs(0), &limits, question("long"), answer(1, 1000));
        assert!(cache.get(secs(9), &question("none")).is_some_and(Records::is_empty));
        assert!(cache.get(secs(10), &question("none")).is_none());
        assert!(cache.get(secs(19), &question("long")).is_some());
        assert!(cache.get(secs(20), &question("long")).is_none());
        limits.dns_ttl_least = Duration::from_secs(5);
        cache.insert(secs(0), &limits, question("short"), answer(1, 1));
        assert!(cache.get(secs(4), &question("short")).is_some());
        assert!(cache.get(secs(5), &question("short")).is_none());
    }

    /// `dns_entries` at its limit and one over: what would end first makes room.
    #[test]
    fn the_cache_is_bounded() {
        let limits = Limits { dns_entries: 2, ..Limits::default() };
        let mut cache = Cache::default();
        cache.insert(secs(0), &limits, question("long"), answer(1, 60));
        cache.insert(secs(0), &limits, question("short"), answer(1, 30));
        assert!(cache.get(secs(1), &question("short")).is_some());
        cache.insert(secs(1), &limits, question("third"), answer(1, 40));
        assert!(cache.get(secs(1), &question("short")).is_none());
        assert!(
            cache.get(secs(1), &question("long")).is_some()
                && cache.get(secs(1), &question("third")).is_some()
        );
        assert_eq!((cache.entries.len(), cache.by_end.len()), (2, 2));
    }
}
