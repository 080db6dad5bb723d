//! Both formats of signatures, and everything that makes one not count.

mod support;

use image_verifier::payload::SIGN_PREDICATE;
use image_verifier::reason::Reason;
use policy::authority::AuthorityDraft;
use policy::digest::Digest;
use policy::identity::{SignedIdentity, UnnamedSignatures};
use policy::model::{Mode, PolicyId};
use serde_json::json;

use support::sign::{BUNDLE, SIMPLE, Signer, attach, list, list_by_tag, referrer, statement};
use support::{Pull, assert_allowed, assert_refused, digest, draft};

#[tokio::test]
async fn an_attachment_by_the_policys_key_is_accepted() {
    let signer = Signer::new();
    let (answer, _) = Pull::by([draft(&[("release-key", &signer)])])
        .run(|content, name| {
            let layer = signer.layer(content, &digest(), name);
            attach(content, &digest(), &[layer]);
        })
        .await;
    assert_allowed(&answer);
    assert!(
        answer.line.contains("signed by release-key"),
        "{}",
        answer.line
    );
}

#[tokio::test]
async fn a_bundle_that_the_referrers_api_lists_is_accepted() {
    let signer = Signer::new();
    let (answer, _) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, _| {
            let bundle = signer.bundle(&digest()).to_string();
            let entry = referrer(content, BUNDLE, bundle.as_bytes());
            list(content, &digest(), &[entry]);
        })
        .await;
    assert_allowed(&answer);
}

#[tokio::test]
async fn a_bundle_that_the_fallback_tag_lists_under_another_type_is_accepted() {
    let signer = Signer::new();
    let (answer, _) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, _| {
            let bundle = signer.bundle(&digest()).to_string();
            let mut entry = referrer(content, BUNDLE, bundle.as_bytes());
            entry["artifactType"] = "application/vnd.oci.empty.v1+json".into();
            list_by_tag(content, &digest(), &[entry]);
        })
        .await;
    assert_allowed(&answer);
}

#[tokio::test]
async fn one_good_signature_among_bad_ones_is_enough() {
    let (signer, other) = (Signer::new(), Signer::new());
    let (answer, _) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, name| {
            let layers = [
                other.layer(content, &digest(), name),
                signer.layer(content, &digest(), name),
                signer.layer(content, &Digest::of(b"another"), name),
                json!({"mediaType": SIMPLE, "digest": Digest::of(b"gone"), "size": 1}),
            ];
            attach(content, &digest(), &layers);
            let entry = referrer(content, BUNDLE, b"not a bundle");
            list(content, &digest(), &[entry]);
        })
        .await;
    assert_allowed(&answer);
}

#[tokio::test]
async fn an_image_without_signatures_is_refused_as_no_signature() {
    let signer = Signer::new();
    let (answer, _) = Pull::by([draft(&[("a", &signer)])]).run(|_, _| ()).await;
    assert_refused(
        &answer,
        Reason::NoSignature,
        "policy `release` wants a signature by `a`",
    );
    assert!(
        answer
            .line
            .starts_with("SignatureValidationFailed: NoSignature (fatal): ")
    );
    assert!(answer.line.contains(digest().as_str()), "{}", answer.line);
}

#[tokio::test]
async fn a_signature_by_another_key_is_no_matching_signature() {
    let (signer, other) = (Signer::new(), Signer::new());
    let (answer, _) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, name| {
            let layer = other.layer(content, &digest(), name);
            attach(content, &digest(), &[layer]);
        })
        .await;
    assert_refused(&answer, Reason::NoMatchingSignature, "by another key");
}

#[tokio::test]
async fn a_keyless_bundle_does_not_match_a_key_and_says_so() {
    let signer = Signer::new();
    let (answer, _) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, _| {
            let mut bundle = signer.bundle(&digest());
            bundle["verificationMaterial"] = json!({"certificate": {"rawBytes": "MAA="}});
            let entry = referrer(content, BUNDLE, bundle.to_string().as_bytes());
            list(content, &digest(), &[entry]);
        })
        .await;
    assert_refused(&answer, Reason::NoMatchingSignature, "keyless");
}

#[tokio::test]
async fn a_signature_of_another_image_is_wrong_digest_in_either_format() {
    let signer = Signer::new();
    let other = Digest::of(b"another image");
    let (answer, _) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, name| {
            let layer = signer.layer(content, &other, name);
            attach(content, &digest(), &[layer]);
        })
        .await;
    assert_refused(&answer, Reason::WrongDigest, other.as_str());
    let (answer, _) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, _| {
            let entry = referrer(
                content,
                BUNDLE,
                signer.bundle(&other).to_string().as_bytes(),
            );
            list(content, &digest(), &[entry]);
        })
        .await;
    assert_refused(&answer, Reason::WrongDigest, other.as_str());
}

#[tokio::test]
async fn a_signature_under_another_name_is_wrong_identity() {
    let signer = Signer::new();
    let (answer, _) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, _| {
            let layer = signer.layer(content, &digest(), "example.com/other");
            attach(content, &digest(), &[layer]);
        })
        .await;
    assert_refused(&answer, Reason::WrongIdentity, "example.com/other");
}

#[tokio::test]
async fn a_bundle_without_a_name_is_refused_where_the_policy_wants_one() {
    let signer = Signer::new();
    let mut draft = draft(&[("a", &signer)]);
    draft.requirement.signed_identity = SignedIdentity::MatchRepository {
        unnamed: UnnamedSignatures::Refuse,
    };
    let (answer, _) = Pull::by([draft])
        .run(|content, _| {
            let entry = referrer(
                content,
                BUNDLE,
                signer.bundle(&digest()).to_string().as_bytes(),
            );
            list(content, &digest(), &[entry]);
        })
        .await;
    assert_refused(&answer, Reason::WrongIdentity, "names only a digest");
}

#[tokio::test]
async fn what_does_not_parse_is_a_malformed_signature() {
    let signer = Signer::new();
    for garbage in ["", "{", "[]", r#"{"mediaType":1}"#, "[[[["] {
        let (answer, _) = Pull::by([draft(&[("a", &signer)])])
            .run(|content, _| {
                let entry = referrer(content, BUNDLE, garbage.as_bytes());
                list(content, &digest(), &[entry]);
            })
            .await;
        assert_refused(&answer, Reason::MalformedSignature, "does not parse");
    }
    let (answer, _) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, _| {
            let layer = json!({"mediaType": SIMPLE, "digest": digest(), "size": 1});
            attach(content, &digest(), &[layer]);
        })
        .await;
    assert_refused(
        &answer,
        Reason::MalformedSignature,
        "no signature annotation",
    );
}

#[tokio::test]
async fn a_bare_message_signature_and_notation_are_unsupported_formats() {
    let signer = Signer::new();
    let (answer, _) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, _| {
            let mut bundle = signer.bundle(&digest());
            bundle.as_object_mut().unwrap().remove("dsseEnvelope");
            bundle["messageSignature"] = json!({"signature": "AAAA"});
            let entry = referrer(content, BUNDLE, bundle.to_string().as_bytes());
            list(content, &digest(), &[entry]);
        })
        .await;
    assert_refused(&answer, Reason::UnsupportedFormat, "message signature");
    let (answer, requests) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, _| {
            let entry = referrer(content, "application/vnd.cncf.notary.signature", b"x");
            list(content, &digest(), &[entry]);
        })
        .await;
    assert_refused(&answer, Reason::UnsupportedFormat, "Notary");
    assert!(
        !requests
            .iter()
            .any(|path| path.starts_with("manifests/sha256:")),
        "{requests:?}"
    );
}

#[tokio::test]
async fn an_attestation_by_the_same_signer_does_not_count() {
    let signer = Signer::new();
    for annotated in [false, true] {
        let (answer, requests) = Pull::by([draft(&[("a", &signer)])])
            .run(|content, _| {
                let sbom = statement(&digest(), "https://spdx.dev/Document");
                let bundle = signer.statement_bundle(&sbom).to_string();
                let mut entry = referrer(content, BUNDLE, bundle.as_bytes());
                if annotated {
                    let predicate = "https://spdx.dev/Document";
                    entry["annotations"] = json!({"dev.sigstore.bundle.predicateType": predicate});
                }
                list(content, &digest(), &[entry]);
            })
            .await;
        assert_refused(&answer, Reason::NoSignature, "attestation");
        let fetched = requests.iter().any(|path| path.starts_with("blobs/"));
        assert_eq!(fetched, !annotated);
    }
}

#[tokio::test]
async fn an_annotation_cannot_turn_an_attestation_into_a_signature() {
    let signer = Signer::new();
    let (answer, _) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, _| {
            let sbom = statement(&digest(), "https://spdx.dev/Document");
            let bundle = signer.statement_bundle(&sbom).to_string();
            let mut entry = referrer(content, BUNDLE, bundle.as_bytes());
            entry["annotations"] = json!({"dev.sigstore.bundle.predicateType": SIGN_PREDICATE});
            list(content, &digest(), &[entry]);
        })
        .await;
    assert_refused(&answer, Reason::NoSignature, "attestation");
}

#[tokio::test]
async fn a_threshold_wants_distinct_signers() {
    let signers = [Signer::new(), Signer::new(), Signer::new()];
    let [a, b, c] = &signers;
    let mut two_of_three = draft(&[("a", a), ("b", b), ("c", c)]);
    two_of_three.requirement.threshold = 2;
    for (signed_by, passes) in [
        (vec![a, b], true),
        (vec![c, a], true),
        (vec![a], false),
        (vec![a, a, a], false),
    ] {
        let (answer, _) = Pull::by([two_of_three.clone()])
            .run(|content, name| {
                let layers: Vec<_> = signed_by
                    .iter()
                    .map(|signer| signer.layer(content, &digest(), name))
                    .collect();
                attach(content, &digest(), &layers);
            })
            .await;
        if passes {
            assert_allowed(&answer);
        } else {
            assert_refused(&answer, Reason::NoMatchingSignature, "2 of `a`");
            assert!(answer.line.contains("has 1"), "{}", answer.line);
            let advice = "Another of these authorities has to sign too";
            assert!(answer.line.contains(advice), "{}", answer.line);
        }
    }
}

#[tokio::test]
async fn one_authority_with_two_keys_is_one_signer() {
    let (first, second, b) = (Signer::new(), Signer::new(), Signer::new());
    let mut both = draft(&[("a", &first), ("b", &b)]);
    let keys = first.pem() + &second.pem();
    both.requirement.authorities[0] = AuthorityDraft::key("a", keys);
    both.requirement.threshold = 2;
    for (signed_by, passes) in [
        ([&first, &second], false),
        ([&second, &first], false),
        // Either key counts, once.
        ([&first, &b], true),
        ([&second, &b], true),
    ] {
        let (answer, _) = Pull::by([both.clone()])
            .run(|content, name| {
                let layers = signed_by.map(|signer| signer.layer(content, &digest(), name));
                attach(content, &digest(), &layers);
            })
            .await;
        if passes {
            assert_allowed(&answer);
        } else {
            assert_refused(&answer, Reason::NoMatchingSignature, "`a` (2 keys)");
            assert!(answer.line.contains("has 1"), "{}", answer.line);
        }
    }
}

#[tokio::test]
async fn advice_speaks_of_that_key_only_where_there_is_one() {
    let signers = [Signer::new(), Signer::new(), Signer::new()];
    let [a, b, other] = &signers;
    let one_of_two = draft(&[("a", a), ("b", b)]);
    let mut two_of_two = one_of_two.clone();
    two_of_two.requirement.threshold = 2;
    for (draft, advice) in [
        (draft(&[("a", a)]), "Sign with that key, or"),
        (one_of_two, "Sign with a key of the policy, or"),
        (two_of_two, "Sign with a key of the policy, or"),
    ] {
        let (answer, _) = Pull::by([draft])
            .run(|content, name| {
                let layer = other.layer(content, &digest(), name);
                attach(content, &digest(), &[layer]);
            })
            .await;
        assert_refused(&answer, Reason::NoMatchingSignature, advice);
    }
}

#[tokio::test]
async fn every_enforcing_policy_must_pass() {
    let (a, b) = (Signer::new(), Signer::new());
    let mut second = draft(&[("b", &b)]);
    second.id = PolicyId::Cluster {
        name: "second".to_owned(),
    };
    for (signed_by, passes) in [(vec![&a, &b], true), (vec![&a], false)] {
        let (answer, _) = Pull::by([draft(&[("a", &a)]), second.clone()])
            .run(|content, name| {
                let layers: Vec<_> = signed_by
                    .iter()
                    .map(|signer| signer.layer(content, &digest(), name))
                    .collect();
                attach(content, &digest(), &layers);
            })
            .await;
        if passes {
            assert_allowed(&answer);
        } else {
            assert_refused(&answer, Reason::NoMatchingSignature, "policy `second`");
        }
    }
}

#[tokio::test]
async fn audit_never_denies_and_tells_what_it_would_have_done() {
    let (signer, other) = (Signer::new(), Signer::new());
    for (by, would) in [(&signer, "allow"), (&other, "refuse")] {
        let mut audit = draft(&[("a", &signer)]);
        audit.requirement.mode = Mode::Audit;
        let (answer, _) = Pull::by([audit])
            .run(|content, name| {
                let layer = by.layer(content, &digest(), name);
                attach(content, &digest(), &[layer]);
            })
            .await;
        assert_allowed(&answer);
        let [line] = answer.diagnostics.as_slice() else {
            panic!("{:?}", answer.diagnostics)
        };
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&line["would"], &line["policy"]),
            (&json!(would), &json!("release"))
        );
    }
}
