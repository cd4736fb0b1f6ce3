//! `discover TARGET SECONDS SEED FOLDER…`: changes inputs at random for some seconds, and keeps what reaches new code.
//!
//! New code is seen if this was built with the flags told in docs/testing.md; else nothing is kept. What is found goes
//! to the first folder. An input that fails is written to `failed-TARGET` in the working directory.

use std::{
    env, fs,
    panic::catch_unwind,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use sansip_fuzz::TARGETS;

const LENGTH_MAX: usize = 4096;
const PIECES: [&[u8]; 16] = [
    b"\r\n",
    b"\r\n ",
    b"\r\n\r\n",
    b",",
    b";",
    b"\"",
    b"\\",
    b"<",
    b">",
    b":",
    b"%41",
    b"[::1]",
    b"\xff\x08",
    b"sip:",
    b"4294967296",
    b"z9hG4bK",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    let [_, name, seconds, seed, folders @ ..] = &arguments[..] else { return ExitCode::from(2) };
    let (Some((_, target)), Ok(seconds), Ok(seed)) =
        (TARGETS.iter().find(|target| target.0 == name), seconds.parse(), seed.parse())
    else {
        return ExitCode::from(2);
    };
    let mut random = Random(seed);
    let mut corpus = read(folders);
    let given = corpus.len();
    let mut seen = coverage::Seen::default();
    corpus.iter().for_each(|input| {
        target(input);
        seen.look();
    });
    if corpus.is_empty() {
        corpus.push(Vec::new());
    }
    let (begin, limit, mut count) = (Instant::now(), Duration::from_secs(seconds), 0u64);
    while begin.elapsed() < limit {
        let input = random.change(&corpus);
        count += 1;
        if catch_unwind(|| target(&input)).is_err() {
            fs::write(format!("failed-{name}"), &input).expect("the working directory can be written to");
            println!("{name}: FAILED after {count} executions");
            return ExitCode::FAILURE;
        }
        if seen.look() {
            if let Some(folder) = folders.first() {
                let path = Path::new(folder).join(format!("{:06}", corpus.len()));
                fs::write(path, &input).expect("the folder can be written to");
            }
            corpus.push(input);
        }
    }
    let found = corpus.len() - given;
    println!(
        "{name}: {count} executions in {} s, {given} inputs given, {found} found, {} places",
        begin.elapsed().as_secs(),
        seen.places()
    );
    ExitCode::SUCCESS
}

fn read(folders: &[String]) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    let inputs = paths.iter().filter_map(|path| fs::read(path).ok());
    inputs.filter(|input| input.len() <= LENGTH_MAX).collect()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn change(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus[self.below(corpus.len())].clone();
        for _ in 0..1 + self.below(5) {
            let at = self.below(input.len() + 1);
            let end = (at + self.below(16)).min(input.len());
            match self.below(6) {
                0 => input.insert(at, self.next() as u8),
                1 => drop(input.drain(at..end)),
                2 => drop(input.splice(at..at, PIECES[self.below(PIECES.len())].iter().copied())),
                3 if at < input.len() => input[at] ^= 1 << self.below(8),
                4 => {
                    let again = input[at..end].to_vec();
                    drop(input.splice(at..at, again));
                }
                _ => {
                    let other = &corpus[self.below(corpus.len())];
                    let from = self.below(other.len() + 1);
                    let to = (from + self.below(64)).min(other.len());
                    drop(input.splice(at..end, other[from..to].iter().copied()));
                }
            }
        }
        input.truncate(LENGTH_MAX);
        input
    }
}

/// Counters that the compiler puts at every branch (`-sanitizer-coverage-inline-8bit-counters`).
mod coverage {
    use std::{slice, sync::Mutex};

    static RANGES: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

    /// Called by the instrumented program before `main`, once for each part of it.
    #[unsafe(no_mangle)]
    extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, end: *mut u8) {
        if let Ok(mut ranges) = RANGES.lock() {
            ranges.push((start as usize, end as usize));
        }
    }

    /// How often each place was reached by one input, in steps of powers of two.
    #[derive(Default)]
    pub struct Seen(Vec<u8>);

    impl Seen {
        /// Takes the counters, sets them back, and tells whether there was anything new.
        pub fn look(&mut self) -> bool {
            let ranges = RANGES.lock().map(|ranges| ranges.clone()).unwrap_or_default();
            let (mut new, mut base) = (false, 0);
            for (start, end) in ranges {
                // SAFETY: the compiler's own table, which lives as long as the program, and one thread runs.
                let counters = unsafe { slice::from_raw_parts_mut(start as *mut u8, end - start) };
                self.0.resize(self.0.len().max(base + counters.len()), 0);
                for (counter, seen) in counters.iter_mut().zip(&mut self.0[base..]) {
                    if *counter != 0 {
                        let step = 1 << counter.ilog2();
                        new |= *seen & step == 0;
                        *seen |= step;
                        *counter = 0;
                    }
                }
                base += counters.len();
            }
            new
        }

        pub fn places(&self) -> usize {
            self.0.iter().filter(|&&seen| seen != 0).count()
        }
    }
}
