//! One connection, from its first byte to its last.
//!
//! Limits: [`HEAD_BYTES_MAX`], [`HEADERS_MAX`] and [`HEAD_TIMEOUT`], which is also how long a connection may be idle. The end
//! is gentle: an answer given before the body was read would be destroyed by the reset that closing on unread bytes causes, so
//! what still comes is read and dropped for a moment, up to the size of a body.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::request::Hook;

/// The longest head.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The most headers.
pub const HEADERS_MAX: usize = 64;

/// How long a head may take, from the moment the connection is ready for it.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long bytes are read and dropped at the end.
const LINGER: Duration = Duration::from_secs(1);

/// Serves requests until either side ends it, or the one under way when `stop` becomes true.
pub(super) async fn serve(stream: TcpStream, hook: Arc<Hook>, mut stop: watch::Receiver<bool>) {
    let (bytes_max, counting) = (hook.config.body_bytes_max, Arc::clone(&hook));
    let service = service_fn(move |request| {
        let hook = Arc::clone(&hook);
        Box::pin(async move { hook.answer(request).await })
    });
    let mut connection = builder().serve_connection(TokioIo::new(stream), service);
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "webhook connection broke");
        if error.is_parse() {
            counting.malformed();
        }
    }
    linger(connection.into_parts().io.into_inner(), bytes_max).await;
}

/// No `Date`: refusals are the same bytes at any time.
fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(4 * HEAD_BYTES_MAX)
        .half_close(true)
        .auto_date_header(false);
    builder
}

async fn linger(mut stream: TcpStream, bytes_max: usize) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let (mut rest, mut nowhere) = (stream.take(bytes_max as u64), sink());
    let dropping = timeout(LINGER, copy(&mut rest, &mut nowhere));
    if let Ok(Err(error)) = dropping.await {
        tracing::trace!(%error, "webhook connection broke at its end");
    }
}
