//! Which policy selects which node.
//!
//! Nodes that no selector can tell apart share a class, so that five thousand nodes and a thousand
//! policies take a few thousand comparisons and not five million.

use std::collections::{BTreeMap, BTreeSet};

use crds::types::NodeSelector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};

use super::objects::{NodeObject, PolicyObject};

/// The labels of nodes, as far as any selector looks at them.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    labels: Vec<BTreeMap<String, String>>,
    of_node: BTreeMap<String, usize>,
}

impl Classes {
    pub(crate) fn new<'a>(
        nodes: impl Iterator<Item = &'a NodeObject>,
        policies: impl Iterator<Item = &'a PolicyObject>,
        canary: Option<&'a NodeSelector>,
    ) -> Self {
        let mut keys: BTreeSet<&str> = BTreeSet::new();
        let specs = policies.filter_map(|object| object.spec.as_ref().ok());
        let selectors = specs.filter_map(|spec| spec.node_selector.as_ref());
        for selector in selectors.chain(canary) {
            keys.extend(selector.match_labels.keys().map(String::as_str));
            keys.extend(selector.match_expressions.iter().map(|e| e.key.as_str()));
        }
        let mut classes = Self::default();
        let mut known: BTreeMap<BTreeMap<String, String>, usize> = BTreeMap::new();
        for node in nodes {
            let labels = node
                .labels
                .iter()
                .filter(|(key, _)| keys.contains(key.as_str()))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect::<BTreeMap<_, _>>();
            let class = *known.entry(labels).or_insert_with_key(|labels| {
                classes.labels.push(labels.clone());
                classes.labels.len() - 1
            });
            classes.of_node.insert(node.name.clone(), class);
        }
        classes
    }

    /// The class of a node.
    pub(crate) fn of(&self, node: &str) -> usize {
        self.of_node.get(node).copied().unwrap_or_default()
    }

    /// For each class, whether the policy's selector selects it.
    pub(crate) fn selected(&self, object: &PolicyObject) -> Vec<bool> {
        let spec = object.spec.as_ref().ok();
        self.matching(spec.and_then(|spec| spec.node_selector.as_ref()))
    }

    /// For each class, whether a selector selects it.
    pub(crate) fn matching(&self, selector: Option<&NodeSelector>) -> Vec<bool> {
        // A selector that cannot be read selects all nodes: a policy on too many nodes is seen, one
        // on too few is not.
        let selector = selector
            .and_then(|selector| Selector::try_from(LabelSelector::from(selector)).ok())
            .unwrap_or_default();
        self.labels
            .iter()
            .map(|labels| selector.matches(labels))
            .collect()
    }
}
