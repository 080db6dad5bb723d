use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::handshake;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::super::names::{CONFIG, MANIFEST, Names, Nonce, manifest};
use super::super::{Pulled, judge, run};
use super::*;
use policy::digest::Digest;

fn names(registry: &Registry) -> Names {
    let bundle = Digest::of(b"bundle");
    Names::new(registry.port(), &bundle, &Nonce::new([3; 16]))
}

/// A registry on a port of its own.
async fn bind(kind: Kind) -> (Identity, Registry) {
    loop {
        let identity = Identity::generate().unwrap();
        match Registry::bind(&identity, kind).await {
            Ok(registry) => return (identity, registry),
            // Another test was faster.
            Err(BindError::Taken { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn path(image: &Image) -> String {
    format!("/v2/{}/manifests/{}", image.repository, image.reference)
}

/// Status, length and digest as in the head, and the body.
type Got = (u16, Option<String>, Option<String>, String);

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    method: &str,
    path: &str,
) -> hyper::Result<Got> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1")
        .body(Empty::<hyper::body::Bytes>::new())
        .unwrap();
    let answer = sender.send_request(request).await?;
    let field = |name: &str| Some(answer.headers().get(name)?.to_str().unwrap().to_owned());
    let (status, length, digest) = (
        answer.status().as_u16(),
        field("content-length"),
        field("docker-content-digest"),
    );
    let body = answer.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((
        status,
        length,
        digest,
        String::from_utf8(body.to_vec()).unwrap(),
    ))
}

async fn plain(registry: &Registry, method: &str, path: &str) -> Got {
    let stream = connect(registry).await;
    ask(stream, method, path).await.unwrap()
}

async fn connect(registry: &Registry) -> TcpStream {
    TcpStream::connect((Ipv4Addr::LOCALHOST, registry.port()))
        .await
        .unwrap()
}

/// As CRI-O connects that has this file in certs.d.
async fn tls(
    registry: &Registry,
    ca: &str,
    name: &str,
) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + use<>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = connect(registry).await;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

#[tokio::test]
async fn a_head_has_what_containerd_needs_so_that_it_asks_its_verifiers_first() {
    let (_, mut registry) = bind(Kind::Containerd).await;
    let names = names(&registry);
    let leg = registry.serve(names.deny_image());
    let path = path(names.deny_image());
    let (status, length, digest, body) = plain(&registry, "HEAD", &format!("{path}?ns=x")).await;
    assert_eq!(status, 200);
    assert_eq!(length, Some(MANIFEST.len().to_string()));
    assert_eq!(digest, Some(manifest().to_string()));
    assert_eq!(body, "");
    assert_eq!(plain(&registry, "GET", &path).await.0, 404);
    for method in ["PUT", "POST", "DELETE", "PATCH"] {
        assert_eq!(plain(&registry, method, &path).await.0, 405, "{method}");
    }
    let seen = leg.end();
    let requests: Vec<_> = seen.requests.iter().map(|r| (r.method, &*r.path)).collect();
    assert_eq!(requests, [(Method::Head, &*path), (Method::Get, &*path)]);
    assert_eq!((seen.connections, seen.others, seen.dropped), (6, 0, 0));
}

#[tokio::test]
async fn nothing_is_served_or_recorded_while_no_leg_is_under_way() {
    let (_, mut registry) = bind(Kind::Containerd).await;
    let names = names(&registry);
    let path = path(names.deny_image());
    for closed in ["/v2/", &path] {
        assert_eq!(plain(&registry, "HEAD", closed).await.0, 503, "{closed}");
    }
    let leg = registry.serve(names.deny_image());
    assert_eq!(plain(&registry, "HEAD", &path).await.0, 200);
    assert_eq!(leg.end().requests.len(), 1);
    assert_eq!(plain(&registry, "HEAD", &path).await.0, 503);
    // A leg that is given up ends as well, and the next one sees nothing of it.
    let leg = registry.serve(names.deny_image());
    assert_eq!(plain(&registry, "HEAD", &path).await.0, 200);
    drop(leg);
    assert_eq!(plain(&registry, "HEAD", &path).await.0, 503);
    assert_eq!(registry.serve(names.allow_image()).end(), Seen::default());
}

#[tokio::test]
async fn a_tls_greeting_is_answered_so_that_go_sees_http() {
    let (identity, registry) = bind(Kind::Containerd).await;
    // A greeting of the longest kind, in two parts, and something after it.
    let mut greeting = vec![TLS_HANDSHAKE, 3, 1, 0x40, 0];
    greeting.extend(vec![7; 0x4000]);
    greeting.extend([1; 100]);
    let (first, second) = greeting.split_at(3000);
    let mut stream = connect(&registry).await;
    stream.write_all(first).await.unwrap();
    stream.write_all(second).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("Content-Length: {}", body.len())),
        "{answer}"
    );
    // A real client sees no TLS.
    assert!(tls(&registry, identity.ca(), "127.0.0.1").await.is_err());
}

#[tokio::test]
async fn crio_reads_the_manifest_over_tls_and_no_blob() {
    let (identity, mut registry) = bind(Kind::Crio).await;
    let names = names(&registry);
    let leg = registry.serve(names.allow_image());
    let paths = [
        ("/v2/".to_owned(), 200),
        (path(names.allow_image()), 200),
        (
            format!("/v2/{}/blobs/{CONFIG}", names.allow_image().repository),
            404,
        ),
    ];
    for (path, expected) in &paths {
        let stream = tls(&registry, identity.ca(), "127.0.0.1").await.unwrap();
        let (status, _, _, body) = ask(stream, "GET", path).await.unwrap();
        assert_eq!(status, *expected, "{path}");
        if path.contains("manifests") {
            assert_eq!(body, MANIFEST);
        }
    }
    let seen = leg.end();
    assert_eq!(
        (seen.requests.len(), seen.others, seen.connections),
        (2, 1, 3)
    );
    assert_eq!(seen.config(), Some(1));
}

#[tokio::test]
async fn the_certificate_is_good_for_loopback_and_its_own_authority_alone() {
    let (identity, mut registry) = bind(Kind::Crio).await;
    let names = names(&registry);
    let leg = registry.serve(names.allow_image());
    for name in ["localhost", "127.0.0.2"] {
        assert!(tls(&registry, identity.ca(), name).await.is_err(), "{name}");
    }
    let other = Identity::generate().unwrap();
    assert!(tls(&registry, other.ca(), "127.0.0.1").await.is_err());
    // That a runtime came and did not trust it is seen.
    let seen = leg.end();
    assert_eq!((seen.requests.len(), seen.connections), (0, 3));
}

#[tokio::test]
async fn a_port_that_somebody_has_is_named_and_free_again_when_the_registry_ends() {
    let (identity, registry) = bind(Kind::Containerd).await;
    let error = Registry::bind(&identity, Kind::Containerd)
        .await
        .unwrap_err();
    assert!(matches!(error, BindError::Taken { .. }), "{error}");
    assert!(error.to_string().contains(&identity.host()), "{error}");
    drop(registry);
    let again = timeout(Duration::from_secs(10), async {
        loop {
            match Registry::bind(&identity, Kind::Containerd).await {
                Ok(registry) => return registry,
                // The listener is closed when its task is.
                Err(BindError::Taken { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    });
    assert_eq!(again.await.unwrap().port(), identity.port);
}

#[tokio::test]
async fn idle_connections_and_endless_heads_do_not_keep_a_runtime_out() {
    let (_, mut registry) = bind(Kind::Containerd).await;
    let names = names(&registry);
    let leg = registry.serve(names.deny_image());
    let mut idle = Vec::new();
    for _ in 0..MAX_CONNECTIONS - 1 {
        idle.push(connect(&registry).await);
    }
    let path = path(names.deny_image());
    assert_eq!(plain(&registry, "HEAD", &path).await.0, 200);

    let mut endless = connect(&registry).await;
    let field = format!("x: {}\r\n", "y".repeat(1000));
    endless.write_all(b"GET /v2/ HTTP/1.1\r\n").await.unwrap();
    let write = async {
        // It ends when the registry closes its end.
        while endless.write_all(field.as_bytes()).await.is_ok() {}
    };
    timeout(Duration::from_secs(30), write).await.unwrap();
    assert_eq!(leg.end().requests.len(), 1);
}

#[tokio::test]
async fn a_proof_is_two_pulls_whose_requests_are_told_apart() {
    let (_, mut registry) = bind(Kind::Containerd).await;
    let port = registry.port();
    let (bundle, nonce) = (Digest::of(b"bundle"), Nonce::new([3; 16]));
    let names = Names::new(port, &bundle, &nonce);
    let not_found = |image: &str| {
        format!("failed to pull and unpack image \"{image}\": failed to copy: not found")
    };
    // A runtime that refuses nothing and cannot store anything.
    let pull = async |image: String| {
        let (repository, reference) = image
            .split_once('@')
            .unwrap_or_else(|| image.rsplit_once(':').unwrap());
        let repository = repository.split_once('/').unwrap().1;
        for (method, expected) in [("HEAD", 200), ("GET", 404)] {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .await
                .unwrap();
            let path = format!("/v2/{repository}/manifests/{reference}");
            assert_eq!(ask(stream, method, &path).await.unwrap().0, expected);
        }
        Err(crate::cri::Error::Refused {
            call: "PullImage",
            code: tonic::Code::NotFound,
            message: not_found(&image),
        })
    };
    let seconds = Duration::from_secs(30);
    let observed = run(&mut registry, pull, &bundle, &nonce, seconds).await;
    assert_eq!(observed.names, names);
    for (leg, image, name) in [
        (&observed.deny, names.deny_image(), names.deny()),
        (&observed.allow, names.allow_image(), names.allow()),
    ] {
        assert_eq!(leg.pulled, Pulled::Failed(not_found(&name)));
        assert_eq!(leg.seen.requests.len(), 2);
        assert!(
            leg.seen
                .requests
                .iter()
                .all(|request| request.path == path(image))
        );
    }
    let proof = judge(Kind::Containerd, &observed);
    assert_eq!(proof.reason(), "Bypassed");

    // One that never answers is given up.
    let never = |_| std::future::pending();
    let moment = Duration::from_millis(1);
    let observed = run(&mut registry, never, &bundle, &nonce, moment).await;
    assert!(matches!(observed.deny.pulled, Pulled::Late(_)));
    assert_eq!(judge(Kind::Containerd, &observed).reason(), "Unknown");
}
