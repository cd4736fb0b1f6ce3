use std::{net::SocketAddr, time::Duration};

use thiserror::Error;

use crate::{
    decision::{
        AlarmId, AskId, Body, ClientHandle, Config, ConfigError, DialogHandle, Gone, Listener, Outgoing,
        Reply, Verdict,
    },
    syntax::{HeaderName, UriError},
    transport::{BadDestination, FlowId, IoKind, Proto, SocketId},
};

/// Everything that an application can make an endpoint do, as plain data.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Command {
    /// Answers a question.
    Answer {
        /// The question.
        ask: AskId,
        /// The answer.
        verdict: Verdict,
    },
    /// Sends a provisional response before the answer.
    Provisional {
        /// The question about the method of the request.
        ask: AskId,
        /// The response, 101 to 199.
        reply: Reply,
    },
    /// Sends a request. Gives [`Outcome::Client`].
    Request(Box<Outgoing>),
    /// Cancels an INVITE that was sent (RFC 3261 §9.1).
    Cancel {
        /// The INVITE.
        client: ClientHandle,
    },
    /// Acknowledges a 2xx (RFC 3261 §13.2.2.4).
    Ack {
        /// The dialog that the 2xx made or is in.
        dialog: DialogHandle,
        /// The answer, if the 2xx carried the offer.
        body: Option<Body>,
    },
    /// Acknowledges a reliable provisional response that carried an offer (RFC 3262 §5).
    Prack {
        /// The dialog that the response is in.
        dialog: DialogHandle,
        /// The answer.
        body: Body,
    },
    /// Ends the session of a dialog (RFC 3261 §15).
    Bye {
        /// The dialog.
        dialog: DialogHandle,
    },
    /// Opens a socket. Gives [`Outcome::Socket`]; how it went is told by [`Event::Bound`](crate::Event::Bound).
    Listen(Listener),
    /// Closes a socket.
    Unlisten {
        /// The socket.
        socket: SocketId,
    },
    /// Keeps a flow alive from now on, or no more: a connection by a double CRLF, datagrams by STUN (RFC 5626 §4.4).
    KeepAlive {
        /// The flow; where there are datagrams, the peer is a STUN server.
        flow: FlowId,
        /// How often at most; no more if not said.
        every: Option<Duration>,
    },
    /// Asks a STUN server for the address that it sees a UDP socket at. The answer is an
    /// [`Event::Flow`](crate::Event::Flow).
    Stun {
        /// The socket.
        socket: SocketId,
        /// The server.
        server: SocketAddr,
    },
    /// Replaces the configuration for what begins from now on.
    Configure(Box<Config>),
    /// Asks for an [`Event::Alarm`](crate::Event::Alarm). Gives [`Outcome::Alarm`].
    Alarm {
        /// When, from now.
        after: Duration,
    },
    /// Ends all calls and takes no new ones.
    Shutdown {
        /// How long calls may take to end before they are dropped.
        grace: Duration,
    },
}

/// What a command has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing that has a name.
    Done,
    /// A client transaction.
    Client(ClientHandle),
    /// A socket.
    Socket(SocketId),
    /// An alarm.
    Alarm(AlarmId),
}

/// Why a command was refused. A refused command has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// What it names has ended.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The answer is of another kind than the question.
    #[error("the answer is of another kind than the question")]
    WrongVerdict,
    /// A provisional response cannot be sent.
    #[error(transparent)]
    Provisional(#[from] ProvisionalError),
    /// A request cannot be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The dialog is not in a state for it.
    #[error(transparent)]
    Dialog(#[from] DialogError),
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A bound of [`Limits`](crate::Limits) is met.
    #[error("limit `{0}` is reached")]
    Limit(&'static str),
    /// The host that a listener is to show is neither a name nor an address.
    #[error("{0:?} is neither a domain name nor an address")]
    Host(Box<str>),
    /// A flow cannot be used.
    #[error("the flow cannot be used: {0}")]
    Flow(IoKind),
}

/// Why a provisional response cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProvisionalError {
    /// The question has ended.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The status is not from 101 to 199.
    #[error("a provisional response has a status from 101 to 199")]
    Status,
    /// The peer does not know reliable provisional responses (RFC 3262 §3).
    #[error("the peer does not support 100rel")]
    NotSupported,
    /// There are too many that wait for the PRACK of one before.
    #[error("limit `reliable_queue` is reached")]
    Limit,
    /// Only INVITE has provisional responses (RFC 4320 §4.1).
    #[error("only an INVITE is answered provisionally (RFC 4320)")]
    NotInvite,
}

/// Why a request cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The URI to send to cannot be used.
    #[error("cannot send to {uri}: {why}")]
    Uri {
        /// The URI.
        uri: Box<str>,
        /// What is wrong with it.
        why: BadDestination,
    },
    /// A URI does not parse.
    #[error(transparent)]
    BadUri(#[from] UriError),
    /// ACK and CANCEL are made by the endpoint; BYE belongs into a dialog.
    #[error("{0} is not sent as a request of its own")]
    Method(&'static str),
    /// A header field that the endpoint writes itself.
    #[error("header field {0} is written by the endpoint")]
    OwnedHeader(HeaderName),
    /// No socket is bound that could send it.
    #[error("no {0} socket of that address family is bound: listen first")]
    NoSocket(Proto),
    /// The socket listens on all addresses, and none of this machine is known to lead to the peer.
    #[error("no address of this machine is known to lead there: set `host` in the configuration")]
    NoHost,
    /// The host to show in Via and Contact is neither a name nor an address.
    #[error("{0:?} is neither a domain name nor an address")]
    Host(Box<str>),
    /// The dialog has ended.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// An INVITE is already under way in this dialog (RFC 3261 §14.1).
    #[error("an INVITE is already under way in this dialog")]
    InviteUnderWay,
    /// A bound of [`Limits`](crate::Limits) is met.
    #[error("limit `{0}` is reached")]
    Limit(&'static str),
    /// The endpoint is shutting down.
    #[error("the endpoint is shutting down")]
    ShuttingDown,
    /// The message would be larger than the limit allows.
    #[error("the request is larger than a message may be")]
    TooLarge,
}

/// Why a dialog refuses what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DialogError {
    /// It has ended.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// It is not confirmed yet: answer or cancel the INVITE instead (RFC 3261 §15).
    #[error("the dialog is not confirmed yet: answer or cancel its INVITE")]
    Early,
    /// There is no provisional response to acknowledge.
    #[error("there is no provisional response to acknowledge")]
    NothingToPrack,
    /// There is no 2xx to acknowledge.
    #[error("there is no 2xx to acknowledge")]
    NothingToAck,
    /// The 2xx has to be acknowledged first.
    #[error("the 2xx has to be acknowledged first")]
    NotAcked,
    /// A BYE was sent or received.
    #[error("the session is already ending")]
    Ending,
}
