use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use sansip::{CloseHow, ConnId, DnsError, DnsName, Input, Instant, Machine, QueryId, RecordKind, SocketId};
use sansip_net::{Buffer, Hands, Letter, Lookups, Mailbox, drain, flush, hand_over, tell_time};
use tokio::{
    net::UdpSocket,
    runtime::Handle,
    sync::mpsc,
    time::{Sleep, sleep},
};

use crate::{
    clock::{moment, now},
    tcp::Tcp,
    udp::{Udp, Watch, bind},
};

/// A machine with everything that it touches, driven by [`poll`](Self::poll) alone.
///
/// Each poll is one bounded round over timer, mailbox, sockets and connections. What is left asks for another round,
/// so neither one source nor one node can keep the thread for itself.
pub(crate) struct Reactor<M> {
    machine: M,
    mailbox: Mailbox<M>,
    /// When the machine is to be done at the latest.
    until: Option<Instant>,
    sockets: Sockets,
    answers: mpsc::UnboundedReceiver<Input<'static>>,
    /// When to look at the wall clock again.
    wall: Instant,
    sleep: Pin<Box<Sleep>>,
    armed: Option<Instant>,
    buffer: Buffer,
}

/// All that the machine has open.
struct Sockets {
    udp: Udp,
    watches: Vec<Watch>,
    tcp: Tcp,
    lookups: Lookups,
    /// Where look-ups put their answers; bounded as they are.
    answer: mpsc::UnboundedSender<Input<'static>>,
    /// Something was opened or found after its turn in this round, and has no waker yet.
    again: bool,
}

impl<M: Machine> Reactor<M> {
    pub(crate) fn new(machine: M, mailbox: Mailbox<M>, lookups: Lookups) -> Self {
        let (answer, answers) = mpsc::unbounded_channel();
        let (udp, watches, tcp) = (Udp::default(), Vec::new(), Tcp::new());
        Self {
            machine,
            mailbox,
            until: None,
            sockets: Sockets { udp, watches, tcp, lookups, answer, again: false },
            answers,
            wall: Instant::EPOCH,
            sleep: Box::pin(sleep(Duration::ZERO)),
            armed: None,
            buffer: Buffer::default(),
        }
    }

    /// Closes all that is open, then the mailbox, by which handles see that the node has ended.
    pub(crate) fn into_machine(self) -> M {
        let Self { machine, mailbox, sockets, .. } = self;
        drop(sockets);
        drop(mailbox);
        machine
    }

    /// Runs one round; ready when the node has ended.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sockets.again = false;
        tell_time(&mut self.machine, &mut self.sockets, &mut self.wall, now);
        self.read_mailbox(cx);
        self.read_datagrams(cx);
        self.read_complaints(cx);
        self.accept(cx);
        self.serve_connections(cx);
        self.take_answers(cx);
        flush(&mut self.machine, &mut self.sockets, now);
        let now = now();
        if self.machine.is_stopped() || self.until.is_some_and(|until| until <= now) {
            return Poll::Ready(());
        }
        self.arm(cx, now);
        Poll::Pending
    }

    fn read_mailbox(&mut self, cx: &mut Context<'_>) {
        for _ in 0..BURST {
            match self.mailbox.poll_letter(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Letter::Run(run))) => {
                    run(&mut self.machine, now());
                    self.drain();
                }
                Poll::Ready(Some(Letter::Stop { grace })) => self.until = Some(now() + grace),
                Poll::Ready(None) => return self.until = Some(now()),
            }
        }
        self.sockets.again = true;
    }

    fn read_datagrams(&mut self, cx: &mut Context<'_>) {
        for at in 0..self.sockets.watches.len() {
            let mut taken = 0;
            while taken < BURST {
                // The machine may close sockets in between.
                let Sockets { watches, udp, .. } = &mut self.sockets;
                let Some(watch) = watches.get(at) else { return };
                if watch.poll_receive(cx, udp, &mut self.buffer).is_pending() {
                    break;
                }
                taken += 1 + hand_over(&mut self.machine, &mut self.sockets, &mut self.buffer, now);
            }
            self.sockets.again |= taken >= BURST;
        }
    }

    fn read_complaints(&mut self, cx: &mut Context<'_>) {
        for at in 0..self.sockets.watches.len() {
            for left in (0..BURST).rev() {
                let Sockets { watches, udp, .. } = &mut self.sockets;
                let Some(watch) = watches.get_mut(at) else { return };
                let Poll::Ready(complaint) = watch.poll_complaint(cx, udp) else { break };
                self.take(complaint);
                self.sockets.again |= left == 0;
            }
        }
    }

    fn accept(&mut self, cx: &mut Context<'_>) {
        for _ in 0..BURST {
            let Poll::Ready(accepted) = self.sockets.tcp.poll_accept(cx) else { return };
            self.take(accepted);
        }
        self.sockets.again = true;
    }

    fn serve_connections(&mut self, cx: &mut Context<'_>) {
        for _ in 0..BURST {
            let Poll::Ready(conn) = self.sockets.tcp.poll_ready(cx) else { return };
            for left in (0..STEPS).rev() {
                let Some(input) = self.sockets.tcp.step(conn, self.buffer.bytes()) else { break };
                self.machine.handle_input(now(), input);
                self.drain();
                if left == 0 {
                    self.sockets.tcp.again(conn);
                }
            }
        }
        self.sockets.again = true;
    }

    fn take_answers(&mut self, cx: &mut Context<'_>) {
        // The channel cannot end, as this end of it holds a sender.
        while let Poll::Ready(Some(answer)) = self.answers.poll_recv(cx) {
            self.take(answer);
        }
    }

    /// Sees to it that the next round comes in time.
    fn arm(&mut self, cx: &mut Context<'_>, now: Instant) {
        let room = self.sockets.udp.room(now);
        let next = [self.machine.poll_timeout(), self.until, room].into_iter().flatten().min();
        if self.sockets.again || next.is_some_and(|next| next <= now) {
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

    fn drain(&mut self) {
        drain(&mut self.machine, &mut self.sockets, now);
    }
}

impl Hands for Sockets {
    type Udp = Arc<UdpSocket>;

    fn datagrams(&mut self) -> &mut Udp {
        &mut self.udp
    }

    fn bind(&mut self, id: SocketId, addr: SocketAddr) -> io::Result<SocketAddr> {
        self.again = true;
        let (bound, watch) = bind(&mut self.udp, id, addr)?;
        self.watches.push(watch);
        Ok(bound)
    }

    fn listen(&mut self, id: SocketId, addr: SocketAddr) -> io::Result<SocketAddr> {
        self.again = true;
        self.tcp.listen(id, addr)
    }

    fn unbind(&mut self, id: SocketId) {
        self.again = true;
        self.udp.unbind(id);
        self.watches.retain(|watch| watch.id != id);
        self.tcp.unlisten(id);
    }

    fn connect(&mut self, id: ConnId, remote: SocketAddr) -> io::Result<()> {
        self.tcp.connect(id, remote);
        Ok(())
    }

    fn send(&mut self, id: ConnId, data: Bytes) {
        self.tcp.send(id, &data);
    }

    fn close(&mut self, id: ConnId, how: CloseHow) {
        self.tcp.close(id, how);
    }

    fn resolve(&mut self, id: QueryId, name: DnsName, kind: RecordKind) -> Result<(), DnsError> {
        let answer = self.answer.clone();
        // The node may have ended when there is an answer.
        self.lookups.start(&Handle::current(), id, name, kind, move |found| drop(answer.send(found)))
    }
}

/// Letters, datagrams of one socket, connections accepted, or connections served in one round.
const BURST: usize = 64;

/// What one connection may do in one round.
const STEPS: usize = 8;
