use std::fmt;

use super::super::{Params, ParseErrorKind as Kind, Reader, Uri, UriError};

/// A value and its parameters, the shape of most header fields: `value *( SEMI generic-param )`.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    text: &'a str,
    value: &'a str,
    params: Params<'a>,
}

impl<'a> Item<'a> {
    /// Reads what `value` reads, and the parameters behind it.
    pub fn read(
        reader: &mut Reader<'a>,
        value: impl FnOnce(&mut Reader<'a>) -> Result<&'a str, Kind>,
    ) -> Result<Self, Kind> {
        reader.space();
        let start = reader.position();
        let value = value(reader)?;
        let params = reader.params()?;
        Ok(Self { text: reader.since(start), value, params })
    }

    /// Returns the whole as it is written.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// Returns the value without the parameters, a quoted string with its quotes, a bracketed URI without brackets.
    pub fn value(&self) -> &'a str {
        self.value
    }

    /// Tells whether the value is that one, in any case.
    pub fn is(&self, value: &str) -> bool {
        self.value.eq_ignore_ascii_case(value)
    }

    /// Returns the value as a URI, or why it is none.
    pub fn uri(&self) -> Result<Uri<'a>, UriError> {
        Uri::parse(self.value)
    }

    /// Returns the parameters.
    pub fn params(&self) -> Params<'a> {
        self.params
    }

    /// Returns a parameter by its name in any case: `Some(None)` if it has no value.
    pub fn param(&self, name: &str) -> Option<Option<&'a str>> {
        self.params.get(name)
    }

    /// Returns the value of a parameter by its name in any case, a quoted string with its quotes.
    pub fn param_value(&self, name: &str) -> Option<&'a str> {
        self.param(name).flatten()
    }

    /// Returns the number that a parameter has; none if it is absent or malformed.
    pub fn param_number(&self, name: &str) -> Option<u32> {
        number(self.param_value(name)?, u32::MAX)
    }
}

/// Prints the item as it is written.
impl fmt::Display for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Item({:?})", self.text)
    }
}

/// Equality of the text.
impl PartialEq for Item<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Item<'_> {}

/// A value that is one word; it is equal in any case.
#[derive(Clone, Copy, Debug)]
pub struct Word<'a>(pub(crate) &'a str);

impl<'a> Word<'a> {
    /// Returns it as it is written.
    pub fn as_str(&self) -> &'a str {
        self.0
    }

    /// Tells whether it is that one, in any case.
    pub fn is(&self, word: &str) -> bool {
        self.0.eq_ignore_ascii_case(word)
    }
}

impl PartialEq for Word<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.0)
    }
}

impl Eq for Word<'_> {}

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A value that is equal to the same text only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a>(pub(crate) &'a str);

impl<'a> Text<'a> {
    /// Returns it as it is written, folds left in.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Reads a text of digits only, at most `max`.
pub(crate) fn number(text: &str, max: u32) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&number| digits && number <= max)
}

/// Reads a `qvalue` (RFC 3261 §25.1) in thousandths.
pub(crate) fn qvalue(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let thousandths = match fraction.len() {
        0 => 0,
        digits @ 1..=3 => number(fraction, 999)? * 10u32.pow(3 - digits as u32),
        _ => return None,
    };
    match whole {
        "0" => u16::try_from(thousandths).ok(),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

/// Returns the `q` of parameters in thousandths, 1000 if there is none, nothing if it is malformed.
pub(crate) fn quality(params: Params<'_>) -> Option<u16> {
    match params.get("q") {
        None => Some(1000),
        Some(value) => qvalue(value?),
    }
}

/// Makes types around [`Item`] or [`NameAddr`](super::super::NameAddr): name, constant of the name, whether it is a
/// list, and what reads it.
macro_rules! headers {
    ($inner:ident; $($(#[$doc:meta])* $name:ident $constant:ident $rows:ident $read:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<'a>($inner<'a>);

        impl<'a> $crate::syntax::Header<'a> for $name<'a> {
            const NAME: $crate::syntax::HeaderName = $crate::syntax::HeaderName::$constant;
            const LIST: bool = $crate::syntax::header::item::$rows;

            fn read(
                reader: &mut $crate::syntax::Reader<'a>,
            ) -> Result<Self, $crate::syntax::ParseErrorKind> {
                let read: fn(&mut $crate::syntax::Reader<'a>) -> Result<$inner<'a>, _> = $read;
                read(reader).map(Self)
            }
        }

        impl<'a> std::ops::Deref for $name<'a> {
            type Target = $inner<'a>;

            fn deref(&self) -> &$inner<'a> {
                &self.0
            }
        }

        impl std::fmt::Display for $name<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
pub(crate) use headers;

/// Makes types for a number alone: name, constant of the name, greatest value.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident $constant:ident $max:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $crate::syntax::Header<'_> for $name {
            const NAME: $crate::syntax::HeaderName = $crate::syntax::HeaderName::$constant;
            const LIST: bool = false;

            fn read(
                reader: &mut $crate::syntax::Reader<'_>,
            ) -> Result<Self, $crate::syntax::ParseErrorKind> {
                reader.number($max).map(Self)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
pub(crate) use numbers;

/// For header fields that stand alone in their row.
#[allow(non_upper_case_globals, reason = "a word of the tables made by `headers`")]
pub(crate) const alone: bool = false;
/// For header fields whose values commas part.
#[allow(non_upper_case_globals, reason = "a word of the tables made by `headers`")]
pub(crate) const list: bool = true;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3261 §25.1, qvalue.
    #[test]
    fn reads_q_in_thousandths() {
        for (text, thousandths) in
            [("0", 0), ("1", 1000), ("0.", 0), ("0.5", 500), ("0.33", 330), ("0.001", 1), ("1.000", 1000)]
        {
            assert_eq!(qvalue(text), Some(thousandths), "{text}");
        }
        for bad in ["", ".", ".5", "2", "1.1", "1.001", "0.0001", "0.+5", "-0", "0.5 ", "00.5", "0,5"] {
            assert_eq!(qvalue(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_have_digits_only() {
        assert_eq!((number("007", 7), number("8", 7)), (Some(7), None));
        for bad in ["", "+1", "-1", " 1", "1x", "4294967296"] {
            assert_eq!(number(bad, u32::MAX), None, "{bad}");
        }
    }

    #[test]
    fn an_item_is_a_value_and_parameters() {
        let mut reader = Reader::new("  Active ; expires=60;x , next").expect("short");
        let item = Item::read(&mut reader, Reader::token).expect("an item");
        assert_eq!((item.as_str(), item.value()), ("Active ; expires=60;x", "Active"));
        assert!(item.is("active") && item.param("X") == Some(None));
        assert_eq!((item.param_number("Expires"), item.param_number("x")), (Some(60), None));
        assert_eq!(reader.peek(), Some(b','));
    }
}
