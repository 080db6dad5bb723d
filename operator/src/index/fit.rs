//! What fits into one bundle.
//!
//! Tenants must not be able to keep a bundle from being written. So where not everything fits,
//! namespaced policies are left out, all of the largest namespace first, and only where the
//! cluster's own policies alone do not fit there is no bundle.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crds::bundle::{MAX_DATA, TooLarge, encode, object_name};
use crds::types::PolicyBundleSpec;
use policy::aggregate::Finding;
use policy::bundle::{Bundle, Settings};
use policy::model::{Policy, PolicyId};
use policy::problem::Reason;

use super::release::{Given, Namespaced};

/// What goes into a bundle as far as it fits.
pub(crate) struct Content<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) cluster: Vec<&'a Policy>,
    pub(crate) namespaced: &'a Namespaced,
}

/// What of it fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fitting {
    /// The bundle's name.
    pub(crate) name: String,
    /// The namespaces whose policies were left out.
    pub(crate) without: BTreeSet<String>,
}

impl Content<'_> {
    /// The bundle with all policies but those of these namespaces.
    fn bundle(&self, without: &BTreeSet<String>) -> Bundle {
        let namespaced = self.namespaced.iter().filter(|(id, _)| {
            let namespace = id.namespace().unwrap_or_default();
            !without.contains(namespace)
        });
        let namespaced = namespaced.map(|(_, given)| Policy::clone(&given.policy));
        let cluster = self.cluster.iter().copied().cloned();
        Bundle::new(self.settings.clone(), cluster.chain(namespaced))
    }

    /// The content of the bundle that [`Content::fit`] found.
    pub(crate) fn spec(&self, fitting: &Fitting) -> Option<PolicyBundleSpec> {
        encode(&self.bundle(&fitting.without)).ok()
    }

    /// What fits. Always the same of the same content.
    pub(crate) fn fit(&self) -> Result<Fitting, TooLarge> {
        let attempt = |without: BTreeSet<String>| {
            let bundle = self.bundle(&without);
            encode(&bundle)?;
            let name = object_name(&bundle.digest());
            Ok(Fitting { name, without })
        };
        let error = match attempt(BTreeSet::new()) {
            Ok(fitting) => return Ok(fitting),
            Err(error) => error,
        };
        let largest = self.largest_first();
        if largest.is_empty() {
            return Err(error);
        }
        let first = |count: usize| largest.iter().take(count).map(|name| (*name).to_owned());
        // Searched in halves: to encode takes long, and there may be very many namespaces.
        let mut found = attempt(first(largest.len()).collect())?;
        let (mut too_few, mut enough) = (0, largest.len());
        while enough - too_few > 1 {
            let middle = usize::midpoint(too_few, enough);
            match attempt(first(middle).collect()) {
                Ok(fitting) => {
                    found = fitting;
                    enough = middle;
                }
                Err(_) => too_few = middle,
            }
        }
        Ok(found)
    }

    /// All namespaces, those with the most bytes first, of two with as many the first by name.
    fn largest_first(&self) -> Vec<&str> {
        let mut bytes: BTreeMap<&str, usize> = BTreeMap::new();
        for (id, Given { bytes: own, .. }) in self.namespaced {
            if let Some(namespace) = id.namespace() {
                *bytes.entry(namespace).or_default() += own;
            }
        }
        let mut names: Vec<(&str, usize)> = bytes.into_iter().collect();
        names.sort_by_key(|(_, bytes)| Reverse(*bytes));
        names.into_iter().map(|(name, _)| name).collect()
    }

    /// The policies that were left out, each with what is said about it.
    pub(crate) fn left_out(&self, fitting: &Fitting) -> Vec<(PolicyId, Finding)> {
        let mut bytes: BTreeMap<&str, (usize, Vec<&PolicyId>)> = BTreeMap::new();
        for (id, given) in self.namespaced {
            let namespace = id.namespace().unwrap_or_default();
            if fitting.without.contains(namespace) {
                let (sum, ids) = bytes.entry(namespace).or_default();
                *sum += given.bytes;
                ids.push(id);
            }
        }
        let finding = |namespace: &str, bytes: usize| {
            let message = format!(
                "the policies of all namespaces together are more than one bundle holds, {} KiB when compressed, and those of the largest namespaces are left out: those of `{namespace}` take {} KiB, use fewer scopes, authorities or keys there, or remove policies",
                MAX_DATA / 1024,
                bytes.div_ceil(1024)
            );
            Finding::from((Reason::TooLarge, message))
        };
        let said = bytes.into_iter().flat_map(|(namespace, (bytes, ids))| {
            let finding = finding(namespace, bytes);
            ids.into_iter().map(move |id| (id.clone(), finding.clone()))
        });
        said.collect()
    }
}
