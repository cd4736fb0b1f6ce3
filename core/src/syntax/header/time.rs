use std::fmt;

use super::{
    super::{Params, ParseErrorKind as Kind, Reader},
    item::{number, numbers},
    typed::Header,
};
use crate::{base::UnixTime, syntax::HeaderName};

numbers! {
    /// After how many seconds the message or what it asks for expires (RFC 3261 §20.19).
    Expires EXPIRES u32::MAX;
    /// The least Expires in seconds that the server takes (RFC 3261 §20.23).
    MinExpires MIN_EXPIRES u32::MAX;
}

/// When the message was sent (RFC 3261 §20.17), to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// Seconds since 1970.
    seconds: u64,
}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const SECONDS_PER_DAY: u64 = 86_400;
/// The last second that four digits for the year can say.
const LAST_SECOND: u64 = 253_402_300_799;

impl Date {
    /// Makes a date of a time; one behind the year 9999 becomes its last second.
    pub fn new(time: UnixTime) -> Self {
        Self { seconds: (time.as_millis() / 1000).min(LAST_SECOND) }
    }

    /// Returns the time.
    pub fn time(self) -> UnixTime {
        UnixTime::from_millis(self.seconds * 1000)
    }
}

impl Header<'_> for Date {
    const NAME: HeaderName = HeaderName::DATE;
    const LIST: bool = false;

    /// Reads `rfc1123-date`: in GMT, as no other zone is allowed, and from 1970 on. The day of the week must be right.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Kind> {
        let text = reader.rest();
        parse(text).ok_or(Kind::Date)
    }
}

fn parse(text: &str) -> Option<Date> {
    let (weekday, rest) = text.split_once(',')?;
    let mut words = rest.split_ascii_whitespace();
    let two = |text: &str, max| Some(text).filter(|text| text.len() == 2).and_then(|text| number(text, max));
    let day = two(words.next()?, 31)?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))? as u64 + 1;
    let year = words.next().filter(|year| year.len() == 4).and_then(|year| number(year, 9999))?;
    let mut clock = words.next()?.split(':');
    let (hour, minute) = (two(clock.next()?, 23)?, two(clock.next()?, 59)?);
    let second = two(clock.next()?, 59)?;
    let zone = words.next()?;
    if clock.next().is_some() || words.next().is_some() || !zone.eq_ignore_ascii_case("GMT") || year < 1970 {
        return None;
    }
    let days = days_before(year.into(), month) + u64::from(day).checked_sub(1)?;
    let name = DAYS.get((days % 7) as usize)?;
    let right = name.eq_ignore_ascii_case(weekday) && civil(days) == (year.into(), month, day.into());
    let seconds =
        days * SECONDS_PER_DAY + u64::from(hour) * 3600 + u64::from(minute) * 60 + u64::from(second);
    right.then_some(Date { seconds })
}

/// Returns the days from 1970 to the first of a month.
fn days_before(year: u64, month: u64) -> u64 {
    // Years begin in March, so that the leap day comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 - 719_468
}

/// Returns year, month and day of a number of days since 1970.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, after) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + after, month, day)
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.seconds / SECONDS_PER_DAY, self.seconds % SECONDS_PER_DAY);
        let (year, month, day) = civil(days);
        let name = |names: &[&'static str], at: u64| names.get(at as usize).copied().unwrap_or("");
        let (weekday, month) = (name(&DAYS, days % 7), name(&MONTHS, month - 1));
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
    }
}

/// When the request was sent, by the clock of its sender, and how long the answer took (RFC 3261 §20.38).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp<'a> {
    time: &'a str,
    delay: Option<&'a str>,
}

impl<'a> Timestamp<'a> {
    /// Returns the seconds as they are written, with a fraction or not.
    pub fn time(&self) -> &'a str {
        self.time
    }

    /// Returns the seconds between request and answer as they are written.
    pub fn delay(&self) -> Option<&'a str> {
        self.delay
    }

    /// Returns the delay in milliseconds, rounded down.
    pub fn delay_millis(&self) -> Option<u64> {
        let (whole, fraction) = self.delay?.split_once('.').unwrap_or((self.delay?, ""));
        let places = fraction.bytes().chain([b'0'; 3]).take(3);
        let millis = places.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        whole.checked_mul(1000)?.checked_add(millis)
    }
}

impl<'a> Header<'a> for Timestamp<'a> {
    const NAME: HeaderName = HeaderName::TIMESTAMP;
    const LIST: bool = false;

    fn read(reader: &mut Reader<'a>) -> Result<Self, Kind> {
        reader.space();
        let start = reader.position();
        reader.digits()?;
        fraction(reader);
        let time = reader.since(start);
        let spaced = reader.space();
        if reader.at_end() {
            return Ok(Self { time, delay: None });
        }
        let start = reader.position();
        if !spaced {
            return Err(Kind::Number);
        }
        if reader.peek() != Some(b'.') {
            reader.digits()?;
        }
        fraction(reader);
        Ok(Self { time, delay: Some(reader.since(start)) })
    }
}

/// Reads `[ "." *(DIGIT) ]`.
fn fraction(reader: &mut Reader<'_>) {
    if reader.eat(b'.') {
        while reader.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            reader.eat(reader.peek().unwrap_or(0));
        }
    }
}

impl fmt::Display for Timestamp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.time)?;
        self.delay.map_or(Ok(()), |delay| write!(f, " {delay}"))
    }
}

/// After how many seconds the request may be tried again (RFC 3261 §20.33).
#[derive(Clone, Copy, Debug)]
pub struct RetryAfter<'a> {
    /// The seconds.
    pub seconds: u32,
    comment: Option<&'a str>,
    params: Params<'a>,
}

impl<'a> RetryAfter<'a> {
    /// Makes a value without comment and parameters.
    pub fn new(seconds: u32) -> Self {
        Self { seconds, comment: None, params: Params::new("") }
    }

    /// Returns the comment, with its parentheses.
    pub fn comment(&self) -> Option<&'a str> {
        self.comment
    }

    /// Returns for how many seconds the called party will then be there.
    pub fn duration(&self) -> Option<u32> {
        number(self.params.get("duration").flatten()?, u32::MAX)
    }

    /// Returns the parameters.
    pub fn params(&self) -> Params<'a> {
        self.params
    }
}

impl<'a> Header<'a> for RetryAfter<'a> {
    const NAME: HeaderName = HeaderName::RETRY_AFTER;
    const LIST: bool = false;

    fn read(reader: &mut Reader<'a>) -> Result<Self, Kind> {
        let seconds = reader.number(u32::MAX)?;
        reader.space();
        let comment = if reader.peek() == Some(b'(') { Some(reader.comment()?) } else { None };
        Ok(Self { seconds, comment, params: reader.params()? })
    }
}

impl fmt::Display for RetryAfter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        if let Some(comment) = self.comment {
            write!(f, " {comment}")?;
        }
        f.write_str(self.params.as_str())
    }
}

/// Equality of the seconds, the comment, and the text of the parameters.
impl PartialEq for RetryAfter<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.seconds, self.comment, self.params.as_str())
            == (other.seconds, other.comment, other.params.as_str())
    }
}

impl Eq for RetryAfter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3261 §20.17: every day from 1970 to 2400 prints and reads back, in order.
    #[test]
    fn dates_round_trip() {
        let mut before = None;
        for day in 0..157_000u64 {
            let date = Date::new(UnixTime::from_millis((day * SECONDS_PER_DAY + day % 86_400) * 1000 + 999));
            let text = date.to_string();
            assert_eq!(Date::parse(&text), Ok(date), "{text}");
            assert!(before.replace(date) < Some(date));
        }
        let last = Date::new(UnixTime::from_millis(u64::MAX));
        assert_eq!(last.to_string(), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(Date::parse("Fri, 31 Dec 9999 23:59:59 GMT"), Ok(last));
    }

    /// RFC 3261 §20.17, RFC 4475 §3.1.2.12.
    #[test]
    fn reads_dates() {
        let read = |text| Date::parse(text).map(|date| date.time().as_millis());
        assert_eq!(read("Sat, 13 Nov 2010 23:29:00 GMT"), Ok(1_289_690_940_000));
        assert_eq!(read("Thu, 01 Jan 1970 00:00:00 GMT"), Ok(0));
        assert_eq!(read("Tue, 29 Feb 2000 12:00:00 gmt"), Ok(951_825_600_000));
        for bad in [
            "",
            "Fri, 01 Jan 2010 16:00:00 EST",
            "Sat, 13 Nov 2010 23:29:00",
            "Sun, 13 Nov 2010 23:29:00 GMT",
            "Sat, 32 Nov 2010 23:29:00 GMT",
            "Tue, 31 Nov 2010 23:29:00 GMT",
            "Mon, 00 Nov 2010 23:29:00 GMT",
            "Sat, 13 Nov 2010 24:29:00 GMT",
            "Sat, 13 Nov 2010 23:60:00 GMT",
            "Sat, 13 Nov 2010 23:29:00:1 GMT",
            "Sat, 13 Foo 2010 23:29:00 GMT",
            "Sat, 13 Nov 10 23:29:00 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
            "Thu, 29 Feb 2001 00:00:00 GMT",
            "13 Nov 2010 23:29:00 GMT",
        ] {
            assert!(Date::parse(bad).is_err(), "{bad}");
        }
    }

    /// RFC 3261 §20.33 and §20.38.
    #[test]
    fn reads_delays() {
        let stamp = Timestamp::parse("54.5 .0015").expect("a timestamp");
        assert_eq!((stamp.time(), stamp.delay(), stamp.delay_millis()), ("54.5", Some(".0015"), Some(1)));
        assert_eq!(Timestamp::parse("54.").map(|stamp| stamp.delay()), Ok(None));
        assert_eq!(Timestamp::parse("1 2").map(|stamp| stamp.delay_millis()), Ok(Some(2000)));
        let retry = RetryAfter::parse("18000 (in a (long) meeting);duration=3600").expect("a value");
        assert_eq!((retry.seconds, retry.duration()), (18_000, Some(3600)));
        assert_eq!(retry.comment(), Some("(in a (long) meeting)"));
        assert_eq!(RetryAfter::new(5).to_string(), "5");
    }
}
