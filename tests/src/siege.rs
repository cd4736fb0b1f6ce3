use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use sansip::{Config, DialogHandle, Host, Method, Outgoing, Proto, wire::Wire};
use sansip_blocking::NodeHandle;

use crate::{Authority, Driver, Phone, SecuredServer, invite, uri};

/// The transports on which a server under attack has a call up.
pub const ALL: [Proto; 5] = [Proto::Udp, Proto::Tcp, Proto::Tls, Proto::Ws, Proto::Wss];

/// Those with connections.
pub const STREAMS: [Proto; 4] = [Proto::Tcp, Proto::Tls, Proto::Ws, Proto::Wss];

const LIMIT: Duration = Duration::from_secs(20);

/// A running server with a call up over each transport, that a test attacks.
pub struct Siege {
    /// The server.
    pub server: SecuredServer,
    callers: Vec<Caller>,
}

impl Siege {
    /// Runs an attack on a server with these lines in its configuration, on each driver. Before and after, while what the
    /// attack returned lives, the server answers OPTIONS over all its transports; every call goes on over its connection; the
    /// server's memory has never been more than `room` bytes above what it was before; and it ends in order.
    ///
    /// Returns what the servers have printed.
    ///
    /// # Panics
    /// If it is not so.
    pub fn survives<T>(config: &str, room: u64, attack: impl Fn(&Self) -> T) -> Vec<String> {
        [Driver::Tokio, Driver::Blocking]
            .map(|driver| Self::begin(driver, config).run(driver, room, &attack))
            .into()
    }

    fn begin(driver: Driver, config: &str) -> Self {
        let server = SecuredServer::start(driver, config).expect("the server starts");
        let call =
            |(proto, seed)| Caller::call(server.authority(), (server.at(server.port(proto)), proto), 1, seed);
        let callers = ALL.into_iter().zip(1..).map(call).collect();
        Self { server, callers }
    }

    fn run<T>(self, driver: Driver, room: u64, attack: &impl Fn(&Self) -> T) -> String {
        self.server.assert_answers();
        let before = self.server.begin_memory().expect("the system tells");
        let attack = attack(&self);
        self.server.assert_answers();
        self.assert_calls_are_up();
        let grown = self.server.most_memory().expect("the system tells").saturating_sub(before);
        println!("{driver}: {} KB of {} KB more memory", grown / 1024, room / 1024);
        assert!(grown <= room, "{driver}: {grown} bytes more memory than before");
        drop(attack);
        self.callers.into_iter().for_each(Caller::hang_up);
        let ended = self.server.stop().expect("it ends when asked to");
        assert!(ended.status.success(), "{driver}: {}", ended.printed);
        ended.printed
    }

    /// Requires that every call goes on.
    ///
    /// # Panics
    /// If one does not.
    pub fn assert_calls_are_up(&self) {
        self.callers.iter().for_each(Caller::assert_up);
    }
}

/// A client with its calls, one connection for all of them.
pub struct Caller {
    node: NodeHandle<Wire<Host<Phone>>>,
    calls: Vec<DialogHandle>,
    /// The connections under TLS or WebSocket that they have taken.
    connections: u64,
}

impl Caller {
    /// Makes so many calls to a server, who trusts this authority.
    ///
    /// # Panics
    /// If one is not answered.
    pub fn call(
        authority: &Authority,
        (server, proto): (SocketAddr, Proto),
        calls: usize,
        seed: u64,
    ) -> Self {
        let phone = Phone::new().listens(Proto::Udp, (Ipv4Addr::LOCALHOST, 0).into());
        let machine = authority.phone(phone, Config::default(), seed);
        let node = sansip_blocking::spawn(machine).expect("the system has threads");
        let end = Instant::now() + LIMIT;
        while node.with_service(|phone, _| phone.address(Proto::Udp)).expect("it runs").is_none() {
            assert!(Instant::now() < end, "its socket does not open");
            std::thread::yield_now();
        }
        let call = |_| {
            let sent = node.send(invite(uri(server, proto))).expect("it is sent");
            let answered = sent.finish().expect("it is answered");
            assert_eq!(answered.response.status().as_u16(), 200);
            answered.dialog.expect("a call")
        };
        let calls = (0..calls).map(call).collect();
        let connections = u64::from(!matches!(proto, Proto::Udp | Proto::Tcp));
        Self { node, calls, connections }
    }

    /// Requires that every call still goes on at both sides, over the connection that it began on.
    ///
    /// # Panics
    /// If one does not.
    pub fn assert_up(&self) {
        for dialog in &self.calls {
            let info = Outgoing::in_dialog(Method::Info, *dialog);
            let response = self.node.request(info).expect("it is answered");
            assert_eq!(response.status().as_u16(), 200);
        }
        let ends = self.node.with_service(|phone, _| phone.dialog_ends()).expect("it runs");
        assert_eq!(ends, []);
        let opened = self.node.with(|wire, _| wire.stats().opened).expect("it runs");
        assert_eq!(opened, self.connections);
    }

    /// Ends its calls.
    ///
    /// # Panics
    /// If one has ended already.
    pub fn hang_up(self) {
        for dialog in self.calls {
            self.node.with_service(move |_, cx| cx.bye(dialog)).expect("it runs").expect("it is up");
        }
        self.node.shutdown(LIMIT);
    }
}
