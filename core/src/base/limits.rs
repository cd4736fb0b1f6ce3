use std::time::Duration;

/// Every bound on what peers and applications can make an endpoint do.
///
/// Counts are inclusive: the value itself is still allowed, one more is not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a start line and header fields together, at most 65,535. More is refused with 513.
    pub head: usize,
    /// Header fields of a message. More is refused with 400.
    pub headers: usize,
    /// Bytes of one header field's value. More is refused with 400.
    pub header_value: usize,
    /// Values between the commas of one header field's row. More is refused with 400.
    pub list: usize,
    /// Parameters of one value, those of its URI among them, and of the Request-URI. More is refused with 400.
    pub params: usize,
    /// Bytes of a body. More is refused with 413.
    pub body: usize,
    /// Media streams of a session description that is to be answered or changed. More is refused.
    pub streams: usize,
    /// Lines of such a session description, blank ones included. More is refused, also when one is to be added.
    pub sdp_lines: usize,
    /// Formats of one stream of such a session description. More is refused, also when one is to be added.
    pub formats: usize,
    /// Multipart bodies within one another, the outermost counted. A deeper one is not looked into.
    pub body_depth: usize,
    /// Parts of a multipart body. More is an error.
    pub body_parts: usize,
    /// Calls (Call-IDs with live state) at once. A request that needs one more gets 503 with Retry-After.
    pub calls: usize,
    /// Transactions of one Call-ID at once. A request that needs one more gets 503 with Retry-After.
    pub transactions_per_call: usize,
    /// Dialogs of one Call-ID at once. A response that would make one more is not turned into a dialog.
    pub dialogs_per_call: usize,
    /// Reliable provisional responses of one INVITE that wait for the PRACK of the one before.
    pub reliable_queue: usize,
    /// Questions waiting for the application at once. A request that would ask one more gets 503 with Retry-After.
    pub questions: usize,
    /// Stream connections at once over all listeners, closing ones included. One more is reset at once.
    pub connections: usize,
    /// Stream connections that one listener has accepted, closing ones included. One more is reset at once.
    pub connections_per_listener: usize,
    /// Stream connections accepted from one peer address, closing ones included. One more is reset at once.
    pub connections_per_peer: usize,
    /// Connections at once that TLS or WebSocket is only beginning or still ending, beside those that count as
    /// [`connections`](Self::connections). One more is reset at once.
    pub handshakes: usize,
    /// Those of them that are connections with one peer address. One more is reset at once.
    pub handshakes_per_peer: usize,
    /// Bytes that a peer may need for each of the handshakes of TLS and WebSocket. More ends the connection.
    pub handshake_bytes: usize,
    /// Bytes of one WebSocket message. More ends the connection.
    pub ws_message: usize,
    /// Bytes on their way out of one connection. More closes the connection; one message that is larger is refused.
    pub unsent: usize,
    /// How long a message may stay unfinished on a stream before the connection is closed.
    pub half_message: Duration,
    /// How long a connection over TCP may lie idle before it is closed.
    pub idle: Duration,
    /// How long one over TLS may.
    pub idle_tls: Duration,
    /// How long one of WebSocket may, secure or not.
    pub idle_ws: Duration,
    /// How long one of SCTP may.
    pub idle_sctp: Duration,
    /// How long a connection may take to open.
    pub connect: Duration,
    /// How long the handshakes of TLS and WebSocket may take, together.
    pub handshake: Duration,
    /// How long a connection that was closed here waits for its bytes to leave and for the peer's end.
    pub linger: Duration,
    /// How long finding the servers of a request may take, all name look-ups together.
    pub resolve: Duration,
    /// Requests at once whose servers are being found. One more is refused.
    pub resolutions: usize,
    /// Name look-ups for one request. What would need more is left out.
    pub dns_questions: usize,
    /// Records of one DNS answer that are looked at.
    pub dns_records: usize,
    /// DNS answers that are kept. One more takes the place of the one that ends first.
    pub dns_entries: usize,
    /// The shortest time for which a DNS answer is kept, whatever its time to live.
    pub dns_ttl_least: Duration,
    /// The longest time for which a DNS answer is kept, whatever its time to live.
    pub dns_ttl: Duration,
    /// The longest time for which it is remembered that a name has no records.
    pub dns_negative_ttl: Duration,
    /// Servers that one request is tried at.
    pub attempts: usize,
    /// The longest time for which a server that failed is left alone, whatever its Retry-After.
    pub back_off: Duration,
    /// Servers that are left alone at once. One more takes the place of the one that ends first.
    pub back_offs: usize,
    /// Timers fired by one input; the rest is due at once afterwards.
    pub expiries_per_input: usize,
    /// Events given to the service by one input; the rest is due at once afterwards.
    pub events_per_input: usize,
    /// How long the application may take to answer a question about an INVITE.
    pub invite_answer: Duration,
    /// How long the application may take to answer a question about any other request, below 64·T1.
    pub answer: Duration,
    /// Alarms set by the application at once.
    pub alarms: usize,
    /// STUN servers that are asked at once.
    pub probes: usize,
}

impl Limits {
    /// Returns limits that nothing of ours meets, to read again what was written or read before.
    pub(crate) fn unbounded() -> Self {
        let most = usize::MAX;
        Self { headers: most, header_value: most, list: most, params: most, body: most, ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 65_535,
            headers: 256,
            header_value: 16_384,
            list: 256,
            params: 128,
            body: 1 << 20,
            streams: 64,
            sdp_lines: 4096,
            formats: 256,
            body_depth: 4,
            body_parts: 64,
            calls: 1_000_000,
            transactions_per_call: 1024,
            dialogs_per_call: 64,
            reliable_queue: 16,
            questions: 100_000,
            connections: 16_384,
            connections_per_listener: 16_384,
            connections_per_peer: 12_288,
            handshakes: 2048,
            handshakes_per_peer: 1536,
            handshake_bytes: 32_768,
            // What head and body may have, so that a message over one of them still gets its answer.
            ws_message: 65_535 + (1 << 20),
            // One message as large as may be.
            unsent: 65_535 + (1 << 20),
            half_message: Duration::from_secs(32),
            idle: Duration::from_secs(180),
            idle_tls: Duration::from_secs(180),
            idle_ws: Duration::from_secs(180),
            idle_sctp: Duration::from_secs(180),
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            linger: Duration::from_secs(5),
            resolve: Duration::from_secs(10),
            resolutions: 10_000,
            dns_questions: 32,
            dns_records: 64,
            dns_entries: 16_384,
            dns_ttl_least: Duration::ZERO,
            dns_ttl: Duration::from_secs(24 * 3600),
            dns_negative_ttl: Duration::from_secs(300),
            attempts: 8,
            back_off: Duration::from_secs(300),
            back_offs: 4096,
            expiries_per_input: 1024,
            events_per_input: 65_536,
            invite_answer: Duration::from_secs(180),
            answer: Duration::from_secs(30),
            alarms: 1_000_000,
            probes: 256,
        }
    }
}
