//! Services over WebSocket on loopback: paths, ports, and one connection for each pair.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::crypto::ring;
use sansip::{
    ClientEnd, Config, Endpoint, Host, IoKind, Outgoing, Proto,
    wire::{Certificate, WebSocket, Wire},
};
use sansip_blocking::NodeHandle;
use sansip_tests::{Authority, Phone, Process, Program, Recorder, free_port, options, uri};

const LIMIT: Duration = Duration::from_secs(20);

/// Starts a service that listens for a transport and serves these paths, or all.
fn server(
    authority: &Authority,
    proto: Proto,
    paths: &[&str],
) -> (NodeHandle<Wire<Host<Recorder>>>, SocketAddr) {
    let (chain, key) = (authority.file("node.pem"), authority.file("node.key"));
    authority.certify(&chain, &key);
    let read = |path| fs::read(path).expect("it was written");
    let provider = Arc::new(ring::default_provider());
    let own = Certificate::from_pem(&read(&chain), &read(&key), &provider).expect("they belong together");
    let (seed, now) = (sansip_blocking::seed().expect("there is chance"), sansip_blocking::now());
    let endpoint = Endpoint::new(Config::default(), &seed, now).expect("the defaults");
    let mut wire = Wire::new(Host::new(endpoint, Recorder::default()), &Config::default().limits);
    wire.set_tls(&authority.client().certificates(vec![own])).expect("the certificate is usable");
    let served = paths.iter().try_fold(WebSocket::new(), |served, path| served.serve_path(path));
    wire.set_websocket(served.expect("they are paths"));
    let node = sansip_blocking::spawn(wire).expect("there are threads");
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().expect("loopback has ports")));
    node.with_service(|_, cx| cx.listen(proto, at)).expect("it runs").expect("it may listen");
    (node, at)
}

/// Starts a client that asks servers for a path.
fn client(authority: &Authority, path: &str) -> NodeHandle<Wire<Host<Phone>>> {
    let mut wire = authority.phone(Phone::new(), Config::default(), 1);
    wire.set_websocket(WebSocket::new().target(path).expect("it is a path"));
    sansip_blocking::spawn(wire).expect("there are threads")
}

/// Asks for OPTIONS over a transport, and returns how that ends.
fn ask(client: &NodeHandle<Wire<Host<Phone>>>, at: SocketAddr, proto: Proto) -> ClientEnd {
    let asked = client.with_service(|_, cx| cx.request(Outgoing::options(uri(at, proto))));
    let handle = asked.expect("it runs").expect("it is sent");
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(ended) = client.with_service(|phone, _| phone.end_of(handle)).expect("it runs") {
            return ended;
        }
        assert!(Instant::now() < end, "it does not end");
        std::thread::yield_now();
    }
}

const FINE: ClientEnd = ClientEnd::Final(sansip::StatusCode::OK);

/// T23.02, T23.03, RFC 7118 §5: OPTIONS over WebSocket: its Via says so, the service learns both ends and the path, and there is
/// one connection at each side, also after a second request.
#[test]
fn t23_02_t23_03_requests_share_a_connection() {
    for proto in [Proto::Ws, Proto::Wss] {
        let authority = Authority::new();
        let (server, at) = server(&authority, proto, &[]);
        let client = client(&authority, "/sip/phones?x=1");
        for asked in 1..=2 {
            assert_eq!(ask(&client, at, proto), FINE);
            let counted =
                (client.with(|wire, _| wire.stats().opened), server.with(|wire, _| wire.stats().opened));
            assert_eq!(counted, (Ok(1), Ok(1)), "{proto}: after {asked}");
        }
        let asked = server.with_service(|recorder, _| recorder.asked.clone()).expect("it runs");
        let [(request, first), (_, second)] = &asked[..] else { panic!("{} requests", asked.len()) };
        assert_eq!((first.proto, first.local, first.remote.ip()), (proto, at, at.ip()));
        assert_eq!(first.remote, second.remote, "{proto}: the same connection");
        let path = first.peer.as_ref().and_then(|peer| peer.path.as_deref());
        assert_eq!(path, Some("/sip/phones?x=1"));
        let via = request.view().via().as_str().to_owned();
        assert!(via.starts_with(&format!("SIP/2.0/{} ", proto.via_name())), "{via}");
    }
}

/// T23.04, T23.07, RFC 3261 §8.1.3.1: a secure port serves a path and those below it. Whoever asks for another one gets no
/// connection, and the request ends as one that could not be sent, which counts as 503.
#[test]
fn t23_04_t23_07_paths_are_served_or_refused() {
    let authority = Authority::new();
    let (server, at) = server(&authority, Proto::Wss, &["/ws"]);
    for (path, served) in
        [("/ws", true), ("/ws/", true), ("/ws/a/b", true), ("/", false), ("/wss", false), ("/other", false)]
    {
        let ended = ask(&client(&authority, path), at, Proto::Wss);
        let refused = ClientEnd::Transport(IoKind::Protocol);
        assert_eq!(ended, if served { FINE } else { refused }, "{path}");
    }
    assert_eq!(server.with_service(|recorder, _| recorder.asked.len()), Ok(3));
}

/// T23.01: services listen with a path and without, at a port of their own or the usual one; when one ends, the other goes on.
#[test]
fn t23_01_listeners_with_and_without_a_path() {
    let [first, second] = [(); 2].map(|()| free_port().expect("loopback has ports"));
    let serve = |port: u16, words: &[&str]| {
        let listen = format!("sip:127.0.0.1:{port};transport=ws");
        let words = [&["serve", "--listen", &listen], words].concat();
        let process = Process::start(&mut Program::built().command(&words)).expect("it starts");
        process.wait_for(LIMIT, |text| text.contains("listening on")).expect("it listens");
        process
    };
    let with_path = serve(first, &["--ws-path", "/ws"]);
    let _without = serve(second, &[]);
    let code = |port: u16, path: &str| {
        options(&format!("sip:127.0.0.1:{port};transport=ws"), &["--ws-path", path]).status.code()
    };
    assert_eq!([code(first, "/ws"), code(first, "/ws/a"), code(first, "/")], [Some(0), Some(0), Some(4)]);
    assert_eq!([code(second, "/ws"), code(second, "/")], [Some(0), Some(0)]);
    with_path.interrupt().expect("kill runs");
    assert!(with_path.finish(LIMIT).expect("it ends").status.success());
    assert_eq!([code(first, "/ws"), code(second, "/ws")], [Some(4), Some(0)]);
    // Whether a user may have the usual port is for the system to say.
    let usual =
        Process::start(&mut Program::built().command(&["serve", "--listen", "sip:127.0.0.77;transport=ws"]));
    let usual = usual.expect("it starts");
    usual.wait_for(LIMIT, |text| text.contains(" on sip:127.0.0.77:80 (ws)")).expect("it is the usual port");
}
