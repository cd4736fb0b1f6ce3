use std::{fmt, marker::PhantomData, slice};

use super::super::{
    HeaderId, HeaderName, ParseError, ParseErrorKind as Kind, Reader,
    message::Field,
    scan::{self, Cursor, Span},
};
use super::named::sealed::Sealed as _;

/// A value of a header field that has a type of its own.
///
/// It borrows the text that it was read from, and prints itself so that reading what was printed gives an equal value.
/// Anybody can add one:
///
/// ```
/// use sansip::syntax::{Header, HeaderName, ParseErrorKind, Reader, Request};
///
/// /// `Seat: row "/" number`, several between commas.
/// #[derive(Debug, PartialEq)]
/// struct Seat<'a> {
///     row: &'a str,
///     number: u32,
/// }
///
/// impl<'a> Header<'a> for Seat<'a> {
///     const NAME: HeaderName = HeaderName::from_static("Seat");
///     const LIST: bool = true;
///
///     fn read(reader: &mut Reader<'a>) -> Result<Self, ParseErrorKind> {
///         let row = reader.token()?;
///         if !reader.eat_separator(b'/') {
///             return Err(ParseErrorKind::Value);
///         }
///         Ok(Self { row, number: reader.number(99)? })
///     }
/// }
///
/// impl std::fmt::Display for Seat<'_> {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         write!(f, "{}/{}", self.row, self.number)
///     }
/// }
///
/// let request = b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\nFrom: <sip:d@e>;tag=1\r\n\
///     To: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nSeat: a/1, b/2\r\nseat: c/3\r\n\r\n";
/// let request = Request::parse(request, &sansip::Limits::default()).expect("a request");
/// assert_eq!(request.view().typed(), Some(Ok(Seat { row: "a", number: 1 })));
/// assert_eq!(request.view().typed_all::<Seat>().count(), 3);
/// ```
pub trait Header<'a>: fmt::Display + Sized {
    /// The name of the header field; of another than the known ones made by [`HeaderName::from_static`].
    const NAME: HeaderName;

    /// Whether commas part several values in one row (RFC 3261 §7.3.1).
    const LIST: bool;

    /// Reads one value, up to the end or, in a list, to the comma behind it.
    fn read(reader: &mut Reader<'a>) -> Result<Self, Kind>;

    /// Reads one value, which must be all of the text.
    fn parse(text: &'a str) -> Result<Self, ParseError> {
        let failed = |kind, offset| ParseError { kind, offset, header: header_of::<Self>() };
        let mut reader = Reader::new(text).map_err(|kind| failed(kind, text.len()))?;
        let value = Self::read(&mut reader).map_err(|kind| failed(kind, reader.position()))?;
        if reader.at_end() { Ok(value) } else { Err(failed(Kind::Trailing, reader.position())) }
    }
}

/// The id for errors; those of names that are not known bear none.
fn header_of<'a, H: Header<'a>>() -> Option<HeaderId> {
    Some(H::NAME.id()).filter(|&id| id != HeaderId::Other)
}

/// The values of all rows of one header field, each as far as it is one.
///
/// Behind a malformed value it goes on with the next one. Offsets of errors count from the start line.
pub struct Typed<'a, H> {
    head: &'a str,
    fields: slice::Iter<'a, Field>,
    reader: Option<Reader<'a>>,
    values: PhantomData<H>,
}

impl<'a, H: Header<'a>> Typed<'a, H> {
    pub(crate) fn new(head: &'a str, fields: &'a [Field]) -> Self {
        Self { head, fields: fields.iter(), reader: None, values: PhantomData }
    }

    /// Reads the values of a text, such as one that a registrar keeps. Offsets of errors count from its beginning.
    pub fn of(text: &'a str) -> Result<Self, ParseError> {
        let failed = |kind| ParseError { kind, offset: text.len(), header: header_of::<H>() };
        let reader = Reader::new(text).map_err(failed)?;
        Ok(Self { head: text, fields: [].iter(), reader: Some(reader), values: PhantomData })
    }

    fn next_row(&mut self) -> Option<Reader<'a>> {
        let head = self.head;
        let field = self.fields.find(|field| (&H::NAME).key().is_of(field, head))?;
        Some(Reader::within(head, field.value))
    }
}

impl<'a, H: Header<'a>> Iterator for Typed<'a, H> {
    type Item = Result<H, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut reader = match self.reader.take() {
                Some(reader) => reader,
                None => self.next_row()?,
            };
            if H::LIST {
                // RFC 3261 §7.3.1 knows no empty elements, but they harm nobody.
                while reader.eat_separator(b',') {}
                if reader.at_end() {
                    continue;
                }
            }
            let start = reader.position();
            return Some(match read_element(&mut reader) {
                Ok(value) => {
                    self.reader = reader.eat(b',').then_some(reader);
                    Ok(value)
                }
                Err(error) => {
                    self.reader = if H::LIST { after_comma(reader, start) } else { None };
                    Err(error)
                }
            });
        }
    }
}

/// Reads one value and sees that nothing but a comma follows.
#[inline]
fn read_element<'a, H: Header<'a>>(reader: &mut Reader<'a>) -> Result<H, ParseError> {
    let outcome = H::read(reader).and_then(|value| {
        let done = reader.at_end() || H::LIST && reader.peek() == Some(b',');
        if done { Ok(value) } else { Err(Kind::Trailing) }
    });
    outcome.map_err(|kind| ParseError { kind, offset: reader.position(), header: header_of::<H>() })
}

/// Goes from the start of a malformed element to the next one.
fn after_comma(reader: Reader<'_>, start: usize) -> Option<Reader<'_>> {
    let mut reader = reader;
    let cursor = reader.cursor();
    cursor.pos = start;
    cursor.pos += end_of_item(cursor.rest());
    cursor.eat(b',').then_some(reader)
}

/// Returns where the first comma outside of quotes and angle brackets stands, or the length.
pub(crate) fn end_of_item(text: &[u8]) -> usize {
    let mut cursor = Cursor::new(text);
    loop {
        cursor.pos += scan::prefix(cursor.rest(), scan::ITEM);
        match cursor.peek() {
            Some(b'"') if cursor.quoted().is_ok() => {}
            Some(b'<') => match memchr::memchr(b'>', cursor.rest()) {
                Some(offset) => cursor.pos += offset + 1,
                None => return text.len(),
            },
            Some(b'"') => return text.len(),
            _ => return cursor.pos,
        }
    }
}

impl<H> Clone for Typed<'_, H> {
    fn clone(&self) -> Self {
        Self { head: self.head, fields: self.fields.clone(), reader: self.reader, values: PhantomData }
    }
}

impl<H> fmt::Debug for Typed<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Typed({} rows left)", self.fields.len())
    }
}

/// Reads all values of one row.
#[inline]
pub(crate) fn check_row<'a, H: Header<'a>>(head: &'a str, value: Span) -> Result<(), ParseError> {
    let mut reader = Reader::within(head, value);
    if H::LIST {
        loop {
            while reader.eat_separator(b',') {}
            if reader.at_end() {
                return Ok(());
            }
            read_element::<H>(&mut reader)?;
        }
    }
    read_element::<H>(&mut reader).map(|_| ())
}
