//! Calls drawn from seeds: who calls whom and when, what becomes of every packet, who cancels and who hangs up.
//!
//! `SANSIP_SEED=n` replays one seed, `SANSIP_SEEDS=n` runs more of them; a failure prints the line that replays it.

use std::{
    net::IpAddr,
    ops::Range,
    time::{Duration, Instant},
};

use sansip::{Body, Config, Method, Outgoing, Reply};
use sansip_sim::{Draws, Place, Plan, Segments, Sim, here};
use sansip_tests::simulated::{Manner, Phone, Ua, rest, uri_of, violations};

/// How many seeds an ordinary run goes through.
const SEEDS: u64 = 1000;
/// Of how many seeds one is run twice, to compare the traces.
const TWICE: u64 = 50;

/// P1, P2, P24, D1: under every schedule of loss, copies, reordering and jitter all ends well: nothing is left, every
/// question and request ends once, and the traffic keeps the rules.
#[test]
fn calls_under_faults() {
    let mut plan = Plan::from_env().expect("the environment holds numbers");
    if std::env::var_os("SANSIP_SEED").is_none() && std::env::var_os("SANSIP_SEEDS").is_none() {
        plan.count = SEEDS;
    }
    run(&plan, &here!());
    // One seed and the same trace, every time.
    let sample = Plan { count: plan.count.div_ceil(TWICE), twice: true, ..plan };
    run(&sample, &here!());
}

/// The checks see what they are for: a puppet breaks each rule once.
#[test]
fn checks_see_violations() {
    let mut sim = Sim::new(1);
    sim.trace_mut().keep_all();
    let bob = Ua::new(&mut sim, "bob", Phone::new("10.1.0.2"));
    let puppet = sim.puppet("alice");
    let request = |method: &str, branch: &str, cseq: u32, extra: &str| {
        format!(
            "{method} sip:bob@[remote] SIP/2.0\n\
            Via: SIP/2.0/UDP [local];rport;branch=z9hG4bK-{branch}\n\
            From: <sip:alice@[local]>;tag=a\nTo: <sip:bob@[remote]>\nCall-ID: one\nCSeq: {cseq} {method}\n\
            Max-Forwards: 70\nContact: <sip:alice@[local]>\n{extra}Content-Length: 0\n"
        )
    };
    // No ACK for the 2xx, a second copy too early and with other bytes, one number for two requests.
    for (method, branch, extra) in
        [("INVITE", "i", ""), ("INVITE", "i", "Subject: x\n"), ("OPTIONS", "o", ""), ("CANCEL", "i", "")]
    {
        puppet.send_to(&mut sim, bob.addr(), &request(method, branch, 1, extra));
        sim.run_for(Duration::from_millis(100));
    }
    // Two final responses to one request of the phone's, with a provisional after them, and a BYE long before an ACK.
    let uri = format!("sip:{}", puppet.addr(&sim));
    bob.dial(&mut sim, &uri);
    let invite = puppet.expect(&mut sim, "INVITE");
    for (status, field) in
        [(183, "RSeq: 1"), (183, "RSeq: 1"), (200, "X: 200"), (486, "X: 486"), (180, "X: 180")]
    {
        puppet.reply_with(&mut sim, &invite, status, field, b"");
        sim.run_for(Duration::from_millis(7));
    }
    // Two PRACKs for one response, the older one later.
    for (branch, cseq) in [("p", 9), ("q", 8)] {
        let prack = request("PRACK", branch, cseq, "RAck: 1 1 INVITE\n");
        puppet.send_to(&mut sim, bob.addr(), &prack.replace("To: <sip:bob@[remote]>", "To: <sip:b@b>;tag=b"));
        sim.run_for(Duration::from_millis(100));
    }
    // A refusal that is not acknowledged, and a request twice on a stream.
    bob.act(&mut sim, |phone, _| phone.invite = Manner::Now(Reply::busy()));
    puppet.send_to(&mut sim, bob.addr(), &request("INVITE", "r", 1, "").replace("one", "two"));
    sim.run_for(Duration::from_millis(100));
    puppet.connect(&mut sim, bob.addr());
    for _ in 0..2 {
        puppet.send(&mut sim, &request("OPTIONS", "s", 1, "").replace("one", "three"));
    }
    sim.run_for(Duration::from_millis(100));
    let found = violations(&sim).join("\n");
    for what in [
        "sends different requests",
        "100ms instead of 500ms",
        "1 2xx at 0.002 have 0 ACKs",
        "several final responses: {200, 486}",
        "sends Some(180) after its final response",
        "repeats Some(486) after 7ms",
        "cancels before a provisional response",
        "is used twice",
        "sends 8 late",
        "is acknowledged twice",
        "repeats Some(183) after 7ms",
        "1 refusals have 0 ACKs",
        "is sent twice over a stream",
    ] {
        assert!(found.contains(what), "{what:?} is not seen:\n{found}");
    }
}

/// Plays a plan, and says how long a seed takes; `--nocapture` shows it.
fn run(plan: &Plan, place: &Place) {
    let mut times = Vec::new();
    let played = plan.run(place, |sim| {
        let begin = Instant::now();
        swarm(sim);
        times.push((begin.elapsed(), sim.seed()));
    });
    if let Err(failure) = played {
        panic!("{failure}");
    }
    let all: Duration = times.iter().map(|(time, _)| *time).sum();
    let each = all / u32::try_from(times.len()).unwrap_or(u32::MAX).max(1);
    if let Some((most, seed)) = times.iter().max() {
        println!("{} runs in {all:.1?}: {each:.1?} a seed, {most:.1?} at most, for seed {seed}", times.len());
    }
}

/// Plays one seed.
fn swarm(sim: &mut Sim) {
    sim.trace_mut().keep_all();
    let mut draws = sim.draws("swarm");
    let phones = phones(sim, &mut draws);
    weather(sim, &mut draws);
    for _ in 0..=draws.below(4) {
        plan_call(sim, &mut draws, &phones);
    }
    for _ in 0..draws.below(3) {
        plan_request(sim, &mut draws, &phones);
    }
    sim.run_for(Duration::from_secs(45));
    agree(sim, &phones);
    // What is up when the play is over is ended, and so is what comes up later.
    for _ in 0..12 {
        hang_up_all(sim, &mut draws, &phones);
        sim.run_for(Duration::from_secs(20));
    }
    rest(sim, &phones);
    let found = violations(sim);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn phones(sim: &mut Sim, draws: &mut Draws) -> Vec<Ua> {
    let count = 2 + draws.below(2);
    let phones = ["alice", "bob", "carol"].into_iter().zip(1..=count);
    phones
        .map(|(name, number)| {
            let mut config = Config::default();
            config.limits.invite_answer = draws.within(secs(5..60));
            config.limits.answer = draws.within(secs(2..31));
            config.ringing = draws.within(secs(5..90));
            config.allow.push(Method::Update);
            if draws.chance(0.3) {
                // Its Contact is a name, so each request to it in a dialog waits for a look-up.
                let host = format!("{name}.example.com");
                let address: IpAddr = format!("10.1.0.{number}").parse().expect("an address");
                sim.dns().name(&host, [address]);
                config.host = Some(host.try_into().expect("a name is a valid value"));
            }
            let phone = Phone::new(&format!("10.1.0.{number}"))
                .invite(manner(draws))
                .reinvite(manner(draws))
                .rings_reliably(draws.chance(0.3))
                .other(if draws.chance(0.8) { Manner::Now(Reply::ok()) } else { manner_of_others(draws) });
            Ua::configured(sim, name, config, phone)
        })
        .collect()
}

fn manner(draws: &mut Draws) -> Manner {
    let rings = draws.within(secs(0..20));
    match draws.below(10) {
        0..=2 => Manner::Now(Phone::accept()),
        3..=5 => Manner::Rings(rings, Phone::accept()),
        6 => Manner::Rings(rings, Reply::busy()),
        7 => Manner::Now(Reply::decline()),
        8 => Manner::Rings(rings, Reply::unavailable()),
        _ => Manner::Later,
    }
}

fn manner_of_others(draws: &mut Draws) -> Manner {
    match draws.below(3) {
        0 => Manner::Now(Reply::unavailable()),
        1 => Manner::Now(Reply::no_dialog()),
        _ => Manner::Later,
    }
}

/// Draws what the network does to packets.
fn weather(sim: &mut Sim, draws: &mut Draws) {
    let fair = draws.chance(0.2);
    let (low, jitter) = (draws.within(millis(0..200)), draws.within(millis(0..400)));
    let worst = if fair { 0 } else { draws.below(40) };
    let loss = draws.below(worst + 1) as f64 / 100.0;
    let copies = if fair { 0.0 } else { draws.below(30) as f64 / 100.0 };
    let (held, extra) = (draws.below(20) as f64 / 100.0, draws.within(millis(1..1500)));
    let cut = [Segments::Random, Segments::Whole, Segments::Fixed(1), Segments::Fixed(100)];
    let cut = draws.pick(&cut).copied().unwrap_or_default();
    sim.dns().latency(Duration::ZERO..draws.within(millis(1..3000)));
    let links = sim.net().everywhere().delay(low..low + jitter).loss(loss).duplicate(copies).segments(cut);
    if !fair {
        links.reorder(held, extra);
    }
}

/// Plans one call with what happens in it.
fn plan_call(sim: &mut Sim, draws: &mut Draws, phones: &[Ua]) {
    let mut both = phones.to_vec();
    draws.shuffle(&mut both);
    let (caller, callee) = (both[0], both[1]);
    let uri = if draws.chance(0.3) { callee.tcp_uri() } else { callee.uri() };
    let begin = draws.within(secs(0..10));
    let cancel = draws.chance(0.3).then(|| draws.within(secs(0..25)));
    let ends: Vec<(bool, Duration)> =
        (0..draws.below(3)).map(|_| (draws.chance(0.5), draws.within(secs(0..30)))).collect();
    let during: Vec<(bool, Method, Duration)> = (0..draws.below(4))
        .map(|_| {
            let method = match draws.below(4) {
                0 => Method::Update,
                1 => Method::Info,
                _ => Method::Invite,
            };
            (draws.chance(0.5), method, draws.within(secs(0..30)))
        })
        .collect();
    sim.after(begin, move |sim| {
        let call = caller.dial(sim, &uri);
        if let Some(after) = cancel {
            // It may have its final response by then.
            sim.after(after, move |sim| {
                let _final = caller.cancel(sim, call);
            });
        }
        for (by_caller, after) in ends {
            sim.after(after, move |sim| hang_up(sim, if by_caller { caller } else { callee }));
        }
        for (by_caller, method, after) in during {
            sim.after(after, move |sim| say(sim, if by_caller { caller } else { callee }, method));
        }
    });
}

/// Plans a request outside of any call.
fn plan_request(sim: &mut Sim, draws: &mut Draws, phones: &[Ua]) {
    let mut both = phones.to_vec();
    draws.shuffle(&mut both);
    let (from, to) = (both[0], both[1]);
    let uri = if draws.chance(0.3) { to.tcp_uri() } else { to.uri() };
    let method = if draws.chance(0.5) { Method::Options } else { Method::Message };
    sim.after(draws.within(secs(0..30)), move |sim| {
        from.send(sim, Outgoing::new(method, uri_of(&uri)));
    });
}

/// Sends a request in the first call of a phone that is up.
fn say(sim: &mut Sim, ua: Ua, method: Method) {
    let Some(dialog) = ua.phone(sim).dialogs().first().copied() else { return };
    let outgoing = Outgoing::in_dialog(method, dialog).body(Body::sdp(Phone::SDP));
    // The dialog may be ending, or an INVITE be under way in it.
    let _refused = ua.act(sim, |phone, cx| phone.request(cx, outgoing));
}

/// Ends the first call of a phone that is up.
fn hang_up(sim: &mut Sim, ua: Ua) {
    if let Some(dialog) = ua.phone(sim).dialogs().first().copied() {
        // It may be ending already.
        let _ending = ua.act(sim, |_, cx| cx.bye(dialog));
    }
}

fn hang_up_all(sim: &mut Sim, draws: &mut Draws, phones: &[Ua]) {
    for ua in phones {
        for dialog in ua.phone(sim).dialogs() {
            if draws.chance(0.7) {
                let _ending = ua.act(sim, |_, cx| cx.bye(dialog));
            }
        }
    }
}

/// The two ends of a call name it alike, and no end has seen a number that the other has not used.
fn agree(sim: &Sim, phones: &[Ua]) {
    let views: Vec<_> = phones
        .iter()
        .flat_map(|ua| ua.phone(sim).dialogs().into_iter().map(move |dialog| (*ua, dialog)))
        .filter_map(|(ua, dialog)| Some((ua, ua.endpoint(sim).dialog(dialog).ok()?)))
        .collect();
    for (ua, one) in &views {
        let others = views.iter().filter(|(other, _)| other.id() != ua.id());
        for (_, two) in others.filter(|(_, two)| two.call_id() == one.call_id()) {
            assert_eq!((one.local_tag(), one.remote_tag()), (two.remote_tag(), two.local_tag()));
            assert!(two.remote_seq().is_none_or(|seen| seen <= one.local_seq()));
        }
    }
}

fn secs(range: Range<u64>) -> Range<Duration> {
    Duration::from_secs(range.start)..Duration::from_secs(range.end)
}

fn millis(range: Range<u64>) -> Range<Duration> {
    Duration::from_millis(range.start)..Duration::from_millis(range.end)
}
