//! The third layer for the configuration.

use std::collections::BTreeSet;

use policy::bundle::{self, Settings};
use policy::problem::Reason;
use policy::scope::Scope;

use super::report::Report;
use crate::problem::Layer;
use crate::types::{DefaultAction, EnforcementConfigSpec};

/// A valid configuration.
pub(crate) struct Config {
    /// As written.
    pub(crate) spec: EnforcementConfigSpec,
    /// What nodes need of it.
    pub(crate) settings: Settings,
    /// What namespaced policies may cover; empty is anything.
    pub(crate) allowed_scopes: BTreeSet<Scope>,
}

impl Config {
    /// Whether a namespaced policy may cover `scope`.
    pub(crate) fn allows(&self, scope: &Scope) -> bool {
        let allowed = &self.allowed_scopes;
        allowed.is_empty() || allowed.iter().any(|allowed| scope.is_within(allowed))
    }
}

/// Makes the configuration; nothing where anything is wrong, which the report then says.
pub(crate) fn config(report: &mut Report<'_>, spec: EnforcementConfigSpec) -> Option<Config> {
    let exempt_images = scopes(report, &spec.exempt_images, "spec.exemptImages");
    for (index, text) in spec.exempt_images.iter().enumerate() {
        if Scope::parse(text).is_ok_and(|scope| scope.version().is_some()) {
            let field = format!("spec.exemptImages[{index}]");
            let message = "an exempt image has no tag and no digest: exempt the whole repository";
            report.error(
                Layer::Program,
                &field,
                Reason::InvalidScope.as_str(),
                message,
            );
        }
    }
    let allowed = &spec.namespaced_policies.allowed_scopes;
    let allowed_scopes = scopes(report, allowed, "spec.namespacedPolicies.allowedScopes");
    let default_action = match spec.default_action {
        DefaultAction::Allow => bundle::DefaultAction::Allow,
        DefaultAction::Reject => bundle::DefaultAction::Reject,
    };
    let settings = Settings {
        default_action,
        exempt_images,
    };
    (!report.has_errors()).then_some(Config {
        spec,
        settings,
        allowed_scopes,
    })
}

fn scopes(report: &mut Report<'_>, texts: &[String], field: &str) -> BTreeSet<Scope> {
    let mut scopes = BTreeSet::new();
    for (index, text) in texts.iter().enumerate() {
        match Scope::parse(text) {
            Ok(scope) => {
                scopes.insert(scope);
            }
            Err(error) => {
                let field = format!("{field}[{index}]");
                let reason = Reason::InvalidScope.as_str();
                report.error(Layer::Program, &field, reason, error.to_string());
            }
        }
    }
    scopes
}
