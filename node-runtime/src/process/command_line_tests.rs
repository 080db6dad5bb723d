//! Command lines as distributions and people write them.

use std::path::Path;

use super::{ConfigPath, Containerd, Crio, containerd_config_path};

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn containerds_configuration_is_found_in_every_way_to_write_it() {
    let config = |line: &str| Containerd::parse(&words(line)).config;
    for line in [
        "containerd -c /c",
        "containerd --c /c",
        "containerd -config /c",
        "containerd --config /c",
        "containerd --config=/c",
        "containerd -c=/c",
        "containerd -l debug --config /c",
        "containerd --log-level -c -c /c",
        "containerd --a-flag-of-later --config /c",
        "containerd --a-flag-of-later value --config /c",
        "containerd --config /b -c /c",
        "containerd --config /c --",
    ] {
        assert_eq!(config(line).as_deref(), Some("/c"), "{line}");
        assert!(!Containerd::parse(&words(line)).command, "{line}");
    }
    for line in [
        "containerd",
        "",
        "containerd --log-level --config",
        "containerd -- --config /c",
    ] {
        assert_eq!(config(line), None, "{line}");
    }
    assert_eq!(config("containerd --config=/a=b").as_deref(), Some("/a=b"));
}

#[test]
fn containerds_other_flags_are_found() {
    // As k3s and k0s start it.
    let k3s = "containerd -c /agent/config.toml -a /run/k3s.sock --state /run/k3s --root /var/k3s";
    let k0s = "/var/lib/k0s/bin/containerd --root=/var/k3s --state=/run/k3s \
               --address=/run/k3s.sock --log-level=info --config=/agent/config.toml";
    let expected = Containerd {
        config: Some("/agent/config.toml".to_owned()),
        root: Some("/var/k3s".to_owned()),
        state: Some("/run/k3s".to_owned()),
        address: Some("/run/k3s.sock".to_owned()),
        command: false,
    };
    assert_eq!(Containerd::parse(&words(k3s)), expected);
    assert_eq!(Containerd::parse(&words(k0s)), expected);
}

#[test]
fn another_command_of_a_runtime_is_not_its_daemon() {
    assert!(Containerd::parse(&words("containerd -c /c config dump")).command);
    assert!(Crio::parse(&words("crio wipe")).command);
}

#[test]
fn crios_flags_are_found_among_those_without_value() {
    let line = "crio --enable-metrics --listen=/s -c /c -d /d --signature-policy /p \
                --signature-policy-dir /ns --selinux";
    let expected = Crio {
        config: Some("/c".to_owned()),
        config_dir: Some("/d".to_owned()),
        listen: Some("/s".to_owned()),
        signature_policy: Some("/p".to_owned()),
        signature_policy_dir: Some("/ns".to_owned()),
        command: false,
    };
    assert_eq!(Crio::parse(&words(line)), expected);
}

#[test]
fn containerds_configuration_has_an_absolute_path_or_none() {
    let path = |line: &str, cwd: Option<&str>| {
        let found = containerd_config_path(&words(line), cwd.map(Path::new))?;
        Some((found.path.display().to_string(), found.given))
    };
    let given = |path: &str| Some((path.to_owned(), true));
    assert_eq!(path("containerd -c /c", None), given("/c"));
    assert_eq!(path("containerd -c c", Some("/etc")), given("/etc/c"));
    assert_eq!(path("containerd -c c", None), None);
    let default = ConfigPath {
        path: "/etc/containerd/config.toml".into(),
        given: false,
    };
    assert_eq!(
        containerd_config_path(&words("containerd"), None),
        Some(default)
    );
}
