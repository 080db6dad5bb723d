use super::*;

/// A root with these files; an empty text makes a folder.
fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if text.is_empty() {
            std::fs::create_dir(&path).unwrap();
        } else {
            std::fs::write(&path, text).unwrap();
        }
    }
    root
}

fn found(root: &tempfile::TempDir, name: &str) -> Hosts {
    let paths = ["/a".to_owned(), String::new(), "/b".to_owned()];
    of(name, &paths, root.path()).unwrap()
}

/// The authority of the first host, which says which file was read.
fn first(root: &tempfile::TempDir, name: &str) -> String {
    let found = found(root, name);
    assert_eq!(found.notes, Vec::<String>::new());
    found.hosts[0].address.authority.clone()
}

#[test]
fn the_first_folder_that_has_the_host_counts() {
    let root = root(&[
        ("b/one.example/hosts.toml", "server = 'b'"),
        ("a/two.example/hosts.toml", "server = 'a'"),
        ("b/two.example/hosts.toml", "server = 'b'"),
    ]);
    assert_eq!(first(&root, "one.example"), "b");
    assert_eq!(first(&root, "two.example"), "a");
    assert_eq!(first(&root, "three.example"), "three.example");
}

#[test]
fn a_default_folder_hides_what_later_folders_have() {
    let root = root(&[
        ("a/_default/hosts.toml", "server = 'default'"),
        ("b/one.example/hosts.toml", "server = 'b'"),
    ]);
    assert_eq!(first(&root, "one.example"), "default");
}

#[test]
fn a_port_stands_in_a_folders_name_in_two_ways() {
    let both = [
        ("a/h.example:5000/hosts.toml", "server = 'colon'"),
        ("a/h.example_5000_/hosts.toml", "server = 'underscores'"),
        ("a/h.example/hosts.toml", "server = 'none'"),
    ];
    assert_eq!(first(&root(&both), "h.example:5000"), "underscores");
    assert_eq!(first(&root(&both[..1]), "h.example:5000"), "colon");
    assert_eq!(first(&root(&both[2..]), "h.example:5000"), "h.example:5000");
}

#[test]
fn without_hosts_toml_the_certificates_are_those_of_dockers_layout() {
    let root = root(&[
        ("a/h.example/ca.crt", "x"),
        ("a/h.example/c.cert", "x"),
        ("a/h.example/c.key", "x"),
        ("a/h.example/d.cert", "x"),
        ("a/h.example/folder.crt", ""),
        ("a/h.example/readme", "x"),
    ]);
    let folder = root.path().join("a/h.example");
    let found = found(&root, "h.example");
    let [host] = found.hosts.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(host.address, Host::upstream("h.example").address);
    assert_eq!(host.ca, Some(vec![folder.join("ca.crt")]));
    let pairs = [
        (folder.join("c.cert"), Some(folder.join("c.key"))),
        (folder.join("d.cert"), None),
    ];
    assert_eq!(host.client, pairs);
}

#[test]
fn a_damaged_hosts_toml_is_passed_over_with_a_note() {
    let root = root(&[
        ("a/h.example/hosts.toml", "server ="),
        ("a/h.example/ca.crt", "x"),
    ]);
    let found = found(&root, "h.example");
    assert_eq!(found.hosts.len(), 1);
    assert!(found.hosts[0].ca.is_some());
    assert!(
        found.notes[0].contains("hosts.toml is passed over"),
        "{found:?}"
    );
}

#[test]
fn what_cannot_be_read_is_an_error_that_names_it() {
    let root = root(&[("a/h.example/hosts.toml", ""), ("a/f.example", "x")]);
    for (name, part) in [
        ("h.example", "hosts.toml is not a regular file"),
        ("f.example", "a/f.example cannot be read"),
    ] {
        let error = of(name, &["/a".to_owned()], root.path()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn docker_io_is_served_under_another_name_and_is_no_mirror_of_itself() {
    let host = Host::upstream("docker.io");
    assert_eq!(host.address.authority, "registry-1.docker.io");
    assert!(!host.is_mirror_of("docker.io"));
    assert!(host.is_mirror_of("example.com"));
    assert!(Host::upstream("a.example").is_mirror_of("docker.io"));
    assert!(!Host::upstream("a.example:5000").is_mirror_of("a.example:5000"));
}

#[test]
fn plain_http_is_for_this_machine_and_only_where_the_port_leaves_it_open() {
    for (name, plain, ambiguous, skip) in [
        ("localhost:5000", true, true, true),
        ("127.9.9.9:5000", true, true, true),
        ("[::1]:5000", true, true, true),
        ("[::ffff:127.0.0.1]:5000", true, true, true),
        ("localhost", false, false, true),
        ("localhost:443", false, false, true),
        ("localhost:80", true, false, false),
        ("localhost.example.com:5000", false, false, false),
        ("10.0.0.1:5000", false, false, false),
        ("[::2]:5000", false, false, false),
        ("docker.io", false, false, false),
    ] {
        let host = Host::upstream(name);
        assert_eq!(host.address.plain, plain, "{name}");
        assert_eq!(host.is_ambiguous(), ambiguous, "{name}");
        assert_eq!(host.is_unchecked(), skip, "{name}");
        assert_eq!(host.skip_verify, None, "{name}");
    }
}

#[test]
fn tls_settings_make_a_plain_host_ambiguous() {
    let mut host = Host::upstream("h.example:5000");
    host.address.plain = true;
    assert!(!host.is_ambiguous());
    host.ca = Some(Vec::new());
    assert!(host.is_ambiguous());
    host.address.authority = "h.example:80".to_owned();
    assert!(!host.is_ambiguous());
}
