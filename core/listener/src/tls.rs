//! Encryption of connections. New connections get the certificate that is in force when they come; open ones keep theirs.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// What connections are encrypted with; nothing while there is none.
#[derive(Default)]
pub(crate) struct Tls(ArcSwapOption<ServerConfig>);

impl Tls {
    /// Takes a certificate chain and its key, as PEM, and the authorities of clients, who then need a certificate too.
    ///
    /// The text says what is wrong with them; what was in force before goes on.
    pub(crate) fn secure(&self, chain: &[u8], key: &[u8], clients: Option<&[u8]>) -> Result<(), String> {
        let chain = certificates(chain).map_err(|problem| format!("certificate: {problem}"))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|problem| format!("key: {problem}"))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(|problem| problem.to_string())?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in
                    certificates(authorities).map_err(|problem| format!("client authorities: {problem}"))?
                {
                    roots.add(authority).map_err(|problem| format!("client authorities: {problem}"))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().map_err(|problem| problem.to_string())?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|problem| format!("certificate: {problem}"))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        self.0.store(Some(Arc::new(config)));
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.0.load_full().map(TlsAcceptor::from)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err("no certificate in it".to_owned()),
        Ok(found) => Ok(found),
        Err(problem) => Err(problem.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused_and_changes_nothing() {
        let tls = Tls::default();
        for (chain, key) in
            [(&b""[..], &b""[..]), (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"")]
        {
            assert!(tls.secure(chain, key, None).is_err());
            assert!(tls.acceptor().is_none());
        }
    }
}
