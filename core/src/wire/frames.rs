/// Where in a stream of WebSocket frames one is (RFC 6455 §5.2), so that it is known whether a message is unfinished.
///
/// What is wrong with a frame is for whoever reads it.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// What has come of a frame's head: no more than two bytes, a length of eight, and a mask of four.
    head: [u8; 14],
    have: usize,
    /// Bytes of the frame that are still to come after its head.
    left: u64,
    /// Whether a message in fragments waits for its last one.
    fragments: bool,
    /// How many messages have come whole, control frames between them included.
    whole: u64,
}

impl Frames {
    /// Passes over bytes that have come.
    pub(super) fn pass(&mut self, mut data: &[u8]) {
        while let Some((byte, rest)) = data.split_first() {
            if self.left > 0 {
                let taken = usize::try_from(self.left).map_or(data.len(), |left| left.min(data.len()));
                self.left -= taken as u64;
                data = &data[taken..];
                self.count();
                continue;
            }
            self.head[self.have] = *byte;
            self.have += 1;
            data = rest;
            self.read_head();
        }
    }

    /// Returns the number of the message that is unfinished, if there is one. It is that of the next one once that one is whole.
    pub(super) const fn unfinished(&self) -> Option<u64> {
        if self.have > 0 || self.left > 0 || self.fragments { Some(self.whole) } else { None }
    }

    fn read_head(&mut self) {
        let [first, second, ..] = self.head;
        let (length, mask) = match second & 0x7f {
            _ if self.have < 2 => return,
            126 => (2, second >> 7),
            127 => (8, second >> 7),
            _ => (0, second >> 7),
        };
        if self.have < 2 + length + usize::from(mask) * 4 {
            return;
        }
        let long = self.head[2..2 + length].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        self.left = if length == 0 { u64::from(second & 0x7f) } else { long };
        // RFC 6455 §5.4: control frames may come between the fragments of a message.
        if first & 0x08 == 0 {
            self.fragments = first & 0x80 == 0;
        }
        self.have = 0;
        self.count();
    }

    const fn count(&mut self) {
        if self.unfinished().is_none() {
            self.whole += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 §5.2, §5.4: heads of each size, with a mask and without, fragments, and control frames between them.
    #[test]
    fn unfinished_messages_are_known_at_each_byte() {
        let mut stream = Vec::new();
        let mut ends = Vec::new();
        let mut put = |bytes: &[&[u8]], ends_one: bool| {
            stream.extend(bytes.concat());
            ends.extend(ends_one.then_some(stream.len()));
        };
        put(&[&[0x81, 0]], true);
        put(&[&[0x81, 0x83, 0, 0, 0, 0], b"abc"], true);
        put(&[&[0x82, 126, 0, 200], &[0; 200]], true);
        put(&[&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], &[0; 65_536]], true);
        put(&[&[0x01, 1], b"a"], false);
        put(&[&[0x89, 2], b"??"], false);
        put(&[&[0x00, 0]], false);
        put(&[&[0x8a, 0]], false);
        put(&[&[0x80, 1], b"b"], true);
        put(&[&[0x89, 0x81, 0, 0, 0, 0], b"?"], true);
        for size in [1, 2, 3, 7, 1000, stream.len()] {
            let mut frames = Frames::default();
            let mut at = 0;
            for piece in stream.chunks(size) {
                frames.pass(piece);
                at += piece.len();
                let whole = ends.iter().filter(|end| **end <= at).count() as u64;
                let unfinished = (!ends.contains(&at)).then_some(whole);
                assert_eq!(frames.unfinished(), unfinished, "{size} bytes at a time, after {at}");
            }
            assert_eq!(at, stream.len());
        }
    }

    #[test]
    fn a_length_of_everything_is_no_overflow() {
        let mut frames = Frames::default();
        frames.pass(&[&[0x82, 0x7f][..], &[0xff; 8], &[0; 100]].concat());
        assert_eq!(frames.unfinished(), Some(0));
        assert_eq!(frames.left, u64::MAX - 100);
    }
}
