use std::fmt;

use super::{
    super::{Host, NameAddr, Params, ParseErrorKind as Kind, Reader, Uri, UriError},
    item::{Item, Word, headers},
};

headers! { NameAddr;
    /// A URI of the registered user (RFC 7315 §5.1).
    PAssociatedUri P_ASSOCIATED_URI list |reader| reader.address();
    /// The Request-URI before the request was retargeted (RFC 7315 §5.2).
    PCalledPartyId P_CALLED_PARTY_ID alone |reader| reader.address();
    /// The key of the profile of a wildcarded service (RFC 5002 §5).
    PProfileKey P_PROFILE_KEY alone |reader| reader.address();
    /// For whom a server in the core network works (RFC 5502 §6, RFC 8498 §6.2).
    PServedUser P_SERVED_USER alone |reader| reader.address();
    /// A list of recipients that was refused (RFC 5318 §5).
    PRefusedUriList P_REFUSED_URI_LIST list |reader| reader.address();
    /// Who pays (RFC 8496 §6).
    PChargeInfo P_CHARGE_INFO alone |reader| reader.address();
}

impl<'a> PServedUser<'a> {
    /// Returns whether the user calls or is called: `orig` or `term`.
    pub fn session_case(&self) -> Option<&'a str> {
        self.param("sescase").flatten()
    }

    /// Returns whether the user is registered: `reg` or `unreg`.
    pub fn registration_state(&self) -> Option<&'a str> {
        self.param("regstate").flatten()
    }

    /// Tells whether the user diverts the call (RFC 8498 §4).
    pub fn is_diverting(&self) -> bool {
        self.params().has("orig-cdiv")
    }
}

headers! { Item;
    /// A network that was visited (RFC 7315 §5.3).
    PVisitedNetworkId P_VISITED_NETWORK_ID list |reader| Item::read(reader, Reader::token_or_quoted);
    /// How the sender is connected (RFC 7315 §5.4).
    PAccessNetworkInfo P_ACCESS_NETWORK_INFO list |reader| Item::read(reader, Reader::token);
    /// Whether an answer is confirmed (RFC 4964 §7.1).
    PAnswerState P_ANSWER_STATE alone |reader| Item::read(reader, Reader::token);
    /// The private network that the request belongs to (RFC 7316 §7).
    PPrivateNetworkIndication P_PRIVATE_NETWORK_INDICATION alone |reader| Item::read(reader, |reader| {
        let start = reader.position();
        match reader.host()? {
            Host::Name(_) => Ok(reader.since(start)),
            _ => Err(Kind::Host),
        }
    });
}

impl<'a> PAccessNetworkInfo<'a> {
    /// Tells whether a network wrote it, not the device.
    pub fn is_network_provided(&self) -> bool {
        self.params().has("network-provided")
    }

    /// Returns the parameter that tells the place, with its name: a cell, an access point or a line.
    pub fn location(&self) -> Option<(&'a str, &'a str)> {
        const PLACES: [&str; 11] = [
            "cgi-3gpp",
            "utran-cell-id-3gpp",
            "utran-sai-3gpp",
            "i-wlan-node-id",
            "dsl-location",
            "eth-location",
            "fiber-location",
            "ci-3gpp2",
            "ci-3gpp2-femto",
            "gstn-location",
            "dvb-rcs2-node-id",
        ];
        let is_place = |name: &str| PLACES.iter().any(|place| place.eq_ignore_ascii_case(name));
        self.params().find_map(|(name, value)| Some((name, value?)).filter(|_| is_place(name)))
    }
}

headers! { Word;
    /// Which media may flow before the answer (RFC 5009 §9).
    PEarlyMedia P_EARLY_MEDIA list |reader| reader.token().map(Word);
    /// A token that lets media pass (RFC 3313 §5.1).
    PMediaAuthorization P_MEDIA_AUTHORIZATION list |reader| {
        reader.take_while(u8::is_ascii_hexdigit, Kind::Value).map(Word)
    };
    /// The service that the network says is used (RFC 6050 §4.1).
    PAssertedService P_ASSERTED_SERVICE list |reader| service(reader).map(Word);
    /// The service that the user asks for (RFC 6050 §4.2).
    PPreferredService P_PREFERRED_SERVICE list |reader| service(reader).map(Word);
}

/// Reads `urn:urn-7:` and labels between dots.
fn service<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Kind> {
    let urn = reader.take_while(|byte| byte.is_ascii_alphanumeric() || b":-.".contains(byte), Kind::Uri)?;
    let id =
        urn.get(..10).filter(|start| start.eq_ignore_ascii_case("urn:urn-7:")).and_then(|_| urn.get(10..));
    let good = |id: &str| id.split('.').all(|label| !label.is_empty() && !label.contains(':'));
    if id.is_some_and(good) { Ok(urn) } else { Err(Kind::Uri) }
}

impl<'a> PAssertedService<'a> {
    /// Returns the service as the URN that it is.
    pub fn uri(&self) -> Result<Uri<'a>, UriError> {
        Uri::parse(self.as_str())
    }
}

/// Parameters alone, the first without a semicolon before it; the shape of the charging headers.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    text: &'a str,
    first: (&'a str, Option<&'a str>),
    others: Params<'a>,
}

impl<'a> Pairs<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Kind> {
        reader.space();
        let start = reader.position();
        let name = reader.token()?;
        let value = if reader.eat_separator(b'=') { Some(gen_value(reader)?) } else { None };
        let others = reader.params()?;
        Ok(Self { text: reader.since(start), first: (name, value), others })
    }

    /// Returns the parameters in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        std::iter::once(self.first).chain(self.others)
    }

    /// Returns the value of the first parameter of that name, in any case, a quoted string with its quotes.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.pairs().find(|pair| pair.0.eq_ignore_ascii_case(name))?.1
    }

    /// Returns the whole as it is written.
    pub fn as_str(&self) -> &'a str {
        self.text
    }
}

/// Reads `token / host / quoted-string`.
fn gen_value<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Kind> {
    match reader.peek() {
        Some(b'"') => reader.quoted(),
        _ => reader.take(crate::syntax::scan::VALUE, Kind::Param),
    }
}

/// Equality of the text.
impl PartialEq for Pairs<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pairs<'_> {}

impl fmt::Display for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

headers! { Pairs;
    /// What ties the charging records of a call together (RFC 7315 §5.6).
    PChargingVector P_CHARGING_VECTOR alone |reader| {
        let pairs = Pairs::read(reader)?;
        let icid = pairs.first.0.eq_ignore_ascii_case("icid-value") && pairs.first.1.is_some();
        if icid { Ok(pairs) } else { Err(Kind::Param) }
    };
    /// Where charging records go (RFC 7315 §5.5).
    PChargingFunctionAddresses P_CHARGING_FUNCTION_ADDRESSES list Pairs::read;
}

impl<'a> PChargingVector<'a> {
    /// Returns the identity of the charging records.
    pub fn icid(&self) -> &'a str {
        self.value("icid-value").unwrap_or("")
    }

    /// Returns the host that made the identity.
    pub fn generated_at(&self) -> Option<&'a str> {
        self.value("icid-generated-at")
    }

    /// Returns the operator that the call comes from.
    pub fn orig_ioi(&self) -> Option<&'a str> {
        self.value("orig-ioi")
    }

    /// Returns the operator that the call goes to.
    pub fn term_ioi(&self) -> Option<&'a str> {
        self.value("term-ioi")
    }

    /// Returns the operators in between: name and index, `None` for one that stays unnamed.
    pub fn transit_iois(&self) -> impl Iterator<Item = Option<(&'a str, u32)>> + use<'a> {
        let list = self.value("transit-ioi").unwrap_or("").trim_matches('"');
        list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(|entry| {
            let (name, index) = entry.rsplit_once('.')?;
            Some((name, super::item::number(index, u32::MAX)?))
        })
    }
}

impl<'a> PChargingFunctionAddresses<'a> {
    /// Returns the charging collection functions, the main one first.
    pub fn ccf(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        ["ccf", "ccf-2"].into_iter().filter_map({
            let pairs = self.0;
            move |name| pairs.value(name)
        })
    }

    /// Returns the event charging functions, the main one first.
    pub fn ecf(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        ["ecf", "ecf-2"].into_iter().filter_map({
            let pairs = self.0;
            move |name| pairs.value(name)
        })
    }
}
