use std::{cmp::Ordering, fmt, ops::Range};

use sdp_types::Session;

use super::{Local, SdpError, offer};
use crate::{
    base::Limits,
    syntax::{HeaderId, View},
};

/// A session description as its lines: what is not changed stays byte for byte.
///
/// Streams are numbered from 0 in their order, which never changes in a session (RFC 3264 §8).
///
/// ```
/// use sansip::{Limits, sdp::{Description, Direction}};
///
/// let bytes = b"v=0\r\no=- 1 7 IN IP4 192.0.2.1\r\ns= \r\nx=kept\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
///     m=audio 4000 RTP/AVP 0 96\r\na=rtpmap:96 opus/48000/2\r\n";
/// let before = Description::parse(bytes, &Limits::default())?;
/// assert_eq!(before.to_bytes(), bytes);
///
/// let mut after = before.clone();
/// after.retain_codecs(0, |codec| codec.is("opus"))?;
/// let held = after.hold();
/// after.increment()?;
/// assert!(after.compare_version(&before).is_some_and(|order| order.is_gt()));
/// assert_eq!(after.direction(0)?, Direction::SendOnly);
/// assert_eq!(
///     after.to_string(),
///     "v=0\r\no=- 1 8 IN IP4 192.0.2.1\r\ns= \r\nx=kept\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
///      m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\na=sendonly\r\n",
/// );
/// after.resume(&held);
/// assert_eq!(after.direction(0)?, Direction::SendRecv);
/// # Ok::<(), sansip::sdp::SdpError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    lines: Vec<Line>,
    /// Bounds that changes keep to as well, since what is added often comes from a peer.
    pub(super) most_lines: usize,
    pub(super) most_formats: usize,
}

/// A line and how it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    text: String,
    end: &'static str,
}

impl Description {
    /// Reads a description.
    ///
    /// An error means that this side does not understand it, and nothing about the message that it came in: that can be
    /// answered with 488, or passed on as it is.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, SdpError> {
        check(bytes, limits)?;
        let text = std::str::from_utf8(bytes).map_err(|error| SdpError::Malformed(error.to_string()))?;
        Session::parse(bytes).map_err(|error| SdpError::Malformed(error.to_string()))?;
        let lines = text.split_inclusive('\n').map(Line::new).collect();
        Ok(Self { lines, most_lines: limits.sdp_lines, most_formats: limits.formats })
    }

    /// Reads the body of a message; `None` if that is no session description by its Content-Type, or if it is coded.
    pub fn of(message: View<'_>, limits: &Limits) -> Option<Result<Self, SdpError>> {
        let kind = message.content_type()?.split(';').next().unwrap_or("").trim();
        let plain =
            message.list(HeaderId::ContentEncoding).all(|coding| coding.eq_ignore_ascii_case("identity"));
        let is_sdp = kind.eq_ignore_ascii_case("application/sdp") && plain && !message.body().is_empty();
        is_sdp.then(|| Self::parse(message.body(), limits))
    }

    /// Makes a description of all that this side has.
    pub fn new(local: &Local, limits: &Limits) -> Result<Self, SdpError> {
        Self::parse(&offer(local), limits)
    }

    /// Makes a description of a model.
    pub fn from_model(model: &Session, limits: &Limits) -> Result<Self, SdpError> {
        Self::parse(&super::write(model), limits)
    }

    /// Returns the model, which lacks lines of unknown kinds.
    pub fn to_model(&self) -> Result<Session, SdpError> {
        Session::parse(&self.to_bytes()).map_err(|error| SdpError::Malformed(error.to_string()))
    }

    /// Returns the bytes to send.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// Returns the number of streams, refused ones included.
    pub fn streams(&self) -> usize {
        self.lines.iter().filter(|line| line.is_media()).count()
    }

    /// Returns what stands behind the `m=` of a stream.
    pub fn media(&self, stream: usize) -> Result<&str, SdpError> {
        let at = self.stream(stream)?.start;
        Ok(self.text(at).get(2..).unwrap_or(""))
    }

    /// Returns the stream with this identification (RFC 5888 §4).
    pub fn stream_of_mid(&self, mid: &str) -> Option<usize> {
        (0..self.streams()).find(|stream| {
            let mut mids = self.attributes(*stream).into_iter().flatten();
            mids.any(|text| text.strip_prefix("mid:").is_some_and(|own| own.trim() == mid))
        })
    }

    /// Returns the attributes of a stream in order, without their `a=`.
    pub fn attributes(&self, stream: usize) -> Result<impl Iterator<Item = &str>, SdpError> {
        let lines = &self.lines[self.stream(stream)?];
        Ok(lines.iter().filter_map(|line| line.text.strip_prefix("a=")))
    }

    /// Adds an attribute at the end of a stream.
    pub fn add_attribute(&mut self, stream: usize, attribute: &str) -> Result<&mut Self, SdpError> {
        if attribute.is_empty() || attribute.contains(['\r', '\n', '\0']) {
            return Err(SdpError::NotOneLine(attribute.into()));
        }
        let at = self.end_of(self.stream(stream)?);
        self.insert(at, format!("a={attribute}"))?;
        Ok(self)
    }

    /// Removes the attributes of a stream that have this name, and returns their values.
    pub fn remove_attributes(&mut self, stream: usize, name: &str) -> Result<Vec<String>, SdpError> {
        let range = self.stream(stream)?;
        let found = |at: usize| Some((at, self.lines[at].attribute(name)?.to_owned()));
        let (places, values): (Vec<_>, Vec<_>) = range.filter_map(found).unzip();
        places.into_iter().rev().for_each(|at| self.remove(at));
        Ok(values)
    }

    /// Returns the ICE candidates of a stream, without their `candidate:` (RFC 8839 §5.1).
    pub fn candidates(&self, stream: usize) -> Result<impl Iterator<Item = &str>, SdpError> {
        Ok(self.attributes(stream)?.filter_map(|text| text.strip_prefix("candidate:")))
    }

    /// Adds an ICE candidate at the end of a stream, as [`candidates`](Self::candidates) gives it.
    pub fn add_candidate(&mut self, stream: usize, candidate: &str) -> Result<&mut Self, SdpError> {
        self.add_attribute(stream, &format!("candidate:{candidate}"))
    }

    /// Removes the ICE candidates of a stream and returns them.
    pub fn remove_candidates(&mut self, stream: usize) -> Result<Vec<String>, SdpError> {
        self.remove_attributes(stream, "candidate")
    }

    /// Returns the version, by which a peer tells whether anything has changed (RFC 3264 §8).
    pub fn version(&self) -> Option<u64> {
        self.origin()?.1.get(2)?.parse().ok()
    }

    /// Adds one to the version (RFC 3264 §8).
    pub fn increment(&mut self) -> Result<&mut Self, SdpError> {
        let version = self.version().ok_or(SdpError::NoOrigin)?;
        let (at, fields) = self.origin().ok_or(SdpError::NoOrigin)?;
        let next = version.checked_add(1).ok_or(SdpError::LastVersion)?;
        let old = fields.get(2).ok_or(SdpError::NoOrigin)?;
        let line = self.text(at);
        // The field lies within its line.
        let start = old.as_ptr() as usize - line.as_ptr() as usize;
        let text = format!("{}{next}{}", &line[..start], &line[start + old.len()..]);
        self.replace(at, text);
        Ok(self)
    }

    /// Compares the versions of two descriptions; `None` if they are not of the same session (RFC 8866 §5.2).
    pub fn compare_version(&self, other: &Self) -> Option<Ordering> {
        let (own, others) = (self.origin()?.1, other.origin()?.1);
        let same = [0, 1, 3, 4, 5].into_iter().all(|field| own.get(field) == others.get(field));
        same.then_some(self.version()?.cmp(&other.version()?))
    }

    /// Returns the line of the origin and its fields.
    fn origin(&self) -> Option<(usize, Vec<&str>)> {
        let at = self.lines[..self.session()].iter().position(|line| line.text.starts_with("o="))?;
        Some((at, self.text(at)[2..].split_ascii_whitespace().collect()))
    }

    /// Returns the number of lines before the first stream.
    pub(super) fn session(&self) -> usize {
        self.lines.iter().position(Line::is_media).unwrap_or(self.lines.len())
    }

    /// Returns the lines of a stream.
    pub(super) fn stream(&self, stream: usize) -> Result<Range<usize>, SdpError> {
        let mut starts = self.lines.iter().enumerate().filter(|(_, line)| line.is_media()).map(|(at, _)| at);
        let start = starts.nth(stream).ok_or(SdpError::NoStream(stream))?;
        Ok(start..starts.next().unwrap_or(self.lines.len()))
    }

    /// Returns where a line can be added to those in `range`: before blank ones at its end.
    pub(super) fn end_of(&self, range: Range<usize>) -> usize {
        let blank = self.lines[range.clone()].iter().rev().take_while(|line| line.text.is_empty()).count();
        range.end - blank
    }

    pub(super) fn text(&self, at: usize) -> &str {
        &self.lines[at].text
    }

    pub(super) fn replace(&mut self, at: usize, text: String) {
        self.lines[at].text = text;
    }

    pub(super) fn remove(&mut self, at: usize) {
        let removed = self.lines.remove(at);
        // Where the last line had no end, the one before has none now; a blank one would be none then.
        if removed.end.is_empty()
            && let Some(last) = self.lines.last_mut()
        {
            last.end = "";
            if last.text.is_empty() {
                self.lines.pop();
            }
        }
    }

    /// Adds a line that ends like the others.
    pub(super) fn insert(&mut self, at: usize, text: String) -> Result<(), SdpError> {
        let lines = self.lines.len() + 1;
        if lines > self.most_lines {
            return Err(SdpError::TooManyLines(lines));
        }
        let end = self.lines.first().map(|line| line.end).filter(|end| !end.is_empty()).unwrap_or("\r\n");
        // Where the last line had no end, the new one has none.
        let before = at.checked_sub(1).and_then(|before| self.lines.get_mut(before));
        let end = match before.filter(|before| before.end.is_empty()) {
            Some(before) => std::mem::replace(&mut before.end, end),
            None => end,
        };
        self.lines.insert(at, Line { text, end });
        Ok(())
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| write!(f, "{}{}", line.text, line.end))
    }
}

impl Line {
    fn new(whole: &str) -> Self {
        let (text, end) = match whole.strip_suffix("\r\n") {
            Some(text) => (text, "\r\n"),
            None => whole.strip_suffix('\n').map_or((whole, ""), |text| (text, "\n")),
        };
        Self { text: text.into(), end }
    }

    fn is_media(&self) -> bool {
        self.text.starts_with("m=")
    }

    /// Returns the value of an attribute of this name, empty for one without.
    fn attribute(&self, name: &str) -> Option<&str> {
        let rest = self.text.strip_prefix("a=")?.strip_prefix(name)?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix(':') }
    }
}

/// Counts lines, streams and formats before anything is kept of them.
pub(super) fn check(bytes: &[u8], limits: &Limits) -> Result<(), SdpError> {
    let lines =
        memchr::memchr_iter(b'\n', bytes).count() + usize::from(!bytes.is_empty() && !bytes.ends_with(b"\n"));
    if lines > limits.sdp_lines {
        return Err(SdpError::TooManyLines(lines));
    }
    let media = || bytes.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"m="));
    if let Some(line) = bytes.split(|byte| *byte == b'\n').find(|line| has_other_fields(line)) {
        return Err(SdpError::Malformed(format!("fields of {:?}", String::from_utf8_lossy(line))));
    }
    let streams = media().count();
    if streams > limits.streams {
        return Err(SdpError::TooManyStreams(streams));
    }
    // RFC 8866 §5.14: media, port and protocol stand before the formats.
    let formats = media().map(|line| {
        let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
        words.saturating_sub(3)
    });
    match formats.max().filter(|most| *most > limits.formats) {
        Some(most) => Err(SdpError::TooManyFormats(most)),
        None => Ok(()),
    }
}

/// Tells whether the fields of an origin or a stream are parted by anything but spaces (RFC 8866 §9), or a stream has no
/// protocol: the codec, peers and this side would each find other ones.
fn has_other_fields(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some(fields) = line.strip_prefix(b"m=").or_else(|| line.strip_prefix(b"o=")) else { return false };
    let words = fields.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).count();
    fields.starts_with(b" ")
        || fields.iter().any(|byte| byte.is_ascii_whitespace() && *byte != b' ')
        || words < 3
}
