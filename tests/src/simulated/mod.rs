//! Phones in the simulator, and what goes over its wires.

mod checks;
mod phone;
mod traffic;

pub use checks::violations;
pub use phone::{Manner, News, Phone, Ua, rest, uri_of};
pub use traffic::{Seen, arrived, sent, times};
