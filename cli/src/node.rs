use std::{fmt, io, thread, time::Duration};

use sansip::{
    Config, ConfigError, Cx, Endpoint, Host, Instant, NodeError, Seed, Service,
    wire::{CertificateError, Tls, Wire, WireFailure, WireStats},
};
use serde::Deserialize;
use thiserror::Error;

use crate::secure::Secure;

/// What runs the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Driver {
    /// One task of tokio for everything
    #[default]
    Tokio,
    /// One thread that polls
    Blocking,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokio => "tokio",
            Self::Blocking => "blocking",
        })
    }
}

/// A service that runs on either driver.
pub(crate) enum Node<S: Service + Send + 'static> {
    Tokio {
        handle: sansip_tokio::NodeHandle<Wire<Host<S>>>,
        runtime: tokio::runtime::Handle,
        thread: thread::JoinHandle<()>,
    },
    Blocking(sansip_blocking::NodeHandle<Wire<Host<S>>>),
}

/// Why a node does not start.
#[derive(Debug, Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tls(#[from] CertificateError),
    #[error("the system does not let it start: {0}")]
    System(#[from] io::Error),
}

impl<S: Service + Send + 'static> Node<S> {
    /// Starts a service.
    pub(crate) fn start(
        driver: Driver,
        config: Config,
        secure: Secure,
        service: S,
    ) -> Result<Self, StartError> {
        let machine = |seed: Seed, now: Instant| {
            let limits = config.limits.clone();
            let host = Host::new(Endpoint::new(config, &seed, now)?, service);
            let mut wire = Wire::new(host, &limits);
            wire.set_tls(&secure.tls)?;
            wire.set_websocket(secure.websocket);
            Ok::<_, StartError>(wire)
        };
        match driver {
            Driver::Tokio => on_tokio(machine(sansip_tokio::seed()?, sansip_tokio::now())?),
            Driver::Blocking => {
                let machine = machine(sansip_blocking::seed()?, sansip_blocking::now())?;
                Ok(Self::Blocking(sansip_blocking::spawn(machine)?))
            }
        }
    }

    /// Runs a closure with the service and its endpoint; `None` if the node has ended.
    pub(crate) fn with<R: Send + 'static>(
        &self,
        run: impl FnOnce(&mut S, &mut Cx<'_>) -> R + Send + 'static,
    ) -> Option<R> {
        match self {
            Self::Tokio { handle, runtime, .. } => runtime.block_on(handle.with_service(run)).ok(),
            Self::Blocking(handle) => handle.with_service(run).ok(),
        }
    }

    /// Does TLS with other certificates from now on.
    pub(crate) fn set_tls(&self, tls: Tls) -> Result<(), CertificateError> {
        // An endpoint that has ended needs none.
        self.with_wire(move |wire| wire.set_tls(&tls)).unwrap_or(Ok(()))
    }

    /// Returns what TLS and WebSocket have counted.
    pub(crate) fn wire_stats(&self) -> WireStats {
        self.with_wire(|wire| wire.stats().clone()).unwrap_or_default()
    }

    /// Returns why TLS or WebSocket failed the last time.
    pub(crate) fn failure(&self) -> Option<WireFailure> {
        self.with_wire(|wire| wire.last_failure().cloned()).ok().flatten()
    }

    fn with_wire<R: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Wire<Host<S>>) -> R + Send + 'static,
    ) -> Result<R, NodeError> {
        match self {
            Self::Tokio { handle, runtime, .. } => runtime.block_on(handle.with(|wire, _| run(wire))),
            Self::Blocking(handle) => handle.with(|wire, _| run(wire)),
        }
    }

    /// Ends all calls, and then the node; it takes no longer than `grace`, and what the sockets need to close.
    pub(crate) fn shut_down(self, grace: Duration) {
        match self {
            Self::Tokio { handle, runtime, thread } => {
                runtime.block_on(handle.shutdown(grace));
                // A panic has been told on its thread.
                let _joined = thread.join();
            }
            Self::Blocking(handle) => handle.shutdown(grace),
        }
    }

    /// Tells whether the node has ended.
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Self::Tokio { handle, .. } => handle.is_gone(),
            Self::Blocking(handle) => handle.is_gone(),
        }
    }
}

/// The machine has a thread of its own: one task needs no more, and no other wakes it.
fn on_tokio<S: Service + Send + 'static>(machine: Wire<Host<S>>) -> Result<Node<S>, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let (node, handle) = sansip_tokio::node();
    let outside = runtime.handle().clone();
    let thread = thread::Builder::new().name("sansip".into()).spawn(move || {
        runtime.block_on(node.run(machine));
    })?;
    Ok(Node::Tokio { handle, runtime: outside, thread })
}
