use std::fmt;

use thiserror::Error;

use super::{HeaderId, StatusCode};

/// Why bytes are no message, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// The byte of the input at which it was noticed.
    pub offset: usize,
    /// The header field it is about, if it is about one.
    pub header: Option<HeaderId>,
}

impl ParseError {
    /// Returns the status code that a request with this error is answered with.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            ParseErrorKind::Version => StatusCode::VERSION_NOT_SUPPORTED,
            ParseErrorKind::HeadTooLarge => StatusCode::MESSAGE_TOO_LARGE,
            ParseErrorKind::BodyTooLarge => StatusCode::REQUEST_ENTITY_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Returns the error as it is if `offset` bytes stand before.
    pub(crate) fn shifted(self, offset: usize) -> Self {
        Self { offset: self.offset + offset, ..self }
    }

    /// Returns the reason phrase for that answer: the name of the header field if one is to blame.
    pub fn reason(&self) -> ReasonPhrase {
        ReasonPhrase(*self)
    }
}

impl std::error::Error for ParseError {}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(header) = self.header {
            write!(f, "{header}: ")?;
        }
        write!(f, "{} at byte {}", self.kind, self.offset)
    }
}

/// The reason phrase for a [`ParseError`], printed without making a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasonPhrase(ParseError);

impl fmt::Display for ReasonPhrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.header, self.0.kind) {
            (Some(header), ParseErrorKind::Missing) => write!(f, "Missing {header}"),
            (Some(header), ParseErrorKind::Duplicate) => write!(f, "Duplicate {header}"),
            (Some(header), ParseErrorKind::BodyTooShort) => write!(f, "Invalid {header}"),
            (Some(header), _) if self.0.status() == StatusCode::BAD_REQUEST => write!(f, "Invalid {header}"),
            (None, ParseErrorKind::RequestUri) => f.write_str("Invalid Request-URI"),
            (None, ParseErrorKind::StartLine) => f.write_str("Invalid Request-Line"),
            _ => f.write_str(self.0.status().reason()),
        }
    }
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// There is nothing but line breaks.
    #[error("no message")]
    Empty,
    /// The start line and header fields are not UTF-8 (RFC 3261 §7).
    #[error("not UTF-8")]
    NotUtf8,
    /// A CR without LF or an LF without CR.
    #[error("line break other than CRLF")]
    LineBreak,
    /// The blank line after the header fields is missing.
    #[error("no end of the header fields")]
    Unfinished,
    /// More than [`Limits::head`](crate::Limits::head).
    #[error("start line and header fields too large")]
    HeadTooLarge,
    /// More than [`Limits::headers`](crate::Limits::headers).
    #[error("too many header fields")]
    TooManyHeaders,
    /// More than [`Limits::header_value`](crate::Limits::header_value).
    #[error("header field too long")]
    HeaderTooLong,
    /// More than [`Limits::body`](crate::Limits::body).
    #[error("body too large")]
    BodyTooLarge,
    /// Fewer bytes than Content-Length tells (RFC 3261 §18.3).
    #[error("body shorter than announced")]
    BodyTooShort,
    /// Neither a Request-Line nor a Status-Line.
    #[error("malformed start line")]
    StartLine,
    /// The Request-URI is malformed, or bears header fields.
    #[error("malformed Request-URI")]
    RequestUri,
    /// A version other than SIP/2.0.
    #[error("SIP version not supported")]
    Version,
    /// A line that is no header field.
    #[error("malformed header field")]
    Field,
    /// A header field that every message has is missing.
    #[error("missing")]
    Missing,
    /// A header field that may stand once stands again.
    #[error("given more than once")]
    Duplicate,
    /// A number is malformed or out of range.
    #[error("malformed or too large a number")]
    Number,
    /// The method of the CSeq is not that of the request.
    #[error("not the method of the request")]
    MethodMismatch,
    /// A token is missing.
    #[error("token expected")]
    Token,
    /// A quoted string does not end.
    #[error("malformed quoted string")]
    Quote,
    /// A parameter is malformed.
    #[error("malformed parameter")]
    Param,
    /// A host is malformed.
    #[error("malformed host")]
    Host,
    /// A URI is malformed.
    #[error("malformed URI")]
    Uri,
    /// A display name has characters that must be quoted.
    #[error("malformed display name")]
    DisplayName,
    /// A Via without `SIP/2.0/` and a transport.
    #[error("malformed protocol")]
    Protocol,
    /// A `*` beside other contacts.
    #[error("* beside other values")]
    Star,
    /// A comment in parentheses does not end, or is missing.
    #[error("malformed comment")]
    Comment,
    /// A date is malformed or in another zone than GMT (RFC 3261 §20.17).
    #[error("malformed date")]
    Date,
    /// None of the values that may stand here.
    #[error("unknown value")]
    Value,
    /// More than [`Limits::list`](crate::Limits::list).
    #[error("too many values in one header field")]
    TooManyValues,
    /// More than [`Limits::params`](crate::Limits::params).
    #[error("too many parameters")]
    TooManyParams,
    /// White space where none may stand.
    #[error("unexpected white space")]
    Space,
    /// Something follows where nothing may.
    #[error("unexpected text after the value")]
    Trailing,
    /// A text alone is longer than 65,535 bytes.
    #[error("text too long")]
    TooLong,
}
