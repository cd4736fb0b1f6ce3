//! What is asked of message after message.

use std::{fs, path::PathBuf};

use sansip::{
    Limits,
    syntax::{HeaderId, Message, ParseErrorKind as Kind, StatusCode, View},
};

use crate::files::{corpus, torture};

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

/// The files of an index with what is expected of them.
pub(crate) fn indexed(part: &str) -> Vec<(PathBuf, String)> {
    rows(part)
        .into_iter()
        .map(|(path, row)| (path, text_of(&row, "expect").unwrap_or("").to_owned()))
        .collect()
}

/// The files of an index that both of the parsers took which were asked for it.
pub(crate) fn judged_ok_by_both(part: &str) -> Vec<PathBuf> {
    let both = |row: &str| ["ref_osip2", "ref_sofia"].iter().all(|key| text_of(row, key) == Some("ok"));
    rows(part).into_iter().filter(|(_, row)| both(row)).map(|(path, _)| path).collect()
}

/// The files of an index, each with its row.
fn rows(part: &str) -> Vec<(PathBuf, String)> {
    let Some(path) = corpus(part) else { return Vec::new() };
    let root = path.parent().expect("a part has a parent").to_owned();
    let index = fs::read_to_string(path.join("index.jsonl")).expect("every part has an index");
    let row = |line: &str| {
        let file = text_of(line, "file").expect("every row names a file");
        let full = [root.join(file), path.join(file)].into_iter().find(|full| full.exists());
        (full.unwrap_or_else(|| panic!("{file} is missing")), line.to_owned())
    };
    index.lines().filter(|line| !line.is_empty()).map(row).collect()
}

/// Returns a string of a flat JSON object; the index files escape nothing in those asked for.
fn text_of<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    let rest = object.split_once(&format!("\"{key}\": \""))?.1;
    rest.split_once('"').map(|(text, _)| text)
}
