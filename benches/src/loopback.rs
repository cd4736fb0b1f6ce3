use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Child, Command, Stdio},
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, crypto::ring, time_provider::DefaultTimeProvider};
use sansip::{
    Config, Endpoint, Host, Proto,
    wire::{Certificate, Tls, Wire, trust_pem},
};
use thiserror::Error;

use crate::{Caller, Keep, Peer, Shape, Template};

/// What is asked of a server in another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// OPTIONS, each in a transaction of its own: under load, where datagrams wait and are read and sent in batches.
    Options,
    /// OPTIONS, the next when the one before is answered: datagrams come and go one by one.
    OneByOne,
    /// Calls: INVITE, ACK, BYE.
    Calls,
}

/// A server that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Sends the same bytes back whatever comes, with one system call each way: the floor.
    Echo,
    /// On the tokio driver.
    Tokio(Keep),
    /// On the blocking driver.
    Blocking(Keep),
    /// Over TLS on the tokio driver, stateless.
    TokioSecured,
    /// Over TLS on the blocking driver, stateless.
    BlockingSecured,
}

impl Server {
    /// Those that are asked over TLS.
    pub const SECURED: [Self; 2] = [Self::TokioSecured, Self::BlockingSecured];

    /// Those that are asked over UDP and TCP.
    pub const ALL: [Self; 5] = [
        Self::Echo,
        Self::Tokio(Keep::Nothing),
        Self::Tokio(Keep::Transactions),
        Self::Blocking(Keep::Nothing),
        Self::Blocking(Keep::Transactions),
    ];

    /// Returns the word that names it on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Tokio(Keep::Nothing) => "tokio-stateless",
            Self::Tokio(Keep::Transactions) => "tokio-stateful",
            Self::Blocking(Keep::Nothing) => "blocking-stateless",
            Self::Blocking(Keep::Transactions) => "blocking-stateful",
            Self::TokioSecured => "tokio-tls",
            Self::BlockingSecured => "blocking-tls",
        }
    }

    /// Serves on a loopback port until the standard input ends.
    pub fn serve(self, port: u16) -> Result<(), Box<dyn std::error::Error>> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        match self {
            Self::Echo => echo(addr)?,
            Self::Tokio(keep) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async {
                    let host = host(keep, &sansip_tokio::seed()?, sansip_tokio::now())?;
                    let node = sansip_tokio::spawn(host);
                    node.with_service(move |_, cx| cx.listen(Proto::Udp, addr)).await??;
                    tokio::task::spawn_blocking(until_the_input_ends).await?;
                    Ok::<(), Box<dyn std::error::Error>>(())
                })?;
            }
            Self::Blocking(keep) => {
                let node =
                    sansip_blocking::spawn(host(keep, &sansip_blocking::seed()?, sansip_blocking::now())?)?;
                node.with_service(move |_, cx| cx.listen(Proto::Udp, addr))??;
                until_the_input_ends();
            }
            Self::TokioSecured => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async {
                    let host = host(Keep::Nothing, &sansip_tokio::seed()?, sansip_tokio::now())?;
                    let node = sansip_tokio::spawn(secured(host)?);
                    node.with_service(move |_, cx| cx.listen(Proto::Tls, addr)).await??;
                    tokio::task::spawn_blocking(until_the_input_ends).await?;
                    Ok::<(), Box<dyn std::error::Error>>(())
                })?;
            }
            Self::BlockingSecured => {
                let host = host(Keep::Nothing, &sansip_blocking::seed()?, sansip_blocking::now())?;
                let node = sansip_blocking::spawn(secured(host)?)?;
                node.with_service(move |_, cx| cx.listen(Proto::Tls, addr))??;
                until_the_input_ends();
            }
        }
        Ok(())
    }
}

/// A text that names no server.
#[derive(Debug, Error)]
#[error("no server is called {0:?}")]
pub struct UnknownServer(String);

impl FromStr for Server {
    type Err = UnknownServer;

    fn from_str(text: &str) -> Result<Self, UnknownServer> {
        let mut all = Self::ALL.into_iter().chain(Self::SECURED);
        all.find(|server| server.name() == text).ok_or_else(|| UnknownServer(text.into()))
    }
}

/// What a server took for what it was asked.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// Requests or calls that were answered.
    pub count: u64,
    /// Processor time of the server's process, user and system together.
    pub cpu: Duration,
    /// Time of the wall clock.
    pub time: Duration,
}

impl Served {
    /// Returns the processor time of one, in microseconds.
    pub fn micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count as f64
    }

    /// Returns how many were served a second.
    pub fn per_second(&self) -> f64 {
        self.count as f64 / self.time.as_secs_f64()
    }
}

/// A server in a process of its own, alone on the first processor core; what asks it stays on the second.
#[derive(Debug)]
pub struct Apart {
    child: Child,
    port: u16,
}

impl Apart {
    /// Starts `program --serve SERVER PORT`.
    pub fn start(program: &std::path::Path, server: Server) -> io::Result<Self> {
        let port = free_port()?;
        pin(std::process::id(), LOAD_CORE)?;
        let mut command = Command::new("taskset");
        command.args(["-c", SERVER_CORE]).arg(program).args(["--serve", server.name(), &port.to_string()]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        Ok(Self { child, port })
    }

    /// Asks for as long as `time`, after a warm-up, with as many requests or calls under way as it says.
    pub fn ask(&self, ask: Ask, time: Duration) -> io::Result<Served> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, self.port))?;
        socket.set_read_timeout(Some(LOST))?;
        let mut client: Box<dyn Client> = match ask {
            Ask::Options => Box::new(OptionsClient { template: options(), number: 0, lanes: OUTSTANDING }),
            Ask::OneByOne => Box::new(OptionsClient { template: options(), number: 0, lanes: 1 }),
            Ask::Calls => Box::new(CallsClient::new()),
        };
        run(&socket, &mut *client, time / 4)?;
        let before = self.cpu()?;
        let begin = Instant::now();
        let count = run(&socket, &mut *client, time)?;
        Ok(Served { count, cpu: self.cpu()?.saturating_sub(before), time: begin.elapsed() })
    }

    /// Opens TCP connections, has each answer one OPTIONS, and returns the server's resident bytes for each.
    pub fn connection_bytes(&self, count: usize) -> io::Result<u64> {
        self.bytes_each(count, Ok)
    }

    /// Does the same over TLS, with the certificate that the server prints.
    pub fn secured_connection_bytes(&mut self, count: usize) -> io::Result<u64> {
        let mut pem = [0; 4096];
        let printed = self.child.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.read(&mut pem)?;
        let roots = trust_pem(&pem[..printed]).map_err(io::Error::other)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        self.bytes_each(count, |stream| {
            let name = NAME.try_into().map_err(io::Error::other)?;
            let session = ClientConnection::new(Arc::clone(&config), name).map_err(io::Error::other)?;
            Ok(StreamOwned::new(session, stream))
        })
    }

    /// Opens connections that `dress` makes ready, has each answer one OPTIONS, and returns the server's resident bytes for
    /// each. The first one is not counted, nor what all share.
    fn bytes_each<S: io::Read + io::Write>(
        &self,
        count: usize,
        dress: impl Fn(TcpStream) -> io::Result<S>,
    ) -> io::Result<u64> {
        let probe = |number: usize| -> io::Result<S> {
            let stream = self.connect()?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            let mut stream = dress(stream)?;
            ask_over(&mut stream, number as u64)?;
            Ok(stream)
        };
        let mut open = vec![probe(0)?];
        let before = resident(self.child.id())?;
        for number in 1..=count {
            open.push(probe(number)?);
        }
        Ok(resident(self.child.id())?.saturating_sub(before) / count as u64)
    }

    /// Connects, as soon as the server listens.
    fn connect(&self) -> io::Result<TcpStream> {
        let begin = Instant::now();
        loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                Err(error)
                    if error.kind() == io::ErrorKind::ConnectionRefused && begin.elapsed() < STARTING =>
                {
                    std::thread::sleep(LOST);
                }
                other => return other,
            }
        }
    }

    /// Returns the processor time of all threads so far.
    fn cpu(&self) -> io::Result<Duration> {
        let mut total = Duration::ZERO;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let nanos = text.split_whitespace().next().and_then(|first| first.parse().ok());
            total += Duration::from_nanos(nanos.ok_or(io::ErrorKind::InvalidData)?);
        }
        Ok(total)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // It ends by itself when its input does; this is for one that hangs.
        drop(self.child.stdin.take());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Requests or calls under way at any moment under load.
pub const OUTSTANDING: usize = 64;

const SERVER_CORE: &str = "0";
const LOAD_CORE: &str = "1";

/// After so long without an answer the requests under way are given up for lost.
const LOST: Duration = Duration::from_millis(200);

/// So long a server may take to listen.
const STARTING: Duration = Duration::from_secs(10);

/// The name in the certificate.
const NAME: &str = "localhost";

/// Returns a port that is free for UDP and TCP.
fn free_port() -> io::Result<u16> {
    for _ in 0..100 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = udp.local_addr()?.port();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Puts TLS around a host, with a certificate of its own that it prints.
fn secured(host: Host<Peer>) -> Result<Wire<Host<Peer>>, Box<dyn std::error::Error>> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let provider = ring::default_provider();
    let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes(), &provider)?;
    let tls = Tls::new(Arc::new(provider), Arc::new(DefaultTimeProvider)).certificates(vec![certificate]);
    let mut wire = Wire::new(host, &Config::default().limits);
    wire.set_tls(&tls)?;
    io::stdout().write_all(chain.as_bytes())?;
    io::stdout().flush()?;
    Ok(wire)
}

/// Keeps a process on one core.
fn pin(process: u32, core: &str) -> io::Result<()> {
    let mut command = Command::new("taskset");
    command.args(["-acp", core, &process.to_string()]).stdout(Stdio::null());
    if command.status()?.success() { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
}

fn host(keep: Keep, seed: &sansip::Seed, now: sansip::Instant) -> Result<Host<Peer>, sansip::ConfigError> {
    let mut config = Config::default();
    config.limits.calls = 1 << 22;
    Ok(Host::new(Endpoint::new(config, seed, now)?, Peer::new(keep)))
}

/// Answers with a 200 of the usual size, which it does not even look at.
fn echo(addr: SocketAddr) -> io::Result<()> {
    std::thread::spawn(|| {
        until_the_input_ends();
        std::process::exit(0);
    });
    let socket = UdpSocket::bind(addr)?;
    let answer = Shape::Ok.bytes();
    let mut buffer = vec![0; 65_536];
    loop {
        let (_, remote) = socket.recv_from(&mut buffer)?;
        socket.send_to(&answer[..ECHO.min(answer.len())], remote)?;
    }
}

/// As long as the 200 that a server gives to the OPTIONS.
const ECHO: usize = 404;

fn until_the_input_ends() {
    // Whatever it says, the end is what counts.
    drop(io::copy(&mut io::stdin(), &mut io::sink()));
}

/// What keeps a number of requests under way.
trait Client {
    /// Sends the first of each lane.
    fn prime(&mut self, send: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>;
    /// Takes an answer, sends what follows, and returns whether something has been completed.
    fn heard(&mut self, answer: &[u8], send: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<bool>;
}

fn run(socket: &UdpSocket, client: &mut dyn Client, time: Duration) -> io::Result<u64> {
    let mut send = |bytes: &[u8]| match socket.send(bytes) {
        // It is not there yet.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        other => other.map(|_| ()),
    };
    let (begin, mut count, mut buffer) = (Instant::now(), 0, vec![0; 65_536]);
    client.prime(&mut send)?;
    while begin.elapsed() < time {
        match socket.recv(&mut buffer) {
            Ok(len) => count += u64::from(client.heard(&buffer[..len], &mut send)?),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::thread::sleep(LOST),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                client.prime(&mut send)?;
            }
            Err(error) => return Err(error),
        }
    }
    // What is still under way must not count for the next run.
    while socket.recv(&mut buffer).is_ok() {}
    Ok(count)
}

struct OptionsClient {
    template: Template,
    number: u64,
    lanes: usize,
}

impl Client for OptionsClient {
    fn prime(&mut self, send: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        (0..self.lanes).try_for_each(|_| self.next(send))
    }

    fn heard(&mut self, _: &[u8], send: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<bool> {
        self.next(send)?;
        Ok(true)
    }
}

impl OptionsClient {
    fn next(&mut self, send: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.number += 1;
        send(self.template.numbered(self.number))
    }
}

/// Returns the OPTIONS of the benches, asking for its answer where it came from (RFC 3581).
fn options() -> Template {
    let text = String::from_utf8(Shape::Options.bytes()).expect("it is text");
    Template::new(text.replacen(";branch=", ";rport;branch=", 1).into_bytes())
}

/// One caller a lane; a call's number says whose it is.
struct CallsClient(Vec<Caller>);

impl CallsClient {
    fn new() -> Self {
        Self((0..OUTSTANDING as u64).map(|lane| Caller::every(lane, OUTSTANDING as u64)).collect())
    }
}

impl Client for CallsClient {
    fn prime(&mut self, send: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.0.iter_mut().try_for_each(|caller| send(caller.invite()))
    }

    fn heard(&mut self, answer: &[u8], send: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<bool> {
        let number = field(answer, "Call-ID: ").and_then(|id| u64::from_str_radix(id.get(..16)?, 16).ok());
        let number = number.ok_or(io::ErrorKind::InvalidData)?;
        let caller = &mut self.0[number as usize % OUTSTANDING];
        if caller.number() != number || !answer.starts_with(b"SIP/2.0 200") {
            return Ok(false);
        }
        if field(answer, "CSeq: ").is_some_and(|cseq| cseq.ends_with("INVITE")) {
            caller.heard(answer);
            send(&caller.ack())?;
            send(&caller.bye())?;
            return Ok(false);
        }
        send(caller.invite())?;
        Ok(true)
    }
}

fn field<'a>(message: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(message).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))
}

/// Sends one OPTIONS over a connection and reads the head of its answer.
fn ask_over(stream: &mut (impl io::Read + io::Write), number: u64) -> io::Result<()> {
    let mut template = options();
    stream.write_all(template.numbered(number))?;
    let (mut read, mut chunk) = (Vec::new(), [0; 2048]);
    while memchr::memmem::find(&read, b"\r\n\r\n").is_none() {
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => read.extend_from_slice(&chunk[..len]),
        }
    }
    if read.starts_with(b"SIP/2.0 200") { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Returns the resident bytes of a process.
pub(crate) fn resident(process: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for server in Server::ALL.into_iter().chain(Server::SECURED) {
            assert_eq!(server.name().parse::<Server>().expect("its own name"), server);
        }
    }

    /// What the load counts as a call is a whole one.
    #[test]
    fn a_call_counts_when_its_bye_is_answered() {
        let mut client = CallsClient::new();
        let mut sent = Vec::new();
        let mut note = |bytes: &[u8]| -> io::Result<()> {
            sent.push(String::from_utf8_lossy(bytes).split(' ').next().unwrap_or_default().to_owned());
            Ok(())
        };
        client.prime(&mut note).expect("it is noted");
        let answer = |cseq: &str| {
            format!("SIP/2.0 200 OK\r\nTo: <sip:b@c>;tag=1\r\nCall-ID: {:016x}@a\r\nCSeq: {cseq}\r\n\r\n", 64)
        };
        assert!(!client.heard(answer("1 INVITE").as_bytes(), &mut note).expect("it is noted"));
        assert!(client.heard(answer("2 BYE").as_bytes(), &mut note).expect("it is noted"));
        assert!(!client.heard(answer("2 BYE").as_bytes(), &mut note).expect("it is noted"), "a copy");
        assert_eq!(sent[OUTSTANDING..], ["ACK", "BYE", "INVITE"]);
    }
}
