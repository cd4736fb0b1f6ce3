//! A deterministic simulator for [sansip] machines.
//!
//! A [`Sim`] holds nodes, each with a [`Machine`](sansip::Machine) and addresses of its own, and the network between
//! them. Time is virtual: it moves from one event to the next, so that a minute of retransmissions costs microseconds.
//! There is no socket, thread, or clock behind it. What is random follows from a seed, in streams that do not disturb
//! one another: the same seed gives the same run, the same [`Trace::hash`], and a test that fails says how to repeat
//! it.
//!
//! - [`Sim::net`] makes links slow, lossy, duplicating, or narrow, separates nodes, and takes [rules](Net::rule).
//! - [`Nat`]s stand between nodes, and map and filter as RFC 4787 has them.
//! - Streams come in random pieces, hold writers back, stall, and break.
//! - [`Puppet`]s are peers that a test plays by hand with raw messages.
//! - [`Sim::ladder`] draws what happened.
//! - [`check`] runs a test under many seeds, as the environment asks for.
//! - [`pass`] and [`silence`] let time pass for a machine without any network around it.
//!
//! ```
//! use std::{collections::VecDeque, net::SocketAddr, time::Duration};
//!
//! use sansip::{Input, Instant, Machine, Output, Proto, SocketId};
//! use sansip_sim::Sim;
//!
//! /// Sends a greeting every half second until somebody greets back.
//! #[derive(Default)]
//! struct Greeter {
//!     outputs: VecDeque<Output>,
//!     peer: Option<SocketAddr>,
//!     next: Option<Instant>,
//!     greeted: bool,
//! }
//!
//! impl Greeter {
//!     fn new() -> Self {
//!         let addr = SocketAddr::from(([0, 0, 0, 0], 5060));
//!         let bind = Output::Bind { socket: SocketId(0), proto: Proto::Udp, addr };
//!         Self { outputs: [bind].into(), ..Self::default() }
//!     }
//!
//!     fn send(&mut self, remote: SocketAddr, text: &'static str) {
//!         let local = SocketAddr::from(([0, 0, 0, 0], 5060));
//!         let payload = text.into();
//!         self.outputs.push_back(Output::Transmit { socket: SocketId(0), local, remote, payload });
//!     }
//!
//!     fn greet(&mut self, now: Instant, peer: SocketAddr) {
//!         self.peer = Some(peer);
//!         self.next = Some(now + Duration::from_millis(500));
//!         self.send(peer, "hello");
//!     }
//! }
//!
//! impl Machine for Greeter {
//!     fn handle_input(&mut self, now: Instant, input: Input<'_>) {
//!         match input {
//!             Input::Datagram { remote, payload: b"hello", .. } => self.send(remote, "welcome"),
//!             Input::Datagram { .. } => (self.greeted, self.next) = (true, None),
//!             Input::Timeout => {
//!                 if let Some(peer) = self.peer.filter(|_| !self.greeted) {
//!                     self.greet(now, peer);
//!                 }
//!             }
//!             _ => (),
//!         }
//!     }
//!
//!     fn poll_output(&mut self) -> Option<Output> {
//!         self.outputs.pop_front()
//!     }
//!
//!     fn poll_timeout(&self) -> Option<Instant> {
//!         self.next
//!     }
//! }
//!
//! let mut sim = Sim::new(2);
//! let alice = sim.node("alice", Greeter::new());
//! let bob = sim.node("bob", Greeter::new());
//! sim.net().between(alice, bob).loss(0.5).delay(Duration::from_millis(20));
//!
//! let peer = sim.addr(bob, 5060);
//! sim.on(alice, |greeter, now| greeter.greet(now, peer));
//! sim.settle();
//!
//! assert!(sim.peek(alice).greeted);
//! let ladder = sim.ladder().to_string();
//! let rows: Vec<&str> = ladder.lines().collect();
//! assert_eq!(rows[1..], [
//!     "   0.000     |----- hello ---->|",
//!     "   0.020     |  x- welcome ----|  lost",
//!     "   0.500     |----- hello --x  |  lost again",
//!     "   1.000     |----- hello ---->|  again",
//!     "   1.020     |  x- welcome ----|  lost again",
//!     "   1.500     |----- hello ---->|  again",
//!     "   1.520     |<--- welcome ----|  again",
//! ]);
//! ```
#![forbid(unsafe_code)]

/// The examples of the document, run with the others.
#[cfg(doctest)]
#[doc = include_str!("../../docs/sim.md")]
mod document {}

mod datagram;
mod dns;
mod draw;
mod ladder;
mod link;
mod nat;
mod net;
mod node;
mod proof;
mod puppet;
mod rule;
mod runner;
mod silence;
mod stream;
mod text;
mod trace;
mod wired;
mod world;

pub use crate::{
    dns::Dns,
    draw::Draws,
    ladder::Ladder,
    link::{Bursts, Delay, Segments},
    nat::{Behavior, Nat, Ports},
    net::{Links, Net},
    node::{Node, NodeId, Reading, Setup},
    puppet::{Heard, Puppet},
    rule::{FaultId, Packet, Verdict},
    runner::{BadPlan, Failure, Place, Plan, check, seed},
    silence::{pass, silence},
    trace::{Hop, Passage, Row, StreamEvent, Trace, What, Why},
    world::{Sim, Stuck},
};
