//! From the names that policies cover to the places where their images are pulled from.
//!
//! For every image the registry with the longest prefix is used, and only that one; prefixes are
//! compared with the name without tag and digest. Each of its mirrors, then its own location, takes
//! the place of the prefix (`FindRegistry`, `PullSourcesFromReference`).

use std::collections::{BTreeMap, BTreeSet};

use super::{Pulls, Registry};

/// Registries by prefix.
#[derive(Debug)]
pub struct Endpoints<'a>(BTreeMap<&'a str, &'a Registry>);

impl<'a> Endpoints<'a> {
    /// Registries as [`super::merge`] gives them.
    #[must_use]
    pub fn new(registries: &'a [Registry]) -> Self {
        let by_prefix = registries
            .iter()
            .map(|registry| (registry.prefix(), registry));
        Self(by_prefix.collect())
    }

    /// Where the images of one location are pulled from; the location itself may be among it.
    ///
    /// One kind of image is left out, because its places have no bound: one whose registry has a
    /// port other than 443, under a wildcard, at a mirror of the whole domain that is only a host.
    /// The port moves to the mirror's host there, and the library calls that unintended. Its
    /// signatures are not found, so it is refused.
    #[must_use]
    pub fn of(&self, location: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        if let Some(domain) = location.strip_prefix('*') {
            for registry in self.0.values() {
                if meets(registry.prefix(), domain) {
                    below_wildcard(registry, &mut found);
                }
            }
            return found;
        }
        let slash = location.find('/').unwrap_or(location.len());
        let version = location[slash..].find([':', '@']).map(|at| slash + at);
        let name = &location[..version.unwrap_or(location.len())];
        let wanted = version.map_or(Pulls::All, |at| match &location[at..=at] {
            "@" => Pulls::Digests,
            _ => Pulls::Tags,
        });
        if let Some((registry, end)) = self.longest(name) {
            let rest = &location[end..];
            let found_at = registry.places(wanted);
            found.extend(found_at.filter_map(|place| joined(registry.prefix(), place, rest)));
        }
        if version.is_none() {
            // A registry for a part of the location: its places are needed whole.
            let from = format!("{name}/");
            let inside = self.0.range(from.as_str()..);
            for (_, registry) in inside.take_while(|(prefix, _)| prefix.starts_with(&from)) {
                found.extend(registry.places(Pulls::All).map(str::to_owned));
            }
        }
        found
    }

    /// The registry that is used for a name and for whatever lies below it unless a longer prefix
    /// does, and the bytes of the name that it takes the place of. Of two that are as long the
    /// library takes the first in the order of text: the wildcard.
    fn longest(&self, name: &str) -> Option<(&'a Registry, usize)> {
        let ends = name
            .match_indices(['/', ':'])
            .map(|(at, _)| at)
            .chain([name.len()]);
        let plain = ends.filter_map(|end| Some((*self.0.get(&name[..end])?, end)));
        let host = &name[..name.find(['/', ':']).unwrap_or(name.len())];
        let wild = host.match_indices('.').filter_map(|(at, _)| {
            let domain = &host[at..];
            // The library looks for the domain's first place in the name, and there only.
            (host.find(domain) == Some(at))
                .then(|| self.0.get(format!("*{domain}").as_str()))
                .flatten()
                .map(|registry| (*registry, host.len()))
        });
        plain.chain(wild).max_by(|(a, _), (b, _)| {
            let length = a.prefix().len().cmp(&b.prefix().len());
            length.then_with(|| b.prefix().cmp(a.prefix()))
        })
    }
}

impl Registry {
    /// The mirrors that are asked for such references, and the registry's own location.
    fn places(&self, wanted: Pulls) -> impl Iterator<Item = &str> {
        let asked =
            move |pulls: Pulls| pulls == Pulls::All || wanted == Pulls::All || pulls == wanted;
        let mirrors = self
            .mirrors
            .iter()
            .filter(move |mirror| asked(mirror.pulls));
        let mirrors = mirrors.map(|mirror| mirror.location.as_str());
        mirrors.chain(self.location.as_deref())
    }
}

/// The place with what follows the prefix; nothing where that is no name, so that the library
/// refuses the pull.
fn joined(prefix: &str, place: &str, rest: &str) -> Option<String> {
    let fits = match rest.as_bytes().first() {
        // A tag or a digest needs a repository.
        Some(b':' | b'@') if prefix.contains('/') => place.contains('/'),
        // A port needs a host that has none; IPv6 addresses are no hosts to the library.
        Some(b':') => !place.contains(['/', ':']),
        _ => true,
    };
    fits.then(|| format!("{place}{rest}"))
}

/// Whether some images are both under the prefix and under `*` with this domain.
fn meets(prefix: &str, domain: &str) -> bool {
    if let Some(other) = prefix.strip_prefix('*') {
        return other.ends_with(domain) || domain.ends_with(other);
    }
    let host = prefix.find(['/', ':']).map_or(prefix, |at| &prefix[..at]);
    host.ends_with(domain)
}

/// Whole places. A prefix without path stands for every port, and the port moves along: 443 is the
/// one that can be written for the same registry.
fn below_wildcard(registry: &Registry, found: &mut BTreeSet<String>) {
    let whole = registry.prefix().contains([':', '/']);
    for place in registry.places(Pulls::All) {
        if !whole && !place.contains(['/', ':']) {
            found.insert(format!("{place}:443"));
        }
        found.insert(place.to_owned());
    }
}
