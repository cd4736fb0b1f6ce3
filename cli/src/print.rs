use std::{
    fmt,
    io::{self, Write as _},
};

/// Prints a line on standard output. Who has closed it does not want it.
pub(crate) fn line(line: impl fmt::Display) {
    let _unread = writeln!(io::stdout().lock(), "{line}");
}

/// Prints a whole text on standard output.
pub(crate) fn text(text: &str) {
    let _unread = write!(io::stdout().lock(), "{text}");
}

/// Prints what went wrong on standard error.
pub(crate) fn error(error: impl fmt::Display) {
    let _unread = writeln!(io::stderr().lock(), "sansip: {error}");
}
