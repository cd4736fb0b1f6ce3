//! Phones in the simulator, and what goes over its wires.

mod phone;
mod traffic;

pub use phone::{Manner, News, Phone, Ua, rest, uri_of};
pub use traffic::{Seen, arrived, sent, times};
