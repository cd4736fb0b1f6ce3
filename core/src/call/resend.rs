use std::net::IpAddr;

use crate::{
    call::{
        Call, CallCx, Draft,
        client::{Cancel, ClientTransaction, Sending, Sent},
        dialogs::DialogEntry,
    },
    decision::{DialogChange, Event, NatPolicy},
    transaction::{ClientState, Kind},
    transport::{Destination, Flow, IoKind, Outbound, Place, Proto, Target},
};

/// The least that a path over IPv4 has to take as one datagram (RFC 791), less the headers of IP and UDP.
const ALWAYS_FITS: usize = 576 - 28;

/// What becomes of requests whose way breaks, or does not take them.
impl Call {
    /// Returns the connection that a request has to take: the one that the application has named, or in a dialog the
    /// peer's own, if its target points there.
    pub(super) fn way_back(
        &self,
        cx: &CallCx,
        draft: &Draft,
        to: &Destination,
        dialog: Option<u64>,
    ) -> Option<Flow> {
        // RFC 3261 §26.2.2: SIPS takes no way without TLS.
        let suits = |flow: &Flow| flow.proto().is_secure() || !to.secure;
        if let Some(flow) = draft.over.and_then(|conn| cx.transport.flow_of(conn)).filter(suits) {
            return Some(flow);
        }
        let entry = self.dialogs().iter().find(|entry| Some(entry.dialog.serial) == dialog)?;
        let flow = entry.over?;
        let open = flow.conn().is_none_or(|conn| cx.transport.flow_of(conn).is_some());
        let leads = match cx.settings.config.nat {
            NatPolicy::Off => {
                flow.conn().is_some() && to.is_at(&flow, cx.transport.socket_of(&flow).is_some())
            }
            // Behind a proxy it is the proxy's way, and that is what the routes are for.
            NatPolicy::SymmetricSource => draft.way.routes.is_empty(),
        };
        (open && leads && suits(&flow)).then_some(flow)
    }

    /// Takes the news that the way of a request of ours has broken.
    ///
    /// On a connection that was open before, it may have been dead for long: the request is sent once more on a fresh one.
    /// One that went over TCP for its size alone goes over UDP if there is no TCP (RFC 3261 §18.1.1).
    pub(crate) fn broken(&mut self, cx: &mut CallCx, serial: u64, error: IoKind, stale: bool) {
        let Some(client) = self.clients().iter().find(|client| client.serial == serial) else { return };
        let Some(sent) = client.sent() else { return };
        let answered = !is_unanswered(sent);
        if answered && !sent.target.is_reliable() {
            // Anybody can forge what the network says; a peer that has answered is not believed to be unreachable.
            return;
        }
        let no_tcp = matches!(error, IoKind::Refused | IoKind::Reset | IoKind::Unsupported);
        let by_size = sent.rewritable && sent.target.proto() == Proto::Tcp;
        // What this side has broken off for its own limits was not dead.
        let dead = stale && !sent.resent && error != IoKind::Limit;
        let moved = stale && error == IoKind::AddressNotAvailable;
        let result = match (answered, dead) {
            (true, _) => Err(error),
            (false, true) if moved => self.renew(cx, serial),
            (false, true) => self.resend(cx, serial),
            (false, false) if no_tcp && by_size => self.rewrite(cx, serial, Proto::Udp),
            (false, false) => Err(error),
        };
        if let Err(error) = result {
            self.undeliverable(cx, serial, error);
        }
    }

    /// Addresses of this machine are gone. Requests from there without an answer are written anew; an INVITE that rings has
    /// to be given up, since its answer goes there. The application is told of its dialogs.
    pub(crate) fn leave(&mut self, cx: &mut CallCx, gone: &[IpAddr]) {
        let is_gone = |ip: IpAddr| gone.binary_search(&ip).is_ok();
        let from = |client: &ClientTransaction| match &client.sent()?.target {
            Target::Datagram { local, .. } | Target::Back { flow: Flow::Datagram { local, .. }, .. } => {
                Some(local.ip()).filter(|_| client.is_open())
            }
            Target::Back { flow: Flow::Stream { .. }, .. } | Target::Stream { .. } => None,
        };
        let concerned = self.clients().iter().filter(|client| from(client).is_some_and(is_gone));
        for serial in concerned.map(|client| client.serial).collect::<Vec<_>>() {
            let Some(sent) = self.client_of(serial).and_then(ClientTransaction::sent_mut) else { continue };
            let answered = !is_unanswered(sent);
            let remote = sent.target.remote();
            match cx.transport.local(Proto::Udp, remote) {
                Some((socket, local)) if answered => {
                    sent.target = Target::Datagram { socket, local, remote };
                    // Only an INVITE can be cancelled; what else was answered ends by its timer.
                    let _final = self.cancel_client(cx, serial);
                }
                Some(_) if self.renew(cx, serial).is_ok() => {}
                Some(_) | None => self.undeliverable(cx, serial, IoKind::AddressNotAvailable),
            }
        }
        let over = |entry: &DialogEntry| entry.over.is_some_and(|flow| is_gone(flow.local().ip()));
        let dialogs = self.dialogs().iter().filter(|entry| over(entry)).map(|entry| entry.dialog.serial);
        for serial in dialogs.collect::<Vec<_>>() {
            if let Some(entry) = self.dialog_mut(serial) {
                entry.over = None;
                self.tell_dialog(cx, serial, DialogChange::AddressGone);
            }
        }
    }

    /// Takes the news that a datagram to the peer of a request was too large for the path: a large request goes over TCP,
    /// if its URI leaves the choice.
    pub(crate) fn too_big(&mut self, cx: &mut CallCx, serial: u64) {
        let Some(client) = self.clients().iter().find(|client| client.serial == serial) else { return };
        let Some(sent) = client.sent().filter(|sent| is_unanswered(sent)) else { return };
        if sent.request.len() <= ALWAYS_FITS {
            return;
        }
        if let Err(error) = self.rewrite(cx, serial, Proto::Tcp) {
            self.undeliverable(cx, serial, error);
        }
    }

    /// Sends the same request once more.
    fn resend(&mut self, cx: &mut CallCx, serial: u64) -> Result<(), IoKind> {
        let (hash, client) = (self.hash, self.client_of(serial));
        let Some(client) = client else { return Err(IoKind::Reset) };
        let owner = client.owner(hash);
        let Some(sent) = client.sent_mut() else { return Err(IoKind::Reset) };
        sent.resent = true;
        let bytes = cx.copy(&sent.request);
        cx.send(Outbound { target: &sent.target, bytes, owner, awaits: true })
    }

    /// Writes a request anew for the same server, with Via and Contact as they are now.
    fn renew(&mut self, cx: &mut CallCx, serial: u64) -> Result<(), IoKind> {
        let hash = self.hash;
        let at = self.clients().iter().position(|client| client.serial == serial);
        let Some(at) = at else { return Err(IoKind::AddressNotAvailable) };
        let client = &mut self.rest().clients[at];
        let cancelled = client.invite.as_ref().is_some_and(|invite| invite.cancel != Cancel::No);
        let owner = client.owner(hash);
        let place = client.sent().map(|sent| {
            // What went over TCP for its size alone is judged again.
            let proto = if sent.rewritable { Proto::Udp } else { sent.target.proto() };
            (proto, sent.target.remote())
        });
        let (Some((proto, addr)), Some(mut attempts)) = (place, client.attempts.take_if(|_| !cancelled))
        else {
            return Err(IoKind::AddressNotAvailable);
        };
        attempts.rest.push_front(Place { proto, addr, name: attempts.to.name().cloned() });
        cx.transport.release(owner);
        self.attempt(cx, at, attempts).map_err(|_| IoKind::AddressNotAvailable)
    }

    /// Writes a request anew for another transport, and begins it again. It is the last change of transport.
    fn rewrite(&mut self, cx: &mut CallCx, serial: u64, proto: Proto) -> Result<(), IoKind> {
        let hash = self.hash;
        let Some(client) = self.client_of(serial) else { return Err(IoKind::Unreachable) };
        let (handle, owner, silent) = (client.handle(hash), client.owner(hash), client.silent);
        let kind = if client.invite.is_some() { Kind::Invite } else { Kind::NonInvite };
        let settings = client.settings.clone();
        let remote = client.sent().filter(|sent| sent.rewritable).map(|sent| sent.target.remote());
        let (Some(addr), Some(attempts)) = (remote, &client.attempts) else {
            return Err(IoKind::Unreachable);
        };
        let place = Place { proto, addr, name: attempts.to.name().cloned() };
        let written = attempts.draft.write_over(cx, &settings, &place);
        let written = written.map_err(|_| IoKind::Unreachable)?;
        let (sent, result) = Sent::start(cx, owner, &settings, kind, written);
        client.stage = Sending::Sent(Box::new(sent));
        client.settle_attempts();
        if proto == Proto::Tcp && !silent {
            cx.events.push_back(Event::Switched { client: handle });
        }
        result
    }

    fn client_of(&mut self, serial: u64) -> Option<&mut ClientTransaction> {
        self.rest().clients.iter_mut().find(|client| client.serial == serial)
    }
}

/// Tells whether a request has no response yet.
fn is_unanswered(sent: &Sent) -> bool {
    matches!(sent.machine.state(), ClientState::Calling | ClientState::Trying)
}
