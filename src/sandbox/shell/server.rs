//! The listener: connections in, answers out, and the ways not to answer.
//!
//! At most [`CONNECTIONS_MAX`] connections; a body has [`BODY_TIME`] to arrive, and what goes over its limit is read on for a
//! while, so that the caller gets to see the refusal.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN, USER_AGENT};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Shared;
use super::stream::{Events, Pulse};
use crate::sandbox::answer::Answer;
use crate::sandbox::control::{self, Ask, CONTROL_BYTES_MAX, control};
use crate::sandbox::gate::{self, AsksFor, Caller};
use crate::sandbox::page;
use crate::sandbox::referee::{Act, Body, Ending, Head};

/// Connections at one time.
pub const CONNECTIONS_MAX: usize = 256;

/// How long a body may take to arrive.
pub const BODY_TIME: Duration = Duration::from_secs(60);

/// How long an idle connection stays open: longer than clients usually keep theirs.
const HEAD_TIME: Duration = Duration::from_secs(120);

/// How long a request that is never answered keeps its connection.
const SILENCE_TIME: Duration = Duration::from_secs(600);

/// How much of a body is read at all, as a multiple of what is allowed.
const READ_ON_FACTOR: usize = 4;

/// A connection ends without an answer.
#[derive(Debug, Clone, Copy, Error)]
enum HangUp {
    #[error("reset")]
    Reset,
    #[error("close")]
    Close,
}

/// A request in progress; when it is dropped, it is over.
struct OpenRequest {
    shared: Arc<Shared>,
    id: u64,
    ending: Ending,
}

/// An answer that is there, or one that never ends.
type Sent = Either<Full<Bytes>, Events>;

/// What a request is for.
#[derive(Debug, Clone, Copy)]
enum Room {
    Api,
    Page,
    Events,
    Control,
}

/// A body as far as it came.
enum Received {
    Whole(Vec<u8>),
    TooLarge,
    Incomplete,
}

/// Accepts connections, for ever.
pub async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    const AFTER_ERROR: Duration = Duration::from_millis(50);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(shared.clone(), stream))),
                Err(_) => sleep(AFTER_ERROR).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let (pulse, patience) = (Pulse::default(), shared.patience);
    let service = {
        let pulse = pulse.clone();
        service_fn(move |request| Box::pin(serve(shared.clone(), pulse.clone(), request)))
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    let mut connection = http.serve_connection(TokioIo::new(stream), service);
    let end = tokio::select! {
        end = poll_fn(|context| connection.poll_without_shutdown(context)) => end,
        () = pulse.stopped(patience) => return,
    };
    let stream = connection.into_parts().io.into_inner();
    if end.is_err_and(|error| asks_for_reset(&error)) {
        let _ = stream.set_zero_linger();
    }
}

fn asks_for_reset(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<HangUp>());
    matches!(cause, Some(HangUp::Reset))
}

async fn serve(shared: Arc<Shared>, pulse: Pulse, request: Request<Incoming>) -> Result<Response<Sent>, HangUp> {
    match room(&request) {
        Room::Api => serve_api(shared, request).await,
        Room::Page => Ok(response(serve_page(&request))),
        Room::Events => Ok(serve_events(&shared, pulse, &request)),
        Room::Control => {
            let Ok(answer) = serve_control(&shared, request).await;
            Ok(response(answer))
        }
    }
}

fn room(request: &Request<Incoming>) -> Room {
    match request.uri().path() {
        "/control/events" => Room::Events,
        "/control" => Room::Control,
        path if path.starts_with("/control/") => Room::Control,
        path if path == "/" || path.starts_with("/page/") => Room::Page,
        _ => Room::Api,
    }
}

fn serve_page(request: &Request<Incoming>) -> Answer {
    if let Err(stranger) = gate::admit(&caller(request, AsksFor::Page)) {
        return control::turned_away(stranger);
    }
    let file = (request.method() == Method::GET).then(|| page::file(request.uri().path())).flatten();
    file.unwrap_or_else(control::no_such_path)
}

fn serve_events(shared: &Arc<Shared>, pulse: Pulse, request: &Request<Incoming>) -> Response<Sent> {
    if let Err(stranger) = gate::admit(&caller(request, AsksFor::Data)) {
        return response(control::turned_away(stranger));
    }
    let Some(events) = Events::begin(shared, pulse) else { return response(control::full_house()) };
    let mut response = Response::new(Either::Right(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn serve_api(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Sent>, HangUp> {
    let id = shared.with(|now, referee| referee.arrive(now, &head(&request)));
    let mut open = OpenRequest { shared, id, ending: Ending::Unanswered };
    let bytes_max = open.shared.body_bytes_max;
    let received = receive(request.into_body(), bytes_max).await;
    let body = match &received {
        Received::Whole(bytes) => Body::Whole(bytes),
        Received::TooLarge => Body::TooLarge { bytes_max },
        Received::Incomplete => Body::Incomplete,
    };
    let judgement = open.shared.with(|now, referee| referee.judge(now, id, &body));
    sleep(Duration::from_millis(judgement.delay_ms)).await;
    match judgement.act {
        Act::Answer(answer) => {
            open.ending = Ending::Answered(answer.status);
            Ok(response(answer))
        }
        Act::Reset => Err(HangUp::Reset),
        Act::Close => Err(HangUp::Close),
        Act::Silence => {
            sleep(SILENCE_TIME).await;
            Err(HangUp::Close)
        }
    }
}

async fn serve_control(shared: &Shared, request: Request<Incoming>) -> Result<Answer, Infallible> {
    if let Err(stranger) = gate::admit(&caller(&request, AsksFor::Data)) {
        return Ok(control::turned_away(stranger));
    }
    let (parts, body) = request.into_parts();
    let body = match receive(body, CONTROL_BYTES_MAX).await {
        Received::Whole(bytes) => bytes,
        Received::TooLarge | Received::Incomplete => Vec::new(),
    };
    let ask = Ask {
        method: &parts.method,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        content_type: parts.headers.get(CONTENT_TYPE).and_then(text).unwrap_or_default(),
        body: &body,
    };
    if let Some(wish) = control::wish(&ask) {
        return Ok(control::wished(wish.map(|wish| shared.wish(wish))));
    }
    Ok(shared.with(|now, referee| control(referee, now, &ask)))
}

fn caller(request: &Request<Incoming>, asks_for: AsksFor) -> Caller<'_> {
    let header = |name: HeaderName| request.headers().get(name).and_then(text);
    let site = HeaderName::from_static("sec-fetch-site");
    Caller { host: header(HOST), origin: header(ORIGIN), site: header(site), asks_for }
}

fn head(request: &Request<Incoming>) -> Head<'_> {
    let header = |name: HeaderName| request.headers().get(name).and_then(text);
    Head {
        method: request.method().as_str(),
        path_and_query: request.uri().path_and_query().map_or("/", |path| path.as_str()),
        token: header(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")),
        agent: header(USER_AGENT),
        content_type: header(CONTENT_TYPE),
    }
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

async fn receive(body: Incoming, bytes_max: usize) -> Received {
    timeout(BODY_TIME, receive_all(body, bytes_max)).await.unwrap_or(Received::Incomplete)
}

/// The body, if it stays under `bytes_max`.
async fn receive_all(mut body: Incoming, bytes_max: usize) -> Received {
    let mut kept = Vec::new();
    let mut total: usize = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Received::Incomplete };
        let Ok(data) = frame.into_data() else { continue };
        total = total.saturating_add(data.len());
        if total < bytes_max {
            kept.extend_from_slice(&data);
        }
        if total / READ_ON_FACTOR >= bytes_max {
            break;
        }
    }
    if total < bytes_max { Received::Whole(kept) } else { Received::TooLarge }
}

fn response(answer: Answer) -> Response<Sent> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(answer.body))));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.shared.with(|now, referee| referee.finish(now, self.id, self.ending));
    }
}
