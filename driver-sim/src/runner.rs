use std::{
    any::Any,
    env, fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use thiserror::Error;

use crate::{trace::Row, world::Sim};

/// The seed of a test that is given none.
const USUAL: u64 = 1;

/// Returns the seed to use: that of the environment variable `SANSIP_SEED`, or a fixed one.
///
/// # Panics
/// If the variable is no number.
pub fn seed() -> u64 {
    match Plan::from_env() {
        Ok(plan) => plan.first,
        Err(error) => panic!("{error}"),
    }
}

/// Runs a test under the seeds that the environment asks for, and says how to repeat it if it fails.
///
/// `SANSIP_SEED=n` sets the seed, `SANSIP_SEEDS=n` how many to go through from there on, and `SANSIP_TWICE=1` runs
/// each twice and compares the two.
///
/// # Panics
/// If the test does, or if two runs with one seed differ.
pub fn check(place: Place, test: impl FnMut(&mut Sim)) {
    let plan = match Plan::from_env() {
        Ok(plan) => plan,
        Err(error) => panic!("{error}"),
    };
    if let Err(failure) = plan.run(&place, test) {
        panic!("{failure}");
    }
}

/// Which seeds a test runs under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The first seed.
    pub first: u64,
    /// How many seeds.
    pub count: u64,
    /// Whether each runs twice.
    pub twice: bool,
}

impl Plan {
    /// Reads the environment.
    pub fn from_env() -> Result<Self, BadPlan> {
        Self::read(|name| env::var(name).ok())
    }

    /// Reads variables that a function looks up.
    pub fn read(look_up: impl Fn(&str) -> Option<String>) -> Result<Self, BadPlan> {
        let number = |name: &'static str, usual| match look_up(name) {
            None => Ok(usual),
            Some(text) => text.parse().map_err(|_| BadPlan { name, text }),
        };
        Ok(Self {
            first: number("SANSIP_SEED", USUAL)?,
            count: number("SANSIP_SEEDS", 1)?,
            twice: number("SANSIP_TWICE", 0)? != 0,
        })
    }

    /// Runs a test under each seed until one fails.
    pub fn run(&self, place: &Place, mut test: impl FnMut(&mut Sim)) -> Result<(), Box<Failure>> {
        for seed in (0..self.count).map(|offset| self.first.wrapping_add(offset)) {
            let hash = run_once(place, seed, &mut test)?.trace().hash();
            if self.twice && run_once(place, seed, &mut test)?.trace().hash() != hash {
                let what = match first_difference(place, seed, &mut test)? {
                    Some(difference) => difference,
                    None => "two runs differed, but two more did not".into(),
                };
                return Err(Failure::boxed(seed, what, replay(Some(place), seed)));
            }
        }
        Ok(())
    }
}

/// A variable of the environment that is no number.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name}={text:?}: a number is wanted")]
pub struct BadPlan {
    name: &'static str,
    text: String,
}

/// How a test failed, and how to repeat that.
#[derive(Debug, Error)]
#[error("seed {seed}: {what}\n{report}")]
pub struct Failure {
    seed: u64,
    what: String,
    report: String,
}

impl Failure {
    fn boxed(seed: u64, what: String, report: String) -> Box<Self> {
        Box::new(Self { seed, what, report })
    }

    /// Returns the seed that failed.
    pub const fn seed(&self) -> u64 {
        self.seed
    }
}

/// Where a test stands, so that it can be run again by name; made by [`here!`](crate::here).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    package: String,
    test: String,
}

impl Place {
    /// Makes a place of a package's name and the full path of a function in the test.
    pub fn new(package: &str, function: &str) -> Self {
        let path = function.split("::{{closure}}").next().unwrap_or(function);
        let path = path.strip_suffix("::here").unwrap_or(path);
        let test = path.split_once("::").map_or(path, |(_, test)| test);
        Self { package: package.into(), test: test.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "-p {} {}", self.package, self.test)
    }
}

/// Names the test that it stands in, for [`check`].
#[macro_export]
macro_rules! here {
    () => {{
        fn here() {}
        $crate::Place::new(env!("CARGO_PKG_NAME"), ::std::any::type_name_of_val(&here))
    }};
}

/// Returns the command that runs a test again. Without a place it is told from the environment and the thread's name.
pub(crate) fn replay(place: Option<&Place>, seed: u64) -> String {
    if let Some(place) = place {
        return format!("SANSIP_SEED={seed} cargo test {place}");
    }
    let thread = std::thread::current();
    let test = thread.name().filter(|name| *name != "main").unwrap_or_default();
    let package = env::var("CARGO_PKG_NAME").map(|name| format!(" -p {name}")).unwrap_or_default();
    format!("SANSIP_SEED={seed} cargo test{package} {test}").trim_end().to_owned()
}

fn run_once(place: &Place, seed: u64, test: &mut impl FnMut(&mut Sim)) -> Result<Sim, Box<Failure>> {
    run_with(place, seed, false, test)
}

fn run_with(
    place: &Place,
    seed: u64,
    keep_all: bool,
    test: &mut impl FnMut(&mut Sim),
) -> Result<Sim, Box<Failure>> {
    let mut sim = Sim::new(seed);
    sim.place = Some(place.clone());
    if keep_all {
        sim.trace_mut().keep_all();
    }
    match catch_unwind(AssertUnwindSafe(|| test(&mut sim))) {
        Ok(()) => Ok(sim),
        Err(payload) => Err(Failure::boxed(seed, words(&*payload), sim.report())),
    }
}

fn first_difference(
    place: &Place,
    seed: u64,
    test: &mut impl FnMut(&mut Sim),
) -> Result<Option<String>, Box<Failure>> {
    let one = run_with(place, seed, true, test)?;
    let two = run_with(place, seed, true, test)?;
    let (mut ones, mut twos) = (one.trace().rows(), two.trace().rows());
    let mut number = 0;
    loop {
        let (a, b): (Option<&Row>, Option<&Row>) = (ones.next(), twos.next());
        if a != b {
            return Ok(Some(format!("two runs differ at row {number}:\n  {a:?}\n  {b:?}")));
        }
        if a.is_none() {
            return Ok(None);
        }
        number += 1;
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".into())
}
