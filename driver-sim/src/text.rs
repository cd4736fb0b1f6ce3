//! The little of SIP that a simulator reads: start lines, header fields, and where a message on a stream ends.

use std::borrow::Cow;

/// The start line of a message (RFC 3261 §7.1, §7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start<'a> {
    Request { method: &'a str, uri: &'a str },
    Response { status: u16, reason: &'a str },
}

/// Reads the start line, `None` if this is no SIP message.
pub(crate) fn start(message: &[u8]) -> Option<Start<'_>> {
    let line = first_line(message)?;
    if let Some(rest) = line.strip_prefix("SIP/2.0 ") {
        let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        return Some(Start::Response { status: status.parse().ok()?, reason });
    }
    let mut words = line.split(' ');
    let (method, uri, version) = (words.next()?, words.next()?, words.next()?);
    (version == "SIP/2.0" && words.next().is_none()).then_some(Start::Request { method, uri })
}

/// Returns the first line without its end, `None` if it is empty or not text.
pub(crate) fn first_line(message: &[u8]) -> Option<&str> {
    let end = message.iter().position(|byte| *byte == b'\n').unwrap_or(message.len());
    let line = std::str::from_utf8(&message[..end]).ok()?.trim_end_matches('\r');
    (!line.is_empty()).then_some(line)
}

/// Returns the values of all header fields of a name, in order, compact forms (RFC 3261 §7.3.3) and folds included.
pub(crate) fn headers<'a>(message: &'a [u8], name: &str) -> Vec<Cow<'a, str>> {
    let mut values: Vec<Cow<'a, str>> = Vec::new();
    let mut wanted = false;
    for line in header_lines(message) {
        if line.starts_with([' ', '\t']) {
            if let (true, Some(value)) = (wanted, values.last_mut()) {
                *value = format!("{value} {}", line.trim()).into();
            }
            continue;
        }
        let Some((field, value)) = line.split_once(':') else {
            wanted = false;
            continue;
        };
        wanted = long_name(field.trim()).eq_ignore_ascii_case(name);
        if wanted {
            values.push(value.trim().into());
        }
    }
    values
}

/// Returns the value of the first header field of a name.
pub(crate) fn header<'a>(message: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    headers(message, name).into_iter().next()
}

/// Returns what follows the empty line.
pub(crate) fn body(message: &[u8]) -> &[u8] {
    &message[head_length(message).unwrap_or(message.len())..]
}

/// Returns the CSeq's number and method (RFC 3261 §20.16).
pub(crate) fn cseq(message: &[u8]) -> Option<(u32, String)> {
    let value = header(message, "CSeq")?;
    let (number, method) = value.split_once([' ', '\t'])?;
    Some((number.parse().ok()?, method.trim().to_owned()))
}

/// Tells whether a message is what a word or two say: `INVITE`, `180`, `2xx`, `200 INVITE`.
///
/// A word is a method of a request, a status code or class of a response; a second word is the method of its CSeq.
pub(crate) fn matches(message: &[u8], pattern: &str) -> bool {
    let mut words = pattern.split_whitespace();
    let Some(first) = words.next() else { return false };
    match start(message) {
        Some(Start::Request { method, .. }) => method == first && words.next().is_none(),
        Some(Start::Response { status, .. }) => {
            let class = first.strip_suffix("xx").and_then(|class| class.parse().ok());
            let said = first.parse() == Ok(status) || class == Some(status / 100);
            said && words.next().is_none_or(|method| cseq(message).is_some_and(|(_, cseq)| cseq == method))
        }
        None => false,
    }
}

/// Returns a short name: `INVITE (1)`, `180 Ringing (1 INVITE)`, or what else is in the bytes.
pub(crate) fn label(message: &[u8]) -> String {
    match (start(message), cseq(message)) {
        (Some(Start::Request { method, .. }), Some((number, _))) => format!("{method} ({number})"),
        (Some(Start::Request { method, .. }), None) => method.to_owned(),
        (Some(Start::Response { status, reason }), Some((number, method))) => {
            format!("{} ({number} {method})", format!("{status} {reason}").trim_end())
        }
        (Some(Start::Response { status, reason }), None) => {
            format!("{status} {reason}").trim_end().to_owned()
        }
        (None, _) if message.iter().all(|byte| matches!(byte, b'\r' | b'\n')) => {
            format!("keep-alive, {} bytes", message.len())
        }
        (None, _) => match first_line(message) {
            Some(line) if line.chars().all(|c| c == ' ' || c.is_ascii_graphic()) => line.to_owned(),
            _ => format!("{} bytes", message.len()),
        },
    }
}

/// Returns how many bytes at the start of a stream are one message (RFC 3261 §18.3), `None` if it is not complete.
pub(crate) fn frame(stream: &[u8]) -> Option<usize> {
    let head = head_length(stream)?;
    let length = header(&stream[..head], "Content-Length").and_then(|value| value.parse::<usize>().ok());
    let end = head.checked_add(length.unwrap_or(0))?;
    (end <= stream.len()).then_some(end)
}

fn head_length(message: &[u8]) -> Option<usize> {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(end + 4)
}

fn header_lines(message: &[u8]) -> impl Iterator<Item = &str> {
    let head = &message[..head_length(message).unwrap_or(message.len())];
    head.split(|byte| *byte == b'\n')
        .skip(1)
        .map(|line| std::str::from_utf8(line).unwrap_or_default().trim_end_matches('\r'))
}

fn long_name(name: &str) -> &str {
    let [letter] = name.as_bytes() else { return name };
    match letter.to_ascii_lowercase() {
        b'v' => "Via",
        b'f' => "From",
        b't' => "To",
        b'i' => "Call-ID",
        b'm' => "Contact",
        b'l' => "Content-Length",
        b'c' => "Content-Type",
        b's' => "Subject",
        b'k' => "Supported",
        b'e' => "Content-Encoding",
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &[u8] = b"INVITE sip:bob@example.com SIP/2.0\r\nv: SIP/2.0/UDP a\r\nVia: SIP/2.0/UDP b\r\n\
        Subject: a\r\n  folded one\r\nCSeq: 7 INVITE\r\nl: 3\r\n\r\nabcdef";
    const RINGING: &[u8] = b"SIP/2.0 180 Ringing\r\nCSeq: 7 INVITE\r\n\r\n";

    #[test]
    fn messages_are_named_and_matched() {
        assert_eq!(label(INVITE), "INVITE (7)");
        assert_eq!(label(RINGING), "180 Ringing (7 INVITE)");
        assert_eq!(label(b"hello"), "hello");
        assert_eq!(label(b"\r\n\r\n"), "keep-alive, 4 bytes");
        assert_eq!(label(&[0xff, 0]), "2 bytes");
        for (message, pattern, is) in [
            (INVITE, "INVITE", true),
            (INVITE, "invite", false),
            (INVITE, "200", false),
            (RINGING, "180", true),
            (RINGING, "1xx", true),
            (RINGING, "2xx", false),
            (RINGING, "180 INVITE", true),
            (RINGING, "180 BYE", false),
            (b"hello", "hello", false),
        ] {
            assert_eq!(matches(message, pattern), is, "{pattern}");
        }
    }

    #[test]
    fn header_fields_are_found_in_any_form() {
        assert_eq!(headers(INVITE, "via"), ["SIP/2.0/UDP a", "SIP/2.0/UDP b"]);
        assert_eq!(headers(INVITE, "Subject"), ["a folded one"]);
        assert_eq!(body(INVITE), b"abcdef");
    }

    #[test]
    fn streams_are_framed_by_content_length() {
        let end = INVITE.len() - 3;
        assert_eq!(frame(INVITE), Some(end), "three bytes of six belong to it");
        assert_eq!(frame(&INVITE[..end]), Some(end));
        assert_eq!(frame(&INVITE[..end - 1]), None);
        assert_eq!(frame(&INVITE[..40]), None);
    }
}
