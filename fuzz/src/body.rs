use sansip::{
    Limits,
    body::{multipart, sipfrag},
};

/// Reads the bytes as a fragment of a message; and as a multipart body whose Content-Type is the first line.
pub fn body(bytes: &[u8]) {
    let limits = Limits::default();
    if let Ok(fragment) = sipfrag::parse(bytes, &limits) {
        assert!(fragment.body().len() <= bytes.len());
        let _ = (fragment.start(), fragment.status(), fragment.headers().as_str());
    }
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return };
    let Ok(content_type) = std::str::from_utf8(&bytes[..end]) else { return };
    let body = &bytes[end + 1..];
    if let Ok(parts) = multipart::parts(content_type, body, &limits) {
        let mut size = 0;
        for part in parts.map_while(Result::ok) {
            let _ = (part.disposition(), part.content_id(), part.headers().as_str());
            size += part.body().len();
        }
        assert!(size <= body.len(), "parts do not overlap");
    }
    if let Ok(leaves) = multipart::leaves(content_type, body, &limits) {
        assert!(leaves.count() <= limits.body_parts + 1, "with one error at the end");
    }
}
