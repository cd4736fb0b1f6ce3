use super::{
    super::{ParseError, scan::Span},
    typed::check_row,
    *,
};

/// Makes the functions that tell by the id what a header field's type has to say.
macro_rules! dispatch {
    ($($name:ident)*) => {
        /// Reads the values of a row as what its header field has, if it has a type that is read on demand.
        pub(crate) fn check_typed(id: HeaderId, head: &str, value: Span) -> Result<(), ParseError> {
            match id {
                $(HeaderId::$name => check_row::<$name>(head, value),)*
                _ => Ok(()),
            }
        }

        /// Tells whether a header field may have several rows. Unknown ones and challenges may.
        pub(crate) fn is_list(id: HeaderId) -> bool {
            // RFC 8224 §9: several, though not between commas.
            id == HeaderId::Identity || match id {
                $(HeaderId::$name => <$name as Header>::LIST,)*
                id => !id.is_single(),
            }
        }
    };
}

dispatch! {
    Accept AcceptContact AcceptEncoding AcceptLanguage AcceptResourcePriority AlertInfo
    AlertMsgError Allow AllowEvents AnswerMode CallInfo ContentDisposition ContentEncoding
    ContentId ContentLanguage ContentType Date Diversion ErrorInfo Event Expires FeatureCaps
    FlowTimer Geolocation GeolocationError GeolocationRouting HistoryInfo Identity
    IdentityInfo InReplyTo InfoPackage Join MaxBreadth MimeVersion MinExpires MinSe
    Organization PAccessNetworkInfo PAnswerState PAssertedIdentity PAssertedService
    PAssociatedUri PCalledPartyId PChargeInfo PChargingFunctionAddresses PChargingVector
    PEarlyMedia PMediaAuthorization PPreferredIdentity PPreferredService
    PPrivateNetworkIndication PProfileKey PRefusedUriList PServedUser PVisitedNetworkId Path
    PermissionMissing PolicyContact PolicyId Priority PrivAnswerMode Privacy ProxyRequire
    RAck RSeq Reason RecvInfo ReferSub ReferTo ReferredBy RejectContact RemotePartyId
    Replaces ReplyTo RequestDisposition Require ResourcePriority RetryAfter SecurityClient
    SecurityServer SecurityVerify Server ServiceRoute SessionExpires SessionId SipEtag
    SipIfMatch Subject SubscriptionState Supported SuppressIfMatch TargetDialog Timestamp
    TriggerConsent Unsupported UserAgent UserToUser Warning
}
