//! Measures servers over loopback, each alone on a core: `loopback` prints a table, `loopback 2s` takes so long for each row.

use std::{env, error::Error, process::ExitCode, time::Duration};

use sansip_benches::{Apart, Ask, OUTSTANDING, Served, Server};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match *args {
        ["--serve", server, port] => serve(server, port),
        [] => table(Duration::from_secs(8)),
        [seconds] => match seconds.strip_suffix('s').and_then(|seconds| seconds.parse().ok()) {
            Some(seconds) => table(Duration::from_secs(seconds)),
            None => Err(USAGE.into()),
        },
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "usage: loopback [SECONDSs]";

/// Open connections whose memory is measured.
const CONNECTIONS: usize = 10_000;

/// Open sessions of TLS whose memory is measured.
const SESSIONS: usize = 2_000;

fn serve(server: &str, port: &str) -> Result<(), Box<dyn Error>> {
    server.parse::<Server>()?.serve(port.parse()?)
}

fn table(time: Duration) -> Result<(), Box<dyn Error>> {
    let program = env::current_exe()?;
    println!("{OUTSTANDING} under way at any moment, or one; the server alone on a core.\n");
    println!("| server | asked for | µs of processor time each | a second |\n|---|---|---:|---:|");
    for server in Server::ALL {
        let asks: &[Ask] = match server {
            Server::Tokio(sansip_benches::Keep::Transactions)
            | Server::Blocking(sansip_benches::Keep::Transactions) => {
                &[Ask::Options, Ask::OneByOne, Ask::Calls]
            }
            Server::Echo | Server::Tokio(_) | Server::Blocking(_) => &[Ask::Options, Ask::OneByOne],
            Server::TokioSecured | Server::BlockingSecured => &[],
        };
        for &ask in asks {
            let served: Served = Apart::start(&program, server)?.ask(ask, time)?;
            let what = match ask {
                Ask::Options => "OPTIONS",
                Ask::OneByOne => "OPTIONS, one by one",
                Ask::Calls => "call",
            };
            println!("| {} | {what} | {:.1} | {:.0} |", server.name(), served.micros(), served.per_second());
        }
    }
    println!("\n| server | open connections | resident bytes each |\n|---|---:|---:|");
    for server in Server::ALL.into_iter().filter(|server| server.name().ends_with("stateless")) {
        let apart = Apart::start(&program, server)?;
        // It serves when it has answered over UDP.
        apart.ask(Ask::Options, Duration::from_millis(400))?;
        println!("| {} | {CONNECTIONS} TCP | {} |", server.name(), apart.connection_bytes(CONNECTIONS)?);
    }
    for server in Server::SECURED {
        let bytes = Apart::start(&program, server)?.secured_connection_bytes(SESSIONS)?;
        println!("| {} | {SESSIONS} TLS | {bytes} |", server.name());
    }
    Ok(())
}
