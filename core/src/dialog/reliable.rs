use std::time::Duration;

use crate::base::Instant;

/// The retransmission of a reliable provisional response until its PRACK (RFC 3262 §3).
///
/// The series starts at T1 and doubles without a cap, over every transport, until 64·T1 have passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReliableSeries {
    due: Instant,
    interval: Duration,
    ends: Instant,
}

/// How a reliable provisional response received compares with those before it (RFC 3262 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// The first, or the next.
    InOrder,
    /// One that was acknowledged already.
    Copy,
    /// One before it is missing.
    Gap,
}

impl ReliableSeries {
    pub(crate) fn start(now: Instant, t1: Duration) -> Self {
        Self { due: now + t1, interval: t1, ends: now + t1 * 64 }
    }

    /// Returns when the next copy is due, or the series ends.
    pub(crate) fn due(&self) -> Instant {
        self.due.min(self.ends)
    }

    /// Tells whether no PRACK has come in time.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.ends <= now
    }

    /// Notes that a copy is being sent. A series that lies wholly in the past collapses into this one.
    pub(crate) fn sent(&mut self, now: Instant) {
        loop {
            self.interval *= 2;
            self.due += self.interval;
            if self.due > now {
                break;
            }
        }
    }
}

impl Received {
    /// Compares an RSeq with the last one received in order.
    pub(crate) fn of(rseq: u32, last: Option<u32>) -> Self {
        match last {
            None => Self::InOrder,
            Some(last) if rseq == last.wrapping_add(1) => Self::InOrder,
            Some(last) if rseq <= last => Self::Copy,
            Some(_) => Self::Gap,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TMR-06: copies at .5, 1.5, 3.5, 7.5, 15.5, 31.5, the end at 32 s.
    #[test]
    fn schedule_doubles_without_a_cap() {
        let mut series = ReliableSeries::start(Instant::EPOCH, Duration::from_millis(500));
        let mut sent = Vec::new();
        while !series.is_over(series.due()) {
            sent.push(series.due().as_millis());
            series.sent(series.due());
        }
        assert_eq!(sent, [500, 1500, 3500, 7500, 15_500, 31_500]);
        assert_eq!(series.due().as_millis(), 32_000);
    }

    /// RL-05: in order, again, and with a gap.
    #[test]
    fn order_of_reception() {
        assert_eq!(Received::of(17, None), Received::InOrder);
        assert_eq!(Received::of(18, Some(17)), Received::InOrder);
        assert_eq!(Received::of(17, Some(17)), Received::Copy);
        assert_eq!(Received::of(19, Some(17)), Received::Gap);
    }
}
