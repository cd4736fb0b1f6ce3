use std::{borrow::Cow, fmt, str::FromStr};

use thiserror::Error;

use super::super::scan;

macro_rules! headers {
    ($($id:ident $name:ident $text:literal $compact:literal $rows:ident;)*) => {
        /// A header field's name, known ones resolved once and for all.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum HeaderId {
            $(#[doc = concat!("The ", $text, " header field.")] $id,)*
            /// Any other header field.
            Other,
        }

        /// Id, usual spelling with a colon and a space, compact form, rows.
        static ALL: [(HeaderId, &str, u8, Rows); HeaderId::Other as usize] =
            [$((HeaderId::$id, concat!($text, ": "), $compact as u8, Rows::$rows)),*];

        /// The known names.
        impl HeaderName {
            $(#[doc = concat!("The name ", $text, ".")] pub const $name: Self = Self(Repr::Known(HeaderId::$id));)*
        }
    };
}

/// Whether a header field may stand in several rows.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "the words of the table below")]
enum Rows {
    single,
    several,
}

// RFC 3261 §20 and the header fields of its extensions, with their compact forms.
headers! {
    Accept ACCEPT "Accept" ' ' several;
    AcceptContact ACCEPT_CONTACT "Accept-Contact" 'a' several;
    AcceptEncoding ACCEPT_ENCODING "Accept-Encoding" ' ' several;
    AcceptLanguage ACCEPT_LANGUAGE "Accept-Language" ' ' several;
    AcceptResourcePriority ACCEPT_RESOURCE_PRIORITY "Accept-Resource-Priority" ' ' several;
    AlertInfo ALERT_INFO "Alert-Info" ' ' several;
    Allow ALLOW "Allow" ' ' several;
    AllowEvents ALLOW_EVENTS "Allow-Events" 'u' several;
    AnswerMode ANSWER_MODE "Answer-Mode" ' ' several;
    AuthenticationInfo AUTHENTICATION_INFO "Authentication-Info" ' ' several;
    Authorization AUTHORIZATION "Authorization" ' ' several;
    CallId CALL_ID "Call-ID" 'i' single;
    CallInfo CALL_INFO "Call-Info" ' ' several;
    Contact CONTACT "Contact" 'm' several;
    ContentDisposition CONTENT_DISPOSITION "Content-Disposition" ' ' several;
    ContentEncoding CONTENT_ENCODING "Content-Encoding" 'e' several;
    ContentLanguage CONTENT_LANGUAGE "Content-Language" ' ' several;
    ContentLength CONTENT_LENGTH "Content-Length" 'l' single;
    ContentType CONTENT_TYPE "Content-Type" 'c' single;
    CSeq CSEQ "CSeq" ' ' single;
    Date DATE "Date" ' ' single;
    Diversion DIVERSION "Diversion" ' ' several;
    ErrorInfo ERROR_INFO "Error-Info" ' ' several;
    Event EVENT "Event" 'o' single;
    Expires EXPIRES "Expires" ' ' single;
    FeatureCaps FEATURE_CAPS "Feature-Caps" ' ' several;
    FlowTimer FLOW_TIMER "Flow-Timer" ' ' single;
    From FROM "From" 'f' single;
    Geolocation GEOLOCATION "Geolocation" ' ' several;
    GeolocationError GEOLOCATION_ERROR "Geolocation-Error" ' ' several;
    GeolocationRouting GEOLOCATION_ROUTING "Geolocation-Routing" ' ' several;
    HistoryInfo HISTORY_INFO "History-Info" ' ' several;
    Identity IDENTITY "Identity" 'y' several;
    IdentityInfo IDENTITY_INFO "Identity-Info" 'n' several;
    InReplyTo IN_REPLY_TO "In-Reply-To" ' ' several;
    InfoPackage INFO_PACKAGE "Info-Package" ' ' several;
    Join JOIN "Join" ' ' single;
    MaxBreadth MAX_BREADTH "Max-Breadth" ' ' single;
    MaxForwards MAX_FORWARDS "Max-Forwards" ' ' single;
    MimeVersion MIME_VERSION "MIME-Version" ' ' single;
    MinExpires MIN_EXPIRES "Min-Expires" ' ' single;
    MinSe MIN_SE "Min-SE" ' ' single;
    Organization ORGANIZATION "Organization" ' ' several;
    PAccessNetworkInfo P_ACCESS_NETWORK_INFO "P-Access-Network-Info" ' ' several;
    PAssertedIdentity P_ASSERTED_IDENTITY "P-Asserted-Identity" ' ' several;
    PAssertedService P_ASSERTED_SERVICE "P-Asserted-Service" ' ' several;
    PAssociatedUri P_ASSOCIATED_URI "P-Associated-URI" ' ' several;
    PCalledPartyId P_CALLED_PARTY_ID "P-Called-Party-ID" ' ' several;
    PChargingFunctionAddresses P_CHARGING_FUNCTION_ADDRESSES "P-Charging-Function-Addresses" ' ' several;
    PChargingVector P_CHARGING_VECTOR "P-Charging-Vector" ' ' several;
    PEarlyMedia P_EARLY_MEDIA "P-Early-Media" ' ' several;
    PPreferredIdentity P_PREFERRED_IDENTITY "P-Preferred-Identity" ' ' several;
    PPreferredService P_PREFERRED_SERVICE "P-Preferred-Service" ' ' several;
    PVisitedNetworkId P_VISITED_NETWORK_ID "P-Visited-Network-ID" ' ' several;
    Path PATH "Path" ' ' several;
    PermissionMissing PERMISSION_MISSING "Permission-Missing" ' ' several;
    PolicyContact POLICY_CONTACT "Policy-Contact" ' ' several;
    Priority PRIORITY "Priority" ' ' several;
    Privacy PRIVACY "Privacy" ' ' several;
    ProxyAuthenticate PROXY_AUTHENTICATE "Proxy-Authenticate" ' ' several;
    ProxyAuthenticationInfo PROXY_AUTHENTICATION_INFO "Proxy-Authentication-Info" ' ' several;
    ProxyAuthorization PROXY_AUTHORIZATION "Proxy-Authorization" ' ' several;
    ProxyRequire PROXY_REQUIRE "Proxy-Require" ' ' several;
    RAck RACK "RAck" ' ' single;
    Reason REASON "Reason" ' ' several;
    RecordRoute RECORD_ROUTE "Record-Route" ' ' several;
    RecvInfo RECV_INFO "Recv-Info" ' ' several;
    ReferSub REFER_SUB "Refer-Sub" ' ' several;
    ReferTo REFER_TO "Refer-To" 'r' single;
    ReferredBy REFERRED_BY "Referred-By" 'b' single;
    RejectContact REJECT_CONTACT "Reject-Contact" 'j' several;
    RemotePartyId REMOTE_PARTY_ID "Remote-Party-ID" ' ' several;
    Replaces REPLACES "Replaces" ' ' single;
    ReplyTo REPLY_TO "Reply-To" ' ' several;
    RequestDisposition REQUEST_DISPOSITION "Request-Disposition" 'd' several;
    Require REQUIRE "Require" ' ' several;
    ResourcePriority RESOURCE_PRIORITY "Resource-Priority" ' ' several;
    RetryAfter RETRY_AFTER "Retry-After" ' ' single;
    Route ROUTE "Route" ' ' several;
    RSeq RSEQ "RSeq" ' ' single;
    SecurityClient SECURITY_CLIENT "Security-Client" ' ' several;
    SecurityServer SECURITY_SERVER "Security-Server" ' ' several;
    SecurityVerify SECURITY_VERIFY "Security-Verify" ' ' several;
    Server SERVER "Server" ' ' several;
    ServiceRoute SERVICE_ROUTE "Service-Route" ' ' several;
    SessionExpires SESSION_EXPIRES "Session-Expires" 'x' single;
    SessionId SESSION_ID "Session-ID" ' ' several;
    SipEtag SIP_ETAG "SIP-ETag" ' ' single;
    SipIfMatch SIP_IF_MATCH "SIP-If-Match" ' ' single;
    Subject SUBJECT "Subject" 's' several;
    SubscriptionState SUBSCRIPTION_STATE "Subscription-State" ' ' single;
    Supported SUPPORTED "Supported" 'k' several;
    SuppressIfMatch SUPPRESS_IF_MATCH "Suppress-If-Match" ' ' single;
    TargetDialog TARGET_DIALOG "Target-Dialog" ' ' single;
    Timestamp TIMESTAMP "Timestamp" ' ' several;
    To TO "To" 't' single;
    TriggerConsent TRIGGER_CONSENT "Trigger-Consent" ' ' several;
    Unsupported UNSUPPORTED "Unsupported" ' ' several;
    UserAgent USER_AGENT "User-Agent" ' ' several;
    UserToUser USER_TO_USER "User-to-User" ' ' several;
    Via VIA "Via" 'v' several;
    Warning WARNING "Warning" ' ' several;
    WwwAuthenticate WWW_AUTHENTICATE "WWW-Authenticate" ' ' several;
}

impl HeaderId {
    /// Resolves a name in any case, or a compact form (RFC 3261 §7.3.3).
    pub fn of(name: &str) -> Self {
        Self::of_bytes(name.as_bytes())
    }

    #[inline]
    pub(crate) fn of_bytes(name: &[u8]) -> Self {
        let (Some(&first), Some(&last)) = (name.first(), name.last()) else { return Self::Other };
        if name.len() == 1 {
            let letter = usize::from((first | 0x20).wrapping_sub(b'a'));
            return COMPACT
                .get(letter)
                .filter(|_| first.is_ascii_alphabetic())
                .copied()
                .unwrap_or(Self::Other);
        }
        let middle = name.get(name.len() / 2).copied().unwrap_or(0);
        let Some(&(id, text, ..)) = ALL.get(usize::from(SLOTS[slot(first, middle, last, name.len())])) else {
            return Self::Other;
        };
        let known = text.as_bytes().get(..text.len() - 2).unwrap_or(&[]);
        if known == name || known.eq_ignore_ascii_case(name) { id } else { Self::Other }
    }

    /// Returns the usual spelling; that of [`Other`](Self::Other) is empty.
    pub fn as_str(self) -> &'static str {
        self.with_colon().strip_suffix(": ").unwrap_or("")
    }

    /// Returns the usual spelling, a colon and a space.
    pub(crate) fn with_colon(self) -> &'static str {
        ALL.get(self as usize).map_or("", |&(_, text, ..)| text)
    }

    /// Returns the compact form, if there is one (RFC 3261 §7.3.3).
    pub fn compact(self) -> Option<char> {
        ALL.get(self as usize)
            .map(|&(_, _, compact, _)| char::from(compact))
            .filter(|&compact| compact != ' ')
    }

    /// Tells whether the header field may stand only once, in one row.
    ///
    /// RFC 3261 §7.3.1: only those whose grammar is a comma-separated list may be given in several rows.
    pub fn is_single(self) -> bool {
        SINGLE & (1 << self as u32) != 0
    }
}

impl fmt::Display for HeaderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if *self == Self::Other { "other header field" } else { self.as_str() })
    }
}

/// Found by trial, so that no two known names share a slot.
const MULTIPLIER: u32 = 0x8971_082f;

/// Maps three letters and the length of a name to a place in [`SLOTS`].
#[inline]
const fn slot(first: u8, middle: u8, last: u8, length: usize) -> usize {
    let letters = u32::from_le_bytes([first | 0x20, middle | 0x20, last | 0x20, length as u8]);
    (letters.wrapping_mul(MULTIPLIER) >> 23) as usize
}

/// The index into [`ALL`] by hash; 255 where there is nothing.
static SLOTS: [u8; 512] = slots();

const fn slots() -> [u8; 512] {
    let mut table = [u8::MAX; 512];
    let mut at = 0;
    while at < ALL.len() {
        let name = ALL[at].1.as_bytes();
        let length = name.len() - 2;
        let slot = slot(name[0], name[length / 2], name[length - 1], length);
        assert!(table[slot] == u8::MAX, "two names share a slot: find another multiplier");
        table[slot] = at as u8;
        at += 1;
    }
    table
}

static COMPACT: [HeaderId; 26] = compact();

const fn compact() -> [HeaderId; 26] {
    let mut table = [HeaderId::Other; 26];
    let mut at = 0;
    while at < ALL.len() {
        let letter = ALL[at].2;
        if letter != b' ' {
            table[(letter - b'a') as usize] = ALL[at].0;
        }
        at += 1;
    }
    table
}

/// One bit for each header field that may stand only once.
static SINGLE: u128 = singles();

const fn singles() -> u128 {
    let mut bits = 0;
    let mut at = 0;
    while at < ALL.len() {
        if matches!(ALL[at].3, Rows::single) {
            bits |= 1 << at;
        }
        at += 1;
    }
    bits
}

/// The name of a header field that an application adds: a known one or any other token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeaderName(Repr);

#[derive(Clone, Debug, Eq)]
enum Repr {
    Known(HeaderId),
    Other(Cow<'static, str>),
}

impl PartialEq for Repr {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Known(a), Self::Known(b)) => a == b,
            (Self::Other(a), Self::Other(b)) => a.eq_ignore_ascii_case(b),
            _ => false,
        }
    }
}

impl std::hash::Hash for Repr {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self {
            Self::Known(id) => id.hash(state),
            Self::Other(text) => text.bytes().for_each(|byte| state.write_u8(byte.to_ascii_lowercase())),
        }
    }
}

/// A text that is no header field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a header field's name is a token: letters, digits and -.!%*_+`'~")]
pub struct BadHeaderName;

impl HeaderName {
    /// Returns the name: in its usual spelling if it is a known one.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Known(id) => id.as_str(),
            Repr::Other(text) => text,
        }
    }

    /// Returns the id, [`HeaderId::Other`] if the name is not a known one.
    pub fn id(&self) -> HeaderId {
        match self.0 {
            Repr::Known(id) => id,
            Repr::Other(_) => HeaderId::Other,
        }
    }
}

/// Equal names differ at most in case.
impl FromStr for HeaderName {
    type Err = BadHeaderName;

    fn from_str(text: &str) -> Result<Self, BadHeaderName> {
        if !scan::is_token(text) {
            return Err(BadHeaderName);
        }
        Ok(Self(match HeaderId::of(text) {
            HeaderId::Other => Repr::Other(Cow::Owned(text.into())),
            id => Repr::Known(id),
        }))
    }
}

impl TryFrom<&str> for HeaderName {
    type Error = BadHeaderName;

    fn try_from(text: &str) -> Result<Self, BadHeaderName> {
        text.parse()
    }
}

/// [`HeaderId::Other`] has no name of its own.
impl TryFrom<HeaderId> for HeaderName {
    type Error = BadHeaderName;

    fn try_from(id: HeaderId) -> Result<Self, BadHeaderName> {
        if id == HeaderId::Other { Err(BadHeaderName) } else { Ok(Self(Repr::Known(id))) }
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for HeaderName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for HeaderName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C001; RFC 3261 §7.3.1 and §7.3.3: any case, long or compact.
    #[test]
    fn resolves_every_name_in_any_case() {
        for &(id, text, compact, _) in &ALL {
            let name = text.trim_end_matches(": ");
            for spelling in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
                assert_eq!(HeaderId::of(&spelling), id, "{spelling}");
            }
            assert_eq!(id.as_str(), name);
            assert_eq!(ALL[id as usize].0, id);
            if compact != b' ' {
                assert_eq!(HeaderId::of(&char::from(compact).to_string()), id);
                assert_eq!(HeaderId::of(&char::from(compact).to_uppercase().to_string()), id);
            }
        }
        for other in ["", "X-Other", "Vias", "C%6Fntact", "g", "!", "@", "Vi\u{e9}"] {
            assert_eq!(HeaderId::of(other), HeaderId::Other, "{other}");
        }
        let mut letters: Vec<char> = ALL.iter().filter_map(|&(id, ..)| id.compact()).collect();
        letters.sort_unstable();
        assert_eq!(letters, "abcdefijklmnorstuvxy".chars().collect::<Vec<_>>());
    }

    #[test]
    fn names_are_tokens() {
        assert_eq!("v".parse(), Ok(HeaderName::VIA));
        assert_eq!(HeaderName::CALL_ID.as_str(), "Call-ID");
        let other: HeaderName = "X-Thing".parse().expect("a token");
        assert_eq!(other.id(), HeaderId::Other);
        assert_eq!("x-thing".parse(), Ok(other));
        for bad in ["", "a b", "a:", "a\r\n", "\u{e9}"] {
            assert_eq!(bad.parse::<HeaderName>(), Err(BadHeaderName), "{bad:?}");
        }
        assert_eq!(HeaderName::try_from(HeaderId::Other), Err(BadHeaderName));
    }
}
