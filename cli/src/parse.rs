use std::{
    fs,
    path::{Path, PathBuf},
};

use sansip::{
    Limits,
    syntax::{Message, View},
};

use crate::{exit::Exit, print};

/// Reads SIP messages from files and says what they are, or what is wrong with them and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files that hold one message each
    #[arg(required_unless_present = "list", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A file whose lines are EXPECTED<TAB>PATH: one line of result is printed for each
    #[arg(long, value_name = "LIST", conflicts_with = "files")]
    list: Option<PathBuf>,
}

/// Runs the command. It fails if a file cannot be read, or if one of `FILE` is no message.
pub(crate) fn run(args: &Args) -> Exit {
    let good = match &args.list {
        Some(list) => check_list(list),
        None => args.files.iter().fold(true, |good, file| show(file) && good),
    };
    if good { Exit::Success } else { Exit::Local }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    fs::read(path).map_err(|error| print::error(format_args!("cannot read {}: {error}", path.display()))).ok()
}

fn show(path: &Path) -> bool {
    let Some(bytes) = read(path) else { return false };
    match Message::parse(&bytes, &Limits::default()) {
        Ok(message) => {
            print::text(&summary(path, message.view()));
            true
        }
        Err(refused) => {
            print::line(format_args!("{}: {}", path.display(), refused.error));
            false
        }
    }
}

fn summary(path: &Path, view: View<'_>) -> String {
    let kind = if view.is_request() { "request" } else { "response" };
    let mut text = format!("{}: {kind}\n  {}\n", path.display(), view.start_line());
    let mut row = |name: &str, value: &str| text.push_str(&format!("  {name:<14} {value}\n"));
    row("From", view.from().as_str());
    row("To", view.to().as_str());
    row("Call-ID", view.call_id());
    row("CSeq", &format!("{} {}", view.cseq_number(), view.cseq_method_text()));
    for via in view.vias() {
        row("Via", via.as_str());
    }
    for contact in view.contacts() {
        row("Contact", contact.as_str());
    }
    let fields = view.fields().count();
    let body = view.body().len();
    let content =
        view.content_type().filter(|_| body > 0).map_or_else(String::new, |kind| format!(" of {kind}"));
    row("in all", &format!("{fields} header fields, {body} bytes of body{content}"));
    text
}

fn check_list(list: &Path) -> bool {
    let Some(bytes) = read(list) else { return false };
    let text = String::from_utf8_lossy(&bytes);
    text.lines().filter(|line| !line.is_empty()).fold(true, |good, line| check(line) && good)
}

fn check(line: &str) -> bool {
    let path = line.split_once('\t').map_or(line, |(_, path)| path);
    let Some(bytes) = read(Path::new(path)) else { return false };
    match Message::parse(&bytes, &Limits::default()) {
        Ok(_) => print::line(format_args!("ok\t{path}")),
        Err(refused) => print::line(format_args!("err\t{path}\t{}", refused.error)),
    }
    true
}
