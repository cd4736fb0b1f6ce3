use std::{
    collections::{HashMap, VecDeque},
    io::{self, Read as _},
    net::{Shutdown, SocketAddr},
    sync::Arc,
    thread,
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use sansip::{CloseHow, ConnId, Input, IoKind, Machine, PeerInfo, Proto, SocketId};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::engine::{Engine, Shared};

/// All listeners and connections of a node.
#[derive(Default)]
pub(crate) struct Tcp {
    listeners: Vec<(SocketId, Arc<Socket>)>,
    conns: HashMap<ConnId, Conn>,
    accepted: u64,
}

struct Conn {
    socket: Arc<Socket>,
    unsent: VecDeque<Bytes>,
    /// A thread connects it or writes, and sees to what is unsent.
    busy: bool,
    /// Our end is told when nothing is unsent.
    flushes: bool,
    /// The peer's end has come.
    ended: bool,
}

impl<M: Machine + Send + 'static> Shared<M> {
    pub(crate) fn listen(
        self: &Arc<Self>,
        engine: &mut Engine<M>,
        id: SocketId,
        addr: SocketAddr,
    ) -> io::Result<SocketAddr> {
        let socket = Arc::new(listener(addr)?);
        let (local, waiting) = (ip(&socket.local_addr()?)?, Arc::clone(&socket));
        self.spawn(engine, "sansip-accept", move |shared| shared.accept(id, &waiting))?;
        engine.tcp.listeners.push((id, socket));
        Ok(local)
    }

    pub(crate) fn connect(
        self: &Arc<Self>,
        engine: &mut Engine<M>,
        id: ConnId,
        proto: Proto,
        remote: SocketAddr,
    ) -> io::Result<()> {
        if proto != Proto::Tcp {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let socket = Arc::new(Socket::new(Domain::for_address(remote), Type::STREAM, Some(Protocol::TCP))?);
        engine.tcp.insert(id, &socket, true);
        self.spawn(engine, "sansip-tcp", move |shared| {
            let opened = socket.connect(&remote.into()).and_then(|()| ip(&socket.local_addr()?));
            if shared.enter(|engine| shared.opened(engine, id, opened)) == Some(true) {
                shared.read(id, &socket);
            }
        })
    }

    /// Writes as much as the kernel takes at once, and leaves the rest to a thread.
    pub(crate) fn send(self: &Arc<Self>, engine: &mut Engine<M>, id: ConnId, data: Bytes) {
        let Some(conn) = engine.tcp.conns.get_mut(&id).filter(|_| !data.is_empty()) else { return };
        let written = if conn.busy { Ok(0) } else { send_some(&conn.socket, &data) };
        conn.unsent.push_back(data);
        match written {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                return engine.closed(id, Some(IoKind::from(&error)));
            }
            Err(_) | Ok(0) => {}
            Ok(bytes) => {
                conn.advance(bytes);
                engine.feed(Input::Drained { conn: id, bytes });
            }
        }
        self.write_rest(engine, id);
    }

    /// Starts a thread that writes what is unsent, if there is anything and no such thread.
    fn write_rest(self: &Arc<Self>, engine: &mut Engine<M>, id: ConnId) {
        let Some(conn) = engine.tcp.conns.get_mut(&id).filter(|conn| !conn.busy) else { return };
        let Some(first) = conn.unsent.front().cloned() else { return };
        conn.busy = true;
        let socket = Arc::clone(&conn.socket);
        let writer = self.spawn(engine, "sansip-write", move |shared| {
            let mut next = Some(first);
            while let Some(data) = next {
                let written = socket.send(&data);
                next = shared.enter(|engine| engine.written(id, written)).flatten();
            }
        });
        if writer.is_err() {
            engine.closed(id, Some(IoKind::Exhausted));
        }
    }

    /// Takes the outcome of connecting, and returns whether to go on.
    fn opened(self: &Arc<Self>, engine: &mut Engine<M>, id: ConnId, opened: io::Result<SocketAddr>) -> bool {
        let Some(conn) = engine.tcp.conns.get_mut(&id) else { return false };
        match opened {
            Ok(local) => {
                conn.busy = false;
                no_delay(&conn.socket);
                engine.feed(Input::Connected { conn: id, local, peer: PeerInfo::default() });
                self.write_rest(engine, id);
                engine.finish(id);
            }
            Err(ref error) => engine.closed(id, Some(IoKind::from(error))),
        }
        opened.is_ok()
    }

    fn read(self: &Arc<Self>, id: ConnId, mut socket: &Socket) {
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = socket.read(&mut buffer).map(|len| &buffer[..len]);
            if self.enter(|engine| engine.received(id, read)) != Some(true) {
                return;
            }
        }
    }

    fn accept(self: &Arc<Self>, id: SocketId, listener: &Socket) {
        loop {
            let accepted = listener.accept().and_then(|(socket, remote)| {
                let (local, remote) = (ip(&socket.local_addr()?)?, ip(&remote)?);
                Ok((Arc::new(socket), local, remote))
            });
            let failed = accepted.is_err();
            let listens = self.enter(|engine| {
                let listens = engine.tcp.listeners.iter().any(|(listening, _)| *listening == id);
                if let (true, Ok((stream, local, remote))) = (listens, accepted) {
                    self.admit(engine, id, stream, local, remote);
                }
                listens
            });
            if listens != Some(true) {
                return;
            }
            if failed {
                // The system is short of something, most likely of files: trying again at once would only burn time.
                thread::sleep(REST);
            }
        }
    }

    fn admit(
        self: &Arc<Self>,
        engine: &mut Engine<M>,
        socket: SocketId,
        stream: Arc<Socket>,
        local: SocketAddr,
        remote: SocketAddr,
    ) {
        no_delay(&stream);
        let conn = ConnId(2 * engine.tcp.accepted + 1);
        engine.tcp.accepted += 1;
        engine.tcp.insert(conn, &stream, false);
        engine.feed(Input::Accepted { socket, conn, local, remote, peer: PeerInfo::default() });
        // A connection that the machine does not want gets no thread.
        self.drain(engine);
        if engine.tcp.conns.contains_key(&conn)
            && self.spawn(engine, "sansip-tcp", move |shared| shared.read(conn, &stream)).is_err()
        {
            engine.closed(conn, Some(IoKind::Exhausted));
        }
    }
}

impl<M: Machine> Engine<M> {
    pub(crate) fn close(&mut self, id: ConnId, how: CloseHow) {
        match how {
            CloseHow::Flush => {
                self.tcp.conns.get_mut(&id).into_iter().for_each(|conn| conn.flushes = true);
                self.finish(id);
            }
            CloseHow::Reset => {
                if let Some(conn) = self.tcp.conns.remove(&id) {
                    // Best effort: without it the peer sees an orderly end.
                    let _ = conn.socket.set_linger(Some(Duration::ZERO));
                    conn.abandon();
                }
            }
        }
    }

    /// Forgets a connection that has ended.
    pub(crate) fn closed(&mut self, id: ConnId, error: Option<IoKind>) {
        self.tcp.conns.remove(&id).into_iter().for_each(Conn::abandon);
        self.feed(Input::Closed { conn: id, error });
    }

    /// Takes what was read, and returns whether to go on.
    fn received(&mut self, id: ConnId, read: io::Result<&[u8]>) -> bool {
        let Some(conn) = self.tcp.conns.get_mut(&id) else { return false };
        match read {
            Ok([]) => {
                (conn.ended, conn.flushes) = (true, true);
                self.finish(id);
                return false;
            }
            Ok(data) => self.feed(Input::Received { conn: id, data }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.closed(id, Some(IoKind::from(&error))),
        }
        self.tcp.conns.contains_key(&id)
    }

    /// Takes the outcome of a write, and returns what to write next.
    fn written(&mut self, id: ConnId, written: io::Result<usize>) -> Option<Bytes> {
        let conn = self.tcp.conns.get_mut(&id)?;
        match written {
            Ok(bytes) => {
                conn.advance(bytes);
                let next = conn.unsent.front().cloned();
                conn.busy = next.is_some();
                self.feed(Input::Drained { conn: id, bytes });
                self.finish(id);
                next
            }
            Err(error) => {
                self.closed(id, Some(IoKind::from(&error)));
                None
            }
        }
    }

    /// Tells our end if it is wanted and nothing is unsent; when the peer's has come too, the connection is over.
    fn finish(&mut self, id: ConnId) {
        if let Some(conn) = self.tcp.conns.get(&id).filter(|conn| conn.flushes && !conn.busy) {
            // The peer may be gone.
            let _ = conn.socket.shutdown(Shutdown::Write);
            if conn.ended {
                self.closed(id, None);
            }
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

    /// Ends all at once.
    pub(crate) fn end(&mut self) {
        while let Some((id, _)) = self.listeners.first() {
            self.unlisten(*id);
        }
        self.conns.drain().for_each(|(_, conn)| conn.abandon());
    }

    fn insert(&mut self, id: ConnId, socket: &Arc<Socket>, busy: bool) {
        let (socket, unsent) = (Arc::clone(socket), VecDeque::new());
        self.conns.insert(id, Conn { socket, unsent, busy, flushes: false, ended: false });
    }
}

impl Conn {
    /// Wakes the threads of a connection that nobody knows any more; the last of them closes it.
    fn abandon(self) {
        let _ = self.socket.shutdown(if self.busy { Shutdown::Both } else { Shutdown::Read });
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

/// Writes without waiting. The flags are `MSG_DONTWAIT | MSG_NOSIGNAL`.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn send_some(socket: &Socket, data: &[u8]) -> io::Result<usize> {
    socket.send_with_flags(data, 0x40 | 0x4000)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn send_some(_: &Socket, _: &[u8]) -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
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

fn no_delay(socket: &Socket) {
    // Best effort: it only makes small messages faster.
    let _ = socket.set_tcp_nodelay(true);
}

fn ip(addr: &SockAddr) -> io::Result<SocketAddr> {
    addr.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// How long a listener rests that cannot accept.
const REST: Duration = Duration::from_millis(100);

const BACKLOG: i32 = 1024;

/// Bytes read at once; each connection has its own.
const BUFFER: usize = 8 * 1024;
