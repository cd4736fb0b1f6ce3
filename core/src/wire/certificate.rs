use std::{fmt, sync::Arc};

use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    sign::CertifiedKey,
};
use thiserror::Error;

use crate::transport::DnsName;

/// A certificate with those that vouch for it, and its key.
#[derive(Clone)]
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    names: Vec<DnsName>,
}

/// Why a certificate or a key cannot be used.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// There is no certificate where one is expected.
    #[error("there is no certificate in it: PEM text with BEGIN CERTIFICATE is expected")]
    NoCertificate,
    /// A certificate is no readable text.
    #[error("the certificate cannot be read: {0}")]
    CertificateText(Box<str>),
    /// A certificate is not made as it should be.
    #[error("the certificate is malformed: {0}")]
    Malformed(Box<str>),
    /// There is no key where one is expected.
    #[error("there is no private key in it: PEM text with BEGIN PRIVATE KEY is expected")]
    NoKey,
    /// The key is protected by a passphrase.
    #[error("the private key is encrypted: store it without a passphrase")]
    EncryptedKey,
    /// A key is no readable text.
    #[error("the private key cannot be read: {0}")]
    KeyText(Box<str>),
    /// The kind of key is not known.
    #[error("the private key cannot be used: {0}")]
    Key(Box<str>),
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
    /// The provider of cryptography does not do what TLS needs.
    #[error("TLS cannot be set up: {0}")]
    Setup(Box<str>),
}

impl CertificateError {
    /// Tells whether it is the key that is wrong, and not the certificate.
    pub const fn is_about_key(&self) -> bool {
        match self {
            Self::NoKey | Self::EncryptedKey | Self::KeyText(_) | Self::Key(_) | Self::Mismatch => true,
            Self::NoCertificate | Self::CertificateText(_) | Self::Malformed(_) | Self::Setup(_) => false,
        }
    }
}

impl Certificate {
    /// Reads a certificate, followed by those that vouch for it, and its key from PEM texts.
    pub fn from_pem(chain: &[u8], key: &[u8], provider: &CryptoProvider) -> Result<Self, CertificateError> {
        let chain = certificates(chain)?;
        let first = chain.first().ok_or(CertificateError::NoCertificate)?;
        let names = names(first).map_err(|error| CertificateError::Malformed(text(error)))?;
        let key = match PrivateKeyDer::from_pem_slice(key) {
            Ok(key) => key,
            // In its label, or in the header fields of RFC 1421 in front of it.
            Err(_) if memchr::memmem::find(key, b"ENCRYPTED").is_some() => {
                return Err(CertificateError::EncryptedKey);
            }
            Err(pem::Error::NoItemsFound) => return Err(CertificateError::NoKey),
            Err(error) => return Err(CertificateError::KeyText(text(error))),
        };
        let key = provider.key_provider.load_private_key(key);
        let key = key.map_err(|error| CertificateError::Key(text(error)))?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(_) => return Err(CertificateError::Mismatch),
        }
        Ok(Self { key: Arc::new(key), names })
    }

    /// Returns the SIP domains and hosts that it proves (RFC 5922 §7.1).
    pub fn names(&self) -> &[DnsName] {
        &self.names
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("names", &self.names).finish_non_exhaustive()
    }
}

/// Reads the certificates of those that are trusted to vouch for others from a PEM text.
pub fn trust_pem(pem: &[u8]) -> Result<RootCertStore, CertificateError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| CertificateError::Malformed(text(error)))?;
    }
    if roots.is_empty() { Err(CertificateError::NoCertificate) } else { Ok(roots) }
}

/// Returns the SIP domain identities of a certificate (RFC 5922 §7.1): the hosts of its SIP URIs or, if there are none, its
/// DNS names. The common name, which RFC 5922 lets one use, is not looked at.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Result<Vec<DnsName>, webpki::Error> {
    let certificate = webpki::EndEntityCert::try_from(certificate)?;
    let mut uris = certificate.valid_uri_names().filter_map(host_of_sip_uri).peekable();
    if uris.peek().is_some() {
        return Ok(uris.filter_map(|host| host.parse().ok()).collect());
    }
    // A wildcard is no domain name here, and so matches nothing (RFC 5922 §7.2).
    Ok(certificate.valid_dns_names().filter_map(|name| name.parse().ok()).collect())
}

/// Returns the host of a SIP URI without a user; no other URI names a domain.
fn host_of_sip_uri(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("sip") || rest.contains('@') {
        return None;
    }
    rest.split([':', ';', '?']).next()
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    read.map_err(|error| CertificateError::CertificateText(text(error)))
}

fn text(error: impl fmt::Display) -> Box<str> {
    error.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5922 §7.1.
    #[test]
    fn a_sip_uri_without_a_user_names_a_domain() {
        for (uri, host) in [
            ("sip:example.com", Some("example.com")),
            ("SIP:example.com:5061;transport=tls", Some("example.com")),
            ("sip:alice@example.com", None),
            ("sips:example.com", None),
            ("https:example.com", None),
            ("example.com", None),
        ] {
            assert_eq!(host_of_sip_uri(uri), host, "{uri}");
        }
    }
}
