//! Scopes and names that do less than they seem to.

use super::{Advice, Input, Word};
use crate::identity::SignedIdentity;
use crate::scope::{Scope, ScopeVersion};

pub(super) fn advise(input: &Input) -> Vec<Advice> {
    let mut all = Vec::new();
    for (field, scope) in &input.scopes {
        if let Some(ScopeVersion::Tag(_)) = scope.version() {
            let message = "a tag scope does not cover pods that pin a digest, even the one of this tag: use the repository, or the digest";
            all.push(Advice::new(field, Word::TagScope, message));
        }
        let excludes = input.exclude.iter().map(|(_, exclude)| exclude);
        if let Some(exclude) = excludes
            .filter(|exclude| scope.is_within(exclude))
            .min_by_key(|exclude| exclude.as_str())
        {
            let message = format!(
                "the exclude `{exclude}` leaves nothing of this scope, so it covers no image: remove one of them"
            );
            all.push(Advice::new(field, Word::CoversNothing, message));
        }
    }
    all
}

pub(super) fn of_identity(input: &Input) -> Vec<Advice> {
    let mut all = Vec::new();
    if let SignedIdentity::MatchRepoDigestOrExact | SignedIdentity::RemapIdentity { .. } =
        input.signed_identity
    {
        let message = "this type demands a tag in the signature, which plain cosign signatures do not carry: sign with one, or use MatchRepository";
        all.push(Advice::new(
            "spec.signedIdentity.type",
            Word::TagInSignature,
            message,
        ));
    }
    if let SignedIdentity::RemapIdentity { prefix, .. } = &input.signed_identity
        && let Ok(prefix) = Scope::parse(prefix)
        && !input.scopes.is_empty()
        && !input
            .scopes
            .iter()
            .any(|(_, scope)| scope.is_within(&prefix) || prefix.is_within(scope))
    {
        let message = format!(
            "no image that the policy covers lies in `{prefix}`, so no name is replaced: write the prefix that images are pulled from"
        );
        all.push(Advice::new(
            "spec.signedIdentity.remapIdentity.prefix",
            Word::RemapWithoutEffect,
            message,
        ));
    }
    all
}
