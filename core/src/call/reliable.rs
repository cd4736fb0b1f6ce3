use std::collections::VecDeque;

use crate::{
    base::Instant,
    call::{Call, CallCx, server::ActiveServer},
    decision::{Body, DialogError, Event, Gone, ProvisionalError, Reply, Void},
    dialog::{Received, ReliableSeries},
    syntax::{HeaderId, HeaderName, HeaderValue, Method, StatusCode, View},
    transaction::Timing,
};

/// The reliable provisional responses of one INVITE that was received (RFC 3262 §3).
pub(super) struct Provisionals {
    /// The RSeq of the one sent last.
    rseq: u32,
    /// That one, until its PRACK.
    unacked: Option<Unacked>,
    /// Those that wait for it (RL-03).
    queue: VecDeque<Reply>,
    /// A 2xx that waits for it (OA-13).
    withheld: Option<Reply>,
}

struct Unacked {
    bytes: Box<[u8]>,
    /// Its copies, until the INVITE has its final response.
    series: Option<ReliableSeries>,
    has_body: bool,
}

/// Which provisional response a PRACK acknowledges (RFC 3262 §7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RAck {
    pub(super) rseq: u32,
    pub(super) cseq: u32,
}

impl RAck {
    /// Reads `response-num LWS CSeq-num LWS Method`, for an INVITE.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split_ascii_whitespace();
        let (rseq, cseq, method) = (parts.next()?, parts.next()?, parts.next()?);
        let whole = parts.next().is_none() && method == Method::Invite.as_str();
        let number =
            |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        Some(Self { rseq: number(rseq)?, cseq: number(cseq)? }).filter(|_| whole)
    }

    fn to_value(self) -> HeaderValue {
        let text = format!("{} {} INVITE", self.rseq, self.cseq);
        HeaderValue::try_from(text).expect("digits and a token are a valid value")
    }
}

impl Provisionals {
    pub(super) const fn rseq(&self) -> u32 {
        self.rseq
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.unacked.as_ref()?.series.as_ref().map(ReliableSeries::due)
    }

    /// Begins to send a response again and again until its PRACK.
    pub(super) fn start(&mut self, now: Instant, timing: &Timing, bytes: &[u8], has_body: bool) {
        let series = Some(ReliableSeries::start(now, timing.t1));
        self.unacked = Some(Unacked { bytes: bytes.into(), series, has_body });
    }

    /// Stops: the INVITE has its final response. What is not acknowledged may still be (RL-08).
    pub(super) fn stop(&mut self) {
        if let Some(unacked) = &mut self.unacked {
            unacked.series = None;
        }
        self.queue.clear();
        self.withheld = None;
    }

    /// Tells whether a response may not be sent before the PRACK that is awaited (RFC 3262 §3).
    pub(super) fn withholds(&self, reply: &Reply) -> bool {
        reply.status.is_success() && self.unacked.as_ref().is_some_and(|unacked| unacked.has_body)
    }

    pub(super) fn withhold(&mut self, reply: Reply) {
        self.withheld = Some(reply);
    }
}

impl ActiveServer {
    /// Tells whether a provisional response goes out reliably: if the application wants it and the peer can, or if the
    /// peer insists (RL-01).
    pub(super) fn sends_reliably(&self, reply: &Reply) -> Result<bool, ProvisionalError> {
        let walk = self.walk.as_ref().ok_or(Gone)?;
        let view = walk.request.view();
        let required = view.has_token(HeaderId::Require, "100rel");
        // RL-11: a request in a dialog already gets none from an element that might be a proxy; a UA may send them.
        let possible = required || view.has_token(HeaderId::Supported, "100rel");
        match (reply.reliable, possible) {
            (true, false) => Err(ProvisionalError::NotSupported),
            (wanted, _) => Ok(wanted || required),
        }
    }
}

impl Call {
    /// Sends a provisional response reliably, or queues it behind one that is not acknowledged yet (RL-02, RL-03).
    pub(super) fn send_reliable(
        &mut self,
        cx: &mut CallCx,
        at: usize,
        reply: Reply,
    ) -> Result<(), ProvisionalError> {
        let first = u32::try_from(1 + cx.streams.retry.below(0x7fff_ff00)).unwrap_or(1);
        let limit = cx.settings.limits().reliable_queue;
        let server = self.active(at).ok_or(Gone)?;
        let reply = reply.reliable();
        match &mut server.provisionals {
            Some(sent) if sent.unacked.is_some() => {
                if sent.queue.len() >= limit {
                    return Err(ProvisionalError::Limit);
                }
                sent.queue.push_back(reply);
                return Ok(());
            }
            Some(sent) => sent.rseq += 1,
            none => {
                let (unacked, queue, withheld) = (None, VecDeque::new(), None);
                *none = Some(Box::new(Provisionals { rseq: first, unacked, queue, withheld }));
            }
        }
        self.reply(cx, at, reply);
        Ok(())
    }

    /// Takes the PRACK of a provisional response of ours (RL-04); an error is the answer to it.
    pub(super) fn take_prack(
        &mut self,
        cx: &mut CallCx,
        dialog: u64,
        request: View<'_>,
    ) -> Result<(), Reply> {
        let rack = request.header(HeaderId::RAck).and_then(RAck::parse);
        let rack =
            rack.ok_or_else(|| Reply::bad_request().reason(HeaderValue::from_static("Invalid RAck")))?;
        let acknowledged = |server: &ActiveServer| {
            let open = server.provisionals.as_ref().filter(|sent| sent.unacked.is_some());
            server.dialog == Some(dialog)
                && server.cseq == rack.cseq
                && open.is_some_and(|sent| sent.rseq == rack.rseq)
        };
        let serial = self.active_servers().find(|server| acknowledged(server)).map(|server| server.serial);
        let at = serial.and_then(|serial| self.position(serial)).ok_or_else(Reply::no_dialog)?;
        let Some(sent) = self.active(at).and_then(|server| server.provisionals.as_mut()) else {
            return Ok(());
        };
        sent.unacked = None;
        let next = sent.queue.pop_front();
        let withheld = sent.withheld.take();
        if let Some(reply) = withheld {
            self.reply(cx, at, reply);
        } else if let Some(reply) = next {
            // It was accepted when it was queued.
            let _sent = self.send_reliable(cx, at, reply);
        }
        Ok(())
    }

    /// Sends a provisional response again, or gives the INVITE up; tells whether that was due (RL-09).
    pub(super) fn expire_provisional(&mut self, cx: &mut CallCx, at: usize) -> bool {
        let hash = self.hash;
        let Some(server) = self.active(at) else { return false };
        let Some(unacked) = server.provisionals.as_mut().and_then(|sent| sent.unacked.as_mut()) else {
            return false;
        };
        let Some(series) = unacked.series.as_mut().filter(|series| series.due() <= cx.now) else {
            return false;
        };
        if !series.is_over(cx.now) {
            series.sent(cx.now);
            let bytes = cx.copy(&unacked.bytes);
            server.transmit(cx, hash, bytes);
            return true;
        }
        if let Some(sent) = &mut server.provisionals {
            sent.stop();
        }
        let ask = server.walk.as_mut().and_then(|walk| walk.close(cx));
        cx.events.extend(ask.map(|ask| Event::Voided { ask, why: Void::NoPrack }));
        self.reply(cx, at, Reply::status(StatusCode::SERVER_TIMEOUT));
        true
    }

    /// Takes a provisional response to an INVITE of ours that may be reliable; tells whether it is news (RFC 3262 §4).
    pub(super) fn receive_reliable(
        &mut self,
        cx: &mut CallCx,
        dialog: Option<u64>,
        offered: bool,
        response: View<'_>,
    ) -> bool {
        let provisional = response.status().is_some_and(|status| status != StatusCode::TRYING);
        if !provisional || !response.has_token(HeaderId::Require, "100rel") {
            return true;
        }
        let rseq = response.header(HeaderId::RSeq).and_then(|text| text.trim().parse::<u32>().ok());
        // Without a dialog or a number it cannot be acknowledged, and counts like an unreliable one.
        let (Some(serial), Some(rseq)) = (dialog, rseq) else { return true };
        let Some(entry) = self.dialog_mut(serial) else { return true };
        let rack = RAck { rseq, cseq: response.cseq_number() };
        // RFC 3262 §7.1: RSeq counts within one transaction.
        let last = entry.in_order.filter(|last| last.cseq == rack.cseq).map(|last| last.rseq);
        if Received::of(rseq, last) != Received::InOrder {
            return false;
        }
        entry.in_order = Some(rack);
        self.refresh(cx, serial, |dialog| dialog.refresh_by_response(response));
        let Some(entry) = self.dialog_mut(serial) else { return true };
        if !offered && !response.body().is_empty() {
            // OA-04: the PRACK has to carry the answer.
            entry.to_prack = Some(rack);
        } else {
            self.send_prack(cx, serial, rack, None);
        }
        true
    }

    /// Acknowledges a provisional response that carried an offer, on the application's wish.
    pub(crate) fn prack(&mut self, cx: &mut CallCx, serial: u64, body: Body) -> Result<(), DialogError> {
        let entry = self.dialog_mut(serial).ok_or(Gone)?;
        let rack = entry.to_prack.take().ok_or(DialogError::NothingToPrack)?;
        self.send_prack(cx, serial, rack, Some(body));
        Ok(())
    }

    fn send_prack(&mut self, cx: &mut CallCx, serial: u64, rack: RAck, body: Option<Body>) {
        let header = (HeaderName::RACK, rack.to_value());
        self.send_silently(cx, serial, Method::Prack, vec![header], body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RL-04: RAck names RSeq, CSeq number and method.
    #[test]
    fn rack_reads_and_writes() {
        let rack = RAck::parse("776656 1  INVITE").expect("three parts");
        assert_eq!(rack, RAck { rseq: 776_656, cseq: 1 });
        assert_eq!(rack.to_value().as_str(), "776656 1 INVITE");
        for bad in ["", "1 2", "1 2 INVITE 3", "+1 2 INVITE", "1 2 UPDATE", "99999999999 1 INVITE"] {
            assert_eq!(RAck::parse(bad), None, "{bad}");
        }
    }
}
