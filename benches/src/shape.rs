/// The five messages that parsers are measured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A short request outside of any dialog.
    Options,
    /// A request with SDP, the one that the figures to reach are for.
    Invite,
    /// A response with three Via, three Record-Route and SDP.
    Ok,
    /// A request with digest credentials.
    Register,
    /// The features of RFC 4475 §3.1.1.1: folds, white space wherever it may stand, escapes, compact names.
    Wsinv,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Options, Self::Invite, Self::Ok, Self::Register, Self::Wsinv];

    /// Returns a short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Options => "OPTIONS",
            Self::Invite => "INVITE",
            Self::Ok => "200",
            Self::Register => "REGISTER",
            Self::Wsinv => "wsinv",
        }
    }

    /// Returns the message as it is sent.
    pub fn bytes(self) -> Vec<u8> {
        let text = match self {
            Self::Options => include_str!("../messages/options.txt"),
            Self::Invite => include_str!("../messages/invite.txt"),
            Self::Ok => include_str!("../messages/ok.txt"),
            Self::Register => include_str!("../messages/register.txt"),
            Self::Wsinv => include_str!("../messages/wsinv.txt"),
        };
        text.replace('\n', "\r\n").into_bytes()
    }

    /// Returns the same bytes with the start line of HTTP.
    pub fn as_http(self) -> Vec<u8> {
        let text = String::from_utf8(self.bytes()).expect("the messages are text");
        text.replacen("SIP/2.0 200", "HTTP/1.1 200", 1)
            .replacen(" SIP/2.0\r\n", " HTTP/1.1\r\n", 1)
            .into_bytes()
    }
}

/// A message that is made unique by a number.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    spots: Vec<usize>,
}

/// What the number takes the place of.
const SPOT: &[u8; 16] = b"0000000000000000";

impl Template {
    /// Finds where the number goes: each run of 16 zeros.
    pub fn new(bytes: Vec<u8>) -> Self {
        let spots = memchr::memmem::find_iter(&bytes, SPOT).collect();
        Self { bytes, spots }
    }

    /// Returns the message with that number.
    pub fn numbered(&mut self, number: u64) -> &[u8] {
        for &spot in &self.spots {
            let mut rest = number;
            for digit in self.bytes[spot..spot + SPOT.len()].iter_mut().rev() {
                *digit = b"0123456789abcdef"[(rest & 15) as usize];
                rest >>= 4;
            }
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use sansip::{Limits, syntax::Message};

    use super::*;

    #[test]
    fn sizes_and_header_counts() {
        let expected = [(327, 8), (963, 15), (1231, 16), (643, 11), (1001, 14)];
        for (shape, (size, headers)) in Shape::ALL.into_iter().zip(expected) {
            let bytes = shape.bytes();
            let message = Message::parse(&bytes, &Limits::default()).expect("a good message");
            assert_eq!((bytes.len(), message.view().fields().count()), (size, headers), "{}", shape.name());
        }
    }

    /// No byte of the body stands outside of Content-Length.
    #[test]
    fn bodies_are_whole() {
        for shape in Shape::ALL {
            let bytes = shape.bytes();
            let message = Message::parse(&bytes, &Limits::default()).expect("a good message");
            let view = message.view();
            assert_eq!(view.head_text().len() + view.body().len(), bytes.len(), "{}", shape.name());
        }
    }

    #[test]
    fn numbers_go_into_branch_and_call_id() {
        let mut template = Template::new(Shape::Options.bytes());
        let text = String::from_utf8(template.numbered(0xabc).to_vec()).expect("text");
        assert!(text.contains("branch=z9hG4bK0000000000000abc\r\n"), "{text}");
        assert!(text.contains("Call-ID: 0000000000000abc@192.0.2.101\r\n"), "{text}");
    }
}
