//! Runs a sansip [`Machine`](sansip::Machine) on plain threads.
//!
//! A node is a machine behind one lock. A thread for each UDP socket, listener and connection waits for its socket,
//! takes the lock, hands the machine what came, and does what it wants; one more thread keeps the time. So a datagram
//! is answered by the thread that received it, and [`NodeHandle::with`] runs a closure on the caller's own thread.
//!
//! ```
//! use sansip::{Input, Instant, Machine, Output, Proto, SocketId};
//!
//! /// Sends every datagram back.
//! struct Echo(Vec<Output>);
//!
//! impl Machine for Echo {
//!     fn handle_input(&mut self, _: Instant, input: Input<'_>) {
//!         if let Input::Datagram { socket, local, remote, payload } = input {
//!             let payload = payload.to_vec().into();
//!             self.0.push(Output::Transmit { socket, local, remote, payload });
//!         }
//!     }
//!     fn poll_output(&mut self) -> Option<Output> {
//!         self.0.pop()
//!     }
//!     fn poll_timeout(&self) -> Option<Instant> {
//!         None
//!     }
//! }
//!
//! let node = sansip_blocking::spawn(Echo(Vec::new()))?;
//! let addr = "127.0.0.1:0".parse().unwrap();
//! node.with(|echo, _now| echo.0.push(Output::Bind { socket: SocketId(1), proto: Proto::Udp, addr }))?;
//! node.stop(std::time::Duration::ZERO);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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

mod clock;
mod dns;
mod engine;
mod handle;
mod node;
mod tcp;
mod udp;

pub use clock::{now, seed};
pub use handle::Sent;
pub use node::{NodeHandle, WeakNodeHandle, spawn};
pub use sansip::{NodeError, Received, RequestError};
