use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    io::{self, IoSlice},
    net::{Shutdown, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use sansip::{CloseHow, ConnId, Input, IoKind, PeerInfo, SocketId};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Sleep, sleep},
};

/// All listeners and connections of a node, polled by its one task.
///
/// Each connection has a waker of its own which puts it on a list, so a round costs what is ready and not what is open.
pub(crate) struct Tcp {
    listeners: Vec<Listener>,
    conns: HashMap<ConnId, Conn>,
    accepted: u64,
    /// The connections that may go on, each of them once, so it is bounded.
    ready: UnboundedReceiver<ConnId>,
    wake: UnboundedSender<ConnId>,
    unwritten: Vec<ConnId>,
}

impl Tcp {
    pub(crate) fn new() -> Self {
        let (wake, ready) = unbounded_channel();
        Self { listeners: Vec::new(), conns: HashMap::new(), accepted: 0, ready, wake, unwritten: Vec::new() }
    }

    pub(crate) fn listen(&mut self, id: SocketId, addr: SocketAddr) -> io::Result<SocketAddr> {
        let listener = Listener::bind(id, addr)?;
        let local = listener.socket.local_addr()?;
        self.listeners.push(listener);
        Ok(local)
    }

    pub(crate) fn unlisten(&mut self, id: SocketId) {
        self.listeners.retain(|listener| listener.id != id);
    }

    pub(crate) fn connect(&mut self, id: ConnId, remote: SocketAddr) {
        self.insert(id, Stage::Opening(Box::pin(TcpStream::connect(remote))));
    }

    /// Queues bytes; [`Self::flush`] writes them.
    pub(crate) fn send(&mut self, id: ConnId, data: Bytes) {
        if let Some(conn) = self.conns.get_mut(&id).filter(|_| !data.is_empty()) {
            if conn.unsent.is_empty() {
                self.unwritten.push(id);
            }
            conn.unsent.push_back(data);
        }
    }

    pub(crate) fn close(&mut self, id: ConnId, how: CloseHow) {
        match how {
            CloseHow::Flush => {
                if let Some(conn) = self.conns.get_mut(&id) {
                    conn.flushes = true;
                    self.unwritten.push(id);
                }
            }
            CloseHow::Reset => {
                if let Some(Conn { stage: Stage::Open(stream), .. }) = self.conns.remove(&id) {
                    // Best effort: without it the peer sees an orderly end.
                    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                }
            }
        }
    }

    /// Writes what [`Self::send`] queued, and tells of one connection how far it came; `None` when all is tried.
    pub(crate) fn flush(&mut self) -> Option<Input<'static>> {
        while let Some(&id) = self.unwritten.last() {
            match self.conns.get_mut(&id).and_then(Conn::write) {
                Some(input) => return Some(self.forget_if_closed(id, input)),
                None => self.unwritten.pop(),
            };
        }
        None
    }

    /// Accepts one connection.
    pub(crate) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Input<'static>> {
        for at in 0..self.listeners.len() {
            let listener = &mut self.listeners[at];
            if let Poll::Ready((stream, local, remote)) = listener.poll_accept(cx) {
                let socket = listener.id;
                let conn = ConnId(2 * self.accepted + 1);
                self.accepted += 1;
                self.insert(conn, Stage::Open(stream));
                // The others get their turn first next time.
                self.listeners.rotate_left(at + 1);
                let peer = PeerInfo::default();
                return Poll::Ready(Input::Accepted { socket, conn, local, remote, peer });
            }
        }
        Poll::Pending
    }

    /// Returns a connection that may go on.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<ConnId> {
        // The list cannot end, as this end of it holds a sender.
        let Some(id) = ready!(self.ready.poll_recv(cx)) else { return Poll::Pending };
        if let Some(conn) = self.conns.get(&id) {
            // A swap, so that whatever made the last waker wake is seen by what follows.
            conn.wake.queued.swap(false, Ordering::AcqRel);
        }
        Poll::Ready(id)
    }

    /// Has a connection's turn come again after all others.
    pub(crate) fn again(&self, id: ConnId) {
        if let Some(conn) = self.conns.get(&id) {
            conn.waker.wake_by_ref();
        }
    }

    /// Does one thing for a connection; to be called until `None`.
    pub(crate) fn step<'b>(&mut self, id: ConnId, buffer: &'b mut [u8]) -> Option<Input<'b>> {
        let conn = self.conns.get_mut(&id)?;
        let input = conn.open().or_else(|| conn.write()).or_else(|| conn.read(buffer))?;
        Some(self.forget_if_closed(id, input))
    }

    fn forget_if_closed<'b>(&mut self, id: ConnId, input: Input<'b>) -> Input<'b> {
        if matches!(input, Input::Closed { .. }) {
            self.conns.remove(&id);
        }
        input
    }

    fn insert(&mut self, id: ConnId, stage: Stage) {
        let wake = Arc::new(ConnWake { id, queued: AtomicBool::new(false), ready: self.wake.clone() });
        let waker = Waker::from(Arc::clone(&wake));
        waker.wake_by_ref();
        let unsent = VecDeque::new();
        self.conns.insert(id, Conn { id, stage, unsent, flushes: false, ended: false, wake, waker });
    }
}

struct Conn {
    id: ConnId,
    stage: Stage,
    unsent: VecDeque<Bytes>,
    /// Our end is told when nothing is unsent.
    flushes: bool,
    /// The peer's end has come.
    ended: bool,
    wake: Arc<ConnWake>,
    waker: Waker,
}

enum Stage {
    Opening(Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>),
    Open(TcpStream),
}

impl Conn {
    fn open(&mut self) -> Option<Input<'static>> {
        let Stage::Opening(opening) = &mut self.stage else { return None };
        let Poll::Ready(opened) = opening.as_mut().poll(&mut Context::from_waker(&self.waker)) else {
            return None;
        };
        match opened.and_then(|stream| Ok((stream.local_addr()?, stream))) {
            Ok((local, stream)) => {
                no_delay(&stream);
                self.stage = Stage::Open(stream);
                Some(Input::Connected { conn: self.id, local, peer: PeerInfo::default() })
            }
            Err(error) => Some(self.broken(&error)),
        }
    }

    /// Writes what is unsent, then tells our end if it is wanted.
    fn write(&mut self) -> Option<Input<'static>> {
        let Stage::Open(stream) = &mut self.stage else { return None };
        if self.unsent.is_empty() {
            if self.flushes {
                // It may be told again, and the peer may be gone.
                let _ = SockRef::from(&*stream).shutdown(Shutdown::Write);
            }
            return self.ended.then_some(Input::Closed { conn: self.id, error: None });
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        for (slice, data) in slices.iter_mut().zip(&self.unsent) {
            *slice = IoSlice::new(data);
        }
        let count = self.unsent.len().min(SLICES);
        let cx = &mut Context::from_waker(&self.waker);
        let bytes = match Pin::new(stream).poll_write_vectored(cx, &slices[..count]) {
            Poll::Pending => return None,
            Poll::Ready(Err(error)) => return Some(self.broken(&error)),
            Poll::Ready(Ok(bytes)) => bytes,
        };
        let mut left = bytes;
        while let Some(first) = self.unsent.front_mut().filter(|_| left > 0) {
            let now = left.min(first.len());
            first.advance(now);
            left -= now;
            if first.is_empty() {
                self.unsent.pop_front();
            }
        }
        Some(Input::Drained { conn: self.id, bytes })
    }

    fn read<'b>(&mut self, buffer: &'b mut [u8]) -> Option<Input<'b>> {
        let Stage::Open(stream) = &mut self.stage else { return None };
        if self.ended {
            return None;
        }
        let mut into = ReadBuf::new(buffer);
        match Pin::new(stream).poll_read(&mut Context::from_waker(&self.waker), &mut into) {
            Poll::Pending => None,
            Poll::Ready(Err(error)) => Some(self.broken(&error)),
            Poll::Ready(Ok(())) if into.filled().is_empty() => {
                (self.ended, self.flushes) = (true, true);
                self.write()
            }
            Poll::Ready(Ok(())) => {
                let len = into.filled().len();
                Some(Input::Received { conn: self.id, data: &buffer[..len] })
            }
        }
    }

    fn broken(&self, error: &io::Error) -> Input<'static> {
        Input::Closed { conn: self.id, error: Some(IoKind::from(error)) }
    }
}

struct Listener {
    id: SocketId,
    socket: TcpListener,
    rest: Option<Pin<Box<Sleep>>>,
}

impl Listener {
    fn bind(id: SocketId, addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // On Windows the option would let two programs share the port.
        #[cfg(not(windows))]
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        let socket = TcpListener::from_std(socket.into())?;
        Ok(Self { id, socket, rest: None })
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<(TcpStream, SocketAddr, SocketAddr)> {
        loop {
            if let Some(rest) = &mut self.rest {
                ready!(rest.as_mut().poll(cx));
                self.rest = None;
            }
            let accepted = ready!(self.socket.poll_accept(cx));
            match accepted.and_then(|(stream, remote)| Ok((stream.local_addr()?, stream, remote))) {
                Ok((local, stream, remote)) => {
                    no_delay(&stream);
                    return Poll::Ready((stream, local, remote));
                }
                // The system is short of something, most likely of files: trying again at once would only burn time.
                Err(_) => self.rest = Some(Box::pin(sleep(REST))),
            }
        }
    }
}

fn no_delay(stream: &TcpStream) {
    // Best effort: it only makes small messages faster.
    let _ = stream.set_nodelay(true);
}

struct ConnWake {
    id: ConnId,
    queued: AtomicBool,
    ready: UnboundedSender<ConnId>,
}

impl Wake for ConnWake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            // The node may have ended.
            let _ = self.ready.send(self.id);
        }
    }
}

/// How long a listener rests that cannot accept.
const REST: Duration = Duration::from_millis(100);

const BACKLOG: i32 = 1024;

/// Pieces written by one call.
const SLICES: usize = 16;
