//! The four transaction machines of RFC 3261 §17, as changed by RFC 6026 and RFC 4320.
//!
//! A machine knows neither messages nor sockets. Its owner tells it what happened and keeps the bytes; the machine says
//! what to do ([`Actions`]) and which timers run. Each is a table, a pure function of state and event; the tables
//! printed below are made by running that function over all pairs, and diagrams are drawn from them.
//!
//! A row reads: state, event, next state, actions, timers. Timers `keep` running, the one that fired is armed `again`, or
//! all are stopped but those listed. What is not listed keeps the state and does nothing.
//!
//! # INVITE client
//! ```text
#![doc = include_str!("client_invite.txt")]
//! ```
//! # Non-INVITE client
//! ```text
#![doc = include_str!("client_non_invite.txt")]
//! ```
//! # INVITE server
//! ```text
#![doc = include_str!("server_invite.txt")]
//! ```
//! # Non-INVITE server
//! ```text
#![doc = include_str!("server_non_invite.txt")]
//! ```

mod actions;
mod client;
mod client_invite;
mod client_non_invite;
mod deadlines;
mod key;
mod server;
mod server_invite;
mod server_non_invite;
mod table;
mod timing;

pub use actions::Actions;
pub use client::{ClientMachine, ClientState};
pub(crate) use key::{acknowledges, answers, cancels, plainly_answered, retransmits, server_key};
pub use server::{Refusal, ServerMachine, ServerState};
pub use timing::{Kind, Timer, Timing, TimingError};
