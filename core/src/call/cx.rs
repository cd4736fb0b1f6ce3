use std::{collections::VecDeque, sync::Arc};

use bytes::{Bytes, BytesMut};

use crate::{
    base::{HashKey, Instant, Rng, Seed},
    decision::{Event, Settings},
    transport::{IoKind, Outbound, Output, Transport},
};

/// What the calls of an endpoint share: the moment, the configuration, randomness, and the ways out.
pub(crate) struct CallCx {
    pub(crate) now: Instant,
    pub(crate) settings: Arc<Settings>,
    pub(crate) key: HashKey,
    pub(crate) streams: Streams,
    pub(crate) transport: Transport,
    pub(crate) events: VecDeque<Event>,
    pub(crate) outputs: VecDeque<Output>,
    /// Questions that wait for the application, in all calls and beside them.
    pub(crate) questions: usize,
    serials: u64,
    chunk: BytesMut,
}

/// The random streams of an endpoint, one a purpose.
#[derive(Clone)]
pub(crate) struct Streams {
    pub(crate) branch: Rng,
    pub(crate) tag: Rng,
    pub(crate) call_id: Rng,
    pub(crate) retry: Rng,
}

/// Messages are written into chunks of this size; each goes out as a slice of one.
const CHUNK: usize = 64 * 1024;

impl CallCx {
    pub(crate) fn new(now: Instant, settings: Arc<Settings>, seed: &Seed) -> Self {
        let mut hash = seed.stream("hash");
        Self {
            now,
            settings,
            key: HashKey::new(hash.next_u64(), hash.next_u64()),
            streams: Streams {
                branch: seed.stream("branch"),
                tag: seed.stream("tag"),
                call_id: seed.stream("call-id"),
                retry: seed.stream("retry"),
            },
            transport: Transport::new(seed),
            events: VecDeque::new(),
            outputs: VecDeque::new(),
            questions: 0,
            serials: 0,
            chunk: BytesMut::new(),
        }
    }

    /// Gives a serial number that was never given before.
    pub(crate) const fn serial(&mut self) -> u64 {
        self.serials += 1;
        self.serials
    }

    /// Lets `write` write one message, and returns it as a slice of the shared chunk.
    ///
    /// What outlives the next drain is copied out of it, so that nothing pins a whole chunk for long.
    pub(crate) fn render(&mut self, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        if self.chunk.capacity() - self.chunk.len() < 2048 {
            self.chunk.reserve(CHUNK);
        }
        write(&mut self.chunk);
        self.chunk.split().freeze()
    }

    /// Copies a kept message into the chunk to send it again.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Bytes {
        self.render(|chunk| chunk.extend_from_slice(bytes))
    }

    pub(crate) fn send(&mut self, message: Outbound) -> Result<(), IoKind> {
        let settings = &self.settings;
        self.transport.send(self.now, settings.limits(), message, &mut self.outputs)
    }
}
