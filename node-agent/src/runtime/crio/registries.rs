//! registries.d: which locations the files of others configure, and which ours does.

use std::collections::BTreeSet;

use policy::crio::registries_d::{RegistriesD, Taken};
use policy::crio::render::{REGISTRIES_D_FILE, registries_d};
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
    /// What files of others say.
    pub(super) taken: Taken,
    /// Locations that our file configures.
    pub(super) ours: BTreeSet<String>,
    /// What the administrator should know.
    pub(super) warnings: Vec<String>,
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
            Ok(Some(content)) => parse(&content.bytes),
            Ok(None) => Ok(RegistriesD::default()),
            Err(error) => Err(error.to_string()),
        };
        match found {
            Ok(read) => {
                let twice = registries.taken.add(&format!("/{path}"), read);
                registries.warnings.extend(twice);
            }
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
            // What another file has by now goes at once: twice, it makes every pull fail.
            registries.ours = found;
            registries.ours.retain(|name| !registries.taken.has(name));
        }
    }
    Ok(registries)
}

/// The locations of the `docker` transport that a file configures.
pub(crate) fn locations(bytes: &[u8]) -> Result<BTreeSet<String>, String> {
    let docker = parse(bytes)?.docker.unwrap_or_default();
    Ok(docker.into_keys().collect())
}

fn parse(bytes: &[u8]) -> Result<RegistriesD, String> {
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
    let file: Option<RegistriesD> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())?;
    Ok(file.unwrap_or_default())
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
        for (location, is_taken) in [
            ("a.example/x", true),
            ("c.example", true),
            ("b.example", false),
        ] {
            assert_eq!(found.taken.has(location), is_taken, "{location}");
        }
        let none = BTreeSet::new();
        assert!(found.taken.looks("a.example/x/y", &none));
        assert!(!found.taken.looks("c.example", &none));
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
            assert!(found.taken.has("b.example"), "{bad}");
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

    #[test]
    fn what_another_file_has_by_now_is_no_longer_ours() {
        let locations: BTreeSet<String> = ["a.example", "b.example"].map(str::to_owned).into();
        let ours = String::from_utf8(registries_d(&locations).unwrap().bytes).unwrap();
        let (_dir, root) = root(&[
            ("nodeseal.yaml", &ours),
            ("x.yaml", "docker: {a.example: {}}"),
        ]);
        assert_eq!(read(&root).unwrap().ours, ["b.example".to_owned()].into());
    }

    #[test]
    fn words_for_true_and_false_are_those_of_the_library() {
        for (word, looks) in [
            ("true", true),
            ("True", true),
            ("yes", true),
            ("on", true),
            ("false", false),
            ("off", false),
            ("null", false),
        ] {
            let text = format!("docker: {{a.example: {{use-sigstore-attachments: {word}}}}}");
            let (_dir, root) = root(&[("x.yaml", &text)]);
            let found = read(&root).unwrap();
            assert_eq!(found.warnings, [""; 0], "{word}");
            let none = BTreeSet::new();
            assert_eq!(found.taken.looks("a.example", &none), looks, "{word}");
        }
        let (_dir, root) = root(&[("x.yaml", "docker: {a: {use-sigstore-attachments: 7}}")]);
        assert_eq!(read(&root).unwrap().warnings.len(), 1);
    }

    #[test]
    fn a_location_in_two_files_is_told() {
        let text = "docker: {a.example: {}}";
        let (_dir, root) = root(&[("x.yaml", text), ("y.yaml", text)]);
        let warnings = read(&root).unwrap().warnings;
        assert!(warnings[0].contains("x.yaml and in /etc/containers/registries.d/y.yaml"));
    }
}
