use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage, RequiredEkuNotFoundContext,
};

use crate::wire::certificate::names;

/// Decides whether a peer's certificate is accepted (RFC 5922 §7).
#[derive(Debug)]
pub(super) struct Verifier {
    roots: Arc<RootCertStore>,
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
    /// Whether a client without a certificate is turned away.
    required: bool,
    /// Whether any certificate of a server will do.
    any_server: bool,
}

impl Verifier {
    pub(super) fn of_servers(
        roots: Arc<RootCertStore>,
        algorithms: WebPkiSupportedAlgorithms,
        any: bool,
    ) -> Self {
        Self { roots, hints: Vec::new(), algorithms, required: false, any_server: any }
    }

    pub(super) fn of_clients(
        roots: Arc<RootCertStore>,
        algorithms: WebPkiSupportedAlgorithms,
        required: bool,
    ) -> Self {
        Self { hints: roots.subjects(), roots, algorithms, required, any_server: false }
    }

    /// Checks that somebody trusted vouches for a certificate, now, and for this use.
    fn chain(
        &self,
        certificate: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: Usage,
    ) -> Result<(), Error> {
        let (algorithms, roots) = (self.algorithms.all, &self.roots.roots);
        let verified = certificate.verify_for_usage(algorithms, roots, intermediates, now, usage, None, None);
        verified.map(|_| ()).map_err(refusal)
    }
}

/// How signatures are checked: both traits ask it in the same words.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, cert, dss, &self.algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, dss, &self.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.any_server {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = EndEntityCert::try_from(end_entity).map_err(refusal)?;
        self.chain(&certificate, intermediates, now, Usage::Server)?;
        let presented = names(end_entity).map_err(refusal)?;
        // RFC 5922 §7.2: whole names, in any case, no wildcards.
        let text = server_name.to_str();
        let named = presented.iter().any(|name| name.as_str().eq_ignore_ascii_case(&text));
        let proved = named
            || match server_name {
                // RFC 5922 knows domains only; an address is proved as RFC 5280 §4.2.1.6 has it.
                ServerName::IpAddress(_) => certificate.verify_is_valid_for_subject_name(server_name).is_ok(),
                _ => false,
            };
        if proved {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            expected: server_name.to_owned(),
            presented: presented.iter().map(ToString::to_string).collect(),
        }))
    }

    signatures!();
}

/// RFC 5922 §7.4: whom a client's certificate names is for the application to judge.
impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let certificate = EndEntityCert::try_from(end_entity).map_err(refusal)?;
        self.chain(&certificate, intermediates, now, Usage::Client)?;
        Ok(ClientCertVerified::assertion())
    }

    signatures!();
}

/// What a certificate has to be meant for, if it says what it is meant for.
///
/// RFC 5924 §5 would refuse one for TLS servers alone, which is what most have: those are accepted.
#[derive(Clone, Copy, Debug)]
enum Usage {
    Server,
    Client,
}

impl ExtendedKeyUsageValidator for Usage {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let own: &[usize] = match self {
            Self::Server => &SERVER_AUTH,
            Self::Client => &CLIENT_AUTH,
        };
        let mut present = Vec::new();
        for purpose in purposes {
            let purpose = purpose?.to_decoded_oid();
            if [own, &SIP_DOMAIN, &ANY_PURPOSE].contains(&purpose.as_slice()) {
                return Ok(());
            }
            present.push(purpose);
        }
        if present.is_empty() {
            return Ok(());
        }
        let required = KeyUsage::required(SIP_DOMAIN_DER);
        Err(webpki::Error::RequiredEkuNotFoundContext(RequiredEkuNotFoundContext { required, present }))
    }
}

const SERVER_AUTH: [usize; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: [usize; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 2];
const SIP_DOMAIN: [usize; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 20];
const SIP_DOMAIN_DER: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 20];
const ANY_PURPOSE: [usize; 5] = [2, 5, 29, 37, 0];

/// Says it in the words that the peer's alert is chosen by.
fn refusal(error: webpki::Error) -> Error {
    use webpki::Error as E;
    let refusal = match error {
        E::BadDer | E::BadDerTime | E::TrailingData(_) => CertificateError::BadEncoding,
        E::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        E::CertNotValidYet { time, not_before } => CertificateError::NotValidYetContext { time, not_before },
        E::UnknownIssuer => CertificateError::UnknownIssuer,
        E::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        E::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        error => CertificateError::Other(OtherError(Arc::new(error))),
    };
    Error::InvalidCertificate(refusal)
}
