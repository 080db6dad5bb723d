use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// Long enough for the busiest machine; nothing waits for it that goes well.
const DEADLINE: Duration = Duration::from_mins(1);

const METRICS: &str = "# HELP a_b Things.\n# TYPE a_b counter\na_b_total 1\n# EOF\n";

/// A program that is well until its thread is late.
struct Program {
    ready: AtomicBool,
    late: Instant,
}

impl Pages for Program {
    fn page(&self, path: &str, now: Instant) -> Option<Page> {
        let well = |is: bool, why: &str| {
            if is {
                Page::Ok
            } else {
                Page::Unavailable(why.to_owned())
            }
        };
        match path {
            "/metrics" => Some(Page::Metrics(METRICS.to_owned())),
            "/healthz" => Some(well(now < self.late, "it is stuck")),
            "/readyz" => Some(well(self.ready.load(Ordering::Relaxed), "not yet")),
            _ => None,
        }
    }

    fn index(&self) -> &'static str {
        "here are /metrics, /healthz and /readyz"
    }
}

fn program() -> Arc<Program> {
    Arc::new(Program {
        ready: AtomicBool::new(false),
        late: Instant::now() + Duration::from_mins(30),
    })
}

struct Server {
    address: SocketAddr,
    program: Arc<Program>,
    serving: AbortHandle,
}

impl Server {
    async fn start() -> Self {
        Self::start_with(PATIENCE).await
    }

    async fn start_with(patience: Patience) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let program = program();
        let pages: Arc<dyn Pages> = program.clone();
        let serving = tokio::spawn(serve(listener, pages, patience)).abort_handle();
        Self {
            address,
            program,
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
async fn metrics_come_whole_in_the_format_that_was_asked_for() {
    let server = Server::start().await;
    let ask = async |method: &str, accept: &str| {
        let request = format!("{method} /metrics HTTP/1.1\r\nhost: x\r\n{accept}\r\n");
        server.ask(request.as_bytes()).await
    };
    let open = "accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n";
    for (accept, format) in [("", Format::Prometheus), (open, Format::OpenMetrics)] {
        let answer = ask("GET", accept).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains(format.content_type()), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())));
        assert_eq!(body, format.of(METRICS.to_owned()));
        let head_only = ask("HEAD", accept).await;
        assert!(head_only.contains(format.content_type()) && head_only.ends_with("\r\n\r\n"));
    }
}

#[tokio::test]
async fn health_and_readiness_say_why_not() {
    let server = Server::start().await;
    assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200 "));
    let answer = server.get("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("not yet\n"), "{answer}");
    server.program.ready.store(true, Ordering::Relaxed);
    assert!(server.get("/readyz").await.starts_with("HTTP/1.1 200 "));

    let request = Request::get("/healthz").body(()).unwrap();
    let later = Instant::now() + Duration::from_hours(1);
    let answer = super::answer(&request, &*server.program, later);
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
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listener = listen(any, "metrics", "give another").unwrap();
    let address = listener.local_addr().unwrap();
    spawn(listener, program()).unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let error = listen(address, "metrics", "give another").unwrap_err();
    let text = error.to_string();
    let start = format!("cannot listen on {address} for metrics: ");
    assert!(text.starts_with(&start), "{text}");
    assert!(text.ends_with("; give another"), "{text}");
}

#[test]
fn an_address_is_one_or_off() {
    let any = "127.0.0.1:9464";
    assert_eq!(any.parse(), Ok(Address(any.parse().ok())));
    assert_eq!("off".parse(), Ok(Address(None)));
    assert_eq!(Address(None).to_string(), "off");
    let error = ":9464".parse::<Address>().unwrap_err();
    assert!(error.contains("give an address and a port"), "{error}");
}
