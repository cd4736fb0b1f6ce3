//! The digests of RFC 7616 §3.4 and §3.5, and the older one of RFC 2617 §3.2.2.1.

use std::fmt;

use md5::{Digest, Md5};
use sha2::{Sha256, Sha512_256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::{Algorithm, Hash, Qop};

/// A digest in lowercase hexadecimal digits (RFC 8760 §2.2): 32 of MD5, 64 of the others.
///
/// Comparisons take the same time wherever the difference is.
#[derive(Clone, Copy)]
pub struct HexDigest {
    digits: [u8; MAX_DIGITS],
    length: usize,
}

/// The hash of user name, realm and password: all that a server needs to keep, and worth as much as the password.
///
/// Its `Debug` form does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ha1 {
    hash: Hash,
    digest: HexDigest,
}

/// What a digest is made of beside the key.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The algorithm, whose hash function must be that of the key.
    pub algorithm: Algorithm,
    /// The server's nonce, without quotes and escapes.
    pub nonce: &'a str,
    /// The method of the request; [`rspauth`] has no use for it.
    pub method: &'a str,
    /// The uri parameter, without quotes.
    pub uri: &'a str,
    /// The body of the request, or for [`rspauth`] that of the response; of use to `auth-int` alone.
    pub body: &'a [u8],
    /// The quality of protection; without it the formula is that of RFC 2617 §3.2.2.1.
    pub protection: Option<Protection<'a>>,
}

/// The parameters that come with a quality of protection.
#[derive(Clone, Copy, Debug)]
pub struct Protection<'a> {
    /// Which one.
    pub qop: Qop,
    /// The nonce count as it is written.
    pub nc: &'a str,
    /// The client's nonce.
    pub cnonce: &'a str,
    /// The client's nonce in the first request of the session, if it was another; of use to `-sess` alone.
    pub session_cnonce: Option<&'a str>,
}

/// Why no digest can be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DigestError {
    /// The key of a session needs the client's nonce, which comes with a quality of protection alone.
    #[error("the algorithm of a session needs a quality of protection")]
    SessionWithoutQop,
    /// The key was made with another hash function.
    #[error("the key was made with another hash function")]
    OtherHash,
}

/// A text that is not the hash of user name, realm and password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not as many hexadecimal digits as the hash function gives")]
pub struct BadHa1;

/// Returns the response parameter of credentials (RFC 7616 §3.4.1, RFC 2617 §3.2.2.1).
pub fn response(ha1: &Ha1, inputs: &Inputs<'_>) -> Result<HexDigest, DigestError> {
    compute(ha1, inputs.method, inputs)
}

/// Returns the rspauth parameter with which a server shows that it knows the password too (RFC 7616 §3.5).
pub fn rspauth(ha1: &Ha1, inputs: &Inputs<'_>) -> Result<HexDigest, DigestError> {
    compute(ha1, "", inputs)
}

/// Returns the user name as one who asked for `userhash` gets it (RFC 7616 §3.4.4).
pub fn username_hash(hash: Hash, username: &str, realm: &str) -> HexDigest {
    HexDigest::of(hash, &[username.as_bytes(), realm.as_bytes()])
}

fn compute(ha1: &Ha1, method: &str, inputs: &Inputs<'_>) -> Result<HexDigest, DigestError> {
    let hash = inputs.algorithm.hash();
    if hash != ha1.hash {
        return Err(DigestError::OtherHash);
    }
    let key = if inputs.algorithm.is_session() {
        let protection = inputs.protection.ok_or(DigestError::SessionWithoutQop)?;
        let cnonce = protection.session_cnonce.unwrap_or(protection.cnonce);
        HexDigest::of(hash, &[ha1.digest.as_bytes(), inputs.nonce.as_bytes(), cnonce.as_bytes()])
    } else {
        ha1.digest
    };
    let (method, uri) = (method.as_bytes(), inputs.uri.as_bytes());
    let a2 = match inputs.protection {
        // RFC 8760 §2.6: without a body it is the hash of nothing.
        Some(Protection { qop: Qop::AuthInt, .. }) => {
            HexDigest::of(hash, &[method, uri, hash.of(inputs.body).as_bytes()])
        }
        _ => HexDigest::of(hash, &[method, uri]),
    };
    let nonce = inputs.nonce.as_bytes();
    Ok(match inputs.protection {
        None => HexDigest::of(hash, &[key.as_bytes(), nonce, a2.as_bytes()]),
        Some(Protection { qop, nc, cnonce, .. }) => {
            let qop = qop.as_str().as_bytes();
            let all = [key.as_bytes(), nonce, nc.as_bytes(), cnonce.as_bytes(), qop, a2.as_bytes()];
            HexDigest::of(hash, &all)
        }
    })
}

const MAX_DIGITS: usize = 64;

impl HexDigest {
    /// Hashes parts with a colon between them.
    pub(crate) fn of(hash: Hash, parts: &[&[u8]]) -> Self {
        match hash {
            Hash::Md5 => Self::from_bytes(&joined::<Md5>(parts)),
            Hash::Sha256 => Self::from_bytes(&joined::<Sha256>(parts)),
            Hash::Sha512_256 => Self::from_bytes(&joined::<Sha512_256>(parts)),
        }
    }

    /// Reads digits of either case; `None` if there are not as many as the hash function gives.
    pub fn parse(hash: Hash, text: &str) -> Option<Self> {
        let length = hash.digits();
        if text.len() != length || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut digits = [0; MAX_DIGITS];
        for (to, from) in digits.iter_mut().zip(text.bytes()) {
            *to = from.to_ascii_lowercase();
        }
        Some(Self { digits, length })
    }

    /// Takes at most 32 bytes.
    fn from_bytes(bytes: &[u8]) -> Self {
        let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' - 10 + value };
        let mut digits = [0; MAX_DIGITS];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        Self { digits, length: 2 * bytes.len() }
    }

    /// Returns the digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or("")
    }

    fn as_bytes(&self) -> &[u8] {
        self.digits.get(..self.length).unwrap_or(&[])
    }

    /// Tells whether a text has the same digits, in either case.
    pub fn matches(&self, text: &str) -> bool {
        let mut digits = [0; MAX_DIGITS];
        for (to, from) in digits.iter_mut().zip(text.bytes()) {
            *to = from.to_ascii_lowercase();
        }
        text.len() == self.length && bool::from(digits.ct_eq(&self.digits))
    }
}

fn joined<D: Digest>(parts: &[&[u8]]) -> impl AsRef<[u8]> + std::ops::Deref<Target = [u8]> + use<D> {
    let mut digest = D::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            digest.update(b":");
        }
        digest.update(part);
    }
    digest.finalize()
}

impl PartialEq for HexDigest {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length && bool::from(self.digits.ct_eq(&other.digits))
    }
}

impl Eq for HexDigest {}

impl fmt::Display for HexDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for HexDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Ha1 {
    /// Hashes a user name in the clear, the realm, and the password, which need not be text.
    pub fn new(hash: Hash, username: &str, realm: &str, password: impl AsRef<[u8]>) -> Self {
        let parts = [username.as_bytes(), realm.as_bytes(), password.as_ref()];
        Self { hash, digest: HexDigest::of(hash, &parts) }
    }

    /// Takes one that was stored, in hexadecimal digits of either case.
    pub fn from_hex(hash: Hash, text: &str) -> Result<Self, BadHa1> {
        HexDigest::parse(hash, text).map(|digest| Self { hash, digest }).ok_or(BadHa1)
    }

    /// Returns the hash function that it was made with.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Returns the digits, to store them in a safe place.
    pub fn as_str(&self) -> &str {
        self.digest.as_str()
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ha1({:?})", self.hash)
    }
}
