use thiserror::Error;

use super::media_type::Parameterized;

/// What a body or a part of one is for (RFC 3261 §20.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disposition<'a> {
    /// The type.
    pub kind: DispositionType<'a>,
    /// What to do if it is not understood.
    pub handling: Handling,
}

/// A disposition type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DispositionType<'a> {
    /// `session`: it describes a session.
    Session,
    /// `early-session`: it describes a session before the call (RFC 3959).
    EarlySession,
    /// `render`: it is shown to the user.
    Render,
    /// `icon`: it is an image that stands for the caller or callee.
    Icon,
    /// `alert`: it is a ring tone or the like.
    Alert,
    /// Any other.
    Other(&'a str),
}

/// What to do with a body that is not understood (RFC 3204 §3, RFC 5621 §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// Leave it alone.
    Optional,
    /// Refuse the request with 415.
    Required,
}

/// A text that is no Content-Disposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed Content-Disposition")]
pub struct BadDisposition;

/// Reads a Content-Disposition, or returns what the Content-Type means without one.
///
/// Session descriptions are for the session, everything else is to be rendered, and both are required
/// (RFC 3261 §20.11). A handling that is not known counts as required.
pub fn disposition<'a>(
    content_disposition: Option<&'a str>,
    content_type: &str,
) -> Result<Disposition<'a>, BadDisposition> {
    let Some(text) = content_disposition else {
        let is_sdp = Parameterized::parse(content_type, true).is_some_and(|kind| kind.is("application/sdp"));
        let kind = if is_sdp { DispositionType::Session } else { DispositionType::Render };
        return Ok(Disposition { kind, handling: Handling::Required });
    };
    let value = Parameterized::parse(text, false).ok_or(BadDisposition)?;
    let optional = value
        .param("handling")
        .is_some_and(|handling| handling.trim_matches('"').eq_ignore_ascii_case("optional"));
    let handling = if optional { Handling::Optional } else { Handling::Required };
    Ok(Disposition { kind: DispositionType::of(value.main), handling })
}

impl<'a> DispositionType<'a> {
    const KNOWN: [(Self, &'static str); 5] = [
        (Self::Session, "session"),
        (Self::EarlySession, "early-session"),
        (Self::Render, "render"),
        (Self::Icon, "icon"),
        (Self::Alert, "alert"),
    ];

    /// Resolves a token in any case.
    pub fn of(token: &'a str) -> Self {
        let known = Self::KNOWN.into_iter().find(|(_, name)| name.eq_ignore_ascii_case(token));
        known.map_or(Self::Other(token), |(kind, _)| kind)
    }

    /// Returns the token.
    pub fn as_str(self) -> &'a str {
        match self {
            Self::Session => "session",
            Self::EarlySession => "early-session",
            Self::Render => "render",
            Self::Icon => "icon",
            Self::Alert => "alert",
            Self::Other(token) => token,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C021, RFC 3261 §20.11, RFC 5621 §8.1.
    #[test]
    fn what_is_missing_has_a_default() {
        let read = |text, kind| disposition(text, kind).map(|found| (found.kind, found.handling));
        use {DispositionType as Type, Handling::*};
        assert_eq!(read(None, "Application/SDP;x=y"), Ok((Type::Session, Required)));
        assert_eq!(read(None, "application/isup"), Ok((Type::Render, Required)));
        assert_eq!(read(None, ""), Ok((Type::Render, Required)));
        assert_eq!(read(Some("session"), "text/plain"), Ok((Type::Session, Required)));
        assert_eq!(read(Some("signal; Handling=OPTIONAL"), ""), Ok((Type::Other("signal"), Optional)));
        assert_eq!(read(Some("ICON;handling=\"optional\""), ""), Ok((Type::Icon, Optional)));
        assert_eq!(read(Some("alert ; handling=required"), ""), Ok((Type::Alert, Required)));
        assert_eq!(read(Some("early-session;handling=perhaps"), ""), Ok((Type::EarlySession, Required)));
        for bad in ["", "a b", ";handling=optional", "session;handling=\""] {
            assert_eq!(read(Some(bad), ""), Err(BadDisposition), "{bad}");
        }
    }

    #[test]
    fn types_print_as_they_read() {
        for (kind, name) in DispositionType::KNOWN {
            assert_eq!((DispositionType::of(name), kind.as_str()), (kind, name));
        }
        assert_eq!(DispositionType::of("x").as_str(), "x");
    }
}
