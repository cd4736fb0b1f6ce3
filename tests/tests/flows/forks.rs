//! An INVITE that forks on its way: RFC 3261 §13.2.2.4; P3, P10.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;
use sansip::{ClientEnd, DialogChange, DialogEnd, Method, Outgoing};
use sansip_sim::{Heard, Puppet, Sim};
use sansip_tests::simulated::{News, Phone, Ua, rest, sent, times, uri_of};

use crate::script::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn start(sim: &mut Sim, keep: bool) -> (Ua, Puppet, Heard) {
    let alice = Ua::new(sim, "alice", Phone::new("10.1.0.1"));
    let bob = sim.puppet("bob");
    let outgoing = Phone::offer(&uri(sim, bob));
    alice.send(sim, if keep { outgoing.keep_forks() } else { outgoing });
    let invite = bob.expect(sim, "INVITE");
    (alice, bob, invite)
}

/// Answers all requests that came; returns how many ACKs and BYEs came for each of the tags.
fn answer_byes(sim: &mut Sim, bob: Puppet, count: usize) -> Vec<(usize, usize)> {
    let heard = bob.take_all(sim);
    let of = |tag: usize, method: &str| {
        let tag = Some(format!("t{tag}"));
        heard.iter().filter(|heard| heard.is(method) && param(heard, "To", "tag") == tag).count()
    };
    let counts = (0..count).map(|tag| (of(tag, "ACK"), of(tag, "BYE"))).collect();
    for bye in heard.iter().filter(|heard| heard.is("BYE")) {
        bob.reply_with(sim, bye, 200, "", b"");
    }
    counts
}

/// UA-06, C084, C097: two branches answer; the second gets ACK and BYE.
#[test]
fn ua_06_extra_success_is_ended() {
    let mut sim = world();
    let (alice, bob, invite) = start(&mut sim, false);
    let contact = "Contact: <sip:bob@[local]>\n";
    for (status, tag) in [(180, "t0"), (180, "t1"), (200, "t0"), (200, "t1")] {
        bob.send(&mut sim, &branch_says(&invite, status, tag, contact));
        sim.run_for(ms(10));
    }
    assert_eq!(answer_byes(&mut sim, bob, 2), [(1, 0), (1, 1)]);
    sim.run_for(Duration::from_secs(1));
    let ended: Vec<_> = alice
        .news(&sim)
        .into_iter()
        .filter(|news| matches!(news, News::Dialog(_, DialogChange::Ended(_))))
        .collect();
    assert!(matches!(ended[..], [News::Dialog(_, DialogChange::Ended(DialogEnd::Fork))]));
    hang_up(&mut sim, alice, bob);
    rest(&mut sim, &[alice]);
    insta::with_settings!({ snapshot_path => "ladders", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("fork_ended", sim.ladder().to_string());
    });
}

/// UA-06: `keep_forks` keeps both.
#[test]
fn ua_06_forks_are_kept() {
    let mut sim = world();
    let (alice, bob, invite) = start(&mut sim, true);
    for tag in ["t0", "t1"] {
        bob.send(&mut sim, &branch_says(&invite, 200, tag, "Contact: <sip:bob@[local]>\n"));
    }
    sim.run_for(Duration::from_secs(40));
    assert_eq!(answer_byes(&mut sim, bob, 2), [(1, 0), (1, 0)]);
    let dialogs = alice.phone(&sim).dialogs();
    assert_eq!(dialogs.len(), 2);
    for dialog in dialogs {
        alice.act(&mut sim, |_, cx| cx.bye(dialog)).expect("it is confirmed");
    }
    sim.run_for(ms(10));
    assert_eq!(answer_byes(&mut sim, bob, 2), [(0, 1), (0, 1)]);
    rest(&mut sim, &[alice]);
}

/// UA-06, C074: early dialogs that no 2xx confirmed end 64·T1 after the first one.
#[test]
fn ua_06_early_dialogs_end_with_timer_m() {
    let mut sim = world();
    let (alice, bob, invite) = start(&mut sim, false);
    for (status, tag) in [(180, "t0"), (183, "t1"), (200, "t2")] {
        bob.send(&mut sim, &branch_says(&invite, status, tag, "Contact: <sip:bob@[local]>\n"));
    }
    sim.run_for(Duration::from_secs(33));
    let ends = alice.phone(&sim).news().iter().filter_map(|(at, news)| match news {
        News::Dialog(_, DialogChange::Ended(DialogEnd::Fork)) => Some(at.as_millis()),
        _ => None,
    });
    assert_eq!(ends.collect::<Vec<_>>(), [32_002, 32_002]);
    hang_up(&mut sim, alice, bob);
    rest(&mut sim, &[alice]);
}

/// P1: a 2xx that names no Contact is acknowledged where the INVITE went, and so is the call ended.
#[test]
fn success_without_contact() {
    let mut sim = world();
    let (alice, bob, invite) = start(&mut sim, false);
    for _ in 0..2 {
        bob.send(&mut sim, &branch_says(&invite, 200, "t0", ""));
        assert_eq!(bob.expect_within(&mut sim, "ACK", ms(10)).uri(), invite.uri());
    }
    let ends =
        alice.news(&sim).into_iter().filter(|news| matches!(news, News::Ended(_, ClientEnd::Final(_))));
    assert_eq!(ends.count(), 1);
    hang_up(&mut sim, alice, bob);
    rest(&mut sim, &[alice]);
}

/// What one branch of a fork says, in this order.
#[derive(Clone, Copy, Debug)]
struct Branch {
    provisionals: u8,
    /// Copies of its 2xx; 0 if it never answers.
    successes: u8,
}

fn branches() -> impl Strategy<Value = Vec<Branch>> {
    let branch = (0..3_u8, 0..4_u8).prop_map(|(provisionals, successes)| Branch { provisionals, successes });
    prop::collection::vec(branch, 1..7)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// P3: N branches × M answers in any order: a dialog for each tag; every copy of every 2xx is acknowledged; all but the
    /// first get one BYE, or none if forks are kept.
    #[test]
    fn p3_forks(branches in branches(), seed in any::<u64>(), keep: bool) {
        let mut sim = Sim::new(seed);
        sim.trace_mut().keep_all();
        let (alice, bob, invite) = start(&mut sim, keep);
        let mut says: Vec<(u16, usize)> = Vec::new();
        for (tag, branch) in branches.iter().enumerate() {
            says.extend(std::iter::repeat_n((180, tag), branch.provisionals.into()));
            says.extend(std::iter::repeat_n((200, tag), branch.successes.into()));
        }
        sim.draws("order").shuffle(&mut says);
        for (status, tag) in &says {
            let text = branch_says(&invite, *status, &format!("t{tag}"), "Contact: <sip:bob@[local]>\n");
            bob.send(&mut sim, &text);
            sim.run_for(ms(20));
        }
        let first = says.iter().find(|(status, _)| *status == 200).map(|(_, tag)| *tag);
        let counts = answer_byes(&mut sim, bob, branches.len());
        for (tag, (acks, byes)) in counts.into_iter().enumerate() {
            let successes = usize::from(branches[tag].successes);
            prop_assert_eq!(acks, successes, "each copy is acknowledged");
            let extra = successes > 0 && first != Some(tag) && !keep;
            prop_assert_eq!(byes, usize::from(extra));
        }
        sim.run_for(ms(10));
        let dialogs = alice.phone(&sim).dialogs();
        let up = branches.iter().filter(|branch| branch.successes > 0).count();
        prop_assert_eq!(dialogs.len(), if keep { up } else { up.min(1) });
        for dialog in dialogs {
            alice.act(&mut sim, |_, cx| cx.bye(dialog)).expect("it is confirmed");
        }
        sim.run_for(ms(10));
        answer_byes(&mut sim, bob, branches.len());
        if first.is_none() {
            bob.reply_with(&mut sim, &invite, 486, "", b"");
        }
        rest(&mut sim, &[alice]);
    }
}

/// P10: every transaction has a branch of its own, and in one dialog every request but ACK and CANCEL a CSeq of its own.
#[test]
fn p10_branches_and_numbers_are_unique() {
    let mut sim = world();
    let alice = Ua::new(&mut sim, "alice", Phone::new("10.1.0.1"));
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2"));
    for _ in 0..50 {
        alice.dial(&mut sim, &bob.uri());
        sim.run_for(ms(20));
        for ua in [alice, bob, alice] {
            let dialog = ua.dialog(&sim);
            ua.send(&mut sim, Outgoing::in_dialog(Method::Info, dialog));
            ua.send(&mut sim, Outgoing::new(Method::Message, uri_of(&alice.uri())));
            sim.run_for(ms(20));
        }
        alice.hang_up(&mut sim);
        sim.run_for(ms(20));
    }
    rest(&mut sim, &[alice, bob]);
    let requests: Vec<_> = sent(&sim).into_iter().filter(|seen| seen.status.is_none()).collect();
    let bytes: BTreeSet<_> = requests.iter().map(|seen| seen.bytes.clone()).collect();
    let branches: BTreeSet<_> = requests.iter().map(|seen| seen.branch.clone()).collect();
    assert_eq!(branches.len(), bytes.len(), "what differs has another branch");
    let numbered: Vec<_> = requests.iter().filter(|seen| seen.method != "ACK").collect();
    let numbers: BTreeSet<_> = numbered.iter().map(|s| (&s.call_id, &s.from_tag, s.cseq)).collect();
    assert_eq!(numbers.len(), numbered.len());
    assert_eq!(times(&sim, alice, "INVITE").len(), 50);
}
