use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use async_channel::{Receiver, Sender, unbounded};
use async_io::Async;
use bytes::Bytes;
use futures_lite::Stream as _;
use sansip::{CloseHow, ConnId, DnsError, DnsName, Input, Instant, PeerInfo, QueryId, RecordKind, SocketId};
use sansip_net::{Buffer, Calls, Conn, Datagrams, Hands, OwnLookups, Stream, listen, now};
use socket2::SockRef;

/// All sockets of a node, and a list of those that may go on.
///
/// Each has a waker of its own which puts it on the list, so a round costs what is ready and not what is open.
pub(crate) struct Sources {
    open: HashMap<Token, Source>,
    udp: Datagrams<Async<UdpSocket>>,
    turns: Arc<Mutex<Turns>>,
    /// Until when listeners rest, because the system is short of something.
    rest: Option<Instant>,
    accepted: u64,
    lookups: OwnLookups,
    /// Bounded as look-ups are.
    answer: Sender<Input<'static>>,
    answers: Pin<Box<Receiver<Input<'static>>>>,
}

struct Source {
    kind: Kind,
    wake: Arc<SourceWake>,
    waker: Waker,
}

enum Kind {
    Udp(SocketId),
    Listener(SocketId, Async<TcpListener>),
    Conn(Box<Conn<Tcp>>),
}

impl Sources {
    pub(crate) fn new(lookups: OwnLookups) -> Self {
        let (answer, answers) = unbounded();
        Self {
            open: HashMap::new(),
            udp: Datagrams::default(),
            turns: Arc::default(),
            rest: None,
            accepted: 0,
            lookups,
            answer,
            answers: Box::pin(answers),
        }
    }

    /// Has a task woken when a socket may go on.
    pub(crate) fn watch(&mut self, task: &Waker) {
        lock(&self.turns).task = Some(task.clone());
        if self.rest.take_if(|rest| *rest <= now()).is_some() {
            let listens = |source: &&Source| matches!(source.kind, Kind::Listener(..));
            self.open.values().filter(listens).for_each(|source| source.wake.wake_by_ref());
        }
    }

    /// Tells until when listeners rest, if they do.
    pub(crate) const fn rest(&self) -> Option<Instant> {
        self.rest
    }

    /// Tells when datagrams that wait for room are to be tried again, if any wait.
    pub(crate) fn room(&self) -> Option<Instant> {
        self.udp.room(now())
    }

    /// Tells whether a socket may go on.
    pub(crate) fn has_ready(&self) -> bool {
        !lock(&self.turns).ready.is_empty()
    }

    /// Takes a socket that may go on off the list.
    pub(crate) fn next_ready(&self) -> Option<Token> {
        let mut turns = lock(&self.turns);
        let token = turns.ready.pop_front()?;
        turns.listed.remove(&token);
        Some(token)
    }

    /// Takes one thing from a socket, or leaves datagrams in the buffer. Until it has nothing more, its turn comes again after all others.
    pub(crate) fn step<'b>(&mut self, token: Token, buffer: &'b mut Buffer) -> Option<Input<'b>> {
        let source = self.open.get_mut(&token)?;
        let mut cx = Context::from_waker(&source.waker);
        let input = match &mut source.kind {
            Kind::Udp(id) => {
                let udp = self.udp.get(*id)?;
                loop {
                    if udp.receive(buffer).is_ok() {
                        self.wake(token);
                        return None;
                    }
                    let told = udp.complaint();
                    // The news may be older than the attempt; it is told once.
                    if told.is_some() || !matches!(udp.socket().poll_readable(&mut cx), Poll::Ready(Ok(()))) {
                        break told;
                    }
                }
            }
            Kind::Conn(conn) => conn.step(buffer.bytes()),
            Kind::Listener(..) if self.rest.is_some() => None,
            Kind::Listener(id, listener) => {
                let (id, accepted) = (*id, readable(listener, &mut cx, TcpListener::accept));
                let admitted = accepted.and_then(|new| self.admit(id, new));
                // Short of files or the like, trying again at once would only burn time.
                let failed = |error: &io::Error| error.kind() != io::ErrorKind::WouldBlock;
                self.rest = admitted.as_ref().err().filter(|error| failed(error)).map(|_| now() + REST);
                admitted.ok()
            }
        }?;
        if matches!(input, Input::Closed { .. }) {
            self.open.remove(&token);
        }
        self.wake(token);
        Some(input)
    }

    /// Returns what a look-up found.
    pub(crate) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Input<'static>> {
        match self.answers.as_mut().poll_next(cx) {
            Poll::Ready(Some(answer)) => Poll::Ready(answer),
            // The channel cannot end, as this end of it holds a sender.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn admit(&mut self, socket: SocketId, new: (TcpStream, SocketAddr)) -> io::Result<Input<'static>> {
        let (stream, remote) = new;
        let (conn, local) = (ConnId(2 * self.accepted + 1), stream.local_addr()?);
        let stage = Stage::Open(Async::new(stream)?);
        self.insert_conn(conn, stage, Conn::accepted);
        self.accepted += 1;
        Ok(Input::Accepted { socket, conn, local, remote, peer: PeerInfo::default() })
    }

    fn insert_conn(&mut self, id: ConnId, stage: Stage, begin: fn(ConnId, Tcp) -> Conn<Tcp>) {
        self.insert(Token::Conn(id), |waker| {
            Kind::Conn(Box::new(begin(id, Tcp { stage, waker: waker.clone() })))
        });
    }

    fn insert(&mut self, token: Token, kind: impl FnOnce(&Waker) -> Kind) {
        let wake = Arc::new(SourceWake { token, turns: Arc::clone(&self.turns) });
        let waker = Waker::from(Arc::clone(&wake));
        self.open.insert(token, Source { kind: kind(&waker), wake, waker });
        self.wake(token);
    }

    fn wake(&self, token: Token) {
        if let Some(source) = self.open.get(&token) {
            source.wake.wake_by_ref();
        }
    }

    /// Has a connection do something when its turn comes.
    fn on_conn(&mut self, id: ConnId, act: impl FnOnce(&mut Conn<Tcp>)) {
        if let Some(Source { kind: Kind::Conn(conn), .. }) = self.open.get_mut(&Token::Conn(id)) {
            act(conn);
            self.wake(Token::Conn(id));
        }
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        // Waiting for its thread would hold up the executor's.
        std::mem::take(&mut self.lookups).leave();
    }
}

impl Hands for Sources {
    type Udp = Async<UdpSocket>;

    fn datagrams(&mut self) -> &mut Datagrams<Async<UdpSocket>> {
        &mut self.udp
    }

    fn bind(&mut self, id: SocketId, addr: SocketAddr) -> io::Result<SocketAddr> {
        let calls: Calls<Async<UdpSocket>> = (
            |socket, bytes| socket.get_ref().recv_from(bytes),
            |socket, payload, remote| socket.get_ref().send_to(payload, remote),
        );
        let local = self.udp.bind(id, addr, Async::new_nonblocking, calls)?;
        self.insert(Token::Socket(id), |_| Kind::Udp(id));
        Ok(local)
    }

    fn listen(&mut self, id: SocketId, addr: SocketAddr) -> io::Result<SocketAddr> {
        let listener = Async::new_nonblocking(listen(addr)?)?;
        let local = listener.get_ref().local_addr()?;
        self.insert(Token::Socket(id), |_| Kind::Listener(id, listener));
        Ok(local)
    }

    fn unbind(&mut self, id: SocketId) {
        self.open.remove(&Token::Socket(id));
        self.udp.unbind(id);
    }

    fn connect(&mut self, id: ConnId, remote: SocketAddr) -> io::Result<()> {
        let opening = Stage::Opening(Box::pin(Async::<TcpStream>::connect(remote)));
        self.insert_conn(id, opening, Conn::opening);
        Ok(())
    }

    fn send(&mut self, id: ConnId, data: Bytes) {
        self.on_conn(id, |conn| conn.send(&data));
    }

    fn close(&mut self, id: ConnId, how: CloseHow) {
        match how {
            CloseHow::Flush => self.on_conn(id, Conn::flush),
            CloseHow::Reset => {
                if let Some(Kind::Conn(conn)) = self.open.remove(&Token::Conn(id)).map(|source| source.kind) {
                    conn.reset();
                }
            }
        }
    }

    fn resolve(&mut self, id: QueryId, name: DnsName, kind: RecordKind) -> Result<(), DnsError> {
        let answer = self.answer.clone();
        // The node may have ended when there is an answer.
        self.lookups.start(id, name, kind, move |found| drop(answer.try_send(found)))
    }
}

/// A stream that wakes its connection when it may go on.
struct Tcp {
    stage: Stage,
    waker: Waker,
}

enum Stage {
    Opening(Pin<Box<dyn Future<Output = io::Result<Async<TcpStream>>> + Send>>),
    Open(Async<TcpStream>),
}

impl Tcp {
    fn opened(&self) -> io::Result<&Async<TcpStream>> {
        match &self.stage {
            Stage::Open(stream) => Ok(stream),
            Stage::Opening(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Stream for Tcp {
    fn open(&mut self) -> io::Result<SocketAddr> {
        if let Stage::Opening(opening) = &mut self.stage {
            match opening.as_mut().poll(&mut Context::from_waker(&self.waker)) {
                Poll::Ready(stream) => self.stage = Stage::Open(stream?),
                Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
            }
        }
        self.opened()?.get_ref().local_addr()
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        readable(self.opened()?, &mut Context::from_waker(&self.waker), |mut stream| stream.read(buffer))
    }

    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let (stream, mut cx) = (self.opened()?, Context::from_waker(&self.waker));
        attempt(|| stream.get_ref().write(data), || stream.poll_writable(&mut cx))
    }

    fn socket(&self) -> SockRef<'_> {
        match &self.stage {
            Stage::Open(stream) => SockRef::from(stream.get_ref()),
            Stage::Opening(_) => panic!("only an open stream is asked for its socket"),
        }
    }
}

fn readable<'s, S, R>(
    socket: &'s Async<S>,
    cx: &mut Context<'_>,
    mut act: impl FnMut(&'s S) -> io::Result<R>,
) -> io::Result<R> {
    attempt(|| act(socket.get_ref()), || socket.poll_readable(cx))
}

/// Does something, or fails with [`WouldBlock`](io::ErrorKind::WouldBlock) and has a waker wait for its time.
fn attempt<R>(
    mut act: impl FnMut() -> io::Result<R>,
    mut poll: impl FnMut() -> Poll<io::Result<()>>,
) -> io::Result<R> {
    loop {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match poll() {
                // The news may be older than the attempt; it is told once.
                Poll::Ready(news) => news?,
                Poll::Pending => return Err(error),
            },
            done => return done,
        }
    }
}

/// Which socket or connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Token {
    Socket(SocketId),
    Conn(ConnId),
}

/// Whose turn it is, and whom to tell of it.
#[derive(Default)]
struct Turns {
    ready: VecDeque<Token>,
    /// Those on the list: each is there once, so it is bounded.
    listed: std::collections::HashSet<Token>,
    task: Option<Waker>,
}

struct SourceWake {
    token: Token,
    turns: Arc<Mutex<Turns>>,
}

impl Wake for SourceWake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut turns = lock(&self.turns);
        if turns.listed.insert(self.token) {
            turns.ready.push_back(self.token);
            // The task takes all that is listed, so one call is enough.
            let task = turns.task.take();
            drop(turns);
            task.into_iter().for_each(Waker::wake);
        }
    }
}

/// Takes the lock. What it protects is whole even after a panic.
fn lock(turns: &Mutex<Turns>) -> MutexGuard<'_, Turns> {
    turns.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long listeners rest that cannot accept.
const REST: Duration = Duration::from_millis(100);
