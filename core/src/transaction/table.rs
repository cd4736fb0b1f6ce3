use super::{Actions, Timer};

/// One row's right half: what a machine does in a state when something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step<S> {
    pub(super) state: S,
    pub(super) actions: Actions,
    pub(super) timers: Timers,
}

/// What a step does to the timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timers {
    /// All go on.
    Keep,
    /// The one that fired is armed again, the others go on.
    Again,
    /// All stop but these, which start.
    Only(&'static [Timer]),
}

/// Keeps the state and its timers.
pub(super) const fn stay<S: Copy>(state: S, actions: Actions) -> Step<S> {
    Step { state, actions, timers: Timers::Keep }
}

/// Keeps the state and arms the timer that fired again.
pub(super) const fn again<S: Copy>(state: S, actions: Actions) -> Step<S> {
    Step { state, actions, timers: Timers::Again }
}

/// Enters a state with these timers and no others.
pub(super) const fn enter<S: Copy>(state: S, actions: Actions, timers: &'static [Timer]) -> Step<S> {
    Step { state, actions, timers: Timers::Only(timers) }
}

#[cfg(test)]
pub(super) mod print {
    use std::fmt::{Debug, Write as _};

    use super::*;

    /// Prints a table: the start, then each pair of state and event that has an effect.
    pub(in super::super) fn table<S: Copy + Debug + PartialEq, E: Copy + Debug>(
        start: Step<S>,
        states: &[S],
        events: &[E],
        step: impl Fn(S, E) -> Step<S>,
    ) -> String {
        let mut out = row("-", "start", start);
        for &state in states {
            for &event in events {
                let to = step(state, event);
                if to != stay(state, Actions::NONE) {
                    out += &row(&format!("{state:?}"), &format!("{event:?}"), to);
                }
            }
        }
        out
    }

    fn row<S: Debug>(state: &str, event: &str, to: Step<S>) -> String {
        let timers = match to.timers {
            Timers::Keep => "keep".into(),
            Timers::Again => "again".into(),
            Timers::Only([]) => "none".into(),
            Timers::Only(timers) => timers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        };
        let mut row = String::new();
        let next = format!("{:?}", to.state);
        let actions = to.actions.to_string();
        writeln!(row, "{state:<10}  {event:<15}  {next:<10}  {actions:<26}  {timers}")
            .expect("a String takes all");
        row
    }
}
