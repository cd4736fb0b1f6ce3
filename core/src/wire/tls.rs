use std::{collections::VecDeque, fmt, io::Write as _, sync::Arc};

use bytes::Bytes;
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    SignatureScheme,
    client::{ResolvesClientCert, Resumption},
    crypto::CryptoProvider,
    pki_types::ServerName,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
    time_provider::TimeProvider,
};

use crate::{
    base::Limits,
    transport::{PeerInfo, Proto},
    wire::{
        Certificate, CertificateError, End, WireError,
        certificate::names,
        stage::{Layer, Rise},
        verify::Verifier,
    },
};

/// How TLS is done: with which certificates, and whom to trust.
///
/// A server's certificate has to prove the domain that the way to it began with, as RFC 5922 §7 has it; where that was an
/// address, it has to hold that address. There is no resumption: each connection proves anew who is there.
#[derive(Clone)]
pub struct Tls {
    provider: Arc<CryptoProvider>,
    time: Arc<dyn TimeProvider>,
    certificates: Vec<Certificate>,
    roots: Arc<RootCertStore>,
    clients: ClientCertificates,
    any_server: bool,
}

/// What a server wants to know of its clients (RFC 5922 §7.4). What they prove is in [`PeerInfo::identities`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked for a certificate.
    #[default]
    Ignored,
    /// They are asked for one, and may have none. One that is not valid is refused.
    Optional,
    /// They need one.
    Required,
}

impl Tls {
    /// Begins with a provider of cryptography and the clock that certificates are judged by. Nobody is trusted yet.
    pub fn new(provider: Arc<CryptoProvider>, time: Arc<dyn TimeProvider>) -> Self {
        let roots = Arc::new(RootCertStore::empty());
        let clients = ClientCertificates::default();
        Self { provider, time, certificates: Vec::new(), roots, clients, any_server: false }
    }

    /// Judges certificates by another clock.
    #[must_use]
    pub fn time(mut self, time: Arc<dyn TimeProvider>) -> Self {
        self.time = time;
        self
    }

    /// Shows these certificates: as a server, the first whose names have the one asked for, or else the first of all; as a
    /// client that is asked for one, the first that the server can read. A server needs one at least.
    #[must_use]
    pub fn certificates(mut self, certificates: Vec<Certificate>) -> Self {
        self.certificates = certificates;
        self
    }

    /// Trusts these to vouch for servers, and for clients if they are asked.
    #[must_use]
    pub fn roots(mut self, roots: RootCertStore) -> Self {
        self.roots = Arc::new(roots);
        self
    }

    /// Asks clients for certificates, or does not.
    #[must_use]
    pub const fn clients(mut self, clients: ClientCertificates) -> Self {
        self.clients = clients;
        self
    }

    /// Accepts any certificate of any server. Nothing is proved then, and whoever is in between can read and change all.
    #[must_use]
    pub const fn dangerously_accept_any_server(mut self) -> Self {
        self.any_server = true;
        self
    }

    pub(super) fn configs(&self) -> Result<Configs, CertificateError> {
        let setup = |error: rustls::Error| CertificateError::Setup(error.to_string().into());
        let server = match self.certificates.is_empty() {
            true => None,
            false => Some(self.server().map_err(setup)?),
        };
        let client = self.client().map_err(setup)?;
        let speaks = |alpn: &[u8]| vec![alpn.to_vec()];
        let (mut tls_server, mut wss_server) = (server.clone(), server);
        let (mut tls_client, mut wss_client) = (client.clone(), client);
        if let (Some(tls), Some(wss)) = (&mut tls_server, &mut wss_server) {
            (tls.alpn_protocols, wss.alpn_protocols) = (speaks(SIP), speaks(HTTP));
        }
        (tls_client.alpn_protocols, wss_client.alpn_protocols) = (speaks(SIP), speaks(HTTP));
        Ok(Configs {
            tls_server: tls_server.map(Arc::new),
            wss_server: wss_server.map(Arc::new),
            tls_client: Arc::new(tls_client),
            wss_client: Arc::new(wss_client),
            any_server: self.any_server,
        })
    }

    fn server(&self) -> Result<ServerConfig, rustls::Error> {
        let builder = ServerConfig::builder_with_details(Arc::clone(&self.provider), Arc::clone(&self.time));
        let builder = builder.with_safe_default_protocol_versions()?;
        let verifier = |required| {
            let algorithms = self.provider.signature_verification_algorithms;
            Arc::new(Verifier::of_clients(Arc::clone(&self.roots), algorithms, required))
        };
        let builder = match self.clients {
            ClientCertificates::Ignored => builder.with_no_client_auth(),
            ClientCertificates::Optional => builder.with_client_cert_verifier(verifier(false)),
            ClientCertificates::Required => builder.with_client_cert_verifier(verifier(true)),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Own(self.certificates.clone())));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    fn client(&self) -> Result<ClientConfig, rustls::Error> {
        let builder = ClientConfig::builder_with_details(Arc::clone(&self.provider), Arc::clone(&self.time));
        let builder = builder.with_safe_default_protocol_versions()?;
        let algorithms = self.provider.signature_verification_algorithms;
        let verifier = Verifier::of_servers(Arc::clone(&self.roots), algorithms, self.any_server);
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = builder.with_client_cert_resolver(Arc::new(Own(self.certificates.clone())));
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("certificates", &self.certificates)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

/// The protocols as ALPN names them (RFC 7301 §6): SIP is registered as `sip/2`, and WebSocket begins as HTTP/1.1. A peer
/// that names none is not asked; one that wants others only is not here by intention.
const SIP: &[u8] = b"sip/2";
const HTTP: &[u8] = b"http/1.1";

/// What connections begin with.
pub(super) struct Configs {
    tls_server: Option<Arc<ServerConfig>>,
    wss_server: Option<Arc<ServerConfig>>,
    tls_client: Arc<ClientConfig>,
    wss_client: Arc<ClientConfig>,
    any_server: bool,
}

impl Configs {
    /// Makes the layer of a connection; a server without a certificate has none.
    pub(super) fn layer(&self, proto: Proto, end: End<'_>, limits: &Limits) -> Option<Box<dyn Layer>> {
        let sip = proto == Proto::Tls;
        let conn: Connection = match end {
            End::Server(_) => {
                let config = if sip { &self.tls_server } else { &self.wss_server };
                ServerConnection::new(Arc::clone(config.as_ref()?)).ok()?.into()
            }
            End::Client { name, remote } => {
                let config = if sip { &self.tls_client } else { &self.wss_client };
                let name = match name {
                    Some(name) => ServerName::try_from(name.as_str().to_owned()).ok()?,
                    None => ServerName::from(remote.ip()),
                };
                ClientConnection::new(Arc::clone(config), name).ok()?.into()
            }
        };
        let proves = matches!(end, End::Server(_)) || !self.any_server;
        Some(Box::new(Session::new(conn, proves, limits.handshake_bytes)))
    }
}

/// Our certificates.
#[derive(Debug)]
struct Own(Vec<Certificate>);

impl ResolvesServerCert for Own {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name().unwrap_or_default();
        let named =
            |own: &&Certificate| own.names().iter().any(|name| name.as_str().eq_ignore_ascii_case(asked));
        // RFC 5922 §7.8; without a match it is for the client to judge what it gets.
        let own = self.0.iter().find(named).or_else(|| self.0.first())?;
        Some(Arc::clone(&own.key))
    }
}

impl ResolvesClientCert for Own {
    fn resolve(&self, _issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let own = self.0.iter().find(|own| own.key.key.choose_scheme(schemes).is_some())?;
        Some(Arc::clone(&own.key))
    }

    fn has_certs(&self) -> bool {
        !self.0.is_empty()
    }
}

/// TLS on one connection.
struct Session {
    conn: Connection,
    /// Whether the peer's certificate was judged.
    proves: bool,
    /// The bytes that the peer may still need for its handshake.
    room: usize,
    state: State,
    risen: VecDeque<Rise>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has come from the peer.
    Silent,
    Handshake,
    Open,
    Ended,
}

impl Session {
    fn new(mut conn: Connection, proves: bool, room: usize) -> Self {
        // What waits is bounded by whoever sends.
        conn.set_buffer_limit(None);
        Self { conn, proves, room, state: State::Silent, risen: VecDeque::new() }
    }

    /// Takes as much as one step of the library does; tells how much that was.
    fn step(&mut self, data: &[u8]) -> Result<usize, WireError> {
        let mut part = data;
        match self.state {
            State::Silent if data[0] != HANDSHAKE_RECORD => return Err(WireError::NotTls),
            State::Silent | State::Handshake if self.room == 0 => return Err(WireError::HandshakeTooLong),
            State::Silent | State::Handshake => {
                self.state = State::Handshake;
                part = &data[..data.len().min(self.room)];
            }
            State::Open | State::Ended => {}
        }
        let whole = part.len();
        let general = |error: std::io::Error| WireError::Tls(rustls::Error::General(error.to_string()));
        self.conn.read_tls(&mut part).map_err(general)?;
        let taken = whole - part.len();
        let news = self.conn.process_new_packets()?;
        if self.state == State::Handshake {
            self.room -= taken;
            if !self.conn.is_handshaking() {
                self.state = State::Open;
                self.risen.push_back(Rise::Open(self.peer()));
            }
        }
        if news.plaintext_bytes_to_read() > 0 {
            let mut plain = vec![0; news.plaintext_bytes_to_read()];
            std::io::Read::read_exact(&mut self.conn.reader(), &mut plain).map_err(general)?;
            self.risen.push_back(Rise::Data(plain.into()));
        }
        if news.peer_has_closed() {
            self.state = State::Ended;
            self.risen.push_back(Rise::Ended(Ok(())));
        } else if taken == 0 {
            return Err(WireError::Tls(rustls::Error::General("nothing more is taken".into())));
        }
        Ok(taken)
    }

    fn peer(&self) -> PeerInfo {
        let certificate = self.conn.peer_certificates().and_then(|chain| chain.first());
        let names = certificate.filter(|_| self.proves).and_then(|certificate| names(certificate).ok());
        PeerInfo::proved(names.unwrap_or_default())
    }
}

impl Layer for Session {
    fn open(&mut self, _: PeerInfo) {}

    fn receive(&mut self, mut data: &[u8]) {
        while !data.is_empty() && self.state != State::Ended {
            match self.step(data) {
                Ok(taken) => data = &data[taken..],
                Err(error) => {
                    self.state = State::Ended;
                    self.risen.push_back(Rise::Ended(Err(error)));
                }
            }
        }
    }

    fn poll(&mut self) -> Option<Rise> {
        self.risen.pop_front()
    }

    fn send(&mut self, data: Bytes) {
        // There is no bound on what waits, so all of it is taken.
        let _taken = self.conn.writer().write_all(&data);
    }

    fn close(&mut self) {
        self.conn.send_close_notify();
    }

    /// RFC 8446 §6.1: either side may end without waiting for the other.
    fn awaits_end(&self) -> bool {
        false
    }

    fn drain(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.conn.wants_write() {
            // A Vec takes everything, so an error could only repeat.
            if self.conn.write_tls(&mut bytes).is_err() {
                break;
            }
        }
        bytes
    }

    /// What is in records has no ends that TLS would know of.
    fn unfinished(&self) -> Option<u64> {
        None
    }
}

/// What the first byte of a connection says if it is TLS (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 22;
