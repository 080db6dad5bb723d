use policy::digest::Digest;

use super::*;
use crate::root::{Xattrs, temporary};

/// A root with `etc/first` and a folder, and the steps that give `etc/first` and `etc/second` new
/// content.
fn node() -> (tempfile::TempDir, Root, Plan) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("etc")).unwrap();
    let root = Root::open(dir.path()).unwrap();
    for dir in layout::STATE_DIRS {
        root.create_dirs(dir, 0o700).unwrap();
    }
    root.replace("etc/first", b"old", &Attributes::mode(0o640))
        .unwrap();
    let file = |path: &str| Change::File {
        staged: temporary(path),
        sha256: Digest::of(b"new"),
        mode: 0o644,
        owner: None,
        xattrs: Xattrs::default(),
    };
    let before = Backup {
        copy: "var/lib/nodeseal/backup/rollback/first".to_owned(),
        sha256: Digest::of(b"old"),
        mode: 0o640,
        uid: root.uid(),
        gid: root.read("etc/first", 9).unwrap().unwrap().gid,
        xattrs: Xattrs::default(),
        lasting: false,
    };
    let steps = ["etc/first", "etc/second"].map(|path| Step {
        path: path.to_owned(),
        change: file(path),
        before: (path == "etc/first").then(|| before.clone()),
    });
    let content = |step: &Step| (step.path.clone(), Source::Bytes(b"new".to_vec()));
    let plan = Plan {
        contents: steps.iter().map(content).collect(),
        steps: steps.to_vec(),
        ..Plan::default()
    };
    (dir, root, plan)
}

fn names(dir: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn everything_is_put_in_place_and_nothing_is_left_over() {
    let (dir, root, plan) = node();
    apply(&root, None, &plan).unwrap();
    assert_eq!(std::fs::read(dir.path().join("etc/first")).unwrap(), b"new");
    assert_eq!(names(&dir.path().join("etc")), ["first", "second"]);
    assert_eq!(names(&dir.path().join("var/lib/nodeseal")), ["backup"]);
    assert_eq!(names(&dir.path().join(layout::ROLLBACK_DIR)), [""; 0]);
}

#[test]
fn a_failure_in_the_middle_puts_back_what_was_changed_before_it() {
    let (dir, root, plan) = node();
    // Found only when it is that step's turn.
    std::fs::create_dir(dir.path().join("etc/second")).unwrap();
    let error = apply(&root, None, &plan).unwrap_err();
    let ApplyError::RolledBack(_) = &error else {
        panic!("{error}")
    };
    let text = error.to_string();
    assert!(text.contains("etc/second: Is a directory"), "{text}");
    assert!(text.contains("every file is back to what it was"), "{text}");
    let first = root.read("etc/first", 9).unwrap().unwrap();
    assert_eq!(
        (first.bytes.as_slice(), first.mode),
        (b"old".as_slice(), 0o640)
    );
    assert_eq!(names(&dir.path().join("etc")), ["first", "second"]);
    // What was staged is forgotten at the next look.
    let state = dir.path().join("var/lib/nodeseal");
    assert_eq!(names(&state), ["backup", "traces.json"]);
    apply(&root, None, &Plan::default()).unwrap();
    assert_eq!(names(&state), ["backup"]);
}

#[test]
fn a_failure_before_the_first_change_leaves_nothing_staged() {
    let (dir, root, mut plan) = node();
    let Change::File { staged, .. } = &mut plan.steps[1].change else {
        panic!()
    };
    *staged = "etc/first/below-a-file".to_owned();
    let error = apply(&root, None, &plan).unwrap_err();
    assert!(matches!(error, ApplyError::Write(_)), "{error}");
    assert_eq!(std::fs::read(dir.path().join("etc/first")).unwrap(), b"old");
    assert_eq!(names(&dir.path().join("etc")), ["first"]);
}

#[test]
fn a_file_that_changes_under_the_agents_hands_stops_it() {
    let (dir, root, plan) = node();
    std::fs::write(dir.path().join("etc/first"), "changed meanwhile").unwrap();
    let error = apply(&root, None, &plan).unwrap_err();
    assert!(matches!(error, ApplyError::Busy { .. }), "{error}");
    assert_eq!(names(&dir.path().join("etc")), ["first"]);
}

#[test]
fn more_than_can_be_sensible_is_refused_before_anything_is_staged() {
    let (dir, root, mut plan) = node();
    let step = plan.steps[1].clone();
    let more = (0..MAX_FILES).map(|n| Step {
        path: format!("etc/more/{n}"),
        ..step.clone()
    });
    plan.steps.extend(more);
    let error = apply(&root, None, &plan).unwrap_err();
    assert!(
        matches!(error, ApplyError::TooMuch { files, .. } if files == MAX_FILES + 2),
        "{error}"
    );
    assert_eq!(names(&dir.path().join("etc")), ["first"]);
    // And few that are too large: a file with a hole in it, as large as two of them may be.
    let (dir, root, mut plan) = node();
    let large = std::fs::File::create(dir.path().join("large")).unwrap();
    large.set_len(MAX_BYTES).unwrap();
    let source = Source::Copy("large".to_owned());
    plan.contents.insert("etc/second".to_owned(), source);
    let error = apply(&root, None, &plan).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("would be written at once"), "{text}");
    assert_eq!(names(&dir.path().join("etc")), ["first"]);
}

#[test]
fn a_failure_before_the_first_change_leaves_folders_that_are_known_and_go_later() {
    let (dir, root, mut plan) = node();
    plan.steps[1].path = "etc/new/second".to_owned();
    // Nothing says what the new content is.
    plan.contents.remove("etc/second");
    let error = apply(&root, None, &plan).unwrap_err();
    assert!(matches!(error, ApplyError::Busy { .. }), "{error}");
    assert!(traces::folders(&root).unwrap().contains("etc/new"));
    apply(&root, None, &Plan::default()).unwrap();
    assert_eq!(names(&dir.path().join("etc")), ["first"]);
}
