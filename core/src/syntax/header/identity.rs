use std::fmt;

use super::{
    super::{NameAddr, ParseErrorKind as Kind, Reader},
    item::{Item, headers, number, quality},
    typed::Header,
};
use crate::syntax::{HeaderName, scan};

headers! { NameAddr;
    /// Who the trusted network says that the sender is (RFC 3325 §9.1).
    PAssertedIdentity P_ASSERTED_IDENTITY list |reader| reader.address();
    /// Who the sender wishes to be for the trusted network (RFC 3325 §9.2).
    PPreferredIdentity P_PREFERRED_IDENTITY list |reader| reader.address();
    /// Who the trusted network says that the parties are, before RFC 3325.
    RemotePartyId REMOTE_PARTY_ID list |reader| reader.address();
    /// Who diverted the call, before History-Info (RFC 5806 §4).
    Diversion DIVERSION list |reader| reader.address();
    /// A target that the request had on its way (RFC 7044 §5).
    HistoryInfo HISTORY_INFO list |reader| {
        let entry = reader.address()?;
        let bad = |name| entry.param(name).is_some_and(|index| !index.is_some_and(is_index));
        if ["index", "rc", "mp", "np"].into_iter().any(bad) { Err(Kind::Param) } else { Ok(entry) }
    };
}

/// Tells whether a text is `number *("." number)` without leading zeros.
fn is_index(text: &str) -> bool {
    text.split('.').all(|part| number(part, u32::MAX).is_some() && (part == "0" || !part.starts_with('0')))
}

/// How a target came about (RFC 7044 §5), with the index of the entry that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HiTarget<'a> {
    /// The target is a contact of the one before (`rc`).
    Registered(&'a str),
    /// The target is another user (`mp`).
    Mapped(&'a str),
    /// The target did not change (`np`).
    Unchanged(&'a str),
}

impl<'a> HistoryInfo<'a> {
    /// Returns the index as it is written, such as `1.2`.
    pub fn index(&self) -> Option<&'a str> {
        self.param("index").flatten()
    }

    /// Returns the numbers of the index.
    pub fn index_numbers(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.index().unwrap_or("").split('.').filter_map(|part| number(part, u32::MAX))
    }

    /// Returns how the target came about.
    pub fn target(&self) -> Option<HiTarget<'a>> {
        let value = |name| self.param(name).flatten();
        value("rc")
            .map(HiTarget::Registered)
            .or_else(|| value("mp").map(HiTarget::Mapped).or_else(|| value("np").map(HiTarget::Unchanged)))
    }
}

impl<'a> Diversion<'a> {
    /// Returns the reason, such as `user-busy`.
    pub fn reason(&self) -> Option<&'a str> {
        self.param("reason").flatten()
    }

    /// Returns how many diversions this entry stands for, 1 unless it says otherwise.
    pub fn counter(&self) -> u32 {
        self.param("counter").flatten().and_then(|count| number(count, 99)).unwrap_or(1)
    }
}

/// Which privacy the sender wants (RFC 3323 §4.2): values between semicolons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privacy<'a>(&'a str);

impl<'a> Privacy<'a> {
    /// Returns the values, such as `id`, `header`, `session`, `user`, `none` or `critical`.
    pub fn values(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0.split(';').map(scan::trim)
    }

    /// Tells whether there is that value, in any case.
    pub fn has(&self, value: &str) -> bool {
        self.values().any(|candidate| candidate.eq_ignore_ascii_case(value))
    }
}

impl<'a> Header<'a> for Privacy<'a> {
    const NAME: HeaderName = HeaderName::PRIVACY;
    const LIST: bool = false;

    fn read(reader: &mut Reader<'a>) -> Result<Self, Kind> {
        reader.space();
        let start = reader.position();
        reader.token()?;
        while reader.eat_separator(b';') {
            reader.token()?;
        }
        Ok(Self(reader.since(start)))
    }
}

impl fmt::Display for Privacy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A signature over who the sender is (RFC 8224 §4); also that of RFC 4474, which is quoted and has no parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    text: &'a str,
    digest: &'a str,
    info: Option<&'a str>,
    alg: Option<&'a str>,
    ppt: Option<&'a str>,
}

impl<'a> Identity<'a> {
    /// Returns the signed token, without quotes.
    pub fn digest(&self) -> &'a str {
        self.digest.trim_matches('"')
    }

    /// Returns where the certificate is, without brackets.
    pub fn info(&self) -> Option<&'a str> {
        self.info
    }

    /// Returns the algorithm of the signature.
    pub fn alg(&self) -> Option<&'a str> {
        self.alg
    }

    /// Returns the type of the token.
    pub fn ppt(&self) -> Option<&'a str> {
        self.ppt
    }
}

impl<'a> Header<'a> for Identity<'a> {
    const NAME: HeaderName = HeaderName::IDENTITY;
    const LIST: bool = false;

    fn read(reader: &mut Reader<'a>) -> Result<Self, Kind> {
        reader.space();
        let start = reader.position();
        let signed = |byte: &u8| byte.is_ascii_alphanumeric() || b"/+.=-_".contains(byte);
        let digest = match reader.peek() {
            Some(b'"') => reader.quoted()?,
            _ => reader.take_while(signed, Kind::Token)?,
        };
        let mut identity = Self { text: "", digest, info: None, alg: None, ppt: None };
        while reader.eat_separator(b';') {
            let name = reader.token()?;
            if !reader.eat_separator(b'=') {
                continue;
            }
            let value = match reader.peek() {
                Some(b'<') => reader.bracketed_uri()?,
                _ => reader.token_or_quoted()?,
            };
            let place = match name {
                name if name.eq_ignore_ascii_case("info") => &mut identity.info,
                name if name.eq_ignore_ascii_case("alg") => &mut identity.alg,
                name if name.eq_ignore_ascii_case("ppt") => &mut identity.ppt,
                _ => continue,
            };
            place.get_or_insert(value);
        }
        Ok(Self { text: reader.since(start), ..identity })
    }
}

/// Prints the value as it is written.
impl fmt::Display for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

headers! { Item;
    /// Where the certificate of an Identity is (RFC 4474 §9).
    IdentityInfo IDENTITY_INFO alone |reader| Item::read(reader, Reader::bracketed_uri);
    /// A mechanism that the client can secure the next hop with (RFC 3329 §2.2).
    SecurityClient SECURITY_CLIENT list mechanism;
    /// A mechanism that the server can secure the hop with (RFC 3329 §2.2).
    SecurityServer SECURITY_SERVER list mechanism;
    /// What the client got as Security-Server, sent back under protection (RFC 3329 §2.2).
    SecurityVerify SECURITY_VERIFY list mechanism;
}

fn mechanism<'a>(reader: &mut Reader<'a>) -> Result<Item<'a>, Kind> {
    let item = Item::read(reader, Reader::token)?;
    if quality(item.params()).is_some() { Ok(item) } else { Err(Kind::Param) }
}

impl SecurityClient<'_> {
    /// Returns the `q` in thousandths, 1000 if there is none.
    pub fn q(&self) -> u16 {
        quality(self.params()).unwrap_or(1000)
    }
}

impl SecurityServer<'_> {
    /// Returns the `q` in thousandths, 1000 if there is none.
    pub fn q(&self) -> u16 {
        quality(self.params()).unwrap_or(1000)
    }
}

impl SecurityVerify<'_> {
    /// Returns the `q` in thousandths, 1000 if there is none.
    pub fn q(&self) -> u16 {
        quality(self.params()).unwrap_or(1000)
    }
}
