//! The generated pages are those of this source.

use xtask::{
    rfc, status,
    tree::{self, File},
};

fn files() -> Vec<File> {
    tree::files(&tree::root()).expect("the repository can be read")
}

fn kept<'f>(files: &'f [File], path: &str) -> &'f str {
    files.iter().find(|file| file.path == path).map_or("", |file| &file.text)
}

#[test]
fn the_status_page_is_current() {
    let files = files();
    assert!(kept(&files, status::PATH) == status::render(&files), "run: cargo run -p xtask -- status");
}

#[test]
fn the_rfc_page_is_current() {
    let files = files();
    assert!(kept(&files, rfc::PATH) == rfc::render(&files), "run: cargo run -p xtask -- rfc");
}

#[test]
fn tests_cite_ids_that_exist() {
    assert_eq!(status::unknown(&files()), [], "ids cited by tests without a row in xtask/rows.tsv");
}
