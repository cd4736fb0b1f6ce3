use std::time::{Duration, Instant as Clock};

use sansip::{Config, Endpoint, Host, Instant, Outgoing, Proto, Service};
use sansip_sim::Sim;

use crate::{Caller, Keep, Load, Peer, Shape, Template};

/// How fast something went.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// How many were done.
    pub count: u64,
    /// In how much time of the wall clock.
    pub time: Duration,
    /// How many transactions or calls were live all the while.
    pub live: usize,
}

impl Rate {
    /// Returns how many were done a second.
    pub fn per_second(&self) -> f64 {
        self.count as f64 / self.time.as_secs_f64()
    }

    /// Returns how long one took, in nanoseconds.
    pub fn nanos(&self) -> f64 {
        self.time.as_nanos() as f64 / self.count as f64
    }
}

/// As many datagrams come between two drains as a driver reads at once.
const BATCH: u64 = 64;

/// So many parts of a run are timed apart; the one in the middle counts, so that a pause of the machine does not.
const PARTS: u64 = 9;

/// Answers OPTIONS, `count` in each of several parts, once `live` transactions are there. Virtual time passes so that
/// Timer J frees as many as come.
pub fn options_rate(keep: Keep, live: u32, count: u64) -> Rate {
    let mut load = Load::new(keep);
    let mut template = Template::new(Shape::Options.bytes());
    let gap = Load::LINGER / live;
    let warm = if keep == Keep::Nothing { BATCH } else { u64::from(live) + u64::from(live) / 4 };
    let mut run = |numbers: std::ops::Range<u64>| {
        let begin = Clock::now();
        for number in numbers {
            load.pass(gap);
            load.feed(template.numbered(number));
            if number % BATCH == BATCH - 1 {
                load.drain(|_| {});
            }
        }
        begin.elapsed()
    };
    run(0..warm);
    let time = middle((0..PARTS).map(|part| run(warm + part * count..warm + (part + 1) * count)));
    Rate { count, time, live: load.live() }
}

fn middle(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Answers calls of INVITE, ACK and BYE, `count` in each of several parts, with `live` ended ones that linger.
pub fn call_rate(live: u32, count: u64) -> Rate {
    let (mut load, mut caller) = (Load::new(Keep::Transactions), Caller::default());
    let gap = Load::LINGER / live;
    let mut one = || {
        load.pass(gap);
        let invite = caller.invite().to_vec();
        let begin = Clock::now();
        load.feed(&invite);
        let mut last = None;
        load.drain(|bytes| last = Some(bytes.clone()));
        let first = begin.elapsed();
        caller.heard(&last.take().expect("a 200"));
        let (ack, bye) = (caller.ack(), caller.bye());
        let begin = Clock::now();
        load.feed(&ack);
        load.feed(&bye);
        load.drain(|_| {});
        first + begin.elapsed()
    };
    for _ in 0..live + live / 4 {
        one();
    }
    let time = middle((0..PARTS).map(|_| (0..count).map(|_| one()).sum()));
    Rate { count, time, live: load.live() }
}

/// Lets one host ask another for OPTIONS over the simulated network, `count` times in each of several parts. Counts messages
/// that arrived.
pub fn simulator_rate(count: u64) -> Rate {
    let mut sim = Sim::new(1);
    let endpoint = |sim: &Sim, name: &str| {
        Endpoint::new(Config::default(), &sim.seed_of(name), Instant::EPOCH).expect("the defaults are good")
    };
    let client = endpoint(&sim, "client");
    let client = sim.node("client", Host::new(client, Quiet));
    let server = endpoint(&sim, "server");
    let server = sim.node("server", Host::new(server, Peer::new(Keep::Transactions)));
    for (node, name) in [(client.id(), "client"), (server.id(), "server")] {
        let addr = sim.addr(node, 5060);
        let listening = if name == "client" {
            sim.on(client, |host, now| host.with(now, |_, cx| cx.listen(Proto::Udp, addr)))
        } else {
            sim.on(server, |host, now| host.with(now, |_, cx| cx.listen(Proto::Udp, addr)))
        };
        listening.expect("no limit is near");
    }
    sim.run_for(Duration::from_millis(1));
    let uri: sansip::UriBuf = format!("sip:carol@{}", sim.addr(server, 5060)).parse().expect("a URI");
    let messages = |sim: &Sim| {
        sim.peek(client).endpoint().stats().messages + sim.peek(server).endpoint().stats().messages
    };
    let mut rates: Vec<Rate> = (0..PARTS)
        .map(|_| {
            let before = messages(&sim);
            let begin = Clock::now();
            for _ in 0..count {
                let request = Outgoing::options(uri.clone());
                sim.on(client, |host, now| host.with(now, |_, cx| cx.request(request))).expect("it is sent");
                sim.run_for(Duration::from_millis(1));
            }
            let live = sim.peek(server).endpoint().calls();
            Rate { count: messages(&sim) - before, time: begin.elapsed(), live }
        })
        .collect();
    rates.sort_unstable_by_key(|rate| rate.time);
    rates.swap_remove(rates.len() / 2)
}

/// A service that only asks.
struct Quiet;

impl Service for Quiet {}
