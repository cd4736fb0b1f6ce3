use std::{path::PathBuf, time::Duration};

use sansip::{HeaderValue, Method, NatPolicy, Preference, UdpSize, UriBuf};

use super::Level;
use crate::{listen::Listen, node::Driver, secure::Clients, span::Span};

/// Makes a section of the file out of a list of keys: what reads it, what puts it into place, and what prints it.
macro_rules! section {
    ($(#[doc = $about:literal])+ $name:ident of $target:ty {
        $($(#[doc = $doc:literal])+ $key:ident: $shape:ty,)+
    }) => {
        $(#[doc = $about])+
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct $name {
            $($key: Option<$shape>,)+
        }

        impl $name {
            /// Sets what the file sets.
            fn apply(self, target: &mut $target) {
                $(if let Some(value) = self.$key {
                    target.$key = value.into();
                })+
            }

            /// Prints all keys.
            fn write(target: &$target, text: &mut String) {
                $(crate::config::section::write(text, &[$($doc),+], stringify!($key), &target.$key);)+
            }
        }
    };
}

pub(super) use section;

/// A value that the file can set.
pub(super) trait Knob {
    /// Returns it as the file has it; `None` if it is set to nothing, which the file cannot say.
    fn shown(&self) -> Option<String>;
}

/// Prints a key with what it is.
pub(super) fn write(text: &mut String, doc: &[&str], key: &str, value: &impl Knob) {
    for line in doc {
        text.push_str(&format!("#{line}\n"));
    }
    match value.shown() {
        Some(value) => text.push_str(&format!("{key} = {value}\n")),
        None => text.push_str(&format!("#{key} = \"\"\n")),
    }
}

fn quoted(text: &str) -> Option<String> {
    Some(toml::Value::from(text).to_string())
}

fn list(items: impl Iterator<Item = String>) -> Option<String> {
    Some(toml::Value::from(items.collect::<Vec<_>>()).to_string())
}

impl Knob for bool {
    fn shown(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Knob for Preference {
    fn shown(&self) -> Option<String> {
        quoted(match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        })
    }
}

impl Knob for usize {
    fn shown(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Knob for Duration {
    fn shown(&self) -> Option<String> {
        quoted(&Span(*self).to_string())
    }
}

impl Knob for Option<Duration> {
    fn shown(&self) -> Option<String> {
        self.as_ref().and_then(Knob::shown)
    }
}

impl Knob for NatPolicy {
    fn shown(&self) -> Option<String> {
        quoted(match self {
            Self::Off => "off",
            Self::SymmetricSource => "symmetric_source",
        })
    }
}

impl Knob for UdpSize {
    fn shown(&self) -> Option<String> {
        match self {
            Self::Rfc => quoted("rfc"),
            Self::UpTo(bytes) => Some(format!("{{ up_to = {bytes} }}")),
            Self::Any => quoted("any"),
        }
    }
}

impl Knob for HeaderValue {
    fn shown(&self) -> Option<String> {
        quoted(self.as_str())
    }
}

impl Knob for Option<HeaderValue> {
    fn shown(&self) -> Option<String> {
        self.as_ref().and_then(Knob::shown)
    }
}

impl Knob for Option<PathBuf> {
    fn shown(&self) -> Option<String> {
        quoted(&self.as_ref()?.display().to_string())
    }
}

impl Knob for Clients {
    fn shown(&self) -> Option<String> {
        quoted(&self.to_string())
    }
}

impl Knob for Vec<String> {
    fn shown(&self) -> Option<String> {
        list(self.iter().cloned())
    }
}

impl Knob for UriBuf {
    fn shown(&self) -> Option<String> {
        quoted(self.as_str())
    }
}

impl Knob for Vec<HeaderValue> {
    fn shown(&self) -> Option<String> {
        list(self.iter().map(ToString::to_string))
    }
}

impl Knob for Vec<Method> {
    fn shown(&self) -> Option<String> {
        list(self.iter().map(ToString::to_string))
    }
}

impl Knob for Vec<Listen> {
    fn shown(&self) -> Option<String> {
        list(self.iter().map(ToString::to_string))
    }
}

impl Knob for Driver {
    fn shown(&self) -> Option<String> {
        quoted(&self.to_string())
    }
}

impl Knob for Level {
    fn shown(&self) -> Option<String> {
        quoted(&self.to_string())
    }
}
