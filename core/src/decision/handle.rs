use std::{fmt, str::FromStr};

use thiserror::Error;

/// What every handle is: where its call is found, and a serial number that one endpoint gives out only once.
///
/// So a handle whose object is gone can never reach another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Handle {
    call: u64,
    serial: u64,
}

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident $letter:literal)*) => {$(
        $(#[$doc])*
        ///
        /// It stays valid text across threads, processes and recordings, and turns stale safely.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Handle);

        impl $name {
            pub(crate) const fn new(call: u64, serial: u64) -> Self {
                Self(Handle { call, serial })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "_{:016x}_{:x}"), self.0.call, self.0.serial)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadHandle;

            fn from_str(text: &str) -> Result<Self, BadHandle> {
                parse(text, $letter).map(Self).ok_or(BadHandle)
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

macro_rules! lookups {
    ($($name:ident)*) => {$(
        impl $name {
            /// Returns the hash of the Call-ID, by which the call is found.
            pub(crate) const fn call(self) -> u64 {
                self.0.call
            }

            pub(crate) const fn serial(self) -> u64 {
                self.0.serial
            }
        }
    )*};
}

lookups! { ClientHandle DialogHandle AskId }

handles! {
    /// Names a server transaction.
    ServerHandle "S"
    /// Names a client transaction: a request that was sent.
    ClientHandle "C"
    /// Names a dialog.
    DialogHandle "D"
    /// Names a question that waits for its answer.
    AskId "Q"
}

/// Names an alarm set by the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AlarmId(pub(crate) u64);

/// What a handle named has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("what this handle named has ended")]
pub struct Gone;

/// A text that is no handle of the kind wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a handle of this kind")]
pub struct BadHandle;

fn parse(text: &str, letter: &str) -> Option<Handle> {
    let (call, serial) = text.strip_prefix(letter)?.strip_prefix('_')?.split_once('_')?;
    if call.len() != 16 || serial.is_empty() || serial.len() > 16 {
        return None;
    }
    let number = |hex: &str| {
        let plain = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        plain.then(|| u64::from_str_radix(hex, 16).ok()).flatten()
    };
    Some(Handle { call: number(call)?, serial: number(serial)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip() {
        let handle = DialogHandle::new(0xabc, 17);
        assert_eq!(handle.to_string(), "D_0000000000000abc_11");
        assert_eq!(handle.to_string().parse(), Ok(handle));
        assert_eq!(handle.to_string().parse::<ClientHandle>(), Err(BadHandle));
        for bad in ["", "D_", "D_0000000000000abc_", "D_0000000000000abc_+1", "D_0000000000000ABC_1"] {
            assert_eq!(bad.parse::<DialogHandle>(), Err(BadHandle), "{bad}");
        }
    }
}
