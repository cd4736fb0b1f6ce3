use std::{fmt, sync::Arc};

use bytes::{BufMut as _, Bytes, BytesMut};
use smallvec::SmallVec;

use super::{
    Message, Method, ParseError, StatusCode, View,
    message::{Facts, Field},
};
use crate::base::Limits;

/// An owned request. Cloning it counts a reference.
#[derive(Clone, PartialEq, Eq)]
pub struct Request(Arc<Owned>);

/// An owned response. Cloning it counts a reference.
#[derive(Clone, PartialEq, Eq)]
pub struct Response(Arc<Owned>);

/// A checked message with its own copy of the bytes.
pub(crate) struct Owned {
    head: Box<str>,
    body: Box<[u8]>,
    /// In place for most messages: one allocation less.
    fields: SmallVec<[Field; 16]>,
    facts: Facts,
}

impl Request {
    pub(crate) fn new(owned: Owned) -> Self {
        Self(Arc::new(owned))
    }

    /// Reads a request, as [`Message::parse`] does.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        let message = Message::parse(bytes, limits).map_err(|refused| refused.error)?;
        message.to_request().ok_or_else(|| wrong_kind(&message))
    }

    /// Returns what lets one look at the request.
    pub fn view(&self) -> View<'_> {
        self.0.view()
    }

    /// Returns the method.
    pub fn method(&self) -> Method {
        self.view().method().expect("a request has a method, and only requests become one")
    }

    /// Copies the bytes, as they arrived.
    pub fn to_bytes(&self) -> Bytes {
        self.0.to_bytes()
    }
}

impl Response {
    pub(crate) fn new(owned: Owned) -> Self {
        Self(Arc::new(owned))
    }

    /// Reads a response, as [`Message::parse`] does.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        let message = Message::parse(bytes, limits).map_err(|refused| refused.error)?;
        message.to_response().ok_or_else(|| wrong_kind(&message))
    }

    /// Returns what lets one look at the response.
    pub fn view(&self) -> View<'_> {
        self.0.view()
    }

    /// Returns the status code.
    pub fn status(&self) -> StatusCode {
        self.view().status().expect("a response has a status, and only responses become one")
    }

    /// Copies the bytes, as they arrived.
    pub fn to_bytes(&self) -> Bytes {
        self.0.to_bytes()
    }
}

fn wrong_kind(message: &Message<'_>) -> ParseError {
    ParseError { kind: super::ParseErrorKind::StartLine, offset: message.base, header: None }
}

impl Owned {
    pub(crate) fn new(message: &Message<'_>) -> Self {
        Self {
            head: message.head.into(),
            body: message.body.into(),
            fields: SmallVec::from_slice(&message.fields),
            facts: message.facts,
        }
    }

    fn view(&self) -> View<'_> {
        View::new(&self.head, &self.body, &self.fields, &self.facts)
    }

    fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.head.len() + self.body.len());
        bytes.put_slice(self.head.as_bytes());
        bytes.put_slice(&self.body);
        bytes.freeze()
    }
}

/// Equality of the bytes; the rest follows from them.
impl PartialEq for Owned {
    fn eq(&self, other: &Self) -> bool {
        self.head == other.head && self.body == other.body
    }
}

impl Eq for Owned {}

/// Shows the start line.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({:?})", self.view().start_line())
    }
}

/// Shows the start line.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({:?})", self.view().start_line())
    }
}

/// Messages are serialised as their bytes and parsed again, with no limits but the format's own, for an endpoint let
/// them in before.
#[cfg(feature = "serde")]
mod serialise {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    use super::{Bytes, Request, Response};
    use crate::syntax::parse::widest;

    impl Serialize for Request {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.to_bytes().serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Request {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Self::parse(&Bytes::deserialize(deserializer)?, &widest()).map_err(D::Error::custom)
        }
    }

    impl Serialize for Response {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.to_bytes().serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Response {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Self::parse(&Bytes::deserialize(deserializer)?, &widest()).map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &[u8] =
        b"\r\nOPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\nFrom: <sip:d@e>;tag=1\r\n\
        To: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nl: 2\r\n\r\nhithe rest";

    #[test]
    fn owned_messages_are_their_bytes() {
        let request = Request::parse(OPTIONS, &Limits::default()).expect("a request");
        assert_eq!(request.to_bytes(), OPTIONS[2..OPTIONS.len() - 8]);
        assert_eq!(request.method(), Method::Options);
        assert_eq!(format!("{request:?}"), "Request(\"OPTIONS sip:a@b SIP/2.0\")");
        assert_eq!(Request::parse(&request.to_bytes(), &Limits::default()), Ok(request));
        assert!(Response::parse(OPTIONS, &Limits::default()).is_err());
    }

    #[cfg(feature = "serde")]
    #[test]
    fn deserialises_and_checks() {
        use serde::{Deserialize as _, de::value::BytesDeserializer};
        let read = |bytes| Request::deserialize(BytesDeserializer::<serde::de::value::Error>::new(bytes));
        assert_eq!(read(OPTIONS).map(|request| request.view().body().to_vec()), Ok(b"hi".to_vec()));
        assert!(read(b"OPTIONS sip:a@b SIP/2.0\r\n\r\n").is_err());
    }
}
