//! The hook with TLS of its own: who it shows itself as, and that new certificates need no restart.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use missived::shell::edge::{Certificates, Reload};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::certificates::{FIRST, SECOND};
use super::scene::*;

fn show(folder: &Path, (certificate, key): (&str, &str)) -> config::Tls {
    let files = config::Tls { certificates: folder.join("chain.pem"), key: folder.join("key.pem") };
    fs::write(&files.certificates, certificate).expect("written");
    fs::write(&files.key, key).expect("written");
    files
}

/// A whole exchange with a caller that trusts one certificate; None if there was no handshake.
async fn exchange(
    address: SocketAddr,
    trusted: &str,
    versions: &[&'static SupportedProtocolVersion],
    bytes: &str,
) -> Option<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).expect("PEM")).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let tcp = TcpStream::connect(address).await.expect("connected");
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.ok()?;
    stream.write_all(bytes.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("in time").expect("in peace");
    Some(String::from_utf8(answer).expect("text"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_of_tls_are_spoken_and_nothing_in_the_clear() {
    let folder = tempfile::tempdir().expect("a folder");
    let stage = stage(|hook| {
        hook.edge.tls = Some(show(folder.path(), FIRST));
        hook.edge.head_timeout = Duration::from_secs(5);
    })
    .await;
    for versions in [[&TLS12], [&TLS13]] {
        let answer = exchange(stage.address, FIRST.0, &versions, &signed(&reply("m-1"))).await;
        assert_eq!(answer.as_deref().map(status), Some("200"), "{versions:?}");
    }
    assert_eq!(exchange(stage.address, SECOND.0, &[&TLS13], &signed("{}")).await, None, "somebody else's certificate");
    let mut clear = TcpStream::connect(stage.address).await.expect("connected");
    clear.write_all(signed("{}").as_bytes()).await.expect("written");
    match ending(&mut clear).await {
        Ending::Answered(alert) => assert!(!alert.contains("HTTP"), "in the clear: {alert}"),
        Ending::Cut => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_never_comes_is_given_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let stage = stage(|hook| {
        hook.edge.tls = Some(show(folder.path(), FIRST));
        hook.edge.head_timeout = Duration::from_millis(50);
    })
    .await;
    let mut silent = TcpStream::connect(stage.address).await.expect("connected");
    assert_eq!(ending(&mut silent).await, Ending::Cut);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_certificates_are_shown_without_a_restart_and_useless_ones_never() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = show(folder.path(), FIRST);
    let stage = stage(|hook| hook.edge.tls = Some(files.clone())).await;
    show(folder.path(), SECOND);
    let renewed = async { while exchange(stage.address, SECOND.0, &[&TLS13], &signed("{}")).await.is_none() {} };
    timeout(PATIENCE, renewed).await.expect("the server looks by itself");

    let certificates = Certificates::load(&files).expect("good files");
    assert_eq!(certificates.reload().expect("good files"), Reload::Unchanged);
    show(folder.path(), (FIRST.0, "no key"));
    assert!(certificates.reload().is_err(), "half written");
    show(folder.path(), (FIRST.0, SECOND.1));
    assert!(certificates.reload().is_err(), "a key of another certificate");
    show(folder.path(), FIRST);
    assert_eq!(certificates.reload().expect("good files"), Reload::Renewed);
}
