//! Policies from files, for all commands.

use std::path::PathBuf;

use crds::load::{self, Loaded};
use crds::{Layer, Problem, Severity, files};
use policy::bundle::Bundle;

/// Reads and checks all paths. Files without any object of ours get a warning: whoever mistypes a
/// path should not be told that all is well.
pub(crate) fn load(paths: &[PathBuf]) -> Loaded {
    let mut loaded = load::load_read(&files::read(paths));
    let holds_something = !loaded.policies.is_empty()
        || !loaded.trust_roots.is_empty()
        || !loaded.invalid.is_empty()
        || loaded.config.is_some();
    let explained = loaded.has_errors()
        || loaded
            .problems_of(Severity::Warning)
            .any(|problem| problem.layer == Layer::File);
    if !holds_something && !explained {
        let shown = |path: &PathBuf| match path.as_os_str().to_str() {
            Some("-") => files::STDIN.to_owned(),
            _ => path.display().to_string(),
        };
        let paths: Vec<String> = paths.iter().map(shown).collect();
        loaded.problems.push(Problem {
            file: paths.join(", "),
            line: 0,
            column: 0,
            object: String::new(),
            field: String::new(),
            layer: Layer::Program,
            severity: Severity::Warning,
            reason: "NoPolicies".to_owned(),
            message: format!(
                "no object of {} is in there: is it the right place?",
                crds::GROUP
            ),
        });
    }
    loaded
}

/// Whether something could not be read, so that nobody knows which policies are missing.
pub(crate) fn is_incomplete(loaded: &Loaded) -> bool {
    loaded
        .problems_of(Severity::Error)
        .any(|problem| problem.layer == Layer::File)
}

/// The valid policies with their settings.
pub(crate) fn bundle(loaded: &Loaded) -> Bundle {
    let settings = loaded.settings.clone().unwrap_or_default();
    let policies = loaded.policies.iter().map(|loaded| loaded.policy.clone());
    Bundle::new(settings, policies)
}
