use std::{collections::BTreeSet, fmt, net::SocketAddr, time::Duration};

use bytes::Bytes;
use sansip::{Instant, Proto};

use crate::{node::NodeId, text};

/// What a rule looks at: a datagram, or a piece of a stream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Packet {
    /// When it was sent, in the simulation's own time.
    pub at: Instant,
    /// The node that sent it.
    pub from: NodeId,
    /// The node that it is sent to.
    pub to: NodeId,
    /// [`Proto::Udp`] for a datagram, the connection's transport for a piece of a stream.
    pub proto: Proto,
    /// The address sent from.
    pub source: SocketAddr,
    /// The address sent to.
    pub target: SocketAddr,
    /// The bytes.
    pub payload: Bytes,
}

impl Packet {
    /// Tells whether it is a message such as `INVITE`, `180`, `2xx` or `200 INVITE`.
    pub fn is(&self, pattern: &str) -> bool {
        text::matches(&self.payload, pattern)
    }

    /// Returns the first line, `None` if that is empty or not text.
    pub fn first_line(&self) -> Option<&str> {
        text::first_line(&self.payload)
    }
}

/// What a rule decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: the next rule, or the link, decides.
    Pass,
    /// It arrives after this time, whatever the link would do.
    Deliver(Duration),
    /// It does not arrive. A piece of a stream is sent again later.
    Drop,
    /// These bytes go on instead; the link decides about them.
    Replace(Bytes),
}

/// Names a fault that can be taken back: a rule, a partition or a clog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(pub(crate) u64);

pub(crate) type Rule = Box<dyn FnMut(&Packet) -> Verdict>;

/// One fault of the network.
pub(crate) enum Fault {
    Rule(Rule),
    Cut { from: Group, to: Group },
    Clog { from: Group, to: Group, extra: Duration },
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rule(_) => "rule",
            Self::Cut { .. } => "partition",
            Self::Clog { .. } => "clog",
        })
    }
}

/// Some nodes, or all but some.
#[derive(Clone, Debug)]
pub(crate) enum Group {
    These(BTreeSet<NodeId>),
    AllBut(NodeId),
}

impl Group {
    pub(crate) fn has(&self, node: NodeId) -> bool {
        match self {
            Self::These(nodes) => nodes.contains(&node),
            Self::AllBut(one) => *one != node,
        }
    }
}

/// All faults in force, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    next: u64,
    list: Vec<(FaultId, String, Vec<Fault>)>,
}

impl Faults {
    /// Adds what belongs together, with words for it.
    pub(crate) fn add(&mut self, words: String, faults: Vec<Fault>) -> FaultId {
        let id = FaultId(self.next);
        self.next += 1;
        self.list.push((id, words, faults));
        id
    }

    /// Takes a fault away and returns its words, `None` if it was not there.
    pub(crate) fn remove(&mut self, id: FaultId) -> Option<String> {
        let index = self.list.iter().position(|(other, ..)| *other == id)?;
        Some(self.list.remove(index).1)
    }

    pub(crate) fn clear(&mut self) {
        self.list.clear();
    }

    /// Tells whether a partition separates two nodes. No node is separated from itself.
    pub(crate) fn cuts(&self, a: NodeId, b: NodeId) -> bool {
        let cuts = |fault: &Fault| matches!(fault, Fault::Cut { from, to } if from.has(a) && to.has(b));
        a != b && self.all().any(cuts)
    }

    /// Returns how much longer clogs make the way.
    pub(crate) fn extra(&self, a: NodeId, b: NodeId) -> Duration {
        self.all()
            .filter_map(|fault| match fault {
                Fault::Clog { from, to, extra } if from.has(a) && to.has(b) => Some(*extra),
                _ => None,
            })
            .sum()
    }

    pub(crate) fn has_rules(&self) -> bool {
        self.all().any(|fault| matches!(fault, Fault::Rule(_)))
    }

    /// Returns the first verdict that is not to pass.
    pub(crate) fn judge(&mut self, packet: &Packet) -> Verdict {
        for fault in self.list.iter_mut().flat_map(|(_, _, faults)| faults) {
            let Fault::Rule(rule) = fault else { continue };
            let verdict = rule(packet);
            if verdict != Verdict::Pass {
                return verdict;
            }
        }
        Verdict::Pass
    }

    fn all(&self) -> impl Iterator<Item = &Fault> {
        self.list.iter().flat_map(|(_, _, faults)| faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(nodes: &[u32]) -> Group {
        Group::These(nodes.iter().map(|node| NodeId(*node)).collect())
    }

    #[test]
    fn partitions_end_when_the_last_one_over_a_pair_is_taken_back() {
        let mut faults = Faults::default();
        let one = faults.add("one".into(), vec![Fault::Cut { from: group(&[0]), to: group(&[1, 2]) }]);
        let two =
            faults.add("two".into(), vec![Fault::Cut { from: Group::AllBut(NodeId(1)), to: group(&[1]) }]);
        assert!(faults.cuts(NodeId(0), NodeId(1)) && !faults.cuts(NodeId(1), NodeId(0)));
        assert_eq!((faults.remove(one), faults.remove(one)), (Some("one".into()), None));
        assert!(faults.cuts(NodeId(0), NodeId(1)) && !faults.cuts(NodeId(0), NodeId(2)));
        assert!(faults.remove(two).is_some());
        assert!(!faults.cuts(NodeId(0), NodeId(1)));
    }

    #[test]
    fn clogs_add_up() {
        let mut faults = Faults::default();
        for _ in 0..2 {
            let extra = Duration::from_millis(30);
            faults.add("clog".into(), vec![Fault::Clog { from: group(&[0]), to: group(&[1]), extra }]);
        }
        assert_eq!(faults.extra(NodeId(0), NodeId(1)), Duration::from_millis(60));
        assert_eq!(faults.extra(NodeId(1), NodeId(0)), Duration::ZERO);
    }
}
