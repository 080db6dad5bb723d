use std::collections::BTreeSet;

use super::*;

struct Found(BTreeSet<&'static str>);

impl Markers for Found {
    fn exists(&self, path: &str) -> bool {
        self.0.contains(path)
    }
}

fn layout(argv: &str, config: &str, os: &str, files: &[&'static str]) -> Layout {
    let argv: Vec<String> = argv.split_whitespace().map(str::to_owned).collect();
    let os = Some(os).filter(|os| !os.is_empty());
    recognise(&argv, config, os, &Found(files.iter().copied().collect()))
}

const K3S: &str = "/var/lib/rancher/k3s/agent/etc/containerd";
const RKE2: &str = "/var/lib/rancher/rke2/agent/etc/containerd";

#[test]
fn upstream_is_what_nothing_else_is() {
    let found = layout("/usr/bin/containerd", "", "ubuntu", &[]);
    assert_eq!(
        found,
        Layout {
            kind: Kind::Upstream,
            root_config: "/etc/containerd/config.toml".to_owned(),
            drop_in_dir: "/etc/containerd/conf.d".to_owned(),
            import: Import::Editable,
        }
    );
    let found = layout("containerd --config /srv/c.toml", "/srv/c.toml", "", &[]);
    assert_eq!(
        (found.kind, found.root_config.as_str()),
        (Kind::Upstream, "/srv/c.toml")
    );
    let found = layout(
        "containerd",
        "/usr/share/containerd/config.toml",
        "suse",
        &[],
    );
    assert!(matches!(found.import, Import::Generated { .. }));
}

#[test]
fn k3s_and_rke2_are_told_apart_and_their_templates_choose_the_folder() {
    let config = format!("{K3S}/config.toml");
    let argv = "containerd";
    let found = layout(argv, &config, "ubuntu", &[]);
    assert_eq!(found.kind, Kind::K3s);
    assert_eq!(found.drop_in_dir, format!("{K3S}/config-v3.toml.d"));
    let found = layout(argv, &config, "", &["/etc/rancher/rke2"]);
    assert_eq!(found.kind, Kind::K3s, "the path says it");
    let v2 = "/var/lib/rancher/k3s/agent/etc/containerd/config.toml.tmpl";
    let v3 = "/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.tmpl";
    let found = layout(argv, &config, "", &[v2]);
    assert_eq!(found.drop_in_dir, format!("{K3S}/config.toml.d"));
    let Import::Generated { missing } = &found.import else {
        unreachable!("a root file that is made anew cannot be edited");
    };
    assert!(
        missing.contains(v2) && missing.contains("restart k3s"),
        "{missing}"
    );
    let found = layout(argv, &config, "", &[v2, v3]);
    assert_eq!(found.drop_in_dir, format!("{K3S}/config-v3.toml.d"));

    let config = format!("{RKE2}/config.toml");
    let argv = format!("containerd -c {config} -a /run/k3s/containerd/containerd.sock");
    let found = layout(&argv, &config, "sles", &[]);
    assert_eq!(found.kind, Kind::Rke2);
    assert_eq!(found.drop_in_dir, format!("{RKE2}/config-v3.toml.d"));
    // Another data folder says nothing by its name.
    let config = "/data/agent/etc/containerd/config.toml";
    assert_eq!(
        layout("containerd", config, "", &["/etc/rancher/rke2"]).kind,
        Kind::Rke2
    );
    assert_eq!(layout("containerd", config, "", &[]).kind, Kind::K3s);
}

#[test]
fn k0s_has_a_folder_of_its_own() {
    let argv = "/var/lib/k0s/bin/containerd --config=/etc/k0s/containerd.toml";
    let found = layout(argv, "/etc/k0s/containerd.toml", "debian", &[]);
    assert_eq!(found.kind, Kind::K0s);
    assert_eq!(found.drop_in_dir, "/etc/k0s/containerd.d");
    let Import::Generated { missing } = found.import else {
        unreachable!("k0s makes the root file");
    };
    assert!(missing.contains("# k0s_managed=true"), "{missing}");
}

#[test]
fn flatcar_can_be_edited_unless_its_file_is_the_shipped_one() {
    let shipped = "/usr/share/containerd/config.toml";
    let found = layout("/usr/bin/containerd", shipped, "flatcar", &[]);
    assert_eq!(found.kind, Kind::Flatcar);
    let Import::Generated { missing } = found.import else {
        unreachable!("/usr is read-only");
    };
    assert!(missing.contains("10-use-custom-config.conf"), "{missing}");
    let found = layout("/usr/bin/containerd", "", "flatcar", &[]);
    assert_eq!(found.import, Import::Editable);
    assert_eq!(found.kind, Kind::Flatcar);
}

#[test]
fn talos_and_bottlerocket_say_what_to_do_instead() {
    for (os, config, kind, word) in [
        (
            "talos",
            "/etc/cri/containerd.toml",
            Kind::Talos,
            "ImageVerificationConfig",
        ),
        (
            "bottlerocket",
            "/etc/containerd/config.toml",
            Kind::Bottlerocket,
            "settings.image-verifier-plugins.enabled=true",
        ),
    ] {
        let found = layout("containerd", config, os, &[]);
        assert_eq!((found.kind, found.root_config.as_str()), (kind, config));
        let Import::Unsupported { instead } = found.import else {
            unreachable!("nothing may be written on {os}");
        };
        assert!(instead.contains(word), "{instead}");
    }
}
