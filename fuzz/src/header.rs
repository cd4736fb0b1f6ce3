use sansip::{
    Limits,
    auth::{Attempt, AuthenticationInfo, Challenge, Credentials, Ha1, Hash, Secret},
    syntax::{Header, HeaderName, Message, Method, NameAddr, Typed, header as all, unquote},
};

use crate::look;

/// A header field: its name, and what reads the value.
pub type Family = (HeaderName, fn(&str));

/// Returns the family that an input for [`header`] with this first byte goes to.
pub fn family(first: u8) -> &'static Family {
    &FAMILIES[usize::from(first) % FAMILIES.len()]
}

/// Returns the first byte of inputs for that header field; [`OTHER`] for one that has no type.
pub fn first_byte(name: &HeaderName) -> u8 {
    let known = FAMILIES.iter().position(|family| family.0 == *name);
    known.and_then(|place| u8::try_from(place).ok()).unwrap_or(OTHER)
}

/// Reads a value of one header field, which the first byte selects, alone and as a row of a message.
///
/// What was read and printed is read again as the same. All values of the row come out, and none twice.
pub fn header(bytes: &[u8]) {
    let Some((&first, value)) = bytes.split_first() else { return };
    let (name, read) = family(first);
    if let Ok(text) = std::str::from_utf8(value) {
        read(text);
    }
    let head = [b"OPTIONS sip:a SIP/2.0\r\n", name.as_str().as_bytes(), b": ", value, b"\r\n\r\n"].concat();
    if let Ok(mut message) = Message::split(&head, &Limits::default()) {
        let _ = message.check();
        let _ = message.view().check_typed();
        look(message.view());
    }
}

/// Longer texts may print as more than a span can hold.
const LENGTH_MAX: usize = 60_000;

macro_rules! families {
    ($($name:ident)*) => {
        static FAMILIES: &[Family] = &[
            $((<all::$name as Header>::NAME, |text| {
                if let Ok(value) = all::$name::parse(text) {
                    let printed = value.to_string();
                    if text.len() < LENGTH_MAX {
                        assert_eq!(all::$name::parse(&printed).as_ref(), Ok(&value), "{printed}");
                    }
                    let _ = format!("{value:?}");
                }
                if let Ok(values) = Typed::<all::$name>::of(text) {
                    assert!(values.count() <= text.len() + 1);
                }
            }),)*
            (HeaderName::FROM, address),
            (HeaderName::TO, address),
            (HeaderName::WWW_AUTHENTICATE, challenge),
            (HeaderName::PROXY_AUTHENTICATE, challenge),
            (HeaderName::AUTHORIZATION, credentials),
            (HeaderName::PROXY_AUTHORIZATION, credentials),
            (HeaderName::AUTHENTICATION_INFO, authentication_info),
            (HeaderName::CALL_ID, |_| {}),
            (HeaderName::from_static("X-Any"), name_or_method),
        ];
    };
}

families! {
    Accept AcceptContact AcceptEncoding AcceptLanguage AcceptResourcePriority AlertInfo AlertMsgError Allow AllowEvents
    AnswerMode CSeq CallInfo Contact ContentDisposition ContentEncoding ContentId ContentLanguage ContentLength
    ContentType Date Diversion ErrorInfo Event Expires FeatureCaps FlowTimer Geolocation GeolocationError
    GeolocationRouting HistoryInfo Identity IdentityInfo InReplyTo InfoPackage Join MaxBreadth MaxForwards MimeVersion
    MinExpires MinSe Organization PAccessNetworkInfo PAnswerState PAssertedIdentity PAssertedService PAssociatedUri
    PCalledPartyId PChargeInfo PChargingFunctionAddresses PChargingVector PEarlyMedia PMediaAuthorization
    PPreferredIdentity PPreferredService PPrivateNetworkIndication PProfileKey PRefusedUriList PServedUser
    PVisitedNetworkId Path PermissionMissing PolicyContact PolicyId Priority PrivAnswerMode Privacy ProxyRequire RAck
    RSeq Reason RecordRoute RecvInfo ReferSub ReferTo ReferredBy RejectContact RemotePartyId Replaces ReplyTo
    RequestDisposition Require ResourcePriority RetryAfter Route SecurityClient SecurityServer SecurityVerify Server
    ServiceRoute SessionExpires SessionId SipEtag SipIfMatch Subject SubscriptionState Supported SuppressIfMatch
    TargetDialog Timestamp TriggerConsent Unsupported UserAgent UserToUser Via Warning
}

/// How many header fields there are.
pub const COUNT: usize = FAMILIES.len();

const OTHER: u8 = COUNT as u8 - 1;

fn address(text: &str) {
    if let Ok(address) = NameAddr::parse(text) {
        let _ = (address.uri(), address.display().map(unquote), address.params().count(), address.tag());
        assert!(NameAddr::parse(address.as_str()).is_ok());
    }
}

fn challenge(text: &str) {
    let Ok(Challenge::Digest(challenge)) = Challenge::parse(text) else { return };
    let _ = (challenge.realm(), challenge.nonce(), challenge.domain(), challenge.opaque(), challenge.qop());
    let attempt = Attempt {
        username: "alice",
        secret: Secret::Password(b"secret"),
        method: "REGISTER",
        uri: "sip:example.com",
        body: b"",
        cnonce: "c",
        nc: 1,
    };
    let Ok(answer) = challenge.answer(&attempt) else { return };
    // A realm or nonce that no header field can hold, for control characters in it, cannot be answered.
    let Ok(value) = answer.build() else { return };
    assert!(matches!(Credentials::parse(value.as_str()), Ok(Credentials::Digest(_))), "{value:?}");
}

fn credentials(text: &str) {
    let Ok(Credentials::Digest(credentials)) = Credentials::parse(text) else { return };
    let _ = (credentials.username(), credentials.uri(), credentials.cnonce(), credentials.nonce_count());
    let ha1 = Ha1::new(Hash::Md5, &credentials.username(), &credentials.realm(), "secret");
    let _ = (credentials.matches(&ha1, "REGISTER", b""), credentials.rspauth(&ha1, b""));
}

fn authentication_info(text: &str) {
    let Ok(info) = AuthenticationInfo::parse(text) else { return };
    let _ = (info.next_nonce(), info.rspauth(), info.qop(), info.cnonce(), info.nc());
}

fn name_or_method(text: &str) {
    let _ = text.parse::<HeaderName>().map(|name| assert_eq!(name.as_str().parse(), Ok(name.clone())));
    let _ = text.parse::<Method>().map(|method| assert_eq!(method.as_str().parse(), Ok(method.clone())));
}
