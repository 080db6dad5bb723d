//! Policies as users write them, for tests.

use std::fmt::Write as _;

/// A `ClusterImageSignaturePolicy`, one field after the other.
#[derive(Debug, Clone)]
pub struct PolicyText {
    name: String,
    scopes: Vec<String>,
    lines: Vec<String>,
    authorities: Vec<(String, String)>,
}

impl PolicyText {
    /// A policy over these scopes, still without authority.
    #[must_use]
    pub fn new(name: &str, scopes: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            scopes: scopes.iter().map(ToString::to_string).collect(),
            lines: Vec::new(),
            authorities: Vec::new(),
        }
    }

    /// With an authority that has this PEM text as its keys.
    #[must_use]
    pub fn authority(mut self, name: &str, pem: &str) -> Self {
        self.authorities.push((name.to_owned(), pem.to_owned()));
        self
    }

    /// With one more line in `spec`, such as `threshold: 2`.
    #[must_use]
    pub fn field(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// The YAML.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut text = format!(
            "apiVersion: nodeseal.dev/v1alpha1\nkind: ClusterImageSignaturePolicy\nmetadata: {{name: {}}}\nspec:\n  scopes: [{}]\n",
            self.name,
            self.scopes
                .iter()
                .map(|scope| format!("\"{scope}\""))
                .collect::<Vec<_>>()
                .join(", ")
        );
        for line in &self.lines {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {line}");
        }
        text.push_str("  authorities:\n");
        for (name, pem) in &self.authorities {
            let _ = write!(text, "    - name: {name}\n      key:\n        data: |\n");
            for line in pem.lines() {
                let _ = writeln!(text, "          {line}");
            }
        }
        text
    }
}

/// The `EnforcementConfig` with these lines in `spec`.
#[must_use]
pub fn config(lines: &[&str]) -> String {
    let spec = lines.join("\n  ");
    format!(
        "apiVersion: nodeseal.dev/v1alpha1\nkind: EnforcementConfig\nmetadata: {{name: default}}\nspec:\n  {spec}\n"
    )
}
