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
#![forbid(unsafe_code)]

mod async_service;
mod clock;
mod dns;
mod handle;
mod node;
mod reactor;
mod tcp;
mod udp;

pub use async_service::{Asked, Async, AsyncNode, AsyncService, spawn_async};
pub use clock::{now, seed};
pub use handle::{Received, RequestError, Sent};
pub use node::{Node, NodeError, NodeHandle, WeakNodeHandle, node, spawn};

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
