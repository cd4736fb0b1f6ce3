//! What a WebAssembly module wants of its surroundings.

/// Returns how many functions, memories and the like a module imports. A core that asks nobody imports nothing.
///
/// # Errors
///
/// If `module` is no binary WebAssembly module of version 1.
pub fn imports(module: &[u8]) -> Result<u32, &'static str> {
    let mut rest = module.strip_prefix(b"\0asm\x01\0\0\0").ok_or("this is no WebAssembly module")?;
    while let Some((kind, after)) = rest.split_first() {
        let (len, after) = number(after).ok_or(BROKEN)?;
        let (section, after) = after.split_at_checked(len as usize).ok_or(BROKEN)?;
        if *kind == IMPORTS {
            return number(section).map(|(count, _)| count).ok_or(BROKEN);
        }
        rest = after;
    }
    Ok(0)
}

const BROKEN: &str = "the module breaks off";

/// The id of the import section.
const IMPORTS: u8 = 2;

/// Reads an unsigned LEB128 number of at most 32 bits.
fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn imports_are_counted_behind_other_sections() {
        let long = [&[0, 0x80, 1][..], &[7; 128]].concat();
        assert_eq!(imports(HEAD), Ok(0));
        assert_eq!(imports(&[HEAD, &long].concat()), Ok(0));
        assert_eq!(imports(&[HEAD, &long, &[2, 3, 2, 0, 0]].concat()), Ok(2));
    }

    #[test]
    fn what_is_no_module_is_an_error() {
        for bad in
            [&b"\0asm"[..], b"", b"\0asm\x01\0\0\0\x02\x05\x01", b"\0asm\x01\0\0\0\x02\xff\xff\xff\xff\xff"]
        {
            assert!(imports(bad).is_err(), "{bad:?}");
        }
    }
}
