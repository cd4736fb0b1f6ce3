use std::{
    io,
    net::{Shutdown, SocketAddr},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use sansip::{ConnId, Input, IoKind, PeerInfo};
use socket2::SockRef;

/// A byte stream that never waits: what cannot be done yet fails with [`WouldBlock`](io::ErrorKind::WouldBlock), and
/// its driver learns when to try again.
pub trait Stream {
    /// Returns our address when there is a peer.
    fn open(&mut self) -> io::Result<SocketAddr>;

    /// Reads; nothing at the peer's end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes as much as there is room for.
    fn write(&mut self, data: &[u8]) -> io::Result<usize>;

    /// Returns the socket, for what concerns all streams.
    fn socket(&self) -> SockRef<'_>;

    /// Tells our end, once or more often.
    fn end(&mut self) {
        // The peer may be gone.
        let _ = self.socket().shutdown(Shutdown::Write);
    }
}

/// A connection with what has not left yet.
#[derive(Debug)]
pub struct Conn<S> {
    id: ConnId,
    stream: S,
    stage: Stage,
    unsent: BytesMut,
    /// Our end is told when nothing is unsent.
    flushes: bool,
}

#[derive(Debug, PartialEq)]
enum Stage {
    Opening,
    Open,
    /// The peer's end has come.
    Ended,
}

impl<S: Stream> Conn<S> {
    /// Takes a stream that was asked to open.
    pub fn opening(id: ConnId, stream: S) -> Self {
        Self { id, stream, stage: Stage::Opening, unsent: BytesMut::new(), flushes: false }
    }

    /// Takes a stream that a listener accepted.
    pub fn accepted(id: ConnId, stream: S) -> Self {
        hurry(&stream);
        Self { stage: Stage::Open, ..Self::opening(id, stream) }
    }

    /// Returns the stream.
    pub const fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Queues bytes, which the next steps write.
    pub fn send(&mut self, data: &[u8]) {
        self.unsent.extend_from_slice(data);
    }

    /// Has our end told after what is queued.
    pub fn flush(&mut self) {
        self.flushes = true;
    }

    /// Ends it at once, by a reset.
    pub fn reset(self) {
        if self.stage != Stage::Opening {
            // Best effort: without it the peer sees an orderly end.
            let _ = self.stream.socket().set_linger(Some(Duration::ZERO));
        }
    }

    /// Opens, writes, tells our end, or reads: the first of these that can be done. `None` if all has to wait.
    pub fn step<'b>(&mut self, buffer: &'b mut [u8]) -> Option<Input<'b>> {
        let conn = self.id;
        match self.advance(buffer) {
            Ok(input) => Some(input),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(Input::Closed { conn, error: Some(IoKind::from(&error)) }),
        }
    }

    fn advance<'b>(&mut self, buffer: &'b mut [u8]) -> io::Result<Input<'b>> {
        let conn = self.id;
        if self.stage == Stage::Opening {
            let local = self.stream.open()?;
            self.stage = Stage::Open;
            hurry(&self.stream);
            return Ok(Input::Connected { conn, local, peer: PeerInfo::default() });
        }
        let ended = self.stage == Stage::Ended;
        if !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                // It may read meanwhile.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !ended => {}
                written => return Ok(Input::Drained { conn, bytes: self.drained(written?) }),
            }
        } else if self.flushes {
            self.stream.end();
            if ended {
                return Ok(Input::Closed { conn, error: None });
            }
        }
        match self.stream.read(buffer)? {
            0 => {
                (self.stage, self.flushes) = (Stage::Ended, true);
                self.advance(&mut [])
            }
            len => Ok(Input::Received { conn, data: &buffer[..len] }),
        }
    }

    fn drained(&mut self, bytes: usize) -> usize {
        self.unsent.advance(bytes);
        if self.unsent.is_empty() {
            // What a slow reader made large is given back.
            self.unsent = BytesMut::new();
        }
        bytes
    }
}

fn hurry(stream: &impl Stream) {
    // Best effort: it only makes small messages faster.
    let _ = stream.socket().set_tcp_nodelay(true);
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// Answers each call with the next of its script, and notes its end.
    #[derive(Debug)]
    struct Script {
        reads: VecDeque<io::Result<&'static [u8]>>,
        writes: VecDeque<io::Result<usize>>,
        ends: usize,
        socket: TcpStream,
    }

    fn script<const R: usize, const W: usize>(
        reads: [io::Result<&'static [u8]>; R],
        writes: [io::Result<usize>; W],
    ) -> Script {
        let peer = TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
        let addr = peer.local_addr().expect("it is bound");
        let socket = TcpStream::connect(addr).expect("somebody listens");
        Script { reads: reads.into(), writes: writes.into(), ends: 0, socket }
    }

    impl Stream for Script {
        fn open(&mut self) -> io::Result<SocketAddr> {
            Ok(SocketAddr::from(([127, 0, 0, 1], 5060)))
        }

        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let data = self.reads.pop_front().unwrap_or_else(wait)?;
            buffer[..data.len()].copy_from_slice(data);
            Ok(data.len())
        }

        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.writes.pop_front().unwrap_or_else(wait)
        }

        fn socket(&self) -> SockRef<'_> {
            SockRef::from(&self.socket)
        }

        fn end(&mut self) {
            self.ends += 1;
        }
    }

    fn wait<T>() -> io::Result<T> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    const ID: ConnId = ConnId(1);

    fn closed(error: Option<IoKind>) -> Option<Input<'static>> {
        Some(Input::Closed { conn: ID, error })
    }

    #[test]
    fn nothing_is_written_before_it_is_open() {
        let mut conn = Conn::opening(ID, script([], [Ok(2)]));
        conn.send(b"hi");
        conn.flush();
        assert!(matches!(conn.step(&mut []), Some(Input::Connected { .. })));
        assert_eq!(conn.stream.socket.nodelay().ok(), Some(true), "small messages do not wait");
        assert_eq!(conn.step(&mut []), Some(Input::Drained { conn: ID, bytes: 2 }));
        assert_eq!((conn.step(&mut []), conn.stream.ends), (None, 1));
    }

    #[test]
    fn a_reader_that_is_slow_is_still_read_from() {
        let script = script([Ok(b"abc")], [wait(), Ok(1)]);
        let mut conn = Conn::accepted(ID, script);
        assert_eq!(conn.stream.socket.nodelay().ok(), Some(true));
        conn.send(b"hello");
        assert_eq!(conn.step(&mut [0; 9]), Some(Input::Received { conn: ID, data: b"abc" }));
        assert_eq!(conn.step(&mut []), Some(Input::Drained { conn: ID, bytes: 1 }));
        assert_eq!((conn.step(&mut []), &conn.unsent[..]), (None, &b"ello"[..]));
    }

    #[test]
    fn both_ends_and_all_bytes_make_it_closed() {
        let script = script([Ok(b"")], [wait(), wait(), Ok(5)]);
        let mut conn = Conn::accepted(ID, script);
        conn.send(b"hello");
        assert_eq!(conn.step(&mut [0; 9]), None, "the peer has ended, what is unsent has not left");
        assert_eq!((conn.step(&mut []), conn.stream.ends), (Some(Input::Drained { conn: ID, bytes: 5 }), 0));
        assert_eq!((conn.step(&mut []), conn.stream.ends), (closed(None), 1));
    }

    #[test]
    fn an_error_closes_it() {
        let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
        let mut conn = Conn::accepted(ID, script([Err(reset())], []));
        assert_eq!(conn.step(&mut []), closed(Some(IoKind::Reset)));
        let mut conn = Conn::accepted(ID, script([], [Err(reset())]));
        conn.send(b"hello");
        assert_eq!(conn.step(&mut []), closed(Some(IoKind::Reset)));
    }
}
