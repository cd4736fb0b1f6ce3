/// What an endpoint has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Messages that could be read.
    pub messages: u64,
    /// Datagrams and stream messages that could not be read.
    pub unreadable: u64,
    /// Requests that are copies of ones known already.
    pub retransmissions: u64,
    /// ACKs that belong to nothing.
    pub stray_acks: u64,
    /// Responses that belong to no request of ours.
    pub stray_responses: u64,
    /// Requests answered with 503 because a limit was reached.
    pub shed: u64,
    /// Connections refused because a limit was reached.
    pub refused_connections: u64,
    /// Datagrams that the network reported as not delivered.
    pub undelivered: u64,
    /// STUN requests answered.
    pub stun: u64,
    /// Callbacks of the service that panicked.
    pub panics: u64,
}
