use memchr::{memchr, memmem};
use thiserror::Error;

use crate::{base::Limits, syntax::StatusCode};

/// Cuts the byte stream of one connection into messages (RFC 3261 §7.5, §18.3; keep-alive: RFC 5626 §4.4.1).
///
/// A message that lies whole in one read is handed out where it is; only unfinished ones are copied. Without one,
/// nothing is held.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    /// The bytes so far of an unfinished message; of a finished one until the next call.
    buffer: Vec<u8>,
    phase: Phase,
    pong: Pong,
}

/// The answer to a ping of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pong {
    #[default]
    NotAwaited,
    Awaited,
    Seen,
}

/// The next thing found in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// One whole message, its body as long as its Content-Length says.
    Message(&'a [u8]),
    /// A double CRLF between messages. It is answered by a single CRLF.
    Ping,
    /// The input is used up.
    Incomplete,
    /// The stream cannot be cut any further: the connection has to be closed.
    Broken {
        /// Why.
        error: FrameError,
        /// What is there of the message's head, so that it may be answered. Told once.
        head: &'a [u8],
    },
}

/// Why a stream cannot be cut into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The head, its empty line included, exceeds [`Limits::head`].
    #[error("the message head is too large")]
    HeadTooLarge,
    /// The body that Content-Length announces exceeds [`Limits::body`].
    #[error("a body of {declared} bytes is too large")]
    BodyTooLarge {
        /// What was announced, at most `u64::MAX`.
        declared: u64,
    },
    /// There is no Content-Length, which a stream needs (RFC 3261 §18.3).
    #[error("no Content-Length on a stream")]
    NoContentLength,
    /// Content-Length is no number, or there are two that differ.
    #[error("unusable Content-Length")]
    BadContentLength,
}

impl FrameError {
    /// Returns the status that answers a request with this fault.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::HeadTooLarge => StatusCode::MESSAGE_TOO_LARGE,
            Self::BodyTooLarge { .. } => StatusCode::REQUEST_ENTITY_TOO_LARGE,
            Self::NoContentLength | Self::BadContentLength => StatusCode::BAD_REQUEST,
        }
    }

    /// Returns the reason phrase for that answer where it is not the status code's own, like
    /// [`ParseError::reason`](crate::syntax::ParseError::reason).
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::HeadTooLarge | Self::BodyTooLarge { .. } => None,
            Self::NoContentLength => Some("Missing Content-Length"),
            Self::BadContentLength => Some("Invalid Content-Length"),
        }
    }
}

impl Framer {
    /// Makes a framer for a new connection.
    pub const fn new() -> Self {
        Self { buffer: Vec::new(), phase: Phase::Between { newline: 0 }, pong: Pong::NotAwaited }
    }

    /// Returns the next frame, and shortens `input` by what was used. Call it until it returns [`Frame::Incomplete`] or
    /// [`Frame::Broken`]; the first tells that all input was used.
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8], limits: &Limits) -> Frame<'s> {
        match self.phase {
            Phase::Between { newline } => self.begin(newline, input, limits),
            Phase::Done => {
                self.buffer = Vec::new();
                self.begin(0, input, limits)
            }
            Phase::Head { searched } => self.continue_head(searched, input, limits),
            Phase::Body { total } => self.continue_body(total, input),
            Phase::Broken(error) => {
                self.buffer = Vec::new();
                *input = &[];
                Frame::Broken { error, head: &[] }
            }
        }
    }

    /// Takes the next single CRLF for the answer to a ping that was sent (RFC 5626 §4.4.1). Else two such answers in a row
    /// would look like a ping.
    pub(crate) const fn await_pong(&mut self) {
        self.pong = Pong::Awaited;
    }

    /// Takes a single CRLF that came as a message of its own.
    pub(crate) const fn note_pong(&mut self) {
        if matches!(self.pong, Pong::Awaited) {
            self.pong = Pong::Seen;
        }
    }

    /// Tells, once, whether the answer has come.
    pub(crate) const fn take_pong(&mut self) -> bool {
        let seen = matches!(self.pong, Pong::Seen);
        if seen {
            self.pong = Pong::NotAwaited;
        }
        seen
    }

    /// Returns how many bytes of an unfinished message are held.
    pub const fn unfinished(&self) -> usize {
        match self.phase {
            Phase::Head { .. } | Phase::Body { .. } => self.buffer.len(),
            Phase::Between { .. } | Phase::Done | Phase::Broken(_) => 0,
        }
    }

    fn begin<'s, 'i: 's>(&'s mut self, newline: u8, input: &mut &'i [u8], limits: &Limits) -> Frame<'s> {
        let (mut newline, ping) = skip_newlines(newline, input);
        if !ping && newline == 2 && self.pong == Pong::Awaited {
            (self.pong, newline) = (Pong::Seen, 0);
        }
        self.phase = Phase::Between { newline };
        if ping {
            return Frame::Ping;
        }
        if input.is_empty() {
            return Frame::Incomplete;
        }
        self.phase = Phase::Between { newline: 0 };
        let bytes = *input;
        match measure(bytes, 0, limits) {
            Measure::Message(total) if total <= bytes.len() => {
                let (message, rest) = bytes.split_at(total);
                *input = rest;
                return Frame::Message(message);
            }
            Measure::Broken(error, head) => {
                self.phase = Phase::Broken(error);
                *input = &[];
                return Frame::Broken { error, head };
            }
            Measure::Message(total) => self.phase = Phase::Body { total },
            Measure::Unknown => self.phase = Phase::searching(bytes.len()),
        }
        self.buffer = bytes.to_vec();
        *input = &[];
        Frame::Incomplete
    }

    fn continue_head<'s, 'i: 's>(
        &'s mut self,
        searched: usize,
        input: &mut &'i [u8],
        limits: &Limits,
    ) -> Frame<'s> {
        let before = self.buffer.len();
        let most = input.len().min(limits.head.saturating_sub(before));
        self.buffer.extend_from_slice(&input[..most]);
        match measure(&self.buffer, searched, limits) {
            Measure::Unknown => {
                self.phase = Phase::searching(self.buffer.len());
                *input = &[];
                Frame::Incomplete
            }
            Measure::Broken(error, head) => {
                let head = head.len();
                self.phase = Phase::Broken(error);
                *input = &[];
                Frame::Broken { error, head: &self.buffer[..head] }
            }
            Measure::Message(total) => {
                // Of what was taken to look for the head's end, only the message's own bytes stay.
                self.buffer.truncate(total);
                *input = &input[self.buffer.len() - before..];
                self.phase = Phase::Body { total };
                self.continue_body(total, input)
            }
        }
    }

    fn continue_body<'s, 'i: 's>(&'s mut self, total: usize, input: &mut &'i [u8]) -> Frame<'s> {
        let (body, rest) = input.split_at(input.len().min(total - self.buffer.len()));
        self.buffer.extend_from_slice(body);
        *input = rest;
        if self.buffer.len() < total {
            return Frame::Incomplete;
        }
        self.phase = Phase::Done;
        Frame::Message(&self.buffer)
    }
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Between messages, after so many bytes of a double CRLF.
    Between { newline: u8 },
    /// The buffer holds a head, whose end does not begin in so many bytes.
    Head { searched: usize },
    /// The buffer holds a head and perhaps some body, of a message of so many bytes.
    Body { total: usize },
    /// The buffer holds a message that was handed out.
    Done,
    /// Nothing more comes out.
    Broken(FrameError),
}

impl Phase {
    /// Returns the phase after the end was not found in `len` bytes: it may have begun in the last three.
    const fn searching(len: usize) -> Self {
        Self::Head { searched: len.saturating_sub(END.len() - 1) }
    }
}

impl Default for Phase {
    fn default() -> Self {
        Self::Between { newline: 0 }
    }
}

/// Skips CR and LF before a message until a double CRLF is complete. Returns how much of one has come, and whether it is
/// complete. Single ones, such as the answer to our own ping, vanish.
fn skip_newlines(mut newline: u8, input: &mut &[u8]) -> (u8, bool) {
    while let [byte @ (b'\r' | b'\n'), rest @ ..] = *input {
        *input = rest;
        newline = match (byte, newline) {
            (b'\r', 2) => 3,
            (b'\r', _) => 1,
            (_, 1) => 2,
            (_, 3) => return (0, true),
            (_, _) => 0,
        };
    }
    (newline, false)
}

enum Measure<'a> {
    /// The head has no end yet.
    Unknown,
    /// The head is complete; with its body the message has so many bytes.
    Message(usize),
    /// It never will be, and this is its head.
    Broken(FrameError, &'a [u8]),
}

/// Looks for the head's end from `from` on, and reads how long the message is.
fn measure<'a>(bytes: &'a [u8], from: usize, limits: &Limits) -> Measure<'a> {
    let window = &bytes[..bytes.len().min(limits.head)];
    let Some(end) = memmem::find(&window[from.min(window.len())..], END) else {
        return if window.len() == limits.head {
            Measure::Broken(FrameError::HeadTooLarge, window)
        } else {
            Measure::Unknown
        };
    };
    let head = &window[..from + end + END.len()];
    let declared = match content_length(head) {
        Ok(declared) => declared,
        Err(error) => return Measure::Broken(error, head),
    };
    match usize::try_from(declared) {
        Ok(body) if body <= limits.body => Measure::Message(head.len() + body),
        _ => Measure::Broken(FrameError::BodyTooLarge { declared }, head),
    }
}

/// Finds the Content-Length of a whole head, under either name, in any case, folded or not.
fn content_length(head: &[u8]) -> Result<u64, FrameError> {
    let mut found = None;
    let mut rest = head;
    // The start line is skipped like any line before the one looked at.
    while let Some(lf) = memchr(b'\n', rest) {
        let ended = lf > 0 && rest[lf - 1] == b'\r';
        rest = &rest[lf + 1..];
        let Some(value) = ended.then(|| value_of_content_length(rest)).flatten() else { continue };
        let length = number(value).ok_or(FrameError::BadContentLength)?;
        if found.is_some_and(|found| found != length) {
            return Err(FrameError::BadContentLength);
        }
        found = Some(length);
    }
    found.ok_or(FrameError::NoContentLength)
}

/// Returns what follows the colon if the line is a Content-Length.
fn value_of_content_length(line: &[u8]) -> Option<&[u8]> {
    let name = match line.first()? {
        b'c' | b'C' => "content-length".len(),
        b'l' | b'L' => "l".len(),
        _ => return None,
    };
    let (name, rest) = line.split_at_checked(name)?;
    if name.len() > 1 && !name.eq_ignore_ascii_case(b"content-length") {
        return None;
    }
    let spaces = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    rest[spaces..].strip_prefix(b":")
}

/// Reads the digits of a value that begins here, up to the end of its line. Too large a number becomes `u64::MAX`.
fn number(value: &[u8]) -> Option<u64> {
    let value = skip_space(value);
    let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = value.split_at(digits);
    let number = digits
        .iter()
        .fold(0u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    (!digits.is_empty() && skip_space(rest).starts_with(b"\r\n")).then_some(number)
}

/// Skips spaces, tabs and folds.
fn skip_space(mut text: &[u8]) -> &[u8] {
    loop {
        text = match text {
            [b' ' | b'\t', rest @ ..] | [b'\r', b'\n', b' ' | b'\t', rest @ ..] => rest,
            _ => return text,
        };
    }
}

const END: &[u8] = b"\r\n\r\n";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nCall-ID: a\r\nContent-Length: 0\r\n\r\n";
    const B: &[u8] = b"INVITE sip:b SIP/2.0\r\nl: 7\r\nSubject: l: 9\r\n\r\nv=0\r\n\r\n";

    #[derive(Debug, PartialEq, Eq)]
    enum Found {
        Message(Vec<u8>),
        Ping,
        Broken(FrameError, Vec<u8>),
    }

    use Found::{Message, Ping};

    fn small() -> Limits {
        let mut limits = Limits::default();
        (limits.head, limits.body) = (200, 50);
        limits
    }

    /// Feeds the chunks one after the other.
    fn feed<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Found> {
        let (mut framer, mut found, limits) = (Framer::new(), Vec::new(), small());
        for mut chunk in chunks {
            loop {
                match framer.next(&mut chunk, &limits) {
                    Frame::Message(message) => found.push(Message(message.into())),
                    Frame::Ping => found.push(Ping),
                    Frame::Incomplete => {
                        assert!(chunk.is_empty(), "all input is used");
                        break;
                    }
                    Frame::Broken { error, head } => {
                        assert!(chunk.is_empty(), "nothing is cut any more");
                        found.push(Found::Broken(error, head.into()));
                        assert_eq!(framer.next(&mut &b"x"[..], &limits), Frame::Broken { error, head: &[] });
                        return found;
                    }
                }
            }
            if framer.unfinished() == 0 {
                assert_eq!(framer.buffer.capacity(), 0, "an idle connection holds nothing");
            }
        }
        found
    }

    fn broken(error: FrameError, head: &[u8]) -> Vec<Found> {
        assert_eq!(feed([head]), feed(head.chunks(1)), "byte by byte");
        vec![Found::Broken(error, head.into())]
    }

    #[test]
    fn tp_05_any_byte_boundary() {
        let stream = [b"\r\n", A, B, b"\r\n\r\n", B, b"\r\n", A, b"\r\n\r\n\r\n", A].concat();
        let (a, b) = (|| Message(A.into()), || Message(B.into()));
        let whole = feed([&stream[..]]);
        assert_eq!(whole, [a(), b(), Ping, b(), a(), Ping, a()]);
        for at in 0..=stream.len() {
            let (left, right) = stream.split_at(at);
            assert_eq!(feed([left, right]), whole, "cut at {at}");
        }
        assert_eq!(feed(stream.chunks(1)), whole, "byte by byte");
    }

    #[test]
    fn tp_05_whole_messages_are_not_copied() {
        let stream = [A, B, &B[..20]].concat();
        let (mut framer, mut input) = (Framer::new(), &stream[..]);
        for message in [A, B] {
            let here = input.as_ptr();
            assert!(
                matches!(framer.next(&mut input, &small()), Frame::Message(m) if m == message && m.as_ptr() == here)
            );
            assert_eq!(framer.unfinished(), 0);
        }
        assert_eq!(framer.next(&mut input, &small()), Frame::Incomplete);
        assert_eq!(framer.unfinished(), 20);
    }

    #[test]
    fn tp_05_content_length_is_needed() {
        let head = b"OPTIONS sip:a SIP/2.0\r\nSubject: none\r\n\r\n";
        assert_eq!(feed([&head[..]]), broken(FrameError::NoContentLength, head));
        assert_eq!(feed([A, head, A]).len(), 2, "what came before counts, what comes after does not");
        // The name must be a header field's: neither a longer one, nor a fold, nor the start line.
        for line in [
            "Content-Length2: 1",
            "Content-Lengt: 1",
            "Language: 1",
            "X: y\r\n l: 1",
            "X: y\n l: 1",
            "X: l: 1",
        ] {
            let head = format!("l: 1\r\n{line}\r\n\r\n");
            assert_eq!(
                feed([head.as_bytes()]),
                broken(FrameError::NoContentLength, head.as_bytes()),
                "{line}"
            );
        }
    }

    #[test]
    fn tp_05_spellings_of_content_length() {
        for line in [
            "Content-Length: 3",
            "CONTENT-LENGTH:3",
            "content-length \t: 003  ",
            "l:3",
            "L  :\t3",
            "l:\r\n 3",
            "Content-Length:\r\n\t 3 \r\n ",
            "l: 3\r\nX: y\r\nContent-Length: 03",
        ] {
            let message = format!("A b C\r\n{line}\r\nZ: z\r\n\r\nabc");
            assert_eq!(feed([message.as_bytes()]), [Message(message.clone().into())], "{line}");
            assert_eq!(feed(message.as_bytes().chunks(1)), [Message(message.clone().into())], "{line}");
        }
        for line in
            ["l:", "l: ", "l: -1", "l: +1", "l: 1 1", "l: 1,1", "l: 0x1", "l: one", "l: 1\r\nl: 2", "l: 1\n"]
        {
            let head = format!("A b C\r\n{line}\r\n\r\n");
            assert_eq!(
                feed([head.as_bytes()]),
                broken(FrameError::BadContentLength, head.as_bytes()),
                "{line}"
            );
        }
    }

    #[test]
    fn tp_06_pings_and_pongs() {
        assert_eq!(feed([&b"\r\n\r\n"[..]]), [Ping]);
        assert_eq!(feed([&b"\r\n"[..], b"\r", b"\n"]), [Ping]);
        assert_eq!(feed([&b"\r\n\r\n\r\n\r\n\r\n"[..]]), [Ping, Ping]);
        assert_eq!(feed([&b"\r\n"[..]]), [], "a pong is swallowed");
        assert_eq!(feed([&b"\r\n"[..], A]), [Message(A.into())]);
        assert_eq!(
            feed([&b"\r\n"[..], A, b"\r\n"]),
            [Message(A.into())],
            "halves on two sides of a message are no ping"
        );
        assert_eq!(feed([&b"\n\n\r\r\n\r"[..], A]), [Message(A.into())], "stray CR and LF are no ping");
    }

    #[test]
    fn tp_08_head_limit() {
        let message = |head: usize| {
            let (begin, end) = ("A b C\r\nX: ", "\r\nl: 0\r\n\r\n");
            format!("{begin}{}{end}", "x".repeat(head - begin.len() - end.len())).into_bytes()
        };
        let fits = message(200);
        assert_eq!(feed([&fits[..]]), [Message(fits.clone())], "at the limit");
        assert_eq!(feed(fits.chunks(1)), [Message(fits.clone())]);
        let over = message(201);
        let expected = [Found::Broken(FrameError::HeadTooLarge, over[..200].into())];
        assert_eq!(feed([&over[..]]), expected, "one over");
        assert_eq!(feed(over.chunks(1)), expected);
        assert_eq!(feed([&[b'x'; 199][..]]), []);
        assert_eq!(feed([&[b'x'; 200][..]]), [Found::Broken(FrameError::HeadTooLarge, vec![b'x'; 200])]);
    }

    #[test]
    fn tp_08_body_limit_is_checked_on_the_head_alone() {
        let head = |length: &str| format!("A b C\r\nl: {length}\r\n\r\n");
        let fits = head("50") + &"x".repeat(50);
        assert_eq!(feed([fits.as_bytes()]), [Message(fits.clone().into())], "at the limit");
        for (text, declared) in [
            ("51", 51),
            ("4294967296", 1 << 32),
            ("18446744073709551615", u64::MAX),
            ("99999999999999999999999999", u64::MAX),
        ] {
            let head = head(text);
            let error = FrameError::BodyTooLarge { declared };
            assert_eq!(feed([head.as_bytes()]), broken(error, head.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_was_searched_is_not_searched_again() {
        let limits = Limits::default();
        let message =
            format!("A b C\r\nX: {}\r\nl: 1000\r\n\r\n{}", "\r\n ".repeat(20_000), "x".repeat(1000));
        let (mut framer, mut messages) = (Framer::new(), 0);
        for mut byte in message.as_bytes().chunks(1) {
            messages += usize::from(matches!(framer.next(&mut byte, &limits), Frame::Message(_)));
            if let Phase::Head { searched } = framer.phase {
                assert!(framer.unfinished() - searched <= 3);
            }
        }
        assert_eq!(messages, 1);
    }

    fn chunked(stream: &[u8], sizes: &[usize]) -> Vec<Found> {
        let (mut chunks, mut rest) = (Vec::new(), stream);
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at((*size).min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        feed(chunks)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn tp_05_tp_06_random_chunks(
            parts in prop::collection::vec(
                prop_oneof![
                    Just(A.to_vec()),
                    Just(B.to_vec()),
                    Just(b"\r\n".to_vec()),
                    Just(b"\r\n\r\n".to_vec()),
                    prop::collection::vec(any::<u8>(), 0..50).prop_map(|body| {
                        let mut message = format!("A b C\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
                        message.extend(body);
                        message
                    }),
                ],
                0..8,
            ),
            sizes in prop::collection::vec(1usize..90, 1..10),
        ) {
            let stream = parts.concat();
            let whole = feed([&stream[..]]);
            let messages: Vec<_> = whole.iter().filter(|found| matches!(found, Message(_))).collect();
            let sent: Vec<_> = parts.iter().filter(|part| part.len() > 4).map(|part| Message(part.clone())).collect();
            prop_assert_eq!(messages, sent.iter().collect::<Vec<_>>());
            prop_assert_eq!(&chunked(&stream, &sizes), &whole);
            prop_assert_eq!(&feed(stream.chunks(1)), &whole);
        }

        #[test]
        fn tp_05_any_bytes(
            stream in prop::collection::vec(prop::sample::select(vec!["\r\n", "\r\n\r\n", "l:", "7", " ", "\n", "é"]), 0..60),
            sizes in prop::collection::vec(1usize..20, 1..5),
        ) {
            let stream = stream.concat().into_bytes();
            prop_assert_eq!(chunked(&stream, &sizes), feed([&stream[..]]));
        }
    }
}
