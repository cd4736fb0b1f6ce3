//! Reading takes time in proportion to the size of the input, whatever the input is full of.

use sansip_benches::{Case, FLOODS, Flood, build_counts, instructions};
use sansip_tests::require_tool;

/// Twice the bytes, at most 2.1 times the instructions: what goes back over its input even once a piece takes four times as
/// many. No limit ends the reading early.
#[test]
fn twice_the_bytes_take_twice_the_instructions() {
    if require_tool("valgrind", "twice_the_bytes_take_twice_the_instructions").is_none() {
        return;
    }
    let counts = build_counts().unwrap_or_else(|error| panic!("{error}"));
    let mut over = Vec::new();
    for flood in FLOODS {
        let [half, whole] = Flood::SIZES.map(|size| {
            let number = instructions(&counts, &Case::Flood(flood, size).name(), None);
            number
                .unwrap_or_else(|error| panic!("{error}"))
                .expect("all are read, or refused by sansip itself")
        });
        let growth = whole as f64 / half as f64;
        println!("{}: {half} instructions, {whole}: {growth:.2} times", flood.name());
        if growth > 2.1 {
            over.push(format!("{}: {growth:.2} times the instructions for twice the bytes", flood.name()));
        }
    }
    assert!(over.is_empty(), "{}", over.join("\n"));
}
