//! Counts instructions with callgrind: `counts` prints a table, `counts --profile CASE FILE` writes a profile.

use std::{env, path::Path, process::ExitCode};

use sansip_benches::{CASES, Case, Marked, Parser, Shape, instructions};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match *args {
        [] => table(),
        ["--run", name] => run(name),
        ["--profile", name, file] => profile(name, Path::new(file)),
        _ => Err("usage: counts [--profile CASE FILE]".into()),
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
fn run(name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let case = Case::parse(name).ok_or_else(|| format!("no case {name:?}"))?;
    println!("times {}", case.run(&mut Marked).unwrap_or(0));
    Ok(())
}

fn table() -> Result<(), Box<dyn std::error::Error>> {
    let this = env::current_exe()?;
    let count = |case: Case| instructions(&this, &case.name(), None);
    print!("{:<12}", "");
    for shape in Shape::ALL {
        print!("{:>10}", shape.name());
    }
    println!();
    for parser in Parser::ALL {
        print!("{:<12}", parser.name());
        for shape in Shape::ALL {
            match count(Case::Parse(parser, shape))? {
                Some(number) => print!("{number:>10}"),
                None => print!("{:>10}", "refused"),
            }
        }
        println!();
    }
    for case in CASES {
        println!("{:<24}{:>8}", case.name(), count(case)?.unwrap_or(0));
    }
    Ok(())
}

fn profile(name: &str, file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let number = instructions(&env::current_exe()?, name, Some(file))?;
    println!("{name}: {number:?}");
    Ok(())
}
