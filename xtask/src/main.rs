//! `cargo run -p xtask -- status|rfc [--check]` writes `docs/status.md` or `docs/rfc.md`, or says that it is stale;
//! `cargo run -p xtask -- wasm FILE` fails if a WebAssembly module imports anything.
#![forbid(unsafe_code)]

use std::{fs, path::Path, process::ExitCode};

use xtask::{rfc, status, tree, wasm};

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
        ["wasm", module] => return imports_nothing(Path::new(module)),
        _ => return Err("usage: xtask status|rfc [--check], or xtask wasm FILE".into()),
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

fn imports_nothing(path: &Path) -> Result<(), String> {
    let module = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    match wasm::imports(&module)? {
        0 => Ok(()),
        count => Err(format!("{} imports {count} things from its surroundings", path.display())),
    }
}
