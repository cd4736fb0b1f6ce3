use std::net::{IpAddr, SocketAddr};

use crate::{
    decision::{AlarmId, AskId, ClientHandle, DialogHandle, Question, Reply, Routing, ServerHandle},
    syntax::{Request, Response, StatusCode},
    transport::{FlowChange, FlowId, IoKind, Proto, SocketId},
};

/// What an endpoint tells its application, in the order in which it happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A decision is wanted: the only event that waits for the application.
    Ask(Ask),
    /// A response to a request that was sent.
    Response {
        /// The request.
        client: ClientHandle,
        /// The response.
        response: Response,
        /// The dialog that it belongs to.
        dialog: Option<DialogHandle>,
    },
    /// A request that was sent has come to its end.
    ClientEnded {
        /// The request.
        client: ClientHandle,
        /// How.
        end: ClientEnd,
    },
    /// An answer that was given did not reach the peer, or was not acknowledged.
    ServerEnded {
        /// The server transaction.
        server: ServerHandle,
        /// Why.
        end: ServerEnd,
    },
    /// An ACK for a 2xx arrived; for each 2xx the first one only.
    Ack {
        /// The dialog.
        dialog: DialogHandle,
        /// The ACK.
        request: Request,
    },
    /// An INVITE was cancelled by its sender and has been answered with 487.
    Cancelled {
        /// The INVITE.
        server: ServerHandle,
        /// The CANCEL.
        request: Request,
    },
    /// A question needs no answer any more.
    Voided {
        /// The question.
        ask: AskId,
        /// Why.
        why: Void,
    },
    /// A dialog has changed.
    Dialog {
        /// The dialog.
        dialog: DialogHandle,
        /// How.
        change: DialogChange,
    },
    /// An alarm rings.
    Alarm {
        /// The alarm.
        alarm: AlarmId,
    },
    /// A socket is open, or cannot be opened.
    Bound {
        /// The socket.
        socket: SocketId,
        /// What kind.
        proto: Proto,
        /// Its address, or why not.
        result: Result<SocketAddr, IoKind>,
    },
    /// A connection was opened or has ended, or something was learnt about another flow that is kept.
    Flow {
        /// The flow.
        flow: FlowId,
        /// What has become of it.
        change: FlowChange,
    },
    /// This machine has lost addresses: registrations made from there lead nowhere any more.
    AddressesGone {
        /// Which.
        addresses: Vec<IpAddr>,
    },
    /// A request was too large for UDP, and goes over TCP (RFC 3261 §18.1.1).
    Switched {
        /// The request.
        client: ClientHandle,
    },
}

/// A question of any kind.
#[derive(Debug)]
#[non_exhaustive]
pub enum Ask {
    /// Where the request goes.
    Routing(Question<Routing>),
    /// What the request is answered with.
    Method(Question<Reply>),
}

/// How a request that was sent came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum ClientEnd {
    /// A final response arrived.
    Final(StatusCode),
    /// No final response arrived in time; it counts as 408 (RFC 3261 §8.1.3.1).
    Timeout,
    /// It could not be sent; it counts as 503 (RFC 3261 §8.1.3.1).
    Transport(IoKind),
    /// The host of the URI has no address.
    NoAddress,
    /// It was cancelled, and no final response came.
    Cancelled,
}

/// What went wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum ServerEnd {
    /// No ACK came for a final response to an INVITE (RFC 3261 §17.2.1).
    NoAck,
    /// A response could not be sent (RFC 3261 §17.2.4).
    Transport(IoKind),
}

/// Why a question needs no answer any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Void {
    /// The sender cancelled the request.
    Cancelled,
    /// The application took too long; the default answer was given.
    Deadline,
    /// The peer did not acknowledge a reliable provisional response (RFC 3262 §3).
    NoPrack,
    /// The dialog or the endpoint ended.
    Died,
}

/// How a dialog changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum DialogChange {
    /// It exists, early (RFC 3261 §12.1).
    Started,
    /// A 2xx was sent or received.
    Confirmed,
    /// The peer's Contact has changed (RFC 3261 §12.2, RFC 6141).
    TargetRefreshed,
    /// The peer reaches this side at an address that is gone, until a re-INVITE or UPDATE tells it another one (RFC 3261
    /// §12.2.1).
    AddressGone,
    /// It has ended.
    Ended(DialogEnd),
}

/// Why a dialog has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum DialogEnd {
    /// This side sent BYE.
    LocalBye,
    /// The peer sent BYE.
    RemoteBye,
    /// The INVITE got a final response that is no 2xx, or a request in the dialog got one that ends it (RFC 5057).
    Refused(StatusCode),
    /// The INVITE was cancelled.
    Cancelled,
    /// The peer did not acknowledge the 2xx.
    NoAck,
    /// The peer did not answer a request in the dialog, or could not be reached.
    Unreachable,
    /// It was one more branch of a fork than wanted.
    Fork,
    /// It reached the longest life that the limits allow.
    Expired,
    /// The endpoint was shut down.
    Shutdown,
}
