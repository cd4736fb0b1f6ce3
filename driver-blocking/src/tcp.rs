use std::{
    collections::{HashMap, VecDeque},
    io::{self, Read as _},
    net::{Shutdown, SocketAddr},
    sync::Arc,
    thread,
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use sansip::{CloseHow, ConnId, Input, Instant, IoKind, Machine, PeerInfo, Proto, SocketId};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    clock::now,
    engine::{Engine, Shared},
};

/// All listeners and connections of a node.
#[derive(Default)]
pub(crate) struct Tcp {
    listeners: Vec<(SocketId, Arc<Socket>)>,
    conns: HashMap<ConnId, Conn>,
    accepted: u64,
    lingering: VecDeque<(Instant, ConnId)>,
}

struct Conn {
    socket: Arc<Socket>,
    stage: Stage,
    unsent: VecDeque<Bytes>,
    writer: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Opening,
    Live,
    /// The machine is done with it: what is unsent goes out, then its end is told and the peer's awaited.
    Closing,
    /// The same, and the peer's end has come.
    Draining,
}

impl Stage {
    fn is_over(self) -> bool {
        matches!(self, Self::Closing | Self::Draining)
    }
}

impl<M: Machine + Send + 'static> Shared<M> {
    pub(crate) fn listen(
        self: &Arc<Self>,
        engine: &mut Engine<M>,
        id: SocketId,
        addr: SocketAddr,
    ) -> io::Result<SocketAddr> {
        let listener = Arc::new(listener(addr)?);
        let local = ip(&listener.local_addr()?)?;
        let socket = Arc::clone(&listener);
        self.spawn(engine, "sansip-accept", move |shared| shared.accept(id, &socket))?;
        engine.tcp.listeners.push((id, listener));
        Ok(local)
    }

    pub(crate) fn connect(
        self: &Arc<Self>,
        engine: &mut Engine<M>,
        conn: ConnId,
        proto: Proto,
        remote: SocketAddr,
    ) -> Result<(), IoKind> {
        if proto != Proto::Tcp {
            return Err(IoKind::Unsupported);
        }
        let socket = Socket::new(Domain::for_address(remote), Type::STREAM, Some(Protocol::TCP));
        let socket = Arc::new(socket.map_err(|error| IoKind::from(&error))?);
        engine.tcp.insert(conn, Arc::clone(&socket), Stage::Opening);
        self.serve(engine, conn, move |shared| {
            let opened = socket.connect(&remote.into()).and_then(|()| ip(&socket.local_addr()?));
            let opened = opened.map_err(|error| IoKind::from(&error));
            if shared.enter(|engine, _| engine.opened(conn, opened)) == Some(true) {
                shared.read(conn, &socket);
            }
        })
    }

    /// Writes as much as the kernel takes at once, and leaves the rest to a thread.
    pub(crate) fn send(self: &Arc<Self>, engine: &mut Engine<M>, id: ConnId, data: Bytes) {
        let Some(conn) = engine.tcp.conns.get_mut(&id).filter(|_| !data.is_empty()) else { return };
        let idle = conn.unsent.is_empty();
        conn.unsent.push_back(data);
        if !idle || conn.stage != Stage::Live {
            return;
        }
        match conn.write_at_once() {
            Ok(0) => {}
            Ok(bytes) => engine.feed(Input::Drained { conn: id, bytes }),
            Err(error) => return engine.closed(id, Some(error)),
        }
        self.write_later(engine, id);
    }

    /// Starts a thread that writes what is unsent, unless there is nothing or there is one.
    fn write_later(self: &Arc<Self>, engine: &mut Engine<M>, id: ConnId) {
        let Some(conn) = engine.tcp.conns.get_mut(&id) else { return };
        if conn.unsent.is_empty() || conn.writer {
            return;
        }
        conn.writer = true;
        let socket = Arc::clone(&conn.socket);
        if self.spawn(engine, "sansip-write", move |shared| shared.write(id, &socket)).is_err() {
            engine.closed(id, Some(IoKind::Exhausted));
        }
    }

    fn write(self: &Arc<Self>, id: ConnId, socket: &Socket) {
        loop {
            // The lock is let go of before the write, which may take long.
            let Some(data) = self.lock().tcp.next_piece(id) else { return };
            let written = socket.send(&data).map_err(|error| IoKind::from(&error));
            self.enter_or_close(id, |engine| engine.written(id, written));
        }
    }

    fn read(self: &Arc<Self>, id: ConnId, socket: &Socket) {
        let mut buffer = vec![0; BUFFER];
        let mut from = socket;
        loop {
            let end = match from.read(&mut buffer) {
                Ok(0) => None,
                Ok(len) => {
                    let data = &buffer[..len];
                    if !self.enter_or_close(id, |engine| engine.received(id, data)) {
                        return;
                    }
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Some(IoKind::from(&error)),
            };
            self.enter_or_close(id, |engine| {
                engine.closed(id, end);
                false
            });
            return;
        }
    }

    /// Runs `f` on the engine, or merely on the connection when the machine is done; returns whether it lives on.
    fn enter_or_close(self: &Arc<Self>, id: ConnId, f: impl FnOnce(&mut Engine<M>) -> bool) -> bool {
        let mut f = Some(f);
        let mut run = |engine: &mut Engine<M>| f.take().is_some_and(|f| f(engine));
        match self.enter(|engine, _| run(engine)) {
            Some(lives) => lives,
            None => {
                let mut engine = self.lock();
                let lives = run(&mut engine);
                self.look_again();
                lives && engine.tcp.conns.contains_key(&id)
            }
        }
    }

    fn accept(self: &Arc<Self>, id: SocketId, listener: &Socket) {
        let mut rest = REST;
        loop {
            let accepted = listener.accept().and_then(|(socket, remote)| {
                let local = ip(&socket.local_addr()?)?;
                Ok((Arc::new(socket), local, ip(&remote)?))
            });
            if !self.lock().tcp.listeners.iter().any(|(listening, _)| *listening == id) {
                return;
            }
            match accepted {
                Ok((socket, local, remote)) => {
                    rest = REST;
                    // Best effort: it only makes small messages faster.
                    let _ = socket.set_tcp_nodelay(true);
                    self.admit(id, socket, local, remote);
                }
                // The system is short of something, most likely of files: trying again at once would only burn time.
                Err(_) => {
                    thread::sleep(rest);
                    rest = (rest * 2).min(REST_MAX);
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, socket: SocketId, stream: Arc<Socket>, local: SocketAddr, remote: SocketAddr) {
        let new = self.enter(|engine, _| {
            let conn = ConnId(2 * engine.tcp.accepted + 1);
            engine.tcp.accepted += 1;
            engine.tcp.insert(conn, Arc::clone(&stream), Stage::Live);
            engine.feed(Input::Accepted { socket, conn, local, remote, peer: PeerInfo::default() });
            conn
        });
        // The machine has had its say by now, and may have closed it.
        if let Some(conn) = new {
            self.enter(|engine, _| {
                let lives = engine.tcp.conns.contains_key(&conn);
                if lives
                    && let Err(error) = self.serve(engine, conn, move |shared| shared.read(conn, &stream))
                {
                    engine.feed(Input::Closed { conn, error: Some(error) });
                }
            });
        }
    }

    /// Starts the thread of a connection, or forgets the connection.
    fn serve(
        self: &Arc<Self>,
        engine: &mut Engine<M>,
        conn: ConnId,
        work: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> Result<(), IoKind> {
        self.spawn(engine, "sansip-tcp", work).map_err(|_| {
            engine.tcp.conns.remove(&conn);
            IoKind::Exhausted
        })
    }
}

impl<M: Machine> Engine<M> {
    /// Takes the outcome of connecting, and returns whether to go on.
    fn opened(&mut self, id: ConnId, opened: Result<SocketAddr, IoKind>) -> bool {
        let Some(conn) = self.tcp.conns.get_mut(&id) else { return false };
        match opened {
            Ok(local) => {
                conn.stage = Stage::Live;
                let _ = conn.socket.set_tcp_nodelay(true);
                self.feed(Input::Connected { conn: id, local, peer: PeerInfo::default() });
                true
            }
            Err(error) => {
                self.closed(id, Some(error));
                false
            }
        }
    }

    fn received(&mut self, id: ConnId, data: &[u8]) -> bool {
        let Some(conn) = self.tcp.conns.get(&id) else { return false };
        // Closing with bytes unread would reset the connection under what was flushed, so they are read and dropped.
        if conn.stage == Stage::Live && !self.is_closing() {
            self.feed(Input::Received { conn: id, data });
        }
        true
    }

    fn written(&mut self, id: ConnId, written: Result<usize, IoKind>) -> bool {
        let closing = self.is_closing();
        let Some(conn) = self.tcp.conns.get_mut(&id) else { return false };
        match written {
            Ok(bytes) => {
                conn.advance(bytes);
                conn.finish();
                if conn.stage == Stage::Draining && conn.unsent.is_empty() {
                    self.tcp.conns.remove(&id);
                } else if !conn.stage.is_over() && !closing {
                    self.feed(Input::Drained { conn: id, bytes });
                }
                true
            }
            Err(error) => {
                self.closed(id, Some(error));
                false
            }
        }
    }

    /// Forgets a connection that has ended; what the machine wrote before it knew still goes out.
    fn closed(&mut self, id: ConnId, error: Option<IoKind>) {
        let Some(conn) = self.tcp.conns.get_mut(&id) else { return };
        let told = conn.stage.is_over();
        if error.is_none() && !conn.unsent.is_empty() {
            self.tcp.linger(id, Stage::Draining);
        } else if let Some(conn) = self.tcp.conns.remove(&id) {
            conn.abandon();
        }
        if !told && !self.is_closing() {
            self.feed(Input::Closed { conn: id, error });
        }
    }
}

impl Tcp {
    pub(crate) fn unlisten(&mut self, id: SocketId) {
        for (_, socket) in self.listeners.extract_if(.., |(listening, _)| *listening == id) {
            // It wakes the thread in `accept`.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn close(&mut self, id: ConnId, how: CloseHow) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if conn.stage == Stage::Live && how == CloseHow::Flush {
            self.linger(id, Stage::Closing);
        } else if let Some(conn) = self.conns.remove(&id) {
            // Best effort: without it the peer sees an orderly end.
            let _ = conn.socket.set_linger(Some(Duration::ZERO));
            conn.abandon();
        }
    }

    /// Stops listening, and flushes and closes every connection.
    pub(crate) fn close_all(&mut self) {
        while let Some((id, _)) = self.listeners.first() {
            self.unlisten(*id);
        }
        let ids: Vec<_> = self.conns.iter().filter(|(_, c)| !c.stage.is_over()).map(|(id, _)| *id).collect();
        for id in ids {
            self.close(id, CloseHow::Flush);
        }
    }

    /// Ends all at once.
    pub(crate) fn abandon(&mut self) {
        self.close_all();
        self.conns.drain().for_each(|(_, conn)| conn.abandon());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.conns.is_empty()
    }

    /// Ends what lingers too long, and returns when to call again.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Instant> {
        while let Some((deadline, id)) = self.lingering.front() {
            if *deadline > now {
                break;
            }
            self.conns.remove(id).into_iter().for_each(Conn::abandon);
            self.lingering.pop_front();
        }
        self.lingers_until()
    }

    pub(crate) fn lingers_until(&self) -> Option<Instant> {
        self.lingering.front().map(|(deadline, _)| *deadline)
    }

    fn linger(&mut self, id: ConnId, stage: Stage) {
        if self.lingering.len() >= LINGERING
            && let Some((_, oldest)) = self.lingering.pop_front()
        {
            self.conns.remove(&oldest).into_iter().for_each(Conn::abandon);
        }
        if let Some(conn) = self.conns.get_mut(&id) {
            if !conn.stage.is_over() {
                self.lingering.push_back((now() + LINGER, id));
            }
            conn.stage = stage;
            conn.finish();
        }
    }

    fn insert(&mut self, id: ConnId, socket: Arc<Socket>, stage: Stage) {
        self.conns.insert(id, Conn { socket, stage, unsent: VecDeque::new(), writer: false });
    }

    fn next_piece(&mut self, id: ConnId) -> Option<Bytes> {
        let conn = self.conns.get_mut(&id)?;
        conn.writer = !conn.unsent.is_empty();
        conn.unsent.front().cloned()
    }
}

impl Conn {
    /// Tells the peer our end if the machine is done and nothing is unsent.
    fn finish(&self) {
        if self.stage.is_over() && self.unsent.is_empty() {
            // If the peer was faster, there is nothing to tell.
            let _ = self.socket.shutdown(Shutdown::Write);
        }
    }

    /// Wakes the threads of a connection that nobody knows any more; the last of them closes it.
    fn abandon(self) {
        let how = if self.writer || self.stage != Stage::Live { Shutdown::Both } else { Shutdown::Read };
        let _ = self.socket.shutdown(how);
    }

    fn write_at_once(&mut self) -> Result<usize, IoKind> {
        let Some(data) = self.unsent.front() else { return Ok(0) };
        match self.send_some(data) {
            Ok(bytes) => {
                self.advance(bytes);
                Ok(bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(IoKind::from(&error)),
        }
    }

    /// The flags are `MSG_DONTWAIT | MSG_NOSIGNAL`.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn send_some(&self, data: &[u8]) -> io::Result<usize> {
        self.socket.send_with_flags(data, 0x40 | 0x4000)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn send_some(&self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn advance(&mut self, bytes: usize) {
        if let Some(first) = self.unsent.front_mut() {
            first.advance(bytes.min(first.len()));
            if first.is_empty() {
                self.unsent.pop_front();
            }
        }
    }
}

fn listener(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // On Windows the option would let two programs share the port.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn ip(addr: &socket2::SockAddr) -> io::Result<SocketAddr> {
    addr.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// For how long a connection is kept that the machine has closed.
pub(crate) const LINGER: Duration = Duration::from_secs(5);

/// Connections kept so at once; beyond, the oldest goes.
const LINGERING: usize = 4096;

/// The first and the longest rest of a listener that cannot accept.
const REST: Duration = Duration::from_millis(10);
const REST_MAX: Duration = Duration::from_millis(500);

const BACKLOG: i32 = 1024;

/// Bytes read at once; each connection has its own.
const BUFFER: usize = 8 * 1024;
