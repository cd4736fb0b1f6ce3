//! Runs a sansip [`Machine`](sansip::Machine) on async-io: under smol, async-std, or any other executor.
//!
//! One future owns the machine, its sockets and its timer. [`node`] makes a [`Node`], whose [`run`](Node::run) is that
//! future, to be spawned wherever the program spawns, and the [`NodeHandle`] that posts closures into it.
//!
//! ```no_run
//! use sansip::{Config, Cx, Endpoint, Host, Outgoing, Proto, Service};
//! use sansip_smol::{node, now, seed};
//!
//! struct Phone;
//!
//! impl Service for Phone {
//!     fn init(&mut self, cx: &mut Cx<'_>) {
//!         let _ = cx.listen(Proto::Udp, "192.0.2.1:5060".parse().unwrap());
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let (node, phone) = node();
//! let endpoint = Endpoint::new(Config::default(), &seed()?, now())?;
//! smol::spawn(node.run(Host::new(endpoint, Phone))).detach();
//! let response = phone.request(Outgoing::options("sip:bob@example.com".parse()?)).await?;
//! println!("{}", response.status());
//! # Ok(()) }
//! ```
//!
//! An application may also be an [`AsyncService`], whose decisions wait for something: [`spawn_async`].
#![forbid(unsafe_code)]

mod node;
mod reactor;
mod sources;

pub use node::{Node, node, spawn_async};
pub use sansip::{NodeError, Received, RequestError};
pub use sansip_net::{Asked, Async, AsyncService, NodeHandle, Sent, Task, WeakNodeHandle, now, seed};
