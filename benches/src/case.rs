use std::hint::black_box;

use bytes::BytesMut;
use sansip::{
    Limits, StatusCode,
    syntax::{Encoder, HeaderId, Message, ViaStamp},
};

use crate::{Caller, FLOODS, Flood, Keep, Load, Parser, Shape, Template};

/// An instrument: it counts while work runs, and not between.
pub trait Meter {
    /// Runs a piece of work and counts what it costs.
    fn measure(&mut self, work: &mut dyn FnMut());
}

/// Something whose cost is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// A message read.
    Parse(Parser, Shape),
    /// So many bytes, full of one thing, read as everything.
    Flood(Flood, usize),
    /// A 200 built from the INVITE.
    Build,
    /// A copy of an OPTIONS that was answered: the answer goes out again.
    Absorbed,
    /// A 200 for an INVITE sent again by its timer.
    SentAgain,
    /// OPTIONS in, 200 out, nothing kept.
    Stateless,
    /// OPTIONS in, 200 out, and the end of the transaction at Timer J.
    Transaction,
    /// INVITE, 180, 200, ACK, BYE, 200, and the end of the transactions.
    Call,
}

/// All cases that are not about reading.
pub const CASES: [Case; 6] =
    [Case::Build, Case::Absorbed, Case::SentAgain, Case::Stateless, Case::Transaction, Case::Call];

/// So many transactions or calls are live while the cost of one is counted.
const LIVE: u32 = 1000;

impl Case {
    /// Returns the name that [`parse`](Self::parse) reads.
    pub fn name(self) -> String {
        match self {
            Self::Parse(parser, shape) => format!("{}/{}", parser.name(), shape.name()),
            Self::Flood(flood, size) => format!("{size} bytes of {}", flood.name()),
            Self::Build => "build 200".into(),
            Self::Absorbed => "retransmission absorbed".into(),
            Self::SentAgain => "retransmission sent".into(),
            Self::Stateless => "stateless OPTIONS".into(),
            Self::Transaction => "OPTIONS transaction".into(),
            Self::Call => "UAS call".into(),
        }
    }

    /// Finds a case by its name.
    pub fn parse(name: &str) -> Option<Self> {
        let reading = Parser::ALL
            .into_iter()
            .flat_map(|parser| Shape::ALL.into_iter().map(move |shape| Self::Parse(parser, shape)));
        let floods = FLOODS
            .into_iter()
            .flat_map(|flood| Flood::SIZES.into_iter().map(move |size| Self::Flood(flood, size)));
        CASES.into_iter().chain(reading).chain(floods).find(|case| case.name() == name)
    }

    /// Warms up, then runs under the meter. Returns how many messages, transactions or calls were counted; `None` if a
    /// parser refuses the message.
    pub fn run(self, meter: &mut dyn Meter) -> Option<u64> {
        match self {
            Self::Parse(parser, shape) => read(meter, parser, shape),
            Self::Flood(flood, size) => {
                let inputs = flood.inputs(size);
                repeat(meter, 1, || inputs.read())
            }
            Self::Build => Some(build(meter)),
            Self::Absorbed => Some(absorbed(meter)),
            Self::SentAgain => Some(sent_again(meter)),
            Self::Stateless => Some(options(meter, Keep::Nothing)),
            Self::Transaction => Some(options(meter, Keep::Transactions)),
            Self::Call => Some(call(meter)),
        }
    }
}

fn read(meter: &mut dyn Meter, parser: Parser, shape: Shape) -> Option<u64> {
    let (bytes, limits) = (parser.input(shape), Limits::default());
    for _ in 0..4 {
        parser.read(&bytes, &limits)?;
    }
    repeat(meter, 16, || {
        black_box(parser.read(black_box(&bytes), &limits));
    })
}

fn repeat(meter: &mut dyn Meter, times: u64, mut work: impl FnMut()) -> Option<u64> {
    for _ in 0..times {
        meter.measure(&mut work);
    }
    Some(times)
}

fn build(meter: &mut dyn Meter) -> u64 {
    let bytes = Shape::Invite.bytes();
    let message = Message::parse(&bytes, &Limits::default()).expect("a good message");
    let write = || {
        let mut out = BytesMut::new();
        let stamp = ViaStamp { received: Some([192, 0, 2, 101].into()), rport: Some(5060) };
        let tag = Some("8321234356abcdef");
        Encoder::response(&mut out, message.view(), StatusCode::OK, None, tag, stamp)
            .field(HeaderId::Contact, "<sip:bob@192.0.2.4>")
            .end(None);
        out
    };
    assert!(
        (330..=400).contains(&write().len()),
        "{} bytes: about what others were measured with",
        write().len()
    );
    let times = 16;
    for _ in 0..times {
        meter.measure(&mut || drop(black_box(write())));
    }
    times
}

fn absorbed(meter: &mut dyn Meter) -> u64 {
    let mut load = Load::new(Keep::Transactions);
    let bytes = Shape::Options.bytes();
    let mut copy = || {
        load.feed(&bytes);
        assert_eq!(load.drain(|_| {}), 1, "each copy is answered");
    };
    copy();
    copy();
    let times = 100;
    for _ in 0..times {
        meter.measure(&mut copy);
    }
    assert_eq!(load.live(), 1);
    assert_eq!(load.host().endpoint().stats().retransmissions, times + 1);
    times
}

/// RFC 3261 §13.3.1.4: from T1 up to T2, until 64·T1. A wake that has nothing to send counts with the copy after it.
fn sent_again(meter: &mut dyn Meter) -> u64 {
    let (mut load, mut caller) = (Load::new(Keep::Transactions), Caller::default());
    let mut times = 0;
    for call in 0..20 {
        // The first ones grow what is then kept for life.
        let counted = call >= 4;
        load.feed(caller.invite());
        assert_eq!(load.drain(|_| {}), 2, "180 and 200");
        let mut copies = 0;
        while copies < 8 {
            step(counted.then_some(&mut *meter), &mut || {
                assert!(load.wake(), "a copy is due");
                copies += load.drain(|_| {});
            });
        }
        times += if counted { 8 } else { 0 };
        load.pass(Load::LINGER);
        while load.wake() {
            load.drain(|_| {});
        }
    }
    times
}

fn options(meter: &mut dyn Meter, keep: Keep) -> u64 {
    let mut load = Load::new(keep);
    let mut template = Template::new(Shape::Options.bytes());
    let times = 500;
    for number in 0..u64::from(LIVE) * 2 + times {
        load.pass(Load::LINGER / LIVE);
        let bytes = template.numbered(number);
        let mut step = || {
            load.feed(bytes);
            assert_eq!(load.drain(|_| {}), 1);
        };
        if number < u64::from(LIVE) * 2 {
            step();
        } else {
            meter.measure(&mut step);
        }
    }
    let live = if keep == Keep::Nothing { 0 } else { LIVE as usize };
    assert!(load.live().abs_diff(live) <= 1, "{} live", load.live());
    times
}

fn call(meter: &mut dyn Meter) -> u64 {
    let (mut load, mut caller) = (Load::new(Keep::Transactions), Caller::default());
    let times = 200;
    for number in 0..LIVE * 2 + times {
        let counted = number >= LIVE * 2;
        load.pass(Load::LINGER / LIVE);
        let mut answer = Vec::with_capacity(2);
        let invite = caller.invite();
        step(counted.then_some(&mut *meter), &mut || {
            load.feed(invite);
            load.drain(|bytes| answer.push(bytes.clone()));
        });
        caller.heard(answer.last().expect("a 200"));
        drop(answer);
        for (message, answers) in [(caller.ack(), 0), (caller.bye(), 1)] {
            step(counted.then_some(&mut *meter), &mut || {
                load.feed(&message);
                assert_eq!(load.drain(|_| {}), answers);
            });
        }
    }
    assert!(load.live().abs_diff(LIVE as usize) <= 1, "{} live", load.live());
    u64::from(times)
}

fn step(meter: Option<&mut dyn Meter>, work: &mut dyn FnMut()) {
    match meter {
        Some(meter) => meter.measure(work),
        None => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain;

    impl Meter for Plain {
        fn measure(&mut self, work: &mut dyn FnMut()) {
            work();
        }
    }

    #[test]
    fn cases_run_and_are_found_by_name() {
        for case in CASES {
            assert_eq!(Case::parse(&case.name()), Some(case));
            assert!(case.run(&mut Plain).is_some_and(|times| times > 0), "{case:?}");
        }
        let case = Case::Parse(Parser::Check, Shape::Wsinv);
        assert_eq!(Case::parse("sansip L2/wsinv"), Some(case));
        assert_eq!(Case::parse("nothing"), None);
    }
}
