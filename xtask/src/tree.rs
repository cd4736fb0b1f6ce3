//! The files of the repository.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The kinds of file that are read as text, by the end of their name.
const KINDS: [&str; 6] = [".rs", ".md", ".toml", ".tsv", ".sh", "/run"];

/// A text file of the repository.
#[derive(Clone, Debug)]
pub struct File {
    /// The path below the root, with `/` between its parts.
    pub path: String,
    /// All of it.
    pub text: String,
}

impl File {
    /// Tells whether the file is Rust source.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Tells whether all of the file is test code, by where it stands.
    pub fn is_test(&self) -> bool {
        self.path.split('/').any(|part| matches!(part, "tests" | "tests.rs"))
    }
}

/// Returns the root of the repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Returns the text files below `root` in the order of their paths; build output and hidden folders but `.ci` are left out.
///
/// # Errors
///
/// The first file or folder that cannot be read.
pub fn files(root: &Path) -> io::Result<Vec<File>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if name == ".ci" || !(name.starts_with('.') || name == "target") {
                    folders.push(path);
                }
                continue;
            }
            let below = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            if KINDS.iter().any(|kind| below.ends_with(kind)) {
                found.push(File { path: below, text: fs::read_to_string(&path)? });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_found_in_order_without_build_output() {
        let files = files(&root()).expect("the repository can be read");
        assert!(files.iter().any(|file| file.path == "xtask/src/tree.rs"));
        assert!(files.windows(2).all(|pair| pair[0].path < pair[1].path));
        assert!(!files.iter().any(|file| file.path.starts_with("target/")));
    }
}
