use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    time::{Duration, Instant},
};

/// Returns a loopback port that nobody uses, neither for UDP nor for TCP.
///
/// # Errors
///
/// What the system says if it has none.
pub fn free_port() -> io::Result<u16> {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = udp.local_addr()?.port();
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
}

/// A UDP peer that sends raw bytes and asks whether the other side is alive.
#[derive(Debug)]
pub struct Peer {
    socket: UdpSocket,
    server: SocketAddr,
    asked: u32,
}

impl Peer {
    /// Opens a socket for talking to a loopback port.
    ///
    /// # Errors
    ///
    /// What the system says if it cannot.
    pub fn new(port: u16) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Self { socket, server: (Ipv4Addr::LOCALHOST, port).into(), asked: 0 })
    }

    /// Sends one datagram.
    ///
    /// # Errors
    ///
    /// What the system says. A refusal that belongs to an earlier datagram is not reported.
    pub fn send(&self, payload: &[u8]) -> io::Result<()> {
        self.socket.send_to(payload, self.server).map(|_| ())
    }

    /// Sends an OPTIONS of its own transaction and returns the status code of its final response; resends each half second.
    ///
    /// # Errors
    ///
    /// `TimedOut` if none has come after `limit`, or what the system says.
    pub fn options(&mut self, limit: Duration) -> io::Result<u16> {
        self.asked += 1;
        let local = self.socket.local_addr()?;
        let mark = format!("{}-{}", local.port(), self.asked);
        let request = options(&local, &self.server, "UDP", &mark);
        let end = Instant::now() + limit;
        self.socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        let mut buffer = vec![0; 65_536];
        while Instant::now() < end {
            self.send(request.as_bytes())?;
            while let Ok((len, _)) = self.socket.recv_from(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..len]);
                if let Some(code) = final_status(&text).filter(|_| text.contains(&format!("live-{mark}"))) {
                    return Ok(code);
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no final response from {}", self.server)))
    }
}

/// Returns an OPTIONS (RFC 3261 §11.1) whose branch, tag and Call-ID hold `mark`.
pub(crate) fn options(local: &SocketAddr, server: &SocketAddr, proto: &str, mark: &str) -> String {
    format!(
        "OPTIONS sip:{server} SIP/2.0\r\n\
         Via: SIP/2.0/{proto} {local};branch=z9hG4bK-{mark};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:peer@{local}>;tag={mark}\r\n\
         To: <sip:{server}>\r\n\
         Call-ID: live-{mark}@127.0.0.1\r\n\
         CSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// Returns the code of a final response.
fn final_status(text: &str) -> Option<u16> {
    let code = text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()?;
    (200..700).contains(&code).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_final_responses_are_final() {
        assert_eq!(final_status("SIP/2.0 200 OK\r\n"), Some(200));
        assert_eq!(final_status("SIP/2.0 100 Trying\r\n"), None);
        assert_eq!(final_status("OPTIONS sip:a SIP/2.0\r\n"), None);
    }

    #[test]
    fn a_peer_hears_the_answer_to_its_own_question_only() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has ports");
        let mut peer =
            Peer::new(server.local_addr().expect("it is bound").port()).expect("loopback has ports");
        let asked = std::thread::spawn(move || peer.options(Duration::from_secs(20)));
        let mut buffer = [0; 2048];
        let (len, from) = server.recv_from(&mut buffer).expect("the question arrives");
        let request = String::from_utf8_lossy(&buffer[..len]).into_owned();
        let id = request.lines().find(|line| line.starts_with("Call-ID")).expect("it has a Call-ID");
        for answer in
            ["SIP/2.0 200 OK\r\nCall-ID: other\r\n\r\n".to_owned(), format!("SIP/2.0 404 No\r\n{id}\r\n\r\n")]
        {
            server.send_to(answer.as_bytes(), from).expect("the answer leaves");
        }
        assert_eq!(asked.join().expect("no panic").expect("an answer"), 404);
    }
}
