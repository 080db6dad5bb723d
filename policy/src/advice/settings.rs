//! The configuration by itself.

use super::{Advice, Word};
use crate::scope::Scope;
use crate::settings::DefaultAction;

/// Registries where anybody can have a repository.
pub const OPEN_REGISTRIES: [&str; 6] = [
    "docker.io",
    "gcr.io",
    "ghcr.io",
    "public.ecr.aws",
    "quay.io",
    "registry.gitlab.com",
];

/// What the configuration alone shows: its default action, and what `exemptImages` has, in order.
#[must_use]
pub fn settings(default_action: DefaultAction, exempt: &[impl AsRef<str>]) -> Vec<Advice> {
    let mut all = Vec::new();
    if default_action == DefaultAction::Reject && exempt.is_empty() {
        let message = "every image that no enforcing policy covers is refused, those of kube-system too, and nothing is exempt: list what nodes and the control plane run in exemptImages, unless policies cover all of it";
        all.push(Advice::new(
            "spec.defaultAction",
            Word::NothingExempt,
            message,
        ));
    }
    for (index, text) in exempt.iter().enumerate() {
        let Ok(scope) = Scope::parse(text.as_ref()) else {
            continue;
        };
        let top_level = scope
            .as_str()
            .strip_prefix("*.")
            .is_some_and(|domain| !domain.contains('.'));
        if top_level || OPEN_REGISTRIES.contains(&scope.as_str()) {
            let message = format!(
                "anybody can push images into `{scope}`, and what is exempt is never verified: exempt single repositories"
            );
            let field = format!("spec.exemptImages[{index}]");
            all.push(Advice::new(field, Word::BroadExemption, message));
        }
    }
    all
}
