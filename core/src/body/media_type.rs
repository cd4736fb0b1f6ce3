use crate::syntax::{
    ParseErrorKind as Kind,
    scan::{self, Cursor, Span},
};

/// A value with parameters behind semicolons: `type/subtype` of a Content-Type, or the type of a disposition.
#[derive(Clone, Copy)]
pub(super) struct Parameterized<'a> {
    text: &'a str,
    params: usize,
    /// What stands before the parameters.
    pub(super) main: &'a str,
}

impl<'a> Parameterized<'a> {
    /// Reads `token *(SEMI generic-param)`, with a slash and another token behind the first if `slash` (RFC 3261 §25.1).
    pub(super) fn parse(text: &'a str, slash: bool) -> Option<Self> {
        if text.len() > usize::from(u16::MAX) {
            return None;
        }
        let mut cursor = Cursor::new(text.as_bytes());
        cursor.skip_lws();
        let start = cursor.pos;
        cursor.take1(scan::TOKEN, Kind::Token).ok()?;
        if slash {
            // Nobody puts white space around the slash, so that the two can be returned as they are written.
            if !cursor.eat(b'/') {
                return None;
            }
            cursor.take1(scan::TOKEN, Kind::Token).ok()?;
        }
        let params = cursor.pos;
        while scan_param(&mut cursor).ok()?.is_some() {}
        cursor.finish().ok()?;
        Some(Self { text, params, main: text.get(start..params).unwrap_or("") })
    }

    /// Returns the first parameter of that name, in any case, with its quotes.
    pub(super) fn param(&self, name: &str) -> Option<&'a str> {
        let mut cursor = Cursor::new(self.text.as_bytes());
        cursor.pos = self.params;
        while let Ok(Some((candidate, value))) = scan_param(&mut cursor) {
            if candidate.of(self.text).eq_ignore_ascii_case(name) {
                return value.opt(self.text);
            }
        }
        None
    }

    /// Tells whether what stands before the parameters is this, in any case.
    pub(super) fn is(&self, main: &str) -> bool {
        self.main.eq_ignore_ascii_case(main)
    }
}

/// Reads `SEMI generic-param` if it stands here; a stray semicolon at the end is nothing.
fn scan_param(cursor: &mut Cursor<'_>) -> Result<Option<(Span, Span)>, Kind> {
    if !cursor.eat_separator(b';') || cursor.at_end() {
        return Ok(None);
    }
    let name = cursor.take1(scan::TOKEN, Kind::Param)?;
    if !cursor.eat_separator(b'=') {
        return Ok(Some((name, Span::NONE)));
    }
    let value = if cursor.peek() == Some(b'"') {
        cursor.quoted()?
    } else {
        cursor.take1(scan::VALUE, Kind::Param)?
    };
    Ok(Some((name, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3261 §25.1, media-type and disp-type.
    #[test]
    fn reads_main_value_and_parameters() {
        let parsed = Parameterized::parse(" Multipart/Mixed ; x ; BOUNDARY = \"a;b\" ;c=d;", true).unwrap();
        assert_eq!(parsed.main, "Multipart/Mixed");
        assert!(parsed.is("multipart/mixed"));
        assert_eq!(parsed.param("boundary"), Some("\"a;b\""));
        assert_eq!(parsed.param("C"), Some("d"));
        assert_eq!(parsed.param("x"), None);
        assert_eq!(Parameterized::parse("session", false).unwrap().main, "session");
        for (bad, slash) in [
            ("", true),
            ("text", true),
            ("text/", true),
            ("text/plain x", true),
            ("text/plain;=1", true),
            ("text/plain;a=\"", true),
            ("text / plain", true),
            ("a/b", false),
            ("a b", false),
        ] {
            assert!(Parameterized::parse(bad, slash).is_none(), "{bad}");
        }
    }

    #[test]
    fn values_are_at_most_65535_bytes_long() {
        let value = |length: usize| format!("a/b;c={}", "x".repeat(length - 6));
        assert!(Parameterized::parse(&value(65_535), true).is_some());
        assert!(Parameterized::parse(&value(65_536), true).is_none());
    }
}
