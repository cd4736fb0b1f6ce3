//! The program `sansip`: a server that answers calls, a client that makes them, and tools beside.
#![forbid(unsafe_code)]

mod answerer;
mod call;
mod caller;
mod config;
mod demo;
mod exit;
mod files;
mod interrupt;
mod listen;
mod node;
mod options;
mod outcome;
mod parse;
mod print;
mod resolve;
mod secure;
mod serve;
mod session;
mod span;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::Exit;

/// A SIP server and client.
#[derive(Debug, Parser)]
#[command(name = "sansip", version, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Answer OPTIONS and calls until interrupted
    ///
    /// Calls are answered with speech (PCMU, PCMA), those of browsers without media; none is sent. Options here count before those of the configuration
    /// file. Ctrl-C or SIGTERM ends all calls, then the program; SIGHUP has it read its certificates again.
    Serve(serve::Args),
    /// Ask a server what it can do
    Options(options::Args),
    /// Find the servers of a URI, and print them in the order of trying
    ///
    /// They are found as for a request (RFC 3263), and printed as TRANSPORT IP PORT. Hosts of one priority are in random order, as
    /// their weights say.
    Resolve(resolve::Args),
    /// Call somebody and hang up after a while; no media is sent
    ///
    /// Speech is offered (PCMU, PCMA), but none is sent and none is played. Ctrl-C cancels a call that rings and ends one that was
    /// answered. A phone that opens a connection of its own to hang up over TLS reaches this program only if it has a certificate
    /// (--tls-cert).
    Call(call::Args),
    /// Read messages from files and say what they are, or what is wrong with them and where
    Parse(parse::Args),
    /// Show two calls in a simulated network that loses packets
    Demo(demo::Args),
    /// Print all keys of the configuration file with their defaults
    Config,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { Exit::Local } else { Exit::Success };
            // There is nobody else to tell.
            let _printed = error.print();
            return code.into();
        }
    };
    let exit = match cli.task {
        Task::Serve(args) => serve::run(args),
        Task::Options(args) => options::run(args),
        Task::Resolve(args) => resolve::run(args),
        Task::Call(args) => call::run(args),
        Task::Parse(args) => parse::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Config => {
            print::text(&config::defaults());
            Exit::Success
        }
    };
    exit.into()
}
