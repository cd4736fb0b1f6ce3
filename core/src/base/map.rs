use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

/// The key of every hash over text that peers choose.
///
/// Drawn from the seed: an attacker cannot aim for collisions, and a replay hashes alike.
#[derive(Clone, Copy)]
pub(crate) struct HashKey(SipHasher13);

impl HashKey {
    pub(crate) fn new(k0: u64, k1: u64) -> Self {
        Self(SipHasher13::new_with_keys(k0, k1))
    }

    pub(crate) fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.0;
        hasher.write(bytes);
        hasher.finish()
    }

    /// Hashes several parts; their borders count.
    pub(crate) fn hash_parts(&self, parts: &[&[u8]]) -> u64 {
        let mut hasher = self.0;
        // A few long writes cost much less than many short ones, each of which the next has to be shifted to fit.
        let mut joined = [0; 256];
        let mut used = 0;
        for part in parts {
            if part.len() >= joined.len() - used {
                hasher.write(&joined[..used]);
                hasher.write(part);
                used = 0;
            } else {
                joined[used..used + part.len()].copy_from_slice(part);
                used += part.len();
            }
            joined[used] = 0xff;
            used += 1;
        }
        hasher.write(&joined[..used]);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_count() {
        let key = HashKey::new(1, 2);
        assert_ne!(key.hash_parts(&[b"ab", b"c"]), key.hash_parts(&[b"a", b"bc"]));
        for size in [0, 1, 254, 255, 256, 257, 1000] {
            let long = vec![b'a'; size];
            let joined = [&long[..], b"\xff", b"b", b"\xff", &long, b"\xff"].concat();
            assert_eq!(key.hash_parts(&[&long, b"b", &long]), key.hash(&joined), "{size} bytes");
        }
        assert_eq!(key.hash(b"x"), HashKey::new(1, 2).hash(b"x"));
        assert_ne!(key.hash(b"x"), HashKey::new(3, 2).hash(b"x"));
    }
}
