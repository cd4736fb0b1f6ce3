use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use sansip::{CloseHow, ConnId, Instant, IoKind, SocketId};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    net::{TcpListener, TcpStream},
};

use crate::clock::now;

/// All listeners and connections of a node, polled by its one task.
///
/// Each connection has a waker of its own which puts it on a list, so a round costs what is ready and not what is open.
pub(crate) struct Tcp {
    listeners: Vec<Listener>,
    conns: HashMap<ConnId, Conn>,
    accepted: u64,
    ready: Arc<Ready>,
    unwritten: Vec<ConnId>,
    lingering: VecDeque<(Instant, ConnId)>,
}

/// What [`Tcp::step`] found.
pub(crate) enum Step {
    Idle,
    Connected(SocketAddr),
    Received(usize),
    Drained(usize),
    Closed(Option<IoKind>),
}

/// What [`Tcp::poll_accept`] found.
pub(crate) struct Accepted {
    pub(crate) socket: SocketId,
    pub(crate) conn: ConnId,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl Tcp {
    pub(crate) fn new() -> Self {
        Self {
            listeners: Vec::new(),
            conns: HashMap::new(),
            accepted: 0,
            ready: Arc::default(),
            unwritten: Vec::new(),
            lingering: VecDeque::new(),
        }
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
        let Some(conn) = self.conns.remove(&id) else { return };
        match (conn.stage, how) {
            (Stage::Live(stream), CloseHow::Flush) => {
                self.linger(id, Conn { stage: Stage::Closing(stream), ..conn });
            }
            (Stage::Live(stream) | Stage::Closing(stream), _) => {
                // Best effort: without it the peer sees an orderly end.
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
            (Stage::Opening(_), _) => {}
        }
    }

    /// Stops listening, and flushes and closes every connection.
    pub(crate) fn close_all(&mut self) {
        self.listeners.clear();
        let live = |conn: &Conn| !matches!(conn.stage, Stage::Closing(_));
        let ids: Vec<_> = self.conns.iter().filter(|(_, conn)| live(conn)).map(|(id, _)| *id).collect();
        for id in ids {
            self.close(id, CloseHow::Flush);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.conns.is_empty()
    }

    /// Writes what [`Self::send`] queued, and tells of one connection how far it came; `None` when all is tried.
    pub(crate) fn flush(&mut self) -> Option<(ConnId, Step)> {
        while let Some(&id) = self.unwritten.last() {
            let step = match self.conns.get_mut(&id) {
                Some(conn) if matches!(conn.stage, Stage::Live(_)) => conn.write(),
                // One that is opening or closing writes in `step`.
                _ => Step::Idle,
            };
            match step {
                Step::Idle => {
                    self.unwritten.pop();
                }
                Step::Closed(_) => {
                    self.conns.remove(&id);
                    return Some((id, step));
                }
                _ => return Some((id, step)),
            }
        }
        None
    }

    /// Accepts one connection. A listener that fails rests for a while.
    pub(crate) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Accepted> {
        for at in 0..self.listeners.len() {
            let listener = &mut self.listeners[at];
            if let Poll::Ready((stream, local, remote)) = listener.poll_accept(cx) {
                let socket = listener.id;
                let conn = ConnId(2 * self.accepted + 1);
                self.accepted += 1;
                self.insert(conn, Stage::Live(stream));
                // The others get their turn first next time.
                self.listeners.rotate_left(at + 1);
                return Poll::Ready(Accepted { socket, conn, local, remote });
            }
        }
        Poll::Pending
    }

    /// Swaps the connections that may go on into `ids`, which must be empty, and has the task of `cx` woken for more.
    pub(crate) fn take_ready(&mut self, cx: &mut Context<'_>, ids: &mut Vec<ConnId>) {
        let mut queue = self.ready.lock();
        if !queue.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            queue.task = Some(cx.waker().clone());
        }
        std::mem::swap(&mut queue.ids, ids);
        drop(queue);
        for id in ids.iter() {
            if let Some(conn) = self.conns.get(id) {
                // A swap, so that whatever made the last waker wake is seen by what follows.
                conn.wake.queued.swap(false, Ordering::AcqRel);
            }
        }
    }

    /// Has a connection's turn come again after all others.
    pub(crate) fn again(&self, id: ConnId) {
        if let Some(conn) = self.conns.get(&id) {
            conn.waker.wake_by_ref();
        }
    }

    /// Does one thing for a connection; to be called until idle.
    pub(crate) fn step(&mut self, id: ConnId, buffer: &mut [u8]) -> Step {
        let Some(conn) = self.conns.get_mut(&id) else { return Step::Idle };
        let step = match conn.stage {
            Stage::Opening(_) => conn.open(),
            Stage::Live(_) => match conn.write() {
                Step::Idle => conn.read(buffer),
                step => step,
            },
            Stage::Closing(_) => {
                if conn.poll_closed(buffer).is_ready() {
                    self.conns.remove(&id);
                }
                return Step::Idle;
            }
        };
        if let Step::Closed(error) = step {
            self.end(id, error);
        }
        step
    }

    /// Ends what lingers too long, and returns when to call again.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Instant> {
        while let Some((deadline, id)) = self.lingering.front() {
            if *deadline > now {
                break;
            }
            self.conns.remove(id);
            self.lingering.pop_front();
        }
        let lingering = self.lingering.front().map(|(deadline, _)| *deadline);
        self.listeners.iter().filter_map(|listener| listener.resting).chain(lingering).min()
    }

    /// Forgets a connection that its peer ended; what the machine wrote before it knew still goes out.
    fn end(&mut self, id: ConnId, error: Option<IoKind>) {
        if let Some(conn) = self.conns.remove(&id)
            && error.is_none()
            && !conn.unsent.is_empty()
            && let Stage::Live(stream) = conn.stage
        {
            self.linger(id, Conn { stage: Stage::Closing(stream), ..conn });
        }
    }

    fn linger(&mut self, id: ConnId, conn: Conn) {
        if self.lingering.len() >= LINGERING
            && let Some((_, oldest)) = self.lingering.pop_front()
        {
            self.conns.remove(&oldest);
        }
        self.lingering.push_back((now() + LINGER, id));
        conn.waker.wake_by_ref();
        self.conns.insert(id, conn);
    }

    fn insert(&mut self, id: ConnId, stage: Stage) {
        let wake = Arc::new(ConnWake { id, queued: AtomicBool::new(false), ready: Arc::clone(&self.ready) });
        let waker = Waker::from(Arc::clone(&wake));
        waker.wake_by_ref();
        self.conns.insert(id, Conn { stage, unsent: VecDeque::new(), wake, waker });
    }
}

struct Conn {
    stage: Stage,
    unsent: VecDeque<Bytes>,
    wake: Arc<ConnWake>,
    waker: Waker,
}

enum Stage {
    Opening(Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>),
    Live(TcpStream),
    /// The machine is done with it: what is unsent goes out, then its end is told and the peer's awaited.
    Closing(TcpStream),
}

impl Conn {
    fn open(&mut self) -> Step {
        let Stage::Opening(opening) = &mut self.stage else { return Step::Idle };
        match opening.as_mut().poll(&mut Context::from_waker(&self.waker)) {
            Poll::Pending => Step::Idle,
            Poll::Ready(opened) => match opened.and_then(|stream| Ok((stream.local_addr()?, stream))) {
                Ok((local, stream)) => {
                    no_delay(&stream);
                    self.stage = Stage::Live(stream);
                    Step::Connected(local)
                }
                Err(error) => Step::Closed(Some(IoKind::from(&error))),
            },
        }
    }

    fn write(&mut self) -> Step {
        let (Stage::Live(stream) | Stage::Closing(stream)) = &mut self.stage else { return Step::Idle };
        if self.unsent.is_empty() {
            return Step::Idle;
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        for (slice, data) in slices.iter_mut().zip(&self.unsent) {
            *slice = IoSlice::new(data);
        }
        let count = self.unsent.len().min(SLICES);
        let cx = &mut Context::from_waker(&self.waker);
        match Pin::new(stream).poll_write_vectored(cx, &slices[..count]) {
            Poll::Pending => Step::Idle,
            Poll::Ready(Err(error)) => Step::Closed(Some(IoKind::from(&error))),
            Poll::Ready(Ok(bytes)) => {
                let mut left = bytes;
                while let Some(first) = self.unsent.front_mut().filter(|_| left > 0) {
                    let now = left.min(first.len());
                    first.advance(now);
                    left -= now;
                    if first.is_empty() {
                        self.unsent.pop_front();
                    }
                }
                Step::Drained(bytes)
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Step {
        let (Stage::Live(stream) | Stage::Closing(stream)) = &mut self.stage else { return Step::Idle };
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(stream).poll_read(&mut Context::from_waker(&self.waker), &mut buffer) {
            Poll::Pending => Step::Idle,
            Poll::Ready(Err(error)) => Step::Closed(Some(IoKind::from(&error))),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Step::Closed(None),
            Poll::Ready(Ok(())) => Step::Received(buffer.filled().len()),
        }
    }

    /// Is ready when everything has been sent and the peer has closed too, or when that cannot be.
    fn poll_closed(&mut self, buffer: &mut [u8]) -> Poll<()> {
        loop {
            match self.write() {
                Step::Drained(_) => {}
                Step::Closed(_) => return Poll::Ready(()),
                _ => break,
            }
        }
        if self.unsent.is_empty()
            && let Stage::Closing(stream) = &mut self.stage
            && let Poll::Ready(Err(_)) = Pin::new(stream).poll_shutdown(&mut Context::from_waker(&self.waker))
        {
            return Poll::Ready(());
        }
        // Closing with bytes unread would reset the connection under what was flushed, so they are read and dropped.
        match self.read(buffer) {
            Step::Closed(Some(_)) => Poll::Ready(()),
            Step::Closed(None) if self.unsent.is_empty() => Poll::Ready(()),
            Step::Received(_) => {
                self.waker.wake_by_ref();
                Poll::Pending
            }
            _ => Poll::Pending,
        }
    }
}

struct Listener {
    id: SocketId,
    socket: TcpListener,
    resting: Option<Instant>,
    rest: Duration,
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
        Ok(Self { id, socket, resting: None, rest: REST })
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<(TcpStream, SocketAddr, SocketAddr)> {
        if self.resting.is_some_and(|until| now() < until) {
            return Poll::Pending;
        }
        self.resting = None;
        match self.socket.poll_accept(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(accepted) => {
                match accepted.and_then(|(s, remote)| Ok((s.local_addr()?, s, remote))) {
                    Ok((local, stream, remote)) => {
                        no_delay(&stream);
                        self.rest = REST;
                        Poll::Ready((stream, local, remote))
                    }
                    // The system is short of something, most likely of files: trying again at once would only burn time.
                    Err(_) => {
                        self.resting = Some(now() + self.rest);
                        self.rest = (self.rest * 2).min(REST_MAX);
                        Poll::Pending
                    }
                }
            }
        }
    }
}

fn no_delay(stream: &TcpStream) {
    // Best effort: it only makes small messages faster.
    let _ = stream.set_nodelay(true);
}

/// The connections that may go on, and the task that is to see to it.
#[derive(Default)]
struct Ready(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    ids: Vec<ConnId>,
    task: Option<Waker>,
}

impl Ready {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct ConnWake {
    id: ConnId,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for ConnWake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            let mut queue = self.ready.lock();
            queue.ids.push(self.id);
            let task = queue.task.clone();
            drop(queue);
            if let Some(task) = task {
                task.wake();
            }
        }
    }
}

/// For how long a connection is kept that the machine has closed.
pub(crate) const LINGER: Duration = Duration::from_secs(5);

/// Connections kept so at once; beyond, the oldest goes.
const LINGERING: usize = 4096;

/// The first and the longest rest of a listener that cannot accept.
const REST: Duration = Duration::from_millis(10);
const REST_MAX: Duration = Duration::from_secs(1);

const BACKLOG: i32 = 1024;

/// Pieces written by one call.
const SLICES: usize = 16;
