use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use crate::Meter;

/// The system's allocator with counters, one set a thread. A program that counts makes it its global allocator.
#[derive(Debug)]
pub struct Counting;

/// What a thread has done to the heap so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heap {
    /// Allocations, and reallocations as one each.
    pub allocations: u64,
    /// Bytes asked for and not given back: without the allocator's own overhead.
    pub live: i64,
}

thread_local! {
    static HEAP: Cell<Heap> = const { Cell::new(Heap { allocations: 0, live: 0 }) };
}

impl Heap {
    /// Returns the counters of this thread; they stay zero unless [`Counting`] is the global allocator.
    pub fn now() -> Self {
        HEAP.get()
    }

    /// Returns what has come to it since.
    pub const fn since(self, earlier: Self) -> Self {
        Self { allocations: self.allocations - earlier.allocations, live: self.live - earlier.live }
    }
}

/// Adds up what the work allocates.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocations {
    /// Allocations so far.
    pub count: u64,
}

impl Meter for Allocations {
    fn measure(&mut self, work: &mut dyn FnMut()) {
        let before = Heap::now();
        work();
        self.count += Heap::now().since(before).allocations;
    }
}

fn count(allocations: u64, bytes: i64) {
    let heap = HEAP.get();
    HEAP.set(Heap { allocations: heap.allocations + allocations, live: heap.live + bytes });
}

const fn size(layout: Layout) -> i64 {
    layout.size() as i64
}

// SAFETY: each method hands its arguments on to `System` and its result back; counting allocates nothing, for the
// cell is initialised by a constant and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, size(layout));
        // SAFETY: the caller's contract is the one of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, size(layout));
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(1, new_size as i64 - size(layout));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -size(layout));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}
