//! Dialogs: peer-to-peer relations that outlast transactions (RFC 3261 §12).

mod acceptance;
mod reliable;
mod route_set;

pub(crate) use acceptance::Acceptance;
pub(crate) use reliable::{Received, ReliableSeries};
pub(crate) use route_set::{Itinerary, RouteSet};

use crate::syntax::{HeaderId, Method, UriBuf, View};

/// One dialog as one of its two sides sees it.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) serial: u64,
    state: State,
    call_id: Box<str>,
    local_tag: Box<str>,
    /// Empty for a peer of RFC 2543 that sent none (RFC 3261 §12.1).
    remote_tag: Box<str>,
    /// From of our requests and To of theirs, with its tag; they stay as established (DL-19).
    local: Box<str>,
    /// To of our requests, with its tag.
    remote: Box<str>,
    remote_target: UriBuf,
    /// The CSeq number of the peer's request that the remote target was taken from last.
    target_seq: u32,
    routes: RouteSet,
    local_seq: u32,
    remote_seq: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Early,
    Confirmed,
    /// A BYE was sent or received (RFC 5407 §2, "mortal").
    Ending,
}

/// A request that a dialog cannot take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutOfOrder {
    /// Its CSeq is lower than one seen before (RFC 3261 §12.2.2).
    OldSequence,
    /// The session is ending (RFC 5407).
    Ending,
}

impl Dialog {
    /// Makes the server's side, early, from the request that starts it (RFC 3261 §12.1.1); `None` without a usable Contact.
    pub(crate) fn from_request(serial: u64, request: View<'_>, local_tag: &str) -> Option<Self> {
        let to = request.header(HeaderId::To)?;
        let tagged = request.to_tag().is_some();
        let local = if tagged { to.to_owned() } else { format!("{to};tag={local_tag}") };
        Some(Self {
            serial,
            state: State::Early,
            call_id: request.call_id().into(),
            local_tag: local_tag.into(),
            remote_tag: request.from_tag().unwrap_or_default().into(),
            local: local.into(),
            remote: request.header(HeaderId::From)?.into(),
            remote_target: contact(request)?,
            target_seq: request.cseq_number(),
            routes: RouteSet::of_request(request),
            local_seq: 0,
            remote_seq: Some(request.cseq_number()),
        })
    }

    /// Makes the client's side, early, from a request of ours and the response that starts it (RFC 3261 §12.1.2).
    ///
    /// Only what is the peer's comes from the response. Without a usable Contact the peer is reached as before.
    pub(crate) fn from_response(serial: u64, request: View<'_>, response: View<'_>) -> Option<Self> {
        let to = request.header(HeaderId::To)?;
        let remote = match (request.to_tag(), response.to_tag()) {
            (None, Some(tag)) => format!("{to};tag={tag}"),
            (Some(_), _) | (None, None) => to.to_owned(),
        };
        // A request in a dialog that is there no more took the route that its ACK takes too.
        let routes = match request.to_tag() {
            Some(_) => RouteSet::of_own(request),
            None => RouteSet::of_response(response),
        };
        let invited = || request.request_uri().ok().map(UriBuf::from);
        Some(Self {
            serial,
            state: State::Early,
            call_id: request.call_id().into(),
            local_tag: request.from_tag()?.into(),
            remote_tag: response.to_tag().unwrap_or_default().into(),
            local: request.header(HeaderId::From)?.into(),
            remote: remote.into(),
            remote_target: contact(response).or_else(invited)?,
            target_seq: 0,
            routes,
            local_seq: request.cseq_number(),
            remote_seq: None,
        })
    }

    pub(crate) const fn state(&self) -> State {
        self.state
    }

    pub(crate) fn call_id(&self) -> &str {
        &self.call_id
    }

    pub(crate) fn local_tag(&self) -> &str {
        &self.local_tag
    }

    pub(crate) fn remote_tag(&self) -> &str {
        &self.remote_tag
    }

    pub(crate) fn local(&self) -> &str {
        &self.local
    }

    pub(crate) fn remote(&self) -> &str {
        &self.remote
    }

    pub(crate) const fn remote_target(&self) -> &UriBuf {
        &self.remote_target
    }

    pub(crate) const fn routes(&self) -> &RouteSet {
        &self.routes
    }

    pub(crate) const fn local_seq(&self) -> u32 {
        self.local_seq
    }

    pub(crate) const fn remote_seq(&self) -> Option<u32> {
        self.remote_seq
    }

    /// Tells whether a request from the peer belongs here: To carries our tag, From the peer's (DL-01).
    pub(crate) fn matches_request(&self, request: View<'_>) -> bool {
        request.to_tag() == Some(&*self.local_tag)
            && request.from_tag().unwrap_or_default() == &*self.remote_tag
    }

    /// Gives the next CSeq number of our requests (DL-06).
    pub(crate) fn next_seq(&mut self) -> u32 {
        self.local_seq = (self.local_seq + 1) & 0x7fff_ffff;
        self.local_seq
    }

    /// Checks a request of the peer's other than ACK and CANCEL, and notes its CSeq (DL-07, DL-21).
    pub(crate) fn receive(&mut self, request: View<'_>) -> Result<(), OutOfOrder> {
        let number = request.cseq_number();
        // A BYE that crosses ours is answered all the same (RC-02).
        if self.state == State::Ending && !request.is(&Method::Bye) {
            return Err(OutOfOrder::Ending);
        }
        if self.remote_seq.is_some_and(|seen| number <= seen) {
            return Err(OutOfOrder::OldSequence);
        }
        self.remote_seq = Some(number);
        Ok(())
    }

    /// Confirms the server's side: a 2xx is sent.
    pub(crate) fn confirm(&mut self) -> bool {
        let early = self.state == State::Early;
        if early {
            self.state = State::Confirmed;
        }
        early
    }

    /// Confirms the client's side: route set and target are those of the 2xx, CSeq numbers stay (DL-03).
    pub(crate) fn confirm_from(&mut self, response: View<'_>) -> bool {
        let early = self.confirm();
        if early {
            self.routes = RouteSet::of_response(response);
        }
        early
    }

    /// Takes over the Contact of a request that is being accepted, unless a newer one was accepted before; tells whether
    /// it is another one (DL-09, RFC 6141 §4.6).
    pub(crate) fn refresh_by_request(&mut self, request: View<'_>) -> bool {
        if request.cseq_number() <= self.target_seq {
            return false;
        }
        self.target_seq = request.cseq_number();
        self.refresh_by_response(request)
    }

    /// Takes over the Contact of a response that accepts; tells whether it is another one (DL-09, RFC 6141 §4.7).
    pub(crate) fn refresh_by_response(&mut self, response: View<'_>) -> bool {
        match contact(response) {
            Some(target) if target != self.remote_target => {
                self.remote_target = target;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn end(&mut self) {
        self.state = State::Ending;
    }
}

/// Tells whether a request in a dialog, and the response that accepts it, may move a peer (DL-09).
pub(crate) const fn refreshes_target(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Update | Method::Subscribe | Method::Notify)
}

/// Tells whether a message names a Contact to which requests in a dialog can be sent (RFC 3261 §8.1.1.8).
pub(crate) fn has_target(message: View<'_>) -> bool {
    contact(message).is_some()
}

/// Returns the SIP URI of the one Contact, by which the peer wants to be reached.
fn contact(message: View<'_>) -> Option<UriBuf> {
    let uri = message.contacts().next()?.uri().ok()?;
    uri.host().is_some().then(|| UriBuf::from(uri))
}
