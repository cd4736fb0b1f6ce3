use std::{
    io,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use sansip::{Instant, Seed, UnixTime};

/// Returns the time that has passed since this process first asked.
pub fn now() -> Instant {
    static EPOCH: OnceLock<std::time::Instant> = OnceLock::new();
    Instant::EPOCH + EPOCH.get_or_init(std::time::Instant::now).elapsed()
}

/// Returns a seed drawn from the operating system.
pub fn seed() -> io::Result<Seed> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Seed::new(bytes))
}

/// Returns the wall clock's time.
pub(crate) fn wall() -> UnixTime {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().into()
}

/// How often the wall clock is told.
pub(crate) const WALL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ() {
        let (a, b) = (seed().expect("the system has randomness"), seed().expect("the system has randomness"));
        assert!(a != b);
    }
}
