//! Which file implements or tests which section of which RFC, from the citations in the source.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use crate::tree::File;

/// Where the table is kept.
pub const PATH: &str = "docs/rfc.md";

const HEAD: &str = "# RFC sections and where they are cited\n\n\
    Written by `cargo run -p xtask -- rfc` from the citations in the source. It tells where to look, not what is complete:\n\
    that is [status.md](status.md).\n";

/// Returns the table.
pub fn render(files: &[File]) -> String {
    let mut table: BTreeMap<u32, BTreeMap<Section, BTreeSet<&str>>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is_rust() && !file.path.starts_with("xtask/")) {
        for (rfc, section) in citations(&file.text) {
            table.entry(rfc).or_default().entry(section).or_default().insert(&file.path);
        }
    }
    let mut text = HEAD.to_owned();
    for (rfc, sections) in &table {
        let _ = write!(text, "\n## RFC {rfc}\n\n| section | files |\n|---|---|\n");
        for (section, files) in sections {
            let links: Vec<_> = files.iter().map(|path| format!("[{path}](../{path})")).collect();
            let name = if section.text.is_empty() { "as a whole" } else { &section.text };
            let _ = writeln!(text, "| {name} | {} |", links.join(", "));
        }
    }
    text
}

/// The number of a section, empty for a whole RFC; ordered as in a table of contents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Section {
    parts: Vec<(u32, String)>,
    text: String,
}

impl Section {
    fn new(text: &str) -> Self {
        let parts = text.split('.').map(|part| (part.parse().unwrap_or(u32::MAX), part.to_owned())).collect();
        Self { parts, text: text.to_owned() }
    }
}

/// Returns every RFC cited in `text` with each section named right after it.
fn citations(text: &str) -> Vec<(u32, Section)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("RFC ") {
        let rest = &text[at + 4..];
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let Ok(rfc) = rest[..digits].parse() else { continue };
        let mut rest = &rest[digits..];
        let before = found.len();
        while let Some(after) = next_section(rest) {
            let len = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(after.len());
            found.push((rfc, Section::new(after[..len].trim_end_matches('.'))));
            rest = &after[len..];
        }
        if found.len() == before {
            found.push((rfc, Section::new("")));
        }
    }
    found.retain(|(_, section)| {
        section.text.is_empty() || section.text.starts_with(|c: char| c.is_alphanumeric())
    });
    found
}

/// Returns what follows a section sign with nothing but a separator before it.
fn next_section(rest: &str) -> Option<&str> {
    let rest = rest.trim_start_matches([' ', ',']);
    rest.strip_prefix("and ").unwrap_or(rest).strip_prefix('§')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn citations_are_read_with_all_their_sections() {
        let text = "/// RFC 3261 §17.1.1.2, §18 and §A.\n// (RFC 6026). RFC 3581 §4: x; RFCs 3 and RFC x §1";
        let found: Vec<_> = citations(text).into_iter().map(|(rfc, section)| (rfc, section.text)).collect();
        let want = [(3261, "17.1.1.2"), (3261, "18"), (3261, "A"), (6026, ""), (3581, "4")];
        assert_eq!(found, want.map(|(rfc, section)| (rfc, section.to_owned())));
    }

    #[test]
    fn sections_are_ordered_by_number() {
        let mut sections = ["17.2", "9", "17.10", "17"].map(Section::new);
        sections.sort();
        assert_eq!(sections.map(|section| section.text), ["9", "17", "17.2", "17.10"]);
    }

    #[test]
    fn the_table_links_files() {
        let files = [File { path: "core/src/x.rs".into(), text: "// RFC 3261 §8".into() }];
        let text = render(&files);
        assert!(text.ends_with("| 8 | [core/src/x.rs](../core/src/x.rs) |\n"), "{text}");
    }
}
