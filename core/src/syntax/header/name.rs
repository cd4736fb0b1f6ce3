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
            [$((HeaderId::$id, concat!($text, ": "), $compact, Rows::$rows)),*];

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
    Accept ACCEPT "Accept" b' ' several;
    AcceptContact ACCEPT_CONTACT "Accept-Contact" b'a' several;
    AcceptEncoding ACCEPT_ENCODING "Accept-Encoding" b' ' several;
    AcceptLanguage ACCEPT_LANGUAGE "Accept-Language" b' ' several;
    AcceptResourcePriority ACCEPT_RESOURCE_PRIORITY "Accept-Resource-Priority" b' ' several;
    AlertInfo ALERT_INFO "Alert-Info" b' ' several;
    AlertMsgError ALERT_MSG_ERROR "AlertMsg-Error" b' ' several;
    Allow ALLOW "Allow" b' ' several;
    AllowEvents ALLOW_EVENTS "Allow-Events" b'u' several;
    AnswerMode ANSWER_MODE "Answer-Mode" b' ' several;
    AuthenticationInfo AUTHENTICATION_INFO "Authentication-Info" b' ' several;
    Authorization AUTHORIZATION "Authorization" b' ' several;
    CallId CALL_ID "Call-ID" b'i' single;
    CallInfo CALL_INFO "Call-Info" b' ' several;
    Contact CONTACT "Contact" b'm' several;
    ContentDisposition CONTENT_DISPOSITION "Content-Disposition" b' ' several;
    ContentEncoding CONTENT_ENCODING "Content-Encoding" b'e' several;
    ContentId CONTENT_ID "Content-ID" b' ' several;
    ContentLanguage CONTENT_LANGUAGE "Content-Language" b' ' several;
    ContentLength CONTENT_LENGTH "Content-Length" b'l' single;
    ContentType CONTENT_TYPE "Content-Type" b'c' single;
    CSeq CSEQ "CSeq" b' ' single;
    Date DATE "Date" b' ' single;
    Diversion DIVERSION "Diversion" b' ' several;
    ErrorInfo ERROR_INFO "Error-Info" b' ' several;
    Event EVENT "Event" b'o' single;
    Expires EXPIRES "Expires" b' ' single;
    FeatureCaps FEATURE_CAPS "Feature-Caps" b' ' several;
    FlowTimer FLOW_TIMER "Flow-Timer" b' ' single;
    From FROM "From" b'f' single;
    Geolocation GEOLOCATION "Geolocation" b' ' several;
    GeolocationError GEOLOCATION_ERROR "Geolocation-Error" b' ' several;
    GeolocationRouting GEOLOCATION_ROUTING "Geolocation-Routing" b' ' several;
    HistoryInfo HISTORY_INFO "History-Info" b' ' several;
    Identity IDENTITY "Identity" b'y' several;
    IdentityInfo IDENTITY_INFO "Identity-Info" b'n' several;
    InReplyTo IN_REPLY_TO "In-Reply-To" b' ' several;
    InfoPackage INFO_PACKAGE "Info-Package" b' ' several;
    Join JOIN "Join" b' ' single;
    MaxBreadth MAX_BREADTH "Max-Breadth" b' ' single;
    MaxForwards MAX_FORWARDS "Max-Forwards" b' ' single;
    MimeVersion MIME_VERSION "MIME-Version" b' ' single;
    MinExpires MIN_EXPIRES "Min-Expires" b' ' single;
    MinSe MIN_SE "Min-SE" b' ' single;
    Organization ORGANIZATION "Organization" b' ' several;
    PAccessNetworkInfo P_ACCESS_NETWORK_INFO "P-Access-Network-Info" b' ' several;
    PAnswerState P_ANSWER_STATE "P-Answer-State" b' ' several;
    PAssertedIdentity P_ASSERTED_IDENTITY "P-Asserted-Identity" b' ' several;
    PAssertedService P_ASSERTED_SERVICE "P-Asserted-Service" b' ' several;
    PAssociatedUri P_ASSOCIATED_URI "P-Associated-URI" b' ' several;
    PCalledPartyId P_CALLED_PARTY_ID "P-Called-Party-ID" b' ' several;
    PChargeInfo P_CHARGE_INFO "P-Charge-Info" b' ' several;
    PChargingFunctionAddresses P_CHARGING_FUNCTION_ADDRESSES "P-Charging-Function-Addresses" b' ' several;
    PChargingVector P_CHARGING_VECTOR "P-Charging-Vector" b' ' several;
    PEarlyMedia P_EARLY_MEDIA "P-Early-Media" b' ' several;
    PMediaAuthorization P_MEDIA_AUTHORIZATION "P-Media-Authorization" b' ' several;
    PPreferredIdentity P_PREFERRED_IDENTITY "P-Preferred-Identity" b' ' several;
    PPreferredService P_PREFERRED_SERVICE "P-Preferred-Service" b' ' several;
    PPrivateNetworkIndication P_PRIVATE_NETWORK_INDICATION "P-Private-Network-Indication" b' ' several;
    PProfileKey P_PROFILE_KEY "P-Profile-Key" b' ' several;
    PRefusedUriList P_REFUSED_URI_LIST "P-Refused-URI-List" b' ' several;
    PServedUser P_SERVED_USER "P-Served-User" b' ' several;
    PVisitedNetworkId P_VISITED_NETWORK_ID "P-Visited-Network-ID" b' ' several;
    Path PATH "Path" b' ' several;
    PermissionMissing PERMISSION_MISSING "Permission-Missing" b' ' several;
    PolicyContact POLICY_CONTACT "Policy-Contact" b' ' several;
    PolicyId POLICY_ID "Policy-ID" b' ' several;
    Priority PRIORITY "Priority" b' ' several;
    PrivAnswerMode PRIV_ANSWER_MODE "Priv-Answer-Mode" b' ' several;
    Privacy PRIVACY "Privacy" b' ' several;
    ProxyAuthenticate PROXY_AUTHENTICATE "Proxy-Authenticate" b' ' several;
    ProxyAuthenticationInfo PROXY_AUTHENTICATION_INFO "Proxy-Authentication-Info" b' ' several;
    ProxyAuthorization PROXY_AUTHORIZATION "Proxy-Authorization" b' ' several;
    ProxyRequire PROXY_REQUIRE "Proxy-Require" b' ' several;
    RAck RACK "RAck" b' ' single;
    Reason REASON "Reason" b' ' several;
    RecordRoute RECORD_ROUTE "Record-Route" b' ' several;
    RecvInfo RECV_INFO "Recv-Info" b' ' several;
    ReferSub REFER_SUB "Refer-Sub" b' ' several;
    ReferTo REFER_TO "Refer-To" b'r' single;
    ReferredBy REFERRED_BY "Referred-By" b'b' single;
    RejectContact REJECT_CONTACT "Reject-Contact" b'j' several;
    RemotePartyId REMOTE_PARTY_ID "Remote-Party-ID" b' ' several;
    Replaces REPLACES "Replaces" b' ' single;
    ReplyTo REPLY_TO "Reply-To" b' ' several;
    RequestDisposition REQUEST_DISPOSITION "Request-Disposition" b'd' several;
    Require REQUIRE "Require" b' ' several;
    ResourcePriority RESOURCE_PRIORITY "Resource-Priority" b' ' several;
    RetryAfter RETRY_AFTER "Retry-After" b' ' single;
    Route ROUTE "Route" b' ' several;
    RSeq RSEQ "RSeq" b' ' single;
    SecurityClient SECURITY_CLIENT "Security-Client" b' ' several;
    SecurityServer SECURITY_SERVER "Security-Server" b' ' several;
    SecurityVerify SECURITY_VERIFY "Security-Verify" b' ' several;
    Server SERVER "Server" b' ' several;
    ServiceRoute SERVICE_ROUTE "Service-Route" b' ' several;
    SessionExpires SESSION_EXPIRES "Session-Expires" b'x' single;
    SessionId SESSION_ID "Session-ID" b' ' several;
    SipEtag SIP_ETAG "SIP-ETag" b' ' single;
    SipIfMatch SIP_IF_MATCH "SIP-If-Match" b' ' single;
    Subject SUBJECT "Subject" b's' several;
    SubscriptionState SUBSCRIPTION_STATE "Subscription-State" b' ' single;
    Supported SUPPORTED "Supported" b'k' several;
    SuppressIfMatch SUPPRESS_IF_MATCH "Suppress-If-Match" b' ' single;
    TargetDialog TARGET_DIALOG "Target-Dialog" b' ' single;
    Timestamp TIMESTAMP "Timestamp" b' ' several;
    To TO "To" b't' single;
    TriggerConsent TRIGGER_CONSENT "Trigger-Consent" b' ' several;
    Unsupported UNSUPPORTED "Unsupported" b' ' several;
    UserAgent USER_AGENT "User-Agent" b' ' several;
    UserToUser USER_TO_USER "User-to-User" b' ' several;
    Via VIA "Via" b'v' several;
    Warning WARNING "Warning" b' ' several;
    WwwAuthenticate WWW_AUTHENTICATE "WWW-Authenticate" b' ' several;
}

impl HeaderId {
    /// Resolves a name in any case, or a compact form (RFC 3261 §7.3.3).
    pub fn of(name: &str) -> Self {
        // `Words` takes a carriage return for a hyphen. Lines of a head have none.
        if name.contains('\r') { Self::Other } else { Self::of_bytes(name.as_bytes()) }
    }

    /// Resolves a name without a carriage return in it.
    #[inline]
    pub(crate) fn of_bytes(name: &[u8]) -> Self {
        let Some(words) = Words::of(name) else {
            let letter = name.first().map_or(0, |first| first | 0x20);
            let known = name.first().is_some_and(u8::is_ascii_alphabetic);
            return if known { COMPACT[usize::from((letter - b'a') & 31)] } else { Self::Other };
        };
        let index = usize::from(SLOTS[words.slot()]);
        let Some(known) = WORDS.get(index) else { return Self::Other };
        if *known != words {
            return Self::Other;
        }
        let Some(&(id, text, ..)) = ALL.get(index) else { return Self::Other };
        // Up to 16 bytes the words say all.
        let same = || text.as_bytes().get(..name.len()).is_some_and(|text| text.eq_ignore_ascii_case(name));
        if name.len() <= 16 || same() { id } else { Self::Other }
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

/// The first and the last eight letters of a name, in lower case, and its length: two comparisons instead of a loop.
///
/// Setting the bit that makes letters small maps nothing else to a letter, and only the carriage return to a hyphen.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Words {
    first: u64,
    last: u64,
    length: usize,
}

const SMALL: u64 = 0x2020_2020_2020_2020;
/// Found by trial, so that no two known names share a slot.
const MULTIPLIER: u64 = 0x2fee_0ea9_0496_12c1;

impl Words {
    /// Takes a name of two letters at least.
    #[inline]
    const fn of(name: &[u8]) -> Option<Self> {
        let (first, last) = if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            (u64::from_le_bytes(*first) | SMALL, u64::from_le_bytes(*last) | SMALL)
        } else if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            ((u32::from_le_bytes(*first) as u64 | (u32::from_le_bytes(*last) as u64) << 32) | SMALL, 0)
        } else if let ([first, second, ..], [.., last]) = (name, name) {
            (u32::from_le_bytes([*first, *second, *last, 0]) as u64 | SMALL, 0)
        } else {
            return None;
        };
        Some(Self { first, last, length: name.len() })
    }

    /// Returns the place of the name in [`SLOTS`].
    #[inline]
    const fn slot(self) -> usize {
        ((self.first ^ self.last.rotate_left(25)).wrapping_mul(MULTIPLIER) >> 55) as usize
    }
}

static WORDS: [Words; ALL.len()] = all_words();

const fn all_words() -> [Words; ALL.len()] {
    let mut table = [Words { first: 0, last: 0, length: 0 }; ALL.len()];
    let mut at = 0;
    while at < ALL.len() {
        let name = ALL[at].1.as_bytes().split_at(ALL[at].1.len() - 2).0;
        let Some(words) = Words::of(name) else { panic!("a name has two letters") };
        table[at] = words;
        at += 1;
    }
    table
}

/// The index into [`ALL`] by hash; 255 where there is nothing.
static SLOTS: [u8; 512] = slots();

const fn slots() -> [u8; 512] {
    let mut table = [u8::MAX; 512];
    let mut at = 0;
    while at < ALL.len() {
        let slot = WORDS[at].slot();
        assert!(table[slot] == u8::MAX, "two names share a slot: find another multiplier");
        table[slot] = at as u8;
        at += 1;
    }
    table
}

static COMPACT: [HeaderId; 32] = compact();

const fn compact() -> [HeaderId; 32] {
    let mut table = [HeaderId::Other; 32];
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
    /// Takes a name that is written in the program and is none of the known ones, which have constants.
    ///
    /// # Panics
    ///
    /// If it is no token or a known name; in a constant, that is an error of compilation.
    pub const fn from_static(name: &'static str) -> Self {
        assert!(name.len() > 1, "compact forms are taken");
        let bytes = name.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            assert!(scan::is(bytes[at], scan::TOKEN), "a header field's name is a token");
            at += 1;
        }
        let mut at = 0;
        while at < ALL.len() {
            let known = ALL[at].1.as_bytes().split_at(ALL[at].1.len() - 2).0;
            assert!(!same_name(known, bytes), "a known name has a constant");
            at += 1;
        }
        Self(Repr::Other(Cow::Borrowed(name)))
    }

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

/// Tells whether two texts differ at most in case; usable in constants.
const fn same_name(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at].eq_ignore_ascii_case(&b[at]) {
        at += 1;
    }
    at == a.len() && at == b.len()
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
            for at in 0..name.len() {
                let mut changed = name.to_owned();
                changed.replace_range(at..=at, "_");
                assert_eq!(HeaderId::of(&changed), HeaderId::Other, "{changed}");
            }
            assert_eq!(ALL[id as usize].0, id);
            if compact != b' ' {
                assert_eq!(HeaderId::of(&char::from(compact).to_string()), id);
                assert_eq!(HeaderId::of(&char::from(compact).to_uppercase().to_string()), id);
            }
        }
        for other in [
            "",
            "X-Other",
            "Vias",
            "C%6Fntact",
            "g",
            "!",
            "Call\rID",
            "P-Charging_Vector",
            "Accept-Xxxxxxxx-Language",
            "@",
            "Vi\u{e9}",
        ] {
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
        const THING: HeaderName = HeaderName::from_static("X-THING");
        assert_eq!("x-thing".parse(), Ok(THING));
    }
}
