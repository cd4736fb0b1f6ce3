use super::{
    super::{NameAddr, ParseErrorKind as Kind, Reader},
    item::{Item, headers},
};

headers! { NameAddr;
    /// Whom or what the recipient is asked to contact (RFC 3515 §2.1).
    ReferTo REFER_TO alone |reader| reader.address();
    /// Who asked for the request (RFC 3892 §3).
    ReferredBy REFERRED_BY alone |reader| reader.address();
}

headers! { Item;
    /// Whether a REFER is to make a subscription (RFC 4488 §4).
    ReferSub REFER_SUB alone |reader| {
        let item = Item::read(reader, Reader::token)?;
        if item.is("true") || item.is("false") { Ok(item) } else { Err(Kind::Value) }
    };
}

impl<'a> ReferredBy<'a> {
    /// Returns the Content-ID of the body that proves it, with its quotes.
    pub fn cid(&self) -> Option<&'a str> {
        self.param("cid").flatten()
    }
}

impl ReferSub<'_> {
    /// Tells whether a subscription is wanted.
    pub fn is_wanted(&self) -> bool {
        self.is("true")
    }
}
