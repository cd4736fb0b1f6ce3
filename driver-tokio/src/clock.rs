use std::{
    io,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use sansip::{Instant, Seed, UnixTime};

/// Returns the time that has passed since this process first asked.
///
/// It follows tokio's clock, so it stands still in a runtime whose time is paused.
pub fn now() -> Instant {
    Instant::EPOCH + tokio::time::Instant::now().into_std().saturating_duration_since(epoch())
}

/// Returns a seed drawn from the operating system.
pub fn seed() -> io::Result<Seed> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Seed::new(bytes))
}

/// Returns the moment in tokio's terms, at most a year from now.
pub(crate) fn moment(at: Instant) -> tokio::time::Instant {
    tokio::time::Instant::now() + at.since(now()).min(YEAR)
}

/// Watches the wall clock, which may be set while a node runs.
#[derive(Debug, Default)]
pub(crate) struct Wall {
    told: Option<(UnixTime, Instant)>,
    checked: Instant,
}

impl Wall {
    /// Returns the time if the machine has not been told, or if the clock was set since. Looks once a second.
    pub(crate) fn news(&mut self, now: Instant) -> Option<UnixTime> {
        if self.told.is_some() && now.since(self.checked) < Duration::from_secs(1) {
            return None;
        }
        self.checked = now;
        self.compare(now, unix_time())
    }

    fn compare(&mut self, now: Instant, wall: UnixTime) -> Option<UnixTime> {
        let expected = self.told.map(|(told, at)| told.as_millis() + now.since(at).as_millis() as u64);
        if expected.is_some_and(|expected| expected.abs_diff(wall.as_millis()) < STEP_MS) {
            return None;
        }
        self.told = Some((wall, now));
        Some(wall)
    }
}

fn unix_time() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn epoch() -> std::time::Instant {
    static EPOCH: OnceLock<std::time::Instant> = OnceLock::new();
    *EPOCH.get_or_init(std::time::Instant::now)
}

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Smaller differences are the clock being steered, which the machine need not know.
const STEP_MS: u64 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_clock_is_told_and_a_running_one_is_not() {
        let mut wall = Wall::default();
        let at = |s: u64| Instant::from_millis(s * 1000);
        let unix = |s: u64| UnixTime::from_millis(1_700_000_000_000 + s * 1000);
        assert_eq!(wall.compare(at(5), unix(0)), Some(unix(0)));
        assert_eq!(wall.compare(at(8), unix(3)), None);
        assert_eq!(wall.compare(at(9), unix(3600)), Some(unix(3600)));
        assert_eq!(wall.compare(at(10), unix(3601)), None);
        assert_eq!(wall.compare(at(11), unix(1)), Some(unix(1)));
    }

    #[test]
    fn seeds_differ() {
        let (a, b) = (seed().expect("the system has randomness"), seed().expect("the system has randomness"));
        assert!(a != b);
    }
}
