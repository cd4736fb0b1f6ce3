//! SIP messages and their parts: bytes to values and back (RFC 3261 §7, §20, §25).
//!
//! [`Message`] borrows the bytes that it was read from and allocates nothing for up to 32 header fields; [`Request`]
//! and [`Response`] are its owned forms. All three are looked at through [`View`].
//!
//! # Parsing
//!
//! [`Message::parse`] takes a datagram, or what a [`Framer`](crate::transport::Framer) cut out of a stream. An error
//! tells what is wrong, where, and with which status and phrase to answer.
//!
//! ```
//! use sansip::{Limits, syntax::{HeaderId, Leniency, Message, Method}};
//!
//! let text = "INVITE sip:bob@example.com;x=%41 SIP/2.0\r\n\
//!     Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1, SIP/2.0/TCP p.example.com;branch=z9hG4bK0\r\n\
//!     v: SIP/2.0/TLS q.example.com\r\nMax-Forwards: 70\r\nf: \"Алиса\" <sip:alice@example.com>;tag=1\r\n\
//!     t: <sip:bob@example.com>\r\ni: a84b4c76e66710\r\nCSeq: 1 INVITE\r\nX-Colour: red\r\n\r\n";
//! let message = Message::parse(text.as_bytes(), &Limits::default()).map_err(|refused| refused.error)?;
//! let view = message.view();
//!
//! assert_eq!(view.method(), Some(Method::Invite));
//! // Escapes stay as they are.
//! assert_eq!(view.request_uri()?.param("x"), Some(Some("%41")));
//! // Rows and commas are one list, whatever the names look like.
//! assert_eq!(view.vias().map(|via| via.transport()).collect::<Vec<_>>(), ["UDP", "TCP", "TLS"]);
//! assert_eq!((view.from().display(), view.from_tag()), (Some("\"Алиса\""), Some("1")));
//!
//! let broken = text.replace("CSeq: 1", "CSeq: one");
//! let refused = Message::parse(broken.as_bytes(), &Limits::default()).expect_err("it has no number");
//! assert_eq!((refused.error.status().as_u16(), refused.error.header), (400, Some(HeaderId::CSeq)));
//! assert_eq!(refused.error.reason().to_string(), "Invalid CSeq");
//!
//! // What can be made sense of is forgiven, unless told otherwise: here or for each listener.
//! let odd = text.replace(" SIP/2.0\r\nVia", "  SIP/2.0\r\nVia");
//! assert!(Message::parse(odd.as_bytes(), &Limits::default()).is_ok());
//! assert!(Message::parse_with(odd.as_bytes(), &Limits::default(), Leniency::NONE).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Reading
//!
//! Header fields are looked up by name, in any case and compact or not, or by type. A type of your own is as good as
//! those in [`header`]: see [`Header`].
//!
//! ```
//! use sansip::{Limits, HeaderName, Request, syntax::header::{Contact, Expires}};
//!
//! let request = Request::parse(
//!     b"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
//!       From: <sip:bob@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: x\r\nCSeq: 1 REGISTER\r\n\
//!       Contact: <sip:bob@192.0.2.1>;q=0.5, <sip:bob@192.0.2.2>\r\nExpires: 60\r\nX-Colour: red\r\n\r\n",
//!     &Limits::default(),
//! )?;
//! let view = request.view();
//! assert_eq!(view.get(&HeaderName::EXPIRES), Some("60"));
//! assert_eq!(view.get("x-colour"), Some("red"));
//! assert_eq!(view.typed::<Expires>(), Some(Ok(Expires(60))));
//! assert_eq!(view.typed_all::<Contact>().filter_map(Result::ok).count(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Building
//!
//! [`RequestBuilder`] and [`ResponseBuilder`] make messages that stand alone; what they build was parsed again. An
//! [`Edit`] changes a message and keeps every byte that it does not change.
//!
//! ```
//! use bytes::BytesMut;
//! use sansip::{
//!     HeaderName, Method, StatusCode,
//!     syntax::{Edit, RequestBuilder, ResponseBuilder},
//! };
//!
//! let request = RequestBuilder::new(Method::Message, "sip:bob@example.com".parse()?)
//!     .via("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1")
//!     .from("<sip:alice@example.com>;tag=1")
//!     .to("<sip:bob@example.com>")
//!     .call_id("x")
//!     .header(HeaderName::SUBJECT, "lunch")
//!     .body("text/plain", "at noon?")
//!     .build()?;
//! let response = ResponseBuilder::to(request.view(), StatusCode::OK, Some("2")).build()?;
//! assert!(response.to_bytes().starts_with(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"));
//!
//! let mut edit = Edit::new(request.view()).ok_or("it was checked")?;
//! edit.max_forwards(69).push_via("SIP/2.0/TCP proxy.example.com;branch=z9hG4bK2")?;
//! let mut forwarded = BytesMut::new();
//! edit.write(&mut forwarded);
//! assert!(forwarded.ends_with(b"Subject: lunch\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\nat noon?"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod build;
mod edit;
mod encode;
mod equivalence;
mod error;
mod escape;
pub mod header;
mod host;
mod leniency;
mod message;
mod method;
mod name_addr;
mod opaque;
mod owned;
mod params;
mod parse;
mod peek;
mod reader;
pub(crate) mod scan;
mod status;
#[cfg(all(any(test, feature = "proptest"), not(target_family = "wasm")))]
pub mod strategy;
mod tel;
mod uri;
mod uri_builder;
mod view;

pub use build::{BuildError, RequestBuilder, ResponseBuilder};
pub use edit::{Edit, EditError, Text};
pub use encode::{Encoder, ViaStamp};
pub use error::{ParseError, ParseErrorKind, ReasonPhrase};
pub use escape::unescape;
pub use header::{
    BadHeaderName, BadHeaderValue, CSeq, Header, HeaderId, HeaderName, HeaderValue, Named, Typed, Via,
};
pub use host::{BadHost, Host};
pub use leniency::Leniency;
pub use message::{Message, Refused};
pub use method::{BadMethod, Method, OtherMethod};
pub use name_addr::NameAddr;
pub use opaque::{Mailto, Urn};
pub use owned::{Request, Response};
pub use params::{Params, unquote};
pub use peek::call_id;
pub use reader::Reader;
pub use status::{BadStatusCode, StatusCode};
pub use tel::{PhoneContext, Tel};
pub use uri::{Scheme, Uri, UriBuf, UriError, UriHeaders};
pub use uri_builder::UriBuilder;
pub use view::{Fields, Headers, List, NameAddrs, Vias, View};
