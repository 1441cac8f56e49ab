//! TLS for our listeners: 1.2 and 1.3 by rustls on ring, certificates from files that are read again when they change.
//!
//! What must hold: files that are unreadable, half written, or don't fit one another change nothing; the certificates in use
//! stay until whole ones are there. A connection keeps what it began with. The key's bytes are wiped as far as rustls lets
//! us. Limit: files are looked at every [`LOOK_EVERY`]; [`Certificates::reload`] does it at once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::config;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why there are no certificates to show.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("{path}: can't be read: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{path}: not PEM: {error}")]
    Pem { path: PathBuf, error: pem::Error },
    #[error("{path}: no certificate in it")]
    Empty { path: PathBuf },
    #[error("certificates and key don't make a TLS server: {0}")]
    Unfit(#[from] tokio_rustls::rustls::Error),
}

/// What became of a look at the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    Unchanged,
    Renewed,
}

/// The certificates that are shown now, and the files they come from.
pub struct Certificates {
    files: config::Tls,
    acceptor: RwLock<TlsAcceptor>,
    seen: Mutex<Seen>,
}

/// When the two files were last changed, and how long they were.
type Seen = [Option<(SystemTime, u64)>; 2];

impl Certificates {
    pub fn load(files: &config::Tls) -> Result<Self, TlsError> {
        let seen = look(files);
        let acceptor = RwLock::new(acceptor(files)?);
        Ok(Self { files: files.clone(), acceptor, seen: Mutex::new(seen) })
    }

    /// Reads the files again if they have changed. With an error the former certificates stay.
    pub fn reload(&self) -> Result<Reload, TlsError> {
        let seen = look(&self.files);
        if *self.seen.lock().unwrap_or_else(PoisonError::into_inner) == seen {
            return Ok(Reload::Unchanged);
        }
        let fresh = acceptor(&self.files)?;
        *self.acceptor.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        Ok(Reload::Renewed)
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Looks at the files again and again.
pub(super) async fn watch(certificates: Arc<Certificates>) {
    loop {
        sleep(LOOK_EVERY).await;
        match certificates.reload() {
            Ok(Reload::Unchanged) => {}
            Ok(Reload::Renewed) => {
                tracing::info!(file = %certificates.files.certificates.display(), "certificates read again")
            }
            Err(error) => tracing::warn!(%error, "certificates changed and are of no use; the former ones stay"),
        }
    }
}

fn look(files: &config::Tls) -> Seen {
    [&files.certificates, &files.key].map(|path| {
        let known = fs::metadata(path).ok()?;
        Some((known.modified().ok()?, known.len()))
    })
}

fn acceptor(files: &config::Tls) -> Result<TlsAcceptor, TlsError> {
    let pem = read(&files.certificates)?;
    let not_pem = |path: &Path| {
        let path = path.to_owned();
        move |error| TlsError::Pem { path, error }
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(not_pem(&files.certificates))?;
    if chain.is_empty() {
        return Err(TlsError::Empty { path: files.certificates.clone() });
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(not_pem(&files.key))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    fs::read(path).map(Zeroizing::new).map_err(|error| TlsError::Unreadable { path: path.to_owned(), error })
}
