use std::{
    net::{IpAddr, SocketAddr},
    sync::mpsc::Sender,
    time::Duration,
};

use sansip::{
    Body, ClientEnd, ClientHandle, Config, Cx, DialogChange, DialogHandle, HeaderValue, IoKind, Method,
    Outgoing, Proto, Response, Service, SocketId, UriBuf,
};
use thiserror::Error;

use crate::{
    config::Settings,
    exit::Exit,
    listen::{address_towards, resolve},
};

/// Whom to send to, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Aim {
    pub(crate) uri: UriBuf,
    pub(crate) local: IpAddr,
}

/// Why nothing can be sent to a URI.
#[derive(Debug, Error)]
pub(crate) enum BadAim {
    #[error("{0} is no SIP URI with a host: write sip:USER@HOST or sip:HOST:PORT")]
    NotSip(UriBuf),
    #[error("TLS is not built into this version yet: use a sip URI")]
    Tls,
    #[error("{0} has no address: check the name, or use an IP address")]
    NoAddress(String),
    #[error("there is no way from this machine to {0}: check its network")]
    NoRoute(SocketAddr),
}

impl BadAim {
    /// Returns the code with which the program ends.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::NotSip(_) | Self::Tls => Exit::Local,
            Self::NoAddress(_) | Self::NoRoute(_) => Exit::Unreachable,
        }
    }
}

impl Aim {
    /// Finds out from which address this machine reaches the host of a URI.
    pub(crate) fn at(uri: UriBuf) -> Result<Self, BadAim> {
        let read = uri.as_uri();
        if read.is_sips() {
            return Err(BadAim::Tls);
        }
        let Some(host) = read.host_text().filter(|_| read.is_sip()) else { return Err(BadAim::NotSip(uri)) };
        let port = read.port().unwrap_or(Proto::Udp.default_port());
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

/// A calling side: opens its sockets, sends one request, and tells what comes of it.
pub(crate) struct Caller {
    local: IpAddr,
    request: Option<Outgoing>,
    news: Sender<News>,
    client: Option<ClientHandle>,
}

/// What the program has to know.
#[derive(Debug)]
pub(crate) enum News {
    /// No socket can be opened, or the request is not one that can be sent.
    Failed(String),
    /// A response.
    Response(Response),
    /// The request has come to its end.
    Ended(ClientEnd),
    /// The call's dialog has changed.
    Dialog(DialogHandle, DialogChange),
    /// The program is asked to end.
    Interrupt,
}

impl Caller {
    /// Makes one that sends a request as soon as it has sockets.
    pub(crate) fn new(aim: &Aim, method: Method, body: Option<Body>, news: Sender<News>) -> Self {
        let request = Outgoing::new(method, aim.uri.clone());
        let request = match body {
            Some(body) => request.body(body),
            None => request,
        };
        Self { local: aim.local, request: Some(request), news, client: None }
    }

    fn tell(&self, news: News) {
        // The program may have stopped to listen.
        let _told = self.news.send(news);
    }
}

impl Service for Caller {
    fn init(&mut self, cx: &mut Cx<'_>) {
        // TCP follows on the same port.
        if let Err(error) = cx.listen(Proto::Udp, SocketAddr::new(self.local, 0)) {
            self.tell(News::Failed(error.to_string()));
        }
    }

    fn bound(&mut self, cx: &mut Cx<'_>, _: SocketId, proto: Proto, result: Result<SocketAddr, IoKind>) {
        match (proto, result) {
            (Proto::Udp, Ok(_)) => {}
            (Proto::Udp, Err(error)) => {
                self.tell(News::Failed(format!("cannot open a socket on {}: {error}", self.local)));
            }
            // Without a listener for TCP, what goes over UDP still goes.
            (_, _) => {
                let Some(request) = self.request.take() else { return };
                match cx.request(request) {
                    Ok(client) => self.client = Some(client),
                    Err(error) => self.tell(News::Failed(error.to_string())),
                }
            }
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
        self.tell(News::Dialog(dialog, change));
    }
}

const USER: &str = "sansip";
