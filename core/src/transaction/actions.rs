use std::fmt;

/// What a transaction's owner has to do after an event, in this order: send, then tell the transaction user, then forget
/// the transaction.
#[must_use]
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Actions(u8);

impl Actions {
    /// Returns no action: what happened is absorbed.
    pub const NONE: Self = Self(0);
    pub(super) const SEND: Self = Self(1);
    pub(super) const ACK: Self = Self(1 << 1);
    pub(super) const PASS: Self = Self(1 << 2);
    pub(super) const TRYING: Self = Self(1 << 3);
    pub(super) const TIMEOUT: Self = Self(1 << 4);
    pub(super) const TRANSPORT_ERROR: Self = Self(1 << 5);
    pub(super) const NO_ACK: Self = Self(1 << 6);
    pub(super) const TERMINATED: Self = Self(1 << 7);

    /// Tells whether there is nothing to do.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Tells whether to send: a client its request again, a server the given response or, when none was given, its last
    /// response again.
    pub const fn send(self) -> bool {
        self.has(Self::SEND)
    }

    /// Tells whether to send the ACK to a non-2xx, built from the INVITE and the first such response (RFC 3261 §17.1.1.3).
    pub const fn ack(self) -> bool {
        self.has(Self::ACK)
    }

    /// Tells whether the message goes to the transaction user.
    pub const fn pass(self) -> bool {
        self.has(Self::PASS)
    }

    /// Tells whether to make a 100 (Trying), send it, and keep it as the last response.
    pub const fn trying(self) -> bool {
        self.has(Self::TRYING)
    }

    /// Tells whether the transaction user learns that no answer came: as good as a 408 (RFC 3261 §8.1.3.1).
    pub const fn timeout(self) -> bool {
        self.has(Self::TIMEOUT)
    }

    /// Tells whether the transaction user learns that a message could not be sent: for a request as good as a 503.
    pub const fn transport_error(self) -> bool {
        self.has(Self::TRANSPORT_ERROR)
    }

    /// Tells whether the transaction user learns that its non-2xx to an INVITE was never acknowledged.
    pub const fn no_ack(self) -> bool {
        self.has(Self::NO_ACK)
    }

    /// Tells whether the transaction has ended and must be forgotten at once.
    pub const fn terminated(self) -> bool {
        self.has(Self::TERMINATED)
    }

    /// Returns the actions of both.
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Prints the names of the actions, as the tables show them.
impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::SEND, "send"),
            (Self::ACK, "ack"),
            (Self::TRYING, "trying"),
            (Self::PASS, "pass"),
            (Self::TIMEOUT, "timeout"),
            (Self::TRANSPORT_ERROR, "transport-error"),
            (Self::NO_ACK, "no-ack"),
            (Self::TERMINATED, "terminated"),
        ];
        let set: Vec<_> =
            names.into_iter().filter(|&(action, _)| self.has(action)).map(|(_, name)| name).collect();
        f.pad(&if set.is_empty() { "-".into() } else { set.join(" ") })
    }
}

impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Actions({self})")
    }
}
