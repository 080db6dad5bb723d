//! What the cluster's one configuration says.

use std::collections::BTreeSet;

use policy::problem::Reason;
use policy::scope::Scope;
use policy::settings::{self, ContainerdSettings, CrioSettings, ProbeInterval, Settings};

use super::{FieldProblem, Report};
use crate::types::{
    DefaultAction, Enforcement, EnforcementConfigSpec, Probe, Restart, StaleImages, Taint,
};

/// A valid configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// What nodes need of it.
    pub settings: Settings,
    /// What namespaced policies may cover; empty is anything.
    pub allowed_scopes: BTreeSet<Scope>,
    /// How many policies a namespace may have.
    pub max_per_namespace: usize,
    /// Which taints nodes shall have.
    pub taint: Taint,
}

impl Configuration {
    /// Everything that a namespaced policy's `spec.scopes` must not have, its entries in order.
    /// What is no scope is not this function's business.
    #[must_use]
    pub fn permits(&self, scopes: &[impl AsRef<str>]) -> Vec<FieldProblem> {
        let allowed = &self.allowed_scopes;
        let outside = |scope: &Scope| {
            !allowed.is_empty() && !allowed.iter().any(|allowed| scope.is_within(allowed))
        };
        let problem = |(index, text): (usize, &_)| {
            let scope = Scope::parse(AsRef::<str>::as_ref(text)).ok();
            scope.filter(outside).map(|scope| FieldProblem {
                field: format!("spec.scopes[{index}]"),
                reason: Reason::NotPermitted,
                message: format!(
                    "`{scope}` lies in none of the EnforcementConfig's namespacedPolicies.allowedScopes: remove it, or allow it there"
                ),
            })
        };
        scopes.iter().enumerate().filter_map(problem).collect()
    }

    /// What is wrong with a policy beyond the first [`Self::max_per_namespace`] of its namespace,
    /// in the order of their names.
    #[must_use]
    pub fn too_many(&self) -> FieldProblem {
        FieldProblem {
            field: "metadata.namespace".to_owned(),
            reason: Reason::NotPermitted,
            message: format!(
                "more policies in this namespace than the EnforcementConfig allows, which is {}: remove one, or raise namespacedPolicies.maxPerNamespace",
                self.max_per_namespace
            ),
        }
    }
}

impl Default for Configuration {
    /// What holds where there is no `EnforcementConfig`.
    fn default() -> Self {
        let namespaced = crate::types::NamespacedPolicies::default();
        Self {
            settings: Settings::default(),
            allowed_scopes: BTreeSet::new(),
            max_per_namespace: usize::try_from(namespaced.max_per_namespace).unwrap_or_default(),
            taint: Taint::default(),
        }
    }
}

/// Makes the configuration of an `EnforcementConfig`.
pub fn configuration(spec: &EnforcementConfigSpec) -> Result<Configuration, Vec<FieldProblem>> {
    let mut report = Report::default();
    let exempt_images = scopes(&mut report, &spec.exempt_images, "spec.exemptImages");
    for (index, text) in spec.exempt_images.iter().enumerate() {
        if Scope::parse(text).is_ok_and(|scope| scope.version().is_some()) {
            let field = format!("spec.exemptImages[{index}]");
            let message = "an exempt image has no tag and no digest: exempt the whole repository";
            report.add(field, Reason::InvalidScope, message);
        }
    }
    let allowed = &spec.namespaced_policies.allowed_scopes;
    let field = "spec.namespacedPolicies.allowedScopes";
    let allowed_scopes = scopes(&mut report, allowed, field);
    let default_action = match spec.default_action {
        DefaultAction::Allow => settings::DefaultAction::Allow,
        DefaultAction::Reject => settings::DefaultAction::Reject,
    };
    let most = spec.namespaced_policies.max_per_namespace;
    report.finish(Configuration {
        settings: Settings {
            default_action,
            exempt_images,
            enforcement: match spec.enforcement {
                Enforcement::Enabled => settings::Enforcement::Enabled,
                Enforcement::Disabled => settings::Enforcement::Disabled,
            },
            containerd: ContainerdSettings {
                restart: restart(spec.containerd.restart),
                fix_local_pull: spec.containerd.fix_local_pull,
            },
            crio: CrioSettings {
                restart: restart(spec.crio.restart),
                stale_images: match spec.crio.stale_images {
                    StaleImages::Hold => settings::StaleImages::Hold,
                    StaleImages::Proceed => settings::StaleImages::Proceed,
                },
            },
            probe_interval: probe_interval(&spec.probe),
        },
        allowed_scopes,
        max_per_namespace: usize::try_from(most).unwrap_or_default(),
        taint: spec.taint.clone(),
    })
}

fn restart(restart: Restart) -> settings::Restart {
    match restart {
        Restart::Never => settings::Restart::Never,
        Restart::Allowed => settings::Restart::Allowed,
    }
}

fn probe_interval(probe: &Probe) -> ProbeInterval {
    let seconds = probe.interval().map_or(0, |interval| interval.as_secs());
    ProbeInterval::of_seconds(u32::try_from(seconds).unwrap_or(u32::MAX))
}

fn scopes(report: &mut Report, texts: &[String], field: &str) -> BTreeSet<Scope> {
    let mut scopes = BTreeSet::new();
    for (index, text) in texts.iter().enumerate() {
        match Scope::parse(text) {
            Ok(scope) => {
                scopes.insert(scope);
            }
            Err(error) => report.add(format!("{field}[{index}]"), Reason::InvalidScope, error),
        }
    }
    scopes
}
