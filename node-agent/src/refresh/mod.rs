//! Which images a CRI-O node has to pull again before policies hold them to signatures.
//!
//! CRI-O stores an image's signatures when it pulls it, if something asks for them then, and
//! checks a new container of the image against those. Over CRI nothing tells which signatures are
//! stored, so the agent remembers which images it had pulled again for which demand. What a kubelet
//! pulled meanwhile is pulled once more; its layers are there, so that costs a manifest.

use std::collections::{BTreeMap, BTreeSet};

use node_runtime::cri::Image;
use policy::crio::stale::{Demand, Demands};
use policy::digest::Digest;
use policy::reference::Reference;
use serde::{Deserialize, Serialize};

use crate::json;

/// The version of the record's format.
const VERSION: u32 = 1;
/// The most images that are remembered: what a node holds is far below it.
const MAX: usize = 4_096;

/// An image to pull again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stale {
    /// The reference to pull, by digest where the image has one.
    pub reference: String,
    /// Everything that is demanded of it.
    pub demand: Digest,
    /// A policy of the cluster covers it, so that the node may wait for it. What only policies of
    /// namespaces cover keeps no other policy waiting.
    pub holds: bool,
}

/// The images that were pulled again, and for which demand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refreshed {
    version: u32,
    images: BTreeMap<String, Digest>,
}

impl Default for Refreshed {
    fn default() -> Self {
        Self {
            version: VERSION,
            images: BTreeMap::new(),
        }
    }
}

impl Refreshed {
    /// Reads the record. One that cannot be read costs pulling images again.
    #[must_use]
    pub fn from_json(bytes: &[u8]) -> Self {
        json::of_version(bytes, VERSION, |record: &Self| record.version).unwrap_or_default()
    }

    /// The same bytes for the same record.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        json::lines(self)
    }

    /// The images that are covered and whose signatures are not known to be those of now.
    #[must_use]
    pub fn stale(&self, images: &[Image], demands: &Demands<'_>) -> Vec<Stale> {
        let all = images.iter().flat_map(|image| of(image, demands));
        let known = |stale: &Stale| self.images.get(&stale.reference) == Some(&stale.demand);
        let stale: BTreeSet<Stale> = all.filter(|stale| !known(stale)).collect();
        stale.into_iter().collect()
    }

    /// Takes in that an image was pulled again.
    pub fn pulled(&mut self, stale: Stale) {
        self.images.insert(stale.reference, stale.demand);
    }

    /// Forgets images that are gone, and beyond a number any.
    pub fn retain(&mut self, images: &[Image]) {
        let there: BTreeSet<&str> = images
            .iter()
            .flat_map(|image| image.tags.iter().chain(&image.digests))
            .map(String::as_str)
            .collect();
        self.images
            .retain(|reference, _| there.contains(reference.as_str()));
        while self.images.len() > MAX {
            self.images.pop_first();
        }
    }
}

/// What to pull for the demands on all names of one image.
fn of(image: &Image, demands: &Demands<'_>) -> Vec<Stale> {
    let mut wanted: BTreeMap<&str, BTreeSet<Demand>> = BTreeMap::new();
    for name in image.tags.iter().chain(&image.digests) {
        let Ok(reference) = Reference::parse(name) else {
            continue;
        };
        if let Some(demand) = demands.of(&reference) {
            let pulled = by_digest(image, name).unwrap_or(name);
            wanted.entry(pulled).or_default().insert(demand);
        }
    }
    wanted
        .into_iter()
        .map(|(reference, demands)| {
            let digests: Vec<String> = demands.iter().map(|d| d.digest.to_string()).collect();
            Stale {
                reference: reference.to_owned(),
                demand: Digest::of(digests.join("\n").as_bytes()),
                holds: demands.iter().any(|demand| demand.by_cluster),
            }
        })
        .collect()
}

/// The name with a digest in the same repository: a tag may have moved on.
fn by_digest<'a>(image: &'a Image, name: &str) -> Option<&'a str> {
    let repository = |name: &str| -> String {
        let name = name.split_once('@').map_or(name, |(name, _)| name);
        let tag = name.rfind(':').filter(|at| !name[*at..].contains('/'));
        name[..tag.unwrap_or(name.len())].to_owned()
    };
    let wanted = repository(name);
    let mut digests = image.digests.iter().map(String::as_str);
    digests
        .clone()
        .find(|digest| *digest == name)
        .or_else(|| digests.find(|digest| repository(digest) == wanted))
}

#[cfg(test)]
mod tests;
