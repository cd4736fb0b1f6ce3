//! The same seed gives the same run, and a failure says how to repeat it.

use std::{cell::Cell, process::Command};

use crate::scripted::{Scripted, ms, secs};
use sansip_sim::{Place, Plan, Sim, check, here};

/// Plays a little with everything that is random.
fn play(sim: &mut Sim) {
    let nodes: Vec<_> = (0..4).map(|i| sim.node(&format!("n{i}"), Scripted::new())).collect();
    sim.net().everywhere().loss(0.1).delay(ms(1)..ms(90)).duplicate(0.1).reorder(0.1, ms(50)..ms(150));
    for round in 0..50 {
        let from = *sim.workload().pick(&nodes).expect("there are nodes");
        let to = *sim.workload().pick(&nodes).expect("there are nodes");
        let remote = sim.addr(to, 5060);
        sim.on(from, |m, now| {
            m.send_next(remote);
            let conn = m.connect(round * 2, remote);
            m.write(conn, vec![7; 2000]);
            m.deadline = Some(now + secs(3));
        });
        let pause = sim.workload().within(ms(0)..ms(50));
        sim.run_for(pause);
    }
    sim.settle();
}

fn hash(seed: u64) -> u128 {
    let mut sim = Sim::new(seed);
    play(&mut sim);
    sim.trace().hash()
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..5 {
        assert_eq!(hash(seed), hash(seed));
    }
    assert_ne!(hash(1), hash(2));
}

/// The run itself is pinned: it must not depend on the platform, nor change without being meant to.
#[test]
fn a_run_is_the_same_everywhere() {
    assert_eq!(hash(1), PINNED);
}

const PINNED: u128 = 242271874847353763755433164802808961014;

#[test]
fn tests_run_under_the_seeds_asked_for() {
    check(here!(), play);
    let plan = |seed: &'static str, seeds: &'static str, twice: &'static str| {
        Plan::read(move |name| {
            let text = match name {
                "SANSIP_SEED" => seed,
                "SANSIP_SEEDS" => seeds,
                "SANSIP_TWICE" => twice,
                _ => "",
            };
            (!text.is_empty()).then(|| text.to_owned())
        })
    };
    assert_eq!(plan("", "", ""), Ok(Plan { first: 1, count: 1, twice: false }));
    assert_eq!(plan("9", "3", "1"), Ok(Plan { first: 9, count: 3, twice: true }));
    let wrong = plan("nine", "", "").expect_err("no number");
    assert_eq!(wrong.to_string(), "SANSIP_SEED=\"nine\": a number is wanted");
    let seeds = Cell::new(Vec::new());
    let run = plan("9", "3", "1").expect("it is right").run(&here!(), |sim| {
        let mut all = seeds.take();
        all.push(sim.seed());
        seeds.set(all);
    });
    assert!(run.is_ok());
    assert_eq!(seeds.take(), [9, 9, 10, 10, 11, 11]);
}

#[test]
fn a_failure_says_how_to_repeat_it() {
    let plan = Plan { first: 5, count: 10, twice: false };
    let failure = plan.run(&here!(), |sim| {
        let (a, b) = (sim.node("a", Scripted::new()), sim.node("b", Scripted::new()));
        let remote = sim.addr(b, 5060);
        sim.on(a, |m, _| m.send_next(remote));
        sim.settle();
        assert!(sim.seed() < 8, "the bug");
    });
    let failure = failure.expect_err("seed 8 fails");
    assert_eq!(failure.seed(), 8);
    let text = failure.to_string();
    let replay = "SANSIP_SEED=8 cargo test -p sansip-sim seeds::a_failure_says_how_to_repeat_it";
    assert!(text.starts_with("seed 8: the bug") && text.contains(replay), "{text}");
    assert!(text.contains("datagram 1"), "{text}");
}

/// A test that makes its world itself, with the seed of the environment, says it too when it panics; it is run as another program.
#[test]
fn a_panic_beside_a_world_says_how_to_repeat_it() {
    const FAILS: &str = "SANSIP_SIM_TEST_FAILS";
    let name = "seeds::a_panic_beside_a_world_says_how_to_repeat_it";
    if std::env::var_os(FAILS).is_some() {
        let sim = Sim::new(sansip_sim::seed());
        panic!("seed {} has the bug", sim.seed());
    }
    let mut again = Command::new(std::env::current_exe().expect("a test knows its program"));
    again.args(["--exact", name, "--nocapture"]).env(FAILS, "1");
    again.env("SANSIP_SEED", "77").env("CARGO_PKG_NAME", "sansip-sim");
    let ended = again.output().expect("it starts");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && told.contains("seed 77 has the bug"), "{told}");
    let line = format!("replay: SANSIP_SEED=77 cargo test -p sansip-sim {name}");
    assert!(told.lines().any(|told| told == line), "{told}");
}

#[test]
fn a_run_that_differs_from_itself_is_a_failure() {
    let runs = Cell::new(0);
    let plan = Plan { first: 1, count: 1, twice: true };
    let failure = plan.run(&here!(), |sim| {
        runs.set(runs.get() + 1);
        let a = sim.node("a", Scripted::new());
        let wait = secs(runs.get());
        sim.on(a, |m, now| m.deadline = Some(now + wait));
        sim.settle();
    });
    let text = failure.expect_err("each run waits longer").to_string();
    assert!(text.contains("two runs differ at row 3") && text.contains("Woke"), "{text}");
}

#[test]
fn places_are_named_as_the_test_program_wants_them() {
    let place = Place::new("sansip", "flows::basic::inner::here");
    assert_eq!(place.to_string(), "-p sansip basic::inner");
    let in_closure = || here!();
    let name = "-p sansip-sim seeds::places_are_named_as_the_test_program_wants_them";
    assert_eq!(in_closure().to_string(), name);
}
