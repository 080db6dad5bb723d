use std::sync::Arc;

use policy::authority::{AuthorityDraft, SignerDraft, TrustRootRef, TrustedRoot};
use policy::bundle::Settings;
use policy::identity::{SignedIdentity, UnnamedSignatures};
use policy::keyless::{IdentityDraft, PatternDraft};
use policy::model::{Mode, OnUnsupported, Policy, PolicyDraft, PolicyId, RequirementDraft};
use policy::trust::TrustRoot;
use serde_json::json;

use super::*;

const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAVhbLJ0XQMaEL1dIof7PXYrjfr6q\nURdT+RuJl4KiPJKQErWxIGZgdJ0QfMCxmOGrVxQ9/T+7H0h1CZie9nVKSQ==\n-----END PUBLIC KEY-----\n";

fn policy(name: &str, scopes: Vec<String>) -> Policy {
    Policy::try_from(PolicyDraft {
        id: PolicyId::Cluster { name: name.into() },
        scopes,
        exclude: Vec::new(),
        on_unsupported: OnUnsupported::Ignore,
        requirement: RequirementDraft {
            mode: Mode::Enforce,
            threshold: 1,
            authorities: vec![AuthorityDraft::key("a", KEY)],
            signed_identity: SignedIdentity::MatchRepository {
                unnamed: UnnamedSignatures::Accept,
            },
        },
    })
    .unwrap()
}

fn bundle() -> Bundle {
    let scopes = vec!["registry.example.com".to_owned()];
    Bundle::new(Settings::default(), [policy("p", scopes)])
}

fn spec_of(json: &[u8]) -> (String, PolicyBundleSpec) {
    let data = STANDARD.encode(compress(json));
    let format = FORMAT;
    (
        object_name(&Digest::of(json)),
        PolicyBundleSpec { format, data },
    )
}

#[test]
fn a_bundle_comes_back_as_it_was_under_the_name_of_its_digest() {
    let bundle = bundle();
    let name = object_name(&bundle.digest());
    assert_eq!(digest_of(&name), Some(bundle.digest()));
    let spec = encode(&bundle).unwrap();
    assert_eq!(encode(&bundle).unwrap(), spec);
    assert_eq!(decode(&name, &spec).unwrap(), bundle);
}

#[test]
fn a_trust_root_of_two_policies_stands_in_the_bundle_once() {
    let root = include_str!("../../policy/testdata/certificates/root-a.pem");
    let root = TrustRoot::from_pem(Some(root), &[KEY.to_owned()], &[], None).unwrap();
    let keyless = |name: &str| {
        let mut draft = PolicyDraft::from(policy(name, vec!["registry.example.com".to_owned()]));
        let exact = |text: &str| PatternDraft::Exact(text.to_owned());
        draft.requirement.authorities[0].signer = SignerDraft::Keyless {
            trust_root: TrustRootRef {
                name: "sigstore".to_owned(),
                digest: root.digest(),
            },
            identities: vec![IdentityDraft {
                issuer: exact("https://issuer.example.com"),
                subject: exact("a@example.com"),
                claims: std::collections::BTreeMap::new(),
            }],
        };
        let roots = [(root.digest(), Arc::new(root.clone()))].into();
        Policy::new(draft, &roots).unwrap()
    };
    let bundle = Bundle::new(Settings::default(), [keyless("p"), keyless("q")]);
    let name = object_name(&bundle.digest());
    let back = decode(&name, &encode(&bundle).unwrap()).unwrap();
    assert_eq!(back, bundle);
    assert_eq!(
        back.trust_roots().into_keys().collect::<Vec<_>>(),
        [root.digest()]
    );
    let held = back.policies().flat_map(Policy::trust_roots);
    assert!(held.map(TrustedRoot::root).all(|held| **held == root));
    let json: serde_json::Value = serde_json::from_slice(&bundle.to_json()).unwrap();
    assert_eq!(json["trustRoots"].as_array().unwrap().len(), 1);

    // One that no policy needs, or that stands there twice, is no form of this bundle.
    for roots in [json!([root, root]), json!([])] {
        let mut json = json.clone();
        json["trustRoots"] = roots;
        let (name, spec) = spec_of(&serde_json::to_vec(&json).unwrap());
        assert!(matches!(decode(&name, &spec), Err(BundleError::Content(_))));
    }
}

#[test]
fn a_bundle_under_another_name_is_refused() {
    let spec = encode(&bundle()).unwrap();
    let other = object_name(&Bundle::default().digest());
    let error = decode(&other, &spec).unwrap_err();
    assert!(matches!(error, BundleError::Digest { .. }), "{error}");
    assert!(!error.is_newer());
    let upper = object_name(&bundle().digest()).to_uppercase();
    for name in ["", "sha256-", "sha256-1234", "p", &upper] {
        let error = decode(name, &spec).unwrap_err();
        assert!(matches!(error, BundleError::Name(_)), "{name}: {error}");
    }
}

#[test]
fn what_is_damaged_is_refused() {
    let name = object_name(&bundle().digest());
    let spec = encode(&bundle()).unwrap();
    let with = |data: &str| PolicyBundleSpec {
        format: FORMAT,
        data: data.to_owned(),
    };
    let short = &spec.data[..spec.data.len() / 8 * 4];
    assert!(matches!(
        decode(&name, &with("!")),
        Err(BundleError::Base64(_))
    ));
    for data in ["", "YWJj", short] {
        let error = decode(&name, &with(data)).unwrap_err();
        assert!(matches!(error, BundleError::Gzip(_)), "{data}: {error}");
    }
}

#[test]
fn a_small_object_that_unfolds_without_end_is_refused() {
    let (name, spec) = spec_of(&vec![b' '; MAX_JSON + 1]);
    assert!(spec.data.len() < 100_000);
    assert!(matches!(decode(&name, &spec), Err(BundleError::TooLarge)));
    // One byte less is read, and is no bundle.
    let (name, spec) = spec_of(&vec![b' '; MAX_JSON]);
    assert!(matches!(decode(&name, &spec), Err(BundleError::Content(_))));
    let (name, mut spec) = spec_of(b"{}");
    spec.data = "A".repeat(MAX_DATA + 4);
    assert!(matches!(decode(&name, &spec), Err(BundleError::TooLarge)));
}

#[test]
fn a_newer_format_and_newer_fields_are_refused_as_newer() {
    let name = object_name(&bundle().digest());
    let mut spec = encode(&bundle()).unwrap();
    spec.format = 2;
    let error = decode(&name, &spec).unwrap_err();
    assert!(matches!(error, BundleError::Format(2)) && error.is_newer());

    let json = String::from_utf8(bundle().to_json()).unwrap();
    for newer in ["\"format\": 2", "\"format\": 1, \"extra\": 0"] {
        let json = json.replacen("\"format\": 1", newer, 1);
        let (name, spec) = spec_of(json.as_bytes());
        let error = decode(&name, &spec).unwrap_err();
        assert!(matches!(error, BundleError::Content(_)), "{error}");
        assert!(error.is_newer(), "{error}");
    }
}

#[test]
fn policies_that_do_not_fit_are_not_written() {
    // Digests of numbers as paths: nothing that compresses well.
    let scope = |number: usize| {
        let digest = Digest::of(number.to_string().as_bytes());
        format!("registry.example.com/{}", digest.hex())
    };
    let many = |policies: usize| {
        let policy = |number: usize| {
            let scopes = (0..256).map(|index| scope(number * 256 + index)).collect();
            policy(&format!("p{number}"), scopes)
        };
        Bundle::new(Settings::default(), (0..policies).map(policy))
    };
    assert!(encode(&many(10)).is_ok());
    let error = encode(&many(100)).unwrap_err();
    assert!(matches!(error, TooLarge::Data(_)), "{error}");
    let error = encode(&many(800)).unwrap_err();
    assert!(matches!(error, TooLarge::Json(_)), "{error}");
}
