//! From policies to one table whose most specific hit decides.
//!
//! For every scope that any policy, exclude or exemption names, the table holds the set of all
//! policies that cover that scope. The lookup list of an image is a chain, so the most specific
//! entry in it already holds everything that applies to the image.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::authority::{self, TrustRoots};
use crate::bundle::{Bundle, DefaultAction};
use crate::model::{Mode, Policy, PolicyId, Requirement};
use crate::reference::Reference;
use crate::scope::Scope;

/// What a node adds to every bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Always accepted on this node: the sandbox image, without which no pod starts.
    pub exempt: BTreeSet<Scope>,
    /// Accepted even where a file of the node's own refuses it: the image whose pull proves that not
    /// everything is refused. Of one digest, so that it lets nothing else pass.
    pub accepted: BTreeSet<Scope>,
    /// Always refused on this node, whatever exempts it: the image whose pull proves that something
    /// is refused.
    pub refused: BTreeSet<Scope>,
}

/// What the table says about a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", content = "policies", deny_unknown_fields)]
pub enum Entry {
    /// Always accepted, whatever covers it.
    Exempt,
    /// Always refused, whatever exempts it.
    Refused,
    /// No policy is left here (an exclude took them out): the default action.
    Default,
    /// These policies cover it. Never empty.
    Verify(BTreeSet<PolicyId>),
}

/// The flattened table of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flat {
    default_action: DefaultAction,
    entries: BTreeMap<Scope, Entry>,
    requirements: BTreeMap<PolicyId, Requirement>,
}

/// Why parts do not make a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlatError {
    /// An entry without policies.
    #[error("the entry of scope `{0}` names no policy")]
    EmptyEntry(Scope),
    /// An entry names a policy that is not there.
    #[error("the entry of scope `{scope}` names the policy `{policy}`, which is not in the file")]
    UnknownPolicy {
        /// The entry's scope.
        scope: Scope,
        /// The missing policy.
        policy: PolicyId,
    },
}

/// What is decided about an image before any signature was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The most specific entry that the image hit, if any.
    pub scope: Option<&'a Scope>,
    /// What has to happen.
    pub outcome: Outcome<'a>,
    /// Covering policies that only report.
    pub audit: Vec<(&'a PolicyId, &'a Requirement)>,
}

/// What has to happen to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It passes.
    Exempt,
    /// It does not.
    Refused,
    /// No enforcing policy covers it.
    Default(DefaultAction),
    /// It passes if every one of these policies passes. Never empty.
    Verify(Vec<(&'a PolicyId, &'a Requirement)>),
}

/// Makes the table of a node from the cluster policies of a bundle. Namespaced policies have no
/// part in it: they must never reach another namespace.
#[must_use]
pub fn flatten(bundle: &Bundle, facts: &NodeFacts) -> Flat {
    let policies: Vec<&Policy> = bundle
        .policies()
        .filter(|policy| policy.id().namespace().is_none())
        .collect();
    let index = Index::new(&policies, bundle, facts);
    let entries = index
        .named_scopes()
        .into_iter()
        .map(|scope| {
            let entry = index.entry(&scope.lookup());
            (scope, entry)
        })
        .flat_map(|(scope, entry)| {
            let twin = scope.twin().map(|twin| (twin, entry.clone()));
            [(scope, entry)].into_iter().chain(twin)
        })
        .collect();
    let requirements = policies
        .iter()
        .map(|policy| (policy.id().clone(), policy.requirement().clone()))
        .collect();
    Flat {
        default_action: bundle.settings().default_action,
        entries,
        requirements,
    }
}

/// Which policies name a scope, so that an entry costs its depth and not the number of policies.
pub(crate) struct Index<'a> {
    scopes: BTreeMap<&'a str, Vec<&'a PolicyId>>,
    excludes: BTreeMap<&'a str, Vec<&'a PolicyId>>,
    exempt: BTreeSet<&'a str>,
    refused: BTreeSet<&'a str>,
    named: BTreeSet<&'a Scope>,
}

impl<'a> Index<'a> {
    pub(crate) fn new(policies: &[&'a Policy], bundle: &'a Bundle, facts: &'a NodeFacts) -> Self {
        let exempt: BTreeSet<&Scope> = bundle
            .settings()
            .exempt_images
            .iter()
            .chain(&facts.exempt)
            .chain(&facts.accepted)
            .collect();
        let mut index = Self {
            scopes: BTreeMap::new(),
            excludes: BTreeMap::new(),
            exempt: exempt.iter().map(|scope| scope.as_str()).collect(),
            refused: facts.refused.iter().map(Scope::as_str).collect(),
            named: exempt,
        };
        index.named.extend(&facts.refused);
        for policy in policies {
            for scope in policy.scopes() {
                index
                    .scopes
                    .entry(scope.as_str())
                    .or_default()
                    .push(policy.id());
            }
            for scope in policy.exclude() {
                index
                    .excludes
                    .entry(scope.as_str())
                    .or_default()
                    .push(policy.id());
            }
            index
                .named
                .extend(policy.scopes().iter().chain(policy.exclude()));
        }
        index
    }

    /// Every scope that a policy, an exclude or an exemption names.
    pub(crate) fn named_scopes(&self) -> BTreeSet<Scope> {
        self.named.iter().map(|&scope| scope.clone()).collect()
    }

    /// The entry of the scope that `lookup` begins with.
    pub(crate) fn entry(&self, lookup: &[String]) -> Entry {
        let is_in = |set: &BTreeSet<&str>| lookup.iter().any(|wider| set.contains(wider.as_str()));
        if is_in(&self.refused) {
            return Entry::Refused;
        }
        if is_in(&self.exempt) {
            return Entry::Exempt;
        }
        let named_by = |map: &BTreeMap<&str, Vec<&'a PolicyId>>| -> BTreeSet<&'a PolicyId> {
            lookup
                .iter()
                .filter_map(|wider| map.get(wider.as_str()))
                .flatten()
                .copied()
                .collect()
        };
        let excluded = named_by(&self.excludes);
        let covering: BTreeSet<PolicyId> = named_by(&self.scopes)
            .difference(&excluded)
            .map(|&id| id.clone())
            .collect();
        if covering.is_empty() {
            Entry::Default
        } else {
            Entry::Verify(covering)
        }
    }
}

impl Flat {
    /// Puts a table together from parts that were read from a file.
    pub fn from_parts(
        default_action: DefaultAction,
        entries: BTreeMap<Scope, Entry>,
        requirements: BTreeMap<PolicyId, Requirement>,
    ) -> Result<Self, FlatError> {
        for (scope, entry) in &entries {
            let Entry::Verify(ids) = entry else { continue };
            if ids.is_empty() {
                return Err(FlatError::EmptyEntry(scope.clone()));
            }
            if let Some(policy) = ids.iter().find(|id| !requirements.contains_key(id)) {
                let policy = policy.clone();
                return Err(FlatError::UnknownPolicy {
                    scope: scope.clone(),
                    policy,
                });
            }
        }
        Ok(Self {
            default_action,
            entries,
            requirements,
        })
    }

    /// What happens to an image that no enforcing policy covers.
    #[must_use]
    pub fn default_action(&self) -> DefaultAction {
        self.default_action
    }

    /// Every scope that has an entry.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<Scope, Entry> {
        &self.entries
    }

    /// What each policy demands. Every policy that an entry names is here.
    #[must_use]
    pub fn requirements(&self) -> &BTreeMap<PolicyId, Requirement> {
        &self.requirements
    }

    /// The trust roots that the policies need.
    #[must_use]
    pub fn trust_roots(&self) -> TrustRoots {
        authority::trust_roots(
            self.requirements
                .values()
                .flat_map(Requirement::trust_roots),
        )
    }

    /// What has to happen to `image`: the most specific entry in its lookup list decides.
    #[must_use]
    pub fn decide(&self, image: &Reference) -> Decision<'_> {
        let hit = image
            .lookup()
            .into_iter()
            .find_map(|name| self.entries.get_key_value(name.as_str()));
        let Some((scope, entry)) = hit else {
            let outcome = Outcome::Default(self.default_action);
            return Decision {
                scope: None,
                outcome,
                audit: Vec::new(),
            };
        };
        let scope = Some(scope);
        match entry {
            Entry::Exempt => Decision {
                scope,
                outcome: Outcome::Exempt,
                audit: Vec::new(),
            },
            Entry::Refused => Decision {
                scope,
                outcome: Outcome::Refused,
                audit: Vec::new(),
            },
            Entry::Default => {
                let outcome = Outcome::Default(self.default_action);
                Decision {
                    scope,
                    outcome,
                    audit: Vec::new(),
                }
            }
            Entry::Verify(ids) => {
                let (enforce, audit): (Vec<_>, Vec<_>) = ids
                    .iter()
                    .filter_map(|id| self.requirements.get_key_value(id))
                    .partition(|(_, requirement)| requirement.mode() == Mode::Enforce);
                let outcome = if enforce.is_empty() {
                    Outcome::Default(self.default_action)
                } else {
                    Outcome::Verify(enforce)
                };
                Decision {
                    scope,
                    outcome,
                    audit,
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "flatten_tests.rs"]
pub(crate) mod tests;
