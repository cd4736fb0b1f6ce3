//! Header fields: their names, and the values with a grammar of their own.

mod cseq;
mod name;
mod value;
mod via;

pub use cseq::CSeq;
pub(crate) use cseq::{CSeqSpans, scan as scan_cseq};
pub use name::{BadHeaderName, HeaderId, HeaderName};
pub use value::{BadHeaderValue, HeaderValue};
pub use via::Via;
pub(crate) use via::{ViaSpans, scan as scan_via};
