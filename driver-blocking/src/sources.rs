use std::{
    collections::{HashMap, VecDeque},
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use bytes::Bytes;
use mio::{
    Events, Interest, Poll, Token, Waker,
    net::{TcpListener, TcpStream, UdpSocket},
};
use sansip::{CloseHow, ConnId, DnsError, DnsName, Input, Instant, PeerInfo, QueryId, RecordKind, SocketId};
use sansip_net::{Buffer, Conn, Datagrams, Hands, OwnLookups, Stream, listen, now};
use socket2::SockRef;

/// All that may have something for the machine, and a list of what has.
pub(crate) struct Sources {
    open: HashMap<Token, Source>,
    udp: Datagrams<UdpSocket>,
    /// Each of them once, so it is bounded.
    pub(crate) ready: VecDeque<Token>,
    /// Until when listeners rest, because the system is short of something.
    rest: Option<Instant>,
    accepted: u64,
    lookups: OwnLookups,
    answers: Sender<Input<'static>>,
    waker: Arc<Waker>,
    events: Events,
    poll: Poll,
}

struct Source {
    kind: Kind,
    /// It is on the list.
    ready: bool,
}

enum Kind {
    Udp(SocketId),
    Listener(SocketId, TcpListener),
    Conn(Conn<Tcp>),
    Answers(Receiver<Input<'static>>),
}

impl Sources {
    /// Makes a collection without sockets, and what ends its wait from elsewhere.
    pub(crate) fn new() -> io::Result<(Self, Arc<Waker>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), ANSWERS)?);
        let (answers, answered) = channel();
        let sources = Self {
            open: [(ANSWERS, Source { kind: Kind::Answers(answered), ready: false })].into(),
            udp: Datagrams::default(),
            ready: VecDeque::new(),
            rest: None,
            accepted: 0,
            lookups: OwnLookups::default(),
            answers,
            waker: Arc::clone(&waker),
            events: Events::with_capacity(EVENTS),
            poll,
        };
        Ok((sources, waker))
    }

    /// Waits until a source may go on, the waker wakes, or `due` has come.
    pub(crate) fn wait(&mut self, due: Instant) {
        let due = [self.rest, self.udp.room(now())].into_iter().flatten().fold(due, Instant::min);
        let timeout = if self.ready.is_empty() { due.since(now()) } else { Duration::ZERO };
        if let Err(error) = self.poll.poll(&mut self.events, Some(timeout)) {
            assert_eq!(
                error.kind(),
                io::ErrorKind::Interrupted,
                "only a signal may end the wait, not {error}"
            );
        }
        let mut woken: Vec<Token> = self.events.iter().map(|event| event.token()).collect();
        if self.rest.take_if(|rest| *rest <= now()).is_some() {
            let listens = |(_, source): &(_, &Source)| matches!(source.kind, Kind::Listener(..));
            woken.extend(self.open.iter().filter(listens).map(|(token, _)| token));
        }
        woken.into_iter().for_each(|token| self.wake(token));
    }

    /// Takes one thing from a source, or leaves datagrams in the buffer. Until it has nothing more, its turn comes again after all others.
    pub(crate) fn step<'b>(&mut self, token: Token, buffer: &'b mut Buffer) -> Option<Input<'b>> {
        let source = self.open.get_mut(&token)?;
        source.ready = false;
        let input = match &mut source.kind {
            Kind::Udp(id) => {
                let udp = self.udp.get(*id)?;
                if udp.receive(buffer).is_ok() {
                    self.wake(token);
                    return None;
                }
                udp.complaint()
            }
            Kind::Conn(conn) => conn.step(buffer.bytes()),
            Kind::Answers(answers) => answers.try_recv().ok(),
            Kind::Listener(..) if self.rest.is_some() => None,
            Kind::Listener(id, listener) => {
                let (id, accepted) = (*id, listener.accept());
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

    fn admit(&mut self, socket: SocketId, new: (TcpStream, SocketAddr)) -> io::Result<Input<'static>> {
        let (stream, remote) = new;
        let (conn, local) = (ConnId(2 * self.accepted + 1), stream.local_addr()?);
        self.insert(of_conn(conn), Kind::Conn(Conn::accepted(conn, Tcp(stream))))?;
        self.accepted += 1;
        Ok(Input::Accepted { socket, conn, local, remote, peer: PeerInfo::default() })
    }

    fn insert(&mut self, token: Token, mut kind: Kind) -> io::Result<()> {
        let (registry, both) = (self.poll.registry(), Interest::READABLE | Interest::WRITABLE);
        match &mut kind {
            Kind::Listener(_, listener) => registry.register(listener, token, Interest::READABLE)?,
            Kind::Conn(conn) => registry.register(&mut conn.stream_mut().0, token, both)?,
            Kind::Udp(_) | Kind::Answers(_) => {}
        }
        self.open.insert(token, Source { kind, ready: false });
        Ok(())
    }

    fn wake(&mut self, token: Token) {
        if let Some(source) = self.open.get_mut(&token).filter(|source| !source.ready) {
            source.ready = true;
            self.ready.push_back(token);
        }
    }

    /// Has a connection do something when its turn comes.
    fn on_conn(&mut self, id: ConnId, act: impl FnOnce(&mut Conn<Tcp>)) {
        if let Some(Source { kind: Kind::Conn(conn), .. }) = self.open.get_mut(&of_conn(id)) {
            act(conn);
            self.wake(of_conn(id));
        }
    }
}

impl Hands for Sources {
    type Udp = UdpSocket;

    fn datagrams(&mut self) -> &mut Datagrams<UdpSocket> {
        &mut self.udp
    }

    fn bind(&mut self, id: SocketId, addr: SocketAddr) -> io::Result<SocketAddr> {
        let open = |socket| {
            let mut socket = UdpSocket::from_std(socket);
            self.poll.registry().register(&mut socket, of_socket(id), Interest::READABLE)?;
            Ok(socket)
        };
        let local = self.udp.bind(id, addr, open, (UdpSocket::recv_from, UdpSocket::send_to))?;
        self.insert(of_socket(id), Kind::Udp(id)).map(|()| local)
    }

    fn listen(&mut self, id: SocketId, addr: SocketAddr) -> io::Result<SocketAddr> {
        let listener = TcpListener::from_std(listen(addr)?);
        let local = listener.local_addr()?;
        self.insert(of_socket(id), Kind::Listener(id, listener)).map(|()| local)
    }

    fn unbind(&mut self, id: SocketId) {
        self.open.remove(&of_socket(id));
        self.udp.unbind(id);
    }

    fn connect(&mut self, id: ConnId, remote: SocketAddr) -> io::Result<()> {
        self.insert(of_conn(id), Kind::Conn(Conn::opening(id, Tcp(TcpStream::connect(remote)?))))
    }

    fn send(&mut self, id: ConnId, data: Bytes) {
        self.on_conn(id, |conn| conn.send(&data));
    }

    fn close(&mut self, id: ConnId, how: CloseHow) {
        match how {
            CloseHow::Flush => self.on_conn(id, Conn::flush),
            CloseHow::Reset => {
                if let Some(Kind::Conn(conn)) = self.open.remove(&of_conn(id)).map(|source| source.kind) {
                    conn.reset();
                }
            }
        }
    }

    fn resolve(&mut self, id: QueryId, name: DnsName, kind: RecordKind) -> Result<(), DnsError> {
        let (answers, waker) = (self.answers.clone(), Arc::clone(&self.waker));
        self.lookups.start(id, name, kind, move |answer| {
            // The node may have ended.
            let _ = answers.send(answer);
            let _ = waker.wake();
        })
    }
}

struct Tcp(TcpStream);

impl Stream for Tcp {
    fn open(&mut self) -> io::Result<SocketAddr> {
        if let Some(error) = self.0.take_error()? {
            return Err(error);
        }
        // Without a peer and without an error it is still on its way.
        self.0.peer_addr().map_err(|_| io::ErrorKind::WouldBlock)?;
        self.0.local_addr()
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }

    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write(data)
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.0)
    }
}

/// Odd, as those of connections are even.
fn of_socket(id: SocketId) -> Token {
    Token((id.0 as usize) << 1 | 1)
}

fn of_conn(id: ConnId) -> Token {
    Token((id.0 as usize) << 1)
}

/// The waker's, and that of what look-ups found. No socket has it.
const ANSWERS: Token = Token(usize::MAX);

/// Sources told ready at once.
const EVENTS: usize = 1024;

/// How long listeners rest that cannot accept.
const REST: Duration = Duration::from_millis(100);
