//! Questions and what is believed; [`disk`] has what may happen to the files, [`flights`] pulls at once.

mod disk;
mod flights;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use policy::authority::{AuthorityDraft, SignerDraft, TrustRootRef, TrustRoots};
use policy::bundle::{Bundle, DefaultAction, Settings};
use policy::digest::Digest;
use policy::flatten::{Flat, NodeFacts, Outcome, flatten};
use policy::identity::{SignedIdentity, UnnamedSignatures};
use policy::model::{Mode, OnUnsupported, Policy, PolicyDraft, PolicyId, RequirementDraft};
use policy::paths::STATE_DIR;
use policy::reference::Reference;
use policy::scope::Scope;
use policy::trust::TrustRoot;

use super::*;
use crate::evaluate::PolicyVerdict;
use crate::reason::{Reason, Refusal};

const P256: &str = include_str!("../../testdata/keys/p256-sha256.pem");
const P384: &str = include_str!("../../testdata/keys/p384-sha256.pem");
const ED25519: &str = include_str!("../../testdata/keys/ed25519.pem");
const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3600;

fn at(unix: i64) -> Timestamp {
    Timestamp::from_second(unix).unwrap()
}

fn subject(name: &str, content: &str) -> Subject {
    Subject {
        image: Reference::parse(name).unwrap(),
        digest: Digest::of(content.as_bytes()),
    }
}

fn app() -> Subject {
    subject("example.com/app:v1", "app")
}

fn draft(name: &str, mode: Mode, authorities: Vec<AuthorityDraft>) -> PolicyDraft {
    PolicyDraft {
        on_unsupported: OnUnsupported::Ignore,
        id: PolicyId::Cluster { name: name.into() },
        scopes: vec!["example.com".into()],
        exclude: Vec::new(),
        requirement: RequirementDraft {
            mode,
            threshold: 1,
            authorities,
            signed_identity: SignedIdentity::MatchRepository {
                unnamed: UnnamedSignatures::Accept,
            },
        },
    }
}

fn key(name: &str, pem: &str) -> AuthorityDraft {
    AuthorityDraft::key(name, pem)
}

/// Of the policy `p`, which enforces, and `q`, which audits.
fn usual() -> Vec<PolicyDraft> {
    let both = vec![key("a", P256), key("b", P384)];
    vec![
        draft("p", Mode::Enforce, both),
        draft("q", Mode::Audit, vec![key("c", P256)]),
    ]
}

fn table(drafts: Vec<PolicyDraft>, settings: Settings, roots: &TrustRoots) -> Flat {
    let policies = drafts
        .into_iter()
        .map(|draft| Policy::new(draft, roots).unwrap());
    flatten(&Bundle::new(settings, policies), &NodeFacts::default())
}

fn flat(drafts: Vec<PolicyDraft>) -> Flat {
    table(drafts, Settings::default(), &TrustRoots::new())
}

fn signed(policy: &str, by: &[&str]) -> PolicyVerdict {
    PolicyVerdict {
        policy: PolicyId::Cluster {
            name: policy.into(),
        },
        signed_by: by.iter().map(|&name| name.to_owned()).collect(),
        refusal: None,
        valid_until: None,
    }
}

fn passed() -> Verdict {
    Verdict {
        refusal: None,
        enforced: vec![signed("p", &["a"])],
        audited: vec![signed("q", &["c"])],
        valid_until: None,
        trust_roots: BTreeSet::new(),
    }
}

fn refused() -> Verdict {
    let refusal = Some(Refusal::new(Reason::NoSignature, "none"));
    Verdict {
        refusal,
        ..passed()
    }
}

/// A node with a cache.
struct World {
    root: tempfile::TempDir,
    flat: Flat,
    subject: Subject,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(STATE_DIR)).unwrap();
        Self {
            root,
            flat: flat(usual()),
            subject: app(),
        }
    }

    fn cache(&self) -> Cache {
        Cache::open(self.root.path(), DEFAULT_MAX_AGE).unwrap()
    }

    fn decision(&self) -> Decision<'_> {
        self.flat.decide(&self.subject.image)
    }

    fn key(&self) -> Key {
        Key::of(&self.subject, &self.decision()).unwrap()
    }

    fn put(&self, verdict: &Verdict) -> bool {
        self.cache().put(&self.key(), verdict, at(NOW)).unwrap()
    }

    fn get_at(&self, unix: i64) -> Option<Verdict> {
        self.cache().get(&self.key(), &self.decision(), at(unix))
    }

    fn get(&self) -> Option<Verdict> {
        self.get_at(NOW)
    }

    fn bucket(&self) -> PathBuf {
        let cache = self.root.path().join(STATE_DIR).join(FOLDER);
        cache.join(self.key().bucket())
    }

    fn file(&self) -> PathBuf {
        self.bucket().join(self.key().name())
    }
}

#[test]
fn what_is_kept_is_found_again_with_who_signed() {
    let world = World::new();
    assert_eq!(world.get(), None);
    assert!(world.put(&passed()));
    let found = world.get().unwrap();
    assert_eq!(found.refusal, None);
    let names = |policies: &[PolicyVerdict]| -> Vec<(String, Vec<String>)> {
        let names = |policy: &PolicyVerdict| (policy.policy.to_string(), policy.signed_by.clone());
        policies.iter().map(names).collect()
    };
    assert_eq!(names(&found.enforced), names(&passed().enforced));
    assert_eq!(names(&found.audited), names(&passed().audited));
    let mode = fs::metadata(world.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn another_image_policy_trust_root_or_version_is_another_question() {
    let log = |pem: &str| {
        let root = TrustRoot::from_pem(None, &[pem.to_owned()], &[], None).unwrap();
        let digest = root.digest();
        let reference = TrustRootRef {
            name: "root".to_owned(),
            digest: digest.clone(),
        };
        let mut logged = usual();
        logged[0].requirement.authorities[0].signer = SignerDraft::Key {
            keys: P256.to_owned(),
            transparency_log: Some(reference),
        };
        let roots = [(digest, Arc::new(root))].into();
        table(logged, Settings::default(), &roots)
    };
    let changed = |change: &dyn Fn(&mut Vec<PolicyDraft>)| {
        let mut drafts = usual();
        change(&mut drafts);
        flat(drafts)
    };
    let tables = [
        flat(usual()),
        changed(&|p| p[0].id = PolicyId::Cluster { name: "r".into() }),
        changed(&|p| p[0].requirement.threshold = 2),
        changed(&|p| p[0].requirement.authorities[0] = key("a", ED25519)),
        changed(&|p| p[0].requirement.authorities[0] = key("z", P256)),
        changed(&|p| p[0].requirement.signed_identity = SignedIdentity::MatchRepoDigestOrExact),
        changed(&|p| p[1].requirement.mode = Mode::Enforce),
        changed(&|p| p[1].requirement.authorities[0] = key("c", P384)),
        changed(&|p| p.truncate(1)),
        log(P256),
        log(P384),
    ];
    let mut keys = Vec::new();
    for table in &tables {
        for subject in [
            app(),
            subject("example.com/app:v2", "app"),
            subject("example.com/app", "app"),
            subject("example.com/other:v1", "app"),
            subject("example.com/app:v1", "other"),
        ] {
            let decision = table.decide(&subject.image);
            keys.push(Key::of(&subject, &decision).unwrap());
            keys.push(Key::by_version(&subject, &decision, "0.0.0").unwrap());
        }
    }
    let distinct: BTreeSet<&str> = keys.iter().map(Key::name).collect();
    assert_eq!(distinct.len(), keys.len());
}

#[test]
fn a_policy_that_does_not_cover_the_image_changes_nothing() {
    let world = World::new();
    world.put(&passed());
    let mut drafts = usual();
    let mut other = draft("other", Mode::Enforce, vec![key("x", ED25519)]);
    other.scopes = vec!["other.example".into(), "example.com/other".into()];
    drafts.push(other);
    let changed = World {
        flat: flat(drafts),
        ..world
    };
    assert!(changed.get().is_some());
}

#[test]
fn there_is_no_question_where_no_signature_decides() {
    let exempt = Settings {
        default_action: DefaultAction::Reject,
        exempt_images: [Scope::parse("example.com/app").unwrap()].into(),
        ..Settings::default()
    };
    let audit = usual().split_off(1);
    for (table, name) in [
        (
            table(usual(), exempt, &TrustRoots::new()),
            "example.com/app",
        ),
        (flat(usual()), "other.example/app"),
        (flat(audit), "example.com/app"),
    ] {
        let subject = subject(name, "app");
        let decision = table.decide(&subject.image);
        assert!(!matches!(decision.outcome, Outcome::Verify(_)));
        assert_eq!(Key::of(&subject, &decision), None, "{name}");
    }
}

#[test]
fn only_verdicts_that_pass_in_every_respect_are_kept() {
    let world = World::new();
    let failing = |mut policy: PolicyVerdict| {
        policy.refusal = Some(Refusal::new(Reason::NoSignature, "none"));
        vec![policy]
    };
    for (verdict, why) in [
        (refused(), "refused"),
        (
            Verdict {
                enforced: failing(signed("p", &[])),
                ..passed()
            },
            "a policy fails",
        ),
        (
            Verdict {
                audited: failing(signed("q", &[])),
                ..passed()
            },
            "an audit would have refused",
        ),
        (
            Verdict {
                enforced: Vec::new(),
                ..passed()
            },
            "nothing enforces",
        ),
        (
            Verdict {
                valid_until: Some(NOW),
                ..passed()
            },
            "it ends now",
        ),
    ] {
        assert!(!world.put(&verdict), "{why}");
        assert_eq!(world.get(), None, "{why}");
    }
}

#[test]
fn a_verdict_is_believed_until_the_first_thing_that_it_rests_on_ends() {
    let end = |seconds| Some(NOW + seconds);
    let mut audited = passed();
    audited.audited[0].valid_until = end(HOUR);
    let mut policy = passed();
    policy.enforced[0].valid_until = end(HOUR);
    let whole = Verdict {
        valid_until: end(HOUR),
        ..passed()
    };
    for verdict in [whole, policy, audited] {
        let world = World::new();
        world.put(&verdict);
        assert_eq!(world.get().unwrap().valid_until, end(HOUR));
        assert!(world.get_at(NOW + HOUR - 1).is_some());
        assert_eq!(world.get_at(NOW + HOUR), None);
        assert!(!world.file().exists());
    }
}

#[test]
fn a_verdict_is_believed_no_longer_than_the_maximum_age_then_and_now() {
    let world = World::new();
    world.put(&passed());
    assert!(world.get_at(NOW + 24 * HOUR - 1).is_some());
    let shorter = Cache::open(world.root.path(), Duration::from_mins(1)).unwrap();
    let get = |cache: &Cache, unix| cache.get(&world.key(), &world.decision(), at(unix));
    assert!(get(&shorter, NOW + 59).is_some());
    assert_eq!(get(&shorter, NOW + 60), None);
    world.put(&passed());
    assert_eq!(world.get_at(NOW + 24 * HOUR), None);
    let none = Cache::open(world.root.path(), Duration::ZERO).unwrap();
    assert!(!none.put(&world.key(), &passed(), at(NOW)).unwrap());
}

#[test]
fn a_verdict_from_the_future_is_not_believed() {
    let world = World::new();
    world.put(&passed());
    for unix in [NOW - 1, NOW - 365 * 24 * HOUR, 0] {
        assert_eq!(world.get_at(unix), None);
        assert!(!world.file().exists());
        world.put(&passed());
    }
}
