use std::task::{Context, Poll};

use async_io::Timer;
use futures_lite::FutureExt as _;
use sansip::{Input, Instant, Machine};
use sansip_net::{Buffer, Letter, Mailbox, OwnLookups, drain, flush, hand_over, now, tell_time};

use crate::sources::Sources;

/// A machine with everything that it touches, driven by [`poll`](Self::poll) alone.
///
/// Each poll is one bounded round over timer, mailbox and what is ready. What is left asks for another round, so
/// neither one source nor one node can keep the thread for itself.
pub(crate) struct Reactor<M> {
    machine: M,
    mailbox: Mailbox<M>,
    /// When the machine is to be done at the latest.
    until: Option<Instant>,
    sources: Sources,
    /// When to look at the wall clock again.
    wall: Instant,
    timer: Timer,
    armed: Option<Instant>,
    buffer: Buffer,
}

impl<M: Machine> Reactor<M> {
    pub(crate) fn new(machine: M, mailbox: Mailbox<M>, lookups: OwnLookups) -> Self {
        Self {
            machine,
            mailbox,
            until: None,
            sources: Sources::new(lookups),
            wall: Instant::EPOCH,
            timer: Timer::never(),
            armed: None,
            buffer: Buffer::default(),
        }
    }

    /// Closes all that is open, then the mailbox, by which handles see that the node has ended.
    pub(crate) fn into_machine(self) -> M {
        let Self { machine, mailbox, sources, .. } = self;
        drop(sources);
        drop(mailbox);
        machine
    }

    /// Runs one round; ready when the node has ended.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sources.watch(cx.waker());
        self.drain();
        tell_time(&mut self.machine, &mut self.sources, &mut self.wall, now);
        let letters_left = self.read_mailbox(cx);
        self.serve_sources();
        let answers_left = self.take_answers(cx);
        flush(&mut self.machine, &mut self.sources, now);
        let now = now();
        if self.machine.is_stopped() || self.until.is_some_and(|until| until <= now) {
            return Poll::Ready(());
        }
        if letters_left || answers_left || self.sources.has_ready() {
            cx.waker().wake_by_ref();
        } else {
            self.arm(cx, now);
        }
        Poll::Pending
    }

    /// Reads what handles sent, and tells whether more may be left.
    fn read_mailbox(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..BURST {
            match self.mailbox.poll_letter(cx) {
                Poll::Pending => return false,
                Poll::Ready(Some(Letter::Run(run))) => {
                    run(&mut self.machine, now());
                    self.drain();
                }
                Poll::Ready(Some(Letter::Stop { grace })) => self.until = Some(now() + grace),
                Poll::Ready(None) => {
                    self.until = Some(now());
                    return false;
                }
            }
        }
        true
    }

    fn serve_sources(&mut self) {
        let mut done = 0;
        while done < BURST {
            let Some(token) = self.sources.next_ready() else { return };
            if let Some(input) = self.sources.step(token, &mut self.buffer) {
                self.machine.handle_input(now(), input);
                self.drain();
            }
            done += 1 + hand_over(&mut self.machine, &mut self.sources, &mut self.buffer, now);
        }
    }

    /// Hands over what look-ups found, and tells whether more may be left.
    fn take_answers(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..BURST {
            let Poll::Ready(answer) = self.sources.poll_answer(cx) else { return false };
            self.take(answer);
        }
        true
    }

    /// Sees to it that the next round comes in time.
    fn arm(&mut self, cx: &mut Context<'_>, now: Instant) {
        let due = [self.machine.poll_timeout(), self.until, self.sources.rest(), self.sources.room()];
        let next = due.into_iter().flatten().fold(self.wall, Instant::min);
        // Moving the timer costs more than a round in vain, so it is only ever moved forward.
        if self.armed.is_none_or(|armed| next < armed) {
            self.timer.set_at(std::time::Instant::now() + next.since(now));
            self.armed = Some(next);
        }
        if self.timer.poll(cx).is_ready() {
            self.armed = None;
            cx.waker().wake_by_ref();
        }
    }

    fn take(&mut self, input: Input<'_>) {
        self.machine.handle_input(now(), input);
        self.drain();
    }

    fn drain(&mut self) {
        drain(&mut self.machine, &mut self.sources, now);
    }
}

/// Letters, answers, or things done for sockets in one round.
const BURST: usize = 64;
