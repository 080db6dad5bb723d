use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn names(read: &Read, root: &Path) -> Vec<String> {
    let relative = |source: &Source| {
        Path::new(&source.name)
            .strip_prefix(root)
            .unwrap()
            .display()
            .to_string()
    };
    read.sources.iter().map(relative).collect()
}

#[test]
fn a_folder_is_searched_in_order_and_hidden_entries_are_not() {
    let root = folder();
    fs::create_dir_all(root.path().join("b/.git")).unwrap();
    for name in [
        "c.yaml",
        "a.json",
        "b/x.yml",
        "b/.hidden.yaml",
        "b/.git/y.yaml",
        "notes.txt",
    ] {
        fs::write(root.path().join(name), "{}").unwrap();
    }
    let read = read(&[root.path().to_owned()]);
    assert_eq!(names(&read, root.path()), ["a.json", "b/x.yml", "c.yaml"]);
    assert_eq!(read.problems, []);
}

#[test]
fn a_config_map_volume_is_read_once_through_its_links() {
    let root = folder();
    fs::create_dir(root.path().join("..2025")).unwrap();
    fs::write(root.path().join("..2025/policy.yaml"), "a: 1").unwrap();
    symlink("..2025", root.path().join("..data")).unwrap();
    symlink("..data/policy.yaml", root.path().join("policy.yaml")).unwrap();
    symlink(".", root.path().join("loop")).unwrap();
    let read = read(&[root.path().to_owned()]);
    assert_eq!(names(&read, root.path()), ["policy.yaml"]);
    assert_eq!(read.sources[0].text, "a: 1");
}

#[test]
fn special_files_are_never_opened() {
    let root = folder();
    let socket = root.path().join("socket.yaml");
    let _listener = UnixListener::bind(&socket).unwrap();
    assert_eq!(
        read(&[root.path().to_owned()]).problems[0].reason,
        "NoFiles"
    );
    let read = read(&[socket, PathBuf::from("/dev/zero")]);
    assert_eq!(read.sources, []);
    assert_eq!(read.problems.len(), 2);
    assert!(
        read.problems
            .iter()
            .all(|problem| problem.reason == "Unreadable")
    );
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_read() {
    let root = folder();
    let path = |name: &str| root.path().join(name);
    fs::write(path("big"), vec![b' '; MAX_FILE + 1]).unwrap();
    fs::write(path("latin"), b"a: \xe9").unwrap();
    fs::write(path("good"), "a: 1").unwrap();
    symlink("nowhere", path("dangling.yaml")).unwrap();
    let read = read(&["missing", "big", "latin", "good"].map(path));
    assert_eq!(names(&read, root.path()), ["good"]);
    let reasons: Vec<_> = read
        .problems
        .iter()
        .map(|problem| problem.reason.as_str())
        .collect();
    assert_eq!(reasons, ["NotFound", "TooLarge", "Unreadable"]);
    let read = super::read(&[root.path().to_owned()]);
    assert_eq!(read.problems[0].reason, "Unreadable");
}
