use std::{io, thread};

use crate::print;

/// What the program is asked for from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// To end.
    End,
    /// To read its files again; the terminal that it was started from may have gone as well.
    Reload,
}

/// Calls `told` when the program is asked for something, by Ctrl-C or by the system. Asked to end once more, it ends at once.
pub(crate) fn on_signal(told: impl Fn(Signal) + Send + 'static) {
    if let Err(error) = listen(told) {
        print::error(format_args!("cannot listen to Ctrl-C: {error}"));
    }
}

/// Has a thread of its own wait, after all signals are caught.
fn listen(told: impl Fn(Signal) + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::new()?
    };
    thread::Builder::new().name("signals".into()).spawn(move || {
        let mut ending = false;
        loop {
            let signal = runtime.block_on(signals.next());
            if signal == Signal::End && std::mem::replace(&mut ending, true) {
                std::process::exit(AT_ONCE);
            }
            told(signal);
        }
    })?;
    Ok(())
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::End,
            _ = self.terminate.recv() => Signal::End,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }
}

#[cfg(windows)]
struct Signals {
    interrupt: tokio::signal::windows::CtrlC,
    close: tokio::signal::windows::CtrlClose,
}

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::windows::{ctrl_c, ctrl_close};
        Ok(Self { interrupt: ctrl_c()?, close: ctrl_close()? })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::End,
            _ = self.close.recv() => Signal::End,
        }
    }
}

/// What a shell shows of a program that Ctrl-C ended.
const AT_ONCE: i32 = 130;
