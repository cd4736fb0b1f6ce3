//! `seeds OUT FOLDER…`: makes inputs from the messages in some folders, and writes them to `OUT/TARGET`.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    path::Path,
};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [out, folders @ ..] = &arguments[..] else {
        return Err(io::Error::other("usage: seeds OUT FOLDER…"));
    };
    for file in sansip_fuzz::files(folders.iter().map(Into::into))? {
        for (target, input) in sansip_fuzz::inputs_of(&fs::read(file)?) {
            let folder = Path::new(out).join(target);
            fs::create_dir_all(&folder)?;
            let mut hasher = DefaultHasher::new();
            input.hash(&mut hasher);
            fs::write(folder.join(format!("{:016x}", hasher.finish())), input)?;
        }
    }
    Ok(())
}
