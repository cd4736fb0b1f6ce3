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

/// The most that reading may cost: of each shape L1, L2 and L3.
const READING: [[u64; 3]; Shape::ALL.len()] = [
    [3_200, 7_050, 7_700],
    [5_350, 10_300, 15_550],
    [5_950, 13_900, 17_800],
    [4_250, 8_300, 14_750],
    [7_250, 16_400, 17_750],
];

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
    // A twentieth above what it is, for every shape. Lower a number here whenever it falls.
    for (shape, most) in Shape::ALL.into_iter().zip(READING) {
        for (parser, most) in [Parser::Split, Parser::Check, Parser::Types].into_iter().zip(most) {
            let case = Case::Parse(parser, shape);
            hold(&case.name(), count(&counts, case), most);
        }
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
