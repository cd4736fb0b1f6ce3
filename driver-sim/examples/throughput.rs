//! Measures how many datagrams a second the simulator delivers: pairs of nodes that send each one back.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use bytes::Bytes;
use sansip::{Input, Instant, Machine, Output, Proto, SocketId};
use sansip_sim::Sim;

struct Echo {
    outputs: VecDeque<Output>,
    payload: Bytes,
    heard: u64,
}

impl Echo {
    fn new(payload: Bytes) -> Self {
        let addr = SocketAddr::from(([0, 0, 0, 0], 5060));
        let bind = Output::Bind { socket: SocketId(0), proto: Proto::Udp, addr };
        Self { outputs: [bind].into(), payload, heard: 0 }
    }

    fn send(&mut self, local: SocketAddr, remote: SocketAddr) {
        let payload = self.payload.clone();
        self.outputs.push_back(Output::Transmit { socket: SocketId(0), local, remote, payload });
    }
}

impl Machine for Echo {
    fn handle_input(&mut self, _: Instant, input: Input<'_>) {
        if let Input::Datagram { local, remote, .. } = input {
            self.heard += 1;
            self.send(local, remote);
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

fn main() {
    for (pairs, size) in [(1, 500), (50, 500), (50, 1400)] {
        let mut sim = Sim::new(1);
        sim.net().everywhere().delay(Duration::from_millis(1)..Duration::from_millis(20));
        let payload = Bytes::from(vec![b'x'; size]);
        let nodes: Vec<_> =
            (0..pairs * 2).map(|i| sim.node(&format!("n{i}"), Echo::new(payload.clone()))).collect();
        for pair in nodes.chunks(2) {
            let (from, to) = (sim.addr(pair[0], 5060), sim.addr(pair[1], 5060));
            // Ten are on their way at any time.
            (0..10).for_each(|_| sim.on(pair[0], |echo, _| echo.send(from, to)));
        }
        let begin = std::time::Instant::now();
        while begin.elapsed() < Duration::from_secs(1) {
            (0..1000).for_each(|_| assert!(sim.step()));
        }
        let heard: u64 = nodes.iter().map(|node| sim.peek(*node).heard).sum();
        let rate = heard as f64 / begin.elapsed().as_secs_f64();
        println!("{pairs:>3} pairs, {size:>4} bytes: {rate:.0} deliveries a second, {} simulated", sim.now());
    }
}
