//! Every file of every part as a stream: however it is cut, what is found is the same.

use std::{fs, path::Path};

use sansip::{
    Limits,
    syntax::{HeaderId, Message},
    transport::{Frame, Framer},
};

use crate::files::{corpus, ran};

/// What a stream was cut into, and what each message is worth.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Message(Vec<u8>, Option<String>),
    Ping,
    Broken(String, Vec<u8>),
}

fn verdict(bytes: &[u8]) -> Option<String> {
    Message::parse(bytes, &Limits::default()).err().map(|refused| refused.error.to_string())
}

/// Cuts bytes that come in pieces; tells what is found, and how many bytes are left.
fn cut<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> (Vec<Found>, usize) {
    let (limits, mut framer, mut found) = (Limits::default(), Framer::new(), Vec::new());
    for mut piece in pieces {
        loop {
            match framer.next(&mut piece, &limits) {
                Frame::Message(bytes) => found.push(Found::Message(bytes.to_vec(), verdict(bytes))),
                Frame::Ping => found.push(Found::Ping),
                Frame::Incomplete => break,
                Frame::Broken { error, head } => {
                    found.push(Found::Broken(error.to_string(), head.to_vec()));
                    return (found, 0);
                }
            }
        }
    }
    (found, framer.unfinished())
}

fn assert_same(path: &Path, chance: &mut u64) -> bool {
    let bytes = fs::read(path).expect("it is listed");
    let whole = cut(std::iter::once(bytes.as_slice()));
    assert_eq!(cut(bytes.chunks(1)), whole, "{}: byte by byte", path.display());
    for _ in 0..3 {
        let mut rest = bytes.as_slice();
        let chunks = std::iter::from_fn(|| {
            // Numbers without any pattern that a message could have (Knuth's generator).
            *chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let size = 1 + usize::try_from((*chance >> 33) % 200).expect("it is small");
            let (chunk, left) = rest.split_at(size.min(rest.len()));
            rest = left;
            (!chunk.is_empty()).then_some(chunk)
        });
        assert_eq!(cut(chunks), whole, "{}: in chunks", path.display());
    }
    // In a datagram the same bytes are worth the same, where both ways to tell the end agree.
    let Some(Found::Message(first, verdict_of_stream)) = whole.0.first() else { return false };
    let framed = Message::split(first, &Limits::default())
        .is_ok_and(|message| message.view().header(HeaderId::ContentLength).is_some());
    if framed && bytes.starts_with(first) {
        assert_eq!(*verdict_of_stream, verdict(&bytes), "{}: as a datagram", path.display());
    }
    true
}

/// RFC 3261 §18.3: where a read ends means nothing.
#[test]
fn pieces_do_not_matter() {
    let Some(root) = corpus("INDEX.md").and_then(|index| Some(index.parent()?.to_owned())) else { return };
    let mut chance = 7;
    let mut folders = vec![root];
    let (mut files, mut messages) = (0, 0);
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> =
            fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else {
                files += 1;
                messages += usize::from(assert_same(&path, &mut chance));
            }
        }
    }
    assert!(files > 2900 && messages > 1000, "{files} files, {messages} with a message");
    ran("all parts as streams", &format!("{files} files, {messages} with a message"));
}
