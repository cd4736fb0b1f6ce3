use std::{
    io::IsTerminal as _,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use sansip::{Config, IoKind, Proto, wire::WireStats};
use tracing::{info, warn};

use crate::{
    answerer::{Answerer, News, Tally},
    config::{self, Level, Settings},
    exit::Exit,
    files,
    interrupt::{self, Signal},
    listen::{Listen, address_towards, advice},
    node::{Driver, Node},
    print,
    secure::{Clients, Secure, SecureError, TlsFiles},
    session::{self, Sessions},
    span::Span,
};

/// What a server is told; what is not said here is as in the configuration file, or else as usual.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::exit::SERVE_HELP)]
pub(crate) struct Args {
    /// Open a socket: sip:HOST:PORT[;transport=udp|tcp|tls|ws|wss]. May be repeated. UDP opens TCP on the same
    /// port too [default: sip:127.0.0.1:5060]
    #[arg(long, value_name = "URI")]
    listen: Vec<Listen>,
    /// What runs the endpoint [default: tokio]
    #[arg(long)]
    driver: Option<Driver>,
    /// Read a configuration file; `sansip config` prints all its keys
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How long a call rings before it is answered, such as 2s [default: 0s]
    #[arg(long, value_name = "TIME")]
    ring: Option<Span>,
    /// Print the number of open calls so often, such as 1s
    #[arg(long, value_name = "TIME")]
    stats: Option<Span>,
    /// The certificate that TLS shows, followed by those that vouch for it, in PEM; read again on SIGHUP, as are the others
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The private key of that certificate, in PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Trust the certificates in this file to vouch for others, instead of those that the system trusts
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Whether clients have to show a certificate [default: ignored]
    #[arg(long, value_name = "WHO")]
    tls_clients: Option<Clients>,
    /// Serve this path and what lies below it over WebSocket, and no other. May be repeated
    #[arg(long, value_name = "PATH")]
    ws_path: Vec<String>,
    /// What is logged: off, error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    log: Option<Level>,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    let stats = args.stats.map(Duration::from).filter(|every| !every.is_zero());
    let mut settings = match settings(args) {
        Ok(settings) => settings,
        Err(error) => {
            print::error(error);
            return Exit::Local;
        }
    };
    tracing_subscriber::fmt()
        .with_max_level(settings.serve.log.0)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    bound_connections(&mut settings.endpoint);
    let secure = match secure(&settings) {
        Ok(secure) => secure,
        Err(error) => {
            print::error(error);
            return Exit::Local;
        }
    };
    let (sender, news) = mpsc::channel();
    let pressed = sender.clone();
    let reloads = settings.tls.has_certificate();
    interrupt::on_signal(move |signal| {
        let told = match signal {
            Signal::Reload if reloads => News::Reload,
            Signal::Reload | Signal::End => News::Interrupt,
        };
        // If nobody listens any more, the program is ending already.
        let _told = pressed.send(told);
    });
    let serve = &settings.serve;
    let sessions = Sessions::new(media_addresses(&settings), session::fresh());
    let answerer = Answerer::new(serve.listen.clone(), sessions, serve.ring, sender);
    let tally = answerer.tally();
    let node = match Node::start(serve.driver, settings.endpoint.clone(), secure, answerer) {
        Ok(node) => node,
        Err(error) => {
            print::error(format_args!("cannot start: {error}"));
            return Exit::Local;
        }
    };
    let exit = watch(&node, &news, stats, &tally, &settings.tls);
    let counted = node.wire_stats();
    if counted != WireStats::default() {
        info!("TLS and WebSocket: {counted}");
    }
    if exit == Exit::Success {
        node.shut_down(settings.serve.grace);
        print::line(tally);
    } else {
        node.shut_down(Duration::ZERO);
    }
    exit
}

fn settings(args: Args) -> Result<Settings, config::FileError> {
    let mut settings = args.config.as_deref().map_or_else(|| Ok(Settings::default()), config::load)?;
    let serve = &mut settings.serve;
    if !args.listen.is_empty() {
        serve.listen = args.listen;
    }
    serve.driver = args.driver.unwrap_or(serve.driver);
    serve.log = args.log.unwrap_or(serve.log);
    serve.ring = args.ring.map_or(serve.ring, Duration::from);
    let tls = &mut settings.tls;
    tls.certificate = args.tls_cert.or_else(|| tls.certificate.take());
    tls.key = args.tls_key.or_else(|| tls.key.take());
    tls.ca = args.tls_ca.or_else(|| tls.ca.take());
    tls.clients = args.tls_clients.unwrap_or(tls.clients);
    if !args.ws_path.is_empty() {
        settings.websocket.paths = args.ws_path;
    }
    let listen = serve.listen.clone();
    let beside = |tcp: &Listen| {
        let by_udp = |udp: &Listen| udp.proto == Proto::Udp && udp.addr == tcp.addr;
        settings.endpoint.tcp_beside_udp && tcp.proto == Proto::Tcp && listen.iter().any(by_udp)
    };
    serve.listen.retain(|listen| !beside(listen));
    Ok(settings)
}

/// Reads what TLS and WebSocket need, and checks that it is enough for the sockets.
fn secure(settings: &Settings) -> Result<Secure, SecureError> {
    let secured = settings.serve.listen.iter().find(|listen| listen.proto.is_secure());
    if let Some(listen) = secured.filter(|_| !settings.tls.has_certificate() && settings.tls.key.is_none()) {
        return Err(SecureError::NoCertificate(listen.to_string()));
    }
    Ok(Secure { tls: settings.tls.load()?, websocket: settings.websocket.load()? })
}

/// Keeps the limit of connections below what the system allows, so that a peer is refused and not left waiting.
fn bound_connections(endpoint: &mut Config) {
    // Those that are only beginning need files as well.
    let room = files::room_for_connections().map(|room| {
        endpoint.limits.handshakes = endpoint.limits.handshakes.min(room / 8);
        room - endpoint.limits.handshakes
    });
    match room {
        Some(room) if room < endpoint.limits.connections => {
            warn!(
                "limits.connections is lowered from {} to {room}: raise the limit of open files (ulimit -n) for more",
                endpoint.limits.connections
            );
            endpoint.limits.connections = room;
        }
        Some(room) => info!("{} connections at most; the system allows {room}", endpoint.limits.connections),
        None => {}
    }
}

/// Returns a documentation address (RFC 5737, RFC 3849), which stands for any far one of its family.
fn far(family: IpAddr) -> SocketAddr {
    match family {
        IpAddr::V4(_) => ([192, 0, 2, 1], 9).into(),
        IpAddr::V6(_) => ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9).into(),
    }
}

/// Returns where media may be said to be received: at the sockets' own addresses.
fn media_addresses(settings: &Settings) -> Vec<IpAddr> {
    let named = settings.endpoint.host.as_ref();
    let named = named.and_then(|host| host.as_str().trim_matches(['[', ']']).parse().ok());
    let own = settings.serve.listen.iter().filter_map(|listen| {
        let ip = listen.addr.ip();
        if ip.is_unspecified() { address_towards(far(ip)) } else { Some(ip) }
    });
    named.into_iter().chain(own).collect()
}

/// Prints what happens until the program is asked to end.
fn watch(
    node: &Node<Answerer>,
    news: &Receiver<News>,
    stats: Option<Duration>,
    tally: &Tally,
    tls: &TlsFiles,
) -> Exit {
    let start = Instant::now();
    let mut printed = 0;
    let mut counted = WireStats::default();
    loop {
        let due = stats.map(|every| start + every * (printed + 1));
        let wait = due.map_or(LOOK, |due| due.saturating_duration_since(Instant::now()).min(LOOK));
        match news.recv_timeout(wait) {
            Ok(News::Interrupt) => return Exit::Success,
            Ok(News::Reload) => reload(node, tls),
            Ok(News::Bound { proto, result: Ok(addr), .. }) => {
                print::line(format_args!("listening on sip:{addr} ({proto})"));
            }
            Ok(News::Bound { proto, addr, result: Err(error) }) => {
                refused(proto, addr, error);
                return Exit::Local;
            }
            Err(RecvTimeoutError::Timeout) if !node.is_gone() => {}
            Err(_) => {
                print::error("the endpoint has ended unexpectedly");
                return Exit::Local;
            }
        }
        counted = tell_failures(node, counted);
        if due.is_some_and(|due| due <= Instant::now()) {
            printed += 1;
            print::line(format_args!("calls open: {}", tally.open()));
        }
    }
}

/// Logs what went wrong with TLS and WebSocket since the last time, in one line, since peers may cause a lot of it.
fn tell_failures(node: &Node<Answerer>, before: WireStats) -> WireStats {
    let now = node.wire_stats();
    let sum = |stats: &WireStats| stats.failed + stats.broken + stats.refused;
    let more = sum(&now).saturating_sub(sum(&before));
    match node.failure().filter(|_| more > 0) {
        Some(last) => warn!("{more} connections failed; the last one from {}: {}", last.remote, last.error),
        None if more > 0 => warn!("{more} connections refused: too many are in a handshake"),
        None => {}
    }
    now
}

/// Reads the files of TLS again. Connections that are open go on; if anything is wrong, so does all else.
fn reload(node: &Node<Answerer>, files: &TlsFiles) {
    let done = files.load().and_then(|tls| node.set_tls(tls).map_err(SecureError::Setup));
    match done {
        Ok(()) => print::line("certificates read again"),
        Err(error) => print::error(format_args!("the certificates stay as they were: {error}")),
    }
}

fn refused(proto: Proto, addr: SocketAddr, error: IoKind) {
    print::error(format_args!("cannot listen on sip:{addr} ({proto}): {error}; {}", advice(error)));
}

/// How often the program looks whether the endpoint still runs.
const LOOK: Duration = Duration::from_secs(1);
