use thiserror::Error;

/// Why a session description cannot be read, answered or changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SdpError {
    /// It is no session description, or not one that this side understands.
    #[error("not a session description: {0}")]
    Malformed(String),
    /// It has more streams than [`Limits::streams`](crate::Limits::streams).
    #[error("{0} media streams are more than the limit allows")]
    TooManyStreams(usize),
    /// It has, or would have, more lines than [`Limits::sdp_lines`](crate::Limits::sdp_lines).
    #[error("{0} lines are more than the limit allows")]
    TooManyLines(usize),
    /// One of its streams has, or would have, more formats than [`Limits::formats`](crate::Limits::formats).
    #[error("{0} formats of a stream are more than the limit allows")]
    TooManyFormats(usize),
    /// It offers streams, and none of them can be taken.
    #[error("nothing in common: no offered stream is audio over RTP/AVP with PCMU or PCMA")]
    NothingInCommon,
    /// It has no such stream.
    #[error("there is no stream {0}")]
    NoStream(usize),
    /// Its origin is missing or has no version.
    #[error("there is no origin with a version")]
    NoOrigin,
    /// Its version is the highest that there is.
    #[error("the version cannot grow any more")]
    LastVersion,
    /// A stream would be left without a format, and it needs one (RFC 8866 §5.14).
    #[error("a stream needs a format")]
    NoFormatLeft,
    /// The stream has that payload type already.
    #[error("payload type {0} is taken")]
    PayloadTaken(u8),
    /// The text cannot stand in a line of its own.
    #[error("no text of one line: {0:?}")]
    NotOneLine(String),
}
