//! What a SIM brings into a digest: the parts of an AKA nonce, and the password of AKAv2 (RFC 3310, RFC 4169).
//!
//! With AKAv1 the password is the RES as it is ([`Secret::Password`](super::Secret::Password) takes bytes); with a
//! demand for another sequence number ([`CredentialsBuf::auts`](super::CredentialsBuf::auts)) it is empty, in both.

use std::borrow::Cow;

use md5::{Digest, Md5};
use thiserror::Error;

/// The parts of the nonce of an AKA challenge (RFC 3310 §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AkaNonce {
    /// The random challenge to the SIM.
    pub rand: [u8; 16],
    /// The token by which the network shows that it knows the SIM's key.
    pub autn: [u8; 16],
    /// What the server adds for itself.
    pub server_data: Vec<u8>,
}

/// Why a nonce is none of AKA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadAkaNonce {
    /// It is no Base64.
    #[error("not Base64")]
    Base64,
    /// RAND and AUTN are 32 bytes together.
    #[error("shorter than the 32 bytes of RAND and AUTN")]
    TooShort,
}

impl AkaNonce {
    /// Reads the nonce parameter, without its quotes.
    pub fn parse(nonce: &str) -> Result<Self, BadAkaNonce> {
        let bytes = from_base64(nonce).ok_or(BadAkaNonce::Base64)?;
        let (rand, rest) = bytes.split_first_chunk().ok_or(BadAkaNonce::TooShort)?;
        let (autn, server_data) = rest.split_first_chunk().ok_or(BadAkaNonce::TooShort)?;
        Ok(Self { rand: *rand, autn: *autn, server_data: server_data.to_vec() })
    }

    /// Returns the nonce parameter of a challenge.
    pub fn to_nonce(&self) -> String {
        to_base64(&[&self.rand[..], &self.autn, &self.server_data].concat())
    }
}

/// Returns the password of `AKAv2-MD5` (RFC 4169 §3): from what the SIM answers, its RES, IK and CK.
pub fn aka_v2_password(res: &[u8], ik: &[u8; 16], ck: &[u8; 16]) -> String {
    to_base64(&hmac_md5(&[res, ik, ck].concat(), b"http-digest-akav2-password"))
}

/// RFC 2104 §2.
fn hmac_md5(key: &[u8], text: &[u8]) -> [u8; 16] {
    const BLOCK: usize = 64;
    let key = if key.len() > BLOCK { Cow::Owned(Md5::digest(key).to_vec()) } else { Cow::Borrowed(key) };
    let pad = |with: u8| {
        let mut block = [with; BLOCK];
        block.iter_mut().zip(key.iter()).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Md5::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Md5::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648 §4.
fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) as usize & 63;
            text.push(if digit > group.len() { '=' } else { char::from(ALPHABET[value]) });
        }
    }
    text
}

/// Reads Base64 with its padding, or, as some send it, without.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    if digits.len() % 4 == 1 || padding > 0 && (padding > 2 || !text.len().is_multiple_of(4)) {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.as_bytes().chunks(4) {
        let mut bits = 0u32;
        for at in 0..4 {
            let value = match group.get(at) {
                Some(digit) => ALPHABET.iter().position(|known| known == digit)?,
                None => 0,
            };
            bits = bits << 6 | u32::try_from(value).ok()?;
        }
        let [_, all @ ..] = bits.to_be_bytes();
        bytes.extend_from_slice(all.get(..group.len() - 1)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 2202 §2: the vectors of HMAC-MD5, keys shorter and longer than a block.
    #[test]
    fn hmac_is_that_of_the_rfc() {
        assert_eq!(hex(&hmac_md5(&[0x0b; 16], b"Hi There")), "9294727a3638bb1c13f48ef8158bfc9d");
        let jefe = hmac_md5(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(&jefe), "750c783e6ab0b503eaa86e310a5db738");
        assert_eq!(hex(&hmac_md5(&[0xaa; 16], &[0xdd; 50])), "56be34521d144c88dbb8c733f0e8b3f6");
        let long = hmac_md5(&[0xaa; 80], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(hex(&long), "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd");
    }

    /// RFC 4648 §10.
    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(to_base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes.as_bytes()));
            assert_eq!(from_base64(text.trim_end_matches('=')).as_deref(), Some(bytes.as_bytes()));
        }
        for bad in ["Z", "Zg=", "Zg===", "Z===", "=", "Zm9v=", "Zm 9v", "Zm9v\n", "Zm9-", "Zg=g"] {
            assert_eq!(from_base64(bad), None, "{bad}");
        }
    }

    /// RFC 3310 §3.2: RAND, AUTN, and what follows.
    #[test]
    fn nonces_have_parts() {
        let nonce = AkaNonce { rand: [7; 16], autn: [9; 16], server_data: b"x".to_vec() };
        assert_eq!(AkaNonce::parse(&nonce.to_nonce()), Ok(nonce));
        assert_eq!(AkaNonce::parse(&to_base64(&[0; 31])), Err(BadAkaNonce::TooShort));
        assert_eq!(AkaNonce::parse(&to_base64(&[0; 32])).map(|nonce| nonce.server_data), Ok(Vec::new()));
        assert_eq!(
            AkaNonce::parse("7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v!"),
            Err(BadAkaNonce::Base64)
        );
    }

    /// RFC 4169 §3: Base64 of the HMAC under RES, IK and CK in this order.
    #[test]
    fn the_password_of_the_second_version() {
        let (ik, ck) = ([2; 16], [3; 16]);
        let key = [&[1; 8][..], &[2; 16], &[3; 16]].concat();
        let password = aka_v2_password(&[1; 8], &ik, &ck);
        assert_eq!(
            from_base64(&password).as_deref(),
            Some(&hmac_md5(&key, b"http-digest-akav2-password")[..])
        );
        assert_eq!(password.len(), 24);
        assert_ne!(password, aka_v2_password(&[1; 8], &ck, &ik));
    }
}
