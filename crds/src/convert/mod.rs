//! From objects of the API to the model, wherever the objects come from.
//!
//! [`cluster`] and [`namespaced`] make policies, [`trust_root`] what they verify keyless signatures
//! with, and [`configuration`] what the cluster's one configuration says. The operator calls them
//! on what the API server has accepted, the reader of files ([`crate::load`]) on what stands in
//! manifests; [`Keys`] is where they differ. Everything that is wrong is said at once, each thing
//! with its field.

mod config;
mod identity;
mod keys;
mod signer;
mod text;
mod trust_root;
mod tuf;

use std::fmt;

use kube::ResourceExt;
use policy::model::{self, Policy, PolicyDraft, PolicyId, RequirementDraft};
use policy::problem::Reason;

use crate::types::{
    ClusterImageSignaturePolicy, IdentityType, ImageSignaturePolicy, Mode, OnUnsupported,
    PolicySpec, SignedIdentity, UnnamedSignatures,
};

pub use config::{Configuration, RolloutSettings, configuration};
pub use keys::{Holder, KeyReference, Keys, Place, RootUnavailable, Unavailable};
pub(crate) use text::{PRIVATE_KEY, has_private_key};
pub use trust_root::trust_root;
pub use tuf::{Tuf, tuf};

use signer::Signers;

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// The field, such as `spec.authorities[0].key.data`.
    pub field: String,
    /// The stable word: it becomes the reason of a condition.
    pub reason: Reason,
    /// What is wrong, and how to mend it. Never any key material.
    pub message: String,
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Makes the policy of a `ClusterImageSignaturePolicy`. Its `nodeSelector` is no part of it.
pub fn cluster(
    object: &ClusterImageSignaturePolicy,
    keys: &impl Keys,
) -> Result<Policy, Vec<FieldProblem>> {
    let id = PolicyId::Cluster {
        name: object.name_any(),
    };
    let spec = &object.spec;
    policy(id, &spec.policy, spec.on_unsupported, keys)
}

/// Makes the policy of an `ImageSignaturePolicy`. Whether the configuration permits it is another
/// question: [`Configuration::permits`].
pub fn namespaced(
    object: &ImageSignaturePolicy,
    keys: &impl Keys,
) -> Result<Policy, Vec<FieldProblem>> {
    let id = PolicyId::Namespaced {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    };
    policy(id, &object.spec.policy, OnUnsupported::Ignore, keys)
}

/// Makes a policy of what both kinds share.
pub fn policy(
    id: PolicyId,
    spec: &PolicySpec,
    on_unsupported: OnUnsupported,
    keys: &impl Keys,
) -> Result<Policy, Vec<FieldProblem>> {
    let mut signers = Signers::new(keys, id.clone());
    let authorities = spec.authorities.iter().enumerate();
    let authorities = authorities
        .map(|(index, authority)| signers.authority(index, authority))
        .collect();
    let draft = PolicyDraft {
        id,
        scopes: spec.scopes.clone(),
        exclude: spec.exclude.clone(),
        on_unsupported: match on_unsupported {
            OnUnsupported::Ignore => model::OnUnsupported::Ignore,
            OnUnsupported::Reject => model::OnUnsupported::Reject,
        },
        requirement: RequirementDraft {
            mode: match spec.mode {
                Mode::Enforce => model::Mode::Enforce,
                Mode::Audit => model::Mode::Audit,
            },
            threshold: u32::try_from(spec.threshold).unwrap_or_default(),
            authorities,
            signed_identity: signed_identity(&mut signers.report, spec.signed_identity.as_ref()),
        },
    };
    let made = Policy::new(draft, &signers.roots);
    signers.finish(made)
}

/// Which name a signature must carry; the default where the spec does not say so in a valid way.
pub(crate) fn identity_or_default(
    spec: Option<&SignedIdentity>,
) -> policy::identity::SignedIdentity {
    signed_identity(&mut Report::default(), spec)
}

fn signed_identity(
    report: &mut Report,
    spec: Option<&SignedIdentity>,
) -> policy::identity::SignedIdentity {
    use policy::identity::{SignedIdentity as Model, UnnamedSignatures as Unnamed};
    let matching = |unnamed: Option<UnnamedSignatures>| Model::MatchRepository {
        unnamed: match unnamed.unwrap_or_default() {
            UnnamedSignatures::Accept => Unnamed::Accept,
            UnnamedSignatures::Refuse => Unnamed::Refuse,
        },
    };
    let Some(spec) = spec else {
        return matching(None);
    };
    match (spec.kind, &spec.exact_repository, &spec.remap_identity) {
        (IdentityType::MatchRepository, None, None) => matching(spec.unnamed_signatures),
        (IdentityType::MatchRepoDigestOrExact, None, None) => Model::MatchRepoDigestOrExact,
        (IdentityType::ExactRepository, Some(exact), None) => Model::ExactRepository {
            repository: exact.repository.clone(),
        },
        (IdentityType::RemapIdentity, None, Some(remap)) => Model::RemapIdentity {
            prefix: remap.prefix.clone(),
            signed_prefix: remap.signed_prefix.clone(),
        },
        // The rules of the schema refuse this; where they did not run, nothing looser may follow.
        (kind, exact, _) => {
            let wants_exact = kind == IdentityType::ExactRepository;
            let (field, kind) = if wants_exact == exact.is_some() {
                ("remapIdentity", "RemapIdentity")
            } else {
                ("exactRepository", "ExactRepository")
            };
            let message =
                format!("{field} goes with type {kind}, which needs it: set both or neither");
            report.add(
                format!("spec.signedIdentity.{field}"),
                Reason::Invalid,
                message,
            );
            matching(spec.unnamed_signatures)
        }
    }
}

/// Gathers problems, so that a user sees all of them at once.
#[derive(Default)]
struct Report(Vec<FieldProblem>);

impl Report {
    fn add(&mut self, field: impl Into<String>, reason: Reason, message: impl fmt::Display) {
        self.0.push(FieldProblem {
            field: field.into(),
            reason,
            message: message.to_string(),
        });
    }

    fn finish<T>(self, value: T) -> Result<T, Vec<FieldProblem>> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self.0)
        }
    }
}

#[cfg(test)]
mod tests;
