use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use sansip::Proto;

use crate::{Authority, SecuredServer};

/// A connection whose bytes a test chooses: through the handshakes of its transport, and no further.
pub struct Intruder {
    stream: Box<dyn Duplex>,
    socket: TcpStream,
    framed: bool,
}

trait Duplex: Read + Write {}

impl<T: Read + Write> Duplex for T {}

/// The request with which WebSocket begins (RFC 6455 §4.1).
pub const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n";

/// How long the server may take to answer or to end a connection.
const PATIENCE: Duration = Duration::from_secs(20);

impl Intruder {
    /// Opens a bare connection.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn bare(at: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(at)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: Box::new(socket.try_clone()?), socket, framed: false })
    }

    /// Opens a connection of a transport to a server, up to where SIP begins.
    ///
    /// # Errors
    ///
    /// What the system or TLS says, or what the server answered instead of WebSocket.
    pub fn open(server: &SecuredServer, proto: Proto) -> io::Result<Self> {
        let at = server.at(server.port(proto));
        let mut intruder = Self::bare(at)?;
        if proto.is_secure() {
            let name = ServerName::IpAddress(at.ip().into());
            let tls = ClientConnection::new(trusting(server.authority()), name).map_err(io::Error::other)?;
            let mut stream = StreamOwned::new(tls, intruder.socket.try_clone()?);
            while stream.conn.is_handshaking() {
                stream.conn.complete_io(&mut stream.sock)?;
            }
            intruder.stream = Box::new(stream);
        }
        if matches!(proto, Proto::Ws | Proto::Wss) {
            intruder.write(UPGRADE.as_bytes())?;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                intruder.stream.read_exact(&mut byte)?;
                head.extend(byte);
            }
            if !head.starts_with(b"HTTP/1.1 101 ") {
                return Err(io::Error::other(String::from_utf8_lossy(&head).into_owned()));
            }
            intruder.framed = true;
        }
        Ok(intruder)
    }

    /// Sends bytes of the stream, under TLS if there is any.
    ///
    /// # Errors
    ///
    /// What the system says; that the server has ended the connection, among others.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush())
    }

    /// Sends a message, in a frame where it takes one.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn say(&mut self, message: &[u8]) -> io::Result<()> {
        if self.framed { self.write(&frame(0x82, message)) } else { self.write(message) }
    }

    /// Reads to the end of the connection, which may be a reset.
    ///
    /// # Panics
    /// If it stays open.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Err(error) if waits(&error) => panic!("the connection stays open after {bytes:x?}"),
            _ => bytes,
        }
    }

    /// Reads until the server has said this, and returns all that it said.
    ///
    /// # Panics
    /// If it does not.
    pub fn hear(&mut self, wanted: &str) -> String {
        let (mut heard, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            let text = String::from_utf8_lossy(&heard).into_owned();
            if text.contains(wanted) {
                return text;
            }
            match self.stream.read(&mut chunk) {
                Ok(len @ 1..) => heard.extend_from_slice(&chunk[..len]),
                ended => panic!("{ended:?} after {text}"),
            }
        }
    }

    /// Tells whether the server has ended the connection, once nothing has come for so long. What has come is thrown away.
    ///
    /// # Panics
    /// If the system knows no time-outs.
    pub fn is_over(&mut self, silence: Duration) -> bool {
        self.socket.set_read_timeout(Some(silence)).expect("sockets have time-outs");
        let mut chunk = [0; 4096];
        let over = loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => break !waits(&error),
            }
        };
        self.socket.set_read_timeout(Some(PATIENCE)).expect("sockets have time-outs");
        over
    }

    /// Gives up on what cannot be sent after so long.
    ///
    /// # Panics
    /// If the system knows no time-outs.
    pub fn hurry(&self, patience: Duration) {
        self.socket.set_write_timeout(Some(patience)).expect("sockets have time-outs");
    }

    /// Says to the system that nothing more comes.
    ///
    /// # Panics
    /// If the connection is broken already.
    pub fn half_close(&self) {
        self.socket.shutdown(Shutdown::Write).expect("it is open");
    }

    /// Sends one byte after the other, each after so long, and requires that the server ends the connection before `times`.
    ///
    /// # Panics
    /// If it stays open.
    pub fn trickle(&mut self, byte: u8, pace: Duration, times: usize) {
        let over = (0..times).any(|_| self.write(&[byte]).is_err() || self.is_over(pace));
        assert!(over, "the connection stays open");
    }
}

/// Returns a frame of a client: short, middle or long (RFC 6455 §5.2), with a mask of zeros.
pub fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u64;
    let size = match len {
        0..126 => vec![0x80 | u8::try_from(len).unwrap_or_default()],
        126..65_536 => [&[0xfe][..], &u16::try_from(len).unwrap_or_default().to_be_bytes()].concat(),
        _ => [&[0xff][..], &len.to_be_bytes()].concat(),
    };
    [&[head][..], &size, &[0; 4], payload].concat()
}

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn trusting(authority: &Authority) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(authority.ca()).expect("its own certificate");
    roots.add(certificate).expect("its own certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("the provider has them");
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}
