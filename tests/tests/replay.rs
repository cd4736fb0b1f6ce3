//! Record and replay of whole calls (D2): config, seed and recording say all, with no application code present.

use std::time::Duration;

use sansip::{
    AskId, ClientEnd, ClientHandle, Command, CommandError, Config, DialogEnd, DialogHandle, Endpoint, Gone,
    Host, Input, Instant, Machine, Outgoing, Output, Proto, Record, Reply, Seed, StatusCode, Verdict, Void,
};
use sansip_sim::{Node, Sim};
use sansip_tests::{
    Conduct, Family, Note, OnAsyncStd, OnSmol, OnThreads, OnTokio, Over, Phone, Resting, Rig, Simulated,
    invite, uri,
};

/// Takes the recording that a host has made so far.
fn drain(host: &mut Host<Phone>) -> Vec<Record> {
    std::iter::from_fn(|| host.poll_record()).collect()
}

fn outputs(records: &[Record]) -> Vec<Output> {
    let output = |record: &Record| match record {
        Record::Output(output) => Some(output.clone()),
        _ => None,
    };
    records.iter().filter_map(output).collect()
}

fn replay(seed: &Seed, records: &[Record]) -> Vec<Output> {
    let mut endpoint = Endpoint::new(Config::default(), seed, Instant::EPOCH).expect("the defaults");
    endpoint.replay(records.iter().cloned())
}

/// Runs a call with ringing, a deferred answer and BYE, and returns the recordings of both sides.
fn record_a_call<R: Rig>(rig: &mut R) -> [Vec<Record>; 2] {
    let proto = rig.over().proto;
    let alice = rig.start(Config::default(), |addr| Phone::new().listens(proto, addr));
    let bob =
        rig.start(Config::default(), |addr| Phone::new().listens(proto, addr).invites(Conduct::RingAndDefer));
    rig.wait(alice, "a socket", move |host| host.service().address(proto));
    let to = rig.wait(bob, "a socket", move |host| host.service().address(proto));
    let client = rig
        .on(alice, move |host, now| host.with(now, |_, cx| cx.request(invite(uri(to, proto)))))
        .expect("it can be sent");
    rig.wait(bob, "the question", |host| (host.service().pending.len() == 1).then_some(()));
    rig.elsewhere(bob, |host, now| {
        host.with(now, |phone, cx| {
            let pending = phone.pending.remove(0);
            cx.answer(pending, Reply::ok().body(sansip_tests::offer())).expect("it is in time");
        });
    });
    let end = rig.wait(alice, "the answer", move |host| host.service().end_of(client));
    assert_eq!(end, ClientEnd::Final(StatusCode::OK));
    rig.wait(bob, "the ACK", |host| (host.service().acked() == 1).then_some(()));
    rig.on(alice, |host, now| {
        host.with(now, |phone, cx| {
            let dialog = phone.confirmed()[0];
            cx.bye(dialog)
        })
    })
    .expect("it is confirmed");
    let ends = rig.wait(bob, "the BYE", |host| {
        let ends = host.service().dialog_ends();
        (!ends.is_empty()).then_some(ends)
    });
    assert_eq!(ends, [DialogEnd::RemoteBye]);
    for party in [alice, bob] {
        rig.wait(party, "idleness", |host| host.endpoint().is_idle().then_some(()));
    }
    [alice, bob].map(|party| rig.on(party, |host, _| drain(host)))
}

fn replays<R: Rig>(rig: &mut R) {
    for (party, records) in record_a_call(rig).into_iter().enumerate() {
        assert!(records.len() > 10, "a whole call was recorded");
        assert_eq!(replay(&rig.seed_of(party), &records), outputs(&records), "party {party}");
    }
}

fn replays_over_each<R: Rig>() {
    std::thread::scope(|scope| {
        for proto in [Proto::Udp, Proto::Tcp, Proto::Tls, Proto::Ws, Proto::Wss] {
            scope.spawn(move || replays(&mut R::new(Over { proto, family: Family::V4 })));
        }
    });
}

#[test]
fn d2_a_call_on_tokio_replays_byte_for_byte() {
    replays_over_each::<OnTokio>();
}

#[test]
fn d2_a_call_on_threads_replays_byte_for_byte() {
    replays_over_each::<OnThreads>();
}

#[test]
fn d2_a_call_on_smol_and_on_async_std_replays_byte_for_byte() {
    replays_over_each::<OnSmol>();
    replays_over_each::<OnAsyncStd>();
}

#[test]
fn d2_a_call_under_loss_replays_byte_for_byte() {
    for proto in [Proto::Udp, Proto::Tcp] {
        let mut rig = Simulated::new(Over { proto, family: Family::V4 });
        rig.sim()
            .net()
            .everywhere()
            .loss(0.3)
            .duplicate(0.2)
            .delay(Duration::from_millis(5)..Duration::from_millis(300));
        replays(&mut rig);
    }
}

#[test]
fn d2_a_replay_sees_a_change_of_seed_or_recording() {
    let mut rig = Simulated::new(Over { proto: Proto::Udp, family: Family::V4 });
    let [alice, _] = record_a_call(&mut rig);
    assert_ne!(replay(&Seed::from_u64(99), &alice), outputs(&alice), "another seed draws other tags");
    let first_command = alice.iter().position(|record| matches!(record, Record::Command { .. }));
    let request = alice
        .iter()
        .position(|record| matches!(record, Record::Command { command: Command::Request(_), .. }));
    assert!(first_command < request, "listening is a command, too");
    let mut without = alice.clone();
    without.remove(request.expect("the INVITE was a command"));
    assert_ne!(replay(&rig.seed_of(0), &without), outputs(&alice));
}

#[test]
fn d2_a_recording_written_as_json_lines_replays() {
    for proto in [Proto::Udp, Proto::Tcp] {
        let mut rig = Simulated::new(Over { proto, family: Family::V6 });
        rig.sim().net().everywhere().loss(0.2);
        for (party, records) in record_a_call(&mut rig).into_iter().enumerate() {
            let lines: Vec<String> =
                records.iter().map(|record| serde_json::to_string(record).expect("a line")).collect();
            let read: Vec<Record> =
                lines.iter().map(|line| serde_json::from_str(line).expect("a record")).collect();
            assert_eq!(read, records);
            assert_eq!(replay(&rig.seed_of(party), &read), outputs(&records));
        }
    }
}

#[test]
fn d2_commands_and_config_survive_json() {
    let command = Command::Configure(Box::default());
    let text = serde_json::to_string(&command).expect("JSON");
    assert_eq!(serde_json::from_str::<Command>(&text).expect("a command"), command);
    let input = Input::Received { conn: sansip::ConnId(3), data: b"\xff\x00" };
    let buf = sansip::InputBuf::from(&input);
    let text = serde_json::to_string(&buf).expect("JSON");
    let read: sansip::InputBuf = serde_json::from_str(&text).expect("an input");
    assert_eq!(read.as_input(), input, "bytes that are no text come back");
}

/// The application's last word can come from a recording: an `AskId` read back from text names the same question.
#[test]
fn d2_an_ask_id_from_a_recording_answers_in_the_replay() {
    let mut rig = Simulated::new(Over { proto: Proto::Udp, family: Family::V4 });
    let [_, bob] = record_a_call(&mut rig);
    let answered = |record: &Record| match record {
        Record::Command { command: Command::Answer { ask, verdict: Verdict::Reply(reply) }, .. } => {
            (reply.code() == StatusCode::OK).then_some(*ask)
        }
        _ => None,
    };
    let at = bob.iter().position(|record| answered(record).is_some()).expect("the INVITE was answered");
    let ask: AskId = answered(&bob[at]).expect("it is there").to_string().parse().expect("a handle");
    let mut endpoint =
        Endpoint::new(Config::default(), &rig.seed_of(1), Instant::EPOCH).expect("the defaults");
    endpoint.replay(bob[..at].iter().cloned());
    // What was answered 200 then is declined now: the replay ran into the same question.
    let now = bob[..at].iter().rev().find_map(|record| match record {
        Record::Input { at, .. } | Record::Command { at, .. } => Some(*at),
        _ => None,
    });
    let decline = Command::Answer { ask, verdict: Reply::decline().into() };
    endpoint.command(now.expect("something happened"), decline.clone()).expect("the question is open");
    let sent = std::iter::from_fn(|| endpoint.poll_output()).any(|output| match output {
        Output::Transmit { payload, .. } => payload.starts_with(b"SIP/2.0 603 "),
        _ => false,
    });
    assert!(sent, "the answer went out");
    let again = endpoint.command(now.expect("something happened"), decline);
    assert_eq!(again, Err(CommandError::Gone(Gone)), "a question is answered once");
}

#[test]
fn a_seed_decides_everything() {
    let run = |seed: u64| {
        let mut sim = Sim::new(seed);
        sim.net().everywhere().loss(0.3).duplicate(0.1).reorder(0.2, Duration::from_millis(700));
        let [alice, bob] = parties(&mut sim, Conduct::RingAndAnswer(Reply::ok()));
        let to = uri(sim.addr(bob, 5060), Proto::Udp);
        for _ in 0..3 {
            let to = to.clone();
            sim.on(alice, |host, now| host.with(now, |_, cx| cx.request(invite(to))))
                .expect("it can be sent");
            sim.run_for(Duration::from_secs(10));
        }
        sim.on(alice, |host, now| host.with(now, |_, cx| cx.shutdown(Duration::from_secs(60))));
        sim.settle();
        sim.trace().hash()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

/// A stale handle gives `Gone` and never reaches another object, whatever it named.
#[test]
fn stale_handles_reach_nothing() {
    let mut sim = Sim::new(sansip_sim::seed());
    let [alice, bob] = parties(&mut sim, Conduct::RingAndDefer);
    let to = uri(sim.addr(bob, 5060), Proto::Udp);
    let one_call = |sim: &mut Sim| {
        let to = to.clone();
        let client = sim
            .on(alice, |host, now| host.with(now, |_, cx| cx.request(invite(to).call_id(call_id()))))
            .expect("it can be sent");
        assert!(sim.run_until(|sim| sim.peek(bob).service().pending.len() == 1, Duration::from_secs(9)));
        let pending = sim.on(bob, |host, now| host.with(now, |phone, _| phone.pending.remove(0)));
        (client, pending)
    };
    let (client, pending) = one_call(&mut sim);
    let ask = pending.ask();
    sim.on(bob, |host, now| host.with(now, |_, cx| cx.answer(pending, Reply::ok()))).expect("it is in time");
    sim.run_for(Duration::from_secs(1));
    let dialog = sim.peek(alice).service().confirmed()[0];
    sim.on(alice, |host, now| host.with(now, |_, cx| cx.bye(dialog))).expect("it is confirmed");
    sim.settle();

    // The same Call-ID comes back with a call that is still ringing: the old names reach nothing in it.
    let (living, open) = one_call(&mut sim);
    let stale: Vec<Command> = vec![
        Command::Cancel { client: client.to_string().parse().expect("a handle") },
        Command::Bye { dialog: dialog.to_string().parse().expect("a handle") },
        Command::Ack { dialog, body: None },
        Command::Prack { dialog, body: sansip::Body::sdp("v=0\r\n") },
        Command::Request(Box::new(Outgoing::in_dialog(sansip::Method::Info, dialog))),
        Command::Answer { ask, verdict: Reply::ok().into() },
        Command::Provisional { ask, reply: Reply::ringing() },
    ];
    let before = sim.trace().count();
    for command in stale {
        for node in [alice, bob] {
            let text = format!("{command:?}");
            let refused = sim.on(node, |host, now| host.with(now, |_, cx| cx.command(command.clone())));
            assert!(is_gone(&refused.expect_err(&text)), "{text}");
        }
    }
    assert_eq!(sim.trace().count(), before, "nothing was sent");
    assert!(sim.peek(alice).endpoint().dialog(dialog).is_err());
    assert!(sim.peek(alice).service().end_of(living).is_none(), "the new call still rings");
    sim.on(bob, |host, now| host.with(now, |_, cx| cx.answer(open, Reply::busy()))).expect("it is open");
    sim.settle();
    assert_eq!(sim.peek(alice).service().end_of(living), Some(ClientEnd::Final(StatusCode::BUSY_HERE)));
    assert!(sim.peek(alice).endpoint().is_idle() && sim.peek(bob).endpoint().is_idle());
}

/// A question that was voided has its ticket refused.
#[test]
fn an_answer_after_cancel_is_gone() {
    let mut sim = Sim::new(sansip_sim::seed());
    let [alice, bob] = parties(&mut sim, Conduct::RingAndDefer);
    let to = uri(sim.addr(bob, 5060), Proto::Udp);
    let client: ClientHandle =
        sim.on(alice, |host, now| host.with(now, |_, cx| cx.request(invite(to)))).expect("it can be sent");
    sim.run_for(Duration::from_secs(1));
    sim.on(alice, |host, now| host.with(now, |_, cx| cx.cancel(client))).expect("it rings");
    sim.run_for(Duration::from_secs(1));
    let pending = sim.on(bob, |host, now| host.with(now, |phone, _| phone.pending.remove(0)));
    let ask = pending.ask();
    assert!(sim.peek(bob).service().notes.contains(&Note::Voided(ask, Void::Cancelled)));
    let late = sim.on(bob, |host, now| host.with(now, |_, cx| cx.answer(pending, Reply::ok())));
    assert_eq!(late, Err(Gone));
    sim.settle();
    assert!(sim.peek(alice).endpoint().is_idle() && sim.peek(bob).endpoint().is_idle());
}

#[test]
fn handles_survive_text() {
    let texts = ["D_0123456789abcdef_2a", "C_0000000000000000_1", "Q_ffffffffffffffff_ffffffffffffffff"];
    assert_eq!(texts[0].parse::<DialogHandle>().map(|handle| handle.to_string()), Ok(texts[0].into()));
    assert_eq!(texts[1].parse::<ClientHandle>().map(|handle| handle.to_string()), Ok(texts[1].into()));
    assert_eq!(texts[2].parse::<AskId>().map(|handle| handle.to_string()), Ok(texts[2].into()));
    let json = serde_json::to_string(&texts[0].parse::<DialogHandle>().expect("a handle")).expect("JSON");
    assert_eq!(json, "\"D_0123456789abcdef_2a\"");
    assert!(serde_json::from_str::<ClientHandle>(&json).is_err(), "a handle of another kind");
}

fn parties(sim: &mut Sim, conduct: Conduct) -> [Node<Resting<Phone>>; 2] {
    ["alice", "bob"].map(|name| {
        let number = if name == "alice" { 1 } else { 2 };
        let addr = std::net::SocketAddr::from(([10, 0, 0, number], 5060));
        let phone = Phone::new().listens(Proto::Udp, addr).invites(conduct.clone());
        let host = phone.host(Config::default(), &sim.seed_of(name));
        let node = sim.node(name, Resting::new(host));
        assert_eq!(sim.addr(node, 5060), addr);
        node
    })
}

fn call_id() -> sansip::HeaderValue {
    sansip::HeaderValue::from_static("the-same-call-id")
}

fn is_gone(error: &CommandError) -> bool {
    use sansip::{DialogError, ProvisionalError, SendError};
    matches!(
        error,
        CommandError::Gone(Gone)
            | CommandError::Dialog(DialogError::Gone(Gone))
            | CommandError::Send(SendError::Gone(Gone))
            | CommandError::Provisional(ProvisionalError::Gone(Gone))
    )
}
