use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

/// A root with a state folder.
fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join(STATE_DIR)).unwrap();
    root
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn nothing_is_made_where_there_is_no_agent() {
    let root = tempfile::tempdir().unwrap();
    let absent = |error| assert!(matches!(error, StateError::Absent(_)), "{error}");
    absent(Folder::state(root.path()).unwrap_err());
    fs::create_dir_all(root.path().join(STATE_DIR).parent().unwrap()).unwrap();
    absent(Folder::state(root.path()).unwrap_err());
    assert!(!root.path().join(STATE_DIR).exists());
}

#[test]
fn a_folder_is_made_for_its_owner_alone_and_found_again() {
    let root = root();
    let state = Folder::state(root.path()).unwrap();
    assert!(matches!(
        state.child("cache").unwrap_err(),
        StateError::Absent(_)
    ));
    for _ in 0..2 {
        state.child_or_new("cache").unwrap();
    }
    let metadata = fs::metadata(root.path().join(STATE_DIR).join("cache")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o700);
}

#[test]
fn a_link_in_place_of_a_folder_is_not_followed() {
    let (root, other) = (root(), root());
    let link = root.path().join(STATE_DIR).join("cache");
    symlink(other.path(), &link).unwrap();
    let state = Folder::state(root.path()).unwrap();
    assert!(matches!(
        state.child_or_new("cache").unwrap_err(),
        StateError::Io { .. }
    ));
    let state = root.path().join(STATE_DIR);
    fs::remove_file(link).unwrap();
    fs::remove_dir(&state).unwrap();
    symlink(other.path().join(STATE_DIR), &state).unwrap();
    assert!(matches!(
        Folder::state(root.path()).unwrap_err(),
        StateError::Io { .. }
    ));
}

#[test]
fn what_others_can_write_is_not_used() {
    let root = root();
    let path = root.path().join(STATE_DIR);
    let file = path.join("file");
    fs::write(&file, "x").unwrap();
    for mode in [0o770, 0o707, 0o1777] {
        chmod(&path, mode);
        let error = Folder::state(root.path()).unwrap_err();
        assert!(matches!(error, StateError::Untrusted { .. }), "{error}");
    }
    chmod(&path, 0o700);
    let state = Folder::state(root.path()).unwrap();
    assert_eq!(state.read("file", 1).unwrap(), b"x");
    for mode in [0o620, 0o602] {
        chmod(&file, mode);
        let error = state.read("file", 1).unwrap_err();
        assert!(matches!(error, StateError::Untrusted { .. }), "{error}");
    }
}

#[test]
fn what_somebody_else_owns_is_not_used() {
    let own = rustix::process::geteuid().as_raw();
    for (uid, trusted) in [(0, true), (own, true), (own + 1, false), (65534, false)] {
        let checked = check_owner(Path::new("x"), uid, 0o600);
        assert_eq!(checked.is_ok(), trusted, "{uid}");
    }
}

#[test]
fn only_regular_files_within_the_limit_are_read() {
    let root = root();
    let path = root.path().join(STATE_DIR);
    let state = Folder::state(root.path()).unwrap();
    fs::write(path.join("file"), "abcd").unwrap();
    assert_eq!(state.read("file", 4).unwrap(), b"abcd");
    assert!(matches!(
        state.read("file", 3).unwrap_err(),
        StateError::TooLarge { limit: 3, .. }
    ));
    symlink(path.join("file"), path.join("link")).unwrap();
    fs::create_dir(path.join("folder")).unwrap();
    let pipe = path.join("pipe");
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, mode, 0).unwrap();
    for name in ["link", "folder", "pipe"] {
        for flags in [
            OFlags::RDONLY,
            OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE,
        ] {
            let error = state.file(name, flags).unwrap_err();
            assert!(matches!(error, StateError::NotAFile(_)), "{name}: {error}");
        }
    }
}

#[test]
fn a_file_is_replaced_whole_and_leftovers_are_cleared() {
    let root = root();
    let path = root.path().join(STATE_DIR);
    let state = Folder::state(root.path()).unwrap();
    fs::write(path.join(UNFINISHED), "half").unwrap();
    for text in ["one", "two"] {
        state.replace("file", text.as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(path.join("file")).unwrap(), text);
    }
    let mode = fs::metadata(path.join("file")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o7777, 0o600);
    let names: Vec<_> = state.files().unwrap();
    assert_eq!(names.len(), 1);
    assert_eq!(names[0].name.as_c_str(), c"file");
    // What cannot take its place leaves nothing behind.
    fs::create_dir(path.join("folder")).unwrap();
    assert!(state.replace("folder", b"x").is_err());
    assert!(!path.join(UNFINISHED).exists());
}

#[test]
fn a_lock_is_held_until_the_folder_is_dropped() {
    let root = root();
    let first = Folder::state(root.path()).unwrap();
    first.lock(Duration::ZERO).unwrap();
    let second = Folder::state(root.path()).unwrap();
    assert!(matches!(
        second.lock(Duration::from_millis(5)).unwrap_err(),
        StateError::Locked(_)
    ));
    drop(first);
    second.lock(Duration::ZERO).unwrap();
}

#[test]
fn a_folder_with_too_much_in_it_is_not_read_to_its_end() {
    let root = root();
    let path = root.path().join(STATE_DIR);
    for index in 0..MAX_ENTRIES + 10 {
        fs::write(path.join(index.to_string()), "").unwrap();
    }
    let state = Folder::state(root.path()).unwrap();
    assert!((MAX_ENTRIES - 2..=MAX_ENTRIES).contains(&state.files().unwrap().len()));
}
