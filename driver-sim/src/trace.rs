use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    hash::Hasher as _,
    net::{IpAddr, SocketAddr},
};

use bytes::Bytes;
use sansip::{CloseHow, DnsName, Instant, IoKind, Proto, RecordKind, SocketId, Unreachable};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::node::NodeId;

/// What happened, in order: the last rows, and a hash over all of them.
///
/// Two runs with the same seed have the same hash; the hash is the same on every platform.
pub struct Trace {
    hash: SipHasher13,
    rows: VecDeque<Row>,
    keep: usize,
    count: u64,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self { hash: SipHasher13::new(), rows: VecDeque::new(), keep: 4096, count: 0 }
    }

    pub(crate) fn push(&mut self, at: Instant, what: What) {
        let mut feed = Feed(&mut self.hash);
        feed.number(at.as_nanos());
        feed.what(&what);
        self.count += 1;
        if self.keep == 0 {
            return;
        }
        if self.rows.len() == self.keep {
            self.rows.pop_front();
        }
        self.rows.push_back(Row { at, what });
    }

    /// Keeps every row from now on.
    pub fn keep_all(&mut self) {
        self.keep = usize::MAX;
    }

    /// Keeps at most the last `rows` rows; 4096 unless told otherwise.
    pub fn keep_last(&mut self, rows: usize) {
        self.keep = rows;
        while self.rows.len() > rows {
            self.rows.pop_front();
        }
    }

    /// Returns the hash over all rows so far, kept or not.
    pub fn hash(&self) -> u128 {
        self.hash.finish128().as_u128()
    }

    /// Returns how many rows there were, kept or not.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Returns the rows that were kept, in order.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &Row> + ExactSizeIterator {
        self.rows.iter()
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("count", &self.count)
            .field("hash", &self.hash())
            .finish_non_exhaustive()
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// When, in the simulation's own time.
    pub at: Instant,
    /// What.
    pub what: What,
}

/// What may happen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A datagram on its way.
    Datagram {
        /// From where to where.
        hop: Hop,
        /// What became of it.
        passage: Passage,
    },
    /// A connection, or bytes on it.
    Stream {
        /// From where to where; the payload is empty unless bytes were written.
        hop: Hop,
        /// What happened to it.
        event: StreamEvent,
    },
    /// A node was told that a datagram did not arrive.
    Unreachable {
        /// The sender.
        node: NodeId,
        /// Where it was sent to.
        remote: SocketAddr,
        /// What the network said.
        why: Unreachable,
    },
    /// A node's deadline came.
    Woke {
        /// The node.
        node: NodeId,
    },
    /// A node asked for a socket.
    Bound {
        /// The node.
        node: NodeId,
        /// The socket's name.
        socket: SocketId,
        /// The address, or why not.
        result: Result<SocketAddr, IoKind>,
    },
    /// A node asked for a name.
    Resolving {
        /// The node.
        node: NodeId,
        /// The name.
        name: DnsName,
        /// The record type.
        kind: RecordKind,
    },
    /// A node got an answer to a name.
    Resolved {
        /// The node.
        node: NodeId,
        /// How many records, or why none.
        result: Result<usize, sansip::DnsError>,
    },
    /// A node did something that drivers ignore, such as writing to a connection that has ended.
    Ignored {
        /// The node.
        node: NodeId,
        /// What it was.
        what: &'static str,
    },
    /// A node started.
    Started {
        /// The node.
        node: NodeId,
    },
    /// The world changed: a node crashed, a fault came or went.
    Note {
        /// In words.
        text: String,
    },
}

/// One way of one datagram or connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The number of the datagram or of the connection; each counts for itself.
    pub number: u64,
    /// The transport; for what passes TLS or WebSocket that is done in earnest, the one above them or TCP below.
    pub proto: Proto,
    /// The node that sent.
    pub from: NodeId,
    /// The node that has the target's address, or the NAT on the way there, if any.
    pub to: Option<NodeId>,
    /// The address sent from.
    pub source: SocketAddr,
    /// The address sent to.
    pub target: SocketAddr,
    /// When it was sent.
    pub sent: Instant,
    /// The bytes.
    pub payload: Bytes,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It left its sender.
    Sent,
    /// A rule put other bytes in its place.
    Replaced,
    /// It arrived at a socket, or at a NAT.
    Delivered,
    /// Its second copy did.
    Copied,
    /// It did not arrive.
    Dropped(Why),
}

/// Why a datagram does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The link lost it.
    Lost,
    /// The link's queue was full.
    QueueFull,
    /// It was larger than the link takes.
    TooBig,
    /// A partition was in the way.
    Partition,
    /// A rule dropped it.
    Rule,
    /// No socket has the port.
    NoSocket,
    /// No node has the address.
    NoHost,
    /// The node is switched off.
    Off,
    /// The sender has no address or socket to send it from.
    NoRoute,
    /// A NAT has no mapping that lets it pass.
    Filtered,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "lost",
            Self::QueueFull => "queue full",
            Self::TooBig => "too big",
            Self::Partition => "partition",
            Self::Rule => "rule",
            Self::NoSocket => "no socket",
            Self::NoHost => "no host",
            Self::Off => "off",
            Self::NoRoute => "no route",
            Self::Filtered => "filtered",
        })
    }
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamEvent {
    /// A node asks for it.
    Connecting,
    /// It is open for the node that asked.
    Connected,
    /// It is open for the node that listens.
    Accepted,
    /// Its node wrote the payload.
    Wrote,
    /// So many bytes reached the other node; they are part of what was written.
    Read(usize),
    /// So many bytes went out that only TLS or WebSocket can read. They are random, so they are not kept.
    WroteSealed(usize),
    /// So many of such bytes reached the other node.
    ReadSealed(usize),
    /// The handshakes of TLS and WebSocket are over for its node.
    Secured,
    /// Its node ends it.
    Closing(CloseHow),
    /// Its node was told of its end.
    Ended(Option<IoKind>),
}

/// Puts values into a hash in one way, whatever the platform.
struct Feed<'a>(&'a mut SipHasher13);

impl Feed<'_> {
    fn what(&mut self, what: &What) {
        match what {
            What::Datagram { hop, passage } => {
                self.byte(1);
                self.passage(*passage);
                self.hop(hop, matches!(passage, Passage::Sent | Passage::Replaced));
            }
            What::Stream { hop, event } => {
                self.byte(2);
                self.debug(event);
                self.hop(hop, true);
            }
            What::Unreachable { node, remote, why } => {
                self.byte(3);
                self.node(*node);
                self.address(*remote);
                self.debug(why);
            }
            What::Woke { node } => {
                self.byte(4);
                self.node(*node);
            }
            What::Bound { node, socket, result } => {
                self.byte(5);
                self.node(*node);
                self.number(socket.0.into());
                self.debug(result);
            }
            What::Resolving { node, name, kind } => {
                self.byte(6);
                self.node(*node);
                self.bytes(name.as_str().as_bytes());
                self.debug(kind);
            }
            What::Resolved { node, result } => {
                self.byte(7);
                self.node(*node);
                self.debug(result);
            }
            What::Ignored { node, what } => {
                self.byte(8);
                self.node(*node);
                self.bytes(what.as_bytes());
            }
            What::Note { text } => {
                self.byte(9);
                self.bytes(text.as_bytes());
            }
            What::Started { node } => {
                self.byte(10);
                self.node(*node);
            }
        }
    }

    fn passage(&mut self, passage: Passage) {
        match passage {
            Passage::Sent => self.byte(1),
            Passage::Replaced => self.byte(2),
            Passage::Delivered => self.byte(3),
            Passage::Copied => self.byte(4),
            Passage::Dropped(why) => {
                self.byte(5);
                self.debug(&why);
            }
        }
    }

    /// Feeds a hop; bytes that an earlier row fed under the same number are left out.
    fn hop(&mut self, hop: &Hop, with_payload: bool) {
        self.number(hop.number);
        self.node(hop.from);
        self.number(hop.to.map_or(u64::MAX, |node| node.0.into()));
        self.address(hop.source);
        self.address(hop.target);
        self.number(hop.sent.as_nanos());
        if with_payload {
            self.bytes(&hop.payload);
        }
    }

    fn address(&mut self, address: SocketAddr) {
        match address.ip() {
            IpAddr::V4(ip) => self.0.write(&ip.octets()),
            IpAddr::V6(ip) => self.0.write(&ip.octets()),
        }
        self.0.write(&address.port().to_be_bytes());
    }

    fn node(&mut self, node: NodeId) {
        self.0.write(&node.0.to_be_bytes());
    }

    fn debug(&mut self, value: &dyn fmt::Debug) {
        writeln!(self, "{value:?}").expect("a hash takes any text");
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.write(bytes);
    }

    fn number(&mut self, number: u64) {
        self.0.write(&number.to_be_bytes());
    }

    fn byte(&mut self, byte: u8) {
        self.0.write(&[byte]);
    }
}

impl fmt::Write for Feed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(text: &str) -> What {
        What::Note { text: text.into() }
    }

    #[test]
    fn the_hash_covers_rows_that_are_not_kept() {
        let (mut a, mut b, mut c) = (Trace::new(), Trace::new(), Trace::new());
        a.keep_last(0);
        b.keep_all();
        c.keep_last(2);
        for trace in [&mut a, &mut b, &mut c] {
            for i in 0..10 {
                trace.push(Instant::from_millis(i), note("x"));
            }
        }
        assert_eq!(a.hash(), b.hash());
        assert_eq!(a.hash(), c.hash());
        assert_eq!([a.rows().len(), b.rows().len(), c.rows().len()], [0, 10, 2]);
        assert_eq!(a.count(), 10);
        c.push(Instant::EPOCH, note("y"));
        assert_ne!(a.hash(), c.hash());
    }

    /// Pins the form of the hash: a change of it makes recorded hashes worthless and must be meant.
    #[test]
    fn the_hash_is_the_same_everywhere() {
        let mut trace = Trace::new();
        trace.push(Instant::from_millis(1), note("hello"));
        trace.push(Instant::from_millis(2), What::Woke { node: NodeId(3) });
        assert_eq!(trace.hash(), PINNED);
    }

    const PINNED: u128 = 126039102651878632715506840957456689857;
}
