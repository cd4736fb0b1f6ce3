//! Responses whose connection is gone and cannot be opened anew, and where else they go (RFC 3261 §18.2.2, RFC 3263 §5).

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use bytes::Bytes;

use crate::{
    base::{Instant, Limits},
    syntax::{Host, Message},
    transport::{
        DnsName, IoKind, News, Output, Owner, Place, Preference, Proto, ResponseTarget, Transport, WayBack,
        resolve::{Destination, Seeker},
    },
};

/// A message that waits for its connection to open.
#[derive(Clone)]
pub(super) struct Queued {
    pub(super) bytes: Bytes,
    pub(super) owner: Owner,
    /// The stranded response that it is.
    pub(super) stranded: Option<u64>,
}

/// The responses that look for another way.
#[derive(Clone, Default)]
pub(super) struct Stranded {
    all: BTreeMap<u64, Response>,
    next: u64,
    /// Those whose last attempt has failed.
    failed: VecDeque<u64>,
}

#[derive(Clone)]
struct Response {
    bytes: Box<[u8]>,
    owner: Owner,
    /// The address to which it could not be sent first.
    tried: (Proto, SocketAddr),
    error: IoKind,
    /// The places that are left, once they are known.
    rest: Option<VecDeque<Place>>,
}

impl Stranded {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Forgets a response that has found its way.
    pub(super) fn forget(&mut self, serial: u64) {
        self.all.remove(&serial);
    }

    /// Takes the messages that waited for a connection which cannot be opened. A request has somebody who sees to it.
    pub(super) fn take(
        &mut self,
        limits: usize,
        tried: (Proto, SocketAddr),
        queue: Vec<Queued>,
        error: IoKind,
    ) {
        for Queued { bytes, owner, stranded } in queue {
            if let Some(entry) = stranded.and_then(|serial| self.all.get_mut(&serial)) {
                entry.error = error;
                self.failed.extend(stranded);
            } else if bytes.starts_with(b"SIP/2.0 ") && self.all.len() < limits {
                let bytes = bytes.as_ref().into();
                self.all.insert(self.next, Response { bytes, owner, tried, error, rest: None });
                self.failed.push_back(self.next);
                self.next += 1;
            }
        }
    }
}

impl Transport {
    /// Goes on with what was found, for requests and for responses that look for another way. Every input asks, and few
    /// have found anything.
    #[inline]
    pub(crate) fn pass_on(&mut self, now: Instant, limits: &Limits, out: &mut VecDeque<Output>) {
        if self.resolver.has_found() || !self.stranded.failed.is_empty() {
            self.pass_all_on(now, limits, out);
        }
    }

    fn pass_all_on(&mut self, now: Instant, limits: &Limits, out: &mut VecDeque<Output>) {
        loop {
            if let Some((seeker, places)) = self.resolver.poll_found() {
                match seeker {
                    Seeker::Transaction(owner) => self.news.push_back(News::Found { owner, places }),
                    Seeker::Response(serial) => {
                        self.offer(serial, places.unwrap_or_default());
                        self.try_next(now, limits, serial, out);
                    }
                }
            } else if let Some(serial) = self.stranded.failed.pop_front() {
                if self.stranded.all.get(&serial).is_some_and(|entry| entry.rest.is_none()) {
                    self.look_for_backup(now, limits, serial, out);
                } else {
                    self.try_next(now, limits, serial, out);
                }
            } else {
                return;
            }
        }
    }

    /// Looks for the place that the sent-by names, since the one that the request came from is not to be reached.
    fn look_for_backup(&mut self, now: Instant, limits: &Limits, serial: u64, out: &mut VecDeque<Output>) {
        let Some(entry) = self.stranded.all.get(&serial) else { return };
        let proto = entry.tried.0;
        let message = Message::parse(&entry.bytes, &Limits::unbounded()).ok();
        let sent_by = message.as_ref().map(|message| WayBack::of(message.view().via()).sent_by(proto));
        match sent_by {
            Some(ResponseTarget::Address(addr)) => {
                self.offer(serial, vec![Place { proto, addr, name: None }])
            }
            Some(ResponseTarget::Locate { host: Host::Name(name), port }) => {
                if let Ok(name) = name.parse::<DnsName>() {
                    let to = Destination::served(name, port, proto);
                    let (seeker, reach) = (Seeker::Response(serial), self.reach());
                    let preference = Preference::default();
                    if self.resolver.begin(now, limits, (seeker, &to), (reach, preference), out).is_ok() {
                        return;
                    }
                }
                self.offer(serial, Vec::new());
            }
            Some(ResponseTarget::Locate { .. }) | None => self.offer(serial, Vec::new()),
        }
        self.try_next(now, limits, serial, out);
    }

    /// Notes the places that a response may go to.
    ///
    /// A peer elsewhere leads to nobody inside of this machine, and not to many at once.
    fn offer(&mut self, serial: u64, mut places: Vec<Place>) {
        let Some(entry) = self.stranded.all.get_mut(&serial) else { return };
        let (_, tried) = entry.tried;
        places.retain(|place| {
            let ip = place.addr.ip().to_canonical();
            let ours = ip.is_loopback() && !tried.ip().to_canonical().is_loopback();
            place.addr != tried && !ours && !ip.is_unspecified() && !ip.is_multicast()
        });
        entry.rest = Some(places.into());
    }

    /// Sends a response to the next place that is left, or tells that there is none.
    fn try_next(&mut self, now: Instant, limits: &Limits, serial: u64, out: &mut VecDeque<Output>) {
        while let Some(entry) = self.stranded.all.get_mut(&serial) {
            let Some(place) = entry.rest.as_mut().and_then(VecDeque::pop_front) else {
                let news = News::Undelivered { owner: entry.owner, error: entry.error };
                self.stranded.forget(serial);
                return self.news.push_back(news);
            };
            let (bytes, owner) = (Bytes::copy_from_slice(&entry.bytes), entry.owner);
            let Place { proto, addr, name } = place;
            let Ok(conn) = self.conn_to(now, limits, proto, addr, name.as_ref(), out) else { continue };
            let message = Queued { bytes, owner, stranded: Some(serial) };
            if self.write(now, limits, conn, message, false, out).is_ok() {
                if self.flow_of(conn).is_some() {
                    self.stranded.forget(serial);
                }
                return;
            }
        }
    }
}
