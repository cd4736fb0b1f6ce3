//! The parts of multipart bodies (RFC 2046 §5.1, RFC 5621 §4).

use std::borrow::Cow;

use smallvec::SmallVec;
use thiserror::Error;

use super::{
    BadDisposition, Disposition, FieldsError, PartFields, disposition, fields::split_head,
    media_type::Parameterized,
};
use crate::{
    base::Limits,
    syntax::{HeaderId, unquote},
};

/// Returns the parts of a multipart body in order, nested ones unopened.
///
/// All subtypes are read alike: who does not know one treats it as `multipart/mixed` (RFC 5621 §4.2).
pub fn parts<'a>(
    content_type: &'a str,
    body: &'a [u8],
    limits: &'a Limits,
) -> Result<Parts<'a>, MultipartError> {
    Parts::new(content_type, body, limits, 1)
}

/// Returns the parts that are not multipart themselves, at whatever depth, in order.
///
/// [`Limits::body_parts`] counts all parts at all depths here.
pub fn leaves<'a>(
    content_type: &'a str,
    body: &'a [u8],
    limits: &'a Limits,
) -> Result<Leaves<'a>, MultipartError> {
    let outermost = parts(content_type, body, limits)?;
    Ok(Leaves { stack: SmallVec::from_iter([outermost]), left: limits.body_parts })
}

/// The parts of one multipart body. Ends with the first error.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    /// What is not read yet; begins with a part, or at first with the preamble.
    rest: &'a [u8],
    boundary: Cow<'a, str>,
    default_type: &'static str,
    limits: &'a Limits,
    /// 1 for the outermost body.
    depth: usize,
    found: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Preamble,
    Parts,
    Over,
}

/// The parts of a multipart body and of those within it. Ends with the first error.
#[derive(Clone, Debug)]
pub struct Leaves<'a> {
    stack: SmallVec<[Parts<'a>; 4]>,
    left: usize,
}

/// One part of a multipart body.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    fields: PartFields<'a>,
    body: &'a [u8],
    default_type: &'static str,
    limits: &'a Limits,
    depth: usize,
}

/// Why a body has no parts, or no more of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MultipartError {
    /// The Content-Type is malformed or not multipart.
    #[error("not multipart")]
    NotMultipart,
    /// The Content-Type has no boundary, or one that is not 1 to 70 visible characters and spaces.
    #[error("missing or malformed boundary")]
    Boundary,
    /// The body is deeper within others than [`Limits::body_depth`].
    #[error("multipart bodies too deep within one another")]
    TooDeep,
    /// There are more parts than [`Limits::body_parts`].
    #[error("too many parts")]
    TooMany,
    /// There is no boundary in the body, or no part behind it.
    #[error("no part")]
    Empty,
    /// The boundary that ends the body is missing.
    #[error("no end of the last part")]
    Unfinished,
    /// The header fields of a part are malformed or too large.
    #[error(transparent)]
    Fields(#[from] FieldsError),
}

impl<'a> Parts<'a> {
    fn new(
        content_type: &'a str,
        body: &'a [u8],
        limits: &'a Limits,
        depth: usize,
    ) -> Result<Self, MultipartError> {
        let media_type = Parameterized::parse(content_type, true).ok_or(MultipartError::NotMultipart)?;
        if !is_multipart(media_type.main) {
            return Err(MultipartError::NotMultipart);
        }
        let boundary = media_type.param("boundary").map(unquote).filter(|text| is_boundary(text));
        let boundary = boundary.ok_or(MultipartError::Boundary)?;
        if depth > limits.body_depth {
            return Err(MultipartError::TooDeep);
        }
        // RFC 2046 §5.1.5.
        let is_digest = media_type.is("multipart/digest");
        let default_type = if is_digest { "message/rfc822" } else { "text/plain" };
        Ok(Self { rest: body, boundary, default_type, limits, depth, found: 0, state: State::Preamble })
    }

    /// Goes to the part after the next boundary, and returns what was before the boundary.
    fn advance(&mut self) -> Option<&'a [u8]> {
        let line = delimiter(self.rest, &self.boundary)?;
        let before = self.rest.get(..line.start).unwrap_or(&[]);
        self.rest = self.rest.get(line.end..).unwrap_or(&[]);
        self.state = if line.closes { State::Over } else { State::Parts };
        Some(before)
    }

    fn read(&mut self) -> Result<Option<Part<'a>>, MultipartError> {
        if self.state == State::Preamble {
            self.advance().ok_or(MultipartError::Empty)?;
            if self.state == State::Over {
                return Err(MultipartError::Empty);
            }
        }
        if self.state == State::Over {
            return Ok(None);
        }
        if self.found == self.limits.body_parts {
            return Err(MultipartError::TooMany);
        }
        self.found += 1;
        let (head, body) = split_head(self.advance().ok_or(MultipartError::Unfinished)?);
        let fields = PartFields::parse(head, self.limits)?;
        let (default_type, limits, depth) = (self.default_type, self.limits, self.depth);
        Ok(Some(Part { fields, body, default_type, limits, depth }))
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>, MultipartError>;

    fn next(&mut self) -> Option<Self::Item> {
        let outcome = self.read();
        if outcome.is_err() {
            self.state = State::Over;
        }
        outcome.transpose()
    }
}

impl<'a> Leaves<'a> {
    fn read(&mut self) -> Result<Option<Part<'a>>, MultipartError> {
        while let Some(innermost) = self.stack.last_mut() {
            let Some(part) = innermost.next().transpose()? else {
                self.stack.pop();
                continue;
            };
            self.left = self.left.checked_sub(1).ok_or(MultipartError::TooMany)?;
            if !part.is_multipart() {
                return Ok(Some(part));
            }
            self.stack.push(part.parts()?);
        }
        Ok(None)
    }
}

impl<'a> Iterator for Leaves<'a> {
    type Item = Result<Part<'a>, MultipartError>;

    fn next(&mut self) -> Option<Self::Item> {
        let outcome = self.read();
        if outcome.is_err() {
            self.stack.clear();
        }
        outcome.transpose()
    }
}

impl<'a> Part<'a> {
    /// Returns the header fields.
    pub fn headers(&self) -> PartFields<'a> {
        self.fields
    }

    /// Returns the Content-Type; without one `text/plain`, or `message/rfc822` in a `multipart/digest`.
    pub fn content_type(&self) -> &'a str {
        self.fields.get(HeaderId::ContentType).unwrap_or(self.default_type)
    }

    /// Returns what the part is for (RFC 3261 §20.11).
    pub fn disposition(&self) -> Result<Disposition<'a>, BadDisposition> {
        disposition(self.fields.get(HeaderId::ContentDisposition), self.content_type())
    }

    /// Returns the Content-ID as it is written, with its angle brackets.
    pub fn content_id(&self) -> Option<&'a str> {
        self.fields.get_named("Content-ID")
    }

    /// Returns the bytes of the part.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Tells whether the part has parts itself.
    pub fn is_multipart(&self) -> bool {
        Parameterized::parse(self.content_type(), true).is_some_and(|kind| is_multipart(kind.main))
    }

    /// Returns the parts of the part, which is one level deeper.
    pub fn parts(&self) -> Result<Parts<'a>, MultipartError> {
        Parts::new(self.content_type(), self.body, self.limits, self.depth + 1)
    }
}

/// The longest boundary (RFC 2046 §5.1.1).
pub(super) const BOUNDARY_MAX: usize = 70;

fn is_multipart(media_type: &str) -> bool {
    media_type.split('/').next().is_some_and(|kind| kind.eq_ignore_ascii_case("multipart"))
}

/// Tells whether a text can be found as a boundary; more characters are taken than `bchars` has.
fn is_boundary(text: &str) -> bool {
    let visible = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    visible && !text.is_empty() && text.len() <= BOUNDARY_MAX && !text.ends_with(' ')
}

/// Where a boundary stands.
struct Delimiter {
    /// Where the part before it ends.
    start: usize,
    /// Where the line after it begins.
    end: usize,
    closes: bool,
}

/// Finds the first line that is a boundary: two hyphens, the boundary, two more if it ends the body, and white space.
///
/// The line break before it belongs to it (RFC 2046 §5.1.1).
fn delimiter(bytes: &[u8], boundary: &str) -> Option<Delimiter> {
    let mut line = 0;
    loop {
        let text = bytes.get(line..).unwrap_or(&[]);
        let after = text.strip_prefix(b"--").and_then(|rest| rest.strip_prefix(boundary.as_bytes()));
        if let Some((length, closes)) = after.and_then(rest_of_delimiter) {
            let end = line + 2 + boundary.len() + length;
            return Some(Delimiter { start: line.saturating_sub(2), end, closes });
        }
        line += next_line(text)?;
    }
}

/// Returns how many bytes follow a boundary in its line with the line break, and whether it ends the body.
fn rest_of_delimiter(rest: &[u8]) -> Option<(usize, bool)> {
    let (after, closes) = match rest.strip_prefix(b"--") {
        Some(after) => (after, true),
        None => (rest, false),
    };
    let hyphens = rest.len() - after.len();
    let padding = after.iter().position(|&byte| byte != b' ' && byte != b'\t').unwrap_or(after.len());
    match after.get(padding..)? {
        [b'\r', b'\n', ..] => Some((hyphens + padding + 2, closes)),
        // Nothing need follow the end of the body, but something must follow the beginning of a part.
        [] if closes => Some((hyphens + padding, closes)),
        _ => None,
    }
}

/// Returns where the next line begins.
fn next_line(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr(b'\n', text.get(from..)?)?;
        if at > 0 && text.get(at - 1) == Some(&b'\r') {
            return Some(at + 1);
        }
        from = at + 1;
    }
}
