use std::borrow::Cow;

/// Reads the value of `username*`, UTF-8 and percent-encoded: `UTF-8''J%C3%A4s%C3%B8n` (RFC 7616 §3.4).
pub(super) fn decode(value: &str) -> Option<Cow<'_, str>> {
    let (charset, rest) = value.split_once('\'')?;
    let (_language, name) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("UTF-8") {
        return None;
    }
    if !name.contains('%') {
        return Some(Cow::Borrowed(name));
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (&[high, low], after) = rest.split_first_chunk()?;
        bytes.push(hex(high)? << 4 | hex(low)?);
        rest = after;
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// Writes a name so that [`decode`] gives it back.
pub(super) fn encode(name: &str) -> String {
    let digit = |value: u8| char::from(if value < 10 { b'0' + value } else { b'A' - 10 + value });
    let mut text = String::from("UTF-8''");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    text
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| value.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AU-01, RFC 7616 §3.9.2: the name that it prints.
    #[test]
    fn reads_percent_encoded_names() {
        assert_eq!(decode("UTF-8''J%C3%A4s%C3%B8n%20Doe").as_deref(), Some("Jäsøn Doe"));
        assert_eq!(decode("utf-8'en'bob").as_deref(), Some("bob"));
        assert_eq!(encode("Jäsøn Doe\n"), "UTF-8''J%C3%A4s%C3%B8n%20Doe%0A");
        for bad in ["", "bob", "UTF-8'bob", "ISO-8859-1''bob", "UTF-8''%C3", "UTF-8''%4", "UTF-8''%g0"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
