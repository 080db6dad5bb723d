//! The Kubernetes API of nodeseal: its kinds, their rules, and the reader of manifests.
//!
//! ```text
//!  types ──generate──▶ CustomResourceDefinitions (crds/manifests)
//!    │                        │ schema, rules
//!    ▼                        ▼
//!  files ──▶ manifest ──▶ validate ──▶ load ──▶ policy::{Policy, TrustRoot, Settings}, problems
//!  (IO)      (YAML)       schema, CEL, program
//! ```
//!
//! [`load::load`] is the one call for whoever has manifests. A [`Problem`] always says where,
//! what, and how to mend it, and never shows key material. Nothing here does IO but [`files`].

// The doc comments of fields become `kubectl explain`, where kinds stand without backticks.
#![allow(clippy::doc_markdown)]

pub mod advice;
mod beside;
pub mod bundle;
pub mod convert;
pub mod files;
mod generate;
mod keys;
mod limits;
pub mod load;
pub mod manifest;
mod problem;
pub mod types;
mod validate;

pub use generate::generate;
pub use problem::{Layer, Problem, Severity};
pub use types::{
    ClusterImageSignaturePolicy, ClusterImageSignaturePolicySpec, EnforcementConfig,
    EnforcementConfigSpec, ImageSignaturePolicy, ImageSignaturePolicySpec, NodeImagePolicy,
    NodeImagePolicySpec, PolicyBundle, PolicyBundleSpec, TrustRoot, TrustRootSpec,
};

/// The API group.
pub const GROUP: &str = "nodeseal.dev";
/// The group and the version that this program serves, as `apiVersion` has it.
pub const API_VERSION: &str = "nodeseal.dev/v1alpha1";
