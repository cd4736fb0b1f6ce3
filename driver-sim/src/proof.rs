use sansip::{DnsName, IoKind, PeerInfo, Proto};

use crate::{node::NodeId, world::Sim};

/// What a node shows of itself when a connection opens.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    identities: Vec<DnsName>,
    origin: Option<Box<str>>,
    path: Option<Box<str>>,
}

/// Who nodes are to one another.
///
/// TLS and WebSocket connections open in the round trips of TCP: their handshakes take no time of their own. A listener
/// of another transport than was asked for hears nothing, and the opener is told [`IoKind::Protocol`].
impl Sim {
    /// Gives a node a certificate that proves these names, for connections over TLS that open from now on.
    ///
    /// # Panics
    /// If one of them is not a domain name.
    pub fn identify<'n>(&mut self, node: impl Into<NodeId>, names: impl IntoIterator<Item = &'n str>) {
        let names = names.into_iter().map(|name| name.parse().expect("an identity is a domain name"));
        self.nodes[node.into().index()].proof.identities = names.collect();
    }

    /// Sets the origin and the path that a node's WebSocket connections state from now on.
    pub fn browse(&mut self, node: impl Into<NodeId>, origin: &str, path: &str) {
        let proof = &mut self.nodes[node.into().index()].proof;
        (proof.origin, proof.path) = (Some(origin.into()), Some(path.into()));
    }
}

impl Proof {
    /// Returns why an opener turns away from a listener that should be `name` (RFC 5922 §7.2: whole names, in any
    /// case, no wildcards).
    pub(crate) fn refuses(&self, proto: Proto, name: Option<&DnsName>) -> Option<IoKind> {
        let wanted = name.filter(|_| is_secured(proto))?;
        let proved = self.identities.iter().any(|own| own.as_str().eq_ignore_ascii_case(wanted.as_str()));
        (!proved).then_some(IoKind::Untrusted)
    }

    /// Returns what the opener learns.
    pub(crate) fn as_server(&self, proto: Proto) -> PeerInfo {
        PeerInfo::proved(self.identities.iter().filter(|_| is_secured(proto)).cloned())
    }

    /// Returns what the listener learns.
    pub(crate) fn as_client(&self, proto: Proto) -> PeerInfo {
        let mut info = self.as_server(proto);
        if matches!(proto, Proto::Ws | Proto::Wss) {
            (info.origin, info.path) = (self.origin.clone(), self.path.clone());
        }
        info
    }
}

const fn is_secured(proto: Proto) -> bool {
    matches!(proto, Proto::Tls | Proto::Wss)
}
