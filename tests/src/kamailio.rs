use std::{env, fs, io, path::Path, path::PathBuf, process::Command, time::Duration};

use crate::{Process, free_port, require_tool};

/// A running Kamailio that forwards, with Record-Route, what comes over UDP, TLS or WebSocket to a next hop.
#[derive(Debug)]
pub struct Kamailio {
    process: Process,
    folder: PathBuf,
    ports: Ports,
}

/// Where it listens on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Datagrams.
    pub udp: u16,
    /// TLS.
    pub tls: u16,
    /// WebSocket.
    pub ws: u16,
}

/// The files of its side of TLS.
#[derive(Clone, Copy, Debug)]
pub struct TlsFiles<'a> {
    /// Its certificate.
    pub certificate: &'a Path,
    /// Its private key.
    pub key: &'a Path,
    /// Whom it believes where it is the client.
    pub authorities: &'a Path,
}

/// How long it may take to load its modules.
const PATIENCE: Duration = Duration::from_secs(20);

impl Kamailio {
    /// Starts a proxy in front of `next`, a SIP URI; `None`, recorded as a skip, where it is not installed.
    ///
    /// # Errors
    ///
    /// What the system says if it cannot be started, or what it printed instead of listening.
    pub fn start(test: &str, next: &str, files: TlsFiles<'_>) -> io::Result<Option<Self>> {
        let Some(tool) = require_tool("kamailio", test) else { return Ok(None) };
        let ports = Ports { udp: free_port()?, tls: free_port()?, ws: free_port()? };
        let folder = env::temp_dir().join(format!("sansip-kamailio-{}-{}", std::process::id(), ports.udp));
        fs::create_dir_all(&folder)?;
        let tls = folder.join("tls.cfg");
        let written = include_str!("../kamailio/tls.cfg")
            .replace("KEY_FILE", &files.key.display().to_string())
            .replace("CERT_FILE", &files.certificate.display().to_string())
            .replace("CA_FILE", &files.authorities.display().to_string());
        fs::write(&tls, written)?;
        let written = include_str!("../kamailio/proxy.cfg")
            .replace("UDP_PORT", &ports.udp.to_string())
            .replace("TLS_PORT", &ports.tls.to_string())
            .replace("WS_PORT", &ports.ws.to_string())
            .replace("TLS_CONFIG", &tls.display().to_string())
            .replace("NEXT", next);
        let config = folder.join("proxy.cfg");
        fs::write(&config, written)?;
        let mut command = Command::new(tool);
        // In the foreground, with its sockets for commands in a folder of its own.
        command.args(["-DD", "-E", "-m", "64", "-f"]).arg(&config).arg("-Y").arg(&folder);
        let process = Process::start(&mut command)?;
        // Its sockets are open before its processes run, the first of which prints this.
        process.wait_for(PATIENCE, |text| text.contains("proxy is ready"))?;
        Ok(Some(Self { process, folder, ports }))
    }

    /// Returns where it listens.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Returns what it has printed so far.
    pub fn printed(&self) -> String {
        self.process.printed()
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // Its children end with it; without this they would outlive a kill.
        drop(self.process.interrupt());
        drop(self.process.wait_for(PATIENCE, |_| false));
        drop(fs::remove_dir_all(&self.folder));
    }
}
