//! Instructions that the hot paths may cost, counted by callgrind in a release build. They repeat to a few in a thousand.

use std::path::Path;

use sansip_benches::{Case, Parser, Shape, build_counts, instructions};
use sansip_tests::require_tool;

fn count(counts: &Path, case: Case) -> u64 {
    let number =
        instructions(counts, &case.name(), None).unwrap_or_else(|error| panic!("{}: {error}", case.name()));
    let number = number.unwrap_or_else(|| panic!("{} is refused", case.name()));
    println!("{}: {number} instructions", case.name());
    number
}

/// One test, so that the program is built once and its runs do not disturb one another.
#[test]
fn instructions_stay_in_budget() {
    if require_tool("valgrind", "instructions_stay_in_budget").is_none() {
        return;
    }
    let counts = build_counts().unwrap_or_else(|error| panic!("{error}"));
    let parse = |parser| count(&counts, Case::Parse(parser, Shape::Invite));
    let (split, check, types) = (parse(Parser::Split), parse(Parser::Check), parse(Parser::Types));
    let (scan, rsip_split, rsip_check) =
        (parse(Parser::Scan), parse(Parser::RsipSplit), parse(Parser::RsipCheck));
    // What the parser must not cost more than, on the INVITE of 963 bytes.
    let mut over = Vec::new();
    let mut hold = |what: &str, number: u64, most: u64| {
        if number > most {
            over.push(format!("{what}: {number} instructions, at most {most}"));
        }
    };
    hold("L1", split, 6_000);
    hold("L2", check, 13_000);
    hold("L3", types, 18_000);
    for shape in Shape::ALL {
        hold(shape.name(), count(&counts, Case::Parse(Parser::Types, shape)), 22_000);
    }
    // The same within one run: what a change of compiler or machine moves, it moves on both sides.
    hold("L1 beside the scan", split, scan * 5 / 2);
    hold("L1 beside rsip", split, rsip_split / 7);
    hold("L2 beside rsip", check, rsip_check / 8);
    // A twentieth above what it is. Lower a number here whenever it falls.
    for (case, most) in [
        (Case::Build, 2_520),
        (Case::Absorbed, 10_850),
        (Case::SentAgain, 2_800),
        (Case::Stateless, 15_750),
        (Case::Transaction, 18_600),
        (Case::Call, 69_700),
    ] {
        hold(&case.name(), count(&counts, case), most);
    }
    assert!(over.is_empty(), "{}", over.join("\n"));
}
