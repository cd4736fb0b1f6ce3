//! sansip: a sans-IO SIP framework.
//!
//! An [`Endpoint`] takes bytes and time in, and gives bytes and wishes out; it asks nobody for anything. A [`Service`]
//! decides for it, and a [`Host`] joins the two for a driver to run.
//!
//! Messages by themselves are in [`syntax`], whose page shows how to parse, read, build and change them. Session
//! descriptions are in [`sdp`], other bodies in [`body`], and authentication in [`auth`].
#![forbid(unsafe_code)]
// A decision that depends on rounding may differ between machines.
#![cfg_attr(not(test), deny(clippy::float_arithmetic))]

pub mod auth;
pub mod base;
pub mod body;
mod call;
pub mod decision;
mod dialog;
pub mod endpoint;
pub mod sdp;
pub mod service;
pub mod syntax;
pub mod transaction;
pub mod transport;
#[cfg(any(feature = "tls", feature = "ws"))]
pub mod wire;

#[doc(inline)]
pub use crate::{
    base::{Instant, Limits, Seed, UnixTime},
    decision::{
        AckMode, AlarmId, Answer, Ask, AskId, Body, ClientEnd, ClientHandle, Command, CommandError, Config,
        ConfigError, DialogChange, DialogEnd, DialogError, DialogHandle, Event, ExtraForks, FormError, Gone,
        InputBuf, Listener, MethodFacts, NatPolicy, Outcome, Outgoing, Pending, ProvisionalError, Question,
        Record, Reply, Routing, RoutingFacts, SendError, ServerEnd, ServerHandle, Source, Verdict, Void,
    },
    endpoint::{Cx, DialogView, Endpoint, Machine, Nested, Stats},
    service::{ClientUpdate, Host, NodeError, Received, RequestError, Service},
    syntax::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, UriBuf},
    transaction::Timing,
    transport::{
        BadDestination, CloseHow, ConnId, Destination, DnsError, DnsName, FlowChange, FlowId, Input,
        Interface, IoKind, Naptr, Output, PeerInfo, Place, Preference, Proto, QueryId, Reach, RecordData,
        RecordKind, Records, Resolver, SocketId, Srv, UdpSize, UnknownProto, Unreachable,
    },
};
