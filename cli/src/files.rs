/// Files that the program itself needs, and the system's libraries beneath it.
const OWN: u64 = 64;

/// Raises the number of files that may be open as far as the system allows, and returns how many connections that is.
///
/// `None` if the system does not tell.
pub(crate) fn room_for_connections() -> Option<usize> {
    let files = rlimit::increase_nofile_limit(u64::MAX).ok()?;
    usize::try_from(files.saturating_sub(OWN)).ok()
}
