//! The answers of the registry: a pure function of the request and of the leg under way.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use super::Kind;
use super::names::{Image, MANIFEST, MANIFEST_TYPE, manifest};
use super::record::Method;

/// The whole of an answer. The server leaves the body out of the answer to HEAD and keeps its length.
pub(super) type Answer = Response<Full<Bytes>>;

/// Answers a request while a leg is under way for `image`.
pub(super) fn answer(kind: Kind, image: &Image, method: Method, path: &str) -> Answer {
    if path == "/v2/" {
        return json(StatusCode::OK, "{}");
    }
    let below = path
        .strip_prefix("/v2/")
        .and_then(|path| path.strip_prefix(&*image.repository));
    let Some(below) = below.and_then(|below| below.strip_prefix('/')) else {
        return error(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
    };
    let manifest = manifest();
    match below.split_once('/') {
        Some(("manifests", reference))
            if reference == image.reference || reference == manifest.as_str() =>
        {
            match (kind, method) {
                // It would fetch and store what is in it.
                (Kind::Containerd, Method::Get) => error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
                (Kind::Containerd, Method::Head) | (Kind::Crio, _) => {
                    let mut answer = reply(StatusCode::OK, MANIFEST_TYPE, MANIFEST);
                    // Without it containerd gets the manifest before it asks any verifier.
                    if let Ok(value) = HeaderValue::from_str(manifest.as_str()) {
                        answer.headers_mut().insert("docker-content-digest", value);
                    }
                    answer
                }
            }
        }
        Some(("manifests", _)) => error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
        Some(("blobs", _)) => error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
        // There is no referrers API here; who wants it falls back to a tag, which is not there.
        _ => error(StatusCode::NOT_FOUND, "UNSUPPORTED"),
    }
}

/// Nothing is served while no proof runs.
pub(super) fn closed() -> Answer {
    error(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE")
}

/// Nothing can be changed here.
pub(super) fn read_only() -> Answer {
    let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
    let allowed = HeaderValue::from_static("GET, HEAD");
    answer.headers_mut().insert(ALLOW, allowed);
    answer
}

/// An error as the OCI distribution specification writes it.
fn error(status: StatusCode, code: &str) -> Answer {
    let body = serde_json::json!({ "errors": [{ "code": code, "message": "this registry serves the proof that the node enforces, nothing else" }] });
    json(status, body.to_string())
}

fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    reply(status, "application/json", body)
}

fn reply(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let media_type = HeaderValue::from_static(media_type);
    answer.headers_mut().insert(CONTENT_TYPE, media_type);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::names::CONFIG;

    fn status(kind: Kind, method: Method, path: &str) -> u16 {
        let image = Image {
            repository: "nodeseal-probe/00".to_owned(),
            reference: "nonce".to_owned(),
        };
        let path = path.replace("IMAGE", "/v2/nodeseal-probe/00");
        answer(kind, &image, method, &path).status().as_u16()
    }

    #[test]
    fn only_the_fixed_manifest_of_the_leg_is_served_and_containerd_never_gets_it() {
        let manifest = format!("IMAGE/manifests/{}", manifest());
        let config = format!("IMAGE/blobs/{CONFIG}");
        let other = format!("IMAGE/manifests/sha256:{}", "0".repeat(64));
        // path, containerd GET and HEAD, CRI-O GET and HEAD
        for (path, expected) in [
            ("/v2/", [200, 200, 200, 200]),
            (&manifest, [404, 200, 200, 200]),
            ("IMAGE/manifests/nonce", [404, 200, 200, 200]),
            ("IMAGE/manifests/latest", [404; 4]),
            (&other, [404; 4]),
            (&config, [404; 4]),
            ("IMAGE/referrers/sha256:00", [404; 4]),
            ("IMAGE/tags/list", [404; 4]),
            ("IMAGE", [404; 4]),
            ("IMAGE/", [404; 4]),
            ("/v2/_catalog", [404; 4]),
            ("/v2", [404; 4]),
            ("/", [404; 4]),
            ("/v2/nodeseal-probe/01/manifests/nonce", [404; 4]),
            ("/v2/nodeseal-probe/000/manifests/nonce", [404; 4]),
            ("/v2/other/manifests/nonce", [404; 4]),
            ("IMAGE/x/manifests/nonce", [404; 4]),
            ("IMAGE/../00/manifests/nonce", [404; 4]),
        ] {
            let got = [
                status(Kind::Containerd, Method::Get, path),
                status(Kind::Containerd, Method::Head, path),
                status(Kind::Crio, Method::Get, path),
                status(Kind::Crio, Method::Head, path),
            ];
            assert_eq!(got, expected, "{path}");
        }
        assert_eq!(closed().status(), 503);
        assert_eq!(read_only().status(), 405);
    }
}
