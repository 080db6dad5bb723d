//! Registry hosts and credentials of the user's own machine.

use std::env;
use std::path::{Path, PathBuf};

use policy::verifier::Access;

/// Where they are. What is named has to be there; what is usual need not.
pub(super) fn of(docker_config: Option<&Path>, certs_dirs: &[PathBuf]) -> Result<Access, String> {
    let docker_configs = match docker_config {
        Some(path) => vec![text(&existing(&in_folder(path))?)?],
        None => usual_docker_config()
            .map(|path| text(&path))
            .transpose()?
            .into_iter()
            .collect(),
    };
    let mut access = Access {
        docker_configs,
        ..Access::default()
    };
    if !certs_dirs.is_empty() {
        let folder = |path: &PathBuf| {
            let path = existing(path)?;
            if !path.is_dir() {
                return Err(format!("{} is not a folder", path.display()));
            }
            text(&path)
        };
        access.config_paths = certs_dirs.iter().map(folder).collect::<Result<_, _>>()?;
    }
    Ok(access)
}

/// As docker looks for it.
fn usual_docker_config() -> Option<PathBuf> {
    let folder = match env::var_os("DOCKER_CONFIG").filter(|value| !value.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => env::home_dir()?.join(".docker"),
    };
    Some(folder.join("config.json"))
}

fn in_folder(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.join("config.json")
    } else {
        path.to_owned()
    }
}

fn existing(path: &Path) -> Result<PathBuf, String> {
    std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.to_owned())
}

/// The library takes absolute paths alone.
fn text(path: &Path) -> Result<String, String> {
    let absolute =
        std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let text = absolute.into_os_string().into_string();
    text.map_err(|path| format!("{}: not UTF-8", path.display()))
}
