//! The public machine: one SIP entity with its configuration, sockets and calls.

mod machine;

pub use machine::Machine;
