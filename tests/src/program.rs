use std::{env, fmt, io, path::PathBuf, process::Command, sync::OnceLock, time::Duration};

use crate::{Finished, Process, free_port};

/// How long the program may take to open its sockets or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// The `sansip` program, built from this source.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
}

impl Program {
    /// Returns the program as it is built beside the running test, in the same profile. The first use in a process builds it.
    ///
    /// # Panics
    ///
    /// If it cannot be built.
    pub fn built() -> &'static Self {
        static BUILT: OnceLock<Program> = OnceLock::new();
        BUILT.get_or_init(|| build().expect("the sansip program can be built"))
    }

    /// Returns a command that runs the program with `words`.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(words);
        command
    }
}

/// A test runs as `target/PROFILE/deps/NAME`, and cargo says nothing to it of other packages' programs. A program left from an
/// earlier build may be stale, so cargo decides each time; that costs a fraction of a second.
fn build() -> io::Result<Program> {
    let test = env::current_exe()?;
    let folder = test.parent().and_then(|deps| deps.parent()).ok_or(io::ErrorKind::NotFound)?;
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = folder.parent().ok_or(io::ErrorKind::NotFound)?;
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--quiet",
        "--workspace",
        "--bin",
        "sansip",
        "--profile",
        profile,
        "--target-dir",
    ]);
    let status = command.arg(target).current_dir(xtask::tree::root()).status()?;
    let path = folder.join(format!("sansip{}", env::consts::EXE_SUFFIX));
    if status.success() && path.is_file() {
        Ok(Program { path })
    } else {
        Err(io::Error::other(format!("cargo build: {status}, {} is missing", path.display())))
    }
}

/// The driver that a server runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// `sansip-tokio`.
    Tokio,
    /// `sansip-blocking`.
    Blocking,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokio => "tokio",
            Self::Blocking => "blocking",
        })
    }
}

/// The transport of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One socket for all calls.
    Udp,
    /// One connection for all calls.
    Tcp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}

/// A running `sansip serve` on a loopback port of its own, over UDP and TCP.
///
/// It is held to this: it prints a line with `listening` for each socket when it is bound, with `--stats 1s` a line
/// `calls open: N` each second, and an interrupt ends it with success.
#[derive(Debug)]
pub struct Server {
    process: Process,
    port: u16,
}

impl Server {
    /// Starts a server and waits until both of its sockets are open.
    ///
    /// # Errors
    ///
    /// What the system says, or what the server printed instead.
    pub fn start(driver: Driver) -> io::Result<Self> {
        Self::start_with(driver, &[])
    }

    /// Starts a server with more words on its command line.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with(driver: Driver, words: &[&str]) -> io::Result<Self> {
        let port = free_port()?;
        let (driver, listen) = (driver.to_string(), format!("sip:127.0.0.1:{port}"));
        let own = ["serve", "--driver", &driver, "--listen", &listen, "--stats", "1s"];
        let words: Vec<&str> = own.into_iter().chain(words.iter().copied()).collect();
        let process = Process::start(&mut Program::built().command(&words))?;
        process.wait_for(PATIENCE, |text| text.matches("listening").count() >= 2)?;
        Ok(Self { process, port })
    }

    /// Returns the port of both sockets on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until the server says that no call is open, in a line printed from now on.
    ///
    /// # Errors
    ///
    /// `TimedOut` with what it printed if it has not said so after `limit`.
    pub fn wait_until_idle(&self, limit: Duration) -> io::Result<()> {
        wait_until_idle(&self.process, limit)
    }

    /// Ends the server in order.
    ///
    /// # Errors
    ///
    /// `TimedOut` with what it printed if it does not end.
    pub fn stop(self) -> io::Result<Finished> {
        self.process.interrupt()?;
        self.process.finish(PATIENCE)
    }
}

/// Waits until a server says that no call is open, in a line printed from now on.
pub(crate) fn wait_until_idle(process: &Process, limit: Duration) -> io::Result<()> {
    let before = process.printed().len();
    process.wait_for(limit, |text| says_idle(&text[before..])).map(|_| ())
}

/// The first piece may be the rest of a line begun before, so only whole lines count.
fn says_idle(text: &str) -> bool {
    text.split_inclusive('\n').any(|line| line == "calls open: 0\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_is_a_whole_line() {
        assert!(says_idle("calls open: 3\ncalls open: 0\n"));
        for busy in ["", "calls open: 10\n", "calls open: 0", "s open: 0\n"] {
            assert!(!says_idle(busy), "{busy:?}");
        }
    }
}
