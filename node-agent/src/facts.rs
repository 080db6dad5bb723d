//! From containerd's configuration and the command line to what rendering has to know.

use policy::containerd::ContainerdFacts;
use policy::flatten::NodeFacts;
use policy::paths::CONTAINERD_DROP_IN;
use policy::reference::Reference;
use policy::scope::Scope;
use policy::verifier::Limits;

use crate::containerd_config::ContainerdConfig;
use crate::layout::VerifierPlace;

/// The repository of the sandbox image that runtimes use when their configuration names none.
pub const DEFAULT_SANDBOX: &str = "registry.k8s.io/pause";

/// The verifier's folder, and whether the user chose it.
#[derive(Debug, Clone, Default)]
pub struct Folder {
    /// The place.
    pub place: VerifierPlace,
    /// Given on the command line: a folder that containerd's configuration already names, so no
    /// drop-in is written.
    pub chosen: bool,
}

/// What is known of a node.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// For flattening.
    pub node: NodeFacts,
    /// For rendering.
    pub containerd: ContainerdFacts,
    /// What the administrator should know or do.
    pub warnings: Vec<String>,
    /// What is known to keep containerd from running the verifier; one of the warnings.
    pub not_enforcing: Option<String>,
}

/// Gathers the facts. `config_path` is for messages; `exists` tells whether there is such a file.
#[must_use]
pub fn gather(
    config: &ContainerdConfig,
    config_path: &str,
    exists: bool,
    folder: &Folder,
    sandbox_images: &[String],
) -> Facts {
    let mut facts = Facts::default();
    let names_folder = config
        .bin_dir
        .as_deref()
        .map(|dir| dir.trim_end_matches('/'))
        == Some(folder.place.bin_dir().as_str());
    facts.containerd.config_version = config.version;
    facts.containerd.drop_in = !folder.chosen && !names_folder;
    if let Some(folders) = &config.registry_folders {
        facts.containerd.access.config_paths.clone_from(folders);
    }
    if let Some(timeout_ms) = config.per_verifier_timeout_ms.filter(|ms| *ms > 0) {
        // An hour is the most that the verifier's reader takes.
        let timeout_ms = timeout_ms.min(3_600_000);
        facts.containerd.limits = Limits {
            timeout_ms,
            ..Limits::default()
        };
    }
    // What is known to keep containerd from running the verifier, the last word winning.
    let mut not_enforcing = None;
    if facts.containerd.drop_in && !config.imports_drop_in {
        let line = config.imports_line();
        not_enforcing = Some(if exists {
            format!(
                "containerd does not read /{CONTAINERD_DROP_IN}: put this line at the top level of \
                 /{config_path} (in place of an `imports` line that is there) and restart \
                 containerd: {line}"
            )
        } else {
            format!(
                "/{config_path} does not exist, so containerd does not read \
                 /{CONTAINERD_DROP_IN}: create it with the lines `version = {}` and `{line}`, and \
                 restart containerd; or name the file in use with --containerd-config",
                config.version.number()
            )
        });
    }
    if folder.chosen && !names_folder {
        not_enforcing = Some(format!(
            "/{config_path} does not point at {dir}, so containerd does not run the verifier \
             there: set `bin_dir = \"{dir}\"` in [plugins.'io.containerd.image-verifier.v1.bindir'] \
             and restart containerd, or leave --bin-dir out",
            dir = folder.place.bin_dir()
        ));
    }
    if config.verifiers_off {
        not_enforcing = Some(format!(
            "/{config_path} has `max_verifiers = 0`, so containerd runs no verifier: remove that \
             line and restart containerd"
        ));
    }
    facts.warnings.extend(not_enforcing.clone());
    facts.not_enforcing = not_enforcing;

    match &config.sandbox_image {
        Some(image) => exempt(&mut facts, image, &format!("/{config_path}")),
        // A literal of this file, so it parses; were it not to, the test below says so.
        None => facts.node.exempt.extend(Scope::parse(DEFAULT_SANDBOX).ok()),
    }
    for image in sandbox_images {
        exempt(&mut facts, image, "--sandbox-image");
    }
    facts
}

fn exempt(facts: &mut Facts, image: &str, source: &str) {
    match sandbox_scope(image) {
        Ok(scope) => {
            facts.node.exempt.insert(scope);
        }
        Err(why) => facts.warnings.push(format!(
            "the sandbox image `{image}` in {source} cannot be exempted, so pods may not start \
             where a policy covers it: {why}"
        )),
    }
}

/// The exact scope of one image.
pub fn sandbox_scope(image: &str) -> Result<Scope, String> {
    let reference = Reference::parse(image).map_err(|error| error.to_string())?;
    Scope::parse_compiled(&reference.to_string()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containerd_config::{DEFAULT_PATH, parse};

    fn gathered(text: Option<&str>, folder: &Folder, images: &[&str]) -> Facts {
        let config = parse(DEFAULT_PATH, text.map(str::as_bytes)).unwrap();
        let images: Vec<String> = images.iter().map(|&image| image.to_owned()).collect();
        gather(&config, DEFAULT_PATH, text.is_some(), folder, &images)
    }

    #[test]
    fn registries_are_reached_as_containerd_does() {
        let of = |text: &str| {
            let facts = gathered(Some(text), &Folder::default(), &[]);
            facts.containerd.access.config_paths
        };
        let usual = policy::verifier::Access::default().config_paths;
        assert_eq!(of("version = 3\n"), usual);
        let v3 = "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/a:/b'\n";
        assert_eq!(of(v3), ["/a", "/b"]);
        let v2 = "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.registry]\nconfig_path = ''\n";
        assert_eq!(of(v2), [""; 0]);
    }

    fn exempt(facts: &Facts) -> Vec<&str> {
        facts.node.exempt.iter().map(Scope::as_str).collect()
    }

    #[test]
    fn the_sandbox_image_is_exempt_exactly_and_by_repository_when_nothing_names_it() {
        let facts = gathered(None, &Folder::default(), &[]);
        assert_eq!(exempt(&facts), ["registry.k8s.io/pause"]);
        let text = "version = 3\n[plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = 'r.example/pause:3'\n";
        let facts = gathered(Some(text), &Folder::default(), &["other.example:5000/p"]);
        assert_eq!(
            exempt(&facts),
            ["other.example:5000/p:latest", "r.example/pause:3"]
        );
        let facts = gathered(None, &Folder::default(), &["Not An Image"]);
        assert!(
            facts.warnings.iter().any(|w| w.contains("--sandbox-image")),
            "{:?}",
            facts.warnings
        );
    }

    #[test]
    fn a_drop_in_is_needed_unless_containerd_already_looks_in_the_folder() {
        let facts = gathered(Some("version = 2\n"), &Folder::default(), &[]);
        assert!(facts.containerd.drop_in);
        assert!(facts.warnings[0].contains("imports = [\"/etc/containerd/conf.d/*.toml\"]"));
        let text = "version = 3\n[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir = '/opt/nodeseal/image-verifier/'\nper_verifier_timeout = '4s'\n";
        let facts = gathered(Some(text), &Folder::default(), &[]);
        assert!(!facts.containerd.drop_in);
        assert!(facts.warnings.is_empty());
        assert_eq!(facts.containerd.limits.timeout_ms, 4_000);
    }

    #[test]
    fn a_chosen_folder_that_containerd_does_not_know_is_a_warning() {
        let place = VerifierPlace::in_folder("/opt/containerd/image-verifier/bin").unwrap();
        let folder = Folder {
            place,
            chosen: true,
        };
        let facts = gathered(Some("version = 3\n"), &folder, &[]);
        assert!(!facts.containerd.drop_in);
        assert!(facts.warnings[0].contains("bin_dir = \"/opt/containerd/image-verifier/bin\""));
    }

    #[test]
    fn switched_off_verifiers_are_a_warning() {
        let text = "version = 3\nimports = ['conf.d/*.toml']\n[plugins.'io.containerd.image-verifier.v1.bindir']\nmax_verifiers = 0\n";
        let facts = gathered(Some(text), &Folder::default(), &[]);
        assert!(facts.warnings[0].contains("max_verifiers = 0"));
    }
}
