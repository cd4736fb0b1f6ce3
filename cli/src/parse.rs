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
        None => args.files.iter().filter(|file| !show(file)).count() == 0,
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
    let mut row = |name: &str, value: &str| {
        // A folded value is shown on one line (RFC 3261 §7.3.1).
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        text.push_str(&format!("  {name:<8} {}\n", words.join(" ")));
    };
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
    text.lines().filter(|line| !line.is_empty() && !check(line)).count() == 0
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_a_line_for_each_address() {
        let text = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1,\r\n SIP/2.0/TCP b;branch=z9hG4bK2\r\n\
            f: Alice <sip:alice@example.com>\r\n ;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: x\r\nCSeq: 7 INVITE\r\n\
            Max-Forwards: 70\r\nContact: <sip:alice@a>\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi";
        let message = Message::parse(text.as_bytes(), &Limits::default()).expect("a good message");
        let expected = "m: request\n  INVITE sip:bob@example.com SIP/2.0\n  From     Alice <sip:alice@example.com> ;tag=1\n  \
            To       <sip:bob@example.com>\n  Call-ID  x\n  CSeq     7 INVITE\n  Via      SIP/2.0/UDP a;branch=z9hG4bK1\n  \
            Via      SIP/2.0/TCP b;branch=z9hG4bK2\n  Contact  <sip:alice@a>\n  in all   9 header fields, 2 bytes of body of text/plain\n";
        assert_eq!(summary(Path::new("m"), message.view()), expected);
    }
}
