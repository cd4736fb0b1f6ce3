//! Runs a sansip [`Machine`](sansip::Machine) on tokio.
//!
//! One task owns the machine, its sockets and its timer: [`spawn`] starts it, and the [`NodeHandle`] that comes back
//! posts closures into it. Datagrams take no detour: they are read into one buffer, handed to the machine, and what
//! it answers is sent by the same task.
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
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let node = sansip_tokio::spawn(Echo(Vec::new()));
//! let addr = "127.0.0.1:0".parse().unwrap();
//! node.with(move |echo, _now| echo.0.push(Output::Bind { socket: SocketId(1), proto: Proto::Udp, addr })).await?;
//! node.stop(std::time::Duration::ZERO).await;
//! # Ok::<(), sansip_tokio::NodeError>(()) }).unwrap();
//! ```
//!
//! An application is an [`AsyncService`], or a [`Service`](sansip::Service) inside of a [`Host`](sansip::Host), and
//! its handle sends requests:
//!
//! ```no_run
//! use sansip::{Config, Cx, Endpoint, MethodFacts, Outgoing, Proto, Reply};
//! use sansip_tokio::{Asked, AsyncService, now, seed, spawn_async};
//!
//! struct Phone;
//!
//! impl AsyncService for Phone {
//!     fn init(&self, cx: &mut Cx<'_>) {
//!         let _ = cx.listen(Proto::Udp, "192.0.2.1:5060".parse().unwrap());
//!     }
//!
//!     async fn message(&self, asked: Asked<Self, MethodFacts>) -> Reply {
//!         println!("{}", String::from_utf8_lossy(asked.request.view().body()));
//!         Reply::ok()
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let phone = spawn_async(Endpoint::new(Config::default(), &seed()?, now())?, Phone);
//! let response = phone.request(Outgoing::options("sip:bob@example.com".parse()?)).await?;
//! println!("{}", response.status());
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod clock;
mod node;
mod reactor;
mod tcp;
mod udp;

pub use clock::now;
pub use node::{AsyncNode, Node, node, spawn, spawn_async, spawn_async_inside};
pub use sansip::{NodeError, Received, RequestError};
pub use sansip_net::{Asked, Async, AsyncService, NodeHandle, Sent, Task, WeakNodeHandle, seed};

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
