//! Where the files are, and what is asked of each of them again and again.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use sansip::{
    Limits,
    syntax::{HeaderId, Message, ParseErrorKind as Kind, StatusCode, View},
};

pub(crate) fn corpus(part: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("SANSIP_CORPUS") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/torture"),
    };
    let path = root.join(part);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: no corpus at {}", path.display());
    None
}

/// Returns a string of a flat JSON object; the index files escape nothing in those asked for.
pub(crate) fn text_of<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    let rest = object.split_once(&format!("\"{key}\": \""))?.1;
    rest.split_once('"').map(|(text, _)| text)
}

/// The files of an index with what is expected of them.
pub(crate) fn indexed(part: &str) -> Vec<(PathBuf, String)> {
    let Some(path) = corpus(part) else { return Vec::new() };
    let root = path.parent().expect("a part has a parent").to_owned();
    let index = fs::read_to_string(path.join("index.jsonl")).expect("every part has an index");
    let row = |line: &str| {
        let file = text_of(line, "file").expect("every row names a file");
        let full = [root.join(file), path.join(file)].into_iter().find(|full| full.exists());
        (
            full.unwrap_or_else(|| panic!("{file} is missing")),
            text_of(line, "expect").unwrap_or("").to_owned(),
        )
    };
    index.lines().filter(|line| !line.is_empty()).map(row).collect()
}

pub(crate) fn torture(name: &str) -> Option<Vec<u8>> {
    let path = corpus("rfc4475")?.join(format!("{name}.dat"));
    Some(fs::read(path).expect("the set is whole"))
}

pub(crate) fn with(name: &str, look: impl FnOnce(View<'_>)) {
    let Some(bytes) = torture(name) else { return };
    match Message::parse(&bytes, &Limits::default()) {
        Ok(message) => look(message.view()),
        Err(refused) => panic!("{name}: {}", refused.error),
    }
}

pub(crate) fn refused(name: &str) -> Option<(Kind, Option<HeaderId>, StatusCode)> {
    let bytes = torture(name)?;
    match Message::parse(&bytes, &Limits::default()) {
        Ok(_) => panic!("{name} was accepted"),
        Err(refused) => Some((refused.error.kind, refused.error.header, refused.error.status())),
    }
}

/// Says how many files of a part were looked at, past the test's captured output.
pub(crate) fn ran(part: &str, count: &str) {
    let _unheard = writeln!(std::io::stderr(), "corpus {part}: {count}");
}
