mod codec;

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use bytes::BytesMut;

use crate::{
    base::{Instant, Limits},
    transport::{FlowChange, FlowId, IoKind, News, Output, SocketId, Timeout, Transport},
};

pub(crate) use self::codec::{Class, StunMessage, TransactionId, is_stun};

/// A STUN client towards one server (RFC 8489 §6.2), once or for as long as a flow is to be kept (RFC 5626 §4.4.2).
#[derive(Clone)]
pub(super) struct Probe {
    socket: SocketId,
    server: SocketAddr,
    /// How often it asks; once if not at all.
    every: Option<Duration>,
    /// How long the first answer is waited for.
    rto: Duration,
    /// The address that the server saw last.
    mapped: Option<SocketAddr>,
    stage: Stage,
    wake: Instant,
}

#[derive(Clone, Copy)]
enum Stage {
    /// A request is out, sent so many times.
    Asking { id: TransactionId, sent: u32 },
    /// The next request comes later.
    Resting,
}

impl Probe {
    pub(super) fn is_from(&self, socket: SocketId) -> bool {
        self.socket == socket
    }
}

/// How often a request is sent (RFC 8489 §6.2.1: Rc).
const SENDS: u32 = 7;

/// How many times the first wait the last one is (RFC 8489 §6.2.1: Rm).
const LAST_WAIT: u32 = 16;

impl Transport {
    /// Asks a STUN server for the address that it sees a UDP socket at, once or again and again.
    pub(crate) fn probe(
        &mut self,
        now: Instant,
        limits: &Limits,
        (socket, server): (SocketId, SocketAddr),
        (every, rto): (Option<Duration>, Duration),
        out: &mut VecDeque<Output>,
    ) -> Result<(), IoKind> {
        let udp = self.sockets.get(&socket).filter(|entry| !entry.proto.is_reliable());
        let fits = udp.and_then(|entry| entry.bound).is_some_and(|addr| addr.is_ipv4() == server.is_ipv4());
        if !fits {
            return Err(IoKind::AddressNotAvailable);
        }
        let known = self.probe_of(socket, server);
        if known.is_none() && self.probes.len() >= limits.probes {
            return Err(IoKind::Limit);
        }
        let serial = known.unwrap_or(self.next_probe);
        self.next_probe = self.next_probe.max(serial + 1);
        let before = self.probes.get(&serial);
        let mapped = before.and_then(|probe| probe.mapped);
        // Who asks once does not end what is kept alive.
        let every = every.or_else(|| before?.every);
        let probe = Probe { socket, server, every, rto, mapped, stage: Stage::Resting, wake: now };
        self.probes.insert(serial, probe);
        self.ask(now, serial, out);
        Ok(())
    }

    /// Asks no more. Tells whether it was asked.
    pub(crate) fn stop_probe(&mut self, socket: SocketId, server: SocketAddr) -> bool {
        self.probe_of(socket, server).and_then(|serial| self.probes.remove(&serial)).is_some()
    }

    /// Takes the answer to a binding request.
    pub(crate) fn probe_answered(
        &mut self,
        now: Instant,
        (socket, server): (SocketId, SocketAddr),
        answer: &StunMessage,
    ) {
        let Some(serial) = self.probe_of(socket, server) else { return };
        let Some(probe) = self.probes.get_mut(&serial) else { return };
        // One that was not asked for, or was answered already, tells nothing.
        if !matches!(probe.stage, Stage::Asking { id, .. } if id == answer.id) {
            return;
        }
        let Some(mapped) = answer.mapped.filter(|_| answer.class == Class::Success) else {
            return self.probe_failed(serial, IoKind::Refused);
        };
        let before = probe.mapped.replace(mapped);
        if before != Some(mapped) {
            let change = FlowChange::Mapped { before, mapped };
            self.news.push_back(News::Flow { flow: FlowId::Datagrams { socket, remote: server }, change });
        }
        match probe.every {
            None => drop(self.probes.remove(&serial)),
            Some(every) => {
                let wake = now + self.jitter(every);
                self.wake_probe(serial, Stage::Resting, wake);
            }
        }
    }

    /// Takes what the network says of datagrams to a server.
    pub(super) fn probe_unreachable(&mut self, socket: SocketId, server: SocketAddr) {
        if let Some(serial) = self.probe_of(socket, server) {
            self.probe_failed(serial, IoKind::Unreachable);
        }
    }

    pub(super) fn expire_probe(&mut self, now: Instant, serial: u64, out: &mut VecDeque<Output>) {
        let Some(probe) = self.probes.get(&serial).filter(|probe| probe.wake <= now) else { return };
        match probe.stage {
            Stage::Asking { sent, .. } if sent >= SENDS => self.probe_failed(serial, IoKind::TimedOut),
            Stage::Asking { .. } | Stage::Resting => self.ask(now, serial, out),
        }
    }

    /// Sends the request of a probe, a new one or again.
    fn ask(&mut self, now: Instant, serial: u64, out: &mut VecDeque<Output>) {
        let Some(probe) = self.probes.get(&serial) else { return };
        let (socket, remote, rto) = (probe.socket, probe.server, probe.rto);
        let (id, sent) = match probe.stage {
            Stage::Asking { id, sent } => (id, sent + 1),
            Stage::Resting => {
                let mut id = TransactionId::default();
                id[..8].copy_from_slice(&self.rng.next_u64().to_be_bytes());
                id[8..].copy_from_slice(&self.rng.next_u64().to_be_bytes()[..4]);
                (id, 1)
            }
        };
        let Some(bound) = self.sockets.get(&socket).and_then(|entry| entry.bound) else {
            return self.probe_failed(serial, IoKind::AddressNotAvailable);
        };
        let mut request = BytesMut::with_capacity(20);
        StunMessage::write_request(&mut request, &id);
        let local = self.specific(bound, remote);
        out.push_back(Output::Transmit { socket, local, remote, payload: request.freeze() });
        let wait = if sent == SENDS { rto * LAST_WAIT } else { rto * (1 << (sent - 1)) };
        self.wake_probe(serial, Stage::Asking { id, sent }, now + wait);
    }

    fn wake_probe(&mut self, serial: u64, stage: Stage, wake: Instant) {
        let Some(probe) = self.probes.get_mut(&serial) else { return };
        (probe.stage, probe.wake) = (stage, wake);
        self.timers.schedule(wake, Timeout::Probe(serial));
    }

    fn probe_failed(&mut self, serial: u64, error: IoKind) {
        let Some(probe) = self.probes.remove(&serial) else { return };
        let flow = FlowId::Datagrams { socket: probe.socket, remote: probe.server };
        self.news.push_back(News::Flow { flow, change: FlowChange::Ended(error) });
    }

    fn probe_of(&self, socket: SocketId, server: SocketAddr) -> Option<u64> {
        let same = |probe: &Probe| probe.socket == socket && probe.server == server;
        self.probes.iter().find(|(_, probe)| same(probe)).map(|(serial, _)| *serial)
    }
}
