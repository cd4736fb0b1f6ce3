//! Real endpoints in the simulator: calls in any weather end, leave nothing behind, and repeat exactly.

use sansip::{
    Answer, Body, ClientHandle, Config, Cx, DialogHandle, Endpoint, Host, Outgoing, Proto, Question, Reply,
    Response, Service, UriBuf,
};
use sansip_sim::{Bursts, Node, Packet, Segments, Setup, Sim, Stuck, Verdict};

use crate::scripted::{ms, secs};

/// Takes every call, and hangs up on those that it made as soon as they are taken.
#[derive(Default)]
pub(crate) struct Phone {
    pub(crate) finals: Vec<u16>,
}

impl Service for Phone {
    fn invite(&mut self, _: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        question.answer(Reply::ok().sdp("v=0\r\n"))
    }

    fn response(
        &mut self,
        cx: &mut Cx<'_>,
        _: ClientHandle,
        response: &Response,
        dialog: Option<DialogHandle>,
    ) {
        let status = response.status().as_u16();
        if status >= 200 {
            self.finals.push(status);
        }
        if let (200..300, Some(dialog)) = (status, dialog) {
            // A dialog that has ended meanwhile is as good.
            let _ = cx.bye(dialog);
        }
    }
}

pub(crate) fn phone(sim: &mut Sim, name: &str) -> Node<Host<Phone>> {
    phone_with(sim, name, Setup::new())
}

/// Makes a phone that listens on every transport there is for it.
pub(crate) fn phone_with(sim: &mut Sim, name: &str, setup: Setup) -> Node<Host<Phone>> {
    // A BYE may be lost with its connection; then only this ends the dialog of the other side.
    let mut config = Config::default();
    config.dialog = secs(600);
    let endpoint = Endpoint::new(config, &sim.seed_of(name), sim.now()).expect("the configuration is valid");
    let node = sim.node_with(name, setup, Host::new(endpoint, Phone::default()));
    for proto in Proto::ALL {
        let addr = sim.addr(node, proto.default_port());
        let listened = sim.on(node, |host, now| host.with(now, |_, cx| cx.listen(proto, addr).is_ok()));
        assert!(listened);
    }
    node
}

pub(crate) fn call(sim: &mut Sim, from: Node<Host<Phone>>, to: Node<Host<Phone>>, proto: Proto) {
    let uri = format!("sip:x@{};transport={proto}", sim.addr(to, proto.default_port()));
    let uri: UriBuf = uri.parse().expect("a URI");
    sim.on(from, |host, now| {
        host.with(now, |_, cx| cx.request(Outgoing::invite(uri).body(Body::sdp("v=0\r\n"))).is_ok())
    });
}

/// RFC 3261 §17: on a network that loses every third packet a call still comes about and ends.
#[test]
fn calls_come_about_despite_loss() {
    for proto in [Proto::Udp, Proto::Tcp] {
        let mut sim = Sim::new(3);
        let (alice, bob) = (phone(&mut sim, "alice"), phone(&mut sim, "bob"));
        sim.net().between(alice, bob).loss(0.33).delay(ms(5)..ms(60)).duplicate(0.1);
        call(&mut sim, alice, bob, proto);
        rest(&mut sim).expect("it ends");
        let finals = &sim.peek(alice).service().finals;
        assert!(finals.contains(&200), "{proto}: {finals:?}");
        assert!(sim.peek(alice).endpoint().calls() == 0 && sim.peek(bob).endpoint().calls() == 0);
    }
}

/// RFC 3261 §18, RFC 4168, RFC 7118: a call comes about and ends over every transport, on that transport alone.
#[test]
fn calls_come_about_over_every_transport() {
    for proto in Proto::ALL {
        let mut sim = Sim::new(3);
        let (alice, bob) = (phone(&mut sim, "alice"), phone(&mut sim, "bob"));
        sim.net().between(alice, bob).delay(ms(5)..ms(60));
        sim.net().rule(
            move |packet: &Packet| {
                if packet.proto == proto { Verdict::Pass } else { Verdict::Drop }
            },
        );
        call(&mut sim, alice, bob, proto);
        rest(&mut sim).expect("it ends");
        assert_eq!(sim.peek(alice).service().finals, [200], "{proto}");
        assert!(sim.ladder().to_string().contains("200 OK (2 BYE)"), "{proto}: {}", sim.ladder());
        assert!(sim.peek(alice).endpoint().calls() == 0 && sim.peek(bob).endpoint().calls() == 0);
    }
}

/// Plays calls over UDP and TCP with a fault for every taste, then good weather; returns the hash of the run.
fn storm(seed: u64) -> u128 {
    let mut sim = Sim::new(seed);
    let phones = ["alice", "bob", "carol"].map(|name| phone(&mut sim, name));
    let mut draws = sim.draws("storm");
    sim.net().everywhere().delay(ms(1)..ms(100)).duplicate(0.05).segments(Segments::Random);
    for _ in 0..10 {
        let bursts = Bursts { enter: 0.05, leave: 0.3, good: 0.02, bad: 0.9 };
        sim.net().everywhere().bursts(bursts);
        let (from, to) = (draws.below(3) as usize, draws.below(3) as usize);
        let proto = if draws.chance(0.5) { Proto::Udp } else { Proto::Tcp };
        call(&mut sim, phones[from], phones[to], proto);
        match draws.below(4) {
            0 => sim.reset_streams(phones[from], phones[to]),
            1 => {
                let partition = sim.net().isolate(phones[to]);
                sim.after(draws.within(ms(0)..secs(20)), move |sim| {
                    sim.net().heal(partition);
                });
            }
            _ => (),
        }
        sim.run_for(draws.within(ms(0)..secs(3)));
    }
    sim.net().heal_all();
    sim.net().everywhere().clean();
    rest(&mut sim).unwrap_or_else(|stuck| panic!("seed {seed}: {stuck}"));
    for node in phones {
        assert_eq!(sim.peek(node).endpoint().calls(), 0, "seed {seed}: {} keeps a call", sim.name(node));
    }
    sim.trace().hash()
}

#[test]
fn storms_pass_and_repeat_exactly() {
    for seed in 0..20 {
        assert_eq!(storm(seed), storm(seed), "seed {seed}");
    }
}

fn rest(sim: &mut Sim) -> Result<(), Stuck> {
    sim.try_settle(secs(3600))
}
