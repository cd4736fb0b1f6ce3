use std::{
    fmt,
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use thiserror::Error;

use super::{
    ParseErrorKind as Kind,
    scan::{self, Cursor, Span},
};

/// A host as URIs and Via header fields name it (RFC 3261 §25.1).
///
/// Names are equal in any case.
#[derive(Clone, Copy, Debug)]
pub enum Host<'a> {
    /// A domain name.
    Name(&'a str),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, written in brackets.
    V6(Ipv6Addr),
}

/// A text that is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed host")]
pub struct BadHost;

impl<'a> Host<'a> {
    /// Reads a host name, an IPv4 address, or an IPv6 address in brackets.
    pub fn parse(text: &'a str) -> Result<Self, BadHost> {
        let mut cursor = Cursor::new(text.as_bytes());
        if text.len() > usize::from(u16::MAX) || scan_host(&mut cursor).is_err() || !cursor.at_end() {
            return Err(BadHost);
        }
        Ok(Self::of_checked(text))
    }

    /// Reads what [`scan_host`] found good.
    pub(crate) fn of_checked(text: &'a str) -> Self {
        let v6 = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')?.parse().ok());
        match (v6, ipv4(text.as_bytes())) {
            (Some(address), _) => Host::V6(address),
            (None, Some(address)) => Host::V4(address),
            (None, None) => Host::Name(text),
        }
    }

    /// Returns the address, if it is one.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Host::Name(_) => None,
            Host::V4(address) => Some(address.into()),
            Host::V6(address) => Some(address.into()),
        }
    }
}

impl From<IpAddr> for Host<'_> {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Host::V4(address),
            IpAddr::V6(address) => Host::V6(address),
        }
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(address) => write!(f, "{address}"),
            Host::V6(address) => write!(f, "[{address}]"),
        }
    }
}

impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Host::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            _ => self.ip().is_some() && self.ip() == other.ip(),
        }
    }
}

impl Eq for Host<'_> {}

impl Hash for Host<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Host::Name(name) => name.bytes().for_each(|byte| state.write_u8(byte.to_ascii_lowercase())),
            _ => self.ip().hash(state),
        }
    }
}

/// Reads four decimal numbers; leading zeros, which the grammar allows, do not make them octal.
pub(crate) fn ipv4(bytes: &[u8]) -> Option<Ipv4Addr> {
    if bytes.len() > 15 {
        return None;
    }
    let mut octets = [0u8; 4];
    let (mut part, mut digits, mut value) = (0usize, 0u8, 0u16);
    for &byte in bytes {
        match byte {
            b'0'..=b'9' if digits < 3 => {
                value = value * 10 + u16::from(byte - b'0');
                digits += 1;
            }
            b'.' if digits > 0 && part < 3 => {
                *octets.get_mut(part)? = u8::try_from(value).ok()?;
                (part, digits, value) = (part + 1, 0, 0);
            }
            _ => return None,
        }
    }
    if part != 3 || digits == 0 {
        return None;
    }
    *octets.get_mut(part)? = u8::try_from(value).ok()?;
    Some(octets.into())
}

/// Reads `host` (RFC 3261 §25.1).
///
/// Wider than the grammar in two things: underscores, and last labels that start with a digit, for such are the names
/// of many containers. One of digits only makes an IPv4 address, or nothing.
#[inline]
pub(crate) fn scan_host(cursor: &mut Cursor<'_>) -> Result<Span, Kind> {
    if cursor.peek() == Some(b'[') {
        return bracketed(cursor);
    }
    let start = cursor.pos;
    let mut label = cursor.take1(scan::LABEL, Kind::Host)?;
    while cursor.eat(b'.') {
        let next = cursor.take(scan::LABEL);
        if next.len() == 0 {
            // The dot of a complete name.
            break;
        }
        label = next;
    }
    let host = Span::new(start, cursor.pos);
    let (bytes, label) = (host.bytes(cursor.bytes()), label.bytes(cursor.bytes()));
    if bytes.first() == Some(&b'-') || label.last() == Some(&b'-') {
        return Err(Kind::Host);
    }
    let numeric = label.first().is_some_and(u8::is_ascii_digit) && label.iter().all(u8::is_ascii_digit);
    if numeric && ipv4(bytes).is_none() { Err(Kind::Host) } else { Ok(host) }
}

fn bracketed(cursor: &mut Cursor<'_>) -> Result<Span, Kind> {
    let start = cursor.pos;
    let inside = memchr::memchr(b']', cursor.rest()).ok_or(Kind::Host)?;
    let address = cursor.rest().get(1..inside).and_then(|address| std::str::from_utf8(address).ok());
    if address.is_none_or(|address| address.parse::<Ipv6Addr>().is_err()) {
        return Err(Kind::Host);
    }
    cursor.pos += inside + 1;
    Ok(Span::new(start, cursor.pos))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P18; RFC 3261 §25.1 hostname, IPv4address, IPv6reference.
    #[test]
    fn reads_names_and_addresses() {
        assert_eq!(Host::parse("Example.COM."), Ok(Host::Name("example.com.")));
        assert_eq!(Host::parse("192.0.2.1"), Ok(Host::V4(Ipv4Addr::new(192, 0, 2, 1))));
        assert_eq!(Host::parse("192.000.002.010"), Ok(Host::V4(Ipv4Addr::new(192, 0, 2, 10))));
        assert_eq!(Host::parse("a_b.0a1b2c"), Ok(Host::Name("a_b.0a1b2c")), "as containers are named");
        assert_eq!(Host::parse("1.a."), Ok(Host::Name("1.a.")));
        let v6 = Host::parse("[2001:DB8::9:1]").expect("an address");
        assert_eq!(v6.to_string(), "[2001:db8::9:1]");
        assert_eq!(Host::parse("[::ffff:192.0.2.1]").map(|host| host.ip().is_some()), Ok(true));
        for bad in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a b",
            "1.2.3",
            "a.1",
            "a.1.",
            "1.2.3.256",
            "1.2.3.4.5",
            "::1",
            "[::1",
            "[]",
            "[1.2.3.4]",
            "ä",
        ] {
            assert_eq!(Host::parse(bad), Err(BadHost), "{bad}");
        }
        assert_ne!(Host::Name("1"), Host::V4(Ipv4Addr::UNSPECIFIED));
    }
}
