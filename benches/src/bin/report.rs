//! Writes what everything costs on this machine as Markdown: `report` prints it, `report --write` puts it into README.md.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    process::{Command, ExitCode},
};

use sansip_benches::{
    Allocations, CASES, Case, Counting, Keep, Kept, Rate, Section, build_counts, call_rate, dialog_bytes,
    grouped, instructions, machine, options_rate, simulator_rate, transaction_bytes,
};

#[global_allocator]
static HEAP: Counting = Counting;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match *args {
        [] => report().map(|text| print!("{text}")),
        ["--write"] => report().and_then(|text| Ok(Section::Report.write(&text)?)),
        ["--memory", what] => memory_rows(what).map(|text| print!("{text}")),
        _ => Err("usage: report [--write]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn report() -> Result<String, Box<dyn Error>> {
    let mut text = format!("Measured on {}.\n\n", machine());
    counted(&mut text)?;
    text += "### Memory\n\nBytes asked of the allocator, and resident.\n\n";
    text += "| kept | bytes | resident | must |\n|---|---:|---:|---:|\n";
    for what in ["transaction", "dialog"] {
        // In a process of its own: what was freed before would be used again and seem to cost nothing.
        let output = Command::new(env::current_exe()?).args(["--memory", what]).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        text += &String::from_utf8(output.stdout)?;
    }
    text += "\n";
    timed(&mut text)?;
    Ok(text)
}

fn memory_rows(what: &str) -> Result<String, Box<dyn Error>> {
    let row = |what: &str, kept: Kept, must: &str| {
        let resident = kept.resident.map_or_else(|| "–".into(), |bytes| grouped(bytes.unsigned_abs()));
        format!("| {what} | {} | {resident} | {must} |\n", grouped(kept.requested.unsigned_abs()))
    };
    match what {
        "transaction" => {
            let kept = transaction_bytes(100_000);
            let what = format!("OPTIONS transaction until Timer J, with its answer of {} bytes", kept.answer);
            Ok(row(&what, kept, "≤ 700"))
        }
        "dialog" => {
            let [fresh, later] = dialog_bytes(50_000);
            let later = Kept { resident: None, ..later };
            Ok(row("confirmed dialog, with its INVITE transaction", fresh, "≤ 3,072")
                + &row("confirmed dialog, after Timer L", later, "≤ 3,072"))
        }
        _ => Err("--memory transaction or dialog".into()),
    }
}

/// What repeats: instructions and allocations.
fn counted(text: &mut String) -> Result<(), Box<dyn Error>> {
    let counts = build_counts()?;
    let count = |case: Case| instructions(&counts, &case.name(), None);
    *text += "### Instructions and allocations of an exchange\n\n";
    *text += "| exchange | instructions | must | allocations | must |\n|---|---:|---:|---:|---:|\n";
    for case in CASES {
        let mut heap = Allocations::default();
        let times = case.run(&mut heap).ok_or("sansip reads all shapes")?;
        let (must, allocations_must) = match case {
            Case::Build => ("≤ 3,000", "≤ 1"),
            Case::Absorbed | Case::SentAgain => ("", "0"),
            _ => ("", ""),
        };
        let number = grouped(count(case)?.ok_or("sansip reads all shapes")?);
        let allocations = heap.count as f64 / times as f64;
        writeln!(text, "| {} | {number} | {must} | {allocations:.1} | {allocations_must} |", case.name())?;
    }
    *text += "\n";
    Ok(())
}

/// What drifts with the machine.
fn timed(text: &mut String) -> Result<(), Box<dyn Error>> {
    *text += "### One core, in memory, on virtual time\n\n| exchange | live | ns each | a second | must |\n";
    *text += "|---|---:|---:|---:|---:|\n";
    let mut row = |what: &str, rate: Rate, must: &str| {
        let (nanos, second) = (grouped(rate.nanos() as u64), grouped(rate.per_second() as u64));
        writeln!(text, "| {what} | {} | {nanos} | {second} | {must} |", grouped(rate.live as u64))
    };
    row("stateless OPTIONS", options_rate(Keep::Nothing, 1_000, 200_000), "≥ 1,000,000")?;
    let few = options_rate(Keep::Transactions, 1_000, 200_000);
    row("OPTIONS transaction", few, "≥ 400,000")?;
    for live in [10_000, 100_000] {
        row("OPTIONS transaction", options_rate(Keep::Transactions, live, 100_000), "")?;
    }
    let many = options_rate(Keep::Transactions, 1_000_000, 200_000);
    row("OPTIONS transaction", many, "≤ 1.5 times that at 1 k")?;
    row("UAS call", call_rate(1_000, 20_000), "")?;
    row("message in the simulator", simulator_rate(35_000), "≥ 200,000")?;
    *text += "\nEach is the middle one of nine parts of a run.\n";
    writeln!(text, "Growth from 1 k to 1 M live: {:.2} times.", many.nanos() / few.nanos())?;
    Ok(())
}
