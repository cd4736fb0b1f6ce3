use bytes::Bytes;

use crate::{
    base::{HashKey, Instant},
    call::{
        Call, CallCx, Rendered, Stage, Walk,
        dialogs::{DialogEntry, Duty},
        reply_to,
        server::{ActiveServer, Answered, RingAgain, ServerTransaction},
    },
    decision::{
        Ask, AskId, DialogChange, DialogEnd, DialogHandle, Event, MethodFacts, ProvisionalError, Question,
        Reply, Routing, RoutingFacts, ServerEnd, Source, Verdict, Void,
    },
    dialog::{Acceptance, OutOfOrder, State, has_target, refreshes_target},
    syntax::{HeaderId, HeaderName, HeaderValue, Method, Request, Scheme, StatusCode, UriError, View},
    transaction::{ServerState, acknowledges, cancels, plainly_answered, retransmits},
    transport::{Flow, Outbound, Owner, Target},
};

/// What a request has come to.
pub(crate) enum Placed {
    /// The next question is with the application.
    Asked,
    /// It is answered.
    Reply(Reply),
}

/// The routing verdict is in: refuses what only a server may refuse, or asks what the answer is (RFC 3261 §8.2).
///
/// `call` is what the Call-ID has already.
pub(crate) fn route(cx: &mut CallCx, walk: &mut Walk, routing: Routing, call: Option<&mut Call>) -> Placed {
    match routing {
        Routing::Reply(reply) => Placed::Reply(reply),
        Routing::ReplyStateless(reply) => {
            walk.stateless = true;
            Placed::Reply(reply)
        }
        Routing::Process | Routing::ProcessStateless => {
            walk.stateless = matches!(routing, Routing::ProcessStateless);
            match process(cx, walk, call) {
                Ok(()) => {
                    // What comes in a dialog changes it, so it is never without state.
                    walk.stateless &= walk.dialog.is_none();
                    ask_method(cx, walk);
                    Placed::Asked
                }
                Err(reply) => Placed::Reply(reply),
            }
        }
    }
}

/// Checks in the order of RFC 3261 §8.2, then finds the dialog (§12.2.2).
fn process(cx: &mut CallCx, walk: &mut Walk, call: Option<&mut Call>) -> Result<(), Reply> {
    let request = walk.request.clone();
    let view = request.view();
    let settings = &walk.settings;
    if !settings.config.allow.contains(&walk.method) {
        return Err(Reply::unhandled(&walk.method));
    }
    match view.request_uri().map(|uri| uri.scheme()) {
        Ok(Scheme::Sip | Scheme::Sips | Scheme::Tel) => {}
        Ok(Scheme::Other(_)) => return Err(Reply::status(StatusCode::UNSUPPORTED_URI_SCHEME)),
        Err(error) => return Err(bad_uri(&error)),
    }
    if call.as_ref().is_some_and(|call| call.has_merged(&cx.key, walk)) {
        return Err(Reply::status(StatusCode::LOOP_DETECTED));
    }
    let unsupported: Vec<HeaderValue> = view
        .list(HeaderId::Require)
        .filter(|tag| !settings.supports(tag))
        .filter_map(|tag| HeaderValue::try_from(tag).ok())
        .collect();
    if !unsupported.is_empty() {
        return Err(Reply::bad_extension(unsupported));
    }
    if view.to_tag().is_some() {
        let call = call.ok_or_else(Reply::no_dialog)?;
        walk.dialog = Some(call.enter_dialog(cx, walk, view)?);
        return Ok(());
    }
    match walk.method {
        Method::Bye | Method::Update | Method::Info | Method::Notify | Method::Prack => {
            Err(Reply::no_dialog())
        }
        Method::Invite if call.is_some_and(|call| call.has_all_dialogs(walk)) => Err(Reply::shed()),
        Method::Invite if view.contacts().count() != 1 || !has_target(view) => {
            Err(Reply::bad_request().reason(HeaderValue::from_static("INVITE Needs One Contact")))
        }
        _ => Ok(()),
    }
}

fn bad_uri(_error: &UriError) -> Reply {
    Reply::bad_request().reason(HeaderValue::from_static("Invalid Request-URI"))
}

/// Asks where a request goes.
pub(crate) fn ask_routing(cx: &mut CallCx, walk: &mut Walk) {
    let ask = walk.open(cx, Stage::Routing);
    let question =
        Question::new(walk.request.clone(), RoutingFacts { source: source(cx, walk) }, ask, walk.handle());
    cx.events.push_back(Event::Ask(Ask::Routing(question)));
}

fn ask_method(cx: &mut CallCx, walk: &mut Walk) {
    let ask = walk.open(cx, Stage::Method);
    let dialog = walk.dialog.map(|serial| DialogHandle::new(walk.call, serial));
    let question = Question::new(
        walk.request.clone(),
        MethodFacts { dialog, source: source(cx, walk) },
        ask,
        walk.handle(),
    );
    cx.events.push_back(Event::Ask(Ask::Method(question)));
}

fn source(cx: &CallCx, walk: &Walk) -> Source {
    let flow = &walk.flow;
    Source::new(flow.proto(), (flow.local(), flow.remote()), cx.transport.peer(flow))
}

/// Writes the response to a request that is being judged.
pub(crate) fn render(cx: &mut CallCx, walk: &Walk, reply: &Reply, rseq: Option<u32>) -> Bytes {
    let to = Rendered {
        request: walk.request.view(),
        flow: &walk.flow,
        stamp: &walk.stamp,
        tag: &walk.tag,
        settings: &walk.settings,
        rseq,
    };
    reply_to(cx, to, reply)
}

impl Call {
    /// Gives a request to its transaction, if it has one: it is a copy then, and gets the last response again.
    pub(crate) fn retransmitted(&mut self, cx: &mut CallCx, key: u64, back: &Target, view: View<'_>) -> bool {
        let hash = self.hash;
        let plainly =
            |server: &ServerTransaction| server.key() == key && plainly_answered(view, server.answer());
        let found = self.servers.iter().position(plainly);
        let Some(at) = found.or_else(|| self.find_server(key, |kept| retransmits(view, kept))) else {
            return false;
        };
        match &mut self.servers[at] {
            ServerTransaction::Answered(answered) => {
                let bytes = cx.copy(&answered.response);
                let owner = Owner { call: hash, serial: 0 };
                // The peer asks again if this copy is lost too.
                let _lost = cx.send(Outbound { target: back, bytes, owner, awaits: false });
            }
            ServerTransaction::Active(active) => {
                // Whose connection has died may ask again over another one, and is answered there.
                if active
                    .back
                    .flow()
                    .and_then(Flow::conn)
                    .is_some_and(|conn| !cx.transport.takes_messages(conn))
                {
                    active.back = back.clone();
                }
                if active.machine.request(cx.now, active.settings.timing()).send() {
                    active.resend(cx, hash);
                }
            }
        }
        true
    }

    /// Takes a walk over whose question stays open, with a server transaction around it.
    pub(crate) fn hold(&mut self, key: &HashKey, walk: Walk) {
        self.servers.push(ServerTransaction::Active(Box::new(ActiveServer::new(key, walk))));
    }

    /// Answers a request that no transaction holds yet.
    pub(crate) fn answer_new(&mut self, cx: &mut CallCx, walk: Walk, reply: Reply) {
        let mut server = ActiveServer::new(&cx.key, walk);
        if !server.invite && reply.status.is_final() {
            self.complete(cx, &mut server, &reply);
            if server.machine.state() == ServerState::Completed {
                self.keep_answer(server);
            }
            return;
        }
        self.servers.push(ServerTransaction::Active(Box::new(server)));
        self.reply(cx, self.servers.len() - 1, reply);
    }

    /// Answers the question of a request that a transaction holds. The ticket is spent in any case.
    pub(crate) fn answer(
        &mut self,
        cx: &mut CallCx,
        ask: AskId,
        verdict: Verdict,
    ) -> Result<(), WrongVerdict> {
        let server = self.asked(ask).and_then(|at| self.active(at)).ok_or(WrongVerdict::Gone)?;
        let serial = server.serial;
        let mut walk = server.walk.take().ok_or(WrongVerdict::Gone)?;
        let invite = walk.is_invite();
        let placed = match (walk.stage, verdict) {
            (Stage::Routing, Verdict::Routing(routing)) => {
                walk.close(cx);
                route(cx, &mut walk, routing, Some(self))
            }
            (Stage::Method, Verdict::Reply(reply)) => {
                walk.close(cx);
                Placed::Reply(reply)
            }
            _ => {
                self.restore(serial, walk);
                return Err(WrongVerdict::Kind);
            }
        };
        let stateless = walk.stateless;
        self.restore(serial, walk);
        if let (Placed::Reply(reply), Some(at)) = (placed, self.position(serial)) {
            let reply = reply.into_final(invite);
            if stateless {
                self.reply_and_forget(cx, at, reply);
            } else {
                self.reply(cx, at, reply);
            }
        }
        Ok(())
    }

    /// Sends a provisional response to a request whose question stays open.
    pub(crate) fn provisional(
        &mut self,
        cx: &mut CallCx,
        ask: AskId,
        reply: Reply,
    ) -> Result<(), ProvisionalError> {
        let at = self.asked(ask).ok_or(crate::decision::Gone)?;
        let server = self.active(at).ok_or(crate::decision::Gone)?;
        if !server.invite {
            return Err(ProvisionalError::NotInvite);
        }
        if !(101..200).contains(&reply.status.as_u16()) {
            return Err(ProvisionalError::Status);
        }
        if !server.sends_reliably(&reply)? {
            self.reply(cx, at, reply);
            return Ok(());
        }
        self.send_reliable(cx, at, reply)
    }

    /// Cancels the INVITE that a CANCEL names; `None` if there is none (RFC 3261 §9.2).
    pub(crate) fn cancel(&mut self, cx: &mut CallCx, cancel: &Walk) -> Option<Reply> {
        let hash = self.hash;
        let request = cancel.request.view();
        let at = self.find_server(cancel.key, |kept| cancels(request, kept))?;
        let Some(server) = self.active(at) else { return Some(Reply::ok()) };
        // Who cancels sits where the request came from.
        if !is_same_peer(&server.back, &cancel.back) {
            return None;
        }
        // CN-06: any other request ends by itself. CN-03: an answered INVITE stays answered.
        if server.invite
            && let Some(walk) = &mut server.walk
        {
            let ask = walk.close(cx);
            let server = server.handle(hash);
            self.reply(cx, at, Reply::terminated());
            cx.events.extend(ask.map(|ask| Event::Voided { ask, why: Void::Cancelled }));
            cx.events.push_back(Event::Cancelled { server, request: cancel.request.clone() });
        }
        Some(Reply::ok())
    }

    /// Takes an ACK: for a non-2xx it ends the transaction's series, for a 2xx the core's (RFC 3261 §17.2.1, §13.3.1.4).
    pub(crate) fn acknowledge(
        &mut self,
        cx: &mut CallCx,
        key: u64,
        view: View<'_>,
        request: impl FnOnce() -> Option<Request>,
    ) {
        let now = cx.now;
        let found = self.find_server(key, |kept| acknowledges(view, kept));
        if let Some(at) = found
            && let Some(server) = self.active(at)
            && server.machine.state() != ServerState::Accepted
        {
            // Over a stream Timer I is zero.
            if server.machine.ack(now, server.settings.timing()).terminated() {
                self.servers.swap_remove(at);
            }
            return;
        }
        let Some(dialog) = self.dialog_of_request(view) else { return };
        let number = view.cseq_number();
        let waiting = |server: &&mut ActiveServer| server.dialog == Some(dialog) && server.cseq == number;
        let Some(server) = self.active_servers().find(waiting) else { return };
        if server.acceptance.take().is_none() {
            return;
        }
        if let Some(request) = request() {
            cx.events.push_back(Event::Ack { dialog: DialogHandle::new(self.hash, dialog), request });
        }
        self.acked(cx, dialog);
    }

    /// Answers all open questions with one status, since the endpoint or the dialog ends.
    pub(super) fn answer_open(
        &mut self,
        cx: &mut CallCx,
        reply: &Reply,
        dialog: Option<u64>,
        but: Option<u64>,
    ) {
        let concerned = |server: &&mut ActiveServer| {
            (dialog.is_none() || server.dialog == dialog)
                && Some(server.serial) != but
                && server.walk.is_some()
        };
        let serials: Vec<u64> = self.active_servers().filter(concerned).map(|server| server.serial).collect();
        for serial in serials {
            let Some(at) = self.position(serial) else { continue };
            let Some(walk) = self.active(at).and_then(|server| server.walk.as_mut()) else { continue };
            let ask = walk.close(cx);
            cx.events.extend(ask.map(|ask| Event::Voided { ask, why: Void::Died }));
            self.reply(cx, at, reply.clone());
        }
    }

    /// Fires the timer of a server transaction that is due; tells whether there was one.
    pub(super) fn expire_server(&mut self, cx: &mut CallCx, first: Instant) -> bool {
        let due = |server: &ServerTransaction| server.next_timeout() == Some(first);
        let Some(at) = self.servers.iter().position(due) else { return false };
        let hash = self.hash;
        let Some(server) = self.active(at) else {
            self.servers.swap_remove(at);
            return true;
        };
        if let Some(walk) =
            server.walk.as_mut().filter(|walk| walk.ask.is_some_and(|ask| ask.deadline <= cx.now))
        {
            let reply = walk.late(cx);
            self.reply(cx, at, reply);
            return true;
        }
        if let Some(series) = server.acceptance.as_mut().filter(|series| series.due() <= cx.now)
            && server.machine.next().is_none_or(|end| end > cx.now)
        {
            series.sent(cx.now);
            server.resend(cx, hash);
            return true;
        }
        if let Some(again) = server.ring_again.take_if(|again| again.at <= cx.now) {
            self.ring_again(cx, at, again);
            return true;
        }
        if !self.expire_provisional(cx, at) {
            self.expire_machine(cx, at);
        }
        true
    }

    fn ring_again(&mut self, cx: &mut CallCx, at: usize, mut again: RingAgain) {
        let hash = self.hash;
        let Some(server) = self.active(at) else { return };
        let serial = server.serial;
        match &again.next {
            None => server.resend(cx, hash),
            // What already waits for a PRACK is as good.
            Some(reply) => drop(self.send_reliable(cx, at, (**reply).clone())),
        }
        again.skip_to(cx.now);
        if let Some(server) = self.position(serial).and_then(|at| self.active(at)) {
            server.ring_again = Some(again);
        }
    }

    /// Drops all server transactions, voiding their questions.
    pub(super) fn drop_servers(&mut self, cx: &mut CallCx) {
        for server in std::mem::take(&mut self.servers) {
            if let ServerTransaction::Active(active) = server
                && let Some(mut walk) = active.walk
            {
                let ask = walk.close(cx);
                cx.events.extend(ask.map(|ask| Event::Voided { ask, why: Void::Died }));
            }
        }
    }

    fn expire_machine(&mut self, cx: &mut CallCx, at: usize) {
        let hash = self.hash;
        let Some(server) = self.active(at) else { return };
        let Some((_, actions)) = server.machine.expire(cx.now, server.settings.timing()) else { return };
        if actions.send() {
            server.resend(cx, hash);
        }
        if actions.trying()
            && let Some(walk) = &server.walk
        {
            let bytes = render(cx, walk, &Reply::status(StatusCode::TRYING), None);
            server.last = bytes.as_ref().into();
            server.transmit(cx, hash, bytes);
        }
        if actions.no_ack() {
            let end = ServerEnd::NoAck;
            cx.events.push_back(Event::ServerEnded { server: server.handle(hash), end });
        }
        if actions.terminated() {
            let unacked = server.acceptance.is_some();
            let (dialog, handle) = (server.dialog, server.handle(hash));
            self.servers.swap_remove(at);
            if unacked {
                cx.events.push_back(Event::ServerEnded { server: handle, end: ServerEnd::NoAck });
                self.never_acked(cx, dialog);
            }
        }
    }

    /// Sends a response through the transaction, with its effects on dialogs.
    pub(super) fn reply(&mut self, cx: &mut CallCx, at: usize, reply: Reply) {
        if self.active(at).is_none() {
            return;
        }
        let ServerTransaction::Active(mut server) = self.servers.swap_remove(at) else { return };
        self.complete(cx, &mut server, &reply);
        match server.machine.state() {
            ServerState::Terminated => {}
            ServerState::Completed if !server.invite => self.keep_answer(*server),
            _ => self.servers.push(ServerTransaction::Active(server)),
        }
    }

    /// Sends a final response and keeps nothing, unless the INVITE is accepted or was answered provisionally.
    fn reply_and_forget(&mut self, cx: &mut CallCx, at: usize, reply: Reply) {
        let Some(server) = self.active(at) else { return };
        let accepts = server.invite && reply.status.is_success();
        if accepts || !server.last.is_empty() {
            return self.reply(cx, at, reply);
        }
        let Some(walk) = server.walk.take() else { return };
        let hash = self.hash;
        let bytes = render(cx, &walk, &reply, None);
        if let Some(server) = self.active(at) {
            server.transmit(cx, hash, bytes);
        }
        self.servers.swap_remove(at);
    }

    /// Sends a response; a final one lets go of the request.
    fn complete(&mut self, cx: &mut CallCx, server: &mut ActiveServer, reply: &Reply) {
        let Some(mut walk) = server.walk.take() else { return };
        // An INVITE cannot be accepted without the dialog that its ACK would come in.
        let crowded = server.dialog.is_none() && self.has_all_dialogs(&walk);
        let accepts = server.invite && reply.status.is_success();
        let lost = server.dialog.is_some_and(|serial| !self.is_alive(serial));
        let instead = match accepts {
            true if crowded => Some(Reply::shed()),
            true if lost => Some(Reply::terminated()),
            _ => None,
        };
        let reply = instead.as_ref().unwrap_or(reply);
        if let Some(sent) = server.provisionals.as_mut().filter(|sent| sent.withholds(reply)) {
            // RFC 3262 §3: a 2xx waits for the PRACK of a provisional response that carried a session description.
            sent.withhold(reply.clone());
            server.walk = Some(walk);
            return;
        }
        let status = reply.status;
        if server.invite && (101..300).contains(&status.as_u16()) {
            self.start_dialog(cx, server, &walk, status);
        }
        let rseq = server.provisionals.as_ref().filter(|_| reply.reliable).map(|sent| sent.rseq());
        let takes = status.is_success() || rseq.is_some();
        if let Some(serial) = server.dialog.filter(|_| takes && refreshes_target(&walk.method)) {
            self.refresh(cx, serial, |dialog| dialog.refresh_by_request(walk.request.view()));
        }
        let bytes = render(cx, &walk, reply, rseq);
        match server.machine.respond(cx.now, status.as_u16(), walk.settings.timing()) {
            Ok(_sent) => {
                server.last = bytes.as_ref().into();
                if let Some(sent) = server.provisionals.as_mut().filter(|_| rseq.is_some()) {
                    sent.start(cx.now, walk.settings.timing(), &bytes, reply.body.is_some());
                }
                server.transmit(cx, self.hash, bytes);
            }
            // The transaction has its final response already, or may not send this one yet.
            Err(_refused) => {}
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            // RFC 3263 §4.3: the client may try again on another way, and that may lead here.
            server.merge = 0;
        }
        if status.is_final() {
            walk.close(cx);
            server.ring_again = None;
            if let Some(sent) = &mut server.provisionals {
                sent.stop();
            }
            if server.invite && status.is_success() {
                let timing = walk.settings.timing();
                server.acceptance = Some(Acceptance::start(cx.now, timing.t1, timing.t2));
            }
            self.replied(cx, server, &walk, status);
        } else {
            let rings = server.invite && status != StatusCode::TRYING;
            server.ring_again = rings.then(|| RingAgain::of(cx.now, reply, rseq.is_some()));
            server.walk = Some(walk);
        }
    }

    /// Keeps of an answered request only what retransmissions need.
    fn keep_answer(&mut self, server: ActiveServer) {
        if let Some(until) = server.machine.next() {
            let answered = Answered { key: server.key, merge: server.merge, until, response: server.last };
            self.servers.push(ServerTransaction::Answered(answered));
        }
    }

    /// Makes or confirms the dialog of an INVITE (RFC 3261 §12.1.1).
    fn start_dialog(&mut self, cx: &mut CallCx, server: &mut ActiveServer, walk: &Walk, status: StatusCode) {
        let ok = status.is_success();
        let serial = match server.dialog {
            Some(serial) => serial,
            None => {
                if self.has_all_dialogs(walk) {
                    return;
                }
                let serial = cx.serial();
                let Some(entry) = DialogEntry::of_server(cx, serial, walk) else { return };
                self.rest().dialogs.push(entry);
                server.dialog = Some(serial);
                self.tell_dialog(cx, serial, DialogChange::Started);
                serial
            }
        };
        let Some(entry) = self.dialog_mut(serial) else { return };
        if !ok {
            return;
        }
        entry.unacked = true;
        if entry.dialog.confirm() {
            self.tell_dialog(cx, serial, DialogChange::Confirmed);
        }
    }

    /// Draws what a final response means for the dialog.
    fn replied(&mut self, cx: &mut CallCx, server: &ActiveServer, walk: &Walk, status: StatusCode) {
        let Some(serial) = server.dialog else { return };
        if walk.method == Method::Bye {
            self.end_dialog(cx, serial, DialogEnd::RemoteBye);
        } else if server.invite && !status.is_success() && walk.dialog.is_none() && !self.is_ending(serial) {
            let end = match status {
                StatusCode::REQUEST_TERMINATED => DialogEnd::Cancelled,
                other => DialogEnd::Refused(other),
            };
            self.end_dialog(cx, serial, end);
        }
    }

    /// Finds the dialog of a request and checks that it may take it (RFC 3261 §12.2.2, §14.2).
    fn enter_dialog(&mut self, cx: &mut CallCx, walk: &Walk, view: View<'_>) -> Result<u64, Reply> {
        let serial = self.dialog_of_request(view).ok_or_else(Reply::no_dialog)?;
        let entry = self.dialog_mut(serial).ok_or_else(Reply::no_dialog)?;
        match entry.dialog.receive(view) {
            Ok(()) => entry.over = Some(walk.flow),
            Err(OutOfOrder::Ending) => return Err(Reply::no_dialog()),
            Err(OutOfOrder::OldSequence) => {
                return Err(Reply::internal_error().reason(HeaderValue::from_static("Old CSeq In Dialog")));
            }
        }
        let invite = walk.is_invite();
        if invite && self.has_open_client_invite(serial) {
            return Err(Reply::status(StatusCode::REQUEST_PENDING));
        }
        if invite && self.has_open_server_invite(serial, walk.serial) {
            let wait = cx.streams.retry.below(11);
            let seconds = HeaderValue::try_from(wait.to_string()).expect("digits are a valid value");
            return Err(Reply::internal_error().header(HeaderName::RETRY_AFTER, seconds));
        }
        if walk.method == Method::Prack {
            self.take_prack(cx, serial, view)?;
            return Ok(serial);
        }
        if walk.method == Method::Bye {
            // RFC 5407 §3.1.6: a 2xx is acknowledged all the same, and so are its copies from then on.
            self.ack_if_owed(cx, serial);
            if let Some(entry) = self.dialog_mut(serial) {
                entry.dialog.end();
                entry.duty = Duty::None;
            }
            self.stop_accepting(serial);
            // RFC 3261 §15.1.2: what is still open in the dialog gets 487.
            self.answer_open(cx, &Reply::terminated(), Some(serial), Some(walk.serial));
        }
        Ok(serial)
    }

    /// Tells whether a dialog is there and has had no BYE.
    fn is_alive(&self, serial: u64) -> bool {
        self.dialog(serial).is_some_and(|dialog| dialog.state() != State::Ending)
    }

    /// Tells whether there is no room for another dialog.
    fn has_all_dialogs(&self, walk: &Walk) -> bool {
        self.dialogs().len() >= walk.settings.limits().dialogs_per_call
    }

    /// Tells whether the same request came on another way already (RFC 3261 §8.2.2.2).
    fn has_merged(&self, key: &HashKey, walk: &Walk) -> bool {
        let merge = walk.merge_key(key);
        self.servers.iter().any(|server| server.is_merged_with(merge, walk))
    }

    /// Finds the transaction with this key whose request or response passes a comparison.
    fn find_server(&self, key: u64, mut same: impl FnMut(View<'_>) -> bool) -> Option<usize> {
        self.servers
            .iter()
            .position(|server| server.key() == key && server.with_kept(&mut same) == Some(true))
    }

    pub(super) fn has_open_server_invite(&self, dialog: u64, but: u64) -> bool {
        self.servers.iter().any(|server| match server {
            ServerTransaction::Active(active) => {
                let open = active.walk.is_some() || active.acceptance.is_some();
                active.invite && active.dialog == Some(dialog) && active.serial != but && open
            }
            ServerTransaction::Answered(_) => false,
        })
    }

    fn stop_accepting(&mut self, dialog: u64) {
        for server in self.active_servers().filter(|server| server.dialog == Some(dialog)) {
            server.acceptance = None;
        }
    }

    fn asked(&self, ask: AskId) -> Option<usize> {
        self.servers.iter().position(|server| match server {
            ServerTransaction::Active(active) => {
                let open = active.walk.as_ref().and_then(|walk| walk.ask);
                open.is_some_and(|open| open.serial == ask.serial())
            }
            ServerTransaction::Answered(_) => false,
        })
    }

    pub(super) fn position(&self, serial: u64) -> Option<usize> {
        self.servers.iter().position(|server| match server {
            ServerTransaction::Active(active) => active.serial == serial,
            ServerTransaction::Answered(_) => false,
        })
    }

    pub(super) fn active(&mut self, at: usize) -> Option<&mut ActiveServer> {
        match self.servers.get_mut(at) {
            Some(ServerTransaction::Active(active)) => Some(active),
            _ => None,
        }
    }

    /// Puts a walk back; what was done meanwhile may have moved its transaction.
    fn restore(&mut self, serial: u64, walk: Walk) {
        if let Some(server) = self.position(serial).and_then(|at| self.active(at)) {
            server.dialog = server.dialog.or(walk.dialog);
            server.walk = Some(walk);
        }
    }
}

/// Why an answer did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WrongVerdict {
    Gone,
    Kind,
}

impl Walk {
    /// Gives up waiting for the application; returns the answer by default.
    pub(crate) fn late(&mut self, cx: &mut CallCx) -> Reply {
        let ask = self.close(cx);
        cx.events.extend(ask.map(|ask| Event::Voided { ask, why: Void::Deadline }));
        let (_, status) = self.settings.answer_within(self.is_invite());
        // RFC 3261 §13.3.1: an INVITE that outlives its Expires is terminated.
        if self.expires.is_some_and(|at| at <= cx.now) { Reply::terminated() } else { Reply::status(status) }
    }
}

fn is_same_peer(one: &Target, other: &Target) -> bool {
    match (one, other) {
        (Target::Back { flow: one, .. }, Target::Back { flow: other, .. }) => {
            one.remote().ip() == other.remote().ip() && one.proto() == other.proto()
        }
        _ => false,
    }
}
