//! Bundles as they were written by the versions that wrote them first: every later one must read them
//! to the same policies, and write the same content to the same bytes. Otherwise an upgrade of the
//! operator would give every node a new bundle, and one of a node would lose what it runs.
//!
//! In `tests/data/bundles/format-N` stand, for each case, what a user writes (`.yaml`), the bundle's
//! canonical bytes (`.json`) and the object of the API server (`.object.json`). The last two are
//! recorded once, with `NODESEAL_RECORD=1`, which writes what is missing and nothing else. A case that
//! was released is never changed: a field that comes later is written only where it differs from its
//! default.

#![allow(clippy::panic, clippy::unwrap_used, reason = "it is how a test fails")]

use std::fs;
use std::path::{Path, PathBuf};

use crds::bundle::{FORMAT, decode, encode, object_name};
use crds::load::{Source, load};
use crds::types::PolicyBundle;
use policy::bundle::Bundle;
use policy::digest::Digest;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/bundles/format-1")
}

/// The cases, by the path without its last part.
fn cases() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "yaml"))
        .map(|path| path.with_extension(""))
        .collect();
    found.sort();
    assert!(found.len() >= 5, "{found:?}");
    found
}

/// What this version makes of what the user writes.
fn written(case: &Path) -> Bundle {
    let name = case.display().to_string();
    let text = fs::read_to_string(case.with_extension("yaml")).unwrap();
    let loaded = load(&[Source { name, text }]);
    assert!(!loaded.has_errors(), "{:#?}", loaded.problems);
    let policies = loaded.policies.into_iter().map(|it| it.policy);
    Bundle::new(loaded.settings.unwrap_or_default(), policies)
}

/// What was recorded; recorded now where it is missing and that is asked for.
fn recorded(case: &Path, extension: &str, make: impl Fn() -> Vec<u8>) -> Vec<u8> {
    let path = case.with_extension(extension);
    if !path.exists() && std::env::var_os("NODESEAL_RECORD").is_some_and(|it| it == "1") {
        fs::write(&path, make()).unwrap();
    }
    fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; record it with NODESEAL_RECORD=1",
            path.display()
        )
    })
}

fn object(bundle: &Bundle) -> Vec<u8> {
    let spec = encode(bundle).unwrap();
    let object = PolicyBundle::new(&object_name(&bundle.digest()), spec);
    let mut bytes = serde_json::to_vec_pretty(&object).unwrap();
    bytes.push(b'\n');
    bytes
}

#[test]
fn the_same_policies_have_the_bytes_that_they_always_had() {
    for case in cases() {
        let bundle = written(&case);
        let bytes = recorded(&case, "json", || bundle.to_json());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(text(&bundle.to_json()), text(&bytes), "{}", case.display());
    }
}

#[test]
fn recorded_objects_are_read_to_the_same_policies_and_digests() {
    for case in cases() {
        let bundle = written(&case);
        let bytes = recorded(&case, "object.json", || object(&bundle));
        let object: PolicyBundle = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(object.spec.format, FORMAT);
        let name = object.metadata.name.unwrap();
        let read = decode(&name, &object.spec)
            .unwrap_or_else(|error| panic!("{}: {error}", case.display()));
        assert_eq!(read, bundle, "{}", case.display());
        assert_eq!(object_name(&read.digest()), name);
        // Policies are told apart by their digests, across bundles and versions.
        let digests = |bundle: &Bundle| -> Vec<(String, Digest)> {
            let policies = bundle.policies();
            policies
                .map(|it| (it.id().to_string(), it.digest()))
                .collect()
        };
        assert_eq!(digests(&read), digests(&bundle));
    }
}

/// A field that this version does not know, anywhere, is one that an older agent would not know either:
/// it could have been the one that denies.
#[test]
fn an_unknown_field_anywhere_in_a_recorded_bundle_is_refused_as_newer() {
    for case in cases() {
        let bytes = recorded(&case, "json", || written(&case).to_json());
        let whole: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let mut places = Vec::new();
        maps(&whole, String::new(), &mut places);
        assert!(places.len() > 1, "{}", case.display());
        for place in places {
            let mut changed = whole.clone();
            let map = changed.pointer_mut(&place).unwrap();
            map["fromALaterVersion"] = true.into();
            let bytes = serde_json::to_vec(&changed).unwrap();
            let error = Bundle::from_json(&bytes);
            assert!(error.is_err(), "{}: {place}", case.display());
        }
    }
}

/// The places of all maps whose keys are fields: those of claims are names that a user gives.
fn maps(value: &serde_json::Value, place: String, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(entries) => {
            for (key, value) in entries.iter().filter(|(key, _)| *key != "claims") {
                maps(value, format!("{place}/{key}"), found);
            }
            found.push(place);
        }
        serde_json::Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                maps(value, format!("{place}/{index}"), found);
            }
        }
        _ => {}
    }
}
