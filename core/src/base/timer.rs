use std::{array, cmp::Ordering, collections::BinaryHeap, fmt, mem};

use super::Instant;

/// A priority queue of deadlines for hundreds of thousands of timers, nearly all of which lie within a minute.
///
/// It is a hierarchical wheel of 1 ms ticks: level 0 has a slot for each tick of the next minute, each level above has
/// slots 256 times as long. What comes up leaves in the order of (deadline, insertion), to the nanosecond. There is no
/// cancelling: users recognise and skip what has become stale.
///
/// Costs are amortised constant, and no operation moves more than the first slot of each level: one tick, and 256 ms worth
/// of what was scheduled over a minute ahead.
#[derive(Clone)]
pub struct TimerQueue<T> {
    /// The tick up to which all entries have left the wheel for `ready`; it only grows.
    cursor: u64,
    ready: BinaryHeap<Entry<T>>,
    levels: [Level<T>; LEVELS],
    spare: Spare<T>,
    seq: u64,
    len: usize,
    next: Option<Instant>,
}

impl<T: Copy> TimerQueue<T> {
    /// Makes an empty queue. It allocates nothing before its first entry.
    pub fn new() -> Self {
        Self {
            cursor: 0,
            ready: BinaryHeap::new(),
            levels: array::from_fn(|_| Level::new()),
            spare: Spare { entries: Vec::new(), page: None },
            seq: 0,
            len: 0,
            next: None,
        }
    }

    /// Adds an entry. Its deadline may lie in the past.
    pub fn schedule(&mut self, at: Instant, item: T) {
        self.place(Entry { at, seq: self.seq, item });
        self.seq += 1;
        self.len += 1;
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// Removes the first entry in the order of (deadline, insertion) if its deadline is not after `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, T)> {
        if self.next.is_none_or(|next| next > now) {
            self.advance(tick(now));
            return None;
        }
        if self.ready.is_empty() {
            self.load();
        }
        let entry = self.ready.pop()?;
        self.len -= 1;
        self.next = match self.ready.peek() {
            Some(entry) => Some(entry.at),
            None => self.levels.iter().filter_map(Level::first).map(|first| first.min).min(),
        };
        Some((entry.at, entry.item))
    }

    /// Returns the earliest deadline.
    pub const fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Returns the number of entries.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Tells whether there are no entries.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Moves the cursor on when nothing is due, so that new deadlines are near it and land on a low level.
    fn advance(&mut self, target: u64) {
        if target <= self.cursor {
            return;
        }
        // An entry of this very tick, due some nanoseconds from now, must not stay behind the cursor.
        if self.ready.is_empty() && self.next.is_some_and(|next| tick(next) <= target) {
            self.load();
        }
        self.cursor = self.cursor.max(target);
    }

    /// Moves the cursor to the first occupied tick, and all entries of that tick to `ready`.
    fn load(&mut self) {
        let Some(min) = self.levels.iter().filter_map(Level::first).map(|first| first.min).min() else {
            return;
        };
        self.cursor = self.cursor.max(tick(min));
        // From the top down: what falls from a level for a later tick lands on one below it.
        for number in (0..LEVELS).rev() {
            let Some(first) = self.levels[number].first().filter(|first| tick(first.min) <= self.cursor)
            else {
                continue;
            };
            let mut entries = self.levels[number].take(first, &mut self.spare);
            if number == 0 && self.ready.is_empty() {
                entries = mem::replace(&mut self.ready, BinaryHeap::from(entries)).into_vec();
            } else {
                for entry in entries.drain(..) {
                    self.place(entry);
                }
            }
            self.spare.keep(entries);
        }
    }

    fn place(&mut self, entry: Entry<T>) {
        let tick = tick(entry.at);
        if tick <= self.cursor {
            self.ready.push(entry);
            return;
        }
        let number = level_of(tick, self.cursor);
        self.levels[number].put(tick >> (number as u32 * SLOT_BITS), entry, &mut self.spare);
    }
}

impl<T: Copy> Default for TimerQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for TimerQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerQueue").field("len", &self.len).field("next", &self.next).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
struct Entry<T> {
    at: Instant,
    seq: u64,
    item: T,
}

/// The earliest is the greatest, as `BinaryHeap` wants it.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

/// 256 pages of 256 slots, the window that begins with the cursor's page. Pages exist while something is in them.
#[derive(Clone)]
struct Level<T> {
    pages: Vec<Option<Box<Page<T>>>>,
    occupied: Bits,
    /// The page where the first entry is: pages before it are empty.
    first_page: u64,
}

impl<T: Copy> Level<T> {
    const fn new() -> Self {
        Self { pages: Vec::new(), occupied: Bits::EMPTY, first_page: 0 }
    }

    /// Finds the first occupied slot. All entries of other slots on this level are later than all of its own.
    fn first(&self) -> Option<First> {
        let page = self.occupied.first_from((self.first_page & MASK) as usize)?;
        let slots = self.pages.get(page)?.as_ref()?;
        let slot = slots.occupied.first_from(0)?;
        Some(First { page, slot, min: slots.slots[slot].min })
    }

    /// Puts an entry into the slot of a number, which counts from the epoch.
    fn put(&mut self, number: u64, entry: Entry<T>, spare: &mut Spare<T>) {
        if self.pages.is_empty() {
            self.pages.resize_with(SLOTS, || None);
        }
        let page = number >> SLOT_BITS;
        if self.occupied.is_empty() || page < self.first_page {
            self.first_page = page;
        }
        let (page, slot) = ((page & MASK) as usize, (number & MASK) as usize);
        self.occupied.set(page);
        let page = self.pages[page].get_or_insert_with(|| spare.page.take().unwrap_or_else(Page::new));
        page.occupied.set(slot);
        let slot = &mut page.slots[slot];
        if slot.entries.is_empty() {
            slot.min = entry.at;
            if slot.entries.capacity() == 0 {
                slot.entries = spare.entries.pop().unwrap_or_default();
            }
        }
        slot.min = slot.min.min(entry.at);
        slot.entries.push(entry);
    }

    /// Empties the first slot.
    fn take(&mut self, first: First, spare: &mut Spare<T>) -> Vec<Entry<T>> {
        let Some(page) = self.pages.get_mut(first.page).and_then(Option::as_mut) else { return Vec::new() };
        let entries = mem::take(&mut page.slots[first.slot].entries);
        page.occupied.clear(first.slot);
        if page.occupied.is_empty() {
            spare.page = self.pages[first.page].take();
            self.occupied.clear(first.page);
        }
        if let Some(next) = self.occupied.first_from((self.first_page & MASK) as usize) {
            self.first_page += (next as u64).wrapping_sub(self.first_page) & MASK;
        }
        entries
    }
}

struct First {
    page: usize,
    slot: usize,
    min: Instant,
}

#[derive(Clone)]
struct Page<T> {
    occupied: Bits,
    slots: [Slot<T>; SLOTS],
}

impl<T> Page<T> {
    fn new() -> Box<Self> {
        Box::new(Self {
            occupied: Bits::EMPTY,
            slots: array::from_fn(|_| Slot { min: Instant::EPOCH, entries: Vec::new() }),
        })
    }
}

#[derive(Clone)]
struct Slot<T> {
    min: Instant,
    entries: Vec<Entry<T>>,
}

/// Emptied storage, so that a light load does not allocate for each timer.
#[derive(Clone)]
struct Spare<T> {
    entries: Vec<Vec<Entry<T>>>,
    page: Option<Box<Page<T>>>,
}

impl<T> Spare<T> {
    fn keep(&mut self, entries: Vec<Entry<T>>) {
        // Only small ones: in a slot of a quiet hour, storage grown in a busy one would be waste.
        if (1..=SPARE_CAPACITY).contains(&entries.capacity()) && self.entries.len() < SPARES {
            self.entries.push(entries);
        }
    }
}

/// A set of numbers below 256.
#[derive(Clone, Copy)]
struct Bits([u64; SLOTS / 64]);

impl Bits {
    const EMPTY: Self = Self([0; SLOTS / 64]);

    fn set(&mut self, bit: usize) {
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    fn clear(&mut self, bit: usize) {
        self.0[bit / 64] &= !(1 << (bit % 64));
    }

    fn is_empty(&self) -> bool {
        self.0 == [0; SLOTS / 64]
    }

    /// Returns the first member from `start` on, going round.
    fn first_from(&self, start: usize) -> Option<usize> {
        let word = start / 64;
        let high = self.0[word] & (u64::MAX << (start % 64));
        if high != 0 {
            return Some(word * 64 + high.trailing_zeros() as usize);
        }
        (1..=self.0.len())
            .map(|step| (word + step) % self.0.len())
            .find(|&word| self.0[word] != 0)
            .map(|word| word * 64 + self.0[word].trailing_zeros() as usize)
    }
}

/// Returns the lowest level whose window, seen from the cursor, holds the tick.
fn level_of(tick: u64, cursor: u64) -> usize {
    (0..LEVELS - 1)
        .find(|&level| {
            let shift = (level as u32 + 1) * SLOT_BITS;
            (tick >> shift) - (cursor >> shift) <= MASK
        })
        .unwrap_or(LEVELS - 1)
}

fn tick(at: Instant) -> u64 {
    at.as_millis()
}

const SLOT_BITS: u32 = 8;
const SLOTS: usize = 1 << SLOT_BITS;
const MASK: u64 = SLOTS as u64 - 1;
/// Enough for every `Instant`: 2^64 ns are less than 2^45 ticks, and the fifth level's window is 2^48.
const LEVELS: usize = 5;
const SPARES: usize = 64;
const SPARE_CAPACITY: usize = 8;

#[cfg(test)]
mod tests {
    use std::{cmp::Reverse, time::Duration};

    use proptest::prelude::*;

    use super::*;

    /// What the wheel must equal: one binary heap.
    #[derive(Default)]
    struct Model {
        heap: BinaryHeap<Reverse<(Instant, u64)>>,
    }

    impl Model {
        fn pop_due(&mut self, now: Instant) -> Option<(Instant, u64)> {
            let due = self.next().filter(|&next| next <= now);
            due.and_then(|_| self.heap.pop()).map(|Reverse(entry)| entry)
        }

        fn next(&self) -> Option<Instant> {
            self.heap.peek().map(|Reverse((at, _))| *at)
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Schedules at so many nanoseconds from now, or before it.
        Schedule(i64),
        /// Schedules at the same moment as the entry before.
        Again,
        /// Time passes and at most so many entries are popped.
        Pass(u64, usize),
        /// Time passes up to the next deadline.
        Jump,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => prop::sample::select(vec![0i64, 1_000, 200_000_000, 500_000_000, 4_000_000_000, 32_000_000_000])
                .prop_map(Step::Schedule),
            3 => (-2_000_000i64..3_000_000).prop_map(Step::Schedule),
            2 => (0i64..70_000_000_000).prop_map(Step::Schedule),
            1 => (0i64..20_000_000_000_000).prop_map(Step::Schedule),
            1 => (0u32..63).prop_map(|bits| Step::Schedule(1 << bits)),
            2 => Just(Step::Again),
            3 => (0u64..2_000_000, 0usize..5).prop_map(|(by, pops)| Step::Pass(by, pops)),
            1 => (0u64..100_000_000_000, 0usize..5).prop_map(|(by, pops)| Step::Pass(by, pops)),
            2 => Just(Step::Jump),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn equals_a_heap(start in 0u64..1 << 50, steps in prop::collection::vec(step(), 1..120)) {
            let (mut wheel, mut model) = (TimerQueue::new(), Model::default());
            let (mut now, mut last, mut count) = (Instant::from_nanos(start), Instant::from_nanos(start), 0);
            let mut schedule = |wheel: &mut TimerQueue<u64>, model: &mut Model, at| {
                wheel.schedule(at, count);
                model.heap.push(Reverse((at, count)));
                count += 1;
            };
            for step in steps {
                let mut pops = 0;
                match step {
                    Step::Schedule(from_now) => {
                        last = Instant::from_nanos(now.as_nanos().saturating_add_signed(from_now));
                        schedule(&mut wheel, &mut model, last);
                    }
                    Step::Again => schedule(&mut wheel, &mut model, last),
                    Step::Pass(by, most) => (now, pops) = (now + Duration::from_nanos(by), most),
                    Step::Jump => (now, pops) = (model.next().map_or(now, |next| next.max(now)), 1),
                }
                for _ in 0..pops {
                    prop_assert_eq!(wheel.pop_due(now), model.pop_due(now));
                    prop_assert_eq!(wheel.next(), model.next());
                }
                prop_assert_eq!(wheel.next(), model.next());
                prop_assert_eq!(wheel.len(), model.heap.len());
            }
            let mut copy = wheel.clone();
            let end = Instant::from_nanos(u64::MAX);
            while let Some(entry) = model.pop_due(end) {
                prop_assert_eq!(wheel.pop_due(end), Some(entry));
                prop_assert_eq!(copy.pop_due(end), Some(entry));
                prop_assert_eq!(wheel.next(), model.next());
            }
            prop_assert_eq!((wheel.pop_due(end), copy.pop_due(end)), (None, None));
            prop_assert!(wheel.is_empty());
        }
    }

    #[test]
    fn nothing_leaves_before_its_nanosecond() {
        let mut wheel = TimerQueue::new();
        let at = Instant::from_nanos(5_000_700);
        wheel.schedule(at, 'a');
        assert_eq!(wheel.pop_due(Instant::from_nanos(5_000_699)), None);
        wheel.schedule(Instant::from_nanos(5_000_600), 'b');
        assert_eq!(wheel.next(), Some(Instant::from_nanos(5_000_600)));
        assert_eq!(wheel.pop_due(at).map(|(_, item)| item), Some('b'));
        assert_eq!(wheel.pop_due(at), Some((at, 'a')));
        assert_eq!((wheel.pop_due(at), wheel.next(), wheel.len()), (None, None, 0));
    }

    #[test]
    fn one_deadline_far_ahead_keeps_the_order_of_insertion() {
        let mut wheel = TimerQueue::new();
        let at = Instant::from_millis(180_000);
        wheel.schedule(at, 0);
        // From here on the same moment is near enough for the lowest level.
        assert_eq!(wheel.pop_due(Instant::from_millis(179_000)), None);
        wheel.schedule(at, 1);
        wheel.schedule(at + Duration::from_nanos(1), 2);
        let late = Instant::from_millis(200_000);
        let order: Vec<_> = std::iter::from_fn(|| wheel.pop_due(late)).map(|(_, item)| item).collect();
        assert_eq!(order, [0, 1, 2]);
    }

    #[test]
    fn an_entry_is_small_and_an_empty_wheel_holds_no_page() {
        assert_eq!(size_of::<Entry<u64>>(), 24);
        assert_eq!(size_of::<Entry<[u64; 2]>>(), 32);
        let mut wheel = TimerQueue::new();
        for ms in [1, 70_000, 20_000_000] {
            wheel.schedule(Instant::from_millis(ms), ());
        }
        while wheel.pop_due(Instant::from_millis(20_000_000)).is_some() {}
        assert!(wheel.levels.iter().all(|level| level.pages.iter().all(Option::is_none)));
    }
}
