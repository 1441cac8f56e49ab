//! One connection, from its first byte to its last.
//!
//! Limits: [`HEAD_BYTES_MAX`], [`HEADERS_MAX`], and what the config says. HTTP/1.1 alone. The end is gentle: an answer given
//! before the body was read would be destroyed by the reset that closing on unread bytes causes, so what still comes is read
//! and dropped for a moment, up to the size of a body; not so on a connection that is cut.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CONNECTION, HeaderValue, TRANSFER_ENCODING};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::crowd::{Crowd, Cut, Seat};
use super::stream::{Patience, Progress, Transport, Watched};
use super::{Edge, Service};
use crate::hook::Framed;
use crate::telemetry::hook::Connection as Counted;

/// The longest head.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The most headers.
pub const HEADERS_MAX: usize = 64;

/// How long bytes are read and dropped at the end.
const LINGER: Duration = Duration::from_secs(1);

/// What those are told who find no seat.
const SHED: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What the edge knows of a request besides its words.
#[derive(Clone, Debug)]
pub struct Visit {
    peer: SocketAddr,
    framed: Framed,
    seat: Arc<Seat>,
}

impl Visit {
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub const fn framed(&self) -> Framed {
        self.framed
    }

    /// What was said has been proven: until it is answered, this connection doesn't give way to others.
    pub fn proven(&self) {
        self.seat.proven();
    }
}

/// Serves requests until either side ends it, it is cut, or the request under way is answered when `stop` becomes true.
pub(super) async fn serve<S: Service>(
    stream: TcpStream,
    peer: SocketAddr,
    edge: Arc<Edge>,
    service: Arc<S>,
    (seat, cut): (Seat, Cut),
    stop: watch::Receiver<bool>,
) {
    let seat = Arc::new(seat);
    let talk = async {
        match shake_hands(stream, &edge).await {
            Ok(transport) => converse(transport, peer, &edge, service, &seat, stop).await,
            Err(error) => {
                tracing::debug!(%error, "no TLS");
                edge.count(Counted::NoTls);
            }
        }
    };
    tokio::select! {
        () = talk => {}
        _ = cut => tracing::debug!(%peer, "cut to make room"),
    }
}

/// Tells one who finds no seat to come back; only so many at a time.
pub(super) fn shed(mut stream: TcpStream, crowd: &Crowd, connections: &mut JoinSet<()>) {
    let Ok(permit) = Arc::clone(&crowd.turned_away).try_acquire_owned() else { return };
    connections.spawn(async move {
        let telling = async {
            stream.write_all(SHED).await?;
            drain(stream, HEAD_BYTES_MAX).await
        };
        if let Ok(Err(error)) = timeout(LINGER, telling).await {
            tracing::trace!(%error, "a connection was gone before it was turned away");
        }
        drop(permit);
    });
}

async fn shake_hands(stream: TcpStream, edge: &Edge) -> io::Result<Transport> {
    let Some(certificates) = &edge.certificates else { return Ok(Transport::Plain(stream)) };
    let shaking = certificates.acceptor().accept(stream);
    let stream = timeout(edge.config.head_timeout, shaking).await.map_err(|_| io::ErrorKind::TimedOut)??;
    Ok(Transport::Tls(Box::new(stream)))
}

async fn converse<S: Service>(
    transport: Transport,
    peer: SocketAddr,
    edge: &Arc<Edge>,
    service: Arc<S>,
    seat: &Arc<Seat>,
    mut stop: watch::Receiver<bool>,
) {
    let (config, progress) = (&edge.config, Arc::new(Progress::default()));
    let patience = Patience { head: config.head_timeout, idle: config.idle_timeout, write: config.write_timeout };
    let stream = Watched::new(transport, Arc::clone(&progress), patience, HEAD_BYTES_MAX);
    let requests_max = config.requests_per_connection_max as u64;
    let (counting, answering) = (Arc::clone(&service), seat);
    let service = service_fn(|request| {
        let (number, framed) = progress.begin();
        let visit = Visit { peer, framed, seat: Arc::clone(answering) };
        let (service, progress, seat) = (Arc::clone(&service), Arc::clone(&progress), Arc::clone(answering));
        // Nothing that follows chunks is looked at: the edge doesn't follow them (see `hook::Framing`).
        let last = number + 1 >= requests_max || request.headers().contains_key(TRANSFER_ENCODING);
        Box::pin(async move {
            let mut response = service.answer(request, visit).await;
            if last {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            progress.end();
            seat.unproven();
            Ok::<_, Infallible>(response)
        })
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
        tracing::debug!(%error, "connection broke");
        if error.is_parse() {
            counting.malformed();
        }
    }
    let stream = connection.into_parts().io.into_inner();
    if let Ok(Err(error)) = timeout(LINGER, drain(stream, config.body_bytes_max)).await {
        tracing::trace!(%error, "connection broke at its end");
    }
}

/// No `Date`: refusals are the same bytes at any time. No timer: [`Watched`] has the deadlines.
fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(4 * HEAD_BYTES_MAX)
        .half_close(true)
        .auto_date_header(false);
    builder
}

/// Ends our side, then reads and drops what still comes.
async fn drain(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes_max: usize) -> io::Result<()> {
    stream.shutdown().await?;
    copy(&mut stream.take(bytes_max as u64), &mut sink()).await.map(drop)
}
