use sdp_types::attributes::Direction;

use super::{Description, SdpError};

/// How the streams of a description were directed before [`Description::hold`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The lines of each stream that say so.
    streams: Vec<Vec<String>>,
}

impl Description {
    /// Returns which way the media of a stream go: by its own attribute, or by that of the session (RFC 8866 §6.7).
    pub fn direction(&self, stream: usize) -> Result<Direction, SdpError> {
        let range = self.stream(stream)?;
        let said = |mut lines: std::ops::Range<usize>| lines.find_map(|at| direction_of(self.text(at)));
        Ok(said(range).or_else(|| said(0..self.session())).unwrap_or_default())
    }

    /// Directs a stream.
    pub fn direct(&mut self, stream: usize, direction: Direction) -> Result<&mut Self, SdpError> {
        let range = self.stream(stream)?;
        if self.direction(stream)? == direction {
            return Ok(self);
        }
        let lines = self.direction_lines(stream)?;
        for at in &lines {
            self.replace(*at, format!("a={direction}"));
        }
        if lines.is_empty() {
            let end = self.end_of(range);
            self.insert(end, format!("a={direction}"))?;
        }
        Ok(self)
    }

    /// Directs all streams but those that are refused or ended.
    pub fn direct_all(&mut self, direction: Direction) -> Result<&mut Self, SdpError> {
        (0..self.streams())
            .filter(|stream| self.is_live(*stream))
            .collect::<Vec<_>>()
            .into_iter()
            .try_for_each(|stream| self.direct(stream, direction).map(drop))?;
        Ok(self)
    }

    /// Puts the peer on hold: no stream asks for media any more (RFC 3264 §8.4).
    ///
    /// Where a limit leaves no room to say so, the stream stays as it is.
    pub fn hold(&mut self) -> Held {
        let mut streams = Vec::new();
        for stream in 0..self.streams() {
            let lines = self.direction_lines(stream).unwrap_or_default();
            streams.push(lines.into_iter().map(|at| self.text(at).to_owned()).collect());
            let held = match self.direction(stream).unwrap_or_default() {
                Direction::SendRecv | Direction::SendOnly => Direction::SendOnly,
                Direction::RecvOnly | Direction::Inactive => Direction::Inactive,
            };
            if self.is_live(stream) {
                let _unheld = self.direct(stream, held);
            }
        }
        Held { streams }
    }

    /// Takes the peer off hold: every stream is directed as it was.
    ///
    /// Streams that were added meanwhile stay as they are.
    pub fn resume(&mut self, held: &Held) {
        for (stream, before) in held.streams.iter().enumerate() {
            let Ok(lines) = self.direction_lines(stream) else { return };
            // From the end, so that the places of the others stay right.
            for (number, at) in lines.into_iter().enumerate().rev() {
                match before.get(number) {
                    Some(text) => self.replace(at, text.clone()),
                    None => self.remove(at),
                }
            }
        }
    }

    /// Tells whether a stream has a port (RFC 3264 §6, §8.2).
    fn is_live(&self, stream: usize) -> bool {
        self.media(stream).is_ok_and(|media| media.split_ascii_whitespace().nth(1) != Some("0"))
    }

    fn direction_lines(&self, stream: usize) -> Result<Vec<usize>, SdpError> {
        Ok(self.stream(stream)?.filter(|at| direction_of(self.text(*at)).is_some()).collect())
    }
}

fn direction_of(line: &str) -> Option<Direction> {
    line.strip_prefix("a=")?.trim_end().parse().ok()
}
