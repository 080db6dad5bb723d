use super::super::samples::{Node, ROOT};
use super::super::{Enforcement, enforcement};
use super::*;

const LINES: [&str; 5] = ["1.7.29", "2.0.7", "2.1.5", "2.2.1", "2.3.7"];

fn place<T>(setting: &Setting<T>) -> String {
    setting
        .origin
        .as_ref()
        .map(Origin::place)
        .unwrap_or_default()
}

#[test]
fn defaults_are_those_of_each_version() {
    for version in LINES {
        for node in [Node::default(), Node::root("version = 2\n")] {
            let effective = node.effective(version);
            let verifier = &effective.verifier;
            assert_eq!(verifier.bin_dir.value, "/opt/containerd/image-verifier/bin");
            assert_eq!(verifier.max_verifiers.value, 10);
            assert_eq!(verifier.per_verifier_timeout_ms.value, 10_000);
            let images = &effective.images;
            assert!(images.disable_snapshot_annotations.value);
            assert!(!images.use_local_image_pull.value);
            assert_eq!(images.max_concurrent_downloads.value, 3);
            assert_eq!(images.sandbox_image, None);
            assert_eq!(effective.problems, []);
            let hosts = if version.starts_with("2.2") || version.starts_with("2.3") {
                "/etc/containerd/certs.d:/etc/docker/certs.d"
            } else {
                ""
            };
            assert_eq!(images.config_path.value, hosts, "{version}");
            assert_eq!(images.config_path.origin, None);
        }
    }
    assert_eq!(Node::default().effective("2.2.1").root_version, None);
    assert_eq!(Node::root("").effective("2.2.1").root_version, Some(0));
}

#[test]
fn the_verifiers_settings_are_read_with_their_places() {
    let node = Node::new(&[
        (
            ROOT,
            "version = 3\nimports = ['conf.d/*.toml']\n[plugins.'io.containerd.image-verifier.v1.bindir']\n  bin_dir = '/a'\n  per_verifier_timeout = '1m30.5s'\n",
        ),
        (
            "/etc/containerd/conf.d/9.toml",
            "\nplugins.'io.containerd.image-verifier.v1.bindir' = { max_verifiers = -1, bin_dir = '/b' }\n",
        ),
    ]);
    for version in &LINES[1..] {
        let verifier = node.effective(version).verifier;
        assert_eq!(verifier.bin_dir.value, "/b");
        assert_eq!(place(&verifier.bin_dir), "/etc/containerd/conf.d/9.toml:2");
        assert_eq!(verifier.per_verifier_timeout_ms.value, 90_500);
        assert_eq!(
            place(&verifier.per_verifier_timeout_ms),
            format!("{ROOT}:5")
        );
        assert_eq!(verifier.max_verifiers.value, -1);
    }
    // In 1.7 the later file's table is all there is.
    let verifier = node.effective("1.7.29").verifier;
    assert_eq!(verifier.per_verifier_timeout_ms.value, 10_000);
}

#[test]
fn tables_are_merged_and_everything_else_is_replaced_by_zero_values_too() {
    let node = Node::new(&[
        (
            ROOT,
            "version = 3\nimports = ['a.toml']\n[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = true\nmax_concurrent_downloads = 9\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/x'\n[plugins.'io.containerd.cri.v1.images'.registry.mirrors.'a']\n",
        ),
        (
            "/etc/containerd/a.toml",
            "version = 3\n[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = false\nmax_concurrent_downloads = 0\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = ''\n[plugins.'io.containerd.cri.v1.images'.registry.mirrors.'b']\n",
        ),
    ]);
    for version in &LINES[1..] {
        let images = node.effective(version).images;
        assert!(!images.use_local_image_pull.value);
        assert_eq!(images.max_concurrent_downloads.value, 0);
        assert_eq!(images.mirrors.value, 2);
        // With mirrors the path stays empty.
        assert_eq!(images.config_path.value, "", "{version}");
    }
}

const V2: &str = "version = 2
[plugins.'io.containerd.grpc.v1.cri']
  sandbox_image = 'r.example/pause:1'
  max_concurrent_downloads = 5
  image_pull_with_sync_fs = true
  use_local_image_pull = true
[plugins.'io.containerd.grpc.v1.cri'.registry]
  config_path = '/hosts'
[plugins.'io.containerd.grpc.v1.cri'.registry.configs.'r.example'.auth]
  username = 'u'
[plugins.'io.containerd.grpc.v1.cri'.containerd]
  snapshotter = 'native'
  discard_unpacked_layers = true
  disable_snapshot_annotations = false
";

#[test]
fn a_root_file_of_version_2_is_read_under_its_own_names() {
    for version in LINES {
        let images = Node::root(V2).effective(version).images;
        let sandbox = images.sandbox_image.clone().unwrap();
        assert_eq!(sandbox.value, "r.example/pause:1");
        assert_eq!(place(&sandbox), format!("{ROOT}:3"));
        assert_eq!(images.config_path.value, "/hosts");
        assert_eq!(images.configs.value, 1);
        assert_eq!(images.max_concurrent_downloads.value, 5);
        assert!(images.image_pull_with_sync_fs.value);
        if version != "1.7.29" {
            // It is not among the keys that are migrated.
            assert!(!images.use_local_image_pull.value);
        }
    }
}

#[test]
fn keys_below_containerd_are_migrated_only_beside_runtimes() {
    let with = format!("{V2}[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\n");
    for version in &LINES[1..] {
        let images = Node::root(V2).effective(version).images;
        assert!(!images.discard_unpacked_layers.value);
        assert!(images.disable_snapshot_annotations.value);
        assert_eq!(images.snapshotter, None);
        let images = Node::root(&with).effective(version).images;
        assert!(images.discard_unpacked_layers.value);
        assert_eq!(place(&images.discard_unpacked_layers), format!("{ROOT}:13"));
        assert!(!images.disable_snapshot_annotations.value);
        assert_eq!(images.snapshotter.unwrap().value, "native");
    }
    // 1.7 migrates nothing.
    let images = Node::root(V2).effective("1.7.29").images;
    assert_eq!(images.snapshotter.unwrap().value, "native");
}

#[test]
fn a_drop_in_of_another_version_switches_migration_off_up_to_2_2() {
    let node = |drop_in: i64| {
        let root = V2.replace("version = 2", "version = 2\nimports = ['d.toml']");
        let text = format!("version = {drop_in}\n");
        Node::new(&[(ROOT, &root), ("/etc/containerd/d.toml", &text)])
    };
    for version in ["2.0.7", "2.1.5", "2.2.1"] {
        let effective = node(3).effective(version);
        assert_eq!((effective.root_version, effective.version), (Some(2), 3));
        assert_eq!(effective.images.sandbox_image, None, "{version}");
        // A drop-in without a version, or of version 1, changes nothing.
        for drop_in in [0, 1, 2] {
            let effective = node(drop_in).effective(version);
            assert_eq!(effective.version, 2);
            assert!(effective.images.sandbox_image.is_some());
        }
    }
    for version in ["2.3.0", "2.3.4"] {
        let effective = node(3).effective(version);
        assert!(
            effective.problems[0]
                .message
                .contains("above the root file's 2")
        );
        assert_eq!(effective.problems[0].origin.as_ref().unwrap().line, 1);
    }
    for version in ["2.3.5", "2.4.2"] {
        let effective = node(3).effective(version);
        assert_eq!(effective.problems, []);
        assert!(effective.images.sandbox_image.is_some());
    }
}

#[test]
fn what_is_migrated_replaces_what_stands_under_the_new_name() {
    let text = "version = 2\n[plugins.'io.containerd.cri.v1.images']\nmax_concurrent_downloads = 3\n[plugins.'io.containerd.cri.v1.images'.registry.mirrors.a]\n[plugins.'io.containerd.grpc.v1.cri']\nmax_concurrent_downloads = 7\nregistry = { }\n";
    for version in &LINES[1..] {
        let images = Node::root(text).effective(version).images;
        assert_eq!(images.max_concurrent_downloads.value, 7);
        assert_eq!(images.mirrors.value, 0);
    }
    // Of version 3, up to 2.2, CRI's old table has no meaning.
    let text = text.replace("version = 2", "version = 3");
    for version in ["2.0.7", "2.1.5", "2.2.1"] {
        let images = Node::root(&text).effective(version).images;
        assert_eq!(images.max_concurrent_downloads.value, 3);
        assert_eq!(images.mirrors.value, 1);
    }
    // From 2.3 on version 3 is one that is migrated.
    let images = Node::root(&text).effective("2.3.7").images;
    assert_eq!(images.max_concurrent_downloads.value, 7);
    let text = text.replace("version = 3", "version = 4");
    let images = Node::root(&text).effective("2.3.7").images;
    assert_eq!(images.max_concurrent_downloads.value, 3);
}

#[test]
fn from_2_3_on_each_file_is_migrated_by_itself() {
    let root = "version = 2\nimports = ['d.toml']\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\ndiscard_unpacked_layers = true\nruntimes = { runc = { } }\n";
    let drop_in = "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\ndiscard_unpacked_layers = false\n";
    let node = Node::new(&[(ROOT, root), ("/etc/containerd/d.toml", drop_in)]);
    for version in ["2.0.7", "2.1.5", "2.2.1"] {
        assert!(!node.effective(version).images.discard_unpacked_layers.value);
    }
    for version in ["2.3.0", "2.4.2"] {
        assert!(node.effective(version).images.discard_unpacked_layers.value);
    }
}

#[test]
fn files_of_version_1_get_the_full_names() {
    let text = "disabled_plugins = ['cri']\n[plugins.cri]\nsandbox_image = 'r.example/p'\n";
    let effective = Node::root(text).effective("2.2.1");
    assert_eq!(effective.version, 3);
    assert_eq!(effective.disabled[0].plugin, "io.containerd.grpc.v1.cri");
    // Version 3 in name, so CRI's table is not migrated any more.
    assert_eq!(effective.images.sandbox_image, None);
    let effective = Node::root(text).effective("2.3.7");
    assert_eq!(effective.images.sandbox_image.unwrap().value, "r.example/p");
}

#[test]
fn an_empty_hosts_path_means_something_else_in_each_version() {
    let path = |version: &str, text: &str| Node::root(text).effective(version).images.config_path;
    let v2 = "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.registry]\nconfig_path = ''\n";
    let v3 = "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = ''\n";
    let both = "/etc/containerd/certs.d:/etc/docker/certs.d";
    for (version, of_v2, of_v3) in [
        ("2.0.7", "", ""),
        ("2.1.9", "", ""),
        ("2.2.1", both, ""),
        ("2.2.2", both, both),
        ("2.3.7", both, both),
    ] {
        assert_eq!(path(version, v2).value, of_v2, "{version}");
        assert_eq!(path(version, v3).value, of_v3, "{version}");
    }
    let images = Node::root("").effective("2.2.1").images;
    assert_eq!(images.hosts_folders(true), [both]);
    assert_eq!(
        images.hosts_folders(false),
        ["/etc/containerd/certs.d", "/etc/docker/certs.d"]
    );
    let images = Node::root("").effective("2.1.5").images;
    assert!(images.hosts_folders(true).is_empty() && images.hosts_folders(false).is_empty());
}

#[test]
fn values_of_the_wrong_type_are_problems_with_their_place() {
    let text = "version = 3\n[plugins.'io.containerd.cri.v1.images']\ndiscard_unpacked_layers = 'no'\nmax_concurrent_downloads = 3.0\npinned_images = []\n[plugins.'io.containerd.cri.v1.images'.registry]\nmirrors = true\n[plugins.'io.containerd.image-verifier.v1.bindir']\nper_verifier_timeout = 10\nmax_verifiers = '10'\nbin_dir = 1979-05-27\n";
    let effective = Node::root(text).effective("2.2.1");
    let lines: Vec<usize> = effective
        .problems
        .iter()
        .map(|problem| problem.origin.as_ref().unwrap().line)
        .collect();
    assert_eq!(lines, [9, 11, 10, 5, 3, 4, 7]);
    let message = &effective.problems[4].message;
    assert!(
        message.contains("discard_unpacked_layers` is a string, expected a boolean"),
        "{message}"
    );
    let version = Some(Version::new(2, 2, 1));
    assert!(matches!(
        enforcement(version, &effective),
        Enforcement::None { .. }
    ));

    let effective = Node::root("version = 3\n[plugins]\n'io.containerd.cri.v1.images' = 1\n")
        .effective("2.2.1");
    assert!(effective.problems[0].message.contains("expected a table"));
}

#[test]
fn versions_that_are_too_new_are_problems() {
    for (version, file, problems) in [
        ("2.2.1", 4, 1),
        ("2.2.1", 3, 0),
        ("2.3.0", 4, 0),
        ("2.3.0", 5, 1),
        ("1.7.29", 3, 1),
        ("1.7.29", 2, 0),
        ("2.1.5", -1, 1),
    ] {
        let effective = Node::root(&format!("version = {file}\n")).effective(version);
        assert_eq!(effective.problems.len(), problems, "{version} {file}");
    }
}

#[test]
fn only_disabled_plugins_that_verification_needs_are_kept() {
    let node = Node::new(&[
        (
            ROOT,
            "version = 3\nimports = ['d.toml']\ndisabled_plugins = ['io.containerd.internal.v1.opt', 'io.containerd.transfer.v1.local']\n",
        ),
        (
            "/etc/containerd/d.toml",
            "disabled_plugins = [\n'io.containerd.transfer.v1.local',\n'io.containerd.image-verifier.v1.bindir']\n",
        ),
    ]);
    let disabled = node.effective("2.2.1").disabled;
    let names: Vec<_> = disabled
        .iter()
        .map(|d| (d.plugin.as_str(), d.origin.place()))
        .collect();
    assert_eq!(
        names,
        [
            ("io.containerd.transfer.v1.local", format!("{ROOT}:3")),
            (
                "io.containerd.image-verifier.v1.bindir",
                "/etc/containerd/d.toml:3".to_owned()
            ),
        ]
    );
}
