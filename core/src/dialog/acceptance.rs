use std::time::Duration;

use crate::base::Instant;

/// The retransmission of a 2xx to an INVITE by the server's core until its ACK arrives (RFC 3261 §13.3.1.4).
///
/// The series starts at T1, doubles up to T2, and ends with the transaction's Timer L at 64·T1, over every transport.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acceptance {
    due: Instant,
    interval: Duration,
    longest: Duration,
}

impl Acceptance {
    pub(crate) fn start(now: Instant, t1: Duration, t2: Duration) -> Self {
        Self { due: now + t1, interval: t1, longest: t2 }
    }

    /// Returns when the next copy is due.
    pub(crate) const fn due(&self) -> Instant {
        self.due
    }

    /// Notes that a copy is being sent. A series that lies wholly in the past collapses into this one.
    pub(crate) fn sent(&mut self, now: Instant) {
        loop {
            self.interval = (self.interval * 2).min(self.longest);
            self.due += self.interval;
            if self.due > now {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TMR-05: copies at .5, 1.5, 3.5, 7.5, then every 4 s.
    #[test]
    fn schedule_doubles_to_t2() {
        let ms = Duration::from_millis;
        let mut series = Acceptance::start(Instant::EPOCH, ms(500), ms(4000));
        let mut sent = Vec::new();
        while series.due() < Instant::from_millis(32_000) {
            sent.push(series.due().as_millis());
            series.sent(series.due());
        }
        assert_eq!(sent, [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    }

    /// TMR-07: a late tick sends one copy.
    #[test]
    fn late_ticks_collapse() {
        let mut series =
            Acceptance::start(Instant::EPOCH, Duration::from_millis(500), Duration::from_secs(4));
        series.sent(Instant::from_millis(20_000));
        assert_eq!(series.due().as_millis(), 23_500);
    }
}
