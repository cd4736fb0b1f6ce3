use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{RootCertStore, crypto::ring, time_provider::DefaultTimeProvider};
use sansip::wire::{BadPath, Certificate, CertificateError, ClientCertificates, Tls, WebSocket, trust_pem};
use serde::Deserialize;
use thiserror::Error;
use tracing::debug;

/// The files that TLS is done with, and how strict it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) clients: Clients,
    pub(crate) insecure: bool,
}

/// What is served over WebSocket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) paths: Vec<String>,
    pub(crate) origins: Vec<String>,
}

/// The options of the commands that call others.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ClientArgs {
    /// Trust the certificates in this file to vouch for servers, instead of those that the system trusts
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Show this certificate to servers that ask for one, and to peers that open a connection back to hang up, with --tls-key
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of that certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Accept any certificate of any server: whoever is in between can read and change all
    #[arg(long)]
    tls_insecure: bool,
    /// The path to ask WebSocket servers for
    #[arg(long, value_name = "PATH", default_value = "/")]
    ws_path: String,
}

impl ClientArgs {
    /// Tells whether there is a certificate to show.
    pub(crate) const fn has_certificate(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// Reads the files.
    pub(crate) fn load(&self) -> Result<Secure, SecureError> {
        let files = TlsFiles {
            certificate: self.tls_cert.clone(),
            key: self.tls_key.clone(),
            ca: self.tls_ca.clone(),
            clients: Clients::Ignored,
            insecure: self.tls_insecure,
        };
        Ok(Secure { tls: files.load()?, websocket: WebSocket::new().target(&self.ws_path)? })
    }
}

/// What the stages of TLS and WebSocket around an endpoint need.
#[derive(Clone, Debug)]
pub(crate) struct Secure {
    pub(crate) tls: Tls,
    pub(crate) websocket: WebSocket,
}

/// What a server wants to know of its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Clients {
    /// No certificate is asked for
    #[default]
    Ignored,
    /// One that is shown has to be valid
    Optional,
    /// Each has to show a valid one
    Required,
}

impl fmt::Display for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ignored => "ignored",
            Self::Optional => "optional",
            Self::Required => "required",
        })
    }
}

/// Why TLS or WebSocket cannot be set up.
#[derive(Debug, Error)]
pub(crate) enum SecureError {
    #[error("cannot read {path}: {error}")]
    Unreadable { path: String, error: io::Error },
    #[error("{path}: {error}")]
    Content { path: String, error: CertificateError },
    #[error(
        "a certificate needs its private key: give both, --tls-cert FILE and --tls-key FILE, or certificate and key in [tls]"
    )]
    Half,
    #[error(
        "{0} needs a certificate: give --tls-cert FILE and --tls-key FILE, or certificate and key in [tls]"
    )]
    NoCertificate(String),
    #[error(
        "client certificates can only be judged by those who vouch for them: give --tls-ca FILE, or ca in [tls]"
    )]
    NoAuthority,
    #[error(transparent)]
    Setup(CertificateError),
    #[error(transparent)]
    Path(#[from] BadPath),
}

impl TlsFiles {
    /// Reads the files.
    pub(crate) fn load(&self) -> Result<Tls, SecureError> {
        let provider = Arc::new(ring::default_provider());
        let certificates = match (&self.certificate, &self.key) {
            (Some(chain), Some(key)) => {
                let (chain_text, key_text) = (read(chain)?, read(key)?);
                let own = Certificate::from_pem(&chain_text, &key_text, &provider);
                let own =
                    own.map_err(|error| content(if error.is_about_key() { key } else { chain }, error))?;
                vec![own]
            }
            (None, None) => Vec::new(),
            _ => return Err(SecureError::Half),
        };
        let roots = match &self.ca {
            Some(path) => trust_pem(&read(path)?).map_err(|error| content(path, error))?,
            None if self.clients != Clients::Ignored => return Err(SecureError::NoAuthority),
            None => trusted_by_the_system(),
        };
        let clients = match self.clients {
            Clients::Ignored => ClientCertificates::Ignored,
            Clients::Optional => ClientCertificates::Optional,
            Clients::Required => ClientCertificates::Required,
        };
        let tls = Tls::new(provider, Arc::new(DefaultTimeProvider));
        let tls = tls.certificates(certificates).roots(roots).clients(clients);
        Ok(if self.insecure { tls.dangerously_accept_any_server() } else { tls })
    }

    /// Tells whether a server can begin with them.
    pub(crate) const fn has_certificate(&self) -> bool {
        self.certificate.is_some()
    }
}

impl Served {
    /// Checks the paths.
    pub(crate) fn load(&self) -> Result<WebSocket, SecureError> {
        let mut websocket = WebSocket::new();
        for path in &self.paths {
            websocket = websocket.serve_path(path)?;
        }
        Ok(self.origins.iter().fold(websocket, |websocket, origin| websocket.serve_origin(origin)))
    }
}

/// Returns the certificates that the system trusts; what it has that is none is left out.
fn trusted_by_the_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        debug!("of the certificates that the system trusts: {error}");
    }
    let (_, _unusable) = roots.add_parsable_certificates(found.certs);
    roots
}

fn read(path: &Path) -> Result<Vec<u8>, SecureError> {
    fs::read(path).map_err(|error| SecureError::Unreadable { path: path.display().to_string(), error })
}

fn content(path: &Path, error: CertificateError) -> SecureError {
    SecureError::Content { path: path.display().to_string(), error }
}
