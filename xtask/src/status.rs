//! Which test proves which capability, scenario, promise or protocol rule.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use crate::{
    rust::{Function, Kind, Source},
    tree::File,
};

/// Where the tables are kept.
pub const PATH: &str = "docs/status.md";

const ROWS: &str = include_str!("../rows.tsv");

const HEAD: &str = "# Status\n\n\
    Written by `cargo run -p xtask -- status` from the tests: an id counts as built when a test cites it in its name, in the\n\
    comments above it or in its body (promises and differentiators: name or comments only). Everything else is\n\
    [not built yet](#not-built-yet).\n";

/// The tables of the page: heading, rows, and whether a row is shown without a test.
const TABLES: [(&str, Group, bool); 5] = [
    ("Capabilities", Group::Capability, true),
    ("Promises", Group::Promise, true),
    ("Differentiators", Group::Differentiator, true),
    ("Scenarios", Group::Scenario, false),
    ("Protocol rules", Group::Rule, false),
];

/// Returns the page.
pub fn render(files: &[File]) -> String {
    let rows = rows();
    let proofs = proofs(files, &rows);
    let mut text = HEAD.to_owned();
    text.push_str("\n| what | built | of |\n|---|---:|---:|\n");
    for (title, group, _) in TABLES {
        let ids = rows.iter().filter(|row| row.group() == group);
        let built = ids.clone().filter(|row| proofs.contains_key(&row.id)).count();
        let _ = writeln!(text, "| {title} | {built} | {} |", ids.count());
    }
    for (title, group, all) in TABLES {
        let _ = write!(text, "\n## {title}\n\n| id | name | proved by |\n|---|---|---|\n");
        for row in rows.iter().filter(|row| row.group() == group) {
            match proofs.get(&row.id) {
                Some(tests) => {
                    let tests: Vec<_> = tests.iter().map(|test| format!("`{test}`")).collect();
                    let _ = writeln!(text, "| {} | {} | {} |", row.id, row.name, tests.join(", "));
                }
                None if all => {
                    let _ = writeln!(text, "| {} | {} | |", row.id, row.name);
                }
                None => {}
            }
        }
    }
    text.push_str("\n## Not built yet\n\nNo test cites these.\n");
    for (title, group, _) in TABLES {
        let missing = rows.iter().filter(|row| row.group() == group && !proofs.contains_key(&row.id));
        let ids: Vec<_> = missing.map(|row| row.id.as_str()).collect();
        let _ = write!(text, "\n**{title}**: {}\n", if ids.is_empty() { "none".into() } else { wrap(&ids) });
    }
    text
}

/// Returns what tests cite in the form of an id that is in no table: test and id.
pub fn unknown(files: &[File]) -> Vec<(String, String)> {
    let rows = rows();
    let ids: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let families: BTreeSet<&str> = ids.iter().filter_map(|id| id.split(['-', '.']).next()).collect();
    let mut found = Vec::new();
    for test in files.iter().flat_map(tests) {
        for id in cited(&test.all) {
            let family = id.split(['-', '.']).next().unwrap_or_default();
            let shaped = family.len() < id.len() && families.contains(family) || is_capability(&id);
            if shaped && !ids.contains(id.as_str()) {
                found.push((test.name.clone(), id));
            }
        }
    }
    found
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Capability,
    Promise,
    Differentiator,
    Scenario,
    Rule,
}

struct Row {
    id: String,
    name: String,
}

impl Row {
    fn group(&self) -> Group {
        match self.id.as_bytes() {
            id if id.contains(&b'-') => Group::Rule,
            id if id.contains(&b'.') => Group::Scenario,
            [b'P', ..] => Group::Promise,
            [b'D', ..] => Group::Differentiator,
            _ => Group::Capability,
        }
    }
}

/// Reads the table of ids; a family `IC-01-20` gives twenty rows.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (ids, name) in ROWS.lines().filter_map(|line| line.split_once('\t')) {
        let family = ids.rsplit_once('-').and_then(|(first, last)| {
            let (prefix, first) = first.split_at(first.len().checked_sub(2)?);
            Some((prefix, first.parse::<u32>().ok()?, last.parse::<u32>().ok()?))
        });
        let Some((prefix, first, last)) = family else {
            rows.push(Row { id: ids.into(), name: name.into() });
            continue;
        };
        rows.extend((first..=last).map(|n| Row { id: format!("{prefix}{n:02}"), name: name.into() }));
    }
    rows
}

fn proofs(files: &[File], rows: &[Row]) -> BTreeMap<String, BTreeSet<String>> {
    let mut proofs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for test in files.iter().flat_map(tests) {
        let (all, head) = (cited(&test.all), cited(&test.head));
        for row in rows {
            let promise = matches!(row.group(), Group::Promise | Group::Differentiator);
            if if promise { &head } else { &all }.contains(&row.id) {
                proofs.entry(row.id.clone()).or_default().insert(test.name.clone());
            }
        }
    }
    proofs
}

/// A test, and the texts in which it may cite.
struct Test {
    name: String,
    /// Its name spelt as ids are, and the comments above it.
    head: String,
    /// `head` and its body.
    all: String,
}

/// Returns the tests of a file, and what they call there: functions in test code that are named elsewhere in it.
fn tests(file: &File) -> Vec<Test> {
    if !file.is_rust() || file.path.starts_with("xtask/") {
        return Vec::new();
    }
    let source = Source::new(&file.text);
    let spans = source.test_spans();
    let counts = |function: &Function<'_>| {
        let named =
            source.tokens.iter().filter(|token| token.kind == Kind::Ident && token.text == function.name);
        let in_tests = file.is_test() || spans.iter().any(|span| span.contains(&function.span.start));
        function.is_test || in_tests && named.count() > 1
    };
    let functions = source.functions();
    functions
        .iter()
        .filter(|function| counts(function))
        .map(|function| test(file, &source, function))
        .collect()
}

fn test(file: &File, source: &Source<'_>, function: &Function<'_>) -> Test {
    let start = source.preamble(function.span.start);
    let head = format!("{}\n{}", respell(function.name), &file.text[start..function.span.start]);
    let all = format!("{head}\n{}", &file.text[function.span.clone()]);
    Test { name: format!("{}::{}", file.path, function.name), head, all }
}

/// Spells the ids in a function's name as elsewhere: `ic_07`, `t05_01`, `c001` and `p1` are IC-07, T05.01, C001 and P1.
fn respell(name: &str) -> String {
    let words: Vec<String> = name.split('_').map(str::to_ascii_uppercase).collect();
    let mut ids = words.clone();
    for pair in words.windows(2) {
        if pair[1].len() == 2 && pair[1].bytes().all(|b| b.is_ascii_digit()) {
            let scenario =
                pair[0] == "TU" || pair[0].len() == 3 && pair[0].ends_with(|c: char| c.is_ascii_digit());
            ids.push(format!("{}{}{}", pair[0], if scenario { '.' } else { '-' }, pair[1]));
        }
    }
    ids.join(" ")
}

/// Returns the words of `text` that may be ids. A word that is part of a range, a path or a chain is none.
fn cited(text: &str) -> BTreeSet<String> {
    let edge = |c: char| c.is_whitespace() || "(),;:'\"`/[]|{}=+—".contains(c);
    let words = text.split(edge).map(|word| word.trim_end_matches(['.', '!', '?']));
    words.filter(|word| is_capability(word) || is_promise(word) || is_pair(word)).map(str::to_owned).collect()
}

fn is_capability(word: &str) -> bool {
    word.len() == 4 && word.starts_with('C') && word[1..].bytes().all(|b| b.is_ascii_digit())
}

fn is_promise(word: &str) -> bool {
    let digits = word.strip_prefix(['P', 'D']).unwrap_or_default();
    (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Tells whether the word looks like `IC-07` or `T05.01`.
fn is_pair(word: &str) -> bool {
    word.split_once(['-', '.']).is_some_and(|(family, number)| {
        family.starts_with(|c: char| c.is_ascii_uppercase())
            && family.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            && number.len() == 2
            && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Joins ids with spaces into lines of some 110 characters.
fn wrap(ids: &[&str]) -> String {
    let mut text = String::new();
    let mut width = 20;
    for id in ids {
        let gap = if width + id.len() > 110 { "\n" } else { " " };
        width = if gap == "\n" { id.len() } else { width + id.len() + 1 };
        text.push_str(if text.is_empty() { "" } else { gap });
        text.push_str(id);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    fn proved(path: &str, text: &str) -> Vec<String> {
        proofs(&[file(path, text)], &rows()).into_keys().collect()
    }

    #[test]
    fn families_become_rows() {
        let rows = rows();
        let count = |group| rows.iter().filter(|row| row.group() == group).count();
        assert_eq!(count(Group::Capability), 217);
        assert_eq!(count(Group::Promise), 30);
        assert_eq!(count(Group::Differentiator), 12);
        assert_eq!(count(Group::Scenario), 365);
        assert_eq!(count(Group::Rule), 321);
    }

    #[test]
    fn a_test_proves_what_its_name_comments_and_body_cite() {
        let text = "#[cfg(test)]\nmod tests {\n/// C001, T05.02.\n// P3: x\n#[test]\nfn ic_07_and_p1() { \"IS-02\"; }\n}";
        assert_eq!(proved("core/src/x.rs", text), ["C001", "IC-07", "IS-02", "P1", "P3", "T05.02"]);
    }

    #[test]
    fn names_are_respelt_as_one_id_each() {
        assert_eq!(respell("t05_01_tu_02_ic_03_x"), "T05 01 TU 02 IC 03 X T05.01 TU.02 IC-03");
        let file = file("tests/tests/x.rs", "#[test]\nfn ic_07_t05_01_tmr_02_timer_a() {}");
        assert_eq!(unknown(&[file]), []);
    }

    #[test]
    fn product_code_proves_nothing() {
        let text = "/// C001\nfn a() { a(); }\n#[cfg(test)]\nmod tests { /// C002\nfn unused() {} }";
        assert_eq!(proved("core/src/x.rs", text), [""; 0]);
    }

    #[test]
    fn what_a_test_calls_in_its_file_counts() {
        let text = "/// C003\nfn scenario() {}\n#[test]\nfn runs() { scenario() }";
        assert_eq!(proved("tests/tests/x.rs", text), ["C003"]);
    }

    #[test]
    fn promises_count_in_comments_above_only_and_not_in_chains() {
        let text = "/// UA1-P1-P2 and P4–P5\n#[test]\nfn a() { let P6 = \"P7\"; }";
        assert_eq!(proved("tests/tests/x.rs", text), [""; 0]);
    }

    #[test]
    fn ids_without_a_row_are_reported() {
        let text = "/// C999 IC-77 T01.99 UTF-16 P77\n#[test]\nfn a() {}";
        let found = unknown(&[file("tests/tests/x.rs", text)]);
        let ids: Vec<_> = found.iter().map(|(_, id)| id.as_str()).collect();
        assert_eq!(ids, ["C999", "IC-77", "T01.99"]);
    }

    #[test]
    fn a_page_lists_what_is_built_and_what_is_not() {
        let text = render(&[file("tests/tests/x.rs", "/// C001\n#[test]\nfn a() {}")]);
        assert!(text.contains("| Capabilities | 1 | 217 |"), "{text}");
        assert!(text.contains("| `tests/tests/x.rs::a` |"), "{text}");
        assert!(text.contains("**Capabilities**: C002 C003"), "{text}");
    }
}
