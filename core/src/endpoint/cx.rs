use std::{net::SocketAddr, ops::Deref, time::Duration};

use crate::{
    base::Instant,
    decision::{
        AlarmId, Body, ClientHandle, Command, CommandError, Config, ConfigError, Decision, DialogError,
        DialogHandle, Gone, Listener, Outcome, Outgoing, Pending, ProvisionalError, Reply, SendError,
    },
    endpoint::Endpoint,
    syntax::Leniency,
    transport::{FlowId, Proto, SocketId},
};

/// An endpoint at a moment: the verbs of an application. Each builds one [`Command`].
pub struct Cx<'a> {
    endpoint: &'a mut Endpoint,
    now: Instant,
}

impl<'a> Cx<'a> {
    pub(super) const fn new(endpoint: &'a mut Endpoint, now: Instant) -> Self {
        Self { endpoint, now }
    }

    /// Returns the moment.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Executes a command that was built elsewhere.
    pub fn command(&mut self, command: Command) -> Result<Outcome, CommandError> {
        self.endpoint.command(self.now, command)
    }

    /// Answers a question that was deferred.
    pub fn answer<T: Decision>(&mut self, pending: Pending<T>, value: impl Into<T>) -> Result<(), Gone> {
        let verdict = value.into().into();
        // A ticket fits its question, so nothing but lateness can be wrong.
        self.command(Command::Answer { ask: pending.ask(), verdict }).map(|_| ()).map_err(|_| Gone)
    }

    /// Sends a provisional response, 101 to 199, before the answer.
    pub fn provisional(&mut self, pending: &Pending<Reply>, reply: Reply) -> Result<(), ProvisionalError> {
        match self.command(Command::Provisional { ask: pending.ask(), reply }) {
            Ok(_) => Ok(()),
            Err(CommandError::Provisional(error)) => Err(error),
            Err(_) => Err(Gone.into()),
        }
    }

    /// Sends a request.
    pub fn request(&mut self, request: Outgoing) -> Result<ClientHandle, SendError> {
        match self.command(Command::Request(Box::new(request))) {
            Ok(Outcome::Client(client)) => Ok(client),
            Err(CommandError::Send(error)) => Err(error),
            _ => Err(Gone.into()),
        }
    }

    /// Cancels an INVITE that was sent. `Gone` if it has its final response.
    pub fn cancel(&mut self, client: ClientHandle) -> Result<(), Gone> {
        self.command(Command::Cancel { client }).map(|_| ()).map_err(|_| Gone)
    }

    /// Acknowledges a 2xx, where the application has to (see [`AckMode`](crate::AckMode)).
    pub fn ack(&mut self, dialog: DialogHandle, body: Option<Body>) -> Result<(), DialogError> {
        self.in_dialog(Command::Ack { dialog, body })
    }

    /// Acknowledges a reliable provisional response that carried an offer, with the answer (RFC 3262 §5).
    ///
    /// One without an offer is acknowledged by the endpoint.
    pub fn prack(&mut self, dialog: DialogHandle, answer: Body) -> Result<(), DialogError> {
        self.in_dialog(Command::Prack { dialog, body: answer })
    }

    /// Ends the session of a dialog.
    ///
    /// While a 2xx of ours waits for its ACK, the BYE waits for it too.
    pub fn bye(&mut self, dialog: DialogHandle) -> Result<(), DialogError> {
        self.in_dialog(Command::Bye { dialog })
    }

    /// Opens a socket; [`Event::Bound`](crate::Event::Bound) tells how it went.
    pub fn listen(&mut self, proto: Proto, addr: SocketAddr) -> Result<SocketId, CommandError> {
        self.listen_as(Listener::new(proto, addr))
    }

    /// Opens a socket with a rule of its own for what is forgiven in the messages that come in there.
    ///
    /// The rule holds for the connections that the socket accepts, and for the TCP listener beside a UDP socket.
    /// Everywhere else it is [`Config::leniency`].
    pub fn listen_with(
        &mut self,
        proto: Proto,
        addr: SocketAddr,
        leniency: Leniency,
    ) -> Result<SocketId, CommandError> {
        self.listen_as(Listener::new(proto, addr).leniency(leniency))
    }

    /// Opens a socket that differs from what the configuration says.
    pub fn listen_as(&mut self, listener: Listener) -> Result<SocketId, CommandError> {
        match self.command(Command::Listen(listener))? {
            Outcome::Socket(socket) => Ok(socket),
            _ => Err(Gone.into()),
        }
    }

    /// Keeps a flow alive from now on, or no more (RFC 5626 §4.4). One that fails is told by
    /// [`Event::Flow`](crate::Event::Flow).
    pub fn keep_alive(&mut self, flow: FlowId, every: Option<Duration>) -> Result<(), CommandError> {
        self.command(Command::KeepAlive { flow, every }).map(|_| ())
    }

    /// Asks a STUN server for the address that it sees a UDP socket at; [`Event::Flow`](crate::Event::Flow) tells it.
    pub fn stun(&mut self, socket: SocketId, server: SocketAddr) -> Result<(), CommandError> {
        self.command(Command::Stun { socket, server }).map(|_| ())
    }

    /// Asks for an [`Event::Alarm`](crate::Event::Alarm).
    pub fn alarm(&mut self, after: Duration) -> Result<AlarmId, CommandError> {
        match self.command(Command::Alarm { after })? {
            Outcome::Alarm(alarm) => Ok(alarm),
            _ => Err(Gone.into()),
        }
    }

    /// Replaces the configuration for what begins from now on.
    pub fn configure(&mut self, config: Config) -> Result<(), ConfigError> {
        match self.command(Command::Configure(Box::new(config))) {
            Err(CommandError::Config(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Ends all calls within `grace` and takes no new ones; then [`Endpoint::is_stopped`] is true.
    pub fn shutdown(&mut self, grace: Duration) {
        // This command cannot be refused.
        let _done = self.command(Command::Shutdown { grace });
    }

    fn in_dialog(&mut self, command: Command) -> Result<(), DialogError> {
        match self.command(command) {
            Ok(_) => Ok(()),
            Err(CommandError::Dialog(error)) => Err(error),
            Err(_) => Err(Gone.into()),
        }
    }
}

impl Deref for Cx<'_> {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        self.endpoint
    }
}
