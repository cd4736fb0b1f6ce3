use super::ParseErrorKind as Kind;

/// A stretch of a text of at most 65,535 bytes. The one that ends at 0 stands for "none".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u16,
    end: u16,
}

impl Span {
    pub(crate) const NONE: Self = Self { start: 0, end: 0 };

    /// Takes two offsets of a text whose length was checked to fit.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= usize::from(u16::MAX));
        Self { start: start as u16, end: end as u16 }
    }

    pub(crate) fn start(self) -> usize {
        self.start.into()
    }

    pub(crate) fn end(self) -> usize {
        self.end.into()
    }

    pub(crate) fn is_none(self) -> bool {
        self.end == 0
    }

    /// Returns the stretch without linear white space at its ends.
    #[inline]
    pub(crate) fn trimmed(self, bytes: &[u8]) -> Self {
        let is_lws = |at: usize| bytes.get(at).is_some_and(|&byte| is(byte, LWS));
        let (mut start, mut end) = (self.start(), self.end());
        while start < end && is_lws(start) {
            start += 1;
        }
        while end > start && is_lws(end - 1) {
            end -= 1;
        }
        Self::new(start, end)
    }

    pub(crate) fn len(self) -> usize {
        self.end().saturating_sub(self.start())
    }

    /// Returns the stretch, or an empty text if it does not lie in `text`.
    pub(crate) fn of(self, text: &str) -> &str {
        text.get(self.start()..self.end()).unwrap_or("")
    }

    pub(crate) fn bytes(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start()..self.end()).unwrap_or(&[])
    }

    pub(crate) fn opt(self, text: &str) -> Option<&str> {
        if self.is_none() { None } else { text.get(self.start()..self.end()) }
    }
}

/// `token` (RFC 3261 §25.1).
pub(crate) const TOKEN: u16 = 1;
/// Linear white space; line breaks count, for only a fold can bring one into a header field.
pub(crate) const LWS: u16 = 1 << 1;
/// An unquoted parameter value. Wider than `gen-value`: peers put `/`, `=`, `@` and the like into tags and branches.
pub(crate) const VALUE: u16 = 1 << 2;
/// A URI without angle brackets, up to where header parameters or the next element begin (RFC 3261 §20.10).
pub(crate) const BARE_URI: u16 = 1 << 4;
/// A label of a host name; the underscore is no part of the grammar, but of many a private network.
pub(crate) const LABEL: u16 = 1 << 5;
/// `user` without escapes, and the `#` that telephones send unescaped.
pub(crate) const USER: u16 = 1 << 6;
/// `user` without escapes and without the `#`.
pub(crate) const USER_WRITTEN: u16 = 1 << 3;
/// `paramchar` without escapes.
pub(crate) const PARAM: u16 = 1 << 7;
/// What `pvalue` consists of without escapes, and the `=` that some proxies put there.
pub(crate) const PARAM_VALUE: u16 = 1 << 12;
/// `hname` and `hvalue` without escapes.
pub(crate) const HNV: u16 = 1 << 8;
/// `uric` without escapes, and the `#` before a fragment.
pub(crate) const URIC: u16 = 1 << 9;
/// `word [ "@" word ]`, widened to all that is visible.
pub(crate) const VISIBLE: u16 = 1 << 10;
/// The same up to where a parameter or the next element begins: a Call-ID within a list or before parameters.
pub(crate) const WORDS: u16 = 1 << 13;
/// What stands in an element of a list outside of quotes and angle brackets.
pub(crate) const ITEM: u16 = 1 << 14;
/// `password` without escapes.
pub(crate) const PASSWORD: u16 = 1 << 11;
/// What a display name without quotes consists of.
pub(crate) const DISPLAY: u16 = TOKEN | LWS;

static CLASSES: [u16; 256] = classes();

const fn classes() -> [u16; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = class_of(at as u8);
        at += 1;
    }
    table
}

const fn class_of(byte: u8) -> u16 {
    let alphanum = byte.is_ascii_alphanumeric();
    let unreserved = alphanum || among(byte, b"-_.!~*'()");
    let visible = byte > b' ' && byte != 0x7f;
    let mut class = 0;
    class |= set(TOKEN, alphanum || among(byte, b"-.!%*_+`'~"));
    class |= set(LWS, among(byte, b" \t\r\n"));
    class |= set(VALUE, visible && !among(byte, b";,<>\""));
    class |= set(BARE_URI, visible && !among(byte, b"<>\";,?"));
    class |= set(LABEL, alphanum || among(byte, b"-_"));
    class |= set(USER, unreserved || among(byte, b"&=+$,;?/#"));
    class |= set(USER_WRITTEN, unreserved || among(byte, b"&=+$,;?/"));
    class |= set(PARAM, unreserved || among(byte, b"[]/:&+$"));
    class |= set(PARAM_VALUE, unreserved || among(byte, b"[]/:&+$="));
    class |= set(HNV, unreserved || among(byte, b"[]/?:+$"));
    class |= set(URIC, unreserved || among(byte, b";/?:@&=+$,[]#"));
    class |= set(VISIBLE, visible);
    class |= set(ITEM, !among(byte, b",\"<"));
    class |= set(WORDS, visible && !among(byte, b";,"));
    class | set(PASSWORD, unreserved || among(byte, b"&=+$,"))
}

const fn set(class: u16, holds: bool) -> u16 {
    if holds { class } else { 0 }
}

const fn among(byte: u8, bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == byte {
            return true;
        }
        at += 1;
    }
    false
}

/// Tells whether a byte is of one of the classes.
#[inline]
pub(crate) const fn is(byte: u8, class: u16) -> bool {
    CLASSES[byte as usize] & class != 0
}

/// Returns how many bytes from the start are of a class; by fours, for this is where most of the parser's time goes.
#[inline]
pub(crate) fn prefix(bytes: &[u8], class: u16) -> usize {
    let (chunks, rest) = bytes.as_chunks::<4>();
    let mut length = 0;
    for &[a, b, c, d] in chunks {
        if !is(a, class) {
            return length;
        }
        if !is(b, class) {
            return length + 1;
        }
        if !is(c, class) {
            return length + 2;
        }
        if !is(d, class) {
            return length + 3;
        }
        length += 4;
    }
    length + rest.iter().position(|&byte| !is(byte, class)).unwrap_or(rest.len())
}

/// Returns where the first colon is, fast if it is among the first 16 bytes.
#[inline]
pub(crate) fn find_colon(bytes: &[u8]) -> Option<usize> {
    const COLONS: u64 = u64::from_le_bytes([b':'; 8]);
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const TOPS: u64 = u64::from_le_bytes([0x80; 8]);
    // The lowest top bit set marks the first byte that is zero.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    let Some((first, rest)) = bytes.split_first_chunk() else { return memchr::memchr(b':', bytes) };
    let found = zero(u64::from_le_bytes(*first) ^ COLONS);
    if found != 0 {
        return Some(found.trailing_zeros() as usize / 8);
    }
    let Some((second, rest)) = rest.split_first_chunk() else { return Some(memchr::memchr(b':', rest)? + 8) };
    let found = zero(u64::from_le_bytes(*second) ^ COLONS);
    if found != 0 {
        return Some(found.trailing_zeros() as usize / 8 + 8);
    }
    Some(memchr::memchr(b':', rest)? + 16)
}

/// Tells whether a text is a `token` (RFC 3261 §25.1).
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| is(byte, TOKEN))
}

/// Returns the text without linear white space at its ends.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// A place in a text that is read from left to right.
///
/// Offsets are those of the whole slice, so spans need no shifting. After an error `pos` tells where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    pub(crate) pos: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, pos: 0 }
    }

    /// Reads only the stretch `span` of `bytes`.
    pub(crate) fn within(bytes: &'a [u8], span: Span) -> Self {
        Self { bytes: bytes.get(..span.end()).unwrap_or(&[]), pos: span.start() }
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn at_end(&self) -> bool {
        self.pos >= self.bytes.len()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.pos..).unwrap_or(&[])
    }

    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.peek() == Some(byte);
        self.pos += usize::from(eaten);
        eaten
    }

    /// Goes past all bytes of a class and returns the stretch, which may be empty.
    #[inline]
    pub(crate) fn take(&mut self, class: u16) -> Span {
        let start = self.pos;
        self.pos += prefix(self.rest(), class);
        Span::new(start, self.pos)
    }

    /// Like [`take`](Self::take), but at least one byte.
    #[inline]
    pub(crate) fn take1(&mut self, class: u16, otherwise: Kind) -> Result<Span, Kind> {
        let span = self.take(class);
        if span.start() == span.end() { Err(otherwise) } else { Ok(span) }
    }

    /// Like [`take`](Self::take), with `escaped` (RFC 3261 §25.1) among the bytes.
    pub(crate) fn take_escaped(&mut self, class: u16) -> Span {
        let start = self.pos;
        loop {
            self.take(class);
            match self.rest() {
                [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => self.pos += 3,
                _ => return Span::new(start, self.pos),
            }
        }
    }

    #[inline]
    pub(crate) fn skip_lws(&mut self) {
        while self.peek().is_some_and(|byte| is(byte, LWS)) {
            self.pos += 1;
        }
    }

    /// Goes past `SWS byte SWS` if it stands here; otherwise only past the white space.
    pub(crate) fn eat_separator(&mut self, byte: u8) -> bool {
        self.skip_lws();
        let eaten = self.eat(byte);
        if eaten {
            self.skip_lws();
        }
        eaten
    }

    /// Reads `1*DIGIT` of at most `max`.
    pub(crate) fn number(&mut self, max: u32) -> Result<u32, Kind> {
        let start = self.pos;
        let mut number: u32 = 0;
        while let Some(digit) = self.peek().map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10) {
            number = number
                .checked_mul(10)
                .and_then(|tens| tens.checked_add(digit.into()))
                .filter(|&number| number <= max)
                .ok_or(Kind::Number)?;
            self.pos += 1;
        }
        if self.pos == start { Err(Kind::Number) } else { Ok(number) }
    }

    /// Reads a quoted string, whose opening quote stands here; the stretch keeps both quotes.
    pub(crate) fn quoted(&mut self) -> Result<Span, Kind> {
        let start = self.pos;
        self.pos += 1;
        loop {
            let offset = memchr::memchr2(b'"', b'\\', self.rest()).ok_or(Kind::Quote)?;
            self.pos += offset + 1;
            if self.bytes.get(self.pos - 1) == Some(&b'"') {
                return Ok(Span::new(start, self.pos));
            }
            // RFC 3261 §25.1, quoted-pair: everything but a line break can be escaped.
            if self.peek().is_none_or(|byte| !byte.is_ascii() || byte == b'\r' || byte == b'\n') {
                return Err(Kind::Quote);
            }
            self.pos += 1;
        }
    }

    /// Fails unless only white space is left.
    pub(crate) fn finish(&mut self) -> Result<(), Kind> {
        self.skip_lws();
        if self.at_end() { Ok(()) } else { Err(Kind::Trailing) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3261 §25.1: the classes hold what the grammar lists.
    #[test]
    fn classes_follow_the_grammar() {
        let members = |class| (0..=255u8).filter(|&byte| is(byte, class)).count();
        assert_eq!(members(TOKEN), 62 + 10);
        assert_eq!(members(LWS), 4);
        assert_eq!(members(PARAM), 62 + 9 + 7);
        assert_eq!(members(HNV), 62 + 9 + 7);
        assert!(is_token("a-.!%*_+`'~Z") && !is_token("") && !is_token("a b") && !is_token("ä"));
    }

    #[test]
    fn quoted_strings_end_at_the_first_free_quote() {
        let read = |text: &'static str| {
            let mut cursor = Cursor::new(text.as_bytes());
            cursor.quoted().map(|span| span.of(text))
        };
        assert_eq!(read(r#""a\"b" c"#), Ok(r#""a\"b""#));
        assert_eq!(read(r#""\\" x""#), Ok(r#""\\""#));
        assert_eq!(read("\"\\\u{0}\""), Ok("\"\\\u{0}\""));
        for bad in [r#"""#, r#""a"#, r#""a\"#, r#""a\""#, "\"a\\\r\n b\""] {
            assert_eq!(read(bad), Err(Kind::Quote), "{bad:?}");
        }
    }

    #[test]
    fn finds_the_first_colon() {
        for length in 0..40 {
            for at in 0..length {
                let mut bytes = vec![0xba; length];
                bytes[at..].fill(b':');
                assert_eq!(find_colon(&bytes), Some(at), "{at} of {length}");
                bytes[at..].fill(0x3b);
                assert_eq!(find_colon(&bytes), None);
            }
        }
    }

    #[test]
    fn takes_as_far_as_the_class_goes() {
        for length in 0..20 {
            for at in 0..=length {
                let text = format!("{};{}", "a".repeat(at), "b".repeat(length - at));
                assert_eq!(Cursor::new(text.as_bytes()).take(TOKEN).len(), at);
            }
            assert_eq!(Cursor::new("a".repeat(length).as_bytes()).take(TOKEN).len(), length);
        }
    }

    #[test]
    fn numbers_do_not_wrap() {
        let read = |text: &str, max| Cursor::new(text.as_bytes()).number(max);
        assert_eq!(read("0068", 255), Ok(68));
        assert_eq!(read("4294967295x", u32::MAX), Ok(u32::MAX));
        assert_eq!(read("4294967296", u32::MAX), Err(Kind::Number));
        assert_eq!(read("256", 255), Err(Kind::Number));
        assert_eq!(read("-1", 255), Err(Kind::Number));
        assert_eq!(read("", 255), Err(Kind::Number));
    }
}
