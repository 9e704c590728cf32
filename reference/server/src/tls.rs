//! TLS on the clients' address: certificate and key from files, read again when they change. Spec 11.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Deserialize;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tracing::{error, info};

use crate::watch::{POLL, Stamp, stamp};

/// Where certificate and key are. Both are read again when one changes; open connections stay.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate and those that lead to its root, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

impl TlsConfig {
    fn stamps(&self) -> [Option<Stamp>; 2] {
        [&self.certificate, &self.key].map(|path| stamp(path))
    }

    /// The certificate with its key.
    ///
    /// # Errors
    /// Which file cannot be used, and why; never what is in it.
    fn read(&self) -> Result<Arc<CertifiedKey>, String> {
        let chain = CertificateDer::pem_file_iter(&self.certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.map_err(|error| format!("{}: no certificate in PEM: {error}", self.certificate.display()))?;
        if chain.is_empty() {
            return Err(format!("{}: no certificate in PEM", self.certificate.display()));
        }
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|error| format!("{}: no private key in PEM: {error}", self.key.display()))?;
        let certified = CertifiedKey::from_der(chain, key, &default_provider());
        let certified = certified.map_err(|error| format!("{} and {}: {error}", self.certificate.display(), self.key.display()))?;
        Ok(Arc::new(certified))
    }
}

/// The certificate of the connections to come.
pub(crate) struct Tls {
    files: TlsConfig,
    current: Arc<Current>,
    seen: [Option<Stamp>; 2],
}

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Whoever set it could not leave it half set.
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Tls {
    /// Reads the files for the first time.
    pub fn new(files: TlsConfig) -> Result<Self, String> {
        let seen = files.stamps();
        let current = Arc::new(Current(RwLock::new(files.read()?)));
        Ok(Self { files, current, seen })
    }

    /// Reads the files again when they change, for ever; where they cannot be used, things stay as they are.
    pub async fn watch(mut self) {
        loop {
            tokio::time::sleep(POLL).await;
            let stamps = self.files.stamps();
            if stamps == self.seen {
                continue;
            }
            self.seen = stamps;
            match self.files.read() {
                Ok(read) => {
                    *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = read;
                    info!("read the certificate again");
                }
                Err(fault) => error!(%fault, "cannot read the certificate again; the one before is still shown"),
            }
        }
    }

    /// What takes connections.
    pub fn acceptor(&self) -> Result<TlsAcceptor, String> {
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
        let config = config.map_err(|error| error.to_string())?;
        let mut config = config.with_no_client_auth().with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
