//! One question to both engines, and what each must say.

use std::collections::BTreeSet;

use policy::authority::AuthorityDraft;
use policy::bundle::{DefaultAction, Settings};
use policy::identity::{SignedIdentity, UnnamedSignatures};
use policy::model::{Mode, OnUnsupported, PolicyDraft, PolicyId, RequirementDraft};
use policy::scope::Scope;
use policy::version::Version;

use e2e::Image;

/// A pull and the node that it happens on.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) what: &'static str,
    pub(crate) policies: Vec<PolicyDraft>,
    pub(crate) settings: Settings,
    pub(crate) base: String,
    pub(crate) version: Version,
    pub(crate) namespace: &'static str,
    pub(crate) image: String,
    pub(crate) digest: String,
    /// The node's registries.conf.
    pub(crate) registries_conf: String,
    /// Another file in registries.d, and the locations of it that the agent has seen.
    pub(crate) beside: String,
    pub(crate) taken: BTreeSet<String>,
    /// Nothing where CRI-O must allow it, else what its refusal says.
    pub(crate) crio: Option<&'static str>,
    /// Nothing where the verifier must say the same, else what it says and why it may differ.
    pub(crate) differs: Option<&'static str>,
}

/// What a node has that CRI-O's packages installed.
pub(crate) const DISTRIBUTION: &str = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;

impl Case {
    /// The pull of an image by its tag, on a node without policies.
    pub(crate) fn new(what: &'static str, image: &Image) -> Self {
        Self {
            what,
            policies: Vec::new(),
            settings: Settings::default(),
            base: DISTRIBUTION.to_owned(),
            version: Version::new(1, 34, 1),
            namespace: "default",
            image: image.by_tag(),
            digest: image.digest.clone(),
            registries_conf: String::new(),
            beside: String::new(),
            taken: BTreeSet::new(),
            crio: None,
            differs: None,
        }
    }

    /// By its digest instead.
    pub(crate) fn by_digest(mut self, image: &Image) -> Self {
        self.image = image.by_digest();
        self
    }

    /// With one more policy.
    pub(crate) fn policy(mut self, policy: &PolicyDraft) -> Self {
        self.policies.push(policy.clone());
        self
    }

    /// Where what no policy covers is refused.
    pub(crate) fn reject(mut self) -> Self {
        self.settings.default_action = DefaultAction::Reject;
        self
    }

    /// With this scope exempt.
    pub(crate) fn exempt(mut self, scope: &str) -> Self {
        let scope = Scope::parse(scope).expect("a scope");
        self.settings.exempt_images.insert(scope);
        self
    }

    /// On top of this policy.json.
    pub(crate) fn base(mut self, text: &str) -> Self {
        text.clone_into(&mut self.base);
        self
    }

    /// Under another name, which this registries.conf sends to the registry.
    pub(crate) fn mirrored(mut self, image: &str, registries_conf: &str) -> Self {
        image.clone_into(&mut self.image);
        registries_conf.clone_into(&mut self.registries_conf);
        self
    }

    /// Beside another file in registries.d that has this setting for a location.
    pub(crate) fn beside(mut self, location: &str, setting: &str) -> Self {
        self.beside = format!("docker:\n  \"{location}\":\n    {setting}\n");
        self.taken.insert(location.to_owned());
        self
    }

    /// On a node of this version.
    pub(crate) fn version(mut self, minor: u32) -> Self {
        self.version = Version::new(1, minor, 0);
        self
    }

    /// By a pod of this namespace.
    pub(crate) fn namespace(mut self, namespace: &'static str) -> Self {
        self.namespace = namespace;
        self
    }

    /// CRI-O must refuse it with these words.
    pub(crate) fn refused(mut self, words: &'static str) -> Self {
        self.crio = Some(words);
        self
    }

    /// The verifier must say the opposite, for this reason.
    pub(crate) fn differs(mut self, why: &'static str) -> Self {
        self.differs = Some(why);
        self
    }
}

/// A policy that still lacks authorities.
pub(crate) fn policy(name: &str, scopes: &[&str]) -> PolicyDraft {
    PolicyDraft {
        id: PolicyId::Cluster {
            name: name.to_owned(),
        },
        scopes: scopes.iter().map(ToString::to_string).collect(),
        exclude: Vec::new(),
        on_unsupported: OnUnsupported::Ignore,
        requirement: RequirementDraft {
            mode: Mode::Enforce,
            threshold: 1,
            authorities: Vec::new(),
            signed_identity: SignedIdentity::MatchRepository {
                unnamed: UnnamedSignatures::Accept,
            },
        },
    }
}

/// What a test may change of a policy.
pub(crate) trait With {
    /// One more authority, with one or more keys.
    fn by(self, pem: &str) -> Self;
    /// How many of them.
    fn threshold(self, threshold: u32) -> Self;
    /// One more exclude.
    fn exclude(self, scope: &str) -> Self;
    /// Which name.
    fn identity(self, identity: SignedIdentity) -> Self;
    /// As a policy of this namespace.
    fn namespaced(self, namespace: &str) -> Self;
}

impl With for PolicyDraft {
    fn by(mut self, pem: &str) -> Self {
        let authorities = &mut self.requirement.authorities;
        let name = format!("authority-{}", authorities.len());
        authorities.push(AuthorityDraft::key(name, pem));
        self
    }

    fn threshold(mut self, threshold: u32) -> Self {
        self.requirement.threshold = threshold;
        self
    }

    fn exclude(mut self, scope: &str) -> Self {
        self.exclude.push(scope.to_owned());
        self
    }

    fn identity(mut self, identity: SignedIdentity) -> Self {
        self.requirement.signed_identity = identity;
        self
    }

    fn namespaced(mut self, namespace: &str) -> Self {
        self.id = PolicyId::Namespaced {
            namespace: namespace.to_owned(),
            name: self.id.name().to_owned(),
        };
        self
    }
}
