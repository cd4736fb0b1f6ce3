use std::{
    pin::Pin,
    task::{Context, Poll},
};

use sansip::{ConnId, Input, Instant, IoKind, Machine, Output, PeerInfo, Proto, SocketId};
use tokio::{
    sync::mpsc,
    time::{Sleep, sleep},
};

use crate::{
    clock::{Wall, moment, now},
    dns::Dns,
    node::Letter,
    tcp::{LINGER, Step, Tcp},
    udp::Udp,
};

/// A machine with everything that it touches, driven by [`poll`](Self::poll) alone.
///
/// Each poll is one bounded round over timer, mailbox, sockets and connections. What is left asks for another round,
/// so neither one source nor one node can keep the thread for itself.
pub(crate) struct Reactor<M> {
    machine: M,
    mailbox: mpsc::Receiver<Letter<M>>,
    phase: Phase,
    udp: Vec<Udp>,
    tcp: Tcp,
    dns: Dns,
    wall: Wall,
    sleep: Pin<Box<Sleep>>,
    armed: Option<Instant>,
    buffer: Box<[u8]>,
    ready: Vec<ConnId>,
    /// Something was opened or found after its turn in this round, and has no waker yet.
    again: bool,
}

enum Phase {
    Running {
        /// When the machine is to be done at the latest.
        until: Option<Instant>,
    },
    /// The machine is left alone; what was sent still goes out.
    Closing { deadline: Instant },
}

impl<M: Machine> Reactor<M> {
    pub(crate) fn new(machine: M, mailbox: mpsc::Receiver<Letter<M>>) -> Self {
        Self {
            machine,
            mailbox,
            phase: Phase::Running { until: None },
            udp: Vec::new(),
            tcp: Tcp::new(),
            dns: Dns::default(),
            wall: Wall::default(),
            sleep: Box::pin(sleep(LINGER)),
            armed: None,
            buffer: vec![0; BUFFER].into(),
            ready: Vec::new(),
            again: false,
        }
    }

    /// Closes all that is open, then the mailbox, by which handles see that the node has ended.
    pub(crate) fn into_machine(self) -> M {
        let Self { machine, mailbox, udp, tcp, dns, .. } = self;
        drop((udp, tcp, dns));
        drop(mailbox);
        machine
    }

    /// Runs one round; ready when the node has ended.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.again = false;
        if let Phase::Closing { deadline } = self.phase {
            self.serve_connections(cx);
            self.flush_datagrams(cx);
            if self.tcp.is_empty() || now() >= deadline {
                return Poll::Ready(());
            }
        } else {
            self.tell_time();
            self.read_mailbox(cx);
            self.read_datagrams(cx);
            self.accept(cx);
            self.serve_connections(cx);
            self.take_answers(cx);
            self.flush_datagrams(cx);
            self.check_stop();
        }
        self.arm(cx);
        Poll::Pending
    }

    fn tell_time(&mut self) {
        let now = now();
        if let Some(wall) = self.wall.news(now) {
            self.machine.handle_input(now, Input::Wall(wall));
            self.drain();
        }
        if self.machine.poll_timeout().is_some_and(|due| due <= now) {
            self.machine.handle_input(now, Input::Timeout);
            self.drain();
        }
    }

    fn read_mailbox(&mut self, cx: &mut Context<'_>) {
        for _ in 0..BURST {
            match self.mailbox.poll_recv(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Letter::Run(run))) => {
                    run(&mut self.machine, now());
                    self.drain();
                }
                Poll::Ready(Some(Letter::Stop { grace })) => {
                    self.phase = Phase::Running { until: Some(now() + grace) };
                }
                Poll::Ready(None) => {
                    self.phase = Phase::Running { until: Some(now()) };
                    return;
                }
            }
        }
        self.again = true;
    }

    fn read_datagrams(&mut self, cx: &mut Context<'_>) {
        let mut at = 0;
        'sockets: while at < self.udp.len() {
            for _ in 0..BURST {
                // The machine may close sockets in between.
                let Some(udp) = self.udp.get(at) else { break 'sockets };
                match udp.poll_receive(cx, &mut self.buffer) {
                    Poll::Pending => {
                        at += 1;
                        continue 'sockets;
                    }
                    Poll::Ready(None) => {}
                    Poll::Ready(Some((len, remote))) => {
                        let payload = &self.buffer[..len];
                        let input = Input::Datagram { socket: udp.id, local: udp.local, remote, payload };
                        self.machine.handle_input(now(), input);
                        self.drain();
                    }
                }
            }
            self.again = true;
            at += 1;
        }
    }

    fn accept(&mut self, cx: &mut Context<'_>) {
        for _ in 0..BURST {
            let Poll::Ready(new) = self.tcp.poll_accept(cx) else { return };
            let (socket, conn, local, remote) = (new.socket, new.conn, new.local, new.remote);
            self.feed(Input::Accepted { socket, conn, local, remote, peer: PeerInfo::default() });
            self.drain();
        }
        self.again = true;
    }

    fn serve_connections(&mut self, cx: &mut Context<'_>) {
        let mut ready = std::mem::take(&mut self.ready);
        self.tcp.take_ready(cx, &mut ready);
        for conn in ready.drain(..) {
            for left in (0..STEPS).rev() {
                match self.tcp.step(conn, &mut self.buffer) {
                    Step::Idle => break,
                    Step::Connected(local) => {
                        self.feed(Input::Connected { conn, local, peer: PeerInfo::default() });
                    }
                    Step::Received(len) => {
                        let data = &self.buffer[..len];
                        self.machine.handle_input(now(), Input::Received { conn, data });
                    }
                    Step::Drained(bytes) => self.feed(Input::Drained { conn, bytes }),
                    Step::Closed(error) => self.feed(Input::Closed { conn, error }),
                }
                self.drain();
                if left == 0 {
                    self.tcp.again(conn);
                }
            }
        }
        self.ready = ready;
    }

    fn take_answers(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready((query, result)) = self.dns.poll_answer(cx) {
            self.feed(Input::Resolved { query, result });
            self.drain();
        }
    }

    fn flush_datagrams(&mut self, cx: &mut Context<'_>) {
        for at in 0..self.udp.len() {
            if let Some(udp) = self.udp.get_mut(at)
                && let Some((remote, why)) = udp.poll_flush(cx)
            {
                let socket = udp.id;
                self.feed(Input::Unreachable { socket, remote, why });
                self.drain();
                self.again = true;
            }
        }
    }

    fn check_stop(&mut self) {
        let late = matches!(self.phase, Phase::Running { until: Some(until) } if until <= now());
        if late || self.machine.is_stopped() {
            self.tcp.close_all();
            self.phase = Phase::Closing { deadline: now() + LINGER };
            self.again = true;
        }
    }

    /// Sees to it that the next round comes in time.
    fn arm(&mut self, cx: &mut Context<'_>) {
        let now = now();
        let (machine, phase) = match self.phase {
            Phase::Running { until } => (self.machine.poll_timeout(), until),
            Phase::Closing { deadline } => (None, Some(deadline)),
        };
        let next = [machine, phase, self.tcp.expire(now)].into_iter().flatten().min();
        if self.again || next.is_some_and(|next| next <= now) {
            cx.waker().wake_by_ref();
            return;
        }
        // Moving tokio's timer costs more than a round in vain, so it is only ever moved forward.
        if let Some(next) = next
            && self.armed.is_none_or(|armed| next < armed)
        {
            self.sleep.as_mut().reset(moment(next));
            self.armed = Some(next);
        }
        if self.armed.is_some() && self.sleep.as_mut().poll(cx).is_ready() {
            self.armed = None;
            cx.waker().wake_by_ref();
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        self.machine.handle_input(now(), input);
    }

    /// Does all that the machine wants, until it wants nothing more.
    fn drain(&mut self) {
        loop {
            while let Some(output) = self.machine.poll_output() {
                self.perform(output);
            }
            match self.tcp.flush() {
                Some((conn, Step::Drained(bytes))) => self.feed(Input::Drained { conn, bytes }),
                Some((conn, Step::Closed(error))) => self.feed(Input::Closed { conn, error }),
                Some(_) => {}
                None => return,
            }
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Transmit { socket, remote, payload, .. } => {
                let udp = self.udp.iter_mut().find(|udp| udp.id == socket);
                if let Some(Err(why)) = udp.map(|udp| udp.send(remote, payload)) {
                    self.feed(Input::Unreachable { socket, remote, why });
                }
            }
            Output::Send { conn, data } => self.tcp.send(conn, data),
            Output::Close { conn, how } => self.tcp.close(conn, how),
            Output::Connect { conn, proto: Proto::Tcp, remote, .. } => self.tcp.connect(conn, remote),
            Output::Connect { conn, .. } => {
                self.feed(Input::Closed { conn, error: Some(IoKind::Unsupported) });
            }
            Output::Bind { socket, proto, addr } => {
                self.again = true;
                let result = match proto {
                    Proto::Udp => Udp::bind(socket, addr).map(|udp| {
                        let local = udp.local;
                        self.udp.push(udp);
                        local
                    }),
                    Proto::Tcp => self.tcp.listen(socket, addr),
                    _ => Err(std::io::ErrorKind::Unsupported.into()),
                };
                let result = result.map_err(|error| IoKind::from(&error));
                self.feed(Input::Bound { socket, result });
            }
            Output::Unbind { socket } => self.unbind(socket),
            Output::Resolve { query, name, kind } => {
                if let Err(error) = self.dns.start(query, name, kind) {
                    self.feed(Input::Resolved { query, result: Err(error) });
                }
            }
            _ => {}
        }
    }

    fn unbind(&mut self, socket: SocketId) {
        self.again = true;
        self.udp.retain(|udp| udp.id != socket);
        self.tcp.unlisten(socket);
    }
}

/// Letters, datagrams of one socket, or connections accepted in one round.
const BURST: usize = 64;

/// What one connection may do in one round.
const STEPS: usize = 8;

/// More than any datagram: UDP cannot carry 65,508 bytes.
const BUFFER: usize = 65_536;
