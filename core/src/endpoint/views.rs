use crate::{
    decision::{DialogHandle, Gone},
    dialog::{Dialog, State},
    endpoint::Endpoint,
    syntax::UriBuf,
};

/// A look at a dialog.
#[derive(Clone, Copy, Debug)]
pub struct DialogView<'a>(&'a Dialog);

impl Endpoint {
    /// Lends a look at a dialog.
    pub fn dialog(&self, dialog: DialogHandle) -> Result<DialogView<'_>, Gone> {
        let call = self.calls.get(dialog.call()).ok_or(Gone)?;
        call.dialog(dialog.serial()).map(DialogView).ok_or(Gone)
    }
}

impl<'a> DialogView<'a> {
    /// Returns the Call-ID.
    pub fn call_id(self) -> &'a str {
        self.0.call_id()
    }

    /// Returns the tag of this side.
    pub fn local_tag(self) -> &'a str {
        self.0.local_tag()
    }

    /// Returns the tag of the peer, empty if it has none (RFC 2543).
    pub fn remote_tag(self) -> &'a str {
        self.0.remote_tag()
    }

    /// Returns the peer's Contact.
    pub const fn remote_target(self) -> &'a UriBuf {
        self.0.remote_target()
    }

    /// Returns the CSeq number of the last request sent.
    pub const fn local_seq(self) -> u32 {
        self.0.local_seq()
    }

    /// Returns the CSeq number of the last request received.
    pub const fn remote_seq(self) -> Option<u32> {
        self.0.remote_seq()
    }

    /// Tells whether no 2xx was sent or received yet.
    pub fn is_early(self) -> bool {
        self.0.state() == State::Early
    }

    /// Tells whether a BYE was sent or received.
    pub fn is_ending(self) -> bool {
        self.0.state() == State::Ending
    }
}
