//! The objects in the data folder, and what the two say about them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use crds::load::{Source, load};
use crds::{Problem, Severity};
use e2e::ControlPlane;
use e2e::control_plane::Refused;
use serde_json::Value;

/// The kinds, the plural that stands in their paths, and whether they live in a namespace.
pub(crate) const KINDS: [(&str, &str, bool); 6] = [
    (
        "ClusterImageSignaturePolicy",
        "clusterimagesignaturepolicies",
        false,
    ),
    ("ImageSignaturePolicy", "imagesignaturepolicies", true),
    ("EnforcementConfig", "enforcementconfigs", false),
    ("TrustRoot", "trustroots", false),
    ("PolicyBundle", "policybundles", false),
    ("NodeImagePolicy", "nodeimagepolicies", false),
];

/// An object, and what the validator says about it.
pub(crate) struct Case {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) problems: Vec<Problem>,
}

impl Case {
    pub(crate) fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let source = Source {
            name,
            text: text.clone(),
        };
        let mut problems = load(&[source]).problems;
        problems.retain(|problem| problem.severity == Severity::Error);
        Self {
            path,
            text,
            problems,
        }
    }

    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// The layer in the first line.
    pub(crate) fn layer(&self) -> &str {
        self.text.lines().next().unwrap().trim_start_matches("# ")
    }

    /// The field's value, where it stands in a line or a map of its own.
    pub(crate) fn value(&self, field: &str) -> Option<&str> {
        let (_, rest) = self.text.split_once(&format!("{field}: "))?;
        rest.split(['\n', ',', '}', ' ']).next()
    }

    pub(crate) fn collection(&self) -> String {
        let kind = self.value("kind").unwrap_or_default();
        let (_, plural, namespaced) = KINDS
            .iter()
            .find(|(name, ..)| *name == kind)
            .unwrap_or(&KINDS[0]);
        let namespace = if *namespaced {
            format!(
                "namespaces/{}/",
                self.value("namespace").unwrap_or("default")
            )
        } else {
            String::new()
        };
        format!("/apis/nodeseal.dev/v1alpha1/{namespace}{plural}")
    }

    pub(crate) async fn apply(&self, plane: &ControlPlane) -> Result<Result<Value, Refused>> {
        let answer = plane.create(&self.collection(), &self.text, true).await;
        answer.with_context(|| self.name())
    }

    /// The fields of what the validator says in these layers.
    pub(crate) fn fields(&self, wanted: impl Fn(&Problem) -> bool) -> BTreeSet<String> {
        let problems = self.problems.iter().filter(|problem| wanted(problem));
        let field = |problem: &Problem| {
            // The API server names the whole entry.
            let key = (problem.reason == "Duplicate").then_some(".name");
            let field = key.and_then(|key| problem.field.strip_suffix(key));
            field.unwrap_or(&problem.field).to_owned()
        };
        problems.map(field).collect()
    }

    pub(crate) fn described(&self, answer: &Result<Value, Refused>) -> String {
        let mut text = String::new();
        for Problem {
            layer,
            field,
            message,
            ..
        } in &self.problems
        {
            writeln!(text, "offline: {layer:?}: {field}: {message}").unwrap();
        }
        match answer {
            Ok(_) => text.push_str("server: accepted\n"),
            Err(refused) => {
                let mut causes: Vec<String> = causes(refused)
                    .map(|(field, message)| format!("server: {}: {field}: {message}", refused.code))
                    .collect();
                if causes.is_empty() {
                    causes.push(format!("server: {}: {}", refused.code, refused.message));
                }
                causes.sort();
                text.push_str(&causes.join("\n"));
                text.push('\n');
            }
        }
        text
    }
}

pub(crate) fn cases(folder: &str) -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    paths.sort();
    paths.into_iter().map(Case::read).collect()
}

/// What the API server found, without its word that it has left out the rules.
pub(crate) fn causes(refused: &Refused) -> impl Iterator<Item = (String, String)> {
    let found = refused.causes.iter();
    let left_out = "some validation rules were not checked";
    let found = found.filter(move |(_, message)| !message.contains(left_out));
    found.map(|(field, message)| {
        // Rules at the root have no field; ours there are about the name.
        let root = matches!(field.as_str(), "" | "<nil>");
        let field = if root { "metadata.name" } else { field };
        (field.to_owned(), message.clone())
    })
}

/// The fields in `strict decoding error: unknown field "spec.x", duplicate field "spec.y"`.
pub(crate) fn unknown_fields(refused: &Refused) -> BTreeSet<String> {
    let (_, list) = refused
        .message
        .split_once("strict decoding error")
        .unwrap_or_default();
    let quoted = list.split('"').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

/// Compares with what stands beside the case, or writes it.
pub(crate) fn compare(case: &Case, described: &str) -> Result<()> {
    let expected = case.path.with_extension("expected");
    if std::env::var_os("NODESEAL_WRITE_EXPECTED").is_some() {
        fs::write(&expected, described)?;
    }
    let wanted = fs::read_to_string(&expected).unwrap_or_default();
    ensure!(
        described == wanted,
        "{}:\n{described}\nexpected:\n{wanted}",
        case.name()
    );
    Ok(())
}
