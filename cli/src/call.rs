use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use sansip::{
    Body, ClientEnd, DialogEnd, Method, Outgoing, Response, UriBuf,
    sdp::{self, Local},
};

use crate::{
    caller::{self, Aim, Caller, News},
    exit::Exit,
    node::{Driver, Node},
    outcome, print,
    secure::ClientArgs,
    session,
    span::Span,
};

/// What is needed to call somebody.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Args {
    /// Whom to call: sip:USER@HOST, sip:USER@HOST:PORT;transport=tcp, sips:USER@HOST, …
    #[arg(value_parser = caller::target)]
    uri: UriBuf,
    /// How long to stay in the call
    #[arg(long, value_name = "TIME", default_value = "5s")]
    duration: Span,
    /// How long to let it ring
    #[arg(long, value_name = "TIME", default_value = "60s")]
    timeout: Span,
    /// What runs the endpoint
    #[arg(long, default_value = "tokio")]
    driver: Driver,
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
    print::line(format_args!("calling {} from {}", aim.uri, aim.local));
    let ringing = args.timeout.0.max(Duration::from_secs(1));
    let offer = sdp::offer(&Local::new(aim.local, session::fresh(), 0).audio(session::DISCARD));
    let request = Outgoing::new(Method::Invite, aim.uri.clone()).body(Body::sdp(offer));
    let (node, news) = match caller::start(args.driver, &aim, &args.secure, ringing, request) {
        Ok(started) => started,
        Err(error) => {
            print::error(error);
            return Exit::Local;
        }
    };
    let call = Call { node, news, start: Instant::now(), last: None };
    call.run(args.timeout.0, args.duration.0)
}

/// A call as the program sees it.
struct Call {
    node: Node<Caller>,
    news: Receiver<News>,
    start: Instant,
    last: Option<Response>,
}

/// Why waiting has ended.
enum Wait {
    Ended(ClientEnd),
    Broken,
    Over(DialogEnd),
    Interrupted,
    Time,
}

impl Call {
    fn run(mut self, timeout: Duration, duration: Duration) -> Exit {
        let (exit, grace) = match self.wait(Instant::now() + timeout, true) {
            Wait::Ended(ClientEnd::Final(status)) if status.is_success() => self.talk(duration),
            Wait::Ended(end) => {
                print::error(outcome::explain(end, self.last.as_ref(), self.node.failure()));
                (outcome::exit(end), Duration::ZERO)
            }
            Wait::Broken => (Exit::Local, Duration::ZERO),
            Wait::Over(end) => {
                print::error(format_args!("the call ended before it was answered: {end:?}"));
                (Exit::NoAnswer, GRACE)
            }
            Wait::Interrupted => {
                self.say("cancelled");
                (Exit::NoAnswer, self.cancelling())
            }
            Wait::Time => {
                print::error(format_args!("no answer after {}; cancelled", Span(timeout)));
                (Exit::NoAnswer, self.cancelling())
            }
        };
        // An INVITE that is still open is cancelled by this, and a call that is up is ended.
        self.node.shut_down(grace);
        exit
    }

    /// Returns how long a cancelled INVITE may take to end. RFC 3261 §9.1: one that nobody has answered yet cannot be cancelled.
    fn cancelling(&self) -> Duration {
        if self.last.is_some() { GRACE } else { Duration::ZERO }
    }

    /// Stays in the call, then hangs up; returns how long the end may take.
    fn talk(&mut self, duration: Duration) -> (Exit, Duration) {
        self.say(format_args!("in the call for {}; Ctrl-C hangs up", Span(duration)));
        match self.wait(Instant::now() + duration, false) {
            Wait::Over(DialogEnd::RemoteBye) => {
                self.say("the other side hung up");
                return (Exit::Success, Duration::ZERO);
            }
            Wait::Over(end) => {
                print::error(format_args!("the call broke off: {end:?}"));
                return (Exit::Unreachable, Duration::ZERO);
            }
            Wait::Broken | Wait::Ended(_) => return (Exit::Local, Duration::ZERO),
            Wait::Interrupted | Wait::Time => {}
        }
        self.say("hanging up");
        // If it has ended by itself meanwhile, that is told next.
        let _ending = self.node.with(|caller, cx| caller.hang_up(cx));
        match self.wait(Instant::now() + BYE, false) {
            Wait::Over(DialogEnd::LocalBye | DialogEnd::RemoteBye) => {
                self.say("call ended");
                (Exit::Success, Duration::ZERO)
            }
            _ => {
                print::error("the other side has not confirmed the end of the call");
                (Exit::NoAnswer, Duration::ZERO)
            }
        }
    }

    /// Prints what happens until something is to be decided.
    fn wait(&mut self, until: Instant, ringing: bool) -> Wait {
        loop {
            let news = self.news.recv_timeout(until.saturating_duration_since(Instant::now()));
            match news {
                Ok(News::Response(response)) => {
                    self.say(outcome::line(&response));
                    self.last = Some(response);
                }
                Ok(News::Ended(end)) if ringing => return Wait::Ended(end),
                Ok(News::Over(end)) => return Wait::Over(end),
                Ok(News::Interrupt) => return Wait::Interrupted,
                Ok(News::Ready(_) | News::Ended(_)) => {}
                Err(RecvTimeoutError::Timeout) => return Wait::Time,
                Err(RecvTimeoutError::Disconnected) => {
                    print::error("the endpoint has ended unexpectedly");
                    return Wait::Broken;
                }
            }
        }
    }

    fn say(&self, what: impl std::fmt::Display) {
        print::line(format_args!("{:>8.3} s  {what}", self.start.elapsed().as_secs_f64()));
    }
}

/// How long a cancelled call may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// How long a BYE may take: what Timer F allows, and a little more.
const BYE: Duration = Duration::from_secs(33);
