use std::time::Duration;

use super::Timer;
use crate::base::Instant;

/// The running timers of one machine: at most one that repeats or comes first, and one that ends the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Deadlines {
    /// A, E, G or Trying.
    early: Option<(Timer, Instant)>,
    /// B, D, F, H, I, J, K, L or M.
    last: Option<(Timer, Instant)>,
    /// What A, E or G was last set to, in nanoseconds.
    interval: u64,
}

impl Deadlines {
    pub(super) const NONE: Self = Self { early: None, last: None, interval: 0 };

    /// Stops all timers and starts those given, except one that is set to zero: that one is returned, as fired.
    pub(super) fn replace(
        &mut self,
        timers: &[Timer],
        now: Instant,
        duration: impl Fn(Timer) -> Option<Duration>,
    ) -> Option<Timer> {
        *self = Self::NONE;
        for &timer in timers {
            match duration(timer) {
                None => {}
                Some(Duration::ZERO) => return Some(timer),
                Some(duration) => self.set(timer, now, duration),
            }
        }
        None
    }

    fn set(&mut self, timer: Timer, now: Instant, duration: Duration) {
        let armed = Some((timer, now + duration));
        match timer {
            Timer::A | Timer::E | Timer::G | Timer::Trying => {
                self.early = armed;
                self.interval = nanos(duration);
            }
            Timer::B
            | Timer::D
            | Timer::F
            | Timer::H
            | Timer::I
            | Timer::J
            | Timer::K
            | Timer::L
            | Timer::M => self.last = armed,
        }
    }

    /// Arms a retransmission timer again after it fired for `due`, each time with the interval that `next` makes of the
    /// one before.
    ///
    /// The new deadline derives from the old one. Those that have passed already are left out, for one sending stands for
    /// all of them; so is one not before the deadline that ends the series.
    pub(super) fn again(
        &mut self,
        timer: Timer,
        due: Instant,
        now: Instant,
        next: impl Fn(Duration) -> Duration,
    ) {
        let end = self.last.map_or(Instant::from_nanos(u64::MAX), |(_, end)| end);
        let mut at = due;
        while at < end {
            let before = self.interval;
            self.interval = nanos(next(Duration::from_nanos(before))).max(1);
            if self.interval == before {
                // The interval has reached its cap: what was missed is skipped in one go.
                at += Duration::from_nanos(nanos(now - at) / before * before);
            }
            at += Duration::from_nanos(self.interval);
            if at > now && at < end {
                self.early = Some((timer, at));
                return;
            }
        }
    }

    /// Disarms and returns the earliest timer that is due. Of two for one moment, the one that ends the state.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(Timer, Instant)> {
        let early_first = match (self.early, self.last) {
            (Some((_, early)), Some((_, last))) => early < last,
            (early, _) => early.is_some(),
        };
        let first = if early_first { &mut self.early } else { &mut self.last };
        first.take_if(|(_, at)| *at <= now)
    }

    pub(super) fn get(&self, timer: Timer) -> Option<Instant> {
        self.early.into_iter().chain(self.last).find(|(armed, _)| *armed == timer).map(|(_, at)| at)
    }

    pub(super) fn each(&self, mut f: impl FnMut(Timer, Instant)) {
        for (timer, at) in self.early.into_iter().chain(self.last) {
            f(timer, at);
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let mut next = None;
        self.each(|_, at| next = Some(next.map_or(at, |next| at.min(next))));
        next
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
