use super::{
    Host, NameAddr, Params, ParseErrorKind as Kind, Uri,
    host::scan_host,
    name_addr,
    params::scan_param,
    scan::{self, Cursor, Span},
};

/// Reads the value of a header field from left to right; what [`Header::read`](super::Header::read) is written with.
///
/// What it returns borrows the text. After an error it stands where the error is.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    text: &'a str,
    cursor: Cursor<'a>,
}

impl<'a> Reader<'a> {
    /// Takes a text of at most 65,535 bytes.
    pub fn new(text: &'a str) -> Result<Self, Kind> {
        if text.len() > usize::from(u16::MAX) {
            return Err(Kind::TooLong);
        }
        Ok(Self { text, cursor: Cursor::new(text.as_bytes()) })
    }

    /// Reads only the stretch `span` of `text`.
    pub(crate) fn within(text: &'a str, span: Span) -> Self {
        Self { text, cursor: Cursor::within(text.as_bytes(), span) }
    }

    /// Returns the byte of the text at which it stands.
    pub fn position(&self) -> usize {
        self.cursor.pos
    }

    /// Returns the next byte.
    pub fn peek(&self) -> Option<u8> {
        self.cursor.peek()
    }

    /// Tells whether nothing but white space is left.
    pub fn at_end(&mut self) -> bool {
        self.cursor.skip_lws();
        self.cursor.at_end()
    }

    /// Goes past white space and folds, and tells whether there was any.
    pub fn space(&mut self) -> bool {
        let start = self.cursor.pos;
        self.cursor.skip_lws();
        self.cursor.pos > start
    }

    /// Goes past a byte if it is the next one.
    pub fn eat(&mut self, byte: u8) -> bool {
        self.cursor.eat(byte)
    }

    /// Goes past a byte and the white space around it if it is the next one; otherwise only past the white space.
    pub fn eat_separator(&mut self, byte: u8) -> bool {
        self.cursor.eat_separator(byte)
    }

    /// Reads a `token` (RFC 3261 §25.1).
    pub fn token(&mut self) -> Result<&'a str, Kind> {
        self.take(scan::TOKEN, Kind::Token)
    }

    /// Reads a `quoted-string` (RFC 3261 §25.1) and returns it with its quotes.
    pub fn quoted(&mut self) -> Result<&'a str, Kind> {
        self.cursor.skip_lws();
        if self.cursor.peek() != Some(b'"') {
            return Err(Kind::Quote);
        }
        self.cursor.quoted().map(|span| span.of(self.text))
    }

    /// Reads a token or a quoted string, the latter with its quotes.
    pub fn token_or_quoted(&mut self) -> Result<&'a str, Kind> {
        self.cursor.skip_lws();
        if self.peek() == Some(b'"') { self.quoted() } else { self.token() }
    }

    /// Reads a number of digits only, at most `max`.
    pub fn number(&mut self, max: u32) -> Result<u32, Kind> {
        self.cursor.skip_lws();
        self.cursor.number(max)
    }

    /// Reads digits, however many, and returns them.
    pub fn digits(&mut self) -> Result<&'a str, Kind> {
        self.take_while(u8::is_ascii_digit, Kind::Number)
    }

    /// Reads a Call-ID, up to white space, a semicolon or a comma.
    pub fn call_id(&mut self) -> Result<&'a str, Kind> {
        self.take(scan::WORDS, Kind::Token)
    }

    /// Reads the parameters that stand here, which may be none.
    pub fn params(&mut self) -> Result<Params<'a>, Kind> {
        let start = self.cursor.pos;
        let mut end = start;
        while let Some((name, value)) = scan_param(&mut self.cursor)? {
            end = if value.is_none() { name.end() } else { value.end() };
        }
        Ok(Params::new(Span::new(start, end).of(self.text)))
    }

    /// Reads a `name-addr` or `addr-spec` with its parameters (RFC 3261 §25.1).
    pub fn address(&mut self) -> Result<NameAddr<'a>, Kind> {
        name_addr::scan(&mut self.cursor).map(|spans| NameAddr::new(self.text, spans))
    }

    /// Reads a URI in angle brackets and returns it without them.
    pub fn bracketed_uri(&mut self) -> Result<&'a str, Kind> {
        self.cursor.skip_lws();
        let start = self.cursor.pos;
        let inside = self.cursor.rest().strip_prefix(b"<").and_then(|rest| memchr::memchr(b'>', rest));
        let end = start + 1 + inside.ok_or(Kind::Uri)?;
        let uri = Span::new(start + 1, end).of(self.text);
        if Uri::parse(uri).is_err() {
            return Err(Kind::Uri);
        }
        self.cursor.pos = end + 1;
        Ok(uri)
    }

    /// Reads a host (RFC 3261 §25.1).
    pub fn host(&mut self) -> Result<Host<'a>, Kind> {
        self.cursor.skip_lws();
        scan_host(&mut self.cursor).map(|span| Host::of_checked(span.of(self.text)))
    }

    /// Reads a comment in parentheses, others within it, and returns it with them (RFC 3261 §25.1).
    pub fn comment(&mut self) -> Result<&'a str, Kind> {
        self.cursor.skip_lws();
        let start = self.cursor.pos;
        let mut depth = 0usize;
        while let Some(byte) = self.cursor.peek() {
            self.cursor.pos += 1;
            match byte {
                b'(' => depth += 1,
                b')' => depth = depth.saturating_sub(1),
                // A quoted pair is ASCII but no line break.
                b'\\' if self.peek().is_some_and(|next| next.is_ascii() && !b"\r\n".contains(&next)) => {
                    self.cursor.pos += 1;
                }
                b'\\' => return Err(Kind::Comment),
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        let text = self.since(start);
        if depth == 0 && text.starts_with('(') { Ok(text) } else { Err(Kind::Comment) }
    }

    /// Reads all that is left, without the white space at its ends; it may be empty.
    pub fn rest(&mut self) -> &'a str {
        let end = self.cursor.bytes().len();
        let span = Span::new(self.cursor.pos.min(end), end);
        self.cursor.pos = end;
        span.trimmed(self.text.as_bytes()).of(self.text)
    }

    /// Reads at least one byte of those that `wanted` accepts, which must be ASCII.
    pub fn take_while(&mut self, wanted: impl Fn(&u8) -> bool, otherwise: Kind) -> Result<&'a str, Kind> {
        self.cursor.skip_lws();
        let start = self.cursor.pos;
        let rest = self.cursor.rest();
        let length = rest.iter().position(|byte| !byte.is_ascii() || !wanted(byte)).unwrap_or(rest.len());
        self.cursor.pos += length;
        if length == 0 { Err(otherwise) } else { Ok(self.since(start)) }
    }

    /// Returns what was read since it stood at `start`, without the white space at its ends.
    pub fn since(&self, start: usize) -> &'a str {
        let span = Span::new(start.min(self.cursor.pos), self.cursor.pos);
        span.trimmed(self.text.as_bytes()).of(self.text)
    }

    /// Reads at least one byte of a class.
    pub(crate) fn take(&mut self, class: u16, otherwise: Kind) -> Result<&'a str, Kind> {
        self.cursor.skip_lws();
        self.cursor.take1(class, otherwise).map(|span| span.of(self.text))
    }

    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    pub(crate) fn cursor(&mut self) -> &mut Cursor<'a> {
        &mut self.cursor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(text: &str) -> Reader<'_> {
        Reader::new(text).expect("a short text")
    }

    /// RFC 3261 §25.1.
    #[test]
    fn reads_the_basic_rules() {
        let mut all = reader(" tok \"a \\\" b\" 007 x@y ;p;q=\"1;2\" , <sip:a@b> [::1] (a (b\\)) c) rest  ");
        assert_eq!((all.token(), all.quoted()), (Ok("tok"), Ok("\"a \\\" b\"")));
        assert_eq!((all.number(7), all.call_id()), (Ok(7), Ok("x@y")));
        assert_eq!(all.params().map(Params::as_str), Ok(" ;p;q=\"1;2\""));
        assert!(all.eat_separator(b','));
        assert_eq!(all.bracketed_uri(), Ok("sip:a@b"));
        assert_eq!(all.host().map(|host| host.to_string()).as_deref(), Ok("[::1]"));
        assert_eq!((all.comment(), all.rest(), all.at_end()), (Ok("(a (b\\)) c)"), "rest", true));
    }

    #[test]
    fn stands_where_the_error_is() {
        let mut bad = reader("a;b=;c");
        assert_eq!((bad.token(), bad.params().map(Params::as_str)), (Ok("a"), Err(Kind::Param)));
        assert_eq!(bad.position(), 4);
        for text in ["", "a", "(", "(a", "((a)", "(\\)", "(\\\r\n )", ")"] {
            assert_eq!(reader(text).comment(), Err(Kind::Comment), "{text:?}");
        }
        for text in ["sip:a@b", "<sip:a@b", "<>", "<a b:c>", "<sip:a b@c>"] {
            assert_eq!(reader(text).bracketed_uri(), Err(Kind::Uri), "{text:?}");
        }
        assert_eq!(reader("x").digits(), Err(Kind::Number));
        assert_eq!(reader("x").quoted(), Err(Kind::Quote));
        assert_eq!(Reader::new(&"a".repeat(65_535)).map(|mut long| long.rest().len()), Ok(65_535));
        assert_eq!(Reader::new(&"a".repeat(65_536)).err(), Some(Kind::TooLong));
    }
}
