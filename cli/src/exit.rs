use std::process::ExitCode;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for has happened.
    Success,
    /// The command line, a file or this machine is at fault.
    Local,
    /// The other side gave a final response other than success.
    Rejected,
    /// No final response came in time.
    NoAnswer,
    /// The other side could not be reached.
    Unreachable,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Local => 1,
            Exit::Rejected => 2,
            Exit::NoAnswer => 3,
            Exit::Unreachable => 4,
        })
    }
}

/// What `--help` says of the codes.
pub(crate) const HELP: &str = "\
Exit codes:
  0  what was asked for has happened
  1  the command line, a file or this machine is at fault
  2  the other side rejected the request with a final response
  3  no answer in time (or 408), or given up before there was one
  4  the other side cannot be reached: no address, refused, no route";

/// The same for a server.
pub(crate) const SERVE_HELP: &str = "\
Exit codes:
  0  ended because it was asked to
  1  the command line, a file or this machine is at fault";
