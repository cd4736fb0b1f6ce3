use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{BufMut as _, BytesMut};
use smallvec::SmallVec;

/// Names a STUN request and its response (RFC 8489 §5).
pub(crate) type TransactionId = [u8; 12];

/// A STUN message with what matters to a binding (RFC 8489 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StunMessage {
    pub(crate) class: Class,
    pub(crate) id: TransactionId,
    /// The address of XOR-MAPPED-ADDRESS, or else of MAPPED-ADDRESS.
    pub(crate) mapped: Option<SocketAddr>,
    /// Whether it carries a FINGERPRINT, which is right then.
    pub(crate) fingerprint: bool,
    /// Attributes that have to be understood and are not, the first few.
    pub(crate) unknown: SmallVec<[u16; MOST_UNKNOWN]>,
}

/// What a message of method Binding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Request,
    Indication,
    Success,
    Error,
}

/// Tells a STUN message from a SIP message: by its first two bits, which no SIP message has, and by its cookie
/// (RFC 8489 §5, RFC 5626 §8).
pub(crate) fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|byte| *byte < 0x40) && datagram.get(4..8) == Some(&COOKIE.to_be_bytes())
}

impl StunMessage {
    /// Reads a message of method Binding; `None` for anything else, and for what is broken (RFC 8489 §6.3).
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (header, mut attributes) = bytes.split_at_checked(HEADER)?;
        let class = match u16_at(header, 0)? {
            0x0001 => Class::Request,
            0x0011 => Class::Indication,
            0x0101 => Class::Success,
            0x0111 => Class::Error,
            _ => return None,
        };
        if !is_stun(bytes) || usize::from(u16_at(header, 2)?) != attributes.len() || attributes.len() % 4 != 0
        {
            return None;
        }
        let id = header.get(8..HEADER)?.try_into().ok()?;
        let mut message = Self { class, id, mapped: None, fingerprint: false, unknown: SmallVec::new() };
        let (mut plain, mut guarded) = (None, false);
        while !attributes.is_empty() {
            let before = bytes.len() - attributes.len();
            let (kind, length) = (u16_at(attributes, 0)?, usize::from(u16_at(attributes, 2)?));
            let value = attributes.get(4..4 + length)?;
            attributes = attributes.get(4 + length.next_multiple_of(4)..)?;
            match kind {
                FINGERPRINT => {
                    // RFC 8489 §7: one that is wrong, or not the last, makes it no STUN message.
                    let right = value == (crc32(bytes.get(..before)?) ^ FINGERPRINT_MASK).to_be_bytes();
                    if !right || !attributes.is_empty() {
                        return None;
                    }
                    message.fingerprint = true;
                }
                // RFC 8489 §14.5: what follows the integrity, but for the fingerprint, does not count.
                _ if guarded => {}
                MESSAGE_INTEGRITY | MESSAGE_INTEGRITY_SHA256 => guarded = true,
                MAPPED_ADDRESS => plain = address(value, &[0; 16]),
                XOR_MAPPED_ADDRESS => message.mapped = address(value, &mask(&id)),
                kind if kind >= OPTIONAL || KNOWN.contains(&kind) => {}
                kind if message.unknown.len() < MOST_UNKNOWN => message.unknown.push(kind),
                _ => {}
            }
        }
        message.mapped = message.mapped.or(plain);
        Some(message)
    }

    /// Writes a request for a binding.
    pub(crate) fn write_request(out: &mut BytesMut, id: &TransactionId) {
        write_header(out, 0x0001, 0, id);
    }

    /// Writes the answer to this request from `remote` (RFC 8489 §6.3.1).
    pub(crate) fn write_answer(&self, out: &mut BytesMut, remote: SocketAddr) {
        let begin = out.len();
        if self.unknown.is_empty() {
            write_header(out, 0x0101, 0, &self.id);
            write_mapped(out, remote, &self.id);
        } else {
            write_header(out, 0x0111, 0, &self.id);
            let reason = b"Unknown Attribute";
            write_attribute(out, ERROR_CODE, &[&[0, 0, 4, 20], reason.as_slice()].concat());
            let unknown: SmallVec<[u8; 2 * MOST_UNKNOWN]> =
                self.unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
            write_attribute(out, UNKNOWN_ATTRIBUTES, &unknown);
        }
        if self.fingerprint {
            // The length that is checked counts the fingerprint too.
            set_length(&mut out[begin..], 8);
            let fingerprint = crc32(&out[begin..]) ^ FINGERPRINT_MASK;
            write_attribute(out, FINGERPRINT, &fingerprint.to_be_bytes());
        }
        set_length(&mut out[begin..], 0);
    }
}

const HEADER: usize = 20;
const COOKIE: u32 = 0x2112_A442;
const FINGERPRINT_MASK: u32 = 0x5354_554E;
/// Attributes from here on may be ignored (RFC 8489 §14).
const OPTIONAL: u16 = 0x8000;
const MAPPED_ADDRESS: u16 = 0x0001;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const FINGERPRINT: u16 = 0x8028;
/// What has to be understood and is, though it changes nothing without authentication: USERNAME, ERROR-CODE,
/// UNKNOWN-ATTRIBUTES, REALM, NONCE, PASSWORD-ALGORITHM and USERHASH.
const KNOWN: [u16; 7] = [0x0006, ERROR_CODE, UNKNOWN_ATTRIBUTES, 0x0014, 0x0015, 0x001D, 0x001E];
/// As many unknown attributes are named in an answer.
const MOST_UNKNOWN: usize = 8;

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Returns what addresses are combined with (RFC 8489 §14.2).
fn mask(id: &TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&COOKIE.to_be_bytes());
    mask[4..].copy_from_slice(id);
    mask
}

/// Reads the value of an address attribute.
fn address(value: &[u8], mask: &[u8; 16]) -> Option<SocketAddr> {
    let port = u16_at(value, 2)? ^ u16::from_be_bytes([mask[0], mask[1]]);
    let unmasked =
        |ip: &[u8]| ip.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect::<SmallVec<[u8; 16]>>();
    let ip = unmasked(value.get(4..)?);
    let ip = match (value.get(1)?, value.len()) {
        (1, 8) => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(ip.as_slice()).ok()?)),
        (2, 20) => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(ip.as_slice()).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn write_header(out: &mut BytesMut, kind: u16, length: u16, id: &TransactionId) {
    out.put_u16(kind);
    out.put_u16(length);
    out.put_u32(COOKIE);
    out.put_slice(id);
}

fn write_mapped(out: &mut BytesMut, addr: SocketAddr, id: &TransactionId) {
    let mask = mask(id);
    let ip: SmallVec<[u8; 16]> = match addr.ip().to_canonical() {
        IpAddr::V4(ip) => SmallVec::from_slice(&ip.octets()),
        IpAddr::V6(ip) => SmallVec::from_slice(&ip.octets()),
    };
    let mut value: SmallVec<[u8; 20]> = SmallVec::from_slice(&[0, if ip.len() == 4 { 1 } else { 2 }]);
    value.extend(
        addr.port()
            .to_be_bytes()
            .into_iter()
            .chain(ip)
            .zip(mask_from_port(mask))
            .map(|(byte, mask)| byte ^ mask),
    );
    write_attribute(out, XOR_MAPPED_ADDRESS, &value);
}

/// Returns the mask of a port, then that of an address: both begin with the cookie.
fn mask_from_port(mask: [u8; 16]) -> impl Iterator<Item = u8> {
    [mask[0], mask[1]].into_iter().chain(mask)
}

fn write_attribute(out: &mut BytesMut, kind: u16, value: &[u8]) {
    out.put_u16(kind);
    out.put_u16(u16::try_from(value.len()).expect("ours are short"));
    out.put_slice(value);
    out.put_bytes(0, value.len().next_multiple_of(4) - value.len());
}

/// Writes the length of what follows the header, and of as much that is still to come.
fn set_length(message: &mut [u8], to_come: usize) {
    let length = u16::try_from(message.len() - HEADER + to_come).expect("ours are short");
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

/// Computes the checksum of a fingerprint (RFC 8489 §14.7), that of ITU-T V.42.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = *b"abcdefghijkl";

    fn answer(request: &StunMessage, remote: &str) -> Vec<u8> {
        let mut out = BytesMut::new();
        request.write_answer(&mut out, remote.parse().expect("an address"));
        out.to_vec()
    }

    fn request(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut out = BytesMut::new();
        StunMessage::write_request(&mut out, &ID);
        attributes.iter().for_each(|(kind, value)| write_attribute(&mut out, *kind, value));
        set_length(&mut out, 0);
        out.to_vec()
    }

    /// C051, RFC 8489 §14.2: an answer tells the address that the request came from, in both families.
    #[test]
    fn c051_answers_tell_the_address() {
        let request = StunMessage::parse(&request(&[])).expect("a request");
        for remote in ["192.0.2.1:32853", "[2001:db8::7]:5060"] {
            let bytes = answer(&request, remote);
            assert!(is_stun(&bytes) && !bytes.windows(4).any(|part| part == [192, 0, 2, 1]), "masked");
            let read = StunMessage::parse(&bytes).expect("an answer");
            assert_eq!((read.class, read.id, read.fingerprint), (Class::Success, ID, false));
            assert_eq!(read.mapped.map(|addr| addr.to_string()).as_deref(), Some(remote));
        }
    }

    /// The samples of RFC 5769 §2.1 to §2.3, in hexadecimal.
    const SAMPLES: [&str; 3] = [
        "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff\
         80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249\
         c1b571a280280004e57a3bcf",
        "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643\
         000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96",
        "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9fa\
         a5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c",
    ];

    /// C051, C052, RFC 5769 §2.1 to §2.3: the samples are read, their fingerprints are right, and a changed bit shows.
    #[test]
    fn c052_samples() {
        let [request, v4, v6] = SAMPLES.map(|sample| {
            let digit = |at| sample.get(at..at + 2).and_then(|text| u8::from_str_radix(text, 16).ok());
            (0..sample.len()).step_by(2).map(|at| digit(at).expect("two digits")).collect::<Vec<u8>>()
        });
        let id = *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";
        let read = StunMessage::parse(&request).expect("a request");
        // PRIORITY is for ICE.
        assert_eq!((read.class, read.id, read.unknown.as_slice()), (Class::Request, id, [0x0024].as_slice()));
        for (bytes, mapped) in
            [(&v4, "192.0.2.1:32853"), (&v6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
        {
            let read = StunMessage::parse(bytes).expect("an answer");
            assert_eq!((read.class, read.id, read.fingerprint), (Class::Success, id, true));
            assert_eq!(read.mapped, mapped.parse().ok());
            let mut changed = bytes.clone();
            changed[30] ^= 1;
            assert_eq!(StunMessage::parse(&changed), None);
        }
    }

    /// RFC 8489 §7: a fingerprint is answered by one, and a message with a wrong one is none.
    #[test]
    fn fingerprints() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926, "the check value of the algorithm");
        let plain = StunMessage::parse(&request(&[])).expect("a request");
        let asking = StunMessage { fingerprint: true, ..plain };
        let mut bytes = answer(&asking, "192.0.2.1:5060");
        assert!(StunMessage::parse(&bytes).expect("an answer").fingerprint);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(StunMessage::parse(&bytes), None);
    }

    /// RFC 8489 §6.3.1: what has to be understood and is not is named, a few at most; what may be ignored is.
    #[test]
    fn unknown_attributes() {
        let read = StunMessage::parse(&request(&[(0x8999, b"x"), (0x0024, b"1234"), (0x0006, b"user")]));
        let read = read.expect("a request");
        assert_eq!(read.unknown.as_slice(), [0x0024]);
        let bytes = answer(&read, "192.0.2.1:5060");
        assert_eq!(StunMessage::parse(&bytes).expect("an answer").class, Class::Error);
        assert!(bytes.windows(4).any(|part| part == [0, 0, 4, 20]), "420");
        assert!(bytes.ends_with(&[0x00, 0x0A, 0, 2, 0x00, 0x24, 0, 0]), "{bytes:?}");
        let many: Vec<(u16, &[u8])> = (0..100).map(|kind| (0x0100 + kind, [].as_slice())).collect();
        let bytes = request(&many);
        assert!(
            answer(&StunMessage::parse(&bytes).expect("a request"), "192.0.2.1:5060").len() < bytes.len()
        );
    }

    /// Bytes from the wire never panic, and what is cut or lies about its length is none.
    #[test]
    fn broken_messages() {
        let whole = request(&[(0x0006, b"abc"), (XOR_MAPPED_ADDRESS, &[0, 1, 0, 0, 1, 2, 3, 4])]);
        assert!(StunMessage::parse(&whole).is_some());
        for length in 0..whole.len() {
            assert_eq!(StunMessage::parse(&whole[..length]), None, "{length}");
        }
        for at in 0..whole.len() {
            for byte in 0..=255 {
                let mut changed = whole.clone();
                changed[at] = byte;
                let _either = StunMessage::parse(&changed);
            }
        }
        assert!(!is_stun(b"OPTIONS sip:a SIP/2.0\r\n") && !is_stun(b"") && !is_stun(&[0; 20]));
    }
}
