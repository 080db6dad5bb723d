//! The kinds of the API as Rust types; the generated schemas come from these.

// `KubeSchema` copies each struct, with its `pub`, into a function.
#![allow(unreachable_pub)]

mod authority;
mod common;
mod config;
mod identity;
mod policy;
mod rollout;
mod status;

pub use authority::{
    Authority, CertificateSource, CertificateSubject, KeyRef, KeySource, KeylessIdentity,
    KeylessSource, TransparencyLog,
};
pub use common::{LabelValue, NodeRequirement, NodeSelector, Operator, Share};
pub use config::{
    ContainerdSettings, CrioSettings, DefaultAction, Enforcement, EnforcementConfig,
    EnforcementConfigSpec, EnforcementConfigStatus, NamespacedPolicies, Probe, Restart,
    StaleImages, Taint,
};
pub use identity::{
    ExactRepository, IdentityType, RemapIdentity, SignedIdentity, UnnamedSignatures,
};
pub use policy::{
    ClusterImageSignaturePolicy, ClusterImageSignaturePolicySpec, ImageSignaturePolicy,
    ImageSignaturePolicySpec, Mode, OnUnsupported, PolicySpec,
};
pub use rollout::{Canary, Rollout};
pub use status::{FailingNode, NodeCounts, PolicyStatus};

pub(crate) use common::patterns;
