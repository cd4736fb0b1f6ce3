use crate::{
    base::Instant,
    transport::{Input, Output},
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
}
