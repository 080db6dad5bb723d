//! registries.conf, and what it makes of our locations.

use std::collections::{BTreeMap, BTreeSet};

use policy::crio::locations::registries_d;
use policy::crio::registries_conf::{
    Endpoints, Format, MAX_REGISTRIES, Registry, Source, merge, parse_document,
};
use serde_json::Value;

pub(crate) const WORDS: &[&str] = &[
    "[[registry]]",
    "[[registry.mirror]]",
    "[registry]",
    "prefix",
    "location",
    "insecure",
    "blocked",
    "mirror-by-digest-only",
    "pull-from-mirror",
    "unqualified-search-registries",
    "short-name-mode",
    "credential-helpers",
    "additional-layer-store-auth-helper",
    "[aliases]",
    "[registries.search]",
    "[registries.insecure]",
    "[registries.block]",
    "registries",
    "namespace-proxy",
    " = ",
    "true",
    "false",
    "\"\"",
    "\"all\"",
    "\"digest-only\"",
    "\"tag-only\"",
    "\"enforcing\"",
    "[]",
    "{}",
    "[[",
    "]]",
    "*.",
    "*.example",
    "a.example",
    "a.example/team",
    "a.example:5000",
    "mirror.example",
    "mirror.example/a",
    "[::1]:5000",
    "localhost",
    "http://",
    "https://",
    "/",
    "//",
    ":443",
    "@",
    "'''",
    "\"\"\"",
    "\\u0000",
    "\\n",
    "\\U0001F600",
    "\u{85}",
    "\u{2028}",
    "\u{7f}",
    "1979-05-27",
    "0x1f",
    "inf",
    "#",
];

const LOCATIONS: [&str; 12] = [
    "a.example",
    "a.example:443",
    "a.example:5000",
    "a.example/team",
    "a.example/team/app",
    "a.example/team/app:v1",
    "a.example/team/app@sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "docker.io/library/app",
    "[::1]:5000/app",
    "*.example",
    "*.corp.example",
    "localhost",
];

/// [`parse_document`], [`merge`], and the endpoints of what they accept.
#[must_use]
pub fn registries_conf(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let document = match parse_document(text) {
        Ok(document) => document,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    let registries = &document.registries;
    assert!(document.format == Format::V1 || registries.len() <= MAX_REGISTRIES);
    let prefixes: Vec<&str> = registries.iter().map(Registry::prefix).collect();
    assert!(
        prefixes.is_sorted_by(|one, next| one < next),
        "{prefixes:?}"
    );

    // One file is the whole configuration, and says the same again in a drop-in.
    let source = |name| Source { name, text };
    let merged = merge(Some(source("registries.conf")), &[]).expect("the file is accepted");
    assert_eq!(&merged, registries);
    let twice = merge(
        Some(source("registries.conf")),
        &[source("1.conf"), source("2.conf")],
    );
    match document.format {
        Format::V1 => assert!(twice.is_err(), "no drop-in is in version 1"),
        Format::V2 => assert_eq!(&twice.expect("the file is accepted"), registries),
    }

    let index = Endpoints::new(registries);
    for location in prefixes.iter().take(16).chain(&LOCATIONS) {
        for place in index.of(location) {
            assert!(!place.is_empty(), "{location}");
        }
    }
    let locations: BTreeSet<String> = LOCATIONS.map(str::to_owned).into();
    let places = locations.iter().flat_map(|location| index.of(location));
    let places: BTreeSet<String> = places.filter(|place| !locations.contains(place)).collect();
    assert!(!places.contains(""));
    written_as_it_is(&places);
    true
}

/// Our file says what it should, whatever the node's file held: one key that is another, or that
/// stands there twice, makes every pull fail.
fn written_as_it_is(places: &BTreeSet<String>) {
    let Some(file) = registries_d(places) else {
        assert!(places.is_empty());
        return;
    };
    let text = String::from_utf8(file.bytes).expect("text");
    let read: BTreeMap<String, BTreeMap<String, Value>> =
        serde_saphyr::from_str(&text).expect("what was written is YAML");
    assert_eq!(read.keys().collect::<Vec<_>>(), ["docker"]);
    let keys: BTreeSet<String> = read["docker"].keys().cloned().collect();
    assert_eq!(&keys, places);
}
