use std::{fs, io, path::PathBuf};

use sansip::{
    Limits,
    syntax::{HeaderId, Message, View},
};

use crate::{header::first_byte, sdp_edits::KINDS};

/// An input: the name of the target that it is for, and the bytes.
pub type Input = (&'static str, Vec<u8>);

/// Makes inputs for all targets from a message of any corpus, good or not.
pub fn inputs_of(bytes: &[u8]) -> Vec<Input> {
    let mut inputs: Vec<Input> =
        ["message", "rsip", "body", "sdp", "dns_answers"].map(|target| (target, bytes.to_vec())).into();
    inputs.push(("stream_frame", [&[3, 1, 60, 13], bytes].concat()));
    inputs.push(("endpoint_bytes", [&[0], bytes].concat()));
    inputs.push(("stun", [&[255, 0, 0], bytes].concat()));
    inputs.push(("tls_records", [&[4, 60, 13, 60, 1, 0, 255, 255], bytes].concat()));
    inputs.push(("ws", [&[0, 3, 1, 60, 13], &frame(bytes)[..]].concat()));
    if let Ok(mut message) = Message::split(bytes, &Limits::default()) {
        let _ = message.check();
        parts(message.view(), &mut inputs);
    }
    inputs
}

fn parts(view: View<'_>, inputs: &mut Vec<Input>) {
    inputs.push(("uri", view.request_uri_text().into()));
    for (name, value, id) in view.fields() {
        let first = name.parse().map(|name| first_byte(&name)).unwrap_or(u8::MAX);
        inputs.push(("header", [&[first], value.as_bytes()].concat()));
        inputs.extend(
            view.addresses(id).filter_map(Result::ok).map(|address| ("uri", address.uri_text().into())),
        );
    }
    if !view.body().is_empty() {
        inputs.push(("sdp", view.body().into()));
        inputs.push(("sdp_edits", [&every_edit()[..], b"\n", view.body()].concat()));
        let content_type = view.header(HeaderId::ContentType).unwrap_or("");
        inputs.push(("body", [content_type.as_bytes(), b"\n", view.body()].concat()));
    }
}

/// Returns an instruction of each kind for the first stream, none of whose bytes is a line break.
fn every_edit() -> Vec<u8> {
    (KINDS..2 * KINDS).flat_map(|kind| [kind, 0, kind.wrapping_mul(13)]).collect()
}

/// Writes a frame of WebSocket as a client does (RFC 6455 §5.2), masked with zeros.
fn frame(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&[0x82, 0xfe][..], &length.to_be_bytes(), &[0; 4], bytes].concat()
}

/// Lists the files in some folders and all below them.
pub fn files(folders: impl Iterator<Item = PathBuf>) -> io::Result<Vec<PathBuf>> {
    let mut open: Vec<PathBuf> = folders.collect();
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(path)? {
                open.push(entry?.path());
            }
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
