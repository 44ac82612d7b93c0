//! Metrics over HTTP, for Prometheus.
//!
//! Knows HTTP, what a scrape may cost, and which figures are looked up at each. Must not know how a host is asked: a scrape
//! asks nobody. There is no access control beyond who may connect, hence loopback and Unix sockets only.

mod calls;
mod process;
mod scrape;
mod text;

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures::future::join_all;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use vmuster_proto::transport::{ByteStream, ListenAddress, ListenError, Listener, bind};

pub use calls::{CALL_METHODS, Counted};
pub use scrape::Scraper;

/// Scrapers at once on each listener; more wait in the kernel's backlog. One or two are usual.
const CONNECTIONS_MAX: usize = 16;

/// From connect to the last byte of the request's head. A scraper sends it at once; one that does not makes room soon.
const HEAD_DEADLINE: Duration = Duration::from_secs(2);

/// From connect to the last byte of the answer: Prometheus gives up after 10 s by default. A slow reader is cut.
const SCRAPE_DEADLINE: Duration = Duration::from_secs(10);

/// A scraper's head has some 300 bytes; this is the least that hyper takes.
const HEAD_MAX_BYTES: usize = 8 << 10;

/// Prometheus sends six.
const HEADERS_MAX: usize = 32;

/// After a failed accept: without it, a process out of descriptors spins.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

const INDEX: &str = "vmuster-coordinator: metrics for Prometheus are at /metrics\n";

/// An address for metrics that other machines can reach.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "refusing to serve metrics on {0}: other machines can reach it, and whoever connects may read them. Write a loopback \
     address or unix:/path into `metrics_listen`, and let a proxy with TLS and a password, or a Prometheus agent on this \
     machine, pass them on"
)]
pub struct NotLocal(pub ListenAddress);

/// Looks whether metrics may be served there.
///
/// # Errors
/// The first address that other machines can reach.
pub fn check(addresses: &[ListenAddress]) -> Result<(), NotLocal> {
    let foreign = addresses.iter().find(|address| !address.is_local());
    foreign.map_or(Ok(()), |address| Err(NotLocal(address.clone())))
}

/// Opens the sockets; `group` becomes that of Unix sockets.
///
/// # Errors
/// Cannot listen there.
pub async fn listen(addresses: &[ListenAddress], group: Option<u32>) -> Result<Vec<Listener>, ListenError> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = bind(address, false, group).await?;
        tracing::info!(metrics_address = %listener.address(), "serving metrics");
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Serves until it is dropped, connections and all; the next scrape finds the next process.
pub async fn serve(listeners: Vec<Listener>, scraper: Scraper) {
    let scraper = Arc::new(scraper);
    join_all(listeners.into_iter().map(|listener| accept(listener, Arc::clone(&scraper)))).await;
    // With nothing to listen on there is nothing to end for.
    std::future::pending::<()>().await;
}

async fn accept(listener: Listener, scraper: Arc<Scraper>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Ends with this future, connections and all.
    let mut connections = JoinSet::new();
    loop {
        // The slot comes first: beyond the cap, peers cost no descriptor. The semaphore is never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept_bytes().await {
            Ok(stream) => {
                let scraper = Arc::clone(&scraper);
                connections.spawn(async move {
                    answer_one(stream, scraper).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(metrics_address = %listener.address(), %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// One request a connection: on one machine that costs nothing, and nobody holds a place by staying.
async fn answer_one(stream: Box<dyn ByteStream>, scraper: Arc<Scraper>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = respond(request.method(), request.uri().path(), request.headers(), &scraper);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .keep_alive(false)
        .max_buf_size(HEAD_MAX_BYTES)
        .max_headers(HEADERS_MAX);
    match timeout(SCRAPE_DEADLINE, builder.serve_connection(TokioIo::new(stream), service)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a scrape ended early"),
        Err(_) => tracing::debug!("cut a scraper that did not read its answer"),
    }
}

fn respond(method: &Method, path: &str, headers: &HeaderMap, scraper: &Scraper) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match path {
        "/" => plain(StatusCode::OK, INDEX),
        "/metrics" => match scraper.open_metrics() {
            Ok(text) if text::takes_open_metrics(headers.get_all(ACCEPT)) => {
                response(StatusCode::OK, OPEN_METRICS, text)
            }
            Ok(text) => response(StatusCode::OK, CLASSIC, text::classic(&text)),
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n"),
        },
        _ => plain(StatusCode::NOT_FOUND, "not found; metrics are at /metrics\n"),
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    response(status, PLAIN, text.to_owned())
}

fn response(status: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
