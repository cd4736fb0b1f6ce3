use std::path::PathBuf;

use sansip::{
    Config, HeaderValue, Limits, Method, NatPolicy, Preference, Timing, UdpSize, UriBuf, syntax::Leniency,
};

use super::{Level, Serve, Settings, section::section};
use crate::{
    listen::Listen,
    node::Driver,
    secure::{Clients, Served, TlsFiles},
    span::Span,
};

/// What a file may hold.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    serve: ServeSection,
    tls: TlsSection,
    websocket: WebSocketSection,
    endpoint: EndpointSection,
    leniency: LeniencySection,
    timing: TimingSection,
    limits: LimitsSection,
}

impl File {
    /// Sets what the file sets.
    pub(super) fn apply(self, settings: &mut Settings) {
        self.serve.apply(&mut settings.serve);
        self.tls.apply(&mut settings.tls);
        self.websocket.apply(&mut settings.websocket);
        self.endpoint.apply(&mut settings.endpoint);
        self.leniency.apply(&mut settings.endpoint.leniency);
        self.timing.apply(&mut settings.endpoint.timing);
        self.limits.apply(&mut settings.endpoint.limits);
    }
}

/// Returns a file with all keys, each with what it is and its default.
pub(crate) fn defaults() -> String {
    let settings = Settings::default();
    let mut text = String::from("# All keys of the configuration file, with their defaults.\n\n[serve]\n");
    ServeSection::write(&settings.serve, &mut text);
    text.push_str("\n[tls]\n");
    TlsSection::write(&settings.tls, &mut text);
    text.push_str("\n[websocket]\n");
    WebSocketSection::write(&settings.websocket, &mut text);
    text.push_str("\n[endpoint]\n");
    EndpointSection::write(&settings.endpoint, &mut text);
    text.push_str("\n[leniency]\n");
    LeniencySection::write(&settings.endpoint.leniency, &mut text);
    text.push_str("\n[timing]\n");
    TimingSection::write(&settings.endpoint.timing, &mut text);
    text.push_str("\n[limits]\n");
    LimitsSection::write(&settings.endpoint.limits, &mut text);
    text
}

section! {
    /// What concerns the program.
    ServeSection of Serve {
        /// The sockets to open: sip:HOST:PORT, with ;transport=tcp for TCP alone, or tls, ws or wss; with ;leniency=all or ;leniency=none for a rule of its own.
        listen: Vec<Listen>,
        /// What runs the endpoint: tokio or blocking.
        driver: Driver,
        /// What is logged: off, error, warn, info, debug or trace.
        log: Level,
        /// How long a call rings before it is answered.
        ring: Span,
        /// How long calls may take to end when the program is asked to end.
        grace: Span,
    }
}

section! {
    /// The files of TLS.
    TlsSection of TlsFiles {
        /// The file with the certificate and those that vouch for it, in PEM. It is read again on SIGHUP, as are the other two.
        certificate: PathBuf,
        /// The file with its private key, in PEM.
        key: PathBuf,
        /// The file with the certificates that are trusted to vouch for others; without it, those that the system trusts.
        ca: PathBuf,
        /// Whether clients show certificates: ignored, optional or required.
        clients: Clients,
        /// Whether any certificate of any server is accepted: whoever is in between can read and change all.
        insecure: bool,
    }
}

section! {
    /// What is served over WebSocket.
    WebSocketSection of Served {
        /// The paths that are served, with what lies below them; none for all.
        paths: Vec<String>,
        /// The origins of the pages whose browsers are served, such as https://example.com; none for all.
        origins: Vec<String>,
    }
}

section! {
    /// How the endpoint behaves.
    EndpointSection of Config {
        /// The name or address that Via and Contact show; without it, that of the socket used.
        host: HeaderValue,
        /// The same over IPv6, where it differs.
        host6: HeaderValue,
        /// The user part of Contact.
        user: HeaderValue,
        /// The URI of From where a request names none.
        from: UriBuf,
        /// The methods that are served.
        allow: Vec<Method>,
        /// The extensions that are understood.
        supported: Vec<HeaderValue>,
        /// The bodies that are understood.
        accept: HeaderValue,
        /// What Server and User-Agent show.
        product: HeaderValue,
        /// Whether each UDP socket gets a TCP listener on the same port.
        tcp_beside_udp: bool,
        /// How large a request may be to go over UDP: "rfc" for 1300 bytes, "any", or a table with up_to.
        udp_size: UdpSize,
        /// Whether requests over TLS offer their connection for requests of the peer's.
        alias: bool,
        /// Where requests in a dialog go: "off" for the peer's Contact, "symmetric_source" for where it sent from.
        nat: NatPolicy,
        /// How often connections opened from here are kept alive; without it, they are not.
        keep_alive: Span,
        /// The family of addresses that is tried first where a host has both: ipv4 or ipv6.
        prefer: Preference,
        /// How long an INVITE of this side may ring before it is cancelled.
        ringing: Span,
        /// How long a dialog may live.
        dialog: Span,
    }
}

section! {
    /// What is wrong with a message and yet forgiven.
    LeniencySection of Leniency {
        /// Several spaces within a start line.
        spaces: bool,
        /// A status line without the space behind the code.
        bare_status: bool,
        /// White space between angle brackets and their URI.
        padded_uris: bool,
        /// Tags and branches with characters that no token has.
        wide_tokens: bool,
        /// An ACK with the method of its INVITE in the CSeq.
        ack_as_invite: bool,
        /// Several rows of a header field that is no list.
        repeated_rows: bool,
        /// Malformed values of header fields that not every element reads.
        malformed_values: bool,
    }
}

section! {
    /// The base values of the transactions' timers.
    TimingSection of Timing {
        /// The round-trip time estimate.
        t1: Span,
        /// The longest interval between retransmissions.
        t2: Span,
        /// How long a message stays in the network.
        t4: Span,
        /// How long a refused INVITE lingers over UDP.
        d: Span,
    }
}

section! {
    /// The bounds on what peers can cause.
    LimitsSection of Limits {
        /// Bytes of a start line and header fields together.
        head: usize,
        /// Header fields of a message.
        headers: usize,
        /// Bytes of one header field's value.
        header_value: usize,
        /// Items of one header field's list.
        list: usize,
        /// Parameters of one header field's item or of a URI.
        params: usize,
        /// Bytes of a body.
        body: usize,
        /// Multipart bodies within one another.
        body_depth: usize,
        /// Parts of a multipart body.
        body_parts: usize,
        /// Media streams of a session description.
        streams: usize,
        /// Lines of a session description.
        sdp_lines: usize,
        /// Formats of one media stream.
        formats: usize,
        /// Calls at once.
        calls: usize,
        /// Transactions of one call at once.
        transactions_per_call: usize,
        /// Dialogs of one call at once.
        dialogs_per_call: usize,
        /// Reliable provisional responses of one INVITE that wait for their turn.
        reliable_queue: usize,
        /// Requests that wait for a decision at once.
        questions: usize,
        /// Stream connections at once; lowered to what the system allows.
        connections: usize,
        /// Stream connections that one listener has accepted.
        connections_per_listener: usize,
        /// Stream connections accepted from one address.
        connections_per_peer: usize,
        /// Connections at once in the handshakes of TLS and WebSocket, beside those.
        handshakes: usize,
        /// Those of them with one address.
        handshakes_per_peer: usize,
        /// Bytes that a peer may need for each of these handshakes.
        handshake_bytes: usize,
        /// Bytes of one WebSocket message.
        ws_message: usize,
        /// Bytes on their way out of one connection.
        unsent: usize,
        /// How long a message may stay unfinished on a stream.
        half_message: Span,
        /// How long a connection over TCP may lie idle.
        idle: Span,
        /// How long one over TLS may.
        idle_tls: Span,
        /// How long one of WebSocket may, secure or not.
        idle_ws: Span,
        /// How long one of SCTP may.
        idle_sctp: Span,
        /// How long a connection that was closed here waits for the peer's end.
        linger: Span,
        /// How long a connection may take to open.
        connect: Span,
        /// How long the handshakes of TLS and WebSocket may take.
        handshake: Span,
        /// How long finding the servers of a request may take.
        resolve: Span,
        /// Requests at once whose servers are being found.
        resolutions: usize,
        /// Name look-ups for one request.
        dns_questions: usize,
        /// Records of one DNS answer that are looked at.
        dns_records: usize,
        /// DNS answers that are kept.
        dns_entries: usize,
        /// The shortest time for which a DNS answer is kept.
        dns_ttl_least: Span,
        /// The longest time for which a DNS answer is kept.
        dns_ttl: Span,
        /// The longest time for which it is remembered that a name has no records.
        dns_negative_ttl: Span,
        /// Servers that one request is tried at.
        attempts: usize,
        /// The longest time for which a server that failed is left alone.
        back_off: Span,
        /// Servers that are left alone at once.
        back_offs: usize,
        /// Timers fired by one input.
        expiries_per_input: usize,
        /// Events given to the service by one input.
        events_per_input: usize,
        /// How long the answer to an INVITE may take.
        invite_answer: Span,
        /// How long the answer to any other request may take.
        answer: Span,
        /// Alarms at once.
        alarms: usize,
        /// STUN servers asked at once.
        probes: usize,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::Serialize;

    use super::*;

    /// The defaults as they are printed set what is set already.
    #[test]
    fn the_defaults_can_be_loaded() {
        assert_eq!(super::super::parse(&defaults()).expect("they are valid"), Settings::default());
    }

    /// P23: every field of the endpoint's configuration is a key of the file, and every key has a line in the defaults.
    #[test]
    fn every_field_has_a_key() {
        let config = Config::default();
        for (section, fields) in [
            ("endpoint", fields(&config)),
            ("leniency", fields(&config.leniency)),
            ("timing", fields(&config.timing)),
            ("limits", fields(&config.limits)),
        ] {
            let nested: BTreeSet<_> = ["leniency", "timing", "limits"].map(String::from).into();
            assert_eq!(keys(section), &fields - &nested, "{section}");
        }
    }

    fn fields(value: &impl Serialize) -> BTreeSet<String> {
        let value = serde_json::to_value(value).expect("plain data");
        value.as_object().expect("a struct").keys().cloned().collect()
    }

    /// Returns the keys of a section, those that are commented out as well.
    fn keys(section: &str) -> BTreeSet<String> {
        let text = defaults();
        let lines = text.lines().skip_while(|line| *line != format!("[{section}]")).skip(1);
        let lines = lines.take_while(|line| !line.starts_with('['));
        let keys = lines.filter_map(|line| Some(line.split_once(" = ")?.0.trim_start_matches('#').into()));
        keys.collect()
    }
}
