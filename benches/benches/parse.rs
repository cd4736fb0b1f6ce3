//! Time to read the five shapes, beside the floor, httparse and rsip, and to build a 200. Compare within one run only.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sansip::{
    Limits, StatusCode,
    syntax::{Encoder, HeaderId, Message, ViaStamp},
};
use sansip_benches::{Parser, Shape};

fn read(criterion: &mut Criterion) {
    let limits = Limits::default();
    for shape in Shape::ALL {
        let mut group = criterion.benchmark_group(shape.name());
        for parser in Parser::ALL {
            let bytes = parser.input(shape);
            if parser.read(&bytes, &limits).is_none() {
                // Not all read folds or white space wherever it may stand.
                continue;
            }
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            group.bench_function(parser.name(), |b| b.iter(|| parser.read(black_box(&bytes), &limits)));
        }
    }
}

fn build(criterion: &mut Criterion) {
    let bytes = Shape::Invite.bytes();
    let message = Message::parse(&bytes, &Limits::default()).expect("a good message");
    criterion.bench_function("build 200", |b| {
        b.iter(|| {
            let mut out = BytesMut::new();
            let stamp = ViaStamp { received: Some([192, 0, 2, 101].into()), rport: Some(5060) };
            let tag = Some("8321234356abcdef");
            Encoder::response(&mut out, message.view(), StatusCode::OK, None, tag, stamp)
                .field(HeaderId::Contact, "<sip:bob@192.0.2.4>")
                .end(None);
            out
        });
    });
}

criterion_group!(benches, read, build);
criterion_main!(benches);
