//! registries.conf: where images are really pulled from.
//!
//! CRI-O decides by the name that a pod gives, but looks signatures up where the image is pulled
//! from. So every location whose signatures matter has to stand in registries.d under the names
//! of its mirrors as well (containers-registries.conf(5)).

use std::collections::BTreeSet;

use toml_edit::{DocumentMut, TableLike};

/// One `[[registry]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    prefix: String,
    /// The mirrors, then the registry itself; each takes the place of the prefix.
    endpoints: Vec<String>,
}

/// Why a registries.conf cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RegistriesConfError {
    /// Not TOML.
    #[error("{0}")]
    Toml(#[from] toml_edit::TomlError),
    /// A `[[registry]]` with neither `prefix` nor `location`, or a mirror without `location`.
    #[error("registry {0} has no location")]
    NoLocation(usize),
}

/// Reads a registries.conf. What it says beside names is not looked at.
pub fn parse(text: &str) -> Result<Vec<Registry>, RegistriesConfError> {
    let document: DocumentMut = text.parse()?;
    let all = document.get("registry").map(tables).unwrap_or_default();
    let mut registries = Vec::new();
    for (index, table) in all.into_iter().enumerate() {
        let no_location = || RegistriesConfError::NoLocation(index + 1);
        let location = field(table, "location");
        let prefix = field(table, "prefix")
            .or_else(|| location.clone())
            .ok_or_else(no_location)?;
        let mut endpoints = Vec::new();
        for mirror in table.get("mirror").map(tables).unwrap_or_default() {
            endpoints.push(field(mirror, "location").ok_or_else(no_location)?);
        }
        endpoints.extend(location);
        registries.push(Registry { prefix, endpoints });
    }
    Ok(registries)
}

/// The tables of `[[name]]`, or of `name = [{…}]`.
fn tables(item: &toml_edit::Item) -> Vec<&dyn TableLike> {
    if let Some(tables) = item.as_array_of_tables() {
        return tables.iter().map(|table| table as &dyn TableLike).collect();
    }
    let inline = item.as_array().into_iter().flatten();
    inline
        .filter_map(|value| value.as_inline_table())
        .map(|table| table as &dyn TableLike)
        .collect()
}

fn field(table: &dyn TableLike, name: &str) -> Option<String> {
    let text = table.get(name)?.as_str()?.trim_end_matches('/');
    (!text.is_empty()).then(|| text.to_owned())
}

/// The locations under which the images below `locations` are really pulled. Looking for
/// signatures in a place too many does no harm, so registries with a longer prefix count too.
#[must_use]
pub fn endpoints(locations: &BTreeSet<String>, registries: &[Registry]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for Registry { prefix, endpoints } in registries {
        for location in locations {
            let Some(rest) = rest(location, prefix) else {
                continue;
            };
            // A port follows the prefix: behind another port or a path it would make no name.
            let port = rest.starts_with(':') && !prefix.contains('/');
            let fits = |endpoint: &&String| !(port && endpoint.contains(['/', ':']));
            let endpoints = endpoints.iter().filter(fits);
            found.extend(endpoints.map(|endpoint| format!("{endpoint}{rest}")));
        }
    }
    found.retain(|endpoint| !locations.contains(endpoint));
    found
}

/// What follows the prefix in a location; nothing at all where the registry is only a part of the
/// location, because then whole endpoints are.
fn rest<'a>(location: &'a str, prefix: &str) -> Option<&'a str> {
    let after = |at: usize| {
        let rest = location.get(at..)?;
        (rest.is_empty() || rest.starts_with([':', '/', '@'])).then_some(rest)
    };
    let host = &location[..location.find(['/', ':']).unwrap_or(location.len())];
    if let Some(domain) = prefix.strip_prefix('*') {
        if location.starts_with('*') {
            // Two wildcards meet where one lies within the other.
            let meet = host.ends_with(domain) || prefix.ends_with(&host[1..]);
            return meet.then_some("");
        }
        return host.ends_with(domain).then(|| &location[host.len()..]);
    }
    if let Some(domain) = location.strip_prefix('*') {
        let host = &prefix[..prefix.find(['/', ':']).unwrap_or(prefix.len())];
        return host.ends_with(domain).then_some("");
    }
    if location.starts_with(prefix)
        && let Some(rest) = after(prefix.len())
    {
        return Some(rest);
    }
    let within = prefix.strip_prefix(location)?;
    within.starts_with('/').then_some("")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONF: &str = r#"
unqualified-search-registries = ["docker.io"]

[[registry]]
prefix = "registry.example.com/team"
location = "registry.example.com/team"
[[registry.mirror]]
location = "mirror.local:5000/cache/"
insecure = true
[[registry.mirror]]
location = "second.local"

[[registry]]
prefix = "*.corp.example"
mirror = [{ location = "corp.local:5000" }]

[[registry]]
location = "docker.io"
blocked = true
"#;

    fn of(locations: &[&str]) -> Vec<String> {
        let locations = locations.iter().map(ToString::to_string).collect();
        endpoints(&locations, &parse(CONF).unwrap())
            .into_iter()
            .collect()
    }

    #[test]
    fn a_location_below_a_prefix_keeps_what_follows() {
        assert_eq!(
            of(&["registry.example.com/team/app:v1"]),
            ["mirror.local:5000/cache/app:v1", "second.local/app:v1"]
        );
        assert_eq!(
            of(&["registry.example.com/team"]),
            ["mirror.local:5000/cache", "second.local"]
        );
        assert_eq!(of(&["build.corp.example/x"]), ["corp.local:5000/x"]);
    }

    #[test]
    fn a_location_above_a_prefix_takes_whole_mirrors() {
        let whole = [
            "mirror.local:5000/cache",
            "registry.example.com/team",
            "second.local",
        ];
        assert_eq!(of(&["registry.example.com"]), whole);
        assert_eq!(of(&["*.example.com"]), whole);
        assert_eq!(of(&["*.example"])[0], "corp.local:5000");
        assert_eq!(of(&["*.a.corp.example"]), ["corp.local:5000"]);
    }

    #[test]
    fn a_name_that_only_begins_alike_has_no_mirror() {
        assert_eq!(of(&["registry.example.com/teams"]), [""; 0]);
        assert_eq!(of(&["registry.example.com/other"]), [""; 0]);
        assert_eq!(of(&["docker.io/library"]), [""; 0]);
    }

    #[test]
    fn the_twin_of_a_location_has_mirrors_that_are_names() {
        let conf = "[[registry]]\nlocation = 'a.example'\nmirror = [{location = 'b.example'}, {location = 'c.example/x'}]\n";
        let registries = parse(conf).unwrap();
        let found = endpoints(&["a.example:443/team".to_owned()].into(), &registries);
        assert_eq!(found, ["b.example:443/team".to_owned()].into());
    }

    #[test]
    fn a_registry_without_a_name_is_an_error() {
        assert!(parse("[[registry]]\nblocked = true\n").is_err());
        assert!(parse("[[registry").is_err());
        assert_eq!(parse("").unwrap(), []);
    }
}
