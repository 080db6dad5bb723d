use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode};

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

fn reasons(read: &Read) -> Vec<(Layer, &str)> {
    let problems = read.problems.iter();
    problems
        .map(|problem| (problem.layer, problem.reason.as_str()))
        .collect()
}

#[test]
fn special_files_are_never_opened() {
    let root = folder();
    let socket = root.path().join("socket.yaml");
    let _listener = UnixListener::bind(&socket).unwrap();
    let in_folder = read(&[root.path().to_owned()]);
    assert_eq!(reasons(&in_folder), [(Layer::File, "Unreadable")]);
    let read = read(&[socket, PathBuf::from("/dev/zero")]);
    assert_eq!(read.sources, []);
    assert_eq!(reasons(&read), [(Layer::File, "Unreadable"); 2]);
}

/// A pipe or a link that takes the place of a file after the reader has looked at it.
#[test]
fn what_took_the_place_of_a_file_is_not_read() {
    let root = folder();
    let pipe = root.path().join("pipe.yaml");
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
    symlink("file", root.path().join("link.yaml")).unwrap();
    fs::write(root.path().join("file"), "a").unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for name in ["pipe.yaml", "link.yaml", "file"] {
            sender.send(open(&root.path().join(name)).is_ok()).unwrap();
        }
    });
    let next = || receiver.recv_timeout(Duration::from_secs(10));
    assert_eq!([next(), next(), next()], [Ok(false), Ok(false), Ok(true)]);
}

#[test]
fn links_lead_nowhere_outside_the_folder() {
    let (other, root) = (folder(), folder());
    let given = root.path().join("given");
    fs::create_dir_all(given.join("sub")).unwrap();
    fs::create_dir(root.path().join("given-not")).unwrap();
    fs::write(given.join("sub/a.yaml"), "a: 1").unwrap();
    fs::write(root.path().join("given-not/b.yaml"), "b: 1").unwrap();
    fs::write(other.path().join("c.yaml"), "c: 1").unwrap();
    symlink(given.join("sub/a.yaml"), given.join("inside.yaml")).unwrap();
    symlink(other.path().join("c.yaml"), given.join("c.yaml")).unwrap();
    symlink("../../given-not/b.yaml", given.join("sub/b.yaml")).unwrap();
    symlink("../given-not", given.join("folder")).unwrap();
    symlink(other.path().join("c.yaml"), given.join("notes.txt")).unwrap();
    symlink("given", root.path().join("link")).unwrap();
    // The folder itself may be a link.
    for name in ["given", "link"] {
        let start = root.path().join(name);
        let read = read(std::slice::from_ref(&start));
        assert_eq!(names(&read, &start), ["inside.yaml"], "{name}");
        assert_eq!(reasons(&read), [(Layer::File, "OutsideFolder"); 3]);
        let files = read.problems.iter().map(|problem| problem.file.as_str());
        let paths = ["c.yaml", "folder", "sub/b.yaml"].map(|path| start.join(path));
        assert!(files.eq(paths.iter().map(|path| path.to_str().unwrap())));
    }
    // What is named itself may be a link to anywhere.
    assert_eq!(read(&[given.join("c.yaml")]).problems, []);
}

#[test]
fn what_cannot_be_looked_at_may_have_been_a_folder() {
    let root = folder();
    fs::write(root.path().join("a.yaml"), "a: 1").unwrap();
    let broken = root.path().join("broken");
    symlink("broken", &broken).unwrap();
    symlink("hidden", root.path().join(".hidden")).unwrap();
    let read = read(&[root.path().to_owned()]);
    assert_eq!(names(&read, root.path()), ["a.yaml"]);
    assert_eq!(reasons(&read), [(Layer::File, "Unreadable")]);
    let loaded = crate::load::load_read(&read);
    assert_eq!(loaded.broken_files, [broken.to_str().unwrap()]);
}

#[test]
fn what_was_seen_before_is_not_missing() {
    let root = folder();
    let file = root.path().join("sub/a.yaml");
    fs::create_dir(root.path().join("sub")).unwrap();
    fs::write(&file, "a: 1").unwrap();
    let (whole, sub) = (root.path().to_owned(), root.path().join("sub"));
    for paths in [
        [&whole, &whole],
        [&whole, &sub],
        [&sub, &whole],
        [&file, &sub],
    ] {
        let read = read(&paths.map(Clone::clone));
        assert_eq!((read.sources.len(), read.problems), (1, vec![]));
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(reasons(&read(&[whole])), [(Layer::File, "NoFiles")]);
}

#[test]
fn an_empty_file_is_worth_a_warning_where_it_was_named() {
    let root = folder();
    let file = root.path().join("a.yaml");
    fs::write(&file, "# nothing\n---\n").unwrap();
    assert_eq!(read(&[root.path().to_owned()]).problems, []);
    let read = read(&[file]);
    assert_eq!(reasons(&read), [(Layer::File, "Empty")]);
    assert_eq!(read.problems[0].severity, Severity::Warning);
    assert_eq!(read.sources.len(), 1);
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
    let expected = [
        (Layer::File, "NotFound"),
        (Layer::File, "TooLarge"),
        // It was read, and is invalid.
        (Layer::Yaml, "InvalidYaml"),
    ];
    assert_eq!(reasons(&read), expected);
    let read = super::read(&[root.path().to_owned()]);
    assert_eq!(read.problems[0].reason, "Unreadable");
}
