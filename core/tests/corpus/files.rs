//! Where the files are.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
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

pub(crate) fn torture(name: &str) -> Option<Vec<u8>> {
    let path = corpus("rfc4475")?.join(format!("{name}.dat"));
    Some(fs::read(path).expect("the set is whole"))
}

/// Says how many files of a part were looked at, past the test's captured output.
pub(crate) fn ran(part: &str, count: &str) {
    let _unheard = writeln!(std::io::stderr(), "corpus {part}: {count}");
}
