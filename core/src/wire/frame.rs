/// What a frame says of itself before the rest has come (RFC 6455 §5.2). What else is in it is judged when it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Whether it is the last of its message, or the only one.
    pub(super) is_last: bool,
    pub(super) is_control: bool,
    /// The bytes before the payload.
    length: usize,
    pub(super) payload: u64,
}

impl Head {
    /// Reads the beginning of a frame; `None` if it does not tell the length yet.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        let (more, payload) = match second & 0x7f {
            126 => (2, u64::from(u16::from_be_bytes(*rest.first_chunk()?))),
            127 => (8, u64::from_be_bytes(*rest.first_chunk()?)),
            short => (0, u64::from(short)),
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let (is_last, is_control) = (first & 0x80 != 0, first & 0x08 != 0);
        Some(Self { is_last, is_control, length: 2 + more + mask, payload })
    }

    /// Returns the bytes of the whole frame.
    pub(super) fn whole(&self) -> usize {
        usize::try_from(self.payload).unwrap_or(usize::MAX).saturating_add(self.length)
    }
}

/// The longest payload of a control frame (RFC 6455 §5.5).
pub(super) const CONTROL_MOST: u64 = 125;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 §5.2 and the examples of §5.7.
    #[test]
    fn a_frame_tells_its_length_as_soon_as_it_can() {
        let read = |bytes: &[u8]| Head::read(bytes).map(|head| (head.is_last, head.is_control, head.whole()));
        for (bytes, told) in [
            (&b""[..], None),
            (&[0x81], None),
            (&[0x81, 0x05], Some((true, false, 7))),
            (&[0x01, 0x83], Some((false, false, 9))),
            (&[0x89, 0x05], Some((true, true, 7))),
            (&[0x82, 0x7e, 0x01], None),
            (&[0x82, 0x7e, 0x01, 0x00], Some((true, false, 260))),
            (&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0], None),
            (&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0], Some((true, false, 65_550))),
            (&[0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0], Some((true, false, (1 << 63) + 10))),
            (&[0x82, 0x7f, 255, 255, 255, 255, 255, 255, 255, 255], Some((true, false, usize::MAX))),
        ] {
            assert_eq!(read(bytes), told, "{bytes:x?}");
        }
    }
}
