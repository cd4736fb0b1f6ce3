use std::{net::SocketAddr, time::Duration};

use sansip::{
    Config, DnsError, Endpoint, Host, Input, Instant, IoKind, Machine, Output, Proto, Seed, Service, SocketId,
};

/// Timer events after which an endpoint without news must be at rest.
const ROUNDS: usize = 10_000;

struct Quiet;

impl Service for Quiet {}

/// Feeds datagrams and ticks to a live endpoint, which must come to rest when they end.
///
/// The input is cut at bytes of 0xff; the byte behind each tells how many 16ths of a second pass.
pub fn endpoint_bytes(bytes: &[u8]) {
    let seed = Seed::new([7; 32]);
    let Ok(endpoint) = Endpoint::new(Config::default(), &seed, Instant::EPOCH) else { return };
    let mut host = Host::new(endpoint, Quiet);
    let mut now = Instant::EPOCH;
    let local: SocketAddr = ([192, 0, 2, 1], 5060).into();
    let remote: SocketAddr = ([192, 0, 2, 2], 5060).into();
    host.with(now, |_, cx| cx.listen(Proto::Udp, local)).expect("no limit is near");
    let mut socket = None;
    drain(&mut host, now, &mut socket);
    for part in bytes.split(|&byte| byte == 0xff) {
        let (ticks, payload) = part.split_first().map_or((0, part), |(ticks, rest)| (*ticks, rest));
        now += Duration::from_millis(u64::from(ticks) * 62);
        host.handle_input(now, Input::Timeout);
        drain(&mut host, now, &mut socket);
        if let Some(socket) = socket {
            host.handle_input(now, Input::Datagram { socket, local, remote, payload });
        }
        drain(&mut host, now, &mut socket);
    }
    for _ in 0..ROUNDS {
        let Some(at) = host.poll_timeout() else { break };
        now = now.max(at);
        host.handle_input(now, Input::Timeout);
        drain(&mut host, now, &mut socket);
    }
    assert!(host.endpoint().is_idle(), "the endpoint does not come to rest");
}

/// Plays a driver whose names resolve to nothing and whose connections are refused.
fn drain(host: &mut Host<Quiet>, now: Instant, socket: &mut Option<SocketId>) {
    while let Some(output) = host.poll_output() {
        match output {
            Output::Bind { socket: bound, addr, .. } => {
                *socket = Some(bound);
                host.handle_input(now, Input::Bound { socket: bound, result: Ok(addr) });
            }
            Output::Connect { conn, .. } => {
                host.handle_input(now, Input::Closed { conn, error: Some(IoKind::Refused) });
            }
            Output::Resolve { query, .. } => {
                host.handle_input(now, Input::Resolved { query, result: Err(DnsError::Failed) });
            }
            _ => {}
        }
    }
}
