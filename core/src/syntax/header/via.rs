use std::fmt;

use super::super::{
    Header, HeaderName, Host, Params, ParseError, ParseErrorKind as Kind, Reader,
    host::scan_host,
    params::scan_param,
    scan::{self, Cursor, Span},
};

/// One value of a Via header field (RFC 3261 §20.42).
#[derive(Clone, Copy)]
pub struct Via<'a> {
    text: &'a str,
    spans: ViaSpans,
}

/// Where the parts of a Via stand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ViaSpans {
    whole: Span,
    transport: Span,
    host: Span,
    port: Option<u16>,
    params: Span,
    branch: Span,
    pub(crate) rport: ParamSpans,
    pub(crate) received: ParamSpans,
    maddr: ParamSpans,
}

/// Where a parameter stands, if it does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ParamSpans {
    name: Span,
    value: Span,
}

impl ParamSpans {
    pub(crate) fn is_absent(self) -> bool {
        self.name.is_none()
    }

    pub(crate) fn has_no_value(self) -> bool {
        !self.is_absent() && self.value.is_none()
    }

    pub(crate) fn name_end(self) -> usize {
        self.name.end()
    }

    /// Returns where it ends; 0 if it is absent.
    pub(crate) fn end(self) -> usize {
        self.name.end().max(self.value.end())
    }

    /// Returns the value as it is written: `Some(None)` of a parameter that has none.
    fn of(self, text: &str) -> Option<Option<&str>> {
        self.name.opt(text).map(|_| self.value.opt(text))
    }
}

/// How branches begin that are unique to their transaction (RFC 3261 §8.1.1.7).
pub(crate) const MAGIC_COOKIE: &str = "z9hG4bK";

impl<'a> Via<'a> {
    /// Reads one value, which must be all of the text.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        Header::parse(text)
    }

    pub(crate) fn new(text: &'a str, spans: ViaSpans) -> Self {
        Self { text, spans }
    }

    /// Returns the whole value as it is written.
    pub fn as_str(&self) -> &'a str {
        self.spans.whole.of(self.text)
    }

    /// Returns the transport, such as `UDP`.
    pub fn transport(&self) -> &'a str {
        self.spans.transport.of(self.text)
    }

    /// Returns the host of the sent-by.
    pub fn host(&self) -> Host<'a> {
        Host::of_checked(self.host_text())
    }

    /// Returns the host of the sent-by as it is written.
    pub fn host_text(&self) -> &'a str {
        self.spans.host.of(self.text)
    }

    /// Returns the port of the sent-by, if it has one.
    pub fn port(&self) -> Option<u16> {
        self.spans.port
    }

    /// Returns the `branch` parameter.
    pub fn branch(&self) -> Option<&'a str> {
        self.spans.branch.opt(self.text)
    }

    /// Returns the `received` parameter, the address that the request came from (RFC 3261 §18.2.1).
    pub fn received(&self) -> Option<&'a str> {
        self.received_param().flatten()
    }

    /// Returns whether there is a `received` parameter, and its value.
    pub(crate) fn received_param(&self) -> Option<Option<&'a str>> {
        self.spans.received.of(self.text)
    }

    /// Returns the `rport` parameter (RFC 3581 §3): `Some(None)` if it waits for its value.
    ///
    /// One whose value is no port counts as absent.
    pub fn rport(&self) -> Option<Option<u16>> {
        match self.rport_param()? {
            None => Some(None),
            Some(port) => port.parse().ok().map(Some),
        }
    }

    /// Returns whether there is an `rport` parameter, and its value, be it a port or not.
    pub(crate) fn rport_param(&self) -> Option<Option<&'a str>> {
        self.spans.rport.of(self.text)
    }

    /// Returns the `maddr` parameter.
    pub fn maddr(&self) -> Option<&'a str> {
        self.spans.maddr.of(self.text).flatten()
    }

    /// Returns the `ttl` parameter.
    pub fn ttl(&self) -> Option<u8> {
        self.params().get("ttl").flatten()?.parse().ok()
    }

    /// Returns the parameters.
    pub fn params(&self) -> Params<'a> {
        Params::new(self.spans.params.of(self.text))
    }

    /// Tells whether the branch begins with `z9hG4bK`, in any case, as tokens are compared (RFC 3261 §8.1.1.7, §7.3.1).
    pub fn has_magic_cookie(&self) -> bool {
        let prefix = self.branch().and_then(|branch| branch.as_bytes().get(..MAGIC_COOKIE.len()));
        prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(MAGIC_COOKIE.as_bytes()))
    }
}

impl<'a> Header<'a> for Via<'a> {
    const NAME: HeaderName = HeaderName::VIA;
    const LIST: bool = true;

    fn read(reader: &mut Reader<'a>) -> Result<Self, Kind> {
        scan(reader.cursor()).map(|spans| Self::new(reader.text(), spans))
    }
}

/// Prints the value as it is written.
impl fmt::Display for Via<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Via<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Via({:?})", self.as_str())
    }
}

/// Equality of the text.
impl PartialEq for Via<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Via<'_> {}

impl ViaSpans {
    pub(crate) fn is_none(&self) -> bool {
        self.whole.is_none()
    }

    pub(crate) fn whole(&self) -> Span {
        self.whole
    }

    pub(crate) fn branch(&self) -> Span {
        self.branch
    }
}

/// Reads one value, up to the end or to a comma.
pub(crate) fn scan(cursor: &mut Cursor<'_>) -> Result<ViaSpans, Kind> {
    cursor.skip_lws();
    let start = cursor.pos;
    let transport = protocol(cursor)?;
    if !cursor.peek().is_some_and(|byte| scan::is(byte, scan::LWS)) {
        return Err(Kind::Protocol);
    }
    cursor.skip_lws();
    let host = scan_host(cursor)?;
    let mut end = cursor.pos;
    let mut port = None;
    if cursor.eat_separator(b':') {
        port = Some(cursor.number(u16::MAX.into())? as u16);
        end = cursor.pos;
    }
    let after = end;
    let mut branch = Span::NONE;
    let (mut rport, mut received, mut maddr) = <(ParamSpans, ParamSpans, ParamSpans)>::default();
    while let Some((name, value)) = scan_param(cursor)? {
        end = if value.is_none() { name.end() } else { value.end() };
        let is = |wanted: &[u8]| name.bytes(cursor.bytes()).eq_ignore_ascii_case(wanted);
        // Of a parameter that stands there twice, the first counts.
        let param = match name.len() {
            5 if is(b"rport") => &mut rport,
            5 if is(b"maddr") => &mut maddr,
            6 if branch.is_none() && is(b"branch") => {
                branch = value;
                continue;
            }
            8 if is(b"received") => &mut received,
            _ => continue,
        };
        if param.is_absent() {
            *param = ParamSpans { name, value };
        }
    }
    if cursor.peek().is_some_and(|byte| byte != b',') {
        return Err(Kind::Param);
    }
    Ok(ViaSpans {
        whole: Span::new(start, end),
        transport,
        host,
        port,
        params: Span::new(after, end),
        branch,
        rport,
        received,
        maddr,
    })
}

/// Reads `sent-protocol`. Other protocols and versions than SIP/2.0 are of no use to anybody.
#[inline]
fn protocol(cursor: &mut Cursor<'_>) -> Result<Span, Kind> {
    if cursor.rest().starts_with(b"SIP/2.0/") {
        cursor.pos += 8;
        cursor.skip_lws();
        return cursor.take1(scan::TOKEN, Kind::Protocol);
    }
    for part in [&b"SIP"[..], b"2.0"] {
        let word = cursor.take1(scan::TOKEN, Kind::Protocol)?;
        if !word.bytes(cursor.bytes()).eq_ignore_ascii_case(part) || !cursor.eat_separator(b'/') {
            return Err(Kind::Protocol);
        }
    }
    cursor.take1(scan::TOKEN, Kind::Protocol)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn via(text: &str) -> Via<'_> {
        Via::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// TU.07; RFC 3261 §20.42.
    #[test]
    fn reads_every_part() {
        let via = via(
            "SIP/2.0/UDP 192.0.2.1:5070;rport;Branch=z9hG4bK87a;received=198.51.100.7;ttl=16;maddr=224.2.0.1",
        );
        assert_eq!(via.transport(), "UDP");
        assert_eq!(via.host(), Host::V4(Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(via.port(), Some(5070));
        assert_eq!(via.branch(), Some("z9hG4bK87a"));
        assert_eq!(via.received(), Some("198.51.100.7"));
        assert_eq!(via.rport(), Some(None));
        assert_eq!(via.ttl(), Some(16));
        assert_eq!(via.maddr(), Some("224.2.0.1"));
        assert!(via.has_magic_cookie());
    }

    /// RFC 4475 §3.1.1.1: white space and folds wherever the grammar has SLASH, COLON, SEMI or EQUAL.
    #[test]
    fn reads_white_space_between_tokens() {
        let folded =
            via("SIP  / 2.0\r\n /TCP     spindle.example.com : 5062  ;\r\n  branch  =   z9hG4bK9ikj8  ");
        assert_eq!((folded.transport(), folded.host_text()), ("TCP", "spindle.example.com"));
        assert_eq!((folded.port(), folded.branch()), (Some(5062), Some("z9hG4bK9ikj8")));
        assert_eq!(via("sip/2.0/UNKNOWN a").transport(), "UNKNOWN");
    }

    /// P18; RFC 5118 §4.1, §4.5.
    #[test]
    fn reads_ipv6() {
        let via = via("SIP/2.0/UDP [2001:db8::9:1]:5061;received=2001:db8::9:255;branch=z9hG4bKas3-111");
        assert_eq!(via.host_text(), "[2001:db8::9:1]");
        assert!(via.host().ip().is_some());
        assert_eq!((via.port(), via.received()), (Some(5061), Some("2001:db8::9:255")));
    }

    /// RFC 3261 §8.1.1.7, §17.2.3.
    #[test]
    fn knows_the_magic_cookie() {
        assert!(via("SIP/2.0/UDP a;branch=Z9HG4BKx").has_magic_cookie());
        assert!(!via("SIP/2.0/UDP a;branch=z9hG4b").has_magic_cookie());
        assert!(!via("SIP/2.0/UDP a;branch").has_magic_cookie());
        assert!(!via("SIP/2.0/UDP a").has_magic_cookie());
    }

    /// RFC 4475 §3.1.2.1 and others.
    #[test]
    fn refuses_what_is_no_via() {
        for bad in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0 a",
            "SIP/3.0/UDP a",
            "HTTP/2.0/UDP a",
            "SIP/2.0/UDP a:",
            "SIP/2.0/UDP a:65536",
            "SIP/2.0/UDP a;",
            "SIP/2.0/UDP a;;",
            "SIP/2.0/UDP a;branch=",
            "SIP/2.0/UDP a b",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP [x]",
            "SIP/2.0/UDP a, SIP/2.0/UDP b",
        ] {
            assert!(Via::parse(bad).is_err(), "{bad}");
        }
    }
}
