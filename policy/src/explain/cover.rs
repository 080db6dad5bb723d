//! Which policies name an image.

use std::collections::BTreeSet;

use super::demand::Demand;
use super::{Coverage, ExemptBy, Exemption, Relevant};
use crate::bundle::Bundle;
use crate::flatten::NodeFacts;
use crate::model::{Mode, Policy};
use crate::reference::Reference;
use crate::scope::{Scope, without_twin_port};

/// The scopes that hold an image, most specific first. The port 443 is the same registry as none,
/// and scopes are written without it.
pub(super) fn names(image: &Reference) -> Vec<String> {
    image
        .lookup()
        .iter()
        .map(|name| without_twin_port(name))
        .collect()
}

/// The most specific of `scopes` that holds the image of these names.
fn most_specific(scopes: &BTreeSet<Scope>, names: &[String]) -> Option<Scope> {
    names
        .iter()
        .find_map(|name| scopes.get(name.as_str()))
        .cloned()
}

pub(super) fn exemption(bundle: &Bundle, node: &NodeFacts, names: &[String]) -> Option<Exemption> {
    let by = |scopes: &BTreeSet<Scope>, by| {
        most_specific(scopes, names).map(|scope| Exemption { scope, by })
    };
    by(&bundle.settings().exempt_images, ExemptBy::ExemptImages)
        .or_else(|| by(&node.exempt, ExemptBy::Node))
}

/// What a policy is to the image; nothing where none of its scopes holds it.
pub(super) fn relevant(
    policy: &Policy,
    image: &Reference,
    names: &[String],
    namespace: Option<&str>,
) -> Option<Relevant> {
    let scope = most_specific(policy.scopes(), names)?;
    let exclude = most_specific(policy.exclude(), names);
    let own = policy.id().namespace();
    let coverage = if exclude.is_some() {
        Coverage::Excluded
    } else if own.is_some() && own != namespace {
        Coverage::OtherNamespace
    } else if policy.requirement().mode() == Mode::Audit {
        Coverage::Audit
    } else {
        Coverage::Covers
    };
    Some(Relevant {
        id: policy.id().clone(),
        coverage,
        scope,
        exclude,
        demand: Demand::of(policy.requirement(), image),
    })
}
