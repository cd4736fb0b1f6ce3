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
        for part in parts {
            hasher.write(part);
            hasher.write_u8(0xff);
        }
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
        assert_eq!(key.hash(b"x"), HashKey::new(1, 2).hash(b"x"));
        assert_ne!(key.hash(b"x"), HashKey::new(3, 2).hash(b"x"));
    }
}
