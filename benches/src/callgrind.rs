use std::{
    io,
    path::Path,
    process::{Command, Output},
    str::FromStr,
};

use crate::Case;

/// Why no instructions were counted.
#[derive(Debug)]
pub enum CallgrindError {
    /// Valgrind could not be started.
    Start(io::Error),
    /// It failed, or printed something unexpected.
    Output(String),
}

impl std::fmt::Display for CallgrindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start(error) => write!(f, "valgrind cannot be started: {error}"),
            Self::Output(text) => write!(f, "valgrind printed no count:\n{text}"),
        }
    }
}

impl std::error::Error for CallgrindError {}

/// Runs a case of the program `counts` under callgrind. Returns the instructions of one message, transaction or call;
/// `None` if a parser refuses the message.
///
/// With `keep`, the profile is written there, for `callgrind_annotate`.
pub fn instructions(counts: &Path, case: Case, keep: Option<&Path>) -> Result<Option<u64>, CallgrindError> {
    let profile = keep.unwrap_or_else(|| Path::new("/dev/null"));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=sansip_measured"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(counts)
        .args(["--run", &case.name()])
        .output()
        .map_err(CallgrindError::Start)?;
    read(&output).ok_or_else(|| {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        CallgrindError::Output(format!("{}\n{out}\n{err}", output.status))
    })
}

fn read(output: &Output) -> Option<Option<u64>> {
    if !output.status.success() {
        return None;
    }
    let times: u64 = after(&output.stdout, "times ")?;
    if times == 0 {
        return Some(None);
    }
    let collected: u64 = after(&output.stderr, "Collected : ")?;
    (collected > 0).then_some(Some(collected / times))
}

fn after<T: FromStr>(text: &[u8], label: &str) -> Option<T> {
    let text = std::str::from_utf8(text).ok()?;
    text.split_once(label)?.1.split_whitespace().next()?.parse().ok()
}
