//! What the repository knows about itself: its files, its Rust source, and what its tests prove.
#![forbid(unsafe_code)]

pub mod rfc;
pub mod rust;
pub mod status;
pub mod tree;
pub mod wasm;
