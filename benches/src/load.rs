use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use sansip::{
    Answer, Config, Cx, Endpoint, Host, Input, Instant, Machine as _, Output, Question, Reply, Routing, Seed,
    Service, SocketId,
};

use crate::{Shape, Template};

/// What a server keeps of the requests that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing (RFC 3261 §8.2.7).
    Nothing,
    /// A server transaction each.
    Transactions,
}

/// A service that answers OPTIONS with 200, INVITE with 180 and 200, BYE with 200, all at once.
#[derive(Debug)]
pub struct Peer {
    keep: Keep,
    sdp: Bytes,
}

impl Peer {
    /// Makes the service.
    pub fn new(keep: Keep) -> Self {
        let sdp = b"v=0\r\no=bob 1 1 IN IP4 192.0.2.4\r\ns=-\r\nc=IN IP4 192.0.2.4\r\nt=0 0\r\n\
            m=audio 49172 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";
        Self { keep, sdp: Bytes::from_static(sdp) }
    }
}

impl Service for Peer {
    fn routing(&mut self, _: &mut Cx<'_>, question: Question<Routing>) -> Answer<Routing> {
        question.answer(match self.keep {
            Keep::Nothing => Routing::ProcessStateless,
            Keep::Transactions => Routing::Process,
        })
    }

    fn invite(&mut self, cx: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        cx.provisional(question.pending(), Reply::ringing()).expect("an INVITE takes a 180");
        question.answer(Reply::ok().sdp(self.sdp.clone()))
    }
}

/// A server in memory on virtual time, and the socket that its peers send to.
pub struct Load {
    host: Host<Peer>,
    now: Instant,
    socket: SocketId,
}

/// Where the server listens.
const LOCAL: ([u8; 4], u16) = ([192, 0, 2, 4], 5060);
/// Where its peers send from.
const REMOTE: ([u8; 4], u16) = ([192, 0, 2, 101], 5060);

impl Load {
    /// How long a server transaction over UDP lives once answered: Timers H, J and L at the default T1.
    pub const LINGER: Duration = Duration::from_secs(32);

    /// Makes a server that listens.
    pub fn new(keep: Keep) -> Self {
        let mut config = Config::default();
        config.limits.calls = 1 << 22;
        let now = Instant::EPOCH;
        let endpoint = Endpoint::new(config, &Seed::from_u64(1), now).expect("a good configuration");
        let mut host = Host::new(endpoint, Peer::new(keep));
        let listening =
            host.with(now, |_, cx| cx.listen(sansip::Proto::Udp, LOCAL.into())).expect("no limit is near");
        host.handle_input(now, Input::Bound { socket: listening, result: Ok(LOCAL.into()) });
        while host.poll_output().is_some() {}
        Self { host, now, socket: listening }
    }

    /// Lets virtual time pass; what falls due is done with the next input.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Lets virtual time pass to the next thing that falls due, and does it. Returns whether there was any.
    pub fn wake(&mut self) -> bool {
        let Some(at) = self.host.poll_timeout() else { return false };
        self.now = self.now.max(at);
        self.host.handle_input(self.now, Input::Timeout);
        true
    }

    /// Does all that is due by now, and takes what the server puts out.
    pub fn settle(&mut self) {
        while self.host.poll_timeout().is_some_and(|at| at <= self.now) {
            self.host.handle_input(self.now, Input::Timeout);
            self.drain(|_| {});
        }
    }

    /// Gives a datagram to the server.
    pub fn feed(&mut self, payload: &[u8]) {
        let remote: SocketAddr = REMOTE.into();
        let input = Input::Datagram { socket: self.socket, local: LOCAL.into(), remote, payload };
        self.host.handle_input(self.now, input);
    }

    /// Takes what the server puts out, and returns how many datagrams that was.
    pub fn drain(&mut self, mut each: impl FnMut(&Bytes)) -> usize {
        let mut count = 0;
        while let Some(output) = self.host.poll_output() {
            if let Output::Transmit { payload, .. } = output {
                each(&payload);
                count += 1;
            }
        }
        count
    }

    /// Returns the number of Call-IDs with live state.
    pub const fn live(&self) -> usize {
        self.host.endpoint().calls()
    }

    /// Returns the server.
    pub const fn host(&self) -> &Host<Peer> {
        &self.host
    }
}

/// A client of calls: makes the messages that it sends, one call after the other.
#[derive(Debug)]
pub struct Caller {
    invite: Template,
    number: u64,
    step: u64,
    tag: String,
}

impl Default for Caller {
    fn default() -> Self {
        Self::every(0, 1)
    }
}

impl Caller {
    /// Makes one whose calls are numbered from `step` beyond `number`, so far apart.
    pub fn every(number: u64, step: u64) -> Self {
        Self { invite: Template::new(Shape::Invite.bytes()), number, step, tag: String::new() }
    }

    /// Returns the number of the call that was begun last.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Begins the next call: returns its INVITE.
    pub fn invite(&mut self) -> &[u8] {
        self.number += self.step;
        self.invite.numbered(self.number)
    }

    /// Notes the tag that the server has chosen.
    pub fn heard(&mut self, response: &[u8]) {
        let text = std::str::from_utf8(response).expect("responses without odd values are text");
        let to = text.lines().find(|line| line.starts_with("To:")).expect("a response has a To");
        to.split_once(";tag=").expect("To has a tag").1.clone_into(&mut self.tag);
    }

    /// Returns the ACK for the 200.
    pub fn ack(&self) -> Vec<u8> {
        self.in_dialog("ACK", 314_159, 'a')
    }

    /// Returns the BYE.
    pub fn bye(&self) -> Vec<u8> {
        self.in_dialog("BYE", 314_160, 'b')
    }

    fn in_dialog(&self, method: &str, cseq: u32, branch: char) -> Vec<u8> {
        let Self { number, tag, .. } = self;
        format!(
            "{method} sip:192.0.2.4:5060 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.101:5060;rport;branch=z9hG4bK{number:016x}{branch}\r\n\
             Max-Forwards: 70\r\n\
             From: \"Alice Liddell\" <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n\
             To: \"Bob Dodgson\" <sip:bob@biloxi.example.com>;tag={tag}\r\n\
             Call-ID: {number:016x}@192.0.2.101\r\n\
             CSeq: {cseq} {method}\r\n\
             Content-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(bytes: &Bytes) -> &str {
        std::str::from_utf8(&bytes[8..11]).expect("digits")
    }

    /// The loads are what they say: RFC 3261 §8.2.7, §17.2.2.
    #[test]
    fn options_are_answered() {
        for (keep, live) in [(Keep::Nothing, 0), (Keep::Transactions, 1)] {
            let mut load = Load::new(keep);
            load.feed(&Shape::Options.bytes());
            let mut seen = Vec::new();
            load.drain(|bytes| seen.push(status(bytes).to_owned()));
            assert_eq!((seen, load.live()), (vec!["200".to_owned()], live), "{keep:?}");
            load.pass(Load::LINGER);
            while load.wake() {}
            assert_eq!(load.live(), 0, "Timer J has fired");
        }
    }

    /// RFC 3261 §13.3.1, §15.1.2.
    #[test]
    fn calls_are_whole() {
        let (mut load, mut caller) = (Load::new(Keep::Transactions), Caller::default());
        let mut seen = Vec::new();
        load.feed(caller.invite());
        load.drain(|bytes| {
            seen.push(status(bytes).to_owned());
            caller.heard(bytes);
        });
        load.feed(&caller.ack());
        assert_eq!(load.drain(|_| {}), 0);
        load.feed(&caller.bye());
        load.drain(|bytes| seen.push(status(bytes).to_owned()));
        assert_eq!(seen, ["180", "200", "200"]);
        while load.wake() {
            assert_eq!(load.drain(|_| {}), 0, "nothing is sent again");
        }
        assert_eq!(load.live(), 0);
    }
}
