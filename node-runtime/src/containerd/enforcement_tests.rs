use super::super::samples::{Node, ROOT};
use super::*;

/// What is in the way for a containerd of this version.
fn why(version: &str, text: &str) -> Vec<Bypass> {
    let effective = Node::root(text).effective(version);
    match enforcement(Some(version.parse().unwrap()), &effective) {
        Enforcement::Full => Vec::new(),
        Enforcement::None { why } => why,
    }
}

fn predicates(why: &[Bypass]) -> Vec<Predicate> {
    why.iter().map(|bypass| bypass.predicate).collect()
}

const VERSIONS: [&str; 7] = [
    "2.1.5", "2.1.9", "2.2.1", "2.2.9", "2.3.0", "2.3.7", "2.4.2",
];

#[test]
fn a_plain_configuration_enforces_from_2_1_on() {
    for text in ["", "version = 2\n", "version = 3\n"] {
        for version in VERSIONS {
            assert_eq!(why(version, text), [], "{version} {text}");
        }
        for version in ["1.6.36", "1.7.29", "2.0.7", "2.0.14"] {
            let why = why(version, text);
            assert_eq!(predicates(&why)[0], Predicate::VersionTooOld);
            assert_eq!(why[0].fix, None);
            let said = why[0].to_string();
            assert!(
                said.contains(version) && said.contains("2.1 is the first"),
                "{said}"
            );
        }
    }
    let effective = Node::root("").effective("2.2.1");
    let Enforcement::None { why } = enforcement(None, &effective) else {
        unreachable!("an unknown version enforces nothing that is known");
    };
    assert_eq!(predicates(&why), [Predicate::VersionUnknown]);
}

#[test]
fn each_predicate_is_seen_in_each_version_with_its_place() {
    for (line, predicate) in [
        ("use_local_image_pull = true", Predicate::UseLocalImagePull),
        (
            "disable_snapshot_annotations = false",
            Predicate::SnapshotAnnotations,
        ),
        (
            "discard_unpacked_layers = true",
            Predicate::DiscardUnpackedLayers,
        ),
        (
            "max_concurrent_downloads = 4",
            Predicate::MaxConcurrentDownloads,
        ),
        (
            "max_concurrent_downloads = 0",
            Predicate::MaxConcurrentDownloads,
        ),
        (
            "image_pull_with_sync_fs = true",
            Predicate::ImagePullWithSyncFs,
        ),
        (
            "registry.mirrors.'a'.endpoint = ['b']",
            Predicate::RegistryMirrors,
        ),
        (
            "registry.configs.'a'.auth.username = 'b'",
            Predicate::RegistryConfigs,
        ),
        (
            "registry.auths.'a'.username = 'b'",
            Predicate::RegistryAuths,
        ),
    ] {
        let text = format!("version = 3\n[plugins.'io.containerd.cri.v1.images']\n{line}\n");
        for version in VERSIONS {
            let why = why(version, &text);
            assert_eq!(predicates(&why), [predicate], "{version} {line}");
            let said = why[0].to_string();
            assert!(said.contains(predicate.name()), "{said}");
            assert!(said.ends_with(&format!("in {ROOT}:3")), "{said}");
            assert!(predicate.is_local_pull());
            assert_eq!(
                matches!(why[0].fix, Some(Fix::DropIn { .. })),
                super::super::drop_in::fixable(predicate)
            );
        }
        // 2.0 has one reason, whatever stands there.
        assert_eq!(predicates(&why("2.0.7", &text)), [Predicate::VersionTooOld]);
    }
}

#[test]
fn the_good_values_are_no_bypass() {
    let text = "version = 3\n[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = false\ndisable_snapshot_annotations = true\ndiscard_unpacked_layers = false\nmax_concurrent_downloads = 3\nimage_pull_with_sync_fs = false\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/x'\nmirrors = {}\nconfigs = {}\nauths = {}\nheaders = { a = ['b'] }\n[plugins.'io.containerd.image-verifier.v1.bindir']\nmax_verifiers = -1\n";
    for version in VERSIONS {
        assert_eq!(why(version, text), [], "{version}");
    }
}

#[test]
fn verifiers_that_are_off_are_a_bypass() {
    let table = "version = 3\n[plugins.'io.containerd.image-verifier.v1.bindir']\n";
    for (line, predicate) in [
        ("max_verifiers = 0", Predicate::NoVerifiers),
        ("bin_dir = ''", Predicate::NoBinDir),
    ] {
        let why = why("2.2.1", &format!("{table}{line}\n"));
        assert_eq!(predicates(&why), [predicate]);
        assert!(matches!(why[0].fix, Some(Fix::DropIn { .. })));
        assert!(!predicate.is_local_pull());
    }
    for plugin in [
        "io.containerd.grpc.v1.cri",
        "io.containerd.cri.v1.images",
        "io.containerd.image-verifier.v1.bindir",
        "io.containerd.transfer.v1.local",
    ] {
        let why = why(
            "2.2.1",
            &format!("disabled_plugins = ['{plugin}']\nversion = 3\n"),
        );
        assert_eq!(predicates(&why), [Predicate::PluginDisabled]);
        let Some(Fix::Remove(text)) = &why[0].fix else {
            unreachable!("a drop-in cannot enable a plugin");
        };
        assert_eq!(
            *text,
            format!("take '{plugin}' out of `disabled_plugins` in {ROOT}:1")
        );
    }
}

#[test]
fn what_a_drop_in_cannot_fix_says_what_to_delete() {
    let text = "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.registry.mirrors.'a']\n";
    let why = why("2.2.1", text);
    let Some(Fix::Remove(text)) = &why[0].fix else {
        unreachable!("a drop-in cannot delete mirrors");
    };
    assert!(
        text.starts_with(&format!(
            "delete `plugins.io.containerd.grpc.v1.cri.registry.mirrors` with all its entries from {ROOT}:2"
        )) && text.contains("hosts.toml"),
        "{text}"
    );
}

#[test]
fn fixes_are_written_where_the_running_version_reads_them() {
    let v2 = "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\ndiscard_unpacked_layers = true\nruntimes.runc = {}\n";
    let key = |version: &str| match why(version, v2).remove(0).fix {
        Some(Fix::DropIn {
            key,
            value: "false",
        }) => key.join("/"),
        other => unreachable!("{other:?}"),
    };
    for version in ["2.1.5", "2.2.1", "2.2.9"] {
        assert_eq!(
            key(version),
            "io.containerd.grpc.v1.cri/containerd/discard_unpacked_layers"
        );
    }
    for version in ["2.3.0", "2.3.7", "2.4.2"] {
        assert_eq!(
            key(version),
            "io.containerd.cri.v1.images/discard_unpacked_layers"
        );
    }
}

#[test]
fn what_distributions_ship_is_named() {
    // EKS and GKE, kind, RKE2, and a config of a 2.2 by `containerd config default`.
    let eks = "version = 2\nimports = ['/etc/containerd/config.d/*.toml']\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\ndefault_runtime_name = \"runc\"\ndiscard_unpacked_layers = true\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n";
    assert_eq!(
        predicates(&why("2.1.5", eks)),
        [Predicate::DiscardUnpackedLayers]
    );
    let rke2 = "version = 3\n[plugins.'io.containerd.cri.v1.images']\n  snapshotter = \"overlayfs\"\n  disable_snapshot_annotations = true\n  use_local_image_pull = true\n";
    assert_eq!(
        predicates(&why("2.1.5", rke2)),
        [Predicate::UseLocalImagePull]
    );
    // A remote snapshotter wants its annotations.
    let stargz = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"stargz\"\ndisable_snapshot_annotations = false\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n";
    assert_eq!(
        predicates(&why("2.3.7", stargz)),
        [Predicate::SnapshotAnnotations]
    );
}
