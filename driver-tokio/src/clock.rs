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
    static EPOCH: OnceLock<std::time::Instant> = OnceLock::new();
    let epoch = *EPOCH.get_or_init(std::time::Instant::now);
    Instant::EPOCH + tokio::time::Instant::now().into_std().saturating_duration_since(epoch)
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

/// Returns the wall clock's time.
pub(crate) fn wall() -> UnixTime {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().into()
}

const YEAR: Duration = Duration::from_secs(365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ() {
        let (a, b) = (seed().expect("the system has randomness"), seed().expect("the system has randomness"));
        assert!(a != b);
    }
}
