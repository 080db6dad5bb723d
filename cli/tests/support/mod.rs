//! Running the program, for all tests.

use std::process::{Command, Output, Stdio};

const POLICY: &str = "apiVersion: nodeseal.dev/v1alpha1
kind: ClusterImageSignaturePolicy
metadata: {name: release-images}
spec:
  scopes: [SCOPE]
  authorities:
    - name: release-key
      key:
        data: |
          -----BEGIN PUBLIC KEY-----
          MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEA2YMLInAeMRRQKGcxbA4PJQaLuyO
          z0PJAF7ziJAfjAeOAHqGwiHe8oFWXRK/8cx8J2C1xTTBSDvbfnVDNxOU3g==
          -----END PUBLIC KEY-----
";

pub(crate) fn policy(scope: &str) -> String {
    POLICY.replace("SCOPE", scope)
}

/// A second key for whoever wants one.
const OTHER_KEY: &str = "          -----BEGIN PUBLIC KEY-----
          MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqLPdota9VZsvgcOXMVsV/shnMH/v
          xX8elaSApq87V3nsCnhKxC1iWtQBDrniuHyY4RCNhvERZvkUrzZ2du3eLg==
          -----END PUBLIC KEY-----
";

/// The policy with a second key in its authority: a rotation.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) fn two_keys(scope: &str) -> String {
    policy(scope) + OTHER_KEY
}

pub(crate) fn nodeseal(arguments: &[&str], stdin: &str) -> Output {
    use std::io::Write;

    let mut child = Command::new(env!("CARGO_BIN_EXE_nodeseal"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that ends with a usage error never reads its input.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[allow(dead_code, reason = "not every test needs it")]
pub(crate) fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}
