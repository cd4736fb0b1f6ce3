//! Time of whole exchanges through a host in memory: datagrams in, datagrams out, virtual time, no sockets.

use criterion::{Criterion, criterion_group, criterion_main};
use sansip_benches::{Caller, Keep, Load, Shape, Template};

/// So many transactions or calls linger while one more comes.
const LIVE: [u32; 2] = [1_000, 100_000];

fn stateless(criterion: &mut Criterion) {
    let mut load = Load::new(Keep::Nothing);
    let mut template = Template::new(Shape::Options.bytes());
    let mut number = 0;
    criterion.bench_function("stateless OPTIONS", |b| {
        b.iter(|| {
            number += 1;
            load.feed(template.numbered(number));
            load.drain(|_| {})
        });
    });
}

fn transaction(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("OPTIONS transaction");
    for live in LIVE {
        let mut load = Load::new(Keep::Transactions);
        let mut template = Template::new(Shape::Options.bytes());
        let mut number = 0;
        let mut one = || {
            number += 1;
            load.pass(Load::LINGER / live);
            load.feed(template.numbered(number));
            load.drain(|_| {})
        };
        for _ in 0..live + live / 4 {
            one();
        }
        group.bench_function(format!("{live} live"), |b| b.iter(&mut one));
    }
}

fn call(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("UAS call");
    for live in LIVE {
        let (mut load, mut caller) = (Load::new(Keep::Transactions), Caller::default());
        let mut one = || {
            load.pass(Load::LINGER / live);
            load.feed(caller.invite());
            load.drain(|bytes| caller.heard(bytes));
            load.feed(&caller.ack());
            load.feed(&caller.bye());
            load.drain(|_| {})
        };
        for _ in 0..live + live / 4 {
            one();
        }
        group.bench_function(format!("{live} lingering"), |b| b.iter(&mut one));
    }
}

criterion_group!(benches, stateless, transaction, call);
criterion_main!(benches);
