//! Every bit of everything that a registry serves for a signature, turned over one at a time.
//!
//! Whatever was flipped, the image is refused, unless the flip is in what says nothing: those
//! members are listed in [`crate::unread`], and any other fails the test. Documents that are fetched
//! by their digest are flipped twice: as they lie in the registry, and with all digests that lead to
//! them made to fit, as somebody would who owns the registry.
//!
//! A stride is taken; with `NODESEAL_FULL` it is every bit of what was made to fit, and a bit of
//! every byte at rest.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use image_verifier::reason::Reason;
use policy::authority::TrustRoots;
use policy::bundle::DefaultAction;
use policy::digest::Digest;
use policy::model::PolicyDraft;
use policy::verifier::{Limits, VerifierPolicy};
use serde_json::{Value, json};

use crate::keyless::World;
use crate::meaning::changed;
use crate::support::registry::{Content, INDEX, MANIFEST, Registry, Reply};
use crate::support::sign::{BUNDLE, Signer};
use crate::support::{digest, draft, policy_trusting, pull};
use crate::unread::{
    ANNOTATIONS_UNREAD, INDEX_UNREAD, KEY_BUNDLE_UNREAD, KEYLESS_BUNDLE_UNREAD, MANIFEST_UNREAD,
    REFERRER_UNREAD,
};

/// Every so many bits one is flipped; odd, so that all bits of bytes have their turn.
const STRIDE: usize = 61;

/// What is served, by path.
type Served = BTreeMap<String, Reply>;

/// A registry whose content is exchanged between pulls, and what images there are judged by.
struct Ground {
    served: Arc<Mutex<Served>>,
    _registry: Registry,
    name: String,
    policy: VerifierPolicy,
}

impl Ground {
    async fn new(policy: PolicyDraft, roots: &TrustRoots) -> Self {
        let reserved = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = reserved.local_addr().unwrap().port();
        drop(reserved);
        let served = Arc::new(Mutex::new(Served::new()));
        let mut content = Content::default();
        let shared = Arc::clone(&served);
        content.handle(move |path, _| shared.lock().unwrap().get(path).cloned());
        let policy = policy_trusting(
            roots,
            &[policy],
            DefaultAction::Allow,
            &[],
            Limits::default(),
        );
        Self {
            served,
            _registry: Registry::start_on(port, content).await,
            name: format!("127.0.0.1:{port}/app"),
            policy,
        }
    }

    /// Why an image with this content is refused; nothing if it is allowed.
    async fn refusal(&self, served: Served) -> Option<Reason> {
        *self.served.lock().unwrap() = served;
        let answer = pull(&format!("{}:v1", self.name), &self.policy).await;
        answer.refusal.map(|refusal| refusal.reason)
    }

    /// Flips the bits of `document`, which `serve` puts in its place. `unread` are the members that
    /// may say something else and the image be allowed; with all bits flipped, each must have been.
    async fn flip(
        &self,
        what: &str,
        document: &[u8],
        unread: &[&str],
        serve: impl Fn(&[u8]) -> Served,
    ) {
        let full = env::var_os("NODESEAL_FULL").is_some();
        let step = if full { 1 } else { STRIDE };
        let bits = (0..document.len() * 8).step_by(step);
        let harmless = self.flip_bits(what, document, bits, unread, serve).await;
        if full {
            let seen: BTreeSet<&str> = harmless.iter().map(String::as_str).collect();
            assert_eq!(seen, unread.iter().copied().collect(), "{what}");
        }
    }

    /// Flips these bits; returns the members that said something else while the image was allowed.
    async fn flip_bits(
        &self,
        what: &str,
        document: &[u8],
        bits: impl Iterator<Item = usize>,
        unread: &[&str],
        serve: impl Fn(&[u8]) -> Served,
    ) -> BTreeSet<String> {
        assert_eq!(self.refusal(serve(document)).await, None, "{what}");
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        let mut harmless: BTreeMap<String, usize> = BTreeMap::new();
        let mut wrong = Vec::new();
        for bit in bits {
            let mut flipped = document.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Some(reason) = self.refusal(serve(&flipped)).await {
                *reasons.entry(reason.as_str()).or_default() += 1;
                continue;
            }
            let changed = changed(document, &flipped);
            if !changed
                .iter()
                .all(|member| unread.contains(&member.as_str()))
            {
                let near = bit / 8..document.len().min(bit / 8 + 20);
                let (was, is) = (&document[near.clone()], &flipped[near]);
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                let (was, is) = (text(was), text(is));
                wrong.push(format!("bit {bit}, {changed:?}: {was:?} became {is:?}"));
            }
            for member in changed {
                *harmless.entry(member).or_default() += 1;
            }
        }
        println!(
            "{what}, {} bytes: refused {reasons:?}, allowed {harmless:?}",
            document.len()
        );
        assert!(
            wrong.is_empty(),
            "{what} was allowed:\n{}",
            wrong.join("\n")
        );
        harmless.into_keys().collect()
    }

    /// As [`Ground::flip`] without what may be allowed, for what lies under its own digest.
    async fn flip_at_rest(&self, what: &str, document: &[u8], path: &str, served: &Served) {
        let serve = |flipped: &[u8]| {
            let mut served = served.clone();
            let Some(Reply::Content { body, .. }) = served.get_mut(path) else {
                panic!("nothing at {path}")
            };
            body.clear();
            body.extend_from_slice(flipped);
            served
        };
        let full = env::var_os("NODESEAL_FULL").is_some();
        let bytes = (0..document.len()).step_by(if full { 1 } else { STRIDE / 8 });
        let bits = bytes.map(|byte| byte * 8 + byte % 8);
        self.flip_bits(what, document, bits, &[], serve).await;
    }
}

fn blob(served: &mut Served, bytes: &[u8]) -> Digest {
    let digest = Digest::of(bytes);
    let reply = Reply::ok("application/octet-stream", bytes);
    served.insert(format!("blobs/{digest}"), reply);
    digest
}

/// The manifest of signatures with one layer.
fn attachment(layer: &Value) -> Vec<u8> {
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": Digest::of(b"{}"), "size": 2},
        "layers": [layer]});
    manifest.to_string().into_bytes()
}

/// An attachment, by its manifest and its payload.
fn attached(manifest: &[u8], payload: &[u8]) -> Served {
    let mut served = Served::new();
    blob(&mut served, payload);
    let path = format!("manifests/sha256-{}.sig", digest().hex());
    served.insert(path, Reply::ok(MANIFEST, manifest));
    served
}

/// What a referrer's manifest and its entry in the index are, around a bundle.
fn referrer(bundle: &[u8]) -> Vec<u8> {
    let layer = json!({"mediaType": BUNDLE, "digest": Digest::of(bundle), "size": bundle.len()});
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE,
        "layers": [layer], "subject": {"mediaType": MANIFEST, "digest": digest(), "size": 1}});
    manifest.to_string().into_bytes()
}

fn index(referrer: &[u8]) -> Vec<u8> {
    let entry = json!({"mediaType": MANIFEST, "digest": Digest::of(referrer),
        "size": referrer.len(), "artifactType": BUNDLE,
        "annotations": {"dev.sigstore.bundle.predicateType": crate::payload::SIGN_PREDICATE}});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    index.to_string().into_bytes()
}

/// A bundle behind a list of referrers.
fn listed(index: &[u8], referrer: &[u8], bundle: &[u8]) -> Served {
    let mut served = Served::new();
    blob(&mut served, bundle);
    let path = format!("manifests/{}", Digest::of(referrer));
    served.insert(path, Reply::ok(MANIFEST, referrer));
    let path = format!("referrers/{}", digest());
    served.insert(path, Reply::ok(INDEX, index));
    served
}

#[tokio::test]
async fn no_flip_in_an_attachment_by_key_is_allowed() {
    let signer = Signer::new();
    let ground = Ground::new(draft(&[("a", &signer)]), &TrustRoots::new()).await;
    let payload = crate::support::sign::payload(&digest(), &ground.name).into_bytes();
    let layer = |payload: &[u8], signature: &str| {
        json!({"mediaType": crate::support::sign::SIMPLE, "digest": Digest::of(payload),
            "size": payload.len(), "annotations": {"dev.cosignproject.cosign/signature": signature}})
    };
    let signature = signer.sign(&payload);
    let manifest = attachment(&layer(&payload, &signature));
    let serve = |manifest: &[u8]| attached(manifest, &payload);
    ground
        .flip("the manifest", &manifest, &MANIFEST_UNREAD, serve)
        .await;
    let serve = |payload: &[u8]| attached(&attachment(&layer(payload, &signature)), payload);
    ground.flip("the payload", &payload, &[], serve).await;
    let path = format!("blobs/{}", Digest::of(&payload));
    let served = attached(&manifest, &payload);
    ground
        .flip_at_rest("the payload at rest", &payload, &path, &served)
        .await;
}

#[tokio::test]
async fn no_flip_in_a_bundle_by_key_is_allowed() {
    let signer = Signer::new();
    let ground = Ground::new(draft(&[("a", &signer)]), &TrustRoots::new()).await;
    let bundle = signer.bundle(&digest()).to_string().into_bytes();
    bundle_flips(&ground, &bundle, &KEY_BUNDLE_UNREAD).await;

    // What leads to it, once for bundles of all kinds.
    let referrer = referrer(&bundle);
    let serve = |index: &[u8]| listed(index, &referrer, &bundle);
    let list = index(&referrer);
    ground.flip("the index", &list, &INDEX_UNREAD, serve).await;
    let serve = |referrer: &[u8]| listed(&index(referrer), referrer, &bundle);
    ground
        .flip("the referrer", &referrer, &REFERRER_UNREAD, serve)
        .await;
    let path = format!("manifests/{}", Digest::of(&referrer));
    let served = listed(&index(&referrer), &referrer, &bundle);
    ground
        .flip_at_rest("the referrer at rest", &referrer, &path, &served)
        .await;
}

async fn bundle_flips(ground: &Ground, bundle: &[u8], unread: &[&str]) {
    let serve = |bundle: &[u8]| {
        let referrer = referrer(bundle);
        listed(&index(&referrer), &referrer, bundle)
    };
    ground.flip("the bundle", bundle, unread, serve).await;
    let path = format!("blobs/{}", Digest::of(bundle));
    ground
        .flip_at_rest("the bundle at rest", bundle, &path, &serve(bundle))
        .await;
}

#[tokio::test]
async fn no_flip_in_a_keyless_bundle_is_allowed() {
    let world = World::new();
    let ground = Ground::new(world.draft(), &world.roots()).await;
    bundle_flips(&ground, &world.bundle(), &KEYLESS_BUNDLE_UNREAD).await;
}

#[tokio::test]
async fn no_flip_in_a_keyless_attachment_is_allowed() {
    let world = World::new();
    let ground = Ground::new(world.draft(), &world.roots()).await;
    let (payload, layer) = world.layer(&ground.name);
    let serve = |manifest: &[u8]| attached(manifest, &payload);
    let manifest = attachment(&layer);
    let unread = [&MANIFEST_UNREAD[..], &ANNOTATIONS_UNREAD].concat();
    ground.flip("the manifest", &manifest, &unread, serve).await;
}
