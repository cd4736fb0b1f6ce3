use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::{
    call::{Placed, Stage, Tag, WrongVerdict, route},
    decision::{
        AlarmId, AskId, Command, CommandError, DialogError, Gone, Listener, Outcome, Outgoing,
        ProvisionalError, Recipient, Reply, SendError, Settings, Verdict,
    },
    endpoint::{Endpoint, Life, Wake},
    syntax::Host,
    transport::{Custom, FlowId, IoKind, Proto, SocketId},
};

impl Endpoint {
    pub(super) fn execute(&mut self, command: Command) -> Result<Outcome, CommandError> {
        match command {
            Command::Answer { ask, verdict } => self.answer(ask, verdict)?,
            Command::Provisional { ask, reply } => self.provisional(ask, reply)?,
            Command::Request(outgoing) => return self.send(*outgoing),
            Command::Cancel { client } => {
                let call = self.calls.get_mut(client.call()).ok_or(Gone)?;
                call.cancel_client(&mut self.cx, client.serial())?;
                self.touch(client.call());
            }
            Command::Ack { dialog, body } => {
                let call = self.calls.get_mut(dialog.call()).ok_or(Gone).map_err(DialogError::from)?;
                call.ack(&mut self.cx, dialog.serial(), body)?;
                self.touch(dialog.call());
            }
            Command::Prack { dialog, body } => {
                let call = self.calls.get_mut(dialog.call()).ok_or(Gone).map_err(DialogError::from)?;
                call.prack(&mut self.cx, dialog.serial(), body)?;
                self.touch(dialog.call());
            }
            Command::Bye { dialog } => {
                // A request in the dialog may be open, and ends with it.
                self.settle();
                let call = self.calls.get_mut(dialog.call()).ok_or(Gone).map_err(DialogError::from)?;
                call.bye(&mut self.cx, dialog.serial())?;
                self.touch(dialog.call());
            }
            Command::Listen(listener) => return self.listen(listener),
            Command::Unlisten { socket } => self.cx.transport.unlisten(socket, &mut self.cx.outputs),
            Command::KeepAlive { flow, every } => self.keep_alive(flow, every)?,
            Command::Stun { socket, server } => self.probe(socket, server, None)?,
            Command::Configure(config) => self.cx.settings = Arc::new(Settings::new(*config)?),
            Command::Alarm { after } => {
                if self.alarms >= self.cx.settings.limits().alarms {
                    return Err(CommandError::Limit("alarms"));
                }
                let alarm = AlarmId(self.cx.serial());
                self.alarms += 1;
                self.timers.schedule(self.cx.now + after, Wake::Alarm(alarm));
                return Ok(Outcome::Alarm(alarm));
            }
            Command::Shutdown { grace } => self.shut_down(grace),
        }
        Ok(Outcome::Done)
    }

    fn answer(&mut self, ask: AskId, verdict: Verdict) -> Result<(), CommandError> {
        let open = |walk: &crate::call::Walk| walk.ask_id() == Some(ask);
        let Some(at) = self.walks.iter().position(open) else {
            let call = self.calls.get_mut(ask.call()).ok_or(Gone)?;
            let answered = call.answer(&mut self.cx, ask, verdict);
            self.touch(ask.call());
            return answered.map_err(|wrong| match wrong {
                WrongVerdict::Gone => CommandError::Gone(Gone),
                WrongVerdict::Kind => CommandError::WrongVerdict,
            });
        };
        let mut walk = self.walks.remove(at);
        let placed = match (walk.stage, verdict) {
            (Stage::Routing, Verdict::Routing(routing)) => {
                walk.close(&mut self.cx);
                let call = self.calls.get_mut(walk.call);
                route(&mut self.cx, &mut walk, routing, call)
            }
            (Stage::Method, Verdict::Reply(reply)) => {
                walk.close(&mut self.cx);
                Placed::Reply(reply)
            }
            _ => {
                self.walks.push(walk);
                return Err(CommandError::WrongVerdict);
            }
        };
        match placed {
            Placed::Asked => self.walks.push(walk),
            Placed::Reply(reply) => self.conclude(walk, reply),
        }
        Ok(())
    }

    fn provisional(&mut self, ask: AskId, reply: Reply) -> Result<(), ProvisionalError> {
        // A provisional response needs the transaction that sends it again.
        self.settle();
        let call = self.calls.get_mut(ask.call()).ok_or(Gone)?;
        call.provisional(&mut self.cx, ask, reply)?;
        self.touch(ask.call());
        Ok(())
    }

    fn send(&mut self, outgoing: Outgoing) -> Result<Outcome, CommandError> {
        if self.life != Life::Running {
            return Err(SendError::ShuttingDown.into());
        }
        let (hash, sent) = match outgoing.recipient.clone() {
            Recipient::Uri(uri) => {
                let call_id = match &outgoing.call_id {
                    Some(given) => given.to_string(),
                    None => self.new_call_id(),
                };
                let hash = self.cx.key.hash(call_id.as_bytes());
                let room =
                    self.calls.get(hash).is_some() || self.calls.len() < self.cx.settings.limits().calls;
                if !room {
                    return Err(SendError::Limit("calls").into());
                }
                let call = self.calls.get_or_insert(hash);
                (hash, call.request(&mut self.cx, outgoing, uri, &call_id))
            }
            Recipient::Dialog(dialog) => {
                let call = self.calls.get_mut(dialog.call()).ok_or(Gone)?;
                (dialog.call(), call.request_in_dialog(&mut self.cx, outgoing, dialog.serial()))
            }
        };
        self.touch(hash);
        Ok(Outcome::Client(sent?))
    }

    fn listen(&mut self, listener: Listener) -> Result<Outcome, CommandError> {
        let Listener { proto, addr, host, udp_size, leniency } = listener;
        if let Some(host) = host.as_ref().filter(|host| Host::parse(host.as_str()).is_err()) {
            return Err(CommandError::Host(host.as_str().into()));
        }
        let beside = proto == Proto::Udp && self.cx.settings.config.tcp_beside_udp;
        let socket = self.cx.transport.listen(proto, addr, beside, &mut self.cx.outputs);
        self.cx.transport.set_custom(socket, Custom { host, udp_size });
        self.cx.transport.forgive(socket, leniency);
        Ok(Outcome::Socket(socket))
    }

    fn keep_alive(&mut self, flow: FlowId, every: Option<Duration>) -> Result<(), CommandError> {
        let every = every.map(|every| every.max(Duration::from_secs(1)));
        let kept = match (flow, every) {
            (FlowId::Connection(conn), every) => self.cx.transport.ping_every(self.cx.now, conn, every),
            (FlowId::Datagrams { socket, remote }, None) => self.cx.transport.stop_probe(socket, remote),
            (FlowId::Datagrams { socket, remote }, every) => return self.probe(socket, remote, every),
        };
        if kept { Ok(()) } else { Err(Gone.into()) }
    }

    fn probe(
        &mut self,
        socket: SocketId,
        server: SocketAddr,
        every: Option<Duration>,
    ) -> Result<(), CommandError> {
        let settings = self.cx.settings.clone();
        let times = (every, settings.timing().t1);
        let flow = (socket, server);
        let asked =
            self.cx.transport.probe(self.cx.now, settings.limits(), flow, times, &mut self.cx.outputs);
        asked.map_err(|error| match error {
            IoKind::Limit => CommandError::Limit("probes"),
            error => CommandError::Flow(error),
        })
    }

    fn new_call_id(&mut self) -> String {
        let (high, low) = (self.cx.streams.call_id.next_u64(), self.cx.streams.call_id.next_u64());
        format!("{}{}", Tag::from_number(high).as_str(), Tag::from_number(low).as_str())
    }

    fn shut_down(&mut self, grace: std::time::Duration) {
        self.settle();
        if self.life != Life::Running {
            return;
        }
        self.life = Life::Stopping;
        for hash in self.calls.sorted() {
            if let Some(call) = self.calls.get_mut(hash) {
                call.shut_down(&mut self.cx);
            }
            self.touch(hash);
        }
        self.timers.schedule(self.cx.now + grace, Wake::Shutdown);
    }
}
