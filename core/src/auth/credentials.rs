use std::{borrow::Cow, fmt};

use super::{
    Algorithm, AuthError, Ha1, HexDigest, OtherScheme, Param, Qop,
    digest::{self, Inputs, Protection},
    params::{Params, split_scheme},
    username,
    write::Writer,
};
use crate::syntax::{BadHeaderValue, HeaderId, HeaderValue, View};

/// The value of an Authorization or Proxy-Authorization header field.
#[derive(Clone, Copy, Debug)]
pub enum Credentials<'a> {
    /// Of the Digest scheme.
    Digest(DigestCredentials<'a>),
    /// Of any other scheme.
    Other(OtherScheme<'a>),
}

/// Credentials of the Digest scheme, complete and well-formed (RFC 7616 §3.4).
#[derive(Clone, Copy)]
pub struct DigestCredentials<'a> {
    params: Params<'a>,
    nc: u32,
}

/// Builds credentials of the Digest scheme.
#[derive(Clone, Debug)]
#[must_use]
pub struct CredentialsBuf {
    username: String,
    userhash: bool,
    realm: String,
    nonce: String,
    uri: String,
    response: Option<HexDigest>,
    algorithm: Option<Algorithm>,
    protection: Option<(Qop, u32, String)>,
    opaque: Option<String>,
    auts: Option<String>,
}

/// Returns the credentials of a request in order; `id` is [`HeaderId::Authorization`] or
/// [`HeaderId::ProxyAuthorization`].
///
/// Each stand in a row of their own (RFC 3261 §7.3.1).
pub fn credentials<'a>(
    view: View<'a>,
    id: HeaderId,
) -> impl Iterator<Item = Result<Credentials<'a>, AuthError>> + use<'a> {
    view.headers(id).map(Credentials::parse)
}

impl<'a> Credentials<'a> {
    /// Reads the value of one header field.
    pub fn parse(value: &'a str) -> Result<Self, AuthError> {
        let (scheme, rest) = split_scheme(value)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Ok(Self::Other(OtherScheme { name: scheme, rest }));
        }
        DigestCredentials::new(Params::parse(rest)?).map(Self::Digest)
    }
}

impl<'a> DigestCredentials<'a> {
    /// Checks that what must be there is, and has a value that can be used (AU-08).
    fn new(params: Params<'a>) -> Result<Self, AuthError> {
        check_username(&params)?;
        for param in [Param::Realm, Param::Nonce, Param::Uri] {
            params.require(param)?;
        }
        let algorithm = algorithm(&params);
        check_response(&params, algorithm)?;
        let mut nc = 0;
        match params.bare(Param::Qop) {
            Some(qop) => {
                Qop::of(qop).ok_or(AuthError::Value(Param::Qop))?;
                params.require(Param::Cnonce)?;
                params.require(Param::Nc)?;
                nc = params.bare(Param::Nc).and_then(nonce_count).ok_or(AuthError::Value(Param::Nc))?;
            }
            None if algorithm.is_some_and(Algorithm::is_session) => {
                return Err(AuthError::Missing(Param::Qop));
            }
            None => {}
        }
        Ok(Self { params, nc })
    }

    /// Returns the user's name, or its hash if [`is_userhash`](Self::is_userhash).
    pub fn username(&self) -> Cow<'a, str> {
        let extended = || username::decode(self.params.bare(Param::UsernameExt)?);
        self.params.get(Param::Username).or_else(extended).unwrap_or_default()
    }

    /// Tells whether the name is hashed (RFC 7616 §3.4.4).
    pub fn is_userhash(&self) -> bool {
        self.params.is_true(Param::Userhash)
    }

    /// Returns the realm.
    pub fn realm(&self) -> Cow<'a, str> {
        self.params.get(Param::Realm).unwrap_or_default()
    }

    /// Returns the server's nonce.
    pub fn nonce(&self) -> Cow<'a, str> {
        self.params.get(Param::Nonce).unwrap_or_default()
    }

    /// Returns the Request-URI as the client sent it; proxies may have changed that of the request.
    pub fn uri(&self) -> Cow<'a, str> {
        self.params.get(Param::Uri).unwrap_or_default()
    }

    /// Returns the digest as it is written; empty if the client was not challenged before (RFC 8760 §2.7).
    pub fn response(&self) -> &'a str {
        self.params.bare(Param::Response).unwrap_or("")
    }

    /// Returns the algorithm, MD5 if none is given; `None` if it is not known.
    pub fn algorithm(&self) -> Option<Algorithm> {
        algorithm(&self.params)
    }

    /// Returns the algorithm as it is written.
    pub fn algorithm_text(&self) -> Option<&'a str> {
        self.params.bare(Param::Algorithm)
    }

    /// Returns the quality of protection.
    pub fn qop(&self) -> Option<Qop> {
        self.params.bare(Param::Qop).and_then(Qop::of)
    }

    /// Returns how often the client has used the nonce, if there is a quality of protection.
    pub fn nonce_count(&self) -> Option<u32> {
        self.qop().map(|_| self.nc)
    }

    /// Returns the client's nonce.
    pub fn cnonce(&self) -> Option<Cow<'a, str>> {
        self.params.get(Param::Cnonce)
    }

    /// Returns what came with the challenge.
    pub fn opaque(&self) -> Option<Cow<'a, str>> {
        self.params.get(Param::Opaque)
    }

    /// Returns the SIM's demand for another sequence number, in Base64 (RFC 3310 §3.4).
    pub fn auts(&self) -> Option<&'a str> {
        self.params.bare(Param::Auts)
    }

    /// Tells whether the digest is the one that the key gives for a request.
    ///
    /// It is compared in constant time. Whether the nonce is good, and the URI that of the request, is for the server to
    /// see.
    pub fn matches(&self, ha1: &Ha1, method: &str, body: &[u8]) -> bool {
        let expected = self.with_inputs(method, body, |inputs| digest::response(ha1, inputs).ok());
        expected.flatten().is_some_and(|digest| digest.matches(self.response()))
    }

    /// Computes the rspauth parameter for the response, whose body it takes (RFC 7616 §3.5).
    pub fn rspauth(&self, ha1: &Ha1, body: &[u8]) -> Option<HexDigest> {
        self.with_inputs("", body, |inputs| digest::rspauth(ha1, inputs).ok()).flatten()
    }

    fn with_inputs<T>(&self, method: &str, body: &[u8], work: impl FnOnce(&Inputs<'_>) -> T) -> Option<T> {
        let algorithm = self.algorithm()?;
        let (nonce, uri, cnonce) = (self.nonce(), self.uri(), self.cnonce().unwrap_or_default());
        let nc = self.params.bare(Param::Nc).unwrap_or("");
        let protection = self.qop().map(|qop| Protection { qop, nc, cnonce: &cnonce, session_cnonce: None });
        Some(work(&Inputs { algorithm, nonce: &nonce, method, uri: &uri, body, protection }))
    }
}

/// Shows the parameters as they are written.
impl fmt::Debug for DigestCredentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DigestCredentials({:?})", self.params.as_str())
    }
}

fn algorithm(params: &Params<'_>) -> Option<Algorithm> {
    params.bare(Param::Algorithm).map_or(Some(Algorithm::Md5), Algorithm::of)
}

fn check_username(params: &Params<'_>) -> Result<(), AuthError> {
    match (params.raw(Param::Username), params.bare(Param::UsernameExt)) {
        (Some(_), Some(_)) => Err(AuthError::BothUsernames),
        (Some(_), None) => Ok(()),
        (None, None) => Err(AuthError::Missing(Param::Username)),
        // RFC 7616 §3.4: a hash has no characters that would need it.
        (None, Some(name)) if params.is_true(Param::Userhash) || username::decode(name).is_none() => {
            Err(AuthError::Value(Param::UsernameExt))
        }
        (None, Some(_)) => Ok(()),
    }
}

/// Checks the number of digits, if the algorithm is known. None at all are allowed (RFC 8760 §2.7).
fn check_response(params: &Params<'_>, algorithm: Option<Algorithm>) -> Result<(), AuthError> {
    params.require(Param::Response)?;
    let digits = params.bare(Param::Response).unwrap_or("");
    let good = match algorithm {
        _ if digits.is_empty() => true,
        Some(algorithm) => HexDigest::parse(algorithm.hash(), digits).is_some(),
        None => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
    };
    if good { Ok(()) } else { Err(AuthError::Value(Param::Response)) }
}

/// Reads `nc`: eight hexadecimal digits (RFC 7616 §3.4), of either case.
fn nonce_count(text: &str) -> Option<u32> {
    let good = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if good { u32::from_str_radix(text, 16).ok() } else { None }
}

impl CredentialsBuf {
    /// Begins credentials with an empty user name. Without a response it is empty: for a client that was not challenged
    /// (RFC 8760 §2.7).
    pub fn new(
        realm: impl Into<String>,
        nonce: impl Into<String>,
        uri: impl Into<String>,
        response: Option<HexDigest>,
    ) -> Self {
        Self {
            username: String::new(),
            userhash: false,
            realm: realm.into(),
            nonce: nonce.into(),
            uri: uri.into(),
            response,
            algorithm: None,
            protection: None,
            opaque: None,
            auts: None,
        }
    }

    /// Sets the user's name. One with control characters goes into `username*` (RFC 7616 §3.4).
    pub fn username(mut self, name: impl Into<String>) -> Self {
        self.username = name.into();
        self.userhash = false;
        self
    }

    /// Sets the hash of the user's name, and says so (RFC 7616 §3.4.4).
    pub fn username_hash(mut self, hash: &HexDigest) -> Self {
        self.username = hash.to_string();
        self.userhash = true;
        self
    }

    /// Sets the algorithm; left out it means MD5.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = Some(algorithm);
        self
    }

    /// Sets the quality of protection with nonce count and the client's nonce.
    pub fn protect(mut self, qop: Qop, nc: u32, cnonce: impl Into<String>) -> Self {
        self.protection = Some((qop, nc, cnonce.into()));
        self
    }

    /// Sets what came with the challenge.
    pub fn opaque(mut self, opaque: impl Into<String>) -> Self {
        self.opaque = Some(opaque.into());
        self
    }

    /// Sets the SIM's demand for another sequence number, in Base64 (RFC 3310 §3.4).
    pub fn auts(mut self, auts: impl Into<String>) -> Self {
        self.auts = Some(auts.into());
        self
    }

    /// Writes the header field's value; fails if a text other than the user's name has control characters.
    pub fn build(&self) -> Result<HeaderValue, BadHeaderValue> {
        let digits = self.response.map(|digest| digest.to_string()).unwrap_or_default();
        // RFC 7616 §3.4 tells what is quoted and what is not.
        let mut writer = Writer::new("Digest");
        writer = if self.username.bytes().any(|byte| byte.is_ascii_control()) {
            writer.token(Param::UsernameExt, username::encode(&self.username))
        } else {
            writer.quoted(Param::Username, &self.username)
        };
        writer = writer
            .quoted(Param::Realm, &self.realm)
            .quoted(Param::Nonce, &self.nonce)
            .quoted(Param::Uri, &self.uri)
            .quoted(Param::Response, &digits);
        if let Some(algorithm) = self.algorithm {
            writer = writer.token(Param::Algorithm, algorithm);
        }
        if let Some((qop, nc, cnonce)) = &self.protection {
            writer = writer
                .quoted(Param::Cnonce, cnonce)
                .token(Param::Qop, qop)
                .token(Param::Nc, format_args!("{nc:08x}"));
        }
        writer
            .quoted_opt(Param::Opaque, self.opaque.as_deref())
            .flag(Param::Userhash, self.userhash)
            .quoted_opt(Param::Auts, self.auts.as_deref())
            .finish()
    }
}
