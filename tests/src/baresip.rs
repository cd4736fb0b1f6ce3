use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{Process, TlsFiles, free_port, require_tool};

/// A running baresip, a phone that answers each call and speaks TLS, on one loopback address.
#[derive(Debug)]
pub struct Baresip {
    process: Process,
    folder: PathBuf,
    tls: SocketAddr,
    control: SocketAddr,
}

/// How long it may take to start, and to take a command.
const PATIENCE: Duration = Duration::from_secs(20);

impl Baresip {
    /// Starts one; `None`, recorded as a skip, where it is not installed.
    ///
    /// # Errors
    ///
    /// What the system says if it cannot be started, or what it printed instead of being ready.
    pub fn start(test: &str, address: IpAddr, files: TlsFiles<'_>) -> io::Result<Option<Self>> {
        let Some(tool) = require_tool("baresip", test) else { return Ok(None) };
        // Its ports may be taken before it opens them; then it ends.
        for _ in 0..3 {
            match Self::start_once(&tool, address, files) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                started => return started.map(Some),
            }
        }
        Self::start_once(&tool, address, files).map(Some)
    }

    fn start_once(tool: &Path, address: IpAddr, files: TlsFiles<'_>) -> io::Result<Self> {
        // It takes the first one for UDP and TCP, and the one after it for TLS.
        let first = two_ports(address)?;
        let tls = SocketAddr::new(address, first.port() + 1);
        let control = SocketAddr::new(address, free_port()?);
        let folder =
            std::env::temp_dir().join(format!("sansip-baresip-{}-{}", std::process::id(), first.port()));
        fs::create_dir_all(&folder)?;
        // Where its package puts them: without a path it looks in the folder it runs in.
        let modules = tool.with_file_name("../lib/baresip/modules");
        let own = folder.join("own.pem");
        fs::write(&own, [fs::read(files.key)?, fs::read(files.certificate)?].concat())?;
        let config = format!(
            "sip_listen {first}\nsip_certificate {own}\nsip_cafile {ca}\nnet_interface {address}\n\
             audio_player aubridge,nil\naudio_source aubridge,nil\naudio_alert aubridge,nil\n\
             module_path {modules}\nmodule g711.so\nmodule aubridge.so\nmodule_tmp account.so\nmodule_app menu.so\n\
             module_app ctrl_tcp.so\nctrl_tcp_listen {control}\n",
            own = own.display(),
            modules = modules.display(),
            ca = files.authorities.display(),
        );
        fs::write(folder.join("config"), config)?;
        fs::write(
            folder.join("accounts"),
            format!("<sip:bob@{tls};transport=tls>;regint=0;answermode=auto\n"),
        )?;
        fs::write(folder.join("contacts"), "")?;
        let mut command = Command::new(tool);
        command.arg(if address.is_ipv4() { "-4" } else { "-6" }).arg("-s").arg("-f").arg(&folder);
        let process = Process::start(&mut command)?;
        process.wait_for(PATIENCE, |text| text.contains("baresip is ready"))?;
        Ok(Self { process, folder, tls, control })
    }

    /// Returns where it listens for TLS.
    pub const fn at(&self) -> SocketAddr {
        self.tls
    }

    /// Returns the URI at which it is called over TLS.
    pub fn uri(&self) -> String {
        format!("sip:bob@{};transport=tls", self.tls)
    }

    /// Has it call somebody over TLS.
    ///
    /// # Errors
    ///
    /// What the system says, or what baresip answered instead.
    pub fn dial(&self, server: SocketAddr) -> io::Result<()> {
        self.command("dial", &format!("sip:alice@{server}"))
    }

    /// Has it hang up.
    ///
    /// # Errors
    ///
    /// As [`dial`](Self::dial).
    pub fn hang_up(&self) -> io::Result<()> {
        self.command("hangup", "")
    }

    /// Waits until what it has printed, messages among it, is as wanted.
    ///
    /// # Errors
    ///
    /// `TimedOut` with what it printed if that has not come.
    pub fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> io::Result<String> {
        self.process.wait_for(PATIENCE, wanted)
    }

    /// Commands and answers are JSON in netstrings; events come between them.
    fn command(&self, command: &str, params: &str) -> io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&self.control, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let json = format!("{{\"command\":\"{command}\",\"params\":\"{params}\",\"token\":\"t\"}}");
        stream.write_all(format!("{}:{json},", json.len()).as_bytes())?;
        let (mut said, mut chunk) = (String::new(), [0; 4096]);
        while !said.contains("\"response\":true") {
            match stream.read(&mut chunk)? {
                0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, said)),
                len => said.push_str(&String::from_utf8_lossy(&chunk[..len])),
            }
        }
        if said.contains("\"ok\":true") { Ok(()) } else { Err(io::Error::other(said)) }
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        // A folder left behind harms nobody.
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Returns a port that nobody uses, before another one.
fn two_ports(address: IpAddr) -> io::Result<SocketAddr> {
    for _ in 0..100 {
        let port = free_port()?;
        let Some(next) = port.checked_add(1) else { continue };
        if [port, next].iter().all(|port| TcpListener::bind((address, *port)).is_ok()) {
            return Ok(SocketAddr::new(address, port));
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}
