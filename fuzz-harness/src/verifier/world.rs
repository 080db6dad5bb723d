//! One image, policies of every kind that cover it, and what was truly signed for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use image_verifier::candidate::Found;
use image_verifier::evaluate::{Verdict, evaluate};
use image_verifier::run::Subject;
use jiff::Timestamp;
use policy::authority::{
    AuthorityDraft, CertificateSubject, SignerDraft, TrustRootRef, TrustRoots,
};
use policy::bundle::{Bundle, Settings};
use policy::digest::Digest;
use policy::flatten::{Flat, NodeFacts, flatten};
use policy::identity::{SignedIdentity, UnnamedSignatures};
use policy::keyless::{IdentityDraft, PatternDraft};
use policy::model::{Mode, OnUnsupported, Policy, PolicyDraft, PolicyId, RequirementDraft};
use policy::reference::Reference;
use policy::trust::TrustRoot;

use super::attachment;
use crate::IMAGE;
use crate::seeds;

/// The identity of the keyless signer.
pub(super) const SUBJECT: &str = "dev@corp.example";
/// Who vouches for it.
pub(super) const ISSUER: &str = "https://issuer.example";
/// The trust root of the recorded signatures.
pub(super) const ROOT: &str = include_str!("../../recorded/root.json");
/// The time of verification, 2025-06-02T00:01:00Z: a minute after the log's entries were made.
const NOW: i64 = 1_748_822_460;

/// Of an authority: what it has signed, each with the signature.
type Signed = BTreeSet<(Vec<u8>, Vec<u8>)>;

pub(super) struct World {
    pub(super) flat: Flat,
    pub(super) subject: Subject,
    pub(super) now: Timestamp,
}

pub(super) static WORLD: LazyLock<World> = LazyLock::new(World::new);

/// What each authority has signed that is about the image.
pub(super) static SIGNED: LazyLock<BTreeMap<String, Signed>> = LazyLock::new(|| {
    let mut all = BTreeMap::<String, Signed>::new();
    for (name, data) in seeds::recorded() {
        let authority = name.split('-').next().unwrap_or_default().to_owned();
        let found = attachment::found(&data).unwrap_or_default();
        let parts = found.iter().filter_map(attachment::parts);
        all.entry(authority).or_default().extend(parts);
    }
    all.remove("wrong");
    // Their signatures are those of others.
    all.remove("both");
    // An entry in the log that nobody demands does no harm.
    let logged = all["corplog"].clone();
    all.entry("corp".to_owned()).or_default().extend(logged);
    all
});

impl World {
    fn new() -> Self {
        let root = TrustRoot::from_trusted_root_json(ROOT).expect("a trust root");
        let root = Arc::new(root.root);
        let reference = || TrustRootRef {
            name: "root".to_owned(),
            digest: root.digest(),
        };
        let exact = |text: &str| PatternDraft::Exact(text.to_owned());
        let certificate = |log| SignerDraft::Certificate {
            roots: include_str!("../../recorded/corp.pem").to_owned(),
            intermediates: String::new(),
            subject: CertificateSubject {
                email: Some(SUBJECT.to_owned()),
                dns_name: None,
            },
            transparency_log: log,
        };
        let key = |pem: &str, log| SignerDraft::Key {
            keys: pem.to_owned(),
            transparency_log: log,
        };
        let keyless = SignerDraft::Keyless {
            trust_root: reference(),
            identities: vec![IdentityDraft {
                issuer: exact(ISSUER),
                subject: exact(SUBJECT),
                claims: BTreeMap::new(),
            }],
        };
        let signers = [
            ("key", key(include_str!("../../recorded/key.pem"), None)),
            (
                "logged",
                key(include_str!("../../recorded/logged.pem"), Some(reference())),
            ),
            ("dev", keyless),
            ("corp", certificate(None)),
            ("corplog", certificate(Some(reference()))),
        ];
        let authorities = signers.map(|(name, signer)| AuthorityDraft {
            name: name.to_owned(),
            signer,
        });
        let [one, _, two, ..] = authorities.clone();
        let mut drafts: Vec<PolicyDraft> = authorities
            .into_iter()
            .map(|authority| draft(&authority.name.clone(), 1, vec![authority]))
            .collect();
        drafts.push(draft("both", 2, vec![one, two]));
        let roots: TrustRoots = [(root.digest(), Arc::clone(&root))].into();
        let policies = drafts
            .into_iter()
            .map(|draft| Policy::new(draft, &roots).expect("a valid policy"));
        let bundle = Bundle::new(Settings::default(), policies);
        Self {
            flat: flatten(&bundle, &NodeFacts::default()),
            subject: Subject {
                image: Reference::parse("example.com/app:v1").expect("a name"),
                digest: Digest::of(IMAGE),
            },
            now: Timestamp::from_second(NOW).expect("a time"),
        }
    }

    /// What the policies make of the image.
    pub(super) fn judge(&self, found: &[Found]) -> Verdict {
        self.judge_as(found, &self.subject.digest)
    }

    /// The same if the image had another digest.
    pub(super) fn judge_as(&self, found: &[Found], digest: &Digest) -> Verdict {
        let image = &self.subject.image;
        evaluate(&self.flat.decide(image), found, image, digest, self.now)
    }
}

fn draft(name: &str, threshold: u32, authorities: Vec<AuthorityDraft>) -> PolicyDraft {
    PolicyDraft {
        id: PolicyId::Cluster {
            name: name.to_owned(),
        },
        scopes: vec!["example.com".to_owned()],
        exclude: Vec::new(),
        on_unsupported: OnUnsupported::Ignore,
        requirement: RequirementDraft {
            mode: Mode::Enforce,
            threshold,
            authorities,
            signed_identity: SignedIdentity::MatchRepository {
                unnamed: UnnamedSignatures::Accept,
            },
        },
    }
}
