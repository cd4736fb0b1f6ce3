use std::{
    fs,
    io::{self, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// A program that runs beside a test. What it prints is kept; it is killed when the test lets go of it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    printed: Arc<Printed>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// All that it printed, both streams in the order of arrival.
    pub printed: String,
}

impl Process {
    /// Starts a program without input.
    ///
    /// # Errors
    ///
    /// What the system says if it cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let printed = Arc::new(Printed::default());
        if let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) {
            printed.keep(out);
            printed.keep(err);
        }
        Ok(Self { child, printed })
    }

    /// Returns what the program has printed so far.
    pub fn printed(&self) -> String {
        self.printed.when(Duration::ZERO, |_| true).1
    }

    /// Waits until what the program has printed is as wanted, and returns it.
    ///
    /// # Errors
    ///
    /// `TimedOut` with what it printed if that has not come after `limit`; `UnexpectedEof` if the program ended without.
    pub fn wait_for(&self, limit: Duration, wanted: impl Fn(&str) -> bool) -> io::Result<String> {
        let (state, printed) = self.printed.when(limit, |state| state.open == 0 || wanted(&state.text));
        match state {
            _ if wanted(&printed) => Ok(printed),
            Wait::Over => Err(io::Error::new(io::ErrorKind::TimedOut, printed)),
            Wait::Met => Err(io::Error::new(io::ErrorKind::UnexpectedEof, printed)),
        }
    }

    /// Returns the number by which the system knows it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Begins to look how much memory the program takes, and returns how many bytes of it are resident now.
    ///
    /// # Errors
    ///
    /// What the system says; only Linux tells.
    pub fn begin_memory(&self) -> io::Result<u64> {
        // The 5 has the system forget the most that was resident (proc_pid_clear_refs(5)).
        fs::write(format!("/proc/{}/clear_refs", self.id()), "5")?;
        self.memory("VmRSS:")
    }

    /// Returns the most bytes of the program that were resident at once since [`begin_memory`](Self::begin_memory).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn most_memory(&self) -> io::Result<u64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, row: &str) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let kilobytes = status.lines().find_map(|line| line.strip_prefix(row)?.split_whitespace().next());
        let bytes = kilobytes.and_then(|number| number.parse::<u64>().ok()).map(|kilobytes| kilobytes * 1024);
        bytes.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, status))
    }

    /// Asks the program to end as a terminal does on Ctrl-C.
    ///
    /// # Errors
    ///
    /// What the system says if `kill` cannot be run.
    pub fn interrupt(&self) -> io::Result<()> {
        Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().map(|_| ())
    }

    /// Waits for the end of the program.
    ///
    /// # Errors
    ///
    /// `TimedOut` with what it printed if it still holds its output open after `limit`; it is killed then.
    pub fn finish(mut self, limit: Duration) -> io::Result<Finished> {
        match self.printed.when(limit, |state| state.open == 0) {
            (Wait::Met, printed) => Ok(Finished { status: self.child.wait()?, printed }),
            (Wait::Over, printed) => Err(io::Error::new(io::ErrorKind::TimedOut, printed)),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a program that has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

enum Wait {
    Met,
    Over,
}

#[derive(Debug, Default)]
struct Printed {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    text: String,
    /// Streams that the program has not closed.
    open: usize,
}

impl Printed {
    fn keep(self: &Arc<Self>, mut stream: impl Read + Send + 'static) {
        self.change(|state| state.open += 1);
        let printed = Arc::clone(self);
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(len @ 1..) = stream.read(&mut chunk) {
                printed.change(|state| state.text.push_str(&String::from_utf8_lossy(&chunk[..len])));
            }
            printed.change(|state| state.open -= 1);
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn when(&self, limit: Duration, met: impl Fn(&State) -> bool) -> (Wait, String) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(state, limit, |state| !met(state));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (if met(&state) { Wait::Met } else { Wait::Over }, state.text.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn what_a_program_prints_and_how_it_ends_is_known() {
        let process = Process::start(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]));
        let finished = process.and_then(|process| process.finish(LONG)).expect("sh runs");
        assert_eq!(finished.status.code(), Some(3));
        assert!(finished.printed.contains("out\n") && finished.printed.contains("err\n"));
    }

    #[test]
    fn a_program_that_does_not_end_is_an_error() {
        let process = Process::start(Command::new("sleep").arg("60")).expect("sleep runs");
        let error = process.finish(Duration::from_millis(50)).expect_err("it sleeps for longer");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn waiting_ends_with_the_text_the_time_or_the_program() {
        let process =
            Process::start(Command::new("sh").args(["-c", "echo ready; exec sleep 60"])).expect("sh runs");
        assert_eq!(process.wait_for(LONG, |text| text.contains("ready")).expect("it is printed"), "ready\n");
        let late = process.wait_for(Duration::from_millis(50), |text| text.contains("more"));
        assert_eq!(late.expect_err("it prints no more").kind(), io::ErrorKind::TimedOut);
        let gone = Process::start(&mut Command::new("true")).expect("true runs");
        let gone = gone.wait_for(LONG, |text| text.contains("ready"));
        assert_eq!(gone.expect_err("it prints nothing").kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn an_interrupt_ends_a_program() {
        let process = Process::start(Command::new("sleep").arg("60")).expect("sleep runs");
        process.interrupt().expect("kill runs");
        assert!(!process.finish(LONG).expect("it ends").status.success());
    }

    /// What a program takes for a moment is seen later.
    #[test]
    fn the_most_memory_is_kept() {
        let go = std::env::temp_dir().join(format!("sansip-memory-{}", std::process::id()));
        let script = "while [ ! -e \"$0\" ]; do :; done; x=$(head -c 32000000 /dev/zero | tr '\\0' a); x=; echo done; while :; do :; done";
        let process = Process::start(Command::new("bash").args(["-c", script]).arg(&go)).expect("bash runs");
        let before = process.begin_memory().expect("the system tells");
        fs::write(&go, "").expect("there is room");
        process.wait_for(LONG, |text| text.contains("done")).expect("it is printed");
        fs::remove_file(&go).expect("it was written");
        let most = process.most_memory().expect("the system tells");
        assert!(most >= before + 32_000_000, "{before}, {most}");
    }
}
