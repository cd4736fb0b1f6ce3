use std::{fmt::Write as _, time::Duration};

use thiserror::Error;

use crate::{
    base::Limits,
    syntax::{HeaderValue, Host, Leniency, Method, StatusCode, Uri, UriBuf},
    transaction::{Timing, TimingError},
    transport::{Preference, UdpSize},
};

/// How an endpoint behaves. What has begun keeps the configuration it began with.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Config {
    /// The name or address that Via and Contact show; else it is the address of the socket used, or where that is bound
    /// to all addresses, the one that leads to the peer.
    pub host: Option<HeaderValue>,
    /// What they show instead where the socket used is an IPv6 one. An IPv4 address as `host` is not shown there.
    pub host6: Option<HeaderValue>,
    /// The user part of Contact.
    pub user: Option<HeaderValue>,
    /// The URI of From where a request names none.
    pub from: UriBuf,
    /// The methods that are served; others get 405, or 501 if unknown (RFC 3261 §8.2.1).
    pub allow: Vec<Method>,
    /// The extensions that are understood; a request that requires another gets 420 (RFC 3261 §8.2.2.3).
    pub supported: Vec<HeaderValue>,
    /// The bodies that are understood, as Accept shows them.
    pub accept: HeaderValue,
    /// The product, shown as Server in responses and as User-Agent in requests.
    pub product: Option<HeaderValue>,
    /// Whether each UDP socket gets a TCP listener on the same port (RFC 3261 §18.2.1).
    pub tcp_beside_udp: bool,
    /// How large a request may be to go over UDP where its URI names no transport.
    pub udp_size: UdpSize,
    /// Whether requests over TLS offer their connection for requests of the peer's (RFC 5923). This side needs a client
    /// certificate for it.
    pub alias: bool,
    /// Where requests in a dialog go if the peer is behind NAT.
    pub nat: NatPolicy,
    /// How often connections opened here are kept alive with a double CRLF (RFC 5626 §4.4.1); never if not said.
    pub keep_alive: Option<Duration>,
    /// What is forgiven in the messages of peers, except where a listener has a rule of its own.
    pub leniency: Leniency,
    /// The family of addresses that is tried first where a host has both.
    pub prefer: Preference,
    /// The transactions' timers (RFC 3261 §17).
    pub timing: Timing,
    /// How long an INVITE that was sent may ring before it is cancelled.
    pub ringing: Duration,
    /// How long a dialog may live.
    pub dialog: Duration,
    /// The bounds.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        use Method as M;
        Self {
            host: None,
            host6: None,
            user: None,
            from: UriBuf::from(
                Uri::parse("sip:anonymous@anonymous.invalid").expect("a constant that the tests parse"),
            ),
            allow: vec![M::Invite, M::Ack, M::Cancel, M::Bye, M::Options, M::Info, M::Message, M::Prack],
            supported: vec![HeaderValue::from_static("100rel")],
            accept: HeaderValue::from_static("application/sdp"),
            product: None,
            tcp_beside_udp: true,
            udp_size: UdpSize::Rfc,
            alias: false,
            nat: NatPolicy::Off,
            keep_alive: None,
            leniency: Leniency::default(),
            prefer: Preference::default(),
            timing: Timing::default(),
            ringing: Duration::from_secs(180),
            dialog: Duration::from_secs(12 * 3600),
            limits: Limits::default(),
        }
    }
}

/// Where requests in a dialog go that no proxy is on the way of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum NatPolicy {
    /// Where the peer's Contact says (RFC 3261 §12.2.1.1).
    #[default]
    Off,
    /// Where the peer's last request came from, or the response that made the dialog: behind NAT, Contact is an address
    /// that leads nowhere.
    SymmetricSource,
}

/// A configuration that an endpoint cannot work with.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A host is neither a name nor an address.
    #[error("`{name}` is neither a domain name nor an address: {host:?}")]
    Host {
        /// The field.
        name: &'static str,
        /// What it holds.
        host: String,
    },
    /// The user cannot stand in a URI.
    #[error("`user` cannot stand in a URI: {0:?}")]
    User(String),
    /// A base value of the timers lies outside of its bounds.
    #[error(transparent)]
    Timing(#[from] TimingError),
    /// A limit or lifetime lies outside of its bounds.
    #[error("`{name}` is out of range: {range}")]
    Range {
        /// The field.
        name: &'static str,
        /// What is allowed.
        range: &'static str,
    },
    /// INVITE is allowed without ACK, CANCEL or BYE, or ACK is missing.
    #[error("`allow` has INVITE, so it needs ACK, CANCEL and BYE too")]
    Allow,
}

/// A validated configuration with the texts that many messages repeat.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) allow: HeaderValue,
    pub(crate) supported: HeaderValue,
}

impl Settings {
    pub(crate) fn new(config: Config) -> Result<Self, ConfigError> {
        for (name, host) in [("host", &config.host), ("host6", &config.host6)] {
            if let Some(host) = host.as_ref().filter(|host| Host::parse(host.as_str()).is_err()) {
                return Err(ConfigError::Host { name, host: host.as_str().into() });
            }
        }
        if let Some(user) = &config.user {
            let uri = format!("sip:{user}@localhost");
            let same = Uri::parse(&uri).is_ok_and(|uri| uri.user() == Some(user.as_str()));
            if !same {
                return Err(ConfigError::User(user.as_str().into()));
            }
        }
        config.timing.clone().validated()?;
        check_ranges(&config)?;
        let has = |method| config.allow.contains(&method);
        if has(Method::Invite) && !(has(Method::Ack) && has(Method::Cancel) && has(Method::Bye)) {
            return Err(ConfigError::Allow);
        }
        let allow = join(&config.allow);
        let supported = join(&config.supported);
        Ok(Self { allow, supported, config })
    }

    pub(crate) fn supports(&self, tag: &str) -> bool {
        self.config.supported.iter().any(|own| own.as_str().eq_ignore_ascii_case(tag))
    }

    /// Returns what Via and Contact show instead of the address of a socket.
    pub(crate) fn host(&self, v4: bool) -> Option<&HeaderValue> {
        let host = || {
            self.config
                .host
                .as_ref()
                .filter(|host| v4 || !matches!(Host::parse(host.as_str()), Ok(Host::V4(_))))
        };
        self.config.host6.as_ref().filter(|_| !v4).or_else(host)
    }

    pub(crate) const fn timing(&self) -> &Timing {
        &self.config.timing
    }

    pub(crate) const fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// Returns how long the application may take to answer a request, and what happens then.
    pub(crate) fn answer_within(&self, invite: bool) -> (Duration, StatusCode) {
        if invite {
            (self.config.limits.invite_answer, StatusCode::REQUEST_TIMEOUT)
        } else {
            // RFC 4320 §4.2: never 408, and before the client's Timer F.
            (self.config.limits.answer, StatusCode::SERVER_INTERNAL_ERROR)
        }
    }
}

fn check_ranges(config: &Config) -> Result<(), ConfigError> {
    let limits = &config.limits;
    let timer_f = config.timing.t1 * 64;
    let checks = [
        ((512..=65_535).contains(&limits.head), "limits.head", "512 to 65535"),
        (limits.headers >= 8, "limits.headers", "from 8"),
        (limits.header_value >= 64, "limits.header_value", "from 64"),
        (limits.expiries_per_input > 0, "limits.expiries_per_input", "from 1"),
        (limits.events_per_input > 0, "limits.events_per_input", "from 1"),
        (limits.answer < timer_f, "limits.answer", "below 64 times T1"),
        (!limits.answer.is_zero(), "limits.answer", "above zero"),
        (!limits.invite_answer.is_zero(), "limits.invite_answer", "above zero"),
        (config.ringing >= Duration::from_secs(1), "ringing", "from 1 s"),
        (config.dialog >= Duration::from_secs(5), "dialog", "from 5 s"),
        (config.keep_alive.is_none_or(|every| every >= Duration::from_secs(1)), "keep_alive", "from 1 s"),
    ];
    match checks.into_iter().find(|(ok, ..)| !ok) {
        Some((_, name, range)) => Err(ConfigError::Range { name, range }),
        None => Ok(()),
    }
}

fn join(items: &[impl std::fmt::Display]) -> HeaderValue {
    let mut text = String::new();
    for item in items {
        let comma = if text.is_empty() { "" } else { ", " };
        write!(text, "{comma}{item}").expect("a String takes everything");
    }
    HeaderValue::try_from(text).expect("tokens, and commas between them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_is_valid() {
        let settings = Settings::new(Config::default()).expect("the defaults");
        assert_eq!(settings.allow.as_str(), "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, MESSAGE, PRACK");
        assert_eq!(settings.supported.as_str(), "100rel");
    }

    #[test]
    fn bad_values_are_named() {
        let with = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            Settings::new(config).err().map(|error| error.to_string())
        };
        let message = with(|c| c.limits.head = 65_536).expect("one over");
        assert_eq!(message, "`limits.head` is out of range: 512 to 65535");
        assert!(with(|c| c.limits.head = 65_535).is_none());
        assert!(with(|c| c.limits.answer = Duration::from_secs(32)).is_some());
        assert!(with(|c| c.allow = vec![Method::Invite]).is_some());
        assert!(with(|c| c.user = HeaderValue::try_from("a@b").ok()).is_some());
        assert!(with(|c| c.host = HeaderValue::try_from("no host").ok()).is_some());
        let message = with(|c| c.host6 = HeaderValue::try_from("no host").ok()).expect("a space");
        assert_eq!(message, "`host6` is neither a domain name nor an address: \"no host\"");
        let message = with(|c| c.timing.t1 = Duration::from_millis(9)).expect("one below");
        assert_eq!(message, "`t1` of 9ms is too short: give at least 10ms");
        assert!(with(|c| c.host = HeaderValue::try_from("2001:db8::1").ok()).is_some(), "needs brackets");
    }
}
