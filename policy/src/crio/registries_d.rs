//! registries.d: what the files of others say about looking for signatures.
//!
//! Read as go.podman.io/image does (`docker/registries_d.go`): for an image each name of its lookup
//! list is asked, most specific first, and the first that has `use-sigstore-attachments` decides;
//! then `default-docker` does, and without that none are looked for. A location that stands in two
//! files makes every pull fail, whatever it says there.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::scope::{Scope, lookup_of};

/// The part of a file in registries.d that matters here, for a deserialiser of YAML. Other keys are
/// passed over, as the library does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct RegistriesD {
    /// What holds where no location says anything.
    #[serde(default, rename = "default-docker")]
    pub default_docker: Option<Namespace>,
    /// By location: a host, what lies below it, one tag or digest, or `*.domain`.
    #[serde(default)]
    pub docker: Option<BTreeMap<String, Option<Namespace>>>,
}

/// What a file says about one location.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Namespace {
    /// Whether signatures are looked for in the registry; absent asks the next wider location.
    #[serde(default, rename = "use-sigstore-attachments")]
    pub use_sigstore_attachments: Option<bool>,
}

/// What all files of others say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    locations: BTreeMap<String, Entry>,
    default: Option<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// The file's name; empty where it is not known.
    file: String,
    attachments: Option<bool>,
}

impl Taken {
    /// Adds what one file says. Gives back what two files say at once, which makes CRI-O refuse
    /// every pull.
    pub fn add(&mut self, file: &str, read: RegistriesD) -> Vec<String> {
        let mut twice = Vec::new();
        let entry = |namespace: Option<Namespace>| Entry {
            file: file.to_owned(),
            attachments: namespace.unwrap_or_default().use_sigstore_attachments,
        };
        if let Some(namespace) = read.default_docker {
            if let Some(other) = &self.default {
                twice.push(stands_twice("default-docker", file, &other.file));
            } else {
                self.default = Some(entry(Some(namespace)));
            }
        }
        for (location, namespace) in read.docker.unwrap_or_default() {
            if let Some(other) = self.locations.get(&location) {
                twice.push(stands_twice(&location, file, &other.file));
            } else {
                self.locations.insert(location, entry(namespace));
            }
        }
        twice
    }

    /// Whether some file has this location, so that ours must not.
    #[must_use]
    pub fn has(&self, location: &str) -> bool {
        self.locations.contains_key(location)
    }

    /// Whether signatures are looked for at a location, with `ours` beside the files of others; at
    /// a narrower one it may be otherwise.
    #[must_use]
    pub fn looks(&self, location: &str, ours: &BTreeSet<String>) -> bool {
        let said = lookup_of(location).into_iter().find_map(|name| {
            let theirs = self.locations.get(&name);
            theirs.map_or_else(|| ours.contains(&name).then_some(true), |e| e.attachments)
        });
        let default = || self.default.as_ref()?.attachments;
        said.or_else(default).unwrap_or(false)
    }

    /// The file that has a location.
    pub(crate) fn file(&self, location: &str) -> Option<&str> {
        Some(self.locations.get(location)?.file.as_str())
    }

    /// The locations at which a file of others says that no signatures are looked for.
    pub(crate) fn refusing(&self) -> impl Iterator<Item = &str> {
        self.locations
            .iter()
            .filter(|(_, entry)| entry.attachments == Some(false))
            .map(|(location, _)| location.as_str())
    }
}

/// Locations of which nothing else is known: they say nothing about signatures.
impl From<BTreeSet<String>> for Taken {
    fn from(locations: BTreeSet<String>) -> Self {
        let entry = Entry {
            file: String::new(),
            attachments: None,
        };
        let locations = locations.into_iter().map(|name| (name, entry.clone()));
        Self {
            locations: locations.collect(),
            default: None,
        }
    }
}

fn stands_twice(name: &str, file: &str, other: &str) -> String {
    format!(
        "`{name}` stands both in {other} and in {file}, and with that CRI-O refuses every pull: \
         remove it from one of the two"
    )
}

/// Whether a location lies inside one of the scopes.
pub(crate) fn is_within(location: &str, scopes: &BTreeSet<Scope>) -> bool {
    let mut lookup = lookup_of(location).into_iter();
    lookup.any(|name| scopes.contains(name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(json: &str) -> RegistriesD {
        serde_json::from_str(json).unwrap()
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_most_specific_location_that_says_anything_decides() {
        let mut taken = Taken::default();
        let read = file(
            r#"{"docker": {
                "a.example": {"use-sigstore-attachments": true},
                "a.example/x": {"lookaside": "https://x"},
                "a.example/x/off": {"use-sigstore-attachments": false},
                "a.example/none": null,
                "*.b.example": {"use-sigstore-attachments": true},
                "c.example": {}}}"#,
        );
        assert_eq!(taken.add("a.yaml", read), [""; 0]);
        let none = BTreeSet::new();
        for (location, looks) in [
            ("a.example", true),
            ("a.example/x", true),
            ("a.example/x/app:v1", true),
            ("a.example/x/off", false),
            ("a.example/x/off/app", false),
            ("a.example/none", true),
            ("r.b.example:5000/app", true),
            ("b.example", false),
            ("c.example", false),
            ("d.example", false),
        ] {
            assert_eq!(taken.looks(location, &none), looks, "{location}");
        }
        assert!(taken.looks("c.example/x", &set(&["c.example/x"])));
        assert!(taken.looks("c.example", &set(&["*.example"])));
        assert!(!taken.looks("a.example/x/off", &set(&["a.example/x"])));
        assert!(taken.has("c.example") && !taken.has("c.example/x"));
    }

    #[test]
    fn the_default_holds_where_nothing_else_is_said() {
        let mut taken = Taken::default();
        taken.add(
            "default.yaml",
            file(
                r#"{"default-docker": {"use-sigstore-attachments": true},
                    "docker": {"a.example": {}, "b.example": {"use-sigstore-attachments": false}}}"#,
            ),
        );
        let none = BTreeSet::new();
        assert!(taken.looks("a.example", &none));
        assert!(taken.looks("c.example", &none));
        assert!(!taken.looks("b.example/x", &none));
    }

    #[test]
    fn what_stands_in_two_files_is_told_with_both() {
        let mut taken = Taken::default();
        let read = file(r#"{"default-docker": {}, "docker": {"a.example": {}}}"#);
        assert_eq!(taken.add("a.yaml", read.clone()), [""; 0]);
        let twice = taken.add("b.yaml", read);
        assert_eq!(twice.len(), 2);
        assert!(twice[1].starts_with("`a.example` stands both in a.yaml and in b.yaml"));
    }

    #[test]
    fn a_setting_of_another_type_is_refused_as_the_library_does() {
        for bad in [
            r#"{"docker": {"a": {"use-sigstore-attachments": 1}}}"#,
            r#"{"docker": ["a"]}"#,
            r#"{"default-docker": true}"#,
        ] {
            assert!(serde_json::from_str::<RegistriesD>(bad).is_err(), "{bad}");
        }
    }
}
