//! Inputs of the past and from messages of others go through every target.
//!
//! `corpora/TARGET.tar.gz` are those of the repository. The messages below `$SANSIP_CORPUS`, or beside the repository, are
//! read in place, and inputs for all targets are made from them.

use std::{
    collections::BTreeMap,
    env,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use sansip_fuzz::{COUNT, TARGETS, family, files, inputs_of};

/// Unpacks the archive of a target in memory: names and inputs.
fn archive(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora").join(format!("{target}.tar.gz"));
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    let mut inputs = Vec::new();
    for entry in archive.entries().expect("an archive") {
        let mut entry = entry.expect("an archive that is whole");
        if entry.header().entry_type().is_file() {
            let (name, mut input) = (entry.path().expect("a name").into_owned(), Vec::new());
            entry.read_to_end(&mut input).expect("an archive that is whole");
            inputs.push((name, input));
        }
    }
    inputs
}

#[test]
fn what_was_found_passes() {
    for (name, target) in TARGETS {
        let inputs = archive(name);
        println!("{name}: {} inputs", inputs.len());
        assert!(inputs.len() > 10, "{name} has no corpus");
        for (path, input) in inputs {
            println!("{name}/{}", path.display());
            target(&input);
        }
    }
}

/// Every header field that has a type is reached by the inputs in the repository.
#[test]
fn every_header_field_has_inputs() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, input) in archive("header") {
        if let Some((&first, _)) = input.split_first() {
            *counts.entry(family(first).0.as_str()).or_default() += 1;
        }
    }
    assert_eq!(counts.len(), COUNT, "{counts:?}");
}

#[test]
fn messages_of_others_pass() {
    let root = env::var_os("SANSIP_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/torture"), PathBuf::from);
    if !root.exists() {
        println!("skipped: no corpus at {}", root.display());
        return;
    }
    let targets = BTreeMap::from(TARGETS);
    let mut counts = BTreeMap::<_, usize>::new();
    for file in files([root].into_iter()).expect("folders can be listed") {
        println!("{}", file.display());
        for (target, input) in inputs_of(&std::fs::read(file).expect("a file can be read")) {
            targets[target](&input);
            *counts.entry(target).or_default() += 1;
        }
    }
    println!("{counts:?}");
    assert_eq!(counts.len(), TARGETS.len());
}
