use super::{HeaderId, Message, Method, NameAddr, ParseError, ParseErrorKind as Kind, header, scan};

/// What is wrong with a message and yet forgiven (RFC 4475 §3.1.2, where it leaves the choice; RFC 3261 §16.3).
///
/// The parser always reads the forms named here; what is not forgiven is refused afterwards, in this one place. By
/// default all is forgiven. Nothing else that breaks the grammar of what every element reads passes either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Leniency {
    /// Several spaces within a start line (RFC 4475 §3.1.2.9).
    pub spaces: bool,
    /// A Status-Line that ends behind the code, without the space (RFC 4475 §3.1.1.13).
    pub bare_status: bool,
    /// White space between angle brackets and the URI in them (RFC 4475 §3.1.2.14).
    pub padded_uris: bool,
    /// Tags and branches with characters that no token has (RFC 3261 §25.1).
    pub wide_tokens: bool,
    /// An ACK with the method of its INVITE in the CSeq (RFC 3261 §17.1.1.3).
    pub ack_as_invite: bool,
    /// Several rows of a header field that has no list of values (RFC 3261 §7.3.1).
    ///
    /// Those that decide about the way of a message are refused in any case, unless they are equal Content-Lengths.
    pub repeated_rows: bool,
    /// Malformed values of header fields that not every element reads (RFC 4475 §3.1.2.12).
    pub malformed_values: bool,
}

impl Leniency {
    /// Forgives all that the parser can make sense of; the default.
    pub const ALL: Self = Self::same(true);
    /// Forgives nothing.
    pub const NONE: Self = Self::same(false);

    const fn same(forgiven: bool) -> Self {
        Self {
            spaces: forgiven,
            bare_status: forgiven,
            padded_uris: forgiven,
            wide_tokens: forgiven,
            ack_as_invite: forgiven,
            repeated_rows: forgiven,
            malformed_values: forgiven,
        }
    }

    /// Refuses what is not forgiven in a message that was read.
    pub(crate) fn examine(self, message: &Message<'_>) -> Result<(), ParseError> {
        if self == Self::ALL {
            return Ok(());
        }
        let found = [
            (self.spaces, spaces(message)),
            (self.bare_status, bare_status(message)),
            (self.padded_uris, padded_uris(message)),
            (self.wide_tokens, wide_tokens(message)),
            (self.ack_as_invite, ack_as_invite(message)),
            (self.repeated_rows, repeated_rows(message)),
        ];
        match found.into_iter().find_map(|(forgiven, found)| found.filter(|_| !forgiven)) {
            Some((kind, header)) => Err(ParseError { kind, offset: message.base, header }),
            None if self.malformed_values => Ok(()),
            None => message.view().check_typed().map_err(|error| error.shifted(message.base)),
        }
    }
}

impl Default for Leniency {
    fn default() -> Self {
        Self::ALL
    }
}

type Found = Option<(Kind, Option<HeaderId>)>;

fn spaces(message: &Message<'_>) -> Found {
    let view = message.view();
    // Neither a method nor a Request-URI has spaces, and a phrase may have any number.
    let (start, parts) = match view.is_request() {
        true => (view.start_line(), 3),
        false => (view.start_line().get(..12).unwrap_or(""), 2),
    };
    (start.trim_end().split(' ').count() > parts).then_some((Kind::Space, None))
}

fn bare_status(message: &Message<'_>) -> Found {
    let view = message.view();
    let bare = !view.is_request() && view.start_line().trim_start_matches("SIP/2.0").trim_start().len() == 3;
    bare.then_some((Kind::StartLine, None))
}

fn padded_uris(message: &Message<'_>) -> Found {
    let view = message.view();
    let padded =
        |(id, address): (HeaderId, NameAddr<'_>)| address.is_padded().then_some((Kind::Space, Some(id)));
    let mut addresses = [(HeaderId::From, view.from()), (HeaderId::To, view.to())]
        .into_iter()
        .chain(view.contacts().map(|address| (HeaderId::Contact, address)))
        .chain(view.routes().map(|address| (HeaderId::Route, address)))
        .chain(view.record_routes().map(|address| (HeaderId::RecordRoute, address)));
    addresses.find_map(padded)
}

fn wide_tokens(message: &Message<'_>) -> Found {
    let view = message.view();
    let wide = |text: Option<&str>| text.is_some_and(|text| !scan::is_token(text));
    if wide(view.from_tag()) {
        return Some((Kind::Token, Some(HeaderId::From)));
    }
    if wide(view.to_tag()) {
        return Some((Kind::Token, Some(HeaderId::To)));
    }
    view.vias().any(|via| wide(via.branch())).then_some((Kind::Token, Some(HeaderId::Via)))
}

fn ack_as_invite(message: &Message<'_>) -> Found {
    let view = message.view();
    let differs = view.is(&Method::Ack) && !view.cseq_is(&Method::Ack);
    differs.then_some((Kind::MethodMismatch, Some(HeaderId::CSeq)))
}

fn repeated_rows(message: &Message<'_>) -> Found {
    let mut seen = 0u128;
    message.fields.iter().find_map(|field| {
        let bit = 1u128 << (field.id as u32);
        let again = seen & bit != 0;
        seen |= bit;
        (again && !header::is_list(field.id)).then_some((Kind::Duplicate, Some(field.id)))
    })
}
