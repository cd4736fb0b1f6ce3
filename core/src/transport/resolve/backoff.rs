use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use crate::{
    base::{Instant, Limits},
    transport::Proto,
};

use super::Place;

/// The servers that are left alone for a while, by address, port and transport, never by name (RFC 3263 §4.3, C069).
#[derive(Clone, Debug, Default)]
pub(super) struct Backoff {
    until: BTreeMap<Key, Instant>,
    by_end: BTreeSet<(Instant, Key)>,
}

type Key = (Proto, SocketAddr);

impl Backoff {
    /// Leaves a server alone for a while, at most as long as the limits allow.
    pub(super) fn avoid(&mut self, now: Instant, limits: &Limits, key: Key, time: Duration) {
        self.forget(key);
        let end = now + time.min(limits.back_off);
        if end <= now || limits.back_offs == 0 {
            return;
        }
        while self.by_end.first().is_some_and(|(end, _)| *end <= now || self.until.len() >= limits.back_offs)
        {
            let Some((_, first)) = self.by_end.pop_first() else { break };
            self.until.remove(&first);
        }
        self.until.insert(key, end);
        self.by_end.insert((end, key));
    }

    /// Forgets that a server was to be left alone: it has answered.
    pub(super) fn forget(&mut self, key: Key) {
        if let Some(end) = self.until.remove(&key) {
            self.by_end.remove(&(end, key));
        }
    }

    /// Moves the servers that are to be left alone behind all others: they are tried when nobody else is left.
    pub(super) fn sort(&self, now: Instant, places: &mut [Place]) {
        places.sort_by_key(|place| self.until.get(&(place.proto, place.addr)).is_some_and(|end| *end > now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(n: u8) -> Place {
        Place { proto: Proto::Udp, addr: ([192, 0, 2, n], 5060).into(), name: None }
    }

    fn sorted(backoff: &Backoff, now: u64) -> Vec<u8> {
        let mut places = vec![place(1), place(2), place(3)];
        backoff.sort(Instant::from_millis(now), &mut places);
        places.iter().map(|place| (1..=3).find(|n| *place == self::place(*n)).expect("one of them")).collect()
    }

    fn avoid(backoff: &mut Backoff, limits: &Limits, now: u64, n: u8, ms: u64) {
        let key = (Proto::Udp, place(n).addr);
        backoff.avoid(Instant::from_millis(now), limits, key, Duration::from_millis(ms));
    }

    /// C069, P13: a server that failed comes last, until its time is over or it answers; the limit bounds that time.
    #[test]
    fn c069_servers_are_left_alone_for_a_while() {
        let limits = Limits { back_off: Duration::from_millis(500), ..Limits::default() };
        let mut backoff = Backoff::default();
        avoid(&mut backoff, &limits, 0, 1, 100);
        assert_eq!((sorted(&backoff, 99), sorted(&backoff, 100)), (vec![2, 3, 1], vec![1, 2, 3]));
        avoid(&mut backoff, &limits, 0, 2, 9_000);
        assert_eq!((sorted(&backoff, 499), sorted(&backoff, 500)), (vec![1, 3, 2], vec![1, 2, 3]));
        backoff.forget((Proto::Tcp, place(2).addr));
        assert_eq!(sorted(&backoff, 499), [1, 3, 2], "another transport is another server");
        backoff.forget((Proto::Udp, place(2).addr));
        assert_eq!(sorted(&backoff, 499), [1, 2, 3]);
    }

    /// `back_offs` at its limit and one over: what would end first makes room.
    #[test]
    fn back_offs_are_bounded() {
        let limits = Limits { back_offs: 2, ..Limits::default() };
        let mut backoff = Backoff::default();
        avoid(&mut backoff, &limits, 0, 1, 200);
        avoid(&mut backoff, &limits, 0, 2, 100);
        assert_eq!(sorted(&backoff, 1), [3, 1, 2]);
        avoid(&mut backoff, &limits, 0, 3, 150);
        assert_eq!(sorted(&backoff, 1), [2, 1, 3]);
        assert_eq!((backoff.until.len(), backoff.by_end.len()), (2, 2));
    }
}
