use std::{
    collections::VecDeque,
    mem,
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::UnixTime,
    time_provider::TimeProvider,
};
use sansip::{
    CloseHow, ConnId, Input, InputBuf, Instant, IoKind, Limits, Machine, Output, PeerInfo, Proto, SocketId,
    wire::{Certificate, Tls, WebSocket, Wire, trust_pem},
};
use tungstenite::handshake::derive_accept_key;

use crate::pieces;

/// Timer events after which a stage without news must be at rest.
const ROUNDS: usize = 1000;

/// Bytes of a message, and of a handshake in HTTP, that are accepted.
const MOST: usize = 1000;

/// Feeds frames to a WebSocket, in pieces and at once, which come to the same (RFC 6455 §5).
///
/// The first byte tells which end it is and whether the handshake is among the bytes, and the next four where to cut.
pub fn ws(bytes: &[u8]) {
    let Some((&[mode, ref cuts @ ..], stream)) = bytes.split_first_chunk::<5>() else { return };
    let mut limits = Limits::default();
    (limits.ws_message, limits.handshake_bytes) = (MOST, MOST);
    let run = |parts: &mut dyn Iterator<Item = &[u8]>| {
        let mut side = Side::new(&limits, Ear { echoes: true, ..Ear::default() }, mode & 1 == 0);
        side.open(Proto::Ws);
        if mode & 2 == 0 {
            let head = side.handshake();
            side.receive(&head);
            assert_eq!(side.wire.machine().phase, Phase::Open);
        }
        side.left.clear();
        parts.for_each(|part| side.receive(part));
        if mode & 4 != 0 {
            side.close();
        }
        side.rest();
        let ear = side.wire.machine();
        assert!(ear.received().all(|data| data.len() <= MOST));
        let heard: Vec<InputBuf> = ear.heard.clone();
        // A client masks at random.
        (heard, if mode & 1 == 0 { side.left } else { Vec::new() })
    };
    assert_eq!(run(&mut pieces(cuts, stream)), run(&mut [stream].into_iter()));
}

/// Feeds bytes to one end of TLS; or puts two ends together, and changes what passes between them.
///
/// The first byte tells which, and the next four where to cut. No bytes make an end believe in a peer that is not
/// there; no change makes it hear what was not said, and without any change all is heard.
pub fn tls_records(bytes: &[u8]) {
    let Some((&[mode, ref cuts @ ..], rest)) = bytes.split_first_chunk::<5>() else { return };
    let proto = if mode & 2 == 0 { Proto::Tls } else { Proto::Wss };
    if mode & 4 != 0 {
        return meddled(proto, cuts, rest);
    }
    let mut side = Side::new(&Limits::default(), Ear::default(), mode & 1 == 0);
    side.open(proto);
    if mode & 8 != 0 {
        side.close();
    }
    pieces(cuts, rest).for_each(|part| side.receive(part));
    side.rest();
    let heard = &side.wire.machine().heard;
    let only_its_end = |input: &InputBuf| matches!(input.as_input(), Input::Closed { .. } | Input::Timeout);
    assert!(heard.iter().all(only_its_end), "{heard:?}");
}

/// Lets two ends talk, with a change on the way: the first byte tells in which direction and of which kind, two more
/// tell where, and the rest is what to change it with. It is said as well.
fn meddled(proto: Proto, cuts: &[u8; 4], bytes: &[u8]) {
    let Some((&[kind, high, low], text)) = bytes.split_first_chunk::<3>() else { return };
    let limits = Limits::default();
    let mut server = Side::new(&limits, Ear { echoes: true, ..Ear::default() }, true);
    let mut client = Side::new(&limits, Ear::default(), false);
    let said = [b"said by the client: ", text].concat();
    server.open(proto);
    client.open(proto);
    client.send(&said);
    let place = usize::from(u16::from_be_bytes([high, low]));
    let mut change = Change { kind: kind >> 1, place, text, ..Change::default() };
    let mut other = Change::default();
    for _ in 0..ROUNDS {
        let (up, down) = (mem::take(&mut client.left), mem::take(&mut server.left));
        if up.is_empty() && down.is_empty() {
            break;
        }
        let (to_server, to_client) =
            if kind & 1 == 0 { (&mut change, &mut other) } else { (&mut other, &mut change) };
        pieces(cuts, &to_server.pass(&up)).for_each(|part| server.receive(part));
        pieces(cuts, &to_client.pass(&down)).for_each(|part| client.receive(part));
    }
    for side in [&mut server, &mut client] {
        side.rest();
        let heard = side.wire.machine().received().collect::<Vec<_>>().concat();
        assert!(said.starts_with(&heard), "it was not said: {heard:?}");
        assert!(change.done || heard == said, "nothing is lost");
    }
    let names = client.wire.machine().identities();
    assert!(names.is_none_or(|names| names == [NAME]), "it is not who it has to be");
}

/// A change to a stream of bytes at one place.
#[derive(Default)]
struct Change<'a> {
    kind: u8,
    place: usize,
    text: &'a [u8],
    passed: usize,
    done: bool,
}

impl Change<'_> {
    fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for byte in bytes {
            let within = self.passed.checked_sub(self.place).and_then(|at| self.text.get(at));
            match (self.kind % 3, within) {
                (0, Some(other)) => {
                    self.done |= *other != 0;
                    out.push(byte ^ other);
                }
                (1, Some(_)) => self.done = true,
                (2, Some(_)) if self.passed == self.place => {
                    self.done = true;
                    out.extend_from_slice(self.text);
                    out.push(*byte);
                }
                _ => out.push(*byte),
            }
            self.passed += 1;
        }
        out
    }
}

/// A machine that keeps what it hears, and may say it again. It hears all in order.
#[derive(Default)]
struct Ear {
    echoes: bool,
    phase: Phase,
    heard: Vec<InputBuf>,
    out: VecDeque<Output>,
    unsent: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    New,
    Open,
    /// It has ended the connection itself.
    Closing,
    Closed,
}

impl Ear {
    fn received(&self) -> impl Iterator<Item = Vec<u8>> {
        self.heard.iter().filter_map(|input| match input.as_input() {
            Input::Received { data, .. } => Some(data.to_vec()),
            _ => None,
        })
    }

    fn identities(&self) -> Option<Vec<String>> {
        self.heard.iter().find_map(|input| match input.as_input() {
            Input::Connected { peer, .. } => Some(peer.identities.iter().map(ToString::to_string).collect()),
            _ => None,
        })
    }

    fn send(&mut self, data: &[u8]) {
        self.unsent += data.len();
        self.out.push_back(Output::Send { conn: CONN, data: data.to_vec().into() });
    }
}

impl Machine for Ear {
    fn handle_input(&mut self, _: Instant, input: Input<'_>) {
        match &input {
            Input::Accepted { .. } | Input::Connected { .. } => {
                assert_eq!(mem::replace(&mut self.phase, Phase::Open), Phase::New);
            }
            Input::Received { data, .. } => {
                assert!(matches!(self.phase, Phase::Open | Phase::Closing), "{:?}", self.phase);
                if self.echoes && self.phase == Phase::Open {
                    self.send(data);
                }
            }
            Input::Drained { bytes, .. } => {
                self.unsent = self.unsent.checked_sub(*bytes).expect("no more leaves than was sent");
                return;
            }
            Input::Closed { .. } => {
                assert_ne!(mem::replace(&mut self.phase, Phase::Closed), Phase::Closed, "closed twice");
            }
            _ => return,
        }
        self.heard.push(InputBuf::from(&input));
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// One end of a connection with a driver that sends all at once.
struct Side {
    wire: Wire<Ear>,
    serves: bool,
    now: Instant,
    left: Vec<u8>,
    end: Option<CloseHow>,
}

impl Side {
    fn new(limits: &Limits, ear: Ear, serves: bool) -> Self {
        let mut wire = Wire::new(ear, limits);
        wire.set_tls(&TLS).expect("all that it needs");
        wire.set_websocket(WebSocket::new());
        Self { wire, serves, now: Instant::EPOCH, left: Vec::new(), end: None }
    }

    fn open(&mut self, proto: Proto) {
        let (near, far) = (SocketAddr::from(([192, 0, 2, 1], 443)), SocketAddr::from(([192, 0, 2, 2], 443)));
        if self.serves {
            self.wire.machine_mut().out.push_back(Output::Bind { socket: SOCKET, proto, addr: near });
            self.perform();
            let (socket, conn, peer) = (SOCKET, CONN, PeerInfo::default());
            self.input(Input::Accepted { socket, conn, local: near, remote: far, peer });
        } else {
            let name = Some(NAME.parse().expect("a name"));
            self.wire.machine_mut().out.push_back(Output::Connect { conn: CONN, proto, remote: far, name });
            self.perform();
            self.input(Input::Connected { conn: CONN, local: near, peer: PeerInfo::default() });
        }
    }

    /// Returns what a peer sends to open a WebSocket.
    fn handshake(&self) -> Vec<u8> {
        if self.serves {
            return REQUEST.into();
        }
        let asked = String::from_utf8_lossy(&self.left);
        let key = asked.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
        let accept = derive_accept_key(key.as_bytes());
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
        )
        .into_bytes()
    }

    fn send(&mut self, data: &[u8]) {
        self.wire.machine_mut().send(data);
        self.perform();
    }

    fn receive(&mut self, data: &[u8]) {
        if self.end != Some(CloseHow::Reset) {
            self.input(Input::Received { conn: CONN, data });
        }
    }

    fn close(&mut self) {
        let ear = self.wire.machine_mut();
        if ear.phase == Phase::Open || !self.serves && ear.phase == Phase::New {
            ear.phase = Phase::Closing;
            ear.out.push_back(Output::Close { conn: CONN, how: CloseHow::Flush });
            self.perform();
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.wire.handle_input(self.now, input);
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(output) = self.wire.poll_output() {
            assert_ne!(self.end, Some(CloseHow::Reset), "{output:?} after the end");
            match output {
                Output::Send { conn, data } => {
                    assert_eq!(self.end, None, "{data:?} after the end");
                    self.left.extend_from_slice(&data);
                    self.wire.handle_input(self.now, Input::Drained { conn, bytes: data.len() });
                }
                Output::Close { how, .. } => {
                    assert_ne!(self.end.replace(how), Some(how), "ended twice");
                }
                Output::Bind { proto, .. } | Output::Connect { proto, .. } => assert_eq!(proto, Proto::Tcp),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Lets time pass until nothing is waited for, and ends the connection then, if it has not ended.
    fn rest(&mut self) {
        for _ in 0..ROUNDS {
            let Some(at) = self.wire.poll_timeout() else { break };
            self.now = self.now.max(at);
            self.input(Input::Timeout);
        }
        assert_eq!(self.wire.poll_timeout(), None, "it does not come to rest");
        let ear = self.wire.machine();
        assert!(ear.phase != Phase::Open || ear.unsent == 0, "what has left is not reported");
        if self.end != Some(CloseHow::Reset) {
            self.input(Input::Closed { conn: CONN, error: Some(IoKind::Reset) });
        }
        let ear = self.wire.machine();
        assert!(matches!(ear.phase, Phase::New | Phase::Closed), "the machine waits for ever");
        assert!(self.serves || ear.phase == Phase::Closed, "the machine waits for ever");
        self.now += Duration::from_secs(1);
        self.input(Input::Timeout);
    }
}

const CONN: ConnId = ConnId(2);
const SOCKET: SocketId = SocketId(1);
const NAME: &str = "example.com";

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n";

/// The certificate of the one and only peer, who vouches for itself.
static TLS: LazyLock<Tls> = LazyLock::new(|| {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([NAME.to_owned()]).expect("a name");
    let pem = params.self_signed(&key).expect("a certificate").pem();
    let own = Certificate::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes(), &provider);
    let roots: RootCertStore = trust_pem(pem.as_bytes()).expect("a certificate");
    Tls::new(provider, Arc::new(Today)).certificates(vec![own.expect("a pair")]).roots(roots)
});

#[derive(Debug)]
struct Today;

impl TimeProvider for Today {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(1_893_456_000)))
    }
}
