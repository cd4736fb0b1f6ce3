use std::time::Duration;

use sansip::{Input, Instant, Machine};

/// Lets time pass for a machine that no network surrounds: wakes it at each of its deadlines, and returns the moment
/// when the time is over.
///
/// `drain` is called before the first wake and after each one, to take its outputs.
///
/// # Panics
/// If the machine wants to be woken again and again without letting time pass.
pub fn pass<M: Machine + ?Sized>(
    machine: &mut M,
    now: Instant,
    time: Duration,
    mut drain: impl FnMut(&mut M),
) -> Instant {
    let (mut now, end) = (now, now + time);
    for _ in 0..WAKES {
        drain(machine);
        match machine.poll_timeout().filter(|due| *due <= end) {
            Some(due) => {
                now = now.max(due);
                machine.handle_input(now, Input::Timeout);
            }
            None => return end,
        }
    }
    panic!("it wants to be woken at {now} again and again");
}

/// Lets an hour pass in which nobody says anything, and forgets what the machine wants meanwhile: whatever it waits for
/// runs out. Returns the moment after it.
///
/// At the end of a test it shows that nothing is left: an endpoint without calls is idle then.
///
/// # Panics
/// If the machine wants to be woken again and again without letting time pass.
pub fn silence<M: Machine + ?Sized>(machine: &mut M, now: Instant) -> Instant {
    let forget = |machine: &mut M| while machine.poll_output().is_some() {};
    pass(machine, now, HOUR, forget)
}

const HOUR: Duration = Duration::from_secs(3600);
const WAKES: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use sansip::Output;

    use super::*;

    /// Wants to be woken every `every`.
    struct Clock {
        every: Duration,
        next: Instant,
        woken: usize,
    }

    impl Machine for Clock {
        fn handle_input(&mut self, now: Instant, _: Input<'_>) {
            self.next = now + self.every;
            self.woken += 1;
        }

        fn poll_output(&mut self) -> Option<Output> {
            None
        }

        fn poll_timeout(&self) -> Option<Instant> {
            Some(self.next)
        }
    }

    #[test]
    fn time_passes_from_deadline_to_deadline() {
        let mut clock = Clock { every: Duration::from_secs(1), next: Instant::EPOCH, woken: 0 };
        let end = silence(&mut clock, Instant::EPOCH);
        assert_eq!((end, clock.woken), (Instant::EPOCH + HOUR, 3601));
        clock.every = Duration::ZERO;
        assert!(catch_unwind(AssertUnwindSafe(|| silence(&mut clock, end + HOUR))).is_err());
    }
}
