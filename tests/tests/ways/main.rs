//! Which way messages take, judged input by input: connections, addresses, keep-alive, and what the network reports.

mod addresses;
mod connections;
mod endings;
mod hand;
mod keep_alive;
mod moved;
mod unreachable;
