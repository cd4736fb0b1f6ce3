use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Output},
    str::FromStr,
};

use crate::Meter;

/// Why no instructions were counted.
#[derive(Debug)]
pub enum CallgrindError {
    /// Valgrind could not be started.
    Start(io::Error),
    /// It failed, or printed something unexpected.
    Output(String),
    /// Cargo could not build the program that it runs.
    Build(String),
}

impl std::fmt::Display for CallgrindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start(error) => write!(f, "valgrind cannot be started: {error}"),
            Self::Output(text) => write!(f, "valgrind printed no count:\n{text}"),
            Self::Build(text) => write!(f, "the program to count in was not built:\n{text}"),
        }
    }
}

impl std::error::Error for CallgrindError {}

/// Builds the program `counts` for release, and returns where it is.
pub fn build_counts() -> Result<PathBuf, CallgrindError> {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "--package", "sansip-benches", "--bin", "counts"])
        .args(["--message-format", "json", "--quiet"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .map_err(CallgrindError::Start)?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let program = messages
        .lines()
        .filter(|line| line.contains("\"kind\":[\"bin\"]") && line.contains("\"name\":\"counts\""))
        .find_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next());
    match program.filter(|_| output.status.success()) {
        Some(program) => Ok(program.into()),
        None => Err(CallgrindError::Build(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}

/// Runs a case of the program `counts`, or of one like it, under callgrind. Returns the instructions of one message, transaction or call;
/// `None` if a parser refuses the message.
///
/// With `keep`, the profile is written there, for `callgrind_annotate`.
pub fn instructions(counts: &Path, case: &str, keep: Option<&Path>) -> Result<Option<u64>, CallgrindError> {
    let profile = keep.unwrap_or_else(|| Path::new("/dev/null"));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=sansip_measured"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(counts)
        .args(["--run", case])
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

/// Marks the work for callgrind; costs about ten instructions.
#[derive(Debug)]
pub struct Marked;

impl Meter for Marked {
    fn measure(&mut self, work: &mut dyn FnMut()) {
        sansip_measured(work);
    }
}

/// Callgrind counts inside of this function only.
#[unsafe(no_mangle)]
#[inline(never)]
fn sansip_measured(work: &mut dyn FnMut()) {
    work();
    // Else the call would be a jump, which callgrind cannot tell from the end of the function.
    std::hint::black_box(());
}
