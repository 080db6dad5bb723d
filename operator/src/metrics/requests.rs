//! Counts the requests of a client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::{Method, Request, Response, Uri};
use tower::{Layer, Service};

use super::Metrics;
use crate::health::Health;

/// A layer of a client that counts what it asks, and tells that the API server answers.
#[derive(Debug, Clone)]
pub(crate) struct CountRequests {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) health: Arc<Health>,
}

/// A client that is counted.
#[derive(Debug, Clone)]
pub(crate) struct Counted<S> {
    inner: S,
    by: CountRequests,
}

impl<S> Layer<S> for CountRequests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        let by = self.clone();
        Counted { inner, by }
    }
}

impl<S, A, B> Service<Request<A>> for Counted<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let verb = verb(request.method(), request.uri());
        let (answer, by) = (self.inner.call(request), self.by.clone());
        Box::pin(async move {
            let answer = answer.await;
            let status = answer.as_ref().ok().map(|a| a.status().as_u16());
            by.metrics.asked(verb, code(status));
            if status.is_some_and(|status| status < 500) {
                by.health.reached();
            }
            answer
        })
    }
}

fn verb(method: &Method, uri: &Uri) -> &'static str {
    let mut parameters = uri.query().unwrap_or_default().split('&');
    match method.as_str() {
        "GET" if parameters.any(|one| matches!(one, "watch=true" | "watch=1")) => "watch",
        "GET" => "get",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "other",
    }
}

/// The class of an answer; `none` where there was none.
fn code(status: Option<u16>) -> &'static str {
    match status {
        None => "none",
        Some(..200) => "1xx",
        Some(200..300) => "2xx",
        Some(300..400) => "3xx",
        Some(400..500) => "4xx",
        Some(500..) => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};
    use std::time::{Duration, Instant};

    use super::*;

    /// An API server that answers one status; nothing for none.
    #[derive(Clone)]
    struct Answers(Option<u16>);

    impl Service<Request<()>> for Answers {
        type Response = Response<()>;
        type Error = ();
        type Future = Ready<Result<Response<()>, ()>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            let status = self.0.ok_or(());
            ready(status.map(|status| Response::builder().status(status).body(()).unwrap()))
        }
    }

    #[tokio::test]
    async fn every_request_counts_by_what_was_asked_and_answered() {
        let (metrics, health) = (Metrics::new(), Arc::new(Health::new()));
        let layer = CountRequests {
            metrics: Arc::clone(&metrics),
            health: Arc::clone(&health),
        };
        let ask = async |method: &str, uri: &str, status: Option<u16>| {
            let request = Request::builder().method(method).uri(uri).body(()).unwrap();
            let _ = layer.layer(Answers(status)).call(request).await;
        };
        ask("GET", "/api/v1/nodes?limit=500", Some(200)).await;
        ask("GET", "/api/v1/nodes?a=b&watch=true", Some(200)).await;
        ask("GET", "/api/v1/nodes?watch=1", Some(410)).await;
        ask("PATCH", "/x", Some(409)).await;
        ask("POST", "/x", Some(503)).await;
        ask("PUT", "/x", None).await;
        ask("OPTIONS", "/x", Some(302)).await;
        ask("DELETE", "/x", Some(200)).await;
        let text = metrics.encode().unwrap();
        for (verb, code) in [
            ("get", "2xx"),
            ("watch", "2xx"),
            ("watch", "4xx"),
            ("patch", "4xx"),
            ("post", "5xx"),
            ("put", "none"),
            ("other", "3xx"),
            ("delete", "2xx"),
        ] {
            let line = format!(
                "nodeseal_operator_api_requests_total{{verb=\"{verb}\",code=\"{code}\"}} 1\n"
            );
            assert!(text.contains(&line), "{line}{text}");
        }
    }

    #[tokio::test]
    async fn an_api_server_that_only_fails_is_not_reached() {
        for (status, reached) in [(None, false), (Some(503), false), (Some(403), true)] {
            let health = Arc::new(Health::new());
            let layer = CountRequests {
                metrics: Metrics::new(),
                health: Arc::clone(&health),
            };
            health.beat(true);
            health.forget_reached();
            let request = Request::builder().uri("/x").body(()).unwrap();
            let _ = layer.layer(Answers(status)).call(request).await;
            let why = health.unready(Instant::now() + Duration::from_secs(1));
            assert_eq!(why.is_none(), reached, "{status:?}: {why:?}");
        }
    }
}
