use super::super::samples::{Node, ROOT};
use super::*;

fn paths(node: &Node) -> Vec<String> {
    let loaded = load(node, ROOT).unwrap();
    loaded.files.iter().map(|f| f.path.to_string()).collect()
}

#[test]
fn a_missing_root_file_is_an_empty_configuration() {
    let loaded = load(&Node::default(), ROOT).unwrap();
    assert!(loaded.root_file().is_none());
    assert_eq!(loaded.newest(), None);
    assert_eq!(&*loaded.root, ROOT);
}

#[test]
fn imports_come_level_by_level_in_the_order_of_their_entries() {
    let node = Node::new(&[
        (
            ROOT,
            "version = 3\nimports = ['b.toml', 'conf.d/*.toml', '/opt/z.toml']\n",
        ),
        ("/etc/containerd/b.toml", "imports = ['deep/x.toml']\n"),
        ("/etc/containerd/deep/x.toml", "imports = ['y.toml']\n"),
        ("/etc/containerd/deep/y.toml", ""),
        ("/etc/containerd/conf.d/20.toml", ""),
        ("/etc/containerd/conf.d/10.toml", "version = 2\n"),
        ("/etc/containerd/conf.d/no.txt", "this is no TOML"),
        ("/opt/z.toml", ""),
    ]);
    assert_eq!(
        paths(&node),
        [
            ROOT,
            "/etc/containerd/b.toml",
            "/etc/containerd/conf.d/10.toml",
            "/etc/containerd/conf.d/20.toml",
            "/opt/z.toml",
            "/etc/containerd/deep/x.toml",
            "/etc/containerd/deep/y.toml",
        ]
    );
    let loaded = load(&node, ROOT).unwrap();
    assert_eq!(loaded.files[2].version, 2);
    assert_eq!(loaded.files[1].version, 0);
}

#[test]
fn a_loop_ends() {
    let node = Node::new(&[
        (ROOT, "imports = ['*.toml', './a.toml']\n"),
        (
            "/etc/containerd/a.toml",
            "imports = ['config.toml', 'a.toml']\n",
        ),
    ]);
    assert_eq!(paths(&node), [ROOT, "/etc/containerd/a.toml"]);
}

#[test]
fn a_missing_import_is_fatal_and_an_empty_glob_is_not() {
    let node = Node::root("imports = ['none.d/*.toml']\n");
    assert_eq!(paths(&node), [ROOT]);
    let node = Node::root("imports = ['none.toml']\n");
    let error = load(&node, ROOT).unwrap_err();
    assert!(matches!(&error, ConfigError::Missing { path, importer }
        if path == "/etc/containerd/none.toml" && importer == ROOT));
    // Without a star a question mark is a question mark.
    let node = Node::new(&[
        (ROOT, "imports = ['?.toml']\n"),
        ("/etc/containerd/a.toml", ""),
    ]);
    assert!(matches!(
        load(&node, ROOT),
        Err(ConfigError::Missing { .. })
    ));
}

#[test]
fn what_containerd_could_not_read_is_refused_with_its_place() {
    let refused = |text: &str| load(&Node::root(text), ROOT).unwrap_err().to_string();
    assert!(refused("version = ").contains("not valid TOML"));
    assert!(refused("\nversion = '3'").contains(":2: `version` is a string"));
    assert!(refused("imports = 'x'").contains("expected an array of strings"));
    assert!(refused("imports = ['[*']").contains("malformed"));
    assert!(refused("disabled_plugins = [1]").contains("`disabled_plugins` is an integer"));
    assert!(refused("plugins = 1").contains("`plugins` is an integer"));
    let node = Node([(ROOT.to_owned(), vec![0xff])].into());
    assert!(matches!(load(&node, ROOT), Err(ConfigError::Text { .. })));
}

#[test]
fn files_bytes_and_depth_are_bounded() {
    let mut node = Node::root("imports = ['d/*.toml']\n");
    for at in 0..=MAX_FILES {
        let path = format!("/etc/containerd/d/{at:04}.toml");
        node.0.insert(path, Vec::new());
    }
    let error = load(&node, ROOT).unwrap_err();
    assert!(error.to_string().contains("256 files"), "{error}");

    let node = Node::root(&"#".repeat(MAX_BYTES + 1));
    let error = load(&node, ROOT).unwrap_err();
    assert!(error.to_string().contains("bytes"), "{error}");

    let mut node = Node::root("imports = ['0.toml']\n");
    for at in 0..=MAX_DEPTH {
        let path = format!("/etc/containerd/{at}.toml");
        let text = format!("imports = ['{}.toml']\n", at + 1);
        node.0.insert(path, text.into_bytes());
    }
    let error = load(&node, ROOT).unwrap_err();
    assert!(error.to_string().contains("16 levels"), "{error}");
}

#[test]
fn the_digest_tells_texts_paths_and_order_and_the_newest_file_counts() {
    let one = Node::new(&[
        (ROOT, "imports = ['a.toml']"),
        ("/etc/containerd/a.toml", ""),
    ]);
    let loaded = load(&one, ROOT).unwrap();
    let digest = loaded.digest();
    // `a.toml` comes first in the order of paths, so the root file is the newer one.
    assert_eq!(loaded.newest(), loaded.files[0].modified);
    assert_eq!(digest, load(&one, ROOT).unwrap().digest());
    let two = Node::new(&[
        (ROOT, "imports = ['a.toml']"),
        ("/etc/containerd/a.toml", "#"),
    ]);
    assert_ne!(digest, load(&two, ROOT).unwrap().digest());
    let three = Node::new(&[
        (ROOT, "imports = ['b.toml']"),
        ("/etc/containerd/b.toml", ""),
    ]);
    assert_ne!(digest, load(&three, ROOT).unwrap().digest());
    assert_ne!(digest, load(&Node::default(), ROOT).unwrap().digest());
}
