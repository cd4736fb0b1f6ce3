//! Finding servers (RFC 3263): questions go out, answers come in, and places to send to come of it.
//!
//! A driver's resolver follows aliases (CNAME) by itself and gives the records at their end, so that chains of them are
//! its to bound. A question that it never answers costs those who asked it, and nobody else.

mod backoff;
mod cache;
mod destination;
mod order;
mod plan;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use crate::{
    base::{Instant, Limits, Rng, Seed, TimerQueue},
    transport::{DnsError, DnsName, Output, Owner, Proto, QueryId, RecordKind, Records},
};

pub use self::destination::{BadDestination, Destination, Place, Preference, Reach};
use self::{
    backoff::Backoff,
    cache::Cache,
    destination::DestinationHost,
    plan::{Known, Plan},
};

/// Resolutions under way, and what was learnt by those before: answers, and servers that failed.
#[derive(Clone)]
pub struct Resolver<K> {
    cache: Cache,
    backoff: Backoff,
    runs: BTreeMap<u64, Run<K>>,
    next_run: u64,
    asked: BTreeMap<QueryId, Asked>,
    /// The question that others may share.
    open: BTreeMap<Question, QueryId>,
    next_query: u64,
    timers: TimerQueue<u64>,
    rng: Rng,
    found: VecDeque<(K, Result<Vec<Place>, DnsError>)>,
}

/// Who wants to know where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seeker {
    /// A request of this transaction.
    Transaction(Owner),
    /// A response that cannot go where its request came from.
    Response(u64),
}

/// Why a resolution is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotBegun {
    /// There is nothing to send with.
    NoSocket(Proto),
    /// There are as many as there may be.
    Limit,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    name: DnsName,
    kind: RecordKind,
}

/// A resolution under way.
#[derive(Clone)]
struct Run<K> {
    key: K,
    to: Destination,
    name: DnsName,
    reach: Reach,
    preference: Preference,
    known: Known,
    /// The questions whose answers it waits for.
    waits: BTreeMap<QueryId, Question>,
    /// The questions that it may still ask.
    budget: usize,
}

/// A question that went out.
#[derive(Clone)]
struct Asked {
    question: Question,
    at: Instant,
    runs: Vec<u64>,
}

impl<K> Resolver<K> {
    /// Makes one that knows nothing yet.
    pub fn new(seed: &Seed) -> Self {
        Self {
            cache: Cache::default(),
            backoff: Backoff::default(),
            runs: BTreeMap::new(),
            next_run: 1,
            asked: BTreeMap::new(),
            open: BTreeMap::new(),
            next_query: 1,
            timers: TimerQueue::new(),
            rng: seed.stream("srv"),
            found: VecDeque::new(),
        }
    }

    /// Begins to find the servers of a destination; they come out of [`poll_found`](Self::poll_found), even at once.
    ///
    /// Returns false if nothing can be sent there, or if there are too many resolutions already.
    pub fn resolve(
        &mut self,
        now: Instant,
        limits: &Limits,
        (key, to): (K, &Destination),
        (reach, preference): (Reach, Preference),
        out: &mut VecDeque<Output>,
    ) -> bool {
        self.begin(now, limits, (key, to), (reach, preference), out).is_ok()
    }

    pub(crate) fn begin(
        &mut self,
        now: Instant,
        limits: &Limits,
        (key, to): (K, &Destination),
        (reach, preference): (Reach, Preference),
        out: &mut VecDeque<Output>,
    ) -> Result<(), NotBegun> {
        let proto = to.proto.unwrap_or_else(|| reach.default_for(to.secure));
        if !reach.has(proto) {
            return Err(NotBegun::NoSocket(proto));
        }
        let name = match &to.host {
            DestinationHost::Name(name) if name.leads_nowhere() => {
                self.found.push_back((key, Ok(Vec::new())));
                return Ok(());
            }
            DestinationHost::Name(name) => name.clone(),
            DestinationHost::Addr(_) => {
                self.found.push_back((key, Ok(to.place(&reach).into_iter().collect())));
                return Ok(());
            }
        };
        if self.runs.len() >= limits.resolutions {
            return Err(NotBegun::Limit);
        }
        let serial = self.next_run;
        self.next_run += 1;
        let (known, waits, budget) = (Known::new(), BTreeMap::new(), limits.dns_questions);
        let run = Run { key, to: to.clone(), name, reach, preference, known, waits, budget };
        self.runs.insert(serial, run);
        self.timers.schedule(now + limits.resolve, serial);
        self.advance(now, limits, serial, out);
        Ok(())
    }

    /// Takes an answer; one that nobody asked for, or that comes too late, is dropped.
    pub fn resolved(
        &mut self,
        now: Instant,
        limits: &Limits,
        query: QueryId,
        result: Result<Records, DnsError>,
        out: &mut VecDeque<Output>,
    ) {
        let Some(Asked { question, runs, .. }) = self.asked.remove(&query) else { return };
        if self.open.get(&question) == Some(&query) {
            self.open.remove(&question);
        }
        // An answer to something else than was asked says nothing.
        let result = match result {
            Ok(mut records) if records.answers(question.kind) => {
                records.truncate(limits.dns_records);
                self.cache.insert(now, limits, question.clone(), records.clone());
                Ok(records)
            }
            Ok(_) => Err(DnsError::Failed),
            Err(error) => Err(error),
        };
        for serial in runs {
            let Some(run) = self.runs.get_mut(&serial) else { continue };
            run.waits.remove(&query);
            run.known.insert(question.clone(), result.clone());
            if run.waits.is_empty() {
                self.advance(now, limits, serial, out);
            }
        }
    }

    /// Tells whether the outcome of a resolution waits to be taken.
    #[inline]
    pub fn has_found(&self) -> bool {
        !self.found.is_empty()
    }

    /// Returns the outcome of a resolution: no place if the domain has none, an error if that could not be learnt.
    pub fn poll_found(&mut self) -> Option<(K, Result<Vec<Place>, DnsError>)> {
        self.found.pop_front()
    }

    /// Returns when [`expire`](Self::expire) is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Ends one resolution that takes too long with what it has learnt; tells whether one was due.
    pub fn expire(&mut self, now: Instant, limits: &Limits) -> bool {
        let Some((_, serial)) = self.timers.pop_due(now) else { return false };
        if let Some(mut run) = self.runs.remove(&serial) {
            for (query, question) in std::mem::take(&mut run.waits) {
                run.known.insert(question, Err(DnsError::TimedOut));
                self.leave(query, serial);
            }
            self.finish(now, limits, run);
        }
        true
    }

    /// Tells whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.runs.is_empty() && self.found.is_empty()
    }

    /// Leaves a server alone for a while (RFC 3263 §4.3).
    pub(crate) fn avoid(&mut self, now: Instant, limits: &Limits, key: (Proto, SocketAddr), time: Duration) {
        self.backoff.avoid(now, limits, key, time);
    }

    /// Forgets that a server was to be left alone.
    pub(crate) fn trust(&mut self, key: (Proto, SocketAddr)) {
        self.backoff.forget(key);
    }

    /// Brings a resolution as far as it gets without another answer.
    fn advance(&mut self, now: Instant, limits: &Limits, serial: u64, out: &mut VecDeque<Output>) {
        let Some(mut run) = self.runs.remove(&serial) else { return };
        // Each round makes something known; addresses come after SRV, and SRV after NAPTR.
        for _ in 0..=ROUNDS {
            let Plan::Ask(questions) = plan::plan(&run.to, &run.name, &run.reach, &run.known) else { break };
            for question in questions {
                self.learn(now, limits, (serial, &mut run), question, out);
            }
            if !run.waits.is_empty() {
                self.runs.insert(serial, run);
                return;
            }
        }
        self.finish(now, limits, run);
    }

    /// Answers a question of a resolution from the cache, or asks it, or joins who has asked it already.
    fn learn(
        &mut self,
        now: Instant,
        limits: &Limits,
        (serial, run): (u64, &mut Run<K>),
        question: Question,
        out: &mut VecDeque<Output>,
    ) {
        if let Some(records) = self.cache.get(now, &question) {
            run.known.insert(question, Ok(records.clone()));
            return;
        }
        let Some(budget) = run.budget.checked_sub(1) else {
            run.known.insert(question, Err(DnsError::Failed));
            return;
        };
        run.budget = budget;
        // A question that had all its time will not be answered to those who come now.
        let fresh =
            |query: &QueryId| self.asked.get(query).is_some_and(|asked| asked.at + limits.resolve > now);
        let query = match self.open.get(&question).copied().filter(fresh) {
            Some(query) => query,
            None => {
                let query = QueryId(self.next_query);
                self.next_query += 1;
                out.push_back(Output::Resolve { query, name: question.name.clone(), kind: question.kind });
                self.asked.insert(query, Asked { question: question.clone(), at: now, runs: Vec::new() });
                self.open.insert(question.clone(), query);
                query
            }
        };
        if let Some(asked) = self.asked.get_mut(&query) {
            asked.runs.push(serial);
        }
        run.waits.insert(query, question);
    }

    /// Lets a resolution wait for a question no more; one that nobody waits for is forgotten.
    fn leave(&mut self, query: QueryId, serial: u64) {
        let Some(asked) = self.asked.get_mut(&query) else { return };
        asked.runs.retain(|run| *run != serial);
        if asked.runs.is_empty() {
            if self.open.get(&asked.question) == Some(&query) {
                self.open.remove(&asked.question);
            }
            self.asked.remove(&query);
        }
    }

    fn finish(&mut self, now: Instant, limits: &Limits, run: Run<K>) {
        let Run { key, to, name, reach, preference, mut known, .. } = run;
        // What was still to be asked has no more time.
        let mut groups = Vec::new();
        for _ in 0..=ROUNDS {
            match plan::plan(&to, &name, &reach, &known) {
                Plan::Done(done) => {
                    groups = done;
                    break;
                }
                Plan::Ask(questions) => {
                    known.extend(questions.into_iter().map(|question| (question, Err(DnsError::TimedOut))));
                }
            }
        }
        let mut places = plan::places(groups, &name, &reach, preference, &known, &mut self.rng);
        self.backoff.sort(now, &mut places);
        places.truncate(limits.attempts.max(1));
        let error = known.into_values().find_map(Result::err).filter(|_| places.is_empty());
        self.found.push_back((key, error.map_or(Ok(places), Err)));
    }
}

/// NAPTR, SRV and addresses are asked for one after the other.
const ROUNDS: usize = 3;

#[cfg(test)]
mod tests;
