//! An index and its manifests: whose signature counts, and what is said where the other is signed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "it is how a test fails")]

mod support;

use std::time::Duration;

use image_verifier::environment::Environment;
use image_verifier::inspect::{Inspection, inspect};
use image_verifier::limits::deadline;
use image_verifier::reason::Reason;
use image_verifier::run::{Answer, IndexSignature, Options, Subject, decide_as};
use policy::bundle::DefaultAction;
use policy::digest::Digest;
use policy::model::PolicyDraft;
use policy::reference::Reference;
use policy::verifier::{Access, Limits, VerifierPolicy};
use serde_json::{Value, json};
use tokio::time::Instant;

use support::registry::{Content, INDEX, MANIFEST, Registry, Reply};
use support::sign::{Signer, attach};
use support::{assert_allowed, assert_refused, draft, limits, policy_of};

use IndexSignature::{Itself, PlatformAlone, Platforms};

/// An index in a registry, and who signs what in it.
struct Scene {
    policies: Vec<PolicyDraft>,
    manifests: Vec<Value>,
    options: Options,
    limits: Limits,
}

fn manifest(name: &str, architecture: &str) -> Value {
    json!({"mediaType": MANIFEST, "digest": digest(name), "size": 1,
        "platform": {"os": "linux", "architecture": architecture}})
}

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// With two manifests, of which an amd64 node may choose one.
fn scene(policies: &[PolicyDraft], index_signature: IndexSignature) -> Scene {
    let attestation = json!({"mediaType": MANIFEST, "digest": digest("attestation"), "size": 1,
        "platform": {"os": "unknown", "architecture": "unknown"}});
    Scene {
        policies: policies.to_vec(),
        manifests: vec![
            manifest("amd64", "amd64"),
            manifest("s390x", "s390x"),
            attestation,
        ],
        options: Options {
            index_signature,
            platform: "linux/amd64".parse().unwrap(),
            explains: true,
        },
        limits: Limits::default(),
    }
}

impl Scene {
    fn index(&self) -> Vec<u8> {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": self.manifests});
        index.to_string().into_bytes()
    }

    /// A pull of the index; `sign` is given its digest and the image's repository.
    async fn pull(self, sign: impl FnOnce(&mut Content, &Digest, &str)) -> (Answer, Vec<String>) {
        let (registry, policy, subject) = self.serve(sign).await;
        let end = Instant::now() + deadline(&policy.limits);
        let environment = Environment::default();
        let answer = decide_as(None, &subject, &policy, &environment, end, &self.options).await;
        (answer, registry.requests())
    }

    /// A look at the index, as at a desk.
    async fn inspect(self, sign: impl FnOnce(&mut Content, &Digest, &str)) -> Inspection {
        let (_registry, policy, subject) = self.serve(sign).await;
        let decision = policy.flat.decide(&subject.image);
        let end = Instant::now() + deadline(&policy.limits);
        let (access, environment) = (Access::none(), Environment::default());
        let limits = &policy.limits;
        inspect(
            &subject,
            &decision,
            &access,
            limits,
            &environment,
            end,
            &self.options,
        )
        .await
    }

    async fn serve(
        &self,
        sign: impl FnOnce(&mut Content, &Digest, &str),
    ) -> (Registry, VerifierPolicy, Subject) {
        let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = reserved.local_addr().unwrap().port();
        drop(reserved);
        let repository = format!("127.0.0.1:{port}/app");
        let index = self.index();
        let digest = Digest::of(&index);
        let mut content = Content::default();
        let path = format!("manifests/{digest}");
        content.put(&path, Reply::ok(INDEX, index));
        sign(&mut content, &digest, &repository);
        let registry = Registry::start_on(port, content).await;
        let policy = policy_of(&self.policies, DefaultAction::Allow, &[], self.limits);
        let subject = Subject {
            image: Reference::parse(&format!("{repository}:v1")).unwrap(),
            digest,
        };
        (registry, policy, subject)
    }
}

fn sign(content: &mut Content, signers: &[&Signer], digest: &Digest, name: &str) {
    let layers = signers
        .iter()
        .map(|signer| signer.layer(content, digest, name));
    let layers: Vec<Value> = layers.collect();
    attach(content, digest, &layers);
}

#[tokio::test]
async fn a_signed_index_passes_without_a_look_at_its_manifests() {
    let signer = Signer::new();
    for way in [Itself, Platforms] {
        let scene = scene(&[draft(&[("a", &signer)])], way);
        let (answer, requests) = scene
            .pull(|content, index, name| sign(content, &[&signer], index, name))
            .await;
        assert_allowed(&answer);
        let manifests = [digest("amd64"), digest("s390x")];
        for request in &requests {
            assert!(
                !manifests.iter().any(|it| request.contains(it.hex())),
                "{request}"
            );
            assert!(!request.starts_with("manifests/sha256:"), "{request}");
        }
    }
}

#[tokio::test]
async fn signed_manifests_alone_are_refused_by_default_and_the_line_says_what_to_do() {
    let signer = Signer::new();
    let (answer, _) = scene(&[draft(&[("a", &signer)])], Itself)
        .pull(|content, _, name| sign(content, &[&signer], &digest("amd64"), name))
        .await;
    assert_refused(&answer, Reason::NoSignature, "RecursiveSigningNeeded");
    assert!(
        answer.line.contains("cosign sign --recursive"),
        "{}",
        answer.line
    );
}

#[tokio::test]
async fn nothing_is_explained_by_manifests_that_are_not_signed_either() {
    let (signer, other) = (Signer::new(), Signer::new());
    let (answer, _) = scene(&[draft(&[("a", &signer)])], Itself)
        .pull(|content, _, name| {
            sign(content, &[&other], &digest("amd64"), name);
            sign(content, &[&signer], &digest("s390x"), name);
        })
        .await;
    assert_refused(&answer, Reason::NoSignature, "no signature was found");
    assert!(!answer.line.contains("Recursive"), "{}", answer.line);
}

#[tokio::test]
async fn an_explanation_that_takes_long_is_left_out_and_changes_nothing() {
    let signer = Signer::new();
    let mut scene = scene(&[draft(&[("a", &signer)])], Itself);
    scene.limits = limits(Duration::from_hours(1));
    let pull = scene.pull(|content, index, _| {
        content.put(&format!("manifests/{index}"), Reply::Stall);
    });
    let (answer, _) = tokio::time::timeout(Duration::from_mins(2), pull)
        .await
        .unwrap();
    assert_refused(&answer, Reason::NoSignature, "no signature was found");
}

#[tokio::test]
async fn signed_manifests_count_where_they_are_told_to() {
    let signer = Signer::new();
    for way in [Platforms, PlatformAlone] {
        let (answer, _) = scene(&[draft(&[("a", &signer)])], way)
            .pull(|content, _, name| sign(content, &[&signer], &digest("amd64"), name))
            .await;
        assert_allowed(&answer);
        assert!(answer.line.contains("signed by a"), "{}", answer.line);
    }
}

#[tokio::test]
async fn one_manifest_that_is_not_signed_refuses_the_index() {
    let signer = Signer::new();
    for evil in [
        manifest("evil", "amd64"),
        manifest("evil", "386"),
        manifest("evil", "x86_64"),
        json!({"mediaType": MANIFEST, "digest": digest("evil"), "size": 1}),
    ] {
        let mut scene = scene(&[draft(&[("a", &signer)])], Platforms);
        scene.manifests.push(evil);
        let (answer, _) = scene
            .pull(|content, _, name| sign(content, &[&signer], &digest("amd64"), name))
            .await;
        assert_refused(&answer, Reason::NoSignature, digest("evil").as_str());
    }
}

#[tokio::test]
async fn each_manifest_has_to_meet_the_whole_threshold_by_itself() {
    let (first, second) = (Signer::new(), Signer::new());
    for (by, passes) in [([&first, &second], true), ([&first, &first], false)] {
        let mut draft = draft(&[("a", &first), ("b", &second)]);
        draft.requirement.threshold = 2;
        let mut scene = scene(&[draft], Platforms);
        scene.manifests.push(manifest("386", "386"));
        let (answer, _) = scene
            .pull(|content, index, name| {
                sign(content, &[&first, &second], &digest("amd64"), name);
                sign(content, &by, &digest("386"), name);
                // That of the index does not make up for it.
                sign(content, &[&second], index, name);
            })
            .await;
        if passes {
            assert_allowed(&answer);
        } else {
            assert_refused(&answer, Reason::NoMatchingSignature, "signatures by 2 of");
        }
    }
}

#[tokio::test]
async fn every_policy_has_to_pass_by_the_index_or_by_all_manifests() {
    let (first, second) = (Signer::new(), Signer::new());
    for (by, passes) in [(&second, true), (&first, false)] {
        let mut other = draft(&[("b", &second)]);
        other.id = policy::model::PolicyId::Cluster {
            name: "other".to_owned(),
        };
        let (answer, _) = scene(&[draft(&[("a", &first)]), other], Platforms)
            .pull(|content, index, name| {
                sign(content, &[&first], index, name);
                sign(content, &[by], &digest("amd64"), name);
            })
            .await;
        if passes {
            assert_allowed(&answer);
        } else {
            assert_refused(&answer, Reason::NoMatchingSignature, "policy `other`");
        }
    }
}

#[tokio::test]
async fn an_index_that_does_not_have_its_digest_is_refused() {
    let signer = Signer::new();
    for way in [Platforms, PlatformAlone] {
        let forged = json!({"mediaType": INDEX, "manifests": [manifest("amd64", "amd64")]});
        let mut scene = scene(&[draft(&[("a", &signer)])], way);
        scene.manifests = vec![manifest("evil", "amd64")];
        let (answer, _) = scene
            .pull(|content, index, name| {
                let path = format!("manifests/{index}");
                content.put(&path, Reply::ok(INDEX, forged.to_string()));
                sign(content, &[&signer], &digest("amd64"), name);
            })
            .await;
        assert_refused(&answer, Reason::DigestMismatch, "served content");
    }
}

#[tokio::test]
async fn a_signature_of_one_manifest_does_not_count_for_another() {
    let signer = Signer::new();
    for way in [Platforms, PlatformAlone] {
        let mut scene = scene(&[draft(&[("a", &signer)])], way);
        scene.manifests = vec![manifest("evil", "amd64")];
        let (answer, _) = scene
            .pull(|content, _, name| {
                // A real one, hung under the other digest.
                let layer = signer.layer(content, &digest("amd64"), name);
                attach(content, &digest("evil"), &[layer]);
            })
            .await;
        assert_refused(&answer, Reason::WrongDigest, digest("amd64").as_str());
    }
}

#[tokio::test]
async fn more_manifests_than_are_looked_at_refuse_the_index() {
    let signer = Signer::new();
    for way in [Platforms, PlatformAlone] {
        let mut scene = scene(&[draft(&[("a", &signer)])], way);
        let names: Vec<String> = (0..17).map(|number| format!("m{number}")).collect();
        scene.manifests = names.iter().map(|name| manifest(name, "amd64")).collect();
        let (answer, requests) = scene
            .pull(|content, _, name| {
                for manifest in &names {
                    sign(content, &[&signer], &digest(manifest), name);
                }
            })
            .await;
        assert_refused(&answer, Reason::LimitExceeded, "more than 16 manifests");
        assert!(requests.len() < 8, "{requests:?}");
    }
}

#[tokio::test]
async fn an_index_in_the_index_has_to_be_signed_itself() {
    let signer = Signer::new();
    for (signed, passes) in [("nested", true), ("inner", false)] {
        let mut scene = scene(&[draft(&[("a", &signer)])], Platforms);
        let nested = json!({"mediaType": INDEX, "digest": digest("nested"), "size": 1,
            "platform": {"os": "linux", "architecture": "s390x"}});
        scene.manifests.push(nested);
        let (answer, _) = scene
            .pull(|content, _, name| {
                sign(content, &[&signer], &digest("amd64"), name);
                sign(content, &[&signer], &digest(signed), name);
            })
            .await;
        if passes {
            assert_allowed(&answer);
        } else {
            assert_refused(&answer, Reason::NoSignature, digest("nested").as_str());
        }
    }
}

#[tokio::test]
async fn an_index_without_a_manifest_for_the_platform_is_refused() {
    let signer = Signer::new();
    for way in [Platforms, PlatformAlone] {
        let mut scene = scene(&[draft(&[("a", &signer)])], way);
        scene.manifests.remove(0);
        let (answer, _) = scene.pull(|_, _, _| ()).await;
        assert_refused(&answer, Reason::NoSignature, "no manifest for linux/amd64");
    }
}

#[tokio::test]
async fn a_signed_index_is_refused_where_its_manifest_alone_counts_and_the_line_says_so() {
    let signer = Signer::new();
    let (answer, _) = scene(&[draft(&[("a", &signer)])], PlatformAlone)
        .pull(|content, index, name| sign(content, &[&signer], index, name))
        .await;
    assert_refused(&answer, Reason::NoSignature, "RecursiveSigningNeeded");
    assert!(
        answer.line.contains("cosign sign --recursive"),
        "{}",
        answer.line
    );
}

#[tokio::test]
async fn an_image_for_one_platform_is_looked_at_itself_in_every_way() {
    let signer = Signer::new();
    for way in [Itself, Platforms, PlatformAlone] {
        for passes in [true, false] {
            let scene = scene(&[draft(&[("a", &signer)])], way);
            // Whatever is in it: it is what the registry calls it.
            let bytes = scene.index();
            let (answer, _) = scene
                .pull(|content, image, name| {
                    content.put(&format!("manifests/{image}"), Reply::ok(MANIFEST, bytes));
                    let other = digest("amd64");
                    let it = if passes { image } else { &other };
                    sign(content, &[&signer], it, name);
                })
                .await;
            if passes {
                assert_allowed(&answer);
            } else {
                assert_refused(&answer, Reason::NoSignature, "no signature was found");
            }
        }
    }
}

#[tokio::test]
async fn at_a_desk_it_shows_whose_signature_counts_and_where() {
    let signer = Signer::new();
    for (way, signs_index) in [
        (Itself, false),
        (Platforms, false),
        (PlatformAlone, false),
        (PlatformAlone, true),
    ] {
        let scene = scene(&[draft(&[("a", &signer)])], way);
        let found = scene.inspect(|content, index, name| {
            let amd64 = digest("amd64");
            let it = if signs_index { index } else { &amd64 };
            sign(content, &[&signer], it, name);
        });
        let found = Box::pin(found).await;
        let passes = way != Itself && !signs_index;
        assert_eq!(found.verdict.refusal.is_none(), passes, "{way:?}");
        let [policy] = found.policies.as_slice() else {
            panic!("{:?}", found.policies)
        };
        let [authority] = policy.authorities.as_slice() else {
            panic!("{:?}", policy.authorities)
        };
        assert_eq!(authority.refusal.is_none(), passes, "{authority:?}");
        let origin = format!("manifest {}", digest("amd64"));
        assert_eq!(
            authority.signatures,
            if passes { vec![origin] } else { Vec::new() }
        );
        let [manifest] = found.manifests.as_slice() else {
            panic!("{:?}", found.manifests)
        };
        assert_eq!(manifest.digest, digest("amd64"));
        assert_eq!(manifest.platform, "`linux/amd64`");
        assert_eq!(manifest.verdict.refusal.is_none(), !signs_index);
    }
}
