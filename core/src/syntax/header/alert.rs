use super::{
    super::{ParseErrorKind as Kind, Reader},
    item::{Item, headers},
};

headers! { Item;
    /// A ring tone or a ring-back tone (RFC 3261 §20.4, RFC 7462).
    AlertInfo ALERT_INFO list |reader| Item::read(reader, Reader::bracketed_uri);
    /// What is known about the caller or the callee (RFC 3261 §20.9).
    CallInfo CALL_INFO list |reader| Item::read(reader, Reader::bracketed_uri);
    /// More about the error that a response tells (RFC 3261 §20.18).
    ErrorInfo ERROR_INFO list |reader| Item::read(reader, Reader::bracketed_uri);
    /// Where the sender is, by reference (RFC 6442 §4.1).
    Geolocation GEOLOCATION list |reader| Item::read(reader, Reader::bracketed_uri);
    /// Whether proxies may route by the location (RFC 6442 §4.2).
    GeolocationRouting GEOLOCATION_ROUTING alone |reader| Item::read(reader, Reader::token);
    /// What was wrong with a location: a code of one to three digits (RFC 6442 §4.4).
    GeolocationError GEOLOCATION_ERROR alone |reader| Item::read(reader, |reader| code(reader, 1));
    /// What was wrong with a non-interactive emergency call: a code of three digits (RFC 8876 §5.2).
    AlertMsgError ALERT_MSG_ERROR alone |reader| Item::read(reader, |reader| code(reader, 3));
    /// Where a policy server is (RFC 6794 §4.4.5.2).
    PolicyContact POLICY_CONTACT list |reader| Item::read(reader, Reader::bracketed_uri);
}

/// Reads a code of three digits at most.
fn code<'a>(reader: &mut Reader<'a>, least: usize) -> Result<&'a str, Kind> {
    let code = reader.digits()?;
    if (least..=3).contains(&code.len()) { Ok(code) } else { Err(Kind::Number) }
}

impl<'a> CallInfo<'a> {
    /// Returns the `purpose`, such as `icon`, `info` or `card`.
    pub fn purpose(&self) -> Option<&'a str> {
        self.param_value("purpose")
    }
}

impl GeolocationRouting<'_> {
    /// Tells whether proxies may route by the location: only if it says `yes`.
    pub fn is_allowed(&self) -> bool {
        self.is("yes")
    }
}

impl<'a> GeolocationError<'a> {
    /// Returns the explanation for people, with its quotes.
    pub fn text(&self) -> Option<&'a str> {
        self.param_value("code")
    }
}
