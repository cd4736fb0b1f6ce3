//! The configuration file: every knob of the program and of the endpoint, in TOML.

mod keys;
mod section;

use std::{fmt, fs, ops::Range, path::Path, str::FromStr, time::Duration};

use sansip::{Config, ConfigError, Endpoint, HeaderValue, Instant, Seed, transaction::TimingError};
use serde::{Deserialize, Deserializer, de};
use thiserror::Error;
use toml::de::{DeTable, DeValue};
use tracing_subscriber::filter::LevelFilter;

pub(crate) use self::keys::defaults;
use crate::{
    listen::Listen,
    node::Driver,
    secure::{Served, TlsFiles},
};

/// What `sansip serve` does, from the file and from defaults.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) serve: Serve,
    pub(crate) tls: TlsFiles,
    pub(crate) websocket: Served,
    pub(crate) endpoint: Config,
}

/// What concerns the program and not its endpoint.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Serve {
    pub(crate) listen: Vec<Listen>,
    pub(crate) driver: Driver,
    pub(crate) log: Level,
    pub(crate) ring: Duration,
    pub(crate) grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let mut endpoint = Config::default();
        endpoint.product = Some(PRODUCT);
        let serve = Serve {
            listen: vec![Listen::usual()],
            driver: Driver::default(),
            log: Level(LevelFilter::INFO),
            ring: Duration::ZERO,
            grace: Duration::from_secs(5),
        };
        Self { serve, tls: TlsFiles::default(), websocket: Served::default(), endpoint }
    }
}

/// From which importance on the program logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(pub(crate) LevelFilter);

/// A text that is no level.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no level: use off, error, warn, info, debug or trace")]
pub(crate) struct BadLevel(String);

impl FromStr for Level {
    type Err = BadLevel;

    fn from_str(text: &str) -> Result<Self, BadLevel> {
        text.parse().map(Self).map_err(|_| BadLevel(text.into()))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A file that cannot be used, and where.
#[derive(Debug, Error)]
pub(crate) enum FileError {
    #[error("cannot read {path}: {error}")]
    Unreadable { path: String, error: std::io::Error },
    #[error("{path}:{line}:{column}: {message}")]
    Content { path: String, line: usize, column: usize, message: String },
}

/// Reads a file.
pub(crate) fn load(path: &Path) -> Result<Settings, FileError> {
    let name = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => parse(&text).map_err(|fault| fault.in_file(name, &text)),
        Err(error) => Err(FileError::Unreadable { path: name, error }),
    }
}

fn parse(text: &str) -> Result<Settings, Fault> {
    let file: keys::File = toml::from_str(text)
        .map_err(|error| Fault { message: error.message().into(), span: error.span() })?;
    let mut settings = Settings::default();
    file.apply(&mut settings);
    check(&settings).map_err(|(message, keys)| Fault { message, span: place(text, &keys) })?;
    Ok(settings)
}

/// A key with its section.
type Key = (&'static str, &'static str);

/// Checks what the keys set together; an error comes with the keys that may be at fault, the likeliest first.
fn check(settings: &Settings) -> Result<(), (String, Vec<Key>)> {
    if settings.serve.listen.is_empty() {
        return Err(("`serve.listen` names no socket".into(), vec![("serve", "listen")]));
    }
    if let Err(error) = settings.websocket.load() {
        return Err((error.to_string(), vec![("websocket", "paths")]));
    }
    // The endpoint knows best what it can work with.
    match Endpoint::new(settings.endpoint.clone(), &Seed::from_u64(0), Instant::EPOCH) {
        Ok(_) => Ok(()),
        Err(error) => Err((error.to_string(), keys_of(&error))),
    }
}

fn keys_of(error: &ConfigError) -> Vec<Key> {
    match error {
        ConfigError::Host { name, .. } => vec![("endpoint", name)],
        ConfigError::User(_) => vec![("endpoint", "user")],
        ConfigError::Allow => vec![("endpoint", "allow")],
        ConfigError::Timing(TimingError::TooShort { name, .. } | TimingError::TooLong { name, .. }) => {
            vec![("timing", name)]
        }
        // Its bound follows from T1.
        ConfigError::Range { name: "limits.answer", .. } => vec![("limits", "answer"), ("timing", "t1")],
        ConfigError::Range { name, .. } => vec![name.split_once('.').unwrap_or(("endpoint", name))],
        _ => Vec::new(),
    }
}

/// Finds the first of the keys that is in the file.
fn place(text: &str, keys: &[Key]) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    keys.iter().find_map(|(section, key)| {
        let DeValue::Table(table) = document.get_ref().get(*section)?.get_ref() else { return None };
        table.keys().find(|name| name.get_ref() == key).map(|name| name.span())
    })
}

#[derive(Debug)]
struct Fault {
    message: String,
    span: Option<Range<usize>>,
}

impl Fault {
    fn in_file(self, path: String, text: &str) -> FileError {
        let start = self.span.map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
        FileError::Content { path, line, column, message: self.message }
    }
}

const PRODUCT: HeaderValue = HeaderValue::from_static(concat!("sansip/", env!("CARGO_PKG_VERSION")));

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let fault = parse(text).expect_err(text);
        fault.in_file("f.toml".into(), text).to_string()
    }

    #[test]
    fn files_set_what_they_name() {
        let text = "[serve]\nlisten = [\"sip:127.0.0.1:5070;transport=tcp\"]\ndriver = \"blocking\"\nlog = \"debug\"\n\
            ring = \"200ms\"\n[endpoint]\nhost = \"sip.example.com\"\nallow = [\"OPTIONS\", \"ACK\"]\n\
            [timing]\nt1 = \"400ms\"\n[limits]\ncalls = 7\nanswer = \"9s\"\n";
        let settings = parse(text).expect("all keys are known");
        assert_eq!(settings.serve.listen, ["sip:127.0.0.1:5070;transport=tcp".parse().expect("a socket")]);
        assert_eq!(settings.serve.driver, Driver::Blocking);
        assert_eq!(settings.serve.log.to_string(), "debug");
        assert_eq!(settings.serve.ring, Duration::from_millis(200));
        assert_eq!(settings.endpoint.host.as_ref().map(HeaderValue::as_str), Some("sip.example.com"));
        assert_eq!(settings.endpoint.allow.len(), 2);
        assert_eq!(settings.endpoint.timing.t1, Duration::from_millis(400));
        assert_eq!(settings.endpoint.limits.calls, 7);
        assert_eq!(settings.endpoint.limits.answer, Duration::from_secs(9));
        assert_eq!(parse("").expect("nothing is set"), Settings::default());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place_and_all_that_are_valid() {
        let message = error("[timing]\nt1 = \"400ms\"\n  tt = 3\n");
        assert_eq!(message, "f.toml:3:3: unknown field `tt`, expected one of `t1`, `t2`, `t4`, `d`");
        let message = error("[server]\n");
        assert_eq!(
            message,
            "f.toml:1:2: unknown field `server`, expected one of `serve`, `tls`, `websocket`, `endpoint`, \
             `leniency`, `timing`, `limits`"
        );
    }

    #[test]
    fn a_bad_value_is_shown_with_its_place() {
        for (text, start) in [
            ("[timing]\nt1 = 400\n", "f.toml:2:6: invalid type: integer `400`"),
            ("[timing]\nt1 = \"4 s\"\n", "f.toml:2:6: \"4 s\" is no duration"),
            ("[limits]\ncalls = -1\n", "f.toml:2:9: invalid value: integer `-1`"),
            (
                "[serve]\ndriver = \"smol\"\n",
                "f.toml:2:10: unknown variant `smol`, expected `tokio` or `blocking`",
            ),
            ("[serve]\nlog = \"loud\"\n", "f.toml:2:7: \"loud\" is no level"),
            (
                "[serve]\nlisten = [\"sip:127.0.0.1\", \"sip:127.0.0.1;transport=sctp\"]\n",
                "f.toml:2:10: transport sctp is not built into this version yet",
            ),
            ("[endpoint]\nfrom = \"alice\"\n", "f.toml:2:8: "),
            ("calls = \n", "f.toml:1:"),
        ] {
            let message = error(text);
            assert!(message.starts_with(start), "{message}");
        }
    }

    /// What the endpoint refuses is found in the file.
    #[test]
    fn a_value_out_of_range_is_shown_with_its_place() {
        for (text, expected) in [
            (
                "[limits]\ncalls = 1\nhead = 65_536\n",
                "f.toml:3:1: `limits.head` is out of range: 512 to 65535",
            ),
            ("[endpoint]\nringing = \"0s\"\n", "f.toml:2:1: `ringing` is out of range: from 1 s"),
            (
                "[endpoint]\nhost = \"a b\"\n",
                "f.toml:2:1: `host` is neither a domain name nor an address: \"a b\"",
            ),
            (
                "[endpoint]\nhost = \"a\"\nhost6 = \"a b\"\n",
                "f.toml:3:1: `host6` is neither a domain name nor an address: \"a b\"",
            ),
            (
                "\n[timing]\nt2 = \"4s\"\nt1 = \"1ms\"\n",
                "f.toml:4:1: `t1` of 1ms is too short: give at least 10ms",
            ),
            ("[timing]\nd = \"31s\"\n", "f.toml:2:1: `d` of 31s is too short: give at least 32s"),
            (
                "[endpoint]\nallow = [\"INVITE\"]\n",
                "f.toml:2:1: `allow` has INVITE, so it needs ACK, CANCEL and BYE too",
            ),
            ("[serve]\nlisten = []\n", "f.toml:2:1: `serve.listen` names no socket"),
            (
                "[websocket]\npaths = [\"chat\"]\n",
                "f.toml:2:1: \"chat\" is no path: write / and then letters, digits or others that may stand in a URI",
            ),
        ] {
            assert_eq!(error(text), expected);
        }
    }

    /// The limit has its default, which does not suit what the file has set: that is what the line shows.
    #[test]
    fn a_default_out_of_range_is_shown_where_its_bound_was_set() {
        let message = "`limits.answer` is out of range: below 64 times T1";
        let text = "[serve]\nlog = \"info\"\n\n[timing]\nt1 = \"100ms\"\n";
        assert_eq!(error(text), format!("f.toml:5:1: {message}"));
        assert_eq!(error(&format!("{text}[limits]\nanswer = \"9s\"\n")), format!("f.toml:7:1: {message}"));
    }
}
