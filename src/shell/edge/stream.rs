//! A connection's bytes, with an eye on them: where heads begin and end, and how long anybody makes us wait.
//!
//! Reading ends with `TimedOut` when a head isn't complete in time, or the next one doesn't begin; writing, when the reader
//! doesn't take what we have for it. While a request is being answered there is no deadline here: bodies and answers have
//! their own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::timer::Alarm;
use crate::hook::{At, Framed, Framing};

/// No request's number.
const NONE: u64 = u64::MAX;

/// A connection, in the clear or not.
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// How long reading and writing may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub head: Duration,
    pub idle: Duration,
    pub write: Duration,
}

/// What the stream and the requests on it tell one another.
#[derive(Debug)]
pub(super) struct Progress {
    answering: AtomicBool,
    requests: AtomicU64,
    first_ambiguous: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Self { answering: AtomicBool::new(false), requests: AtomicU64::new(0), first_ambiguous: AtomicU64::new(NONE) }
    }
}

impl Progress {
    /// A request begins: its number, from 0, and what its head is like.
    pub(super) fn begin(&self) -> (u64, Framed) {
        self.answering.store(true, Ordering::Relaxed);
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let framed = match self.first_ambiguous.load(Ordering::Relaxed) {
            first if number >= first => Framed::Ambiguously,
            _ => Framed::Clearly,
        };
        (number, framed)
    }

    pub(super) fn end(&self) {
        self.answering.store(false, Ordering::Relaxed);
    }
}

/// What reading waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// The rest of a head, or the first one's beginning.
    Head,
    /// The beginning of the next head.
    Next,
    /// A body, or nothing: an answer is being made.
    Nothing,
}

pub(super) struct Watched<S> {
    inner: S,
    framing: Framing,
    progress: Arc<Progress>,
    patience: Patience,
    awaited: Awaited,
    reading: Alarm,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S, progress: Arc<Progress>, patience: Patience, head_bytes_max: usize) -> Self {
        let (framing, reading) = (Framing::new(head_bytes_max), Alarm::after(patience.head));
        Self { inner, framing, progress, patience, awaited: Awaited::Head, reading, writing: None }
    }

    fn awaited(&self) -> Awaited {
        if self.progress.answering.load(Ordering::Relaxed) {
            return Awaited::Nothing;
        }
        match self.framing.at() {
            At::Head => Awaited::Head,
            At::Start if self.progress.requests.load(Ordering::Relaxed) == 0 => Awaited::Head,
            At::Start | At::Beyond => Awaited::Next,
            At::Body { .. } => Awaited::Nothing,
        }
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let awaited = self.awaited();
        if awaited != self.awaited {
            self.awaited = awaited;
            let patience = match awaited {
                Awaited::Head => self.patience.head,
                Awaited::Next => self.patience.idle,
                Awaited::Nothing => return Poll::Pending,
            };
            self.reading.set(patience);
        }
        if awaited == Awaited::Nothing {
            return Poll::Pending;
        }
        self.reading.poll(cx).map(|()| io::ErrorKind::TimedOut.into())
    }

    fn see(&mut self, bytes: &[u8]) {
        self.framing.see(bytes);
        if let Some(first) = self.framing.first_ambiguous() {
            self.progress.first_ambiguous.store(first, Ordering::Relaxed);
        }
    }

    /// What a write came to, unless its reader has had its time.
    fn poll_reader<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.writing = None;
            return written;
        }
        let patience = self.patience.write;
        let deadline = self.writing.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.inner).poll_read(cx, buf) {
            self.see(&buf.filled()[before..]);
            return Poll::Ready(read);
        }
        self.poll_patience(cx).map(Err)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.poll_reader(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.poll_reader(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.poll_reader(cx, shut)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.poll_reader(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
