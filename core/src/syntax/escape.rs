use std::{borrow::Cow, fmt::Write as _};

use super::scan::{self, Cursor};

/// Returns the text that `escaped` parts of a URI stand for (RFC 3261 §19.1.2, RFC 3986 §2.1).
///
/// A text whose escapes make no UTF-8, which then name bytes and no characters, comes back as it is.
pub fn unescape(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'%', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let plain: Vec<u8> = unescaped(text).map(|(byte, _)| byte).collect();
    String::from_utf8(plain).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Returns the bytes that a text stands for, each with whether it was escaped.
pub(crate) fn unescaped(text: &str) -> impl Iterator<Item = (u8, bool)> + Clone {
    let mut cursor = Cursor::new(text.as_bytes());
    std::iter::from_fn(move || {
        let (byte, length) = match cursor.rest() {
            [b'%', high, low, ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, 3),
                _ => (b'%', 1),
            },
            [byte, ..] => (*byte, 1),
            [] => return None,
        };
        cursor.pos += length;
        Some((byte, length == 3))
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

/// Escapes all bytes that are not of a class.
pub(crate) fn escape(text: &str, class: u16) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii() && scan::is(byte, class) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("a string grows as it is written to");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C006; RFC 3261 §19.1.2.
    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescape("sip%3Auser%40example.com"), "sip:user@example.com");
        assert_eq!(unescape("%00%e4%ba%ac%"), "\0京%");
        assert!(matches!(unescape("plain"), Cow::Borrowed("plain")));
        assert_eq!(unescape("%ff%41"), "%ff%41", "no UTF-8");
        assert_eq!(unescape("100%"), "100%");
        for text in ["", "a b", "ü%;@\r\n\0\"<>", "plain"] {
            for class in [scan::USER, scan::PARAM, scan::HNV] {
                let escaped = escape(text, class);
                assert_eq!(unescape(&escaped), text);
                assert!(escaped.bytes().all(|byte| byte == b'%' || scan::is(byte, class)));
            }
        }
    }
}
