use std::{
    ops::{Range, RangeInclusive},
    time::Duration,
};

use sansip::Instant;

use crate::{
    draw::{Chance, Draws, nanos, scale},
    trace::Why,
};

/// How long something takes: always as long, or evenly drawn between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    low: Duration,
    high: Duration,
}

impl Delay {
    /// Makes a delay that is always the same.
    pub const fn fixed(delay: Duration) -> Self {
        Self { low: delay, high: delay }
    }

    /// Makes a delay of `mean` give or take `jitter`.
    pub const fn around(mean: Duration, jitter: Duration) -> Self {
        Self { low: mean.saturating_sub(jitter), high: mean.saturating_add(jitter) }
    }

    pub(crate) fn draw(self, draw: u64) -> Duration {
        let span = nanos(self.high.saturating_sub(self.low));
        self.low + Duration::from_nanos(scale(draw, span.saturating_add(1)))
    }
}

impl From<Duration> for Delay {
    fn from(delay: Duration) -> Self {
        Self::fixed(delay)
    }
}

impl From<Range<Duration>> for Delay {
    fn from(range: Range<Duration>) -> Self {
        Self { low: range.start, high: range.end }
    }
}

impl From<RangeInclusive<Duration>> for Delay {
    fn from(range: RangeInclusive<Duration>) -> Self {
        Self { low: *range.start(), high: *range.end() }
    }
}

/// Losses that come in bursts: the Gilbert–Elliott model. All fields are probabilities of 0 to 1 a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// That a good time ends.
    pub enter: f64,
    /// That a bad time ends.
    pub leave: f64,
    /// That a packet is lost in a good time.
    pub good: f64,
    /// That a packet is lost in a bad time.
    pub bad: f64,
}

/// How bytes of a stream are cut on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Segments {
    /// In pieces of random size, single bytes and several messages at once among them.
    #[default]
    Random,
    /// As they were written, in pieces of at most 1460 bytes.
    Whole,
    /// In pieces of this many bytes.
    Fixed(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss {
    Uniform(Chance),
    Bursts { enter: Chance, leave: Chance, good: Chance, bad: Chance },
}

impl From<Bursts> for Loss {
    fn from(bursts: Bursts) -> Self {
        Self::Bursts {
            enter: Chance::new(bursts.enter),
            leave: Chance::new(bursts.leave),
            good: Chance::new(bursts.good),
            bad: Chance::new(bursts.bad),
        }
    }
}

/// The properties of one direction between two nodes.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) delay: Delay,
    pub(crate) loss: Loss,
    pub(crate) duplicate: Chance,
    pub(crate) reorder: Chance,
    pub(crate) reorder_by: Delay,
    pub(crate) in_order: bool,
    /// Bytes of an IP packet, headers counted.
    pub(crate) mtu: Option<usize>,
    pub(crate) tells_too_big: bool,
    /// Bytes a second.
    pub(crate) rate: Option<u64>,
    /// The longest wait for the rate.
    pub(crate) queue: Duration,
    pub(crate) segments: Segments,
    /// Bytes of one stream between the writer and the reader.
    pub(crate) buffer: usize,
}

impl Link {
    /// Makes a clean link.
    pub(crate) fn new(delay: Duration) -> Self {
        Self {
            delay: Delay::fixed(delay),
            loss: Loss::Uniform(Chance::default()),
            duplicate: Chance::default(),
            reorder: Chance::default(),
            reorder_by: Delay::fixed(Duration::ZERO),
            in_order: false,
            mtu: None,
            tells_too_big: false,
            rate: None,
            queue: Duration::from_secs(1),
            segments: Segments::Random,
            buffer: 128 * 1024,
        }
    }
}

/// One direction between two nodes: its properties and what it remembers.
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) link: Link,
    draws: Draws,
    bad_time: bool,
    busy_until: Instant,
    last_arrival: Instant,
}

/// What becomes of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) lost: Option<Why>,
    pub(crate) delay: Duration,
    /// The delay of a second copy.
    pub(crate) copy: Option<Duration>,
    /// A draw for what the network may say in return.
    pub(crate) back: u64,
}

impl Path {
    pub(crate) fn new(link: Link, draws: Draws) -> Self {
        Self { link, draws, bad_time: false, busy_until: Instant::EPOCH, last_arrival: Instant::EPOCH }
    }

    /// Decides on a datagram with the path's own numbers.
    pub(crate) fn datagram(&mut self, now: Instant, size: usize) -> Fate {
        let draws = self.draws.eight();
        self.fate(now, size, draws)
    }

    /// Decides on a packet of `size` bytes with given numbers.
    pub(crate) fn fate(&mut self, now: Instant, size: usize, draws: [u64; 8]) -> Fate {
        let [loss, turn, delay, reorder, reorder_by, duplicate, copy, back] = draws;
        let mut lost = self.loses(loss, turn).then_some(Why::Lost);
        let wait = self.wait_for_rate(now, size);
        if wait.is_none() {
            lost = Some(Why::QueueFull);
        }
        let wait = wait.unwrap_or_default();
        let mut delay = wait + self.link.delay.draw(delay);
        if self.link.reorder.hits(reorder) {
            delay += self.link.reorder_by.draw(reorder_by);
        }
        if self.link.in_order && lost.is_none() {
            let arrival = (now + delay).max(self.last_arrival);
            self.last_arrival = arrival;
            delay = arrival.since(now);
        }
        let copy = self.link.duplicate.hits(duplicate).then(|| wait + self.link.delay.draw(copy));
        Fate { lost, delay, copy, back }
    }

    fn loses(&mut self, draw: u64, turn: u64) -> bool {
        match self.link.loss {
            Loss::Uniform(chance) => chance.hits(draw),
            Loss::Bursts { enter, leave, good, bad } => {
                self.bad_time = if self.bad_time { !leave.hits(turn) } else { enter.hits(turn) };
                if self.bad_time { bad.hits(draw) } else { good.hits(draw) }
            }
        }
    }

    /// Returns how long the packet takes to leave, `None` if the queue is too long for it.
    fn wait_for_rate(&mut self, now: Instant, size: usize) -> Option<Duration> {
        let Some(rate) = self.link.rate else { return Some(Duration::ZERO) };
        let start = self.busy_until.max(now);
        if start.since(now) > self.link.queue {
            return None;
        }
        let takes = u128::from(size as u64) * 1_000_000_000 / u128::from(rate.max(1));
        self.busy_until = start + Duration::from_nanos(u64::try_from(takes).unwrap_or(u64::MAX));
        Some(self.busy_until.since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn path(edit: impl FnOnce(&mut Link)) -> Path {
        let mut link = Link::new(MS);
        edit(&mut link);
        Path::new(link, Draws::new(3, "path"))
    }

    #[test]
    fn delays_stay_between_their_bounds_and_reach_both() {
        let delay = Delay::from(MS * 40..=MS * 42);
        assert_eq!(delay.draw(0), MS * 40);
        assert_eq!(delay.draw(u64::MAX), MS * 42);
        assert_eq!(Delay::around(MS * 5, MS * 9).draw(0), Duration::ZERO);
    }

    #[test]
    fn loss_and_duplication_happen_as_often_as_asked() {
        let mut path = path(|link| {
            link.loss = Loss::Uniform(Chance::new(0.3));
            link.duplicate = Chance::new(0.05);
        });
        let fates: Vec<Fate> = (0..10_000).map(|_| path.datagram(Instant::EPOCH, 100)).collect();
        let lost = fates.iter().filter(|fate| fate.lost == Some(Why::Lost)).count();
        let copies = fates.iter().filter(|fate| fate.copy.is_some()).count();
        assert!((2_800..3_200).contains(&lost), "{lost}");
        assert!((400..600).contains(&copies), "{copies}");
    }

    #[test]
    fn bursts_lose_packets_in_a_row() {
        let bursts = Bursts { enter: 0.02, leave: 0.2, good: 0.0, bad: 1.0 };
        let mut path = path(|link| link.loss = bursts.into());
        let lost: Vec<bool> =
            (0..50_000).map(|_| path.datagram(Instant::EPOCH, 100).lost.is_some()).collect();
        let total = lost.iter().filter(|lost| **lost).count();
        let runs = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        // Stationary loss 0.02 / 0.22 = 9.1 %, bursts 1 / 0.2 = 5 packets long.
        assert!((3_800..5_300).contains(&total), "{total}");
        let length = total as f64 / runs as f64;
        assert!((4.3..5.7).contains(&length), "{length}");
    }

    #[test]
    fn a_setting_does_not_shift_the_draws_of_another() {
        let mut clean = path(|link| link.delay = Delay::from(MS..MS * 100));
        let mut lossy = path(|link| {
            link.delay = Delay::from(MS..MS * 100);
            link.loss = Loss::Uniform(Chance::new(0.5));
            link.duplicate = Chance::new(0.5);
        });
        for _ in 0..1000 {
            let (a, b) = (clean.datagram(Instant::EPOCH, 100), lossy.datagram(Instant::EPOCH, 100));
            assert_eq!(a.delay, b.delay);
        }
    }

    #[test]
    fn a_rate_spaces_packets_and_a_full_queue_drops_them() {
        let mut path = path(|link| {
            link.rate = Some(1_000_000);
            link.queue = MS * 2;
        });
        let fates: Vec<Fate> = (0..5).map(|_| path.datagram(Instant::EPOCH, 1000)).collect();
        let delays: Vec<Duration> = fates.iter().map(|fate| fate.delay).collect();
        assert_eq!(delays[..3], [MS * 2, MS * 3, MS * 4], "1 ms a packet beside the link's own");
        assert_eq!(fates[2].lost, None, "waits exactly the 2 ms allowed");
        assert_eq!(fates[3].lost, Some(Why::QueueFull));
    }

    #[test]
    fn jitter_reorders_unless_told_otherwise() {
        let arrivals = |in_order| {
            let mut path = path(|link| {
                link.delay = Delay::from(MS..MS * 100);
                link.in_order = in_order;
            });
            let at = |i: u64| Instant::from_millis(i);
            (0..100).map(|i| at(i) + path.datagram(at(i), 100).delay).collect::<Vec<_>>()
        };
        assert!(!arrivals(false).is_sorted());
        assert!(arrivals(true).is_sorted());
    }
}
