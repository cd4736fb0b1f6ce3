use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    net::IpAddr,
};

use bytes::BytesMut;
use smallvec::SmallVec;
use thiserror::Error;

use super::{
    BadHeaderValue, HeaderId, HeaderName, NameAddr, ParseErrorKind, Uri, Via, ViaStamp, View,
    header::{HOPS_MAX, scan_via},
    message::{Field, StartLine},
    name_addr,
    parse::{check_value, needs_sense},
    scan::Cursor,
};

/// Changes to a message, written as splices over the bytes that it arrived in.
///
/// All that is not changed goes out byte for byte: order, spelling of names, white space and folds. Every change is one
/// to the message *as it arrived*, so their order matters only among those that add rows. What is removed stays removed,
/// whatever else is done to it. Up to 12 splices take nothing from the heap.
#[derive(Clone)]
pub struct Edit<'m> {
    view: View<'m>,
    /// By place; what is to be inserted stands before what is to be replaced from there on.
    splices: SmallVec<[Splice<'m>; 12]>,
    body: Option<&'m [u8]>,
    via: Top,
    route: Top,
    /// Insertions so far, to keep them apart where they share a place.
    count: i16,
}

/// A text to write into a message: one piece, or several that are written one after the other.
#[derive(Clone, Copy, Debug)]
pub enum Text<'m> {
    /// A whole text.
    Whole(&'m str),
    /// Pieces of a text, so that a caller need not join them.
    Pieces(&'m [&'m str]),
}

/// Why a change was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EditError {
    /// A value has control characters.
    #[error(transparent)]
    Value(#[from] BadHeaderValue),
    /// Header fields have no place in a Request-URI (RFC 3261 §19.1.1).
    #[error("a Request-URI with header fields")]
    RequestUri,
    /// A response has no Request-URI.
    #[error("a response has no Request-URI")]
    NoRequest,
    /// The header field follows the body and is not set by hand.
    #[error("{0} follows the body")]
    Reserved(HeaderId),
    /// No message is one without the header field (RFC 3261 §8.1.1).
    #[error("a message needs {0}")]
    Needed(HeaderId),
    /// The value is none of the header field, and every element reads it.
    #[error("{0}: {1}")]
    Malformed(HeaderId, ParseErrorKind),
}

impl<'m> Edit<'m> {
    /// Begins with no change; `None` if the message was not checked or was refused.
    pub fn new(view: View<'m>) -> Option<Self> {
        let top = Top { row: 0, pos: None };
        let edit =
            Self { view, splices: SmallVec::new(), body: None, via: top.clone(), route: top, count: 0 };
        view.facts().checked.then_some(edit)
    }

    /// Sets the Request-URI (RFC 3261 §16.6 step 2). Superfluous spaces around it go.
    pub fn request_uri(&mut self, uri: Uri<'m>) -> Result<&mut Self, EditError> {
        let StartLine::Request { method, uri: old } = self.view.facts().line else {
            return Err(EditError::NoRequest);
        };
        if uri.headers_text().is_some() {
            return Err(EditError::RequestUri);
        }
        let mut cursor = Cursor::new(self.view.head_bytes());
        cursor.pos = old.end();
        while cursor.eat(b' ') {}
        let text = Text::Whole(uri.as_str());
        self.splice(
            method.end(),
            cursor.pos,
            New { before: " ", value: Value::Text(text), after: " ", ..New::NOTHING },
        );
        Ok(self)
    }

    /// Sets Max-Forwards (RFC 3261 §16.6 step 3), which is added below the Vias if it is missing, to at most 299.
    pub fn max_forwards(&mut self, hops: u32) -> &mut Self {
        let value = Value::Number(hops.min(HOPS_MAX));
        match self.view.rows(HeaderId::MaxForwards).next() {
            Some(row) => self.splice(row.value.start(), row.value.end(), New { value, ..New::NOTHING }),
            None => {
                let place = self.below(HeaderId::Via);
                let new = New::row(HeaderId::MaxForwards.with_colon(), value);
                self.put(Splice::new(place, place, new).set(FIRST));
            }
        }
        self
    }

    /// Puts a Via above all others (RFC 3261 §16.6 step 8).
    pub fn push_via(&mut self, value: impl Into<Text<'m>>) -> Result<&mut Self, EditError> {
        let value = Value::checked(value.into())?;
        let place = self.above(HeaderId::Via).unwrap_or_else(|| self.first_row());
        self.push_row(place, HeaderId::Via, value);
        Ok(self)
    }

    /// Removes the topmost Via that is left (RFC 3261 §16.7 step 3) and returns it.
    pub fn pop_via(&mut self) -> Option<Via<'m>> {
        let mut top = self.via.clone();
        let spans = self.pop(&mut top, HeaderId::Via, scan_via)?;
        self.via = top;
        Some(Via::new(self.view.head_text(), spans))
    }

    /// Stamps the topmost Via that is left, as a server does (RFC 3261 §18.2.1, RFC 3581 §4). Of a parameter that stands
    /// there twice, the first counts.
    pub fn stamp_via(&mut self, stamp: ViaStamp) -> &mut Self {
        let Some((_, mut cursor)) = self.via.find(self.view, HeaderId::Via) else { return self };
        let Ok(via) = scan_via(&mut cursor) else { return self };
        if let (true, Some(port)) = (via.rport.has_no_value(), stamp.rport) {
            let at = via.rport.name_end();
            self.splice(at, at, New { before: "=", value: Value::Number(port.into()), ..New::NOTHING });
        }
        if let Some(address) = stamp.received {
            let (value, end) = (Value::Address(address), via.whole().end());
            if via.received.is_absent() {
                let new = New { before: ";received=", value, ..New::NOTHING };
                self.put(Splice::new(end, end, new).set(RECEIVED));
            } else {
                let new = New { before: "=", value, ..New::NOTHING };
                self.splice(via.received.name_end(), via.received.end(), new);
            }
        }
        self
    }

    /// Puts a Record-Route above all others (RFC 3261 §16.6 step 4).
    pub fn push_record_route(&mut self, value: impl Into<Text<'m>>) -> Result<&mut Self, EditError> {
        let value = Value::checked(value.into())?;
        let place = self.above(HeaderId::RecordRoute).unwrap_or_else(|| self.below(HeaderId::Via));
        self.push_row(place, HeaderId::RecordRoute, value);
        Ok(self)
    }

    /// Removes the topmost Route that is left (RFC 3261 §16.4) and returns it.
    pub fn pop_route(&mut self) -> Option<NameAddr<'m>> {
        let mut top = self.route.clone();
        let spans = self.pop(&mut top, HeaderId::Route, name_addr::scan)?;
        self.route = top;
        Some(NameAddr::new(self.view.head_text(), spans))
    }

    /// Puts a Route below all others (RFC 3261 §16.6 step 6).
    pub fn append_route(&mut self, value: impl Into<Text<'m>>) -> Result<&mut Self, EditError> {
        let value = Value::checked(value.into())?;
        let id = if self.above(HeaderId::Route).is_some() { HeaderId::Route } else { HeaderId::Via };
        let place = self.below(id);
        self.append(place, New::row(HeaderId::Route.with_colon(), value));
        Ok(self)
    }

    /// Adds a row below all others. A header field that may stand only once is set instead.
    pub fn add(&mut self, name: &'m HeaderName, value: impl Into<Text<'m>>) -> Result<&mut Self, EditError> {
        if name.id().is_single() {
            return self.replace_first(name, value);
        }
        let value = self.checked(name, value.into())?;
        let place = self.blank_line();
        self.append(place, New::named(name, value));
        Ok(self)
    }

    /// Makes all rows of a header field one, where the first of them is, or adds it if there is none.
    pub fn replace(
        &mut self,
        name: &'m HeaderName,
        value: impl Into<Text<'m>>,
    ) -> Result<&mut Self, EditError> {
        self.replace_first(name, value)?;
        self.remove_rows(name, 1, REMOVED);
        Ok(self)
    }

    /// Changes the value of the first row of a header field, or adds it if there is none.
    pub fn replace_first(
        &mut self,
        name: &'m HeaderName,
        value: impl Into<Text<'m>>,
    ) -> Result<&mut Self, EditError> {
        let value = self.checked(name, value.into())?;
        let first = self.rows_of(name).next().and_then(|row| self.view.all_rows().get(row));
        match first {
            Some(row) => self.set_value(row, value),
            None => {
                self.count = self.count.saturating_add(1);
                self.set_missing(New::named(name, value), self.count);
            }
        }
        Ok(self)
    }

    /// Removes all rows of a header field.
    pub fn remove(&mut self, name: &HeaderName) -> Result<&mut Self, EditError> {
        self.removable(name)?;
        self.remove_rows(name, 0, REMOVED);
        Ok(self)
    }

    /// Removes the first row of a header field.
    pub fn remove_first(&mut self, name: &HeaderName) -> Result<&mut Self, EditError> {
        self.removable(name)?;
        if let Some(row) = self.rows_of(name).next() {
            self.remove_row(row, REMOVED);
        }
        Ok(self)
    }

    /// Replaces the body, with its Content-Type; Content-Length follows. Content-Encoding goes, for it told how to read
    /// the old one.
    pub fn body(&mut self, body: Option<(&'m str, &'m [u8])>) -> Result<&mut Self, EditError> {
        let (content_type, bytes) = match body {
            Some((content_type, bytes)) => (Some(Value::checked(content_type.into())?), bytes),
            None => (None, &[][..]),
        };
        // What an earlier body did.
        self.splices.retain(|splice| splice.order != CONTENT_TYPE);
        match content_type {
            Some(value) => self.set_row(HeaderId::ContentType, value, CONTENT_TYPE),
            None => self.remove_rows(&HeaderName::CONTENT_TYPE, 0, CONTENT_TYPE),
        }
        self.remove_rows(&HeaderName::CONTENT_ENCODING, 0, REMOVED);
        self.body = Some(bytes);
        self.content_length();
        self.remove_rows(&HeaderName::CONTENT_LENGTH, 1, REMOVED);
        Ok(self)
    }

    /// Adds a Content-Length if there is none, which a stream needs (RFC 3261 §18.3).
    pub fn content_length(&mut self) -> &mut Self {
        if self.body.is_some() || self.view.rows(HeaderId::ContentLength).next().is_none() {
            let length = u32::try_from(self.new_body().len()).unwrap_or(u32::MAX);
            self.set_row(HeaderId::ContentLength, Value::Number(length), CONTENT_LENGTH);
        }
        self
    }

    /// Returns how many bytes [`write`](Self::write) writes, as RFC 3261 §18.1.1 asks for.
    pub fn size(&self) -> usize {
        let mut size = self.new_body().len();
        self.walk(|kept, new| size += kept.len() + new.map_or(0, New::size));
        size
    }

    /// Writes the message to the end of a buffer.
    pub fn write(&self, out: &mut BytesMut) {
        out.reserve(self.size());
        self.walk(|kept, new| {
            out.extend_from_slice(kept);
            if let Some(new) = new {
                new.write(out);
            }
        });
        out.extend_from_slice(self.new_body());
    }

    /// Calls `emit` with each stretch of the head that is kept and what comes after it.
    fn walk(&self, mut emit: impl FnMut(&'m [u8], Option<&New<'m>>)) {
        let head = self.view.head_bytes();
        let mut at = 0;
        for splice in &self.splices {
            // What lies within something removed goes with it.
            if splice.start >= at {
                let kept = head.get(at.into()..splice.start.into()).unwrap_or(&[]);
                emit(kept, Some(&splice.new));
            }
            at = at.max(splice.end);
        }
        emit(head.get(at.into()..).unwrap_or(&[]), None);
    }

    fn new_body(&self) -> &'m [u8] {
        self.body.unwrap_or_else(|| self.view.body())
    }

    /// Removes the element at `top` and moves `top` to the one behind it.
    fn pop<T>(
        &mut self,
        top: &mut Top,
        id: HeaderId,
        scan: impl FnOnce(&mut Cursor<'m>) -> Result<T, ParseErrorKind>,
    ) -> Option<T> {
        let (row, mut cursor) = top.find(self.view, id)?;
        let start = cursor.pos;
        let element = scan(&mut cursor).ok()?;
        if cursor.eat(b',') {
            cursor.skip_lws();
            self.put(Splice::new(start, cursor.pos, New::NOTHING).set(REMOVED));
            *top = Top { row, pos: Some(cursor.pos) };
        } else {
            self.remove_row(row, REMOVED);
            *top = Top { row: row + 1, pos: None };
        }
        Some(element)
    }

    /// Sets the value of the first row, or the one row that this change adds at the end.
    fn set_row(&mut self, id: HeaderId, value: Value<'m>, order: i16) {
        match self.view.rows(id).next() {
            Some(row) => self.set_value(row, value),
            None => self.set_missing(New { before: id.as_str(), colon: ": ", value, after: "\r\n" }, order),
        }
    }

    fn set_value(&mut self, row: &Field, value: Value<'m>) {
        self.splice(row.value.start(), row.value.end(), New { value, ..New::NOTHING });
    }

    /// Adds a row at the end, instead of one of that name that was added like this before.
    fn set_missing(&mut self, new: New<'m>, order: i16) {
        let place = self.blank_line();
        let before = self.splices.iter_mut().find(|splice| {
            usize::from(splice.start) == place
                && splice.is_set
                && splice.new.before.eq_ignore_ascii_case(new.before)
        });
        match before {
            Some(splice) => splice.new = new,
            None => self.put(Splice::new(place, place, new).set(order)),
        }
    }

    fn remove_rows(&mut self, name: &HeaderName, kept: usize, order: i16) {
        let mut rows = self.rows_of(name).skip(kept).collect::<SmallVec<[usize; 8]>>();
        rows.drain(..).for_each(|row| self.remove_row(row, order));
    }

    fn remove_row(&mut self, row: usize, order: i16) {
        if let Some(field) = self.view.all_rows().get(row) {
            self.put(Splice::new(field.name.start(), self.end_of(row), New::NOTHING).set(order));
        }
    }

    /// Returns the rows of that name, which may be one that has no id.
    fn rows_of<'n>(&self, name: &'n HeaderName) -> impl Iterator<Item = usize> + use<'m, 'n> {
        let (view, id) = (self.view, name.id());
        let same = move |field: &Field| {
            let named = || field.name.of(view.head_text()).eq_ignore_ascii_case(name.as_str());
            field.id == id && (id != HeaderId::Other || named())
        };
        view.all_rows().iter().enumerate().filter(move |(_, field)| same(field)).map(|(row, _)| row)
    }

    fn checked(&self, name: &HeaderName, text: Text<'m>) -> Result<Value<'m>, EditError> {
        self.unreserved(name)?;
        let value = Value::checked(text)?;
        let id = name.id();
        if !needs_sense(id) {
            return Ok(value);
        }
        let whole = match text {
            Text::Whole(whole) => Cow::Borrowed(whole),
            Text::Pieces(pieces) => Cow::Owned(pieces.concat()),
        };
        let method = self.view.is_request().then(|| self.view.method_text());
        check_value(id, &whole, method).map_err(|kind| EditError::Malformed(id, kind))?;
        Ok(value)
    }

    fn removable(&self, name: &HeaderName) -> Result<(), EditError> {
        use HeaderId as H;
        match name.id() {
            id @ (H::Via | H::From | H::To | H::CallId | H::CSeq) => Err(EditError::Needed(id)),
            _ => self.unreserved(name),
        }
    }

    fn unreserved(&self, name: &HeaderName) -> Result<(), EditError> {
        match name.id() {
            id @ HeaderId::ContentLength => Err(EditError::Reserved(id)),
            _ => Ok(()),
        }
    }

    /// Returns where the first row of a header field begins.
    fn above(&self, id: HeaderId) -> Option<usize> {
        self.view.rows(id).next().map(|field| field.name.start())
    }

    /// Returns where the last row of a header field ends; without one, where the first row begins.
    fn below(&self, id: HeaderId) -> usize {
        let last = self.view.all_rows().iter().rposition(|field| field.id == id);
        last.map_or_else(|| self.first_row(), |row| self.end_of(row))
    }

    fn first_row(&self) -> usize {
        self.end_before(0)
    }

    fn end_of(&self, row: usize) -> usize {
        self.end_before(row + 1)
    }

    /// Returns where a row begins, and of the one behind the last, the blank line.
    fn end_before(&self, row: usize) -> usize {
        self.view.all_rows().get(row).map_or_else(|| self.blank_line(), |field| field.name.start())
    }

    /// Returns where the blank line is, which every checked message has.
    fn blank_line(&self) -> usize {
        self.view.head_bytes().len().saturating_sub(2)
    }

    /// Inserts a row above those that were inserted at the same place before.
    fn push_row(&mut self, place: usize, id: HeaderId, value: Value<'m>) {
        self.count = self.count.saturating_add(1);
        let order = -self.count;
        self.put(Splice { order, ..Splice::new(place, place, New::row(id.with_colon(), value)) });
    }

    /// Inserts a row below those that were inserted at the same place before.
    fn append(&mut self, place: usize, new: New<'m>) {
        self.count = self.count.saturating_add(1);
        self.put(Splice { order: self.count, ..Splice::new(place, place, new) });
    }

    /// Writes `new` instead of a stretch within one row or the start line; done again, the last one counts.
    fn splice(&mut self, start: usize, end: usize, new: New<'m>) {
        self.put(Splice::new(start, end, new).set(0));
    }

    fn put(&mut self, splice: Splice<'m>) {
        let place = self.splices.iter().rposition(|other| other.key() <= splice.key());
        match place.and_then(|at| self.splices.get_mut(at)) {
            Some(last) if last.is_set && splice.is_set && last.key() == splice.key() => *last = splice,
            _ => self.splices.insert(place.map_or(0, |at| at + 1), splice),
        }
    }
}

/// Shows how much is changed.
impl fmt::Debug for Edit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Edit({:?}, {} splices)", self.view.start_line(), self.splices.len())
    }
}

/// Where the topmost element of a list that is left stands.
#[derive(Clone, Debug)]
struct Top {
    /// The row from which on to look.
    row: usize,
    /// Where in that row, if elements of it were removed.
    pos: Option<usize>,
}

impl Top {
    fn find<'m>(&self, view: View<'m>, id: HeaderId) -> Option<(usize, Cursor<'m>)> {
        let rows = view.all_rows().iter().enumerate().skip(self.row);
        let (row, field) = rows.into_iter().find(|(_, field)| field.id == id)?;
        let mut cursor = Cursor::within(view.head_bytes(), field.value);
        cursor.pos = self.pos.unwrap_or(cursor.pos);
        Some((row, cursor))
    }
}

/// A stretch of the head and what is written instead of it.
#[derive(Clone, Copy, Debug)]
struct Splice<'m> {
    start: u16,
    end: u16,
    /// Tells apart what shares a place.
    order: i16,
    /// Whether another one with the same key takes its place.
    is_set: bool,
    new: New<'m>,
}

/// What is removed: behind a new value in the same place, which so counts.
const REMOVED: i16 = 1;
/// Behind a value for `rport` in the same place.
const RECEIVED: i16 = 1;
/// Above all other rows in the same place.
const FIRST: i16 = i16::MIN;
/// The rows that a new body may need are the last ones.
const CONTENT_TYPE: i16 = i16::MAX - 1;
const CONTENT_LENGTH: i16 = i16::MAX;

impl<'m> Splice<'m> {
    /// Takes two offsets of a head, which has at most 65,535 bytes.
    fn new(start: usize, end: usize, new: New<'m>) -> Self {
        Self { start: start as u16, end: end as u16, order: 0, is_set: false, new }
    }

    fn set(self, order: i16) -> Self {
        Self { order, is_set: true, ..self }
    }

    /// Insertions come before what is replaced from the same place on.
    fn key(&self) -> (u16, bool, i16) {
        (self.start, self.end > self.start, self.order)
    }
}

/// What is written: a value and what stands around it.
#[derive(Clone, Copy, Debug)]
struct New<'m> {
    before: &'m str,
    colon: &'static str,
    value: Value<'m>,
    after: &'static str,
}

impl<'m> New<'m> {
    const NOTHING: Self = Self { before: "", colon: "", value: Value::Text(Text::Whole("")), after: "" };

    /// Takes a name with its colon.
    fn row(before: &'m str, value: Value<'m>) -> Self {
        Self { before, colon: "", value, after: "\r\n" }
    }

    fn named(name: &'m HeaderName, value: Value<'m>) -> Self {
        Self { before: name.as_str(), colon: ": ", value, after: "\r\n" }
    }

    fn size(&self) -> usize {
        self.before.len() + self.colon.len() + self.value.size() + self.after.len()
    }

    fn write(&self, out: &mut BytesMut) {
        out.extend_from_slice(self.before.as_bytes());
        out.extend_from_slice(self.colon.as_bytes());
        match self.value {
            Value::Text(Text::Whole(text)) => out.extend_from_slice(text.as_bytes()),
            Value::Text(Text::Pieces(pieces)) => {
                pieces.iter().for_each(|piece| out.extend_from_slice(piece.as_bytes()));
            }
            Value::Number(number) => write!(out, "{number}").expect("a buffer grows as it is written to"),
            Value::Address(address) => write!(out, "{address}").expect("a buffer grows as it is written to"),
        }
        out.extend_from_slice(self.after.as_bytes());
    }
}

#[derive(Clone, Copy, Debug)]
enum Value<'m> {
    Text(Text<'m>),
    Number(u32),
    /// Without brackets, as `received` has it.
    Address(IpAddr),
}

impl<'m> Value<'m> {
    /// Fails on what could end its row: see [`HeaderValue`](super::HeaderValue).
    fn checked(text: Text<'m>) -> Result<Self, EditError> {
        let bad = |byte: u8| byte.is_ascii_control() && byte != b'\t';
        let mut before = 0;
        for piece in text.pieces() {
            // All bytes are looked at, for that goes by many at once.
            if piece.bytes().fold(false, |found, byte| found | bad(byte)) {
                let offset = before + piece.bytes().position(bad).unwrap_or(0);
                return Err(BadHeaderValue { offset }.into());
            }
            before += piece.len();
        }
        Ok(Self::Text(text))
    }

    fn size(self) -> usize {
        match self {
            Self::Text(text) => text.pieces().iter().map(|piece| piece.len()).sum(),
            Self::Number(number) => number.checked_ilog10().unwrap_or(0) as usize + 1,
            Self::Address(address) => {
                let mut length = Length(0);
                write!(length, "{address}").expect("counting does not fail");
                length.0
            }
        }
    }
}

impl Text<'_> {
    fn pieces(&self) -> &[&str] {
        match self {
            Self::Whole(text) => std::slice::from_ref(text),
            Self::Pieces(pieces) => pieces,
        }
    }
}

impl<'m> From<&'m str> for Text<'m> {
    fn from(text: &'m str) -> Self {
        Self::Whole(text)
    }
}

impl<'m> From<&'m [&'m str]> for Text<'m> {
    fn from(pieces: &'m [&'m str]) -> Self {
        Self::Pieces(pieces)
    }
}

impl<'m, const N: usize> From<&'m [&'m str; N]> for Text<'m> {
    fn from(pieces: &'m [&'m str; N]) -> Self {
        Self::Pieces(pieces)
    }
}

/// Counts bytes instead of writing them.
struct Length(usize);

impl fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::Limits,
        syntax::{Message, Request, Response},
    };

    const INVITE: &str = "INVITE   sip:bob@example.com SIP/2.0\r\n\
        v :SIP/2.0/UDP a;rport;branch=z9hG4bKa,\r\n  SIP/2.0/TCP b;branch=z9hG4bKb\r\n\
        X-a:  1\r\n\
        VIA: SIP/2.0/UDP c\r\n\
        Route: <sip:p1;lr>, <sip:p2;lr>\r\n\
        f: <sip:alice@example.com>;tag=1\r\n\
        t: <sip:bob@example.com>\r\n\
        Max-Forwards:\r\n 70\r\n\
        i: x@y\r\n\
        Route: <sip:p3;lr>\r\n\
        CSeq: 7 INVITE\r\n\
        c: application/sdp\r\n\
        x-A:\r\n\
        l: 5\r\n\r\nv=0\r\n";

    fn edited<'m>(text: &'m str, change: impl FnOnce(&mut Edit<'m>)) -> String {
        let message = Message::parse(text.as_bytes(), &Limits::default()).expect("a good message");
        let message: &'m Message<'m> = Box::leak(Box::new(message));
        let mut edit = Edit::new(message.view()).expect("a checked message");
        change(&mut edit);
        let mut out = BytesMut::new();
        edit.write(&mut out);
        assert_eq!(out.len(), edit.size());
        let out = String::from_utf8(out.to_vec()).expect("text");
        Message::parse(out.as_bytes(), &Limits::default()).unwrap_or_else(|_| panic!("broken: {out}"));
        out
    }

    /// D12.
    #[test]
    fn no_change_is_no_change() {
        assert_eq!(edited(INVITE, |_| ()), INVITE);
    }

    /// D12; RFC 3261 §16.6: what a proxy does to a request touches nothing else.
    #[test]
    fn forwards_a_request() {
        let uri = Uri::parse("sip:bob@192.0.2.4").expect("a URI");
        let expected = INVITE
            .replacen("   sip:bob@example.com ", " sip:bob@192.0.2.4 ", 1)
            .replace("v :SIP", "Via: SIP/2.0/UDP p;branch=z9hG4bKp\r\nv :SIP")
            .replace("Route: <sip:p1;lr>, ", "Record-Route: <sip:p;lr>\r\nRoute: ")
            .replace("\r\n 70", "\r\n 69");
        let out = edited(INVITE, |edit| {
            edit.request_uri(uri).expect("a request").max_forwards(69);
            assert_eq!(edit.pop_route().map(|route| route.uri_text()), Some("sip:p1;lr"));
            edit.push_via(&["SIP/2.0/UDP p;branch=", "z9hG4bKp"]).expect("a value");
            edit.push_record_route("<sip:p;lr>").expect("a value");
            assert!(!edit.splices.spilled());
        });
        assert_eq!(out, expected);
    }

    /// RFC 3261 §16.7 step 3, §18.2.1; RFC 3581 §4.
    #[test]
    fn pops_and_stamps_vias() {
        let stamp = ViaStamp { received: Some([192, 0, 2, 7].into()), rport: Some(40_000) };
        let out = edited(INVITE, |edit| {
            edit.stamp_via(stamp).stamp_via(stamp);
        });
        let stamped = "a;rport=40000;branch=z9hG4bKa;received=192.0.2.7,";
        assert_eq!(out, INVITE.replace("a;rport;branch=z9hG4bKa,", stamped));
        let again = ViaStamp { received: "2001:db8::1".parse().ok(), rport: Some(1) };
        let out = edited(&out, |edit| {
            edit.stamp_via(again);
        });
        assert_eq!(
            out,
            INVITE.replace("a;rport;branch=z9hG4bKa,", &stamped.replace("192.0.2.7", "2001:db8::1"))
        );
        let last = INVITE.replace(";branch=z9hG4bKa,", ",");
        let out = edited(&last, |edit| {
            edit.stamp_via(stamp);
        });
        assert_eq!(out, last.replace("a;rport,", "a;rport=40000;received=192.0.2.7,"));

        let out = edited(INVITE, |edit| {
            assert_eq!(edit.pop_via().and_then(|via| via.branch()), Some("z9hG4bKa"));
            edit.stamp_via(ViaStamp { rport: None, ..stamp });
        });
        let below = "v :SIP/2.0/TCP b;branch=z9hG4bKb;received=192.0.2.7\r\n";
        let begin = INVITE.find("v :").expect("there");
        let end = INVITE.find("X-a").expect("there");
        assert_eq!(out, format!("{}{below}{}", &INVITE[..begin], &INVITE[end..]));

        let out = edited(INVITE, |edit| {
            edit.stamp_via(stamp);
            assert_eq!([edit.pop_via().is_some(), edit.pop_via().is_some()], [true; 2]);
        });
        assert_eq!(out, format!("{}{}", &INVITE[..begin], &INVITE[end..]));
        let message = Message::parse(INVITE.as_bytes(), &Limits::default()).expect("good");
        let mut edit = Edit::new(message.view()).expect("checked");
        let popped: Vec<_> = std::iter::from_fn(|| edit.pop_via()).map(|via| via.host_text()).collect();
        assert_eq!(popped, ["a", "b", "c"]);
    }

    /// Rows that are pushed lie above each other, those that are appended below.
    #[test]
    fn rows_are_in_order() {
        let out = edited(INVITE, |edit| {
            edit.push_via("SIP/2.0/UDP p1").and_then(|edit| edit.push_via("SIP/2.0/UDP p2")).expect("values");
            while edit.pop_route().is_some() {}
            edit.append_route("<sip:q1>").and_then(|edit| edit.append_route("<sip:q2>")).expect("values");
            edit.push_record_route("<sip:r1>")
                .and_then(|edit| edit.push_record_route("<sip:r2>"))
                .expect("values");
        });
        assert!(out.contains("SIP/2.0\r\nVia: SIP/2.0/UDP p2\r\nVia: SIP/2.0/UDP p1\r\nv :SIP"), "{out}");
        assert!(
            out.contains("VIA: SIP/2.0/UDP c\r\nRecord-Route: <sip:r2>\r\nRecord-Route: <sip:r1>\r\nf:"),
            "{out}"
        );
        assert!(out.contains("i: x@y\r\nRoute: <sip:q1>\r\nRoute: <sip:q2>\r\nCSeq"), "{out}");
        assert!(!out.contains("<sip:p"), "{out}");
        let bare =
            INVITE.replace("Route: <sip:p1;lr>, <sip:p2;lr>\r\n", "").replace("Route: <sip:p3;lr>\r\n", "");
        let bare = bare.replace("Max-Forwards:\r\n 70\r\n", "");
        let out = edited(&bare, |edit| {
            edit.append_route("<sip:q>").and_then(|edit| edit.push_record_route("<sip:r>")).expect("values");
            edit.max_forwards(70).max_forwards(5);
        });
        let added = "UDP c\r\nMax-Forwards: 5\r\nRecord-Route: <sip:r>\r\nRoute: <sip:q>\r\n";
        assert_eq!(out, bare.replace("UDP c\r\n", added));
    }

    /// C004, P19: any name in any case, rows with folds and without a value.
    #[test]
    fn rows_are_replaced_added_and_removed() {
        let name: HeaderName = "X-A".parse().expect("a name");
        let out = edited(INVITE, |edit| {
            edit.replace(&name, "0").and_then(|edit| edit.replace(&name, "2")).expect("good");
        });
        assert_eq!(out, INVITE.replace("X-a:  1", "X-a:  2").replace("x-A:\r\n", ""));
        let out = edited(INVITE, |edit| {
            edit.replace_first(&name, "2").and_then(|edit| edit.add(&name, "3")).expect("good");
        });
        assert_eq!(out, INVITE.replace("X-a:  1", "X-a:  2").replace("l: 5\r\n", "l: 5\r\nX-A: 3\r\n"));
        let out = edited(INVITE, |edit| {
            edit.remove_first(&name).expect("good");
        });
        let (first, last) =
            (INVITE.replace("X-a:  1\r\n", ""), INVITE.replace("l: 5", "l: 5\r\nX-B: 2\r\nX-C: 1"));
        assert_eq!(out, first);
        let out = edited(&first, |edit| {
            edit.replace(&name, "0").and_then(|edit| edit.replace(&name, "2")).expect("good");
        });
        assert_eq!(out, first.replace("x-A:", "x-A:2"));
        let out = edited(INVITE, |edit| {
            edit.remove(&name).and_then(|edit| edit.replace(&name, "9")).expect("good");
        });
        assert_eq!(out, first.replace("x-A:\r\n", ""), "what is removed stays removed");
        let (b, c): (HeaderName, HeaderName) =
            ("X-B".parse().expect("a name"), "X-C".parse().expect("a name"));
        let out = edited(INVITE, |edit| {
            edit.replace(&b, "1")
                .and_then(|edit| edit.add(&c, "1"))
                .and_then(|edit| edit.replace(&b, "2"))
                .expect("good");
        });
        assert_eq!(out, last);
    }

    /// RFC 3261 §7.4, §18.3, §20.14.
    #[test]
    fn bodies_bring_their_header_fields() {
        let out = edited(INVITE, |edit| {
            edit.body(Some(("text/plain", b"hello there"))).expect("good");
        });
        assert_eq!(
            out,
            INVITE
                .replace("c: application/sdp", "c: text/plain")
                .replace("l: 5\r\n\r\nv=0\r\n", "l: 11\r\n\r\nhello there")
        );
        let none =
            INVITE.replace("c: application/sdp\r\n", "").replace("l: 5\r\n\r\nv=0\r\n", "l: 0\r\n\r\n");
        assert_eq!(
            edited(INVITE, |edit| {
                edit.body(None).expect("good");
            }),
            none
        );
        let some = edited(INVITE, |edit| {
            edit.body(None).and_then(|edit| edit.body(Some(("a/b", b"x")))).expect("good");
        });
        assert_eq!(
            some,
            INVITE.replace("application/sdp", "a/b").replace("l: 5\r\n\r\nv=0\r\n", "l: 1\r\n\r\nx")
        );
        let open = none.replace("l: 0\r\n", "e: gzip\r\n");
        assert_eq!(edited(&open, |_| ()), open, "a datagram needs no Content-Length");
        let out = edited(&open, |edit| {
            edit.content_length();
        });
        assert_eq!(out, open.replace("gzip\r\n", "gzip\r\nContent-Length: 0\r\n"));
        let out = edited(&open, |edit| {
            edit.content_length().replace(&HeaderName::CONTENT_TYPE, "c/d").expect("good");
            edit.body(Some(("x/y", b"1"))).and_then(|edit| edit.body(Some(("a/b", b"12")))).expect("good");
        });
        assert_eq!(out.matches("Content-Type: a/b\r\n").count(), 1, "{out}");
        assert!(
            out.ends_with("Content-Length: 2\r\n\r\n12") && !out.contains("gzip") && !out.contains("c/d"),
            "{out}"
        );
        let twice = INVITE.replace("l: 5\r\n", "l: 5\r\nContent-Length: 5\r\n");
        let out = edited(&twice, |edit| {
            edit.body(Some(("a/b", b"x"))).expect("good");
        });
        assert!(out.ends_with("x-A:\r\nl: 1\r\n\r\nx"), "{out}");
    }

    /// No value can end its row and start another.
    #[test]
    fn refuses_what_would_break_the_message() {
        let request = Request::parse(INVITE.as_bytes(), &Limits::default()).expect("a good request");
        let mut edit = Edit::new(request.view()).expect("a checked request");
        let injected = |offset| Some(EditError::Value(BadHeaderValue { offset }));
        assert_eq!(edit.push_via("a\r\nX: y").err(), injected(1));
        assert_eq!(edit.push_record_route(&["ab", "c\n"]).err(), injected(3));
        assert_eq!(edit.append_route("\0").err(), injected(0));
        for value in ["a\r", "\n", "\u{7f}"] {
            assert!(edit.add(&HeaderName::SUBJECT, value).is_err());
            assert!(edit.replace(&HeaderName::SUBJECT, value).is_err());
            assert!(edit.replace_first(&HeaderName::SUBJECT, value).is_err());
            assert!(edit.body(Some((value, b""))).is_err());
        }
        let reserved = Some(EditError::Reserved(HeaderId::ContentLength));
        assert_eq!(edit.remove(&HeaderName::CONTENT_LENGTH).err(), reserved);
        assert_eq!(edit.replace(&HeaderName::CONTENT_LENGTH, "7").err(), reserved);
        let uri = Uri::parse("sip:a?b=c").expect("a URI");
        assert_eq!(edit.request_uri(uri).err(), Some(EditError::RequestUri));
        let mut out = BytesMut::new();
        edit.write(&mut out);
        assert_eq!(out, INVITE, "what is refused changes nothing");

        let ok = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a\r\nf: <sip:a>;tag=1\r\nt: <sip:b>\r\ni: x\r\nCSeq: 1 BYE\r\n\r\n";
        let response = Response::parse(ok.as_bytes(), &Limits::default()).expect("a good response");
        let mut edit = Edit::new(response.view()).expect("a checked response");
        assert_eq!(edit.request_uri(Uri::parse("sip:a").expect("a URI")).err(), Some(EditError::NoRequest));
        let split = Message::split(INVITE.as_bytes(), &Limits::default()).expect("it can be split");
        assert!(Edit::new(split.view()).is_none());
    }
}
