use super::{
    HeaderId,
    parse::{Lines, skip_line_breaks},
    scan::{self, Cursor, Span},
};

/// Returns the Call-ID of a message without parsing the rest.
///
/// Of bytes that [`Message::parse`](super::Message::parse) accepts it is the very Call-ID found there. Other bytes may
/// have one or not.
pub fn call_id(bytes: &[u8]) -> Option<&[u8]> {
    let input = bytes.get(skip_line_breaks(bytes)..)?;
    let window = input.get(..usize::from(u16::MAX)).unwrap_or(input);
    let mut lines = Lines::new(window);
    lines.next_line().ok()?;
    loop {
        let line = lines.next_line().ok()?;
        if line.len() == 0 {
            return None;
        }
        // Compact or not, in any case.
        if matches!(window.get(line.start()), Some(b'i' | b'I' | b'c' | b'C'))
            && let Some(value) = value_of_call_id(window, line)
        {
            return Some(value);
        }
    }
}

fn value_of_call_id(bytes: &[u8], line: Span) -> Option<&[u8]> {
    let mut cursor = Cursor::within(bytes, line);
    let name = cursor.take(scan::TOKEN);
    if HeaderId::of_bytes(name.bytes(bytes)) != HeaderId::CallId || !cursor.eat_separator(b':') {
        return None;
    }
    let value = cursor.take(scan::VISIBLE);
    cursor.finish().ok()?;
    (value.len() > 0).then(|| value.bytes(bytes))
}
