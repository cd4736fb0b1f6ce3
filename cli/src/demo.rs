use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use sansip::{
    Body, ClientEnd, Config, Endpoint, Host, Instant, Method, Outgoing, Proto, Service, UriBuf,
    sdp::{self, Local},
};
use sansip_sim::{Node, Setup, Sim};

use crate::{
    answerer::Answerer,
    caller::{Aim, Caller, News},
    config::Settings,
    exit::Exit,
    listen::Listen,
    outcome, print,
    session::{DISCARD, Sessions},
};

/// Shows two calls in a simulated network that loses one packet of five, as a ladder with virtual times.
///
/// Alice calls Bob, talks for a while and hangs up; Carol calls Bob too, and gives up while it rings. Nothing is sent by this machine
/// and nobody waits: the times are those of the simulation. The same seed gives the same ladder.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What decides which packets are lost
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Exit {
    let (text, well) = play(args.seed);
    print::text(&text);
    if well { Exit::Success } else { Exit::Local }
}

/// Returns the ladder with what came of the calls, and whether all ended well.
fn play(seed: u64) -> (String, bool) {
    let mut sim = Sim::new(seed);
    sim.trace_mut().keep_all();
    let alice = Person::new(&mut sim, "alice", ALICE);
    let bob = answerer(&mut sim);
    let carol = Person::new(&mut sim, "carol", CAROL);
    sim.net().everywhere().loss(0.2).delay(ms(20)..ms(60));
    let calling = alice.call(&mut sim);
    sim.run_for(ms(1000));
    let calling = carol.call(&mut sim) && calling;
    sim.run_for(ms(1800));
    let cancelled = sim.on(carol.node, |host, now| host.with(now, |caller, cx| caller.cancel(cx)));
    sim.run_for(ms(4200));
    let hung_up = sim.on(alice.node, |host, now| host.with(now, |caller, cx| caller.hang_up(cx)));
    let rest = sim.try_settle(ms(3_600_000));

    let mut text =
        format!("seed {seed}: 20 % of all packets are lost, times are in seconds\n\n{}\n", sim.ladder());
    let mut row = |line: String| writeln!(text, "{line}").expect("a String takes everything");
    row(alice.told());
    row(carol.told());
    let [idle_alice, idle_carol] = [&alice, &carol].map(|person| sim.peek(person.node).endpoint().is_idle());
    let idle = rest.is_ok() && idle_alice && idle_carol && sim.peek(bob).endpoint().is_idle();
    row(if idle { "nothing is left of either call".into() } else { "something is left of the calls".into() });
    (text, calling && cancelled && hung_up && idle)
}

/// A node that calls Bob.
struct Person {
    name: &'static str,
    node: Node<Host<Caller>>,
    news: Receiver<News>,
    local: IpAddr,
}

impl Person {
    fn new(sim: &mut Sim, name: &'static str, address: Ipv4Addr) -> Self {
        let (sender, news) = mpsc::channel();
        let aim = Aim { uri: bob(), local: address.into() };
        let node = start(sim, name, address, aim.config(ms(60_000)), Caller::new(aim.local, sender));
        Self { name, node, news, local: aim.local }
    }

    fn call(&self, sim: &mut Sim) -> bool {
        let offer = sdp::offer(&Local::new(self.local, 1, 0).audio(DISCARD));
        let request = Outgoing::new(Method::Invite, bob()).body(Body::sdp(offer));
        sim.on(self.node, |host, now| host.with(now, |caller, cx| caller.send(cx, request).is_ok()))
    }

    /// Returns what this side has heard.
    fn told(&self) -> String {
        let heard = self.news.try_iter().filter_map(|news| match news {
            News::Response(response) => Some(outcome::line(&response)),
            News::Ended(ClientEnd::Final(_)) | News::Ready(Ok(())) | News::Interrupt => None,
            News::Ended(end) => Some(outcome::explain(end, None, None)),
            News::Over(end) => Some(format!("call over ({end:?})")),
            News::Ready(Err(error)) => Some(error.to_string()),
        });
        format!("{}: {}", self.name, heard.collect::<Vec<_>>().join(", "))
    }
}

fn bob() -> UriBuf {
    format!("sip:bob@{BOB}").parse().expect("a name and an address")
}

/// Adds Bob, who answers every call after a while.
fn answerer(sim: &mut Sim) -> Node<Host<Answerer>> {
    let (sender, _) = mpsc::channel();
    let addr = SocketAddr::from((BOB, Proto::Udp.default_port()));
    let listen = Listen { proto: Proto::Udp, addr, leniency: None };
    let sessions = Sessions::new(vec![BOB.into()], 1);
    let bob = Answerer::new(vec![listen], sessions, ms(3000), sender);
    start(sim, "bob", BOB, Settings::default().endpoint, bob)
}

fn start<S: Service + 'static>(
    sim: &mut Sim,
    name: &str,
    address: Ipv4Addr,
    config: Config,
    service: S,
) -> Node<Host<S>> {
    let endpoint = Endpoint::new(config, &sim.seed_of(name), Instant::EPOCH).expect("the settings are fixed");
    sim.node_with(name, Setup::new().address(address), Host::new(endpoint, service))
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Addresses that belong to nobody (RFC 5737).
const ALICE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const BOB: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const CAROL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 3);

#[cfg(test)]
mod tests {
    use super::*;

    /// D1: one seed, one run; another seed, another run.
    #[test]
    fn a_seed_decides_everything() {
        let (first, second) = (play(3), play(3));
        assert_eq!(first, second);
        assert_ne!(first, play(4));
    }

    /// RFC 3261 §9.2, §17: losses delay calls, and end none; a CANCEL that comes late ends in BYE.
    #[test]
    fn calls_end_well_under_loss() {
        for seed in 1..=20 {
            let (text, well) = play(seed);
            assert!(well, "{text}");
            assert!(text.contains("alice: 180 Ringing, 200 OK, call over (LocalBye)\n"), "{text}");
            let refused = text.contains("carol: 180 Ringing, 487 Request Terminated\n");
            assert!(refused || text.contains("BYE (2)"), "{text}");
        }
    }
}
