use std::borrow::Cow;

use super::{Scheme, Uri, escape::unescape, uri::UriHeaders};

/// The parts of a `urn` URI (RFC 2141 §2), such as `urn:service:sos` and `urn:uuid:…`.
#[derive(Clone, Copy, Debug)]
pub struct Urn<'a> {
    nid: &'a str,
    nss: &'a str,
}

impl<'a> Urn<'a> {
    /// Returns the parts of a URI; `None` unless it is a `urn` URI with both parts.
    pub fn of(uri: Uri<'a>) -> Option<Self> {
        let (nid, nss) = rest_of(uri, "urn")?.split_once(':')?;
        let label = nid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (label && !nid.is_empty() && !nid.starts_with('-') && !nss.is_empty()).then_some(Self { nid, nss })
    }

    /// Returns the namespace, such as `service`.
    pub fn namespace(&self) -> &'a str {
        self.nid
    }

    /// Returns what is named within the namespace, escapes left in.
    pub fn specific(&self) -> &'a str {
        self.nss
    }
}

/// Namespaces do not differ by case, nor do the names in `uuid` and `service` (RFC 2141 §5, RFC 4122 §3, RFC 5031 §4.2).
impl PartialEq for Urn<'_> {
    fn eq(&self, other: &Self) -> bool {
        let any_case = ["uuid", "service"].iter().any(|nid| nid.eq_ignore_ascii_case(self.nid));
        self.nid.eq_ignore_ascii_case(other.nid)
            && (self.nss == other.nss || any_case && self.nss.eq_ignore_ascii_case(other.nss))
    }
}

impl Eq for Urn<'_> {}

/// The parts of a `mailto` URI (RFC 6068 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mailto<'a> {
    to: &'a str,
    headers: &'a str,
}

impl<'a> Mailto<'a> {
    /// Returns the parts of a URI; `None` unless it is a `mailto` URI.
    pub fn of(uri: Uri<'a>) -> Option<Self> {
        let rest = rest_of(uri, "mailto")?;
        let (to, headers) = rest.split_once('?').unwrap_or((rest, ""));
        Some(Self { to, headers })
    }

    /// Returns the addresses before the `?`, without escapes.
    pub fn recipients(&self) -> impl Iterator<Item = Cow<'a, str>> + use<'a> {
        self.to.split(',').filter(|to| !to.is_empty()).map(unescape)
    }

    /// Returns the header fields behind the `?`, without escapes.
    pub fn headers(&self) -> UriHeaders<'a> {
        UriHeaders::new(self.headers)
    }
}

/// Returns what follows a scheme and its colon, if it is that scheme.
fn rest_of<'a>(uri: Uri<'a>, scheme: &str) -> Option<&'a str> {
    match uri.scheme() {
        Scheme::Other(name) if name.eq_ignore_ascii_case(scheme) => uri.as_str().get(scheme.len() + 1..),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text).expect(text)
    }

    /// C011; RFC 2141, RFC 5031.
    #[test]
    fn reads_urns() {
        let urn = Urn::of(uri("urn:service:sos.fire")).expect("a URN");
        assert_eq!((urn.namespace(), urn.specific()), ("service", "sos.fire"));
        for bad in ["urn:x", "urn:x:", "urn::x", "urn:a_b:x", "urn:-a:x", "mailto:a:b"] {
            assert_eq!(Urn::of(uri(bad)), None, "{bad}");
        }
        assert!(uri("URN:UUID:f81d4fae-7dec").is_equivalent(&uri("urn:uuid:F81D4FAE-7DEC")));
        assert!(uri("URN:FOO:a").is_equivalent(&uri("urn:foo:a")));
        assert!(!uri("urn:foo:a").is_equivalent(&uri("urn:foo:A")));
    }

    /// C011; RFC 6068.
    #[test]
    fn reads_mail_addresses() {
        let mail = Mailto::of(uri("MAILTO:a%25b@c,d@e?subject=x%20y&body=")).expect("an address");
        assert_eq!(mail.recipients().collect::<Vec<_>>(), ["a%b@c", "d@e"]);
        let headers: Vec<_> = mail.headers().collect();
        assert_eq!(headers, [("subject".into(), "x y".into()), ("body".into(), "".into())]);
        assert_eq!(Mailto::of(uri("sip:a@b")), None);
    }
}
