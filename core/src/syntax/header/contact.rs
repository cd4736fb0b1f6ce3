use super::{
    super::{NameAddr, Params, ParseErrorKind as Kind, unquote},
    feature::{Feature, features},
    item::{headers, number, quality},
};

headers! { NameAddr;
    /// Where the sender, or what it looks for, can be reached (RFC 3261 §20.10).
    ///
    /// The `*` of a REGISTER is no address: see [`View::contact_is_star`](crate::syntax::View::contact_is_star).
    Contact CONTACT list |reader| {
        if reader.at_end() || reader.peek() == Some(b'*') {
            return Err(Kind::Star);
        }
        let address = reader.address()?;
        let params = address.params();
        if !params.as_str().is_empty() && (quality(params).is_none() || bad_reg_id(params)) {
            return Err(Kind::Param);
        }
        Ok(address)
    };
    /// Where an answer to the message is to go (RFC 3261 §20.31).
    ReplyTo REPLY_TO alone |reader| reader.address();
}

/// RFC 5626 §10: 1 to 2³¹ − 1.
fn bad_reg_id(params: Params<'_>) -> bool {
    params.get("reg-id").is_some_and(|value| reg_id(value).is_none())
}

fn reg_id(value: Option<&str>) -> Option<u32> {
    number(value?, i32::MAX as u32).filter(|&id| id > 0)
}

/// RFC 3261 §10.2.1.1 and §20.10: what a malformed `expires` means.
const EXPIRES_WHEN_MALFORMED: u32 = 3600;

impl<'a> Contact<'a> {
    /// Returns the `q` in thousandths, 1000 if there is none.
    pub fn q(&self) -> u16 {
        quality(self.params()).unwrap_or(1000)
    }

    /// Returns the `expires` in seconds; a malformed one means 3600 (RFC 3261 §20.10).
    pub fn expires(&self) -> Option<u32> {
        let value = self.param("expires")?;
        Some(value.and_then(|value| number(value, u32::MAX)).unwrap_or(EXPIRES_WHEN_MALFORMED))
    }

    /// Returns the URN of the device, from `+sip.instance`, without quotes and brackets (RFC 5626 §4.1).
    pub fn instance(&self) -> Option<&'a str> {
        let quoted = self.param("+sip.instance")??;
        quoted.strip_prefix("\"<")?.strip_suffix(">\"")
    }

    /// Returns the `reg-id`, which tells the flows of one device apart (RFC 5626 §4.2).
    pub fn reg_id(&self) -> Option<u32> {
        reg_id(self.param("reg-id")?)
    }

    /// Tells whether the URI has an `ob` parameter (RFC 5626 §5.4).
    pub fn is_outbound(&self) -> bool {
        self.uri().is_ok_and(|uri| uri.param("ob").is_some())
    }

    /// Returns the public GRUU, without quotes (RFC 5627 §7).
    pub fn pub_gruu(&self) -> Option<std::borrow::Cow<'a, str>> {
        self.param("pub-gruu")?.map(unquote)
    }

    /// Returns the temporary GRUU, without quotes (RFC 5627 §7).
    pub fn temp_gruu(&self) -> Option<std::borrow::Cow<'a, str>> {
        self.param("temp-gruu")?.map(unquote)
    }

    /// Returns the feature parameters (RFC 3840 §9).
    pub fn features(&self) -> impl Iterator<Item = Feature<'a>> + use<'a> {
        features(self.params())
    }
}
