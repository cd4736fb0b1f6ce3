use super::{
    HeaderId, Message, ParseError, ParseErrorKind as Kind, StatusCode, Uri,
    header::{HOPS_MAX, end_of_item, scan_cseq, scan_via},
    message::{Facts, Field, StartLine},
    name_addr,
    scan::{self, Cursor, Span},
};
use crate::base::Limits;

/// Offsets are 16 bits wide.
const HEAD_MAX: usize = u16::MAX as usize;

/// Finds start line, header fields and body.
///
/// Errors are those after which nothing can be made of the input. What leaves enough for an answer becomes the
/// message's fault.
pub(crate) fn split<'b>(buf: &'b [u8], limits: &Limits, message: &mut Message<'b>) -> Result<(), ParseError> {
    let base = skip_line_breaks(buf);
    message.base = base;
    let input = buf.get(base..).unwrap_or(&[]);
    let window = input.get(..limits.head.min(HEAD_MAX)).unwrap_or(input);
    let mut lines = Lines::new(window);
    let failed = |kind, offset| ParseError { kind, offset: base + offset, header: None };
    let broken = |(kind, offset)| match kind {
        Kind::Unfinished if input.is_empty() => failed(Kind::Empty, 0),
        Kind::Unfinished if input.len() > window.len() => failed(Kind::HeadTooLarge, window.len()),
        kind => failed(kind, offset),
    };
    let first = lines.next_line().map_err(broken)?;
    let outcome = start_line(window, first, &mut message.facts.line);
    message.fault = outcome.err().map(|kind| failed(kind, first.start()));
    let mut length = None;
    let short = short(limits);
    if first.len() > short {
        measure_uri(window, limits, message);
    }
    loop {
        if lines.pos == input.len() {
            // The blank line is missing, but all else is there: enough for an answer.
            message.fault.get_or_insert_with(|| failed(Kind::Unfinished, lines.pos));
            break;
        }
        let line = lines.next_line().map_err(broken)?;
        if line.len() == 0 {
            break;
        }
        let outcome = field(window, line, message, &mut length, limits);
        if let Err((kind, header)) = outcome {
            message.fault.get_or_insert_with(|| ParseError { kind, offset: base + line.start(), header });
        }
        if line.len() > short {
            measure(window, line, limits, message);
        }
    }
    let (head, rest) = input.split_at_checked(lines.pos).unwrap_or((input, &[]));
    message.head = std::str::from_utf8(head).map_err(|error| failed(Kind::NotUtf8, error.valid_up_to()))?;
    message.body = rest;
    if let Err(kind) = cut_body(&mut message.body, length, limits) {
        let header = length.map(|_| HeaderId::ContentLength);
        message.fault.get_or_insert_with(|| ParseError { kind, offset: base + lines.pos, header });
    }
    Ok(())
}

/// Returns limits that only the format itself sets, for messages of our own.
pub(crate) fn widest() -> Limits {
    let most = usize::MAX;
    Limits {
        head: most,
        headers: most,
        header_value: most,
        list: most,
        params: most,
        body: most,
        ..Limits::default()
    }
}

/// Returns the number of bytes in line breaks before a message (RFC 3261 §7.5).
pub(crate) fn skip_line_breaks(buf: &[u8]) -> usize {
    let mut start = 0;
    while buf.get(start..start + 2) == Some(b"\r\n") {
        start += 2;
    }
    start
}

/// The lines of a head, folded ones as one.
pub(crate) struct Lines<'b> {
    bytes: &'b [u8],
    /// Where the next line starts; at the end, where the body starts.
    pub(crate) pos: usize,
}

impl<'b> Lines<'b> {
    /// Takes at most 65,535 bytes.
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, pos: 0 }
    }

    /// Returns the next line without its line break; the blank one is empty. An error comes with its offset.
    #[inline]
    pub(crate) fn next_line(&mut self) -> Result<Span, (Kind, usize)> {
        let start = self.pos;
        let mut from = start;
        loop {
            let rest = self.bytes.get(from..).unwrap_or(&[]);
            let offset = memchr::memchr2(b'\r', b'\n', rest).ok_or((Kind::Unfinished, self.bytes.len()))?;
            let end = from + offset;
            match rest.get(offset..) {
                Some([b'\r', b'\n', next, ..]) => {
                    if (*next == b' ' || *next == b'\t') && end > start {
                        // RFC 3261 §7.3.1: the line goes on.
                        from = end + 3;
                        continue;
                    }
                }
                Some([b'\r', b'\n']) => {}
                Some([b'\r']) => return Err((Kind::Unfinished, self.bytes.len())),
                _ => return Err((Kind::LineBreak, end)),
            }
            self.pos = end + 2;
            return Ok(Span::new(start, end));
        }
    }
}

/// Reads a Request-Line or a Status-Line; `line` gets what could be read.
#[inline]
fn start_line(bytes: &[u8], span: Span, line: &mut StartLine) -> Result<(), Kind> {
    let text = span.bytes(bytes);
    if text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/")) {
        return status_line(bytes, span, line);
    }
    let mut cursor = Cursor::within(bytes, span);
    let method = cursor.take1(scan::TOKEN, Kind::StartLine)?;
    *line = StartLine::Request { method, uri: Span::NONE };
    if !eat_spaces(&mut cursor) {
        return Err(Kind::StartLine);
    }
    let uri_start = cursor.pos;
    let uri_end = uri_start + memchr::memchr(b' ', cursor.rest()).ok_or(Kind::StartLine)?;
    let uri = Span::new(uri_start, uri_end);
    *line = StartLine::Request { method, uri };
    cursor.pos = uri_end;
    eat_spaces(&mut cursor);
    version(cursor.rest())
}

/// RFC 4475 §3.1.2.9: several spaces are wrong, but some send them. They are not forwarded, for we write the line anew.
#[inline]
fn eat_spaces(cursor: &mut Cursor<'_>) -> bool {
    let start = cursor.pos;
    while cursor.eat(b' ') {}
    cursor.pos > start
}

/// Fails unless the bytes are `SIP/2.0`.
#[inline]
fn version(bytes: &[u8]) -> Result<(), Kind> {
    if bytes == b"SIP/2.0" || bytes.eq_ignore_ascii_case(b"SIP/2.0") {
        return Ok(());
    }
    let mut cursor = Cursor::new(bytes);
    let is_version = bytes.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"SIP/")) && {
        cursor.pos = 4;
        cursor.number(u32::MAX).is_ok()
            && cursor.eat(b'.')
            && cursor.number(u32::MAX).is_ok()
            && cursor.at_end()
    };
    Err(if is_version { Kind::Version } else { Kind::StartLine })
}

fn status_line(bytes: &[u8], span: Span, line: &mut StartLine) -> Result<(), Kind> {
    // Whatever is wrong with it: it is a response, and none is ever answered.
    *line = StartLine::Response { status: StatusCode::BAD_REQUEST, reason: Span::NONE };
    let mut cursor = Cursor::within(bytes, span);
    let name = cursor.rest();
    let end = memchr::memchr(b' ', name).ok_or(Kind::StartLine)?;
    version(name.get(..end).unwrap_or(&[]))?;
    cursor.pos += end;
    eat_spaces(&mut cursor);
    let [a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9', after @ ..] = cursor.rest() else {
        return Err(Kind::StartLine);
    };
    let code = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
    let status = StatusCode::new(code).ok_or(Kind::StartLine)?;
    // RFC 4475 §3.1.1.13: the space stands there even without a phrase, but some leave it out.
    let start = match after.first() {
        None => span.end(),
        Some(b' ') => cursor.pos + 4,
        Some(_) => return Err(Kind::StartLine),
    };
    if memchr::memchr(b'\r', after).is_some() {
        return Err(Kind::StartLine);
    }
    let reason = Span::new(start, span.end());
    *line = StartLine::Response { status, reason };
    Ok(())
}

/// Adds a header field.
#[inline]
fn field(
    bytes: &[u8],
    line: Span,
    message: &mut Message<'_>,
    length: &mut Option<Result<usize, ()>>,
    limits: &Limits,
) -> Result<(), (Kind, Option<HeaderId>)> {
    let text = line.bytes(bytes);
    let colon = scan::find_colon(text).ok_or((Kind::Field, None))?;
    let (name, id) = match HeaderId::of_bytes(text.get(..colon).unwrap_or(&[])) {
        HeaderId::Other => name(text.get(..colon).unwrap_or(&[]), line.start()).ok_or((Kind::Field, None))?,
        id => (Span::new(line.start(), line.start() + colon), id),
    };
    let value = Span::new(line.start() + colon + 1, line.end()).trimmed(bytes);
    if message.fields.len() >= limits.headers {
        return Err((Kind::TooManyHeaders, None));
    }
    message.fields.push(Field { name, value, id });
    if id == HeaderId::ContentLength {
        content_length(value.bytes(bytes), length).map_err(|kind| (kind, Some(id)))?;
    }
    Ok(())
}

/// Returns the length up to which no value can break a limit: each of its values or parameters takes two bytes.
fn short(limits: &Limits) -> usize {
    limits.header_value.min(limits.list.min(limits.params).saturating_mul(2))
}

/// Holds the header field of a long line, which was added last, against the limits.
#[cold]
fn measure(bytes: &[u8], line: Span, limits: &Limits, message: &mut Message<'_>) {
    let last = message.fields.last().filter(|field| field.name.start() == line.start());
    let Some(&Field { value, id, .. }) = last else { return };
    if let Err(kind) = measure_value(id, value.bytes(bytes), limits) {
        let offset = message.base + line.start();
        message.fault.get_or_insert(ParseError { kind, offset, header: Some(id) });
    }
}

/// Holds the Request-URI against the limits.
#[cold]
fn measure_uri(bytes: &[u8], limits: &Limits, message: &mut Message<'_>) {
    if let StartLine::Request { uri, .. } = message.facts.line
        && params_of(uri.bytes(bytes)) > limits.params
    {
        let offset = message.base + uri.start();
        message.fault.get_or_insert(ParseError { kind: Kind::TooManyParams, offset, header: None });
    }
}

/// Counts values and parameters, in one pass.
fn measure_value(id: HeaderId, value: &[u8], limits: &Limits) -> Result<(), Kind> {
    use HeaderId as H;
    if value.len() > limits.header_value {
        return Err(Kind::HeaderTooLong);
    }
    if value.len() <= short(limits) {
        return Ok(());
    }
    if matches!(id, H::Other | H::CallId | H::Subject | H::Organization | H::Server | H::UserAgent | H::Date)
    {
        return Ok(());
    }
    let all = |byte| memchr::memchr_iter(byte, value).count();
    if all(b',') < limits.list && all(b';') <= limits.params {
        return Ok(());
    }
    let (mut rest, mut count) = (value, 0);
    while !rest.is_empty() {
        let (item, after) = rest.split_at_checked(end_of_item(rest)).unwrap_or((rest, &[]));
        count += usize::from(item.iter().any(|&byte| !scan::is(byte, scan::LWS)));
        if count > limits.list {
            return Err(Kind::TooManyValues);
        }
        if params_of(item) > limits.params {
            return Err(Kind::TooManyParams);
        }
        rest = after.get(1..).unwrap_or(&[]);
    }
    Ok(())
}

/// Counts semicolons outside of quoted strings.
fn params_of(item: &[u8]) -> usize {
    let mut cursor = Cursor::new(item);
    let mut count = 0;
    while let Some(offset) = memchr::memchr2(b';', b'"', cursor.rest()) {
        cursor.pos += offset;
        if cursor.eat(b';') {
            count += 1;
        } else if cursor.quoted().is_err() {
            break;
        }
    }
    count
}

/// Resolves a name that is not a known one, unless it has white space before the colon (RFC 3261 §7.3.1).
fn name(text: &[u8], start: usize) -> Option<(Span, HeaderId)> {
    let mut cursor = Cursor::new(text);
    let name = cursor.take1(scan::TOKEN, Kind::Field).ok()?;
    while cursor.eat(b' ') || cursor.eat(b'\t') {}
    cursor.at_end().then(|| (Span::new(start, start + name.len()), HeaderId::of_bytes(name.bytes(text))))
}

/// Reads a Content-Length; a second one must be the same (RFC 4475 §3.3.9).
fn content_length(value: &[u8], length: &mut Option<Result<usize, ()>>) -> Result<(), Kind> {
    let mut cursor = Cursor::new(value);
    let read = cursor.number(u32::MAX).and_then(|number| cursor.finish().map(|()| number as usize));
    match (read, *length) {
        (Ok(read), None) => *length = Some(Ok(read)),
        (Ok(read), Some(Ok(before))) if read == before => {}
        (Ok(_), _) => {
            *length = Some(Err(()));
            return Err(Kind::Duplicate);
        }
        (Err(kind), _) => {
            *length = Some(Err(()));
            return Err(kind);
        }
    }
    Ok(())
}

/// Cuts what follows the body (RFC 3261 §18.3).
fn cut_body(body: &mut &[u8], length: Option<Result<usize, ()>>, limits: &Limits) -> Result<(), Kind> {
    let length = match length {
        None => body.len(),
        Some(Ok(length)) => length,
        Some(Err(())) => {
            // RFC 4475 §3.1.2.3: the rest of the datagram is worth nothing.
            *body = &[];
            return Ok(());
        }
    };
    if length > limits.body {
        *body = &[];
        return Err(Kind::BodyTooLarge);
    }
    *body = body.get(..length).ok_or(Kind::BodyTooShort)?;
    Ok(())
}

/// Reads the header fields that every element needs.
///
/// Goes on after an error, so that a request can be answered with what is good of it.
pub(crate) fn check(message: &mut Message<'_>) -> Result<(), ParseError> {
    let head = message.head;
    let base = message.base;
    let mut first: Option<ParseError> = None;
    let mut fail = |kind, offset, header| {
        first.get_or_insert_with(|| ParseError { kind, offset: base + offset, header });
    };
    let mut facts = Facts { line: message.facts.line, ..Facts::default() };
    let mut seen = Seen::default();
    for field in &message.fields {
        let again = seen.insert(field.id);
        let mut cursor = Cursor::within(head.as_bytes(), field.value);
        if let Err(kind) = check_field(field.id, &mut cursor, &mut facts, again) {
            fail(kind, cursor.pos, Some(field.id));
        }
    }
    for id in [HeaderId::Via, HeaderId::From, HeaderId::To, HeaderId::CallId, HeaderId::CSeq] {
        if !seen.has(id) {
            fail(Kind::Missing, head.len(), Some(id));
        }
    }
    if let StartLine::Request { method, uri } = facts.line {
        let cseq = facts.cseq.method;
        if !cseq.is_none() && !same_method(method.bytes(head.as_bytes()), cseq.bytes(head.as_bytes())) {
            fail(Kind::MethodMismatch, cseq.start(), Some(HeaderId::CSeq));
        }
        match Uri::parse(uri.of(head)) {
            // RFC 3261 §19.1.1: header fields have no place in a Request-URI.
            Ok(found) if found.headers_text().is_none() => facts.uri = Some(found.spans()),
            _ => fail(Kind::RequestUri, uri.start(), None),
        }
    }
    facts.checked = first.is_none() && message.fault.is_none();
    message.facts = facts;
    first.map_or(Ok(()), Err)
}

/// Tells whether every element reads the header field.
pub(crate) fn needs_sense(id: HeaderId) -> bool {
    use HeaderId as H;
    matches!(
        id,
        H::Via
            | H::From
            | H::To
            | H::CallId
            | H::CSeq
            | H::MaxForwards
            | H::Contact
            | H::Route
            | H::RecordRoute
    )
}

/// Reads a value that is to be written as [`check`] would; of a request with its method.
pub(crate) fn check_value(id: HeaderId, value: &str, method: Option<&str>) -> Result<(), Kind> {
    if value.len() > HEAD_MAX {
        return Err(Kind::TooLong);
    }
    let value = scan::trim(value);
    let mut alone = Message::empty();
    alone.head = value;
    alone.fields.push(Field { name: Span::NONE, value: Span::new(0, value.len()), id });
    // What a message needs besides comes after what is wrong with a field.
    if let Err(error) = check(&mut alone)
        && error.kind != Kind::Missing
    {
        return Err(error.kind);
    }
    let cseq = alone.facts.cseq.method.of(value);
    match method.filter(|_| id == HeaderId::CSeq) {
        Some(method) if !same_method(method.as_bytes(), cseq.as_bytes()) => Err(Kind::MethodMismatch),
        _ => Ok(()),
    }
}

/// A set of header fields.
#[derive(Default)]
struct Seen([u64; 2]);

impl Seen {
    /// Adds one and tells whether it was there before.
    #[inline]
    fn insert(&mut self, id: HeaderId) -> bool {
        let bit = 1 << (id as u32 % 64);
        let word = &mut self.0[usize::from(id as u32 >= 64)];
        let before = *word & bit != 0;
        *word |= bit;
        before
    }

    fn has(&self, id: HeaderId) -> bool {
        self.0[usize::from(id as u32 >= 64)] & 1 << (id as u32 % 64) != 0
    }
}

/// RFC 3261 §8.1.1.5. Some put the INVITE into the CSeq of its ACK; nobody could answer that one.
#[inline]
fn same_method(request: &[u8], cseq: &[u8]) -> bool {
    request == cseq || request == b"ACK" && cseq == b"INVITE"
}

#[inline]
fn check_field(id: HeaderId, cursor: &mut Cursor<'_>, facts: &mut Facts, again: bool) -> Result<(), Kind> {
    // Two equal Content-Lengths passed already.
    if again && id.is_single() && id != HeaderId::ContentLength {
        return Err(Kind::Duplicate);
    }
    match id {
        HeaderId::Via => {
            let top = scan_via(cursor)?;
            if !again {
                facts.via = top;
            }
            while cursor.eat(b',') {
                scan_via(cursor)?;
            }
        }
        HeaderId::From => facts.from = name_addr::scan_single(cursor)?,
        HeaderId::To => facts.to = name_addr::scan_single(cursor)?,
        HeaderId::CallId => {
            let call_id = cursor.take1(scan::VISIBLE, Kind::Token)?;
            cursor.finish()?;
            facts.call_id = call_id;
        }
        HeaderId::CSeq => facts.cseq = scan_cseq(cursor)?,
        HeaderId::MaxForwards => {
            let hops = cursor.number(HOPS_MAX)?;
            cursor.finish()?;
            facts.max_forwards = Some(hops);
        }
        HeaderId::Contact => contacts(cursor, facts, again)?,
        HeaderId::Route | HeaderId::RecordRoute => addresses(cursor)?,
        _ => {}
    }
    Ok(())
}

/// Reads addresses between commas.
fn addresses(cursor: &mut Cursor<'_>) -> Result<(), Kind> {
    loop {
        name_addr::scan(cursor)?;
        if !cursor.eat(b',') {
            return Ok(());
        }
    }
}

/// Reads the addresses of a Contact, or the `*` that must be its only value (RFC 3261 §10.2.2, §20.10).
fn contacts(cursor: &mut Cursor<'_>, facts: &mut Facts, again: bool) -> Result<(), Kind> {
    if !cursor.eat(b'*') {
        addresses(cursor)?;
        return if facts.star { Err(Kind::Star) } else { Ok(()) };
    }
    facts.star = true;
    cursor.finish()?;
    if again { Err(Kind::Star) } else { Ok(()) }
}
