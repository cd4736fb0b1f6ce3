use std::{sync::OnceLock, time::Duration};

use sansip::Instant;

/// Returns the time that has passed since this process first asked.
///
/// It follows tokio's clock, so it stands still in a runtime whose time is paused.
pub fn now() -> Instant {
    static EPOCH: OnceLock<std::time::Instant> = OnceLock::new();
    let epoch = *EPOCH.get_or_init(std::time::Instant::now);
    Instant::EPOCH + tokio::time::Instant::now().into_std().saturating_duration_since(epoch)
}

/// Returns the moment in tokio's terms, at most a year from now.
pub(crate) fn moment(at: Instant) -> tokio::time::Instant {
    tokio::time::Instant::now() + at.since(now()).min(YEAR)
}

const YEAR: Duration = Duration::from_secs(365 * 86_400);
