//! The public machine: one SIP entity with its configuration, sockets and calls.

mod commands;
mod cx;
mod dispatch;
mod machine;
mod stats;
mod views;

use std::{collections::VecDeque, sync::Arc};

use crate::{
    base::{Instant, Limits, Seed, TimerQueue},
    call::{CallCx, CallTable, Walk},
    decision::{
        AlarmId, Command, CommandError, Config, ConfigError, Event, InputBuf, Outcome, Record, Settings,
    },
    transport::{Input, News, Output},
};

pub use self::{
    cx::Cx,
    machine::{Machine, Nested},
    stats::Stats,
    views::DialogView,
};

/// One SIP entity: a deterministic function of its configuration, its seed, its inputs and its commands.
///
/// It performs nothing and asks nobody. Feed it with [`Machine::handle_input`] and [`command`](Self::command); drain
/// [`Machine::poll_output`] and [`poll_event`](Self::poll_event).
pub struct Endpoint {
    cx: CallCx,
    calls: CallTable,
    /// Requests being judged that no call holds yet.
    walks: Vec<Walk>,
    timers: TimerQueue<Wake>,
    alarms: usize,
    life: Life,
    stats: Stats,
    records: Option<VecDeque<Record>>,
}

#[derive(Clone, Copy, Debug)]
enum Wake {
    Call(u64),
    Alarm(AlarmId),
    Shutdown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Running,
    /// Calls come to their ends.
    Stopping,
    /// Connections come to their ends.
    Closing,
    Stopped,
}

impl Endpoint {
    /// Makes an endpoint at the moment `now`.
    pub fn new(config: Config, seed: &Seed, now: Instant) -> Result<Self, ConfigError> {
        let settings = Arc::new(Settings::new(config)?);
        Ok(Self {
            cx: CallCx::new(now, settings, seed),
            calls: CallTable::new(),
            walks: Vec::new(),
            timers: TimerQueue::new(),
            alarms: 0,
            life: Life::Running,
            stats: Stats::default(),
            records: None,
        })
    }

    /// Turns recording on. Records come out of [`Machine::poll_record`]; who turns it on has to drain them.
    pub fn record(&mut self) {
        self.records.get_or_insert_default();
    }

    /// Replays a recording in an endpoint made with the same configuration and seed; no application code is needed.
    ///
    /// Returns what the endpoint puts out, to be compared with the outputs recorded.
    pub fn replay(&mut self, records: impl IntoIterator<Item = Record>) -> Vec<Output> {
        let mut outputs = Vec::new();
        for record in records {
            match record {
                Record::Input { at, input } => self.handle_input(at, input.as_input()),
                Record::Command { at, command } => {
                    // A command that was refused then is refused now.
                    let _same = self.command(at, command);
                }
                Record::Output(_) => {}
            }
            self.cx.events.clear();
            outputs.extend(std::iter::from_fn(|| self.poll_output()));
        }
        outputs
    }

    /// Executes a command: the one door through which an application changes anything.
    pub fn command(&mut self, now: Instant, command: Command) -> Result<Outcome, CommandError> {
        if let Some(records) = &mut self.records {
            records.push_back(Record::Command { at: now, command: command.clone() });
        }
        self.cx.now = self.cx.now.max(now);
        let outcome = self.execute(command);
        self.follow_up();
        outcome
    }

    /// Opens the same door with typed verbs.
    pub const fn at(&mut self, now: Instant) -> Cx<'_> {
        Cx::new(self, now)
    }

    /// Returns the next event for the application.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.cx.events.pop_front()
    }

    /// Tells whether nothing lives or is on its way: no call, no question, no look-up, no unsent byte.
    ///
    /// Sockets and quiet connections may stay open, alarms may be set.
    pub fn is_idle(&self) -> bool {
        self.calls.len() == 0
            && self.walks.is_empty()
            && self.cx.questions == 0
            && self.cx.transport.is_idle()
    }

    /// Tells whether a [`Command::Shutdown`] has run to its end, connections included: the driver may stop once outputs
    /// are drained.
    pub fn is_stopped(&self) -> bool {
        self.life == Life::Stopped
    }

    /// Returns what was counted so far.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Returns the configuration that new requests get.
    pub fn config(&self) -> &Config {
        &self.cx.settings.config
    }

    /// Returns the number of calls, that is Call-IDs with live state.
    pub const fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Returns the number of stream connections in use; closing ones are not counted.
    pub fn connections(&self) -> usize {
        self.cx.transport.connections()
    }

    /// Counts a callback that panicked.
    pub(crate) const fn count_panic(&mut self) {
        self.stats.panics += 1;
    }

    /// Brings the clock to `now` and fires what is due, up to the limit of one input.
    fn advance(&mut self, now: Instant) {
        self.cx.now = self.cx.now.max(now);
        self.settle();
        for _ in 0..self.cx.settings.limits().expiries_per_input {
            let transport = self.cx.transport.next_timeout();
            let own = self.timers.next();
            let first = match (transport, own) {
                (Some(theirs), Some(own)) => theirs <= own,
                (theirs, _) => theirs.is_some(),
            };
            let fired = if first {
                self.cx.transport.expire(self.cx.now, self.cx.settings.limits(), &mut self.cx.outputs)
            } else {
                self.wake()
            };
            if !fired {
                break;
            }
        }
    }

    /// Fires one wake that is due; tells whether there was one.
    fn wake(&mut self) -> bool {
        let Some((at, wake)) = self.timers.pop_due(self.cx.now) else { return false };
        match wake {
            Wake::Call(hash) => {
                if let Some(call) = self.calls.get_mut(hash)
                    && call.wakes_at(at)
                {
                    // One timer a wake: what else is due is queued again, in order with all others.
                    call.expire(&mut self.cx);
                    self.touch(hash);
                }
            }
            Wake::Alarm(alarm) => {
                self.alarms -= 1;
                self.cx.events.push_back(Event::Alarm { alarm });
            }
            Wake::Shutdown => {
                for hash in self.calls.sorted() {
                    if let Some(call) = self.calls.get_mut(hash) {
                        call.drop_all(&mut self.cx);
                    }
                    self.touch(hash);
                }
            }
        }
        true
    }

    /// Sees to a call after anything has happened in it: frees it, or queues its next wake.
    fn touch(&mut self, hash: u64) {
        let Some(call) = self.calls.get_mut(hash) else { return };
        // Copies of what has ended are not worth waiting for when the endpoint ends.
        if call.is_over() || (self.life != Life::Running && call.is_lingering()) {
            self.calls.remove(hash);
        } else if let Some(at) = call.new_wake(self.cx.now) {
            self.timers.schedule(at, Wake::Call(hash));
        }
    }

    /// Moves requests whose question is still open into their calls.
    fn settle(&mut self) {
        if self.walks.is_empty() {
            return;
        }
        let mut walks = std::mem::take(&mut self.walks);
        for walk in walks.drain(..) {
            let hash = walk.call;
            self.calls.get_or_insert(hash).hold(&self.cx.key, walk);
            self.touch(hash);
        }
        // The room is used again by the next request.
        self.walks = walks;
    }

    /// Tells transactions what has become of their connections and look-ups, and ends a shutdown that has nothing left.
    fn follow_up(&mut self) {
        loop {
            let cx = &mut self.cx;
            cx.transport.pass_on(cx.now, cx.settings.limits(), &mut cx.outputs);
            let Some(news) = cx.transport.poll_news() else { break };
            let hash = match &news {
                News::Flow { flow, change } => {
                    cx.events.push_back(Event::Flow { flow: *flow, change: change.clone() });
                    continue;
                }
                News::Broken { owner, .. }
                | News::Undelivered { owner, .. }
                | News::TooBig { owner }
                | News::Found { owner, .. } => owner.call,
            };
            let Some(call) = self.calls.get_mut(hash) else { continue };
            match news {
                News::Broken { owner, error, stale } => call.broken(cx, owner.serial, error, stale),
                News::Undelivered { owner, error } => call.undelivered(cx, owner.serial, error),
                News::TooBig { owner } => call.too_big(cx, owner.serial),
                News::Found { owner, places } => call.found(cx, owner.serial, places),
                News::Flow { .. } => {}
            }
            self.touch(hash);
        }
        if self.life == Life::Stopping && self.calls.len() == 0 && self.walks.is_empty() {
            self.cx.transport.close(self.cx.now, self.cx.settings.limits(), &mut self.cx.outputs);
            self.life = Life::Closing;
        }
        if self.life == Life::Closing && self.cx.transport.is_disconnected() {
            self.life = Life::Stopped;
        }
    }
}

impl Machine for Endpoint {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        if let Some(records) = &mut self.records {
            records.push_back(Record::Input { at: now, input: InputBuf::from(&input) });
        }
        self.advance(now);
        self.dispatch(input);
        self.follow_up();
    }

    fn poll_output(&mut self) -> Option<Output> {
        let output = self.cx.outputs.pop_front()?;
        if let Some(records) = &mut self.records {
            records.push_back(Record::Output(output.clone()));
        }
        Some(output)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let walks = self.walks.iter().map(Walk::settles_at).min();
        [self.cx.transport.next_timeout(), self.timers.next(), walks].into_iter().flatten().min()
    }

    fn limits(&self) -> Option<&Limits> {
        Some(self.cx.settings.limits())
    }

    fn poll_record(&mut self) -> Option<Record> {
        self.records.as_mut()?.pop_front()
    }

    fn is_stopped(&self) -> bool {
        Self::is_stopped(self)
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use super::*;
    use crate::transport::{CloseHow, ConnId, PeerInfo, Proto};

    const CONN: ConnId = ConnId(1);

    /// Shuts an endpoint with one connection down at the moment zero.
    fn shut_down() -> Endpoint {
        let mut config = Config::default();
        config.limits.linger = Duration::from_secs(3);
        let mut endpoint = Endpoint::new(config, &Seed::from_u64(1), Instant::EPOCH)
            .expect("it is the default but for a time");
        let addr = SocketAddr::from(([192, 0, 2, 1], 5060));
        let socket = endpoint.at(Instant::EPOCH).listen(Proto::Tcp, addr).expect("it is the first");
        let peer = PeerInfo::default();
        let accepted = Input::Accepted { socket, conn: CONN, local: addr, remote: addr, peer };
        endpoint.handle_input(Instant::EPOCH, Input::Bound { socket, result: Ok(addr) });
        endpoint.handle_input(Instant::EPOCH, accepted);
        endpoint.at(Instant::EPOCH).shutdown(Duration::ZERO);
        assert_eq!(last_output(&mut endpoint), Some(Output::Close { conn: CONN, how: CloseHow::Flush }));
        assert!(!endpoint.is_stopped());
        endpoint
    }

    fn last_output(endpoint: &mut Endpoint) -> Option<Output> {
        std::iter::from_fn(|| endpoint.poll_output()).last()
    }

    #[test]
    fn a_shutdown_waits_for_connections_until_they_are_over() {
        let mut endpoint = shut_down();
        endpoint.handle_input(Instant::from_millis(100), Input::Closed { conn: CONN, error: None });
        assert!(endpoint.is_stopped());
    }

    #[test]
    fn a_shutdown_waits_for_connections_as_long_as_they_may_linger() {
        let mut endpoint = shut_down();
        endpoint.handle_input(Instant::from_millis(2999), Input::Timeout);
        assert!(!endpoint.is_stopped() && endpoint.poll_timeout().is_some());
        endpoint.handle_input(Instant::from_millis(3000), Input::Timeout);
        assert!(endpoint.is_stopped());
        assert_eq!(last_output(&mut endpoint), Some(Output::Close { conn: CONN, how: CloseHow::Reset }));
    }
}
