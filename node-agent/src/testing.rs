//! Builders for tests.

use std::fs;
use std::path::PathBuf;

use policy::authority::AuthorityDraft;
use policy::bundle::{Bundle, Settings};
use policy::identity::{SignedIdentity, UnnamedSignatures};
use policy::model::{Mode, Policy, PolicyDraft, PolicyId, RequirementDraft};

use crate::agent::{Agent, Options, Source, Wants};
use crate::ledger::Ledger;
use crate::live::Kind;
use crate::runtime::Told;

/// A P-256 key that was made once; nothing here depends on who holds the other half.
pub(crate) const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
     MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAVhbLJ0XQMaEL1dIof7PXYrjfr6q\n\
     URdT+RuJl4KiPJKQErWxIGZgdJ0QfMCxmOGrVxQ9/T+7H0h1CZie9nVKSQ==\n\
     -----END PUBLIC KEY-----\n";

pub(crate) fn id(name: &str) -> PolicyId {
    PolicyId::Cluster {
        name: name.to_owned(),
    }
}

/// A cluster policy with one key.
pub(crate) fn policy(name: &str, scope: &str) -> Policy {
    let authority = AuthorityDraft::key("a", KEY);
    let draft = PolicyDraft {
        on_unsupported: policy::model::OnUnsupported::Ignore,
        id: id(name),
        scopes: vec![scope.to_owned()],
        exclude: Vec::new(),
        requirement: RequirementDraft {
            mode: Mode::Enforce,
            threshold: 1,
            authorities: vec![authority],
            signed_identity: SignedIdentity::MatchRepository {
                unnamed: UnnamedSignatures::Accept,
            },
        },
    };
    Policy::try_from(draft).expect("a valid draft")
}

/// A ledger of (name, file, scope).
pub(crate) fn ledger(policies: &[(&str, &str, &str)]) -> Ledger {
    Ledger {
        bundle: Bundle::new(
            Settings::default(),
            policies.iter().map(|(name, _, scope)| policy(name, scope)),
        ),
        sources: policies
            .iter()
            .map(|(name, file, _)| (id(name), (*file).to_owned()))
            .collect(),
        settings_source: None,
    }
}

/// A node whose containerd needs the drop-in, and an agent that was told of it.
pub(crate) struct Node {
    dir: tempfile::TempDir,
    pub(crate) agent: Agent,
}

impl Node {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("root/etc/containerd")).expect("a root");
        fs::create_dir(at("policies")).expect("a folder of policies");
        let config = "version = 3\nimports = ['/etc/containerd/conf.d/*.toml']\n\
             [plugins.'io.containerd.image-verifier.v1.bindir']\nmax_verifiers = 0\n";
        fs::write(at("root/etc/containerd/config.toml"), config).expect("a configuration");
        fs::write(at("verifier"), "#!/bin/sh\nexit 0\n").expect("a verifier");
        let agent = Agent::start(Options {
            source: Source::Folder(at("policies")),
            root: at("root"),
            told: Told {
                kind: Some(Kind::Containerd),
                verifier: Some(at("verifier")),
                ..Told::default()
            },
            sandbox_images: Vec::new(),
        });
        let agent = agent.expect("an agent");
        Self { dir, agent }
    }

    /// A path below the root.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path)
    }

    /// The verifier that is installed.
    pub(crate) fn verifier(&self) -> PathBuf {
        self.dir.path().join("verifier")
    }

    /// What comes of one policy, `a`, with this scope.
    pub(crate) fn asked(&mut self, scope: &str) -> Wants {
        let key = KEY.replace('\n', "\n          ");
        let text = format!(
            "apiVersion: nodeseal.dev/v1alpha1\nkind: ClusterImageSignaturePolicy\nmetadata:\n  \
             name: a\nspec:\n  scopes: [{scope}]\n  authorities:\n    - name: a\n      key:\n        \
             data: |\n          {key}\n"
        );
        fs::write(self.dir.path().join("policies/a.yaml"), text).expect("a policy");
        self.agent.bring()
    }
}
