use std::time::Duration;

use crate::{
    call::{
        Call, CallCx, Draft,
        client::{Attempts, Cancel, ClientTransaction, Invite, Sending, Waiting},
    },
    decision::{ClientEnd, DialogEnd},
    syntax::{
        HeaderId, Method, StatusCode, View,
        header::{Header as _, RetryAfter},
    },
    transport::IoKind,
};

/// How long a server is left alone that did not answer or could not be reached.
const BACK_OFF: Duration = Duration::from_secs(30);

impl Call {
    /// Sends a request to the first of its servers that takes it, each time as a new transaction with its own branch and
    /// Contact (RFC 3263 §4.3).
    pub(super) fn attempt(
        &mut self,
        cx: &mut CallCx,
        at: usize,
        mut attempts: Box<Attempts>,
    ) -> Result<(), ClientEnd> {
        let settings = self.rest().clients[at].settings.clone();
        let mut end = ClientEnd::NoAddress;
        while let Some(place) = attempts.rest.pop_front() {
            let Ok(written) = attempts.draft.write(cx, &settings, &place, &attempts.to) else {
                end = ClientEnd::Transport(IoKind::Unreachable);
                continue;
            };
            let server = written.target.server();
            let ack = attempts.draft.method == Method::Ack;
            match self.launch(cx, at, written) {
                Ok(()) => {
                    // An ACK has no transaction, and so nothing that could fail.
                    if !ack {
                        let client = &mut self.rest().clients[at];
                        client.attempts = Some(attempts);
                        client.settle_attempts();
                    }
                    return Ok(());
                }
                Err(error) => {
                    end = ClientEnd::Transport(error);
                    self.avoid(cx, server, end);
                }
            }
        }
        Err(end)
    }

    /// A request has failed at one server: it goes to the next, or has failed altogether.
    pub(super) fn fail_over(&mut self, cx: &mut CallCx, at: usize, unanswered: bool, end: ClientEnd) {
        let hash = self.hash;
        let client = &mut self.rest().clients[at];
        let owner = client.owner(hash);
        // DN-11: a server that has said anything is there.
        let Some(server) = client.sent().map(|sent| sent.target.server()).filter(|_| unanswered) else {
            return self.fail(cx, at, end);
        };
        self.avoid(cx, server, end);
        let Some(attempts) = self.next_attempts(at) else { return self.fail(cx, at, end) };
        cx.transport.release(owner);
        if let Err(end) = self.attempt(cx, at, attempts) {
            self.fail(cx, at, end);
        }
    }

    /// A server is overloaded: the request goes to the next, if there is one (RFC 3263 §4.3, RFC 3261 §21.5.4).
    pub(super) fn fail_over_503(
        &mut self,
        cx: &mut CallCx,
        at: usize,
        response: View<'_>,
        terminated: bool,
    ) -> bool {
        let client = &mut self.rest().clients[at];
        let Some(server) = client.sent().map(|sent| sent.target.server()) else { return false };
        let retry_after = response.header(HeaderId::RetryAfter).and_then(|text| RetryAfter::parse(text).ok());
        if let Some(retry_after) = retry_after {
            let settings = cx.settings.clone();
            let time = Duration::from_secs(retry_after.seconds.into());
            cx.transport.avoid(cx.now, settings.limits(), server, time);
        }
        let Some(attempts) = self.next_attempts(at) else { return false };
        let serial = self.rest().clients[at].serial;
        self.end_early(cx, serial, DialogEnd::Refused(StatusCode::SERVICE_UNAVAILABLE));
        if !terminated {
            self.leave_behind(cx, at, &attempts);
        }
        if let Err(end) = self.attempt(cx, at, attempts) {
            self.fail(cx, at, end);
        }
        true
    }

    /// Takes the servers that are left. Who is to be cancelled goes nowhere else.
    fn next_attempts(&mut self, at: usize) -> Option<Box<Attempts>> {
        let client = &mut self.rest().clients[at];
        let cancelled = client.invite.as_ref().is_some_and(|invite| invite.cancel != Cancel::No);
        client.attempts.take().filter(|attempts| !cancelled && !attempts.rest.is_empty())
    }

    /// Leaves a refused INVITE behind, which goes on to acknowledge copies of its refusal (RFC 3261 §17.1.1.2).
    fn leave_behind(&mut self, cx: &mut CallCx, at: usize, attempts: &Attempts) {
        if self.transactions() >= cx.settings.limits().transactions_per_call {
            return;
        }
        let serial = cx.serial();
        let client = &mut self.rest().clients[at];
        let Some(invite) = client.invite.as_mut() else { return };
        let behind = Invite {
            ack: invite.ack,
            forks: invite.forks,
            offered: invite.offered,
            cancel: Cancel::No,
            rings_until: invite.rings_until,
            accepted: None,
            told: false,
            given_up: Vec::new(),
            acks: std::mem::take(&mut invite.acks),
        };
        // It waits for nobody, nor does anybody for it.
        let draft = Draft { order: None, ..attempts.draft.clone() };
        let waiting = Sending::Waiting(Box::new(Waiting { draft, to: attempts.to.clone(), found: None }));
        let behind = ClientTransaction {
            serial,
            method: client.method.clone(),
            cseq: client.cseq,
            dialog: None,
            stage: std::mem::replace(&mut client.stage, waiting),
            invite: Some(Box::new(behind)),
            silent: true,
            attempts: None,
            settings: client.settings.clone(),
        };
        self.rest().clients.push(behind);
    }

    fn avoid(
        &self,
        cx: &mut CallCx,
        server: (crate::transport::Proto, std::net::SocketAddr),
        end: ClientEnd,
    ) {
        // What a bound of ours forbids says nothing of the server.
        if end != ClientEnd::Transport(IoKind::Limit) {
            let settings = cx.settings.clone();
            cx.transport.avoid(cx.now, settings.limits(), server, BACK_OFF);
        }
    }
}
