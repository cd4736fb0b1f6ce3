use bytes::BytesMut;
use thiserror::Error;

use super::{
    BadHeaderValue, Encoder, Header, HeaderId, HeaderName, HeaderValue, Method, ParseError, Request,
    Response, StatusCode, UriBuf, ViaStamp, View, parse::widest,
};

/// Builds a request that stands alone, for tools and tests.
///
/// What it builds was parsed again, so it is always a message that every element can read. Max-Forwards is 70 and the
/// CSeq number 1 unless set; Via, From, To and Call-ID must be given.
#[derive(Clone, Debug)]
#[must_use]
pub struct RequestBuilder {
    method: Method,
    uri: UriBuf,
    cseq: u32,
    parts: Parts,
}

/// Builds a response that stands alone, for tools and tests.
///
/// What it builds was parsed again, so it is always a message that every element can read.
#[derive(Clone, Debug)]
#[must_use]
pub struct ResponseBuilder {
    status: StatusCode,
    reason: Option<HeaderValue>,
    parts: Parts,
}

/// Why no message was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A value has control characters.
    #[error(transparent)]
    Value(#[from] BadHeaderValue),
    /// The header field is written by the builder itself.
    #[error("{0} is written by the builder")]
    Reserved(HeaderId),
    /// The message would be malformed or lack a header field.
    #[error(transparent)]
    Message(#[from] ParseError),
}

/// Header fields, body, and the first error: builders are chained, so it is told at the end.
#[derive(Clone, Debug, Default)]
struct Parts {
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<(HeaderValue, Vec<u8>)>,
    error: Option<BuildError>,
}

impl RequestBuilder {
    /// Begins a request.
    pub fn new(method: Method, uri: UriBuf) -> Self {
        Self { method, uri, cseq: 1, parts: Parts::default() }
    }

    /// Adds a header field.
    pub fn header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        self.parts.add(name, value.as_ref());
        self
    }

    /// Adds a header field with a value of its type.
    pub fn typed<'h, H: Header<'h>>(self, value: &H) -> Self {
        self.header(H::NAME, value.to_string())
    }

    /// Adds a Via.
    pub fn via(self, value: impl AsRef<str>) -> Self {
        self.header(HeaderName::VIA, value)
    }

    /// Adds the From.
    pub fn from(self, value: impl AsRef<str>) -> Self {
        self.header(HeaderName::FROM, value)
    }

    /// Adds the To.
    pub fn to(self, value: impl AsRef<str>) -> Self {
        self.header(HeaderName::TO, value)
    }

    /// Adds the Call-ID.
    pub fn call_id(self, value: impl AsRef<str>) -> Self {
        self.header(HeaderName::CALL_ID, value)
    }

    /// Adds a Contact.
    pub fn contact(self, value: impl AsRef<str>) -> Self {
        self.header(HeaderName::CONTACT, value)
    }

    /// Sets the number of the CSeq; the method is that of the request.
    pub fn cseq(mut self, number: u32) -> Self {
        self.cseq = number;
        self
    }

    /// Sets the body and its Content-Type.
    pub fn body(mut self, content_type: impl AsRef<str>, body: impl Into<Vec<u8>>) -> Self {
        self.parts.set_body(content_type.as_ref(), body.into());
        self
    }

    /// Builds the request.
    pub fn build(self) -> Result<Request, BuildError> {
        self.parts.forbid(&[HeaderId::CSeq])?;
        let mut out = BytesMut::new();
        let mut encoder = Encoder::request(&mut out, &self.method, self.uri.as_str());
        if !self.parts.has(HeaderId::MaxForwards) {
            encoder = encoder.field_number(HeaderId::MaxForwards, 70);
        }
        encoder = encoder.field_fmt(HeaderId::CSeq, format_args!("{} {}", self.cseq, self.method));
        self.parts.finish(encoder);
        Ok(Request::parse(&out, &widest())?)
    }
}

impl ResponseBuilder {
    /// Begins a response to nothing: Via, From, To, Call-ID and CSeq must be given.
    pub fn new(status: StatusCode) -> Self {
        Self { status, reason: None, parts: Parts::default() }
    }

    /// Begins the response to a request, with what RFC 3261 §8.2.6.2 copies; `to_tag` goes into a To that has no tag.
    pub fn to(request: View<'_>, status: StatusCode, to_tag: Option<&str>) -> Self {
        let mut builder = Self::new(status);
        let mut out = BytesMut::new();
        Encoder::response(&mut out, request, status, None, to_tag, ViaStamp::default()).end(None);
        match Response::parse(&out, &widest()) {
            Ok(response) => {
                for (_, value, id) in
                    response.view().fields().filter(|field| field.2 != HeaderId::ContentLength)
                {
                    if let Ok(name) = HeaderName::try_from(id) {
                        builder.parts.add(name, &unfold(value));
                    }
                }
            }
            Err(error) => builder.parts.error = Some(error.into()),
        }
        builder
    }

    /// Sets the reason phrase.
    pub fn reason(mut self, reason: impl AsRef<str>) -> Self {
        match HeaderValue::try_from(reason.as_ref()) {
            Ok(reason) => self.reason = Some(reason),
            Err(error) => self.parts.fail(error.into()),
        }
        self
    }

    /// Adds a header field.
    pub fn header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        self.parts.add(name, value.as_ref());
        self
    }

    /// Adds a header field with a value of its type.
    pub fn typed<'h, H: Header<'h>>(self, value: &H) -> Self {
        self.header(H::NAME, value.to_string())
    }

    /// Sets the body and its Content-Type.
    pub fn body(mut self, content_type: impl AsRef<str>, body: impl Into<Vec<u8>>) -> Self {
        self.parts.set_body(content_type.as_ref(), body.into());
        self
    }

    /// Builds the response.
    pub fn build(self) -> Result<Response, BuildError> {
        self.parts.forbid(&[])?;
        let mut out = BytesMut::new();
        let reason = self.reason.as_ref().map(HeaderValue::as_str);
        let encoder = Encoder::status_line(&mut out, self.status, reason);
        self.parts.finish(encoder);
        Ok(Response::parse(&out, &widest())?)
    }
}

impl Parts {
    fn add(&mut self, name: HeaderName, value: &str) {
        match HeaderValue::try_from(value) {
            Ok(value) => self.headers.push((name, value)),
            Err(error) => self.fail(error.into()),
        }
    }

    fn set_body(&mut self, content_type: &str, body: Vec<u8>) {
        match HeaderValue::try_from(content_type) {
            Ok(content_type) => self.body = Some((content_type, body)),
            Err(error) => self.fail(error.into()),
        }
    }

    fn fail(&mut self, error: BuildError) {
        self.error.get_or_insert(error);
    }

    fn has(&self, id: HeaderId) -> bool {
        self.headers.iter().any(|(name, _)| name.id() == id)
    }

    /// Fails on an error remembered and on header fields that the builder writes itself.
    fn forbid(&self, ids: &[HeaderId]) -> Result<(), BuildError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let written = [HeaderId::ContentLength, HeaderId::ContentType];
        match ids.iter().chain(&written).find(|&&id| self.has(id)) {
            Some(&id) => Err(BuildError::Reserved(id)),
            None => Ok(()),
        }
    }

    fn finish(&self, encoder: Encoder<'_>) {
        let mut encoder = encoder;
        for (name, value) in &self.headers {
            encoder = encoder.field_name(name, value.as_str());
        }
        encoder.end(self.body.as_ref().map(|(content_type, body)| (content_type.as_str(), body.as_slice())));
    }
}

/// RFC 3261 §7.3.1: a fold means a space.
fn unfold(value: &str) -> String {
    value.split("\r\n").map(str::trim_start).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::ParseErrorKind;

    fn invite() -> RequestBuilder {
        let uri = "sip:bob@example.com".parse().expect("a URI");
        RequestBuilder::new(Method::Invite, uri)
            .via("SIP/2.0/UDP a;branch=z9hG4bK1")
            .from("<sip:alice@example.com>;tag=1")
            .to("<sip:bob@example.com>")
            .call_id("x@y")
    }

    /// RFC 3261 §8.1.1.
    #[test]
    fn builds_requests_and_their_responses() {
        let request = invite().body("application/sdp", "v=0\r\n").build().expect("a request");
        let view = request.view();
        assert_eq!((view.max_forwards(), view.cseq_number(), view.body()), (Some(70), 1, &b"v=0\r\n"[..]));
        assert_eq!(view.content_type(), Some("application/sdp"));
        let response = ResponseBuilder::to(view, StatusCode::RINGING, Some("2"))
            .reason("Ding")
            .header(HeaderName::CONTACT, "<sip:bob@b>")
            .build()
            .expect("a response");
        assert_eq!((response.status(), response.view().reason()), (StatusCode::RINGING, "Ding"));
        assert_eq!((response.view().to_tag(), response.view().branch()), (Some("2"), Some("z9hG4bK1")));
    }

    #[test]
    fn cannot_build_a_broken_message() {
        let kind = |outcome: Result<Request, BuildError>| match outcome {
            Err(BuildError::Message(error)) => (error.kind, error.header),
            other => panic!("{other:?}"),
        };
        let bare = RequestBuilder::new(Method::Bye, "sip:a".parse().expect("a URI"));
        assert_eq!(kind(bare.build()), (ParseErrorKind::Missing, Some(HeaderId::Via)));
        assert_eq!(kind(invite().to("sip:twice").build()), (ParseErrorKind::Duplicate, Some(HeaderId::To)));
        assert_eq!(kind(invite().cseq(1 << 31).build()), (ParseErrorKind::Number, Some(HeaderId::CSeq)));
        let injected = invite().header(HeaderName::SUBJECT, "a\r\nVia: x").build();
        assert_eq!(injected, Err(BuildError::Value(BadHeaderValue { offset: 1 })));
        let reserved = invite().header(HeaderName::CONTENT_LENGTH, "7").build();
        assert_eq!(reserved, Err(BuildError::Reserved(HeaderId::ContentLength)));
        let reason = ResponseBuilder::new(StatusCode::OK).reason("a\nb").build();
        assert_eq!(reason, Err(BuildError::Value(BadHeaderValue { offset: 1 })));
    }
}
