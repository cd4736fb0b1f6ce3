use std::{borrow::Cow, fmt};

use thiserror::Error;

use crate::syntax::scan::{self, Cursor, Span};

macro_rules! params {
    ($($param:ident $name:literal;)*) => {
        /// A parameter of a challenge, of credentials, or of a confirmation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Param {
            $(#[doc = concat!("`", $name, "`")] $param,)*
        }

        const NAMES: [(Param, &str); COUNT] = [$((Param::$param, $name)),*];
        const COUNT: usize = [$($name),*].len();
    };
}

// RFC 7616 §3.3 to §3.5; auts is of RFC 3310 §3.4.
params! {
    Realm "realm";
    Domain "domain";
    Nonce "nonce";
    Opaque "opaque";
    Stale "stale";
    Algorithm "algorithm";
    Qop "qop";
    Charset "charset";
    Userhash "userhash";
    Username "username";
    UsernameExt "username*";
    Uri "uri";
    Response "response";
    Cnonce "cnonce";
    Nc "nc";
    Auts "auts";
    NextNonce "nextnonce";
    Rspauth "rspauth";
}

impl Param {
    /// Returns the name.
    pub fn as_str(self) -> &'static str {
        NAMES.get(self as usize).map_or("", |&(_, name)| name)
    }

    fn of(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|&(param, _)| param)
    }
}

impl fmt::Display for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a value is no challenge, no credentials, or no confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The value is longer than 65,535 bytes.
    #[error("longer than 65,535 bytes")]
    TooLong,
    /// There is no scheme, or nothing after it.
    #[error("no scheme with parameters")]
    Scheme,
    /// There is something other than parameters between commas.
    #[error("malformed parameter at byte {offset}")]
    Syntax {
        /// The byte at which it was noticed.
        offset: usize,
    },
    /// A parameter that must be there is not.
    #[error("{0} is missing")]
    Missing(Param),
    /// A parameter is given more than once.
    #[error("{0} is given more than once")]
    Duplicate(Param),
    /// A parameter has a value that it cannot have.
    #[error("{0} is malformed")]
    Value(Param),
    /// Both username and `username*` are given (RFC 7616 §3.4).
    #[error("both username and username* are given")]
    BothUsernames,
}

/// A scheme other than Digest, and all that follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherScheme<'a> {
    /// The scheme.
    pub name: &'a str,
    /// What follows, as it is written.
    pub rest: &'a str,
}

/// Parts a value into the scheme and the rest.
pub(super) fn split_scheme(value: &str) -> Result<(&str, &str), AuthError> {
    let value = scan::trim(value);
    let end = value.find([' ', '\t', '\r', '\n']).ok_or(AuthError::Scheme)?;
    let (scheme, rest) = value.split_at(end);
    if scan::is_token(scheme) { Ok((scheme, scan::trim(rest))) } else { Err(AuthError::Scheme) }
}

/// The parameters of a value, found but not looked into.
#[derive(Clone, Copy)]
pub(super) struct Params<'a> {
    text: &'a str,
    values: [Span; COUNT],
}

impl<'a> Params<'a> {
    /// Finds the known parameters between commas; others are passed over, and so are empty places.
    pub(super) fn parse(text: &'a str) -> Result<Self, AuthError> {
        if text.len() > usize::from(u16::MAX) {
            return Err(AuthError::TooLong);
        }
        let mut params = Self { text, values: [Span::NONE; COUNT] };
        let mut cursor = Cursor::new(text.as_bytes());
        let mut any = false;
        loop {
            while cursor.eat_separator(b',') {}
            if cursor.at_end() {
                break;
            }
            let (name, value) = scan_param(&mut cursor).ok_or(AuthError::Syntax { offset: cursor.pos })?;
            any = true;
            if let Some(param) = Param::of(name.of(text)) {
                let slot = params.values.get_mut(param as usize);
                let slot = slot.filter(|slot| slot.is_none()).ok_or(AuthError::Duplicate(param))?;
                *slot = value;
            }
            cursor.skip_lws();
            if !cursor.at_end() && cursor.peek() != Some(b',') {
                return Err(AuthError::Syntax { offset: cursor.pos });
            }
        }
        if any { Ok(params) } else { Err(AuthError::Syntax { offset: cursor.pos }) }
    }

    /// Returns a value with its quotes.
    pub(super) fn raw(&self, param: Param) -> Option<&'a str> {
        self.values.get(param as usize)?.opt(self.text)
    }

    /// Returns a value without quotes and escapes.
    pub(super) fn get(&self, param: Param) -> Option<Cow<'a, str>> {
        self.raw(param).map(plain)
    }

    /// Returns a value without quotes that is of no use with escapes: tokens and digits.
    pub(super) fn bare(&self, param: Param) -> Option<&'a str> {
        self.raw(param).map(inner)
    }

    /// Returns a value that must be there.
    pub(super) fn require(&self, param: Param) -> Result<&'a str, AuthError> {
        self.raw(param).ok_or(AuthError::Missing(param))
    }

    /// Reads a flag; nothing but `true` counts, in any case.
    pub(super) fn is_true(&self, param: Param) -> bool {
        self.bare(param).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    pub(super) fn as_str(&self) -> &'a str {
        self.text
    }
}

/// Reads `auth-param` (RFC 3261 §25.1). A value without quotes may have more characters than a token.
fn scan_param(cursor: &mut Cursor<'_>) -> Option<(Span, Span)> {
    let name = cursor.take1(scan::TOKEN, crate::syntax::ParseErrorKind::Param).ok()?;
    if !cursor.eat_separator(b'=') {
        return None;
    }
    let value = if cursor.peek() == Some(b'"') {
        cursor.quoted()
    } else {
        cursor.take1(scan::VALUE, crate::syntax::ParseErrorKind::Param)
    };
    Some((name, value.ok()?))
}

fn inner(value: &str) -> &str {
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
}

/// Takes quotes, escapes and folds away: what digests are made of (RFC 7616 §3.4.5).
fn plain(value: &str) -> Cow<'_, str> {
    let quoted = inner(value);
    if quoted.len() == value.len() || !quoted.contains(['\\', '\r', '\n']) {
        return Cow::Borrowed(quoted);
    }
    let mut plain = String::with_capacity(quoted.len());
    let mut chars = quoted.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' => plain.extend(chars.next()),
            '\r' | '\n' => {
                // RFC 3261 §25.1, LWS: a fold stands for one space.
                while chars.next_if(|next| matches!(next, '\r' | '\n' | ' ' | '\t')).is_some() {}
                plain.truncate(plain.trim_end_matches([' ', '\t']).len());
                plain.push(' ');
            }
            other => plain.push(other),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AU-03, RFC 3261 §25.1: quotes or none, any case, white space around separators.
    #[test]
    fn reads_what_peers_write() {
        let params = Params::parse(" REALM = \"a, \\\"b\\\"\"\r\n ,, nonce=x=y== ,other=1,other=2,").unwrap();
        assert_eq!(params.get(Param::Realm).as_deref(), Some("a, \"b\""));
        assert_eq!(params.raw(Param::Realm), Some("\"a, \\\"b\\\"\""));
        assert_eq!(params.bare(Param::Nonce), Some("x=y=="));
        assert_eq!(params.get(Param::Opaque), None);
        assert_eq!(params.require(Param::Opaque), Err(AuthError::Missing(Param::Opaque)));
        let empty = Params::parse("opaque=\"\"").unwrap();
        assert_eq!(empty.get(Param::Opaque).as_deref(), Some(""));
    }

    #[test]
    fn folds_in_quotes_are_one_space() {
        assert_eq!(plain("\"a \r\n\t b\""), "a b");
        assert_eq!(plain("\"a\\\\b\\\"\""), "a\\b\"");
        assert!(matches!(plain("\"a b\""), Cow::Borrowed("a b")));
        assert!(matches!(plain("a\\b"), Cow::Borrowed("a\\b")));
    }

    #[test]
    fn malformed_parameters_are_told_apart() {
        for (bad, offset) in
            [("", 0), (" , ", 3), ("a", 1), ("a=", 2), ("a=\"", 3), ("a=1 b=2", 4), ("=1", 0), ("a=1;b=2", 3)]
        {
            assert_eq!(Params::parse(bad).err(), Some(AuthError::Syntax { offset }), "{bad:?}");
        }
        for (param, name) in NAMES {
            assert_eq!(param.as_str(), name);
            let twice = format!("{name}=1, {}=2", name.to_uppercase());
            assert_eq!(Params::parse(&twice).err(), Some(AuthError::Duplicate(param)));
        }
    }

    #[test]
    fn values_are_at_most_65535_bytes_long() {
        let value = |length: usize| format!("opaque=\"{}\"", "x".repeat(length - 9));
        assert!(Params::parse(&value(65_535)).is_ok());
        assert_eq!(Params::parse(&value(65_536)).err(), Some(AuthError::TooLong));
    }

    #[test]
    fn schemes_are_tokens_with_something_behind() {
        assert_eq!(split_scheme(" Digest\t a=1 "), Ok(("Digest", "a=1")));
        for bad in ["", "Digest", "Dig,est a=1", "a=1, b=2"] {
            assert_eq!(split_scheme(bad), Err(AuthError::Scheme), "{bad}");
        }
    }
}
