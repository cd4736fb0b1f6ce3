use std::{borrow::Cow, fmt, str::FromStr};

use thiserror::Error;

/// The value of a header field that an application adds.
///
/// It has no line breaks and no control characters but the tab, so it can start no other header field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeaderValue(Cow<'static, str>);

/// A text with a line break or another control character in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a header field's value has no control characters but the tab: one is at byte {offset}")]
pub struct BadHeaderValue {
    /// Where the first such character is.
    pub offset: usize,
}

impl HeaderValue {
    /// Takes a text that is written in the program.
    ///
    /// # Panics
    ///
    /// If it has control characters; in a constant, that is an error of compilation.
    pub const fn from_static(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            assert!(!is_control(bytes[at]), "a header field's value has no control characters");
            at += 1;
        }
        Self(Cow::Borrowed(text))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

fn check(text: &str) -> Result<(), BadHeaderValue> {
    match text.bytes().position(is_control) {
        Some(offset) => Err(BadHeaderValue { offset }),
        None => Ok(()),
    }
}

impl TryFrom<&str> for HeaderValue {
    type Error = BadHeaderValue;

    fn try_from(text: &str) -> Result<Self, BadHeaderValue> {
        check(text)?;
        Ok(Self(Cow::Owned(text.into())))
    }
}

impl TryFrom<String> for HeaderValue {
    type Error = BadHeaderValue;

    fn try_from(text: String) -> Result<Self, BadHeaderValue> {
        check(&text)?;
        Ok(Self(Cow::Owned(text)))
    }
}

impl FromStr for HeaderValue {
    type Err = BadHeaderValue;

    fn from_str(text: &str) -> Result<Self, BadHeaderValue> {
        text.try_into()
    }
}

impl fmt::Display for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for HeaderValue {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for HeaderValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for HeaderValue {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No value can end its line and start another header field.
    #[test]
    fn control_characters_are_refused() {
        for (text, offset) in [("a\r\nB: c", 1), ("a\n b", 1), ("\0", 0), ("x\u{7f}", 1), ("\u{1b}[m", 0)] {
            assert_eq!(HeaderValue::try_from(text), Err(BadHeaderValue { offset }), "{text:?}");
            assert_eq!(HeaderValue::try_from(text.to_owned()), Err(BadHeaderValue { offset }));
        }
        assert_eq!(HeaderValue::try_from("a\tб").map(|value| value.to_string()), Ok("a\tб".into()));
        const VALUE: HeaderValue = HeaderValue::from_static("100rel");
        assert_eq!(VALUE.as_str(), "100rel");
    }
}
