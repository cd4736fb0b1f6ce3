use thiserror::Error;

use super::multipart::BOUNDARY_MAX;
use crate::syntax::{BadHeaderValue, HeaderName, HeaderValue, scan};

/// Builds a multipart body (RFC 2046 §5.1.1).
///
/// The boundary is the caller's, for the core draws nothing; [`build`](Self::build) makes sure that no part has it.
#[derive(Clone, Debug)]
#[must_use]
pub struct MultipartBuf {
    subtype: &'static str,
    /// Further parameters of the Content-Type: name and what goes between the quotes.
    params: Vec<(&'static str, String)>,
    boundary: String,
    parts: Vec<PartBuf>,
}

/// A part of a multipart body to be built.
#[derive(Clone, Debug)]
#[must_use]
pub struct PartBuf {
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

/// Why no multipart body was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MultipartBuildError {
    /// The boundary is not 1 to 70 `bchars` without a space at the end (RFC 2046 §5.1.1).
    #[error("malformed boundary")]
    Boundary,
    /// The boundary occurs in a part.
    #[error("the boundary occurs in a part")]
    BoundaryInPart,
    /// There is no part.
    #[error("no part")]
    Empty,
    /// The start or type of a `multipart/related` has characters that it cannot have.
    #[error("malformed start or type")]
    Related,
    /// The Content-Type would be no header field's value.
    #[error(transparent)]
    Value(#[from] BadHeaderValue),
}

impl MultipartBuf {
    /// Begins a `multipart/mixed`: parts that are independent of one another.
    pub fn mixed(boundary: impl Into<String>) -> Self {
        Self::new("mixed", boundary.into())
    }

    /// Begins a `multipart/alternative`: the same in several forms, the richest last (RFC 5621 §6.1).
    pub fn alternative(boundary: impl Into<String>) -> Self {
        Self::new("alternative", boundary.into())
    }

    /// Begins a `multipart/related`: a compound object of which the part with the Content-ID `start`, or the first one, is
    /// the root (RFC 5621 §7.1). `root_type` is the Content-Type of that part, without parameters.
    pub fn related(boundary: impl Into<String>, root_type: &str, start: Option<&str>) -> Self {
        let mut related = Self::new("related", boundary.into());
        related.params.push(("type", root_type.into()));
        related.params.extend(start.map(|start| ("start", start.into())));
        related
    }

    fn new(subtype: &'static str, boundary: String) -> Self {
        Self { subtype, params: Vec::new(), boundary, parts: Vec::new() }
    }

    /// Adds a part.
    pub fn part(mut self, part: PartBuf) -> Self {
        self.parts.push(part);
        self
    }

    /// Writes the value of the Content-Type and the body.
    pub fn build(&self) -> Result<(HeaderValue, Vec<u8>), MultipartBuildError> {
        let content_type = self.content_type()?;
        if self.parts.is_empty() {
            return Err(MultipartBuildError::Empty);
        }
        let dash_boundary = format!("--{}", self.boundary);
        let finder = memchr::memmem::Finder::new(&dash_boundary);
        let mut body = Vec::new();
        for part in &self.parts {
            body.extend_from_slice(dash_boundary.as_bytes());
            body.extend_from_slice(b"\r\n");
            let start = body.len();
            part.write(&mut body);
            // RFC 2046 §5.1.1: anywhere, for some look at no more than the beginning of a line.
            if finder.find(body.get(start..).unwrap_or(&[])).is_some() {
                return Err(MultipartBuildError::BoundaryInPart);
            }
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(dash_boundary.as_bytes());
        body.extend_from_slice(b"--\r\n");
        Ok((content_type, body))
    }

    fn content_type(&self) -> Result<HeaderValue, MultipartBuildError> {
        if !is_boundary(&self.boundary) {
            return Err(MultipartBuildError::Boundary);
        }
        let mut text = format!("multipart/{};boundary=\"{}\"", self.subtype, self.boundary);
        for (name, value) in &self.params {
            if value.is_empty() || value.contains(['"', '\\']) {
                return Err(MultipartBuildError::Related);
            }
            text.extend([";", name, "=\"", value, "\""]);
        }
        Ok(text.try_into()?)
    }
}

/// Tells whether a text is a `boundary` (RFC 2046 §5.1.1).
fn is_boundary(text: &str) -> bool {
    let is_bchar = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    (1..=BOUNDARY_MAX).contains(&text.len()) && text.bytes().all(is_bchar) && !text.ends_with(' ')
}

impl PartBuf {
    /// Begins a part with its Content-Type.
    pub fn new(content_type: HeaderValue, body: impl Into<Vec<u8>>) -> Self {
        Self { fields: vec![(HeaderName::CONTENT_TYPE, content_type)], body: body.into() }
    }

    /// Adds a header field, such as Content-Disposition or Content-ID.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.fields {
            for text in [name.as_str(), ": ", scan::trim(value.as_str()), "\r\n"] {
                out.extend_from_slice(text.as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: HeaderValue = HeaderValue::from_static("text/plain");

    fn built(boundary: &str, body: &str) -> Result<String, MultipartBuildError> {
        let (_, body) = MultipartBuf::mixed(boundary).part(PartBuf::new(PLAIN, body)).build()?;
        Ok(String::from_utf8(body).expect("it was text"))
    }

    /// C021, RFC 2046 §5.1.1.
    #[test]
    fn prints_boundaries_around_parts() {
        let id = HeaderValue::from_static("<a@b>");
        let root = PartBuf::new(PLAIN, "x\r\n").header("Content-ID".parse().unwrap(), id);
        let related = MultipartBuf::related("b 1", "text/plain", Some("<a@b>")).part(root);
        let (content_type, body) = related.part(PartBuf::new(PLAIN, "")).build().unwrap();
        let expected = "multipart/related;boundary=\"b 1\";type=\"text/plain\";start=\"<a@b>\"";
        assert_eq!(content_type.as_str(), expected);
        let expected = "--b 1\r\nContent-Type: text/plain\r\nContent-ID: <a@b>\r\n\r\nx\r\n\r\n\
            --b 1\r\nContent-Type: text/plain\r\n\r\n\r\n--b 1--\r\n";
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }

    /// RFC 2046 §5.1.1: a boundary has 1 to 70 characters.
    #[test]
    fn boundaries_are_checked() {
        for bad in ["", "a ", "a\"", "a\r\n", "é", "a;b", &"x".repeat(71)] {
            assert_eq!(built(bad, ""), Err(MultipartBuildError::Boundary), "{bad}");
        }
        assert!(built(&"x".repeat(70), "").is_ok());
        assert!(built("'()+_,-./:=? 0aZ", "").is_ok());
        for body in ["--b", "\r\n--b\r\n", "x--bc"] {
            assert_eq!(built("b", body), Err(MultipartBuildError::BoundaryInPart), "{body}");
        }
        assert!(built("b", "-b\r\n- -b").is_ok());
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        assert_eq!(MultipartBuf::alternative("b").build(), Err(MultipartBuildError::Empty));
        for (root_type, start) in [("", None), ("a\"", None), ("a/b", Some("\\"))] {
            let related = MultipartBuf::related("b", root_type, start).part(PartBuf::new(PLAIN, ""));
            assert_eq!(related.build(), Err(MultipartBuildError::Related));
        }
        let related = MultipartBuf::related("b", "a/b\r\nX: y", None).part(PartBuf::new(PLAIN, ""));
        assert!(matches!(related.build(), Err(MultipartBuildError::Value(_))));
    }
}
