//! What a runtime makes of it, and the entry of its files that decides.

use std::collections::BTreeSet;

use serde::Serialize;

use super::outcome::{self, Outcome, Verdict};
use super::{Coverage, Exemption, Relevant};
use crate::bundle::Bundle;
use crate::capability::table::out_of_range;
use crate::capability::{self, Capability, FIRST_ENFORCING, Limitation, Runtime};
use crate::crio::document::{PolicyJson, Rule, Rules, StrictMap};
use crate::crio::render::{self, CrioFacts, Rendered, namespace_path};
use crate::flatten::{Entry, NodeFacts, flatten};
use crate::model::{Mode, OnUnsupported, Policy, PolicyId};
use crate::paths;
use crate::problem::Reason;
use crate::reference::Reference;
use crate::scope::Scope;
use crate::version::Version;

/// What a node with this runtime does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OnRuntime {
    /// `containerd` or `cri-o`.
    pub runtime: &'static str,
    /// Its version; nothing for the newest containerd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Something about this version as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What happens to the image there.
    pub verdict: Verdict,
    /// What it does about each policy that applies, by id; none for an exempt image.
    pub policies: Vec<PolicyOn>,
    /// What decides there; nothing where the runtime asks nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compiled: Option<Compiled>,
}

/// What a runtime does about one policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyOn {
    /// `name`, or `namespace/name`.
    pub id: PolicyId,
    /// In a word.
    pub does: Does,
    /// Why it cannot be enforced, and what to know where it is.
    #[serde(flatten)]
    pub capability: Capability,
}

/// What a node does about a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Does {
    /// As the policy says.
    Enforces,
    /// It reports what it would have refused.
    Reports,
    /// Nothing: the policy is left out, and the other policies or the default action decide.
    LeavesOut,
    /// It refuses the image, since it cannot express the policy and `onUnsupported` is `Reject`.
    Rejects,
}

/// The compiled entry that decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Compiled {
    /// In the table of containerd's verifier.
    Table {
        /// The file on the node.
        file: String,
        /// The scope that was hit; nothing where the default action decides.
        #[serde(skip_serializing_if = "Option::is_none")]
        scope: Option<Scope>,
        /// What stands there.
        #[serde(flatten)]
        entry: Option<Entry>,
    },
    /// In a policy file of CRI-O.
    Rules {
        /// The file on the node; nothing where nodeseal writes none and the node's own decides.
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// The scope of the transport `docker` that was hit; empty for the transport's default,
        /// nothing for that of the file.
        #[serde(skip_serializing_if = "Option::is_none")]
        scope: Option<String>,
        /// All of these must be met.
        rules: Rules,
    },
}

/// A CRI-O as its packages install it, whose own policy.json accepts everything.
#[must_use]
pub fn packaged_crio(version: Version) -> CrioFacts {
    CrioFacts {
        version,
        policy_path: paths::CRIO_POLICY.to_owned(),
        namespace_dir: paths::CRIO_NAMESPACES.to_owned(),
        base: PolicyJson {
            default: Rules::one(Rule::InsecureAcceptAnything {}),
            transports: StrictMap::default(),
        },
        taken_locations: BTreeSet::new(),
    }
}

/// What is asked of a runtime.
pub(super) struct Question<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) node: &'a NodeFacts,
    pub(super) image: &'a Reference,
    pub(super) namespace: Option<&'a str>,
    pub(super) exemption: Option<&'a Exemption>,
    pub(super) policies: &'a [Relevant],
}

impl Question<'_> {
    pub(super) fn on(&self, runtime: Runtime) -> OnRuntime {
        let note = out_of_range(runtime);
        match runtime {
            Runtime::Containerd(version) => {
                let asks = version.is_none_or(|version| version >= FIRST_ENFORCING);
                let policies = self.policies(runtime, None);
                let outcome = if asks {
                    self.outcome(&policies)
                } else {
                    Outcome::Unchecked
                };
                OnRuntime {
                    runtime: "containerd",
                    version: version.map(|version| version.to_string()),
                    note,
                    verdict: outcome::verdict(self.bundle, outcome),
                    policies,
                    compiled: asks.then(|| self.table()),
                }
            }
            Runtime::Crio(version) => {
                let facts = packaged_crio(version);
                let rendered = render::render(self.bundle, self.node, &facts);
                let policies = self.policies(runtime, Some(&rendered));
                let outcome = self.outcome(&policies);
                OnRuntime {
                    runtime: "cri-o",
                    version: Some(version.to_string()),
                    note,
                    verdict: outcome::verdict(self.bundle, outcome),
                    policies,
                    compiled: Some(self.rules(&rendered, &facts)),
                }
            }
        }
    }

    /// What the runtime does about each policy that applies.
    fn policies(&self, runtime: Runtime, rendered: Option<&Rendered>) -> Vec<PolicyOn> {
        if self.exemption.is_some() {
            return Vec::new();
        }
        self.policies
            .iter()
            .filter(|it| matches!(it.coverage, Coverage::Covers | Coverage::Audit))
            .filter_map(|it| self.bundle.policy(&it.id))
            .map(|policy| {
                let mut capability = capability::of(policy, runtime);
                let dropped = rendered.and_then(|rendered| dropped(rendered, policy));
                if let Some(limit) = dropped.filter(|_| capability.is_expressible()) {
                    capability.prevents.push(limit);
                    capability.warnings.clear();
                }
                PolicyOn {
                    id: policy.id().clone(),
                    does: does(policy, runtime, &capability),
                    capability,
                }
            })
            .collect()
    }

    fn outcome(&self, policies: &[PolicyOn]) -> Outcome {
        let of = |wanted: Does| -> Vec<PolicyId> {
            let some = policies.iter().filter(|policy| policy.does == wanted);
            some.map(|policy| policy.id.clone()).collect()
        };
        let rejecting = of(Does::Rejects);
        if rejecting.is_empty() {
            outcome::decided(self.bundle, self.exemption, of(Does::Enforces))
        } else {
            Outcome::Reject {
                policies: rejecting,
            }
        }
    }

    fn table(&self) -> Compiled {
        let flat = flatten(self.bundle, self.node);
        let scope = flat.decide(self.image).scope;
        Compiled::Table {
            file: format!("/{}", paths::VERIFIER_POLICY),
            entry: scope.and_then(|scope| flat.entries().get(scope)).cloned(),
            scope: scope.cloned(),
        }
    }

    /// From the very bytes that the node would hold.
    fn rules(&self, rendered: &Rendered, facts: &CrioFacts) -> Compiled {
        let of_namespace = self.namespace.and_then(|namespace| {
            let file = rendered.namespaces.get(namespace)?;
            Some((namespace_path(facts, namespace), file))
        });
        let cluster = || Some((facts.policy_path.clone(), rendered.policy.as_ref()?));
        let written = of_namespace.or_else(cluster).and_then(|(path, file)| {
            // It was written by this program, and parses.
            Some((format!("/{path}"), PolicyJson::parse(&file.bytes).ok()?))
        });
        let (file, document) = match written {
            Some((path, document)) => (Some(path), document),
            None => (None, facts.base.clone()),
        };
        let lookup = self.image.lookup();
        let docker = document.transports.0.get("docker");
        let scope = docker.and_then(|scopes| {
            let mut names = lookup.iter().map(String::as_str).chain([""]);
            names.find(|name| scopes.0.contains_key(*name))
        });
        Compiled::Rules {
            file,
            scope: scope.map(str::to_owned),
            rules: document.docker_rules(&lookup).clone(),
        }
    }
}

/// Why the file of its namespace is not written, if it is not.
fn dropped(rendered: &Rendered, policy: &Policy) -> Option<Limitation> {
    let id = policy.id();
    let diagnostic = rendered.diagnostics.iter().find(|diagnostic| {
        diagnostic.reason == Reason::TooLarge
            && diagnostic.policy == id.name()
            && diagnostic.namespace.as_deref() == id.namespace()
    })?;
    let message = diagnostic.message.clone();
    Some(Limitation::of(
        &diagnostic.field,
        diagnostic.reason,
        message,
    ))
}

fn does(policy: &Policy, runtime: Runtime, capability: &Capability) -> Does {
    let audit = policy.requirement().mode() == Mode::Audit;
    if capability.is_expressible() {
        return if audit { Does::Reports } else { Does::Enforces };
    }
    // Whoever calls no verifier cannot refuse either.
    let refuses = matches!(runtime, Runtime::Crio(_))
        && policy.on_unsupported() == OnUnsupported::Reject
        && !audit;
    if refuses {
        Does::Rejects
    } else {
        Does::LeavesOut
    }
}
