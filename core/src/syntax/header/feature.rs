use super::{
    super::{Params, ParseErrorKind as Kind, Reader},
    item::{Item, headers},
};

headers! { Item;
    /// What a target of the request is to be capable of (RFC 3841 §10).
    AcceptContact ACCEPT_CONTACT list |reader| Item::read(reader, star);
    /// What a target of the request must not be capable of (RFC 3841 §10).
    RejectContact REJECT_CONTACT list |reader| Item::read(reader, star);
    /// What an element on the way is capable of (RFC 6809 §6.3.2).
    FeatureCaps FEATURE_CAPS list |reader| Item::read(reader, star);
}

fn star<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Kind> {
    let star = reader.token()?;
    if star == "*" { Ok(star) } else { Err(Kind::Value) }
}

impl<'a> AcceptContact<'a> {
    /// Tells whether targets that do not fit are to be dropped (RFC 3841 §7.2.4).
    pub fn is_required(&self) -> bool {
        self.params().has("require")
    }

    /// Tells whether targets that do not say whether they fit are taken for such that do not (RFC 3841 §7.2.4).
    pub fn is_explicit(&self) -> bool {
        self.params().has("explicit")
    }

    /// Returns the features asked for.
    pub fn features(&self) -> impl Iterator<Item = Feature<'a>> + use<'a> {
        features(self.params())
    }
}

impl<'a> RejectContact<'a> {
    /// Returns the features not wanted.
    pub fn features(&self) -> impl Iterator<Item = Feature<'a>> + use<'a> {
        features(self.params())
    }
}

impl<'a> FeatureCaps<'a> {
    /// Returns the capabilities.
    pub fn features(&self) -> impl Iterator<Item = Feature<'a>> + use<'a> {
        features(self.params())
    }
}

/// A feature and the values that it has or may have (RFC 3840 §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature<'a> {
    name: &'a str,
    /// What stands in the quotes; a feature without a value is `TRUE`.
    values: &'a str,
}

/// One of the values of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureValue<'a> {
    /// Whether all values but this one are meant.
    pub negated: bool,
    /// The value.
    pub value: FeatureKind<'a>,
}

/// The kinds of values that a feature can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureKind<'a> {
    /// `TRUE` or `FALSE`.
    Boolean(bool),
    /// A word, equal in any case.
    Token(&'a str),
    /// A text in angle brackets, equal in the same case only.
    Text(&'a str),
    /// Numbers in thousandths, from the first to the second, either of which may be open.
    Number(Option<i64>, Option<i64>),
}

/// The features that have names without a plus sign (RFC 3840 §9).
const BASE_TAGS: [&str; 20] = [
    "audio",
    "automata",
    "class",
    "duplex",
    "data",
    "control",
    "mobility",
    "description",
    "events",
    "priority",
    "methods",
    "schemes",
    "application",
    "video",
    "language",
    "type",
    "isfocus",
    "actor",
    "text",
    "extensions",
];

/// Returns the parameters that are features.
pub(crate) fn features(params: Params<'_>) -> impl Iterator<Item = Feature<'_>> {
    let is_feature =
        |name: &str| name.starts_with('+') || BASE_TAGS.iter().any(|tag| tag.eq_ignore_ascii_case(name));
    params.filter(move |(name, _)| is_feature(name)).map(|(name, value)| {
        let value = value.unwrap_or("TRUE");
        let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        Feature { name, values: inner.unwrap_or(value) }
    })
}

impl<'a> Feature<'a> {
    /// Returns the name as it is written, with its plus sign if it has one.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Tells whether it is that feature, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Returns what stands in the quotes.
    pub fn as_str(&self) -> &'a str {
        self.values
    }

    /// Returns the values; malformed ones are left out.
    pub fn values(&self) -> impl Iterator<Item = FeatureValue<'a>> + use<'a> {
        let mut text = Some(self.values).filter(|values| values.starts_with('<'));
        let text = std::iter::from_fn(move || {
            let text = text.take()?.strip_prefix('<')?.strip_suffix('>')?;
            Some(FeatureValue { negated: false, value: FeatureKind::Text(text) })
        });
        let list = if self.values.starts_with('<') { "" } else { self.values };
        text.chain(list.split(',').filter_map(|value| feature_value(value.trim())))
    }
}

fn feature_value(text: &str) -> Option<FeatureValue<'_>> {
    let (negated, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
    let value = if let Some(numeric) = text.strip_prefix('#') {
        let (least, most) = range(numeric)?;
        FeatureKind::Number(least, most)
    } else if text.eq_ignore_ascii_case("TRUE") {
        FeatureKind::Boolean(true)
    } else if text.eq_ignore_ascii_case("FALSE") {
        FeatureKind::Boolean(false)
    } else if super::super::scan::is_token(text) && !text.contains('!') {
        FeatureKind::Token(text)
    } else {
        return None;
    };
    Some(FeatureValue { negated, value })
}

/// Reads `numeric-relation number`.
fn range(text: &str) -> Option<(Option<i64>, Option<i64>)> {
    if let Some(least) = text.strip_prefix(">=") {
        return Some((Some(thousandths(least)?), None));
    }
    if let Some(most) = text.strip_prefix("<=") {
        return Some((None, Some(thousandths(most)?)));
    }
    if let Some(only) = text.strip_prefix('=') {
        let only = thousandths(only)?;
        return Some((Some(only), Some(only)));
    }
    let (least, most) = text.split_once(':')?;
    Some((Some(thousandths(least)?), Some(thousandths(most)?)))
}

/// Reads `[ "+" / "-" ] 1*DIGIT [ "." 0*DIGIT ]`; what is below a thousandth is cut off.
fn thousandths(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let decimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !decimal(whole) || !decimal(fraction) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let places = fraction.bytes().chain([b'0'; 3]).take(3);
    let fraction = places.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let sum = whole.checked_mul(1000)?.checked_add(fraction)?;
    Some(if text.starts_with('-') { -sum } else { sum })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::Header as _;

    fn values<'a>(text: &'a str, name: &str) -> Vec<FeatureValue<'a>> {
        let header = AcceptContact::parse(text).expect(text);
        header.features().find(|feature| feature.is(name)).expect(name).values().collect()
    }

    /// RFC 3840 §9, RFC 3841 §10.
    #[test]
    fn reads_every_kind_of_value() {
        use FeatureKind as K;
        let text = "*;audio;Methods=\"INVITE,!BYE\";+q=\"<a, b>\";priority=\"#>=10,#-1.5:2,#=0.0019,#<=+3,#x,!#=1\";\
            video=\"FALSE\";other=\"x\";require";
        let plain = |value| FeatureValue { negated: false, value };
        assert_eq!(values(text, "audio"), [plain(K::Boolean(true))]);
        assert_eq!(values(text, "video"), [plain(K::Boolean(false))]);
        let negated = FeatureValue { negated: true, value: K::Token("BYE") };
        assert_eq!(values(text, "methods"), [plain(K::Token("INVITE")), negated]);
        assert_eq!(values(text, "+q"), [plain(K::Text("a, b"))]);
        assert_eq!(
            values(text, "priority"),
            [
                plain(K::Number(Some(10_000), None)),
                plain(K::Number(Some(-1500), Some(2000))),
                plain(K::Number(Some(1), Some(1))),
                plain(K::Number(None, Some(3000))),
                FeatureValue { negated: true, value: K::Number(Some(1000), Some(1000)) },
            ]
        );
        let header = AcceptContact::parse(text).expect("a header");
        assert!(header.is_required() && !header.is_explicit());
        assert_eq!(header.features().count(), 5, "neither `other` nor `require` is a feature");
        assert!(AcceptContact::parse("sip;audio").is_err());
    }
}
