//! The core's imports point down its layers.

use std::collections::{BTreeMap, BTreeSet};

use xtask::{
    rust::{Kind, Source, Token},
    tree::{self, File},
};

/// The modules of the core and what each may import beside itself; `lib.rs` alone sees all.
const MAY_IMPORT: [(&str, &[&str]); 15] = [
    ("base", &[]),
    ("syntax", &["base"]),
    ("sdp", &["base", "syntax"]),
    ("auth", &["base", "syntax"]),
    ("body", &["base", "syntax"]),
    ("transport", &BELOW_TRANSPORT),
    ("transaction", &BELOW_TRANSPORT),
    ("dialog", &BELOW_TRANSPORT),
    ("decision", &BELOW_DECISION),
    ("plugin", &BELOW_PLUGIN),
    ("call", &BELOW_CALL),
    ("endpoint", &BELOW_ENDPOINT),
    ("plugins", &BELOW_TOP),
    ("service", &BELOW_TOP),
    ("wire", &BELOW_TOP),
];

const BELOW_TRANSPORT: [&str; 5] = ["base", "syntax", "sdp", "auth", "body"];
const BELOW_DECISION: [&str; 8] =
    ["base", "syntax", "sdp", "auth", "body", "transport", "transaction", "dialog"];
const BELOW_PLUGIN: [&str; 9] = with(BELOW_DECISION, "decision");
const BELOW_CALL: [&str; 10] = with(BELOW_PLUGIN, "plugin");
const BELOW_ENDPOINT: [&str; 11] = with(BELOW_CALL, "call");
const BELOW_TOP: [&str; 12] = with(BELOW_ENDPOINT, "endpoint");

const fn with<const N: usize, const M: usize>(
    below: [&'static str; N],
    next: &'static str,
) -> [&'static str; M] {
    assert!(M == N + 1);
    let mut all = [next; M];
    let mut at = 0;
    while at < N {
        all[at] = below[at];
        at += 1;
    }
    all
}

#[test]
fn imports_of_the_core_point_down() {
    let files = tree::files(&tree::root()).expect("the repository can be read");
    let wrong = wrong_imports(&files);
    assert!(wrong.is_empty(), "imports that do not point down:\n{}", wrong.join("\n"));
}

/// The picture in ARCHITECTURE.md shows the modules of the core and no others, each above all that it may import.
#[test]
fn the_picture_is_that_of_the_code() {
    let files = tree::files(&tree::root()).expect("the repository can be read");
    let page = files.iter().find(|file| file.path == "ARCHITECTURE.md").expect("it is at the root");
    let modules: BTreeSet<_> =
        files.iter().filter_map(|file| module_path(&file.path)?.first().copied()).collect();
    assert_eq!(wrong_picture(&page.text, &modules), [""; 0]);
    let free: Vec<_> =
        MAY_IMPORT.iter().map(|(name, _)| *name).filter(|name| !modules.contains(name)).collect();
    assert_eq!(free, ["plugin", "plugins"], "the places that are free, and the page says so");
}

/// Returns what is wrong with a picture of these modules.
fn wrong_picture(page: &str, modules: &BTreeSet<&str>) -> Vec<String> {
    let picture = page.split("```").nth(1).unwrap_or_default();
    // What the names of a row are for stands behind them with a gap; the core lies between the service and the seam.
    let core = picture.lines().skip_while(|line| !line.contains("───")).skip(1);
    let rows: Vec<Vec<&str>> = core
        .take_while(|line| !line.contains("───"))
        .map(|line| line.trim().split("    ").next().unwrap_or_default().split_whitespace().collect())
        .collect();
    let row_of = |name: &str| rows.iter().position(|row| row.contains(&name));
    let mut wrong = Vec::new();
    for name in rows.iter().flatten().filter(|name| !modules.contains(*name)) {
        wrong.push(format!("{name} is in the picture only"));
    }
    for name in modules {
        let Some(row) = row_of(name) else {
            wrong.push(format!("{name} is in the code only"));
            continue;
        };
        let may = MAY_IMPORT.iter().find(|(module, _)| module == name).map_or(&[][..], |(_, may)| may);
        // What `sdp` and its neighbours may use stands beside them.
        let above = |other: &&&str| {
            row_of(other).is_some_and(|other| other < row || other == row && row_of("syntax") != Some(row))
        };
        wrong.extend(may.iter().filter(above).map(|other| format!("{name} is not above {other}")));
    }
    wrong
}

/// Returns one line for each import of the core that its layer forbids.
fn wrong_imports(files: &[File]) -> Vec<String> {
    let core: Vec<_> = files.iter().filter_map(|file| Some((module_path(&file.path)?, file))).collect();
    let root = core.iter().find(|(path, _)| path.is_empty()).map(|(_, file)| reexports(&file.text));
    let root = root.unwrap_or_default();
    let mut wrong = Vec::new();
    for (path, file) in core {
        let Some(from) = path.first() else { continue };
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(module, _)| module == from) else {
            wrong.push(format!("{}: module {from} has no place in the layers", file.path));
            continue;
        };
        for import in imports(&file.text, path.len()) {
            let to = root.get(&import.name).unwrap_or(&import.name);
            if to != from && !allowed.contains(&to.as_str()) {
                wrong.push(format!("{}:{}: {from} imports {}", file.path, import.line, import.name));
            }
        }
    }
    wrong
}

/// Returns the module path of a file of the core: empty for `lib.rs`, `["a", "b"]` for `a/b.rs` and `a/b/mod.rs`.
fn module_path(path: &str) -> Option<Vec<&str>> {
    let below = path.strip_prefix("core/src/")?.strip_suffix(".rs")?;
    let mut parts: Vec<_> = below.split('/').collect();
    if matches!(parts.last(), Some(&("mod" | "lib"))) {
        parts.pop();
    }
    Some(parts)
}

/// A path that begins at the crate's root: the first name of it.
#[derive(Debug, PartialEq, Eq)]
struct Import {
    name: String,
    line: usize,
}

/// Returns the paths into the crate of a file whose module is `depth` modules below the root, from `crate::` and from chains of
/// `super::` that end at the root; code in tests, macros and bodies is read like any other.
fn imports(text: &str, depth: usize) -> Vec<Import> {
    let source = Source::new(text);
    let tokens = &source.tokens;
    let mut found = Vec::new();
    let mut read = 0;
    for (at, token) in tokens.iter().enumerate() {
        if at < read || !matches!(token.text, "crate" | "super") {
            continue;
        }
        let Some(end) = root_end(tokens, at, depth + inline_modules(&source, at)) else { continue };
        let heads = heads(&source, end);
        found.extend(
            heads.iter().map(|head| Import { name: head.text.into(), line: source.line(head.start) }),
        );
        read = end;
    }
    found
}

/// Returns how many `mod name { … }` token `at` is in.
fn inline_modules(source: &Source<'_>, at: usize) -> usize {
    let opens = |index: &usize| {
        let [keyword, name, brace] = &source.tokens[*index..*index + 3] else { return false };
        keyword.text == "mod" && name.kind == Kind::Ident && brace.text == "{"
    };
    let holds = |index: &usize| source.close(index + 2).is_none_or(|close| close > at);
    (0..at.saturating_sub(2)).filter(opens).filter(holds).count()
}

/// Returns the token after the `::` that leaves the crate's root, if a path that reaches it begins at token `at`.
fn root_end(tokens: &[Token<'_>], at: usize, depth: usize) -> Option<usize> {
    let is = |index: usize, text: &str| tokens.get(index).is_some_and(|token| token.text == text);
    let step = |index: usize, word: &str| is(index, word) && is(index + 1, ":") && is(index + 2, ":");
    if step(at, "crate") {
        return Some(at + 3);
    }
    let mut end = at;
    while step(end, "super") {
        end += 3;
    }
    (depth > 0 && end == at + 3 * depth).then_some(end)
}

/// Returns the first names of what stands at token `at`: one, or all of a group in braces.
fn heads<'s>(source: &Source<'s>, at: usize) -> Vec<Token<'s>> {
    let tokens = &source.tokens;
    let Some(first) = tokens.get(at) else { return Vec::new() };
    let Some(close) = source.close(at).filter(|_| first.text == "{") else { return vec![*first] };
    let mut found = Vec::new();
    let mut begins = true;
    let mut index = at + 1;
    while index < close {
        match tokens[index].text {
            "," => begins = true,
            "{" => index = source.close(index).unwrap_or(close),
            _ if begins => {
                found.push(tokens[index]);
                begins = false;
            }
            _ => {}
        }
        index += 1;
    }
    found
}

/// Returns the module from which `lib.rs` takes each name that it offers at the root.
fn reexports(text: &str) -> BTreeMap<String, String> {
    let source = Source::new(text);
    let tokens = &source.tokens;
    let mut found = BTreeMap::new();
    for at in 0..tokens.len() {
        if at == 0 || tokens[at - 1].text != "use" {
            continue;
        }
        let end = root_end(tokens, at, 0).unwrap_or(at);
        for head in heads(&source, end) {
            let rest = tokens.iter().skip_while(|token| token.start <= head.start);
            let mut depth = 0_usize;
            for token in rest {
                match token.text {
                    "{" => depth += 1,
                    "}" if depth == 0 => break,
                    "}" => depth -= 1,
                    "," | ";" if depth == 0 => break,
                    name if token.kind == Kind::Ident => {
                        drop(found.insert(name.to_owned(), head.text.to_owned()))
                    }
                    _ => {}
                }
            }
        }
    }
    found
}

mod made_up {
    use super::*;

    const ROOT: &str = "pub use crate::{base::{Instant, Seed}, call::Call};\npub mod base;";

    fn wrong(path: &str, text: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: format!("core/src/{path}"), text: text.into() };
        wrong_imports(&[file("lib.rs", ROOT), file(path, text)])
    }

    #[test]
    fn an_upward_import_is_caught() {
        let upward = "use crate::base::X;\nuse crate::call::Call;";
        assert_eq!(wrong("dialog/mod.rs", upward), ["core/src/dialog/mod.rs:2: dialog imports call"]);
        assert_eq!(wrong("endpoint/mod.rs", upward), [""; 0]);
    }

    #[test]
    fn an_upward_import_is_caught_in_every_form() {
        for text in [
            "use crate::{base::X, service::{Y, Z}};",
            "use crate::{base::{self, A}, service};",
            "fn f() -> crate::service::S { }",
            "macro_rules! m { () => { $crate::service::f() } }",
            "use super::super::service::X;",
            "use super::super::{base::B, service::X};",
            "#[cfg(test)] mod tests { use super::super::super::service::X; }",
            "#[cfg(test)] mod tests { use crate::service::X; }",
            "pub(crate) use crate::service as other;",
        ] {
            assert_eq!(
                wrong("call/uas.rs", text),
                ["core/src/call/uas.rs:1: call imports service"],
                "{text}"
            );
        }
    }

    #[test]
    fn siblings_do_not_import_one_another() {
        for (path, to) in [("transport", "dialog"), ("transaction", "transport"), ("dialog", "transaction")] {
            let wrong = wrong(&format!("{path}/mod.rs"), &format!("use crate::{to}::X;"));
            assert_eq!(wrong, [format!("core/src/{path}/mod.rs:1: {path} imports {to}")]);
        }
        assert_eq!(wrong("plugins/x.rs", "use crate::service::X;").len(), 1);
        assert_eq!(wrong("sdp/mod.rs", "use crate::auth::X;").len(), 1);
    }

    #[test]
    fn what_the_root_offers_counts_as_its_module() {
        assert_eq!(wrong("syntax/x.rs", "use crate::Instant;"), [""; 0]);
        assert_eq!(wrong("syntax/x.rs", "use crate::Call;"), ["core/src/syntax/x.rs:1: syntax imports Call"]);
    }

    #[test]
    fn a_glob_of_the_root_and_an_unknown_module_are_caught() {
        assert_eq!(wrong("base/x.rs", "use crate::*;").len(), 1);
        assert_eq!(wrong("misplaced/x.rs", "").len(), 1);
    }

    #[test]
    fn a_picture_that_is_not_true_is_caught() {
        let page = "# A\n```\n your service\n ─────\n  call                                 meets all\n  \
            dialog   transaction                 not base\n  syntax   sdp\n  base\n ─────\n  drivers\n```\n";
        let wrong = |page: &str, modules: &[&str]| wrong_picture(page, &modules.iter().copied().collect());
        let all = ["base", "syntax", "sdp", "dialog", "transaction", "call"];
        assert_eq!(wrong(page, &all), [""; 0]);
        assert_eq!(wrong(page, &all[1..]), ["base is in the picture only"]);
        assert_eq!(wrong(page, &[&all[..], &["body"]].concat()), ["body is in the code only"]);
        let upside_down = page.replace("  base\n", "").replace("  call ", "  base\n  call ");
        assert_eq!(wrong(&upside_down, &all).len(), 5, "nothing may stand below what it imports");
        let level = page.replace("  call    ", "  call dialog").replace("  dialog ", "  ");
        assert_eq!(wrong(&level, &all), ["call is not above dialog"]);
    }

    #[test]
    fn text_that_is_no_path_is_not_read() {
        let text = "//! [x](crate::call::Call)\npub(crate) fn f() { \"crate::call\"; super::g(); }";
        assert_eq!(wrong("base/x.rs", text), [""; 0]);
    }
}
