use std::{collections::VecDeque, slice::Iter};

use sansip::{
    Destination, DnsError, Instant, Limits, Output, Preference, Proto, Reach, RecordData, RecordKind,
    Records, Resolver, Seed, UriBuf,
};

/// Answers the questions of searches for servers with whatever the bytes say (RFC 3263): the work is bounded, each search
/// ends once, and a list that it gives is in bounds.
pub fn dns_answers(bytes: &[u8]) {
    let mut bytes = bytes.iter();
    let mut limits = Limits::default();
    (limits.dns_entries, limits.dns_questions) = (4, 12);
    let mut reach = Reach::default();
    for proto in Proto::ALL {
        reach = reach.with(proto, true).with(proto, false).choosing(proto);
    }
    let (mut resolver, mut now) = (Resolver::new(&Seed::from_u64(1)), Instant::EPOCH);
    let mut out = VecDeque::new();
    for (key, uri) in URIS.into_iter().enumerate() {
        let Ok(uri) = uri.parse::<UriBuf>() else { continue };
        let to = Destination::of(uri.as_uri()).expect("these lead somewhere");
        assert!(resolver.resolve(now, &limits, (key, &to), (reach, Preference::Ipv4), &mut out));
    }
    let mut asked = 0;
    while let Some(output) = out.pop_front() {
        let Output::Resolve { query, kind, .. } = output else { panic!("{output:?}") };
        asked += 1;
        assert!(asked <= URIS.len() * limits.dns_questions, "the work is bounded");
        now += std::time::Duration::from_millis(next(&mut bytes).into());
        let answer = answer(kind, &mut bytes);
        resolver.resolved(now, &limits, query, answer.clone(), &mut out);
        // Once more: nobody asks any longer.
        resolver.resolved(now, &limits, query, answer, &mut out);
        while resolver.expire(now, &limits) {}
    }
    while resolver.expire(now + limits.resolve, &limits) {}
    let mut ended: Vec<usize> = Vec::new();
    while let Some((key, found)) = resolver.poll_found() {
        assert!(found.map_or(0, |places| places.len()) <= limits.attempts);
        ended.push(key);
    }
    ended.sort_unstable();
    assert_eq!(ended, (0..URIS.len()).collect::<Vec<_>>());
}

/// Makes an answer, to the question or to another.
fn answer(kind: RecordKind, bytes: &mut Iter<'_, u8>) -> Result<Records, DnsError> {
    let first = next(bytes);
    let kind = match first % 16 {
        0 => return Err(DnsError::Failed),
        1 => return Err(DnsError::TimedOut),
        2 => RecordKind::Srv,
        3 => RecordKind::A,
        _ => kind,
    };
    let count = first / 16;
    let found: Vec<RecordData> = (0..count).filter_map(|_| data(kind, bytes)).collect();
    Ok(Records::collect(kind, found, Some(next(bytes).into())))
}

fn data(kind: RecordKind, bytes: &mut Iter<'_, u8>) -> Option<RecordData> {
    let [a, b, c] = [next(bytes), next(bytes), next(bytes)];
    let name = NAMES[usize::from(c) % NAMES.len()];
    match kind {
        RecordKind::A => Some(RecordData::Address([192, 0, a % 2, b].into())),
        RecordKind::Aaaa => Some(RecordData::Address([0x2001, 0xdb8, 0, 0, 0, 0, a.into(), b.into()].into())),
        RecordKind::Srv => RecordData::srv((u16::from(a % 4), u16::from(b) * 257, u16::from(c)), name),
        RecordKind::Naptr => {
            let services: [&[u8]; 5] = [b"SIP+D2U", b"SIP+D2T", b"SIPS+D2T", b"SIPS+D2W", b"E2U+sip"];
            let texts = [if b < 200 { b"s" } else { b"u" }, services[usize::from(b) % 5], &[][..]];
            RecordData::naptr((u16::from(a % 4), u16::from(b % 4)), texts, name)
        }
        _ => None,
    }
}

fn next(bytes: &mut Iter<'_, u8>) -> u8 {
    bytes.next().copied().unwrap_or(0)
}

const URIS: [&str; 5] =
    ["sip:a.example", "sips:a.example", "sip:b.example;transport=tcp", "sip:b.example:5070", "sip:192.0.2.1"];

const NAMES: [&str; 6] = [".", "a.example", "b.example", "_sip._udp.a.example", "c.example", "no such name"];
