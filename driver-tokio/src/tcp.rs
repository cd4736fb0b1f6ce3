use std::{
    collections::HashMap,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker, ready},
    time::Duration,
};

use sansip::{CloseHow, ConnId, Input, PeerInfo, SocketId};
use sansip_net::{Conn, Stream};
use socket2::SockRef;
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
    conns: HashMap<ConnId, Entry>,
    accepted: u64,
    /// The connections that may go on, each of them once, so it is bounded.
    ready: UnboundedReceiver<ConnId>,
    wake: UnboundedSender<ConnId>,
}

impl Tcp {
    pub(crate) fn new() -> Self {
        let (wake, ready) = unbounded_channel();
        Self { listeners: Vec::new(), conns: HashMap::new(), accepted: 0, ready, wake }
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
        self.insert(id, Stage::Opening(Box::pin(TcpStream::connect(remote))), Conn::opening);
    }

    /// Queues bytes, to be written when the connection has its turn.
    pub(crate) fn send(&mut self, id: ConnId, data: &[u8]) {
        self.conns.get_mut(&id).into_iter().for_each(|entry| entry.conn.send(data));
        self.again(id);
    }

    pub(crate) fn close(&mut self, id: ConnId, how: CloseHow) {
        match how {
            CloseHow::Flush => {
                self.conns.get_mut(&id).into_iter().for_each(|entry| entry.conn.flush());
                self.again(id);
            }
            CloseHow::Reset => {
                self.conns.remove(&id).into_iter().for_each(|entry| entry.conn.reset());
            }
        }
    }

    /// Accepts one connection.
    pub(crate) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Input<'static>> {
        for at in 0..self.listeners.len() {
            let listener = &mut self.listeners[at];
            if let Poll::Ready((stream, local, remote)) = listener.poll_accept(cx) {
                let socket = listener.id;
                let conn = ConnId(2 * self.accepted + 1);
                self.accepted += 1;
                self.insert(conn, Stage::Open(stream), Conn::accepted);
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
        if let Some(entry) = self.conns.get(&id) {
            // A swap, so that whatever made the last waker wake is seen by what follows.
            entry.wake.queued.swap(false, Ordering::AcqRel);
        }
        Poll::Ready(id)
    }

    /// Has a connection's turn come again after all others.
    pub(crate) fn again(&self, id: ConnId) {
        if let Some(entry) = self.conns.get(&id) {
            entry.wake.wake_by_ref();
        }
    }

    /// Does one thing for a connection; to be called until `None`.
    pub(crate) fn step<'b>(&mut self, id: ConnId, buffer: &'b mut [u8]) -> Option<Input<'b>> {
        let input = self.conns.get_mut(&id)?.conn.step(buffer)?;
        if matches!(input, Input::Closed { .. }) {
            self.conns.remove(&id);
        }
        Some(input)
    }

    fn insert(&mut self, id: ConnId, stage: Stage, begin: fn(ConnId, Tracked) -> Conn<Tracked>) {
        let wake = Arc::new(ConnWake { id, queued: AtomicBool::new(false), ready: self.wake.clone() });
        let waker = Waker::from(Arc::clone(&wake));
        wake.wake_by_ref();
        self.conns.insert(id, Entry { conn: begin(id, Tracked { stage, waker }), wake });
    }
}

struct Entry {
    conn: Conn<Tracked>,
    wake: Arc<ConnWake>,
}

/// A stream that wakes its connection when it may go on.
struct Tracked {
    stage: Stage,
    waker: Waker,
}

enum Stage {
    Opening(Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>),
    Open(TcpStream),
}

impl Tracked {
    /// Polls the stream with the connection's waker.
    fn poll<R>(
        &mut self,
        act: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> io::Result<R> {
        let Stage::Open(stream) = &mut self.stage else { return Err(io::ErrorKind::NotConnected.into()) };
        done(act(Pin::new(stream), &mut Context::from_waker(&self.waker)))
    }
}

impl Stream for Tracked {
    fn open(&mut self) -> io::Result<SocketAddr> {
        if let Stage::Opening(opening) = &mut self.stage {
            let stream = done(opening.as_mut().poll(&mut Context::from_waker(&self.waker)))?;
            self.stage = Stage::Open(stream);
        }
        self.poll(|stream, _| Poll::Ready(stream.local_addr()))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut into = ReadBuf::new(buffer);
        self.poll(|stream, cx| stream.poll_read(cx, &mut into))?;
        Ok(into.filled().len())
    }

    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.poll(|stream, cx| stream.poll_write(cx, data))
    }

    fn socket(&self) -> SockRef<'_> {
        match &self.stage {
            Stage::Open(stream) => SockRef::from(stream),
            Stage::Opening(_) => panic!("only an open stream is asked for its socket"),
        }
    }
}

fn done<R>(polled: Poll<io::Result<R>>) -> io::Result<R> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

struct Listener {
    id: SocketId,
    socket: TcpListener,
    rest: Option<Pin<Box<Sleep>>>,
}

impl Listener {
    fn bind(id: SocketId, addr: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::from_std(sansip_net::listen(addr)?)?;
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
                    return Poll::Ready((stream, local, remote));
                }
                // The system is short of something, most likely of files: trying again at once would only burn time.
                Err(_) => self.rest = Some(Box::pin(sleep(REST))),
            }
        }
    }
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
