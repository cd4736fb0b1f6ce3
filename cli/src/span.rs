use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

/// A duration as people write it: `200ms`, `32s`, `5m`, `12h`; a number alone is seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// A text that is no duration.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no duration: write a whole number and ms, s, m or h, such as \"200ms\" or \"32s\"")]
pub(crate) struct BadSpan(String);

/// The units with their length in nanoseconds, longest first.
const UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl FromStr for Span {
    type Err = BadSpan;

    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let bad = || BadSpan(text.into());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = if unit.is_empty() { "s" } else { unit };
        let (_, nanos) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        let number: u64 = number.parse().map_err(|_| bad())?;
        number.checked_mul(nanos).map(|nanos| Self(Duration::from_nanos(nanos))).ok_or_else(bad)
    }
}

/// Prints it in the longest unit of which it is a whole number.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let whole = |(_, unit): &(&str, u64)| nanos.is_multiple_of(u128::from(*unit));
        match UNITS.into_iter().find(whole) {
            Some((unit, length)) if nanos > 0 => write!(f, "{}{unit}", nanos / u128::from(length)),
            _ => f.write_str("0s"),
        }
    }
}

impl From<Span> for Option<Duration> {
    fn from(span: Span) -> Self {
        Some(span.0)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_printed() {
        for (text, millis, printed) in [
            ("200ms", 200, "200ms"),
            ("32s", 32_000, "32s"),
            ("5", 5_000, "5s"),
            ("90s", 90_000, "90s"),
            ("120s", 120_000, "2m"),
            ("12h", 43_200_000, "12h"),
            ("0ms", 0, "0s"),
        ] {
            let span: Span = text.parse().expect(text);
            assert_eq!(span.0, Duration::from_millis(millis), "{text}");
            assert_eq!(span.to_string(), printed, "{text}");
        }
        for bad in ["", "s", "-1s", "1.5s", "5 s", "5d", "99999999999999999999s", "6000000h"] {
            assert_eq!(bad.parse::<Span>(), Err(BadSpan(bad.into())), "{bad:?}");
        }
    }
}
