use super::{Params, Scheme, Uri, Urn, escape::unescaped, tel::digits};

/// Parameters and header fields of a URI beyond which comparing them would take too long.
const PARTS_MAX: usize = 64;

impl Uri<'_> {
    /// Tells whether two URIs are equal by the rules of RFC 3261 §19.1.4; other schemes than SIP's by their text.
    ///
    /// URIs with more than 64 parameters and header fields are compared by their text, too. A telephone number is equal without its visual separators (RFC 3966 §4).
    pub fn is_equivalent(&self, other: &Uri<'_>) -> bool {
        // What follows compares each with each.
        let parts = |uri: &Uri<'_>| uri.params().count() + uri.header_pairs().count();
        if parts(self) > PARTS_MAX || parts(other) > PARTS_MAX {
            return self.as_str() == other.as_str();
        }
        match (self.scheme(), other.scheme()) {
            (Scheme::Sip, Scheme::Sip) | (Scheme::Sips, Scheme::Sips) => {
                same_opt(self.user(), other.user())
                    && same_opt(self.password(), other.password())
                    && self.host() == other.host()
                    && self.port() == other.port()
                    && same_params(self.params(), other.params())
                    && same_params(other.params(), self.params())
                    && same_headers(self, other)
            }
            (Scheme::Tel, Scheme::Tel) => {
                digits(self.user().unwrap_or("")).eq(digits(other.user().unwrap_or("")))
                    && all_in(self.params(), other.params())
                    && all_in(other.params(), self.params())
            }
            _ => match (Urn::of(*self), Urn::of(*other)) {
                (Some(urn), Some(other)) => urn == other,
                _ => self.as_str() == other.as_str(),
            },
        }
    }
}

fn same_opt(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => plain(a).eq(plain(b)),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Every parameter of `a` is in `b` too, with an equal value, or may be missing there.
fn same_params(a: Params<'_>, b: Params<'_>) -> bool {
    let mut params = a;
    params.all(|(name, value)| match find(b, name) {
        Some(other) => same_value(first(a, name, value), other),
        // These four change where a request goes or what it is.
        None => !["user", "ttl", "method", "maddr", "transport"]
            .iter()
            .any(|kept| kept.eq_ignore_ascii_case(name)),
    })
}

fn all_in(a: Params<'_>, b: Params<'_>) -> bool {
    let mut params = a;
    params.all(|(name, value)| {
        find(b, name).is_some_and(|other| same_tel_value(name, first(a, name, value), other))
    })
}

/// RFC 3966 §4: in extensions and in contexts that are numbers, visual separators do not count.
fn same_tel_value(name: &str, a: Option<&str>, b: Option<&str>) -> bool {
    let numbers = |a: &str, b: &str| {
        let context = name.eq_ignore_ascii_case("phone-context") && a.starts_with('+') && b.starts_with('+');
        context || name.eq_ignore_ascii_case("ext")
    };
    match (a, b) {
        (Some(a), Some(b)) if numbers(a, b) => digits(a).eq(digits(b)),
        (a, b) => same_value(a, b),
    }
}

/// RFC 3261 §19.1.1 wants each name once. Where it is there again, the first value counts, or such a URI would not even
/// equal itself.
fn first<'a>(params: Params<'a>, name: &str, value: Option<&'a str>) -> Option<&'a str> {
    find(params, name).unwrap_or(value)
}

fn find<'a>(params: Params<'a>, name: &str) -> Option<Option<&'a str>> {
    let mut params = params;
    params.find(|(candidate, _)| lower(candidate).eq(lower(name))).map(|(_, value)| value)
}

fn same_value(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => lower(a).eq(lower(b)),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Header fields count always, in any order.
fn same_headers(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    let all_in = |a: &Uri<'_>, b: &Uri<'_>| {
        let count = |uri: &Uri<'_>, name: &str, value: &str| {
            uri.header_pairs()
                .filter(|pair| lower(pair.0).eq(lower(name)) && plain(pair.1).eq(plain(value)))
                .count()
        };
        a.header_pairs().all(|(name, value)| count(a, name, value) == count(b, name, value))
    };
    all_in(a, b) && all_in(b, a)
}

/// The bytes that a text with escapes stands for. An escaped reserved character is not the same as a free one.
fn plain(text: &str) -> impl Iterator<Item = (u8, bool)> {
    unescaped(text).map(|(byte, escaped)| (byte, escaped && b";/?:@&=+$,".contains(&byte)))
}

fn lower(text: &str) -> impl Iterator<Item = (u8, bool)> {
    plain(text).map(|(byte, reserved)| (byte.to_ascii_lowercase(), reserved))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal(a: &str, b: &str) -> bool {
        let parse = |text| Uri::parse(text).unwrap_or_else(|error| panic!("{error}"));
        let there = parse(a).is_equivalent(&parse(b));
        assert_eq!(there, parse(b).is_equivalent(&parse(a)), "{a} {b}: not symmetric");
        assert!(parse(a).is_equivalent(&parse(a)) && parse(b).is_equivalent(&parse(b)));
        there
    }

    /// C014; RFC 3261 §19.1.4, its own examples.
    #[test]
    fn follows_the_examples_of_the_rfc() {
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
        ] {
            assert!(equal(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:a@b", "sips:a@b"),
        ] {
            assert!(!equal(a, b), "{a} {b}");
        }
    }

    /// RFC 4475 §3.1.1.3: an escaped reserved character stays one.
    #[test]
    fn escaped_reserved_characters_differ_from_free_ones() {
        assert!(!equal("sip:a%3Bb@c", "sip:a;b@c"));
        assert!(equal("sip:a%2db@c", "sip:a-b@c"));
        assert!(!equal("sip:%00@c", "sip:%00%00@c"));
    }

    #[test]
    fn many_parameters_are_compared_by_text() {
        let uri = |count: usize, last: &str| format!("sip:a@b{};{last}", ";p".repeat(count - 1));
        assert!(equal(&uri(PARTS_MAX, "X"), &uri(PARTS_MAX, "x")));
        assert!(!equal(&uri(PARTS_MAX + 1, "X"), &uri(PARTS_MAX + 1, "x")));
    }

    /// A name given twice is against RFC 3261 §19.1.1, yet such a URI equals itself.
    #[test]
    fn of_repeated_parameters_the_first_counts() {
        assert!(equal("sip:a;x;x=a", "sip:a;X") && equal("tel:1;x=1;x=2", "tel:1;x=1"));
        assert!(!equal("sip:a;x=a;x", "sip:a;x"));
    }

    /// RFC 3966 §4.
    #[test]
    fn visual_separators_do_not_count() {
        assert!(equal("tel:+1-201-555-0123", "tel:+12015550123"));
        assert!(!equal("tel:+12015550123", "tel:12015550123"));
        assert!(!equal("tel:7042;phone-context=a.com", "tel:7042;phone-context=b.com"));
    }
}
