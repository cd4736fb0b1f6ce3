use std::{
    array,
    collections::VecDeque,
    io::{self, ErrorKind as E},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use sansip::{Input, Instant, SocketId, Unreachable};

use crate::{
    icmp::{Socket, complaint, transmit},
    socket::{BUFFER, udp},
};

/// All UDP sockets of a node.
#[derive(Debug)]
pub struct Datagrams<S>(Vec<Udp<S>>);

impl<S> Default for Datagrams<S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<S: Socket> Datagrams<S> {
    /// Binds a socket, which `open` makes one of the driver's own kind, and returns its address.
    pub fn bind(
        &mut self,
        id: SocketId,
        addr: SocketAddr,
        open: impl FnOnce(std::net::UdpSocket) -> io::Result<S>,
        calls: Calls<S>,
    ) -> io::Result<SocketAddr> {
        let udp = Udp::bind(id, addr, open, calls)?;
        let bound = udp.bound;
        self.0.push(udp);
        Ok(bound)
    }

    /// Closes a socket when what it was given to send has left, unless there is no room.
    pub fn unbind(&mut self, id: SocketId) {
        self.get(id).into_iter().for_each(Udp::leave);
        self.0.retain(|udp| udp.id != id);
    }

    /// Returns a socket, if it is still open.
    pub fn get(&mut self, id: SocketId) -> Option<&mut Udp<S>> {
        self.0.iter_mut().find(|udp| udp.id == id)
    }

    /// Returns when datagrams that wait for room are to be tried again, if any wait.
    pub fn room(&self, now: Instant) -> Option<Instant> {
        self.0.iter().any(|udp| !udp.queued.is_empty()).then(|| now + ROOM)
    }

    pub(crate) fn send(&mut self, id: SocketId, local: SocketAddr, remote: SocketAddr, payload: Bytes) {
        if let Some(udp) = self.get(id) {
            udp.send(local, remote, payload);
        }
    }

    pub(crate) fn flush(&mut self) -> Option<Input<'static>> {
        self.0.iter_mut().find_map(Udp::flush)
    }
}

/// A UDP socket that never waits, the datagrams that it has to send, and what became of them.
///
/// Datagrams are read one by one, since a batch costs more when there is one only. When two reads in a row have found
/// one, more may be waiting: then they are read in batches, until one is not full. Those that are sent in one turn leave
/// together. Where the system has no such calls, all are read and sent one by one.
#[derive(Debug)]
pub struct Udp<S> {
    id: SocketId,
    bound: SocketAddr,
    socket: S,
    calls: Calls<S>,
    /// It is bound to all addresses, and the system tells which one a datagram was sent to.
    learns: bool,
    /// Reads since it was last found empty, or almost so.
    found: usize,
    queued: VecDeque<Queued>,
    /// The kernel had no room.
    full: bool,
    failed: VecDeque<(SocketAddr, Unreachable)>,
}

/// How a socket reads and sends one datagram: its type's `recv_from` and `send_to`.
pub type Calls<S> =
    (fn(&S, &mut [u8]) -> io::Result<(usize, SocketAddr)>, fn(&S, &[u8], SocketAddr) -> io::Result<usize>);

#[derive(Debug)]
struct Queued {
    /// Where it leaves from, unless the system chooses.
    source: Option<IpAddr>,
    remote: SocketAddr,
    payload: Bytes,
}

impl<S: Socket> Udp<S> {
    fn bind(
        id: SocketId,
        addr: SocketAddr,
        open: impl FnOnce(std::net::UdpSocket) -> io::Result<S>,
        calls: Calls<S>,
    ) -> io::Result<Self> {
        let socket = udp(addr)?;
        let (bound, learns) = (socket.local_addr()?, addr.ip().is_unspecified() && system::learn(&socket));
        let (queued, failed) = (VecDeque::new(), VecDeque::new());
        Ok(Self { id, bound, socket: open(socket)?, calls, learns, found: 0, queued, full: false, failed })
    }

    /// Returns the socket, to have it waited for.
    pub const fn socket(&self) -> &S {
        &self.socket
    }

    /// Reads what [`hand_over`](crate::hand_over) then hands over; nothing after errors, but the next time there may be something.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is nothing.
    pub fn receive(&mut self, buffer: &mut Buffer) -> io::Result<()> {
        // Other errors are those of datagrams sent before, each told once in this way.
        for _ in 0..ERRORS {
            match self.read(buffer) {
                Err(error) if error.kind() == E::WouldBlock => {
                    self.found = 0;
                    return Err(error);
                }
                Err(_) => {}
                Ok(()) => break,
            }
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut Buffer) -> io::Result<()> {
        buffer.begin(self.id, self.bound);
        if self.found >= HURRY && system::BATCHES {
            let count = system::read_many(&self.socket, self.learns, buffer)?;
            // One that is not full was ended by an error or by the last datagram: the next read tells.
            self.found = if count == BATCH { HURRY } else { 0 };
            return Ok(());
        }
        let (len, remote, local) = if self.learns {
            system::read_one(&self.socket, buffer.bytes())?
        } else {
            let (len, remote) = (self.calls.0)(&self.socket, buffer.bytes())?;
            (len, remote, None)
        };
        buffer.note(0, len, remote, local);
        self.found += 1;
        Ok(())
    }

    /// Returns what the network said of a datagram sent before.
    pub fn complaint(&self) -> Option<Input<'static>> {
        let (remote, why) = complaint(&self.socket)?;
        Some(Input::Unreachable { socket: self.id, remote, why })
    }

    /// Queues a datagram, which leaves with the next [`flush`](Self::flush) or before. `local` is where it leaves from if
    /// the socket is bound to all addresses. While the kernel has no room, the oldest of too many is lost, as UDP may.
    fn send(&mut self, local: SocketAddr, remote: SocketAddr, payload: Bytes) {
        let source = local.ip();
        let own = self.learns && source.is_ipv4() == self.bound.is_ipv4();
        let source = (own && !source.is_unspecified() && !source.is_multicast()).then_some(source);
        self.queued.push_back(Queued { source, remote, payload });
        if self.queued.len() >= BATCH && !self.full {
            self.leave();
        }
        if self.queued.len() > WAITING {
            self.queued.pop_front();
        }
    }

    /// Sends what is queued, as far as there is room, and returns what became of one that cannot be delivered; to be
    /// called until `None`.
    fn flush(&mut self) -> Option<Input<'static>> {
        self.leave();
        let (remote, why) = self.failed.pop_front()?;
        Some(Input::Unreachable { socket: self.id, remote, why })
    }

    fn leave(&mut self) {
        self.full = false;
        let mut together = true;
        while let Some(first) = self.queued.front() {
            let alike = |next: &&Queued| next.source == first.source;
            let count = self.queued.iter().take(BATCH).take_while(alike).count();
            if together && count >= FEW && system::BATCHES {
                let sent = system::send_many(&self.socket, &self.queued, count).unwrap_or_default();
                self.queued.drain(..sent);
                // What has stopped it is told to the next datagram alone.
                together = sent == count;
                continue;
            }
            match transmit(|| self.send_one(first)) {
                Err(_) => return self.full = true,
                Ok(told) => self.failed.extend(told.map(|why| (first.remote, why))),
            }
            self.queued.pop_front();
            together = true;
        }
    }

    fn send_one(&self, Queued { source, remote, payload }: &Queued) -> io::Result<usize> {
        let plain = || (self.calls.1)(&self.socket, payload, *remote);
        let Some(source) = source else { return plain() };
        let send = || system::send_from(&self.socket, *source, *remote, payload);
        // The first error may be another datagram's.
        match send().or_else(|_| send()) {
            // The machine has lost the address, and the system may know another way.
            Err(error)
                if matches!(error.kind(), E::InvalidInput | E::AddrNotAvailable | E::NetworkUnreachable) =>
            {
                plain()
            }
            sent => sent,
        }
    }
}

/// What was read last and has not been handed out, and space to read into.
#[derive(Debug)]
pub struct Buffer {
    bytes: Box<[u8]>,
    socket: SocketId,
    bound: SocketAddr,
    read: [Option<Read>; BATCH],
    next: usize,
}

#[derive(Clone, Copy, Debug)]
struct Read {
    len: usize,
    remote: SocketAddr,
    /// Where it was sent to, if the system says so.
    local: Option<IpAddr>,
}

impl Default for Buffer {
    fn default() -> Self {
        let slots = if system::BATCHES { BATCH } else { 1 };
        // The system gives memory only to what is used.
        let bytes = vec![0; slots * SLOT].into();
        let bound = SocketAddr::from(([0; 4], 0));
        Self { bytes, socket: SocketId(0), bound, read: [None; BATCH], next: 0 }
    }
}

impl Buffer {
    /// Returns space for one datagram, or for bytes of a stream.
    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes[..BUFFER]
    }

    /// Hands out the next datagram that was read.
    pub(crate) fn input(&mut self) -> Option<Input<'_>> {
        let at = self.next;
        let Read { len, remote, local } = self.read.get_mut(at)?.take()?;
        self.next += 1;
        let local = local.map_or(self.bound, |local| SocketAddr::new(local, self.bound.port()));
        let payload = &self.bytes[at * SLOT..][..len];
        Some(Input::Datagram { socket: self.socket, local, remote, payload })
    }

    pub(crate) const fn socket(&self) -> SocketId {
        self.socket
    }

    fn begin(&mut self, socket: SocketId, bound: SocketAddr) {
        (self.socket, self.bound, self.next) = (socket, bound, 0);
        self.read.fill(None);
    }

    fn note(&mut self, at: usize, len: usize, remote: SocketAddr, local: Option<IpAddr>) {
        self.read[at] = Some(Read { len, remote, local });
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use std::{
        io::{IoSlice, IoSliceMut},
        net::{Ipv4Addr, Ipv6Addr},
    };

    use nix::{
        libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo},
        sys::socket::{
            ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage,
            cmsg_space, recvmmsg, recvmsg, sendmmsg, sendmsg, setsockopt,
            sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo},
        },
    };

    use super::*;

    pub(super) const BATCHES: bool = true;

    /// Has the system tell which address a datagram was sent to.
    pub(super) fn learn(socket: &std::net::UdpSocket) -> bool {
        let v4 = socket.local_addr().is_ok_and(|addr| addr.is_ipv4());
        let learns = if v4 {
            setsockopt(socket, Ipv4PacketInfo, &true)
        } else {
            setsockopt(socket, Ipv6RecvPacketInfo, &true)
        };
        learns.is_ok()
    }

    pub(super) fn read_one(
        socket: &impl Socket,
        bytes: &mut [u8],
    ) -> io::Result<(usize, SocketAddr, Option<IpAddr>)> {
        let (mut space, mut slices) = (Space([0; SPACE]), [IoSliceMut::new(bytes)]);
        let flags = MsgFlags::MSG_DONTWAIT;
        let read = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut space.0), flags)?;
        Ok((read.bytes, remote(&read)?, local(&read)))
    }

    pub(super) fn read_many(socket: &impl Socket, learns: bool, buffer: &mut Buffer) -> io::Result<usize> {
        let space = learns.then(|| Vec::with_capacity(SPACE));
        // The system shortens lengths in it, and nothing makes them long again.
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, space);
        let mut slots = buffer.bytes.chunks_exact_mut(SLOT);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            array::from_fn(|_| [IoSliceMut::new(slots.next().map_or(&mut [], |slot| &mut slot[..BUFFER]))]);
        let flags = MsgFlags::MSG_DONTWAIT;
        let read = recvmmsg(socket.as_raw_fd(), &mut headers, &mut slices, flags, None)?;
        let mut count = 0;
        for (note, read) in buffer.read.iter_mut().zip(read) {
            *note = Some(Read { len: read.bytes, remote: remote(&read)?, local: local(&read) });
            count += 1;
        }
        Ok(count)
    }

    pub(super) fn send_from(
        socket: &impl Socket,
        source: IpAddr,
        remote: SocketAddr,
        payload: &[u8],
    ) -> io::Result<usize> {
        let (slices, remote) = ([IoSlice::new(payload)], SockaddrStorage::from(remote));
        let send =
            |word| sendmsg(socket.as_raw_fd(), &slices, &[word], MsgFlags::MSG_DONTWAIT, Some(&remote));
        Ok(match source {
            IpAddr::V4(source) => send(ControlMessage::Ipv4PacketInfo(&from_v4(source))),
            IpAddr::V6(source) => send(ControlMessage::Ipv6PacketInfo(&from_v6(source))),
        }?)
    }

    /// Sends the first `count`, which leave from the same address, and returns how many have left.
    pub(super) fn send_many(
        socket: &impl Socket,
        queued: &VecDeque<Queued>,
        count: usize,
    ) -> io::Result<usize> {
        let source = queued.front().and_then(|first| first.source);
        let space = source.map(|_| Vec::with_capacity(SPACE));
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(count, space);
        let at = |at: usize| queued.get(at).filter(|_| at < count);
        let slices: [[IoSlice<'_>; 1]; BATCH] =
            array::from_fn(|number| [IoSlice::new(at(number).map_or(&[], |queued| &queued.payload))]);
        let remotes: [Option<SockaddrStorage>; BATCH] =
            array::from_fn(|number| at(number).map(|queued| queued.remote.into()));
        let (v4, v6);
        let word = match source {
            None => None,
            Some(IpAddr::V4(source)) => {
                v4 = from_v4(source);
                Some(ControlMessage::Ipv4PacketInfo(&v4))
            }
            Some(IpAddr::V6(source)) => {
                v6 = from_v6(source);
                Some(ControlMessage::Ipv6PacketInfo(&v6))
            }
        };
        let flags = MsgFlags::MSG_DONTWAIT;
        let sent =
            sendmmsg(socket.as_raw_fd(), &mut headers, &slices[..count], remotes, word.as_slice(), flags)?;
        Ok(sent.count())
    }

    fn remote(read: &RecvMsg<'_, '_, SockaddrStorage>) -> io::Result<SocketAddr> {
        let from = read.address.as_ref();
        let v4 = from.and_then(|from| Some(SocketAddr::V4((*from.as_sockaddr_in()?).into())));
        let v6 = || from.and_then(|from| Some(SocketAddr::V6((*from.as_sockaddr_in6()?).into())));
        v4.or_else(v6).ok_or_else(|| E::InvalidData.into())
    }

    /// Returns the address to answer from: of this machine also when it was sent to a group.
    fn local(read: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<IpAddr> {
        let mut words = read.cmsgs().ok()?;
        let local = words.find_map(|word| match word {
            ControlMessageOwned::Ipv4PacketInfo(word) => {
                Some(Ipv4Addr::from(word.ipi_spec_dst.s_addr.to_ne_bytes()).into())
            }
            ControlMessageOwned::Ipv6PacketInfo(word) => Some(Ipv6Addr::from(word.ipi6_addr.s6_addr).into()),
            _ => None,
        });
        local.filter(|local: &IpAddr| !local.is_multicast())
    }

    const fn from_v4(source: Ipv4Addr) -> in_pktinfo {
        let ipi_spec_dst = in_addr { s_addr: u32::from_ne_bytes(source.octets()) };
        in_pktinfo { ipi_ifindex: 0, ipi_spec_dst, ipi_addr: in_addr { s_addr: 0 } }
    }

    const fn from_v6(source: Ipv6Addr) -> in6_pktinfo {
        in6_pktinfo { ipi6_addr: in6_addr { s6_addr: source.octets() }, ipi6_ifindex: 0 }
    }

    /// Room for what tells one address, where its header can be.
    #[repr(align(8))]
    struct Space([u8; SPACE]);

    /// Other words, which the system adds for errors, are not asked for here.
    const SPACE: usize = cmsg_space::<in6_pktinfo>();
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use super::*;

    pub(super) const BATCHES: bool = false;

    pub(super) fn learn(_: &std::net::UdpSocket) -> bool {
        false
    }

    pub(super) fn read_one(_: &impl Socket, _: &mut [u8]) -> io::Result<(usize, SocketAddr, Option<IpAddr>)> {
        Err(E::Unsupported.into())
    }

    pub(super) fn read_many(_: &impl Socket, _: bool, _: &mut Buffer) -> io::Result<usize> {
        Err(E::Unsupported.into())
    }

    pub(super) fn send_from(_: &impl Socket, _: IpAddr, _: SocketAddr, _: &[u8]) -> io::Result<usize> {
        Err(E::Unsupported.into())
    }

    pub(super) fn send_many(_: &impl Socket, _: &VecDeque<Queued>, _: usize) -> io::Result<usize> {
        Err(E::Unsupported.into())
    }
}

/// Datagrams read or sent together.
const BATCH: usize = 32;

/// Reads in a row that found a datagram before they are read together.
const HURRY: usize = 2;

/// Datagrams that are worth a batch when they are sent.
const FEW: usize = 3;

/// Beside each other datagrams would begin in the same places of the processor's caches.
const SLOT: usize = BUFFER + 11 * 64;

/// Errors of datagrams sent before that are passed over to read one.
const ERRORS: usize = 8;

/// Datagrams kept while the kernel has no room.
const WAITING: usize = 1024;

/// How long datagrams wait before they are tried again when the kernel had no room.
const ROOM: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, Ipv6Addr, UdpSocket},
        time::Instant,
    };

    use super::*;

    type Std = Udp<UdpSocket>;

    fn open(addr: impl Into<SocketAddr>) -> Std {
        let calls: Calls<UdpSocket> =
            (UdpSocket::recv_from, |socket, payload, remote| socket.send_to(payload, remote));
        Udp::bind(SocketId(1), addr.into(), Ok, calls).expect("it can be bound")
    }

    fn peer(addr: impl Into<IpAddr>) -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind((addr.into(), 0)).expect("loopback can be bound");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("it is not zero");
        let addr = socket.local_addr().expect("it is bound");
        (socket, addr)
    }

    /// Reads until nothing is left: how many each read has found, and all in order.
    fn read_all(udp: &mut Std) -> (Vec<usize>, Vec<(SocketAddr, Vec<u8>)>) {
        let (mut buffer, mut counts, mut all) = (Buffer::default(), Vec::new(), Vec::new());
        while udp.receive(&mut buffer).is_ok() {
            let before = all.len();
            while let Some(Input::Datagram { local, payload, .. }) = buffer.input() {
                all.push((local, payload.to_vec()));
            }
            counts.push(all.len() - before);
        }
        (counts, all)
    }

    fn told(udp: &mut Std) -> Vec<(SocketAddr, Unreachable)> {
        let told = std::iter::from_fn(|| udp.flush()).map(|input| match input {
            Input::Unreachable { remote, why, .. } => (remote, why),
            other => panic!("{other:?}"),
        });
        told.collect()
    }

    #[test]
    fn one_is_read_alone_and_many_in_batches() {
        let mut udp = open((Ipv4Addr::LOCALHOST, 0));
        let (peer, _) = peer(Ipv4Addr::LOCALHOST);
        for (sent, reads) in [
            (1, vec![1]),
            (2, vec![1, 1]),
            (40, vec![1, 1, 32, 6]),
            (34, vec![1, 1, 32]),
            (100, vec![1, 1, 32, 32, 32, 2]),
        ] {
            for n in 0..sent {
                peer.send_to(&vec![n; 100 + usize::from(n)], udp.bound).expect("loopback takes it");
            }
            let (counts, all) = read_all(&mut udp);
            let expected: Vec<_> = (0..sent).map(|n| (udp.bound, vec![n; 100 + usize::from(n)])).collect();
            assert_eq!(all, expected, "each once, in order, whole");
            if system::BATCHES {
                assert_eq!(counts, reads);
            }
        }
    }

    #[test]
    fn the_largest_datagrams_are_whole_in_a_batch() {
        let mut udp = open((Ipv4Addr::LOCALHOST, 0));
        let (peer, _) = peer(Ipv4Addr::LOCALHOST);
        let sent: Vec<_> = (0..5).map(|n| (udp.bound, vec![n; 65_507])).collect();
        sent.iter().for_each(|(to, bytes)| assert_eq!(peer.send_to(bytes, to).ok(), Some(65_507)));
        assert!(read_all(&mut udp).1 == sent);
    }

    /// RFC 3261 §18.4, TP-13.
    #[test]
    #[cfg(target_os = "linux")]
    fn one_of_a_batch_that_cannot_be_sent_is_told_and_the_others_leave() {
        for any in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let mut udp = open((any, 0));
            let ((peer, to), (dead, nobody)) = (peer(any), peer(any));
            drop(dead);
            let local = udp.bound;
            for n in 0..100_u8 {
                match n {
                    // Longer than a datagram can be: the first, in the middle, the last.
                    0 | 40 | 99 => udp.send(local, to, vec![n; 65_530].into()),
                    // Nobody there: what comes back is an error of some call after it.
                    20 | 50 => udp.send(local, nobody, vec![n].into()),
                    _ => udp.send(local, to, vec![n].into()),
                }
            }
            assert_eq!(told(&mut udp), [(to, Unreachable::TooBig); 3]);
            assert!(udp.queued.is_empty());
            let mut byte = [0; 9];
            for n in (1..99).filter(|n| ![20, 40, 50].contains(n)) {
                assert_eq!(peer.recv(&mut byte).ok(), Some(1));
                assert_eq!(byte[0], n, "each once, in order");
            }
            let about = || match udp.complaint() {
                Some(Input::Unreachable { remote, why, .. }) => Some((remote, why)),
                _ => None,
            };
            let deadline = Instant::now() + Duration::from_secs(10);
            let mut complaints = Vec::new();
            while complaints.len() < 2 && Instant::now() < deadline {
                complaints.extend(about());
            }
            assert_eq!(complaints, [(nobody, Unreachable::Icmp); 2]);
        }
    }

    /// An error that is pending ends a batch of reads; what is behind it is read all the same.
    #[test]
    #[cfg(target_os = "linux")]
    fn complaints_hide_no_datagrams() {
        let mut udp = open((Ipv4Addr::LOCALHOST, 0));
        let ((peer, _), (dead, nobody)) = (peer(Ipv4Addr::LOCALHOST), peer(Ipv4Addr::LOCALHOST));
        drop(dead);
        let mut got = 0;
        for n in 0..50 {
            for _ in 0..n {
                peer.send_to(b"x", udp.bound).expect("loopback takes it");
            }
            for _ in 0..n % 12 {
                udp.send(udp.bound, nobody, Bytes::from_static(b"x"));
            }
            assert_eq!(udp.flush(), None);
            let (mut buffer, mut tries) = (Buffer::default(), 0);
            while udp.receive(&mut buffer).is_ok() {
                got += std::iter::from_fn(|| buffer.input().map(drop)).count();
                tries += 1;
                assert!(tries < 200, "it comes to an end");
            }
        }
        assert_eq!(got, (0..50).sum(), "what came before the last read is there");
    }

    /// RFC 3261 §18.2.2, RFC 3581 §4: an answer leaves from the address that the request was sent to.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_socket_bound_to_all_addresses_answers_from_the_one_asked() {
        let mut udp = open((Ipv4Addr::UNSPECIFIED, 0));
        let port = udp.bound.port();
        let (peer, addr) = peer(Ipv4Addr::LOCALHOST);
        let mut bytes = [0; 9];
        for last in [1, 2, 77] {
            let asked = SocketAddr::from(([127, 0, 0, last], port));
            // One by one, then together.
            for count in [1, 50] {
                for _ in 0..count {
                    peer.send_to(b"ask", asked).expect("loopback takes it");
                }
                let (_, all) = read_all(&mut udp);
                assert_eq!(all, vec![(asked, b"ask".to_vec()); count]);
                all.iter().for_each(|(local, _)| udp.send(*local, addr, Bytes::from_static(b"answer")));
                assert_eq!(told(&mut udp), []);
                for _ in 0..count {
                    assert_eq!(peer.recv_from(&mut bytes).ok(), Some((6, asked)));
                }
            }
        }
        // A batch leaves from several addresses, and from one that the system chooses.
        let from = [1, 1, 1, 2, 2, 2, 3].map(|last| SocketAddr::from(([127, 0, 0, last], port)));
        from.iter().for_each(|from| udp.send(*from, addr, Bytes::from_static(b"x")));
        udp.send(udp.bound, addr, Bytes::from_static(b"x"));
        assert_eq!(told(&mut udp), []);
        for expected in from.into_iter().chain([SocketAddr::from(([127, 0, 0, 1], port))]) {
            assert_eq!(peer.recv_from(&mut bytes).ok(), Some((1, expected)));
        }
        // One that this machine does not have (RFC 5737) is not insisted on, nor one of a group.
        for foreign in [[192, 0, 2, 1], [224, 0, 1, 75]] {
            udp.send((foreign, port).into(), addr, Bytes::from_static(b"x"));
            assert_eq!(told(&mut udp), []);
            assert_eq!(peer.recv_from(&mut bytes).ok(), Some((1, ([127, 0, 0, 1], port).into())));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_address_asked_is_known_for_ipv6_too() {
        let mut udp = open((Ipv6Addr::UNSPECIFIED, 0));
        let (peer, addr) = peer(Ipv6Addr::LOCALHOST);
        let asked = SocketAddr::from((Ipv6Addr::LOCALHOST, udp.bound.port()));
        for _ in 0..40 {
            peer.send_to(b"ask", asked).expect("loopback takes it");
        }
        let (counts, all) = read_all(&mut udp);
        assert_eq!((counts, all.len()), (vec![1, 1, 32, 6], 40));
        for (local, _) in all {
            assert_eq!(local, asked);
            udp.send(local, addr, Bytes::from_static(b"answer"));
        }
        assert_eq!(told(&mut udp), []);
        assert_eq!(peer.recv_from(&mut [0; 9]).ok(), Some((6, asked)));
    }

    #[test]
    fn what_was_sent_before_the_socket_closes_leaves() {
        let mut all = Datagrams::<UdpSocket>::default();
        let calls: Calls<UdpSocket> =
            (UdpSocket::recv_from, |socket, payload, remote| socket.send_to(payload, remote));
        let bound =
            all.bind(SocketId(1), (Ipv4Addr::LOCALHOST, 0).into(), Ok, calls).expect("it can be bound");
        let (peer, to) = peer(Ipv4Addr::LOCALHOST);
        all.send(SocketId(1), bound, to, Bytes::from_static(b"last"));
        all.unbind(SocketId(1));
        assert_eq!(peer.recv(&mut [0; 9]).ok(), Some(4));
        assert!(all.get(SocketId(1)).is_none());
    }

    /// While there is no room the newest are kept, and so many.
    #[test]
    fn what_finds_no_room_waits_and_leaves_in_order() {
        let calls: Calls<UdpSocket> = (UdpSocket::recv_from, |_, _, _| Err(E::WouldBlock.into()));
        let mut udp: Std =
            Udp::bind(SocketId(1), (Ipv4Addr::LOCALHOST, 0).into(), Ok, calls).expect("it can be bound");
        udp.full = true;
        let (_, to) = peer(Ipv4Addr::LOCALHOST);
        for n in 0..WAITING + 5 {
            udp.send(udp.bound, to, n.to_be_bytes().to_vec().into());
        }
        assert_eq!(udp.queued.len(), WAITING);
        assert_eq!(udp.queued[0].payload[..], 5_usize.to_be_bytes(), "the oldest are lost");
    }
}
