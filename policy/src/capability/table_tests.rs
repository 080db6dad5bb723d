//! Every row of the table is asked of policies that say what it says.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::authority::{AuthorityDraft, SignerDraft, TrustRootRef};
use crate::capability::of;
use crate::identity::{SignedIdentity, UnnamedSignatures};
use crate::keyless::{IdentityDraft, PatternDraft};
use crate::model::{Mode, Policy, PolicyDraft, PolicyId};
use crate::testing::{KEYS, authority, certified, draft, keyless, named, public_good};
use crate::trust::TrustRoot;

const ISSUER: &str = "https://accounts.example.com";
const EMAIL: &str = "release@example.com";
/// Seven more keys, so that a threshold has more than 64 combinations.
const MANY: usize = 9;

/// A trust root with the authority of the public-good one and these log keys.
fn logs(keys: &[&str]) -> Arc<TrustRoot> {
    let fulcio = public_good().fulcio_roots()[0].to_pem();
    let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
    Arc::new(TrustRoot::from_pem(Some(&fulcio), &keys, &[], None).unwrap())
}

/// One whose only log has an Ed25519 key.
fn without_ecdsa() -> Arc<TrustRoot> {
    let json = sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;
    let mut value: serde_json::Value = serde_json::from_str(json).unwrap();
    let logs = value["tlogs"].as_array_mut().unwrap();
    logs.retain(|log| !log["publicKey"]["keyDetails"].to_string().contains("ECDSA"));
    assert!(
        !logs.is_empty(),
        "the public-good root has a log of Rekor v2"
    );
    let root = TrustRoot::from_trusted_root_json(&value.to_string())
        .unwrap()
        .root;
    assert_eq!(
        (root.p256_rekor_keys().len(), root.rekor_keys().count()),
        (0, 1)
    );
    Arc::new(root)
}

/// A policy after one change, with a reference to this trust root at hand.
fn sample(root: &Arc<TrustRoot>, change: impl FnOnce(&mut PolicyDraft, &TrustRootRef)) -> Policy {
    let (reference, roots) = named(root);
    let mut draft = draft("p", &["a.example"], &[]);
    change(&mut draft, &reference);
    Policy::new(draft, &roots).unwrap()
}

fn of_draft(change: impl FnOnce(&mut PolicyDraft)) -> Policy {
    sample(&public_good(), |draft, _| change(draft))
}

fn of_authorities(
    root: &Arc<TrustRoot>,
    threshold: u32,
    authorities: impl FnOnce(&TrustRootRef) -> Vec<AuthorityDraft>,
) -> Policy {
    sample(root, |draft, reference| {
        draft.requirement.threshold = threshold;
        draft.requirement.authorities = authorities(reference);
    })
}

fn logged(mut authority: AuthorityDraft, root: &TrustRootRef) -> AuthorityDraft {
    match &mut authority.signer {
        SignerDraft::Key {
            transparency_log, ..
        }
        | SignerDraft::Certificate {
            transparency_log, ..
        } => {
            *transparency_log = Some(root.clone());
        }
        SignerDraft::Keyless { .. } => panic!("keyless always has a log"),
    }
    authority
}

fn of_identities(identities: &[(&str, PatternDraft, PatternDraft)]) -> Policy {
    let drafts = identities
        .iter()
        .map(|(claim, issuer, subject)| IdentityDraft {
            issuer: issuer.clone(),
            subject: subject.clone(),
            claims: (!claim.is_empty())
                .then(|| ("sourceRepositoryURI".to_owned(), (*claim).to_owned()))
                .into_iter()
                .collect(),
        });
    of_authorities(&public_good(), 1, |root| {
        vec![AuthorityDraft {
            name: "ci".to_owned(),
            signer: SignerDraft::Keyless {
                trust_root: root.clone(),
                identities: drafts.collect(),
            },
        }]
    })
}

fn exact(text: &str) -> PatternDraft {
    PatternDraft::Exact(text.to_owned())
}

fn like(text: &str) -> PatternDraft {
    PatternDraft::RegExp(text.to_owned())
}

fn generated_key() -> String {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    ::pem::encode(&::pem::Pem::new("PUBLIC KEY", der.as_ref().to_vec()))
}

fn keys_with_thresholds() -> Vec<(&'static str, Vec<Policy>)> {
    let root = public_good();
    let rotation = format!("{}{}", KEYS[0], KEYS[1]);
    let three = || {
        (0..3)
            .map(|i| authority(&format!("a{i}"), KEYS[i]))
            .collect()
    };
    let many = (0..MANY)
        .map(|i| authority(&format!("a{i}"), &generated_key()))
        .collect();
    vec![
        ("`key` with one key", vec![of_draft(|_| {})]),
        (
            "`key` with several keys (rotation)",
            vec![of_authorities(&root, 1, |_| {
                vec![authority("a", &rotation)]
            })],
        ),
        (
            "`threshold` equal to the number of authorities, of any kind",
            vec![of_authorities(&root, 3, |_| three())],
        ),
        (
            "a smaller `threshold` of `key` authorities, up to 64 combinations",
            vec![
                of_authorities(&root, 1, |_| three()),
                of_authorities(&root, 2, |_| three()),
                of_authorities(&root, 2, |reference| {
                    let three: Vec<AuthorityDraft> = three();
                    three
                        .into_iter()
                        .map(|one| logged(one, reference))
                        .collect()
                }),
            ],
        ),
        (
            "a smaller `threshold` of `key` authorities, more combinations",
            vec![of_authorities(&root, 5, |_| many)],
        ),
        (
            "a smaller `threshold` of `key` authorities whose `transparencyLog` differs",
            vec![of_authorities(&root, 1, |reference| {
                let first = logged(authority("a", KEYS[0]), reference);
                vec![first, authority("b", KEYS[1])]
            })],
        ),
        (
            "a smaller `threshold` with `keyless` or `certificate` authorities",
            vec![
                of_authorities(&root, 1, |_| {
                    vec![authority("a", KEYS[0]), certified("b", EMAIL)]
                }),
                of_authorities(&root, 1, |reference| {
                    let second = keyless("c", reference, ISSUER, "other@example.com");
                    vec![keyless("b", reference, ISSUER, EMAIL), second]
                }),
            ],
        ),
    ]
}

fn logs_and_identities() -> Vec<(&'static str, Vec<Policy>)> {
    let (one, two) = (logs(&KEYS[..1]), logs(&KEYS[..2]));
    let none = without_ecdsa();
    let by_key = |root: &Arc<TrustRoot>| {
        of_authorities(root, 1, |reference| {
            vec![logged(authority("a", KEYS[2]), reference)]
        })
    };
    let by_identity = |root: &Arc<TrustRoot>| {
        of_authorities(root, 1, |reference| {
            vec![keyless("ci", reference, ISSUER, EMAIL)]
        })
    };
    let uri = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1";
    vec![
        (
            "`transparencyLog`, trust root with one ECDSA P-256 log key",
            vec![by_key(&one), by_key(&public_good())],
        ),
        (
            "`transparencyLog`, trust root with several ECDSA P-256 log keys",
            vec![by_key(&two)],
        ),
        (
            "`keyless`: one identity, exact `issuer`, an e-mail address as exact `subject`; trust root with one ECDSA P-256 log key",
            vec![by_identity(&one), by_identity(&public_good())],
        ),
        (
            "the same, trust root with several ECDSA P-256 log keys",
            vec![by_identity(&two)],
        ),
        (
            "`keyless`: several identities, URIs, regular expressions, `claims`",
            vec![
                of_identities(&[
                    ("", exact(ISSUER), exact(EMAIL)),
                    ("", exact(ISSUER), exact("other@example.com")),
                ]),
                of_identities(&[("", exact(ISSUER), exact(uri))]),
                of_identities(&[("", like("https://.*\\.example\\.com"), exact(EMAIL))]),
                of_identities(&[("", exact(ISSUER), like(".*@example\\.com"))]),
                of_identities(&[("https://github.com/acme/app", exact(ISSUER), exact(EMAIL))]),
            ],
        ),
        (
            "`transparencyLog` or `keyless`, trust root without any ECDSA P-256 log key",
            vec![by_key(&none), by_identity(&none)],
        ),
        (
            "`certificate`",
            vec![of_authorities(&one, 1, |_| vec![certified("pki", EMAIL)])],
        ),
        (
            "`certificate` with `transparencyLog`",
            vec![of_authorities(&one, 1, |reference| {
                vec![logged(certified("pki", EMAIL), reference)]
            })],
        ),
    ]
}

fn of_the_whole() -> Vec<(&'static str, Vec<Policy>)> {
    let identities = [
        SignedIdentity::MatchRepository {
            unnamed: UnnamedSignatures::Accept,
        },
        SignedIdentity::MatchRepository {
            unnamed: UnnamedSignatures::Refuse,
        },
        SignedIdentity::MatchRepoDigestOrExact,
        SignedIdentity::ExactRepository {
            repository: "a.example/app".to_owned(),
        },
        SignedIdentity::RemapIdentity {
            prefix: "a.example/team".to_owned(),
            signed_prefix: "b.example".to_owned(),
        },
    ];
    let identities = identities
        .into_iter()
        .map(|identity| of_draft(|draft| draft.requirement.signed_identity = identity));
    vec![
        ("`signedIdentity` of every type", identities.collect()),
        (
            "`mode: Audit`",
            vec![of_draft(|draft| draft.requirement.mode = Mode::Audit)],
        ),
        (
            "an ImageSignaturePolicy (one namespace)",
            vec![of_draft(|draft| {
                draft.id = PolicyId::Namespaced {
                    namespace: "team".to_owned(),
                    name: "p".to_owned(),
                };
            })],
        ),
    ]
}

/// The release before the first one of a minor version.
fn just_below(version: Version) -> Version {
    assert_eq!(version.patch, 0, "{version}");
    Version::new(version.major, version.minor - 1, 99)
}

fn check(what: &str, policy: &Policy, support: Support, runtime: impl Fn(Version) -> Runtime) {
    let says = |version: Version| of(policy, runtime(version)).is_expressible();
    let newest = Version::new(99, 0, 0);
    match support.since() {
        Some(since) => {
            assert!(
                says(since),
                "{what} at {since}: {:?}",
                of(policy, runtime(since)).prevents
            );
            assert!(!says(just_below(since)), "{what} just below {since}");
            assert!(says(newest), "{what} later");
        }
        None => assert!(!says(newest), "{what}, which never is"),
    }
}

#[test]
fn every_row_is_what_the_capability_function_says_of_its_samples() {
    let samples: BTreeMap<&str, Vec<Policy>> = keys_with_thresholds()
        .into_iter()
        .chain(logs_and_identities())
        .chain(of_the_whole())
        .collect();
    for row in ROWS {
        let policies = samples
            .get(row.what)
            .unwrap_or_else(|| panic!("no sample: {}", row.what));
        for policy in policies {
            check(row.what, policy, row.crio, Runtime::Crio);
            check(row.what, policy, row.containerd, |v| {
                Runtime::Containerd(Some(v))
            });
        }
    }
    assert_eq!(samples.len(), ROWS.len(), "a sample without a row");
}

#[test]
fn the_table_names_the_version_or_why_there_is_none() {
    let text = markdown();
    assert!(
        text.contains("| `key` with one key | 1.25.0 | 2.1.0 |\n"),
        "{text}"
    );
    assert!(
        text.contains("| `mode: Audit` | no: its files know no audit | 2.1.0 |\n"),
        "{text}"
    );
    assert!(text.contains("| 1.33.0 | signatures by certificates of your own PKI (`pki`) |\n"));
}

#[test]
fn versions_beyond_what_is_known_are_told_and_others_are_not() {
    let crio = |major, minor, patch| out_of_range(Runtime::Crio(Version::new(major, minor, patch)));
    assert_eq!(crio(1, 25, 0), None);
    assert_eq!(crio(NEWEST.major, NEWEST.minor, 7), None);
    assert!(
        crio(1, 24, 9)
            .unwrap()
            .contains("CRI-O 1.24.9 is older than 1.25.0")
    );
    assert!(
        crio(1, 99, 0)
            .unwrap()
            .contains("CRI-O 1.99.0 is newer than")
    );
    let containerd = |version: &str| out_of_range(Runtime::Containerd(version.parse().ok()));
    assert_eq!(containerd("none"), None);
    assert_eq!(containerd("2.1.0"), None);
    assert_eq!(containerd("2.2.9"), None);
    assert!(containerd("2.0.7").unwrap().contains("calls no verifier"));
    assert!(
        containerd("2.9")
            .unwrap()
            .contains("containerd 2.9.0 is newer than 2.2.1")
    );
}
