use proptest::prelude::*;

use super::super::samples::{Node, ROOT};
use super::super::{Bypass, Overlay, Predicate, Version, effective, enforcement, load};
use super::*;

const OURS: &str = "/etc/containerd/zz-nodeseal.toml";
const BIN_DIR: &str = "/opt/nodeseal/image-verifier";

fn options(fix_local_pull: bool) -> DropIn<'static> {
    DropIn {
        bin_dir: BIN_DIR,
        fix_local_pull,
        hosts_folder: None,
    }
}

/// The drop-in for this root file, which has to import [`OURS`].
fn text(version: &str, root: &str, options: &DropIn) -> String {
    let effective = Node::root(root).effective(version);
    let enforcement = enforcement(version.parse().ok(), &effective);
    drop_in(&effective, &enforcement, options)
}

fn why(version: Option<Version>, effective: &Effective) -> Vec<Bypass> {
    match enforcement(version, effective) {
        Enforcement::Full => Vec::new(),
        Enforcement::None { why } => why,
    }
}

#[test]
fn a_plain_drop_in_names_the_folder_and_nothing_else() {
    assert_eq!(
        text("2.2.1", "version = 2\n", &options(true)),
        "# Written by nodeseal. Every image pull over CRI runs the verifier in this folder.\n\
         version = 2\n\n[plugins.\"io.containerd.image-verifier.v1.bindir\"]\n\
         bin_dir = \"/opt/nodeseal/image-verifier\"\n"
    );
}

#[test]
fn its_version_is_the_root_files_or_what_counts_now() {
    for (version, root, expected) in [
        ("2.1.5", "version = 2\n", 2),
        ("2.2.1", "version = 3\n", 3),
        ("2.3.0", "version = 2\n", 2),
        ("2.3.7", "version = 4\n", 4),
        ("2.3.0", "version = 1\n", 1),
        ("2.3.7", "oom_score = 0\n", 3),
        // Without a version it is version 3 by the time a drop-in is read.
        ("2.2.1", "oom_score = 0\n", 3),
        ("2.2.1", "version = 1\n", 3),
    ] {
        let text = text(version, root, &options(false));
        assert!(
            text.contains(&format!("\nversion = {expected}\n")),
            "{version} {root}\n{text}"
        );
    }
    // Another drop-in of version 3 has lost the node its version 2: ours leaves that as it is.
    let node = Node::new(&[
        (ROOT, "version = 2\nimports = ['a.toml']\n"),
        ("/etc/containerd/a.toml", "version = 3\n"),
    ]);
    let effective = node.effective("2.2.1");
    let text = drop_in(&effective, &Enforcement::Full, &options(false));
    assert!(text.contains("\nversion = 3\n"), "{text}");
}

#[test]
fn the_nodes_limits_stay_unless_they_switch_verification_off() {
    let table = "version = 3\n[plugins.'io.containerd.image-verifier.v1.bindir']\n";
    let text = |line: &str| text("2.2.1", &format!("{table}{line}\n"), &options(false));
    assert!(!text("max_verifiers = 1\nper_verifier_timeout = '1s'").contains("er_verifier"));
    assert!(text("max_verifiers = 0").contains("\nmax_verifiers = 10\n"));
    for none in ["0", "'0s'", "'-1s'"] {
        let text = text(&format!("per_verifier_timeout = {none}"));
        assert!(
            text.contains("\nper_verifier_timeout = \"10s\"\n"),
            "{text}"
        );
    }
}

#[test]
fn local_pull_is_left_alone_unless_asked() {
    let root =
        "version = 3\n[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = true\n";
    assert!(!text("2.2.1", root, &options(false)).contains("use_local_image_pull"));
    let fixed = text("2.2.1", root, &options(true));
    assert!(
        fixed.contains("#   `use_local_image_pull = true` in /etc/containerd/config.toml\n"),
        "{fixed}"
    );
    // An import that comes to stand above it is no other drop-in.
    let moved = format!("imports = ['/etc/containerd/conf.d/*.toml']\n{root}");
    assert_eq!(text("2.2.1", &moved, &options(true)), fixed);
    assert!(
        fixed.contains("[plugins.\"io.containerd.cri.v1.images\"]\nuse_local_image_pull = false\n"),
        "{fixed}"
    );
}

#[test]
fn a_list_of_hosts_folders_becomes_one_where_pulls_change_to_the_transfer_service() {
    let v3 = "version = 3\n[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = true\n";
    let list = "[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/a:/b'\n";
    // The default of 2.2 is a list; that of 2.1 is empty.
    let key = "[plugins.\"io.containerd.cri.v1.images\".registry]\nconfig_path = ";
    let has = |text: &str, folder: &str| text.contains(&format!("{key}\"{folder}\"\n"));
    assert!(has(
        &text("2.2.1", v3, &options(true)),
        "/etc/containerd/certs.d"
    ));
    assert!(!text("2.1.5", v3, &options(true)).contains("config_path"));
    let listed = format!("{v3}{list}");
    assert!(has(&text("2.1.5", &listed, &options(true)), "/a"));
    let chosen = DropIn {
        hosts_folder: Some("/b"),
        ..options(true)
    };
    assert!(has(&text("2.1.5", &listed, &chosen), "/b"));
    // Not when nothing changes, and not when pulls stay local for another reason.
    assert!(
        !text("2.2.1", &format!("version = 3\n{list}"), &options(true)).contains("config_path")
    );
    let configs = format!("{listed}configs.a.auth.username = 'u'\n");
    assert!(!text("2.2.1", &configs, &options(true)).contains("config_path"));
    // On a root file of version 2 beside the rest of `registry`.
    let v2 = "version = 2\n[plugins.'io.containerd.grpc.v1.cri']\nmax_concurrent_downloads = 9\n[plugins.'io.containerd.grpc.v1.cri'.registry]\nheaders = { a = ['b'] }\n";
    let fixed = text("2.2.9", v2, &options(true));
    assert!(
        fixed.contains("[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/etc/containerd/certs.d\"\n"),
        "{fixed}"
    );
}

#[test]
fn what_is_read_after_the_drop_in_is_named() {
    let ours = text("2.2.1", "version = 3\n", &options(false));
    let node = |nested: &str| {
        Node::new(&[
            (ROOT, "version = 3\nimports = ['a.toml', 'zz-*.toml']\n"),
            ("/etc/containerd/a.toml", nested),
            (
                "/etc/containerd/b.toml",
                "plugins.'io.containerd.image-verifier.v1.bindir'.bin_dir = '/b'\n",
            ),
            (OURS, &ours),
        ])
    };
    assert_eq!(not_in_force(&node("").effective("2.2.1"), BIN_DIR), None);
    let said = not_in_force(&node("imports = ['b.toml']\n").effective("2.2.1"), BIN_DIR).unwrap();
    assert!(said.starts_with("/etc/containerd/b.toml:1 sets"), "{said}");
    let said = not_in_force(&Node::root("version = 3\n").effective("2.2.1"), BIN_DIR).unwrap();
    assert!(said.contains("does not read"), "{said}");
}

#[test]
fn a_comment_stays_a_comment_whatever_the_value() {
    let folder = "a\nversion = 9\n";
    let why = vec![Bypass {
        predicate: Predicate::DiscardUnpackedLayers,
        value: folder.to_owned(),
        origin: None,
        fix: Some(Fix::DropIn {
            key: vec!["p".to_owned(), "k".to_owned()],
            value: "false",
        }),
    }];
    let effective = Node::root("version = 3\n").effective("2.2.1");
    let text = drop_in(&effective, &Enforcement::None { why }, &options(true));
    let document: DocumentMut = text.parse().unwrap();
    assert_eq!(document["version"].as_integer(), Some(3));
}

/// Lines of CRI's settings of each version, from which configurations are put together.
const V3_LINES: [&str; 12] = [
    "plugins.'io.containerd.cri.v1.images'.use_local_image_pull = true",
    "plugins.'io.containerd.cri.v1.images'.disable_snapshot_annotations = false",
    "plugins.'io.containerd.cri.v1.images'.discard_unpacked_layers = true",
    "plugins.'io.containerd.cri.v1.images'.max_concurrent_downloads = 8",
    "plugins.'io.containerd.cri.v1.images'.image_pull_with_sync_fs = true",
    "plugins.'io.containerd.cri.v1.images'.registry.mirrors.'a'.endpoint = ['b']",
    "plugins.'io.containerd.cri.v1.images'.registry.configs.'a'.auth.auth = 'b'",
    "plugins.'io.containerd.cri.v1.images'.registry.config_path = '/a:/b'",
    "plugins.'io.containerd.image-verifier.v1.bindir'.max_verifiers = 0",
    "plugins.'io.containerd.image-verifier.v1.bindir'.bin_dir = ''",
    "plugins.'io.containerd.image-verifier.v1.bindir'.per_verifier_timeout = '0s'",
    "disabled_plugins = ['io.containerd.transfer.v1.local']",
];
const V2_LINES: [&str; 9] = [
    "plugins.'io.containerd.grpc.v1.cri'.max_concurrent_downloads = 8",
    "plugins.'io.containerd.grpc.v1.cri'.image_pull_with_sync_fs = true",
    "plugins.'io.containerd.grpc.v1.cri'.registry.auths.'a'.auth = 'b'",
    "plugins.'io.containerd.grpc.v1.cri'.registry.headers.'a' = ['b']",
    "plugins.'io.containerd.grpc.v1.cri'.registry.config_path = ''",
    "plugins.'io.containerd.grpc.v1.cri'.sandbox_image = 'r.example/p'",
    "plugins.'io.containerd.grpc.v1.cri'.containerd.discard_unpacked_layers = true",
    "plugins.'io.containerd.grpc.v1.cri'.containerd.disable_snapshot_annotations = false",
    "plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc.runtime_type = 'r'",
];

fn file(version: i64, imports: &str, lines: u32) -> String {
    let chosen = V3_LINES.iter().chain(&V2_LINES).enumerate();
    let mut text = format!("version = {version}\nimports = [{imports}]\n");
    for (at, line) in chosen {
        if lines & (1 << at) != 0 {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Merged by our own rules (the judged test asks containerd itself), the drop-in removes what it
    /// can and nothing else, and everything else of the node stays as it is.
    #[test]
    fn the_drop_in_removes_exactly_what_is_fixable(
        running in proptest::sample::select(vec!["2.1.5", "2.2.1", "2.2.9", "2.3.0", "2.3.7"]),
        root_version in 1_i64..=3,
        other_version in 0_i64..=3,
        root in 0_u32..(1 << 21),
        other in 0_u32..(1 << 21),
        fix in any::<bool>(),
    ) {
        let node = Node::new(&[
            (ROOT, &file(root_version, "'other.toml', 'zz-*.toml'", root)),
            ("/etc/containerd/other.toml", &file(other_version, "", other)),
        ]);
        let version: Version = running.parse().unwrap();
        let before = effective(&load(&node, ROOT).unwrap(), Some(version));
        // A drop-in of the node that keeps containerd from starting is not ours to heal.
        prop_assume!(before.problems.is_empty());
        let text = drop_in(&before, &enforcement(Some(version), &before), &options(fix));
        let overlay = Overlay::new(&node).with(OURS, &text);
        let after = effective(&load(&overlay, ROOT).unwrap(), Some(version));
        prop_assert_eq!(&after.problems, &Vec::new(), "{}", &text);
        prop_assert_eq!(&after.verifier.bin_dir.value, BIN_DIR);
        prop_assert!(after.verifier.per_verifier_timeout_ms.value > 0);
        prop_assert_eq!(after.version, before.version);

        let expected: Vec<Predicate> = why(Some(version), &before)
            .iter()
            .map(|bypass| bypass.predicate)
            .filter(|p| !fixable(*p) || (p.is_local_pull() && !fix))
            .collect();
        let left: Vec<Predicate> =
            why(Some(version), &after).iter().map(|bypass| bypass.predicate).collect();
        prop_assert_eq!(left, expected, "{}", &text);

        // What is no bypass stays, but for a list of folders that would break.
        let (old, new) = (&before.images, &after.images);
        prop_assert_eq!(&old.sandbox_image, &new.sandbox_image);
        prop_assert_eq!(&old.mirrors, &new.mirrors);
        prop_assert_eq!(&old.auths, &new.auths);
        prop_assert_eq!(&before.disabled, &after.disabled);
        if old.config_path != new.config_path {
            prop_assert!(fix && old.config_path.value.contains(':'));
            prop_assert_eq!(new.hosts_folders(true), &old.hosts_folders(false)[..1]);
            prop_assert!(why(Some(version), &after).iter().all(|b| !b.predicate.is_local_pull()));
        }
    }
}
