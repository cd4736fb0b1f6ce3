//! What it costs to read a message, in sansip and in others, measured in one run: `sansip-peers` prints it,
//! `sansip-peers --write` puts it into the README of the benchmarks.

mod peer;

use std::{
    env,
    error::Error,
    fmt::Write as _,
    hint::black_box,
    process::ExitCode,
    time::{Duration, Instant},
};

use sansip::Limits;
use sansip_benches::{
    Allocations, Counting, Marked, Meter, Parser, Section, Shape, grouped, instructions, machine,
};

use crate::peer::Peer;

#[global_allocator]
static HEAP: Counting = Counting;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match *args {
        [] => table().map(|text| print!("{text}")),
        ["--write"] => table().and_then(|text| Ok(Section::Reading.write(&text)?)),
        ["--run", name] => run(name),
        _ => Err("usage: sansip-peers [--write]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one case, for callgrind to watch.
fn run(name: &str) -> Result<(), Box<dyn Error>> {
    let cases = Peer::all().flat_map(|peer| Shape::ALL.map(|shape| (peer, shape)));
    let found = cases.into_iter().find(|&(peer, shape)| case(peer, shape) == name);
    let (peer, shape) = found.ok_or_else(|| format!("no case {name:?}"))?;
    println!("times {}", read(&mut Marked, peer, shape).unwrap_or(0));
    Ok(())
}

fn case(peer: Peer, shape: Shape) -> String {
    format!("{}/{}", peer.name(), shape.name())
}

/// Reads a message several times under the meter. Returns how many times; `None` if it is refused.
fn read(meter: &mut dyn Meter, peer: Peer, shape: Shape) -> Option<u64> {
    let (bytes, limits) = (peer.input(shape), Limits::default());
    for _ in 0..4 {
        peer.read(&bytes, &limits)?;
    }
    let times = 16;
    for _ in 0..times {
        meter.measure(&mut || {
            black_box(peer.read(black_box(&bytes), &limits));
        });
    }
    Some(times)
}

fn table() -> Result<String, Box<dyn Error>> {
    let mut text = format!(
        "Measured on {}.\n\nInstructions, and allocations if there are any:\n\n| parser |",
        machine()
    );
    for shape in Shape::ALL {
        write!(text, " {} ({} B) |", shape.name(), shape.bytes().len())?;
    }
    text += " INVITE must / aim | INVITE ns | must / aim |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n";
    let this = env::current_exe()?;
    for peer in Peer::all() {
        write!(text, "| {} |", peer.name())?;
        for shape in Shape::ALL {
            match instructions(&this, &case(peer, shape), None)? {
                None => text += " refused |",
                Some(number) => write!(text, " {}{} |", grouped(number), allocations(peer, shape))?,
            }
        }
        let (count, time) = bounds(peer);
        writeln!(text, " {count} | {} | {time} |", nanos(peer))?;
    }
    Ok(text)
}

fn allocations(peer: Peer, shape: Shape) -> String {
    let mut heap = Allocations::default();
    match read(&mut heap, peer, shape) {
        Some(times) if heap.count > 0 => format!(", {:.0}", heap.count as f64 / times as f64),
        _ => String::new(),
    }
}

fn bounds(peer: Peer) -> (&'static str, &'static str) {
    match peer {
        Peer::Known(Parser::Split) => ("≤ 6,000 / 4,500", "≤ 500 / 400"),
        Peer::Known(Parser::Check) => ("≤ 13,000 / 10,000", "≤ 1,200 / 900"),
        Peer::Known(Parser::Types) => ("≤ 22,000 / 18,000", "≤ 1,900 / 1,500"),
        _ => ("", ""),
    }
}

/// Returns the best of several runs: what disturbs a run makes it slower, never faster.
fn nanos(peer: Peer) -> u128 {
    let (bytes, limits) = (peer.input(Shape::Invite), Limits::default());
    let times = 20_000;
    let run = || {
        let begin = Instant::now();
        for _ in 0..times {
            black_box(peer.read(black_box(&bytes), &limits));
        }
        begin.elapsed()
    };
    (0..9).map(|_| run()).min().unwrap_or(Duration::ZERO).as_nanos() / times
}
