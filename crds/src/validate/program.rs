//! The third layer: what only the program can know, by making a [`Policy`] of the object.

use policy::model::{self, AuthorityDraft, Policy, PolicyDraft, PolicyId, RequirementDraft};
use policy::problem::Problems;
use policy::scope::{Scope, ScopeVersion};

use super::report::Report;
use super::resolve::authority_keys;
use crate::keys::KeyStore;
use crate::manifest::Document;
use crate::problem::{Layer, Severity};
use crate::types::{
    IdentityType, Mode, OnUnsupported, PolicySpec, SignedIdentity, UnnamedSignatures,
};

/// What a policy is made of.
pub(crate) struct Input<'a> {
    pub(crate) document: &'a Document,
    pub(crate) id: PolicyId,
    pub(crate) spec: &'a PolicySpec,
    pub(crate) on_unsupported: OnUnsupported,
    pub(crate) keys: &'a KeyStore,
}

/// Makes the policy; nothing where anything is wrong, which the report then says.
pub(crate) fn policy(report: &mut Report<'_>, input: &Input<'_>) -> Option<Policy> {
    let spec = input.spec;
    let mut authorities = Vec::new();
    // The field that each authority's keys come from, or nothing where that is reported already.
    let mut sources: Vec<Option<String>> = Vec::new();
    for (index, authority) in spec.authorities.iter().enumerate() {
        let key = authority_keys(
            report,
            input,
            authority,
            &format!("spec.authorities[{index}]"),
        );
        let (field, key) = key.map_or((None, String::new()), |(field, key)| (Some(field), key));
        authorities.push(AuthorityDraft {
            name: authority.name.clone(),
            key,
        });
        sources.push(field);
    }
    warn(report, spec);
    let draft = PolicyDraft {
        id: input.id.clone(),
        scopes: spec.scopes.clone(),
        exclude: spec.exclude.clone(),
        on_unsupported: match input.on_unsupported {
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
            signed_identity: signed_identity(spec.signed_identity.as_ref()),
        },
    };
    match Policy::try_from(draft) {
        Ok(policy) => (!report.has_errors()).then_some(policy),
        Err(Problems(problems)) => {
            for problem in problems {
                let field = format!("spec.{}", problem.field);
                let Some(field) = key_field(field, &sources) else {
                    continue;
                };
                report.error(
                    Layer::Program,
                    &field,
                    problem.reason.as_str(),
                    problem.message,
                );
            }
            None
        }
    }
}

/// Turns `spec.authorities[i].key` into the field that the key stands in.
fn key_field(field: String, sources: &[Option<String>]) -> Option<String> {
    let index = field
        .strip_prefix("spec.authorities[")
        .and_then(|rest| rest.strip_suffix("].key"));
    match index.and_then(|index| index.parse::<usize>().ok()) {
        Some(index) => sources.get(index).cloned().flatten(),
        None => Some(field),
    }
}

fn signed_identity(spec: Option<&SignedIdentity>) -> policy::identity::SignedIdentity {
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
        (IdentityType::MatchRepoDigestOrExact, ..) => Model::MatchRepoDigestOrExact,
        (IdentityType::ExactRepository, Some(exact), _) => Model::ExactRepository {
            repository: exact.repository.clone(),
        },
        (IdentityType::RemapIdentity, _, Some(remap)) => Model::RemapIdentity {
            prefix: remap.prefix.clone(),
            signed_prefix: remap.signed_prefix.clone(),
        },
        // A type without its part: the rules of the schema have said so, and the policy that has
        // an error is not used.
        _ => matching(spec.unnamed_signatures),
    }
}

/// What is valid and may still surprise.
fn warn(report: &mut Report<'_>, spec: &PolicySpec) {
    for (index, text) in spec.scopes.iter().enumerate() {
        let scope = Scope::parse(text);
        if let Ok(Some(ScopeVersion::Tag(_))) = scope.as_ref().map(Scope::version) {
            let message = "a tag scope does not cover pods that pin a digest, even the one of this tag: use the repository, or the digest";
            let field = format!("spec.scopes[{index}]");
            report.add(
                Layer::Program,
                Severity::Warning,
                &field,
                "TagScope",
                message,
            );
        }
    }
    let kind = spec.signed_identity.as_ref().map(|identity| identity.kind);
    if let Some(IdentityType::MatchRepoDigestOrExact | IdentityType::RemapIdentity) = kind {
        let message = "this type demands a tag in the signature, which plain cosign signatures do not carry: sign with one, or use MatchRepository";
        report.add(
            Layer::Program,
            Severity::Warning,
            "spec.signedIdentity.type",
            "TagInSignature",
            message,
        );
    }
}
