use std::{net::SocketAddr, time::Duration};

use sansip::{
    Config, Endpoint, Host, Input, Instant, Machine, Output, Proto, Seed, Service, SocketId, Unreachable,
};

/// Timer events after which an endpoint without news must be at rest.
const ROUNDS: usize = 10_000;

/// Feeds STUN messages to a live endpoint that asks a STUN server itself (RFC 8489).
///
/// The input is a row of datagrams. The first byte of each tells its length, the second how many 16ths of a second pass
/// before, and the third what is made right in it and who it is from. Nothing comes without a cause, what comes goes to
/// whoever caused it, and never more than two and a half times the bytes: 56 for a request of 24 with an unknown attribute.
pub fn stun(mut bytes: &[u8]) {
    let Ok(endpoint) = Endpoint::new(Config::default(), &Seed::new([7; 32]), Instant::EPOCH) else { return };
    let mut node =
        Node { host: Host::new(endpoint, Quiet), now: Instant::EPOCH, socket: SocketId(0), id: [0; 12] };
    node.begin();
    while let Some((&[length, ticks, flags], rest)) = bytes.split_first_chunk::<3>() {
        let (payload, after) = rest.split_at(rest.len().min(length.into()));
        bytes = after;
        node.now += Duration::from_millis(u64::from(ticks) * 62);
        node.host.handle_input(node.now, Input::Timeout);
        node.settle(None);
        let from = if flags & 1 == 0 { SERVER } else { OTHER };
        if flags & 2 != 0 {
            let why = Unreachable::Icmp;
            node.host
                .handle_input(node.now, Input::Unreachable { socket: node.socket, remote: from.into(), why });
            node.settle(None);
            continue;
        }
        let payload = righted(payload, flags, node.id);
        node.datagram(from.into(), &payload);
    }
    for _ in 0..ROUNDS {
        let Some(at) = node.host.poll_timeout() else { break };
        node.now = node.now.max(at);
        node.host.handle_input(node.now, Input::Timeout);
        node.settle(None);
    }
    assert_eq!(node.host.poll_timeout(), None, "it asks for ever");
    assert!(node.host.endpoint().is_idle(), "the endpoint does not come to rest");
}

struct Quiet;

impl Service for Quiet {}

struct Node {
    host: Host<Quiet>,
    now: Instant,
    socket: SocketId,
    /// The transaction of the last question to the server.
    id: [u8; 12],
}

impl Node {
    fn begin(&mut self) {
        let local = SocketAddr::from(LOCAL);
        let socket =
            self.host.with(self.now, |_, cx| cx.listen(Proto::Udp, local)).expect("no limit is near");
        self.socket = socket;
        while self.host.poll_output().is_some() {}
        self.host.handle_input(self.now, Input::Bound { socket, result: Ok(local) });
        self.host.with(self.now, |_, cx| cx.stun(socket, SERVER.into())).expect("it is bound");
        self.settle(None);
    }

    fn datagram(&mut self, remote: SocketAddr, payload: &[u8]) {
        let (socket, local) = (self.socket, LOCAL.into());
        self.host.handle_input(self.now, Input::Datagram { socket, local, remote, payload });
        self.settle(Some((remote, payload)));
    }

    /// Takes what the endpoint sends: questions to the server, and one answer at most.
    fn settle(&mut self, cause: Option<(SocketAddr, &[u8])>) {
        let mut answers = 0;
        while let Some(output) = self.host.poll_output() {
            let Output::Transmit { remote, payload, .. } = output else { continue };
            if payload.starts_with(&[0, 1]) {
                assert_eq!(remote, SERVER.into(), "nobody else is asked");
                self.id = payload[8..20].try_into().expect("it is there");
                continue;
            }
            // Answers to what is no STUN go by their own rules.
            let Some((from, asked)) = cause.filter(|(_, asked)| is_stun(asked)) else { continue };
            answers += 1;
            assert!(2 * payload.len() <= 5 * asked.len(), "{} bytes", payload.len());
            assert_eq!((remote, answers), (from, 1));
        }
    }
}

fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|byte| *byte < 0x40) && datagram.get(4..8) == Some(&COOKIE)
}

/// Makes right in a datagram what chance does not: its cookie, its transaction, its length, its fingerprint.
fn righted(payload: &[u8], flags: u8, id: [u8; 12]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    if payload.len() < 20 || flags & 4 == 0 {
        return payload;
    }
    payload[4..8].copy_from_slice(&COOKIE);
    if flags & 8 != 0 {
        payload[8..20].copy_from_slice(&id);
    }
    let fingerprint = if flags & 16 == 0 { 0 } else { 8 };
    let length = u16::try_from(payload.len() - 20 + fingerprint).unwrap_or(u16::MAX);
    payload[2..4].copy_from_slice(&length.to_be_bytes());
    if fingerprint > 0 {
        let sum = crc32(&payload) ^ 0x5354_554e;
        payload.extend([&[0x80, 0x28, 0, 4][..], &sum.to_be_bytes()].concat());
    }
    payload
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
    !bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const LOCAL: ([u8; 4], u16) = ([192, 0, 2, 1], 5060);
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 2], 3478);
const OTHER: ([u8; 4], u16) = ([192, 0, 2, 3], 3478);
