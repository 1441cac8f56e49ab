//! A connection to Missive's API, made whole before a request is begun: TCP, TLS on ring, HTTP/1.1.
//!
//! Trust: the built-in roots, or only the certificates of `ca_file` where the config names one.

use std::io;
use std::path::Path;
use std::sync::Arc;

use http_body_util::Full;
use hyper::Uri;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::ClientError;

/// Makes connections to one host.
pub(super) struct Connector {
    host: Box<str>,
    port: u16,
    security: Security,
}

enum Security {
    Tls(TlsConnector, ServerName<'static>),
    Plain,
}

impl Connector {
    pub(super) fn new(url: &Uri, ca_file: Option<&Path>) -> Result<Self, ClientError> {
        let host = url.host().ok_or(ClientError::Url)?.trim_matches(['[', ']']);
        let (port, security) = match url.scheme_str() {
            Some("https") => (443, tls(host, ca_file)?),
            Some("http") => (80, Security::Plain),
            Some(_) | None => return Err(ClientError::Url),
        };
        Ok(Self { host: host.into(), port: url.port_u16().unwrap_or(port), security })
    }

    pub(super) async fn connect(&self) -> io::Result<SendRequest<Full<Bytes>>> {
        let tcp = TcpStream::connect((self.host.as_ref(), self.port)).await?;
        tcp.set_nodelay(true)?;
        match &self.security {
            Security::Tls(connector, name) => begin(connector.connect(name.clone(), tcp).await?).await,
            Security::Plain => begin(tcp).await,
        }
    }
}

/// The connection lives in a task of its own, which ends with the sender or the peer.
async fn begin<S>(stream: S) -> io::Result<SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    sender.ready().await.map_err(io::Error::other)?;
    Ok(sender)
}

fn tls(host: &str, ca_file: Option<&Path>) -> Result<Security, ClientError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| ClientError::Url)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca_file)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Security::Tls(TlsConnector::from(Arc::new(config)), name))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, ClientError> {
    let Some(path) = ca_file else {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let unreadable =
        |why: String| ClientError::Certificates { path: path.display().to_string().into(), why: why.into() };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unreadable("there is none".to_owned()));
    }
    Ok(roots)
}
