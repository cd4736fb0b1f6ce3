use std::{collections::VecDeque, net::SocketAddr};

use bytes::Bytes;

use crate::{
    base::Instant,
    transport::{PeerInfo, SocketId},
    wire::WireError,
};

/// One protocol between the bytes of a connection and what the machine sees. It does nothing but turn bytes around.
pub(super) trait Layer: Send {
    /// Begins, now that the layer below is open to a peer of which so much is known.
    fn open(&mut self, peer: PeerInfo);

    /// Takes bytes from below.
    fn receive(&mut self, data: &[u8]);

    /// Returns the next thing for above, until there is none.
    fn poll(&mut self) -> Option<Rise>;

    /// Takes bytes or a message from above.
    fn send(&mut self, data: Bytes);

    /// Tells the peer that nothing more will come.
    fn close(&mut self);

    /// Tells whether the peer has to confirm the end before the layer below may end.
    fn awaits_end(&self) -> bool;

    /// Takes the bytes for below.
    fn drain(&mut self) -> Vec<u8>;

    /// Names the message for above that has begun and is not whole yet, if there is one.
    fn unfinished(&self) -> Option<u64>;
}

/// What comes up from a layer.
pub(super) enum Rise {
    /// The handshake is over.
    Open(PeerInfo),
    /// Bytes, or one message; without any it is a sign of life.
    Data(Bytes),
    /// The peer has ended, in order or not. Nothing follows.
    Ended(Result<(), WireError>),
}

/// A connection with the layers on it.
pub(super) struct Stage {
    pub(super) state: State,
    /// The listening socket, if the peer opened it.
    pub(super) socket: Option<SocketId>,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// From the one on the bytes to the one under the machine.
    layers: Vec<Box<dyn Layer>>,
    /// What the machine sent before it was open.
    early: Vec<Bytes>,
    /// What the lowest layer has for TCP.
    out: Vec<u8>,
    pub(super) sent: Sent,
    /// When to give up, if it takes too long.
    pub(super) deadline: Option<Instant>,
    /// The unfinished message that the deadline is for.
    pub(super) awaited: Option<u64>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// TCP is opening it.
    Connecting,
    /// The layers are beginning.
    Handshake,
    /// The machine uses it.
    Open,
    /// The machine has ended it; so do the layers, and one of them waits for the peer.
    Closing,
    /// Our end is told, so nothing is sent any more; the machine waits for [`Input::Closed`](crate::Input::Closed).
    Told,
    /// The machine knows it no more; what was sent still leaves.
    Ending,
}

impl Stage {
    pub(super) fn new(
        state: State,
        socket: Option<SocketId>,
        (local, remote): (SocketAddr, SocketAddr),
        layers: Vec<Box<dyn Layer>>,
    ) -> Self {
        Self {
            state,
            socket,
            local,
            remote,
            layers,
            early: Vec::new(),
            out: Vec::new(),
            sent: Sent::default(),
            deadline: None,
            awaited: None,
        }
    }

    /// Tells whether the machine has heard of the connection and still reckons with it.
    pub(super) const fn is_held(&self) -> bool {
        match self.state {
            State::Connecting | State::Open | State::Closing | State::Told => true,
            State::Handshake => self.socket.is_none(),
            State::Ending => false,
        }
    }

    /// Begins, now that TCP is open.
    pub(super) fn open(&mut self) {
        if let Some(first) = self.layers.first_mut() {
            first.open(PeerInfo::default());
        }
    }

    pub(super) fn receive(&mut self, data: &[u8]) {
        if let Some(first) = self.layers.first_mut() {
            first.receive(data);
        }
    }

    /// Returns what comes out on top. Lower layers are asked when the higher ones have nothing.
    pub(super) fn poll(&mut self) -> Option<Rise> {
        let mut level = self.layers.len();
        while level > 0 {
            level -= 1;
            let Some(rise) = self.layers[level].poll() else { continue };
            let Some(above) = self.layers.get_mut(level + 1) else { return Some(rise) };
            match rise {
                Rise::Open(peer) => above.open(peer),
                Rise::Data(data) => above.receive(&data),
                ended @ Rise::Ended(_) => return Some(ended),
            }
            level = self.layers.len();
        }
        None
    }

    /// Names the message for the machine that has begun and is not whole yet, if there is one.
    pub(super) fn unfinished(&self) -> Option<u64> {
        self.layers.last()?.unfinished()
    }

    /// Takes what the machine sends. Before the handshake is over it waits, as it would for TCP.
    pub(super) fn send(&mut self, data: Bytes) {
        match self.state {
            State::Connecting | State::Handshake => self.early.push(data),
            State::Open => {
                if let Some(last) = self.layers.last_mut() {
                    last.send(data);
                }
            }
            State::Closing | State::Told | State::Ending => {}
        }
    }

    pub(super) fn take_early(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.early)
    }

    /// Takes the layers off a connection that is not open: nobody hears of what still comes.
    pub(super) fn abandon(&mut self) {
        self.layers.clear();
    }

    /// Ends the layers, the highest first, as far as the peer has to confirm nothing; tells whether all have ended.
    pub(super) fn close(&mut self) -> bool {
        for level in (0..self.layers.len()).rev() {
            self.layers[level].close();
            self.sink(level);
            if self.layers[level].awaits_end() {
                return false;
            }
        }
        true
    }

    /// Returns the bytes for TCP.
    pub(super) fn drain(&mut self) -> Vec<u8> {
        for level in (0..self.layers.len()).rev() {
            self.sink(level);
        }
        std::mem::take(&mut self.out)
    }

    /// Hands what a layer has for below to the layer below.
    fn sink(&mut self, level: usize) {
        let bytes = self.layers[level].drain();
        if bytes.is_empty() {
            return;
        }
        match level.checked_sub(1) {
            Some(below) => self.layers[below].send(bytes.into()),
            None => self.out.extend_from_slice(&bytes),
        }
    }
}

/// What is on its way out of a connection, in order: the bytes as they go, and how many of the machine's they carry.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pieces: VecDeque<Piece>,
    /// The bytes that carry none of the machine's.
    overhead: usize,
}

#[derive(Debug)]
struct Piece {
    wire: usize,
    plain: usize,
}

impl Sent {
    /// Notes bytes that leave. Those that carry nothing make one piece, so there are no more pieces than bytes of the machine.
    pub(super) fn push(&mut self, wire: usize, plain: usize) {
        if plain == 0 {
            self.overhead += wire;
            if let Some(last) = self.pieces.back_mut().filter(|last| last.plain == 0) {
                last.wire += wire;
                return;
            }
        }
        self.pieces.push_back(Piece { wire, plain });
    }

    /// Notes bytes that have left, and returns how many of the machine's have left with them.
    pub(super) fn pop(&mut self, mut wire: usize) -> usize {
        let mut plain = 0;
        while let Some(first) = self.pieces.front_mut() {
            let part = wire.min(first.wire);
            first.wire -= part;
            wire -= part;
            if first.plain == 0 {
                self.overhead -= part;
            }
            if first.wire > 0 {
                break;
            }
            plain += first.plain;
            self.pieces.pop_front();
        }
        plain
    }

    /// Returns how many bytes wait that the peer itself has caused.
    pub(super) const fn overhead(&self) -> usize {
        self.overhead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_bytes_have_left_when_the_last_that_carries_them_has() {
        let mut sent = Sent::default();
        sent.push(100, 0);
        sent.push(50, 40);
        sent.push(7, 0);
        sent.push(8, 0);
        sent.push(60, 45);
        assert_eq!((sent.pop(149), sent.overhead()), (0, 15));
        assert_eq!((sent.pop(1), sent.overhead()), (40, 15));
        assert_eq!((sent.pop(15), sent.overhead()), (0, 0));
        assert_eq!((sent.pop(59), sent.pop(1), sent.pop(1000)), (0, 45, 0));
    }

    #[test]
    fn what_carries_nothing_makes_one_piece() {
        let mut sent = Sent::default();
        for _ in 0..1000 {
            sent.push(4, 0);
        }
        assert_eq!((sent.pieces.len(), sent.overhead()), (1, 4000));
    }
}
