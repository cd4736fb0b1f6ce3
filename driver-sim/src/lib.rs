//! A deterministic simulator for sansip machines: virtual time, a network with faults, scripted peers, ladders.
#![forbid(unsafe_code)]

mod datagram;
mod dns;
mod draw;
mod ladder;
mod link;
mod net;
mod node;
mod puppet;
mod rule;
mod runner;
mod stream;
mod text;
mod trace;
mod world;

pub use crate::{
    dns::Dns,
    draw::Draws,
    ladder::Ladder,
    link::{Bursts, Delay, Segments},
    net::{Links, Net},
    node::{Node, NodeId, Reading, Setup},
    puppet::{Heard, Puppet},
    rule::{FaultId, Packet, Verdict},
    runner::{BadPlan, Failure, Place, Plan, check, seed},
    trace::{Hop, Passage, Row, StreamEvent, Trace, What, Why},
    world::{Sim, Stuck},
};
