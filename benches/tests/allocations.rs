//! Heap allocations of one message, transaction or call. They repeat exactly, so each is held where it is.

use sansip_benches::{Allocations, Case, Counting, Parser, Shape};

#[global_allocator]
static HEAP: Counting = Counting;

/// Returns allocations and how many times the work was done.
fn allocations(case: Case) -> (u64, u64) {
    let mut meter = Allocations::default();
    let times = case.run(&mut meter).expect("sansip reads all shapes");
    (meter.count, times)
}

/// Up to 32 header fields a message is read without the heap.
#[test]
fn reading_allocates_nothing() {
    for shape in Shape::ALL {
        for parser in [Parser::Split, Parser::Check, Parser::Types] {
            let case = Case::Parse(parser, shape);
            assert_eq!(allocations(case).0, 0, "{}", case.name());
        }
    }
}

/// The buffer that it is written into.
#[test]
fn building_a_response_allocates_once() {
    let (count, times) = allocations(Case::Build);
    assert_eq!(count, times);
}

/// Copies that a peer sends cost no memory, and neither do ours: the chunk they are written into is used again.
#[test]
fn retransmissions_allocate_nothing() {
    for case in [Case::Absorbed, Case::SentAgain] {
        assert_eq!(allocations(case).0, 0, "{}", case.name());
    }
}

/// Lower a number here whenever it falls. In hundredths, for a table or the timers grow now and then.
#[test]
fn no_more_than_today() {
    for (case, most) in [(Case::Stateless, 200), (Case::Transaction, 410), (Case::Call, 2_430)] {
        let (count, times) = allocations(case);
        println!("{}: {:.2} allocations", case.name(), count as f64 / times as f64);
        assert!(count * 100 <= most * times, "{}: {count} allocations for {times}", case.name());
    }
}
