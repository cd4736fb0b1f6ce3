//! Header fields: their names, and the values with a grammar of their own.
//!
//! Each type here implements [`Header`] and is read on demand, by [`View::typed`](super::View::typed) and
//! [`View::typed_all`](super::View::typed_all). None of them allocates. A value for sending is made by its constructor
//! or, so that it is always a good one, by [`Header::parse`] from a text; [`RequestBuilder::typed`] takes it.
//! Digest credentials and challenges have their types where digests are made.
//!
//! [`RequestBuilder::typed`]: super::RequestBuilder::typed

mod alert;
mod contact;
mod content;
mod cseq;
mod event;
mod every;
mod feature;
mod identity;
pub(crate) mod item;
mod name;
mod named;
mod option;
mod p_headers;
mod priority;
mod refer;
mod route;
mod session;
mod software;
mod time;
mod typed;
mod value;
mod via;

pub use alert::{
    AlertInfo, AlertMsgError, CallInfo, ErrorInfo, Geolocation, GeolocationError, GeolocationRouting,
    PolicyContact,
};
pub use contact::{Contact, ReplyTo};
pub use content::{
    Accept, AcceptEncoding, AcceptLanguage, ContentDisposition, ContentEncoding, ContentId, ContentLanguage,
    ContentLength, ContentType, Media, MimeVersion,
};
pub use cseq::CSeq;
pub(crate) use cseq::{CSeqSpans, scan as scan_cseq};
pub use event::{AllowEvents, Event, SipEtag, SipIfMatch, SubscriptionState, SubstateValue, SuppressIfMatch};
pub(crate) use every::{check_typed, is_list};
pub use feature::{AcceptContact, Feature, FeatureCaps, FeatureKind, FeatureValue, RejectContact};
pub use identity::{
    Diversion, HiTarget, HistoryInfo, Identity, IdentityInfo, PAssertedIdentity, PPreferredIdentity, Privacy,
    RemotePartyId, SecurityClient, SecurityServer, SecurityVerify,
};
pub use item::{Item, Text, Word};
pub use name::{BadHeaderName, HeaderId, HeaderName};
pub use named::Named;
pub use option::{
    Allow, Allowed, AnswerMode, Priority, PrivAnswerMode, ProxyRequire, RequestDisposition, Require,
    Supported, Unsupported,
};
pub use p_headers::{
    PAccessNetworkInfo, PAnswerState, PAssertedService, PAssociatedUri, PCalledPartyId, PChargeInfo,
    PChargingFunctionAddresses, PChargingVector, PEarlyMedia, PMediaAuthorization, PPreferredService,
    PPrivateNetworkIndication, PProfileKey, PRefusedUriList, PServedUser, PVisitedNetworkId, Pairs,
};
pub use priority::{AcceptResourcePriority, ResourcePriority, ResourceValue};
pub use refer::{ReferSub, ReferTo, ReferredBy};
pub(crate) use route::HOPS_MAX;
pub use route::{
    FlowTimer, MaxBreadth, MaxForwards, Path, PermissionMissing, PolicyId, RecordRoute, Route, ServiceRoute,
    TriggerConsent,
};
pub use session::{
    InReplyTo, InfoPackage, Join, MinSe, RAck, RSeq, Reason, RecvInfo, Refresher, Replaces, SessionExpires,
    SessionId, TargetDialog, UserToUser,
};
pub use software::{Organization, Server, ServerValue, Software, Subject, UserAgent, Warning};
pub use time::{Date, Expires, MinExpires, RetryAfter, Timestamp};
pub(crate) use typed::end_of_item;
pub use typed::{Header, Typed};
pub use value::{BadHeaderValue, HeaderValue};
pub use via::Via;
pub(crate) use via::{ViaSpans, scan as scan_via};
