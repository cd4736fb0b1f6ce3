use std::{fmt, str::FromStr};

use super::super::{
    Header, HeaderName, Method, ParseError, ParseErrorKind as Kind, Reader,
    scan::{self, Cursor, Span},
};

/// The value of a CSeq header field (RFC 3261 §20.16).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// The sequence number, below 2³¹.
    pub number: u32,
    /// The method.
    pub method: Method,
}

/// Where the method stands, and the number.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CSeqSpans {
    pub(crate) number: u32,
    pub(crate) method: Span,
}

/// RFC 3261 §8.1.1.5: the number is below 2³¹.
const MAX: u32 = (1 << 31) - 1;

/// Reads `1*DIGIT LWS Method` and nothing after it.
pub(crate) fn scan(cursor: &mut Cursor<'_>) -> Result<CSeqSpans, Kind> {
    cursor.skip_lws();
    let number = cursor.number(MAX)?;
    if !cursor.peek().is_some_and(|byte| scan::is(byte, scan::LWS)) {
        return Err(Kind::Token);
    }
    cursor.skip_lws();
    let method = cursor.take1(scan::TOKEN, Kind::Token)?;
    cursor.finish()?;
    Ok(CSeqSpans { number, method })
}

impl Header<'_> for CSeq {
    const NAME: HeaderName = HeaderName::CSEQ;
    const LIST: bool = false;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Kind> {
        let spans = scan(reader.cursor())?;
        Ok(Self { number: spans.number, method: Method::of_token(spans.method.of(reader.text())) })
    }
}

impl FromStr for CSeq {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C017; RFC 3261 §8.1.1.5.
    #[test]
    fn numbers_stay_below_two_to_the_31() {
        assert_eq!("0009\r\n  INVITE".parse(), Ok(CSeq { number: 9, method: Method::Invite }));
        assert_eq!("2147483647 ACK".parse(), Ok(CSeq { number: MAX, method: Method::Ack }));
        for bad in ["", "1", "1INVITE", "2147483648 ACK", "-1 ACK", "1 A/B", "1 ACK x", "x ACK"] {
            assert!(bad.parse::<CSeq>().is_err(), "{bad}");
        }
    }
}
