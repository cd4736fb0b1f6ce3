//! `cargo run -p xtask -- status|rfc [--check]` writes `docs/status.md` or `docs/rfc.md`, or says that it is stale.
#![forbid(unsafe_code)]

use std::{fs, path::Path, process::ExitCode};

use xtask::{rfc, status, tree};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<(), String> {
    let (what, check) = match words {
        [what] => (*what, false),
        [what, "--check"] => (*what, true),
        _ => return Err("usage: xtask status|rfc [--check]".into()),
    };
    let root = tree::root();
    let files = tree::files(&root).map_err(|error| format!("cannot read the tree: {error}"))?;
    let (path, text) = match what {
        "status" => (status::PATH, status::render(&files)),
        "rfc" => (rfc::PATH, rfc::render(&files)),
        other => return Err(format!("there is no task {other:?}: use status or rfc")),
    };
    if check { fresh(&files, path, &text) } else { write(&root.join(path), &text) }
}

fn fresh(files: &[tree::File], path: &str, text: &str) -> Result<(), String> {
    let kept = files.iter().find(|file| file.path == path).map(|file| file.text.as_str());
    if kept == Some(text) { Ok(()) } else { Err(format!("{path} is stale: run xtask without --check")) }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
