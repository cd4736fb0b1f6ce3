//! Every file of the corpora goes through its target: `corpora/` here, and `$SANSIP_FUZZ_CORPUS/TARGET` where that is set.

use std::{env, fs, path::Path};

use sansip_fuzz::TARGETS;

#[test]
fn every_file_passes() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora");
    let roots = [Some(own), env::var_os("SANSIP_FUZZ_CORPUS").map(Into::into)];
    for (name, target) in TARGETS {
        let mut count = 0;
        for root in roots.iter().flatten() {
            let Ok(folder) = fs::read_dir(root.join(name)) else { continue };
            for entry in folder {
                let path = entry.expect("a folder can be listed").path();
                println!("{}", path.display());
                target(&fs::read(&path).expect("a file can be read"));
                count += 1;
            }
        }
        assert!(count > 0, "{name} has no corpus");
    }
}
