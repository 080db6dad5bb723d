//! What the cluster's one configuration says.

use std::collections::BTreeSet;

use policy::problem::Reason;
use policy::scope::Scope;
use policy::settings::{self, ContainerdSettings, CrioSettings, ProbeInterval, Settings};

use super::{FieldProblem, Report};
use crate::types::{
    DefaultAction, Enforcement, EnforcementConfigSpec, NodeSelector, Operator, Probe, Restart,
    Rollout, Share, StaleImages, Taint,
};

/// The most nodes that a share may name, as the schema has it.
const MOST_NODES: i32 = 100_000;
/// The seconds that a node may be given to get ready, as the schema has it.
const PROGRESS_SECONDS: std::ops::RangeInclusive<i32> = 30..=86_400;

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
    /// How changes reach the nodes, which no node needs to know.
    pub rollout: RolloutSettings,
}

/// How changes reach the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutSettings {
    /// How many nodes change at once.
    pub max_unavailable: Share,
    /// The nodes that change first.
    pub canary: Option<NodeSelector>,
    /// How many nodes may fail before nobody is moved any more.
    pub max_failures: Share,
    /// After how many seconds a node that is not ready has failed.
    pub progress_deadline_seconds: u32,
    /// Whether everything stands still.
    pub paused: bool,
}

impl Default for RolloutSettings {
    /// What holds where there is no `EnforcementConfig`.
    fn default() -> Self {
        rollout(&mut Report::default(), &Rollout::default())
    }
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
            rollout: RolloutSettings::default(),
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
    let rollout = rollout(&mut report, &spec.rollout);
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
        rollout,
    })
}

/// The rules are those of the schema: an object that was stored before a rule was there, or a file
/// that no API server has seen, must not lift a limit.
fn rollout(report: &mut Report, spec: &Rollout) -> RolloutSettings {
    let shares = [
        ("spec.rollout.maxUnavailable", &spec.max_unavailable),
        ("spec.rollout.maxFailures", &spec.max_failures),
    ];
    for (field, share) in shares {
        let too_many = matches!(share, Share::Count(count) if *count > MOST_NODES);
        if too_many || share.of(100).is_none() {
            let message = format!(
                "neither a number of nodes from 0 to {MOST_NODES} nor a percentage from 0% to 100%: write one of them, such as 3 or \"10%\""
            );
            report.add(field, Reason::Invalid, message);
        }
    }
    let seconds = spec.progress_deadline_seconds;
    if !PROGRESS_SECONDS.contains(&seconds) {
        let message = format!(
            "{seconds} is not from {} to {}: write so many seconds",
            PROGRESS_SECONDS.start(),
            PROGRESS_SECONDS.end()
        );
        let field = "spec.rollout.progressDeadlineSeconds";
        report.add(field, Reason::Invalid, message);
    }
    let canary = spec.canary.as_ref().map(|canary| &canary.node_selector);
    let requirements = canary
        .iter()
        .flat_map(|selector| &selector.match_expressions);
    for (index, requirement) in requirements.enumerate() {
        let needs_values = matches!(requirement.operator, Operator::In | Operator::NotIn);
        if needs_values == requirement.values.is_empty() {
            let field = format!("spec.rollout.canary.nodeSelector.matchExpressions[{index}]");
            let message = "In and NotIn need values, Exists and DoesNotExist must have none: change the operator or the values";
            report.add(field, Reason::Invalid, message);
        }
    }
    RolloutSettings {
        max_unavailable: spec.max_unavailable.clone(),
        canary: canary.cloned(),
        max_failures: spec.max_failures.clone(),
        progress_deadline_seconds: u32::try_from(seconds).unwrap_or_default(),
        paused: spec.paused,
    }
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
