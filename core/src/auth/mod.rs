//! Digest authentication as data: challenges, credentials, confirmations, and the digests in them (RFC 7616, RFC 8760).
//!
//! Reading borrows and copies nothing; a value is only copied to take escapes or folds out of it. Writing goes through
//! builders that quote what must be quoted, so no value of theirs can break out of its header field. Schemes other than
//! Digest are kept as they are: Basic is neither asked for nor answered (RFC 8760 §2.6).

mod aka;
mod algorithm;
mod authentication_info;
mod challenge;
mod credentials;
pub mod digest;
mod params;
mod username;
mod write;

pub use aka::{AkaNonce, BadAkaNonce, aka_v2_password};
pub use algorithm::{Algorithm, Hash, Qop, QopOffer};
pub use authentication_info::{AuthenticationInfo, AuthenticationInfoBuf};
pub use challenge::{
    AnswerError, Attempt, Challenge, ChallengeBuf, DigestChallenge, Secret, challenges, pick,
};
pub use credentials::{Credentials, CredentialsBuf, DigestCredentials, credentials};
pub use digest::{Ha1, HexDigest};
pub use params::{AuthError, OtherScheme, Param};
