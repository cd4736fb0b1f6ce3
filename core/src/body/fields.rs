use std::fmt;

use thiserror::Error;

use crate::{
    base::Limits,
    syntax::{HeaderId, scan},
};

/// The header fields of a body part or of a fragment, in order: name as it is written, value, id.
///
/// Values have no white space at their ends; folds are left in.
#[derive(Clone, Copy, Default)]
pub struct PartFields<'a> {
    /// Lines that were checked, each but the last with its line break.
    text: &'a str,
}

/// Why bytes are not the header fields of a body part or of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FieldsError {
    /// They are not UTF-8.
    #[error("header fields that are not UTF-8")]
    NotUtf8,
    /// A CR without LF or an LF without CR.
    #[error("line break other than CRLF among header fields")]
    LineBreak,
    /// A line that is no header field.
    #[error("malformed header field")]
    Field,
    /// More bytes than [`Limits::head`].
    #[error("header fields too large")]
    TooLarge,
    /// More than [`Limits::headers`].
    #[error("too many header fields")]
    TooMany,
    /// More bytes in one than [`Limits::header_value`].
    #[error("header field too long")]
    TooLong,
}

/// Parts bytes into header fields and what lies behind the blank line. Without a blank line all are header fields.
pub(super) fn split_head(bytes: &[u8]) -> (&[u8], &[u8]) {
    if let Some(body) = bytes.strip_prefix(b"\r\n") {
        return (&[], body);
    }
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 2);
    let (head, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    (head, rest.strip_prefix(b"\r\n").unwrap_or(rest))
}

impl<'a> PartFields<'a> {
    /// Checks that bytes are header fields within the limits.
    pub(super) fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self, FieldsError> {
        if bytes.len() > limits.head {
            return Err(FieldsError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| FieldsError::NotUtf8)?;
        let mut rest = text;
        let mut count = 0;
        while !rest.is_empty() {
            let (line, after) = split_line(rest);
            let (_, value) = split_field(line).ok_or(FieldsError::Field)?;
            if value.len() > limits.header_value {
                return Err(FieldsError::TooLong);
            }
            count += 1;
            if count > limits.headers {
                return Err(FieldsError::TooMany);
            }
            check_breaks(line)?;
            rest = after;
        }
        Ok(Self { text })
    }

    /// Returns the first value of a header field.
    pub fn get(self, id: HeaderId) -> Option<&'a str> {
        self.all(id).next()
    }

    /// Returns the first value of a header field by its name, in any case.
    pub fn get_named(self, name: &str) -> Option<&'a str> {
        match HeaderId::of(name) {
            HeaderId::Other => {
                let mut all = self;
                all.find(|(candidate, ..)| candidate.eq_ignore_ascii_case(name)).map(|(_, value, _)| value)
            }
            id => self.get(id),
        }
    }

    /// Returns the values of all rows of a header field.
    pub fn all(self, id: HeaderId) -> impl Iterator<Item = &'a str> + use<'a> {
        self.filter(move |&(_, _, candidate)| candidate == id).map(|(_, value, _)| value)
    }

    /// Returns the header fields not yet returned, as they are written.
    pub fn as_str(self) -> &'a str {
        self.text
    }
}

impl<'a> Iterator for PartFields<'a> {
    type Item = (&'a str, &'a str, HeaderId);

    fn next(&mut self) -> Option<Self::Item> {
        if self.text.is_empty() {
            return None;
        }
        let (line, rest) = split_line(self.text);
        self.text = rest;
        let (name, value) = split_field(line)?;
        Some((name, value, HeaderId::of(name)))
    }
}

/// Shows the header fields as they are written.
impl fmt::Debug for PartFields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartFields({:?})", self.text)
    }
}

/// Parts a text into its first line, folded ones as one, and what follows the line break.
fn split_line(text: &str) -> (&str, &str) {
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| memchr::memmem::find(rest.as_bytes(), b"\r\n")) {
        let end = from + at;
        let after = text.get(end + 2..).unwrap_or("");
        // RFC 3261 §7.3.1: a line that begins with white space belongs to the one before.
        if !after.starts_with([' ', '\t']) {
            return (text.get(..end).unwrap_or(""), after);
        }
        from = end + 2;
    }
    (text, "")
}

/// Parts a line at its colon; `None` if what stands before it is no token.
fn split_field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let name = name.trim_end_matches([' ', '\t']);
    scan::is_token(name).then(|| (name, scan::trim(value)))
}

/// Fails at a CR or LF that is no part of a fold.
fn check_breaks(line: &str) -> Result<(), FieldsError> {
    let mut rest = line.as_bytes();
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        match rest.get(at..) {
            Some([b'\r', b'\n', after @ ..]) => rest = after,
            _ => return Err(FieldsError::LineBreak),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PartFields<'_>, FieldsError> {
        PartFields::parse(text.as_bytes(), &Limits::default())
    }

    /// RFC 3261 §7.3.1, §7.3.3: folds, white space, compact forms.
    #[test]
    fn reads_lines_as_messages_have_them() {
        let fields = parse("c : text/plain\r\nX-A: 1\r\n\t2 \r\nCONTENT-ID:<a>\r\nX-a:").unwrap();
        let all: Vec<_> = fields.collect();
        let expected = [
            ("c", "text/plain", HeaderId::ContentType),
            ("X-A", "1\r\n\t2", HeaderId::Other),
            ("CONTENT-ID", "<a>", HeaderId::ContentId),
            ("X-a", "", HeaderId::Other),
        ];
        assert_eq!(all, expected);
        assert_eq!(fields.get(HeaderId::ContentType), Some("text/plain"));
        assert_eq!(fields.get_named("content-id"), Some("<a>"));
        assert_eq!(fields.get_named("Content-Type"), Some("text/plain"));
        assert_eq!(fields.get(HeaderId::Date), None);
        assert_eq!(parse("").map(Iterator::count), Ok(0));
    }

    #[test]
    fn malformed_lines_are_told_apart() {
        for bad in ["no colon", ": x", "a b: x", "A: 1\r\n\r\nB: 2", " A: 1", "é: 1"] {
            assert_eq!(parse(bad).err(), Some(FieldsError::Field), "{bad:?}");
        }
        for bad in ["A: 1\nB: 2", "A: 1\rB: 2", "A: 1\r", "A: 1\r\n\t\n"] {
            assert_eq!(parse(bad).err(), Some(FieldsError::LineBreak), "{bad:?}");
        }
        assert_eq!(PartFields::parse(b"A: \xff", &Limits::default()).err(), Some(FieldsError::NotUtf8));
    }

    #[test]
    fn fields_keep_the_limits_of_messages() {
        let text = "A: 12345\r\nB: 1\r\n";
        let with = |change: fn(&mut Limits)| {
            let mut limits = Limits { head: 16, headers: 2, header_value: 5, ..Limits::default() };
            change(&mut limits);
            PartFields::parse(text.as_bytes(), &limits).err()
        };
        assert_eq!(with(|_| ()), None);
        assert_eq!(with(|limits| limits.head = 15), Some(FieldsError::TooLarge));
        assert_eq!(with(|limits| limits.headers = 1), Some(FieldsError::TooMany));
        assert_eq!(with(|limits| limits.header_value = 4), Some(FieldsError::TooLong));
    }

    #[test]
    fn the_blank_line_parts_head_and_body() {
        assert_eq!(split_head(b"\r\nx"), (&b""[..], &b"x"[..]));
        assert_eq!(split_head(b"A: 1\r\n\r\n\r\nx"), (&b"A: 1\r\n"[..], &b"\r\nx"[..]));
        assert_eq!(split_head(b"A: 1\r\n"), (&b"A: 1\r\n"[..], &b""[..]));
        assert_eq!(split_head(b""), (&b""[..], &b""[..]));
    }
}
