//! Machines on real sockets of this host's loopback.

mod loopback;
mod probe;
mod service;
