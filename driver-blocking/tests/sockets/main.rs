//! Machines on real sockets of this host's loopback.

#[cfg(unix)]
mod exhaustion;
mod loopback;
mod probe;
mod service;
