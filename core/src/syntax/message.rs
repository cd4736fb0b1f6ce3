use std::fmt;

use smallvec::SmallVec;

use super::{
    HeaderId, Leniency, ParseError, Request, Response, StatusCode, View,
    header::{CSeqSpans, ViaSpans},
    name_addr::NameAddrSpans,
    owned::Owned,
    parse,
    scan::Span,
    uri::UriSpans,
};
use crate::base::Limits;

/// A message in the bytes that it was read from.
///
/// There are two levels: [`split`](Self::split) finds the start line, the header fields and the body;
/// [`check`](Self::check) reads the header fields that every element needs. [`parse`](Self::parse) does both.
pub struct Message<'b> {
    pub(crate) head: &'b str,
    pub(crate) body: &'b [u8],
    /// Where the head begins in the input: line breaks may stand before it.
    pub(crate) base: usize,
    pub(crate) fields: SmallVec<[Field; 32]>,
    pub(crate) facts: Facts,
    /// What is wrong although the message could be split.
    pub(crate) fault: Option<ParseError>,
}

/// Where a header field stands in the head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: Span,
    pub(crate) value: Span,
    pub(crate) id: HeaderId,
}

/// What [`Message::check`] found: the parts that are asked for again and again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) checked: bool,
    pub(crate) line: StartLine,
    /// The Request-URI, if it is a good one.
    pub(crate) uri: Option<UriSpans>,
    pub(crate) via: ViaSpans,
    pub(crate) from: NameAddrSpans,
    pub(crate) to: NameAddrSpans,
    pub(crate) call_id: Span,
    pub(crate) cseq: CSeqSpans,
    pub(crate) max_forwards: Option<u32>,
    /// Whether the Contact is `*`.
    pub(crate) star: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum StartLine {
    Request { method: Span, uri: Span },
    Response { status: StatusCode, reason: Span },
}

impl Default for StartLine {
    fn default() -> Self {
        Self::Request { method: Span::NONE, uri: Span::NONE }
    }
}

/// Why [`Message::parse`] refused a message, and as much of it as could be read.
#[derive(Debug)]
pub struct Refused<'b> {
    /// What is wrong.
    pub error: ParseError,
    /// The message, if it could be split: enough to answer a request. A [`View`] of it returns empty values for what
    /// is malformed or missing.
    pub message: Option<Message<'b>>,
}

impl<'b> Message<'b> {
    /// Reads a message that is all of a datagram, or one message of a stream, and checks it.
    ///
    /// Line breaks before it are skipped, and so is what lies behind the end that Content-Length tells. Without a
    /// Content-Length the body ends with the input (RFC 3261 §18.3).
    #[expect(
        clippy::result_large_err,
        reason = "the message is as large, and a box would be an allocation for junk"
    )]
    pub fn parse(buf: &'b [u8], limits: &Limits) -> Result<Self, Refused<'b>> {
        let mut message = Self::empty();
        if let Err(error) = parse::split(buf, limits, &mut message) {
            return Err(Refused { error, message: None });
        }
        match message.check() {
            Ok(()) => Ok(message),
            Err(error) => Err(Refused { error, message: Some(message) }),
        }
    }

    /// Reads a message like [`parse`](Self::parse), and refuses what is not forgiven, too.
    #[expect(clippy::result_large_err, reason = "as for `parse`")]
    pub fn parse_with(buf: &'b [u8], limits: &Limits, leniency: Leniency) -> Result<Self, Refused<'b>> {
        let mut message = Self::parse(buf, limits)?;
        match leniency.examine(&message) {
            Ok(()) => Ok(message),
            Err(error) => {
                message.facts.checked = false;
                Err(Refused { error, message: Some(message) })
            }
        }
    }

    /// Finds the start line, the header fields and the body.
    ///
    /// Names are resolved, values are not looked at but for Content-Length.
    pub fn split(buf: &'b [u8], limits: &Limits) -> Result<Self, ParseError> {
        let mut message = Self::empty();
        parse::split(buf, limits, &mut message)?;
        match message.fault {
            None => Ok(message),
            Some(fault) => Err(fault),
        }
    }

    pub(super) fn empty() -> Self {
        Self { head: "", body: &[], base: 0, fields: SmallVec::new(), facts: Facts::default(), fault: None }
    }

    /// Reads every Via, From, To, Call-ID, CSeq, Max-Forwards, Contact, Route and Record-Route and the Request-URI.
    ///
    /// After an error, what could be read is there nevertheless.
    pub fn check(&mut self) -> Result<(), ParseError> {
        let outcome = parse::check(self);
        match self.fault {
            None => outcome,
            Some(fault) => Err(fault),
        }
    }

    /// Returns what lets one look at the message.
    pub fn view(&self) -> View<'_> {
        View::new(self.head, self.body, &self.fields, &self.facts)
    }

    /// Copies a request; `None` if it is a response or was not checked.
    pub fn to_request(&self) -> Option<Request> {
        (self.facts.checked && self.view().is_request()).then(|| Request::new(Owned::new(self)))
    }

    /// Copies a response; `None` if it is a request or was not checked.
    pub fn to_response(&self) -> Option<Response> {
        (self.facts.checked && !self.view().is_request()).then(|| Response::new(Owned::new(self)))
    }
}

/// Shows the start line.
impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({:?})", self.view().start_line())
    }
}
