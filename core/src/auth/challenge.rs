use std::{borrow::Cow, fmt};

use thiserror::Error;

use super::{
    Algorithm, AuthError, CredentialsBuf, Ha1, OtherScheme, Param, Qop, QopOffer,
    digest::{self, DigestError, Inputs, Protection},
    params::{Params, split_scheme},
    write::Writer,
};
use crate::syntax::{BadHeaderValue, HeaderId, HeaderValue, View};

/// The value of a WWW-Authenticate or Proxy-Authenticate header field.
#[derive(Clone, Copy, Debug)]
pub enum Challenge<'a> {
    /// Of the Digest scheme.
    Digest(DigestChallenge<'a>),
    /// Of any other scheme.
    Other(OtherScheme<'a>),
}

/// A challenge of the Digest scheme (RFC 7616 §3.3).
#[derive(Clone, Copy)]
pub struct DigestChallenge<'a> {
    params: Params<'a>,
}

/// Builds a challenge of the Digest scheme. It offers `auth` unless told otherwise, for one must offer something
/// (RFC 8760 §2.6).
#[derive(Clone, Debug)]
#[must_use]
pub struct ChallengeBuf {
    realm: String,
    nonce: String,
    algorithm: Algorithm,
    qop: QopOffer,
    domain: Option<String>,
    opaque: Option<String>,
    stale: bool,
    userhash: bool,
    utf8: bool,
}

/// What a client answers a challenge with.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The user's name, in the clear.
    pub username: &'a str,
    /// What the user knows.
    pub secret: Secret<'a>,
    /// The method of the request.
    pub method: &'a str,
    /// The Request-URI of the request as the client sends it.
    pub uri: &'a str,
    /// The body of the request.
    pub body: &'a [u8],
    /// A nonce of the client's, a new one for each request.
    pub cnonce: &'a str,
    /// How many requests were sent with the nonce of the challenge, this one among them: 1 at first.
    pub nc: u32,
}

/// What a user knows.
#[derive(Clone, Copy)]
pub enum Secret<'a> {
    /// A password, which need not be text; with `auts` it is empty (RFC 3310 §3.4).
    Password(&'a [u8]),
    /// The hash of name, realm and password.
    Ha1(&'a Ha1),
}

/// Why a challenge was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// See [`DigestChallenge::is_supported`].
    #[error("the challenge asks for what is not supported")]
    Unsupported,
    /// No digest can be computed.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// Returns the challenges of a response in order; `id` is [`HeaderId::WwwAuthenticate`] or
/// [`HeaderId::ProxyAuthenticate`].
///
/// Each stands in a row of its own (RFC 3261 §7.3.1).
pub fn challenges<'a>(
    view: View<'a>,
    id: HeaderId,
) -> impl Iterator<Item = Result<Challenge<'a>, AuthError>> + use<'a> {
    view.headers(id).map(Challenge::parse)
}

/// Returns the challenges to answer: of each realm the topmost one that is supported (RFC 8760 §2.4).
///
/// `can` tells further what the caller is able or willing to do: whether he has a password for the realm, a SIM for an
/// [AKA](Algorithm::is_aka) algorithm, or no trust in MD5. Challenges of WWW-Authenticate and of Proxy-Authenticate
/// are picked from separately, for they are answered in different header fields.
pub fn pick<'a>(
    challenges: impl IntoIterator<Item = Challenge<'a>>,
    can: impl Fn(&DigestChallenge<'a>) -> bool,
) -> Vec<DigestChallenge<'a>> {
    let mut picked: Vec<DigestChallenge<'a>> = Vec::new();
    for challenge in challenges {
        let Challenge::Digest(challenge) = challenge else { continue };
        let taken = || picked.iter().any(|other| other.realm() == challenge.realm());
        if challenge.is_supported() && !taken() && can(&challenge) {
            picked.push(challenge);
        }
    }
    picked
}

impl<'a> Challenge<'a> {
    /// Reads the value of one header field.
    pub fn parse(value: &'a str) -> Result<Self, AuthError> {
        let (scheme, rest) = split_scheme(value)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Ok(Self::Other(OtherScheme { name: scheme, rest }));
        }
        DigestChallenge::new(Params::parse(rest)?).map(Self::Digest)
    }
}

impl<'a> DigestChallenge<'a> {
    fn new(params: Params<'a>) -> Result<Self, AuthError> {
        params.require(Param::Realm)?;
        params.require(Param::Nonce)?;
        Ok(Self { params })
    }

    /// Returns the realm, which alone tells one protection space from another (RFC 3261 §22.1).
    pub fn realm(&self) -> Cow<'a, str> {
        self.params.get(Param::Realm).unwrap_or_default()
    }

    /// Returns the nonce.
    pub fn nonce(&self) -> Cow<'a, str> {
        self.params.get(Param::Nonce).unwrap_or_default()
    }

    /// Returns the URIs of the domain parameter, with spaces between them.
    pub fn domain(&self) -> Option<Cow<'a, str>> {
        self.params.get(Param::Domain)
    }

    /// Returns what is to be sent back as it came.
    pub fn opaque(&self) -> Option<Cow<'a, str>> {
        self.params.get(Param::Opaque)
    }

    /// Tells whether only the nonce was too old: the same password can be tried again.
    pub fn is_stale(&self) -> bool {
        self.params.is_true(Param::Stale)
    }

    /// Returns the algorithm, MD5 if none is given; `None` if it is not known.
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm_text().map_or(Some(Algorithm::Md5), Algorithm::of)
    }

    /// Returns the algorithm as it is written.
    pub fn algorithm_text(&self) -> Option<&'a str> {
        self.params.bare(Param::Algorithm)
    }

    /// Returns the known qualities of protection, if there are any.
    pub fn qop(&self) -> Option<QopOffer> {
        QopOffer::of(self.params.bare(Param::Qop)?)
    }

    /// Tells whether any quality of protection is given, known or not. Servers before RFC 2617 give none.
    pub fn has_qop(&self) -> bool {
        self.params.bare(Param::Qop).is_some_and(|options| !options.trim().is_empty())
    }

    /// Tells whether the user's name is to be hashed.
    pub fn wants_userhash(&self) -> bool {
        self.params.is_true(Param::Userhash)
    }

    /// Tells whether names and passwords are meant to be UTF-8, the only charset that can be named.
    pub fn is_utf8(&self) -> bool {
        self.params.bare(Param::Charset).is_some_and(|charset| charset.eq_ignore_ascii_case("UTF-8"))
    }

    /// Tells whether it can be answered: algorithm and quality of protection are known, and `-sess` comes with the latter.
    pub fn is_supported(&self) -> bool {
        let Some(algorithm) = self.algorithm() else { return false };
        if self.has_qop() { self.qop().is_some() } else { !algorithm.is_session() }
    }

    /// Computes the credentials that answer it; with `auth` if that is offered, otherwise with `auth-int`.
    pub fn answer(&self, attempt: &Attempt<'_>) -> Result<CredentialsBuf, AnswerError> {
        let algorithm = self.algorithm().filter(|_| self.is_supported()).ok_or(AnswerError::Unsupported)?;
        let (realm, nonce, hash) = (self.realm(), self.nonce(), algorithm.hash());
        let ha1 = match attempt.secret {
            Secret::Password(password) => Ha1::new(hash, attempt.username, &realm, password),
            Secret::Ha1(ha1) => *ha1,
        };
        let nc = format!("{:08x}", attempt.nc);
        let qop = self.qop().map(|offer| if offer.has(Qop::Auth) { Qop::Auth } else { Qop::AuthInt });
        let protection =
            qop.map(|qop| Protection { qop, nc: &nc, cnonce: attempt.cnonce, session_cnonce: None });
        let (method, uri, body) = (attempt.method, attempt.uri, attempt.body);
        let response =
            digest::response(&ha1, &Inputs { algorithm, nonce: &nonce, method, uri, body, protection })?;
        let mut credentials = CredentialsBuf::new(&*realm, &*nonce, uri, Some(response));
        credentials = if self.wants_userhash() {
            credentials.username_hash(&digest::username_hash(hash, attempt.username, &realm))
        } else {
            credentials.username(attempt.username)
        };
        // RFC 7616 §3.4: algorithm and opaque are those of the challenge.
        if self.algorithm_text().is_some() {
            credentials = credentials.algorithm(algorithm);
        }
        if let Some(opaque) = self.opaque() {
            credentials = credentials.opaque(opaque);
        }
        if let Some(qop) = qop {
            credentials = credentials.protect(qop, attempt.nc, attempt.cnonce);
        }
        Ok(credentials)
    }
}

/// Shows the parameters as they are written.
impl fmt::Debug for DigestChallenge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DigestChallenge({:?})", self.params.as_str())
    }
}

impl ChallengeBuf {
    /// Begins a challenge.
    pub fn new(realm: impl Into<String>, nonce: impl Into<String>, algorithm: Algorithm) -> Self {
        Self {
            realm: realm.into(),
            nonce: nonce.into(),
            algorithm,
            qop: QopOffer::Auth,
            domain: None,
            opaque: None,
            stale: false,
            userhash: false,
            utf8: false,
        }
    }

    /// Sets the qualities of protection.
    pub fn qop(mut self, qop: QopOffer) -> Self {
        self.qop = qop;
        self
    }

    /// Sets the URIs of the protection space, with spaces between them.
    pub fn domain(mut self, uris: impl Into<String>) -> Self {
        self.domain = Some(uris.into());
        self
    }

    /// Sets what the client shall send back.
    pub fn opaque(mut self, opaque: impl Into<String>) -> Self {
        self.opaque = Some(opaque.into());
        self
    }

    /// Says that only the nonce was too old.
    pub fn stale(mut self) -> Self {
        self.stale = true;
        self
    }

    /// Asks for the user's name to be hashed.
    pub fn userhash(mut self) -> Self {
        self.userhash = true;
        self
    }

    /// Says that names and passwords are UTF-8.
    pub fn utf8(mut self) -> Self {
        self.utf8 = true;
        self
    }

    /// Writes the header field's value; fails if a text has control characters.
    pub fn build(&self) -> Result<HeaderValue, BadHeaderValue> {
        // RFC 7616 §3.3 tells what is quoted and what is not.
        let writer = Writer::new("Digest")
            .quoted(Param::Realm, &self.realm)
            .quoted_opt(Param::Domain, self.domain.as_deref())
            .quoted(Param::Nonce, &self.nonce)
            .quoted_opt(Param::Opaque, self.opaque.as_deref())
            .flag(Param::Stale, self.stale)
            .token(Param::Algorithm, self.algorithm)
            .quoted(Param::Qop, self.qop.as_str())
            .flag(Param::Userhash, self.userhash);
        let writer = if self.utf8 { writer.token(Param::Charset, "UTF-8") } else { writer };
        writer.finish()
    }
}
