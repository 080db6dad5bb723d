//! registries.d: which locations the files of others configure, and which ours does.

use std::collections::{BTreeMap, BTreeSet};

use policy::crio::render::{REGISTRIES_D_FILE, registries_d};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::DuplicateKeyPolicy;

use crate::root::{FileError, Root, split};

/// The most bytes of one file of others.
const FILE_LIMIT: u64 = 1024 * 1024;
/// The most bytes of ours.
const OUR_LIMIT: u64 = 16 * 1024 * 1024;
/// The most files that are read.
const MAX_FILES: usize = 1_000;

/// What is in the folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Registries {
    /// Locations that files of others configure.
    pub(super) taken: BTreeSet<String>,
    /// Locations that our file configures.
    pub(super) ours: BTreeSet<String>,
    /// What the administrator should know.
    pub(super) warnings: Vec<String>,
}

/// The part of a file that matters here.
#[derive(Deserialize)]
#[expect(
    clippy::zero_sized_map_values,
    reason = "keys are read, values passed over"
)]
struct File {
    #[serde(default)]
    docker: Option<BTreeMap<String, IgnoredAny>>,
}

/// Reads the folder as containers/image does: every file whose name ends in `.yaml`.
pub(super) fn read(root: &Root) -> Result<Registries, FileError> {
    let (folder, own) = split(REGISTRIES_D_FILE);
    let mut registries = Registries::default();
    let mut names: Vec<String> = root
        .entries_following(folder)?
        .unwrap_or_default()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name.strip_suffix(".yaml").is_some() && name != own)
        .collect();
    if names.len() > MAX_FILES {
        registries.warnings.push(format!(
            "/{folder} has more than {MAX_FILES} files; those after `{}` are not looked at",
            names[MAX_FILES - 1]
        ));
        names.truncate(MAX_FILES);
    }
    for name in names {
        let path = format!("{folder}/{name}");
        let found = match root.read_following(&path, FILE_LIMIT) {
            Ok(Some(content)) => locations(&content.bytes),
            Ok(None) => Ok(BTreeSet::new()),
            Err(error) => Err(error.to_string()),
        };
        match found {
            Ok(locations) => registries.taken.extend(locations),
            Err(why) => registries.warnings.push(format!(
                "/{path} cannot be used, and with a file there that it cannot use CRI-O refuses \
                 every pull: {why}"
            )),
        }
    }
    // Only a file just as we write it is ours; any other is kept as a copy and replaced.
    if let Some(content) = root.read(REGISTRIES_D_FILE, OUR_LIMIT)? {
        let found = locations(&content.bytes).unwrap_or_default();
        if registries_d(&found).is_some_and(|file| file.bytes == content.bytes) {
            registries.ours = found;
        }
    }
    Ok(registries)
}

/// The locations of the `docker` transport that a file configures.
pub(crate) fn locations(bytes: &[u8]) -> Result<BTreeSet<String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 16,
            max_documents: 1,
            max_aliases: 100,
            max_anchors: 100,
            max_merge_keys: 0,
            max_total_scalar_bytes: 16 * 1024 * 1024,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 1_000,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        with_snippet: false,
    };
    let file: Option<File> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())?;
    let docker = file.and_then(|file| file.docker).unwrap_or_default();
    Ok(docker.into_keys().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("etc/containers/registries.d");
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn locations_of_others_are_taken_and_only_yaml_files_count() {
        let (_dir, root) = root(&[
            (
                "default.yaml",
                "# all comments\ndefault-docker:\n  lookaside: x\n",
            ),
            ("empty.yaml", ""),
            (
                "a.yaml",
                "docker:\n  a.example/x:\n    use-sigstore-attachments: true\n",
            ),
            ("b.yml", "docker:\n  b.example: {}\n"),
            ("c.yaml", "docker:\n  c.example:\n"),
        ]);
        let found = read(&root).unwrap();
        let taken: Vec<&str> = found.taken.iter().map(String::as_str).collect();
        assert_eq!(taken, ["a.example/x", "c.example"]);
        assert_eq!(found.warnings, [""; 0]);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_and_stops_nothing() {
        let bomb = "docker: {a: &a [x,x], b: &b [*a,*a,*a,*a], c: [*b,*b,*b,*b,*b,*b,*b,*b]}\n";
        let twice = "docker:\n  a.example: {}\n  a.example: {}\n";
        for bad in ["{{{", "docker: 7\n", bomb.repeat(40).as_str(), twice] {
            let (_dir, root) = root(&[("bad.yaml", bad), ("b.yaml", "docker: {b.example: {}}")]);
            let found = read(&root).unwrap();
            assert_eq!(found.warnings.len(), 1, "{bad}: {found:?}");
            assert!(found.taken.contains("b.example"), "{bad}");
        }
    }

    #[test]
    fn our_own_file_is_read_back_and_a_file_in_its_place_is_not_taken_for_ours() {
        let locations: BTreeSet<String> = ["a.example", "a.example:443", "*.b.example"]
            .map(str::to_owned)
            .into();
        let ours = String::from_utf8(registries_d(&locations).unwrap().bytes).unwrap();
        let (_dir, root_of_ours) = root(&[("nodeseal.yaml", &ours)]);
        assert_eq!(read(&root_of_ours).unwrap().ours, locations);
        let (_dir, other) = root(&[("nodeseal.yaml", "docker: {a.example: {}}\n")]);
        assert_eq!(read(&other).unwrap(), Registries::default());
    }
}
