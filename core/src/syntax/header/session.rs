use std::fmt;

use super::{
    super::{Method, Params, ParseErrorKind as Kind, Reader},
    item::{Item, Text, headers, numbers},
    typed::Header,
};
use crate::syntax::{HeaderName, scan};

/// After how many seconds without a refresh a session ends (RFC 4028 §4).
#[derive(Clone, Copy, Debug)]
pub struct SessionExpires<'a> {
    /// The seconds.
    pub seconds: u32,
    /// Who refreshes the session.
    pub refresher: Option<Refresher>,
    params: Params<'a>,
}

/// Who refreshes a session (RFC 4028 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// Who sent the request.
    Uac,
    /// Who answered it.
    Uas,
}

impl<'a> SessionExpires<'a> {
    /// Makes a value without other parameters.
    pub fn new(seconds: u32, refresher: Option<Refresher>) -> Self {
        Self { seconds, refresher, params: Params::new("") }
    }

    /// Returns the parameters as they were read, the refresher among them.
    pub fn params(&self) -> Params<'a> {
        self.params
    }
}

impl<'a> Header<'a> for SessionExpires<'a> {
    const NAME: HeaderName = HeaderName::SESSION_EXPIRES;
    const LIST: bool = false;

    fn read(reader: &mut Reader<'a>) -> Result<Self, Kind> {
        let seconds = reader.number(u32::MAX)?;
        let params = reader.params()?;
        let refresher = match params.get("refresher") {
            None => None,
            Some(Some(value)) if value.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(Some(value)) if value.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            Some(_) => return Err(Kind::Value),
        };
        Ok(Self { seconds, refresher, params })
    }
}

/// Prints the parameters in their order, the refresher first.
impl fmt::Display for SessionExpires<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        match self.refresher {
            None => {}
            Some(Refresher::Uac) => f.write_str(";refresher=uac")?,
            Some(Refresher::Uas) => f.write_str(";refresher=uas")?,
        }
        others(self.params).try_for_each(|param| write_param(f, param))
    }
}

fn others(params: Params<'_>) -> impl Iterator<Item = (&str, Option<&str>)> {
    params.filter(|(name, _)| !name.eq_ignore_ascii_case("refresher"))
}

fn write_param(f: &mut fmt::Formatter<'_>, param: (&str, Option<&str>)) -> fmt::Result {
    match param {
        (name, None) => write!(f, ";{name}"),
        (name, Some(value)) => write!(f, ";{name}={value}"),
    }
}

/// Equality of the seconds, the refresher, and the other parameters in their order.
impl PartialEq for SessionExpires<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.seconds, self.refresher) == (other.seconds, other.refresher)
            && others(self.params).eq(others(other.params))
    }
}

impl Eq for SessionExpires<'_> {}

/// The least Session-Expires in seconds that all elements on the way take (RFC 4028 §5).
#[derive(Clone, Copy, Debug)]
pub struct MinSe<'a> {
    /// The seconds.
    pub seconds: u32,
    params: Params<'a>,
}

impl<'a> MinSe<'a> {
    /// Makes a value without parameters.
    pub fn new(seconds: u32) -> Self {
        Self { seconds, params: Params::new("") }
    }

    /// Returns the parameters.
    pub fn params(&self) -> Params<'a> {
        self.params
    }
}

impl<'a> Header<'a> for MinSe<'a> {
    const NAME: HeaderName = HeaderName::MIN_SE;
    const LIST: bool = false;

    fn read(reader: &mut Reader<'a>) -> Result<Self, Kind> {
        Ok(Self { seconds: reader.number(u32::MAX)?, params: reader.params()? })
    }
}

impl fmt::Display for MinSe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        let mut params = self.params;
        params.try_for_each(|param| write_param(f, param))
    }
}

/// Equality of the seconds and the parameters in their order.
impl PartialEq for MinSe<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.seconds == other.seconds && self.params.eq(other.params)
    }
}

impl Eq for MinSe<'_> {}

numbers! {
    /// The number of a reliable provisional response (RFC 3262 §7.1).
    RSeq RSEQ u32::MAX;
}

/// Which reliable provisional response a PRACK acknowledges (RFC 3262 §7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RAck {
    /// The RSeq of the response.
    pub response: u32,
    /// The number in the CSeq of the response.
    pub cseq: u32,
    /// The method in the CSeq of the response.
    pub method: Method,
}

impl Header<'_> for RAck {
    const NAME: HeaderName = HeaderName::RACK;
    const LIST: bool = false;

    fn read(reader: &mut Reader<'_>) -> Result<Self, Kind> {
        let response = reader.number(u32::MAX)?;
        if !reader.space() {
            return Err(Kind::Number);
        }
        let cseq = reader.number(u32::MAX)?;
        if !reader.space() {
            return Err(Kind::Number);
        }
        Ok(Self { response, cseq, method: Method::of_token(reader.token()?) })
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.response, self.cseq, self.method)
    }
}

headers! { Item;
    /// The dialog whose place the new one takes (RFC 3891 §6.1).
    Replaces REPLACES alone |reader| dialog(reader, ["to-tag", "from-tag"]);
    /// The dialog that the new one joins (RFC 3911 §7.1).
    Join JOIN alone |reader| dialog(reader, ["to-tag", "from-tag"]);
    /// The dialog that authorises the request (RFC 4538 §7).
    TargetDialog TARGET_DIALOG alone |reader| dialog(reader, ["local-tag", "remote-tag"]);
    /// The package of an INFO (RFC 6086 §9.2).
    InfoPackage INFO_PACKAGE alone |reader| Item::read(reader, Reader::token);
    /// A package whose INFOs the sender takes (RFC 6086 §9.2).
    RecvInfo RECV_INFO list |reader| Item::read(reader, Reader::token);
    /// An identifier of the session that survives back-to-back user agents (RFC 7989 §5).
    SessionId SESSION_ID alone |reader| {
        let item = Item::read(reader, uuid)?;
        let good = item.param("remote").is_none_or(|remote| remote.is_some_and(is_uuid));
        if good { Ok(item) } else { Err(Kind::Param) }
    };
    /// What one user tells the other about the call (RFC 7433 §4.1).
    UserToUser USER_TO_USER list |reader| Item::read(reader, Reader::token_or_quoted);
}

/// Reads a Call-ID with both tags, each of which must be given once (RFC 3891 §3, RFC 3911 §4, RFC 4538 §4).
fn dialog<'a>(reader: &mut Reader<'a>, tags: [&str; 2]) -> Result<Item<'a>, Kind> {
    let item = Item::read(reader, Reader::call_id)?;
    let count = |tag: &str| item.params().filter(|(name, _)| name.eq_ignore_ascii_case(tag)).count();
    let given = |tag: &str| count(tag) == 1 && item.param_value(tag).is_some_and(scan::is_token);
    if tags.into_iter().all(given) { Ok(item) } else { Err(Kind::Param) }
}

/// Reads 32 hexadecimal digits in lower case.
fn uuid<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Kind> {
    let uuid = reader.token()?;
    if is_uuid(uuid) { Ok(uuid) } else { Err(Kind::Value) }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl<'a> Replaces<'a> {
    /// Returns the Call-ID.
    pub fn call_id(&self) -> &'a str {
        self.value()
    }

    /// Returns the tag that is local to who receives this.
    pub fn to_tag(&self) -> &'a str {
        self.param_value("to-tag").unwrap_or("")
    }

    /// Returns the tag that is remote to who receives this.
    pub fn from_tag(&self) -> &'a str {
        self.param_value("from-tag").unwrap_or("")
    }

    /// Tells whether only an early dialog is to be replaced.
    pub fn is_early_only(&self) -> bool {
        self.params().has("early-only")
    }
}

impl<'a> Join<'a> {
    /// Returns the Call-ID.
    pub fn call_id(&self) -> &'a str {
        self.value()
    }

    /// Returns the tag that is local to who receives this.
    pub fn to_tag(&self) -> &'a str {
        self.param_value("to-tag").unwrap_or("")
    }

    /// Returns the tag that is remote to who receives this.
    pub fn from_tag(&self) -> &'a str {
        self.param_value("from-tag").unwrap_or("")
    }
}

impl<'a> TargetDialog<'a> {
    /// Returns the Call-ID.
    pub fn call_id(&self) -> &'a str {
        self.value()
    }

    /// Returns the tag that is local to who sent this.
    pub fn local_tag(&self) -> &'a str {
        self.param_value("local-tag").unwrap_or("")
    }

    /// Returns the tag that is remote to who sent this.
    pub fn remote_tag(&self) -> &'a str {
        self.param_value("remote-tag").unwrap_or("")
    }
}

impl<'a> SessionId<'a> {
    /// Returns the identifier of the sender.
    pub fn local(&self) -> &'a str {
        self.value()
    }

    /// Returns the identifier of the other side, as far as it is known.
    pub fn remote(&self) -> Option<&'a str> {
        self.param_value("remote")
    }
}

headers! { Text;
    /// A call that this one returns (RFC 3261 §20.21).
    InReplyTo IN_REPLY_TO list |reader| reader.call_id().map(Text);
}

/// A reason why the session changes (RFC 3326 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason<'a>(Item<'a>);

impl<'a> Reason<'a> {
    /// Returns the protocol whose cause it is, such as `SIP` or `Q.850`.
    pub fn protocol(&self) -> &'a str {
        self.0.value()
    }

    /// Tells whether it is a cause of that protocol, in any case.
    pub fn is(&self, protocol: &str) -> bool {
        self.0.is(protocol)
    }

    /// Returns the cause: of `SIP` a status code.
    pub fn cause(&self) -> Option<u32> {
        self.0.param_number("cause")
    }

    /// Returns the explanation for people, with its quotes.
    pub fn text(&self) -> Option<&'a str> {
        self.0.param_value("text")
    }

    /// Returns the parameters.
    pub fn params(&self) -> Params<'a> {
        self.0.params()
    }
}

impl<'a> Header<'a> for Reason<'a> {
    const NAME: HeaderName = HeaderName::REASON;
    const LIST: bool = true;

    fn read(reader: &mut Reader<'a>) -> Result<Self, Kind> {
        let item = Item::read(reader, Reader::token)?;
        let numeric = item.params().has("cause") && item.param_number("cause").is_none();
        if numeric { Err(Kind::Number) } else { Ok(Self(item)) }
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
