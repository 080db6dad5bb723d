//! What must hold of every parser, whatever it is given: one function per parser, which panics
//! where something does not hold.
//!
//! ```text
//!  fuzz/corpus, golden cases, …  ──seeds──▶ ┬─ cargo fuzz (fuzz/)          by hand, with coverage
//!                                           └─ Mutator ─▶ TARGETS[..].run   in every test, on stable
//! ```
//!
//! The parsers read what others wrote: users, tenants, the node's distribution. A property here is
//! something that an attacker would like to break: a scope that covers less than it says, a file
//! of ours that a runtime refuses, a rule of the node that gets lost, a message that writes to a
//! terminal.

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
mod yaml_policy;

pub use mutate::Mutator;
pub use policy_json::policy_json;
pub use registries_conf::registries_conf;
pub use scope::scope;
pub use seeds::seeds;
pub use trusted_root::trusted_root;
pub use yaml_policy::yaml_policy;

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
pub const TARGETS: [Target; 5] = [
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
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Target {
    let found = TARGETS.into_iter().find(|target| target.name == name);
    found.expect("a target")
}
