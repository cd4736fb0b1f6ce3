//! What the drivers of sansip share: how they serve a machine's outputs, keep a connection, open sockets, look names up.
//! With the feature `async` also the handle of a node whose machine is reached by letters, and asynchronous services.
//!
//! Nothing here waits, and nothing here knows how a driver learns that it may go on.
#![forbid(unsafe_code)]

#[cfg(feature = "async")]
mod async_service;
mod clock;
mod conn;
mod dns;
#[cfg(feature = "async")]
mod handle;
mod hands;
mod icmp;
mod interfaces;
#[cfg(feature = "async")]
mod mailbox;
mod socket;
mod udp;

#[cfg(feature = "async")]
pub use async_service::{Asked, Async, AsyncService, Task};
pub use clock::{now, seed};
pub use conn::{Conn, Stream};
pub use dns::{Lookups, OwnLookups};
#[cfg(feature = "async")]
pub use handle::Sent;
pub use hands::{Hands, drain, flush, hand_over, tell_time};
#[cfg(feature = "async")]
pub use mailbox::{Letter, Mailbox, NodeHandle, Run, WeakNodeHandle, mailbox};
pub use socket::listen;
pub use udp::{Buffer, Calls, Datagrams, Udp};
