//! What must hold of every parser, whatever it is given: one function per parser, which panics
//! where something does not hold.
//!
//! ```text
//!  fuzz/corpus, recorded/, …     ──seeds──▶ ┬─ cargo fuzz (fuzz/)          by hand, with coverage
//!                                           └─ Mutator ─▶ TARGETS[..].run   in every test, on stable
//! ```
//!
//! The parsers read what others wrote: users, tenants, the node's distribution, registries. A property here is
//! something that an attacker would like to break: a scope that covers less than it says, a file
//! of ours that a runtime refuses, a rule of the node that gets lost, an image that is allowed by what
//! nobody signed, a credential that goes elsewhere, a message that writes to a terminal.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "panicking is how a harness answers"
)]

mod images;
mod mutate;
mod policy_json;
mod registries_conf;
mod scope;
mod seeds;
mod trusted_root;
mod verifier;
mod yaml_policy;

pub use mutate::Mutator;
pub use policy_json::policy_json;
pub use registries_conf::registries_conf;
pub use scope::scope;
pub use seeds::{recorded, seeds};
pub use trusted_root::trusted_root;
pub use verifier::attachment::signature_manifest;
pub use verifier::bundle::sigstore_bundle;
pub use verifier::call::verifier_call;
pub use verifier::challenge::challenge;
pub use verifier::credentials::{credential_provider, docker_config, provider_answer};
pub use verifier::hosts::hosts_toml;
pub use verifier::kept::kept_verdict;
pub use verifier::log::verdict_log;
pub use verifier::referrers::referrers;
pub use yaml_policy::yaml_policy;

/// The image that the verifier's inputs are about, in place of its manifest.
pub const IMAGE: &[u8] = b"image";

/// One parser.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of its corpus and of its binary for `cargo fuzz`.
    pub name: &'static str,
    /// Gives it any bytes, and says whether it accepts them.
    pub run: fn(&[u8]) -> bool,
    /// What its texts are made of.
    pub words: &'static [&'static str],
}

/// All of them.
pub const TARGETS: [Target; 16] = [
    Target {
        name: "scope",
        run: scope,
        words: scope::WORDS,
    },
    Target {
        name: "policy_json",
        run: policy_json,
        words: policy_json::WORDS,
    },
    Target {
        name: "registries_conf",
        run: registries_conf,
        words: registries_conf::WORDS,
    },
    Target {
        name: "trusted_root",
        run: trusted_root,
        words: trusted_root::WORDS,
    },
    Target {
        name: "yaml_policy",
        run: yaml_policy,
        words: yaml_policy::WORDS,
    },
    Target {
        name: "verifier_call",
        run: verifier_call,
        words: verifier::call::WORDS,
    },
    Target {
        name: "signature_manifest",
        run: signature_manifest,
        words: verifier::attachment::WORDS,
    },
    Target {
        name: "sigstore_bundle",
        run: sigstore_bundle,
        words: verifier::bundle::WORDS,
    },
    Target {
        name: "referrers",
        run: referrers,
        words: verifier::referrers::WORDS,
    },
    Target {
        name: "challenge",
        run: challenge,
        words: verifier::challenge::WORDS,
    },
    Target {
        name: "hosts_toml",
        run: hosts_toml,
        words: verifier::hosts::WORDS,
    },
    Target {
        name: "docker_config",
        run: docker_config,
        words: verifier::credentials::DOCKER_WORDS,
    },
    Target {
        name: "credential_provider",
        run: credential_provider,
        words: verifier::credentials::KUBELET_WORDS,
    },
    Target {
        name: "provider_answer",
        run: provider_answer,
        words: verifier::credentials::ANSWER_WORDS,
    },
    Target {
        name: "kept_verdict",
        run: kept_verdict,
        words: verifier::kept::WORDS,
    },
    Target {
        name: "verdict_log",
        run: verdict_log,
        words: verifier::log::WORDS,
    },
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Target {
    let found = TARGETS.into_iter().find(|target| target.name == name);
    found.expect("a target")
}
