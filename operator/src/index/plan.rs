//! Which bundle each node shall run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::bundle::TooLarge;
use crds::convert::{Configuration, RolloutSettings};
use crds::types::PolicyBundleSpec;
use jiff::Timestamp;
use policy::aggregate::Finding;
use policy::bundle::{DefaultAction, Settings};
use policy::digest::Digest;
use policy::model::PolicyId;
use policy::problem::Reason;
use policy::settings::Enforcement;

use super::Index;
use super::fit::{Content, Fitting};
use super::forms::Form;
use super::objects::NodeObject;
use super::release::{Cluster, Given, Namespaced};
use super::select::Classes;

/// How one policy selects nodes.
#[derive(Debug)]
pub(crate) struct Selection {
    by_class: Vec<bool>,
    /// It is kept in its last valid form, which is no longer known to select the nodes that the
    /// spec now selects: so nodes that have it keep it.
    kept: bool,
}

/// Which bundle each node shall run.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Bundle by node. A node that is missing here keeps what it has.
    pub(crate) desired: BTreeMap<String, String>,
    /// Bundles that are wanted, with their content where they are not known to exist.
    pub(crate) wanted: BTreeMap<String, Option<PolicyBundleSpec>>,
    /// Policies of bundles that cannot be written at all.
    pub(crate) too_large: BTreeMap<PolicyId, Finding>,
    /// Namespaced policies that were left out of these bundles, and why.
    pub(crate) left_out: BTreeMap<PolicyId, (Finding, BTreeSet<String>)>,
}

/// What fits into bundles as it was worked out before, by what went into them.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: BTreeMap<Digest, Result<Fitting, TooLarge>>,
}

impl Index {
    /// How each policy selects nodes, by its id.
    pub(crate) fn selections(&self, classes: &Classes) -> BTreeMap<PolicyId, Selection> {
        self.policies()
            .map(|object| {
                let entry = self.forms.get(&object.id);
                let form = entry.and_then(|entry| entry.form.as_ref());
                let selection = Selection {
                    by_class: classes.selected(object),
                    // A namespaced policy selects all nodes in every form.
                    kept: object.id.namespace().is_none() && form.is_some_and(|form| !form.current),
                };
                (object.id.clone(), selection)
            })
            .collect()
    }

    /// Whether a policy selects a node of that class.
    pub(crate) fn selects(
        &self,
        id: &PolicyId,
        selection: &Selection,
        node: &NodeObject,
        class: usize,
    ) -> bool {
        let by_class = selection.by_class.get(class).copied().unwrap_or(true);
        if !selection.kept {
            return by_class;
        }
        let own = self.node_policies.get(&node.name);
        let given = own.and_then(|own| own.bundle.as_ref());
        // A bundle without policies is what the emergency stop gives.
        let digests = given
            .and_then(|bundle| self.digests.get(bundle))
            .filter(|digests| !digests.is_empty());
        digests.map_or(by_class, |digests| digests.contains_key(id))
    }

    /// What goes into every bundle besides policies.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = self.config.in_force.settings.clone();
        if self.config.disabled {
            settings.enforcement = Enforcement::Disabled;
            settings.default_action = DefaultAction::Allow;
            settings.exempt_images.clear();
        }
        let own = self.options.exempt.iter().cloned();
        settings.exempt_images.extend(own);
        settings
    }

    /// Works out the bundle of every node.
    pub(crate) fn plan(
        &mut self,
        classes: &Classes,
        selections: &BTreeMap<PolicyId, Selection>,
        now: Timestamp,
    ) -> Plan {
        let settings = self.settings();
        let given = self.given(now);
        let none = Namespaced::new();
        let namespaced = if self.config.disabled { &none } else { &*given };
        let mut plan = Plan::default();
        let mut names = std::mem::take(&mut self.names);
        let mut used = BTreeMap::new();
        // Nodes of one class differ only in what is kept on them.
        let mut groups: BTreeMap<(usize, Vec<&PolicyId>), Vec<&str>> = BTreeMap::new();
        for node in self.nodes.iter() {
            let class = classes.of(&node.name);
            let kept: Vec<&PolicyId> = selections
                .iter()
                .filter(|(id, s)| s.kept && self.selects(id, s, node, class))
                .map(|(id, _)| id)
                .collect();
            groups.entry((class, kept)).or_default().push(&node.name);
        }
        for ((class, kept), nodes) in groups {
            let in_class = |selection: &Selection| {
                selection.by_class.get(class).copied().unwrap_or(true) && !selection.kept
            };
            let forms: Vec<&Form> = selections
                .iter()
                .filter(|(id, _)| id.namespace().is_none())
                .filter(|(id, selection)| in_class(selection) || kept.contains(id))
                .filter_map(|(id, _)| self.forms.get(id)?.form.as_ref())
                .filter(|_| !self.config.disabled)
                .collect();
            let digests = forms.iter().map(|form| &form.digest);
            let digests = digests.chain(namespaced.values().map(|given| &given.digest));
            let fingerprint = fingerprint(&settings, digests);
            let content = Content {
                settings: &settings,
                cluster: forms.iter().map(|form| &*form.policy).collect(),
                namespaced,
            };
            let known = names.known.remove(&fingerprint);
            let known = known.or_else(|| used.get(&fingerprint).cloned());
            let fitting = known.unwrap_or_else(|| content.fit());
            match &fitting {
                Ok(fitting) => {
                    let name = &fitting.name;
                    let is_there = self.bundles.get(name).is_some();
                    let spec = (!is_there && !plan.wanted.contains_key(name))
                        .then(|| content.spec(fitting))
                        .flatten();
                    plan.wanted.entry(name.clone()).or_insert(spec);
                    let desired = nodes.iter().map(|node| ((*node).to_owned(), name.clone()));
                    plan.desired.extend(desired);
                    for (id, finding) in content.left_out(fitting) {
                        let left_out = plan.left_out.entry(id);
                        let (_, bundles) = left_out.or_insert((finding, BTreeSet::new()));
                        bundles.insert(name.clone());
                    }
                }
                Err(error) => {
                    let message = format!("{error}. Until then nodes keep what they have");
                    let finding = Finding::new(Reason::TooLarge.as_str(), message);
                    let ids = forms.iter().map(|form| form.policy.id());
                    let ids = ids.chain(namespaced.keys());
                    plan.too_large
                        .extend(ids.map(|id| (id.clone(), finding.clone())));
                }
            }
            used.insert(fingerprint, fitting);
        }
        names.known = used;
        self.names = names;
        plan
    }

    /// The namespaced policies that nodes are given now.
    fn given(&mut self, now: Timestamp) -> Arc<Namespaced> {
        let mut namespaced = Namespaced::new();
        let mut policies = BTreeMap::new();
        for (id, form) in self.forms.in_force() {
            let (id, digest) = (id.clone(), form.digest.clone());
            if id.namespace().is_none() {
                policies.insert(id, digest);
            } else {
                let given = Given {
                    policy: Arc::clone(&form.policy),
                    digest,
                    bytes: form.bytes,
                };
                namespaced.insert(id, given);
            }
        }
        let cluster = Cluster {
            configuration: Configuration {
                // No bundle has it.
                rollout: RolloutSettings::default(),
                ..self.config.in_force.clone()
            },
            disabled: self.config.disabled,
            policies,
        };
        let window = self.options.namespaced;
        self.release.now(namespaced, cluster, window, now)
    }
}

/// Tells sets of policies apart without writing their JSON each time.
fn fingerprint<'a>(settings: &Settings, digests: impl Iterator<Item = &'a Digest>) -> Digest {
    let mut text = serde_json::to_string(settings).unwrap_or_default();
    for digest in digests {
        text.push('\n');
        text.push_str(digest.as_str());
    }
    Digest::of(text.as_bytes())
}
