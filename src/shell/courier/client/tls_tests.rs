//! The client and TLS: whom it trusts.
//!
//! An authority and a server for 127.0.0.1, made for these tests and valid until 2120; the authority's key is gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Client, Deadlines};
use crate::config;
use crate::event::Timestamp;
use crate::missive::Token;
use crate::missive::answer::{Answer, NotSent, Status};

const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBdzCCAR2gAwIBAgIBATAKBggqhkjOPQQDAjAiMSAwHgYDVQQDDBdtaXNzaXZl
ZCB0ZXN0IGF1dGhvcml0eTAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAw
MFowIjEgMB4GA1UEAwwXbWlzc2l2ZWQgdGVzdCBhdXRob3JpdHkwWTATBgcqhkjO
PQIBBggqhkjOPQMBBwNCAAQ4ARtEfcMIo6MNaVEXiCOor8VaWMtH8HDHozXyZPH4
em2WpWOLuHaAo4O9l2BSyXi0QW+em58nY+cpzosFT7eso0IwQDAPBgNVHRMBAf8E
BTADAQH/MA4GA1UdDwEB/wQEAwICBDAdBgNVHQ4EFgQURkMj5ulG9Md+B8lQpwd9
NAasqjIwCgYIKoZIzj0EAwIDSAAwRQIhANuteWyN2HPMJTfgHp37aCNwJyvZVOXR
ViIU9gJ6mWP+AiBVPkn0pSvbD2l+c56VqKuYzvC1Tsm3zAa4bVXPQ98/BA==
-----END CERTIFICATE-----
";

const SERVER: &str = "-----BEGIN CERTIFICATE-----
MIIBpjCCAUugAwIBAgIBAjAKBggqhkjOPQQDAjAiMSAwHgYDVQQDDBdtaXNzaXZl
ZCB0ZXN0IGF1dGhvcml0eTAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAw
MFowHzEdMBsGA1UEAwwUbWlzc2l2ZWQgdGVzdCBzZXJ2ZXIwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAAQ//ghkdcWY0Js4hRSXaQFyJ1YjdC/ApS1orDKQ5n8h8Zw5
3j603gI3QeQEKfkyCgUVigzmHfMoFA5TN9FSwRGjo3MwcTAPBgNVHREECDAGhwR/
AAABMAkGA1UdEwQCMAAwEwYDVR0lBAwwCgYIKwYBBQUHAwEwHQYDVR0OBBYEFB/P
OlDT8UcT4EcXJwp1vhRsYqegMB8GA1UdIwQYMBaAFEZDI+bpRvTHfgfJUKcHfTQG
rKoyMAoGCCqGSM49BAMCA0kAMEYCIQDB3lg8MM6rXySb/Q1XtGkY3cM9hhT+HGfD
EAVmjzzMagIhAOAQmC4qYDujJP2ZixGnhx27oSMhjNt2IQD3qY+KLKQL
-----END CERTIFICATE-----
";

const SERVER_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgOvTVyLTR6aBikwgv
2wUXbCdo8E5K7+RwtctupgcdTh2hRANCAAQ//ghkdcWY0Js4hRSXaQFyJ1YjdC/A
pS1orDKQ5n8h8Zw53j603gI3QeQEKfkyCgUVigzmHfMoFA5TN9FSwRGj
-----END PRIVATE KEY-----
";

/// Answers one request with 201, if anybody trusts it.
async fn server() -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_slice(SERVER.as_bytes()).expect("certificate")];
    let key = PrivateKeyDer::from_pem_slice(SERVER_KEY.as_bytes()).expect("key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.expect("accepted");
        let Ok(mut tls) = TlsAcceptor::from(Arc::new(config)).accept(tcp).await else { return };
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
        let mut request = Vec::new();
        while !request.ends_with(b"{}") {
            tls.read_buf(&mut request).await.expect("read");
        }
        tls.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await.expect("written");
    });
    address
}

async fn post(url: &str, ca: Option<&str>) -> Answer {
    let folder = tempfile::tempdir().expect("folder");
    let ca_file = ca.map(|pem| {
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, pem).expect("written");
        path
    });
    let missive = config::Missive { url: url.parse().expect("URL"), ca_file };
    let client = Client::new(&missive, Arc::new(|| Timestamp::EPOCH)).expect("client");
    let deadlines = Deadlines { send_before: Timestamp::from_millis(10_000), timeout: Duration::from_secs(20) };
    let token = Token::parse("missive_pat-test").expect("token");
    client.post("/v1/messages", &token, Bytes::from_static(b"{}"), deadlines).await
}

#[tokio::test]
async fn a_server_is_believed_if_the_authority_vouches_for_its_name_and_nobody_else_is_told_anything() {
    let unsaid = Answer::NotSent(NotSent::NoConnection);
    let accepted = Answer::Status(Status { code: 201, ..Status::default() });
    let rows = [
        ("127.0.0.1", Some(AUTHORITY), accepted, "named by the config"),
        ("127.0.0.1", None, unsaid.clone(), "not among the built-in roots"),
        ("localhost", Some(AUTHORITY), unsaid, "another name"),
    ];
    for (host, ca, answer, why) in rows {
        let url = format!("https://{host}:{}", server().await.port());
        assert_eq!(post(&url, ca).await, answer, "{why}");
    }
}
