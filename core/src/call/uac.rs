use std::collections::VecDeque;

use crate::{
    base::Instant,
    call::{
        Call, CallCx, Draft, Tag,
        client::{Attempts, Cancel, ClientTransaction, Invite, Sending, Sent, SentAck, Waiting},
        dialogs::{DialogEntry, Duty},
        request::{Size, Written, check_outgoing, destination, expires_of, write_hop_by_hop},
    },
    decision::{
        AckMode, Body, ClientEnd, ClientHandle, DialogChange, DialogEnd, DialogError, DialogHandle, Event,
        ExtraForks, Gone, Outgoing, SendError,
    },
    dialog::{Dialog, RouteSet, State, refreshes_target},
    syntax::{HeaderName, HeaderValue, Method, Response, StatusCode, UriBuf, View},
    transaction::Kind,
    transport::{Destination, DnsError, IoKind, NotBegun, Outbound, Place},
};

impl Call {
    /// Sends a request outside of any dialog, with a Call-ID whose hash is this call's (RFC 3261 §8.1).
    pub(crate) fn request(
        &mut self,
        cx: &mut CallCx,
        outgoing: Outgoing,
        uri: UriBuf,
        call_id: &str,
    ) -> Result<ClientHandle, SendError> {
        check_outgoing(&outgoing)?;
        let tag = Tag::from_number(cx.streams.tag.next_u64());
        let from = outgoing.from.as_ref().unwrap_or(&cx.settings.config.from);
        let to = outgoing.to.as_ref().unwrap_or(&uri);
        let draft = Draft {
            method: outgoing.method,
            way: RouteSet::preloaded(&outgoing.routes).itinerary(&uri),
            from: format!("<{from}>;tag={}", tag.as_str()).into(),
            to: format!("<{to}>").into(),
            call_id: call_id.into(),
            cseq: 1,
            headers: outgoing.headers,
            body: outgoing.body,
            host: outgoing.host,
            over: outgoing.over,
            order: None,
        };
        self.start(cx, draft, None, Some((outgoing.ack, outgoing.forks)), false)
    }

    /// Sends a request in a dialog (RFC 3261 §12.2.1).
    pub(crate) fn request_in_dialog(
        &mut self,
        cx: &mut CallCx,
        outgoing: Outgoing,
        serial: u64,
    ) -> Result<ClientHandle, SendError> {
        check_outgoing(&outgoing)?;
        let invite = outgoing.method == Method::Invite;
        if invite && (self.has_open_client_invite(serial) || self.has_open_server_invite(serial, 0)) {
            return Err(SendError::InviteUnderWay);
        }
        let entry = self.dialog_mut(serial).ok_or(Gone)?;
        if entry.dialog.state() == State::Ending {
            return Err(Gone.into());
        }
        let cseq = entry.dialog.next_seq();
        let mut draft = Draft::in_dialog(&entry.dialog, outgoing.method, cseq, outgoing.body);
        draft.headers = outgoing.headers;
        (draft.host, draft.over) = (outgoing.host, outgoing.over);
        self.start(cx, draft, Some(serial), Some((outgoing.ack, outgoing.forks)), false)
    }

    /// Acknowledges the 2xx of a dialog, on the application's wish.
    pub(crate) fn ack(
        &mut self,
        cx: &mut CallCx,
        serial: u64,
        body: Option<Body>,
    ) -> Result<(), DialogError> {
        let entry = self.dialog_mut(serial).ok_or(Gone)?;
        let cseq = entry.to_ack.take().ok_or(DialogError::NothingToAck)?;
        self.send_ack(cx, serial, cseq, body);
        Ok(())
    }

    /// Acknowledges a 2xx that the application has not, so that a BYE may follow.
    pub(super) fn ack_if_owed(&mut self, cx: &mut CallCx, serial: u64) {
        let owed = self.dialog_mut(serial).and_then(|entry| entry.to_ack.take());
        if let Some(cseq) = owed {
            self.send_ack(cx, serial, cseq, None);
        }
    }

    /// Sends the BYE of a dialog.
    pub(super) fn send_bye(&mut self, cx: &mut CallCx, serial: u64) {
        let Some(entry) = self.dialog_mut(serial) else { return };
        let cseq = entry.dialog.next_seq();
        let draft = Draft::in_dialog(&entry.dialog, Method::Bye, cseq, None);
        if self.start(cx, draft, Some(serial), None, true).is_err() {
            self.end_dialog(cx, serial, DialogEnd::Unreachable);
        }
    }

    /// Sends a request in a dialog of which the application hears nothing.
    pub(super) fn send_silently(
        &mut self,
        cx: &mut CallCx,
        serial: u64,
        method: Method,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Option<Body>,
    ) {
        let Some(entry) = self.dialog_mut(serial) else { return };
        let cseq = entry.dialog.next_seq();
        let mut draft = Draft::in_dialog(&entry.dialog, method, cseq, body);
        draft.headers = headers;
        // The peer repeats what this answers, or gives up by itself.
        let _unsent = self.start(cx, draft, Some(serial), None, true);
    }

    /// Cancels an INVITE: at once if it has rung, else as soon as it does (RFC 3261 §9.1).
    pub(crate) fn cancel_client(&mut self, cx: &mut CallCx, serial: u64) -> Result<(), Gone> {
        let at = self.client_at(serial).ok_or(Gone)?;
        let client = &mut self.rest().clients[at];
        let open = client.is_open();
        let rang =
            client.sent().map(|sent| sent.machine.state() == crate::transaction::ClientState::Proceeding);
        let invite =
            client.invite.as_mut().filter(|invite| open && invite.cancel == Cancel::No).ok_or(Gone)?;
        match rang {
            Some(true) => self.send_cancel(cx, at),
            Some(false) => invite.cancel = Cancel::Wanted,
            // Not even sent: nobody has to be told but the application.
            None => {
                let order = client.waiting_mut().and_then(|waiting| waiting.draft.order);
                self.end_client(cx, at, ClientEnd::Cancelled);
                self.depart_in_order(cx, order);
            }
        }
        Ok(())
    }

    /// Cancels all INVITEs of ours that are open.
    pub(super) fn cancel_all(&mut self, cx: &mut CallCx) {
        let serials: Vec<u64> =
            self.clients().iter().filter(|client| client.invite.is_some()).map(|c| c.serial).collect();
        for serial in serials {
            // Those that are not open any more need no CANCEL.
            let _ended = self.cancel_client(cx, serial);
        }
    }

    /// Takes the servers of a next hop.
    pub(crate) fn found(&mut self, cx: &mut CallCx, serial: u64, places: Result<Vec<Place>, DnsError>) {
        let Some(at) = self.client_at(serial) else { return };
        let Some(waiting) = self.rest().clients[at].waiting_mut() else { return };
        waiting.found = Some(places);
        match waiting.draft.order {
            Some(order) => self.depart_in_order(cx, Some(order)),
            None => self.depart(cx, at),
        }
    }

    /// Sends the requests of a dialog that may leave: none overtakes another, or its CSeq would be out of order at the
    /// peer (RFC 3261 §12.2.2), and no BYE its ACK.
    fn depart_in_order(&mut self, cx: &mut CallCx, order: Option<u64>) {
        let Some(order) = order else { return };
        loop {
            let waiting = self.clients().iter().enumerate().filter(|(_, client)| client.waits_in(order));
            let Some(at) = waiting.min_by_key(|(_, client)| client.serial).map(|(at, _)| at) else { return };
            if self.rest().clients[at].waiting_mut().is_none_or(|first| first.found.is_none()) {
                return;
            }
            // It waits no more afterwards, so this ends.
            self.depart(cx, at);
        }
    }

    /// Sends a request whose servers are known.
    fn depart(&mut self, cx: &mut CallCx, at: usize) {
        let client = &mut self.rest().clients[at];
        let Some(Waiting { draft, to, found: Some(places) }) = client.waiting_mut().cloned() else {
            return;
        };
        let end = match places {
            Ok(places) => {
                let attempts = Attempts { draft, to, rest: places.into() };
                match self.attempt(cx, at, Box::new(attempts)) {
                    Ok(()) => return,
                    Err(end) => end,
                }
            }
            Err(DnsError::TimedOut) => ClientEnd::Transport(IoKind::TimedOut),
            Err(_) => ClientEnd::NoAddress,
        };
        self.fail(cx, at, end);
    }

    /// Takes the news that a request of ours cannot be delivered.
    pub(crate) fn undeliverable(&mut self, cx: &mut CallCx, serial: u64, error: IoKind) {
        let Some(at) = self.client_at(serial) else { return };
        let client = &mut self.rest().clients[at];
        let Some(sent) = client.sent_mut() else { return };
        let open = matches!(
            sent.machine.state(),
            crate::transaction::ClientState::Calling
                | crate::transaction::ClientState::Trying
                | crate::transaction::ClientState::Proceeding
        );
        let unanswered = sent.machine.is_unanswered();
        let actions = sent.machine.transport_error();
        if open && actions.terminated() {
            self.fail_over(cx, at, unanswered, ClientEnd::Transport(error));
        } else if actions.terminated() {
            self.rest().clients.swap_remove(at);
        }
    }

    /// Takes a response, if it is one to a request of this call.
    pub(crate) fn respond(
        &mut self,
        cx: &mut CallCx,
        response: View<'_>,
        owned: impl FnOnce() -> Option<Response>,
    ) -> bool {
        let Some(at) = self.clients().iter().position(|client| client.matches(response)) else {
            return false;
        };
        let Some(status) = response.status() else { return false };
        let hash = self.hash;
        let client = &mut self.rest().clients[at];
        let settings = client.settings.clone();
        let owner = client.owner(hash);
        let Some(sent) = client.sent_mut() else { return false };
        let actions = sent.machine.response(cx.now, status.as_u16(), settings.timing());
        if status.is_final() {
            cx.transport.release(owner);
        }
        let server = sent.target.server();
        let serial = owner.serial;
        if actions.ack() {
            self.ack_refusal(cx, at, response);
        }
        if status != StatusCode::SERVICE_UNAVAILABLE {
            cx.transport.trust(server);
        } else if actions.pass() && self.fail_over_503(cx, at, response, actions.terminated()) {
            return true;
        }
        if status.is_final() {
            let client = &mut self.rest().clients[at];
            // It is written anew no more.
            client.attempts = None;
            // The peer knows where this side is now.
            let (dialog, arrived) = (client.dialog, cx.arrived);
            if let Some(entry) = dialog.and_then(|serial| self.dialog_mut(serial)) {
                entry.over = entry.over.or(arrived);
            }
        }
        if actions.pass()
            && let Some(response) = owned()
        {
            match self.rest().clients[at].method {
                Method::Invite => self.invite_response(cx, at, status, response),
                _ => self.other_response(cx, at, status, response),
            }
        }
        if actions.terminated()
            && let Some(at) = self.client_at(serial)
        {
            self.rest().clients.swap_remove(at);
        }
        true
    }

    /// Fires the timer of a client transaction that is due; tells whether there was one.
    pub(super) fn expire_client(&mut self, cx: &mut CallCx, first: Instant) -> bool {
        let due = |client: &ClientTransaction| client.next_timeout() == Some(first);
        let Some(at) = self.clients().iter().position(due) else { return false };
        let hash = self.hash;
        let client = &mut self.rest().clients[at];
        if client.patience().is_some_and(|until| until <= cx.now) {
            match client.invite.as_ref().map(|invite| invite.cancel) {
                // CN-04: a cancelled INVITE that never ends is ended.
                Some(Cancel::Sent(_)) => self.fail(cx, at, ClientEnd::Cancelled),
                _ => {
                    let serial = client.serial;
                    let _ended = self.cancel_client(cx, serial);
                }
            }
            return true;
        }
        let (settings, owner) = (client.settings.clone(), client.owner(hash));
        let Some(sent) = client.sent_mut() else { return true };
        let unanswered = sent.machine.is_unanswered();
        let Some((_, actions)) = sent.machine.expire(cx.now, settings.timing()) else { return true };
        if actions.send() {
            let bytes = cx.copy(&sent.request);
            let target = &sent.target;
            if let Err(error) = cx.send(Outbound { target, bytes, owner, awaits: true }) {
                self.undeliverable(cx, owner.serial, error);
                return true;
            }
        }
        if actions.timeout() {
            self.fail_over(cx, at, unanswered, ClientEnd::Timeout);
        } else if actions.terminated() {
            self.forget(cx, at);
        }
        true
    }

    /// Drops all client transactions, telling so.
    pub(super) fn drop_clients(&mut self, cx: &mut CallCx) {
        while !self.clients().is_empty() {
            let last = self.clients().len() - 1;
            if self.clients()[last].is_open() {
                self.end_client(cx, last, ClientEnd::Cancelled);
            } else {
                self.rest().clients.pop();
            }
        }
    }

    /// Tells whether an INVITE of ours that made a dialog, or was sent in it, is not acknowledged yet.
    pub(super) fn has_open_client_invite(&self, dialog: u64) -> bool {
        let Some(entry) = self.dialogs().iter().find(|entry| entry.dialog.serial == dialog) else {
            return false;
        };
        // Once one fork has accepted, the dialogs of the others only wait for their ends.
        let maker = entry.client.filter(|_| entry.dialog.state() == State::Early);
        let concerns = |client: &ClientTransaction| {
            client.dialog == Some(dialog) || client.dialog.is_none() && maker == Some(client.serial)
        };
        entry.to_ack.is_some()
            || self.clients().iter().any(|c| c.method == Method::Invite && c.is_open() && concerns(c))
    }

    /// Starts a request: sends it if its next hop is an address, looks the address up otherwise.
    fn start(
        &mut self,
        cx: &mut CallCx,
        draft: Draft,
        dialog: Option<u64>,
        policy: Option<(AckMode, ExtraForks)>,
        silent: bool,
    ) -> Result<ClientHandle, SendError> {
        let settings = cx.settings.clone();
        // What confirms and what ends a session comes once, and always has room.
        let spare = dialog.is_some() && matches!(draft.method, Method::Ack | Method::Bye);
        if !spare && self.transactions() >= settings.limits().transactions_per_call {
            return Err(SendError::Limit("transactions_per_call"));
        }
        let to = destination(draft.way.next_hop.as_uri())?;
        let waits =
            draft.order.is_some_and(|order| self.clients().iter().any(|client| client.waits_in(order)));
        let back = self.way_back(cx, &draft, &to, dialog).filter(|_| !waits);
        let serial = cx.serial();
        let (found, written) = match (back, to.place(&cx.transport.reach())) {
            (Some(flow), _) => (None, Some(draft.write_back(cx, &settings, flow, &to)?)),
            (None, Some(place)) if waits => (Some(Ok(vec![place])), None),
            (None, Some(place)) => (None, Some(draft.write(cx, &settings, &place, &to)?)),
            (None, None) => {
                self.look_up(cx, serial, &to)?;
                (None, None)
            }
        };
        let method = draft.method.clone();
        let invite = (method == Method::Invite).then(|| {
            let (ack, forks) = policy.unwrap_or_default();
            Box::new(Invite {
                ack,
                forks,
                offered: draft.body.is_some(),
                cancel: Cancel::No,
                // RFC 3261 §13.2.1: the caller cancels what has expired.
                rings_until: cx.now + expires_of(&draft.headers).unwrap_or(settings.config.ringing),
                accepted: None,
                told: false,
                given_up: Vec::new(),
                acks: Vec::new(),
            })
        });
        let cseq = draft.cseq;
        let stage = Sending::Waiting(Box::new(Waiting { draft, to, found }));
        self.rest().clients.push(ClientTransaction {
            serial,
            method,
            cseq,
            dialog,
            stage,
            invite,
            silent,
            attempts: None,
            settings,
        });
        if let Some(written) = written {
            let at = self.clients().len() - 1;
            if let Err(error) = self.launch(cx, at, written) {
                self.undeliverable(cx, serial, error);
            }
        }
        Ok(ClientHandle::new(self.hash, serial))
    }

    fn look_up(&self, cx: &mut CallCx, serial: u64, to: &Destination) -> Result<(), SendError> {
        let owner = crate::transport::Owner { call: self.hash, serial };
        let settings = cx.settings.clone();
        let prefer = settings.config.prefer;
        let begun = cx.transport.resolve(cx.now, settings.limits(), (owner, to), prefer, &mut cx.outputs);
        begun.map_err(|why| match why {
            NotBegun::NoSocket(proto) => SendError::NoSocket(proto),
            NotBegun::Limit => SendError::Limit("resolutions"),
        })
    }

    /// Sends what is written: an ACK once, anything else through its machine.
    pub(super) fn launch(&mut self, cx: &mut CallCx, at: usize, written: Written) -> Result<(), IoKind> {
        let hash = self.hash;
        let client = &mut self.rest().clients[at];
        if client.method == Method::Ack {
            let ack = self.rest().clients.swap_remove(at);
            self.launch_ack(cx, &ack, written);
            return Ok(());
        }
        let kind = if client.invite.is_some() { Kind::Invite } else { Kind::NonInvite };
        let (owner, settings, size) = (client.owner(hash), client.settings.clone(), written.size);
        let (sent, result) = Sent::start(cx, owner, &settings, kind, written);
        let before = std::mem::replace(&mut client.stage, Sending::Sent(Box::new(sent)));
        if let Sending::Waiting(waiting) = before {
            let Waiting { draft, to, .. } = *waiting;
            client.attempts = Some(Box::new(Attempts { draft, to, rest: VecDeque::new() }));
        }
        client.settle_attempts();
        if size == Size::Switched && !client.silent {
            cx.events.push_back(Event::Switched { client: client.handle(hash) });
        }
        result
    }

    /// Sends the ACK for a 2xx and keeps it with its INVITE, which stays in Accepted (RFC 3261 §13.2.2.4, RFC 6026).
    fn launch_ack(&mut self, cx: &mut CallCx, ack: &ClientTransaction, written: Written) {
        let hash = self.hash;
        let bytes: Box<[u8]> = written.bytes.as_ref().into();
        let owner = ack.owner(hash);
        // A lost ACK is asked for again by a copy of the 2xx.
        let _lost = cx.send(Outbound { target: &written.target, bytes: written.bytes, owner, awaits: false });
        let Some(dialog) = ack.dialog.and_then(|serial| self.dialog(serial)) else { return };
        let (serial, to_tag) = (dialog.serial, dialog.remote_tag().into());
        let at = self.invite_of(serial, ack.cseq);
        if let Some(invite) = at.and_then(|at| self.rest().clients[at].invite.as_mut()) {
            invite.acks.push(SentAck { to_tag, bytes, target: written.target });
        }
    }

    /// Finds the INVITE with this CSeq that made a dialog or was sent in it.
    fn invite_of(&self, dialog: u64, cseq: u32) -> Option<usize> {
        let maker = self.dialogs().iter().find(|entry| entry.dialog.serial == dialog)?.client;
        self.clients().iter().position(|client| {
            let belongs =
                client.dialog == Some(dialog) || client.dialog.is_none() && maker == Some(client.serial);
            client.invite.is_some() && client.cseq == cseq && belongs
        })
    }

    fn send_ack(&mut self, cx: &mut CallCx, serial: u64, cseq: u32, body: Option<Body>) {
        let Some(dialog) = self.dialog(serial) else { return };
        let mut draft = Draft::in_dialog(dialog, Method::Ack, cseq, body);
        draft.headers = self.credentials(serial, cseq);
        // Without a way to the peer its copies of the 2xx end by themselves, and then the dialog does.
        let _unsent = self.start(cx, draft, Some(serial), None, true);
    }

    /// Returns the credentials of an INVITE, which its ACK repeats (RFC 3261 §13.2.2.4).
    fn credentials(&self, dialog: u64, cseq: u32) -> Vec<(HeaderName, HeaderValue)> {
        let invite = self.invite_of(dialog, cseq).map(|at| &self.clients()[at]);
        let read = |view: View<'_>| {
            let names = [HeaderName::AUTHORIZATION, HeaderName::PROXY_AUTHORIZATION];
            let fields = names
                .into_iter()
                .flat_map(|name| view.headers(name.id()).map(move |value| (name.clone(), value)));
            fields.filter_map(|(name, value)| Some((name, value.try_into().ok()?))).collect()
        };
        invite.and_then(ClientTransaction::sent).and_then(|sent| sent.with_request(read)).unwrap_or_default()
    }

    /// Sends the ACK for a refusal, the same bytes for each copy of it (RFC 3261 §17.1.1.3).
    fn ack_refusal(&mut self, cx: &mut CallCx, at: usize, response: View<'_>) {
        let hash = self.hash;
        let client = &mut self.rest().clients[at];
        let owner = client.owner(hash);
        let to_tag = response.to_tag().unwrap_or_default();
        let Some(target) = client.sent().map(|sent| sent.target.clone()) else { return };
        let known =
            client.invite.as_ref().and_then(|invite| invite.acks.iter().find(|ack| &*ack.to_tag == to_tag));
        let bytes = match known {
            Some(ack) => cx.copy(&ack.bytes),
            None => {
                let write = |invite: View<'_>| write_hop_by_hop(cx, &Method::Ack, invite, Some(response));
                let Some(bytes) = client.sent().and_then(|sent| sent.with_request(write)) else { return };
                // One tag a refusal; a peer that makes up more gets each of them acknowledged, and no memory.
                if let Some(invite) = client.invite.as_mut().filter(|invite| invite.acks.is_empty()) {
                    let (to_tag, kept, target) = (to_tag.into(), bytes.as_ref().into(), target.clone());
                    invite.acks.push(SentAck { to_tag, bytes: kept, target });
                }
                bytes
            }
        };
        let _lost = cx.send(Outbound { target: &target, bytes, owner, awaits: false });
    }

    fn send_cancel(&mut self, cx: &mut CallCx, at: usize) {
        let now = cx.now;
        let client = &mut self.rest().clients[at];
        let settings = client.settings.clone();
        let Some(invite) = &mut client.invite else { return };
        invite.cancel = Cancel::Sent(now + settings.timing().t1_64());
        let (cseq, dialog) = (client.cseq, client.dialog);
        let Some(sent) = client.sent() else { return };
        let Some(bytes) = sent.with_request(|invite| write_hop_by_hop(cx, &Method::Cancel, invite, None))
        else {
            return;
        };
        let written = Written {
            bytes,
            branch: sent.branch.clone(),
            sent_by: sent.sent_by.clone(),
            target: sent.target.clone(),
            size: Size::Fixed,
        };
        let serial = cx.serial();
        let owner = crate::transport::Owner { call: self.hash, serial };
        let (sent, result) = Sent::start(cx, owner, &settings, Kind::NonInvite, written);
        let stage = Sending::Sent(Box::new(sent));
        let method = Method::Cancel;
        self.rest().clients.push(ClientTransaction {
            serial,
            method,
            cseq,
            dialog,
            stage,
            invite: None,
            silent: true,
            attempts: None,
            settings,
        });
        if let Err(error) = result {
            self.undeliverable(cx, serial, error);
        }
    }

    fn invite_response(&mut self, cx: &mut CallCx, at: usize, status: StatusCode, response: Response) {
        if status.is_success() {
            return self.accepted(cx, at, response);
        }
        if status.is_provisional() {
            let dialog = self.early_dialog(cx, at, response.view());
            let offered = self.clients()[at].invite.as_ref().is_some_and(|invite| invite.offered);
            if self.receive_reliable(cx, dialog, offered, response.view()) {
                self.tell_response(
                    cx,
                    at,
                    response,
                    dialog.map(|serial| DialogHandle::new(self.hash, serial)),
                );
            }
            let client = &self.rest().clients[at];
            if client.invite.as_ref().is_some_and(|invite| invite.cancel == Cancel::Wanted) {
                self.send_cancel(cx, at);
            }
            return;
        }
        let client = &self.rest().clients[at];
        let (serial, dialog) = (client.serial, client.dialog);
        let cancelled = client.invite.as_ref().is_some_and(|invite| invite.cancel != Cancel::No);
        self.tell_response(cx, at, response, dialog.map(|serial| DialogHandle::new(self.hash, serial)));
        let end = if cancelled { DialogEnd::Cancelled } else { DialogEnd::Refused(status) };
        self.end_early(cx, serial, end);
        self.tell_end(cx, serial, ClientEnd::Final(status));
        self.judge_dialog(cx, dialog, true, status);
    }

    /// Takes a 2xx to an INVITE (RFC 3261 §13.2.2.4).
    fn accepted(&mut self, cx: &mut CallCx, at: usize, response: Response) {
        let hash = self.hash;
        let view = response.view();
        let to_tag = view.to_tag().unwrap_or_default();
        let client = &self.rest().clients[at];
        let Some(invite) = &client.invite else { return };
        // An INVITE in a dialog has one 2xx, whatever its To says.
        let known = |ack: &&SentAck| client.dialog.is_some() || &*ack.to_tag == to_tag;
        if let Some(ack) = invite.acks.iter().find(known) {
            let (target, owner) = (&ack.target, client.owner(hash));
            let bytes = cx.copy(&ack.bytes);
            let _lost = cx.send(Outbound { target, bytes, owner, awaits: false });
            return;
        }
        // More forks than there may be dialogs at once are not kept, however soon each of them ends.
        let many = client.dialog.is_none() && invite.acks.len() >= cx.settings.limits().dialogs_per_call;
        if many || invite.given_up.iter().any(|tag| **tag == *to_tag) {
            return self.ack_without_dialog(cx, at, response);
        }
        let (serial, cseq, reinvite) = (client.serial, client.cseq, client.dialog);
        let status = response.status();
        let cancelled = invite.cancel != Cancel::No;
        let auto = invite.ack == AckMode::Auto && invite.offered;
        let first = invite.accepted;
        let one_too_many = first.is_some() && invite.forks == ExtraForks::End;
        let Some(dialog) = self.confirm_dialog(cx, at, view) else {
            return self.ack_without_dialog(cx, at, response);
        };
        if first == Some(dialog) {
            // A copy of the 2xx; its ACK is still the application's to send.
            return;
        }
        let Some(invite) = self.rest().clients[at].invite.as_mut() else { return };
        invite.accepted = first.or(Some(dialog));
        let told = std::mem::replace(&mut invite.told, true);
        if let Some(entry) = self.dialog_mut(dialog) {
            if entry.to_ack == Some(cseq) {
                return;
            }
            entry.to_ack = Some(cseq);
        }
        if reinvite.is_none() && (cancelled || one_too_many) {
            let end = if one_too_many { DialogEnd::Fork } else { DialogEnd::Cancelled };
            if !told {
                self.tell_end(cx, serial, ClientEnd::Cancelled);
            }
            self.ack_if_owed(cx, dialog);
            self.hang_up(cx, dialog, end);
            return;
        }
        let Some(at) = self.client_at(serial) else { return };
        self.tell_response(cx, at, response, Some(DialogHandle::new(hash, dialog)));
        if !told {
            self.tell_end(cx, serial, ClientEnd::Final(status));
        }
        if auto {
            self.ack_if_owed(cx, dialog);
        }
    }

    /// Takes a 2xx whose dialog has ended or cannot be had: it is acknowledged all the same (RFC 5407 §3.2.3).
    ///
    /// One that would have made a dialog, had there been room, is ended with BYE, or the peer would wait for ever.
    fn ack_without_dialog(&mut self, cx: &mut CallCx, at: usize, response: Response) {
        let limit = cx.settings.limits().dialogs_per_call;
        let view = response.view();
        let client = &mut self.rest().clients[at];
        let (serial, status, cseq, initial) =
            (client.serial, response.status(), client.cseq, client.dialog.is_none());
        let begun = |request: View<'_>| Dialog::from_response(serial, request, view);
        let begun = client.sent().and_then(|sent| sent.with_request(begun)).flatten();
        let Some(invite) = client.invite.as_mut() else { return };
        let told = std::mem::replace(&mut invite.told, true);
        let to_tag = view.to_tag().unwrap_or_default();
        let known = invite.given_up.iter().any(|tag| **tag == *to_tag);
        // A peer beyond even this number repeats its 2xx in vain, and ends the session by itself.
        let heard = known || !initial || invite.given_up.len() < limit;
        if let Some(mut dialog) = begun.filter(|_| heard) {
            // Without a way to the peer its copies of the 2xx end by themselves.
            let _unsent =
                self.start(cx, Draft::in_dialog(&dialog, Method::Ack, cseq, None), None, None, true);
            if initial && !known {
                let bye = dialog.next_seq();
                let _unsent =
                    self.start(cx, Draft::in_dialog(&dialog, Method::Bye, bye, None), None, None, true);
                let invite = self.client_at(serial).and_then(|at| self.rest().clients[at].invite.as_mut());
                invite.into_iter().for_each(|invite| invite.given_up.push(to_tag.into()));
            }
        }
        if let Some(at) = self.client_at(serial).filter(|_| !told) {
            self.tell_response(cx, at, response, None);
            self.tell_end(cx, serial, ClientEnd::Final(status));
        }
    }

    /// Finds or makes the early dialog of a provisional response (RFC 3261 §12.1).
    fn early_dialog(&mut self, cx: &mut CallCx, at: usize, view: View<'_>) -> Option<u64> {
        if let Some(serial) = self.dialog_of_client(at, view) {
            return Some(serial);
        }
        let above_100 = view.status().is_some_and(|status| status != StatusCode::TRYING);
        let tag = view.to_tag().filter(|_| above_100)?;
        // One that the peer has ended does not begin anew, or its CSeq numbers would come twice.
        let invite = self.clients()[at].invite.as_ref()?;
        if invite.given_up.iter().any(|given_up| **given_up == *tag) {
            return None;
        }
        self.new_dialog(cx, at, view)
    }

    /// Finds or makes the dialog of a 2xx, and confirms it.
    fn confirm_dialog(&mut self, cx: &mut CallCx, at: usize, view: View<'_>) -> Option<u64> {
        let serial = match self.dialog_of_client(at, view) {
            Some(serial) => serial,
            None => self.new_dialog(cx, at, view)?,
        };
        let entry = self.dialog_mut(serial)?;
        if entry.dialog.confirm_from(view) {
            entry.dialog.refresh_by_response(view);
            self.tell_dialog(cx, serial, DialogChange::Confirmed);
        } else {
            self.refresh(cx, serial, |dialog| dialog.refresh_by_response(view));
        }
        Some(serial)
    }

    /// Finds the dialog of a response: the one that its request was sent in, or has made with this peer.
    fn dialog_of_client(&self, at: usize, response: View<'_>) -> Option<u64> {
        let client = &self.clients()[at];
        let made = || self.dialog_made(client.serial, response.to_tag().unwrap_or_default());
        client.dialog.or_else(made)
    }

    /// Notes that a dialog of an INVITE has ended, lest a copy of its 2xx begin it anew (RFC 5407 §3.1.6).
    pub(super) fn give_up(&mut self, cx: &CallCx, client: u64, to_tag: &str) {
        let limit = cx.settings.limits().dialogs_per_call;
        let Some(at) = self.client_at(client) else { return };
        let Some(invite) = self.rest().clients[at].invite.as_mut() else { return };
        let known = invite.acks.iter().any(|ack| &*ack.to_tag == to_tag)
            || invite.given_up.iter().any(|tag| **tag == *to_tag);
        if !known && invite.given_up.len() < limit {
            invite.given_up.push(to_tag.into());
        }
    }

    fn new_dialog(&mut self, cx: &mut CallCx, at: usize, view: View<'_>) -> Option<u64> {
        if self.dialogs().len() >= cx.settings.limits().dialogs_per_call {
            return None;
        }
        let client = &self.rest().clients[at];
        let owner = client.serial;
        let serial = cx.serial();
        let begun = |request: View<'_>| DialogEntry::of_client(cx, serial, owner, request, view);
        let entry = client.sent()?.with_request(begun)??;
        self.rest().dialogs.push(entry);
        self.tell_dialog(cx, serial, DialogChange::Started);
        Some(serial)
    }

    fn other_response(&mut self, cx: &mut CallCx, at: usize, status: StatusCode, response: Response) {
        let client = &self.rest().clients[at];
        let (serial, dialog, method) = (client.serial, client.dialog, client.method.clone());
        if let Some(dialog) = dialog.filter(|_| status.is_success() && refreshes_target(&method)) {
            self.refresh(cx, dialog, |dialog| dialog.refresh_by_response(response.view()));
        }
        self.tell_response(cx, at, response, dialog.map(|serial| DialogHandle::new(self.hash, serial)));
        if !status.is_final() {
            return;
        }
        self.tell_end(cx, serial, ClientEnd::Final(status));
        match method {
            Method::Bye => self.bye_done(cx, dialog),
            Method::Cancel => {}
            method => self.judge_dialog(cx, dialog, method == Method::Update, status),
        }
    }

    /// A request has failed: the application is told, and a dialog whose peer is silent ends (RFC 3261 §12.2.1.2).
    pub(super) fn fail(&mut self, cx: &mut CallCx, at: usize, end: ClientEnd) {
        let client = &self.rest().clients[at];
        let (serial, dialog, method) = (client.serial, client.dialog, client.method.clone());
        self.end_client(cx, at, end);
        match method {
            Method::Bye => self.bye_done(cx, dialog),
            Method::Cancel | Method::Ack => {}
            _ => {
                let why =
                    if end == ClientEnd::Cancelled { DialogEnd::Cancelled } else { DialogEnd::Unreachable };
                self.end_early(cx, serial, why);
                // UA-13, RFC 5057 §5.1: a way that is broken counts as 503, which is about the request alone.
                let silent = match end {
                    ClientEnd::Timeout | ClientEnd::Cancelled | ClientEnd::Final(_) => true,
                    ClientEnd::Transport(_) | ClientEnd::NoAddress => false,
                };
                if let Some(dialog) = dialog.filter(|_| silent) {
                    self.ack_if_owed(cx, dialog);
                    self.hang_up(cx, dialog, DialogEnd::Unreachable);
                }
            }
        }
    }

    /// The BYE has its answer, or never gets one: the dialog is over either way (RFC 3261 §15.1.1).
    fn bye_done(&mut self, cx: &mut CallCx, dialog: Option<u64>) {
        let Some(serial) = dialog else { return };
        let end = match self.dialog_mut(serial).map(|entry| entry.duty) {
            Some(Duty::ByeSent(end)) => end,
            _ => DialogEnd::LocalBye,
        };
        self.end_dialog(cx, serial, end);
    }

    /// Ends the session when a refusal in its dialog says that it cannot go on (RFC 3261 §12.2.1.2, RFC 5057 §5.1).
    fn judge_dialog(&mut self, cx: &mut CallCx, dialog: Option<u64>, invite: bool, status: StatusCode) {
        let over = match status.as_u16() {
            404 | 408 | 410 | 416 | 481 | 482 | 483 | 484 | 485 | 502 | 604 => true,
            // These are about the session only where the request is.
            405 | 480 | 489 | 501 => invite,
            _ => false,
        };
        if let Some(serial) = dialog.filter(|_| over) {
            self.ack_if_owed(cx, serial);
            self.hang_up(cx, serial, DialogEnd::Refused(status));
        }
    }

    /// Forgets a transaction that has run its course; early dialogs that no 2xx confirmed go with it (UA-06).
    fn forget(&mut self, cx: &mut CallCx, at: usize) {
        let client = self.rest().clients.swap_remove(at);
        if client.invite.is_some() {
            self.end_early(cx, client.serial, DialogEnd::Fork);
        }
    }

    /// Forgets a transaction that has failed, and tells so.
    fn end_client(&mut self, cx: &mut CallCx, at: usize, end: ClientEnd) {
        let hash = self.hash;
        let client = &self.rest().clients[at];
        let owner = client.owner(hash);
        cx.transport.release(owner);
        self.tell_end(cx, owner.serial, end);
        self.rest().clients.swap_remove(at);
    }

    fn tell_response(&self, cx: &mut CallCx, at: usize, response: Response, dialog: Option<DialogHandle>) {
        let client = &self.clients()[at];
        if !client.silent {
            cx.events.push_back(Event::Response { client: client.handle(self.hash), response, dialog });
        }
    }

    fn tell_end(&self, cx: &mut CallCx, serial: u64, end: ClientEnd) {
        let silent = self.clients().iter().any(|client| client.serial == serial && client.silent);
        if !silent {
            cx.events.push_back(Event::ClientEnded { client: ClientHandle::new(self.hash, serial), end });
        }
    }

    fn client_at(&self, serial: u64) -> Option<usize> {
        self.clients().iter().position(|client| client.serial == serial)
    }
}

impl Draft {
    /// Drafts a request in a dialog: the one place where such a request is made (RFC 3261 §12.2.1.1).
    fn in_dialog(dialog: &Dialog, method: Method, cseq: u32, body: Option<Body>) -> Self {
        Self {
            method,
            way: dialog.routes().itinerary(dialog.remote_target()),
            from: dialog.local().into(),
            to: dialog.remote().into(),
            call_id: dialog.call_id().into(),
            cseq,
            headers: Vec::new(),
            body,
            host: None,
            over: None,
            order: Some(dialog.serial),
        }
    }
}
