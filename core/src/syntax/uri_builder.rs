use std::fmt::Write as _;

use super::{Host, Scheme, Uri, UriBuf, UriError, escape::escape, scan};

/// Builds a `sip`, `sips` or `tel` URI out of its parts, escaped as they must be.
///
/// What it builds was parsed again, so it is always a good one.
///
/// ```
/// use sansip::syntax::{Host, UriBuilder};
///
/// let uri = UriBuilder::sip(Host::parse("[2001:db8::1]")?)
///     .user("j. doe;x")
///     .port(5070)
///     .param("transport", "tcp")
///     .flag("lr")
///     .header("Subject", "A & B")
///     .build()?;
/// assert_eq!(uri.as_str(), "sip:j.%20doe;x@[2001:db8::1]:5070;transport=tcp;lr?Subject=A%20%26%20B");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct UriBuilder {
    scheme: &'static str,
    /// All texts are escaped.
    user: Option<String>,
    password: Option<String>,
    host: String,
    port: Option<u16>,
    params: Vec<(String, Option<String>)>,
    headers: Vec<(String, String)>,
}

impl UriBuilder {
    /// Begins a `sip` URI.
    pub fn sip(host: Host<'_>) -> Self {
        Self::new("sip", host.to_string())
    }

    /// Begins a `sips` URI.
    pub fn sips(host: Host<'_>) -> Self {
        Self::new("sips", host.to_string())
    }

    /// Begins a `tel` URI. A number without `+` needs a `phone-context` (RFC 3966 §5.1.5).
    pub fn tel(number: &str) -> Self {
        let mut builder = Self::new("tel", String::new());
        builder.user = Some(number.into());
        builder
    }

    fn new(scheme: &'static str, host: String) -> Self {
        let (params, headers) = (Vec::new(), Vec::new());
        Self { scheme, user: None, password: None, host, port: None, params, headers }
    }

    /// Begins with the parts of a URI; `None` if it is another than a `sip`, `sips` or `tel` URI.
    pub fn of(uri: Uri<'_>) -> Option<Self> {
        let scheme = match uri.scheme() {
            Scheme::Sip => "sip",
            Scheme::Sips => "sips",
            Scheme::Tel => "tel",
            Scheme::Other(_) => return None,
        };
        let params = uri.params().map(|(name, value)| (name.into(), value.map(Into::into)));
        let headers = uri.header_pairs().map(|(name, value)| (name.into(), value.into()));
        Some(Self {
            scheme,
            user: uri.user().map(Into::into),
            password: uri.password().map(Into::into),
            host: uri.host_text().unwrap_or("").into(),
            port: uri.port(),
            params: params.collect(),
            headers: headers.collect(),
        })
    }

    /// Sets the user, whatever it consists of; of a `tel` URI the number.
    pub fn user(mut self, user: &str) -> Self {
        self.user = Some(if self.scheme == "tel" { user.into() } else { escape(user, scan::USER_WRITTEN) });
        self
    }

    /// Sets the password, whatever it consists of.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(escape(password, scan::PASSWORD));
        self
    }

    /// Leaves user and password out.
    pub fn without_user(mut self) -> Self {
        (self.user, self.password) = (None, None);
        self
    }

    /// Sets the host.
    pub fn host(mut self, host: Host<'_>) -> Self {
        self.host = host.to_string();
        self
    }

    /// Sets the port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Leaves the port out.
    pub fn without_port(mut self) -> Self {
        self.port = None;
        self
    }

    /// Sets a parameter, in the place of one of that name.
    pub fn param(self, name: &str, value: &str) -> Self {
        self.set(name, Some(escape(value, scan::PARAM)))
    }

    /// Sets a parameter without a value.
    pub fn flag(self, name: &str) -> Self {
        self.set(name, None)
    }

    fn set(mut self, name: &str, value: Option<String>) -> Self {
        let name = escape(name, scan::PARAM);
        match self.params.iter_mut().find(|param| param.0.eq_ignore_ascii_case(&name)) {
            Some(param) => param.1 = value,
            None => self.params.push((name, value)),
        }
        self
    }

    /// Leaves a parameter out.
    pub fn without_param(mut self, name: &str) -> Self {
        let name = escape(name, scan::PARAM);
        self.params.retain(|param| !param.0.eq_ignore_ascii_case(&name));
        self
    }

    /// Leaves all parameters out.
    pub fn without_params(mut self) -> Self {
        self.params.clear();
        self
    }

    /// Adds a header field (RFC 3261 §19.1.1).
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((escape(name, scan::HNV), escape(value, scan::HNV)));
        self
    }

    /// Leaves all header fields out.
    pub fn without_headers(mut self) -> Self {
        self.headers.clear();
        self
    }

    /// Builds the URI. Fails on an empty user, name or value, on a malformed host or number, and on what is too long.
    pub fn build(&self) -> Result<UriBuf, UriError> {
        let mut text = format!("{}:", self.scheme);
        if self.scheme == "tel" {
            text.push_str(self.user.as_deref().unwrap_or(""));
        } else {
            self.write_address(&mut text)?;
        }
        for (name, value) in &self.params {
            text.push(';');
            text.push_str(name);
            if let Some(value) = value {
                text.push('=');
                text.push_str(value);
            }
        }
        for (at, (name, value)) in self.headers.iter().enumerate() {
            text.push(if at == 0 { '?' } else { '&' });
            text.push_str(name);
            text.push('=');
            text.push_str(value);
        }
        let uri: UriBuf = text.parse()?;
        self.verify(uri)
    }

    fn write_address(&self, text: &mut String) -> Result<(), UriError> {
        match (&self.user, &self.password) {
            (None, None) => {}
            (None, Some(_)) => return Err(UriError::User),
            (Some(user), password) => {
                text.push_str(user);
                if let Some(password) = password {
                    text.push(':');
                    text.push_str(password);
                }
                text.push('@');
            }
        }
        text.push_str(&self.host);
        if let Some(port) = self.port {
            write!(text, ":{port}").expect("a string grows as it is written to");
        }
        Ok(())
    }

    /// Sees that the parts are those meant: a host or a number that is none may have become something else.
    fn verify(&self, uri: UriBuf) -> Result<UriBuf, UriError> {
        let read = uri.as_uri();
        if self.scheme == "tel" {
            let number = self.user.as_deref().filter(|number| Some(*number) == read.user());
            let local = number.ok_or(UriError::Number)?;
            let placed = local.starts_with('+') || read.param("phone-context").flatten().is_some();
            return if placed { Ok(uri) } else { Err(UriError::Number) };
        }
        let same = read.host_text() == Some(&self.host) && read.port() == self.port;
        let user = read.user() == self.user.as_deref() && read.password() == self.password.as_deref();
        if same && user { Ok(uri) } else { Err(UriError::Host) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host<'_> {
        Host::parse(text).expect(text)
    }

    /// RFC 3261 §19.1.1–§19.1.2: whatever the parts are, they come back.
    #[test]
    fn escapes_what_must_be() {
        for text in ["alice", "a@b:c", "ü \0\r\n", "<sip:x>;lr?y=z", "\"", "%41", "#1"] {
            let uri = UriBuilder::sips(host("b.example"))
                .user(text)
                .password(text)
                .param("p", text)
                .header("h", text)
                .build()
                .expect(text);
            let read = uri.as_uri();
            let plain = |part: Option<&str>| super::super::escape::unescape(part.unwrap_or("")).into_owned();
            assert_eq!(plain(read.user()), text);
            assert_eq!(plain(read.password()), text);
            assert_eq!(plain(read.param("p").flatten()), text);
            assert_eq!(read.headers().next(), Some(("h".into(), text.into())));
            assert!(uri.as_str().bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"#".contains(&byte)));
        }
    }

    #[test]
    fn edits_what_is_there() {
        let uri = Uri::parse("sip:a%20b:pw@c:5061;Transport=udp;lr;x=%3b?h=1&i=2").expect("a URI");
        let same = UriBuilder::of(uri).and_then(|builder| builder.build().ok()).expect("a URI");
        assert_eq!(same.as_uri(), uri);
        let edited = UriBuilder::of(uri).expect("a SIP URI");
        let edited = edited.without_user().host(host("[::1]")).param("transport", "tls").without_param("LR");
        assert_eq!(edited.build().expect("a URI").as_str(), "sip:[::1]:5061;Transport=tls;x=%3b?h=1&i=2");
        let bare = edited.without_port().without_params().without_headers();
        assert_eq!(bare.build().expect("a URI").as_str(), "sip:[::1]");
        assert!(UriBuilder::of(Uri::parse("urn:a:b").expect("a URI")).is_none());
    }

    #[test]
    fn cannot_build_what_is_no_uri() {
        let sip = || UriBuilder::sip(host("a"));
        assert_eq!(sip().user("").build(), Err(UriError::User));
        assert_eq!(sip().password("x").build(), Err(UriError::User));
        assert_eq!(sip().param("", "x").build(), Err(UriError::Param));
        assert_eq!(sip().param("x", "").build(), Err(UriError::Param));
        assert_eq!(sip().header("", "x").build(), Err(UriError::Header));
        for bad in ["", "a:5", "a;lr", "b@c", "a?x=y", "a..b", "a b"] {
            assert!(UriBuilder::sip(Host::Name(bad)).build().is_err(), "{bad}");
        }
        assert_eq!(sip().user(&"a".repeat(65_536)).build(), Err(UriError::TooLong));
        assert_eq!(UriBuilder::tel("7042").build(), Err(UriError::Number));
        assert!(UriBuilder::tel("7042").param("phone-context", "example.com").build().is_ok());
        assert!(
            UriBuilder::tel("+1-2")
                .param("ext", "3")
                .build()
                .is_ok_and(|uri| uri.as_str() == "tel:+1-2;ext=3")
        );
        for bad in ["", "+", "+1;x=y", "+1a", "+1 2"] {
            assert!(UriBuilder::tel(bad).build().is_err(), "{bad}");
        }
        assert!(UriBuilder::tel("+1").header("a", "b").build().is_err());
    }
}
