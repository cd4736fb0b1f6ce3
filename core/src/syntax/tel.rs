use std::fmt;

use super::{Host, Params, Scheme, Uri};

/// The parts of a `tel` URI (RFC 3966 §3).
#[derive(Clone, Copy)]
pub struct Tel<'a> {
    uri: Uri<'a>,
}

/// Within what a local number is one (RFC 3966 §5.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhoneContext<'a> {
    /// A domain.
    Domain(&'a str),
    /// The beginning of the global number.
    Prefix(&'a str),
}

impl<'a> Tel<'a> {
    /// Returns the parts of a URI; `None` unless it is a `tel` URI.
    pub fn of(uri: Uri<'a>) -> Option<Self> {
        (uri.scheme() == Scheme::Tel).then_some(Self { uri })
    }

    /// Returns the number as it is written, with its visual separators.
    pub fn number(&self) -> &'a str {
        self.uri.user().unwrap_or("")
    }

    /// Tells whether the number is a global one, which begins with a `+`.
    pub fn is_global(&self) -> bool {
        self.number().starts_with('+')
    }

    /// Returns what the number consists of, without visual separators; hexadecimal digits in lower case.
    pub fn digits(&self) -> impl Iterator<Item = char> + use<'a> {
        digits(self.number())
    }

    /// Returns the context of a local number; `None` if it is malformed.
    pub fn context(&self) -> Option<PhoneContext<'a>> {
        let text = self.param_value("phone-context")?;
        match text.strip_prefix('+') {
            Some(rest)
                if digits(rest).next().is_some() && digits(rest).all(|digit| digit.is_ascii_digit()) =>
            {
                Some(PhoneContext::Prefix(text))
            }
            Some(_) => None,
            None => matches!(Host::parse(text), Ok(Host::Name(_))).then_some(PhoneContext::Domain(text)),
        }
    }

    /// Returns the extension, with its visual separators.
    pub fn extension(&self) -> Option<&'a str> {
        self.param_value("ext")
    }

    /// Returns the ISDN subaddress, escapes left in.
    pub fn subaddress(&self) -> Option<&'a str> {
        self.param_value("isub")
    }

    /// Returns all parameters.
    pub fn params(&self) -> Params<'a> {
        self.uri.params()
    }

    fn param_value(&self, name: &str) -> Option<&'a str> {
        self.uri.param(name).flatten()
    }
}

/// Returns what a number consists of, without visual separators, in lower case.
pub(crate) fn digits(number: &str) -> impl Iterator<Item = char> {
    number.chars().filter(|char| !"-.()".contains(*char)).map(|char| char.to_ascii_lowercase())
}

impl fmt::Display for Tel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

impl fmt::Debug for Tel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tel({:?})", self.uri.as_str())
    }
}

/// The rules of RFC 3966 §4.
impl PartialEq for Tel<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.uri.is_equivalent(&other.uri)
    }
}

impl Eq for Tel<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn tel(text: &str) -> Tel<'_> {
        Tel::of(Uri::parse(text).expect(text)).expect(text)
    }

    /// C011; RFC 3966 §3, §5.1 and its examples.
    #[test]
    fn reads_the_parts() {
        let global = tel("tel:+1-201-555-0123;ext=12-34;isub=1411%20");
        assert!(global.is_global() && global.digits().eq("+12015550123".chars()));
        assert_eq!((global.extension(), global.subaddress()), (Some("12-34"), Some("1411%20")));
        assert_eq!(global.context(), None);
        assert_eq!(
            tel("tel:7042;phone-context=example.com").context(),
            Some(PhoneContext::Domain("example.com"))
        );
        let local = tel("tel:863-1234;Phone-Context=+1-914-555");
        assert_eq!(local.context(), Some(PhoneContext::Prefix("+1-914-555")));
        assert!(!local.is_global() && tel("tel:*21#Ab").digits().eq("*21#ab".chars()));
        for bad in ["+", "+-", "+x", "a..b", "1.2.3.4"] {
            assert_eq!(tel(&format!("tel:1;phone-context={bad}")).context(), None, "{bad}");
        }
        assert!(Tel::of(Uri::parse("sip:+1@b;user=phone").expect("a URI")).is_none());
    }

    /// RFC 3966 §4.
    #[test]
    fn compares() {
        assert_eq!(tel("tel:+1-201-555-0123"), tel("TEL:+1(201)555.0123"));
        assert_eq!(tel("tel:1;phone-context=A.com;x=y"), tel("tel:1;X=Y;phone-context=a.com"));
        assert_eq!(tel("tel:1;phone-context=+1-9"), tel("tel:1;phone-context=+19"));
        assert_eq!(tel("tel:+1;ext=1-2"), tel("tel:+1;ext=12"));
        assert_eq!(tel("tel:1a"), tel("tel:1A"));
        assert_ne!(tel("tel:+1;x=1-2"), tel("tel:+1;x=12"));
        assert_ne!(tel("tel:+1"), tel("tel:1"));
        assert_ne!(tel("tel:+1"), tel("tel:+1;ext=2"));
        assert_ne!(tel("tel:1;phone-context=a.com"), tel("tel:1;phone-context=b.com"));
    }
}
