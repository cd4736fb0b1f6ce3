//! Bodies: their parts, what they are for, and fragments of messages (RFC 5621, RFC 2046 §5.1, RFC 3420).
//!
//! Reading borrows and goes over the bytes once for each level of nesting. Bodies of other types, such as
//! `application/pidf+xml`, stay bytes: an application that understands them reads them itself. For session
//! descriptions there is `sdp-types`.

mod build;
mod disposition;
mod fields;
mod media_type;
pub mod multipart;
pub mod sipfrag;

pub use build::{MultipartBuf, MultipartBuildError, PartBuf};
pub use disposition::{BadDisposition, Disposition, DispositionType, Handling, disposition};
pub use fields::{FieldsError, PartFields};
