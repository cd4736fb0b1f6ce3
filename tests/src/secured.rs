use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SanType};
use rustls::{crypto::ring, time_provider::DefaultTimeProvider};
use sansip::{
    Config, Host, Proto, Seed,
    wire::{Certificate, Tls, WebSocket, Wire, trust_pem},
};

use crate::{
    Driver, Finished, Peer, Phone, Process, Program,
    program::{start_listening, wait_until_idle},
};

/// How long the program may take to open its sockets, to read its files or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// One who vouches for others.
#[derive(Debug)]
pub(crate) struct Issuer {
    issuer: rcgen::Issuer<'static, KeyPair>,
    ca: String,
}

impl Issuer {
    /// Makes one.
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let ca = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: rcgen::Issuer::new(params, key), ca }
    }

    /// Makes a certificate for addresses and names.
    pub(crate) fn certificate(&self, addresses: &[IpAddr], names: &[&str]) -> Certificate {
        let [chain, key] = self.pem(addresses, names);
        let provider = ring::default_provider();
        Certificate::from_pem(chain.as_bytes(), key.as_bytes(), &provider).expect("its own certificate")
    }

    /// Returns what a client needs to trust it.
    pub(crate) fn client(&self) -> Tls {
        let roots = trust_pem(self.ca.as_bytes()).expect("its own certificate");
        Tls::new(Arc::new(ring::default_provider()), Arc::new(DefaultTimeProvider)).roots(roots)
    }

    /// Makes a certificate and its key.
    fn pem(&self, addresses: &[IpAddr], names: &[&str]) -> [String; 2] {
        let key = KeyPair::generate().expect("a key");
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names).expect("they are names");
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        [params.signed_by(&key, &self.issuer).expect("a certificate").pem(), key.serialize_pem()]
    }
}

/// One who vouches for the addresses of loopback, with its files in a folder that goes with it.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer,
}

impl Authority {
    /// Makes one.
    ///
    /// # Panics
    /// If the system has neither room nor randomness.
    pub fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("sansip-ca-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(&name);
        fs::create_dir_all(&folder).expect("there is room");
        let issuer = Issuer::new(&name);
        fs::write(folder.join("ca.pem"), &issuer.ca).expect("there is room");
        Self { folder, issuer }
    }

    /// Writes a new certificate for the addresses of loopback and its key into two files.
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn certify(&self, chain: &Path, key_file: &Path) {
        let addresses = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let [certificate, key] = self.issuer.pem(&addresses, &[]);
        fs::write(chain, certificate).expect("there is room");
        fs::write(key_file, key).expect("there is room");
    }

    /// Returns the file with the certificate by which it vouches.
    pub fn ca(&self) -> String {
        self.file("ca.pem").display().to_string()
    }

    /// Returns a file of a name in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Returns what a client needs to trust it.
    pub fn client(&self) -> Tls {
        self.issuer.client()
    }

    /// Puts TLS and WebSocket around a phone, so that it trusts this authority.
    ///
    /// # Panics
    /// If the configuration is refused.
    pub fn phone(&self, phone: Phone, config: Config, seed: u64) -> Wire<Host<Phone>> {
        let limits = config.limits.clone();
        let mut wire = Wire::new(phone.host(config, &Seed::from_u64(seed)), &limits);
        wire.set_tls(&self.client()).expect("it needs no certificate");
        wire.set_websocket(WebSocket::new());
        wire
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // A folder left behind harms nobody.
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// A running `sansip serve` that listens for UDP, TLS, WebSocket and secure WebSocket on loopback ports of its own.
#[derive(Debug)]
pub struct SecuredServer {
    process: Process,
    authority: Authority,
    address: IpAddr,
    /// Where UDP is spoken.
    pub udp: u16,
    /// Where TLS is spoken.
    pub tls: u16,
    /// Where WebSocket is spoken.
    pub ws: u16,
    /// Where secure WebSocket is spoken.
    pub wss: u16,
}

impl SecuredServer {
    /// Starts a server with these lines in its configuration, and waits until all its sockets are open.
    ///
    /// # Errors
    ///
    /// What the system says, or what the server printed instead.
    pub fn start(driver: Driver, config: &str) -> io::Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), driver, config)
    }

    /// Starts a server at this address of loopback.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_at(address: IpAddr, driver: Driver, config: &str) -> io::Result<Self> {
        let authority = Authority::new();
        let (chain, key) = (authority.file("server.pem"), authority.file("server.key"));
        authority.certify(&chain, &key);
        let file = authority.file("config.toml");
        let files = format!("[tls]\ncertificate = {chain:?}\nkey = {key:?}\n");
        fs::write(&file, format!("{files}{config}"))?;
        let (driver, file) = (driver.to_string(), file.display().to_string());
        let transports = ["udp", "tls", "ws", "wss", "tcp"];
        let (process, [udp, tls, ws, wss, _]) = start_listening(transports, |port| {
            let mut command = Program::built().command(&["serve", "--driver", &driver, "--config", &file]);
            for (transport, port) in [("udp", port), ("tls", 0), ("ws", 0), ("wss", 0)] {
                let at = SocketAddr::new(address, port);
                command.args(["--listen", &format!("sip:{at};transport={transport}")]);
            }
            command.args(["--stats", "1s"]);
            command
        })?;
        Ok(Self { process, authority, address, udp, tls, ws, wss })
    }

    /// Returns where one of its ports is.
    pub const fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }

    /// Returns where a transport is spoken; TCP is beside UDP.
    ///
    /// # Panics
    /// If it is none of those.
    pub fn port(&self, proto: Proto) -> u16 {
        match proto {
            Proto::Udp | Proto::Tcp => self.udp,
            Proto::Tls => self.tls,
            Proto::Ws => self.ws,
            Proto::Wss => self.wss,
            other => panic!("nobody listens for {other}"),
        }
    }

    /// Begins to look how much memory it takes, and returns how much it takes now; as [`Process::begin_memory`].
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn begin_memory(&self) -> io::Result<u64> {
        self.process.begin_memory()
    }

    /// Returns the most memory that it has taken since then; as [`Process::most_memory`].
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn most_memory(&self) -> io::Result<u64> {
        self.process.most_memory()
    }

    /// Returns who vouches for it.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Has another authority vouch for it from now on.
    ///
    /// # Errors
    ///
    /// What the system says, or what the server printed instead of reading the files again.
    pub fn renew(&self, by: &Authority) -> io::Result<()> {
        by.certify(&self.authority.file("server.pem"), &self.authority.file("server.key"));
        self.hang_up()?;
        self.process.wait_for(PATIENCE, |text| text.contains("certificates read again")).map(|_| ())
    }

    /// Sends the signal that has it read its files.
    ///
    /// # Errors
    ///
    /// What the system says if `kill` cannot be run.
    pub fn hang_up(&self) -> io::Result<()> {
        Command::new("kill").args(["-HUP", &self.process.id().to_string()]).status().map(|_| ())
    }

    /// Waits until it has printed something.
    ///
    /// # Errors
    ///
    /// `TimedOut` with what it printed if it has not.
    pub fn wait_for(&self, wanted: &str) -> io::Result<String> {
        self.process.wait_for(PATIENCE, |text| text.contains(wanted))
    }

    /// Waits until it says that no call is open, in a line printed from now on.
    ///
    /// # Errors
    ///
    /// As [`wait_for`](Self::wait_for).
    pub fn wait_until_idle(&self) -> io::Result<()> {
        wait_until_idle(&self.process, PATIENCE)
    }

    /// Requires that it answers OPTIONS over all its transports.
    ///
    /// # Panics
    /// If it does not.
    pub fn assert_answers(&self) {
        let mut peer = Peer::new(self.udp).expect("loopback has ports");
        assert_eq!(peer.options(PATIENCE).expect("it answers over UDP"), 200);
        for (transport, port) in [("tls", self.tls), ("ws", self.ws), ("wss", self.wss)] {
            let uri = format!("sip:127.0.0.1:{port};transport={transport}");
            let Finished { status, printed } = options(&uri, &["--tls-ca", &self.authority.ca()]);
            assert!(status.success() && printed.contains("200 OK"), "{transport}: {printed}");
        }
    }

    /// Ends it in order.
    ///
    /// # Errors
    ///
    /// `TimedOut` with what it printed if it does not end.
    pub fn stop(self) -> io::Result<Finished> {
        self.process.interrupt()?;
        self.process.finish(PATIENCE)
    }
}

/// Runs `sansip options` with more words.
///
/// # Panics
/// If it does not run, or does not end.
pub fn options(uri: &str, words: &[&str]) -> Finished {
    let process = Process::start(Program::built().command(&["options", uri]).args(words)).expect("it starts");
    process.finish(PATIENCE).expect("it ends")
}
