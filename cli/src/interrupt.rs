use std::sync::atomic::{AtomicBool, Ordering};

use crate::print;

/// Calls `first` when the program is asked to end, by Ctrl-C or by the system. Asked once more, the program ends at once.
pub(crate) fn on_interrupt(first: impl Fn() + Send + 'static) {
    let asked = AtomicBool::new(false);
    let handler = move || {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(AT_ONCE);
        }
        first();
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        print::error(format_args!("cannot listen to Ctrl-C: {error}"));
    }
}

/// What a shell shows of a program that Ctrl-C ended.
const AT_ONCE: i32 = 130;
