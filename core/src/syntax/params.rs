use std::{borrow::Cow, fmt};

use super::{
    ParseErrorKind as Kind,
    scan::{self, Cursor, Span},
};

/// The parameters of a URI or a header field, in order: pairs of name and, if there is one, value.
///
/// A value that is a quoted string comes with its quotes; see [`unquote`].
#[derive(Clone, Copy)]
pub struct Params<'a> {
    /// Starts at a semicolon, or is empty. At most 65,535 bytes.
    text: &'a str,
}

impl<'a> Params<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// Returns the first parameter of that name, in any case: `Some(None)` if it has no value.
    pub fn get(self, name: &str) -> Option<Option<&'a str>> {
        let mut all = self;
        all.find(|(candidate, _)| candidate.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Tells whether there is a parameter of that name, in any case.
    pub fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Returns the parameters not yet returned, as they are written, from the semicolon on.
    pub fn as_str(self) -> &'a str {
        self.text
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = (&'a str, Option<&'a str>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut cursor = Cursor::new(self.text.as_bytes());
        let Ok(Some((name, value))) = scan_param(&mut cursor) else {
            self.text = "";
            return None;
        };
        let item = (name.of(self.text), value.opt(self.text));
        self.text = self.text.get(cursor.pos..).unwrap_or("");
        Some(item)
    }
}

impl fmt::Debug for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// Reads `SEMI generic-param` (RFC 3261 §25.1) if it stands here.
#[inline]
pub(crate) fn scan_param(cursor: &mut Cursor<'_>) -> Result<Option<(Span, Span)>, Kind> {
    if !cursor.eat_separator(b';') {
        return Ok(None);
    }
    let name = cursor.take1(PARAM_NAME, Kind::Param)?;
    cursor.skip_lws();
    if !cursor.eat(b'=') {
        return Ok(Some((name, Span::NONE)));
    }
    cursor.skip_lws();
    let value = if cursor.peek() == Some(b'"') {
        cursor.quoted()?
    } else {
        cursor.take1(scan::VALUE, Kind::Param)?
    };
    Ok(Some((name, value)))
}

/// One scanner serves URIs too, whose names have a few more characters and are checked where URIs are.
const PARAM_NAME: u16 = scan::TOKEN | scan::PARAM;

/// Returns the text that a quoted string stands for, and any other text as it is (RFC 3261 §25.1, quoted-string).
pub fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(text);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        plain.extend(if char == '\\' { chars.next() } else { Some(char) });
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3261 §7.3.1: names in any case, white space and folds around separators.
    #[test]
    fn reads_names_and_values() {
        let params = Params::new(" ; a = 1;B\r\n =\"x;y\\\"\" ;c;d=[2001:db8::1]");
        let all: Vec<_> = params.collect();
        assert_eq!(
            all,
            [("a", Some("1")), ("B", Some("\"x;y\\\"\"")), ("c", None), ("d", Some("[2001:db8::1]"))]
        );
        assert_eq!(params.get("b"), Some(Some("\"x;y\\\"\"")));
        assert_eq!(params.get("C"), Some(None));
        assert_eq!(params.get("e"), None);
        assert!(params.has("A"));
    }

    #[test]
    fn unquotes() {
        assert_eq!(unquote(r#""a\"b\\""#), r#"a"b\"#);
        assert_eq!(unquote("plain"), "plain");
        assert_eq!(unquote("\"\""), "");
        assert_eq!(unquote("\""), "\"");
    }
}
