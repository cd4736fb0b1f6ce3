use crate::{
    base::{Instant, Limits},
    decision::Record,
    transport::{Input, Output, SocketId},
};

/// The only seam between a machine and a driver.
///
/// Call anything in any order; after a call, drain [`poll_output`](Self::poll_output) and sleep until
/// [`poll_timeout`](Self::poll_timeout) or the next input. Several inputs before a drain are allowed.
pub trait Machine {
    /// Takes one input. `now` must not go back; if it does, the machine keeps the latest it has seen.
    fn handle_input(&mut self, now: Instant, input: Input<'_>);

    /// Returns the next thing to do for this machine, in order.
    fn poll_output(&mut self) -> Option<Output>;

    /// Returns when the machine wants its next input at the latest, `None` if it waits for peers only.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Returns the limits that hold now, for whoever stands around the machine to keep too; `None` if it has none.
    fn limits(&self) -> Option<&Limits> {
        None
    }

    /// Returns the paths at and below which a listener takes WebSockets, for whoever stands around the machine to turn others
    /// away; `None` if it takes all.
    fn paths(&self, _: SocketId) -> Option<Vec<Box<str>>> {
        None
    }

    /// Returns the next row of the recording, if one is being made.
    fn poll_record(&mut self) -> Option<Record> {
        None
    }

    /// Tells whether the machine has ended for good: once its outputs are drained the driver may stop.
    fn is_stopped(&self) -> bool {
        false
    }
}

/// A machine that is the innermost or stands around another one, and the way to the innermost.
pub trait Nested: Machine {
    /// The innermost machine.
    type Inner;

    /// Borrows the innermost machine.
    fn inner(&mut self) -> &mut Self::Inner;
}

/// Several kinds of machines in one driver.
impl<M: Machine + ?Sized> Machine for Box<M> {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        (**self).handle_input(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        (**self).poll_output()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        (**self).poll_timeout()
    }

    fn limits(&self) -> Option<&Limits> {
        (**self).limits()
    }

    fn paths(&self, socket: SocketId) -> Option<Vec<Box<str>>> {
        (**self).paths(socket)
    }

    fn poll_record(&mut self) -> Option<Record> {
        (**self).poll_record()
    }

    fn is_stopped(&self) -> bool {
        (**self).is_stopped()
    }
}
