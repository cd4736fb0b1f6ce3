use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use sansip::{CloseHow, ConnId, Input, Instant, IoKind, Machine, Output, Proto, SocketId};

use crate::rig::Bell;

/// A machine that knows nothing of SIP: it takes what comes, and may hang up or say something by itself.
pub(crate) struct Stranger {
    conduct: Manner,
    outputs: VecDeque<Output>,
    log: Log,
    bell: Arc<Bell>,
}

/// How a stranger behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Opens a UDP socket, whatever the transport, and says nothing.
    NoListener,
    /// Takes what comes over the transport, handshakes included, and says nothing.
    Deaf,
    /// Accepts connections, but is silent in the handshakes of TLS and WebSocket.
    NoHandshake,
    /// Listens for connections and resets each as soon as something comes over it.
    HangsUp,
    /// Opens a connection and sends these bytes over it, as one message if the transport has messages.
    Says(SocketAddr, Bytes),
}

/// What a stranger has seen.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Seen>>);

/// What came to a [`Stranger`].
#[derive(Debug, Default)]
pub struct Seen {
    /// Its socket's address, or why it has none.
    pub bound: Option<Result<SocketAddr, IoKind>>,
    /// All bytes that came over connections.
    pub bytes: Vec<u8>,
    /// How many datagrams came.
    pub datagrams: usize,
    /// Whether a connection ended.
    pub closed: bool,
}

impl Log {
    /// Looks at what was seen.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the address of its socket, once that is open.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub fn address(&self) -> Option<SocketAddr> {
        self.seen().bound.map(|bound| bound.expect("the address is free"))
    }
}

impl Stranger {
    pub(crate) fn new(addr: SocketAddr, proto: Proto, conduct: Manner, bell: Arc<Bell>) -> Self {
        let bind = |proto| Output::Bind { socket: SocketId(1), proto, addr };
        let first = match &conduct {
            Manner::NoListener => bind(Proto::Udp),
            Manner::NoHandshake => bind(Proto::Tcp),
            Manner::Deaf | Manner::HangsUp => bind(proto),
            Manner::Says(remote, _) => {
                Output::Connect { conn: ConnId(2), proto, remote: *remote, name: None }
            }
        };
        Self { conduct, outputs: [first].into(), log: Log::default(), bell }
    }

    pub(crate) fn log(&self) -> Log {
        self.log.clone()
    }
}

impl Machine for Stranger {
    fn handle_input(&mut self, _: Instant, input: Input<'_>) {
        match input {
            Input::Bound { result, .. } => self.log.seen().bound = Some(result),
            Input::Datagram { .. } => self.log.seen().datagrams += 1,
            Input::Connected { conn, .. } => {
                if let Manner::Says(_, bytes) = &self.conduct {
                    self.outputs.push_back(Output::Send { conn, data: bytes.clone() });
                }
            }
            Input::Received { conn, data } => {
                self.log.seen().bytes.extend_from_slice(data);
                if self.conduct == Manner::HangsUp {
                    self.outputs.push_back(Output::Close { conn, how: CloseHow::Reset });
                }
            }
            Input::Closed { .. } => self.log.seen().closed = true,
            _ => {}
        }
        self.bell.ring();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
