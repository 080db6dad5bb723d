//! Which images on a CRI-O node need their signatures fetched again before policies hold them to
//! these.
//!
//! CRI-O checks an image again when a container of it is created, against the signatures that it
//! stored when it pulled the image. Those may be none, if nothing asked for them then, or those of
//! an earlier policy.

use std::collections::BTreeMap;

use crate::bundle::Bundle;
use crate::digest::Digest;
use crate::flatten::{Entry, Index, NodeFacts};
use crate::model::{Mode, Policy, PolicyId};
use crate::reference::Reference;
use crate::scope::without_twin_port;

/// What is demanded of one image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Demand {
    /// A digest of everything that is demanded. The same digest is the same demand, and signatures
    /// that were fetched for it do for it again.
    pub digest: Digest,
    /// A policy of the cluster is among those that demand it, and not only ones of namespaces.
    pub by_cluster: bool,
}

/// What the policies of a bundle demand of the images of a node, in whatever namespace.
pub struct Demands<'a> {
    index: Index<'a>,
    digests: BTreeMap<&'a PolicyId, Digest>,
}

impl<'a> Demands<'a> {
    /// The demands of these policies. Those that only report are left out.
    #[must_use]
    pub fn new(bundle: &'a Bundle, node: &'a NodeFacts) -> Self {
        let enforcing = |policy: &&Policy| policy.requirement().mode() == Mode::Enforce;
        let policies: Vec<&Policy> = bundle.policies().filter(enforcing).collect();
        let digest = |policy: &&'a Policy| (policy.id(), policy.digest());
        Self {
            digests: policies.iter().map(digest).collect(),
            index: Index::new(&policies, bundle, node),
        }
    }

    /// Everything that is demanded of an image; nothing where no policy covers it.
    #[must_use]
    pub fn of(&self, image: &Reference) -> Option<Demand> {
        let names: Vec<String> = image
            .lookup()
            .iter()
            .map(|name| without_twin_port(name))
            .collect();
        let Entry::Verify(ids) = self.index.entry(&names) else {
            return None;
        };
        let lines = ids.iter().filter_map(|id| {
            let digest = self.digests.get(id)?;
            Some(format!("{id} {digest}\n"))
        });
        Some(Demand {
            digest: Digest::of(lines.collect::<String>().as_bytes()),
            by_cluster: ids.iter().any(|id| matches!(id, PolicyId::Cluster { .. })),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Settings;
    use crate::crio::render::tests::namespaced;
    use crate::testing::policy;

    fn demand(policies: Vec<Policy>, image: &str) -> Option<Demand> {
        let bundle = Bundle::new(Settings::default(), policies);
        let node = NodeFacts::default();
        Demands::new(&bundle, &node).of(&Reference::parse(image).unwrap())
    }

    #[test]
    fn covered_images_have_a_demand_that_changes_with_what_covers_them() {
        let p = || policy("p", &["a.example/x"], &["a.example/x/free"]);
        let one = demand(vec![p()], "a.example/x/app:1").unwrap();
        let image = "a.example:443/x/app:1";
        assert_eq!(demand(vec![p()], image), Some(one.clone()));
        let other = policy("other", &["b.example"], &[]);
        assert_eq!(demand(vec![p(), other], image), Some(one.clone()));
        let second = policy("second", &["a.example"], &[]);
        let both = demand(vec![p(), second], image).unwrap();
        assert_ne!(both, one);
        let own = namespaced("team", "own", &["a.example/x"]);
        assert_ne!(demand(vec![p(), own], image), Some(one));
        assert_eq!(demand(vec![p()], "a.example/x/free/y"), None);
        assert_eq!(demand(vec![p()], "c.example/x"), None);
    }

    #[test]
    fn what_only_namespaces_demand_is_told_from_what_the_cluster_does() {
        let p = || policy("p", &["a.example"], &[]);
        let own = || namespaced("team", "own", &["a.example/x"]);
        let by_cluster = |policies| demand(policies, "a.example/x:1").unwrap().by_cluster;
        assert!(by_cluster(vec![p()]));
        assert!(by_cluster(vec![p(), own()]));
        assert!(!by_cluster(vec![own()]));
    }
}
