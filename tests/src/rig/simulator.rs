use std::{net::SocketAddr, sync::Arc, time::Duration};

use sansip::{Config, Host, Instant, Limits, wire::Wire};
use sansip_sim::{Node, Setup, Sim};

use super::{
    Bell, Family, Over, Rig, SIMULATED_PATIENCE,
    party::{party, secured, simulated_address},
};
use crate::{
    phone::Phone,
    stranger::{Log, Manner, Stranger},
};

/// Parties in the simulator, where TLS and WebSocket go over its connections as they are.
pub struct Simulated {
    sim: Sim,
    over: Over,
    parties: Vec<Node<Wire<Host<Phone>>>>,
    strangers: usize,
    bell: Arc<Bell>,
}

impl Simulated {
    /// Opens the simulation.
    pub const fn sim(&mut self) -> &mut Sim {
        &mut self.sim
    }

    fn setup(&self) -> (SocketAddr, Setup) {
        let number = self.parties.len() + self.strangers + 1;
        let [v4, v6] = simulated_address(u8::try_from(number).expect("tests are small"));
        let ip = match self.over.family {
            Family::V4 => v4,
            Family::V6 => v6,
        };
        (SocketAddr::new(ip, 0), Setup::new().address(ip))
    }
}

impl Rig for Simulated {
    fn new(over: Over) -> Self {
        let sim = Sim::new(sansip_sim::seed());
        Self { sim, over, parties: Vec::new(), strangers: 0, bell: Arc::default() }
    }

    fn over(&self) -> Over {
        self.over
    }

    fn start(&mut self, config: Config, phone: impl FnOnce(SocketAddr) -> Phone) -> usize {
        let number = self.parties.len();
        let (addr, setup) = self.setup();
        let party = party(config, &self.seed_of(number), phone(addr));
        self.parties.push(self.sim.node_with(&format!("party{number}"), setup, party));
        number
    }

    fn stranger(&mut self, conduct: Manner) -> Log {
        let (addr, setup) = self.setup();
        self.strangers += 1;
        let stranger = Stranger::new(addr, self.over.proto, conduct, Arc::clone(&self.bell));
        let log = stranger.log();
        let stranger = secured(stranger, &Limits::default());
        self.sim.node_with(&format!("stranger{}", self.strangers), setup, stranger);
        log
    }

    fn on<R: Send + 'static>(
        &mut self,
        party: usize,
        act: impl FnOnce(&mut Host<Phone>, Instant) -> R + Send + 'static,
    ) -> R {
        self.sim.on(self.parties[party], |wire, now| act(wire.machine_mut(), now))
    }

    fn elsewhere(&mut self, party: usize, act: impl FnOnce(&mut Host<Phone>, Instant) + Send + 'static) {
        let node = self.parties[party];
        let act = move |wire: &mut Wire<Host<Phone>>, now| act(wire.machine_mut(), now);
        self.sim.after(Duration::from_millis(50), move |sim| sim.on(node, act));
    }

    fn wait<R: Send + 'static>(
        &mut self,
        party: usize,
        what: &str,
        look: impl Fn(&Host<Phone>) -> Option<R> + Send + Sync + 'static,
    ) -> R {
        let node = self.parties[party];
        let look = |sim: &Sim| look(sim.peek(node).machine());
        let found = self.sim.run_until(|sim| look(sim).is_some(), SIMULATED_PATIENCE);
        assert!(found, "waited {SIMULATED_PATIENCE:?} in vain for {what}\n{}", self.sim.ladder());
        look(&self.sim).expect("it was just found")
    }

    fn wait_for<R>(&mut self, what: &str, mut look: impl FnMut() -> Option<R>) -> R {
        let mut found = None;
        self.sim.run_until(
            |_| {
                found = look();
                found.is_some()
            },
            SIMULATED_PATIENCE,
        );
        found.unwrap_or_else(|| panic!("waited in vain for {what}\n{}", self.sim.ladder()))
    }

    fn wait_for_end(&mut self, party: usize) {
        self.wait(party, "its end", |host| sansip::Machine::is_stopped(host).then_some(()));
    }

    fn name_of(&mut self, party: usize) -> Option<String> {
        let address = self.sim.addresses(self.parties[party])[0];
        self.sim.dns().name("localhost", [address]);
        Some("localhost".into())
    }
}
