//! House rules that a machine can check.

use std::{collections::BTreeSet, ops::Range};

use xtask::{
    rust::{Kind, Source, Token},
    tree::{self, File},
};

const FILE_LINES: usize = 900;
const FUNCTION_LINES: usize = 70;

/// Functions that may be longer, as `path::name`, each with its reason.
const LONG_FUNCTIONS: [(&str, &str); 0] = [];

/// Lines of the drivers, and of what they share, without their tests; logic that does not fit belongs in the core.
const BUDGETS: [(&str, usize); 4] =
    [("driver-net", 1750), ("driver-tokio", 850), ("driver-blocking", 650), ("driver-smol", 650)];

/// Names that do not say what a module is about.
const EMPTY_NAMES: [&str; 10] =
    ["util", "utils", "helper", "helpers", "common", "types", "manager", "misc", "data", "info"];

/// Limits that no test meets yet. A limit leaves the list with its test, and none is added.
const LIMITS_WITHOUT_TEST: [&str; 0] = [];

/// Marks of unfinished work, cut in two so that this file does not hold them.
const UNFINISHED: [(&str, &str); 12] = [
    ("todo", "!("),
    ("unimplemented", "!("),
    ("dbg", "!("),
    ("TO", "DO"),
    ("FIX", "ME"),
    ("XX", "X"),
    (" for", " now"),
    ("simplified", " "),
    ("place", "holder"),
    ("not ", "implemented"),
    ("not yet ", "implemented"),
    ("#[ig", "nore"),
];

/// What asks for the time or lets it pass.
const CLOCKS: [(&str, &str); 4] =
    [("Instant::", "now"), ("System", "Time"), ("thread::", "sleep"), ("UNIX", "_EPOCH")];

/// What state is shared with, what waits for another, and what runs beside.
const SHARING: [&str; 12] = [
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::Condvar",
    "std::sync::OnceLock",
    "std::sync::LazyLock",
    "std::sync::atomic::AtomicU64",
    "std::sync::mpsc::channel",
    "std::rc::Rc",
    "std::cell::Cell",
    "std::cell::RefCell",
    "std::thread::spawn",
    "std::thread_local",
];

/// The one file of the core that may use what is out of bounds in the rest of it: it hides a table that can be iterated.
const LIFTED: &str = "core/src/base/table.rs:";

/// What only the machine of one author knows, likewise.
const FOREIGN: [(&str, &str); 5] =
    [("/wo", "rk/"), ("/fa", "rm/"), ("/ho", "me/"), ("/ro", "ot/"), ("/tmp", "/wt")];

fn files() -> Vec<File> {
    tree::files(&tree::root()).expect("the repository can be read")
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn files_are_short() {
    assert_none("files over 900 lines", &long_files(&files()));
}

#[test]
fn functions_are_short() {
    let found = long_functions(&files());
    let known =
        |found: &&String| LONG_FUNCTIONS.iter().any(|(name, _)| found.starts_with(&format!("{name}:")));
    let unknown: Vec<_> = found.iter().filter(|found| !known(found)).cloned().collect();
    assert_none("functions over 70 lines", &unknown);
    let stale =
        LONG_FUNCTIONS.iter().filter(|(name, _)| !found.iter().any(|f| f.starts_with(&format!("{name}:"))));
    assert_none("allowed to be long, but is not", &stale.map(|(name, _)| (*name).into()).collect::<Vec<_>>());
}

#[test]
fn modules_have_names() {
    assert_none("module names that say nothing", &empty_names(&files()));
}

#[test]
fn nothing_is_unfinished() {
    let files: Vec<_> = files().into_iter().filter(File::is_rust).collect();
    assert_none("marks of unfinished work", &lines_with(&files, &UNFINISHED));
}

#[test]
fn the_repository_speaks_of_the_project_alone() {
    assert_none("paths of one machine", &lines_with(&files(), &FOREIGN));
}

#[test]
fn the_core_does_not_unwrap() {
    assert_none("unwrap outside tests", &unwraps(&files()));
}

/// TMR-01: time is told to the core; it reads no clock and does not wait.
#[test]
fn tmr_01_the_core_has_no_clock() {
    let in_core = |file: &File| file.path.starts_with("core/src/") && file.is_rust();
    let core: Vec<_> = files().into_iter().filter(in_core).collect();
    assert!(core.len() > 50, "it is where it was");
    assert_none("clocks and waits in the core", &lines_with(&core, &CLOCKS));
}

/// P22: what could make a lock, a thread or state that is shared is out of bounds in the core, and no bound is lifted in its code.
#[test]
fn p22_the_core_shares_nothing() {
    let files = files();
    let rules = files.iter().find(|file| file.path == "core/clippy.toml").expect("it is where it was");
    let named = |path: &&str| !rules.text.contains(&format!("{{ path = \"{path}\", reason"));
    let forgotten: Vec<_> = SHARING.iter().filter(|path| named(path)).map(ToString::to_string).collect();
    assert_none("not out of bounds in core/clippy.toml", &forgotten);
    let in_core = |file: &File| file.path.starts_with("core/src/") && file.is_rust();
    let core: Vec<_> = files.into_iter().filter(in_core).collect();
    assert!(core.len() > 50, "it is where it was");
    let lifted = lines_with(&core, &[("clippy::disallow", "ed_")]);
    let unknown = lifted.into_iter().filter(|found| !found.starts_with(LIFTED));
    assert_none("bounds lifted in the core", &unknown.collect::<Vec<_>>());
}

#[test]
fn drivers_keep_their_budgets() {
    assert_none("drivers over their budget", &over_budget(&files(), &BUDGETS));
}

#[test]
fn limits_are_tested() {
    let files = files();
    let limits = limits(&files);
    assert!(!limits.is_empty(), "the limits were not found");
    let named = limits_named_in_tests(&files);
    let missing: Vec<_> = limits.iter().filter(|name| !named.contains(*name)).map(String::as_str).collect();
    let new = missing.iter().filter(|name| !LIMITS_WITHOUT_TEST.contains(name));
    assert_none(
        "limits that no test sets or reads as `limits.NAME`",
        &new.map(|name| (*name).into()).collect::<Vec<_>>(),
    );
    let stale = LIMITS_WITHOUT_TEST.iter().filter(|name| !missing.contains(name));
    assert_none(
        "limits with a test, still in LIMITS_WITHOUT_TEST",
        &stale.map(|name| (*name).into()).collect::<Vec<_>>(),
    );
}

fn long_files(files: &[File]) -> Vec<String> {
    let lines = |file: &File| file.text.lines().count();
    let long = files.iter().filter(|file| file.is_rust() && lines(file) > FILE_LINES);
    long.map(|file| format!("{}: {}", file.path, lines(file))).collect()
}

fn long_functions(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        for function in Source::new(&file.text).functions() {
            let lines = file.text[function.span].lines().count();
            if lines > FUNCTION_LINES {
                found.push(format!("{}::{}: {lines}", file.path, function.name));
            }
        }
    }
    found
}

fn empty_names(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let parts = file.path.trim_end_matches(".rs").split('/');
        if parts.clone().any(|part| EMPTY_NAMES.contains(&part)) {
            found.push(file.path.clone());
        }
        let source = Source::new(&file.text);
        let pairs =
            source.tokens.windows(2).filter(|pair| pair[0].text == "mod" && pair[0].kind == Kind::Ident);
        let names = pairs.map(|pair| pair[1].text).filter(|name| EMPTY_NAMES.contains(name));
        found.extend(names.map(|name| format!("{}: mod {name}", file.path)));
    }
    found
}

fn lines_with(files: &[File], marks: &[(&str, &str)]) -> Vec<String> {
    let marks: Vec<_> = marks.iter().map(|(a, b)| format!("{a}{b}")).collect();
    let mut found = Vec::new();
    for file in files {
        for (number, line) in file.text.lines().enumerate() {
            found.extend(
                marks
                    .iter()
                    .filter(|mark| line.contains(mark.as_str()))
                    .map(|mark| format!("{}:{}: {mark}", file.path, number + 1)),
            );
        }
    }
    found
}

fn unwraps(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in
        files.iter().filter(|file| file.path.starts_with("core/src/") && file.is_rust() && !file.is_test())
    {
        let source = Source::new(&file.text);
        let tests = source.test_spans();
        for call in source.tokens.windows(2).filter(|pair| pair[0].text == "." && pair[1].text == "unwrap") {
            if !inside(&tests, &call[1]) {
                found.push(format!("{}:{}", file.path, source.line(call[1].start)));
            }
        }
    }
    found
}

fn over_budget(files: &[File], budgets: &[(&str, usize)]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, budget) in budgets {
        let own =
            files.iter().filter(|file| file.path.starts_with(&format!("{name}/src/")) && !file.is_test());
        let lines: usize = own.map(lines_without_tests).sum();
        if lines > *budget {
            found.push(format!("{name}: {lines} of {budget}"));
        }
    }
    found
}

fn lines_without_tests(file: &File) -> usize {
    let tests = Source::new(&file.text).test_spans();
    let tests: usize = tests.into_iter().map(|span| file.text[span].lines().count()).sum();
    file.text.lines().count() - tests
}

/// Returns the fields of `Limits`.
fn limits(files: &[File]) -> Vec<String> {
    let Some(file) = files.iter().find(|file| file.path == "core/src/base/limits.rs") else {
        return Vec::new();
    };
    let source = Source::new(&file.text);
    let fields = source.tokens.windows(3).filter(|at| at[0].text == "pub" && at[2].text == ":");
    fields.map(|at| at[1].text.to_owned()).collect()
}

/// Returns what tests name as `limits.NAME`, or as a field in `Limits { … }`.
fn limits_named_in_tests(files: &[File]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let source = Source::new(&file.text);
        let spans = source.test_spans();
        let counts = |token: &Token<'_>| file.is_test() || inside(&spans, token);
        for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| counts(token)) {
            let next = |offset: usize| source.tokens.get(at + offset).map_or("", |token| token.text);
            if token.text == "limits" && next(1) == "." {
                found.insert(next(2).to_owned());
            }
            let end = source.close(at + 1).filter(|_| token.text == "Limits" && next(1) == "{");
            let fields = source.tokens[at..end.unwrap_or(at)].windows(2);
            found.extend(fields.filter(|pair| pair[1].text == ":").map(|pair| pair[0].text.to_owned()));
        }
    }
    found
}

fn inside(spans: &[Range<usize>], token: &Token<'_>) -> bool {
    spans.iter().any(|span| span.contains(&token.start))
}

mod made_up {
    use super::*;

    fn file(path: &str, text: &str) -> [File; 1] {
        [File { path: path.into(), text: text.into() }]
    }

    #[test]
    fn a_long_file_is_caught_one_line_over() {
        assert_eq!(long_files(&file("a.rs", &"x\n".repeat(900))), [""; 0]);
        assert_eq!(long_files(&file("a.rs", &"x\n".repeat(901))), ["a.rs: 901"]);
    }

    #[test]
    fn a_long_function_is_caught_one_line_over() {
        let function = |lines: usize| format!("fn f() {{{}}}", "\n".repeat(lines - 1));
        assert_eq!(long_functions(&file("a.rs", &function(70))), [""; 0]);
        assert_eq!(long_functions(&file("a.rs", &function(71))), ["a.rs::f: 71"]);
    }

    #[test]
    fn empty_names_are_caught_as_file_folder_and_module() {
        assert_eq!(empty_names(&file("core/src/utils.rs", "")), ["core/src/utils.rs"]);
        assert_eq!(empty_names(&file("core/src/common/x.rs", "")), ["core/src/common/x.rs"]);
        assert_eq!(empty_names(&file("core/src/x.rs", "mod helpers {}")), ["core/src/x.rs: mod helpers"]);
        assert_eq!(empty_names(&file("core/src/x.rs", "mod common_name; // mod utils")), [""; 0]);
    }

    #[test]
    fn marks_are_caught_with_their_line() {
        let mark = format!("{}{}", UNFINISHED[0].0, UNFINISHED[0].1);
        assert_eq!(
            lines_with(&file("a.rs", &format!("\n{mark})")), &UNFINISHED),
            [format!("a.rs:2: {mark}")]
        );
        let excuse = format!("// good enough{}{}", UNFINISHED[6].0, UNFINISHED[6].1);
        assert_eq!(lines_with(&file("a.rs", &excuse), &UNFINISHED).len(), 1);
    }

    #[test]
    fn unwrap_is_caught_outside_tests_only() {
        let text = "fn f() { x.unwrap() }\n// y.unwrap()\n#[cfg(test)]\nmod tests { fn g() { z.unwrap() } }";
        assert_eq!(unwraps(&file("core/src/a.rs", text)), ["core/src/a.rs:1"]);
        assert_eq!(unwraps(&file("core/src/a.rs", "x.unwrap_or(1);")), [""; 0]);
    }

    #[test]
    fn a_budget_counts_lines_without_tests() {
        let text = "a\nb\n#[cfg(test)]\nmod tests {\n}\n";
        let files = file("driver-x/src/lib.rs", text);
        assert_eq!(over_budget(&files, &[("driver-x", 2)]), [""; 0]);
        assert_eq!(over_budget(&files, &[("driver-x", 1)]), ["driver-x: 2 of 1"]);
    }

    #[test]
    fn limits_are_found_and_count_in_tests_only() {
        let files = [
            file("core/src/base/limits.rs", "pub struct Limits { /// x\n pub head: usize, pub body: usize }"),
            file(
                "core/src/a.rs",
                "fn f() { limits.head }\n#[cfg(test)]\nmod tests { fn g() { limits.body = 1; } }",
            ),
            file("tests/tests/a.rs", "fn f() { Limits { calls: 1, ..x } }"),
        ]
        .concat();
        assert_eq!(limits(&files), ["head", "body"]);
        assert_eq!(limits_named_in_tests(&files).into_iter().collect::<Vec<_>>(), ["body", "calls"]);
    }
}
