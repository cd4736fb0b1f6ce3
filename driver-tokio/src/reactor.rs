use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use sansip::{Input, Instant, IoKind, Machine, Output, Proto, SocketId};
use tokio::{
    sync::mpsc,
    time::{Sleep, sleep},
};

use crate::{
    clock::{moment, now, wall},
    dns::Dns,
    node::Letter,
    tcp::Tcp,
    udp::Udp,
};

/// A machine with everything that it touches, driven by [`poll`](Self::poll) alone.
///
/// Each poll is one bounded round over timer, mailbox, sockets and connections. What is left asks for another round,
/// so neither one source nor one node can keep the thread for itself.
pub(crate) struct Reactor<M> {
    machine: M,
    mailbox: mpsc::Receiver<Letter<M>>,
    /// When the machine is to be done at the latest.
    until: Option<Instant>,
    udp: Vec<Udp>,
    tcp: Tcp,
    dns: Dns,
    /// When to look at the wall clock again.
    wall: Instant,
    sleep: Pin<Box<Sleep>>,
    armed: Option<Instant>,
    buffer: Box<[u8]>,
    /// Something was opened or found after its turn in this round, and has no waker yet.
    again: bool,
}

impl<M: Machine> Reactor<M> {
    pub(crate) fn new(machine: M, mailbox: mpsc::Receiver<Letter<M>>) -> Self {
        Self {
            machine,
            mailbox,
            until: None,
            udp: Vec::new(),
            tcp: Tcp::new(),
            dns: Dns::default(),
            wall: Instant::EPOCH,
            sleep: Box::pin(sleep(Duration::ZERO)),
            armed: None,
            buffer: vec![0; BUFFER].into(),
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
        self.tell_time();
        self.read_mailbox(cx);
        self.read_datagrams(cx);
        self.accept(cx);
        self.serve_connections(cx);
        self.take_answers(cx);
        self.flush_datagrams(cx);
        let now = now();
        if self.machine.is_stopped() || self.until.is_some_and(|until| until <= now) {
            return Poll::Ready(());
        }
        self.arm(cx, now);
        Poll::Pending
    }

    fn tell_time(&mut self) {
        let now = now();
        if self.wall <= now {
            self.wall = now + WALL;
            self.take(Input::Wall(wall()));
        }
        if self.machine.poll_timeout().is_some_and(|due| due <= now) {
            self.take(Input::Timeout);
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
                Poll::Ready(Some(Letter::Stop { grace })) => self.until = Some(now() + grace),
                Poll::Ready(None) => return self.until = Some(now()),
            }
        }
        self.again = true;
    }

    fn read_datagrams(&mut self, cx: &mut Context<'_>) {
        for at in 0..self.udp.len() {
            for left in (0..BURST).rev() {
                // The machine may close sockets in between.
                let Some(udp) = self.udp.get(at) else { return };
                let Poll::Ready(received) = udp.poll_receive(cx, &mut self.buffer) else { break };
                if let Some(input) = received {
                    self.machine.handle_input(now(), input);
                    self.drain();
                }
                self.again |= left == 0;
            }
        }
    }

    fn accept(&mut self, cx: &mut Context<'_>) {
        for _ in 0..BURST {
            let Poll::Ready(accepted) = self.tcp.poll_accept(cx) else { return };
            self.take(accepted);
        }
        self.again = true;
    }

    fn serve_connections(&mut self, cx: &mut Context<'_>) {
        for _ in 0..BURST {
            let Poll::Ready(conn) = self.tcp.poll_ready(cx) else { return };
            for left in (0..STEPS).rev() {
                let Some(input) = self.tcp.step(conn, &mut self.buffer) else { break };
                self.machine.handle_input(now(), input);
                self.drain();
                if left == 0 {
                    self.tcp.again(conn);
                }
            }
        }
        self.again = true;
    }

    fn take_answers(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(answer) = self.dns.poll_answer(cx) {
            self.take(answer);
        }
    }

    fn flush_datagrams(&mut self, cx: &mut Context<'_>) {
        for at in 0..self.udp.len() {
            if let Some(failed) = self.udp.get_mut(at).and_then(|udp| udp.poll_flush(cx)) {
                self.take(failed);
                self.again = true;
            }
        }
    }

    /// Sees to it that the next round comes in time.
    fn arm(&mut self, cx: &mut Context<'_>, now: Instant) {
        let next = [self.machine.poll_timeout(), self.until].into_iter().flatten().min();
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

    fn take(&mut self, input: Input<'_>) {
        self.machine.handle_input(now(), input);
        self.drain();
    }

    /// Does all that the machine wants, until it wants nothing more.
    fn drain(&mut self) {
        loop {
            let told = match self.machine.poll_output() {
                Some(output) => self.perform(output),
                None => match self.tcp.flush() {
                    Some(told) => Some(told),
                    None => return,
                },
            };
            if let Some(input) = told {
                self.machine.handle_input(now(), input);
            }
        }
    }

    /// Does what the machine wants, and returns what is to be told at once.
    fn perform(&mut self, output: Output) -> Option<Input<'static>> {
        match output {
            Output::Transmit { socket, remote, payload, .. } => {
                let udp = self.udp.iter_mut().find(|udp| udp.id == socket)?;
                return udp.send(remote, payload);
            }
            Output::Send { conn, data } => self.tcp.send(conn, data),
            Output::Close { conn, how } => self.tcp.close(conn, how),
            Output::Connect { conn, proto: Proto::Tcp, remote, .. } => self.tcp.connect(conn, remote),
            Output::Connect { conn, .. } => {
                return Some(Input::Closed { conn, error: Some(IoKind::Unsupported) });
            }
            Output::Bind { socket, proto, addr } => {
                self.again = true;
                if addr.ip().is_unspecified() {
                    self.machine.handle_input(now(), Input::Interfaces(sansip_interfaces::interfaces()));
                }
                let result = self.bind(socket, proto, addr).map_err(|error| IoKind::from(&error));
                return Some(Input::Bound { socket, result });
            }
            Output::Unbind { socket } => {
                self.again = true;
                self.udp.retain(|udp| udp.id != socket);
                self.tcp.unlisten(socket);
            }
            Output::Resolve { query, name, kind } => {
                let error = self.dns.start(query, name, kind).err()?;
                return Some(Input::Resolved { query, result: Err(error) });
            }
            _ => {}
        }
        None
    }

    fn bind(&mut self, socket: SocketId, proto: Proto, addr: SocketAddr) -> io::Result<SocketAddr> {
        match proto {
            Proto::Udp => {
                let (udp, local) = Udp::bind(socket, addr)?;
                self.udp.push(udp);
                Ok(local)
            }
            Proto::Tcp => self.tcp.listen(socket, addr),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Letters, datagrams of one socket, connections accepted, or connections served in one round.
const BURST: usize = 64;

/// What one connection may do in one round.
const STEPS: usize = 8;

/// More than any datagram: UDP cannot carry 65,508 bytes.
const BUFFER: usize = 65_536;

/// How often the wall clock is told.
const WALL: Duration = Duration::from_secs(60);
