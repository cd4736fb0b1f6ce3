use std::{io, net::SocketAddr};

use bytes::Bytes;
use sansip::{
    CloseHow, ConnId, DnsError, DnsName, Input, Instant, IoKind, Machine, Output, Proto, QueryId, RecordKind,
    SocketId,
};

use crate::{
    clock::{WALL, wall},
    icmp::Socket,
    interfaces::interfaces,
    udp::{Buffer, Datagrams},
};

/// What a driver can do for a machine; [`drain`] asks it to. Each is described at its [`Output`].
pub trait Hands {
    /// A UDP socket.
    type Udp: Socket;
    /// Returns the UDP sockets, for [`Output::Transmit`].
    fn datagrams(&mut self) -> &mut Datagrams<Self::Udp>;
    /// [`Output::Bind`] for UDP.
    fn bind(&mut self, id: SocketId, addr: SocketAddr) -> io::Result<SocketAddr>;
    /// [`Output::Bind`] for TCP.
    fn listen(&mut self, id: SocketId, addr: SocketAddr) -> io::Result<SocketAddr>;
    /// [`Output::Unbind`].
    fn unbind(&mut self, id: SocketId);
    /// [`Output::Connect`] for TCP.
    fn connect(&mut self, id: ConnId, remote: SocketAddr) -> io::Result<()>;
    /// [`Output::Send`].
    fn send(&mut self, id: ConnId, data: Bytes);
    /// [`Output::Close`].
    fn close(&mut self, id: ConnId, how: CloseHow);
    /// [`Output::Resolve`].
    fn resolve(&mut self, id: QueryId, name: DnsName, kind: RecordKind) -> Result<(), DnsError>;
}

/// Does all that a machine wants, until it wants nothing more, and tells it what is known at once.
pub fn drain(machine: &mut impl Machine, hands: &mut impl Hands, now: impl Fn() -> Instant) {
    while let Some(output) = machine.poll_output() {
        if matches!(output, Output::Bind { addr, .. } if addr.ip().is_unspecified()) {
            machine.handle_input(now(), Input::Interfaces(interfaces()));
        }
        if let Some(told) = perform(hands, output) {
            machine.handle_input(now(), told);
        }
    }
}

/// Tells a machine the wall clock's time, if it is time for that again, and that one of its deadlines has come. `wall_due`
/// is when the wall clock is to be told next.
pub fn tell_time(
    machine: &mut impl Machine,
    hands: &mut impl Hands,
    wall_due: &mut Instant,
    now: impl Fn() -> Instant,
) {
    let moment = now();
    if *wall_due <= moment {
        *wall_due = moment + WALL;
        machine.handle_input(moment, Input::Wall(wall()));
        drain(machine, hands, &now);
    }
    if machine.poll_timeout().is_some_and(|due| due <= moment) {
        machine.handle_input(now(), Input::Timeout);
        drain(machine, hands, &now);
    }
}

/// Hands over the datagrams that were read, as long as their socket is open, and returns how many they were.
pub fn hand_over(
    machine: &mut impl Machine,
    hands: &mut impl Hands,
    buffer: &mut Buffer,
    now: impl Fn() -> Instant,
) -> usize {
    let (socket, mut count) = (buffer.socket(), 0);
    while let Some(input) = buffer.input() {
        count += 1;
        if hands.datagrams().get(socket).is_some() {
            machine.handle_input(now(), input);
            drain(machine, hands, &now);
        }
    }
    count
}

/// Ends a turn: has the datagrams leave that it has made, and tells the machine which of them cannot be delivered.
pub fn flush(machine: &mut impl Machine, hands: &mut impl Hands, now: impl Fn() -> Instant) {
    while let Some(told) = hands.datagrams().flush() {
        machine.handle_input(now(), told);
        drain(machine, hands, &now);
    }
}

fn perform(hands: &mut impl Hands, output: Output) -> Option<Input<'static>> {
    match output {
        Output::Transmit { socket, local, remote, payload } => {
            hands.datagrams().send(socket, local, remote, payload);
        }
        Output::Send { conn, data } => hands.send(conn, data),
        Output::Close { conn, how } => hands.close(conn, how),
        Output::Connect { conn, proto, remote, .. } => {
            let begun = match proto {
                Proto::Tcp => hands.connect(conn, remote),
                _ => Err(io::ErrorKind::Unsupported.into()),
            };
            let error = begun.err()?;
            return Some(Input::Closed { conn, error: Some(IoKind::from(&error)) });
        }
        Output::Bind { socket, proto, addr } => {
            let bound = match proto {
                Proto::Udp => hands.bind(socket, addr),
                Proto::Tcp => hands.listen(socket, addr),
                _ => Err(io::ErrorKind::Unsupported.into()),
            };
            return Some(Input::Bound { socket, result: bound.map_err(|error| IoKind::from(&error)) });
        }
        Output::Unbind { socket } => hands.unbind(socket),
        Output::Resolve { query, name, kind } => {
            let error = hands.resolve(query, name, kind).err()?;
            return Some(Input::Resolved { query, result: Err(error) });
        }
        // An output of a version to come, which this driver cannot serve.
        _ => {}
    }
    None
}
