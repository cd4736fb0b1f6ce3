//! What an endpoint answers to messages that are not as they should be.

mod leniency;
mod node;
