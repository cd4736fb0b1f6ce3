use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use sansip::{ClientEnd, Method, Outgoing, Response, UriBuf, syntax::HeaderId};

use crate::{
    caller::{self, Aim, Caller, News},
    exit::Exit,
    node::{Driver, Node},
    outcome, print,
    secure::ClientArgs,
    span::Span,
};

/// What is needed to ask a server.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Args {
    /// Whom to ask: sip:HOST, sip:USER@HOST:PORT;transport=tcp, sips:HOST, …
    #[arg(value_parser = caller::target)]
    uri: UriBuf,
    /// How long to wait for the answer
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Span,
    #[command(flatten)]
    secure: ClientArgs,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    let aim = match Aim::at(args.uri) {
        Ok(aim) => aim,
        Err(error) => {
            print::error(&error);
            return error.exit();
        }
    };
    let start = Instant::now();
    let request = Outgoing::new(Method::Options, aim.uri.clone());
    let (node, news) = match caller::start(Driver::default(), &aim, &args.secure, DAY, request) {
        Ok(started) => started,
        Err(error) => {
            print::error(error);
            return Exit::Local;
        }
    };
    let exit = wait(&node, &news, start, start + args.timeout.0);
    node.shut_down(Duration::ZERO);
    exit
}

fn wait(node: &Node<Caller>, news: &mpsc::Receiver<News>, start: Instant, until: Instant) -> Exit {
    let mut last: Option<Response> = None;
    loop {
        match news.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(News::Response(response)) => last = Some(response),
            Ok(News::Ended(end)) => return conclude(node, end, last.as_ref(), start),
            Ok(News::Ready(_) | News::Over(_)) => {}
            Ok(News::Interrupt) => return Exit::NoAnswer,
            Err(_) => {
                print::error(outcome::explain(ClientEnd::Timeout, None, node.failure()));
                return Exit::NoAnswer;
            }
        }
    }
}

fn conclude(node: &Node<Caller>, end: ClientEnd, last: Option<&Response>, start: Instant) -> Exit {
    let exit = outcome::exit(end);
    match last.filter(|_| exit == Exit::Success) {
        None => print::error(outcome::explain(end, last, node.failure())),
        Some(response) => {
            print::line(format_args!("{} after {} ms", outcome::line(response), start.elapsed().as_millis()));
            for id in [HeaderId::Server, HeaderId::Allow, HeaderId::Accept, HeaderId::Supported] {
                let values: Vec<&str> = response.view().headers(id).collect();
                if !values.is_empty() {
                    print::line(format_args!("{id}: {}", values.join(", ")));
                }
            }
        }
    }
    exit
}

/// OPTIONS do not ring.
const DAY: Duration = Duration::from_secs(86_400);
