//! What an endpoint answers to messages that are not as they should be.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "the rules are for the core; this reads files that may not be there"
)]

mod address;
#[path = "../corpus/files.rs"]
mod files;
mod forming;
mod leniency;
mod node;
mod torture;
