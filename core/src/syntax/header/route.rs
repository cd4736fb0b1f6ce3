use super::{
    super::NameAddr,
    item::{headers, numbers},
};

/// RFC 3261 §20.22 ends at 255; the grammar has no end, and numbers of hops below 300 are seen.
pub(crate) const HOPS_MAX: u32 = 299;

headers! { NameAddr;
    /// A proxy that the request is to go through (RFC 3261 §20.34).
    Route ROUTE list |reader| reader.address();
    /// A proxy that stays on the way (RFC 3261 §20.30).
    RecordRoute RECORD_ROUTE list |reader| reader.address();
    /// A proxy between a registrar and a user agent (RFC 3327 §4).
    Path PATH list |reader| reader.address();
    /// A proxy that requests of a registered user agent are to go through (RFC 3608 §5).
    ServiceRoute SERVICE_ROUTE list |reader| reader.address();
    /// A recipient that has not agreed to what is sent (RFC 5360 §5.9.3).
    PermissionMissing PERMISSION_MISSING list |reader| reader.address();
    /// How permission for a recipient is asked (RFC 5360 §5.11.2).
    TriggerConsent TRIGGER_CONSENT list |reader| reader.address();
    /// A policy that the request follows (RFC 6794 §4.4.5.1).
    PolicyId POLICY_ID list |reader| reader.address();
}

numbers! {
    /// How many more proxies the request may pass (RFC 3261 §20.22).
    MaxForwards MAX_FORWARDS HOPS_MAX;
    /// How many branches may be open at once (RFC 5393 §5.8).
    MaxBreadth MAX_BREADTH u32::MAX;
    /// After how many seconds without a keep-alive the server closes the flow (RFC 5626 §10).
    FlowTimer FLOW_TIMER u32::MAX;
}
