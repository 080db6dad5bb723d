//! The image of pod sandboxes: always accepted, because without it no pod starts.

use std::collections::BTreeSet;

use policy::reference::Reference;
use policy::scope::Scope;

/// The repository of the sandbox image that runtimes use when their configuration names none.
pub const DEFAULT_SANDBOX: &str = "registry.k8s.io/pause";

/// An image, and who names it.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// The image.
    pub image: &'a str,
    /// The file or flag that names it.
    pub by: &'a str,
}

/// The scopes of the sandbox images: those that the runtime's configuration names, or else the
/// usual repository, and those of the command line. What is no image is told in `warnings`.
pub fn exempt(
    configured: Option<Named<'_>>,
    told: &[String],
    warnings: &mut Vec<String>,
) -> BTreeSet<Scope> {
    let mut scopes = BTreeSet::new();
    if configured.is_none() {
        // A literal of this file, so it parses; were it not to, the test below says so.
        scopes.extend(Scope::parse(DEFAULT_SANDBOX).ok());
    }
    let told = told.iter().map(|image| Named {
        image,
        by: "--sandbox-image",
    });
    for Named { image, by } in configured.into_iter().chain(told) {
        match scope(image) {
            Ok(scope) => {
                scopes.insert(scope);
            }
            Err(why) => warnings.push(format!(
                "the sandbox image `{image}` in {by} cannot be exempted, so pods may not start \
                 where a policy covers it: {why}"
            )),
        }
    }
    scopes
}

/// The exact scope of one image.
pub fn scope(image: &str) -> Result<Scope, String> {
    let reference = Reference::parse(image).map_err(|error| error.to_string())?;
    Scope::parse_compiled(&reference.to_string()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exempted(configured: Option<&str>, told: &[&str]) -> (Vec<String>, Vec<String>) {
        let mut warnings = Vec::new();
        let by = "/etc/containerd/config.toml";
        let configured = configured.map(|image| Named { image, by });
        let told: Vec<String> = told.iter().map(|&image| image.to_owned()).collect();
        let scopes = exempt(configured, &told, &mut warnings);
        (scopes.iter().map(ToString::to_string).collect(), warnings)
    }

    #[test]
    fn the_sandbox_image_is_exempt_exactly_and_by_repository_when_nothing_names_it() {
        assert_eq!(exempted(None, &[]).0, ["registry.k8s.io/pause"]);
        let (scopes, warnings) = exempted(Some("r.example/pause:3"), &["other.example:5000/p"]);
        assert_eq!(scopes, ["other.example:5000/p:latest", "r.example/pause:3"]);
        assert!(warnings.is_empty());
    }

    #[test]
    fn what_is_no_image_is_told() {
        let (scopes, warnings) = exempted(None, &["Not An Image"]);
        assert_eq!(scopes, ["registry.k8s.io/pause"]);
        assert!(warnings[0].contains("--sandbox-image"), "{warnings:?}");
    }
}
