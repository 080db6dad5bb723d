use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// Long enough for the busiest machine; nothing waits for it that goes well.
const DEADLINE: Duration = Duration::from_mins(1);

struct Server {
    address: SocketAddr,
    health: Arc<Health>,
    serving: AbortHandle,
}

impl Server {
    async fn start() -> Self {
        Self::start_with(PATIENCE).await
    }

    async fn start_with(patience: Patience) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let health = Arc::new(Health::new(DEADLINE));
        let served = serve_within(listener, Arc::default(), Arc::clone(&health), patience);
        let serving = tokio::spawn(served).abort_handle();
        Self {
            address,
            health,
            serving,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads to the end.
    async fn ask(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        rest(&mut stream).await
    }

    async fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        self.ask(request.as_bytes()).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What comes until the server closes. It may reset a connection of which it did not read all.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(DEADLINE, read)
        .await
        .expect("the server closes the connection");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn metrics_come_whole_as_openmetrics() {
    let server = Server::start().await;
    let answer = server.get("/metrics").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains(OPEN_METRICS), "{head}");
    assert!(head.contains(&format!("content-length: {}", body.len())));
    let families = super::super::exposition::parse(body);
    assert!(families.contains_key("nodeseal_agent_enforcing"));
    let head_only = server
        .ask(b"HEAD /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    assert!(head_only.contains(OPEN_METRICS) && head_only.ends_with("\r\n\r\n"));
}

#[tokio::test]
async fn health_and_readiness_say_why_not() {
    let server = Server::start().await;
    assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200 "));
    let answer = server.get("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.ends_with("no policies were applied yet\n"),
        "{answer}"
    );
    server.health.set_applied();
    assert!(server.get("/readyz").await.starts_with("HTTP/1.1 200 "));

    let health = Health::new(Duration::from_mins(1));
    let request = Request::get("/healthz").body(()).unwrap();
    let later = Instant::now() + Duration::from_hours(1);
    let answer = super::answer(&request, &Metrics::new(), &health, later);
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let server = Server::start().await;
    for path in ["/", "/metrics/", "/debug", "/metrics/../healthz"] {
        let answer = server.get(path).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
    let request = b"POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    let answer = server.ask(request).await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(answer.contains("allow: GET, HEAD"), "{answer}");
}

#[tokio::test]
async fn heads_are_bounded_and_what_is_no_http_is_closed() {
    let server = Server::start().await;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(2 * MAX_HEAD));
    let fields = "a: b\r\n".repeat(MAX_FIELDS + 1);
    let many = format!("GET /metrics HTTP/1.1\r\n{fields}\r\n");
    for bad in [
        long.as_bytes(),
        many.as_bytes(),
        b"\x16\x03\x01\0\0\r\n\r\n",
    ] {
        let answer = server.ask(bad).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn connections_that_say_nothing_keep_nobody_out_and_are_ended() {
    let server = Server::start().await;
    let mut silent = Vec::new();
    for _ in 0..3 * MOST_CONNECTIONS {
        silent.push(server.connect().await);
    }
    let answer = server.get("/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // The oldest made room.
    assert_eq!(rest(&mut silent[0]).await, "");
}

#[tokio::test]
async fn a_request_that_does_not_come_ends_its_connection() {
    let long = DEADLINE * 10;
    let short = Duration::from_millis(1);
    for (head, whole) in [(short, long), (long, short)] {
        let server = Server::start_with(Patience { head, whole }).await;
        let mut slow = server.connect().await;
        let _ = slow.write_all(b"GET /metrics HTTP/1.1\r\nhost:").await;
        let answer = rest(&mut slow).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[test]
fn a_server_of_its_own_thread_answers_and_an_address_in_use_says_so() {
    use std::io::{Read as _, Write as _};
    let health = Arc::new(Health::new(DEADLINE));
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let address = spawn(any, Arc::default(), Arc::clone(&health)).unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let error = spawn(address, Arc::default(), health).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&format!("cannot listen on {address}")),
        "{text}"
    );
}
