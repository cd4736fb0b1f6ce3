//! Heap bytes of what an endpoint keeps, by the requests made to the allocator, without its overhead.

use sansip_benches::{Caller, Counting, Heap, Keep, Load, Shape, Template};

#[global_allocator]
static HEAP: Counting = Counting;

/// A completed non-INVITE server transaction with a Call-ID of its own, over UDP, answered with about 350 bytes.
#[test]
fn a_completed_transaction_takes_700_bytes() {
    let mut load = Load::new(Keep::Transactions);
    let mut template = Template::new(Shape::Options.bytes());
    let mut answer = 0;
    let count = 100_000_u32;
    let before = Heap::now();
    for number in 0..count {
        load.pass(Load::LINGER / (count + 1));
        load.feed(template.numbered(number.into()));
        load.drain(|bytes| answer = bytes.len());
    }
    assert_eq!(load.live(), count as usize);
    let each = Heap::now().since(before).live / i64::from(count);
    println!("a completed transaction with an answer of {answer} bytes: {each} bytes");
    assert!((330..=420).contains(&answer), "{answer} bytes answered");
    assert!(each <= 700, "{each} bytes");
}

/// A dialog made by an INVITE, when its transaction is gone.
#[test]
fn a_confirmed_dialog_takes_3_kilobytes() {
    let (mut load, mut caller) = (Load::new(Keep::Transactions), Caller::default());
    let count = 10_000_u32;
    let before = Heap::now();
    for _ in 0..count {
        load.feed(caller.invite());
        load.drain(|bytes| caller.heard(bytes));
        load.feed(&caller.ack());
    }
    let fresh = Heap::now().since(before).live / i64::from(count);
    load.pass(Load::LINGER);
    load.settle();
    assert_eq!(load.live(), count as usize);
    let each = Heap::now().since(before).live / i64::from(count);
    println!("a confirmed dialog: {fresh} bytes at first, {each} bytes after Timer L");
    assert!(fresh.max(each) <= 3 * 1024, "{fresh}, then {each} bytes");
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
