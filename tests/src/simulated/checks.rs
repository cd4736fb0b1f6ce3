use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sansip::Instant;
use sansip_sim::{NodeId, Sim};

use super::{Seen, arrived, sent};

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const T1_64: Duration = Duration::from_secs(32);

/// Reads a whole trace and returns what in it breaks a rule of the protocol, one line each.
pub fn violations(sim: &Sim) -> Vec<String> {
    let traffic = Traffic { sent: sent(sim), arrived: arrived(sim) };
    let mut found = Vec::new();
    for check in [
        Traffic::requests_repeat_themselves,
        Traffic::requests_keep_their_intervals,
        Traffic::one_final_response,
        Traffic::final_responses_keep_their_intervals,
        Traffic::streams_carry_no_copies,
        Traffic::successes_are_acknowledged,
        Traffic::refusals_are_acknowledged,
        Traffic::cancel_follows_a_provisional,
        Traffic::callees_wait_for_the_ack,
        Traffic::numbers_are_unique,
        Traffic::numbers_ascend,
        Traffic::reliable_responses_keep_their_intervals,
        Traffic::reliable_responses_are_acknowledged_once,
    ] {
        check(&traffic, &mut found);
    }
    found
}

/// All messages of a run.
struct Traffic {
    sent: Vec<Seen>,
    arrived: Vec<Seen>,
}

/// Names a transaction as its client or its server sees it: node, branch, method.
type Key<'a> = (NodeId, &'a str, &'a str);

impl Traffic {
    fn requests(&self) -> BTreeMap<Key<'_>, Vec<&Seen>> {
        group(self.sent.iter().filter(|seen| seen.status.is_none()))
    }

    /// Returns the final responses of each server transaction.
    ///
    /// One that lasted its 64·T1 is forgotten: a copy of the request that was under way for longer begins another.
    fn finals(&self) -> Vec<(Key<'_>, Vec<&Seen>)> {
        let mut transactions = Vec::new();
        for (key, all) in group(self.sent.iter().filter(|seen| seen.status >= Some(200))) {
            let asked: BTreeSet<Instant> = self.requests_at(key).map(|seen| seen.at).collect();
            let mut copies: Vec<&Seen> = Vec::new();
            for seen in all {
                let over = copies.first().is_some_and(|first| seen.at.since(first.at) >= T1_64);
                if over && asked.contains(&seen.at) {
                    transactions.push((key, std::mem::take(&mut copies)));
                }
                copies.push(seen);
            }
            transactions.push((key, copies));
        }
        transactions
    }

    /// Returns what arrived for a client transaction, but its requests.
    fn responses(&self, (node, branch, method): Key<'_>) -> impl Iterator<Item = &Seen> {
        self.arrived.iter().filter(move |seen| {
            seen.status.is_some() && seen.to == Some(node) && seen.branch == branch && seen.method == method
        })
    }

    /// RFC 3261 §17.1: what has one branch and method has the same bytes, save the ACKs for refusals of two To tags.
    fn requests_repeat_themselves(&self, found: &mut Vec<String>) {
        for (key, copies) in self.requests() {
            if copies.iter().any(|copy| copy.bytes != copies[0].bytes) {
                found.push(format!("{key:?} sends different requests"));
            }
        }
    }

    /// TMR-02, TMR-03, TMR-08: Timers A and E.
    fn requests_keep_their_intervals(&self, found: &mut Vec<String>) {
        for (key, copies) in self.requests() {
            if copies[0].on_stream || key.2 == "ACK" {
                continue;
            }
            let times: Vec<Instant> = copies.iter().map(|copy| copy.at).collect();
            let answered = self.responses(key).map(|seen| seen.at).min();
            if let Some(wrong) = wrong_interval(&times, key.2 == "INVITE", answered) {
                found.push(format!("{key:?}: {wrong}; sent at {times:?}"));
            }
        }
    }

    /// RFC 3261 §17.2: each request gets one final response, after which nothing provisional follows.
    fn one_final_response(&self, found: &mut Vec<String>) {
        for (key, copies) in self.finals() {
            if copies.iter().any(|copy| copy.bytes != copies[0].bytes) {
                let all: BTreeSet<_> = copies.iter().filter_map(|copy| copy.status).collect();
                found.push(format!("{key:?} has several final responses: {all:?}"));
            }
            let late = self.sent.iter().find(|seen| {
                let after = seen.at > copies[0].at && seen.at.since(copies[0].at) < T1_64;
                seen.status.is_some_and(|status| status < 200) && key_of(seen) == key && after
            });
            if let Some(late) = late {
                found.push(format!("{key:?} sends {:?} after its final response", late.status));
            }
        }
    }

    /// TMR-04, TMR-05: Timer G and the core's 2xx; other copies answer copies of the request.
    fn final_responses_keep_their_intervals(&self, found: &mut Vec<String>) {
        for (key, copies) in self.finals() {
            let success = copies[0].status < Some(300) && key.2 == "INVITE";
            if copies[0].on_stream {
                // There a message may wait for its connection, and a request may come again on another one.
                let again = self.requests_at(key).count().saturating_sub(1);
                if copies.len() > again + if success { 11 } else { 1 } {
                    found.push(format!("{key:?} has {} final responses on streams", copies.len()));
                }
                continue;
            }
            let begin = copies[0].at;
            let asked: BTreeSet<Instant> = self.requests_at(key).map(|seen| seen.at).collect();
            for copy in &copies[1..] {
                let timed = key.2 == "INVITE" && is_on_schedule(copy.at.since(begin));
                // RFC 6026: in Accepted the server answers no copies.
                let answers = !success && asked.contains(&copy.at);
                if !timed && !answers {
                    found.push(format!("{key:?} repeats {:?} after {:?}", copy.status, copy.at.since(begin)));
                }
            }
        }
    }

    /// Returns the copies of a request that arrived at its server.
    fn requests_at(&self, (node, branch, method): Key<'_>) -> impl Iterator<Item = &Seen> {
        self.arrived.iter().filter(move |seen| {
            seen.status.is_none() && seen.to == Some(node) && seen.branch == branch && seen.method == method
        })
    }

    /// RFC 3261 §17: no transaction sends anything twice over a stream; the core does, 2xx and reliable 1xx. P12: when a
    /// stream was dead, a second one may carry the same once more.
    fn streams_carry_no_copies(&self, found: &mut Vec<String>) {
        let mut seen_before: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for seen in self.sent.iter().filter(|seen| seen.on_stream) {
            let of_core = seen.method == "INVITE" && seen.status.is_some_and(|status| status < 300);
            let ack = seen.method == "ACK";
            if of_core || ack {
                continue;
            }
            let streams = seen_before.entry((key_of(seen), seen.status)).or_default();
            if !streams.insert(seen.stream) || streams.len() > 2 {
                found.push(format!("{:?} {:?} is sent twice over a stream", key_of(seen), seen.status));
            }
        }
    }

    /// P1, UA-05: each copy of a 2xx that arrives while its INVITE is remembered gets one ACK, at once.
    fn successes_are_acknowledged(&self, found: &mut Vec<String>) {
        for (key, copies) in self.requests() {
            let (node, _, "INVITE") = key else { continue };
            let successes =
                self.responses(key).filter(|seen| seen.status < Some(300) && seen.status >= Some(200));
            let Some(forgotten) = self.forgotten_at(key, copies[0].at) else { continue };
            for copy in successes.filter(|seen| seen.at < forgotten && !seen.on_stream) {
                let acks = self.sent.iter().filter(|seen| {
                    seen.from == node && seen.is("ACK") && seen.at == copy.at && is_same_dialog(seen, copy)
                });
                let together = self.responses(key).filter(|seen| {
                    seen.at == copy.at && seen.to_tag == copy.to_tag && seen.status == copy.status
                });
                let (acks, together) = (acks.count(), together.count());
                // Where the peer is reached by a name, the first ACK waits for its look-up.
                let looks_up = copy.header("Contact").is_some_and(|contact| contact.contains("example.com"));
                let later = || {
                    self.sent.iter().any(|seen| {
                        seen.from == node && seen.is("ACK") && seen.at > copy.at && is_same_dialog(seen, copy)
                    })
                };
                if acks != together && !(looks_up && later()) {
                    found.push(format!("{key:?}: {together} 2xx at {} have {acks} ACKs", copy.at));
                }
            }
        }
    }

    /// Returns when a client forgets its INVITE: Timer B without a response, Timer M after the first 2xx, Timer D after a
    /// refusal, 64·T1 after a CANCEL; `None` if never.
    fn forgotten_at(&self, key: Key<'_>, begin: Instant) -> Option<Instant> {
        let (node, branch, _) = key;
        let answered = self.responses(key).map(|seen| seen.at).min();
        let Some(_) = answered.filter(|at| *at < begin + T1_64) else { return Some(begin + T1_64) };
        let finals = self.responses(key).filter(|seen| seen.status >= Some(200)).map(|seen| seen.at).min();
        let cancel = self.requests().get(&(node, branch, "CANCEL")).map(|copies| copies[0].at + T1_64);
        match (finals, cancel) {
            (Some(at), Some(cancel)) if at >= cancel => Some(cancel),
            (Some(at), _) => Some(at + T1_64),
            (None, cancel) => cancel,
        }
    }

    /// IC-07, IC-10: each copy of a refusal that arrives while its INVITE is remembered gets one ACK, on its branch.
    fn refusals_are_acknowledged(&self, found: &mut Vec<String>) {
        for (key, copies) in self.requests() {
            let (node, branch, "INVITE") = key else { continue };
            let Some(forgotten) = self.forgotten_at(key, copies[0].at) else { continue };
            let finals: Vec<&Seen> = self.responses(key).filter(|seen| seen.status >= Some(200)).collect();
            let Some(first) = finals.first().filter(|first| first.status >= Some(300)) else { continue };
            if first.at >= forgotten {
                continue;
            }
            let due = finals.iter().filter(|seen| seen.at < forgotten);
            let due: Vec<_> = due.filter(|seen| !seen.on_stream || seen.at == first.at).collect();
            let acks = self.sent.iter().filter(|seen| {
                seen.from == node && seen.branch == branch && seen.method == "ACK" && seen.status.is_none()
            });
            let acks = acks.count();
            if acks != due.len() && !(first.on_stream && acks == 0) {
                found.push(format!("{key:?}: {} refusals have {acks} ACKs", due.len()));
            }
        }
    }

    /// CN-01: no CANCEL before a provisional response arrived.
    fn cancel_follows_a_provisional(&self, found: &mut Vec<String>) {
        for ((node, branch, method), copies) in self.requests() {
            if method != "CANCEL" {
                continue;
            }
            let heard = self.responses((node, branch, "INVITE")).find(|seen| seen.status < Some(200));
            if heard.is_none_or(|heard| heard.at > copies[0].at) {
                found.push(format!("{node:?} {branch} cancels before a provisional response"));
            }
        }
    }

    /// UA-11: who sent the 2xx sends no BYE before its ACK, or 64·T1.
    fn callees_wait_for_the_ack(&self, found: &mut Vec<String>) {
        for (key, copies) in self.finals() {
            let (node, _, "INVITE") = key else { continue };
            let ok = copies[0];
            if ok.status >= Some(300) {
                continue;
            }
            let bye = self.sent.iter().find(|seen| {
                seen.is("BYE")
                    && seen.from == node
                    && seen.call_id == ok.call_id
                    && seen.from_tag == ok.to_tag
            });
            let Some(bye) = bye.filter(|bye| bye.at >= ok.at) else { continue };
            let acked = self.arrived.iter().any(|seen| {
                seen.is("ACK") && seen.to == Some(node) && seen.at <= bye.at && is_same_dialog(seen, ok)
            });
            if !acked && bye.at.since(ok.at) < T1_64 {
                found.push(format!("{key:?}: BYE {:?} after its 2xx, without ACK", bye.at.since(ok.at)));
            }
        }
    }

    /// P10, DL-06: in one direction of a dialog every request but ACK and CANCEL has a number of its own.
    fn numbers_are_unique(&self, found: &mut Vec<String>) {
        let mut branches = BTreeMap::new();
        for seen in self.sent.iter().filter(|seen| seen.status.is_none()) {
            if ["ACK", "CANCEL"].contains(&&*seen.method) {
                continue;
            }
            let name = (seen.from, &seen.call_id, &seen.from_tag, seen.cseq);
            if *branches.entry(name).or_insert(&seen.branch) != &seen.branch {
                found.push(format!("{name:?} is used twice"));
            }
        }
    }
}

impl Traffic {
    /// DL-06: in one direction of a dialog requests leave in the order of their numbers.
    fn numbers_ascend(&self, found: &mut Vec<String>) {
        let mut last = BTreeMap::new();
        let mut known = BTreeSet::new();
        for seen in self.sent.iter().filter(|seen| seen.status.is_none() && !seen.to_tag.is_empty()) {
            let first = known.insert((seen.from, &seen.branch, &seen.method));
            if !first || ["ACK", "CANCEL"].contains(&&*seen.method) {
                continue;
            }
            let name = (seen.from, &seen.call_id, &seen.from_tag, &seen.to_tag);
            if last.insert(name, seen.cseq).is_some_and(|before| before > seen.cseq) {
                found.push(format!("{name:?} sends {} late", seen.cseq));
            }
        }
    }

    /// TMR-06: a reliable provisional response is repeated after T1, doubling without a cap, until 64·T1 at most.
    fn reliable_responses_keep_their_intervals(&self, found: &mut Vec<String>) {
        let mut begun = BTreeMap::new();
        for seen in self.sent.iter().filter(|seen| seen.status.is_some_and(|status| status < 200)) {
            let Some(rseq) = seen.header("RSeq") else { continue };
            let begin = *begun.entry((key_of(seen), rseq)).or_insert(seen.at);
            let offset = seen.at.since(begin);
            let beats = (0..7).map(|n| T1 * ((1 << n) - 1)).any(|due| due == offset);
            let answers = self.requests_at(key_of(seen)).any(|asked| asked.at == seen.at);
            if !beats && !answers {
                found.push(format!("{:?} repeats {:?} after {offset:?}", key_of(seen), seen.status));
            }
        }
    }

    /// RL-05, RL-07: each reliable provisional response is acknowledged by one PRACK, however many copies arrive.
    fn reliable_responses_are_acknowledged_once(&self, found: &mut Vec<String>) {
        let mut branches = BTreeMap::new();
        for seen in self.sent.iter().filter(|seen| seen.is("PRACK")) {
            let name = (seen.from, &seen.call_id, &seen.from_tag, &seen.to_tag, seen.header("RAck"));
            let first = *branches.entry(name.clone()).or_insert(&seen.branch);
            if *first != seen.branch {
                found.push(format!("{name:?} is acknowledged twice"));
            }
        }
    }
}

fn key_of(seen: &Seen) -> Key<'_> {
    (seen.from, &seen.branch, &seen.method)
}

fn group<'a>(messages: impl Iterator<Item = &'a Seen>) -> BTreeMap<Key<'a>, Vec<&'a Seen>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for seen in messages {
        groups.entry(key_of(seen)).or_default().push(seen);
    }
    groups
}

fn is_same_dialog(ack: &Seen, ok: &Seen) -> bool {
    ack.call_id == ok.call_id && ack.from_tag == ok.from_tag && ack.to_tag == ok.to_tag && ack.cseq == ok.cseq
}

/// Tells what is wrong with the times of copies of a request over UDP.
fn wrong_interval(times: &[Instant], invite: bool, answered: Option<Instant>) -> Option<String> {
    let mut interval = T1;
    for pair in times.windows(2) {
        let gap = pair[1].since(pair[0]);
        if gap != interval {
            return Some(format!("{gap:?} instead of {interval:?}"));
        }
        if invite && answered.is_some_and(|at| at < pair[1]) {
            return Some("an INVITE that was answered is repeated".into());
        }
        interval = match invite {
            true => interval * 2,
            // NC-04: in Proceeding the next one is T2.
            false if answered.is_some_and(|at| at < pair[1]) => T2,
            false => (interval * 2).min(T2),
        };
    }
    let span = times.last()?.since(times[0]);
    (span >= T1_64).then(|| format!("repeated for {span:?}"))
}

/// Tells whether a copy is due so long after the first: T1 doubling to T2, until 64·T1.
fn is_on_schedule(offset: Duration) -> bool {
    let (mut due, mut interval) = (T1, T1);
    while due < T1_64 {
        if due == offset {
            return true;
        }
        interval = (interval * 2).min(T2);
        due += interval;
    }
    false
}
