use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;

use policy::digest::Digest;

use super::*;
use crate::apply::traces::Coming;
use crate::root::Attributes;
use crate::state::{Record, Role};

/// A root on which an agent was at work and gave everything back.
fn node() -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    for existing in ["var/lib", "etc"] {
        std::fs::create_dir_all(dir.path().join(existing)).unwrap();
    }
    let root = Root::open(dir.path()).unwrap();
    for dir in layout::STATE_DIRS {
        root.create_dirs(dir, 0o700).unwrap();
    }
    for path in layout::OWN_FILES {
        if ![layout::STATE, layout::JOURNAL, layout::TRACES].contains(&path) {
            put(&root, path);
        }
    }
    put(&root, layout::LOCK);
    put(&root, &temporary(layout::BUNDLE));
    let copy = "etc+crio+policy.json.0123456789abcdef";
    for name in [copy.to_owned(), format!("{copy}.json"), temporary(copy)] {
        put(&root, &format!("{}/{name}", layout::BACKUP_DIR));
    }
    put(&root, &format!("{}/etc+x", layout::ROLLBACK_DIR));
    for path in [
        "cache/01/aa",
        "cache/.new",
        "cache/flights/0f",
        "verdicts/log",
    ] {
        put(&root, &format!("{STATE_DIR}/{path}"));
    }
    record(&root, &State::default());
    let made = ["opt/nodeseal/staging", "etc/nodeseal/verifier"];
    let coming = Coming {
        folders: made.to_vec(),
        renamed: vec!["opt/nodeseal/image-verifier"],
        staged: Vec::new(),
    };
    traces::announce(&root, &coming).unwrap();
    put(&root, &VerifierPlace::default().staged_file());
    (dir, root)
}

fn put(root: &Root, path: &str) {
    root.create_dirs(split(path).0, 0o700).unwrap();
    root.replace(path, b"x", &Attributes::mode(0o600)).unwrap();
}

fn record(root: &Root, state: &State) {
    let bytes = state.to_json().unwrap();
    root.replace(layout::STATE, &bytes, &Attributes::mode(0o600))
        .unwrap();
}

/// Every path below a folder.
fn all(dir: &Path) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path.clone());
            }
            paths.insert(path.strip_prefix(dir).unwrap().display().to_string());
        }
    }
    paths
}

#[test]
fn nothing_is_left_and_a_second_time_is_no_trouble() {
    let (dir, root) = node();
    let cleared = clear(&root).unwrap();
    assert_eq!(cleared, Cleared::default());
    assert!(cleared.is_clean() && cleared.messages(&root).is_empty());
    let left: Vec<String> = all(dir.path()).into_iter().collect();
    assert_eq!(left, ["etc", "var", "var/lib"]);
    assert_eq!(clear(&root).unwrap(), Cleared::default());
}

#[test]
fn what_could_not_be_given_back_keeps_its_record_and_the_copies() {
    let (dir, root) = node();
    let mut state = State::default();
    let copy = format!(
        "{}/etc+crio+policy.json.0123456789abcdef",
        layout::BACKUP_DIR
    );
    let lost = Record {
        role: Role::Config,
        sha256: Digest::of(b"ours"),
        mode: 0o644,
        original: Some(copy.clone()),
    };
    state.files.insert("etc/crio/policy.json".to_owned(), lost);
    record(&root, &state);
    for _ in 0..2 {
        let cleared = clear(&root).unwrap();
        assert!(!cleared.is_clean());
        assert_eq!(cleared.not_given_back, ["etc/crio/policy.json"]);
        let told = cleared.messages(&root).concat();
        let path = dir.path().join("etc/crio/policy.json");
        assert!(
            told.starts_with(&format!("{} is still", path.display())),
            "{told}"
        );
        assert!(told.contains("backup"), "{told}");
        let left = all(&dir.path().join(STATE_DIR));
        for path in [&copy, layout::STATE, layout::LOCK] {
            let name = path
                .strip_prefix(STATE_DIR)
                .unwrap()
                .trim_start_matches('/');
            assert!(left.contains(name), "{path} of {left:?}");
        }
        assert!(
            !left.contains("bundle") && !left.contains("cache"),
            "{left:?}"
        );
    }
    // Once it is back, everything goes.
    record(&root, &State::default());
    assert_eq!(clear(&root).unwrap(), Cleared::default());
    assert!(!dir.path().join(STATE_DIR).exists());
}

#[test]
fn what_others_put_there_stays_and_is_told() {
    let (dir, root) = node();
    let theirs = [
        "etc/nodeseal/theirs",
        "var/lib/nodeseal/backup/theirs",
        "var/lib/nodeseal/notes.txt",
    ];
    for path in theirs {
        put(&root, path);
    }
    symlink(
        "/etc/passwd",
        dir.path().join("var/lib/nodeseal/cache/link"),
    )
    .unwrap();
    // A folder in the place of a file of ours.
    std::fs::remove_file(dir.path().join(layout::GOOD)).unwrap();
    put(&root, &format!("{}/x", layout::GOOD));
    let cleared = clear(&root).unwrap();
    assert!(cleared.is_clean());
    let told: BTreeSet<&str> = cleared.others.iter().map(String::as_str).collect();
    let expected = BTreeSet::from([
        "etc/nodeseal",
        "var/lib/nodeseal/backup/theirs",
        "var/lib/nodeseal/cache/link",
        "var/lib/nodeseal/good",
        "var/lib/nodeseal/notes.txt",
    ]);
    assert_eq!(told, expected);
    let left = all(dir.path());
    for path in theirs {
        assert!(left.contains(path), "{path}");
    }
    assert!(
        left.contains("var/lib/nodeseal/good/x") && left.contains("var/lib/nodeseal/cache/link")
    );
    assert!(!left.contains("var/lib/nodeseal/lock") && !left.contains("opt"));
    // The folder was there before this agent, as far as the next one knows.
    assert_eq!(clear(&root).unwrap().others.len(), expected.len() - 1);
}

#[test]
fn with_a_damaged_record_nothing_is_removed() {
    let (dir, root) = node();
    std::fs::write(dir.path().join(layout::STATE), "{").unwrap();
    let before = all(dir.path());
    let text = clear(&root).unwrap_err().to_string();
    assert!(text.contains("state.json: it cannot be read"), "{text}");
    assert!(text.contains("nothing of it is removed"), "{text}");
    assert_eq!(all(dir.path()), before);
}

#[test]
fn where_no_agent_ever_was_nothing_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    assert_eq!(clear(&root).unwrap(), Cleared::default());
    assert!(all(dir.path()).is_empty());
}
