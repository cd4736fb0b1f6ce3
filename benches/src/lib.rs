//! What sansip costs: the messages, the loads, and the instruments that count.

mod callgrind;
mod case;
mod heap;
mod load;
mod parser;
mod rate;
mod shape;

pub use crate::{
    callgrind::{CallgrindError, instructions},
    case::{CASES, Case, Meter},
    heap::{Counting, Heap},
    load::{Caller, Keep, Load, Peer},
    parser::Parser,
    rate::{Rate, call_rate, options_rate, simulator_rate},
    shape::{Shape, Template},
};
