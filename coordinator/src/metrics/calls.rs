//! gRPC calls, counted as they end.
//!
//! Labels come from sets that are known beforehand: a peer that makes up names of methods makes no series.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tonic::{Code, Status, body::Body, server::NamedService};
use tower::Service;

use crate::statistics::Statistics;

/// Methods of ClusterService and PlacementService.
pub const CALL_METHODS: [&str; 16] = [
    "AddHost",
    "CheckMigration",
    "ComputeCommonCpuFlags",
    "ComputeCpuBaseline",
    "ConfirmClaims",
    "EstimateCapacity",
    "GetHost",
    "ListClaims",
    "ListHosts",
    "ListInstances",
    "Place",
    "RefreshHosts",
    "ReleaseClaims",
    "RemoveHost",
    "RenewClaims",
    "UpdateHost",
];

/// What stands for a method that is not there.
const OTHER: &str = "other";

/// A service whose calls are counted.
#[derive(Debug, Clone)]
pub struct Counted<S> {
    inner: S,
    statistics: Arc<Statistics>,
}

impl<S> Counted<S> {
    /// Counts there.
    pub fn new(inner: S, statistics: Arc<Statistics>) -> Self {
        Self { inner, statistics }
    }
}

impl<S: NamedService> NamedService for Counted<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Counted<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = method_of(request.uri().path());
        let mut call =
            Call { statistics: Arc::clone(&self.statistics), method, start: Instant::now(), code: None };
        let answering = self.inner.call(request);
        Box::pin(async move {
            let response = answering.await?;
            // An error without a body has its status in the head; all else ends with it.
            call.code = code_in(response.headers());
            Ok(response.map(|inner| Body::new(CountedBody { inner, call })))
        })
    }
}

fn method_of(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or_default();
    CALL_METHODS.into_iter().find(|method| *method == name).unwrap_or(OTHER)
}

fn code_in(headers: &http::HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()))
}

/// Counted when it is dropped: a call may end by its last byte, by its deadline, or because its caller is gone.
#[derive(Debug)]
struct Call {
    statistics: Arc<Statistics>,
    method: &'static str,
    start: Instant,
    code: Option<Code>,
}

impl Drop for Call {
    fn drop(&mut self) {
        let code = self.code.unwrap_or(Code::Cancelled);
        self.statistics.called(self.method, code_name(code), self.start.elapsed());
    }
}

struct CountedBody {
    inner: Body,
    call: Call,
}

impl http_body::Body for CountedBody {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(code) = frame.trailers_ref().and_then(code_in) {
                    self.call.code = Some(code);
                }
            }
            Poll::Ready(Some(Err(status))) => self.call.code = Some(status.code()),
            Poll::Ready(None) | Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// As the specification of gRPC spells it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
