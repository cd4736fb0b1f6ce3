//! Heap bytes of what an endpoint keeps, by the requests made to the allocator, without its overhead.

use sansip_benches::{Caller, Counting, Heap, Keep, Load, dialog_bytes, transaction_bytes};

#[global_allocator]
static HEAP: Counting = Counting;

/// A completed non-INVITE server transaction with a Call-ID of its own, over UDP, answered with about 350 bytes.
#[test]
fn a_completed_transaction_takes_700_bytes() {
    let kept = transaction_bytes(100_000);
    println!("a completed transaction: {kept:?}");
    assert!((330..=420).contains(&kept.answer), "{} bytes answered", kept.answer);
    assert!(kept.requested <= 700, "{kept:?}");
}

/// A dialog made by an INVITE: with its transaction, and when that is gone.
#[test]
fn a_confirmed_dialog_takes_3_kilobytes() {
    let [fresh, later] = dialog_bytes(10_000);
    println!("a confirmed dialog: {fresh:?}, after Timer L {later:?}");
    assert!(fresh.requested.max(later.requested) <= 3 * 1024, "{fresh:?}, {later:?}");
}

/// Timers J and L leave nothing behind.
#[test]
fn what_has_ended_is_given_back() {
    let (mut load, mut caller) = (Load::new(Keep::Transactions), Caller::default());
    let mut round = || {
        for _ in 0..1000 {
            load.feed(caller.invite());
            load.drain(|bytes| caller.heard(bytes));
            load.feed(&caller.ack());
            load.feed(&caller.bye());
            load.drain(|_| {});
        }
        load.pass(Load::LINGER * 2);
        load.settle();
        assert_eq!(load.live(), 0);
        Heap::now()
    };
    // What is kept for life grows in the first rounds: queues, tables, the wheel.
    let warm = (0..4).map(|_| round()).last().expect("four rounds");
    let later = (0..8).map(|_| round()).last().expect("eight rounds");
    let grown = later.since(warm).live;
    assert!(grown < 64 * 1024, "{grown} bytes more after 8,000 more calls");
}
