//! The operators' listener: `/metrics`, `/healthz`, `/readyz`, `/status`; GET and HEAD, nothing that changes anything.
//!
//! `/healthz` says that the process answers, and nothing else: a supervisor that restarts on it must not restart because Kafka
//! or Missive is away. `/readyz` tells every component's state, 200 only if all are ready. Limits: [`CONNECTIONS_MAX`],
//! [`HEAD_TIMEOUT`], request bodies are never read. No TLS and no password: loopback, or a network that is trusted.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::readiness::{Readiness, Whole};

/// The most connections at once; more wait in the kernel's backlog.
pub const CONNECTIONS_MAX: usize = 32;

/// How long a head may take, and how long a connection may be idle: longer than scrapes are apart.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(90);

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What a page says, made anew for every request.
pub type Page = Arc<dyn Fn() -> Vec<u8> + Send + Sync>;

/// The pages that somebody else writes.
pub struct Pages {
    /// `/metrics`, as text.
    pub metrics: Page,
    /// `/status`, as JSON.
    pub status: Page,
}

struct Admin {
    pages: Pages,
    readiness: Arc<Readiness>,
}

/// Serves until `stop` becomes true or its sender is gone; answers are short, so nothing is waited for then.
pub async fn serve(listener: TcpListener, pages: Pages, readiness: Arc<Readiness>, mut stop: watch::Receiver<bool>) {
    let admin = Arc::new(Admin { pages, readiness });
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => drop(connections.spawn(connection(stream, Arc::clone(&admin)))),
            Err(error) => {
                tracing::warn!(%error, "admin connection not accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, admin: Arc<Admin>) {
    let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(admin.answer(&request))));
    let mut builder = Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_headers(64);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "admin connection broke");
    }
}

impl Admin {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let page = match request.uri().path() {
            "/metrics" => Self::metrics,
            "/healthz" => Self::health,
            "/readyz" => Self::readiness,
            "/status" => Self::status,
            _ => return respond(StatusCode::NOT_FOUND, TEXT, "not found\n"),
        };
        if request.method() == Method::GET || request.method() == Method::HEAD {
            return page(self);
        }
        let mut refused = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "read only\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        refused
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        respond(StatusCode::OK, METRICS, (self.pages.metrics)())
    }

    fn status(&self) -> Response<Full<Bytes>> {
        respond(StatusCode::OK, JSON, (self.pages.status)())
    }

    fn health(&self) -> Response<Full<Bytes>> {
        respond(StatusCode::OK, TEXT, "alive\n")
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        let (whole, json) = self.readiness.report();
        let status = match whole {
            Whole::Ready => StatusCode::OK,
            Whole::NotReady => StatusCode::SERVICE_UNAVAILABLE,
        };
        respond(status, JSON, json)
    }
}

fn respond(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::shell::readiness::ReadyState;

    async fn ask(address: std::net::SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let request = format!("{request} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        answer
    }

    #[tokio::test]
    async fn every_page_answers_readers_and_no_one_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("address");
        let (stop, stopped) = watch::channel(false);
        let readiness = Arc::new(Readiness::default());
        let gate = readiness.component("hook");
        let page = |text: &'static str| -> Page { Arc::new(move || text.as_bytes().to_vec()) };
        let pages = Pages { metrics: page("missived_up 1\n"), status: page("{}") };
        let server = tokio::spawn(serve(listener, pages, Arc::clone(&readiness), stopped));
        let rows = [
            ("GET /metrics", "200", "missived_up 1\n"),
            ("GET /healthz", "200", "alive\n"),
            ("GET /status", "200", "{}"),
            ("GET /readyz", "503", r#""state":"starting""#),
            ("POST /metrics", "405", "read only\n"),
            ("GET /", "404", "not found\n"),
            ("GET /metrics/", "404", "not found\n"),
        ];
        for (request, status, part) in rows {
            let answer = ask(address, request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(part), "{request}: {answer}");
        }
        gate.set(ReadyState::Ready);
        assert!(ask(address, "GET /readyz").await.starts_with("HTTP/1.1 200 "));
        let head = ask(address, "HEAD /metrics").await;
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
        stop.send(true).expect("the server listens");
        server.await.expect("ended");
        assert!(TcpStream::connect(address).await.is_err());
    }
}
