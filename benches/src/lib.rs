//! What sansip costs: the messages, the loads, and the instruments that count.

mod callgrind;
mod case;
mod flood;
mod heap;
mod load;
mod loopback;
mod memory;
mod parser;
mod rate;
mod readme;
mod shape;

pub use crate::{
    callgrind::{CallgrindError, Marked, build_counts, instructions},
    case::{CASES, Case, Meter},
    flood::{FLOODS, Flood},
    heap::{Allocations, Counting, Heap},
    load::{Caller, Keep, Load, Peer},
    loopback::{Apart, Ask, OUTSTANDING, Served, Server},
    memory::{Kept, dialog_bytes, transaction_bytes},
    parser::Parser,
    rate::{Rate, call_rate, options_rate, simulator_rate},
    readme::{Section, grouped, machine},
    shape::{Shape, Template},
};
