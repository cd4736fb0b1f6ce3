use std::{
    collections::{HashMap, VecDeque, hash_map::DefaultHasher},
    hash::{Hash, Hasher as _},
    net::IpAddr,
    time::SystemTime,
};

use sansip::{
    DialogHandle, Limits,
    sdp::{self, Local, SdpError},
    syntax::View,
};

/// Returns a number for a session that no other run has used: the time (RFC 8866 §5.2).
pub(crate) fn fresh() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or_default()
}

/// Nothing listens for media here, so it is sent where it is thrown away (RFC 863).
pub(crate) const DISCARD: u16 = 9;

/// Sessions whose dialog is not there yet. One that never gets a dialog is pushed out by those that come later.
const STARTING: usize = 1024;

/// The descriptions that this side has sent, as far as the next one has to know (RFC 3264 §8).
pub(crate) struct Sessions {
    addresses: Vec<IpAddr>,
    next: u64,
    starting: VecDeque<(u64, Described)>,
    dialogs: HashMap<DialogHandle, Described>,
}

/// What was sent last.
#[derive(Clone, Copy, Debug)]
struct Described {
    session: u64,
    version: u64,
    /// The hash of the description.
    text: u64,
}

impl Sessions {
    /// Makes none yet; media is said to be received at one of `addresses`, and sessions are counted from `first`.
    pub(crate) fn new(addresses: Vec<IpAddr>, first: u64) -> Self {
        Self { addresses, next: first, starting: VecDeque::new(), dialogs: HashMap::new() }
    }

    /// Answers the offer of an INVITE, or offers if it has none.
    ///
    /// The media of browsers need DTLS and ICE, which this program does not have, so a browser gets none.
    pub(crate) fn describe(
        &mut self,
        dialog: Option<DialogHandle>,
        (invite, browser): (View<'_>, bool),
        limits: &Limits,
    ) -> Result<Vec<u8>, SdpError> {
        let known = dialog.and_then(|dialog| self.dialogs.get(&dialog).copied());
        let (session, version) = known.map_or((self.next, 0), |last| (last.session, last.version));
        let address = self.address_for(invite);
        let write = |version| {
            let local = Local::new(address, session, version).audio(DISCARD);
            match invite.body() {
                [] => Ok(sdp::offer(&local)),
                offer if browser => sdp::answer_without_media(offer, &local, limits),
                offer => sdp::answer(offer, &local, limits),
            }
        };
        let mut text = write(version)?;
        let mut now = Described { session, version, text: hash(&text) };
        if known.is_some_and(|last| last.text != now.text) {
            // OA-18: the version counts changes.
            text = write(version + 1)?;
            now = Described { version: version + 1, text: hash(&text), ..now };
        }
        match dialog {
            Some(dialog) => {
                self.dialogs.insert(dialog, now);
            }
            None => self.start(invite, now),
        }
        Ok(text)
    }

    /// Notes that the INVITE of this Call-ID and tag has made a dialog.
    pub(crate) fn started(&mut self, dialog: DialogHandle, call_id: &str, remote_tag: &str) {
        let key = hash(&(call_id, remote_tag));
        if let Some(at) = self.starting.iter().position(|(started, _)| *started == key)
            && let Some((_, described)) = self.starting.remove(at)
        {
            self.dialogs.insert(dialog, described);
        }
    }

    /// Forgets a dialog.
    pub(crate) fn ended(&mut self, dialog: DialogHandle) {
        self.dialogs.remove(&dialog);
    }

    fn start(&mut self, invite: View<'_>, described: Described) {
        self.next += 1;
        if self.starting.len() == STARTING {
            self.starting.pop_front();
        }
        let key = hash(&(invite.call_id(), invite.from_tag().unwrap_or_default()));
        self.starting.push_back((key, described));
    }

    /// Chooses an address of the family in which the peer speaks to us.
    fn address_for(&self, invite: View<'_>) -> IpAddr {
        let v6 = matches!(invite.sent_by().ip(), Some(IpAddr::V6(_)));
        let same = self.addresses.iter().find(|address| address.is_ipv6() == v6);
        same.or_else(|| self.addresses.first()).copied().unwrap_or_else(|| [127, 0, 0, 1].into())
    }
}

fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
