//! Runs a sansip [`Machine`](sansip::Machine) on a thread of its own.
//!
//! A node is one thread that owns sockets and timer, and waits in one place for whatever comes next. [`spawn`] starts
//! it, and the [`NodeHandle`] that comes back runs closures on the machine between two rounds, on the caller's own
//! thread. However many connections there are, there is no other thread but one for name look-ups.
//!
//! An application is a [`Service`](sansip::Service) inside of a [`Host`](sansip::Host), and its handle sends requests:
//!
//! ```no_run
//! use sansip::{Config, Cx, Endpoint, Host, Outgoing, Proto, Service};
//! use sansip_blocking::{now, seed, spawn};
//!
//! struct Phone;
//!
//! impl Service for Phone {
//!     fn init(&mut self, cx: &mut Cx<'_>) {
//!         let _ = cx.listen(Proto::Udp, "192.0.2.1:5060".parse().unwrap());
//!     }
//! }
//!
//! let endpoint = Endpoint::new(Config::default(), &seed()?, now())?;
//! let phone = spawn(Host::new(endpoint, Phone))?;
//! let response = phone.request(Outgoing::options("sip:bob@example.com".parse()?))?;
//! println!("{}", response.status());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod engine;
mod handle;
mod node;
mod sources;

pub use handle::Sent;
pub use node::{NodeHandle, WeakNodeHandle, spawn};
pub use sansip::{NodeError, Received, RequestError};
pub use sansip_net::{now, seed};
