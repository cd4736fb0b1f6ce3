use super::{
    super::{ParseErrorKind as Kind, Reader},
    item::{Item, Text, Word, headers},
};

headers! { Item;
    /// The event package of a subscription (RFC 6665 §8.2.1).
    Event EVENT alone |reader| Item::read(reader, event_type);
    /// How a subscription stands (RFC 6665 §8.2.3).
    SubscriptionState SUBSCRIPTION_STATE alone |reader| Item::read(reader, Reader::token);
}

headers! { Word;
    /// An event package that the sender understands (RFC 6665 §8.2.2).
    AllowEvents ALLOW_EVENTS list |reader| event_type(reader).map(Word);
}

headers! { Text;
    /// The version of published state (RFC 3903 §12).
    SipEtag SIP_ETAG alone |reader| reader.token().map(Text);
    /// The version of published state that a PUBLISH changes (RFC 3903 §12).
    SipIfMatch SIP_IF_MATCH alone |reader| reader.token().map(Text);
    /// The version of state of which no NOTIFY is wanted, or `*` for any (RFC 5839 §3.4).
    SuppressIfMatch SUPPRESS_IF_MATCH alone |reader| reader.token().map(Text);
}

/// Reads `event-package *( "." event-template )`.
fn event_type<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Kind> {
    let text = reader.token()?;
    if text.split('.').all(|part| !part.is_empty()) { Ok(text) } else { Err(Kind::Token) }
}

impl<'a> Event<'a> {
    /// Returns the package without templates, such as `presence` of `presence.winfo`.
    pub fn package(&self) -> &'a str {
        self.value().split('.').next().unwrap_or("")
    }

    /// Returns the templates, such as `winfo` of `presence.winfo`.
    pub fn templates(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.value().split('.').skip(1)
    }

    /// Returns the `id` parameter, which tells subscriptions of one dialog apart.
    pub fn id(&self) -> Option<&'a str> {
        self.param_value("id")
    }

    /// Tells whether both name one subscription: the same package and templates, the same `id` (RFC 6665 §4.5.1).
    pub fn is_same(&self, other: &Event<'_>) -> bool {
        self.value() == other.value() && self.id() == other.id()
    }
}

/// The states of a subscription (RFC 6665 §8.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubstateValue<'a> {
    /// Accepted and in force.
    Active,
    /// Not decided yet.
    Pending,
    /// Ended.
    Terminated,
    /// Any other.
    Other(&'a str),
}

impl<'a> SubscriptionState<'a> {
    /// Returns the state.
    pub fn state(&self) -> SubstateValue<'a> {
        if self.is("active") {
            SubstateValue::Active
        } else if self.is("pending") {
            SubstateValue::Pending
        } else if self.is("terminated") {
            SubstateValue::Terminated
        } else {
            SubstateValue::Other(self.value())
        }
    }

    /// Returns why the subscription ended, such as `deactivated` or `noresource`.
    pub fn reason(&self) -> Option<&'a str> {
        self.param_value("reason")
    }

    /// Returns the seconds that are left.
    pub fn expires(&self) -> Option<u32> {
        self.param_number("expires")
    }

    /// Returns the seconds after which it may be tried again.
    pub fn retry_after(&self) -> Option<u32> {
        self.param_number("retry-after")
    }
}
