//! What the drivers of sansip share: how they serve a machine's outputs, keep a connection, open sockets, look names up.
//!
//! Nothing here waits, and nothing here knows how a driver learns that it may go on.
#![forbid(unsafe_code)]

mod clock;
mod conn;
mod dns;
mod hands;
mod icmp;
mod interfaces;
mod socket;
mod udp;

pub use clock::{WALL, now, seed, wall};
pub use conn::{Conn, Stream};
pub use dns::Lookups;
pub use hands::{Hands, drain, flush, hand_over};
pub use socket::listen;
pub use udp::{Buffer, Calls, Datagrams, Udp};
