//! More of everything than anybody needs: referrers, layers, pages, descriptors without content.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use image_verifier::reason::Reason;
use policy::bundle::DefaultAction;
use policy::digest::Digest;
use policy::verifier::{Access, Limits};
use serde_json::json;

use crate::scene::{Honest, Signed, What, pull};
use crate::support::registry::{Content, INDEX, MANIFEST, Registry};
use crate::support::sign::{self, BUNDLE, SIMPLE, Signer, payload};
use crate::support::{assert_allowed, digest, draft, limits, policy_of};
use crate::wire::{Act, Script, Server, head, reply};

/// A document that consists of `count` parts between `start` and `end`, made as it is sent.
fn document(
    kind: &str,
    start: &str,
    count: usize,
    end: &str,
    make: impl Fn(usize) -> String + Send + Sync + 'static,
) -> Script {
    let mut acts = head(200, &[("Content-Type", kind)]);
    acts.push(Act::Send(start.as_bytes().to_vec()));
    let make = move |index| {
        let comma = if index == 0 { "" } else { "," };
        format!("{comma}{}", make(index)).into_bytes()
    };
    acts.push(Act::Each(count, Arc::new(make)));
    acts.push(Act::Send(end.as_bytes().to_vec()));
    acts
}

fn list(count: usize, make: impl Fn(usize) -> String + Send + Sync + 'static) -> Script {
    let start = format!(r#"{{"mediaType":"{INDEX}","manifests":["#);
    document(INDEX, &start, count, "]}", make)
}

fn manifest(count: usize, make: impl Fn(usize) -> String + Send + Sync + 'static) -> Script {
    let start = format!(r#"{{"mediaType":"{MANIFEST}","layers":["#);
    document(MANIFEST, &start, count, "]}", make)
}

/// A referrer that is nowhere.
fn referrer(index: usize) -> String {
    let digest = Digest::of(&index.to_le_bytes());
    format!(
        r#"{{"mediaType":"{MANIFEST}","artifactType":"{BUNDLE}","digest":"{digest}","size":1}}"#
    )
}

#[tokio::test]
async fn thousands_of_referrers_are_looked_at_up_to_the_limit() {
    // Nowhere to be found; and all there, by another key.
    let absent = |honest: &Honest| (honest.what == What::Referrers).then(|| list(15_000, referrer));
    let outcome = pull(Signed::Bundle, absent).await;
    outcome.refused("15000 that are not there", Reason::LimitExceeded);
    assert!(outcome.asked.len() < 80, "{}", outcome.asked.len());

    let bundle = Signer::new().bundle(&digest()).to_string();
    let layer = format!(
        r#"{{"mediaType":"{BUNDLE}","digest":"{}","size":1}}"#,
        Digest::of(bundle.as_bytes())
    );
    // Each its own by a number in it.
    let one = move |index: usize| {
        format!(r#"{{"mediaType":"{MANIFEST}","n":{index},"layers":[{layer}]}}"#)
    };
    let attack = move |honest: &Honest| match honest.what {
        What::Referrers => {
            let one = one.clone();
            Some(list(5_000, move |index| {
                let digest = Digest::of(one(index).as_bytes());
                format!(
                    r#"{{"mediaType":"{MANIFEST}","artifactType":"{BUNDLE}","digest":"{digest}","size":1}}"#
                )
            }))
        }
        What::Referrer => {
            let wanted = |index: &usize| {
                honest
                    .path
                    .ends_with(Digest::of(one(*index).as_bytes()).as_str())
            };
            let index = (0..5_000).find(wanted)?;
            Some(reply(
                200,
                &[("Content-Type", MANIFEST)],
                one(index).as_bytes(),
            ))
        }
        What::Blob => Some(reply(200, &[], bundle.as_bytes())),
        _ => None,
    };
    let outcome = pull(Signed::Bundle, attack).await;
    outcome.refused("5000 by another key", Reason::LimitExceeded);
}

#[tokio::test]
async fn pages_without_end_are_read_up_to_the_limit() {
    let attack = |honest: &Honest| {
        let next = format!("<{}?more>; rel=\"next\"", honest.path);
        let headers = [("Content-Type", INDEX), ("Link", &next)];
        let empty = format!(r#"{{"mediaType":"{INDEX}","manifests":[]}}"#);
        (honest.what == What::Referrers).then(|| reply(200, &headers, empty.as_bytes()))
    };
    let outcome = pull(Signed::Bundle, attack).await;
    outcome.refused("pages", Reason::LimitExceeded);
    assert!(outcome.asked.len() < 20, "{:?}", outcome.asked);
}

#[tokio::test]
async fn thousands_of_layers_are_looked_at_up_to_the_limit() {
    let other = Signer::new();
    let payload = payload(&digest(), "127.0.0.1/app");
    let signature = other.sign(payload.as_bytes());
    let blob = Digest::of(payload.as_bytes());
    let layer = format!(
        r#"{{"mediaType":"{SIMPLE}","digest":"{blob}","size":1,"annotations":{{"dev.cosignproject.cosign/signature":"{signature}"}}}}"#
    );
    let attack = move |honest: &Honest| match honest.what {
        What::Manifest => {
            let layer = layer.clone();
            Some(manifest(10_000, move |_| layer.clone()))
        }
        What::Blob => Some(reply(200, &[], payload.as_bytes())),
        _ => None,
    };
    let outcome = pull(Signed::Attachment, attack).await;
    outcome.refused("10000 by another key", Reason::LimitExceeded);
    assert!(outcome.asked.len() < 80, "{}", outcome.asked.len());
}

/// A mirror that has more than may be read in all. What it takes is its own share.
#[tokio::test]
async fn a_flooding_mirror_does_not_hide_the_origin() {
    const TOTAL: u64 = 1024 * 1024;
    let blob = |index: u8| vec![index; 100 * 1024];
    let manifest = move |index: u8| {
        let layer = json!({"mediaType": BUNDLE, "digest": Digest::of(&blob(index)), "size": 1});
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [layer]}).to_string()
    };
    let entry = move |index: u8| {
        let digest = Digest::of(manifest(index).as_bytes());
        json!({"mediaType": MANIFEST, "digest": digest, "size": 1, "artifactType": BUNDLE})
    };
    let flood = move |path: &str, _: usize| {
        // It is told for whom in the query.
        let path = path.split('?').next().unwrap_or_default();
        let asked = path.rsplit('/').next().unwrap_or_default();
        let is = |digest: Digest| digest.as_str() == asked;
        if path.contains("/referrers/") {
            let all: Vec<_> = (0..32).map(entry).collect();
            let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": all});
            return reply(200, &[("Content-Type", INDEX)], list.to_string().as_bytes());
        }
        for index in 0..32 {
            if path.contains("/blobs/") && is(Digest::of(&blob(index))) {
                return reply(200, &[], &blob(index));
            }
            let manifest = manifest(index);
            if path.contains("/manifests/") && is(Digest::of(manifest.as_bytes())) {
                return reply(200, &[("Content-Type", MANIFEST)], manifest.as_bytes());
            }
        }
        reply(404, &[], b"")
    };
    let free = || {
        let reserved = TcpListener::bind("127.0.0.1:0").unwrap();
        reserved.local_addr().unwrap().port()
    };
    let port = free();
    let mirrors = [port, free()];
    let mut servers = Vec::new();
    for port in mirrors {
        servers.push(Server::start(port, Box::new(flood)).await);
    }
    let signer = Signer::new();
    let mut content = Content::default();
    let bundle = signer.bundle(&digest()).to_string();
    let good = sign::referrer(&mut content, BUNDLE, bundle.as_bytes());
    sign::list(&mut content, &digest(), &[good]);
    let origin = Registry::start_on(0, content).await;
    let host = origin.address.to_string();
    let node = tempfile::tempdir().unwrap();
    let folder = node.path().join(&host);
    std::fs::create_dir(&folder).unwrap();
    let [one, two] = mirrors.map(|port| format!("[host.'http://127.0.0.1:{port}']\n"));
    let text = format!("server = 'http://{host}'\n{one}{two}");
    std::fs::write(folder.join("hosts.toml"), text).unwrap();
    let limits = Limits {
        max_total_bytes: TOTAL,
        ..limits(Duration::from_secs(20))
    };
    let drafts = [draft(&[("a", &signer)])];
    let mut policy = policy_of(&drafts, DefaultAction::Allow, &[], limits);
    policy.access = Access {
        config_paths: vec![node.path().to_str().unwrap().to_owned()],
        ..Access::none()
    };
    let answer = crate::support::pull(&format!("{host}/app:v1"), &policy).await;
    assert_allowed(&answer);
    for server in servers {
        let blobs = server.asked();
        let blobs = blobs.iter().filter(|path| path.contains("/blobs/"));
        assert!(blobs.count() > 1, "the mirror was not asked");
    }
}

/// The smallest descriptor that parses.
const SMALLEST: &str = r#"{"mediaType":"","digest":""}"#;
/// As many as fit into the largest object that is read.
const AS_MANY: usize = 4 * 1024 * 1024 / (SMALLEST.len() + 1) - 10;

#[tokio::test]
async fn layers_without_content_take_no_more_memory_than_the_limit() {
    let attack = |honest: &Honest| {
        (honest.what == What::Manifest).then(|| manifest(AS_MANY, |_| SMALLEST.to_owned()))
    };
    let outcome = pull(Signed::Attachment, attack).await;
    outcome.refused("empty layers", Reason::LimitExceeded);
}

#[tokio::test]
async fn referrers_without_content_take_no_more_memory_than_the_limit() {
    let page = |honest: &Honest| {
        let next = format!("<{}?more>; rel=\"next\"", honest.path);
        let mut acts = list(AS_MANY, |_| SMALLEST.to_owned());
        let headers = [("Content-Type", INDEX), ("Link", next.as_str())];
        acts[0] = head(200, &headers).remove(0);
        acts
    };
    let attack = move |honest: &Honest| match honest.what {
        What::Referrers | What::FallbackIndex => Some(page(honest)),
        _ => None,
    };
    let outcome = pull(Signed::Bundle, attack).await;
    outcome.refused("empty referrers", Reason::LimitExceeded);
}

#[tokio::test]
async fn documents_that_are_deep_or_odd_are_refused() {
    let deep = |open: &'static str| {
        move |honest: &Honest| {
            (honest.what == What::Manifest).then(|| {
                let start = format!(r#"{{"mediaType":"{MANIFEST}","x":"#);
                let mut acts = head(200, &[("Content-Type", MANIFEST)]);
                acts.push(Act::Send(start.into_bytes()));
                acts.push(Act::Each(
                    1_000,
                    Arc::new(move |_| open.repeat(1_000).into_bytes()),
                ));
                acts
            })
        }
    };
    for open in ["[", r#"{"a":"#, "\"\\u0041"] {
        let outcome = pull(Signed::Attachment, deep(open)).await;
        let reason = if open.len() * 1_000_000 > 4 * 1024 * 1024 {
            Reason::LimitExceeded
        } else {
            Reason::RegistryError
        };
        outcome.refused(&format!("a million of {open}"), reason);
    }
    let long = |honest: &Honest| {
        (honest.what == What::Manifest).then(|| {
            let layer = format!(r#"{{"mediaType":"{SIMPLE}","digest":"{}","annotations":{{"dev.cosignproject.cosign/signature":""#, digest());
            document(MANIFEST, &format!(r#"{{"layers":[{layer}"#), 1, r#""}}]}"#, |_| "A".repeat(4_000_000))
        })
    };
    let outcome = pull(Signed::Attachment, long).await;
    outcome.refused("a signature of 4 MB", Reason::MalformedSignature);
}
