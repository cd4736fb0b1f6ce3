//! A machine in a loop of one's own: one thread, `mio`, and none of the drivers of sansip.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, ToSocketAddrs as _},
    time::{Duration, SystemTime},
};

use bytes::{Buf as _, BytesMut};
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream, UdpSocket},
};
use sansip::{
    CloseHow, Config, ConnId, Cx, DnsError, DnsName, Endpoint, Host, Input, Instant, IoKind, Machine,
    Outgoing, Output, PeerInfo, Proto, RecordKind, Records, Seed, Service, SocketId, Unreachable,
};
use socket2::SockRef;

struct OwnLoop<M> {
    machine: M,
    hands: Hands,
    events: Events,
    /// When the wall clock is told again.
    wall: Instant,
}

/// All that the machine has open. mio tells of a change once, so every turn tries everything.
struct Hands {
    poll: Poll,
    started: std::time::Instant,
    udp: BTreeMap<SocketId, (UdpSocket, SocketAddr)>,
    listeners: BTreeMap<SocketId, TcpListener>,
    conns: BTreeMap<ConnId, Conn>,
    next_conn: u64,
    /// Something is left that no event will tell of.
    busy: bool,
}

struct Conn {
    stream: TcpStream,
    opening: bool,
    ended: bool,
    flushes: bool,
    unsent: BytesMut,
}

impl<M: Machine> OwnLoop<M> {
    fn new(machine: M) -> io::Result<Self> {
        let hands = Hands {
            poll: Poll::new()?,
            started: std::time::Instant::now(),
            udp: BTreeMap::new(),
            listeners: BTreeMap::new(),
            conns: BTreeMap::new(),
            next_conn: 1,
            busy: false,
        };
        Ok(Self { machine, hands, events: Events::with_capacity(256), wall: Instant::EPOCH })
    }

    /// Lets the application act on the machine, and does what the machine wants then.
    fn act<R>(&mut self, act: impl FnOnce(&mut M, Instant) -> R) -> R {
        let result = act(&mut self.machine, self.hands.now());
        self.drain();
        result
    }

    /// Waits for a socket or a deadline, for `longest` at most, and serves all that is ready.
    fn turn(&mut self, longest: Duration) -> io::Result<()> {
        let due = self.machine.poll_timeout().map_or(self.wall, |due| due.min(self.wall));
        let wait = if self.hands.busy { Duration::ZERO } else { due.since(self.hands.now()).min(longest) };
        match self.hands.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => self.hands.busy = false,
        }
        let now = self.hands.now();
        if self.wall <= now {
            self.wall = now + Duration::from_secs(60);
            self.take(Input::Wall(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().into()));
        }
        if self.machine.poll_timeout().is_some_and(|due| due <= now) {
            self.take(Input::Timeout);
        }
        let mut buffer = vec![0; 65_536];
        for socket in self.hands.udp.keys().copied().collect::<Vec<_>>() {
            self.serve(|hands, buffer| hands.receive(socket, buffer), &mut buffer);
        }
        for socket in self.hands.listeners.keys().copied().collect::<Vec<_>>() {
            self.serve(|hands, _| hands.accept(socket), &mut buffer);
        }
        for conn in self.hands.conns.keys().copied().collect::<Vec<_>>() {
            self.serve(|hands, buffer| hands.step(conn, buffer), &mut buffer);
        }
        Ok(())
    }

    /// Takes what one source has, but not more than its share of a turn.
    fn serve(
        &mut self,
        next: impl for<'b> Fn(&mut Hands, &'b mut [u8]) -> Option<Input<'b>>,
        buffer: &mut [u8],
    ) {
        for _ in 0..64 {
            let Some(input) = next(&mut self.hands, buffer) else { return };
            self.take(input);
        }
        self.hands.busy = true;
    }

    fn take(&mut self, input: Input<'_>) {
        self.machine.handle_input(self.hands.now(), input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            if let Some(told) = self.hands.perform(output) {
                self.machine.handle_input(self.hands.now(), told);
            }
        }
    }
}

impl Hands {
    fn now(&self) -> Instant {
        Instant::EPOCH + self.started.elapsed()
    }

    /// Does one thing, and returns what is known of it at once.
    fn perform(&mut self, output: Output) -> Option<Input<'static>> {
        match output {
            Output::Bind { socket, proto, addr } => {
                let result = self.bind(socket, proto, addr).map_err(|error| IoKind::from(&error));
                return Some(Input::Bound { socket, result });
            }
            Output::Unbind { socket } => {
                self.udp.remove(&socket);
                self.listeners.remove(&socket);
            }
            Output::Transmit { socket, remote, payload, .. } => {
                let error = self.udp.get(&socket)?.0.send_to(&payload, remote).err()?;
                // Where the kernel has no room, the datagram is lost as it may be anywhere.
                let told = error.kind() != io::ErrorKind::WouldBlock;
                return told.then(|| Input::Unreachable { socket, remote, why: Unreachable::from(&error) });
            }
            Output::Connect { conn, proto, remote, .. } => {
                let error = self.connect(conn, proto, remote).err()?;
                return Some(Input::Closed { conn, error: Some(IoKind::from(&error)) });
            }
            Output::Send { conn, data } => {
                self.conns.get_mut(&conn)?.unsent.extend_from_slice(&data);
                self.busy = true;
            }
            Output::Close { conn, how: CloseHow::Flush } => {
                self.conns.get_mut(&conn)?.flushes = true;
                self.busy = true;
            }
            Output::Close { conn, how: CloseHow::Reset } => {
                let reset = self.conns.remove(&conn)?;
                // Best effort: without it the peer sees an orderly end.
                let _ = SockRef::from(&reset.stream).set_linger(Some(Duration::ZERO));
            }
            Output::Resolve { query, name, kind } => {
                return Some(Input::Resolved { query, result: look_up(&name, kind) });
            }
            // An output of a version to come.
            _ => {}
        }
        None
    }

    fn bind(&mut self, socket: SocketId, proto: Proto, addr: SocketAddr) -> io::Result<SocketAddr> {
        let (token, registry) = (Token(0), self.poll.registry());
        match proto {
            Proto::Udp => {
                let mut udp = UdpSocket::bind(addr)?;
                registry.register(&mut udp, token, Interest::READABLE)?;
                let local = udp.local_addr()?;
                self.udp.insert(socket, (udp, local));
                Ok(local)
            }
            Proto::Tcp => {
                let mut listener = TcpListener::bind(addr)?;
                registry.register(&mut listener, token, Interest::READABLE)?;
                let local = listener.local_addr()?;
                self.listeners.insert(socket, listener);
                Ok(local)
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn connect(&mut self, conn: ConnId, proto: Proto, remote: SocketAddr) -> io::Result<()> {
        match proto {
            Proto::Tcp => self.keep(conn, TcpStream::connect(remote)?, true),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn keep(&mut self, conn: ConnId, mut stream: TcpStream, opening: bool) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(0), both)?;
        let unsent = BytesMut::new();
        self.conns.insert(conn, Conn { stream, opening, ended: false, flushes: false, unsent });
        Ok(())
    }

    fn receive<'b>(&mut self, socket: SocketId, buffer: &'b mut [u8]) -> Option<Input<'b>> {
        let (udp, local) = self.udp.get(&socket)?;
        let (len, remote) = udp.recv_from(buffer).ok()?;
        Some(Input::Datagram { socket, local: *local, remote, payload: &buffer[..len] })
    }

    fn accept(&mut self, socket: SocketId) -> Option<Input<'static>> {
        // Whatever fails, such as a lack of files, is tried again in the next turn.
        let (stream, remote) = self.listeners.get(&socket)?.accept().ok()?;
        let (conn, local) = (ConnId(self.next_conn), stream.local_addr().ok()?);
        self.keep(conn, stream, false).ok()?;
        self.next_conn += 2;
        self.busy = true;
        Some(Input::Accepted { socket, conn, local, remote, peer: PeerInfo::default() })
    }

    fn step<'b>(&mut self, conn: ConnId, buffer: &'b mut [u8]) -> Option<Input<'b>> {
        let input = match self.conns.get_mut(&conn)?.advance(conn, buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) => Input::Closed { conn, error: Some(IoKind::from(&error)) },
            Ok(input) => input,
        };
        if matches!(input, Input::Closed { .. }) {
            self.conns.remove(&conn);
        }
        Some(input)
    }
}

impl Conn {
    /// Opens, writes, tells our end, or reads: the first of these that can be done.
    fn advance<'b>(&mut self, conn: ConnId, buffer: &'b mut [u8]) -> io::Result<Input<'b>> {
        if self.opening {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            let local = match self.stream.peer_addr() {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                peer => peer.and_then(|_| self.stream.local_addr())?,
            };
            self.opening = false;
            return Ok(Input::Connected { conn, local, peer: PeerInfo::default() });
        }
        if !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                // It may read meanwhile, until the peer's end has come.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.ended => {}
                written => {
                    let bytes = written?;
                    self.unsent.advance(bytes);
                    return Ok(Input::Drained { conn, bytes });
                }
            }
        } else if self.flushes {
            // The peer may be gone.
            let _ = self.stream.shutdown(Shutdown::Write);
            if self.ended {
                return Ok(Input::Closed { conn, error: None });
            }
        }
        match self.stream.read(buffer)? {
            0 => {
                (self.ended, self.flushes) = (true, true);
                self.advance(conn, &mut [])
            }
            len => Ok(Input::Received { conn, data: &buffer[..len] }),
        }
    }
}

/// Asks the system for addresses. It waits, and with it all calls: a server has to do this on another thread.
fn look_up(name: &DnsName, kind: RecordKind) -> Result<Records, DnsError> {
    let v4 = match kind {
        RecordKind::A => true,
        RecordKind::Aaaa => false,
        _ => return Err(DnsError::Failed),
    };
    let found = (name.as_str(), 0).to_socket_addrs().map_err(|_| DnsError::Failed)?;
    let addresses = found.map(|addr| addr.ip()).filter(|ip| ip.is_ipv4() == v4).collect();
    Ok(Records::Addresses { addresses, ttl: Duration::from_secs(30) })
}

/// Answers OPTIONS, as every service does that does not say otherwise.
struct Answering(SocketAddr, Vec<SocketAddr>);

impl Service for Answering {
    fn init(&mut self, cx: &mut Cx<'_>) {
        // UDP brings a TCP listener on the same port with it; how it went comes to `bound`.
        let _socket = cx.listen(Proto::Udp, self.0);
    }

    fn bound(&mut self, _: &mut Cx<'_>, _: SocketId, proto: Proto, result: Result<SocketAddr, IoKind>) {
        eprintln!("{proto}: {result:?}");
        self.1.extend(result.ok());
    }
}

fn host(listen: SocketAddr) -> Result<Host<Answering>, Box<dyn std::error::Error>> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
    let endpoint = Endpoint::new(Config::default(), &Seed::new(seed), Instant::EPOCH)?;
    Ok(Host::new(endpoint, Answering(listen, Vec::new())))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut own = OwnLoop::new(host(([127, 0, 0, 1], 5060).into())?)?;
    // Opens the sockets, without which nothing can be sent.
    own.turn(Duration::ZERO)?;
    if let Some(uri) = std::env::args().nth(1) {
        let outgoing = Outgoing::options(uri.parse()?);
        own.act(|host, now| host.with(now, |_, cx| cx.request(outgoing)))?;
    }
    while !own.machine.is_stopped() {
        own.turn(Duration::from_secs(1))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net;

    use super::*;

    /// Takes turns until `ready` has something; fails after ten seconds.
    fn until<R>(
        own: &mut OwnLoop<Host<Answering>>,
        mut ready: impl FnMut(&OwnLoop<Host<Answering>>) -> Option<R>,
    ) -> R {
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(result) = ready(own) {
                return result;
            }
            assert!(std::time::Instant::now() < deadline, "it takes too long");
            own.turn(Duration::from_millis(5)).expect("the system polls");
        }
    }

    fn options(transport: &str, to: SocketAddr) -> String {
        format!(
            "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/{transport} 127.0.0.1:9;rport;branch=z9hG4bK{transport}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:{to}>\r\nCall-ID: {transport}@own\r\n\
             CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
    }

    #[test]
    fn it_answers_over_udp_and_tcp_connects_by_name_and_ends() {
        let host = host(([127, 0, 0, 1], 0).into()).expect("the defaults");
        let mut own = OwnLoop::new(host).expect("the system polls");
        let (addr, beside) = until(&mut own, |own| match own.machine.service().1[..] {
            [udp, tcp] => Some((udp, tcp)),
            _ => None,
        });
        assert_eq!(addr, beside);

        let mut buffer = [0; 4096];
        let udp = net::UdpSocket::bind("127.0.0.1:0").expect("loopback can be bound");
        udp.set_nonblocking(true).expect("it is a socket");
        udp.send_to(options("UDP", addr).as_bytes(), addr).expect("it is sent");
        let len = until(&mut own, |_| udp.recv(&mut buffer).ok());
        assert!(buffer[..len].starts_with(b"SIP/2.0 200 "), "{}", String::from_utf8_lossy(&buffer[..len]));

        let mut tcp = net::TcpStream::connect(addr).expect("it listens");
        tcp.set_nonblocking(true).expect("it is a socket");
        tcp.write_all(options("TCP", addr).as_bytes()).expect("there is room");
        let len = until(&mut own, |_| tcp.read(&mut buffer).ok());
        assert!(buffer[..len].starts_with(b"SIP/2.0 200 "), "{}", String::from_utf8_lossy(&buffer[..len]));

        let listener = net::TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
        listener.set_nonblocking(true).expect("it is a socket");
        let port = listener.local_addr().expect("it is bound").port();
        let uri = format!("sip:b@localhost:{port};transport=tcp").parse().expect("a URI");
        own.act(|host, now| host.with(now, |_, cx| cx.request(Outgoing::options(uri)))).expect("it is sent");
        let (mut peer, _) = until(&mut own, |_| listener.accept().ok());
        peer.set_nonblocking(true).expect("it is a socket");
        let len = until(&mut own, |_| peer.read(&mut buffer).ok());
        assert!(buffer[..len].starts_with(b"OPTIONS sip:b@localhost"));

        own.act(|host, now| host.shut_down(now, Duration::ZERO));
        until(&mut own, |_| matches!(tcp.read(&mut buffer), Ok(0)).then_some(()));
        drop((tcp, peer));
        until(&mut own, |own| own.machine.is_stopped().then_some(()));
        assert!(own.hands.udp.is_empty() && own.hands.listeners.is_empty() && own.hands.conns.is_empty());
    }

    /// What docs/driver.md shows is this file as far as its tests.
    #[test]
    fn the_document_shows_this_file() {
        let code = include_str!("own_loop.rs").split("\n#[cfg(test)]\n").next().expect("it has a beginning");
        let document = include_str!("../../docs/driver.md");
        assert!(
            document.contains(&format!("\n```rust\n{code}```\n")),
            "copy the code into docs/driver.md again"
        );
    }
}
