use thiserror::Error;

use crate::{
    decision::{Body, Outgoing},
    syntax::{HeaderId, HeaderName, HeaderValue, Method, NameAddr, Uri, UriBuf, UriBuilder, unescape},
};

/// Why a URI describes no request that may be sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FormError {
    /// Its method is no token, or one that needs another request or a dialog.
    #[error("no method to begin with: {0:?}")]
    Method(String),
    /// One of its header fields is malformed.
    #[error("malformed header field in the URI: {0:?}")]
    Header(String),
    /// It wants an extension to be required, and so to be supported.
    #[error("the URI wants {0} to be required")]
    Extension(String),
    /// Without what describes the request, nothing is left that could be asked for.
    #[error("no URI is left")]
    Uri,
}

impl Outgoing {
    /// Makes the request that a URI describes by its `method`, its header fields and its body (RFC 3261 §19.1.5).
    ///
    /// URIs come from web pages and strangers. So header fields that would lie about this side, or lead the request
    /// astray, are left out: From, Route, Contact, Supported and the like.
    ///
    /// ```
    /// use sansip::{Method, Outgoing, syntax::Uri};
    ///
    /// let uri = Uri::parse("sip:bob@example.com;method=MESSAGE?Subject=lunch&body=at%20noon%3F")?;
    /// let request = Outgoing::of_uri(uri)?;
    /// assert_eq!(request.method(), &Method::Message);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_uri(uri: Uri<'_>) -> Result<Self, FormError> {
        let mut outgoing = Self::new(method(uri)?, target(uri)?);
        let (mut kind, mut body) = (HeaderValue::from_static("text/plain"), None);
        for (name, value) in uri.header_pairs() {
            let (name, value) = (unescape(name), unescape(value));
            if name.eq_ignore_ascii_case("body") {
                body = Some(value.into_owned());
                continue;
            }
            let malformed = || FormError::Header(name.to_string());
            let header: HeaderName = name.parse().map_err(|_| malformed())?;
            let text = HeaderValue::try_from(&*value).map_err(|_| malformed())?;
            match header.id() {
                HeaderId::Require | HeaderId::ProxyRequire => {
                    return Err(FormError::Extension(value.into_owned()));
                }
                HeaderId::ContentType => kind = text,
                HeaderId::To => {
                    let to = NameAddr::parse(&value).ok().and_then(|address| address.uri().ok());
                    outgoing = outgoing.to(to.map(UriBuf::from).ok_or_else(malformed)?);
                }
                id if is_dangerous(id) => {}
                _ => outgoing = outgoing.header(header, text),
            }
        }
        Ok(match body {
            Some(body) => outgoing.body(Body::new(kind, body)),
            None => outgoing,
        })
    }

    /// Returns the method.
    pub const fn method(&self) -> &Method {
        &self.method
    }
}

fn method(uri: Uri<'_>) -> Result<Method, FormError> {
    let Some(named) = uri.param("method") else { return Ok(Method::Invite) };
    let named = unescape(named.unwrap_or(""));
    match named.parse() {
        Ok(Method::Ack | Method::Cancel | Method::Bye | Method::Prack | Method::Update) | Err(_) => {
            Err(FormError::Method(named.into_owned()))
        }
        Ok(method) => Ok(method),
    }
}

/// Returns the URI without what describes the request; all other parameters stay.
fn target(uri: Uri<'_>) -> Result<UriBuf, FormError> {
    match UriBuilder::of(uri) {
        Some(builder) => {
            builder.without_param("method").without_headers().build().map_err(|_| FormError::Uri)
        }
        None => Ok(UriBuf::from(uri)),
    }
}

/// RFC 3261 §19.1.5, and what the endpoint writes itself.
const fn is_dangerous(id: HeaderId) -> bool {
    use HeaderId as H;
    matches!(
        id,
        H::From
            | H::CallId
            | H::CSeq
            | H::Via
            | H::RecordRoute
            | H::Route
            | H::Contact
            | H::MaxForwards
            | H::Accept
            | H::AcceptEncoding
            | H::AcceptLanguage
            | H::Allow
            | H::Organization
            | H::Supported
            | H::UserAgent
            | H::Authorization
            | H::ProxyAuthorization
            | H::ContentLength
            | H::ContentEncoding
            | H::ContentDisposition
            | H::ContentLanguage
            | H::Date
            | H::MimeVersion
            | H::Timestamp
    )
}
