use super::{
    super::{ParseError, scan::Span},
    typed::check_row,
    *,
};

macro_rules! dispatch {
    ($id:ident, $head:ident, $value:ident: $($name:ident)*) => {
        match $id {
            $(HeaderId::$name => check_row::<$name>($head, $value),)*
            // Those that [`Message::check`](super::super::Message::check) reads, those of `auth`, and unknown ones.
            _ => Ok(()),
        }
    };
}

/// Reads the values of a row as what its header field has, if it has a type.
pub(crate) fn check_typed(id: HeaderId, head: &str, value: Span) -> Result<(), ParseError> {
    dispatch! { id, head, value:
        Accept AcceptContact AcceptEncoding AcceptLanguage AcceptResourcePriority AlertInfo AlertMsgError Allow
        AllowEvents AnswerMode CallInfo ContentDisposition ContentEncoding ContentId ContentLanguage ContentType
        Date Diversion ErrorInfo Event Expires FeatureCaps FlowTimer Geolocation GeolocationError
        GeolocationRouting HistoryInfo Identity IdentityInfo InReplyTo InfoPackage Join MaxBreadth MimeVersion
        MinExpires MinSe Organization PAccessNetworkInfo PAnswerState PAssertedIdentity PAssertedService
        PAssociatedUri PCalledPartyId PChargeInfo PChargingFunctionAddresses PChargingVector PEarlyMedia
        PMediaAuthorization PPreferredIdentity PPreferredService PPrivateNetworkIndication PProfileKey
        PRefusedUriList PServedUser PVisitedNetworkId Path PermissionMissing PolicyContact PolicyId Priority
        PrivAnswerMode Privacy ProxyRequire RAck RSeq Reason RecvInfo ReferSub ReferTo ReferredBy RejectContact
        RemotePartyId Replaces ReplyTo RequestDisposition Require ResourcePriority RetryAfter SecurityClient
        SecurityServer SecurityVerify Server ServiceRoute SessionExpires SessionId SipEtag SipIfMatch Subject
        SubscriptionState Supported SuppressIfMatch TargetDialog Timestamp TriggerConsent Unsupported UserAgent
        UserToUser Warning
    }
}
