use std::{
    net::{IpAddr, SocketAddr},
    sync::mpsc::{self, Receiver, Sender},
    time::Duration,
};

use sansip::{
    ClientEnd, ClientHandle, Command, Config, Cx, DialogChange, DialogEnd, DialogHandle, HeaderValue, IoKind,
    Outgoing, Proto, Response, SendError, Service, SocketId, UriBuf, syntax::UriError,
};
use thiserror::Error;

use crate::{
    config::Settings,
    exit::Exit,
    interrupt,
    listen::{BadTransport, address_towards, proto_of, resolve},
    node::{Driver, Node},
    secure::ClientArgs,
};

/// Whom to send to, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Aim {
    pub(crate) uri: UriBuf,
    pub(crate) local: IpAddr,
}

/// Reads a URI, and says how to write one.
pub(crate) fn target(text: &str) -> Result<UriBuf, String> {
    text.parse().map_err(|error: UriError| format!("{error}: write sip:USER@HOST or sip:HOST:PORT"))
}

/// Why nothing can be sent to a URI.
#[derive(Debug, Error)]
pub(crate) enum BadAim {
    #[error("{0} is no SIP URI with a host: write sip:USER@HOST or sip:HOST:PORT")]
    NotSip(UriBuf),
    #[error("{0} names no transport that there is: use udp, tcp, tls, ws or wss")]
    Transport(UriBuf),
    #[error("{0} has no TLS, which sips needs: use another transport")]
    Insecure(UriBuf),
    #[error("{0} has no address: check the name, or use an IP address")]
    NoAddress(String),
    #[error("there is no way from this machine to {0}: check its network")]
    NoRoute(SocketAddr),
}

impl BadAim {
    /// Returns the code with which the program ends.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::NotSip(_) | Self::Transport(_) | Self::Insecure(_) => Exit::Local,
            Self::NoAddress(_) | Self::NoRoute(_) => Exit::Unreachable,
        }
    }
}

impl Aim {
    /// Finds out from which address this machine reaches the host of a URI.
    pub(crate) fn at(uri: UriBuf) -> Result<Self, BadAim> {
        let read = uri.as_uri();
        let named = read.host_text().filter(|_| read.is_sip() || read.is_sips());
        let Some(host) = named else { return Err(BadAim::NotSip(uri)) };
        let proto = match proto_of(read) {
            Ok(proto) => proto,
            Err(BadTransport::Unknown) => return Err(BadAim::Transport(uri)),
            Err(BadTransport::Insecure) => return Err(BadAim::Insecure(uri)),
        };
        let port = read.port().unwrap_or_else(|| proto.default_port());
        let ip = resolve(host, port).ok_or_else(|| BadAim::NoAddress(host.into()))?;
        let remote = SocketAddr::new(ip, port);
        let local = address_towards(remote).ok_or(BadAim::NoRoute(remote))?;
        Ok(Self { uri, local })
    }

    /// Returns the configuration of an endpoint that sends from there, and lets an INVITE ring so long.
    pub(crate) fn config(&self, ringing: Duration) -> Config {
        let mut config = Settings::default().endpoint;
        let host = SocketAddr::new(self.local, 0).to_string();
        let host = host.strip_suffix(":0").unwrap_or(&host);
        if let Ok(from) = format!("sip:{USER}@{host}").parse() {
            config.from = from;
        }
        config.user = Some(HeaderValue::from_static(USER));
        config.ringing = ringing;
        config
    }
}

/// A calling side: opens its sockets, sends a request, and tells what comes of it.
pub(crate) struct Caller {
    local: IpAddr,
    /// Whether it can prove who it is to peers that open a connection under TLS.
    proves: bool,
    news: Sender<News>,
    client: Option<ClientHandle>,
    dialog: Option<DialogHandle>,
    socket: Option<SocketId>,
    /// How often another port may be tried.
    tries: u8,
}

/// What the program has to know.
#[derive(Debug)]
pub(crate) enum News {
    /// Its sockets are open, or why not.
    Ready(Result<(), IoKind>),
    /// A response.
    Response(Response),
    /// The request has come to its end.
    Ended(ClientEnd),
    /// The call that was answered is over.
    Over(DialogEnd),
    /// The program is asked to end.
    Interrupt,
}

impl Caller {
    /// Makes one that sends from a local address.
    pub(crate) const fn new(local: IpAddr, news: Sender<News>) -> Self {
        Self { local, proves: false, news, client: None, dialog: None, socket: None, tries: 8 }
    }

    /// Has it listen for TLS as well, if it can prove who it is.
    pub(crate) fn proving(self, proves: bool) -> Self {
        Self { proves, ..self }
    }

    /// Sends the request that is spoken of from now on.
    pub(crate) fn send(&mut self, cx: &mut Cx<'_>, request: Outgoing) -> Result<(), SendError> {
        self.client = Some(cx.request(request)?);
        Ok(())
    }

    /// Cancels the INVITE; tells whether there was one to cancel.
    pub(crate) fn cancel(&self, cx: &mut Cx<'_>) -> bool {
        self.client.is_some_and(|client| cx.cancel(client).is_ok())
    }

    /// Ends the call; tells whether there was one to end.
    pub(crate) fn hang_up(&self, cx: &mut Cx<'_>) -> bool {
        self.dialog.is_some_and(|dialog| cx.bye(dialog).is_ok())
    }

    /// Opens a UDP socket on a port that the system chooses; TCP follows on the same port.
    fn listen(&mut self, cx: &mut Cx<'_>) {
        match cx.listen(Proto::Udp, SocketAddr::new(self.local, 0)) {
            Ok(socket) => self.socket = Some(socket),
            Err(_) => self.tell(News::Ready(Err(IoKind::Limit))),
        }
    }

    fn tell(&self, news: News) {
        // The program may have stopped to listen.
        let _told = self.news.send(news);
    }
}

impl Service for Caller {
    fn init(&mut self, cx: &mut Cx<'_>) {
        self.listen(cx);
    }

    fn bound(&mut self, cx: &mut Cx<'_>, _: SocketId, proto: Proto, result: Result<SocketAddr, IoKind>) {
        match (proto, result, self.socket) {
            (Proto::Udp, Ok(_), _) => {}
            (Proto::Udp, Err(error), _) => self.tell(News::Ready(Err(error))),
            // The port that the system chose for UDP is taken for TCP, where a BYE would come: another may be free.
            (_, Err(IoKind::AddressInUse), Some(socket)) if self.tries > 0 => {
                self.tries -= 1;
                // It was opened a moment ago.
                let _closed = cx.command(Command::Unlisten { socket });
                self.listen(cx);
            }
            // A peer may open a connection of its own for its BYE: it does not have to use ours (RFC 5923 §1).
            (Proto::Tcp, _, _) if self.proves => {
                if cx.listen(Proto::Tls, SocketAddr::new(self.local, 0)).is_err() {
                    self.tell(News::Ready(Err(IoKind::Limit)));
                }
            }
            // Without these listeners, everything can still be sent.
            _ => self.tell(News::Ready(Ok(()))),
        }
    }

    fn response(
        &mut self,
        _: &mut Cx<'_>,
        client: ClientHandle,
        response: &Response,
        _: Option<DialogHandle>,
    ) {
        if self.client == Some(client) {
            self.tell(News::Response(response.clone()));
        }
    }

    fn client_ended(&mut self, _: &mut Cx<'_>, client: ClientHandle, end: ClientEnd) {
        if self.client == Some(client) {
            self.tell(News::Ended(end));
        }
    }

    fn dialog(&mut self, _: &mut Cx<'_>, dialog: DialogHandle, change: DialogChange) {
        match change {
            DialogChange::Confirmed => self.dialog = Some(dialog),
            // Dialogs that other branches of a fork have made come and go unseen.
            DialogChange::Ended(end) if self.dialog == Some(dialog) => self.tell(News::Over(end)),
            _ => {}
        }
    }
}

/// Starts a calling side and has it send a request; says what went wrong.
pub(crate) fn start(
    driver: Driver,
    aim: &Aim,
    secure: &ClientArgs,
    ringing: Duration,
    request: Outgoing,
) -> Result<(Node<Caller>, Receiver<News>), String> {
    let proves = secure.has_certificate();
    let secure = secure.load().map_err(|error| error.to_string())?;
    let (sender, news) = mpsc::channel();
    let pressed = sender.clone();
    interrupt::on_signal(move |_| {
        // If nobody listens any more, the program is ending already.
        let _told = pressed.send(News::Interrupt);
    });
    let caller = Caller::new(aim.local, sender).proving(proves);
    let node = Node::start(driver, aim.config(ringing), secure, caller).map_err(|error| error.to_string())?;
    match news.recv_timeout(OPENING) {
        Ok(News::Ready(Ok(()))) => {}
        Ok(News::Ready(Err(error))) => return Err(format!("cannot open a socket on {}: {error}", aim.local)),
        _ => return Err("given up before anything was sent".into()),
    }
    match node.with(move |caller, cx| caller.send(cx, request)) {
        Some(Ok(())) => Ok((node, news)),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("the endpoint has ended unexpectedly".into()),
    }
}

/// How long sockets may take to open.
const OPENING: Duration = Duration::from_secs(5);

const USER: &str = "sansip";

#[cfg(test)]
mod tests {
    use sansip::{Endpoint, Host, Input, Instant, Machine as _, Output, Seed};

    use super::*;

    fn host(caller: Caller) -> Host<Caller> {
        let endpoint =
            Endpoint::new(Config::default(), &Seed::from_u64(1), Instant::EPOCH).expect("the defaults");
        let mut host = Host::new(endpoint, caller);
        host.handle_input(Instant::EPOCH, Input::Timeout);
        host
    }

    fn binds(host: &mut Host<Caller>) -> Vec<(SocketId, Proto)> {
        std::iter::from_fn(|| host.poll_output())
            .filter_map(|output| match output {
                Output::Bind { socket, proto, .. } => Some((socket, proto)),
                _ => None,
            })
            .collect()
    }

    fn bind_next(host: &mut Host<Caller>, tcp: Result<u16, IoKind>) {
        for (wanted, result) in [(Proto::Udp, Ok(7000)), (Proto::Tcp, tcp)] {
            let [(socket, proto)] = binds(host)[..] else { panic!("one socket at a time") };
            assert_eq!(proto, wanted);
            let result = result.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
            host.handle_input(Instant::EPOCH, Input::Bound { socket, result });
        }
    }

    /// RFC 3261 §18.2.1: TCP listens where UDP does, or a request of the peer over TCP would find nobody.
    #[test]
    fn another_port_is_tried_when_tcp_cannot_follow() {
        let (sender, news) = mpsc::channel();
        let mut host = host(Caller::new(IpAddr::from([127, 0, 0, 1]), sender));
        bind_next(&mut host, Err(IoKind::AddressInUse));
        assert!(news.try_recv().is_err(), "not ready without TCP");
        bind_next(&mut host, Ok(7000));
        assert!(matches!(news.try_recv(), Ok(News::Ready(Ok(())))));
        assert!(binds(&mut host).is_empty() && host.endpoint().is_idle());
    }

    /// Whoever has a certificate can be reached over TLS too, and waits until that is so before anything is sent.
    #[test]
    fn a_certificate_opens_a_listener() {
        let (sender, news) = mpsc::channel();
        let mut host = host(Caller::new(IpAddr::from([127, 0, 0, 1]), sender).proving(true));
        bind_next(&mut host, Ok(7000));
        assert!(news.try_recv().is_err(), "not ready without TLS");
        let [(socket, Proto::Tls)] = binds(&mut host)[..] else { panic!("a socket for TLS") };
        let result = Ok(SocketAddr::from(([127, 0, 0, 1], 7001)));
        host.handle_input(Instant::EPOCH, Input::Bound { socket, result });
        assert!(matches!(news.try_recv(), Ok(News::Ready(Ok(())))));
    }
}
