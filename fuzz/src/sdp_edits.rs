use sansip::{
    Limits,
    sdp::{Description, Direction},
};

/// Reads a description behind a line of instructions, changes it by them, and holds every change to what it promises:
/// the result can be read again as it is, a change touches its own lines alone, and one that fails touches nothing.
pub fn sdp_edits(bytes: &[u8]) {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return };
    let (instructions, rest) = (&bytes[..end], &bytes[end + 1..]);
    let limits = Limits::default();
    let Ok(mut description) = Description::parse(rest, &limits) else { return };
    assert_eq!(description.to_bytes(), rest, "what is not changed stays");
    for instruction in instructions.chunks(3).take(16) {
        let before = description.clone();
        let done = change(&mut description, instruction);
        if !done {
            assert_eq!(description, before, "{instruction:?}");
        }
        let written = description.to_bytes();
        match Description::parse(&written, &limits) {
            Ok(again) => assert_eq!(again, description, "{instruction:?}"),
            Err(error) => panic!("{error}: {instruction:?}: {}", String::from_utf8_lossy(&written)),
        }
        assert_eq!(description.streams(), before.streams(), "{instruction:?}");
        let touched = touches(instruction, before.streams());
        for stream in (0..before.streams()).filter(|stream| touched != Some(*stream) && touched.is_some()) {
            let lines = |of: &Description| {
                of.attributes(stream).map(|all| all.map(str::to_owned).collect::<Vec<_>>())
            };
            assert_eq!(lines(&description), lines(&before), "{instruction:?}");
            assert_eq!(description.media(stream), before.media(stream), "{instruction:?}");
        }
    }
}

/// Returns the one stream that an instruction is about, if it is about one.
fn touches(instruction: &[u8], streams: usize) -> Option<usize> {
    let &[what, stream, ..] = instruction else { return None };
    (what % KINDS < ONE_STREAM).then(|| usize::from(stream) % (streams + 1))
}

/// Kinds of instructions.
pub const KINDS: u8 = 11;
/// Those that are about one stream come first.
const ONE_STREAM: u8 = 8;

/// Follows one instruction: what to do, to which stream, and with what. Tells whether it was done.
fn change(description: &mut Description, instruction: &[u8]) -> bool {
    let &[what, stream, with, ..] = instruction else { return true };
    // One more than there are, so that there may be none.
    let stream = usize::from(stream) % (description.streams() + 1);
    let word = WORDS[usize::from(with) % WORDS.len()];
    match what % KINDS {
        0 => directed(description, stream, with),
        1 => description.add_attribute(stream, word).is_ok_and(|after| has_last(after, stream, word)),
        2 => {
            let name = word.split(':').next().unwrap_or("");
            let removed = description.remove_attributes(stream, name);
            let left = |name: &str, text: &str| {
                text == name || text.split_once(':').is_some_and(|pair| pair.0 == name)
            };
            let none = description.attributes(stream).map(|mut all| !all.any(|text| left(name, text)));
            removed.is_ok_and(|_| none.expect("there is a stream"))
        }
        3 => description.add_candidate(stream, word).is_ok(),
        4 => match description.remove_candidates(stream) {
            Ok(removed) => {
                assert_eq!(description.candidates(stream).map(Iterator::count), Ok(0));
                let back =
                    removed.iter().try_for_each(|one| description.add_candidate(stream, one).map(drop));
                // An empty one or one too many cannot be added again.
                back.is_ok() || !removed.is_empty()
            }
            Err(_) => false,
        },
        5 => {
            let keep =
                |payload: &str| payload.bytes().map(usize::from).sum::<usize>() % 3 != usize::from(with) % 3;
            description.retain_codecs(stream, |codec| keep(codec.payload)).is_ok()
        }
        6 => {
            let mut before = payloads(description, stream);
            let done =
                description.sort_codecs(stream, |codec| codec.payload.len() ^ usize::from(with & 3)).is_ok();
            let mut after = payloads(description, stream);
            before.sort();
            after.sort();
            assert_eq!(after, before);
            done
        }
        7 => description.add_codec(stream, with, word, (with > 127).then_some(word)).is_ok_and(|after| {
            assert!(payloads(after, stream).contains(&with.to_string()));
            true
        }),
        8 => incremented(description),
        9 => {
            let directions =
                |of: &Description| (0..of.streams()).map(|at| of.direction(at)).collect::<Vec<_>>();
            let before = directions(description);
            let held = description.hold();
            description.resume(&held);
            assert_eq!(directions(description), before);
            true
        }
        _ => {
            let _held = description.hold();
            true
        }
    }
}

fn directed(description: &mut Description, stream: usize, with: u8) -> bool {
    let all = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
    let wanted = all[usize::from(with) % all.len()];
    let done = description.direct(stream, wanted).is_ok();
    if done {
        assert_eq!(description.direction(stream), Ok(wanted));
    }
    done
}

fn incremented(description: &mut Description) -> bool {
    let before = description.clone();
    let done = description.increment().is_ok();
    if done {
        assert!(description.compare_version(&before).is_some_and(|order| order.is_gt()));
        assert_eq!(description.version(), before.version().map(|version| version + 1));
    }
    done
}

fn has_last(description: &Description, stream: usize, attribute: &str) -> bool {
    assert_eq!(description.attributes(stream).ok().and_then(|all| all.last()), Some(attribute));
    true
}

fn payloads(description: &Description, stream: usize) -> Vec<String> {
    let codecs = description.codecs(stream).unwrap_or_default();
    codecs.into_iter().map(|codec| codec.payload.to_owned()).collect()
}

/// What is added: good and bad lines, and what could be taken for something else.
const WORDS: [&str; 16] = [
    "rtpmap:0 PCMU/8000",
    "fmtp:96 apt=0",
    "candidate:1 1 UDP 1 192.0.2.1 9 typ host",
    "mid:1",
    "sendonly",
    "recvonly",
    "inactive",
    "sendrecv",
    "opus/48000/2",
    "x",
    "",
    " ",
    "x\r\nm=audio 1 RTP/AVP 0",
    "\n",
    "rtpmap:96 a\u{e9}/1",
    "group:BUNDLE 1",
];
