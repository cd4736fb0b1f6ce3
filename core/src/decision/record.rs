use bytes::Bytes;

use crate::{
    base::Instant,
    decision::Command,
    transport::{Input, Output},
};

/// One row of a recording.
///
/// The inputs and commands of a recording, with the configuration and the seed, are all that a replay needs; the
/// outputs are there to compare with.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Record {
    /// The machine was told something.
    Input {
        /// When.
        at: Instant,
        /// What.
        input: InputBuf,
    },
    /// The application wanted something.
    Command {
        /// When.
        at: Instant,
        /// What.
        command: Command,
    },
    /// The machine wanted something of its driver.
    Output(Output),
}

/// An [`Input`] that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct InputBuf {
    input: Input<'static>,
    bytes: Bytes,
}

impl InputBuf {
    /// Lends the input.
    pub fn as_input(&self) -> Input<'_> {
        match self.input.clone() {
            Input::Datagram { socket, local, remote, .. } => {
                Input::Datagram { socket, local, remote, payload: &self.bytes }
            }
            Input::Received { conn, .. } => Input::Received { conn, data: &self.bytes },
            other => other,
        }
    }
}

impl From<&Input<'_>> for InputBuf {
    fn from(input: &Input<'_>) -> Self {
        let bytes = match input {
            Input::Datagram { payload, .. } => Bytes::copy_from_slice(payload),
            Input::Received { data, .. } => Bytes::copy_from_slice(data),
            _ => Bytes::new(),
        };
        Self { input: input.without_bytes(), bytes }
    }
}
