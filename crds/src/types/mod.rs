//! The kinds of the API as Rust types; the generated schemas come from these.

// `KubeSchema` copies each struct, with its `pub`, into a function.
#![allow(unreachable_pub)]

mod authority;
mod bundle;
mod common;
mod config;
mod identity;
mod node;
mod policy;
mod rollout;
mod status;
mod trust_root;

pub use authority::{
    Authority, CertificateSource, CertificateSubject, KeyRef, KeySource, KeylessIdentity,
    KeylessSource, TransparencyLog,
};
pub use bundle::{PolicyBundle, PolicyBundleSpec};
pub use common::{LabelValue, NodeRequirement, NodeSelector, Operator, Share};
pub use config::{
    ContainerdSettings, CrioSettings, DefaultAction, Enforcement, EnforcementConfig,
    EnforcementConfigSpec, EnforcementConfigStatus, NamespacedPolicies, Probe, Restart,
    StaleImages, Taint,
};
pub use identity::{
    ExactRepository, IdentityType, RemapIdentity, SignedIdentity, UnnamedSignatures,
};
pub use node::{
    Drift, NodeImagePolicy, NodeImagePolicySpec, NodeImagePolicyStatus, NodeRuntime, RefusedImage,
    RuntimeEnforcement, UnsupportedPolicies, UnsupportedPolicy, UnverifiedImages,
};
pub use policy::{
    ClusterImageSignaturePolicy, ClusterImageSignaturePolicySpec, ImageSignaturePolicy,
    ImageSignaturePolicySpec, Mode, OnUnsupported, PolicySpec,
};
pub use rollout::{Canary, Rollout};
pub use status::{FailingNode, NodeCounts, PolicyStatus};
pub use trust_root::{
    TrustRoot, TrustRootKeys, TrustRootSpec, TrustRootStatus, TrustedRootSource, TufSource,
};

pub(crate) use common::patterns;
