use crate::{
    base::Instant,
    call::{Call, CallCx, Walk, reliable::RAck},
    decision::{DialogChange, DialogEnd, DialogError, DialogHandle, Event, Gone, Reply},
    dialog::{Dialog, State},
    syntax::View,
    transport::Flow,
};

/// A dialog with what this endpoint still has to do about it.
pub(super) struct DialogEntry {
    pub(super) dialog: Dialog,
    /// The INVITE of ours that made it.
    pub(super) client: Option<u64>,
    /// Whether a 2xx of ours waits for its ACK.
    pub(super) unacked: bool,
    /// The CSeq number of the INVITE of ours whose 2xx waits for its ACK.
    pub(super) to_ack: Option<u32>,
    /// The last reliable provisional response that was received in order.
    pub(super) in_order: Option<RAck>,
    /// The RAck that a provisional response with an offer waits for.
    pub(super) to_prack: Option<RAck>,
    pub(super) duty: Duty,
    /// The way that the peer's last request in it took, or the response that made it.
    pub(super) over: Option<Flow>,
    expires_at: Instant,
}

/// What is still to be done about a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    None,
    /// A BYE as soon as the ACK has come (RFC 3261 §15).
    ByeAfterAck(DialogEnd),
    /// The BYE is on its way.
    ByeSent(DialogEnd),
}

impl DialogEntry {
    /// Makes the server's side, early.
    pub(super) fn of_server(cx: &CallCx, serial: u64, walk: &Walk) -> Option<Self> {
        let view = walk.request.view();
        let dialog = Dialog::from_request(serial, view, walk.tag.as_str())?;
        Some(Self { over: Some(walk.flow), ..Self::new(cx, dialog, None) })
    }

    /// Makes the client's side, early.
    pub(super) fn of_client(
        cx: &CallCx,
        serial: u64,
        client: u64,
        request: View<'_>,
        response: View<'_>,
    ) -> Option<Self> {
        let dialog = Dialog::from_response(serial, request, response)?;
        Some(Self { over: cx.arrived, ..Self::new(cx, dialog, Some(client)) })
    }

    fn new(cx: &CallCx, dialog: Dialog, client: Option<u64>) -> Self {
        let expires_at = cx.now + cx.settings.config.dialog;
        Self {
            dialog,
            client,
            unacked: false,
            to_ack: None,
            in_order: None,
            to_prack: None,
            duty: Duty::None,
            over: None,
            expires_at,
        }
    }

    pub(super) const fn expires_at(&self) -> Instant {
        self.expires_at
    }
}

impl Call {
    /// Ends the session of a dialog with BYE, once that is allowed (RFC 3261 §15).
    pub(crate) fn bye(&mut self, cx: &mut CallCx, serial: u64) -> Result<(), DialogError> {
        let entry = self.dialog_mut(serial).ok_or(Gone)?;
        match entry.dialog.state() {
            State::Early => return Err(DialogError::Early),
            State::Ending => return Err(DialogError::Ending),
            State::Confirmed if entry.to_ack.is_some() => return Err(DialogError::NotAcked),
            State::Confirmed => {}
        }
        self.hang_up(cx, serial, DialogEnd::LocalBye);
        Ok(())
    }

    /// Ends the session of a confirmed dialog; while our 2xx is not acknowledged the BYE waits.
    pub(super) fn hang_up(&mut self, cx: &mut CallCx, serial: u64, end: DialogEnd) {
        let Some(entry) = self.dialog_mut(serial) else { return };
        if entry.dialog.state() != State::Confirmed {
            return;
        }
        if entry.unacked {
            entry.duty = Duty::ByeAfterAck(end);
            return;
        }
        entry.dialog.end();
        entry.duty = Duty::ByeSent(end);
        // What the peer still waits for in the dialog must not be accepted any more (RFC 5407 §2, mortal).
        self.answer_open(cx, &Reply::terminated(), Some(serial), None);
        self.send_bye(cx, serial);
    }

    /// Ends all calls: open questions get 503, INVITEs of ours are cancelled, dialogs get BYE.
    pub(crate) fn shut_down(&mut self, cx: &mut CallCx) {
        self.answer_open(cx, &Reply::service_unavailable(), None, None);
        self.cancel_all(cx);
        let confirmed = self.dialogs().iter().filter(|entry| entry.dialog.state() == State::Confirmed);
        let serials: Vec<u64> = confirmed.map(|entry| entry.dialog.serial).collect();
        for serial in serials {
            self.ack_if_owed(cx, serial);
            self.hang_up(cx, serial, DialogEnd::Shutdown);
        }
    }

    pub(crate) fn dialog(&self, serial: u64) -> Option<&Dialog> {
        self.dialogs().iter().map(|entry| &entry.dialog).find(|dialog| dialog.serial == serial)
    }

    pub(super) fn dialog_mut(&mut self, serial: u64) -> Option<&mut DialogEntry> {
        self.rest.as_mut()?.dialogs.iter_mut().find(|entry| entry.dialog.serial == serial)
    }

    /// Tells whether a BYE was sent or received in a dialog.
    pub(super) fn is_ending(&self, serial: u64) -> bool {
        self.dialog(serial).is_some_and(|dialog| dialog.state() == State::Ending)
    }

    pub(super) fn dialog_of_request(&self, request: View<'_>) -> Option<u64> {
        let mut dialogs = self.dialogs().iter().map(|entry| &entry.dialog);
        dialogs.find(|dialog| dialog.matches_request(request)).map(|dialog| dialog.serial)
    }

    /// Finds the dialog that an INVITE of ours made with the peer of this tag.
    pub(super) fn dialog_made(&self, client: u64, remote_tag: &str) -> Option<u64> {
        let made =
            |entry: &&DialogEntry| entry.client == Some(client) && entry.dialog.remote_tag() == remote_tag;
        self.dialogs().iter().find(made).map(|entry| entry.dialog.serial)
    }

    /// Lets the peer of a dialog move, and tells so if it has.
    pub(super) fn refresh(
        &mut self,
        cx: &mut CallCx,
        serial: u64,
        refresh: impl FnOnce(&mut Dialog) -> bool,
    ) {
        if self.dialog_mut(serial).is_some_and(|entry| refresh(&mut entry.dialog)) {
            self.tell_dialog(cx, serial, DialogChange::TargetRefreshed);
        }
    }

    /// The ACK for our 2xx has come.
    pub(super) fn acked(&mut self, cx: &mut CallCx, serial: u64) {
        let Some(entry) = self.dialog_mut(serial) else { return };
        entry.unacked = false;
        if let Duty::ByeAfterAck(end) = entry.duty {
            self.hang_up(cx, serial, end);
        }
    }

    /// No ACK has come for our 2xx: the session ends with BYE (RFC 3261 §13.3.1.4).
    pub(super) fn never_acked(&mut self, cx: &mut CallCx, serial: Option<u64>) {
        let Some(serial) = serial else { return };
        let Some(entry) = self.dialog_mut(serial) else { return };
        entry.unacked = false;
        let end = match entry.duty {
            Duty::ByeAfterAck(end) => end,
            _ => DialogEnd::NoAck,
        };
        self.hang_up(cx, serial, end);
    }

    /// Forgets a dialog and tells why.
    pub(super) fn end_dialog(&mut self, cx: &mut CallCx, serial: u64, end: DialogEnd) {
        let Some(rest) = self.rest.as_mut() else { return };
        let Some(at) = rest.dialogs.iter().position(|entry| entry.dialog.serial == serial) else { return };
        let entry = rest.dialogs.swap_remove(at);
        if let Some(client) = entry.client.filter(|_| entry.dialog.state() != State::Early) {
            self.give_up(cx, client, entry.dialog.remote_tag());
        }
        self.tell_dialog(cx, serial, DialogChange::Ended(end));
    }

    /// Ends the early dialogs of an INVITE of ours.
    pub(super) fn end_early(&mut self, cx: &mut CallCx, client: u64, end: DialogEnd) {
        let early =
            |entry: &&DialogEntry| entry.client == Some(client) && entry.dialog.state() == State::Early;
        let serials: Vec<u64> =
            self.dialogs().iter().filter(early).map(|entry| entry.dialog.serial).collect();
        for serial in serials {
            self.end_dialog(cx, serial, end);
        }
    }

    pub(super) fn tell_dialog(&self, cx: &mut CallCx, serial: u64, change: DialogChange) {
        let dialog = DialogHandle::new(self.hash, serial);
        cx.events.push_back(Event::Dialog { dialog, change });
    }

    /// Fires the timer of a dialog that is due; tells whether there was one.
    pub(super) fn expire_dialog(&mut self, cx: &mut CallCx, first: Instant) -> bool {
        let Some(entry) = self.dialogs().iter().find(|entry| entry.expires_at == first) else {
            return false;
        };
        let serial = entry.dialog.serial;
        let (state, period) = (entry.dialog.state(), cx.settings.config.dialog);
        if state == State::Confirmed && entry.duty == Duty::None {
            if let Some(entry) = self.dialog_mut(serial) {
                // The BYE gets its time; what is left after that is dropped.
                entry.expires_at = cx.now + period.min(cx.settings.timing().t1 * 128);
            }
            self.ack_if_owed(cx, serial);
            self.hang_up(cx, serial, DialogEnd::Expired);
        } else {
            self.end_dialog(cx, serial, DialogEnd::Expired);
            // An INVITE that still rings cannot be accepted without it.
            self.answer_open(cx, &Reply::terminated(), Some(serial), None);
        }
        true
    }

    /// Drops all dialogs, telling so.
    pub(super) fn drop_dialogs(&mut self, cx: &mut CallCx) {
        let serials: Vec<u64> = self.dialogs().iter().map(|entry| entry.dialog.serial).collect();
        for serial in serials {
            self.end_dialog(cx, serial, DialogEnd::Shutdown);
        }
    }
}
