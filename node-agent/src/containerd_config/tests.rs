use super::*;

fn read(text: &str) -> ContainerdConfig {
    parse(DEFAULT_PATH, Some(text.as_bytes())).unwrap()
}

#[test]
fn a_missing_file_is_version_3_and_imports_nothing() {
    let config = parse(DEFAULT_PATH, None).unwrap();
    assert_eq!(config.version, ConfigVersion::V3);
    assert!(!config.imports_drop_in);
    assert_eq!(
        config.imports_line(),
        "imports = [\"/etc/containerd/conf.d/*.toml\"]"
    );
}

#[test]
fn a_version_3_file_says_what_we_ask() {
    let config = read(
        r#"
version = 3
imports = ["/etc/containerd/conf.d/*.toml"]
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "registry.example.com/pause:3.10"
[plugins.'io.containerd.image-verifier.v1.bindir']
  bin_dir = "/opt/containerd/image-verifier/bin"
  max_verifiers = 10
  per_verifier_timeout = "1m30s"
"#,
    );
    assert_eq!(config.version, ConfigVersion::V3);
    assert!(config.imports_drop_in);
    assert_eq!(
        config.sandbox_image.as_deref(),
        Some("registry.example.com/pause:3.10")
    );
    assert_eq!(
        config.bin_dir.as_deref(),
        Some("/opt/containerd/image-verifier/bin")
    );
    assert_eq!(config.per_verifier_timeout_ms, Some(90_000));
    assert!(!config.verifiers_off);
}

#[test]
fn a_version_2_file_has_the_sandbox_elsewhere() {
    let config = read(
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"a.example/p:1\"\n",
    );
    assert_eq!(config.version, ConfigVersion::V2);
    assert_eq!(config.sandbox_image.as_deref(), Some("a.example/p:1"));
}

#[test]
fn relative_imports_count_from_the_files_own_folder_and_stars_stop_at_slashes() {
    for (line, covered) in [
        ("imports = ['conf.d/*.toml']", true),
        (
            "imports = ['/etc/containerd/conf.d/zz-nodeseal.toml']",
            true,
        ),
        (
            "imports = ['/etc/containerd/conf.d/zz-?odeseal.toml']",
            true,
        ),
        ("imports = ['/etc/containerd/*.toml']", false),
        ("imports = ['/etc/containerd/conf.d/*.conf']", false),
        ("imports = []", false),
        ("", false),
    ] {
        let config = read(&format!("version = 3\n{line}\n"));
        assert_eq!(config.imports_drop_in, covered, "{line}");
    }
}

#[test]
fn the_line_to_add_keeps_what_is_imported_now() {
    let config = read("version = 3\nimports = ['/run/x.toml']\n");
    assert_eq!(
        config.imports_line(),
        "imports = [\"/run/x.toml\", \"/etc/containerd/conf.d/*.toml\"]"
    );
}

#[test]
fn other_versions_and_broken_files_are_refused_with_what_to_do() {
    let error = parse(DEFAULT_PATH, Some(b"root = '/x'\n"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("version 1") && error.contains("config migrate"),
        "{error}"
    );
    let error = parse(DEFAULT_PATH, Some(b"version = 5\n"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("version 5"), "{error}");
    let error = parse(DEFAULT_PATH, Some(b"version = \n"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("/etc/containerd/config.toml is not valid TOML"),
        "{error}"
    );
    assert!(parse(DEFAULT_PATH, Some(b"\xff")).is_err());
}

#[test]
fn durations_are_read_as_go_writes_them() {
    for (text, ms) in [
        ("10s", Some(10_000)),
        ("1.5s", Some(1_500)),
        ("500ms", Some(500)),
        ("1m0.25s", Some(60_250)),
        ("1h", Some(3_600_000)),
        ("0.5", None),
        ("", None),
        ("fast", None),
        ("10 s", None),
    ] {
        assert_eq!(duration_ms(text), ms, "{text}");
    }
}

#[test]
fn verifiers_that_are_switched_off_are_seen() {
    let config = read(
        "version = 3\n[plugins.'io.containerd.image-verifier.v1.bindir']\nmax_verifiers = 0\n",
    );
    assert!(config.verifiers_off);
}
