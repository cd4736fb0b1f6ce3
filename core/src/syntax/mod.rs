//! SIP messages and their parts: bytes to values and back (RFC 3261 §7, §20, §25).
//!
//! [`Message`] borrows the bytes that it was read from and allocates nothing for up to 32 header fields; [`Request`]
//! and [`Response`] are its owned forms. All three are looked at through [`View`].

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
