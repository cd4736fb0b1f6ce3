use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use crate::{Process, Transport, require_tool};

/// A run of SIPp with one of its built-in scenarios.
#[derive(Debug)]
pub struct Sipp {
    command: Command,
    folder: PathBuf,
}

/// What SIPp counted when it ended. A run that broke off early counts fewer calls than it was to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallCounts {
    /// Calls that went through the whole scenario.
    pub successful: u32,
    /// Calls that did not.
    pub failed: u32,
}

impl Sipp {
    /// Returns the caller's scenario, INVITE, ACK and BYE, towards a loopback port; `None`, recorded as a skip, without SIPp.
    pub fn uac(test: &str, port: u16, transport: Transport) -> Option<Self> {
        let remote = format!("127.0.0.1:{port}");
        Self::scenario(test, transport).map(|sipp| sipp.with(&["-sn", "uac", &remote]))
    }

    /// Returns the called side's scenario on a loopback port; `None`, recorded as a skip, without SIPp.
    pub fn uas(test: &str, port: u16, transport: Transport) -> Option<Self> {
        let port = port.to_string();
        // A caller that hangs up and closes its connection at once does not fail the call.
        let words = ["-sn", "uas", "-p", &port, "-reconnect_close", "false"];
        Self::scenario(test, transport).map(|sipp| sipp.with(&words))
    }

    fn scenario(test: &str, transport: Transport) -> Option<Self> {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let tool = require_tool("sipp", test)?;
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("sansip-sipp-{}-{run}", std::process::id()));
        let mut command = Command::new(tool);
        // Without a terminal type, its screen library refuses to start.
        command.current_dir(&folder).env("TERM", "xterm");
        command.args(["-i", "127.0.0.1", "-nostdin", "-skip_rlimit", "-timeout_error"]);
        command.args(["-trace_stat", "-stf", STATISTICS, "-fd", "1"]);
        let mode = match transport {
            Transport::Udp => "u1",
            Transport::Tcp => "t1",
        };
        Some(Self { command, folder }.with(&["-t", mode]))
    }

    /// Returns it for so many calls.
    #[must_use]
    pub fn calls(self, calls: u32) -> Self {
        self.with(&["-m", &calls.to_string()])
    }

    /// Returns it with so many new calls a second.
    #[must_use]
    pub fn rate(self, calls: u32) -> Self {
        self.with(&["-r", &calls.to_string()])
    }

    /// Returns it losing so many packets of a hundred, both ways.
    #[must_use]
    pub fn lost(self, percent: u32) -> Self {
        self.with(&["-lost", &percent.to_string()])
    }

    fn with(mut self, words: &[&str]) -> Self {
        self.command.args(words);
        self
    }

    /// Starts it; `limit` is how long it may run.
    ///
    /// # Errors
    ///
    /// What the system says if it cannot be started.
    pub fn start(mut self, limit: Duration) -> io::Result<Running> {
        fs::create_dir_all(&self.folder)?;
        self.command.args(["-timeout", &limit.as_secs().to_string()]);
        Ok(Running { process: Process::start(&mut self.command)?, folder: self.folder, limit })
    }

    /// Runs it to its end.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start) and [`Running::finish`].
    pub fn run(self, limit: Duration) -> io::Result<CallCounts> {
        self.start(limit)?.finish()
    }
}

/// SIPp while it runs.
#[derive(Debug)]
pub struct Running {
    process: Process,
    folder: PathBuf,
    limit: Duration,
}

impl Running {
    /// Waits until its sockets are open: the first statistics are written after that.
    ///
    /// # Errors
    ///
    /// `TimedOut` if they are not, `UnexpectedEof` with what it printed if it has ended.
    pub fn ready(self) -> io::Result<Self> {
        let end = Instant::now() + self.limit;
        while !self.folder.join(STATISTICS).is_file() {
            match self.process.wait_for(Duration::from_millis(20), |_| false) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut && Instant::now() < end => {}
                ended => return ended.map(|_| self),
            }
        }
        Ok(self)
    }

    /// Waits for its end and returns what it counted.
    ///
    /// # Errors
    ///
    /// `TimedOut` if it does not end in time, `InvalidData` with what it printed if it left no statistics.
    pub fn finish(self) -> io::Result<CallCounts> {
        let finished = self.process.finish(self.limit + Duration::from_secs(10));
        let counts = fs::read_to_string(self.folder.join(STATISTICS)).ok().and_then(|text| counts(&text));
        remove(&self.folder);
        let printed = finished?.printed;
        counts.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, printed))
    }
}

const STATISTICS: &str = "statistics.csv";

/// What is left in the folder for temporary files does no harm.
fn remove(folder: &Path) {
    drop(fs::remove_dir_all(folder));
}

/// Reads the last row of the statistics; columns are found by their names.
fn counts(text: &str) -> Option<CallCounts> {
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let names: Vec<&str> = lines.next()?.split(';').collect();
    let last: Vec<&str> = lines.next_back()?.split(';').collect();
    let column = |name: &str| last.get(names.iter().position(|column| *column == name)?)?.parse().ok();
    Some(CallCounts { successful: column("SuccessfulCall(C)")?, failed: column("FailedCall(C)")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::free_port;

    #[test]
    fn statistics_are_read_by_name_from_the_last_row() {
        let text = "StartTime;SuccessfulCall(P);SuccessfulCall(C);FailedCall(P);FailedCall(C);\nt;1;1;0;0;\nt;1;7;1;2;\n";
        assert_eq!(counts(text), Some(CallCounts { successful: 7, failed: 2 }));
        for bad in ["", "SuccessfulCall(C);FailedCall(C);\n", "a;b\n1;2\n"] {
            assert_eq!(counts(bad), None, "{bad:?}");
        }
    }

    /// The runner is proved on SIPp at both ends, and on nobody at the other end.
    #[test]
    fn calls_are_counted() {
        let test = "calls_are_counted";
        let limit = Duration::from_secs(60);
        let port = free_port().expect("loopback has ports");
        let Some(uas) = Sipp::uas(test, port, Transport::Udp) else { return };
        let uas = uas.calls(20).start(limit).and_then(Running::ready).expect("it starts");
        let uac = Sipp::uac(test, port, Transport::Udp).expect("it is installed").calls(20).rate(100);
        assert_eq!(uac.run(limit).expect("it ends"), CallCounts { successful: 20, failed: 0 });
        assert_eq!(uas.finish().expect("it ends").failed, 0);
    }

    #[test]
    fn a_run_without_a_peer_is_no_success() {
        let port = free_port().expect("loopback has ports");
        let Some(uac) = Sipp::uac("a_run_without_a_peer_is_no_success", port, Transport::Tcp) else { return };
        let counts = uac.calls(1).run(Duration::from_secs(60));
        assert!(!counts.as_ref().is_ok_and(|counts| counts.successful > 0), "{counts:?}");
    }
}
