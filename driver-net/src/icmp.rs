use std::{io, net::SocketAddr};

use sansip::Unreachable;

/// Sends a datagram with `send`, and returns why it cannot be delivered, if that is known at once.
///
/// Where complaints are kept, a call may fail for one about a datagram before; it does so once, so a second try tells.
///
/// # Errors
///
/// [`WouldBlock`](io::ErrorKind::WouldBlock) if it has to wait.
pub(crate) fn transmit(send: impl Fn() -> io::Result<usize>) -> io::Result<Option<Unreachable>> {
    match send().or_else(|_| send()) {
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
        // The queue of the network's card was full: it is lost as on any other hop.
        Err(error) if error.raw_os_error() == Some(system::ENOBUFS) => Ok(None),
        Err(error) => Ok(Some(Unreachable::from(&error))),
    }
}

/// Takes off a socket what the network said of one datagram sent before, and where that one went.
///
/// It answers `None` when there is nothing more, always where the system is not Linux.
pub(crate) fn complaint(socket: &impl system::Socket) -> Option<(SocketAddr, Unreachable)> {
    // One that only ages has no say.
    (0..KEPT).map_while(|_| system::next(socket)).find_map(|(remote, why)| Some((remote, why?)))
}

pub(crate) use system::{Socket, keep};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    pub(crate) use std::os::fd::AsRawFd as Socket;
    use std::{io, net::SocketAddr};

    pub(super) use nix::libc::ENOBUFS;
    use nix::{
        cmsg_space,
        libc::{SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6},
        sys::socket::{
            ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt,
            sockopt::{Ipv4RecvErr, Ipv6RecvErr},
        },
    };
    use sansip::Unreachable;

    pub(crate) fn keep(socket: &socket2::Socket, v6: bool) -> io::Result<()> {
        let kept =
            if v6 { setsockopt(socket, Ipv6RecvErr, &true) } else { setsockopt(socket, Ipv4RecvErr, &true) };
        Ok(kept?)
    }

    pub(super) fn next(socket: &impl Socket) -> Option<(SocketAddr, Option<Unreachable>)> {
        let mut space = cmsg_space!([u8; 128]);
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let read = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut [], Some(&mut space), flags).ok()?;
        let to = read.address?;
        let v4 = to.as_sockaddr_in().map(|to| SocketAddr::V4((*to).into()));
        let remote = v4.or_else(|| to.as_sockaddr_in6().map(|to| SocketAddr::V6((*to).into())))?;
        let why = read.cmsgs().ok()?.find_map(|word| match word {
            ControlMessageOwned::Ipv4RecvErr(word, _) if word.ee_origin == SO_EE_ORIGIN_ICMP => {
                meaning(word.ee_type, word.ee_code)
            }
            ControlMessageOwned::Ipv6RecvErr(word, _) if word.ee_origin == SO_EE_ORIGIN_ICMP6 => {
                meaning_v6(word.ee_type)
            }
            // What the kernel says by itself was the outcome of the call already.
            _ => None,
        });
        Some((remote, why))
    }

    /// Tells what an ICMP message means for the user of the transport, if anything (RFC 3261 §18.4, RFC 792).
    pub(super) fn meaning(kind: u8, code: u8) -> Option<Unreachable> {
        match (kind, code) {
            // Fragmentation needed.
            (3, 4) => Some(Unreachable::TooBig),
            // Destination unreachable, parameter problem.
            (3 | 12, _) => Some(Unreachable::Icmp),
            // Source quench and time exceeded are to be ignored.
            _ => None,
        }
    }

    /// Tells the same of an ICMPv6 message (RFC 4443).
    pub(super) fn meaning_v6(kind: u8) -> Option<Unreachable> {
        match kind {
            // Packet too big.
            2 => Some(Unreachable::TooBig),
            // Destination unreachable, parameter problem.
            1 | 4 => Some(Unreachable::Icmp),
            _ => None,
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use std::{io, net::SocketAddr};

    use sansip::Unreachable;

    pub(super) const ENOBUFS: i32 = if cfg!(windows) { 10_055 } else { 55 };

    pub trait Socket {}
    impl<S> Socket for S {}

    pub(crate) fn keep(_: &socket2::Socket, _: bool) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn next(_: &impl Socket) -> Option<(SocketAddr, Option<Unreachable>)> {
        None
    }
}

/// Complaints read before the next: more than that of those without a say wait for the socket's next turn.
const KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use std::{cell::Cell, net::UdpSocket, time::Instant};

    use super::*;

    /// TP-13.
    #[test]
    #[cfg(target_os = "linux")]
    fn what_icmp_says_is_an_error_ignored_or_a_matter_of_size() {
        use super::system::{meaning, meaning_v6};
        use Unreachable::{Icmp, TooBig};
        for code in [0, 1, 2, 3, 13] {
            assert_eq!(meaning(3, code), Some(Icmp), "unreachable, {code}");
        }
        assert_eq!((meaning(3, 4), meaning(12, 0)), (Some(TooBig), Some(Icmp)));
        assert_eq!((meaning(4, 0), meaning(11, 0)), (None, None), "source quench, time exceeded");
        assert_eq!([1, 2, 3, 4].map(meaning_v6), [Some(Icmp), Some(TooBig), None, Some(Icmp)]);
    }

    #[test]
    fn the_error_of_another_datagram_is_not_taken_for_ones_own() {
        let told = Cell::new(false);
        let pending =
            || if told.replace(true) { Ok(1) } else { Err(io::ErrorKind::ConnectionRefused.into()) };
        assert_eq!(transmit(pending).ok(), Some(None));
        let full = || Err(io::ErrorKind::WouldBlock.into());
        assert_eq!(transmit(full).map_err(|error| error.kind()), Err(io::ErrorKind::WouldBlock));
        let queue = || Err(io::Error::from_raw_os_error(system::ENOBUFS));
        assert_eq!(transmit(queue).ok(), Some(None), "lost, not unreachable");
        let own = || Err(io::ErrorKind::NetworkUnreachable.into());
        assert_eq!(transmit(own).ok(), Some(Some(Unreachable::Icmp)));
    }

    /// TP-13.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_closed_port_is_told_with_its_address_and_the_socket_goes_on() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let any: SocketAddr = any.parse().expect("it is an address");
            let open = || UdpSocket::bind(any).expect("loopback can be bound");
            let (dead, alive) = (open(), open());
            let addr = |socket: &UdpSocket| socket.local_addr().expect("it is bound");
            let (nobody, somebody) = (addr(&dead), addr(&alive));
            drop(dead);
            let socket = crate::socket::udp(any).expect("loopback can be bound");
            let send = |to| transmit(|| socket.send_to(b"x", to)).expect("there is room");
            assert_eq!(send(nobody), None);
            let deadline = Instant::now() + std::time::Duration::from_secs(10);
            let told = loop {
                if let Some(told) = complaint(&socket) {
                    break told;
                }
                assert!(Instant::now() < deadline, "nothing was told");
                std::thread::yield_now();
            };
            assert_eq!(told, (nobody, Unreachable::Icmp));
            // An error that is pending concerns neither what is sent next nor who gets it.
            assert_eq!((send(nobody), send(somebody)), (None, None));
            alive.recv_from(&mut [0; 9]).expect("the socket goes on working");
            // Longer than a datagram can be: the call says so, and once.
            assert_eq!(
                transmit(|| socket.send_to(&[0; 65_530], somebody)).ok(),
                Some(Some(Unreachable::TooBig))
            );
            let told: Vec<_> = std::iter::from_fn(|| complaint(&socket)).collect();
            assert_eq!(told, [(nobody, Unreachable::Icmp)]);
        }
    }
}
