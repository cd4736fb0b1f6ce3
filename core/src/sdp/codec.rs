use super::{Description, SdpError};

/// A format of a stream and what is said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec<'a> {
    /// The payload type, or whatever the protocol of the stream has for formats.
    pub payload: &'a str,
    /// Encoding, clock rate and channels, such as `opus/48000/2`: from the `rtpmap`, or what RFC 3551 §6 lays down.
    pub encoding: Option<&'a str>,
    /// The parameters, from the `fmtp`.
    pub parameters: Option<&'a str>,
}

impl<'a> Codec<'a> {
    /// Returns the name of the encoding.
    pub fn name(&self) -> &'a str {
        self.encoding.and_then(|encoding| encoding.split('/').next()).unwrap_or("")
    }

    /// Tells whether the encoding has this name, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }
}

impl Description {
    /// Returns the formats of a stream, the preferred one first.
    pub fn codecs(&self, stream: usize) -> Result<Vec<Codec<'_>>, SdpError> {
        let attributes: Vec<&str> = self.attributes(stream)?.collect();
        let about = |name: &str, payload: &str| {
            attributes.iter().find_map(|text| about(text, payload).filter(|_| is_named(text, name)))
        };
        let rtp =
            self.media(stream)?.split_ascii_whitespace().nth(2).is_some_and(|proto| proto.contains("RTP/"));
        let codec = |payload| {
            let fixed = || fixed_encoding(payload).filter(|_| rtp);
            let encoding = about("rtpmap", payload).or_else(fixed);
            Codec { payload, encoding, parameters: about("fmtp", payload) }
        };
        Ok(self.formats(stream)?.into_iter().map(codec).collect())
    }

    /// Removes the formats of a stream that `keep` does not want, and what is said about them.
    ///
    /// A format that only repairs another, such as `rtx` (RFC 4588 §8.1), goes with it. If none were left, nothing
    /// changes.
    pub fn retain_codecs(
        &mut self,
        stream: usize,
        mut keep: impl FnMut(&Codec<'_>) -> bool,
    ) -> Result<&mut Self, SdpError> {
        let codecs = self.codecs(stream)?;
        let gone: Vec<&str> = codecs.iter().filter(|codec| !keep(codec)).map(|codec| codec.payload).collect();
        let repairs_gone = |codec: &Codec<'_>| repaired(codec).is_some_and(|payload| gone.contains(&payload));
        let (gone, left): (Vec<&Codec<'_>>, Vec<&Codec<'_>>) =
            codecs.iter().partition(|codec| gone.contains(&codec.payload) || repairs_gone(codec));
        if left.is_empty() {
            return Err(SdpError::NoFormatLeft);
        }
        if gone.is_empty() {
            return Ok(self);
        }
        let media = self.media_with(stream, left.iter().map(|codec| codec.payload))?;
        let range = self.stream(stream)?;
        let about_gone = |at: &usize| {
            let text = self.text(*at).strip_prefix("a=").unwrap_or("");
            gone.iter().any(|codec| {
                ABOUT.iter().any(|name| is_named(text, name)) && about(text, codec.payload).is_some()
            })
        };
        let lines: Vec<usize> = range.clone().filter(about_gone).collect();
        self.replace(range.start, media);
        lines.into_iter().rev().for_each(|at| self.remove(at));
        Ok(self)
    }

    /// Puts the formats of a stream in the order of their keys, the smallest first; equal ones keep theirs.
    pub fn sort_codecs<K: Ord>(
        &mut self,
        stream: usize,
        key: impl FnMut(&Codec<'_>) -> K,
    ) -> Result<&mut Self, SdpError> {
        let before = self.codecs(stream)?;
        let mut codecs = before.clone();
        codecs.sort_by_key(key);
        if codecs != before {
            let media = self.media_with(stream, codecs.iter().map(|codec| codec.payload))?;
            let at = self.stream(stream)?.start;
            self.replace(at, media);
        }
        Ok(self)
    }

    /// Adds a format at the end of those of a stream, with its `rtpmap` and, if there are parameters, its `fmtp`.
    pub fn add_codec(
        &mut self,
        stream: usize,
        payload: u8,
        encoding: &str,
        parameters: Option<&str>,
    ) -> Result<&mut Self, SdpError> {
        let number = payload.to_string();
        let mut formats = self.formats(stream)?;
        if formats.contains(&&*number) {
            return Err(SdpError::PayloadTaken(payload));
        }
        formats.push(&number);
        if formats.len() > self.most_formats {
            return Err(SdpError::TooManyFormats(formats.len()));
        }
        let media = self.media_with(stream, formats.into_iter())?;
        // On a copy, so that an error leaves nothing half done.
        let mut changed = self.clone();
        changed.add_attribute(stream, &format!("rtpmap:{payload} {encoding}"))?;
        if let Some(parameters) = parameters {
            changed.add_attribute(stream, &format!("fmtp:{payload} {parameters}"))?;
        }
        let at = changed.stream(stream)?.start;
        changed.replace(at, media);
        *self = changed;
        Ok(self)
    }

    fn formats(&self, stream: usize) -> Result<Vec<&str>, SdpError> {
        Ok(self.media(stream)?.split_ascii_whitespace().skip(3).collect())
    }

    /// Returns the `m=` line of a stream with other formats.
    fn media_with<'f>(
        &self,
        stream: usize,
        formats: impl Iterator<Item = &'f str>,
    ) -> Result<String, SdpError> {
        let mut words = self.media(stream)?.split_ascii_whitespace();
        let mut line = String::from("m=");
        line.extend(
            words.by_ref().take(3).enumerate().flat_map(|(at, word)| [if at > 0 { " " } else { "" }, word]),
        );
        line.extend(formats.flat_map(|format| [" ", format]));
        Ok(line)
    }
}

/// Attributes that begin with the format that they are about (RFC 8866 §6.6, §6.15; RFC 4585 §4.2).
const ABOUT: [&str; 3] = ["rtpmap", "fmtp", "rtcp-fb"];

fn is_named(attribute: &str, name: &str) -> bool {
    attribute.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'))
}

/// Returns what an attribute says about a format, if it is about it.
fn about<'a>(attribute: &'a str, payload: &str) -> Option<&'a str> {
    let rest = attribute.split_once(':')?.1.trim_start().strip_prefix(payload)?;
    rest.starts_with([' ', '\t']).then(|| rest.trim())
}

/// Returns the format that another one repairs.
fn repaired<'a>(codec: &Codec<'a>) -> Option<&'a str> {
    codec.parameters?.split(';').find_map(|parameter| parameter.trim().strip_prefix("apt=")).map(str::trim)
}

/// RFC 3551 §6, tables 4 and 5.
fn fixed_encoding(payload: &str) -> Option<&'static str> {
    let payload: u8 = payload.parse().ok()?;
    FIXED.iter().find(|fixed| fixed.0 == payload).map(|fixed| fixed.1)
}

const FIXED: [(u8, &str); 23] = [
    (0, "PCMU/8000"),
    (3, "GSM/8000"),
    (4, "G723/8000"),
    (5, "DVI4/8000"),
    (6, "DVI4/16000"),
    (7, "LPC/8000"),
    (8, "PCMA/8000"),
    (9, "G722/8000"),
    (10, "L16/44100/2"),
    (11, "L16/44100"),
    (12, "QCELP/8000"),
    (13, "CN/8000"),
    (14, "MPA/90000"),
    (15, "G728/8000"),
    (16, "DVI4/11025"),
    (17, "DVI4/22050"),
    (18, "G729/8000"),
    (25, "CelB/90000"),
    (26, "JPEG/90000"),
    (31, "H261/90000"),
    (32, "MPV/90000"),
    (33, "MP2T/90000"),
    (34, "H263/90000"),
];
