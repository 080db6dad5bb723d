//! Trust roots over TUF on the desk, where nothing is fetched.

#![allow(clippy::unwrap_used, reason = "it is how a test fails")]

use std::fs;

use support::{nodeseal, text};

mod support;

/// A keyless policy and its trust root.
fn manifest(tuf: &str) -> String {
    format!(
        "apiVersion: nodeseal.dev/v1alpha1
kind: ClusterImageSignaturePolicy
metadata: {{name: team}}
spec:
  scopes: [registry.example.com/team]
  authorities:
    - name: ci
      keyless:
        identities: [{{issuer: https://issuer.example, subject: ci@example.com}}]
---
apiVersion: nodeseal.dev/v1alpha1
kind: TrustRoot
metadata: {{name: sigstore}}
spec: {{tuf: {tuf}}}
"
    )
}

#[test]
fn the_public_good_instance_is_the_built_in_one_and_that_is_said() {
    let output = nodeseal(&["validate", "-f", "-"], &manifest("{}"));
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("spec.tuf: nothing is fetched here: ") && stderr.contains("warning"),
        "{stderr}"
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("policies.yaml");
    fs::write(&file, manifest("{}")).unwrap();
    let out = dir.path().join("out");
    let arguments = [
        "render",
        "--runtime",
        "containerd",
        "-f",
        file.to_str().unwrap(),
    ];
    let arguments = [&arguments[..], &["--out-dir", out.to_str().unwrap()]].concat();
    let output = nodeseal(&arguments, "");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn another_repository_is_asked_for_inline() {
    let mirror = "{mirror: 'https://tuf.example.com'}";
    for command in [
        vec!["validate", "-f", "-"],
        vec!["verify", "registry.example.com/team/app:v1", "-f", "-"],
    ] {
        let output = nodeseal(&command, &manifest(mirror));
        let stderr = text(&output.stderr);
        assert_ne!(output.status.code(), Some(0), "{stderr}");
        assert!(
            stderr.contains("put the repository's trusted_root.json into trustedRoot.data"),
            "{stderr}"
        );
    }
}
