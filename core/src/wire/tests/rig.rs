use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::UnixTime,
    time_provider::TimeProvider,
};

use crate::{
    base::{Instant, Limits},
    decision::InputBuf,
    endpoint::Machine,
    transport::{CloseHow, ConnId, DnsName, Input, IoKind, Output, PeerInfo, Proto, SocketId},
    wire::{Certificate, Tls, WebSocket, Wire, trust_pem},
};

/// The moment at which all certificates are judged: 2030-01-01.
pub(super) const TODAY: u64 = 1_893_456_000;

#[derive(Debug)]
struct Today;

impl TimeProvider for Today {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(TODAY)))
    }
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

pub(super) fn tls() -> Tls {
    Tls::new(provider(), Arc::new(Today))
}

/// One who vouches for others.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Two of them are told apart by their names.
        let unique: String = key.public_key_raw().iter().map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name.push(rcgen::DnType::CommonName, unique);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(super) fn roots(&self) -> RootCertStore {
        trust_pem(self.pem.as_bytes()).expect("a certificate")
    }

    /// Makes a certificate; names with a colon are URIs, those of digits addresses.
    pub(super) fn pem(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.subject_alt_names = names
            .iter()
            .map(|name| match (name.parse(), name.contains(':')) {
                (Ok(ip), _) => SanType::IpAddress(ip),
                (_, true) => SanType::URI((*name).try_into().expect("a URI")),
                _ => SanType::DnsName((*name).try_into().expect("a name")),
            })
            .collect();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    pub(super) fn with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let (chain, key) = self.pem(names, change);
        Certificate::from_pem(chain.as_bytes(), key.as_bytes(), &provider()).expect("a pair")
    }

    pub(super) fn certificate(&self, names: &[&str]) -> Certificate {
        self.with(names, |_| {})
    }

    pub(super) fn for_purpose(&self, names: &[&str], purpose: ExtendedKeyUsagePurpose) -> Certificate {
        self.with(names, |params| params.extended_key_usages = vec![purpose])
    }
}

/// A machine that does what it is told, and keeps what it hears.
#[derive(Default)]
pub(super) struct Probe {
    pub(super) out: VecDeque<Output>,
    pub(super) heard: Vec<InputBuf>,
}

impl Machine for Probe {
    fn handle_input(&mut self, _: Instant, input: Input<'_>) {
        self.heard.push(InputBuf::from(&input));
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

pub(super) const LISTENER: SocketId = SocketId(7);
pub(super) const NEAR: ConnId = ConnId(2);
pub(super) const FAR: ConnId = ConnId(1);

pub(super) fn addr(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], port))
}

pub(super) fn name(text: &str) -> Option<DnsName> {
    Some(text.parse().expect("a name"))
}

/// One end with its part of the network.
pub(super) struct End {
    pub(super) wire: Wire<Probe>,
    conn: ConnId,
    /// What is on its way to this end, and whether the end follows.
    inbox: VecDeque<u8>,
    ended: bool,
    pub(super) reset: bool,
    /// Everything that left.
    pub(super) left: Vec<u8>,
    flushed: bool,
    /// Bytes that the driver has not handed to the kernel.
    pub(super) unsent: usize,
    /// Whether the driver says so when bytes leave.
    pub(super) drains: bool,
}

impl End {
    fn new(wire: Wire<Probe>, conn: ConnId) -> Self {
        Self {
            wire,
            conn,
            inbox: VecDeque::new(),
            ended: false,
            reset: false,
            left: Vec::new(),
            flushed: false,
            unsent: 0,
            drains: true,
        }
    }

    pub(super) fn input(&mut self, now: Instant, input: Input<'_>) {
        self.wire.handle_input(now, input);
    }

    pub(super) fn want(&mut self, output: Output) {
        self.wire.machine_mut().out.push_back(output);
    }

    pub(super) fn send(&mut self, data: &[u8]) {
        let (conn, data) = (self.conn, Bytes::copy_from_slice(data));
        self.want(Output::Send { conn, data });
    }

    pub(super) fn close(&mut self, how: CloseHow) {
        let conn = self.conn;
        self.want(Output::Close { conn, how });
    }

    /// Returns what the machine received, message by message.
    pub(super) fn received(&self) -> Vec<Vec<u8>> {
        let heard = self.wire.machine().heard.iter();
        heard
            .filter_map(|input| match input.as_input() {
                Input::Received { data, .. } => Some(data.to_vec()),
                _ => None,
            })
            .collect()
    }

    pub(super) fn drained(&self) -> usize {
        let heard = self.wire.machine().heard.iter();
        heard
            .map(|input| match input.as_input() {
                Input::Drained { bytes, .. } => bytes,
                _ => 0,
            })
            .sum()
    }

    /// Returns what is known of the peer, if the connection was opened.
    pub(super) fn peer(&self) -> Option<PeerInfo> {
        self.wire.machine().heard.iter().find_map(|input| match input.as_input() {
            Input::Accepted { peer, .. } | Input::Connected { peer, .. } => Some(peer),
            _ => None,
        })
    }

    /// Returns how the connection ended for the machine, if it has.
    pub(super) fn closed(&self) -> Option<Option<IoKind>> {
        self.wire.machine().heard.iter().find_map(|input| match input.as_input() {
            Input::Closed { error, .. } => Some(error),
            _ => None,
        })
    }
}

/// Two ends and the wire between them, in whose pieces bytes arrive.
pub(super) struct Rig {
    pub(super) server: End,
    pub(super) client: End,
    pub(super) now: Instant,
    pieces: Box<dyn FnMut() -> usize>,
}

impl Rig {
    pub(super) fn new(server: &Tls, client: &Tls) -> Self {
        Self::with(&Limits::default(), server, client, WebSocket::new(), WebSocket::new())
    }

    pub(super) fn with(
        limits: &Limits,
        server: &Tls,
        client: &Tls,
        served: WebSocket,
        target: WebSocket,
    ) -> Self {
        let end = |tls: &Tls, websocket, conn| {
            let mut wire = Wire::new(Probe::default(), limits);
            wire.set_tls(tls).expect("all that it needs");
            wire.set_websocket(websocket);
            End::new(wire, conn)
        };
        let (server, client) = (end(server, served, FAR), end(client, target, NEAR));
        Self { server, client, now: Instant::EPOCH, pieces: Box::new(|| usize::MAX) }
    }

    /// Has bytes arrive in pieces of these sizes.
    pub(super) fn in_pieces(mut self, pieces: impl FnMut() -> usize + 'static) -> Self {
        self.pieces = Box::new(pieces);
        self
    }

    /// Opens a connection of the client to the server.
    pub(super) fn connect(&mut self, proto: Proto, name: Option<DnsName>) {
        let remote = addr(1, proto.default_port());
        self.server.want(Output::Bind { socket: LISTENER, proto, addr: remote });
        self.client.want(Output::Connect { conn: NEAR, proto, remote, name });
        self.run();
    }

    /// Runs until nothing is on its way.
    pub(super) fn run(&mut self) {
        for _ in 0..1_000_000 {
            while let Some(output) = self.client.wire.poll_output() {
                perform(self.now, &mut self.client, &mut self.server, output);
            }
            while let Some(output) = self.server.wire.poll_output() {
                perform(self.now, &mut self.server, &mut self.client, output);
            }
            let piece = (self.pieces)();
            let (server, client) = (&mut self.server, &mut self.client);
            if !(deliver(self.now, server, client, piece) | deliver(self.now, client, server, piece)) {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.server.input(self.now, Input::Timeout);
        self.client.input(self.now, Input::Timeout);
        self.run();
    }
}

fn perform(now: Instant, end: &mut End, other: &mut End, output: Output) {
    match output {
        Output::Bind { socket, proto, addr } => {
            let result = if proto == Proto::Tcp { Ok(addr) } else { Err(IoKind::Unsupported) };
            end.input(now, Input::Bound { socket, result });
        }
        Output::Connect { conn, proto, remote, .. } => {
            if proto != Proto::Tcp {
                return end.input(now, Input::Closed { conn, error: Some(IoKind::Unsupported) });
            }
            let (local, peer) = (addr(2, 40_000), PeerInfo::default());
            let accepted = Input::Accepted {
                socket: LISTENER,
                conn: FAR,
                local: remote,
                remote: local,
                peer: peer.clone(),
            };
            other.input(now, accepted);
            end.input(now, Input::Connected { conn, local, peer });
        }
        Output::Send { conn, data } => {
            end.left.extend_from_slice(&data);
            other.inbox.extend(&data);
            end.unsent += data.len();
            if end.drains {
                let bytes = std::mem::take(&mut end.unsent);
                end.input(now, Input::Drained { conn, bytes });
            }
        }
        Output::Close { how: CloseHow::Flush, .. } => {
            other.ended |= !std::mem::replace(&mut end.flushed, true);
        }
        Output::Close { how: CloseHow::Reset, .. } => {
            end.reset = true;
            end.inbox.clear();
            if !other.reset {
                other.inbox.clear();
                other.reset = true;
                other.input(now, Input::Closed { conn: other.conn, error: Some(IoKind::Reset) });
            }
        }
        _ => {}
    }
}

/// Hands an end the next piece; tells whether there was any.
fn deliver(now: Instant, end: &mut End, other: &mut End, piece: usize) -> bool {
    if end.reset {
        return false;
    }
    let part = end.inbox.len().min(piece.max(1));
    if part > 0 {
        let data: Vec<u8> = end.inbox.drain(..part).collect();
        end.input(now, Input::Received { conn: end.conn, data: &data });
        return true;
    }
    // Over TCP, both ends have to end; a driver does so by itself when the peer has.
    if !std::mem::take(&mut end.ended) {
        return false;
    }
    if !std::mem::replace(&mut end.flushed, true) {
        other.ended = true;
    }
    end.input(now, Input::Closed { conn: end.conn, error: None });
    true
}

/// Returns sizes of pieces that look random and are the same each time.
pub(super) fn uneven(seed: u64) -> impl FnMut() -> usize {
    let mut state = seed | 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1 + (state >> 56) as usize
    }
}

impl Rig {
    /// Opens a connection to the server by hand, and sends bytes over it.
    pub(super) fn connect_raw(&mut self, proto: Proto, bytes: &[u8]) {
        self.server.want(Output::Bind { socket: LISTENER, proto, addr: addr(1, proto.default_port()) });
        self.run();
        self.accept_raw(FAR);
        self.raw(bytes);
    }

    pub(super) fn accept_raw(&mut self, conn: ConnId) {
        self.accept_raw_from(2, conn);
    }

    /// Opens a connection to the server by hand, from the address that ends so.
    pub(super) fn accept_raw_from(&mut self, last: u8, conn: ConnId) {
        let (socket, peer) = (LISTENER, PeerInfo::default());
        let (local, remote) = (addr(1, 5061), addr(last, 40_000));
        let accepted = Input::Accepted { socket, conn, local, remote, peer };
        self.server.input(self.now, accepted);
    }

    /// Sends bytes to the server as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.server.inbox.extend(bytes);
        // What comes back is only looked at.
        while !self.server.reset && !self.server.inbox.is_empty() {
            let piece = (self.pieces)();
            deliver(self.now, &mut self.server, &mut self.client, piece);
            self.drain_raw();
        }
        self.drain_raw();
    }

    /// Performs what the server wants, towards a peer that is not there.
    pub(super) fn drain_raw(&mut self) {
        while let Some(output) = self.server.wire.poll_output() {
            perform(self.now, &mut self.server, &mut self.client, output);
            self.client.inbox.clear();
            self.client.ended = false;
        }
    }
}
