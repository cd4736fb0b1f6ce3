//! The question where a request goes, answered late, never, or by a CANCEL (design: every question ends once).

use std::time::Duration;

use sansip::{
    Ask, AskId, Command, CommandError, Config, Endpoint, Event, Gone, Input, Instant, Machine as _, Output,
    Proto, Reply, Routing, Seed, StatusCode, Verdict, Void,
};
use sansip_tests::{ByHand, Raw, statuses};

const JUST_BEFORE: Duration = Duration::from_millis(1);

/// An endpoint without a service, whose events the test takes itself.
struct Bare {
    endpoint: Endpoint,
    now: Instant,
}

impl Bare {
    fn new() -> Self {
        let endpoint = Endpoint::new(Config::default(), &Seed::from_u64(1), Instant::EPOCH);
        let mut bare = Self { endpoint: endpoint.expect("the defaults"), now: Instant::EPOCH };
        let listening = bare.endpoint.at(bare.now).listen(Proto::Udp, ByHand::ADDR);
        let socket = listening.expect("there is room");
        bare.feed(Input::Bound { socket, result: Ok(ByHand::ADDR) });
        bare
    }

    fn feed(&mut self, input: Input<'_>) -> Vec<Output> {
        self.endpoint.handle_input(self.now, input);
        self.outputs()
    }

    fn datagram(&mut self, text: &str) -> Vec<Output> {
        let (local, remote) = (ByHand::ADDR, ByHand::PEER);
        self.feed(Input::Datagram { socket: sansip::SocketId(0), local, remote, payload: text.as_bytes() })
    }

    fn pass(&mut self, time: Duration) -> Vec<Output> {
        let mut wanted = Vec::new();
        let drain = |endpoint: &mut Endpoint| wanted.extend(std::iter::from_fn(|| endpoint.poll_output()));
        self.now = sansip_sim::pass(&mut self.endpoint, self.now, time, drain);
        wanted
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.endpoint.poll_output()).collect()
    }

    /// Returns what was asked and what was voided since the last time.
    fn told(&mut self) -> (Vec<Ask>, Vec<(AskId, Void)>) {
        let (mut asked, mut voided) = (Vec::new(), Vec::new());
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Ask(ask) => asked.push(ask),
                Event::Voided { ask, why } => voided.push((ask, why)),
                _ => {}
            }
        }
        (asked, voided)
    }

    /// Returns the only question that was asked, where a request goes.
    fn routing(&mut self) -> AskId {
        let [Ask::Routing(question)] = &self.told().0[..] else { panic!("one question, where it goes") };
        question.ask()
    }

    fn answer(&mut self, ask: AskId, verdict: impl Into<Verdict>) -> Result<Vec<u16>, CommandError> {
        self.endpoint.command(self.now, Command::Answer { ask, verdict: verdict.into() })?;
        Ok(statuses(&self.outputs()))
    }

    /// Ends the test: whatever it waits for runs out, and nothing may be left.
    fn rest(mut self) {
        sansip_sim::silence(&mut self.endpoint, self.now);
        assert!(self.endpoint.is_idle());
    }
}

/// RFC 3261 §21.4.9, RFC 4320 §4.2: the default is 408 for an INVITE and 500 for all else, each at its deadline.
#[test]
fn never() {
    let limits = Config::default().limits;
    for (method, within, status) in [("INVITE", limits.invite_answer, 408), ("MESSAGE", limits.answer, 500)] {
        let mut bare = Bare::new();
        assert!(bare.datagram(&Raw::new(method, 1).text()).is_empty());
        let ask = bare.routing();
        let before = statuses(&bare.pass(within - JUST_BEFORE));
        assert_eq!(before, [100], "{method}");
        // A copy gets the 100 again, and nobody is asked anew.
        assert_eq!(statuses(&bare.datagram(&Raw::new(method, 1).text())), [100]);
        assert!(bare.told().0.is_empty(), "{method}");
        assert_eq!(statuses(&bare.pass(JUST_BEFORE)), [status], "{method}");
        assert_eq!(bare.told().1, [(ask, Void::Deadline)], "{method}");
        assert_eq!(bare.answer(ask, Routing::Process), Err(CommandError::Gone(Gone)));
        bare.rest();
    }
}

/// The question that follows has no more time than the first one would have had.
#[test]
fn late() {
    let within = Config::default().limits.answer;
    for answered in [true, false] {
        let mut bare = Bare::new();
        bare.datagram(&Raw::new("MESSAGE", 1).text());
        let first = bare.routing();
        bare.pass(within / 2);
        assert_eq!(bare.answer(first, Reply::ok()), Err(CommandError::WrongVerdict), "it stays open");
        assert_eq!(bare.answer(first, Routing::Process), Ok(vec![]));
        let (asked, voided) = bare.told();
        let [Ask::Method(second)] = &asked[..] else { panic!("what it is answered with") };
        let second = second.ask();
        assert!(voided.is_empty() && second != first);
        assert_eq!(bare.answer(first, Routing::Process), Err(CommandError::Gone(Gone)), "once");
        assert!(statuses(&bare.pass(within - within / 2 - JUST_BEFORE)).is_empty());
        if answered {
            assert_eq!(bare.answer(second, Reply::ok()), Ok(vec![200]));
            assert!(statuses(&bare.pass(JUST_BEFORE)).is_empty());
            assert!(bare.told().1.is_empty());
        } else {
            assert_eq!(statuses(&bare.pass(JUST_BEFORE)), [500]);
            assert_eq!(bare.told().1, [(second, Void::Deadline)]);
        }
        bare.rest();
    }
}

/// A verdict that answers ends it, by a transaction or without one.
#[test]
fn late_with_a_reply() {
    let forbidden = || Reply::status(StatusCode::FORBIDDEN);
    for routing in [Routing::Reply(forbidden()), Routing::ReplyStateless(forbidden())] {
        let mut bare = Bare::new();
        bare.datagram(&Raw::new("MESSAGE", 1).text());
        let ask = bare.routing();
        bare.pass(Duration::from_secs(1));
        assert_eq!(bare.answer(ask, routing.clone()), Ok(vec![403]));
        let kept = bare.endpoint.calls();
        assert_eq!(kept, usize::from(matches!(routing, Routing::Reply(_))), "{routing:?}");
        assert_eq!(bare.told().1, [], "it was answered");
        bare.rest();
    }
}

/// RFC 3261 §9.2: a CANCEL ends the INVITE whose way nobody has decided on.
#[test]
fn cancelled() {
    let mut bare = Bare::new();
    bare.datagram(&Raw::new("INVITE", 1).text());
    let ask = bare.routing();
    let mut ended = statuses(&bare.datagram(&Raw::new("CANCEL", 1).text()));
    ended.sort_unstable();
    assert_eq!(ended, [200, 487]);
    let (asked, voided) = bare.told();
    assert_eq!((asked.len(), voided), (0, vec![(ask, Void::Cancelled)]));
    assert_eq!(bare.answer(ask, Routing::Process), Err(CommandError::Gone(Gone)));
    bare.rest();
}
