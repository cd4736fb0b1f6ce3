use std::{borrow::Cow, fmt};

use super::{AuthError, HexDigest, Param, Qop, params::Params, write::Writer};
use crate::syntax::{BadHeaderValue, HeaderValue, scan};

/// The value of an Authentication-Info or Proxy-Authentication-Info header field (RFC 7616 §3.5).
#[derive(Clone, Copy)]
pub struct AuthenticationInfo<'a> {
    params: Params<'a>,
}

/// Builds the value of an Authentication-Info or Proxy-Authentication-Info header field, with one or both of what it is for.
#[derive(Clone, Debug)]
#[must_use]
pub struct AuthenticationInfoBuf {
    next_nonce: Option<String>,
    rspauth: Option<HexDigest>,
    request: Option<(Qop, u32, String)>,
}

impl<'a> AuthenticationInfo<'a> {
    /// Reads the value of one header field.
    pub fn parse(value: &'a str) -> Result<Self, AuthError> {
        let params = Params::parse(scan::trim(value))?;
        if params.bare(Param::Qop).is_some() {
            // RFC 7616 §3.5: these come together.
            for param in [Param::Rspauth, Param::Cnonce, Param::Nc] {
                params.require(param)?;
            }
        }
        Ok(Self { params })
    }

    /// Returns the nonce to use in the next request.
    pub fn next_nonce(&self) -> Option<Cow<'a, str>> {
        self.params.get(Param::NextNonce)
    }

    /// Returns the digest that shows that the server knows the password, as it is written.
    pub fn rspauth(&self) -> Option<&'a str> {
        self.params.bare(Param::Rspauth)
    }

    /// Returns the quality of protection.
    pub fn qop(&self) -> Option<Qop> {
        self.params.bare(Param::Qop).and_then(Qop::of)
    }

    /// Returns the client's nonce in the request.
    pub fn cnonce(&self) -> Option<Cow<'a, str>> {
        self.params.get(Param::Cnonce)
    }

    /// Returns the nonce count in the request, as it is written.
    pub fn nc(&self) -> Option<&'a str> {
        self.params.bare(Param::Nc)
    }

    /// Tells whether rspauth is a digest, which is compared in constant time; see [`rspauth`](super::digest::rspauth).
    pub fn matches(&self, expected: &HexDigest) -> bool {
        self.rspauth().is_some_and(|digits| expected.matches(digits))
    }
}

/// Shows the parameters as they are written.
impl fmt::Debug for AuthenticationInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthenticationInfo({:?})", self.params.as_str())
    }
}

impl AuthenticationInfoBuf {
    /// Begins with the nonce to use in the next request.
    pub fn next_nonce(nonce: impl Into<String>) -> Self {
        Self { next_nonce: Some(nonce.into()), rspauth: None, request: None }
    }

    /// Begins with the digest that shows that the server knows the password; `request` has quality of protection, nonce
    /// count and client's nonce of the request, if it had them.
    pub fn rspauth(digest: HexDigest, request: Option<(Qop, u32, String)>) -> Self {
        Self { next_nonce: None, rspauth: Some(digest), request }
    }

    /// Adds the nonce to use in the next request.
    pub fn and_next_nonce(mut self, nonce: impl Into<String>) -> Self {
        self.next_nonce = Some(nonce.into());
        self
    }

    /// Writes the header field's value; fails if a text has control characters.
    pub fn build(&self) -> Result<HeaderValue, BadHeaderValue> {
        let mut writer = Writer::new("").quoted_opt(Param::NextNonce, self.next_nonce.as_deref());
        if let Some(digest) = &self.rspauth {
            writer = writer.quoted(Param::Rspauth, digest.as_str());
        }
        if let Some((qop, nc, cnonce)) = &self.request {
            writer = writer
                .token(Param::Qop, qop)
                .quoted(Param::Cnonce, cnonce)
                .token(Param::Nc, format_args!("{nc:08x}"));
        }
        writer.finish()
    }
}
