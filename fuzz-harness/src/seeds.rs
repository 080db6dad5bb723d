//! Where inputs begin: the stored corpus, and files that other tests have anyway.

use std::fs;
use std::path::{Path, PathBuf};

use crate::verifier::{bundle, kept};

/// The inputs of a target, in the order of their paths.
///
/// Those of `fuzz/corpus/<name>` are what only fuzzing needs: cases that were once wrong, and
/// texts that nothing else has.
#[must_use]
pub fn seeds(name: &str) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = paths(name)
        .iter()
        .map(|path| fs::read(path).unwrap_or_else(|error| unreadable(path, &error)))
        .collect();
    if name == "trusted_root" {
        let roots = [
            sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT,
            sigstore_trust_root::SIGSTORE_STAGING_TRUSTED_ROOT,
            sigstore_trust_root::SIGSTORE_GITHUB_TRUSTED_ROOT,
        ];
        seeds.extend(roots.map(|root| root.as_bytes().to_vec()));
    }
    match name {
        "signature_manifest" => seeds.extend(recorded().into_iter().map(|(_, data)| data)),
        "sigstore_bundle" => seeds.extend(bundle::seed_inputs()),
        "kept_verdict" => seeds.push(kept::seed()),
        _ => {}
    }
    seeds
}

/// The signatures that `examples/record.rs` made, by name.
#[must_use]
pub fn recorded() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded/signatures");
    let name = |path: &Path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let read = |path: &PathBuf| fs::read(path).unwrap_or_else(|error| unreadable(path, &error));
    let paths = below(&folder);
    paths.iter().map(|path| (name(path), read(path))).collect()
}

fn paths(name: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths = below(&root.join("fuzz/corpus").join(name));
    let golden = || below(&root.join("tests/golden"));
    let named = |paths: Vec<PathBuf>, wanted: fn(&Path) -> bool| {
        paths.into_iter().filter(move |path| wanted(path))
    };
    match name {
        "yaml_policy" => {
            let corpus = [
                below(&root.join("crds/tests/corpus")),
                below(&root.join("config/samples")),
            ];
            paths.extend(named(corpus.concat(), |path| {
                ends(path, "yaml") || ends(path, "json")
            }));
            paths.extend(named(golden(), |path| path.ends_with("policies.yaml")));
        }
        "policy_json" => paths.extend(named(golden(), |path| {
            path.ends_with("base.json") || path.components().any(|part| part.as_os_str() == "crio")
        })),
        "registries_conf" => {
            paths.extend(named(golden(), |path| path.ends_with("registries.conf")));
        }
        _ => {}
    }
    paths
}

fn ends(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// All files below a folder, sorted.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| unreadable(folder, &error));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry of the folder").path())
        .collect();
    paths.sort();
    paths
        .into_iter()
        .flat_map(|path| {
            if path.is_dir() {
                below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[expect(clippy::panic, reason = "without seeds nothing is tested")]
fn unreadable(path: &Path, error: &std::io::Error) -> ! {
    panic!("{}: {error}", path.display())
}
