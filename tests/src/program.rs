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
        let driver = driver.to_string();
        let (process, [port, _]) = start_listening(["udp", "tcp"], |port| {
            let listen = format!("sip:127.0.0.1:{port}");
            let own = ["serve", "--driver", &driver, "--listen", &listen, "--stats", "1s"];
            Program::built().command(&[&own, words].concat())
        })?;
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

/// Starts a server by a command made for a free port, and returns it with its ports, once it listens for these transports.
///
/// Others may take the port before it does, for TCP beside UDP at least; then it is given another one.
pub(crate) fn start_listening<const N: usize>(
    transports: [&str; N],
    command: impl Fn(u16) -> Command,
) -> io::Result<(Process, [u16; N])> {
    let mut tries = 5;
    loop {
        let process = Process::start(&mut command(free_port()?))?;
        let all = |text: &str| transports.iter().all(|proto| port_of(text, proto).is_some());
        match process.wait_for(PATIENCE, all) {
            Err(error) if error.to_string().contains("address already in use") && tries > 0 => tries -= 1,
            // All are there, or it would not have come so far.
            printed => {
                let printed = printed?;
                return Ok((process, transports.map(|proto| port_of(&printed, proto).unwrap_or_default())));
            }
        }
    }
}

/// Reads the port from the line `listening on sip:ADDRESS:PORT (TRANSPORT)`.
fn port_of(text: &str, transport: &str) -> Option<u16> {
    let end = format!(" ({transport})\n");
    let mut lines = text.split_inclusive('\n').filter(|line| line.starts_with("listening on "));
    let line = lines.find_map(|line| line.strip_suffix(&end))?;
    line.rsplit_once(':')?.1.parse().ok()
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
    fn ports_are_read_from_whole_lines() {
        let text = "listening on sip:127.0.0.1:5060 (udp)\nlistening on sip:[::1]:5061 (tls)\nlistening on sip:[::1]:1 (ws)";
        assert_eq!(
            ["udp", "tls", "ws", "tcp"].map(|proto| port_of(text, proto)),
            [Some(5060), Some(5061), None, None]
        );
    }

    #[test]
    fn idle_is_a_whole_line() {
        assert!(says_idle("calls open: 3\ncalls open: 0\n"));
        for busy in ["", "calls open: 10\n", "calls open: 0", "s open: 0\n"] {
            assert!(!says_idle(busy), "{busy:?}");
        }
    }
}
