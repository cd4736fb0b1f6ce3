use std::fmt;

use super::digest::HexDigest;

/// The algorithm parameter of a challenge (RFC 8760 §2.7, RFC 3310 §3.1, RFC 4169 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `MD5`, which a challenge without the parameter means.
    Md5,
    /// `MD5-sess`
    Md5Sess,
    /// `SHA-256`
    Sha256,
    /// `SHA-256-sess`
    Sha256Sess,
    /// `SHA-512-256`: SHA-512/256, which is not SHA-512 cut short.
    Sha512_256,
    /// `SHA-512-256-sess`
    Sha512_256Sess,
    /// `AKAv1-MD5`: the password is the RES of the SIM's answer, as bytes.
    AkaV1Md5,
    /// `AKAv2-MD5`: the password is what [`aka_v2_password`](super::aka_v2_password) derives from RES, IK and CK.
    AkaV2Md5,
}

/// A hash function, whatever it is used with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// MD5 (RFC 1321): 32 hexadecimal digits.
    Md5,
    /// SHA-256 (FIPS 180-4): 64 hexadecimal digits.
    Sha256,
    /// SHA-512/256 (FIPS 180-4 §6.7): 64 hexadecimal digits.
    Sha512_256,
}

/// A quality of protection (RFC 7616 §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Qop {
    /// `auth`: method and URI are protected.
    Auth,
    /// `auth-int`: the body is, too.
    AuthInt,
}

/// The known qualities of protection in a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QopOffer {
    /// `auth` alone.
    Auth,
    /// `auth-int` alone.
    AuthInt,
    /// Both.
    Both,
}

impl Algorithm {
    /// All algorithms.
    pub const ALL: [Self; 8] = [
        Self::Md5,
        Self::Md5Sess,
        Self::Sha256,
        Self::Sha256Sess,
        Self::Sha512_256,
        Self::Sha512_256Sess,
        Self::AkaV1Md5,
        Self::AkaV2Md5,
    ];

    /// Resolves a token in any case.
    pub fn of(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(token))
    }

    /// Returns the token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::Sha512_256 => "SHA-512-256",
            Self::Sha512_256Sess => "SHA-512-256-sess",
            Self::AkaV1Md5 => "AKAv1-MD5",
            Self::AkaV2Md5 => "AKAv2-MD5",
        }
    }

    /// Returns the hash function.
    pub fn hash(self) -> Hash {
        match self {
            Self::Md5 | Self::Md5Sess | Self::AkaV1Md5 | Self::AkaV2Md5 => Hash::Md5,
            Self::Sha256 | Self::Sha256Sess => Hash::Sha256,
            Self::Sha512_256 | Self::Sha512_256Sess => Hash::Sha512_256,
        }
    }

    /// Tells whether the key is that of a session (RFC 7616 §3.4.2).
    pub fn is_session(self) -> bool {
        matches!(self, Self::Md5Sess | Self::Sha256Sess | Self::Sha512_256Sess)
    }

    /// Tells whether a SIM answers in place of a password.
    pub fn is_aka(self) -> bool {
        matches!(self, Self::AkaV1Md5 | Self::AkaV2Md5)
    }
}

impl Hash {
    /// Returns the number of hexadecimal digits.
    pub fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 | Self::Sha512_256 => 64,
        }
    }

    /// Returns the hash of bytes, in hexadecimal digits.
    pub fn of(self, bytes: &[u8]) -> HexDigest {
        HexDigest::of(self, &[bytes])
    }
}

impl Qop {
    /// Resolves a token in any case.
    pub fn of(token: &str) -> Option<Self> {
        [Self::Auth, Self::AuthInt].into_iter().find(|qop| qop.as_str().eq_ignore_ascii_case(token))
    }

    /// Returns the token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

impl QopOffer {
    /// Reads the options between commas; those that are not known do not count.
    pub(crate) fn of(options: &str) -> Option<Self> {
        let has = |qop| options.split(',').any(|option| Qop::of(option.trim()) == Some(qop));
        match (has(Qop::Auth), has(Qop::AuthInt)) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Auth),
            (false, true) => Some(Self::AuthInt),
            (false, false) => None,
        }
    }

    /// Returns the options with a comma between them.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
            Self::Both => "auth,auth-int",
        }
    }

    /// Tells whether one is offered.
    pub fn has(self, qop: Qop) -> bool {
        match self {
            Self::Both => true,
            Self::Auth => qop == Qop::Auth,
            Self::AuthInt => qop == Qop::AuthInt,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Qop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AU-02, RFC 8760 §2.7: the tokens, in any case.
    #[test]
    fn tokens_resolve_in_any_case() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::of(algorithm.as_str()), Some(algorithm));
            assert_eq!(Algorithm::of(&algorithm.as_str().to_lowercase()), Some(algorithm));
            assert_eq!(algorithm.is_session(), algorithm.as_str().ends_with("-sess"));
            assert_eq!(algorithm.is_aka(), algorithm.as_str().starts_with("AKA"));
            assert_eq!(algorithm.hash().of(b"").as_str().len(), algorithm.hash().digits());
        }
        for other in ["", "SHA-512/256", "SHA-512", "MD5-", "md5-sess "] {
            assert_eq!(Algorithm::of(other), None, "{other}");
        }
    }

    /// RFC 7616 §3.3: options that are not recognized are ignored.
    #[test]
    fn unknown_qualities_do_not_count() {
        assert_eq!(QopOffer::of("auth"), Some(QopOffer::Auth));
        assert_eq!(QopOffer::of(" AUTH-INT , x"), Some(QopOffer::AuthInt));
        assert_eq!(QopOffer::of("auth-int,auth"), Some(QopOffer::Both));
        assert_eq!(QopOffer::of("auth-conf"), None);
        assert_eq!(QopOffer::of(""), None);
        assert!(QopOffer::Both.has(Qop::AuthInt) && !QopOffer::Auth.has(Qop::AuthInt));
    }
}
