//! The simulator, tested with scripted machines and puppets.

mod endpoints;
mod nat;
mod network;
mod puppets;
mod scripted;
mod seeds;
mod streams;
mod time;
mod transports;
mod wired;
