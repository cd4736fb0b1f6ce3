use std::fmt::{Display, Write};

use super::Param;
use crate::syntax::{BadHeaderValue, HeaderValue};

/// A header field's value that grows by parameters.
pub(super) struct Writer {
    text: String,
    separator: &'static str,
}

impl Writer {
    /// Begins with a scheme, or with nothing where there is none.
    pub(super) fn new(scheme: &'static str) -> Self {
        Self { text: scheme.into(), separator: if scheme.is_empty() { "" } else { " " } }
    }

    /// Adds a parameter whose value is a quoted string (RFC 3261 §25.1).
    pub(super) fn quoted(mut self, param: Param, value: &str) -> Self {
        self.name(param);
        self.text.push('"');
        for char in value.chars() {
            if matches!(char, '"' | '\\') {
                self.text.push('\\');
            }
            self.text.push(char);
        }
        self.text.push('"');
        self
    }

    /// Adds a parameter whose value is a token of ours.
    pub(super) fn token(mut self, param: Param, value: impl Display) -> Self {
        self.name(param);
        write!(self.text, "{value}").expect("a string takes every text");
        self
    }

    /// Adds a quoted parameter if there is a value for it.
    pub(super) fn quoted_opt(self, param: Param, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.quoted(param, value),
            None => self,
        }
    }

    /// Adds `true` if the flag is set.
    pub(super) fn flag(self, param: Param, set: bool) -> Self {
        if set { self.token(param, "true") } else { self }
    }

    /// Fails if a value has control characters: not even escaped may they stand in a header field of ours.
    pub(super) fn finish(self) -> Result<HeaderValue, BadHeaderValue> {
        self.text.try_into()
    }

    fn name(&mut self, param: Param) {
        self.text.push_str(self.separator);
        self.separator = ", ";
        self.text.push_str(param.as_str());
        self.text.push('=');
    }
}
