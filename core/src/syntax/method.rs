use std::{fmt, str::FromStr};

use thiserror::Error;

use super::scan;

/// A request's method (RFC 3261 §7.1). Methods are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Method {
    /// Opens or changes a session (RFC 3261 §13, §14).
    Invite,
    /// Acknowledges a final response to an INVITE (RFC 3261 §13).
    Ack,
    /// Ends a session (RFC 3261 §15).
    Bye,
    /// Calls a request off (RFC 3261 §9).
    Cancel,
    /// Asks for capabilities (RFC 3261 §11).
    Options,
    /// Binds addresses (RFC 3261 §10).
    Register,
    /// Carries information within a session (RFC 6086).
    Info,
    /// Carries an instant message (RFC 3428).
    Message,
    /// Tells about an event (RFC 6665).
    Notify,
    /// Acknowledges a reliable provisional response (RFC 3262).
    Prack,
    /// Publishes event state (RFC 3903).
    Publish,
    /// Asks to contact somebody (RFC 3515).
    Refer,
    /// Asks for events (RFC 6665).
    Subscribe,
    /// Changes a session before it is answered (RFC 3311).
    Update,
    /// Any other.
    Other(OtherMethod),
}

/// A method that has no name of its own in [`Method`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OtherMethod(Box<str>);

/// A text that is no method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a method is a token: letters, digits and -.!%*_+`'~")]
pub struct BadMethod;

impl Method {
    /// Returns the method as messages spell it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Info => "INFO",
            Self::Message => "MESSAGE",
            Self::Notify => "NOTIFY",
            Self::Prack => "PRACK",
            Self::Publish => "PUBLISH",
            Self::Refer => "REFER",
            Self::Subscribe => "SUBSCRIBE",
            Self::Update => "UPDATE",
            Self::Other(other) => &other.0,
        }
    }

    /// Reads what the parser found to be a token.
    pub(crate) fn of_token(text: &str) -> Self {
        Self::known(text).unwrap_or_else(|| Self::Other(OtherMethod(text.into())))
    }

    fn known(text: &str) -> Option<Self> {
        Some(match text {
            "INVITE" => Self::Invite,
            "ACK" => Self::Ack,
            "BYE" => Self::Bye,
            "CANCEL" => Self::Cancel,
            "OPTIONS" => Self::Options,
            "REGISTER" => Self::Register,
            "INFO" => Self::Info,
            "MESSAGE" => Self::Message,
            "NOTIFY" => Self::Notify,
            "PRACK" => Self::Prack,
            "PUBLISH" => Self::Publish,
            "REFER" => Self::Refer,
            "SUBSCRIBE" => Self::Subscribe,
            "UPDATE" => Self::Update,
            _ => return None,
        })
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Method {
    type Err = BadMethod;

    fn from_str(text: &str) -> Result<Self, BadMethod> {
        if scan::is_token(text) { Ok(Self::of_token(text)) } else { Err(BadMethod) }
    }
}

impl TryFrom<&str> for Method {
    type Error = BadMethod;

    fn try_from(text: &str) -> Result<Self, BadMethod> {
        text.parse()
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Method {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Method {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C005; RFC 3261 §7.1: methods are tokens and case-sensitive.
    #[test]
    fn methods_are_case_sensitive_tokens() {
        assert_eq!("INVITE".parse(), Ok(Method::Invite));
        let other: Method = "Invite".parse().expect("a token");
        assert!(matches!(other, Method::Other(_)));
        assert_eq!(other.to_string(), "Invite");
        assert_ne!(other, Method::Invite);
        for bad in ["", "IN VITE", "INVITE\r\n", "ä", "a/b"] {
            assert_eq!(bad.parse::<Method>(), Err(BadMethod), "{bad:?}");
        }
    }

    #[test]
    fn known_methods_spell_themselves() {
        use Method as M;
        let known = [
            M::Invite,
            M::Ack,
            M::Bye,
            M::Cancel,
            M::Options,
            M::Register,
            M::Info,
            M::Message,
            M::Notify,
            M::Prack,
            M::Publish,
            M::Refer,
            M::Subscribe,
            M::Update,
        ];
        for method in known {
            assert_eq!(method.as_str().parse(), Ok(method));
        }
    }
}
