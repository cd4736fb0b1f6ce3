use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use crate::skipped;

/// Returns the messages of RFC 4475 with their file names, in order, or records that `test` is skipped without them.
///
/// They are looked for in `rfc4475/` below `$SANSIP_CORPUS`, or below `../shared/torture` beside the repository.
pub fn rfc4475(test: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let folder = corpus().join("rfc4475");
    match read(&folder) {
        Ok(messages) if !messages.is_empty() => Some(messages),
        Ok(_) => absent(test, &folder, "it holds no .dat file"),
        Err(error) => absent(test, &folder, &error.to_string()),
    }
}

fn corpus() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/torture");
    env::var_os("SANSIP_CORPUS").map_or_else(beside, PathBuf::from)
}

fn absent<T>(test: &str, folder: &Path, why: &str) -> Option<T> {
    skipped(test, &format!("no torture messages in {}: {why}", folder.display()));
    None
}

fn read(folder: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "dat") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            found.push((name, fs::read(&path)?));
        }
    }
    found.sort();
    Ok(found)
}
