//! Time, randomness, timers, seeded tables and limits: what every layer stands on.

mod limits;
mod map;
mod rng;
mod table;
mod time;
mod timer;

pub use limits::Limits;
pub(crate) use map::HashKey;
pub(crate) use rng::Rng;
pub use rng::Seed;
pub(crate) use table::{Hashed, Table};
pub use time::{Instant, UnixTime};
pub use timer::TimerQueue;
