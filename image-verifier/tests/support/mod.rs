//! What the tests share: a registry, signers, and pulls through a policy.
// Each test program uses its own part of this, and a panic is how a test fails.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::must_use_candidate
)]

pub mod child;
pub mod registry;
pub mod sign;

use std::time::Duration;

use image_verifier::environment::Environment;
use image_verifier::reason::Reason;
use image_verifier::run::{Answer, Subject, decide};
use policy::authority::{AuthorityDraft, TrustRoots};
use policy::bundle::{Bundle, DefaultAction, Settings};
use policy::digest::Digest;
use policy::flatten::{NodeFacts, flatten};
use policy::identity::{SignedIdentity, UnnamedSignatures};
use policy::model::{Mode, Policy, PolicyDraft, PolicyId, RequirementDraft};
use policy::reference::Reference;
use policy::verifier::{Access, Limits, VerifierPolicy};
use tokio::time::Instant;

use self::registry::{Content, Registry};
use self::sign::Signer;

/// The image of all tests.
pub fn digest() -> Digest {
    Digest::of(b"the image's manifest")
}

/// A policy over everything on loopback; a test changes what it is about.
pub fn draft(authorities: &[(&str, &Signer)]) -> PolicyDraft {
    let authority = |&(name, signer): &(&str, &Signer)| AuthorityDraft::key(name, signer.pem());
    PolicyDraft {
        on_unsupported: policy::model::OnUnsupported::Ignore,
        id: PolicyId::Cluster {
            name: "release".to_owned(),
        },
        scopes: vec!["*.0.0.1".to_owned()],
        exclude: Vec::new(),
        requirement: RequirementDraft {
            mode: Mode::Enforce,
            threshold: 1,
            authorities: authorities.iter().map(authority).collect(),
            signed_identity: SignedIdentity::MatchRepository {
                unnamed: UnnamedSignatures::Accept,
            },
        },
    }
}

/// One pull: what is served, by which policies it is judged, and within which limits.
pub struct Pull {
    pub content: Content,
    pub policies: Vec<PolicyDraft>,
    pub default_action: DefaultAction,
    pub exempt: Vec<String>,
    pub limits: Limits,
    pub roots: TrustRoots,
}

impl Pull {
    pub fn by(policies: impl IntoIterator<Item = PolicyDraft>) -> Self {
        Self {
            content: Content::default(),
            policies: policies.into_iter().collect(),
            default_action: DefaultAction::Allow,
            exempt: Vec::new(),
            limits: Limits::default(),
            roots: TrustRoots::new(),
        }
    }

    /// Serves the content and pulls `app:v1` from there; `sign` is given the image's repository.
    pub async fn run(self, fill: impl FnOnce(&mut Content, &str)) -> (Answer, Vec<String>) {
        // The name that signatures carry has a port, which is known once the registry listens.
        let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = reserved.local_addr().unwrap().port();
        drop(reserved);
        let repository = format!("127.0.0.1:{port}/app");
        let mut content = self.content;
        fill(&mut content, &repository);
        let registry = Registry::start_on(port, content).await;
        let policy = policy_trusting(
            &self.roots,
            &self.policies,
            self.default_action,
            &self.exempt,
            self.limits,
        );
        let answer = pull(&format!("{repository}:v1"), &policy).await;
        (answer, registry.requests())
    }
}

pub fn policy_of(
    drafts: &[PolicyDraft],
    default_action: DefaultAction,
    exempt: &[String],
    limits: Limits,
) -> VerifierPolicy {
    policy_trusting(&TrustRoots::new(), drafts, default_action, exempt, limits)
}

pub fn policy_trusting(
    roots: &TrustRoots,
    drafts: &[PolicyDraft],
    default_action: DefaultAction,
    exempt: &[String],
    limits: Limits,
) -> VerifierPolicy {
    let policies = drafts
        .iter()
        .map(|draft| Policy::new(draft.clone(), roots).unwrap());
    let exempt_images = exempt
        .iter()
        .map(|scope| policy::scope::Scope::parse(scope).unwrap());
    let settings = Settings {
        default_action,
        exempt_images: exempt_images.collect(),
        ..Settings::default()
    };
    let bundle = Bundle::new(settings, policies);
    let flat = flatten(&bundle, &NodeFacts::default());
    VerifierPolicy {
        bundle: bundle.digest(),
        limits,
        // Nothing of the machine that the tests run on.
        access: Access::none(),
        flat,
    }
}

/// Pulls `name` without any environment.
pub async fn pull(name: &str, policy: &VerifierPolicy) -> Answer {
    let subject = Subject {
        image: Reference::parse(name).unwrap(),
        digest: digest(),
    };
    let time = image_verifier::limits::deadline(&policy.limits);
    decide(
        &subject,
        policy,
        &Environment::default(),
        Instant::now() + time,
    )
    .await
}

pub fn limits(timeout: Duration) -> Limits {
    Limits {
        timeout_ms: u64::try_from(timeout.as_millis()).unwrap(),
        ..Limits::default()
    }
}

#[track_caller]
pub fn assert_allowed(answer: &Answer) {
    assert_eq!(answer.refusal, None);
    assert!(
        answer.line.starts_with("nodeseal: allowed: "),
        "{}",
        answer.line
    );
}

#[track_caller]
pub fn assert_refused(answer: &Answer, reason: Reason, part: &str) {
    let refusal = answer
        .refusal
        .as_ref()
        .unwrap_or_else(|| panic!("allowed: {}", answer.line));
    assert_eq!(refusal.reason, reason, "{}", answer.line);
    assert!(
        answer.line.contains(part),
        "{part:?} is not in: {}",
        answer.line
    );
    assert!(answer.line.len() <= 1024 && !answer.line.contains('\n'));
}
