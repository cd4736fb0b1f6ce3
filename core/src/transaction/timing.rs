use std::{fmt, time::Duration};

use thiserror::Error;

/// The base values of all transaction timers (RFC 3261 §17.1.1.1, appendix A).
///
/// The fields are free, so that tests can go beyond what is sensible; configuration passes through
/// [`validated`](Self::validated). A value below a millisecond counts as one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Timing {
    /// The round-trip time estimate: first retransmission interval, and 1/64 of a transaction's life.
    pub t1: Duration,
    /// The longest retransmission interval of non-INVITE requests and of responses to INVITE.
    pub t2: Duration,
    /// The longest time that a message stays in the network.
    pub t4: Duration,
    /// How long an INVITE client transaction over an unreliable transport lingers after a non-2xx: an absolute time,
    /// since the server's T1 is not known (RFC 6026 §8.4).
    pub d: Duration,
}

impl Timing {
    /// Returns the values unchanged if each lies in its bounds: T1 10–2,500 ms, T2 100–16,000 ms, T4 100–25,000 ms, D at
    /// least 32 s.
    pub fn validated(self) -> Result<Self, TimingError> {
        let bounds = [
            ("t1", self.t1, 10, 2_500),
            ("t2", self.t2, 100, 16_000),
            ("t4", self.t4, 100, 25_000),
            ("d", self.d, 32_000, u64::MAX),
        ];
        for (name, value, min, max) in bounds {
            let (min, max) = (Duration::from_millis(min), Duration::from_millis(max));
            if value < min {
                return Err(TimingError::TooShort { name, value, min });
            }
            if value > max {
                return Err(TimingError::TooLong { name, value, max });
            }
        }
        Ok(self)
    }

    /// Returns 64·T1: the life of a transaction without an answer.
    pub fn t1_64(&self) -> Duration {
        self.t1.max(SHORTEST).saturating_mul(64)
    }

    /// Returns how long after a non-INVITE request the client's timer E is reset to T2: 3.5 s by default (RFC 4320 §4.1).
    pub fn e_reaches_t2(&self) -> Duration {
        let (mut interval, t2) = (self.t1.max(SHORTEST), self.t2.max(SHORTEST));
        let mut passed = interval;
        while interval.saturating_mul(2) < t2 {
            interval *= 2;
            passed += interval;
        }
        passed
    }

    /// Returns how long a request may wait for its first response before a 100 is due (RFC 3261 §17.2.1, RFC 4320 §4.1).
    pub fn trying_after(&self, kind: Kind) -> Duration {
        match kind {
            Kind::Invite => Duration::from_millis(200),
            Kind::NonInvite => self.e_reaches_t2(),
        }
    }

    /// Returns what a timer is set to when it starts, `None` if it does not run over such a transport.
    pub(super) fn of(&self, timer: Timer, kind: Kind, reliable: bool) -> Option<Duration> {
        let linger = |duration| if reliable { Duration::ZERO } else { duration };
        match timer {
            Timer::A | Timer::E | Timer::G => (!reliable).then(|| self.t1.max(SHORTEST)),
            Timer::B | Timer::F | Timer::H | Timer::L | Timer::M => Some(self.t1_64()),
            Timer::D => Some(linger(self.d)),
            Timer::I | Timer::K => Some(linger(self.t4)),
            Timer::J => Some(linger(self.t1_64())),
            Timer::Trying => Some(self.trying_after(kind)),
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            d: Duration::from_secs(32),
        }
    }
}

/// Which value of [`Timing`] is out of bounds.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TimingError {
    /// The value is below its bound.
    #[error("`{name}` of {value:?} is too short: give at least {min:?}")]
    TooShort {
        /// The field.
        name: &'static str,
        /// What was given.
        value: Duration,
        /// The smallest allowed.
        min: Duration,
    },
    /// The value is above its bound.
    #[error("`{name}` of {value:?} is too long: give at most {max:?}")]
    TooLong {
        /// The field.
        name: &'static str,
        /// What was given.
        value: Duration,
        /// The largest allowed.
        max: Duration,
    },
}

/// A timer of a transaction (RFC 3261 appendix A, RFC 6026).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// INVITE retransmission.
    A,
    /// INVITE without an answer.
    B,
    /// INVITE client transaction lingering in Completed.
    D,
    /// Non-INVITE request retransmission.
    E,
    /// Non-INVITE request without a final answer.
    F,
    /// Retransmission of a 300–699 to INVITE.
    G,
    /// Wait for the ACK.
    H,
    /// INVITE server transaction lingering in Confirmed.
    I,
    /// Non-INVITE server transaction lingering in Completed.
    J,
    /// Non-INVITE client transaction lingering in Completed.
    K,
    /// INVITE server transaction in Accepted.
    L,
    /// INVITE client transaction in Accepted.
    M,
    /// The automatic 100 (Trying): 200 ms after an INVITE, 3.5 s after another request (RFC 3261 §17.2.1, RFC 4320 §4.1).
    Trying,
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trying => f.pad("Trying"),
            lettered => f.pad(&format!("{lettered:?}")),
        }
    }
}

/// Which pair of machines serves a method. ACK has none of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Kind {
    /// INVITE (RFC 3261 §17.1.1, §17.2.1).
    Invite,
    /// Every other method (RFC 3261 §17.1.2, §17.2.2).
    NonInvite,
}

const SHORTEST: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        let ms = Duration::from_millis;
        let with = |set: fn(&mut Timing, Duration), value| {
            let mut timing = Timing::default();
            set(&mut timing, value);
            timing.validated()
        };
        assert_eq!(Timing::default().validated(), Ok(Timing::default()));
        let t1: fn(&mut Timing, Duration) = |timing, value| timing.t1 = value;
        let t2: fn(&mut Timing, Duration) = |timing, value| timing.t2 = value;
        let t4: fn(&mut Timing, Duration) = |timing, value| timing.t4 = value;
        for (name, set, min, max) in [("t1", t1, 10, 2_500), ("t2", t2, 100, 16_000), ("t4", t4, 100, 25_000)]
        {
            assert!(with(set, ms(min)).is_ok() && with(set, ms(max)).is_ok(), "{name}");
            let (short, long) = (ms(min - 1), ms(max + 1));
            assert_eq!(with(set, short), Err(TimingError::TooShort { name, value: short, min: ms(min) }));
            assert_eq!(with(set, long), Err(TimingError::TooLong { name, value: long, max: ms(max) }));
        }
        // TMR-09, RFC 6026 §8.4: D is at least 32 s, whatever T1 is.
        let d: fn(&mut Timing, Duration) = |timing, value| timing.d = value;
        assert!(with(d, ms(32_000)).is_ok() && with(d, ms(600_000)).is_ok() && with(d, ms(31_999)).is_err());
    }

    #[test]
    fn a_zero_t1_cannot_stop_time() {
        let timing = Timing { t1: Duration::ZERO, t2: Duration::ZERO, ..Timing::default() };
        assert_eq!((timing.t1_64(), timing.e_reaches_t2()), (SHORTEST * 64, SHORTEST));
    }

    #[test]
    fn timers_print_their_letter() {
        assert_eq!([Timer::A, Timer::M, Timer::Trying].map(|timer| timer.to_string()), ["A", "M", "Trying"]);
    }
}
