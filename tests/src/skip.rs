use std::{
    env,
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
};

/// Says that a test cannot run here, and why. Where `SANSIP_SKIPS` names a file, the line is appended to it, so that a gate can fail.
///
/// # Panics
///
/// If that file cannot be written: a skip must never go unseen.
pub fn skipped(test: &str, why: &str) {
    let line = format!("skipped: {test}: {why}");
    eprintln!("{line}");
    if let Some(path) = env::var_os("SANSIP_SKIPS") {
        record(Path::new(&path), &line);
    }
}

/// Returns where the program `tool` is, or records that `test` is skipped without it.
pub fn require_tool(tool: &str, test: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(tool)).find(|file| file.is_file());
    if found.is_none() {
        skipped(test, &format!("{tool} is not installed"));
    }
    found
}

fn record(path: &Path, line: &str) {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file| writeln!(file, "{line}"));
    written.expect("SANSIP_SKIPS names a file that can be written");
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_skip_is_appended() {
        let path = env::temp_dir().join(format!("sansip-skips-{}", std::process::id()));
        record(&path, "skipped: a: b");
        record(&path, "skipped: c: d");
        let text = fs::read_to_string(&path).expect("the record was written");
        fs::remove_file(&path).expect("the record can be removed");
        assert_eq!(text, "skipped: a: b\nskipped: c: d\n");
    }

    #[test]
    fn a_tool_that_is_there_is_found() {
        assert!(require_tool("cargo", "a_tool_that_is_there_is_found").is_some());
    }
}
