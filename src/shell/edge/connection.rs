//! One connection, from its first byte to its last.
//!
//! Limits: [`HEAD_BYTES_MAX`], [`HEADERS_MAX`], and what the config says. HTTP/1.1 alone. The end is gentle: an answer given
//! before the body was read would be destroyed by the reset that closing on unread bytes causes, so what still comes is read
//! and dropped for a moment, up to the size of a body; not so on a connection that is cut.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue, TRANSFER_ENCODING};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use super::answer::answer;
use super::crowd::{Call, Calls, Crowd, Seat};
use super::stream::{Patience, Progress, Transport, Watched};
use super::timer::{Late, Timer};
use super::{Edge, Renewable, Service};
use crate::hook::Framed;
use crate::telemetry::hook::{Connection as Counted, Outcome};

/// The longest head.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The most headers.
pub const HEADERS_MAX: usize = 64;

/// How long bytes are read and dropped at the end.
const LINGER: Duration = Duration::from_secs(1);

/// What those are told who find no seat.
const SHED: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What the requests of one connection have in common.
struct Talk<S> {
    peer: SocketAddr,
    service: Arc<Renewable<S>>,
    seat: Seat,
    progress: Arc<Progress>,
    timer: Timer,
    requests_max: u64,
}

/// What the edge knows of a request besides its words.
#[derive(Debug)]
pub struct Visit<'t> {
    peer: SocketAddr,
    framed: Framed,
    seat: &'t Seat,
    timer: &'t Timer,
}

impl Visit<'_> {
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub const fn framed(&self) -> Framed {
        self.framed
    }

    /// What `future` comes to, unless it takes longer than `span`.
    pub async fn within<T>(&self, span: Duration, future: impl Future<Output = T>) -> Result<T, Late> {
        self.timer.within(span, future).await
    }

    /// What was said has been proven: until it is answered, this connection doesn't give way to others.
    pub fn proven(&self) {
        self.seat.proven();
    }
}

/// Serves requests until either side ends it, it is cut, or it is told to finish and has answered.
pub(super) async fn serve<S: Service>(
    stream: TcpStream,
    peer: SocketAddr,
    service: Arc<Renewable<S>>,
    seat: Seat,
    calls: Calls,
) {
    let requests_max = service.edge().config.requests_per_connection_max as u64;
    let talk = Arc::new(Talk { peer, service, seat, progress: Arc::default(), timer: Timer::new(), requests_max });
    let edge = talk.service.edge();
    let talking = async {
        match shake_hands(stream, edge).await {
            Ok(transport) => converse(transport, &talk, calls.finish).await,
            Err(error) => {
                tracing::debug!(%error, "no TLS");
                edge.count(Counted::NoTls);
            }
        }
    };
    tokio::select! {
        biased; // Whoever is cut has nothing to say any more, and asking for it is the cheaper look.
        _ = calls.cut => tracing::debug!(%peer, "cut to make room"),
        () = talking => {}
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

async fn converse<S: Service>(transport: Transport, talk: &Arc<Talk<S>>, mut finish: Call) {
    let config = &talk.service.edge().config;
    let patience = Patience { head: config.head_timeout, idle: config.idle_timeout, write: config.write_timeout };
    let stream = Watched::new(transport, Arc::clone(&talk.progress), patience, HEAD_BYTES_MAX);
    let service = service_fn(|request| Box::pin(Arc::clone(talk).respond(Box::new(request))));
    let mut connection = builder().serve_connection(TokioIo::new(stream), service);
    let mut finishing = false;
    let ended = loop {
        tokio::select! {
            biased; // What is there to be done is done before anybody looks whether there is to be more.
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            _ = &mut finish, if !finishing => {
                finishing = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection broke");
        if error.is_parse() {
            talk.service.current().count(None, Outcome::Malformed);
        }
    }
    let stream = connection.into_parts().io.into_inner();
    if let Ok(Err(error)) = timeout(LINGER, drain(stream, config.body_bytes_max)).await {
        tracing::trace!(%error, "connection broke at its end");
    }
}

impl<S: Service> Talk<S> {
    /// `request` is boxed because every future that it passes through would hold a copy of its room.
    async fn respond(self: Arc<Self>, request: Box<Request<Incoming>>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (number, framed) = self.progress.begin();
        // Nothing that follows chunks is looked at: the edge doesn't follow them (see `hook::Framing`).
        let last = number + 1 >= self.requests_max || request.headers().contains_key(TRANSFER_ENCODING);
        let visit = Visit { peer: self.peer, framed, seat: &self.seat, timer: &self.timer };
        let mut response = answer(&*self.service.current(), request, &visit).await;
        if last {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // All requests that are there are read before one is answered: callers that share our processors are then woken once for
        // many answers, not for each.
        yield_now().await;
        self.progress.end();
        self.seat.unproven();
        Ok(response)
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
        // Answers are short: one plain write costs the kernel less than a vectored one.
        .writev(false)
        .half_close(true)
        .auto_date_header(false);
    builder
}

/// Ends our side, then reads and drops what still comes.
async fn drain(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes_max: usize) -> io::Result<()> {
    stream.shutdown().await?;
    copy(&mut stream.take(bytes_max as u64), &mut sink()).await.map(drop)
}
